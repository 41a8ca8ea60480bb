/* SPDX-License-Identifier: MIT */
/* acts_stream : the training order over an activation store.
 *
 *   epoch e    a permutation of blocks (256 rows; the last block of the store may be shorter)
 *   window w   the next 256 blocks of it; their rows permuted
 *
 * Every permutation is drawn from its own stretch of one counter-based stream, so the row at a
 * position is a pure function of (seed, position) and a resumed run needs the position alone. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bf16.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/file/acts_inner.h"

enum { BLOCK = 256, WINDOW = 256 /* blocks */ };

/* Draws: epoch e begins at e * 2^44, with 2^32 for its blocks and 2^20 for each window. */
enum { EPOCH_BITS = 44, BLOCKS_BITS = 32, WINDOW_BITS = 20 };

struct sae_acts_stream {
    struct sae_acts *acts;
    size_t n_train, d;
    uint64_t seed;
    size_t n_blocks, n_windows;
    bool have_epoch;
    uint64_t epoch;
    uint32_t *blocks; /* [n_blocks] permuted for the epoch */
    bool have_window, have_rows;
    size_t window_first, window_rows; /* first: position in the epoch */
    size_t n_sorted;                  /* blocks of the window, ascending */
    uint32_t sorted[WINDOW];
    uint16_t *rows;  /* [window_rows][d], in store order; where have_rows */
    uint32_t *order; /* [window_rows] places among them */
};

static struct sae_rng rng_at(uint64_t seed, uint64_t epoch, uint64_t offset)
{
    struct sae_rng rng = sae_rng_make(seed, SAE_RNG_ORDER);
    rng.counter = (epoch << EPOCH_BITS) + offset;
    return rng;
}

enum sae_status sae_acts_stream_open(struct sae_acts_stream **ret, struct sae_acts *acts,
                                     size_t n_train, uint64_t seed, struct sae_err *err)
{
    if (n_train == 0 || n_train > sae_acts_n_rows(acts))
        return sae_err_set(err, SAE_ERANGE, "cannot train on %zu rows: '%s' has %zu", n_train,
                           sae_acts_dir(acts), sae_acts_n_rows(acts));
    struct sae_acts_stream *stream = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&stream, 1, sizeof *stream, err));
    stream->acts = acts;
    stream->n_train = n_train;
    stream->d = sae_acts_d(acts);
    stream->seed = seed;
    stream->n_blocks = (n_train + BLOCK - 1) / BLOCK;
    stream->n_windows = (stream->n_blocks + WINDOW - 1) / WINDOW;
    const size_t most = n_train < (size_t)BLOCK * WINDOW ? n_train : (size_t)BLOCK * WINDOW;
    SAE_GO(st, sae_mem_alloc(&stream->blocks, stream->n_blocks, sizeof *stream->blocks, err));
    SAE_GO(st, sae_mem_alloc(&stream->rows, most * stream->d, sizeof *stream->rows, err));
    SAE_GO(st, sae_mem_alloc(&stream->order, most, sizeof *stream->order, err));
    *ret = stream;
    stream = NULL;
done:
    sae_acts_stream_close(stream);
    return st;
}

void sae_acts_stream_close(struct sae_acts_stream *stream)
{
    if (!stream)
        return;
    free(stream->blocks);
    free(stream->rows);
    free(stream->order);
    free(stream);
}

static size_t block_rows(const struct sae_acts_stream *stream, uint32_t block)
{
    const size_t first = (size_t)block * BLOCK;
    return stream->n_train - first < BLOCK ? stream->n_train - first : BLOCK;
}

static void set_epoch(struct sae_acts_stream *stream, uint64_t epoch)
{
    if (stream->have_epoch && stream->epoch == epoch)
        return;
    for (size_t b = 0; b < stream->n_blocks; b++)
        stream->blocks[b] = (uint32_t)b;
    struct sae_rng rng = rng_at(stream->seed, epoch, 0);
    sae_rng_shuffle_u32(&rng, stream->blocks, stream->n_blocks);
    stream->epoch = epoch;
    stream->have_epoch = true;
    stream->have_window = false;
}

/* The window that holds the epoch's position `at`. Only the window with the short block is not of
 * full size, so its place shifts the ones behind it. */
static void find_window(const struct sae_acts_stream *stream, size_t at, size_t *ret_window,
                        size_t *ret_first, size_t *ret_rows)
{
    size_t first = 0;
    for (size_t w = 0; w < stream->n_windows; w++) {
        const size_t b0 = w * WINDOW;
        const size_t n = stream->n_blocks - b0 < WINDOW ? stream->n_blocks - b0 : WINDOW;
        size_t rows = n * BLOCK;
        for (size_t b = 0; b < n; b++)
            if (stream->blocks[b0 + b] + 1 == stream->n_blocks)
                rows -= BLOCK - block_rows(stream, stream->blocks[b0 + b]);
        if (at < first + rows) {
            *ret_window = w;
            *ret_first = first;
            *ret_rows = rows;
            return;
        }
        first += rows;
    }
    assert(!"position outside the epoch");
}

static int by_number(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Which rows the window around the epoch's position `at` has, and their order. */
static void set_window(struct sae_acts_stream *stream, size_t at)
{
    if (stream->have_window && at >= stream->window_first &&
        at - stream->window_first < stream->window_rows)
        return;
    size_t window;
    find_window(stream, at, &window, &stream->window_first, &stream->window_rows);
    const size_t b0 = window * WINDOW;
    stream->n_sorted = stream->n_blocks - b0 < WINDOW ? stream->n_blocks - b0 : WINDOW;
    memcpy(stream->sorted, stream->blocks + b0, stream->n_sorted * sizeof *stream->sorted);
    /* ascending, for the disk; rows are permuted */
    qsort(stream->sorted, stream->n_sorted, sizeof *stream->sorted, by_number);
    for (size_t i = 0; i < stream->window_rows; i++)
        stream->order[i] = (uint32_t)i;
    struct sae_rng rng = rng_at(stream->seed, stream->epoch,
                                (UINT64_C(1) << BLOCKS_BITS) + ((uint64_t)window << WINDOW_BITS));
    sae_rng_shuffle_u32(&rng, stream->order, stream->window_rows);
    stream->have_window = true;
    stream->have_rows = false;
}

static enum sae_status load_rows(struct sae_acts_stream *stream, struct sae_err *err)
{
    const uint32_t *const sorted = stream->sorted;
    size_t filled = 0;
    if (stream->have_rows)
        return SAE_OK;
    for (size_t b = 0; b < stream->n_sorted;) {
        size_t len = 0, run = 0; /* neighbouring blocks are one read */
        while (b + run < stream->n_sorted && sorted[b + run] == sorted[b] + run)
            len += block_rows(stream, sorted[b + run++]);
        uint16_t *const to = stream->rows + filled * stream->d;
        SAE_TRY(sae_acts_read_bf16(stream->acts, (size_t)sorted[b] * BLOCK, len, to, err));
        SAE_TRY(sae_acts_check_finite(stream->acts, (size_t)sorted[b] * BLOCK, len, to, err));
        filled += len;
        b += run;
    }
    assert(filled == stream->window_rows);
    stream->have_rows = true;
    return SAE_OK;
}

/* Moves to the window of a position. Returns how many rows from there, at most n, it has; *ret_from:
 * their place in its order. */
static size_t seek(struct sae_acts_stream *stream, uint64_t position, size_t n, size_t *ret_from)
{
    set_epoch(stream, position / stream->n_train);
    const size_t at = (size_t)(position % stream->n_train);
    set_window(stream, at);
    *ret_from = at - stream->window_first;
    const size_t left = stream->window_rows - *ret_from;
    return left < n ? left : n;
}

enum sae_status sae_acts_stream_read(struct sae_acts_stream *stream, uint64_t position, size_t n,
                                     float *x, struct sae_err *err)
{
    for (size_t done = 0, len, from; done < n; done += len) {
        len = seek(stream, position + done, n - done, &from);
        SAE_TRY(load_rows(stream, err));
        for (size_t i = 0; i < len; i++)
            sae_bf16_widen(x + (done + i) * stream->d,
                           stream->rows + (size_t)stream->order[from + i] * stream->d, stream->d);
    }
    return SAE_OK;
}

/* Only the store's last block is short, and it comes last in its window. */
enum sae_status sae_acts_stream_raw(struct sae_acts_stream *stream, uint64_t position, size_t n,
                                    uint32_t *row, uint16_t *data, struct sae_err *err)
{
    for (size_t done = 0, len, from; done < n; done += len) {
        len = seek(stream, position + done, n - done, &from);
        if (data)
            SAE_TRY(load_rows(stream, err));
        for (size_t i = 0; i < len; i++) {
            const size_t at = stream->order[from + i];
            row[done + i] = stream->sorted[at / BLOCK] * BLOCK + (uint32_t)(at % BLOCK);
            if (data)
                memcpy(data + (done + i) * stream->d, stream->rows + at * stream->d,
                       stream->d * sizeof *data);
        }
    }
    return SAE_OK;
}
