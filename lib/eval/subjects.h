/* SPDX-License-Identifier: MIT */
/* subjects : the SAEs that one invocation of an evaluation looks at, from the command line to what
 * it prints. */
#ifndef SAE_LIB_EVAL_SUBJECTS_H
#define SAE_LIB_EVAL_SUBJECTS_H

#include "lib/eval/subject.h"

struct sae_subjects {
    size_t n, n_lost, n_unwritten;
    char **paths;           /* [n] */
    json_t *answers;        /* array of results, for --json; the caller fills it */
    struct sae_ckpt *ckpts; /* [n] after sae_subjects_load, else NULL */
};

/* What the operands name, or lies here where there are none (sae_target_find). Where that is more than
 * one, a damaged file does not keep the others from their results: it is left out with a warning and
 * counted in n_lost.
 * options learns what is known now: it borrows the paths.
 * Fails: as sae_target_find; none can be read - as the first of them */
SAE_MUST_CHECK enum sae_status sae_subjects_find(struct sae_subjects *ret,
                                                 struct sae_subject_options *options,
                                                 const struct sae_cli *cli, bool all,
                                                 struct sae_err *err);
/* For an evaluation of all at once: loads each (sae_subject_load); answers gets a null for each. */
SAE_MUST_CHECK enum sae_status sae_subjects_load(struct sae_subjects *saes, const char *acts,
                                                 struct sae_err *err);
/* Writes a result, and removes `part`, the note of progress that it replaces (may be NULL). What
 * was measured is not lost where the disk refuses it: that is told, counted in n_unwritten, and the
 * caller goes on to print.
 * Fails: SAE_ENOMEM, SAE_EFORMAT */
SAE_MUST_CHECK enum sae_status sae_subjects_write(struct sae_subjects *saes, const char *path,
                                                  const json_t *result, const char *part,
                                                  struct sae_err *err);
/* Prints the answers where --json asks for them.
 * Fails: SAE_EFORMAT some were left out; SAE_EIO some could not be written */
SAE_MUST_CHECK enum sae_status sae_subjects_end(const struct sae_subjects *saes,
                                                const struct sae_cli *cli, struct sae_err *err);
void sae_subjects_clear(struct sae_subjects *saes); /* accepts zeroed */

#endif /* SAE_LIB_EVAL_SUBJECTS_H */
