/* SPDX-License-Identifier: MIT */
/* Compressed bytes as they are on disk, line by line; and what a CSV reader makes of them: records
 * that are written again, quoted, must be read as the same. Mode 0: lines, 1: CSV. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "lib/text/bytes.h"
#include "lib/text/csv.h"
#include "tests/fuzz/fuzz.h"

void fuzz_seeds(void)
{
    static const char text[] = "a,b\n\"c, d\",\"e\"\"f\"\r\nthe end of it all, all, all, all\n";
    uint8_t packed[1024] = {0};
    packed[1 + ZSTD_compress(packed + 1, 1000, text, sizeof text - 1, 3)] = 0;
    fuzz_seed(packed, 1 + ZSTD_compress(packed + 1, 1000, text, sizeof text - 1, 3));
    z_stream z = {0};
    if (deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    z.next_in = (uint8_t *)(uintptr_t)text;
    z.avail_in = sizeof text - 1;
    z.next_out = packed + 1;
    z.avail_out = 1000;
    deflate(&z, Z_FINISH);
    deflateEnd(&z);
    fuzz_seed(packed, 1 + z.total_out);
    memcpy(packed + 1 + z.total_out, packed + 1, z.total_out); /* two members */
    fuzz_seed(packed, 1 + 2 * z.total_out);
    fuzz_seed_text(0, "\xEF\xBB\xBFplain\r\nlines\n\nwithout end");
    fuzz_seed_text(1, text);
    fuzz_seed_text(1, "x;y\n\"open");
}

static void read_lines(const char *path)
{
    struct sae_bytes in = {0};
    struct sae_str line = {0};
    struct sae_err err = {0};
    bool more = true, whole;
    size_t total = 0;
    if (fuzz_ok(sae_bytes_open(&in, path, &err), &err))
        while (more && total < 1 << 24 &&
               fuzz_ok(sae_bytes_line_part(&in, &line, SIZE_MAX, &more, &whole, &err), &err))
            total += line.len + 1;
    sae_bytes_close(&in);
    sae_str_clear(&line);
}

/* Reads records; writes them again to `to`, or compares them with those written. */
static bool each_record(const char *path, struct sae_str *to, size_t *ret_n)
{
    struct sae_bytes in = {0};
    struct sae_csv csv;
    struct sae_err err = {0};
    bool more = true, whole = false;
    *ret_n = 0;
    if (!fuzz_ok(sae_bytes_open(&in, path, &err), &err))
        return false;
    sae_csv_init(&csv, &in, path, ',');
    for (;;) {
        if (!fuzz_ok(sae_csv_next(&csv, &more, &err), &err))
            break;
        whole = !more;
        if (!more)
            break;
        ++*ret_n;
        (void)sae_csv_column(&csv, "text");
        for (size_t f = 0; f < csv.n_fields; f++) {
            if (sae_str_append(to, f > 0 ? ",\"" : "\"", f > 0 ? 2 : 1, &err) != SAE_OK)
                abort();
            for (size_t i = 0; i < csv.field[f].len; i++)
                if (sae_str_append(to, csv.field[f].s[i] == '"' ? "\"\"" : &csv.field[f].s[i],
                                   csv.field[f].s[i] == '"' ? 2 : 1, &err) != SAE_OK)
                    abort();
            if (sae_str_append(to, "\"", 1, &err) != SAE_OK)
                abort();
        }
        if (sae_str_append(to, "\n", 1, &err) != SAE_OK)
            abort();
    }
    sae_csv_clear(&csv);
    sae_bytes_close(&in);
    return whole;
}

static void read_csv(const char *path)
{
    struct sae_str once = {0}, twice = {0};
    size_t n, n_again;
    if (each_record(path, &once, &n) && n > 0) {
        FUZZ_REQUIRE(each_record(fuzz_put("again.csv", once.s, once.len), &twice, &n_again));
        FUZZ_REQUIRE(n == n_again && once.len == twice.len);
        FUZZ_REQUIRE(memcmp(once.s, twice.s, once.len) == 0);
    }
    sae_str_clear(&once);
    sae_str_clear(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < 1)
        return 0;
    const char *const path = fuzz_put("x", bytes + 1, n - 1);
    if (bytes[0] % 2 == 1)
        read_csv(path);
    else
        read_lines(path);
    return 0;
}
