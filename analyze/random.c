/* SPDX-License-Identifier: MIT */
/* random : baselines of random directions, and bounds.
 *
 * Cosines of random directions in d dimensions are close to N(0, 1/d). The density of the
 * largest of n is n phi(z) Phi(z)^(n-1); of the largest absolute value 2 n phi(z) (2 Phi(z) -
 * 1)^(n-1). Both means are integrated by the trapezoid rule in units of 1/sqrt(d). */
#include "analyze/random.h"

#include <math.h>

#define PI 3.14159265358979323846

static double normal_density(double z)
{
    return exp(-0.5 * z * z) / sqrt(2 * PI);
}

double analyze_random_cos_density(double x, double d)
{
    return sqrt(d) * normal_density(x * sqrt(d));
}

double analyze_random_mean_abs_cos(double d)
{
    return sqrt(2 / (PI * d));
}

/* log of the share of N(0,1) below z; keeps its precision where the share is close to 1. */
static double log_below(double z)
{
    return z > 0 ? log1p(-0.5 * erfc(z / sqrt(2))) : log(0.5 * erfc(-z / sqrt(2)));
}

static double max_density(double z, double n)
{
    return n * normal_density(z) * exp((n - 1) * log_below(z));
}

double analyze_random_max_density(double x, double n, double d)
{
    return sqrt(d) * max_density(x * sqrt(d), n);
}

double analyze_random_max_cos(double n, double d)
{
    if (!(n >= 1))
        return NAN;
    double sum = 0;
    const double step = 1e-3;
    for (int i = -9000; i <= 12000; i++)
        sum += (double)i * step * max_density((double)i * step, n) * step;
    return sum / sqrt(d);
}

double analyze_random_max_abs_cos(double n, double d)
{
    if (!(n >= 1))
        return NAN;
    double sum = 0;
    const double step = 1e-3;
    for (int i = 1; i <= 12000; i++) {
        const double z = (double)i * step;
        const double log_within = log1p(-erfc(z / sqrt(2)));
        sum += z * 2 * n * normal_density(z) * exp((n - 1) * log_within) * step;
    }
    return sum / sqrt(d);
}

double analyze_welch_bound(double m, double d)
{
    return m > d ? sqrt((m - d) / (d * (m - 1))) : 0;
}

double analyze_frame_bound(double m, double d)
{
    return m > d ? m * m / d : m;
}

double analyze_random_frame(double m, double d)
{
    return m + m * (m - 1) / d;
}

/* Marchenko-Pastur density (of the continuous part, up to a factor), edges lo and hi. */
static double mp_density(double x, double lo, double hi)
{
    return x > 0 ? sqrt(fmax(0, (hi - x) * (x - lo))) / x : 0;
}

void analyze_random_eigenvalues(size_t m, size_t d, double *eig)
{
    /* The nonzero eigenvalues sum to m; with r = min(m, d) of them and y = min/max, they are
     * (m / r) times a Marchenko-Pastur variable of ratio y, whose mean is 1. */
    const size_t r = m < d ? m : d;
    const double y = (double)r / (double)(m < d ? d : m);
    const double lo = (1 - sqrt(y)) * (1 - sqrt(y)), hi = (1 + sqrt(y)) * (1 + sqrt(y));
    enum { STEPS = 20000 };
    /* x = middle - half cos(a): evens out the square-root edges of the density */
    const double middle = 0.5 * (lo + hi), half = 0.5 * (hi - lo), da = PI / STEPS;
    double total = 0;
    for (int i = 0; i < STEPS; i++) {
        const double a = (i + 0.5) * da, x = middle - half * cos(a);
        total += mp_density(x, lo, hi) * half * sin(a) * da;
    }
    double below = 0;
    size_t next = 0; /* counts from the smallest */
    for (int i = 0; i < STEPS && next < r; i++) {
        const double a = (i + 0.5) * da, x = middle - half * cos(a);
        below += mp_density(x, lo, hi) * half * sin(a) * da / total;
        while (next < r && below >= ((double)next + 0.5) / (double)r)
            eig[r - 1 - next++] = x * (double)m / (double)r;
    }
    while (next < r)
        eig[r - 1 - next++] = hi * (double)m / (double)r;
    double sum = 0; /* quantiles of few values miss the mean a little; the trace is known */
    for (size_t i = 0; i < r; i++)
        sum += eig[i];
    for (size_t i = 0; i < d; i++)
        eig[i] = i < r ? eig[i] * (double)m / sum : 0;
}
