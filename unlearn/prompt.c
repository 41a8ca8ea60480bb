/* SPDX-License-Identifier: MIT */
/* prompt : questions as sequences of tokens.
 *
 * letters, as upstream asks an instruct model, here in the turn of the Gemma family (lm/family.h):
 *   <bos><start_of_turn>user
 *   The following are multiple choice questions (with answers) about SUBJECT.
 *   QUESTION
 *   A. CHOICE
 *   ...
 *   D. CHOICE<end_of_turn>
 *   <start_of_turn>model
 *   Answer: (
 * cloze: <bos>QUESTION CHOICE, one sequence a choice. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "unlearn/unlearn.h"

void unlearn_prompts_clear(struct unlearn_prompts *prompts)
{
    for (size_t i = 0; i < prompts->n; i++) {
        free(prompts->v[i].ids);
        free(prompts->v[i].x);
        free(prompts->v[i].score);
    }
    free(prompts->v);
    *prompts = (struct unlearn_prompts){0};
}

/* The one token of a text; SAE_EARG where the tokenizer makes another number of it. */
static enum sae_status one_token(uint32_t *ret, const struct sae_tok *tok, const char *text,
                                 struct sae_err *err)
{
    uint32_t *ids = NULL;
    size_t n = 0;
    SAE_TRY(sae_tok_encode(tok, text, strlen(text), &ids, &n, err));
    const uint32_t id = n == 1 ? ids[0] : 0;
    free(ids);
    if (n != 1)
        return sae_err_set(err, SAE_EARG,
                           "the tokenizer makes %zu tokens of '%s', one was expected: it is not "
                           "of an instruct model of the Gemma family; ask with --form cloze",
                           n, text);
    *ret = id;
    return SAE_OK;
}

enum sae_status unlearn_speech_make(struct unlearn_speech *ret, const struct sae_tok *tok,
                                    const struct sae_lm_config *config, enum unlearn_form form,
                                    struct sae_err *err)
{
    const struct sae_lm_turn *const turn = config->family->turn;
    struct unlearn_speech speech = {.tok = tok, .config = config, .form = form};
    enum sae_status st = SAE_OK;
    if (!turn && form != UNLEARN_CLOZE)
        st = sae_err_set(err, SAE_EARG,
                         "how a chat of family %s is written is not known here; ask with --form "
                         "cloze",
                         config->family->title);
    for (size_t i = 0; i < 2 && st == SAE_OK && form != UNLEARN_CLOZE; i++) {
        uint32_t id;
        st = one_token(&id, tok, turn->marks[i], err);
    }
    if (form == UNLEARN_AUTO) {
        speech.form = st == SAE_OK ? UNLEARN_LETTERS : UNLEARN_CLOZE;
        st = st == SAE_EARG ? SAE_OK : st;
    }
    SAE_TRY(st);
    for (size_t i = 0; i < UNLEARN_MAX_CHOICES && speech.form == UNLEARN_LETTERS; i++) {
        const char plain[] = {(char)('A' + i), '\0'}, spaced[] = {' ', (char)('A' + i), '\0'};
        SAE_TRY(one_token(&speech.letters[i][0], tok, plain, err));
        SAE_TRY(one_token(&speech.letters[i][1], tok, spaced, err));
    }
    *ret = speech;
    return SAE_OK;
}

enum sae_status unlearn_prompt_text(struct sae_str *ret, const struct sae_lm_turn *turn,
                                    const struct unlearn_set *set, size_t question,
                                    const uint8_t *order, struct sae_err *err)
{
    const struct unlearn_question *q = &set->v[question];
    struct sae_str text = {0};
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&text, err,
                              "%sThe following are multiple choice questions (with answers) about "
                              "%s.\n",
                              turn->user, set->subject));
    SAE_GO(st, sae_str_append(&text, q->text, strlen(q->text), err));
    for (size_t i = 0; i < q->n_choices; i++) {
        const char *choice = q->choices[order != NULL ? order[i] : i];
        SAE_GO(st, sae_str_printf(&text, err, "\n%c. ", (int)('A' + i)));
        SAE_GO(st, sae_str_append(&text, choice, strlen(choice), err));
    }
    SAE_GO(st, sae_str_printf(&text, err, "%sAnswer: (", turn->model));
    *ret = text;
    text = (struct sae_str){0};
done:
    sae_str_clear(&text);
    return st;
}

/* Appends BOS and two pieces of text as one sequence; *ret_fits false where it is too long. */
static enum sae_status add_sequence(struct unlearn_prompts *prompts, bool *ret_fits,
                                    const struct unlearn_speech *speech, const char *const text[2],
                                    const struct unlearn_prompt *what, struct sae_err *err)
{
    uint32_t *ids[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < 2; i++)
        if (text[i] != NULL)
            SAE_GO(st, sae_tok_encode(speech->tok, text[i], strlen(text[i]), &ids[i], &n[i], err));
    *ret_fits = 1 + n[0] + n[1] <= speech->config->max_context;
    if (!*ret_fits || (text[1] != NULL && n[1] == 0))
        goto done;
    SAE_GO(st, sae_mem_grow(&prompts->v, &prompts->cap, prompts->n + 1, sizeof *prompts->v, err));
    struct unlearn_prompt p = *what;
    SAE_GO(st, sae_mem_alloc(&p.ids, 1 + n[0] + n[1], sizeof *p.ids, err));
    p.ids[0] = speech->config->bos;
    memcpy(p.ids + 1, ids[0], n[0] * sizeof *p.ids);
    if (n[1] > 0)
        memcpy(p.ids + 1 + n[0], ids[1], n[1] * sizeof *p.ids);
    p.n_prompt = 1 + n[0];
    p.n = 1 + n[0] + n[1];
    prompts->v[prompts->n++] = p;
    st = sae_mem_alloc(&prompts->v[prompts->n - 1].score, p.n_scores, sizeof *p.score, err);
done:
    free(ids[0]);
    free(ids[1]);
    return st;
}

static void drop_from(struct unlearn_prompts *prompts, size_t n)
{
    while (prompts->n > n) {
        prompts->n--;
        free(prompts->v[prompts->n].ids);
        free(prompts->v[prompts->n].score);
        prompts->v[prompts->n] = (struct unlearn_prompt){0};
    }
}

/* A choice as it follows the question: after one space. */
static enum sae_status continuation(struct sae_str *ret, const char *question, const char *choice,
                                    struct sae_err *err)
{
    const size_t n = strlen(question);
    const bool spaced = choice[0] == ' ' || choice[0] == '\n' || n == 0 || question[n - 1] == ' ' ||
                        question[n - 1] == '\n';
    ret->len = 0;
    return sae_str_printf(ret, err, "%s%s", spaced ? "" : " ", choice);
}

enum sae_status unlearn_prompts_add(struct unlearn_prompts *prompts, bool *ret_fits,
                                    const struct unlearn_speech *speech,
                                    const struct unlearn_set *sets, size_t set, size_t question,
                                    const uint8_t *order, struct sae_err *err)
{
    const struct unlearn_question *q = &sets[set].v[question];
    const size_t before = prompts->n;
    struct unlearn_prompt what = {.set = set, .question = question, .n_scores = 1};
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    if (speech->form == UNLEARN_LETTERS) {
        what.n_scores = q->n_choices;
        SAE_GO(st, unlearn_prompt_text(&text, speech->config->family->turn, &sets[set], question,
                                       order, err));
        st = add_sequence(prompts, ret_fits, speech, (const char *const[2]){text.s, NULL}, &what,
                          err);
        goto done;
    }
    for (size_t i = 0; i < q->n_choices; i++) {
        what.option = i;
        SAE_GO(st, continuation(&text, q->text, q->choices[i], err));
        SAE_GO(st, add_sequence(prompts, ret_fits, speech, (const char *const[2]){q->text, text.s},
                                &what, err));
        if (!*ret_fits || prompts->n != before + i + 1) {
            *ret_fits = false;
            drop_from(prompts, before);
            break;
        }
    }
done:
    sae_str_clear(&text);
    return st;
}

size_t unlearn_best(const double *score, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (score[i] > score[best])
            best = i;
    return best;
}
