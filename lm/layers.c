/* SPDX-License-Identifier: MIT */
/* layers : batches of sequences through the layers.
 *
 * A small model, held in f32, a layer of which fits the cache, goes group by group: one thread takes a few sequences through all
 * layers, its working set stays in cache, and threads meet once a batch. A large one goes layer
 * by layer over all tokens, so that each weight is read and packed once a batch (gemm.h).
 *
 * Each thread multiplies its own block of rows; of a small model by a BLAS that is held to one thread, as
 * two pools of threads would fight for the processors. Numbers do not depend on the count of threads: of
 * a small model the blocks do not, of a large one rows do not depend on blocks. One forward pass at a
 * time per process. */
#include <cblas.h>
#include <omp.h>
#include <string.h>

#include "lib/base/stop.h"
#include "lm/rows.h"
#include "lm/run.h"

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* --- threads and products ------------------------------------------------------------------- */

int sae_lm_hold_blas(void)
{
    if (openblas_get_parallel() != OPENBLAS_THREAD)
        return 0;
    const int n = openblas_get_num_threads();
    openblas_set_num_threads(1);
    return n;
}

void sae_lm_release_blas(int n)
{
    if (n > 0)
        openblas_set_num_threads(n);
}

bool sae_lm_run_stops(const struct sae_lm_run *run)
{
    return run->may_stop && sae_stop_asked();
}

int sae_lm_run_threads(const struct sae_lm_run *run)
{
    return (int)min_size(run->n_threads, max_size(1, (size_t)omp_get_max_threads()));
}

size_t sae_lm_packed_size(const struct sae_lm_run *run, size_t n_rows, size_t n_cols)
{
    return run->gemm == NULL ? 0
                             : sae_gemm_panels(n_rows) * sae_gemm_panel_size(run->gemm, n_cols);
}

const void *sae_lm_fetched_at(const struct sae_lm_run *run, const void *W, size_t at, size_t n_in)
{
    return run->gemm == NULL ? (const char *)W + at * n_in * sizeof(float)
                             : (const char *)W + sae_lm_packed_size(run, at, n_in);
}

static float *block_scratch(const struct sae_lm_run *run)
{
    return run->blocks + (size_t)omp_get_thread_num() * run->block_scratch;
}

const void *sae_lm_run_fetch(const struct sae_lm_run *run, const struct sae_lm_panel *panel,
                             size_t first, size_t n, char *scratch)
{
    if (run->gemm == NULL)
        return sae_lm_panel_rows(panel, first, n, NULL);
    const int threads = sae_lm_run_threads(run);
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t i = 0; i < n; i += SAE_GEMM_COLUMNS) {
        const size_t m = min_size(SAE_GEMM_COLUMNS, n - i);
        run->gemm->pack(m, panel->n_cols, sae_lm_panel_rows(panel, first + i, m, block_scratch(run)),
                        scratch + sae_lm_packed_size(run, i, panel->n_cols));
        if (panel->copy == NULL)
            sae_lm_panel_drop(panel, first + i, m);
    }
    if (panel->copy == NULL)
        sae_lm_panel_drop(panel, first, n);
    return scratch;
}

void sae_lm_multiply(const struct sae_lm_run *run, float *y, size_t ld_y, const float *x, size_t ld_x,
                     const void *W, size_t n, size_t n_out, size_t n_in)
{
    if (run->gemm == NULL) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)n, (blasint)n_out,
                    (blasint)n_in, 1.0F, x, (blasint)ld_x, W, (blasint)n_in, 0.0F, y, (blasint)ld_y);
        return;
    }
    const void *from = x;
    if (run->gemm->factors != NULL) {
        char *const factors = run->factors + (size_t)omp_get_thread_num() * run->factor_scratch;
        run->gemm->factors(n, n_in, x, ld_x, factors);
        from = factors;
        ld_x = n_in;
    }
    run->gemm->product(n, n_out, n_in, from, ld_x, W, y, ld_y);
}

/* --- one layer ------------------------------------------------------------------------------ */

/* Panels of one layer, fetched. */
struct weights {
    const struct sae_lm_layer *layer;
    const void *qkv, *out, *gate_up, *down;
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
static void project_block(struct sae_lm_run *run, const struct sae_lm_batch *b,
                          const struct weights *w, size_t first, size_t m, float *h)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t D = c->D, ld = w->layer->qkv.n_rows;
    float *qkv = run->qkv + first * ld;
    for (size_t i = 0; i < m; i++)
        sae_lm_row_norm(c->norm, h + i * D, run->x + (first + i) * D,
                        w->layer->norms[SAE_LM_NORM_IN], D, c->norm_eps);
    sae_lm_multiply(run, qkv, ld, h, D, w->qkv, m, ld, D);
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
    sae_lm_multiply(run, gu, ld, h, D, w->gate_up, m, ld, D);
    add_bias(gu, w->layer->gate_up.bias, m, ld);
    for (size_t i = 0; i < m; i++)
        sae_lm_row_act(c->act, gu + i * ld, c->gated ? gu + i * ld + F : NULL, F);
    sae_lm_multiply(run, a, D, gu, ld, w->down, m, D, F);
    add_bias(a, w->layer->down.bias, m, D);
}

/* --- hooks ---------------------------------------------------------------------------------- */

/* Rows [first, first + m) of one place, x its first, to the hooks that are there; w: of a norm that
 * comes before, or NULL. */
static void keep(const struct sae_lm_run *run, const struct sae_lm_route *route,
                 enum sae_point point, size_t layer, size_t first, size_t m, const float *x,
                 const float *w)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t width = sae_lm_width(c, point);
    for (size_t k = 0; k < route->n_hooks; k++) {
        float *const to = sae_lm_route_wants(route, k, point, layer);
        if (to == NULL)
            continue;
        for (size_t i = 0; i < m; i++)
            if (w != NULL)
                sae_lm_row_norm(c->norm, to + (first + i) * width, x + i * width, w, width,
                                c->norm_eps);
            else
                memcpy(to + (first + i) * width, x + i * width, width * sizeof *to);
    }
}

void sae_lm_run_keep(const struct sae_lm_run *run, const struct sae_lm_route *route, size_t n)
{
    keep(run, route, SAE_RESID_PRE, 0, 0, n, run->x, NULL);
}

/* x += the rows from `first` on of what is put in at a branch. */
static void add_given(const struct sae_lm_run *run, const float *given, size_t first, size_t m)
{
    const size_t D = run->model->config.D;
    float *x = run->x + first * D;
    for (size_t i = 0; i < m * D; i++)
        x[i] += given[first * D + i];
}

/* --- the rest of a layer -------------------------------------------------------------------- */

/* Part of a pass: rows [first, first + m) of one layer. */
struct block {
    const struct sae_lm_route *route;
    const struct weights *w;
    size_t layer, first, m;
};

/* The MLP's norm of the stream, to h [m][D]. */
static void norm_rows(const struct sae_lm_run *run, const struct block *b, float *h)
{
    const struct sae_lm_config *c = &run->model->config;
    const float *const x = run->x + b->first * c->D;
    for (size_t i = 0; i < b->m; i++)
        sae_lm_row_norm(c->norm, h + i * c->D, x + i * c->D, b->w->layer->norms[SAE_LM_NORM_PRE_FF],
                        c->D, c->norm_eps);
}

/* Adds a [m][D] to the stream, by way of a norm where the family has one after the branch. */
static void join_rows(const struct sae_lm_run *run, const struct block *b, const float *a,
                      enum sae_lm_norm_at norm)
{
    const struct sae_lm_config *c = &run->model->config;
    float *const x = run->x + b->first * c->D;
    for (size_t i = 0; i < b->m; i++)
        sae_lm_row_join(c->norm, x + i * c->D, a + i * c->D, b->w->layer->norms[norm], c->D,
                        c->norm_eps);
}

/* Attention's output product, added to the stream; a [m][D]. */
static void finish_attention(const struct sae_lm_run *run, const struct block *b, unsigned parts,
                             float *a)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t D = c->D, hd = c->H * c->head_dim;
    const float *const given = sae_lm_route_given(b->route, SAE_ATTN_OUT, b->layer);
    if (given != NULL)
        add_given(run, given, b->first, b->m);
    if ((parts & SAE_PART_ATTN_OUT) == 0)
        return;
    sae_lm_multiply(run, a, D, run->o + b->first * hd, hd, b->w->out, b->m, D, hd);
    add_bias(a, b->w->layer->out.bias, b->m, D);
    keep(run, b->route, SAE_ATTN_OUT, b->layer, b->first, b->m, a,
         b->w->layer->norms[SAE_LM_NORM_POST_ATTN]);
    join_rows(run, b, a, SAE_LM_NORM_POST_ATTN);
    keep(run, b->route, SAE_RESID_MID, b->layer, b->first, b->m, run->x + b->first * D, NULL);
}

/* The MLP of h, added to the stream. */
static void finish_mlp(const struct sae_lm_run *run, const struct block *b, const float *h,
                       float *gu, float *a)
{
    const struct sae_lm_config *c = &run->model->config;
    const float *const given = sae_lm_route_given(b->route, SAE_MLP_IN, b->layer);
    feed_forward(run, b->w, b->m, given != NULL ? given + b->first * c->D : h, gu, a);
    keep(run, b->route, SAE_MLP_OUT, b->layer, b->first, b->m, a,
         b->w->layer->norms[SAE_LM_NORM_POST_FF]);
    join_rows(run, b, a, SAE_LM_NORM_POST_FF);
    keep(run, b->route, SAE_RESID_POST, b->layer, b->first, b->m, run->x + b->first * c->D, NULL);
}

/* All after the heads. With a parallel residual the MLP's norm reads the stream before attention's
 * is added. `scratch` holds h [m][D], a [m][D] and the MLP's first product. */
static void finish_block(const struct sae_lm_run *run, const struct block *b, float *scratch)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t hd = c->H * c->head_dim;
    const unsigned parts = sae_lm_route_parts(b->route, b->layer);
    float *h = scratch, *a = h + b->m * c->D, *gu = a + b->m * c->D;
    const float *const given = sae_lm_route_given(b->route, SAE_MLP_OUT, b->layer);
    keep(run, b->route, SAE_ATTN_Z, b->layer, b->first, b->m, run->o + b->first * hd, NULL);
    if (c->parallel && (parts & SAE_PART_MLP_IN))
        norm_rows(run, b, h);
    finish_attention(run, b, parts, a);
    if (!c->parallel && (parts & SAE_PART_MLP_IN))
        norm_rows(run, b, h);
    if (parts & SAE_PART_MLP_IN)
        keep(run, b->route, SAE_MLP_IN, b->layer, b->first, b->m, h, NULL);
    if (parts & SAE_PART_MLP)
        finish_mlp(run, b, h, gu, a);
    else if (given != NULL)
        add_given(run, given, b->first, b->m);
}

/* --- heads ---------------------------------------------------------------------------------- */

/* Attention i of a batch: sequence i / H, head i % H. */
static void attend_one(struct sae_lm_run *run, const struct sae_lm_batch *b, size_t layer, size_t i,
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

static float *attend_scratch(const struct sae_lm_run *run)
{
    return run->attend + (size_t)omp_get_thread_num() * run->head_scratch;
}

/* --- all layers ----------------------------------------------------------------------------- */

/* Rows of a block: as few blocks as fit, each thread as many as the others, whole tiles. A row's
 * numbers do not depend on it (gemm.h). */
static size_t rows_of_block(const struct sae_lm_run *run, size_t n)
{
    const size_t threads = (size_t)sae_lm_run_threads(run);
    const size_t rounds = (n + threads * run->block - 1) / (threads * run->block);
    const size_t even = (n + threads * rounds - 1) / (threads * rounds);
    return min_size(run->block, (even + SAE_GEMM_ROWS - 1) / SAE_GEMM_ROWS * SAE_GEMM_ROWS);
}

/* Large model: the heads of one layer over all tokens. */
static void run_heads(struct sae_lm_run *run, const struct sae_lm_batch *b, struct weights *w)
{
    const int threads = sae_lm_run_threads(run);
    const size_t block = rows_of_block(run, b->n), n_blocks = (b->n + block - 1) / block;
    const size_t layer = (size_t)(w->layer - run->model->layers);
    w->qkv = sae_lm_run_fetch(run, &w->layer->qkv, 0, w->layer->qkv.n_rows, run->panels);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (size_t i = 0; i < n_blocks; i++)
        if (!sae_lm_run_stops(run))
            project_block(run, b, w, i * block, min_size(block, b->n - i * block),
                          block_scratch(run));
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (size_t i = 0; i < b->B * run->model->config.H; i++)
        if (!sae_lm_run_stops(run))
            attend_one(run, b, layer, i, attend_scratch(run));
}

/* A panel where its part runs; *at moves behind it. */
static const void *fetch_part(const struct sae_lm_run *run, const struct sae_lm_panel *panel,
                              bool runs, char **at)
{
    if (!runs)
        return NULL;
    const void *const rows = sae_lm_run_fetch(run, panel, 0, panel->n_rows, *at);
    *at += sae_lm_packed_size(run, panel->n_rows, panel->n_cols);
    return rows;
}

/* Large model: one layer over all tokens. */
static void run_layer(struct sae_lm_run *run, const struct sae_lm_batch *b,
                      const struct sae_lm_route *route, size_t layer)
{
    struct weights w = {.layer = &run->model->layers[layer]};
    const int threads = sae_lm_run_threads(run);
    const unsigned parts = sae_lm_route_parts(route, layer);
    const size_t block = rows_of_block(run, b->n), n_blocks = (b->n + block - 1) / block;
    if (parts & SAE_PART_HEADS)
        run_heads(run, b, &w);
    if (sae_lm_run_stops(run))
        return;
    char *at = run->panels;
    w.out = fetch_part(run, &w.layer->out, (parts & SAE_PART_ATTN_OUT) != 0, &at);
    w.gate_up = fetch_part(run, &w.layer->gate_up, (parts & SAE_PART_MLP) != 0, &at);
    w.down = fetch_part(run, &w.layer->down, (parts & SAE_PART_MLP) != 0, &at);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (size_t i = 0; i < n_blocks; i++) {
        const struct block part = {route, &w, layer, i * block, min_size(block, b->n - i * block)};
        if (!sae_lm_run_stops(run))
            finish_block(run, &part, block_scratch(run));
    }
}

/* Small model: sequences [seq, seq + n_seq) through all layers, by one thread. */
static void run_group(struct sae_lm_run *run, const struct sae_lm_batch *b,
                      const struct sae_lm_route *route, size_t seq, size_t n_seq)
{
    const size_t H = run->model->config.H, block = run->block;
    const size_t row = seq * b->T, row_end = row + n_seq * b->T;
    float *const scratch = block_scratch(run), *const attend = attend_scratch(run);
    for (size_t i = route->first; i < route->end; i++) {
        const struct sae_lm_layer *layer = &run->model->layers[i];
        const struct weights w = {layer, layer->qkv.copy, layer->out.copy, layer->gate_up.copy,
                                  layer->down.copy};
        const bool heads = (sae_lm_route_parts(route, i) & SAE_PART_HEADS) != 0;
        for (size_t r = row; r < row_end && heads; r += block)
            project_block(run, b, &w, r, min_size(block, row_end - r), scratch);
        for (size_t k = seq * H; k < (seq + n_seq) * H && heads; k++)
            attend_one(run, b, i, k, attend);
        for (size_t r = row; r < row_end; r += block) {
            const struct block part = {route, &w, i, r, min_size(block, row_end - r)};
            finish_block(run, &part, scratch);
        }
    }
}

void sae_lm_run_layers(struct sae_lm_run *run, const struct sae_lm_batch *b,
                       const struct sae_lm_route *route)
{
    const int blas_threads = sae_lm_hold_blas(), threads = sae_lm_run_threads(run);
    if (run->gemm == NULL) {
        const size_t step = max_size(1, run->block / b->T);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (size_t seq = 0; seq < b->B; seq += step)
            if (!sae_lm_run_stops(run))
                run_group(run, b, route, seq, min_size(step, b->B - seq));
    } else {
        for (size_t i = route->first; i < route->end && !sae_lm_run_stops(run); i++)
            run_layer(run, b, route, i);
    }
    sae_lm_release_blas(blas_threads);
}
