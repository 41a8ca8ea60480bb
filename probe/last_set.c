/* SPDX-License-Identifier: MIT */
/* last_set : one set of last-token activations under one checkpoint. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/eval/codes.h"
#include "probe/last.h"

enum sae_status probe_last_set_open(struct probe_last_set *ret, const char *path,
                                    const struct probe_last_settings *settings,
                                    struct sae_err *err)
{
    struct sae_lasts lasts = {0};
    struct probe_last_draw draw = {0};
    struct probe_last_set set = {0};
    ret->is_unfit = false;
    SAE_TRY(sae_lasts_load(&lasts, path, err));
    enum sae_status st;
    st = probe_last_draw(&draw, lasts.label, lasts.n, settings->seed, lasts.name, err);
    ret->is_unfit = st == SAE_EFORMAT;
    if (st != SAE_OK)
        goto done;
    SAE_GO(st, sae_mem_strdup(&set.path, path, err));
    SAE_GO(st, sae_mem_strdup(&set.name, lasts.name, err));
    SAE_GO(st, sae_mem_alloc(&set.latents, settings->n_k, sizeof *set.latents, err));
    SAE_GO(st, sae_mem_alloc(&set.selected, (size_t)settings->k[settings->n_k - 1],
                             sizeof *set.selected, err));
    memcpy(set.id, lasts.id, sizeof set.id);
    set.record = json_incref(lasts.record);
    set.n_texts = lasts.n;
    set.d = lasts.d;
    set.n_train = draw.n_train;
    set.n_test = draw.n_test;
    *ret = set;
    set = (struct probe_last_set){0};
done:
    probe_last_set_clear(&set);
    probe_last_draw_clear(&draw);
    sae_lasts_clear(&lasts);
    return st;
}

void probe_last_set_clear(struct probe_last_set *set)
{
    free(set->path);
    free(set->name);
    json_decref(set->record);
    free(set->latents);
    free(set->selected);
    *set = (struct probe_last_set){0};
}

/* The rows of the draw, in its order. */
static enum sae_status gather(float **ret, const struct sae_lasts *lasts,
                              const struct probe_last_draw *draw, struct sae_err *err)
{
    const size_t n = draw->n_train + draw->n_test, d = lasts->d;
    float *x = NULL;
    SAE_TRY(sae_mem_alloc(&x, n * d, sizeof *x, err));
    for (size_t i = 0; i < n; i++)
        memcpy(x + i * d, lasts->x + draw->rows[i] * d, d * sizeof *x);
    *ret = x;
    return SAE_OK;
}

static enum sae_status run_latents(struct probe_last_set *set, const float *x,
                                   const struct probe_last_draw *draw, const struct sae_ckpt *ckpt,
                                   const struct sae_ops *ops,
                                   const struct probe_last_settings *settings, struct sae_err *err)
{
    const size_t n = draw->n_train + draw->n_test, m = ckpt->model.m;
    const size_t k = (size_t)settings->k[settings->n_k - 1];
    struct sae_coder *coder = NULL;
    struct sae_csr codes = {0};
    uint32_t *all = NULL;
    float *columns = NULL;
    enum sae_status st;
    if (k > m)
        return sae_err_set(err, SAE_EARG,
                           "k = %zu, but the autoencoder has %zu features; use smaller k", k, m);
    SAE_GO(st, sae_coder_open(&coder, &ckpt->model, ops, settings->batch, err));
    SAE_GO(st, sae_codes_init(&codes, n, err));
    SAE_GO(st, sae_mem_alloc(&all, n, sizeof *all, err));
    SAE_GO(st, sae_mem_alloc(&columns, n * k, sizeof *columns, err));
    SAE_GO(st, sae_codes_encode(&codes, coder, x, NULL, n, set->d, settings->batch, err));
    SAE_GO(st, probe_last_rank(set->selected, k, &codes, m, draw->label, draw->n_train, err));
    for (size_t i = 0; i < n; i++)
        all[i] = (uint32_t)i;
    SAE_GO(st, sae_codes_columns(&codes, m, all, n, set->selected, k, columns, err));
    st = probe_last_sparse(set->latents, columns, draw, settings->k, settings->n_k, settings->seed,
                           err);
done:
    free(all);
    free(columns);
    sae_codes_clear(&codes);
    sae_coder_close(coder);
    return st;
}

enum sae_status probe_last_set_run(struct probe_last_set *set, const struct sae_ckpt *ckpt,
                                   const struct sae_ops *ops,
                                   const struct probe_last_settings *settings, struct sae_err *err)
{
    struct sae_lasts lasts = {0};
    struct probe_last_draw draw = {0};
    float *x = NULL;
    SAE_TRY(sae_lasts_load(&lasts, set->path, err));
    enum sae_status st;
    SAE_GO(st, probe_last_draw(&draw, lasts.label, lasts.n, settings->seed, lasts.name, err));
    SAE_GO(st, gather(&x, &lasts, &draw, err));
    if (!set->has_latents) {
        SAE_GO(st, run_latents(set, x, &draw, ckpt, ops, settings, err));
        set->has_latents = true;
    }
    if (sae_stop_asked()) {
        st = sae_err_set(err, SAE_EINTR, "stopped while probing '%s'", set->name);
        goto done;
    }
    if (settings->full && !set->has_neurons)
        SAE_GO(st, probe_last_dense(&set->neurons, x, set->d, &draw, err));
    set->has_neurons = true;
done:
    free(x);
    probe_last_draw_clear(&draw);
    sae_lasts_clear(&lasts);
    return st;
}
