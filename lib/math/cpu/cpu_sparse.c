/* SPDX-License-Identifier: MIT */
/* cpu_sparse : operations over the kept entries.
 *
 * An entry touches a whole row of W or of g, and all rows together are far larger than a cache.
 * So columns are taken in slices of 64: one slice of all rows lies packed in a cache, and what an
 * entry touches next is asked for ahead. Slices of 64 floats also fit four vector registers.
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

static void decode_plain(size_t d, const struct sae_csr *csr, const float *W_dec,
                         const float *b_dec, float *xhat)
{
#pragma omp parallel for schedule(dynamic, 8)
    for (size_t t = 0; t < csr->n; t++) {
        float *const y = xhat + t * d;
        sae_cpu_fill(d, b_dec, y);
        for (size_t e = csr->start[t]; e < csr->start[t + 1]; e++)
            sae_cpu_axpy(d, csr->val[e], W_dec + csr->idx[e] * d, y);
    }
}

struct decode_job {
    size_t d;
    const struct sae_csr *csr;
    const float *b_dec;
    float *xhat;
};

static void decode_slice(const void *user, size_t s, const float *slice, size_t t0, size_t t1)
{
    const struct decode_job *const job = user;
    const size_t *const start = job->csr->start, d = job->d, i0 = s * SLICE;
    const size_t w = d - i0 < SLICE ? d - i0 : SLICE;
    for (size_t t = t0; t < t1; t++) {
        float *const out = job->xhat + t * d + i0;
        sae_cpu_fill(w, job->b_dec ? job->b_dec + i0 : NULL, out);
        sae_cpu_add_slices(start[t + 1] - start[t], start[job->csr->n] - start[t],
                           job->csr->idx + start[t], job->csr->val + start[t], slice, w, out);
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
void sae_cpu_decode(size_t d, const struct sae_csr *csr, const float *W_dec, const float *b_dec,
                    float *xhat)
{
    enum { RUN = 16 };
    const size_t m = highest(csr), nnz = csr->start[csr->n];
    const struct decode_job job = {d, csr, b_dec, xhat};
    /* packing W pays where it does not fit the cache and each row is used a few times */
    if (m * d < CACHE_FLOATS || nnz < 3 * m ||
        !sae_cpu_by_slices(m, d, W_dec, csr->n, RUN, decode_slice, &job))
        decode_plain(d, csr, W_dec, b_dec, xhat);
}

/* --- 3. gradients ------------------------------------------------------------------------- */

/* Latent-major. The rows of g (or of x) are packed by slices once; a piece owns a
 * run of latents and takes slice after slice, 64 columns of all tokens in the cache at a time. */

enum { PIECES = 16 };

/* Runs of latents with about equal numbers of entries. */
static void cut_latents(size_t m, const struct sae_csc *csc, size_t first[PIECES + 1])
{
    const size_t nnz = csc->start[m];
    size_t j = 0;
    for (size_t p = 0; p < PIECES; p++) {
        first[p] = j;
        /* an empty latent costs about as much as one entry */
        while (j < m && csc->start[j + 1] + j + 1 <= (p + 1) * (nnz + m) / PIECES)
            j++;
    }
    first[PIECES] = m;
}

struct grad_job {
    size_t n, d;
    const struct sae_csc *csc;
    const float *weight; /* [nnz] of each entry, by latent */
    const float *rows;   /* packed [slices][n][SLICE] */
    const float *W;      /* [m][d], with dz: the other factor of the dots */
    float *dz;           /* [nnz] by latent, or NULL */
    float *out;          /* [m][d] */
};

static void grad_piece(const struct grad_job *job, size_t j0, size_t j1)
{
    const size_t d = job->d;
    for (size_t s = 0; s < sae_cpu_slices(d); s++) {
        const size_t i0 = s * SLICE, w = d - i0 < SLICE ? d - i0 : SLICE;
        const float *const rows = job->rows + s * job->n * SLICE;
        for (size_t j = j0; j < j1; j++) {
            const size_t p = job->csc->start[j], n = job->csc->start[j + 1] - p;
            const size_t reach = job->csc->start[job->csc->m] - p;
            float *const out = job->out + j * d + i0;
            if (n == 0)
                memset(out, 0, w * sizeof *out);
            else if (job->dz)
                sae_cpu_dot_slices(n, reach, job->csc->row + p, job->weight + p, rows, w,
                                   job->W + j * d + i0, job->dz + p, out);
            else
                sae_cpu_sum_slices(n, reach, job->csc->row + p, job->weight + p, rows, w, out);
        }
    }
}

static void run_pieces(const struct grad_job *job, size_t m)
{
    size_t first[PIECES + 1];
    cut_latents(m, job->csc, first);
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t p = 0; p < PIECES; p++)
        grad_piece(job, first[p], first[p + 1]);
}

static void gather_by_latent(size_t nnz, const uint32_t *pos, const float *from, float *to)
{
#pragma omp parallel for schedule(static) if (nnz > SMALL)
    for (size_t p = 0; p < nnz; p++)
        to[p] = from[pos[p]];
}

static void grad_dec_plain(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                           const float *g, const float *W_dec, float *dz, float *dW_dec)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t j = 0; j < m; j++) {
        float *const out = dW_dec + j * d;
        sae_cpu_fill(d, NULL, out);
        for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++) {
            const float *const row = g + csc->row[p] * d;
            dz[csc->pos[p]] = sae_cpu_dot(d, row, W_dec + j * d);
            sae_cpu_axpy(d, csr->val[csc->pos[p]], row, out);
        }
    }
}

void sae_cpu_grad_dec(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *g, const float *W_dec, float *dz, float *dW_dec)
{
    const size_t n = csr->n, nnz = csc->start[m];
    float *const rows = n * d < CACHE_FLOATS ? NULL : sae_cpu_pack_all(n, d, g);
    float *const both = rows ? sae_cpu_scratch(2 * nnz) : NULL;
    if (both) {
        float *const dz_by_latent = both + nnz;
        const struct grad_job job = {n, d, csc, both, rows, W_dec, dz_by_latent, dW_dec};
        gather_by_latent(nnz, csc->pos, csr->val, both);
        memset(dz_by_latent, 0, nnz * sizeof *dz_by_latent);
        run_pieces(&job, m);
#pragma omp parallel for schedule(static) if (nnz > SMALL)
        for (size_t p = 0; p < nnz; p++)
            dz[csc->pos[p]] = dz_by_latent[p];
    } else {
        grad_dec_plain(m, d, csr, csc, g, W_dec, dz, dW_dec);
    }
    free(both);
    free(rows);
}

static void grad_enc_plain(size_t m, size_t d, const struct sae_csc *csc, const float *dz,
                           const float *xc, float *dW_enc)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t j = 0; j < m; j++) {
        float *const out = dW_enc + j * d;
        sae_cpu_fill(d, NULL, out);
        for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++)
            sae_cpu_axpy(d, dz[csc->pos[p]], xc + csc->row[p] * d, out);
    }
}

void sae_cpu_grad_enc(size_t m, size_t d, const struct sae_csr *csr, const struct sae_csc *csc,
                      const float *dz, const float *xc, float *dW_enc, float *db_enc)
{
    const size_t n = csr->n, nnz = csc->start[m];
#pragma omp parallel for schedule(dynamic, 64) if (nnz > SMALL)
    for (size_t j = 0; j < m; j++) {
        double sum = 0;
        for (size_t p = csc->start[j]; p < csc->start[j + 1]; p++)
            sum += dz[csc->pos[p]];
        db_enc[j] = (float)sum;
    }
    float *const rows = n * d < CACHE_FLOATS ? NULL : sae_cpu_pack_all(n, d, xc);
    float *const weight = rows ? sae_cpu_scratch(nnz) : NULL;
    if (weight) {
        const struct grad_job job = {n, d, csc, weight, rows, NULL, NULL, dW_enc};
        gather_by_latent(nnz, csc->pos, dz, weight);
        run_pieces(&job, m);
    } else {
        grad_enc_plain(m, d, csc, dz, xc, dW_enc);
    }
    free(weight);
    free(rows);
}
