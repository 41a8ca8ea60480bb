/* SPDX-License-Identifier: MIT */
/* ref_orth : the orthogonality term and the cosine histogram, plainly. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/ref/ref.h"

static double dot_rows(size_t d, const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* How often latent i meets every other: the sum over batches of their weight times meetings.
 * count [2][m], the second half is scratch. */
static void count_partners(size_t m, const struct sae_overlap_masks *masks, size_t i, double *count)
{
    memset(count, 0, m * sizeof *count);
    for (size_t b = 0; b < masks->n_batches; b++) {
        const struct sae_csr *const csr = masks->csr[b];
        const struct sae_csc *const csc = masks->csc[b];
        double *const now = count + m;
        memset(now, 0, m * sizeof *now);
        for (size_t p = csc->start[i]; p < csc->start[i + 1]; p++)
            for (size_t e = csr->start[csc->row[p]]; e < csr->start[csc->row[p] + 1]; e++)
                now[csr->idx[e]]++;
        for (size_t j = 0; j < m; j++)
            count[j] += masks->weight[b] * now[j];
    }
}

/* c_ij of one latent with all others, in f32, in the place of the counts. n [m]; B: tokens. */
static void find_coefficients(size_t m, const struct sae_overlap_masks *masks,
                              const struct sae_compete_rule *rule, const double *n, double B,
                              size_t i, double *c)
{
    count_partners(m, masks, i, c);
    for (size_t j = 0; j < m; j++) {
        const bool counts =
            j != i && c[j] > 0 && n[i] >= rule->min_count && n[j] >= rule->min_count;
        const double nhat = counts ? sae_overlap_value(rule->overlap, B, n[i], n[j], c[j]) : 0;
        c[j] = counts ? (double)(float)sae_compete_value(rule->form, rule->sharpness, nhat,
                                                         rule->tau)
                      : 0;
    }
}

size_t sae_ref_orth_tiles(size_t m)
{
    (void)m;
    return 1;
}

/* Loss and term of latent i from its coefficients. */
static void add_latent(size_t m, size_t d, const float *W, size_t i, const double *c, double *term,
                       double *sum)
{
    memset(term, 0, d * sizeof *term);
    for (size_t j = 0; j < m; j++) {
        if (!(c[j] > 0))
            continue;
        const double dot = dot_rows(d, W + i * d, W + j * d);
        for (size_t l = 0; l < d && (dot > 0 || dot < 0); l++)
            term[l] += (dot > 0 ? c[j] : -c[j]) * (double)W[j * d + l];
        if (j < i)
            continue;
        sum[0] += c[j] * fabs(dot);
        sum[2] += fabs(dot);
        sum[3] = fabs(dot) > sum[3] ? fabs(dot) : sum[3];
    }
}

void sae_ref_orth_masks(size_t m, size_t d, const float *W, const struct sae_overlap_masks *masks,
                        const struct sae_compete_rule *rule, double weight, bool per_pair,
                        const double *expected_partners, float *G, float *Gout, double *sum)
{
    double *n = NULL, *c = NULL, *term = NULL, B = 0;
    (void)expected_partners;
    for (size_t s = 0; s < 5; s++)
        sum[s] = NAN; /* no memory */
    if (sae_mem_alloc(&n, m, sizeof *n, NULL) != SAE_OK ||
        sae_mem_alloc(&c, 2 * m, sizeof *c, NULL) != SAE_OK ||
        sae_mem_alloc(&term, d, sizeof *term, NULL) != SAE_OK)
        goto done;
    memset(sum, 0, 5 * sizeof *sum);
    for (size_t b = 0; b < masks->n_batches; b++) {
        B += masks->weight[b] * (double)masks->csr[b]->n;
        for (size_t j = 0; j < m; j++)
            n[j] += masks->weight[b] *
                    (double)(masks->csc[b]->start[j + 1] - masks->csc[b]->start[j]);
    }
    for (size_t i = 0; i < m; i++) {
        find_coefficients(m, masks, rule, n, B, i, c);
        for (size_t j = 0; j < m; j++)
            sum[4] += c[j] > 0;
    }
    sum[1] = sum[4] / 2;
    if (per_pair)
        weight = sum[1] > 0 ? weight / sum[1] : 0;
    for (size_t i = 0; i < m; i++) {
        find_coefficients(m, masks, rule, n, B, i, c);
        add_latent(m, d, W, i, c, term, sum);
        for (size_t l = 0; l < d; l++) {
            if (Gout)
                Gout[i * d + l] = (float)(weight * term[l]);
            if (G)
                G[i * d + l] = (float)((double)G[i * d + l] + weight * term[l]);
        }
    }
done:
    free(n);
    free(c);
    free(term);
}

enum sae_status sae_ref_cos_hist(size_t m, size_t d, const float *U, size_t n_bins, uint64_t *hist,
                                 float *row_max, uint32_t *row_argmax, float *row_min,
                                 struct sae_err *err)
{
    (void)err;
    memset(hist, 0, n_bins * sizeof *hist);
    for (size_t i = 0; i < m; i++) {
        row_max[i] = -INFINITY;
        row_min[i] = INFINITY;
        row_argmax[i] = 0;
        for (size_t j = 0; j < m; j++) {
            if (j == i)
                continue;
            const float c = (float)dot_rows(d, U + i * d, U + j * d);
            if (c > row_max[i]) {
                row_max[i] = c;
                row_argmax[i] = (uint32_t)j;
            }
            if (c < row_min[i])
                row_min[i] = c;
            if (j < i || isnan(c))
                continue;
            const double bin = floor(((double)c + 1) / 2 * (double)n_bins);
            const size_t last = n_bins - 1;
            hist[bin < 0 ? 0 : bin > (double)last ? last : (size_t)bin]++;
        }
    }
    return SAE_OK;
}
