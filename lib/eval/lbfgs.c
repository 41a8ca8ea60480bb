/* SPDX-License-Identifier: MIT */
/* lbfgs : the search direction is minus the gradient times the inverse Hessian that the last ten
 * pairs (s = step, y = change of the gradient) stand for; the line search wants
 *
 *   f(stp) <= f(0) + 1e-3 stp f'(0)   and   |f'(stp)| <= 0.9 |f'(0)|.
 *
 * Contents:  1. vectors   2. line search   3. steps */
#include "lib/eval/lbfgs.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/clones.h"

/* --- 1. vectors --------------------------------------------------------------------------- */

size_t sae_lbfgs_length(struct sae_lbfgs_shape shape)
{
    return shape.n * (shape.has_image ? 2 : 1) + 1;
}

/* In eight parts, so that it runs in lanes and gives the same number on every machine. */
SAE_CLONES
static double sum_products(const double *restrict u, const double *restrict v, size_t n)
{
    double part[8] = {0.0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            part[j] += u[i + j] * v[i + j];
    for (; i < n; i++)
        part[0] += u[i] * v[i];
    return ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));
}

SAE_CLONES
static void add_times(double *to, const double *a, double c, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = a[i] + c * b[i];
}

double sae_lbfgs_dot(struct sae_lbfgs_shape shape, const double *u, const double *v)
{
    const size_t last = sae_lbfgs_length(shape) - 1;
    return sum_products(u, v + (shape.has_image ? shape.n : 0), shape.n) + u[last] * v[last];
}

static double dot(const struct sae_lbfgs *l, const double *u, const double *v)
{
    return sae_lbfgs_dot(l->shape, u, v);
}

/* to = a + c b */
static void combine(const struct sae_lbfgs *l, double *to, const double *a, double c,
                    const double *b)
{
    add_times(to, a, c, b, sae_lbfgs_length(l->shape));
}

static void scale(const struct sae_lbfgs *l, double *v, double c)
{
    const size_t n = sae_lbfgs_length(l->shape);
    for (size_t i = 0; i < n; i++)
        v[i] *= c;
}

enum sae_status sae_lbfgs_open(struct sae_lbfgs *ret, struct sae_lbfgs_shape shape,
                               const struct sae_lbfgs_settings *settings, struct sae_err *err)
{
    struct sae_lbfgs l = {.shape = shape, .settings = *settings, .theta = 1.0};
    const size_t n = sae_lbfgs_length(shape);
    SAE_TRY(sae_mem_alloc(&l.memory, (5 + 2 * SAE_LBFGS_PAIRS) * n, sizeof *l.memory, err));
    double **const vectors[] = {&l.x, &l.g, &l.x0, &l.g0, &l.d};
    for (size_t i = 0; i < 5; i++)
        *vectors[i] = l.memory + i * n;
    for (size_t i = 0; i < SAE_LBFGS_PAIRS; i++) {
        l.s[i] = l.memory + (5 + 2 * i) * n;
        l.y[i] = l.memory + (6 + 2 * i) * n;
    }
    *ret = l;
    return SAE_OK;
}

void sae_lbfgs_close(struct sae_lbfgs *l)
{
    free(l->memory);
    *l = (struct sae_lbfgs){0};
}

/* --- 2. line search ----------------------------------------------------------------------- */

/* Minimum of the cubic through two points with their slopes, as the share `r` of the way between;
 * *far: gamma / s with the sign left positive, of the case with slopes of one sign. */
static double cubic_theta(double fx, double dx, double fp, double dp, double gap)
{
    return 3.0 * (fx - fp) / gap + dx + dp;
}

static double cubic_gamma(double theta, double dx, double dp, bool may_be_none)
{
    const double s = fmax(fabs(theta), fmax(fabs(dx), fabs(dp)));
    const double square = (theta / s) * (theta / s) - (dx / s) * (dp / s);
    return s * sqrt(may_be_none ? fmax(0.0, square) : square);
}

/* The next step to try, from the best end (x), the other end (y) and the last trial (p). */
static double next_trial(const struct sae_lbfgs_search *q, double fx, double dx, double fy,
                         double dy, double stp, double fp, double dp)
{
    const double stx = q->stx, sgnd = dp * (dx / fabs(dx));
    const double theta = cubic_theta(fx, dx, fp, dp, stp - stx);
    if (fp > fx) { /* higher: the minimum lies between */
        const double gamma = cubic_gamma(theta, dx, dp, false) * (stp < stx ? -1.0 : 1.0);
        const double r = ((gamma - dx) + theta) / (((gamma - dx) + gamma) + dp);
        const double cubic = stx + r * (stp - stx);
        const double square = stx + dx / ((fx - fp) / (stp - stx) + dx) / 2.0 * (stp - stx);
        return fabs(cubic - stx) < fabs(square - stx) ? cubic : cubic + (square - cubic) / 2.0;
    }
    const double secant = stp + dp / (dp - dx) * (stx - stp);
    if (sgnd < 0.0) { /* lower, slope turned: it lies between */
        const double gamma = cubic_gamma(theta, dx, dp, false) * (stp > stx ? -1.0 : 1.0);
        const double r = ((gamma - dp) + theta) / (((gamma - dp) + gamma) + dx);
        const double cubic = stp + r * (stx - stp);
        return fabs(cubic - stp) > fabs(secant - stp) ? cubic : secant;
    }
    if (fabs(dp) < fabs(dx)) { /* lower, slope smaller: it may lie beyond */
        const double gamma = cubic_gamma(theta, dx, dp, true) * (stp > stx ? -1.0 : 1.0);
        const double r = ((gamma - dp) + theta) / ((gamma + (dx - dp)) + gamma);
        const double cubic = r < 0.0 && gamma != 0.0 ? stp + r * (stx - stp)
                             : stp > stx             ? q->stmax
                                                     : q->stmin;
        const bool is_cubic_near = fabs(cubic - stp) < fabs(secant - stp);
        if (!q->brackt)
            return fmax(q->stmin, fmin(q->stmax, is_cubic_near ? secant : cubic));
        const double trial = is_cubic_near ? cubic : secant, limit = stp + 0.66 * (q->sty - stp);
        return stp > stx ? fmin(limit, trial) : fmax(limit, trial);
    }
    if (!q->brackt) /* lower, slope as steep: on */
        return stp > stx ? q->stmax : q->stmin;
    const double theta_y = cubic_theta(fp, dp, fy, dy, q->sty - stp);
    const double gamma = cubic_gamma(theta_y, dy, dp, false) * (stp > q->sty ? -1.0 : 1.0);
    const double r = ((gamma - dp) + theta_y) / (((gamma - dp) + gamma) + dy);
    return stp + r * (q->sty - stp);
}

/* Takes a trial into the interval that holds a minimum. With slope != 0 the values are those of
 * f(stp) - stp slope, whose minimum is wanted as long as no step was good enough. */
static void take_trial(struct sae_lbfgs_search *q, double f, double g, double slope)
{
    const double stp = q->stp, fp = f - stp * slope, dp = g - slope;
    const double fx = q->fx - q->stx * slope, dx = q->gx - slope;
    const double fy = q->fy - q->sty * slope, dy = q->gy - slope;
    const double next = next_trial(q, fx, dx, fy, dy, stp, fp, dp);
    const bool is_higher = fp > fx, is_turned = dp * (dx / fabs(dx)) < 0.0;
    if (!is_higher && is_turned) {
        q->sty = q->stx;
        q->fy = q->fx;
        q->gy = q->gx;
    }
    if (is_higher) {
        q->sty = stp;
        q->fy = f;
        q->gy = g;
    } else {
        q->stx = stp;
        q->fx = f;
        q->gx = g;
    }
    q->brackt = q->brackt || is_higher || is_turned;
    q->stp = next;
}

static const double decrease = 1e-3, curvature = 0.9, narrowest = 0.1, longest = 1e10;

static void begin_search(struct sae_lbfgs_search *q, double f, double g, double stp)
{
    *q = (struct sae_lbfgs_search){.stp = stp, .f0 = f, .g0 = g, .fx = f, .gx = g, .fy = f, .gy = g,
                                   .stmax = 5.0 * stp, .width = longest, .width1 = 2.0 * longest,
                                   .is_first_stage = true};
}

/* Whether the trial will do; else q->stp is the next. */
static bool search_ends(struct sae_lbfgs_search *q, double f, double g)
{
    const double slope = decrease * q->g0, bound = q->f0 + q->stp * slope;
    if (q->is_first_stage && f <= bound && g >= 0.0)
        q->is_first_stage = false;
    if ((q->brackt && (q->stp <= q->stmin || q->stp >= q->stmax ||
                       q->stmax - q->stmin <= narrowest * q->stmax)) ||
        (q->stp >= longest && f <= bound && g <= slope) ||
        (q->stp <= 0.0 && (f > bound || g >= slope)) ||
        (f <= bound && fabs(g) <= curvature * -q->g0))
        return true;
    take_trial(q, f, g, q->is_first_stage && f <= q->fx && f > bound ? slope : 0.0);
    if (q->brackt) {
        if (fabs(q->sty - q->stx) >= 0.66 * q->width1)
            q->stp = q->stx + 0.5 * (q->sty - q->stx);
        q->width1 = q->width;
        q->width = fabs(q->sty - q->stx);
        q->stmin = fmin(q->stx, q->sty);
        q->stmax = fmax(q->stx, q->sty);
    } else {
        q->stmin = q->stp + 1.1 * (q->stp - q->stx);
        q->stmax = q->stp + 4.0 * (q->stp - q->stx);
    }
    q->stp = fmin(longest, fmax(0.0, q->stp));
    if (q->brackt && (q->stp <= q->stmin || q->stp >= q->stmax ||
                      q->stmax - q->stmin <= narrowest * q->stmax))
        q->stp = q->stx;
    return false;
}

/* --- 3. steps ----------------------------------------------------------------------------- */

/* d = - H g by the two loops over the pairs. */
static void set_direction(struct sae_lbfgs *l)
{
    double share[SAE_LBFGS_PAIRS];
    combine(l, l->d, l->g, 0.0, l->g);
    for (size_t i = l->n_pairs; i-- > 0;) {
        const size_t p = (l->oldest + i) % SAE_LBFGS_PAIRS;
        share[i] = l->rho[p] * dot(l, l->s[p], l->d);
        combine(l, l->d, l->d, -share[i], l->y[p]);
    }
    scale(l, l->d, 1.0 / l->theta);
    for (size_t i = 0; i < l->n_pairs; i++) {
        const size_t p = (l->oldest + i) % SAE_LBFGS_PAIRS;
        combine(l, l->d, l->d, share[i] - l->rho[p] * dot(l, l->y[p], l->d), l->s[p]);
    }
    scale(l, l->d, -1.0);
}

static void forget_pairs(struct sae_lbfgs *l)
{
    l->n_pairs = l->oldest = 0;
    l->theta = 1.0;
}

/* Begins a line search at x. False: there is no way down. */
static bool begin_step(struct sae_lbfgs *l)
{
    const size_t bytes = sae_lbfgs_length(l->shape) * sizeof *l->x;
    set_direction(l);
    double slope = dot(l, l->g, l->d);
    if (!(slope < 0.0) && l->n_pairs > 0) {
        forget_pairs(l);
        set_direction(l);
        slope = dot(l, l->g, l->d);
    }
    if (!(slope < 0.0))
        return false;
    const double first = 1.0 / sqrt(dot(l, l->d, l->d));
    begin_search(&l->search, l->f, slope, l->n_steps == 0 && first < longest ? first : 1.0);
    memcpy(l->x0, l->x, bytes);
    memcpy(l->g0, l->g, bytes);
    l->f_old = l->f;
    l->n_evaluated = 0;
    l->is_searching = true;
    combine(l, l->x, l->x0, l->search.stp, l->d);
    return true;
}

/* Keeps the pair of the step that was taken, unless the slope did not rise along it. */
static void keep_pair(struct sae_lbfgs *l, double slope)
{
    const double stp = l->search.stp;
    const double rise = (slope - l->search.g0) * stp;
    if (!(rise > DBL_EPSILON * -l->search.g0 * stp))
        return;
    const size_t p = (l->oldest + l->n_pairs) % SAE_LBFGS_PAIRS;
    if (l->n_pairs < SAE_LBFGS_PAIRS)
        l->n_pairs++;
    else
        l->oldest = (l->oldest + 1) % SAE_LBFGS_PAIRS;
    combine(l, l->y[p], l->g, -1.0, l->g0);
    combine(l, l->s[p], l->d, stp - 1.0, l->d);
    l->theta = dot(l, l->y[p], l->y[p]) / rise;
    l->rho[p] = 1.0 / rise;
}

/* A search that found nothing: from where it began, without what was remembered. */
static bool give_up_search(struct sae_lbfgs *l)
{
    const size_t bytes = sae_lbfgs_length(l->shape) * sizeof *l->x;
    memcpy(l->x, l->x0, bytes);
    memcpy(l->g, l->g0, bytes);
    l->f = l->f_old;
    if (l->n_pairs == 0) {
        l->has_failed = true;
        return false;
    }
    forget_pairs(l);
    return begin_step(l);
}

bool sae_lbfgs_step(struct sae_lbfgs *l)
{
    const struct sae_lbfgs_settings *const s = &l->settings;
    if (!l->is_searching)
        return !s->is_flat(s->data, l->g, s->gtol) && begin_step(l);
    const double slope = dot(l, l->g, l->d);
    l->n_evaluated++;
    if (!search_ends(&l->search, l->f, slope)) {
        if (l->n_evaluated >= s->max_search)
            return give_up_search(l);
        combine(l, l->x, l->x0, l->search.stp, l->d);
        return true;
    }
    l->n_steps++;
    if (l->n_steps >= s->max_steps || s->is_flat(s->data, l->g, s->gtol) ||
        l->f_old - l->f <= s->ftol * fmax(fmax(fabs(l->f_old), fabs(l->f)), 1.0))
        return false;
    keep_pair(l, slope);
    return begin_step(l);
}
