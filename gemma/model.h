/* SPDX-License-Identifier: MIT */
/* model : the weights as the forward pass reads them. */
#ifndef SAE_GEMMA_MODEL_H
#define SAE_GEMMA_MODEL_H

#include "gemma/gemma.h"
#include "lib/file/st.h"

/* One GEMM operand [n_rows][n_cols], stacked from up to three tensors (q|k|v, gate|up). Small
 * models keep it in f32 at `copy`; of large ones the caller converts it into scratch. */
struct gemma_panel {
    const struct sae_st_tensor *parts[3];
    size_t n_parts, n_rows, n_cols;
    const float *copy; /* or NULL */
};

enum gemma_norm { GEMMA_NORM_IN = 0, GEMMA_NORM_POST_ATTN, GEMMA_NORM_PRE_FF, GEMMA_NORM_POST_FF };

struct gemma_layer {
    struct gemma_panel qkv, out, gate_up, down;
    const float *norms[4]; /* [D], stored around 0 */
};

struct gemma_model {
    struct gemma_config config;
    char *folder;
    struct sae_st *st;
    struct gemma_layer *layers;
    struct gemma_panel embed;
    struct gemma_panel head; /* of logits: embed itself, or a matrix of its own (own_head) */
    bool own_head;
    const float *norm; /* the final one */
    float *arena;      /* all norms, and the copies of a small model */
    char id[65];
    struct gemma_device *device; /* device.h; NULL: runs compute on the host */
};

/* gemma_model_open, with copies in f32 up to a size in bytes. For tests of both ways. */
SAE_MUST_CHECK enum sae_status gemma_model_open_with(struct gemma_model **ret, const char *folder,
                                                     size_t copy_max, struct sae_err *err);

/* The panel's rows [first, first + n) as f32: its copy, or converted into scratch. */
const float *gemma_panel_rows(const struct gemma_panel *panel, size_t first, size_t n,
                              float *scratch);

#endif /* SAE_GEMMA_MODEL_H */
