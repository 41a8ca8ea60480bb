/* SPDX-License-Identifier: MIT */
/* last : the draw, the ranking and the probes of the package sae-probes. Its random numbers are
 * numpy's, drawn in its order; its probes walk scikit-learn's path (lib/eval/saga.h, path.h).
 *
 * Contents:  1. draw   2. ranking   3. scores   4. probes */
#include "probe/last.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/mt.h"
#include "lib/eval/path.h"
#include "lib/eval/saga.h"
#include "lib/eval/score.h"

/* --- 1. draw ------------------------------------------------------------------------------ */

/* RandomState.choice(from, n, replace=False): the first of a permutation. What is left is put back
 * into `from` in ascending order, as numpy's setdiff1d gives it. */
static enum sae_status choose(uint32_t *to, size_t n, uint32_t *from, size_t *n_from,
                              struct sae_mt *mt, struct sae_err *err)
{
    uint32_t *order = NULL;
    SAE_TRY(sae_mem_alloc(&order, *n_from, sizeof *order, err));
    for (size_t i = 0; i < *n_from; i++)
        order[i] = (uint32_t)i;
    sae_mt_shuffle_u32(mt, order, *n_from);
    for (size_t i = 0; i < n; i++) {
        to[i] = from[order[i]];
        from[order[i]] = UINT32_MAX;
    }
    size_t left = 0;
    for (size_t i = 0; i < *n_from; i++)
        if (from[i] != UINT32_MAX)
            from[left++] = from[i];
    *n_from = left;
    free(order);
    return SAE_OK;
}

/* Half positives (rounded up) and half negatives, of `of` = {negatives, positives}. */
static enum sae_status draw_part(uint32_t *to, size_t n, uint32_t *of[2], size_t n_of[2],
                                 struct sae_mt *mt, struct sae_err *err)
{
    SAE_TRY(choose(to, (n + 1) / 2, of[1], &n_of[1], mt, err));
    return choose(to + (n + 1) / 2, n / 2, of[0], &n_of[0], mt, err);
}

static enum sae_status check_sizes(const struct probe_last_draw *draw, const size_t n_of[2],
                                   size_t n, const char *name, struct sae_err *err)
{
    if (n < PROBE_LAST_LEAST)
        return sae_err_set(err, SAE_EFORMAT,
                           "set '%s' has %zu texts; sae-probes' protocol takes %d or more here "
                           "(fewer: its folds are not computed)",
                           name, n, PROBE_LAST_LEAST);
    for (size_t c = 0; c < 2; c++) {
        const size_t needed = c ? (draw->n_train + 1) / 2 + (draw->n_test + 1) / 2
                                : draw->n_train / 2 + draw->n_test / 2;
        if (n_of[c] < needed)
            return sae_err_set(err, SAE_EFORMAT,
                               "set '%s' has %zu of %zu texts in its %s class, and half of %zu to "
                               "train on and of %zu to test on must be: the protocol takes sets "
                               "whose classes are of one size",
                               name, n_of[c], n, c ? "second" : "first", draw->n_train,
                               draw->n_test);
    }
    return SAE_OK;
}

enum sae_status probe_last_draw(struct probe_last_draw *ret, const uint8_t *label, size_t n,
                                uint32_t seed, const char *name, struct sae_err *err)
{
    const size_t size = n; /* the package counts all texts of the file, and then takes the first */
    struct probe_last_draw draw = {0};
    struct sae_mt mt = sae_mt_make(seed);
    uint32_t *memory = NULL, *of[2];
    size_t n_of[2] = {0, 0};
    enum sae_status st;
    n = n < PROBE_LAST_TEXTS ? n : PROBE_LAST_TEXTS;
    draw.n_train = size < PROBE_LAST_TRAIN + 100 ? (size < 100 ? 0 : size - 100) : PROBE_LAST_TRAIN;
    draw.n_test = n > draw.n_train ? n - draw.n_train - 1 : 0;
    draw.n_tail = draw.n_train / 5 < 100 ? draw.n_train / 5 : 100;
    SAE_GO(st, sae_mem_alloc(&memory, 2 * n, sizeof *memory, err));
    of[0] = memory;
    of[1] = memory + n;
    for (size_t i = 0; i < n; i++)
        of[label[i]][n_of[label[i]]++] = (uint32_t)i;
    SAE_GO(st, check_sizes(&draw, n_of, n, name, err));
    SAE_GO(st, sae_mem_alloc(&draw.rows, n, sizeof *draw.rows, err));
    SAE_GO(st, sae_mem_alloc(&draw.label, n, sizeof *draw.label, err));
    SAE_GO(st, draw_part(draw.rows, draw.n_train, of, n_of, &mt, err));
    SAE_GO(st, draw_part(draw.rows + draw.n_train, draw.n_test, of, n_of, &mt, err));
    sae_mt_shuffle_u32(&mt, draw.rows, draw.n_train);
    sae_mt_shuffle_u32(&mt, draw.rows + draw.n_train, draw.n_test);
    for (size_t i = 0; i < draw.n_train + draw.n_test; i++)
        draw.label[i] = label[draw.rows[i]];
    *ret = draw;
    draw = (struct probe_last_draw){0};
done:
    free(memory);
    probe_last_draw_clear(&draw);
    return st;
}

void probe_last_draw_clear(struct probe_last_draw *draw)
{
    free(draw->rows);
    free(draw->label);
    *draw = (struct probe_last_draw){0};
}

/* --- 2. ranking --------------------------------------------------------------------------- */

struct ranked {
    double score;
    uint32_t index;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *const x = a, *const y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

enum sae_status probe_last_rank(uint32_t *ret, size_t n, const struct sae_csr *x, size_t width,
                                const uint8_t *label, size_t n_rows, struct sae_err *err)
{
    static const double little = 1e-6;
    struct ranked *ranked = NULL;
    double *sum = NULL; /* [width][2]: of negatives, of positives */
    uint32_t *fires = NULL;
    size_t n_of[2] = {0, 0};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&ranked, width, sizeof *ranked, err));
    SAE_GO(st, sae_mem_alloc(&sum, 2 * width, sizeof *sum, err));
    SAE_GO(st, sae_mem_alloc(&fires, width, sizeof *fires, err));
    for (size_t i = 0; i < n_rows; i++) {
        n_of[label[i]]++;
        for (size_t e = x->start[i]; e < x->start[i + 1]; e++) {
            sum[2 * x->idx[e] + label[i]] += x->val[e];
            fires[x->idx[e]] += x->val[e] != 0.0F;
        }
    }
    for (size_t j = 0; j < width; j++) {
        const double mean = (sum[2 * j] + sum[2 * j + 1]) / ((double)fires[j] + little);
        const double gap = sum[2 * j + 1] / (double)n_of[1] - sum[2 * j] / (double)n_of[0];
        ranked[j] = (struct ranked){fabs(gap / (mean + little)), (uint32_t)j};
    }
    qsort(ranked, width, sizeof *ranked, by_score);
    for (size_t i = 0; i < n; i++)
        ret[i] = ranked[i].index;
    st = SAE_OK;
done:
    free(ranked);
    free(sum);
    free(fires);
    return st;
}

/* --- 3. scores ---------------------------------------------------------------------------- */

const double probe_last_C[PROBE_LAST_N_C] = {
    100000.0,           7742.63682681127,      599.4842503189409,      46.41588833612777,
    3.593813663804626,  0.2782559402207126,    0.021544346900318822,   0.0016681005372000558,
    0.00012915496650148828, 9.999999999999999e-06}; /* numpy.logspace(5, -5, 10) */

/* Decision values of f32 weights, and the probabilities whose order the AUC is taken of: where they
 * round to 0 or 1 they are ties. */
static void decide_f32(double *value, double *chance, const float *x, size_t stride, size_t n,
                       const struct sae_saga_fit *fit)
{
    for (size_t i = 0; i < n; i++) {
        float s = 0.0F;
        for (size_t j = 0; j < fit->width; j++)
            s += x[i * stride + j] * fit->w[j];
        s += fit->b;
        value[i] = s;
        chance[i] = 1.0F / (1.0F + expf(-s));
    }
}

static void decide_f64(double *value, double *chance, const float *x, size_t n, size_t width,
                       const double *w, double b)
{
    for (size_t i = 0; i < n; i++) {
        double s = b;
        for (size_t j = 0; j < width; j++)
            s += w[j] * x[i * width + j];
        value[i] = s;
        chance[i] = 1.0 / (1.0 + exp(-s));
    }
}

static enum sae_status judge(struct probe_last_score *to, const double *value, const double *chance,
                             const uint8_t *label, size_t n, struct sae_err *err)
{
    const struct sae_score s = sae_score_decide(value, label, n);
    to->v[PROBE_ACCURACY] = s.accuracy;
    to->v[PROBE_F1] = sae_score_f1_weighted(&s);
    return probe_last_auc(&to->v[PROBE_AUC], chance, label, n, err);
}

/* A tail that says something, and training rows before it that can be fitted. */
static enum sae_status check_tail(const struct probe_last_draw *draw, struct sae_err *err)
{
    const size_t n_fit = draw->n_train - draw->n_tail;
    for (size_t part = 0; part < 2; part++) {
        const size_t first = part ? n_fit : 0, n = part ? draw->n_tail : n_fit;
        size_t n_positive = 0;
        for (size_t i = 0; i < n; i++)
            n_positive += draw->label[first + i];
        if (n_positive == 0 || n_positive == n)
            return sae_err_set(err, SAE_EFORMAT,
                               "C cannot be chosen: the %zu texts that %s are of one class", n,
                               part ? "are held out" : "stay to train on");
    }
    return SAE_OK;
}

/* The first of the largest. */
static void keep_better(struct probe_last_score *best, double auc, size_t c)
{
    if (c > 0 && !(auc > best->tail_auc))
        return;
    best->tail_auc = auc;
    best->C = probe_last_C[c];
}

/* --- 4. probes ---------------------------------------------------------------------------- */

struct sparse {
    const float *x;
    size_t stride;
    const struct probe_last_draw *draw;
    const uint64_t *k;
    size_t n_k;
    struct sae_saga_settings how;
    struct sae_saga_fit *fits; /* [n_k * N_C] */
    float *w;                  /* [n_k * N_C][stride] */
    double *value, *chance;    /* [n_train + n_test] */
};

static enum sae_status choose_C(struct probe_last_score *ret, struct sparse *p, struct sae_err *err)
{
    const size_t n_fit = p->draw->n_train - p->draw->n_tail;
    const struct sae_saga_rows rows = {p->x, p->stride, n_fit, p->draw->label};
    for (size_t f = 0; f < p->n_k * PROBE_LAST_N_C; f++)
        p->fits[f] = (struct sae_saga_fit){.width = (size_t)p->k[f / PROBE_LAST_N_C],
                                           .C = probe_last_C[f % PROBE_LAST_N_C],
                                           .w = p->w + f * p->stride};
    SAE_TRY(sae_saga_fit(p->fits, p->n_k * PROBE_LAST_N_C, &rows, &p->how, err));
    for (size_t f = 0; f < p->n_k * PROBE_LAST_N_C; f++) {
        double auc;
        decide_f32(p->value, p->chance, p->x + n_fit * p->stride, p->stride, p->draw->n_tail,
                   &p->fits[f]);
        SAE_TRY(probe_last_auc(&auc, p->chance, p->draw->label + n_fit, p->draw->n_tail, err));
        keep_better(&ret[f / PROBE_LAST_N_C], auc, f % PROBE_LAST_N_C);
    }
    return SAE_OK;
}

/* On all training rows, in an order of their own. */
static enum sae_status fit_and_judge(struct probe_last_score *ret, struct sparse *p, uint32_t seed,
                                     struct sae_err *err)
{
    const size_t n = p->draw->n_train;
    struct sae_mt mt = sae_mt_make(seed);
    uint32_t *order = NULL;
    float *x = NULL;
    uint8_t *label = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&order, n, sizeof *order, err));
    SAE_GO(st, sae_mem_alloc(&x, n * p->stride, sizeof *x, err));
    SAE_GO(st, sae_mem_alloc(&label, n, sizeof *label, err));
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    sae_mt_shuffle_u32(&mt, order, n);
    for (size_t i = 0; i < n; i++) {
        memcpy(x + i * p->stride, p->x + order[i] * p->stride, p->stride * sizeof *x);
        label[i] = p->draw->label[order[i]];
    }
    for (size_t f = 0; f < p->n_k; f++)
        p->fits[f] = (struct sae_saga_fit){
            .width = (size_t)p->k[f], .C = ret[f].C, .w = p->w + f * p->stride};
    const struct sae_saga_rows rows = {x, p->stride, n, label};
    SAE_GO(st, sae_saga_fit(p->fits, p->n_k, &rows, &p->how, err));
    for (size_t f = 0; f < p->n_k; f++) {
        decide_f32(p->value, p->chance, p->x + n * p->stride, p->stride, p->draw->n_test,
                   &p->fits[f]);
        SAE_GO(st, judge(&ret[f], p->value, p->chance, p->draw->label + n, p->draw->n_test, err));
    }
done:
    free(order);
    free(x);
    free(label);
    return st;
}

enum sae_status probe_last_sparse(struct probe_last_score *ret, const float *x,
                                  const struct probe_last_draw *draw, const uint64_t *k, size_t n_k,
                                  uint32_t seed, struct sae_err *err)
{
    struct sparse p = {.x = x, .stride = (size_t)k[n_k - 1], .draw = draw, .k = k, .n_k = n_k,
                       .how = {.tol = 1e-4, .max_epochs = 1000, .random_state = seed}};
    const size_t n = draw->n_train + draw->n_test, n_fits = n_k * PROBE_LAST_N_C;
    enum sae_status st;
    SAE_TRY(check_tail(draw, err));
    SAE_GO(st, sae_mem_alloc(&p.fits, n_fits, sizeof *p.fits, err));
    SAE_GO(st, sae_mem_alloc(&p.w, n_fits * p.stride, sizeof *p.w, err));
    SAE_GO(st, sae_mem_alloc(&p.value, n, sizeof *p.value, err));
    SAE_GO(st, sae_mem_alloc(&p.chance, n, sizeof *p.chance, err));
    SAE_GO(st, choose_C(ret, &p, err));
    st = fit_and_judge(ret, &p, seed, err);
done:
    free(p.fits);
    free(p.w);
    free(p.value);
    free(p.chance);
    return st;
}

enum sae_status probe_last_dense(struct probe_last_score *ret, const float *x, size_t width,
                                 const struct probe_last_draw *draw, struct sae_err *err)
{
    static const struct sae_path_settings how = {1e-4, 1000};
    const size_t n = draw->n_train, n_fit = n - draw->n_tail;
    struct probe_last_score best = {0};
    struct sae_path *path = NULL;
    double *w = NULL, *value = NULL, *chance = NULL, b[PROBE_LAST_N_C], auc;
    enum sae_status st;
    SAE_TRY(check_tail(draw, err));
    SAE_GO(st, sae_mem_alloc(&w, PROBE_LAST_N_C * width, sizeof *w, err));
    SAE_GO(st, sae_mem_alloc(&value, n + draw->n_test, sizeof *value, err));
    SAE_GO(st, sae_mem_alloc(&chance, n + draw->n_test, sizeof *chance, err));
    SAE_GO(st, sae_path_open(&path, x, n, width, err));
    SAE_GO(st, sae_path_fit(w, b, NULL, path, n_fit, draw->label, probe_last_C, PROBE_LAST_N_C,
                            &how, err));
    for (size_t c = 0; c < PROBE_LAST_N_C; c++) {
        decide_f64(value, chance, x + n_fit * width, draw->n_tail, width, w + c * width, b[c]);
        SAE_GO(st, probe_last_auc(&auc, chance, draw->label + n_fit, draw->n_tail, err));
        keep_better(&best, auc, c);
    }
    SAE_GO(st, sae_path_fit(w, b, NULL, path, n, draw->label, &best.C, 1, &how, err));
    decide_f64(value, chance, x + n * width, draw->n_test, width, w, b[0]);
    SAE_GO(st, judge(&best, value, chance, draw->label + n, draw->n_test, err));
    *ret = best;
done:
    sae_path_close(path);
    free(w);
    free(value);
    free(chance);
    return st;
}
