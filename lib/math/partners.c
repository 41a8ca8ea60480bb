/* SPDX-License-Identifier: MIT */
/* partners : counts of what one latent meets, from sparse masks. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/math/clones.h"
#include "lib/math/partners.h"

void sae_partners_clear(struct sae_partners *c)
{
    free(c->now);
    free(c->sum);
    free(c->hit);
    *c = (struct sae_partners){NULL, NULL, NULL};
}

enum sae_status sae_partners_init(struct sae_partners *ret, size_t m, size_t n_batches,
                                  struct sae_err *err)
{
    struct sae_partners c = {NULL, NULL, NULL};
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&c.now, m, sizeof *c.now, err));
    SAE_GO(st, sae_mem_alloc(&c.hit, m / PARTNERS_BLOCK + 1, sizeof *c.hit, err));
    if (n_batches > 1)
        SAE_GO(st, sae_mem_alloc(&c.sum, m, sizeof *c.sum, err));
done:
    if (st != SAE_OK)
        sae_partners_clear(&c);
    *ret = c;
    return st;
}

/* Returns how many partners were met, the same one again too. */
static size_t count_batch(const struct sae_csr *csr, const struct sae_csc *csc, size_t i,
                          struct sae_partners *c)
{
    size_t met = 0;
    for (size_t p = csc->start[i]; p < csc->start[i + 1]; p++) {
        const size_t end = csr->start[csc->row[p] + 1];
        met += end - csc->pos[p] - 1;
        for (size_t e = csc->pos[p] + 1; e < end; e++) {
            const size_t j = csr->idx[e];
            c->now[j]++;
            c->hit[j / PARTNERS_BLOCK] = 1;
        }
    }
    return met;
}

SAE_CLONES static void add_weighted(size_t n, double w, uint32_t *restrict now,
                                    double *restrict sum)
{
    for (size_t j = 0; j < n; j++)
        sum[j] += w * now[j];
    memset(now, 0, n * sizeof *now);
}

size_t sae_partners_count(size_t m, const struct sae_overlap_masks *masks, size_t i,
                          struct sae_partners *c)
{
    size_t met = 0;
    for (size_t b = 0; b < masks->n_batches; b++) {
        met += count_batch(masks->csr[b], masks->csc[b], i, c);
        if (c->sum)
            add_weighted(m - i - 1, masks->weight[b], c->now + i + 1, c->sum + i + 1);
    }
    return met;
}

/* Counts of partners above i to zero, by runs of the blocks that have any. */
void sae_partners_zero(struct sae_partners *c, size_t m, size_t i)
{
    const size_t n_blocks = sae_partners_blocks(m);
    size_t b = sae_partners_next(c->hit, i / PARTNERS_BLOCK, n_blocks);
    while (b < n_blocks) {
        size_t end = b + 1;
        while (end < n_blocks && c->hit[end])
            end++;
        const size_t j0 = b * PARTNERS_BLOCK,
                     j1 = end * PARTNERS_BLOCK < m ? end * PARTNERS_BLOCK : m;
        if (c->sum)
            memset(c->sum + j0, 0, (j1 - j0) * sizeof *c->sum);
        else
            memset(c->now + j0, 0, (j1 - j0) * sizeof *c->now);
        memset(c->hit + b, 0, end - b);
        b = sae_partners_next(c->hit, end, n_blocks);
    }
}

/* n_i of every latent, and B. */
enum sae_status sae_partners_single(size_t m, const struct sae_overlap_masks *masks, double **ret_n,
                                    double *ret_B, struct sae_err *err)
{
    double *n = NULL, B = 0;
    SAE_TRY(sae_mem_alloc(&n, m, sizeof *n, err));
    for (size_t b = 0; b < masks->n_batches; b++) {
        const size_t *const start = masks->csc[b]->start;
        for (size_t j = 0; j < m; j++)
            n[j] += masks->weight[b] * (double)(start[j + 1] - start[j]);
        B += masks->weight[b] * (double)masks->csr[b]->n;
    }
    *ret_n = n;
    *ret_B = B;
    return SAE_OK;
}
