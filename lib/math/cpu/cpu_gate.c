/* SPDX-License-Identifier: MIT */
/* cpu_gate : activations of gated autoencoders and their gradients. Everything is a product, so
 * that what is not a number shows in the loss. */
#include <math.h>

#include "lib/math/cpu/cpu.h"

enum { COLUMNS = 1024, COLUMNS_LEAST = 256, TILES = 8, PARTS = 256, SMALL = 1 << 18 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Latents of a tile: long runs of a row where there are enough of them. */
static size_t tile_of(size_t m)
{
    const size_t w = m / TILES;
    return w < COLUMNS_LEAST ? COLUMNS_LEAST : least(w, COLUMNS);
}

struct gate_sums {
    double gate, active;
};

/* w <= COLUMNS latents of n tokens, rows m apart. */
SAE_CLONES static void gate_columns(size_t n, size_t m, size_t w, const float *restrict u,
                                    const float *restrict b_gate, const float *restrict r_mag,
                                    const float *restrict b_mag, float *restrict f,
                                    float *restrict gate, struct gate_sums *sums)
{
    float scale[COLUMNS];
    for (size_t j = 0; j < w; j++)
        scale[j] = expf(r_mag[j]);
    for (size_t t = 0; t < n; t++) {
        double sum = 0;
        uint32_t active = 0;
#pragma omp simd reduction(+ : sum, active)
        for (size_t j = 0; j < w; j++) {
            const float g = u[t * m + j] + b_gate[j], v = scale[j] * u[t * m + j] + b_mag[j];
            const float open = (float)(g > 0), shut = open * g;
            const float kept = open * (float)(v > 0) * v;
            gate[t * m + j] = shut;
            f[t * m + j] = kept;
            sum += (double)shut;
            active += kept > 0;
        }
        sums->gate += sum;
        sums->active += active;
    }
}

void sae_cpu_gate(size_t n, size_t m, const float *u, const float *b_gate, const float *r_mag,
                  const float *b_mag, float *f, float *gate, double *sum)
{
    struct gate_sums part[PARTS];
    const size_t tile = tile_of(m), tiles = (m + tile - 1) / tile;
#pragma omp parallel for schedule(dynamic, 1) if (n * m > SMALL)
    for (size_t p = 0; p < PARTS; p++) {
        part[p] = (struct gate_sums){0, 0};
        for (size_t c = p * tiles / PARTS; c < (p + 1) * tiles / PARTS; c++) {
            const size_t j = c * tile;
            gate_columns(n, m, least(tile, m - j), u + j, b_gate + j, r_mag + j, b_mag + j, f + j,
                         gate + j, &part[p]);
        }
    }
    for (size_t p = 0; p < PARTS; p++) {
        sum[0] += part[p].gate;
        sum[1] += part[p].active;
    }
}

struct grad_sums {
    double g[COLUMNS], f[COLUMNS], fu[COLUMNS];
};

SAE_CLONES static void grad_row(size_t w, float l1, const float *restrict u,
                                const float *restrict scale, const float *restrict f,
                                const float *restrict gate, const float *restrict d1,
                                float *restrict d2, struct grad_sums *restrict sums)
{
#pragma omp simd
    for (size_t j = 0; j < w; j++) {
        const float dg = (float)(gate[j] > 0) * (d2[j] + l1);
        const float df = (float)(f[j] > 0) * d1[j];
        d2[j] = dg + scale[j] * df;
        sums->g[j] += (double)dg;
        sums->f[j] += (double)df;
        sums->fu[j] += (double)df * (double)u[j];
    }
}

void sae_cpu_gate_grad(size_t n, size_t m, const float *u, const float *r_mag, const float *f,
                       const float *gate, float l1, const float *d1, float *d2, float *g_b_gate,
                       float *g_b_mag, float *g_r_mag, float *du)
{
    const size_t tile = tile_of(m);
#pragma omp parallel for schedule(dynamic, 1) if (n * m > SMALL)
    for (size_t j0 = 0; j0 < m; j0 += tile) {
        const size_t w = least(tile, m - j0);
        struct grad_sums sums = {{0}, {0}, {0}};
        float scale[COLUMNS];
        for (size_t j = 0; j < w; j++)
            scale[j] = expf(r_mag[j0 + j]);
        for (size_t i = j0; i < n * m; i += m)
            grad_row(w, l1, u + i, scale, f + i, gate + i, d1 + i, d2 + i, &sums);
        for (size_t j = 0; j < w; j++) {
            g_b_gate[j0 + j] = (float)sums.g[j];
            g_b_mag[j0 + j] = (float)sums.f[j];
            g_r_mag[j0 + j] = (float)((double)scale[j] * sums.fu[j]);
            du[j0 + j] = (float)(sums.g[j] + (double)scale[j] * sums.f[j]);
        }
    }
}
