/* SPDX-License-Identifier: MIT */
/* run : a forward pass on the host, in the files that compute it: layers.c the layers, forward.c
 * what comes before and after them. */
#ifndef SAE_LM_RUN_H
#define SAE_LM_RUN_H

#include "lib/math/gemm.h"
#include "lm/model.h"
#include "lm/route.h"

struct sae_lm_run {
    const struct sae_lm *model;
    const struct sae_gemm *gemm; /* packed weights; NULL: a small model, by OpenBLAS */
    size_t n_max, T_max, block;  /* block: rows of one at most */
    size_t n_threads;
    size_t head_scratch, block_scratch; /* floats of one thread */
    size_t factor_scratch;              /* bytes of one thread; 0 where x itself is the factors */
    size_t panel_bytes;                 /* of the weights in use at one time, and to align them */
    size_t n_done;                      /* rows of y */
    float *x;                           /* [n][D] the stream */
    float *qkv;                         /* [n][(H + 2K) d] */
    float *o;                           /* [n][H d] */
    float *y;                           /* [n][D] final normed */
    char *panel_memory, *panels;        /* packed weights; panels: aligned in it */
    float *attend, *blocks;             /* [n_threads][...] */
    char *factors;                      /* [n_threads][factor_scratch] */
    float *cosines, *sines;             /* [2][T_max][rotary / 2], of full and sliding layers */
    bool may_stop;                      /* within a batch */
    struct sae_lm_pass *pass;           /* of a model on a device; none of the arrays above then */
};

/* A batch in flight: n = B T tokens. */
struct sae_lm_batch {
    size_t B, T, n;
};

/* Sets model, n_max, T_max, and from them all sizes and what multiplies. */
void sae_lm_run_size(struct sae_lm_run *run, const struct sae_lm *model, size_t n_max, size_t T_max);
/* The stream in run->x through the layers of the route. */
void sae_lm_run_layers(struct sae_lm_run *run, const struct sae_lm_batch *batch,
                       const struct sae_lm_route *route);
/* Copies the stream that enters the first layer, n rows, to the hooks that are there. */
void sae_lm_run_keep(const struct sae_lm_run *run, const struct sae_lm_route *route, size_t n);

/* What the layers and the head share. */
bool sae_lm_run_stops(const struct sae_lm_run *run);
int sae_lm_run_threads(const struct sae_lm_run *run); /* of one loop; scratch is for n_threads */
/* Holds a BLAS with threads of its own to one; one built on OpenMP does so by itself inside a
 * parallel region. Returns the count to restore, 0 = nothing to do. */
int sae_lm_hold_blas(void);
void sae_lm_release_blas(int n);
/* Rows [first, first + n) of a panel as sae_lm_multiply takes them: a small model's copy, or packed by
 * all threads into scratch of sae_lm_packed_size bytes, a multiple of 64; the file behind them is not held
 * besides. */
const void *sae_lm_run_fetch(const struct sae_lm_run *run, const struct sae_lm_panel *panel,
                             size_t first, size_t n, char *scratch);
size_t sae_lm_packed_size(const struct sae_lm_run *run, size_t n_rows, size_t n_cols);
/* The place of row `at`, a multiple of SAE_GEMM_COLUMNS, of what was fetched. */
const void *sae_lm_fetched_at(const struct sae_lm_run *run, const void *W, size_t at, size_t n_in);
/* y [n][n_out] = x [n][n_in] W^T, W fetched, n_out rows of it; rows of x and y are ld_x and ld_y
 * apart, n at most run->block. */
void sae_lm_multiply(const struct sae_lm_run *run, float *y, size_t ld_y, const float *x, size_t ld_x,
                     const void *W, size_t n, size_t n_out, size_t n_in);

#endif /* SAE_LM_RUN_H */
