/* SPDX-License-Identifier: MIT */
/* save : a checkpoint of a run, and its exact restoration.
 *
 *   /optimizer/m_<array>, v_<array>   Adam's moments, shaped as the arrays
 *   /state/idle u64 [m]               tokens since each latent was active
 *   /state/b_enc, b_dec               biases in training units (the top-level ones take raw
 *                                     activations: they are multiplied by the norm)
 *   /state/window_<age>/start, idx    masks of recent batches (--overlap-window above 1)
 *   attributes of /state              norm, tau (-1 before the first step), position (tokens),
 *                                     cut (batchtopk; -1 before there is one)
 *
 * Contents: 1. writing   2. reading */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/h5.h"
#include "lib/file/record.h"
#include "train/run.h"

static const char KIND[] = "checkpoint";

/* --- 1. writing --------------------------------------------------------------------------- */

static enum sae_status put_moments(struct sae_h5 *file, const struct trainer *t,
                                   const struct params *p, const char *prefix, struct sae_err *err)
{
    const struct {
        const char *name;
        const float *data;
        size_t rows, cols;
    } all[] = {
        {"W_enc", p->W_enc, t->m, t->d},
        {"W_dec", p->W_dec, t->m, t->d},
        {"b_enc", p->b_enc, t->m, 0   },
        {"b_dec", p->b_dec, t->d, 0   }
    };
    struct sae_str name = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        sae_str_clear(&name);
        SAE_GO(st, sae_str_printf(&name, err, "/optimizer/%s_%s", prefix, all[i].name));
        SAE_GO(st, all[i].cols
                       ? sae_h5_put2(file, name.s, SAE_H5_F32, all[i].rows, all[i].cols,
                                     all[i].data, err)
                       : sae_h5_put1(file, name.s, SAE_H5_F32, all[i].rows, all[i].data, err));
    }
done:
    sae_str_clear(&name);
    return st;
}

/* Batches that later steps will still count: all of the ring but its oldest, which the next batch
 * replaces. */
static enum sae_status put_window(struct sae_h5 *file, const struct trainer *t, struct sae_err *err)
{
    struct sae_str name = {0};
    enum sae_status st = SAE_OK;
    for (size_t age = 1; age < t->ring_len && age <= t->step; age++) {
        const struct masks *const masks = &t->ring[(t->step - age) % t->ring_len];
        if (!masks->valid)
            continue;
        sae_str_clear(&name);
        SAE_GO(st, sae_str_printf(&name, err, "/state/window_%05zu/start", age));
        SAE_GO(st, sae_h5_put1(file, name.s, SAE_H5_U64, masks->csr.n + 1, masks->csr.start, err));
        sae_str_clear(&name);
        SAE_GO(st, sae_str_printf(&name, err, "/state/window_%05zu/idx", age));
        SAE_GO(st, sae_h5_put1(file, name.s, SAE_H5_U32, masks->csr.start[masks->csr.n],
                               masks->csr.idx, err));
    }
done:
    sae_str_clear(&name);
    return st;
}

static enum sae_status put_state(struct sae_h5 *file, const struct run *run, struct sae_err *err)
{
    const struct trainer *const t = run->t;
    SAE_TRY(put_moments(file, t, &t->m1, "m", err));
    SAE_TRY(put_moments(file, t, &t->m2, "v", err));
    SAE_TRY(sae_h5_put1(file, "/state/idle", SAE_H5_U64, t->m, t->idle, err));
    SAE_TRY(sae_h5_put1(file, "/state/b_enc", SAE_H5_F32, t->m, t->w.b_enc, err));
    SAE_TRY(sae_h5_put1(file, "/state/b_dec", SAE_H5_F32, t->d, t->w.b_dec, err));
    SAE_TRY(put_window(file, t, err));
    SAE_TRY(sae_h5_attr_put_f64(file, "/state", "norm", run->norm, err));
    SAE_TRY(sae_h5_attr_put_f64(file, "/state", "tau", t->tau, err));
    if (t->set.arch == TRAIN_BATCHTOPK)
        SAE_TRY(sae_h5_attr_put_f64(file, "/state", "cut", t->cut, err));
    return sae_h5_attr_put_u64(file, "/state", "position", t->step * t->n, err);
}

/* The autoencoder as others use it: on raw activations. */
static enum sae_status fold(const struct run *run, struct sae_model *ret, struct sae_err *err)
{
    const struct trainer *const t = run->t;
    float *b_enc = NULL, *b_dec = NULL, *threshold = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&b_enc, t->m, sizeof *b_enc, err));
    SAE_GO(st, sae_mem_alloc(&b_dec, t->d, sizeof *b_dec, err));
    for (size_t j = 0; j < t->m; j++)
        b_enc[j] = (float)((double)t->w.b_enc[j] * run->norm);
    for (size_t i = 0; i < t->d; i++)
        b_dec[i] = (float)((double)t->w.b_dec[i] * run->norm);
    if (t->set.arch == TRAIN_BATCHTOPK) {
        SAE_GO(st, sae_mem_alloc(&threshold, t->m, sizeof *threshold, err));
        for (size_t j = 0; j < t->m; j++)
            threshold[j] = (float)(t->cut < 0 ? t->cut : t->cut * run->norm);
    }
    *ret = (struct sae_model){.arch = settings_model_arch(&t->set),
                              .d = t->d,
                              .m = t->m,
                              .k = (size_t)trainer_k(t),
                              .subtract_b_dec = true,
                              .W_enc = t->w.W_enc,
                              .W_dec = t->w.W_dec,
                              .b_enc = b_enc,
                              .b_dec = b_dec,
                              .threshold = threshold};
    b_enc = b_dec = threshold = NULL;
done:
    free(b_enc);
    free(b_dec);
    free(threshold);
    return st;
}

static enum sae_status write_file(const struct run *run, const struct sae_ckpt *ckpt,
                                  const char *path, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    char *text = NULL;
    enum sae_status st;
    SAE_GO(st, sae_record_text(&text, run->plan->record, err));
    SAE_GO(st, sae_h5_create(&file, path, KIND, true, err));
    SAE_GO(st, sae_ckpt_put(file, ckpt, err));
    SAE_GO(st, put_state(file, run, err));
    SAE_GO(st, sae_h5_commit(&file, text, err));
done:
    sae_h5_close(file);
    free(text);
    return st;
}

enum sae_status run_save(struct run *run, const char *path, struct sae_err *err)
{
    struct trainer *const t = run->t;
    char *names[SERIES_N];
    double *values[SERIES_N];
    struct sae_ckpt ckpt = {.step = t->step,
                            .total_steps = t->set.steps,
                            .seed = t->set.seed,
                            .progress = (double)t->step / (double)t->set.steps};
    enum sae_status st;
    if (!isfinite(t->ops->sum_sq(t->w.n, t->w.all)))
        return sae_err_set(err, SAE_ERANGE, "weights are not finite after step %" PRIu64, t->step);
    SAE_GO(st, fold(run, &ckpt.model, err));
    SAE_GO(st, heldout_checkpoint(&run->held, t, &ckpt.heldout_metrics, &ckpt.heldout, err));
    series_view(&run->series, &ckpt.series, names, values);
    ckpt.pairs.n = run->pairs.n;
    ckpt.pairs.n_logged = run->pairs.n_logged;
    ckpt.pairs.i = run->pairs.i;
    ckpt.pairs.j = run->pairs.j;
    ckpt.pairs.kind = run->pairs.kind;
    ckpt.pairs.c = run->pairs.c;
    ckpt.pairs.nhat = run->pairs.nhat;
    ckpt.pairs.cos = run->pairs.cos;
    ckpt.pairs.step = run->pairs.step;
    SAE_GO(st, write_file(run, &ckpt, path, err));
done:
    free(ckpt.model.b_enc);
    free(ckpt.model.b_dec);
    free(ckpt.model.threshold);
    free(ckpt.heldout.start);
    free(ckpt.heldout.idx);
    free(ckpt.heldout.val);
    json_decref(ckpt.heldout_metrics);
    return st;
}

/* --- 2. reading --------------------------------------------------------------------------- */

static enum sae_status get_into(const struct sae_h5 *file, const char *name, size_t rows,
                                size_t cols, float *to, struct sae_err *err)
{
    const size_t want[2] = {rows, cols};
    float *data = NULL;
    SAE_TRY(sae_h5_get(file, name, SAE_H5_F32, cols ? 2 : 1, want, NULL, &data, err));
    memcpy(to, data, rows * (cols ? cols : 1) * sizeof *to);
    free(data);
    return SAE_OK;
}

static enum sae_status get_moments(const struct sae_h5 *file, const struct trainer *t,
                                   const struct params *p, bool first, struct sae_err *err)
{
    const size_t m = t->m, d = t->d;
    SAE_TRY(
        get_into(file, first ? "/optimizer/m_W_enc" : "/optimizer/v_W_enc", m, d, p->W_enc, err));
    SAE_TRY(
        get_into(file, first ? "/optimizer/m_W_dec" : "/optimizer/v_W_dec", m, d, p->W_dec, err));
    SAE_TRY(
        get_into(file, first ? "/optimizer/m_b_enc" : "/optimizer/v_b_enc", m, 0, p->b_enc, err));
    return get_into(file, first ? "/optimizer/m_b_dec" : "/optimizer/v_b_dec", d, 0, p->b_dec, err);
}

static enum sae_status get_batch(const struct sae_h5 *file, struct trainer *t, size_t age,
                                 struct sae_err *err)
{
    struct masks *const masks = &t->ring[(t->step - age) % t->ring_len];
    struct sae_str start_name = {0}, idx_name = {0};
    uint64_t *start = NULL;
    uint32_t *idx = NULL;
    size_t nnz = 0;
    const size_t want = t->n + 1, any = 0;
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&start_name, err, "/state/window_%05zu/start", age));
    SAE_GO(st, sae_str_printf(&idx_name, err, "/state/window_%05zu/idx", age));
    if (!sae_h5_has(file, start_name.s))
        goto done;
    SAE_GO(st, sae_h5_get(file, start_name.s, SAE_H5_U64, 1, &want, NULL, &start, err));
    SAE_GO(st, sae_h5_get(file, idx_name.s, SAE_H5_U32, 1, &any, &nnz, &idx, err));
    bool good = start[0] == 0 && start[t->n] == nnz;
    for (size_t r = 0; good && r < t->n; r++)
        good = start[r] <= start[r + 1];
    for (size_t e = 0; good && e < nnz; e++)
        good = idx[e] < t->m;
    if (!good) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s': %s is damaged", sae_h5_path(file), start_name.s);
        goto done;
    }
    SAE_GO(st, trainer_csr_grow(t, &masks->csr, nnz, err));
    masks->csr.n = t->n;
    for (size_t r = 0; r <= t->n; r++)
        masks->csr.start[r] = (size_t)start[r];
    memcpy(masks->csr.idx, idx, nnz * sizeof *idx);
    SAE_GO(st, trainer_masks_index(t, masks, err));
done:
    sae_str_clear(&start_name);
    sae_str_clear(&idx_name);
    free(start);
    free(idx);
    return st;
}

static enum sae_status get_state(const struct sae_h5 *file, struct run *run, struct sae_err *err)
{
    struct trainer *const t = run->t;
    uint64_t *idle = NULL;
    SAE_TRY(get_moments(file, t, &t->m1, true, err));
    SAE_TRY(get_moments(file, t, &t->m2, false, err));
    SAE_TRY(get_into(file, "/W_enc", t->m, t->d, t->w.W_enc, err));
    SAE_TRY(get_into(file, "/W_dec", t->m, t->d, t->w.W_dec, err));
    SAE_TRY(get_into(file, "/state/b_enc", t->m, 0, t->w.b_enc, err));
    SAE_TRY(get_into(file, "/state/b_dec", t->d, 0, t->w.b_dec, err));
    SAE_TRY(sae_h5_get(file, "/state/idle", SAE_H5_U64, 1, &t->m, NULL, &idle, err));
    memcpy(t->idle, idle, t->m * sizeof *idle);
    free(idle);
    SAE_TRY(sae_h5_attr_f64(file, "/state", "tau", &t->tau, err));
    SAE_TRY(sae_h5_attr_f64(file, "/state", "norm", &run->norm, err));
    if (t->set.arch == TRAIN_BATCHTOPK)
        SAE_TRY(sae_h5_attr_f64(file, "/state", "cut", &t->cut, err));
    for (size_t age = 1; age < t->ring_len && age <= t->step; age++)
        SAE_TRY(get_batch(file, t, age, err));
    return SAE_OK;
}

enum sae_status run_restore(struct run *run, const char *path, struct sae_err *err)
{
    struct sae_ckpt ckpt = {0};
    struct sae_h5 *file = NULL;
    struct trainer *const t = run->t;
    enum sae_status st;
    SAE_GO(st, sae_ckpt_load(&ckpt, path, err));
    if (ckpt.model.m != t->m || ckpt.model.d != t->d || ckpt.total_steps != t->set.steps ||
        ckpt.step > t->set.steps) {
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' does not fit its own record: d %zu, m %zu, %" PRIu64 " steps", path,
                         ckpt.model.d, ckpt.model.m, ckpt.total_steps);
        goto done;
    }
    t->step = ckpt.step;
    SAE_GO(st, series_restore(&run->series, &ckpt, err));
    SAE_GO(st, pair_log_restore(&run->pairs, &ckpt, err));
    SAE_GO(st, sae_h5_open(&file, path, KIND, err));
    SAE_GO(st, get_state(file, run, err));
done:
    sae_h5_close(file);
    sae_ckpt_clear(&ckpt);
    return st;
}
