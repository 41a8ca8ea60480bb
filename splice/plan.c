/* SPDX-License-Identifier: MIT */
/* plan : what a group of checkpoints will take. Of the language model one layer and the logits of some
 * rows are run, of the first checkpoint some rows are coded and some latents compared. */
#include <math.h>

#include "lib/eval/cost.h"
#include "lm/cost.h"
#include "splice/group.h"

/* Seconds of this machine, a unit of each. */
struct rates {
    struct sae_lm_cost lm;
    double encode, decode, pairs; /* a token; all pairs */
};

static enum sae_status measure(struct rates *r, const struct splice_group *group,
                               const struct splice_job *job, const struct sae_ops *ops,
                               struct sae_err *err)
{
    const size_t T = group->text.context,
                 B = job->batch < group->text.n ? job->batch : group->text.n;
    SAE_TRY(sae_lm_cost_measure(&r->lm, group->lm, B * T, T, splice_pass_chunk(job) * T, err));
    SAE_TRY(sae_cost_code(&r->encode, &r->decode, group->models[0], ops, splice_pass_chunk(job) * T,
                          err));
    return sae_cost_pairs(&r->pairs, group->models[0], ops, err);
}

/* Stages of n tokens: the model up to the layer once, its rest and the predictions for the clean and the
 * zero-ablated stream and for each checkpoint. */
static void list_stages(struct sae_plan *plan, const struct splice_group *group,
                        const struct rates *r, size_t n_models)
{
    const double n = (double)(group->text.n * group->text.context);
    const struct sae_hook hook = group->source->hook;
    const double before = (double)sae_lm_layers_to(sae_lm_config(group->lm), hook),
                 after = sae_lm_layers_from(group->lm, hook);
    const double layer = sae_lm_layer_flops(group->lm, n, group->text.context),
                 head = sae_lm_head_flops(group->lm, n), models = (double)n_models;
    const struct sae_model *const model = group->models[0];
    const struct sae_plan_stage once = {
        .unit = "tokens",
        .n = n,
        .seconds = sae_lm_cost_layers(&r->lm, before + 2 * after, n) + 2 * sae_lm_cost_head(&r->lm, n),
        .flops = (before + 2 * after) * layer + 2 * head};
    const struct sae_plan_stage each = {
        .unit = "tokens",
        .n = n * models,
        .seconds = models * (sae_lm_cost_layers(&r->lm, after, n) + sae_lm_cost_head(&r->lm, n) +
                             n * (r->encode + r->decode)),
        .flops = models * ((after) * layer + head + sae_cost_encode_flops(model, n) +
                           sae_cost_decode_flops(model, n))};
    const struct sae_plan_stage weights = {.unit = "SAEs",
                                           .n = models,
                                           .seconds = 2 * models * r->pairs,
                                           .flops = 2 * models * sae_cost_pairs_flops(model),
                                           .bytes = 8 * (double)model->m * (double)model->d};
    sae_plan_stage(plan, &once, "clean and zero-ablated model");
    sae_plan_stage(plan, &each, "spliced model, for each of %zu SAEs", n_models);
    sae_plan_stage(plan, &weights, "cosines of the dictionary");
}

enum sae_status splice_group_plan(struct sae_evaluation *run, struct sae_plan *plan,
                                  struct sae_err *err)
{
    enum { A_LATENT = 150 }; /* bytes of its row in the result */
    const struct splice_group *const group = run->eval->data;
    const struct splice_job job = splice_group_job(group);
    const size_t T = group->text.context,
                 B = job.batch < group->text.n ? job.batch : group->text.n;
    struct rates rates = {.encode = NAN, .decode = NAN, .pairs = NAN};
    rates.lm = (struct sae_lm_cost){group->lm, B * T, T, 1, NAN, NAN};
    if (plan->is_asked) {
        SAE_TRY(measure(&rates, group, &job, run->ops, err));
        sae_plan_hold(plan);
    }
    /* the pass gives its memory back before the dictionary's rows are compared */
    const double pass = sae_lm_run_bytes(group->lm, B * T, T) +
                        splice_pass_bytes(&job, group->models, run->n_group);
    list_stages(plan, group, &rates, run->n_group);
    plan->stages[0].bytes = plan->stages[1].bytes = pass;
    if (group->cache)
        sae_plan_disk(plan, splice_group_cache_bytes(group),
                      "clean and zero-ablated passes, kept in '%s' for other SAEs", group->cache);
    for (size_t k = 0; k < run->n_group && group->settings.features; k++)
        sae_plan_disk(plan, A_LATENT * (double)group->models[k]->m, "result of '%s'",
                      run->group[k]->path);
    return SAE_OK;
}
