/* SPDX-License-Identifier: MIT */
/* tap : model, tokenizer and scratch of one harvest. */
#include "harvest/tap.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"

enum sae_status harvest_tap_open(struct harvest_tap *ret, const char *folder, uint64_t layer,
                                 struct sae_err *err)
{
    struct harvest_tap tap = {0};
    enum sae_status st;
    SAE_GO(st, sae_mem_strdup(&tap.folder, folder, err));
    SAE_GO(st, sae_lm_open(&tap.model, folder, err));
    tap.config = sae_lm_config(tap.model);
    if (layer >= tap.config->L) {
        st = sae_err_set(err, SAE_EARG, "--layer %" PRIu64 ": '%s' has layers 0 to %zu", layer,
                         folder, tap.config->L - 1);
        goto done;
    }
    tap.layer = (size_t)layer;
    tap.d = tap.config->D;
    SAE_GO(st, sae_lm_id(tap.model, tap.model_id, err));
    SAE_GO(st, sae_tok_open(&tap.tok, folder, tap.config, err));
    sae_lm_set_specials(tap.model, tap.tok);
    SAE_GO(st, sae_digest_file(sae_tok_path(tap.tok), tap.tokenizer, err));
    *ret = tap;
    return SAE_OK;
done:
    harvest_tap_close(&tap);
    return st;
}

void harvest_tap_close(struct harvest_tap *tap)
{
    if (tap->run != NULL)
        sae_lm_run_close(tap->run);
    if (tap->tok != NULL)
        sae_tok_close(tap->tok);
    if (tap->model != NULL)
        sae_lm_close(tap->model);
    free(tap->x);
    free(tap->folder);
    *tap = (struct harvest_tap){0};
}

enum sae_status harvest_tap_reserve(struct harvest_tap *tap, size_t n_max, size_t T_max,
                                    struct sae_err *err)
{
    if (T_max > tap->config->max_context)
        return sae_err_set(err, SAE_EARG,
                           "contexts of %zu tokens: '%s' takes at most %zu; "
                           "see --context",
                           T_max, tap->folder, tap->config->max_context);
    if (tap->run != NULL && tap->n_max == n_max && tap->T_max == T_max)
        return SAE_OK;
    if (tap->run != NULL)
        sae_lm_run_close(tap->run);
    tap->run = NULL;
    free(tap->x);
    tap->x = NULL;
    SAE_TRY(sae_lm_run_open(&tap->run, tap->model, n_max, T_max, err));
    sae_lm_run_may_stop(tap->run); /* what is not written yet is harvested again */
    tap->n_max = n_max;
    tap->T_max = T_max;
    return sae_mem_alloc(&tap->x, n_max * tap->d, sizeof *tap->x, err);
}

static bool row_is_finite(const float *x, size_t d)
{
    bool finite = true;
    for (size_t j = 0; j < d; j++)
        finite &= isfinite(x[j]) != 0;
    return finite;
}

enum sae_status harvest_tap_rows(struct harvest_tap *tap, const uint32_t *ids, size_t B, size_t T,
                                 struct sae_err *err)
{
    SAE_TRY(sae_lm_tap(tap->run, ids, B, T, sae_resid_post(tap->layer), tap->x, err));
    for (size_t i = 0; i < B * T; i++)
        if (!row_is_finite(tap->x + i * tap->d, tap->d))
            return sae_err_set(err, SAE_EFORMAT,
                               "layer %zu of '%s' gives NaN or infinity (token "
                               "%" PRIu32 " at position %zu); the weights may be damaged",
                               tap->layer, tap->folder, ids[i], i % T);
    return SAE_OK;
}

enum sae_status harvest_tap_check_lock(const struct harvest_tap *tap, struct sae_err *err)
{
    return tap->lock != NULL ? sae_lock_check(tap->lock, err) : SAE_OK;
}
