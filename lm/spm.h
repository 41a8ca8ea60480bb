/* SPDX-License-Identifier: MIT */
/* spm : the few calls of SentencePiece that the tokenizer needs, behind a C header. No
 * exception leaves it; memory it returns is released by free(). */
#ifndef SAE_LM_SPM_H
#define SAE_LM_SPM_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sae_spm;

/* Loads a serialized model. Returns NULL and a reason in why[n_why] where it is not one. */
struct sae_spm *sae_spm_load(const char *bytes, size_t n, char *why, size_t n_why);
void sae_spm_close(struct sae_spm *spm);

int sae_spm_size(const struct sae_spm *spm);
int sae_spm_bos(const struct sae_spm *spm); /* these four: -1 where the model has none */
int sae_spm_eos(const struct sae_spm *spm);
int sae_spm_pad(const struct sae_spm *spm);
int sae_spm_unk(const struct sae_spm *spm);

/* Of ids in [0, size) only. The piece is borrowed. */
const char *sae_spm_piece(const struct sae_spm *spm, int id, size_t *len);
bool sae_spm_is_control(const struct sae_spm *spm, int id); /* control or unknown */
bool sae_spm_is_byte(const struct sae_spm *spm, int id);

/* Appends the ids of valid UTF-8 text to *ids (grown by realloc). False: out of memory or
 * refused by the library. */
bool sae_spm_encode(const struct sae_spm *spm, const char *text, size_t len, int **ids, size_t *n,
                    size_t *cap);

#ifdef __cplusplus
}
#endif

#endif /* SAE_LM_SPM_H */
