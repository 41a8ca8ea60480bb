/* SPDX-License-Identifier: MIT */
/* cudart : a stand-in for libcudart under which saecuda.so runs unchanged, with the PTX of its
 * kernels in place of machine code. What makes it strict: work is done no sooner than the host waits
 * for it, memory starts dirty, launches are held to the limits of compute capability 9.0, and
 * PTX_FAIL_AT=n lets the n-th wait for an event fail. */
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tests/ptx/ptx.h"

static const size_t SHARED_MOST = 227 << 10, SHARED_USUAL = 48 << 10, PAGEABLE_MOST = 64 << 10;

static cudaError_t last = cudaSuccess;

static cudaError_t fail(cudaError_t e)
{
    last = e;
    return e;
}

/* --- kernels ----------------------------------------------------------------------------------- */

struct kernel {
    const ptx_entry *entry; /* NULL: does nothing */
    size_t dynamic_most;
};

static std::map<const void *, kernel> kernels;

struct configuration {
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
};

static std::vector<configuration> configurations;

static cudaError_t launch(const kernel &k, dim3 grid, dim3 block, void **args, size_t shared)
{
    const ptx_entry *const e = k.entry;
    if (!e)
        return cudaSuccess;
    if (grid.x == 0 || grid.y == 0 || grid.y > 65535 || grid.z != 1 || block.x == 0 ||
        block.x > 1024)
        return fail(cudaErrorInvalidConfiguration);
    if (shared + e->static_shared > SHARED_MOST || shared > k.dynamic_most ||
        (k.dynamic_most <= SHARED_USUAL && shared + e->static_shared > SHARED_USUAL))
        return fail(cudaErrorInvalidValue);
    std::vector<std::vector<unsigned char>> held;
    for (unsigned i = 0; i < e->n_params; i++) {
        const unsigned char *const from = static_cast<unsigned char *>(args[i]);
        held.emplace_back(from, from + e->param_bytes[i]);
    }
    ptx_post([=]() mutable {
        std::vector<void *> each;
        for (auto &bytes : held)
            each.push_back(bytes.data());
        ptx_run(e, grid.x, grid.y, block.x, shared, each.data());
    });
    return cudaSuccess;
}

extern "C" {

void **__cudaRegisterFatBinary(void *binary)
{
    static void *held;
    held = binary;
    return &held;
}

void __cudaRegisterFatBinaryEnd(void **)
{
}

void __cudaUnregisterFatBinary(void **)
{
}

void __cudaRegisterFunction(void **, const char *host, char *, const char *name, int, uint3 *,
                            uint3 *, dim3 *, dim3 *, int *)
{
    const ptx_entry *e = ptx_entries;
    while (e->name && strcmp(e->name, name) != 0)
        e++;
    if (!e->name && !strstr(name, "probe_kernel")) {
        fprintf(stderr, "cudart: no PTX of kernel %s\n", name);
        abort();
    }
    kernels[host] = kernel{e->name ? e : nullptr, SHARED_USUAL};
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, struct CUstream_st *s)
{
    configurations.push_back({grid, block, shared, s});
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream)
{
    const configuration c = configurations.back();
    configurations.pop_back();
    *grid = c.grid;
    *block = c.block;
    *shared = c.shared;
    memcpy(stream, &c.stream, sizeof c.stream);
    return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t *ret, const void *host)
{
    *ret = reinterpret_cast<cudaKernel_t>(&kernels[host]);
    return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t k, dim3 grid, dim3 block, void **args, size_t shared,
                               cudaStream_t)
{
    return launch(*reinterpret_cast<kernel *>(k), grid, block, args, shared);
}

cudaError_t cudaLaunchKernel(const void *host, dim3 grid, dim3 block, void **args, size_t shared,
                             cudaStream_t)
{
    return launch(kernels[host], grid, block, args, shared);
}

cudaError_t cudaFuncSetAttribute(const void *host, enum cudaFuncAttribute, int value)
{
    kernel &k = kernels[host];
    const size_t bytes = (size_t)value;
    if (k.entry && bytes + k.entry->static_shared > SHARED_MOST)
        return fail(cudaErrorInvalidValue);
    k.dynamic_most = bytes > k.dynamic_most ? bytes : k.dynamic_most;
    return cudaSuccess;
}

/* --- memory ------------------------------------------------------------------------------------ */

static std::map<char *, size_t> pinned;

static bool is_pinned(const void *p)
{
    char *const at = static_cast<char *>(const_cast<void *>(p));
    auto i = pinned.upper_bound(at);
    return i != pinned.begin() && at < (--i)->first + i->second;
}

cudaError_t cudaMalloc(void **ret, size_t bytes)
{
    ptx_wait(ptx_posted());
    *ret = ptx_alloc(bytes);
    return *ret ? cudaSuccess : fail(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void *p)
{
    ptx_wait(ptx_posted());
    ptx_free(p);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **ret, size_t bytes)
{
    ptx_wait(ptx_posted());
    *ret = malloc(bytes ? bytes : 1);
    if (!*ret)
        return fail(cudaErrorMemoryAllocation);
    memset(*ret, 0xC3, bytes);
    pinned[static_cast<char *>(*ret)] = bytes;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p)
{
    ptx_wait(ptx_posted());
    pinned.erase(static_cast<char *>(p));
    free(p);
    return cudaSuccess;
}

/* From pageable memory a copy is taken at the call, as the driver does; from pinned memory when the
 * stream comes to it, so that a buffer that is used again too soon shows. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t)
{
    if (kind == cudaMemcpyHostToDevice && !is_pinned(from)) {
        if (bytes > PAGEABLE_MOST)
            ptx_wait(ptx_posted());
        const char *const host = static_cast<const char *>(from);
        const std::vector<char> held(host, host + bytes);
        ptx_post([=] {
                memcpy(to, held.data(), bytes);
            });
        return cudaSuccess;
    }
    ptx_post([=] { memcpy(to, from, bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t)
{
    ptx_post([=] { memset(to, value, bytes); });
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *ret_free, size_t *ret_total)
{
    *ret_free = ptx_free_bytes();
    *ret_total = (size_t)1 << 30;
    return cudaSuccess;
}

/* --- waiting ----------------------------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *ret, unsigned)
{
    static int stream;
    *ret = reinterpret_cast<cudaStream_t>(&stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    ptx_wait(ptx_posted());
    return last == cudaErrorIllegalAddress ? last : cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    return cudaStreamSynchronize(nullptr);
}

struct event {
    size_t at;
};

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *ret, unsigned)
{
    *ret = reinterpret_cast<cudaEvent_t>(new event{0});
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    delete reinterpret_cast<event *>(e);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t)
{
    reinterpret_cast<event *>(e)->at = ptx_posted();
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    static const char *const text = getenv("PTX_FAIL_AT");
    static const long fail_at = text ? strtol(text, nullptr, 10) : 0;
    static long n_waits;
    ptx_wait(reinterpret_cast<event *>(e)->at);
    return fail_at > 0 && ++n_waits >= fail_at ? fail(cudaErrorIllegalAddress) : cudaSuccess;
}

/* --- the device -------------------------------------------------------------------------------- */

cudaError_t cudaDeviceGetAttribute(int *ret, enum cudaDeviceAttr what, int)
{
    *ret = what == cudaDevAttrMaxSharedMemoryPerBlockOptin ? (int)SHARED_MOST : 132;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *ret)
{
    *ret = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *ret)
{
    *ret = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *ret)
{
    *ret = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *ret, int)
{
    memset(ret, 0, sizeof *ret);
    strcpy(ret->name, "PTX on fibers");
    ret->major = 9;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int)
{
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t e)
{
    static char text[40];
    if (e == cudaErrorIllegalAddress)
        return "an illegal memory access was encountered";
    snprintf(text, sizeof text, "error %d", (int)e);
    return text;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t e = last;
    if (e != cudaErrorIllegalAddress) /* one that stays */
        last = cudaSuccess;
    return e;
}

} /* extern "C" */
