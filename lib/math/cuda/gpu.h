/* SPDX-License-Identifier: MIT */
/* gpu : the thin layer between the kernels and NVIDIA's libraries: memory, copies, one stream,
 * products through cuBLASLt. gpu.cu is the real one; the tests have another over host memory and
 * OpenBLAS. Internal to lib/math/cuda.
 *
 * One device (the first that CUDA_VISIBLE_DEVICES leaves), one stream: what is started is done in
 * that order. Failures of asynchronous work are kept, the first one is told by sae_gpu_status. */
#ifndef SAE_LIB_MATH_CUDA_GPU_H
#define SAE_LIB_MATH_CUDA_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fails: SAE_EBACKEND no device, with what was found. Again: nothing is done. */
SAE_MUST_CHECK enum sae_status sae_gpu_open(struct sae_err *err);
const char *sae_gpu_name(void); /* "NVIDIA H100 80GB HBM3, CUDA 13.0" */

void *sae_gpu_alloc(size_t bytes); /* zeroed; NULL where there is no memory */
void sae_gpu_free(void *p);
void sae_gpu_put(void *to, const void *host, size_t bytes);
/* Waits for all that was started. After a failure the host's bytes become 0xFF (NaN). */
void sae_gpu_get(void *host, const void *from, size_t bytes);
void sae_gpu_copy(void *to, const void *from, size_t bytes);
void sae_gpu_zero(void *to, size_t bytes);
size_t sae_gpu_free_bytes(void);
size_t sae_gpu_shared_most(void); /* bytes of dynamic shared memory that a kernel may ask for */

/* Memory that an operation needs for itself, one array a slot, kept and grown. Its contents do not
 * outlive the operation. NULL where there is no memory (kept for sae_gpu_status). */
enum sae_gpu_slot {
    SAE_GPU_A,
    SAE_GPU_B,
    SAE_GPU_C,
    SAE_GPU_D,
    SAE_GPU_E,
    SAE_GPU_NUMBER,
    SAE_GPU_BF16_A, /* of the product alone */
    SAE_GPU_BF16_B,
    SAE_GPU_SLOTS
};
void *sae_gpu_scratch(enum sae_gpu_slot slot, size_t bytes);

/* A few bytes copied to the host without waiting. */
struct sae_readback;
SAE_MUST_CHECK enum sae_status sae_gpu_readback_open(struct sae_readback **ret, size_t bytes,
                                                     struct sae_err *err);
void sae_gpu_readback_close(struct sae_readback *readback);
void sae_gpu_readback_post(struct sae_readback *readback, const void *from);
void sae_gpu_readback_wait(struct sae_readback *readback, void *host); /* for the last post */

enum sae_gpu_type { SAE_GPU_F32, SAE_GPU_TF32, SAE_GPU_BF16, SAE_GPU_F64 /* of gram alone */ };
/* As sae_ops.gemm, over row-major matrices; A and B are bf16 where type says so, C is f32.
 * False where the library has no way for this shape; nothing was started then. */
bool sae_gpu_gemm(enum sae_gpu_type type, bool ta, bool tb, size_t M, size_t N, size_t K,
                  float alpha, const void *A, size_t lda, const void *B, size_t ldb, float beta,
                  float *C, size_t ldc);

/* G [d][d] = A' A, + G where `add`, in double, from A [rows][d]. False as above. */
bool sae_gpu_gram(size_t rows, size_t d, const double *A, bool add, double *G);
/* Eigenvalues of a symmetric A [d][d], ascending; A is used up. Uses the slots B and NUMBER; waits.
 * Fails: SAE_EBACKEND cuSOLVER is not there, or says no; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_gpu_eigenvalues(size_t d, double *A, double *eig,
                                                   struct sae_err *err);

/* For SAE_LAUNCH. */
void *sae_gpu_stream(void);
bool sae_gpu_allow_shared(const void *kernel, size_t bytes);
void sae_gpu_launched(const char *kernel);

void sae_gpu_fail(const char *what, const char *why); /* the first is kept */
/* Waits, and tells the first failure since the backend was opened: SAE_EBACKEND or SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_gpu_status(struct sae_err *err);

#ifdef __cplusplus
}
#endif
#endif /* SAE_LIB_MATH_CUDA_GPU_H */
