/* SPDX-License-Identifier: MIT */
/* lp : a sparsity term of activations to the power p, with p falling (p-annealing, Karvonen et al.
 * 2024, arXiv 2408.00113).
 *
 *   S_p = sum f^p  (lp^p)  or  (sum f^p)^(1/p)  (lp),  f > 0         L = ... + a c(s) mean S_p
 *   dS_p/df = r f^(p-1),   r = p  (lp^p)  or  S_p^(1-p)  (lp)
 *
 * p moves in n steps from p_start to p_end, at n training steps evenly between anneal_start and
 * anneal_end. At each but the first the weight a is multiplied by mean S_p / mean S_next over the
 * last batches, next being the p that follows, so that the term stays as large as it was.
 *
 * Contents: 1. a batch   2. annealing */
#include <string.h>

#include "train/inner.h"

/* --- 1. a batch --------------------------------------------------------------------------- */

void lp_sum(struct trainer *t, size_t r0, size_t rows, const size_t *start, const float *f)
{
    struct work *const a = t->work;
    a->ops->lp_sum(t->set.sparsity == SPARSITY_LP, rows, t->m, start, f, t->lp.p, t->lp.p_next,
                   a->lp_row + r0, a->number + LP);
}

void lp_grad(struct trainer *t, size_t r0, size_t rows, const size_t *start, const float *f,
             double weight, float *dz)
{
    struct work *const a = t->work;
    a->ops->lp_grad(t->set.sparsity == SPARSITY_LP, rows, t->m, start, f, t->lp.p, weight,
                    a->lp_row + r0, dz);
}

/* --- 2. annealing ------------------------------------------------------------------------- */

static uint64_t update_step(const struct settings *set, uint64_t i)
{
    const uint64_t span = set->anneal_end - set->anneal_start;
    return set->anneal_start + (set->p_updates > 1 ? span * i / (set->p_updates - 1) : 0);
}

static double p_value(const struct settings *set, uint64_t i)
{
    if (set->p_updates < 2)
        return set->p_start;
    const double share = (double)i / (double)(set->p_updates - 1);
    return set->p_start + (set->p_end - set->p_start) * share;
}

void lp_resume(struct trainer *t)
{
    const struct settings *const set = &t->set;
    uint64_t done = 0;
    while (done < set->p_updates && update_step(set, done) < t->step)
        done++;
    t->lp.updates = done;
    t->lp.p = done ? p_value(set, done - 1) : set->p_start;
    t->lp.p_next = done == 0 ? 0 : done < set->p_updates ? p_value(set, done) : set->p_end;
}

/* Oldest first; the oldest makes room. */
static void remember(struct lp *lp, double now, double next)
{
    if (lp->n_kept == LP_KEPT) {
        memmove(lp->kept, lp->kept + 1, (LP_KEPT - 1) * sizeof *lp->kept);
        memmove(lp->kept_next, lp->kept_next + 1, (LP_KEPT - 1) * sizeof *lp->kept_next);
        lp->n_kept--;
    }
    lp->kept[lp->n_kept] = now;
    lp->kept_next[lp->n_kept++] = next;
}

static double total(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum;
}

void lp_remember(struct trainer *t, double sum, double sum_next)
{
    if (t->lp.p_next > 0)
        remember(&t->lp, sum / (double)t->n, sum_next / (double)t->n);
}

bool lp_moves(const struct trainer *t, uint64_t step)
{
    return step_has_lp(t) && t->lp.updates < t->set.p_updates &&
           step >= update_step(&t->set, t->lp.updates);
}

void lp_move(struct trainer *t)
{
    struct lp *const lp = &t->lp;
    const struct settings *const set = &t->set;
    const double next = total(lp->kept_next, lp->n_kept);
    if (lp->p_next > 0 && next > 0) /* a silent autoencoder says nothing of its scale */
        lp->weight *= total(lp->kept, lp->n_kept) / next;
    lp->p = p_value(set, lp->updates++);
    lp->p_next = lp->updates < set->p_updates ? p_value(set, lp->updates) : set->p_end;
}
