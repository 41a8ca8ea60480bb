/* SPDX-License-Identifier: MIT */
/* The state a training run is continued from, with its structure changed: the mode says of which
 * architecture (% 4), the rest is for h5_mutate. A state that is taken must bear a step. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/bf16.h"
#include "lib/base/rng.h"
#include "lib/file/acts.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/h5_mutate.h"
#include "train/options.h"
#include "train/run.h"

enum { D = 6, ROWS = 200, HELD = 32, M = 12, BATCH = 16, STEPS = 6, N_KINDS = TRAIN_ARCH_N, IMAGE = 1 << 20 };

static struct sae_acts *acts;
static struct kind {
    struct run_plan plan;
    struct feed feed;
    uint8_t *image;
    size_t n;
    char **names;
} kinds[N_KINDS];

void fuzz_seeds(void)
{
    for (uint8_t kind = 0; kind < N_KINDS; kind++) {
        fuzz_seed(&kind, 1); /* as it was written */
        for (uint8_t what = 0; what < 9; what++) {
            const uint8_t seed[] = {kind, what, (uint8_t)(5 * what), (uint8_t)(what + 7), 9};
            fuzz_seed(seed, sizeof seed);
        }
    }
}

static void must(enum sae_status status, const struct sae_err *err)
{
    if (status != SAE_OK) {
        fprintf(stderr, "fuzz: %s\n", err->msg);
        _Exit(99);
    }
}

static void make_store(void)
{
    static uint16_t rows[ROWS * D], position[ROWS];
    static uint32_t token[ROWS];
    struct sae_rng rng = sae_rng_make(5, SAE_RNG_TEST);
    struct sae_err err;
    for (size_t i = 0; i < ROWS * D; i++) {
        const float x = (float)sae_rng_normal(&rng);
        sae_bf16_narrow(&rows[i], &x, 1);
    }
    json_t *const record = json_pack("{s:s}", "program", "fuzz");
    const struct sae_acts_shard shard = {ROWS, D, rows, token, token, position};
    mkdir(fuzz_path("acts"), 0755);
    must(sae_acts_shard_write(fuzz_path("acts"), 0, &shard, record, true, &err), &err);
    must(sae_acts_finish(fuzz_path("acts"), 1, record, &err), &err);
    must(sae_acts_open(&acts, fuzz_path("acts"), &err), &err);
    json_decref(record);
}

static void settings_of(struct settings *set, size_t which)
{
    static double percents[2] = {0, 100}, shares[2] = {0.25, 0.75};
    options_default(set);
    set->arch = (int)which;
    set->orth = which % 2 == 0 ? ORTH_PROGRESSIVE : ORTH_NONE;
    set->k = 2;
    set->target_l0 = 2;
    set->groups = (struct sae_reals){2, shares};
    set->m = M;
    set->batch = BATCH;
    set->steps = STEPS;
    set->lr = 0.001;
    set->heldout_rows = HELD;
    set->pairs = 2;
    set->checkpoints = (struct sae_reals){2, percents};
}

/* Three steps of a run, and what they leave to go on from. */
static void make_state(struct kind *kind, size_t which)
{
    struct sae_err err = {0};
    struct run run;
    struct run_clock clock = {0};
    char name[16];
    snprintf(name, sizeof name, "run_%zu", which);
    mkdir(fuzz_path(name), 0755);
    kind->plan = (struct run_plan){.dir = strdup(fuzz_path(name)),
                                   .acts = acts,
                                   .ops = &sae_ops_cpu,
                                   .record = json_pack("{s:s}", "program", "fuzz")};
    settings_of(&kind->plan.set, which);
    must(settings_resolve(&kind->plan.set, ROWS, D, &err), &err);
    must(run_plan_all(&kind->plan, &err), &err);
    must(feed_open(&kind->feed, acts, &kind->plan.set, &err), &err);
    must(run_open(&run, &kind->plan, &err), &err);
    must(feed_begin(&kind->feed, &kind->plan.set, kind->plan.ops, 0, &err), &err);
    must(run_begin(&run, &kind->feed, &err), &err);
    while (run.t->step < STEPS / 2) {
        must(feed_batch(&kind->feed, run.t->step, &err), &err);
        must(run_step(&run, &kind->feed, &clock, &err), &err);
    }
    must(run_save(&run, fuzz_path("state.h5"), true, &err), &err);
    run_close(&run);
    FILE *const file = fopen(fuzz_path("state.h5"), "rb");
    kind->image = malloc(IMAGE);
    if (file == NULL || kind->image == NULL)
        abort();
    kind->n = fread(kind->image, 1, IMAGE, file);
    fclose(file);
    kind->names = h5_mutate_names(fuzz_path("state.h5"));
}

static void go_on(struct kind *kind, const char *path, bool is_sound)
{
    struct run_plan plan = kind->plan;
    char *from[] = {(char *)(uintptr_t)path};
    struct sae_err err = {0};
    struct run run;
    struct run_clock clock = {0};
    plan.n_from = 1;
    plan.from = from;
    plan.from_step = STEPS / 2;
    if (fuzz_ok(run_open(&run, &plan, &err), &err) &&
        fuzz_ok(run_begin(&run, &kind->feed, &err), &err)) {
        FUZZ_REQUIRE(run.t->step <= STEPS && (!is_sound || run.t->step == STEPS / 2));
        if (run.t->step < STEPS && fuzz_ok(feed_batch(&kind->feed, run.t->step, &err), &err))
            (void)fuzz_ok(run_step(&run, &kind->feed, &clock, &err), &err);
    }
    run_close(&run);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n < 1)
        return 0;
    if (acts == NULL) {
        make_store();
        for (size_t which = 0; which < N_KINDS; which++)
            make_state(&kinds[which], which);
    }
    struct kind *const kind = &kinds[bytes[0] % N_KINDS];
    fuzz_put("x.h5", kind->image, kind->n);
    char path[300];
    snprintf(path, sizeof path, "%s", fuzz_path("x.h5"));
    h5_mutate(path, kind->names, bytes + 1, n - 1);
    go_on(kind, path, n < 5);
    return 0;
}
