/* SPDX-License-Identifier: MIT */
/* splice : SAEBench's core evaluation - what a language model loses when an autoencoder's
 * reconstruction replaces its activations at a hook. One pass over the text serves any number of
 * checkpoints of one model and hook: the clean and the zero-ablated model run once. */
#ifndef SAE_SPLICE_SPLICE_H
#define SAE_SPLICE_SPLICE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/digest.h"
#include "lib/base/err.h"
#include "lib/file/result.h"
#include "lib/math/ops.h"
#include "lib/sae/ckpt.h"
#include "lm/lm.h"
#include "splice/stats.h"
#include "splice/text.h"

struct splice_settings {
    const char *model;  /* folder; NULL = the one recorded */
    char *const *texts; /* files; none = those recorded */
    size_t n_texts;
    const char *field, *split;         /* NULL = as recorded */
    uint64_t skip;                     /* documents; UINT64_MAX = as recorded */
    uint64_t layer;                    /* UINT64_MAX = as recorded */
    const char *hook;                  /* NULL = as recorded */
    size_t n_contexts, context, batch; /* contexts; tokens in one; contexts of a batch */
    bool features;                     /* per-latent rows in the result */
    bool keep;                         /* the untouched model's passes, for the next checkpoint */
    const char *cache;                 /* folder for them; NULL = "reference" beside the store */
    uint64_t cache_bytes;              /* most that a text may take there */
    const int *matmul; /* of --matmul; final when the backend is open */
};

/* Where model and text of a checkpoint are; owned. */
struct splice_source {
    char *model;
    char *store; /* folder; NULL where none is recorded */
    struct sae_hook hook;
    char **texts;
    size_t n_texts;
    char *field, *split;
    uint64_t skip;
    bool skip_asked;    /* by --skip, not what the store took */
    bool recorded_text; /* the store's own text, beyond what the store took */
};
/* From the settings, else from the checkpoint's record.
 * Fails: SAE_EARG not recorded or not there any more: names the option to use */
SAE_MUST_CHECK enum sae_status splice_source_find(struct splice_source *ret,
                                                  const struct sae_ckpt *ckpt,
                                                  const struct splice_settings *settings,
                                                  struct sae_err *err);
void splice_source_clear(struct splice_source *source);
bool splice_source_same(const struct splice_source *a, const struct splice_source *b);

/* The untouched and the zero-ablated model over the text. */
struct splice_reference {
    double ce_clean, ce_ablated, kl_ablated;
    uint64_t n_ce, n_kl; /* tokens averaged over */
};

/* One checkpoint's numbers: sums, and what they are of. */
struct splice_sums {
    double ce, kl;   /* sums while the pass runs, means after it */
    uint64_t n_done; /* contexts */
    struct splice_stats stats;
};

/* Weights of the dictionary, SAEBench section 1.5; [m] each, caller's. */
struct splice_weights {
    float *enc_norm, *enc_dec, *max_enc, *max_dec;
    double mean_max_enc, mean_max_dec;
};
SAE_MUST_CHECK enum sae_status splice_weights_make(struct splice_weights *ret,
                                                   const struct sae_model *model,
                                                   const struct sae_ops *ops, struct sae_err *err);
void splice_weights_clear(struct splice_weights *weights);

/* Where an interrupted pass of one checkpoint is kept (partial.h). */
struct splice_partial {
    const char *path;
    char key[SAE_DIGEST_HEX];
};

struct splice_job {
    const struct sae_lm *lm;
    struct sae_hook hook;
    const struct splice_text *text;
    size_t batch;         /* contexts */
    const char *cache;    /* folder of batches (cache.h), NULL for none */
    const char *model_id; /* of the cache: weights, and the device's arithmetic where it is not the
                             host's */
    const struct splice_partial *partials; /* [n], NULL: an interrupted pass is lost */
};

/* Contexts whose logits are formed at a time; bytes that the pass takes besides the language model's. */
size_t splice_pass_chunk(const struct splice_job *job);
double splice_pass_bytes(const struct splice_job *job, const struct sae_model *const *models,
                         size_t n_models);
/* Runs the text once for n models, all of the hook's width.
 *   sums   [n]; on success their stats are the caller's to clear
 * Fails: SAE_EARG widths differ; SAE_EFORMAT activations or logits are not finite; SAE_EINTR,
 * partials are written then */
SAE_MUST_CHECK enum sae_status splice_pass(struct splice_reference *ret_reference,
                                           struct splice_sums *sums,
                                           const struct sae_model *const *models, size_t n,
                                           const struct splice_job *job, const struct sae_ops *ops,
                                           struct sae_err *err);

/* All that was measured of one checkpoint. */
struct splice_measured {
    const struct sae_ckpt *ckpt;
    const struct splice_source *source;
    const struct splice_text *text;
    const struct splice_settings *settings;
    const struct splice_reference *reference;
    const struct splice_sums *sums;
    const struct splice_weights *weights;
    const char *model_name, *model_id;
    const char *numerics; /* sae_lm_numerics */
};
/* result.c: what the result is made of, and the inputs it names besides the checkpoint. */
struct sae_result_parts splice_result_parts(const struct splice_measured *measured);
SAE_MUST_CHECK enum sae_status
splice_result_inputs(json_t *record, const struct splice_measured *measured, struct sae_err *err);

#endif /* SAE_SPLICE_SPLICE_H */
