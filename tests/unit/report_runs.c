/* SPDX-License-Identifier: MIT */
/* report_runs : see the header. As a program: report_runs DIR makes run_1 (baseline), run_2
 * (progressive) and run_3 (progressive, other seed) in DIR. */
#include "tests/unit/report_runs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/file/json.h"
#include "lib/file/result.h"
#include "lib/sae/ckpt.h"

enum { D = 8, M = 16, TOTAL = 200, POINTS = 21, PAIRS = 9, LOGGED = 5 };

static json_t *record_of(const struct fake_run *run)
{
    json_t *site =
        json_pack("{s:s, s:s, s:i, s:s, s:i, s:i}", "model", "tiny-g2", "model_id", "0123", "layer",
                  3, "hook", "blocks.3.hook_resid_post", "d", D, "context", 128);
    json_t *acts = json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:[], s:o}}", "role", "acts", "path",
                             "../acts", "id", "ab12cd34ef56", "record", "program", "sae-harvest",
                             "command", "sae-harvest --model data/tiny-g2 --layer 3 -o acts",
                             "inputs", "site", json_incref(site));
    return json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:I, s:I, s:i, s:i, s:f, s:I, s:f}, s:[o], s:o}",
                     "program", "sae-train", "version", "0.1.0", "command", "sae-train --acts acts",
                     "options", "arch", "topk", "orth", run->orth, "k", (json_int_t)run->k, "seed",
                     (json_int_t)run->seed, "m", M, "batch", 2048, "lr", 0.0002, "steps",
                     (json_int_t)TOTAL, "lambda2-max", strcmp(run->orth, "none") == 0 ? 0.0 : 0.1,
                     "inputs", acts, "site", site);
}

static enum sae_status fill_series(struct sae_ckpt *ckpt, const struct fake_run *run, int percent,
                                   struct sae_err *err)
{
    static const char *const names[] = {"step", "loss_recon",      "loss_orth",    "lambda2",
                                        "tau",  "competing_pairs", "mean_abs_cos", "dead"};
    const size_t n = sizeof names / sizeof *names;
    ckpt->series.n_columns = n;
    ckpt->series.n_points = (size_t)percent * (POINTS - 1) / 100 + 1;
    SAE_TRY(sae_mem_alloc(&ckpt->series.names, n, sizeof(char *), err));
    SAE_TRY(sae_mem_alloc(&ckpt->series.values, n, sizeof(double *), err));
    const bool on = strcmp(run->orth, "none") != 0;
    for (size_t c = 0; c < n; c++) {
        SAE_TRY(sae_mem_strdup(&ckpt->series.names[c], names[c], err));
        SAE_TRY(sae_mem_alloc(&ckpt->series.values[c], ckpt->series.n_points, sizeof(double), err));
        for (size_t t = 0; t < ckpt->series.n_points; t++) {
            const double p = (double)t / (POINTS - 1);
            const double of[] = {p * TOTAL,
                                 40 / (1 + 9 * p) - 10 * run->shift,
                                 on ? 30 * exp(-3 * p) : 0,
                                 on ? 0.1 * (1 - p) * (1 - p) : 0,
                                 0.1 * (1 - p) + 1e-3, /* logged without the term, too */
                                 500 * exp(-2 * p) + 20,
                                 0.3 * exp(-p),
                                 4 * p};
            ckpt->series.values[c][t] = of[c];
        }
    }
    return SAE_OK;
}

static enum sae_status fill_pairs(struct sae_ckpt *ckpt, struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.i, PAIRS, sizeof(uint32_t), err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.j, PAIRS, sizeof(uint32_t), err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.kind, PAIRS, 1, err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.c, PAIRS * LOGGED, sizeof(float), err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.nhat, PAIRS * LOGGED, sizeof(float), err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.cos, PAIRS * LOGGED, sizeof(float), err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.step, LOGGED, sizeof(double), err));
    ckpt->pairs.n = PAIRS;
    ckpt->pairs.n_logged = LOGGED;
    for (uint32_t p = 0; p < PAIRS; p++) {
        ckpt->pairs.i[p] = p;
        ckpt->pairs.j[p] = p + 1;
        ckpt->pairs.kind[p] = (uint8_t)(p % 3);
    }
    for (size_t t = 0; t < LOGGED; t++) {
        ckpt->pairs.step[t] = (double)(t * TOTAL / (LOGGED - 1));
        for (size_t p = 0; p < PAIRS; p++) {
            const float fall = expf(-(float)t / 2), kind = (float)(2 - p % 3) / 2;
            ckpt->pairs.c[t * PAIRS + p] = fall * kind;
            ckpt->pairs.nhat[t * PAIRS + p] = 0.3F * kind * (0.5F + 0.5F * fall);
            ckpt->pairs.cos[t * PAIRS + p] = 0.4F * fall * kind - 0.02F * (float)p;
        }
    }
    return SAE_OK;
}

static enum sae_status fill_model(struct sae_ckpt *ckpt, const struct fake_run *run,
                                  struct sae_err *err)
{
    SAE_TRY(sae_model_alloc(&ckpt->model, SAE_ARCH_TOPK, D, M, run->k, err));
    struct sae_rng rng = sae_rng_make(run->seed, SAE_RNG_TEST);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < D; j++)
            ckpt->model.W_enc[i * D + j] = ckpt->model.W_dec[i * D + j] =
                (float)sae_rng_normal(&rng);
    for (size_t i = 0; i < M; i++) {
        float *w = ckpt->model.W_dec + i * D, sum = 0;
        for (size_t j = 0; j < D; j++)
            sum += w[j] * w[j];
        for (size_t j = 0; j < D; j++)
            w[j] /= sqrtf(sum);
    }
    return SAE_OK;
}

static enum sae_status make_ckpt(const char *path, const struct fake_run *run, int percent,
                                 char id[65], struct sae_err *err)
{
    struct sae_ckpt ckpt = {.step = (uint64_t)percent * TOTAL / 100,
                            .total_steps = TOTAL,
                            .seed = run->seed,
                            .progress = percent / 100.0};
    struct sae_ckpt back = {0};
    enum sae_status st = SAE_OK;
    SAE_GO(st, fill_model(&ckpt, run, err));
    SAE_GO(st, fill_series(&ckpt, run, percent, err));
    SAE_GO(st, fill_pairs(&ckpt, err));
    SAE_GO(st, sae_mem_alloc(&ckpt.heldout.start, 3, sizeof(uint64_t), err));
    SAE_GO(st, sae_mem_alloc(&ckpt.heldout.idx, 2, sizeof(uint32_t), err));
    SAE_GO(st, sae_mem_alloc(&ckpt.heldout.val, 2, sizeof(float), err));
    ckpt.heldout.n_rows = 2;
    ckpt.heldout.start[1] = 1;
    ckpt.heldout.start[2] = 2;
    ckpt.heldout.val[0] = ckpt.heldout.val[1] = 1;
    const double ev = (80 + percent / 10.0) / 100 + run->shift;
    ckpt.heldout_metrics = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "loss", 100 * (1 - ev),
                                     "explained_variance", ev, "l0", (double)run->k, "cossim",
                                     0.9 + run->shift, "alive_share", 0.875, "dead", 2.0);
    ckpt.record = record_of(run);
    SAE_GO(st, sae_ckpt_save(path, &ckpt, true, err));
    SAE_GO(st, sae_ckpt_load(&back, path, err));
    memcpy(id, back.id, 65);
done:
    sae_ckpt_clear(&back);
    sae_ckpt_clear(&ckpt);
    return st;
}

/* --- results, in SAEBench's shape ------------------------------------------------------------ */

static enum sae_status put_result(const char *ckpt_path, const char *suffix, const char *type,
                                  const char *id, json_t *metrics, json_t *unstructured,
                                  struct sae_err *err)
{
    char *path = NULL;
    json_t *json =
        json_pack("{s:s, s:o, s:[], s:o, s:{s:{}, s:{s:s}}}", "eval_type_id", type,
                  "eval_result_metrics", metrics, "eval_result_details", "eval_result_unstructured",
                  unstructured != NULL ? unstructured : json_null(), "saekit", "record",
                  "checkpoint", "id", id);
    enum sae_status st = sae_result_path(&path, ckpt_path, suffix, err);
    if (st == SAE_OK)
        st = sae_json_save(path, json, err);
    json_decref(json);
    free(path);
    return st;
}

static json_t *histogram(double width)
{
    json_t *counts = json_array();
    for (int b = 0; b < 200; b++) {
        const double x = (b + 0.5) / 100 - 1;
        json_array_append_new(counts,
                              json_integer((json_int_t)(1e6 * exp(-x * x / width / width))));
    }
    return json_pack("{s:{s:f, s:f, s:o}}", "cosine_histogram", "lo", -1.0, "hi", 1.0, "counts",
                     counts);
}

static enum sae_status make_results(const char *path, const struct fake_run *run, int percent,
                                    const char *id, struct sae_err *err)
{
    const double p = percent, s = run->shift;
    SAE_TRY(put_result(path, "analyze.json", "analyze", id,
                       json_pack("{s:{s:f, s:f, s:f, s:f}, s:{s:f}, s:{s:f, s:f}}", "separation",
                                 "average_max_decoder_cosine_sim", 0.5 - p / 1000 - s,
                                 "average_max_abs_decoder_cosine_sim", 0.52 - p / 1000 - s,
                                 "mean_abs_cosine", 0.08 - s / 10, "coherence", 0.9 - s, "spectrum",
                                 "effective_rank", 7.1 + s * 10, "competition",
                                 "reference_competing_pairs", 400 - 3 * p - 500 * s,
                                 "reference_mean_abs_cosine", 0.3 - p / 1000 - s),
                       histogram(0.3 - p / 1000 - s), err));
    SAE_TRY(put_result(path, "probe.json", "sparse_probing", id,
                       json_pack("{s:{s:f, s:f, s:f}, s:{s:f, s:f, s:f}}", "llm",
                                 "llm_test_accuracy", 0.93, "llm_top_1_test_accuracy", 0.62,
                                 "llm_top_5_test_accuracy", 0.75, "sae", "sae_top_1_test_accuracy",
                                 0.6 + p / 1000 + s, "sae_top_2_test_accuracy", 0.65 + p / 1000 + s,
                                 "sae_top_5_test_accuracy", 0.72 + p / 1000 + s),
                       NULL, err));
    SAE_TRY(put_result(path, "absorb.json", "absorption_first_letter", id,
                       json_pack("{s:{s:f, s:f, s:f, s:f}}", "mean", "mean_absorption_score",
                                 0.05 - p / 2500 - s, "mean_full_absorption_score",
                                 0.06 - p / 2500 - s, "mean_absorption_fraction_score",
                                 0.2 - p / 1000 - s, "mean_num_split_features", 1.3),
                       NULL, err));
    return put_result(
        path, "core.json", "core", id,
        json_pack(
            "{s:{s:f, s:f}, s:{s:f, s:f, s:f, s:f}, s:{s:f, s:f, s:f}, s:{s:f}}",
            "model_behavior_preservation", "kl_div_score", 0.8 + p / 1000 + s, "kl_div_with_sae",
            0.3 - p / 1000, "model_performance_preservation", "ce_loss_score", 0.85 + p / 1000 + s,
            "ce_loss_with_sae", 3.6 - p / 500, "ce_loss_without_sae", 3.1, "ce_loss_with_ablation",
            9.0, "reconstruction_quality", "explained_variance_legacy", 0.78 + s,
            "explained_variance_pooled", 0.81 + s, "mse", 0.02, "sparsity", "l0", (double)run->k),
        NULL, err);
}

enum sae_status fake_run_make(const char *dir, const struct fake_run *run, struct sae_err *err)
{
    char *folder = NULL, *path = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_fs_join(&folder, dir, run->name, err));
    SAE_GO(st, sae_fs_make_dirs(folder, err));
    for (size_t i = 0; i < 8 && run->percents[i] >= 0; i++) {
        char name[32], id[65];
        snprintf(name, sizeof name, "ckpt_%02d.h5", run->percents[i]);
        free(path);
        path = NULL;
        SAE_GO(st, sae_fs_join(&path, folder, name, err));
        SAE_GO(st, make_ckpt(path, run, run->percents[i], id, err));
        if (run->with_results)
            SAE_GO(st, make_results(path, run, run->percents[i], id, err));
    }
done:
    free(folder);
    free(path);
    return st;
}
