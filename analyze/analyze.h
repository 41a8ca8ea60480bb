/* SPDX-License-Identifier: MIT */
/* analyze : how separated the features of one checkpoint are - the whole of sae-analyze but its
 * options. One report per checkpoint, from the checkpoint file alone. */
#ifndef SAE_ANALYZE_ANALYZE_H
#define SAE_ANALYZE_ANALYZE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "analyze/cooc.h"
#include "analyze/geom.h"
#include "analyze/graph.h"
#include "analyze/sample.h"
#include "analyze/spectrum.h"
#include "analyze/usage.h"
#include "lib/base/err.h"
#include "lib/cli/chart.h"
#include "lib/file/result.h"
#include "lib/file/metric.h"
#include "lib/math/ops.h"
#include "lib/sae/ckpt.h"

struct analyze_settings {
    uint64_t n_bins;                 /* of the cosine histogram, over [-1, 1] */
    uint64_t floor;                  /* overlaps: latents that fire at least so often */
    uint64_t n_sample;               /* latents in the similarity matrix */
    uint64_t n_top;                  /* pairs of largest |cos| listed */
    double duplicate;                /* pairs with a larger cosine count as duplicates */
    bool weights_only;               /* leave out all that needs held-out masks */
    bool measures_masks;             /* on the store of the record; else those of the checkpoint */
    uint64_t n_tokens;               /* rows of it */
    void (*stage)(const char *what); /* called as each part begins; may be NULL */
};

/* What random directions would give, and bounds. */
struct analyze_baseline {
    double std, mean_abs, max_dec, max_abs_dec, coherence, welch, frame, frame_bound;
};

/* One close pair, with how often it fires together. */
struct analyze_close {
    struct analyze_edge edge;
    uint64_t n_i, n_j, n_ij;
};

struct analyze_report {
    const struct sae_ckpt *ckpt; /* borrowed */
    char *run, *name;            /* "run_2", "ckpt_50" */
    const char *stem;            /* beginning of its charts' names, borrowed; NULL: name */
    size_t n_zero_rows; /* decoder rows of length 0 */
    struct analyze_cosines dec, enc;
    struct analyze_hist dec_folded, nearest; /* n_bins; nearest: 100 bins over [-1, 1] */
    struct analyze_moments moments;
    struct analyze_baseline base;
    struct analyze_summary max_dec, max_abs_dec, max_enc, enc_dec;
    double *eig, *random_eig; /* [d] descending */
    struct analyze_ranks ranks, random_ranks;
    struct analyze_graph graph;
    uint64_t n_duplicates, n_antiparallel; /* pairs with cos > settings.duplicate, < minus it */
    size_t n_close;
    struct analyze_close *close; /* [n_close], |cosine| descending */
    struct analyze_sample sample;
    bool has_masks;
    struct analyze_usage usage; /* these two only where has_masks */
    struct analyze_cooc cooc;
};

/* Fills ckpt->heldout from the last n_rows of the store its record names. */
SAE_MUST_CHECK enum sae_status analyze_measure_masks(struct sae_ckpt *ckpt, size_t n_rows,
                                                     const struct sae_ops *ops,
                                                     struct sae_err *err);

/* Measures one checkpoint, or any SAE; one from elsewhere has masks only where they are measured.
 *   ckpt  its held-out masks are replaced where settings->measures_masks
 * Fails: SAE_EFORMAT no held-out masks (without weights_only); SAE_ERANGE fewer than two latents;
 *        SAE_EBACKEND; SAE_ENOMEM; SAE_EINTR; as sae_store_open */
SAE_MUST_CHECK enum sae_status analyze_report_make(struct analyze_report *ret,
                                                   struct sae_ckpt *ckpt,
                                                   const struct sae_ops *ops,
                                                   const struct analyze_settings *settings,
                                                   struct sae_err *err);
void analyze_report_clear(struct analyze_report *report); /* accepts zeroed */

/* tables.c: for people. */
SAE_MUST_CHECK enum sae_status analyze_tables_print(const struct analyze_report *report,
                                                    FILE *to, struct sae_err *err);
/* compare.c: several checkpoints side by side, in the few numbers that answer most questions. */
enum { ANALYZE_COMPARED = 24 }; /* the most of them */
struct analyze_column {
    char head[200];  /* "run_2/ckpt_50" */
    double progress; /* 0 to 1 */
    size_t n;
    const struct sae_metric *row[ANALYZE_COMPARED]; /* the same in all columns */
    double value[ANALYZE_COMPARED];
};
void analyze_compare_fill(struct analyze_column *ret, const struct analyze_report *report);
SAE_MUST_CHECK enum sae_status analyze_compare_print(const struct analyze_column *columns, size_t n,
                                                     FILE *to, struct sae_err *err);

/* The same with a row a checkpoint, in fewer numbers. */
SAE_MUST_CHECK enum sae_status analyze_brief_print(const struct analyze_column *columns, size_t n,
                                                   FILE *to, struct sae_err *err);

/* result.c: what the result is made of. */
SAE_MUST_CHECK enum sae_status analyze_result_parts(struct sae_result_parts *ret,
                                                    const struct analyze_report *report,
                                                    const struct analyze_settings *settings,
                                                    struct sae_err *err);

/* draw.c: the charts of a report, to dir/<ckpt>.<what>.svg and the other formats asked for; counts
 * how many were made. A chart without a point is left out; one that cannot be drawn is a warning.
 * Fails: SAE_EIO the folder cannot be made */
SAE_MUST_CHECK enum sae_status analyze_draw(const struct analyze_report *report,
                                            struct sae_chart_options *how, const char *dir,
                                            size_t *ret_n, struct sae_err *err);

#endif /* SAE_ANALYZE_ANALYZE_H */
