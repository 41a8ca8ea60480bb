/* SPDX-License-Identifier: MIT */
/* cost : see the header. */
#include "lib/eval/cost.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/host.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/base/stop.h"

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
