/* SPDX-License-Identifier: MIT */
/* golden : lib/eval/logit against scikit-learn (logit.py says how logit.json was made). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/eval/codes.h"
#include "lib/eval/logit.h"
#include "lib/eval/score.h"
#include "lib/file/json.h"

enum { MAX_N = 400, MAX_WIDTH = 16 };
static struct sae_err err;

struct fixture {
    size_t n, n_train, width;
    float x[MAX_N * MAX_WIDTH];
    uint8_t y[MAX_N];
    struct sae_logit_settings how;
};

static void read_case(struct fixture *f, const json_t *c)
{
    const json_t *const x = json_object_get(c, "x"), *const y = json_object_get(c, "y");
    f->n = json_array_size(y);
    f->width = sae_json_u64(c, "width", 0);
    f->n_train = sae_json_u64(c, "n_train", 0);
    assert_true(f->n <= MAX_N && f->width <= MAX_WIDTH && f->n_train < f->n);
    for (size_t i = 0; i < f->n * f->width; i++)
        f->x[i] = (float)json_integer_value(json_array_get(x, i)) / 64.0F;
    for (size_t i = 0; i < f->n; i++)
        f->y[i] = (uint8_t)json_integer_value(json_array_get(y, i));
    f->how = (struct sae_logit_settings){1.0, SAE_LOGIT_EPS_EXACT,
                                         json_is_true(json_object_get(c, "balanced"))};
}

static void check_case(const struct fixture *f, const double *w, double b, const json_t *c)
{
    const json_t *const want = json_object_get(c, "w");
    for (size_t j = 0; j < f->width; j++)
        assert_true(fabs(w[j] - json_number_value(json_array_get(want, j))) < 1e-4);
    assert_true(fabs(b - sae_json_real(c, "b", NAN)) < 1e-4 * (1.0 + fabs(b)));
    double score[MAX_N], auc;
    const size_t n = f->n - f->n_train;
    for (size_t i = 0; i < n; i++) {
        score[i] = b;
        for (size_t j = 0; j < f->width; j++)
            score[i] += w[j] * f->x[(f->n_train + i) * f->width + j];
    }
    const struct sae_score s = sae_score_decide(score, f->y + f->n_train, n);
    assert_true(fabs(s.accuracy - sae_json_real(c, "accuracy", NAN)) < 1e-12);
    assert_true(fabs(s.accuracy - sae_json_real(c, "accuracy_default", NAN)) < 0.011);
    assert_true(fabs(s.f1 - sae_json_real(c, "f1", NAN)) < 1e-12);
    assert_int_equal(sae_score_auc(&auc, score, f->y + f->n_train, n, &err), SAE_OK);
    assert_true(fabs(auc - sae_json_real(c, "auc", NAN)) < 1e-12);
}

static void test_sklearn(void **state)
{
    (void)state;
    char path[512];
    json_t *golden;
    snprintf(path, sizeof path, "%s/tests/golden/logit.json", getenv("SAE_SOURCE_ROOT"));
    assert_int_equal(sae_json_load(&golden, path, &err), SAE_OK);
    static struct fixture f;
    uint32_t rows[MAX_N];
    for (size_t i = 0; i < MAX_N; i++)
        rows[i] = (uint32_t)i;
    size_t at;
    const json_t *c;
    json_array_foreach(json_object_get(golden, "cases"), at, c)
    {
        double w[MAX_WIDTH], b;
        struct sae_csr sparse;
        read_case(&f, c);
        print_message("# %s\n", sae_json_str(c, "name", "?"));
        assert_int_equal(
            sae_logit_dense(w, &b, f.x, f.width, f.n_train, f.width, f.y, &f.how, &err), SAE_OK);
        check_case(&f, w, b, c);
        assert_int_equal(sae_codes_from_dense(&sparse, f.x, f.n, f.width, &err), SAE_OK);
        assert_int_equal(
            sae_logit_sparse(w, &b, &sparse, rows, f.n_train, f.width, f.y, &f.how, &err), SAE_OK);
        check_case(&f, w, b, c);
        sae_codes_clear(&sparse);
    }
    assert_int_equal(at, 5);
    json_decref(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sklearn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
