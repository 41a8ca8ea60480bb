/* SPDX-License-Identifier: MIT */
/* parquet_inner : what the files of the Parquet reader share.
 *
 *   parquet_meta.c    the footer: columns, row groups, where their bytes are
 *   parquet_codec.c   decompression
 *   parquet_values.c  runs, bit-packed numbers, deltas
 *   parquet_page.c    a column: its pages, one entry after the other
 *   parquet.c         rows
 *
 * Names and numbers are those of the format: parquet.thrift and Encodings.md of Apache Parquet. */
#ifndef SAE_LIB_TEXT_PARQUET_INNER_H
#define SAE_LIB_TEXT_PARQUET_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/map.h"
#include "lib/text/parquet.h"

/* --- the footer ---------------------------------------------------------------------------- */

enum pq_type { PQ_BOOLEAN, PQ_INT32, PQ_INT64, PQ_INT96, PQ_FLOAT, PQ_DOUBLE, PQ_BYTES, PQ_FIXED };
enum pq_kind { PQ_TEXT, PQ_BINARY, PQ_WHOLE, PQ_REAL, PQ_TRUTH, PQ_OTHER };
enum pq_codec { PQ_UNCOMPRESSED = 0, PQ_SNAPPY = 1, PQ_GZIP = 2, PQ_ZSTD = 6 };

/* A leaf of the schema. */
struct pq_leaf {
    char *name;     /* "text", "answers.text": names on the way, without those that make a list */
    size_t n_group; /* of "answers.text" 7; 0: it stands by itself */
    int type;   /* enum pq_type */
    enum pq_kind kind;
    bool is_unsigned;
    int max_def, max_rep;
    int list_def; /* definition level from which on the list has an element */
};

/* The pages of one column in one row group. */
struct pq_chunk {
    uint64_t at, n_bytes; /* in the file */
    uint64_t n_values;    /* entries: values, nulls, empty lists */
    int32_t codec;
    bool encrypted, elsewhere; /* in another file */
};

struct pq_meta {
    size_t n_leaves, cap_leaves, n_groups, cap_groups, cap_chunks;
    struct pq_leaf *leaf;
    uint64_t *group_rows;   /* [n_groups] */
    struct pq_chunk *chunk; /* [n_groups][n_leaves] */
};

/* path: for messages. Fails: SAE_EFORMAT no Parquet, cut, encrypted, damaged; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status pq_meta_read(struct pq_meta *ret, const struct sae_map *map,
                                            const char *path, struct sae_err *err);
void pq_meta_clear(struct pq_meta *meta);

/* --- values -------------------------------------------------------------------------------- */

/* Runs of equal numbers and bit-packed ones, mixed. */
struct pq_runs {
    const uint8_t *at, *end;
    int width; /* bits, 0 to 32 */
    uint64_t left;
    bool packed;
    uint32_t value;
    const uint8_t *bits; /* of a packed run: its bytes, and how many bits are read */
    uint64_t bit;
};
void pq_runs_init(struct pq_runs *runs, const uint8_t *at, const uint8_t *end, int width);
SAE_MUST_CHECK bool pq_runs_next(struct pq_runs *runs, uint32_t *ret); /* false: the bytes have ended */

/* DELTA_BINARY_PACKED */
struct pq_delta {
    const uint8_t *at, *end;
    uint64_t left, in_mini, per_mini, n_mini; /* numbers left of all, and of the miniblock */
    uint64_t value, least, mini;
    const uint8_t *widths, *bits;
    uint64_t bit;
    int width;
    bool first;
};
SAE_MUST_CHECK bool pq_delta_init(struct pq_delta *delta, const uint8_t *at, const uint8_t *end);
SAE_MUST_CHECK bool pq_delta_next(struct pq_delta *delta, int64_t *ret);
/* The first byte after all of its numbers; NULL: they are cut. Call it before the first number. */
const uint8_t *pq_delta_end(const struct pq_delta *delta);

/* --- columns ------------------------------------------------------------------------------- */

struct pq_value {
    const char *s; /* PQ_TEXT, PQ_BINARY: valid until the next entry */
    size_t n;
    int64_t whole; /* PQ_WHOLE, PQ_TRUTH */
    double real;
};

struct pq_buffer {
    uint8_t *v;
    size_t cap;
};

struct pq_column {
    const struct pq_leaf *leaf;
    const char *path; /* for messages; borrowed */
    const struct sae_map *map;
    /* the chunk */
    const uint8_t *at, *end, *dropped; /* up to there the map's memory is given back */
    uint64_t values_left; /* entries of pages not begun */
    int codec;
    /* its dictionary */
    struct pq_buffer dict;
    const uint8_t *dict_bytes;
    size_t dict_n_bytes, n_dict, cap_dict_at;
    uint32_t *dict_at; /* [n_dict] of texts: where each begins */
    /* the page */
    struct pq_buffer page;
    uint64_t page_left; /* entries */
    int encoding;
    struct pq_runs reps, defs, indices;
    struct pq_delta prefixes, lengths;
    const uint8_t *bytes, *bytes_end;
    size_t n_taken, n_split; /* PLAIN truths, BYTE_STREAM_SPLIT: values read, and in the page */
    struct pq_buffer last; /* DELTA_BYTE_ARRAY: the value before */
    size_t n_last;
    /* the repetition level of the next entry, read ahead */
    bool has_rep;
    uint32_t rep;
};

void pq_column_begin(struct pq_column *column, const struct pq_chunk *chunk);
void pq_column_clear(struct pq_column *column);
/* The repetition level of the next entry; *ret_more false: the chunk has ended. Invalidates texts. */
SAE_MUST_CHECK enum sae_status pq_column_peek(struct pq_column *column, bool *ret_more, uint32_t *ret,
                                              struct sae_err *err);
/* The entry that was peeked at: its definition level, and its value where that is the leaf's max_def. */
SAE_MUST_CHECK enum sae_status pq_column_take(struct pq_column *column, int *ret_def,
                                              struct pq_value *ret, struct sae_err *err);
/* Of a column without lists: passes over up to n entries, whole pages of them unread, and subtracts
 * them from *n. Entries of a page that is begun are left to peek and take. */
SAE_MUST_CHECK enum sae_status pq_column_skip(struct pq_column *column, uint64_t *n,
                                              struct sae_err *err);

/* Unpacks into exactly n_to bytes. why: what is wrong. Fails: SAE_EFORMAT; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status pq_unpack(int codec, uint8_t *to, size_t n_to, const uint8_t *from,
                                         size_t n_from, const char *path, struct sae_err *err);
/* Whether pages of this codec can be read; else the message says why not. */
SAE_MUST_CHECK enum sae_status pq_check_codec(int codec, const char *path, const char *column,
                                              struct sae_err *err);

static inline uint32_t pq_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t pq_u64(const uint8_t *at)
{
    return (uint64_t)pq_u32(at) | (uint64_t)pq_u32(at + 4) << 32;
}

#endif /* SAE_LIB_TEXT_PARQUET_INNER_H */
