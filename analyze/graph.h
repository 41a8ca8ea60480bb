/* SPDX-License-Identifier: MIT */
/* graph : the graph of close latents. Latents i and j are joined where cos_ij > t. One blocked
 * pass over i < j keeps the closest pairs and the edges above the lowest threshold. */
#ifndef SAE_ANALYZE_GRAPH_H
#define SAE_ANALYZE_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/math/ops.h"

enum { ANALYZE_GRAPH_LEVELS = 8 };
/* 0.2, 0.3, ... 0.9 */
double analyze_graph_threshold(size_t level);

struct analyze_edge {
    uint32_t i, j; /* i < j */
    float cos;
};

struct analyze_graph {
    uint64_t n_edges[ANALYZE_GRAPH_LEVELS];  /* pairs with cos > threshold */
    double clustering[ANALYZE_GRAPH_LEVELS]; /* NaN: no connected triples, or not counted */
    double density[ANALYZE_GRAPH_LEVELS];    /* 2 E / (m (m - 1)) */
    uint64_t n_above, n_below; /* pairs with cos > the caller's own threshold, with cos < minus it */
    double sum_abs, sum_abs_some; /* of |cos| over all pairs, and over pairs of chosen latents */
    size_t n_top;
    struct analyze_edge *top; /* the n_top largest |cos|, descending; ties: lower i, then j */
};

/* U: host, unit rows. Cosines that rounding puts beyond 1 or -1 count as those. n_top pairs are kept at
 * most; above >= 0.2. some: [m] the chosen latents, or NULL for none. Graphs of more than max_edges
 * edges are not searched for triangles (their clustering is NaN). Fails: SAE_ENOMEM, SAE_EBACKEND,
 * SAE_EINTR */
SAE_MUST_CHECK enum sae_status analyze_graph_make(struct analyze_graph *ret,
                                                  const struct sae_ops *ops, size_t m, size_t d,
                                                  const float *U, const bool *some, size_t n_top,
                                                  size_t max_edges, double above,
                                                  struct sae_err *err);
void analyze_graph_clear(struct analyze_graph *graph);

/* 3 triangles / connected triples of the graph of edges with cos > t; NaN without triples.
 * edges sorted by i, then j, over m nodes. */
SAE_MUST_CHECK enum sae_status analyze_graph_clustering(double *ret, size_t m,
                                                        const struct analyze_edge *edges,
                                                        size_t n_edges, double t,
                                                        struct sae_err *err);

#endif /* SAE_ANALYZE_GRAPH_H */
