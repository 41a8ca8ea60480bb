/* SPDX-License-Identifier: MIT */
/* kept : see the header.
 *
 * Contents:  1. the ground-truth probe   2. parts */
#include "absorb/kept.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/base/str.h"
#include "lib/file/cache.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"

/* --- 1. the ground-truth probe ------------------------------------------------------------ */

static const char kind[] = "truth";

enum sae_status absorb_kept_path(char **ret, const char *words_path, const struct sae_words *words,
                                 const struct absorb_settings *s, struct sae_err *err)
{
    const uint64_t how[] = {s->seed, s->truth_epochs, s->truth_batch};
    const size_t len = strlen(words_path);
    const int stem = (int)(len > 3 && strcmp(words_path + len - 3, ".h5") == 0 ? len - 3 : len);
    char hex[SAE_DIGEST_HEX];
    struct sae_digest digest;
    struct sae_str path = {0};
    sae_digest_init(&digest);
    sae_digest_update(&digest, SAE_VERSION, strlen(SAE_VERSION));
    sae_digest_update(&digest, words->id, strlen(words->id));
    sae_digest_update(&digest, how, sizeof how);
    sae_digest_hex(&digest, hex);
    SAE_TRY(sae_str_printf(&path, err, "%.*s.truth_%.8s.h5", stem, words_path, hex));
    *ret = path.s;
    return SAE_OK;
}

static enum sae_status read_truth(struct absorb_probe *ret, const char *path, size_t d,
                                  struct sae_err *err)
{
    struct sae_h5 *h5 = NULL;
    struct absorb_probe probe = {.width = d};
    float *b = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_h5_open(&h5, path, kind, err));
    SAE_GO(st, sae_h5_get(h5, "/w", SAE_H5_F32, 2, (size_t[]){ABSORB_LETTERS, d}, NULL, &probe.w,
                          err));
    SAE_GO(st, sae_h5_get(h5, "/b", SAE_H5_F32, 1, (size_t[]){ABSORB_LETTERS}, NULL, &b, err));
    memcpy(probe.b, b, sizeof probe.b);
    *ret = probe;
    probe.w = NULL;
done:
    absorb_probe_clear(&probe);
    free(b);
    sae_h5_close(h5);
    return st;
}

enum sae_status absorb_kept_load(struct absorb_probe *ret, bool *ret_found, const char *path,
                                 const struct sae_words *words, struct sae_err *err)
{
    struct sae_err why;
    *ret_found = false;
    if (!sae_fs_is_file(path))
        return SAE_OK;
    const enum sae_status st = read_truth(ret, path, words->d, &why);
    if (st == SAE_ENOMEM)
        return sae_err_set(err, st, "%s", why.msg);
    *ret_found = st == SAE_OK;
    if (st != SAE_OK)
        sae_log_warn("%s; training the ground-truth probe again", why.msg);
    return SAE_OK;
}

enum sae_status absorb_kept_save(const char *path, const struct absorb_probe *probe,
                                 struct sae_err *err)
{
    struct sae_h5 *h5 = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_h5_create(&h5, path, kind, true, err));
    SAE_GO(st, sae_h5_put2(h5, "/w", SAE_H5_F32, ABSORB_LETTERS, probe->width, probe->w, err));
    SAE_GO(st, sae_h5_put1(h5, "/b", SAE_H5_F32, ABSORB_LETTERS, probe->b, err));
    st = sae_h5_commit(&h5, "{}", err);
done:
    sae_h5_close(h5);
    return st;
}

/* --- 2. parts ----------------------------------------------------------------------------- */

void absorb_part_key(char key[SAE_DIGEST_HEX], const struct sae_ckpt *ckpt,
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

enum sae_status absorb_part_save(struct absorb_part *part, struct sae_err *err)
{
    json_t *const ranking = json_array(), *const splits = json_object();
    for (size_t c = 0; part->ranked && c < ABSORB_LETTERS; c++) {
        const char name[2] = {(char)('a' + (int)c), 0};
        json_t *const row = json_array();
        for (size_t k = 0; k < part->max_k; k++)
            json_array_append_new(row, json_integer(part->ranking[c][k]));
        json_array_append_new(ranking, row);
        if (part->done[c])
            json_object_set_new(splits, name, split_json(&part->split[c]));
    }
    json_t *const whole =
        json_pack("{s:s, s:o, s:o}", "key", part->key, "ranking", ranking, "splits", splits);
    if (!whole)
        return sae_err_set(err, SAE_ENOMEM, "out of memory writing '%s'", part->path);
    struct sae_err why;
    const enum sae_status st = sae_cache_wrote(sae_json_save(part->path, whole, &why), &why, err);
    json_decref(whole);
    part->saved = sae_stop_clock();
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

static bool take_ranking(struct absorb_part *part, const json_t *ranking)
{
    if (json_array_size(ranking) != ABSORB_LETTERS)
        return false;
    for (size_t c = 0; c < ABSORB_LETTERS; c++) {
        const json_t *const row = json_array_get(ranking, c);
        if (json_array_size(row) != part->max_k)
            return false;
        for (size_t k = 0; k < part->max_k; k++)
            part->ranking[c][k] = (uint32_t)json_integer_value(json_array_get(row, k));
    }
    return true;
}

enum sae_status absorb_part_load(struct absorb_part *part, size_t *ret_n, struct sae_err *err)
{
    json_t *whole = NULL;
    struct sae_err why;
    *ret_n = 0;
    if (part->path == NULL || !sae_fs_is_file(part->path))
        return SAE_OK;
    const enum sae_status st = sae_json_load(&whole, part->path, &why);
    if (st == SAE_ENOMEM)
        return sae_err_set(err, st, "%s", why.msg);
    /* a damaged part costs the work in it and nothing else */
    if (st == SAE_OK && strcmp(sae_json_str(whole, "key", ""), part->key) == 0 &&
        take_ranking(part, json_object_get(whole, "ranking"))) {
        part->ranked = true;
        for (size_t c = 0; c < ABSORB_LETTERS; c++) {
            const char name[2] = {(char)('a' + (int)c), 0};
            const json_t *const from = json_object_get(json_object_get(whole, "splits"), name);
            part->done[c] =
                from && take_split(&part->split[c], from, part->ranking[c], part->max_k);
            *ret_n += part->done[c];
        }
    }
    json_decref(whole);
    return SAE_OK;
}
