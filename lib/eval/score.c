/* SPDX-License-Identifier: MIT */
/* score : accuracy, F1, area under the ROC curve, mean and sample standard deviation. */
#include "lib/eval/score.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"

struct sae_score sae_score_decide(const double *score, const uint8_t *label, size_t n)
{
    struct sae_score s = {0};
    for (size_t i = 0; i < n; i++) {
        const int said = score[i] > 0.0;
        if (label[i])
            *(said ? &s.tp : &s.fn) += 1;
        else
            *(said ? &s.fp : &s.tn) += 1;
    }
    s.accuracy = n ? (double)(s.tp + s.tn) / (double)n : NAN;
    const size_t wrong = s.fp + s.fn;
    s.f1 = s.tp ? 2.0 * (double)s.tp / (double)(2 * s.tp + wrong) : 0.0;
    return s;
}

double sae_score_f1_weighted(const struct sae_score *s)
{
    const double wrong = (double)(s->fp + s->fn), n_pos = (double)(s->tp + s->fn);
    const double n_neg = (double)(s->tn + s->fp);
    const double pos = s->tp ? 2.0 * (double)s->tp / (2.0 * (double)s->tp + wrong) : 0.0;
    const double neg = s->tn ? 2.0 * (double)s->tn / (2.0 * (double)s->tn + wrong) : 0.0;
    return (n_pos * pos + n_neg * neg) / (n_pos + n_neg);
}

struct ranked {
    double score;
    uint8_t label;
};

static int by_score(const void *a, const void *b)
{
    const double x = ((const struct ranked *)a)->score, y = ((const struct ranked *)b)->score;
    return (x > y) - (x < y);
}

enum sae_status sae_score_auc(double *ret, const double *score, const uint8_t *label, size_t n,
                              struct sae_err *err)
{
    struct ranked *r = NULL;
    SAE_TRY(sae_mem_alloc(&r, n, sizeof *r, err));
    for (size_t i = 0; i < n; i++)
        r[i] = (struct ranked){score[i], label[i]};
    qsort(r, n, sizeof *r, by_score);
    double below = 0.0, pairs = 0.0; /* negatives met so far; pairs in order */
    double n_positive = 0.0;
    for (size_t i = 0; i < n;) {
        double tied_pos = 0.0, tied_neg = 0.0;
        const double value = r[i].score;
        do
            *(r[i].label ? &tied_pos : &tied_neg) += 1.0;
        while (++i < n && r[i].score == value);
        pairs += tied_pos * (below + 0.5 * tied_neg);
        below += tied_neg;
        n_positive += tied_pos;
    }
    free(r);
    *ret = n_positive > 0.0 && below > 0.0 ? pairs / (n_positive * below) : NAN;
    return SAE_OK;
}

struct sae_score_mean sae_score_mean_of(const double *x, size_t n, size_t stride)
{
    struct sae_score_mean m = {0, NAN, NAN};
    double base = 0.0, sum = 0.0, square = 0.0;
    /* sums run over distances from the first value: equal values give it back, and no spread */
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i * stride])) {
            base = m.n ? base : x[i * stride];
            sum += x[i * stride] - base;
            m.n++;
        }
    if (m.n == 0)
        return m;
    m.mean = base + sum / (double)m.n;
    for (size_t i = 0; i < n; i++)
        if (isfinite(x[i * stride]))
            square += (x[i * stride] - m.mean) * (x[i * stride] - m.mean);
    if (m.n > 1)
        m.sd = sqrt(square / (double)(m.n - 1));
    return m;
}
