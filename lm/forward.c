/* SPDX-License-Identifier: MIT */
/* forward : batches of sequences through the layers.
 *
 * A small model, held in f32, goes group by group: one thread takes a few sequences through all
 * layers, its working set stays in cache, and threads meet once a batch. A large one goes layer
 * by layer over all tokens, so that each weight is read and converted once a batch.
 *
 * Each thread multiplies its own block of rows by a BLAS that is held to one thread: two pools of
 * threads would fight for the processors. Blocks depend on the model and the batch alone, so the
 * numbers do not depend on the count of threads. One forward pass at a time per process. */
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lm/device.h"
#include "lm/model.h"
#include "lm/rope.h"
#include "lm/rows.h"

enum {
    BLOCK_SMALL = 128, /* rows of a block; the working set of a small model stays in cache */
    BLOCK_LARGE = 512, /* BLAS packs the weights again for each block */
    PANEL_ROWS = 64,   /* weight rows converted at a time by one thread */
    HEAD_ROWS = 32768, /* vocabulary rows converted at a time */
    TILE_ROWS = 256,   /* tile of logits: rows by words */
    TILE_WORDS = 2048
};

struct sae_lm_run {
    const struct sae_lm *model;
    size_t n_max, T_max, block;
    size_t n_threads;
    size_t head_scratch, block_scratch; /* floats of one thread */
    size_t n_done;                      /* rows of y */
    float *x;                           /* [n][D] the stream */
    float *qkv;                         /* [n][(H + 2K) d] */
    float *o;                           /* [n][H d] */
    float *y;                           /* [n][D] final normed */
    float *panels;                      /* converted weights of a large model */
    float *attend, *blocks;             /* [n_threads][...] */
    float *cosines, *sines;             /* [2][T_max][rotary / 2], of full and sliding layers */
    bool may_stop;                      /* within a batch */
    struct sae_lm_pass *pass;           /* of a model on a device; none of the arrays above then */
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

static void fill_rope(struct sae_lm_run *run)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t size = run->T_max * (c->rotary / 2);
    for (size_t kind = 0; kind < 2 && c->rotary > 0; kind++)
        sae_lm_rope_fill(&c->rope[kind], c->rotary, run->T_max, run->cosines + kind * size,
                         run->sines + kind * size);
}

static size_t panel_size(const struct sae_lm_panel *panel)
{
    return panel->n_rows * panel->n_cols;
}

/* Scratch for the panels that are in use at one time; none where the model keeps copies. */
static size_t panels_size(const struct sae_lm *m)
{
    if (m->embed.copy != NULL)
        return 0;
    const struct sae_lm_layer *layer = &m->layers[0];
    const size_t second =
        panel_size(&layer->out) + panel_size(&layer->gate_up) + panel_size(&layer->down);
    const size_t head = min_size(HEAD_ROWS, m->config.V) * m->config.D;
    return max_size(max_size(panel_size(&layer->qkv), second), head);
}

static enum sae_status alloc_all(struct sae_lm_run *run, struct sae_err *err)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t n = run->n_max, D = c->D, d = c->head_dim, f = sizeof(float);
    SAE_TRY(sae_mem_alloc(&run->cosines, run->T_max, c->rotary * f, err));
    SAE_TRY(sae_mem_alloc(&run->sines, run->T_max, c->rotary * f, err));
    fill_rope(run);
    if (run->model->device != NULL)
        return sae_lm_pass_open(&run->pass, run->model->device, n, run->T_max, run->cosines,
                                run->sines, err);
    SAE_TRY(sae_mem_alloc(&run->x, n, D * f, err));
    SAE_TRY(sae_mem_alloc(&run->y, n, D * f, err));
    SAE_TRY(sae_mem_alloc(&run->qkv, n, (c->H + 2 * c->K) * d * f, err));
    SAE_TRY(sae_mem_alloc(&run->o, n, c->H * d * f, err));
    SAE_TRY(sae_mem_alloc(&run->panels, panels_size(run->model), f, err));
    SAE_TRY(sae_mem_alloc(&run->attend, run->n_threads, run->head_scratch * f, err));
    return sae_mem_alloc(&run->blocks, run->n_threads, run->block_scratch * f, err);
}

enum sae_status sae_lm_run_open(struct sae_lm_run **ret, const struct sae_lm *model, size_t n_max,
                                size_t T_max, struct sae_err *err)
{
    const size_t most = model->config.max_context;
    if (T_max == 0 || T_max > most || T_max > n_max)
        return sae_err_set(err, SAE_ERANGE,
                           "sequences of %zu tokens in batches of %zu; the model takes 1 to %zu a "
                           "sequence, and a batch must hold one",
                           T_max, n_max, most);
    struct sae_lm_run *run = NULL;
    SAE_TRY(sae_mem_alloc(&run, 1, sizeof *run, err));
    run->model = model;
    run->n_max = n_max;
    run->T_max = T_max;
    run->n_threads = max_size(1, (size_t)omp_get_max_threads());
    run->block = min_size(n_max, model->embed.copy != NULL ? BLOCK_SMALL : BLOCK_LARGE);
    /* Rounded to a cache line, so that threads share none. */
    run->head_scratch = (sae_lm_head_scratch(T_max, model->config.head_dim) + 15) / 16 * 16;
    run->block_scratch =
        run->block * (2 * model->config.D + sae_lm_mlp_cols(&model->config) + 15) / 16 * 16;
    const enum sae_status st = alloc_all(run, err);
    if (st != SAE_OK) {
        sae_lm_run_close(run);
        return st;
    }
    *ret = run;
    return SAE_OK;
}

void sae_lm_run_close(struct sae_lm_run *run)
{
    if (run == NULL)
        return;
    float *const all[] = {run->x,      run->y,      run->qkv,     run->o,    run->panels,
                          run->attend, run->blocks, run->cosines, run->sines};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    sae_lm_pass_close(run->pass);
    free(run);
}

void sae_lm_run_may_stop(struct sae_lm_run *run)
{
    run->may_stop = true;
    if (run->pass != NULL)
        sae_lm_pass_may_stop(run->pass);
}

static bool stops(const struct sae_lm_run *run)
{
    return run->may_stop && sae_stop_asked();
}

static enum sae_status check_stop(const struct sae_lm_run *run, struct sae_err *err)
{
    return stops(run) ? sae_err_set(err, SAE_EINTR, "stopped within a batch") : SAE_OK;
}

/* --- threads and products ------------------------------------------------------------------- */

/* Holds a BLAS with threads of its own to one; one built on OpenMP does so by itself inside a
 * parallel region. Returns the count to restore, 0 = nothing to do. */
static int hold_blas(void)
{
    if (openblas_get_parallel() != OPENBLAS_THREAD)
        return 0;
    const int n = openblas_get_num_threads();
    openblas_set_num_threads(1);
    return n;
}

static void release_blas(int n)
{
    if (n > 0)
        openblas_set_num_threads(n);
}

/* Threads of one loop; scratch was made for n_threads. */
static int threads_of(const struct sae_lm_run *run)
{
    return (int)min_size(run->n_threads, max_size(1, (size_t)omp_get_max_threads()));
}

/* Rows [first, first + n) of a panel in f32, converted by all threads where there is no copy. */
static const float *fetch(const struct sae_lm_panel *panel, size_t first, size_t n, float *scratch)
{
    if (panel->copy != NULL)
        return sae_lm_panel_rows(panel, first, n, NULL);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i += PANEL_ROWS)
        (void)sae_lm_panel_rows(panel, first + i, min_size(PANEL_ROWS, n - i),
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

/* Panels of one layer in f32. */
struct weights {
    const struct sae_lm_layer *layer;
    const float *qkv, *out, *gate_up, *down;
};

static void add_bias(float *x, const float *bias, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows && bias != NULL; i++)
        for (size_t k = 0; k < cols; k++)
            x[i * cols + k] += bias[k];
}

/* Norms and rotation of the heads of q and k of a row at position t. */
static void turn_heads(const struct sae_lm_run *run, size_t layer, float *row, size_t t)
{
    const struct sae_lm_config *c = &run->model->config;
    const float *w = run->model->layers[layer].head_norms;
    const size_t d = c->head_dim, half = c->rotary / 2;
    for (size_t k = 0; k < c->H + c->K && w != NULL; k++)
        sae_lm_row_norm(c->norm, row + k * d, row + k * d, k < c->H ? w : w + d, d, c->norm_eps);
    if (half > 0) {
        const size_t at = ((c->sliding[layer] ? run->T_max : 0) + t) * half;
        sae_lm_row_rope(row, c->H + c->K, d, run->cosines + at, run->sines + at, half);
    }
}

/* Rows [first, first + m): norm, q, k, v, rotation. */
static void project_block(struct sae_lm_run *run, const struct batch *b, const struct weights *w,
                          size_t first, size_t m, float *h)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t D = c->D, ld = w->layer->qkv.n_rows;
    float *qkv = run->qkv + first * ld;
    for (size_t i = 0; i < m; i++)
        sae_lm_row_norm(c->norm, h + i * D, run->x + (first + i) * D,
                        w->layer->norms[SAE_LM_NORM_IN], D, c->norm_eps);
    multiply(qkv, ld, h, D, w->qkv, m, ld, D);
    add_bias(qkv, w->layer->qkv.bias, m, ld);
    for (size_t i = 0; i < m; i++)
        turn_heads(run, (size_t)(w->layer - run->model->layers), qkv + i * ld, (first + i) % b->T);
}

/* a [m][D] = the MLP of h [m][D]; gu [m][columns of its first product] */
static void feed_forward(const struct sae_lm_run *run, const struct weights *w, size_t m,
                         const float *h, float *gu, float *a)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t D = c->D, F = c->F, ld = sae_lm_mlp_cols(c);
    multiply(gu, ld, h, D, w->gate_up, m, ld, D);
    add_bias(gu, w->layer->gate_up.bias, m, ld);
    for (size_t i = 0; i < m; i++)
        sae_lm_row_act(c->act, gu + i * ld, c->gated ? gu + i * ld + F : NULL, F);
    multiply(a, D, gu, ld, w->down, m, D, F);
    add_bias(a, w->layer->down.bias, m, D);
}

/* Rows [first, first + m): attention's output product, both residual adds, the MLP. With a parallel
 * residual the MLP's norm reads the stream before attention's is added.
 * `scratch` holds h [m][D], a [m][D] and the MLP's first product. */
static void finish_block(struct sae_lm_run *run, const struct weights *w, size_t first, size_t m,
                         float *scratch)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t D = c->D, hd = c->H * c->head_dim;
    const float *const *norms = w->layer->norms;
    float *h = scratch, *a = h + m * D, *gu = a + m * D, *x = run->x + first * D;
    multiply(a, D, run->o + first * hd, hd, w->out, m, D, hd);
    add_bias(a, w->layer->out.bias, m, D);
    for (size_t i = 0; i < m; i++) {
        if (c->parallel)
            sae_lm_row_norm(c->norm, h + i * D, x + i * D, norms[SAE_LM_NORM_PRE_FF], D,
                            c->norm_eps);
        sae_lm_row_join(c->norm, x + i * D, a + i * D, norms[SAE_LM_NORM_POST_ATTN], D,
                        c->norm_eps);
        if (!c->parallel)
            sae_lm_row_norm(c->norm, h + i * D, x + i * D, norms[SAE_LM_NORM_PRE_FF], D,
                            c->norm_eps);
    }
    feed_forward(run, w, m, h, gu, a);
    for (size_t i = 0; i < m; i++)
        sae_lm_row_join(c->norm, x + i * D, a + i * D, norms[SAE_LM_NORM_POST_FF], D, c->norm_eps);
}

/* Attention i of a batch: sequence i / H, head i % H. */
static void attend_one(struct sae_lm_run *run, const struct batch *b, size_t layer, size_t i,
                       float *scratch)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t d = c->head_dim, ld = (c->H + 2 * c->K) * d, group = c->H / c->K;
    const size_t seq = i / c->H, head = i % c->H;
    const float *row = run->qkv + seq * b->T * ld;
    const struct sae_lm_head job = {
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
    sae_lm_head_attend(&job, scratch);
}

static float *block_scratch(const struct sae_lm_run *run)
{
    return run->blocks + (size_t)omp_get_thread_num() * run->block_scratch;
}

static float *attend_scratch(const struct sae_lm_run *run)
{
    return run->attend + (size_t)omp_get_thread_num() * run->head_scratch;
}

/* Large model: one layer over all tokens. */
static void run_layer(struct sae_lm_run *run, const struct batch *b, size_t layer)
{
    struct weights w = {.layer = &run->model->layers[layer]};
    const int threads = threads_of(run);
    const size_t block = run->block, n_blocks = (b->n + block - 1) / block;
    w.qkv = fetch(&w.layer->qkv, 0, w.layer->qkv.n_rows, run->panels);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (size_t i = 0; i < n_blocks; i++)
        if (!stops(run))
            project_block(run, b, &w, i * block, min_size(block, b->n - i * block),
                          block_scratch(run));
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (size_t i = 0; i < b->B * run->model->config.H; i++)
        if (!stops(run))
            attend_one(run, b, layer, i, attend_scratch(run));
    if (stops(run))
        return;
    float *at = run->panels;
    w.out = fetch(&w.layer->out, 0, w.layer->out.n_rows, at);
    at += panel_size(&w.layer->out);
    w.gate_up = fetch(&w.layer->gate_up, 0, w.layer->gate_up.n_rows, at);
    at += panel_size(&w.layer->gate_up);
    w.down = fetch(&w.layer->down, 0, w.layer->down.n_rows, at);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (size_t i = 0; i < n_blocks; i++)
        if (!stops(run))
            finish_block(run, &w, i * block, min_size(block, b->n - i * block), block_scratch(run));
}

/* Small model: sequences [seq, seq + n_seq) through layers [first, end), by one thread. */
static void run_group(struct sae_lm_run *run, const struct batch *b, size_t seq, size_t n_seq,
                      size_t first, size_t end)
{
    const size_t H = run->model->config.H, block = run->block;
    const size_t row = seq * b->T, row_end = row + n_seq * b->T;
    float *const scratch = block_scratch(run), *const attend = attend_scratch(run);
    for (size_t i = first; i < end; i++) {
        const struct sae_lm_layer *layer = &run->model->layers[i];
        const struct weights w = {layer, layer->qkv.copy, layer->out.copy, layer->gate_up.copy,
                                  layer->down.copy};
        for (size_t r = row; r < row_end; r += block)
            project_block(run, b, &w, r, min_size(block, row_end - r), scratch);
        for (size_t k = seq * H; k < (seq + n_seq) * H; k++)
            attend_one(run, b, i, k, attend);
        for (size_t r = row; r < row_end; r += block)
            finish_block(run, &w, r, min_size(block, row_end - r), scratch);
    }
}

/* Layers [first, end) over the batch. */
static void run_layers(struct sae_lm_run *run, const struct batch *b, size_t first, size_t end)
{
    const int blas_threads = hold_blas(), threads = threads_of(run);
    if (run->model->embed.copy != NULL) {
        const size_t step = max_size(1, run->block / b->T);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (size_t seq = 0; seq < b->B; seq += step)
            if (!stops(run))
                run_group(run, b, seq, min_size(step, b->B - seq), first, end);
    } else {
        for (size_t i = first; i < end && !stops(run); i++)
            run_layer(run, b, i);
    }
    release_blas(blas_threads);
}

/* --- tap, resume, logits -------------------------------------------------------------------- */

static enum sae_status check_batch(const struct sae_lm_run *run, struct batch *b, size_t layer,
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

static enum sae_status check_ids(const struct sae_lm_run *run, const uint32_t *ids, size_t n,
                                 struct sae_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= run->model->config.V)
            return sae_err_set(err, SAE_ERANGE,
                               "token id %lu at position %zu, but the vocabulary has %zu",
                               (unsigned long)ids[i], i, run->model->config.V);
    return SAE_OK;
}

/* x = scale * embedding row, plus that of the position where positions are learned. */
static void embed(struct sae_lm_run *run, const uint32_t *ids, const struct batch *b)
{
    const size_t D = run->model->config.D;
    const float scale = (float)run->model->config.embed_scale;
    const float *const positions = run->model->positions;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < b->n; i++) {
        float *x = run->x + i * D;
        const float *row = sae_lm_panel_rows(&run->model->embed, ids[i], 1, x);
        for (size_t k = 0; k < D; k++)
            x[k] = row[k] * scale;
        for (size_t k = 0; k < D && positions != NULL; k++)
            x[k] += positions[i % b->T * D + k];
    }
}

enum sae_status sae_lm_tap(struct sae_lm_run *run, const uint32_t *ids, size_t B, size_t T,
                           size_t layer, float *x, struct sae_err *err)
{
    struct batch b = {B, T, 0};
    SAE_TRY(check_batch(run, &b, layer, err));
    SAE_TRY(check_ids(run, ids, b.n, err));
    if (run->pass != NULL)
        return sae_lm_pass_tap(run->pass, ids, B, T, layer, x, err);
    embed(run, ids, &b);
    run_layers(run, &b, 0, layer + 1);
    SAE_TRY(check_stop(run, err));
    memcpy(x, run->x, b.n * run->model->config.D * sizeof *x);
    return SAE_OK;
}

enum sae_status sae_lm_resume(struct sae_lm_run *run, const float *x, size_t B, size_t T,
                              size_t layer, struct sae_err *err)
{
    struct batch b = {B, T, 0};
    SAE_TRY(check_batch(run, &b, layer, err));
    const struct sae_lm_config *c = &run->model->config;
    if (run->pass != NULL) {
        SAE_TRY(sae_lm_pass_resume(run->pass, x, B, T, layer, err));
        run->n_done = b.n;
        return SAE_OK;
    }
    memcpy(run->x, x, b.n * c->D * sizeof *x);
    run_layers(run, &b, layer + 1, c->L);
    SAE_TRY(check_stop(run, err));
    for (size_t i = 0; i < b.n; i++)
        sae_lm_row_norm(c->norm, run->y + i * c->D, run->x + i * c->D, run->model->norm, c->D,
                        c->norm_eps);
    run->n_done = b.n;
    return SAE_OK;
}

static enum sae_status check_rows(const struct sae_lm_run *run, size_t first, size_t n,
                                  const char *what, struct sae_err *err)
{
    if (first <= run->n_done && n <= run->n_done - first)
        return SAE_OK;
    return sae_err_set(err, SAE_ERANGE, "%s of rows %zu ... %zu, but %zu rows were run", what,
                       first, first + n, run->n_done);
}

enum sae_status sae_lm_final(const struct sae_lm_run *run, size_t first, size_t n, float *y,
                             struct sae_err *err)
{
    const size_t D = run->model->config.D;
    SAE_TRY(check_rows(run, first, n, "final state", err));
    if (run->pass != NULL)
        return sae_lm_pass_final(run->pass, first, n, y, err);
    memcpy(y, run->y + first * D, n * D * sizeof *y);
    return SAE_OK;
}

enum sae_status sae_lm_put_final(struct sae_lm_run *run, const float *y, size_t n,
                                 struct sae_err *err)
{
    if (n > run->n_max)
        return sae_err_set(err, SAE_ERANGE, "%zu rows, but this run has room for %zu", n,
                           run->n_max);
    if (run->pass != NULL)
        sae_lm_pass_put_final(run->pass, y, n);
    else
        memcpy(run->y, y, n * run->model->config.D * sizeof *y);
    run->n_done = n;
    return SAE_OK;
}

/* One tile of logits: product and cap. */
static void head_tile(const struct sae_lm_run *run, const float *y, const float *E, float *logits,
                      size_t n_rows, size_t n_words)
{
    const struct sae_lm_config *c = &run->model->config;
    multiply(logits, c->V, y, c->D, E, n_rows, n_words, c->D);
    for (size_t i = 0; i < n_rows && c->final_cap > 0; i++)
        sae_lm_row_cap(logits + i * c->V, n_words, (float)c->final_cap);
}

/* Logits of n final-normed rows y [n][D]. */
static void run_head(struct sae_lm_run *run, const float *y, size_t n, float *logits)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t D = c->D, V = c->V;
    const size_t step = run->model->embed.copy != NULL ? V : min_size(HEAD_ROWS, V);
    const int blas_threads = hold_blas(), threads = threads_of(run);
    for (size_t v = 0; v < V && n > 0 && !stops(run); v += step) {
        const size_t m = min_size(step, V - v);
        const float *E = fetch(&run->model->head, v, m, run->panels);
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads)
        for (size_t row = 0; row < n; row += TILE_ROWS)
            for (size_t word = 0; word < m; word += TILE_WORDS)
                if (!stops(run))
                    head_tile(run, y + row * D, E + word * D, logits + row * V + v + word,
                              min_size(TILE_ROWS, n - row), min_size(TILE_WORDS, m - word));
    }
    release_blas(blas_threads);
}

enum sae_status sae_lm_logits(struct sae_lm_run *run, size_t first, size_t n, float *logits,
                              struct sae_err *err)
{
    SAE_TRY(check_rows(run, first, n, "logits", err));
    if (run->pass != NULL)
        return sae_lm_pass_logits(run->pass, NULL, first, n, logits, err);
    run_head(run, run->y + first * run->model->config.D, n, logits);
    return check_stop(run, err);
}

enum sae_status sae_lm_logits_at(struct sae_lm_run *run, const size_t *rows, size_t n,
                                 float *logits, struct sae_err *err)
{
    const size_t D = run->model->config.D;
    float *y = NULL;
    for (size_t i = 0; i < n; i++)
        if (rows[i] >= run->n_done)
            return sae_err_set(err, SAE_ERANGE, "logits of row %zu, but %zu rows were run", rows[i],
                               run->n_done);
    if (run->pass != NULL)
        return sae_lm_pass_logits(run->pass, rows, 0, n, logits, err);
    SAE_TRY(sae_mem_alloc(&y, n, D * sizeof *y, err));
    for (size_t i = 0; i < n; i++)
        memcpy(y + i * D, run->y + rows[i] * D, D * sizeof *y);
    run_head(run, y, n, logits);
    free(y);
    return check_stop(run, err);
}

/* --- what logits say, on a device ----------------------------------------------------------- */

static enum sae_status check_device(const struct sae_lm_run *run, size_t n, struct sae_err *err)
{
    if (run->pass == NULL)
        return sae_err_set(err, SAE_EARG, "predictions are compared by a device alone");
    return check_rows(run, 0, n, "predictions", err);
}

enum sae_status sae_lm_set_reference(struct sae_lm_run *run, size_t n, const uint32_t *target,
                                     double *ce, struct sae_err *err)
{
    SAE_TRY(check_device(run, n, err));
    return sae_lm_pass_set_reference(run->pass, n, target, ce, err);
}

enum sae_status sae_lm_compare(struct sae_lm_run *run, size_t n, const uint32_t *target, double *ce,
                               double *kl, struct sae_err *err)
{
    SAE_TRY(check_device(run, n, err));
    return sae_lm_pass_compare(run->pass, n, target, ce, kl, err);
}
