/* SPDX-License-Identifier: MIT */
/* acts_ahead : a thread that reads the next batches of a stream while the caller works on one.
 *
 * Batch b of n rows is rows [b n, (b + 1) n) of the stream, whoever reads it and when, so reading
 * ahead changes no result. The thread fills a ring of slots in order; the caller empties it. One
 * mutex guards the slots; files are touched in turns (sae_h5_take), because HDF5 is not safe from
 * two threads. What fails ahead is told when the caller comes to that batch. */
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

struct sae_acts_ahead {
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
static void fill(struct sae_acts_ahead *ahead, struct slot *slot)
{
    const uint64_t position = slot->batch * ahead->n;
    memset(&slot->err, 0, sizeof slot->err);
    sae_h5_take();
    slot->status =
        slot->x ? sae_acts_stream_read(ahead->stream, position, ahead->n, slot->x, &slot->err)
                : sae_acts_stream_raw(ahead->stream, position, ahead->n, slot->row,
                                      slot->has_data ? slot->data : NULL, &slot->err);
    sae_h5_give();
}

static bool has_work(const struct sae_acts_ahead *ahead)
{
    return ahead->full < SLOTS && ahead->next < ahead->n_batches;
}

static void *run(void *user)
{
    struct sae_acts_ahead *const ahead = user;
    pthread_mutex_lock(&ahead->lock);
    while (!ahead->stop) {
        if (!has_work(ahead)) {
            pthread_cond_wait(&ahead->changed, &ahead->lock);
            continue;
        }
        struct slot *const slot = &ahead->slot[(ahead->first + ahead->full) % SLOTS];
        const uint64_t round = ahead->round;
        slot->batch = ahead->next;
        slot->has_data = !ahead->numbers;
        pthread_mutex_unlock(&ahead->lock);
        fill(ahead, slot);
        pthread_mutex_lock(&ahead->lock);
        if (round != ahead->round)
            continue;
        ahead->full++;
        /* after a failure nothing more is read until the caller asks for another batch */
        ahead->next = slot->status == SAE_OK ? ahead->next + 1 : UINT64_MAX;
        pthread_cond_broadcast(&ahead->changed);
    }
    pthread_mutex_unlock(&ahead->lock);
    return NULL;
}

/* Signals are the main thread's. */
static bool start(struct sae_acts_ahead *ahead)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ahead->started = pthread_create(&ahead->thread, NULL, run, ahead) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ahead->started;
}

static enum sae_status open_slot(struct slot *slot, size_t n, size_t d, bool raw,
                                 struct sae_err *err)
{
    if (!raw)
        return sae_mem_alloc(&slot->x, n * d, sizeof *slot->x, err);
    SAE_TRY(sae_mem_alloc(&slot->row, n, sizeof *slot->row, err));
    return sae_mem_alloc(&slot->data, n * d, sizeof *slot->data, err);
}

static enum sae_status ahead_open(struct sae_acts_ahead **ret, struct sae_acts_stream *stream,
                                  size_t n, size_t d, uint64_t n_batches, bool raw,
                                  struct sae_err *err)
{
    struct sae_acts_ahead *ahead = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&ahead, 1, sizeof *ahead, err));
    ahead->stream = stream;
    ahead->n = n;
    ahead->n_batches = n_batches;
    ahead->next = UINT64_MAX; /* idle until the first batch is asked for */
    pthread_mutex_init(&ahead->lock, NULL);
    pthread_cond_init(&ahead->changed, NULL);
    for (size_t i = 0; i < SLOTS; i++)
        SAE_GO(st, open_slot(&ahead->slot[i], n, d, raw, err));
    if (!start(ahead)) {
        st = sae_err_set(err, SAE_ENOMEM, "cannot start a thread to read ahead");
        goto done;
    }
    *ret = ahead;
    ahead = NULL;
    st = SAE_OK;
done:
    sae_acts_ahead_close(ahead);
    return st;
}

enum sae_status sae_acts_ahead_open(struct sae_acts_ahead **ret, struct sae_acts_stream *stream,
                                    size_t n, size_t d, uint64_t n_batches, struct sae_err *err)
{
    return ahead_open(ret, stream, n, d, n_batches, false, err);
}

enum sae_status sae_acts_ahead_open_raw(struct sae_acts_ahead **ret, struct sae_acts_stream *stream,
                                        size_t n, size_t d, uint64_t n_batches, struct sae_err *err)
{
    return ahead_open(ret, stream, n, d, n_batches, true, err);
}

void sae_acts_ahead_close(struct sae_acts_ahead *ahead)
{
    if (!ahead)
        return;
    if (ahead->started) {
        pthread_mutex_lock(&ahead->lock);
        ahead->stop = true;
        pthread_cond_broadcast(&ahead->changed);
        pthread_mutex_unlock(&ahead->lock);
        pthread_join(ahead->thread, NULL);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        free(ahead->slot[i].x);
        free(ahead->slot[i].row);
        free(ahead->slot[i].data);
    }
    pthread_cond_destroy(&ahead->changed);
    pthread_mutex_destroy(&ahead->lock);
    free(ahead);
}

/* Gives back what the caller holds; under the lock. */
static void release(struct sae_acts_ahead *ahead)
{
    if (!ahead->held)
        return;
    ahead->held = false;
    ahead->first = (ahead->first + 1) % SLOTS;
    ahead->full--;
}

/* Whether the batch is in the ring or will be the next to be put there. */
static bool is_coming(const struct sae_acts_ahead *ahead, uint64_t batch)
{
    return ahead->full > 0 ? ahead->slot[ahead->first].batch == batch : ahead->next == batch;
}

/* *ret: the slot of the batch, the caller's until the next call. */
static enum sae_status next(struct sae_acts_ahead *ahead, uint64_t batch, struct slot **ret,
                            struct sae_err *err)
{
    pthread_mutex_lock(&ahead->lock);
    release(ahead);
    if (ahead->n_batches <= batch)
        ahead->n_batches = batch + 1;
    if (!is_coming(ahead, batch)) {
        ahead->round++;
        ahead->full = 0;
        ahead->next = batch;
    }
    pthread_cond_broadcast(&ahead->changed);
    while (ahead->full == 0)
        pthread_cond_wait(&ahead->changed, &ahead->lock);
    struct slot *const slot = &ahead->slot[ahead->first];
    ahead->held = true;
    pthread_mutex_unlock(&ahead->lock);
    if (slot->status != SAE_OK)
        return sae_err_set(err, slot->status, "%s", slot->err.msg);
    *ret = slot;
    return SAE_OK;
}

enum sae_status sae_acts_ahead_next(struct sae_acts_ahead *ahead, uint64_t batch, float **ret,
                                    struct sae_err *err)
{
    struct slot *slot = NULL;
    SAE_TRY(next(ahead, batch, &slot, err));
    *ret = slot->x;
    return SAE_OK;
}

enum sae_status sae_acts_ahead_next_raw(struct sae_acts_ahead *ahead, uint64_t batch,
                                        struct sae_acts_rows *ret, struct sae_err *err)
{
    struct slot *slot = NULL;
    SAE_TRY(next(ahead, batch, &slot, err));
    *ret = (struct sae_acts_rows){slot->row, slot->has_data ? slot->data : NULL};
    return SAE_OK;
}

void sae_acts_ahead_numbers(struct sae_acts_ahead *ahead)
{
    pthread_mutex_lock(&ahead->lock);
    ahead->numbers = true;
    pthread_mutex_unlock(&ahead->lock);
}
