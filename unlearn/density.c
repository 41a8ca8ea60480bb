/* SPDX-License-Identifier: MIT */
/* density : how often each latent fires on a text, and which latents are chosen from it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "unlearn/unlearn.h"

struct pass {
    struct sae_lm_run *run;
    struct sae_coder **coders; /* [n_models] */
    struct sae_hook hook;
    size_t n_models, width, rows; /* rows of the text in a batch */
    float *x, *kept;              /* [rows * context][width] */
    uint64_t n_tokens;
    const struct sae_lm_config *config;
};

static enum sae_status open_pass(struct pass *p, const struct sae_model *const *models,
                                 const struct sae_lm *lm, size_t T, const struct sae_ops *ops,
                                 struct sae_err *err)
{
    const size_t n = p->rows * T;
    SAE_TRY(sae_lm_run_open(&p->run, lm, n, T, err));
    SAE_TRY(sae_mem_alloc(&p->x, n, p->width * sizeof *p->x, err));
    SAE_TRY(sae_mem_alloc(&p->kept, n, p->width * sizeof *p->kept, err));
    SAE_TRY(sae_mem_alloc(&p->coders, p->n_models, sizeof(struct sae_coder *), err));
    for (size_t i = 0; i < p->n_models; i++)
        SAE_TRY(sae_coder_open(&p->coders[i], models[i], ops, n, err));
    return SAE_OK;
}

static void close_pass(struct pass *p)
{
    for (size_t i = 0; p->coders != NULL && i < p->n_models; i++)
        sae_coder_close(p->coders[i]);
    free(p->coders);
    sae_lm_run_close(p->run);
    free(p->x);
    free(p->kept);
}

static enum sae_status run_rows(struct pass *p, double *const *count, const uint32_t *ids,
                                size_t B, size_t T, struct sae_err *err)
{
    size_t n = 0;
    SAE_TRY(sae_lm_tap(p->run, ids, B, T, p->hook, p->x, err));
    for (size_t i = 0; i < B * T; i++) {
        if (ids[i] == p->config->bos || ids[i] == p->config->eos || ids[i] == p->config->pad)
            continue;
        memcpy(p->kept + n++ * p->width, p->x + i * p->width, p->width * sizeof *p->x);
    }
    for (size_t i = 0; i < n * p->width; i++)
        if (!isfinite(p->kept[i]))
            return sae_err_set(err, SAE_EFORMAT,
                               "the language model's activations at layer %zu are not finite",
                               p->hook.layer);
    p->n_tokens += n;
    for (size_t c = 0; c < p->n_models && n > 0; c++) {
        const struct sae_csr *f = NULL;
        SAE_TRY(sae_coder_encode(p->coders[c], p->kept, n, &f, err));
        for (size_t e = 0; e < f->start[n]; e++)
            count[c][f->idx[e]] += 1;
    }
    return SAE_OK;
}

enum sae_status unlearn_density(double *const *density, const struct sae_model *const *models,
                                size_t n_models, const struct unlearn_text *text, const char *what,
                                const struct sae_lm *lm, struct sae_hook hook, size_t batch,
                                const struct sae_ops *ops, struct sae_err *err)
{
    const size_t T = text->context, fit = batch / T;
    struct pass p = {.n_models = n_models,
                     .config = sae_lm_config(lm),
                     .hook = hook,
                     .rows = fit < 1 ? 1 : fit};
    struct sae_progress bar;
    enum sae_status st;
    p.width = sae_lm_width(p.config, hook.point);
    for (size_t c = 0; c < n_models; c++)
        memset(density[c], 0, models[c]->m * sizeof **density);
    SAE_GO(st, open_pass(&p, models, lm, T, ops, err));
    sae_progress_begin(&bar, what, "tokens", 0, text->n * T);
    for (size_t row = 0; row < text->n; row += p.rows) {
        const size_t B = row + p.rows < text->n ? p.rows : text->n - row;
        if (sae_stop_asked()) {
            st = sae_err_set(err, SAE_EINTR, "stopped");
            goto done;
        }
        SAE_GO(st, run_rows(&p, density, text->ids + row * T, B, T, err));
        sae_progress_step(&bar, (row + B) * T, NULL);
    }
    sae_progress_end(&bar);
    for (size_t c = 0; c < n_models; c++)
        for (size_t i = 0; i < models[c]->m; i++)
            density[c][i] = p.n_tokens > 0
                                ? nearbyint(density[c][i] / (double)p.n_tokens * 1e6) / 1e6
                                : 0;
done:
    close_pass(&p);
    return st;
}

size_t unlearn_select(uint32_t *latents, size_t n_max, const double *forget, const double *retain,
                      size_t m, double threshold)
{
    size_t n = 0;
    for (; n < n_max; n++) { /* n_max is small: passes beat a sort */
        size_t best = m;
        for (size_t i = 0; i < m; i++) {
            bool taken = !(forget[i] > 0) || retain[i] >= threshold;
            for (size_t j = 0; j < n && !taken; j++)
                taken = latents[j] == i;
            if (!taken && (best == m || forget[i] > forget[best]))
                best = i;
        }
        if (best == m)
            break;
        latents[n] = (uint32_t)best;
    }
    return n;
}
