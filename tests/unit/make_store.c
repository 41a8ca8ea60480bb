/* SPDX-License-Identifier: MIT */
/* make_store : writes an activation store of synthetic rows, for tests and trials.
 *
 *   make_store DIR [rows 20000] [d 32] [seed 1] [kind ortho|correlated|nan] [active 4]
 *              [features 2d] [shards 2] [noise 0.01]
 *
 * Arguments are positional, later ones may be left out. Rows are pure functions of (seed, row).
 * kind nan is ortho with one NaN in row 5. The record names model "synthetic", layer 0. An
 * existing store is replaced. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/file/acts.h"
#include "tests/unit/synth.h"

static double number(int argc, char **argv, int at, double otherwise)
{
    return argc > at ? strtod(argv[at], NULL) : otherwise;
}

static void check(enum sae_status st, const struct sae_err *err)
{
    if (st == SAE_OK)
        return;
    fprintf(stderr, "make_store: %s\n", err->msg);
    exit(1);
}

static json_t *make_record(size_t d, size_t seed, const char *kind)
{
    return json_pack("{s:s, s:s, s:s, s:{s:s, s:I}, s:[], s:{s:s, s:s, s:i, s:s, s:I, s:i}}",
                     "program", "make_store", "version", SAE_VERSION, "command", "make_store",
                     "options", "kind", kind, "seed", (json_int_t)seed, "inputs", "site", "model",
                     "synthetic", "model_id", "0", "layer", 0, "hook", "none", "d", (json_int_t)d,
                     "context", 128);
}

static void write_shard(const char *dir, size_t index, size_t first, size_t n,
                        const struct synth *s, bool nan_row, const json_t *record)
{
    struct sae_err err = {0};
    uint16_t *const rows = calloc(n * s->d, sizeof *rows), *const position = calloc(n, 2);
    uint32_t *const token = calloc(n, 4), *const document = calloc(n, 4);
    float *const x = calloc(s->d, sizeof *x);
    if (!rows || !position || !token || !document || !x)
        exit(1);
    for (size_t r = 0; r < n; r++) {
        synth_row(s, first + r, x);
        if (nan_row && first + r == 5)
            x[3] = NAN;
        sae_bf16_narrow(rows + r * s->d, x, s->d);
        token[r] = (uint32_t)((first + r) % 1000);
        document[r] = (uint32_t)((first + r) / 127);
        position[r] = (uint16_t)((first + r) % 127 + 1);
    }
    const struct sae_acts_shard shard = {n, s->d, rows, token, document, position};
    check(sae_acts_shard_write(dir, index, &shard, record, true, &err), &err);
    free(rows);
    free(position);
    free(token);
    free(document);
    free(x);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: make_store DIR [rows] [d] [seed] [kind] [active] [features] "
                        "[shards] [noise]\n");
        return 2;
    }
    struct sae_err err = {0};
    const size_t rows = (size_t)number(argc, argv, 2, 20000), d = (size_t)number(argc, argv, 3, 32);
    const size_t seed = (size_t)number(argc, argv, 4, 1);
    const char *const kind = argc > 5 ? argv[5] : "ortho";
    const size_t shards = (size_t)number(argc, argv, 8, 2);
    struct synth s;
    synth_open(&s, strcmp(kind, "correlated") == 0 ? SYNTH_CORRELATED : SYNTH_ORTHO, d,
               (size_t)number(argc, argv, 7, 2 * (double)d), number(argc, argv, 6, 4),
               number(argc, argv, 9, 0.01), seed);
    json_t *const record = make_record(d, seed, kind);
    check(sae_fs_make_dirs(argv[1], &err), &err);
    for (size_t i = 0; i < shards; i++) {
        const size_t first = rows * i / shards, last = rows * (i + 1) / shards;
        write_shard(argv[1], i, first, last - first, &s, strcmp(kind, "nan") == 0, record);
    }
    check(sae_acts_finish(argv[1], shards, record, &err), &err);
    printf("%s: %zu rows of width %zu in %zu shards\n", argv[1], rows, d, shards);
    json_decref(record);
    synth_close(&s);
    return 0;
}
