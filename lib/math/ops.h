/* SPDX-License-Identifier: MIT */
/* ops : the table of numeric kernels. One list, one plain reference (ref), one fast version on
 * OpenBLAS and OpenMP (cpu), and room for one on a GPU behind the same pointers.
 *
 * Pointers to float, idx and so on below are *backend memory*: from ops->alloc, host memory for
 * ref and cpu. Matrices are row-major. Letters: n tokens in a batch, d model width, m dictionary
 * width (latents), k kept latents a token.
 *
 * Contract, on every backend: f32 storage; the result depends on shapes and inputs only, never
 * on the thread count, and two runs give equal bits (on one machine and build); ties in a
 * selection go to the lower index; NaN is never selected. Bounds of error: docs/MATH.md. */
#ifndef SAE_LIB_MATH_OPS_H
#define SAE_LIB_MATH_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/compete.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sparse rows: row t holds entries [start[t], start[t+1]), idx ascending within a row. */
struct sae_csr {
    size_t n;      /* rows */
    size_t cap;    /* entries that idx and val can hold */
    size_t *start; /* [n+1] */
    uint32_t *idx; /* [cap] latent */
    float *val;    /* [cap] activation, > 0 */
};

/* The same entries by latent: entries of latent j are [start[j], start[j+1]), rows ascending. */
struct sae_csc {
    size_t m;
    size_t *start; /* [m+1] */
    uint32_t *row; /* [nnz] token */
    uint32_t *pos; /* [nnz] position of the entry in the csr arrays */
    size_t cap;
};

/* One step of Adam (Kingma and Ba 2015, bias-corrected, no weight decay). */
struct sae_adam {
    float lr, beta1, beta2, eps;
    uint64_t step; /* 1 for the first update */
    float scale;   /* gradients are multiplied by this first (clipping) */
    /* In backend memory, each may be NULL. norm_sq: gradients are also multiplied by
     * min(1, 1 / (sqrt(*norm_sq) + 1e-6)). guard: nothing changes where one of these is not
     * finite. */
    const double *norm_sq;
    const double *guard;
    size_t n_guard;
};

/* Gradient of the thresholds of JumpReLU (train/arch/jumprelu.c has the equations). */
struct sae_jump {
    double width, target, weight; /* of the window; of L0; of its penalty */
    bool by_z;                    /* the step of L0 looks at z, else at f */
};

/* Of cap_rows: above what rounding to f32 moves a cosine by. */
#define SAE_CAP_SLACK 1e-6

struct sae_readback; /* see readback_open */
struct sae_lm_ops; /* lib/math/lm.h */

/* Of the factors of products; sums are f32 always. */
enum sae_precision { SAE_F32, SAE_TF32, SAE_BF16, SAE_PRECISIONS };
extern const char *const sae_precision_names[SAE_PRECISIONS + 1]; /* "f32", "tf32", "bf16", NULL */

struct sae_ops {
    const char *name; /* "ref", "cpu", "cuda" */
    bool host;        /* backend memory is host memory: put and get are plain copies */

    /* How a training step goes best. numbers_delayed: it reads the numbers of the step before, as its
     * own would keep it waiting. grad_block: tokens whose dense gradients are made at a time; 0:
     * all. dense_share: products are dense where more than one activation in so many is kept. */
    bool numbers_delayed;
    size_t grad_block, dense_share;

    /* No entry is NULL but this one. */
    const struct sae_lm_ops *lm; /* NULL where the backend runs no language model */

    /* memory: zeroed; put and get copy between host and backend */
    enum sae_status (*alloc)(void *ret, size_t n, size_t size, struct sae_err *err);
    void (*free)(void *p); /* accepts NULL */
    void (*put)(void *to, const void *host, size_t bytes);
    void (*get)(void *host, const void *from, size_t bytes);
    void (*copy)(void *to, const void *from, size_t bytes); /* within it */
    size_t (*free_bytes)(void);                             /* SIZE_MAX where it is the host's */
    /* Bytes that the operations of a step take for themselves, near enough to plan with. orth: with
     * the orthogonality term, over several batches of masks where `window`. */
    double (*step_bytes)(size_t n, size_t m, size_t d, bool orth, bool window);

    /* C[M][N] = alpha op(A) op(B) + beta C, op = transpose where ta / tb. lda etc. = row strides.
     * beta 0 overwrites C, NaN or not. The cut of C into pieces follows from the shape alone. */
    void (*gemm)(bool ta, bool tb, size_t M, size_t N, size_t K, float alpha, const float *A,
                 size_t lda, const float *B, size_t ldb, float beta, float *C, size_t ldc);

    /* xc[t] = x[t] - b   [n][d] */
    void (*center)(size_t n, size_t d, const float *x, const float *b, float *xc);

    /* Selections set csr->n = n and write csr->start [n+1]. +inf may be kept.
     * Row-wise: keeps the k largest of relu(pre + b_enc) that are > 0. csr->cap >= n*k. */
    void (*topk)(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                 struct sae_csr *csr);
    /* The n*k largest over the whole batch (batch top-k). csr->cap >= n*k. */
    void (*batchtopk)(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                      struct sae_csr *csr);
    /* Keeps pre + b_enc where it is > max(theta_i, 0); theta NULL means 0. Entries needed are
     * written to *ret_nnz; where it exceeds csr->cap nothing is kept (all rows empty) and the
     * caller grows. */
    void (*threshold)(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                      struct sae_csr *csr, size_t *ret_nnz);
    /* The same where pre + b_enc > theta_i, below 0 too. */
    void (*above)(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                  struct sae_csr *csr, size_t *ret_nnz);

    /* gemm of xc [n][d] with W_enc [m][d] and topk of that: the k largest of relu(xc W_enc^T +
     * b_enc) that are > 0. csr->cap >= n*k. scratch: backend memory of encode_scratch floats; that
     * of the largest n and k of a run serves all smaller ones. Returns the product [n][m] in it,
     * NULL where that was never formed as a whole. The selection is exact for the values returned,
     * which are within the bound of gemm; two latents whose exact values are closer than that bound
     * may change places. */
    size_t (*encode_scratch)(size_t n, size_t m, size_t d, size_t k);
    const float *(*encode_topk)(size_t n, size_t m, size_t d, size_t k, const float *xc,
                                const float *W_enc, const float *b_enc, float *scratch,
                                struct sae_csr *csr);

    /* csc from csr; csc->cap >= nnz, csc->start has m+1. */
    void (*transpose)(size_t m, const struct sae_csr *csr, struct sae_csc *csc);

    /* xhat[t] = b_dec + sum_e val_e W_dec[idx_e]   [n][d]; b_dec NULL means 0 */
    void (*decode)(size_t d, const struct sae_csr *csr, const float *W_dec, const float *b_dec,
                   float *xhat);

    /* Given g = dL/dxhat [n][d]:  dz_e = g[row_e] . W_dec[idx_e]  (per entry, csr order),
     * dW_dec[j] = sum over entries of j of val_e g[row_e]   [m][d], every row written. */
    void (*grad_dec)(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                     const float *g, const float *W_dec, float *dz, float *dW_dec);
    /* dW_enc[j] = sum over entries of j of dz_e xc[row_e]  [m][d];  db_enc[j] = sum of dz_e */
    void (*grad_enc)(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                     const float *dz, const float *xc, float *dW_enc, float *db_enc);

    /* out[j] = sum over rows of A[t][j]  [n][d] -> [d];  row sums of squares in double */
    void (*col_sum)(size_t n, size_t d, const float *A, float *out);
    double (*sum_sq)(size_t n, const float *a);

    /* W[j] /= (|W[j]| + eps); a row with |W[j]| + eps = 0 stays */
    void (*unit_rows)(size_t m, size_t d, float eps, float *W);
    void (*adam)(size_t n, const struct sae_adam *h, float *W, const float *G, float *M, float *V);

    /* adam of a decoder with unit rows, on G[j] - proj[j] W[j] (project_sum), and each new row over
     * its norm (+ eps). */
    void (*adam_rows)(size_t m, size_t d, const struct sae_adam *h, const float *proj, float eps,
                      float *W, const float *G, float *M, float *V);

    /* Rows of W, which are unit, back into the cap of those whose cosine to the same row of `start`,
     * unit too, is at least `least`: to its nearest point, and to `start` itself where a row is its
     * opposite. A row that is outside by less than SAE_CAP_SLACK stays, so that doing it again changes
     * nothing; one that is not finite stays too. */
    void (*cap_rows)(size_t m, size_t d, double least, const float *start, float *W);

    /* Numbers that stay in backend memory, so that a step need not wait for the device. Sums are in
     * double; `sum` is overwritten unless it says otherwise. */
    void (*sq_sum)(size_t n, const float *a, double *sum); /* adds to *sum */
    /* grad[t] = 2/n (xhat[t] - x[t]); *sum that of |xhat[t] - x[t]|^2 over t.
     * norm: grad[t] = (xhat[t] - x[t]) / (n |xhat[t] - x[t]|), 0 where that is 0; *sum that of
     * |xhat[t] - x[t]|. */
    void (*loss_sum)(bool norm, size_t n, size_t d, const float *x, const float *xhat, float *grad,
                     double *sum);
    /* What of G lies along the rows of W: proj[j] = (G[j].W[j]) / (|W[j]| + eps)^2, 0 for a row of
     * length 0; *sum that of the squares of G[j] - proj[j] W[j]. */
    void (*project_sum)(size_t m, size_t d, const float *W, float eps, const float *G, float *proj,
                        double *sum);
    /* Sum over n rows of |v - mean v|^2, v = x - minus; minus may be NULL. */
    void (*spread_sum)(size_t n, size_t d, const float *x, const float *minus, double *sum);
    /* pre = relu(pre + b_enc) [n][m]; sum[0] that of the values, sum[1] how many are > 0 */
    void (*relu_sum)(size_t n, size_t m, const float *b_enc, float *pre, double *sum);
    /* dz_i = dz_i + l1 where f_i is not 0, else 0 */
    void (*mask_grad)(size_t n, const float *f, float l1, float *dz);
    /* f [n][m] = the entries of csr, 0 elsewhere */
    void (*scatter)(size_t m, const struct sae_csr *csr, float *f);
    /* active[j] = rows of f [n][m] where latent j is > 0; `add`: plus what it was */
    void (*count_active)(size_t n, size_t m, const float *f, bool add, uint32_t *active);
    /* idle[j] = 0 where latent j is active in the batch, else idle[j] + n; active by `start` of a
     * csc, or where that is NULL by active [m]. sum[0] = latents with idle >= dead_after; sum[1]
     * = start[m], where start is given */
    void (*age)(size_t n, size_t m, const size_t *start, const uint32_t *active,
                uint64_t dead_after, uint64_t *idle, double *sum);
    /* *cut = keep *cut + (1 - keep) least value of csr; just that value where *cut < 0 */
    void (*cut_move)(const struct sae_csr *csr, double keep, double *cut);
    /* encode_topk among latents with idle >= dead_after. pre: xc W_enc^T where the caller has it,
     * or NULL. */
    void (*topk_idle)(size_t n, size_t m, size_t d, size_t k, const float *xc, const float *W_enc,
                      const float *b_enc, const float *pre, const uint64_t *idle,
                      uint64_t dead_after, struct sae_csr *csr);
    /* AuxK. r [n][d] reconstructs e = x - xhat; *loss = mean |r - e|^2 / (*spread / n), and r becomes
     * alpha times its gradient; both 0 where *spread or *dead is not > 0 */
    void (*aux_loss)(size_t n, size_t d, double alpha, const float *x, const float *xhat,
                     const double *spread, const double *dead, float *r, double *loss);
    /* grad_dec and grad_enc of the same entries, added; rows without entries are not touched */
    void (*grad_add)(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                     const float *g, const float *xc, const float *W_dec, float *dz, float *dW_enc,
                     float *dW_dec, float *db_enc);
    /* Orthogonality: G[i] += weight * sum_j c_ij sign(W[i].W[j]) W[j], sign(0) = 0; c_ij by the rule
     * from the masks, never m x m in memory. per_pair: weight is divided by the number of competing
     * pairs. Gout receives the term alone; both may be NULL. W must be finite.
     * sum: the loss (sum over i < j of c_ij |W[i].W[j]|, before any weight), the pairs, sum and
     * maximum of |W[i].W[j]| over them, then for each of the orth_tiles runs of latents its competing
     * partners. Without memory all of sum is NaN on a host, G and Gout are as they were, and check
     * says so.
     * expected_partners: how many partners each run may have, on the host, or NULL. A device computes a run with
     * few from lists of them, others by products: within the same bound, whatever the numbers are, and
     * the bits depend on them. A host counts instead: by lists up to an eighth of m^2 pairs, by
     * products where more compete. */
    size_t (*orth_tiles)(size_t m);
    void (*orth_masks)(size_t m, size_t d, const float *W, const struct sae_overlap_masks *masks,
                       const struct sae_compete_rule *rule, double weight, bool per_pair,
                       const double *expected_partners, float *G, float *Gout, double *sum);
    /* Parts of the rows of A and B across those of W (unit): sum[0] that of |a_j|^2, sum[1] of
     * |b_j|^2, sum[2] of a_j . b_j, sum[3] the rows with |b_j| > |a_j| */
    void (*compare_rows)(size_t m, size_t d, const float *W, const float *A, const float *B,
                         double *sum);
    /* x[t] = rows[row[t]] / norm, rows in bf16 */
    void (*widen_rows)(size_t n, size_t d, const uint16_t *rows, const uint32_t *row, double norm,
                       float *x);
    /* Annealed sparsity of f >= 0, n rows: [n][m], or where `start` is given those of a csr's values.
     * row[t] = sum of f^p over f > 0; to sum[0] is added that of row[t]^(1/p) (root) or row[t] over
     * t, to sum[1] the same for p_next, unless that is 0 */
    void (*lp_sum)(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                   double p_next, double *row, double *sum);
    /* dz += weight r f^(p - 1) where f > 0, r = row[t]^(1/p - 1) (root) or p; else dz = 0 */
    void (*lp_grad)(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                    double weight, const double *row, float *dz);
    /* Gated: gate = relu(u + b_gate), f = relu(exp(r_mag) u + b_mag) where gate > 0, else 0.
     * Adds to sum[0] the sum of gate, to sum[1] how many f > 0 */
    void (*gate)(size_t n, size_t m, const float *u, const float *b_gate, const float *r_mag,
                 const float *b_mag, float *f, float *gate, double *sum);
    /* df = d1 where f > 0, dg = d2 + l1 where gate > 0; d2 = dg + exp(r_mag) df. Sums over tokens:
     * b_gate of dg, b_mag of df, r_mag of df exp(r_mag) u, du of the new d2 */
    void (*gate_grad)(size_t n, size_t m, const float *u, const float *r_mag, const float *f,
                      const float *gate, float l1, const float *d1, float *d2, float *g_b_gate,
                      float *g_b_mag, float *g_r_mag, float *du);
    /* JumpReLU: z += b_enc; active[j] = tokens with z > theta. sum[0] = entries, sum[1] = those that
     * L0's step sees */
    void (*jump)(size_t n, size_t m, const float *b_enc, const float *theta, bool by_z, float *z,
                 uint32_t *active, double *sum);
    /* f = z where z > theta, else 0 */
    void (*jump_fill)(size_t n, size_t m, const float *z, const float *theta, float *f);
    /* g_theta, from g = dL/dxhat [n][d]: dL/df = g W_dec is formed for entries near their threshold
     * alone. *l0: sum[1] of jump */
    void (*jump_grad)(size_t n, size_t m, size_t d, const struct sae_jump *h, const float *z,
                      const float *theta, const uint32_t *active, const double *l0, const float *g,
                      const float *W_dec, float *g_theta);
    /* Matryoshka: the entries with latents in [first, end). xhat = base + theirs  [n][d], may be
     * the same array */
    void (*decode_group)(size_t d, const struct sae_csr *csr, size_t first, size_t end,
                         const float *W_dec, const float *base, float *xhat);
    /* grad_dec of these entries and latents alone; all arrays are those of the whole. */
    void (*grad_dec_group)(size_t d, size_t first, size_t end, const struct sae_csr *csr,
                           const struct sae_csc *csc, const float *g, const float *W_dec, float *dz,
                           float *dW_dec);
    /* H = weight 2/n (xhat - x) + later; *sum = or, where there is `later`, += weight times the sum
     * of |xhat - x|^2. later may be NULL; H may be xhat */
    void (*prefix_loss)(size_t n, size_t d, double weight, const float *x, const float *xhat,
                        const float *later, float *H, double *sum);
    /* OrtSAE (train/orth.c) over n_chunks even pieces of `order` [m], a permutation of the
     * latents. Adds weight times its gradient to G; Gout receives that alone; both may be NULL.
     * *sum: the loss, without weight; NaN where there is no memory */
    void (*ortsae)(size_t m, size_t d, const float *W, size_t n_chunks, const uint32_t *order,
                   double weight, float *G, float *Gout, double *sum);
    /* A few bytes of backend memory on their way to the host: post starts the copy, wait gives
     * those of the last post. */
    enum sae_status (*readback_open)(struct sae_readback **ret, size_t bytes, struct sae_err *err);
    void (*readback_close)(struct sae_readback *readback);
    void (*readback_post)(struct sae_readback *readback, const void *from);
    void (*readback_wait)(struct sae_readback *readback, void *host);
    /* How products are formed; f32 until set. Fails: SAE_EARG the backend has no other. */
    enum sae_status (*precision)(enum sae_precision how, struct sae_err *err);
    /* Waits for all that was started. The first failure since the backend was opened; on a host,
     * whether memory was short since the last call. */
    enum sae_status (*check)(struct sae_err *err);

    /* Histogram of cos_ij over i < j of unit rows: bin = floor((cos + 1) / 2 * n_bins), clamped.
     * Also per row the largest and smallest cosine to another row. Blocked; no m x m matrix. */
    enum sae_status (*cos_hist)(size_t m, size_t d, const float *U, size_t n_bins, uint64_t *hist,
                                float *row_max, uint32_t *row_argmax, float *row_min,
                                struct sae_err *err);

    /* G [d][d] = U^T U in double, both halves, from U [m][d] (finite): the smallest eigenvalues
     * would be rounding in f32. Fails: SAE_ENOMEM */
    enum sae_status (*gram)(size_t m, size_t d, const float *U, double *G, struct sae_err *err);
    /* Eigenvalues of a symmetric finite G [d][d], ascending; G is used up. Fails: SAE_ENOMEM,
     * SAE_EBACKEND they are not found, or the device's library for them is not there */
    enum sae_status (*eigenvalues)(size_t d, double *G, double *eig, struct sae_err *err);
    /* dot[p] = A[i[p]] . A[j[p]], rows of A [.][d]; n of them */
    void (*pair_dots)(size_t n, size_t d, const float *A, const uint32_t *i, const uint32_t *j,
                      float *dot);
};

extern const struct sae_ops sae_ops_ref, sae_ops_cpu;

/* "auto", "ref", "cpu", for a program that computes on the host; "cuda" is refused, auto is cpu.
 * Fails: SAE_EBACKEND, SAE_EARG */
SAE_MUST_CHECK enum sae_status sae_ops_open(const struct sae_ops **ret, const char *name,
                                            size_t n_threads, struct sae_err *err);
/* The same for a program that can use a device: "cuda" too. auto takes cuda if there is a device,
 * and else falls back to the CPU; *fallback_reason (may be NULL) says why, if this build has CUDA,
 * and is empty otherwise. */
SAE_MUST_CHECK enum sae_status sae_ops_open_device(const struct sae_ops **ret, const char *name,
                                                   size_t n_threads,
                                                   struct sae_err *fallback_reason,
                                                   struct sae_err *err);
/* Compares a small training step on the backend with the reference; done for every device that is
 * opened. Fails: SAE_EBACKEND the message names the operation; what the device reports */
SAE_MUST_CHECK enum sae_status sae_ops_agree(const struct sae_ops *ops, struct sae_err *err);
/* The first operation that a table lacks, NULL where it is complete. */
const char *sae_ops_missing(const struct sae_ops *ops);
/* True where this machine has an NVIDIA driver and this build a backend that could use it. */
bool sae_ops_driver(void);
/* Threads of BLAS and OpenMP, both; 0 = as many as processors allowed to this process. */
void sae_ops_threads(size_t n);
/* First thing in main. Waiting threads sleep instead of spinning, which on a machine with other work
 * makes short operations 10 times as fast; and OpenBLAS uses the kernels of this processor, also where
 * it is too old to know it. Both read the environment as they are loaded, so the program starts itself
 * again, once; not where OMP_WAIT_POLICY and OPENBLAS_CORETYPE are set or need not be, nor where
 * SAE_NO_RESTART is set (debuggers, programs in which main is a part). */
void sae_ops_set_environment(char **argv);
const char *sae_ops_blas(void); /* "OpenBLAS 0.3.21 ..." for records and --version */

/* For host backends: the step with its scale worked out; false where the guard stops it. */
bool sae_adam_resolve(const struct sae_adam *h, struct sae_adam *ret);

/* Helpers over any backend's alloc. */
SAE_MUST_CHECK enum sae_status sae_csr_alloc(struct sae_csr *ret, const struct sae_ops *ops,
                                             size_t n, size_t cap, struct sae_err *err);
void sae_csr_free(struct sae_csr *csr, const struct sae_ops *ops);
SAE_MUST_CHECK enum sae_status sae_csc_alloc(struct sae_csc *ret, const struct sae_ops *ops,
                                             size_t m, size_t cap, struct sae_err *err);
void sae_csc_free(struct sae_csc *csc, const struct sae_ops *ops);

#ifdef __cplusplus
}
#endif

#endif /* SAE_LIB_MATH_OPS_H */
