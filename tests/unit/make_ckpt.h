/* SPDX-License-Identifier: MIT */
/* make_ckpt : fabricates checkpoints for tests, through lib/sae/ckpt.h. See make_ckpt.c. */
#ifndef SAE_TESTS_MAKE_CKPT_H
#define SAE_TESTS_MAKE_CKPT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/sae/ckpt.h"

struct make_ckpt {
    const char *kind; /* "families", "random", "orthogonal", "duplicates", "nomasks", "nan" */
    const char *arch; /* "topk", "standard", ... */
    const char *orth; /* recorded option: "none", "static", "progressive" */
    size_t d, m, k, tokens;
    uint64_t step, total_steps, seed;
    double cosine; /* families: cosine between members */
};

struct make_ckpt make_ckpt_default(void);

/* Fills a checkpoint in memory; sae_ckpt_clear frees it. */
SAE_MUST_CHECK enum sae_status make_ckpt_fill(struct sae_ckpt *ret, const struct make_ckpt *want,
                                              struct sae_err *err);
/* The same, written to path (replacing what is there). */
SAE_MUST_CHECK enum sae_status make_ckpt_save(const char *path, const struct make_ckpt *want,
                                              struct sae_err *err);

#endif /* SAE_TESTS_MAKE_CKPT_H */
