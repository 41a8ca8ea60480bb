/* SPDX-License-Identifier: MIT */
/* cpu_sparse : operations over the kept entries.
 *
 * An entry touches a whole row of W or of g, and all rows together are far larger than a cache.
 * So columns are taken in slices of 64: one slice of all rows lies packed in a cache, and what an
 * entry touches next is asked for ahead. Slices of 64 floats also fit four vector registers.
 *
 * A range of latents, of a nested dictionary's group, is a run of the entries of each token and of
 * the entries by latent; decode and the gradients are those of the range of all.
 *
 * Contents: 1. transpose   2. decode   3. gradients */
#include <stdlib.h>
#include <string.h>

#include "lib/math/cpu/cpu_slice.h"

enum { SMALL = 1 << 17 };     /* entries that are not worth waking a thread for */
enum { TILE_LATENTS = 1024 }; /* of the transpose; their cursors lie in the cache */

/* --- 1. transpose ------------------------------------------------------------------------- */

/* A counting sort; a thread owns a range of latents, which in each row is a run of
 * entries, so that no two threads write one counter and nothing is allocated. */

void sae_cpu_transpose(size_t m, const struct sae_csr *csr, struct sae_csc *csc)
{
    const size_t nnz = csr->start[csr->n];
    csc->m = m;
    memset(csc->start, 0, (m + 1) * sizeof *csc->start);
#pragma omp parallel for schedule(dynamic, 1) if (nnz > SMALL)
    for (size_t j0 = 0; j0 < m; j0 += TILE_LATENTS) {
        for (size_t t = 0; t < csr->n; t++) {
            const size_t end = csr->start[t + 1];
            for (size_t e = sae_cpu_first_from(csr->idx, csr->start[t], end, j0);
                 e < end && csr->idx[e] < j0 + TILE_LATENTS; e++)
                csc->start[csr->idx[e] + 1]++;
        }
    }
    for (size_t j = 0; j < m; j++)
        csc->start[j + 1] += csc->start[j];
        /* start[j] walks to the end of latent j while entries are placed, then is moved back */
#pragma omp parallel for schedule(dynamic, 1) if (nnz > SMALL)
    for (size_t j0 = 0; j0 < m; j0 += TILE_LATENTS) {
        for (size_t t = 0; t < csr->n; t++) {
            const size_t end = csr->start[t + 1];
            for (size_t e = sae_cpu_first_from(csr->idx, csr->start[t], end, j0);
                 e < end && csr->idx[e] < j0 + TILE_LATENTS; e++) {
                const size_t p = csc->start[csr->idx[e]]++;
                csc->row[p] = (uint32_t)t;
                csc->pos[p] = (uint32_t)e;
            }
        }
    }
    memmove(csc->start + 1, csc->start, m * sizeof *csc->start);
    csc->start[0] = 0;
}

/* --- 2. decode ---------------------------------------------------------------------------- */

struct decode_job {
    size_t d, first, end; /* latents [first, end) */
    bool whole;           /* which are all that the entries have */
    const struct sae_csr *csr;
    const float *base; /* [n][d], or [d] where step is 0; NULL means 0 */
    size_t step;
    float *xhat;
};

struct run {
    size_t e, n;
};

static struct run run_of(const struct decode_job *job, size_t t)
{
    const struct sae_csr *const csr = job->csr;
    const size_t end = csr->start[t + 1];
    if (job->whole)
        return (struct run){csr->start[t], end - csr->start[t]};
    const size_t e = sae_cpu_first_from(csr->idx, csr->start[t], end, job->first);
    return (struct run){e, sae_cpu_first_from(csr->idx, e, end, job->end) - e};
}

static void begin_row(const struct decode_job *job, size_t t, size_t i, size_t w)
{
    float *const out = job->xhat + t * job->d + i;
    const float *const base = job->base ? job->base + t * job->step + i : NULL;
    if (base != out)
        sae_cpu_fill(w, base, out);
}

static void decode_plain(const struct decode_job *job, const float *W_dec)
{
    const size_t d = job->d;
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t t = 0; t < job->csr->n; t++) {
        const struct run run = run_of(job, t);
        begin_row(job, t, 0, d);
        for (size_t e = run.e; e < run.e + run.n; e++)
            sae_cpu_axpy(d, job->csr->val[e], W_dec + job->csr->idx[e] * d, job->xhat + t * d);
    }
}

/* slice: of the rows from `first` on */
static void decode_slice(const void *user, size_t s, const float *slice, size_t t0, size_t t1)
{
    const struct decode_job *const job = user;
    const struct sae_csr *const csr = job->csr;
    const size_t d = job->d, i0 = s * SLICE, w = d - i0 < SLICE ? d - i0 : SLICE;
    for (size_t t = t0; t < t1; t++) {
        const struct run run = run_of(job, t);
        begin_row(job, t, i0, w);
        sae_cpu_add_slices(run.n, job->whole ? csr->start[csr->n] - run.e : run.n, csr->idx + run.e,
                           csr->val + run.e, slice - job->first * SLICE, w, job->xhat + t * d + i0);
    }
}

/* One more than the highest latent in use. */
static size_t highest(const struct sae_csr *csr)
{
    size_t m = 0;
    for (size_t t = 0; t < csr->n; t++)
        if (csr->start[t + 1] > csr->start[t] && csr->idx[csr->start[t + 1] - 1] >= m)
            m = (size_t)csr->idx[csr->start[t + 1] - 1] + 1;
    return m;
}

/* Both ways add a token's entries in the same order, so they give equal bits. */
static void decode_range(const struct decode_job *job, size_t nnz, const float *W_dec)
{
    enum { RUN = 16 };
    const size_t m = job->end - job->first, d = job->d;
    /* packing W pays where it does not fit the cache and each row is used a few times */
    if (m * d < CACHE_FLOATS || nnz < 3 * m ||
        !sae_cpu_by_slices(m, d, W_dec + job->first * d, job->csr->n, RUN, decode_slice, job))
        decode_plain(job, W_dec);
}

void sae_cpu_decode(size_t d, const struct sae_csr *csr, const float *W_dec, const float *b_dec,
                    float *xhat)
{
    const struct decode_job job = {d, 0, highest(csr), true, csr, b_dec, 0, xhat};
    decode_range(&job, csr->start[csr->n], W_dec);
}

void sae_cpu_decode_group(size_t d, const struct sae_csr *csr, size_t first, size_t end,
                          const float *W_dec, const float *base, float *xhat)
{
    const struct decode_job job = {d, first, end, false, csr, base, d, xhat};
    size_t nnz = 0;
    for (size_t t = 0; t < csr->n; t++)
        nnz += run_of(&job, t).n;
    decode_range(&job, nnz, W_dec);
}

/* --- 3. gradients ------------------------------------------------------------------------- */

/* Latent-major. The rows of g (or of x) are packed by slices once; a piece owns a
 * run of latents and takes slice after slice, 64 columns of all tokens in the cache at a time. */

enum { PIECES = 16 };

struct range {
    size_t first, end; /* latents */
    bool add;          /* to the gradients, whose other rows stay; else each row is written */
};

/* Runs of latents with about equal numbers of entries. */
static void cut_latents(struct range r, const struct sae_csc *csc, size_t cut[PIECES + 1])
{
    const size_t nnz = csc->start[r.end] - csc->start[r.first], m = r.end - r.first;
    size_t j = r.first;
    for (size_t p = 0; p < PIECES; p++) {
        cut[p] = j;
        /* an empty latent costs about as much as one entry */
        while (j < r.end && csc->start[j + 1] - csc->start[r.first] + j - r.first + 1 <=
                                (p + 1) * (nnz + m) / PIECES)
            j++;
    }
    cut[PIECES] = r.end;
}

struct grad_job {
    size_t n, d;
    struct range r;
    const struct sae_csc *csc;
    const float *weight; /* of each entry of the range, by latent */
    const float *rows;   /* packed [slices][n][SLICE] */
    const float *W;      /* [m][d], with dz: the other factor of the dots */
    float *dz;           /* as weight, or NULL */
    float *out;          /* [m][d] */
};

/* Columns [i0, i0 + w) of a latent's gradient. */
static void grad_latent(const struct grad_job *job, const float *rows, size_t j, size_t i0,
                        size_t w)
{
    const size_t *const start = job->csc->start;
    const size_t n = start[j + 1] - start[j], reach = start[job->r.end] - start[j];
    const size_t at = start[j] - start[job->r.first];
    const uint32_t *const row = job->csc->row + start[j];
    float sum[SLICE], *const out = job->out + j * job->d + i0, *const to = job->r.add ? sum : out;
    if (n == 0) {
        if (!job->r.add)
            memset(out, 0, w * sizeof *out);
        return;
    }
    if (job->dz)
        sae_cpu_dot_slices(n, reach, row, job->weight + at, rows, w, job->W + j * job->d + i0,
                           job->dz + at, to);
    else
        sae_cpu_sum_slices(n, reach, row, job->weight + at, rows, w, to);
    for (size_t i = 0; job->r.add && i < w; i++)
        out[i] += sum[i];
}

static void grad_piece(const struct grad_job *job, size_t j0, size_t j1)
{
    const size_t d = job->d;
    for (size_t s = 0; s < sae_cpu_slices(d); s++) {
        const size_t i0 = s * SLICE, w = d - i0 < SLICE ? d - i0 : SLICE;
        for (size_t j = j0; j < j1; j++)
            grad_latent(job, job->rows + s * job->n * SLICE, j, i0, w);
    }
}

static void run_pieces(const struct grad_job *job)
{
    size_t cut[PIECES + 1];
    cut_latents(job->r, job->csc, cut);
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t p = 0; p < PIECES; p++)
        grad_piece(job, cut[p], cut[p + 1]);
}

static void gather_by_latent(size_t nnz, const uint32_t *pos, const float *from, float *to)
{
#pragma omp parallel for schedule(static) if (nnz > SMALL)
    for (size_t p = 0; p < nnz; p++)
        to[p] = from[pos[p]];
}

static void grad_dec_plain(struct range r, size_t d, const struct sae_csr *csr,
                           const struct sae_csc *csc, const float *g, const float *W_dec, float *dz,
                           float *dW_dec)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t j = r.first; j < r.end; j++) {
        float *const out = dW_dec + j * d;
        if (!r.add)
            sae_cpu_fill(d, NULL, out);
        for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++) {
            const float *const row = g + csc->row[p] * d;
            dz[csc->pos[p]] = sae_cpu_dot(d, row, W_dec + j * d);
            sae_cpu_axpy(d, csr->val[csc->pos[p]], row, out);
        }
    }
}

static void grad_dec(struct range r, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                     const float *g, const float *W_dec, float *dz, float *dW_dec)
{
    const size_t n = csr->n, p0 = csc->start[r.first], nnz = csc->start[r.end] - p0;
    float *const rows = n * d < CACHE_FLOATS ? NULL : sae_cpu_pack_all(n, d, g);
    float *const both = rows ? sae_cpu_scratch(2 * nnz) : NULL;
    if (both) {
        float *const dz_by_latent = both + nnz;
        const struct grad_job job = {n, d, r, csc, both, rows, W_dec, dz_by_latent, dW_dec};
        gather_by_latent(nnz, csc->pos + p0, csr->val, both);
        memset(dz_by_latent, 0, nnz * sizeof *dz_by_latent);
        run_pieces(&job);
#pragma omp parallel for schedule(static) if (nnz > SMALL)
        for (size_t p = 0; p < nnz; p++)
            dz[csc->pos[p0 + p]] = dz_by_latent[p];
    } else {
        grad_dec_plain(r, d, csr, csc, g, W_dec, dz, dW_dec);
    }
    free(both);
    free(rows);
}

static void grad_enc_plain(struct range r, size_t d, const struct sae_csc *csc, const float *dz,
                           const float *xc, float *dW_enc)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t j = r.first; j < r.end; j++) {
        float *const out = dW_enc + j * d;
        if (!r.add)
            sae_cpu_fill(d, NULL, out);
        for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++)
            sae_cpu_axpy(d, dz[csc->pos[p]], xc + csc->row[p] * d, out);
    }
}

static void grad_bias(struct range r, const struct sae_csc *csc, const float *dz, float *db_enc)
{
#pragma omp parallel for schedule(dynamic, 64) if (csc->start[r.end] > SMALL)
    for (size_t j = r.first; j < r.end; j++) {
        double sum = r.add ? (double)db_enc[j] : 0;
        for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++)
            sum += dz[csc->pos[p]];
        db_enc[j] = (float)sum;
    }
}

static void grad_enc(struct range r, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                     const float *dz, const float *xc, float *dW_enc, float *db_enc)
{
    const size_t n = csr->n, p0 = csc->start[r.first], nnz = csc->start[r.end] - p0;
    grad_bias(r, csc, dz, db_enc);
    float *const rows = n * d < CACHE_FLOATS ? NULL : sae_cpu_pack_all(n, d, xc);
    float *const weight = rows ? sae_cpu_scratch(nnz) : NULL;
    if (weight) {
        const struct grad_job job = {n, d, r, csc, weight, rows, NULL, NULL, dW_enc};
        gather_by_latent(nnz, csc->pos + p0, dz, weight);
        run_pieces(&job);
    } else {
        grad_enc_plain(r, d, csc, dz, xc, dW_enc);
    }
    free(weight);
    free(rows);
}

void sae_cpu_grad_dec(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *g, const float *W_dec, float *dz, float *dW_dec)
{
    grad_dec((struct range){0, m, false}, d, csr, csc, g, W_dec, dz, dW_dec);
}

void sae_cpu_grad_enc(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *dz, const float *xc, float *dW_enc, float *db_enc)
{
    grad_enc((struct range){0, m, false}, d, csr, csc, dz, xc, dW_enc, db_enc);
}

void sae_cpu_grad_dec_group(size_t d, size_t first, size_t end, const struct sae_csr *csr,
                            const struct sae_csc *csc, const float *g, const float *W_dec,
                            float *dz, float *dW_dec)
{
    grad_dec((struct range){first, end, false}, d, csr, csc, g, W_dec, dz, dW_dec);
}

void sae_cpu_grad_add(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *g, const float *xc, const float *W_dec, float *dz, float *dW_enc,
                      float *dW_dec, float *db_enc)
{
    const struct range all = {0, m, true};
    if (csr->start[csr->n] == 0)
        return;
    grad_dec(all, d, csr, csc, g, W_dec, dz, dW_dec);
    grad_enc(all, d, csr, csc, dz, xc, dW_enc, db_enc);
}
