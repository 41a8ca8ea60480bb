/* SPDX-License-Identifier: MIT */
/* chance : what overlaps would be if latents fired independently.
 *
 * With n_i and n_j fixed and the tokens drawn at random, n_ij is hypergeometric with mean
 * n_i n_j / N and P(n_ij = 0) = C(N - n_i, n_j) / C(N, n_j). Every normalisation but jaccard is
 * linear in n_ij, so its expectation follows from the mean. */
#include "analyze/chance.h"

#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"

struct level {
    double n;       /* a count */
    double latents; /* how many latents have it */
};

/* Distinct counts >= floor, ascending, from a table over 0 ... n_tokens. */
static enum sae_status find_levels(struct level **ret, size_t *ret_n, size_t m,
                                   const uint64_t *counts, uint64_t n_tokens, uint64_t floor,
                                   struct sae_err *err)
{
    uint64_t *at;
    size_t n = 0;
    SAE_TRY(sae_mem_alloc(&at, (size_t)n_tokens + 1, sizeof *at, err));
    for (size_t i = 0; i < m; i++)
        if (counts[i] >= floor && counts[i] > 0)
            n += at[counts[i]]++ == 0;
    struct level *levels;
    const enum sae_status st = sae_mem_alloc(&levels, n, sizeof *levels, err);
    if (st == SAE_OK) {
        n = 0;
        for (uint64_t c = 1; c <= n_tokens; c++)
            if (at[c] > 0)
                levels[n++] = (struct level){(double)c, (double)at[c]};
        *ret = levels;
        *ret_n = n;
    }
    free(at);
    return st;
}

/* log(x!) for x = 0 ... n */
static enum sae_status log_factorials(double **ret, uint64_t n, struct sae_err *err)
{
    double *table;
    SAE_TRY(sae_mem_alloc(&table, (size_t)n + 1, sizeof *table, err));
    for (uint64_t x = 1; x <= n; x++)
        table[x] = table[x - 1] + log((double)x);
    *ret = table;
    return SAE_OK;
}

static double never_meet(const double *log_fact, uint64_t N, uint64_t a, uint64_t b)
{
    if (a + b > N)
        return 0;
    /* C(N-a, b) / C(N, b) = (N-a)! (N-b)! / ((N-a-b)! N!) */
    return exp(log_fact[N - a] + log_fact[N - b] - log_fact[N - a - b] - log_fact[N]);
}

enum sae_status analyze_chance_make(struct analyze_chance *ret, size_t m, const uint64_t *counts,
                                    uint64_t n_tokens, uint64_t floor, struct sae_err *err)
{
    enum sae_status st;
    struct level *levels = NULL;
    double *log_fact = NULL;
    size_t n = 0;
    SAE_GO(st, find_levels(&levels, &n, m, counts, n_tokens, floor, err));
    SAE_GO(st, log_factorials(&log_fact, n_tokens, err));
    const double N = (double)n_tokens;
    struct analyze_chance out = {0};
    for (size_t a = 0; a < n; a++) {
        out.n_latents += (size_t)levels[a].latents;
        for (size_t b = a; b < n; b++) {
            const double pairs = a == b ? 0.5 * levels[a].latents * (levels[a].latents - 1)
                                        : levels[a].latents * levels[b].latents;
            const double x = levels[a].n, y = levels[b].n, meet = x * y / N;
            out.n_pairs += pairs;
            out.never += pairs * never_meet(log_fact, n_tokens, (uint64_t)x, (uint64_t)y);
            for (int kind = 0; kind < SAE_OVERLAP_N; kind++)
                out.overlap[kind] +=
                    pairs * sae_overlap_value((enum sae_overlap)kind, N, x, y, meet);
        }
    }
    out.never /= out.n_pairs;
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++)
        out.overlap[kind] /= out.n_pairs;
    out.overlap[SAE_OVERLAP_JACCARD] = NAN;
    *ret = out;
done:
    free(levels);
    free(log_fact);
    return st;
}
