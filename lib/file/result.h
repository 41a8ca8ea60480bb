/* SPDX-License-Identifier: MIT */
/* result : an evaluation's JSON, in the shape of SAEBench's files, so that its readers work:
 * eval_type_id, eval_config, eval_id, datetime_epoch_millis, eval_result_metrics
 * {category: {metric: number|null}}, eval_result_details [flat objects],
 * eval_result_unstructured, sae_bench_commit_hash "Unknown", sae_lens_id "custom_sae",
 * sae_lens_release_id (run folder name), sae_lens_version null, sae_cfg_dict; and one key of ours,
 * "saekit": { "record", "checkpoint": {path, id, step, progress, arch}, "versions": {metric: formula} }.
 *
 * eval_id is derived from record and checkpoint id, and datetime_epoch_millis is
 * SOURCE_DATE_EPOCH or 0: equal runs give equal bytes.
 *
 * A result of checkpoint run_2/ckpt_50.h5 by evaluation `name` is run_2/ckpt_50.<name>.json;
 * names: analyze, probe, sae_probes, absorb, core, autointerp, unlearn, scr, tpp, match. Charts go to
 * run_2/charts/ckpt_50.<what>.svg. */
#ifndef SAE_LIB_FILE_RESULT_H
#define SAE_LIB_FILE_RESULT_H

#include <jansson.h>

#include "lib/base/err.h"

/* Length of an SAE's file name without its ending (.h5, .safetensors, .pt, .npz). */
size_t sae_result_stem(const char *name);

/* path of the result (or, with a chart suffix, of another companion) of a checkpoint file:
 * "run_2/ckpt_50.h5" + "probe.json" -> "run_2/ckpt_50.probe.json". New memory. */
SAE_MUST_CHECK enum sae_status sae_result_path(char **ret, const char *ckpt_path,
                                               const char *suffix, struct sae_err *err);

/* What the envelope is made of; details, unstructured and versions may be NULL (null in the file).
 * record is the record of the evaluating program. */
struct sae_result_parts {
    const char *eval_type_id; /* "core", "sparse_probing", "absorption_first_letter", "analyze" */
    json_t *config;
    json_t *metrics;
    json_t *details;
    json_t *unstructured;
    json_t *sae_cfg;
    json_t *record;
    json_t *versions;
    json_t *checkpoint;
};
/* For parts that hold a reference of their own to each. */
void sae_result_parts_clear(struct sae_result_parts *parts);
/* Takes references of its own. */
SAE_MUST_CHECK enum sae_status sae_result_make(json_t **ret, const struct sae_result_parts *parts,
                                               struct sae_err *err);

#endif /* SAE_LIB_FILE_RESULT_H */
