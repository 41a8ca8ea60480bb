/* SPDX-License-Identifier: MIT */
/* route : how far a forward pass goes, and what it reads and replaces on the way: what the host's
 * and the device's follow alike. */
#ifndef SAE_LM_ROUTE_H
#define SAE_LM_ROUTE_H

#include "lib/file/hook.h"
#include "lm/config.h"

struct sae_lm_route {
    size_t first, end;  /* layers that run */
    unsigned last;      /* parts of layer end - 1 that are needed */
    struct sae_hook at; /* where `given` is put in, in layer `first` */
    const float *given; /* host [n][width]; NULL: from the stream that enters `first` */
    size_t n_hooks;
    const struct sae_hook *hooks; /* [n_hooks] */
    float *const *to;             /* [n_hooks], host [n][width] each */
};
/* The shortest way from the embedding through all hooks. */
struct sae_lm_route sae_lm_route_to(const struct sae_lm_config *config,
                                    const struct sae_hook *hooks, size_t n_hooks, float *const *to);
/* From a hook through the last layer. For a hook of the stream, resid_mid excepted, `given` stays
 * NULL: the pass begins with it. */
struct sae_lm_route sae_lm_route_from(const struct sae_lm_config *config, struct sae_hook hook,
                                      const float *given);
/* Parts of a layer that run. */
unsigned sae_lm_route_parts(const struct sae_lm_route *route, size_t layer);
/* What is put in at this point of this layer; NULL: nothing. */
const float *sae_lm_route_given(const struct sae_lm_route *route, enum sae_point point,
                                size_t layer);
/* Where the rows of hook i go if it is this place; else NULL. */
float *sae_lm_route_wants(const struct sae_lm_route *route, size_t i, enum sae_point point,
                          size_t layer);

#endif /* SAE_LM_ROUTE_H */
