/* SPDX-License-Identifier: MIT */
/* make_import : a store from arrays of another program. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harvest/command.h"
#include "harvest/import.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"

static void print_import(const struct harvest *h, const struct harvest_import_plan *plan,
                         const struct harvest_import_totals *t)
{
    sae_utf8_print(stdout, "activation store %s%s: imported from %zu file%s\n", h->dir,
                   t->found ? " (complete before)" : "", plan->n_parts,
                   plan->n_parts == 1 ? "" : "s");
    printf("  rows        %zu of width %zu, rounded to bf16, in %zu shard%s\n", t->n_rows, plan->d,
           t->n_shards, t->n_shards == 1 ? "" : "s");
    printf("  row norm    %.4g mean, %.4g root mean square, %.4g max\n", t->mean_norm,
           sqrt(t->mean_square), t->max_norm);
}

static enum sae_status answer_import(struct harvest *h, const struct harvest_import_plan *plan,
                                     const struct harvest_import_totals *t, struct sae_err *err)
{
    if (!h->cli->json) {
        print_import(h, plan, t);
        return SAE_OK;
    }
    json_t *const store =
        json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:b}", "rows", (json_int_t)t->n_rows, "d",
                  (json_int_t)plan->d, "files", (json_int_t)plan->n_parts, "shards",
                  (json_int_t)t->n_shards, "mean_norm", t->mean_norm, "mean_square_norm",
                  t->mean_square, "max_norm", t->max_norm, "found", t->found);
    if (json_object_set_new(h->answer, "store", store) != 0)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    return sae_json_print(stdout, h->answer, err);
}

/* A shard of the store that --force would remove. */
static enum sae_status check_apart(const struct harvest *h, const char *path, struct sae_err *err)
{
    char *folder = NULL;
    SAE_TRY(sae_fs_dir(&folder, path, err));
    const bool inside = sae_fs_same(folder, h->dir) && strncmp(sae_fs_base(path), "acts_", 5) == 0;
    free(folder);
    return inside ? sae_err_set(err, SAE_EARG,
                                "'%s' holds '%s' of the store that would be replaced; choose another "
                                "folder with -o",
                                h->dir, sae_fs_base(path))
                  : SAE_OK;
}

static enum sae_status find_imports(struct harvest *h, struct sae_files *files, struct sae_err *err)
{
    for (size_t i = 0; i < h->texts.n; i++) {
        if (sae_fs_is_dir(h->texts.v[i]))
            return sae_err_set(err, SAE_EARG,
                               "--import %s: a folder; name its files, in the order of their rows",
                               h->texts.v[i]);
        SAE_TRY(check_apart(h, h->texts.v[i], err));
        SAE_TRY(sae_files_add(files, h->texts.v[i], err));
    }
    return SAE_OK;
}

enum sae_status harvest_make_import(struct harvest *h, struct sae_err *err)
{
    struct sae_files files = {0};
    struct harvest_import_plan plan = {0};
    struct harvest_import_totals totals;
    json_t *record = NULL;
    enum sae_status st;
    struct harvest_import_settings settings = {
        .dir = h->dir,
        .array = harvest_wanted.array,
        .token = harvest_wanted.token_array,
        .document = harvest_wanted.document_array,
        .position = harvest_wanted.position_array,
        .model = harvest_wanted.model_name,
        .hook = harvest_wanted.hooks.n > 0 ? harvest_wanted.hooks.v[0] : NULL,
        .layer = harvest_wanted.layers.n > 0 ? harvest_wanted.layers.v[0] : UINT64_MAX,
        .shard_rows = (size_t)harvest_wanted.shard_rows,
        .force = h->cli->force,
    };
    SAE_GO(st, find_imports(h, &files, err));
    SAE_GO(st, harvest_import_plan(&plan, &files, &settings, err));
    SAE_GO(st, sae_mem_alloc(&h->sites.v, 1, sizeof *h->sites.v, err));
    h->sites.n = 1;
    SAE_GO(st, sae_mem_strdup(&h->sites.v->dir, h->dir, err));
    SAE_GO(st, harvest_sites_lock(&h->sites, h->dir, err));
    settings.lock = h->sites.v->lock;
    SAE_GO(st, harvest_hash(&files, "hashing", err));
    SAE_GO(st, harvest_import_record(&record, h->invocation, &plan, &files, &settings, err));
    SAE_GO(st, harvest_import_write(&plan, &files, &settings, record, &totals, err));
    st = answer_import(h, &plan, &totals, err);
done:
    json_decref(record);
    harvest_import_plan_clear(&plan);
    sae_files_clear(&files);
    return st;
}
