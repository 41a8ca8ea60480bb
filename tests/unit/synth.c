/* SPDX-License-Identifier: MIT */
/* synth : activations made from a known dictionary; see the header. */
#include "tests/unit/synth.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/rng.h"

enum { RANK = 4, STREAM = 7001, ROW_DRAWS = 1 << 16 };

static void *get(size_t n, size_t size)
{
    void *const p = calloc(n ? n : 1, size);
    if (!p) {
        fprintf(stderr, "synth: out of memory\n");
        exit(1);
    }
    return p;
}

static void unit(float *f, size_t d)
{
    double sq = 0;
    for (size_t i = 0; i < d; i++)
        sq += (double)f[i] * (double)f[i];
    for (size_t i = 0; i < d; i++)
        f[i] = (float)((double)f[i] / sqrt(sq));
}

/* Gram-Schmidt, twice for f32's sake. */
static void orthonormal(struct synth *s)
{
    for (size_t f = 0; f < s->features; f++) {
        float *const a = s->F + f * s->d;
        for (int round = 0; round < 2; round++) {
            for (size_t g = 0; g < f; g++) {
                const float *const b = s->F + g * s->d;
                double dot = 0;
                for (size_t i = 0; i < s->d; i++)
                    dot += (double)a[i] * (double)b[i];
                for (size_t i = 0; i < s->d; i++)
                    a[i] -= (float)(dot * (double)b[i]);
            }
            unit(a, s->d);
        }
    }
}

/* Normal quantile by bisection of erfc: slow and exact enough, done once per feature. */
static double quantile(double p)
{
    double lo = -10, hi = 10;
    for (int i = 0; i < 100; i++) {
        const double mid = (lo + hi) / 2;
        if (0.5 * erfc(-mid / sqrt(2)) < p)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* Features in eights: a parent, three children, four free ones. */
static int is_child(const struct synth *s, size_t f)
{
    return s->kind == SYNTH_HIERARCHY && f % 8 >= 1 && f % 8 <= 3;
}

static void copula(struct synth *s, struct sae_rng *rng)
{
    double sum = 0;
    s->A = get(s->features * RANK, sizeof *s->A);
    s->cut = get(s->features, sizeof *s->cut);
    for (size_t f = 0; f < s->features; f++)
        sum += pow((double)(f + 1), -0.5);
    for (size_t f = 0; f < s->features; f++) {
        for (size_t r = 0; r < RANK; r++)
            s->A[f * RANK + r] = (float)(0.35 * sae_rng_normal(rng));
        double sq = 0;
        for (size_t r = 0; r < RANK; r++)
            sq += (double)s->A[f * RANK + r] * (double)s->A[f * RANK + r];
        for (size_t r = 0; sq > 0.9 && r < RANK; r++)
            s->A[f * RANK + r] = (float)((double)s->A[f * RANK + r] * sqrt(0.9 / sq));
        const double zipf = fmin(0.4, s->active * pow((double)(f + 1), -0.5) / sum);
        const double rate = is_child(s, f) ? 0.25 : zipf;
        s->cut[f] = quantile(1 - rate);
    }
}

void synth_open(struct synth *s, enum synth_kind kind, size_t d, size_t features, double active,
                double noise, uint64_t seed)
{
    *s = (struct synth){.kind = kind,
                        .d = d,
                        .features = kind == SYNTH_ORTHO ? d : features,
                        .active = active,
                        .noise = noise,
                        .seed = seed};
    struct sae_rng rng = sae_rng_make(seed, STREAM);
    s->F = get(s->features * d, sizeof *s->F);
    for (size_t i = 0; i < s->features * d; i++)
        s->F[i] = (float)sae_rng_normal(&rng);
    if (kind == SYNTH_ORTHO) {
        orthonormal(s);
        return;
    }
    for (size_t f = 0; f < s->features; f++)
        unit(s->F + f * d, d);
    copula(s, &rng);
}

static void add(const struct synth *s, size_t f, double a, float *x)
{
    for (size_t i = 0; i < s->d; i++)
        x[i] += (float)(a * (double)s->F[f * s->d + i]);
}

static void row_ortho(const struct synth *s, struct sae_rng *rng, float *x, unsigned char *fires)
{
    uint32_t *const order = get(s->features, sizeof *order);
    for (size_t f = 0; f < s->features; f++)
        order[f] = (uint32_t)f;
    for (size_t a = 0; a < (size_t)s->active; a++) { /* the first places of a shuffle */
        const size_t other = a + (size_t)sae_rng_below(rng, s->features - a);
        const uint32_t f = order[other];
        order[other] = order[a];
        order[a] = f;
        add(s, f, 1 + sae_rng_uniform(rng), x);
        fires[f] = 1;
    }
    free(order);
}

/* A child stays silent where its parent does, and one child of the firing ones is kept. */
static void prune(const struct synth *s, struct sae_rng *rng, unsigned char *fires)
{
    for (size_t f = 0; f < s->features; f += 8) {
        size_t child[3], n = 0;
        const size_t end = s->features - f < 4 ? s->features : f + 4;
        for (size_t c = f + 1; c < end; c++) {
            if (fires[c])
                child[n++] = c;
            fires[c] = 0;
        }
        const size_t kept = (size_t)(3 * sae_rng_uniform(rng)); /* drawn in any case */
        if (n > 0 && fires[f])
            fires[child[kept % n]] = 1;
    }
}

static void row_correlated(const struct synth *s, struct sae_rng *rng, float *x,
                           unsigned char *fires)
{
    double u[RANK], *const value = get(s->features, sizeof *value);
    for (size_t r = 0; r < RANK; r++)
        u[r] = sae_rng_normal(rng);
    for (size_t f = 0; f < s->features; f++) {
        double z = 0, sq = 0;
        for (size_t r = 0; r < RANK; r++) {
            const double a = (double)s->A[f * RANK + r];
            z += a * u[r];
            sq += a * a;
        }
        z += sqrt(1 - sq) * sae_rng_normal(rng);
        value[f] = 4.5 + 0.5 * sae_rng_normal(rng);
        fires[f] = z > s->cut[f];
    }
    if (s->kind == SYNTH_HIERARCHY)
        prune(s, rng, fires);
    for (size_t f = 0; f < s->features; f++)
        if (fires[f])
            add(s, f, value[f], x);
    free(value);
}

void synth_row_fires(const struct synth *s, uint64_t row, float *x, unsigned char *fires)
{
    unsigned char *const own = fires ? NULL : get(s->features, 1);
    unsigned char *const to = fires ? fires : own;
    struct sae_rng rng = sae_rng_make(s->seed, STREAM + 1);
    rng.counter = row * ROW_DRAWS;
    memset(x, 0, s->d * sizeof *x);
    memset(to, 0, s->features);
    if (s->kind == SYNTH_ORTHO)
        row_ortho(s, &rng, x, to);
    else
        row_correlated(s, &rng, x, to);
    for (size_t i = 0; s->noise > 0 && i < s->d; i++)
        x[i] += (float)(s->noise * sae_rng_normal(&rng));
    free(own);
}

void synth_row(const struct synth *s, uint64_t row, float *x)
{
    synth_row_fires(s, row, x, NULL);
}

void synth_close(struct synth *s)
{
    free(s->F);
    free(s->A);
    free(s->cut);
    *s = (struct synth){0};
}

double synth_match(const struct synth *s, const float *W, size_t m, float *best)
{
    float *const cosine = get(s->features * m, sizeof *cosine);
    unsigned char *const used_f = get(s->features, 1), *const used_w = get(m, 1);
    for (size_t f = 0; f < s->features; f++)
        for (size_t j = 0; j < m; j++) {
            double dot = 0, sq = 0;
            for (size_t i = 0; i < s->d; i++) {
                const double w = (double)W[j * s->d + i];
                dot += w * (double)s->F[f * s->d + i];
                sq += w * w;
            }
            cosine[f * m + j] = sq > 0 ? (float)(fabs(dot) / sqrt(sq)) : 0;
        }
    double sum = 0;
    const size_t n = s->features < m ? s->features : m;
    for (size_t round = 0; round < n; round++) {
        size_t bf = 0, bj = 0;
        float top = -1;
        for (size_t f = 0; f < s->features; f++)
            for (size_t j = 0; !used_f[f] && j < m; j++)
                if (!used_w[j] && cosine[f * m + j] > top) {
                    top = cosine[f * m + j];
                    bf = f;
                    bj = j;
                }
        used_f[bf] = used_w[bj] = 1;
        sum += (double)top;
        if (best)
            best[bf] = top;
    }
    free(cosine);
    free(used_f);
    free(used_w);
    return sum / (double)s->features;
}
