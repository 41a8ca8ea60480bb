/* SPDX-License-Identifier: MIT */
/* stats : see the header. r = x - xhat; |.| is the Euclidean norm. */
#include "splice/stats.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"

enum sae_status splice_stats_init(struct splice_stats *ret, size_t d, size_t m, struct sae_err *err)
{
    struct splice_stats stats = {.d = d, .m = m};
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_mem_alloc(&stats.sum, d, sizeof *stats.sum, err));
    SAE_GO(st, sae_mem_alloc(&stats.active, m, sizeof *stats.active, err));
    SAE_GO(st, sae_mem_alloc(&stats.contexts, m, sizeof *stats.contexts, err));
    SAE_GO(st, sae_mem_alloc(&stats.last, m, sizeof *stats.last, err));
    *ret = stats;
    return SAE_OK;
done:
    splice_stats_clear(&stats);
    return st;
}

void splice_stats_clear(struct splice_stats *stats)
{
    free(stats->sum);
    free(stats->active);
    free(stats->contexts);
    free(stats->last);
    *stats = (struct splice_stats){0};
}

void splice_stats_begin(struct splice_stats *stats, size_t n, const double *mean)
{
    stats->mean = mean;
    stats->batch_n = n;
    stats->batch_rows = 0;
    stats->part_square = stats->part_error = stats->part_out = stats->part_dot = 0;
}

struct row {
    double square, out, dot, error, centered;
};

static struct row measure(struct splice_stats *stats, const float *x, const float *xhat)
{
    struct row row = {0};
    for (size_t j = 0; j < stats->d; j++) {
        const double a = (double)x[j], b = (double)xhat[j], c = a - stats->mean[j];
        row.square += a * a;
        row.out += b * b;
        row.dot += a * b;
        row.error += (a - b) * (a - b);
        row.centered += c * c;
        stats->sum[j] += a;
    }
    return row;
}

static void add_latents(struct splice_stats *stats, const struct sae_csr *f, size_t row,
                        uint64_t context)
{
    for (size_t e = f->start[row]; e < f->start[row + 1]; e++) {
        const uint32_t i = f->idx[e];
        stats->l1 += (double)f->val[e];
        stats->active[i]++;
        if (stats->last[i] != context + 1) {
            stats->last[i] = context + 1;
            stats->contexts[i]++;
        }
    }
    stats->l0 += (double)(f->start[row + 1] - f->start[row]);
}

void splice_stats_add(struct splice_stats *stats, size_t n, const float *x, const float *xhat,
                      const struct sae_csr *f, const uint64_t *context)
{
    for (size_t t = 0; t < n; t++) {
        const struct row row = measure(stats, x + t * stats->d, xhat + t * stats->d);
        const double norm_in = sqrt(row.square), norm_out = sqrt(row.out);
        stats->l2_in += norm_in;
        stats->l2_out += norm_out;
        stats->ratio += norm_out / (norm_in < 1e-4 ? 1 : norm_in);
        /* a zero vector has no direction: upstream's NaN would take the whole mean with it */
        if (norm_in > 0 && norm_out > 0)
            stats->cos += row.dot / (norm_in * norm_out);
        stats->legacy += 1 - row.error / row.centered;
        stats->mse += row.error / (double)stats->batch_n;
        stats->error += row.error;
        stats->square += row.square;
        stats->part_square += row.square;
        stats->part_error += row.error;
        stats->part_out += row.out;
        stats->part_dot += row.dot;
        add_latents(stats, f, t, context[t]);
    }
    stats->n += n;
    stats->batch_rows += n;
}

void splice_stats_end(struct splice_stats *stats)
{
    assert(stats->batch_rows == stats->batch_n);
    if (stats->batch_n == 0)
        return;
    const double n = (double)stats->batch_n;
    stats->bias += stats->part_out / stats->part_dot; /* the n of both means cancels */
    stats->batch_square += stats->part_square / n;
    stats->batch_error += stats->part_error / n;
    stats->n_batches++;
    stats->mean = NULL;
}

static void densities(const struct splice_stats *stats, struct splice_quality *q)
{
    double alive = 0, over_1 = 0, over_10 = 0, mass_1 = 0, mass_10 = 0, mass = 0;
    for (size_t i = 0; i < stats->m; i++) {
        const double density = (double)stats->active[i] / (double)stats->n;
        alive += density > 0;
        mass += density;
        if (density > 0.01) {
            over_1++;
            mass_1 += density;
        }
        if (density > 0.1) {
            over_10++;
            mass_10 += density;
        }
    }
    const double m = (double)stats->m;
    q->frac_alive = alive / m;
    q->over_1 = over_1 / m;
    q->over_10 = over_10 / m;
    q->mass_1 = mass > 0 ? mass_1 / mass : 0;
    q->mass_10 = mass > 0 ? mass_10 / mass : 0;
}

void splice_stats_finish(const struct splice_stats *stats, struct splice_quality *ret)
{
    const double n = (double)stats->n, batches = (double)stats->n_batches;
    const double A = stats->batch_square / batches, R = stats->batch_error / batches;
    const double mean_square = A / (double)stats->d;
    double mean_norm = 0; /* |mean of x|^2 */
    for (size_t j = 0; j < stats->d; j++)
        mean_norm += stats->sum[j] / n * (stats->sum[j] / n);
    *ret = (struct splice_quality){
        .explained_variance_legacy = stats->legacy / n,
        .explained_variance = 1 - R / (A - mean_square * mean_square),
        .explained_variance_pooled = 1 - stats->error / (stats->square - n * mean_norm),
        .mse = stats->mse / n,
        .mse_per_token = stats->error / n,
        .cossim = stats->cos / n,
        .l2_norm_in = stats->l2_in / n,
        .l2_norm_out = stats->l2_out / n,
        .l2_ratio = stats->ratio / n,
        .relative_bias = stats->bias / batches,
        .l0 = stats->l0 / n,
        .l1 = stats->l1 / n,
    };
    densities(stats, ret);
}
