/* SPDX-License-Identifier: MIT */
/* origin : records made, compared, and looked up.
 *
 * Contents:  1. making   2. comparing   3. the folder */
#include "harvest/origin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "lib/file/lasts.h"
#include "lib/file/record.h"

enum { MAX_DIFFERENCES = 3 };

/* --- 1. making ---------------------------------------------------------------------------- */

static bool is_listed(const char *const *names, const char *name)
{
    while (*names != NULL)
        if (strcmp(*names++, name) == 0)
            return true;
    return false;
}

/* The options that matter to this product; model, layer and hook as resolved (--like names none). */
static int pick_options(json_t *record, const char *const *names, const struct harvest_tap *tap)
{
    json_t *picked =
        json_pack("{s:s, s:o}", "model", tap->folder, "layer", json_sprintf("%zu", tap->hook.layer));
    if (tap->hook.point != SAE_RESID_POST) /* of before there were others */
        json_object_set_new(picked, "hook", json_string(sae_points[tap->hook.point].name));
    const json_t *options = json_object_get(record, "options");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)options, key, value)
    {
        if (is_listed(names, key) && json_object_set(picked, key, value) != 0)
            break;
    }
    return json_object_set_new(record, "options", picked);
}

static json_t *site_of(const struct harvest_tap *tap, size_t context)
{
    char hook[SAE_HOOK_NAME];
    return json_pack("{s:s, s:s, s:I, s:s, s:I, s:I}", "model", tap->config->name, "model_id",
                     tap->model_id, "layer", (json_int_t)tap->hook.layer, "hook",
                     sae_hook_name(hook, tap->hook), "d",
                     (json_int_t)tap->d, "context", (json_int_t)context);
}

enum sae_status harvest_origin_make(json_t **ret, const json_t *invocation,
                                    const char *const *options, const struct harvest_tap *tap,
                                    size_t context, const char *dir, struct sae_err *err)
{
    char *path = NULL;
    json_t *record = json_deep_copy(invocation);
    enum sae_status st = SAE_OK;
    if (record == NULL || pick_options(record, options, tap) != 0 ||
        json_object_set_new(record, "site", site_of(tap, context)) != 0 ||
        json_object_set_new(record, "numerics", json_string(sae_lm_numerics(tap->model))) != 0 ||
        json_object_set_new(record, "tokenizer",
                            json_pack("{s:s, s:s, s:I}", "file", sae_fs_base(sae_tok_path(tap->tok)),
                                      "sha256", tap->tokenizer, "bos", (json_int_t)tap->config->bos)) != 0) {
        st = sae_err_set(err, SAE_ENOMEM, "out of memory (record)");
        goto done;
    }
    SAE_GO(st, sae_fs_relative(&path, dir, tap->folder, err));
    SAE_GO(st, sae_record_input(record, "model", path, tap->model_id, NULL, err));
    *ret = record;
    record = NULL;
done:
    free(path);
    json_decref(record);
    return st;
}

enum sae_status harvest_origin_files(json_t *record, const char *role,
                                     const struct sae_files *files, struct sae_err *err)
{
    for (size_t i = 0; i < files->n; i++) {
        SAE_TRY(sae_record_input(record, role, files->v[i].path, files->v[i].sha256, NULL, err));
        json_t *inputs = json_object_get(record, "inputs");
        json_t *input = json_array_get(inputs, json_array_size(inputs) - 1);
        if (json_object_set_new(input, "bytes", json_integer((json_int_t)files->v[i].n_bytes)) != 0)
            return sae_err_set(err, SAE_ENOMEM, "out of memory (record)");
    }
    return SAE_OK;
}

/* --- 2. comparing ------------------------------------------------------------------------- */

/* A copy without what may differ between equal harvests: names, the command, and the totals,
 * which follow from the rest. */
static json_t *essence(const json_t *record)
{
    static const char *const names[] = {"model",  "text",       "like", "labels",
                                        "import", "sae-probes", NULL};
    json_t *copy = json_deep_copy(record);
    json_object_del(copy, "command");
    json_object_del(copy, "totals");
    for (size_t i = 0; names[i] != NULL; i++)
        json_object_del(json_object_get(copy, "options"), names[i]);
    json_object_del(json_object_get(copy, "site"), "model"); /* a name too: model_id tells */
    if (json_object_get(copy, "numerics") == NULL) /* of before there was another */
        json_object_set_new(copy, "numerics", json_string("cpu f32"));
    size_t i;
    json_t *input;
    json_array_foreach(json_object_get(copy, "inputs"), i, input)
    {
        json_object_del(input, "path");
    }
    return copy;
}

struct difference {
    struct sae_str text;
    int found;
    struct sae_err *err;
    enum sae_status st;
};

static void add_difference(struct difference *diff, const char *where, const json_t *old,
                           const json_t *new)
{
    if (diff->st != SAE_OK || ++diff->found > MAX_DIFFERENCES)
        return;
    char *a = old != NULL ? json_dumps(old, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    char *b = new != NULL ? json_dumps(new, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    diff->st = sae_str_printf(&diff->text, diff->err, "%s%s is %.80s there, %.80s here",
                              diff->found > 1 ? "; " : "", where, a != NULL ? a : "absent",
                              b != NULL ? b : "absent");
    free(a);
    free(b);
}

static void compare(struct difference *diff, const char *where, const json_t *old,
                    const json_t *new)
{
    char path[300];
    if (json_is_object(old) && json_is_object(new)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)old, key, value)
        {
            snprintf(path, sizeof path, "%s%s%s", where, *where != '\0' ? "." : "", key);
            compare(diff, path, value, json_object_get(new, key));
        }
        json_object_foreach((json_t *)new, key, value)
        {
            snprintf(path, sizeof path, "%s%s%s", where, *where != '\0' ? "." : "", key);
            if (json_object_get(old, key) == NULL)
                add_difference(diff, path, NULL, value);
        }
    } else if (json_is_array(old) && json_is_array(new) &&
               json_array_size(old) == json_array_size(new)) {
        for (size_t i = 0; i < json_array_size(old); i++) {
            snprintf(path, sizeof path, "%s[%zu]", where, i);
            compare(diff, path, json_array_get(old, i), json_array_get(new, i));
        }
    } else if (json_is_array(old) && json_is_array(new)) {
        snprintf(path, sizeof path, "number of %s", where);
        json_t *a = json_integer((json_int_t)json_array_size(old));
        json_t *b = json_integer((json_int_t)json_array_size(new));
        add_difference(diff, path, a, b);
        json_decref(a);
        json_decref(b);
    } else if (!json_equal((json_t *)old, (json_t *)new)) {
        add_difference(diff, where, old, new);
    }
}

enum sae_status harvest_origin_check(const json_t *old, const json_t *new, const char *path,
                                     struct sae_err *err)
{
    struct difference diff = {.err = err};
    json_t *a = essence(old), *b = essence(new);
    compare(&diff, "", a, b);
    json_decref(a);
    json_decref(b);
    enum sae_status st = diff.st;
    if (st == SAE_OK && diff.found > 0)
        st = sae_err_set(err, SAE_EARG,
                         "'%s' was made differently: %s%s; choose another folder with -o, or give "
                         "--force to make it again",
                         path, diff.text.s, diff.found > MAX_DIFFERENCES ? "; and more" : "");
    sae_str_clear(&diff.text);
    return st;
}

/* Essence without the inputs whose role is "text". */
static json_t *without_text(const json_t *record)
{
    json_t *copy = essence(record), *inputs = json_object_get(copy, "inputs");
    for (size_t i = json_array_size(inputs); i > 0; i--) {
        const json_t *role = json_object_get(json_array_get(inputs, i - 1), "role");
        if (json_is_string(role) && strcmp(json_string_value(role), "text") == 0)
            json_array_remove(inputs, i - 1);
    }
    return copy;
}

bool harvest_origin_other_text(const json_t *old, const json_t *new)
{
    json_t *a = essence(old), *b = essence(new);
    bool other = !json_equal(a, b);
    json_decref(a);
    json_decref(b);
    a = without_text(old);
    b = without_text(new);
    other &= json_equal(a, b) != 0;
    json_decref(a);
    json_decref(b);
    return other;
}

/* --- 3. the folder ------------------------------------------------------------------------ */

enum sae_status harvest_origin_read(json_t **ret, const char *path, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    SAE_TRY(sae_h5_open(&file, path, NULL, err));
    const enum sae_status st = sae_json_parse(ret, sae_h5_record(file), path, err);
    sae_h5_close(file);
    return st;
}

static enum sae_status check_site(const char *path, const struct harvest_tap *tap,
                                  struct sae_err *err)
{
    json_t *record = NULL;
    SAE_TRY(harvest_origin_read(&record, path, err));
    const char *id = sae_json_str(record, "site.model_id", "unknown");
    char was[SAE_HOOK_NAME], is[SAE_HOOK_NAME];
    struct sae_hook hook;
    const bool known = sae_hook_of_site(&hook, json_object_get(record, "site"));
    enum sae_status st = SAE_OK;
    if (!known || !sae_hook_same(hook, tap->hook) || strcmp(id, tap->model_id) != 0)
        st = sae_err_set(err, SAE_EARG,
                         "'%s' comes from %s of model '%s' (%.12s), but %s of '%s' (%.12s) was "
                         "asked for; a folder holds one hook of one layer of one model: choose "
                         "another with -o",
                         path, known ? sae_hook_name(was, hook) : "an unknown hook",
                         sae_json_str(record, "site.model", "unknown"), id,
                         sae_hook_name(is, tap->hook), tap->config->name, tap->model_id);
    json_decref(record);
    return st;
}

static bool is_renewed(const struct harvest_origin_renewed *renewed, const char *name)
{
    if (strncmp(name, "acts_", 5) == 0)
        return renewed->store;
    if (strcmp(name, "words.h5") == 0)
        return renewed->words;
    if (strncmp(name, SAE_LASTS_PREFIX, strlen(SAE_LASTS_PREFIX)) == 0)
        return renewed->lasts;
    for (size_t i = 0; i < renewed->n_labels; i++)
        if (strcmp(name, renewed->labels[i]) == 0)
            return true;
    return false;
}

enum sae_status harvest_origin_folder(const char *dir, const struct harvest_tap *tap,
                                      const struct harvest_origin_renewed *renewed,
                                      struct sae_err *err)
{
    if (!sae_fs_is_dir(dir))
        return SAE_OK;
    char **names = NULL, *path = NULL;
    size_t n = 0;
    enum sae_status st;
    SAE_TRY(sae_fs_list(&names, &n, dir, "", ".h5", err));
    bool store_seen = false; /* all shards are of one pass: the first speaks for them */
    st = SAE_OK;
    for (size_t i = 0; i < n; i++) {
        const bool shard = strncmp(names[i], "acts_", 5) == 0;
        if (is_renewed(renewed, names[i]) || (shard && store_seen))
            continue;
        if (strncmp(names[i], "words.truth_", 12) == 0) /* sae-absorb's, of the words.h5 here */
            continue;
        store_seen |= shard;
        free(path);
        path = NULL;
        SAE_GO(st, sae_fs_join(&path, dir, names[i], err));
        SAE_GO(st, check_site(path, tap, err));
    }
done:
    free(path);
    sae_fs_list_free(names, n);
    return st;
}
