/* SPDX-License-Identifier: MIT */
/* compare : several checkpoints side by side. */
#include <math.h>
#include <stdio.h>

#include "analyze/analyze.h"
#include "lib/base/mem.h"
#include "lib/cli/table.h"

static const struct {
    const char *name;
    int digits;
} rows[ANALYZE_COMPARED] = {
    {"progress, %",                    0},
    {"nearest neighbour, mean cos",    4},
    {"largest |cos|",                  4},
    {"mean |cos| of pairs",            5},
    {"near duplicates",                0},
    {"encoder with decoder, mean cos", 4},
    {"effective rank",                 2},
    {"participation ratio",            2},
    {"active latents a token",         2},
    {"dead latents",                   0},
    {"latents on > 10 % of tokens, %", 3},
    {"mean overlap of pairs that met", 4},
    {"mean phi",                       4},
    {"overlap with |cos|, r",          3},
    {"competing pairs at tau 0.1",     0},
    {"their mean |cos|",               4},
    {"L_orth at tau 0.1",              3},
};

void analyze_compare_fill(struct analyze_column *ret, const struct analyze_report *r)
{
    const double values[ANALYZE_COMPARED] = {
        100 * r->ckpt.progress,
        r->max_dec.mean,
        r->moments.coherence,
        r->moments.mean_abs,
        (double)r->n_duplicates,
        r->enc_dec.mean,
        r->ranks.effective,
        r->ranks.participation,
        r->usage.l0,
        (double)r->usage.n_dead,
        100 * r->usage.over_10,
        r->cooc.of[SAE_OVERLAP_OVERLAP].mean,
        r->cooc.mean_phi,
        r->cooc.corr_abs,
        (double)r->cooc.reference.n_pairs,
        r->cooc.reference.mean_abs_cos,
        r->cooc.reference.loss,
    };
    enum { FIRST_OF_MASKS = 8 };
    snprintf(ret->head, sizeof ret->head, "%s/%s", r->run, r->name);
    for (size_t i = 0; i < ANALYZE_COMPARED; i++)
        ret->value[i] = r->has_masks || i < FIRST_OF_MASKS ? values[i] : NAN;
}

enum sae_status analyze_compare_print(const struct analyze_column *columns, size_t n, FILE *to,
                                      struct sae_err *err)
{
    const char **heads = NULL;
    struct sae_table *table;
    SAE_TRY(sae_mem_alloc(&heads, n + 1, sizeof *heads, err));
    heads[0] = "side by side";
    for (size_t i = 0; i < n; i++)
        heads[i + 1] = columns[i].head;
    enum sae_status status = sae_table_make(&table, n + 1, heads, err);
    free(heads);
    SAE_TRY(status);
    for (size_t i = 0; i < ANALYZE_COMPARED; i++) {
        sae_table_text(table, "%s", rows[i].name);
        for (size_t c = 0; c < n; c++)
            sae_table_real(table, columns[c].value[i], rows[i].digits);
    }
    status = sae_table_print(table, to, 0, err);
    sae_table_free(table);
    return status;
}
