/* SPDX-License-Identifier: MIT */
/* result : what the result of a report is made of.
 *
 * Contents:  1. helpers   2. metrics   3. histograms and matrices   4. close pairs
 *            5. the whole */
#include <math.h>

#include "analyze/metrics.h"
#include "analyze/tally.h"
#include "lib/eval/output.h"
#include "lib/file/json.h"

/* --- 1. helpers --------------------------------------------------------------------------- */

static json_t *reals(const double *values, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(array, sae_json_number(values[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *counts(const uint64_t *values, size_t n)
{
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(array, json_integer((json_int_t)values[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

/* {lo, hi, n, scale, counts}, with groups of `fold` bins added up. scale: "linear", "log10". */
static json_t *histogram(const struct analyze_hist *hist, size_t fold, const char *scale)
{
    struct analyze_hist folded = {0};
    if (analyze_hist_init(&folded, hist->lo, hist->hi, hist->n / fold, NULL) != SAE_OK)
        return NULL;
    analyze_hist_fold(&folded, hist);
    json_t *made =
        json_pack("{s:f, s:f, s:I, s:s, s:o}", "lo", hist->lo, "hi", hist->hi, "n",
                  (json_int_t)folded.n, "scale", scale, "counts", counts(folded.count, folded.n));
    analyze_hist_clear(&folded);
    return made;
}

/* --- 2. metrics --------------------------------------------------------------------------- */

static json_t *overlap(const struct analyze_report *r)
{
    const struct analyze_cooc *const c = &r->cooc;
    json_t *made = analyze_metrics_json(r, "overlap");
    if (made != NULL) { /* how far a percentile may be from the value that has its rank */
        json_object_set_new(made, "percentile_resolution",
                            sae_json_number(1.0 / ANALYZE_UNIT_BINS));
        json_object_set_new(made, "percentile_resolution_log10",
                            sae_json_number(1.0 / ANALYZE_DECADE_BINS));
    }
    for (int kind = 0; made != NULL && kind < SAE_OVERLAP_N; kind++) {
        const struct analyze_overlap *of = &c->of[kind];
        const struct {
            const char *key;
            double value;
        } parts[] = {
            {"mean",          of->mean    },
            {"median",        of->median  },
            {"p95",           of->p95     },
            {"mean_over_all", of->mean_all},
            {"independent",   of->expected}
        };
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            char key[64];
            snprintf(key, sizeof key, "%s_%s", sae_overlap_names[kind], parts[i].key);
            json_object_set_new(made, key, sae_json_number(parts[i].value));
        }
    }
    return made;
}

static json_t *metrics_of(const struct analyze_report *r)
{
    json_t *all = json_pack("{s:o, s:o}", "separation", analyze_metrics_json(r, "separation"),
                            "spectrum", analyze_metrics_json(r, "spectrum"));
    if (all == NULL || !r->has_masks)
        return all;
    json_object_set_new(all, "overlap", overlap(r));
    json_object_set_new(all, "competition", analyze_metrics_json(r, "competition"));
    json_object_set_new(all, "usage", analyze_metrics_json(r, "usage"));
    return json_object_size(all) == 5 ? all : NULL;
}

/* --- 3. histograms and matrices ----------------------------------------------------------- */

static json_t *overlap_histograms(const struct analyze_cooc *c)
{
    json_t *all = json_object();
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        const struct analyze_overlap *of = &c->of[kind];
        json_object_set_new(all, sae_overlap_names[kind],
                            of->log10_bins ? histogram(&of->hist, 10, "log10")
                                           : histogram(&of->hist, 20, "linear"));
    }
    return all;
}

static json_t *joint_map(const struct analyze_joint *joint)
{
    json_t *rows = json_array();
    for (size_t row = 0; row < joint->n_overlap; row++)
        json_array_append_new(rows, counts(joint->met + row * joint->n_cos, joint->n_cos));
    return json_pack("{s:[f, f], s:[f, f], s:o, s:o, s:o}", "cosine_range", -1.0, 1.0,
                     "overlap_range", 0.0, 1.0, "counts", rows, "never",
                     reals(joint->never, joint->n_cos), "mean_abs_cosine",
                     reals(joint->mean_abs, joint->n_overlap));
}

static json_t *sample_matrix(const struct analyze_sample *sample)
{
    json_t *latents = json_array(), *rows = json_array();
    for (size_t r = 0; r < sample->n; r++) {
        json_array_append_new(latents, json_integer((json_int_t)sample->latent[r]));
        json_t *row = json_array();
        for (size_t c = 0; c < sample->n; c++)
            json_array_append_new(row, json_real((double)sample->cos[r * sample->n + c]));
        json_array_append_new(rows, row);
    }
    return json_pack("{s:o, s:o}", "latents", latents, "cosines", rows);
}

static json_t *graph_levels(const struct analyze_graph *graph)
{
    json_t *levels = json_array();
    for (size_t level = 0; level < ANALYZE_GRAPH_LEVELS; level++)
        json_array_append_new(levels, json_pack("{s:f, s:I, s:f, s:o}", "threshold",
                                                analyze_graph_threshold(level), "edges",
                                                (json_int_t)graph->n_edges[level], "density",
                                                graph->density[level], "clustering",
                                                sae_json_number(graph->clustering[level])));
    return levels;
}

static json_t *unstructured_of(const struct analyze_report *r)
{
    json_t *all =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "cosine_histogram",
                  histogram(&r->dec_folded, 1, "linear"), "nearest_cosine_histogram",
                  histogram(&r->nearest, 1, "linear"), "eigenvalues", reals(r->eig, r->dec.d),
                  "random_eigenvalues", reals(r->random_eig, r->dec.d), "sample",
                  sample_matrix(&r->sample), "graph", graph_levels(&r->graph));
    if (all == NULL || !r->has_masks)
        return all;
    json_object_set_new(all, "density_histogram", histogram(&r->usage.hist, 1, "log10"));
    json_object_set_new(all, "overlap_histograms", overlap_histograms(&r->cooc));
    json_object_set_new(all, "joint_cosine_overlap", joint_map(&r->cooc.joint));
    return json_object_size(all) == 9 ? all : NULL;
}

/* --- 4. close pairs ----------------------------------------------------------------------- */

static json_t *details_of(const struct analyze_report *r)
{
    json_t *rows = json_array();
    for (size_t p = 0; p < r->n_close; p++) {
        const struct analyze_close *c = &r->close[p];
        const uint64_t least = c->n_i < c->n_j ? c->n_i : c->n_j;
        json_t *row = json_pack("{s:I, s:I, s:f}", "i", (json_int_t)c->edge.i, "j",
                                (json_int_t)c->edge.j, "cosine", (double)c->edge.cos);
        if (r->has_masks && row != NULL) {
            json_object_set_new(row, "n_i", json_integer((json_int_t)c->n_i));
            json_object_set_new(row, "n_j", json_integer((json_int_t)c->n_j));
            json_object_set_new(row, "n_ij", json_integer((json_int_t)c->n_ij));
            json_object_set_new(row, "overlap",
                                sae_json_number(least > 0 ? (double)c->n_ij / (double)least : NAN));
        }
        json_array_append_new(rows, row);
    }
    return rows;
}

/* --- 5. the whole ------------------------------------------------------------------------- */

static json_t *versions_of(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "max_decoder_cosine_sim",
                     "max over j != i of cos(W_dec_i, W_dec_j), signed (SAEBench core)",
                     "effective_rank", "exp(H(s / sum s)), s = sqrt of the Gram eigenvalues",
                     "participation_ratio", "(sum l)^2 / sum l^2", "stable_rank", "sum l / max l",
                     "random",
                     "independent cosines of uniform directions; eigenvalues Marchenko-Pastur",
                     "independent", "hypergeometric n_ij with the observed n_i, n_j", "orth_loss",
                     "sum over i < j of c_ij |cos_ij| on the held-out masks");
}

static json_t *config_of(const struct analyze_settings *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:b}", "bins", (json_int_t)s->n_bins, "floor",
                     (json_int_t)s->floor, "sample", (json_int_t)s->n_sample, "top",
                     (json_int_t)s->n_top, "duplicate", s->duplicate, "weights_only",
                     s->weights_only);
}

/* What every result says of its checkpoint, and its sizes. */
static enum sae_status checkpoint_of(json_t **ret, const struct sae_ckpt *c, struct sae_err *err)
{
    json_t *made = NULL;
    SAE_TRY(sae_output_checkpoint(&made, c, err));
    json_t *const sizes =
        json_pack("{s:I, s:I, s:I, s:I, s:o}", "total_steps", (json_int_t)c->total_steps, "d",
                  (json_int_t)c->model.d, "m", (json_int_t)c->model.m, "k", (json_int_t)c->model.k,
                  "seed", sae_json_whole(c->seed));
    const int bad = sizes == NULL || json_object_update(made, sizes) != 0;
    json_decref(sizes);
    if (bad) {
        json_decref(made);
        return sae_err_set(err, SAE_ENOMEM, "out of memory describing '%s'", c->path);
    }
    *ret = made;
    return SAE_OK;
}

enum sae_status analyze_result_parts(struct sae_result_parts *ret,
                                     const struct analyze_report *report,
                                     const struct analyze_settings *settings, struct sae_err *err)
{
    json_t *const options = json_object_get(report->ckpt->record, "options");
    json_t *checkpoint = NULL;
    SAE_TRY(checkpoint_of(&checkpoint, report->ckpt, err));
    *ret = (struct sae_result_parts){.config = config_of(settings),
                                     .metrics = metrics_of(report),
                                     .details = details_of(report),
                                     .unstructured = unstructured_of(report),
                                     .sae_cfg = options ? json_incref(options) : json_object(),
                                     .versions = versions_of(),
                                     .checkpoint = checkpoint};
    return SAE_OK;
}
