/* SPDX-License-Identifier: MIT */
/* model : a sparse autoencoder's weights and its inference, encode and decode.
 * Latent-major: row i of W_enc and of W_dec belongs to latent i. Equations: docs/MATH.md. */
#ifndef SAE_LIB_SAE_MODEL_H
#define SAE_LIB_SAE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/ops.h"
#include "lib/sae/arch.h"

/* What encode does to x before all else, by token, and decode undoes:
 *   constant   x sqrt(d) / |x|          xhat |x| / sqrt(d)
 *   layer      (x - mean) / (s + 1e-5)  xhat s + mean     s: sample standard deviation over d
 * Only SAEs trained elsewhere have any. */
enum sae_norm { SAE_NORM_NONE, SAE_NORM_CONSTANT, SAE_NORM_LAYER, SAE_NORM_N };
const char *sae_norm_name(enum sae_norm norm); /* "none", "constant_norm_rescale", "layer_norm" */
bool sae_norm_parse(const char *name, enum sae_norm *ret);

/* Host memory, owned. Arrays an architecture lacks are NULL. */
struct sae_model {
    enum sae_arch arch;
    size_t d, m, k;
    bool subtract_b_dec; /* whether encode uses x - b_dec */
    enum sae_norm norm;
    float *W_enc, *W_dec;  /* [m][d] */
    float *b_enc, *b_dec;  /* [m], [d] */
    float *threshold;      /* [m] */
    float *b_gate, *b_mag, *r_mag; /* [m] */
    /* topk from dictionary_learning: what its training kept for use in place of k; 0: nothing. It is
     * carried from file to file; inference here is by k. */
    double topk_threshold;
};

SAE_MUST_CHECK enum sae_status sae_model_alloc(struct sae_model *ret, enum sae_arch arch, size_t d,
                                               size_t m, size_t k, struct sae_err *err);
void sae_model_clear(struct sae_model *model); /* accepts zeroed */

/* Inference. Makes and reuses scratch for batches of up to n_max rows; the model must outlive it.
 * Where backend memory is host memory the weights are read in place, so changes are seen. */
struct sae_coder;
SAE_MUST_CHECK enum sae_status sae_coder_open(struct sae_coder **ret, const struct sae_model *model,
                                              const struct sae_ops *ops, size_t n_max,
                                              struct sae_err *err);
void sae_coder_close(struct sae_coder *coder);
/* Bytes that it takes on the host, if tokens keep no more than k latents (or 64). */
double sae_coder_bytes(const struct sae_model *model, size_t n_max);

/* x: host f32 [n][d], raw activations, n <= n_max (else SAE_EARG). *ret_f is borrowed, host memory, valid until
 * the next call. Only entries > 0 are kept. */
SAE_MUST_CHECK enum sae_status sae_coder_encode(struct sae_coder *coder, const float *x, size_t n,
                                                const struct sae_csr **ret_f, struct sae_err *err);
/* xhat: host f32 [n][d], from the last encode, or from any host csr of its shape. A model with a
 * norm gives row t the size that row t of the last encode had; a csr of more rows is SAE_EARG. */
SAE_MUST_CHECK enum sae_status sae_coder_decode(struct sae_coder *coder, const struct sae_csr *f,
                                                float *xhat, struct sae_err *err);

#endif /* SAE_LIB_SAE_MODEL_H */
