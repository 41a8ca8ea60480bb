/* SPDX-License-Identifier: MIT */
/* compare : several checkpoints side by side. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "analyze/analyze.h"
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
    {"silent on those tokens",         0},
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

enum { WIDEST = 8, NARROWEST = 4 }; /* checkpoints beside each other on one screen */

static bool same_run(const char *a, const char *b)
{
    const char *const end = strrchr(a, '/');
    const size_t n = end != NULL ? (size_t)(end - a) + 1 : 0;
    return strncmp(a, b, n) == 0 && strchr(b + n, '/') == NULL;
}

/* How many of n columns stand in the next table: all where they fit, else as many as fit,
 * preferably whole runs. */
static size_t next_block(const struct analyze_column *columns, size_t n)
{
    if (n <= WIDEST)
        return n;
    for (size_t at = WIDEST; at >= NARROWEST; at--)
        if (!same_run(columns[at - 1].head, columns[at].head))
            return at;
    return WIDEST;
}

static enum sae_status print_block(const struct analyze_column *columns, size_t n, FILE *to,
                                   struct sae_err *err)
{
    const char *heads[WIDEST + 1] = {"side by side"};
    struct sae_table *table;
    for (size_t i = 0; i < n; i++)
        heads[i + 1] = columns[i].head;
    SAE_TRY(sae_table_make(&table, n + 1, heads, err));
    for (size_t i = 0; i < ANALYZE_COMPARED; i++) {
        sae_table_text(table, "%s", rows[i].name);
        for (size_t c = 0; c < n; c++)
            sae_table_real(table, columns[c].value[i], rows[i].digits);
    }
    const enum sae_status status = sae_table_print(table, to, 0, err);
    sae_table_free(table);
    return status;
}

enum sae_status analyze_compare_print(const struct analyze_column *columns, size_t n, FILE *to,
                                      struct sae_err *err)
{
    for (size_t first = 0; first < n;) {
        const size_t block = next_block(columns + first, n - first);
        if (first > 0)
            fputc('\n', to);
        SAE_TRY(print_block(columns + first, block, to, err));
        first += block;
    }
    return SAE_OK;
}

/* --- a row a checkpoint ------------------------------------------------------------------- */

/* Which of the compared numbers, and how they are called in a table's head. */
static const struct {
    size_t row;
    const char *head, *meaning;
} brief[] = {
    {0,  "%",           "of the training done"                                               },
    {8,  "L0",          "active latents a held-out token"                                    },
    {9,  "silent",      "latents that fire on no held-out token"                             },
    {1,  "nearest cos", "cosine to the nearest other direction, mean over latents"           },
    {2,  "max |cos|",   "the largest |cosine| of any pair; 1: two latents share one direction"},
    {6,  "eff. rank",   "dimensions that the directions really use, at most d"               },
    {14, "comp. pairs", "pairs that fire together on more than a tenth of the rarer's tokens"},
    {15, "their |cos|", "mean |cosine| of those pairs"                                       },
};
enum { N_BRIEF = sizeof brief / sizeof *brief };

enum sae_status analyze_brief_print(const struct analyze_column *columns, size_t n, FILE *to,
                                    struct sae_err *err)
{
    const char *heads[N_BRIEF + 1] = {"checkpoint"};
    struct sae_table *table;
    for (size_t i = 0; i < N_BRIEF; i++)
        heads[i + 1] = brief[i].head;
    SAE_TRY(sae_table_make(&table, N_BRIEF + 1, heads, err));
    for (size_t c = 0; c < n; c++) {
        sae_table_text(table, "%s", columns[c].head);
        for (size_t i = 0; i < N_BRIEF; i++)
            sae_table_real(table, columns[c].value[brief[i].row], rows[brief[i].row].digits);
    }
    const enum sae_status status = sae_table_print(table, to, 0, err);
    sae_table_free(table);
    SAE_TRY(status);
    fputc('\n', to);
    for (size_t i = 0; i < N_BRIEF; i++)
        fprintf(to, "%-11s  %s\n", brief[i].head, brief[i].meaning);
    fputs("\nAll tables of each checkpoint: --full.\n", to);
    return SAE_OK;
}
