/* SPDX-License-Identifier: MIT */
/* test_options : what follows from the rows of the table of options - defaults, what is refused beside
 * what, what a sweep leaves out, records. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cli/parse.h"
#include "train/options.h"

enum { D = 16, ROWS = 300000, WORDS = 16 };

static struct sae_program program = {.name = "sae-train", .opts = options_rows};

/* A command line of the words of `line`, parsed; fails the test where it is refused by itself. */
struct line {
    struct sae_opt_set set;
    struct sae_cli cli;
    char words[300];
    char *argv[WORDS];
};

static struct line *parse(const char *line)
{
    static struct line l;
    struct sae_err err = {0};
    int argc = 0;
    memset(&l, 0, sizeof l);
    options_unset(&options_given.set);
    snprintf(l.words, sizeof l.words, "sae-train %s", line);
    for (char *word = strtok(l.words, " "); word; word = strtok(NULL, " "))
        l.argv[argc++] = word;
    assert_true(argc < WORDS);
    assert_int_equal(sae_opt_set_init(&l.set, &l.cli, &program, &err), SAE_OK);
    l.cli.set = &l.set;
    if (sae_opt_set_parse(&l.set, &l.cli, argc, l.argv, &err) != SAE_OK)
        fail_msg("%s: %s", line, err.msg);
    return &l;
}

static void end(struct line *l)
{
    sae_opt_set_clear(&l->set);
    free(l->cli.args);
}

/* A value that is no default. */
static const char *value_of(const struct sae_opt *row)
{
    if (row->kind == SAE_OPT_ENUM)
        return row->choices[1];
    if (row->kind == SAE_OPT_REALS)
        return "0.25,0.75";
    return row->kind == SAE_OPT_REAL ? "0.7" : "3";
}

/* Whether options_check takes the line; its message if not. */
static bool is_taken(const char *line, char message[sizeof ((struct sae_err *)0)->msg])
{
    struct line *const l = parse(line);
    struct sae_err err = {0};
    const enum sae_status st = options_check(&l->cli, &options_given.set, &err);
    snprintf(message, sizeof err.msg, "%s", err.msg);
    end(l);
    assert_true(st == SAE_OK || st == SAE_EARG);
    return st == SAE_OK;
}

static const struct sae_opt *row_of(const char *name)
{
    for (const struct sae_opt *row = options_rows; row->name; row++)
        if (strcmp(row->name, name) == 0)
            return row;
    fail_msg("no option --%s", name);
    return NULL;
}

/* --- 1. the rows -------------------------------------------------------------------------- */

static void test_rows(void **state)
{
    (void)state;
    for (const struct sae_opt *row = options_rows; row->name; row++) {
        const struct sae_opt_when *const when = row->when;
        assert_non_null(row->help);
        assert_non_null(row->group);
        assert_ptr_equal(row_of(row->name), row); /* a name stands once */
        assert_int_equal(row->kind == SAE_OPT_ENUM, row->choices != NULL);
        if (!when)
            continue;
        const struct sae_opt *const by = row_of(when->by);
        assert_true(by < row); /* so that refusals name the first cause first, and none decides itself */
        assert_true(when->holds ? by->kind == SAE_OPT_ENUM : by->kind == SAE_OPT_U64);
        assert_true(!when->lacks || !when->without);
        size_t n = 0;
        for (int i = 0; when->holds && by->choices[i]; i++)
            n += when->holds(i);
        assert_true(!when->holds || n > 0);
    }
}

/* --- 2. contradictions -------------------------------------------------------------------- */

/* Every option beside every choice that decides about it: taken exactly where it has a meaning, and
 * else refused by name. */
static void test_refused(void **state)
{
    (void)state;
    char line[200], message[sizeof ((struct sae_err *)0)->msg], name[64];
    size_t n_refused = 0;
    for (const struct sae_opt *row = options_rows; row->name; row++) {
        const struct sae_opt *const by = row->when ? row_of(row->when->by) : NULL;
        for (int i = 0; by && row->when->holds && by->choices[i]; i++) {
            const bool holds = row->when->in_sweeps || row->when->holds(i);
            const bool lp = strcmp(by->name, "sparsity") == 0;
            snprintf(line, sizeof line, "%s --%s %s --%s %s", lp ? "--arch standard" : "", by->name,
                     by->choices[i], row->name, value_of(row));
            if (is_taken(line, message) != holds)
                fail_msg("'%s': %s", line, holds ? message : "is not refused");
            snprintf(name, sizeof name, "--%s has no meaning ", row->name);
            assert_true(holds || strncmp(message, name, strlen(name)) == 0);
            n_refused += !holds;
        }
    }
    assert_true(n_refused > 50);
}

static void test_words(void **state)
{
    (void)state;
    static const char *const said[][2] = {
        {"--arch gated --k 4", "--k has no meaning with --arch gated, which has no k; leave it out"},
        {"--arch gated --target-l0 4",
         "--target-l0 has no meaning except with --arch jumprelu; leave it out"},
        {"--cut-start 5",
         "--cut-start has no meaning except with --arch batchtopk or matryoshka; leave it out"},
        {"--gamma 1", "--gamma has no meaning without --orth; leave it out"},
        {"--k-anneal 5", "--k-anneal has no meaning without --k-start; leave it out"},
        /* the cause of the cause */
        {"--arch gated --k-anneal 5",
         "--k-anneal has no meaning with --arch gated, which has no k; leave it out"},
        {"--arch topk --p-end 0.5",
         "--p-end has no meaning with --arch topk, which has no L1 term; leave it out"},
        {"--tokens 5K --steps 3",
         "--tokens and --steps both set the length of the run; give one of them"}};
    char message[sizeof ((struct sae_err *)0)->msg];
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        assert_false(is_taken(said[i][0], message));
        assert_string_equal(message, said[i][1]);
    }
    assert_true(is_taken("--base-threshold 0.2", message)); /* says what is counted */
    assert_true(is_taken("--k-start 8 --k-anneal 5", message));
}

/* A sweep forgets what means nothing beside a run's choices, and only that. */
static void test_dropped(void **state)
{
    (void)state;
    struct line *const l = parse("--arch standard --k 7 --l1 0.5 --gamma 1 --base-threshold 0.9");
    struct sae_err err = {0};
    assert_int_equal(options_drop(&l->cli, &options_given.set, &err), SAE_OK);
    assert_false(sae_opt_given(&l->cli, "k"));
    assert_false(sae_opt_given(&l->cli, "gamma"));
    assert_false(sae_opt_given(&l->cli, "base-threshold"));
    assert_true(sae_opt_given(&l->cli, "l1"));
    assert_int_equal(options_given.set.k, 32);
    assert_true(isnan(options_given.set.gamma));
    assert_float_equal(options_given.set.base_threshold, 0.1, 0);
    assert_float_equal(options_given.set.l1, 0.5, 0);
    assert_int_equal(options_check(&l->cli, &options_given.set, &err), SAE_OK);
    end(l);
}

/* --- 3. defaults and records -------------------------------------------------------------- */

/* What is written without options is what tests and rules begin with. */
static void test_default(void **state)
{
    (void)state;
    struct settings set;
    options_default(&set);
    assert_int_equal(set.k, 32);
    assert_int_equal(set.m, SETTINGS_UNSET);
    assert_true(isnan(set.lr));
    assert_int_equal(set.groups.n, 5);
    assert_float_equal(set.groups.v[4], 17.0 / 32, 0);
    assert_int_equal(set.checkpoints.n, 5);
    struct line *const l = parse("");
    for (const struct sae_opt *row = options_rows; row->name; row++) {
        const uintptr_t at = (uintptr_t)row->to - (uintptr_t)&options_given.set;
        const size_t size = row->kind == SAE_OPT_ENUM   ? sizeof(int)
                            : row->kind == SAE_OPT_FLAG ? sizeof(bool)
                                                        : sizeof(uint64_t);
        if (at < sizeof set && row->kind != SAE_OPT_REALS)
            assert_memory_equal((char *)&set + at, row->to, size);
    }
    end(l);
}

/* The record of a line, with what the rules chose. */
static json_t *record(const char *line)
{
    struct line *const l = parse(line);
    struct sae_err err = {0};
    json_t *ret = NULL;
    assert_int_equal(options_check(&l->cli, &options_given.set, &err), SAE_OK);
    assert_int_equal(sae_opt_record(&ret, &l->cli, &err), SAE_OK);
    struct settings set = options_given.set;
    if (settings_resolve(&set, ROWS, D, &err) != SAE_OK)
        fail_msg("%s: %s", line, err.msg);
    assert_int_equal(options_record(ret, &set, &err), SAE_OK);
    end(l);
    return ret;
}

static const char *recorded(const json_t *record, const char *name)
{
    const json_t *const value = json_object_get(json_object_get(record, "options"), name);
    assert_non_null(value);
    return json_is_null(value) ? "null" : json_string_value(value);
}

/* As sae-train 0.1.0 recorded them: what has no meaning is null, but for what it recorded anyway;
 * what a rule chose is there as a number. */
static void test_records(void **state)
{
    (void)state;
    static const struct {
        const char *line, *option, *value;
    } want[] = {
        {"", "k", "32"},
        {"", "m", "256"},
        {"", "lr", "0.0016"},
        {"", "l1", "null"},
        {"", "sparsity", "null"},
        {"", "k-start", "0"},
        {"", "k-anneal", "null"},
        {"", "orth-normalizer", "sum"},
        {"", "base-threshold", "0.1"},
        {"", "sharpness", "4"},
        {"", "gamma", "null"},
        {"", "ortsae-every", "null"},
        {"", "cut-start", "null"},
        {"--k-start 8", "k-anneal", "142"},
        {"--arch gated", "k", "null"},
        {"--arch gated", "k-start", "0"},
        {"--arch gated", "auxk-alpha", "null"},
        {"--arch gated", "l1", "0.1"},
        {"--arch gated", "p-updates", "null"},
        {"--arch gated --sparsity lp", "p-updates", "10"},
        {"--arch gated --sparsity lp --p-updates 0", "p-updates", "129"},
        {"--arch gated --sparsity lp", "p-end", "0.2"},
        {"--arch batchtopk", "cut-start", "14"},
        {"--arch jumprelu", "target-l0", "20"},
        {"--arch matryoshka", "prefix-loss", "mean"},
        {"--orth static", "gamma", "0"},
        {"--orth ortsae", "lambda2-max", "0.25"},
        {"--orth ortsae", "ortsae-chunk", "8192"},
        {"--steps 2K", "steps", "2000"},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        json_t *const made = record(want[i].line);
        const char *const got = recorded(made, want[i].option);
        if (strcmp(got, want[i].value) != 0)
            fail_msg("'%s': --%s is recorded as %s, expected %s", want[i].line, want[i].option, got,
                     want[i].value);
        json_decref(made);
    }
}

/* A record is typed again by --resume: it must lead to itself. */
static void test_again(void **state)
{
    (void)state;
    char line[64];
    for (int a = 0; a < TRAIN_ARCH_N; a++) {
        struct sae_err err = {0};
        snprintf(line, sizeof line, "--arch %s --orth progressive", train_arch_names[a]);
        json_t *const first = record(line);
        json_t *const options = json_object_get(first, "options");
        struct line *const l = parse("");
        json_t *second = NULL;
        json_object_del(options, "steps"); /* beside tokens */
        assert_int_equal(sae_opt_apply(&l->cli, options, &err), SAE_OK);
        assert_int_equal(sae_opt_record(&second, &l->cli, &err), SAE_OK);
        struct settings set = options_given.set;
        assert_int_equal(settings_resolve(&set, ROWS, D, &err), SAE_OK);
        assert_int_equal(options_record(second, &set, &err), SAE_OK);
        json_object_del(json_object_get(second, "options"), "steps");
        assert_true(json_equal(options, json_object_get(second, "options")));
        json_decref(first);
        json_decref(second);
        end(l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_words),   cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_default), cmocka_unit_test(test_records),
        cmocka_unit_test(test_again)};
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
