/* SPDX-License-Identifier: MIT */
/* hist : counts over equal bins, and the quantiles that can be read from them. */
#include "analyze/hist.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

enum sae_status analyze_hist_init(struct analyze_hist *ret, double lo, double hi, size_t n,
                                  struct sae_err *err)
{
    assert(n > 0 && lo < hi);
    struct analyze_hist hist = {.lo = lo, .hi = hi, .n = n};
    SAE_TRY(sae_mem_alloc(&hist.count, n, sizeof *hist.count, err));
    *ret = hist;
    return SAE_OK;
}

void analyze_hist_clear(struct analyze_hist *hist)
{
    free(hist->count);
    memset(hist, 0, sizeof *hist);
}

size_t analyze_hist_bin(const struct analyze_hist *hist, double x)
{
    const double at = floor((x - hist->lo) / (hist->hi - hist->lo) * (double)hist->n);
    if (!(at > 0))
        return 0;
    return at >= (double)hist->n ? hist->n - 1 : (size_t)at;
}

void analyze_hist_add(struct analyze_hist *hist, double x)
{
    hist->count[analyze_hist_bin(hist, x)]++;
    hist->total++;
}

double analyze_hist_edge(const struct analyze_hist *hist, size_t i)
{
    return hist->lo + (hist->hi - hist->lo) * (double)i / (double)hist->n;
}

double analyze_hist_middle(const struct analyze_hist *hist, size_t i)
{
    return hist->lo + (hist->hi - hist->lo) * ((double)i + 0.5) / (double)hist->n;
}

double analyze_hist_quantile(const struct analyze_hist *hist, double q)
{
    if (hist->total == 0)
        return NAN;
    const double target = q * (double)hist->total;
    double before = 0;
    for (size_t i = 0; i < hist->n; i++) {
        const double here = (double)hist->count[i];
        if (here > 0 && before + here >= target) {
            const double share = target > before ? (target - before) / here : 0;
            return hist->lo + (hist->hi - hist->lo) * ((double)i + share) / (double)hist->n;
        }
        before += here;
    }
    return hist->hi;
}

void analyze_hist_fold(struct analyze_hist *to, const struct analyze_hist *from)
{
    assert(from->n % to->n == 0);
    const size_t group = from->n / to->n;
    to->total = from->total;
    for (size_t i = 0; i < to->n; i++) {
        to->count[i] = 0;
        for (size_t g = 0; g < group; g++)
            to->count[i] += from->count[i * group + g];
    }
}

double analyze_sorted_quantile(const double *sorted, size_t n, double q)
{
    if (n == 0)
        return NAN;
    const double at = q * (double)(n - 1);
    const size_t below = (size_t)at;
    if (below + 1 >= n)
        return sorted[n - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void analyze_sort(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare_doubles);
}
