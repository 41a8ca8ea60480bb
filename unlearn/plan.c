/* SPDX-License-Identifier: MIT */
/* plan : what a group of SAEs will take. How many questions the model knows is found by asking alone, so
 * the plan is of the most there can be: all of them, edited in every setting. */
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/eval/cost.h"
#include "lm/cost.h"
#include "unlearn/group.h"

/* Tokens and rows of logits of questions asked in one order; orders that are tried; tokens of the texts;
 * settings of the grid. */
struct work {
    double tokens, rows, orders, longest, text, cells;
};

static enum sae_status count(struct work *w, const struct unlearn_group *g, struct sae_err *err)
{
    const bool cloze = g->speech.form == UNLEARN_CLOZE;
    struct unlearn_prompts prompts = {0};
    enum sae_status st = SAE_OK;
    *w = (struct work){.orders = 1};
    for (size_t s = 0; s < g->task.n_sets; s++)
        for (size_t q = 0; q < g->task.sets[s].n; q++) {
            double orders = 1;
            bool fits;
            SAE_GO(st, unlearn_prompts_add(&prompts, &fits, &g->speech, g->task.sets, s, q, NULL, err));
            for (size_t k = 2; !cloze && k <= g->task.sets[s].v[q].n_choices; k++)
                orders *= (double)k;
            w->orders = fmax(w->orders, orders);
        }
    for (size_t i = 0; i < prompts.n; i++) {
        const struct unlearn_prompt *const p = &prompts.v[i];
        w->tokens += (double)p->n;
        w->rows += cloze ? (double)(p->n - p->n_prompt) : 1;
        w->longest = fmax(w->longest, (double)p->n);
    }
    w->text = (double)(g->forget.n + g->retain.n) * (double)g->settings.context;
    w->cells = (double)(g->settings.n_thresholds * g->settings.n_multipliers * g->settings.n_n_latents);
done:
    unlearn_prompts_clear(&prompts);
    return st;
}

struct rates {
    struct sae_lm_cost lm; /* in batches of questions */
    double encode, decode;
};

static enum sae_status measure(struct rates *r, const struct unlearn_group *g, const struct work *w,
                               struct sae_err *err)
{
    enum { ROWS = 128 };
    const size_t T = (size_t)w->longest,
                 n = g->settings.batch > T ? g->settings.batch : T;
    SAE_TRY(sae_lm_cost_measure(&r->lm, g->lm, n, T, ROWS, err));
    return sae_cost_code(&r->encode, &r->decode, unlearn_group_model(g, 0), g->ops, ROWS, err);
}

static void add_stage(struct sae_plan *plan, const struct unlearn_group *g, const struct rates *r,
                      double layers, double tokens, double rows, double coded, double bytes,
                      const char *name)
{
    const size_t T = r->lm.T;
    const struct sae_plan_stage stage = {
        .unit = "tokens",
        .n = tokens,
        .seconds = sae_lm_cost_layers(&r->lm, layers, tokens) +
                   (rows > 0 ? sae_lm_cost_head(&r->lm, rows) : 0) +
                   (coded > 0 ? coded * r->encode : 0),
        .flops = layers * sae_lm_layer_flops(g->lm, tokens, T) + sae_lm_head_flops(g->lm, rows) +
                 sae_cost_encode_flops(unlearn_group_model(g, 0), coded),
        .bytes = bytes};
    sae_plan_stage(plan, &stage, "%s", name);
}

static void list(struct sae_plan *plan, const struct unlearn_group *g, const struct rates *r,
                 const struct work *w)
{
    const struct sae_model *const model = unlearn_group_model(g, 0);
    const size_t T = g->settings.context, fit = g->settings.batch / T, batch = (fit < 1 ? 1 : fit) * T;
    const double L = (double)g->config->L, before = (double)sae_lm_layers_to(g->config, g->hook),
                 after = sae_lm_layers_from(g->lm, g->hook), D = (double)g->config->D, n = (double)g->n,
                 streams = 4 * (double)unlearn_model_floats(g->model) * w->tokens;
    const bool keep = streams <= (double)UNLEARN_KEEP_BYTES;
    const double density = sae_lm_run_bytes(g->lm, batch, T) + 8 * D * (double)batch +
                           n * sae_coder_bytes(model, batch);
    const double fired = keep ? streams : 0;
    add_stage(plan, g, r, L, w->orders * w->tokens, w->orders * w->rows, 0, 0,
              "which questions the model knows");
    add_stage(plan, g, r, before, w->text, 0, n * w->text, density, "how often latents fire");
    add_stage(plan, g, r, L, w->tokens, w->rows, 0, fired, "known questions, unedited");
    add_stage(plan, g, r, keep ? 0 : n * before, n * w->tokens, 0, n * w->tokens,
              fired + sae_coder_bytes(model, (size_t)w->longest) + 4 * D * w->longest,
              "where latents fire");
    add_stage(plan, g, r, keep ? after : L, n * w->cells * w->tokens, n * w->cells * w->rows, 0,
              fired, "settings of the grid, all questions known and edited");
    sae_plan_memory(plan, n * 16 * (double)model->m, "densities of latents");
}

enum sae_status unlearn_group_plan(struct sae_evaluation *run, struct sae_plan *plan,
                                   struct sae_err *err)
{
    const struct unlearn_group *const g = run->eval->data;
    struct rates rates = {.encode = NAN, .decode = NAN};
    struct work work;
    SAE_TRY(count(&work, g, err));
    rates.lm = (struct sae_lm_cost){g->lm, 1, (size_t)work.longest, 1, NAN, NAN};
    if (plan->is_asked) {
        SAE_TRY(measure(&rates, g, &work, err));
        sae_plan_hold(plan);
    }
    list(plan, g, &rates, &work);
    return SAE_OK;
}
