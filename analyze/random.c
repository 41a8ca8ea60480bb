/* SPDX-License-Identifier: MIT */
/* random : baselines of random directions, and bounds.
 *
 * The angle from a random direction's equator, x = sin a, has density cos^(d-2) a / Z: at d = 128
 * the largest cosines are 2 % smaller than those of N(0, 1/d), which matters where dictionaries
 * are read against chance. With T(a) the share above a, the density of the largest of n is
 * n f (1 - T)^(n-1), of the largest absolute value 2 n f (1 - 2 T)^(n-1). Integrals by Simpson's
 * rule over the angle, from its far end down, where T is small and must stay exact. */
#include "analyze/random.h"

#include <math.h>
#include <stdbool.h>

#define PI 3.14159265358979323846

enum { STEPS_OF_ANGLE = 4000, STEPS_OF_TAIL = 400 };

/* Density of the angle, up to its factor; d >= 2. */
static double angle_density(double a, double d)
{
    return d > 2 ? exp((d - 2) * log(fmax(cos(a), 1e-300))) : 1;
}

/* int cos^(d-2) over [-pi/2, pi/2] */
static double angle_total(double d)
{
    return sqrt(PI) * exp(lgamma(0.5 * (d - 1)) - lgamma(0.5 * d));
}

/* Width beyond which nothing lies that counts: 14 standard deviations. */
static double angle_reach(double d)
{
    return fmin(0.5 * PI, 14 / sqrt(d));
}

static double simpson(double from, double width, double d)
{
    return width / 6 *
           (angle_density(from, d) + 4 * angle_density(from + 0.5 * width, d) +
            angle_density(from + width, d));
}

/* Share of random cosines above x >= 0. */
static double tail(double x, double d)
{
    const double a = asin(fmin(1, x));
    const double width = fmin(0.5 * PI - a, angle_reach(d)) / STEPS_OF_TAIL;
    double sum = 0;
    for (int i = 0; i < STEPS_OF_TAIL; i++)
        sum += simpson(a + i * width, width, d);
    return sum / angle_total(d);
}

double analyze_random_mean_abs_cos(double d)
{
    return d >= 2 ? exp(lgamma(0.5 * d) - lgamma(0.5 * (d + 1))) / sqrt(PI) : 1;
}

double analyze_random_share_abs_cos(double t, double d)
{
    return d >= 2 ? fmin(1, 2 * tail(t, d)) : 1;
}

double analyze_random_max_density(double x, double n, double d)
{
    if (!(d >= 2) || fabs(x) >= 1)
        return 0;
    const double above = tail(fabs(x), d), a = asin(x);
    const double log_below = x > 0 ? log1p(-above) : log(above);
    return n * angle_density(a, d) / (cos(a) * angle_total(d)) * exp((n - 1) * log_below);
}

/* Mean of the largest of n cosines (both_signs: of their absolute values), d >= 2. */
static double mean_of_largest(double n, double d, bool both_signs)
{
    const double width = angle_reach(d) / STEPS_OF_ANGLE, total = angle_total(d);
    double above = 0, sum = 0;
    for (int i = STEPS_OF_ANGLE - 1; i > 0; i--) {
        const double a = i * width, f = angle_density(a, d) / total;
        above += simpson(a, width, d) / total;
        if (both_signs)
            sum += sin(a) * 2 * n * f * exp((n - 1) * log1p(-2 * above)) * width;
        else
            sum +=
                sin(a) * n * f * (exp((n - 1) * log1p(-above)) - exp((n - 1) * log(above))) * width;
    }
    /* the end of the range still counts in the plane: half of the last trapezoid */
    return sum + 0.5 * width * sin(angle_reach(d)) * (both_signs ? 2 : 1) * n *
                     angle_density(angle_reach(d), d) / total;
}

double analyze_random_max_cos(double n, double d)
{
    if (!(n >= 1))
        return NAN;
    if (!(d >= 2)) /* on a line every cosine is 1 or -1 */
        return 1 - exp2(1 - n);
    return n > 1 ? mean_of_largest(n, d, false) : 0;
}

double analyze_random_max_abs_cos(double n, double d)
{
    if (!(n >= 1))
        return NAN;
    return d >= 2 ? mean_of_largest(n, d, true) : 1;
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
