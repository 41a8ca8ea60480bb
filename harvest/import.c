/* SPDX-License-Identifier: MIT */
/* import : a store from arrays of another program.
 * Contents: 1. what the files hold   2. the record   3. the folder and the disk   4. the pass */
#include "harvest/import.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harvest/origin.h"
#include "harvest/shards.h"
#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "lib/file/array.h"
#include "lib/file/json.h"
#include "lib/file/record.h"

enum { D_MAX = 1 << 20, BLOCK_BYTES = 8 << 20 };

/* --- 1. what the files hold --------------------------------------------------------------- */

/* The arrays of an open file. */
struct source {
    struct sae_arrays *file;
    struct sae_array rows, token, document, position; /* of those not asked for `in` is NULL */
};

static void close_source(struct source *source)
{
    sae_array_clear(&source->rows);
    sae_array_clear(&source->token);
    sae_array_clear(&source->document);
    sae_array_clear(&source->position);
    sae_arrays_close(source->file);
    *source = (struct source){0};
}

static enum sae_status open_column(struct sae_array *ret, const struct source *source,
                                   const char *name, struct sae_err *err)
{
    return name ? sae_arrays_column(ret, source->file, name, source->rows.rows, err) : SAE_OK;
}

static enum sae_status open_source(struct source *ret, const char *path,
                                   const struct harvest_import_settings *set, struct sae_err *err)
{
    struct source source = {0};
    enum sae_status st;
    SAE_GO(st, sae_arrays_open(&source.file, path, err));
    SAE_GO(st, sae_arrays_rows(&source.rows, source.file, set->array, err));
    SAE_GO(st, open_column(&source.token, &source, set->token, err));
    SAE_GO(st, open_column(&source.document, &source, set->document, err));
    SAE_GO(st, open_column(&source.position, &source, set->position, err));
    *ret = source;
    source = (struct source){0};
done:
    close_source(&source);
    return st;
}

static enum sae_status add_part(struct harvest_import_plan *plan, const struct source *source,
                                const struct sae_files *files, struct sae_err *err)
{
    const struct sae_array *const rows = &source->rows;
    const char *const path = files->v[plan->n_parts].path;
    struct harvest_import_part *const part = &plan->parts[plan->n_parts];
    if (plan->n_parts > 0 && rows->d != plan->d)
        return sae_err_set(err, SAE_EFORMAT, "'%s' has rows of width %zu, but '%s' of %zu", path,
                           rows->d, files->v[0].path, plan->d);
    if (rows->d > D_MAX)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' has rows of width %zu, more than %d; expected an array "
                           "[rows][width]: is it transposed?",
                           path, rows->d, D_MAX);
    *part = (struct harvest_import_part){
        .rows = rows->rows, .kind = sae_arrays_kind(source->file), .type = rows->type};
    plan->n_parts++;
    plan->d = rows->d;
    plan->n_rows += rows->rows;
    return rows->name ? sae_mem_strdup(&part->array, rows->name, err) : SAE_OK;
}

enum sae_status harvest_import_plan(struct harvest_import_plan *ret, const struct sae_files *files,
                                    const struct harvest_import_settings *set, struct sae_err *err)
{
    struct harvest_import_plan plan = {0};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&plan.parts, files->n, sizeof *plan.parts, err));
    for (size_t i = 0; i < files->n; i++) {
        struct source source = {0};
        SAE_GO(st, open_source(&source, files->v[i].path, set, err));
        st = add_part(&plan, &source, files, err);
        close_source(&source);
        if (st != SAE_OK)
            goto done;
    }
    plan.shard_rows = set->shard_rows != 0 ? set->shard_rows : harvest_shards_rows(plan.d);
    *ret = plan;
    plan = (struct harvest_import_plan){0};
done:
    harvest_import_plan_clear(&plan);
    return st;
}

void harvest_import_plan_clear(struct harvest_import_plan *plan)
{
    for (size_t i = 0; i < plan->n_parts; i++)
        free(plan->parts[i].array);
    free(plan->parts);
    *plan = (struct harvest_import_plan){0};
}

/* --- 2. the record ------------------------------------------------------------------------ */

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *site_of(const struct harvest_import_plan *plan,
                       const struct harvest_import_settings *set)
{
    return json_pack("{s:o, s:o, s:o, s:I}", "model", text_or_null(set->model), "layer",
                     set->layer != UINT64_MAX ? json_integer((json_int_t)set->layer) : json_null(),
                     "hook", text_or_null(set->hook), "d", (json_int_t)plan->d);
}

/* To each input what of the file was taken. */
static int describe_inputs(json_t *record, const struct harvest_import_plan *plan)
{
    json_t *const inputs = json_object_get(record, "inputs");
    int failed = 0;
    for (size_t i = 0; i < plan->n_parts && !failed; i++) {
        const struct harvest_import_part *const part = &plan->parts[i];
        json_t *const more =
            json_pack("{s:s, s:o, s:s, s:[I,I]}", "kind", part->kind, "array",
                      text_or_null(part->array), "type", part->type, "shape",
                      (json_int_t)part->rows, (json_int_t)plan->d);
        failed = json_object_update(json_array_get(inputs, i), more);
        json_decref(more);
    }
    return failed;
}

enum sae_status harvest_import_record(json_t **ret, const json_t *invocation,
                                      const struct harvest_import_plan *plan,
                                      const struct sae_files *files,
                                      const struct harvest_import_settings *set,
                                      struct sae_err *err)
{
    static const char *const names[] = {"import",         "array",      "token-array",
                                        "document-array", "position-array", "model-name",
                                        "layer",          "hook",       "shard-rows"};
    json_t *const record = json_deep_copy(invocation), *const picked = json_object();
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *const value = json_object_get(json_object_get(record, "options"), names[i]);
        if (value)
            json_object_set(picked, names[i], value);
    }
    if (set->layer == UINT64_MAX)
        json_object_del(picked, "layer");
    if (!record || json_object_set(record, "options", picked) != 0 ||
        json_object_set_new(record, "site", site_of(plan, set)) != 0)
        st = sae_err_set(err, SAE_ENOMEM, "out of memory (record)");
    if (st == SAE_OK)
        st = harvest_origin_files(record, "import", files, err);
    if (st == SAE_OK && (describe_inputs(record, plan) != 0 ||
                         json_object_set_new(record, "packing",
                                             json_pack("{s:s, s:I}", "dtype", "bf16", "shard_rows",
                                                       (json_int_t)plan->shard_rows)) != 0))
        st = sae_err_set(err, SAE_ENOMEM, "out of memory (record)");
    json_decref(picked);
    if (st == SAE_OK)
        *ret = record;
    else
        json_decref(record);
    return st;
}

/* --- 3. the folder and the disk ----------------------------------------------------------- */

/* Sets beside a store are of its model and layer, which of an imported one nobody can tell. */
static enum sae_status check_folder(const char *dir, struct sae_err *err)
{
    char **names = NULL;
    size_t n = 0;
    enum sae_status st = SAE_OK;
    SAE_TRY(sae_fs_list(&names, &n, dir, "", ".h5", err));
    for (size_t i = 0; i < n && st == SAE_OK; i++)
        if (strncmp(names[i], "acts_", 5) != 0)
            st = sae_err_set(err, SAE_EARG,
                             "'%s' holds '%s', which belongs to another store; choose another "
                             "folder with -o",
                             dir, names[i]);
    sae_fs_list_free(names, n);
    return st;
}

static enum sae_status check_disk(const struct harvest_shards *to, uint64_t n_rows,
                                  struct sae_err *err)
{
    const double need = (double)(n_rows - to->n_stored) * (2 * (double)to->d + 10);
    const double free_bytes = sae_fs_free_bytes(to->dir);
    if (free_bytes < 0 || need <= free_bytes)
        return SAE_OK;
    return sae_err_set(err, SAE_EIO,
                       "'%s' needs %.1f GB, but only %.1f GB are free; make room, or choose another "
                       "folder with -o",
                       to->dir, need / 1e9, free_bytes / 1e9);
}

/* --- 4. the pass -------------------------------------------------------------------------- */

struct pass {
    const struct harvest_import_settings *set;
    struct harvest_shards to;
    uint64_t n_rows; /* passed so far */
    size_t block;    /* rows read at once */
    float *x;        /* [block][d] */
    uint32_t *whole; /* [block] */
    struct sae_progress bar;
};

/* Rounds n rows, which begin at row `first` of the array, to bf16. */
static enum sae_status round_rows(uint16_t *to, const float *x, const struct sae_array *rows,
                                  const char *path, size_t first, size_t n, struct sae_err *err)
{
    const size_t d = rows->d;
    uint16_t wild = 0;
    sae_bf16_narrow(to, x, n * d);
    for (size_t i = 0; i < n * d; i++)
        wild |= (uint16_t)((to[i] & 0x7f80U) == 0x7f80U);
    if (!wild)
        return SAE_OK;
    size_t i = 0;
    while ((to[i] & 0x7f80U) != 0x7f80U)
        i++;
    return sae_err_set(err, SAE_EFORMAT, "'%s' row %zu, column %zu: %s", path, first + i / d, i % d,
                       isnan(x[i]) ? "not a number (NaN); leave such rows out"
                                   : "infinite or beyond the range of bf16, 3.39e38; scale the "
                                     "values or leave such rows out");
}

static enum sae_status read_columns(struct pass *p, const struct source *from, size_t first,
                                    size_t n, struct sae_err *err)
{
    struct harvest_shards *const to = &p->to;
    const size_t at = to->shard.n;
    if (from->token.in)
        SAE_TRY(sae_array_read_whole(&from->token, first, n, UINT32_MAX, to->token + at, err));
    if (from->document.in)
        SAE_TRY(sae_array_read_whole(&from->document, first, n, UINT32_MAX, to->document + at, err));
    if (from->position.in) {
        SAE_TRY(sae_array_read_whole(&from->position, first, n, UINT16_MAX, p->whole, err));
        for (size_t i = 0; i < n; i++)
            to->position[at + i] = (uint16_t)p->whole[i];
    }
    return SAE_OK;
}

static enum sae_status stopped(const struct pass *p, struct sae_err *err)
{
    return sae_err_set(err, SAE_EINTR,
                       "stopped; %zu whole shards (%" PRIu64 " rows) are kept in '%s': the same "
                       "command%s continues after them",
                       p->to.n_shards, p->n_rows - p->to.shard.n, p->to.dir,
                       p->set->force ? " without --force" : "");
}

static enum sae_status pass_file(struct pass *p, const struct source *from, const char *path,
                                 struct sae_err *err)
{
    struct harvest_shards *const to = &p->to;
    const size_t rows = from->rows.rows;
    size_t first = 0;
    if (p->n_rows < to->n_stored) { /* what an earlier import left */
        const uint64_t missing = to->n_stored - p->n_rows;
        first = missing < rows ? (size_t)missing : rows;
        p->n_rows += first;
    }
    while (first < rows) {
        size_t n = rows - first < p->block ? rows - first : p->block;
        n = to->cap - to->shard.n < n ? to->cap - to->shard.n : n;
        if (sae_stop_asked())
            return stopped(p, err);
        SAE_TRY(sae_array_read(&from->rows, first, n, p->x, err));
        SAE_TRY(round_rows(to->rows + to->shard.n * to->d, p->x, &from->rows, path, first, n, err));
        SAE_TRY(read_columns(p, from, first, n, err));
        first += n;
        p->n_rows += n;
        to->shard.n += n;
        if (to->shard.n == to->cap)
            SAE_TRY(harvest_shards_write(to, err));
        sae_progress_step(&p->bar, p->n_rows, NULL);
    }
    return SAE_OK;
}

static enum sae_status pass_files(struct pass *p, const struct sae_files *files,
                                  struct sae_err *err)
{
    for (size_t i = 0; i < files->n; i++) {
        struct source source = {0};
        SAE_TRY(open_source(&source, files->v[i].path, p->set, err));
        const enum sae_status st = source.rows.d == p->to.d
                                       ? pass_file(p, &source, files->v[i].path, err)
                                       : sae_err_set(err, SAE_EFORMAT, "'%s' was changed meanwhile",
                                                     files->v[i].path);
        close_source(&source);
        SAE_TRY(st);
    }
    return SAE_OK;
}

static enum sae_status pass_init(struct pass *p, const struct harvest_import_plan *plan,
                                 struct sae_err *err)
{
    const size_t fit = BLOCK_BYTES / sizeof *p->x / plan->d;
    p->block = fit > 0 ? fit : 1;
    SAE_TRY(harvest_shards_init(&p->to, plan->d, plan->shard_rows, err));
    if (!p->set->token)
        p->to.shard.token = NULL;
    if (!p->set->document)
        p->to.shard.document = NULL;
    if (!p->set->position)
        p->to.shard.position = NULL;
    SAE_TRY(sae_mem_alloc(&p->x, p->block * plan->d, sizeof *p->x, err));
    return sae_mem_alloc(&p->whole, p->block, sizeof *p->whole, err);
}

/* What the files hold cannot be stored: they will be mended, and then be other files, whose store would
 * not continue after these shards. */
static void drop_shards(const struct pass *p)
{
    for (size_t i = 0; i < p->to.n_shards; i++) {
        struct sae_err err;
        char *path = NULL;
        if (harvest_shards_path(&path, p->to.dir, i, &err) != SAE_OK ||
            harvest_shards_remove_file(path, &err) != SAE_OK)
            sae_log_warn("%s", err.msg);
        free(path);
    }
}

static enum sae_status run_pass(struct pass *p, const struct harvest_import_plan *plan,
                                const struct sae_files *files, struct sae_err *err)
{
    struct harvest_shards *const to = &p->to;
    SAE_TRY(pass_init(p, plan, err));
    if (!to->replaces)
        SAE_TRY(harvest_shards_adopt(to, err));
    if (to->other_text || to->n_stored > plan->n_rows)
        return sae_err_set(err, SAE_EARG,
                           "'%s' holds shards of other files; choose another folder with -o, or "
                           "give --force to make the store again",
                           to->dir);
    if (to->n_stored > 0)
        sae_log_info("continuing after %zu whole shards (%" PRIu64 " rows)", to->n_shards,
                     to->n_stored);
    SAE_TRY(check_disk(to, plan->n_rows, err));
    sae_progress_begin(&p->bar, "import", "rows", to->n_stored, plan->n_rows);
    const enum sae_status st = pass_files(p, files, err);
    sae_progress_end(&p->bar);
    SAE_TRY(st);
    if (p->n_rows != plan->n_rows)
        return sae_err_set(err, SAE_EFORMAT, "'%s' or a file after it was changed meanwhile",
                           files->v[0].path);
    SAE_TRY(harvest_shards_write(to, err));
    return harvest_shards_finish(to, p->n_rows, NULL, err);
}

static struct harvest_import_totals found_totals(const struct sae_acts *acts)
{
    const json_t *const t = json_object_get(sae_acts_record(acts), "totals");
    return (struct harvest_import_totals){
        .n_rows = sae_acts_n_rows(acts),
        .n_shards = sae_acts_n_shards(acts),
        .mean_norm = sae_json_real(t, "mean_norm", NAN),
        .mean_square = sae_json_real(t, "mean_square_norm", NAN),
        .max_norm = sae_json_real(t, "max_norm", NAN),
        .found = true,
    };
}

enum sae_status harvest_import_write(const struct harvest_import_plan *plan,
                                     const struct sae_files *files,
                                     const struct harvest_import_settings *set,
                                     const json_t *record, struct harvest_import_totals *ret,
                                     struct sae_err *err)
{
    struct pass p = {.set = set,
                     .to = {.dir = set->dir,
                            .lock = set->lock,
                            .record = json_incref((json_t *)(uintptr_t)record),
                            .replaces = set->force}};
    struct sae_acts *acts = NULL;
    enum sae_status st;
    SAE_GO(st, check_folder(set->dir, err));
    if (!set->force)
        SAE_GO(st, harvest_shards_find_complete(&acts, &p.to, err));
    if (acts) {
        *ret = found_totals(acts);
        goto done;
    }
    st = run_pass(&p, plan, files, err);
    if (st == SAE_EFORMAT)
        drop_shards(&p);
    if (st != SAE_OK)
        goto done;
    *ret = (struct harvest_import_totals){.n_rows = plan->n_rows,
                                          .n_shards = p.to.n_shards,
                                          .mean_norm = p.to.sum_norm / (double)plan->n_rows,
                                          .mean_square = p.to.sum_square / (double)plan->n_rows,
                                          .max_norm = p.to.max_norm};
done:
    sae_acts_close(acts);
    harvest_shards_clear(&p.to);
    free(p.x);
    free(p.whole);
    return st;
}
