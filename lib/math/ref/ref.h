/* SPDX-License-Identifier: MIT */
/* ref : the plain backend. One thread, obvious loops, sums in double; what the others are held
 * against. Internal to lib/math/ref. */
#ifndef SAE_LIB_MATH_REF_REF_H
#define SAE_LIB_MATH_REF_REF_H

#include "lib/math/ops.h"

void sae_ref_topk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                  struct sae_csr *csr);
void sae_ref_batchtopk(size_t n, size_t m, size_t k, const float *pre, const float *b_enc,
                       struct sae_csr *csr);
void sae_ref_threshold(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                       struct sae_csr *csr, size_t *ret_nnz);
void sae_ref_above(size_t n, size_t m, const float *pre, const float *b_enc, const float *theta,
                   struct sae_csr *csr, size_t *ret_nnz);

void sae_ref_transpose(size_t m, const struct sae_csr *csr, struct sae_csc *csc);
void sae_ref_decode(size_t d, const struct sae_csr *csr, const float *W_dec, const float *b_dec,
                    float *xhat);
void sae_ref_grad_dec(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *g, const float *W_dec, float *dz, float *dW_dec);
void sae_ref_grad_enc(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *dz, const float *xc, float *dW_enc, float *db_enc);

size_t sae_ref_orth_tiles(size_t m);
void sae_ref_orth_masks(size_t m, size_t d, const float *W, const struct sae_overlap_masks *masks,
                        const struct sae_compete_rule *rule, double weight, bool per_pair,
                        const double *expected_partners, float *G, float *Gout, double *sum);
enum sae_status sae_ref_cos_hist(size_t m, size_t d, const float *U, size_t n_bins, uint64_t *hist,
                                 float *row_max, uint32_t *row_argmax, float *row_min,
                                 struct sae_err *err);

/* ref_spectrum.c */
enum sae_status sae_ref_gram(size_t m, size_t d, const float *U, double *G, struct sae_err *err);
enum sae_status sae_ref_eigenvalues(size_t d, double *G, double *eig, struct sae_err *err);
void sae_ref_pair_dots(size_t n, size_t d, const float *A, const uint32_t *i, const uint32_t *j,
                       float *dot);

/* ref_step.c */
size_t sae_ref_free_bytes(void);
void sae_ref_sq_sum(size_t n, const float *a, double *sum);
void sae_ref_loss_sum(bool norm, size_t n, size_t d, const float *x, const float *xhat, float *grad,
                      double *sum);
void sae_ref_project_sum(size_t m, size_t d, const float *W, float eps, const float *G, float *proj,
                         double *sum);
void sae_ref_spread_sum(size_t n, size_t d, const float *x, const float *minus, double *sum);
void sae_ref_relu_sum(size_t n, size_t m, const float *b_enc, float *pre, double *sum);
void sae_ref_mask_grad(size_t n, const float *f, float l1, float *dz);
void sae_ref_scatter(size_t m, const struct sae_csr *csr, float *f);
void sae_ref_count_active(size_t n, size_t m, const float *f, bool add, uint32_t *active);
void sae_ref_age(size_t n, size_t m, const size_t *start, const uint32_t *active,
                 uint64_t dead_after, uint64_t *idle, double *sum);
void sae_ref_cut_move(const struct sae_csr *csr, double keep, double *cut);
void sae_ref_topk_idle(size_t n, size_t m, size_t d, size_t k, const float *xc, const float *W_enc,
                       const float *b_enc, const float *pre, const uint64_t *idle,
                       uint64_t dead_after, struct sae_csr *csr);
void sae_ref_aux_loss(size_t n, size_t d, double alpha, const float *x, const float *xhat,
                      const double *spread, const double *dead, float *r, double *loss);
void sae_ref_grad_add(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *g, const float *xc, const float *W_dec, float *dz, float *dW_enc,
                      float *dW_dec, float *db_enc);
void sae_ref_compare_rows(size_t m, size_t d, const float *W, const float *A, const float *B,
                          double *sum);
void sae_ref_widen_rows(size_t n, size_t d, const uint16_t *rows, const uint32_t *row, double norm,
                        float *x);
enum sae_status sae_ref_readback_open(struct sae_readback **ret, size_t bytes, struct sae_err *err);
void sae_ref_readback_close(struct sae_readback *readback);
void sae_ref_readback_post(struct sae_readback *readback, const void *from);
void sae_ref_readback_wait(struct sae_readback *readback, void *host);
enum sae_status sae_ref_precision(enum sae_precision how, struct sae_err *err);
enum sae_status sae_ref_check(struct sae_err *err);

/* ref_arch.c */
void sae_ref_lp_sum(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                    double p_next, double *row, double *sum);
void sae_ref_lp_grad(bool root, size_t n, size_t m, const size_t *start, const float *f, double p,
                     double weight, const double *row, float *dz);
void sae_ref_gate(size_t n, size_t m, const float *u, const float *b_gate, const float *r_mag,
                  const float *b_mag, float *f, float *gate, double *sum);
void sae_ref_gate_grad(size_t n, size_t m, const float *u, const float *r_mag, const float *f,
                       const float *gate, float l1, const float *d1, float *d2, float *g_b_gate,
                       float *g_b_mag, float *g_r_mag, float *du);
void sae_ref_jump(size_t n, size_t m, const float *b_enc, const float *theta, bool by_z, float *z,
                  uint32_t *active, double *sum);
void sae_ref_jump_fill(size_t n, size_t m, const float *z, const float *theta, float *f);
void sae_ref_jump_grad(size_t n, size_t m, size_t d, const struct sae_jump *h, const float *z,
                       const float *theta, const uint32_t *active, const double *l0,
                       const float *g, const float *W_dec, float *g_theta);
void sae_ref_decode_group(size_t d, const struct sae_csr *csr, size_t first, size_t end,
                          const float *W_dec, const float *base, float *xhat);
void sae_ref_grad_dec_group(size_t d, size_t first, size_t end, const struct sae_csr *csr,
                            const struct sae_csc *csc, const float *g, const float *W_dec,
                            float *dz, float *dW_dec);
void sae_ref_prefix_loss(size_t n, size_t d, double weight, const float *x, const float *xhat,
                         const float *later, float *H, double *sum);
void sae_ref_ortsae(size_t m, size_t d, const float *W, size_t n_chunks, const uint32_t *order,
                    double weight, float *G, float *Gout, double *sum);

#endif /* SAE_LIB_MATH_REF_REF_H */
