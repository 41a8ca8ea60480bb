/* SPDX-License-Identifier: MIT */
/* config : the architecture of a language model as data, and the reader of config.json. What a
 * layer computes, x the stream, N a norm with weights of its own each time, [] where the data says
 * so: a = [W_o b] attention(rotate [N] (q, k), v),  q, k, v = W_qkv N(x) [+ b] x = x + [N] a;   m =
 * W_down act(W_gate N(x)) [* W_up N(x)];   x = x + [N] m with a parallel residual both branches
 * read the same x. */
#ifndef SAE_LM_CONFIG_H
#define SAE_LM_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/lm.h"

enum { SAE_LM_LAYERS_MAX = 256, SAE_LM_DIVISORS_MAX = 256 };

/* How rotary frequencies theta^(-2k / rotary) are changed, as transformers names it; DIVIDED: of
 * GGUF files, each by a number of its own. */
enum sae_lm_scaling {
    SAE_LM_UNSCALED,
    SAE_LM_LINEAR,
    SAE_LM_LLAMA3,
    SAE_LM_YARN,
    SAE_LM_DIVIDED
};

struct sae_lm_rope {
    double theta;
    enum sae_lm_scaling scaling;
    double factor;    /* all but unscaled */
    double original;  /* context of the first training: llama3, yarn */
    double low, high; /* llama3: low_freq_factor, high_freq_factor; yarn: beta_slow, beta_fast */
    double gain;      /* of cosines and sines; 1 but for yarn */
    float divisors[SAE_LM_DIVISORS_MAX]; /* divided: of frequency k */
};

struct sae_lm_family;
struct sae_lm_names;

struct sae_lm_config {
    char name[256]; /* last part of the folder's path; of the Hub's cache the repository's */
    const struct sae_lm_family *family;
    const struct sae_lm_names *names; /* of the family's tensors in these files */
    /* Vocabulary, width, width of the MLP, layers, heads of queries and of keys. */
    size_t V, D, F, L, H, K, head_dim, window, max_context;
    size_t rotary; /* leading elements of a head that are rotated; 0: none */
    uint32_t bos;  /* every context begins with it */
    /* The family's, config.json's where it has none, or what the tokenizer says (sae_tok_tell).
     * Those who fine-tune Gemma-2 change config.json's, and activations do not depend on them. */
    uint32_t eos, pad;
    bool own_head; /* tie_word_embeddings is false: logits need a matrix of their own */

    enum sae_lm_norm norm;
    enum sae_lm_act act;
    bool post_norms;        /* a norm of each branch before it is added */
    bool head_norms;        /* a norm of each head of q and k, before the rotation */
    bool gated;             /* MLP: act(gate) * up, else act(up) */
    bool parallel;          /* both branches of a layer read the same stream */
    bool learned_positions; /* added to the embedding */
    bool qkv_bias, out_bias, mlp_bias;
    double norm_eps, score_scale, embed_scale, attn_cap, final_cap; /* caps 0 = none */
    struct sae_lm_rope rope[2];                                     /* of full and sliding layers */
    bool sliding[SAE_LM_LAYERS_MAX];                                /* per layer */
};

/* Reads folder/config.json, or the metadata of a GGUF file. What it asks for and is not computed is refused by name.
 * Fails: SAE_EIO; SAE_EFORMAT, naming key, found and expected */
SAE_MUST_CHECK enum sae_status sae_lm_config_read(struct sae_lm_config *config, const char *folder,
                                                  struct sae_err *err);

/* Reads the object of a config.json; all but the name. */
SAE_MUST_CHECK enum sae_status sae_lm_config_parse(struct sae_lm_config *config, const json_t *root,
                                                   struct sae_err *err);

/* Columns of an MLP's first product. */
static inline size_t sae_lm_mlp_cols(const struct sae_lm_config *c)
{
    return c->gated ? 2 * c->F : c->F;
}

#endif /* SAE_LM_CONFIG_H */
