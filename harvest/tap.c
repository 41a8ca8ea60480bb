/* SPDX-License-Identifier: MIT */
/* tap : model, tokenizer and scratch of one harvest. */
#include "harvest/tap.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"

/* What the hook is of an open model. */
static enum sae_status set_hook(struct harvest_tap *tap, struct sae_hook hook, struct sae_err *err)
{
    tap->hook = hook;
    tap->d = sae_lm_width(tap->config, hook.point);
    return sae_lm_check_hook(tap->model, hook, err);
}

enum sae_status harvest_tap_open(struct harvest_tap *ret, const char *folder, struct sae_hook hook,
                                 struct sae_err *err)
{
    struct harvest_tap tap = {0};
    enum sae_status st;
    SAE_GO(st, sae_mem_strdup(&tap.folder, folder, err));
    SAE_GO(st, sae_lm_open(&tap.model, folder, err));
    tap.config = sae_lm_config(tap.model);
    SAE_GO(st, set_hook(&tap, hook, err));
    SAE_GO(st, sae_lm_id(tap.model, tap.model_id, err));
    SAE_GO(st, sae_tok_open(&tap.tok, folder, tap.config, err));
    sae_lm_set_specials(tap.model, tap.tok);
    SAE_GO(st, sae_lm_digest(tap.model, sae_tok_path(tap.tok), tap.tokenizer, err));
    *ret = tap;
    return SAE_OK;
done:
    harvest_tap_close(&tap);
    return st;
}

enum sae_status harvest_tap_share(struct harvest_tap *ret, const struct harvest_tap *first,
                                  struct sae_hook hook, struct sae_err *err)
{
    struct harvest_tap tap = *first;
    tap.shares = true;
    tap.run = NULL;
    tap.x = tap.last = NULL;
    tap.n_max = tap.T_max = 0;
    tap.lock = NULL;
    SAE_TRY(set_hook(&tap, hook, err));
    *ret = tap;
    return SAE_OK;
}

static void free_scratch(struct harvest_tap *tap)
{
    if (tap->run != NULL)
        sae_lm_run_close(tap->run);
    free(tap->x);
    free(tap->last);
    tap->run = NULL;
    tap->x = tap->last = NULL;
    tap->n_max = tap->T_max = 0;
}

void harvest_tap_close(struct harvest_tap *tap)
{
    free_scratch(tap);
    if (!tap->shares) {
        if (tap->tok != NULL)
            sae_tok_close(tap->tok);
        if (tap->model != NULL)
            sae_lm_close(tap->model);
        free(tap->folder);
    }
    *tap = (struct harvest_tap){0};
}

enum sae_status harvest_tap_reserve_all(struct harvest_tap *const *taps, size_t n, size_t n_max,
                                        size_t T_max, struct sae_err *err)
{
    struct harvest_tap *const first = taps[0];
    if (T_max > first->config->max_context)
        return sae_err_set(err, SAE_EARG,
                           "contexts of %zu tokens: '%s' takes at most %zu; "
                           "see --context",
                           T_max, first->folder, first->config->max_context);
    for (size_t i = 0; i < n; i++) {
        struct harvest_tap *const tap = taps[i];
        const bool runs = (tap->run != NULL) == (i == 0);
        if (runs && tap->n_max == n_max && tap->T_max == T_max)
            continue;
        free_scratch(tap);
        if (i == 0)
            SAE_TRY(sae_lm_run_open(&tap->run, tap->model, n_max, T_max, err));
        if (i == 0)
            sae_lm_run_may_stop(tap->run); /* what is not written yet is harvested again */
        SAE_TRY(sae_mem_alloc(&tap->x, n_max * tap->d, sizeof *tap->x, err));
        tap->n_max = n_max;
        tap->T_max = T_max;
    }
    return SAE_OK;
}

static bool row_is_finite(const float *x, size_t d)
{
    bool finite = true;
    for (size_t j = 0; j < d; j++)
        finite &= isfinite(x[j]) != 0;
    return finite;
}

static enum sae_status check_rows(const struct harvest_tap *tap, const uint32_t *ids, size_t B,
                                  size_t T, struct sae_err *err)
{
    char name[SAE_HOOK_NAME];
    for (size_t i = 0; i < B * T; i++)
        if (!row_is_finite(tap->x + i * tap->d, tap->d))
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s' of '%s' gives NaN or infinity (token "
                               "%" PRIu32 " at position %zu); the weights may be damaged",
                               sae_hook_name(name, tap->hook), tap->folder, ids[i], i % T);
    return SAE_OK;
}

/* last: where the stream after the last layer goes, too; or NULL. */
static enum sae_status run_all(struct sae_lm_run *run, struct harvest_tap *const *taps, size_t n,
                               const uint32_t *ids, size_t B, size_t T, float *last,
                               struct sae_err *err)
{
    struct sae_hook *hooks = NULL;
    float **x = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&hooks, n + 1, sizeof *hooks, err));
    SAE_GO(st, sae_mem_alloc(&x, n + 1, sizeof *x, err));
    for (size_t i = 0; i < n; i++) {
        hooks[i] = taps[i]->hook;
        x[i] = taps[i]->x;
    }
    hooks[n] = sae_resid_post(taps[0]->config->L - 1);
    x[n] = last;
    SAE_GO(st, sae_lm_tap_all(run, ids, B, T, hooks, n + (last != NULL), x, err));
    for (size_t i = 0; i < n; i++)
        SAE_GO(st, check_rows(taps[i], ids, B, T, err));
done:
    free(hooks);
    free(x);
    return st;
}

enum sae_status harvest_tap_rows_all(struct sae_lm_run *run, struct harvest_tap *const *taps,
                                     size_t n, const uint32_t *ids, size_t B, size_t T,
                                     struct sae_err *err)
{
    return run_all(run, taps, n, ids, B, T, NULL, err);
}

enum sae_status harvest_tap_pass_all(struct harvest_tap *const *taps, size_t n, const uint32_t *ids,
                                     size_t B, size_t T, struct sae_err *err)
{
    struct harvest_tap *const first = taps[0];
    const size_t D = first->config->D;
    if (first->last == NULL)
        SAE_TRY(sae_mem_alloc(&first->last, first->n_max * D, sizeof *first->last, err));
    SAE_TRY(run_all(first->run, taps, n, ids, B, T, first->last, err));
    return sae_lm_resume(first->run, first->last, NULL, B, T, sae_resid_post(first->config->L - 1),
                         err);
}

enum sae_status harvest_tap_check_lock(const struct harvest_tap *tap, struct sae_err *err)
{
    return tap->lock != NULL ? sae_lock_check(tap->lock, err) : SAE_OK;
}
