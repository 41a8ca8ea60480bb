/* SPDX-License-Identifier: MIT */
/* prompt : what the language model is told. The setting, the marks, the length of an answer and
 * the order of excerpts are SAEBench's; the words are ours. Changing a word changes scores: the
 * version in docs/math-autointerp.md goes up with it. */
#include <stdlib.h>
#include <string.h>

#include "autointerp/autointerp.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"

#define INTRODUCTION                                                                               \
    "You study single neurons of a neural network that reads text. A neuron responds to one "      \
    "property of the text: a certain word or part of a word, a kind of word, a grammatical "       \
    "pattern, a topic. "

static const char explain_system[] = INTRODUCTION
    "You will see excerpts of documents in which one neuron activates, the strongest activation "
    "first. The words on which it activates stand between << and >>. Say in one short sentence "
    "of at most 20 words what the neuron activates on. Say what the excerpts have in common, not "
    "something so narrow that it fits only a few of them, and do not give long lists of words. "
    "Answer with that sentence alone. Examples of such answers:\n"
    "\"This neuron activates on the word 'though' when it ends a sentence.\"\n"
    "\"This neuron activates on units of length after a number.\"\n"
    "\"This neuron activates on names of rivers and lakes in travel writing.\"\n"
    "\"This neuron activates on opening brackets in source code.\"";

static const char score_system[] = INTRODUCTION
    "You will be told what one neuron activates on, and see %d excerpts in random order. Say in "
    "which of them the neuron should activate at least once. Answer with their numbers separated "
    "by commas, or with None where it should activate in none of them, and with nothing else. "
    "An answer looks like this: \"%s\"";

void autointerp_prompt_clear(struct autointerp_prompt *prompt)
{
    free(prompt->system);
    free(prompt->user);
    *prompt = (struct autointerp_prompt){0};
}

/* --- excerpts -------------------------------------------------------------------------------- */

/* Bytes that are no UTF-8 (a character cut by the excerpt's border) are left out. */
static enum sae_status append_clean(struct sae_str *to, const char *s, size_t n,
                                    struct sae_err *err)
{
    SAE_TRY(sae_str_append(to, "", 0, err));
    for (size_t i = 0; i < n;) {
        bool ok = false;
        const size_t step = sae_utf8_step(s + i, n - i, &ok);
        if (ok && s[i] == '\n')
            SAE_TRY(sae_str_append(to, "\u21b5", strlen("\u21b5"), err));
        else if (ok)
            SAE_TRY(sae_str_append(to, s + i, step, err));
        i += step;
    }
    return SAE_OK;
}

enum sae_status autointerp_window_text(char **ret, const struct autointerp_window *window,
                                       const struct autointerp_corpus *corpus,
                                       const struct sae_tok *tok, bool marked, struct sae_err *err)
{
    struct sae_str raw = {0}, clean = {0};
    bool inside = false;
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < AUTOINTERP_WINDOW; i++) {
        const uint32_t id = corpus->token[window->first + i];
        const char *const piece = sae_tok_piece(tok, id);
        if (piece == NULL) {
            st = sae_err_set(err, SAE_EFORMAT,
                             "the store holds token %u, the tokenizer has %zu; it is not the "
                             "one the store was made with",
                             id, sae_tok_size(tok));
            goto done;
        }
        if (marked && window->active[i] != inside)
            SAE_GO(st, sae_str_printf(&raw, err, "%s", inside ? ">>" : "<<"));
        inside = marked && window->active[i];
        SAE_GO(st, sae_str_append(&raw, piece, strlen(piece), err));
    }
    if (inside)
        SAE_GO(st, sae_str_printf(&raw, err, ">>"));
    SAE_GO(st, append_clean(&clean, raw.s, raw.len, err));
    *ret = clean.s;
    clean = (struct sae_str){0};
done:
    sae_str_clear(&raw);
    sae_str_clear(&clean);
    return st;
}

static enum sae_status append_windows(struct sae_str *to, const struct autointerp_window *windows,
                                      size_t n, const struct autointerp_corpus *corpus,
                                      const struct sae_tok *tok, bool marked, struct sae_err *err)
{
    for (size_t i = 0; i < n; i++) {
        char *text = NULL;
        SAE_TRY(autointerp_window_text(&text, &windows[i], corpus, tok, marked, err));
        const enum sae_status st = sae_str_printf(to, err, "\n%zu. %s", i + 1, text);
        free(text);
        SAE_TRY(st);
    }
    return SAE_OK;
}

/* --- prompts --------------------------------------------------------------------------------- */

/* Hands two strings over as a prompt, or frees them. */
static enum sae_status give(struct autointerp_prompt *ret, enum sae_status st,
                            struct sae_str *system, struct sae_str *user)
{
    if (st == SAE_OK) {
        *ret = (struct autointerp_prompt){system->s, user->s};
        return SAE_OK;
    }
    sae_str_clear(system);
    sae_str_clear(user);
    return st;
}

enum sae_status autointerp_prompt_explain(struct autointerp_prompt *ret,
                                          const struct autointerp_pick *pick,
                                          const struct autointerp_corpus *corpus,
                                          const struct sae_tok *tok, struct sae_err *err)
{
    struct sae_str system = {0}, user = {0};
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&system, err, "%s", explain_system));
    SAE_GO(st, sae_str_printf(&user, err, "The excerpts in which the neuron activates:\n"));
    SAE_GO(st, append_windows(&user, pick->explain, AUTOINTERP_EXPLAIN, corpus, tok, true, err));
done:
    return give(ret, st, &system, &user);
}

/* Four different numbers, ascending, so that no answer is suggested for all latents alike. */
static enum sae_status example_answer(struct sae_str *to, uint64_t seed, uint32_t latent,
                                      struct sae_err *err)
{
    struct sae_rng rng = sae_rng_make(seed, SAE_RNG_AUTOINTERP);
    uint32_t number[AUTOINTERP_SCORE];
    bool shown[AUTOINTERP_SCORE] = {false};
    rng.counter = (((uint64_t)latent + 1) << 32) + (UINT64_C(1) << 31); /* beyond the excerpts' */
    for (uint32_t i = 0; i < AUTOINTERP_SCORE; i++)
        number[i] = i;
    sae_rng_shuffle_u32(&rng, number, AUTOINTERP_SCORE);
    for (size_t i = 0; i < 4; i++)
        shown[number[i]] = true;
    for (size_t i = 0; i < AUTOINTERP_SCORE; i++)
        if (shown[i])
            SAE_TRY(sae_str_printf(to, err, "%s%zu", to->len > 0 ? ", " : "", i + 1));
    return SAE_OK;
}

enum sae_status autointerp_prompt_score(struct autointerp_prompt *ret,
                                        const struct autointerp_pick *pick,
                                        const struct autointerp_corpus *corpus,
                                        const struct sae_tok *tok, const char *explanation,
                                        uint64_t seed, struct sae_err *err)
{
    struct sae_str system = {0}, user = {0}, example = {0};
    enum sae_status st;
    SAE_GO(st, example_answer(&example, seed, pick->latent, err));
    SAE_GO(st, sae_str_printf(&system, err, score_system, AUTOINTERP_SCORE, example.s));
    SAE_GO(st, sae_str_printf(&user, err, "This neuron activates on %s.\n\nThe excerpts:\n",
                              explanation));
    SAE_GO(st, append_windows(&user, pick->score, AUTOINTERP_SCORE, corpus, tok, false, err));
done:
    sae_str_clear(&example);
    return give(ret, st, &system, &user);
}
