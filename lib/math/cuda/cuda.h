/* SPDX-License-Identifier: MIT */
/* cuda : the backend on an NVIDIA device. Same files as ref and cpu, side by side: cuda_select.cu
 * has what ref_select.c and cpu_select.c have. Pointers to arrays are device memory; structs, and
 * results by value, are the host's, and an operation that gives the host a number waits for the
 * device. Internal to lib/math/cuda. */
#ifndef SAE_LIB_MATH_CUDA_CUDA_H
#define SAE_LIB_MATH_CUDA_CUDA_H

#include "lib/math/cuda/device.h"

extern "C" const struct sae_ops sae_ops_cuda; /* usable once sae_gpu_open was */

void sae_cuda_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, float alpha, const float *A,
                   size_t lda, const float *B, size_t ldb, float beta, float *C, size_t ldc);

void sae_cuda_topk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                   struct sae_csr *csr);
void sae_cuda_batchtopk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                        struct sae_csr *csr);
void sae_cuda_threshold(size_t n, size_t m, const float *pre, const float *b_enc,
                        const float *theta, struct sae_csr *csr, size_t *ret_nnz);
void sae_cuda_above(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                   struct sae_csr *csr, size_t *ret_nnz);

void sae_cuda_transpose(size_t m, const struct sae_csr *csr, struct sae_csc *csc);
void sae_cuda_decode(size_t d, const struct sae_csr *csr, const float *W_dec, const float *b_dec,
                     float *xhat);
void sae_cuda_grad_dec(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                       const float *g, const float *W_dec, float *dz, float *dW_dec);
void sae_cuda_grad_enc(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                       const float *dz, const float *xc, float *dW_enc, float *db_enc);

void sae_cuda_center(size_t n, size_t d, const float *x, const float *b, float *xc);
void sae_cuda_col_sum(size_t n, size_t d, const float *A, float *out);
double sae_cuda_sum_sq(size_t n, const float *a);
void sae_cuda_unit_rows(size_t m, size_t d, float eps, float *W);
void sae_cuda_adam(size_t n, const struct sae_adam *h, float *W, const float *G, float *M,
                   float *V);

size_t sae_cuda_encode_scratch(size_t n, size_t m, size_t d, size_t k);
const float *sae_cuda_encode_topk(size_t n, size_t m, size_t d, size_t k, const float *xc,
                                  const float *W_enc, const float *b_enc, float *scratch,
                                  struct sae_csr *csr);
void sae_cuda_adam_rows(size_t m, size_t d, const struct sae_adam *h, const float *proj, float eps,
                        float *W, const float *G, float *M, float *V);
void sae_cuda_cap_rows(size_t m, size_t d, double least, const float *start, float *W);

enum sae_status sae_cuda_cos_hist(size_t m, size_t d, const float *U, size_t n_bins, uint64_t *hist,
                                  float *row_max, uint32_t *row_argmax, float *row_min,
                                  struct sae_err *err);

enum sae_status sae_cuda_gram(size_t m, size_t d, const float *U, double *G, struct sae_err *err);
enum sae_status sae_cuda_eigenvalues(size_t d, double *G, double *eig, struct sae_err *err);
void sae_cuda_pair_dots(size_t n, size_t d, const float *A, const uint32_t *i, const uint32_t *j,
                        float *dot);

/* numbers that stay on the device */
void sae_cuda_spread_sum(size_t n, size_t d, const float *x, const float *minus, double *sum);
void sae_cuda_relu_sum(size_t n, size_t m, const float *b_enc, float *pre, double *sum);
void sae_cuda_mask_grad(size_t n, const float *f, float l1, float *dz);
void sae_cuda_scatter(size_t m, const struct sae_csr *csr, float *f);
void sae_cuda_count_active(size_t n, size_t m, const float *f, bool add, uint32_t *active);
void sae_cuda_age(size_t n, size_t m, const size_t *start, const uint32_t *active,
                 uint64_t dead_after, uint64_t *idle, double *sum);
void sae_cuda_cut_move(const struct sae_csr *csr, double keep, double *cut);
void sae_cuda_topk_idle(size_t n, size_t m, size_t d, size_t k, const float *xc, const float *W_enc,
                        const float *b_enc, const float *pre, const uint64_t *idle,
                        uint64_t dead_after, struct sae_csr *csr);
void sae_cuda_aux_loss(size_t n, size_t d, double alpha, const float *x, const float *xhat,
                       const double *spread, const double *dead, float *r, double *loss);
void sae_cuda_grad_add(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                       const float *g, const float *xc, const float *W_dec, float *dz,
                       float *dW_enc, float *dW_dec, float *db_enc);
void sae_cuda_orth_masks(size_t m, size_t d, const float *W, const struct sae_overlap_masks *masks,
                         const struct sae_compete_rule *rule, double weight, bool per_pair,
                         const double *expected_partners, float *G, float *Gout, double *sum);
size_t sae_cuda_orth_tiles(size_t m);
void sae_cuda_compare_rows(size_t m, size_t d, const float *W, const float *A, const float *B,
                           double *sum);
void sae_cuda_widen_rows(size_t n, size_t d, const uint16_t *rows, const uint32_t *row, double norm,
                         float *x);

/* other architectures */
void sae_cuda_lp_sum(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                    double p_next, double *row, double *sum);
void sae_cuda_lp_grad(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                     double weight, const double *row, float *dz);
void sae_cuda_gate(size_t n, size_t m, const float *u, const float *b_gate, const float *r_mag,
                  const float *b_mag, float *f, float *gate, double *sum);
void sae_cuda_gate_grad(size_t n, size_t m, const float *u, const float *r_mag, const float *f,
                       const float *gate, float l1, const float *d1, float *d2, float *g_b_gate,
                       float *g_b_mag, float *g_r_mag, float *du);
void sae_cuda_jump(size_t n, size_t m, const float *b_enc, const float *theta, bool by_z, float *z,
                  uint32_t *active, double *sum);
void sae_cuda_jump_fill(size_t n, size_t m, const float *z, const float *theta, float *f);
void sae_cuda_jump_grad(size_t n, size_t m, size_t d, const struct sae_jump *h, const float *z,
                       const float *theta, const uint32_t *active, const double *l0,
                       const float *g, const float *W_dec, float *g_theta);
void sae_cuda_decode_group(size_t d, const struct sae_csr *csr, size_t first, size_t end,
                          const float *W_dec, const float *base, float *xhat);
void sae_cuda_grad_dec_group(size_t d, size_t first, size_t end, const struct sae_csr *csr,
                            const struct sae_csc *csc, const float *g, const float *W_dec,
                            float *dz, float *dW_dec);
void sae_cuda_prefix_loss(size_t n, size_t d, double weight, const float *x, const float *xhat,
                         const float *later, float *H, double *sum);
void sae_cuda_ortsae(size_t m, size_t d, const float *W, size_t n_chunks, const uint32_t *order,
                    double weight, float *G, float *Gout, double *sum);

/* --- shared by the files of this folder ----------------------------------------------------- */

/* How many operations of a product take as long as a byte that comes through the cache. */
double sae_cuda_product_rate(void);
/* *out = sum of n doubles, or that added to it; one block, in a fixed order. */
void sae_cuda_sum_parts(size_t n, const double *part, bool add, double *out);
/* The same operations with the result in device memory; sq_sum adds to it. */
void sae_cuda_sq_sum(size_t n, const float *a, double *sum);
void sae_cuda_loss_sum(bool norm, size_t n, size_t d, const float *x, const float *xhat,
                       float *grad, double *sum);
void sae_cuda_project_sum(size_t m, size_t d, const float *W, float eps, const float *G,
                          float *proj, double *sum);
/* start[0] = 0, start[i + 1] = start[i] + count[i] */
void sae_cuda_starts(size_t n, const uint32_t *count, size_t *start);
/* sum[j] = sum over p in [start[j], start[j + 1]) of weight_p rows[row_p], weight_p at pos[p]
 * (pos NULL: at p). Terms of weight 0 are left out unless `zeros`. Written to out where not NULL,
 * added to add where not NULL. */
void sae_cuda_sum_rows(size_t m, size_t d, const size_t *start, const uint32_t *row,
                       const uint32_t *pos, const float *weight, bool zeros, const float *rows,
                       float *out, float *add);

/* dz_e = g[row_e] . W[idx_e], and sums of dz by latent. */
void sae_cuda_dots(size_t d, const struct sae_csr *csr, const float *g, const float *W, float *dz);
void sae_cuda_sum_entries(size_t m, const struct sae_csc *csc, const float *dz, bool add,
                          float *db);

#endif /* SAE_LIB_MATH_CUDA_CUDA_H */
