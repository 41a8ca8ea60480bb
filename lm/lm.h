/* SPDX-License-Identifier: MIT */
/* lm : language models of the families in family.h from an ordinary Hugging Face folder
 * (config.json, model.safetensors or shards with an index, tokenizer.model or tokenizer.json), or from
 * one GGUF file (gguf.h), whose path stands in every call for the folder's.
 * Exact architecture, f32 arithmetic with an f32 residual stream; on a device the factors of
 * products may be bf16. Taps and a splice at the hooks of lib/file/hook.h. Knows no SAE.
 *
 * Letters: T positions of a sequence, D width, V vocabulary, L layers. */
#ifndef SAE_LM_LM_H
#define SAE_LM_LM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/file/hook.h"
#include "lib/math/lm.h"
#include "lm/config.h"

/* Weights, immutable, shareable. */
struct sae_lm;

/* Opens a folder; the tokenizer is not needed. Weights are mapped: a model up to 512 MiB of f32 is
 * converted at once, of a larger one only the layers that run are ever read.
 * Fails: SAE_EIO, SAE_EFORMAT (config or tensors: message names key or tensor, found, expected),
 * SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_lm_open(struct sae_lm **ret, const char *folder,
                                           struct sae_err *err);
void sae_lm_close(struct sae_lm *model);
const struct sae_lm_config *sae_lm_config(const struct sae_lm *model);
/* SHA-256 over config.json, tokenizer.model, tokenizer.json where that is read, and the weight
 * files; computed once, on request. */
SAE_MUST_CHECK enum sae_status sae_lm_id(struct sae_lm *model, char hex[65], struct sae_err *err);
/* SHA-256 of a file, which is not read again where it is the model's first and sae_lm_id has read it: a
 * GGUF file is the tokenizer's too. */
SAE_MUST_CHECK enum sae_status sae_lm_digest(struct sae_lm *model, const char *path, char hex[65],
                                             struct sae_err *err);

/* Runs opened from now on compute on a device. `how` is the operand type of their matrix products;
 * sums, norms, scores and the stream are f32. Each layer's weights are sent once, when it is first
 * needed. n_layers: how many will be, at most L. ops must outlive the model, and runs opened before
 * must be closed. Of the host's backends `how` may be f32 or bf16, and nothing is sent.
 * Fails: SAE_EBACKEND no such operations; SAE_EARG heads too wide; SAE_ENOMEM the weights of
 * n_layers do not fit the device, with both sizes; SAE_EARG tf32 on the host */
SAE_MUST_CHECK enum sae_status sae_lm_place(struct sae_lm *model, const struct sae_ops *ops,
                                            enum sae_precision how, size_t n_layers,
                                            struct sae_err *err);
/* Backend and operand type of runs opened now, for records: "cpu f32", "cuda bf16"; "cpu bf16
 * pairs" where a processor adds two products at a time (gemm.h). Borrowed. */
const char *sae_lm_numerics(const struct sae_lm *model);
bool sae_lm_on_device(const struct sae_lm *model);

/* --- forward pass --------------------------------------------------------------------------- */

/* Scratch for batches of up to n_max tokens, sequences of up to T_max, and for as many threads as
 * OpenMP has when it is opened. The numbers do not depend on that count. One call at a time in a
 * process: while it runs, BLAS is held to one thread for each of ours.
 * Fails: SAE_ERANGE T_max 0, above the model's context or above n_max; SAE_ENOMEM */
struct sae_lm_run;
SAE_MUST_CHECK enum sae_status sae_lm_run_open(struct sae_lm_run **ret, const struct sae_lm *model,
                                               size_t n_max, size_t T_max, struct sae_err *err);
void sae_lm_run_close(struct sae_lm_run *run);
/* A batch of a large model takes minutes. After this call a requested stop (stop.h) ends tap,
 * resume and logits between two blocks of rows with SAE_EINTR and without a result; otherwise the
 * batch is finished first. */
void sae_lm_run_may_stop(struct sae_lm_run *run);

/* Refuses a hook that the model does not have, by name. Fails: SAE_EARG layer >= L; resid_mid with a
 * parallel residual, where attention and MLP read the same stream */
SAE_MUST_CHECK enum sae_status sae_lm_check_hook(const struct sae_lm *model, struct sae_hook hook,
                                                 struct sae_err *err);
/* Width of the activations at a point: D, or H d. */
size_t sae_lm_width(const struct sae_lm_config *config, enum sae_point point);
/* Layers that run up to a hook; at most L. */
size_t sae_lm_layers_to(const struct sae_lm_config *config, struct sae_hook hook);

/* Runs B sequences of T tokens (ids [B][T]) as far as the hooks need, not further, and copies the
 * activations of hooks[i] to x[i], host f32 [B*T][width of its point]. Causal; no padding logic:
 * right padding is invisible to earlier positions. What one hook gives does not depend on the
 * others. resid_mid with a parallel residual is the stream with attention's branch added.
 * Fails: SAE_ERANGE id >= V, B*T > n_max, T > T_max, layer >= L */
SAE_MUST_CHECK enum sae_status sae_lm_tap_all(struct sae_lm_run *run, const uint32_t *ids, size_t B,
                                              size_t T, const struct sae_hook *hooks,
                                              size_t n_hooks, float *const *x, struct sae_err *err);
/* One hook alone. */
SAE_MUST_CHECK enum sae_status sae_lm_tap(struct sae_lm_run *run, const uint32_t *ids, size_t B,
                                          size_t T, struct sae_hook hook, float *x,
                                          struct sae_err *err);

/* The stream beside a hook of a branch: what the branch will be added to (of attention resid_pre, of
 * the MLP resid_mid). False: the hook is of the stream. */
bool sae_lm_beside(struct sae_hook *ret, struct sae_hook hook);

/* Continues from the hook, whose activations are x [B*T][width] (as tapped, or replaced), through
 * what follows and the final norm; the result stays in the run for sae_lm_logits.
 *   beside [B*T][D] as tapped at sae_lm_beside; NULL for a hook of the stream
 * Tap followed by resume with the same x equals a straight pass, bit for bit on the host.
 * Fails: as sae_lm_check_hook; SAE_ERANGE */
SAE_MUST_CHECK enum sae_status sae_lm_resume(struct sae_lm_run *run, const float *x,
                                             const float *beside, size_t B, size_t T,
                                             struct sae_hook hook, struct sae_err *err);

/* Logits (capped) of rows [first, first + n) of the last resume: host f32 [n][V]. */
SAE_MUST_CHECK enum sae_status sae_lm_logits(struct sae_lm_run *run, size_t first, size_t n,
                                             float *logits, struct sae_err *err);

/* Likewise of rows[0..n), in any order: each weight is read once for all of them. Fails: also
 * SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_lm_logits_at(struct sae_lm_run *run, const size_t *rows,
                                                size_t n, float *logits, struct sae_err *err);

/* The rows of the last resume after the final norm, host f32 [n][D] from row `first` on. put_final
 * is the way back: sae_lm_logits then gives the logits of those n rows, bit for bit, without
 * running a layer. Fails: SAE_ERANGE more rows than were run, or than n_max */
SAE_MUST_CHECK enum sae_status sae_lm_final(const struct sae_lm_run *run, size_t first, size_t n,
                                            float *y, struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_lm_put_final(struct sae_lm_run *run, const float *y, size_t n,
                                                struct sae_err *err);

/* Only on a device (else SAE_EARG), where the logits of a large vocabulary should stay.
 * set_reference keeps the predictions p of the first n rows of the last resume (or put_final), n V
 * floats of device memory. compare takes the predictions q of another resume against them.
 *   ce[i] = -log q(target[i]), 0 without a target   kl[i] = sum_v p_v (log p_v - log q_v)
 * in nats, both through log-softmax of capped logits; host [n]. set_reference gives the ce of p. */
SAE_MUST_CHECK enum sae_status sae_lm_set_reference(struct sae_lm_run *run, size_t n,
                                                    const uint32_t *target, double *ce,
                                                    struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_lm_compare(struct sae_lm_run *run, size_t n,
                                              const uint32_t *target, double *ce, double *kl,
                                              struct sae_err *err);

/* --- tokenizer ------------------------------------------------------------------------------ */

struct sae_tok; /* const calls are thread-safe */
/* The path of the file that sae_tok_open would read, in new memory. Fails: SAE_EIO there is none */
SAE_MUST_CHECK enum sae_status sae_tok_find(char **ret, const char *folder,
                                            const struct sae_lm_config *config,
                                            struct sae_err *err);
/* Opens tokenizer.model or tokenizer.json of the folder (tok.h: which kinds) and checks it against
 * the config (size, bos). */
SAE_MUST_CHECK enum sae_status sae_tok_open(struct sae_tok **ret, const char *folder,
                                            const struct sae_lm_config *config,
                                            struct sae_err *err);
void sae_tok_close(struct sae_tok *tok);
/* Token ids of text, without BOS. *ret in new memory. Long texts are cut at safe points (before
 * a newline not preceded by one), with the same result as whole. Invalid UTF-8 is replaced per
 * maximal subpart by U+FFFD. */
SAE_MUST_CHECK enum sae_status sae_tok_encode(const struct sae_tok *tok, const char *text,
                                              size_t len, uint32_t **ret, size_t *ret_n,
                                              struct sae_err *err);
/* Likewise, but stops after `max` tokens and reads little of the text beyond the last of them.
 * *ret_all: the text has no more. */
SAE_MUST_CHECK enum sae_status sae_tok_encode_first(const struct sae_tok *tok, const char *text,
                                                    size_t len, size_t max, uint32_t **ret,
                                                    size_t *ret_n, bool *ret_all,
                                                    struct sae_err *err);
/* A text that comes in parts, and what of it has not been encoded yet; born as {0}. */
struct sae_tok_rest {
    struct sae_str text;
    size_t wait; /* bytes from which on it is looked at again */
    bool began, continues;
};
/* Token ids of the next part of a text, valid UTF-8 or repaired part by part, as far as what follows
 * cannot change them: all ids of all parts are those of the whole text. ends: nothing follows; the
 * next call begins another text. At most some parts are kept, with a tokenizer.json that looks behind
 * or at a text's ends the whole text. Fails: as sae_tok_encode */
SAE_MUST_CHECK enum sae_status sae_tok_encode_part(const struct sae_tok *tok,
                                                   struct sae_tok_rest *rest, const char *text,
                                                   size_t len, bool ends, uint32_t **ret,
                                                   size_t *ret_n, struct sae_err *err);
void sae_tok_rest_clear(struct sae_tok_rest *rest);
/* Set the config's eos and pad, or a model's, to those of the tokenizer. */
void sae_tok_set_specials(const struct sae_tok *tok, struct sae_lm_config *config);
void sae_lm_set_specials(struct sae_lm *model, const struct sae_tok *tok);
const char *sae_tok_path(const struct sae_tok *tok); /* of the file that was read */
size_t sae_tok_size(const struct sae_tok *tok);
/* Piece of an id as text: U+2581 as space, byte pieces as the byte, control pieces as their
 * names. Borrowed, valid for the tokenizer's life. NULL for id out of range. */
const char *sae_tok_piece(const struct sae_tok *tok, uint32_t id);
bool sae_tok_is_control(const struct sae_tok *tok, uint32_t id);

#endif /* SAE_LM_LM_H */
