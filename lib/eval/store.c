/* SPDX-License-Identifier: MIT */
/* store : checkpoint -> store -> the sets beside it, and the model and texts it was made from.
 * Contents: 1. the store   2. what belongs together   3. labelled sets   4. model and texts */
#include "lib/eval/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/target.h"
#include "lib/file/hook.h"
#include "lib/file/json.h"
#include "lib/file/lasts.h"
#include "lib/file/record.h"
#include "lib/sae/import.h"

/* --- 1. the store ------------------------------------------------------------------------- */

const json_t *sae_store_site(const json_t *record)
{
    const json_t *site = record ? sae_json_at(record, "site") : NULL;
    if (site || !record)
        return site;
    const json_t *const acts = sae_record_find_input(record, "acts");
    return acts ? sae_json_at(acts, "record.site") : NULL;
}

/* What the checkpoint's record says of its store: {path, id, record}; NULL where nothing. */
static const json_t *store_input(const struct sae_ckpt *ckpt)
{
    return ckpt->record ? sae_record_find_input(ckpt->record, "acts") : NULL;
}

bool sae_store_imported(const struct sae_ckpt *ckpt)
{
    return sae_record_find_input(json_object_get(store_input(ckpt), "record"), "import") != NULL;
}

enum sae_status sae_store_recorded(char **ret, const struct sae_ckpt *ckpt, struct sae_err *err)
{
    char *run = NULL;
    const char *const path = sae_json_str(store_input(ckpt), "path", NULL);
    *ret = NULL;
    if (!path)
        return SAE_OK;
    SAE_TRY(sae_target_run(&run, ckpt->path, err));
    const enum sae_status st = sae_fs_join(ret, run, path, err);
    if (st == SAE_OK)
        sae_fs_shorten(*ret);
    free(run);
    return st;
}

enum sae_status sae_store_find(char **ret, const struct sae_ckpt *ckpt, const char *option,
                               struct sae_err *err)
{
    char *folder = NULL, sets[64] = "";
    enum sae_status st = SAE_OK;
    if (option)
        snprintf(sets, sizeof sets, ", or the sets with %s FILE", option);
    SAE_TRY(sae_store_recorded(&folder, ckpt, err));
    if (!folder)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' does not say which activation store it was trained on; name one "
                           "with --acts DIR%s",
                           ckpt->path, sets);
    if (sae_fs_is_dir(folder)) {
        *ret = folder;
        return SAE_OK;
    }
    st = sae_err_set(err, SAE_EIO,
                     "the activation store of '%s' is not at '%s' any more; put it back, or name "
                     "its new place with --acts DIR%s",
                     ckpt->path, folder, sets);
    free(folder);
    return st;
}

enum sae_status sae_store_open(struct sae_acts **ret, const struct sae_ckpt *ckpt,
                               struct sae_err *err)
{
    char *folder = NULL;
    struct sae_acts *acts = NULL;
    enum sae_status st;
    SAE_GO(st, sae_store_find(&folder, ckpt, NULL, err));
    SAE_GO(st, sae_acts_open(&acts, folder, err));
    /* the very store needs no comparison of what an imported one may not know of itself */
    if (!sae_store_imported(ckpt) || sae_acts_d(acts) != ckpt->model.d ||
        strcmp(sae_json_str(store_input(ckpt), "id", ""), sae_acts_id(acts)) != 0)
        SAE_GO(st, sae_store_check(ckpt, folder, sae_acts_d(acts), sae_acts_record(acts), err));
    *ret = acts;
    acts = NULL;
done:
    sae_acts_close(acts);
    free(folder);
    return st;
}

/* --- 2. what belongs together ------------------------------------------------------------- */

/* What both sides say of themselves; an SAE from elsewhere knows no hash of a model. */
struct side {
    const char *model, *id, *hook; /* hook: as it is written there */
    uint64_t layer;                /* UINT64_MAX: unknown */
    bool has_place;
    struct sae_hook place;
};

static struct side side_of(const json_t *record)
{
    const json_t *const site = sae_store_site(record);
    struct side side = {.layer = UINT64_MAX};
    if (site == NULL)
        return side;
    side.model = sae_json_str(site, "model", NULL);
    side.id = sae_json_str(site, "model_id", NULL);
    side.hook = sae_json_str(site, "hook", NULL);
    side.has_place = sae_hook_of_site(&side.place, site);
    side.layer = side.has_place ? side.place.layer : sae_json_u64(site, "layer", UINT64_MAX);
    return side;
}

/* Two points that cannot be one; a name that is not known here is one with itself alone. */
static bool other_point(const struct side *want, const struct side *got)
{
    if (want->has_place && got->has_place)
        return want->place.point != got->place.point && !sae_hook_same(want->place, got->place);
    if (want->hook == NULL || (want->has_place && got->hook == NULL))
        return false;
    return strcmp(want->hook, got->hook ? got->hook : "") != 0;
}

static bool other_layer(const struct side *want, const struct side *got)
{
    if (want->has_place && got->has_place)
        return !sae_hook_same(want->place, got->place);
    return want->layer != UINT64_MAX && got->layer != UINT64_MAX && want->layer != got->layer;
}

/* A side's hook for a message: as known here, else as it is written. */
static const char *hook_text(const struct side *side, char name[SAE_HOOK_NAME])
{
    if (side->has_place)
        return sae_hook_name(name, side->place);
    return side->hook ? side->hook : "an unknown hook";
}

static void warn_unknown(const struct side *want, const struct side *got, const char *set_path,
                         const char *path)
{
    const bool both_named = want->model != NULL && got->model != NULL;
    if (both_named && strcmp(sae_fs_base(want->model), sae_fs_base(got->model)) != 0)
        sae_log_warn(
            "'%s' says it is of model '%s', and '%s' was made from '%s'; if that is another "
            "model, the numbers mean nothing",
            path, want->model, set_path, got->model);
    else if (!both_named || want->layer == UINT64_MAX || got->layer == UINT64_MAX)
        sae_log_warn("cannot tell whether '%s' and '%s' come from the same model and layer: "
                     "one of them does not say; only the width was compared",
                     set_path, path);
}

enum sae_status sae_store_check(const struct sae_ckpt *ckpt, const char *set_path, size_t set_d,
                                const json_t *set_record, struct sae_err *err)
{
    const struct side want = side_of(ckpt->record), got = side_of(set_record);
    const bool other_model = want.id && got.id && strcmp(want.id, got.id) != 0;
    char wants[SAE_HOOK_NAME], gets[SAE_HOOK_NAME];
    if (other_point(&want, &got))
        return sae_err_set(
            err, SAE_EARG, "cannot use '%s': it holds '%s', but '%s' was trained on '%s'", set_path,
            hook_text(&got, gets), ckpt->path, hook_text(&want, wants));
    if (other_model || other_layer(&want, &got))
        return sae_err_set(
            err, SAE_EARG,
            "cannot use '%s': it holds layer %" PRIu64 " of model '%s' (%.12s), but '%s' was "
            "trained on layer %" PRIu64 " of model '%s' (%.12s); harvest the set again there",
            set_path, got.layer, got.model ? got.model : "?", got.id ? got.id : "?", ckpt->path,
            want.layer, want.model ? want.model : "?", want.id ? want.id : "?");
    if (set_d != ckpt->model.d)
        return sae_err_set(err, SAE_EARG,
                           "cannot use '%s': width %zu, but '%s' was trained on %zu; "
                           "harvest the set from the model and layer of the checkpoint",
                           set_path, set_d, ckpt->path, ckpt->model.d);
    if (!want.id || !got.id || want.layer == UINT64_MAX || got.layer == UINT64_MAX)
        warn_unknown(&want, &got, set_path, ckpt->path);
    return SAE_OK;
}

/* --- 3. labelled sets ---------------------------------------------------------------------- */

static const struct {
    const char *prefix, *option; /* of the files' names; of sae-harvest, which makes them */
} kinds[] = {
    [SAE_STORE_LABELS] = {"labels_", "--labels"},
    [SAE_STORE_LASTS] = {SAE_LASTS_PREFIX, "--sae-probes"},
};

/* The texts that a set is made of, given in place of the set. */
static enum sae_status check_set_name(const char *path, enum sae_store_kind kind,
                                      struct sae_err *err)
{
    static const char *const texts[] = {".csv", ".tsv", ".jsonl", ".json", ".txt", ".gz", ".zst"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (sae_str_ends(path, texts[i]))
            return sae_err_set(err, SAE_EARG,
                               "--labels %s: expected a labelled set, %s*.h5; make it of these "
                               "texts with: sae-harvest --like ACTS %s %s",
                               path, kinds[kind].prefix, kinds[kind].option,
                               sae_str_shell(path).s);
    return SAE_OK;
}

enum sae_status sae_store_sets(char ***ret, size_t *ret_n, enum sae_store_kind kind,
                               const struct sae_ckpt *ckpt, char *const *given, size_t n_given,
                               struct sae_err *err)
{
    const char *const prefix = kinds[kind].prefix, *const option = kinds[kind].option;
    char *folder = NULL, **names = NULL, **paths = NULL;
    size_t n = n_given, n_names = 0;
    enum sae_status st;
    for (size_t i = 0; i < n_given; i++)
        SAE_TRY(check_set_name(given[i], kind, err));
    if (n == 0) {
        SAE_GO(st, sae_store_find(&folder, ckpt, "--labels", err));
        SAE_GO(st, sae_fs_list(&names, &n_names, folder, prefix, ".h5", err));
        n = n_names;
        if (n == 0 && sae_store_imported(ckpt)) {
            st = sae_err_set(err, SAE_EIO,
                             "'%s' was trained on an imported store, '%s', which has no labelled "
                             "sets; make some with the language model that the activations came "
                             "from (sae-harvest --model DIR --layer L %s FILE.csv -o OTHER) "
                             "and name them with --labels OTHER/%sNAME.h5",
                             ckpt->path, folder, option, prefix);
            goto done;
        }
        if (n == 0) {
            st = sae_err_set(err, SAE_EIO,
                             "no labelled sets (%s*.h5) in '%s', the store of '%s'; name some "
                             "with --labels FILE.h5, or make one with: sae-harvest --like %s "
                             "%s FILE.csv",
                             prefix, folder, ckpt->path, sae_str_shell(folder).s, option);
            goto done;
        }
    }
    SAE_GO(st, sae_mem_alloc(&paths, n, sizeof *paths, err));
    for (size_t i = 0; i < n; i++)
        SAE_GO(st, names ? sae_fs_join(&paths[i], folder, names[i], err)
                         : sae_mem_strdup(&paths[i], given[i], err));
    *ret = paths;
    *ret_n = n;
    paths = NULL;
done:
    free(folder);
    sae_fs_list_free(names, n_names);
    if (paths)
        sae_fs_list_free(paths, n);
    return st;
}

/* --- 4. model and texts -------------------------------------------------------------------- */

/* Whether a path is there and, where a length is recorded, has it. */
static bool is_it(const char *path, uint64_t n_bytes)
{
    struct stat found;
    if (stat(path, &found) != 0)
        return false;
    return n_bytes == UINT64_MAX || (uint64_t)found.st_size == n_bytes;
}

enum sae_status sae_store_locate(char **ret, const char *store, const char *path, uint64_t n_bytes,
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

enum sae_status sae_store_model(char **ret, const struct sae_ckpt *ckpt, const char *given,
                                struct sae_err *err)
{
    const json_t *const store_record = json_object_get(store_input(ckpt), "record");
    char *store = NULL;
    if (given != NULL)
        return sae_mem_strdup(ret, given, err);
    const char *path = sae_json_str(sae_record_find_input(store_record, "model"), "path", NULL);
    if (path == NULL && sae_store_imported(ckpt))
        return sae_err_set(err, SAE_EARG,
                           "'%s' was trained on an imported store, which names neither a language "
                           "model nor texts; name the model that the activations came from with "
                           "--model DIR, and by options what else is missing (--layer, --text)",
                           ckpt->path);
    if (path == NULL)
        return sae_err_set(err, SAE_EARG,
                           "'%s' does not say which language model its activations came from; "
                           "name it with --model DIR",
                           ckpt->path);
    SAE_TRY(sae_store_recorded(&store, ckpt, err));
    const enum sae_status st = sae_store_locate(ret, store, path, UINT64_MAX, err);
    free(store);
    if (st == SAE_OK && *ret == NULL)
        return sae_err_set(err, SAE_EARG,
                           "the language model of '%s' is not at '%s' any more; name its folder "
                           "with --model DIR",
                           ckpt->path, path);
    return st;
}

/* The place asked for by options, what they leave open being recorded. */
static enum sae_status choose_hook(struct sae_hook *ret, bool *ret_has_layer,
                                   const struct side *recorded, uint64_t layer, const char *text,
                                   struct sae_err *err)
{
    struct sae_hook hook = recorded->has_place ? recorded->place : sae_resid_post(0);
    bool whole = recorded->has_place;
    if (text != NULL) {
        const size_t before = hook.layer;
        const bool known = whole;
        SAE_TRY(sae_hook_option(&hook, &whole, text, err));
        if (whole && layer != UINT64_MAX && layer != hook.layer)
            return sae_err_set(err, SAE_EARG, "--hook %s is of layer %zu, --layer says %" PRIu64,
                               text, hook.layer, layer);
        if (!whole)
            hook.layer = before;
        whole |= known;
    }
    if (layer != UINT64_MAX)
        hook.layer = (size_t)layer;
    *ret = hook;
    *ret_has_layer = whole || layer != UINT64_MAX;
    return SAE_OK;
}

enum sae_status sae_store_hook(struct sae_hook *ret, const struct sae_ckpt *ckpt, uint64_t layer,
                               const char *text, struct sae_err *err)
{
    const struct side recorded = side_of(ckpt->record);
    char was[SAE_HOOK_NAME], is[SAE_HOOK_NAME];
    bool has_layer = false;
    SAE_TRY(choose_hook(ret, &has_layer, &recorded, layer, text, err));
    if (!recorded.has_place && recorded.hook != NULL && text == NULL)
        return sae_err_set(err, SAE_EARG,
                           "'%s' was trained on '%s', which is no hook that this program can "
                           "replace; if it is one by another name, give --hook",
                           ckpt->path, recorded.hook);
    if (!has_layer)
        return sae_err_set(err, SAE_EARG,
                           "'%s' does not say which layer it was trained on; name it with --layer",
                           ckpt->path);
    if (recorded.has_place && !sae_hook_same(recorded.place, *ret))
        sae_log_warn("'%s' was trained on '%s' and is measured on '%s' (--layer, --hook)",
                     ckpt->path, sae_hook_name(was, recorded.place), sae_hook_name(is, *ret));
    return SAE_OK;
}
