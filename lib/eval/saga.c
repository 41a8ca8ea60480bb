/* SPDX-License-Identifier: MIT */
/* saga : one epoch is a chain of steps in which each needs the one before, so it cannot be split; but
 * problems on the same rows take the same steps, and run in the lanes of one vector.
 *
 * For each draw i, with p = w.x_i + b, g = 1 / (1 + exp(-p)) - y_i, and c = g - g_i, where g_i is what
 * row i had when it was drawn last (0 at first) and s the number of rows seen:
 *
 *   w <- w - step (1 - 1/s) c x_i       G <- G + c x_i       w <- soft(w - step/s G, step / (C n))
 *   b likewise without soft             g_i <- g
 *
 * Contents:  1. lanes   2. an epoch   3. a batch of problems   4. all problems */
#include "lib/eval/saga.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/mt.h"
#include "lib/math/clones.h"

enum { LANES = 32 };
typedef float lanes[LANES] __attribute__((aligned(64)));

/* --- 1. lanes ----------------------------------------------------------------------------- */

struct batch {
    size_t width, n; /* widest of the problems; rows */
    const float *x;
    size_t stride;
    const uint8_t *label;
    uint32_t random; /* state of the draws */
    bool *seen;      /* [n] */
    size_t n_seen;
    lanes *w, *sum, *before, *is_in; /* [width]; is_in: 1 where the problem has the column */
    lanes *memory;                   /* [n] */
    lanes b, b_sum, step, shrink;
};

static void batch_clear(struct batch *batch)
{
    free(batch->seen);
    free(batch->w);
    free(batch->memory);
}

static enum sae_status batch_init(struct batch *batch, const struct sae_saga_rows *rows,
                                  size_t width, struct sae_err *err)
{
    *batch = (struct batch){.width = width, .n = rows->n, .x = rows->x, .stride = rows->stride,
                            .label = rows->label};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&batch->seen, rows->n, sizeof *batch->seen, err));
    SAE_GO(st, sae_mem_alloc(&batch->w, 4 * width, sizeof *batch->w, err));
    SAE_GO(st, sae_mem_alloc(&batch->memory, rows->n, sizeof *batch->memory, err));
    batch->sum = batch->w + width;
    batch->before = batch->w + 2 * width;
    batch->is_in = batch->w + 3 * width;
done:
    if (st != SAE_OK)
        batch_clear(batch);
    return st;
}

/* --- 2. an epoch -------------------------------------------------------------------------- */

/* Xorshift as scikit-learn's rows are drawn by, of 31 bits. */
static uint32_t draw(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state & UINT32_C(0x7fffffff);
}

/* 1 / (1 + exp(-p)) within 2 units of the last place: exp(-p) = 2^k exp(r) with |r| <= log(2) / 2. */
static inline void sigmoid(float *restrict to, const float *restrict p)
{
    for (size_t l = 0; l < LANES; l++) {
        float a = -p[l];
        a = a > 87.0F ? 87.0F : a;
        a = a < -87.0F ? -87.0F : a;
        const float rounded = a * 1.44269504F + 12582912.0F; /* 1.5 * 2^23: the fraction drops off */
        const float k = rounded - 12582912.0F;
        const float r = (a - k * 0.693145752F) - k * 1.42860677e-6F;
        const float e =
            1.0F +
            r * (1.0F +
                 r * (0.5F + r * (0.166666658F +
                                  r * (0.0416664556F + r * (0.00833345205F + r * 0.00139304355F)))));
        int32_t bits = ((int32_t)k + 127) << 23;
        float scale;
        memcpy(&scale, &bits, sizeof scale);
        to[l] = 1.0F / (1.0F + scale * e);
    }
}

SAE_CLONES
static void run_epoch(struct batch *restrict batch)
{
    const size_t width = batch->width, n = batch->n;
    lanes *restrict const w = batch->w, *restrict const sum = batch->sum;
    lanes *restrict const is_in = batch->is_in;
    lanes p, c, g, jump, drift;
    for (size_t t = 0; t < n; t++) {
        const size_t i = draw(&batch->random) % n;
        const float *restrict const x = batch->x + i * batch->stride;
        float *restrict const memory = batch->memory[i];
        batch->n_seen += !batch->seen[i];
        batch->seen[i] = true;
        const float s = (float)batch->n_seen, y = batch->label[i] ? 1.0F : 0.0F;
        for (size_t l = 0; l < LANES; l++) {
            p[l] = batch->b[l];
            drift[l] = batch->step[l] / s;
            jump[l] = batch->step[l] - drift[l];
        }
        for (size_t j = 0; j < width; j++)
            for (size_t l = 0; l < LANES; l++)
                p[l] += w[j][l] * x[j];
        sigmoid(g, p);
        for (size_t l = 0; l < LANES; l++) {
            const float now = g[l] - y;
            c[l] = now - memory[l];
            memory[l] = now;
            batch->b_sum[l] += c[l];
            batch->b[l] -= drift[l] * batch->b_sum[l] + jump[l] * c[l];
        }
        for (size_t j = 0; j < width; j++)
            for (size_t l = 0; l < LANES; l++) {
                const float cx = c[l] * (x[j] * is_in[j][l]);
                sum[j][l] += cx;
                const float v = w[j][l] - jump[l] * cx - drift[l] * sum[j][l];
                const float size = fabsf(v) - batch->shrink[l];
                w[j][l] = copysignf(size > 0.0F ? size : 0.0F, v);
            }
    }
}

/* --- 3. a batch of problems --------------------------------------------------------------- */

/* Whether the problem in lane l moved by less than tol; keeps its weights for the next time. */
static bool is_still(struct batch *batch, size_t l, size_t width, double tol)
{
    float largest = 0.0F, moved = 0.0F;
    for (size_t j = 0; j < width; j++) {
        const float v = batch->w[j][l];
        largest = fmaxf(largest, fabsf(v));
        moved = fmaxf(moved, fabsf(v - batch->before[j][l]));
        batch->before[j][l] = v;
    }
    return largest != 0.0F ? (double)(moved / largest) <= tol : moved == 0.0F;
}

static enum sae_status take(struct sae_saga_fit *fit, const struct batch *batch, size_t l,
                            size_t epochs, struct sae_err *err)
{
    bool finite = isfinite(batch->b[l]);
    for (size_t j = 0; j < fit->width; j++) {
        fit->w[j] = batch->w[j][l];
        finite = finite && isfinite(fit->w[j]);
    }
    fit->b = batch->b[l];
    fit->n_epochs = epochs;
    return finite ? SAE_OK
                  : sae_err_set(err, SAE_ERANGE,
                                "a probe with C = %g on %zu features ran out of the range of f32",
                                fit->C, fit->width);
}

/* Steps and shrinkage of each lane; those without a problem stay at 0. */
static void set_lane(struct batch *batch, size_t l, const struct sae_saga_fit *fit)
{
    float longest = 0.0F;
    for (size_t i = 0; i < batch->n; i++) {
        float square = 0.0F;
        for (size_t j = 0; j < fit->width; j++)
            square += batch->x[i * batch->stride + j] * batch->x[i * batch->stride + j];
        longest = fmaxf(longest, square);
    }
    const double step = 1.0 / (2.0 * 0.25 * ((double)longest + 1.0));
    batch->step[l] = (float)step;
    batch->shrink[l] = (float)(step / (fit->C * (double)batch->n));
    for (size_t j = 0; j < fit->width; j++)
        batch->is_in[j][l] = 1.0F;
}

/* At most LANES problems. */
static enum sae_status fit_batch(struct sae_saga_fit *fits, size_t n_fits,
                                 const struct sae_saga_rows *rows,
                                 const struct sae_saga_settings *settings, struct sae_err *err)
{
    struct batch batch;
    struct sae_mt mt = sae_mt_make(settings->random_state);
    bool done[LANES] = {false};
    size_t width = 0, n_done = 0;
    for (size_t l = 0; l < n_fits; l++)
        width = fits[l].width > width ? fits[l].width : width;
    SAE_TRY(batch_init(&batch, rows, width, err));
    batch.random = 1 + sae_mt_upto(&mt, INT32_MAX - 2);
    for (size_t l = 0; l < n_fits; l++)
        set_lane(&batch, l, &fits[l]);
    enum sae_status st = SAE_OK;
    for (size_t epoch = 1; epoch <= settings->max_epochs && n_done < n_fits; epoch++) {
        run_epoch(&batch);
        for (size_t l = 0; l < n_fits && st == SAE_OK; l++) {
            if (done[l] || (!is_still(&batch, l, fits[l].width, settings->tol) &&
                            epoch < settings->max_epochs))
                continue;
            st = take(&fits[l], &batch, l, epoch, err);
            done[l] = true;
            n_done++;
        }
        if (st != SAE_OK)
            break;
    }
    batch_clear(&batch);
    return st;
}

/* --- 4. all problems ---------------------------------------------------------------------- */

static enum sae_status check(const struct sae_saga_fit *fits, size_t n_fits,
                             const struct sae_saga_rows *rows, struct sae_err *err)
{
    size_t width = 0, n_positive = 0;
    for (size_t f = 0; f < n_fits; f++) {
        if (fits[f].width == 0 || fits[f].width > rows->stride)
            return sae_err_set(err, SAE_EARG, "cannot fit a probe of %zu of %zu features",
                               fits[f].width, rows->stride);
        width = fits[f].width > width ? fits[f].width : width;
    }
    for (size_t i = 0; i < rows->n; i++) {
        n_positive += rows->label[i] != 0;
        for (size_t j = 0; j < width; j++)
            if (!isfinite(rows->x[i * rows->stride + j]))
                return sae_err_set(err, SAE_ERANGE,
                                   "feature %zu of a probe holds NaN or infinity", j);
    }
    if (n_positive == 0 || n_positive == rows->n)
        return sae_err_set(err, SAE_EARG,
                           "cannot fit a probe: all %zu examples have the same label; both are "
                           "needed",
                           rows->n);
    return SAE_OK;
}

enum sae_status sae_saga_fit(struct sae_saga_fit *fits, size_t n_fits,
                             const struct sae_saga_rows *rows,
                             const struct sae_saga_settings *settings, struct sae_err *err)
{
    SAE_TRY(check(fits, n_fits, rows, err));
    for (size_t first = 0; first < n_fits; first += LANES) {
        const size_t n = n_fits - first < LANES ? n_fits - first : LANES;
        SAE_TRY(fit_batch(fits + first, n, rows, settings, err));
    }
    return SAE_OK;
}
