/* SPDX-License-Identifier: MIT */
/* adam : parameters of a small linear probe with their gradient and moments, and the random
 * streams of the absorption probes. Shared by truth.c and sparse.c. */
#ifndef SAE_ABSORB_ADAM_H
#define SAE_ABSORB_ADAM_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/rng.h"
#include "lib/math/ops.h"

/* Ranges of the SAE_RNG_ABSORB stream; none moves another. */
enum absorb_draw {
    ABSORB_DRAW_TRUTH_INIT,
    ABSORB_DRAW_TRUTH_ORDER,
    ABSORB_DRAW_SPARSE_INIT,
    ABSORB_DRAW_SPARSE_ORDER
};
struct sae_rng absorb_draws(uint64_t seed, enum absorb_draw what);

/* Learning rate of an epoch: 1e-2 falling exponentially towards 1e-5 after the last. */
double absorb_rate(size_t epoch, size_t n_epochs);

struct absorb_adam {
    size_t n;
    uint64_t step;
    float *param, *grad, *m, *v; /* host [n] */
};
/* Parameters uniform in +-bound, as torch initialises a linear layer of width 1 / bound^2. */
SAE_MUST_CHECK enum sae_status absorb_adam_init(struct absorb_adam *adam, size_t n, double bound,
                                                uint64_t seed, enum absorb_draw draw,
                                                struct sae_err *err);
void absorb_adam_clear(struct absorb_adam *adam);

/* grad += decay * param (L2 coupled, as torch's Adam), then one step. */
void absorb_adam_step(struct absorb_adam *adam, double lr, double decay, const struct sae_ops *ops);

#endif /* SAE_ABSORB_ADAM_H */
