/* SPDX-License-Identifier: MIT */
/* Options. Mode 0: a command line, one argument a line; 1: a --config file. What was understood is
 * written as a --config file, which must say the same. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/cli/grid.h"
#include "lib/cli/opt.h"
#include "lib/cli/parse.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_ARGS = 64 };

static struct {
    bool flag;
    uint64_t k, tokens, often;
    double lr;
    const char *acts, *out, *field;
    int arch;
    struct sae_u64s ks;
    struct sae_reals cuts;
    struct sae_strs labels;
} s;

static const char *const archs[] = {"topk", "batchtopk", "standard", NULL};

static const struct sae_opt rows[] = {
    {"flag",   'f', SAE_OPT_FLAG,  &s.flag,   "false", NULL,  0, 0,   NULL,   "A",  "a flag",  0                           },
    {"k",      0,   SAE_OPT_U64,   &s.k,      "32",    NULL,  1, 100, "N",    "A",  "n",       SAE_OPT_MAIN | SAE_OPT_SWEEP},
    {"tokens", 0,   SAE_OPT_COUNT, &s.tokens, NULL,    NULL,  0, 0,   "N",    "A",  "n",       0                           },
    {"lr",     0,   SAE_OPT_REAL,  &s.lr,     "0.001", NULL,  0, 0,   "X",    "A",  "a rate",  SAE_OPT_SWEEP               },
    {"acts",   0,   SAE_OPT_PATH,  &s.acts,   NULL,    NULL,  0, 0,   "DIR",  "A",  "a store", 0                           },
    {"out",    'o', SAE_OPT_PATH,  &s.out,    NULL,    NULL,  0, 0,   "DIR",  "A",  "a run",   SAE_OPT_UNRECORDED          },
    {"field",  0,   SAE_OPT_STR,   &s.field,  "text",  NULL,  0, 0,   "NAME", "A",  "a field", 0                           },
    {"arch",   0,   SAE_OPT_ENUM,  &s.arch,   "topk",  archs, 0, 0,   NULL,   "A",  "which",   SAE_OPT_SWEEP               },
    {"ks",     0,   SAE_OPT_U64S,  &s.ks,     "1,2",   NULL,  1, 9,   "LIST", "A",  "a list",  0                           },
    {"cuts",   0,   SAE_OPT_REALS, &s.cuts,   NULL,    NULL,  0, 1,   "LIST", "A",  "a list",  0                           },
    {"often",  0,   SAE_OPT_COUNT, &s.often,  "0",     NULL,  0, 0,   "N",    "A",  "saves",   SAE_OPT_OVERRIDE                },
    {"labels", 0,   SAE_OPT_STRS,  &s.labels, NULL,    NULL,  0, 0,   "FILE", "A",  "files",   0                           },
    {NULL,     0,   SAE_OPT_FLAG,  NULL,      NULL,    NULL,  0, 0,   NULL,   NULL, NULL,      0                           }
};

static const struct sae_program program = {.name = "sae-fuzz",
                                           .summary = "reads options",
                                           .usage = "sae-fuzz",
                                           .operands = "FILE ...",
                                           .opts = rows};

void fuzz_seeds(void)
{
    fuzz_seed_text(0, "--k=7\n--tokens\n5M\n-f\n-oRUN\n--arch\nstandard\nx.h5\n--ks\n3,4,5\ny");
    fuzz_seed_text(0, "--k\n3,4,5\n--lr\n0.1,1e-3\n--arch\ntopk,standard\n--json\n--\n--k");
    fuzz_seed_text(0, "--labels\na,b\n--labels\nc\n--no-flag\n--cuts\n0,0.5,1\n--field=x y");
    fuzz_seed_text(1, "k = 7\n# tokens =\nlr = 0.5\nlabels = a,b\nflag = true\nfield = a = b\n");
    fuzz_seed_text(1, "[section]\n  arch=standard  \r\n\nks = 1,2,3\ncuts = 0.25\nthreads = 2");
}

static enum sae_status parse(struct sae_opt_set *set, struct sae_cli *cli, int argc, char **argv,
                             struct sae_err *err)
{
    memset(set, 0, sizeof *set);
    memset(cli, 0, sizeof *cli);
    memset(&s, 0, sizeof s);
    SAE_TRY(sae_opt_set_init(set, cli, &program, err));
    return sae_opt_set_parse(set, cli, argc, argv, err);
}

static void look_at(const struct sae_cli *cli)
{
    struct sae_err err = {0};
    struct sae_grid *grid = NULL;
    json_t *record = NULL;
    FUZZ_REQUIRE(s.ks.n == 0 || s.ks.v != NULL);
    for (size_t i = 0; i < s.ks.n; i++)
        FUZZ_REQUIRE(s.ks.v[i] >= 1 && s.ks.v[i] <= 9);
    for (size_t i = 0; i < s.cuts.n; i++)
        FUZZ_REQUIRE(s.cuts.v[i] >= 0 && s.cuts.v[i] <= 1);
    if (fuzz_ok(sae_grid_open(&grid, cli, &err), &err)) {
        for (size_t i = 0; i < sae_grid_n(grid) && i < 8; i++)
            if (fuzz_ok(sae_grid_set(grid, i, &err), &err)) {
                sae_grid_keep(grid);
                FUZZ_REQUIRE(s.k >= 1 && s.k <= 100 && s.lr == s.lr && s.arch >= 0 && s.arch < 3);
            }
        (void)sae_grid_unused(grid);
        sae_grid_close(grid);
    }
    if (fuzz_ok(sae_opt_record(&record, cli, &err), &err))
        json_decref(record);
}

/* A line of a file has no place for blanks around a value. */
static bool fits_a_line(const char *text)
{
    const size_t n = strlen(text);
    return n == 0 || (strchr(" \t\r", text[0]) == NULL && strchr(" \t\r", text[n - 1]) == NULL);
}

/* The table as a --config file says it; false where a file cannot. */
static bool say(struct sae_str *text, const struct sae_opt_set *set)
{
    struct sae_err err;
    for (size_t i = 0; i < set->n; i++) {
        if (set->text[i] == NULL || (set->rows[i].flags & SAE_OPT_UNRECORDED) != 0)
            continue;
        if (!fits_a_line(set->text[i]))
            return false;
        if (sae_str_printf(text, &err, "%s = %s\n", set->rows[i].name, set->text[i]) != SAE_OK)
            abort();
    }
    return true;
}

static void read_again(const struct sae_str *text)
{
    static struct sae_opt_set set;
    struct sae_cli cli;
    struct sae_err err = {0};
    struct sae_str again = {0};
    char *argv[] = {(char *)"sae-fuzz", (char *)"--config",
                    (char *)(uintptr_t)fuzz_put("again.conf", text->s, text->len), NULL};
    const enum sae_status status = parse(&set, &cli, 3, argv, &err);
    if (status != SAE_OK)
        fprintf(stderr, "%s\n%s", err.msg, text->s);
    FUZZ_REQUIRE(status == SAE_OK && say(&again, &set) && strcmp(text->s, again.s) == 0);
    free(cli.args);
    sae_opt_set_clear(&set);
    sae_str_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static struct sae_opt_set set;
    struct sae_cli cli;
    struct sae_err err = {0};
    char *argv[MAX_ARGS + 1] = {(char *)"sae-fuzz"};
    int argc = 1;
    if (n < 1)
        return 0;
    char *const text = malloc(n);
    if (text == NULL)
        return 0;
    memcpy(text, bytes + 1, n - 1);
    text[n - 1] = '\0';
    if (bytes[0] % 2 == 1) {
        argv[argc++] = (char *)"--config";
        argv[argc++] = (char *)(uintptr_t)fuzz_put("x.conf", bytes + 1, n - 1);
    } else {
        for (char *at = text; at != NULL && argc < MAX_ARGS;) {
            char *const end = strchr(at, '\n');
            if (end != NULL)
                *end = '\0';
            argv[argc++] = at;
            at = end != NULL ? end + 1 : NULL;
        }
    }
    struct sae_str said = {0};
    const bool is_read = fuzz_ok(parse(&set, &cli, argc, argv, &err), &err);
    const bool is_said = is_read && say(&said, &set);
    if (is_read)
        look_at(&cli);
    free(cli.args);
    sae_opt_set_clear(&set);
    if (is_said)
        read_again(&said);
    sae_str_clear(&said);
    free(text);
    return 0;
}
