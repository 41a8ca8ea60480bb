/* SPDX-License-Identifier: MIT */
/* The shipped model against vectors by PyTorch (data/recipe/golden.py): token ids, the residual
 * stream at a few positions, cross-entropy.
 * usage: test_lm_tiny VECTORS.json FOLDER. Exit code 77, skipped, where one is missing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/base/fs.h"
#include "lm/lm.h"

enum { SKIPPED = 77 };

static struct sae_err g_err;
static const char *vectors_path, *folder;

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != SAE_OK)                                                                      \
            fail_msg("%s", g_err.msg);                                                             \
    } while (0)

static void close_to(double found, double expected, double bound, const char *what, size_t at)
{
    if (!(fabs(found - expected) <= bound))
        fail_msg("%s at %zu: found %.7f, expected %.7f within %g", what, at, found, expected,
                 bound);
}

struct opened {
    struct sae_lm *model;
    struct sae_tok *tok;
    struct sae_lm_run *run;
    size_t D, V, layer;
};

/* BOS and the text's ids, held against the expected ones. New memory. */
static uint32_t *check_ids(const struct opened *o, const json_t *text, size_t *ret_n)
{
    const char *s = json_string_value(json_object_get(text, "text"));
    const json_t *expected = json_object_get(text, "ids");
    uint32_t *ids = NULL;
    size_t n = 0;
    OK(sae_tok_encode(o->tok, s, strlen(s), &ids, &n, &g_err));
    assert_int_equal(n + 1, json_array_size(expected));
    uint32_t *all = malloc((n + 1) * sizeof *all);
    assert_non_null(all);
    all[0] = sae_lm_config(o->model)->bos;
    memcpy(all + 1, ids, n * sizeof *all);
    for (size_t i = 0; i <= n; i++)
        assert_int_equal(all[i], json_integer_value(json_array_get(expected, i)));
    free(ids);
    *ret_n = n + 1;
    return all;
}

static void check_resid(const struct opened *o, const json_t *text, const float *x)
{
    size_t i, k;
    json_t *row, *value;
    json_array_foreach(json_object_get(text, "resid_post"), i, row)
    {
        const size_t t = (size_t)json_integer_value(json_object_get(row, "position"));
        const float *at = x + t * o->D;
        double square = 0;
        for (size_t j = 0; j < o->D; j++)
            square += (double)at[j] * (double)at[j];
        const double norm = json_number_value(json_object_get(row, "norm"));
        close_to(sqrt(square), norm, 2e-5 * norm, "norm of resid_post", t);
        json_array_foreach(json_object_get(row, "first8"), k, value)
        {
            close_to((double)at[k], json_number_value(value), 2e-5 * fmax(1, norm), "resid_post",
                     t);
        }
    }
}

static double mean_ce(const struct opened *o, const uint32_t *ids, const float *logits, size_t n)
{
    double sum = 0;
    for (size_t t = 0; t + 1 < n; t++) {
        const float *z = logits + t * o->V;
        double top = (double)z[0], s = 0;
        for (size_t v = 1; v < o->V; v++)
            top = fmax(top, (double)z[v]);
        for (size_t v = 0; v < o->V; v++)
            s += exp((double)z[v] - top);
        sum += top + log(s) - (double)z[ids[t + 1]];
    }
    return sum / (double)(n - 1);
}

static void check_text(const struct opened *o, const json_t *text)
{
    size_t n = 0;
    uint32_t *ids = check_ids(o, text, &n);
    float *x = calloc(n * o->D, sizeof *x), *logits = calloc(n * o->V, sizeof *logits);
    assert_true(x != NULL && logits != NULL);
    OK(sae_lm_tap(o->run, ids, 1, n, sae_resid_post(o->layer), x, &g_err));
    check_resid(o, text, x);
    OK(sae_lm_resume(o->run, x, NULL, 1, n, sae_resid_post(o->layer), &g_err));
    OK(sae_lm_logits(o->run, 0, n, logits, &g_err));
    close_to(mean_ce(o, ids, logits, n), json_number_value(json_object_get(text, "cross_entropy")),
             1e-5, "cross-entropy over tokens", n);
    free(ids);
    free(x);
    free(logits);
}

static void test_vectors(void **state)
{
    (void)state;
    json_error_t why;
    json_t *root = json_load_file(vectors_path, 0, &why);
    if (root == NULL)
        fail_msg("%s: %s", vectors_path, why.text);
    struct opened o = {0};
    OK(sae_lm_open(&o.model, folder, &g_err));
    const struct sae_lm_config *c = sae_lm_config(o.model);
    OK(sae_tok_open(&o.tok, folder, c, &g_err));
    OK(sae_lm_run_open(&o.run, o.model, c->max_context, c->max_context, &g_err));
    o.D = c->D;
    o.V = c->V;
    o.layer = (size_t)json_integer_value(json_object_get(root, "layer"));
    json_t *texts = json_object_get(root, "texts"), *text;
    const char *name;
    assert_true(json_object_size(texts) > 0);
    json_object_foreach(texts, name, text)
    {
        check_text(&o, text);
    }
    sae_lm_run_close(o.run);
    sae_tok_close(o.tok);
    sae_lm_close(o.model);
    json_decref(root);
}

int main(int argc, char **argv)
{
    if (argc != 3 || !sae_fs_is_file(argv[1]) || !sae_fs_is_dir(argv[2]))
        return SKIPPED;
    vectors_path = argv[1];
    folder = argv[2];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};
    return cmocka_run_group_tests_name("lm_tiny", tests, NULL, NULL);
}
