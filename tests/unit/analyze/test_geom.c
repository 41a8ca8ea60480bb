/* SPDX-License-Identifier: MIT */
/* Directions, spectrum, graph and baselines, against the worked examples of docs/MATH.md,
 * "Separation metrics". */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analyze/geom.h"
#include "analyze/graph.h"
#include "analyze/random.h"
#include "analyze/spectrum.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"

#define assert_near(a, b, tol)                                                                     \
    do {                                                                                           \
        if (!(fabs((double)(a) - (double)(b)) <= (tol)))                                           \
            fail_msg("%s is %.9g, expected %.9g", #a, (double)(a), (double)(b));                   \
    } while (0)

/* Example A: rows (1,0), (0,2), (3,4); as unit rows (1,0), (0,1), (0.6,0.8). */
static const float rows_a[6] = {1, 0, 0, 2, 3, 4};

static void random_rows(size_t m, size_t d, float *U)
{
    struct sae_rng rng = sae_rng_make(7, SAE_RNG_TEST);
    float *W;
    assert_int_equal(sae_mem_alloc(&W, m * d, sizeof *W, NULL), SAE_OK);
    for (size_t e = 0; e < m * d; e++)
        W[e] = (float)sae_rng_normal(&rng);
    analyze_geom_unit(m, d, W, U);
    free(W);
}

static void histogram_bins_and_quantiles(void **state)
{
    (void)state;
    struct analyze_hist h;
    assert_int_equal(analyze_hist_init(&h, 0, 1, 4, NULL), SAE_OK);
    assert_true(isnan(analyze_hist_quantile(&h, 0.5)));
    const double values[] = {0.1, 0.25, 0.3, 1.7}; /* 0.25 is in bin 1; 1.7 is clamped */
    for (size_t i = 0; i < 4; i++)
        analyze_hist_add(&h, values[i]);
    const uint64_t want[] = {1, 2, 0, 1};
    assert_memory_equal(h.count, want, sizeof want);
    /* half of 4 is 2: one in bin 0, then one of the two in bin 1, half way through it */
    assert_near(analyze_hist_quantile(&h, 0.5), 0.375, 1e-12);
    assert_near(analyze_hist_quantile(&h, 1), 1, 1e-12);
    assert_int_equal(analyze_hist_bin(&h, -5), 0);
    assert_int_equal(analyze_hist_bin(&h, NAN), 0);
    struct analyze_hist folded;
    assert_int_equal(analyze_hist_init(&folded, 0, 1, 2, NULL), SAE_OK);
    analyze_hist_fold(&folded, &h);
    assert_int_equal(folded.count[0], 3);
    assert_int_equal(folded.count[1], 1);
    analyze_hist_clear(&folded);
    analyze_hist_clear(&h);
    const double sorted[] = {1, 2, 4};
    assert_near(analyze_sorted_quantile(sorted, 3, 0.75), 3, 1e-12);
}

static void unit_rows_and_zero_rows(void **state)
{
    (void)state;
    const float W[6] = {3, 4, 0, 0, 0, -2};
    float U[6];
    assert_int_equal(analyze_geom_unit(3, 2, W, U), 1);
    const float want[6] = {0.6F, 0.8F, 0, 0, 0, -1};
    for (size_t e = 0; e < 6; e++)
        assert_near(U[e], want[e], 1e-7);
    double cos[3];
    const float V[6] = {4, 3, 1, 1, 0, 7};
    analyze_geom_paired(3, 2, W, V, cos); /* 24/25, 0 (no direction), -1 */
    assert_near(cos[0], 0.96, 1e-12);
    assert_near(cos[1], 0, 0);
    assert_near(cos[2], -1, 1e-12);
}

static void dot_of_any_length(void **state)
{
    (void)state;
    float a[37], b[37];
    for (size_t n = 0; n <= 37; n++) {
        double want = 0;
        for (size_t j = 0; j < n; j++) {
            a[j] = (float)j - 3;
            b[j] = 2 - (float)(j % 5);
            want += (double)a[j] * (double)b[j];
        }
        assert_near(analyze_geom_dot(n, a, b), want, 1e-4);
    }
}

static void cosines_of_three_rows(void **state)
{
    (void)state;
    const struct sae_ops *const backends[] = {&sae_ops_ref, &sae_ops_cpu};
    for (size_t b = 0; b < 2; b++) {
        float U[6];
        struct analyze_cosines c;
        struct analyze_moments moments;
        assert_int_equal(analyze_geom_unit(3, 2, rows_a, U), 0);
        assert_int_equal(analyze_geom_cosines(&c, backends[b], 3, 2, U, 4, NULL), SAE_OK);
        const uint64_t want[] = {0, 0, 1, 2}; /* cosines 0, 0.6, 0.8 */
        assert_memory_equal(c.hist.count, want, sizeof want);
        assert_int_equal(c.hist.total, 3);
        const double most[] = {0.6, 0.8, 0.8}, least[] = {0, 0, 0.6};
        const uint32_t who[] = {2, 2, 1};
        for (size_t i = 0; i < 3; i++) {
            assert_near(c.row_max[i], most[i], 1e-6);
            assert_near(c.row_min[i], least[i], 1e-6);
            assert_int_equal(c.row_argmax[i], who[i]);
        }
        analyze_geom_moments(&moments, &c, U, 5, 1.4);
        assert_near(moments.mean, 1.4 / 3, 1e-6);
        assert_near(moments.std, 0.339935, 1e-5);
        assert_near(moments.coherence, 0.8, 1e-6);
        assert_near(moments.mean_abs, 1.4 / 3, 1e-12);
        assert_near(analyze_geom_share_abs(&c.hist, 0.5), 2.0 / 3, 1e-12);
        analyze_geom_clear(&c);
    }
}

static void ranks_of_three_rows(void **state)
{
    (void)state;
    float U[6];
    double eig[2];
    struct analyze_ranks ranks;
    analyze_geom_unit(3, 2, rows_a, U);
    assert_int_equal(analyze_spectrum_eigenvalues(&sae_ops_cpu, 3, 2, U, eig, NULL), SAE_OK);
    assert_near(eig[0], 2, 1e-6);
    assert_near(eig[1], 1, 1e-6);
    analyze_spectrum_ranks(&ranks, eig, 2, 3);
    assert_near(ranks.frame_potential, 5, 1e-5);
    assert_near(ranks.participation, 1.8, 1e-6);
    assert_near(ranks.stable, 1.5, 1e-6);
    assert_near(ranks.effective, 1.970644, 1e-5);
    assert_near(ranks.off_diagonal, sqrt(2), 1e-5);
}

static void tight_frames_reach_the_bounds(void **state)
{
    (void)state;
    /* three directions 120 degrees apart: the best that three can do in the plane */
    const float W[6] = {1, 0, -0.5F, 0.8660254F, -0.5F, -0.8660254F};
    float U[6];
    double eig[2];
    struct analyze_ranks ranks;
    struct analyze_cosines c;
    struct analyze_moments moments;
    analyze_geom_unit(3, 2, W, U);
    assert_int_equal(analyze_spectrum_eigenvalues(&sae_ops_cpu, 3, 2, U, eig, NULL), SAE_OK);
    analyze_spectrum_ranks(&ranks, eig, 2, 3);
    assert_int_equal(analyze_geom_cosines(&c, &sae_ops_ref, 3, 2, U, 40, NULL), SAE_OK);
    analyze_geom_moments(&moments, &c, U, ranks.frame_potential, 1.5);
    assert_near(moments.coherence, analyze_welch_bound(3, 2), 1e-6);
    assert_near(ranks.frame_potential, analyze_frame_bound(3, 2), 1e-5);
    assert_near(ranks.effective, 2, 1e-6);
    assert_near(moments.std, 0, 1e-3);
    analyze_geom_clear(&c);
    /* and an orthonormal basis */
    const float axes[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    double ones[3];
    assert_int_equal(analyze_spectrum_eigenvalues(&sae_ops_cpu, 3, 3, axes, ones, NULL), SAE_OK);
    analyze_spectrum_ranks(&ranks, ones, 3, 3);
    assert_near(ranks.effective, 3, 1e-9);
    assert_near(ranks.participation, 3, 1e-9);
    assert_near(ranks.stable, 3, 1e-9);
    assert_near(ranks.off_diagonal, 0, 1e-6);
    assert_near(analyze_frame_bound(3, 3), 3, 0);
    assert_near(analyze_welch_bound(3, 3), 0, 0);
}

static void fewer_rows_than_dimensions(void **state)
{
    (void)state;
    const float U[8] = {1, 0, 0, 0, 0, 1, 0, 0};
    double eig[4], random_eig[4];
    assert_int_equal(analyze_spectrum_eigenvalues(&sae_ops_cpu, 2, 4, U, eig, NULL), SAE_OK);
    const double want[] = {1, 1, 0, 0};
    for (size_t i = 0; i < 4; i++)
        assert_near(eig[i], want[i], 1e-9);
    analyze_random_eigenvalues(2, 4, random_eig);
    assert_near(random_eig[2] + random_eig[3], 0, 0);
    assert_near(random_eig[0] + random_eig[1], 2, 1e-12);
}

static void clustering_of_a_kite(void **state)
{
    (void)state;
    /* triangle 0 1 2 with a tail 2-3: degrees 2 2 3 1, connected triples 1 + 1 + 3 + 0 = 5 */
    const struct analyze_edge edges[] = {
        {0, 1, 0.5F},
        {0, 2, 0.5F},
        {1, 2, 0.5F},
        {2, 3, 0.3F}
    };
    double clustering;
    assert_int_equal(analyze_graph_clustering(&clustering, 4, edges, 4, 0.2, NULL), SAE_OK);
    assert_near(clustering, 0.6, 1e-12);
    assert_int_equal(analyze_graph_clustering(&clustering, 4, edges, 4, 0.4, NULL), SAE_OK);
    assert_near(clustering, 1, 1e-12);
    assert_int_equal(analyze_graph_clustering(&clustering, 4, edges, 4, 0.9, NULL), SAE_OK);
    assert_true(isnan(clustering));
}

static void close_pairs_of_three_rows(void **state)
{
    (void)state;
    float U[6];
    struct analyze_graph g;
    analyze_geom_unit(3, 2, rows_a, U);
    assert_int_equal(analyze_graph_make(&g, &sae_ops_cpu, 3, 2, U, NULL, 2, 100, 0.75, NULL), SAE_OK);
    assert_int_equal(g.n_top, 2);
    assert_int_equal(g.top[0].i, 1);
    assert_int_equal(g.top[0].j, 2);
    assert_near(g.top[0].cos, 0.8, 1e-6);
    assert_int_equal(g.top[1].i, 0);
    assert_int_equal(g.n_edges[0], 2); /* cos > 0.2 */
    assert_int_equal(g.n_edges[5], 1); /* cos > 0.7 */
    assert_int_equal(g.n_edges[7], 0); /* cos > 0.9 */
    assert_int_equal(g.n_above, 1);
    assert_int_equal(g.n_below, 0);
    assert_near(g.sum_abs, 1.4, 1e-6);
    assert_near(g.density[0], 2.0 / 3, 1e-12);
    assert_near(g.clustering[0], 0, 0); /* a path has a triple and no triangle */
    assert_true(isnan(g.clustering[5]));
    analyze_graph_clear(&g);
    assert_int_equal(analyze_graph_make(&g, &sae_ops_cpu, 3, 2, U, NULL, 0, 100, 0.75, NULL), SAE_OK);
    assert_int_equal(g.n_top, 0);
    analyze_graph_clear(&g);
}

/* Rows 0, 1: one direction, whose rounded dot product is above 1; row 2: its opposite. Sums are exact,
 * the opposite is listed, and nothing is beyond 1. */
static void opposite_and_equal_rows(void **state)
{
    (void)state;
    enum { D = 7 };
    float W[4 * D] = {0}, U[4 * D];
    struct analyze_graph g;
    struct analyze_cosines c;
    struct analyze_moments moments;
    const bool some[4] = {true, false, true, true};
    for (size_t j = 0; j < D; j++) {
        W[j] = W[D + j] = (float)(0.37 + 0.11 * (double)j);
        W[2 * D + j] = -3 * W[j];
    }
    W[3 * D] = 1;
    analyze_geom_unit(4, D, W, U);
    for (size_t j = 0; j < D; j++)
        U[D + j] = U[j] *= 1 + 1e-6F; /* as far as rounding goes */
    const double first = fabs((double)U[0]);
    assert_int_equal(analyze_graph_make(&g, &sae_ops_cpu, 4, D, U, some, 6, 100, 0.9, NULL), SAE_OK);
    assert_int_equal(g.n_above, 1);
    assert_int_equal(g.n_below, 2);
    assert_true(g.top[0].cos == 1);
    assert_true(g.top[1].i == 0 && g.top[1].j == 2 && g.top[1].cos <= -0.999999F);
    assert_near(g.sum_abs, 3 + 3 * first, 1e-5);
    assert_near(g.sum_abs_some, 1 + 2 * first, 1e-5); /* pairs 02, 03, 23 */
    assert_int_equal(analyze_geom_cosines(&c, &sae_ops_cpu, 4, D, U, 40, NULL), SAE_OK);
    analyze_geom_moments(&moments, &c, U, 10, g.sum_abs);
    assert_true(moments.coherence == 1 && moments.max == 1 && moments.min >= -1);
    assert_near(moments.mean_abs, g.sum_abs / 6, 1e-12);
    analyze_geom_clear(&c);
    analyze_graph_clear(&g);
}

/* Several blocks of rows, and too many edges to keep: what is still counted must not change. */
static void graphs_that_are_too_large(void **state)
{
    (void)state;
    enum { M = 700, D = 6 };
    float *U;
    struct analyze_graph all, some, ref;
    assert_int_equal(sae_mem_alloc(&U, M * D, sizeof *U, NULL), SAE_OK);
    random_rows(M, D, U);
    assert_int_equal(analyze_graph_make(&all, &sae_ops_cpu, M, D, U, NULL, 9, 1000000, 0.9, NULL),
                     SAE_OK);
    assert_int_equal(analyze_graph_make(&ref, &sae_ops_ref, M, D, U, NULL, 9, 1000000, 0.9, NULL),
                     SAE_OK);
    const size_t cap = (size_t)all.n_edges[4] + 10; /* room for cos > 0.6 and higher */
    assert_int_equal(analyze_graph_make(&some, &sae_ops_cpu, M, D, U, NULL, 9, cap, 0.9, NULL), SAE_OK);
    for (size_t level = 0; level < ANALYZE_GRAPH_LEVELS; level++) {
        assert_int_equal(some.n_edges[level], all.n_edges[level]);
        assert_true(labs((long)ref.n_edges[level] - (long)all.n_edges[level]) <= 1);
        assert_true(all.clustering[level] > 0);
        if (level < 4)
            assert_true(isnan(some.clustering[level]));
        else
            assert_near(some.clustering[level], all.clustering[level], 1e-12);
    }
    assert_int_equal(all.n_above, all.n_edges[7]);
    for (size_t p = 0; p < 9; p++) {
        assert_int_equal(some.top[p].i, all.top[p].i);
        assert_int_equal(ref.top[p].j, all.top[p].j);
        if (p > 0)
            assert_true(fabsf(all.top[p].cos) <= fabsf(all.top[p - 1].cos));
    }
    analyze_graph_clear(&all);
    analyze_graph_clear(&some);
    analyze_graph_clear(&ref);
    free(U);
}

static void baselines_known_in_closed_form(void **state)
{
    (void)state;
    const double pi = 3.14159265358979;
    /* in space a cosine is uniform on [-1, 1]: largest of n (n - 1) / (n + 1), absolute n / (n + 1)
     */
    assert_near(analyze_random_max_cos(1, 3), 0, 1e-9);
    assert_near(analyze_random_max_cos(2, 3), 1.0 / 3, 1e-6);
    assert_near(analyze_random_max_cos(9, 3), 0.8, 1e-6);
    assert_near(analyze_random_max_abs_cos(1, 3), 0.5, 1e-6);
    assert_near(analyze_random_max_abs_cos(4, 3), 0.8, 1e-6);
    assert_near(analyze_random_max_density(0.5, 3, 3), 1.5 * 0.75 * 0.75, 1e-6);
    assert_near(analyze_random_max_density(-0.5, 3, 3), 1.5 * 0.25 * 0.25, 1e-6);
    assert_near(analyze_random_mean_abs_cos(3), 0.5, 1e-12);
    assert_near(analyze_random_share_abs_cos(0.25, 3), 0.75, 1e-6);
    /* in the plane its angle is uniform */
    assert_near(analyze_random_max_abs_cos(1, 2), 2 / pi, 1e-6);
    assert_near(analyze_random_mean_abs_cos(2), 2 / pi, 1e-12);
    assert_near(analyze_random_share_abs_cos(sqrt(0.75), 2), 1.0 / 3, 1e-6);
    /* means over eight made-up dictionaries of 2048 rows: 0.29915 and 0.31413, s.e. 0.0003 */
    assert_near(analyze_random_max_cos(2047, 128), 0.29878, 1e-5);
    assert_near(analyze_random_max_abs_cos(2047, 128), 0.31400, 1e-5);
    assert_near(analyze_random_max_abs_cos(0.5 * 2048 * 2047, 128), 0.43398, 1e-5);
    assert_near(analyze_random_frame(10, 5), 28, 1e-12);
    /* the density of a maximum sums to 1 */
    double sum = 0;
    for (int i = -500; i <= 500; i++)
        sum += analyze_random_max_density(i / 500.0, 1000, 64) / 500;
    assert_near(sum, 1, 1e-3);
}

/* Random directions must read as random on every baseline. */
static void random_directions_meet_their_baselines(void **state)
{
    (void)state;
    enum { M = 600, D = 150 };
    float *U;
    double eig[D], expected[D], nearest[M];
    struct analyze_cosines c;
    struct analyze_moments moments;
    struct analyze_ranks ranks, base;
    struct analyze_summary summary;
    assert_int_equal(sae_mem_alloc(&U, M * D, sizeof *U, NULL), SAE_OK);
    random_rows(M, D, U);
    assert_int_equal(analyze_geom_cosines(&c, &sae_ops_cpu, M, D, U, 2000, NULL), SAE_OK);
    assert_int_equal(analyze_spectrum_eigenvalues(&sae_ops_cpu, M, D, U, eig, NULL), SAE_OK);
    analyze_spectrum_ranks(&ranks, eig, D, M);
    analyze_random_eigenvalues(M, D, expected);
    analyze_spectrum_ranks(&base, expected, D, M);
    struct analyze_graph g;
    assert_int_equal(analyze_graph_make(&g, &sae_ops_cpu, M, D, U, NULL, 0, 1000000, 0.9, NULL), SAE_OK);
    analyze_geom_moments(&moments, &c, U, ranks.frame_potential, g.sum_abs);
    analyze_graph_clear(&g);
    assert_near(moments.mean, 0, 1e-3);
    assert_near(moments.std, 1 / sqrt(D), 1e-3);
    assert_near(moments.mean_abs, analyze_random_mean_abs_cos(D), 1e-3);
    assert_near(ranks.frame_potential / analyze_random_frame(M, D), 1, 0.01);
    assert_near(ranks.effective / base.effective, 1, 0.005);
    assert_near(ranks.participation / base.participation, 1, 0.01);
    assert_near(ranks.stable / base.stable, 1, 0.03);
    for (size_t i = 0; i < M; i++)
        nearest[i] = (double)c.row_max[i];
    analyze_summary_of(&summary, nearest, M);
    assert_near(summary.mean / analyze_random_max_cos(M - 1, D), 1, 0.01);
    analyze_geom_clear(&c);
    free(U);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histogram_bins_and_quantiles),
        cmocka_unit_test(unit_rows_and_zero_rows),
        cmocka_unit_test(dot_of_any_length),
        cmocka_unit_test(cosines_of_three_rows),
        cmocka_unit_test(ranks_of_three_rows),
        cmocka_unit_test(tight_frames_reach_the_bounds),
        cmocka_unit_test(fewer_rows_than_dimensions),
        cmocka_unit_test(clustering_of_a_kite),
        cmocka_unit_test(close_pairs_of_three_rows),
        cmocka_unit_test(opposite_and_equal_rows),
        cmocka_unit_test(graphs_that_are_too_large),
        cmocka_unit_test(baselines_known_in_closed_form),
        cmocka_unit_test(random_directions_meet_their_baselines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
