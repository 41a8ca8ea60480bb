/* SPDX-License-Identifier: MIT */
/* Usage, overlaps and competition, against the worked examples of docs/MATH.md, "Separation
 * metrics", and against the code that trains. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/chance.h"
#include "analyze/cooc.h"
#include "analyze/tally.h"
#include "analyze/rule.h"
#include "analyze/sample.h"
#include "lib/base/mem.h"
#include "tests/unit/fixtures/make_ckpt.h"

#define assert_near(a, b, tol)                                                                     \
    do {                                                                                           \
        if (!(fabs((double)(a) - (double)(b)) <= (tol)))                                           \
            fail_msg("%s is %.9g, expected %.9g", #a, (double)(a), (double)(b));                   \
    } while (0)

/* Example A's directions for latents 0, 1, 2 and a fourth latent that never fires. */
static const float rows_b[8] = {1, 0, 0, 1, 0.6F, 0.8F, 1, 0};

/* Example B: tokens {0,1} {0,1,2} {0} {2}; n = 3, 2, 2, 0; n_01 = 2, n_02 = n_12 = 1; B = 4. */
static uint64_t start_b[] = {0, 2, 5, 6, 7};
static uint32_t idx_b[] = {0, 1, 0, 1, 2, 0, 2};
static float val_b[] = {1, 1, 1, 1, 1, 1, 1};
static const struct sae_masks masks_b = {4, start_b, idx_b, val_b};

static void usage_of_four_tokens(void **state)
{
    (void)state;
    struct analyze_usage u;
    assert_int_equal(analyze_usage_make(&u, 4, &masks_b, NULL), SAE_OK);
    const uint64_t n[] = {3, 2, 2, 0};
    assert_memory_equal(u.n, n, sizeof n);
    assert_near(u.l0, 1.75, 1e-12);
    assert_int_equal(u.n_dead, 1);
    assert_near(u.frac_alive, 0.75, 1e-12);
    assert_near(u.over_10, 0.75, 1e-12);
    assert_near(u.mass_10, 1, 1e-12);
    assert_near(u.median_alive, 0.5, 1e-12);
    assert_near(u.effective, 2.941711, 1e-5); /* exp H(3/7, 2/7, 2/7) */
    assert_int_equal(u.hist.total, 3);
    uint32_t top[4];
    size_t n_top;
    assert_int_equal(analyze_usage_top(&u, 4, top, &n_top, NULL), SAE_OK);
    const uint32_t order[] = {0, 1, 2};
    assert_int_equal(n_top, 3);
    assert_memory_equal(top, order, sizeof order);
    analyze_usage_clear(&u);
}

static void damaged_masks_are_refused(void **state)
{
    (void)state;
    struct analyze_usage u;
    struct sae_err err;
    assert_int_equal(analyze_usage_make(&u, 2, &masks_b, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "latent 2"));
    uint64_t back[] = {0, 2, 1, 6, 7};
    const struct sae_masks bad = {4, back, idx_b, val_b};
    assert_int_equal(analyze_usage_make(&u, 4, &bad, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "backwards"));
}

static void chance_of_four_tokens(void **state)
{
    (void)state;
    const uint64_t n[] = {3, 2, 2, 0};
    struct analyze_chance c;
    assert_int_equal(analyze_chance_make(&c, 4, n, 4, 1, NULL), SAE_OK);
    assert_int_equal(c.n_latents, 3);
    assert_near(c.n_pairs, 3, 0);
    /* 3 + 2 > 4 tokens: they must meet; 2 and 2 miss each other in 1 of 6 ways */
    assert_near(c.never, 1.0 / 18, 1e-12);
    assert_near(c.overlap[SAE_OVERLAP_OVERLAP], (0.75 + 0.75 + 0.5) / 3, 1e-12);
    assert_near(c.overlap[SAE_OVERLAP_COSINE], (2 * 1.5 / sqrt(6) + 0.5) / 3, 1e-12);
    assert_near(c.overlap[SAE_OVERLAP_LIFT], 1, 1e-12);
    assert_near(c.overlap[SAE_OVERLAP_BATCH], 1.0 / 3, 1e-12);
    assert_true(isnan(c.overlap[SAE_OVERLAP_JACCARD]));
}

static void phi_of_pairs(void **state)
{
    (void)state;
    assert_near(analyze_phi(4, 3, 2, 2), 2 / sqrt(12), 1e-12);
    assert_near(analyze_phi(4, 3, 2, 1), -2 / sqrt(12), 1e-12);
    assert_near(analyze_phi(4, 2, 2, 2), 1, 1e-12);
    assert_near(analyze_phi(4, 4, 2, 2), 0, 0); /* one that always fires tells nothing */
}

static struct analyze_cooc_settings settings_of(double tau, uint64_t floor)
{
    struct analyze_cooc_settings s = {
        .floor = floor, .run = analyze_rule_reference(), .reference = analyze_rule_reference()};
    s.run.compete.tau = tau;
    s.run.lambda2 = 0.5;
    return s;
}

static void overlaps_of_four_tokens(void **state)
{
    (void)state;
    struct analyze_usage u;
    struct analyze_cooc c;
    const struct analyze_cooc_settings s = settings_of(0.4, 1);
    assert_int_equal(analyze_usage_make(&u, 4, &masks_b, NULL), SAE_OK);
    assert_int_equal(analyze_cooc_make(&c, &sae_ops_cpu, 4, 2, rows_b, &masks_b, &u, &s, NULL),
                     SAE_OK);
    assert_int_equal(c.n_latents, 3);
    assert_int_equal(c.n_met, 3);
    assert_near(c.share_never, 0, 1e-12);
    assert_near(c.of[SAE_OVERLAP_OVERLAP].mean, 2.0 / 3, 1e-12); /* 1, 1/2, 1/2 */
    assert_near(c.of[SAE_OVERLAP_JACCARD].mean, (2.0 / 3 + 0.25 + 1.0 / 3) / 3, 1e-12);
    assert_near(c.of[SAE_OVERLAP_COSINE].mean, (3 / sqrt(6) + 0.5) / 3, 1e-12);
    assert_near(c.of[SAE_OVERLAP_LIFT].mean, 1, 1e-12);        /* 4/3, 2/3, 1 */
    assert_near(c.of[SAE_OVERLAP_BATCH].mean, 1.0 / 3, 1e-12); /* 1/2, 1/4, 1/4 */
    assert_near(c.mean_phi, 0, 1e-12);
    assert_near(c.phi_over, 1.0 / 3, 1e-12);
    assert_near(c.mean_pmi, log(8.0 / 9) / 3, 1e-12);
    assert_near(c.corr_cos, -0.970725, 1e-5);
    assert_near(c.abs_cos_met, 1.4 / 3, 1e-6);
    assert_true(isnan(c.abs_cos_never));
    uint64_t half = 0, whole = 0;
    for (size_t b = 0; b < c.joint.n_cos; b++) {
        half += c.joint.met[c.joint.n_overlap / 2 * c.joint.n_cos + b];
        whole += c.joint.met[(c.joint.n_overlap - 1) * c.joint.n_cos + b];
    }
    assert_int_equal(half, 2);
    assert_int_equal(whole, 1);
    assert_near(c.joint.mean_abs[c.joint.n_overlap / 2], 0.7, 1e-6);
    assert_near(c.joint.mean_abs[c.joint.n_overlap - 1], 0, 1e-6);
    analyze_cooc_clear(&c);
    analyze_usage_clear(&u);
}

static void competition_of_four_tokens(void **state)
{
    (void)state;
    struct analyze_usage u;
    struct analyze_cooc c;
    struct analyze_cooc_settings s = settings_of(0.4, 1);
    assert_int_equal(analyze_usage_make(&u, 4, &masks_b, NULL), SAE_OK);
    assert_int_equal(analyze_cooc_make(&c, &sae_ops_ref, 4, 2, rows_b, &masks_b, &u, &s, NULL),
                     SAE_OK);
    /* overlaps 1, 1/2, 1/2 give c = 1, 1/4, 1/4; |cos| = 0, 0.6, 0.8 */
    assert_int_equal(c.run.n_pairs, 3);
    assert_near(c.run.mean_c, 0.5, 1e-12);
    assert_near(c.run.loss, 0.35, 1e-6);
    assert_near(c.run.weighted, 0.175, 1e-6);
    assert_near(c.run.mean_abs_cos, 1.4 / 3, 1e-6);
    assert_near(c.run.max_abs_cos, 0.8, 1e-6);
    /* at tau 0.1 all three compete in full */
    assert_near(c.reference.loss, 1.4, 1e-6);
    analyze_cooc_clear(&c);
    s.run.normaliser = ANALYZE_MEAN;
    s.run.compete.min_count = 3; /* leaves latent 0 alone */
    s.reference.normaliser = ANALYZE_LATENT;
    assert_int_equal(analyze_cooc_make(&c, &sae_ops_ref, 4, 2, rows_b, &masks_b, &u, &s, NULL),
                     SAE_OK);
    assert_int_equal(c.run.n_pairs, 0);
    assert_near(c.run.normalised, 0, 0);
    assert_near(c.reference.normalised, 0.35, 1e-6);
    analyze_cooc_clear(&c);
    analyze_usage_clear(&u);
}

static void floor_and_pairs_that_never_meet(void **state)
{
    (void)state;
    uint64_t start[] = {0, 1, 2, 3, 4};
    uint32_t idx[] = {0, 2, 0, 2};
    const struct sae_masks apart = {4, start, idx, val_b};
    struct analyze_usage u;
    struct analyze_cooc c;
    struct analyze_cooc_settings s = settings_of(0.4, 2);
    assert_int_equal(analyze_usage_make(&u, 4, &apart, NULL), SAE_OK);
    assert_int_equal(analyze_cooc_make(&c, &sae_ops_cpu, 4, 2, rows_b, &apart, &u, &s, NULL),
                     SAE_OK);
    assert_int_equal(c.n_met, 0);
    assert_near(c.share_never, 1, 0);
    assert_near(c.expected_never, 1.0 / 6, 1e-12);
    analyze_cooc_never(&c, 0.6); /* |cos| of latents 0 and 2 */
    assert_near(c.abs_cos_never, 0.6, 1e-12);
    double never = 0;
    for (size_t b = 0; b < c.joint.n_cos; b++)
        never += c.joint.never[b];
    assert_near(never, 1, 0);
    assert_true(isnan(c.mean_phi));
    assert_int_equal(c.run.n_pairs, 0);
    analyze_cooc_clear(&c);
    s.floor = 3; /* nobody is left */
    assert_int_equal(analyze_cooc_make(&c, &sae_ops_cpu, 4, 2, rows_b, &apart, &u, &s, NULL),
                     SAE_OK);
    assert_int_equal(c.n_latents, 0);
    analyze_cooc_clear(&c);
    analyze_usage_clear(&u);
}

/* The loss told here must be the loss that sae-train takes on the same masks. */
static void competition_agrees_with_training(void **state)
{
    (void)state;
    static const enum sae_compete forms[] = {SAE_COMPETE_LINEAR, SAE_COMPETE_SIGMOID};
    struct make_ckpt want = make_ckpt_default();
    struct sae_ckpt ckpt;
    struct analyze_usage u;
    assert_int_equal(make_ckpt_fill(&ckpt, &want, NULL), SAE_OK);
    assert_int_equal(analyze_usage_make(&u, want.m, &ckpt.heldout, NULL), SAE_OK);
    struct sae_csr csr = {want.tokens, ckpt.heldout.start[want.tokens],
                          (size_t *)ckpt.heldout.start, ckpt.heldout.idx, ckpt.heldout.val};
    struct sae_csc csc;
    assert_int_equal(sae_csc_alloc(&csc, &sae_ops_cpu, want.m, csr.cap, NULL), SAE_OK);
    sae_ops_cpu.transpose(want.m, &csr, &csc);
    const struct sae_csr *const one_csr = &csr;
    const struct sae_csc *const one_csc = &csc;
    const double weight = 1;
    const struct sae_overlap_masks masks = {1, &one_csr, &one_csc, &weight};
    for (size_t f = 0; f < 2; f++)
        for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
            struct analyze_cooc_settings s = settings_of(0.3, 5);
            struct analyze_cooc c;
            double sum[5];
            s.run.compete.overlap = (enum sae_overlap)kind;
            s.run.compete.form = forms[f];
            assert_int_equal(analyze_cooc_make(&c, &sae_ops_cpu, want.m, want.d, ckpt.model.W_dec,
                                               &ckpt.heldout, &u, &s, NULL),
                             SAE_OK);
            sae_ops_cpu.orth_masks(want.m, want.d, ckpt.model.W_dec, &masks, &s.run.compete, 1,
                                   false, NULL, NULL, NULL, sum);
            assert_int_equal(c.run.n_pairs, sum[1]);
            assert_near(c.run.loss, sum[0], 1e-4 * sum[0] + 1e-9);
            assert_near(c.run.mean_abs_cos * sum[1], sum[2], 1e-5 * sum[1]);
            assert_near(c.run.max_abs_cos, sum[3], 1e-5);
            analyze_cooc_clear(&c);
        }
    sae_csc_free(&csc, &sae_ops_cpu);
    analyze_usage_clear(&u);
    sae_ckpt_clear(&ckpt);
}

/* Percentiles against all values sorted: within the resolution that the result states. */
static void percentiles_are_within_their_resolution(void **state)
{
    (void)state;
    const struct make_ckpt want = make_ckpt_default();
    struct sae_ckpt ckpt;
    struct analyze_usage u;
    struct analyze_cooc c;
    const struct analyze_cooc_settings s = settings_of(0.3, 5);
    const size_t m = want.m;
    assert_int_equal(make_ckpt_fill(&ckpt, &want, NULL), SAE_OK);
    const struct sae_masks *const masks = &ckpt.heldout;
    assert_int_equal(analyze_usage_make(&u, m, masks, NULL), SAE_OK);
    assert_int_equal(analyze_cooc_make(&c, &sae_ops_cpu, m, want.d, ckpt.model.W_dec, masks, &u, &s, NULL),
                     SAE_OK);
    uint32_t *const both = calloc(m * m, sizeof *both);
    for (size_t t = 0; t < masks->n_rows; t++)
        for (uint64_t e = masks->start[t]; e < masks->start[t + 1]; e++)
            for (uint64_t f = e + 1; f < masks->start[t + 1]; f++)
                both[masks->idx[e] * m + masks->idx[f]]++;
    double *const v = calloc(m * m, sizeof *v);
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) {
        const bool logs = kind == SAE_OVERLAP_LIFT || kind == SAE_OVERLAP_BATCH;
        const double got[] = {c.of[kind].median, c.of[kind].p95}, at[] = {0.5, 0.95};
        size_t n = 0;
        for (size_t i = 0; i < m; i++)
            for (size_t j = i + 1; j < m; j++)
                if (both[i * m + j] > 0 && u.n[i] >= s.floor && u.n[j] >= s.floor)
                    v[n++] = sae_overlap_value((enum sae_overlap)kind, (double)masks->n_rows,
                                               (double)u.n[i], (double)u.n[j], both[i * m + j]);
        analyze_sort(v, n);
        assert_int_equal(n, c.n_met);
        for (size_t q = 0; q < 2; q++) {
            const size_t rank = (size_t)ceil(at[q] * (double)n) - 1;
            if (logs)
                assert_near(log10(got[q]), log10(v[rank]), 1.0 / ANALYZE_DECADE_BINS);
            else
                assert_near(got[q], v[rank], 1.0 / ANALYZE_UNIT_BINS);
        }
    }
    free(v);
    free(both);
    analyze_cooc_clear(&c);
    analyze_usage_clear(&u);
    sae_ckpt_clear(&ckpt);
}

/* Latents in reverse: no number may change, but for the order of sums. */
static void order_of_latents_does_not_matter(void **state)
{
    (void)state;
    struct make_ckpt want = make_ckpt_default();
    struct sae_ckpt a, b;
    const size_t m = want.m, d = want.d;
    assert_int_equal(make_ckpt_fill(&a, &want, NULL), SAE_OK);
    assert_int_equal(make_ckpt_fill(&b, &want, NULL), SAE_OK);
    for (size_t i = 0; i < m; i++)
        memcpy(b.model.W_dec + i * d, a.model.W_dec + (m - 1 - i) * d, d * sizeof(float));
    for (size_t t = 0; t < want.tokens; t++) {
        const uint64_t first = a.heldout.start[t], end = a.heldout.start[t + 1];
        for (uint64_t e = first; e < end; e++)
            b.heldout.idx[e] = (uint32_t)(m - 1) - a.heldout.idx[first + end - 1 - e];
    }
    struct analyze_cooc got[2];
    struct sae_ckpt *both[2] = {&a, &b};
    const struct analyze_cooc_settings s = settings_of(0.3, 5);
    for (size_t v = 0; v < 2; v++) {
        struct analyze_usage u;
        assert_int_equal(analyze_usage_make(&u, m, &both[v]->heldout, NULL), SAE_OK);
        assert_int_equal(analyze_cooc_make(&got[v], &sae_ops_cpu, m, d, both[v]->model.W_dec,
                                           &both[v]->heldout, &u, &s, NULL),
                         SAE_OK);
        analyze_usage_clear(&u);
    }
    assert_int_equal(got[0].n_met, got[1].n_met);
    assert_memory_equal(got[0].joint.met, got[1].joint.met,
                        got[0].joint.n_cos * got[0].joint.n_overlap * sizeof(uint64_t));
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++)
        assert_memory_equal(got[0].of[kind].hist.count, got[1].of[kind].hist.count,
                            got[0].of[kind].hist.n * sizeof(uint64_t));
    assert_near(got[0].run.loss, got[1].run.loss, 1e-9);
    assert_near(got[0].corr_abs, got[1].corr_abs, 1e-9);
    /* and the families of the fabricated masks must show: fired together, near in direction */
    assert_true(got[0].corr_abs > 0.02);
    assert_true(got[0].corr_cos > 0.02);
    for (size_t v = 0; v < 2; v++) {
        analyze_cooc_clear(&got[v]);
        sae_ckpt_clear(both[v]);
    }
}

static void rule_at_half_way(void **state)
{
    (void)state;
    struct make_ckpt want = make_ckpt_default();
    struct sae_ckpt ckpt;
    assert_int_equal(make_ckpt_fill(&ckpt, &want, NULL), SAE_OK);
    struct analyze_rule rule = analyze_rule_of(&ckpt); /* orth none */
    assert_false(rule.recorded);
    assert_near(rule.compete.tau, 0.1, 0);
    sae_ckpt_clear(&ckpt);
    want.orth = "progressive"; /* lambda2 0.5 (1 - p)^2, tau 0.2 (1 - p), p = 1/2 */
    assert_int_equal(make_ckpt_fill(&ckpt, &want, NULL), SAE_OK);
    rule = analyze_rule_of(&ckpt);
    assert_true(rule.recorded);
    assert_near(rule.compete.tau, 0.1, 1e-12);
    assert_near(rule.lambda2, 0.125, 1e-12);
    json_t *options = json_object_get(ckpt.record, "options");
    json_object_set_new(options, "threshold-schedule", json_string("up"));
    json_object_set_new(options, "competition", json_string("sigmoid"));
    json_object_set_new(options, "overlap", json_string("jaccard"));
    json_object_set_new(options, "min-count", json_string("7"));
    json_object_set_new(options, "orth-normalizer", json_string("latent"));
    rule = analyze_rule_of(&ckpt);
    assert_near(rule.compete.tau, 0.3, 1e-12);
    assert_int_equal(rule.compete.form, SAE_COMPETE_SIGMOID);
    assert_int_equal(rule.compete.overlap, SAE_OVERLAP_JACCARD);
    assert_near(rule.compete.min_count, 7, 0);
    assert_int_equal(rule.normaliser, ANALYZE_LATENT);
    /* with momentum the threshold is the one that was logged last: 0.1 (1 - 1/2) */
    json_object_set_new(options, "threshold-momentum", json_string("0.9"));
    rule = analyze_rule_of(&ckpt);
    assert_near(rule.compete.tau, 0.05, 1e-12);
    json_object_set_new(options, "orth", json_string("static"));
    json_object_del(options, "gamma");
    rule = analyze_rule_of(&ckpt);
    assert_near(rule.lambda2, 0.5, 1e-12);
    sae_ckpt_clear(&ckpt);
}

static void sample_in_neighbour_order(void **state)
{
    (void)state;
    struct analyze_usage u;
    struct analyze_sample sample;
    assert_int_equal(analyze_usage_make(&u, 4, &masks_b, NULL), SAE_OK);
    /* latent 0 fires most; closest to it is 2 (0.6), then 1; 3 never fires */
    assert_int_equal(analyze_sample_make(&sample, 4, 2, rows_b, &u, 4, NULL), SAE_OK);
    const uint32_t order[] = {0, 2, 1};
    assert_int_equal(sample.n, 3);
    assert_memory_equal(sample.latent, order, sizeof order);
    assert_near(sample.cos[0 * 3 + 1], 0.6, 1e-6);
    assert_near(sample.cos[1 * 3 + 2], 0.8, 1e-6);
    assert_near(sample.cos[2 * 3 + 2], 1, 1e-6);
    analyze_sample_clear(&sample);
    assert_int_equal(analyze_sample_make(&sample, 4, 2, rows_b, NULL, 9, NULL), SAE_OK);
    assert_int_equal(sample.n, 4);
    assert_int_equal(sample.latent[1], 3); /* its direction is that of latent 0 */
    analyze_sample_clear(&sample);
    analyze_usage_clear(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_of_four_tokens),
        cmocka_unit_test(damaged_masks_are_refused),
        cmocka_unit_test(chance_of_four_tokens),
        cmocka_unit_test(phi_of_pairs),
        cmocka_unit_test(overlaps_of_four_tokens),
        cmocka_unit_test(competition_of_four_tokens),
        cmocka_unit_test(floor_and_pairs_that_never_meet),
        cmocka_unit_test(competition_agrees_with_training),
        cmocka_unit_test(percentiles_are_within_their_resolution),
        cmocka_unit_test(order_of_latents_does_not_matter),
        cmocka_unit_test(rule_at_half_way),
        cmocka_unit_test(sample_in_neighbour_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
