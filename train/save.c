/* SPDX-License-Identifier: MIT */
/* save : a checkpoint of a run, and its exact restoration. What is marked * stands only in files from
 * which a run can be resumed: state.h5, and with --full-checkpoints all.
 *
 * * /optimizer/m_<array>, v_<array>   Adam's moments, shaped as the arrays
 *   /state/idle u64 [m]               tokens since each latent was active
 *   /state/b_enc, b_dec               biases in training units (the top-level ones take raw
 *                                     activations: they are multiplied by the norm); gated:
 *                                     b_gate, b_dec, b_mag, r_mag; jumprelu: threshold too
 * * /state/W_dec_start f32 [m][d]     with --freeze soft: the rows that it is held to
 * * /state/anneal f64 [2 + 2 LP_KEPT]  weight of the lp term, batches kept, their means now and next
 * * /state/partners f64 [2][tiles]    with the term: struct trainer
 * * /state/window_<age>/start, idx    masks of recent batches (--overlap-window above 1)
 *   attributes of /state              norm, tau (-1 before the first step), position (tokens),
 *                                     cut (batchtopk, matryoshka; -1 before there is one),
 *                                     resumable (1 or 0: whether * is there), step_version
 *
 * Contents: 1. writing   2. reading */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "train/run.h"

static const char KIND[] = "checkpoint";

/* Grows when a step comes to other bits than before: a run is not gone on with by another one. Files
 * of 0.1.0 have no such number. */
enum { STEP_VERSION = 2 };

/* --- 1. writing --------------------------------------------------------------------------- */

static enum sae_status put_moments(struct sae_h5 *file, const struct trainer *t,
                                   const struct params *p, const char *prefix, struct sae_err *err)
{
    struct param_array all[PARAM_ARRAYS];
    const size_t n = trainer_params(t, p, all);
    struct sae_str name = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < n; i++) {
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

static enum sae_status put_biases(struct sae_h5 *file, const struct trainer *t, struct sae_err *err)
{
    struct param_array all[PARAM_ARRAYS];
    const size_t n = trainer_params(t, &t->w, all);
    struct sae_str name = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < n; i++) {
        if (all[i].cols)
            continue;
        sae_str_clear(&name);
        SAE_GO(st, sae_str_printf(&name, err, "/state/%s", all[i].name));
        SAE_GO(st, sae_h5_put1(file, name.s, SAE_H5_F32, all[i].rows, all[i].data, err));
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

static enum sae_status put_anneal(struct sae_h5 *file, const struct lp *lp, struct sae_err *err)
{
    double all[2 + 2 * LP_KEPT] = {lp->weight, (double)lp->n_kept};
    memcpy(all + 2, lp->kept, sizeof lp->kept);
    memcpy(all + 2 + LP_KEPT, lp->kept_next, sizeof lp->kept_next);
    return sae_h5_put1(file, "/state/anneal", SAE_H5_F64, 2 + 2 * LP_KEPT, all, err);
}

/* What only a resume needs. */
static enum sae_status put_rest(struct sae_h5 *file, const struct trainer *t, struct sae_err *err)
{
    SAE_TRY(put_moments(file, t, &t->m1, "m", err));
    SAE_TRY(put_moments(file, t, &t->m2, "v", err));
    SAE_TRY(put_window(file, t, err));
    if (t->start)
        SAE_TRY(sae_h5_put2(file, "/state/W_dec_start", SAE_H5_F32, t->m, t->d, t->start, err));
    if (settings_has_lp(&t->set))
        SAE_TRY(put_anneal(file, &t->lp, err));
    if (!t->partners)
        return SAE_OK;
    const size_t dims[2] = {2, t->n_tiles};
    return sae_h5_put(file, "/state/partners", SAE_H5_F64, 2, dims, t->partners, err);
}

static enum sae_status put_state(struct sae_h5 *file, const struct run *run, bool full,
                                 struct sae_err *err)
{
    const struct trainer *const t = run->t;
    if (full)
        SAE_TRY(put_rest(file, t, err));
    SAE_TRY(sae_h5_put1(file, "/state/idle", SAE_H5_U64, t->m, t->idle, err));
    SAE_TRY(put_biases(file, t, err));
    SAE_TRY(sae_h5_attr_put_u64(file, "/state", "resumable", full, err));
    SAE_TRY(sae_h5_attr_put_u64(file, "/state", "step_version", STEP_VERSION, err));
    SAE_TRY(sae_h5_attr_put_f64(file, "/state", "norm", run->norm, err));
    SAE_TRY(sae_h5_attr_put_f64(file, "/state", "tau", t->tau, err));
    if (settings_has_cut(&t->set))
        SAE_TRY(sae_h5_attr_put_f64(file, "/state", "cut", t->cut, err));
    return sae_h5_attr_put_u64(file, "/state", "position", t->step * t->n, err);
}

/* The autoencoder as others use it, on raw activations: everything that is added or compared to an
 * activation is scaled. The matrices are the trainer's own. */
static enum sae_status fold(const struct run *run, struct sae_model *ret, struct sae_err *err)
{
    const struct trainer *const t = run->t;
    struct param_array all[PARAM_ARRAYS];
    const size_t n_arrays = trainer_params(t, &t->w, all);
    struct sae_model model = {.arch = settings_model_arch(&t->set),
                              .d = t->d,
                              .m = t->m,
                              .k = (size_t)trainer_k(t),
                              .subtract_b_dec = settings_arch(&t->set)->subtracts_b_dec};
    enum sae_status st;
    for (size_t i = 0; i < n_arrays; i++) {
        const struct sae_weight *const w = sae_weight_find(all[i].name);
        float **const to = sae_weight_of(&model, w);
        const double norm = w->in_units ? run->norm : 1;
        if (all[i].cols)
            continue;
        SAE_GO(st, sae_mem_alloc(to, all[i].rows, sizeof **to, err));
        for (size_t j = 0; j < all[i].rows; j++)
            (*to)[j] = (float)((double)all[i].data[j] * norm);
    }
    if (settings_has_cut(&t->set)) {
        SAE_GO(st, sae_mem_alloc(&model.threshold, t->m, sizeof *model.threshold, err));
        for (size_t j = 0; j < t->m; j++)
            model.threshold[j] = (float)(t->cut < 0 ? t->cut : t->cut * run->norm);
    }
    *ret = model;
    ret->W_enc = t->w.W_enc;
    ret->W_dec = t->w.W_dec;
    return SAE_OK;
done:
    sae_model_clear(&model);
    return st;
}

static void fold_clear(struct sae_model *model)
{
    model->W_enc = model->W_dec = NULL;
    sae_model_clear(model);
}

static enum sae_status write_file(const struct run *run, const struct sae_ckpt *ckpt,
                                  const char *path, bool full, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    char *text = NULL;
    enum sae_status st;
    SAE_GO(st, sae_record_text(&text, run->plan->record, err));
    SAE_GO(st, sae_h5_create(&file, path, KIND, true, err));
    SAE_GO(st, sae_ckpt_put(file, ckpt, err));
    SAE_GO(st, put_state(file, run, full, err));
    SAE_GO(st, sae_h5_commit(&file, text, err));
done:
    sae_h5_close(file);
    free(text);
    return st;
}

static enum sae_status check_finite(const struct trainer *t, struct sae_err *err)
{
    const struct {
        const char *name;
        const float *v;
    } all[] = {{"weights", t->w.all}, {"first moments", t->m1.all}, {"second moments", t->m2.all}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!isfinite(t->ops->sum_sq(t->w.n, all[i].v)))
            return sae_err_set(err, SAE_ERANGE, "%s are not finite after step %" PRIu64,
                               all[i].name, t->step);
    return SAE_OK;
}

enum sae_status run_save(struct run *run, const char *path, bool full, struct sae_err *err)
{
    struct trainer *const t = run->t;
    char *names[SERIES_N];
    double *values[SERIES_N];
    struct sae_ckpt ckpt = {.step = t->step,
                            .total_steps = t->set.steps,
                            .seed = t->set.seed,
                            .progress = (double)t->step / (double)t->set.steps};
    enum sae_status st;
    if (run->plan->lock)
        SAE_TRY(sae_lock_check(run->plan->lock, err));
    SAE_TRY(trainer_fetch(t, true, err));
    SAE_TRY(check_finite(t, err));
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
    sae_h5_lock();
    st = write_file(run, &ckpt, path, full, err);
    sae_h5_unlock();
done:
    fold_clear(&ckpt.model);
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
                                   const struct params *p, const char *prefix, struct sae_err *err)
{
    struct param_array all[PARAM_ARRAYS];
    const size_t n = trainer_params(t, p, all);
    struct sae_str name = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < n; i++) {
        sae_str_clear(&name);
        SAE_GO(st, sae_str_printf(&name, err, "/optimizer/%s_%s", prefix, all[i].name));
        SAE_GO(st, get_into(file, name.s, all[i].rows, all[i].cols, all[i].data, err));
    }
done:
    sae_str_clear(&name);
    return st;
}

/* The vectors of all parameters, in training units. */
static enum sae_status get_biases(const struct sae_h5 *file, const struct trainer *t,
                                  struct sae_err *err)
{
    struct param_array all[PARAM_ARRAYS];
    const size_t n = trainer_params(t, &t->w, all);
    struct sae_str name = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < n; i++) {
        if (all[i].cols)
            continue;
        sae_str_clear(&name);
        SAE_GO(st, sae_str_printf(&name, err, "/state/%s", all[i].name));
        SAE_GO(st, get_into(file, name.s, all[i].rows, 0, all[i].data, err));
    }
done:
    sae_str_clear(&name);
    return st;
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

static enum sae_status get_anneal(const struct sae_h5 *file, struct trainer *t, struct sae_err *err)
{
    const size_t want = 2 + 2 * LP_KEPT;
    double *all = NULL;
    SAE_TRY(sae_h5_get(file, "/state/anneal", SAE_H5_F64, 1, &want, NULL, &all, err));
    const bool good = all[1] >= 0 && all[1] <= LP_KEPT;
    lp_resume(t);
    t->lp.weight = all[0];
    t->lp.n_kept = good ? (size_t)all[1] : 0;
    memcpy(t->lp.kept, all + 2, sizeof t->lp.kept);
    memcpy(t->lp.kept_next, all + 2 + LP_KEPT, sizeof t->lp.kept_next);
    free(all);
    return good ? SAE_OK
                : sae_err_set(err, SAE_EFORMAT, "'%s': /state/anneal is damaged",
                              sae_h5_path(file));
}

/* A run of the cpu that goes on here has none. */
static enum sae_status get_partners(const struct sae_h5 *file, struct trainer *t,
                                    struct sae_err *err)
{
    const size_t want[2] = {2, t->n_tiles};
    double *all = NULL;
    if (!sae_h5_has(file, "/state/partners"))
        return SAE_OK;
    SAE_TRY(sae_h5_get(file, "/state/partners", SAE_H5_F64, 2, want, NULL, &all, err));
    memcpy(t->partners, all, 2 * t->n_tiles * sizeof *all);
    free(all);
    return SAE_OK;
}

static enum sae_status get_state(const struct sae_h5 *file, struct run *run, struct sae_err *err)
{
    struct trainer *const t = run->t;
    uint64_t *idle = NULL;
    SAE_TRY(get_moments(file, t, &t->m1, "m", err));
    SAE_TRY(get_moments(file, t, &t->m2, "v", err));
    SAE_TRY(get_into(file, "/W_enc", t->m, t->d, t->w.W_enc, err));
    SAE_TRY(get_into(file, "/W_dec", t->m, t->d, t->w.W_dec, err));
    SAE_TRY(get_biases(file, t, err));
    SAE_TRY(sae_h5_get(file, "/state/idle", SAE_H5_U64, 1, &t->m, NULL, &idle, err));
    memcpy(t->idle, idle, t->m * sizeof *idle);
    free(idle);
    SAE_TRY(sae_h5_attr_f64(file, "/state", "tau", &t->tau, err));
    SAE_TRY(sae_h5_attr_f64(file, "/state", "norm", &run->norm, err));
    if (settings_has_cut(&t->set))
        SAE_TRY(sae_h5_attr_f64(file, "/state", "cut", &t->cut, err));
    if (t->start)
        SAE_TRY(get_into(file, "/state/W_dec_start", t->m, t->d, t->start, err));
    if (settings_has_lp(&t->set))
        SAE_TRY(get_anneal(file, t, err));
    if (t->partners)
        SAE_TRY(get_partners(file, t, err));
    for (size_t age = 1; age < t->ring_len && age <= t->step; age++)
        SAE_TRY(get_batch(file, t, age, err));
    return SAE_OK;
}

static enum sae_status check_step(const struct run *run, const struct sae_h5 *file,
                                  struct sae_err *err)
{
    uint64_t version = 1;
    if (sae_h5_attr_has(file, "/state", "step_version"))
        SAE_TRY(sae_h5_attr_u64(file, "/state", "step_version", &version, err));
    if (version == STEP_VERSION)
        return SAE_OK;
    return sae_err_set(err, SAE_EVERSION,
                       "'%s' was begun by %s version of saekit, whose sums are in another order: the "
                       "run would not come to equal bytes. Finish it with that version, or begin it "
                       "again in a new folder with the command in '%s' (its checkpoints are read as "
                       "ever)",
                       sae_h5_path(file), version < STEP_VERSION ? "an older" : "a newer",
                       run->plan->dir);
}

/* What another run left in the folder is not this run's. */
static enum sae_status check_record(const struct run *run, const struct sae_h5 *file,
                                    struct sae_err *err)
{
    json_t *record = NULL;
    SAE_TRY(sae_json_parse(&record, sae_h5_record(file), sae_h5_path(file), err));
    const bool same = json_equal(record, run->plan->record);
    json_decref(record);
    return same ? SAE_OK
                : sae_err_set(err, SAE_EFORMAT, "'%s' was made by another run than '%s' is",
                              sae_h5_path(file), run->plan->dir);
}

enum sae_status run_state_info(const char *path, uint64_t *ret_step, bool *ret_full, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    uint64_t step = 0;
    enum sae_status st;
    SAE_GO(st, sae_h5_open(&file, path, KIND, err));
    SAE_GO(st, sae_h5_attr_u64(file, "/", "step", &step, err));
    *ret_step = step;
    *ret_full = sae_h5_has(file, "/optimizer");
done:
    sae_h5_close(file);
    return st;
}

/* The file is opened once: another one may take its name meanwhile. */
enum sae_status run_restore(struct run *run, const char *path, struct sae_err *err)
{
    struct sae_ckpt ckpt = {0};
    struct sae_h5 *file = NULL;
    struct trainer *const t = run->t;
    enum sae_status st;
    SAE_GO(st, sae_h5_open(&file, path, KIND, err));
    SAE_GO(st, sae_ckpt_get(&ckpt, file, err));
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
    SAE_GO(st, check_record(run, file, err));
    SAE_GO(st, check_step(run, file, err));
    SAE_GO(st, get_state(file, run, err));
done:
    sae_h5_close(file);
    sae_ckpt_clear(&ckpt);
    return st;
}
