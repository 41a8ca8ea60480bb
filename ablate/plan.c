/* SPDX-License-Identifier: MIT */
/* plan : see the header. One probe is trained for an epoch, and asked once; latents are those of the first
 * texts, repeated. */
#include "ablate/plan.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/eval/cost.h"

struct rates {
    double encode, epoch, ask; /* seconds: all rows; an epoch of a probe; its accuracy without some latents */
    double entries;            /* latents of all texts */
};

static enum sae_status measure(struct rates *r, struct sae_labels *labels,
                               const struct sae_task_plan *tasks, const struct sae_model *model,
                               const struct sae_ops *ops, const struct ablate_settings *settings,
                               struct sae_err *err)
{
    struct ablate_settings once = *settings;
    struct ablate_texts texts = {
        .labels = labels, .W_dec = model->W_dec, .m = model->m, .d = model->d};
    struct sae_task task = {0};
    struct ablate_probe probe = {0};
    uint8_t *mask = NULL;
    enum sae_status st;
    once.epochs = 1;
    SAE_GO(st, sae_cost_pool(&texts.latents, &r->encode, labels, model, ops, settings->batch, err));
    r->entries = (double)texts.latents.x.start[texts.latents.x.n];
    SAE_GO(st, sae_mem_alloc(&texts.silent, model->m, sizeof *texts.silent, err));
    SAE_GO(st, sae_mem_alloc(&mask, model->m, sizeof *mask, err));
    SAE_GO(st, sae_task_make(&task, tasks, 0, settings->seeds[0], err));
    double from = sae_stop_clock();
    SAE_GO(st, ablate_probe_train(&probe, &texts, &task, &once, settings->seeds[0], 0, NULL, NULL, err));
    r->epoch = sae_stop_clock() - from;
    from = sae_stop_clock();
    (void)ablate_accuracy(&texts, &task, &probe, mask);
    r->ask = sae_stop_clock() - from;
done:
    ablate_texts_clear(&texts);
    ablate_probe_clear(&probe);
    sae_task_clear(&task);
    free(mask);
    return st;
}

enum sae_status ablate_plan_set(struct sae_plan *plan, struct sae_labels *labels,
                                const struct sae_model *model, const struct sae_ops *ops,
                                const struct ablate_settings *settings, bool scr, bool tpp,
                                struct sae_err *err)
{
    enum { GUESS = 64, SCR_PROBES = 3, SCR_ASKED = 2 };
    struct sae_task_plan tasks = {0};
    struct rates r = {NAN, NAN, NAN, GUESS * (double)labels->n_texts};
    enum sae_status st;
    SAE_GO(st, sae_task_plan_make(&tasks, labels, settings->train_size, settings->test_size, err));
    if (plan->is_asked)
        SAE_GO(st, measure(&r, labels, &tasks, model, ops, settings, err));
    const double texts = (double)labels->n_texts, d = (double)labels->d, m = (double)model->m,
                 seeds = (double)settings->n_seeds, classes = (double)tasks.n_classes,
                 pairs = settings->n_pairs ? (double)settings->n_pairs : floor(classes / 2);
    const double probes = seeds * ((tpp ? classes : 0) + (scr ? SCR_PROBES * pairs : 0)),
                 asked = seeds * (double)settings->n_n *
                         ((tpp ? classes * classes : 0) + (scr ? SCR_ASKED * pairs : 0)),
                 epochs = (double)settings->epochs * probes,
                 a_task = fmin((double)settings->train_size, texts);
    const double held = 4 * texts * d;
    const struct sae_plan_stage encode = {
        .unit = "tokens",
        .n = (double)labels->n_rows,
        .seconds = r.encode,
        .flops = sae_cost_encode_flops(model, (double)labels->n_rows),
        .bytes = held + sae_cost_pool_bytes(model, labels, settings->batch, r.entries) + 4 * m};
    const struct sae_plan_stage train = {
        .unit = "probes",
        .n = probes,
        .seconds = epochs * r.epoch + asked * r.ask,
        .flops = 4 * epochs * a_task * d + 2 * asked * r.entries,
        .bytes = held + sae_cost_codes_bytes(texts, r.entries) + 13 * m +
                 (tpp ? classes * 4 * (m + d) : 3 * 4 * (m + d)) + 32 * d};
    sae_plan_stage(plan, &encode, "latents of the texts of '%s'", labels->name);
    sae_plan_stage(plan, &train, "probes of '%s', with latents set to zero", labels->name);
    sae_plan_disk(plan, 3e4, "results on '%s'", labels->name);
done:
    sae_task_plan_clear(&tasks);
    return st;
}
