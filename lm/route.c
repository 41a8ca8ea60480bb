/* SPDX-License-Identifier: MIT */
/* route : hooks of a model, and the way through its layers. */
#include "lm/route.h"

#include "lm/model.h"

size_t sae_lm_width(const struct sae_lm_config *config, enum sae_point point)
{
    return sae_points[point].of_heads ? config->H * config->head_dim : config->D;
}

enum sae_status sae_lm_check_hook(const struct sae_lm *model, struct sae_hook hook,
                                  struct sae_err *err)
{
    const struct sae_lm_config *c = &model->config;
    if (hook.layer >= c->L)
        return sae_err_set(err, SAE_EARG, "layer %zu: '%s' has layers 0 to %zu", hook.layer,
                           c->name, c->L - 1);
    if (c->parallel && hook.point == SAE_RESID_MID)
        return sae_err_set(err, SAE_EARG,
                           "'%s' has no resid_mid: its attention and MLP read the same stream "
                           "(parallel residual), so none lies between them; take resid_pre, "
                           "attn_out or mlp_out",
                           c->name);
    return SAE_OK;
}

bool sae_lm_beside(struct sae_hook *ret, struct sae_hook hook)
{
    const bool of_mlp = hook.point == SAE_MLP_IN || hook.point == SAE_MLP_OUT;
    *ret = (struct sae_hook){of_mlp ? SAE_RESID_MID : SAE_RESID_PRE, hook.layer};
    return sae_points[hook.point].of_branch;
}

/* Parts of its layer that lead to a point. */
static unsigned needs(const struct sae_lm_config *c, enum sae_point point)
{
    return c->parallel ? sae_points[point].needs_parallel : sae_points[point].needs;
}

struct sae_lm_route sae_lm_route_to(const struct sae_lm_config *config,
                                    const struct sae_hook *hooks, size_t n_hooks, float *const *to)
{
    struct sae_lm_route route = {.n_hooks = n_hooks, .hooks = hooks, .to = to};
    for (size_t i = 0; i < n_hooks; i++) {
        const unsigned parts = needs(config, hooks[i].point);
        const size_t end = hooks[i].layer + (parts != 0);
        if (end > route.end)
            route.last = 0;
        if (end >= route.end) {
            route.end = end;
            route.last |= parts != 0 ? parts : (unsigned)SAE_PART_ALL;
        }
    }
    return route;
}

struct sae_lm_route sae_lm_route_from(const struct sae_lm_config *config, struct sae_hook hook,
                                      const float *given)
{
    const bool next = hook.point == SAE_RESID_POST;
    return (struct sae_lm_route){.first = hook.layer + next,
                                 .end = config->L,
                                 .last = SAE_PART_ALL,
                                 .at = hook,
                                 .given = next ? NULL : given};
}

size_t sae_lm_layers_to(const struct sae_lm_config *config, struct sae_hook hook)
{
    return sae_lm_route_to(config, &hook, 1, NULL).end;
}

unsigned sae_lm_route_parts(const struct sae_lm_route *route, size_t layer)
{
    const unsigned parts = layer + 1 == route->end ? route->last : (unsigned)SAE_PART_ALL;
    const bool within = route->given != NULL && layer == route->first;
    return within ? parts & sae_points[route->at.point].after : parts;
}

const float *sae_lm_route_given(const struct sae_lm_route *route, enum sae_point point,
                                size_t layer)
{
    return layer == route->first && point == route->at.point ? route->given : NULL;
}

float *sae_lm_route_wants(const struct sae_lm_route *route, size_t i, enum sae_point point,
                          size_t layer)
{
    const struct sae_hook here = {point, layer};
    return sae_hook_same(route->hooks[i], here) ? route->to[i] : NULL;
}
