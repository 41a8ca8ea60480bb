/* SPDX-License-Identifier: MIT */
/* source : model, layer and text of a checkpoint, as its record names them: checkpoint -> store ->
 * the model folder and text files the store was made from. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "splice/splice.h"

void splice_source_clear(struct splice_source *source)
{
    free(source->model);
    free(source->store);
    sae_fs_list_free(source->texts, source->n_texts);
    free(source->field);
    free(source->split);
    *source = (struct splice_source){0};
}

bool splice_source_same(const struct splice_source *a, const struct splice_source *b)
{
    if (!sae_hook_same(a->hook, b->hook) || a->skip != b->skip || a->n_texts != b->n_texts ||
        !sae_fs_same(a->model, b->model) || strcmp(a->field, b->field) != 0 ||
        strcmp(a->split, b->split) != 0)
        return false;
    for (size_t i = 0; i < a->n_texts; i++)
        if (!sae_fs_same(a->texts[i], b->texts[i]))
            return false;
    return true;
}

static enum sae_status add_text(struct splice_source *source, size_t *cap, char *path,
                                struct sae_err *err)
{
    const enum sae_status st =
        sae_mem_grow(&source->texts, cap, source->n_texts + 1, sizeof(char *), err);
    if (st != SAE_OK)
        free(path);
    else
        source->texts[source->n_texts++] = path;
    return st;
}

static enum sae_status recorded_texts(struct splice_source *source, const struct sae_ckpt *ckpt,
                                      const json_t *store_record, const char *store,
                                      struct sae_err *err)
{
    size_t cap = 0, i;
    json_t *input;
    json_array_foreach(json_object_get(store_record, "inputs"), i, input)
    {
        const char *role = sae_json_str(input, "role", ""), *path = sae_json_str(input, "path", "");
        char *found = NULL;
        if (strcmp(role, "text") != 0)
            continue;
        SAE_TRY(sae_store_locate(&found, store, path, sae_json_u64(input, "bytes", UINT64_MAX), err));
        if (found == NULL)
            return sae_err_set(err, SAE_EARG,
                               "the text '%s' that '%s' was made from is not there any more; name "
                               "a text with --text FILE",
                               path, ckpt->path);
        SAE_TRY(add_text(source, &cap, found, err));
    }
    if (source->n_texts == 0)
        return sae_err_set(err, SAE_EARG,
                           "'%s' does not say which text its activations came from; name a text "
                           "with --text FILE",
                           ckpt->path);
    source->recorded_text = true;
    return SAE_OK;
}

static enum sae_status find_texts(struct splice_source *source, const struct sae_ckpt *ckpt,
                                  const json_t *store_record, const char *store,
                                  const struct splice_settings *settings, struct sae_err *err)
{
    size_t cap = 0;
    for (size_t i = 0; i < settings->n_texts; i++) {
        char *path = NULL;
        if (sae_fs_is_dir(settings->texts[i]))
            return sae_err_set(err, SAE_EARG, "--text %s: a folder; name the files in it",
                               settings->texts[i]);
        SAE_TRY(sae_mem_strdup(&path, settings->texts[i], err));
        SAE_TRY(add_text(source, &cap, path, err));
    }
    if (settings->n_texts == 0)
        SAE_TRY(recorded_texts(source, ckpt, store_record, store, err));
    const char *field = sae_json_str(store_record, "options.field", "text");
    const char *split = sae_json_str(store_record, "options.split", "none");
    SAE_TRY(sae_mem_strdup(&source->field, settings->field != NULL ? settings->field : field, err));
    SAE_TRY(sae_mem_strdup(&source->split, settings->split != NULL ? settings->split : split, err));
    /* documents that the store took; another text is read from its start */
    source->skip = source->recorded_text ? sae_json_u64(store_record, "totals.documents", 0) : 0;
    source->skip_asked = settings->skip != UINT64_MAX;
    if (source->skip_asked)
        source->skip = settings->skip;
    return SAE_OK;
}

enum sae_status splice_source_find(struct splice_source *ret, const struct sae_ckpt *ckpt,
                                   const struct splice_settings *settings, struct sae_err *err)
{
    const json_t *acts = ckpt->record != NULL ? sae_record_find_input(ckpt->record, "acts") : NULL;
    const json_t *store_record = json_object_get(acts, "record");
    struct splice_source source = {0};
    char *store = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_store_recorded(&store, ckpt, err));
    SAE_GO(st, sae_store_model(&source.model, ckpt, settings->model, err));
    SAE_GO(st, sae_store_hook(&source.hook, ckpt, settings->layer, settings->hook, err));
    SAE_GO(st, find_texts(&source, ckpt, store_record, store, settings, err));
    source.store = store;
    store = NULL;
    *ret = source;
    source = (struct splice_source){0};
done:
    splice_source_clear(&source);
    free(store);
    return st;
}
