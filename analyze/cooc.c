/* SPDX-License-Identifier: MIT */
/* cooc : how latents share tokens, and how that goes together with their cosines.
 *
 * Contents:  1. masks for the visit   2. batches of pairs   3. never together   4. the pass */
#include "analyze/cooc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/chance.h"
#include "analyze/tally.h"
#include "lib/base/mem.h"

enum {
    CHUNK = 1 << 14, /* pairs whose cosines are computed at a time */
    CHUNK_DEVICE = 1 << 18,
    PARTS = 16 /* of a chunk, each with its own sums: equal on any number of threads */
};

/* --- 1. masks for the visit --------------------------------------------------------------- */

struct mask_view {
    struct sae_csr csr;
    struct sae_csc csc;
};

static void mask_view_clear(struct mask_view *view)
{
    free(view->csr.start);
    sae_csc_free(&view->csc, &sae_ops_ref);
    memset(view, 0, sizeof *view);
}

/* The masks as csr (idx and val borrowed) and csc. */
static enum sae_status mask_view_make(struct mask_view *ret, size_t m,
                                      const struct sae_masks *masks, struct sae_err *err)
{
    enum sae_status st;
    const size_t n = masks->n_rows, nnz = (size_t)masks->start[n];
    struct mask_view view = {
        .csr = {.n = n, .cap = nnz, .idx = masks->idx, .val = masks->val}
    };
    SAE_GO(st, sae_mem_alloc(&view.csr.start, n + 1, sizeof *view.csr.start, err));
    for (size_t t = 0; t <= n; t++)
        view.csr.start[t] = (size_t)masks->start[t];
    SAE_GO(st, sae_csc_alloc(&view.csc, &sae_ops_ref, m, nnz, err));
    sae_ops_ref.transpose(m, &view.csr, &view.csc);
    *ret = view;
    return SAE_OK;
done:
    mask_view_clear(&view);
    return st;
}

/* --- 2. batches of pairs ------------------------------------------------------------------ */

struct gather {
    struct analyze_cooc *out;
    const struct sae_ops *ops;
    const float *U;
    size_t d;
    double N;
    uint64_t lowest; /* pairs with a rarer latent count nowhere */
    struct analyze_pair *pair;
    uint32_t *i, *j; /* of the pairs, for the backend */
    float *cos;
    size_t n, chunk;
    struct { /* in the backend's memory */
        float *U, *cos;
        uint32_t *i, *j;
    } on_device;
    struct analyze_tally part[PARTS]; /* the first holds all of them in the end */
};

static void find_cosines(struct gather *g)
{
    const size_t n = g->n;
    for (size_t e = 0; e < n; e++) {
        g->i[e] = g->pair[e].i;
        g->j[e] = g->pair[e].j;
    }
    g->ops->put(g->on_device.i, g->i, n * sizeof *g->i);
    g->ops->put(g->on_device.j, g->j, n * sizeof *g->j);
    g->ops->pair_dots(n, g->d, g->on_device.U, g->on_device.i, g->on_device.j, g->on_device.cos);
    g->ops->get(g->cos, g->on_device.cos, n * sizeof *g->cos);
}

static void flush(struct gather *g)
{
    const struct analyze_tally_rules rules = {.n_tokens = g->N,
                                              .floor = (double)g->out->floor,
                                              .run = &g->out->run.rule,
                                              .reference = &g->out->reference.rule};
    find_cosines(g);
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t part = 0; part < PARTS; part++)
        for (size_t e = part * g->n / PARTS; e < (part + 1) * g->n / PARTS; e++)
            analyze_tally_pair(&g->part[part], &rules, &g->pair[e], (double)g->cos[e]);
    g->n = 0;
}

static void visit(void *user, uint32_t i, uint32_t j, double n_i, double n_j, double n_ij)
{
    struct gather *g = user;
    if (n_i < (double)g->lowest || n_j < (double)g->lowest)
        return;
    g->pair[g->n++] = (struct analyze_pair){i, j, n_i, n_j, n_ij};
    if (g->n == g->chunk)
        flush(g);
}

static double pearson(double n, double sx, double sxx, double sy, double syy, double sxy)
{
    const double vx = n * sxx - sx * sx, vy = n * syy - sy * sy;
    return vx > 0 && vy > 0 ? (n * sxy - sx * sy) / sqrt(vx * vy) : NAN;
}

static void finish_competition(struct analyze_competition *to, const struct analyze_competing *from,
                               size_t m)
{
    const double n = (double)from->n;
    const double by = to->rule.normaliser == ANALYZE_MEAN     ? fmax(n, 1)
                      : to->rule.normaliser == ANALYZE_LATENT ? (double)m
                                                              : 1;
    to->n_pairs = from->n;
    to->mean_c = n > 0 ? from->sum_c / n : 0;
    to->loss = from->loss;
    to->normalised = from->loss / by;
    to->weighted = to->rule.lambda2 * to->normalised;
    to->mean_abs_cos = n > 0 ? from->sum_abs / n : 0;
    to->max_abs_cos = from->max_abs;
}

/* The parts in order, and what they hold moved to where it belongs. */
static enum sae_status join_parts(struct gather *g, struct sae_err *err)
{
    struct analyze_cooc *const out = g->out;
    struct analyze_tally *const all = &g->part[0];
    for (size_t part = 1; part < PARTS; part++)
        analyze_tally_add(all, &g->part[part]);
    out->n_met = all->n_met;
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        out->of[kind].log10_bins = kind == SAE_OVERLAP_LIFT || kind == SAE_OVERLAP_BATCH;
        const struct analyze_hist *const fine = &all->of[kind];
        SAE_TRY(analyze_hist_init(&out->of[kind].hist, fine->lo, fine->hi, fine->n / ANALYZE_KEPT,
                                  err));
        analyze_hist_fold(&out->of[kind].hist, fine);
    }
    out->joint.met = all->met;
    all->met = NULL;
    return SAE_OK;
}

static void finish_overlaps(struct gather *g, const struct analyze_chance *chance)
{
    struct analyze_cooc *out = g->out;
    const struct analyze_tally *const t = &g->part[0];
    const double n = (double)out->n_met;
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        struct analyze_overlap *of = &out->of[kind];
        of->mean = n > 0 ? t->sum[kind] / n : NAN;
        of->mean_all = t->sum[kind] / chance->n_pairs;
        of->expected = chance->overlap[kind];
        of->median = analyze_hist_quantile(&t->of[kind], 0.5);
        of->p95 = analyze_hist_quantile(&t->of[kind], 0.95);
        if (of->log10_bins) {
            of->median = pow(10, of->median);
            of->p95 = pow(10, of->p95);
        }
    }
    const struct analyze_hist *const lift = &t->of[SAE_OVERLAP_LIFT];
    out->mean_phi = n > 0 ? t->sum_phi / n : NAN;
    out->phi_p95 = analyze_hist_quantile(&t->phi, 0.95);
    out->phi_over = n > 0 ? (double)t->n_phi_over / n : NAN;
    out->mean_pmi = n > 0 ? t->sum_pmi / n : NAN;
    out->pmi_p05 = log(10) * analyze_hist_quantile(lift, 0.05);
    out->pmi_p95 = log(10) * analyze_hist_quantile(lift, 0.95);
    out->corr_cos = pearson(n, t->sx, t->sxx, t->sy, t->syy, t->sxy);
    out->corr_abs = pearson(n, t->sa, t->saa, t->sy, t->syy, t->say);
    out->abs_cos_met = n > 0 ? t->sa / n : NAN;
    out->sum_abs_met = t->sa;
    out->abs_cos_never = NAN;
    for (size_t row = 0; row < out->joint.n_overlap; row++) {
        uint64_t here = 0;
        for (size_t c = 0; c < out->joint.n_cos; c++)
            here += out->joint.met[row * out->joint.n_cos + c];
        out->joint.mean_abs[row] = here > 0 ? t->abs_at_overlap[row] / (double)here : NAN;
    }
}

/* --- 3. never together -------------------------------------------------------------------- */

void analyze_cooc_never(struct analyze_cooc *cooc, double sum_abs)
{
    const double n_never = cooc->n_pairs - (double)cooc->n_met;
    cooc->abs_cos_never = n_never > 0 ? (sum_abs - cooc->sum_abs_met) / n_never : NAN;
}

/* Cosines of all pairs of latents above the floor, less those of pairs that met. */
static enum sae_status count_never(struct gather *g, const struct analyze_usage *usage,
                                   struct sae_err *err)
{
    struct analyze_cooc *out = g->out;
    const size_t d = g->d;
    float *some = NULL;
    struct analyze_cosines all = {0};
    size_t n = 0;
    enum sae_status st = SAE_OK;
    if (out->n_latents < 2)
        return SAE_OK;
    SAE_GO(st, sae_mem_alloc(&some, out->n_latents * d, sizeof *some, err));
    for (size_t i = 0; i < usage->m; i++)
        if (usage->n[i] >= out->floor && usage->n[i] > 0)
            memcpy(some + n++ * d, g->U + i * d, d * sizeof *some);
    SAE_GO(st, analyze_geom_cosines(&all, g->ops, n, d, some, ANALYZE_N_COS, err));
    for (size_t b = 0; b < ANALYZE_N_COS; b++) /* a cosine on an edge may round into either bin */
        out->joint.never[b] =
            fmax(0, (double)all.hist.count[b] - (double)g->part[0].joint_cos.count[b]);
done:
    free(some);
    analyze_geom_clear(&all);
    return st;
}

/* --- 4. the pass -------------------------------------------------------------------------- */

void analyze_cooc_clear(struct analyze_cooc *cooc)
{
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++)
        analyze_hist_clear(&cooc->of[kind].hist);
    free(cooc->joint.met);
    free(cooc->joint.never);
    free(cooc->joint.mean_abs);
    memset(cooc, 0, sizeof *cooc);
}

static enum sae_status prepare(struct gather *g, const struct analyze_cooc_settings *settings,
                               struct sae_err *err)
{
    struct analyze_cooc *out = g->out;
    out->floor = settings->floor;
    out->run.rule = settings->run;
    out->reference.rule = settings->reference;
    out->joint.n_cos = ANALYZE_N_COS;
    out->joint.n_overlap = ANALYZE_N_OVERLAP;
    SAE_TRY(sae_mem_alloc(&out->joint.never, ANALYZE_N_COS, sizeof(double), err));
    SAE_TRY(sae_mem_alloc(&out->joint.mean_abs, ANALYZE_N_OVERLAP, sizeof(double), err));
    for (size_t part = 0; part < PARTS; part++)
        SAE_TRY(analyze_tally_init(&g->part[part], err));
    return SAE_OK;
}

static enum sae_status prepare_pairs(struct gather *g, size_t m, struct sae_err *err)
{
    g->chunk = g->ops->host ? CHUNK : CHUNK_DEVICE;
    SAE_TRY(sae_mem_alloc(&g->pair, g->chunk, sizeof *g->pair, err));
    SAE_TRY(sae_mem_alloc(&g->i, g->chunk, sizeof *g->i, err));
    SAE_TRY(sae_mem_alloc(&g->j, g->chunk, sizeof *g->j, err));
    SAE_TRY(sae_mem_alloc(&g->cos, g->chunk, sizeof *g->cos, err));
    SAE_TRY(g->ops->alloc(&g->on_device.U, m * g->d, sizeof *g->on_device.U, err));
    SAE_TRY(g->ops->alloc(&g->on_device.i, g->chunk, sizeof *g->on_device.i, err));
    SAE_TRY(g->ops->alloc(&g->on_device.j, g->chunk, sizeof *g->on_device.j, err));
    SAE_TRY(g->ops->alloc(&g->on_device.cos, g->chunk, sizeof *g->on_device.cos, err));
    g->ops->put(g->on_device.U, g->U, m * g->d * sizeof *g->U);
    return SAE_OK;
}

static void release(struct gather *g)
{
    void *const arrays[] = {g->on_device.U, g->on_device.i, g->on_device.j, g->on_device.cos};
    for (size_t a = 0; a < sizeof arrays / sizeof *arrays; a++)
        if (arrays[a] != NULL)
            g->ops->free(arrays[a]);
    for (size_t part = 0; part < PARTS; part++)
        analyze_tally_clear(&g->part[part]);
    free(g->pair);
    free(g->i);
    free(g->j);
    free(g->cos);
}

static uint64_t lowest_count(const struct analyze_cooc_settings *s)
{
    const double rules = fmin(s->run.compete.min_count, s->reference.compete.min_count);
    return (uint64_t)fmax(1, fmin((double)s->floor, ceil(rules)));
}

enum sae_status analyze_cooc_make(struct analyze_cooc *ret, const struct sae_ops *ops, size_t m,
                                  size_t d, const float *U, const struct sae_masks *masks,
                                  const struct analyze_usage *usage,
                                  const struct analyze_cooc_settings *settings, struct sae_err *err)
{
    enum sae_status st;
    struct analyze_cooc out = {0};
    struct mask_view view = {0};
    struct analyze_chance chance;
    struct gather g = {.out = &out,
                       .ops = ops,
                       .U = U,
                       .d = d,
                       .N = (double)masks->n_rows,
                       .lowest = lowest_count(settings)};
    SAE_GO(st, prepare(&g, settings, err));
    SAE_GO(st, prepare_pairs(&g, m, err));
    SAE_GO(st, mask_view_make(&view, m, masks, err));
    const struct sae_csr *const csr = &view.csr;
    const struct sae_csc *const csc = &view.csc;
    const double one = 1;
    const struct sae_overlap_masks visited = {1, &csr, &csc, &one};
    SAE_GO(st, sae_overlap_visit(m, &visited, visit, &g, err));
    flush(&g);
    SAE_GO(st, ops->check(err));
    SAE_GO(st, join_parts(&g, err));
    SAE_GO(st, analyze_chance_make(&chance, m, usage->n, masks->n_rows, settings->floor, err));
    out.n_latents = chance.n_latents;
    out.n_pairs = chance.n_pairs;
    out.share_never = 1 - (double)out.n_met / chance.n_pairs;
    out.expected_never = chance.never;
    finish_overlaps(&g, &chance);
    SAE_GO(st, count_never(&g, usage, err));
    finish_competition(&out.run, &g.part[0].run, m);
    finish_competition(&out.reference, &g.part[0].reference, m);
    *ret = out;
    memset(&out, 0, sizeof out);
done:
    analyze_cooc_clear(&out);
    mask_view_clear(&view);
    release(&g);
    return st;
}
