/* SPDX-License-Identifier: MIT */
/* cpu : threads, memory, matrix product and the table of the OpenBLAS and OpenMP backend. */
#include <cblas.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/math/cpu/cpu_slice.h"
#include "lib/math/ref/ref.h"

/* Tiles of C that gemm cuts, one call of a one-thread sgemm each: large where the sums are long, so
 * that packing A and B anew for each tile is a small part; then halved until there are enough. */
enum { TILE_LONG = 1024, TILE_SHORT = 512, TILE_MIN = 128, LONG_SUM = 512, TILES_WANTED = 16 };

enum { LARGE = 1 << 21 };   /* floats */
enum { BLAS_PTHREADS = 1 }; /* of openblas_get_parallel */

static size_t allowed_processors(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    const int n = CPU_COUNT(&set);
    return n > 0 ? (size_t)n : 1;
}

/* For each thread OpenBLAS maps a buffer of 128 MiB, and one for whoever calls it; where it is
 * refused it tries again for ever, so we ask first. */
enum sae_status sae_cpu_ask_space(size_t n_threads, struct sae_err *err)
{
    const size_t threads = n_threads > 0 ? n_threads : allowed_processors();
    const size_t bytes = (threads + 1) * ((size_t)128 << 20) + ((size_t)32 << 20);
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SAE_OK;
    void *const p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return sae_err_set(err, SAE_ENOMEM,
                           "the limit of address space (ulimit -v %llu) leaves no room for the %zu "
                           "MB of buffers of the numeric library, %zu threads; raise it, or give "
                           "--threads 1",
                           (unsigned long long)limit.rlim_cur / 1024, bytes >> 20, threads);
    munmap(p, bytes);
    return SAE_OK;
}

void sae_ops_threads(size_t n)
{
    const int threads = (int)(n > 0 ? n : allowed_processors());
    omp_set_dynamic(0);
    openblas_set_num_threads(threads);
    omp_set_num_threads(threads);
}

const char *sae_cpu_blas_core(const char *found, bool has_avx2, bool has_avx512)
{
    static const char *const slow[] = {"Prescott", "Core2", "Penryn", "Dunnington", "Nehalem", "Atom"};
    for (size_t i = 0; i < sizeof slow / sizeof *slow; i++)
        if (strcmp(found, slow[i]) == 0)
            return has_avx512 ? "SkylakeX" : has_avx2 ? "Haswell" : NULL;
    return NULL;
}

/* Sets OPENBLAS_CORETYPE where the library does not know this processor. True where it did. */
static bool set_blas_core(void)
{
#ifdef __x86_64__
    const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const char *const core = sae_cpu_blas_core(openblas_get_corename(), has_avx2, has_avx512);
    return core && !getenv("OPENBLAS_CORETYPE") && setenv("OPENBLAS_CORETYPE", core, 1) == 0;
#else
    return false;
#endif
}

/* Makes waiting threads sleep unless the user has said how they wait. True where it did. */
static bool set_wait_policy(void)
{
    return !getenv("OMP_WAIT_POLICY") && !getenv("GOMP_SPINCOUNT") &&
           setenv("OMP_WAIT_POLICY", "passive", 1) == 0;
}

void sae_ops_set_environment(char **argv)
{
    if (getenv("SAE_NO_RESTART"))
        return;
    const bool has_new_policy = set_wait_policy(), has_new_core = set_blas_core();
    if (!has_new_policy && !has_new_core)
        return;
    (void)execv("/proc/self/exe", argv);
    const char *const path = (const char *)getauxval(AT_EXECFN); /* without /proc, as in a bare chroot */
    if (path)
        (void)execv(path, argv); /* where that fails too we go on as we are */
}

const char *sae_ops_blas(void)
{
    return openblas_get_config();
}

/* Large arrays lie on huge pages where the system grants them: kernels read them by columns. */
static enum sae_status mem_alloc(void *ret, size_t n, size_t size, struct sae_err *err)
{
    if (n < LARGE || size != sizeof(float) || n > SIZE_MAX / 2 / size)
        return sae_mem_alloc(ret, n, size, err);
    void *const p = sae_cpu_scratch(n);
    if (!p)
        return sae_err_set(err, SAE_ENOMEM, "out of memory: %zu bytes", n * size);
    memset(p, 0, n * size);
    memcpy(ret, &p, sizeof p);
    return SAE_OK;
}

static void mem_free(void *p)
{
    free(p);
}

static void mem_put(void *to, const void *host, size_t bytes)
{
    if (bytes > 0)
        memcpy(to, host, bytes);
}

static void mem_get(void *host, const void *from, size_t bytes)
{
    if (bytes > 0)
        memcpy(host, from, bytes);
}

static size_t cut(size_t whole, size_t piece)
{
    return (whole + piece - 1) / piece;
}

/* An OpenMP build of OpenBLAS uses one thread in a parallel region by itself, and setting its
 * threads would set OpenMP's; a pthreads build must be told. */
int sae_cpu_blas_single(void)
{
    const int threads = openblas_get_parallel() == BLAS_PTHREADS ? openblas_get_num_threads() : 1;
    if (threads > 1)
        openblas_set_num_threads(1);
    return threads;
}

void sae_cpu_blas_again(int threads)
{
    if (threads > 1)
        openblas_set_num_threads(threads);
}

/* OpenBLAS cuts C by its thread count, and which kernel an element meets changes its last bits.
 * So the cut is made here, by shape, and each tile is multiplied by one thread; free tiles also
 * go to whoever is free, where a fixed cut waits for the slowest processor. */
void sae_cpu_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, float alpha, const float *A,
                  size_t lda, const float *B, size_t ldb, float beta, float *C, size_t ldc)
{
    if (M == 0 || N == 0)
        return;
    if (M == 1 && !ta && !tb) {
        sae_cpu_vecmat(N, K, alpha, A, B, ldb, beta, C);
        return;
    }
    size_t rows = K >= LONG_SUM ? TILE_LONG : TILE_SHORT, cols = 2 * rows;
    while (cols > TILE_MIN && cut(M, rows) * cut(N, cols) < TILES_WANTED) {
        cols /= 2;
        if (rows > cols)
            rows /= 2;
    }
    const size_t n_rows = cut(M, rows), n_cols = cut(N, cols);
    const int threads = sae_cpu_blas_single();
#pragma omp parallel for schedule(dynamic, 1) collapse(2)
    for (size_t r = 0; r < n_rows; r++) {
        for (size_t c = 0; c < n_cols; c++) {
            const size_t i = r * rows, j = c * cols;
            const size_t nr = M - i < rows ? M - i : rows, nc = N - j < cols ? N - j : cols;
            cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans,
                        tb ? CblasTrans : CblasNoTrans, (blasint)nr, (blasint)nc, (blasint)K, alpha,
                        ta ? A + i : A + i * lda, (blasint)lda, tb ? B + j * ldb : B + j,
                        (blasint)ldb, beta, C + i * ldc + j, (blasint)ldc);
        }
    }
    sae_cpu_blas_again(threads);
}

static double step_bytes(size_t n, size_t m, size_t d, bool orth, bool window)
{
    (void)orth, (void)window; /* planned with the run (train/memory.c) */
    const double rows = (double)n * (double)d, slice = 64 * (double)m;
    return 4 * (rows + slice); /* packed, by the sparse products */
}

static atomic_bool no_memory;

void sae_cpu_no_memory(void)
{
    no_memory = true;
}

static enum sae_status check(struct sae_err *err)
{
    return atomic_exchange(&no_memory, false)
               ? sae_err_set(err, SAE_ENOMEM, "out of memory in an operation of a step")
               : SAE_OK;
}

const struct sae_ops sae_ops_cpu = {
    .name = "cpu",
    .host = true,
    .grad_block = 256,
    .dense_share = 16,
    .alloc = mem_alloc,
    .free = mem_free,
    .put = mem_put,
    .get = mem_get,
    .copy = sae_cpu_copy,
    .free_bytes = sae_ref_free_bytes,
    .step_bytes = step_bytes,
    .gemm = sae_cpu_gemm,
    .center = sae_cpu_center,
    .topk = sae_cpu_topk,
    .batchtopk = sae_cpu_batchtopk,
    .threshold = sae_cpu_threshold,
    .above = sae_cpu_above,
    .encode_scratch = sae_cpu_encode_scratch,
    .encode_topk = sae_cpu_encode_topk,
    .transpose = sae_cpu_transpose,
    .decode = sae_cpu_decode,
    .grad_dec = sae_cpu_grad_dec,
    .grad_enc = sae_cpu_grad_enc,
    .col_sum = sae_cpu_col_sum,
    .sum_sq = sae_cpu_sum_sq,
    .unit_rows = sae_cpu_unit_rows,
    .adam = sae_cpu_adam,
    .adam_rows = sae_cpu_adam_rows,
    .cap_rows = sae_cpu_cap_rows,
    .sq_sum = sae_cpu_sq_sum,
    .loss_sum = sae_cpu_loss_sum,
    .project_sum = sae_cpu_project_sum,
    .spread_sum = sae_cpu_spread_sum,
    .relu_sum = sae_cpu_relu_sum,
    .mask_grad = sae_cpu_mask_grad,
    .scatter = sae_cpu_scatter,
    .age = sae_cpu_age,
    .cut_move = sae_cpu_cut_move,
    .lp_sum = sae_cpu_lp_sum,
    .lp_grad = sae_cpu_lp_grad,
    .widen_rows = sae_cpu_widen_rows,
    .gate = sae_cpu_gate,
    .gate_grad = sae_cpu_gate_grad,
    .aux_loss = sae_cpu_aux_loss,
    .grad_add = sae_cpu_grad_add,
    .decode_group = sae_cpu_decode_group,
    .grad_dec_group = sae_cpu_grad_dec_group,
    .prefix_loss = sae_cpu_prefix_loss,
    .orth_tiles = sae_ref_orth_tiles,
    .orth_masks = sae_cpu_orth_masks,
    .compare_rows = sae_cpu_compare_rows,
    .ortsae = sae_cpu_ortsae,
    .readback_open = sae_ref_readback_open,
    .readback_close = sae_ref_readback_close,
    .readback_post = sae_ref_readback_post,
    .readback_wait = sae_ref_readback_wait,
    .precision = sae_ref_precision,
    .topk_idle = sae_cpu_topk_idle,
    .check = check,
    .count_active = sae_cpu_count_active,
    .jump = sae_cpu_jump,
    .jump_fill = sae_cpu_jump_fill,
    .jump_grad = sae_cpu_jump_grad,
    .cos_hist = sae_cpu_cos_hist,
    .gram = sae_cpu_gram,
    .eigenvalues = sae_cpu_eigenvalues,
    .pair_dots = sae_cpu_pair_dots,
};
