/* SPDX-License-Identifier: MIT */
/* golden : sae-probe --protocol sae-probes against the package sae-probes itself (probes.py says how
 * probes.json was made). Draws and rankings are equal, and so are scores: both walk the same
 * path. The sparse one is walked in f32, whose last bit may turn a pair of texts: 1e-4 of a test
 * set's AUC, 1e-3 of a tail's of 60 texts. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/file/json.h"
#include "probe/last.h"

static struct sae_err err;
#define ok(call) assert_int_equal((call), SAE_OK)
enum { MAX_K = 16 };

/* probes.py: four bytes of SplitMix64, a bell of spread 148. */
static int number(uint64_t i)
{
    uint64_t z = i * UINT64_C(0x9E3779B97F4A7C15) + UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    int sum = -510;
    for (int s = 32; s < 64; s += 8)
        sum += (int)(z >> s & 255);
    return sum;
}

static int half_down(int v) /* as Python divides */
{
    return v >= 0 ? v / 2 : -((1 - v) / 2);
}

static void make_set(struct sae_lasts *l, size_t n, size_t d)
{
    static char no[] = "no", yes[] = "yes", *classes[] = {no, yes};
    *l = (struct sae_lasts){.n = n, .d = d, .n_classes = 2, .classes = classes};
    l->x = malloc(n * d * sizeof *l->x);
    l->label = malloc(n);
    for (size_t i = 0; i < n; i++) {
        l->label[i] = i * 7919 % n < n / 2;
        for (size_t j = 0; j < d; j++) {
            const int signal = j % 4 == 0 ? half_down(number(1000000 + j)) : 0;
            l->x[i * d + j] =
                (float)(number(i * d + j) + (l->label[i] ? signal : 0)) / 64.0F;
        }
    }
}

static void make_sae(struct sae_ckpt *ckpt, size_t d, size_t m)
{
    *ckpt = (struct sae_ckpt){.record = json_object()};
    ok(sae_model_alloc(&ckpt->model, SAE_ARCH_STANDARD, d, m, 0, &err));
    for (size_t i = 0; i < m; i++) {
        ckpt->model.W_dec[i * d] = 1.0F;
        for (size_t j = 0; j < d; j++)
            ckpt->model.W_enc[i * d + j] =
                i < 12 ? 0.0F : (float)number(2000000 + i * d + j) / 512.0F;
        const int b = i < 8    ? -1000000
                      : i < 12 ? 1000 * (1 + (int)i - 8)
                               : 32 * number(3000000 + i);
        ckpt->model.b_enc[i] = (float)b / 32768.0F;
    }
}

static void check_draw(const struct sae_lasts *l, const json_t *want)
{
    struct probe_last_draw draw;
    const json_t *const train = json_object_get(want, "train"),
                 *const test = json_object_get(want, "test");
    ok(probe_last_draw(&draw, l->label, l->n, 42, "made up", &err));
    assert_int_equal(draw.n_train, json_array_size(train));
    assert_int_equal(draw.n_test, json_array_size(test));
    for (size_t i = 0; i < draw.n_train; i++)
        assert_int_equal(draw.rows[i], json_integer_value(json_array_get(train, i)));
    for (size_t i = 0; i < draw.n_test; i++)
        assert_int_equal(draw.rows[draw.n_train + i], json_integer_value(json_array_get(test, i)));
    probe_last_draw_clear(&draw);
}

static void check_score(const struct probe_last_score *s, const json_t *want, double bound,
                        double tail_bound)
{
    const double found[] = {s->v[PROBE_ACCURACY], s->v[PROBE_AUC], s->v[PROBE_F1], s->tail_auc};
    static const char *const keys[] = {"test_acc", "test_auc", "test_f1", "val_auc"};
    for (size_t i = 0; i < 4; i++) {
        const double w = sae_json_real(want, keys[i], NAN);
        const double most = i == 3 ? tail_bound : bound;
        if (!(fabs(found[i] - w) <= most))
            print_message("# %s: %.10g, expected %.10g\n", keys[i], found[i], w);
        assert_true(fabs(found[i] - w) <= most);
    }
}

static void check_set(const json_t *want, const uint64_t *k, size_t n_k, size_t m)
{
    const char path[] = "last_made_up.h5";
    const struct probe_last_settings how = {k, n_k, 42, 256, true};
    struct sae_lasts l;
    struct sae_ckpt ckpt;
    struct probe_last_set set;
    make_set(&l, sae_json_u64(want, "n", 0), sae_json_u64(want, "d", 0));
    make_sae(&ckpt, l.d, m);
    check_draw(&l, want);
    ok(sae_lasts_save(path, &l, ckpt.record, true, &err));
    ok(probe_last_set_open(&set, path, &how, &err));
    ok(probe_last_set_run(&set, &ckpt, &sae_ops_cpu, &how, &err));
    unlink(path);
    for (size_t j = 0; j < k[n_k - 1]; j++)
        assert_int_equal(set.selected[j],
                         json_integer_value(json_array_get(json_object_get(want, "latents"), j)));
    for (size_t p = 0; p < n_k; p++)
        check_score(&set.latents[p], json_array_get(json_object_get(want, "sae"), p), 1e-4,
                    2e-3);
    check_score(&set.neurons, json_object_get(want, "llm"), 1e-9, 1e-9);
    check_score(&set.neurons, json_object_get(want, "llm_f32"), 1e-3, 2e-3);
    probe_last_set_clear(&set);
    sae_ckpt_clear(&ckpt);
    free(l.x);
    free(l.label);
}

static void test_package(void **state)
{
    (void)state;
    char path[512];
    json_t *golden;
    uint64_t k[MAX_K];
    snprintf(path, sizeof path, "%s/tests/golden/probes.json", getenv("SAE_SOURCE_ROOT"));
    ok(sae_json_load(&golden, path, &err));
    const json_t *const ks = json_object_get(golden, "ks"), *set;
    const size_t n_k = json_array_size(ks);
    assert_true(n_k > 0 && n_k <= MAX_K);
    for (size_t i = 0; i < n_k; i++)
        k[i] = (uint64_t)json_integer_value(json_array_get(ks, i));
    size_t at;
    json_array_foreach(json_object_get(golden, "sets"), at, set)
    {
        print_message("# %s\n", sae_json_str(set, "name", "?"));
        check_set(set, k, n_k, sae_json_u64(golden, "m", 0));
    }
    assert_int_equal(at, 3);
    json_decref(golden);
}

int main(void)
{
    char dir[] = "/tmp/saekit-probes-XXXXXX";
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_package)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(dir);
    return failed;
}
