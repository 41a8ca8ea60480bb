/* SPDX-License-Identifier: MIT */
/* store : the pass over text that writes an activation store.
 *
 * Contents:  1. what is there already   2. rows into shards   3. shards of an earlier text
 *            4. batches   5. the pass */
#include "harvest/store.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harvest/origin.h"
#include "harvest/shards.h"
#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "lib/file/acts.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"

struct pass {
    struct harvest_tap *tap;
    const struct harvest_store_settings *set;
    struct harvest_shards to;
    struct sae_docs docs;
    struct sae_pack pack;
    uint64_t limit; /* rows wanted */

    uint32_t *ids, *doc;      /* [batch * context], the batch being filled */
    size_t n_ctx, batch_rows; /* contexts in it, rows they will give */

    uint64_t n_rows; /* passed so far */
    size_t n_contexts;
    struct old_shard *old; /* these rows are compared with theirs, in place of a run of the model */
    uint64_t last_document, n_empty;
    struct sae_progress bar;
};

/* --- 1. what is there already ------------------------------------------------------------- */

/* A complete store with this record answers by itself. */
static enum sae_status find_complete(struct pass *p, struct harvest_store_totals *ret,
                                     struct sae_err *err)
{
    struct sae_acts *acts;
    SAE_TRY(harvest_shards_find_complete(&acts, &p->to, err));
    if (acts == NULL)
        return SAE_OK;
    const json_t *totals = json_object_get(sae_acts_record(acts), "totals");
    *ret = (struct harvest_store_totals){
        .n_rows = sae_acts_n_rows(acts),
        .n_shards = (size_t)sae_json_u64(totals, "shards", 0),
        .n_contexts = (size_t)sae_json_u64(totals, "contexts", 0),
        .n_documents = sae_json_u64(totals, "documents", 0),
        .n_empty = sae_json_u64(totals, "empty_documents", 0),
        .n_left = sae_json_u64(totals, "rows_left_out", 0),
        .n_replaced = sae_json_u64(totals, "replaced", 0),
        .mean_norm = sae_json_real(totals, "mean_norm", NAN),
        .mean_square = sae_json_real(totals, "mean_square_norm", NAN),
        .max_norm = sae_json_real(totals, "max_norm", NAN),
        .found = true,
    };
    sae_acts_close(acts);
    return SAE_OK;
}

/* --- 2. rows into shards ------------------------------------------------------------------ */

static enum sae_status add_row(struct pass *p, size_t at, size_t position, struct sae_err *err)
{
    const size_t d = p->tap->d, r = p->to.shard.n++;
    sae_bf16_narrow(p->to.rows + r * d, p->tap->x + at * d, d);
    p->to.token[r] = p->ids[at];
    p->to.document[r] = p->doc[at];
    p->to.position[r] = (uint16_t)position;
    return p->to.shard.n == p->to.cap ? harvest_shards_write(&p->to, err) : SAE_OK;
}

/* --- 3. shards of an earlier text --------------------------------------------------------- */

/* A text that was changed behind the rows of a shard still gives those rows: their tokens tell. Such a
 * shard is written again with the record of the text as it is now, and not computed again. */
struct old_shard {
    size_t n, at; /* its rows; those compared */
    uint32_t *token, *document;
    uint16_t *position;
};

static void old_clear(struct old_shard *old)
{
    free(old->token);
    free(old->document);
    free(old->position);
    *old = (struct old_shard){0};
}

/* The shard after those that are taken over; n stays 0 where there is none of this store. */
static enum sae_status old_open(struct pass *p, struct sae_err *err)
{
    struct old_shard *const old = p->old;
    struct sae_h5 *file = NULL;
    json_t *record = NULL;
    char *path = NULL;
    size_t dims[2];
    enum sae_status st;
    old_clear(old);
    SAE_GO(st, harvest_shards_path(&path, p->set->dir, p->to.n_shards, err));
    if (!sae_fs_is_file(path))
        goto done;
    SAE_GO(st, sae_h5_open(&file, path, "activations", err));
    SAE_GO(st, sae_json_parse(&record, sae_h5_record(file), path, err));
    SAE_GO(st, sae_h5_shape(file, "/rows", 2, dims, err));
    if (!harvest_origin_other_text(record, p->to.record) || dims[0] != p->to.cap ||
        dims[1] != p->tap->d)
        goto done;
    SAE_GO(st, sae_mem_alloc(&old->token, dims[0], sizeof *old->token, err));
    SAE_GO(st, sae_mem_alloc(&old->document, dims[0], sizeof *old->document, err));
    SAE_GO(st, sae_mem_alloc(&old->position, dims[0], sizeof *old->position, err));
    SAE_GO(st, sae_h5_read_rows(file, "/token", SAE_H5_U32, 0, dims[0], old->token, err));
    SAE_GO(st, sae_h5_read_rows(file, "/document", SAE_H5_U32, 0, dims[0], old->document, err));
    SAE_GO(st, sae_h5_read_rows(file, "/position", SAE_H5_U16, 0, dims[0], old->position, err));
    SAE_GO(st, sae_h5_read_rows(file, "/rows", SAE_H5_BF16, 0, dims[0], p->to.rows, err));
    old->n = dims[0];
done:
    sae_h5_close(file);
    json_decref(record);
    free(path);
    return st;
}

static enum sae_status old_take(struct pass *p, struct sae_err *err)
{
    const struct old_shard *const old = p->old;
    const struct sae_acts_shard shard = {old->n,      p->tap->d,     p->to.rows,
                                         old->token, old->document, old->position};
    SAE_TRY(harvest_tap_check_lock(p->tap, err));
    SAE_TRY(sae_acts_shard_write(p->set->dir, p->to.n_shards, &shard, p->to.record, true, err));
    harvest_shards_add_norms(&p->to, p->to.rows, old->n);
    p->to.n_shards++;
    p->to.n_stored += old->n;
    return SAE_OK;
}

/* The row at `at` of the batch is the next one of the old shards, or the comparison ends. */
static enum sae_status old_compare(struct pass *p, size_t at, struct sae_err *err)
{
    struct old_shard *const old = p->old;
    if (old->at == old->n)
        SAE_TRY(old_open(p, err));
    if (old->n == 0 || old->token[old->at] != p->ids[at] ||
        old->document[old->at] != p->doc[at] ||
        old->position[old->at] != at % p->set->context) {
        p->limit = p->n_rows; /* no further */
        return SAE_OK;
    }
    return ++old->at == old->n ? old_take(p, err) : SAE_OK;
}

/* --- 4. batches --------------------------------------------------------------------------- */

static enum sae_status stopped(const struct pass *p, struct sae_err *err)
{
    const uint64_t kept = p->old == NULL && p->n_rows - p->to.shard.n > p->to.n_stored
                              ? p->n_rows - p->to.shard.n
                              : p->to.n_stored;
    return sae_err_set(err, SAE_EINTR,
                       "stopped; %zu whole shards (%" PRIu64 " rows) are kept in "
                       "'%s': the same command%s continues after them",
                       p->to.n_shards, kept, p->set->dir, p->set->force ? " without --force" : "");
}

/* Rows that one context gives. */
static size_t count_rows(const struct pass *p, const uint32_t *ids)
{
    size_t n = 0;
    for (size_t t = 0; t < p->set->context; t++)
        n += !harvest_tap_is_special(p->tap, ids[t]);
    return n;
}

/* Runs the batch where a row of it is missing on disk, and passes over it where none is. */
static enum sae_status flush_batch(struct pass *p, struct sae_err *err)
{
    const size_t T = p->set->context, n = p->n_ctx;
    const bool needed =
        p->old == NULL && p->n_rows + p->batch_rows > p->to.n_stored && p->to.n_stored < p->limit;
    const enum sae_status st = needed ? harvest_tap_rows(p->tap, p->ids, n, T, err) : SAE_OK;
    if (st == SAE_EINTR)
        return stopped(p, err);
    SAE_TRY(st);
    for (size_t at = 0; at < n * T && p->n_rows < p->limit; at++) {
        if (harvest_tap_is_special(p->tap, p->ids[at]))
            continue;
        p->last_document = p->doc[at];
        const bool stored = p->n_rows++ < p->to.n_stored;
        if (!stored)
            SAE_TRY(p->old != NULL ? old_compare(p, at, err) : add_row(p, at, at % T, err));
    }
    p->n_contexts += n;
    p->n_ctx = p->batch_rows = 0;
    if (p->n_rows > p->to.n_stored && p->old == NULL)
        sae_progress_step(&p->bar, p->n_rows, NULL);
    return SAE_OK;
}

static enum sae_status end_context(struct pass *p, struct sae_err *err)
{
    const size_t T = p->set->context;
    memcpy(p->ids + p->n_ctx * T, p->pack.token, T * sizeof *p->ids);
    memcpy(p->doc + p->n_ctx * T, p->pack.document, T * sizeof *p->doc);
    sae_pack_next(&p->pack);
    p->batch_rows += count_rows(p, p->ids + p->n_ctx * T);
    p->n_ctx++;
    if (p->n_ctx < p->set->batch && p->n_rows + p->batch_rows < p->limit)
        return SAE_OK;
    return flush_batch(p, err);
}

/* --- 5. the pass -------------------------------------------------------------------------- */

/* Tokens of a document, or of the next piece of it. */
static enum sae_status pack_tokens(struct pass *p, const uint32_t *ids, size_t n,
                                   struct sae_err *err)
{
    const uint32_t number = (uint32_t)(p->docs.n_docs - 1);
    for (size_t from = 0; from < n && p->n_rows < p->limit;) {
        from = sae_pack_add(&p->pack, ids, n, from, !p->docs.continues, number);
        if (sae_pack_is_full(&p->pack))
            SAE_TRY(end_context(p, err));
        if (sae_stop_asked())
            return stopped(p, err);
    }
    return SAE_OK;
}

static enum sae_status pass_document(struct pass *p, struct sae_err *err)
{
    uint32_t *made = NULL;
    size_t n = p->docs.n_ids;
    if (!p->docs.has_ids)
        SAE_TRY(sae_tok_encode(p->tap->tok, p->docs.text.s, p->docs.text.len, &made, &n, err));
    p->n_empty += n == 0 && !p->docs.continues;
    const enum sae_status st = pack_tokens(p, p->docs.has_ids ? p->docs.ids : made, n, err);
    free(made);
    return st;
}

static enum sae_status pass_text(struct pass *p, struct sae_err *err)
{
    bool more = true;
    while (p->n_rows < p->limit) {
        SAE_TRY(sae_docs_next(&p->docs, &more, err));
        if (!more)
            break;
        if (p->docs.n_docs > UINT32_MAX)
            return sae_err_set(err, SAE_ERANGE, "more than 2^32 documents; harvest them in parts");
        SAE_TRY(pass_document(p, err));
        if (sae_stop_asked())
            return stopped(p, err);
    }
    return p->n_ctx > 0 && p->n_rows < p->limit ? flush_batch(p, err) : SAE_OK;
}

static enum sae_status check_end(const struct pass *p, struct sae_err *err)
{
    if (p->n_contexts == 0)
        return sae_err_set(err, SAE_EARG,
                           "the text gives %zu tokens, less than one context of "
                           "%zu; give more text or a smaller --context",
                           p->pack.n, p->set->context);
    if (p->n_rows < p->to.n_stored)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' holds %" PRIu64 " rows, but the text gives "
                           "%" PRIu64 "; give --force to start again",
                           p->set->dir, p->to.n_stored, p->n_rows);
    if (p->set->n_tokens > p->n_rows)
        sae_log_warn("the text ended after %" PRIu64 " tokens; %" PRIu64 " were asked for",
                     p->n_rows, p->set->n_tokens);
    const struct sae_left *left = &p->docs.left;
    if (p->n_empty > left->n)
        sae_log_warn("%" PRIu64 " of %" PRIu64 " documents are empty", p->n_empty - left->n,
                     p->docs.n_docs);
    if (left->n > 1) /* the first has been told already */
        sae_log_warn("%" PRIu64 " of %" PRIu64 " rows are left out; the first: %s", left->n,
                     p->docs.n_docs, left->first);
    if (left->n_replaced > 1)
        sae_log_warn("%" PRIu64 " sequences of bytes were not UTF-8 and became U+FFFD",
                     left->n_replaced);
    return SAE_OK;
}

/* acts.json, whose record also tells what came out. */
static enum sae_status finish(struct pass *p, struct harvest_store_totals *ret, struct sae_err *err)
{
    const double n = (double)p->n_rows;
    *ret = (struct harvest_store_totals){
        .n_rows = (size_t)p->n_rows,
        .n_shards = p->to.n_shards,
        .n_contexts = p->n_contexts,
        .n_documents = p->last_document + 1,
        .n_empty = p->n_empty - p->docs.left.n,
        .n_left = p->docs.left.n,
        .n_replaced = p->docs.left.n_replaced,
        .mean_norm = p->to.sum_norm / n,
        .mean_square = p->to.sum_square / n,
        .max_norm = p->to.max_norm,
    };
    json_t *const more = json_pack(
        "{s:I, s:I, s:I, s:I, s:I}", "contexts", (json_int_t)ret->n_contexts, "documents",
        (json_int_t)ret->n_documents, "empty_documents", (json_int_t)ret->n_empty, "rows_left_out",
        (json_int_t)ret->n_left, "replaced", (json_int_t)ret->n_replaced);
    const enum sae_status st = harvest_shards_finish(&p->to, p->n_rows, more, err);
    json_decref(more);
    return st;
}

static enum sae_status pass_init(struct pass *p, struct sae_err *err)
{
    const struct harvest_store_settings *set = p->set;
    const struct sae_lm_config *config = p->tap->config;
    const size_t n_batch = set->batch * set->context;
    SAE_TRY(harvest_tap_reserve(p->tap, n_batch, set->context, err));
    SAE_TRY(sae_pack_init(&p->pack, set->context, config->bos,
                          set->separator != HARVEST_SEPARATE_NONE,
                          set->separator == HARVEST_SEPARATE_EOS ? config->eos : config->bos, err));
    SAE_TRY(sae_mem_alloc(&p->ids, n_batch, sizeof *p->ids, err));
    SAE_TRY(sae_mem_alloc(&p->doc, n_batch, sizeof *p->doc, err));
    SAE_TRY(harvest_shards_init(&p->to, p->tap->d, set->shard_rows, err));
    p->limit = set->n_tokens == 0 ? UINT64_MAX : set->n_tokens;
    sae_docs_init(&p->docs, set->files, set->field, set->split);
    p->docs.piece = SAE_DOCS_PIECE;
    p->docs.n_vocab = config->V;
    return SAE_OK;
}

static void pass_clear(struct pass *p)
{
    sae_docs_clear(&p->docs);
    sae_pack_clear(&p->pack);
    free(p->ids);
    free(p->doc);
    harvest_shards_clear(&p->to);
}

static struct harvest_shards begin(const struct harvest_store_settings *set,
                                   const struct harvest_tap *tap, const json_t *record)
{
    return (struct harvest_shards){.dir = set->dir,
                                   .lock = tap->lock,
                                   .record = json_incref((json_t *)(uintptr_t)record)};
}

static void continue_at(struct harvest_shards *to, const struct harvest_shards *from)
{
    to->n_shards = from->n_shards;
    to->n_stored = from->n_stored;
    to->sum_norm = from->sum_norm;
    to->sum_square = from->sum_square;
    to->max_norm = from->max_norm;
}

/* Takes over the shards of an earlier text that the text now would give too, and removes the others. */
static enum sae_status renew_shards(struct pass *p, struct sae_err *err)
{
    struct old_shard old = {0};
    struct pass q = {.tap = p->tap, .set = p->set, .old = &old};
    char *path = NULL;
    enum sae_status st;
    q.to = begin(p->set, p->tap, p->to.record);
    continue_at(&q.to, &p->to);
    SAE_GO(st, pass_init(&q, err));
    SAE_GO(st, pass_text(&q, err));
    sae_log_warn("the text was changed since '%s' was begun; %zu whole shards (%" PRIu64
                 " rows) come before the change and are kept",
                 p->set->dir, q.to.n_shards, q.to.n_stored);
    continue_at(&p->to, &q.to);
    for (size_t i = p->to.n_shards;; i++) {
        free(path);
        path = NULL;
        SAE_GO(st, harvest_shards_path(&path, p->set->dir, i, err));
        if (!sae_fs_is_file(path))
            break;
        SAE_GO(st, harvest_shards_remove_file(path, err));
    }
done:
    free(path);
    old_clear(&old);
    pass_clear(&q);
    return st;
}

/* Rows to come, for the time left: as asked, or guessed at four bytes of text a token. */
static uint64_t expected_rows(const struct harvest_store_settings *set)
{
    return set->n_tokens != 0 ? set->n_tokens : sae_files_bytes(set->files) / 4;
}

enum sae_status harvest_store_write(struct harvest_tap *tap,
                                    const struct harvest_store_settings *settings,
                                    const json_t *record, struct harvest_store_totals *ret,
                                    struct sae_err *err)
{
    struct pass p = {.tap = tap, .set = settings, .to = begin(settings, tap, record)};
    struct harvest_store_totals totals = {0};
    enum sae_status st;
    SAE_GO(st, sae_fs_make_dirs(settings->dir, err));
    p.to.replaces = settings->force;
    if (!p.to.replaces)
        SAE_GO(st, find_complete(&p, &totals, err));
    if (!totals.found) {
        SAE_GO(st, pass_init(&p, err));
        if (!p.to.replaces)
            SAE_GO(st, harvest_shards_adopt(&p.to, err));
        if (p.to.other_text)
            SAE_GO(st, renew_shards(&p, err));
        if (p.to.n_stored > 0)
            sae_log_info("continuing after %zu whole shards (%" PRIu64 " rows)", p.to.n_shards,
                         p.to.n_stored);
        sae_progress_begin(&p.bar, "harvest", "tokens", p.to.n_stored, expected_rows(settings));
        st = pass_text(&p, err);
        if (st == SAE_OK && p.n_rows > p.to.n_stored)
            sae_progress_step(&p.bar, p.n_rows, NULL);
        sae_progress_end(&p.bar);
        if (st != SAE_OK)
            goto done;
        SAE_GO(st, check_end(&p, err));
        SAE_GO(st, harvest_shards_write(&p.to, err));
        SAE_GO(st, finish(&p, &totals, err));
    }
    *ret = totals;
done:
    pass_clear(&p);
    return st;
}
