/* SPDX-License-Identifier: MIT */
/* ref_sparse : operations over the kept entries, plainly. */
#include <string.h>

#include "lib/math/ref/ref.h"

void sae_ref_transpose(size_t m, const struct sae_csr *csr, struct sae_csc *csc)
{
    const size_t nnz = csr->start[csr->n];
    csc->m = m;
    memset(csc->start, 0, (m + 1) * sizeof *csc->start);
    for (size_t e = 0; e < nnz; e++)
        csc->start[csr->idx[e] + 1]++;
    for (size_t j = 0; j < m; j++)
        csc->start[j + 1] += csc->start[j];
    /* start[j] walks to the end of latent j while entries are placed, then is moved back */
    for (size_t t = 0; t < csr->n; t++) {
        for (size_t e = csr->start[t]; e < csr->start[t + 1]; e++) {
            const size_t p = csc->start[csr->idx[e]]++;
            csc->row[p] = (uint32_t)t;
            csc->pos[p] = (uint32_t)e;
        }
    }
    memmove(csc->start + 1, csc->start, m * sizeof *csc->start);
    csc->start[0] = 0;
}

void sae_ref_decode(size_t d, const struct sae_csr *csr, const float *W_dec, const float *b_dec,
                    float *xhat)
{
    for (size_t t = 0; t < csr->n; t++) {
        for (size_t i = 0; i < d; i++) {
            double sum = b_dec ? b_dec[i] : 0;
            for (size_t e = csr->start[t]; e < csr->start[t + 1]; e++)
                sum += (double)csr->val[e] * W_dec[csr->idx[e] * d + i];
            xhat[t * d + i] = (float)sum;
        }
    }
}

void sae_ref_grad_dec(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *g, const float *W_dec, float *dz, float *dW_dec)
{
    for (size_t t = 0; t < csr->n; t++) {
        for (size_t e = csr->start[t]; e < csr->start[t + 1]; e++) {
            double dot = 0;
            for (size_t i = 0; i < d; i++)
                dot += (double)g[t * d + i] * W_dec[csr->idx[e] * d + i];
            dz[e] = (float)dot;
        }
    }
    for (size_t j = 0; j < m; j++) {
        for (size_t i = 0; i < d; i++) {
            double sum = 0;
            for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++)
                sum += (double)csr->val[csc->pos[p]] * g[csc->row[p] * d + i];
            dW_dec[j * d + i] = (float)sum;
        }
    }
}

void sae_ref_grad_enc(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *dz, const float *xc, float *dW_enc, float *db_enc)
{
    (void)csr;
    for (size_t j = 0; j < m; j++) {
        double bias = 0;
        for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++)
            bias += dz[csc->pos[p]];
        db_enc[j] = (float)bias;
        for (size_t i = 0; i < d; i++) {
            double sum = 0;
            for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++)
                sum += (double)dz[csc->pos[p]] * xc[csc->row[p] * d + i];
            dW_enc[j * d + i] = (float)sum;
        }
    }
}
