/* SPDX-License-Identifier: MIT */
/* The language model on the emulated device beside the host's forward pass: bf16 factors, which the
 * golden numbers of test_lm_forward are too close for, the shipped model, what logits say, and
 * memory that does not suffice. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/math/lm.h"
#include "lm/model.h"
#include "tests/emu/test_device.h"
#include "tests/unit/fixtures/lm_fixture.h"

static struct sae_err g_err;
static const struct sae_ops *device;

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != SAE_OK)                                                                      \
            fail_msg("%s", g_err.msg);                                                             \
    } while (0)

static void refuse(enum sae_status found, enum sae_status expected, const char *word)
{
    assert_int_equal(found, expected);
    if (strstr(g_err.msg, word) == NULL)
        fail_msg("'%s' does not say '%s'", g_err.msg, word);
}

/* |a - b| / |b| over all */
static double apart(const float *a, const float *b, size_t n)
{
    double miss = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        miss += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        all += (double)b[i] * (double)b[i];
    }
    return sqrt(miss / all);
}

/* --- the shipped model ---------------------------------------------------------------------- */

enum { B = 2, T = 100, N = B * T, WORDS = 8192, WIDTH = 128, LAYERS = 6 };

static const char text[] =
    "The heart is a muscular organ that pumps blood through the vessels of the body. It was the "
    "best of times and the worst of times. A computer follows instructions one after another; "
    "programs are lists of such instructions, and a library is a set of programs that others use. "
    "In the beginning the earth was without form. Water boils at a hundred degrees at the level "
    "of the sea, and at less on a mountain. cat has the first letter: C\n dog has the first "
    "letter: "
    "D\n bird has the first letter: B\n for (i = 0; i < n; i++) sum += a[i]; return sum; A noun is "
    "a word for a person, a place or a thing. The quality of being honest, or of having strong "
    "principles. She sells sea shells by the sea shore, and the shells that she sells are sea "
    "shells, I am sure. Bread is made of flour, water, salt and yeast, and is baked in an oven. ";

struct shipped {
    struct sae_lm *model;
    uint32_t ids[N];
    uint32_t target[N];
};

static void open_shipped(struct shipped *s)
{
    struct sae_tok *tok = NULL;
    uint32_t *ids = NULL;
    size_t n = 0;
    char path[4096];
    const char *root = getenv("SAE_SOURCE_ROOT");
    (void)snprintf(path, sizeof path, "%s/data/tiny-g2", root != NULL ? root : ".");
    OK(sae_lm_open(&s->model, path, &g_err));
    const struct sae_lm_config *c = sae_lm_config(s->model);
    assert_true(c->V == WORDS && c->D == WIDTH && c->L == LAYERS && c->window < T);
    OK(sae_tok_open(&tok, path, c, &g_err));
    OK(sae_tok_encode(tok, text, strlen(text), &ids, &n, &g_err));
    sae_tok_close(tok);
    for (size_t i = 0; i < N; i++) /* the second sequence from the middle of the text */
        s->ids[i] = i % T == 0 ? c->bos : ids[(i % T + i / T * 37) % n];
    for (size_t i = 0; i < N; i++)
        s->target[i] = i % T == T - 1 ? SAE_LM_NO_TARGET : s->ids[i + 1];
    free(ids);
}

static double cross_entropy(const float *z, uint32_t target)
{
    double sum = 0;
    for (size_t v = 0; v < WORDS; v++)
        sum += exp((double)z[v] - (double)z[target]);
    return log(sum);
}

static size_t largest(const float *z)
{
    size_t best = 0;
    for (size_t v = 1; v < WORDS; v++)
        best = z[v] > z[best] ? v : best;
    return best;
}

/* Streams after a sliding layer and a full one, and logits. */
enum { TAPS = 2 };
static const size_t tapped[TAPS] = {2, 3};
struct outcome {
    float x[TAPS][N * WIDTH], z[N * WORDS];
};

static struct outcome *forward(const struct shipped *s)
{
    struct sae_lm_run *run = NULL;
    struct outcome *o = malloc(sizeof *o);
    assert_non_null(o);
    OK(sae_lm_run_open(&run, s->model, N, T, &g_err));
    for (size_t i = 0; i < TAPS; i++)
        OK(sae_lm_tap(run, s->ids, B, T, sae_resid_post(tapped[i]), o->x[i], &g_err));
    OK(sae_lm_resume(run, o->x[1], NULL, B, T, sae_resid_post(tapped[1]), &g_err));
    OK(sae_lm_logits(run, 0, N, o->z, &g_err));
    sae_lm_run_close(run);
    return o;
}

static void test_shipped(void **state)
{
    (void)state;
    struct shipped s;
    open_shipped(&s);
    assert_string_equal(sae_lm_numerics(s.model), "cpu f32");
    struct outcome *const host = forward(&s);
    static const struct {
        enum sae_precision how;
        const char *name;
        double stream, loss, agree; /* relative error of a layer; nats a token; share of tokens */
    } bounds[] = {
        {SAE_F32,  "cuda f32",  1e-5, 1e-5, 1   },
        {SAE_BF16, "cuda bf16", 1e-2, 5e-3, 0.97}
    };
    for (size_t k = 0; k < 2; k++) {
        double ce[2] = {0, 0}, worst = 0;
        size_t same = 0;
        OK(sae_lm_place(s.model, device, bounds[k].how, LAYERS, &g_err));
        assert_string_equal(sae_lm_numerics(s.model), bounds[k].name);
        struct outcome *const there = forward(&s);
        for (size_t i = 0; i < TAPS; i++)
            worst = fmax(worst, apart(there->x[i], host->x[i], (size_t)N * WIDTH));
        for (size_t i = 0; i < N; i++) {
            same += largest(there->z + i * WORDS) == largest(host->z + i * WORDS);
            if (s.target[i] == SAE_LM_NO_TARGET)
                continue;
            ce[0] += cross_entropy(host->z + i * WORDS, s.target[i]) / (N - B);
            ce[1] += cross_entropy(there->z + i * WORDS, s.target[i]) / (N - B);
        }
        print_message(
            "# %s: stream within %.2e, CE %.5f beside %.5f, same first choice %zu of %d\n",
            bounds[k].name, worst, ce[1], ce[0], same, N);
        assert_true(worst <= bounds[k].stream);
        assert_true(fabs(ce[1] - ce[0]) <= bounds[k].loss);
        assert_true((double)same >= bounds[k].agree * N);
        if (k == 1) {
            emu_reverse(true);
            struct outcome *const again = forward(&s);
            emu_reverse(false);
            assert_memory_equal(again, there, sizeof *there);
            free(again);
        }
        free(there);
    }
    free(host);
    sae_lm_close(s.model);
}

/* --- rows, alone and together --------------------------------------------------------------- */

static const struct fix_form plain = {.dtype = SAE_ST_BF16, .n_shards = 1};
enum { ROWS = FIX_B * FIX_T, N_X = ROWS * FIX_D, N_Z = ROWS * FIX_V };

struct small {
    char *folder;
    struct sae_lm *model;
    struct sae_lm_run *run;
};

static struct small open_small(enum sae_precision how)
{
    struct small s = {.folder = fix_folder()};
    fix_write(s.folder, &plain);
    OK(sae_lm_open(&s.model, s.folder, &g_err));
    OK(sae_lm_place(s.model, device, how, FIX_L, &g_err));
    OK(sae_lm_run_open(&s.run, s.model, ROWS, FIX_T, &g_err));
    return s;
}

static void close_small(struct small *s)
{
    sae_lm_run_close(s->run);
    sae_lm_close(s->model);
    fix_remove(s->folder);
}

/* Splicing the tapped stream back, rows by number and rows put back give the very bits. */
static void test_rows(void **state)
{
    (void)state;
    struct small s = open_small(SAE_BF16);
    static float x[N_X], y[N_X], want[N_Z], have[N_Z], some[3 * FIX_V];
    OK(sae_lm_tap(s.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(FIX_L - 1), x, &g_err));
    OK(sae_lm_resume(s.run, x, NULL, FIX_B, FIX_T, sae_resid_post(FIX_L - 1), &g_err));
    OK(sae_lm_logits(s.run, 0, ROWS, want, &g_err));
    for (size_t layer = 0; layer < FIX_L; layer++) {
        OK(sae_lm_tap(s.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(layer), x, &g_err));
        OK(sae_lm_resume(s.run, x, NULL, FIX_B, FIX_T, sae_resid_post(layer), &g_err));
        OK(sae_lm_logits(s.run, 0, ROWS, have, &g_err));
        assert_memory_equal(have, want, sizeof want);
    }
    OK(sae_lm_final(s.run, 0, ROWS, y, &g_err));
    memset(x, 0, sizeof x);
    OK(sae_lm_resume(s.run, x, NULL, FIX_B, FIX_T, sae_resid_post(0), &g_err));
    OK(sae_lm_put_final(s.run, y, ROWS, &g_err));
    OK(sae_lm_logits(s.run, 0, ROWS, have, &g_err));
    assert_memory_equal(have, want, sizeof want);
    const size_t rows[3] = {20, 3, 20};
    OK(sae_lm_logits_at(s.run, rows, 3, some, &g_err));
    for (size_t i = 0; i < 3; i++)
        assert_true(apart(some + i * FIX_V, want + rows[i] * FIX_V, FIX_V) < 1e-6);
    close_small(&s);
}

/* One sequence alone against two: what is rounded to bf16 may fall on the other side. */
static void test_batch(void **state)
{
    (void)state;
    struct small s = open_small(SAE_BF16);
    static float both[N_X], one[N_X];
    OK(sae_lm_tap(s.run, fix_tokens, FIX_B, FIX_T, sae_resid_post(3), both, &g_err));
    for (size_t b = 0; b < FIX_B; b++) {
        OK(sae_lm_tap(s.run, fix_tokens + b * FIX_T, 1, FIX_T, sae_resid_post(3), one, &g_err));
        assert_true(apart(one, both + b * FIX_T * FIX_D, FIX_T * FIX_D) < 1e-2);
    }
    close_small(&s);
}

/* --- what logits say ------------------------------------------------------------------------ */

/* The golden model with layer 1 zeroed: CE and KL of float64 arithmetic (docs of the golden table),
 * which f32 factors meet as the host does. Logits go in blocks of one row, too. */
static void test_compare(void **state)
{
    (void)state;
    const struct fix_form f32 = {.dtype = SAE_ST_F32, .n_shards = 1};
    char *folder = fix_folder();
    struct sae_lm *model = NULL;
    struct sae_lm_run *run = NULL;
    float x[N_X];
    uint32_t target[ROWS];
    double ce[ROWS], kl[ROWS], again[ROWS], clean = 0, zeroed = 0, all = 0;
    fix_write(folder, &f32);
    OK(sae_lm_open(&model, folder, &g_err));
    OK(sae_lm_run_open(&run, model, ROWS, FIX_T, &g_err));
    refuse(sae_lm_set_reference(run, 0, target, ce, &g_err), SAE_EARG, "device");
    sae_lm_run_close(run);
    OK(sae_lm_place(model, device, SAE_F32, FIX_L, &g_err));
    OK(sae_lm_run_open(&run, model, ROWS, FIX_T, &g_err));
    for (size_t i = 0; i < ROWS; i++)
        target[i] = i % FIX_T == FIX_T - 1 ? SAE_LM_NO_TARGET : fix_tokens[i + 1];
    OK(sae_lm_tap(run, fix_tokens, FIX_B, FIX_T, sae_resid_post(1), x, &g_err));
    OK(sae_lm_resume(run, x, NULL, FIX_B, FIX_T, sae_resid_post(1), &g_err));
    OK(sae_lm_set_reference(run, ROWS, target, ce, &g_err));
    for (size_t i = 0; i < ROWS; i++)
        clean += ce[i] / (ROWS - FIX_B);
    OK(sae_lm_compare(run, ROWS, target, again, kl, &g_err));
    for (size_t i = 0; i < ROWS; i++) /* beside itself */
        assert_true(again[i] == ce[i] && kl[i] == 0);
    assert_true(ce[FIX_T - 1] == 0);
    for (size_t b = 0; b < FIX_B; b++)
        memset(x + (b * FIX_T + 1) * FIX_D, 0, (FIX_T - 1) * FIX_D * sizeof *x);
    OK(sae_lm_resume(run, x, NULL, FIX_B, FIX_T, sae_resid_post(1), &g_err));
    OK(sae_lm_compare(run, ROWS, target, ce, kl, &g_err));
    for (size_t i = 0; i < ROWS; i++) {
        zeroed += ce[i] / (ROWS - FIX_B);
        all += kl[i] / ROWS;
    }
    assert_true(fabs(clean - 4.46175908) < 2e-6);
    assert_true(fabs(zeroed - 4.70313286) < 4e-6);
    assert_true(fabs(all - 0.39928504) < 4e-6);
    refuse(sae_lm_compare(run, ROWS + 1, target, ce, kl, &g_err), SAE_ERANGE, "rows");
    sae_lm_run_close(run);
    sae_lm_close(model);
    fix_remove(folder);
}

/* --- memory --------------------------------------------------------------------------------- */

static size_t little(void)
{
    return 1000;
}

static const struct sae_ops *real;
static size_t allowed;

static enum sae_status alloc_some(void *ret, size_t n, size_t size, struct sae_err *err)
{
    if (allowed == 0)
        return sae_err_set(err, SAE_ENOMEM, "out of device memory: %zu bytes", n * size);
    allowed--;
    return real->alloc(ret, n, size, err);
}

static void test_memory(void **state)
{
    (void)state;
    struct sae_lm_ops lm = *device->lm;
    struct sae_ops ops = *device;
    char *folder = fix_folder();
    struct sae_lm *model = NULL;
    float x[N_X];
    ops.lm = NULL;
    fix_write(folder, &plain);
    OK(sae_lm_open(&model, folder, &g_err));
    refuse(sae_lm_place(model, &ops, SAE_BF16, 1, &g_err), SAE_EBACKEND, "no operations");
    ops.lm = &lm;
    lm.free_bytes = little;
    refuse(sae_lm_place(model, &ops, SAE_BF16, 1, &g_err), SAE_ENOMEM, "GB are free");
    assert_string_equal(sae_lm_numerics(model), "cpu f32");
    lm.free_bytes = device->lm->free_bytes;
    real = device;
    ops.alloc = alloc_some;
    enum sae_status st = SAE_ENOMEM;
    OK(sae_lm_place(model, &ops, SAE_BF16, FIX_L, &g_err));
    for (size_t most = 0; st != SAE_OK; most++) { /* memory ends everywhere once */
        struct sae_lm_run *run = NULL;
        allowed = most;
        st = sae_lm_run_open(&run, model, ROWS, FIX_T, &g_err);
        if (st == SAE_OK)
            st = sae_lm_tap(run, fix_tokens, FIX_B, FIX_T, sae_resid_post(0), x, &g_err);
        if (st != SAE_OK)
            refuse(st, SAE_ENOMEM, "use a smaller batch or --backend cpu");
        sae_lm_run_close(run);
        assert_true(most < 100);
    }
    sae_lm_close(model);
    fix_remove(folder);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_batch),
        cmocka_unit_test(test_compare), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_shipped),
    };
    const int end = test_device_open(argc, argv);
    if (end != 0)
        return end;
    device = test_device();
    return cmocka_run_group_tests_name("sae_lm_device", tests, NULL, NULL);
}
