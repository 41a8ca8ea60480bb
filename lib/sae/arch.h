/* SPDX-License-Identifier: MIT */
/* arch : what an SAE may compute, one row an architecture. Whatever depends on the architecture of a
 * model - its arrays, encode, checkpoints, the files of other packages - asks the row. A new one is a
 * row of arch.c with its function; a trainer names it (train/arch). */
#ifndef SAE_LIB_SAE_ARCH_H
#define SAE_LIB_SAE_ARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

/* Rows that are named elsewhere in the code; the table may go on behind them. */
enum sae_arch {
    SAE_ARCH_STANDARD,
    SAE_ARCH_TOPK,
    SAE_ARCH_BATCHTOPK,
    SAE_ARCH_JUMPRELU,
    SAE_ARCH_GATED,
    SAE_ARCH_MATRYOSHKA
};
size_t sae_arch_count(void);

/* --- 1. arrays ---------------------------------------------------------------------------- */

enum {
    SAE_W_ENC,
    SAE_W_DEC,
    SAE_B_ENC,
    SAE_B_DEC,
    SAE_THRESHOLD,
    SAE_B_GATE,
    SAE_B_MAG,
    SAE_R_MAG,
    SAE_WEIGHTS /* how many there are */
};
struct sae_model;

/* An array of struct sae_model. */
struct sae_weight {
    const char *name;       /* in checkpoints and in SAELens's files: "W_enc" */
    bool by_latent, by_dim; /* [m][d], [m] or [d] */
    bool in_units;          /* of activations: a vector that is multiplied when they are */
    size_t at;              /* offset of its pointer in struct sae_model */
};
extern const struct sae_weight sae_weights[SAE_WEIGHTS];

/* By name; NULL: there is none. */
const struct sae_weight *sae_weight_find(const char *name);
/* Where the model keeps it. */
float **sae_weight_of(struct sae_model *model, const struct sae_weight *weight);
/* Numbers in it: m d, m or d. */
size_t sae_weight_size(const struct sae_model *model, const struct sae_weight *weight);

/* --- 2. architectures --------------------------------------------------------------------- */

struct sae_coder;
struct sae_arch_desc {
    const char *name;    /* in checkpoints, records and tables: "topk" */
    const char *formula; /* of the activations f; z = W_enc (x - b_dec) + b_enc */
    unsigned weights;    /* 1 << SAE_W_ENC | ...: the arrays it has */
    bool subtracts;      /* encode uses x - b_dec, as a rule */
    bool has_k;          /* its checkpoints tell a k */
    bool by_k;           /* encode keeps the k largest, so k is at least 1 */
    bool one_threshold;  /* training finds one for all latents */
    size_t n_dense;      /* arrays [chunk][m] that activate needs besides the pre-activations */
    /* Makes c->part, the activations of n tokens, from c->pre, on the backend. */
    enum sae_status (*activate)(struct sae_coder *c, size_t n, struct sae_err *err);
    /* The same SAE in other packages. NULL or false: they have none, and sae-convert refuses. */
    const char *lens[3];    /* architectures of SAELens that are read as this one; ends with NULL */
    const char *lens_as;    /* the one that is written */
    const char *dict;       /* class of dictionary_learning that is written */
    const char *dict_plain; /* the one for models that do not subtract b_dec; NULL: none */
    bool arrays;            /* the five arrays of Gemma Scope say it */
};

/* arch: below sae_arch_count(). */
const struct sae_arch_desc *sae_arch_desc(enum sae_arch arch);
const char *sae_arch_name(enum sae_arch arch); /* "standard", "topk", ...; "unknown" */
bool sae_arch_parse(const char *name, enum sae_arch *ret);
/* "topk, d 128, m 2048, k 32" (k where the architecture has one) for people. */
enum { SAE_ARCH_DESCRIBED = 96 };
void sae_arch_describe(char to[SAE_ARCH_DESCRIBED], enum sae_arch arch, size_t d, size_t m,
                       size_t k);

#endif /* SAE_LIB_SAE_ARCH_H */
