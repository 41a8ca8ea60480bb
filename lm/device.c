/* SPDX-License-Identifier: MIT */
/* device : see the header. The order of operations is forward.c's.
 *
 * Contents: 1. weights   2. a run's arrays   3. layers   4. tap and resume   5. logits */
#include "lm/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bf16.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lm/rows.h"

enum {
    PIECE = 16 << 20,  /* elements of a weight converted and sent at a time */
    CONVERT_ROWS = 64, /* rows of a weight that one thread converts at a time */
    MLP_ROWS = 8192,   /* tokens whose gate and up are held at a time */
};
#define LOGIT_BYTES ((size_t)256 << 20) /* of logits that are no reference */

/* One layer's weights: panels as factors, all else in f32 as the host's layer has it. */
struct device_layer {
    void *qkv, *out, *gate_up, *down;
    float *norms[4], *head_norms, *qkv_bias, *out_bias, *gate_up_bias, *down_bias;
    bool ready;
};

struct sae_lm_device {
    const struct sae_lm *model;
    const struct sae_ops *ops;
    enum sae_precision how;
    char numerics[40];
    void *embed, *own_head; /* own_head: NULL where logits come from the embedding */
    float *norm, *positions;
    struct device_layer *layers;
};

/* --- 1. weights ----------------------------------------------------------------------------- */

static size_t panel_size(const struct sae_lm_panel *panel)
{
    return panel->n_rows * panel->n_cols;
}

static size_t weight_bytes(const struct sae_lm *m, enum sae_precision how, size_t n_layers)
{
    size_t n = panel_size(&m->embed) + (m->own_head ? panel_size(&m->head) : 0);
    for (size_t i = 0; i < n_layers; i++)
        n += panel_size(&m->layers[i].qkv) + panel_size(&m->layers[i].out) +
             panel_size(&m->layers[i].gate_up) + panel_size(&m->layers[i].down);
    return n * sae_lm_factor(how);
}

enum sae_status sae_lm_place(struct sae_lm *model, const struct sae_ops *ops,
                             enum sae_precision how, size_t n_layers, struct sae_err *err)
{
    const struct sae_lm_config *c = &model->config;
    if (ops->host && how == SAE_TF32)
        return sae_err_set(err, SAE_EARG, "the cpu has no products of tf32");
    if (ops->host) {
        sae_lm_device_close(model->device);
        model->device = NULL;
        model->gemm = how == SAE_BF16 ? sae_gemm_find(how) : NULL;
        return SAE_OK;
    }
    if (!ops->lm)
        return sae_err_set(err, SAE_EBACKEND, "backend '%s' has no operations of a language model",
                           ops->name);
    if (c->head_dim > SAE_LM_HEAD_MAX)
        return sae_err_set(
            err, SAE_EARG,
            "'%s' has attention heads of width %zu; backend '%s' takes up to %d; use "
            "--backend cpu",
            c->name, c->head_dim, ops->name, SAE_LM_HEAD_MAX);
    const size_t need = weight_bytes(model, how, n_layers < c->L ? n_layers : c->L);
    const size_t free_bytes = ops->lm->free_bytes();
    if (need > free_bytes)
        return sae_err_set(err, SAE_ENOMEM,
                           "the weights of '%s' take %.1f GB on the device, of which %.1f GB are "
                           "free; use --backend cpu",
                           c->name, (double)need / 1e9, (double)free_bytes / 1e9);
    struct sae_lm_device *device = NULL;
    SAE_TRY(sae_mem_alloc(&device, 1, sizeof *device, err));
    device->model = model;
    device->ops = ops;
    device->how = how;
    (void)snprintf(device->numerics, sizeof device->numerics, "%s %s", ops->name,
                   sae_precision_names[how]);
    const enum sae_status st = sae_mem_alloc(&device->layers, c->L, sizeof *device->layers, err);
    if (st != SAE_OK) {
        free(device);
        return st;
    }
    sae_lm_device_close(model->device);
    model->device = device;
    return SAE_OK;
}

const char *sae_lm_numerics(const struct sae_lm *model)
{
    if (model->device != NULL)
        return model->device->numerics;
    if (model->gemm == NULL)
        return "cpu f32";
    return sae_gemm_by_pairs(model->gemm) ? "cpu bf16 pairs" : "cpu bf16";
}

bool sae_lm_on_device(const struct sae_lm *model)
{
    return model->device != NULL;
}

void sae_lm_device_close(struct sae_lm_device *device)
{
    if (!device)
        return;
    const struct sae_ops *const ops = device->ops;
    for (size_t i = 0; i < device->model->config.L; i++) {
        const struct device_layer *const layer = &device->layers[i];
        void *const all[] = {layer->qkv,      layer->out,      layer->gate_up,
                             layer->down,     layer->norms[0], layer->norms[1],
                             layer->norms[2], layer->norms[3], layer->head_norms,
                             layer->qkv_bias, layer->out_bias, layer->gate_up_bias,
                             layer->down_bias};
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            ops->free(all[k]);
    }
    ops->free(device->embed);
    ops->free(device->own_head);
    ops->free(device->norm);
    ops->free(device->positions);
    free(device->layers);
    free(device);
}

/* Rows [first, first + n) of a panel as factors, by all threads. */
static void convert(const struct sae_lm_panel *panel, enum sae_precision how, size_t first,
                    size_t n, float *wide, uint16_t *narrow)
{
    const size_t cols = panel->n_cols;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i += CONVERT_ROWS) {
        const size_t m = CONVERT_ROWS < n - i ? CONVERT_ROWS : n - i;
        float *const to = wide + i * cols;
        const float *const rows = sae_lm_panel_rows(panel, first + i, m, to);
        if (how == SAE_BF16)
            sae_bf16_narrow(narrow + i * cols, rows, m * cols);
        else if (rows != to)
            memcpy(to, rows, m * cols * sizeof *to);
    }
}

/* *to = the whole panel on the device; nothing where it is there already. */
static enum sae_status send_panel(void **to, const struct sae_lm_device *g,
                                  const struct sae_lm_panel *panel, struct sae_err *err)
{
    const size_t size = sae_lm_factor(g->how), cols = panel->n_cols;
    const size_t step = PIECE / cols > 0 ? PIECE / cols : 1;
    const size_t most = step < panel->n_rows ? step : panel->n_rows;
    float *wide = NULL;
    uint16_t *narrow = NULL;
    enum sae_status st = SAE_OK;
    if (*to)
        return SAE_OK;
    SAE_GO(st, sae_mem_alloc(&wide, most, cols * sizeof *wide, err));
    SAE_GO(st, sae_mem_alloc(&narrow, g->how == SAE_BF16 ? most : 1, cols * sizeof *narrow, err));
    SAE_GO(st, g->ops->alloc(to, panel->n_rows * cols, size, err));
    for (size_t r = 0; r < panel->n_rows; r += step) {
        const size_t n = step < panel->n_rows - r ? step : panel->n_rows - r;
        convert(panel, g->how, r, n, wide, narrow);
        g->ops->put((char *)*to + r * cols * size,
                    g->how == SAE_BF16 ? (const void *)narrow : (const void *)wide,
                    n * cols * size);
    }
done:
    free(wide);
    free(narrow);
    return st;
}

/* A failure for want of memory, with what the whole takes. */
static enum sae_status explain(const struct sae_lm_device *g, enum sae_status st,
                               struct sae_err *err)
{
    if (st != SAE_ENOMEM)
        return st;
    const struct sae_err why = *err;
    return sae_err_set(err, st,
                       "'%s' with all its layers takes %.1f GB on the device, without a batch: "
                       "%.200s; use a smaller batch or --backend cpu",
                       g->model->config.name,
                       (double)weight_bytes(g->model, g->how, g->model->config.L) / 1e9, why.msg);
}

/* *to = n floats on the device; nothing where the host has none or they are there already. */
static enum sae_status send_vector(float **to, const struct sae_lm_device *g, const float *from,
                                   size_t n, struct sae_err *err)
{
    if (*to || !from)
        return SAE_OK;
    SAE_TRY(g->ops->alloc(to, n, sizeof(float), err));
    g->ops->put(*to, from, n * sizeof(float));
    return SAE_OK;
}

static enum sae_status send_layer(struct sae_lm_device *g, size_t i, struct sae_err *err)
{
    const struct sae_lm_config *c = &g->model->config;
    const struct sae_lm_layer *const from = &g->model->layers[i];
    struct device_layer *const to = &g->layers[i];
    if (to->ready)
        return SAE_OK;
    SAE_TRY(send_panel(&to->qkv, g, &from->qkv, err));
    SAE_TRY(send_panel(&to->out, g, &from->out, err));
    SAE_TRY(send_panel(&to->gate_up, g, &from->gate_up, err));
    SAE_TRY(send_panel(&to->down, g, &from->down, err));
    for (size_t k = 0; k < 4; k++)
        SAE_TRY(send_vector(&to->norms[k], g, from->norms[k], sae_lm_norm_size(c), err));
    SAE_TRY(send_vector(&to->head_norms, g, from->head_norms, 2 * c->head_dim, err));
    SAE_TRY(send_vector(&to->qkv_bias, g, from->qkv.bias, from->qkv.n_rows, err));
    SAE_TRY(send_vector(&to->out_bias, g, from->out.bias, c->D, err));
    SAE_TRY(send_vector(&to->gate_up_bias, g, from->gate_up.bias, from->gate_up.n_rows, err));
    SAE_TRY(send_vector(&to->down_bias, g, from->down.bias, c->D, err));
    to->ready = true;
    return SAE_OK;
}

/* Layers [first, end), and the embedding and the final norm, which every pass needs. */
static enum sae_status send(struct sae_lm_device *g, size_t first, size_t end, struct sae_err *err)
{
    const struct sae_lm_config *c = &g->model->config;
    enum sae_status st = send_panel(&g->embed, g, &g->model->embed, err);
    if (st == SAE_OK && g->model->own_head)
        st = send_panel(&g->own_head, g, &g->model->head, err);
    if (st == SAE_OK)
        st = send_vector(&g->norm, g, g->model->norm, sae_lm_norm_size(c), err);
    if (st == SAE_OK)
        st = send_vector(&g->positions, g, g->model->positions, c->max_context * c->D, err);
    for (size_t i = first; st == SAE_OK && i < end; i++)
        st = send_layer(g, i, err);
    return explain(g, st, err);
}

/* --- 2. a run's arrays ---------------------------------------------------------------------- */

struct sae_lm_pass {
    struct sae_lm_device *device;
    size_t n_max, T_max, logit_rows, reference_rows;
    uint32_t *ids;          /* [n] tokens, targets or rows */
    float *x, *a, *y;       /* [n][D] the stream, what is added to it, final normed */
    float *qkv;             /* [n][(H + 2K) d] */
    float *gate_up;         /* [MLP_ROWS][columns of the MLP's first product] */
    void *h, *o, *act;      /* factors: [n][D], [n][H d], [MLP_ROWS][F] */
    float *cosines, *sines; /* [2][T_max][rotary / 2], of full and sliding layers */
    float *logits;          /* [logit_rows][V], once asked for */
    float *reference;       /* [reference_rows][V] of set_reference */
    double *lse, *ce, *kl;  /* [n]; lse of refer */
    bool may_stop;
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static enum sae_status alloc_all(struct sae_lm_pass *p, struct sae_err *err)
{
    const struct sae_lm_config *c = &p->device->model->config;
    const struct sae_ops *const ops = p->device->ops;
    const size_t n = p->n_max, D = c->D, d = c->head_dim, f = sizeof(float),
                 factor = sae_lm_factor(p->device->how), rows = min_size(n, MLP_ROWS);
    SAE_TRY(ops->alloc(&p->ids, n, sizeof *p->ids, err));
    SAE_TRY(ops->alloc(&p->x, n, D * f, err));
    SAE_TRY(ops->alloc(&p->a, n, D * f, err));
    SAE_TRY(ops->alloc(&p->y, n, D * f, err));
    SAE_TRY(ops->alloc(&p->qkv, n, (c->H + 2 * c->K) * d * f, err));
    SAE_TRY(ops->alloc(&p->gate_up, rows, sae_lm_mlp_cols(c) * f, err));
    SAE_TRY(ops->alloc(&p->h, n, D * factor, err));
    SAE_TRY(ops->alloc(&p->o, n, c->H * d * factor, err));
    SAE_TRY(ops->alloc(&p->act, rows, c->F * factor, err));
    SAE_TRY(ops->alloc(&p->cosines, p->T_max, c->rotary * f, err));
    SAE_TRY(ops->alloc(&p->sines, p->T_max, c->rotary * f, err));
    SAE_TRY(ops->alloc(&p->lse, n, sizeof *p->lse, err));
    SAE_TRY(ops->alloc(&p->ce, n, sizeof *p->ce, err));
    return ops->alloc(&p->kl, n, sizeof *p->kl, err);
}

enum sae_status sae_lm_pass_open(struct sae_lm_pass **ret, struct sae_lm_device *device,
                                 size_t n_max, size_t T_max, const float *cosines,
                                 const float *sines, struct sae_err *err)
{
    const struct sae_lm_config *c = &device->model->config;
    const size_t angles = T_max * c->rotary * sizeof(float);
    const size_t fit = LOGIT_BYTES / (c->V * sizeof(float));
    struct sae_lm_pass *p = NULL;
    SAE_TRY(sae_mem_alloc(&p, 1, sizeof *p, err));
    p->device = device;
    p->n_max = n_max;
    p->T_max = T_max;
    p->logit_rows = min_size(n_max, fit < 1 ? 1 : fit);
    const enum sae_status st = explain(device, alloc_all(p, err), err);
    if (st != SAE_OK) {
        sae_lm_pass_close(p);
        return st;
    }
    device->ops->put(p->cosines, cosines, angles);
    device->ops->put(p->sines, sines, angles);
    *ret = p;
    return SAE_OK;
}

void sae_lm_pass_close(struct sae_lm_pass *p)
{
    if (!p)
        return;
    void *const all[] = {p->ids,       p->x,   p->a,   p->y,       p->qkv,   p->gate_up,
                         p->h,         p->o,   p->act, p->cosines, p->sines, p->logits,
                         p->reference, p->lse, p->ce,  p->kl};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        p->device->ops->free(all[i]);
    free(p);
}

/* --- 3. layers ------------------------------------------------------------------------------ */

/* o = the heads of all rows from h. */
static void run_heads(struct sae_lm_pass *p, size_t B, size_t T, size_t layer)
{
    const struct sae_lm_device *const g = p->device;
    const struct sae_lm_config *c = &g->model->config;
    const size_t n = B * T, d = c->head_dim, ld = (c->H + 2 * c->K) * d;
    const struct sae_lm_heads heads = {.B = B,
                                       .T = T,
                                       .H = c->H,
                                       .K = c->K,
                                       .d = d,
                                       .window = c->sliding[layer] ? c->window : T,
                                       .scale = (float)c->score_scale,
                                       .cap = (float)c->attn_cap};
    const struct sae_lm_ops *const lm = g->ops->lm;
    const struct device_layer *const w = &g->layers[layer];
    const size_t half = c->rotary / 2, at = c->sliding[layer] ? p->T_max * half : 0;
    lm->product(g->how, n, ld, c->D, p->h, w->qkv, p->qkv);
    if (w->qkv_bias)
        lm->add(n, 1, ld, w->qkv_bias, p->qkv);
    if (w->head_norms)
        lm->head_norm(c->norm, n, c->H, c->K, d, ld, c->norm_eps, w->head_norms, p->qkv);
    if (half > 0)
        lm->rope(n, T, c->H + c->K, d, half, ld, p->cosines + at, p->sines + at, p->qkv);
    lm->attend(g->how, &heads, p->qkv, p->o);
}

/* a = W_down act(W_gate h) [* W_up h], as many rows at a time as fit. */
static void feed_forward(struct sae_lm_pass *p, size_t n, const struct device_layer *w)
{
    const struct sae_lm_device *const g = p->device;
    const struct sae_lm_ops *const lm = g->ops->lm;
    const struct sae_lm_config *c = &g->model->config;
    const size_t D = c->D, F = c->F, ld = sae_lm_mlp_cols(c);
    for (size_t r = 0; r < n; r += MLP_ROWS) {
        const size_t m = min_size(MLP_ROWS, n - r);
        const char *const h = (const char *)p->h + r * D * sae_lm_factor(g->how);
        lm->product(g->how, m, ld, D, h, w->gate_up, p->gate_up);
        if (w->gate_up_bias)
            lm->add(m, 1, ld, w->gate_up_bias, p->gate_up);
        lm->gate(g->how, c->act, c->gated, m, F, p->gate_up, p->act);
        lm->product(g->how, m, D, F, p->act, w->down, p->a + r * D);
        if (w->down_bias)
            lm->add(m, 1, D, w->down_bias, p->a + r * D);
    }
}

/* One layer of a pass. */
struct step {
    const struct sae_lm_route *route;
    size_t B, T, n, layer; /* n = B T */
    unsigned parts;
    const float *next; /* the norm before the layer after this one; NULL: none follows */
};

/* Rows of one place, x [n][D] on the device, to the hooks that are there; norm: those of a norm
 * that comes before, on the host, or NULL. Hooks read by way of the host: few rows of few layers.
 */
static void keep(const struct sae_lm_pass *p, const struct step *s, enum sae_point point,
                 const float *x, const float *norm)
{
    const struct sae_lm_config *c = &p->device->model->config;
    for (size_t k = 0; k < s->route->n_hooks; k++) {
        float *const to = sae_lm_route_wants(s->route, k, point, s->layer);
        if (!to)
            continue;
        p->device->ops->get(to, x, s->n * c->D * sizeof *to);
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < s->n; i++)
            if (norm)
                sae_lm_row_norm(c->norm, to + i * c->D, to + i * c->D, norm, c->D, c->norm_eps);
    }
}

/* Likewise of the heads, which are factors: bf16 comes into the upper half of `to` and is widened
 * from there. */
static void keep_heads(const struct sae_lm_pass *p, const struct step *s)
{
    const size_t n = s->n * sae_lm_width(&p->device->model->config, SAE_ATTN_Z);
    const size_t size = sae_lm_factor(p->device->how);
    for (size_t k = 0; k < s->route->n_hooks; k++) {
        float *const to = sae_lm_route_wants(s->route, k, SAE_ATTN_Z, s->layer);
        if (!to)
            continue;
        char *const at = (char *)to + n * (sizeof *to - size);
        p->device->ops->get(at, p->o, n * size);
        for (size_t i = 0; i < n && p->device->how == SAE_BF16; i++) {
            uint16_t narrow;
            memcpy(&narrow, at + i * size, size);
            to[i] = sae_bf16_to_f32(narrow);
        }
    }
}

/* The heads' output product joins the stream; h: the norm before the MLP, unless with a parallel
 * residual, where that reads the stream before attention's branch is added. */
static void run_attention(struct sae_lm_pass *p, const struct step *s)
{
    const struct sae_lm_device *const g = p->device;
    const struct sae_lm_ops *const lm = g->ops->lm;
    const struct sae_lm_config *c = &g->model->config;
    const struct device_layer *const w = &g->layers[s->layer];
    const struct sae_lm_layer *const host = &g->model->layers[s->layer];
    const size_t D = c->D, hd = c->H * c->head_dim;
    const bool norms = (s->parts & SAE_PART_MLP_IN) && !c->parallel;
    const float *const before_mlp = norms ? w->norms[SAE_LM_NORM_PRE_FF] : NULL;
    const float *const z = sae_lm_route_given(s->route, SAE_ATTN_Z, s->layer);
    const float *const a = sae_lm_route_given(s->route, SAE_ATTN_OUT, s->layer);
    if (z) {
        g->ops->put(p->qkv, z, s->n * hd * sizeof *z);
        lm->factors(g->how, s->n * hd, p->qkv, p->o);
    }
    if (s->parts & SAE_PART_ATTN_OUT) {
        lm->product(g->how, s->n, D, hd, p->o, w->out, p->a);
        if (w->out_bias)
            lm->add(s->n, 1, D, w->out_bias, p->a);
        keep(p, s, SAE_ATTN_OUT, p->a, host->norms[SAE_LM_NORM_POST_ATTN]);
        lm->join(g->how, c->norm, s->n, D, c->norm_eps, p->a, w->norms[SAE_LM_NORM_POST_ATTN], p->x,
                 before_mlp, p->h);
        keep(p, s, SAE_RESID_MID, p->x, NULL);
    } else if (a) {
        g->ops->put(p->a, a, s->n * D * sizeof *a);
        lm->join(g->how, c->norm, s->n, D, c->norm_eps, p->a, NULL, p->x, before_mlp, p->h);
    } else if (before_mlp) {
        lm->norm(g->how, c->norm, s->n, D, c->norm_eps, p->x, before_mlp, p->h);
    }
}

/* The MLP of h joins the stream; h: the next layer's norm. */
static void run_mlp(struct sae_lm_pass *p, const struct step *s)
{
    const struct sae_lm_device *const g = p->device;
    const struct sae_lm_ops *const lm = g->ops->lm;
    const struct sae_lm_config *c = &g->model->config;
    const struct device_layer *const w = &g->layers[s->layer];
    const struct sae_lm_layer *const host = &g->model->layers[s->layer];
    const float *const in = sae_lm_route_given(s->route, SAE_MLP_IN, s->layer);
    const float *const out = sae_lm_route_given(s->route, SAE_MLP_OUT, s->layer);
    const float *norm = w->norms[SAE_LM_NORM_POST_FF];
    if (in) {
        g->ops->put(p->a, in, s->n * c->D * sizeof *in);
        lm->factors(g->how, s->n * c->D, p->a, p->h);
    }
    if (s->parts & SAE_PART_MLP) {
        feed_forward(p, s->n, w);
        keep(p, s, SAE_MLP_OUT, p->a, host->norms[SAE_LM_NORM_POST_FF]);
    } else if (out) {
        g->ops->put(p->a, out, s->n * c->D * sizeof *out);
        norm = NULL;
    } else {
        return;
    }
    lm->join(g->how, c->norm, s->n, c->D, c->norm_eps, p->a, norm, p->x, s->next, p->h);
    keep(p, s, SAE_RESID_POST, p->x, NULL);
}

/* From the norm of the stream, h, through one layer. */
static void run_layer(struct sae_lm_pass *p, const struct step *s)
{
    const struct sae_lm_device *const g = p->device;
    const struct sae_lm_config *c = &g->model->config;
    const struct device_layer *const w = &g->layers[s->layer];
    const float *const host_norm = g->model->layers[s->layer].norms[SAE_LM_NORM_PRE_FF];
    if (s->parts & SAE_PART_HEADS) {
        run_heads(p, s->B, s->T, s->layer);
        keep_heads(p, s);
    }
    if (c->parallel && (s->parts & SAE_PART_MLP_IN)) {
        g->ops->lm->norm(g->how, c->norm, s->n, c->D, c->norm_eps, p->x,
                         w->norms[SAE_LM_NORM_PRE_FF], p->h);
        keep(p, s, SAE_MLP_IN, p->x, host_norm);
    }
    run_attention(p, s);
    if (!c->parallel && (s->parts & SAE_PART_MLP_IN))
        keep(p, s, SAE_MLP_IN, p->x, host_norm);
    run_mlp(p, s);
}

/* The stream through the layers of the route. Each join adds one branch and norms for the next. */
static enum sae_status run_layers(struct sae_lm_pass *p, size_t B, size_t T,
                                  const struct sae_lm_route *route, struct sae_err *err)
{
    struct sae_lm_device *const g = p->device;
    const struct sae_lm_config *c = &g->model->config;
    const size_t first = route->first, end = route->end;
    struct step s = {.route = route, .B = B, .T = T, .n = B * T};
    SAE_TRY(send(g, first, end, err));
    if (first < end && (sae_lm_route_parts(route, first) & SAE_PART_HEADS))
        g->ops->lm->norm(g->how, c->norm, B * T, c->D, c->norm_eps, p->x,
                         g->layers[first].norms[SAE_LM_NORM_IN], p->h);
    for (s.layer = first; s.layer < end; s.layer++) {
        if (p->may_stop && sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped within a batch");
        s.parts = sae_lm_route_parts(route, s.layer);
        s.next = s.layer + 1 < end ? g->layers[s.layer + 1].norms[SAE_LM_NORM_IN] : NULL;
        run_layer(p, &s);
    }
    return SAE_OK;
}

void sae_lm_pass_may_stop(struct sae_lm_pass *p)
{
    p->may_stop = true;
}

/* --- 4. tap and resume ---------------------------------------------------------------------- */

enum sae_status sae_lm_pass_tap(struct sae_lm_pass *p, const uint32_t *ids, size_t B, size_t T,
                                const struct sae_lm_route *route, struct sae_err *err)
{
    const struct sae_lm_device *const g = p->device;
    const size_t n = B * T, D = g->model->config.D;
    const struct step start = {.route = route, .B = B, .T = T, .n = n};
    SAE_TRY(send(p->device, 0, route->end, err));
    g->ops->put(p->ids, ids, n * sizeof *ids);
    g->ops->lm->embed(g->how, n, D, (float)g->model->config.embed_scale, p->ids, g->embed, p->x);
    if (g->positions)
        g->ops->lm->add(n, T, D, g->positions, p->x);
    keep(p, &start, SAE_RESID_PRE, p->x, NULL);
    SAE_TRY(run_layers(p, B, T, route, err));
    return g->ops->check(err);
}

enum sae_status sae_lm_pass_resume(struct sae_lm_pass *p, const float *x, size_t B, size_t T,
                                   const struct sae_lm_route *route, struct sae_err *err)
{
    const struct sae_lm_device *const g = p->device;
    const struct sae_lm_config *c = &g->model->config;
    g->ops->put(p->x, x, B * T * c->D * sizeof *x);
    SAE_TRY(run_layers(p, B, T, route, err));
    g->ops->lm->norm(SAE_F32, c->norm, B * T, c->D, c->norm_eps, p->x, g->norm, p->y);
    return SAE_OK;
}

enum sae_status sae_lm_pass_final(const struct sae_lm_pass *p, size_t first, size_t n, float *y,
                                  struct sae_err *err)
{
    const size_t D = p->device->model->config.D;
    p->device->ops->get(y, p->y + first * D, n * D * sizeof *y);
    return p->device->ops->check(err);
}

void sae_lm_pass_put_final(struct sae_lm_pass *p, const float *y, size_t n)
{
    p->device->ops->put(p->y, y, n * p->device->model->config.D * sizeof *y);
}

/* --- 5. logits ------------------------------------------------------------------------------ */

/* Capped logits of n rows y, to [n][V]; all on the device. */
static void head(struct sae_lm_pass *p, const float *y, size_t n, float *to)
{
    const struct sae_lm_device *const g = p->device;
    const struct sae_lm_config *c = &g->model->config;
    g->ops->lm->factors(g->how, n * c->D, y, p->h);
    g->ops->lm->product(g->how, n, c->V, c->D, p->h, g->own_head ? g->own_head : g->embed, to);
    if (c->final_cap > 0)
        g->ops->lm->cap(n * c->V, (float)c->final_cap, to);
}

static enum sae_status reserve_logits(struct sae_lm_pass *p, struct sae_err *err)
{
    SAE_TRY(send(p->device, 0, 0, err)); /* rows may have been put without a layer run */
    if (p->logits)
        return SAE_OK;
    return explain(p->device,
                   p->device->ops->alloc(&p->logits, p->logit_rows * p->device->model->config.V,
                                         sizeof(float), err),
                   err);
}

/* Rows by number go together through a, where the stream's branch was. */
static void gather(struct sae_lm_pass *p, const size_t *rows, size_t n)
{
    const struct sae_lm_device *const g = p->device;
    uint32_t some[256];
    for (size_t i = 0; i < n; i += sizeof some / sizeof *some) {
        const size_t m = min_size(sizeof some / sizeof *some, n - i);
        for (size_t k = 0; k < m; k++)
            some[k] = (uint32_t)rows[i + k];
        g->ops->put(p->ids + i, some, m * sizeof *some);
    }
    g->ops->lm->embed(SAE_F32, n, g->model->config.D, 1, p->ids, p->y, p->a);
}

enum sae_status sae_lm_pass_logits(struct sae_lm_pass *p, const size_t *rows, size_t first,
                                   size_t n, float *logits, struct sae_err *err)
{
    const struct sae_lm_device *const g = p->device;
    const size_t D = g->model->config.D, V = g->model->config.V;
    SAE_TRY(reserve_logits(p, err));
    for (size_t i = 0; i < n; i += p->logit_rows) {
        const size_t m = min_size(p->logit_rows, n - i);
        if (rows)
            gather(p, rows + i, m);
        head(p, rows ? p->a : p->y + (first + i) * D, m, p->logits);
        g->ops->get(logits + i * V, p->logits, m * V * sizeof *logits);
    }
    return g->ops->check(err);
}

enum sae_status sae_lm_pass_set_reference(struct sae_lm_pass *p, size_t n, const uint32_t *target,
                                          double *ce, struct sae_err *err)
{
    const struct sae_lm_device *const g = p->device;
    const size_t V = g->model->config.V;
    SAE_TRY(send(p->device, 0, 0, err));
    if (n > p->reference_rows) {
        g->ops->free(p->reference);
        p->reference = NULL;
        p->reference_rows = 0;
        SAE_TRY(explain(g, g->ops->alloc(&p->reference, n * V, sizeof(float), err), err));
        p->reference_rows = n;
    }
    head(p, p->y, n, p->reference);
    g->ops->put(p->ids, target, n * sizeof *target);
    g->ops->lm->read(n, V, p->reference, p->ids, p->lse, p->ce);
    g->ops->get(ce, p->ce, n * sizeof *ce);
    return g->ops->check(err);
}

enum sae_status sae_lm_pass_compare(struct sae_lm_pass *p, size_t n, const uint32_t *target,
                                    double *ce, double *kl, struct sae_err *err)
{
    const struct sae_lm_device *const g = p->device;
    const size_t D = g->model->config.D, V = g->model->config.V;
    if (n > p->reference_rows)
        return sae_err_set(err, SAE_ERANGE, "%zu rows compared with a reference of %zu", n,
                           p->reference_rows);
    SAE_TRY(reserve_logits(p, err));
    g->ops->put(p->ids, target, n * sizeof *target);
    for (size_t i = 0; i < n; i += p->logit_rows) {
        const size_t m = min_size(p->logit_rows, n - i);
        head(p, p->y + i * D, m, p->logits);
        g->ops->lm->compare(m, V, p->reference + i * V, p->lse + i, p->logits, p->ids + i,
                            p->ce + i, p->kl + i);
    }
    g->ops->get(ce, p->ce, n * sizeof *ce);
    g->ops->get(kl, p->kl, n * sizeof *kl);
    return g->ops->check(err);
}
