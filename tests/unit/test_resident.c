/* SPDX-License-Identifier: MIT */
/* Tests of training on a device, emulated here: the store in its memory or passing through, a run
 * that was stopped, and memory that does not suffice. Steps against PyTorch: tests/golden. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/base/rng.h"
#include "tests/emu/emu_c.h"
#include "train/resident.h"
#include "train/rows.h"
#include "train/run.h"

enum { D = 8, ROWS = 900, HELD = 128, TRAIN = ROWS - HELD, M = 24, N = 64, STEPS = 30 };

static char dir[] = "/tmp/test_resident_XXXXXX";
static struct sae_acts *acts;
static const struct sae_ops *device;

/* Two shards of unequal size. */
static int begin(void **state)
{
    (void)state;
    static uint16_t rows[ROWS * D];
    static uint32_t token[ROWS];
    static uint16_t position[ROWS];
    static const size_t cut[] = {0, 333, ROWS};
    struct sae_rng rng = sae_rng_make(5, SAE_RNG_TEST);
    struct sae_err err = {0};
    if (!mkdtemp(dir) || sae_cuda_open(&device, &err) != SAE_OK)
        return -1;
    for (size_t i = 0; i < ROWS * D; i++)
        rows[i] = sae_bf16_from_f32((float)(7 * sae_rng_normal(&rng) + sin((double)(i % D))));
    json_t *const record = json_pack("{s:s}", "program", "test");
    for (size_t s = 0; s < 2; s++) {
        const struct sae_acts_shard shard = {cut[s + 1] - cut[s], D,        rows + cut[s] * D,
                                             token,               token,    position};
        assert_int_equal(sae_acts_shard_write(dir, s, &shard, record, true, &err), SAE_OK);
    }
    assert_int_equal(sae_acts_finish(dir, 2, record, &err), SAE_OK);
    assert_int_equal(sae_acts_open(&acts, dir, &err), SAE_OK);
    json_decref(record);
    return 0;
}

static int end(void **state)
{
    (void)state;
    static const char *const names[] = {"acts_00000.h5", "acts_00001.h5", "acts.json",
                                        "ckpt_100.h5",   "state.h5",      "whole.h5"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    sae_acts_close(acts);
    return rmdir(dir);
}

static void make_settings(struct settings *set, uint64_t steps)
{
    static double all_percent[1] = {100};
    struct sae_err err = {0};
    settings_init(set);
    set->k = 3;
    set->m = M;
    set->batch = N;
    set->steps = steps;
    set->lr = 0.01;
    set->normalize = NORM_UNIT;
    set->heldout_rows = HELD;
    set->dead_after = 300;
    set->pairs = 4;
    set->log_every = 7;
    set->orth = ORTH_PROGRESSIVE;
    set->checkpoints = (struct sae_reals){1, all_percent};
    if (settings_resolve(set, ROWS, D, &err) != SAE_OK)
        fail_msg("%s", err.msg);
}

/* --- rows of the store -------------------------------------------------------------------- */

/* Weights after the steps, batches from the feed; `want` [steps][N][D]: what they must be. */
static void train(uint64_t steps, bool stay, float *want, bool fill, float *weights)
{
    struct settings set;
    struct sae_err err = {0};
    struct feed feed = {0};
    struct trainer *t = NULL;
    make_settings(&set, steps);
    /* filling: the host's own batches, through the pinned buffers of a step */
    const struct sae_ops *const ops = fill ? &sae_ops_cpu : device;
    assert_int_equal(feed_open(&feed, acts, &set, &err), SAE_OK);
    assert_int_equal(trainer_open(&t, &set, device, D, &err), SAE_OK);
    feed.leave = resident_later(&set, D);
    assert_int_equal(feed_begin(&feed, &set, ops, 0, &err), SAE_OK);
    assert_int_equal(feed.rows != NULL, !fill);
    if (feed.rows)
        assert_int_equal(rows_stay(feed.rows), stay);
    for (uint64_t s = 0; s < steps; s++) {
        float *x = NULL;
        assert_int_equal(feed_batch(&feed, s, &err), SAE_OK);
        assert_int_equal(feed_host(&x, &feed, &err), SAE_OK);
        if (s == 0)
            trainer_init(t, x);
        if (fill)
            memcpy(want + s * N * D, x, N * D * sizeof *x);
        else
            assert_memory_equal(want + s * N * D, x, N * D * sizeof *x);
        const enum sae_status st = fill ? trainer_step(t, feed.x, s % 7 == 0, NULL, &err)
                                        : trainer_step_there(t, feed.there, s % 7 == 0, NULL, &err);
        assert_int_equal(st, SAE_OK);
        free(x);
    }
    assert_int_equal(trainer_fetch(t, true, &err), SAE_OK);
    memcpy(weights, t->w.W_dec, M * D * sizeof *weights);
    trainer_close(t);
    feed_close(&feed);
}

/* Two and a half epochs, so that batches lie across their ends. */
static void test_rows(void **state)
{
    (void)state;
    static float want[STEPS * N * D], host[M * D], there[M * D];
    struct settings set;
    struct sae_err err = {0};
    train(STEPS, false, want, true, host);
    train(STEPS, true, want, false, there);
    assert_memory_equal(host, there, sizeof host);
    /* a device with room for the run, but not for the store besides */
    make_settings(&set, STEPS);
    emu_memory((size_t)resident_later(&set, D) + 300000);
    train(STEPS, false, want, false, there);
    assert_memory_equal(host, there, sizeof host);
    emu_memory(0);
    /* no row is met twice */
    train(TRAIN / N, false, want, true, host);
    train(TRAIN / N, false, want, false, there);
    assert_memory_equal(host, there, sizeof host);
    /* one with room for nothing */
    struct trainer *t = NULL;
    emu_memory(2000);
    assert_int_equal(trainer_open(&t, &set, device, D, &err), SAE_ENOMEM);
    assert_non_null(strstr(err.msg, "device memory"));
    emu_memory(0);
}

/* --- a run that was stopped ------------------------------------------------------------------ */

static void path_of(char path[64], const char *name)
{
    snprintf(path, 64, "%s/%s", dir, name);
}

/* Up to a step, from the state that is there or from the beginning. */
static void run_to(struct run_plan *plan, uint64_t step)
{
    struct sae_err err = {0};
    struct feed feed = {0};
    struct run run;
    struct run_clock clock = {0};
    assert_int_equal(feed_open(&feed, plan->acts, &plan->set, &err), SAE_OK);
    if (run_open(&run, plan, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    assert_int_equal(feed_begin(&feed, &plan->set, plan->ops, run.norm, &err), SAE_OK);
    assert_true(rows_stay(feed.rows));
    assert_int_equal(run_begin(&run, &feed, &err), SAE_OK);
    while (run.t->step < step) {
        assert_int_equal(feed_batch(&feed, run.t->step, &err), SAE_OK);
        if (run_step(&run, &feed, &clock, &err) != SAE_OK)
            fail_msg("%s", err.msg);
    }
    if (step < plan->set.steps)
        assert_int_equal(run_save_state(&run, &err), SAE_OK);
    run_close(&run);
    feed_close(&feed);
}

static void same_files(const char *a, const char *b)
{
    FILE *const f = fopen(a, "rb"), *const g = fopen(b, "rb");
    assert_non_null(f);
    assert_non_null(g);
    int c;
    while ((c = getc(f)) != EOF)
        if (c != getc(g))
            fail_msg("'%s' differs from '%s'", a, b);
    assert_int_equal(getc(g), EOF);
    fclose(f);
    fclose(g);
}

static void resumes(void (*change)(struct settings *set))
{
    char last[64], whole[64], state_path[64];
    char *from[1] = {state_path};
    struct run_plan plan = {.dir = dir, .acts = acts, .ops = device};
    path_of(last, "ckpt_100.h5");
    path_of(whole, "whole.h5");
    path_of(state_path, "state.h5");
    make_settings(&plan.set, STEPS);
    change(&plan.set);
    plan.record = json_pack("{s:s}", "program", "test");
    run_to(&plan, STEPS);
    assert_int_equal(rename(last, whole), 0);
    run_to(&plan, 5);
    plan.from = from;
    plan.n_from = 1;
    run_to(&plan, 18); /* in the midst of the second epoch */
    run_to(&plan, STEPS);
    same_files(whole, last);
    json_decref(plan.record);
}

static void nothing(struct settings *set)
{
    (void)set;
}

static void test_resume(void **state)
{
    (void)state;
    resumes(nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_resume)};
    return cmocka_run_group_tests_name("resident", tests, begin, end);
}
