/* SPDX-License-Identifier: MIT */
/* subjects : see the header. */
#include "lib/eval/subjects.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/target.h"
#include "lib/file/json.h"
#include "lib/sae/import.h"

/* Takes damaged files off the list. One SAE alone is not looked at. */
static enum sae_status sift(struct sae_subjects *saes, struct sae_err *err)
{
    struct sae_err first = {0};
    const size_t n = saes->n;
    saes->n = 0;
    for (size_t i = 0; i < n; i++) {
        struct sae_ckpt ckpt = {0};
        struct sae_err why = {0};
        /* what comes from elsewhere says more on loading than should be said twice */
        const bool looked_at = n > 1 && sae_str_ends(saes->paths[i], ".h5");
        const enum sae_status st =
            looked_at ? sae_import_load(&ckpt, saes->paths[i], true, &why) : SAE_OK;
        sae_ckpt_clear(&ckpt);
        if (st == SAE_OK) {
            saes->paths[saes->n++] = saes->paths[i];
            continue;
        }
        if (saes->n_lost++ == 0)
            first = why;
        sae_log_warn("%s; left out", why.msg);
        free(saes->paths[i]);
    }
    return saes->n == 0 && n > 0 ? sae_err_set(err, first.code, "%s", first.msg) : SAE_OK;
}

enum sae_status sae_subjects_find(struct sae_subjects *ret, struct sae_subject_options *options,
                                  const struct sae_cli *cli, bool all, struct sae_err *err)
{
    struct sae_subjects saes = {.answers = json_array()};
    enum sae_status st;
    if (saes.answers == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    SAE_GO(st, sae_target_find(&saes.paths, &saes.n, cli->args, cli->n_args, all, err));
    SAE_GO(st, sift(&saes, err));
    options->n = options->n_paths = saes.n;
    options->paths = saes.paths;
    options->force = cli->force;
    *ret = saes;
    saes = (struct sae_subjects){0};
done:
    sae_subjects_clear(&saes);
    return st;
}

enum sae_status sae_subjects_load(struct sae_subjects *saes, const char *acts, struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(&saes->ckpts, saes->n, sizeof *saes->ckpts, err));
    for (size_t i = 0; i < saes->n; i++) {
        SAE_TRY(sae_subject_load(&saes->ckpts[i], saes->paths[i], acts, err));
        if (json_array_append_new(saes->answers, json_null()) != 0)
            return sae_err_set(err, SAE_ENOMEM, "out of memory");
    }
    return SAE_OK;
}

enum sae_status sae_subjects_write(struct sae_subjects *saes, const char *path,
                                   const json_t *result, const char *part, struct sae_err *err)
{
    struct sae_err why;
    const enum sae_status st = sae_json_save(path, result, &why);
    if (st != SAE_OK && st != SAE_EIO)
        return sae_err_set(err, st, "%s", why.msg);
    if (st == SAE_EIO) {
        sae_log_warn("%s; the numbers are printed", why.msg);
        saes->n_unwritten++;
        return SAE_OK;
    }
    if (part != NULL)
        unlink(part);
    sae_log_info("wrote '%s'", path);
    return SAE_OK;
}

enum sae_status sae_subjects_end(const struct sae_subjects *saes, const struct sae_cli *cli,
                                 struct sae_err *err)
{
    if (cli->json)
        SAE_TRY(sae_json_print_answers(stdout, saes->answers, err));
    if (saes->n_unwritten > 0)
        return sae_err_set(err, SAE_EIO,
                           "%zu results were printed, but could not be written; make room or name "
                           "another folder with -o",
                           saes->n_unwritten);
    if (saes->n_lost == 0)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "%zu of %zu SAEs could not be read; the results of the others are complete",
                       saes->n_lost, saes->n_lost + saes->n);
}

void sae_subjects_clear(struct sae_subjects *saes)
{
    for (size_t i = 0; saes->ckpts != NULL && i < saes->n; i++)
        sae_ckpt_clear(&saes->ckpts[i]);
    free(saes->ckpts);
    json_decref(saes->answers);
    sae_fs_list_free(saes->paths, saes->n);
    *saes = (struct sae_subjects){0};
}
