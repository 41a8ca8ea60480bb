/* SPDX-License-Identifier: MIT */
/* cost : see the header. The bytes are those of forward.c; tests/unit/lm/test_cost.c holds them to what
 * is allocated. */
#include "lm/cost.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/host.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lm/run.h"

static double size_of(const struct sae_lm_panel *panel)
{
    return (double)panel->n_rows * (double)panel->n_cols;
}

static double layer_size(const struct sae_lm *m)
{
    const struct sae_lm_layer *const y = &m->layers[0];
    return size_of(&y->qkv) + size_of(&y->out) + size_of(&y->gate_up) + size_of(&y->down);
}

double sae_lm_run_bytes(const struct sae_lm *model, size_t n_max, size_t T_max)
{
    const struct sae_lm_config *const c = &model->config;
    struct sae_lm_run run = {0};
    sae_lm_run_size(&run, model, n_max, T_max);
    const double n = (double)n_max, D = (double)c->D, d = (double)c->head_dim, H = (double)c->H,
                 K = (double)c->K, threads = (double)run.n_threads;
    double floats = 2 * (double)T_max * (double)c->rotary;
    floats += n * (2 * D + (H + 2 * K) * d + H * d);
    floats += threads * (double)(run.head_scratch + run.block_scratch);
    return floats * sizeof(float) + threads * (double)run.factor_scratch + (double)run.panel_bytes;
}

double sae_lm_layers_from(const struct sae_lm *model, struct sae_hook hook)
{
    return (double)model->config.L - (double)hook.layer - (hook.point == SAE_RESID_POST ? 1 : 0);
}

double sae_lm_layer_flops(const struct sae_lm *model, double n, size_t T)
{
    const struct sae_lm_config *const c = &model->config;
    return 2 * n * layer_size(model) + 2 * n * (double)T * (double)c->H * (double)c->head_dim;
}

double sae_lm_head_flops(const struct sae_lm *model, double n)
{
    return 2 * n * (double)model->config.V * (double)model->config.D;
}

/* --- measuring ------------------------------------------------------------------------------ */

struct probe {
    struct sae_lm_run *run;
    uint32_t *ids;
    float *x, *logits;
};

static void close_probe(struct probe *p)
{
    sae_lm_run_close(p->run);
    free(p->ids);
    free(p->x);
    free(p->logits);
}

static enum sae_status open_probe(struct probe *p, const struct sae_lm_cost *cost,
                                  struct sae_err *err)
{
    const struct sae_lm_config *const c = &cost->model->config;
    SAE_TRY(sae_lm_run_open(&p->run, cost->model, cost->n, cost->T, err));
    SAE_TRY(sae_mem_alloc(&p->ids, cost->n, sizeof *p->ids, err));
    SAE_TRY(sae_mem_alloc(&p->x, cost->n, c->D * sizeof *p->x, err));
    SAE_TRY(sae_mem_alloc(&p->logits, cost->rows, c->V * sizeof *p->logits, err));
    for (size_t i = 0; i < cost->n; i++)
        p->ids[i] = (uint32_t)(i * 7919 % c->V);
    sae_lm_run_may_stop(p->run);
    return SAE_OK;
}

/* The first pass of a small model is a warm-up. */
static enum sae_status run_probe(struct probe *p, struct sae_lm_cost *cost, struct sae_err *err)
{
    const struct sae_lm_config *const c = &cost->model->config;
    const bool is_small = cost->model->embed.copy != NULL;
    const size_t last = is_small ? c->L - 1 : 0, B = cost->n / cost->T;
    for (int pass = is_small ? 0 : 1; pass < 2; pass++) {
        double since = sae_stop_clock();
        SAE_TRY(sae_lm_tap(p->run, p->ids, B, cost->T, sae_resid_post(last), p->x, err));
        cost->layer = (sae_stop_clock() - since) / (double)(last + 1);
        if (cost->rows == 0)
            continue;
        SAE_TRY(sae_lm_resume(p->run, p->x, NULL, B, cost->T, sae_resid_post(c->L - 1), err));
        since = sae_stop_clock();
        SAE_TRY(sae_lm_logits(p->run, 0, cost->rows, p->logits, err));
        cost->head = sae_stop_clock() - since;
    }
    return SAE_OK;
}

enum sae_status sae_lm_cost_measure(struct sae_lm_cost *ret, const struct sae_lm *model, size_t n,
                                    size_t T, size_t rows, struct sae_err *err)
{
    struct sae_lm_cost cost = {model, n / T * T, T, rows < n / T * T ? rows : n / T * T, NAN, NAN};
    const double takes = sae_lm_run_bytes(model, cost.n, T) +
                         4 * (double)cost.n * (double)model->config.D +
                         4 * (double)cost.rows * (double)model->config.V;
    struct probe p = {0};
    enum sae_status st = SAE_OK;
    if (takes < sae_host_memory_free()) {
        SAE_GO(st, open_probe(&p, &cost, err));
        SAE_GO(st, run_probe(&p, &cost, err));
    }
    *ret = cost;
done:
    close_probe(&p);
    return st;
}

double sae_lm_cost_layers(const struct sae_lm_cost *cost, double layers, double n)
{
    return layers * n / (double)cost->n * cost->layer;
}

double sae_lm_cost_head(const struct sae_lm_cost *cost, double n)
{
    return n / (double)cost->rows * cost->head;
}
