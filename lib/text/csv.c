/* SPDX-License-Identifier: MIT */
/* csv : RFC 4180, one character at a time. */
#include "lib/text/csv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"

enum { END = -1, FIELD_MAX = 64 << 20 };

void sae_csv_init(struct sae_csv *csv, struct sae_bytes *bytes, const char *path, char separator)
{
    *csv = (struct sae_csv){.bytes = bytes, .path = path, .separator = separator};
}

void sae_csv_clear(struct sae_csv *csv)
{
    for (size_t i = 0; i < csv->cap; i++)
        sae_str_clear(&csv->field[i]);
    free(csv->field);
    *csv = (struct sae_csv){0};
}

static enum sae_status take(struct sae_csv *csv, int *ret, struct sae_err *err)
{
    struct sae_bytes *b = csv->bytes;
    if (b->at == b->end)
        SAE_TRY(sae_bytes_fill(b, err));
    *ret = b->at == b->end ? END : *b->at++;
    if (*ret == '\n')
        csv->lines_read++;
    return SAE_OK;
}

static enum sae_status add_char(const struct sae_csv *csv, struct sae_str *to, int c,
                                struct sae_err *err)
{
    const char byte = (char)c;
    if (to->len >= FIELD_MAX)
        return sae_err_set(err, SAE_ERANGE,
                           "'%s' line %" PRIu64 ": a field of more than %d MiB; is a quote left "
                           "open?",
                           csv->path, csv->line, FIELD_MAX >> 20);
    return sae_str_append(to, &byte, 1, err);
}

/* Starts the next field of the record, empty. */
static enum sae_status new_field(struct sae_csv *csv, struct sae_str **ret, struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&csv->field, &csv->cap, csv->n_fields + 1, sizeof *csv->field, err));
    *ret = &csv->field[csv->n_fields++];
    (*ret)->len = 0;
    return sae_str_append(*ret, "", 0, err);
}

/* After the opening quote; *next is the character behind the closing one. */
static enum sae_status quoted(struct sae_csv *csv, struct sae_str *field, int *next,
                              struct sae_err *err)
{
    const uint64_t began = csv->lines_read + 1;
    for (;;) {
        int c;
        SAE_TRY(take(csv, &c, err));
        if (c == END)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s' line %" PRIu64 ": the quote that opens "
                               "here is never closed",
                               csv->path, began);
        if (c == '"') {
            SAE_TRY(take(csv, &c, err));
            if (c != '"') {
                *next = c;
                return SAE_OK;
            }
        }
        SAE_TRY(add_char(csv, field, c, err));
    }
}

/* One field whose first character is *c; leaves the character that ended it in *c. */
static enum sae_status read_field(struct sae_csv *csv, int *c, struct sae_err *err)
{
    struct sae_str *field;
    SAE_TRY(new_field(csv, &field, err));
    if (*c == '"') {
        SAE_TRY(quoted(csv, field, c, err));
        if (*c == '\r')
            SAE_TRY(take(csv, c, err));
        if (*c != csv->separator && *c != '\n' && *c != END)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s' line %" PRIu64 ": '%c' after a closing "
                               "quote; a quote inside a field is written twice",
                               csv->path, csv->lines_read + 1, *c);
        return SAE_OK;
    }
    while (*c != csv->separator && *c != '\n' && *c != END) {
        SAE_TRY(add_char(csv, field, *c, err));
        SAE_TRY(take(csv, c, err));
    }
    if (*c != csv->separator && field->len > 0 && field->s[field->len - 1] == '\r')
        field->s[--field->len] = '\0';
    return SAE_OK;
}

enum sae_status sae_csv_next(struct sae_csv *csv, bool *ret_more, struct sae_err *err)
{
    int c;
    do {
        csv->line = csv->lines_read + 1;
        SAE_TRY(take(csv, &c, err));
    } while (c == '\n' || c == '\r');
    csv->n_fields = 0;
    *ret_more = c != END;
    if (!*ret_more)
        return SAE_OK;
    for (;;) {
        SAE_TRY(read_field(csv, &c, err));
        if (c != csv->separator)
            return SAE_OK;
        SAE_TRY(take(csv, &c, err));
    }
}

size_t sae_csv_column(const struct sae_csv *csv, const char *name)
{
    for (size_t i = 0; i < csv->n_fields; i++)
        if (strcmp(csv->field[i].s, name) == 0)
            return i;
    return csv->n_fields;
}

void sae_csv_names(char *to, size_t size, const struct sae_csv *csv)
{
    size_t len = 0;
    to[0] = '\0';
    for (size_t i = 0; i < csv->n_fields && len + 60 < size; i++)
        len +=
            (size_t)snprintf(to + len, size - len, "%s%.40s", i > 0 ? ", " : "", csv->field[i].s);
}
