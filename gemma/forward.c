/* SPDX-License-Identifier: MIT */
/* forward : batches of sequences through the layers, layer by layer over all tokens, so that
 * each weight is read once a batch. Matrix products by BLAS, outside parallel regions; rows and
 * (sequence, head) pairs by OpenMP. Every output is written by one thread in a fixed order. */
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "gemma/model.h"
#include "gemma/rows.h"
#include "lib/base/mem.h"

enum {
    MLP_ROWS = 1024,  /* tokens of one pass through the MLP */
    PANEL_ROWS = 64,  /* weight rows converted at a time by one thread */
    HEAD_ROWS = 8192  /* vocabulary rows of one product of the head */
};

struct gemma_run {
    const struct gemma_model *model;
    size_t n_max, T_max;
    size_t n_threads, head_scratch; /* floats of one thread */
    size_t n_done;                  /* rows of y */
    float *x, *h, *a;               /* [n][D] stream, normed, sub-layer output */
    float *qkv;                     /* [n][(H + 2K) d] */
    float *o;                       /* [n][H d] */
    float *gu;                      /* [MLP_ROWS][2F] */
    float *y;                       /* [n][D] final normed */
    float *panels;                  /* converted weights of a large model */
    float *attend;                  /* [n_threads][head_scratch] */
    float *cosines, *sines;         /* [T_max][d / 2] */
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* --- opening -------------------------------------------------------------------------------- */

/* Angles as the reference forms them: position times frequency, both and the product in f32. */
static void fill_rope(struct gemma_run *run)
{
    const struct gemma_config *c = &run->model->config;
    const size_t half = c->head_dim / 2;
    for (size_t k = 0; k < half; k++) {
        const float power = (float)pow(c->rope_theta, (double)((float)(2 * k) / (float)(2 * half)));
        const float frequency = 1.0F / power;
        for (size_t t = 0; t < run->T_max; t++) {
            const float angle = (float)t * frequency;
            run->cosines[t * half + k] = (float)cos((double)angle);
            run->sines[t * half + k] = (float)sin((double)angle);
        }
    }
}

static size_t panel_size(const struct gemma_panel *panel)
{
    return panel->n_rows * panel->n_cols;
}

/* Scratch for the panels that are in use at one time; none where the model keeps copies. */
static size_t panels_size(const struct gemma_model *m)
{
    if (m->embed.copy != NULL)
        return 0;
    const struct gemma_layer *layer = &m->layers[0];
    const size_t attention = max_size(panel_size(&layer->qkv), panel_size(&layer->out));
    const size_t mlp = panel_size(&layer->gate_up) + panel_size(&layer->down);
    return max_size(max_size(attention, mlp), min_size(HEAD_ROWS, m->config.V) * m->config.D);
}

static enum sae_status alloc_all(struct gemma_run *run, struct sae_err *err)
{
    const struct gemma_config *c = &run->model->config;
    const size_t n = run->n_max, D = c->D, d = c->head_dim, f = sizeof(float);
    SAE_TRY(sae_mem_alloc(&run->x, n, D * f, err));
    SAE_TRY(sae_mem_alloc(&run->h, n, D * f, err));
    SAE_TRY(sae_mem_alloc(&run->a, n, D * f, err));
    SAE_TRY(sae_mem_alloc(&run->y, n, D * f, err));
    SAE_TRY(sae_mem_alloc(&run->qkv, n, (c->H + 2 * c->K) * d * f, err));
    SAE_TRY(sae_mem_alloc(&run->o, n, c->H * d * f, err));
    SAE_TRY(sae_mem_alloc(&run->gu, min_size(n, MLP_ROWS), 2 * c->F * f, err));
    SAE_TRY(sae_mem_alloc(&run->panels, panels_size(run->model), f, err));
    SAE_TRY(sae_mem_alloc(&run->attend, run->n_threads, run->head_scratch * f, err));
    SAE_TRY(sae_mem_alloc(&run->cosines, run->T_max, d / 2 * f, err));
    return sae_mem_alloc(&run->sines, run->T_max, d / 2 * f, err);
}

enum sae_status gemma_run_open(struct gemma_run **ret, const struct gemma_model *model,
                               size_t n_max, size_t T_max, struct sae_err *err)
{
    const size_t most = model->config.max_context;
    if (T_max == 0 || T_max > most || T_max > n_max)
        return sae_err_set(err, SAE_ERANGE,
                           "sequences of %zu tokens in batches of %zu; the model takes 1 to %zu a "
                           "sequence, and a batch must hold one",
                           T_max, n_max, most);
    struct gemma_run *run = NULL;
    SAE_TRY(sae_mem_alloc(&run, 1, sizeof *run, err));
    run->model = model;
    run->n_max = n_max;
    run->T_max = T_max;
    run->n_threads = (size_t)max_size(1, (size_t)omp_get_max_threads());
    /* Rounded to a cache line, so that threads share none. */
    run->head_scratch = (gemma_head_scratch(T_max, model->config.head_dim) + 15) / 16 * 16;
    const enum sae_status st = alloc_all(run, err);
    if (st != SAE_OK) {
        gemma_run_close(run);
        return st;
    }
    fill_rope(run);
    *ret = run;
    return SAE_OK;
}

void gemma_run_close(struct gemma_run *run)
{
    if (run == NULL)
        return;
    float *const all[] = {run->x,  run->h,      run->a,      run->qkv,     run->o,    run->gu,
                          run->y, run->panels, run->attend, run->cosines, run->sines};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    free(run);
}

/* --- products ------------------------------------------------------------------------------- */

/* Rows [first, first + n) of a panel in f32, converted by all threads where there is no copy. */
static const float *fetch(const struct gemma_panel *panel, size_t first, size_t n, float *scratch)
{
    if (panel->copy != NULL)
        return gemma_panel_rows(panel, first, n, NULL);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i += PANEL_ROWS)
        (void)gemma_panel_rows(panel, first + i, min_size(PANEL_ROWS, n - i),
                               scratch + i * panel->n_cols);
    return scratch;
}

/* y [n][n_out] = x [n][n_in] W^T, W [n_out][n_in]; rows of x and y are ld_x and ld_y apart. */
static void multiply(float *y, size_t ld_y, const float *x, size_t ld_x, const float *W, size_t n,
                     size_t n_out, size_t n_in)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)n, (blasint)n_out, (blasint)n_in,
                1.0F, x, (blasint)ld_x, W, (blasint)n_in, 0.0F, y, (blasint)ld_y);
}

/* --- one layer ------------------------------------------------------------------------------ */

/* A batch in flight: n = B T tokens. */
struct batch {
    size_t B, T, n;
};

static void norm_rows(float *h, const float *x, const float *w, size_t n,
                      const struct gemma_config *c)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        gemma_row_rms(h + i * c->D, x + i * c->D, w, c->D, c->rms_eps);
}

static void rotate_rows(struct gemma_run *run, const struct batch *b)
{
    const struct gemma_config *c = &run->model->config;
    const size_t half = c->head_dim / 2, ld = (c->H + 2 * c->K) * c->head_dim;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < b->n; i++) {
        const size_t t = i % b->T;
        gemma_row_rope(run->qkv + i * ld, c->H + c->K, run->cosines + t * half,
                       run->sines + t * half, half);
    }
}

static void attend(struct gemma_run *run, const struct batch *b, size_t layer)
{
    const struct gemma_config *c = &run->model->config;
    const size_t d = c->head_dim, ld = (c->H + 2 * c->K) * d, group = c->H / c->K;
    const int threads = (int)min_size(run->n_threads, (size_t)omp_get_max_threads());
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (size_t i = 0; i < b->B * c->H; i++) {
        const size_t seq = i / c->H, head = i % c->H;
        const float *row = run->qkv + seq * b->T * ld;
        const struct gemma_head job = {
            .q = row + head * d,
            .k = row + (c->H + head / group) * d,
            .v = row + (c->H + c->K + head / group) * d,
            .ld = ld,
            .o = run->o + seq * b->T * c->H * d + head * d,
            .ld_o = c->H * d,
            .T = b->T,
            .d = d,
            .window = c->sliding[layer] ? c->window : b->T,
            .scale = (float)c->score_scale,
            .cap = (float)c->attn_cap,
        };
        gemma_head_attend(&job, run->attend + (size_t)omp_get_thread_num() * run->head_scratch);
    }
}

static void run_attention(struct gemma_run *run, const struct batch *b, size_t i)
{
    const struct gemma_config *c = &run->model->config;
    const struct gemma_layer *layer = &run->model->layers[i];
    const size_t hd = c->H * c->head_dim, D = c->D, n_qkv = layer->qkv.n_rows;
    norm_rows(run->h, run->x, layer->norms[GEMMA_NORM_IN], b->n, c);
    const float *W = fetch(&layer->qkv, 0, n_qkv, run->panels);
    multiply(run->qkv, n_qkv, run->h, D, W, b->n, n_qkv, D);
    rotate_rows(run, b);
    attend(run, b, i);
    W = fetch(&layer->out, 0, D, run->panels);
    multiply(run->a, D, run->o, hd, W, b->n, D, hd);
    const float *post = layer->norms[GEMMA_NORM_POST_ATTN], *pre = layer->norms[GEMMA_NORM_PRE_FF];
#pragma omp parallel for schedule(static)
    for (size_t t = 0; t < b->n; t++) {
        gemma_row_add_rms(run->x + t * D, run->a + t * D, post, D, c->rms_eps);
        gemma_row_rms(run->h + t * D, run->x + t * D, pre, D, c->rms_eps);
    }
}

static void run_mlp(struct gemma_run *run, const struct batch *b, size_t i)
{
    const struct gemma_config *c = &run->model->config;
    const struct gemma_layer *layer = &run->model->layers[i];
    const size_t D = c->D, F = c->F;
    const float *in = fetch(&layer->gate_up, 0, 2 * F, run->panels);
    const float *out = fetch(&layer->down, 0, D, run->panels + panel_size(&layer->gate_up));
    for (size_t first = 0; first < b->n; first += MLP_ROWS) {
        const size_t m = min_size(MLP_ROWS, b->n - first);
        multiply(run->gu, 2 * F, run->h + first * D, D, in, m, 2 * F, D);
#pragma omp parallel for schedule(static)
        for (size_t t = 0; t < m; t++)
            gemma_row_gelu_mul(run->gu + t * 2 * F, run->gu + t * 2 * F + F, F);
        multiply(run->a + first * D, D, run->gu, 2 * F, out, m, D, F);
    }
    const float *post = layer->norms[GEMMA_NORM_POST_FF];
#pragma omp parallel for schedule(static)
    for (size_t t = 0; t < b->n; t++)
        gemma_row_add_rms(run->x + t * D, run->a + t * D, post, D, c->rms_eps);
}

static void run_layer(struct gemma_run *run, const struct batch *b, size_t i)
{
    run_attention(run, b, i);
    run_mlp(run, b, i);
}

/* --- tap, resume, logits -------------------------------------------------------------------- */

static enum sae_status check_batch(const struct gemma_run *run, struct batch *b, size_t layer,
                                   struct sae_err *err)
{
    if (b->B == 0 || b->T == 0 || b->T > run->T_max || b->B > run->n_max / b->T)
        return sae_err_set(err, SAE_ERANGE,
                           "a batch of %zu sequences of %zu tokens; this run takes sequences of 1 "
                           "to %zu, at most %zu tokens in all",
                           b->B, b->T, run->T_max, run->n_max);
    if (layer >= run->model->config.L)
        return sae_err_set(err, SAE_ERANGE, "layer %zu, but the model has layers 0 to %zu", layer,
                           run->model->config.L - 1);
    b->n = b->B * b->T;
    return SAE_OK;
}

static enum sae_status check_ids(const struct gemma_run *run, const uint32_t *ids, size_t n,
                                 struct sae_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= run->model->config.V)
            return sae_err_set(err, SAE_ERANGE,
                               "token id %lu at position %zu, but the vocabulary has %zu",
                               (unsigned long)ids[i], i, run->model->config.V);
    return SAE_OK;
}

/* x = sqrt(D) * embedding row. */
static void embed(struct gemma_run *run, const uint32_t *ids, size_t n)
{
    const size_t D = run->model->config.D;
    const float scale = (float)sqrt((double)D);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) {
        float *x = run->x + i * D;
        const float *row = gemma_panel_rows(&run->model->embed, ids[i], 1, x);
        for (size_t k = 0; k < D; k++)
            x[k] = row[k] * scale;
    }
}

enum sae_status gemma_run_tap(struct gemma_run *run, const uint32_t *ids, size_t B, size_t T,
                              size_t layer, float *x, struct sae_err *err)
{
    struct batch b = {B, T, 0};
    SAE_TRY(check_batch(run, &b, layer, err));
    SAE_TRY(check_ids(run, ids, b.n, err));
    embed(run, ids, b.n);
    for (size_t i = 0; i <= layer; i++)
        run_layer(run, &b, i);
    memcpy(x, run->x, b.n * run->model->config.D * sizeof *x);
    return SAE_OK;
}

enum sae_status gemma_run_resume(struct gemma_run *run, const float *x, size_t B, size_t T,
                                 size_t layer, struct sae_err *err)
{
    struct batch b = {B, T, 0};
    SAE_TRY(check_batch(run, &b, layer, err));
    const struct gemma_config *c = &run->model->config;
    memcpy(run->x, x, b.n * c->D * sizeof *x);
    for (size_t i = layer + 1; i < c->L; i++)
        run_layer(run, &b, i);
    norm_rows(run->y, run->x, run->model->norm, b.n, c);
    run->n_done = b.n;
    return SAE_OK;
}

enum sae_status gemma_run_logits(struct gemma_run *run, size_t first, size_t n, float *logits,
                                 struct sae_err *err)
{
    if (first > run->n_done || n > run->n_done - first)
        return sae_err_set(err, SAE_ERANGE, "logits of rows %zu ... %zu, but %zu rows were run",
                           first, first + n, run->n_done);
    if (n == 0)
        return SAE_OK;
    const struct gemma_config *c = &run->model->config;
    const size_t step = run->model->embed.copy != NULL ? c->V : min_size(HEAD_ROWS, c->V);
    for (size_t v = 0; v < c->V; v += step) {
        const size_t m = min_size(step, c->V - v);
        const float *E = fetch(&run->model->embed, v, m, run->panels);
        multiply(logits + v, c->V, run->y + first * c->D, c->D, E, n, m, c->D);
    }
    if (c->final_cap > 0) {
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < n; i++)
            gemma_row_cap(logits + i * c->V, c->V, (float)c->final_cap);
    }
    return SAE_OK;
}
