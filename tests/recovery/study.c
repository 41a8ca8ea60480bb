/* SPDX-License-Identifier: MIT */
/* study : trains one autoencoder on data from a known dictionary, and says how much of the
 * dictionary it found. study.sh runs them all and makes the table.
 *
 *   study TRAINER SEED [steps 12000]      one line: trainer seed MCC uniqueness F1 dead L0 EV seconds
 *   study --names                         the trainers
 *   study --check                         a reduced form for the tests: fails where little is found
 *
 * Data (synth.h, hierarchy): 256 features in 64 numbers, Zipf rates, correlated firing, parents and
 * children; dictionary and weights both follow the seed. As many latents as features. The goal of
 * every trainer is the data's own L0: k, target-l0, or an L1 weight led there (section 2).
 *
 *   MCC         mean |cos| over the best one-to-one matching of latents and features
 *   uniqueness  different features that are some latent's nearest, over latents
 *   F1          of each latent's firing against that of its nearest feature, mean over latents,
 *               0 where undefined; by inference on 8192 fresh rows, like dead, L0 and EV
 *
 * Contents: 1. trainers   2. training   3. scores   4. main */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/fixtures/assign_dense.h"
#include "tests/unit/fixtures/synth.h"
#include "train/options.h"
#include "train/trainer.h"

enum { D = 64, FEATURES = 256, M = 256, BATCH = 256, POOL = 1 << 16, FRESH = 8192 };

/* --- 1. trainers -------------------------------------------------------------------------- */

/* weight: of the L1 term to start from, or of the orthogonality term (ortsae: times the mean square
 * norm of the data, because its published weight is for a mean over standardised elements). */
static const struct recipe {
    const char *name;
    int arch, orth;
    double weight, lr;
} recipes[] = {
    {"untrained",        TRAIN_TOPK,       ORTH_NONE,        0,    0    },
    {"topk",             TRAIN_TOPK,       ORTH_NONE,        0,    0.003},
    {"topk-static",      TRAIN_TOPK,       ORTH_STATIC,      0.1,  0.003},
    {"topk-progressive", TRAIN_TOPK,       ORTH_PROGRESSIVE, 0.1,  0.003},
    {"batchtopk",        TRAIN_BATCHTOPK,  ORTH_NONE,        0,    0.003},
    {"batchtopk-ortsae", TRAIN_BATCHTOPK,  ORTH_ORTSAE,      0.25, 0.003},
    {"matryoshka",       TRAIN_MATRYOSHKA, ORTH_NONE,        0,    0.003},
    {"standard",         TRAIN_STANDARD,   ORTH_NONE,        3,    0.003},
    {"gated",            TRAIN_GATED,      ORTH_NONE,        3,    0.003},
    {"jumprelu",         TRAIN_JUMPRELU,   ORTH_NONE,        100,  0.003},
};
enum { RECIPES = sizeof recipes / sizeof *recipes };

static void stop(const char *why)
{
    fprintf(stderr, "study: %s\n", why);
    exit(1);
}

static void *get(size_t n, size_t size)
{
    void *const p = calloc(n, size);
    if (!p)
        stop("out of memory");
    return p;
}

static void settings_of(const struct recipe *r, double l0, double square_norm, uint64_t seed,
                        uint64_t steps, struct settings *set)
{
    static double last[1] = {100};
    options_default(set);
    set->checkpoints = (struct sae_reals){1, last};
    set->arch = r->arch;
    set->orth = r->orth;
    set->m = M;
    set->k = (uint64_t)lround(l0);
    set->batch = BATCH;
    set->steps = steps;
    set->heldout_rows = BATCH;
    set->lr = r->lr > 0 ? r->lr : 1e-12; /* untrained: one step that moves nothing */
    if (r->lr > 0)
        set->decay_start = steps * 4 / 5;
    set->dead_after = steps * BATCH / 20;
    set->seed = seed;
    set->target_l0 = l0;
    set->bandwidth = 0.2;
    if (r->orth != ORTH_NONE)
        set->lambda2_max = r->weight * (r->orth == ORTH_ORTSAE ? square_norm : 1);
    else if (r->arch == TRAIN_JUMPRELU)
        set->l0_penalty = r->weight;
    else if (r->weight > 0)
        set->l1 = r->weight;
}

/* --- 2. training -------------------------------------------------------------------------- */

/* Leads the L1 weight to the wanted L0 by its logarithm, after SynthSAEBench's controller. */
static void control(struct trainer *t, double l0, double goal, double *mean)
{
    *mean = *mean < 0 ? l0 : 0.98 * *mean + 0.02 * l0;
    if (settings_has_l1(&t->set) && t->step > t->set.sparsity_warmup / 2)
        t->set.l1 *= exp(0.005 * tanh(3 * (*mean / goal - 1)));
}

static struct trainer *train(const struct settings *set, const float *rows, double goal)
{
    struct sae_err err = {0};
    struct settings resolved = *set;
    struct trainer *t = NULL;
    struct step_stats stats;
    double mean = -1;
    if (settings_resolve(&resolved, 1000000, D, &err) != SAE_OK ||
        trainer_open(&t, &resolved, &sae_ops_cpu, D, &err) != SAE_OK)
        stop(err.msg);
    trainer_init(t, rows);
    for (uint64_t step = 0; step < resolved.steps; step++) {
        const float *const x = rows + step * BATCH % POOL * D;
        if (trainer_step(t, x, false, &stats, &err) != SAE_OK)
            stop(err.msg);
        control(t, stats.l0, goal, &mean);
    }
    return t;
}

/* --- 3. scores ---------------------------------------------------------------------------- */

struct scores {
    double mcc, uniqueness, f1, dead, l0, explained;
};

static double cosine(const float *a, const float *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < D; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/* nearest [M]: the feature most like each latent. */
static void match(const struct trainer *t, const struct synth *s, uint32_t *nearest,
                  struct scores *ret)
{
    double *const gain = get((size_t)FEATURES * M, sizeof *gain);
    uint32_t *const seat = get(FEATURES, sizeof *seat);
    unsigned char named[FEATURES] = {0};
    for (size_t f = 0; f < FEATURES; f++)
        for (size_t j = 0; j < M; j++)
            gain[f * M + j] = fabs(cosine(s->F + f * D, t->w.W_dec + j * D));
    if (assign_dense(FEATURES, M, gain, seat, NULL) != SAE_OK)
        exit(1);
    double sum = 0;
    size_t different = 0;
    for (size_t f = 0; f < FEATURES; f++)
        sum += gain[f * M + seat[f]];
    for (size_t j = 0; j < M; j++) {
        for (uint32_t f = 1; f < FEATURES; f++)
            if (gain[f * M + j] > gain[nearest[j] * (size_t)M + j])
                nearest[j] = f;
        different += !named[nearest[j]];
        named[nearest[j]] = 1;
    }
    ret->mcc = sum / FEATURES;
    ret->uniqueness = (double)different / M;
    free(gain);
    free(seat);
}

/* Inference on fresh rows, a batch at a time. */
static void infer(struct trainer *t, const struct synth *s, const uint32_t *nearest,
                  struct scores *ret)
{
    float *const x = get((size_t)FRESH * D, sizeof *x);
    unsigned char *const fires = get((size_t)FRESH * FEATURES, 1);
    double *const both = get(M, sizeof *both), *const on = get(M, sizeof *on);
    double truth[FEATURES] = {0}, mean[D], residual = 0;
    struct forward_view view;
    struct sae_err err = {0};
    for (size_t r = 0; r < FRESH; r++) {
        synth_row_fires(s, POOL + r, x + r * D, fires + r * FEATURES);
        for (size_t f = 0; f < FEATURES; f++)
            truth[f] += fires[r * FEATURES + f];
    }
    for (size_t r0 = 0; r0 < FRESH; r0 += BATCH) {
        if (trainer_forward(t, x + r0 * D, BATCH, trainer_k(t), &view, &err) != SAE_OK)
            stop(err.msg);
        for (size_t r = 0; r < BATCH; r++)
            for (size_t e = view.csr->start[r]; e < view.csr->start[r + 1]; e++) {
                const size_t j = view.csr->idx[e];
                on[j]++;
                both[j] += fires[(r0 + r) * FEATURES + nearest[j]];
            }
        for (size_t i = 0; i < (size_t)BATCH * D; i++)
            residual += pow((double)x[r0 * D + i] - (double)view.xhat[i], 2);
    }
    for (size_t j = 0; j < M; j++) {
        ret->dead += on[j] < 1;
        ret->l0 += on[j] / FRESH;
        ret->f1 += both[j] > 0 ? 2 * both[j] / (on[j] + truth[nearest[j]]) / M : 0;
    }
    ret->explained = 1 - residual / trainer_spread(FRESH, D, x, NULL, mean);
    free(x);
    free(fires);
    free(both);
    free(on);
}

/* --- 4. main ------------------------------------------------------------------------------ */

/* Fills the pool; returns the mean number of features in a row. */
static double make_rows(const struct synth *s, float *rows, double *ret_square_norm)
{
    unsigned char fires[FEATURES];
    double count = 0;
    for (size_t r = 0; r < POOL; r++) {
        synth_row_fires(s, r, rows + r * D, fires);
        for (size_t f = 0; f < FEATURES; f++)
            count += fires[f];
    }
    *ret_square_norm = sae_ops_cpu.sum_sq((size_t)POOL * D, rows) / POOL;
    return count / POOL;
}

static int names(void)
{
    for (size_t i = 0; i < RECIPES; i++)
        puts(recipes[i].name);
    return 0;
}

static const struct recipe *recipe_of(const char *name)
{
    for (size_t i = 0; i < RECIPES; i++)
        if (strcmp(recipes[i].name, name) == 0)
            return &recipes[i];
    return NULL;
}

static struct scores run(const struct recipe *recipe, uint64_t seed, uint64_t steps)
{
    struct synth s;
    struct settings set;
    struct scores got = {0};
    uint32_t nearest[M] = {0};
    synth_open(&s, SYNTH_HIERARCHY, D, FEATURES, 10, 0.05, seed);
    float *const rows = get((size_t)POOL * D, sizeof *rows);
    double square_norm;
    const double l0 = make_rows(&s, rows, &square_norm);
    settings_of(recipe, l0, square_norm, seed, recipe->lr > 0 ? steps : 1, &set);
    struct trainer *const t = train(&set, rows, l0);
    match(t, &s, nearest, &got);
    infer(t, &s, nearest, &got);
    trainer_close(t);
    synth_close(&s);
    free(rows);
    return got;
}

static int check(void)
{
    static const char *const names[] = {"matryoshka", "batchtopk-ortsae"};
    const struct scores none = run(recipe_of("untrained"), 1, 1);
    int bad = 0;
    printf("untrained: MCC %.3f, F1 %.3f\n", none.mcc, none.f1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct scores got = run(recipe_of(names[i]), 1, 700);
        const bool good = got.mcc > none.mcc + 0.1 && got.f1 > none.f1 + 0.1 && got.l0 > 6 &&
                          got.l0 < 8 && got.explained > 0.6;
        printf("%s: MCC %.3f, F1 %.3f, L0 %.2f, explained variance %.3f%s\n", names[i], got.mcc,
               got.f1, got.l0, got.explained, good ? "" : ": too little");
        bad |= !good;
    }
    return bad;
}

int main(int argc, char **argv)
{
    sae_ops_threads(1); /* small products: runs go side by side instead */
    if (argc == 2 && strcmp(argv[1], "--names") == 0)
        return names();
    if (argc == 2 && strcmp(argv[1], "--check") == 0)
        return check();
    const struct recipe *const recipe = argc > 2 ? recipe_of(argv[1]) : NULL;
    if (!recipe) {
        fprintf(stderr, "usage: study TRAINER SEED [steps]; study --names lists trainers\n");
        return 2;
    }
    const uint64_t seed = strtoull(argv[2], NULL, 10);
    const clock_t began = clock();
    const struct scores got = run(recipe, seed, argc > 3 ? strtoull(argv[3], NULL, 10) : 12000);
    printf("%s\t%d\t%.4f\t%.4f\t%.4f\t%.0f\t%.2f\t%.4f\t%.1f\n", recipe->name, (int)seed, got.mcc,
           got.uniqueness, got.f1, got.dead, got.l0, got.explained,
           (double)(clock() - began) / CLOCKS_PER_SEC);
    return 0;
}
