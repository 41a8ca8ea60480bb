/* SPDX-License-Identifier: MIT */
/* Tests of lib/file/acts: writing, reading across shards, the training order, and refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <hdf5.h>

#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/base/rng.h"
#include "lib/file/acts.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"

enum { D = 4 };

static char dir[] = "/tmp/saekit-acts-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

/* Row r holds r / 128, r % 128, -r / 128 and 1: exact in bf16 while r / 128 < 256. */
static void fill_row(size_t r, uint16_t *row)
{
    row[0] = sae_bf16_from_f32((float)(r / 128));
    row[1] = sae_bf16_from_f32((float)(r % 128));
    row[2] = sae_bf16_from_f32(-(float)(r / 128));
    row[3] = sae_bf16_from_f32(1);
}

static size_t row_of(const float *x)
{
    return (size_t)x[0] * 128 + (size_t)x[1];
}

static int layer = 3; /* of the shards to come */

static enum sae_status write_shard(const char *store, size_t index, size_t first, size_t n,
                                   size_t bad_row, bool force, struct sae_err *err)
{
    uint16_t *const rows = calloc(n * D, 2), *const position = calloc(n, 2);
    uint32_t *const token = calloc(n, 4), *const document = calloc(n, 4);
    json_t *const record = json_pack("{s:s, s:{s:i}}", "program", "test", "site", "layer", layer);
    for (size_t i = 0; i < n; i++) {
        fill_row(first + i, rows + i * D);
        if (first + i == bad_row)
            rows[i * D + 2] = sae_bf16_from_f32(NAN);
        token[i] = (uint32_t)(first + i);
        document[i] = (uint32_t)((first + i) / 10);
        position[i] = (uint16_t)((first + i) % 10 + 1);
    }
    const struct sae_acts_shard shard = {n, D, rows, token, document, position};
    const enum sae_status st = sae_acts_shard_write(store, index, &shard, record, force, err);
    json_decref(record);
    free(rows);
    free(position);
    free(token);
    free(document);
    return st;
}

/* A store of three shards of unequal size. */
static void make_store(const char *store, size_t n_rows, size_t bad_row)
{
    struct sae_err err = {0};
    const size_t cut[4] = {0, n_rows / 5, n_rows / 2 + 1, n_rows};
    json_t *const record = json_pack("{s:s, s:{s:i}}", "program", "test", "site", "layer", 3);
    assert_int_equal(sae_fs_make_dirs(store, &err), SAE_OK);
    for (size_t s = 0; s < 3; s++)
        assert_int_equal(write_shard(store, s, cut[s], cut[s + 1] - cut[s], bad_row, true, &err),
                         SAE_OK);
    assert_int_equal(sae_acts_finish(store, 3, record, &err), SAE_OK);
    json_decref(record);
}

static void store_path(char path[64], const char *name)
{
    snprintf(path, 64, "%s/%s", dir, name);
}

static struct sae_acts *open_store(const char *path)
{
    struct sae_acts *acts = NULL;
    struct sae_err err = {0};
    if (sae_acts_open(&acts, path, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    return acts;
}

static void test_read(void **state)
{
    (void)state;
    char path[64], shard[100], index[100];
    struct sae_err err = {0};
    store_path(path, "read");
    make_store(path, 1000, SIZE_MAX);
    snprintf(shard, sizeof shard, "%s/acts_00001.h5", path);
    snprintf(index, sizeof index, "%s/acts.json", path);
    const char *const names[] = {path, shard, index};
    char id[65] = "";
    for (size_t n = 0; n < 3; n++) {
        struct sae_acts *const acts = open_store(names[n]);
        float x[400 * D];
        assert_int_equal(sae_acts_n_rows(acts), 1000);
        assert_int_equal(sae_acts_d(acts), D);
        assert_string_equal(sae_acts_dir(acts), path);
        assert_int_equal(sae_json_u64(sae_acts_record(acts), "site.layer", 0), 3);
        if (n > 0)
            assert_string_equal(sae_acts_id(acts), id);
        snprintf(id, sizeof id, "%s", sae_acts_id(acts));
        assert_int_equal(sae_acts_read(acts, 190, 400, x, &err), SAE_OK);
        for (size_t r = 0; r < 400; r++) {
            assert_int_equal(row_of(x + r * D), 190 + r);
            assert_true(x[r * D + 2] <= 0 && x[r * D + 3] > 0.5F);
        }
        sae_acts_close(acts);
    }
}

static void test_tokens(void **state)
{
    (void)state;
    char path[64];
    uint32_t token[30], document[30];
    uint16_t position[30];
    struct sae_err err = {0};
    store_path(path, "read");
    struct sae_acts *const acts = open_store(path);
    assert_int_equal(sae_acts_read_tokens(acts, 195, 30, token, document, position, &err), SAE_OK);
    for (size_t i = 0; i < 30; i++) {
        assert_int_equal(token[i], 195 + i);
        assert_int_equal(document[i], (195 + i) / 10);
        assert_int_equal(position[i], (195 + i) % 10 + 1);
    }
    memset(token, 0, sizeof token);
    assert_int_equal(sae_acts_read_tokens(acts, 0, 5, NULL, document, NULL, &err), SAE_OK);
    assert_int_equal(sae_acts_read_tokens(acts, 990, 11, token, NULL, NULL, &err), SAE_ERANGE);
    float x[D];
    assert_int_equal(sae_acts_read(acts, 1000, 1, x, &err), SAE_ERANGE);
    assert_int_equal(sae_acts_read(acts, SIZE_MAX, 2, x, &err), SAE_ERANGE);
    assert_int_equal(sae_acts_read(acts, 1000, 0, x, &err), SAE_OK);
    sae_acts_close(acts);
}

/* Rows as the store has them, their numbers alone, and x are the same. */
static void check_raw(struct sae_acts_stream *stream, uint64_t position, size_t n, const float *x)
{
    struct sae_err err = {0};
    uint16_t *const data = calloc(n * D, sizeof *data);
    uint32_t *const row = calloc(n, sizeof *row), *const alone = calloc(n, sizeof *alone);
    float wide[D];
    assert_int_equal(sae_acts_stream_raw(stream, position, n, alone, NULL, &err), SAE_OK);
    assert_int_equal(sae_acts_stream_raw(stream, position, n, row, data, &err), SAE_OK);
    assert_memory_equal(alone, row, n * sizeof *row);
    for (size_t t = 0; t < n; t++) {
        sae_bf16_widen(wide, data + t * D, D);
        assert_memory_equal(wide, x + t * D, sizeof wide);
        assert_int_equal(row[t] % 32768, row_of(x + t * D) % 32768);
    }
    free(data);
    free(row);
    free(alone);
}

/* Each epoch has every row once; the order differs by epoch and by seed, not by how it is read. */
static void check_epochs(struct sae_acts *acts, size_t n_train)
{
    struct sae_err err = {0};
    struct sae_acts_stream *a = NULL, *b = NULL, *other = NULL;
    float *const x = calloc(3 * n_train * D, sizeof *x), *const y = calloc(n_train * D, sizeof *y);
    unsigned char *const seen = calloc(n_train, 1);
    assert_int_equal(sae_acts_stream_open(&a, acts, n_train, 7, &err), SAE_OK);
    assert_int_equal(sae_acts_stream_open(&b, acts, n_train, 7, &err), SAE_OK);
    assert_int_equal(sae_acts_stream_open(&other, acts, n_train, 8, &err), SAE_OK);
    for (size_t at = 0; at < 3 * n_train; at += 97) { /* across windows and epochs */
        const size_t n = 3 * n_train - at < 97 ? 3 * n_train - at : 97;
        assert_int_equal(sae_acts_stream_read(a, at, n, x + at * D, &err), SAE_OK);
    }
    for (size_t epoch = 0; epoch < 3; epoch++) {
        memset(seen, 0, n_train);
        for (size_t r = 0; r < n_train; r++) {
            const size_t row = row_of(x + (epoch * n_train + r) * D);
            assert_true(row < n_train);
            assert_int_equal(seen[row]++, 0);
        }
    }
    assert_memory_not_equal(x, x + n_train * D, n_train * D * sizeof *x);
    /* from the middle, backwards, in one piece: the same rows */
    const size_t middle = n_train + n_train / 2;
    assert_int_equal(sae_acts_stream_read(b, middle, n_train, y, &err), SAE_OK);
    assert_memory_equal(y, x + middle * D, n_train * D * sizeof *x);
    assert_int_equal(sae_acts_stream_read(b, 3, n_train - 3, y, &err), SAE_OK);
    assert_memory_equal(y, x + 3 * D, (n_train - 3) * D * sizeof *x);
    assert_int_equal(sae_acts_stream_read(other, 0, n_train, y, &err), SAE_OK);
    assert_memory_not_equal(y, x, n_train * D * sizeof *x);
    check_raw(a, middle, n_train, x + middle * D);
    sae_acts_stream_close(a);
    sae_acts_stream_close(b);
    sae_acts_stream_close(other);
    free(x);
    free(y);
    free(seen);
}

static void test_stream(void **state)
{
    (void)state;
    char path[64];
    struct sae_err err = {0};
    store_path(path, "read");
    struct sae_acts *acts = open_store(path);
    check_epochs(acts, 1000); /* four blocks, the last short; one window */
    check_epochs(acts, 255);
    check_epochs(acts, 512);
    struct sae_acts_stream *stream = NULL;
    assert_int_equal(sae_acts_stream_open(&stream, acts, 1001, 1, &err), SAE_ERANGE);
    assert_int_equal(sae_acts_stream_open(&stream, acts, 0, 1, &err), SAE_ERANGE);
    sae_acts_close(acts);
    /* 257 blocks, the last of 7 rows: two windows, and the short block may lie in either. Rows
     * repeat beyond 32768, so only r / 128 < 256 can be told apart: count by halves. */
    store_path(path, "large");
    make_store(path, 32700, SIZE_MAX);
    acts = open_store(path);
    check_epochs(acts, 32700);
    sae_acts_close(acts);
}

/* More rows than one window: every row is met once. Rows are named by their token there. */
/* The rows that the program in docs/FORMATS.md ("the order of data") gives. */
static void test_documented_order(void **state)
{
    (void)state;
    static const uint32_t want[2][8] = {{507, 551, 243, 216, 436, 587, 129, 110},
                                        {422, 390, 57, 98, 33, 174, 75, 462}};
    char path[64];
    struct sae_err err = {0};
    struct sae_acts_stream *stream = NULL;
    store_path(path, "read");
    struct sae_acts *const acts = open_store(path);
    assert_true(sae_rng_at(42, SAE_RNG_ORDER, 0) == UINT64_C(0x852e586665fe70a6));
    assert_true(sae_rng_at(42, SAE_RNG_ORDER, 1) == UINT64_C(0xb11de8b56bef1d5a));
    assert_int_equal(sae_acts_stream_open(&stream, acts, 600, 42, &err), SAE_OK);
    for (size_t epoch = 0; epoch < 2; epoch++) {
        uint32_t row[8];
        assert_int_equal(sae_acts_stream_raw(stream, epoch * 600, 8, row, NULL, &err), SAE_OK);
        assert_memory_equal(row, want[epoch], sizeof row);
    }
    sae_acts_stream_close(stream);
    sae_acts_close(acts);
}

static void test_windows(void **state)
{
    (void)state;
    enum { ROWS = 256 * 256 + 300, WIDE = 2 };
    char path[64];
    struct sae_err err = {0};
    store_path(path, "wide");
    assert_int_equal(sae_fs_make_dirs(path, &err), SAE_OK);
    uint16_t *const rows = calloc((size_t)ROWS * WIDE, 2), *const position = calloc(ROWS, 2);
    uint32_t *const token = calloc(ROWS, 4);
    for (size_t r = 0; r < ROWS; r++) { /* two numbers below 300, exact in 8 bits each */
        rows[r * WIDE] = sae_bf16_from_f32((float)(r / 512));
        rows[r * WIDE + 1] = sae_bf16_from_f32(
            (float)(r % 512) / 2 >= 128 ? -(float)((r % 512) - 256) - 1 : (float)(r % 512));
    }
    json_t *const record = json_pack("{s:s}", "program", "test");
    const struct sae_acts_shard shard = {ROWS, WIDE, rows, token, token, position};
    assert_int_equal(sae_acts_shard_write(path, 0, &shard, record, true, &err), SAE_OK);
    assert_int_equal(sae_acts_finish(path, 1, record, &err), SAE_OK);
    struct sae_acts *const acts = open_store(path);
    struct sae_acts_stream *stream = NULL;
    unsigned char *const seen = calloc(ROWS, 1);
    float *const x = calloc((size_t)ROWS * WIDE, sizeof *x);
    assert_int_equal(sae_acts_stream_open(&stream, acts, ROWS, 1, &err), SAE_OK);
    for (uint64_t epoch = 0; epoch < 4; epoch++) {
        memset(seen, 0, ROWS);
        assert_int_equal(sae_acts_stream_read(stream, epoch * ROWS, ROWS, x, &err), SAE_OK);
        for (size_t r = 0; r < ROWS; r++) {
            const float low = x[r * WIDE + 1];
            const size_t row =
                (size_t)x[r * WIDE] * 512 + (low < 0 ? (size_t)(-low - 1) + 256 : (size_t)low);
            assert_true(row < ROWS);
            assert_int_equal(seen[row]++, 0);
        }
    }
    sae_acts_stream_close(stream);
    sae_acts_close(acts);
    json_decref(record);
    free(rows);
    free(position);
    free(token);
    free(seen);
    free(x);
}

static void test_not_finite(void **state)
{
    (void)state;
    char path[64];
    float x[300 * D];
    struct sae_err err = {0};
    struct sae_acts_stream *stream = NULL;
    store_path(path, "nan");
    make_store(path, 300, 70); /* row 70 is row 10 of the second shard */
    struct sae_acts *const acts = open_store(path);
    assert_int_equal(sae_acts_stream_open(&stream, acts, 300, 1, &err), SAE_OK);
    assert_int_equal(sae_acts_stream_read(stream, 0, 300, x, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "acts_00001.h5' row 10 holds NaN"));
    memset(&err, 0, sizeof err);
    assert_int_equal(sae_acts_read_finite(acts, 71, 200, x, &err), SAE_OK);
    assert_int_equal(sae_acts_read_finite(acts, 20, 200, x, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "acts_00001.h5' row 10 holds NaN"));
    sae_acts_stream_close(stream);
    sae_acts_close(acts);
}

/* The thread gives what the stream gives, in order, after jumps, past the promised end, and when it
 * is closed while it works; a failure is told at the batch that has it, and not before. */
static void test_prefetch(void **state)
{
    (void)state;
    enum { N = 7, BATCHES = 40 };
    static const uint64_t jumps[] = {0, 1, 2, 9, 10, 3, 4, 4, 39, 40, 41, 0};
    char path[64];
    float plain[N * D];
    float *x = NULL;
    struct sae_err err = {0};
    struct sae_acts_stream *a = NULL, *b = NULL;
    struct sae_acts_prefetch *prefetch = NULL;
    store_path(path, "prefetch");
    make_store(path, 700, SIZE_MAX);
    struct sae_acts *const acts = open_store(path), *const other = open_store(path);
    assert_int_equal(sae_acts_stream_open(&a, acts, 650, 3, &err), SAE_OK);
    assert_int_equal(sae_acts_stream_open(&b, other, 650, 3, &err), SAE_OK);
    assert_int_equal(sae_acts_prefetch_open(&prefetch, a, N, D, BATCHES, &err), SAE_OK);
    for (uint64_t i = 0; i < BATCHES + sizeof jumps / sizeof *jumps; i++) {
        const uint64_t batch = i < BATCHES ? i : jumps[i - BATCHES];
        sae_h5_lock();
        assert_int_equal(sae_acts_stream_read(b, batch * N, N, plain, &err), SAE_OK);
        sae_h5_unlock();
        assert_int_equal(sae_acts_prefetch_next(prefetch, batch, &x, &err), SAE_OK);
        assert_memory_equal(x, plain, sizeof plain);
        memset(x, 0xff, sizeof plain); /* the caller's own */
    }
    sae_acts_prefetch_close(prefetch);
    sae_acts_stream_close(a);
    sae_acts_stream_close(b);
    sae_acts_close(acts);
    sae_acts_close(other);
}

/* As the store has them; once the caller holds them all the thread reads numbers alone. */
static void test_prefetch_raw(void **state)
{
    (void)state;
    enum { N = 7, BATCHES = 40 };
    char path[64];
    float plain[N * D], wide[N * D];
    struct sae_err err = {0};
    struct sae_acts_rows rows = {0};
    struct sae_acts_stream *a = NULL, *b = NULL;
    struct sae_acts_prefetch *prefetch = NULL;
    store_path(path, "prefetch");
    struct sae_acts *const acts = open_store(path), *const other = open_store(path);
    assert_int_equal(sae_acts_stream_open(&a, acts, 130, 3, &err), SAE_OK);
    assert_int_equal(sae_acts_stream_open(&b, other, 130, 3, &err), SAE_OK);
    assert_int_equal(sae_acts_prefetch_open_raw(&prefetch, a, N, D, BATCHES, &err), SAE_OK);
    for (uint64_t batch = 0; batch < BATCHES; batch++) {
        sae_h5_lock();
        assert_int_equal(sae_acts_stream_read(b, batch * N, N, plain, &err), SAE_OK);
        sae_h5_unlock();
        assert_int_equal(sae_acts_prefetch_next_raw(prefetch, batch, &rows, &err), SAE_OK);
        for (size_t t = 0; t < N; t++)
            assert_int_equal(rows.row[t], row_of(plain + t * D));
        if (batch < 20) {
            sae_bf16_widen(wide, rows.data, N * D);
            assert_memory_equal(wide, plain, sizeof plain);
        }
        if (batch == 20)
            sae_acts_prefetch_numbers_only(prefetch);
    }
    assert_null(rows.data);
    sae_acts_prefetch_close(prefetch);
    sae_acts_stream_close(a);
    sae_acts_stream_close(b);
    sae_acts_close(acts);
    sae_acts_close(other);
}

static void test_prefetch_fails(void **state)
{
    (void)state;
    enum { N = 4096 };
    char path[64];
    static float plain[N * D];
    float *x = NULL;
    struct sae_err err = {0};
    struct sae_acts_stream *stream = NULL;
    struct sae_acts_prefetch *prefetch = NULL;
    store_path(path, "prefetch_nan");
    make_store(path, 140000, 70); /* three windows, one of them with a NaN */
    struct sae_acts *const acts = open_store(path);
    assert_int_equal(sae_acts_stream_open(&stream, acts, 140000, 1, &err), SAE_OK);
    uint64_t bad = 0;
    while (sae_acts_stream_read(stream, bad * N, N, plain, &err) == SAE_OK)
        bad++;
    assert_true(bad < 140000 / N);
    assert_int_equal(sae_acts_prefetch_open(&prefetch, stream, N, D, 34, &err), SAE_OK);
    for (uint64_t i = 0; i < bad; i++)
        assert_int_equal(sae_acts_prefetch_next(prefetch, i, &x, &err), SAE_OK);
    for (int twice = 0; twice < 2; twice++) {
        memset(&err, 0, sizeof err);
        assert_int_equal(sae_acts_prefetch_next(prefetch, bad, &x, &err), SAE_EFORMAT);
        assert_non_null(strstr(err.msg, "holds NaN"));
    }
    sae_acts_prefetch_close(prefetch);
    sae_acts_stream_close(stream);
    sae_acts_close(acts);
}

static void test_refusals(void **state)
{
    (void)state;
    char path[64], file[100], other[100];
    struct sae_err err = {0};
    struct sae_acts *acts = NULL;
    float x[D];
    store_path(path, "nowhere");
    assert_int_equal(sae_acts_open(&acts, path, &err), SAE_EIO);
    store_path(path, "broken");
    assert_int_equal(sae_fs_make_dirs(path, &err), SAE_OK);
    assert_int_equal(sae_acts_open(&acts, path, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "not a complete activation store"));
    snprintf(file, sizeof file, "%s/prose.txt", path); /* the file asked for is named, not its folder */
    assert_int_equal(sae_fs_write(file, "x", 1, &err), SAE_OK);
    assert_int_equal(sae_acts_open(&acts, file, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "prose.txt' is not a complete"));
    static const struct {
        const char *holds, *says;
    } kinds[] = {{"ckpt_00.h5", "but a run of sae-train"},
                 {"sweep.json", "but a sweep of sae-train"},
                 {"config.json", "sae-harvest --model"},
                 {"acts_00000.h5", "repeat the sae-harvest command"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) { /* named in place of a store */
        snprintf(file, sizeof file, "%s/%s", path, kinds[i].holds);
        assert_int_equal(sae_fs_write(file, "x", 1, &err), SAE_OK);
        assert_int_equal(sae_acts_open(&acts, path, &err), SAE_EFORMAT);
        assert_non_null(strstr(err.msg, kinds[i].says));
        assert_int_equal(unlink(file), 0);
    }
    make_store(path, 500, SIZE_MAX);
    /* a shard of other content under the same name */
    assert_int_equal(write_shard(path, 1, 7, 151, SIZE_MAX, false, &err), SAE_EARG);
    snprintf(file, sizeof file, "%s/acts.json", path);
    assert_true(sae_fs_is_file(file)); /* a refused write leaves the store complete */
    snprintf(other, sizeof other, "%s/kept.json", path);
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(sae_fs_read(&text, &len, file, 1 << 20, &err), SAE_OK);
    assert_int_equal(write_shard(path, 1, 7, 151, SIZE_MAX, true, &err), SAE_OK);
    assert_false(sae_fs_is_file(file)); /* rewriting a shard makes the store unfinished */
    assert_int_equal(sae_fs_write(file, text, len, &err), SAE_OK);
    assert_int_equal(sae_acts_open(&acts, path, &err), SAE_OK);
    assert_int_equal(sae_acts_read(acts, 120, 1, x, &err), SAE_EFORMAT);
    assert_int_equal(sae_acts_read(acts, 10, 1, x, &err), SAE_OK);
    sae_acts_close(acts);
    acts = NULL;
    /* a version to come */
    char *const at = strstr(text, "\"format_version\": 1");
    assert_non_null(at);
    at[strlen("\"format_version\": ")] = '9';
    assert_int_equal(sae_fs_write(file, text, len, &err), SAE_OK);
    assert_int_equal(sae_acts_open(&acts, path, &err), SAE_EVERSION);
    assert_int_equal(sae_fs_write(file, "{}", 2, &err), SAE_OK);
    assert_int_equal(sae_acts_open(&acts, path, &err), SAE_EFORMAT);
    assert_null(acts);
    free(text);
}

/* A shard whose /token is a matrix: more numbers a row than the caller has room for. */
static void test_wide_columns(void **state)
{
    (void)state;
    enum { N = 5, WIDE = 4096 };
    char path[64], file[100];
    struct sae_err err = {0};
    struct sae_h5 *h5 = NULL;
    struct sae_acts *acts = NULL;
    uint16_t rows[N * D] = {0}, position[N] = {0};
    uint32_t document[N] = {0}, token[N];
    uint32_t *const wide = calloc(N * WIDE, sizeof *wide);
    json_t *const record = json_pack("{s:s}", "program", "test");
    store_path(path, "columns");
    snprintf(file, sizeof file, "%s/acts_00000.h5", path);
    assert_int_equal(sae_fs_make_dirs(path, &err), SAE_OK);
    assert_int_equal(sae_h5_create(&h5, file, "activations", false, &err), SAE_OK);
    assert_int_equal(sae_h5_put2(h5, "/rows", SAE_H5_BF16, N, D, rows, &err), SAE_OK);
    assert_int_equal(sae_h5_put2(h5, "/token", SAE_H5_U32, N, WIDE, wide, &err), SAE_OK);
    assert_int_equal(sae_h5_put1(h5, "/document", SAE_H5_U32, N, document, &err), SAE_OK);
    assert_int_equal(sae_h5_put1(h5, "/position", SAE_H5_U16, N, position, &err), SAE_OK);
    assert_int_equal(sae_h5_commit(&h5, "{}", &err), SAE_OK);
    assert_int_equal(sae_acts_finish(path, 1, record, &err), SAE_OK);
    assert_int_equal(sae_acts_open(&acts, path, &err), SAE_OK);
    assert_int_equal(sae_acts_read_tokens(acts, 0, N, token, NULL, NULL, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "/token"));
    sae_acts_close(acts);
    json_decref(record);
    free(wide);
}

/* Equal stores have equal ids, another row another one. */
static void test_id(void **state)
{
    (void)state;
    char path[64], id[65];
    store_path(path, "same");
    make_store(path, 1000, SIZE_MAX);
    struct sae_acts *acts = open_store(path);
    snprintf(id, sizeof id, "%s", sae_acts_id(acts));
    sae_acts_close(acts);
    store_path(path, "read");
    acts = open_store(path);
    assert_string_equal(sae_acts_id(acts), id);
    sae_acts_close(acts);
    store_path(path, "same");
    make_store(path, 1000, 999);
    acts = open_store(path);
    assert_string_not_equal(sae_acts_id(acts), id);
    sae_acts_close(acts);
}

/* --- a store that another program wrote ------------------------------------------------------ */

static void put_text_attribute(hid_t file, const char *name, const char *text)
{
    const hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, H5T_VARIABLE); /* as h5py writes str */
    const hid_t at = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(at, type, &text) >= 0);
    H5Aclose(at);
    H5Sclose(space);
    H5Tclose(type);
}

static void put_number_attribute(hid_t file, const char *name, uint64_t number)
{
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t at = H5Acreate2(file, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(at, H5T_NATIVE_UINT64, &number) >= 0);
    H5Aclose(at);
    H5Sclose(space);
}

static void put_dataset(hid_t file, const char *name, hid_t type, hid_t space, const void *data)
{
    const hid_t set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

/* What docs/FORMATS.md says another program must write, and no more: rows of f32, contiguous, no
 * tokens, text of variable length. */
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
static void test_written_elsewhere(void **state)
{
    (void)state;
    char store[100], path[200];
    float rows[6][D], x[6 * D];
    const hsize_t dims[2] = {6, D};
    const char *record = "{}";
    snprintf(store, sizeof store, "%s/elsewhere", dir);
    assert_int_equal(sae_fs_make_dirs(store, NULL), SAE_OK);
    for (size_t i = 0; i < 6 * D; i++)
        rows[i / D][i % D] = (float)i / 4;
    snprintf(path, sizeof path, "%s/acts_00000.h5", store);
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    put_dataset(file, "rows", H5T_NATIVE_FLOAT, H5Screate_simple(2, dims, NULL), rows);
    const hid_t text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, H5T_VARIABLE);
    put_dataset(file, "record", text, H5Screate(H5S_SCALAR), &record);
    H5Tclose(text);
    put_text_attribute(file, "kind", "activations");
    put_text_attribute(file, "id", ZEROS);
    put_number_attribute(file, "format_version", 1);
    put_number_attribute(file, "shard", 0);
    H5Fclose(file);
    snprintf(path, sizeof path, "%s/acts.json", store);
    static const char index[] =
        "{\"kind\": \"activations\", \"format_version\": 1, \"n_rows\": 6, \"d\": 4, \"id\": \""
        ZEROS "\","
        " \"record\": {}, \"shards\": [{\"file\": \"acts_00000.h5\", \"rows\": 6, \"id\": \""
        ZEROS "\"}]}";
    assert_int_equal(sae_fs_write(path, index, sizeof index - 1, NULL), SAE_OK);
    struct sae_acts *acts = NULL;
    struct sae_err err;
    if (sae_acts_open(&acts, store, &err) != SAE_OK || sae_acts_read(acts, 0, 6, x, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    assert_memory_equal(x, rows, sizeof x);
    assert_int_equal(sae_acts_verify(acts, 0, NULL, NULL, &err), SAE_EARG);
    sae_acts_close(acts);
}

static void count_told(void *n_told, uint64_t done)
{
    assert_int_equal(done, *(uint64_t *)n_told + 1);
    *(uint64_t *)n_told = done;
}

/* Rows changed by a tool that keeps checksums right, under an id that stays. */
static void test_verify(void **state)
{
    (void)state;
    char path[64], shard[100];
    struct sae_err err = {0};
    uint64_t n_told = 0;
    store_path(path, "verify");
    make_store(path, 500, SIZE_MAX);
    struct sae_acts *acts = open_store(path);
    assert_int_equal(sae_acts_verify(acts, 0, count_told, &n_told, &err), SAE_OK);
    assert_int_equal(n_told, 3);
    sae_acts_close(acts);
    snprintf(shard, sizeof shard, "%s/acts_00001.h5", path);
    const hid_t file = H5Fopen(shard, H5F_ACC_RDWR, H5P_DEFAULT);
    const hid_t set = H5Dopen2(file, "/token", H5P_DEFAULT);
    uint32_t token[400];
    assert_true(H5Dread(set, H5T_STD_U32LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, token) >= 0);
    token[7] ^= 1;
    assert_true(H5Dwrite(set, H5T_STD_U32LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, token) >= 0);
    assert_true(H5Dclose(set) >= 0 && H5Fclose(file) >= 0);
    acts = open_store(path);
    assert_int_equal(sae_acts_verify(acts, 1, NULL, NULL, &err), SAE_OK); /* the first shard is whole */
    assert_int_equal(sae_acts_verify(acts, 0, NULL, NULL, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "acts_00001.h5' holds other content than its id says"));
    sae_acts_close(acts);
}

/* A folder into which two harvests wrote can hold shards of two layers. */
static void test_shards_of_two_layers(void **state)
{
    (void)state;
    char path[64];
    struct sae_err err = {0};
    store_path(path, "two");
    make_store(path, 500, SIZE_MAX);
    layer = 2;
    assert_int_equal(write_shard(path, 1, 100, 151, SIZE_MAX, true, &err), SAE_OK);
    layer = 3;
    json_t *const record = json_pack("{s:s, s:{s:i}}", "program", "test", "site", "layer", 3);
    assert_int_equal(sae_acts_finish(path, 3, record, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "acts_00001.h5' is of another model, layer or hook"));
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_elsewhere),
        cmocka_unit_test(test_verify),     cmocka_unit_test(test_shards_of_two_layers),
        cmocka_unit_test(test_read),       cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_stream),     cmocka_unit_test(test_windows),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_documented_order),
        cmocka_unit_test(test_prefetch),   cmocka_unit_test(test_prefetch_raw),
        cmocka_unit_test(test_prefetch_fails), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_id),         cmocka_unit_test(test_wide_columns)};
    return cmocka_run_group_tests_name("acts", tests, setup, teardown);
}
