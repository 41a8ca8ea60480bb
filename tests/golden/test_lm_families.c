/* SPDX-License-Identifier: MIT */
/* Every family of lm/ against Hugging Face transformers (tests/golden/lm_families.py): the stream
 * after each layer and the logits, of a model held in f32, of one read as it runs, on an emulated
 * device; and the pass resumed from each layer.   usage: test_lm_families FOLDER [held]
 * held: the first of these alone, for models that are too large for an emulated device. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/file/st.h"
#include "lm/model.h"
#include "tests/emu/test_device.h"

/* Of the largest element of the row, of the largest logit. */
#define STREAM_BOUND 2e-5
#define LOGIT_BOUND 1e-4

static struct sae_err g_err;
static const char *folder;
static bool only_held;

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != SAE_OK)                                                                      \
            fail_msg("%s", g_err.msg);                                                             \
    } while (0)

static const char *const models[] = {
    "gemma2",  "gemma3",     "gemma3_text", "gpt2",  "gpt_neox",   "gpt_neox_serial", "llama_2",
    "llama_3", "llama_bias", "mistral",     "qwen2", "qwen2_yarn", "qwen3",           "qwen3_yarn"};
enum { N_MODELS = sizeof models / sizeof *models };

/* --- the vectors ---------------------------------------------------------------------------- */

struct vectors {
    struct sae_st *st;
    size_t B, T;
    uint32_t *ids;
};

static float *widen(const struct sae_st_tensor *t)
{
    float *const to = malloc(t->n * sizeof *to);
    assert_non_null(to);
    sae_st_widen(to, t, 0, t->n);
    return to;
}

static void open_vectors(struct vectors *v, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s.vectors.safetensors", folder, name);
    OK(sae_st_open(&v->st, path, &g_err));
    const struct sae_st_tensor *const t = sae_st_find(v->st, "ids");
    assert_true(t && t->rank == 2);
    v->B = t->shape[0];
    v->T = t->shape[1];
    float *const ids = widen(t);
    v->ids = malloc(t->n * sizeof *v->ids);
    assert_non_null(v->ids);
    for (size_t i = 0; i < t->n; i++)
        v->ids[i] = (uint32_t)ids[i];
    free(ids);
}

static void close_vectors(struct vectors *v)
{
    sae_st_close(v->st);
    free(v->ids);
}

/* The largest difference of a row [width] to the expected one, relative to its largest element. */
static double apart(const struct vectors *v, const char *name, const float *have, size_t width)
{
    const struct sae_st_tensor *const t = sae_st_find(v->st, name);
    double worst = 0;
    if (!t || t->n != v->B * v->T * width)
        fail_msg("no %s of %zu columns", name, width);
    float *const want = widen(t);
    for (size_t r = 0; r < v->B * v->T; r++) {
        double most = 0, miss = 0;
        for (size_t i = r * width; i < (r + 1) * width; i++) {
            most = fmax(most, fabs((double)want[i]));
            miss = fmax(miss, fabs((double)want[i] - (double)have[i]));
        }
        assert_true(most > 0 && isfinite(miss));
        worst = fmax(worst, miss / most);
    }
    free(want);
    return worst;
}

/* --- a model -------------------------------------------------------------------------------- */

static void check(const char *what, double found, double bound)
{
    if (!(found <= bound))
        fail_msg("%s: %.3g off, bound %g", what, found, bound);
}

/* Each layer tapped, and the logits of a pass resumed from there. */
static void check_run(const struct sae_lm *model, const struct vectors *v, const char *name,
                      const char *how)
{
    const struct sae_lm_config *c = sae_lm_config(model);
    const size_t n = v->B * v->T;
    struct sae_lm_run *run = NULL;
    float *const x = malloc(n * c->D * sizeof *x), *const z = malloc(n * c->V * sizeof *z);
    double stream = 0, logits = 0;
    assert_true(x && z);
    OK(sae_lm_run_open(&run, model, n, v->T, &g_err));
    for (size_t i = 0; i < c->L; i++) {
        char what[32];
        (void)snprintf(what, sizeof what, "stream.%zu", i);
        OK(sae_lm_tap(run, v->ids, v->B, v->T, i, x, &g_err));
        stream = fmax(stream, apart(v, what, x, c->D));
        check(what, stream, STREAM_BOUND);
        OK(sae_lm_resume(run, x, v->B, v->T, i, &g_err));
        OK(sae_lm_logits(run, 0, n, z, &g_err));
        logits = fmax(logits, apart(v, "logits", z, c->V));
        check("logits", logits, LOGIT_BOUND);
    }
    print_message("# %-16s %-7s stream %.2g logits %.2g\n", name, how, stream, logits);
    sae_lm_run_close(run);
    free(x);
    free(z);
}

static void test_model(void **state)
{
    const char *const name = *state;
    struct vectors v = {0};
    struct sae_lm *model = NULL;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    open_vectors(&v, name);
    OK(sae_lm_open(&model, path, &g_err));
    check_run(model, &v, name, "held");
    if (only_held)
        goto done;
    OK(sae_lm_place(model, test_device(), SAE_F32, SIZE_MAX, &g_err));
    check_run(model, &v, name, "device");
    sae_lm_close(model);
    model = NULL;
    OK(sae_lm_open_with(&model, path, 0, &g_err));
    check_run(model, &v, name, "read");
    OK(sae_lm_place(model, test_device(), SAE_F32, SIZE_MAX, &g_err));
    check_run(model, &v, name, "device");
done:
    sae_lm_close(model);
    close_vectors(&v);
}

/* Every row of the table has a model above. */
static void test_complete(void **state)
{
    (void)state;
    char list[400], *rest = list, *type;
    sae_lm_family_list(list, sizeof list);
    while ((type = strtok_r(rest, ", ", &rest)) != NULL) {
        bool found = false;
        for (size_t i = 0; i < N_MODELS && !found; i++) {
            struct sae_lm_config c;
            char path[4096];
            (void)snprintf(path, sizeof path, "%s/%s", folder, models[i]);
            OK(sae_lm_config_read(&c, path, &g_err));
            found = strcmp(c.family->model_type, type) == 0;
        }
        if (!found)
            fail_msg("no golden model of family '%s'", type);
    }
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[N_MODELS + 1];
    folder = argc > 1 ? argv[1] : ".";
    only_held = argc > 2 && strcmp(argv[2], "held") == 0;
    const int end = only_held ? 0 : test_device_open(argc - 1, argv + 1);
    if (end != 0)
        return end;
    for (size_t i = 0; i < N_MODELS; i++)
        tests[i] = (struct CMUnitTest){.name = models[i],
                                       .test_func = test_model,
                                       .initial_state = (void *)(uintptr_t)models[i]};
    tests[N_MODELS] = (struct CMUnitTest)cmocka_unit_test(test_complete);
    return cmocka_run_group_tests_name("lm_families", tests, NULL, NULL);
}
