/* SPDX-License-Identifier: MIT */
/* partial : see the header. */
#include "absorb/partial.h"

#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/stop.h"
#include "lib/file/cache.h"
#include "lib/file/json.h"

void absorb_partial_key(char key[SAE_DIGEST_HEX], const struct sae_ckpt *ckpt,
                     const struct sae_words *words, const struct absorb_settings *s)
{
    const uint64_t counts[] = {s->seed,        s->max_k,         s->truth_epochs,
                               s->truth_batch, s->sparse_epochs, s->sparse_batch};
    const double reals[] = {s->f1_jump, s->l1_decay};
    struct sae_digest digest;
    sae_digest_init(&digest);
    sae_digest_update(&digest, SAE_VERSION, strlen(SAE_VERSION));
    sae_digest_update(&digest, ckpt->id, strlen(ckpt->id));
    sae_digest_update(&digest, words->id, strlen(words->id));
    sae_digest_update(&digest, counts, sizeof counts);
    sae_digest_update(&digest, reals, sizeof reals);
    sae_digest_hex(&digest, key);
}

static json_t *reals_json(const double *v, size_t n)
{
    json_t *const list = json_array();
    for (size_t i = 0; list && i < n; i++)
        json_array_append_new(list, json_real(v[i]));
    return list;
}

static json_t *split_json(const struct absorb_split *s)
{
    return json_pack("{s:I, s:f, s:o, s:o}", "n", (json_int_t)s->n, "b", s->b, "w",
                     reals_json(s->w, s->n), "f1", reals_json(s->f1, s->n_tried));
}

enum sae_status absorb_partial_save(struct absorb_partial *partial, struct sae_err *err)
{
    json_t *const ranking = json_array(), *const splits = json_object();
    for (size_t c = 0; partial->ranked && c < ABSORB_LETTERS; c++) {
        const char name[2] = {(char)('a' + (int)c), 0};
        json_t *const row = json_array();
        for (size_t k = 0; k < partial->max_k; k++)
            json_array_append_new(row, json_integer(partial->ranking[c][k]));
        json_array_append_new(ranking, row);
        if (partial->done[c])
            json_object_set_new(splits, name, split_json(&partial->split[c]));
    }
    json_t *const whole =
        json_pack("{s:s, s:o, s:o}", "key", partial->key, "ranking", ranking, "splits", splits);
    const enum sae_status st = sae_cache_save(partial->path, whole, err);
    json_decref(whole);
    partial->saved = sae_stop_clock();
    return st;
}

static bool take_reals(double *to, size_t n, const json_t *list)
{
    if (json_array_size(list) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        to[i] = json_number_value(json_array_get(list, i));
    return true;
}

static bool take_split(struct absorb_split *ret, const json_t *from, const uint32_t *ranking,
                       size_t max_k)
{
    struct absorb_split split = {.n = (size_t)sae_json_u64(from, "n", SIZE_MAX),
                                 .n_tried = json_array_size(json_object_get(from, "f1")),
                                 .b = sae_json_real(from, "b", 0)};
    if (split.n > max_k || split.n_tried > max_k ||
        !take_reals(split.w, split.n, json_object_get(from, "w")) ||
        !take_reals(split.f1, split.n_tried, json_object_get(from, "f1")))
        return false;
    memcpy(split.latent, ranking, max_k * sizeof *ranking);
    *ret = split;
    return true;
}

static bool take_ranking(struct absorb_partial *partial, const json_t *ranking)
{
    if (json_array_size(ranking) != ABSORB_LETTERS)
        return false;
    for (size_t c = 0; c < ABSORB_LETTERS; c++) {
        const json_t *const row = json_array_get(ranking, c);
        if (json_array_size(row) != partial->max_k)
            return false;
        for (size_t k = 0; k < partial->max_k; k++)
            partial->ranking[c][k] = (uint32_t)json_integer_value(json_array_get(row, k));
    }
    return true;
}

enum sae_status absorb_partial_load(struct absorb_partial *partial, size_t *ret_n, struct sae_err *err)
{
    json_t *whole = NULL;
    struct sae_err why;
    *ret_n = 0;
    if (partial->path == NULL || !sae_fs_is_file(partial->path))
        return SAE_OK;
    const enum sae_status st = sae_json_load(&whole, partial->path, &why);
    if (st == SAE_ENOMEM)
        return sae_err_set(err, st, "%s", why.msg);
    /* a damaged file costs the work in it and nothing else */
    if (st == SAE_OK && strcmp(sae_json_str(whole, "key", ""), partial->key) == 0 &&
        take_ranking(partial, json_object_get(whole, "ranking"))) {
        partial->ranked = true;
        for (size_t c = 0; c < ABSORB_LETTERS; c++) {
            const char name[2] = {(char)('a' + (int)c), 0};
            const json_t *const from = json_object_get(json_object_get(whole, "splits"), name);
            partial->done[c] =
                from && take_split(&partial->split[c], from, partial->ranking[c], partial->max_k);
            *ret_n += partial->done[c];
        }
    }
    json_decref(whole);
    return SAE_OK;
}
