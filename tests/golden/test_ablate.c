/* SPDX-License-Identifier: MIT */
/* SCR and TPP against SAEBench's own functions, on the activations, probes' starts and orders of
 * ablate.json (made by ablate.py): probe weights, effects, selections, accuracies, scores. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ablate/ablate.h"
#include "lib/base/bf16.h"
#include "lib/file/json.h"

static json_t *golden;
static struct sae_err err;

static void ok(enum sae_status st)
{
    if (st != SAE_OK)
        fail_msg("%s", err.msg);
}

#define near(a, b, eps)                                                                            \
    do {                                                                                           \
        const double a_ = (a), b_ = (b);                                                           \
        if (!(fabs(a_ - b_) <= (eps)))                                                             \
            fail_msg("%s = %.9g, expected %.9g", #a, a_, b_);                                      \
    } while (0)

static double number(const json_t *list, size_t i)
{
    return json_number_value(json_array_get(list, i));
}

static float *floats(const char *path)
{
    const json_t *list = sae_json_at(golden, path);
    float *v = malloc(json_array_size(list) * sizeof *v);
    for (size_t i = 0; i < json_array_size(list); i++)
        v[i] = (float)number(list, i);
    return v;
}

/* --- a set out of lists of tokens -------------------------------------------------------------- */

struct set {
    struct sae_labels labels;
    uint16_t *rows;
    char path[64];
};

static void set_add(struct set *s, const json_t *texts, uint32_t label, uint32_t attribute,
                    uint8_t split)
{
    struct sae_labels *l = &s->labels;
    for (size_t t = 0; t < json_array_size(texts); t++) {
        const json_t *tokens = json_array_get(texts, t);
        for (size_t k = 0; k < json_array_size(tokens); k++, l->n_rows++) {
            float x[8];
            for (size_t j = 0; j < l->d; j++)
                x[j] = (float)number(json_array_get(tokens, k), j);
            sae_bf16_narrow(s->rows + l->n_rows * l->d, x, l->d);
        }
        l->label[l->n_texts] = label;
        l->attribute[l->n_texts] = attribute;
        l->split[l->n_texts] = split;
        l->start[++l->n_texts] = l->n_rows;
    }
}

static struct set set_begin(size_t d)
{
    struct set s = {.labels = {.d = d}};
    s.rows = malloc(1000 * d * sizeof *s.rows);
    s.labels.start = calloc(200, sizeof *s.labels.start);
    s.labels.label = calloc(200, sizeof *s.labels.label);
    s.labels.attribute = calloc(200, sizeof *s.labels.attribute);
    s.labels.split = calloc(200, 1);
    return s;
}

/* Through a file, as programs have it; the set is then open for reading. */
static void set_finish(struct set *s, char **classes, size_t n_classes, char **attributes,
                       size_t n_attributes, struct sae_labels *ret)
{
    struct sae_labels *l = &s->labels;
    json_t *record = json_object();
    l->classes = classes;
    l->n_classes = n_classes;
    l->attributes = attributes;
    l->n_attributes = n_attributes;
    snprintf(s->path, sizeof s->path, "/tmp/labels_golden_%d.h5", (int)getpid());
    ok(sae_labels_save(s->path, l, s->rows, record, true, &err));
    json_decref(record);
    ok(sae_labels_open(ret, s->path, &err));
    unlink(s->path);
    free(s->rows);
    free(l->start);
    free(l->label);
    free(l->attribute);
    free(l->split);
}

static struct sae_model model;
static struct ablate_settings settings;
static uint64_t n_list[8];

static int load(void **state)
{
    (void)state;
    char path[600];
    snprintf(path, sizeof path, "%s/tests/golden/ablate.json", getenv("SAE_SOURCE_ROOT"));
    ok(sae_json_load(&golden, path, &err));
    model = (struct sae_model){.arch = SAE_ARCH_STANDARD,
                               .d = (size_t)sae_json_u64(golden, "d", 0),
                               .m = (size_t)sae_json_u64(golden, "m", 0),
                               .subtract_b_dec = true,
                               .W_enc = floats("W_enc"),
                               .W_dec = floats("W_dec"),
                               .b_enc = floats("b_enc"),
                               .b_dec = floats("b_dec")};
    const json_t *n = json_object_get(golden, "n");
    for (size_t i = 0; i < json_array_size(n); i++)
        n_list[i] = (uint64_t)json_integer_value(json_array_get(n, i));
    settings = (struct ablate_settings){.n = n_list,
                                        .n_n = json_array_size(n),
                                        .train_size = 16,
                                        .test_size = 12,
                                        .epochs = (size_t)sae_json_u64(golden, "epochs", 0),
                                        .probe_batch = (size_t)sae_json_u64(golden, "batch", 0),
                                        .lr = sae_json_real(golden, "lr", 0),
                                        .l1 = sae_json_real(golden, "l1", 0)};
    return 0;
}

static int unload(void **state)
{
    (void)state;
    free(model.W_enc);
    free(model.W_dec);
    free(model.b_enc);
    free(model.b_dec);
    json_decref(golden);
    return 0;
}

/* --- comparisons ---------------------------------------------------------------------------------- */

/* Trains as recorded; weights, accuracy and effects agree with the record. */
static void check_probe(struct ablate_probe *probe, float *effect, const json_t *record,
                        const struct ablate_texts *texts, const struct sae_task *task, bool scr)
{
    const json_t *order = json_object_get(record, "order"), *init = json_object_get(record, "init");
    uint32_t *places = malloc(json_array_size(order) * sizeof *places);
    float start[16];
    for (size_t i = 0; i < json_array_size(order); i++)
        places[i] = (uint32_t)number(order, i);
    for (size_t i = 0; i <= texts->d; i++)
        start[i] = (float)number(init, i);
    ok(ablate_probe_train(probe, texts, task, &settings, 0, 0, start, places, &err));
    free(places);
    for (size_t j = 0; j < texts->d; j++)
        near(probe->w[j], number(json_object_get(record, "w"), j), 2e-5);
    near(probe->b, sae_json_real(record, "b", NAN), 2e-5);
    near(ablate_accuracy(texts, task, probe, NULL), sae_json_real(record, "accuracy", NAN), 1e-6);
    ok(ablate_effects(effect, texts, task, probe, scr, &err));
    for (size_t i = 0; i < texts->m; i++)
        near(effect[i], number(json_object_get(record, "effect"), i), 2e-5);
}

static void tpp_as_upstream(void **state)
{
    (void)state;
    const json_t *classes = sae_json_at(golden, "tpp.classes");
    struct set set = set_begin(model.d);
    struct sae_labels labels;
    struct ablate_texts texts;
    struct ablate_probe probes[3];
    struct sae_task tasks[3];
    float effect[3][16];
    char *names[] = {(char[]){"a"}, (char[]){"b"}, (char[]){"c"}};
    const size_t n[2] = {8, 6};
    for (uint32_t c = 0; c < 3; c++) {
        set_add(&set, json_object_get(json_array_get(classes, c), "train"), c, 0, 0);
        set_add(&set, json_object_get(json_array_get(classes, c), "test"), c, 0, 1);
    }
    set_finish(&set, names, 3, NULL, 0, &labels);
    ok(ablate_texts_make(&texts, &labels, &model, &sae_ops_ref, 64,
                         sae_json_u64(golden, "padding", 0), &err));
    for (size_t c = 0; c < 3; c++) { /* its texts, then the first half of each other's */
        size_t at = 0;
        tasks[c] = (struct sae_task){16, 12, malloc(28 * sizeof(uint32_t)), calloc(28, 1)};
        for (size_t split = 0; split < 2; split++)
            for (size_t k = 0; k < 3; k++) {
                const size_t o = k == 0 ? c : k <= c ? k - 1 : k; /* c first, then in order */
                for (size_t i = 0; i < (k == 0 ? n[split] : n[split] / 2); i++, at++) {
                    tasks[c].rows[at] = (uint32_t)(o * 14 + split * 8 + i);
                    tasks[c].label[at] = k == 0;
                }
            }
        check_probe(&probes[c], effect[c], json_array_get(classes, c), &texts, &tasks[c], false);
    }
    for (size_t c = 0; c < 3; c++)
        for (size_t k = 0; k < settings.n_n; k++) {
            const json_t *record = json_array_get(classes, c);
            const json_t *want = json_array_get(json_object_get(record, "score"), k);
            double own = 0, others = 0;
            uint8_t mask[16];
            ablate_select(mask, effect[c], model.m, (size_t)n_list[k]);
            size_t ours = 0, theirs = 0;
            for (size_t i = 0; i < model.m; i++) { /* of effects that are 0, torch takes any */
                const double taken = number(json_array_get(json_object_get(record, "masks"), k), i);
                if (effect[c][i] != 0)
                    near(mask[i], taken, 0);
                ours += mask[i];
                theirs += taken == 1;
                mask[i] = taken == 1;
            }
            assert_int_equal(ours, theirs);
            for (size_t j = 0; j < 3; j++) {
                const double lost = ablate_accuracy(&texts, &tasks[j], &probes[j], NULL) -
                                    ablate_accuracy(&texts, &tasks[j], &probes[j], mask);
                own += j == c ? lost : 0;
                others += j == c ? 0 : lost / 2;
            }
            near(own - others, number(want, 0), 1e-6);
            near(own, number(want, 1), 1e-6);
            near(others, number(want, 2), 1e-6);
        }
    for (size_t c = 0; c < 3; c++) {
        ablate_probe_clear(&probes[c]);
        sae_task_clear(&tasks[c]);
    }
    ablate_texts_clear(&texts);
    sae_labels_close(&labels);
}

static void scr_as_upstream(void **state)
{
    (void)state;
    const json_t *scr = json_object_get(golden, "scr"), *records = json_object_get(scr, "tasks");
    struct set set = set_begin(model.d);
    struct sae_labels labels;
    struct ablate_texts texts;
    struct ablate_probe probes[ABLATE_TASKS];
    struct sae_task tasks[ABLATE_TASKS] = {{0}};
    float effect[ABLATE_TASKS][16];
    char *names[] = {(char[]){"professor"}, (char[]){"nurse"}};
    char *attributes[] = {(char[]){"male"}, (char[]){"female"}};
    size_t n[2];
    for (uint32_t c = 0; c < 2; c++)
        for (uint32_t a = 0; a < 2; a++) {
            const json_t *q = json_array_get(json_array_get(json_object_get(scr, "quadrants"), c), a);
            set_add(&set, json_object_get(q, "train"), c, a, 0);
            set_add(&set, json_object_get(q, "test"), c, a, 1);
        }
    set_finish(&set, names, 2, attributes, 2, &labels);
    ok(ablate_texts_make(&texts, &labels, &model, &sae_ops_ref, 7,
                         sae_json_u64(golden, "padding", 0), &err));
    ok(ablate_scr_tasks(tasks, n, &labels, (const uint32_t[2]){0, 1}, &settings, &err));
    assert_int_equal(n[0], 4);
    assert_int_equal(n[1], 3);
    for (size_t k = 0; k < ABLATE_TASKS; k++)
        check_probe(&probes[k], effect[k], json_array_get(records, k), &texts, &tasks[k], true);
    for (size_t k = 0; k < settings.n_n; k++)
        for (int dir = 0; dir < 2; dir++) {
            const int asked = dir == 0 ? ABLATE_CLASS : ABLATE_ATTRIBUTE;
            const int ablated = dir == 0 ? ABLATE_ATTRIBUTE : ABLATE_CLASS;
            const struct ablate_probe *biased = &probes[ABLATE_BOTH];
            uint8_t mask[16];
            ablate_select(mask, effect[ablated], model.m, (size_t)n_list[k]);
            near(ablate_scr_score(ablate_accuracy(&texts, &tasks[asked], &probes[asked], NULL),
                                  ablate_accuracy(&texts, &tasks[asked], biased, NULL),
                                  ablate_accuracy(&texts, &tasks[asked], biased, mask)),
                 number(json_array_get(json_object_get(scr, "score"), k), dir == 0 ? 0 : 2), 1e-5);
        }
    for (size_t k = 0; k < ABLATE_TASKS; k++) {
        ablate_probe_clear(&probes[k]);
        sae_task_clear(&tasks[k]);
    }
    ablate_texts_clear(&texts);
    sae_labels_close(&labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tpp_as_upstream),
        cmocka_unit_test(scr_as_upstream),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
