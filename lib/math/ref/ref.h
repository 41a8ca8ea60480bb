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

void sae_ref_transpose(size_t m, const struct sae_csr *csr, struct sae_csc *csc);
void sae_ref_decode(size_t d, const struct sae_csr *csr, const float *W_dec, const float *b_dec,
                    float *xhat);
void sae_ref_grad_dec(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *g, const float *W_dec, float *dz, float *dW_dec);
void sae_ref_grad_enc(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *dz, const float *xc, float *dW_enc, float *db_enc);

void sae_ref_orth(size_t m, size_t d, const float *W, const struct sae_pairs *pairs, double weight,
                  float *G, float *Gout, struct sae_orth_stats *stats);
enum sae_status sae_ref_cos_hist(size_t m, size_t d, const float *U, size_t n_bins, uint64_t *hist,
                                 float *row_max, uint32_t *row_argmax, float *row_min,
                                 struct sae_err *err);

#endif /* SAE_LIB_MATH_REF_REF_H */
