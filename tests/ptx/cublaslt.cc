/* SPDX-License-Identifier: MIT */
/* cublaslt : a stand-in for libcublasLt over OpenBLAS, in the order of the stream. An array that is
 * less aligned than the choice of an algorithm was told ends the program. */
#include <cblas.h>
#include <cublasLt.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/ptx/ptx.h"

struct product {
    cublasOperation_t ta, tb;
};

struct layout {
    cudaDataType_t type;
    uint64_t rows, cols;
    int64_t ld;
};

struct preference {
    size_t workspace;
    uint32_t align[4]; /* A, B, C, D */
};

[[noreturn]] static void die(const char *what)
{
    fprintf(stderr, "cublaslt: %s\n", what);
    abort();
}

static std::vector<float> widen(const void *from, const layout &l)
{
    const uint16_t *const bits = static_cast<const uint16_t *>(from);
    std::vector<float> to((size_t)l.ld * l.cols);
    for (uint64_t c = 0; c < l.cols; c++) {
        for (uint64_t r = 0; r < l.rows; r++) {
            const uint32_t wide = (uint32_t)bits[c * (uint64_t)l.ld + r] << 16;
            memcpy(&to[c * (uint64_t)l.ld + r], &wide, sizeof wide);
        }
    }
    return to;
}

struct operands {
    product p;
    layout a, b, c;
    const void *A, *B;
    void *C;
    double alpha, beta;
    uint64_t M, N, K;
};

static CBLAS_TRANSPOSE turned(cublasOperation_t op)
{
    return op == CUBLAS_OP_T ? CblasTrans : CblasNoTrans;
}

static void multiply(const operands &o)
{
    if (o.c.type == CUDA_R_64F) {
        cblas_dgemm(CblasColMajor, turned(o.p.ta), turned(o.p.tb), (int)o.M, (int)o.N, (int)o.K,
                    o.alpha, static_cast<const double *>(o.A), (int)o.a.ld,
                    static_cast<const double *>(o.B), (int)o.b.ld, o.beta,
                    static_cast<double *>(o.C), (int)o.c.ld);
    } else {
        std::vector<float> wide_A, wide_B;
        const float *A = static_cast<const float *>(o.A), *B = static_cast<const float *>(o.B);
        if (o.a.type == CUDA_R_16BF)
            A = (wide_A = widen(o.A, o.a)).data();
        if (o.b.type == CUDA_R_16BF)
            B = (wide_B = widen(o.B, o.b)).data();
        cblas_sgemm(CblasColMajor, turned(o.p.ta), turned(o.p.tb), (int)o.M, (int)o.N, (int)o.K,
                    (float)o.alpha, A, (int)o.a.ld, B, (int)o.b.ld, (float)o.beta,
                    static_cast<float *>(o.C), (int)o.c.ld);
    }
}

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t *ret)
{
    static int handle;
    *ret = reinterpret_cast<cublasLtHandle_t>(&handle);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *ret, cublasComputeType_t,
                                        cudaDataType_t)
{
    *ret = reinterpret_cast<cublasLtMatmulDesc_t>(new product{CUBLAS_OP_N, CUBLAS_OP_N});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(const cublasLtMatmulDesc_t p)
{
    delete reinterpret_cast<product *>(p);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t p,
                                              cublasLtMatmulDescAttributes_t what,
                                              const void *value, size_t bytes)
{
    product *const to = reinterpret_cast<product *>(p);
    if (bytes != sizeof to->ta ||
        (what != CUBLASLT_MATMUL_DESC_TRANSA && what != CUBLASLT_MATMUL_DESC_TRANSB))
        die("an attribute of a product that is not known here");
    memcpy(what == CUBLASLT_MATMUL_DESC_TRANSA ? &to->ta : &to->tb, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *ret, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    if (ld < (int64_t)rows)
        return CUBLAS_STATUS_INVALID_VALUE;
    *ret = reinterpret_cast<cublasLtMatrixLayout_t>(new layout{type, rows, cols, ld});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(const cublasLtMatrixLayout_t l)
{
    delete reinterpret_cast<layout *>(l);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *ret)
{
    *ret = reinterpret_cast<cublasLtMatmulPreference_t>(
        new preference{0, {256, 256, 256, 256}});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(const cublasLtMatmulPreference_t p)
{
    delete reinterpret_cast<preference *>(p);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                     cublasLtMatmulPreferenceAttributes_t what, const void *value,
                                     size_t bytes)
{
    preference *const to = reinterpret_cast<preference *>(p);
    const int i = (int)what - (int)CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
    if (what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES && bytes == sizeof to->workspace)
        memcpy(&to->workspace, value, bytes);
    else if (i >= 0 && i < 4 && bytes == sizeof *to->align)
        memcpy(&to->align[i], value, bytes);
    else
        die("a preference that is not known here");
    return CUBLAS_STATUS_SUCCESS;
}

/* The promised alignments travel in the algorithm. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t p, int,
                                              cublasLtMatmulHeuristicResult_t found[], int *ret_n)
{
    const preference *const want = reinterpret_cast<preference *>(p);
    memset(found, 0, sizeof *found);
    memcpy(&found->algo, want->align, sizeof want->align);
    found->workspaceSize = want->workspace;
    *ret_n = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t p, const void *alpha,
                              const void *A, cublasLtMatrixLayout_t a, const void *B,
                              cublasLtMatrixLayout_t b, const void *beta, const void *C,
                              cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t,
                              const cublasLtMatmulAlgo_t *algo, void *, size_t, cudaStream_t)
{
    operands o = {*reinterpret_cast<product *>(p), *reinterpret_cast<layout *>(a),
                  *reinterpret_cast<layout *>(b), *reinterpret_cast<layout *>(c),
                  A, B, D, 0, 0, 0, 0, 0};
    uint32_t align[4];
    memcpy(align, algo, sizeof align);
    if ((uintptr_t)A % align[0] || (uintptr_t)B % align[1] || (uintptr_t)C % align[2] || C != D)
        die("an array is less aligned than was promised, or C is not D");
    const bool ta = o.p.ta == CUBLAS_OP_T, tb = o.p.tb == CUBLAS_OP_T;
    o.M = ta ? o.a.cols : o.a.rows;
    o.K = ta ? o.a.rows : o.a.cols;
    o.N = tb ? o.b.rows : o.b.cols;
    if ((tb ? o.b.cols : o.b.rows) != o.K || o.c.rows != o.M || o.c.cols != o.N)
        die("shapes that do not fit");
    if (o.M == 1 && o.N < 8) /* refused, so that the way without the library runs too */
        return CUBLAS_STATUS_NOT_SUPPORTED;
    const bool wide = o.c.type == CUDA_R_64F;
    o.alpha = wide ? *static_cast<const double *>(alpha) : *static_cast<const float *>(alpha);
    o.beta = wide ? *static_cast<const double *>(beta) : *static_cast<const float *>(beta);
    ptx_post([=] { multiply(o); });
    return CUBLAS_STATUS_SUCCESS;
}

} /* extern "C" */
