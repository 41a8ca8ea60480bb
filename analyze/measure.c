/* SPDX-License-Identifier: MIT */
/* measure : the masks of an SAE that came without any, on the last rows of a store. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/analyze.h"
#include "lib/base/mem.h"
#include "lib/eval/store.h"
#include "lib/file/acts.h"

enum { CHUNK = 256 };

static enum sae_status append(struct sae_masks *masks, size_t *cap, const struct sae_csr *f,
                              struct sae_err *err)
{
    size_t nnz = masks->start[masks->n_rows], cap_val = *cap;
    SAE_TRY(sae_mem_grow(&masks->idx, cap, nnz + f->start[f->n], sizeof *masks->idx, err));
    SAE_TRY(sae_mem_grow(&masks->val, &cap_val, nnz + f->start[f->n], sizeof *masks->val, err));
    for (size_t t = 0; t < f->n; t++) {
        for (size_t e = f->start[t]; e < f->start[t + 1]; e++, nnz++) {
            masks->idx[nnz] = f->idx[e];
            masks->val[nnz] = f->val[e];
        }
        masks->start[++masks->n_rows] = nnz;
    }
    return SAE_OK;
}

static enum sae_status check_rows(const struct sae_acts *acts, const float *x, size_t n,
                                  struct sae_err *err)
{
    for (size_t i = 0; i < n * sae_acts_d(acts); i++)
        if (!isfinite(x[i]))
            return sae_err_set(err, SAE_EFORMAT, "'%s' holds NaN or infinity among its last rows",
                               sae_acts_dir(acts));
    return SAE_OK;
}

enum sae_status analyze_measure_masks(struct sae_ckpt *ckpt, size_t n_rows,
                                      const struct sae_ops *ops, struct sae_err *err)
{
    struct sae_acts *acts = NULL;
    struct sae_coder *coder = NULL;
    struct sae_masks masks = {0};
    float *x = NULL;
    size_t cap = 0;
    enum sae_status st;
    SAE_GO(st, sae_store_open(&acts, ckpt, err));
    const size_t all = sae_acts_n_rows(acts), n = n_rows < all ? n_rows : all;
    SAE_GO(st, sae_mem_alloc(&masks.start, n + 1, sizeof *masks.start, err));
    SAE_GO(st, sae_mem_alloc(&x, CHUNK, ckpt->model.d * sizeof *x, err));
    SAE_GO(st, sae_coder_open(&coder, &ckpt->model, ops, CHUNK, err));
    for (size_t r = 0; r < n; r += CHUNK) {
        const size_t rows = n - r < CHUNK ? n - r : CHUNK;
        const struct sae_csr *f = NULL;
        SAE_GO(st, sae_acts_read(acts, all - n + r, rows, x, err));
        SAE_GO(st, check_rows(acts, x, rows, err));
        SAE_GO(st, sae_coder_encode(coder, x, rows, &f, err));
        SAE_GO(st, append(&masks, &cap, f, err));
    }
    ckpt->heldout = masks;
    masks = (struct sae_masks){0};
done:
    free(masks.start);
    free(masks.idx);
    free(masks.val);
    free(x);
    sae_coder_close(coder);
    sae_acts_close(acts);
    return st;
}
