/* SPDX-License-Identifier: MIT */
/* The forward pass against a float64 program written from the equations alone. The numbers are
 * resid_post of each layer, logits, CE and KL of a model whose weights come from a formula. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <omp.h>

#include "lib/base/stop.h"
#include "lm/model.h"
#include "lm/vec.h"
#include "tests/emu/emu_c.h"
#include "tests/unit/fixtures/lm_fixture.h"

enum { ROWS = FIX_B * FIX_T, N_X = ROWS * FIX_D, N_LOGITS = ROWS * FIX_V };

#define OK(call)                                                                                   \
    do {                                                                                           \
        struct sae_err *ok_err_ = &g_err;                                                          \
        ok_err_->msg[0] = '\0';                                                                    \
        if ((call) != SAE_OK)                                                                      \
            fail_msg("%s", ok_err_->msg);                                                          \
    } while (0)

static struct sae_err g_err;

static void close_to(double found, double expected, double bound, const char *what)
{
    if (!(fabs(found - expected) <= bound))
        fail_msg("%s: found %.9g, expected %.9g within %g", what, found, expected, bound);
}

static double sum(const float *x, size_t n, bool squares)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += squares ? (double)x[i] * (double)x[i] : (double)x[i];
    return s;
}

/* --- golden numbers ------------------------------------------------------------------------- */

static const double golden_sum[4] = {-111.236021, -201.898169, -369.619517, -369.831292};
static const double golden_sq[4] = {2116.161895, 4497.271057, 6104.775817, 7595.528282};
static const double golden_bf16_sq[4] = {2116.163891, 4495.443177, 6105.343005, 7596.027978};

/* Per layer: [0,0,0:4], [0,11,0:4], [1,7,28:32]. */
static const double golden_x[4][12] = {
    {-0.25783798, -2.09864922, -1.84322900, 0.33552378,  -1.26575713, 2.83993017,  -2.47332463,
     0.25168425,  0.54473562, 2.97957750, -0.47071996, -1.72328376},
    {-0.48833305, -3.74272114, -1.34488299, 1.57957936,  -4.24516624, 3.14684664,  -3.89647071,
     1.59714523,  1.80248020, 2.88439496, -1.51762790, -1.31584825},
    {-0.00269256, -2.73350836, -1.78232702, -1.68038396, -2.95449955, 0.07630425,  -5.23792056,
     0.77872910,  1.32986901, 4.21519110, -2.08689056, -1.53956098},
    {0.40916337,  -4.35547474, 0.07254380,  -1.04701835, -3.08874296, -0.11344180, -7.83293640,
     -1.82874262, 0.85500996, 5.04284613, -0.07293575, -1.07299402}
};
static const size_t golden_at[3] = {0, 11 * FIX_D, (FIX_T + 7) * FIX_D + 28};

static const double golden_ce[11] = {5.89323635, 4.62951873, 5.19149231, 4.05208330,
                                     3.72057062, 4.17229346, 5.60489741, 4.43212724,
                                     5.26638374, 3.69864944, 4.34270817};

static double lse(const float *logits)
{
    double top = (double)logits[0], s = 0;
    for (size_t v = 1; v < FIX_V; v++)
        top = fmax(top, (double)logits[v]);
    for (size_t v = 0; v < FIX_V; v++)
        s += exp((double)logits[v] - top);
    return top + log(s);
}

static double cross_entropy(const float *logits, size_t row)
{
    const float *at = logits + row * FIX_V;
    return lse(at) - (double)at[fix_tokens[row + 1]];
}

static double mean_ce(const float *logits)
{
    double s = 0;
    for (size_t b = 0; b < FIX_B; b++)
        for (size_t t = 0; t + 1 < FIX_T; t++)
            s += cross_entropy(logits, b * FIX_T + t);
    return s / (FIX_B * (FIX_T - 1));
}

struct opened {
    char *folder;
    struct sae_lm *model;
    struct sae_lm_run *run;
};

/* How the weights are held: copied when opened, or converted layer by layer as of large models. */
static size_t copy_max = SIZE_MAX;
static const struct sae_ops *device; /* NULL: on the host; else there, with f32 factors */

static struct opened open_form(const struct fix_form *form, size_t n_max, size_t T_max)
{
    struct opened o = {.folder = fix_folder()};
    fix_write(o.folder, form);
    OK(sae_lm_open_with(&o.model, o.folder, copy_max, &g_err));
    if (device != NULL)
        OK(sae_lm_place(o.model, device, SAE_F32, FIX_L, &g_err));
    OK(sae_lm_run_open(&o.run, o.model, n_max, T_max, &g_err));
    assert_int_equal(sae_lm_on_device(o.model), device != NULL);
    return o;
}

static void close_form(struct opened *o)
{
    sae_lm_run_close(o->run);
    sae_lm_close(o->model);
    fix_remove(o->folder);
}

static void check_golden_f32(struct sae_lm_run *run)
{
    static float x[N_X], logits[N_LOGITS];
    for (size_t layer = 0; layer < FIX_L; layer++) {
        OK(sae_lm_tap(run, fix_tokens, FIX_B, FIX_T, sae_resid_post(layer), x, &g_err));
        close_to(sum(x, N_X, false), golden_sum[layer], 1e-3, "sum of resid_post");
        close_to(sum(x, N_X, true), golden_sq[layer], 4e-3, "sum of squares of resid_post");
        for (size_t i = 0; i < 12; i++)
            close_to((double)x[golden_at[i / 4] + i % 4], golden_x[layer][i], 2e-5, "resid_post");
    }
    OK(sae_lm_resume(run, x, NULL, FIX_B, FIX_T, sae_resid_post(FIX_L - 1), &g_err));
    OK(sae_lm_logits(run, 0, ROWS, logits, &g_err));
    close_to(sum(logits, N_LOGITS, false), -54.158019, 1e-3, "sum of logits");
    close_to(sum(logits, N_LOGITS, true), 933.781377, 1e-3, "sum of squares of logits");
    static const double at[8] = {-0.96496643, 0.35942860,  -1.22293908, -1.31356418,
                                 -0.82246868, -0.55227000, 0.36941997,  -0.88197089};
    for (size_t i = 0; i < 4; i++) {
        close_to((double)logits[11 * FIX_V + i], at[i], 2e-5, "logit");
        close_to((double)logits[(FIX_T + 7) * FIX_V + 63 + i], at[4 + i], 2e-5, "logit");
    }
    close_to(mean_ce(logits), 4.46175908, 2e-6, "mean CE");
    for (size_t t = 0; t < 11; t++)
        close_to(cross_entropy(logits, t), golden_ce[t], 1e-5, "CE of a target");
}

static void check_golden_bf16(struct sae_lm_run *run)
{
    static float x[N_X], logits[N_LOGITS];
    for (size_t layer = 0; layer < FIX_L; layer++) {
        OK(sae_lm_tap(run, fix_tokens, FIX_B, FIX_T, sae_resid_post(layer), x, &g_err));
        close_to(sum(x, N_X, true), golden_bf16_sq[layer], 4e-3, "sum of squares, bf16 weights");
    }
    OK(sae_lm_resume(run, x, NULL, FIX_B, FIX_T, sae_resid_post(FIX_L - 1), &g_err));
    OK(sae_lm_logits(run, 0, ROWS, logits, &g_err));
    close_to(mean_ce(logits), 4.46334706, 2e-6, "mean CE, bf16 weights");
}

/* The same config in the spelling of newer files. */
#define NEWER_CONFIG(even, odd)                                                                    \
    "{\"model_type\": \"gemma2\", \"vocab_size\": 67, \"hidden_size\": 32,"                        \
    " \"intermediate_size\": 48, \"num_hidden_layers\": 4, \"num_attention_heads\": 4,"            \
    " \"num_key_value_heads\": 2, \"head_dim\": 16, \"query_pre_attn_scalar\": 24.0,"              \
    " \"attn_logit_softcapping\": 2, \"final_logit_softcapping\": 3, \"sliding_window\": 5,"       \
    " \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 10000},"                   \
    " \"layer_types\": [" even ", " odd ", " even ", " odd "],"                                    \
    " \"rms_norm_eps\": 0.000001, \"max_position_embeddings\": 64,"                                \
    " \"hidden_activation\": \"gelu_pytorch_tanh\", \"unknown_key\": {\"a\": [1]}}"
#define SLIDING "\"sliding_attention\""
#define FULL "\"full_attention\""
static const char newer_config[] = NEWER_CONFIG(SLIDING, FULL);
static const char swapped_config[] = NEWER_CONFIG(FULL, SLIDING);

static void test_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < (device == NULL ? 16 : 2); i++) { /* what is sent is the same */
        const struct fix_form form = {.dtype = i & 1 ? SAE_ST_BF16 : SAE_ST_F32,
                                      .n_shards = i & 2 ? 3 : 1,
                                      .no_prefix = (i & 4) != 0,
                                      .config = i & 8 ? newer_config : NULL};
        struct opened o = open_form(&form, ROWS, FIX_T);
        if (i & 1)
            check_golden_bf16(o.run);
        else
            check_golden_f32(o.run);
        close_form(&o);
    }
}

/* Swapped layer kinds must be loud: this pins which layers slide. */
static void test_layer_types_matter(void **state)
{
    (void)state;
    const struct fix_form form = {.dtype = SAE_ST_F32, .n_shards = 1, .config = swapped_config};
    struct opened o = open_form(&form, ROWS, FIX_T);
    float x[N_X];
    OK(sae_lm_tap(o.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(2), x, &g_err));
    assert_true(fabs(sum(x, N_X, true) - golden_sq[2]) > 1);
    close_form(&o);
}

/* --- splice --------------------------------------------------------------------------------- */

static const struct fix_form plain = {.dtype = SAE_ST_F32, .n_shards = 1};

static void test_identity_splice(void **state)
{
    (void)state;
    struct opened o = open_form(&plain, ROWS, FIX_T);
    float x[N_X], last[N_X];
    static float want[N_LOGITS], found[N_LOGITS];
    OK(sae_lm_tap(o.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(FIX_L - 1), last, &g_err));
    OK(sae_lm_resume(o.run, last, NULL, FIX_B, FIX_T, sae_resid_post(FIX_L - 1), &g_err));
    OK(sae_lm_logits(o.run, 0, ROWS, want, &g_err));
    for (size_t layer = 0; layer < FIX_L; layer++) {
        OK(sae_lm_tap(o.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(layer), x, &g_err));
        OK(sae_lm_resume(o.run, x, NULL, FIX_B, FIX_T, sae_resid_post(layer), &g_err));
        OK(sae_lm_logits(o.run, 0, ROWS, found, &g_err));
        assert_memory_equal(found, want, sizeof want);
    }
    /* Any window of rows gives the same bits as far as rows go alone. */
    OK(sae_lm_logits(o.run, 7, 5, found, &g_err));
    for (size_t i = 0; i < 5 * FIX_V; i++)
        close_to((double)found[i], (double)want[7 * FIX_V + i], 1e-6, "logits of some rows");
    close_form(&o);
}

static double kl(const float *p, const float *q)
{
    const double zp = lse(p), zq = lse(q);
    double s = 0;
    for (size_t v = 0; v < FIX_V; v++)
        s += exp((double)p[v] - zp) * (((double)p[v] - zp) - ((double)q[v] - zq));
    return s;
}

static void test_zero_splice(void **state)
{
    (void)state;
    struct opened o = open_form(&plain, ROWS, FIX_T);
    float x[N_X];
    static float orig[N_LOGITS], ablated[N_LOGITS];
    OK(sae_lm_tap(o.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(1), x, &g_err));
    OK(sae_lm_resume(o.run, x, NULL, FIX_B, FIX_T, sae_resid_post(1), &g_err));
    OK(sae_lm_logits(o.run, 0, ROWS, orig, &g_err));
    for (size_t b = 0; b < FIX_B; b++)
        memset(x + (b * FIX_T + 1) * FIX_D, 0, (FIX_T - 1) * FIX_D * sizeof *x);
    OK(sae_lm_resume(o.run, x, NULL, FIX_B, FIX_T, sae_resid_post(1), &g_err));
    OK(sae_lm_logits(o.run, 0, ROWS, ablated, &g_err));
    close_to(mean_ce(ablated), 4.70313286, 4e-6, "CE, layer 1 zeroed");
    double all = 0, inner = 0;
    for (size_t i = 0; i < ROWS; i++) {
        const double v = kl(orig + i * FIX_V, ablated + i * FIX_V);
        all += v / ROWS;
        inner += i % FIX_T == 0 ? 0 : v / (ROWS - FIX_B);
    }
    close_to(all, 0.39928504, 4e-6, "KL over all positions");
    close_to(inner, 0.43558369, 4e-6, "KL without position 0");
    close_form(&o);
}

/* --- shapes --------------------------------------------------------------------------------- */

/* One sequence alone, eight in a batch, and a batch of other threads: equal numbers. */
static void test_batch_invariance(void **state)
{
    (void)state;
    enum { B = 8, T = 64 };
    /* OpenBLAS, which multiplies for a small model, has other kernels for few rows than for many on some
     * processors: the same products, added in another order (5e-6 apart on Zen 3). The golden numbers are
     * held no closer. */
    const double invariance = device == NULL && copy_max == 0 ? 0 : 2e-5;
    struct opened o = open_form(&plain, B * T, T);
    static uint32_t ids[B * T];
    static float all[B * T * FIX_D], one[T * FIX_D], again[B * T * FIX_D];
    for (size_t i = 0; i < B * T; i++)
        ids[i] = (uint32_t)(i % T == 0 ? 2 : (i * i * 7 + 3 * i) % FIX_V);
    OK(sae_lm_tap(o.run, ids, B, T, sae_resid_post(3), all, &g_err));
    for (size_t b = 0; b < B; b++) {
        OK(sae_lm_tap(o.run, ids + b * T, 1, T, sae_resid_post(3), one, &g_err));
        for (size_t i = 0; i < (size_t)T * FIX_D; i++)
            close_to((double)one[i], (double)all[b * T * FIX_D + i],
                     invariance * fmax(1, fabs((double)one[i])), "one sequence against eight");
    }
    if (device != NULL) { /* its products here are OpenBLAS on all threads; a device has none */
        close_form(&o);
        return;
    }
    const int threads = omp_get_max_threads();
    omp_set_num_threads(threads == 1 ? 2 : 1);
    OK(sae_lm_tap(o.run, ids, B, T, sae_resid_post(3), again, &g_err));
    omp_set_num_threads(threads);
    assert_memory_equal(again, all, sizeof all);
    close_form(&o);
}

/* Factors in bf16 on the host: near f32 and not f32, the same bits from copies and from files, in any
 * batch. */
static void test_bf16(void **state)
{
    (void)state;
    enum { LAST = FIX_L - 1, N_SEQ = FIX_T * FIX_D };
    static float exact[N_X], x[2][N_X], alone[N_SEQ], logits[2][N_LOGITS];
    const struct fix_form form = {.dtype = SAE_ST_BF16, .n_shards = 1};
    for (size_t large = 0; large < 2; large++) {
        copy_max = large ? 0 : SIZE_MAX;
        struct opened o = open_form(&form, ROWS, FIX_T);
        OK(sae_lm_tap(o.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(LAST), exact, &g_err));
        sae_lm_run_close(o.run);
        OK(sae_lm_place(o.model, &sae_ops_cpu, SAE_BF16, FIX_L, &g_err));
        assert_int_equal(strncmp(sae_lm_numerics(o.model), "cpu bf16", 8), 0);
        OK(sae_lm_run_open(&o.run, o.model, ROWS, FIX_T, &g_err));
        OK(sae_lm_tap(o.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(LAST), x[large], &g_err));
        OK(sae_lm_resume(o.run, x[large], NULL, FIX_B, FIX_T, sae_resid_post(LAST), &g_err));
        OK(sae_lm_logits(o.run, 0, ROWS, logits[large], &g_err));
        OK(sae_lm_tap(o.run, fix_tokens + FIX_T, 1, FIX_T, sae_resid_post(LAST), alone, &g_err));
        assert_memory_equal(alone, x[large] + N_SEQ, sizeof alone);
        close_form(&o);
    }
    assert_memory_equal(x[0], x[1], sizeof x[0]);
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    double off = 0;
    for (size_t i = 0; i < N_X; i++)
        off += pow((double)x[0][i] - (double)exact[i], 2);
    off = sqrt(off / sum(exact, N_X, true));
    if (!(off > 1e-4 && off < 1e-2))
        fail_msg("bf16 is %g from f32, expected 1e-4 to 1e-2", off);
    close_to(mean_ce(logits[0]), 4.46334706, 5e-3, "mean CE, bf16 factors");
}

/* A shorter sequence is the beginning of a longer one; W = 5 and block edges included. */
static void test_lengths(void **state)
{
    (void)state;
    enum { T = 64 };
    struct opened o = open_form(&plain, 2 * T, T);
    static uint32_t ids[T];
    static float all[T * FIX_D], some[T * FIX_D];
    for (size_t i = 0; i < T; i++)
        ids[i] = (uint32_t)((i * 11 + 5) % FIX_V);
    ids[0] = 0;
    ids[1] = FIX_V - 1; /* first and last row of the embedding */
    OK(sae_lm_tap(o.run, ids, 1, T, sae_resid_post(3), all, &g_err));
    static const size_t lengths[] = {1, 2, 3, 4, 5, 6, 15, 16, 17, 63};
    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
        OK(sae_lm_tap(o.run, ids, 1, lengths[k], sae_resid_post(3), some, &g_err));
        for (size_t i = 0; i < lengths[k] * FIX_D; i++)
            close_to((double)some[i], (double)all[i], 1e-5 * fmax(1, fabs((double)all[i])),
                     "beginning of a sequence");
    }
    close_form(&o);
}

static void refuse(enum sae_status found, enum sae_status expected, const char *word)
{
    assert_int_equal(found, expected);
    if (strstr(g_err.msg, word) == NULL)
        fail_msg("'%s' does not say '%s'", g_err.msg, word);
}

static void test_refusals(void **state)
{
    (void)state;
    struct opened o = open_form(&plain, ROWS, FIX_T);
    uint32_t ids[ROWS];
    static float x[N_X], logits[N_LOGITS];
    memcpy(ids, fix_tokens, sizeof ids);
    refuse(sae_lm_logits(o.run, 0, 1, logits, &g_err), SAE_ERANGE, "0 rows were run");
    ids[5] = FIX_V;
    refuse(sae_lm_tap(o.run, ids, FIX_B, FIX_T, sae_resid_post(1), x, &g_err), SAE_ERANGE,
           "token id 67");
    ids[5] = 1;
    refuse(sae_lm_tap(o.run, ids, FIX_B, FIX_T, sae_resid_post(4), x, &g_err), SAE_ERANGE,
           "layer 4");
    refuse(sae_lm_tap(o.run, ids, 3, FIX_T, sae_resid_post(1), x, &g_err), SAE_ERANGE,
           "3 sequences");
    refuse(sae_lm_tap(o.run, ids, 1, 13, sae_resid_post(1), x, &g_err), SAE_ERANGE, "13 tokens");
    refuse(sae_lm_tap(o.run, ids, SIZE_MAX, 2, sae_resid_post(1), x, &g_err), SAE_ERANGE,
           "sequences");
    refuse(sae_lm_tap(o.run, ids, 0, 2, sae_resid_post(1), x, &g_err), SAE_ERANGE, "0 sequences");
    refuse(sae_lm_resume(o.run, x, NULL, 1, 0, sae_resid_post(1), &g_err), SAE_ERANGE, "0 tokens");
    OK(sae_lm_tap(o.run, ids, 1, 3, sae_resid_post(1), x, &g_err));
    OK(sae_lm_resume(o.run, x, NULL, 1, 3, sae_resid_post(1), &g_err));
    refuse(sae_lm_logits(o.run, 1, 3, logits, &g_err), SAE_ERANGE, "3 rows were run");
    refuse(sae_lm_logits(o.run, SIZE_MAX, 2, logits, &g_err), SAE_ERANGE, "rows were run");
    struct sae_lm_run *run = NULL;
    refuse(sae_lm_run_open(&run, o.model, 1000, 65, &g_err), SAE_ERANGE, "1 to 64");
    refuse(sae_lm_run_open(&run, o.model, 10, 0, &g_err), SAE_ERANGE, "1 to 64");
    assert_null(run);
    close_form(&o);
}

static void test_id(void **state)
{
    (void)state;
    struct opened a = open_form(&plain, ROWS, FIX_T);
    char first[65], again[65], other[65];
    OK(sae_lm_id(a.model, first, &g_err));
    OK(sae_lm_id(a.model, again, &g_err));
    assert_int_equal(strlen(first), 64);
    assert_string_equal(first, again);
    const struct fix_form shards = {.dtype = SAE_ST_BF16, .n_shards = 2};
    struct opened b = open_form(&shards, ROWS, FIX_T);
    OK(sae_lm_id(b.model, other, &g_err));
    assert_string_not_equal(first, other);
    close_form(&a);
    close_form(&b);
}

/* --- exp and tanh --------------------------------------------------------------------------- */

static void test_exp_tanh(void **state)
{
    (void)state;
    double worst_exp = 0, worst_tanh = 0, worst_erfc = 0;
    for (int i = -86999; i <= 87999; i++) {
        const float x = (float)i * 1e-3F;
        worst_exp = fmax(worst_exp, fabs((double)sae_lm_exp(x) / exp((double)x) - 1));
    }
    for (int i = -20000; i <= 20000; i++) {
        const float u = i % 2 == 0 ? (float)i * 1e-3F : (float)i * 1e-5F;
        if (i != 0)
            worst_tanh = fmax(worst_tanh, fabs((double)sae_lm_tanh(u) / tanh((double)u) - 1));
    }
    for (int i = 0; i <= 8000; i++) { /* the exponential of -u^2 makes a rounding of it u^2 times */
        const float u = (float)i * 1e-3F;
        const double off = fabs((double)sae_lm_erfc(u) / erfc((double)u) - 1);
        worst_erfc = fmax(worst_erfc, off / (1 + (double)u * (double)u));
    }
    close_to(worst_exp, 0, 2e-7, "relative error of exp");
    close_to(worst_erfc, 0, 4e-7, "relative error of erfc");
    close_to(worst_tanh, 0, 2e-7, "relative error of tanh");
    assert_true(sae_lm_exp(0) == 1 && sae_lm_tanh(0) == 0 && sae_lm_tanh(50) == 1);
    assert_true(sae_lm_tanh(1e-30F) == 1e-30F);
    assert_true(isnan(sae_lm_exp(NAN)) && isnan(sae_lm_tanh(NAN)) && isnan(sae_lm_erfc(NAN)));
}

/* --- both ways of holding weights, and a device --------------------------------------------- */

static int as_small(void **state)
{
    (void)state;
    copy_max = SIZE_MAX;
    device = NULL;
    return 0;
}

static int as_large(void **state)
{
    (void)state;
    copy_max = 0;
    device = NULL;
    return 0;
}

/* The emulated one, from weights that are converted as they are sent. */
static int on_device(void **state)
{
    (void)state;
    copy_max = 0;
    OK(sae_cuda_open(&device, &g_err));
    return 0;
}

#define ALL(f)                                                                                     \
    {#f, f, as_small, NULL, NULL}, {#f "_large", f, as_large, NULL, NULL},                         \
    {                                                                                              \
#f "_device", f, on_device, NULL, NULL                                                     \
    }

/* Logits come from lm_head.weight where it is there and differs: twice the embedding doubles them
 * before the cap of 3. The same matrix once more changes nothing. */
static void test_own_head(void **state)
{
    (void)state;
    static float x[N_X], tied[N_LOGITS], same[N_LOGITS], own[N_LOGITS];
    float *const to[] = {tied, same, own};
    for (size_t i = 0; i < 3; i++) {
        const struct fix_form form = {.dtype = SAE_ST_F32, .n_shards = 2, .head = (float)i};
        struct opened o = open_form(&form, ROWS, FIX_T);
        OK(sae_lm_tap(o.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(1), x, &g_err));
        OK(sae_lm_resume(o.run, x, NULL, FIX_B, FIX_T, sae_resid_post(1), &g_err));
        OK(sae_lm_logits(o.run, 0, ROWS, to[i], &g_err));
        close_form(&o);
    }
    assert_memory_equal(tied, same, sizeof tied);
    for (size_t i = 0; i < N_LOGITS; i++)
        close_to((double)own[i], 3 * tanh(2 * atanh((double)tied[i] / 3)), 2e-5, "logit");
}

/* Asked to stop, a run that may ends within its batch; another one finishes it. The last test: a
 * stop is asked for once and for all. */
static void test_may_stop(void **state)
{
    (void)state;
    static float x[N_X], want[N_X], logits[N_LOGITS];
    device = NULL;
    for (int copies = 0; copies < 2; copies++) {
        const struct fix_form form = {.dtype = SAE_ST_F32, .n_shards = 1};
        copy_max = copies ? SIZE_MAX : 0;
        struct opened o = open_form(&form, ROWS, FIX_T);
        OK(sae_lm_tap(o.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(1), want, &g_err));
        if (copies == 0) {
            sae_stop_install();
            assert_int_equal(raise(SIGINT), 0);
        }
        OK(sae_lm_tap(o.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(1), x, &g_err));
        assert_memory_equal(x, want, sizeof x);
        OK(sae_lm_resume(o.run, x, NULL, FIX_B, FIX_T, sae_resid_post(1), &g_err));
        sae_lm_run_may_stop(o.run);
        assert_int_equal(sae_lm_logits(o.run, 0, ROWS, logits, &g_err), SAE_EINTR);
        assert_int_equal(sae_lm_tap(o.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(1), x, &g_err),
                         SAE_EINTR);
        assert_int_equal(sae_lm_resume(o.run, x, NULL, FIX_B, FIX_T, sae_resid_post(1), &g_err),
                         SAE_EINTR);
        close_form(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL(test_forms),
        ALL(test_layer_types_matter),
        ALL(test_identity_splice),
        ALL(test_zero_splice),
        ALL(test_batch_invariance),
        ALL(test_lengths),
        ALL(test_refusals),
        ALL(test_id),
        ALL(test_own_head),
        {"test_bf16", test_bf16, as_small, NULL, NULL},
        cmocka_unit_test(test_exp_tanh),
        cmocka_unit_test(test_may_stop), /* last */
    };
    return cmocka_run_group_tests_name("lm_forward", tests, NULL, NULL);
}
