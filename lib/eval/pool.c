/* SPDX-License-Identifier: MIT */
/* pool : one vector a text. Latents are encoded per token and averaged over the text's tokens,
 *
 *   v_i = 1/T sum_t f_i(a_t),
 *
 * which is not the encoding of the averaged activation: encoders are not linear. Sums are in
 * double and in token order; the result is kept sparse, since a text lights few latents. */
#include "lib/eval/pool.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "lib/eval/codes.h"

/* Sums over the text being read. Entries of a code are > 0, so a sum is 0 only where untouched. */
struct pool {
    size_t m;
    double *sum;   /* [m] */
    uint32_t *idx; /* [m] */
    float *val;    /* [m] */
};

static enum sae_status pool_init(struct pool *pool, size_t m, struct sae_err *err)
{
    *pool = (struct pool){.m = m};
    SAE_TRY(sae_mem_alloc(&pool->sum, m, sizeof *pool->sum, err));
    SAE_TRY(sae_mem_alloc(&pool->idx, m, sizeof *pool->idx, err));
    return sae_mem_alloc(&pool->val, m, sizeof *pool->val, err);
}

static void pool_clear(struct pool *pool)
{
    free(pool->sum);
    free(pool->idx);
    free(pool->val);
}

static void pool_add(struct pool *pool, const uint32_t *idx, const float *val, size_t n)
{
    double *const sum = pool->sum;
    for (size_t e = 0; e < n; e++)
        sum[idx[e]] += val[e];
}

/* Appends the text's mean and makes ready for the next. */
static enum sae_status pool_flush(struct pool *pool, size_t n_tokens, struct sae_csr *to,
                                  struct sae_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < pool->m; i++)
        if (pool->sum[i] > 0.0) {
            pool->idx[n] = (uint32_t)i;
            pool->val[n++] = (float)(pool->sum[i] / (double)n_tokens);
            pool->sum[i] = 0.0;
        }
    return sae_codes_append(to, pool->idx, pool->val, n, err);
}

/* A NaN would be dropped by the encoder's comparisons and leave the text with other latents. */
static enum sae_status check_rows(const struct sae_labels *labels, size_t first, size_t n,
                                  const float *x, struct sae_err *err)
{
    for (size_t i = 0; i < n * labels->d; i++)
        if (!isfinite(x[i]))
            return sae_err_set(err, SAE_EFORMAT,
                               "row %zu of set '%s' holds NaN or infinity; harvest it again",
                               first + i / labels->d, labels->name);
    return SAE_OK;
}

/* Encodes rows in batches that ignore text borders and pools them text by text. */
static enum sae_status pool_rows(struct sae_csr *to, struct pool *pool, struct sae_labels *labels,
                                 struct sae_coder *coder, float *x, size_t batch,
                                 struct sae_err *err)
{
    struct sae_progress bar;
    sae_progress_begin(&bar, labels->name, "tokens", 0, labels->n_rows);
    size_t text = 0;
    enum sae_status st = SAE_OK;
    for (size_t first = 0; first < labels->n_rows && st == SAE_OK; first += batch) {
        const size_t n = labels->n_rows - first < batch ? labels->n_rows - first : batch;
        const struct sae_csr *f = NULL;
        if (sae_stop_asked())
            st = sae_err_set(err, SAE_EINTR, "stopped while encoding '%s'", labels->name);
        if (st == SAE_OK)
            st = sae_labels_rows(labels, first, n, x, err);
        if (st == SAE_OK)
            st = check_rows(labels, first, n, x, err);
        if (st == SAE_OK)
            st = sae_coder_encode(coder, x, n, &f, err);
        for (size_t i = 0; i < n && st == SAE_OK; i++) {
            pool_add(pool, f->idx + f->start[i], f->val + f->start[i],
                     f->start[i + 1] - f->start[i]);
            if (first + i + 1 < labels->start[text + 1])
                continue;
            st = pool_flush(pool, labels->start[text + 1] - labels->start[text], to, err);
            text++;
        }
        sae_progress_step(&bar, first + n, NULL);
    }
    sae_progress_end(&bar);
    return st;
}

enum sae_status sae_pool_latents(struct sae_pool *ret, struct sae_labels *labels,
                                   const struct sae_model *model, const struct sae_ops *ops,
                                   size_t batch, struct sae_err *err)
{
    struct sae_coder *coder = NULL;
    struct sae_csr made = {0};
    struct pool pool = {0};
    float *x = NULL;
    enum sae_status st;
    SAE_GO(st, sae_coder_open(&coder, model, ops, batch, err));
    SAE_GO(st, sae_codes_init(&made, labels->n_texts, err));
    SAE_GO(st, pool_init(&pool, model->m, err));
    SAE_GO(st, sae_mem_alloc(&x, batch * labels->d, sizeof *x, err));
    SAE_GO(st, pool_rows(&made, &pool, labels, coder, x, batch, err));
    *ret = (struct sae_pool){made, model->m, false};
    made = (struct sae_csr){0};
done:
    free(x);
    pool_clear(&pool);
    sae_codes_clear(&made);
    sae_coder_close(coder);
    return st;
}

enum sae_status sae_pool_neurons(struct sae_pool *ret, const struct sae_labels *labels,
                                   struct sae_err *err)
{
    struct sae_csr made = {0};
    SAE_TRY(sae_codes_from_dense(&made, labels->pooled, labels->n_texts, labels->d, err));
    *ret = (struct sae_pool){made, labels->d, true};
    return SAE_OK;
}

void sae_pool_clear(struct sae_pool *features)
{
    sae_codes_clear(&features->x);
    *features = (struct sae_pool){0};
}
