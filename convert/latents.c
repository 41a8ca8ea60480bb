/* SPDX-License-Identifier: MIT */
/* latents : the latents of a store's rows under an SAE, as one array file.
 * Contents: 1. files   2. sparse   3. dense   4. all together */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "convert/convert.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/part.h"
#include "lib/base/stop.h"
#include "lib/base/str.h"
#include "lib/cli/progress.h"
#include "lib/file/acts.h"
#include "lib/file/json.h"
#include "lib/file/npy.h"
#include "lib/sae/model.h"

enum { BLOCK_BYTES = 32 << 20, BLOCK_ROWS = 4096 };
/* Of a .safetensors: the head is written last, when the number of entries is known. */
enum { HEAD_BYTES = 1024 };

struct export {
    const struct sae_ckpt *ckpt;
    struct sae_acts *acts;
    struct sae_coder *coder;
    const char *path;
    FILE *f, *values; /* values: those of a .safetensors, until all indices are written */
    bool npy;
    size_t n, d, m, block; /* rows, widths, rows at once */
    uint64_t nnz;
    float *x;        /* [block][d] */
    float *dense;    /* .npy: [block][m] */
    uint64_t *start; /* .safetensors: [block + 1] */
    struct sae_progress bar;
};

/* --- 1. files ------------------------------------------------------------------------------ */

static enum sae_status put(const struct export *e, FILE *to, const void *data, size_t n,
                           struct sae_err *err)
{
    return convert_put(to, e->path, data, n, err);
}

/* Behind what is buffered: to a place that was left free. */
static enum sae_status put_at(const struct export *e, const void *data, size_t n, uint64_t at,
                              struct sae_err *err)
{
    const char *from = data;
    while (n > 0) {
        const ssize_t done = pwrite(fileno(e->f), from, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return convert_cannot_write(e->path, err);
        from += done;
        at += (uint64_t)done;
        n -= (size_t)done;
    }
    return SAE_OK;
}

/* --- 2. sparse ----------------------------------------------------------------------------- */

static enum sae_status put_entries(struct export *e, const struct sae_csr *f, size_t first, size_t n,
                                   struct sae_err *err)
{
    const size_t n_now = f->start[n] - f->start[0];
    for (size_t i = 0; i <= n; i++)
        e->start[i] = e->nnz + (f->start[i] - f->start[0]);
    SAE_TRY(put_at(e, e->start, (n + 1) * sizeof *e->start,
                   HEAD_BYTES + (uint64_t)first * sizeof *e->start, err));
    SAE_TRY(put(e, e->f, f->idx + f->start[0], n_now * sizeof *f->idx, err));
    SAE_TRY(put(e, e->values, f->val + f->start[0], n_now * sizeof *f->val, err));
    e->nnz += n_now;
    return SAE_OK;
}

static enum sae_status append_values(struct export *e, struct sae_err *err)
{
    const size_t cap = e->block * e->d * sizeof *e->x;
    rewind(e->values);
    for (size_t n; (n = fread(e->x, 1, cap, e->values)) > 0;)
        SAE_TRY(put(e, e->f, e->x, n, err));
    return ferror(e->values) ? convert_cannot_write(e->path, err) : SAE_OK;
}

/* Entries of row i are [start[i], start[i + 1]) of latent and value. */
static enum sae_status put_head(const struct export *e, struct sae_err *err)
{
    char head[HEAD_BYTES];
    const uint64_t a = ((uint64_t)e->n + 1) * 8, b = a + e->nnz * 4, c = b + e->nnz * 4;
    const uint64_t size = HEAD_BYTES - 8;
    memset(head, ' ', sizeof head);
    for (size_t i = 0; i < 8; i++)
        head[i] = (char)(uint8_t)(size >> (8 * i));
    const int len = snprintf(
        head + 8, sizeof head - 8,
        "{\"__metadata__\":{\"store\":\"%s\",\"sae\":\"%s\",\"rows\":\"%zu\",\"latents\":\"%zu\"},"
        "\"start\":{\"dtype\":\"U64\",\"shape\":[%zu],\"data_offsets\":[0,%" PRIu64 "]},"
        "\"latent\":{\"dtype\":\"U32\",\"shape\":[%" PRIu64 "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]},"
        "\"value\":{\"dtype\":\"F32\",\"shape\":[%" PRIu64 "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}}",
        sae_acts_id(e->acts), e->ckpt->id, e->n, e->m, e->n + 1, a, e->nnz, a, b, e->nnz, b, c);
    head[8 + len] = ' ';
    return put_at(e, head, sizeof head, 0, err);
}

/* --- 3. dense ------------------------------------------------------------------------------ */

static enum sae_status put_rows(const struct export *e, const struct sae_csr *f, size_t n,
                                struct sae_err *err)
{
    memset(e->dense, 0, n * e->m * sizeof *e->dense);
    for (size_t i = 0; i < n; i++)
        for (size_t at = f->start[i]; at < f->start[i + 1]; at++)
            e->dense[i * e->m + f->idx[at]] = f->val[at];
    return put(e, e->f, e->dense, n * e->m * sizeof *e->dense, err);
}

/* --- 4. all together ----------------------------------------------------------------------- */

static enum sae_status put_all(struct export *e, struct sae_err *err)
{
    const size_t shape[2] = {e->n, e->m};
    char head[SAE_NPY_HEAD_MAX];
    if (e->npy)
        SAE_TRY(put(e, e->f, head, sae_npy_head(head, 2, shape), err));
    else if (fseeko(e->f, (off_t)(HEAD_BYTES + ((uint64_t)e->n + 1) * 8), SEEK_SET) != 0)
        return convert_cannot_write(e->path, err);
    for (size_t first = 0; first < e->n; first += e->block) {
        const size_t n = e->n - first < e->block ? e->n - first : e->block;
        const struct sae_csr *f;
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped; '%s' is not written", e->path);
        SAE_TRY(sae_acts_read(e->acts, first, n, e->x, err));
        SAE_TRY(sae_coder_encode(e->coder, e->x, n, &f, err));
        SAE_TRY(e->npy ? put_rows(e, f, n, err) : put_entries(e, f, first, n, err));
        e->nnz += e->npy ? f->start[n] - f->start[0] : 0;
        sae_progress_step(&e->bar, first + n, NULL);
    }
    if (e->npy)
        return SAE_OK;
    SAE_TRY(append_values(e, err));
    return put_head(e, err);
}

/* Latents of rows that are not of the SAE's place mean nothing. */
static enum sae_status check_pair(const struct export *e, const char *store, struct sae_err *err)
{
    const struct convert_site site = convert_site_of(e->ckpt);
    const json_t *const of_store = json_object_get(sae_acts_record(e->acts), "site");
    const uint64_t layer = of_store != NULL ? sae_json_u64(of_store, "layer", UINT64_MAX) : UINT64_MAX;
    if (e->d != e->ckpt->model.d)
        return sae_err_set(err, SAE_EARG, "'%s' has rows of width %zu, but '%s' takes %zu", store, e->d,
                           e->ckpt->path, e->ckpt->model.d);
    if (layer != UINT64_MAX && site.layer != UINT64_MAX && layer != site.layer)
        return sae_err_set(err, SAE_EARG,
                           "'%s' is of layer %" PRIu64 ", but '%s' was trained on layer %" PRIu64, store,
                           layer, e->ckpt->path, site.layer);
    return SAE_OK;
}

static enum sae_status prepare(struct export *e, const char *store, const struct sae_ops *ops, bool force,
                               struct sae_err *err)
{
    SAE_TRY(convert_check_free(e->path, force, err));
    SAE_TRY(sae_acts_open(&e->acts, store, err));
    e->n = sae_acts_n_rows(e->acts);
    e->d = sae_acts_d(e->acts);
    e->m = e->ckpt->model.m;
    SAE_TRY(check_pair(e, store, err));
    /* of a sparse file nobody knows the size before; dense ones are large */
    SAE_TRY(convert_check_disk(
        e->path, (double)e->n * (e->npy ? 4 * (double)e->m : 8),
        e->npy ? "; -o FILE.safetensors takes the active latents alone" : "", err));
    const size_t fit = BLOCK_BYTES / sizeof *e->x / (e->m > e->d ? e->m : e->d);
    e->block = fit < 1 ? 1 : fit > BLOCK_ROWS ? BLOCK_ROWS : fit;
    SAE_TRY(sae_coder_open(&e->coder, &e->ckpt->model, ops, e->block, err));
    SAE_TRY(sae_mem_alloc(&e->x, e->block * e->d, sizeof *e->x, err));
    if (e->npy)
        return sae_mem_alloc(&e->dense, e->block * e->m, sizeof *e->dense, err);
    return sae_mem_alloc(&e->start, e->block + 1, sizeof *e->start, err);
}

/* Nobody else sees the file of the values: it has no name. */
static enum sae_status open_values(struct export *e, struct sae_err *err)
{
    char *part = NULL;
    FILE *made = NULL;
    SAE_TRY(sae_part_open(&made, &part, e->path, err));
    e->values = freopen(part, "w+b", made);
    unlink(part);
    free(part);
    return e->values != NULL ? SAE_OK : convert_cannot_write(e->path, err);
}

static void clear(struct export *e)
{
    if (e->values != NULL)
        fclose(e->values);
    sae_coder_close(e->coder);
    sae_acts_close(e->acts);
    free(e->x);
    free(e->dense);
    free(e->start);
}

enum sae_status convert_latents(const char *out, const char *store, const struct sae_ckpt *ckpt,
                                const struct sae_ops *ops, bool force, struct convert_latents *ret,
                                struct sae_err *err)
{
    struct export e = {.ckpt = ckpt, .path = out, .npy = sae_str_ends(out, ".npy")};
    char *part = NULL;
    enum sae_status st;
    if (!e.npy && !sae_str_ends(out, ".safetensors"))
        return sae_err_set(err, SAE_EARG,
                           "-o %s: latents go to FILE.safetensors (sparse) or FILE.npy (dense)", out);
    SAE_GO(st, prepare(&e, store, ops, force, err));
    if (!e.npy)
        SAE_GO(st, open_values(&e, err));
    SAE_GO(st, sae_part_open(&e.f, &part, out, err));
    sae_progress_begin(&e.bar, "export", "rows", 0, e.n);
    st = put_all(&e, err);
    sae_progress_end(&e.bar);
    st = convert_finish(e.f, part, out, force, st, err);
    *ret = (struct convert_latents){.n_rows = e.n, .n_latents = e.m, .n_entries = e.nnz};
done:
    free(part);
    clear(&e);
    return st;
}
