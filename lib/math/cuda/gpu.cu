/* SPDX-License-Identifier: MIT */
/* gpu : the thin layer on the CUDA runtime and cuBLASLt.
 * Contents: 1. device   2. memory   3. readback   4. products   5. failures */
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/math/cuda/gpu.h"

static cudaStream_t stream;
static cublasLtHandle_t blas;
static bool is_open;
static char device_name[300];
static struct {
    enum sae_status code;
    char text[500];
} failure;

static bool good(cudaError_t e, const char *what)
{
    if (e == cudaSuccess)
        return true;
    if (e == cudaErrorMemoryAllocation && failure.code == SAE_OK)
        failure.code = SAE_ENOMEM;
    sae_gpu_fail(what, cudaGetErrorString(e));
    return false;
}

/* --- 1. device ------------------------------------------------------------------------------ */

static enum sae_status find_device(struct sae_err *err)
{
    int n = 0, driver = 0, runtime = 0;
    const cudaError_t e = cudaGetDeviceCount(&n);
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    (void)cudaGetLastError();
    if (driver == 0)
        return sae_err_set(err, SAE_EBACKEND, "no NVIDIA driver on this machine");
    if (e != cudaSuccess)
        return sae_err_set(err, SAE_EBACKEND, "driver for CUDA %d.%d, libraries of CUDA %d.%d: %s",
                           driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10,
                           cudaGetErrorString(e));
    if (n == 0)
        return sae_err_set(err, SAE_EBACKEND, "an NVIDIA driver for CUDA %d.%d, but no device",
                           driver / 1000, driver % 1000 / 10);
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, 0) != cudaSuccess || cudaSetDevice(0) != cudaSuccess)
        return sae_err_set(err, SAE_EBACKEND, "device 0 of %d cannot be used: %s", n,
                           cudaGetErrorString(cudaGetLastError()));
    snprintf(device_name, sizeof device_name, "%s (compute %d.%d), CUDA %d.%d", properties.name,
             properties.major, properties.minor, runtime / 1000, runtime % 1000 / 10);
    return SAE_OK;
}

/* A kernel that only has to start: tells whether this build has code for the device. */
static __global__ void probe_kernel(void)
{
}

enum sae_status sae_gpu_open(struct sae_err *err)
{
    if (is_open)
        return SAE_OK;
    SAE_TRY(find_device(err));
    probe_kernel<<<1, 1>>>();
    const cudaError_t e = cudaDeviceSynchronize();
    if (cudaGetLastError() != cudaSuccess || e != cudaSuccess)
        return sae_err_set(err, SAE_EBACKEND,
                           "%s: this build has no code for it; configure with "
                           "-Dgpu_arch=sm_NN for it",
                           device_name);
    if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess ||
        cublasLtCreate(&blas) != CUBLAS_STATUS_SUCCESS)
        return sae_err_set(err, SAE_EBACKEND, "%s: no stream or no cuBLASLt handle", device_name);
    is_open = true;
    return SAE_OK;
}

const char *sae_gpu_name(void)
{
    return device_name;
}

void *sae_gpu_stream(void)
{
    return stream;
}

/* --- 2. memory ------------------------------------------------------------------------------ */

void *sae_gpu_alloc(size_t bytes)
{
    void *p = NULL;
    if (cudaMalloc(&p, bytes) != cudaSuccess) {
        (void)cudaGetLastError();
        return NULL;
    }
    sae_gpu_zero(p, bytes);
    return p;
}

void sae_gpu_free(void *p)
{
    if (p)
        (void)cudaFree(p);
}

enum { PUT_SMALL = 16 << 10 };
static const size_t PUT_MOST = (size_t)64 << 20;

/* Two pinned buffers in turn: the host fills one while the device may still read the other, so that
 * a batch of the next step is on its way without waiting for this one. */
static bool put_piece(char *to, const char *host, size_t bytes)
{
    static struct {
        void *pinned;
        size_t size;
        cudaEvent_t read;
    } buffer[2];
    static size_t turn;
    const size_t b = turn++ % 2;
    if (!buffer[b].read && !good(cudaEventCreateWithFlags(&buffer[b].read, cudaEventDisableTiming),
                                 "event on the device"))
        return false;
    if (!good(cudaEventSynchronize(buffer[b].read), "work on the device"))
        return false;
    if (bytes > buffer[b].size) {
        if (buffer[b].pinned)
            (void)cudaFreeHost(buffer[b].pinned);
        buffer[b].pinned = NULL;
        buffer[b].size = 0;
        if (!good(cudaMallocHost(&buffer[b].pinned, bytes), "memory that the device reaches"))
            return false;
        buffer[b].size = bytes;
    }
    memcpy(buffer[b].pinned, host, bytes);
    return good(cudaMemcpyAsync(to, buffer[b].pinned, bytes, cudaMemcpyHostToDevice, stream),
                "copy to the device") &&
           good(cudaEventRecord(buffer[b].read, stream), "event on the device");
}

void sae_gpu_put(void *to, const void *host, size_t bytes)
{
    if (bytes <= PUT_SMALL) { /* copied by the driver before it returns */
        good(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream),
             "copy to the device");
        return;
    }
    for (size_t at = 0; at < bytes; at += PUT_MOST) {
        const size_t n = bytes - at < PUT_MOST ? bytes - at : PUT_MOST;
        if (!put_piece((char *)to + at, (const char *)host + at, n))
            return;
    }
}

void sae_gpu_get(void *host, const void *from, size_t bytes)
{
    if (!good(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream),
              "copy from the device") ||
        !good(cudaStreamSynchronize(stream), "work on the device"))
        memset(host, 0xFF, bytes);
}

void sae_gpu_copy(void *to, const void *from, size_t bytes)
{
    good(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copy on the device");
}

void sae_gpu_zero(void *to, size_t bytes)
{
    good(cudaMemsetAsync(to, 0, bytes, stream), "clearing memory of the device");
}

size_t sae_gpu_free_bytes(void)
{
    size_t n_free = 0, all = 0;
    return cudaMemGetInfo(&n_free, &all) == cudaSuccess ? n_free : 0;
}

/* Less what kernels declare themselves. */
size_t sae_gpu_shared_most(void)
{
    enum { DECLARED = 16 * 1024 };
    int most = 0;
    if (cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0) != cudaSuccess)
        return 0;
    return most > DECLARED ? (size_t)(most - DECLARED) : 0;
}

void *sae_gpu_scratch(enum sae_gpu_slot slot, size_t bytes)
{
    static void *held[SAE_GPU_SLOTS];
    static size_t size[SAE_GPU_SLOTS];
    if (bytes <= size[slot] && held[slot])
        return held[slot];
    (void)cudaStreamSynchronize(stream);
    (void)cudaFree(held[slot]);
    held[slot] = NULL;
    size[slot] = 0;
    if (!good(cudaMalloc(&held[slot], bytes > 256 ? bytes : 256), "scratch memory of the device"))
        return NULL;
    size[slot] = bytes > 256 ? bytes : 256;
    return held[slot];
}

/* --- 3. readback -------------------------------------------------------------------------- */

struct sae_readback {
    size_t bytes;
    void *pinned;
    cudaEvent_t done;
};

enum sae_status sae_gpu_readback_open(struct sae_readback **ret, size_t bytes, struct sae_err *err)
{
    struct sae_readback *const readback = (struct sae_readback *)calloc(1, sizeof *readback);
    if (!readback || cudaMallocHost(&readback->pinned, bytes) != cudaSuccess ||
        cudaEventCreateWithFlags(&readback->done, cudaEventDisableTiming) != cudaSuccess) {
        sae_gpu_readback_close(readback);
        return sae_err_set(err, SAE_ENOMEM, "out of memory that the device reaches: %zu bytes",
                           bytes);
    }
    readback->bytes = bytes;
    memset(readback->pinned, 0, bytes);
    *ret = readback;
    return SAE_OK;
}

void sae_gpu_readback_close(struct sae_readback *readback)
{
    if (!readback)
        return;
    if (readback->done)
        (void)cudaEventDestroy(readback->done);
    if (readback->pinned)
        (void)cudaFreeHost(readback->pinned);
    free(readback);
}

void sae_gpu_readback_post(struct sae_readback *readback, const void *from)
{
    good(cudaMemcpyAsync(readback->pinned, from, readback->bytes, cudaMemcpyDeviceToHost, stream),
         "copy from the device");
    good(cudaEventRecord(readback->done, stream), "event on the device");
}

void sae_gpu_readback_wait(struct sae_readback *readback, void *host)
{
    if (good(cudaEventSynchronize(readback->done), "work on the device"))
        memcpy(host, readback->pinned, readback->bytes);
    else
        memset(host, 0xFF, readback->bytes);
}

/* --- 4. products: row-major C = op(A) op(B) is column-major C' = op(B)' op(A)' ---------------- */

enum { PLANS = 128, WORKSPACE = 32 << 20 };

/* All that the library's choice of an algorithm depends on. */
struct shape {
    enum sae_gpu_type type;
    bool ta, tb, zero_beta;
    size_t M, N, K, lda, ldb, ldc;
    unsigned align; /* of the least aligned of the three arrays */
};

struct plan {
    struct shape shape;
    cublasLtMatmulDesc_t matmul;
    cublasLtMatrixLayout_t A, B, C;
    cublasLtMatmulAlgo_t algo;
    bool usable;
};

static void *workspace;

static unsigned alignment_of(const void *p)
{
    const uintptr_t at = (uintptr_t)p;
    const uintptr_t low = at & (~at + 1);
    return low > 256 || low == 0 ? 256 : (unsigned)low;
}

static void plan_clear(struct plan *p)
{
    if (p->A)
        (void)cublasLtMatrixLayoutDestroy(p->A);
    if (p->B)
        (void)cublasLtMatrixLayoutDestroy(p->B);
    if (p->C)
        (void)cublasLtMatrixLayoutDestroy(p->C);
    if (p->matmul)
        (void)cublasLtMatmulDescDestroy(p->matmul);
    memset(p, 0, sizeof *p);
}

static bool plan_describe(struct plan *p, const struct shape *s)
{
    const cudaDataType_t out = s->type == SAE_GPU_F64 ? CUDA_R_64F : CUDA_R_32F,
                         in = s->type == SAE_GPU_BF16 ? CUDA_R_16BF : out;
    const cublasComputeType_t compute = s->type == SAE_GPU_F64    ? CUBLAS_COMPUTE_64F
                                        : s->type == SAE_GPU_TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                                  : CUBLAS_COMPUTE_32F;
    const cublasOperation_t first = s->tb ? CUBLAS_OP_T : CUBLAS_OP_N,
                            second = s->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    return cublasLtMatmulDescCreate(&p->matmul, compute, out) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatmulDescSetAttribute(p->matmul, CUBLASLT_MATMUL_DESC_TRANSA, &first,
                                          sizeof first) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatmulDescSetAttribute(p->matmul, CUBLASLT_MATMUL_DESC_TRANSB, &second,
                                          sizeof second) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutCreate(&p->A, in, s->tb ? s->K : s->N, s->tb ? s->N : s->K,
                                      (int64_t)s->ldb) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutCreate(&p->B, in, s->ta ? s->M : s->K, s->ta ? s->K : s->M,
                                      (int64_t)s->lda) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutCreate(&p->C, out, s->N, s->M, (int64_t)s->ldc) ==
               CUBLAS_STATUS_SUCCESS;
}

static bool plan_choose(struct plan *p, const struct shape *s)
{
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    cublasLtMatmulPreference_t want = NULL;
    cublasLtMatmulHeuristicResult_t found;
    const size_t workspace = WORKSPACE;
    const uint32_t align = s->align;
    int n = 0;
    memset(&found, 0, sizeof found);
    if (cublasLtMatmulPreferenceCreate(&want) != CUBLAS_STATUS_SUCCESS)
        return false;
    bool ok = cublasLtMatmulPreferenceSetAttribute(want, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                   &workspace, sizeof workspace) == CUBLAS_STATUS_SUCCESS;
    for (size_t i = 0; ok && i < sizeof aligned / sizeof *aligned; i++)
        ok = cublasLtMatmulPreferenceSetAttribute(want, aligned[i], &align, sizeof align) ==
             CUBLAS_STATUS_SUCCESS;
    ok = ok && cublasLtMatmulAlgoGetHeuristic(blas, p->matmul, p->A, p->B, p->C, p->C, want, 1,
                                              &found, &n) == CUBLAS_STATUS_SUCCESS;
    (void)cublasLtMatmulPreferenceDestroy(want);
    if (!ok || n < 1)
        return false;
    p->algo = found.algo;
    return true;
}

/* Plans are kept, the oldest makes room: choosing takes longer than a small product. */
static const struct plan *plan_of(const struct shape *s)
{
    static struct plan plans[PLANS];
    static size_t n, oldest;
    for (size_t i = 0; i < n; i++)
        if (memcmp(&plans[i].shape, s, sizeof *s) == 0)
            return &plans[i];
    struct plan *const p = &plans[n < PLANS ? n++ : oldest++ % PLANS];
    plan_clear(p);
    memcpy(&p->shape, s, sizeof *s);
    p->usable = plan_describe(p, s) && plan_choose(p, s);
    return p;
}

/* alpha and beta are of the type of C. */
static bool multiply(struct shape *s, const void *alpha, const void *A, const void *B,
                     const void *beta, void *C)
{
    s->align = alignment_of(A);
    s->align = alignment_of(B) < s->align ? alignment_of(B) : s->align;
    s->align = alignment_of(C) < s->align ? alignment_of(C) : s->align;
    if (!workspace && !good(cudaMalloc(&workspace, WORKSPACE), "workspace of cuBLASLt"))
        return false;
    const struct plan *const p = plan_of(s);
    return p->usable && cublasLtMatmul(blas, p->matmul, alpha, B, p->A, A, p->B, beta, C, p->C, C,
                                       p->C, &p->algo, workspace, WORKSPACE,
                                       stream) == CUBLAS_STATUS_SUCCESS;
}

bool sae_gpu_gemm(enum sae_gpu_type type, bool ta, bool tb, size_t M, size_t N, size_t K,
                  float alpha, const void *A, size_t lda, const void *B, size_t ldb, float beta,
                  float *C, size_t ldc)
{
    struct shape s;
    memset(&s, 0, sizeof s); /* padding too: shapes are compared by bytes */
    s.type = type;
    s.ta = ta;
    s.tb = tb;
    s.zero_beta = beta == 0;
    s.M = M;
    s.N = N;
    s.K = K;
    s.lda = lda;
    s.ldb = ldb;
    s.ldc = ldc;
    return multiply(&s, &alpha, A, B, &beta, C);
}

bool sae_gpu_gram(size_t rows, size_t d, const double *A, bool add, double *G)
{
    const double alpha = 1, beta = add ? 1 : 0;
    struct shape s;
    memset(&s, 0, sizeof s);
    s.type = SAE_GPU_F64;
    s.ta = true;
    s.zero_beta = !add;
    s.M = s.N = s.lda = s.ldb = s.ldc = d;
    s.K = rows;
    return multiply(&s, &alpha, A, A, &beta, G);
}

/* --- 5. failures ---------------------------------------------------------------------------- */

bool sae_gpu_allow_shared(const void *kernel, size_t bytes)
{
    if (bytes <= 48 * 1024 - 16 * 1024) /* with what kernels hold themselves, always allowed */
        return true;
    return good(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     (int)bytes),
                "shared memory of a kernel");
}

void sae_gpu_launched(const char *kernel)
{
    good(cudaGetLastError(), kernel);
}

void sae_gpu_fail(const char *what, const char *why)
{
    if (!failure.text[0])
        snprintf(failure.text, sizeof failure.text, "%s: %s", what, why);
    if (failure.code == SAE_OK)
        failure.code = SAE_EBACKEND;
}

enum sae_status sae_gpu_status(struct sae_err *err)
{
    good(cudaStreamSynchronize(stream), "work on the device");
    if (failure.code == SAE_OK)
        return SAE_OK;
    return sae_err_set(err, failure.code, "%s: %s", device_name, failure.text);
}
