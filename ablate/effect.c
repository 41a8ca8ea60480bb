/* SPDX-License-Identifier: MIT */
/* effect : texts under an SAE, what latents do to a probe, and a probe without some of them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ablate/ablate.h"
#include "lib/base/mem.h"

/* Latents of a zero vector: what upstream's encoder sees at padded positions. */
static enum sae_status encode_zero(float *silent, const struct sae_model *model,
                                   const struct sae_ops *ops, struct sae_err *err)
{
    struct sae_coder *coder = NULL;
    const struct sae_csr *f = NULL;
    float *x = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&x, model->d, sizeof *x, err));
    SAE_GO(st, sae_coder_open(&coder, model, ops, 1, err));
    SAE_GO(st, sae_coder_encode(coder, x, 1, &f, err));
    for (size_t e = 0; e < f->start[1]; e++)
        silent[f->idx[e]] = f->val[e];
done:
    sae_coder_close(coder);
    free(x);
    return st;
}

enum sae_status ablate_texts_make(struct ablate_texts *ret, struct sae_labels *labels,
                                  const struct sae_model *model, const struct sae_ops *ops,
                                  size_t batch, uint64_t padding, struct sae_err *err)
{
    struct ablate_texts texts = {.labels = labels, .W_dec = model->W_dec, .m = model->m,
                                 .d = model->d, .padding = (size_t)padding};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&texts.silent, model->m, sizeof(float), err));
    SAE_GO(st, encode_zero(texts.silent, model, ops, err));
    SAE_GO(st, sae_pool_latents(&texts.latents, labels, model, ops, batch, err));
    *ret = texts;
    texts = (struct ablate_texts){0};
done:
    ablate_texts_clear(&texts);
    return st;
}

void ablate_texts_clear(struct ablate_texts *texts)
{
    sae_pool_clear(&texts->latents);
    free(texts->silent);
    *texts = (struct ablate_texts){0};
}

/* Padded positions a token of text t. */
static double pad_of(const struct ablate_texts *texts, uint32_t t)
{
    const uint64_t n = texts->labels->start[t + 1] - texts->labels->start[t];
    return texts->padding > n ? (double)(texts->padding - n) / (double)n : 0;
}

double ablate_accuracy(const struct ablate_texts *texts, const struct sae_task *task,
                       const struct ablate_probe *probe, const uint8_t *mask)
{
    const struct sae_csr *v = &texts->latents.x;
    double silent = 0; /* what ablation takes from a padded position */
    size_t right = 0;
    for (size_t i = 0; mask != NULL && i < texts->m; i++)
        if (mask[i] && texts->silent[i] != 0)
            silent += (double)texts->silent[i] * (double)probe->gain[i];
    for (size_t i = task->n_train; i < task->n_train + task->n_test; i++) {
        const uint32_t t = task->rows[i];
        const float *x = texts->labels->pooled + (size_t)t * texts->d;
        double z = (double)probe->b;
        for (size_t j = 0; j < texts->d; j++)
            z += (double)probe->w[j] * (double)x[j];
        for (size_t e = v->start[t]; mask != NULL && e < v->start[t + 1]; e++)
            if (mask[v->idx[e]])
                z -= (double)v->val[e] * (double)probe->gain[v->idx[e]];
        z -= pad_of(texts, t) * silent;
        right += (z > 0) == (task->label[i] == 1);
    }
    return (double)right / (double)task->n_test;
}

enum sae_status ablate_effects(float *effect, const struct ablate_texts *texts,
                               const struct sae_task *task, const struct ablate_probe *probe,
                               bool scr, struct sae_err *err)
{
    const struct sae_csr *v = &texts->latents.x;
    const double share = 2.0 / (double)task->n_train; /* tasks are balanced */
    double *diff = NULL;
    SAE_TRY(sae_mem_alloc(&diff, texts->m, sizeof *diff, err));
    for (size_t i = 0; i < task->n_train; i++) {
        const double sign = task->label[i] ? share : -share;
        for (size_t e = v->start[task->rows[i]]; e < v->start[task->rows[i] + 1]; e++)
            diff[v->idx[e]] += sign * (double)v->val[e];
    }
    for (size_t i = 0; i < texts->m; i++) {
        if (!scr && !(diff[i] > 0))
            diff[i] = 0;
        effect[i] = (float)(diff[i] * (double)probe->gain[i]);
        if (scr)
            effect[i] = fabsf(effect[i]);
    }
    free(diff);
    return SAE_OK;
}

size_t ablate_select(uint8_t *mask, const float *effect, size_t m, size_t n)
{
    size_t some = 0, taken = 0;
    memset(mask, 0, m);
    for (size_t i = 0; i < m; i++)
        some += effect[i] != 0;
    for (; taken < n && taken < some; taken++) {
        size_t best = m;
        for (size_t i = 0; i < m; i++)
            if (!mask[i] && (best == m || effect[i] > effect[best]))
                best = i;
        mask[best] = 1;
    }
    return taken;
}
