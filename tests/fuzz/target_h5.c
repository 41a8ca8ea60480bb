/* SPDX-License-Identifier: MIT */
/* Our own HDF5 files with their structure changed: the mode says which (% 7: checkpoints of
 * three architectures, a shard of a store, a labelled set, a word set, a set of last tokens); the rest
 * is for h5_mutate. A checkpoint that is read must be written and read
 * again as the same. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/file/acts.h"
#include "lib/file/lasts.h"
#include "lib/file/sets.h"
#include "lib/sae/ckpt.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/h5_mutate.h"
#include "tests/unit/fixtures/make_ckpt.h"

enum { TOPK, GATED, SHARD, LABELS, WORDS, JUMPRELU, LASTS, N_KINDS, D = 4, ROWS = 12 };

static struct {
    uint8_t *image;
    size_t n;
    char **names;
} files[N_KINDS];

/* --- files to begin from ------------------------------------------------------------------- */

static void must(enum sae_status status, const struct sae_err *err)
{
    if (status != SAE_OK) {
        fprintf(stderr, "fuzz: %s\n", err->msg);
        _Exit(99);
    }
}

static void take(int kind, const char *path)
{
    FILE *const file = fopen(path, "rb");
    files[kind].image = malloc(1 << 20);
    if (file == NULL || files[kind].image == NULL)
        abort();
    files[kind].n = fread(files[kind].image, 1, 1 << 20, file);
    fclose(file);
    files[kind].names = h5_mutate_names(path);
}

static void make_checkpoint(int kind, const char *arch)
{
    struct sae_err err;
    struct make_ckpt want = make_ckpt_default();
    want.arch = arch;
    want.d = D;
    want.m = 16;
    want.k = 2;
    want.tokens = 8;
    must(make_ckpt_save(fuzz_path("ckpt.h5"), &want, &err), &err);
    take(kind, fuzz_path("ckpt.h5"));
}

static void make_sets(void)
{
    struct sae_err err;
    static uint16_t rows[ROWS * D], position[ROWS];
    static uint32_t token[ROWS], label[ROWS / 2];
    static uint64_t start[ROWS / 2 + 1];
    static uint8_t split[ROWS / 2], letter[ROWS], correct[ROWS], word_split[ROWS];
    static float at[ROWS * D];
    char *classes[] = {(char *)"one", (char *)"two"}, *words[ROWS];
    for (size_t i = 0; i < ROWS; i++)
        words[i] = (char *)" word";
    for (size_t t = 0; t < ROWS / 2; t++) {
        start[t + 1] = 2 * t + 2;
        label[t] = t % 2;
        split[t] = t >= 4;
    }
    json_t *const record = json_pack("{s:s, s:{s:s, s:i, s:i}}", "program", "fuzz", "site", "model",
                                     "m", "layer", 1, "d", D);
    const struct sae_acts_shard shard = {ROWS, D, rows, token, token, position};
    const struct sae_labels labels = {.n_texts = ROWS / 2,
                                      .n_rows = ROWS,
                                      .d = D,
                                      .n_classes = 2,
                                      .start = start,
                                      .label = label,
                                      .split = split,
                                      .classes = classes};
    const struct sae_words set = {.n = ROWS,
                                  .d = D,
                                  .words = words,
                                  .token = token,
                                  .letter = letter,
                                  .split = word_split,
                                  .correct = correct,
                                  .probe = at,
                                  .eval = at};
    mkdir(fuzz_path("acts"), 0755);
    must(sae_acts_shard_write(fuzz_path("acts"), 0, &shard, record, true, &err), &err);
    must(sae_acts_finish(fuzz_path("acts"), 1, record, &err), &err);
    take(SHARD, fuzz_path("acts/acts_00000.h5"));
    must(sae_labels_save(fuzz_path("labels_x.h5"), &labels, rows, record, true, &err), &err);
    take(LABELS, fuzz_path("labels_x.h5"));
    must(sae_words_save(fuzz_path("words.h5"), &set, record, true, &err), &err);
    take(WORDS, fuzz_path("words.h5"));
    const struct sae_lasts lasts = {
        .n = ROWS, .d = D, .n_classes = 2, .classes = classes, .x = at, .label = word_split};
    must(sae_lasts_save(fuzz_path("last_x.h5"), &lasts, record, true, &err), &err);
    take(LASTS, fuzz_path("last_x.h5"));
    json_decref(record);
}

static void make_files(void)
{
    if (files[0].image != NULL)
        return;
    make_checkpoint(TOPK, "topk");
    make_checkpoint(GATED, "gated");
    make_checkpoint(JUMPRELU, "jumprelu");
    make_sets();
}

void fuzz_seeds(void)
{
    for (uint8_t kind = 0; kind < N_KINDS; kind++)
        for (uint8_t what = 0; what < 10; what++) {
            const uint8_t seed[] = {kind, what, (uint8_t)(3 * what), (uint8_t)(what + 7), kind};
            fuzz_seed(seed, sizeof seed);
        }
    static const char record[] = "\0\11\0\40\0{\"program\":\"x\",\"options\":[1]}";
    fuzz_seed(record, sizeof record - 1);
}

/* --- reading ------------------------------------------------------------------------------- */

static void read_checkpoint(const char *path)
{
    struct sae_ckpt one = {0}, two = {0};
    struct sae_err err = {0};
    if (!fuzz_ok(sae_ckpt_load(&one, path, &err), &err))
        return;
    const size_t n = one.model.m * one.model.d;
    FUZZ_REQUIRE(one.model.d > 0 && one.model.m > 0);
    for (size_t i = 0; i < n; i++)
        FUZZ_REQUIRE(isfinite(one.model.W_enc[i]) && isfinite(one.model.W_dec[i]));
    if (one.heldout.n_rows > 0)
        for (uint64_t e = 0; e < one.heldout.start[one.heldout.n_rows]; e++)
            FUZZ_REQUIRE(one.heldout.idx[e] < one.model.m);
    for (size_t p = 0; p < one.pairs.n; p++)
        FUZZ_REQUIRE(one.pairs.i[p] < one.model.m && one.pairs.j[p] < one.model.m);
    if (fuzz_ok(sae_ckpt_save(fuzz_path("again.h5"), &one, true, &err), &err)) {
        const enum sae_status status = sae_ckpt_load(&two, fuzz_path("again.h5"), &err);
        if (status != SAE_OK)
            fprintf(stderr, "%s\n", err.msg);
        FUZZ_REQUIRE(status == SAE_OK && two.step == one.step && two.model.m == one.model.m);
        FUZZ_REQUIRE(memcmp(one.model.W_dec, two.model.W_dec, n * sizeof(float)) == 0);
    }
    sae_ckpt_clear(&two);
    sae_ckpt_clear(&one);
}

static void read_store(void)
{
    struct sae_acts *acts = NULL;
    struct sae_err err = {0};
    float x[ROWS * D];
    uint32_t token[ROWS], document[ROWS];
    uint16_t position[ROWS];
    if (!fuzz_ok(sae_acts_open(&acts, fuzz_path("acts"), &err), &err))
        return;
    if (sae_acts_d(acts) == D && sae_acts_n_rows(acts) == ROWS) {
        (void)fuzz_ok(sae_acts_read_tokens(acts, 0, ROWS, token, document, position, &err), &err);
        if (fuzz_ok(sae_acts_read_finite(acts, 0, ROWS, x, &err), &err))
            for (size_t i = 0; i < ROWS * D; i++)
                FUZZ_REQUIRE(isfinite(x[i]));
        (void)fuzz_ok(sae_acts_read(acts, 0, ROWS, x, &err), &err);
    }
    sae_acts_close(acts);
}

static void read_labels(const char *path)
{
    struct sae_labels labels = {0};
    struct sae_err err = {0};
    if (!fuzz_ok(sae_labels_open(&labels, path, &err), &err))
        return;
    for (size_t t = 0; t < labels.n_texts; t++) {
        FUZZ_REQUIRE(labels.label[t] < labels.n_classes && labels.split[t] < 2);
        FUZZ_REQUIRE(labels.start[t] < labels.start[t + 1] && labels.start[t + 1] <= labels.n_rows);
    }
    if (labels.n_rows > 0 && labels.n_rows * labels.d < 1 << 16) {
        float *const x = malloc(labels.n_rows * labels.d * sizeof *x);
        if (x != NULL)
            (void)fuzz_ok(sae_labels_rows(&labels, 0, labels.n_rows, x, &err), &err);
        free(x);
    }
    sae_labels_close(&labels);
}

static void read_words(const char *path)
{
    struct sae_words words = {0};
    struct sae_err err = {0};
    if (!fuzz_ok(sae_words_load(&words, path, &err), &err))
        return;
    for (size_t i = 0; i < words.n; i++)
        FUZZ_REQUIRE(words.letter[i] < 26 && words.split[i] < 2 && words.words[i] != NULL);
    sae_words_clear(&words);
}

static void read_lasts(const char *path)
{
    struct sae_lasts lasts = {0};
    struct sae_err err = {0};
    if (!fuzz_ok(sae_lasts_load(&lasts, path, &err), &err))
        return;
    FUZZ_REQUIRE(lasts.n > 0 && lasts.d > 0 && lasts.n_classes == 2);
    for (size_t i = 0; i < lasts.n; i++)
        FUZZ_REQUIRE(lasts.label[i] < 2);
    for (size_t i = 0; i < lasts.n * lasts.d; i++)
        FUZZ_REQUIRE(isfinite(lasts.x[i]));
    sae_lasts_clear(&lasts);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < 1)
        return 0;
    make_files();
    const int kind = bytes[0] % N_KINDS;
    const char *const path =
        fuzz_put(kind == SHARD ? "acts/acts_00000.h5" : "x.h5", files[kind].image, files[kind].n);
    h5_mutate(path, files[kind].names, bytes + 1, n - 1);
    if (kind == SHARD)
        read_store();
    else if (kind == LABELS)
        read_labels(path);
    else if (kind == WORDS)
        read_words(path);
    else if (kind == LASTS)
        read_lasts(path);
    else
        read_checkpoint(path);
    return 0;
}
