/* SPDX-License-Identifier: MIT */
/* compare : several checkpoints side by side. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "analyze/metrics.h"
#include "lib/cli/table.h"

void analyze_compare_fill(struct analyze_column *ret, const struct analyze_report *r)
{
    struct analyze_metric all[ANALYZE_METRICS_MOST];
    const size_t n = analyze_metrics(r, all);
    *ret = (struct analyze_column){.progress = r->ckpt->progress};
    snprintf(ret->head, sizeof ret->head, "%s/%s", r->run, r->name);
    for (size_t i = 0; i < n && ret->n < ANALYZE_COMPARED; i++)
        if (all[i].is->compared) {
            ret->row[ret->n] = all[i].is;
            ret->value[ret->n++] = all[i].value * (all[i].is->percent ? 100 : 1);
        }
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
    sae_table_text(table, "progress, %%");
    for (size_t c = 0; c < n; c++)
        sae_table_real(table, 100 * columns[c].progress, 0);
    for (size_t i = 0; i < columns[0].n; i++) {
        sae_table_text(table, "%s", columns[0].row[i]->row);
        for (size_t c = 0; c < n; c++)
            sae_table_real(table, columns[c].value[i], columns[0].row[i]->digits);
    }
    const enum sae_status st = sae_table_print(table, to, 0, err);
    sae_table_free(table);
    return st;
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

enum sae_status analyze_brief_print(const struct analyze_column *columns, size_t n, FILE *to,
                                    struct sae_err *err)
{
    const char *heads[ANALYZE_COMPARED + 2] = {"checkpoint", "%"};
    size_t at[ANALYZE_COMPARED], n_heads = 0; /* of columns[].row */
    struct sae_table *table;
    for (size_t i = 0; n > 0 && i < columns[0].n; i++)
        if (columns[0].row[i]->brief != NULL) {
            heads[n_heads + 2] = columns[0].row[i]->brief;
            at[n_heads++] = i;
        }
    SAE_TRY(sae_table_make(&table, n_heads + 2, heads, err));
    for (size_t c = 0; c < n; c++) {
        sae_table_text(table, "%s", columns[c].head);
        sae_table_real(table, 100 * columns[c].progress, 0);
        for (size_t i = 0; i < n_heads; i++)
            sae_table_real(table, columns[c].value[at[i]], columns[c].row[at[i]]->digits);
    }
    const enum sae_status st = sae_table_print(table, to, 0, err);
    sae_table_free(table);
    SAE_TRY(st);
    fprintf(to, "\n%-11s  of the training done\n", "%");
    for (size_t i = 0; i < n_heads; i++)
        fprintf(to, "%-11s  %s\n", heads[i + 2], columns[0].row[at[i]]->says);
    fputs("\nAll tables of each checkpoint: --full.\n", to);
    return SAE_OK;
}
