/* SPDX-License-Identifier: MIT */
/* ref_lm : the operations of a language model, plainly; sums in double. */
#include <math.h>
#include <string.h>

#include "lib/base/bf16.h"
#include "lib/math/lm.h"

static size_t free_bytes(void)
{
    return SIZE_MAX;
}

static float factor_at(enum sae_precision how, const void *p, size_t i)
{
    return how == SAE_BF16 ? sae_bf16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

static void factor_set(enum sae_precision how, void *p, size_t i, double v)
{
    if (how == SAE_BF16)
        ((uint16_t *)p)[i] = sae_bf16_from_f32((float)v);
    else
        ((float *)p)[i] = (float)v;
}

static void factors(enum sae_precision how, size_t n, const float *x, void *to)
{
    for (size_t i = 0; i < n; i++)
        factor_set(how, to, i, (double)x[i]);
}

static void product(enum sae_precision how, size_t n, size_t n_out, size_t n_in, const void *x,
                    const void *W, float *y)
{
    for (size_t t = 0; t < n; t++)
        for (size_t j = 0; j < n_out; j++) {
            double sum = 0;
            for (size_t i = 0; i < n_in; i++)
                sum += (double)factor_at(how, x, t * n_in + i) *
                       (double)factor_at(how, W, j * n_in + i);
            y[t * n_out + j] = (float)sum;
        }
}

static void embed(enum sae_precision how, size_t n, size_t D, float scale, const uint32_t *ids,
                  const void *E, float *x)
{
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < D; i++)
            x[t * D + i] = scale * factor_at(how, E, ids[t] * D + i);
}

static void add(size_t n, size_t T, size_t D, const float *p, float *x)
{
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < D; i++)
            x[t * D + i] += p[t % T * D + i];
}

/* What a row's elements are shifted and scaled by: 0 and 1 / sqrt(mean of squares + eps), of a
 * layer norm minus their mean and 1 / sqrt(variance + eps). */
static void measure(enum sae_lm_norm kind, size_t D, double eps, const float *x, double *shift,
                    double *scale)
{
    double sum = 0, mean = 0;
    for (size_t i = 0; i < D && kind == SAE_LM_LAYER; i++)
        mean += (double)x[i] / (double)D;
    for (size_t i = 0; i < D; i++)
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    *shift = -mean;
    *scale = 1 / sqrt(sum / (double)D + eps);
}

static double weigh(enum sae_lm_norm kind, size_t D, const float *w, size_t i, double v)
{
    if (kind == SAE_LM_LAYER)
        return v * (double)w[i] + (double)w[D + i];
    return v * (kind == SAE_LM_RMS1P ? 1 + (double)w[i] : (double)w[i]);
}

static void norm(enum sae_precision how, enum sae_lm_norm kind, size_t n, size_t D, double eps,
                 const float *x, const float *w, void *h)
{
    double shift, scale;
    for (size_t t = 0; t < n; t++) {
        measure(kind, D, eps, x + t * D, &shift, &scale);
        for (size_t i = 0; i < D; i++)
            factor_set(how, h, t * D + i,
                       weigh(kind, D, w, i, ((double)x[t * D + i] + shift) * scale));
    }
}

static void join(enum sae_precision how, enum sae_lm_norm kind, size_t n, size_t D, double eps,
                 const float *a, const float *w, float *x, const float *next, void *h)
{
    double shift, scale;
    for (size_t t = 0; t < n; t++) {
        measure(kind, D, eps, a + t * D, &shift, &scale);
        for (size_t i = 0; i < D; i++) {
            const double v = (double)a[t * D + i];
            x[t * D + i] += (float)(w ? weigh(kind, D, w, i, (v + shift) * scale) : v);
        }
    }
    if (next)
        norm(how, kind, n, D, eps, x, next, h);
}

static void head_norm(enum sae_lm_norm kind, size_t n, size_t n_q, size_t n_k, size_t d, size_t ld,
                      double eps, const float *w, float *qkv)
{
    for (size_t i = 0; i < n * (n_q + n_k); i++) {
        const size_t head = i % (n_q + n_k);
        float *const row = qkv + i / (n_q + n_k) * ld + head * d;
        norm(SAE_F32, kind, 1, d, eps, row, head < n_q ? w : w + d, row);
    }
}

static void rope(size_t n, size_t T, size_t n_heads, size_t d, size_t half, size_t ld,
                 const float *cosines, const float *sines, float *qkv)
{
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < n_heads * half; i++) {
            const size_t k = i % half, angle = t % T * half + k;
            float *const a = qkv + t * ld + i / half * d + k, *const b = a + half;
            const double p = (double)*a, q = (double)*b;
            *a = (float)(p * (double)cosines[angle] - q * (double)sines[angle]);
            *b = (float)(q * (double)cosines[angle] + p * (double)sines[angle]);
        }
}

/* Query t of one head, rows ld apart: o [d] */
static void attend_one(const struct sae_lm_heads *s, size_t t, const float *q, const float *k,
                       const float *v, size_t ld, double *o)
{
    const size_t lo = t + 1 > s->window ? t + 1 - s->window : 0;
    double top = -INFINITY, sum = 0;
    for (size_t pass = 0; pass < 2; pass++) /* the largest score, then the sums */
        for (size_t j = lo; j <= t; j++) {
            double z = 0;
            for (size_t c = 0; c < s->d; c++)
                z += (double)q[t * ld + c] * (double)k[j * ld + c];
            z *= (double)s->scale;
            if (s->cap > 0)
                z = (double)s->cap * tanh(z / (double)s->cap);
            if (pass == 0) {
                top = fmax(top, z);
                continue;
            }
            sum += exp(z - top);
            for (size_t c = 0; c < s->d; c++)
                o[c] += exp(z - top) * (double)v[j * ld + c];
        }
    for (size_t c = 0; c < s->d; c++)
        o[c] /= sum;
}

static void attend(enum sae_precision how, const struct sae_lm_heads *s, const float *qkv, void *o)
{
    const size_t d = s->d, ld = (s->H + 2 * s->K) * d, group = s->H / s->K;
    double row[SAE_LM_HEAD_MAX];
    for (size_t i = 0; i < s->B * s->T * s->H; i++) {
        const size_t head = i % s->H, t = i / s->H % s->T, seq = i / s->H / s->T;
        const float *const q = qkv + seq * s->T * ld + head * d,
                           *const k = qkv + seq * s->T * ld + (s->H + head / group) * d,
                           *const v = k + s->K * d;
        memset(row, 0, sizeof row);
        attend_one(s, t, q, k, v, ld, row);
        for (size_t c = 0; c < d; c++)
            factor_set(how, o, (seq * s->T + t) * s->H * d + head * d + c, row[c]);
    }
}

static double act_of(enum sae_lm_act act, double g)
{
    switch (act) {
    case SAE_LM_GELU:
        return 0.5 * g * erfc(-g * M_SQRT1_2);
    case SAE_LM_SILU:
        return g / (1 + exp(-g));
    case SAE_LM_GELU_TANH:
        break;
    }
    return 0.5 * g * (1 + tanh(0.7978845608028654 * (g + 0.044715 * g * g * g)));
}

static void gate(enum sae_precision how, enum sae_lm_act act, bool gated, size_t n, size_t F,
                 const float *x, void *to)
{
    for (size_t i = 0; i < n * F; i++) {
        const float *const row = x + i / F * (gated ? 2 * F : F);
        const double v = act_of(act, (double)row[i % F]);
        factor_set(how, to, i, gated ? v * (double)row[F + i % F] : v);
    }
}

static void cap(size_t n, float most, float *z)
{
    for (size_t i = 0; i < n; i++)
        z[i] = (float)((double)most * tanh((double)z[i] / (double)most));
}

static double log_sum(size_t V, const float *z)
{
    double top = -INFINITY, sum = 0;
    for (size_t v = 0; v < V; v++)
        top = fmax(top, (double)z[v]);
    for (size_t v = 0; v < V; v++)
        sum += exp((double)z[v] - top);
    return top + log(sum);
}

static void read_rows(size_t n, size_t V, const float *z, const uint32_t *target, double *lse,
                      double *ce)
{
    for (size_t t = 0; t < n; t++) {
        lse[t] = log_sum(V, z + t * V);
        ce[t] = target[t] == SAE_LM_NO_TARGET ? 0 : lse[t] - (double)z[t * V + target[t]];
    }
}

static void compare(size_t n, size_t V, const float *of, const double *lse, const float *z,
                    const uint32_t *target, double *ce, double *kl)
{
    for (size_t t = 0; t < n; t++) {
        double mine, sum = 0;
        read_rows(1, V, z + t * V, target + t, &mine, ce + t);
        for (size_t v = 0; v < V; v++) {
            const double log_p = (double)of[t * V + v] - lse[t];
            sum += exp(log_p) * (log_p - ((double)z[t * V + v] - mine));
        }
        kl[t] = sum;
    }
}

const struct sae_lm_ops sae_lm_ref = {
    .free_bytes = free_bytes,
    .factors = factors,
    .product = product,
    .embed = embed,
    .add = add,
    .norm = norm,
    .join = join,
    .head_norm = head_norm,
    .rope = rope,
    .attend = attend,
    .gate = gate,
    .cap = cap,
    .read = read_rows,
    .compare = compare,
};
