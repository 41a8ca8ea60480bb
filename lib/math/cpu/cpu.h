/* SPDX-License-Identifier: MIT */
/* cpu : the backend on OpenBLAS and OpenMP. Internal to lib/math/cpu.
 *
 * How results stay independent of the thread count: work is cut into pieces by the shapes alone,
 * every output element belongs to one piece, and sums over pieces are taken in the order of the
 * pieces. Only the assignment of pieces to threads varies. */
#ifndef SAE_LIB_MATH_CPU_CPU_H
#define SAE_LIB_MATH_CPU_CPU_H

#include "lib/math/clones.h"
#include "lib/math/ops.h"

/* OpenBLAS takes its slowest kernels for a processor that is newer than it. `found`: the core it took.
 * Returns the core to ask for instead (OPENBLAS_CORETYPE), NULL where `found` is right. */
const char *sae_cpu_blas_core(const char *found, bool has_avx2, bool has_avx512);

void sae_cpu_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, float alpha, const float *A,
                  size_t lda, const float *B, size_t ldb, float beta, float *C, size_t ldc);

/* C[N] = alpha A[K] B[K][N] + beta C */
void sae_cpu_vecmat(size_t N, size_t K, float alpha, const float *A, const float *B, size_t ldb,
                    float beta, float *C);

void sae_cpu_topk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                  struct sae_csr *csr);
/* Of keys (bits of positive floats, else 0): a cut that at least k of them reach, exactly k where no
 * tie forbids it; 0 where fewer than k are > 0. */
uint32_t sae_cpu_cut(size_t n, const uint32_t *key, size_t k);
/* The k largest > 0 of val + b_enc[idx] among n <= 4096 latents, idx ascending. */
size_t sae_cpu_select_few(size_t n, const uint32_t *idx, const float *val, const float *b_enc,
                          size_t k, uint32_t *ret_idx, float *ret_val);
/* One row: written at t * k, its count in start[t + 1]. */
void sae_cpu_topk_row(size_t m, size_t k, const float *pre, const float *b_enc, size_t t,
                      struct sae_csr *csr);
/* Rows [t0, t0 + n) of a batch, whose pre-activations begin at pre: row t is written at t * k, its
 * count in start[t + 1]. sae_cpu_close_gaps makes the whole batch of it. */
void sae_cpu_topk_rows(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                       size_t t0, struct sae_csr *csr);
void sae_cpu_close_gaps(size_t n, size_t k, struct sae_csr *csr);
void sae_cpu_batchtopk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                       struct sae_csr *csr);
/* start[t + 1] holds the entries of row t: makes them positions. False, with empty rows, where there
 * are more than csr->cap. */
bool sae_cpu_place_rows(struct sae_csr *csr, size_t *ret_nnz);
void sae_cpu_threshold(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                       struct sae_csr *csr, size_t *ret_nnz);
void sae_cpu_above(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                   struct sae_csr *csr, size_t *ret_nnz);
void sae_cpu_count_active(size_t n, size_t m, const float *f, bool add, uint32_t *active);
void sae_cpu_jump(size_t n, size_t m, const float *b_enc, const float *theta, bool by_z, float *z,
                  uint32_t *active, double *sum);
void sae_cpu_jump_fill(size_t n, size_t m, const float *z, const float *theta, float *f);
void sae_cpu_jump_grad(size_t n, size_t m, size_t d, const struct sae_jump *h, const float *z,
                       const float *theta, const uint32_t *active, const double *l0,
                       const float *g, const float *W_dec, float *g_theta);

size_t sae_cpu_encode_scratch(size_t n, size_t m, size_t d, size_t k);
const float *sae_cpu_encode_topk(size_t n, size_t m, size_t d, size_t k, const float *xc,
                                 const float *W_enc, const float *b_enc, float *scratch,
                                 struct sae_csr *csr);
void sae_cpu_topk_idle(size_t n, size_t m, size_t d, size_t k, const float *xc, const float *W_enc,
                       const float *b_enc, const float *pre, const uint64_t *idle,
                       uint64_t dead_after, struct sae_csr *csr);

void sae_cpu_transpose(size_t m, const struct sae_csr *csr, struct sae_csc *csc);
void sae_cpu_decode(size_t d, const struct sae_csr *csr, const float *W_dec, const float *b_dec,
                    float *xhat);
void sae_cpu_grad_dec(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *g, const float *W_dec, float *dz, float *dW_dec);
void sae_cpu_grad_enc(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *dz, const float *xc, float *dW_enc, float *db_enc);

void sae_cpu_center(size_t n, size_t d, const float *x, const float *b, float *xc);
void sae_cpu_col_sum(size_t n, size_t d, const float *A, float *out);
double sae_cpu_sum_sq(size_t n, const float *a);
void sae_cpu_unit_rows(size_t m, size_t d, float eps, float *W);
void sae_cpu_adam(size_t n, const struct sae_adam *h, float *W, const float *G, float *M, float *V);

void sae_cpu_adam_rows(size_t m, size_t d, const struct sae_adam *h, const float *proj, float eps,
                       float *W, const float *G, float *M, float *V);
void sae_cpu_cap_rows(size_t m, size_t d, double least, const float *start, float *W);

void sae_cpu_compare_rows(size_t m, size_t d, const float *W, const float *A, const float *B,
                          double *sum);
void sae_cpu_orth_masks(size_t m, size_t d, const float *W, const struct sae_overlap_masks *masks,
                        const struct sae_compete_rule *rule, double weight, bool per_pair,
                        const double *expected_partners, float *G, float *Gout, double *sum);
void sae_cpu_ortsae(size_t m, size_t d, const float *W, size_t n_chunks, const uint32_t *order,
                    double weight, float *G, float *Gout, double *sum);
enum sae_status sae_cpu_cos_hist(size_t m, size_t d, const float *U, size_t n_bins, uint64_t *hist,
                                 float *row_max, uint32_t *row_argmax, float *row_min,
                                 struct sae_err *err);

enum sae_status sae_cpu_gram(size_t m, size_t d, const float *U, double *G, struct sae_err *err);
enum sae_status sae_cpu_eigenvalues(size_t d, double *G, double *eig, struct sae_err *err);
void sae_cpu_pair_dots(size_t n, size_t d, const float *A, const uint32_t *i, const uint32_t *j,
                       float *dot);

/* numbers that stay in backend memory */
void sae_cpu_sq_sum(size_t n, const float *a, double *sum);
void sae_cpu_loss_sum(bool norm, size_t n, size_t d, const float *x, const float *xhat, float *grad,
                      double *sum);
void sae_cpu_project_sum(size_t m, size_t d, const float *W, float eps, const float *G, float *proj,
                         double *sum);
void sae_cpu_spread_sum(size_t n, size_t d, const float *x, const float *minus, double *sum);
void sae_cpu_relu_sum(size_t n, size_t m, const float *b_enc, float *pre, double *sum);
void sae_cpu_mask_grad(size_t n, const float *f, float l1, float *dz);
void sae_cpu_scatter(size_t m, const struct sae_csr *csr, float *f);
void sae_cpu_age(size_t n, size_t m, const size_t *start, const uint32_t *active,
                 uint64_t dead_after, uint64_t *idle, double *sum);
void sae_cpu_cut_move(const struct sae_csr *csr, double keep, double *cut);
void sae_cpu_lp_sum(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                    double p_next, double *row, double *sum);
void sae_cpu_lp_grad(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                     double weight, const double *row, float *dz);
void sae_cpu_copy(void *to, const void *from, size_t bytes);
void sae_cpu_widen_rows(size_t n, size_t d, const uint16_t *rows, const uint32_t *row, double norm,
                        float *x);
void sae_cpu_gate(size_t n, size_t m, const float *u, const float *b_gate, const float *r_mag,
                  const float *b_mag, float *f, float *gate, double *sum);
void sae_cpu_gate_grad(size_t n, size_t m, const float *u, const float *r_mag, const float *f,
                       const float *gate, float l1, const float *d1, float *d2, float *g_b_gate,
                       float *g_b_mag, float *g_r_mag, float *du);
void sae_cpu_aux_loss(size_t n, size_t d, double alpha, const float *x, const float *xhat,
                      const double *spread, const double *dead, float *r, double *loss);
void sae_cpu_grad_add(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *g, const float *xc, const float *W_dec, float *dz, float *dW_enc,
                      float *dW_dec, float *db_enc);
void sae_cpu_decode_group(size_t d, const struct sae_csr *csr, size_t first, size_t end,
                          const float *W_dec, const float *base, float *xhat);
void sae_cpu_grad_dec_group(size_t d, size_t first, size_t end, const struct sae_csr *csr,
                            const struct sae_csc *csc, const float *g, const float *W_dec,
                            float *dz, float *dW_dec);
void sae_cpu_prefix_loss(size_t n, size_t d, double weight, const float *x, const float *xhat,
                         const float *later, float *H, double *sum);

/* An operation that returns nothing had no memory, and wrote an empty result: `check` says so. */
void sae_cpu_no_memory(void);
/* Around a parallel region that calls the BLAS from each thread: single tells what again needs. */
int sae_cpu_blas_single(void);
/* Whether the limit of address space, if there is one, leaves room for the buffers of OpenBLAS.
 * n_threads 0: as many as processors. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_cpu_ask_space(size_t n_threads, struct sae_err *err);
void sae_cpu_blas_again(int threads);

#endif /* SAE_LIB_MATH_CPU_CPU_H */
