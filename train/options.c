/* SPDX-License-Identifier: MIT */
/* options : what follows from the rows of the table of options.
 * Contents: 1. values of settings   2. contradictions   3. the record   4. defaults
 *           5. the list of architectures */
#include "train/options.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/file/json.h"

/* --- 1. values of settings ---------------------------------------------------------------- */

/* Whether an option's value is kept in the settings. */
static bool is_setting(const struct sae_opt *row)
{
    return (uintptr_t)row->to - (uintptr_t)&options_given.set < sizeof(struct settings);
}

/* Where these settings keep it. */
static void *place_in(struct settings *set, const struct sae_opt *row)
{
    return (char *)set + ((uintptr_t)row->to - (uintptr_t)&options_given.set);
}

static const void *value_in(const struct settings *set, const struct sae_opt *row)
{
    return place_in((struct settings *)(uintptr_t)set, row);
}

static bool is_whole(const struct sae_opt *row)
{
    return row->kind == SAE_OPT_U64 || row->kind == SAE_OPT_COUNT;
}

static const struct sae_opt *row_of(const char *name)
{
    const struct sae_opt *row = options_rows;
    while (strcmp(row->name, name) != 0)
        row++;
    return row;
}

/* The first of an option, the option that decides whether it has a meaning, the one that decides
 * about that, ..., which has none; NULL: it has a meaning. */
static const struct sae_opt *meaningless(const struct sae_opt *row, const struct settings *set)
{
    if (!row->when)
        return NULL;
    const struct sae_opt *const by = row_of(row->when->by), *const first = meaningless(by, set);
    if (first)
        return first;
    const void *const value = value_in(set, by);
    const bool holds =
        row->when->holds ? row->when->holds(*(const int *)value) : *(const uint64_t *)value != 0;
    return holds ? NULL : row;
}

/* --- 2. contradictions -------------------------------------------------------------------- */

/* "a or b": the choices with which it has a meaning. */
static enum sae_status put_choices(struct sae_str *to, const struct sae_opt_when *when,
                                   const struct sae_opt *by, struct sae_err *err)
{
    for (int i = 0, n = 0; by->choices[i]; i++)
        if (when->holds(i))
            SAE_TRY(sae_str_printf(to, err, "%s%s", n++ ? " or " : "", by->choices[i]));
    return SAE_OK;
}

/* cause: from meaningless. */
static enum sae_status refuse(const struct sae_opt *row, const struct sae_opt *cause,
                              const struct settings *set, struct sae_err *err)
{
    const struct sae_opt_when *const when = cause->when;
    const struct sae_opt *const by = row_of(when->by);
    struct sae_str why = {0};
    enum sae_status st;
    if (when->lacks)
        st = sae_str_printf(&why, err, "with --%s %s, which has no %s", by->name,
                            by->choices[*(const int *)value_in(set, by)], when->lacks);
    else if (when->without || !when->holds)
        st = sae_str_printf(&why, err, "without %s%s", when->without ? "" : "--",
                            when->without ? when->without : by->name);
    else if ((st = sae_str_printf(&why, err, "except with --%s ", by->name)) == SAE_OK)
        st = put_choices(&why, when, by, err);
    if (st == SAE_OK)
        st = sae_err_set(err, SAE_EARG, "--%s has no meaning %s; leave it out", row->name, why.s);
    sae_str_clear(&why);
    return st;
}

enum sae_status options_check(const struct sae_cli *cli, const struct settings *set,
                              struct sae_err *err)
{
    if (sae_opt_given(cli, "tokens") && sae_opt_given(cli, "steps"))
        return sae_err_set(err, SAE_EARG,
                           "--tokens and --steps both set the length of the run; "
                           "give one of them");
    for (const struct sae_opt *row = options_rows; row->name; row++) {
        const struct sae_opt *const cause = meaningless(row, set);
        if (cause && !cause->when->in_sweeps && sae_opt_given(cli, row->name))
            return refuse(row, cause, set, err);
    }
    return SAE_OK;
}

enum sae_status options_drop(const struct sae_cli *cli, struct settings *set, struct sae_err *err)
{
    for (const struct sae_opt *row = options_rows; row->name; row++)
        if (meaningless(row, set) && sae_opt_given(cli, row->name))
            SAE_TRY(sae_opt_drop(cli, row->name, err));
    options_unset(set);
    return sae_opt_refresh(cli, err);
}

/* --- 3. the record ------------------------------------------------------------------------ */

/* The shortest text that reads back as the same double. */
static void real_text(double v, char *to, size_t size)
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(to, size, "%.*g", digits, v);
        if (strtod(to, NULL) == v)
            return;
    }
}

static json_t *resolved(const struct sae_opt *row, const struct settings *set)
{
    char text[40];
    if (is_whole(row))
        snprintf(text, sizeof text, "%" PRIu64, *(const uint64_t *)value_in(set, row));
    else
        real_text(*(const double *)value_in(set, row), text, sizeof text);
    return json_string(text);
}

enum sae_status options_record(json_t *record, const struct settings *set, struct sae_err *err)
{
    json_t *const options = json_object_get(record, "options");
    int bad = 0;
    for (const struct sae_opt *row = options_rows; row->name; row++) {
        const struct sae_opt *const cause = meaningless(row, set);
        if (!is_setting(row))
            continue;
        if (!cause && (!row->value || row->flags & SAE_OPT_RESOLVED))
            bad |= json_object_set_new(options, row->name, resolved(row, set));
        else if (cause && !cause->when->in_sweeps && !(row->flags & SAE_OPT_STAYS))
            bad |= json_object_set_new(options, row->name, json_null());
    }
    return bad ? sae_err_set(err, SAE_ENOMEM, "out of memory") : SAE_OK;
}

/* --- 4. defaults -------------------------------------------------------------------------- */

void options_unset(struct settings *set)
{
    for (const struct sae_opt *row = options_rows; row->name; row++) {
        if (!is_setting(row) || row->value)
            continue;
        if (is_whole(row))
            *(uint64_t *)place_in(set, row) = SETTINGS_UNSET;
        else
            *(double *)place_in(set, row) = NAN;
    }
}

void options_default(struct settings *set)
{
    static struct settings defaults;
    static bool made;
    struct sae_err err;
    for (const struct sae_opt *row = options_rows; !made && row->name; row++) {
        struct sae_opt here = *row;
        if (!is_setting(row) || !row->value)
            continue;
        here.to = place_in(&defaults, row);
        /* Whenever the program starts it reads them all, so none can fail here. */
        if (sae_opt_read(&here, row->value, &err) != SAE_OK)
            abort();
    }
    made = true;
    options_unset(&defaults);
    *set = defaults;
}

/* --- 5. the list of architectures --------------------------------------------------------- */

/* ["k", ...] of those that have a meaning with this architecture, but not with each; given all else
 * that they need. */
static json_t *options_of(int arch)
{
    json_t *const names = json_array();
    for (const struct sae_opt *row = options_rows; row->name; row++) {
        const struct sae_opt *by = row;
        while (by->when && strcmp(by->when->by, "arch") != 0)
            by = row_of(by->when->by);
        if (by->when && by->when->holds(arch))
            json_array_append_new(names, json_string(row->name));
    }
    return names;
}

static json_t *describe_arch(int arch)
{
    const struct train_arch *const row = train_archs[arch];
    return json_pack("{s:s, s:s, s:s, s:f, s:b, s:f, s:o}", "arch", train_arch_names[arch], "summary",
                     row->summary, "checkpoints", row->model, "lr", row->lr, "lr_by_width",
                     (int)row->lr_by_width, "l1", row->l1, "options", options_of(arch));
}

static void print_arch(const json_t *arch)
{
    enum { INDENT = 15, WIDTH = 90 };
    size_t i;
    json_t *name;
    int at = INDENT;
    printf("%-*s%s\n", INDENT, sae_json_str(arch, "arch", ""), sae_json_str(arch, "summary", ""));
    printf("%*slr %g%s", INDENT, "", sae_json_real(arch, "lr", NAN),
           json_is_true(json_object_get(arch, "lr_by_width")) ? " / sqrt(m / 16384)" : "");
    if (sae_json_real(arch, "l1", 0) > 0)
        printf("; l1 %g", sae_json_real(arch, "l1", 0));
    printf("; checkpoints are %s\n%*s", sae_json_str(arch, "checkpoints", ""), INDENT - 1, "");
    json_array_foreach(json_object_get(arch, "options"), i, name)
    {
        const int n = (int)json_string_length(name) + 3;
        if (at + n > WIDTH) {
            printf("\n%*s", INDENT - 1, "");
            at = INDENT;
        }
        printf(" --%s", json_string_value(name));
        at += n;
    }
    putchar('\n');
}

enum sae_status options_list_arch(bool as_json, struct sae_err *err)
{
    json_t *const all = json_array();
    size_t i;
    json_t *arch;
    enum sae_status st = SAE_OK;
    for (int a = 0; a < TRAIN_ARCH_N; a++)
        if (json_array_append_new(all, describe_arch(a)) != 0)
            st = sae_err_set(err, SAE_ENOMEM, "out of memory");
    if (st == SAE_OK && as_json)
        st = sae_json_print(stdout, all, err);
    else if (st == SAE_OK)
        json_array_foreach(all, i, arch)
            print_arch(arch);
    json_decref(all);
    return st;
}
