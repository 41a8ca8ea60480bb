/* SPDX-License-Identifier: MIT */
/* hook : the places of a language model whose activations are stored and replaced, by the names
 * that records, options and other packages give them. A hook is a point of a layer. With x the
 * stream, N a norm, [] where a family has it, layer l computes
 *
 *   resid_pre   x                     the stream that enters the layer
 *   attn_z      z                     the heads' outputs side by side, [n_heads d_head]
 *   attn_out    a = [N](W_o z [+ b])  what attention adds to the stream
 *   resid_mid   x + a                 not with a parallel residual
 *   mlp_in      h = N(x + a)          what the MLP reads, after the norm and its weights
 *                   N(x)              likewise, with a parallel residual
 *   mlp_out     m = [N](MLP(h))       what the MLP adds to the stream
 *   resid_post  x + a + m             resid_pre of the next layer
 */
#ifndef SAE_LIB_FILE_HOOK_H
#define SAE_LIB_FILE_HOOK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

enum sae_point {
    SAE_RESID_PRE,
    SAE_ATTN_Z,
    SAE_ATTN_OUT,
    SAE_RESID_MID,
    SAE_MLP_IN,
    SAE_MLP_OUT,
    SAE_RESID_POST,
    SAE_N_POINTS
};

struct sae_hook {
    enum sae_point point;
    size_t layer; /* from 0 */
};
static inline struct sae_hook sae_resid_post(size_t layer)
{
    const struct sae_hook hook = {SAE_RESID_POST, layer};
    return hook;
}

/* What a layer computes, in parts. */
enum {
    SAE_PART_HEADS = 1,    /* norm, queries, keys, values, attention */
    SAE_PART_ATTN_OUT = 2, /* output product and what follows it */
    SAE_PART_MLP_IN = 4,   /* norm before the MLP */
    SAE_PART_MLP = 8,
    SAE_PART_ALL = 15
};

struct sae_point_row {
    const char *name; /* "mlp_out" */
    const char *lens; /* as TransformerLens names it within "blocks.L.": "hook_mlp_out" */
    bool of_heads;    /* as wide as all heads together, not as the stream */
    bool of_branch;   /* not the stream: to go on from it the stream beside it is needed, too */
    unsigned needs, needs_parallel; /* parts of its layer that lead to it, the stream at entry given */
    unsigned after;     /* parts that follow where it is replaced */
};
extern const struct sae_point_row sae_points[SAE_N_POINTS];

/* The point of a name alone: "mlp_out", "hook_mlp_out". False: none. */
bool sae_point_parse(enum sae_point *ret, const char *name);
/* The hook of a whole name: "blocks.3.hook_mlp_out", or, of other packages, "model.layers.3",
 * "model.layers.3.self_attn.o_proj.input" and others (hook.c). False: of no known kind. */
bool sae_hook_parse(struct sae_hook *ret, const char *name);
/* The value of an option --hook: a point alone, of any layer, or a whole hook.
 * Fails: SAE_EARG neither, naming the points that there are */
SAE_MUST_CHECK enum sae_status sae_hook_option(struct sae_hook *ret, bool *ret_has_layer,
                                               const char *text, struct sae_err *err);
/* What options say of it, for their help. */
#define SAE_HOOK_HELP                                                                              \
    "resid_pre, attn_z, attn_out, resid_mid, mlp_in, mlp_out or resid_post; or a whole name such " \
    "as blocks.12.hook_mlp_out, which also gives the layer"
/* Its name as records have it: "blocks.3.hook_mlp_out". */
enum { SAE_HOOK_NAME = 64 };
const char *sae_hook_name(char name[SAE_HOOK_NAME], struct sae_hook hook);
/* Whether both are one place: resid_pre of a layer is resid_post of the one before. */
bool sae_hook_same(struct sae_hook a, struct sae_hook b);

/* The hook of a record's site {"layer", "hook"}: by its hook's whole name, or by its point alone
 * and the layer; where there is no hook, resid_post of the layer. False: it does not say, or names
 * a place that is not known here. */
bool sae_hook_of_site(struct sae_hook *ret, const json_t *site);

#endif /* SAE_LIB_FILE_HOOK_H */
