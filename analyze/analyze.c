/* SPDX-License-Identifier: MIT */
/* analyze : measures one checkpoint.
 *
 * Contents:  1. directions   2. spectrum   3. masks   4. close pairs   5. the report */
#include "analyze/analyze.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/random.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/target.h"
#include "lib/file/result.h"
#include "lib/sae/import.h"

enum {
    MIN_FINE_BINS = 2000, /* quantiles and means of |cos| are read from these */
    NEAREST_BINS = 100,
    MAX_EDGES = 2000000 /* searched for triangles */
};

/* --- 1. directions ------------------------------------------------------------------------ */

static void summarise_rows(struct analyze_report *r, double *scratch)
{
    const size_t m = r->dec.m;
    for (size_t i = 0; i < m; i++) {
        scratch[i] = (double)r->dec.row_max[i];
        analyze_hist_add(&r->nearest, scratch[i]);
    }
    analyze_summary_of(&r->max_dec, scratch, m);
    for (size_t i = 0; i < m; i++)
        scratch[i] = fmax(fabs((double)r->dec.row_max[i]), fabs((double)r->dec.row_min[i]));
    analyze_summary_of(&r->max_abs_dec, scratch, m);
    for (size_t i = 0; i < m; i++)
        scratch[i] = (double)r->enc.row_max[i];
    analyze_summary_of(&r->max_enc, scratch, m);
}

static enum sae_status measure_directions(struct analyze_report *r, const struct sae_ops *ops,
                                          const struct analyze_settings *s, float *U,
                                          struct sae_err *err)
{
    const struct sae_model *model = &r->ckpt->model;
    const size_t m = model->m, d = model->d, n_bins = (size_t)s->n_bins;
    const size_t fine = (MIN_FINE_BINS + n_bins - 1) / n_bins * n_bins;
    double *scratch = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&scratch, m, sizeof *scratch, err));
    SAE_GO(st, analyze_hist_init(&r->dec_folded, -1, 1, n_bins, err));
    SAE_GO(st, analyze_hist_init(&r->nearest, -1, 1, NEAREST_BINS, err));
    /* the encoder first: U is left holding the decoder's rows */
    analyze_geom_unit(m, d, model->W_enc, U);
    SAE_GO(st, analyze_geom_cosines(&r->enc, ops, m, d, U, NEAREST_BINS, err));
    r->n_zero_rows = analyze_geom_unit(m, d, model->W_dec, U);
    SAE_GO(st, analyze_geom_cosines(&r->dec, ops, m, d, U, fine, err));
    analyze_hist_fold(&r->dec_folded, &r->dec.hist);
    analyze_geom_paired(m, d, model->W_enc, model->W_dec, scratch);
    analyze_summary_of(&r->enc_dec, scratch, m);
    summarise_rows(r, scratch);
done:
    free(scratch);
    return st;
}

/* --- 2. spectrum -------------------------------------------------------------------------- */

static struct analyze_baseline baseline_of(size_t m, size_t d)
{
    const double M = (double)m, D = (double)d;
    return (struct analyze_baseline){
        .std = 1 / sqrt(D),
        .mean_abs = analyze_random_mean_abs_cos(D),
        .max_dec = analyze_random_max_cos(M - 1, D),
        .max_abs_dec = analyze_random_max_abs_cos(M - 1, D),
        .coherence = analyze_random_max_abs_cos(0.5 * M * (M - 1), D),
        .welch = analyze_welch_bound(M, D),
        .frame = analyze_random_frame(M, D),
        .frame_bound = analyze_frame_bound(M, D),
    };
}

static enum sae_status measure_spectrum(struct analyze_report *r, const struct sae_ops *ops,
                                        const float *U, struct sae_err *err)
{
    const size_t m = r->ckpt->model.m, d = r->ckpt->model.d;
    SAE_TRY(sae_mem_alloc(&r->eig, d, sizeof *r->eig, err));
    SAE_TRY(sae_mem_alloc(&r->random_eig, d, sizeof *r->random_eig, err));
    SAE_TRY(analyze_spectrum_eigenvalues(ops, m, d, U, r->eig, err));
    analyze_spectrum_ranks(&r->ranks, r->eig, d, m);
    analyze_random_eigenvalues(m, d, r->random_eig);
    analyze_spectrum_ranks(&r->random_ranks, r->random_eig, d, m);
    r->base = baseline_of(m, d);
    return SAE_OK;
}

/* --- 3. masks ----------------------------------------------------------------------------- */

static enum sae_status measure_masks(struct analyze_report *r, const struct sae_ops *ops,
                                     const struct analyze_settings *s, const float *U,
                                     struct sae_err *err)
{
    const struct sae_model *model = &r->ckpt->model;
    if (s->weights_only || (r->ckpt->heldout.n_rows == 0 && sae_import_of(r->ckpt) != NULL))
        return SAE_OK;
    if (r->ckpt->heldout.n_rows == 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' has no held-out masks (group /heldout); use --weights-only to "
                           "measure directions without overlaps, or train again with sae-train",
                           r->ckpt->path);
    if (analyze_usage_make(&r->usage, model->m, &r->ckpt->heldout, err) != SAE_OK)
        return sae_err_prefix(err, "cannot use '%s'", r->ckpt->path);
    const struct analyze_cooc_settings settings = {
        .floor = s->floor,
        .run = analyze_rule_of(r->ckpt),
        .reference = analyze_rule_reference(),
    };
    SAE_TRY(analyze_cooc_make(&r->cooc, ops, model->m, model->d, U, &r->ckpt->heldout, &r->usage,
                              &settings, err));
    r->has_masks = true;
    return SAE_OK;
}

/* --- 4. close pairs ----------------------------------------------------------------------- */

/* Tokens on which both latents of each close pair are active; rows of the masks ascend. */
static void count_together(struct analyze_report *r)
{
    const struct sae_masks *masks = &r->ckpt->heldout;
    for (size_t p = 0; p < r->n_close; p++) {
        struct analyze_close *close = &r->close[p];
        close->n_i = r->usage.n[close->edge.i];
        close->n_j = r->usage.n[close->edge.j];
        for (size_t t = 0; t < masks->n_rows; t++) {
            int both = 0;
            for (uint64_t e = masks->start[t]; e < masks->start[t + 1]; e++)
                both += masks->idx[e] == close->edge.i || masks->idx[e] == close->edge.j;
            close->n_ij += both == 2;
        }
    }
}

static enum sae_status find_close(struct analyze_report *r, const struct sae_ops *ops,
                                  const struct analyze_settings *s, const float *U,
                                  struct sae_err *err)
{
    const size_t m = r->ckpt->model.m, d = r->ckpt->model.d;
    bool *some = NULL; /* latents whose pairs count among the overlaps */
    SAE_TRY(sae_mem_alloc(&some, m, sizeof *some, err));
    for (size_t i = 0; r->has_masks && i < m; i++)
        some[i] = r->usage.n[i] >= s->floor && r->usage.n[i] > 0;
    const enum sae_status st = analyze_graph_make(&r->graph, ops, m, d, U, some, (size_t)s->n_top,
                                                  MAX_EDGES, s->duplicate, err);
    free(some);
    SAE_TRY(st);
    analyze_geom_moments(&r->moments, &r->dec, U, r->ranks.frame_potential, r->graph.sum_abs);
    if (r->has_masks)
        analyze_cooc_never(&r->cooc, r->graph.sum_abs_some);
    r->n_duplicates = r->graph.n_above;
    r->n_antiparallel = r->graph.n_below;
    SAE_TRY(sae_mem_alloc(&r->close, r->graph.n_top, sizeof *r->close, err));
    for (r->n_close = 0; r->n_close < r->graph.n_top; r->n_close++)
        r->close[r->n_close].edge = r->graph.top[r->n_close];
    if (r->has_masks)
        count_together(r);
    return SAE_OK;
}

/* --- 5. the report ------------------------------------------------------------------------ */

void analyze_report_clear(struct analyze_report *r)
{
    free(r->run);
    free(r->name);
    analyze_geom_clear(&r->dec);
    analyze_geom_clear(&r->enc);
    analyze_hist_clear(&r->dec_folded);
    analyze_hist_clear(&r->nearest);
    free(r->eig);
    free(r->random_eig);
    analyze_graph_clear(&r->graph);
    free(r->close);
    analyze_sample_clear(&r->sample);
    analyze_usage_clear(&r->usage);
    analyze_cooc_clear(&r->cooc);
    memset(r, 0, sizeof *r);
}

static enum sae_status name_report(struct analyze_report *r, const char *path, struct sae_err *err)
{
    SAE_TRY(sae_target_run_name(&r->run, path, 0, err));
    SAE_TRY(sae_mem_strdup(&r->name, sae_fs_base(path), err));
    r->name[sae_result_stem(r->name)] = '\0';
    return SAE_OK;
}

/* Between two parts: notices a signal, and says what comes next. */
static enum sae_status next_part(const struct analyze_settings *s, const char *what,
                                 struct sae_err *err)
{
    if (sae_stop_asked())
        return sae_err_set(err, SAE_EINTR, "stopped before %s", what);
    if (s->stage != NULL)
        s->stage(what);
    return SAE_OK;
}

/* The masks that overlaps are counted on. */
static enum sae_status find_masks(struct sae_ckpt *ckpt, const struct sae_ops *ops,
                                  const struct analyze_settings *s, struct sae_err *err)
{
    if (s->weights_only)
        return SAE_OK;
    if (s->measures_masks) {
        free(ckpt->heldout.start);
        free(ckpt->heldout.idx);
        free(ckpt->heldout.val);
        ckpt->heldout = (struct sae_masks){0};
        return analyze_measure_masks(ckpt, (size_t)s->n_tokens, ops, err);
    }
    if (sae_import_of(ckpt))
        sae_log_warn("'%s' holds no activations, so overlaps are left out; name a store of its "
                     "model and layer with --acts DIR to measure them",
                     ckpt->path);
    return SAE_OK;
}

enum sae_status analyze_report_make(struct analyze_report *ret, struct sae_ckpt *ckpt,
                                    const struct sae_ops *ops,
                                    const struct analyze_settings *settings, struct sae_err *err)
{
    enum sae_status st;
    struct analyze_report r = {.ckpt = ckpt};
    float *U = NULL;
    SAE_GO(st, name_report(&r, ckpt->path, err));
    SAE_GO(st, find_masks(ckpt, ops, settings, err));
    const size_t m = ckpt->model.m, d = ckpt->model.d;
    if (m < 2) {
        st = sae_err_set(err, SAE_ERANGE,
                             "cannot analyze '%s': it has %zu latent, and pairs need two",
                             ckpt->path, m);
        goto done;
    }
    SAE_GO(st, sae_mem_alloc(&U, m * d, sizeof *U, err));
    SAE_GO(st, next_part(settings, "cosines of all pairs", err));
    SAE_GO(st, measure_directions(&r, ops, settings, U, err));
    SAE_GO(st, next_part(settings, "Gram eigenvalues", err));
    SAE_GO(st, measure_spectrum(&r, ops, U, err));
    SAE_GO(st, next_part(settings, "overlaps", err));
    SAE_GO(st, measure_masks(&r, ops, settings, U, err));
    SAE_GO(st, next_part(settings, "close pairs", err));
    SAE_GO(st, find_close(&r, ops, settings, U, err));
    SAE_GO(st, analyze_sample_make(&r.sample, m, d, U, r.has_masks ? &r.usage : NULL,
                                       (size_t)settings->n_sample, err));
    *ret = r;
    memset(&r, 0, sizeof r);
done:
    free(U);
    analyze_report_clear(&r);
    return st;
}
