/* SPDX-License-Identifier: MIT */
/* partial : the finished latents of a checkpoint, in a file of their own or in its result. */
#include <stdio.h>
#include <string.h>

#include "autointerp/autointerp.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/file/json.h"

enum sae_status autointerp_partial_save(const char *path, const struct autointerp_job *job,
                                        struct sae_err *err)
{
    json_t *const partial =
        json_pack("{s:o, s:s, s:o}", "eval_config", autointerp_config(job), "checkpoint",
                  job->ckpt->id, "eval_result_unstructured", autointerp_latents(job));
    if (!partial)
        return sae_err_set(err, SAE_ENOMEM, "out of memory writing '%s'", path);
    const enum sae_status st = sae_json_save(path, partial, err);
    json_decref(partial);
    return st;
}

/* Takes one finished latent over where it faced the same excerpts. */
static enum sae_status take_latent(struct autointerp_answer *o, const struct autointerp_pick *pick,
                                   const json_t *entry, struct sae_err *err)
{
    const char *const explanation = sae_json_str(entry, "explanation", NULL);
    const json_t *const named = json_object_get(entry, "predictions");
    json_t *const truth = autointerp_sequences(pick, NULL);
    const bool same = json_equal(truth, json_object_get(entry, "correct seqs"));
    bool said[AUTOINTERP_SCORE] = {false};
    size_t i;
    const json_t *number;
    json_decref(truth);
    if (explanation == NULL || !json_is_array(named) || !same)
        return SAE_OK;
    json_array_foreach(named, i, number)
    {
        const json_int_t n = json_integer_value(number);
        if (n < 1 || n > AUTOINTERP_SCORE)
            return SAE_OK;
        said[n - 1] = true;
    }
    SAE_TRY(sae_mem_strdup(&o->explanation, explanation, err));
    SAE_TRY(sae_mem_strdup(&o->log, sae_json_str(entry, "logs", ""), err));
    memcpy(o->said, said, sizeof said);
    o->mark = autointerp_mark_of(said, pick);
    o->done = true;
    return SAE_OK;
}

enum sae_status autointerp_partial_load(size_t *ret_n_taken, const char *path,
                                        struct autointerp_job *job, struct sae_err *err)
{
    *ret_n_taken = 0;
    if (!sae_fs_is_file(path))
        return SAE_OK;
    json_t *file = NULL, *config = autointerp_config(job);
    struct sae_err ignored;
    enum sae_status st = SAE_OK;
    /* a damaged file costs the work in it and nothing else */
    if (sae_json_load(&file, path, &ignored) != SAE_OK || config == NULL ||
        !json_equal(config, json_object_get(file, "eval_config")))
        goto done;
    const char *const id =
        sae_json_str(file, "checkpoint", sae_json_str(file, "saekit.checkpoint.id", ""));
    if (strcmp(id, job->ckpt->id) != 0)
        goto done;
    const json_t *const latents = json_object_get(file, "eval_result_unstructured");
    for (size_t i = 0; i < job->n; i++) {
        char key[16];
        snprintf(key, sizeof key, "%u", job->picks[i].latent);
        if (job->answers[i].done || json_object_get(latents, key) == NULL)
            continue;
        SAE_GO(st,
               take_latent(&job->answers[i], &job->picks[i], json_object_get(latents, key), err));
        *ret_n_taken += job->answers[i].done;
    }
done:
    json_decref(file);
    json_decref(config);
    return st;
}
