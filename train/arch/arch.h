/* SPDX-License-Identifier: MIT */
/* arch : what sae-train can train, one row an architecture.
 * A new one is a file in this folder with its row, a line of TRAIN_ARCHS, and its file's name in
 * train/meson.build; where its checkpoints are used in a way of their own, a row of lib/sae/arch.c
 * too. A row that is missing does not link, one that is incomplete fails tests/unit. */
#ifndef SAE_TRAIN_ARCH_H
#define SAE_TRAIN_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct masks;
struct sae_csr;
struct trainer;

/* The list: name in code, row, name on the command line and in records. */
#define TRAIN_ARCHS(X)                                                                             \
    X(TOPK, topk, "topk")                                                                          \
    X(STANDARD, standard, "standard")                                                              \
    X(STANDARD_2024, standard_2024, "standard-2024")                                               \
    X(BATCHTOPK, batchtopk, "batchtopk")                                                           \
    X(GATED, gated, "gated")                                                                       \
    X(JUMPRELU, jumprelu, "jumprelu")                                                              \
    X(MATRYOSHKA, matryoshka, "matryoshka")

#define TRAIN_ARCH_ID(ID, row, name) TRAIN_##ID,
enum { TRAIN_ARCHS(TRAIN_ARCH_ID) TRAIN_ARCH_N };
#undef TRAIN_ARCH_ID

/* Which activations above 0 a training step keeps. */
enum train_keeps {
    TRAIN_KEEPS_ALL,   /* or those above a threshold that is learnt */
    TRAIN_KEEPS_TOKEN, /* the k largest of each token */
    TRAIN_KEEPS_BATCH  /* n k of a batch; used with a threshold that training averages */
};

/* What the sparsity term is made of. */
enum train_penalty {
    TRAIN_PENALTY_NONE, /* sparse by k */
    TRAIN_PENALTY_L1,   /* activations */
    TRAIN_PENALTY_GATE, /* activations of the gate, which has a loss of its own besides */
    TRAIN_PENALTY_L0    /* (L0 / target - 1)^2 */
};

enum train_shape { TRAIN_SHAPE_M, TRAIN_SHAPE_D, TRAIN_SHAPE_MD };

/* A parameter array. A table of them ends with a name of NULL. */
struct train_array {
    const char *name; /* in messages, and with its moments in state.h5 */
    enum train_shape shape;
    size_t view; /* offset of its pointer in struct params */
};

enum { TRAIN_ARRAYS = 6 }; /* at most */

struct train_arch {
    const char *summary; /* one line: what is trained and how */
    const char *model;   /* architecture of its checkpoints: a name of lib/sae/arch.c */
    const struct train_array *arrays; /* in memory in this order: matrices, biases, others */
    enum train_keeps keeps;
    enum train_penalty penalty;
    double l1;            /* default weight of the penalties L1 and GATE */
    bool sparsity_warmup; /* whether the weight of the penalty is warmed up */
    double lr;            /* default learning rate, */
    bool lr_by_width;     /* divided by sqrt(m / 16384) */
    bool subtracts_b_dec; /* encode uses x - b_dec */
    bool root_loss;       /* |x - xhat|, not its square */
    bool prefixes;        /* reconstructs from nested groups of latents */
    bool resamples;       /* silent latents may be started anew */
    /* The update: projection of the decoder's gradient, clipping of all to norm 1, Adam, unit decoder
     * rows. The eps are added to the norms of rows. */
    bool clips;
    float beta1, project_eps, unit_eps;

    /* What is computed (train/inner.h). Arrays are in memory of the backend; x is in work->x. */
    void (*init)(struct trainer *t, const float *x); /* t->w, on the host; x is the first batch */
    /* Arrays of its own, in work->own; may be NULL. */
    enum sae_status (*open)(struct trainer *t, struct sae_err *err);
    void (*close)(struct trainer *t);
    /* Activations and work->xhat. masks->valid: masks are wanted; it is true afterwards where they
     * were made. Else work->active counts. */
    enum sae_status (*forward)(struct trainer *t, struct masks *masks, struct sae_err *err);
    /* work->grad and number[RECON], and of a gate number[AUX]. */
    enum sae_status (*loss)(struct trainer *t, struct sae_err *err);
    /* All gradients but that of b_dec. sparse_weight: of the penalty. */
    enum sae_status (*backward)(struct trainer *t, const struct masks *masks, double sparse_weight,
                                struct sae_err *err);
    /* The entries that inference keeps of `rows` rows. */
    enum sae_status (*infer)(struct trainer *t, size_t rows, uint64_t k, struct sae_csr *csr,
                             struct sae_err *err);
};

/* By TRAIN_TOPK ... */
extern const struct train_arch *const train_archs[TRAIN_ARCH_N];
extern const char *const train_arch_names[TRAIN_ARCH_N + 1]; /* ends with NULL */

#define TRAIN_ARCH_ROW(ID, row, name) extern const struct train_arch train_arch_##row;
TRAIN_ARCHS(TRAIN_ARCH_ROW)
#undef TRAIN_ARCH_ROW

/* The first arrays of every architecture; bias: "b_enc". For files that know struct params. */
#define TRAIN_ARRAYS_OF_ALL(bias)                                                                  \
    {"W_enc", TRAIN_SHAPE_MD, offsetof(struct params, W_enc)},                                     \
        {"W_dec", TRAIN_SHAPE_MD, offsetof(struct params, W_dec)},                                 \
        {bias, TRAIN_SHAPE_M, offsetof(struct params, b_enc)},                                     \
    {                                                                                              \
        "b_dec", TRAIN_SHAPE_D, offsetof(struct params, b_dec)                                     \
    }

#endif /* SAE_TRAIN_ARCH_H */
