/* SPDX-License-Identifier: MIT */
/* Tests of runs on disk: a run trained on scaled activations saves an autoencoder that takes raw ones,
 * and there gives what the checkpoint says of its held-out rows. */
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
#include "lib/base/rng.h"
#include "lib/file/json.h"
#include "lib/sae/ckpt.h"
#include "train/options.h"
#include "train/run.h"

enum { D = 8, ROWS = 900, HELD = 128, M = 24 };

static char dir[] = "/tmp/test_run_XXXXXX";

/* Rows of a few directions at a size of some thousands: biases matter, and so does the norm. */
static struct sae_acts *make_store(void)
{
    static uint16_t rows[ROWS * D];
    static uint32_t token[ROWS], document[ROWS];
    static uint16_t position[ROWS];
    struct sae_rng rng = sae_rng_make(5, SAE_RNG_INIT);
    struct sae_err err = {0};
    struct sae_acts *acts = NULL;
    for (size_t r = 0; r < ROWS; r++) {
        const double a = sae_rng_uniform(&rng), b = sae_rng_uniform(&rng);
        for (size_t i = 0; i < D; i++) {
            const float v = (float)(3000 * a * sin((double)(i + 1)) + 900 * b * cos(2.0 * (double)i) +
                                    400 + 50 * sae_rng_normal(&rng));
            sae_bf16_narrow(&rows[r * D + i], &v, 1);
        }
    }
    const struct sae_acts_shard shard = {ROWS, D, rows, token, document, position};
    json_t *const record = json_pack("{s:s}", "program", "test");
    assert_int_equal(sae_acts_shard_write(dir, 0, &shard, record, true, &err), SAE_OK);
    assert_int_equal(sae_acts_finish(dir, 1, record, &err), SAE_OK);
    json_decref(record);
    assert_int_equal(sae_acts_open(&acts, dir, &err), SAE_OK);
    return acts;
}

static void train(struct run_plan *plan)
{
    struct sae_err err = {0};
    assert_int_equal(run_plan_all(plan, &err), SAE_OK);
    struct feed feed = {0};
    struct run run;
    struct run_clock clock = {0};
    assert_int_equal(feed_open(&feed, plan->acts, &plan->set, &err), SAE_OK);
    assert_int_equal(run_open(&run, plan, &err), SAE_OK);
    assert_int_equal(feed_begin(&feed, &plan->set, plan->ops, 0, &err), SAE_OK);
    assert_int_equal(run_begin(&run, &feed, &err), SAE_OK);
    assert_true(feed.norm > 1000); /* it is scaled, and by much */
    while (run.t->step < plan->set.steps) {
        assert_int_equal(feed_batch(&feed, run.t->step, &err), SAE_OK);
        if (run_step(&run, &feed, &clock, &err) != SAE_OK)
            fail_msg("%s", err.msg);
    }
    run_close(&run);
    feed_close(&feed);
}

/* Error, explained variance and L0 of the checkpoint's autoencoder on the raw held-out rows. */
static void evaluate(const struct run_plan *plan)
{
    static float x[HELD * D], xhat[HELD * D];
    double mean[D], residual = 0;
    char path[64];
    struct sae_err err = {0};
    struct sae_ckpt ckpt = {0};
    struct sae_coder *coder = NULL;
    const struct sae_csr *f = NULL;
    snprintf(path, sizeof path, "%s/ckpt_100.h5", dir);
    assert_int_equal(sae_ckpt_load(&ckpt, path, &err), SAE_OK);
    assert_int_equal(sae_acts_read(plan->acts, ROWS - HELD, HELD, x, &err), SAE_OK);
    assert_int_equal(sae_coder_open(&coder, &ckpt.model, plan->ops, HELD, &err), SAE_OK);
    assert_int_equal(sae_coder_encode(coder, x, HELD, &f, &err), SAE_OK);
    const double l0 = (double)f->start[HELD] / HELD;
    assert_int_equal(sae_coder_decode(coder, f, xhat, &err), SAE_OK);
    for (size_t i = 0; i < HELD * D; i++)
        residual += ((double)x[i] - (double)xhat[i]) * ((double)x[i] - (double)xhat[i]);
    const double spread = trainer_spread(HELD, D, x, NULL, mean);
    const double recon = sae_json_real(ckpt.heldout_metrics, "recon", NAN);
    const double ev = sae_json_real(ckpt.heldout_metrics, "explained_variance", NAN);
    const char *const arch = train_arch_names[plan->set.arch];
    if (fabs(residual / HELD / recon - 1) > 1e-4 || fabs(1 - residual / spread - ev) > 1e-5 ||
        fabs(l0 - sae_json_real(ckpt.heldout_metrics, "l0", NAN)) > 0.02)
        fail_msg("%s: error %g, explained variance %g, L0 %g on raw rows; recorded %g, %g, %g", arch,
                 residual / HELD, 1 - residual / spread, l0, recon, ev,
                 sae_json_real(ckpt.heldout_metrics, "l0", NAN));
    sae_coder_close(coder);
    sae_ckpt_clear(&ckpt);
}

/* Pairs are followed from the start, whatever the architecture. */
static void check_first_row(void)
{
    char path[64];
    struct sae_err err = {0};
    struct sae_ckpt ckpt = {0};
    snprintf(path, sizeof path, "%s/ckpt_100.h5", dir);
    assert_int_equal(sae_ckpt_load(&ckpt, path, &err), SAE_OK);
    assert_true(ckpt.pairs.n > 0 && ckpt.pairs.n_logged > 1);
    assert_true(fabs(ckpt.pairs.step[0]) < 0.5);
    sae_ckpt_clear(&ckpt);
}

static void test_scaled_run_takes_raw_rows(void **state)
{
    (void)state;
    static double all_percent[1] = {100}, halves[2] = {0.5, 0.5};
    struct sae_err err = {0};
    struct sae_acts *const acts = make_store();
    for (int arch = 0; train_arch_names[arch]; arch++) {
        struct run_plan plan = {.dir = dir, .acts = acts, .ops = &sae_ops_cpu};
        options_default(&plan.set);
        plan.set.arch = arch;
        plan.set.k = 3;
        plan.set.m = M;
        plan.set.batch = 64;
        plan.set.steps = 12;
        plan.set.lr = 0.01;
        plan.set.target_l0 = 4;
        plan.set.bandwidth = 0.1;
        plan.set.normalize = NORM_UNIT;
        plan.set.heldout_rows = HELD;
        plan.set.pairs = 4;
        plan.set.groups = (struct sae_reals){2, halves};
        plan.set.checkpoints = (struct sae_reals){1, all_percent};
        plan.record = json_pack("{s:s}", "program", "test");
        if (settings_resolve(&plan.set, ROWS, D, &err) != SAE_OK)
            fail_msg("%s", err.msg);
        train(&plan);
        evaluate(&plan);
        check_first_row();
        free(plan.due);
        json_decref(plan.record);
    }
    sae_acts_close(acts);
}

/* Active on each row of x, by latent. */
static void find_active(const struct sae_ckpt *ckpt, const struct run_plan *plan, const float *x,
                        size_t n, bool *active)
{
    struct sae_err err = {0};
    struct sae_coder *coder = NULL;
    const struct sae_csr *f = NULL;
    assert_int_equal(sae_coder_open(&coder, &ckpt->model, plan->ops, n, &err), SAE_OK);
    assert_int_equal(sae_coder_encode(coder, x, n, &f, &err), SAE_OK);
    memset(active, 0, n * M * sizeof *active);
    for (size_t r = 0; r < n; r++)
        for (size_t e = f->start[r]; e < f->start[r + 1]; e++)
            active[r * M + f->idx[e]] = true;
    sae_coder_close(coder);
}

/* The last row of a checkpoint's pairs, by its own weights and the batch that led to it. */
static void check_last_row(const struct run_plan *plan, const char *name, uint64_t step)
{
    enum { BATCH = 64 };
    static float x[BATCH * D];
    static bool active[BATCH * M];
    char path[64];
    struct sae_err err = {0};
    struct sae_ckpt ckpt = {0};
    struct sae_acts_stream *stream = NULL;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(sae_ckpt_load(&ckpt, path, &err), SAE_OK);
    assert_int_equal(sae_acts_stream_open(&stream, plan->acts, ROWS - HELD, plan->set.seed, &err),
                     SAE_OK);
    assert_int_equal(sae_acts_stream_read(stream, (step ? step - 1 : 0) * BATCH, BATCH, x, &err),
                     SAE_OK);
    find_active(&ckpt, plan, x, BATCH, active);
    const size_t P = ckpt.pairs.n, last = ckpt.pairs.n_logged - 1;
    assert_true(P > 4);
    assert_true(fabs(ckpt.pairs.step[0]) < 0.5);
    assert_true(fabs(ckpt.pairs.step[last] - (double)step) < 0.5);
    for (size_t r = 1; r <= last; r++)
        assert_true(ckpt.pairs.step[r] > ckpt.pairs.step[r - 1]);
    const double p = (double)(step < plan->set.steps ? step : plan->set.steps - 1) /
                     (double)plan->set.steps,
                 tau = fmax(plan->set.base_threshold * (1 - p), plan->set.threshold_floor);
    for (size_t q = 0; q < P; q++) {
        const uint32_t i = ckpt.pairs.i[q], j = ckpt.pairs.j[q];
        double n_i = 0, n_j = 0, n_ij = 0, dot = 0;
        for (size_t r = 0; r < BATCH; r++) {
            n_i += active[r * M + i];
            n_j += active[r * M + j];
            n_ij += active[r * M + i] && active[r * M + j];
        }
        for (size_t a = 0; a < D; a++)
            dot += (double)ckpt.model.W_dec[i * D + a] * (double)ckpt.model.W_dec[j * D + a];
        const double nhat = n_ij > 0 ? n_ij / fmin(n_i, n_j) : 0;
        const double c = n_i < 2 || n_j < 2 ? 0 : fmin(fmax((nhat - tau) / tau, 0), 1);
        assert_true(fabs(dot - (double)ckpt.pairs.cos[last * P + q]) < 1e-5);
        assert_true(fabs(nhat - (double)ckpt.pairs.nhat[last * P + q]) < 1e-5);
        assert_true(fabs(c - (double)ckpt.pairs.c[last * P + q]) < 1e-5);
    }
    sae_acts_stream_close(stream);
    sae_ckpt_clear(&ckpt);
}

/* Followed pairs begin before the first update, and each row is of one moment. */
static void test_pairs_are_of_one_moment(void **state)
{
    (void)state;
    static double percents[3] = {0, 50, 100};
    static const double points[3] = {1, 10, 12};
    struct sae_err err = {0};
    struct sae_acts *const acts = make_store();
    struct sae_ckpt ckpt = {0};
    char path[64];
    struct run_plan plan = {.dir = dir, .acts = acts, .ops = &sae_ops_cpu};
    options_default(&plan.set);
    plan.set.orth = ORTH_PROGRESSIVE;
    plan.set.k = 3;
    plan.set.m = M;
    plan.set.batch = 64;
    plan.set.steps = 12;
    plan.set.lr = 0.01;
    plan.set.normalize = NORM_UNIT;
    plan.set.heldout_rows = HELD;
    plan.set.pairs = 4;
    plan.set.checkpoints = (struct sae_reals){3, percents};
    plan.record = json_pack("{s:s}", "program", "test");
    if (settings_resolve(&plan.set, ROWS, D, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    train(&plan);
    check_last_row(&plan, "ckpt_00.h5", 0);
    check_last_row(&plan, "ckpt_50.h5", 6);
    check_last_row(&plan, "ckpt_100.h5", 12);
    snprintf(path, sizeof path, "%s/ckpt_100.h5", dir);
    assert_int_equal(sae_ckpt_load(&ckpt, path, &err), SAE_OK);
    assert_int_equal(ckpt.series.n_points, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(fabs(sae_ckpt_series(&ckpt, "step")[i] - points[i]) < 0.5);
        assert_true(fabs(sae_ckpt_series(&ckpt, "progress")[i] - points[i] / 12) < 1e-12);
    }
    sae_ckpt_clear(&ckpt);
    free(plan.due);
    json_decref(plan.record);
    sae_acts_close(acts);
}

/* OrtSAE's loss is recorded with one weight, on steps in which it acts and on others. */
static void test_recorded_loss_is_even(void **state)
{
    (void)state;
    struct series series = {0};
    struct trainer t = {.set = {.orth = ORTH_ORTSAE, .steps = 10}};
    struct step_stats s = {.loss = 7 + 5 * 0.5 * 2, .orth = 2, .orth_weight = 5 * 0.5, .lambda2 = 0.5};
    assert_int_equal(series_add(&series, &t, &s, NULL), SAE_OK);
    s.loss = 7;
    s.orth_weight = 0;
    assert_int_equal(series_add(&series, &t, &s, NULL), SAE_OK);
    for (size_t i = 0; i < 2; i++)
        assert_true(fabs(series.column[SERIES_loss][i] - 8) < 1e-12);
    series_clear(&series);
}

static int begin(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    static const char *const names[] = {"acts_00000.h5", "acts.json", "ckpt_00.h5", "ckpt_50.h5",
                                       "ckpt_100.h5"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scaled_run_takes_raw_rows),
                                       cmocka_unit_test(test_pairs_are_of_one_moment),
                                       cmocka_unit_test(test_recorded_loss_is_even)};
    return cmocka_run_group_tests_name("run", tests, begin, end);
}
