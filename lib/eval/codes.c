/* SPDX-License-Identifier: MIT */
/* codes : sparse rows of latents on the host. */
#include "lib/eval/codes.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"

enum sae_status sae_codes_init(struct sae_csr *codes, size_t n_rows, struct sae_err *err)
{
    struct sae_csr made = {0};
    SAE_TRY(sae_mem_alloc(&made.start, n_rows + 1, sizeof *made.start, err));
    *codes = made;
    return SAE_OK;
}

void sae_codes_clear(struct sae_csr *codes)
{
    free(codes->start);
    free(codes->idx);
    free(codes->val);
    *codes = (struct sae_csr){0};
}

static enum sae_status grow(struct sae_csr *codes, size_t n_entries, struct sae_err *err)
{
    if (n_entries <= codes->cap)
        return SAE_OK;
    size_t cap_idx = codes->cap, cap_val = codes->cap;
    SAE_TRY(sae_mem_grow(&codes->idx, &cap_idx, n_entries, sizeof *codes->idx, err));
    SAE_TRY(sae_mem_grow(&codes->val, &cap_val, n_entries, sizeof *codes->val, err));
    codes->cap = cap_idx < cap_val ? cap_idx : cap_val;
    return SAE_OK;
}

enum sae_status sae_codes_append(struct sae_csr *codes, const uint32_t *idx, const float *val,
                                 size_t n, struct sae_err *err)
{
    const size_t at = codes->start[codes->n];
    SAE_TRY(grow(codes, at + n, err));
    if (n) {
        memcpy(codes->idx + at, idx, n * sizeof *idx);
        memcpy(codes->val + at, val, n * sizeof *val);
    }
    codes->n++;
    codes->start[codes->n] = at + n;
    return SAE_OK;
}

enum sae_status sae_codes_encode(struct sae_csr *codes, struct sae_coder *coder, const float *x,
                                 const uint32_t *rows, size_t n, size_t d, size_t batch,
                                 struct sae_err *err)
{
    float *gathered = NULL;
    enum sae_status st = SAE_OK;
    if (rows)
        SAE_TRY(sae_mem_alloc(&gathered, batch * d, sizeof *gathered, err));
    for (size_t first = 0; first < n; first += batch) {
        const size_t n_now = n - first < batch ? n - first : batch;
        if (sae_stop_asked()) {
            st = sae_err_set(err, SAE_EINTR, "stopped while encoding");
            goto done;
        }
        for (size_t i = 0; rows && i < n_now; i++)
            memcpy(gathered + i * d, x + (size_t)rows[first + i] * d, d * sizeof *x);
        const struct sae_csr *f = NULL;
        SAE_GO(st, sae_coder_encode(coder, rows ? gathered : x + first * d, n_now, &f, err));
        for (size_t i = 0; i < n_now; i++)
            SAE_GO(st, sae_codes_append(codes, f->idx + f->start[i], f->val + f->start[i],
                                        f->start[i + 1] - f->start[i], err));
    }
done:
    free(gathered);
    return st;
}

enum sae_status sae_codes_from_dense(struct sae_csr *codes, const float *x, size_t n, size_t d,
                                     struct sae_err *err)
{
    struct sae_csr made = {0};
    uint32_t *idx = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&idx, d, sizeof *idx, err));
    for (size_t j = 0; j < d; j++)
        idx[j] = (uint32_t)j;
    SAE_GO(st, sae_codes_init(&made, n, err));
    SAE_GO(st, grow(&made, n * d, err));
    for (size_t i = 0; i < n; i++)
        SAE_GO(st, sae_codes_append(&made, idx, x + i * d, d, err));
    *codes = made;
    made = (struct sae_csr){0};
done:
    free(idx);
    sae_codes_clear(&made);
    return st;
}

enum sae_status sae_codes_columns(const struct sae_csr *codes, size_t width, const uint32_t *rows,
                                  size_t n, const uint32_t *columns, size_t n_columns, float *out,
                                  struct sae_err *err)
{
    uint32_t *slot = NULL; /* 1 + place among the columns; 0 where not wanted */
    SAE_TRY(sae_mem_alloc(&slot, width, sizeof *slot, err));
    for (size_t c = 0; c < n_columns; c++)
        slot[columns[c]] = (uint32_t)c + 1;
    memset(out, 0, n * n_columns * sizeof *out);
    for (size_t i = 0; i < n; i++)
        for (size_t e = codes->start[rows[i]]; e < codes->start[rows[i] + 1]; e++) {
            const uint32_t s = slot[codes->idx[e]];
            if (s)
                out[i * n_columns + s - 1] = codes->val[e];
        }
    free(slot);
    return SAE_OK;
}
