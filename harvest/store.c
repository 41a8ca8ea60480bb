/* SPDX-License-Identifier: MIT */
/* store : the pass over text that writes activation stores.
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

/* A store of the pass. */
struct out {
    struct harvest_store *store;
    struct harvest_shards to;
};

struct pass {
    struct harvest_tap *tap; /* of the first store: its model and tokenizer are those of all */
    const struct harvest_store_settings *set;
    size_t n;
    struct out *out;           /* [n] */
    struct harvest_tap **taps; /* [n] those that a batch is for */
    struct sae_docs docs;
    struct sae_tok_rest rest; /* of the document being read */
    size_t n_of_doc;          /* its tokens so far */
    struct sae_pack pack;
    uint64_t limit; /* rows wanted */

    uint32_t *ids, *doc;      /* [batch * context], the batch being filled */
    size_t n_ctx, batch_rows; /* contexts in it, rows they will give */

    uint64_t n_rows; /* passed so far */
    size_t n_contexts;
    struct old_shard *old; /* of the only store: rows are compared with these, and no model runs */
    uint64_t last_document, n_documents; /* n_documents: that gave a row */
    uint64_t n_empty;
    struct sae_progress bar;
};

/* --- 1. what is there already ------------------------------------------------------------- */

/* A complete store with this record answers by itself. */
static enum sae_status find_complete(const struct harvest_shards *to,
                                     struct harvest_store_totals *ret, struct sae_err *err)
{
    struct sae_acts *acts;
    SAE_TRY(harvest_shards_find_complete(&acts, to, err));
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

static enum sae_status add_row(const struct pass *p, struct out *out, size_t at,
                               struct sae_err *err)
{
    struct harvest_shards *const to = &out->to;
    const size_t d = to->d, r = to->shard.n++;
    sae_bf16_narrow(to->rows + r * d, out->store->tap->x + at * d, d);
    to->token[r] = p->ids[at];
    to->document[r] = p->doc[at];
    to->position[r] = (uint16_t)(at % p->set->context);
    return to->shard.n == to->cap ? harvest_shards_write(to, err) : SAE_OK;
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
    const struct harvest_shards *const to = &p->out->to;
    struct sae_h5 *file = NULL;
    json_t *record = NULL;
    char *path = NULL;
    size_t dims[2];
    enum sae_status st;
    old_clear(old);
    SAE_GO(st, harvest_shards_path(&path, to->dir, to->n_shards, err));
    if (!sae_fs_is_file(path))
        goto done;
    SAE_GO(st, sae_h5_open(&file, path, "activations", err));
    SAE_GO(st, sae_json_parse(&record, sae_h5_record(file), path, err));
    SAE_GO(st, sae_h5_shape(file, "/rows", 2, dims, err));
    if (!harvest_origin_other_text(record, to->record) || dims[0] != to->cap ||
        dims[1] != to->d)
        goto done;
    SAE_GO(st, sae_mem_alloc(&old->token, dims[0], sizeof *old->token, err));
    SAE_GO(st, sae_mem_alloc(&old->document, dims[0], sizeof *old->document, err));
    SAE_GO(st, sae_mem_alloc(&old->position, dims[0], sizeof *old->position, err));
    SAE_GO(st, sae_h5_read_rows(file, "/token", SAE_H5_U32, 0, dims[0], old->token, err));
    SAE_GO(st, sae_h5_read_rows(file, "/document", SAE_H5_U32, 0, dims[0], old->document, err));
    SAE_GO(st, sae_h5_read_rows(file, "/position", SAE_H5_U16, 0, dims[0], old->position, err));
    SAE_GO(st, sae_h5_read_rows(file, "/rows", SAE_H5_BF16, 0, dims[0], to->rows, err));
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
    struct harvest_shards *const to = &p->out->to;
    const struct sae_acts_shard shard = {old->n,      to->d,         to->rows,
                                         old->token, old->document, old->position};
    SAE_TRY(harvest_shards_check_lock(to, err));
    SAE_TRY(sae_acts_shard_write(to->dir, to->n_shards, &shard, to->record, true, err));
    harvest_shards_add_norms(to, to->rows, old->n);
    to->n_shards++;
    to->n_stored += old->n;
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
    const struct harvest_shards *const to = &p->out->to;
    const uint64_t kept = p->old == NULL && p->n_rows - to->shard.n > to->n_stored
                              ? p->n_rows - to->shard.n
                              : to->n_stored;
    char more[60] = "";
    if (p->n > 1)
        (void)snprintf(more, sizeof more, ", and those of %zu more stores", p->n - 1);
    return sae_err_set(err, SAE_EINTR,
                       "stopped; %zu whole shards (%" PRIu64 " rows) are kept in "
                       "'%s'%s: the same command%s continues after them",
                       to->n_shards, kept, to->dir, more, p->set->force ? " without --force" : "");
}

/* Rows that one context gives. */
static size_t count_rows(const struct pass *p, const uint32_t *ids)
{
    size_t n = 0;
    for (size_t t = 0; t < p->set->context; t++)
        n += !harvest_tap_is_special(p->tap, ids[t]);
    return n;
}

/* Runs the batch for the stores that lack a row of it on disk, and passes over it where none does. */
static enum sae_status run_batch(struct pass *p, struct sae_err *err)
{
    const size_t T = p->set->context;
    size_t n = 0;
    for (size_t i = 0; i < p->n && p->old == NULL; i++) {
        const uint64_t stored = p->out[i].to.n_stored;
        if (p->n_rows + p->batch_rows > stored && stored < p->limit)
            p->taps[n++] = p->out[i].store->tap;
    }
    if (n == 0)
        return SAE_OK;
    const enum sae_status st = harvest_tap_rows_all(p->out->store->tap->run, p->taps, n, p->ids,
                                                    p->n_ctx, T, err);
    return st == SAE_EINTR ? stopped(p, err) : st;
}

/* A row of the batch, to the stores that lack it. */
static enum sae_status take_row(struct pass *p, size_t at, struct sae_err *err)
{
    const uint64_t row = p->n_rows++;
    p->n_documents += row == 0 || p->doc[at] != p->last_document;
    p->last_document = p->doc[at];
    for (size_t i = 0; i < p->n; i++)
        if (row >= p->out[i].to.n_stored)
            SAE_TRY(p->old != NULL ? old_compare(p, at, err) : add_row(p, &p->out[i], at, err));
    return SAE_OK;
}

/* Rows that all stores have on disk. */
static uint64_t least_stored(const struct pass *p)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < p->n; i++)
        least = p->out[i].to.n_stored < least ? p->out[i].to.n_stored : least;
    return least;
}

static enum sae_status flush_batch(struct pass *p, struct sae_err *err)
{
    const size_t n = p->n_ctx;
    SAE_TRY(run_batch(p, err));
    for (size_t at = 0; at < n * p->set->context && p->n_rows < p->limit; at++)
        if (!harvest_tap_is_special(p->tap, p->ids[at]))
            SAE_TRY(take_row(p, at, err));
    p->n_contexts += n;
    p->n_ctx = p->batch_rows = 0;
    if (p->n_rows > least_stored(p) && p->old == NULL)
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
        from = sae_pack_add(&p->pack, ids, n, from, p->n_of_doc == 0, number);
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
        SAE_TRY(sae_tok_encode_part(p->tap->tok, &p->rest, p->docs.text.s, p->docs.text.len,
                                    !p->docs.inside, &made, &n, err));
    p->n_of_doc = p->docs.continues ? p->n_of_doc : 0;
    const enum sae_status st = pack_tokens(p, p->docs.has_ids ? p->docs.ids : made, n, err);
    free(made);
    p->n_of_doc += n;
    p->n_empty += p->n_of_doc == 0 && !p->docs.inside;
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
    for (size_t i = 0; i < p->n; i++)
        if (p->n_rows < p->out[i].to.n_stored)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s' holds %" PRIu64 " rows, but the text gives "
                               "%" PRIu64 "; give --force to start again",
                               p->out[i].to.dir, p->out[i].to.n_stored, p->n_rows);
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
static enum sae_status finish(struct pass *p, struct out *out, struct sae_err *err)
{
    const double n = (double)p->n_rows;
    struct harvest_store_totals *const totals = &out->store->totals;
    *totals = (struct harvest_store_totals){
        .n_rows = (size_t)p->n_rows,
        .n_shards = out->to.n_shards,
        .n_contexts = p->n_contexts,
        .n_documents = p->n_documents,
        .n_empty = p->n_empty - p->docs.left.n,
        .n_left = p->docs.left.n,
        .n_replaced = p->docs.left.n_replaced,
        .mean_norm = out->to.sum_norm / n,
        .mean_square = out->to.sum_square / n,
        .max_norm = out->to.max_norm,
    };
    json_t *const more = json_pack(
        "{s:I, s:I, s:I, s:I, s:I}", "contexts", (json_int_t)totals->n_contexts, "documents",
        (json_int_t)totals->n_documents, "empty_documents", (json_int_t)totals->n_empty,
        "rows_left_out", (json_int_t)totals->n_left, "replaced", (json_int_t)totals->n_replaced);
    const enum sae_status st = harvest_shards_finish(&out->to, p->n_rows, more, err);
    json_decref(more);
    return st;
}

/* Memory of a pass over the text for n stores; out is filled by the caller. */
static enum sae_status pass_init(struct pass *p, const struct harvest_tap *tap, size_t n,
                                 struct sae_err *err)
{
    const struct harvest_store_settings *set = p->set;
    const struct sae_lm_config *config = tap->config;
    const size_t n_batch = set->batch * set->context;
    SAE_TRY(sae_pack_init(&p->pack, set->context, config->bos,
                          set->separator != HARVEST_SEPARATE_NONE,
                          set->separator == HARVEST_SEPARATE_EOS ? config->eos : config->bos, err));
    SAE_TRY(sae_mem_alloc(&p->ids, n_batch, sizeof *p->ids, err));
    SAE_TRY(sae_mem_alloc(&p->doc, n_batch, sizeof *p->doc, err));
    SAE_TRY(sae_mem_alloc(&p->out, n, sizeof *p->out, err));
    SAE_TRY(sae_mem_alloc(&p->taps, n, sizeof(struct harvest_tap *), err));
    p->limit = set->n_tokens == 0 ? UINT64_MAX : set->n_tokens;
    sae_docs_init(&p->docs, set->files, set->field, set->split);
    p->docs.piece = SAE_DOCS_PIECE;
    p->docs.n_vocab = config->V;
    return SAE_OK;
}

static void pass_clear(struct pass *p)
{
    sae_docs_clear(&p->docs);
    sae_tok_rest_clear(&p->rest);
    sae_pack_clear(&p->pack);
    free(p->ids);
    free(p->doc);
    for (size_t i = 0; i < p->n; i++)
        harvest_shards_clear(&p->out[i].to);
    free(p->out);
    free(p->taps);
}

static struct harvest_shards begin(const struct harvest_store *store, const json_t *record)
{
    return (struct harvest_shards){.dir = store->dir,
                                   .lock = store->tap->lock,
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
static enum sae_status renew_shards(const struct pass *p, struct out *out, struct sae_err *err)
{
    struct old_shard old = {0};
    struct pass q = {.tap = p->tap, .set = p->set, .old = &old};
    char *path = NULL;
    enum sae_status st;
    SAE_GO(st, pass_init(&q, q.tap, 1, err));
    q.n = 1;
    q.out->store = out->store;
    q.out->to = begin(out->store, out->to.record);
    continue_at(&q.out->to, &out->to);
    SAE_GO(st, harvest_shards_init(&q.out->to, out->to.d, out->to.cap, err));
    SAE_GO(st, pass_text(&q, err));
    sae_log_warn("the text was changed since '%s' was begun; %zu whole shards (%" PRIu64
                 " rows) come before the change and are kept",
                 out->to.dir, q.out->to.n_shards, q.out->to.n_stored);
    continue_at(&out->to, &q.out->to);
    for (size_t i = out->to.n_shards;; i++) {
        free(path);
        path = NULL;
        SAE_GO(st, harvest_shards_path(&path, out->to.dir, i, err));
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

/* Takes a store into the pass, after what it has on disk, unless it is complete. */
static enum sae_status open_out(struct pass *p, struct harvest_store *store, struct sae_err *err)
{
    struct out *const out = &p->out[p->n];
    SAE_TRY(sae_fs_make_dirs(store->dir, err));
    *out = (struct out){.store = store, .to = begin(store, store->record)};
    p->n++;
    out->to.replaces = p->set->force;
    store->totals = (struct harvest_store_totals){0};
    if (!out->to.replaces)
        SAE_TRY(find_complete(&out->to, &store->totals, err));
    if (store->totals.found) {
        harvest_shards_clear(&out->to);
        p->n--;
        return SAE_OK;
    }
    SAE_TRY(harvest_shards_init(&out->to, store->tap->d, store->shard_rows, err));
    if (!out->to.replaces)
        SAE_TRY(harvest_shards_adopt(&out->to, err));
    if (out->to.other_text)
        SAE_TRY(renew_shards(p, out, err));
    if (out->to.n_stored > 0)
        sae_log_info("continuing after %zu whole shards (%" PRIu64 " rows) of '%s'",
                     out->to.n_shards, out->to.n_stored, store->dir);
    return SAE_OK;
}

static enum sae_status write_all(struct pass *p, struct sae_err *err)
{
    const size_t T = p->set->context;
    for (size_t i = 0; i < p->n; i++)
        p->taps[i] = p->out[i].store->tap;
    SAE_TRY(harvest_tap_reserve_all(p->taps, p->n, p->set->batch * T, T, err));
    sae_progress_begin(&p->bar, "harvest", "tokens", least_stored(p), expected_rows(p->set));
    const enum sae_status st = pass_text(p, err);
    if (st == SAE_OK && p->n_rows > least_stored(p))
        sae_progress_step(&p->bar, p->n_rows, NULL);
    sae_progress_end(&p->bar);
    SAE_TRY(st);
    SAE_TRY(check_end(p, err));
    for (size_t i = 0; i < p->n; i++)
        SAE_TRY(harvest_shards_write(&p->out[i].to, err));
    for (size_t i = 0; i < p->n; i++)
        SAE_TRY(finish(p, &p->out[i], err));
    return SAE_OK;
}

enum sae_status harvest_store_write(struct harvest_store *stores, size_t n,
                                    const struct harvest_store_settings *settings,
                                    struct sae_err *err)
{
    struct pass p = {.tap = stores[0].tap, .set = settings};
    enum sae_status st;
    SAE_GO(st, pass_init(&p, p.tap, n, err));
    for (size_t i = 0; i < n; i++)
        SAE_GO(st, open_out(&p, &stores[i], err));
    if (p.n > 0)
        st = write_all(&p, err);
done:
    pass_clear(&p);
    return st;
}
