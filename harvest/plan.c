/* SPDX-License-Identifier: MIT */
/* plan : see the header. */
#include "harvest/plan.h"

#include <math.h>

enum { BYTES_A_ROW = 10 /* token, document, position */, WORD_BYTES = 40 };

enum sae_status harvest_plan_measure(struct sae_lm_cost *ret, const struct harvest_tap *tap,
                                     size_t batch, size_t context, bool logits, struct sae_err *err)
{
    return sae_lm_cost_measure(ret, tap->model, batch * context, context, logits ? 64 : 0, err);
}


/* That run up to the last hook; a part of a layer counts as one. */
static double layers_of(struct harvest_tap *const *taps, size_t n)
{
    double layers = 0;
    for (size_t i = 0; i < n; i++)
        layers = fmax(layers, (double)sae_lm_layers_to(taps[i]->config, taps[i]->hook));
    return layers;
}

/* Widths of all hooks together. */
static double width_of(struct harvest_tap *const *taps, size_t n)
{
    double d = 0;
    for (size_t i = 0; i < n; i++)
        d += (double)taps[i]->d;
    return d;
}

void harvest_plan_store(struct sae_plan *plan, const struct sae_lm_cost *cost,
                        const struct harvest_store *stores, size_t n,
                        const struct harvest_store_settings *settings)
{
    const struct harvest_tap *const first = stores->tap;
    const size_t T = settings->context, n_batch = settings->batch * T;
    const bool is_guess = settings->n_tokens == 0;
    const double rows = (double)(is_guess ? sae_files_bytes(settings->files) / 4 : settings->n_tokens);
    const double tokens = rows * (double)T / (double)(T - 1);
    double layers = 0, bytes = sae_lm_run_bytes(first->model, n_batch, T) + 8 * (double)n_batch;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)stores[i].tap->d;
        layers = fmax(layers, layers_of(&stores[i].tap, 1));
        bytes += 4 * d * (double)n_batch + (double)stores[i].shard_rows * (2 * d + BYTES_A_ROW);
    }
    const struct sae_plan_stage stage = {
        .unit = "tokens",
        .n = tokens,
        .seconds = sae_lm_cost_layers(cost, layers, tokens),
        .flops = layers * sae_lm_layer_flops(first->model, tokens, T),
        .bytes = bytes + 2 * (double)SAE_DOCS_PIECE + SAE_PLAN_H5_BYTES};
    sae_plan_stage(plan, &stage, "%.0f layers over the text%s", layers,
                   is_guess ? ", four bytes of its files a token" : "");
    for (size_t i = 0; i < n; i++)
        sae_plan_disk(plan, rows * (2 * (double)stores[i].tap->d + BYTES_A_ROW),
                      "%.4g rows of width %zu", rows, stores[i].tap->d);
}

/* Of the model and its taps for such batches. */
static double tap_bytes(struct harvest_tap *const *taps, size_t n, size_t n_max, size_t T_max)
{
    return sae_lm_run_bytes(taps[0]->model, n_max, T_max) +
           (double)n_max * (4 * width_of(taps, n) + 8);
}

enum sae_status harvest_plan_labels(struct sae_plan *plan, const struct sae_lm_cost *cost,
                                    struct harvest_tap *const *taps, size_t n, const char *source,
                                    const struct harvest_labels_settings *settings,
                                    struct sae_err *err)
{
    const size_t T = settings->context;
    const double layers = layers_of(taps, n), d = width_of(taps, n);
    struct harvest_labels_size size;
    SAE_TRY(harvest_labels_measure(taps[0], source, settings, &size, err));
    const double tokens = (double)size.n_tokens, rows = (double)size.n_rows;
    const struct sae_plan_stage stage = {
        .unit = "tokens",
        .n = tokens,
        .seconds = sae_lm_cost_layers(cost, layers, tokens),
        .flops = layers * sae_lm_layer_flops(taps[0]->model, tokens, T),
        .bytes = tap_bytes(taps, n, settings->batch * T, T) + 2 * d * rows + size.text_bytes +
                 4 * d * (double)size.n_texts + SAE_PLAN_H5_BYTES};
    sae_plan_stage(plan, &stage, "%zu texts of '%s'", size.n_texts, source);
    sae_plan_disk(plan, 2 * d * rows + 4 * d * (double)size.n_texts, "labelled set of '%s'", source);
    return SAE_OK;
}

enum sae_status harvest_plan_words(struct sae_plan *plan, const struct sae_lm_cost *cost,
                                   struct harvest_tap *const *taps, size_t n,
                                   const struct harvest_words_settings *settings,
                                   struct sae_err *err)
{
    const struct harvest_tap *const tap = taps[0];
    const double L = (double)tap->config->L, layers = layers_of(taps, n), d = width_of(taps, n);
    struct harvest_words_size size;
    SAE_TRY(harvest_words_measure(taps[0], settings, &size, err));
    /* each word's first prompt is answered, the second of a test word is not */
    const double words = (double)size.n_words, a_prompt = (double)size.n_tokens / (double)size.n_prompts,
                 answered = words * a_prompt, tapped = (double)size.n_tokens - answered;
    const size_t n_max = settings->n_batch > size.longest ? settings->n_batch : size.longest;
    const struct sae_plan_stage stage = {
        .unit = "tokens",
        .n = (double)size.n_tokens,
        .seconds = sae_lm_cost_layers(cost, L, answered) + sae_lm_cost_layers(cost, layers, tapped) +
                   sae_lm_cost_head(cost, words),
        .flops = sae_lm_layer_flops(tap->model, L * answered + layers * tapped, size.longest) +
                 sae_lm_head_flops(tap->model, words),
        .bytes = tap_bytes(taps, n, n_max, size.longest) + words * (8 * d + 2 * WORD_BYTES) +
                 4 * (double)size.n_tokens + 4 * (double)size.chunk * (double)tap->config->V +
                 SAE_PLAN_H5_BYTES};
    sae_plan_stage(plan, &stage, "%zu prompts of %zu words", size.n_prompts, size.n_words);
    sae_plan_disk(plan, words * (8 * d + WORD_BYTES), "word set");
    return SAE_OK;
}
