/* SPDX-License-Identifier: MIT */
/* acts.json beside two whole shards; and any JSON (mode 1), which must survive being written. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/file/acts.h"
#include "lib/file/json.h"
#include "tests/fuzz/fuzz.h"

enum { D = 4, ROWS = 6 };

static void make_store(void)
{
    static int is_made;
    static uint16_t rows[ROWS * D], position[ROWS];
    static uint32_t token[ROWS];
    struct sae_err err;
    if (is_made)
        return;
    is_made = 1;
    json_t *const record = json_pack("{s:s, s:{s:s, s:i, s:i}}", "program", "fuzz", "site", "model",
                                     "m", "layer", 1, "d", D);
    const struct sae_acts_shard shard = {ROWS, D, rows, token, token, position};
    mkdir(fuzz_path("acts"), 0755);
    if (sae_acts_shard_write(fuzz_path("acts"), 0, &shard, record, true, &err) != SAE_OK ||
        sae_acts_shard_write(fuzz_path("acts"), 1, &shard, record, true, &err) != SAE_OK ||
        sae_acts_finish(fuzz_path("acts"), 2, record, &err) != SAE_OK) {
        fprintf(stderr, "fuzz: %s\n", err.msg);
        _Exit(99);
    }
    json_decref(record);
}

void fuzz_seeds(void)
{
    static char text[1 << 14];
    make_store();
    FILE *const file = fopen(fuzz_path("acts/acts.json"), "rb");
    if (file == NULL)
        abort();
    const size_t n = fread(text + 1, 1, sizeof text - 1, file);
    fclose(file);
    fuzz_seed(text, n + 1);
    fuzz_seed_text(1, "{\"a\":[1,2.5,-0.0,1e300,\"\\u00e9\\ud83d\\ude42\",null,true,{}],\"b\":{}}");
    fuzz_seed_text(1, "[9223372036854775807,-9223372036854775808,1e-320]");
}

static void read_store(void)
{
    struct sae_acts *acts = NULL;
    struct sae_acts_stream *stream = NULL;
    struct sae_err err = {0};
    float x[2 * ROWS * D];
    if (!fuzz_ok(sae_acts_open(&acts, fuzz_path("acts"), &err), &err))
        return;
    FUZZ_REQUIRE(strlen(sae_acts_id(acts)) == 64 && json_is_object(sae_acts_record(acts)));
    const size_t n = sae_acts_n_rows(acts);
    if (sae_acts_d(acts) == D && n <= 2 * ROWS) {
        (void)fuzz_ok(sae_acts_read(acts, 0, n, x, &err), &err);
        if (fuzz_ok(sae_acts_stream_open(&stream, acts, n, 1, &err), &err)) {
            (void)fuzz_ok(sae_acts_stream_read(stream, 3, ROWS, x, &err), &err);
            sae_acts_stream_close(stream);
        }
    }
    sae_acts_close(acts);
}

static void read_json(const uint8_t *bytes, size_t n)
{
    json_t *one = NULL, *two = NULL;
    struct sae_err err = {0};
    const char *const path = fuzz_put("x.json", bytes, n);
    if (!fuzz_ok(sae_json_load(&one, path, &err), &err))
        return;
    (void)sae_json_real(one, "a.b", 0);
    (void)sae_json_u64(one, "a", 0);
    FUZZ_REQUIRE(sae_json_save(path, one, &err) == SAE_OK);
    FUZZ_REQUIRE(sae_json_load(&two, path, &err) == SAE_OK && json_equal(one, two));
    json_decref(one);
    json_decref(two);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < 1)
        return 0;
    make_store();
    if (bytes[0] % 2 == 1) {
        read_json(bytes + 1, n - 1);
        return 0;
    }
    fuzz_put("acts/acts.json", bytes + 1, n - 1);
    read_store();
    return 0;
}
