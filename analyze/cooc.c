/* SPDX-License-Identifier: MIT */
/* cooc : how latents share tokens, and how that goes together with their cosines.
 *
 * Contents:  1. masks for the visit   2. one pair   3. batches of pairs   4. never together
 *            5. the pass */
#include "analyze/cooc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/chance.h"
#include "lib/base/mem.h"

enum {
    N_COS = 80,         /* bins of the joint map over [-1, 1] */
    N_OVERLAP = 40,     /* over [0, 1] */
    FINE = 25,          /* finer cosine bins in each of those, for the mean of |cos| */
    CHUNK = 1 << 14,    /* pairs whose cosines are computed at a time */
    CHUNK_DEVICE = 1 << 18,
    LINEAR_BINS = 1000, /* of a histogram over [0, 1] */
    LOG_LO = -6,
    LOG_HI = 6,
    LOG_BINS = 100 /* log10 of lift and batch, bins a decade */
};

double analyze_phi(double N, double n_i, double n_j, double n_ij)
{
    const double spread = n_i * n_j * (N - n_i) * (N - n_j);
    return spread > 0 ? (N * n_ij - n_i * n_j) / sqrt(spread) : 0;
}

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
    enum sae_status status;
    const size_t n = masks->n_rows, nnz = (size_t)masks->start[n];
    struct mask_view view = {
        .csr = {.n = n, .cap = nnz, .idx = masks->idx, .val = masks->val}
    };
    SAE_GO(status, sae_mem_alloc(&view.csr.start, n + 1, sizeof *view.csr.start, err));
    for (size_t t = 0; t <= n; t++)
        view.csr.start[t] = (size_t)masks->start[t];
    SAE_GO(status, sae_csc_alloc(&view.csc, &sae_ops_ref, m, nnz, err));
    sae_ops_ref.transpose(m, &view.csr, &view.csc);
    *ret = view;
    return SAE_OK;
done:
    mask_view_clear(&view);
    return status;
}

/* --- 2. one pair -------------------------------------------------------------------------- */

struct pair {
    uint32_t i, j;
    double n_i, n_j, n_ij;
};

struct competing {
    double sum_c, loss, sum_abs, max_abs;
    uint64_t n;
};

struct gather {
    struct analyze_cooc *out;
    const struct sae_ops *ops;
    const float *U;
    size_t d;
    double N;
    uint64_t lowest; /* pairs with a rarer latent count nowhere */
    struct pair *pair;
    uint32_t *i, *j; /* of the pairs, for the backend */
    float *cos;
    size_t n, chunk;
    struct { /* in the backend's memory */
        float *U, *cos;
        uint32_t *i, *j;
    } there;
    double sum[SAE_OVERLAP_N], sum_phi, sum_pmi;
    uint64_t n_phi_over;
    struct analyze_hist phi, joint_cos;
    double sx, sxx, sa, saa, sy, syy, sxy, say; /* x cos, a |cos|, y overlap */
    double *abs_at_overlap;
    struct competing run, reference;
};

static void compete(struct competing *to, const struct analyze_rule *rule, double N,
                    const struct pair *p, double abs_cos)
{
    const struct sae_compete_rule *r = &rule->compete;
    if (p->n_i < r->min_count || p->n_j < r->min_count)
        return;
    const double nhat = sae_overlap_value(r->overlap, N, p->n_i, p->n_j, p->n_ij);
    const double c = sae_compete_value(r->form, r->sharpness, nhat, r->tau);
    if (!(c > 0))
        return;
    to->n++;
    to->sum_c += c;
    to->loss += c * abs_cos;
    to->sum_abs += abs_cos;
    to->max_abs = fmax(to->max_abs, abs_cos);
}

static void take_overlaps(struct gather *g, const struct pair *p)
{
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        struct analyze_overlap *of = &g->out->of[kind];
        const double v = sae_overlap_value((enum sae_overlap)kind, g->N, p->n_i, p->n_j, p->n_ij);
        analyze_hist_add(&of->hist, of->log10_bins ? log10(v) : v);
        g->sum[kind] += v;
    }
    const double phi = analyze_phi(g->N, p->n_i, p->n_j, p->n_ij);
    analyze_hist_add(&g->phi, phi);
    g->sum_phi += phi;
    g->n_phi_over += phi > 0.2;
    g->sum_pmi += log(g->N * p->n_ij / (p->n_i * p->n_j));
}

static void take_joint(struct gather *g, const struct pair *p, double cos)
{
    const double a = fabs(cos), y = p->n_ij / fmin(p->n_i, p->n_j);
    struct analyze_joint *joint = &g->out->joint;
    size_t row = (size_t)(y * (double)joint->n_overlap);
    if (row >= joint->n_overlap)
        row = joint->n_overlap - 1;
    const size_t column = analyze_hist_bin(&g->joint_cos, cos);
    joint->met[row * joint->n_cos + column]++;
    analyze_hist_add(&g->joint_cos, cos);
    g->abs_at_overlap[row] += a;
    g->sx += cos;
    g->sxx += cos * cos;
    g->sa += a;
    g->saa += a * a;
    g->sy += y;
    g->syy += y * y;
    g->sxy += cos * y;
    g->say += a * y;
}

/* --- 3. batches of pairs ------------------------------------------------------------------ */

static void find_cosines(struct gather *g)
{
    const size_t n = g->n;
    for (size_t e = 0; e < n; e++) {
        g->i[e] = g->pair[e].i;
        g->j[e] = g->pair[e].j;
    }
    g->ops->put(g->there.i, g->i, n * sizeof *g->i);
    g->ops->put(g->there.j, g->j, n * sizeof *g->j);
    g->ops->pair_dots(n, g->d, g->there.U, g->there.i, g->there.j, g->there.cos);
    g->ops->get(g->cos, g->there.cos, n * sizeof *g->cos);
}

static void flush(struct gather *g)
{
    find_cosines(g);
    for (size_t e = 0; e < g->n; e++) { /* exact: sums in the order of the visit */
        const struct pair *p = &g->pair[e];
        const double cos = (double)g->cos[e];
        compete(&g->run, &g->out->run.rule, g->N, p, fabs(cos));
        compete(&g->reference, &g->out->reference.rule, g->N, p, fabs(cos));
        if (p->n_i < (double)g->out->floor || p->n_j < (double)g->out->floor)
            continue;
        g->out->n_met++;
        take_overlaps(g, p);
        take_joint(g, p, cos);
    }
    g->n = 0;
}

static void visit(void *user, uint32_t i, uint32_t j, double n_i, double n_j, double n_ij)
{
    struct gather *g = user;
    if (n_i < (double)g->lowest || n_j < (double)g->lowest)
        return;
    g->pair[g->n++] = (struct pair){i, j, n_i, n_j, n_ij};
    if (g->n == g->chunk)
        flush(g);
}

static double pearson(double n, double sx, double sxx, double sy, double syy, double sxy)
{
    const double vx = n * sxx - sx * sx, vy = n * syy - sy * sy;
    return vx > 0 && vy > 0 ? (n * sxy - sx * sy) / sqrt(vx * vy) : NAN;
}

static void finish_competition(struct analyze_competition *to, const struct competing *from,
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

static void finish_overlaps(struct gather *g, const struct analyze_chance *chance)
{
    struct analyze_cooc *out = g->out;
    const double n = (double)out->n_met;
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        struct analyze_overlap *of = &out->of[kind];
        of->mean = n > 0 ? g->sum[kind] / n : NAN;
        of->mean_all = g->sum[kind] / chance->n_pairs;
        of->expected = chance->overlap[kind];
        of->median = analyze_hist_quantile(&of->hist, 0.5);
        of->p95 = analyze_hist_quantile(&of->hist, 0.95);
        if (of->log10_bins) {
            of->median = pow(10, of->median);
            of->p95 = pow(10, of->p95);
        }
    }
    const struct analyze_hist *lift = &out->of[SAE_OVERLAP_LIFT].hist;
    out->mean_phi = n > 0 ? g->sum_phi / n : NAN;
    out->phi_p95 = analyze_hist_quantile(&g->phi, 0.95);
    out->phi_over = n > 0 ? (double)g->n_phi_over / n : NAN;
    out->mean_pmi = n > 0 ? g->sum_pmi / n : NAN;
    out->pmi_p05 = log(10) * analyze_hist_quantile(lift, 0.05);
    out->pmi_p95 = log(10) * analyze_hist_quantile(lift, 0.95);
    out->corr_cos = pearson(n, g->sx, g->sxx, g->sy, g->syy, g->sxy);
    out->corr_abs = pearson(n, g->sa, g->saa, g->sy, g->syy, g->say);
    out->abs_cos_met = n > 0 ? g->sa / n : NAN;
    for (size_t row = 0; row < out->joint.n_overlap; row++) {
        uint64_t here = 0;
        for (size_t c = 0; c < out->joint.n_cos; c++)
            here += out->joint.met[row * out->joint.n_cos + c];
        out->joint.mean_abs[row] = here > 0 ? g->abs_at_overlap[row] / (double)here : NAN;
    }
}

/* --- 4. never together -------------------------------------------------------------------- */

/* Cosines of all pairs of latents above the floor, less those of pairs that met. */
static enum sae_status count_never(struct gather *g, const struct analyze_usage *usage,
                                   struct sae_err *err)
{
    struct analyze_cooc *out = g->out;
    const size_t d = g->d;
    float *some = NULL;
    struct analyze_cosines all = {0};
    size_t n = 0;
    double sum_abs = 0;
    enum sae_status status = SAE_OK;
    out->abs_cos_never = NAN;
    if (out->n_latents < 2)
        return SAE_OK;
    SAE_GO(status, sae_mem_alloc(&some, out->n_latents * d, sizeof *some, err));
    for (size_t i = 0; i < usage->m; i++)
        if (usage->n[i] >= out->floor && usage->n[i] > 0)
            memcpy(some + n++ * d, g->U + i * d, d * sizeof *some);
    SAE_GO(status, analyze_geom_cosines(&all, g->ops, n, d, some, (size_t)N_COS * FINE, err));
    for (size_t b = 0; b < all.hist.n; b++) {
        out->joint.never[b / FINE] += (double)all.hist.count[b];
        sum_abs += fabs(analyze_hist_middle(&all.hist, b)) * (double)all.hist.count[b];
    }
    for (size_t b = 0; b < N_COS; b++) /* a cosine on an edge may round into either bin */
        out->joint.never[b] = fmax(0, out->joint.never[b] - (double)g->joint_cos.count[b]);
    if (out->n_pairs > (double)out->n_met)
        out->abs_cos_never = (sum_abs - g->sa) / (out->n_pairs - (double)out->n_met);
done:
    free(some);
    analyze_geom_clear(&all);
    return status;
}

/* --- 5. the pass -------------------------------------------------------------------------- */

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
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        out->of[kind].log10_bins = kind == SAE_OVERLAP_LIFT || kind == SAE_OVERLAP_BATCH;
        const bool logs = out->of[kind].log10_bins;
        SAE_TRY(analyze_hist_init(&out->of[kind].hist, logs ? LOG_LO : 0, logs ? LOG_HI : 1,
                                  logs ? (LOG_HI - LOG_LO) * LOG_BINS : LINEAR_BINS, err));
    }
    out->joint.n_cos = N_COS;
    out->joint.n_overlap = N_OVERLAP;
    SAE_TRY(sae_mem_alloc(&out->joint.met, (size_t)N_COS * N_OVERLAP, sizeof(uint64_t), err));
    SAE_TRY(sae_mem_alloc(&out->joint.never, N_COS, sizeof(double), err));
    SAE_TRY(sae_mem_alloc(&out->joint.mean_abs, N_OVERLAP, sizeof(double), err));
    SAE_TRY(analyze_hist_init(&g->phi, -1, 1, 400, err));
    SAE_TRY(analyze_hist_init(&g->joint_cos, -1, 1, N_COS, err));
    SAE_TRY(sae_mem_alloc(&g->abs_at_overlap, N_OVERLAP, sizeof(double), err));
    return SAE_OK;
}

static enum sae_status prepare_pairs(struct gather *g, size_t m, struct sae_err *err)
{
    g->chunk = g->ops->host ? CHUNK : CHUNK_DEVICE;
    SAE_TRY(sae_mem_alloc(&g->pair, g->chunk, sizeof *g->pair, err));
    SAE_TRY(sae_mem_alloc(&g->i, g->chunk, sizeof *g->i, err));
    SAE_TRY(sae_mem_alloc(&g->j, g->chunk, sizeof *g->j, err));
    SAE_TRY(sae_mem_alloc(&g->cos, g->chunk, sizeof *g->cos, err));
    SAE_TRY(g->ops->alloc(&g->there.U, m * g->d, sizeof *g->there.U, err));
    SAE_TRY(g->ops->alloc(&g->there.i, g->chunk, sizeof *g->there.i, err));
    SAE_TRY(g->ops->alloc(&g->there.j, g->chunk, sizeof *g->there.j, err));
    SAE_TRY(g->ops->alloc(&g->there.cos, g->chunk, sizeof *g->there.cos, err));
    g->ops->put(g->there.U, g->U, m * g->d * sizeof *g->U);
    return SAE_OK;
}

static void release(const struct gather *g)
{
    void *const there[] = {g->there.U, g->there.i, g->there.j, g->there.cos};
    for (size_t a = 0; a < sizeof there / sizeof *there; a++)
        if (there[a] != NULL)
            g->ops->free(there[a]);
    free(g->abs_at_overlap);
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
    enum sae_status status;
    struct analyze_cooc out = {0};
    struct mask_view view = {0};
    struct analyze_chance chance;
    struct gather g = {.out = &out,
                       .ops = ops,
                       .U = U,
                       .d = d,
                       .N = (double)masks->n_rows,
                       .lowest = lowest_count(settings)};
    SAE_GO(status, prepare(&g, settings, err));
    SAE_GO(status, prepare_pairs(&g, m, err));
    SAE_GO(status, mask_view_make(&view, m, masks, err));
    const struct sae_csr *const csr = &view.csr;
    const struct sae_csc *const csc = &view.csc;
    const double one = 1;
    const struct sae_overlap_masks visited = {1, &csr, &csc, &one};
    SAE_GO(status, sae_overlap_visit(m, &visited, visit, &g, err));
    flush(&g);
    SAE_GO(status, ops->check(err));
    SAE_GO(status, analyze_chance_make(&chance, m, usage->n, masks->n_rows, settings->floor, err));
    out.n_latents = chance.n_latents;
    out.n_pairs = chance.n_pairs;
    out.share_never = 1 - (double)out.n_met / chance.n_pairs;
    out.expected_never = chance.never;
    finish_overlaps(&g, &chance);
    SAE_GO(status, count_never(&g, usage, err));
    finish_competition(&out.run, &g.run, m);
    finish_competition(&out.reference, &g.reference, m);
    *ret = out;
    memset(&out, 0, sizeof out);
done:
    analyze_cooc_clear(&out);
    mask_view_clear(&view);
    analyze_hist_clear(&g.phi);
    analyze_hist_clear(&g.joint_cos);
    release(&g);
    return status;
}
