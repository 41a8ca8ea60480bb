/* SPDX-License-Identifier: MIT */
/* opt : parsing from the option table, and the record of what was resolved.
 * Contents: 1. values   2. common rows   3. finding rows   4. command line   5. config files
 *           6. record */
#include "lib/cli/opt.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/parse.h"
#include "lib/cli/suggest.h"
#include "lib/file/h5.h"
#include "lib/math/ops.h"

/* --- 1. values ---------------------------------------------------------------------------- */

#define MOST_COUNT (UINT64_C(1) << 53) /* what a double counts exactly */

static enum sae_status check_bounds(const struct sae_opt *row, const char *text, double v,
                                    struct sae_err *err)
{
    if (row->min == 0 && row->max == 0)
        return SAE_OK;
    if (v < row->min)
        return sae_err_set(err, SAE_EARG, "--%s %s: must be at least %g", row->name, text,
                           row->min);
    if (row->max > row->min && v > row->max)
        return sae_err_set(err, SAE_EARG, "--%s %s: must be at most %g", row->name, text,
                           row->max);
    return SAE_OK;
}

static enum sae_status to_u64(const struct sae_opt *row, const char *text, uint64_t *ret,
                              struct sae_err *err)
{
    const bool count = row->kind == SAE_OPT_COUNT;
    if (!(count ? sae_str_count(text, ret) : sae_str_u64(text, ret)))
        return sae_err_set(err, SAE_EARG, "--%s '%s': expected a whole number%s%s", row->name, text,
                           count ? ", such as 2000, 5M or 1.5K" : "",
                           row->flags & SAE_OPT_SWEEP ? ", or several as 1,2,3" : "");
    /* A count may be rounded up, multiplied, or stand beside UINT64_MAX for "not given". */
    if (count && *ret > MOST_COUNT && !(row->max > row->min))
        return sae_err_set(err, SAE_EARG, "--%s %s: must be at most 2^53", row->name, text);
    return check_bounds(row, text, (double)*ret, err);
}

static enum sae_status to_real(const struct sae_opt *row, const char *text, double *ret,
                               struct sae_err *err)
{
    if (!sae_str_real(text, ret))
        return sae_err_set(err, SAE_EARG, "--%s '%s': expected a number", row->name, text);
    /* Computing is in single precision: such a learning rate would be 0. */
    if (*ret != 0 && fabs(*ret) < (double)FLT_MIN)
        return sae_err_set(err, SAE_EARG, "--%s %s: must be 0 or at least %g in size", row->name,
                           text, (double)FLT_MIN);
    return check_bounds(row, text, *ret, err);
}

static enum sae_status to_choice(const struct sae_opt *row, const char *text, int *ret,
                                 struct sae_err *err)
{
    struct sae_str all = {0};
    for (int i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(row->choices[i], text) == 0) {
            sae_str_clear(&all);
            *ret = i;
            return SAE_OK;
        }
        SAE_TRY(sae_str_printf(&all, err, "%s%s", i == 0 ? "" : ", ", row->choices[i]));
    }
    const enum sae_status st = sae_err_set(err, SAE_EARG, "--%s '%s': expected one of %s",
                                           row->name, text, all.s == NULL ? "nothing" : all.s);
    sae_str_clear(&all);
    return st;
}

/* Where a part of a list ends: at a comma, of texts one without a backslash before it. */
static size_t part_len(const struct sae_opt *row, const char *part)
{
    size_t n = strcspn(part, ",");
    while (row->kind == SAE_OPT_STRS && n > 0 && part[n] == ',' && part[n - 1] == '\\')
        n += 1 + strcspn(part + n + 1, ",");
    return n;
}

/* A part of a list of texts, its "\," written as ",". */
static void unescape(char *part)
{
    char *to = part;
    for (const char *from = part; *from != '\0'; from++)
        if (from[0] != '\\' || from[1] != ',')
            *to++ = *from;
    *to = '\0';
}

/* Splits at commas; calls one conversion per part. Empty parts are refused. */
static enum sae_status to_list(const struct sae_opt *row, const char *text, struct sae_err *err)
{
    size_t n = 1;
    for (size_t at = part_len(row, text); text[at] != '\0'; n++)
        at += 1 + part_len(row, text + at + 1);
    char *copy = NULL;
    SAE_TRY(sae_mem_strdup(&copy, text, err));
    void *values = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&values, n, sizeof(uint64_t), err));
    char *part = copy;
    for (size_t i = 0; i < n; i++) {
        char *const end = part + part_len(row, part);
        *end = '\0';
        if (row->kind == SAE_OPT_STRS)
            unescape(part);
        if (row->kind == SAE_OPT_U64S)
            SAE_GO(st, to_u64(row, part, (uint64_t *)values + i, err));
        else if (row->kind == SAE_OPT_REALS)
            SAE_GO(st, to_real(row, part, (double *)values + i, err));
        else if (*part == '\0')
            SAE_GO(st, sae_err_set(err, SAE_EARG, "--%s '%s': empty part", row->name, text));
        else
            SAE_GO(st, sae_mem_strdup((char **)values + i, part, err));
        part = end + 1;
    }
    /* The three list structs share one shape: a count and a pointer. */
    struct sae_strs list = {n, values};
    memcpy(row->to, &list, sizeof list);
    values = NULL;
done:
    for (size_t i = 0; values != NULL && row->kind == SAE_OPT_STRS && i < n; i++)
        free(((char **)values)[i]);
    free(values);
    free(copy);
    return st;
}

static void free_list(const struct sae_opt *row)
{
    struct sae_strs list;
    memcpy(&list, row->to, sizeof list);
    for (size_t i = 0; row->kind == SAE_OPT_STRS && i < list.n; i++)
        free(list.v[i]);
    free(list.v);
    memset(row->to, 0, sizeof list);
}

static bool is_list(const struct sae_opt *row)
{
    return row->kind == SAE_OPT_U64S || row->kind == SAE_OPT_REALS || row->kind == SAE_OPT_STRS;
}

enum sae_status sae_opt_read(const struct sae_opt *row, const char *text, struct sae_err *err)
{
    switch (row->kind) {
    case SAE_OPT_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return sae_err_set(err, SAE_EARG, "--%s '%s': expected true or false", row->name,
                               text);
        *(bool *)row->to = strcmp(text, "true") == 0;
        return SAE_OK;
    case SAE_OPT_U64:
    case SAE_OPT_COUNT:
        return to_u64(row, text, row->to, err);
    case SAE_OPT_REAL:
        return to_real(row, text, row->to, err);
    case SAE_OPT_ENUM:
        return to_choice(row, text, row->to, err);
    case SAE_OPT_STR:
    case SAE_OPT_PATH:
        if (*text == '\0')
            return sae_err_set(err, SAE_EARG, "--%s: empty value", row->name);
        *(const char **)row->to = text;
        return SAE_OK;
    case SAE_OPT_U64S:
    case SAE_OPT_REALS:
    case SAE_OPT_STRS:
        free_list(row);
        return to_list(row, text, err);
    }
    return SAE_OK;
}

/* No part of a list begins with a zero before other digits: "0,001" is meant as 0.001, and "1,000" as
 * 1000. */
static enum sae_status refuse_decimal_comma(const struct sae_opt *row, const char *text,
                                            struct sae_err *err)
{
    const char *const comma = strchr(text, ',');
    if (row->kind == SAE_OPT_ENUM || comma == NULL || comma[1] != '0' ||
        strspn(comma + 1, "0123456789") < 2)
        return SAE_OK;
    const bool real = row->kind == SAE_OPT_REAL;
    return sae_err_set(err, SAE_EARG, "--%s %s: a comma separates values; did you mean %.*s%s%s?",
                       row->name, text, (int)(comma - text), text, real ? "." : "", comma + 1);
}

/* Each part of a list that makes several runs must be a value by itself. */
static enum sae_status convert_parts(const struct sae_opt *row, const char *text,
                                     struct sae_err *err)
{
    char *copy = NULL;
    SAE_TRY(refuse_decimal_comma(row, text, err));
    SAE_TRY(sae_mem_strdup(&copy, text, err));
    enum sae_status st = SAE_OK;
    char *part = copy;
    for (bool more = true; st == SAE_OK && more;) {
        char *const end = part + strcspn(part, ",");
        more = *end == ',';
        *end = '\0';
        st = *part == '\0' ? sae_err_set(err, SAE_EARG, "--%s '%s': empty part", row->name, text)
                           : sae_opt_read(row, part, err);
        part = end + 1;
    }
    free(copy);
    return st;
}

/* A text for a list of texts. The name of a file that is there stays whole, whatever commas it has. */
static enum sae_status put_texts(struct sae_str *to, const char *text, struct sae_err *err)
{
    const bool whole = strchr(text, ',') != NULL && strstr(text, "\\,") == NULL &&
                       (sae_fs_is_file(text) || sae_fs_is_dir(text));
    if (!whole)
        return sae_str_append(to, text, strlen(text), err);
    for (size_t n; *text != '\0'; text += n) {
        n = strcspn(text, ",");
        SAE_TRY(sae_str_append(to, text, n, err));
        if (text[n] == ',') {
            SAE_TRY(sae_str_append(to, "\\,", 2, err));
            n++;
        }
    }
    return SAE_OK;
}

/* A repeated --strs option adds to what was given before. */
enum sae_status sae_opt_set_assign(struct sae_opt_set *set, size_t i, const char *text,
                                   bool given, struct sae_err *err)
{
    const struct sae_opt *row = &set->rows[i];
    struct sae_str whole = {0};
    enum sae_status st = SAE_OK;
    if (row->kind == SAE_OPT_STRS && given && set->given[i] && set->text[i] != NULL)
        st = sae_str_printf(&whole, err, "%s,", set->text[i]);
    if (st == SAE_OK && row->kind == SAE_OPT_STRS && given)
        st = put_texts(&whole, text, err);
    else if (st == SAE_OK)
        st = sae_str_printf(&whole, err, "%s", text);
    if (st == SAE_OK)
        st = (row->flags & SAE_OPT_SWEEP) != 0 && strchr(whole.s, ',') != NULL
                 ? convert_parts(row, whole.s, err)
                 : sae_opt_read(row, whole.s, err);
    if (st != SAE_OK) {
        sae_str_clear(&whole);
        return st;
    }
    free(set->text[i]);
    set->text[i] = whole.s;
    set->given[i] = set->given[i] || given;
    return SAE_OK;
}

enum sae_status sae_opt_set_reset(struct sae_opt_set *set, size_t i, struct sae_err *err)
{
    if (set->rows[i].value != NULL)
        SAE_TRY(sae_opt_set_assign(set, i, set->rows[i].value, false, err));
    else {
        free(set->text[i]);
        set->text[i] = NULL;
    }
    set->given[i] = false;
    return SAE_OK;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

size_t sae_u64s_distinct(struct sae_u64s *list)
{
    const size_t n = list->n;
    qsort(list->v, n, sizeof *list->v, by_value);
    list->n = 0;
    for (size_t i = 0; i < n; i++)
        if (list->n == 0 || list->v[i] != list->v[list->n - 1])
            list->v[list->n++] = list->v[i];
    return list->n;
}

/* --- 2. common rows ----------------------------------------------------------------------- */

static size_t append_rows(struct sae_opt_set *set, const struct sae_opt *rows)
{
    for (size_t i = 0; rows != NULL && rows[i].name != NULL && set->n < SAE_OPT_MAX; i++)
        set->rows[set->n++] = rows[i];
    return set->n;
}

enum sae_status sae_opt_set_init(struct sae_opt_set *set, struct sae_cli *cli,
                                 const struct sae_program *program, struct sae_err *err)
{
    static const char common[] = "Common options";
    const struct sae_opt rows[] = {
        {"backend", 0, SAE_OPT_STR, &cli->backend, "auto", .arg = "NAME", .group = common,
         .help = "who computes: auto, cpu, ref or cuda"},
        {"threads", 0, SAE_OPT_U64, &cli->threads, "0", .min = 0, .max = 4096, .arg = "N",
         .group = common, .help = "processor threads; 0: all that this process may use",
         .flags = SAE_OPT_UNRECORDED},
        {"force", 0, SAE_OPT_FLAG, &cli->force, "false", .group = common,
         .help = "replace files that exist", .flags = SAE_OPT_UNRECORDED},
        {"json", 0, SAE_OPT_FLAG, &cli->json, "false", .group = common,
         .help = "print the result as JSON, not as tables", .flags = SAE_OPT_UNRECORDED},
        {"verbose", 'v', SAE_OPT_FLAG, &cli->verbose, "false", .group = common,
         .help = "print more on stderr", .flags = SAE_OPT_UNRECORDED},
        {"quiet", 'q', SAE_OPT_FLAG, &cli->quiet, "false", .group = common,
         .help = "print only warnings and errors", .flags = SAE_OPT_UNRECORDED},
        {"config", 0, SAE_OPT_PATH, &set->config, NULL, .arg = "FILE", .group = common,
         .help = "read options from 'name = value' lines; the command line wins",
         .flags = SAE_OPT_UNRECORDED},
        {"print-config", 0, SAE_OPT_FLAG, &set->print_config, "false", .group = common,
         .help = "print all options, resolved, in the form of --config, and stop",
         .flags = SAE_OPT_UNRECORDED},
        {"version", 0, SAE_OPT_FLAG, &set->version, "false", .group = common,
         .help = "print version, libraries and backends, and stop", .flags = SAE_OPT_UNRECORDED},
        {NULL}};
    *set = (struct sae_opt_set){.program = program};
    append_rows(set, program->opts);
    append_rows(set, rows);
    for (size_t i = 0; i < set->n; i++)
        if (set->rows[i].value != NULL)
            SAE_TRY(sae_opt_set_assign(set, i, set->rows[i].value, false, err));
    return SAE_OK;
}

void sae_opt_set_clear(struct sae_opt_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        free(set->text[i]);
        if (is_list(&set->rows[i]))
            free_list(&set->rows[i]);
    }
    set->n = 0;
}

/* --- 3. finding rows ---------------------------------------------------------------------- */

static bool find_name(const struct sae_opt_set *set, const char *name, size_t len, size_t *ret)
{
    for (size_t i = 0; i < set->n; i++) {
        if (strlen(set->rows[i].name) == len && memcmp(set->rows[i].name, name, len) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static enum sae_status unknown(const struct sae_opt_set *set, const char *dashes, const char *name,
                               size_t len, struct sae_err *err)
{
    char meant[300];
    sae_suggest(meant, sizeof meant, set, name, len);
    return sae_err_set(err, SAE_EARG, "unknown option '%s%.*s'%s; --help=all lists them", dashes,
                       (int)len, name, meant);
}

/* --- 4. command line ---------------------------------------------------------------------- */

struct words {
    int argc, next;
    char **argv;
};

static enum sae_status value_after(struct words *w, const struct sae_opt *row, const char **ret,
                                   struct sae_err *err)
{
    if (w->next >= w->argc)
        return sae_err_set(err, SAE_EARG, "--%s needs a value%s%s", row->name,
                           row->arg == NULL ? "" : ": ", row->arg == NULL ? "" : row->arg);
    *ret = w->argv[w->next++];
    return SAE_OK;
}

static enum sae_status parse_long(struct sae_opt_set *set, struct words *w, const char *name,
                                  struct sae_err *err)
{
    const size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    if (len == 4 && memcmp(name, "help", 4) == 0) {
        set->help = value == NULL ? "main" : value;
        return SAE_OK;
    }
    size_t i;
    if (find_name(set, name, len, &i)) {
        if (set->rows[i].kind == SAE_OPT_FLAG)
            return sae_opt_set_assign(set, i, value == NULL ? "true" : value, true, err);
        if (value == NULL)
            SAE_TRY(value_after(w, &set->rows[i], &value, err));
        return sae_opt_set_assign(set, i, value, true, err);
    }
    if (len > 3 && memcmp(name, "no-", 3) == 0 && value == NULL &&
        find_name(set, name + 3, len - 3, &i) && set->rows[i].kind == SAE_OPT_FLAG)
        return sae_opt_set_assign(set, i, "false", true, err);
    return unknown(set, "--", name, len, err);
}

static enum sae_status parse_letter(struct sae_opt_set *set, struct words *w, const char *word,
                                    struct sae_err *err)
{
    for (size_t i = 0; i < set->n; i++) {
        if (set->rows[i].letter == 0 || set->rows[i].letter != word[1])
            continue;
        if (set->rows[i].kind == SAE_OPT_FLAG && word[2] == '\0')
            return sae_opt_set_assign(set, i, "true", true, err);
        const char *value = word + 2;
        if (set->rows[i].kind != SAE_OPT_FLAG && *value == '\0')
            SAE_TRY(value_after(w, &set->rows[i], &value, err));
        if (set->rows[i].kind != SAE_OPT_FLAG)
            return sae_opt_set_assign(set, i, value, true, err);
    }
    if (word[1] == 'h' && word[2] == '\0') {
        set->help = "main";
        return SAE_OK;
    }
    return unknown(set, "-", word + 1, strlen(word + 1), err);
}

static enum sae_status parse_words(struct sae_opt_set *set, struct sae_cli *cli, int argc,
                                   char **argv, struct sae_err *err)
{
    struct words w = {argc, 1, argv};
    bool only_operands = false;
    while (w.next < argc) {
        char *word = argv[w.next++];
        if (only_operands || word[0] != '-' || word[1] == '\0')
            cli->args[cli->n_args++] = word;
        else if (strcmp(word, "--") == 0)
            only_operands = true;
        else if (word[1] == '-')
            SAE_TRY(parse_long(set, &w, word + 2, err));
        else
            SAE_TRY(parse_letter(set, &w, word, err));
    }
    if (cli->n_args > 0 && set->program->operands == NULL && set->help == NULL)
        return sae_err_set(err, SAE_EARG, "unexpected operand '%s'; usage: %s", cli->args[0],
                           set->program->usage);
    return SAE_OK;
}

/* "5M" and "5000000", "2e-4" and "0.0002" are one value; lists are compared part by part. */
static bool same_value(const struct sae_opt *row, const char *a, const char *b)
{
    uint64_t x, y;
    double v, w;
    switch (row->kind) {
    case SAE_OPT_U64:
        return sae_str_u64(a, &x) && sae_str_u64(b, &y) && x == y;
    case SAE_OPT_COUNT:
        return sae_str_count(a, &x) && sae_str_count(b, &y) && x == y;
    case SAE_OPT_REAL:
        return sae_str_real(a, &v) && sae_str_real(b, &w) && !(v < w || v > w);
    case SAE_OPT_U64S:
    case SAE_OPT_REALS:
        for (;;) { /* written as the user may: numbers and commas, checked when they were read */
            char *end_a, *end_b;
            v = strtod(a, &end_a);
            w = strtod(b, &end_b);
            if (v < w || v > w || *end_a != *end_b || end_a == a || end_b == b)
                return false;
            if (*end_a != ',')
                return *end_a == '\0';
            a = end_a + 1;
            b = end_b + 1;
        }
    default:
        return strcmp(a, b) == 0;
    }
}

/* --- 5. config files ---------------------------------------------------------------------- */

static char *trim(char *s)
{
    s += strspn(s, " \t\r");
    size_t n = strlen(s);
    while (n > 0 && strchr(" \t\r", s[n - 1]) != NULL)
        s[--n] = '\0';
    return s;
}

/* seen [SAE_OPT_MAX]: rows that earlier lines of the file gave. */
static enum sae_status config_line(struct sae_opt_set *set, bool *seen, const char *path,
                                   size_t number, char *line, struct sae_err *err)
{
    line = trim(line);
    if (*line == '\0' || *line == '#')
        return SAE_OK;
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return sae_err_set(err, SAE_EARG, "'%s' line %zu: expected 'name = value', found '%s'",
                           path, number, line);
    *equals = '\0';
    const char *name = trim(line);
    size_t i;
    if (!find_name(set, name, strlen(name), &i)) {
        (void)unknown(set, "", name, strlen(name), err);
        (void)sae_err_prefix(err, "'%s' line %zu", path, number);
        return SAE_EARG;
    }
    if (seen[i] && set->rows[i].kind != SAE_OPT_STRS)
        return sae_err_set(err, SAE_EARG, "'%s' line %zu: '%s' is given a second time", path,
                           number, name);
    if (set->given[i] && !seen[i])
        return SAE_OK; /* the command line was read first and wins */
    seen[i] = true;
    /* A default that is spelt out, as --print-config does, is not a wish: it may stand beside options
     * with which it has no meaning. */
    const char *const text = trim(equals + 1), *const usual = set->rows[i].value;
    return sae_opt_set_assign(set, i, text, !usual || !same_value(&set->rows[i], text, usual), err);
}

static enum sae_status read_config(struct sae_opt_set *set, const char *path, struct sae_err *err)
{
    char *text = NULL;
    size_t len;
    SAE_TRY(sae_fs_read(&text, &len, path, 1 << 20, err));
    enum sae_status st = SAE_OK;
    size_t number = 1;
    bool seen[SAE_OPT_MAX] = {false};
    for (char *line = text; st == SAE_OK && line < text + len; number++) {
        char *end = line + strcspn(line, "\n");
        *end = '\0';
        st = config_line(set, seen, path, number, line, err);
        line = end + 1;
    }
    free(text);
    return st;
}

enum sae_status sae_opt_set_parse(struct sae_opt_set *set, struct sae_cli *cli, int argc,
                                  char **argv, struct sae_err *err)
{
    cli->program = set->program;
    cli->set = set;
    SAE_TRY(sae_mem_alloc(&cli->args, (size_t)argc, sizeof *cli->args, err));
    SAE_TRY(parse_words(set, cli, argc, argv, err));
    if (set->config != NULL)
        SAE_TRY(read_config(set, set->config, err));
    return SAE_OK;
}

/* --- 6. record ---------------------------------------------------------------------------- */

bool sae_opt_given(const struct sae_cli *cli, const char *name)
{
    size_t i;
    return find_name(cli->set, name, strlen(name), &i) && cli->set->given[i];
}

static enum sae_status command_text(struct sae_str *s, const struct sae_cli *cli,
                                    struct sae_err *err)
{
    const struct sae_opt_set *set = cli->set;
    SAE_TRY(sae_str_printf(s, err, "%s", set->program->name));
    for (size_t i = 0; i < set->n; i++) {
        const struct sae_opt *row = &set->rows[i];
        const char *text = set->text[i];
        if ((row->flags & SAE_OPT_UNRECORDED) != 0 || text == NULL ||
            (row->value != NULL && strcmp(text, row->value) == 0))
            continue;
        const bool off = row->kind == SAE_OPT_FLAG && strcmp(text, "false") == 0;
        SAE_TRY(sae_str_printf(s, err, " --%s%s", off ? "no-" : "", row->name));
        if (row->kind != SAE_OPT_FLAG)
            SAE_TRY(sae_str_word(s, text, err));
    }
    for (size_t i = 0; i < cli->n_args; i++)
        SAE_TRY(sae_str_word(s, cli->args[i], err));
    return SAE_OK;
}

enum sae_status sae_opt_record(json_t **ret, const struct sae_cli *cli, struct sae_err *err)
{
    const struct sae_opt_set *set = cli->set;
    struct sae_str command = {0};
    json_t *options = json_object();
    enum sae_status st;
    SAE_GO(st, command_text(&command, cli, err));
    int failed = options == NULL;
    for (size_t i = 0; !failed && i < set->n; i++)
        if ((set->rows[i].flags & SAE_OPT_UNRECORDED) == 0)
            failed = json_object_set_new(options, set->rows[i].name,
                                         set->text[i] == NULL ? json_null()
                                                              : json_string(set->text[i])) != 0;
    json_t *record =
        failed ? NULL
               : json_pack("{s:s, s:s, s:s, s:O, s:{s:s, s:s}, s:[]}", "program",
                           set->program->name, "version", SAE_VERSION, "command", command.s,
                           "options", options, "libraries", "hdf5", sae_h5_library(), "blas",
                           sae_ops_blas(), "inputs");
    if (record == NULL)
        st = sae_err_set(err, SAE_EARG, "options cannot be recorded: a value is not valid UTF-8");
    else
        *ret = record;
done:
    json_decref(options);
    sae_str_clear(&command);
    return st;
}

enum sae_status sae_opt_drop(const struct sae_cli *cli, const char *name, struct sae_err *err)
{
    size_t i;
    if (!find_name(cli->set, name, strlen(name), &i))
        return SAE_OK;
    return sae_opt_set_reset((struct sae_opt_set *)cli->set, i, err);
}

enum sae_status sae_opt_rewind(const struct sae_cli *cli, struct sae_err *err)
{
    struct sae_opt_set *set = (struct sae_opt_set *)cli->set;
    for (size_t i = 0; i < set->n; i++)
        if (!set->given[i] && (set->rows[i].flags & SAE_OPT_UNRECORDED) == 0)
            SAE_TRY(sae_opt_set_reset(set, i, err));
    return SAE_OK;
}

enum sae_status sae_opt_refresh(const struct sae_cli *cli, struct sae_err *err)
{
    const struct sae_opt_set *set = cli->set;
    for (size_t i = 0; i < set->n; i++)
        if (set->text[i] != NULL && !is_list(&set->rows[i]))
            SAE_TRY(sae_opt_read(&set->rows[i], set->text[i], err));
    return SAE_OK;
}

bool sae_opt_same(const struct sae_cli *cli, const char *name, const char *a, const char *b)
{
    size_t i;
    if (!find_name(cli->set, name, strlen(name), &i) ||
        (cli->set->rows[i].flags & (SAE_OPT_OVERRIDE | SAE_OPT_UNRECORDED)) != 0)
        return true;
    return a == NULL || b == NULL ? a == b : same_value(&cli->set->rows[i], a, b);
}

enum sae_status sae_opt_apply(const struct sae_cli *cli, const json_t *options,
                              struct sae_err *err)
{
    struct sae_opt_set *set = (struct sae_opt_set *)cli->set;
    for (size_t i = 0; i < set->n; i++) {
        const struct sae_opt *row = &set->rows[i];
        const json_t *recorded = json_object_get(options, row->name);
        if ((row->flags & SAE_OPT_UNRECORDED) != 0 || !json_is_string(recorded))
            continue;
        const char *text = json_string_value(recorded);
        const bool differs = set->text[i] == NULL || !same_value(row, set->text[i], text);
        if (set->given[i] && (row->flags & SAE_OPT_OVERRIDE) != 0)
            continue;
        if (set->given[i] && differs)
            return sae_err_set(err, SAE_EARG,
                               "--%s %s: the run was started with %s; leave it out to continue",
                               row->name, set->text[i], text);
        if (differs)
            SAE_TRY(sae_opt_set_assign(set, i, text, false, err));
    }
    return SAE_OK;
}
