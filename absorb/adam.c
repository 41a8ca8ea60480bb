/* SPDX-License-Identifier: MIT */
/* adam : Adam with coupled weight decay over one flat parameter vector. */
#include "absorb/adam.h"

#include <math.h>

#include "lib/base/mem.h"

struct sae_rng absorb_draws(uint64_t seed, enum absorb_draw what)
{
    struct sae_rng rng = sae_rng_make(seed, SAE_RNG_ABSORB);
    rng.counter = (uint64_t)what << 48;
    return rng;
}

double absorb_rate(size_t epoch, size_t n_epochs)
{
    return 1e-2 * pow(1e-5 / 1e-2, (double)epoch / (double)n_epochs);
}

enum sae_status absorb_adam_init(struct absorb_adam *adam, size_t n, double bound, uint64_t seed,
                                 enum absorb_draw draw, struct sae_err *err)
{
    *adam = (struct absorb_adam){.n = n};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&adam->param, n, sizeof *adam->param, err));
    SAE_GO(st, sae_mem_alloc(&adam->grad, n, sizeof *adam->grad, err));
    SAE_GO(st, sae_mem_alloc(&adam->m, n, sizeof *adam->m, err));
    SAE_GO(st, sae_mem_alloc(&adam->v, n, sizeof *adam->v, err));
    struct sae_rng rng = absorb_draws(seed, draw);
    for (size_t i = 0; i < n; i++)
        adam->param[i] = (float)(bound * (2.0 * sae_rng_uniform(&rng) - 1.0));
done:
    if (st != SAE_OK)
        absorb_adam_clear(adam);
    return st;
}

void absorb_adam_clear(struct absorb_adam *adam)
{
    free(adam->param);
    free(adam->grad);
    free(adam->m);
    free(adam->v);
    *adam = (struct absorb_adam){0};
}

void absorb_adam_step(struct absorb_adam *adam, double lr, double decay, const struct sae_ops *ops)
{
    const float wd = (float)decay;
    for (size_t i = 0; i < adam->n; i++)
        adam->grad[i] += wd * adam->param[i];
    const struct sae_adam h = {.lr = (float)lr,
                               .beta1 = 0.9F,
                               .beta2 = 0.999F,
                               .eps = 1e-8F,
                               .step = ++adam->step,
                               .scale = 1.0F};
    ops->adam(adam->n, &h, adam->param, adam->grad, adam->m, adam->v);
}
