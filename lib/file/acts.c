/* SPDX-License-Identifier: MIT */
/* acts : the activation store - its shards, its index acts.json, and its writer.
 *
 * Contents:  1. opening   2. reading   3. writing   4. verifying.   The training order:
 * acts_stream.c */
#include "lib/file/acts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/bf16.h"
#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/base/str.h"
#include "lib/file/acts_inner.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "lib/file/record.h"

enum { FORMAT_VERSION = 1 };

static const char KIND[] = "activations";

struct shard {
    char *path;
    size_t first, rows; /* rows [first, first + rows) of the store */
    const char *id;     /* borrowed from index */
};

struct sae_acts {
    char *dir;
    json_t *index; /* acts.json */
    const char *id;
    const json_t *record;
    size_t n_rows, d;
    size_t n_shards;
    struct shard *shards;
    struct sae_h5 *file; /* the shard that was read last, NULL before */
    size_t file_shard;
    uint16_t *scratch; /* rows on their way to f32 */
    size_t scratch_cap;
};

/* --- 1. opening --------------------------------------------------------------------------- */

/* The folder of a store that was named by its folder, its index, or a shard. */
static enum sae_status find_dir(char **ret, const char *path, struct sae_err *err)
{
    if (sae_fs_is_dir(path))
        return sae_mem_strdup(ret, path, err);
    if (!sae_fs_is_file(path))
        return sae_err_set(err, SAE_EIO, "cannot open activation store '%s': no such folder", path);
    return sae_fs_dir(ret, path, err);
}

static enum sae_status read_shards(struct sae_acts *acts, const char *name, struct sae_err *err)
{
    const json_t *const list = json_object_get(acts->index, "shards");
    acts->n_shards = json_array_size(list);
    SAE_TRY(sae_mem_alloc(&acts->shards, acts->n_shards, sizeof *acts->shards, err));
    size_t first = 0;
    for (size_t s = 0; s < acts->n_shards; s++) {
        const json_t *const entry = json_array_get(list, s);
        struct shard *const shard = &acts->shards[s];
        const char *const file = sae_json_str(entry, "file", NULL);
        shard->id = sae_json_str(entry, "id", NULL);
        shard->first = first;
        shard->rows = (size_t)sae_json_u64(entry, "rows", 0);
        if (!file || !shard->id || strchr(file, '/') || shard->rows == 0 ||
            shard->rows > SIZE_MAX / 2 - first)
            return sae_err_set(err, SAE_EFORMAT, "'%s': shard %zu lacks file, id or rows", name, s);
        first += shard->rows;
        SAE_TRY(sae_fs_join(&shard->path, acts->dir, file, err));
        if (!sae_fs_is_file(shard->path))
            return sae_err_set(err, SAE_EIO, "'%s' names the shard '%s', which is not there", name,
                               shard->path);
    }
    if (acts->d > SIZE_MAX / sizeof(double) / (first + 1))
        return sae_err_set(err, SAE_EFORMAT, "'%s': %zu rows of width %zu cannot be", name, first,
                           acts->d);
    if (first != acts->n_rows || acts->n_rows == 0)
        return sae_err_set(err, SAE_EFORMAT, "'%s': %zu rows in its shards, %zu promised", name,
                           first, acts->n_rows);
    return SAE_OK;
}

static enum sae_status holds(bool *ret, const char *dir, const char *name, struct sae_err *err)
{
    char *path = NULL;
    SAE_TRY(sae_fs_join(&path, dir, name, err));
    *ret = sae_fs_is_file(path);
    free(path);
    return SAE_OK;
}

static enum sae_status holds_any(bool *ret, const char *dir, const char *prefix,
                                 struct sae_err *err)
{
    char **names = NULL;
    size_t n = 0;
    SAE_TRY(sae_fs_list(&names, &n, dir, prefix, ".h5", err));
    sae_fs_list_free(names, n);
    *ret = n > 0;
    return SAE_OK;
}

/* A folder without acts.json: says what it is, where people name one kind of folder for another. */
static enum sae_status refuse_folder(const char *dir, const char *asked, struct sae_err *err)
{
    bool run, sweep, model, shards;
    SAE_TRY(holds_any(&run, dir, "ckpt_", err));
    SAE_TRY(holds_any(&shards, dir, "acts_", err));
    SAE_TRY(holds(&sweep, dir, "sweep.json", err));
    SAE_TRY(holds(&model, dir, "config.json", err));
    if (run || sweep)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' is not an activation store but a %s of sae-train; name the folder "
                           "that sae-harvest wrote",
                           asked, run ? "run" : "sweep");
    if (model)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' is not an activation store but a model's folder; make a store with "
                           "sae-harvest --model %s",
                           asked, sae_str_shell(dir).s);
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' is not a complete activation store: there is no '%s/acts.json'; %s",
                       asked, dir,
                       shards ? "repeat the sae-harvest command that began it"
                              : "sae-harvest makes stores");
}

static enum sae_status read_index(struct sae_acts *acts, const char *asked, struct sae_err *err)
{
    char *name = NULL;
    enum sae_status st;
    SAE_GO(st, sae_fs_join(&name, acts->dir, "acts.json", err));
    if (!sae_fs_is_file(name)) {
        st = refuse_folder(acts->dir, asked, err);
        goto done;
    }
    SAE_GO(st, sae_json_load(&acts->index, name, err));
    const uint64_t version = sae_json_u64(acts->index, "format_version", 0);
    if (version > FORMAT_VERSION) {
        st = sae_err_set(err, SAE_EVERSION,
                         "'%s' has format version %" PRIu64 ", this build knows up to %d", name,
                         version, FORMAT_VERSION);
        goto done;
    }
    acts->n_rows = (size_t)sae_json_u64(acts->index, "n_rows", 0);
    acts->d = (size_t)sae_json_u64(acts->index, "d", 0);
    acts->id = sae_json_str(acts->index, "id", NULL);
    acts->record = json_object_get(acts->index, "record");
    if (version == 0 || !acts->id || strlen(acts->id) != SAE_DIGEST_HEX - 1 || acts->d == 0 ||
        !json_is_object(acts->record)) {
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' is not the index of an activation store: format_version, d, id or "
                         "record is missing",
                         name);
        goto done;
    }
    SAE_GO(st, read_shards(acts, name, err));
done:
    free(name);
    return st;
}

enum sae_status sae_acts_open(struct sae_acts **ret, const char *path, struct sae_err *err)
{
    struct sae_acts *acts = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&acts, 1, sizeof *acts, err));
    SAE_GO(st, find_dir(&acts->dir, path, err));
    SAE_GO(st, read_index(acts, path, err));
    *ret = acts;
    acts = NULL;
done:
    sae_acts_close(acts);
    return st;
}

void sae_acts_close(struct sae_acts *acts)
{
    if (!acts)
        return;
    sae_h5_close(acts->file);
    if (acts->shards)
        for (size_t s = 0; s < acts->n_shards; s++)
            free(acts->shards[s].path);
    free(acts->shards);
    json_decref(acts->index);
    free(acts->scratch);
    free(acts->dir);
    free(acts);
}

size_t sae_acts_n_rows(const struct sae_acts *acts)
{
    return acts->n_rows;
}

size_t sae_acts_n_shards(const struct sae_acts *acts)
{
    return acts->n_shards;
}

size_t sae_acts_d(const struct sae_acts *acts)
{
    return acts->d;
}

const char *sae_acts_id(const struct sae_acts *acts)
{
    return acts->id;
}

const char *sae_acts_dir(const struct sae_acts *acts)
{
    return acts->dir;
}

const json_t *sae_acts_record(const struct sae_acts *acts)
{
    return acts->record;
}

/* --- 2. reading --------------------------------------------------------------------------- */

static size_t shard_of(const struct sae_acts *acts, size_t row)
{
    size_t lo = 0, hi = acts->n_shards; /* shards[lo].first <= row < shards[hi].first */
    while (hi - lo > 1) {
        const size_t mid = lo + (hi - lo) / 2;
        if (acts->shards[mid].first <= row)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* A shard of another model or layer, which a folder of two harvests could hold. */
static enum sae_status check_site(const json_t *store_record, const struct sae_h5 *file,
                                  struct sae_err *err)
{
    json_t *record = NULL;
    SAE_TRY(sae_json_parse(&record, sae_h5_record(file), sae_h5_path(file), err));
    const json_t *const here = json_object_get(record, "site");
    const json_t *const store = json_object_get(store_record, "site");
    const bool good = here == NULL || store == NULL || json_equal(here, store);
    json_decref(record);
    return good ? SAE_OK
                : sae_err_set(err, SAE_EFORMAT,
                              "'%s' is of another model, layer or hook than the store; harvest "
                              "the store again",
                              sae_h5_path(file));
}

/* Keeps one shard open: rows are asked for in ascending runs. */
static enum sae_status open_shard(struct sae_acts *acts, size_t s, struct sae_err *err)
{
    if (acts->file && acts->file_shard == s)
        return SAE_OK;
    sae_h5_close(acts->file);
    acts->file = NULL;
    const struct shard *const shard = &acts->shards[s];
    struct sae_h5 *file = NULL;
    SAE_TRY(sae_h5_open(&file, shard->path, KIND, err));
    enum sae_status st;
    size_t dims[2];
    SAE_GO(st, sae_h5_shape(file, "/rows", 2, dims, err));
    if (dims[0] != shard->rows || dims[1] != acts->d) {
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' holds %zu rows of width %zu, acts.json says %zu "
                         "of %zu",
                         shard->path, dims[0], dims[1], shard->rows, acts->d);
        goto done;
    }
    if (strcmp(sae_h5_id(file), shard->id) != 0) {
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' is not the shard that acts.json names: its id is %.12s, expected "
                         "%.12s; harvest the store again",
                         shard->path, sae_h5_id(file), shard->id);
        goto done;
    }
    SAE_GO(st, check_site(acts->record, file, err));
    acts->file = file;
    acts->file_shard = s;
    file = NULL;
done:
    sae_h5_close(file);
    return st;
}

/* What tells of rows has one number a row: a wider array would not fit the caller's memory. */
static enum sae_status read_column(const struct sae_acts *acts, const char *name,
                                   enum sae_h5_type type, size_t first, size_t n, void *to,
                                   struct sae_err *err)
{
    const size_t rows = acts->shards[acts->file_shard].rows;
    size_t found;
    SAE_TRY(sae_h5_shape(acts->file, name, 1, &found, err));
    if (found != rows)
        return sae_err_set(err, SAE_EFORMAT, "'%s': %s has length %zu, expected %zu rows",
                           sae_h5_path(acts->file), name, found, rows);
    return sae_h5_read_rows(acts->file, name, type, first, n, to, err);
}

bool sae_acts_has(struct sae_acts *acts, const char *column)
{
    return open_shard(acts, 0, NULL) == SAE_OK && sae_h5_has(acts->file, column);
}

static enum sae_status check_range(const struct sae_acts *acts, size_t first, size_t n,
                                   struct sae_err *err)
{
    if (first <= acts->n_rows && n <= acts->n_rows - first)
        return SAE_OK;
    return sae_err_set(err, SAE_ERANGE, "rows %zu to %zu asked for, but '%s' has %zu", first,
                       first + n, acts->dir, acts->n_rows);
}

/* Calls for each piece of [first, first + n) that lies in one shard. */
#define FOR_PIECES(acts, first, n, at, s, from, len)                                               \
    for (size_t at = 0, s = 0, from = 0, len = 0;                                                  \
         at < (n) &&                                                                               \
         (s = shard_of(acts, (first) + at), from = (first) + at - (acts)->shards[s].first,         \
         len = (acts)->shards[s].rows - from, len = len < (n)-at ? len : (n)-at, true);            \
         at += len)

enum sae_status sae_acts_read_bf16(struct sae_acts *acts, size_t first, size_t n, uint16_t *rows,
                                   struct sae_err *err)
{
    SAE_TRY(check_range(acts, first, n, err));
    FOR_PIECES(acts, first, n, at, s, from, len)
    {
        SAE_TRY(open_shard(acts, s, err));
        SAE_TRY(sae_h5_read_rows(acts->file, "/rows", SAE_H5_BF16, from, len, rows + at * acts->d,
                                 err));
    }
    return SAE_OK;
}

/* Whether any is NaN or infinite; no early way out, so that many are looked at together. */
static bool any_wild(size_t n, const uint16_t *v)
{
    uint16_t any = 0;
    for (size_t i = 0; i < n; i++)
        any |= (uint16_t)((v[i] & 0x7f80U) == 0x7f80U);
    return any != 0;
}

enum sae_status sae_acts_check_finite(const struct sae_acts *acts, size_t first, size_t n,
                                      const uint16_t *rows, struct sae_err *err)
{
    for (size_t t = 0; t < n; t++, rows += acts->d) {
        size_t i = 0;
        if (!any_wild(acts->d, rows))
            continue;
        while (!any_wild(1, rows + i))
            i++;
        const struct shard *const shard = &acts->shards[shard_of(acts, first + t)];
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' row %zu holds %s at position %zu; harvest the store again",
                           shard->path, first + t - shard->first,
                           (rows[i] & 0x7fU) ? "NaN" : "an infinity", i);
    }
    return SAE_OK;
}

enum sae_status sae_acts_read(struct sae_acts *acts, size_t first, size_t n, float *x,
                              struct sae_err *err)
{
    SAE_TRY(check_range(acts, first, n, err));
    SAE_TRY(
        sae_mem_grow(&acts->scratch, &acts->scratch_cap, n * acts->d, sizeof *acts->scratch, err));
    SAE_TRY(sae_acts_read_bf16(acts, first, n, acts->scratch, err));
    sae_bf16_widen(x, acts->scratch, n * acts->d);
    return SAE_OK;
}

enum sae_status sae_acts_read_finite(struct sae_acts *acts, size_t first, size_t n, float *x,
                                     struct sae_err *err)
{
    SAE_TRY(sae_acts_read(acts, first, n, x, err)); /* which leaves the rows in scratch */
    return sae_acts_check_finite(acts, first, n, acts->scratch, err);
}

enum sae_status sae_acts_read_tokens(struct sae_acts *acts, size_t first, size_t n, uint32_t *token,
                                     uint32_t *document, uint16_t *position, struct sae_err *err)
{
    SAE_TRY(check_range(acts, first, n, err));
    FOR_PIECES(acts, first, n, at, s, from, len)
    {
        SAE_TRY(open_shard(acts, s, err));
        if (token)
            SAE_TRY(read_column(acts, "/token", SAE_H5_U32, from, len, token + at, err));
        if (document)
            SAE_TRY(read_column(acts, "/document", SAE_H5_U32, from, len, document + at, err));
        if (position)
            SAE_TRY(read_column(acts, "/position", SAE_H5_U16, from, len, position + at, err));
    }
    return SAE_OK;
}

/* --- 3. writing --------------------------------------------------------------------------- */

static enum sae_status shard_path(char **ret, const char *dir, size_t index, struct sae_err *err)
{
    char name[40];
    snprintf(name, sizeof name, "acts_%05zu.h5", index);
    return sae_fs_join(ret, dir, name, err);
}

static enum sae_status index_path(char **ret, const char *dir, struct sae_err *err)
{
    return sae_fs_join(ret, dir, "acts.json", err);
}

static enum sae_status put_shard(struct sae_h5 *file, uint64_t index,
                                 const struct sae_acts_shard *shard, struct sae_err *err)
{
    SAE_TRY(sae_h5_attr_put_u64(file, "/", "shard", index, err));
    SAE_TRY(sae_h5_put2(file, "/rows", SAE_H5_BF16, shard->n, shard->d, shard->rows, err));
    if (shard->token)
        SAE_TRY(sae_h5_put1(file, "/token", SAE_H5_U32, shard->n, shard->token, err));
    if (shard->document)
        SAE_TRY(sae_h5_put1(file, "/document", SAE_H5_U32, shard->n, shard->document, err));
    if (shard->position)
        SAE_TRY(sae_h5_put1(file, "/position", SAE_H5_U16, shard->n, shard->position, err));
    return SAE_OK;
}

enum sae_status sae_acts_shard_write(const char *dir, size_t index,
                                     const struct sae_acts_shard *shard, const json_t *record,
                                     bool force, struct sae_err *err)
{
    char *path = NULL, *text = NULL, *mark = NULL;
    struct sae_h5 *file = NULL;
    enum sae_status st;
    if (shard->n == 0 || shard->d == 0)
        return sae_err_set(err, SAE_EARG, "shard %zu of '%s' would be empty", index, dir);
    SAE_GO(st, shard_path(&path, dir, index, err));
    SAE_GO(st, index_path(&mark, dir, err));
    SAE_GO(st, sae_record_text(&text, record, err));
    SAE_GO(st, sae_h5_create(&file, path, KIND, force, err));
    /* While shards change the store is not complete, whatever stood here before. */
    unlink(mark);
    SAE_GO(st, put_shard(file, index, shard, err));
    SAE_GO(st, sae_h5_commit(&file, text, err));
done:
    sae_h5_close(file);
    free(text);
    free(mark);
    free(path);
    return st;
}

/* Appends the entry of shard s, and its id to the digest of the store. */
static enum sae_status add_shard(json_t *list, struct sae_digest *digest, size_t *n_rows, size_t *d,
                                 const char *dir, size_t s, const json_t *record,
                                 struct sae_err *err)
{
    char *path = NULL;
    struct sae_h5 *file = NULL;
    enum sae_status st;
    SAE_GO(st, shard_path(&path, dir, s, err));
    SAE_GO(st, sae_h5_open(&file, path, KIND, err));
    SAE_GO(st, check_site(record, file, err));
    size_t dims[2];
    SAE_GO(st, sae_h5_shape(file, "/rows", 2, dims, err));
    if (s > 0 && dims[1] != *d) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' has width %zu, the shards before it %zu", path,
                         dims[1], *d);
        goto done;
    }
    *d = dims[1];
    *n_rows += dims[0];
    sae_digest_update(digest, sae_h5_id(file), strlen(sae_h5_id(file)));
    json_t *const entry = json_pack("{s:s, s:I, s:s}", "file", sae_fs_base(path), "rows",
                                    (json_int_t)dims[0], "id", sae_h5_id(file));
    if (!entry || json_array_append_new(list, entry) != 0)
        st = sae_err_set(err, SAE_ENOMEM, "out of memory");
done:
    sae_h5_close(file);
    free(path);
    return st;
}

enum sae_status sae_acts_finish(const char *dir, size_t n_shards, const json_t *record,
                                struct sae_err *err)
{
    char *path = NULL, *text = NULL;
    json_t *list = json_array(), *index = NULL;
    struct sae_digest digest;
    char id[SAE_DIGEST_HEX];
    size_t n_rows = 0, d = 0;
    enum sae_status st = SAE_OK;
    if (n_shards == 0) {
        st = sae_err_set(err, SAE_EARG, "store '%s' would have no rows", dir);
        goto done;
    }
    sae_digest_init(&digest);
    for (size_t s = 0; s < n_shards; s++)
        SAE_GO(st, add_shard(list, &digest, &n_rows, &d, dir, s, record, err));
    SAE_GO(st, sae_record_text(&text, record, err));
    sae_digest_update(&digest, text, strlen(text));
    sae_digest_hex(&digest, id);
    index = json_pack("{s:s, s:i, s:I, s:I, s:O, s:s, s:O}", "kind", KIND, "format_version",
                      FORMAT_VERSION, "n_rows", (json_int_t)n_rows, "d", (json_int_t)d, "shards",
                      list, "id", id, "record", (json_t *)(uintptr_t)record);
    if (!index) {
        st = sae_err_set(err, SAE_ENOMEM, "out of memory");
        goto done;
    }
    SAE_GO(st, index_path(&path, dir, err));
    SAE_GO(st, sae_json_save(path, index, err));
done:
    json_decref(index);
    json_decref(list);
    free(text);
    free(path);
    return st;
}

/* --- 4. verifying ------------------------------------------------------------------------- */

/* The id that the content of an open shard gives. */
static enum sae_status content_id(char id[SAE_DIGEST_HEX], const struct sae_h5 *file, size_t n,
                                  size_t d, struct sae_err *err)
{
    const size_t want[2] = {n, d};
    uint16_t *rows = NULL, *position = NULL;
    uint32_t *token = NULL, *document = NULL;
    struct sae_h5 *again = NULL;
    uint64_t index = 0;
    enum sae_status st;
    SAE_GO(st, sae_h5_attr_u64(file, "/", "shard", &index, err));
    SAE_GO(st, sae_h5_get(file, "/rows", SAE_H5_BF16, 2, want, NULL, &rows, err));
    if (sae_h5_has(file, "/token"))
        SAE_GO(st, sae_h5_get(file, "/token", SAE_H5_U32, 1, want, NULL, &token, err));
    if (sae_h5_has(file, "/document"))
        SAE_GO(st, sae_h5_get(file, "/document", SAE_H5_U32, 1, want, NULL, &document, err));
    if (sae_h5_has(file, "/position"))
        SAE_GO(st, sae_h5_get(file, "/position", SAE_H5_U16, 1, want, NULL, &position, err));
    SAE_GO(st, sae_h5_begin_id(&again, KIND, err));
    const struct sae_acts_shard shard = {.n = n,
                                         .d = d,
                                         .rows = rows,
                                         .token = token,
                                         .document = document,
                                         .position = position};
    SAE_GO(st, put_shard(again, index, &shard, err));
    st = sae_h5_end_id(&again, sae_h5_record(file), id, err);
done:
    sae_h5_close(again);
    free(rows);
    free(token);
    free(document);
    free(position);
    return st;
}

static enum sae_status verify_shard(struct sae_acts *acts, size_t s, struct sae_err *err)
{
    char id[SAE_DIGEST_HEX];
    const struct shard *const shard = &acts->shards[s];
    SAE_TRY(open_shard(acts, s, err));
    SAE_TRY(content_id(id, acts->file, shard->rows, acts->d, err));
    if (strcmp(id, shard->id) == 0)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' holds other content than its id says (%.12s, its content gives %.12s): "
                       "it was changed after it was harvested; harvest the store again",
                       shard->path, shard->id, id);
}

/* The id of the store, from those of its shards and its record, as sae_acts_finish makes it. */
static enum sae_status verify_index(const struct sae_acts *acts, struct sae_err *err)
{
    char *text = NULL, id[SAE_DIGEST_HEX];
    struct sae_digest digest;
    sae_digest_init(&digest);
    for (size_t s = 0; s < acts->n_shards; s++)
        sae_digest_update(&digest, acts->shards[s].id, strlen(acts->shards[s].id));
    SAE_TRY(sae_record_text(&text, acts->record, err));
    sae_digest_update(&digest, text, strlen(text));
    free(text);
    sae_digest_hex(&digest, id);
    if (strcmp(id, acts->id) == 0)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s/acts.json' was changed after it was written: its shards and record give "
                       "the id %.12s, it says %.12s; harvest the store again",
                       acts->dir, id, acts->id);
}

enum sae_status sae_acts_verify(struct sae_acts *acts, size_t n_shards,
                                void (*progress)(void *user, uint64_t done), void *user,
                                struct sae_err *err)
{
    const size_t n = n_shards > 0 && n_shards < acts->n_shards ? n_shards : acts->n_shards;
    if (sae_json_str(acts->record, "program", NULL) == NULL)
        return sae_err_set(err, SAE_EARG,
                           "'%s' was not written by saekit (its record names no program): its ids "
                           "are not made of its content, so they cannot verify it",
                           acts->dir);
    SAE_TRY(verify_index(acts, err));
    for (size_t s = 0; s < n; s++) {
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped while verifying '%s'", acts->dir);
        SAE_TRY(verify_shard(acts, s, err));
        if (progress)
            progress(user, s + 1);
    }
    return SAE_OK;
}
