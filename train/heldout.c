/* SPDX-License-Identifier: MIT */
/* heldout : metrics and masks of the rows kept apart.
 * Contents: 1. rows   2. metrics   3. masks   4. checkpoint */
#include "train/heldout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/file/json.h"

/* Masks of an untrained ReLU autoencoder are half full: rows are kept up to this many entries. */
static const size_t MASK_ENTRIES = 4000000;

/* --- 1. rows ------------------------------------------------------------------------------ */

enum sae_status heldout_open(struct heldout *ret, size_t n, size_t d, const float *x, double norm,
                             size_t m, struct sae_err *err)
{
    struct heldout held = {.n = n, .d = d, .x = x, .norm = norm};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&held.mean, held.d, sizeof *held.mean, err));
    SAE_GO(st, sae_mem_alloc(&held.alive, m, sizeof *held.alive, err));
    *ret = held;
    held = (struct heldout){0};
done:
    heldout_close(&held);
    return st;
}

void heldout_close(struct heldout *held)
{
    free(held->mean);
    free(held->alive);
    *held = (struct heldout){0};
}

/* --- 2. metrics --------------------------------------------------------------------------- */

/* Sums over the residual of all chunks, for the variance of x - xhat. */
struct residual {
    double *sum; /* [d] */
    double sq;
};

static void add_rows(const struct trainer *t, const struct forward_view *view, const float *x,
                     size_t rows, struct heldout_sums *s, struct residual *res, uint8_t *alive)
{
    const struct sae_csr *const csr = view->csr;
    for (size_t r = 0; r < rows; r++) {
        const float *const a = x + r * t->d, *const b = view->xhat + r * t->d;
        double sq = 0, aa = 0, bb = 0, ab = 0;
        for (size_t i = 0; i < t->d; i++) {
            const double ai = (double)a[i], bi = (double)b[i];
            sq += (ai - bi) * (ai - bi);
            aa += ai * ai;
            bb += bi * bi;
            ab += ai * bi;
            res->sum[i] += ai - bi;
        }
        res->sq += sq;
        s->sq_error += sq;
        s->norm_error += sqrt(sq);
        s->cossim += aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
        s->l2_ratio += aa > 0 ? sqrt(bb / aa) : 0;
    }
    s->l0 += (double)csr->start[rows];
    for (size_t e = 0; e < csr->start[rows]; e++) {
        s->l1 += (double)csr->val[e];
        alive[csr->idx[e]] = 1;
    }
}

static size_t chunk_rows(const struct trainer *t)
{
    return t->n < HELDOUT_QUICK_ROWS ? t->n : HELDOUT_QUICK_ROWS;
}

enum sae_status heldout_sums(struct heldout *held, struct trainer *t, size_t rows,
                             struct heldout_sums *ret, struct sae_err *err)
{
    struct heldout_sums s = {.tokens = rows};
    struct residual res = {0};
    struct forward_view view;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&res.sum, held->d, sizeof *res.sum, err));
    memset(held->alive, 0, t->m);
    for (size_t r = 0; r < rows; r += chunk_rows(t)) {
        const size_t n = rows - r < chunk_rows(t) ? rows - r : chunk_rows(t);
        const float *const x = held->x + r * held->d;
        SAE_GO(st, trainer_forward(t, x, n, trainer_k(t), &view, err));
        add_rows(t, &view, x, n, &s, &res, held->alive);
    }
    const double spread = trainer_spread(rows, held->d, held->x, NULL, held->mean);
    double drift = 0; /* rows |mean residual|^2: what the bias of the residual explains */
    for (size_t i = 0; i < held->d; i++)
        drift += res.sum[i] * res.sum[i] / (double)rows;
    s.explained_variance = spread > 0 ? 1 - s.sq_error / spread : NAN;
    s.fraction_variance_explained = spread > 0 ? 1 - (res.sq - drift) / spread : NAN;
    size_t alive = 0;
    for (size_t j = 0; j < t->m; j++)
        alive += held->alive[j];
    s.alive_share = (double)alive / (double)t->m;
    const double n = (double)rows;
    s.sq_error /= n;
    s.norm_error /= n;
    s.l0 /= n;
    s.l1 /= n;
    s.cossim /= n;
    s.l2_ratio /= n;
    *ret = s;
done:
    free(res.sum);
    return st;
}

/* --- 3. masks ----------------------------------------------------------------------------- */

static enum sae_status append_masks(struct sae_masks *masks, size_t *cap, const struct sae_csr *csr,
                                    size_t rows, double norm, struct sae_err *err)
{
    size_t nnz = (size_t)masks->start[masks->n_rows];
    size_t cap_val = *cap;
    SAE_TRY(sae_mem_grow(&masks->idx, cap, nnz + csr->start[rows], sizeof *masks->idx, err));
    SAE_TRY(sae_mem_grow(&masks->val, &cap_val, nnz + csr->start[rows], sizeof *masks->val, err));
    for (size_t r = 0; r < rows; r++) {
        if (masks->n_rows > 0 && nnz + csr->start[r + 1] - csr->start[r] > MASK_ENTRIES)
            return SAE_OK;
        for (size_t e = csr->start[r]; e < csr->start[r + 1]; e++) {
            masks->idx[nnz] = csr->idx[e];
            masks->val[nnz++] = (float)((double)csr->val[e] * norm);
        }
        masks->start[++masks->n_rows] = nnz;
    }
    return SAE_OK;
}

static enum sae_status make_masks(struct heldout *held, struct trainer *t, struct sae_masks *ret,
                                  struct sae_err *err)
{
    const size_t most = held->n < HELDOUT_MASK_ROWS ? held->n : HELDOUT_MASK_ROWS;
    struct sae_masks masks = {0};
    struct forward_view view;
    size_t cap = 0;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&masks.start, most + 1, sizeof *masks.start, err));
    for (size_t r = 0; r < most && masks.n_rows == r; r += chunk_rows(t)) {
        const size_t n = most - r < chunk_rows(t) ? most - r : chunk_rows(t);
        SAE_GO(st, trainer_forward(t, held->x + r * held->d, n, trainer_k(t), &view, err));
        SAE_GO(st, append_masks(&masks, &cap, view.csr, n, held->norm, err));
    }
    *ret = masks;
    masks = (struct sae_masks){0};
done:
    free(masks.start);
    free(masks.idx);
    free(masks.val);
    return st;
}

/* Competition on the masks at the base threshold: one rule for every checkpoint of a run. sum: as of
 * orth_masks. */
static enum sae_status competition(struct trainer *t, const struct sae_masks *masks,
                                   double sum[5], bool *ret_counted, struct sae_err *err)
{
    struct masks set = {0};
    double coactivations = 0;
    enum sae_status st = SAE_OK;
    for (size_t r = 0; r < masks->n_rows; r++)
        coactivations += (double)(masks->start[r + 1] - masks->start[r]) *
                    (double)(masks->start[r + 1] - masks->start[r]);
    *ret_counted = coactivations <= TRAINER_COACTIVATIONS_MAX;
    if (!*ret_counted)
        return SAE_OK;
    const size_t nnz = (size_t)masks->start[masks->n_rows];
    SAE_GO(st, sae_csr_alloc(&set.csr, t->ops, masks->n_rows, nnz + 1, err));
    SAE_GO(st, sae_csc_alloc(&set.csc, t->ops, t->m, nnz + 1, err));
    for (size_t r = 0; r <= masks->n_rows; r++)
        set.csr.start[r] = (size_t)masks->start[r];
    memcpy(set.csr.idx, masks->idx, nnz * sizeof *masks->idx);
    memcpy(set.csr.val, masks->val, nnz * sizeof *masks->val);
    t->ops->transpose(t->m, &set.csr, &set.csc);
    const struct sae_csr *const csr = &set.csr;
    const struct sae_csc *const csc = &set.csc;
    const double one = 1;
    const struct sae_overlap_masks all = {1, &csr, &csc, &one};
    struct sae_compete_rule rule;
    trainer_rule(t, t->set.base_threshold, &rule);
    t->ops->orth_masks(t->m, t->d, t->w.W_dec, &all, &rule, 0, false, NULL, NULL, NULL, sum);
    st = t->ops->check(err);
done:
    sae_csr_free(&set.csr, t->ops);
    sae_csc_free(&set.csc, t->ops);
    return st;
}

/* --- 4. checkpoint ------------------------------------------------------------------------ */

static json_t *metrics_of(const struct heldout *held, const struct trainer *t,
                          const struct heldout_sums *s, const double orth[5], bool counted)
{
    const double norm = held->norm;
    const struct train_arch *const arch = settings_arch(&t->set);
    const bool l1 = arch->penalty == TRAIN_PENALTY_L1 && !settings_has_lp(&t->set);
    size_t dead = 0;
    for (size_t j = 0; j < t->m; j++)
        dead += t->idle[j] >= t->set.dead_after;
    /* The objective in training units, without the terms that only guide training. */
    const double miss = s->l0 / t->set.target_l0 - 1;
    const double loss = (arch->root_loss ? s->norm_error : s->sq_error) + (l1 ? t->set.l1 * s->l1 : 0) +
                        (arch->penalty == TRAIN_PENALTY_L0 ? t->set.l0_penalty * miss * miss : 0);
    const struct {
        const char *name;
        double v;
    } all[] = {
        {"loss",                        loss                                       },
        {"recon",                       s->sq_error * norm * norm                  },
        {"mse",                         s->sq_error * norm * norm / (double)held->d},
        {"explained_variance",          s->explained_variance                      },
        {"fraction_variance_explained", s->fraction_variance_explained             },
        {"l0",                          s->l0                                      },
        {"l1",                          s->l1 * norm                               },
        {"cossim",                      s->cossim                                  },
        {"l2_ratio",                    s->l2_ratio                                },
        {"alive_share",                 s->alive_share                             },
        {"dead",                        (double)dead                               },
        {"competing_pairs",             counted ? orth[1] : NAN                    },
        {"mean_abs_cos",                counted ? orth[1] > 0 ? orth[2] / orth[1] : 0 : NAN},
        {"max_abs_cos",                 counted ? orth[3] : NAN                    },
        {"tokens",                      (double)s->tokens                          }
    };
    json_t *const metrics = json_object();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        json_object_set_new(metrics, all[i].name, sae_json_number(all[i].v));
    return metrics;
}

enum sae_status heldout_checkpoint(struct heldout *held, struct trainer *t, json_t **ret_metrics,
                                   struct sae_masks *ret_masks, struct sae_err *err)
{
    struct heldout_sums sums;
    struct sae_masks masks = {0};
    double orth[5];
    bool counted = false;
    enum sae_status st;
    SAE_GO(st, heldout_sums(held, t, held->n, &sums, err));
    SAE_GO(st, make_masks(held, t, &masks, err));
    SAE_GO(st, competition(t, &masks, orth, &counted, err));
    *ret_metrics = metrics_of(held, t, &sums, orth, counted);
    *ret_masks = masks;
    masks = (struct sae_masks){0};
done:
    free(masks.start);
    free(masks.idx);
    free(masks.val);
    return st;
}
