/* SPDX-License-Identifier: MIT */
/* run : a forward pass on the host, in the files that compute it: layers.c the layers, forward.c
 * what comes before and after them. */
#ifndef SAE_LM_RUN_H
#define SAE_LM_RUN_H

#include "lm/model.h"
#include "lm/route.h"

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

/* A batch in flight: n = B T tokens. */
struct sae_lm_batch {
    size_t B, T, n;
};

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
/* Rows [first, first + n) of a panel in f32, converted by all threads where there is no copy; the file
 * behind them is not held besides. */
const float *sae_lm_run_fetch(const struct sae_lm_panel *panel, size_t first, size_t n,
                              float *scratch);
/* y [n][n_out] = x [n][n_in] W^T, W [n_out][n_in]; rows of x and y are ld_x and ld_y apart. */
void sae_lm_multiply(float *y, size_t ld_y, const float *x, size_t ld_x, const float *W, size_t n,
                     size_t n_out, size_t n_in);

#endif /* SAE_LM_RUN_H */
