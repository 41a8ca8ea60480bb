/* SPDX-License-Identifier: MIT */
/* tpp : targeted probe perturbation. A probe a class; the latents that matter to one are ablated,
 * and it should lose accuracy while the others lose none. */
#include <math.h>
#include <stdlib.h>

#include "ablate/ablate.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"

/* Classes of a set under one seed. */
struct work {
    size_t n;
    struct sae_task *tasks;
    struct ablate_probe *probes;
    double *clean, *lost; /* [n] */
    float *effect; /* [m] */
    uint8_t *mask; /* [m] */
};

static void work_clear(struct work *w)
{
    for (size_t c = 0; c < w->n; c++) {
        if (w->tasks != NULL)
            sae_task_clear(&w->tasks[c]);
        if (w->probes != NULL)
            ablate_probe_clear(&w->probes[c]);
    }
    free(w->tasks);
    free(w->probes);
    free(w->clean);
    free(w->lost);
    free(w->effect);
    free(w->mask);
}

static enum sae_status train_all(struct work *w, const struct ablate_texts *texts,
                                 const struct sae_task_plan *plan,
                                 const struct ablate_settings *s, uint64_t seed,
                                 struct sae_err *err)
{
    for (size_t c = 0; c < w->n; c++) {
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped; of this SAE nothing was written, results written before it stay");
        SAE_TRY(sae_task_make(&w->tasks[c], plan, c, seed, err));
        SAE_TRY(ablate_probe_train(&w->probes[c], texts, &w->tasks[c], s, seed,
                                   plan->classes[c].index, NULL, NULL, err));
        w->clean[c] = ablate_accuracy(texts, &w->tasks[c], &w->probes[c], NULL);
    }
    return SAE_OK;
}

/* Ablates for class c: v[n][...] = what its own probe loses, the others lose, the difference. */
static enum sae_status perturb(double *v, struct work *w, size_t c,
                               const struct ablate_texts *texts, const struct ablate_settings *s,
                               struct sae_err *err)
{
    SAE_TRY(ablate_effects(w->effect, texts, &w->tasks[c], &w->probes[c], false, err));
    for (size_t k = 0; k < s->n_n; k++) {
        ablate_select(w->mask, w->effect, texts->m, (size_t)s->n[k]);
        for (size_t j = 0; j < w->n; j++)
            w->lost[j] = w->clean[j] - ablate_accuracy(texts, &w->tasks[j], &w->probes[j], w->mask);
        ablate_tpp_score(v + k * ABLATE_VALUES, w->lost, w->n, c);
    }
    return SAE_OK;
}

static enum sae_status run_seed(struct ablate_entry *entries, size_t seed,
                                const struct ablate_texts *texts, const struct sae_task_plan *plan,
                                const struct ablate_settings *s, struct sae_err *err)
{
    struct work w = {.n = plan->n_classes};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&w.tasks, w.n, sizeof *w.tasks, err));
    SAE_GO(st, sae_mem_alloc(&w.probes, w.n, sizeof *w.probes, err));
    SAE_GO(st, sae_mem_alloc(&w.clean, w.n, sizeof *w.clean, err));
    SAE_GO(st, sae_mem_alloc(&w.lost, w.n, sizeof *w.lost, err));
    SAE_GO(st, sae_mem_alloc(&w.effect, texts->m, sizeof *w.effect, err));
    SAE_GO(st, sae_mem_alloc(&w.mask, texts->m, sizeof *w.mask, err));
    SAE_GO(st, train_all(&w, texts, plan, s, s->seeds[seed], err));
    for (size_t c = 0; c < w.n; c++) {
        entries[c].clean[0] += w.clean[c] / (double)s->n_seeds;
        SAE_GO(st, perturb(entries[c].v + seed * s->n_n * ABLATE_VALUES, &w, c, texts, s, err));
    }
done:
    work_clear(&w);
    return st;
}

enum sae_status ablate_tpp(struct ablate_scores *scores, const struct ablate_texts *texts,
                           const struct ablate_settings *s, struct sae_err *err)
{
    const struct sae_labels *labels = texts->labels;
    struct sae_task_plan plan = {0};
    const size_t first = scores->n;
    enum sae_status st;
    SAE_GO(st, sae_task_plan_make(&plan, labels, s->train_size, s->test_size, err));
    for (size_t c = 0; c < plan.n_classes; c++)
        SAE_GO(st, ablate_scores_add(scores, labels->name,
                                     labels->classes[plan.classes[c].index], s, err));
    for (size_t seed = 0; seed < s->n_seeds; seed++)
        SAE_GO(st, run_seed(scores->v + first, seed, texts, &plan, s, err));
    scores->n_sets++;
done:
    sae_task_plan_clear(&plan);
    return st;
}
