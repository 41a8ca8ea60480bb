/* SPDX-License-Identifier: MIT */
/* outcome : the result JSON of a report.
 *
 * Contents:  1. helpers   2. metrics   3. histograms and matrices   4. close pairs
 *            5. the envelope */
#include <math.h>

#include "analyze/analyze.h"
#include "analyze/tally.h"
#include "lib/base/fs.h"
#include "lib/eval/output.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/file/result.h"

/* --- 1. helpers --------------------------------------------------------------------------- */

struct entry {
    const char *key;
    double value;
};

static json_t *object_of(const struct entry *entries, size_t n)
{
    json_t *object = json_object();
    for (size_t i = 0; i < n; i++)
        if (json_object_set_new(object, entries[i].key, sae_json_number(entries[i].value)) != 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}
#define OBJECT_OF(entries) object_of(entries, sizeof(entries) / sizeof *(entries))

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

static json_t *separation(const struct analyze_report *r)
{
    const struct analyze_baseline b = analyze_baseline_of(r->dec.m, r->dec.d);
    const struct entry entries[] = {
        {"average_max_decoder_cosine_sim",            r->max_dec.mean                    },
        {"median_max_decoder_cosine_sim",             r->max_dec.median                  },
        {"p95_max_decoder_cosine_sim",                r->max_dec.p95                     },
        {"average_max_abs_decoder_cosine_sim",        r->max_abs_dec.mean                },
        {"average_max_encoder_cosine_sim",            r->max_enc.mean                    },
        {"average_encoder_decoder_cosine_sim",        r->enc_dec.mean                    },
        {"coherence",                                 r->moments.coherence               },
        {"mean_cosine",                               r->moments.mean                    },
        {"std_cosine",                                r->moments.std                     },
        {"mean_abs_cosine",                           r->moments.mean_abs                },
        {"share_abs_cosine_over_0.1",                 analyze_geom_share_abs(&r->dec.hist, 0.1)},
        {"share_abs_cosine_over_0.2",                                           analyze_geom_share_abs(&r->dec.hist,                                                    0.2)},
        {"share_abs_cosine_over_0.5",                                       analyze_geom_share_abs(&r->dec.hist,                       0.5)},
        {"duplicate_pairs",(double)r->n_duplicates},
        {"antiparallel_pairs",                        (double)r->n_antiparallel          },
        {"clustering_0.3",                           r->graph.clustering[1]                                                                     },
        {"edge_density_0.3",                            r->graph.density[1]              },
        {"zero_decoder_rows",                          (double)r->n_zero_rows              },
        {"random_average_max_decoder_cosine_sim",                         b.max_dec            },
        {"random_average_max_abs_decoder_cosine_sim",     b.max_abs_dec      },
        {"random_coherence", b.coherence                  },
        {"random_std_cosine",                          b.std                                                 },
        {"random_mean_abs_cosine",                         b.mean_abs                             },
        {"welch_bound",                    b.welch                    },
    };
    return OBJECT_OF(entries);
}

static json_t *spectrum(const struct analyze_report *r)
{
    const struct analyze_ranks *a = &r->ranks, *b = &r->random_ranks;
    const struct analyze_baseline base = analyze_baseline_of(r->dec.m, r->dec.d);
    const struct entry entries[] = {
        {"effective_rank",                    a->effective                         },
        {"participation_ratio",               a->participation                     },
        {"stable_rank",                       a->stable                            },
        {"largest_eigenvalue",                a->largest                           },
        {"smallest_eigenvalue",               a->smallest                          },
        {"frame_potential",                   a->frame_potential                   },
        {"frame_potential_over_bound",        a->frame_potential / base.frame_bound},
        {"off_diagonal_frobenius",            a->off_diagonal                      },
        {"random_effective_rank",             b->effective                         },
        {"random_participation_ratio",        b->participation                     },
        {"random_stable_rank",                b->stable                            },
        {"random_frame_potential_over_bound", base.frame / base.frame_bound        },
    };
    return OBJECT_OF(entries);
}

static json_t *usage(const struct analyze_usage *u)
{
    const struct entry entries[] = {
        {"tokens",                          (double)u->n_tokens},
        {"l0",                              u->l0              },
        {"dead_latents",                    (double)u->n_dead  },
        {"frac_alive",                      u->frac_alive      },
        {"median_density_alive",            u->median_alive    },
        {"freq_over_1_percent",             u->over_1          },
        {"freq_over_10_percent",            u->over_10         },
        {"normalized_freq_over_1_percent",  u->mass_1          },
        {"normalized_freq_over_10_percent", u->mass_10         },
        {"effective_latents",               u->effective       },
    };
    return OBJECT_OF(entries);
}

static json_t *overlap(const struct analyze_cooc *c)
{
    const struct entry entries[] = {
        {"floor",                          (double)c->floor    },
        {"latents",                        (double)c->n_latents},
        {"pairs",                          c->n_pairs          },
        {"pairs_met",                      (double)c->n_met    },
        {"share_never",                    c->share_never      },
        {"independent_share_never",        c->expected_never   },
        {"mean_phi",                       c->mean_phi         },
        {"p95_phi",                        c->phi_p95          },
        {"share_phi_over_0.2",             c->phi_over         },
        {"mean_pmi",                       c->mean_pmi         },
        {"p05_pmi",                        c->pmi_p05          },
        {"p95_pmi",                        c->pmi_p95          },
        {"mean_abs_cosine_met",            c->abs_cos_met      },
        {"mean_abs_cosine_never",          c->abs_cos_never    },
        {"correlation_overlap_cosine",     c->corr_cos         },
        {"correlation_overlap_abs_cosine", c->corr_abs         },
    };
    json_t *made = OBJECT_OF(entries);
    if (made != NULL) { /* how far a percentile may be from the value that has its rank */
        json_object_set_new(made, "percentile_resolution",
                            sae_json_number(1.0 / ANALYZE_UNIT_BINS));
        json_object_set_new(made, "percentile_resolution_log10",
                            sae_json_number(1.0 / ANALYZE_DECADE_BINS));
    }
    for (int kind = 0; made != NULL && kind < SAE_OVERLAP_N; kind++) {
        const struct analyze_overlap *of = &c->of[kind];
        const struct entry parts[] = {
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

static json_t *competition(const struct analyze_cooc *c)
{
    const struct analyze_competition *a = &c->run, *b = &c->reference;
    const struct entry entries[] = {
        {"run_has_orthogonality",     a->rule.recorded ? 1 : 0},
        {"tau",                       a->rule.compete.tau     },
        {"lambda2",                   a->rule.lambda2         },
        {"competing_pairs",           (double)a->n_pairs      },
        {"mean_c",                    a->mean_c               },
        {"orth_loss",                 a->loss                 },
        {"orth_loss_normalised",      a->normalised           },
        {"orth_loss_weighted",        a->weighted             },
        {"mean_abs_cosine",           a->mean_abs_cos         },
        {"max_abs_cosine",            a->max_abs_cos          },
        {"reference_tau",             b->rule.compete.tau     },
        {"reference_competing_pairs", (double)b->n_pairs      },
        {"reference_mean_c",          b->mean_c               },
        {"reference_orth_loss",       b->loss                 },
        {"reference_mean_abs_cosine", b->mean_abs_cos         },
        {"reference_max_abs_cosine",  b->max_abs_cos          },
    };
    return OBJECT_OF(entries);
}

static json_t *metrics_of(const struct analyze_report *r)
{
    json_t *all = json_pack("{s:o, s:o}", "separation", separation(r), "spectrum", spectrum(r));
    if (all == NULL || !r->has_masks)
        return all;
    json_object_set_new(all, "overlap", overlap(&r->cooc));
    json_object_set_new(all, "competition", competition(&r->cooc));
    json_object_set_new(all, "usage", usage(&r->usage));
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

/* --- 5. the envelope ---------------------------------------------------------------------- */

static json_t *versions_of(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "max_decoder_cosine_sim",
                     "max over j != i of cos(W_dec_i, W_dec_j), signed (SAEBench core)",
                     "effective_rank", "exp(H(s / sum s)), s = sqrt of the Gram eigenvalues",
                     "participation_ratio", "(sum l)^2 / sum l^2", "stable_rank", "sum l / max l",
                     "random", "independent cosines of uniform directions; eigenvalues Marchenko-Pastur", "independent",
                     "hypergeometric n_ij with the observed n_i, n_j", "orth_loss",
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

enum sae_status analyze_outcome_make(json_t **ret, const struct analyze_report *report,
                                     const struct analyze_settings *settings, const json_t *record,
                                     struct sae_err *err)
{
    enum sae_status status = SAE_OK;
    const struct sae_ckpt *ckpt = &report->ckpt;
    json_t *options = json_object_get(ckpt->record, "options");
    struct sae_result_parts parts = {
        .eval_type_id = "analyze",
        .config = config_of(settings),
        .metrics = metrics_of(report),
        .details = details_of(report),
        .unstructured = unstructured_of(report),
        .sae_cfg = options != NULL ? json_incref(options) : json_object(),
        .record = json_deep_copy(record),
        .versions = versions_of(),
    };
    if (parts.config == NULL || parts.metrics == NULL || parts.details == NULL ||
        parts.unstructured == NULL || parts.record == NULL || parts.versions == NULL) {
        status = sae_err_set(err, SAE_ENOMEM, "cannot make the result of '%s'", ckpt->path);
        goto done;
    }
    SAE_GO(status, checkpoint_of(&parts.checkpoint, ckpt, err));
    SAE_GO(status, sae_record_input(parts.record, "checkpoint", sae_fs_base(ckpt->path), ckpt->id,
                                    ckpt->record, err));
    SAE_GO(status, sae_result_make(ret, &parts, err));
done:
    sae_result_parts_clear(&parts);
    return status;
}
