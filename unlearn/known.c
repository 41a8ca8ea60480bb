/* SPDX-License-Identifier: MIT */
/* known : which questions the untouched model answers whatever the order of their choices. Only
 * these are asked again: what a model guesses cannot be forgotten.
 *
 * All orders are tried one after the other, and a question that fails one is asked no more; the
 * outcome is that of asking it all. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
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

enum sae_status unlearn_known_find(struct unlearn_set *sets, size_t which,
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

/* --- files of question ids --------------------------------------------------------------------- */

/* folder/NAME_correct.csv, or as upstream names those of MMLU. */
static enum sae_status path_of(char **ret, const struct unlearn_set *set, const char *folder,
                               bool upstream, struct sae_err *err)
{
    char name[256];
    snprintf(name, sizeof name, "%s%.200s_correct.csv", upstream ? "mmlu-" : "", set->name);
    for (char *c = name; upstream && *c != '\0' && strcmp(c, "_correct.csv") != 0; c++)
        if (*c == '_')
            *c = '-';
    return sae_fs_join(ret, folder, name, err);
}

/* Marks the questions with these rows of the file; SAE_EFORMAT a line that is no number. */
static enum sae_status mark(struct unlearn_set *set, char *text, const char *path,
                            struct sae_err *err)
{
    char *save = NULL;
    for (char *line = strtok_r(text, "\r\n", &save); line != NULL;
         line = strtok_r(NULL, "\r\n", &save)) {
        uint64_t row;
        if (!sae_str_u64(line, &row))
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s': '%.40s' is no question id; expected one whole number a line",
                               path, line);
        for (size_t q = 0; q < set->n; q++)
            set->known[q] |= set->v[q].row == row;
    }
    return SAE_OK;
}

enum sae_status unlearn_known_read(bool *ret_found, struct unlearn_set *set, const char *folder,
                                   struct sae_err *err)
{
    char *path = NULL, *text = NULL;
    size_t len = 0;
    enum sae_status st;
    *ret_found = false;
    for (int upstream = 0; upstream < 2 && !*ret_found; upstream++) {
        free(path);
        path = NULL;
        SAE_GO(st, path_of(&path, set, folder, upstream == 1, err));
        *ret_found = sae_fs_is_file(path);
    }
    if (!*ret_found)
        goto done;
    SAE_GO(st, sae_fs_read(&text, &len, path, 1 << 24, err));
    free(set->known);
    set->known = NULL;
    SAE_GO(st, sae_mem_alloc(&set->known, set->n, sizeof *set->known, err));
    SAE_GO(st, mark(set, text, path, err));
    set->n_known = count(set->known, set->n);
    set->n_right = SIZE_MAX;
    set->is_known_done = true;
    set->known_from = "file";
done:
    free(path);
    free(text);
    return st;
}

enum sae_status unlearn_known_write(const struct unlearn_set *set, const char *folder,
                                    struct sae_err *err)
{
    struct sae_str text = {0};
    char *path = NULL;
    enum sae_status st;
    SAE_GO(st, sae_fs_make_dirs(folder, err));
    SAE_GO(st, path_of(&path, set, folder, false, err));
    for (size_t q = 0; q < set->n; q++)
        if (set->known[q])
            SAE_GO(st, sae_str_printf(&text, err, "%zu\n", set->v[q].row));
    st = sae_fs_write(path, text.s != NULL ? text.s : "", text.len, err);
done:
    sae_str_clear(&text);
    free(path);
    return st;
}
