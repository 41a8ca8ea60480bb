/* SPDX-License-Identifier: MIT */
/* lasts : labelled sets of last-token activations. */
#include "lib/file/lasts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "lib/file/record.h"

#define KIND "last"

/* What must hold of every set, whether it comes from a caller or from a file. */
static enum sae_status check(const struct sae_lasts *l, const char *path, struct sae_err *err)
{
    if (l->n == 0 || l->d == 0 || l->n_classes != 2)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': %zu texts of width %zu in %zu classes; expected at least one text, "
                           "and two classes",
                           path, l->n, l->d, l->n_classes);
    for (size_t i = 0; i < l->n; i++)
        if (l->label[i] > 1)
            return sae_err_set(err, SAE_EFORMAT, "'%s': text %zu has label %u, expected 0 or 1",
                               path, i, l->label[i]);
    for (size_t i = 0; i < l->n * l->d; i++)
        if (!isfinite(l->x[i]))
            return sae_err_set(err, SAE_EFORMAT, "'%s': text %zu holds NaN or infinity", path,
                               i / l->d);
    return SAE_OK;
}

/* "a/last_section.h5" -> "section". */
static enum sae_status name_of(char **ret, const char *path, struct sae_err *err)
{
    const char *base = sae_fs_base(path);
    if (strncmp(base, SAE_LASTS_PREFIX, strlen(SAE_LASTS_PREFIX)) == 0)
        base += strlen(SAE_LASTS_PREFIX);
    SAE_TRY(sae_mem_strdup(ret, base, err));
    if (sae_str_ends(*ret, ".h5"))
        (*ret)[strlen(*ret) - 3] = '\0';
    return SAE_OK;
}

static enum sae_status read_all(struct sae_lasts *l, const struct sae_h5 *h5, const char *path,
                                struct sae_err *err)
{
    size_t want[2];
    SAE_TRY(sae_h5_shape(h5, "/x", 2, want, err));
    l->n = want[0];
    l->d = want[1];
    SAE_TRY(sae_h5_get(h5, "/x", SAE_H5_F32, 2, want, NULL, &l->x, err));
    SAE_TRY(sae_h5_get(h5, "/label", SAE_H5_U8, 1, want, NULL, &l->label, err));
    SAE_TRY(sae_h5_get_strings(h5, "/classes", &l->n_classes, &l->classes, err));
    SAE_TRY(check(l, path, err));
    SAE_TRY(sae_json_parse(&l->record, sae_h5_record(h5), path, err));
    memcpy(l->id, sae_h5_id(h5), sizeof l->id);
    return SAE_OK;
}

enum sae_status sae_lasts_load(struct sae_lasts *ret, const char *path, struct sae_err *err)
{
    struct sae_lasts l = {0};
    struct sae_h5 *h5 = NULL;
    enum sae_status st;
    SAE_GO(st, name_of(&l.name, path, err));
    SAE_GO(st, sae_h5_open(&h5, path, KIND, err));
    SAE_GO(st, read_all(&l, h5, path, err));
    *ret = l;
    l = (struct sae_lasts){0};
done:
    sae_h5_close(h5);
    sae_lasts_clear(&l);
    return st;
}

void sae_lasts_clear(struct sae_lasts *lasts)
{
    free(lasts->name);
    free(lasts->x);
    free(lasts->label);
    sae_h5_strings_free(lasts->classes, lasts->n_classes);
    json_decref(lasts->record);
    *lasts = (struct sae_lasts){0};
}

enum sae_status sae_lasts_save(const char *path, const struct sae_lasts *lasts,
                               const json_t *record, bool force, struct sae_err *err)
{
    struct sae_h5 *h5 = NULL;
    char *text = NULL;
    enum sae_status st;
    SAE_GO(st, check(lasts, path, err));
    SAE_GO(st, sae_record_text(&text, record, err));
    SAE_GO(st, sae_h5_create(&h5, path, KIND, force, err));
    SAE_GO(st, sae_h5_put2(h5, "/x", SAE_H5_F32, lasts->n, lasts->d, lasts->x, err));
    SAE_GO(st, sae_h5_put1(h5, "/label", SAE_H5_U8, lasts->n, lasts->label, err));
    SAE_GO(st, sae_h5_put_strings(h5, "/classes", lasts->n_classes, lasts->classes, err));
    SAE_GO(st, sae_h5_commit(&h5, text, err));
done:
    sae_h5_close(h5);
    free(text);
    return st;
}
