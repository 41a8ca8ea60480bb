/* SPDX-License-Identifier: MIT */
/* ref_arch : operations of the architectures beyond TopK and standard, plainly. Equations are in the
 * files of train/ that are named like the architecture.
 * Contents: 1. annealed sparsity   2. gated   3. JumpReLU   4. matryoshka   5. OrtSAE */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/ref/ref.h"

/* --- 1. annealed sparsity ------------------------------------------------------------------- */

static double power_sum(size_t begin, size_t end, const float *f, double p)
{
    double sum = 0;
    for (size_t i = begin; i < end; i++)
        if (f[i] > 0)
            sum += pow((double)f[i], p);
    return sum;
}

static double value_of(bool root, double sum, double p)
{
    return root ? (sum > 0 ? pow(sum, 1 / p) : 0) : sum;
}

static size_t row_begin(const size_t *start, size_t m, size_t t)
{
    return start ? start[t] : t * m;
}

void sae_ref_lp_sum(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                    double p_next, double *row, double *sum)
{
    for (size_t t = 0; t < n; t++) {
        const size_t begin = row_begin(start, m, t), end = row_begin(start, m, t + 1);
        row[t] = power_sum(begin, end, f, p);
        sum[0] += value_of(root, row[t], p);
        if (p_next > 0)
            sum[1] += value_of(root, power_sum(begin, end, f, p_next), p_next);
    }
}

void sae_ref_lp_grad(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                     double weight, const double *row, float *dz)
{
    for (size_t t = 0; t < n; t++) {
        const double r = root ? pow(row[t], 1 / p - 1) : p;
        for (size_t i = row_begin(start, m, t); i < row_begin(start, m, t + 1); i++)
            dz[i] = f[i] > 0 ? dz[i] + (float)(weight * r * pow((double)f[i], p - 1)) : 0;
    }
}

/* --- 2. gated ------------------------------------------------------------------------------- */

void sae_ref_gate(size_t n, size_t m, const float *u, const float *b_gate, const float *r_mag,
                  const float *b_mag, float *f, float *gate, double *sum)
{
    for (size_t i = 0; i < n * m; i++) {
        const size_t j = i % m;
        const float g = u[i] + b_gate[j], v = expf(r_mag[j]) * u[i] + b_mag[j];
        const float open = (float)(g > 0);
        gate[i] = open * g;
        f[i] = open * (float)(v > 0) * v;
        sum[0] += (double)gate[i];
        sum[1] += f[i] > 0;
    }
}

void sae_ref_gate_grad(size_t n, size_t m, const float *u, const float *r_mag, const float *f,
                       const float *gate, float l1, const float *d1, float *d2, float *g_b_gate,
                       float *g_b_mag, float *g_r_mag, float *du)
{
    for (size_t j = 0; j < m; j++) {
        const float scale = expf(r_mag[j]);
        double sum_g = 0, sum_f = 0, sum_fu = 0;
        for (size_t i = j; i < n * m; i += m) {
            const float dg = (float)(gate[i] > 0) * (d2[i] + l1);
            const float df = (float)(f[i] > 0) * d1[i];
            d2[i] = dg + scale * df;
            sum_g += (double)dg;
            sum_f += (double)df;
            sum_fu += (double)df * (double)u[i];
        }
        g_b_gate[j] = (float)sum_g;
        g_b_mag[j] = (float)sum_f;
        g_r_mag[j] = (float)((double)scale * sum_fu);
        du[j] = (float)(sum_g + (double)scale * sum_f);
    }
}

/* --- 3. JumpReLU ---------------------------------------------------------------------------- */

void sae_ref_jump(size_t n, size_t m, const float *b_enc, const float *theta, bool by_z, float *z,
                  uint32_t *active, double *sum)
{
    sum[0] = sum[1] = 0;
    for (size_t j = 0; j < m; j++) {
        active[j] = 0;
        for (size_t i = j; i < n * m; i += m) {
            z[i] += b_enc[j];
            active[j] += z[i] > theta[j];
        }
        sum[0] += active[j];
        sum[1] += !by_z && theta[j] < 0 ? (double)n : (double)active[j];
    }
}

void sae_ref_jump_fill(size_t n, size_t m, const float *z, const float *theta, float *f)
{
    for (size_t i = 0; i < n * m; i++)
        f[i] = z[i] > theta[i % m] ? z[i] : 0;
}

static bool in_window(float v, float theta, float width)
{
    return fabsf(v - theta) < width / 2;
}

void sae_ref_jump_grad(size_t n, size_t m, size_t d, const struct sae_jump *h, const float *z,
                       const float *theta, const uint32_t *active, const double *l0,
                       const float *g, const float *W_dec, float *g_theta)
{
    const double dH = 2 * h->weight * (*l0 / (double)n / h->target - 1) / (h->target * (double)n);
    const float width = (float)h->width;
    for (size_t j = 0; j < m; j++) {
        double sum = 0, steps = 0;
        for (size_t t = 0; t < n; t++) {
            const float v = z[t * m + j];
            if (!in_window(v, theta[j], width))
                continue;
            for (size_t i = 0; i < d; i++)
                sum += (double)g[t * d + i] * (double)W_dec[j * d + i];
            steps += h->by_z || v > theta[j];
        }
        if (!h->by_z && in_window(0, theta[j], width))
            steps += (double)n - (double)active[j];
        g_theta[j] = (float)(-((double)theta[j] * sum + dH * steps) / h->width);
    }
}

/* --- 4. matryoshka -------------------------------------------------------------------------- */

void sae_ref_decode_group(size_t d, const struct sae_csr *csr, size_t first, size_t end,
                          const float *W_dec, const float *base, float *xhat)
{
    for (size_t t = 0; t < csr->n; t++)
        for (size_t i = 0; i < d; i++) {
            double sum = (double)base[t * d + i];
            for (size_t e = csr->start[t]; e < csr->start[t + 1]; e++)
                if (csr->idx[e] >= first && csr->idx[e] < end)
                    sum += (double)csr->val[e] * (double)W_dec[csr->idx[e] * d + i];
            xhat[t * d + i] = (float)sum;
        }
}

void sae_ref_grad_dec_group(size_t d, size_t first, size_t end, const struct sae_csr *csr,
                            const struct sae_csc *csc, const float *g, const float *W_dec,
                            float *dz, float *dW_dec)
{
    for (size_t j = first; j < end; j++) {
        for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++) {
            double dot = 0;
            for (size_t i = 0; i < d; i++)
                dot += (double)g[csc->row[p] * d + i] * (double)W_dec[j * d + i];
            dz[csc->pos[p]] = (float)dot;
        }
        for (size_t i = 0; i < d; i++) {
            double sum = 0;
            for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++)
                sum += (double)csr->val[csc->pos[p]] * (double)g[csc->row[p] * d + i];
            dW_dec[j * d + i] = (float)sum;
        }
    }
}

void sae_ref_prefix_loss(size_t n, size_t d, double weight, const float *x, const float *xhat,
                         const float *later, float *H, double *sum)
{
    double sq = 0;
    for (size_t i = 0; i < n * d; i++) {
        const double miss = (double)(xhat[i] - x[i]);
        sq += miss * miss;
        H[i] = (float)(weight * 2 / (double)n * miss) + (later ? later[i] : 0);
    }
    *sum = weight * sq + (later ? *sum : 0);
}

/* --- 5. OrtSAE ------------------------------------------------------------------------------ */

static const double LEAST = 1e-8; /* a shorter row has no direction */

/* norm [m], best [m] (-2: no partner), partner [m]. */
static void find_partners(size_t d, const float *W, const uint32_t *chunk, size_t n,
                          const double *norm, float *best, uint32_t *partner)
{
    for (size_t a = 0; a < n; a++) {
        const size_t i = chunk[a];
        best[i] = n > 1 ? -2 : 0;
        partner[i] = (uint32_t)i;
        for (size_t b = 0; b < n; b++) {
            const size_t j = chunk[b];
            double dot = 0;
            for (size_t l = 0; l < d; l++)
                dot += (double)W[i * d + l] * (double)W[j * d + l];
            const bool has = norm[i] > LEAST && norm[j] > LEAST;
            const float cosine = (float)(has ? dot / norm[i] / norm[j] : 0);
            if (j != i && cosine > best[i]) {
                best[i] = cosine;
                partner[i] = (uint32_t)j;
            }
        }
    }
}

/* to += s/|own| (other / |other| - c own / |own|) */
static void add_pull_grad(size_t d, double s, double c, const float *other, double other_norm,
                 const float *own, double own_norm, double *to)
{
    for (size_t l = 0; l < d; l++)
        to[l] += s / own_norm *
                 ((double)other[l] / other_norm - c * (double)own[l] / own_norm);
}

void sae_ref_ortsae(size_t m, size_t d, const float *W, size_t n_chunks, const uint32_t *order,
                    double weight, float *G, float *Gout, double *sum)
{
    double *norm = NULL, *term = NULL;
    float *best = NULL;
    uint32_t *partner = NULL;
    *sum = NAN; /* no memory */
    if (sae_mem_alloc(&norm, m, sizeof *norm, NULL) != SAE_OK ||
        sae_mem_alloc(&term, m * d, sizeof *term, NULL) != SAE_OK ||
        sae_mem_alloc(&best, m, sizeof *best, NULL) != SAE_OK ||
        sae_mem_alloc(&partner, m, sizeof *partner, NULL) != SAE_OK)
        goto done;
    *sum = 0;
    for (size_t j = 0; j < m; j++) {
        for (size_t l = 0; l < d; l++)
            norm[j] += (double)W[j * d + l] * (double)W[j * d + l];
        norm[j] = sqrt(norm[j]);
    }
    for (size_t k = 0; k < n_chunks; k++) {
        const size_t begin = m * k / n_chunks, n = m * (k + 1) / n_chunks - begin;
        const double share = 1 / ((double)n_chunks * (double)n);
        find_partners(d, W, order + begin, n, norm, best, partner);
        for (size_t a = 0; a < n; a++) {
            const size_t i = order[begin + a], j = partner[i];
            const double c = (double)best[i], s = weight * 2 * c * share;
            *sum += c * c * share;
            if (j == i || !(norm[i] > LEAST) || !(norm[j] > LEAST))
                continue;
            add_pull_grad(d, s, c, W + j * d, norm[j], W + i * d, norm[i], term + i * d);
            add_pull_grad(d, s, c, W + i * d, norm[i], W + j * d, norm[j], term + j * d);
        }
    }
    for (size_t i = 0; i < m * d; i++) {
        if (Gout)
            Gout[i] = (float)term[i];
        if (G)
            G[i] = (float)((double)G[i] + term[i]);
    }
done:
    free(norm);
    free(term);
    free(best);
    free(partner);
}
