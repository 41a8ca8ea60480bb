/* SPDX-License-Identifier: MIT */
/* gpu_solver : eigenvalues through cuSOLVER. The library and those it stands on are some 450 MB, and
 * training never asks for them: loaded when first called. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/math/cuda/gpu.h"

#if __has_include(<cusolverDn.h>)
#include <cuda_runtime.h>
#include <cusolverDn.h>

static struct {
    decltype(&cusolverDnCreate) create;
    decltype(&cusolverDnSetStream) set_stream;
    decltype(&cusolverDnCreateParams) create_params;
    decltype(&cusolverDnXsyevd_bufferSize) size;
    decltype(&cusolverDnXsyevd) run;
    cusolverDnHandle_t handle;
    cusolverDnParams_t params;
} solver;

template <class F> static bool find(void *library, const char *name, F *ret)
{
    *ret = reinterpret_cast<F>(dlsym(library, name));
    return *ret != nullptr;
}

static enum sae_status solver_open(struct sae_err *err)
{
    char name[32];
    if (solver.handle)
        return SAE_OK;
    snprintf(name, sizeof name, "libcusolver.so.%d", CUSOLVER_VER_MAJOR);
    void *const library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return sae_err_set(err, SAE_EBACKEND, "cuSOLVER cannot be loaded: %s", dlerror());
    if (!find(library, "cusolverDnCreate", &solver.create) ||
        !find(library, "cusolverDnSetStream", &solver.set_stream) ||
        !find(library, "cusolverDnCreateParams", &solver.create_params) ||
        !find(library, "cusolverDnXsyevd_bufferSize", &solver.size) ||
        !find(library, "cusolverDnXsyevd", &solver.run))
        return sae_err_set(err, SAE_EBACKEND, "cuSOLVER cannot be loaded: %s lacks a function",
                           name);
    cusolverDnHandle_t handle = nullptr;
    if (solver.create(&handle) != CUSOLVER_STATUS_SUCCESS ||
        solver.create_params(&solver.params) != CUSOLVER_STATUS_SUCCESS ||
        solver.set_stream(handle, (cudaStream_t)sae_gpu_stream()) != CUSOLVER_STATUS_SUCCESS)
        return sae_err_set(err, SAE_EBACKEND, "%s: no handle of cuSOLVER", sae_gpu_name());
    solver.handle = handle;
    return SAE_OK;
}

enum sae_status sae_gpu_eigenvalues(size_t d, double *A, double *eig, struct sae_err *err)
{
    const cusolverEigMode_t mode = CUSOLVER_EIG_MODE_NOVECTOR;
    const cublasFillMode_t half = CUBLAS_FILL_MODE_UPPER;
    const int64_t n = (int64_t)d;
    size_t on_device = 0, on_host = 0;
    SAE_TRY(solver_open(err));
    cusolverStatus_t st = solver.size(solver.handle, solver.params, mode, half, n, CUDA_R_64F, A,
                                      n, CUDA_R_64F, eig, CUDA_R_64F, &on_device, &on_host);
    if (st != CUSOLVER_STATUS_SUCCESS)
        return sae_err_set(err, SAE_EBACKEND, "%s: cuSOLVER's syevd says %d", sae_gpu_name(),
                           (int)st);
    void *const scratch = sae_gpu_scratch(SAE_GPU_B, on_device);
    int *const info = (int *)sae_gpu_scratch(SAE_GPU_NUMBER, sizeof *info);
    void *const host = calloc(on_host > 0 ? on_host : 1, 1);
    if (!scratch || !info || !host) {
        free(host);
        return sae_err_set(err, SAE_ENOMEM, "out of memory for eigenvalues: %zu bytes of the device",
                           on_device);
    }
    st = solver.run(solver.handle, solver.params, mode, half, n, CUDA_R_64F, A, n, CUDA_R_64F, eig,
                    CUDA_R_64F, scratch, on_device, host, on_host, info);
    int said = -1;
    sae_gpu_get(&said, info, sizeof said); /* waits: host memory is in use until here */
    free(host);
    if (st != CUSOLVER_STATUS_SUCCESS || said != 0)
        return sae_err_set(err, SAE_EBACKEND,
                           "cannot find the eigenvalues: cuSOLVER's syevd says %d, info %d", (int)st,
                           said);
    return SAE_OK;
}

#else
enum sae_status sae_gpu_eigenvalues(size_t d, double *A, double *eig, struct sae_err *err)
{
    (void)d, (void)A, (void)eig;
    return sae_err_set(err, SAE_EBACKEND,
                       "this build has no cuSOLVER: cusolverDn.h was not found as it was made");
}
#endif
