/* SPDX-License-Identifier: MIT */
/* place : checkpoint -> store -> the model folder and text files the store was made from. */
#include "lib/eval/place.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cli/target.h"
#include "lib/eval/site.h"
#include "lib/file/json.h"
#include "lib/file/record.h"

bool sae_place_same(const char *a, const char *b)
{
    struct stat x, y;
    if (strcmp(a, b) == 0)
        return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Whether a path is there and, where a length is recorded, has it. */
static bool is_it(const char *path, uint64_t n_bytes)
{
    struct stat found;
    if (stat(path, &found) != 0)
        return false;
    return n_bytes == UINT64_MAX || (uint64_t)found.st_size == n_bytes;
}

enum sae_status sae_place_locate(char **ret, const char *store, const char *path, uint64_t n_bytes,
                                 struct sae_err *err)
{
    static const char *const froms[] = {"", NULL, "..", "../..", "../../.."};
    *ret = NULL;
    for (size_t i = 0; i < sizeof froms / sizeof *froms && *ret == NULL; i++) {
        char *folder = NULL, *whole = NULL;
        enum sae_status st = SAE_OK;
        if (froms[i] != NULL && store == NULL)
            continue;
        if (froms[i] != NULL)
            st = sae_fs_join(&folder, store, froms[i], err);
        if (st == SAE_OK)
            st = sae_fs_join(&whole, folder, path, err);
        free(folder);
        if (st == SAE_OK && is_it(whole, n_bytes))
            *ret = whole;
        else
            free(whole);
        SAE_TRY(st);
    }
    return SAE_OK;
}

enum sae_status sae_place_store(char **ret, const struct sae_ckpt *ckpt, struct sae_err *err)
{
    char *run = NULL;
    const json_t *acts = ckpt->record != NULL ? sae_record_find_input(ckpt->record, "acts") : NULL;
    const char *path = sae_json_str(acts, "path", NULL);
    *ret = NULL;
    if (path == NULL)
        return SAE_OK;
    SAE_TRY(sae_target_run(&run, ckpt->path, err));
    const enum sae_status st = sae_fs_join(ret, run, path, err);
    if (st == SAE_OK)
        sae_fs_shorten(*ret);
    free(run);
    return st;
}

enum sae_status sae_place_model(char **ret, const struct sae_ckpt *ckpt, const char *given,
                                struct sae_err *err)
{
    const json_t *acts = ckpt->record != NULL ? sae_record_find_input(ckpt->record, "acts") : NULL;
    const json_t *store_record = json_object_get(acts, "record");
    char *store = NULL;
    if (given != NULL)
        return sae_mem_strdup(ret, given, err);
    const char *path = sae_json_str(sae_record_find_input(store_record, "model"), "path", NULL);
    if (path == NULL)
        return sae_err_set(err, SAE_EARG,
                           "'%s' does not say which language model its activations came from; "
                           "name it with --model DIR",
                           ckpt->path);
    SAE_TRY(sae_place_store(&store, ckpt, err));
    const enum sae_status st = sae_place_locate(ret, store, path, UINT64_MAX, err);
    free(store);
    if (st == SAE_OK && *ret == NULL)
        return sae_err_set(err, SAE_EARG,
                           "the language model of '%s' is not at '%s' any more; name its folder "
                           "with --model DIR",
                           ckpt->path, path);
    return st;
}

enum sae_status sae_place_layer(size_t *ret, const struct sae_ckpt *ckpt, uint64_t given,
                                struct sae_err *err)
{
    const uint64_t recorded = sae_json_u64(sae_site_of(ckpt->record), "layer", UINT64_MAX);
    const uint64_t layer = given != UINT64_MAX ? given : recorded;
    if (layer == UINT64_MAX)
        return sae_err_set(err, SAE_EARG,
                           "'%s' does not say which layer it was trained on; name it with --layer",
                           ckpt->path);
    if (recorded != UINT64_MAX && recorded != layer)
        sae_log_warn("'%s' was trained on layer %llu and is measured on layer %llu (--layer)",
                     ckpt->path, (unsigned long long)recorded, (unsigned long long)layer);
    *ret = (size_t)layer;
    return SAE_OK;
}
