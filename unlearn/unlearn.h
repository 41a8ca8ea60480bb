/* SPDX-License-Identifier: MIT */
/* unlearn : SAEBench's unlearning evaluation - latents that fire on a text to be forgotten and
 * hardly on one to be kept are clamped below zero, and multiple-choice questions say what the
 * language model still knows. Formulas: docs/math-unlearning.md.
 *
 * Life of an invocation: task (files) -> known questions (those the untouched model answers) ->
 * densities of every latent on both texts -> selection -> one cell of the grid after the other. */
#ifndef SAE_UNLEARN_UNLEARN_H
#define SAE_UNLEARN_UNLEARN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "lib/base/digest.h"
#include "lib/base/err.h"
#include "lib/file/result.h"
#include "lib/math/ops.h"
#include "lib/sae/ckpt.h"
#include "lm/family.h"
#include "lm/lm.h"
#include "unlearn/question.h"

#define UNLEARN_SIDE_EFFECT_BOUND 0.99 /* share of kept questions that must stay right */

struct unlearn_settings {
    const char *task;                  /* folder; NULL = the files below alone */
    const char *forget, *retain;       /* texts; NULL = of the task folder */
    char *const *forget_questions, *const *retain_questions;
    size_t n_forget_questions, n_retain_questions;
    char *const *subjects; /* of a question file that holds several */
    size_t n_subjects;
    const char *known; /* folder of NAME_correct.csv; NULL = found out by asking */
    const char *model; /* folder; NULL = the one recorded */
    uint64_t layer;    /* UINT64_MAX = as recorded */
    const char *hook;  /* NULL = as recorded */
    enum unlearn_form form;
    const char *field, *split; /* of the texts */
    const double *thresholds, *multipliers;
    size_t n_thresholds, n_multipliers;
    const uint64_t *n_latents;
    size_t n_n_latents;
    size_t dataset_size, context; /* rows of a text at most; tokens of a row */
    size_t min_length;            /* characters; shorter documents are passed over */
    size_t batch;                 /* tokens that go through the model at a time */
    uint64_t seed;
    const int *matmul; /* of --matmul; final when the backend is open */
};

/* --- task: the files of an evaluation ------------------------------------------------------- */

struct unlearn_task {
    char *name; /* of the first set to be forgotten: "wmdp-bio" */
    enum unlearn_form form;
    char *forget, *retain; /* texts */
    char forget_id[SAE_DIGEST_HEX], retain_id[SAE_DIGEST_HEX];
    size_t n_sets, cap; /* those to be forgotten first */
    struct unlearn_set *sets;
};
/* Finds and reads everything. What is missing or unusable in part is said and left out.
 * Fails: SAE_EARG a part without any file; SAE_EIO; SAE_EFORMAT a set without a usable question */
SAE_MUST_CHECK enum sae_status unlearn_task_open(struct unlearn_task *ret,
                                                 const struct unlearn_settings *settings,
                                                 struct sae_err *err);
void unlearn_task_clear(struct unlearn_task *task);

/* --- densities: how often a latent fires on a text ------------------------------------------- */

/* A text as rows of token ids, BOS first. */
struct unlearn_text {
    uint32_t *ids; /* [n][context] */
    size_t n, context, n_documents, n_short;
};
/* n_docs: documents drawn at most (0: all). Fails: SAE_EIO, SAE_EFORMAT; SAE_EARG less than a row */
SAE_MUST_CHECK enum sae_status
unlearn_text_load(struct unlearn_text *ret, const char *path, size_t n_docs,
                  const struct unlearn_settings *settings, const struct sae_tok *tok,
                  const struct sae_lm_config *config, struct sae_err *err);
void unlearn_text_clear(struct unlearn_text *text);

/* density[c][i] = share of tokens (not BOS, EOS, PAD) on which latent i of checkpoint c fires,
 * to six decimals as upstream keeps it. One pass over the text for all n_ckpts; [m] each. */
SAE_MUST_CHECK enum sae_status
unlearn_density(double *const *density, const struct sae_model *const *models, size_t n_models,
                const struct unlearn_text *text, const char *what, const struct sae_lm *lm,
                struct sae_hook hook, size_t batch, const struct sae_ops *ops, struct sae_err *err);

/* Latents by falling density on the text to be forgotten, of those that fire on less than
 * `threshold` of the other; never those that do not fire. Equal densities: lower index first.
 * latents: caller's [n_max]. Returns how many. */
size_t unlearn_select(uint32_t *latents, size_t n_max, const double *forget, const double *retain,
                      size_t m, double threshold);

/* --- asking ---------------------------------------------------------------------------------- */

/* One sequence of tokens; a question is one of them (letters) or one an option (cloze). */
struct unlearn_prompt {
    size_t set, question, option;
    size_t n, n_prompt; /* tokens; those before the option (cloze) */
    uint32_t *ids;      /* BOS first */
    float *x;           /* of the hook, as ask.c keeps it; NULL = not kept */
    double *score;      /* [n_scores] of the untouched model: one an option */
    size_t n_scores;
};
struct unlearn_prompts {
    struct unlearn_prompt *v;
    size_t n, cap;
};
void unlearn_prompts_clear(struct unlearn_prompts *prompts);

/* What the model's tokenizer makes of questions. */
struct unlearn_speech {
    const struct sae_tok *tok;
    const struct sae_lm_config *config;
    enum unlearn_form form;
    uint32_t letters[UNLEARN_MAX_CHOICES][2]; /* "A" and " A" */
};
/* Fails: SAE_EARG letters asked for, and the tokenizer has no turns or no letters */
SAE_MUST_CHECK enum sae_status unlearn_speech_make(struct unlearn_speech *ret,
                                                   const struct sae_tok *tok,
                                                   const struct sae_lm_config *config,
                                                   enum unlearn_form form, struct sae_err *err);
/* The text of a question under an order of its choices (letters form), in the family's turn. */
SAE_MUST_CHECK enum sae_status unlearn_prompt_text(struct sae_str *ret,
                                                   const struct sae_lm_turn *turn,
                                                   const struct unlearn_set *set, size_t question,
                                                   const uint8_t *order, struct sae_err *err);
/* Appends the sequences of a question. *ret_fits is false, and nothing appended, where one is
 * longer than the model's context. order: of the choices (letters). */
SAE_MUST_CHECK enum sae_status unlearn_prompts_add(struct unlearn_prompts *prompts, bool *ret_fits,
                                                   const struct unlearn_speech *speech,
                                                   const struct unlearn_set *sets, size_t set,
                                                   size_t question, const uint8_t *order,
                                                   struct sae_err *err);

/* A change of the stream: the latents of one cell under one checkpoint. */
struct unlearn_fired {
    uint32_t token, rank; /* position in the prompt; place in the selection */
    float value;
};
struct unlearn_edit {
    const float *W_dec; /* [m][d] */
    const uint32_t *latents;
    size_t n_latents; /* those of rank below this are clamped */
    double multiplier;
    const struct unlearn_fired *const *fired; /* [prompts] */
    const size_t *n_fired;
    size_t d;
};
/* x [n][d] of prompt i, changed: x + sum over its fired latents of (-multiplier - f) W_dec. */
void unlearn_edit_apply(const struct unlearn_edit *edit, size_t i, float *x);
bool unlearn_edit_touches(const struct unlearn_edit *edit, size_t i);

struct unlearn_model; /* the language model, open for questions */
SAE_MUST_CHECK enum sae_status unlearn_model_open(struct unlearn_model **ret,
                                                  const struct sae_lm *lm,
                                                  const struct unlearn_speech *speech,
                                                  struct sae_hook hook, size_t batch, struct sae_err *err);
/* Numbers that a token takes where its prompt's activations are kept. */
size_t unlearn_model_floats(const struct unlearn_model *model);
void unlearn_model_close(struct unlearn_model *model);
/* Scores of the untouched model into prompts->v[i].score. keep: also their streams. */
SAE_MUST_CHECK enum sae_status unlearn_model_ask(struct unlearn_model *model,
                                                 struct unlearn_prompts *prompts, bool keep,
                                                 const char *what, struct sae_err *err);
/* Streams of prompts whose x is not kept are made again. For each prompt that the edit touches,
 * score[i] (caller's [n_scores]) is filled; the others are left. */
SAE_MUST_CHECK enum sae_status unlearn_model_edited(struct unlearn_model *model,
                                                    const struct unlearn_prompts *prompts,
                                                    const struct unlearn_edit *edit,
                                                    double *const *score, struct sae_err *err);
/* The activations of a prompt at the hook into x [n][width]. */
SAE_MUST_CHECK enum sae_status unlearn_model_stream(struct unlearn_model *model,
                                                    const struct unlearn_prompt *prompt, float *x,
                                                    struct sae_err *err);

/* Index of the largest score; the first of equals. */
size_t unlearn_best(const double *score, size_t n);

/* --- which questions are known ---------------------------------------------------------------- */

/* Marks set->known[q] for one set: answered right by the untouched model under every order of
 * the choices (letters), or by the best option (cloze). Also fills set->n_right: right in the
 * order they stand in. */
SAE_MUST_CHECK enum sae_status unlearn_trial_known(struct unlearn_set *sets, size_t set,
                                                  struct unlearn_model *model,
                                                  const struct unlearn_speech *speech,
                                                  struct sae_err *err);
/* From folder/NAME_correct.csv, or mmlu-NAME_correct.csv with dashes: one row number a line.
 * *ret_found is false if there is no such file. */
SAE_MUST_CHECK enum sae_status unlearn_cache_read(bool *ret_found, struct unlearn_set *set,
                                                  const char *folder, struct sae_err *err);
SAE_MUST_CHECK enum sae_status unlearn_cache_write(const struct unlearn_set *set,
                                                   const char *folder, struct sae_err *err);

/* --- the grid ---------------------------------------------------------------------------------- */

struct unlearn_cell {
    double threshold, multiplier;
    size_t n_asked, n_used; /* latents asked for; found and clamped */
    bool done;
    size_t *right; /* [n_sets] known questions still answered */
};
struct unlearn_grid {
    size_t n;
    struct unlearn_cell *cells;
    size_t n_sets;
    /* selections, one a threshold: latents of rank 0 ... n_selected - 1 */
    size_t n_thresholds, n_max;
    double *thresholds;
    uint32_t **selected;
    size_t *n_selected;
};
SAE_MUST_CHECK enum sae_status unlearn_grid_make(struct unlearn_grid *ret,
                                                 const struct unlearn_settings *settings,
                                                 const double *forget, const double *retain,
                                                 size_t m, size_t n_sets, struct sae_err *err);
void unlearn_grid_clear(struct unlearn_grid *grid);

struct unlearn_score {
    double score; /* 1 - least accuracy on what is to be forgotten, of cells without side effects */
    size_t best;  /* that cell; SIZE_MAX where no cell keeps the rest */
    double forget, side_effect; /* accuracies there */
};
/* Accuracy on the forget sets and on the others, pooled over questions. */
void unlearn_cell_accuracy(const struct unlearn_cell *cell, const struct unlearn_set *sets,
                           size_t n_sets, double *forget, double *side_effect);
struct unlearn_score unlearn_grid_score(const struct unlearn_grid *grid,
                                        const struct unlearn_set *sets, size_t n_sets);

/* --- checkpoints ------------------------------------------------------------------------------- */

/* partial.c: what is kept of an interrupted checkpoint, in ckpt_50.unlearn.part.json: known
 * questions, densities, finished cells. */
struct unlearn_partial {
    const char *path;
    json_t *key;             /* what the rest depends on */
    json_t *cells;           /* {"threshold n multiplier": [right a set]} */
    json_t *known;           /* {set: {"known": [rows], "right": n}} */
    double *forget, *retain; /* [m], NULL = not yet */
    size_t m;
};
/* path: borrowed */
SAE_MUST_CHECK enum sae_status unlearn_partial_open(struct unlearn_partial *ret, const char *path,
                                                    json_t *key, size_t m, struct sae_err *err);
SAE_MUST_CHECK enum sae_status unlearn_partial_save(const struct unlearn_partial *partial,
                                                    struct sae_err *err);
void unlearn_partial_clear(struct unlearn_partial *partial);
void unlearn_partial_take_cell(const struct unlearn_partial *partial, struct unlearn_cell *cell,
                               size_t n_sets);
SAE_MUST_CHECK enum sae_status unlearn_partial_add_cell(struct unlearn_partial *partial,
                                                        const struct unlearn_cell *cell,
                                                        size_t n_sets, struct sae_err *err);

/* All that was measured of one checkpoint. */
struct unlearn_measured {
    const struct unlearn_task *task;
    const struct unlearn_settings *settings;
    const struct unlearn_grid *grid;
    const struct unlearn_text *forget, *retain;
    const double *forget_density, *retain_density;
    const char *model, *model_name, *model_id, *numerics;
    struct sae_hook hook;
    size_t context;
};
/* result.c: what the result is made of, and the inputs it names besides the checkpoint. */
struct sae_result_parts unlearn_result_parts(const struct unlearn_measured *measured);
SAE_MUST_CHECK enum sae_status unlearn_result_inputs(json_t *record,
                                                     const struct unlearn_measured *measured,
                                                     struct sae_err *err);

#endif /* SAE_UNLEARN_UNLEARN_H */
