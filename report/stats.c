/* SPDX-License-Identifier: MIT */
/* stats : Student's t through the incomplete beta function; paired and Welch's differences. */
#include "report/stats.h"

#include <math.h>
#include <stdbool.h>

/* --- Student's t -------------------------------------------------------------------------- */

/* The continued fraction of the incomplete beta function, by Lentz's method. It converges quickly
 * where x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double sum = d;
    for (int m = 1; m <= 10000; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        sum *= d * c;
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        sum *= d * c;
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return sum;
}

/* I_x(a, b), the regularised incomplete beta function; y = 1 - x is given, for it may be tiny. */
static double beta_regular(double a, double b, double x, double y)
{
    if (x <= 0)
        return 0;
    if (y <= 0)
        return 1;
    const double front =
        exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, y) / b;
}

double stats_t_tail(double t, double df)
{
    const double sq = t * t;
    if (isinf(sq))
        return 0;
    return beta_regular(df / 2, 0.5, df / (df + sq), sq / (df + sq));
}

/* The tail falls in t: bisection, after doubling until the root is inside. */
double stats_t_quantile(double level, double df)
{
    const double tail = 1 - level;
    double low = 0, high = 1;
    while (stats_t_tail(high, df) > tail && high < 1e300) {
        low = high;
        high *= 2;
    }
    for (int i = 0; i < 200 && high - low > 1e-14 * high; i++) {
        const double middle = low + (high - low) / 2;
        if (stats_t_tail(middle, df) > tail)
            low = middle;
        else
            high = middle;
    }
    return low + (high - low) / 2;
}

/* --- differences -------------------------------------------------------------------------- */

static double mean_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

/* Squared standard error of a mean. */
static double variance_of_mean(const double *x, size_t n)
{
    const double mean = mean_of(x, n);
    double sq = 0;
    for (size_t i = 0; i < n; i++)
        sq += (x[i] - mean) * (x[i] - mean);
    return sq / (double)(n - 1) / (double)n;
}

/* Values that scatter by rounding alone do not scatter. */
static bool is_rounding(double se, double mean, double ref)
{
    return se <= 1e-12 * fmax(fabs(mean), fabs(ref));
}

static void finish(struct stats_difference *d)
{
    if (is_rounding(d->se, d->mean, d->ref))
        d->se = 0;
    d->half = d->se > 0 ? stats_t_quantile(STATS_LEVEL, d->df) * d->se : 0;
    if (is_rounding(fabs(d->diff), d->mean, d->ref))
        d->p = 1;
    else
        d->p = d->se > 0 ? stats_t_tail(d->diff / d->se, d->df) : NAN;
}

/* Fills x and y with the values of common seeds. Returns how many. */
static size_t pair_up(double x[STATS_MOST], double y[STATS_MOST], const struct stats_sample *sample,
                      const struct stats_sample *ref)
{
    size_t n = 0;
    for (size_t i = 0; i < sample->n; i++)
        for (size_t j = 0; j < ref->n; j++)
            if (sample->seed[i] == ref->seed[j]) {
                x[n] = sample->x[i];
                y[n++] = ref->x[j];
                break;
            }
    return n;
}

static struct stats_difference paired(const double *x, const double *y, size_t n)
{
    double gap[STATS_MOST];
    for (size_t i = 0; i < n; i++)
        gap[i] = x[i] - y[i];
    struct stats_difference d = {.n = n, .n_ref = n, .n_pairs = n};
    d.mean = mean_of(x, n);
    d.ref = mean_of(y, n);
    d.diff = mean_of(gap, n);
    d.se = sqrt(variance_of_mean(gap, n));
    d.df = (double)(n - 1);
    finish(&d);
    return d;
}

struct stats_difference stats_difference(const struct stats_sample *sample,
                                         const struct stats_sample *ref)
{
    double x[STATS_MOST], y[STATS_MOST];
    const size_t n_pairs = pair_up(x, y, sample, ref);
    if (n_pairs >= 2)
        return paired(x, y, n_pairs);
    struct stats_difference d = {.n = sample->n, .n_ref = ref->n};
    d.mean = sample->n > 0 ? mean_of(sample->x, sample->n) : NAN;
    d.ref = ref->n > 0 ? mean_of(ref->x, ref->n) : NAN;
    d.diff = d.mean - d.ref;
    d.se = d.df = d.half = d.p = NAN;
    if (sample->n < 2 || ref->n < 2)
        return d;
    const double u = variance_of_mean(sample->x, sample->n);
    const double v = variance_of_mean(ref->x, ref->n);
    d.se = sqrt(u + v);
    d.df = u + v > 0 ? (u + v) * (u + v) /
                           (u * u / (double)(sample->n - 1) + v * v / (double)(ref->n - 1))
                     : (double)(sample->n + ref->n - 2);
    finish(&d);
    return d;
}
