/* SPDX-License-Identifier: MIT */
/* model : weights, and inference on any backend.
 *
 * What an architecture makes of the pre-activations is in its row, arch.c.
 * The dense pre-activations are formed for as many tokens at a time as SCRATCH_BYTES hold.
 *
 * Contents: 1. weights   2. coder   3. norms   4. encode   5. decode */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/sae/coder_inner.h"

/* --- 1. weights --------------------------------------------------------------------------- */

static const char *const norm_names[SAE_NORM_N] = {"none", "constant_norm_rescale", "layer_norm"};

const char *sae_norm_name(enum sae_norm norm)
{
    return (unsigned)norm < SAE_NORM_N ? norm_names[norm] : "unknown";
}

bool sae_norm_parse(const char *name, enum sae_norm *ret)
{
    for (int n = 0; n < SAE_NORM_N; n++) {
        if (strcmp(name, norm_names[n]) == 0) {
            *ret = (enum sae_norm)n;
            return true;
        }
    }
    return false;
}

enum sae_status sae_model_alloc(struct sae_model *ret, enum sae_arch arch, size_t d, size_t m,
                                size_t k, struct sae_err *err)
{
    const struct sae_arch_desc *const desc = sae_arch_desc(arch);
    struct sae_model model = {
        .arch = arch, .d = d, .m = m, .k = k, .subtract_b_dec = desc->subtracts};
    enum sae_status st = SAE_OK;
    if (d > 0 && m > SIZE_MAX / d)
        return sae_err_set(err, SAE_ENOMEM, "no memory for a model of %zu x %zu", m, d);
    for (size_t i = 0; st == SAE_OK && i < SAE_WEIGHTS; i++)
        if (desc->weights >> i & 1)
            st = sae_mem_alloc(sae_weight_of(&model, &sae_weights[i]),
                               sae_weight_size(&model, &sae_weights[i]), sizeof(float), err);
    if (st == SAE_OK)
        *ret = model;
    else
        sae_model_clear(&model);
    return st;
}

void sae_model_clear(struct sae_model *model)
{
    if (!model)
        return;
    for (size_t i = 0; i < SAE_WEIGHTS; i++)
        free(*sae_weight_of(model, &sae_weights[i]));
    *model = (struct sae_model){0};
}

/* --- 2. coder ----------------------------------------------------------------------------- */

#define SCRATCH_BYTES ((size_t)256 << 20)

/* The backend's copy of a weight array; NULL for NULL. */
static enum sae_status place(float **ret, const struct sae_ops *ops, float *host, size_t n,
                             struct sae_err *err)
{
    if (!host || ops->host) {
        *ret = host;
        return SAE_OK;
    }
    SAE_TRY(ops->alloc(ret, n, sizeof(float), err));
    ops->put(*ret, host, n * sizeof(float));
    return SAE_OK;
}

static enum sae_status place_weights(struct sae_coder *c, struct sae_err *err)
{
    struct sae_model from = *c->model;
    for (size_t i = 0; i < SAE_WEIGHTS; i++)
        SAE_TRY(place(sae_weight_of(&c->w, &sae_weights[i]), c->ops,
                      *sae_weight_of(&from, &sae_weights[i]),
                      sae_weight_size(&from, &sae_weights[i]), err));
    return SAE_OK;
}

/* Entries of a token to begin with; only for top-k is it a promise. */
static size_t kept_per_token(const struct sae_model *s)
{
    const size_t k = s->k > 0 ? s->k : 64;
    return k < s->m ? k : s->m;
}

static enum sae_status make_scratch(struct sae_coder *c, struct sae_err *err)
{
    const size_t m = c->model->m, d = c->model->d, n = c->chunk;
    const size_t k = kept_per_token(c->model);
    const size_t n_dense = c->arch->n_dense;
    SAE_TRY(c->ops->alloc(&c->pre, n * m, sizeof(float), err));
    SAE_TRY(c->ops->alloc(&c->xc, n * d, sizeof(float), err));
    SAE_TRY(sae_csr_alloc(&c->part, c->ops, n, n * k, err));
    SAE_TRY(sae_csr_alloc(&c->host, &sae_ops_cpu, c->n_max, c->n_max * k, err));
    if (n_dense > 0) {
        SAE_TRY(c->ops->alloc(&c->dense, n_dense * n * m, sizeof(float), err));
        SAE_TRY(c->ops->alloc(&c->zero, m, sizeof(float), err));
        SAE_TRY(c->ops->alloc(&c->sums, 2, sizeof *c->sums, err));
    }
    if (c->model->norm != SAE_NORM_NONE) {
        SAE_TRY(sae_mem_alloc(&c->xn, n, d * sizeof(float), err));
        SAE_TRY(sae_mem_alloc(&c->row_size, c->n_max, sizeof(double), err));
        SAE_TRY(sae_mem_alloc(&c->row_mean, c->n_max, sizeof(double), err));
    }
    if (c->ops->host)
        return SAE_OK;
    SAE_TRY(c->ops->alloc(&c->x, n * d, sizeof(float), err));
    SAE_TRY(c->ops->alloc(&c->xhat, n * d, sizeof(float), err));
    return sae_mem_alloc(&c->start, n + 1, sizeof *c->start, err);
}

static size_t chunk_of(const struct sae_model *model, size_t n_max)
{
    const size_t fit =
        SCRATCH_BYTES / (model->m * sizeof(float) * (1 + sae_arch_desc(model->arch)->n_dense));
    return fit < 1 ? 1 : fit < n_max ? fit : n_max;
}

double sae_coder_bytes(const struct sae_model *model, size_t n_max)
{
    const double m = (double)model->m, d = (double)model->d, n = (double)chunk_of(model, n_max),
                 all = (double)n_max, k = (double)kept_per_token(model);
    double bytes = 4 * n * (m + d) + 8 * (n + all) * (k + 1);
    bytes += 4 * (double)sae_arch_desc(model->arch)->n_dense * n * m;
    return model->norm == SAE_NORM_NONE ? bytes : bytes + 4 * n * d + 16 * all;
}

enum sae_status sae_coder_open(struct sae_coder **ret, const struct sae_model *model,
                               const struct sae_ops *ops, size_t n_max, struct sae_err *err)
{
    struct sae_coder *c = NULL;
    enum sae_status st;
    if (n_max == 0 || model->m == 0 || model->d == 0)
        return sae_err_set(err, SAE_EARG,
                           "cannot encode %zu tokens of width %zu with %zu latents; each must be "
                           "at least 1",
                           n_max, model->d, model->m);
    SAE_TRY(sae_mem_alloc(&c, 1, sizeof *c, err));
    c->model = model;
    c->arch = sae_arch_desc(model->arch);
    c->w = (struct sae_model){.d = model->d, .m = model->m};
    c->ops = ops;
    c->n_max = n_max;
    c->chunk = chunk_of(model, n_max);
    SAE_GO(st, place_weights(c, err));
    SAE_GO(st, make_scratch(c, err));
    *ret = c;
    c = NULL;
done:
    sae_coder_close(c);
    return st;
}

void sae_coder_close(struct sae_coder *c)
{
    if (!c)
        return;
    for (size_t i = 0; !c->ops->host && i < SAE_WEIGHTS; i++)
        c->ops->free(*sae_weight_of(&c->w, &sae_weights[i]));
    c->ops->free(c->dense);
    c->ops->free(c->zero);
    c->ops->free(c->sums);
    c->ops->free(c->x);
    c->ops->free(c->xc);
    c->ops->free(c->pre);
    c->ops->free(c->xhat);
    sae_csr_free(&c->part, c->ops);
    sae_csr_free(&c->host, &sae_ops_cpu);
    free(c->start);
    free(c->xn);
    free(c->row_size);
    free(c->row_mean);
    free(c);
}

/* --- 3. norms ----------------------------------------------------------------------------- */

/* Row by row, in double; x [n][d] -> c->xn, with the row's size (and mean) kept for decode. */
static void normalise(struct sae_coder *c, const float *x, size_t t0, size_t n)
{
    const size_t d = c->model->d;
    const bool layer = c->model->norm == SAE_NORM_LAYER;
#pragma omp parallel for
    for (size_t t = 0; t < n; t++) {
        const float *const from = x + t * d;
        float *const to = c->xn + t * d;
        double mean = 0, sum = 0;
        for (size_t i = 0; layer && i < d; i++)
            mean += (double)from[i] / (double)d;
        for (size_t i = 0; i < d; i++)
            sum += ((double)from[i] - mean) * ((double)from[i] - mean);
        const double size = sqrt(sum / (double)(layer && d > 1 ? d - 1 : d));
        const double over = layer ? size + 1e-5 : size > 0 ? size : 1;
        for (size_t i = 0; i < d; i++)
            to[i] = (float)(((double)from[i] - mean) / over);
        c->row_size[t0 + t] = size;
        c->row_mean[t0 + t] = mean;
    }
}

static void denormalise(const struct sae_coder *c, size_t n, float *xhat)
{
    const size_t d = c->model->d;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < d; i++)
            xhat[t * d + i] =
                (float)((double)xhat[t * d + i] * c->row_size[t] + c->row_mean[t]);
}

/* --- 4. encode ---------------------------------------------------------------------------- */

/* Room for n entries in what encode returns; keeps those there. */
static enum sae_status host_scratch(struct sae_coder *c, size_t n, struct sae_err *err)
{
    size_t cap_idx = c->host.cap, cap_val = c->host.cap;
    SAE_TRY(sae_mem_grow(&c->host.idx, &cap_idx, n, sizeof *c->host.idx, err));
    SAE_TRY(sae_mem_grow(&c->host.val, &cap_val, n, sizeof *c->host.val, err));
    c->host.cap = cap_idx < cap_val ? cap_idx : cap_val;
    return SAE_OK;
}

enum sae_status sae_coder_keep(struct sae_coder *c, size_t n, const float *pre, const float *b,
                               const float *theta, struct sae_err *err)
{
    const size_t m = c->model->m;
    size_t nnz = 0;
    c->ops->threshold(n, m, pre, b, theta, &c->part, &nnz);
    if (nnz <= c->part.cap)
        return SAE_OK;
    struct sae_csr more;
    SAE_TRY(sae_csr_alloc(&more, c->ops, c->chunk, nnz, err));
    sae_csr_free(&c->part, c->ops);
    c->part = more;
    c->ops->threshold(n, m, pre, b, theta, &c->part, &nnz);
    return SAE_OK;
}

/* Appends c->part as rows [t0, t0 + n). */
static enum sae_status append_part(struct sae_coder *c, size_t t0, size_t n, struct sae_err *err)
{
    size_t *const start = c->host.start + t0;
    const size_t before = start[0];
    c->ops->get(start, c->part.start, (n + 1) * sizeof *start);
    const size_t nnz = start[n];
    for (size_t t = 0; t <= n; t++)
        start[t] += before;
    SAE_TRY(host_scratch(c, before + nnz, err));
    c->ops->get(c->host.idx + before, c->part.idx, nnz * sizeof *c->host.idx);
    c->ops->get(c->host.val + before, c->part.val, nnz * sizeof *c->host.val);
    return SAE_OK;
}

static enum sae_status encode_chunk(struct sae_coder *c, const float *x, size_t t0, size_t n,
                                    struct sae_err *err)
{
    const struct sae_model *const s = c->model;
    const float *in = c->x;
    if (s->norm != SAE_NORM_NONE) {
        normalise(c, x, t0, n);
        x = c->xn;
    }
    if (c->ops->host)
        in = x;
    else
        c->ops->put(c->x, x, n * s->d * sizeof *x);
    if (s->subtract_b_dec) {
        c->ops->center(n, s->d, in, c->w.b_dec, c->xc);
        in = c->xc;
    }
    c->ops->gemm(false, true, n, s->m, s->d, 1, in, s->d, c->w.W_enc, s->d, 0, c->pre, s->m);
    SAE_TRY(c->arch->activate(c, n, err));
    return append_part(c, t0, n, err);
}

enum sae_status sae_coder_encode(struct sae_coder *c, const float *x, size_t n,
                                 const struct sae_csr **ret_f, struct sae_err *err)
{
    const struct sae_model *const s = c->model;
    if (n > c->n_max)
        return sae_err_set(err, SAE_EARG, "%zu tokens at once, but the coder was made for %zu", n,
                           c->n_max);
    c->host.n = n;
    c->host.start[0] = 0;
    for (size_t t = 0; t < n; t += c->chunk)
        SAE_TRY(encode_chunk(c, x + t * s->d, t, n - t < c->chunk ? n - t : c->chunk, err));
    *ret_f = &c->host;
    return SAE_OK;
}

/* --- 5. decode ---------------------------------------------------------------------------- */

static enum sae_status put_rows(struct sae_coder *c, const struct sae_csr *f, size_t t0, size_t n,
                                struct sae_err *err)
{
    const size_t first = f->start[t0], nnz = f->start[t0 + n] - first;
    if (nnz > c->part.cap) {
        struct sae_csr more;
        SAE_TRY(sae_csr_alloc(&more, c->ops, c->chunk, nnz, err));
        sae_csr_free(&c->part, c->ops);
        c->part = more;
    }
    for (size_t t = 0; t <= n; t++)
        c->start[t] = f->start[t0 + t] - first;
    c->part.n = n;
    c->ops->put(c->part.start, c->start, (n + 1) * sizeof *c->start);
    c->ops->put(c->part.idx, f->idx + first, nnz * sizeof *f->idx);
    c->ops->put(c->part.val, f->val + first, nnz * sizeof *f->val);
    return SAE_OK;
}

enum sae_status sae_coder_decode(struct sae_coder *c, const struct sae_csr *f, float *xhat,
                                 struct sae_err *err)
{
    const size_t d = c->model->d;
    const bool has_norm = c->model->norm != SAE_NORM_NONE;
    if (has_norm && f->n > c->host.n)
        return sae_err_set(err, SAE_EARG, "%zu rows to decode, but the last encode had %zu", f->n,
                           c->host.n);
    if (c->ops->host) {
        c->ops->decode(d, f, c->w.W_dec, c->w.b_dec, xhat);
        if (has_norm)
            denormalise(c, f->n, xhat);
        return SAE_OK;
    }
    for (size_t t = 0; t < f->n; t += c->chunk) {
        const size_t n = f->n - t < c->chunk ? f->n - t : c->chunk;
        SAE_TRY(put_rows(c, f, t, n, err));
        c->ops->decode(d, &c->part, c->w.W_dec, c->w.b_dec, c->xhat);
        c->ops->get(xhat + t * d, c->xhat, n * d * sizeof *xhat);
    }
    if (has_norm)
        denormalise(c, f->n, xhat);
    return SAE_OK;
}
