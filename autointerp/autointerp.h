/* SPDX-License-Identifier: MIT */
/* autointerp : automated interpretability (SAEBench's autointerp). A language model behind a chat
 * endpoint explains a latent from excerpts where it fires, then says from the explanation alone
 * which of further excerpts it fires in; the score is the share it says rightly.
 * Protocol, formulas and versions: docs/math-autointerp.md.
 *
 * Letters: T tokens of a context. A position `at` of the text is context * T + position. */
#ifndef SAE_AUTOINTERP_AUTOINTERP_H
#define SAE_AUTOINTERP_AUTOINTERP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "autointerp/chat.h"
#include "lib/base/err.h"
#include "lib/file/acts.h"
#include "lib/file/result.h"
#include "lib/math/ops.h"
#include "lib/sae/ckpt.h"
#include "lm/lm.h"

/* SAEBench's numbers. */
enum {
    AUTOINTERP_BUFFER = 10,                        /* tokens on each side of a centre */
    AUTOINTERP_WINDOW = 2 * AUTOINTERP_BUFFER + 1, /* tokens of an excerpt */
    AUTOINTERP_TOP = 12,                           /* excerpts of the strongest activations */
    AUTOINTERP_WEIGHTED = 7,                       /* drawn with probability ~ activation^2 */
    AUTOINTERP_RANDOM = 10,                        /* drawn anywhere */
    AUTOINTERP_TOP_EXPLAIN = 10,                   /* of the strongest, shown for explaining */
    AUTOINTERP_WEIGHTED_EXPLAIN = 5,               /* of the weighted, likewise */
    AUTOINTERP_EXPLAIN = 15,                       /* excerpts of an explaining prompt */
    AUTOINTERP_SCORE = 14,                         /* of a scoring prompt */
    AUTOINTERP_EXPLAIN_TOKENS = 30,                /* longest answers */
    AUTOINTERP_SCORE_TOKENS = 2 * AUTOINTERP_SCORE + 5
};
#define AUTOINTERP_ACTIVE_SHARE 0.01 /* active: above this share of the latent's maximum */

/* --- corpus: the store's tokens as contexts again -------------------------------------------- */

struct autointerp_corpus {
    size_t T, n_contexts;
    uint32_t *token; /* [n_contexts][T]; BOS and separators, which have no rows, put back */
    size_t n_rows;   /* rows of the store that lie in these contexts: the first ones */
    uint32_t *at;    /* [n_rows] where each row stands */
};
/* The whole contexts among the first `limit` rows of a store (0: of all of it).
 *   T                contexts' length
 *   bos, separator   what stands at position 0, and at other positions without a row
 * Fails: SAE_EFORMAT positions that no context has; SAE_EARG no whole context, or T below a window
 */
SAE_MUST_CHECK enum sae_status autointerp_corpus_read(struct autointerp_corpus *ret,
                                                      struct sae_acts *acts, size_t T, size_t limit,
                                                      uint32_t bos, uint32_t separator,
                                                      struct sae_err *err);
void autointerp_corpus_clear(struct autointerp_corpus *corpus);

/* Where one latent fires; `at` ascends. */
struct autointerp_entry {
    uint32_t at;
    float value;
};
struct autointerp_latent {
    uint32_t index;
    size_t n, cap;
    struct autointerp_entry *entry; /* [n] */
};
/* Encodes the corpus once and collects the entries of `n` latents (indices distinct).
 * Fails: SAE_EFORMAT a row that is not finite; SAE_EINTR */
SAE_MUST_CHECK enum sae_status autointerp_scan(struct autointerp_latent *latents, size_t n,
                                               const struct autointerp_corpus *corpus,
                                               struct sae_acts *acts, const struct sae_model *model,
                                               const struct sae_ops *ops, size_t batch,
                                               struct sae_err *err);

/* --- pick: which excerpts are shown ---------------------------------------------------------- */

struct autointerp_window {
    uint32_t first;                 /* `at` of its first token */
    float value[AUTOINTERP_WINDOW]; /* activations */
    bool active[AUTOINTERP_WINDOW]; /* above the latent's threshold */
    float max;
    bool random; /* drawn anywhere: counts as silent, whatever it holds (SAEBench) */
    bool fires;  /* any token active, looked up for random ones too */
};
struct autointerp_pick {
    uint32_t latent;
    size_t n_active;  /* tokens of the corpus it fires on */
    double threshold; /* AUTOINTERP_ACTIVE_SHARE of the maximum in the strongest excerpts */
    struct autointerp_window explain[AUTOINTERP_EXPLAIN]; /* strongest first */
    struct autointerp_window score[AUTOINTERP_SCORE];     /* shuffled */
};
/* Draws one latent's excerpts: a function of (latent, corpus, seed) alone. *ret_usable false where
 * it fires in too few places for them. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status autointerp_pick_make(struct autointerp_pick *ret, bool *ret_usable,
                                                    const struct autointerp_latent *latent,
                                                    const struct autointerp_corpus *corpus,
                                                    uint64_t seed, struct sae_err *err);

struct autointerp_census {
    size_t n_looked_at, n_rare, n_clustered; /* latents; fire too rarely; in too few places */
};
/* Picks for `n` latents that fire on more than min_active tokens, in a seeded order of all
 * latents; *ret_n is less where there are no more. *ret by ascending latent, free() it. */
SAE_MUST_CHECK enum sae_status
autointerp_choose(struct autointerp_pick **ret, size_t *ret_n, struct autointerp_census *census,
                  size_t n, uint64_t min_active, uint64_t seed,
                  const struct autointerp_corpus *corpus, struct sae_acts *acts,
                  const struct sae_model *model, const struct sae_ops *ops, size_t batch,
                  struct sae_err *err);

/* --- prompts and answers --------------------------------------------------------------------- */

struct autointerp_prompt {
    char *system, *user;
};
SAE_MUST_CHECK enum sae_status autointerp_prompt_explain(struct autointerp_prompt *ret,
                                                         const struct autointerp_pick *pick,
                                                         const struct autointerp_corpus *corpus,
                                                         const struct sae_tok *tok,
                                                         struct sae_err *err);
/* seed: of the numbers in the example answer. */
SAE_MUST_CHECK enum sae_status
autointerp_prompt_score(struct autointerp_prompt *ret, const struct autointerp_pick *pick,
                        const struct autointerp_corpus *corpus, const struct sae_tok *tok,
                        const char *explanation, uint64_t seed, struct sae_err *err);
void autointerp_prompt_clear(struct autointerp_prompt *prompt);
/* One excerpt as text, valid UTF-8: newlines as U+21B5; marked: active runs in << >>. New memory.
 */
SAE_MUST_CHECK enum sae_status autointerp_window_text(char **ret,
                                                      const struct autointerp_window *window,
                                                      const struct autointerp_corpus *corpus,
                                                      const struct sae_tok *tok, bool marked,
                                                      struct sae_err *err);

enum { AUTOINTERP_WHY = 400 };
/* What an explaining answer says after "activates on", without the full stop; new memory. False,
 * with a reason, where nothing is left (*ret untouched). Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status autointerp_read_explanation(char **ret, bool *ret_ok,
                                                           char why[AUTOINTERP_WHY],
                                                           const char *answer, struct sae_err *err);
/* Numbers of a scoring answer: said[i] for sequence i + 1. False, with a reason, where it is
 * neither numbers from 1 to 14 nor "None"; `said` is then undefined. */
bool autointerp_read_numbers(bool said[AUTOINTERP_SCORE], char why[AUTOINTERP_WHY],
                             const char *answer);

/* --- one latent's answer -------------------------------------------------------------------- */

struct autointerp_mark {
    double score;   /* random excerpts count as silent: SAEBench's */
    double checked; /* random excerpts looked up */
    double hits;    /* share of the excerpts with activity (not random) that were named */
    double passes;  /* share of the random excerpts that were not */
};
struct autointerp_mark autointerp_mark_of(const bool said[AUTOINTERP_SCORE],
                                          const struct autointerp_pick *pick);

struct autointerp_answer {
    bool done, failed; /* neither: not asked yet */
    struct autointerp_mark mark;
    bool said[AUTOINTERP_SCORE];
    char *explanation, *log;  /* log: prompts and answers as text */
    char why[AUTOINTERP_WHY]; /* of a failure */
};
void autointerp_answers_free(struct autointerp_answer *answers, size_t n);

/* --- a checkpoint ---------------------------------------------------------------------------- */

struct autointerp_settings {
    size_t n_latents, limit, batch;
    uint64_t seed, min_active;
    const char *llm, *api_base, *body;
};

/* All that is known of one checkpoint's evaluation. Arrays are [n], by ascending latent. */
struct autointerp_job {
    const struct sae_ckpt *ckpt;
    const struct autointerp_settings *settings;
    const struct autointerp_corpus *corpus;
    const struct sae_tok *tok;
    const char *acts_id;
    struct autointerp_census census;
    size_t n;
    struct autointerp_pick *picks;
    struct autointerp_answer *answers;
};

/* Asks for every latent whose answer is not done. Saves to `partial` as latents finish; what was
 * finished is kept on failure too.
 * Fails: SAE_EIO the endpoint cannot be used at all; SAE_EINTR */
SAE_MUST_CHECK enum sae_status autointerp_ask(struct autointerp_job *job, struct sae_chat *chat,
                                              const char *partial, struct sae_err *err);

/* Requests still to be made and an estimate of their tokens. */
struct autointerp_cost {
    size_t n_latents, n_requests;
    double tokens_in, tokens_out; /* in: four bytes a token; out: at most */
};
SAE_MUST_CHECK enum sae_status autointerp_cost_of(struct autointerp_cost *ret,
                                                  const struct autointerp_job *job,
                                                  struct sae_err *err);

/* Finished latents in a file of their own, ckpt_50.autointerp.part.json; load takes what fits
 * (same checkpoint, store and settings) from such a file, or from a finished result. */
SAE_MUST_CHECK enum sae_status
autointerp_partial_save(const char *path, const struct autointerp_job *job, struct sae_err *err);
SAE_MUST_CHECK enum sae_status autointerp_partial_load(size_t *ret_n_taken, const char *path,
                                                    struct autointerp_job *job,
                                                    struct sae_err *err);

/* result.c: what the result is made of. Fails: SAE_EFORMAT no latent was scored */
SAE_MUST_CHECK enum sae_status autointerp_result_parts(struct sae_result_parts *ret,
                                                       const struct autointerp_job *job,
                                                       struct sae_err *err);
/* Parts of it that a file of finished latents shares, new: everything an answer depends on but the
 * checkpoint; {"<latent>": {...}} of those done; numbers of the sequences that were `said`, or,
 * where that is NULL, that fire. */
json_t *autointerp_config(const struct autointerp_job *job);
json_t *autointerp_latents(const struct autointerp_job *job);
json_t *autointerp_sequences(const struct autointerp_pick *pick, const bool *said);
/* The table for people. */
SAE_MUST_CHECK enum sae_status autointerp_table_print(const struct autointerp_job *job, FILE *to,
                                                      struct sae_err *err);

#endif /* SAE_AUTOINTERP_AUTOINTERP_H */
