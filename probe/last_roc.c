/* SPDX-License-Identifier: MIT */
/* last_roc : the area under the ROC curve, added up as scikit-learn and numpy do. Among C whose areas
 * are equal the package takes the first of the largest *sums*, so that the order of the additions
 * decides; and one C may be 1e-5 where the other is 1. */
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "probe/last.h"

struct scored {
    double score;
    uint8_t label;
};

static int highest_first(const void *a, const void *b)
{
    const double x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;
    return (x < y) - (x > y);
}

struct corner { /* of the curve: counts above a threshold */
    double fp, tp;
};

/* A corner for each distinct score, then without those on a straight line: where neither count
 * changes its pace. Returns how many. */
static size_t find_corners(struct corner *to, const struct scored *v, size_t n)
{
    size_t n_all = 0, kept = 0;
    struct corner at = {0.0, 0.0};
    for (size_t i = 0; i < n; i++) {
        *(v[i].label ? &at.tp : &at.fp) += 1.0;
        if (i + 1 == n || v[i + 1].score != v[i].score)
            to[n_all++] = at;
    }
    struct corner before = {0.0, 0.0};
    for (size_t i = 0; i < n_all; i++) {
        const struct corner c = to[i];
        const bool is_inner = i > 0 && i + 1 < n_all;
        const bool bends = is_inner && (to[i + 1].fp - 2.0 * c.fp + before.fp != 0.0 ||
                                        to[i + 1].tp - 2.0 * c.tp + before.tp != 0.0);
        before = c;
        if (!is_inner || bends)
            to[kept++] = c;
    }
    return kept;
}

/* numpy's sum of n numbers: eight running sums in blocks of up to 128, halves of longer lists. */
static double add_up(const double *v, size_t n)
{
    if (n > 128) {
        const size_t half = n / 2 - n / 2 % 8;
        return add_up(v, half) + add_up(v + half, n - half);
    }
    double part[8], sum = 0.0;
    size_t i = 0;
    if (n >= 8) {
        for (; i < 8; i++)
            part[i] = v[i];
        for (; i + 8 <= n; i += 8)
            for (size_t j = 0; j < 8; j++)
                part[j] += v[i + j];
        sum = ((part[0] + part[1]) + (part[2] + part[3])) +
              ((part[4] + part[5]) + (part[6] + part[7]));
    }
    for (; i < n; i++)
        sum += v[i];
    return sum;
}

enum sae_status probe_last_auc(double *ret, const double *score, const uint8_t *label, size_t n,
                               struct sae_err *err)
{
    struct scored *v = NULL;
    struct corner *corners = NULL;
    double *part = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&v, n, sizeof *v, err));
    SAE_GO(st, sae_mem_alloc(&corners, n, sizeof *corners, err));
    SAE_GO(st, sae_mem_alloc(&part, n, sizeof *part, err));
    for (size_t i = 0; i < n; i++)
        v[i] = (struct scored){score[i], label[i]};
    qsort(v, n, sizeof *v, highest_first);
    const size_t n_corners = find_corners(corners, v, n);
    const struct corner all = n_corners ? corners[n_corners - 1] : (struct corner){0.0, 0.0};
    double x = 0.0, y = 0.0;
    for (size_t i = 0; i < n_corners; i++) {
        const double x1 = corners[i].fp / all.fp, y1 = corners[i].tp / all.tp;
        part[i] = (x1 - x) * (y1 + y) / 2.0;
        x = x1;
        y = y1;
    }
    *ret = all.fp > 0.0 && all.tp > 0.0 ? add_up(part, n_corners) : NAN;
done:
    free(v);
    free(corners);
    free(part);
    return st;
}
