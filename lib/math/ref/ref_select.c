/* SPDX-License-Identifier: MIT */
/* ref_select : which latents stay, by counting; quadratic where that is the plainest way. */
#include <string.h>

#include "lib/math/ref/ref.h"

/* A pre-activation as selection sees it: NaN and what is not positive count as 0. */
static float value_at(const float *pre, const float *b_enc, size_t t, size_t m, size_t j)
{
    const float v = pre[t * m + j] + b_enc[j];
    return v > 0 ? v : 0;
}

static uint32_t bits_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

/* Positive floats order as their bit patterns do: the cut is the largest pattern that at least
 * `keep` of the values in rows [t0, t1) reach, found by trying its bits from the top. 0 where
 * fewer values are positive. */
static uint32_t cut_of(size_t t0, size_t t1, size_t m, size_t keep, const float *pre,
                       const float *b_enc)
{
    uint32_t cut = 0;
    for (int bit = 30; bit >= 0; bit--) {
        const uint32_t trial = cut | (uint32_t)1 << bit;
        size_t reached = 0;
        for (size_t t = t0; t < t1; t++)
            for (size_t j = 0; j < m; j++)
                reached += bits_of(value_at(pre, b_enc, t, m, j)) >= trial;
        if (reached >= keep)
            cut = trial;
    }
    return cut;
}

/* Appends to csr the `keep` largest of rows [t0, t1), ties to the first in order. */
static void keep_largest(size_t t0, size_t t1, size_t m, size_t keep, const float *pre,
                         const float *b_enc, struct sae_csr *csr)
{
    const uint32_t cut = keep > 0 ? cut_of(t0, t1, m, keep, pre, b_enc) : UINT32_MAX;
    size_t above = 0;
    for (size_t t = t0; t < t1; t++)
        for (size_t j = 0; j < m; j++)
            above += bits_of(value_at(pre, b_enc, t, m, j)) > cut;
    size_t ties = keep > above ? keep - above : 0;
    for (size_t t = t0; t < t1; t++) {
        size_t e = csr->start[t];
        for (size_t j = 0; j < m; j++) {
            const float v = value_at(pre, b_enc, t, m, j);
            const uint32_t u = bits_of(v);
            const bool tie = u == cut && ties > 0;
            if (u == 0 || (u <= cut && !tie))
                continue;
            ties -= tie;
            csr->idx[e] = (uint32_t)j;
            csr->val[e++] = v;
        }
        csr->start[t + 1] = e;
    }
}

void sae_ref_topk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                  struct sae_csr *csr)
{
    csr->n = n;
    csr->start[0] = 0;
    for (size_t t = 0; t < n; t++)
        keep_largest(t, t + 1, m, k, pre, b_enc, csr);
}

void sae_ref_batchtopk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                       struct sae_csr *csr)
{
    csr->n = n;
    csr->start[0] = 0;
    keep_largest(0, n, m, n * k, pre, b_enc, csr);
}

/* `positive`: those above 0 alone. */
static void keep_above(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                       bool positive, struct sae_csr *csr, size_t *ret_nnz)
{
    size_t e = 0;
    csr->n = n;
    csr->start[0] = 0;
    for (size_t t = 0; t < n; t++) {
        for (size_t j = 0; j < m; j++) {
            const float v = pre[t * m + j] + b_enc[j];
            if ((positive && !(v > 0)) || (theta && !(v > theta[j])))
                continue;
            if (e < csr->cap) {
                csr->idx[e] = (uint32_t)j;
                csr->val[e] = v;
            }
            e++;
        }
        csr->start[t + 1] = e;
    }
    *ret_nnz = e;
    if (e > csr->cap)
        memset(csr->start, 0, (n + 1) * sizeof *csr->start);
}

void sae_ref_threshold(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                       struct sae_csr *csr, size_t *ret_nnz)
{
    keep_above(n, m, pre, b_enc, theta, true, csr, ret_nnz);
}

void sae_ref_above(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                   struct sae_csr *csr, size_t *ret_nnz)
{
    keep_above(n, m, pre, b_enc, theta, false, csr, ret_nnz);
}
