/* SPDX-License-Identifier: MIT */
/* Tests of lib/file/sets: labelled sets and word sets, there and back, and refusals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/file/sets.h"

static char dir[] = "/tmp/saekit-sets-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static char *in_dir(const char *name)
{
    char *path = NULL;
    assert_int_equal(sae_fs_join(&path, dir, name, NULL), SAE_OK);
    return path;
}

/* Three texts of 2, 1 and 3 rows, width 2. By hand: pooled = (2, 4), (-8, 0.5), (2, 3). */
static const float row_values[6][2] = {
    {1,  2   },
    {3,  6   },
    {-8, 0.5F},
    {1,  3   },
    {2,  3   },
    {3,  3   }
};
static const float pooled_by_hand[3][2] = {
    {2,  4   },
    {-8, 0.5F},
    {2,  3   }
};
static uint64_t start[4] = {0, 2, 3, 6};
static uint32_t label[3] = {1, 0, 1};
static uint8_t split[3] = {0, 1, 1};
static char cats[] = "cats", dogs[] = "d\xc3\xb6gs", *classes[2] = {cats, dogs};

static struct sae_labels sample(void)
{
    return (struct sae_labels){.n_texts = 3,
                               .n_rows = 6,
                               .d = 2,
                               .n_classes = 2,
                               .start = start,
                               .label = label,
                               .split = split,
                               .classes = classes};
}

static enum sae_status save_labels(const char *path, const struct sae_labels *labels, bool bad,
                                   bool force, struct sae_err *err)
{
    uint16_t rows[12];
    for (size_t i = 0; i < 12; i++)
        rows[i] = sae_bf16_from_f32(row_values[i / 2][i % 2]);
    if (bad)
        rows[7] = sae_bf16_from_f32(INFINITY);
    json_t *record = json_pack("{s:s}", "program", "test");
    const enum sae_status st = sae_labels_save(path, labels, rows, record, force, err);
    json_decref(record);
    return st;
}

static void labels_come_back(void **state)
{
    (void)state;
    char *path = in_dir("labels_pets.h5");
    const struct sae_labels made = sample();
    assert_int_equal(save_labels(path, &made, false, false, NULL), SAE_OK);
    struct sae_labels got;
    assert_int_equal(sae_labels_open(&got, path, NULL), SAE_OK);
    assert_string_equal(got.name, "pets");
    assert_int_equal(got.n_texts, 3);
    assert_int_equal(got.n_rows, 6);
    assert_int_equal(got.d, 2);
    assert_int_equal(got.n_classes, 2);
    assert_string_equal(got.classes[1], "d\xc3\xb6gs");
    assert_memory_equal(got.pooled, pooled_by_hand, sizeof pooled_by_hand);
    assert_memory_equal(got.start, start, sizeof start);
    assert_memory_equal(got.label, label, sizeof label);
    assert_memory_equal(got.split, split, sizeof split);
    assert_string_equal(json_string_value(json_object_get(got.record, "program")), "test");
    assert_int_equal(strlen(got.id), 64);
    float x[4];
    assert_int_equal(sae_labels_rows(&got, 2, 2, x, NULL), SAE_OK);
    assert_memory_equal(x, row_values[2], sizeof x);
    struct sae_err err;
    assert_int_equal(sae_labels_rows(&got, 5, 2, x, &err), SAE_ERANGE);
    sae_labels_close(&got);
    /* There already; and with force the same bytes again. */
    assert_int_equal(save_labels(path, &made, false, false, &err), SAE_EARG);
    char *before = NULL, *after = NULL;
    size_t n_before, n_after;
    assert_int_equal(sae_fs_read(&before, &n_before, path, 1 << 20, NULL), SAE_OK);
    assert_int_equal(save_labels(path, &made, false, true, NULL), SAE_OK);
    assert_int_equal(sae_fs_read(&after, &n_after, path, 1 << 20, NULL), SAE_OK);
    assert_int_equal(n_before, n_after);
    assert_memory_equal(before, after, n_before);
    free(before);
    free(after);
    free(path);
}

static void refuse_save(const struct sae_labels *labels, bool bad, const char *why)
{
    char *path = in_dir("labels_refused.h5");
    struct sae_err err = {0};
    assert_int_equal(save_labels(path, labels, bad, false, &err), SAE_EFORMAT);
    if (strstr(err.msg, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.msg, why);
    assert_false(sae_fs_is_file(path)); /* whole or absent */
    free(path);
}

static void bad_labels_are_refused(void **state)
{
    (void)state;
    struct sae_labels labels = sample();
    refuse_save(&labels, true, "NaN or infinity");
    uint64_t no_rows[4] = {0, 3, 3, 6};
    labels.start = no_rows;
    refuse_save(&labels, false, "text 1 has no rows");
    labels = sample();
    labels.n_rows = 5;
    refuse_save(&labels, false, "expected 0 to 5");
    labels = sample();
    uint32_t unknown[3] = {0, 2, 1};
    labels.label = unknown;
    refuse_save(&labels, false, "label 2");
    labels = sample();
    uint8_t third[3] = {0, 1, 2};
    labels.split = third;
    refuse_save(&labels, false, "split 2");
    labels = sample();
    labels.n_texts = 0;
    refuse_save(&labels, false, "at least one");
}

static void damage_is_noticed(void **state)
{
    (void)state;
    char *path = in_dir("labels_damaged.h5");
    const struct sae_labels made = sample();
    assert_int_equal(save_labels(path, &made, false, false, NULL), SAE_OK);
    char *bytes = NULL;
    size_t n;
    assert_int_equal(sae_fs_read(&bytes, &n, path, 1 << 20, NULL), SAE_OK);
    struct sae_err err;
    struct sae_labels got;
    assert_int_equal(sae_fs_write(path, bytes, n / 2, NULL), SAE_OK);
    assert_int_equal(sae_labels_open(&got, path, &err), SAE_EFORMAT);
    assert_int_equal(sae_labels_open(&got, "/nowhere/labels_x.h5", &err), SAE_EIO);
    free(bytes);
    free(path);
}

static char cat[] = " cat", dog[] = "Dog", zebra[] = " zebra", *word_texts[3] = {cat, dog, zebra};
static uint32_t word_token[3] = {7, 300000, 9};
static uint8_t word_letter[3] = {2, 3, 25}, word_split[3] = {0, 0, 1}, word_correct[3] = {1, 0, 1};
static float word_probe[3][2] =
    {
        {1, 2},
        {3, 4},
        {5, 6}
},
             word_eval[3][2] = {{1, 2}, {3, 4}, {7, 8}};

static struct sae_words word_sample(void)
{
    return (struct sae_words){.n = 3,
                              .d = 2,
                              .words = word_texts,
                              .token = word_token,
                              .letter = word_letter,
                              .split = word_split,
                              .correct = word_correct,
                              .probe = &word_probe[0][0],
                              .eval = &word_eval[0][0]};
}

static void words_come_back(void **state)
{
    (void)state;
    char *path = in_dir("words.h5");
    const struct sae_words made = word_sample();
    json_t *record = json_pack("{s:s}", "program", "test");
    assert_int_equal(sae_words_save(path, &made, record, false, NULL), SAE_OK);
    struct sae_words got;
    assert_int_equal(sae_words_load(&got, path, NULL), SAE_OK);
    assert_int_equal(got.n, 3);
    assert_int_equal(got.d, 2);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(got.words[i], word_texts[i]);
    assert_memory_equal(got.token, word_token, sizeof word_token);
    assert_memory_equal(got.letter, word_letter, 3);
    assert_memory_equal(got.split, word_split, 3);
    assert_memory_equal(got.correct, word_correct, 3);
    assert_memory_equal(got.probe, word_probe, sizeof word_probe);
    assert_memory_equal(got.eval, word_eval, sizeof word_eval);
    sae_words_clear(&got);
    /* A set of the other kind is not taken for it. */
    struct sae_err err;
    struct sae_labels labels;
    assert_int_equal(sae_labels_open(&labels, path, &err), SAE_EFORMAT);
    json_decref(record);
    free(path);
}

static void bad_words_are_refused(void **state)
{
    (void)state;
    char *path = in_dir("words_refused.h5");
    struct sae_err err;
    json_t *record = json_object();
    struct sae_words words = word_sample();
    uint8_t letters[3] = {0, 26, 1};
    words.letter = letters;
    assert_int_equal(sae_words_save(path, &words, record, false, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "word 1 has letter 26"));
    words = word_sample();
    float bad[6] = {0, 0, 0, NAN, 0, 0};
    words.eval = bad;
    assert_int_equal(sae_words_save(path, &words, record, false, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "/eval row 1"));
    assert_false(sae_fs_is_file(path));
    json_decref(record);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_come_back),      cmocka_unit_test(bad_labels_are_refused),
        cmocka_unit_test(damage_is_noticed),     cmocka_unit_test(words_come_back),
        cmocka_unit_test(bad_words_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
