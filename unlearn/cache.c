/* SPDX-License-Identifier: MIT */
/* cache : lists of the questions a model knows, for the next invocation: one row number a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "unlearn/unlearn.h"

/* folder/NAME_correct.csv, or as upstream names those of MMLU. */
static enum sae_status path_of(char **ret, const struct unlearn_set *set, const char *folder,
                               bool upstream, struct sae_err *err)
{
    char name[256];
    snprintf(name, sizeof name, "%s%.200s_correct.csv", upstream ? "mmlu-" : "", set->name);
    for (char *c = name; upstream && *c != '\0' && strcmp(c, "_correct.csv") != 0; c++)
        if (*c == '_')
            *c = '-';
    return sae_fs_join(ret, folder, name, err);
}

/* Marks the questions with these rows of the file; SAE_EFORMAT a line that is no number. */
static enum sae_status mark(struct unlearn_set *set, char *text, const char *path,
                            struct sae_err *err)
{
    char *save = NULL;
    for (char *line = strtok_r(text, "\r\n", &save); line != NULL;
         line = strtok_r(NULL, "\r\n", &save)) {
        uint64_t row;
        if (!sae_str_u64(line, &row))
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s': '%.40s' is no question id; expected one whole number a line",
                               path, line);
        for (size_t q = 0; q < set->n; q++)
            set->known[q] |= set->v[q].row == row;
    }
    return SAE_OK;
}

enum sae_status unlearn_cache_read(bool *ret_found, struct unlearn_set *set, const char *folder,
                                   struct sae_err *err)
{
    char *path = NULL, *text = NULL;
    size_t len = 0;
    enum sae_status st;
    *ret_found = false;
    for (int upstream = 0; upstream < 2 && !*ret_found; upstream++) {
        free(path);
        path = NULL;
        SAE_GO(st, path_of(&path, set, folder, upstream == 1, err));
        *ret_found = sae_fs_is_file(path);
    }
    if (!*ret_found)
        goto done;
    SAE_GO(st, sae_fs_read(&text, &len, path, 1 << 24, err));
    free(set->known);
    set->known = NULL;
    SAE_GO(st, sae_mem_alloc(&set->known, set->n, sizeof *set->known, err));
    SAE_GO(st, mark(set, text, path, err));
    set->n_known = 0;
    for (size_t q = 0; q < set->n; q++)
        set->n_known += set->known[q];
    set->n_right = SIZE_MAX;
    set->is_known_done = true;
    set->known_from = "file";
done:
    free(path);
    free(text);
    return st;
}

enum sae_status unlearn_cache_write(const struct unlearn_set *set, const char *folder,
                                    struct sae_err *err)
{
    struct sae_str text = {0};
    char *path = NULL;
    enum sae_status st;
    SAE_GO(st, sae_fs_make_dirs(folder, err));
    SAE_GO(st, path_of(&path, set, folder, false, err));
    for (size_t q = 0; q < set->n; q++)
        if (set->known[q])
            SAE_GO(st, sae_str_printf(&text, err, "%zu\n", set->v[q].row));
    st = sae_fs_write(path, text.s != NULL ? text.s : "", text.len, err);
done:
    sae_str_clear(&text);
    free(path);
    return st;
}
