/* SPDX-License-Identifier: MIT */
/* ref : dense operations of the plain backend, and its table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/lm.h"
#include "lib/math/ref/ref.h"

static enum sae_status mem_alloc(void *ret, size_t n, size_t size, struct sae_err *err)
{
    return sae_mem_alloc(ret, n, size, err);
}

static void mem_free(void *p)
{
    free(p);
}

static void mem_put(void *to, const void *host, size_t bytes)
{
    if (bytes > 0)
        memcpy(to, host, bytes);
}

static void mem_get(void *host, const void *from, size_t bytes)
{
    if (bytes > 0)
        memcpy(host, from, bytes);
}

static void gemm(bool ta, bool tb, size_t M, size_t N, size_t K, float alpha, const float *A,
                 size_t lda, const float *B, size_t ldb, float beta, float *C, size_t ldc)
{
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            double sum = 0;
            for (size_t l = 0; l < K; l++) {
                const float a = ta ? A[l * lda + i] : A[i * lda + l];
                const float b = tb ? B[j * ldb + l] : B[l * ldb + j];
                sum += (double)a * b;
            }
            float *const c = &C[i * ldc + j];
            /* beta 0 means that C need not be set before, as in BLAS */
            *c = (float)(alpha * sum + (beta == 0 ? 0 : (double)beta * *c));
        }
    }
}

static void center(size_t n, size_t d, const float *x, const float *b, float *xc)
{
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < d; i++)
            xc[t * d + i] = x[t * d + i] - b[i];
}

static void col_sum(size_t n, size_t d, const float *A, float *out)
{
    for (size_t i = 0; i < d; i++) {
        double sum = 0;
        for (size_t t = 0; t < n; t++)
            sum += A[t * d + i];
        out[i] = (float)sum;
    }
}

static double sum_sq(size_t n, const float *a)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * a[i];
    return sum;
}

static void unit_rows(size_t m, size_t d, float eps, float *W)
{
    for (size_t j = 0; j < m; j++) {
        float *const w = W + j * d;
        const double norm = sqrt(sum_sq(d, w)) + eps;
        if (norm == 0)
            continue;
        for (size_t i = 0; i < d; i++)
            w[i] = (float)(w[i] / norm);
    }
}

static void adam(size_t n, const struct sae_adam *from, float *W, const float *G, float *M,
                 float *V)
{
    struct sae_adam now;
    const struct sae_adam *const h = &now;
    if (!sae_adam_resolve(from, &now))
        return;
    const double b1 = h->beta1, b2 = h->beta2;
    const double c1 = 1 - pow(b1, (double)h->step), c2 = 1 - pow(b2, (double)h->step);
    for (size_t i = 0; i < n; i++) {
        const double g = (double)h->scale * G[i];
        const double mom = b1 * M[i] + (1 - b1) * g;
        const double var = b2 * V[i] + (1 - b2) * g * g;
        M[i] = (float)mom;
        V[i] = (float)var;
        W[i] = (float)(W[i] - h->lr * (mom / c1) / (sqrt(var / c2) + h->eps));
    }
}

static size_t encode_scratch(size_t n, size_t m, size_t d, size_t k)
{
    (void)d;
    (void)k;
    return n * m;
}

static const float *encode_topk(size_t n, size_t m, size_t d, size_t k, const float *xc,
                                const float *W_enc, const float *b_enc, float *scratch,
                                struct sae_csr *csr)
{
    gemm(false, true, n, m, d, 1, xc, d, W_enc, d, 0, scratch, m);
    sae_ref_topk(n, m, k, scratch, b_enc, csr);
    return scratch;
}

void sae_ref_loss_sum(bool norm, size_t n, size_t d, const float *x, const float *xhat, float *grad,
                      double *sum)
{
    *sum = 0;
    for (size_t t = 0; t < n; t++) {
        double sq = 0;
        for (size_t i = t * d; i < (t + 1) * d; i++) {
            grad[i] = xhat[i] - x[i];
            sq += (double)grad[i] * grad[i];
        }
        const double scale = norm ? (sq > 0 ? 1 / sqrt(sq) : 0) : 2;
        for (size_t i = t * d; i < (t + 1) * d; i++)
            grad[i] = (float)(scale / (double)n * grad[i]);
        *sum += norm ? sqrt(sq) : sq;
    }
}

/* G[j] - proj[j] W[j] */
static void take_out(size_t d, float proj, const float *w, const float *g, float *left)
{
    for (size_t i = 0; i < d; i++)
        left[i] = (float)(g[i] - (double)proj * w[i]);
}

void sae_ref_project_sum(size_t m, size_t d, const float *W, float eps, const float *G, float *proj,
                         double *sum)
{
    *sum = 0;
    for (size_t j = 0; j < m; j++) {
        const float *const w = W + j * d, *const g = G + j * d;
        const double norm = sqrt(sum_sq(d, w)) + eps;
        double dot = 0;
        for (size_t i = 0; i < d; i++)
            dot += (double)g[i] * w[i];
        proj[j] = (float)(norm == 0 ? 0 : dot / norm / norm);
        for (size_t i = 0; i < d; i++) {
            const double v = g[i] - (double)proj[j] * w[i];
            *sum += v * v;
        }
    }
}

static void adam_rows(size_t m, size_t d, const struct sae_adam *h, const float *proj, float eps,
                      float *W, const float *G, float *M, float *V)
{
    struct sae_adam now;
    float left[1];
    if (!sae_adam_resolve(h, &now))
        return;
    for (size_t j = 0; j < m; j++) {
        for (size_t i = j * d; i < (j + 1) * d; i++) {
            take_out(1, proj[j], W + i, G + i, left);
            adam(1, h, W + i, left, M + i, V + i);
        }
    }
    unit_rows(m, d, eps, W);
}

/* The cosine c and the part across, u = w - c start, give least start + sqrt(1 - least^2) u / |u|. */
static void cap_row(size_t d, double least, const float *start, float *w)
{
    double c = 0, sq = 0;
    for (size_t i = 0; i < d; i++)
        c += (double)w[i] * start[i];
    if (!(c < least - SAE_CAP_SLACK))
        return;
    for (size_t i = 0; i < d; i++)
        sq += (w[i] - c * start[i]) * (w[i] - c * start[i]);
    const double across = sqrt(sq);
    for (size_t i = 0; i < d; i++)
        w[i] = across > SAE_CAP_SLACK
                   ? (float)(least * start[i] +
                             sqrt(1 - least * least) * ((w[i] - c * start[i]) / across))
                   : start[i];
}

static void cap_rows(size_t m, size_t d, double least, const float *start, float *W)
{
    for (size_t j = 0; j < m; j++)
        cap_row(d, least, start + j * d, W + j * d);
}

static double step_bytes(size_t n, size_t m, size_t d, bool orth, bool window)
{
    (void)d, (void)orth, (void)window;
    return 4 * (double)n * (double)m; /* of topk_idle */
}

const struct sae_ops sae_ops_ref = {
    .name = "ref",
    .host = true,
    .grad_block = 256,
    .dense_share = 16,
    .lm = &sae_lm_ref,
    .alloc = mem_alloc,
    .free = mem_free,
    .put = mem_put,
    .get = mem_get,
    .copy = mem_put,
    .free_bytes = sae_ref_free_bytes,
    .step_bytes = step_bytes,
    .gemm = gemm,
    .center = center,
    .topk = sae_ref_topk,
    .batchtopk = sae_ref_batchtopk,
    .threshold = sae_ref_threshold,
    .above = sae_ref_above,
    .encode_scratch = encode_scratch,
    .encode_topk = encode_topk,
    .transpose = sae_ref_transpose,
    .decode = sae_ref_decode,
    .grad_dec = sae_ref_grad_dec,
    .grad_enc = sae_ref_grad_enc,
    .col_sum = col_sum,
    .sum_sq = sum_sq,
    .unit_rows = unit_rows,
    .adam = adam,
    .adam_rows = adam_rows,
    .cap_rows = cap_rows,
    .sq_sum = sae_ref_sq_sum,
    .loss_sum = sae_ref_loss_sum,
    .project_sum = sae_ref_project_sum,
    .spread_sum = sae_ref_spread_sum,
    .relu_sum = sae_ref_relu_sum,
    .mask_grad = sae_ref_mask_grad,
    .scatter = sae_ref_scatter,
    .age = sae_ref_age,
    .cut_move = sae_ref_cut_move,
    .lp_sum = sae_ref_lp_sum,
    .lp_grad = sae_ref_lp_grad,
    .widen_rows = sae_ref_widen_rows,
    .gate = sae_ref_gate,
    .gate_grad = sae_ref_gate_grad,
    .aux_loss = sae_ref_aux_loss,
    .grad_add = sae_ref_grad_add,
    .decode_group = sae_ref_decode_group,
    .grad_dec_group = sae_ref_grad_dec_group,
    .prefix_loss = sae_ref_prefix_loss,
    .orth_tiles = sae_ref_orth_tiles,
    .orth_masks = sae_ref_orth_masks,
    .compare_rows = sae_ref_compare_rows,
    .ortsae = sae_ref_ortsae,
    .readback_open = sae_ref_readback_open,
    .readback_close = sae_ref_readback_close,
    .readback_post = sae_ref_readback_post,
    .readback_wait = sae_ref_readback_wait,
    .precision = sae_ref_precision,
    .topk_idle = sae_ref_topk_idle,
    .check = sae_ref_check,
    .count_active = sae_ref_count_active,
    .jump = sae_ref_jump,
    .jump_fill = sae_ref_jump_fill,
    .jump_grad = sae_ref_jump_grad,
    .cos_hist = sae_ref_cos_hist,
    .gram = sae_ref_gram,
    .eigenvalues = sae_ref_eigenvalues,
    .pair_dots = sae_ref_pair_dots,
};
