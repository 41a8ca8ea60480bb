/* SPDX-License-Identifier: MIT */
/* absorb : every branch of the word test by hand, and planted absorption found exactly. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "absorb/absorb.h"
#include "absorb/cache.h"
#include "absorb/partial.h"
#include "lib/eval/output.h"
#include "lib/file/json.h"
#include "tests/emu/emu_c.h"
#include "tests/unit/fixtures/eval_fab.h"

static struct sae_err err;
#define ok(call) assert_int_equal((call), SAE_OK)

static const struct absorb_settings usual = {.seed = 42,
                                             .max_k = 10,
                                             .f1_jump = 0.03,
                                             .min_probe_f1 = 0.6,
                                             .min_letters = 20,
                                             .truth_epochs = 50,
                                             .truth_batch = 64,
                                             .sparse_epochs = 50,
                                             .sparse_batch = 208,
                                             .l1_decay = 0.01,
                                             .encode_batch = 512};

/* --- the word test ------------------------------------------------------------------------ */

/* Latents 0 and 1 are the split; cosines as given; P as given. */
static const double cos_of[] = {0.8, 0.5, 0.5, 0.2, 0.1, 0.05, 0.02, -0.5};
static const uint32_t split[] = {0, 1};

struct word_case {
    const char *what;
    size_t n;
    uint32_t idx[4];
    float val[4];
    double P;
    bool full;
    double b, c;
};

static const struct word_case cases[] = {
  /* main = 0.8 * 5 = 4 >= P: the letter is fully carried */
    {"main covers",    2, {0, 2}, {5, 2},     4,  false, 0,    0        },
 /* main silent, latent 2 gives 0.5 * 6 = 3 of P = 4: full, and both fractions 1 */
    {"absorbed",       1, {2},    {6},        4,  true,  1,    1        },
 /* main silent, T / P = 0.5 * 3 / 4 = 0.375 < 0.4: neither full nor C; B does not ask */
    {"weak absorber",  1, {2},    {3},        4,  false, 1,    0        },
 /* exactly 0.4: 0.5 * 3.2 / 4; 3.2 is a little more than 16/5 in f32, so >= holds */
    {"at the share",   1, {2},    {3.2F},     4,  true,  1,    1        },
 /* main = 0.5 * 2 = 1, T = 0.5 * 6 = 3, P = 5: ap = min(3, 4) = 3, C = 3/4; S = 4, B = 3/4 */
    {"partly",         2, {1, 2}, {2, 6},     5,  false, 0.75, 0.75     },
 /* main = 1, T = 3, P = 3: ap = min(3, 2) = 2, C = 2/3; B = 3/4 */
    {"partly, capped", 2, {1, 2}, {2, 6},     3,  false, 0.75, 2.0 / 3.0},
 /* latent 5 has cos 0.05 < 0.1: no candidate of C, but 0.05 * 40 = 2 of P = 4 is full */
    {"cosine between", 1, {5},    {40},       4,  true,  1,    0        },
 /* latent 6 has cos 0.02 < 0.025: not full either */
    {"cosine low",     1, {6},    {100},      4,  false, 1,    0        },
 /* cos 0.1 counts: 0.1 * 20 = 2 of P = 4 */
    {"cosine at 0.1",  1, {4},    {20},       4,  true,  1,    1        },
 /* P < 0: main = 0 >= P */
    {"P negative",     1, {2},    {6},        -1, false, 0,    0        },
    {"P zero",         1, {2},    {6},        0,  false, 0,    0        },
 /* nothing fires: S = 0 */
    {"silence",        0, {0},    {0},        4,  false, 0,    0        },
 /* latent 7 points away: proj = -1, S = 3 - 1 = 2; main = 0 -> B 1; T = 3 >= 0.4 * 4 -> C 1 */
    {"one against",    2, {2, 7}, {6, 2},     4,  true,  1,    1        },
 /* S = 1 - 2 < 0: B gives 0; T = 1, P = 2 -> T/P = 0.5, main 0 -> C 1, full */
    {"S negative",     2, {2, 7}, {2, 4},     2,  true,  0,    1        },
 /* a main latent just below silence: main = 0.8e-9 > 0, so C is ap / (ap + main) ~ 1 */
    {"nearly silent",  2, {0, 2}, {1e-9F, 6}, 4,  true,  1,    1        },
};

static void test_word_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct word_case *const k = &cases[i];
        const struct absorb_word w = absorb_word_test(k->idx, k->val, k->n, cos_of, split, 2, k->P);
        if (w.full != k->full || fabs(w.fraction_b - k->b) > 1e-7 ||
            fabs(w.fraction_c - k->c) > 1e-7)
            fail_msg("%s: full %d, B %g, C %g", k->what, w.full, w.fraction_b, w.fraction_c);
    }
}

/* Four candidates of proj 1, 0.9, 0.8, 0.7: T is the three largest, 2.7; main = 0.3, P = 3. */
static void test_word_three_absorbers(void **state)
{
    (void)state;
    const double cos[] = {1, 1, 1, 1, 1};
    const uint32_t idx[] = {0, 1, 2, 3, 4}, main[] = {2};
    const float val[] = {0.7F, 1.0F, 0.3F, 0.8F, 0.9F};
    const struct absorb_word w = absorb_word_test(idx, val, 5, cos, main, 1, 3.0);
    assert_true(fabs(w.fraction_c - 2.7 / 3.0) < 1e-6);
    assert_true(fabs(w.fraction_b - 3.4 / 3.7) < 1e-6);
    assert_false(w.full); /* the main latent speaks */
    assert_int_equal(w.absorber, 1);
    assert_true(fabs(w.main_sum - 0.3) < 1e-6);
}

/* The largest projection belongs to a main latent that counts as silent: no candidate outside. */
static void test_word_negative_main(void **state)
{
    (void)state;
    const double cos[] = {-0.5, 0.9};
    const uint32_t idx[] = {0, 1}, main[] = {0};
    /* main = -1 <= 0, T = 1.8, P = 2: C = 1; S = 0.8, B = clip(2.25) */
    const float val[] = {2, 2};
    const struct absorb_word w = absorb_word_test(idx, val, 2, cos, main, 1, 2.0);
    assert_true(w.fraction_c == 1.0 && w.fraction_b == 1.0);
    assert_false(w.full);
}

/* --- smaller parts ------------------------------------------------------------------------ */

static void test_split_count(void **state)
{
    (void)state;
    const double rises[] = {0.5, 0.54, 0.56, 0.9}; /* 0.56 adds only 0.02: stop before 0.9 */
    assert_int_equal(absorb_split_count(rises, 4, 0.03), 2);
    assert_int_equal(absorb_split_count(rises, 1, 0.03), 1);
    const double poor[] = {0.0, 0.02}; /* k = 1 is always taken */
    assert_int_equal(absorb_split_count(poor, 2, 0.03), 1);
    const double all[] = {0.1, 0.2, 0.3};
    assert_int_equal(absorb_split_count(all, 3, 0.03), 3);
}

static void test_auto_batch(void **state)
{
    (void)state;
    assert_int_equal(absorb_auto_batch(100000), 4096);
    assert_int_equal(absorb_auto_batch(81920), 4096);
    assert_int_equal(absorb_auto_batch(4000), 200);
    assert_int_equal(absorb_auto_batch(3), 1);
}

/* z = 0: every loss is log 2, positives weighted. Letter 0 has 1 of 4 words: weight 3. */
static void test_bce(void **state)
{
    (void)state;
    const uint8_t letter[] = {0, 1, 1, 2};
    const uint32_t rows[] = {0, 1, 2, 3};
    float pw[ABSORB_LETTERS], z[4 * ABSORB_LETTERS] = {0}, dz[4 * ABSORB_LETTERS];
    absorb_pos_weight(pw, letter, rows, 4);
    assert_true(pw[0] == 3.0F && pw[1] == 1.0F && pw[2] == 3.0F && pw[25] == 1.0F);
    /* 4 * 26 terms of log 2; the positives of letters 0 and 2 count three times */
    const double want = log(2.0) * (4 * 26 + 2 + 2) / (4 * 26);
    assert_true(fabs(absorb_bce(4, z, letter, pw, dz) - want) < 1e-6);
    assert_true(fabs(dz[0] + 3.0 * 0.5 / 104) < 1e-7); /* positive, weight 3 */
    assert_true(fabs(dz[1] - 0.5 / 104) < 1e-7);       /* negative */
    z[5] = 90.0F; /* far out: no overflow, loss 90 for a negative */
    assert_true(fabs(absorb_bce(4, z, letter, pw, dz) - want - (90.0 - log(2.0)) / 104) < 1e-5);
    /* gradient by central difference */
    for (size_t i = 0; i < 3; i++) {
        float up[4 * ABSORB_LETTERS], down[4 * ABSORB_LETTERS], none[4 * ABSORB_LETTERS];
        z[i] = 0.7F;
        memcpy(up, z, sizeof z);
        memcpy(down, z, sizeof z);
        up[i] += 0.05F;
        down[i] -= 0.05F;
        const double slope =
            (absorb_bce(4, up, letter, pw, none) - absorb_bce(4, down, letter, pw, none)) / 0.1;
        absorb_bce(4, z, letter, pw, dz);
        assert_true(fabs(slope - dz[i]) < 2e-5);
    }
}

static void test_means(void **state)
{
    (void)state;
    struct absorb_letter l[ABSORB_LETTERS] = {{0}};
    for (size_t c = 0; c < 3; c++)
        l[c] = (struct absorb_letter){.n_true_positives = 10,
                                      .n_split = 1 + c,
                                      .full_rate = 0.1 * (double)c,
                                      .fraction_b = 0.5,
                                      .fraction_c = 0.2 * (double)c,
                                      .rate_a = 0.3,
                                      .in_a = c == 1,
                                      .in_d = c != 2};
    const struct absorb_mean a = absorb_mean_of(l, ABSORB_A, 2), b = absorb_mean_of(l, ABSORB_B, 2),
                             c = absorb_mean_of(l, ABSORB_C, 2), d = absorb_mean_of(l, ABSORB_D, 2),
                             none = absorb_mean_of(l, ABSORB_D, 3);
    assert_int_equal(a.n_letters, 1);
    assert_true(a.rate == 0.3 && isnan(a.fraction) && a.n_split == 2 && isnan(a.rate_sd));
    assert_int_equal(b.n_letters, 3);
    assert_true(fabs(b.rate - 0.1) < 1e-12 && fabs(b.rate_sd - 0.1) < 1e-12);
    assert_true(b.fraction == 0.5 && b.n_split == 2);
    assert_true(fabs(c.fraction - 0.2) < 1e-12);
    assert_int_equal(d.n_letters, 2);
    assert_true(fabs(d.rate - 0.05) < 1e-12 && fabs(d.fraction - 0.1) < 1e-12);
    assert_int_equal(none.n_letters, 2);
    assert_true(isnan(none.rate) && isnan(none.fraction));
}

/* --- planted absorption ------------------------------------------------------------------- */

struct world {
    struct sae_words words;
    struct absorb_truth truth;
};

static int set_up(void **state)
{
    static struct world world;
    if (fab_words(&world.words, &err) != SAE_OK ||
        absorb_truth_make(&world.truth, &world.words, NULL, &sae_ops_cpu, &usual, &err) != SAE_OK)
        return -1;
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *const world = *state;
    sae_words_clear(&world->words);
    absorb_truth_clear(&world->truth);
    return 0;
}

/* The probe finds the letters: its direction is the letter's axis. */
static void test_truth(void **state)
{
    const struct world *const w = *state;
    assert_int_equal(w->truth.n_train, 26 * 160);
    assert_int_equal(w->truth.n_test, 26 * 40);
    for (size_t c = 0; c < ABSORB_LETTERS; c++) {
        assert_true(w->truth.f1[c] > 0.99);
        size_t best = 0;
        for (size_t j = 1; j < FAB_D; j++)
            if (w->truth.probe.w[c * FAB_D + j] > w->truth.probe.w[c * FAB_D + best])
                best = j;
        assert_int_equal(best, c);
    }
}

static void run_planted(struct absorb_letters *out, const struct world *w, bool absorbing)
{
    struct sae_ckpt ckpt;
    ok(fab_ckpt(&ckpt, absorbing, "../acts", &err));
    ckpt.path = strdup("run_1/ckpt_100.h5");
    ok(absorb_run(out, &ckpt, &w->words, &w->truth, NULL, &sae_ops_cpu, &usual, &err));
    sae_ckpt_clear(&ckpt);
}

/* Encoded on a device (the emulated one, which is slow: a few of the words); the probes are the
 * host's. */
static void test_device(void **state)
{
    const struct world *const w = *state;
    const struct sae_ops *device = NULL;
    struct absorb_truth few = w->truth;
    struct absorb_letters host, there;
    struct sae_ckpt ckpt;
    uint32_t train[26 * 160 / 8], test[26 * 40 / 4];
    static float logit[26 * 40 / 4][ABSORB_LETTERS];
    few.train = train;
    few.test = test;
    few.test_logit = logit[0];
    few.n_train = sizeof train / sizeof *train;
    few.n_test = sizeof test / sizeof *test;
    for (size_t i = 0; i < few.n_train; i++)
        train[i] = w->truth.train[8 * i];
    for (size_t i = 0; i < few.n_test; i++) {
        test[i] = w->truth.test[4 * i];
        memcpy(logit[i], w->truth.test_logit + 4 * i * ABSORB_LETTERS, sizeof logit[i]);
    }
    ok(sae_cuda_open(&device, &err));
    ok(fab_ckpt(&ckpt, true, "../acts", &err));
    ckpt.path = strdup("run_1/ckpt_100.h5");
    ok(absorb_run(&host, &ckpt, &w->words, &few, NULL, &sae_ops_cpu, &usual, &err));
    ok(absorb_run(&there, &ckpt, &w->words, &few, NULL, device, &usual, &err));
    sae_ckpt_clear(&ckpt);
    for (size_t c = 0; c < ABSORB_LETTERS; c++) {
        assert_int_equal(host.letter[c].n_true_positives, there.letter[c].n_true_positives);
        assert_int_equal(host.letter[c].n_split, there.letter[c].n_split);
        assert_int_equal(host.letter[c].n_full, there.letter[c].n_full);
        assert_true(host.letter[c].n_true_positives > 5);
    }
}

/* 4 of each letter's 40 test words were planted: every version finds exactly these. */
static void test_planted(void **state)
{
    struct absorb_letters out;
    run_planted(&out, *state, true);
    for (size_t c = 0; c < ABSORB_LETTERS; c++) {
        const struct absorb_letter *const l = &out.letter[c];
        assert_int_equal(l->n_true_positives, FAB_TEST);
        assert_int_equal(l->n_split, 1);
        assert_int_equal(out.split[c].latent[0], c);
        assert_int_equal(l->n_full, FAB_ABSORBED_TEST);
        assert_true(fabs(l->full_rate - 0.1) < 1e-12);
        assert_int_equal(l->n_candidates_a, FAB_ABSORBED_TEST);
        assert_true(fabs(l->rate_a - 0.1) < 1e-12);
        assert_true(fabs(l->fraction_c - 0.1) < 0.005);
        assert_true(l->in_d);
    }
    const struct absorb_mean d = absorb_mean_of(out.letter, ABSORB_D, 20);
    assert_int_equal(d.n_letters, 26);
    assert_true(fabs(d.rate - 0.1) < 1e-12);
}

static void test_not_planted(void **state)
{
    struct absorb_letters out;
    run_planted(&out, *state, false);
    for (size_t c = 0; c < ABSORB_LETTERS; c++) {
        assert_int_equal(out.letter[c].n_true_positives, FAB_TEST);
        assert_int_equal(out.letter[c].n_full, 0);
        assert_int_equal(out.letter[c].n_candidates_a, 0);
        assert_true(out.letter[c].fraction_c == 0.0);
        assert_false(out.letter[c].in_a);
    }
    assert_true(isnan(absorb_mean_of(out.letter, ABSORB_A, 20).rate));
}

/* Equal seeds give equal probes, on one thread and on two. */
static void test_repeats(void **state)
{
    const struct world *const w = *state;
    struct absorb_truth again;
    struct absorb_letters one, two;
    sae_ops_threads(1);
    ok(absorb_truth_make(&again, &w->words, NULL, &sae_ops_cpu, &usual, &err));
    run_planted(&one, w, true);
    sae_ops_threads(2);
    run_planted(&two, w, true);
    assert_memory_equal(again.probe.w, w->truth.probe.w,
                        ABSORB_LETTERS * FAB_D * sizeof *again.probe.w);
    for (size_t c = 0; c < ABSORB_LETTERS; c++) {
        assert_memory_equal(one.split[c].w, two.split[c].w, sizeof one.split[c].w);
        assert_true(one.letter[c].fraction_b == two.letter[c].fraction_b);
    }
    absorb_truth_clear(&again);
}

/* The rows of z's absorbing latents are zero: they decode to nothing, so z is not absorbed, and the
 * other letters are as ever. A row may be off by as much as bf16 rounds. */
static void test_zero_rows(void **state)
{
    const struct world *const w = *state;
    struct sae_ckpt ckpt;
    struct absorb_letters planted, out;
    run_planted(&planted, w, true);
    ok(fab_ckpt(&ckpt, true, "../acts", &err));
    ckpt.path = strdup("run_1/ckpt_100.h5");
    for (size_t t = 0; t < FAB_TAGS; t++)
        memset(ckpt.model.W_dec + (26 + 25 * FAB_TAGS + t) * FAB_D, 0, FAB_D * sizeof(float));
    ckpt.model.W_dec[3 * FAB_D + 3] = 1 + 1.0F / 128;
    ok(absorb_run(&out, &ckpt, &w->words, &w->truth, NULL, &sae_ops_cpu, &usual, &err));
    assert_true(planted.letter[25].n_full > 0);
    assert_int_equal(out.letter[25].n_full, 0);
    assert_int_equal(out.letter[25].n_true_positives, planted.letter[25].n_true_positives);
    for (size_t c = 0; c < 25; c++)
        assert_int_equal(out.letter[c].n_full, planted.letter[c].n_full);
    sae_ckpt_clear(&ckpt);
}

static void test_refuses(void **state)
{
    const struct world *const w = *state;
    struct sae_ckpt ckpt;
    struct absorb_letters out;
    ok(fab_ckpt(&ckpt, true, "../acts", &err));
    ckpt.path = strdup("run_1/ckpt_100.h5");
    ckpt.model.W_dec[3 * FAB_D + 3] = 2.0F;
    assert_int_equal(absorb_run(&out, &ckpt, &w->words, &w->truth, NULL, &sae_ops_cpu, &usual, &err),
                     SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "decoder row 3 has norm 2"));
    sae_ckpt_clear(&ckpt);
    struct sae_words all_train = w->words;
    uint8_t split_of[26 * FAB_PER_LETTER] = {0};
    all_train.split = split_of;
    struct absorb_truth none;
    assert_int_equal(absorb_truth_make(&none, &all_train, NULL, &sae_ops_cpu, &usual, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "0 test words"));
}

static json_t *result_of(const struct sae_ckpt *ckpt, const struct world *w,
                         const struct absorb_letters *letters, const struct absorb_settings *s)
{
    struct sae_result_parts parts = absorb_result_parts(ckpt, &w->words, &w->truth, letters, s);
    json_t *const record = json_object();
    json_t *result = NULL;
    parts.eval_type_id = "absorption_first_letter";
    ok(sae_output_make(&result, &parts, ckpt, record, &err));
    sae_result_parts_clear(&parts);
    json_decref(record);
    return result;
}

static void test_result(void **state)
{
    const struct world *const w = *state;
    struct absorb_letters out;
    struct sae_ckpt ckpt;
    run_planted(&out, w, true);
    ok(fab_ckpt(&ckpt, true, "../acts", &err));
    ckpt.path = strdup("run_1/ckpt_100.h5");
    json_t *result = NULL;
    struct absorb_settings s = usual;
    result = result_of(&ckpt, w, &out, &s);
    const char *const mean = "eval_result_metrics.mean.";
    char key[128];
    snprintf(key, sizeof key, "%smean_full_absorption_score", mean);
    assert_true(fabs(sae_json_real(result, key, 9) - 0.1) < 1e-12);
    snprintf(key, sizeof key, "%smean_absorption_score", mean);
    assert_true(fabs(sae_json_real(result, key, 9) - 0.1) < 1e-12);
    snprintf(key, sizeof key, "%sstd_dev_num_split_features", mean);
    assert_true(sae_json_real(result, key, 9) == 0.0);
    const json_t *details = json_object_get(result, "eval_result_details");
    assert_int_equal(json_array_size(details), 26);
    assert_string_equal(sae_json_str(json_array_get(details, 1), "first_letter", ""), "b");
    assert_int_equal(sae_json_u64(json_array_get(details, 1), "num_full_absorption", 99), 4);
    json_decref(result);
    out.letter[0].in_d = false; /* 25 letters, 26 asked for: version D is null, C is not */
    s.min_letters = 26;
    result = result_of(&ckpt, w, &out, &s);
    assert_true(
        json_is_null(sae_json_at(result, "eval_result_metrics.mean.mean_full_absorption_score")));
    assert_true(
        fabs(sae_json_real(result, "eval_result_metrics.version_c.mean_full_absorption_score", 9) -
             0.1) < 1e-12);
    json_decref(result);
    sae_ckpt_clear(&ckpt);
}

/* A cached probe is taken as it is; one that is damaged is trained again. */
static void test_cached_truth(void **state)
{
    const struct world *const w = *state;
    char path[] = "/tmp/sae_truth_XXXXXX";
    struct absorb_probe probe = {.width = FAB_D};
    struct absorb_truth truth;
    bool found;
    close(mkstemp(path));
    probe.w = calloc(ABSORB_LETTERS * FAB_D, sizeof *probe.w);
    probe.w[0] = 3.0F; /* a says yes to x_0 > 1/3; the other letters never do */
    for (size_t c = 0; c < ABSORB_LETTERS; c++)
        probe.b[c] = -1.0F;
    ok(absorb_cache_save(path, &probe, &err));
    ok(absorb_truth_make(&truth, &w->words, path, &sae_ops_cpu, &usual, &err));
    assert_memory_equal(truth.probe.w, probe.w, ABSORB_LETTERS * FAB_D * sizeof *probe.w);
    assert_true(truth.f1[0] > 0.9 && truth.f1[1] == 0.0);
    absorb_truth_clear(&truth);
    assert_int_equal(truncate(path, 3000), 0);
    struct absorb_settings few = usual;
    few.truth_epochs = 2;
    ok(absorb_truth_make(&truth, &w->words, path, &sae_ops_cpu, &few, &err));
    absorb_probe_clear(&probe);
    ok(absorb_cache_load(&probe, &found, path, &w->words, &err)); /* trained, and cached again */
    assert_true(found);
    assert_memory_equal(truth.probe.w, probe.w, ABSORB_LETTERS * FAB_D * sizeof *probe.w);
    assert_true(truth.f1[1] > 0.5);
    absorb_truth_clear(&truth);
    absorb_probe_clear(&probe);
    unlink(path);
}

/* Letters of partial work are not fitted again; with the others fitted, the whole is the same. */
static void test_part(void **state)
{
    const struct world *const w = *state;
    char path[] = "/tmp/sae_absorb_XXXXXX";
    struct absorb_letters whole, again;
    struct absorb_partial partial = {.path = path, .max_k = usual.max_k, .ranked = true}, back;
    struct sae_ckpt ckpt;
    size_t n;
    close(mkstemp(path));
    run_planted(&whole, w, true);
    ok(fab_ckpt(&ckpt, true, "../acts", &err));
    ckpt.path = strdup("run_1/ckpt_100.h5");
    absorb_partial_key(partial.key, &ckpt, &w->words, &usual);
    for (size_t c = 0; c < ABSORB_LETTERS; c++) {
        memcpy(partial.ranking[c], whole.split[c].latent, sizeof partial.ranking[c]);
        partial.split[c] = whole.split[c];
        partial.done[c] = c % 2 == 0;
    }
    ok(absorb_partial_save(&partial, &err));
    back = (struct absorb_partial){.path = path, .max_k = usual.max_k};
    memcpy(back.key, partial.key, sizeof back.key);
    ok(absorb_partial_load(&back, &n, &err));
    assert_int_equal(n, 13);
    assert_memory_equal(&back.split[24], &whole.split[24], sizeof back.split[24]);
    ok(absorb_run(&again, &ckpt, &w->words, &w->truth, path, &sae_ops_cpu, &usual, &err));
    assert_memory_equal(&again, &whole, sizeof whole);
    partial.split[4].b += 100; /* version A sees it: the partial work was used */
    ok(absorb_partial_save(&partial, &err));
    ok(absorb_run(&again, &ckpt, &w->words, &w->truth, path, &sae_ops_cpu, &usual, &err));
    assert_int_equal(again.letter[4].n_candidates_a, 0);
    assert_int_equal(again.letter[6].n_candidates_a, FAB_ABSORBED_TEST);
    memset(back.key, '0', 8); /* that of another seed, or a damaged one, is passed over */
    ok(absorb_partial_load(&back, &n, &err));
    assert_int_equal(n, 0);
    assert_int_equal(truncate(path, 300), 0);
    ok(absorb_run(&again, &ckpt, &w->words, &w->truth, path, &sae_ops_cpu, &usual, &err));
    assert_memory_equal(&again, &whole, sizeof whole);
    sae_ckpt_clear(&ckpt);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_word_cases),
        cmocka_unit_test(test_word_three_absorbers),
        cmocka_unit_test(test_word_negative_main),
        cmocka_unit_test(test_split_count),
        cmocka_unit_test(test_auto_batch),
        cmocka_unit_test(test_bce),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_truth),
        cmocka_unit_test(test_planted),
        cmocka_unit_test(test_device),
        cmocka_unit_test(test_not_planted),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_zero_rows),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_cached_truth),
        cmocka_unit_test(test_part),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
