/* SPDX-License-Identifier: MIT */
/* acts_prefetch : a thread that reads the next batches of a stream while the caller works on one.
 *
 * Batch b of n rows is rows [b n, (b + 1) n) of the stream, whoever reads it and when, so reading
 * ahead changes no result. The thread fills a ring of slots in order; the caller empties it. One
 * mutex guards the slots; files are touched in turns (sae_h5_lock), because HDF5 is not safe from
 * two threads. What fails early is reported when the caller comes to that batch. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/file/acts.h"
#include "lib/file/h5.h"

enum { SLOTS = 3 }; /* one with the caller, two ahead */

struct slot {
    float *x;       /* [n][d], or */
    uint32_t *row;  /* [n] and */
    uint16_t *data; /* [n][d] of these, where has_data */
    bool has_data;
    uint64_t batch;
    enum sae_status status;
    struct sae_err err;
};

struct sae_acts_prefetch {
    struct sae_acts_stream *stream; /* borrowed; the thread's own while it runs */
    size_t n;
    uint64_t n_batches; /* the thread stops before this one */
    struct slot slot[SLOTS];
    pthread_t thread;
    bool started;
    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t next;  /* batch that the thread reads next */
    uint64_t round; /* grows when the caller jumps: what was being read then is thrown away */
    size_t first;   /* slot of the oldest full batch */
    size_t full;    /* slots that hold a batch, the caller's too */
    bool held;      /* the caller has the oldest */
    bool numbers;   /* rows need no data any more */
    bool stop;
};

/* Reads one batch into a slot that nobody else touches. */
static void fill(struct sae_acts_prefetch *prefetch, struct slot *slot)
{
    const uint64_t position = slot->batch * prefetch->n;
    memset(&slot->err, 0, sizeof slot->err);
    sae_h5_lock();
    slot->status =
        slot->x ? sae_acts_stream_read(prefetch->stream, position, prefetch->n, slot->x, &slot->err)
                : sae_acts_stream_raw(prefetch->stream, position, prefetch->n, slot->row,
                                      slot->has_data ? slot->data : NULL, &slot->err);
    sae_h5_unlock();
}

static bool has_work(const struct sae_acts_prefetch *prefetch)
{
    return prefetch->full < SLOTS && prefetch->next < prefetch->n_batches;
}

static void *run(void *user)
{
    struct sae_acts_prefetch *const prefetch = user;
    pthread_mutex_lock(&prefetch->lock);
    while (!prefetch->stop) {
        if (!has_work(prefetch)) {
            pthread_cond_wait(&prefetch->changed, &prefetch->lock);
            continue;
        }
        struct slot *const slot = &prefetch->slot[(prefetch->first + prefetch->full) % SLOTS];
        const uint64_t round = prefetch->round;
        slot->batch = prefetch->next;
        slot->has_data = !prefetch->numbers;
        pthread_mutex_unlock(&prefetch->lock);
        fill(prefetch, slot);
        pthread_mutex_lock(&prefetch->lock);
        if (round != prefetch->round)
            continue;
        prefetch->full++;
        /* after a failure nothing more is read until the caller asks for another batch */
        prefetch->next = slot->status == SAE_OK ? prefetch->next + 1 : UINT64_MAX;
        pthread_cond_broadcast(&prefetch->changed);
    }
    pthread_mutex_unlock(&prefetch->lock);
    return NULL;
}

/* Signals are the main thread's. */
static bool start(struct sae_acts_prefetch *prefetch)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    prefetch->started = pthread_create(&prefetch->thread, NULL, run, prefetch) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return prefetch->started;
}

static enum sae_status open_slot(struct slot *slot, size_t n, size_t d, bool raw,
                                 struct sae_err *err)
{
    if (!raw)
        return sae_mem_alloc(&slot->x, n * d, sizeof *slot->x, err);
    SAE_TRY(sae_mem_alloc(&slot->row, n, sizeof *slot->row, err));
    return sae_mem_alloc(&slot->data, n * d, sizeof *slot->data, err);
}

static enum sae_status prefetch_open(struct sae_acts_prefetch **ret, struct sae_acts_stream *stream,
                                     size_t n, size_t d, uint64_t n_batches, bool raw,
                                     struct sae_err *err)
{
    struct sae_acts_prefetch *prefetch = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&prefetch, 1, sizeof *prefetch, err));
    prefetch->stream = stream;
    prefetch->n = n;
    prefetch->n_batches = n_batches;
    prefetch->next = UINT64_MAX; /* idle until the first batch is asked for */
    pthread_mutex_init(&prefetch->lock, NULL);
    pthread_cond_init(&prefetch->changed, NULL);
    for (size_t i = 0; i < SLOTS; i++)
        SAE_GO(st, open_slot(&prefetch->slot[i], n, d, raw, err));
    if (!start(prefetch)) {
        st = sae_err_set(err, SAE_ENOMEM, "cannot start a thread to read ahead");
        goto done;
    }
    *ret = prefetch;
    prefetch = NULL;
    st = SAE_OK;
done:
    sae_acts_prefetch_close(prefetch);
    return st;
}

enum sae_status sae_acts_prefetch_open(struct sae_acts_prefetch **ret,
                                       struct sae_acts_stream *stream, size_t n, size_t d,
                                       uint64_t n_batches, struct sae_err *err)
{
    return prefetch_open(ret, stream, n, d, n_batches, false, err);
}

enum sae_status sae_acts_prefetch_open_raw(struct sae_acts_prefetch **ret,
                                           struct sae_acts_stream *stream, size_t n, size_t d,
                                           uint64_t n_batches, struct sae_err *err)
{
    return prefetch_open(ret, stream, n, d, n_batches, true, err);
}

void sae_acts_prefetch_close(struct sae_acts_prefetch *prefetch)
{
    if (!prefetch)
        return;
    if (prefetch->started) {
        pthread_mutex_lock(&prefetch->lock);
        prefetch->stop = true;
        pthread_cond_broadcast(&prefetch->changed);
        pthread_mutex_unlock(&prefetch->lock);
        pthread_join(prefetch->thread, NULL);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        free(prefetch->slot[i].x);
        free(prefetch->slot[i].row);
        free(prefetch->slot[i].data);
    }
    pthread_cond_destroy(&prefetch->changed);
    pthread_mutex_destroy(&prefetch->lock);
    free(prefetch);
}

/* Gives back what the caller holds; under the lock. */
static void release(struct sae_acts_prefetch *prefetch)
{
    if (!prefetch->held)
        return;
    prefetch->held = false;
    prefetch->first = (prefetch->first + 1) % SLOTS;
    prefetch->full--;
}

/* Whether the batch is in the ring or will be the next to be put there. */
static bool is_coming(const struct sae_acts_prefetch *prefetch, uint64_t batch)
{
    return prefetch->full > 0 ? prefetch->slot[prefetch->first].batch == batch
                              : prefetch->next == batch;
}

/* *ret: the slot of the batch, the caller's until the next call. */
static enum sae_status next(struct sae_acts_prefetch *prefetch, uint64_t batch, struct slot **ret,
                            struct sae_err *err)
{
    pthread_mutex_lock(&prefetch->lock);
    release(prefetch);
    if (prefetch->n_batches <= batch)
        prefetch->n_batches = batch + 1;
    if (!is_coming(prefetch, batch)) {
        prefetch->round++;
        prefetch->full = 0;
        prefetch->next = batch;
    }
    pthread_cond_broadcast(&prefetch->changed);
    while (prefetch->full == 0)
        pthread_cond_wait(&prefetch->changed, &prefetch->lock);
    struct slot *const slot = &prefetch->slot[prefetch->first];
    prefetch->held = true;
    pthread_mutex_unlock(&prefetch->lock);
    if (slot->status != SAE_OK)
        return sae_err_set(err, slot->status, "%s", slot->err.msg);
    *ret = slot;
    return SAE_OK;
}

enum sae_status sae_acts_prefetch_next(struct sae_acts_prefetch *prefetch, uint64_t batch,
                                       float **ret, struct sae_err *err)
{
    struct slot *slot = NULL;
    SAE_TRY(next(prefetch, batch, &slot, err));
    *ret = slot->x;
    return SAE_OK;
}

enum sae_status sae_acts_prefetch_next_raw(struct sae_acts_prefetch *prefetch, uint64_t batch,
                                           struct sae_acts_rows *ret, struct sae_err *err)
{
    struct slot *slot = NULL;
    SAE_TRY(next(prefetch, batch, &slot, err));
    *ret = (struct sae_acts_rows){slot->row, slot->has_data ? slot->data : NULL};
    return SAE_OK;
}

void sae_acts_prefetch_numbers_only(struct sae_acts_prefetch *prefetch)
{
    pthread_mutex_lock(&prefetch->lock);
    prefetch->numbers = true;
    pthread_mutex_unlock(&prefetch->lock);
}
