/* SPDX-License-Identifier: MIT */
/* table : see the header. */
#include "lib/cli/table.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"

struct sae_table {
    size_t n_columns, n_cells, cap;
    char **cells; /* row by row, the head first */
    bool *number; /* per column: every cell so far is a number */
    bool failed;  /* an allocation failed: print says so */
};

enum sae_status sae_table_make(struct sae_table **ret, size_t n_columns, const char *const *heads,
                               struct sae_err *err)
{
    struct sae_table *table = NULL;
    SAE_TRY(sae_mem_alloc(&table, 1, sizeof *table, err));
    const enum sae_status st = sae_mem_alloc(&table->number, n_columns, sizeof(bool), err);
    if (st != SAE_OK) {
        free(table);
        return st;
    }
    table->n_columns = n_columns;
    for (size_t i = 0; i < n_columns; i++) {
        table->number[i] = true;
        sae_table_text(table, "%s", heads[i]);
    }
    *ret = table;
    return SAE_OK;
}

static bool looks_like_number(const char *s)
{
    double v;
    char head[32];
    const size_t n = strspn(s, "+-0123456789.eE");
    if (*s == '\0' || strcmp(s, "-") == 0)
        return true;
    if (n == 0 || n >= sizeof head || (s[n] != '\0' && s[n] != ' ' && s[n] != '%'))
        return false;
    memcpy(head, s, n);
    head[n] = '\0';
    return sae_str_real(head, &v);
}

void sae_table_text(struct sae_table *table, const char *fmt, ...)
{
    struct sae_str s = {0};
    char buf[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(buf, sizeof buf, fmt, args);
    va_end(args);
    const size_t column = table->n_cells % table->n_columns;
    if (table->n_cells >= table->n_columns && !looks_like_number(buf))
        table->number[column] = false;
    if (sae_mem_grow(&table->cells, &table->cap, table->n_cells + 1, sizeof *table->cells, NULL) !=
            SAE_OK ||
        sae_utf8_shown(&s, buf[0] == '\0' ? "-" : buf, buf[0] == '\0' ? 1 : strlen(buf), NULL) !=
            SAE_OK) {
        sae_str_clear(&s);
        table->failed = true;
        return;
    }
    table->cells[table->n_cells++] = s.s;
}

void sae_table_real(struct sae_table *table, double x, int digits)
{
    if (!isfinite(x))
        sae_table_text(table, "-");
    else if (x != 0 && (fabs(x) >= 1e7 || fabs(x) < 0.5 * pow(10, -digits)))
        sae_table_text(table, "%.*e", digits > 3 ? 3 : digits, x);
    else
        sae_table_text(table, "%.*f", digits, x);
}

void sae_table_count(struct sae_table *table, double x)
{
    if (!isfinite(x))
        sae_table_text(table, "-");
    else
        sae_table_text(table, "%.0f", x);
}

/* Columns a terminal shows: UTF-8 continuation bytes take none. */
static size_t shown_width(const char *s)
{
    size_t n = 0;
    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xC0) != 0x80;
    return n;
}

static void print_cell(FILE *to, const char *cell, size_t width, bool right, bool last)
{
    const int pad = (int)(width - shown_width(cell));
    if (right)
        fprintf(to, "%*s%s", pad, "", cell);
    else
        fprintf(to, "%s%*s", cell, last ? 0 : pad, "");
}

enum sae_status sae_table_print(const struct sae_table *table, FILE *to, int indent,
                                struct sae_err *err)
{
    size_t *width = NULL;
    if (table->failed)
        return sae_err_set(err, SAE_ENOMEM, "out of memory (table)");
    SAE_TRY(sae_mem_alloc(&width, table->n_columns, sizeof *width, err));
    for (size_t i = 0; i < table->n_cells; i++) {
        const size_t w = shown_width(table->cells[i]);
        size_t *column = &width[i % table->n_columns];
        *column = w > *column ? w : *column;
    }
    for (size_t i = 0; i < table->n_cells; i++) {
        const size_t c = i % table->n_columns;
        fprintf(to, "%*s", c == 0 ? indent : 2, "");
        print_cell(to, table->cells[i], width[c], table->number[c], c + 1 == table->n_columns);
        if (c + 1 < table->n_columns)
            continue;
        fputc('\n', to);
        for (size_t k = 0; i + 1 == table->n_columns && k < table->n_columns; k++) {
            fprintf(to, "%*s", k == 0 ? indent : 2, "");
            for (size_t j = 0; j < width[k]; j++)
                fputc('-', to);
            if (k + 1 == table->n_columns)
                fputc('\n', to);
        }
    }
    free(width);
    return SAE_OK;
}

void sae_table_free(struct sae_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i]);
    free(table->cells);
    free(table->number);
    free(table);
}
