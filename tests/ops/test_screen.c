/* SPDX-License-Identifier: MIT */
/* test_screen : the screened encoder on inputs made to mislead it, and its 16-bit products at every
 * level of this processor. Whatever it decides must be exact (check_encoded); what it may leave to
 * the product in f32 is stated for each input. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkops.h"
#include "lib/base/rng.h"
#include "lib/math/cpu/cpu_screen.h"

static const struct shape shape = {270, 1100, 131, 20}; /* a second block of tokens, tails */

/* Inputs by name; what the generator of the plain ones is multiplied with. */
enum input { PLAIN, OUTLIERS, SPIKE, TIES, TWINS, NANS, DENORMAL, ZEROS, TINY_ROW, BIASED, LONG,
             WILD };
static const struct {
    const char *name;
    size_t failed_min, failed_max; /* rows left undecided; n: all */
} inputs[] = {
    [PLAIN] = {"plain", 0, 0},
    [OUTLIERS] = {"outlier dimensions", 0, 0},
    [SPIKE] = {"one element is nearly all of a row", 0, 270},
    [TIES] = {"integers", 0, 0},
    [TWINS] = {"equal rows", 200, 270}, /* a hundred ties are more than there is room for */
    [NANS] = {"rows with NaN and infinity", 4, 4},
    [DENORMAL] = {"denormal", 0, 270},
    [ZEROS] = {"zeros", 0, 270},
    [TINY_ROW] = {"a latent of length 1e-35", 0, 0},
    [BIASED] = {"large biases", 0, 0},
    [LONG] = {"a row of length 1e20", 1, 1},
    [WILD] = {"a latent with NaN", 270, 270},
};
enum { N_INPUTS = sizeof inputs / sizeof *inputs };

static void normals(uint64_t stream, size_t n, float *to)
{
    struct sae_rng rng = sae_rng_make(7, SAE_RNG_TEST + stream);
    for (size_t i = 0; i < n; i++)
        to[i] = (float)sae_rng_normal(&rng);
}

static void fill(enum input input, float *x, float *W, float *b)
{
    const size_t n = shape.n, m = shape.m, d = shape.d;
    normals(1, n * d, x);
    normals(2, m * d, W);
    normals(3, m, b);
    for (size_t i = 0; i < n * d; i++) {
        if (input == OUTLIERS && i % d % 50 == 3)
            x[i] *= 300;
        if (input == SPIKE && i % d == 5)
            x[i] = 1e5F;
        if (input == TIES)
            x[i] = roundf(x[i]);
        if (input == DENORMAL)
            x[i] *= 1e-39F;
        if (input == ZEROS && i / d % 2)
            x[i] = 0;
    }
    for (size_t i = 0; i < m * d; i++) {
        if (input == TIES)
            W[i] = roundf(W[i]);
        if (input == TWINS && i / d % 100 > 0)
            W[i] = W[i / d / 100 * 100 * d + i % d];
        if (input == TINY_ROW && i / d == 17)
            W[i] *= 1e-35F;
        if (input == ZEROS)
            W[i] *= i / d % 3 > 0;
    }
    for (size_t j = 0; j < m; j++)
        b[j] = input == TIES ? roundf(b[j])
               : input == TWINS || input == DENORMAL ? 0
               : input == BIASED ? b[j] * 1000 : b[j];
    if (input == NANS) {
        x[3 * d] = NAN;
        x[4 * d + 130] = INFINITY;
        x[260 * d + 7] = -INFINITY;
        x[269 * d] = NAN;
        b[9] = NAN;
    }
    if (input == LONG)
        for (size_t i = 0; i < d; i++)
            x[100 * d + i] *= 1e19F;
    if (input == WILD)
        W[5 * d + 1] = NAN;
}

static void check_input(enum input input, float *x, float *W, float *b)
{
    const size_t n = shape.n, m = shape.m, d = shape.d, k = shape.k;
    const struct fix f = {.s = shape};
    float *const scratch = grab(sae_cpu_screen_scratch(n, m, d, k), sizeof *scratch);
    uint32_t *const failed = grab(n, sizeof *failed);
    struct sae_csr csr, ref;
    assert_int_equal(sae_csr_alloc(&csr, &sae_ops_cpu, n, n * k, NULL), SAE_OK);
    assert_int_equal(sae_csr_alloc(&ref, &sae_ops_cpu, n, n * k, NULL), SAE_OK);
    fill(input, x, W, b);
    const size_t n_failed = sae_cpu_screen_topk(n, m, d, k, x, W, b, scratch, &csr, failed);
    print_message("# %s: %zu of %zu rows undecided\n", inputs[input].name, n_failed, n);
    assert_in_range(n_failed, inputs[input].failed_min, inputs[input].failed_max);
    float *const large = grab(sae_cpu_encode_scratch(n, m, d, k), sizeof *large);
    sae_cpu_encode_topk(n, m, d, k, x, W, b, large, &csr);
    check_encoded(&f, x, W, b, &csr);
    if (input == TIES) { /* sums are exact: the very bits of the reference */
        float *const pre = grab(n * m, sizeof *pre);
        sae_ops_ref.encode_topk(n, m, d, k, x, W, b, pre, &ref);
        assert_memory_equal(csr.start, ref.start, (n + 1) * sizeof *ref.start);
        assert_memory_equal(csr.idx, ref.idx, ref.start[n] * sizeof *ref.idx);
        assert_memory_equal(csr.val, ref.val, ref.start[n] * sizeof *ref.val);
        free(pre);
    }
    free(scratch);
    free(large);
    free(failed);
    sae_csr_free(&csr, &sae_ops_cpu);
    sae_csr_free(&ref, &sae_ops_cpu);
}

static void test_inputs(void **state)
{
    (void)state;
    float *const x = grab(shape.n * shape.d, sizeof *x), *const W = grab(shape.m * shape.d, sizeof *W),
                *const b = grab(shape.m, sizeof *b);
    for (int input = 0; input < N_INPUTS; input++)
        check_input((enum input)input, x, W, b);
    free(x);
    free(W);
    free(b);
}

/* Equal bits in two runs and on another number of threads, of the values too. */
static void test_threads(void **state)
{
    (void)state;
    const size_t n = shape.n, m = shape.m, d = shape.d, k = shape.k;
    float *const x = grab(n * d, sizeof *x), *const W = grab(m * d, sizeof *W),
                *const b = grab(m, sizeof *b);
    float *const scratch = grab(sae_cpu_screen_scratch(n, m, d, k), sizeof *scratch);
    uint32_t *const failed = grab(n, sizeof *failed);
    struct sae_csr csr[3];
    fill(OUTLIERS, x, W, b);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sae_csr_alloc(&csr[i], &sae_ops_cpu, n, n * k, NULL), SAE_OK);
        sae_ops_threads(i == 2 ? 3 : 1);
        sae_cpu_screen_topk(n, m, d, k, x, W, b, scratch, &csr[i], failed);
        assert_memory_equal(csr[i].start, csr[0].start, (n + 1) * sizeof *csr[0].start);
        assert_memory_equal(csr[i].idx, csr[0].idx, n * k * sizeof *csr[0].idx);
        assert_memory_equal(csr[i].val, csr[0].val, n * k * sizeof *csr[0].val);
    }
    for (size_t i = 0; i < 3; i++)
        sae_csr_free(&csr[i], &sae_ops_cpu);
    free(x);
    free(W);
    free(b);
    free(scratch);
    free(failed);
}

/* Every level gives the sums of the portable one. Levels the processor lacks are said. */
static void test_levels(void **state)
{
    (void)state;
    static const char *const names[] = {"portable", "avx2", "vnni"};
    const bool has[] = {true, __builtin_cpu_supports("avx2"),
                        __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw")};
    enum { PAIRS = 77, FIRST = 30 };
    int16_t *const x = grab(2 * PAIRS * DOT_TOKENS, sizeof *x),
                  *const w = aligned_alloc(64, 2 * PAIRS * DOT_LATENTS * sizeof *w);
    assert_non_null(w);
    _Alignas(64) int32_t want[DOT_TOKENS * DOT_LATENTS], got[DOT_TOKENS * DOT_LATENTS];
    struct sae_rng rng = sae_rng_make(3, SAE_RNG_TEST);
    for (size_t i = 0; i < 2 * PAIRS * DOT_TOKENS; i++)
        x[i] = (int16_t)(sae_rng_below(&rng, 7400) - 3700);
    for (size_t i = 0; i < 2 * PAIRS * DOT_LATENTS; i++)
        w[i] = (int16_t)(sae_rng_below(&rng, 7400) - 3700);
    memset(want, 0, sizeof want);
    for (size_t t = 0; t < DOT_TOKENS; t++)
        for (size_t j = 0; j < DOT_LATENTS; j++)
            for (size_t p = 0; p < 2 * PAIRS; p++)
                want[t * DOT_LATENTS + j] += x[(p / 2 * DOT_TOKENS + t) * 2 + p % 2] *
                                             w[(p / 2 * DOT_LATENTS + j) * 2 + p % 2];
    for (int level = 0; level < 3; level++) {
        if (!has[level]) {
            print_message("# level %s: not on this processor, skipped\n", names[level]);
            continue;
        }
        memset(got, 0xA5, sizeof got);
        sae_cpu_dot16_fn *const dot = sae_cpu_dot16((enum sae_cpu_level)level);
        dot(FIRST, x, w, false, got);
        dot(PAIRS - FIRST, x + 2 * FIRST * DOT_TOKENS, w + 2 * FIRST * DOT_LATENTS, true, got);
        assert_memory_equal(got, want, sizeof want);
    }
    free(x);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_inputs), cmocka_unit_test(test_threads),
                                       cmocka_unit_test(test_levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
