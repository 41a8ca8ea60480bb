/* SPDX-License-Identifier: MIT */
/* trial : which questions the untouched model answers whatever the order of their choices. Only
 * these are asked again: what a model guesses cannot be forgotten.
 *
 * All orders are tried one after the other, and a question that fails one is asked no more; the
 * outcome is that of asking it all. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "unlearn/unlearn.h"

/* The next order in lexicographic sequence; false after the last. */
static bool next_order(uint8_t *order, size_t n)
{
    size_t i = n - 1, j = n - 1;
    while (i > 0 && order[i - 1] >= order[i])
        i--;
    if (i == 0)
        return false;
    while (order[j] <= order[i - 1])
        j--;
    const uint8_t swapped = order[i - 1];
    order[i - 1] = order[j];
    order[j] = swapped;
    for (size_t a = i, b = n - 1; a < b; a++, b--) {
        const uint8_t t = order[a];
        order[a] = order[b];
        order[b] = t;
    }
    return true;
}

/* What has become of the questions of a set so far. */
struct trial {
    uint8_t (*order)[UNLEARN_MAX_CHOICES]; /* [n] the order a question is asked in next */
    bool *alive;                           /* [n] */
    struct unlearn_prompts prompts;
};

/* Appends every question still in the running; drops those that are too long. */
static enum sae_status write_round(struct trial *t, struct unlearn_set *sets, size_t set,
                                   const struct unlearn_speech *speech, struct sae_err *err)
{
    unlearn_prompts_clear(&t->prompts);
    for (size_t q = 0; q < sets[set].n; q++) {
        bool fits = true;
        if (!t->alive[q])
            continue;
        SAE_TRY(unlearn_prompts_add(&t->prompts, &fits, speech, sets, set, q, t->order[q], err));
        if (!fits) {
            t->alive[q] = false;
            sets[set].n_long++;
        }
    }
    return SAE_OK;
}

/* Drops the questions answered wrongly. Prompts of one question are neighbours. */
static void read_round(struct trial *t, const struct unlearn_set *set, bool cloze)
{
    for (size_t i = 0; i < t->prompts.n;) {
        const struct unlearn_prompt *p = &t->prompts.v[i];
        const struct unlearn_question *q = &set->v[p->question];
        double score[UNLEARN_MAX_CHOICES];
        for (size_t k = 0; k < q->n_choices; k++)
            score[k] = cloze ? t->prompts.v[i + k].score[0] : p->score[k];
        const size_t best = unlearn_best(score, q->n_choices);
        t->alive[p->question] = (cloze ? best : t->order[p->question][best]) == q->answer;
        i += cloze ? q->n_choices : 1;
    }
}

static size_t count(const bool *flags, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += flags[i];
    return sum;
}

enum sae_status unlearn_trial_known(struct unlearn_set *sets, size_t which,
                                   struct unlearn_model *model, const struct unlearn_speech *speech,
                                   struct sae_err *err)
{
    struct unlearn_set *set = &sets[which];
    struct trial t = {0};
    char what[128];
    bool more = true;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&t.order, set->n, sizeof *t.order, err));
    SAE_GO(st, sae_mem_alloc(&t.alive, set->n, sizeof *t.alive, err));
    for (size_t q = 0; q < set->n; q++) {
        t.alive[q] = true;
        for (size_t k = 0; k < UNLEARN_MAX_CHOICES; k++)
            t.order[q][k] = (uint8_t)k;
    }
    set->n_long = 0;
    for (size_t round = 0; more; round++) {
        SAE_GO(st, write_round(&t, sets, which, speech, err));
        snprintf(what, sizeof what, "%s, order %zu", set->name, round + 1);
        SAE_GO(st, unlearn_model_ask(model, &t.prompts, false, what, err));
        read_round(&t, set, speech->form == UNLEARN_CLOZE);
        if (round == 0)
            set->n_right = count(t.alive, set->n);
        more = false;
        for (size_t q = 0; q < set->n && speech->form == UNLEARN_LETTERS; q++)
            more |= t.alive[q] && next_order(t.order[q], set->v[q].n_choices);
    }
    free(set->known);
    set->known = t.alive;
    t.alive = NULL;
    set->n_known = count(set->known, set->n);
    set->is_known_done = true;
    set->known_from = "model";
done:
    unlearn_prompts_clear(&t.prompts);
    free(t.order);
    free(t.alive);
    return st;
}
