/* SPDX-License-Identifier: MIT */
/* last_partial : the finished sets of a checkpoint that was interrupted. */
#include <math.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/file/cache.h"
#include "lib/file/json.h"
#include "probe/last.h"

/* What a finished set depends on besides the set itself. */
static json_t *key_of(const struct sae_ckpt *ckpt, const struct probe_last_settings *s)
{
    json_t *const k = json_array();
    for (size_t i = 0; i < s->n_k; i++)
        json_array_append_new(k, json_integer((json_int_t)s->k[i]));
    return json_pack("{s:s, s:s, s:s, s:o, s:I, s:b}", "version", SAE_VERSION, "protocol",
                     "sae-probes", "checkpoint", ckpt->id, "k", k, "seed", (json_int_t)s->seed,
                     "full", s->full);
}

static json_t *score_json(const struct probe_last_score *s)
{
    return json_pack("[o, o, o, o, o]", sae_json_number(s->v[0]), sae_json_number(s->v[1]),
                     sae_json_number(s->v[2]), sae_json_number(s->C),
                     sae_json_number(s->tail_auc));
}

static bool read_score(struct probe_last_score *to, const json_t *list)
{
    double *const at[] = {&to->v[0], &to->v[1], &to->v[2], &to->C, &to->tail_auc};
    if (json_array_size(list) != 5)
        return false;
    for (size_t i = 0; i < 5; i++) {
        const json_t *const v = json_array_get(list, i);
        *at[i] = json_is_number(v) ? json_number_value(v) : NAN;
    }
    return true;
}

enum sae_status probe_last_partial_save(const char *path, const struct sae_ckpt *ckpt,
                                        const struct probe_last_set *sets, size_t n_sets,
                                        const struct probe_last_settings *settings,
                                        struct sae_err *err)
{
    json_t *const done = json_array();
    for (size_t i = 0; i < n_sets; i++) {
        if (!sets[i].has_latents || !sets[i].has_neurons)
            continue;
        json_t *const latents = json_array(), *const selected = json_array();
        for (size_t p = 0; p < settings->n_k; p++)
            json_array_append_new(latents, score_json(&sets[i].latents[p]));
        for (size_t j = 0; j < settings->k[settings->n_k - 1]; j++)
            json_array_append_new(selected, json_integer(sets[i].selected[j]));
        json_array_append_new(done, json_pack("{s:s, s:o, s:o, s:o}", "id", sets[i].id, "latents",
                                              latents, "selected", selected, "neurons",
                                              score_json(&sets[i].neurons)));
    }
    json_t *const partial = json_pack("{s:o, s:o}", "key", key_of(ckpt, settings), "sets", done);
    const enum sae_status st = sae_cache_save(path, partial, err);
    json_decref(partial);
    return st;
}

static bool take(struct probe_last_set *set, const json_t *entry,
                 const struct probe_last_settings *s)
{
    const json_t *const latents = json_object_get(entry, "latents");
    const json_t *const selected = json_object_get(entry, "selected");
    bool good = json_array_size(latents) == s->n_k &&
                json_array_size(selected) == s->k[s->n_k - 1] &&
                read_score(&set->neurons, json_object_get(entry, "neurons"));
    for (size_t p = 0; good && p < s->n_k; p++)
        good = read_score(&set->latents[p], json_array_get(latents, p));
    for (size_t j = 0; good && j < json_array_size(selected); j++)
        set->selected[j] = (uint32_t)json_integer_value(json_array_get(selected, j));
    set->has_latents = set->has_neurons = good;
    return good;
}

void probe_last_partial_load(size_t *ret_n_taken, const char *path, const struct sae_ckpt *ckpt,
                             struct probe_last_set *sets, size_t n_sets,
                             const struct probe_last_settings *settings)
{
    json_t *partial = NULL, *key = key_of(ckpt, settings);
    struct sae_err ignored;
    *ret_n_taken = 0;
    /* a damaged file costs the work in it and nothing else */
    if (sae_fs_is_file(path) && sae_json_load(&partial, path, &ignored) == SAE_OK && key &&
        json_equal(key, json_object_get(partial, "key"))) {
        size_t at;
        const json_t *entry;
        json_array_foreach(json_object_get(partial, "sets"), at, entry)
        {
            for (size_t i = 0; i < n_sets; i++)
                if (!sets[i].has_latents && strcmp(sets[i].id, sae_json_str(entry, "id", "")) == 0)
                    *ret_n_taken += take(&sets[i], entry, settings);
        }
    }
    json_decref(partial);
    json_decref(key);
}
