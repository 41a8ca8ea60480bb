/* SPDX-License-Identifier: MIT */
/* checklosses : the gradients of a whole training step, of every loss, against central differences
 * of that loss written plainly in double, with selections, stop-gradients and competition
 * coefficients held where the step found them. JumpReLU's thresholds, which no difference can see,
 * are held against the kernel formula of docs/MATH.md.
 *
 * Contents: 1. a case   2. what is held fixed   3. losses   4. differences   5. thresholds   6. main */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/rng.h"
#include "train/inner.h"
#include "train/options.h"

enum { D = 7, M = 20, N = 12, K = 4, PARAMS = 2 * M * D + 3 * M + D };
static const double STEP = 1e-5;

/* --- 1. a case ---------------------------------------------------------------------------- */

struct check {
    const char *name;
    int arch, orth, sparsity, l0_step, prefix_loss;
    bool auxk;
};

struct state {
    const struct check *c;
    struct trainer *t;
    float x[N * D];
    double w[PARAMS], base[PARAMS]; /* laid out as t->w.all */
    bool on[N][M], gate[N][M], aux[N][M];
    double residual[N * D], spread; /* of AuxK */
    double compete[M][M];
};

/* The arrays within w. */
struct view {
    const double *W_enc, *W_dec, *b_enc, *b_dec, *b_mag, *r_mag;
};

static struct view view_of(const double *w)
{
    return (struct view){.W_enc = w,
                         .W_dec = w + M * D,
                         .b_enc = w + 2 * M * D,
                         .b_dec = w + 2 * M * D + M,
                         .b_mag = w + 2 * M * D + M + D,
                         .r_mag = w + 2 * M * D + 2 * M + D};
}

static void settings_of(const struct check *c, struct settings *set)
{
    static double last[1] = {100}, groups[3] = {0.2, 0.3, 0.5};
    options_default(set);
    set->checkpoints = (struct sae_reals){1, last};
    set->groups = (struct sae_reals){3, groups};
    set->arch = c->arch;
    set->orth = c->orth;
    set->sparsity = c->sparsity;
    set->l0_step = c->l0_step;
    set->prefix_loss = c->prefix_loss;
    set->m = M;
    set->k = K;
    set->batch = N;
    set->steps = 100;
    set->heldout_rows = N;
    set->warmup = 1; /* the first rate is 0: weights stay */
    set->sparsity_warmup = 0;
    set->l1 = 0.3;
    set->p_start = c->sparsity == SPARSITY_L1 ? 1 : 0.7;
    set->lambda2_max = 0.4;
    set->ortsae_chunk = M;
    set->auxk_alpha = 0.5;
    set->dead_after = c->auxk ? 500 : 1000000;
    set->target_l0 = 6;
    set->bandwidth = 0.4;
}

static void fill(struct trainer *t)
{
    struct sae_rng rng = sae_rng_make(3, SAE_RNG_TEST);
    for (size_t i = 0; i < t->w.n; i++)
        t->w.all[i] = (float)(0.6 * sae_rng_normal(&rng));
    t->ops->unit_rows(M, D, 0, t->w.W_dec);
    for (size_t j = 0; j < M; j++) {
        t->w.b_enc[j] *= 0.3F;
        if (t->w.r_mag)
            t->w.r_mag[j] *= 0.5F;
        if (t->w.theta) /* some below 0, some within half a bandwidth of it, some above */
            t->w.theta[j] = (float)(-0.1 + 0.6 * (double)j / M);
        if (t->set.dead_after == 500 && j % 3 == 0) { /* silent, and for long */
            t->w.b_enc[j] = -0.9F;
            t->idle[j] = 1000;
        }
    }
}

/* --- 2. what is held fixed ---------------------------------------------------------------- */

static double pre(const struct state *s, const struct view *v, size_t r, size_t j)
{
    const bool jump = s->c->arch == TRAIN_JUMPRELU, gated = s->c->arch == TRAIN_GATED;
    double z = gated ? 0 : v->b_enc[j];
    for (size_t i = 0; i < D; i++)
        z += v->W_enc[j * D + i] * ((double)s->x[r * D + i] - (jump ? 0 : v->b_dec[i]));
    return z;
}

static double active(const struct state *s, const struct view *v, size_t r, size_t j)
{
    if (!s->on[r][j])
        return 0;
    const double z = pre(s, v, r, j);
    return s->c->arch == TRAIN_GATED ? exp(v->r_mag[j]) * z + v->b_mag[j] : z;
}

/* Whether fewer than `keep` of the rows [r0, r1) are above entry (r, j). */
static bool among_largest(double z[N][M], size_t r0, size_t r1, size_t keep, size_t r,
                          size_t j)
{
    size_t above = 0;
    for (size_t a = r0; a < r1; a++)
        for (size_t b = 0; b < M; b++)
            above += z[a][b] > z[r][j];
    return z[r][j] > 0 && above < keep;
}

static void hold_selection(struct state *s)
{
    const struct view v = view_of(s->base);
    double z[N][M];
    for (size_t r = 0; r < N; r++)
        for (size_t j = 0; j < M; j++)
            z[r][j] = pre(s, &v, r, j);
    for (size_t r = 0; r < N; r++)
        for (size_t j = 0; j < M; j++) {
            if (s->c->arch == TRAIN_TOPK) {
                s->on[r][j] = among_largest(z, r, r + 1, K, r, j);
            } else if (settings_has_k(&s->t->set)) {
                s->on[r][j] = among_largest(z, 0, N, (size_t)N * K, r, j);
            } else if (s->c->arch == TRAIN_GATED) {
                s->gate[r][j] = z[r][j] + v.b_enc[j] > 0;
                s->on[r][j] = s->gate[r][j] && exp(v.r_mag[j]) * z[r][j] + v.b_mag[j] > 0;
            } else {
                s->on[r][j] = z[r][j] > (s->t->w.theta ? (double)s->t->w.theta[j] : 0);
            }
        }
}

static void reconstruct(const struct state *s, const struct view *v, size_t r, double *xhat)
{
    memcpy(xhat, v->b_dec, D * sizeof *xhat);
    for (size_t j = 0; j < M; j++) {
        const double f = active(s, v, r, j);
        for (size_t i = 0; i < D; i++)
            xhat[i] += f * v->W_dec[j * D + i];
    }
}

/* idle: before the step. */
static void hold_auxk(struct state *s, const uint64_t *idle)
{
    const struct view v = view_of(s->base);
    bool dead[M];
    size_t n_dead = 0;
    double mean[D] = {0}, z[N][M];
    for (size_t j = 0; j < M; j++) {
        bool fired = false;
        for (size_t r = 0; r < N; r++)
            fired |= s->on[r][j];
        dead[j] = !fired && idle[j] + N >= s->t->set.dead_after;
        n_dead += dead[j];
    }
    for (size_t r = 0; r < N; r++) {
        double xhat[D];
        reconstruct(s, &v, r, xhat);
        for (size_t i = 0; i < D; i++) {
            s->residual[r * D + i] = (double)s->x[r * D + i] - xhat[i];
            mean[i] += s->residual[r * D + i] / N;
        }
        for (size_t j = 0; j < M; j++)
            z[r][j] = dead[j] ? pre(s, &v, r, j) : -1;
    }
    const size_t keep = n_dead < D / 2 ? n_dead : D / 2;
    for (size_t r = 0; r < N; r++) {
        for (size_t i = 0; i < D; i++)
            s->spread += pow(s->residual[r * D + i] - mean[i], 2) / N;
        for (size_t j = 0; j < M; j++)
            s->aux[r][j] = among_largest(z, r, r + 1, keep, r, j);
    }
}

static void hold_competition(struct state *s)
{
    const double tau = 0.1;
    for (size_t i = 0; i < M; i++)
        for (size_t j = i + 1; j < M; j++) {
            double ni = 0, nj = 0, nij = 0;
            for (size_t r = 0; r < N; r++) {
                ni += s->on[r][i];
                nj += s->on[r][j];
                nij += s->on[r][i] && s->on[r][j];
            }
            if (ni >= 2 && nj >= 2)
                s->compete[i][j] = fmin(1, fmax(0, (nij / fmin(ni, nj) - tau) / tau));
        }
}

/* --- 3. losses ---------------------------------------------------------------------------- */

static double error_of(const struct state *s, size_t r, const double *xhat)
{
    double sq = 0;
    for (size_t i = 0; i < D; i++)
        sq += pow((double)s->x[r * D + i] - xhat[i], 2);
    return s->c->arch == TRAIN_STANDARD_2024 ? sqrt(sq) : sq;
}

static double recon_loss(const struct state *s, const struct view *v, size_t r)
{
    double xhat[D], sum = 0;
    if (s->c->arch != TRAIN_MATRYOSHKA) {
        reconstruct(s, v, r, xhat);
        return error_of(s, r, xhat);
    }
    memcpy(xhat, v->b_dec, sizeof xhat);
    const size_t ends[3] = {4, 10, 20}; /* of groups 0.2, 0.3, 0.5 */
    for (size_t j = 0, g = 0; j < M; j++) {
        const double f = active(s, v, r, j);
        for (size_t i = 0; i < D; i++)
            xhat[i] += f * v->W_dec[j * D + i];
        if (j + 1 == ends[g]) {
            sum += error_of(s, r, xhat) / (s->c->prefix_loss == PREFIX_PUBLISHED ? 9 : 3);
            g++;
        }
    }
    return sum;
}

static double sparse_loss(const struct state *s, const struct view *v, size_t r)
{
    double sum = 0;
    if (!settings_has_l1(&s->t->set))
        return 0;
    for (size_t j = 0; j < M; j++) {
        const bool gated = s->c->arch == TRAIN_GATED;
        if (gated ? s->gate[r][j] : s->on[r][j])
            sum += pow(gated ? pre(s, v, r, j) + v->b_enc[j] : active(s, v, r, j),
                       s->t->set.p_start);
    }
    return 0.3 * (s->c->sparsity == SPARSITY_LP && sum > 0 ? pow(sum, 1 / s->t->set.p_start) : sum);
}

/* Of the gate: decoder and b_dec as they were. */
static double gate_loss(const struct state *s, const struct view *v, size_t r)
{
    const struct view was = view_of(s->base);
    double xhat[D];
    if (s->c->arch != TRAIN_GATED)
        return 0;
    memcpy(xhat, was.b_dec, sizeof xhat);
    for (size_t j = 0; j < M; j++)
        for (size_t i = 0; s->gate[r][j] && i < D; i++)
            xhat[i] += (pre(s, v, r, j) + v->b_enc[j]) * was.W_dec[j * D + i];
    return error_of(s, r, xhat);
}

static double auxk_loss(const struct state *s, const struct view *v, size_t r)
{
    double revived[D] = {0}, sq = 0;
    if (!s->c->auxk)
        return 0;
    for (size_t j = 0; j < M; j++)
        for (size_t i = 0; s->aux[r][j] && i < D; i++)
            revived[i] += pre(s, v, r, j) * v->W_dec[j * D + i];
    for (size_t i = 0; i < D; i++)
        sq += pow(s->residual[r * D + i] - revived[i], 2);
    return 0.5 * sq / s->spread;
}

static double dot(const double *a, const double *b)
{
    double sum = 0;
    for (size_t i = 0; i < D; i++)
        sum += a[i] * b[i];
    return sum;
}

static double separation_loss(const struct state *s, const struct view *v)
{
    double sum = 0;
    for (size_t i = 0; i < M; i++) {
        double top = -2;
        for (size_t j = 0; j < M; j++) {
            const double *const a = v->W_dec + i * D, *const b = v->W_dec + j * D;
            if (settings_competes(&s->t->set) && j > i)
                sum += s->compete[i][j] * fabs(dot(a, b));
            if (j != i)
                top = fmax(top, dot(a, b) / sqrt(dot(a, a) * dot(b, b)));
        }
        if (s->c->orth == ORTH_ORTSAE) /* every fifth step, five times as strongly */
            sum += 5 * top * top / M;
    }
    return 0.4 * sum;
}

static double loss(const struct state *s)
{
    const struct view v = view_of(s->w);
    double sum = 0;
    for (size_t r = 0; r < N; r++)
        sum += recon_loss(s, &v, r) + sparse_loss(s, &v, r) + gate_loss(s, &v, r) +
               auxk_loss(s, &v, r);
    return sum / N + separation_loss(s, &v);
}

/* --- 4. differences ----------------------------------------------------------------------- */

static void compare(struct state *s, size_t n)
{
    const float *const g = s->t->work->g.all;
    double size = 0, worst = 0;
    for (size_t i = 0; i < n; i++)
        size = fmax(size, fabs((double)g[i]));
    for (size_t i = 0; i < n; i++) {
        s->w[i] = s->base[i] + STEP;
        const double up = loss(s);
        s->w[i] = s->base[i] - STEP;
        const double down = loss(s);
        s->w[i] = s->base[i];
        const double want = (up - down) / (2 * STEP);
        worst = fmax(worst, fabs(want - (double)g[i]) / size);
        if (!(fabs(want - (double)g[i]) <= 5e-6 * size))
            fail_msg("%s: gradient %zu is %.9g, central difference %.9g", s->c->name, i,
                     (double)g[i], want);
    }
    print_message("# %-24s %s: within %.0e of the largest gradient\n", s->c->name, s->t->ops->name,
                  worst);
}

/* --- 5. thresholds ------------------------------------------------------------------------ */

static bool window(double u)
{
    return u > -0.5 && u < 0.5;
}

/* The step's thresholds are those of the checked weights: its rate was 0. */
static void compare_thresholds(const struct state *s)
{
    const struct view v = view_of(s->base);
    const double e = s->t->set.bandwidth, T = s->t->set.target_l0;
    double l0 = 0, df[M] = {0}, steps[M] = {0};
    for (size_t r = 0; r < N; r++) {
        double xhat[D];
        reconstruct(s, &v, r, xhat);
        for (size_t j = 0; j < M; j++) {
            const double z = pre(s, &v, r, j), theta = (double)s->t->w.theta[j];
            const double seen = s->c->l0_step == L0_STEP_Z ? z : z > theta ? z : 0;
            l0 += seen > theta;
            steps[j] += window((seen - theta) / e);
            for (size_t i = 0; window((z - theta) / e) && i < D; i++)
                df[j] += 2 * (xhat[i] - (double)s->x[r * D + i]) / N * v.W_dec[j * D + i];
        }
    }
    const double dH = 2 * (l0 / N / T - 1) / (T * N);
    for (size_t j = 0; j < M; j++) {
        const double want = -((double)s->t->w.theta[j] * df[j] + dH * steps[j]) / e;
        if (!(fabs(want - (double)s->t->work->g.theta[j]) <= 1e-5 * (1 + fabs(want))))
            fail_msg("%s: threshold %zu has gradient %.9g, the formula says %.9g", s->c->name, j,
                     (double)s->t->work->g.theta[j], want);
    }
}

/* --- 6. main ------------------------------------------------------------------------------ */

static void run(const struct check *c, const struct sae_ops *ops, size_t dense_share)
{
    struct settings set;
    struct sae_err err = {0};
    struct step_stats stats;
    struct state *const s = calloc(1, sizeof *s);
    struct sae_rng rng = sae_rng_make(4, SAE_RNG_TEST);
    uint64_t idle[M];
    assert_non_null(s);
    s->c = c;
    settings_of(c, &set);
    if (settings_resolve(&set, 100000, D, &err) != SAE_OK ||
        trainer_open(&s->t, &set, ops, D, &err) != SAE_OK)
        fail_msg("%s: %s", c->name, err.msg);
    s->t->work->dense_share = dense_share;
    fill(s->t);
    for (size_t i = 0; i < N * D; i++)
        s->x[i] = (float)sae_rng_normal(&rng);
    memcpy(idle, s->t->idle, sizeof idle);
    for (size_t i = 0; i < s->t->w.n; i++)
        s->base[i] = s->w[i] = (double)s->t->w.all[i];
    hold_selection(s);
    hold_auxk(s, idle);
    hold_competition(s);
    if (trainer_step(s->t, s->x, false, &stats, &err) != SAE_OK)
        fail_msg("%s: %s", c->name, err.msg);
    const double jump = s->t->w.theta ? stats.sparse : 0;
    if (!(fabs(stats.loss - jump - loss(s)) <= 1e-5 * stats.loss))
        fail_msg("%s: loss %.9g, plainly %.9g", c->name, stats.loss - jump, loss(s));
    assert_int_equal(c->auxk, stats.aux > 0 && s->t->set.auxk_alpha > 0 && stats.dead > 0);
    compare(s, s->t->w.theta ? s->t->w.n - M : s->t->w.n);
    if (s->t->w.theta)
        compare_thresholds(s);
    trainer_close(s->t);
    free(s);
}

static const struct check checks[] = {
    {.name = "topk", .arch = TRAIN_TOPK},
    {.name = "topk auxk", .arch = TRAIN_TOPK, .auxk = true},
    {.name = "topk progressive", .arch = TRAIN_TOPK, .orth = ORTH_PROGRESSIVE},
    {.name = "topk ortsae", .arch = TRAIN_TOPK, .orth = ORTH_ORTSAE},
    {.name = "batchtopk auxk", .arch = TRAIN_BATCHTOPK, .auxk = true},
    {.name = "matryoshka", .arch = TRAIN_MATRYOSHKA},
    {.name = "matryoshka auxk static", .arch = TRAIN_MATRYOSHKA, .orth = ORTH_STATIC, .auxk = true},
    {.name = "matryoshka published", .arch = TRAIN_MATRYOSHKA, .prefix_loss = PREFIX_PUBLISHED},
    {.name = "standard", .arch = TRAIN_STANDARD},
    {.name = "standard lp", .arch = TRAIN_STANDARD, .sparsity = SPARSITY_LP},
    {.name = "standard lp^p", .arch = TRAIN_STANDARD, .sparsity = SPARSITY_LPP},
    {.name = "standard ortsae", .arch = TRAIN_STANDARD, .orth = ORTH_ORTSAE},
    {.name = "standard-2024", .arch = TRAIN_STANDARD_2024},
    {.name = "gated static", .arch = TRAIN_GATED, .orth = ORTH_STATIC},
    {.name = "gated lp^p", .arch = TRAIN_GATED, .sparsity = SPARSITY_LPP},
    {.name = "jumprelu", .arch = TRAIN_JUMPRELU},
    {.name = "jumprelu z progressive",
     .arch = TRAIN_JUMPRELU,
     .orth = ORTH_PROGRESSIVE,
     .l0_step = L0_STEP_Z},
};

static void check_losses(void **state)
{
    bool checked[TRAIN_ARCH_N] = {false};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        run(&checks[i], *state, 16);
        checked[checks[i].arch] = true;
        if (!settings_has_k(&(struct settings){.arch = checks[i].arch}))
            run(&checks[i], *state, 1); /* sparse products alone */
    }
    for (int a = 0; a < TRAIN_ARCH_N; a++)
        if (!checked[a])
            fail_msg("no loss of '%s' is written plainly here", train_arch_names[a]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"losses, ref", check_losses, NULL, NULL, (void *)(uintptr_t)&sae_ops_ref},
        {"losses, cpu", check_losses, NULL, NULL, (void *)(uintptr_t)&sae_ops_cpu},
    };
    return cmocka_run_group_tests_name("losses", tests, NULL, NULL);
}
