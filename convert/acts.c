/* SPDX-License-Identifier: MIT */
/* acts : an activation store as one array file, row by row.
 * Contents: 1. columns   2. headers   3. data */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "lib/base/bf16.h"
#include "lib/base/mem.h"
#include "lib/base/part.h"
#include "lib/base/stop.h"
#include "lib/base/str.h"
#include "lib/cli/progress.h"
#include "lib/file/acts.h"
#include "lib/file/npy.h"

enum { BLOCK_BYTES = 8 << 20 };

/* An export on its way. */
struct export {
    struct sae_acts *acts;
    FILE *f;
    const char *path;
    bool npy; /* else safetensors */
    size_t n, d, block; /* rows, width, rows at once */
    float *x;           /* [block][d] */
    uint16_t *narrow;   /* likewise */
    uint32_t *u32;      /* [block] */
    uint16_t *u16;
    struct sae_progress bar;
};

/* --- 1. columns --------------------------------------------------------------------------- */

/* In the file's order: wider types first, so that each is aligned to its own width. */
static const struct column {
    const char *name, *type;
    size_t width;
} columns[] = {
    {"token", "U32", 4}, {"document", "U32", 4}, {"rows", "BF16", 2}, {"position", "U16", 2}};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

static bool is_rows(const struct column *column)
{
    return strcmp(column->type, "BF16") == 0;
}

static bool has(const struct export *e, const struct column *column)
{
    char path[16];
    (void)snprintf(path, sizeof path, "/%s", column->name);
    return is_rows(column) || sae_acts_has(e->acts, path);
}

/* --- 2. headers --------------------------------------------------------------------------- */

static enum sae_status put(const struct export *e, const void *data, size_t n, struct sae_err *err)
{
    return convert_put(e->f, e->path, data, n, err);
}

static enum sae_status put_st_head(const struct export *e, struct sae_err *err)
{
    struct sae_str text = {0};
    uint8_t size[8];
    size_t at = 0;
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&text, err, "{\"__metadata__\":{\"store\":\"%s\"}",
                              sae_acts_id(e->acts)));
    for (size_t i = 0; i < N_COLUMNS; i++) {
        const struct column *const c = &columns[i];
        if (!has(e, c))
            continue;
        const size_t end = at + e->n * c->width * (is_rows(c) ? e->d : 1);
        SAE_GO(st, sae_str_printf(&text, err, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu", c->name,
                                  c->type, e->n));
        if (is_rows(c))
            SAE_GO(st, sae_str_printf(&text, err, ",%zu", e->d));
        SAE_GO(st, sae_str_printf(&text, err, "],\"data_offsets\":[%zu,%zu]}", at, end));
        at = end;
    }
    SAE_GO(st, sae_str_append(&text, "}", 1, err));
    while ((8 + text.len) % 64 != 0)
        SAE_GO(st, sae_str_append(&text, " ", 1, err));
    for (size_t i = 0; i < 8; i++)
        size[i] = (uint8_t)(text.len >> (8 * i));
    SAE_GO(st, put(e, size, sizeof size, err));
    st = put(e, text.s, text.len, err);
done:
    sae_str_clear(&text);
    return st;
}

static enum sae_status put_npy_head(const struct export *e, struct sae_err *err)
{
    const size_t shape[2] = {e->n, e->d};
    char head[SAE_NPY_HEAD_MAX];
    return put(e, head, sae_npy_head(head, 2, shape), err);
}

/* --- 3. data ------------------------------------------------------------------------------ */

static enum sae_status put_block(struct export *e, const struct column *column, size_t first,
                                 size_t n, struct sae_err *err)
{
    if (is_rows(column)) {
        SAE_TRY(sae_acts_read(e->acts, first, n, e->x, err));
        if (e->npy)
            return put(e, e->x, n * e->d * sizeof *e->x, err);
        sae_bf16_narrow(e->narrow, e->x, n * e->d);
        return put(e, e->narrow, n * e->d * sizeof *e->narrow, err);
    }
    const bool token = strcmp(column->name, "token") == 0;
    if (column->width == 2) {
        SAE_TRY(sae_acts_read_tokens(e->acts, first, n, NULL, NULL, e->u16, err));
        return put(e, e->u16, n * sizeof *e->u16, err);
    }
    SAE_TRY(sae_acts_read_tokens(e->acts, first, n, token ? e->u32 : NULL, token ? NULL : e->u32,
                                 NULL, err));
    return put(e, e->u32, n * sizeof *e->u32, err);
}

static enum sae_status put_column(struct export *e, const struct column *column,
                                  struct sae_err *err)
{
    for (size_t first = 0; first < e->n; first += e->block) {
        const size_t n = e->n - first < e->block ? e->n - first : e->block;
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped; '%s' is not written", e->path);
        SAE_TRY(put_block(e, column, first, n, err));
        if (is_rows(column))
            sae_progress_step(&e->bar, first + n, NULL);
    }
    return SAE_OK;
}

static enum sae_status put_all(struct export *e, struct sae_err *err)
{
    SAE_TRY(e->npy ? put_npy_head(e, err) : put_st_head(e, err));
    for (size_t i = 0; i < N_COLUMNS; i++)
        if (e->npy ? is_rows(&columns[i]) : has(e, &columns[i]))
            SAE_TRY(put_column(e, &columns[i], err));
    return SAE_OK;
}

static enum sae_status prepare(struct export *e, const char *store, bool force, struct sae_err *err)
{
    SAE_TRY(convert_check_free(e->path, force, err));
    SAE_TRY(sae_acts_open(&e->acts, store, err));
    e->n = sae_acts_n_rows(e->acts);
    e->d = sae_acts_d(e->acts);
    const size_t fit = BLOCK_BYTES / sizeof *e->x / e->d;
    e->block = fit > 0 ? fit : 1;
    SAE_TRY(sae_mem_alloc(&e->x, e->block * e->d, sizeof *e->x, err));
    SAE_TRY(sae_mem_alloc(&e->narrow, e->block * e->d, sizeof *e->narrow, err));
    SAE_TRY(sae_mem_alloc(&e->u32, e->block, sizeof *e->u32, err));
    SAE_TRY(sae_mem_alloc(&e->u16, e->block, sizeof *e->u16, err));
    return convert_check_disk(e->path, (double)e->n * ((e->npy ? 4 : 2) * (double)e->d + 10), "", err);
}

static void clear(struct export *e)
{
    sae_acts_close(e->acts);
    free(e->x);
    free(e->narrow);
    free(e->u32);
    free(e->u16);
}

enum sae_status convert_acts(const char *out, const char *store, bool force, size_t *ret_rows,
                             size_t *ret_d, struct sae_err *err)
{
    struct export e = {.path = out, .npy = sae_str_ends(out, ".npy")};
    char *part = NULL;
    enum sae_status st;
    if (!e.npy && !sae_str_ends(out, ".safetensors"))
        return sae_err_set(err, SAE_EARG, "-o %s: a store goes to FILE.npy or FILE.safetensors",
                           out);
    SAE_GO(st, prepare(&e, store, force, err));
    SAE_GO(st, sae_part_open(&e.f, &part, out, err));
    sae_progress_begin(&e.bar, "export", "rows", 0, e.n);
    st = put_all(&e, err);
    sae_progress_end(&e.bar);
    st = convert_finish(e.f, part, out, force, st, err);
    *ret_rows = e.n;
    *ret_d = e.d;
done:
    free(part);
    clear(&e);
    return st;
}
