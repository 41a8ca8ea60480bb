/* SPDX-License-Identifier: MIT */
/* geom : cosines between the rows of a weight matrix. */
#include "analyze/geom.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

static double row_norm(size_t d, const float *row)
{
    double sum = 0;
    for (size_t j = 0; j < d; j++)
        sum += (double)row[j] * (double)row[j];
    return sqrt(sum);
}

size_t analyze_geom_unit(size_t m, size_t d, const float *W, float *U)
{
    size_t n_zero = 0;
    for (size_t i = 0; i < m; i++) {
        const double norm = row_norm(d, W + i * d);
        const double scale = norm > 0 ? 1 / norm : 0;
        n_zero += norm > 0 ? 0 : 1;
        for (size_t j = 0; j < d; j++)
            U[i * d + j] = (float)((double)W[i * d + j] * scale);
    }
    return n_zero;
}

float analyze_geom_dot(size_t d, const float *a, const float *b)
{
    enum { LANES = 16 };
    float lane[LANES] = {0};
    size_t j = 0;
    for (; j + LANES <= d; j += LANES) {
#pragma omp simd
        for (size_t l = 0; l < LANES; l++)
            lane[l] += a[j + l] * b[j + l];
    }
    for (size_t l = 0; j < d; j++, l++)
        lane[l] += a[j] * b[j];
    for (size_t width = LANES / 2; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++)
            lane[l] += lane[l + width];
    return lane[0];
}

void analyze_geom_paired(size_t m, size_t d, const float *W, const float *V, double *cos)
{
    for (size_t i = 0; i < m; i++) {
        double dot = 0;
        for (size_t j = 0; j < d; j++)
            dot += (double)W[i * d + j] * (double)V[i * d + j];
        const double norms = row_norm(d, W + i * d) * row_norm(d, V + i * d);
        cos[i] = norms > 0 ? dot / norms : 0;
    }
}

void analyze_geom_clear(struct analyze_cosines *cosines)
{
    analyze_hist_clear(&cosines->hist);
    free(cosines->row_max);
    free(cosines->row_min);
    free(cosines->row_argmax);
    memset(cosines, 0, sizeof *cosines);
}

/* What the histogram is made of, in the backend's memory. */
struct hist_job {
    float *U, *row_max, *row_min;
    uint32_t *row_argmax;
    uint64_t *count;
};

static enum sae_status hist_job_run(struct hist_job *job, const struct sae_ops *ops, const float *U,
                                    const struct analyze_cosines *to, struct sae_err *err)
{
    const size_t m = to->m, d = to->d, n_bins = to->hist.n;
    SAE_TRY(ops->alloc(&job->U, m * d, sizeof(float), err));
    SAE_TRY(ops->alloc(&job->row_max, m, sizeof(float), err));
    SAE_TRY(ops->alloc(&job->row_min, m, sizeof(float), err));
    SAE_TRY(ops->alloc(&job->row_argmax, m, sizeof(uint32_t), err));
    SAE_TRY(ops->alloc(&job->count, n_bins, sizeof(uint64_t), err));
    ops->put(job->U, U, m * d * sizeof(float));
    SAE_TRY(ops->cos_hist(m, d, job->U, n_bins, job->count, job->row_max, job->row_argmax,
                          job->row_min, err));
    ops->get(to->hist.count, job->count, n_bins * sizeof(uint64_t));
    ops->get(to->row_max, job->row_max, m * sizeof(float));
    ops->get(to->row_min, job->row_min, m * sizeof(float));
    ops->get(to->row_argmax, job->row_argmax, m * sizeof(uint32_t));
    return ops->check(err);
}

static void hist_job_clear(const struct hist_job *job, const struct sae_ops *ops)
{
    void *const arrays[] = {job->U, job->row_max, job->row_min, job->row_argmax, job->count};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i] != NULL)
            ops->free(arrays[i]);
}

enum sae_status analyze_geom_cosines(struct analyze_cosines *ret, const struct sae_ops *ops,
                                     size_t m, size_t d, const float *U, size_t n_bins,
                                     struct sae_err *err)
{
    enum sae_status st;
    struct analyze_cosines cosines = {.m = m, .d = d};
    struct hist_job job = {0};
    SAE_GO(st, analyze_hist_init(&cosines.hist, -1, 1, n_bins, err));
    SAE_GO(st, sae_mem_alloc(&cosines.row_max, m, sizeof(float), err));
    SAE_GO(st, sae_mem_alloc(&cosines.row_min, m, sizeof(float), err));
    SAE_GO(st, sae_mem_alloc(&cosines.row_argmax, m, sizeof(uint32_t), err));
    SAE_GO(st, hist_job_run(&job, ops, U, &cosines, err));
    for (size_t i = 0; i < n_bins; i++)
        cosines.hist.total += cosines.hist.count[i];
    for (size_t i = 0; i < m; i++) { /* rounding may leave them a little outside */
        cosines.row_max[i] = fminf(cosines.row_max[i], 1);
        cosines.row_min[i] = fmaxf(cosines.row_min[i], -1);
    }
    *ret = cosines;
    memset(&cosines, 0, sizeof cosines);
done:
    hist_job_clear(&job, ops);
    analyze_geom_clear(&cosines);
    return st;
}

/* |sum of rows|^2 and the sums over i of |u_i|^2 and |u_i|^4 */
static void row_sums(size_t m, size_t d, const float *U, double *sum_sq, double *norm2,
                     double *norm4)
{
    *sum_sq = *norm2 = *norm4 = 0;
    for (size_t i = 0; i < m; i++) {
        const double norm = row_norm(d, U + i * d);
        *norm2 += norm * norm;
        *norm4 += norm * norm * norm * norm;
    }
    for (size_t j = 0; j < d; j++) {
        double column = 0;
        for (size_t i = 0; i < m; i++)
            column += (double)U[i * d + j];
        *sum_sq += column * column;
    }
}

void analyze_geom_moments(struct analyze_moments *ret, const struct analyze_cosines *cosines,
                          const float *U, double frame_potential, double sum_abs)
{
    double sum_sq, norm2, norm4;
    row_sums(cosines->m, cosines->d, U, &sum_sq, &norm2, &norm4);
    const double n_pairs = 0.5 * (double)cosines->m * (double)(cosines->m - 1);
    const double mean = 0.5 * (sum_sq - norm2) / n_pairs;
    const double mean_sq = 0.5 * (frame_potential - norm4) / n_pairs;
    struct analyze_moments out = {.mean = mean,
                                  .std = sqrt(fmax(0, mean_sq - mean * mean)),
                                  .mean_abs = sum_abs / n_pairs,
                                  .max = -1,
                                  .min = 1};
    for (size_t i = 0; i < cosines->m; i++) {
        out.max = fmax(out.max, (double)cosines->row_max[i]);
        out.min = fmin(out.min, (double)cosines->row_min[i]);
    }
    out.coherence = fmax(fabs(out.max), fabs(out.min));
    *ret = out;
}

double analyze_geom_share_abs(const struct analyze_hist *hist, double t)
{
    /* bins whose middle lies beyond t; the histogram is symmetric about 0 */
    uint64_t n = 0;
    for (size_t i = 0; i < hist->n; i++)
        if (fabs(analyze_hist_middle(hist, i)) >= t)
            n += hist->count[i];
    return hist->total > 0 ? (double)n / (double)hist->total : NAN;
}

void analyze_summary_of(struct analyze_summary *ret, double *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    analyze_sort(values, n);
    *ret = (struct analyze_summary){
        .mean = n > 0 ? sum / (double)n : NAN,
        .median = analyze_sorted_quantile(values, n, 0.5),
        .p95 = analyze_sorted_quantile(values, n, 0.95),
        .max = n > 0 ? values[n - 1] : NAN,
        .min = n > 0 ? values[0] : NAN,
    };
}
