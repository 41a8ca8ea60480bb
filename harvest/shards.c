/* SPDX-License-Identifier: MIT */
/* shards : whole shards of an earlier pass, the shard being filled, and the index over all.
 *
 * Contents:  1. what is there already   2. rows into shards */
#include "harvest/shards.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harvest/origin.h"
#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"

size_t harvest_shards_rows(size_t d)
{
    const size_t fit = ((size_t)128 << 20) / (2 * d);
    return fit < 1 ? 1 : fit < 65536 ? fit : 65536;
}

enum sae_status harvest_shards_init(struct harvest_shards *s, size_t d, size_t cap,
                                    struct sae_err *err)
{
    s->d = d;
    s->cap = cap;
    SAE_TRY(sae_mem_alloc(&s->rows, cap * d, sizeof *s->rows, err));
    SAE_TRY(sae_mem_alloc(&s->token, cap, sizeof *s->token, err));
    SAE_TRY(sae_mem_alloc(&s->document, cap, sizeof *s->document, err));
    SAE_TRY(sae_mem_alloc(&s->position, cap, sizeof *s->position, err));
    s->shard = (struct sae_acts_shard){0, d, s->rows, s->token, s->document, s->position};
    return SAE_OK;
}

void harvest_shards_clear(struct harvest_shards *s)
{
    free(s->rows);
    free(s->token);
    free(s->document);
    free(s->position);
    json_decref(s->record);
    *s = (struct harvest_shards){0};
}

enum sae_status harvest_shards_check_lock(const struct harvest_shards *s, struct sae_err *err)
{
    return s->lock != NULL ? sae_lock_check(s->lock, err) : SAE_OK;
}

/* --- 1. what is there already ------------------------------------------------------------- */

enum sae_status harvest_shards_path(char **ret, const char *dir, size_t index, struct sae_err *err)
{
    char name[40];
    snprintf(name, sizeof name, "acts_%05zu.h5", index);
    return sae_fs_join(ret, dir, name, err);
}

enum sae_status harvest_shards_remove_file(const char *path, struct sae_err *err)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return SAE_OK;
    return sae_err_set(err, SAE_EIO, "cannot remove '%s': %s", path, strerror(errno));
}

static enum sae_status remove_store(const char *dir, struct sae_err *err)
{
    char *path = NULL, **names = NULL;
    size_t n = 0;
    enum sae_status st;
    SAE_TRY(sae_fs_join(&path, dir, "acts.json", err));
    SAE_GO(st, harvest_shards_remove_file(path, err));
    SAE_GO(st, sae_fs_list(&names, &n, dir, "acts_", ".h5", err));
    for (size_t i = 0; i < n; i++) {
        free(path);
        path = NULL;
        SAE_GO(st, sae_fs_join(&path, dir, names[i], err));
        SAE_GO(st, harvest_shards_remove_file(path, err));
    }
done:
    free(path);
    sae_fs_list_free(names, n);
    return st;
}

enum sae_status harvest_shards_find_complete(struct sae_acts **ret, const struct harvest_shards *s,
                                             struct sae_err *err)
{
    char *path = NULL;
    struct sae_acts *acts = NULL;
    enum sae_status st;
    *ret = NULL;
    SAE_TRY(sae_fs_join(&path, s->dir, "acts.json", err));
    if (!sae_fs_is_file(path)) {
        free(path);
        return SAE_OK;
    }
    SAE_GO(st, sae_acts_open(&acts, s->dir, err));
    SAE_GO(st, harvest_origin_check(sae_acts_record(acts), s->record, path, err));
    *ret = acts;
    acts = NULL;
done:
    sae_acts_close(acts);
    free(path);
    return st;
}

void harvest_shards_add_norms(struct harvest_shards *s, const uint16_t *rows, size_t n)
{
    const size_t d = s->d;
    for (size_t r = 0; r < n; r++) {
        double square = 0;
        for (size_t j = 0; j < d; j++) {
            const double v = (double)sae_bf16_to_f32(rows[r * d + j]);
            square += v * v;
        }
        const double norm = sqrt(square);
        s->sum_square += square;
        s->sum_norm += norm;
        s->max_norm = norm > s->max_norm ? norm : s->max_norm;
    }
}

/* Takes a whole shard of an earlier pass as it is: checks it, and adds its rows to the totals. */
static enum sae_status adopt_shard(struct harvest_shards *s, const char *path, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    json_t *old = NULL;
    size_t dims[2];
    enum sae_status st;
    struct sae_err why = {0};
    st = sae_h5_open(&file, path, "activations", &why);
    s->renews = st == SAE_EFORMAT;
    if (s->renews) {
        sae_log_warn("%s; it and the shards after it are made again", why.msg);
        return SAE_OK;
    }
    if (st != SAE_OK)
        return sae_err_set(err, st, "%s", why.msg);
    SAE_GO(st, sae_json_parse(&old, sae_h5_record(file), path, err));
    s->other_text = harvest_origin_other_text(old, s->record);
    if (s->other_text)
        goto done;
    SAE_GO(st, harvest_origin_check(old, s->record, path, err));
    SAE_GO(st, sae_h5_shape(file, "/rows", 2, dims, err));
    if (dims[1] != s->d || dims[0] > s->cap) {
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' holds %zu rows of width %zu, expected at most "
                         "%zu of width %zu; give --force to start again",
                         path, dims[0], dims[1], s->cap, s->d);
        goto done;
    }
    SAE_GO(st, sae_h5_read_rows(file, "/rows", SAE_H5_BF16, 0, dims[0], s->rows, err));
    harvest_shards_add_norms(s, s->rows, dims[0]);
    s->n_stored += dims[0];
    if (s->n_shards++ == 0) {
        json_decref(s->record);
        s->record = json_incref(old);
    }
done:
    json_decref(old);
    sae_h5_close(file);
    return st;
}

/* A shard behind a gap: one of this store may be replaced, any other is refused. */
static enum sae_status check_later(const struct harvest_shards *s, const char *name, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    json_t *old = NULL;
    char *path = NULL;
    enum sae_status st;
    SAE_GO(st, sae_fs_join(&path, s->dir, name, err));
    SAE_GO(st, sae_h5_open(&file, path, "activations", err));
    SAE_GO(st, sae_json_parse(&old, sae_h5_record(file), path, err));
    st = harvest_origin_check(old, s->record, path, err);
done:
    json_decref(old);
    sae_h5_close(file);
    free(path);
    return st;
}

/* No shard n_shards is there: are there later ones? */
static enum sae_status check_gap(struct harvest_shards *s, struct sae_err *err)
{
    char **names = NULL;
    size_t n = 0, later = 0;
    enum sae_status st = SAE_OK;
    SAE_TRY(sae_fs_list(&names, &n, s->dir, "acts_", ".h5", err));
    for (size_t i = 0; st == SAE_OK && i < n; i++)
        if (strtoull(names[i] + strlen("acts_"), NULL, 10) > s->n_shards) {
            st = check_later(s, names[i], err);
            later++;
        }
    s->renews = later > 0;
    if (st == SAE_OK && later > 0)
        sae_log_warn("'%s': shard %zu is missing; it and the %zu after it are made again", s->dir,
                     s->n_shards, later);
    sae_fs_list_free(names, n);
    return st;
}

enum sae_status harvest_shards_adopt(struct harvest_shards *s, struct sae_err *err)
{
    for (;;) {
        char *path = NULL;
        SAE_TRY(harvest_shards_path(&path, s->dir, s->n_shards, err));
        const bool exists = sae_fs_is_file(path);
        const enum sae_status st = exists ? adopt_shard(s, path, err) : SAE_OK;
        free(path);
        if (st == SAE_OK && !exists)
            return check_gap(s, err);
        if (st != SAE_OK || s->other_text || s->renews)
            return st;
    }
}

/* --- 2. rows into shards ------------------------------------------------------------------ */

enum sae_status harvest_shards_write(struct harvest_shards *s, struct sae_err *err)
{
    if (s->shard.n == 0)
        return SAE_OK;
    SAE_TRY(harvest_shards_check_lock(s, err));
    if (s->replaces)
        SAE_TRY(remove_store(s->dir, err));
    s->replaces = false;
    SAE_TRY(sae_acts_shard_write(s->dir, s->n_shards, &s->shard, s->record, s->renews, err));
    harvest_shards_add_norms(s, s->rows, s->shard.n);
    s->n_shards++;
    s->shard.n = 0;
    return SAE_OK;
}

enum sae_status harvest_shards_finish(struct harvest_shards *s, uint64_t n_rows, const json_t *more,
                                      struct sae_err *err)
{
    const double n = (double)n_rows;
    json_t *const record = json_copy(s->record);
    json_t *const totals =
        json_pack("{s:I, s:I}", "rows", (json_int_t)n_rows, "shards", (json_int_t)s->n_shards);
    enum sae_status st = SAE_OK;
    if (record == NULL || (more != NULL && json_object_update(totals, (json_t *)(uintptr_t)more) != 0) ||
        json_object_set_new(totals, "mean_norm", json_real(s->sum_norm / n)) != 0 ||
        json_object_set_new(totals, "mean_square_norm", json_real(s->sum_square / n)) != 0 ||
        json_object_set_new(totals, "max_norm", json_real(s->max_norm)) != 0 ||
        json_object_set(record, "totals", totals) != 0)
        st = sae_err_set(err, SAE_ENOMEM, "out of memory (record)");
    if (st == SAE_OK)
        st = harvest_shards_check_lock(s, err);
    if (st == SAE_OK)
        st = sae_acts_finish(s->dir, s->n_shards, record, err);
    json_decref(totals);
    json_decref(record);
    return st;
}
