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

/* The same rows in other forms; truths as labels; rows that cannot be used are left out. */
static void rows_are_read_from_any_form(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "{\"text\": \"a\", \"label\": true}\n{\"text\": null, \"label\": true}\n"
        "{\"text\": \"b\", \"label\": false, \"score\": NaN}\n{\"text\": \"c\", \"label\": null}\n"
        "{\"text\": \"c\", \"label\": false}\n",
        "[{\"text\": \"a\", \"label\": true}, {\"text\": \"b\", \"label\": \"false\"}, [],\n"
        "{\"text\": \"c\"}, {\"text\": \"c\", \"label\": false}]",
        "text\tlabel\na\ttrue\nb\tfalse\nc\nb\t\nc\tfalse\n",
        "text,label\na,true\nb,false\nc\nb,\nc,false\n"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct harvest_dataset set;
        put("truths.json", forms[i]);
        assert_int_equal(harvest_dataset_load(&set, path, &usual, NULL), SAE_OK);
        assert_int_equal(set.n, 3);
        assert_int_equal(set.left.n, 2);
        expect_class(&set, 0, "false", 2);
        expect_class(&set, 1, "true", 1);
        assert_string_equal(set.v[2].text, "c");
        harvest_dataset_clear(&set);
    }
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
    expect_refusal("x.csv", "text,label\na,b\nc\nd\n",
                   "2 of 3 rows cannot be used; the first: ");
    expect_refusal("x.csv", "text,label\na,\n", "line 2: the label is empty");
    expect_refusal("x.csv", "text,label\na,caf\xe9\n", "line 2: the label is not valid UTF-8");
    expect_refusal("x.csv", "text,label\na,b\nc,b\n", "2 texts of 1 class;");
    expect_refusal("x.csv", "text,label,split\na,b,dev\n", "line 2: split 'dev'");
    expect_refusal("x.jsonl", "{\"text\": \"a\", \"class\": \"b\"}\n",
                   "line 1 has no field 'label'; it has: text, class; see --label-column");
    expect_refusal("x.jsonl", "{\"text\": \"a\", \"label\": 1.5}\n",
                   "1 of 1 rows cannot be used; the first: ");
    expect_refusal("x.csv", "PAR1", "is Parquet without its end");
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

/* --- SAEBench's sets, as Hugging Face exports them ---------------------------------------- */

/* Loads PRESET=dir/file into *set; the columns given are not looked at. */
static void load_preset(struct harvest_dataset *set, const char *preset, const char *file,
                        size_t first)
{
    struct sae_str source = {0};
    struct sae_err err = {0};
    const struct harvest_columns columns = {"x", "y", "split", "attribute", .first = first};
    assert_int_equal(sae_str_printf(&source, NULL, "%s=%s/%s", preset, dir, file), SAE_OK);
    if (harvest_dataset_load(set, source.s, &columns, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    sae_str_clear(&source);
}

static void expect_text(const struct harvest_dataset *set, size_t i, const char *text,
                        const char *class, const char *attribute, int split)
{
    assert_true(i < set->n);
    assert_string_equal(set->v[i].text, text);
    assert_string_equal(set->v[i].label, class);
    if (attribute != NULL)
        assert_string_equal(set->v[i].attribute, attribute);
    else
        assert_null(set->v[i].attribute);
    assert_int_equal(set->v[i].split, split);
}

static void make_dir(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(sae_fs_make_dirs(path, NULL), SAE_OK);
}

static void bias_in_bios_is_read(void **state)
{
    (void)state;
    struct harvest_dataset set;
    make_dir("bios");
    put("bios/train.jsonl",
        "{\"hard_text\":\"She drew the plans.\",\"profession\":1,\"gender\":1}\n"
        "{\"hard_text\":\"He writes verse.\",\"profession\":20,\"gender\":0}\n"
        "{\"hard_text\":\"He keeps the books.\",\"profession\":0,\"gender\":0}\n");
    put("bios/test.jsonl",
        "{\"hard_text\":\"She shot two films.\",\"profession\":9,\"gender\":1}\n"
        "{\"hard_text\":\"She operates.\",\"profession\":25,\"gender\":1}\n");
    put("bios/dev.jsonl", "{\"hard_text\":\"left out\",\"profession\":9,\"gender\":1}\n");
    load_preset(&set, "LabHC/bias_in_bios_class_set1", "bios", 0);
    assert_string_equal(set.name, "bias_in_bios_class_set1");
    assert_int_equal(set.n, 3);
    assert_int_equal(set.n_rows, 5);
    assert_true(set.split_given && set.balanced);
    expect_text(&set, 0, "She shot two films.", "filmmaker", "female", 1);
    expect_text(&set, 1, "She drew the plans.", "architect", "female", 0);
    expect_text(&set, 2, "He keeps the books.", "accountant", "male", 0);
    harvest_dataset_clear(&set);
    load_preset(&set, "bias_in_bios_class_set3", "bios", 0);
    expect_text(&set, 0, "She operates.", "surgeon", "female", 1);
    expect_text(&set, 1, "He writes verse.", "poet", "male", 0);
    harvest_dataset_clear(&set);

    put("bios.csv", "hard_text,profession,gender\n\"Her canvases, large, sold.\",14,1\n"
                    "He nursed.,13,0\n");
    load_preset(&set, "bias_in_bios_class_set2", "bios.csv", 0);
    assert_false(set.split_given);
    expect_text(&set, 0, "Her canvases, large, sold.", "painter", "female", HARVEST_UNSPLIT);
    expect_text(&set, 1, "He nursed.", "nurse", "male", HARVEST_UNSPLIT);
    harvest_dataset_clear(&set);
}

static void amazon_reviews_are_read(void **state)
{
    (void)state;
    struct harvest_dataset set;
    put("amazon.jsonl", "{\"rating\":5.0,\"text\":\"Fun.\",\"category\":1,\"title\":\"t\"}\n"
                        "{\"rating\":3.0,\"text\":\"Middling.\",\"category\":6}\n"
                        "{\"rating\":1.0,\"text\":\"Broke.\",\"category\":6}\n"
                        "{\"rating\":1.0,\"text\":\"Dull book.\",\"category\":24}\n");
    load_preset(&set, "amazon_reviews_mcauley_1and5", "amazon.jsonl", 0);
    assert_int_equal(set.n, 2); /* of one or five stars and the five categories */
    expect_text(&set, 0, "Fun.", "Toys_and_Games", "5.0", HARVEST_UNSPLIT);
    expect_text(&set, 1, "Broke.", "Electronics", "1.0", HARVEST_UNSPLIT);
    harvest_dataset_clear(&set);
    load_preset(&set, "amazon_reviews_mcauley_1and5_sentiment", "amazon.jsonl", 0);
    assert_int_equal(set.n, 3); /* of any category */
    assert_false(set.balanced);
    expect_text(&set, 2, "Dull book.", "1.0", NULL, HARVEST_UNSPLIT);
    harvest_dataset_clear(&set);
    put("amazon.csv", "rating,title,text,category\n5.0,t,Good,2\n1,u,Bad,Musical_Instruments\n");
    load_preset(&set, "amazon_reviews_mcauley_1and5", "amazon.csv", 0);
    expect_text(&set, 0, "Good", "Cell_Phones_and_Accessories", "5.0", HARVEST_UNSPLIT);
    expect_text(&set, 1, "Bad", "Musical_Instruments", "1.0", HARVEST_UNSPLIT);
    harvest_dataset_clear(&set);
}

/* 150 characters are cut, of files of more than 534; characters, not bytes. */
static void github_code_is_read(void **state)
{
    (void)state;
    struct harvest_dataset set;
    struct sae_str file = {0};
    char code[600];
    memset(code, 'l', sizeof code);
    memset(code + 150, 'x', 385);
    code[535] = '\0';
    assert_int_equal(sae_str_printf(&file, NULL, "code,repo_name,path,language,license,size\n"
                                                 "%s,a/b,a.py,Python,mit,1\n%s,a/b,c.go,GO,mit,1\n"
                                                 "\xc3\xa9%s,a/b,b.c,C,mit,1\n%s,a/b,d.c,C,mit,1\n",
                                    code, code, code + 1, code + 1),
                     SAE_OK);
    put("code.csv", file.s);
    load_preset(&set, "codeparrot/github-code", "code.csv", 0);
    assert_string_equal(set.name, "github-code");
    assert_int_equal(set.n, 2); /* not GO, and not the file of 534 */
    expect_text(&set, 0, code + 150, "Python", NULL, HARVEST_UNSPLIT);
    expect_text(&set, 1, code + 150, "C", NULL, HARVEST_UNSPLIT);
    harvest_dataset_clear(&set);

    /* As the data set is stored: the suffix tells the language. */
    sae_str_clear(&file);
    assert_int_equal(sae_str_printf(&file, NULL,
                                    "{\"content\":\"%s\",\"path\":\"a.d/README\"}\n"
                                    "{\"content\":\"%s\",\"path\":\"src/M.java\"}\n"
                                    "{\"content\":\"%s\",\"path\":\"i/p.php5\"}\n"
                                    "{\"content\":\"%s\",\"path\":\"src/N.java\"}\n",
                                    code, code, code, code),
                     SAE_OK);
    put("raw.jsonl", file.s);
    load_preset(&set, "github-code", "raw.jsonl", 1); /* the first of each */
    assert_int_equal(set.n, 2);
    expect_text(&set, 0, code + 150, "Java", NULL, HARVEST_UNSPLIT);
    expect_text(&set, 1, code + 150, "PHP", NULL, HARVEST_UNSPLIT);
    harvest_dataset_clear(&set);
    sae_str_clear(&file);
}

static void ag_news_is_read(void **state)
{
    (void)state;
    struct harvest_dataset set;
    put("news.jsonl", "{\"text\":\"Shares fell.\",\"label\":2}\n"
                      "{\"text\":\"A probe landed.\",\"label\":3}\n");
    load_preset(&set, "ag_news", "news.jsonl", 0);
    expect_text(&set, 0, "Shares fell.", "Business", NULL, HARVEST_UNSPLIT);
    expect_text(&set, 1, "A probe landed.", "Sci/Tech", NULL, HARVEST_UNSPLIT);
    harvest_dataset_clear(&set);
    put("news.csv", "text,label\nTalks failed.,0\nTwo goals.,1\n");
    load_preset(&set, "fancyzhx/ag_news", "news.csv", 0);
    expect_text(&set, 0, "Talks failed.", "World", NULL, HARVEST_UNSPLIT);
    expect_text(&set, 1, "Two goals.", "Sports", NULL, HARVEST_UNSPLIT);
    harvest_dataset_clear(&set);
}

static void europarl_is_read(void **state)
{
    (void)state;
    struct harvest_dataset set;
    make_dir("euro");
    put("euro/de-en.jsonl", "{\"translation\":{\"de\":\"Ja.\",\"en\":\"Yes.\"}}\n"
                            "{\"translation\":{\"de\":\"Nein.\",\"en\":\"No.\"}}\n");
    put("euro/en-fr.jsonl", "{\"translation\":{\"en\":\"Good.\",\"fr\":\"Bon.\"}}\n"
                            "{\"translation\":{\"en\":\"Not read.\",\"fr\":\"-\"}}\n"
                            "nor is this\n");
    put("euro/fr-it.csv", "fr,it\nMerci.,Grazie.\n");
    load_preset(&set, "Helsinki-NLP/europarl", "euro", 1);
    assert_int_equal(set.n, 3);
    expect_text(&set, 0, "Ja.", "de", NULL, HARVEST_UNSPLIT);
    expect_text(&set, 1, "Good.", "en", NULL, HARVEST_UNSPLIT);
    expect_text(&set, 2, "Merci.", "fr", NULL, HARVEST_UNSPLIT);
    harvest_dataset_clear(&set);
}

static void expect_preset_refusal(const char *preset, const char *name, const char *text,
                                  const char *why)
{
    struct harvest_dataset set;
    struct sae_str source = {0};
    struct sae_err err = {0};
    put(name, text);
    assert_int_equal(sae_str_printf(&source, NULL, "%s=%s", preset, path), SAE_OK);
    assert_true(harvest_dataset_load(&set, source.s, &usual, &err) != SAE_OK);
    if (strstr(err.msg, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.msg, why);
    sae_str_clear(&source);
}

static void other_layouts_are_refused(void **state)
{
    (void)state;
    expect_preset_refusal("bias_in_bios_class_set1", "y.csv", "text,label\na,b\n",
                          "it has the columns text, label; expected hard_text, profession, gender");
    expect_preset_refusal("bias_in_bios_class_set1", "y.jsonl", "{\"hard_text\":\"a\"}\n",
                          "it has the columns hard_text; expected hard_text, profession, gender");
    expect_preset_refusal("amazon_reviews_mcauley_1and5", "y.csv", "text,category\na,1\n",
                          "columns text, category; expected text, category, rating");
    expect_preset_refusal("amazon_reviews_mcauley_1and5_sentiment", "y.csv", "title,rating\na,1\n",
                          "columns title, rating; expected text, rating");
    expect_preset_refusal("github-code", "y.csv", "source,lang\na,C\n",
                          "columns source, lang; expected code, language (or content, path)");
    expect_preset_refusal("ag_news", "y.csv", "Class Index,Title\n1,b\n",
                          "columns Class Index, Title; expected text, label");
    /* A dictionary in Python's own writing is what to_csv makes of it. */
    expect_preset_refusal("europarl", "y.csv", "translation\n\"{'en': 'a', 'fr': 'b'}\"\n",
                          "columns translation; expected translation {two languages} in JSON");
    expect_preset_refusal("ag_news", "y.csv", "text,label\na,4\nb,5\n",
                          "none of 2 rows is taken for ag_news, whose labels are 0 World, "
                          "1 Sports, 2 Business, 3 Sci/Tech; the first is of '4'");
    expect_preset_refusal("ag_news", "y.csv", "", "is empty");
    expect_preset_refusal("ag_mews", "y.csv", "", "no data set 'ag_mews'; known are bias_in_bios");
    make_dir("mixed");
    put("mixed/train.csv", "text,label\na,1\n");
    put("mixed/test.csv", "text,label\na,1\n");
    put("mixed/more.csv", "text,label\na,1\n");
    struct harvest_dataset set;
    struct sae_err err = {0};
    snprintf(path, sizeof path, "%s/mixed", dir);
    assert_int_equal(harvest_dataset_load(&set, path, &usual, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "more.csv' is beside files named train* and test*"));
}

/* Ten women and four men of each profession: a limit of 6 takes three of each, one of 20 four. */
static void presets_are_balanced(void **state)
{
    (void)state;
    struct sae_str file = {0};
    assert_int_equal(sae_str_printf(&file, NULL, "hard_text,profession,gender\n"), SAE_OK);
    for (int i = 0; i < 28; i++)
        assert_int_equal(sae_str_printf(&file, NULL, "%d,%d,%d\n", i, i % 2, i < 20), SAE_OK);
    for (int limit = 6; limit <= 20; limit += 14) {
        struct harvest_dataset set;
        make_dir("even");
        put("even/train.csv", file.s);
        put("even/test.csv", file.s);
        load_preset(&set, "bias_in_bios_class_set1", "even", 0);
        const struct harvest_draw how = {(size_t)limit, 2, 2, 1};
        assert_int_equal(harvest_dataset_draw(&set, &how, NULL), SAE_OK);
        const size_t each = limit == 6 ? 3 : 4;
        size_t n[2][2] = {{0}};
        for (size_t i = 0; i < set.n; i++)
            n[set.v[i].split][set.v[i].value]++;
        assert_int_equal(n[0][0], 2 * each);
        assert_int_equal(n[0][1], 2 * each);
        assert_int_equal(n[1][0], 2);
        assert_int_equal(n[1][1], 2);
        harvest_dataset_clear(&set);
    }
    sae_str_clear(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_from_any_form),
        cmocka_unit_test(csv_and_json_are_read),       cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(a_fifth_is_the_test_set),     cmocka_unit_test(a_given_split_is_kept),
        cmocka_unit_test(too_few_classes_are_refused), cmocka_unit_test(bias_in_bios_is_read),
        cmocka_unit_test(amazon_reviews_are_read),     cmocka_unit_test(github_code_is_read),
        cmocka_unit_test(ag_news_is_read),             cmocka_unit_test(europarl_is_read),
        cmocka_unit_test(other_layouts_are_refused),   cmocka_unit_test(presets_are_balanced),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
