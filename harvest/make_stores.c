/* SPDX-License-Identifier: MIT */
/* make_stores : the activation stores of one pass over texts. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "harvest/command.h"
#include "harvest/origin.h"
#include "harvest/plan.h"
#include "harvest/shards.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/cli/progress.h"

/* Options that decide the bytes of a store. */
static const char *const of_store[] = {"text",       "tokens",  "field", "split", "separator",
                                       "shard-rows", "context", "batch", NULL};

static void step_bar(void *bar, uint64_t done)
{
    sae_progress_step(bar, done >> 20, NULL);
}

enum sae_status harvest_hash(struct sae_files *files, const char *what, struct sae_err *err)
{
    struct sae_progress bar;
    sae_progress_begin(&bar, what, "MiB", 0, sae_files_bytes(files) >> 20);
    const enum sae_status st = sae_files_hash(files, step_bar, &bar, err);
    sae_progress_end(&bar);
    return st;
}

static json_t *packing_of(size_t shard_rows)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I}", "context_begins_with", "bos", "separator",
                     harvest_separators[harvest_wanted.separator], "kept", "not bos, eos, pad", "dtype", "bf16",
                     "shard_rows", (json_int_t)shard_rows);
}

static void print_store(const struct harvest *h, const struct harvest_store *store)
{
    const struct harvest_store_totals *const t = &store->totals;
    const struct harvest_tap *const tap = store->tap;
    const bool post = tap->hook.point == SAE_RESID_POST;
    sae_utf8_print(stdout, "activation store %s%s: %s%slayer %zu of %s\n", store->dir,
                   t->found ? " (complete before)" : "",
                   post ? "" : sae_points[tap->hook.point].name, post ? "" : " of ",
                   tap->hook.layer, tap->config->name);
    printf("  rows        %zu of width %zu, bf16, in %zu shard%s\n", t->n_rows, tap->d,
           t->n_shards, t->n_shards == 1 ? "" : "s");
    printf("  documents   %" PRIu64 ", %.1f tokens each; %zu contexts of %" PRIu64 "\n",
           t->n_documents, (double)t->n_rows / (double)t->n_documents, t->n_contexts,
           harvest_wanted.context);
    if (h->taken.s != NULL)
        printf("  text        %s\n", h->taken.s);
    if (t->n_left + t->n_empty + t->n_replaced > 0)
        printf("  left out    %" PRIu64 " rows that could not be used, %" PRIu64
               " empty documents; %" PRIu64 " sequences replaced by U+FFFD\n",
               t->n_left, t->n_empty, t->n_replaced);
    printf("  row norm    %.4g mean, %.4g root mean square, %.4g max\n", t->mean_norm,
           sqrt(t->mean_square), t->max_norm);
}

static json_t *json_of_store(const struct harvest_store *store)
{
    const struct harvest_store_totals *const t = &store->totals;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:b}", "rows",
                     (json_int_t)t->n_rows, "shards", (json_int_t)t->n_shards, "contexts",
                     (json_int_t)t->n_contexts, "documents", (json_int_t)t->n_documents,
                     "empty_documents", (json_int_t)t->n_empty, "rows_left_out",
                     (json_int_t)t->n_left, "replaced", (json_int_t)t->n_replaced, "mean_norm",
                     t->mean_norm, "mean_square_norm", t->mean_square, "max_norm", t->max_norm,
                     "found", t->found);
}

/* "store": the one, or "stores": {hook: store, ...}. */
static enum sae_status answer_stores(const struct harvest *h, const struct harvest_store *stores,
                                     struct sae_err *err)
{
    const size_t n = h->sites.n;
    json_t *const all = json_object();
    char name[SAE_HOOK_NAME];
    bool good = true;
    for (size_t i = 0; i < n && n > 1; i++)
        good &= json_object_set_new(all, sae_hook_name(name, h->sites.v[i].hook),
                                    json_of_store(&stores[i])) == 0;
    if (n > 1)
        good &= json_object_set(h->answer, "stores", all) == 0;
    else
        good &= json_object_set_new(h->answer, "store", json_of_store(stores)) == 0;
    json_decref(all);
    return good ? SAE_OK : sae_err_set(err, SAE_ENOMEM, "out of memory");
}

/* Finds the files of the text, tells what they hold, and hashes them. */
enum sae_status harvest_find_text(struct harvest *h, struct sae_files *files, bool hash,
                                 struct sae_err *err)
{
    for (size_t i = 0; i < h->texts.n; i++)
        SAE_TRY(sae_files_add(files, h->texts.v[i], err));
    SAE_TRY(sae_files_sort_out(files, harvest_wanted.field, err));
    SAE_TRY(sae_files_say(files, &h->taken, err));
    sae_log_info("text: %s", h->taken.s);
    return hash ? harvest_hash(files, "reading text", err) : SAE_OK;
}

struct harvest_store_settings harvest_store_wanted(const struct harvest *h,
                                                    const struct sae_files *files)
{
    return (struct harvest_store_settings){
        .files = files,
        .field = harvest_wanted.field,
        .split = (enum sae_docs_split)harvest_wanted.split,
        .separator = (enum harvest_separator)harvest_wanted.separator,
        .context = (size_t)harvest_wanted.context,
        .batch = (size_t)harvest_wanted.batch,
        .n_tokens = harvest_wanted.n_tokens,
        .force = h->cli->force};
}

struct harvest_store harvest_store_of(struct harvest_site *site)
{
    return (struct harvest_store){
        .tap = &site->tap,
        .dir = site->dir,
        .shard_rows =
            harvest_wanted.shard_rows != 0 ? (size_t)harvest_wanted.shard_rows : harvest_shards_rows(site->tap.d)};
}

/* Warns where memory or disk do not suffice. Of labelled sets and words --plan alone knows. */
static void warn_of(const struct harvest *h, const struct harvest_store *stores,
                    const struct harvest_store_settings *settings)
{
    const struct sae_lm_cost cost = {h->sites.v->tap.model, 1, 1, 1, NAN, NAN};
    struct sae_plan plan;
    sae_plan_init(&plan, false, h->dir);
    harvest_plan_store(&plan, &cost, stores, h->sites.n, settings);
    sae_plan_warn(&plan);
}

/* The store of a site, its record in new memory. */
static enum sae_status make_store(struct harvest_store *store, const struct harvest *h,
                                  struct harvest_site *site, const struct sae_files *files,
                                  struct sae_err *err)
{
    json_t *record = NULL;
    *store = harvest_store_of(site);
    SAE_TRY(harvest_origin_make(&record, h->invocation, of_store, &site->tap, (size_t)harvest_wanted.context,
                                site->dir, err));
    store->record = record;
    SAE_TRY(harvest_origin_files(record, "text", files, err));
    json_object_set_new(record, "packing", packing_of(store->shard_rows));
    return SAE_OK;
}

enum sae_status harvest_make_stores(struct harvest *h, struct sae_err *err)
{
    struct sae_files files = {.glob = harvest_wanted.glob};
    struct harvest_store *stores = NULL;
    const size_t n = h->sites.n;
    enum sae_status st;
    SAE_GO(st, harvest_find_text(h, &files, true, err));
    SAE_GO(st, sae_mem_alloc(&stores, n, sizeof *stores, err));
    for (size_t i = 0; i < n; i++)
        SAE_GO(st, make_store(&stores[i], h, &h->sites.v[i], &files, err));
    const struct harvest_store_settings settings = harvest_store_wanted(h, &files);
    warn_of(h, stores, &settings);
    SAE_GO(st, harvest_store_write(stores, n, &settings, err));
    for (size_t i = 0; i < n && !h->cli->json; i++)
        print_store(h, &stores[i]);
    if (h->cli->json)
        st = answer_stores(h, stores, err);
done:
    for (size_t i = 0; stores != NULL && i < n; i++)
        json_decref((json_t *)(uintptr_t)stores[i].record);
    free(stores);
    sae_files_clear(&files);
    return st;
}
