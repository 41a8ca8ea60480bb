/* SPDX-License-Identifier: MIT */
/* acts : the activation store - rows of one hook point of one language model, on disk.
 *
 * A store is a folder. acts/acts_00000.h5, acts_00001.h5, ... are its shards (kind
 * "activations"), each whole; acts/acts.json is written last and marks the store complete:
 *   { "kind", "format_version": 1, "n_rows", "d", "shards": [ {"file", "rows", "id"} ], "id", "record" }
 * Beside the shards lie the sets made by the same model at the same layer:
 *   labels_<name>.h5 (labelled sets) and words.h5 (the first-letter word set); see sets.h.
 *
 * A shard holds  /rows      bf16 [n][d]  resid_post, unscaled (residual-stream units)
 *                /token     u32  [n]     token id at that position
 *                /document  u32  [n]     running number of the document
 *                /position  u16  [n]     position in its context (BOS = 0 is never stored)
 * Of an imported store the last three may be missing.
 * Format: docs/FORMATS.md. Knows no SAE. */
#ifndef SAE_LIB_FILE_ACTS_H
#define SAE_LIB_FILE_ACTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct sae_acts; /* an open store; one thread at a time */

/* Opens a complete store: its folder, its acts.json, or any of its shards.
 * Fails: SAE_EIO not there; SAE_EFORMAT not a store, unfinished, damaged; SAE_EVERSION */
SAE_MUST_CHECK enum sae_status sae_acts_open(struct sae_acts **ret, const char *path,
                                             struct sae_err *err);
void sae_acts_close(struct sae_acts *acts); /* accepts NULL */

size_t sae_acts_n_rows(const struct sae_acts *acts);
size_t sae_acts_n_shards(const struct sae_acts *acts);
size_t sae_acts_d(const struct sae_acts *acts);
const char *sae_acts_id(const struct sae_acts *acts);
const char *sae_acts_dir(const struct sae_acts *acts);
const json_t *sae_acts_record(const struct sae_acts *acts); /* has "site" */

/* Whether it holds the column "/token", "/document" or "/position"; an imported store may not. */
bool sae_acts_has(struct sae_acts *acts, const char *column);

/* Rows [first, first + n) as host f32 [n][d]. Fails: SAE_ERANGE, SAE_EIO, SAE_EFORMAT */
SAE_MUST_CHECK enum sae_status sae_acts_read(struct sae_acts *acts, size_t first, size_t n,
                                             float *x, struct sae_err *err);
/* Likewise, and each is a number. Fails besides: SAE_EFORMAT a row holds NaN or infinity (the message
 * names shard and row) */
SAE_MUST_CHECK enum sae_status sae_acts_read_finite(struct sae_acts *acts, size_t first, size_t n,
                                                    float *x, struct sae_err *err);
/* Any of the pointers may be NULL. Fails besides: SAE_EFORMAT the store lacks what is asked for */
SAE_MUST_CHECK enum sae_status sae_acts_read_tokens(struct sae_acts *acts, size_t first, size_t n,
                                                    uint32_t *token, uint32_t *document,
                                                    uint16_t *position, struct sae_err *err);

/* Reads the first n_shards shards (0: all) from end to end and checks that each has the content
 * that its id was made of, and that acts.json is as it was written. progress (may be NULL) is
 * called after each with how many are done. Takes as long as reading the store from disk does.
 * Fails: SAE_EFORMAT something was changed; SAE_EARG another program wrote it, and its ids mean
 * nothing; SAE_EINTR; as reading */
SAE_MUST_CHECK enum sae_status sae_acts_verify(struct sae_acts *acts, size_t n_shards,
                                               void (*progress)(void *user, uint64_t done),
                                               void *user, struct sae_err *err);

/* --- training order ----------------------------------------------------------------------- */

/* An endless shuffled stream over rows [0, n_train): a pure function of (seed, position).
 * Each epoch permutes blocks of 256 rows, then permutes rows inside windows of 256 blocks, so a
 * window (256 * 256 rows) is the only thing held in memory and reads stay sequential. Rows past
 * the last whole window of an epoch form one smaller window; no row is skipped or repeated
 * within an epoch. */
struct sae_acts_stream;

SAE_MUST_CHECK enum sae_status sae_acts_stream_open(struct sae_acts_stream **ret,
                                                    struct sae_acts *acts, size_t n_train,
                                                    uint64_t seed, struct sae_err *err);
void sae_acts_stream_close(struct sae_acts_stream *stream);

/* Stream rows [position, position + n) into x, host f32 [n][d].
 * Fails: SAE_EFORMAT a row holds NaN or infinity (message names shard and row); SAE_EIO */
SAE_MUST_CHECK enum sae_status sae_acts_stream_read(struct sae_acts_stream *stream,
                                                    uint64_t position, size_t n, float *x,
                                                    struct sae_err *err);

/* The same rows as the store has them. row [n]: their numbers; data, bf16 [n][d], may be NULL, and
 * then nothing is read. Stores of up to 2^32 rows. */
SAE_MUST_CHECK enum sae_status sae_acts_stream_raw(struct sae_acts_stream *stream,
                                                   uint64_t position, size_t n, uint32_t *row,
                                                   uint16_t *data, struct sae_err *err);

/* Reads the batches of a stream ahead of the caller, in a thread of its own: batch b is the rows
 * [b n, (b + 1) n), the same as by sae_acts_stream_read. While it is open the caller leaves the
 * stream and its store alone, and holds sae_h5_lock around every other use of HDF5. */
struct sae_acts_prefetch;

/* n_batches: the thread stops there; later batches are read when they are asked for. */
SAE_MUST_CHECK enum sae_status sae_acts_prefetch_open(struct sae_acts_prefetch **ret,
                                                      struct sae_acts_stream *stream, size_t n,
                                                      size_t d, uint64_t n_batches,
                                                      struct sae_err *err);
void sae_acts_prefetch_close(struct sae_acts_prefetch *prefetch); /* accepts NULL */
/* *ret: [n][d], the caller's to read and to change until the next call. Any batch may be asked for;
 * in order there is no waiting. Fails: as sae_acts_stream_read, for this batch */
SAE_MUST_CHECK enum sae_status sae_acts_prefetch_next(struct sae_acts_prefetch *prefetch,
                                                      uint64_t batch, float **ret,
                                                      struct sae_err *err);

/* Likewise with the rows as the store has them (sae_acts_stream_raw). */
struct sae_acts_rows {
    const uint32_t *row;  /* [n] */
    const uint16_t *data; /* [n][d]; may be NULL after sae_acts_prefetch_numbers_only */
};
SAE_MUST_CHECK enum sae_status sae_acts_prefetch_open_raw(struct sae_acts_prefetch **ret,
                                                          struct sae_acts_stream *stream, size_t n,
                                                          size_t d, uint64_t n_batches,
                                                          struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_acts_prefetch_next_raw(struct sae_acts_prefetch *prefetch,
                                                          uint64_t batch, struct sae_acts_rows *ret,
                                                          struct sae_err *err);
/* The caller holds every row and from now on wants their numbers alone. */
void sae_acts_prefetch_numbers_only(struct sae_acts_prefetch *prefetch);

/* --- writing ------------------------------------------------------------------------------ */

/* One shard's rows, collected by the caller. rows is bf16 [n][d]. token, document and position may
 * be NULL: unknown. */
struct sae_acts_shard {
    size_t n, d;
    const uint16_t *rows;
    const uint32_t *token;
    const uint32_t *document;
    const uint16_t *position;
};

/* Writes dir/acts_<index>.h5. */
SAE_MUST_CHECK enum sae_status sae_acts_shard_write(const char *dir, size_t index,
                                                    const struct sae_acts_shard *shard,
                                                    const json_t *record, bool force,
                                                    struct sae_err *err);
/* Writes acts.json over the n_shards shards present (reads their ids). */
SAE_MUST_CHECK enum sae_status sae_acts_finish(const char *dir, size_t n_shards,
                                               const json_t *record, struct sae_err *err);

#endif /* SAE_LIB_FILE_ACTS_H */
