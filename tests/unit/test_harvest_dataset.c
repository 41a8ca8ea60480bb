/* SPDX-License-Identifier: MIT */
/* Tests of harvest/dataset: labelled texts, classes, the draw, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "harvest/dataset.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

static char dir[] = "/tmp/saekit-dataset-XXXXXX";
static char path[200];
static const struct harvest_columns usual = {"text", "label", "split", "attribute"};

static int setup(void **state)
{
    (void)state;
    sae_log_setup("test", SAE_LOG_ERROR); /* warnings are wanted here */
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void put(const char *name, const char *text)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(sae_fs_write(path, text, strlen(text), NULL), SAE_OK);
}

static void expect_class(const struct harvest_dataset *set, size_t c, const char *name, size_t n)
{
    assert_true(c < set->n_classes);
    assert_string_equal(set->classes[c].name, name);
    assert_int_equal(set->classes[c].n_found, n);
}

static void csv_and_json_are_read(void **state)
{
    (void)state;
    struct harvest_dataset set;
    put("pets.csv", "label,text\ndog,barks\ncat,\"purrs, mews\"\ndog,\ndog,runs\n");
    assert_int_equal(harvest_dataset_load(&set, path, &usual, NULL), SAE_OK);
    assert_string_equal(set.name, "pets");
    assert_int_equal(set.n, 3);
    assert_int_equal(set.n_empty, 1);
    assert_false(set.split_given);
    expect_class(&set, 0, "cat", 1);
    expect_class(&set, 1, "dog", 2);
    assert_string_equal(set.v[1].text, "purrs, mews");
    assert_int_equal(set.v[1].class, 0);
    assert_int_equal(set.v[0].split, HARVEST_UNSPLIT);
    harvest_dataset_clear(&set);

    /* Whole numbers as labels, ordered as numbers; other column names; a given split. */
    put("news-2.jsonl", "{\"t\": \"a\", \"y\": 10, \"split\": \"train\"}\n"
                        "{\"t\": \"b\", \"y\": 9, \"split\": \"test\"}\n");
    const struct harvest_columns other = {"t", "y", "split", "attribute"};
    assert_int_equal(harvest_dataset_load(&set, path, &other, NULL), SAE_OK);
    assert_string_equal(set.name, "news-2");
    assert_true(set.split_given);
    expect_class(&set, 0, "9", 1);
    expect_class(&set, 1, "10", 1);
    assert_int_equal(set.v[0].split, 0);
    assert_int_equal(set.v[1].split, 1);
    harvest_dataset_clear(&set);
}

static void expect_refusal(const char *name, const char *text, const char *why)
{
    struct harvest_dataset set;
    struct sae_err err = {0};
    put(name, text);
    assert_int_equal(harvest_dataset_load(&set, path, &usual, &err), SAE_EFORMAT);
    if (strstr(err.msg, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.msg, why);
}

static void bad_files_are_refused(void **state)
{
    (void)state;
    expect_refusal("x.csv", "", "is empty");
    expect_refusal("x.csv", "title,label\na,b\n",
                   "no column 'text'; its header names: title, label");
    expect_refusal("x.csv", "text,label\na,b\nc\n", "line 3 has 1 fields, the header has 2");
    expect_refusal("x.csv", "text,label\na,\n", "line 2: the label is empty");
    expect_refusal("x.csv", "text,label\na,caf\xe9\n", "line 2: the label is not valid UTF-8");
    expect_refusal("x.csv", "text,label\na,b\nc,b\n", "2 texts of 1 classes");
    expect_refusal("x.csv", "text,label,split\na,b,dev\n", "line 2: split 'dev'");
    expect_refusal("x.jsonl", "{\"text\": \"a\", \"label\": \"b\"}\n{\"text\": \"c\"}\n",
                   "line 2 has no field 'label'");
    expect_refusal("x.jsonl", "{\"text\": \"a\", \"label\": 1.5}\n", "'label' is not a string");
    struct harvest_dataset set;
    struct sae_err err;
    assert_int_equal(harvest_dataset_load(&set, "/nowhere/x.csv", &usual, &err), SAE_EIO);
    char *name = NULL;
    assert_int_equal(harvest_dataset_name(&name, "a b.csv", &err), SAE_EARG);
    assert_int_equal(harvest_dataset_name(&name, "q/a.b-c_1.jsonl.zst", NULL), SAE_OK);
    assert_string_equal(name, "a.b-c_1");
    free(name);
}

/* n texts of each of `classes`: "a0", "a1", ... */
static void put_classes(const char *name, const char *classes, const size_t *n)
{
    struct sae_str text = {0};
    assert_int_equal(sae_str_printf(&text, NULL, "text,label\n"), SAE_OK);
    for (size_t c = 0; classes[c] != '\0'; c++)
        for (size_t i = 0; i < n[c]; i++)
            assert_int_equal(sae_str_printf(&text, NULL, "%c%zu,%c\n", classes[c], i, classes[c]),
                             SAE_OK);
    put(name, text.s);
    sae_str_clear(&text);
}

static struct harvest_dataset draw(const struct harvest_draw *how)
{
    struct harvest_dataset set;
    assert_int_equal(harvest_dataset_load(&set, path, &usual, NULL), SAE_OK);
    assert_int_equal(harvest_dataset_draw(&set, how, NULL), SAE_OK);
    return set;
}

static void expect_split(const struct harvest_dataset *set, size_t c, size_t n_train, size_t n_test)
{
    size_t n[2] = {0, 0};
    for (size_t i = 0; i < set->n; i++) {
        assert_true(set->v[i].split <= 1);
        if (set->v[i].class == c)
            n[set->v[i].split]++;
        /* the class number still fits the text */
        assert_int_equal(set->v[i].text[0], set->classes[set->v[i].class].name[0]);
    }
    assert_int_equal(n[0], n_train);
    assert_int_equal(n[1], n_test);
    assert_int_equal(set->classes[c].n_train, n_train);
    assert_int_equal(set->classes[c].n_test, n_test);
}

static void a_fifth_is_the_test_set(void **state)
{
    (void)state;
    const size_t n[] = {50, 12, 33};
    put_classes("three.csv", "abc", n);
    /* a: 40 + 10, cut to 30 + 8; b: 12 of 20 needed, left out; c: 27 + 6 */
    const struct harvest_draw how = {.max_train = 30, .max_test = 8, .min_texts = 20, .seed = 1};
    struct harvest_dataset set = draw(&how);
    assert_int_equal(set.n_classes, 2);
    assert_int_equal(set.n, 38 + 33);
    expect_split(&set, 0, 30, 8);
    expect_split(&set, 1, 27, 6);
    /* Same seed, same draw; other seed, another. */
    struct harvest_dataset same = draw(&how);
    const struct harvest_draw otherwise = {30, 8, 20, 2};
    struct harvest_dataset other = draw(&otherwise);
    bool differs = false;
    assert_int_equal(same.n, set.n);
    for (size_t i = 0; i < set.n; i++) {
        assert_string_equal(same.v[i].text, set.v[i].text);
        assert_int_equal(same.v[i].split, set.v[i].split);
        differs |=
            strcmp(other.v[i].text, set.v[i].text) != 0 || other.v[i].split != set.v[i].split;
    }
    assert_true(differs);
    harvest_dataset_clear(&set);
    harvest_dataset_clear(&same);
    harvest_dataset_clear(&other);
}

static void a_given_split_is_kept(void **state)
{
    (void)state;
    put("given.csv", "text,label,split\na0,a,test\na1,a,train\na2,a,train\nb0,b,train\nb1,b,test\n"
                     "b2,b,test\nb3,b,train\nc0,c,train\nc1,c,train\nc2,c,train\n");
    const struct harvest_draw how = {.max_train = 9, .max_test = 1, .min_texts = 2, .seed = 1};
    struct harvest_dataset set = draw(&how);
    assert_int_equal(set.n_classes, 2); /* c has no test texts */
    expect_split(&set, 0, 2, 1);
    expect_split(&set, 1, 2, 1);
    assert_int_equal(set.v[0].split, 1); /* a0 */
    harvest_dataset_clear(&set);
}

static void too_few_classes_are_refused(void **state)
{
    (void)state;
    const size_t n[] = {50, 12};
    put_classes("two.csv", "ab", n);
    const struct harvest_draw how = {.max_train = 30, .max_test = 8, .min_texts = 20, .seed = 1};
    struct harvest_dataset set;
    struct sae_err err = {0};
    assert_int_equal(harvest_dataset_load(&set, path, &usual, NULL), SAE_OK);
    assert_int_equal(harvest_dataset_draw(&set, &how, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "1 classes have enough texts"));
    harvest_dataset_clear(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_and_json_are_read),       cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(a_fifth_is_the_test_set),     cmocka_unit_test(a_given_split_is_kept),
        cmocka_unit_test(too_few_classes_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
