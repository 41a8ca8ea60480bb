/* SPDX-License-Identifier: MIT */
/* cost : see the header. */
#include "lib/eval/cost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/host.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/base/stop.h"
#include "lib/eval/codes.h"

enum { PROBE_ROWS = 512, PAIR_ROWS = 2048, BINS = 64 };

double sae_cost_encode_flops(const struct sae_model *model, double n)
{
    return 2 * n * (double)model->m * (double)model->d;
}

double sae_cost_decode_flops(const struct sae_model *model, double n)
{
    return 2 * n * (double)(model->k > 0 ? model->k : 64) * (double)model->d;
}

double sae_cost_pairs_flops(const struct sae_model *model)
{
    return (double)model->m * (double)model->m * (double)model->d;
}

/* Encodes and decodes the rows over again until the clock has something to say. */
static enum sae_status run_coder(struct sae_coder *coder, const float *x, float *xhat, size_t n,
                                 double *ret_encode, double *ret_decode, struct sae_err *err)
{
    enum { MOST = 50 };
    double encode = 0, decode = 0;
    size_t passes = 0;
    for (size_t i = 0; i < MOST && encode < 0.2; i++) {
        const struct sae_csr *f = NULL;
        const double from = sae_stop_clock();
        SAE_TRY(sae_coder_encode(coder, x, n, &f, err));
        const double then = sae_stop_clock();
        SAE_TRY(sae_coder_decode(coder, f, xhat, err));
        if (i == 0 && then - from < 0.2)
            continue; /* a warm-up */
        encode += then - from;
        decode += sae_stop_clock() - then;
        passes++;
    }
    *ret_encode = encode / (double)(passes * n);
    *ret_decode = decode / (double)(passes * n);
    return SAE_OK;
}

enum sae_status sae_cost_code(double *ret_encode, double *ret_decode, const struct sae_model *model,
                              const struct sae_ops *ops, size_t n_max, struct sae_err *err)
{
    const size_t n = n_max < PROBE_ROWS ? n_max : PROBE_ROWS;
    struct sae_coder *coder = NULL;
    float *x = NULL, *xhat = NULL;
    enum sae_status st;
    *ret_encode = *ret_decode = NAN;
    if (sae_coder_bytes(model, n) > sae_host_memory_free())
        return SAE_OK;
    SAE_GO(st, sae_coder_open(&coder, model, ops, n, err));
    SAE_GO(st, sae_mem_alloc(&x, n, model->d * sizeof *x, err));
    SAE_GO(st, sae_mem_alloc(&xhat, n, model->d * sizeof *xhat, err));
    struct sae_rng rng = sae_rng_make(0, SAE_RNG_INIT);
    for (size_t i = 0; i < n * model->d; i++)
        x[i] = (float)sae_rng_normal(&rng);
    st = run_coder(coder, x, xhat, n, ret_encode, ret_decode, err);
done:
    sae_coder_close(coder);
    free(x);
    free(xhat);
    return st;
}

enum sae_status sae_cost_pairs(double *ret, const struct sae_model *model,
                               const struct sae_ops *ops, struct sae_err *err)
{
    const struct sae_ops *const host = ops->host ? ops : &sae_ops_cpu;
    const size_t m = model->m < PAIR_ROWS ? model->m : PAIR_ROWS;
    uint64_t *hist = NULL;
    uint32_t *arg = NULL;
    float *most = NULL, *least = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&hist, BINS, sizeof *hist, err));
    SAE_GO(st, sae_mem_alloc(&arg, m, sizeof *arg, err));
    SAE_GO(st, sae_mem_alloc(&most, m, sizeof *most, err));
    SAE_GO(st, sae_mem_alloc(&least, m, sizeof *least, err));
    for (int pass = 0; pass < 2; pass++) {
        const double from = sae_stop_clock(), share = (double)model->m / (double)m;
        SAE_GO(st, host->cos_hist(m, model->d, model->W_dec, BINS, hist, most, arg, least, err));
        *ret = (sae_stop_clock() - from) * share * share;
    }
done:
    free(hist);
    free(arg);
    free(most);
    free(least);
    return st;
}

double sae_cost_codes_bytes(double n_rows, double n_entries)
{
    double cap = 16; /* lists double as they grow */
    while (cap < n_entries)
        cap *= 2;
    return 8 * (cap + n_rows + 1);
}

double sae_cost_pool_bytes(const struct sae_model *model, const struct sae_labels *labels,
                           size_t batch, double n_entries)
{
    return sae_coder_bytes(model, batch) + 16 * (double)model->m +
           4 * (double)batch * (double)labels->d + 2.3e6 + /* chunks of HDF5 */
           sae_cost_codes_bytes((double)labels->n_texts, n_entries);
}

enum sae_status sae_cost_pool(struct sae_pool *ret, double *ret_seconds,
                              const struct sae_labels *labels, const struct sae_model *model,
                              const struct sae_ops *ops, size_t batch, struct sae_err *err)
{
    enum { SOME = 4 * PROBE_ROWS };
    struct sae_labels part = *labels;
    struct sae_pool pool = {0};
    size_t n = 0;
    enum sae_status st = SAE_OK;
    while (n < labels->n_texts && (n == 0 || labels->start[n] < SOME))
        n++;
    part.n_texts = n;
    part.n_rows = (size_t)labels->start[n];
    const double from = sae_stop_clock();
    SAE_GO(st, sae_pool_latents(&pool, &part, model, ops, batch < SOME ? batch : SOME, err));
    *ret_seconds =
        (sae_stop_clock() - from) * (double)labels->n_rows / (double)part.n_rows;
    size_t *start = NULL;
    SAE_GO(st, sae_mem_alloc(&start, labels->n_texts + 1, sizeof *start, err));
    memcpy(start, pool.x.start, (n + 1) * sizeof *start);
    free(pool.x.start);
    pool.x.start = start;
    for (size_t t = n; t < labels->n_texts; t++) {
        const size_t at = pool.x.start[t % n], size = pool.x.start[t % n + 1] - at;
        uint32_t *idx = NULL;
        float *val = NULL;
        SAE_GO(st, sae_mem_alloc(&idx, size, sizeof *idx, err));
        st = sae_mem_alloc(&val, size, sizeof *val, err);
        if (st == SAE_OK) {
            memcpy(idx, pool.x.idx + at, size * sizeof *idx);
            memcpy(val, pool.x.val + at, size * sizeof *val);
            st = sae_codes_append(&pool.x, idx, val, size, err);
        }
        free(idx);
        free(val);
        SAE_GO(st, st);
    }
    *ret = pool;
    pool = (struct sae_pool){0};
done:
    sae_pool_clear(&pool);
    return st;
}
