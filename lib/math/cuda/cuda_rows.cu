/* SPDX-License-Identifier: MIT */
/* cuda_rows : element-wise and row-wise passes over dense arrays; bound by memory. */
#include <math.h>

#include "lib/math/cuda/cuda.h"

enum { COLUMNS = 32 };
static const unsigned PARTS = 1024;

/* Of a block that has one row. */
static unsigned row_threads(size_t d)
{
    return d <= SAE_WARP ? (unsigned)SAE_WARP : SAE_BLOCK / 2;
}

static __global__ void center_kernel(size_t d, const float *x, const float *b, float *xc)
{
    const size_t at = blockIdx.x * d;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x)
        xc[at + i] = x[at + i] - b[i];
}

void sae_cuda_center(size_t n, size_t d, const float *x, const float *b, float *xc)
{
    if (n > 0)
        SAE_LAUNCH(center_kernel, (unsigned)n, row_threads(d), 0, d, x, b, xc);
}

/* A block takes 32 columns; its warps take rows in turn and are added in their order. */
static __global__ void col_sum_kernel(size_t n, size_t d, const float *A, float *out)
{
    __shared__ double part[SAE_BLOCK];
    const size_t i = (size_t)blockIdx.x * COLUMNS + sae_lane();
    double sum = 0;
    for (size_t t = sae_warp(); i < d && t < n; t += sae_warps())
        sum += (double)A[t * d + i];
    part[threadIdx.x] = sum;
    __syncthreads();
    if (sae_warp() > 0 || i >= d)
        return;
    for (unsigned w = 1; w < sae_warps(); w++)
        sum += part[w * SAE_WARP + sae_lane()];
    out[i] = (float)sum;
}

void sae_cuda_col_sum(size_t n, size_t d, const float *A, float *out)
{
    if (d > 0)
        SAE_LAUNCH(col_sum_kernel, (unsigned)((d + COLUMNS - 1) / COLUMNS), SAE_BLOCK, 0, n, d, A,
                   out);
}

static __global__ void sum_sq_kernel(size_t n, const float *a, double *part)
{
    double sum = 0;
    for (size_t i = sae_item(); i < n; i += (size_t)gridDim.x * blockDim.x)
        sum += (double)a[i] * (double)a[i];
    sum = sae_block_sum(sum);
    if (threadIdx.x == 0)
        part[blockIdx.x] = sum;
}

static __global__ void sum_parts_kernel(size_t n, const double *part, bool add, double *out)
{
    double sum = 0;
    for (size_t i = threadIdx.x; i < n; i += blockDim.x)
        sum += part[i];
    sum = sae_block_sum(sum);
    if (threadIdx.x == 0)
        *out = add ? *out + sum : sum;
}

void sae_cuda_sum_parts(size_t n, const double *part, bool add, double *out)
{
    SAE_LAUNCH(sum_parts_kernel, 1, SAE_BLOCK, 0, n, part, add, out);
}

void sae_cuda_sq_sum(size_t n, const float *a, double *sum)
{
    double *const part = (double *)sae_gpu_scratch(SAE_GPU_A, PARTS * sizeof(double));
    if (!part || n == 0)
        return;
    const unsigned blocks = n < (size_t)PARTS * SAE_BLOCK ? sae_blocks(n) : PARTS;
    SAE_LAUNCH(sum_sq_kernel, blocks, SAE_BLOCK, 0, n, a, part);
    sae_cuda_sum_parts(blocks, part, true, sum);
}

/* A device number for an operation that gives it to the host. */
static double *number(void)
{
    double *const p = (double *)sae_gpu_scratch(SAE_GPU_NUMBER, sizeof(double));
    if (p)
        sae_gpu_zero(p, sizeof *p);
    return p;
}

static double number_get(const double *p)
{
    double v = NAN;
    if (p)
        sae_gpu_get(&v, p, sizeof v);
    return v;
}

double sae_cuda_sum_sq(size_t n, const float *a)
{
    double *const sum = number();
    if (sum)
        sae_cuda_sq_sum(n, a, sum);
    return number_get(sum);
}

/* One block a row. */
static __global__ void loss_kernel(bool norm, size_t n, size_t d, const float *x, const float *xhat,
                                   float *grad, double *part)
{
    const size_t at = blockIdx.x * d;
    double sq = 0;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x) {
        const float miss = xhat[at + i] - x[at + i];
        sq += (double)miss * (double)miss;
    }
    sq = sae_block_sum(sq);
    const double scale = norm ? (sq > 0 ? 1 / sqrt(sq) : 0) : 2;
    const double s = scale / (double)n; /* above all floats where the error is tiny */
    for (size_t i = threadIdx.x; i < d; i += blockDim.x)
        grad[at + i] = (float)(s * (double)(xhat[at + i] - x[at + i]));
    if (threadIdx.x == 0)
        part[blockIdx.x] = norm ? sqrt(sq) : sq;
}

void sae_cuda_loss_sum(bool norm, size_t n, size_t d, const float *x, const float *xhat,
                       float *grad, double *sum)
{
    double *const part = (double *)sae_gpu_scratch(SAE_GPU_A, (n + 1) * sizeof(double));
    if (!part || n == 0)
        return;
    SAE_LAUNCH(loss_kernel, (unsigned)n, row_threads(d), 0, norm, n, d, x, xhat, grad, part);
    sae_cuda_sum_parts(n, part, false, sum);
}

static __global__ void unit_kernel(size_t d, float eps, float *W)
{
    float *const w = W + blockIdx.x * d;
    double sq = 0;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x)
        sq += (double)w[i] * (double)w[i];
    const double norm = sqrt(sae_block_sum(sq)) + (double)eps;
    if (norm == 0)
        return;
    const double inverse = 1 / norm;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x)
        w[i] = (float)((double)w[i] * inverse);
}

void sae_cuda_unit_rows(size_t m, size_t d, float eps, float *W)
{
    if (m > 0)
        SAE_LAUNCH(unit_kernel, (unsigned)m, row_threads(d), 0, d, eps, W);
}

/* One block a row. */
static __global__ void project_kernel(size_t d, const float *W, float eps, const float *G,
                                      float *proj, double *part)
{
    const float *const w = W + blockIdx.x * d;
    const float *const g = G + blockIdx.x * d;
    double dot = 0, sq = 0, left = 0;
    for (size_t i = threadIdx.x; i < d; i += blockDim.x) {
        dot += (double)g[i] * (double)w[i];
        sq += (double)w[i] * (double)w[i];
    }
    dot = sae_block_sum(dot);
    const double norm = sqrt(sae_block_sum(sq)) + (double)eps;
    const float a = (float)(norm == 0 ? 0 : dot / norm / norm);
    for (size_t i = threadIdx.x; i < d; i += blockDim.x) {
        const double v = (double)g[i] - (double)a * (double)w[i];
        left += v * v;
    }
    left = sae_block_sum(left);
    if (threadIdx.x == 0) {
        proj[blockIdx.x] = a;
        part[blockIdx.x] = left;
    }
}

void sae_cuda_project_sum(size_t m, size_t d, const float *W, float eps, const float *G,
                          float *proj, double *sum)
{
    double *const part = (double *)sae_gpu_scratch(SAE_GPU_A, (m + 1) * sizeof(double));
    if (!part || m == 0)
        return;
    SAE_LAUNCH(project_kernel, (unsigned)m, row_threads(d), 0, d, W, eps, G, proj, part);
    sae_cuda_sum_parts(m, part, false, sum);
}

/* Adam's numbers of one step; a = 1 - b, root = 1 / sqrt(1 - b2^t). */
struct adam_step {
    float b1, a1, b2, a2, scale, rate, root, eps;
    const double *norm_sq, *guard;
    size_t n_guard;
};

/* Completes the scale; false where the guard stops the step. */
static __device__ inline bool adam_ready(adam_step *h)
{
    for (size_t i = 0; h->guard && i < h->n_guard; i++)
        if (!isfinite(h->guard[i]))
            return false;
    if (h->norm_sq) {
        const double clip = 1 / (sqrt(*h->norm_sq) + 1e-6);
        h->scale *= (float)(clip < 1 ? clip : 1);
    }
    return true;
}

static __device__ inline void adam_one(const adam_step &h, float gradient, float *W, float *M,
                                       float *V)
{
    const float g = h.scale * gradient;
    const float mom = h.b1 * *M + h.a1 * g;
    const float var = h.b2 * *V + h.a2 * (g * g);
    *M = mom;
    *V = var;
    *W -= h.rate * (mom / (sqrtf(var) * h.root + h.eps));
}

static __global__ void adam_kernel(size_t n, adam_step h, float *W, const float *G, float *M,
                                   float *V)
{
    const size_t i = sae_item();
    if (i < n && adam_ready(&h))
        adam_one(h, G[i], W + i, M + i, V + i);
}

static adam_step adam_numbers(const struct sae_adam *h)
{
    const double b1 = (double)h->beta1, b2 = (double)h->beta2;
    const double c1 = 1 - pow(b1, (double)h->step), c2 = 1 - pow(b2, (double)h->step);
    return adam_step{h->beta1, (float)(1 - b1),             h->beta2,
                     (float)(1 - b2), h->scale, (float)((double)h->lr / c1),
                     (float)(1 / sqrt(c2)), h->eps, h->norm_sq, h->guard, h->n_guard};
}

void sae_cuda_adam(size_t n, const struct sae_adam *h, float *W, const float *G, float *M, float *V)
{
    if (n > 0)
        SAE_LAUNCH(adam_kernel, sae_blocks(n), SAE_BLOCK, 0, n, adam_numbers(h), W, G, M, V);
}

/* One block a row: projection, Adam and the new norm in one pass over memory; the row is in the
 * cache when it is divided. */
static __global__ void adam_rows_kernel(size_t d, adam_step h, const float *proj, float eps,
                                        float *W, const float *G, float *M, float *V)
{
    const size_t at = blockIdx.x * d;
    const float a = proj[blockIdx.x];
    double sq = 0;
    if (!adam_ready(&h))
        return;
    for (size_t i = at + threadIdx.x; i < at + d; i += blockDim.x) {
        adam_one(h, (float)((double)G[i] - (double)a * (double)W[i]), W + i, M + i, V + i);
        sq += (double)W[i] * (double)W[i];
    }
    const double norm = sqrt(sae_block_sum(sq)) + (double)eps;
    if (norm == 0)
        return;
    const double inverse = 1 / norm;
    for (size_t i = at + threadIdx.x; i < at + d; i += blockDim.x)
        W[i] = (float)((double)W[i] * inverse);
}

void sae_cuda_adam_rows(size_t m, size_t d, const struct sae_adam *h, const float *proj, float eps,
                        float *W, const float *G, float *M, float *V)
{
    if (m > 0)
        SAE_LAUNCH(adam_rows_kernel, (unsigned)m, row_threads(d), 0, d, adam_numbers(h), proj, eps,
                   W, G, M, V);
}

/* One block a row, which is read three times and is in the cache after the first. */
static __global__ void cap_rows_kernel(size_t d, double least, const float *start, float *W)
{
    const size_t at = blockIdx.x * d;
    double dot = 0, sq = 0;
    for (size_t i = at + threadIdx.x; i < at + d; i += blockDim.x)
        dot += (double)W[i] * (double)start[i];
    const double c = sae_block_sum(dot);
    if (!(c < least - SAE_CAP_SLACK))
        return;
    for (size_t i = at + threadIdx.x; i < at + d; i += blockDim.x) {
        const double u = (double)W[i] - c * (double)start[i];
        sq += u * u;
    }
    const double across = sqrt(sae_block_sum(sq));
    const bool opposite = !(across > SAE_CAP_SLACK);
    const double b = opposite ? 0 : sqrt(1 - least * least) / across;
    const double a = opposite ? 1 : least - b * c;
    for (size_t i = at + threadIdx.x; i < at + d; i += blockDim.x)
        W[i] = (float)(a * (double)start[i] + b * (double)W[i]);
}

void sae_cuda_cap_rows(size_t m, size_t d, double least, const float *start, float *W)
{
    if (m > 0)
        SAE_LAUNCH(cap_rows_kernel, (unsigned)m, row_threads(d), 0, d, least, start, W);
}
