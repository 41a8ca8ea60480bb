/* SPDX-License-Identifier: MIT */
/* chart_list : charts.txt, the list of what a report drew into a folder. The next report there
 * takes away what it has not drawn itself, and touches no other file. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "report/charts.h"

static const char list_name[] = "charts.txt";

/* A name that can be of a chart's file in the folder itself. */
static bool is_name(const char *s, size_t n)
{
    return n > 0 && n < 250 && s[0] != '.' && memchr(s, '/', n) == NULL;
}

static bool is_drawn(const struct charts *charts, const char *name, size_t n)
{
    for (size_t i = 0; i < charts->names.n; i++)
        if (strncmp(charts->names.v[i], name, n) == 0 && charts->names.v[i][n] == '\t')
            return true;
    return false;
}

static bool is_wanted(const struct charts *charts, const char *format)
{
    for (size_t i = 0; i < charts->how->formats.n && !charts->how->warned; i++)
        if (strcmp(charts->how->formats.v[i], format) == 0)
            return true;
    return false;
}

/* Removes what is left of a chart of an earlier report: all of it, or the formats not drawn now. */
static enum sae_status remove_rest(const struct charts *charts, const char *name, size_t n,
                                   struct sae_err *err)
{
    static const char *const endings[] = {"gp", "svg", "pdf", "png"};
    const bool drawn = is_drawn(charts, name, n);
    for (size_t e = 0; e < sizeof endings / sizeof *endings; e++) {
        struct sae_str path = {0};
        if (drawn && (e == 0 || is_wanted(charts, endings[e])))
            continue;
        const enum sae_status st =
            sae_str_printf(&path, err, "%s/%.*s.%s", charts->dir, (int)n, name, endings[e]);
        if (st == SAE_OK)
            unlink(path.s);
        sae_str_clear(&path);
        SAE_TRY(st);
    }
    return SAE_OK;
}

static enum sae_status remove_old(const struct charts *charts, const char *path,
                                  struct sae_err *err)
{
    char *text = NULL;
    size_t len = 0;
    enum sae_status st = SAE_OK;
    if (!sae_fs_is_file(path) || sae_fs_read(&text, &len, path, 1 << 20, NULL) != SAE_OK)
        return SAE_OK; /* nothing is known of what lies here */
    for (const char *line = text; st == SAE_OK && *line != '\0';) {
        const size_t n = strcspn(line, "\t\n"), whole = strcspn(line, "\n");
        if (line[n] == '\t' && is_name(line, n))
            st = remove_rest(charts, line, n, err);
        line += whole + (line[whole] == '\n');
    }
    free(text);
    return st;
}

enum sae_status charts_list(const struct charts *charts, struct sae_err *err)
{
    struct sae_str path = {0}, list = {0};
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&path, err, "%s/%s", charts->dir, list_name));
    SAE_GO(st, remove_old(charts, path.s, err));
    SAE_GO(st, sae_str_append(&list, "", 0, err));
    for (size_t i = 0; i < charts->names.n; i++)
        SAE_GO(st, sae_str_printf(&list, err, "%s\n", charts->names.v[i]));
    st = sae_fs_write(path.s, list.s, list.len, err);
done:
    sae_str_clear(&path);
    sae_str_clear(&list);
    return st;
}
