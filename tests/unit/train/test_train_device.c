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
#include "tests/emu/test_device.h"
#include "tests/unit/leave_out.h"
#include "train/options.h"
#include "train/rows.h"
#include "train/run.h"

enum { D = 8, ROWS = 300, HELD = 90, TRAIN = ROWS - HELD, M = 24, N = 32, STEPS = 17 };

static char dir[] = "/tmp/test_train_device_XXXXXX";
static struct sae_acts *acts;
static const struct sae_ops *device; /* emulated, or of this machine */

/* Two shards of unequal size. */
static int begin(void **state)
{
    (void)state;
    static uint16_t rows[ROWS * D];
    static uint32_t token[ROWS];
    static uint16_t position[ROWS];
    static const size_t cut[] = {0, 133, ROWS};
    struct sae_rng rng = sae_rng_make(5, SAE_RNG_TEST);
    struct sae_err err = {0};
    device = test_device();
    if (!mkdtemp(dir))
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

static void make_unresolved(struct settings *set, uint64_t steps)
{
    static double all_percent[1] = {100};
    options_default(set);
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
}

static void make_settings(struct settings *set, uint64_t steps)
{
    struct sae_err err = {0};
    make_unresolved(set, steps);
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
    feed.reserve_bytes = run_later_bytes(&set, device, D);
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
        const float *const there = fill ? trainer_batch(t, x, t->n) : feed.x;
        assert_int_equal(trainer_step(t, there, s % 7 == 0, NULL, &err), SAE_OK);
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
    emu_memory((size_t)run_later_bytes(&set, device, D) + 300000);
    train(STEPS, false, want, false, there);
    assert_memory_equal(host, there, sizeof host);
    emu_memory(0);
    /* no row is met twice */
    train(TRAIN / N, false, want, true, host);
    train(TRAIN / N, false, want, false, there);
    assert_memory_equal(host, there, sizeof host);
    if (!test_device_is_emulated())
        return; /* its memory cannot be made small */
    /* one with room for nothing */
    struct trainer *t = NULL;
    emu_memory(2000);
    assert_int_equal(trainer_open(&t, &set, device, D, &err), SAE_ENOMEM);
    assert_non_null(strstr(err.msg, "device memory"));
    emu_memory(0);
}

/* --- other options, against the host -------------------------------------------------------- */

static double shares[3] = {0.25, 0.25, 0.5};

static void use_topk(struct settings *set)
{
    set->k_start = 6;
    set->k_anneal = 10;
    set->orth_normalizer = NORMALIZER_MEAN;
    set->competition = SAE_COMPETE_SIGMOID;
}

static void use_window(struct settings *set)
{
    set->overlap_window = 2;
    set->threshold_momentum = 0.5;
}

/* Pairs so few that some runs of latents go by lists of them, and others by products. */
static void use_few(struct settings *set)
{
    set->base_threshold = 0.6;
    set->threshold_schedule = SAE_TAU_CONST;
}

static void use_batchtopk(struct settings *set)
{
    set->arch = TRAIN_BATCHTOPK;
    set->orth = ORTH_ORTSAE;
    set->ortsae_chunk = 9;
    set->ortsae_every = 2;
}

static void use_matryoshka(struct settings *set)
{
    set->arch = TRAIN_MATRYOSHKA;
    set->groups = (struct sae_reals){3, shares};
    set->orth = ORTH_STATIC;
}

static void use_standard(struct settings *set)
{
    set->arch = TRAIN_STANDARD;
    set->l1 = 0.4;
    set->sparsity = SPARSITY_LP;
    set->p_end = 0.5;
    set->p_updates = 3;
    set->resample_every = 4;
}

static void use_gated(struct settings *set)
{
    set->arch = TRAIN_GATED;
    set->sparsity = SPARSITY_LPP;
    set->p_end = 0.5;
    set->p_updates = 0;
    set->l1 = 0.2;
}

static void use_jumprelu(struct settings *set)
{
    set->arch = TRAIN_JUMPRELU;
    set->bandwidth = 0.1;
    set->target_l0 = 5;
    set->orth_normalizer = NORMALIZER_LATENT;
}

static void make(struct settings *set, void (*change)(struct settings *set))
{
    struct sae_err err = {0};
    make_unresolved(set, STEPS);
    set->k_start = 0;
    change(set);
    if (settings_resolve(set, ROWS, D, &err) != SAE_OK)
        fail_msg("%s", err.msg);
}

static void close_to(const char *what, uint64_t step, double want, double got)
{
    if (!(fabs(want - got) <= 2e-4 * fabs(want) + 1e-5) && !(isnan(want) && isnan(got)))
        fail_msg("%s of step %d: %.9g on the cpu, %.9g on the device", what, (int)step, want, got);
}

static void same_stats(uint64_t s, const struct step_stats *a, const struct step_stats *b)
{
    close_to("loss", s, a->loss, b->loss);
    close_to("reconstruction", s, a->recon, b->recon);
    close_to("sparsity", s, a->sparse, b->sparse);
    close_to("weight of the sparsity", s, a->sparse_weight, b->sparse_weight);
    close_to("auxiliary loss", s, a->aux, b->aux);
    close_to("term", s, a->orth, b->orth);
    close_to("weight of the term", s, a->orth_weight, b->orth_weight);
    close_to("l0", s, a->l0, b->l0);
    close_to("dead", s, a->dead, b->dead);
    close_to("lp", s, a->lp, b->lp);
    close_to("resampled", s, a->resampled, b->resampled);
    close_to("gradient norm", s, a->grad_norm, b->grad_norm);
    close_to("explained variance", s, a->explained_variance, b->explained_variance);
    close_to("pairs", s, a->n_pairs, b->n_pairs);
    close_to("mean |cos|", s, a->mean_abs_cos, b->mean_abs_cos);
    close_to("max |cos|", s, a->max_abs_cos, b->max_abs_cos);
    close_to("gradient", s, a->grad_recon, b->grad_recon);
    close_to("gradient of the term", s, a->grad_orth, b->grad_orth);
    close_to("cosine of gradients", s, a->grad_cos, b->grad_cos);
    close_to("over-suppression", s, a->oversuppressed, b->oversuppressed);
}

/* Whether the forward pass of inference keeps the same latents with nearly the same values. */
static void same_forward(struct trainer *cpu, struct trainer *there, const float *x)
{
    struct sae_err err = {0};
    struct forward_view a, b;
    assert_int_equal(trainer_forward(cpu, x, N, cpu->set.k, &a, &err), SAE_OK);
    assert_int_equal(trainer_forward(there, x, N, cpu->set.k, &b, &err), SAE_OK);
    assert_memory_equal(a.csr->start, b.csr->start, (N + 1) * sizeof *a.csr->start);
    for (size_t e = 0; e < a.csr->start[N]; e++) {
        assert_int_equal(a.csr->idx[e], b.csr->idx[e]);
        close_to("activation", e, (double)a.csr->val[e], (double)b.csr->val[e]);
    }
}

static void agrees(void (*change)(struct settings *set))
{
    struct settings set;
    struct sae_err err = {0};
    struct trainer *cpu = NULL, *there = NULL;
    float x[N * D];
    struct sae_acts_stream *stream = NULL;
    make(&set, change);
    assert_int_equal(sae_acts_stream_open(&stream, acts, TRAIN, 1, &err), SAE_OK);
    assert_int_equal(trainer_open(&cpu, &set, &sae_ops_cpu, D, &err), SAE_OK);
    assert_int_equal(trainer_open(&there, &set, device, D, &err), SAE_OK);
    for (uint64_t s = 0; s < STEPS; s++) {
        struct step_stats a, b;
        assert_int_equal(sae_acts_stream_read(stream, s * N, N, x, &err), SAE_OK);
        for (size_t i = 0; i < N * D; i++)
            x[i] *= 0.1F;
        if (s == 0) {
            trainer_init(cpu, x);
            trainer_init(there, x);
        }
        const bool measure = s % 3 == 0 || s + 2 > STEPS;
        assert_int_equal(trainer_step(cpu, x, measure, &a, &err), SAE_OK);
        assert_int_equal(trainer_step(there, trainer_batch(there, x, there->n), measure, &b, &err), SAE_OK);
        if (measure)
            same_stats(s, &a, &b);
    }
    same_forward(cpu, there, x);
    assert_int_equal(trainer_fetch(there, true, &err), SAE_OK);
    for (size_t i = 0; i < cpu->w.n; i++)
        if (!(fabsf(cpu->w.all[i] - there->w.all[i]) <= 1e-3F))
            fail_msg("weight %zu is %.9g, on the cpu %.9g", i, (double)there->w.all[i],
                     (double)cpu->w.all[i]);
    trainer_close(cpu);
    trainer_close(there);
    sae_acts_stream_close(stream);
}

static void use_soft(struct settings *set)
{
    set->freeze = FREEZE_SOFT;
    set->freeze_cos = 0.98;
}

static void (*const changes[])(struct settings *set) = {
    use_topk, use_window, use_few, use_batchtopk, use_matryoshka, use_standard, use_gated, use_jumprelu,
    use_soft};
enum { N_CHANGES = sizeof changes / sizeof *changes };

static void test_agreement(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CHANGES; i++)
        agrees(changes[i]);
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
    make(&plan.set, change);
    plan.record = json_pack("{s:s}", "program", "test");
    assert_int_equal(run_plan_all(&plan, NULL), SAE_OK);
    run_to(&plan, STEPS);
    assert_int_equal(rename(last, whole), 0);
    run_to(&plan, 5);
    plan.from = from;
    plan.n_from = 1;
    run_to(&plan, 11); /* in the midst of the second epoch */
    run_to(&plan, STEPS);
    same_files(whole, last);
    free(plan.due);
    json_decref(plan.record);
}

static void test_resume(void **state)
{
    (void)state;
    for (size_t i = 1; i < N_CHANGES; i++)
        resumes(changes[i]);
}

/* A device that fails in the middle of a run is not told as a run that diverged. */
static void test_fault(void **state)
{
    (void)state;
    float x[N * D];
    struct settings set;
    if (!test_device_is_emulated())
        leave_out("a device that works cannot be made to fail");
    make_settings(&set, STEPS);
    for (size_t at = 1; at <= 12; at++) {
        struct trainer *t = NULL;
        struct sae_err err = {0};
        enum sae_status st = SAE_OK;
        assert_int_equal(trainer_open(&t, &set, device, D, &err), SAE_OK);
        emu_fail_at(at);
        for (uint64_t s = 0; st == SAE_OK && s < STEPS; s++) {
            for (size_t i = 0; i < N * D; i++)
                x[i] = (float)sin((double)(i + s));
            st = trainer_step(t, trainer_batch(t, x, t->n), s % 7 == 0, NULL, &err);
        }
        if (st != SAE_EBACKEND || !strstr(err.msg, "illegal memory access"))
            fail_msg("wait %zu fails: %d '%s'", at, (int)st, err.msg);
        trainer_close(t);
        emu_fail_at(0);
    }
}

int main(int argc, char **argv)
{
    const int end_now = test_device_open(argc, argv);
    if (end_now != 0)
        return end_now;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_agreement),
                                       cmocka_unit_test(test_resume), cmocka_unit_test(test_fault)};
    return cmocka_run_group_tests_name("train_device", tests, begin, end);
}
