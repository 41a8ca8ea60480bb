/* SPDX-License-Identifier: MIT */
/* partial : the finished sets of a checkpoint that was interrupted. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/file/cache.h"
#include "lib/file/json.h"
#include "probe/probe.h"

static json_t *list_u64(const uint64_t *v, size_t n)
{
    json_t *const list = json_array();
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, json_integer((json_int_t)v[i]));
    return list;
}

/* What a finished set depends on besides the set itself. */
static json_t *partial_key(const struct sae_ckpt *ckpt, const struct probe_settings *s)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:b}", "version", SAE_VERSION, "checkpoint",
                     ckpt->id, "k", list_u64(s->k, s->n_k), "seeds", list_u64(s->seeds, s->n_seeds),
                     "train_size", (json_int_t)s->train_size, "test_size", (json_int_t)s->test_size,
                     "full", s->full);
}

static size_t n_values(const struct probe_scores *s)
{
    return s->n_probes * s->n_classes * s->n_seeds * PROBE_N_METRICS;
}

static json_t *scores_json(const struct probe_scores *s)
{
    json_t *const list = json_array();
    for (size_t i = 0; list && i < n_values(s); i++)
        json_array_append_new(list, sae_json_number(s->v[i]));
    return list;
}

enum sae_status probe_partial_save(const char *path, const struct sae_ckpt *ckpt,
                                const struct probe_set *sets, size_t n_sets,
                                const struct probe_settings *settings, struct sae_err *err)
{
    json_t *const done = json_array();
    for (size_t i = 0; i < n_sets; i++)
        if (sets[i].has_latents && sets[i].has_neurons)
            json_array_append_new(done, json_pack("{s:s, s:o, s:o}", "id", sets[i].id, "latents",
                                                  scores_json(&sets[i].latents), "neurons",
                                                  scores_json(&sets[i].neurons)));
    json_t *const partial = json_pack("{s:o, s:o}", "key", partial_key(ckpt, settings), "sets", done);
    const enum sae_status st = sae_cache_save(path, partial, err);
    json_decref(partial);
    return st;
}

static enum sae_status take_scores(struct probe_scores *ret, bool *ret_taken, const json_t *list,
                                   const struct probe_set *set,
                                   const struct probe_settings *settings, struct sae_err *err)
{
    struct probe_scores s;
    SAE_TRY(probe_scores_alloc(&s, settings->n_k + 1, set->n_classes, settings->n_seeds, err));
    *ret_taken = json_array_size(list) == n_values(&s);
    if (!*ret_taken) {
        probe_scores_clear(&s);
        return SAE_OK;
    }
    for (size_t i = 0; i < n_values(&s); i++) {
        const json_t *const v = json_array_get(list, i);
        if (json_is_number(v)) /* null stands for NaN, which alloc has filled in */
            s.v[i] = json_number_value(v);
    }
    probe_scores_clear(ret);
    *ret = s;
    return SAE_OK;
}

enum sae_status probe_partial_load(size_t *ret_n_taken, const char *path, const struct sae_ckpt *ckpt,
                                struct probe_set *sets, size_t n_sets,
                                const struct probe_settings *settings, struct sae_err *err)
{
    *ret_n_taken = 0;
    if (!sae_fs_is_file(path))
        return SAE_OK;
    json_t *partial = NULL, *key = partial_key(ckpt, settings);
    struct sae_err ignored;
    enum sae_status st = SAE_OK;
    /* a damaged file costs the work in it and nothing else */
    if (sae_json_load(&partial, path, &ignored) != SAE_OK || !key ||
        !json_equal(key, json_object_get(partial, "key")))
        goto done;
    size_t at;
    const json_t *entry;
    json_array_foreach(json_object_get(partial, "sets"), at, entry)
    {
        const char *const id = sae_json_str(entry, "id", "");
        for (size_t i = 0; i < n_sets; i++) {
            bool taken = false;
            if (strcmp(sets[i].id, id) != 0 || sets[i].has_latents)
                continue;
            SAE_GO(st, take_scores(&sets[i].latents, &taken, json_object_get(entry, "latents"),
                                   &sets[i], settings, err));
            sets[i].has_latents = taken;
            if (!sets[i].has_neurons) {
                SAE_GO(st, take_scores(&sets[i].neurons, &taken, json_object_get(entry, "neurons"),
                                       &sets[i], settings, err));
                sets[i].has_neurons = taken;
            }
            *ret_n_taken += sets[i].has_latents && sets[i].has_neurons;
        }
    }
done:
    json_decref(partial);
    json_decref(key);
    return st;
}
