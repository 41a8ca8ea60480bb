/* SPDX-License-Identifier: MIT */
/* model : the weights as the forward pass reads them. */
#ifndef SAE_LM_MODEL_H
#define SAE_LM_MODEL_H

#include "lib/file/st.h"
#include "lib/math/gemm.h"
#include "lm/family.h"
#include "lm/lm.h"

/* One GEMM operand [n_rows][n_cols], stacked from up to three tensors (q|k|v, gate|up). Small
 * models keep it in f32 at `copy`; of large ones the caller converts it into scratch. */
struct sae_lm_panel {
    const struct sae_st_tensor *parts[3];
    size_t n_parts, n_rows, n_cols;
    enum sae_lm_layout layout;
    size_t head_dim;   /* of SAE_LM_BY_HEAD */
    const float *copy; /* or NULL */
    const float *bias; /* [n_rows], or NULL */
};

/* Before and after attention, before and after the MLP. */
enum sae_lm_norm_at {
    SAE_LM_NORM_IN = 0,
    SAE_LM_NORM_POST_ATTN,
    SAE_LM_NORM_PRE_FF,
    SAE_LM_NORM_POST_FF
};

struct sae_lm_layer {
    struct sae_lm_panel qkv, out, gate_up, down; /* gate_up: up alone where the MLP has no gate */
    const float *norms[4]; /* as lib/math/lm.h takes them; after: NULL where the family has none */
    const float *head_norms; /* [2][head_dim] of q and k, or NULL */
};

struct sae_lm {
    struct sae_lm_config config;
    char *folder;
    struct sae_st *st;
    struct sae_lm_layer *layers;
    struct sae_lm_panel embed;
    struct sae_lm_panel head; /* of logits: embed itself, or a matrix of its own (own_head) */
    bool own_head;
    const float *positions; /* [max_context][D], or NULL */
    const float *norm;      /* the final one */
    float *arena;           /* all norms and biases, and the copies of a small model */
    char id[65], first_hex[65]; /* SHA-256 of the first of the files; "": not asked for yet */
    struct sae_lm_device *device; /* device.h; NULL: runs compute on the host */
    const struct sae_gemm *gemm;  /* there with these products; NULL: in f32 */
};

/* Floats of a norm's weights. */
static inline size_t sae_lm_norm_size(const struct sae_lm_config *c)
{
    return c->norm == SAE_LM_LAYER ? 2 * c->D : c->D;
}

/* sae_lm_open, with copies in f32 up to a size in bytes. For tests of both ways. */
SAE_MUST_CHECK enum sae_status sae_lm_open_with(struct sae_lm **ret, const char *folder,
                                                size_t copy_max, struct sae_err *err);

/* The panel's rows [first, first + n) as f32: its copy, or converted into scratch. */
const float *sae_lm_panel_rows(const struct sae_lm_panel *panel, size_t first, size_t n,
                               float *scratch);
/* Gives back the memory of the file behind those rows, which stay readable: else a pass over a large
 * model would come to hold all of it. Rows that lie scattered in the file go where all are named. */
void sae_lm_panel_drop(const struct sae_lm_panel *panel, size_t first, size_t n);

#endif /* SAE_LM_MODEL_H */
