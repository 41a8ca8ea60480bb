/* SPDX-License-Identifier: MIT */
/* probe : linear probes on pooled activations, trained as upstream's; see the header. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ablate/ablate.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"

/* AdamW: betas 0.9 and 0.999, eps 1e-8, decoupled decay 0.01 of weights and bias alike. */
struct adamw {
    float *m, *v; /* [n] */
    double lr, power1, power2;
};

static void adamw_step(struct adamw *a, float *w, const float *g, size_t n)
{
    a->power1 *= 0.9;
    a->power2 *= 0.999;
    const double step = a->lr / (1 - a->power1), root = sqrt(1 - a->power2);
    for (size_t i = 0; i < n; i++) {
        w[i] *= (float)(1 - a->lr * 0.01);
        a->m[i] = (float)(0.9 * (double)a->m[i] + 0.1 * (double)g[i]);
        a->v[i] = (float)(0.999 * (double)a->v[i] + 0.001 * (double)g[i] * (double)g[i]);
        w[i] -= (float)(step * (double)a->m[i] / (sqrt((double)a->v[i]) / root + 1e-8));
    }
}

static const float *pooled(const struct ablate_texts *texts, uint32_t row)
{
    return texts->labels->pooled + (size_t)row * texts->d;
}

static double logit(const float *w, const float *x, size_t d)
{
    double sum = (double)w[d];
    for (size_t j = 0; j < d; j++)
        sum += (double)w[j] * (double)x[j];
    return sum;
}

/* Gradient of mean BCE over a batch, and of the L1 term on the weights. */
static void gradient(float *g, double *sum, const float *w, const struct ablate_texts *texts,
                     const struct sae_task *task, const uint32_t *batch, size_t n, double l1)
{
    const size_t d = texts->d;
    memset(sum, 0, (d + 1) * sizeof *sum);
    for (size_t i = 0; i < n; i++) {
        const float *x = pooled(texts, task->rows[batch[i]]);
        const double z = logit(w, x, d);
        const double r = (1 / (1 + exp(-z)) - task->label[batch[i]]) / (double)n;
        for (size_t j = 0; j < d; j++)
            sum[j] += r * (double)x[j];
        sum[d] += r;
    }
    for (size_t j = 0; j <= d; j++)
        g[j] = (float)(sum[j] + (j == d ? 0 : l1 * ((w[j] > 0) - (w[j] < 0))));
}

static double test_accuracy(const float *w, const struct ablate_texts *texts,
                            const struct sae_task *task)
{
    size_t right = 0;
    for (size_t i = task->n_train; i < task->n_train + task->n_test; i++)
        right += (logit(w, pooled(texts, task->rows[i]), texts->d) > 0) == (task->label[i] == 1);
    return (double)right / (double)task->n_test;
}

struct work {
    float *w, *best, *g;
    double *sum;
    struct adamw adam;
    uint32_t *order;
};

static enum sae_status work_alloc(struct work *k, size_t d, size_t n_train, struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(&k->w, d + 1, sizeof(float), err));
    SAE_TRY(sae_mem_alloc(&k->best, d + 1, sizeof(float), err));
    SAE_TRY(sae_mem_alloc(&k->g, d + 1, sizeof(float), err));
    SAE_TRY(sae_mem_alloc(&k->sum, d + 1, sizeof(double), err));
    SAE_TRY(sae_mem_alloc(&k->adam.m, d + 1, sizeof(float), err));
    SAE_TRY(sae_mem_alloc(&k->adam.v, d + 1, sizeof(float), err));
    return sae_mem_alloc(&k->order, n_train, sizeof(uint32_t), err);
}

static void work_clear(struct work *k)
{
    free(k->w);
    free(k->best);
    free(k->g);
    free(k->sum);
    free(k->adam.m);
    free(k->adam.v);
    free(k->order);
}

static void run_epochs(struct work *k, const struct ablate_texts *texts,
                       const struct sae_task *task, const struct ablate_settings *s,
                       struct sae_rng *rng, const uint32_t *order)
{
    double best = -1;
    for (size_t epoch = 0; epoch < s->epochs; epoch++) {
        for (size_t i = 0; i < task->n_train; i++)
            k->order[i] = order != NULL ? order[epoch * task->n_train + i] : (uint32_t)i;
        if (order == NULL)
            sae_rng_shuffle_u32(rng, k->order, task->n_train);
        for (size_t i = 0; i < task->n_train; i += s->probe_batch) {
            const size_t left = task->n_train - i;
            gradient(k->g, k->sum, k->w, texts, task, k->order + i,
                     left < s->probe_batch ? left : s->probe_batch, s->l1);
            adamw_step(&k->adam, k->w, k->g, texts->d + 1);
        }
        const double accuracy = test_accuracy(k->w, texts, task);
        if (accuracy > best) {
            best = accuracy;
            memcpy(k->best, k->w, (texts->d + 1) * sizeof(float));
        }
    }
}

static void fill_gain(float *gain, const float *w, const struct ablate_texts *texts)
{
    for (size_t i = 0; i < texts->m; i++) {
        double sum = 0;
        for (size_t j = 0; j < texts->d; j++)
            sum += (double)w[j] * (double)texts->W_dec[i * texts->d + j];
        gain[i] = (float)sum;
    }
}

enum sae_status ablate_probe_train(struct ablate_probe *ret, const struct ablate_texts *texts,
                                   const struct sae_task *task,
                                   const struct ablate_settings *settings, uint64_t seed,
                                   uint64_t draw, const float *init, const uint32_t *order,
                                   struct sae_err *err)
{
    const size_t d = texts->d;
    struct work k = {.adam = {.lr = settings->lr, .power1 = 1, .power2 = 1}};
    struct sae_rng rng = sae_rng_make(seed, SAE_RNG_ABLATE);
    struct ablate_probe probe = {0};
    enum sae_status st;
    rng.counter = draw << 32; /* every task has its own range of the stream */
    SAE_GO(st, work_alloc(&k, d, task->n_train, err));
    SAE_GO(st, sae_mem_alloc(&probe.gain, texts->m, sizeof(float), err));
    for (size_t j = 0; j <= d; j++)
        k.w[j] = init != NULL ? init[j]
                              : (float)((2 * sae_rng_uniform(&rng) - 1) / sqrt((double)d));
    run_epochs(&k, texts, task, settings, &rng, order);
    probe.w = k.best;
    k.best = NULL;
    probe.b = probe.w[d];
    fill_gain(probe.gain, probe.w, texts);
    *ret = probe;
    probe = (struct ablate_probe){0};
done:
    work_clear(&k);
    ablate_probe_clear(&probe);
    return st;
}

void ablate_probe_clear(struct ablate_probe *probe)
{
    free(probe->w);
    free(probe->gain);
    *probe = (struct ablate_probe){0};
}
