/* SPDX-License-Identifier: MIT */
/* Tests of lib/cli/opt: parsing, refusal, config files, records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/cli/grid.h"
#include "lib/cli/opt.h"
#include "lib/cli/parse.h"
#include "lib/file/json.h"

static struct {
    bool flag;
    uint64_t k, tokens;
    double lr;
    const char *acts;
    const char *out;
    int arch;
    struct sae_u64s ks;
    uint64_t often;
    struct sae_strs labels;
} s;

static const char *const archs[] = {"topk", "standard", NULL};

static const struct sae_opt rows[] = {
    {"flag", 'f', SAE_OPT_FLAG, &s.flag, "false", NULL, 0, 0, NULL, "A", "a flag", 0},
    {"k", 0, SAE_OPT_U64, &s.k, "32", NULL, 1, 100, "N", "A", "latents",
     SAE_OPT_MAIN | SAE_OPT_SWEEP},
    {"tokens", 0, SAE_OPT_COUNT, &s.tokens, NULL, NULL, 0, 0, "N", "A", "tokens", 0},
    {"lr", 0, SAE_OPT_REAL, &s.lr, "0.001", NULL, 0, 0, "X", "A", "learning rate", SAE_OPT_SWEEP},
    {"acts", 0, SAE_OPT_PATH, &s.acts, NULL, NULL, 0, 0, "DIR", "A", "store", 0},
    {"out", 'o', SAE_OPT_PATH, &s.out, NULL, NULL, 0, 0, "DIR", "A", "run", SAE_OPT_UNRECORDED},
    {"arch", 0, SAE_OPT_ENUM, &s.arch, "topk", archs, 0, 0, NULL, "A", "architecture", 0},
    {"ks", 0, SAE_OPT_U64S, &s.ks, "1,2", NULL, 1, 9, "LIST", "A", "list", 0},
    {"often", 0, SAE_OPT_COUNT, &s.often, "0", NULL, 0, 0, "N", "A", "saves", SAE_OPT_OVERRIDE},
    {"labels", 0, SAE_OPT_STRS, &s.labels, NULL, NULL, 0, 0, "FILE", "A", "files", 0},
    {NULL}};

static const struct sae_program program = {.name = "sae-test",
                                           .summary = "test",
                                           .usage = "sae-test",
                                           .operands = "FILE ...",
                                           .opts = rows};

/* One invocation; words are separated by single spaces. */
static struct sae_cli cli;
static struct sae_opt_set set;
static struct sae_err err;
static char line[400];
static char *argv[32];

static enum sae_status parse(const char *words)
{
    int argc = 1;
    free(cli.args);
    sae_opt_set_clear(&set);
    memset(&cli, 0, sizeof cli);
    memset(&s, 0, sizeof s);
    argv[0] = (char *)"sae-test";
    snprintf(line, sizeof line, "%s", words);
    for (char *p = strtok(line, " "); p != NULL; p = strtok(NULL, " "))
        argv[argc++] = p;
    enum sae_status st = sae_opt_set_init(&set, &cli, &program, &err);
    if (st == SAE_OK)
        st = sae_opt_set_parse(&set, &cli, argc, argv, &err);
    return st;
}

static int clean(void **state)
{
    (void)state;
    free(cli.args);
    cli.args = NULL;
    sae_opt_set_clear(&set);
    return 0;
}

static void defaults_and_forms(void **state)
{
    (void)state;
    assert_int_equal(parse(""), SAE_OK);
    assert_true(s.k == 32 && s.lr == 0.001 && s.arch == 0 && !s.flag && s.acts == NULL);
    assert_true(s.ks.n == 2 && s.ks.v[1] == 2);
    assert_int_equal(parse("--k=7 --tokens 5M -f -oRUN --arch standard x.h5 --ks 3,4,5 y"), SAE_OK);
    assert_true(s.k == 7 && s.tokens == 5000000 && s.flag && s.arch == 1);
    assert_string_equal(s.out, "RUN");
    assert_true(s.ks.n == 3 && s.ks.v[2] == 5);
    assert_true(cli.n_args == 2 && strcmp(cli.args[1], "y") == 0);
    assert_int_equal(parse("--flag --no-flag --force -- --k"), SAE_OK);
    assert_true(!s.flag && cli.force && cli.n_args == 1);
    assert_int_equal(parse("--labels a,b --labels c"), SAE_OK);
    assert_true(s.labels.n == 3 && strcmp(s.labels.v[2], "c") == 0);
}

/* A comma inside a name: escaped, or in the name of a file that is there. */
static void names_may_hold_commas(void **state)
{
    (void)state;
    char dir[] = "/tmp/saekit-opt,XXXXXX", words[200];
    assert_int_equal(parse("--labels a\\,b,c\\,\\,d --labels e\\,"), SAE_OK);
    assert_int_equal(s.labels.n, 3);
    assert_string_equal(s.labels.v[0], "a,b");
    assert_string_equal(s.labels.v[1], "c,,d");
    assert_string_equal(s.labels.v[2], "e,");
    assert_int_equal(parse("--labels \\x,\\"), SAE_OK); /* other backslashes are themselves */
    assert_true(s.labels.n == 2 && strcmp(s.labels.v[0], "\\x") == 0 &&
                strcmp(s.labels.v[1], "\\") == 0);
    assert_non_null(mkdtemp(dir));
    snprintf(words, sizeof words, "--labels %s --labels %s,x", dir, dir);
    assert_int_equal(parse(words), SAE_OK);
    assert_int_equal(s.labels.n, 4); /* the second names no file, so that its commas separate */
    assert_string_equal(s.labels.v[0], dir);
    assert_string_equal(s.labels.v[3], "x");
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(parse("--labels a,,b"), SAE_EARG);
}

static void wrong_words_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *words, *part;
    } cases[] = {
        {"--k 0", "--k 0: must be at least 1"},
        {"--k 101", "--k 101: must be at most 100"},
        {"--lr 1e-320", "--lr 1e-320: must be 0 or at least 1.17549e-38 in size"},
        {"--k 3x", "--k '3x': expected a whole number, or several as 1,2,3"},
        {"--k", "--k needs a value"},
        {"--tokens 1.00005K", "such as 2000, 5M or 1.5K"},
        {"--arch gated", "expected one of topk, standard"},
        {"--ks 1,,2", "--ks '': expected a whole number"},
        {"--tokenz 3", "did you mean '--tokens'"},
        {"--zzzzzzzzzz", "unknown option '--zzzzzzzzzz'; --help=all"},
        {"-x", "unknown option '-x'; --help=all"},
        {"--tok 3", "did you mean '--tokens'"},             /* a beginning */
        {"--ver", "did you mean '--verbose' or '--version'"},
        {"--acts-dir a", "did you mean '--acts'"},          /* its own beginning */
        {"--config-file a", "did you mean '--config'"},
        {"--print", "did you mean '--print-config'"},
        {"--device cuda", "did you mean --backend cpu or cuda"}, /* what others call it */
        {"--learning-rate 1", "did you mean --lr;"},
        {"-V", "unknown option '-V', did you mean --version;"},
        {"-k 3", "did you mean '--k';"},                    /* not every option that begins so */
        {"--tokenscount 3", "did you mean '--tokens'"},     /* two words run together */
        {"--lrate 3", "unknown option '--lrate'; --help=all"}, /* two letters say little */
        {"--epochs 3", "unknown option '--epochs'; --help=all"}, /* this program has no --steps */
        {"--thr 3", "did you mean '--threads'"},            /* not '--lr' */
        {"--ley 3", "unknown option '--ley'; --help=all"},  /* half of it differs from '--lr' */
        {"--lr nan", "--lr 'nan': expected a number"},
        {"--lr 0,001", "did you mean 0.001?"},
        {"--k 1,000", "did you mean 1000?"},
        {"--tokens 18446744073709551615", "--tokens 18446744073709551615: must be at most 2^53"},
        {"--flag=maybe", "expected true or false"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(parse(cases[i].words), SAE_EARG);
        if (strstr(err.msg, cases[i].part) == NULL)
            fail_msg("'%s' does not contain '%s'", err.msg, cases[i].part);
    }
}

static void config_files_yield_to_the_command_line(void **state)
{
    (void)state;
    char path[] = "/tmp/saekit-opt-XXXXXX", words[100];
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    const char text[] = "# comment\n k = 9 \nlr=0.5\n\nflag = true\n";
    assert_int_equal(sae_fs_write(path, text, sizeof text - 1, &err), SAE_OK);
    snprintf(words, sizeof words, "--lr 0.25 --config %s", path);
    assert_int_equal(parse(words), SAE_OK);
    assert_true(s.k == 9 && s.lr == 0.25 && s.flag && sae_opt_given(&cli, "k"));
    const char bad[] = "k = 9\nnonsense = 1\n";
    assert_int_equal(sae_fs_write(path, bad, sizeof bad - 1, &err), SAE_OK);
    assert_int_equal(parse(words), SAE_EARG);
    assert_non_null(strstr(err.msg, "line 2"));
    /* no line is passed over in silence: lists add up, anything else stands once */
    const char twice[] = "lr = 0.5\nk = 9\nlr = 0.25\n";
    assert_int_equal(sae_fs_write(path, twice, sizeof twice - 1, &err), SAE_OK);
    snprintf(words, sizeof words, "--config %s", path);
    assert_int_equal(parse(words), SAE_EARG);
    assert_non_null(strstr(err.msg, "line 3: 'lr' is given a second time"));
    const char lists[] = "labels = a,b\nlabels = c\n";
    assert_int_equal(sae_fs_write(path, lists, sizeof lists - 1, &err), SAE_OK);
    assert_int_equal(parse(words), SAE_OK);
    assert_true(s.labels.n == 3 && strcmp(s.labels.v[2], "c") == 0);
    snprintf(words, sizeof words, "--labels d --config %s", path);
    assert_int_equal(parse(words), SAE_OK);
    assert_true(s.labels.n == 1 && strcmp(s.labels.v[0], "d") == 0);
    /* a default spelt out, as --print-config does, was not asked for */
    const char usual[] = "k = 32\nlr = 1e-3\ntokens = 7\nflag = false\n";
    snprintf(words, sizeof words, "--config %s", path);
    assert_int_equal(sae_fs_write(path, usual, sizeof usual - 1, &err), SAE_OK);
    assert_int_equal(parse(words), SAE_OK);
    assert_true(!sae_opt_given(&cli, "k") && !sae_opt_given(&cli, "lr") &&
                !sae_opt_given(&cli, "flag") && sae_opt_given(&cli, "tokens"));
    assert_true(s.k == 32 && s.tokens == 7);
    unlink(path);
}

static void the_record_leaves_out_where_and_how_loudly(void **state)
{
    (void)state;
    json_t *record = NULL;
    assert_int_equal(parse("--k 7 -o RUN --acts it's -v x.h5"), SAE_OK);
    assert_int_equal(sae_opt_record(&record, &cli, &err), SAE_OK);
    assert_string_equal(sae_json_str(record, "command", ""),
                        "sae-test --k 7 --acts 'it'\\''s' x.h5");
    assert_string_equal(sae_json_str(record, "options.k", ""), "7");
    assert_string_equal(sae_json_str(record, "options.lr", ""), "0.001");
    assert_null(sae_json_at(record, "options.out"));
    assert_true(json_is_null(sae_json_at(record, "options.tokens")));
    json_decref(record);
}

static void a_recorded_run_is_taken_up_again(void **state)
{
    (void)state;
    json_t *options = json_pack("{s:s, s:s, s:n}", "k", "64", "arch", "standard", "tokens");
    assert_int_equal(parse(""), SAE_OK);
    assert_int_equal(sae_opt_apply(&cli, options, &err), SAE_OK);
    assert_true(s.k == 64 && s.arch == 1);
    assert_int_equal(parse("--k 64"), SAE_OK);
    assert_int_equal(sae_opt_apply(&cli, options, &err), SAE_OK);
    assert_int_equal(parse("--k 65"), SAE_OK);
    assert_int_equal(sae_opt_apply(&cli, options, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "--k 65: the run was started with 64"));
    json_decref(options);
    /* one value in two spellings is no contradiction; some options may be said anew */
    options = json_pack("{s:s, s:s, s:s, s:s}", "tokens", "5000000", "lr", "0.0002", "ks", "1,5",
                        "often", "70");
    assert_int_equal(parse("--tokens 5M --lr 2e-4 --ks 1,05"), SAE_OK);
    assert_int_equal(sae_opt_apply(&cli, options, &err), SAE_OK);
    assert_true(s.tokens == 5000000 && s.often == 70 && s.ks.n == 2);
    assert_int_equal(parse("--often 1K"), SAE_OK);
    assert_int_equal(sae_opt_apply(&cli, options, &err), SAE_OK);
    assert_true(s.often == 1000);
    static const char *const other[] = {"--tokens 5000001", "--lr 0.0003", "--ks 1,5,6", "--ks 1"};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        assert_int_equal(parse(other[i]), SAE_OK);
        assert_int_equal(sae_opt_apply(&cli, options, &err), SAE_EARG);
    }
    json_decref(options);
}

static enum sae_status join(void *user, const char *option, const char *value, struct sae_err *e)
{
    char *const to = user;
    (void)e;
    snprintf(to + strlen(to), 100 - strlen(to), "%s=%s ", option, value);
    return SAE_OK;
}

/* Each combination stands in the table as if it alone had been typed, and can be recorded so. */
static void lists_make_a_grid(void **state)
{
    (void)state;
    struct sae_grid *grid = NULL;
    static const char *const points[] = {"k=4 lr=0.5 ", "k=4 lr=1e-3 ", "k=8 lr=0.5 ",
                                         "k=8 lr=1e-3 "};
    assert_int_equal(parse("--k 4,8 --lr 0.5,1e-3 --tokens 5M"), SAE_OK);
    assert_int_equal(sae_grid_open(&grid, &cli, &err), SAE_OK);
    assert_int_equal(sae_grid_n(grid), 4);
    assert_true(sae_grid_is_list(grid, "lr") && !sae_grid_is_list(grid, "tokens"));
    for (size_t i = 0; i < 4; i++) {
        char text[100] = "";
        assert_int_equal(sae_grid_set(grid, i, &err), SAE_OK);
        assert_int_equal(sae_grid_each(grid, join, text, &err), SAE_OK);
        assert_string_equal(text, points[i]);
        assert_true(s.k == (i < 2 ? 4U : 8U) && s.lr == (i % 2 ? 1e-3 : 0.5));
        if (i < 3)
            assert_int_equal(sae_opt_drop(&cli, "k", &err), SAE_OK);
        assert_true(s.k == (i < 3 ? 32U : 8U) && sae_opt_given(&cli, "k") == (i == 3));
    }
    json_t *record = NULL;
    assert_int_equal(sae_opt_record(&record, &cli, &err), SAE_OK);
    assert_string_equal(sae_json_str(record, "command", ""),
                        "sae-test --k 8 --tokens 5M --lr 1e-3");
    json_decref(record);
    assert_string_equal(sae_grid_unused(grid), "k"); /* the first that no run was marked to use */
    sae_grid_keep(grid);
    assert_null(sae_grid_unused(grid));
    sae_grid_close(grid);
    assert_int_equal(parse("--k 4,8 --lr 0.5,0.50"), SAE_OK);
    assert_int_equal(sae_grid_open(&grid, &cli, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "0.50 is named twice"));
    assert_int_equal(parse("--k 4,101"), SAE_EARG);
    assert_int_equal(parse("--k 4,,8"), SAE_EARG);
    assert_int_equal(parse("--tokens 4,8"), SAE_EARG); /* no list */
}

/* Rate and time left stay on a narrow terminal; the bar goes first. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(defaults_and_forms, clean),
        cmocka_unit_test_teardown(names_may_hold_commas, clean),
        cmocka_unit_test_teardown(wrong_words_are_named, clean),
        cmocka_unit_test_teardown(config_files_yield_to_the_command_line, clean),
        cmocka_unit_test_teardown(the_record_leaves_out_where_and_how_loudly, clean),
        cmocka_unit_test_teardown(a_recorded_run_is_taken_up_again, clean),
        cmocka_unit_test_teardown(lists_make_a_grid, clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
