/* SPDX-License-Identifier: MIT */
/* forward : a pass over a batch: embedding, layers (layers.c), final norm, logits. */
#include <omp.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lm/device.h"
#include "lm/rope.h"
#include "lm/rows.h"
#include "lm/run.h"

enum {
    BLOCK_SMALL = 128, /* rows of a block; the working set of a small model stays in cache */
    BLOCK_LARGE = 85 * SAE_GEMM_ROWS, /* a block and one of the weights fit the caches */
    GROUP_MAX = 1 << 20, /* weights of a layer of a small model: 4 MB */
    HEAD_ROWS = 32768, /* vocabulary rows converted at a time */
    TILE_ROWS = 256,   /* tile of logits: rows by words */
    TILE_WORDS = 2048
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

static size_t packed_size(const struct sae_lm_run *run, const struct sae_lm_panel *panel)
{
    return sae_lm_packed_size(run, panel->n_rows, panel->n_cols);
}

static size_t panel_bytes(const struct sae_lm_run *run)
{
    const struct sae_lm_layer *layer = &run->model->layers[0];
    const struct sae_lm_config *c = &run->model->config;
    const size_t second =
        packed_size(run, &layer->out) + packed_size(run, &layer->gate_up) + packed_size(run, &layer->down);
    const size_t head = sae_lm_packed_size(run, min_size(HEAD_ROWS, c->V), c->D);
    return max_size(max_size(packed_size(run, &layer->qkv), second), head) + SAE_GEMM_ALIGN;
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
    SAE_TRY(sae_mem_alloc(&run->panel_memory, run->panel_bytes, 1, err));
    run->panels = run->panel_memory + (SAE_GEMM_ALIGN - (uintptr_t)run->panel_memory % SAE_GEMM_ALIGN);
    SAE_TRY(sae_mem_alloc(&run->factors, run->n_threads, run->factor_scratch, err));
    SAE_TRY(sae_mem_alloc(&run->attend, run->n_threads, run->head_scratch * f, err));
    return sae_mem_alloc(&run->blocks, run->n_threads, run->block_scratch * f, err);
}

/* Whether a model's weights are copies of which a layer stays in cache beside a block of rows. */
static bool goes_by_groups(const struct sae_lm *m)
{
    const struct sae_lm_layer *y = &m->layers[0];
    const struct sae_lm_panel *const all[] = {&y->qkv, &y->out, &y->gate_up, &y->down};
    size_t size = 0;
    for (size_t i = 0; i < 4; i++)
        size += all[i]->n_rows * all[i]->n_cols;
    return m->embed.copy != NULL && size <= GROUP_MAX;
}

void sae_lm_run_size(struct sae_lm_run *run, const struct sae_lm *model, size_t n_max, size_t T_max)
{
    const struct sae_lm_config *c = &model->config;
    const size_t widest = max_size(max_size(c->D, c->F), c->H * c->head_dim);
    run->model = model;
    run->n_max = n_max;
    run->T_max = T_max;
    run->n_threads = max_size(1, (size_t)omp_get_max_threads());
    run->gemm = model->gemm;
    if (run->gemm == NULL && !goes_by_groups(model))
        run->gemm = sae_gemm_find(SAE_F32);
    run->block = min_size(n_max, run->gemm == NULL ? BLOCK_SMALL : BLOCK_LARGE);
    /* Rounded to a cache line, so that threads share none. */
    run->head_scratch = (sae_lm_head_scratch(T_max, c->head_dim) + 15) / 16 * 16;
    run->block_scratch =
        max_size(run->block * (2 * c->D + sae_lm_mlp_cols(c)), SAE_GEMM_COLUMNS * widest) + 15;
    run->block_scratch -= run->block_scratch % 16;
    if (run->gemm != NULL && run->gemm->factors != NULL)
        run->factor_scratch = max_size(run->block, TILE_ROWS) * widest * run->gemm->factor;
    run->panel_bytes = panel_bytes(run);
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
    sae_lm_run_size(run, model, n_max, T_max);
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
    void *const all[] = {run->x,      run->y,      run->qkv,     run->o,     run->panel_memory,
                         run->attend, run->blocks, run->cosines, run->sines, run->factors};
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

static enum sae_status check_stop(const struct sae_lm_run *run, struct sae_err *err)
{
    return sae_lm_run_stops(run) ? sae_err_set(err, SAE_EINTR, "stopped within a batch") : SAE_OK;
}

/* --- tap, resume, logits -------------------------------------------------------------------- */

static enum sae_status check_batch(const struct sae_lm_run *run, struct sae_lm_batch *b,
                                   struct sae_err *err)
{
    if (b->B == 0 || b->T == 0 || b->T > run->T_max || b->B > run->n_max / b->T)
        return sae_err_set(err, SAE_ERANGE,
                           "a batch of %zu sequences of %zu tokens; this run takes sequences of 1 "
                           "to %zu, at most %zu tokens in all",
                           b->B, b->T, run->T_max, run->n_max);
    b->n = b->B * b->T;
    return SAE_OK;
}

static enum sae_status check_layer(const struct sae_lm_run *run, struct sae_hook hook,
                                   struct sae_err *err)
{
    if (hook.layer < run->model->config.L)
        return SAE_OK;
    return sae_err_set(err, SAE_ERANGE, "layer %zu, but the model has layers 0 to %zu", hook.layer,
                       run->model->config.L - 1);
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
static void embed(struct sae_lm_run *run, const uint32_t *ids, const struct sae_lm_batch *b)
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
    if (run->model->embed.copy == NULL)
        sae_lm_panel_drop(&run->model->embed, 0, run->model->embed.n_rows);
}

enum sae_status sae_lm_tap_all(struct sae_lm_run *run, const uint32_t *ids, size_t B, size_t T,
                               const struct sae_hook *hooks, size_t n_hooks, float *const *x,
                               struct sae_err *err)
{
    struct sae_lm_batch b = {B, T, 0};
    SAE_TRY(check_batch(run, &b, err));
    for (size_t i = 0; i < n_hooks; i++)
        SAE_TRY(check_layer(run, hooks[i], err));
    SAE_TRY(check_ids(run, ids, b.n, err));
    const struct sae_lm_route route = sae_lm_route_to(&run->model->config, hooks, n_hooks, x);
    if (run->pass != NULL)
        return sae_lm_pass_tap(run->pass, ids, B, T, &route, err);
    embed(run, ids, &b);
    sae_lm_run_keep(run, &route, b.n);
    sae_lm_run_layers(run, &b, &route);
    return check_stop(run, err);
}

enum sae_status sae_lm_tap(struct sae_lm_run *run, const uint32_t *ids, size_t B, size_t T,
                           struct sae_hook hook, float *x, struct sae_err *err)
{
    return sae_lm_tap_all(run, ids, B, T, &hook, 1, &x, err);
}

enum sae_status sae_lm_resume(struct sae_lm_run *run, const float *x, const float *beside, size_t B,
                              size_t T, struct sae_hook hook, struct sae_err *err)
{
    struct sae_lm_batch b = {B, T, 0};
    struct sae_hook stream;
    const struct sae_lm_config *c = &run->model->config;
    SAE_TRY(check_batch(run, &b, err));
    SAE_TRY(sae_lm_check_hook(run->model, hook, err));
    const bool branch = sae_lm_beside(&stream, hook);
    const struct sae_lm_route route = sae_lm_route_from(c, hook, x);
    if (run->pass != NULL) {
        SAE_TRY(sae_lm_pass_resume(run->pass, branch ? beside : x, B, T, &route, err));
        run->n_done = b.n;
        return SAE_OK;
    }
    memcpy(run->x, branch ? beside : x, b.n * c->D * sizeof *x);
    if (hook.point == SAE_ATTN_Z)
        memcpy(run->o, x, b.n * sae_lm_width(c, SAE_ATTN_Z) * sizeof *x);
    sae_lm_run_layers(run, &b, &route);
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
static void head_tile(const struct sae_lm_run *run, const float *y, const void *E, float *logits,
                      size_t n_rows, size_t n_words)
{
    const struct sae_lm_config *c = &run->model->config;
    sae_lm_multiply(run, logits, c->V, y, c->D, E, n_rows, n_words, c->D);
    for (size_t i = 0; i < n_rows && c->final_cap > 0; i++)
        sae_lm_row_cap(logits + i * c->V, n_words, (float)c->final_cap);
}

/* Logits of n final-normed rows y [n][D]. */
static void run_head(struct sae_lm_run *run, const float *y, size_t n, float *logits)
{
    const struct sae_lm_config *c = &run->model->config;
    const size_t D = c->D, V = c->V;
    const size_t step = run->gemm == NULL ? V : min_size(HEAD_ROWS, V);
    const int blas_threads = sae_lm_hold_blas(), threads = sae_lm_run_threads(run);
    for (size_t v = 0; v < V && n > 0 && !sae_lm_run_stops(run); v += step) {
        const size_t m = min_size(step, V - v);
        const void *E = sae_lm_run_fetch(run, &run->model->head, v, m, run->panels);
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads)
        for (size_t row = 0; row < n; row += TILE_ROWS)
            for (size_t word = 0; word < m; word += TILE_WORDS)
                if (!sae_lm_run_stops(run))
                    head_tile(run, y + row * D, sae_lm_fetched_at(run, E, word, D),
                              logits + row * V + v + word, min_size(TILE_ROWS, n - row), min_size(TILE_WORDS, m - word));
    }
    sae_lm_release_blas(blas_threads);
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
