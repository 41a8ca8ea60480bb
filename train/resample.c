/* SPDX-License-Identifier: MIT */
/* resample : dead latents of a standard autoencoder start anew on inputs that it reconstructs badly,
 * in dictionary_learning's form.
 *
 *   every R steps, after the update: dead = silent on every batch for more than R / 2 steps
 *   rows x of the batch are drawn without replacement, with weight |x - xhat|, one for each dead latent
 *   W_enc[j] = 0.2 (mean |W_enc row| of the others) x      W_dec[j] = x / |x|      b_enc[j] = 0
 *   Adam's moments of these rows: 0
 *
 * The draw is a pure function of (seed, step). The learning rate warms up anew after each (step.c). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "train/inner.h"

struct draw {
    double key;
    uint32_t row;
};

static int by_key(const void *a, const void *b)
{
    const struct draw *const x = a, *const y = b;
    return (x->key > y->key) - (x->key < y->key);
}

/* Drawing one after another by weight is taking the least exponential variables of these rates
 * (Efraimidis and Spirakis 2006). A row without residual comes last. */
static void rank_rows(const struct trainer *t, const float *x, const float *xhat,
                      struct draw *ret)
{
    struct sae_rng rng = sae_rng_make(t->set.seed, SAE_RNG_RESAMPLE);
    rng.counter = t->step << 32;
    for (size_t r = 0; r < t->n; r++) {
        double sq = 0;
        for (size_t i = 0; i < t->d; i++) {
            const double e = (double)x[r * t->d + i] - (double)xhat[r * t->d + i];
            sq += e * e;
        }
        const double u = sae_rng_uniform(&rng);
        ret[r] = (struct draw){sq > 0 ? -log1p(-u) / sqrt(sq) : INFINITY, (uint32_t)r};
    }
    qsort(ret, t->n, sizeof *ret, by_key);
}

static bool is_dead(const struct trainer *t, size_t j)
{
    return 2 * t->idle[j] > t->set.resample_every * t->n;
}

static double mean_norm_alive(const struct trainer *t)
{
    double sum = 0;
    size_t alive = 0;
    for (size_t j = 0; j < t->m; j++)
        if (!is_dead(t, j)) {
            sum += sqrt(t->ops->sum_sq(t->d, t->w.W_enc + j * t->d));
            alive++;
        }
    return alive ? sum / (double)alive : 1;
}

static void restart(struct trainer *t, size_t j, const float *x, double enc_norm)
{
    const double norm = sqrt(t->ops->sum_sq(t->d, x));
    for (size_t i = 0; i < t->d; i++) {
        t->w.W_enc[j * t->d + i] = (float)((double)x[i] * enc_norm * 0.2);
        t->w.W_dec[j * t->d + i] = (float)((double)x[i] / norm);
    }
    t->w.b_enc[j] = 0;
    const struct params *const moments[] = {&t->m1, &t->m2};
    for (size_t i = 0; i < 2; i++) {
        memset(moments[i]->W_enc + j * t->d, 0, t->d * sizeof(float));
        memset(moments[i]->W_dec + j * t->d, 0, t->d * sizeof(float));
        moments[i]->b_enc[j] = 0;
    }
}

size_t resample_dead(const struct trainer *t)
{
    size_t dead = 0;
    for (size_t j = 0; j < t->m; j++)
        dead += is_dead(t, j);
    return dead;
}

enum sae_status resample_rows(struct trainer *t, const float *x, const float *xhat, size_t *ret,
                              struct sae_err *err)
{
    struct draw *draws = NULL;
    size_t done = 0;
    SAE_TRY(sae_mem_alloc(&draws, t->n, sizeof *draws, err));
    rank_rows(t, x, xhat, draws);
    const double enc_norm = mean_norm_alive(t);
    for (size_t j = 0; j < t->m && done < t->n; j++) {
        const float *const row = x + draws[done].row * t->d;
        if (!is_dead(t, j))
            continue;
        if (!isfinite(draws[done].key) || !(t->ops->sum_sq(t->d, row) > 0))
            break; /* nothing left that is badly reconstructed */
        restart(t, j, row, enc_norm);
        done++;
    }
    *ret = done;
    free(draws);
    return SAE_OK;
}
