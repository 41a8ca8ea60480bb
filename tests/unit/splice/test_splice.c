/* SPDX-License-Identifier: MIT */
/* test_splice : formulas by hand, packing by hand, and autoencoders whose answer is known - the
 * identity loses nothing, zero loses what zeros lose - on the embedded language model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/base/rng.h"
#include "splice/partial.h"
#include "splice/recover.h"
#include "splice/cache.h"
#include "splice/splice.h"
#include "tests/emu/emu_c.h"

#define near(a, b, eps)                                                                            \
    do {                                                                                           \
        const double a_ = (a), b_ = (b);                                                           \
        if (!(fabs(a_ - b_) <= (eps)))                                                             \
            fail_msg("%s = %.12g, expected %.12g", #a, a_, b_);                                    \
    } while (0)

/* Two tokens of width 2 in one batch: x = (3,4), (0,5); xhat = (3,3), (0,5).
 *   r = (0,1), (0,0);  |r|^2 = 1, 0;  batch mean (1.5, 4.5);  |x - mean|^2 = 2.5, 2.5
 *   legacy = ((1 - 1/2.5) + 1) / 2 = 0.8;  pooled = 1 - 1/5 = 0.8
 *   A = (25 + 25)/2 = 25, R = 1/2, A/d = 12.5: 0.6 formula = 1 - 0.5 / (25 - 156.25)
 *   mse per token 1/2, upstream (1/2 + 0)/2 = 1/4
 *   bias = (18 + 25) / (9 + 12 + 25) = 43/46
 *   l2 in 5, out (sqrt 18 + 5)/2, ratio (sqrt 18 / 5 + 1)/2, cosine (21/(5 sqrt 18) + 1)/2
 * Latents: token 0 has 0 (2.0) and 1 (1.0), token 1 has 1 (3.0): l0 1.5, l1 3. */
static void test_stats_by_hand(void **state)
{
    (void)state;
    static const float x[] = {3, 4, 0, 5}, xhat[] = {3, 3, 0, 5};
    static const double mean[] = {1.5, 4.5};
    size_t start[] = {0, 2, 3};
    uint32_t idx[] = {0, 1, 1};
    float val[] = {2, 1, 3};
    const uint64_t context[] = {0, 0};
    const struct sae_csr f = {.n = 2, .cap = 3, .start = start, .idx = idx, .val = val};
    struct splice_stats stats;
    struct splice_quality q;
    assert_int_equal(splice_stats_init(&stats, 2, 4, NULL), SAE_OK);
    splice_stats_begin(&stats, 2, mean);
    splice_stats_add(&stats, 2, x, xhat, &f, context);
    splice_stats_end(&stats);
    splice_stats_finish(&stats, &q);
    near(q.explained_variance_legacy, 0.8, 1e-12);
    near(q.explained_variance_pooled, 0.8, 1e-12);
    near(q.explained_variance, 1 - 0.5 / (25 - 156.25), 1e-12);
    near(q.mse_per_token, 0.5, 1e-12);
    near(q.mse, 0.25, 1e-12);
    near(q.relative_bias, 43.0 / 46.0, 1e-12);
    near(q.l2_norm_in, 5, 1e-12);
    near(q.l2_norm_out, (sqrt(18) + 5) / 2, 1e-12);
    near(q.l2_ratio, (sqrt(18) / 5 + 1) / 2, 1e-12);
    near(q.cossim, (21 / (5 * sqrt(18)) + 1) / 2, 1e-12);
    near(q.l0, 1.5, 1e-12);
    near(q.l1, 3, 1e-12);
    /* densities 0.5, 1, 0, 0 */
    near(q.frac_alive, 0.5, 1e-12);
    near(q.over_1, 0.5, 1e-12);
    near(q.over_10, 0.5, 1e-12);
    near(q.mass_10, 1, 1e-12);
    assert_int_equal(stats.contexts[1], 1); /* twice in one context */
    splice_stats_clear(&stats);
}

/* The legacy formula takes the mean of each batch, the pooled one of all tokens. Two batches of
 * two tokens in one dimension, x = 0, 2 | 10, 12, reconstructed one too low each:
 *   legacy: |x - batch mean|^2 = 1, |r|^2 = 1: 0 for each token
 *   pooled: mean 6, sum |x - 6|^2 = 36 + 16 + 16 + 36 = 104, sum |r|^2 = 4: 1 - 4/104 */
static void test_batches_matter(void **state)
{
    (void)state;
    static const float x[] = {0, 2, 10, 12}, xhat[] = {-1, 1, 9, 11};
    static const double means[] = {1, 11};
    size_t start[] = {0, 0, 0};
    const uint64_t context[] = {0, 1};
    const struct sae_csr f = {.n = 2, .start = start};
    struct splice_stats stats;
    struct splice_quality q;
    assert_int_equal(splice_stats_init(&stats, 1, 1, NULL), SAE_OK);
    for (size_t b = 0; b < 2; b++) {
        splice_stats_begin(&stats, 2, means + b);
        splice_stats_add(&stats, 2, x + 2 * b, xhat + 2 * b, &f, context);
        splice_stats_end(&stats);
    }
    splice_stats_finish(&stats, &q);
    near(q.explained_variance_legacy, 0, 1e-12);
    near(q.explained_variance_pooled, 1 - 4.0 / 104, 1e-12);
    near(q.frac_alive, 0, 0);
    splice_stats_clear(&stats);
}

/* Against the plain formulas in double, over a vocabulary that is no multiple of a block. */
static void test_recover_against_double(void **state)
{
    (void)state;
    enum { V = 1037 };
    float *z = calloc(2 * V, sizeof *z), *p = calloc(V, sizeof *p);
    double ce[1], kl[1], lse[2] = {0, 0}, want = 0;
    struct sae_rng rng = sae_rng_make(7, SAE_RNG_TEST);
    for (size_t v = 0; v < 2 * V; v++)
        z[v] = (float)(6 * sae_rng_normal(&rng));
    z[3] = -60; /* p underflows in a softmax of floats; log-softmax does not */
    for (size_t m = 0; m < 2; m++) {
        for (size_t v = 0; v < V; v++)
            lse[m] += exp((double)z[m * V + v]);
        lse[m] = log(lse[m]);
    }
    for (size_t v = 0; v < V; v++) {
        const double a = (double)z[v] - lse[0], b = (double)z[V + v] - lse[1];
        want += exp(a) * (a - b);
    }
    const uint32_t target[] = {5};
    const double ce_clean = lse[0] - (double)z[5], ce_other = lse[1] - (double)z[V + 5];
    splice_recover_reference(1, V, z, p, target, ce);
    near(ce[0], ce_clean, 1e-5);
    splice_recover_compare(1, V, z, p, z + V, target, ce, kl);
    near(ce[0], ce_other, 1e-5);
    near(kl[0], want, 2e-5);
    double total = 0;
    for (size_t v = 0; v < V; v++)
        total += (double)p[v];
    near(total, 1, 1e-5);
    free(z);
    free(p);
}

/* Two words: clean p = (1/2, 1/2), spliced q = (1/4, 3/4), the next word the first. */
static void test_recover_by_hand(void **state)
{
    (void)state;
    float z[] = {0, 0}, other[] = {0, (float)log(3)}, p[2];
    const uint32_t target[] = {0};
    double ce[1], kl[1];
    splice_recover_reference(1, 2, z, p, target, ce);
    near(ce[0], log(2), 1e-6);
    splice_recover_compare(1, 2, z, p, other, target, ce, kl);
    near(ce[0], log(4), 1e-6);
    near(kl[0], 0.5 * log(2) + 0.5 * log(2.0 / 3), 1e-6);
}

static void test_scores(void **state)
{
    (void)state;
    near(splice_recover_score(2.9375, 3.046875, 12.4375), 0.9884868421, 1e-9); /* published TopK */
    near(splice_recover_score(0, 0.123046875, 10.0625), 0.9877717391, 1e-9);
    near(splice_recover_score(3, 3, 9), 1, 0);
    near(splice_recover_score(3, 9, 9), 0, 0);
}

static void feed(struct splice_pack *pack, const uint32_t *ids, size_t n, uint32_t document)
{
    splice_pack_add(pack, ids, n, true, document, SIZE_MAX);
}

/* Contexts of 4, BOS 2. Documents: 11 12 | 21 22 23 24 25 | 2 31 (begins with BOS already)
 *   [2 11 12 2] [2 21 22 23] [2 24 25 2] then 31 opens the next: 2 31 ... not full, not counted */
static void test_packing(void **state)
{
    (void)state;
    static const uint32_t a[] = {11, 12}, b[] = {21, 22, 23, 24, 25}, c[] = {2, 31};
    static const uint32_t want[3][4] = {
        {2, 11, 12, 2 },
        {2, 21, 22, 23},
        {2, 24, 25, 2 }
    };
    struct splice_pack pack;
    assert_int_equal(splice_pack_init(&pack, 4, 3, 2, NULL), SAE_OK);
    feed(&pack, a, 2, 0);
    feed(&pack, b, 5, 1);
    feed(&pack, c, 2, 2);
    assert_int_equal(pack.n_total, 3);
    assert_memory_equal(pack.ring, want, sizeof want);
    assert_int_equal(pack.open.n, 2);
    assert_int_equal(pack.open.token[0], 2);
    assert_int_equal(pack.open.token[1], 31);
    assert_int_equal(pack.first[1], 1);
    assert_int_equal(pack.last[2], 2);
    splice_pack_clear(&pack);
}

/* Only the last `cap` contexts stay; stop_at ends the packing. */
static void test_packing_ring(void **state)
{
    (void)state;
    static const uint32_t ids[] = {5, 6, 7, 8, 9, 10};
    static const uint32_t want[2] = {2, 10};
    struct splice_pack pack;
    assert_int_equal(splice_pack_init(&pack, 2, 1, 2, NULL), SAE_OK);
    feed(&pack, ids, 6, 4);
    assert_int_equal(pack.n_total, 6);
    assert_memory_equal(pack.ring, want, sizeof want);
    splice_pack_add(&pack, ids, 6, true, 5, 7);
    assert_int_equal(pack.n_total, 7);
    splice_pack_clear(&pack);
}

/* --- known autoencoders on the embedded model ------------------------------------------------ */

static struct sae_lm *lm;

static int open_model(void **state)
{
    (void)state;
    char path[1024];
    struct sae_err err = {0};
    const char *root = getenv("SAE_SOURCE_ROOT");
    if (root == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/data/tiny-g2", root);
    if (sae_lm_open(&lm, path, &err) == SAE_OK)
        return 0;
    print_error("%s\n", err.msg);
    return -1;
}

static int close_model(void **state)
{
    (void)state;
    sae_lm_close(lm);
    return 0;
}

/* relu(x) - relu(-x) = x: latents +e_j and -e_j for each dimension. */
static void identity(struct sae_model *model, size_t d)
{
    assert_int_equal(sae_model_alloc(model, SAE_ARCH_STANDARD, d, 2 * d, 0, NULL), SAE_OK);
    for (size_t j = 0; j < d; j++) {
        model->W_enc[j * d + j] = model->W_dec[j * d + j] = 1;
        model->W_enc[(d + j) * d + j] = model->W_dec[(d + j) * d + j] = -1;
    }
}

/* Contexts of 16 with BOS at 0 and in the middle of the second. */
static void fill_text(struct splice_text *text, size_t V, uint32_t bos)
{
    struct sae_rng rng = sae_rng_make(3, SAE_RNG_TEST);
    *text = (struct splice_text){.n = 3, .context = 16};
    text->ids = calloc(3 * 16, sizeof *text->ids);
    for (size_t i = 0; i < 3 * 16; i++)
        text->ids[i] = 300 + (uint32_t)sae_rng_below(&rng, V - 300);
    for (size_t c = 0; c < 3; c++)
        text->ids[c * 16] = bos;
    text->ids[16 + 7] = bos;
}

static void test_known_autoencoders(void **state)
{
    (void)state;
    const struct sae_lm_config *config = sae_lm_config(lm);
    struct sae_model id = {0}, zero = {0};
    const struct sae_model *const models[] = {&id, &zero};
    struct splice_reference ref;
    struct splice_sums answers[2];
    struct splice_quality q;
    struct splice_text text;
    const struct sae_ops *ops;
    struct sae_err err = {0};
    assert_int_equal(sae_ops_open(&ops, "cpu", 2, NULL), SAE_OK);
    identity(&id, config->D);
    assert_int_equal(sae_model_alloc(&zero, SAE_ARCH_STANDARD, config->D, 8, 0, NULL), SAE_OK);
    fill_text(&text, config->V, config->bos);
    const struct splice_job job = {.lm = lm, .hook = {SAE_RESID_POST, 3}, .text = &text, .batch = 2};
    if (splice_pass(&ref, answers, models, 2, &job, ops, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    /* 48 positions, 4 of them BOS; CE leaves out the last position of each context too */
    assert_int_equal(ref.n_kl, 44);
    assert_int_equal(ref.n_ce, 41);
    near(splice_recover_score(ref.ce_clean, answers[0].ce, ref.ce_ablated), 1, 1e-5);
    near(splice_recover_score(0, answers[0].kl, ref.kl_ablated), 1, 1e-5);
    splice_stats_finish(&answers[0].stats, &q);
    near(q.explained_variance_legacy, 1, 1e-6);
    near(q.explained_variance_pooled, 1, 1e-6);
    near(q.cossim, 1, 1e-6);
    near(q.relative_bias, 1, 1e-6);
    near(q.l0, (double)config->D, 0.5); /* a coordinate is never exactly 0 */
    near(q.frac_alive, 1, 0.1);
    splice_stats_finish(&answers[1].stats, &q);
    near(q.cossim, 0, 0);
    near(q.l0, 0, 0);
    near(q.frac_alive, 0, 0);
    near(q.l2_ratio, 0, 0);
    assert_true(q.explained_variance_legacy < 0.0);
    assert_true(answers[1].kl > 0.1); /* random tokens: CE itself need not rise */
    splice_stats_clear(&answers[0].stats);
    splice_stats_clear(&answers[1].stats);
    splice_text_clear(&text);
    sae_model_clear(&id);
    sae_model_clear(&zero);
}

/* Where no position is special, replacing by zeros is zero ablation: both scores are 0. */
static void test_zero_is_ablation(void **state)
{
    (void)state;
    const struct sae_lm_config *config = sae_lm_config(lm);
    struct sae_model zero = {0};
    const struct sae_model *const models[] = {&zero};
    struct splice_reference ref;
    struct splice_sums answer;
    struct splice_text text;
    const struct sae_ops *ops;
    assert_int_equal(sae_ops_open(&ops, "cpu", 1, NULL), SAE_OK);
    assert_int_equal(sae_model_alloc(&zero, SAE_ARCH_STANDARD, config->D, 8, 0, NULL), SAE_OK);
    fill_text(&text, config->V, 300);
    const struct splice_job job = {.lm = lm, .hook = {SAE_RESID_POST, 3}, .text = &text, .batch = 16};
    assert_int_equal(splice_pass(&ref, &answer, models, 1, &job, ops, NULL), SAE_OK);
    assert_int_equal(ref.n_kl, 48);
    near(splice_recover_score(ref.ce_clean, answer.ce, ref.ce_ablated), 0, 0);
    near(splice_recover_score(0, answer.kl, ref.kl_ablated), 0, 0);
    splice_stats_clear(&answer.stats);
    splice_text_clear(&text);
    sae_model_clear(&zero);
}

static void test_width_is_checked(void **state)
{
    (void)state;
    struct sae_model wide = {0};
    const struct sae_model *const models[] = {&wide};
    struct splice_reference ref;
    struct splice_sums answer;
    struct splice_text text;
    const struct sae_ops *ops;
    struct sae_err err;
    assert_int_equal(sae_ops_open(&ops, "cpu", 1, NULL), SAE_OK);
    assert_int_equal(sae_model_alloc(&wide, SAE_ARCH_STANDARD, 7, 8, 0, NULL), SAE_OK);
    fill_text(&text, sae_lm_config(lm)->V, 300);
    const struct splice_job job = {.lm = lm, .hook = {SAE_RESID_POST, 3}, .text = &text, .batch = 16};
    assert_int_equal(splice_pass(&ref, &answer, models, 1, &job, ops, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "width 7"));
    splice_text_clear(&text);
    sae_model_clear(&wide);
}

/* A pass that takes the reference from the cache, one that finds a damaged batch there, and one
 * that goes on from a part give the bits of a plain pass. */
static void run(struct splice_reference *ref, struct splice_sums *answer,
                const struct splice_job *job)
{
    const struct sae_lm_config *config = sae_lm_config(lm);
    const struct sae_ops *ops;
    struct sae_model id = {0};
    const struct sae_model *const models[] = {&id};
    struct sae_err err;
    assert_int_equal(sae_ops_open(&ops, "cpu", 2, NULL), SAE_OK);
    identity(&id, config->D);
    if (splice_pass(ref, answer, models, 1, job, ops, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    sae_model_clear(&id);
}

static void same(const struct splice_reference *a, const struct splice_sums *x,
                 const struct splice_reference *b, struct splice_sums *y)
{
    assert_memory_equal(a, b, sizeof *a);
    assert_true(x->ce == y->ce && x->kl == y->kl && x->n_done == y->n_done);
    struct splice_quality p, q;
    splice_stats_finish(&x->stats, &p);
    splice_stats_finish(&y->stats, &q);
    assert_memory_equal(&p, &q, sizeof p);
    const size_t bytes = x->stats.m * sizeof *x->stats.active;
    assert_memory_equal(x->stats.active, y->stats.active, bytes);
    assert_memory_equal(x->stats.contexts, y->stats.contexts, bytes);
    splice_stats_clear(&y->stats);
}

static void damage(const char *folder)
{
    char **names = NULL, path[300];
    size_t n = 0;
    assert_int_equal(sae_fs_list(&names, &n, folder, "", ".h5", NULL), SAE_OK);
    assert_int_equal(n, 2); /* batches of two contexts and of one */
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        fseek(file, 0, SEEK_END);
        const long middle = ftell(file) / 2;
        fseek(file, middle, SEEK_SET);
        for (int k = 0; k < 64; k++)
            fputc(0x5a, file);
        fclose(file);
    }
    sae_fs_list_free(names, n);
}

static void test_cache_and_part(void **state)
{
    (void)state;
    const struct sae_lm_config *config = sae_lm_config(lm);
    char dir[] = "/tmp/sae_splice_XXXXXX", cache[64], part[64];
    struct splice_reference ref, again;
    struct splice_sums answer, other;
    struct splice_text text;
    assert_non_null(mkdtemp(dir));
    snprintf(cache, sizeof cache, "%s/cache", dir);
    snprintf(part, sizeof part, "%s/part.h5", dir);
    fill_text(&text, config->V, config->bos);
    struct splice_job job = {.lm = lm, .hook = {SAE_RESID_POST, 3}, .text = &text, .batch = 2};
    run(&ref, &answer, &job);
    job.cache = cache;
    job.model_id = "a model";
    run(&again, &other, &job); /* fills it */
    same(&ref, &answer, &again, &other);
    run(&again, &other, &job); /* reads it */
    same(&ref, &answer, &again, &other);
    damage(cache);
    run(&again, &other, &job); /* mends it */
    same(&ref, &answer, &again, &other);
    job.model_id = "another model"; /* whose batches are not there */
    run(&again, &other, &job);
    same(&ref, &answer, &again, &other);

    /* the first batch alone, kept as a part of the whole; then the whole from there on */
    struct splice_partial keep = {.path = part};
    splice_partial_key(keep.key, "a checkpoint", "a model", sae_resid_post(3), &text, 2);
    struct splice_text head = text;
    head.n = 2;
    job.text = &head;
    run(&again, &other, &job);
    other.ce *= (double)again.n_ce; /* means again sums, as they are between batches */
    other.kl *= (double)again.n_kl;
    assert_int_equal(splice_partial_save(part, keep.key, &other, NULL), SAE_OK);
    splice_stats_clear(&other.stats);
    job.text = &text;
    job.partials = &keep;
    run(&again, &other, &job);
    near(other.ce, answer.ce, 1e-12);
    near(other.kl, answer.kl, 1e-12);
    other.ce = answer.ce; /* the product above may round */
    other.kl = answer.kl;
    same(&ref, &answer, &again, &other);
    keep.key[0] ^= 1; /* a part of something else is passed over */
    run(&again, &other, &job);
    same(&ref, &answer, &again, &other);

    splice_stats_clear(&answer.stats);
    splice_text_clear(&text);
    char command[80];
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

/* --- on a device --------------------------------------------------------------------------- */

enum { N_SPLICED = 3 };
struct passed {
    struct splice_reference ref;
    struct splice_sums answers[N_SPLICED];
};

/* The identity, one that halves the stream, one that clears it; model and autoencoders by ops. */
static void pass_on(struct passed *ret, const struct sae_ops *ops, enum sae_precision how,
                    const struct splice_job *job)
{
    const size_t D = sae_lm_config(lm)->D;
    struct sae_model all[N_SPLICED] = {0};
    const struct sae_model *const models[] = {&all[0], &all[1], &all[2]};
    struct sae_err err;
    identity(&all[0], D);
    identity(&all[1], D);
    for (size_t i = 0; i < 2 * D * D; i++)
        all[1].W_dec[i] /= 2;
    assert_int_equal(sae_model_alloc(&all[2], SAE_ARCH_STANDARD, D, 8, 0, NULL), SAE_OK);
    if (sae_lm_place(lm, ops, how, SIZE_MAX, &err) != SAE_OK ||
        splice_pass(&ret->ref, ret->answers, models, N_SPLICED, job, ops, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < N_SPLICED; i++)
        sae_model_clear(&all[i]);
}

static void clear_passed(struct passed *p)
{
    for (size_t i = 0; i < N_SPLICED; i++)
        splice_stats_clear(&p->answers[i].stats);
}

/* Most that a mean of a is away from b's, in nats. */
static double apart(const struct passed *a, const struct passed *b)
{
    double most = fmax(fabs(a->ref.ce_clean - b->ref.ce_clean),
                       fabs(a->ref.ce_ablated - b->ref.ce_ablated));
    most = fmax(most, fabs(a->ref.kl_ablated - b->ref.kl_ablated));
    for (size_t i = 0; i < N_SPLICED; i++) {
        most = fmax(most, fabs(a->answers[i].ce - b->answers[i].ce));
        most = fmax(most, fabs(a->answers[i].kl - b->answers[i].kl));
    }
    return most;
}

/* On the emulated device, whose logits stay there: the host's numbers, within what the factors cost;
 * the identity loses nothing; the reference from the cache gives the same bits. */
static void test_device(void **state)
{
    (void)state;
    static const struct {
        enum sae_precision how;
        const char *name;
        double bound; /* nats a token */
    } bounds[] = {{SAE_F32, "f32", 1e-5}, {SAE_BF16, "bf16", 1e-2}};
    char cache[] = "/tmp/sae_splice_XXXXXX", command[80];
    const struct sae_ops *device;
    struct passed host, there, again;
    struct splice_text text;
    assert_int_equal(sae_cuda_open(&device, NULL), SAE_OK);
    fill_text(&text, sae_lm_config(lm)->V, sae_lm_config(lm)->bos);
    struct splice_job job = {.lm = lm, .hook = {SAE_RESID_POST, 3}, .text = &text, .batch = 2};
    pass_on(&host, &sae_ops_cpu, SAE_F32, &job);
    for (size_t k = 0; k < 2; k++) {
        pass_on(&there, device, bounds[k].how, &job);
        const double most = apart(&there, &host);
        print_message("# device, %s factors: within %.2e nats\n", bounds[k].name, most);
        assert_true(there.ref.n_kl == host.ref.n_kl && there.ref.n_ce == host.ref.n_ce);
        assert_true(most <= bounds[k].bound);
        near(there.answers[0].ce, there.ref.ce_clean, 1e-6);
        near(there.answers[0].kl, 0, 1e-6);
        if (k == 0)
            clear_passed(&there);
    }
    assert_non_null(mkdtemp(cache));
    job.cache = cache;
    job.model_id = "a model on a device";
    for (int filled = 0; filled < 2; filled++) {
        pass_on(&again, device, SAE_BF16, &job);
        assert_memory_equal(&again.ref, &there.ref, sizeof again.ref);
        assert_true(apart(&again, &there) == 0);
        clear_passed(&again);
    }
    assert_int_equal(sae_lm_place(lm, &sae_ops_cpu, SAE_F32, 0, NULL), SAE_OK);
    clear_passed(&there);
    clear_passed(&host);
    splice_text_clear(&text);
    snprintf(command, sizeof command, "rm -r %s", cache);
    assert_int_equal(system(command), 0);
}

/* Two rows at 60 degrees: the nearest of each is the other, cosine 1/2. */
static void test_weights(void **state)
{
    (void)state;
    struct sae_model model = {0};
    struct splice_weights w;
    assert_int_equal(sae_model_alloc(&model, SAE_ARCH_STANDARD, 2, 2, 0, NULL), SAE_OK);
    const float enc[] = {2, 0, 1, (float)sqrt(3)}, dec[] = {0, 1, 1, 0};
    memcpy(model.W_enc, enc, sizeof enc);
    memcpy(model.W_dec, dec, sizeof dec);
    assert_int_equal(splice_weights_make(&w, &model, &sae_ops_cpu, NULL), SAE_OK);
    near((double)w.enc_norm[0], 2, 1e-6);
    near((double)w.max_enc[0], 0.5, 1e-6);
    near(w.mean_max_enc, 0.5, 1e-6);
    near(w.mean_max_dec, 0, 1e-6);
    near((double)w.enc_dec[0], 0, 1e-6);
    near((double)w.enc_dec[1], 0.5, 1e-6);
    splice_weights_clear(&w);
    sae_model_clear(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stats_by_hand),
        cmocka_unit_test(test_batches_matter),
        cmocka_unit_test(test_recover_against_double),
        cmocka_unit_test(test_recover_by_hand),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_packing),
        cmocka_unit_test(test_packing_ring),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_known_autoencoders),
        cmocka_unit_test(test_zero_is_ablation),
        cmocka_unit_test(test_width_is_checked),
        cmocka_unit_test(test_cache_and_part),
        cmocka_unit_test(test_device),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
