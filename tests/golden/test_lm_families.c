/* SPDX-License-Identifier: MIT */
/* Every family of lm/ against Hugging Face transformers (tests/golden/lm_families.py): the stream
 * after each layer, the activations at all hooks of one, and the logits, of a model held in f32, of
 * one read as it runs, on an emulated device; the pass resumed from each hook, with what was there
 * and with half of it.   usage: test_lm_families FOLDER [held]
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
    struct sae_st *st, *hooks;
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
    (void)snprintf(path, sizeof path, "%s/%s.hooks.safetensors", folder, name);
    OK(sae_st_open(&v->hooks, path, &g_err));
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
    sae_st_close(v->hooks);
    free(v->ids);
}

/* The largest difference of rows [n][width] to the expected ones, relative to the row's largest. */
static double apart(struct sae_st *st, const char *name, const float *have, size_t n, size_t width)
{
    const struct sae_st_tensor *const t = sae_st_find(st, name);
    double worst = 0;
    if (!t || t->n != n * width)
        fail_msg("no %s of %zu columns", name, width);
    float *const want = widen(t);
    for (size_t r = 0; r < n; r++) {
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
        OK(sae_lm_tap(run, v->ids, v->B, v->T, sae_resid_post(i), x, &g_err));
        stream = fmax(stream, apart(v->st, what, x, n, c->D));
        check(what, stream, STREAM_BOUND);
        OK(sae_lm_resume(run, x, NULL, v->B, v->T, sae_resid_post(i), &g_err));
        OK(sae_lm_logits(run, 0, n, z, &g_err));
        logits = fmax(logits, apart(v->st, "logits", z, n, c->V));
        check("logits", logits, LOGIT_BOUND);
    }
    print_message("# %-16s %-7s stream %.2g logits %.2g\n", name, how, stream, logits);
    sae_lm_run_close(run);
    free(x);
    free(z);
}

static float *floats(size_t n)
{
    float *const x = malloc(n * sizeof *x);
    assert_non_null(x);
    return x;
}

/* Half of a hook's activations in place of them: the logits of the last token. */
static void check_splice(struct sae_lm_run *run, const struct vectors *v, struct sae_hook hook,
                         const float *x, const float *beside, const struct sae_lm_config *c)
{
    const size_t size = v->B * v->T * sae_lm_width(c, hook.point);
    float *const half = floats(size), *const z = floats(v->B * c->V);
    char what[32];
    for (size_t i = 0; i < size; i++)
        half[i] = 0.5F * x[i];
    OK(sae_lm_resume(run, half, beside, v->B, v->T, hook, &g_err));
    for (size_t b = 0; b < v->B; b++)
        OK(sae_lm_logits(run, (b + 1) * v->T - 1, 1, z + b * c->V, &g_err));
    (void)snprintf(what, sizeof what, "spliced.%s", sae_points[hook.point].name);
    check(what, apart(v->hooks, what, z, v->B, c->V), LOGIT_BOUND);
    free(half);
    free(z);
}

/* All hooks of layer 1: alone and together the same, as transformers has them; and what follows. On
 * the host a pass that goes on from any of them is the straight pass, bit for bit. */
static void check_hooks(const struct sae_lm *model, const struct vectors *v, bool host)
{
    const struct sae_lm_config *c = sae_lm_config(model);
    const size_t n = v->B * v->T;
    struct sae_lm_run *run = NULL;
    struct sae_hook hooks[SAE_N_POINTS];
    float *x[SAE_N_POINTS], *const z = floats(n * c->V), *const straight = floats(n * c->V);
    OK(sae_lm_run_open(&run, model, n, v->T, &g_err));
    for (size_t i = 0; i < SAE_N_POINTS; i++) {
        hooks[i] = (struct sae_hook){(enum sae_point)i, 1};
        x[i] = floats(n * sae_lm_width(c, hooks[i].point));
    }
    OK(sae_lm_tap_all(run, v->ids, v->B, v->T, hooks, SAE_N_POINTS, x, &g_err));
    OK(sae_lm_resume(run, x[SAE_RESID_POST], NULL, v->B, v->T, hooks[SAE_RESID_POST], &g_err));
    OK(sae_lm_logits(run, 0, n, straight, &g_err));
    for (size_t i = 0; i < SAE_N_POINTS; i++) {
        const size_t size = n * sae_lm_width(c, hooks[i].point);
        const char *const name = sae_points[i].name;
        const bool of_stream = i == SAE_RESID_PRE || i == SAE_RESID_POST;
        struct sae_hook stream;
        const float *const beside = sae_lm_beside(&stream, hooks[i]) ? x[stream.point] : NULL;
        float *const alone = floats(size);
        OK(sae_lm_tap(run, v->ids, v->B, v->T, hooks[i], alone, &g_err));
        assert_memory_equal(alone, x[i], size * sizeof *alone);
        free(alone);
        if (sae_lm_check_hook(model, hooks[i], &g_err) != SAE_OK) {
            assert_true(c->parallel && i == SAE_RESID_MID && !sae_st_find(v->hooks, name));
            assert_int_equal(sae_lm_resume(run, x[i], NULL, v->B, v->T, hooks[i], &g_err),
                             SAE_EARG);
            continue;
        }
        check(name,
              apart(of_stream ? v->st : v->hooks,
                    of_stream ? i == SAE_RESID_PRE ? "stream.0" : "stream.1" : name, x[i], n,
                    size / n),
              STREAM_BOUND);
        OK(sae_lm_resume(run, x[i], beside, v->B, v->T, hooks[i], &g_err));
        OK(sae_lm_logits(run, 0, n, z, &g_err));
        if (host)
            assert_memory_equal(z, straight, n * c->V * sizeof *z);
        check(name, apart(v->st, "logits", z, n, c->V), LOGIT_BOUND);
        check_splice(run, v, hooks[i], x[i], beside, c);
    }
    for (size_t i = 0; i < SAE_N_POINTS; i++)
        free(x[i]);
    sae_lm_run_close(run);
    free(z);
    free(straight);
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
    check_hooks(model, &v, true);
    if (only_held)
        goto done;
    OK(sae_lm_place(model, test_device(), SAE_F32, SIZE_MAX, &g_err));
    check_run(model, &v, name, "device");
    check_hooks(model, &v, false);
    sae_lm_close(model);
    model = NULL;
    OK(sae_lm_open_with(&model, path, 0, &g_err));
    check_run(model, &v, name, "read");
    check_hooks(model, &v, true);
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
