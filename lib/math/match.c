/* SPDX-License-Identifier: MIT */
/* match : see the header.
 * Contents: 1. the nearest of a row   2. products   3. candidates   4. proof   5. the whole
 *           6. given entries */
#include "lib/math/match.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/math/assign.h"

enum {
    NEAREST = 48,       /* columns that a row lists at first, */
    NEAREST_OF_COLUMN = 8, /* rows that a column does, */
    NEAREST_AGAIN = 192, /* and columns of a row that is multiplied out again */
    BLOCK_FLOATS = 1 << 23, /* of a block of products */
    COLUMNS = 512           /* that a thread looks at */
};

/* --- 1. the nearest of a row ---------------------------------------------------------------- */

struct near {
    float value;
    uint32_t at;
};

/* The `cap` largest of what was offered: a heap with the smallest first. */
struct nearest {
    size_t n, cap;
    struct near *of;
};

static void push_down(struct nearest *h, struct near one)
{
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < h->n; at = child) {
        if (child + 1 < h->n && h->of[child + 1].value < h->of[child].value)
            child++;
        if (!(h->of[child].value < one.value))
            break;
        h->of[at] = h->of[child];
    }
    h->of[at] = one;
}

static void offer(struct nearest *h, float value, uint32_t at)
{
    const struct near one = {value, at};
    if (h->n == h->cap) {
        if (value > h->of[0].value)
            push_down(h, one);
        return;
    }
    size_t i = h->n++;
    for (; i > 0 && value < h->of[(i - 1) / 2].value; i = (i - 1) / 2)
        h->of[i] = h->of[(i - 1) / 2];
    h->of[i] = one;
}

/* No value that was left out is above this. */
static float left_out(const struct nearest *h)
{
    return h->n == h->cap ? h->of[0].value : -INFINITY;
}

/* --- 2. products ---------------------------------------------------------------------------- */

struct search {
    const struct sae_ops *ops;
    size_t n, m, d, block; /* block: rows multiplied at a time */
    const float *A, *B;
    bool is_signed;
    float *own_A, *own_B, *own_S; /* of the backend: rows of A, all of B, products */
    float *rows, *S;              /* on the host: rows picked out of A [block][d]; products [block][m] */
    struct nearest *row, *column; /* [n], [m] */
    float *bound;                 /* [n] no pair that is not listed is nearer */
    struct sae_assign assign;
    uint32_t *unproven;           /* [n] */
    size_t n_solved, n_listed, n_multiplied;
};

/* Similarities of `some` rows of A, `from` [some][d] on the host, in s->S. */
static enum sae_status multiply(struct search *s, size_t some, const float *from, struct sae_err *err)
{
    const struct sae_ops *const ops = s->ops;
    const float *a = from;
    if (sae_stop_asked())
        return sae_err_set(err, SAE_EINTR, "stopped in the middle of a matching");
    if (!ops->host) {
        ops->put(s->own_A, from, some * s->d * sizeof *from);
        a = s->own_A;
    }
    float *const to = ops->host ? s->S : s->own_S;
    ops->gemm(false, true, some, s->m, s->d, 1, a, s->d, ops->host ? s->B : s->own_B, s->d, 0, to,
              s->m);
    if (!ops->host)
        ops->get(s->S, s->own_S, some * s->m * sizeof *s->S);
    SAE_TRY(ops->check(err));
    s->n_multiplied += some;
    if (!s->is_signed) {
        const size_t all = some * s->m;
#pragma omp parallel for simd schedule(static)
        for (size_t e = 0; e < all; e++)
            s->S[e] = fabsf(s->S[e]);
    }
    return SAE_OK;
}

static enum sae_status open_nearest(struct nearest **ret, size_t n, size_t cap, struct sae_err *err)
{
    struct near *all = NULL;
    SAE_TRY(sae_mem_alloc(ret, n, sizeof **ret, err));
    SAE_TRY(sae_mem_alloc(&all, n * cap, sizeof *all, err));
    for (size_t i = 0; i < n; i++)
        (*ret)[i] = (struct nearest){0, cap, all + i * cap};
    return SAE_OK;
}

static void close_nearest(struct nearest *all)
{
    if (all)
        free(all[0].of);
    free(all);
}

static enum sae_status open_search(struct search *s, struct sae_err *err)
{
    const struct sae_ops *const ops = s->ops;
    s->block = BLOCK_FLOATS / s->m + 1;
    s->block = s->block < s->n ? s->block : s->n;
    SAE_TRY(sae_mem_alloc(&s->S, s->block * s->m, sizeof *s->S, err));
    SAE_TRY(sae_mem_alloc(&s->rows, s->block * s->d, sizeof *s->rows, err));
    SAE_TRY(sae_mem_alloc(&s->bound, s->n, sizeof *s->bound, err));
    SAE_TRY(sae_mem_alloc(&s->unproven, s->n, sizeof *s->unproven, err));
    SAE_TRY(open_nearest(&s->row, s->n, s->m < NEAREST ? s->m : NEAREST, err));
    SAE_TRY(open_nearest(&s->column, s->m, NEAREST_OF_COLUMN, err));
    SAE_TRY(sae_assign_open(&s->assign, s->n, s->m, err));
    if (ops->host)
        return SAE_OK;
    SAE_TRY(ops->alloc(&s->own_A, s->block * s->d, sizeof(float), err));
    SAE_TRY(ops->alloc(&s->own_B, s->m * s->d, sizeof(float), err));
    SAE_TRY(ops->alloc(&s->own_S, s->block * s->m, sizeof(float), err));
    ops->put(s->own_B, s->B, s->m * s->d * sizeof(float));
    return SAE_OK;
}

static void close_search(struct search *s)
{
    s->ops->free(s->own_A);
    s->ops->free(s->own_B);
    s->ops->free(s->own_S);
    free(s->S);
    free(s->rows);
    free(s->bound);
    free(s->unproven);
    close_nearest(s->row);
    close_nearest(s->column);
    sae_assign_close(&s->assign);
}

/* --- 3. candidates -------------------------------------------------------------------------- */

static void offer_rows(struct search *s, size_t first, size_t some)
{
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t t = 0; t < some; t++)
        for (size_t c = 0; c < s->m; c++)
            offer(&s->row[first + t], s->S[t * s->m + c], (uint32_t)c);
}

static void offer_columns(struct search *s, size_t first, size_t some)
{
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t c0 = 0; c0 < s->m; c0 += COLUMNS)
        for (size_t t = 0; t < some; t++)
            for (size_t c = c0; c < s->m && c < c0 + COLUMNS; c++)
                offer(&s->column[c], s->S[t * s->m + c], (uint32_t)(first + t));
}

static bool is_listed(const struct search *s, size_t row, uint32_t column)
{
    const struct sae_assign_row *const r = &s->assign.row[row];
    for (size_t e = 0; e < r->n; e++)
        if (r->column[e] == column)
            return true;
    return false;
}

static enum sae_status list(struct search *s, size_t row, uint32_t column, float similarity,
                            struct sae_err *err)
{
    s->n_listed++;
    return sae_assign_add(&s->assign, row, column, (double)similarity, err);
}

static enum sae_status find_candidates(struct search *s, struct sae_err *err)
{
    for (size_t first = 0; first < s->n; first += s->block) {
        const size_t some = s->n - first < s->block ? s->n - first : s->block;
        SAE_TRY(multiply(s, some, s->A + first * s->d, err));
        offer_rows(s, first, some);
        offer_columns(s, first, some);
    }
    for (size_t i = 0; i < s->n; i++) {
        s->bound[i] = s->row[i].n < s->m ? left_out(&s->row[i]) : -INFINITY;
        for (size_t e = 0; e < s->row[i].n; e++)
            SAE_TRY(list(s, i, s->row[i].of[e].at, s->row[i].of[e].value, err));
    }
    for (uint32_t c = 0; c < s->m; c++)
        for (size_t e = 0; e < s->column[c].n; e++)
            if (!is_listed(s, s->column[c].of[e].at, c))
                SAE_TRY(list(s, s->column[c].of[e].at, c, s->column[c].of[e].value, err));
    return SAE_OK;
}

/* --- 4. proof ------------------------------------------------------------------------------- */

/* Rows whose unlisted pairs might be better than their profit and some price. */
static size_t find_unproven(struct search *s)
{
    const struct sae_assign *const a = &s->assign;
    double least = INFINITY;
    size_t n = 0;
    for (size_t c = 0; c < s->m; c++)
        least = fmin(least, a->price[c]);
    for (uint32_t i = 0; i < s->n; i++)
        if ((double)s->bound[i] > a->profit[i] + least + SAE_MATCH_SLACK)
            s->unproven[n++] = i;
    return n;
}

/* Lists the pairs of a row that are above the dual, the nearest of them; *ret: whether there was one. The
 * row's bound falls to what is then left out. */
static enum sae_status price_row(struct search *s, uint32_t row, const float *similarity,
                                 struct nearest *scratch, size_t *ret, struct sae_err *err)
{
    const struct sae_assign *const a = &s->assign;
    struct nearest above = *scratch, near = *scratch;
    size_t n_above = 0;
    near.of += scratch->cap;
    above.n = near.n = 0;
    for (size_t c = 0; c < s->m; c++) {
        const double over = (double)similarity[c] - a->profit[row] - a->price[c];
        offer(&near, similarity[c], (uint32_t)c);
        if (over > SAE_MATCH_SLACK) {
            offer(&above, (float)over, (uint32_t)c);
            n_above++;
        }
    }
    *ret += n_above;
    for (size_t e = 0; e < near.n; e++)
        if (!is_listed(s, row, near.of[e].at))
            SAE_TRY(list(s, row, near.of[e].at, near.of[e].value, err));
    for (size_t e = 0; e < above.n; e++)
        if (!is_listed(s, row, above.of[e].at))
            SAE_TRY(list(s, row, above.of[e].at, similarity[above.of[e].at], err));
    s->bound[row] = near.n < s->m ? left_out(&near) : -INFINITY;
    return SAE_OK;
}

/* *ret: pairs above the dual; 0: it is one of the full matrix. */
static enum sae_status price_rows(struct search *s, size_t n, size_t *ret, struct sae_err *err)
{
    struct nearest scratch = {.cap = s->m < NEAREST_AGAIN ? s->m : NEAREST_AGAIN};
    enum sae_status st;
    *ret = 0;
    SAE_TRY(sae_mem_alloc(&scratch.of, 2 * scratch.cap, sizeof *scratch.of, err));
    for (size_t first = 0; first < n; first += s->block) {
        const size_t some = n - first < s->block ? n - first : s->block;
        for (size_t t = 0; t < some; t++)
            memcpy(s->rows + t * s->d, s->A + s->unproven[first + t] * s->d, s->d * sizeof *s->rows);
        SAE_GO(st, multiply(s, some, s->rows, err));
        for (size_t t = 0; t < some; t++)
            SAE_GO(st, price_row(s, s->unproven[first + t], s->S + t * s->m, &scratch, ret, err));
    }
    st = SAE_OK;
done:
    free(scratch.of);
    return st;
}

/* --- 5. the whole --------------------------------------------------------------------------- */

static enum sae_status solve(struct search *s, struct sae_err *err)
{
    size_t n_above = 1;
    SAE_TRY(find_candidates(s, err));
    while (n_above > 0) {
        SAE_TRY(sae_assign_solve(&s->assign, err));
        s->n_solved++;
        const size_t n = find_unproven(s);
        n_above = 0;
        if (n > 0)
            SAE_TRY(price_rows(s, n, &n_above, err));
    }
    return SAE_OK;
}

static enum sae_status open_matching(struct sae_matching *ret, size_t n, size_t m,
                                     struct sae_err *err)
{
    *ret = (struct sae_matching){.n = n, .m = m};
    SAE_TRY(sae_mem_alloc(&ret->partner, n, sizeof *ret->partner, err));
    SAE_TRY(sae_mem_alloc(&ret->similarity, n, sizeof *ret->similarity, err));
    for (size_t i = 0; i < n; i++)
        ret->partner[i] = SAE_MATCH_NONE;
    return SAE_OK;
}

static double listed_gain(const struct sae_assign *a, size_t row)
{
    const struct sae_assign_row *const r = &a->row[row];
    for (size_t e = 0; e < r->n; e++)
        if (r->column[e] == a->column_of[row])
            return r->gain[e];
    return a->alone;
}

/* swapped: rows of the assignment are rows of B. slack: of the dual over the full matrix. */
static void take(struct sae_matching *ret, const struct sae_assign *a, bool swapped, double slack)
{
    const size_t pairs = ret->n < ret->m ? ret->n : ret->m;
    double sum = 0, dual = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        const uint32_t c = a->column_of[i];
        dual += a->profit[i];
        if (c == SAE_ASSIGN_NONE)
            continue;
        const double gain = listed_gain(a, i);
        ret->partner[swapped ? c : i] = swapped ? i : c;
        ret->similarity[swapped ? c : i] = (float)gain;
        sum += gain;
    }
    for (size_t c = 0; c < a->m; c++)
        dual += a->price[c];
    ret->mean = sum / (double)pairs;
    ret->gap = fmax(dual - sum, 0) / (double)pairs + slack;
}

static enum sae_status check_sizes(size_t n, size_t m, struct sae_err *err)
{
    return n > 0 && m > 0 ? SAE_OK
                          : sae_err_set(err, SAE_EARG, "a matching of %zu rows with %zu", n, m);
}

enum sae_status sae_match_rows(struct sae_matching *ret, const struct sae_ops *ops, size_t n, size_t m,
                               size_t d, const float *A, const float *B, bool is_signed,
                               struct sae_err *err)
{
    const bool swapped = n > m;
    struct search s = {.ops = ops,
                       .n = swapped ? m : n,
                       .m = swapped ? n : m,
                       .d = d,
                       .A = swapped ? B : A,
                       .B = swapped ? A : B,
                       .is_signed = is_signed};
    struct sae_matching made = {0};
    enum sae_status st;
    SAE_TRY(check_sizes(n, m, err));
    SAE_GO(st, open_search(&s, err));
    SAE_GO(st, open_matching(&made, n, m, err));
    SAE_GO(st, solve(&s, err));
    take(&made, &s.assign, swapped, SAE_MATCH_SLACK);
    made.n_solved = s.n_solved;
    made.n_listed = s.n_listed;
    made.n_multiplied = s.n_multiplied;
    *ret = made;
    made = (struct sae_matching){0};
done:
    sae_matching_clear(&made);
    close_search(&s);
    return st;
}

/* --- 6. given entries ----------------------------------------------------------------------- */

/* A pair of similarity 0 is no better than none: with `alone` 0 the dual holds for those not given. */
enum sae_status sae_match_sparse(struct sae_matching *ret, size_t n, size_t m, const size_t *start,
                                 const uint32_t *column, const float *similarity, struct sae_err *err)
{
    const bool swapped = n > m;
    struct sae_assign a = {0};
    struct sae_matching made = {0};
    enum sae_status st;
    SAE_TRY(check_sizes(n, m, err));
    SAE_GO(st, sae_assign_open(&a, swapped ? m : n, swapped ? n : m, err));
    SAE_GO(st, open_matching(&made, n, m, err));
    a.alone = 0;
    for (uint32_t i = 0; i < n; i++)
        for (size_t e = start[i]; e < start[i + 1]; e++)
            SAE_GO(st, sae_assign_add(&a, swapped ? column[e] : i, swapped ? i : column[e],
                                      (double)similarity[e], err));
    SAE_GO(st, sae_assign_solve(&a, err));
    take(&made, &a, swapped, 0);
    made.n_solved = 1;
    made.n_listed = start[n];
    *ret = made;
    made = (struct sae_matching){0};
done:
    sae_matching_clear(&made);
    sae_assign_close(&a);
    return st;
}

void sae_matching_clear(struct sae_matching *matching)
{
    free(matching->partner);
    free(matching->similarity);
    *matching = (struct sae_matching){0};
}
