/* SPDX-License-Identifier: MIT */
/* A Parquet file. Checksums, which would stop every change at the door, are those of a file without any. */
#include <stdio.h>
#include <string.h>

#include "lib/text/parquet.h"
#include "lib/text/parquet_inner.h"
#include "tests/fuzz/fuzz.h"

void fuzz_seeds(void)
{
    static const char *const names[] = {
        "dictionary_gzip_v1", "dictionary_gzip_v2", "plain_gzip_v1", "plain_gzip_v2", "delta_gzip_v1",
        "delta_gzip_v2",      "front_gzip_v1",      "front_gzip_v2", "plain_none_v1", "front_zstd_v2",
        "ids",                "two",                "labels",        "lists",         "decimal",
        "split_zstd_v2"};
    char path[100];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "tests/golden/parquet/%s.parquet", names[i]);
        fuzz_seed_file(0, path);
        fuzz_seed_file(1, path);
    }
    /* numbers: 3 bits each, a run of 9 and a packed one of 8; deltas of 1 to 5, 32 in a miniblock */
    fuzz_seed("\7\3\x12\5\3\x88\xc6\xfa", 8);
    fuzz_seed("\7\0\x80\1\4\5\2\2\0\0\0\0", 12);
    fuzz_seed("\7\0\x80\1\4\x42\2\2\1\2\0\0\1\2\3\4\1\2\3\4\5\6\7\x8", 24);
}

static bool read_row(struct sae_parquet *p, json_t **ret, struct sae_err *err)
{
    uint64_t n_replaced = 0;
    *ret = NULL;
    return fuzz_ok(sae_parquet_row(p, ret, &n_replaced, err), err);
}

/* What rows are must not depend on how many were passed over before. */
static void read_rows(const char *path, size_t skip)
{
    struct sae_err err = {0};
    struct sae_parquet *all = NULL, *some = NULL;
    bool more = true, more_some = true;
    if (!fuzz_ok(sae_parquet_open(&all, path, &err), &err))
        return;
    FUZZ_REQUIRE(sae_parquet_open(&some, path, &err) == SAE_OK);
    bool go = fuzz_ok(sae_parquet_select(all, SIZE_MAX, NULL, &err), &err) &&
              fuzz_ok(sae_parquet_select(some, SIZE_MAX, NULL, &err), &err);
    for (size_t n = 0; go && n < 200; n++) {
        json_t *a = NULL, *b = NULL;
        go = fuzz_ok(sae_parquet_next(all, &more, &err), &err) && more && read_row(all, &a, &err);
        if (go && fuzz_ok(sae_parquet_next(some, &more_some, &err), &err)) {
            FUZZ_REQUIRE(more_some);
            if (n % (skip + 1) == skip && read_row(some, &b, &err))
                FUZZ_REQUIRE(json_equal(a, b));
        }
        json_decref(a);
        json_decref(b);
    }
    sae_parquet_close(all);
    sae_parquet_close(some);
}

/* Numbers of runs and deltas by themselves: what ends early says so, and ends where it should. */
static void read_numbers(const uint8_t *bytes, size_t n)
{
    struct pq_runs runs;
    struct pq_delta delta;
    uint32_t value;
    int64_t number;
    if (n < 1)
        return;
    const int width = bytes[0] % 33;
    pq_runs_init(&runs, bytes + 1, bytes + n, width);
    for (int i = 0; i < 5000 && pq_runs_next(&runs, &value); i++)
        FUZZ_REQUIRE(width == 32 || value >> width == 0 || !runs.packed);
    if (!pq_delta_init(&delta, bytes + 1, bytes + n))
        return;
    const uint8_t *const end = pq_delta_end(&delta);
    uint64_t got = 0;
    const uint64_t total = delta.left;
    while (got < 100000 && pq_delta_next(&delta, &number))
        got++;
    FUZZ_REQUIRE(got == 100000 || (got == total) == (end != NULL));
    FUZZ_REQUIRE(got < total || end == NULL || delta.at == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < 1)
        return 0;
    const char *const path = fuzz_put("a.parquet", bytes + 1, n - 1);
    if (bytes[0] % 8 == 7)
        read_numbers(bytes + 1, n - 1);
    else
        read_rows(path, bytes[0] % 8);
    return 0;
}
