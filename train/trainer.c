/* SPDX-License-Identifier: MIT */
/* trainer : open, first weights, close. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "train/inner.h"

enum sae_status trainer_open(struct trainer **ret, const struct settings *set,
                             const struct sae_ops *ops, size_t d, struct sae_err *err)
{
    struct trainer *t = NULL;
    SAE_TRY(sae_mem_alloc(&t, 1, sizeof *t, err));
    t->set = *set;
    t->set.checkpoints = (struct sae_reals){0}; /* groups: as borrowed */
    t->arch = train_archs[set->arch];
    t->ops = ops->host ? ops : &sae_ops_cpu;
    t->n = (size_t)set->batch;
    t->d = d;
    t->m = (size_t)set->m;
    t->k_max = (size_t)(set->k_start > set->k ? set->k_start : set->k);
    t->tau = -1;
    t->cut = -1;
    t->lp.weight = set->l1;
    lp_resume(t);
    t->ring_len = set->overlap_window > 1 ? 3 * (size_t)set->overlap_window : 1;
    enum sae_status st = state_open(t, ops, err);
    if (st == SAE_OK)
        st = orth_open(t, err);
    if (st == SAE_OK && t->arch->open)
        st = t->arch->open(t, err);
    if (st != SAE_OK) {
        trainer_close(t);
        return st;
    }
    *ret = t;
    return SAE_OK;
}

void trainer_close(struct trainer *t)
{
    if (!t)
        return;
    if (t->work && t->arch->close)
        t->arch->close(t);
    state_close(t);
    free(t);
}

void trainer_init(struct trainer *t, const float *x)
{
    t->arch->init(t, x);
    if (t->start)
        memcpy(t->start, t->w.W_dec, t->m * t->d * sizeof *t->start);
}
