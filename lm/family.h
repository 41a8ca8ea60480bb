/* SPDX-License-Identifier: MIT */
/* family : the kinds of language model that are computed, a row each. A family is one file,
 * family_NAME.c, and its row in family.c: how its config.json is read, how its tensors are called,
 * how both lie in a GGUF file, and how a chat is written. Every row has its golden vectors in
 * tests/golden. */
#ifndef SAE_LM_FAMILY_H
#define SAE_LM_FAMILY_H

#include "lm/config.h"
#include "lm/keys.h"
#include "lm/rope.h"

/* How the rows of a product lie in the file. */
enum sae_lm_layout {
    SAE_LM_ROWS,       /* [out][in] */
    SAE_LM_TRANSPOSED, /* [in][out], GPT-2's Conv1D */
    SAE_LM_BY_HEAD,    /* [out][in], rows q, k, v of head 0, then of head 1 ... */
    SAE_LM_PAIRED      /* [out][in], of each head of q and k rows 0, d/2, 1, d/2 + 1 ... */
};

/* Names of tensors, without ".weight" and ".bias". */
struct sae_lm_names {
    const char *prefixes[4]; /* of all but the head: the first with which there is an `embed` */
    const char *embed, *positions, *norm;
    const char *heads[2]; /* of logits, without prefix */
    const char *layer;    /* of one layer's names, printf of its number */
    const char *norms[4]; /* enum sae_lm_norm_at; NULL: none */
    const char *head_norms[2];
    const char *qkv[3]; /* or all in the first, the others NULL */
    const char *out, *gate, *up, *down;
    enum sae_lm_layout layout, qkv_layout; /* of out, gate, up, down; of qkv */
    /* What is no weight of the text model, by the end or the beginning of its name. */
    const char *ignored_ends[3], *ignored_starts[4];
};

/* A question as an instruct model is asked, as pieces of the vocabulary: user, text, model. */
struct sae_lm_turn {
    const char *marks[2]; /* single tokens that the vocabulary must have */
    const char *user, *model;
};

/* How the family lies in a GGUF file of llama.cpp (lm/gguf.h). */
struct sae_lm_gguf_key {
    const char *key, *name; /* after "ARCH.", and in config.json */
    bool optional;
};
struct sae_lm_gguf {
    const char *arch;
    const char *fixed; /* what config.json holds and the format has no key for */
    const struct sae_lm_gguf_key *keys; /* ends with an empty row */
    const struct sae_lm_names *names;
    const char *share; /* config.json's key of the rotated share of a head; NULL: all of it */
    int64_t largest;   /* Gemma: layers of the model whose scores are scaled by width / heads */
    bool may_bias;     /* attention_bias and mlp_bias are told by tensors */
    bool divisors;     /* rope_freqs.weight divides the frequencies */
};

struct sae_lm_family {
    const char *model_type, *title;
    enum sae_status (*read)(struct sae_lm_config *config, struct sae_lm_keys *keys);
    const struct sae_lm_names *names;
    const struct sae_lm_turn *turn; /* NULL: none is known */
    bool is_sentencepiece;          /* its tokenizer.model encodes text as it is */
    const struct sae_lm_gguf *gguf; /* NULL: it has no such files */
};

/* One row a family. */
extern const struct sae_lm_family sae_lm_gemma2, sae_lm_gemma3, sae_lm_gemma3_text, sae_lm_llama,
    sae_lm_mistral, sae_lm_qwen2, sae_lm_qwen3, sae_lm_gpt_neox, sae_lm_gpt2;
extern const struct sae_lm_turn sae_lm_gemma_turn;

/* NULL where there is none. */
const struct sae_lm_family *sae_lm_family_find(const char *model_type);
/* "gemma2, llama ..." for messages */
void sae_lm_family_list(char *text, size_t size);
/* The same by general.architecture of GGUF files. */
const struct sae_lm_family *sae_lm_family_of_gguf(const char *arch);
void sae_lm_family_list_gguf(char *text, size_t size);

/* What most architectures have in a GGUF file, one row a line. */
#define SAE_LM_GGUF_SHAPE                                                                          \
    {"context_length", "max_position_embeddings", false},                                          \
        {"embedding_length", "hidden_size", false},                                                \
        {"feed_forward_length", "intermediate_size", false},                                       \
        {"block_count", "num_hidden_layers", false},                                               \
        {"attention.head_count", "num_attention_heads", false}
#define SAE_LM_GGUF_RMS {"attention.layer_norm_rms_epsilon", "rms_norm_eps", false}
#define SAE_LM_GGUF_NAMES                                                                          \
    .prefixes = {""}, .embed = "token_embd", .norm = "output_norm", .heads = {"output"},           \
    .layer = "blk.%zu.", .out = "attn_output", .up = "ffn_up", .down = "ffn_down"
#define SAE_LM_GGUF_GATED                                                                          \
    SAE_LM_GGUF_NAMES, .qkv = {"attn_q", "attn_k", "attn_v"}, .gate = "ffn_gate"
#define SAE_LM_GGUF_LLAMA SAE_LM_GGUF_GATED, .norms = {"attn_norm", NULL, "ffn_norm", NULL}
/* What old files of Llama and Qwen2 leave out. */
#define SAE_LM_GGUF_LAX                                                                            \
    {"attention.head_count_kv", "num_key_value_heads", true},                                      \
        {"attention.key_length", "head_dim", true},                                                \
        {"rope.freq_base", "rope_theta", true}
/* Names of Llama's tensors, which Qwen's are too. */
#define SAE_LM_LLAMA_NAMES                                                                         \
    .prefixes = {"model.", ""}, .embed = "embed_tokens", .norm = "norm", .heads = {"lm_head"},     \
    .layer = "layers.%zu.", .norms = {"input_layernorm", NULL, "post_attention_layernorm", NULL},  \
    .qkv = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"},                           \
    .out = "self_attn.o_proj", .gate = "mlp.gate_proj", .up = "mlp.up_proj",                       \
    .down = "mlp.down_proj", .ignored_ends = {".rotary_emb.inv_freq"}

/* --- what several families read ------------------------------------------------------------- */

/* vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads,
 * max_position_embeddings, which must be there; with lax also num_key_value_heads (else as many as
 * of queries) and head_dim (else width / heads), which old files leave out. */
SAE_MUST_CHECK enum sae_status sae_lm_read_shape(struct sae_lm_config *c, struct sae_lm_keys *keys,
                                                 bool lax);
/* hidden_act, or `key`, must be the word `wanted`. */
SAE_MUST_CHECK enum sae_status sae_lm_read_act(struct sae_lm_keys *keys, const char *key,
                                               const char *wanted);
/* bos_token_id, which must be there; eos (the first of a list, else bos) and pad (else eos). */
SAE_MUST_CHECK enum sae_status sae_lm_read_tokens(struct sae_lm_config *c,
                                                  struct sae_lm_keys *keys);
/* layer_types, where it is there, in place of what c->sliding holds. */
SAE_MUST_CHECK enum sae_status sae_lm_read_layer_types(struct sae_lm_config *c,
                                                       struct sae_lm_keys *keys);
/* tie_word_embeddings */
SAE_MUST_CHECK enum sae_status sae_lm_read_tied(struct sae_lm_config *c, struct sae_lm_keys *keys,
                                                bool absent);
/* What Llama and Qwen have alike, after the shape: RMS norms, a gated MLP of SiLU, a tied or own head,
 * rotary positions by the rules. */
SAE_MUST_CHECK enum sae_status sae_lm_read_llama(struct sae_lm_config *c, struct sae_lm_keys *keys,
                                                 const struct sae_lm_rope_rules *rope);

#endif /* SAE_LM_FAMILY_H */
