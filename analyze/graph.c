/* SPDX-License-Identifier: MIT */
/* graph : the graph of close latents.
 *
 * Contents:  1. collecting edges and the closest pairs   2. clustering   3. the pass */
#include "analyze/graph.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"

enum { BLOCK = 256 }; /* rows of cosines in memory at a time */

double analyze_graph_threshold(size_t level)
{
    return (double)(level + 2) / 10;
}

/* --- 1. collecting ------------------------------------------------------------------------ */

struct collector {
    struct analyze_graph graph;
    const bool *some; /* [m] or NULL */
    size_t n_top_max;
    struct analyze_edge *edges;
    size_t n_edges, cap, max_edges;
    double above;
    size_t first_level; /* edges are kept for the levels from here on */
};

/* Whether a comes before b in the list of closest pairs. */
static bool closer(const struct analyze_edge *a, const struct analyze_edge *b)
{
    if (fabsf(a->cos) != fabsf(b->cos))
        return fabsf(a->cos) > fabsf(b->cos);
    return a->i != b->i ? a->i < b->i : a->j < b->j;
}

static void offer_top(struct collector *c, const struct analyze_edge *edge)
{
    struct analyze_graph *g = &c->graph;
    if (c->n_top_max == 0)
        return;
    if (g->n_top == c->n_top_max && !closer(edge, &g->top[g->n_top - 1]))
        return;
    size_t at = g->n_top < c->n_top_max ? g->n_top++ : g->n_top - 1;
    for (; at > 0 && closer(edge, &g->top[at - 1]); at--)
        g->top[at] = g->top[at - 1];
    g->top[at] = *edge;
}

/* Drops the edges of the lowest level kept, when there are too many to search. */
static void raise_level(struct collector *c)
{
    const double t = analyze_graph_threshold(++c->first_level);
    size_t kept = 0;
    for (size_t e = 0; e < c->n_edges; e++)
        if ((double)c->edges[e].cos > t)
            c->edges[kept++] = c->edges[e];
    c->n_edges = kept;
}

static enum sae_status keep_edge(struct collector *c, const struct analyze_edge *edge,
                                 struct sae_err *err)
{
    for (size_t level = 0; level < ANALYZE_GRAPH_LEVELS; level++)
        if ((double)edge->cos > analyze_graph_threshold(level))
            c->graph.n_edges[level]++;
    c->graph.n_above += (double)edge->cos > c->above;
    while (c->n_edges >= c->max_edges && c->first_level + 1 < ANALYZE_GRAPH_LEVELS)
        raise_level(c);
    if (c->n_edges >= c->max_edges ||
        !((double)edge->cos > analyze_graph_threshold(c->first_level)))
        return SAE_OK;
    SAE_TRY(sae_mem_grow(&c->edges, &c->cap, c->n_edges + 1, sizeof *c->edges, err));
    c->edges[c->n_edges++] = *edge;
    return SAE_OK;
}

/* Adds |cos| of row i to the sums; a double holds millions of them without loss that matters. */
static void sum_row(struct collector *c, size_t i, size_t m, const float *cos)
{
    double all = 0, chosen = 0;
    for (size_t j = i + 1; j < m; j++) {
        const double v = (double)fminf(fabsf(cos[j - i - 1]), 1);
        all += v;
        if (c->some != NULL && c->some[i] && c->some[j])
            chosen += v;
    }
    c->graph.sum_abs += all;
    c->graph.sum_abs_some += chosen;
}

/* Row i of cosines, to the latents i + 1 ... m - 1. */
static enum sae_status collect_row(struct collector *c, size_t i, size_t m, const float *cos,
                                   struct sae_err *err)
{
    sum_row(c, i, m, cos);
    for (size_t j = i + 1; j < m; j++) {
        const float v = fmaxf(-1, fminf(1, cos[j - i - 1]));
        const bool edge = (double)v > analyze_graph_threshold(0);
        const bool top =
            c->graph.n_top < c->n_top_max ||
            (c->n_top_max > 0 && fabsf(v) >= fabsf(c->graph.top[c->n_top_max - 1].cos));
        c->graph.n_below += (double)v < -c->above;
        if (!edge && !top)
            continue;
        const struct analyze_edge e = {(uint32_t)i, (uint32_t)j, v};
        if (top)
            offer_top(c, &e);
        if (edge)
            SAE_TRY(keep_edge(c, &e, err));
    }
    return SAE_OK;
}

/* --- 2. clustering ------------------------------------------------------------------------ */

/* Neighbours j > i of each i, as start[m+1] and idx; and the degree of each node. */
static size_t forward_lists(size_t m, const struct analyze_edge *edges, size_t n_edges, double t,
                            size_t *start, uint32_t *idx, uint64_t *degree)
{
    size_t n = 0, node = 0;
    for (size_t e = 0; e < n_edges; e++) {
        if (!((double)edges[e].cos > t))
            continue;
        while (node <= edges[e].i)
            start[node++] = n;
        idx[n++] = edges[e].j;
        degree[edges[e].i]++;
        degree[edges[e].j]++;
    }
    while (node <= m)
        start[node++] = n;
    return n;
}

static uint64_t count_triangles(size_t m, const size_t *start, const uint32_t *idx, uint32_t *mark)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m; i++) {
        for (size_t e = start[i]; e < start[i + 1]; e++)
            mark[idx[e]] = (uint32_t)i + 1;
        for (size_t e = start[i]; e < start[i + 1]; e++)
            for (size_t f = start[idx[e]]; f < start[idx[e] + 1]; f++)
                n += mark[idx[f]] == (uint32_t)i + 1;
    }
    return n;
}

enum sae_status analyze_graph_clustering(double *ret, size_t m, const struct analyze_edge *edges,
                                         size_t n_edges, double t, struct sae_err *err)
{
    enum sae_status st;
    size_t *start = NULL;
    uint32_t *idx = NULL, *mark = NULL;
    uint64_t *degree = NULL;
    SAE_GO(st, sae_mem_alloc(&start, m + 1, sizeof *start, err));
    SAE_GO(st, sae_mem_alloc(&idx, n_edges, sizeof *idx, err));
    SAE_GO(st, sae_mem_alloc(&mark, m, sizeof *mark, err));
    SAE_GO(st, sae_mem_alloc(&degree, m, sizeof *degree, err));
    forward_lists(m, edges, n_edges, t, start, idx, degree);
    double triples = 0;
    for (size_t i = 0; i < m; i++)
        triples += 0.5 * (double)degree[i] * ((double)degree[i] - 1);
    const uint64_t triangles = count_triangles(m, start, idx, mark);
    *ret = triples > 0 ? 3 * (double)triangles / triples : NAN;
done:
    free(start);
    free(idx);
    free(mark);
    free(degree);
    return st;
}

/* --- 3. the pass -------------------------------------------------------------------------- */

static enum sae_status pass(struct collector *c, const struct sae_ops *ops, size_t m, size_t d,
                            const float *U, struct sae_err *err)
{
    enum sae_status st;
    float *W = NULL, *C = NULL, *host = NULL;
    SAE_GO(st, ops->alloc(&W, m * d, sizeof *W, err));
    SAE_GO(st, ops->alloc(&C, (size_t)BLOCK * m, sizeof *C, err));
    SAE_GO(st, sae_mem_alloc(&host, (size_t)BLOCK * m, sizeof *host, err));
    ops->put(W, U, m * d * sizeof *U);
    for (size_t first = 0; first < m; first += BLOCK) {
        const size_t n = m - first < BLOCK ? m - first : BLOCK, width = m - first;
        if (sae_stop_asked()) {
            st = sae_err_set(err, SAE_EINTR, "stopped");
            goto done;
        }
        ops->gemm(false, true, n, width, d, 1, W + first * d, d, W + first * d, d, 0, C, width);
        ops->get(host, C, n * width * sizeof *host);
        for (size_t r = 0; r < n; r++)
            SAE_GO(st, collect_row(c, first + r, m, host + r * width + r + 1, err));
    }
done:
    if (W != NULL)
        ops->free(W);
    if (C != NULL)
        ops->free(C);
    free(host);
    return st;
}

void analyze_graph_clear(struct analyze_graph *graph)
{
    free(graph->top);
    memset(graph, 0, sizeof *graph);
}

enum sae_status analyze_graph_make(struct analyze_graph *ret, const struct sae_ops *ops, size_t m,
                                   size_t d, const float *U, const bool *some, size_t n_top,
                                   size_t max_edges, double above, struct sae_err *err)
{
    enum sae_status st;
    struct collector c = {
        .some = some, .n_top_max = n_top, .max_edges = max_edges, .above = above};
    SAE_GO(st, sae_mem_alloc(&c.graph.top, n_top, sizeof *c.graph.top, err));
    SAE_GO(st, pass(&c, ops, m, d, U, err));
    for (size_t level = 0; level < ANALYZE_GRAPH_LEVELS; level++) {
        c.graph.density[level] = 2 * (double)c.graph.n_edges[level] / ((double)m * ((double)m - 1));
        c.graph.clustering[level] = NAN;
        if (level >= c.first_level && c.graph.n_edges[level] <= c.max_edges)
            SAE_GO(st,
                   analyze_graph_clustering(&c.graph.clustering[level], m, c.edges, c.n_edges,
                                            analyze_graph_threshold(level), err));
    }
    *ret = c.graph;
    memset(&c.graph, 0, sizeof c.graph);
done:
    analyze_graph_clear(&c.graph);
    free(c.edges);
    return st;
}
