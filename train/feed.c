/* SPDX-License-Identifier: MIT */
/* feed : batches in training units. */
#include "train/feed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "train/rows.h"

enum { NORM_BATCHES = 100 }; /* batches whose mean square norm sets the scale */

bool feed_same(const struct settings *a, const struct settings *b)
{
    return a->seed == b->seed && a->batch == b->batch && a->heldout_rows == b->heldout_rows &&
           a->normalize == b->normalize;
}

enum sae_status feed_open(struct feed *ret, struct sae_acts *acts, const struct settings *set,
                          struct sae_err *err)
{
    struct feed feed = {.acts = acts,
                        .n = (size_t)set->batch,
                        .d = sae_acts_d(acts),
                        .n_held = (size_t)set->heldout_rows,
                        .n_train = sae_acts_n_rows(acts) - (size_t)set->heldout_rows,
                        .step = UINT64_MAX};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&feed.held, feed.n_held * feed.d, sizeof *feed.held, err));
    SAE_GO(st, sae_acts_stream_open(&feed.stream, acts, feed.n_train, set->seed, err));
    *ret = feed;
    feed = (struct feed){0};
done:
    feed_close(&feed);
    return st;
}

void feed_close(struct feed *feed)
{
    sae_acts_prefetch_close(feed->prefetch);
    rows_close(feed->rows);
    sae_acts_stream_close(feed->stream);
    free(feed->held);
    *feed = (struct feed){0};
}

/* Square root of the mean square norm over the first batches of the stream. */
static enum sae_status find_norm(struct feed *feed, const struct sae_ops *ops, struct sae_err *err)
{
    float *x = NULL;
    double sum = 0;
    uint64_t batches = 0;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&x, feed->n * feed->d, sizeof *x, err));
    for (; batches < NORM_BATCHES && (batches == 0 || (batches + 1) * feed->n <= feed->n_train);
         batches++) {
        SAE_GO(st, sae_acts_stream_read(feed->stream, batches * feed->n, feed->n, x, err));
        sum += ops->sum_sq(feed->n * feed->d, x) / (double)feed->n;
    }
    const double norm = sqrt(sum / (double)batches);
    if (norm > 0 && isfinite(norm))
        feed->norm = norm;
    else
        st = sae_err_set(err, SAE_ERANGE, "the activations have norm %f: nothing to learn", norm);
done:
    free(x);
    return st;
}

static void scale(size_t n, double norm, float *x)
{
    for (size_t i = 0; norm != 1 && i < n; i++)
        x[i] = (float)((double)x[i] / norm);
}

static enum sae_status read_held(struct feed *feed, struct sae_err *err)
{
    SAE_TRY(sae_acts_read_finite(feed->acts, feed->n_train, feed->n_held, feed->held, err));
    scale(feed->n_held * feed->d, feed->norm, feed->held);
    return SAE_OK;
}

enum sae_status feed_begin(struct feed *feed, const struct settings *set, const struct sae_ops *ops,
                           double norm, struct sae_err *err)
{
    feed->norm = norm > 0 ? norm : 1;
    if (!(norm > 0) && set->normalize == NORM_UNIT)
        SAE_TRY(find_norm(feed, ops->host ? ops : &sae_ops_cpu, err));
    SAE_TRY(read_held(feed, err));
    if (!ops->host) {
        SAE_TRY(rows_open(&feed->rows, ops, feed->n, feed->d, feed->n_train,
                          set->steps * set->batch, feed->reserve_bytes, err));
        return sae_acts_prefetch_open_raw(&feed->prefetch, feed->stream, feed->n, feed->d,
                                          set->steps, err);
    }
    return sae_acts_prefetch_open(&feed->prefetch, feed->stream, feed->n, feed->d, set->steps, err);
}

enum sae_status feed_batch(struct feed *feed, uint64_t step, struct sae_err *err)
{
    if (feed->step == step)
        return SAE_OK;
    feed->step = UINT64_MAX;
    if (feed->rows) {
        SAE_TRY(rows_batch(feed->rows, feed->prefetch, step, feed->norm, &feed->x, err));
    } else {
        float *x = NULL;
        SAE_TRY(sae_acts_prefetch_next(feed->prefetch, step, &x, err));
        scale(feed->n * feed->d, feed->norm, x);
        feed->x = x;
    }
    feed->step = step;
    return SAE_OK;
}

enum sae_status feed_host(float **ret, const struct feed *feed, struct sae_err *err)
{
    float *x = NULL;
    SAE_TRY(sae_mem_alloc(&x, feed->n * feed->d, sizeof *x, err));
    if (feed->rows)
        rows_get(feed->rows, x);
    else
        memcpy(x, feed->x, feed->n * feed->d * sizeof *x);
    *ret = x;
    return SAE_OK;
}
