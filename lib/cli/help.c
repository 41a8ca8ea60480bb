/* SPDX-License-Identifier: MIT */
/* help : --help, --help=all, the man page, shell completion, --print-config and --version, all
 * from the option table. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/cli/parse.h"
#include "lib/file/h5.h"
#include "lib/math/ops.h"

enum { COLUMNS = 80, INDENT = 30 };

/* "-o, --out DIR" */
static int print_name(const struct sae_opt *row)
{
    int n = row->letter != 0 ? printf("  -%c, --%s", row->letter, row->name)
                             : printf("      --%s", row->name);
    if (row->kind != SAE_OPT_FLAG)
        n += printf(" %s", row->arg != NULL ? row->arg : row->kind == SAE_OPT_ENUM ? "NAME" : "X");
    return n;
}

/* Prints text word by word from column `at`, continuing at INDENT. */
static int wrap(const char *text, int at)
{
    while (*text != '\0') {
        const int n = (int)strcspn(text, " ");
        if (at + 1 + n > COLUMNS) {
            printf("\n%*s", INDENT, "");
            at = INDENT;
        } else if (at > INDENT) {
            putchar(' ');
            at++;
        }
        printf("%.*s", n, text);
        at += n;
        text += n;
        text += strspn(text, " ");
    }
    return at;
}

/* The help of a row with what it goes with: "...; with --arch topk, batchtopk". */
enum { HELP_BYTES = 1000 };
static const char *help_of(char to[HELP_BYTES], const struct sae_opt_set *set,
                           const struct sae_opt *row)
{
    const struct sae_opt_when *const when = row->when;
    if (!when || when->in_sweeps)
        return row->help;
    size_t at = (size_t)snprintf(to, HELP_BYTES, "%s; with --%s", row->help, when->by), n = 0;
    for (size_t i = 0; when->holds && i < set->n; i++)
        for (int c = 0; strcmp(set->rows[i].name, when->by) == 0 && set->rows[i].choices[c]; c++)
            if (when->holds(c) && at < HELP_BYTES)
                at += (size_t)snprintf(to + at, HELP_BYTES - at, "%s %s", n++ ? "," : "",
                                       set->rows[i].choices[c]);
    return to;
}

static void print_row(const struct sae_opt_set *set, const struct sae_opt *row)
{
    char help[HELP_BYTES];
    int at = print_name(row);
    if (at >= INDENT - 1) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", INDENT - at, "");
    at = wrap(help_of(help, set, row), INDENT);
    for (int i = 0; row->kind == SAE_OPT_ENUM && row->choices[i] != NULL; i++) {
        char part[64];
        snprintf(part, sizeof part, "%s%s%s", i == 0 ? "(" : "", row->choices[i],
                 row->choices[i + 1] == NULL ? ")" : ",");
        at = wrap(part, at);
    }
    if (row->value != NULL && row->kind != SAE_OPT_FLAG) {
        char part[128];
        snprintf(part, sizeof part, "[%s]", row->value);
        at = wrap(part, at);
    }
    if ((row->flags & SAE_OPT_SWEEP) != 0)
        wrap("*", at);
    putchar('\n');
}

static const char *group_of(const struct sae_opt *row)
{
    return row->group != NULL ? row->group : "Options";
}

/* Whether row i is the first of its group. Rows of one group need not stand together in a table:
 * shared rows are put in where their macro stands. */
static bool opens_group(const struct sae_opt_set *set, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(group_of(&set->rows[j]), group_of(&set->rows[i])) == 0)
            return false;
    return true;
}

/* Calls heading once a group, in the order in which groups first appear, and row for each of its
 * rows. */
static void by_group(const struct sae_opt_set *set, void (*heading)(const char *group),
                     void (*row)(const struct sae_opt_set *set, const struct sae_opt *row))
{
    for (size_t i = 0; i < set->n; i++) {
        if (!opens_group(set, i))
            continue;
        heading(group_of(&set->rows[i]));
        for (size_t j = i; j < set->n; j++)
            if (strcmp(group_of(&set->rows[j]), group_of(&set->rows[i])) == 0)
                row(set, &set->rows[j]);
    }
}

static void print_heading(const char *group)
{
    printf("\n%s:\n", group);
}

static void print_options(const struct sae_opt_set *set, bool all)
{
    if (all) {
        by_group(set, print_heading, print_row);
        return;
    }
    for (size_t i = 0; i < set->n; i++)
        if ((set->rows[i].flags & SAE_OPT_MAIN) != 0)
            print_row(set, &set->rows[i]);
}

static void print_help(const struct sae_opt_set *set, bool all)
{
    const struct sae_program *p = set->program;
    printf("%s - %s\n\nUsage: %s\n", p->name, p->summary, p->usage);
    if (p->examples != NULL)
        printf("\nExamples:\n%s", p->examples);
    printf(all ? "" : "\nMain options (defaults in brackets):\n");
    print_options(set, all);
    if (!all)
        printf("      --help=all%*slist every option\n", INDENT - 16, "");
    for (size_t i = 0; i < set->n; i++)
        if ((set->rows[i].flags & SAE_OPT_SWEEP) != 0) {
            printf("\n* may be a list, 0.1,0.5,1.0: one run for each value\n");
            break;
        }
}

/* --- man page ------------------------------------------------------------------------------- */

/* roff text: a dash becomes \-, a leading dot or quote is protected. */
static void roff(const char *text)
{
    bool line_start = true;
    for (const char *p = text; *p != '\0'; p++) {
        if (line_start && (*p == '.' || *p == '\''))
            fputs("\\&", stdout);
        if (*p == '-')
            fputs("\\-", stdout);
        else if (*p == '\\')
            fputs("\\e", stdout);
        else
            putchar(*p);
        line_start = *p == '\n';
    }
}

static void man_option(const struct sae_opt_set *set, const struct sae_opt *row)
{
    char help[HELP_BYTES];
    fputs(".TP\n", stdout);
    if (row->letter != 0)
        printf("\\fB\\-%c\\fR, ", row->letter);
    fputs("\\fB\\-\\-", stdout);
    roff(row->name);
    printf("\\fR");
    if (row->kind != SAE_OPT_FLAG)
        printf(" \\fI%s\\fR", row->arg != NULL ? row->arg : "VALUE");
    putchar('\n');
    roff(help_of(help, set, row));
    for (int i = 0; row->kind == SAE_OPT_ENUM && row->choices[i] != NULL; i++) {
        fputs(i == 0 ? "; one of " : ", ", stdout);
        roff(row->choices[i]);
    }
    if (row->value != NULL && row->kind != SAE_OPT_FLAG) {
        fputs(" (default ", stdout);
        roff(row->value);
        putchar(')');
    }
    if ((row->flags & SAE_OPT_SWEEP) != 0)
        fputs("; may be a list, one run for each value", stdout);
    fputs(".\n", stdout);
}

static void man_heading(const char *group)
{
    printf(".SS %s\n", group);
}

static void print_man(const struct sae_opt_set *set)
{
    const struct sae_program *p = set->program;
    printf(".TH \"%s\" 1 \"\" \"saekit %s\"\n.SH NAME\n", p->name, SAE_VERSION);
    roff(p->name);
    fputs(" \\- ", stdout);
    roff(p->summary);
    fputs("\n.SH SYNOPSIS\n", stdout);
    roff(p->usage);
    if (p->about != NULL) {
        fputs("\n.SH DESCRIPTION\n", stdout);
        roff(p->about);
    }
    fputs("\n.SH OPTIONS\n", stdout);
    by_group(set, man_heading, man_option);
    if (p->examples != NULL) {
        fputs(".SH EXAMPLES\n.nf\n", stdout);
        roff(p->examples);
        fputs(".fi\n", stdout);
    }
    fputs(".SH EXIT STATUS\n0 done; 1 could not: input, output, memory, device; 2 asked wrongly: "
          "options or their combination; 130 or 143 stopped by a signal.\n",
          stdout);
}

/* --- completion, config, version -------------------------------------------------------------- */

static void print_bash(const struct sae_opt_set *set)
{
    printf("complete -o default -W '--help");
    for (size_t i = 0; i < set->n; i++)
        printf(" --%s", set->rows[i].name);
    printf("' %s\n", set->program->name);
}

void sae_help_print(const struct sae_opt_set *set, const char *which)
{
    if (strcmp(which, "man") == 0)
        print_man(set);
    else if (strcmp(which, "bash") == 0)
        print_bash(set);
    else
        print_help(set, strcmp(which, "all") == 0);
}

void sae_help_config(const struct sae_opt_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        if ((set->rows[i].flags & SAE_OPT_UNRECORDED) != 0)
            continue;
        if (set->text[i] == NULL)
            printf("# %s =\n", set->rows[i].name);
        else
            printf("%s = %s\n", set->rows[i].name, set->text[i]);
    }
}

void sae_help_version(const struct sae_program *program)
{
    const struct sae_ops *ops;
    printf("%s (saekit) %s\n", program->name, SAE_VERSION);
    printf("compiler: gcc %s\n", __VERSION__);
    printf("HDF5: %s\nBLAS: %s\nbackends: ref cpu%s\n", sae_h5_library(), sae_ops_blas(),
           sae_ops_open_device(&ops, "cuda", 0, NULL, NULL) == SAE_OK ? " cuda" : "");
}
