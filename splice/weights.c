/* SPDX-License-Identifier: MIT */
/* weights : norms and cosines of a dictionary's rows (SAEBench section 1.5). */
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "splice/splice.h"

enum { BINS = 64 }; /* the histogram itself is not used here */

void splice_weights_clear(struct splice_weights *weights)
{
    free(weights->enc_norm);
    free(weights->enc_dec);
    free(weights->max_enc);
    free(weights->max_dec);
    *weights = (struct splice_weights){0};
}

/* Rows of W at length 1 in U; rows of length 0 stay 0. norm may be NULL. */
static void unit_rows(size_t m, size_t d, const float *W, float *U, float *norm)
{
    for (size_t i = 0; i < m; i++) {
        double sum = 0;
        for (size_t j = 0; j < d; j++)
            sum += (double)W[i * d + j] * (double)W[i * d + j];
        const double length = sqrt(sum);
        for (size_t j = 0; j < d; j++)
            U[i * d + j] = length > 0 ? (float)((double)W[i * d + j] / length) : 0;
        if (norm != NULL)
            norm[i] = (float)length;
    }
}

/* Largest cosine of each row to another; the mean of them. */
static enum sae_status nearest(size_t m, size_t d, const float *U, const struct sae_ops *ops,
                               float *row_max, double *mean, struct sae_err *err)
{
    uint64_t *hist = NULL;
    uint32_t *arg = NULL;
    float *row_min = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_mem_alloc(&hist, BINS, sizeof *hist, err));
    SAE_GO(st, sae_mem_alloc(&arg, m, sizeof *arg, err));
    SAE_GO(st, sae_mem_alloc(&row_min, m, sizeof *row_min, err));
    SAE_GO(st, ops->cos_hist(m, d, U, BINS, hist, row_max, arg, row_min, err));
    *mean = 0;
    for (size_t i = 0; i < m; i++)
        *mean += (double)row_max[i] / (double)m;
done:
    free(hist);
    free(arg);
    free(row_min);
    return st;
}

enum sae_status splice_weights_make(struct splice_weights *ret, const struct sae_model *model,
                                    const struct sae_ops *ops, struct sae_err *err)
{
    const size_t m = model->m, d = model->d;
    const struct sae_ops *host = ops->host ? ops : &sae_ops_cpu;
    struct splice_weights w = {0};
    float *enc = NULL, *dec = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_mem_alloc(&enc, m, d * sizeof(float), err));
    SAE_GO(st, sae_mem_alloc(&dec, m, d * sizeof(float), err));
    SAE_GO(st, sae_mem_alloc(&w.enc_norm, m, sizeof(float), err));
    SAE_GO(st, sae_mem_alloc(&w.enc_dec, m, sizeof(float), err));
    SAE_GO(st, sae_mem_alloc(&w.max_enc, m, sizeof(float), err));
    SAE_GO(st, sae_mem_alloc(&w.max_dec, m, sizeof(float), err));
    unit_rows(m, d, model->W_enc, enc, w.enc_norm);
    unit_rows(m, d, model->W_dec, dec, NULL);
    for (size_t i = 0; i < m; i++) {
        double dot = 0;
        for (size_t j = 0; j < d; j++)
            dot += (double)enc[i * d + j] * (double)dec[i * d + j];
        w.enc_dec[i] = (float)dot;
    }
    if (m > 1) {
        SAE_GO(st, nearest(m, d, enc, host, w.max_enc, &w.mean_max_enc, err));
        SAE_GO(st, nearest(m, d, dec, host, w.max_dec, &w.mean_max_dec, err));
    }
    *ret = w;
    w = (struct splice_weights){0};
done:
    splice_weights_clear(&w);
    free(enc);
    free(dec);
    return st;
}
