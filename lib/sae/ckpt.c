/* SPDX-License-Identifier: MIT */
/* ckpt : checkpoints on disk. The header lists every dataset.
 * Contents: 1. tables   2. writing   3. reading */
#include "lib/sae/ckpt.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "lib/file/record.h"

static const char KIND[] = "checkpoint";

/* --- 1. tables ---------------------------------------------------------------------------- */

const char *const sae_ckpt_metric_names[] = {"loss",
                                             "recon",
                                             "mse",
                                             "explained_variance",
                                             "fraction_variance_explained",
                                             "l0",
                                             "l1",
                                             "cossim",
                                             "l2_ratio",
                                             "alive_share",
                                             "dead",
                                             "competing_pairs",
                                             "mean_abs_cos",
                                             "max_abs_cos",
                                             "tokens",
                                             NULL};

/* --- 2. writing --------------------------------------------------------------------------- */

static enum sae_status put_head(struct sae_h5 *file, const struct sae_ckpt *ckpt,
                                struct sae_err *err)
{
    const struct sae_model *const model = &ckpt->model;
    SAE_TRY(sae_h5_attr_put_str(file, "/", "arch", sae_arch_name(model->arch), err));
    SAE_TRY(sae_h5_attr_put_u64(file, "/", "d", model->d, err));
    SAE_TRY(sae_h5_attr_put_u64(file, "/", "m", model->m, err));
    SAE_TRY(sae_h5_attr_put_u64(file, "/", "k", model->k, err));
    if (model->subtract_b_dec != sae_arch_desc(model->arch)->subtracts)
        SAE_TRY(sae_h5_attr_put_u64(file, "/", "subtract_b_dec", model->subtract_b_dec, err));
    if (model->norm != SAE_NORM_NONE)
        SAE_TRY(sae_h5_attr_put_str(file, "/", "norm", sae_norm_name(model->norm), err));
    if (model->topk_threshold > 0)
        SAE_TRY(sae_h5_attr_put_f64(file, "/", "topk_threshold", model->topk_threshold, err));
    SAE_TRY(sae_h5_attr_put_u64(file, "/", "step", ckpt->step, err));
    SAE_TRY(sae_h5_attr_put_u64(file, "/", "total_steps", ckpt->total_steps, err));
    SAE_TRY(sae_h5_attr_put_f64(file, "/", "progress", ckpt->progress, err));
    return sae_h5_attr_put_u64(file, "/", "seed", ckpt->seed, err);
}

/* "/W_enc" */
enum { DATASET = 16 };
static const char *dataset_of(char to[DATASET], const struct sae_weight *weight)
{
    (void)snprintf(to, DATASET, "/%s", weight->name);
    return to;
}

static enum sae_status put_model(struct sae_h5 *file, struct sae_model model, struct sae_err *err)
{
    char name[DATASET];
    for (size_t i = 0; i < SAE_WEIGHTS; i++) {
        const struct sae_weight *const w = &sae_weights[i];
        const float *const data = *sae_weight_of(&model, w);
        if (!data)
            continue;
        if (w->by_latent && w->by_dim)
            SAE_TRY(sae_h5_put2(file, dataset_of(name, w), SAE_H5_F32, model.m, model.d, data, err));
        else
            SAE_TRY(sae_h5_put1(file, dataset_of(name, w), SAE_H5_F32, sae_weight_size(&model, w),
                                data, err));
    }
    return SAE_OK;
}

static enum sae_status put_series(struct sae_h5 *file, const struct sae_series *series,
                                  struct sae_err *err)
{
    struct sae_str name = {0};
    enum sae_status st = SAE_OK;
    for (size_t c = 0; c < series->n_columns; c++) {
        sae_str_clear(&name);
        SAE_GO(st, sae_str_printf(&name, err, "/series/%s", series->names[c]));
        SAE_GO(st, sae_h5_put1(file, name.s, SAE_H5_F64, series->n_points, series->values[c], err));
    }
done:
    sae_str_clear(&name);
    return st;
}

static enum sae_status put_heldout(struct sae_h5 *file, const struct sae_ckpt *ckpt,
                                   struct sae_err *err)
{
    const struct sae_masks *const masks = &ckpt->heldout;
    if (!masks->start)
        return SAE_OK;
    const size_t nnz = masks->start[masks->n_rows];
    SAE_TRY(sae_h5_put1(file, "/heldout/start", SAE_H5_U64, masks->n_rows + 1, masks->start, err));
    SAE_TRY(sae_h5_put1(file, "/heldout/idx", SAE_H5_U32, nnz, masks->idx, err));
    SAE_TRY(sae_h5_put1(file, "/heldout/val", SAE_H5_F32, nnz, masks->val, err));
    for (const char *const *name = sae_ckpt_metric_names; *name; name++) {
        const json_t *const v = json_object_get(ckpt->heldout_metrics, *name);
        if (json_is_number(v))
            SAE_TRY(sae_h5_attr_put_f64(file, "/heldout", *name, json_number_value(v), err));
    }
    return SAE_OK;
}

static enum sae_status put_pairs(struct sae_h5 *file, const struct sae_ckpt *ckpt,
                                 struct sae_err *err)
{
    const size_t n = ckpt->pairs.n, logged = ckpt->pairs.n_logged;
    if (n == 0)
        return SAE_OK;
    SAE_TRY(sae_h5_put1(file, "/pairs/i", SAE_H5_U32, n, ckpt->pairs.i, err));
    SAE_TRY(sae_h5_put1(file, "/pairs/j", SAE_H5_U32, n, ckpt->pairs.j, err));
    SAE_TRY(sae_h5_put1(file, "/pairs/kind", SAE_H5_U8, n, ckpt->pairs.kind, err));
    SAE_TRY(sae_h5_put2(file, "/pairs/c", SAE_H5_F32, logged, n, ckpt->pairs.c, err));
    SAE_TRY(sae_h5_put2(file, "/pairs/nhat", SAE_H5_F32, logged, n, ckpt->pairs.nhat, err));
    SAE_TRY(sae_h5_put2(file, "/pairs/cos", SAE_H5_F32, logged, n, ckpt->pairs.cos, err));
    return sae_h5_put1(file, "/pairs/step", SAE_H5_F64, logged, ckpt->pairs.step, err);
}

enum sae_status sae_ckpt_put(struct sae_h5 *file, const struct sae_ckpt *ckpt, struct sae_err *err)
{
    SAE_TRY(put_head(file, ckpt, err));
    SAE_TRY(put_model(file, ckpt->model, err));
    SAE_TRY(put_series(file, &ckpt->series, err));
    SAE_TRY(put_heldout(file, ckpt, err));
    return put_pairs(file, ckpt, err);
}

enum sae_status sae_ckpt_save(const char *path, const struct sae_ckpt *ckpt, bool force,
                              struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    char *text = NULL;
    enum sae_status st;
    SAE_GO(st, sae_record_text(&text, ckpt->record, err));
    SAE_GO(st, sae_h5_create(&file, path, KIND, force, err));
    SAE_GO(st, sae_ckpt_put(file, ckpt, err));
    SAE_GO(st, sae_h5_commit(&file, text, err));
done:
    sae_h5_close(file);
    free(text);
    return st;
}

/* --- 3. reading --------------------------------------------------------------------------- */

/* What a model does unlike others of its architecture; absent from what sae-train writes. */
static enum sae_status get_manner(struct sae_model *model, const struct sae_h5 *file,
                                  struct sae_err *err)
{
    const struct sae_arch_desc *const arch = sae_arch_desc(model->arch);
    uint64_t subtract = arch->subtracts;
    char *name = NULL;
    if (sae_h5_attr_has(file, "/", "subtract_b_dec"))
        SAE_TRY(sae_h5_attr_u64(file, "/", "subtract_b_dec", &subtract, err));
    if (subtract > 1)
        return sae_err_set(err, SAE_EFORMAT, "'%s': subtract_b_dec is neither 0 nor 1",
                           sae_h5_path(file));
    model->subtract_b_dec = subtract != 0;
    model->norm = SAE_NORM_NONE;
    model->topk_threshold = 0;
    if (arch->by_k && sae_h5_attr_has(file, "/", "topk_threshold")) {
        SAE_TRY(sae_h5_attr_f64(file, "/", "topk_threshold", &model->topk_threshold, err));
        if (!(model->topk_threshold > 0 && isfinite(model->topk_threshold)))
            return sae_err_set(err, SAE_EFORMAT, "'%s': topk_threshold %g is not above 0",
                               sae_h5_path(file), model->topk_threshold);
    }
    if (!sae_h5_attr_has(file, "/", "norm"))
        return SAE_OK;
    SAE_TRY(sae_h5_attr_str(file, "/", "norm", &name, err));
    const bool known = sae_norm_parse(name, &model->norm);
    const enum sae_status st =
        known ? SAE_OK
              : sae_err_set(err, SAE_EVERSION,
                            "'%s' normalises its input by '%s', which this build does not know",
                            sae_h5_path(file), name);
    free(name);
    return st;
}

static enum sae_status get_head(struct sae_ckpt *ckpt, const struct sae_h5 *file,
                                struct sae_err *err)
{
    struct sae_model *const model = &ckpt->model;
    char *arch = NULL;
    uint64_t d = 0, m = 0, k = 0;
    SAE_TRY(sae_h5_attr_str(file, "/", "arch", &arch, err));
    const bool known = sae_arch_parse(arch, &model->arch);
    enum sae_status st = SAE_OK;
    if (!known)
        st = sae_err_set(err, SAE_EVERSION,
                         "'%s' is of architecture '%s', which this build does not know",
                         sae_h5_path(file), arch);
    free(arch);
    SAE_TRY(st);
    SAE_TRY(sae_h5_attr_u64(file, "/", "d", &d, err));
    SAE_TRY(sae_h5_attr_u64(file, "/", "m", &m, err));
    SAE_TRY(sae_h5_attr_u64(file, "/", "k", &k, err));
    SAE_TRY(sae_h5_attr_u64(file, "/", "step", &ckpt->step, err));
    SAE_TRY(sae_h5_attr_u64(file, "/", "total_steps", &ckpt->total_steps, err));
    SAE_TRY(sae_h5_attr_f64(file, "/", "progress", &ckpt->progress, err));
    SAE_TRY(sae_h5_attr_u64(file, "/", "seed", &ckpt->seed, err));
    if (d == 0 || m == 0 || d > UINT32_MAX || m > UINT32_MAX)
        return sae_err_set(err, SAE_EFORMAT, "'%s': d = %zu and m = %zu cannot be",
                           sae_h5_path(file), (size_t)d, (size_t)m);
    if (k > m || (sae_arch_desc(model->arch)->by_k && k == 0))
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': an SAE of m = %zu latents that keeps k = %zu "
                           "of them cannot be",
                           sae_h5_path(file), (size_t)m, (size_t)k);
    if (!(ckpt->progress >= 0 && ckpt->progress <= 1))
        return sae_err_set(err, SAE_EFORMAT, "'%s': progress is %g, expected 0 to 1",
                           sae_h5_path(file), ckpt->progress);
    if (ckpt->step > INT64_MAX || ckpt->total_steps > INT64_MAX)
        return sae_err_set(err, SAE_EFORMAT, "'%s': step %llu of %llu is beyond 2^63",
                           sae_h5_path(file), (unsigned long long)ckpt->step,
                           (unsigned long long)ckpt->total_steps);
    model->d = (size_t)d;
    model->m = (size_t)m;
    model->k = (size_t)k;
    return get_manner(model, file, err);
}

static enum sae_status get_weight(struct sae_model *model, const struct sae_weight *w, bool needed,
                                  const struct sae_h5 *file, struct sae_err *err)
{
    char name[DATASET];
    const size_t want[2] = {w->by_latent ? model->m : model->d, model->d};
    float **const data = sae_weight_of(model, w);
    if (!needed && !sae_h5_has(file, dataset_of(name, w)))
        return SAE_OK;
    SAE_TRY(sae_h5_get(file, dataset_of(name, w), SAE_H5_F32, w->by_latent && w->by_dim ? 2 : 1,
                       want, NULL, data, err));
    for (size_t i = 0, n = sae_weight_size(model, w); i < n; i++)
        if (!isfinite((*data)[i]))
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s': %s holds %f at %zu; weights must be "
                               "finite numbers",
                               sae_h5_path(file), w->name, (double)(*data)[i], i);
    return SAE_OK;
}

static enum sae_status get_model(struct sae_model *model, const struct sae_h5 *file,
                                 struct sae_err *err)
{
    const unsigned needed = sae_arch_desc(model->arch)->weights;
    for (size_t i = 0; i < SAE_WEIGHTS; i++)
        SAE_TRY(get_weight(model, &sae_weights[i], needed >> i & 1, file, err));
    return SAE_OK;
}

static enum sae_status get_series(struct sae_series *series, const struct sae_h5 *file,
                                  struct sae_err *err)
{
    if (!sae_h5_has(file, "/series"))
        return SAE_OK;
    size_t n = 0;
    SAE_TRY(sae_h5_names(file, "/series", &n, &series->names, err));
    series->n_columns = n;
    SAE_TRY(sae_mem_alloc(&series->values, n, sizeof *series->values, err));
    struct sae_str name = {0};
    enum sae_status st = SAE_OK;
    for (size_t c = 0; c < n; c++) {
        size_t got = 0;
        const size_t want = c == 0 ? 0 : series->n_points;
        sae_str_clear(&name);
        SAE_GO(st, sae_str_printf(&name, err, "/series/%s", series->names[c]));
        SAE_GO(st, sae_h5_get(file, name.s, SAE_H5_F64, 1, &want, &got, &series->values[c], err));
        /* An empty first column must not leave the others free to be longer. */
        if (c > 0 && got != series->n_points) {
            st = sae_err_set(err, SAE_EFORMAT, "'%s': %s has %zu points, expected %zu",
                             sae_h5_path(file), name.s, got, series->n_points);
            goto done;
        }
        series->n_points = got;
    }
done:
    sae_str_clear(&name);
    return st;
}

static enum sae_status check_masks(const struct sae_masks *masks, size_t nnz, size_t m,
                                   const char *path, struct sae_err *err)
{
    bool good = masks->start[0] == 0 && masks->start[masks->n_rows] == nnz;
    for (size_t t = 0; good && t < masks->n_rows; t++) {
        good = masks->start[t] <= masks->start[t + 1] && masks->start[t + 1] <= nnz;
        for (uint64_t e = masks->start[t]; good && e < masks->start[t + 1]; e++)
            good = masks->idx[e] < m && (e == masks->start[t] || masks->idx[e - 1] < masks->idx[e]);
    }
    if (good)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s': /heldout is not a list of ascending latents by token", path);
}

static enum sae_status get_heldout(struct sae_ckpt *ckpt, const struct sae_h5 *file,
                                   struct sae_err *err)
{
    ckpt->heldout_metrics = json_object();
    if (!ckpt->heldout_metrics)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    if (!sae_h5_has(file, "/heldout"))
        return SAE_OK;
    struct sae_masks *const masks = &ckpt->heldout;
    const size_t any = 0;
    size_t n = 0, nnz = 0;
    SAE_TRY(sae_h5_get(file, "/heldout/start", SAE_H5_U64, 1, &any, &n, &masks->start, err));
    SAE_TRY(sae_h5_get(file, "/heldout/idx", SAE_H5_U32, 1, &any, &nnz, &masks->idx, err));
    SAE_TRY(sae_h5_get(file, "/heldout/val", SAE_H5_F32, 1, &nnz, NULL, &masks->val, err));
    if (n == 0)
        return sae_err_set(err, SAE_EFORMAT, "'%s': /heldout/start is empty", sae_h5_path(file));
    masks->n_rows = n - 1;
    SAE_TRY(check_masks(masks, nnz, ckpt->model.m, sae_h5_path(file), err));
    for (const char *const *name = sae_ckpt_metric_names; *name; name++) {
        double v;
        if (!sae_h5_attr_has(file, "/heldout", *name))
            continue;
        SAE_TRY(sae_h5_attr_f64(file, "/heldout", *name, &v, err));
        if (json_object_set_new(ckpt->heldout_metrics, *name, sae_json_number(v)) != 0)
            return sae_err_set(err, SAE_ENOMEM, "out of memory");
    }
    return SAE_OK;
}

static enum sae_status get_pairs(struct sae_ckpt *ckpt, const struct sae_h5 *file,
                                 struct sae_err *err)
{
    if (!sae_h5_has(file, "/pairs"))
        return SAE_OK;
    const size_t any = 0;
    size_t n = 0, logged = 0;
    SAE_TRY(sae_h5_get(file, "/pairs/i", SAE_H5_U32, 1, &any, &n, &ckpt->pairs.i, err));
    SAE_TRY(sae_h5_get(file, "/pairs/j", SAE_H5_U32, 1, &n, NULL, &ckpt->pairs.j, err));
    SAE_TRY(sae_h5_get(file, "/pairs/kind", SAE_H5_U8, 1, &n, NULL, &ckpt->pairs.kind, err));
    SAE_TRY(sae_h5_get(file, "/pairs/step", SAE_H5_F64, 1, &any, &logged, &ckpt->pairs.step, err));
    const size_t want[2] = {logged, n};
    SAE_TRY(sae_h5_get(file, "/pairs/c", SAE_H5_F32, 2, want, NULL, &ckpt->pairs.c, err));
    SAE_TRY(sae_h5_get(file, "/pairs/nhat", SAE_H5_F32, 2, want, NULL, &ckpt->pairs.nhat, err));
    SAE_TRY(sae_h5_get(file, "/pairs/cos", SAE_H5_F32, 2, want, NULL, &ckpt->pairs.cos, err));
    for (size_t p = 0; p < n; p++)
        if (ckpt->pairs.i[p] >= ckpt->model.m || ckpt->pairs.j[p] >= ckpt->model.m ||
            ckpt->pairs.kind[p] > 2)
            return sae_err_set(err, SAE_EFORMAT, "'%s': pair %zu names no latent of this file",
                               sae_h5_path(file), p);
    ckpt->pairs.n = n;
    ckpt->pairs.n_logged = logged;
    return SAE_OK;
}

enum sae_status sae_ckpt_load(struct sae_ckpt *ret, const char *path, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    SAE_TRY(sae_h5_open(&file, path, KIND, err));
    const enum sae_status st = sae_ckpt_get(ret, file, err);
    sae_h5_close(file);
    return st;
}

enum sae_status sae_ckpt_get(struct sae_ckpt *ret, const struct sae_h5 *file, struct sae_err *err)
{
    struct sae_ckpt ckpt = {0};
    enum sae_status st;
    SAE_GO(st, sae_mem_strdup(&ckpt.path, sae_h5_path(file), err));
    snprintf(ckpt.id, sizeof ckpt.id, "%s", sae_h5_id(file));
    SAE_GO(st, sae_json_parse(&ckpt.record, sae_h5_record(file), sae_h5_path(file), err));
    SAE_GO(st, get_head(&ckpt, file, err));
    SAE_GO(st, get_model(&ckpt.model, file, err));
    SAE_GO(st, get_series(&ckpt.series, file, err));
    SAE_GO(st, get_heldout(&ckpt, file, err));
    SAE_GO(st, get_pairs(&ckpt, file, err));
    *ret = ckpt;
    ckpt = (struct sae_ckpt){0};
done:
    sae_ckpt_clear(&ckpt);
    return st;
}

void sae_ckpt_clear(struct sae_ckpt *ckpt)
{
    free(ckpt->path);
    sae_model_clear(&ckpt->model);
    json_decref(ckpt->record);
    json_decref(ckpt->heldout_metrics);
    free(ckpt->heldout.start);
    free(ckpt->heldout.idx);
    free(ckpt->heldout.val);
    for (size_t c = 0; ckpt->series.values && c < ckpt->series.n_columns; c++)
        free(ckpt->series.values[c]);
    free(ckpt->series.values);
    sae_h5_strings_free(ckpt->series.names, ckpt->series.n_columns);
    free(ckpt->pairs.i);
    free(ckpt->pairs.j);
    free(ckpt->pairs.kind);
    free(ckpt->pairs.c);
    free(ckpt->pairs.nhat);
    free(ckpt->pairs.cos);
    free(ckpt->pairs.step);
    *ckpt = (struct sae_ckpt){0};
}

const double *sae_ckpt_series(const struct sae_ckpt *ckpt, const char *name)
{
    for (size_t c = 0; c < ckpt->series.n_columns; c++)
        if (strcmp(ckpt->series.names[c], name) == 0)
            return ckpt->series.values[c];
    return NULL;
}
