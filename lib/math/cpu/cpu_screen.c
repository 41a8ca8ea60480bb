/* SPDX-License-Identifier: MIT */
/* cpu_screen : the k largest of a token without most of the matrix product.
 *
 * Rows are rounded to 16-bit integers q with a scale s such that |q| <= 46000: then no sum of
 * products overflows 32 bits (Cauchy-Schwarz, also for a part of the sum), whatever outliers a row
 * has. The integers' product is exact and about twice as fast as one in f32. With e the length of
 * what rounding changed,
 *
 *   |x.w - s_x s_w q_x.q_w| <= e_x |w| + (|x| + e_x) e_w
 *
 * and a value computed in f32 is within (d + 2) 2^-24 |x| |w| of x.w. Their sum M bounds how far
 * the value that is returned can be from the integers' one. A latent whose upper end lies below the
 * k-th largest lower end cannot be among the k largest; the others, hardly more than k, are formed
 * in f32 and the selection is made from those. It is exact for any input.
 *
 * Contents: 1. rounding   2. candidates   3. their values   4. the whole */
#include <math.h>
#include <stdlib.h>

#include "lib/math/cpu/cpu_screen.h"

enum { BLOCK = 252 };        /* tokens whose products are held at a time; a multiple of 6 */
enum { RUN = 192 };           /* pairs of columns */
enum { FEW_MAX = 4096, GROUPS_MAX = 2048 };
#define LENGTH 46000.0       /* of a row of integers: 46000 + sqrt(d) / 2 < 2^15.5 */
#define LARGEST 32767.0
#define TINY 1e-30           /* rows shorter than this count as 0 with an error of their length */
#define HUGE_LENGTH 1e17     /* longer rows are not screened: products must stay finite */
#define ULP 0x1p-24

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* Cuts n floats off the scratch, from 64-byte steps. */
static void *take(float **scratch, size_t n)
{
    float *const p = *scratch;
    *scratch += round_up(n, 16);
    return p;
}

/* --- 1. rounding -------------------------------------------------------------------------- */

SAE_CLONES static double square_of(size_t d, const float *row, float *ret_most)
{
    double sq = 0;
    float most = 0;
#pragma omp simd reduction(+ : sq) reduction(max : most)
    for (size_t i = 0; i < d; i++) {
        const float a = fabsf(row[i]);
        sq += (double)a * a;
        most = a > most ? a : most;
    }
    *ret_most = most;
    return sq;
}

/* q = row / scale to the nearest integer; returns the square of what is lost. */
SAE_CLONES static float round_row(size_t d, const float *restrict row, float inverse, float scale,
                                  int16_t *restrict q)
{
    const float shift = 0x1.8p23f; /* adding it leaves no room for a fraction */
    float lost = 0;
#pragma omp simd reduction(+ : lost)
    for (size_t i = 0; i < d; i++) {
        const float whole = (row[i] * inverse + shift) - shift;
        const float miss = row[i] - scale * whole;
        q[i] = (int16_t)(int32_t)whole;
        lost += miss * miss;
    }
    return lost;
}

/* One row: its integers (2 per pair, the last may be 0), scale, length and error. */
static void quantize(const struct sae_cpu_q16 *q, size_t r, const float *row, int16_t *to)
{
    float most;
    const double norm = sqrt(square_of(q->d, row, &most));
    const double scale = fmax(norm / LENGTH, most / LARGEST);
    q->norm[r] = (float)(norm * (1 + 1e-6));
    if (!(norm > TINY && norm < HUGE_LENGTH)) {
        memset(to, 0, round_up(q->d, 2) * sizeof *to);
        q->scale[r] = 0;
        q->err[r] = q->norm[r] = norm <= TINY ? q->norm[r] : NAN;
        return;
    }
    const float s = (float)scale;
    to[round_up(q->d, 2) - 1] = 0;
    const double lost = (double)round_row(q->d, row, 1 / s, s, to);
    q->scale[r] = s;
    /* sums in float are short by less than d ulp, each miss by less than two of its element */
    q->err[r] = (float)(sqrt(lost * (1 + 2 * (double)q->d * ULP)) + 4 * ULP * norm);
}

size_t sae_cpu_q16_scratch(size_t n, size_t d, size_t width)
{
    const size_t rows = round_up(n, width);
    return round_up(rows * round_up(d, 2) / 2, 16) + 3 * round_up(rows, 16);
}

/* Pairs of `width` rows, behind each other in `rows`, side by side. */
static void interleave(size_t n_pairs, size_t width, const int16_t *rows, int16_t *panel)
{
    for (size_t p = 0; p < n_pairs; p++)
        for (size_t r = 0; r < width; r++)
            memcpy(panel + 2 * (p * width + r), rows + 2 * (r * n_pairs + p), 2 * sizeof *panel);
}

/* One panel; buffer has room for its rows. */
static void make_panel(const struct sae_cpu_q16 *q, size_t panel, const float *rows,
                       int16_t *buffer)
{
    const size_t n_pairs = round_up(q->d, 2) / 2, r0 = panel * q->width;
    memset(buffer, 0, q->width * 2 * n_pairs * sizeof *buffer);
    for (size_t r = 0; r < q->width; r++) {
        if (r0 + r < q->n)
            quantize(q, r0 + r, rows + (r0 + r) * q->d, buffer + r * 2 * n_pairs);
        else
            q->scale[r0 + r] = q->norm[r0 + r] = q->err[r0 + r] = 0;
    }
    interleave(n_pairs, q->width, buffer, q->q + r0 * 2 * n_pairs);
}

/* Where there is no memory for buffers the rows count as not finite. */
void sae_cpu_q16_make(struct sae_cpu_q16 *q, size_t n, size_t d, size_t width, const float *rows,
                      float **scratch)
{
    const size_t padded = round_up(n, width);
    *q = (struct sae_cpu_q16){.n = n, .d = d, .width = width};
    q->q = take(scratch, padded * round_up(d, 2) / 2);
    q->scale = take(scratch, padded);
    q->norm = take(scratch, padded);
    q->err = take(scratch, padded);
#pragma omp parallel
    {
        int16_t *const buffer = malloc(width * round_up(d, 2) * sizeof *buffer);
#pragma omp for schedule(dynamic, 1)
        for (size_t panel = 0; panel < padded / width; panel++) {
            if (buffer)
                make_panel(q, panel, rows, buffer);
            for (size_t r = panel * width; !buffer && r < (panel + 1) * width; r++)
                q->scale[r] = q->norm[r] = q->err[r] = NAN;
        }
        free(buffer);
    }
}

/* --- 2. candidates ------------------------------------------------------------------------ */

/* A token's products, and what makes values of them:
 * value = acc scale_x scale_w + b, uncertain by mu |w| + slack_b. */
struct ends {
    size_t m;
    const float *scale, *norm, *b, *slack; /* [m] */
    float scale_x, mu;
};

SAE_CLONES static void lower_maxima(const struct ends *e, const int32_t *acc, size_t n_groups,
                                    float *restrict top)
{
    const float s = e->scale_x, mu = e->mu;
    memset(top, 0, n_groups * sizeof *top);
    for (size_t j0 = 0; j0 < e->m; j0 += n_groups) {
        const size_t w = e->m - j0 < n_groups ? e->m - j0 : n_groups;
        const float *const scale = e->scale + j0, *const norm = e->norm + j0, *const b = e->b + j0,
                           *const slack = e->slack + j0;
        const int32_t *const a = acc + j0;
        for (size_t i = 0; i < w; i++) {
            const float v = (float)a[i] * (s * scale[i]) + b[i] - (mu * norm[i] + slack[i]);
            top[i] = v > top[i] ? v : top[i];
        }
    }
}

/* Index and both ends of the latents whose upper end is > 0 and reaches low. More than FEW_MAX: not
 * complete. The arrays have room for 16 more. */
SAE_CLONES static size_t gather_upper(const struct ends *e, const int32_t *acc, float low,
                                      uint32_t *restrict idx, float *restrict lower,
                                      float *restrict upper)
{
    const float s = e->scale_x, mu = e->mu;
    size_t n = 0;
    for (size_t j0 = 0; j0 < e->m && n <= FEW_MAX; j0 += 16) {
        const size_t w = e->m - j0 < 16 ? e->m - j0 : 16;
        const float *const scale = e->scale + j0, *const norm = e->norm + j0, *const b = e->b + j0,
                           *const slack = e->slack + j0;
        const int32_t *const a = acc + j0;
        float mid[16], wide[16];
        int any = 0;
        for (size_t i = 0; i < w; i++) {
            mid[i] = (float)a[i] * (s * scale[i]) + b[i];
            wide[i] = mu * norm[i] + slack[i];
            any |= mid[i] + wide[i] >= low;
        }
        for (size_t i = 0; any && i < w; i++) {
            idx[n] = (uint32_t)(j0 + i);
            lower[n] = mid[i] - wide[i];
            upper[n] = mid[i] + wide[i];
            n += upper[n] >= low && upper[n] > 0;
        }
    }
    return n;
}

/* Bits of the positive ones, 0 for the rest. */
static void keys_of(size_t n, const float *v, uint32_t *key)
{
    for (size_t i = 0; i < n; i++) {
        const float positive = v[i] > 0 ? v[i] : 0;
        memcpy(&key[i], &positive, sizeof *key);
    }
}

static float float_of(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* The candidates of a token, ascending; more than `cap`: too many. */
static size_t find_candidates(const struct ends *e, const int32_t *acc, size_t k, size_t cap,
                              uint32_t *ret)
{
    enum { CAPACITY = FEW_MAX + 32 };
    _Alignas(64) uint32_t idx[CAPACITY], key[CAPACITY];
    _Alignas(64) float lower[CAPACITY], upper[CAPACITY], top[GROUPS_MAX];
    float low = 0;
    size_t n_groups = 64, kept = 0;
    while (n_groups < 3 * k && n_groups < GROUPS_MAX)
        n_groups *= 2;
    if (k <= n_groups && 2 * n_groups <= e->m) {
        lower_maxima(e, acc, n_groups, top);
        keys_of(n_groups, top, key);
        low = float_of(sae_cpu_cut(n_groups, key, k));
    }
    const size_t n = gather_upper(e, acc, low, idx, lower, upper);
    if (n > FEW_MAX)
        return SIZE_MAX;
    if (n > k) { /* the k-th largest lower end itself */
        keys_of(n, lower, key);
        low = float_of(sae_cpu_cut(n, key, k));
    }
    for (size_t i = 0; i < n; i++) {
        if (upper[i] < low)
            continue;
        if (kept == cap)
            return SIZE_MAX;
        ret[kept++] = idx[i];
    }
    return kept;
}

/* --- 3. their values, by slices ----------------------------------------------------------- */

enum { RUN_TOKENS = 16 };

struct job {
    size_t n, m, d, k, cap;
    const float *xc, *W, *b;
    struct sae_cpu_q16 x, w;
    float *slack;   /* [m] */
    double spread;  /* largest err / norm of a latent */
    int32_t *acc;   /* [BLOCK][ld] */
    size_t ld;
    struct sae_csr few; /* candidates; rows at t * cap until they are closed up */
};

static void add_values(const void *user, size_t s, const float *slice, size_t t0, size_t t1)
{
    const struct job *const job = user;
    const size_t *const start = job->few.start, i0 = s * SLICE;
    const size_t w = job->d - i0 < SLICE ? job->d - i0 : SLICE;
    for (size_t t = t0; t < t1; t++)
        sae_cpu_pair_slices(start[t + 1] - start[t], start[job->n] - start[t],
                            job->few.idx + start[t], slice, w, job->xc + t * job->d + i0,
                            job->few.val + start[t]);
}

static bool values_sliced(const struct job *job)
{
    memset(job->few.val, 0, job->few.start[job->n] * sizeof *job->few.val);
    return sae_cpu_by_slices(job->m, job->d, job->W, job->n, RUN_TOKENS, add_values, job);
}

static void values_plain(const struct job *job)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t t = 0; t < job->n; t++)
        for (size_t e = job->few.start[t]; e < job->few.start[t + 1]; e++)
            job->few.val[e] = sae_cpu_dot(job->d, job->xc + t * job->d,
                                          job->W + (size_t)job->few.idx[e] * job->d);
}

/* --- 4. the whole ------------------------------------------------------------------------- */

bool sae_cpu_screen_pays(size_t n, size_t m, size_t d, size_t k)
{
    /* forming a candidate's value costs several times its share of a product */
    return sae_cpu_level() >= SAE_CPU_AVX2 && n >= 64 && m >= 1024 && d >= 64 && k <= m / SCREEN_SHARE;
}

static size_t cap_of(size_t k)
{
    return k + k / 2 + 32;
}

/* Of a token's products. Rows a power of two apart would share a few lines of the caches. */
static size_t row_of(size_t m)
{
    return round_up(m, DOT_LATENTS) + DOT_LATENTS;
}

size_t sae_cpu_screen_scratch(size_t n, size_t m, size_t d, size_t k)
{
    const size_t ld = row_of(m), cap = n * cap_of(k);
    return sae_cpu_q16_scratch(n, d, DOT_TOKENS) + sae_cpu_q16_scratch(m, d, DOT_LATENTS) +
           round_up(m, 16) + BLOCK * ld + 2 * round_up(cap, 16) + round_up(2 * (n + 1), 16);
}

static void job_make(struct job *job, float *scratch)
{
    const size_t cap = job->n * job->cap;
    sae_cpu_q16_make(&job->w, job->m, job->d, DOT_LATENTS, job->W, &scratch);
    sae_cpu_q16_make(&job->x, job->n, job->d, DOT_TOKENS, job->xc, &scratch);
    job->slack = take(&scratch, job->m);
    job->acc = take(&scratch, BLOCK * job->ld);
    job->few = (struct sae_csr){.n = job->n, .cap = cap, .idx = take(&scratch, cap)};
    job->few.val = take(&scratch, cap);
    job->few.start = take(&scratch, 2 * (job->n + 1));
    for (size_t j = 0; j < job->m; j++) {
        job->slack[j] = (float)(16 * ULP * fabs((double)job->b[j]) + 1e-40);
        if (job->w.norm[j] > 0 && job->w.norm[j] <= (float)TINY)
            job->slack[j] += 1e-12F; /* more than its products with the longest row */
        else if (job->w.norm[j] > 0)
            job->spread = fmax(job->spread, (double)job->w.err[j] / job->w.norm[j]);
    }
}

static bool is_wild(const struct sae_cpu_q16 *q)
{
    for (size_t r = 0; r < q->n; r++)
        if (isnan(q->norm[r]))
            return true;
    return false;
}

/* A panel of latents with all tokens of the block, a run of columns at a time: the panel's share of
 * it stays in the first-level cache, the tokens' in the second. */
static void multiply_panel(const struct job *job, sae_cpu_dot16_fn *dot, size_t t0, size_t rows,
                           size_t j)
{
    _Alignas(64) int32_t sum[BLOCK * DOT_LATENTS];
    const size_t n_pairs = round_up(job->d, 2) / 2;
    for (size_t p = 0; p < n_pairs; p += RUN) {
        const size_t run = n_pairs - p < RUN ? n_pairs - p : RUN;
        for (size_t t = 0; t < rows; t += DOT_TOKENS)
            dot(run, job->x.q + 2 * ((t0 + t) * n_pairs + p * DOT_TOKENS),
                job->w.q + 2 * (j * n_pairs + p * DOT_LATENTS), p > 0, sum + t * DOT_LATENTS);
    }
    for (size_t t = 0; t < rows; t++)
        memcpy(job->acc + t * job->ld + j, sum + t * DOT_LATENTS, DOT_LATENTS * sizeof *sum);
}

static void multiply(const struct job *job, size_t t0, size_t rows)
{
    sae_cpu_dot16_fn *const dot = sae_cpu_dot16(sae_cpu_level());
#pragma omp parallel for schedule(dynamic, 4)
    for (size_t j = 0; j < job->m; j += DOT_LATENTS)
        multiply_panel(job, dot, t0, rows, j);
}

/* The candidates of a block of tokens; count in few.start[t + 1], SIZE_MAX where undecided. */
static void screen_block(const struct job *job, size_t t0, size_t rows)
{
    multiply(job, t0, rows);
#pragma omp parallel for schedule(dynamic, 4)
    for (size_t t = t0; t < t0 + rows; t++) {
        const double norm = job->x.norm[t], err = job->x.err[t];
        /* all lengths are rounded up a little; the last factor covers forming the ends in f32 */
        const double mu = err + (norm + err) * job->spread + (double)(job->d + 32) * ULP * norm;
        const struct ends ends = {.m = job->m,
                                  .scale = job->w.scale,
                                  .norm = job->w.norm,
                                  .b = job->b,
                                  .slack = job->slack,
                                  .scale_x = job->x.scale[t],
                                  .mu = (float)(mu * (1 + 1e-5))};
        job->few.start[t + 1] =
            isnan(norm) ? SIZE_MAX
                        : find_candidates(&ends, job->acc + (t - t0) * job->ld, job->k, job->cap,
                                          job->few.idx + t * job->cap);
    }
}

/* Undecided rows are listed and left without candidates. */
static size_t list_failed(struct job *job, uint32_t *failed)
{
    size_t n = 0;
    for (size_t t = 0; t < job->n; t++) {
        if (job->few.start[t + 1] != SIZE_MAX)
            continue;
        failed[n++] = (uint32_t)t;
        job->few.start[t + 1] = 0;
    }
    return n;
}

static size_t undecided(const struct job *job, size_t rows)
{
    size_t n = 0;
    for (size_t t = 0; t < rows; t++)
        n += job->few.start[t + 1] == SIZE_MAX;
    return n;
}

size_t sae_cpu_screen_topk(size_t n, size_t m, size_t d, size_t k, const float *xc,
                           const float *W_enc, const float *b_enc, float *scratch,
                           struct sae_csr *csr, uint32_t *failed)
{
    struct job job = {.n = n, .m = m, .d = d, .k = k, .xc = xc, .W = W_enc, .b = b_enc};
    job.cap = cap_of(k);
    job.ld = row_of(m);
    job_make(&job, scratch);
    if (is_wild(&job.w))
        return n;
    for (size_t t = 0; t < n; t += BLOCK) {
        screen_block(&job, t, n - t < BLOCK ? n - t : BLOCK);
        if (t == 0 && 2 * undecided(&job, n < BLOCK ? n : BLOCK) > (n < BLOCK ? n : BLOCK))
            return n; /* these inputs are not for screening */
    }
    const size_t n_failed = list_failed(&job, failed);
    sae_cpu_close_gaps(n, job.cap, &job.few);
    if (!values_sliced(&job))
        values_plain(&job);
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t t = 0; t < n; t++) {
        const size_t e = job.few.start[t];
        csr->start[t + 1] = sae_cpu_select_few(job.few.start[t + 1] - e, job.few.idx + e,
                                               job.few.val + e, b_enc, k, csr->idx + t * k,
                                               csr->val + t * k);
    }
    return n_failed;
}
