/* SPDX-License-Identifier: MIT */
/* assign : see the header.
 * Contents: 1. memory   2. the start   3. row reductions   4. augmenting paths   5. the whole */
#include "lib/math/assign.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"

#define NONE SAE_ASSIGN_NONE
/* What rounding of sums of gains may come to: a pair is tight within it. */
static const double TIGHT = 1e-12;

struct reach {
    double dist;
    uint32_t column;
};

struct sae_assign_work {
    double *dist;         /* [m] reduced cost of the best way to a column; INFINITY: none yet */
    uint32_t *from;       /* [m] row by which it is reached */
    bool *is_done;        /* [m] */
    uint32_t *done, *met; /* [m] columns done, and met at all */
    size_t n_done, n_met;
    uint32_t *waiting, *later; /* [n] rows without a column */
    struct reach *heap;
    size_t n_heap, cap_heap;
};

/* --- 1. memory ------------------------------------------------------------------------------ */

static enum sae_status open_work(struct sae_assign *a, struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(&a->work, 1, sizeof *a->work, err));
    struct sae_assign_work *const w = a->work;
    SAE_TRY(sae_mem_alloc(&w->dist, a->m, sizeof *w->dist, err));
    SAE_TRY(sae_mem_alloc(&w->from, a->m, sizeof *w->from, err));
    SAE_TRY(sae_mem_alloc(&w->is_done, a->m, sizeof *w->is_done, err));
    SAE_TRY(sae_mem_alloc(&w->done, a->m, sizeof *w->done, err));
    SAE_TRY(sae_mem_alloc(&w->met, a->m, sizeof *w->met, err));
    SAE_TRY(sae_mem_alloc(&w->waiting, a->n, sizeof *w->waiting, err));
    return sae_mem_alloc(&w->later, a->n, sizeof *w->later, err);
}

enum sae_status sae_assign_open(struct sae_assign *ret, size_t n, size_t m, struct sae_err *err)
{
    struct sae_assign a = {.n = n, .m = m, .alone = SAE_ASSIGN_ALONE};
    enum sae_status st;
    if (n > m || m >= NONE)
        return sae_err_set(err, SAE_EARG, "%zu rows cannot have columns of their own among %zu", n, m);
    SAE_GO(st, sae_mem_alloc(&a.row, n, sizeof *a.row, err));
    SAE_GO(st, sae_mem_alloc(&a.profit, n, sizeof *a.profit, err));
    SAE_GO(st, sae_mem_alloc(&a.price, m, sizeof *a.price, err));
    SAE_GO(st, sae_mem_alloc(&a.column_of, n, sizeof *a.column_of, err));
    SAE_GO(st, sae_mem_alloc(&a.row_of, m, sizeof *a.row_of, err));
    SAE_GO(st, open_work(&a, err));
    for (size_t i = 0; i < n; i++)
        a.column_of[i] = NONE;
    for (size_t c = 0; c < m; c++) {
        a.row_of[c] = NONE;
        a.work->dist[c] = INFINITY;
    }
    *ret = a;
    return SAE_OK;
done:
    sae_assign_close(&a);
    return st;
}

void sae_assign_close(struct sae_assign *a)
{
    struct sae_assign_work *const w = a->work;
    for (size_t i = 0; a->row && i < a->n; i++) {
        free(a->row[i].column);
        free(a->row[i].gain);
    }
    if (w) {
        void *const arrays[] = {w->dist,    w->from,  w->is_done,  w->done, w->met,
                                w->waiting, w->later, w->heap};
        for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
            free(arrays[i]);
    }
    void *const arrays[] = {a->row, a->profit, a->price, a->column_of, a->row_of, a->work};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    *a = (struct sae_assign){0};
}

enum sae_status sae_assign_add(struct sae_assign *a, size_t row, uint32_t column, double gain,
                               struct sae_err *err)
{
    struct sae_assign_row *const r = &a->row[row];
    size_t cap = r->cap;
    SAE_TRY(sae_mem_grow(&r->column, &cap, r->n + 1, sizeof *r->column, err));
    SAE_TRY(sae_mem_grow(&r->gain, &r->cap, r->n + 1, sizeof *r->gain, err));
    r->column[r->n] = column;
    r->gain[r->n++] = gain;
    return SAE_OK;
}

/* --- 2. the start --------------------------------------------------------------------------- */

/* The best and second best of a row at the present prices; being alone is among them. */
struct best {
    double first, second;
    uint32_t column; /* of the first; NONE: alone */
};

static struct best best_of(const struct sae_assign *a, uint32_t row)
{
    const struct sae_assign_row *const r = &a->row[row];
    struct best b = {.first = a->alone, .second = -INFINITY, .column = NONE};
    for (size_t e = 0; e < r->n; e++) {
        const double v = r->gain[e] - a->price[r->column[e]];
        if (v > b.first) {
            b.second = b.first;
            b.first = v;
            b.column = r->column[e];
        } else if (v > b.second) {
            b.second = v;
        }
    }
    return b;
}

static double gain_of(const struct sae_assign *a, uint32_t row, uint32_t column)
{
    const struct sae_assign_row *const r = &a->row[row];
    for (size_t e = 0; e < r->n; e++)
        if (r->column[e] == column)
            return r->gain[e];
    return a->alone;
}

static size_t count_alone(const struct sae_assign *a)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n; i++)
        n += a->column_of[i] == NONE;
    return n;
}

/* is_new: from nothing; else rows keep a column that is still among their best. Returns how many rows
 * wait. */
static size_t begin(struct sae_assign *a, bool is_new)
{
    struct sae_assign_work *const w = a->work;
    size_t n_waiting = 0;
    if (is_new) {
        memset(a->price, 0, a->m * sizeof *a->price);
        for (size_t i = 0; i < a->n; i++)
            a->column_of[i] = NONE;
        for (size_t c = 0; c < a->m; c++)
            a->row_of[c] = NONE;
    }
    for (uint32_t i = 0; i < a->n; i++) {
        const uint32_t c = a->column_of[i];
        const double best = best_of(a, i).first;
        a->profit[i] = best;
        if (c != NONE && gain_of(a, i, c) - a->price[c] >= best - TIGHT) {
            a->profit[i] = gain_of(a, i, c) - a->price[c];
            continue;
        }
        if (c != NONE)
            a->row_of[c] = NONE;
        a->column_of[i] = NONE;
        w->waiting[n_waiting++] = i;
    }
    return n_waiting;
}

/* --- 3. row reductions ---------------------------------------------------------------------- */

/* A row takes its best column and makes it so dear that its second best is as good; who had it waits.
 * Cheap, and leaves few rows to the search. Returns how many wait. */
static size_t reduce_rows(struct sae_assign *a, size_t n_waiting)
{
    struct sae_assign_work *const w = a->work;
    enum { ROUNDS = 3 };
    for (int round = 0; round < ROUNDS && n_waiting > 0; round++) {
        size_t n_later = 0;
        for (size_t k = 0; k < n_waiting; k++) {
            const uint32_t i = w->waiting[k];
            const struct best b = best_of(a, i);
            a->profit[i] = b.first;
            if (b.column == NONE)
                continue;
            const uint32_t before = a->row_of[b.column];
            if (before != NONE && !(b.first > b.second)) { /* nothing to outbid with */
                w->later[n_later++] = i;
                continue;
            }
            a->price[b.column] += b.first - b.second;
            a->profit[i] = b.second;
            a->column_of[i] = b.column;
            a->row_of[b.column] = i;
            if (before != NONE) {
                a->column_of[before] = NONE;
                w->later[n_later++] = before;
            }
        }
        uint32_t *const swap = w->waiting;
        w->waiting = w->later;
        w->later = swap;
        n_waiting = n_later;
    }
    return n_waiting;
}

/* --- 4. augmenting paths -------------------------------------------------------------------- */

static bool is_before(const struct reach *x, const struct reach *y)
{
    return x->dist < y->dist || (x->dist <= y->dist && x->column < y->column);
}

static enum sae_status push(struct sae_assign_work *w, double dist, uint32_t column,
                            struct sae_err *err)
{
    const struct reach one = {dist, column};
    SAE_TRY(sae_mem_grow(&w->heap, &w->cap_heap, w->n_heap + 1, sizeof *w->heap, err));
    size_t at = w->n_heap++;
    for (; at > 0 && is_before(&one, &w->heap[(at - 1) / 2]); at = (at - 1) / 2)
        w->heap[at] = w->heap[(at - 1) / 2];
    w->heap[at] = one;
    return SAE_OK;
}

static struct reach pop(struct sae_assign_work *w)
{
    const struct reach top = w->heap[0], last = w->heap[--w->n_heap];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < w->n_heap; at = child) {
        if (child + 1 < w->n_heap && is_before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!is_before(&w->heap[child], &last))
            break;
        w->heap[at] = w->heap[child];
    }
    w->heap[at] = last;
    return top;
}

/* The ways on from a row that is reached at `dist`; those at `limit` or beyond lead nowhere. */
static enum sae_status relax(struct sae_assign *a, uint32_t row, double dist, double limit,
                             struct sae_err *err)
{
    struct sae_assign_work *const w = a->work;
    const struct sae_assign_row *const r = &a->row[row];
    for (size_t e = 0; e < r->n; e++) {
        const uint32_t c = r->column[e];
        const double slack = a->profit[row] + a->price[c] - r->gain[e];
        const double to = dist + (slack > 0 ? slack : 0);
        if (w->is_done[c] || to >= limit || to >= w->dist[c])
            continue;
        if (isinf(w->dist[c]))
            w->met[w->n_met++] = c;
        w->dist[c] = to;
        w->from[c] = row;
        SAE_TRY(push(w, to, c, err));
    }
    return SAE_OK;
}

/* Where a search ended: at a free column, or with a row that will be alone. */
struct way_end {
    double dist;
    uint32_t column, alone;
};

static enum sae_status search(struct sae_assign *a, uint32_t row, struct way_end *ret,
                              struct sae_err *err)
{
    struct sae_assign_work *const w = a->work;
    struct way_end end = {a->profit[row] - a->alone, NONE, row};
    SAE_TRY(relax(a, row, 0, end.dist, err));
    while (w->n_heap > 0) {
        const struct reach next = pop(w);
        const uint32_t c = next.column, holder = a->row_of[c];
        if (w->is_done[c])
            continue;
        if (next.dist >= end.dist)
            break;
        w->is_done[c] = true;
        w->done[w->n_done++] = c;
        if (holder == NONE) {
            end = (struct way_end){next.dist, c, NONE};
            break;
        }
        const double alone = next.dist + a->profit[holder] - a->alone;
        if (alone < end.dist)
            end = (struct way_end){alone, NONE, holder};
        SAE_TRY(relax(a, holder, next.dist, end.dist, err));
    }
    *ret = end;
    return SAE_OK;
}

/* Keeps the dual feasible, and the way to the end tight. */
static void move_prices(struct sae_assign *a, uint32_t row, const struct way_end *end)
{
    struct sae_assign_work *const w = a->work;
    a->profit[row] -= end->dist;
    for (size_t k = 0; k < w->n_done; k++) {
        const uint32_t c = w->done[k];
        const double by = end->dist - w->dist[c];
        if (c == end->column)
            continue;
        a->price[c] += by;
        a->profit[a->row_of[c]] -= by;
    }
}

/* Each row on the way takes the column by which it reaches the next. */
static void change_places(struct sae_assign *a, uint32_t row, const struct way_end *end)
{
    struct sae_assign_work *const w = a->work;
    uint32_t c = end->column;
    if (end->alone != NONE) {
        c = a->column_of[end->alone];
        a->column_of[end->alone] = NONE;
        if (end->alone == row)
            return;
    }
    for (;;) {
        const uint32_t i = w->from[c], before = a->column_of[i];
        a->column_of[i] = c;
        a->row_of[c] = i;
        if (i == row)
            return;
        c = before;
    }
}

static enum sae_status augment(struct sae_assign *a, uint32_t row, struct sae_err *err)
{
    struct sae_assign_work *const w = a->work;
    struct way_end end;
    const enum sae_status st = search(a, row, &end, err);
    if (st == SAE_OK) {
        move_prices(a, row, &end);
        change_places(a, row, &end);
    }
    for (size_t k = 0; k < w->n_met; k++) {
        w->dist[w->met[k]] = INFINITY;
        w->is_done[w->met[k]] = false;
    }
    w->n_met = w->n_done = w->n_heap = 0;
    return st;
}

/* --- 5. the whole --------------------------------------------------------------------------- */

static enum sae_status solve(struct sae_assign *a, bool is_new, struct sae_err *err)
{
    const size_t n_waiting = reduce_rows(a, begin(a, is_new));
    for (size_t k = 0; k < n_waiting; k++) {
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped in the middle of an assignment");
        a->profit[a->work->waiting[k]] = best_of(a, a->work->waiting[k]).first;
        SAE_TRY(augment(a, a->work->waiting[k], err));
    }
    return SAE_OK;
}

/* A column that stays free has price 0, which one that was given up may not have. To go on from a
 * solution is right only where no column stays free, before and after. */
enum sae_status sae_assign_solve(struct sae_assign *a, struct sae_err *err)
{
    const bool goes_on = a->n == a->m && count_alone(a) == 0;
    SAE_TRY(solve(a, !goes_on, err));
    return goes_on && count_alone(a) > 0 ? solve(a, true, err) : SAE_OK;
}
