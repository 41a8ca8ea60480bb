/* SPDX-License-Identifier: MIT */
/* corpus : contexts out of a store's rows, and where latents fire in them. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "autointerp/autointerp.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"

void autointerp_corpus_clear(struct autointerp_corpus *corpus)
{
    free(corpus->token);
    free(corpus->at);
    *corpus = (struct autointerp_corpus){0};
}

/* Rows lie in the order of the text, so a position that does not grow begins a context. */
static enum sae_status place_rows(struct autointerp_corpus *corpus, const uint16_t *position,
                                  size_t n, const char *store, struct sae_err *err)
{
    size_t context = 0, whole = 0; /* rows before the context being filled */
    for (size_t r = 0; r < n; r++) {
        if (position[r] == 0 || position[r] >= corpus->T)
            return sae_err_set(err, SAE_EFORMAT,
                               "row %zu of '%s' stands at position %u of a context of %zu; "
                               "harvest it again",
                               r, store, position[r], corpus->T);
        if (r > 0 && position[r] <= position[r - 1]) {
            context++;
            whole = r;
        }
        if (context >= UINT32_MAX / corpus->T)
            return sae_err_set(err, SAE_ERANGE, "more than 2^32 tokens of '%s'; give --tokens",
                               store);
        corpus->at[r] = (uint32_t)(context * corpus->T + position[r]);
    }
    /* The last context counts where its last token is there: a store may end inside one. */
    const bool complete = n > 0 && position[n - 1] == corpus->T - 1;
    corpus->n_contexts = context + complete;
    corpus->n_rows = complete ? n : whole;
    return SAE_OK;
}

static enum sae_status fill(struct autointerp_corpus *corpus, struct sae_acts *acts, size_t n,
                            uint32_t bos, uint32_t separator, struct sae_err *err)
{
    uint16_t *position = NULL;
    uint32_t *token = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&position, n, sizeof *position, err));
    SAE_GO(st, sae_mem_alloc(&token, n, sizeof *token, err));
    SAE_GO(st, sae_mem_alloc(&corpus->at, n, sizeof *corpus->at, err));
    SAE_GO(st, sae_acts_read_tokens(acts, 0, n, token, NULL, position, err));
    SAE_GO(st, place_rows(corpus, position, n, sae_acts_dir(acts), err));
    if (corpus->n_contexts == 0) {
        st = sae_err_set(err, SAE_EARG,
                         "the first %zu rows of '%s' hold no whole context of %zu tokens; give "
                         "more --tokens",
                         n, sae_acts_dir(acts), corpus->T);
        goto done;
    }
    const size_t size = corpus->n_contexts * corpus->T;
    SAE_GO(st, sae_mem_alloc(&corpus->token, size, sizeof *corpus->token, err));
    for (size_t i = 0; i < size; i++)
        corpus->token[i] = i % corpus->T == 0 ? bos : separator;
    for (size_t r = 0; r < corpus->n_rows; r++)
        corpus->token[corpus->at[r]] = token[r];
done:
    free(position);
    free(token);
    return st;
}

enum sae_status autointerp_corpus_read(struct autointerp_corpus *ret, struct sae_acts *acts,
                                       size_t T, size_t limit, uint32_t bos, uint32_t separator,
                                       struct sae_err *err)
{
    if (T < AUTOINTERP_WINDOW)
        return sae_err_set(err, SAE_EARG,
                           "the contexts of '%s' are %zu tokens long, an excerpt is %d; harvest "
                           "with a longer --context",
                           sae_acts_dir(acts), T, AUTOINTERP_WINDOW);
    const size_t all = sae_acts_n_rows(acts), n = limit == 0 || limit > all ? all : limit;
    struct autointerp_corpus corpus = {.T = T};
    const enum sae_status st = fill(&corpus, acts, n, bos, separator, err);
    if (st != SAE_OK)
        autointerp_corpus_clear(&corpus);
    else
        *ret = corpus;
    return st;
}

/* --- where latents fire ---------------------------------------------------------------------- */

/* A NaN would be dropped by the encoder's comparisons and leave the token with other latents. */
static enum sae_status check_rows(const struct sae_acts *acts, size_t first, size_t n, size_t d,
                                  const float *x, struct sae_err *err)
{
    for (size_t i = 0; i < n * d; i++)
        if (!isfinite(x[i]))
            return sae_err_set(err, SAE_EFORMAT,
                               "row %zu of '%s' holds NaN or infinity; harvest it again",
                               first + i / d, sae_acts_dir(acts));
    return SAE_OK;
}

/* slot[j]: 1 + place of latent j in the list, 0 where it is not asked for. */
static enum sae_status add_row(struct autointerp_latent *latents, const uint32_t *slot, uint32_t at,
                               const uint32_t *idx, const float *val, size_t n, struct sae_err *err)
{
    for (size_t e = 0; e < n; e++) {
        if (slot[idx[e]] == 0)
            continue;
        struct autointerp_latent *const l = &latents[slot[idx[e]] - 1];
        SAE_TRY(sae_mem_grow(&l->entry, &l->cap, l->n + 1, sizeof *l->entry, err));
        l->entry[l->n++] = (struct autointerp_entry){at, val[e]};
    }
    return SAE_OK;
}

static enum sae_status scan_rows(struct autointerp_latent *latents, const uint32_t *slot,
                                 const struct autointerp_corpus *corpus, struct sae_acts *acts,
                                 struct sae_coder *coder, float *x, size_t d, size_t batch,
                                 struct sae_err *err)
{
    struct sae_progress bar;
    sae_progress_begin(&bar, "where latents fire", "tokens", 0, corpus->n_rows);
    enum sae_status st = SAE_OK;
    for (size_t first = 0; first < corpus->n_rows && st == SAE_OK; first += batch) {
        const size_t left = corpus->n_rows - first, n = left < batch ? left : batch;
        const struct sae_csr *f = NULL;
        if (sae_stop_asked())
            st = sae_err_set(err, SAE_EINTR, "stopped while looking where latents fire");
        if (st == SAE_OK)
            st = sae_acts_read(acts, first, n, x, err);
        if (st == SAE_OK)
            st = check_rows(acts, first, n, d, x, err);
        if (st == SAE_OK)
            st = sae_coder_encode(coder, x, n, &f, err);
        for (size_t i = 0; i < n && st == SAE_OK; i++)
            st = add_row(latents, slot, corpus->at[first + i], f->idx + f->start[i],
                         f->val + f->start[i], f->start[i + 1] - f->start[i], err);
        sae_progress_step(&bar, first + n, NULL);
    }
    sae_progress_end(&bar);
    return st;
}

enum sae_status autointerp_scan(struct autointerp_latent *latents, size_t n,
                                const struct autointerp_corpus *corpus, struct sae_acts *acts,
                                const struct sae_model *model, const struct sae_ops *ops,
                                size_t batch, struct sae_err *err)
{
    struct sae_coder *coder = NULL;
    uint32_t *slot = NULL;
    float *x = NULL;
    enum sae_status st;
    SAE_GO(st, sae_coder_open(&coder, model, ops, batch, err));
    SAE_GO(st, sae_mem_alloc(&slot, model->m, sizeof *slot, err));
    SAE_GO(st, sae_mem_alloc(&x, batch * model->d, sizeof *x, err));
    for (size_t i = 0; i < n; i++)
        slot[latents[i].index] = (uint32_t)i + 1;
    SAE_GO(st, scan_rows(latents, slot, corpus, acts, coder, x, model->d, batch, err));
done:
    free(x);
    free(slot);
    sae_coder_close(coder);
    return st;
}
