/* SPDX-License-Identifier: MIT */
/* plan : see the header. */
#include "autointerp/plan.h"

#include <math.h>

#include "lib/eval/cost.h"

enum { REQUESTS = 2 /* for a latent: an explanation and a score */, SHOWN = 16 /* bytes of a token shown */ };

enum sae_status autointerp_plan(struct sae_plan *plan, const struct sae_model *model,
                                const struct sae_ops *ops, const struct autointerp_corpus *corpus,
                                const struct autointerp_settings *settings, struct sae_err *err)
{
    const double n = (double)corpus->n_rows, latents = (double)settings->n_latents;
    double encode = NAN, decode;
    if (plan->is_asked) {
        SAE_TRY(sae_cost_code(&encode, &decode, model, ops, settings->batch, err));
        sae_plan_hold(plan);
    }
    /* latents are tried until enough of them have excerpts: some more than are asked about */
    const double entries = 2 * n * (double)(model->k > 0 ? model->k : 64) * latents / (double)model->m;
    const struct sae_plan_stage scan = {
        .unit = "tokens",
        .n = n,
        .seconds = n * encode,
        .flops = sae_cost_encode_flops(model, n),
        .bytes = sae_coder_bytes(model, settings->batch) + 4 * (double)model->m +
                 4 * (double)settings->batch * (double)model->d + sae_cost_codes_bytes(0, entries)};
    const struct sae_plan_stage ask = {
        .unit = "requests", .n = REQUESTS * latents, .seconds = NAN};
    sae_plan_memory(plan,
                    latents * (AUTOINTERP_EXPLAIN + AUTOINTERP_SCORE) * AUTOINTERP_WINDOW * SHOWN,
                    "excerpts");
    sae_plan_stage(plan, &scan, "where latents fire");
    sae_plan_stage(plan, &ask, "answers of the other model");
    sae_plan_disk(plan, 3e3 * latents, "result");
    return SAE_OK;
}
