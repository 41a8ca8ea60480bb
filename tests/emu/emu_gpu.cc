/* SPDX-License-Identifier: MIT */
/* emu_gpu : the thin layer (lib/math/cuda/gpu.h) over guarded host memory and OpenBLAS. */
#include <cblas.h>
#include <cstdio>

#include "lib/math/cuda/device.h"

static void *scratch[SAE_GPU_SLOTS];
static size_t scratch_bytes[SAE_GPU_SLOTS];
static size_t n_waits, fail_at;
static char failure[300];

size_t emu_waits(void)
{
    return n_waits;
}

void emu_fail_at(size_t n)
{
    fail_at = n ? n_waits + n : 0;
    failure[0] = '\0';
}

/* Counts; whether the device answers. */
static bool wait_is_good(void)
{
    n_waits++;
    if (fail_at == 0 || n_waits < fail_at)
        return true;
    sae_gpu_fail("work on the device", "an illegal memory access was encountered");
    return false;
}

enum sae_status sae_gpu_open(struct sae_err *err)
{
    (void)err;
    return SAE_OK;
}

const char *sae_gpu_name(void)
{
    return "emulation";
}

void *sae_gpu_alloc(size_t bytes)
{
    return emu_alloc(bytes);
}

void sae_gpu_free(void *p)
{
    emu_free(p);
}

static void copy(void *to, const void *from, size_t bytes)
{
    emu_enter();
    if (bytes > 0)
        memcpy(to, from, bytes);
    emu_leave();
}

void sae_gpu_put(void *to, const void *host, size_t bytes)
{
    copy(to, host, bytes);
}

void sae_gpu_get(void *host, const void *from, size_t bytes)
{
    if (wait_is_good())
        copy(host, from, bytes);
    else
        memset(host, 0xFF, bytes);
}

void sae_gpu_copy(void *to, const void *from, size_t bytes)
{
    copy(to, from, bytes);
}

void sae_gpu_zero(void *to, size_t bytes)
{
    emu_enter();
    memset(to, 0, bytes);
    emu_leave();
}

size_t sae_gpu_free_bytes(void)
{
    return emu_room();
}

size_t sae_gpu_shared_most(void)
{
    return 32 * 1024;
}

/* As dirty as the device's would be. */
void *sae_gpu_scratch(enum sae_gpu_slot slot, size_t bytes)
{
    if (bytes > scratch_bytes[slot]) {
        emu_free(scratch[slot]);
        scratch[slot] = emu_alloc(bytes);
        scratch_bytes[slot] = bytes;
    }
    emu_enter();
    memset(scratch[slot], 0xFF, scratch_bytes[slot]);
    emu_leave();
    return scratch[slot];
}

/* Told one post late, as a device that lags would. */
struct sae_readback {
    size_t bytes;
    unsigned char *held;
};

enum sae_status sae_gpu_readback_open(struct sae_readback **ret, size_t bytes, struct sae_err *err)
{
    (void)err;
    *ret = new sae_readback{bytes, new unsigned char[bytes]()};
    return SAE_OK;
}

void sae_gpu_readback_close(struct sae_readback *readback)
{
    if (!readback)
        return;
    delete[] readback->held;
    delete readback;
}

void sae_gpu_readback_post(struct sae_readback *readback, const void *from)
{
    copy(readback->held, from, readback->bytes);
}

void sae_gpu_readback_wait(struct sae_readback *readback, void *host)
{
    if (fail_at == 0)
        memcpy(host, readback->held, readback->bytes);
    else if (wait_is_good()) /* one that may fail waits for it */
        memcpy(host, readback->held, readback->bytes);
    else
        memset(host, 0xFF, readback->bytes);
}

static std::vector<float> widen(const void *from, size_t n)
{
    std::vector<float> to(n);
    const uint16_t *const bits = static_cast<const uint16_t *>(from);
    for (size_t i = 0; i < n; i++)
        to[i] = __uint_as_float((unsigned)bits[i] << 16);
    return to;
}

bool sae_gpu_gemm(enum sae_gpu_type type, bool ta, bool tb, size_t M, size_t N, size_t K,
                  float alpha, const void *A, size_t lda, const void *B, size_t ldb, float beta,
                  float *C, size_t ldc)
{
    if (M == 1 && N < 8) /* some shapes are refused, so that the way without a library runs too */
        return false;
    std::vector<float> wide_A, wide_B;
    emu_enter();
    if (type == SAE_GPU_BF16) {
        wide_A = widen(A, ((ta ? K : M) - 1) * lda + (ta ? M : K));
        wide_B = widen(B, ((tb ? N : K) - 1) * ldb + (tb ? K : N));
        A = wide_A.data();
        B = wide_B.data();
    }
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans,
                (int)M, (int)N, (int)K, alpha, static_cast<const float *>(A), (int)lda,
                static_cast<const float *>(B), (int)ldb, beta, C, (int)ldc);
    emu_leave();
    return true;
}

bool sae_gpu_gram(size_t rows, size_t d, const double *A, bool add, double *G)
{
    if (d < 8) /* refused, as above */
        return false;
    emu_enter();
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)d, (int)d, (int)rows, 1, A, (int)d, A,
                (int)d, add ? 1 : 0, G, (int)d);
    emu_leave();
    return true;
}

extern "C" void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda,
                        double *w, double *work, const int *lwork, int *iwork, const int *liwork,
                        int *info, size_t jobz_len, size_t uplo_len);

enum sae_status sae_gpu_eigenvalues(size_t d, double *A, double *eig, struct sae_err *err)
{
    const int n = (int)d, room = 64 * n + 64, int_room = 1;
    std::vector<double> work((size_t)room);
    int int_work = 0, info = 0;
    n_waits++;
    emu_enter();
    dsyevd_("N", "U", &n, A, &n, eig, work.data(), &room, &int_work, &int_room, &info, 1, 1);
    emu_leave();
    return info == 0 ? SAE_OK : sae_err_set(err, SAE_EBACKEND, "syevd says %d", info);
}

void sae_gpu_fail(const char *what, const char *why)
{
    if (!failure[0])
        snprintf(failure, sizeof failure, "%s: %s", what, why);
}

enum sae_status sae_gpu_status(struct sae_err *err)
{
    (void)wait_is_good();
    return failure[0] ? sae_err_set(err, SAE_EBACKEND, "%s", failure) : SAE_OK;
}
