/* SPDX-License-Identifier: MIT */
/* tally : counts and sums over pairs. */
#include "analyze/tally.h"

#include <math.h>
#include <stdlib.h>

#include "analyze/cooc.h"
#include "lib/base/mem.h"

enum { LOG_LO = -6, LOG_HI = 6 };

double analyze_phi(double N, double n_i, double n_j, double n_ij)
{
    const double spread = n_i * n_j * (N - n_i) * (N - n_j);
    return spread > 0 ? (N * n_ij - n_i * n_j) / sqrt(spread) : 0;
}

enum sae_status analyze_tally_init(struct analyze_tally *t, struct sae_err *err)
{
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        const bool logs = kind == SAE_OVERLAP_LIFT || kind == SAE_OVERLAP_BATCH;
        SAE_TRY(analyze_hist_init(&t->of[kind], logs ? LOG_LO : 0, logs ? LOG_HI : 1,
                                  logs ? (LOG_HI - LOG_LO) * ANALYZE_DECADE_BINS
                                       : ANALYZE_UNIT_BINS,
                                  err));
    }
    SAE_TRY(analyze_hist_init(&t->phi, -1, 1, 2 * (size_t)ANALYZE_UNIT_BINS, err));
    SAE_TRY(analyze_hist_init(&t->joint_cos, -1, 1, ANALYZE_N_COS, err));
    SAE_TRY(sae_mem_alloc(&t->met, (size_t)ANALYZE_N_COS * ANALYZE_N_OVERLAP, sizeof *t->met, err));
    return sae_mem_alloc(&t->abs_at_overlap, ANALYZE_N_OVERLAP, sizeof *t->abs_at_overlap, err);
}

void analyze_tally_clear(struct analyze_tally *t)
{
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++)
        analyze_hist_clear(&t->of[kind]);
    analyze_hist_clear(&t->phi);
    analyze_hist_clear(&t->joint_cos);
    free(t->met);
    free(t->abs_at_overlap);
}

static void add_hist(struct analyze_hist *to, const struct analyze_hist *from)
{
    to->total += from->total;
    for (size_t i = 0; i < to->n; i++)
        to->count[i] += from->count[i];
}

static void add_competing(struct analyze_competing *to, const struct analyze_competing *from)
{
    to->n += from->n;
    to->sum_c += from->sum_c;
    to->loss += from->loss;
    to->sum_abs += from->sum_abs;
    to->max_abs = fmax(to->max_abs, from->max_abs);
}

void analyze_tally_add(struct analyze_tally *to, const struct analyze_tally *from)
{
    to->n_met += from->n_met;
    to->n_phi_over += from->n_phi_over;
    to->sum_phi += from->sum_phi;
    to->sum_pmi += from->sum_pmi;
    to->sx += from->sx;
    to->sxx += from->sxx;
    to->sa += from->sa;
    to->saa += from->saa;
    to->sy += from->sy;
    to->syy += from->syy;
    to->sxy += from->sxy;
    to->say += from->say;
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        to->sum[kind] += from->sum[kind];
        add_hist(&to->of[kind], &from->of[kind]);
    }
    add_hist(&to->phi, &from->phi);
    add_hist(&to->joint_cos, &from->joint_cos);
    for (size_t c = 0; c < (size_t)ANALYZE_N_COS * ANALYZE_N_OVERLAP; c++)
        to->met[c] += from->met[c];
    for (size_t row = 0; row < ANALYZE_N_OVERLAP; row++)
        to->abs_at_overlap[row] += from->abs_at_overlap[row];
    add_competing(&to->run, &from->run);
    add_competing(&to->reference, &from->reference);
}

static void compete(struct analyze_competing *to, const struct analyze_rule *rule, double N,
                    const struct analyze_pair *p, double abs_cos)
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

static void take_overlaps(struct analyze_tally *t, double N, const struct analyze_pair *p)
{
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        const double v = sae_overlap_value((enum sae_overlap)kind, N, p->n_i, p->n_j, p->n_ij);
        const bool logs = kind == SAE_OVERLAP_LIFT || kind == SAE_OVERLAP_BATCH;
        analyze_hist_add(&t->of[kind], logs ? log10(v) : v);
        t->sum[kind] += v;
    }
    const double phi = analyze_phi(N, p->n_i, p->n_j, p->n_ij);
    analyze_hist_add(&t->phi, phi);
    t->sum_phi += phi;
    t->n_phi_over += phi > 0.2;
    t->sum_pmi += log(N * p->n_ij / (p->n_i * p->n_j));
}

static void take_joint(struct analyze_tally *t, const struct analyze_pair *p, double cos)
{
    const double a = fabs(cos), y = p->n_ij / fmin(p->n_i, p->n_j);
    size_t row = (size_t)(y * (double)ANALYZE_N_OVERLAP);
    if (row >= ANALYZE_N_OVERLAP)
        row = ANALYZE_N_OVERLAP - 1;
    t->met[row * ANALYZE_N_COS + analyze_hist_bin(&t->joint_cos, cos)]++;
    analyze_hist_add(&t->joint_cos, cos);
    t->abs_at_overlap[row] += a;
    t->sx += cos;
    t->sxx += cos * cos;
    t->sa += a;
    t->saa += a * a;
    t->sy += y;
    t->syy += y * y;
    t->sxy += cos * y;
    t->say += a * y;
}

void analyze_tally_pair(struct analyze_tally *to, const struct analyze_tally_rules *rules,
                        const struct analyze_pair *pair, double cos)
{
    compete(&to->run, rules->run, rules->n_tokens, pair, fabs(cos));
    compete(&to->reference, rules->reference, rules->n_tokens, pair, fabs(cos));
    if (pair->n_i < rules->floor || pair->n_j < rules->floor)
        return;
    to->n_met++;
    take_overlaps(to, rules->n_tokens, pair);
    take_joint(to, pair, cos);
}
