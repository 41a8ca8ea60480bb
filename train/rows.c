/* SPDX-License-Identifier: MIT */
/* rows : rows of the store on a device. They lie in the order in which they came. */
#include "train/rows.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"

enum { NOWHERE = UINT32_MAX };

struct rows {
    const struct sae_ops *ops;
    size_t n, d, n_train;
    size_t n_kept;   /* rows that stay */
    bool stay;
    uint16_t *data;  /* device [n_train or n][d] */
    uint32_t *place; /* device [n] of the batch's rows in data */
    float *x;        /* device [n][d] */
    uint32_t *at;    /* [n_train] place of each row of the store, NOWHERE; where rows stay */
    uint32_t *batch; /* [n] places, for the device */
    uint16_t *fresh; /* [n][d] rows of a batch that come together with ones that are there */
};

/* Share of the free memory that is left over besides what is known to be needed: libraries allocate
 * too, and allocations have gaps. An estimate. */
static const double SPARE = 0.05;

/* Says, and returns, whether rows stay. */
static bool choose(const struct sae_ops *ops, size_t n_train, size_t d, uint64_t n_met,
                   double reserve_bytes)
{
    const double free_bytes = (double)ops->free_bytes(), bytes = 2 * (double)n_train * (double)d;
    if (n_met <= n_train) {
        sae_log_info("activations: none is met twice; each batch comes from the host");
        return false;
    }
    const bool fit = bytes + reserve_bytes <= (1 - SPARE) * free_bytes;
    if (fit)
        sae_log_info("activations: all %zu rows stay on the device, %.3g GB of the %.3g free there",
                     n_train, bytes / 1e9, free_bytes / 1e9);
    else
        sae_log_info("activations: each batch comes from the host; all %zu rows take %.3g GB, the "
                     "device has %.3g free and the steps need about %.3g",
                     n_train, bytes / 1e9, free_bytes / 1e9, reserve_bytes / 1e9);
    return fit;
}

enum sae_status rows_open(struct rows **ret, const struct sae_ops *ops, size_t n, size_t d,
                          size_t n_train, uint64_t n_met, double reserve_bytes, struct sae_err *err)
{
    struct rows *rows = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&rows, 1, sizeof *rows, err));
    rows->ops = ops;
    rows->n = n;
    rows->d = d;
    rows->n_train = n_train;
    SAE_GO(st, ops->alloc(&rows->place, n, sizeof *rows->place, err));
    SAE_GO(st, ops->alloc(&rows->x, n * d, sizeof *rows->x, err));
    SAE_GO(st, sae_mem_alloc(&rows->batch, n, sizeof *rows->batch, err));
    rows->stay = choose(ops, n_train, d, n_met, reserve_bytes);
    SAE_GO(st, ops->alloc(&rows->data, (rows->stay ? n_train : n) * d, sizeof *rows->data, err));
    if (rows->stay) {
        SAE_GO(st, sae_mem_alloc(&rows->at, n_train, sizeof *rows->at, err));
        SAE_GO(st, sae_mem_alloc(&rows->fresh, n * d, sizeof *rows->fresh, err));
        memset(rows->at, 0xFF, n_train * sizeof *rows->at);
    }
    *ret = rows;
    rows = NULL;
done:
    rows_close(rows);
    return st;
}

void rows_close(struct rows *rows)
{
    if (!rows)
        return;
    rows->ops->free(rows->data);
    rows->ops->free(rows->place);
    rows->ops->free(rows->x);
    free(rows->at);
    free(rows->batch);
    free(rows->fresh);
    free(rows);
}

/* Sends the rows that are not there yet, behind those that are. */
static void keep(struct rows *rows, const struct sae_acts_rows *from)
{
    const size_t d = rows->d, before = rows->n_kept;
    for (size_t t = 0; t < rows->n; t++) {
        uint32_t *const at = &rows->at[from->row[t]];
        if (*at == NOWHERE)
            *at = (uint32_t)rows->n_kept++;
        rows->batch[t] = *at;
    }
    const size_t n_fresh = rows->n_kept - before;
    const uint16_t *fresh = from->data;
    if (n_fresh > 0 && n_fresh < rows->n) { /* an epoch ends, or a resumed one meets its beginning */
        for (size_t t = 0, i = 0; i < n_fresh; t++)
            if (rows->batch[t] == before + i)
                memcpy(rows->fresh + i++ * d, from->data + t * d, d * sizeof *rows->fresh);
        fresh = rows->fresh;
    }
    if (n_fresh > 0)
        rows->ops->put(rows->data + before * d, fresh, n_fresh * d * sizeof *rows->data);
}

enum sae_status rows_batch(struct rows *rows, struct sae_acts_prefetch *prefetch, uint64_t batch,
                           double norm, const float **ret, struct sae_err *err)
{
    struct sae_acts_rows from;
    SAE_TRY(sae_acts_prefetch_next_raw(prefetch, batch, &from, err));
    if (rows->stay) {
        keep(rows, &from);
        if (rows->n_kept == rows->n_train)
            sae_acts_prefetch_numbers_only(prefetch);
    } else {
        for (size_t t = 0; t < rows->n; t++)
            rows->batch[t] = (uint32_t)t;
        rows->ops->put(rows->data, from.data, rows->n * rows->d * sizeof *rows->data);
    }
    rows->ops->put(rows->place, rows->batch, rows->n * sizeof *rows->place);
    rows->ops->widen_rows(rows->n, rows->d, rows->data, rows->place, norm, rows->x);
    *ret = rows->x;
    return SAE_OK;
}

void rows_get(const struct rows *rows, float *x)
{
    rows->ops->get(x, rows->x, rows->n * rows->d * sizeof *x);
}

bool rows_stay(const struct rows *rows)
{
    return rows->stay;
}
