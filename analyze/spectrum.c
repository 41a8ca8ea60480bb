/* SPDX-License-Identifier: MIT */
/* spectrum : eigenvalues of the Gram matrix, on the backend. */
#include "analyze/spectrum.h"

#include <math.h>

#include "lib/base/log.h"

/* Ascending. */
static enum sae_status find(const struct sae_ops *ops, size_t m, size_t d, const float *U,
                            double *eig, struct sae_err *err)
{
    enum sae_status st;
    float *W = NULL;
    double *G = NULL, *found = NULL;
    SAE_GO(st, ops->alloc(&W, m * d, sizeof *W, err));
    SAE_GO(st, ops->alloc(&G, d * d, sizeof *G, err));
    SAE_GO(st, ops->alloc(&found, d, sizeof *found, err));
    ops->put(W, U, m * d * sizeof *W);
    SAE_GO(st, ops->gram(m, d, W, G, err));
    SAE_GO(st, ops->eigenvalues(d, G, found, err));
    ops->get(eig, found, d * sizeof *eig);
    st = ops->check(err);
done:
    if (W != NULL)
        ops->free(W);
    if (G != NULL)
        ops->free(G);
    if (found != NULL)
        ops->free(found);
    return st;
}

enum sae_status analyze_spectrum_eigenvalues(const struct sae_ops *ops, size_t m, size_t d,
                                             const float *U, double *eig, struct sae_err *err)
{
    struct sae_err why = {0};
    enum sae_status st = find(ops, m, d, U, eig, &why);
    if (st == SAE_EBACKEND && !ops->host) { /* a device without its library of eigenvalues */
        sae_log_warn("%s; the eigenvalues are found on the cpu", why.msg);
        st = find(&sae_ops_cpu, m, d, U, eig, &why);
    }
    if (st != SAE_OK)
        return sae_err_set(err, st, "%s", why.msg);
    for (size_t i = 0; i < d / 2; i++) { /* descending */
        const double swap = eig[i];
        eig[i] = eig[d - 1 - i];
        eig[d - 1 - i] = swap;
    }
    for (size_t i = 0; i < d; i++)
        if (eig[i] < eig[0] * 1e-13)
            eig[i] = 0;
    return SAE_OK;
}

void analyze_spectrum_ranks(struct analyze_ranks *ret, const double *eig, size_t d, size_t m)
{
    double sum = 0, sum_sq = 0, sum_root = 0, entropy = 0;
    for (size_t i = 0; i < d; i++) {
        sum += eig[i];
        sum_sq += eig[i] * eig[i];
        sum_root += sqrt(eig[i]);
    }
    for (size_t i = 0; i < d; i++) {
        const double p = sum_root > 0 ? sqrt(eig[i]) / sum_root : 0;
        if (p > 0)
            entropy -= p * log(p);
    }
    *ret = (struct analyze_ranks){
        .frame_potential = sum_sq,
        .effective = sum > 0 ? exp(entropy) : 0,
        .participation = sum_sq > 0 ? sum * sum / sum_sq : 0,
        .stable = eig[0] > 0 ? sum / eig[0] : 0,
        .largest = eig[0],
        .smallest = eig[d - 1],
        .off_diagonal = sqrt(fmax(0, sum_sq - (double)m)),
    };
}
