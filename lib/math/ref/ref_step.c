/* SPDX-License-Identifier: MIT */
/* ref_step : operations of a step whose numbers stay in backend memory, plainly.
 * Contents: 1. sums   2. dense activations   3. counters   4. AuxK   5. rest */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bf16.h"
#include "lib/base/mem.h"
#include "lib/math/ref/ref.h"

/* --- 1. sums -------------------------------------------------------------------------------- */

void sae_ref_sq_sum(size_t n, const float *a, double *sum)
{
    for (size_t i = 0; i < n; i++)
        *sum += (double)a[i] * a[i];
}

void sae_ref_spread_sum(size_t n, size_t d, const float *x, const float *minus, double *sum)
{
    *sum = 0;
    for (size_t i = 0; i < d; i++) {
        double mean = 0;
        for (size_t t = 0; t < n; t++)
            mean += ((double)x[t * d + i] - (minus ? minus[t * d + i] : 0)) / (double)n;
        for (size_t t = 0; t < n; t++) {
            const double v = (double)x[t * d + i] - (minus ? minus[t * d + i] : 0) - mean;
            *sum += v * v;
        }
    }
}

void sae_ref_compare_rows(size_t m, size_t d, const float *W, const float *A, const float *B,
                          double *sum)
{
    memset(sum, 0, 4 * sizeof *sum);
    for (size_t j = 0; j < m; j++) {
        const float *const w = W + j * d, *const a = A + j * d, *const b = B + j * d;
        double aa = 0, bb = 0, ab = 0, aw = 0, bw = 0;
        for (size_t i = 0; i < d; i++) {
            aa += (double)a[i] * a[i];
            bb += (double)b[i] * b[i];
            ab += (double)a[i] * b[i];
            aw += (double)a[i] * w[i];
            bw += (double)b[i] * w[i];
        }
        aa = fmax(aa - aw * aw, 0);
        bb = fmax(bb - bw * bw, 0);
        sum[0] += aa;
        sum[1] += bb;
        sum[2] += ab - aw * bw;
        sum[3] += bb > aa;
    }
}

/* --- 2. dense activations ------------------------------------------------------------------- */

void sae_ref_relu_sum(size_t n, size_t m, const float *b_enc, float *pre, double *sum)
{
    sum[0] = sum[1] = 0;
    for (size_t i = 0; i < n * m; i++) {
        const float v = pre[i] + b_enc[i % m];
        pre[i] = v > 0 ? v : 0;
        sum[0] += pre[i];
        sum[1] += pre[i] > 0;
    }
}

void sae_ref_mask_grad(size_t n, const float *f, float l1, float *dz)
{
    for (size_t i = 0; i < n; i++)
        dz[i] = fabsf(f[i]) > 0 ? dz[i] + l1 : 0;
}

void sae_ref_scatter(size_t m, const struct sae_csr *csr, float *f)
{
    memset(f, 0, csr->n * m * sizeof *f);
    for (size_t t = 0; t < csr->n; t++)
        for (size_t e = csr->start[t]; e < csr->start[t + 1]; e++)
            f[t * m + csr->idx[e]] = csr->val[e];
}

/* --- 3. counters ---------------------------------------------------------------------------- */

void sae_ref_count_active(size_t n, size_t m, const float *f, bool add, uint32_t *active)
{
    if (!add)
        memset(active, 0, m * sizeof *active);
    for (size_t t = 0; t < n; t++)
        for (size_t j = 0; j < m; j++)
            active[j] += f[t * m + j] > 0;
}

void sae_ref_age(size_t n, size_t m, const size_t *start, const uint32_t *active,
                 uint64_t dead_after, uint64_t *idle, double *sum)
{
    sum[0] = 0;
    if (start)
        sum[1] = (double)start[m];
    for (size_t j = 0; j < m; j++) {
        const bool used = start ? start[j + 1] > start[j] : active[j] > 0;
        idle[j] = used ? 0 : idle[j] + n;
        sum[0] += idle[j] >= dead_after;
    }
}

void sae_ref_cut_move(const struct sae_csr *csr, double keep, double *cut)
{
    const size_t nnz = csr->start[csr->n];
    double least = nnz ? (double)csr->val[0] : 0;
    for (size_t e = 1; e < nnz; e++)
        least = fmin(least, (double)csr->val[e]);
    *cut = *cut < 0 ? least : keep * *cut + (1 - keep) * least;
}

/* --- 4. AuxK -------------------------------------------------------------------------------- */

/* The values of latents in use are put out of the selection's sight, in a copy. */
void sae_ref_topk_idle(size_t n, size_t m, size_t d, size_t k, const float *xc, const float *W_enc,
                       const float *b_enc, const float *pre, const uint64_t *idle,
                       uint64_t dead_after, struct sae_csr *csr)
{
    float *seen = NULL;
    if (sae_mem_alloc(&seen, n * m, sizeof *seen, NULL) != SAE_OK) {
        memset(csr->start, 0, (n + 1) * sizeof *csr->start);
        return;
    }
    if (!pre)
        sae_ops_ref.gemm(false, true, n, m, d, 1, xc, d, W_enc, d, 0, seen, m);
    for (size_t i = 0; i < n * m; i++)
        seen[i] = idle[i % m] < dead_after ? -INFINITY : pre ? pre[i] : seen[i];
    sae_ref_topk(n, m, k, seen, b_enc, csr);
    free(seen);
}

void sae_ref_aux_loss(size_t n, size_t d, double alpha, const float *x, const float *xhat,
                      const double *spread, const double *dead, float *r, double *loss)
{
    *loss = 0;
    if (!(*spread > 0) || !(*dead > 0)) {
        memset(r, 0, n * d * sizeof *r);
        return;
    }
    const double denominator = *spread / (double)n;
    const float scale = (float)(2 * alpha / ((double)n * denominator));
    double sum = 0;
    for (size_t i = 0; i < n * d; i++) {
        const float miss = r[i] - (x[i] - xhat[i]);
        sum += (double)miss * (double)miss;
        r[i] = scale * miss;
    }
    *loss = sum / (double)n / denominator;
}

void sae_ref_grad_add(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *g, const float *xc, const float *W_dec, float *dz, float *dW_enc,
                      float *dW_dec, float *db_enc)
{
    for (size_t j = 0; j < m; j++) {
        if (csc->start[j] == csc->start[j + 1])
            continue;
        double bias = 0;
        for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++) {
            const float *const row = g + csc->row[p] * d;
            double dot = 0;
            for (size_t i = 0; i < d; i++)
                dot += (double)row[i] * W_dec[j * d + i];
            dz[csc->pos[p]] = (float)dot;
            bias += (float)dot;
        }
        db_enc[j] = (float)(db_enc[j] + bias);
        for (size_t i = 0; i < d; i++) {
            double dec = 0, enc = 0;
            for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++) {
                dec += (double)csr->val[csc->pos[p]] * g[csc->row[p] * d + i];
                enc += (double)dz[csc->pos[p]] * xc[csc->row[p] * d + i];
            }
            dW_dec[j * d + i] = (float)(dW_dec[j * d + i] + dec);
            dW_enc[j * d + i] = (float)(dW_enc[j * d + i] + enc);
        }
    }
}

/* --- 5. rest -------------------------------------------------------------------------------- */

void sae_ref_widen_rows(size_t n, size_t d, const uint16_t *rows, const uint32_t *row, double norm,
                        float *x)
{
    for (size_t t = 0; t < n; t++) {
        sae_bf16_widen(x + t * d, rows + row[t] * d, d);
        for (size_t i = 0; norm != 1 && i < d; i++)
            x[t * d + i] = (float)((double)x[t * d + i] / norm);
    }
}

size_t sae_ref_free_bytes(void)
{
    return SIZE_MAX;
}

struct sae_readback {
    size_t bytes;
    void *held;
};

enum sae_status sae_ref_readback_open(struct sae_readback **ret, size_t bytes, struct sae_err *err)
{
    struct sae_readback *readback = NULL;
    SAE_TRY(sae_mem_alloc(&readback, 1, sizeof *readback, err));
    readback->bytes = bytes;
    const enum sae_status st = sae_mem_alloc(&readback->held, bytes, 1, err);
    if (st != SAE_OK) {
        free(readback);
        return st;
    }
    *ret = readback;
    return SAE_OK;
}

void sae_ref_readback_close(struct sae_readback *readback)
{
    if (!readback)
        return;
    free(readback->held);
    free(readback);
}

void sae_ref_readback_post(struct sae_readback *readback, const void *from)
{
    memcpy(readback->held, from, readback->bytes);
}

void sae_ref_readback_wait(struct sae_readback *readback, void *host)
{
    memcpy(host, readback->held, readback->bytes);
}

enum sae_status sae_ref_precision(enum sae_precision how, struct sae_err *err)
{
    if (how == SAE_F32)
        return SAE_OK;
    return sae_err_set(err, SAE_EARG, "products in %s need --backend cuda",
                       how == SAE_BF16 ? "bf16" : "tf32");
}

enum sae_status sae_ref_check(struct sae_err *err)
{
    (void)err;
    return SAE_OK;
}
