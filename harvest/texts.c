/* SPDX-License-Identifier: MIT */
/* texts : the padding is on the right, where the causal model cannot see it from the tokens that are
 * kept. */
#include "harvest/texts.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"

static enum sae_status stopped(const struct harvest_texts *t, struct sae_err *err)
{
    return sae_err_set(err, SAE_EINTR, "stopped; sets that were finished are kept in '%s'", t->dir);
}

/* --- tokens ------------------------------------------------------------------------------- */

/* The text's tokens, at most context - 1 of them. */
static enum sae_status encode(struct harvest_texts *t, const struct harvest_text *text,
                              uint32_t **ret, size_t *ret_n, struct sae_err *err)
{
    const size_t most = t->context - 1;
    bool all = true;
    if (!t->keep_end) {
        SAE_TRY(sae_tok_encode_first(t->taps[0]->tok, text->text, text->len, most, ret, ret_n, &all,
                                     err));
    } else {
        SAE_TRY(sae_tok_encode(t->taps[0]->tok, text->text, text->len, ret, ret_n, err));
        all = *ret_n <= most;
        if (!all)
            memmove(*ret, *ret + (*ret_n - most), most * sizeof **ret);
        *ret_n = all ? *ret_n : most;
    }
    t->n_truncated += !all;
    return SAE_OK;
}

static enum sae_status tokenize(struct harvest_texts *t, size_t i, const struct harvest_text *text,
                                struct sae_err *err)
{
    uint32_t *ids = NULL;
    size_t n = 0, kept = 0;
    SAE_TRY(encode(t, text, &ids, &n, err));
    const enum sae_status st = sae_mem_alloc(&t->ids[i], n + 1, sizeof **t->ids, err);
    if (st == SAE_OK) {
        t->ids[i][0] = t->taps[0]->config->bos;
        memcpy(t->ids[i] + 1, ids, n * sizeof *ids);
        t->n_ids[i] = n + 1;
    }
    for (size_t j = 0; j < n; j++)
        kept += !harvest_tap_is_special(t->taps[0], ids[j]);
    free(ids);
    SAE_TRY(st);
    return kept > 0 ? SAE_OK
                    : sae_err_set(err, SAE_EFORMAT,
                                  "%s: a text of class '%s' has no tokens: '%.60s'", t->name,
                                  text->label, text->text);
}

/* Insertion by counting: stable, so that the order depends on lengths and places alone. */
static enum sae_status sort_by_length(struct harvest_texts *t, struct sae_err *err)
{
    size_t *first = NULL;
    SAE_TRY(sae_mem_alloc(&first, t->context + 2, sizeof *first, err));
    for (size_t i = 0; i < t->n; i++)
        first[t->n_ids[i] + 1]++;
    for (size_t l = 1; l < t->context + 2; l++)
        first[l] += first[l - 1];
    for (size_t i = 0; i < t->n; i++)
        t->order[first[t->n_ids[i]]++] = (uint32_t)i;
    free(first);
    return SAE_OK;
}

enum sae_status harvest_texts_read(struct harvest_texts *t, const struct harvest_text *v, size_t n,
                                   struct sae_err *err)
{
    t->n = n;
    SAE_TRY(sae_mem_alloc(&t->ids, n, sizeof *t->ids, err));
    SAE_TRY(sae_mem_alloc(&t->n_ids, n, sizeof *t->n_ids, err));
    SAE_TRY(sae_mem_alloc(&t->order, n, sizeof *t->order, err));
    for (size_t i = 0; i < n; i++) {
        if (sae_stop_asked())
            return stopped(t, err);
        SAE_TRY(tokenize(t, i, &v[i], err));
    }
    return sort_by_length(t, err);
}

void harvest_texts_clear(struct harvest_texts *t)
{
    for (size_t i = 0; t->ids != NULL && i < t->n; i++)
        free(t->ids[i]);
    free(t->ids);
    free(t->n_ids);
    free(t->order);
    free(t->tokens);
    *t = (struct harvest_texts){0};
}

/* --- batches ------------------------------------------------------------------------------ */

/* Texts order[first ...) that fit into one pass; the last is the longest. */
static size_t batch_size(const struct harvest_texts *t, size_t first)
{
    const size_t capacity = t->batch * t->context;
    size_t n = 1;
    while (first + n < t->n && (n + 1) * t->n_ids[t->order[first + n]] <= capacity)
        n++;
    return n;
}

static enum sae_status run_batch(const struct harvest_texts *t, size_t first, size_t n,
                                 void (*store)(void *to, size_t tap, size_t t, const float *x), void *to,
                                 struct sae_err *err)
{
    const size_t T = t->n_ids[t->order[first + n - 1]];
    for (size_t b = 0; b < n; b++) {
        const size_t i = t->order[first + b];
        for (size_t j = 0; j < T; j++)
            t->tokens[b * T + j] = j < t->n_ids[i] ? t->ids[i][j] : t->taps[0]->config->pad;
    }
    const enum sae_status st = harvest_tap_rows_all(t->taps[0]->run, t->taps, t->n_taps, t->tokens, n, T, err);
    if (st == SAE_EINTR)
        return stopped(t, err);
    SAE_TRY(st);
    for (size_t k = 0; k < t->n_taps; k++)
        for (size_t b = 0; b < n; b++)
            store(to, k, t->order[first + b], t->taps[k]->x + b * T * t->taps[k]->d);
    return SAE_OK;
}

enum sae_status harvest_texts_run(struct harvest_texts *t,
                                  void (*store)(void *to, size_t tap, size_t t, const float *x), void *to,
                                  struct sae_err *err)
{
    struct sae_progress bar;
    SAE_TRY(harvest_tap_reserve_all(t->taps, t->n_taps, t->batch * t->context, t->context, err));
    SAE_TRY(sae_mem_alloc(&t->tokens, t->batch * t->context, sizeof *t->tokens, err));
    sae_progress_begin(&bar, t->name, "texts", 0, t->n);
    for (size_t at = 0; at < t->n;) {
        if (sae_stop_asked())
            return stopped(t, err);
        const size_t n = batch_size(t, at);
        SAE_TRY(run_batch(t, at, n, store, to, err));
        at += n;
        sae_progress_step(&bar, at, NULL);
    }
    sae_progress_end(&bar);
    return SAE_OK;
}
