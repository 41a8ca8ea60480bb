/* SPDX-License-Identifier: MIT */
/* test_gemm : products with packed weights: every kernel that this processor has against the plain
 * reference of a language model's product, in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/bf16.h"
#include "lib/base/rng.h"
#include "lib/math/gemm.h"
#include "lib/math/lm.h"

/* Tiles and panels that are full, end early, or are one element; blocks of columns likewise. */
enum { N = 14, OUT = 130, IN = 2 * SAE_GEMM_BLOCK + 3 };
static const size_t rows[] = {1, 5, 6, 7, N}, outs[] = {1, 63, 64, 65, OUT},
                    ins[] = {1, 2, 7, SAE_GEMM_BLOCK, SAE_GEMM_BLOCK + 1, IN};
enum { N_ROWS = 5, N_OUTS = 5, N_INS = 6 };

static float x[N * IN], w[OUT * IN], want[N * OUT], have[N * OUT], sizes[N * OUT];

static void *reserve(size_t bytes)
{
    void *const p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(p);
    return p;
}

static void fill(float *to, size_t n, uint64_t stream)
{
    struct sae_rng rng = sae_rng_make(11, SAE_RNG_TEST + stream);
    for (size_t i = 0; i < n; i++)
        to[i] = (float)sae_rng_normal(&rng);
}

static void multiply(const struct sae_gemm *g, size_t n, size_t n_out, size_t n_in,
                     const float *from, float *y)
{
    const size_t panel = sae_gemm_panel_size(g, n_in);
    char *const packed = reserve(sae_gemm_panels(n_out) * panel);
    void *const factors = reserve(n * n_in * sizeof(float));
    for (size_t j = 0; j < n_out; j += SAE_GEMM_COLUMNS)
        g->pack(n_out - j < SAE_GEMM_COLUMNS ? n_out - j : SAE_GEMM_COLUMNS, n_in, w + j * n_in,
                packed + j / SAE_GEMM_COLUMNS * panel);
    if (g->factors)
        g->factors(n, n_in, from, n_in, factors);
    g->product(n, n_out, n_in, g->factors ? factors : from, n_in, packed, y, n_out);
    free(packed);
    free(factors);
}

/* The reference's sums, and those of the absolute values, which bound what rounding may do. */
static void refer(enum sae_precision how, size_t n, size_t n_out, size_t n_in)
{
    static float a[N * IN], b[OUT * IN];
    const float *const from[2] = {x, w};
    float *const to[2] = {a, b};
    const size_t count[2] = {n * n_in, n_out * n_in};
    for (size_t absolute = 0; absolute < 2; absolute++) {
        for (size_t f = 0; f < 2; f++)
            for (size_t i = 0; i < count[f]; i++) {
                const float v = absolute ? fabsf(from[f][i]) : from[f][i];
                to[f][i] = how == SAE_BF16 ? sae_bf16_to_f32(sae_bf16_from_f32(v)) : v;
            }
        sae_lm_ref.product(SAE_F32, n, n_out, n_in, a, b, absolute ? sizes : want);
    }
}

static void check_shape(const struct sae_gemm *g, size_t n, size_t n_out, size_t n_in)
{
    refer(g->how, n, n_out, n_in);
    multiply(g, n, n_out, n_in, x, have);
    for (size_t i = 0; i < n * n_out; i++) {
        const double bound = 0x1p-23 * (double)(n_in + 2) * (double)sizes[i];
        if (!(fabs((double)have[i] - (double)want[i]) <= bound))
            fail_msg("%s %s, %zu x %zu x %zu: element %zu is %g, expected %g within %g", g->name,
                     sae_precision_names[g->how], n, n_out, n_in, i, (double)have[i],
                     (double)want[i], bound);
    }
}

static void test_reference(void **state)
{
    (void)state;
    size_t n;
    const struct sae_gemm *const all = sae_gemm_all(&n);
    fill(x, N * IN, 0);
    fill(w, OUT * IN, 1);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < N_ROWS * N_OUTS * N_INS && sae_gemm_usable(&all[k]); i++)
            check_shape(&all[k], rows[i % N_ROWS], outs[i / N_ROWS % N_OUTS],
                        ins[i / N_ROWS / N_OUTS]);
}

/* A row gives the same bits alone and among others, whatever those hold. */
static void test_rows_alone(void **state)
{
    (void)state;
    size_t n;
    const struct sae_gemm *const all = sae_gemm_all(&n);
    fill(x, N * IN, 2);
    for (size_t k = 0; k < n; k++) {
        float alone[OUT];
        if (!sae_gemm_usable(&all[k]))
            continue;
        x[IN] = NAN;
        x[2 * IN] = INFINITY;
        multiply(&all[k], N, OUT, IN, x, have);
        for (size_t t = 0; t < N; t++) {
            multiply(&all[k], 1, OUT, IN, x + t * IN, alone);
            for (size_t j = 0; j < OUT; j++) {
                assert_true(t == 1 ? isnan(have[t * OUT + j])
                                   : t == 2 || isfinite(have[t * OUT + j]));
                assert_true(t == 1 || memcmp(&have[t * OUT + j], &alone[j], sizeof *alone) == 0);
            }
        }
    }
}

/* With bf16 factors one product is exact, so kernels that add one at a time agree bit for bit. */
static void test_levels_agree(void **state)
{
    (void)state;
    size_t n;
    const struct sae_gemm *const all = sae_gemm_all(&n);
    fill(x, N * IN, 3);
    multiply(&all[1], N, OUT, IN, x, want);
    assert_int_equal(all[1].how, SAE_BF16);
    for (size_t k = 2; k < n; k++) {
        if (!sae_gemm_usable(&all[k]) || all[k].how != SAE_BF16 || all[k].factor != sizeof(float))
            continue;
        multiply(&all[k], N, OUT, IN, x, have);
        assert_memory_equal(have, want, sizeof want);
    }
}

static void test_choice(void **state)
{
    (void)state;
    assert_non_null(sae_gemm_find(SAE_F32));
    assert_int_equal(sae_gemm_find(SAE_BF16)->how, SAE_BF16);
    assert_null(sae_gemm_find(SAE_TF32));
    setenv("SAE_CPU_LEVEL", "portable", 1);
    assert_string_equal(sae_gemm_find(SAE_F32)->name, "portable");
    unsetenv("SAE_CPU_LEVEL");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_rows_alone),
        cmocka_unit_test(test_levels_agree),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
