/* SPDX-License-Identifier: MIT */
/* gemma_fixture : the golden model whose weights come from a formula, written as a folder.
 * Config, weights, tokens and expected numbers: docs of the golden table, float64 arithmetic. */
#ifndef TESTS_UNIT_GEMMA_FIXTURE_H
#define TESTS_UNIT_GEMMA_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/file/st.h"

enum {
    FIX_V = 67,
    FIX_D = 32,
    FIX_F = 48,
    FIX_L = 4,
    FIX_B = 2,
    FIX_T = 12,
    FIX_N = 46 /* tensors */
};

extern const uint32_t fix_tokens[FIX_B * FIX_T];

/* config.json of the golden model. */
extern const char fix_config[];

struct fix_form {
    enum sae_st_dtype dtype;
    size_t n_shards;
    bool no_prefix;     /* names without "model." */
    const char *config; /* NULL = fix_config */
    float head;         /* an lm_head.weight of so many times the embedding; 0: none */
};

/* A new folder under $TMPDIR; removed with its files by fix_remove, which frees the name. */
char *fix_folder(void);
void fix_remove(char *folder);

/* Writes config and weights into the folder; fails the test on error. */
void fix_write(const char *folder, const struct fix_form *form);
void fix_write_text(const char *folder, const char *name, const char *text);

/* The tensors themselves, for tests that spoil one; free with fix_items_free. */
struct sae_st_item *fix_items(const struct fix_form *form);
void fix_items_free(struct sae_st_item *items);

#endif /* TESTS_UNIT_GEMMA_FIXTURE_H */
