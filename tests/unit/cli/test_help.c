/* SPDX-License-Identifier: MIT */
/* Tests of lib/cli/help: what is printed from a table of options, in each form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/cli/parse.h"

static struct {
    uint64_t k;
    double lr;
    int arch;
    const char *out;
    bool fast;
} s;
static const char *const archs[] = {"topk", "jump-relu", NULL};

/* Groups do not stand together: In, Out, In. */
static const struct sae_opt rows[] = {
    {"k",                                    'k', SAE_OPT_U64, &s.k, "32", .min = 1, .max = 99, .arg = "N", .group = "In",
     .help = "latents", .flags = SAE_OPT_MAIN | SAE_OPT_SWEEP},
    {"out",                           'o', SAE_OPT_PATH, &s.out, NULL, .arg = "DIR", .group = "Out",
     .help = ".gitignore's folder", .flags = SAE_OPT_UNRECORDED},
    {"arch",                                  0, SAE_OPT_ENUM, &s.arch, "topk", archs, .group = "In", .help = "kind",
     .flags = SAE_OPT_MAIN},
    {"lr",                             0, SAE_OPT_REAL, &s.lr, NULL, .group = "In",
     .help =
         "a help text of many words that is broken into lines, because no line may have more than "
         "a hundred columns, whatever is said"},
    {"fast",                         0, SAE_OPT_FLAG, &s.fast, "true", .group = "Out", .help = "back\\slash"},
    {NULL},
};
static const struct sae_program program = {.name = "sae-test",
                                           .summary = "test well",
                                           .usage = "sae-test [options] FILE",
                                           .examples = "# one\nsae-test a\n",
                                           .about = "Reads.\n.so what\n",
                                           .opts = rows};

static struct sae_opt_set set;
static struct sae_cli cli;
static char text[16384];

static int setup(void **state)
{
    (void)state;
    return sae_opt_set_init(&set, &cli, &program, NULL) == SAE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    sae_opt_set_clear(&set);
    return 0;
}

/* Leaves in `text` what is printed to standard output; which NULL: the configuration. */
static void print(const char *which)
{
    FILE *const file = tmpfile();
    fflush(stdout);
    const int kept = dup(STDOUT_FILENO);
    assert_true(file != NULL && kept >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
    if (which != NULL)
        sae_help_print(&set, which);
    else
        sae_help_config(&set);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    rewind(file);
    const size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    fclose(file);
}

static size_t count(const char *part)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        n++;
    return n;
}

static void has(const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in:\n%s", part, text);
}

static void plain_help(void **state)
{
    (void)state;
    print("main");
    has("sae-test - test well\n\nUsage: sae-test [options] FILE\n\nExamples:\n# one\nsae-test a\n");
    has("-k, --k N");
    has("latents [32] *");
    has("kind (topk, jump-relu) [topk]");
    has("--help=all");
    has("\n* may be a list");
    assert_null(strstr(text, "--lr")); /* no main option */
    assert_null(strstr(text, "--out"));
}

static void all_help(void **state)
{
    (void)state;
    print("all");
    assert_int_equal(count("\nIn:\n"), 1);
    assert_int_equal(count("\nOut:\n"), 1);
    assert_true(strstr(text, "--k") < strstr(text, "--arch") &&
                strstr(text, "--arch") < strstr(text, "--lr"));
    assert_true(strstr(text, "--lr") < strstr(text, "\nOut:")); /* In is whole before Out begins */
    assert_true(strstr(text, "\nOut:") < strstr(text, "--out"));
    has("--threads"); /* of every program */
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 100);
}

/* roff takes a dash for a hyphen, a dot at the start of a line for a command. */
static void man_page(void **state)
{
    (void)state;
    print("man");
    has(".TH \"sae-test\" 1");
    has(".SH DESCRIPTION\nReads.\n\\&.so what\n");
    has("\\fB\\-k\\fR, \\fB\\-\\-k\\fR \\fIN\\fR\nlatents (default 32); may be a list");
    has("kind; one of topk, jump\\-relu (default topk)");
    has("\n\\&.gitignore's folder.");
    has("back\\eslash");
    assert_int_equal(count("\n.SS In\n"), 1);
    assert_int_equal(count("\n.SS Out\n"), 1);
}

static void completion(void **state)
{
    (void)state;
    print("bash");
    has("complete -o default -W '--help --k --out --arch --lr --fast ");
    has("' sae-test\n");
}

static void configuration(void **state)
{
    (void)state;
    print(NULL);
    has("k = 32\narch = topk\n# lr =\nfast = true\n");
    assert_null(strstr(text, "out")); /* says where, not what */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(plain_help), cmocka_unit_test(all_help),
                                       cmocka_unit_test(man_page), cmocka_unit_test(completion),
                                       cmocka_unit_test(configuration)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
