/* SPDX-License-Identifier: MIT */
/* scr : spurious correlation removal. A probe is trained where class and attribute always come
 * together; ablating what a clean probe of the attribute reads should turn it into one of the
 * class, and the other way round. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ablate/ablate.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"

/* --- tasks ---------------------------------------------------------------------------------- */

/* The first n texts of a quadrant, in file order; returns how many there are in all. */
static size_t quadrant(uint32_t *to, size_t n, const struct sae_labels *l, uint32_t class,
                       uint32_t attribute, uint8_t split)
{
    size_t found = 0;
    for (size_t t = 0; t < l->n_texts; t++)
        if (l->label[t] == class && l->attribute[t] == attribute && l->split[t] == split) {
            if (found < n)
                to[found] = (uint32_t)t;
            found++;
        }
    return found;
}

/* Texts of a quadrant that a split affords: both biased quadrants give twice as many. */
static size_t afford(const struct sae_labels *l, const uint32_t class[2], uint8_t split, size_t most)
{
    size_t n = most;
    for (uint32_t c = 0; c < 2; c++)
        for (uint32_t a = 0; a < 2; a++) {
            const size_t has = quadrant(NULL, 0, l, class[c], a, split) / (c == a ? 2 : 1);
            n = has < n ? has : n;
        }
    return n;
}

/* Fills one split of a task: class and attribute of the two halves of its positives, the negatives
 * being the opposite of each. */
static void fill(struct sae_task *task, const struct sae_labels *l, const uint32_t class[2],
                 int which, uint8_t split, size_t n)
{
    uint32_t *rows = task->rows + (split ? task->n_train : 0);
    uint8_t *label = task->label + (split ? task->n_train : 0);
    for (uint32_t negative = 0; negative < 2; negative++, rows += 2 * n, label += 2 * n) {
        memset(label, negative == 0, 2 * n);
        if (which == ABLATE_BOTH) {
            quadrant(rows, 2 * n, l, class[negative], negative, split);
        } else if (which == ABLATE_CLASS) {
            quadrant(rows, n, l, class[negative], 0, split);
            quadrant(rows + n, n, l, class[negative], 1, split);
        } else {
            quadrant(rows, n, l, class[0], negative, split);
            quadrant(rows + n, n, l, class[1], negative, split);
        }
    }
}

enum sae_status ablate_scr_tasks(struct sae_task tasks[ABLATE_TASKS], size_t ret_n[2],
                                 const struct sae_labels *labels, const uint32_t class[2],
                                 const struct ablate_settings *s, struct sae_err *err)
{
    ret_n[0] = afford(labels, class, 0, s->train_size / 4);
    ret_n[1] = afford(labels, class, 1, s->test_size / 4);
    if (ret_n[0] == 0 || ret_n[1] == 0)
        return SAE_OK;
    for (int k = 0; k < ABLATE_TASKS; k++) {
        struct sae_task *task = &tasks[k];
        task->n_train = 4 * ret_n[0];
        task->n_test = 4 * ret_n[1];
        SAE_TRY(sae_mem_alloc(&task->rows, task->n_train + task->n_test, sizeof *task->rows, err));
        SAE_TRY(sae_mem_alloc(&task->label, task->n_train + task->n_test, 1, err));
        for (uint8_t split = 0; split < 2; split++)
            fill(task, labels, class, k, split, ret_n[split]);
    }
    return SAE_OK;
}

/* --- one pair ------------------------------------------------------------------------------- */

struct work {
    struct ablate_probe probes[ABLATE_TASKS];
    float *effect;
    uint8_t *mask;
};

/* dir 1: ablate the attribute, ask for the class; dir 2: the other way round. */
static enum sae_status direction(double *score, double *ret_clean, double *ret_original, int asked,
                                 int ablated, struct work *w, const struct ablate_texts *texts,
                                 const struct sae_task *tasks, const struct ablate_settings *s,
                                 struct sae_err *err)
{
    const struct ablate_probe *biased = &w->probes[ABLATE_BOTH];
    *ret_clean = ablate_accuracy(texts, &tasks[asked], &w->probes[asked], NULL);
    *ret_original = ablate_accuracy(texts, &tasks[asked], biased, NULL);
    SAE_TRY(ablate_effects(w->effect, texts, &tasks[ablated], &w->probes[ablated], true, err));
    for (size_t k = 0; k < s->n_n; k++) {
        ablate_select(w->mask, w->effect, texts->m, (size_t)s->n[k]);
        score[k] = ablate_scr_score(*ret_clean, *ret_original,
                                    ablate_accuracy(texts, &tasks[asked], biased, w->mask));
    }
    return SAE_OK;
}

static enum sae_status run_seed(struct ablate_entry *entry, size_t seed,
                                const struct ablate_texts *texts, const struct sae_task *tasks,
                                uint64_t draw, const struct ablate_settings *s,
                                struct sae_err *err)
{
    struct work w = {0};
    double *score = NULL, clean[2], original[2];
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&w.effect, texts->m, sizeof *w.effect, err));
    SAE_GO(st, sae_mem_alloc(&w.mask, texts->m, sizeof *w.mask, err));
    SAE_GO(st, sae_mem_alloc(&score, 2 * s->n_n, sizeof *score, err));
    for (int k = 0; k < ABLATE_TASKS; k++)
        SAE_GO(st, ablate_probe_train(&w.probes[k], texts, &tasks[k], s, s->seeds[seed],
                                      draw * ABLATE_TASKS + (uint64_t)k, NULL, NULL, err));
    SAE_GO(st, direction(score, &clean[0], &original[0], ABLATE_CLASS, ABLATE_ATTRIBUTE, &w, texts,
                         tasks, s, err));
    SAE_GO(st, direction(score + s->n_n, &clean[1], &original[1], ABLATE_ATTRIBUTE, ABLATE_CLASS,
                         &w, texts, tasks, s, err));
    double *v = entry->v + seed * s->n_n * ABLATE_VALUES;
    for (size_t k = 0; k < s->n_n; k++, v += ABLATE_VALUES) {
        v[0] = score[k];
        v[2] = score[s->n_n + k];
        v[1] = original[0] < original[1] ? v[0] : original[0] > original[1] ? v[2] : NAN;
    }
    for (size_t i = 0; i < 2; i++) {
        entry->clean[i] += clean[i] / (double)s->n_seeds;
        entry->original[i] += original[i] / (double)s->n_seeds;
    }
done:
    for (int k = 0; k < ABLATE_TASKS; k++)
        ablate_probe_clear(&w.probes[k]);
    free(w.effect);
    free(w.mask);
    free(score);
    return st;
}

static enum sae_status run_pair(struct ablate_scores *scores, const struct ablate_texts *texts,
                                const uint32_t class[2], const struct ablate_settings *s,
                                struct sae_err *err)
{
    const struct sae_labels *l = texts->labels;
    struct sae_task tasks[ABLATE_TASKS] = {{0}};
    size_t n[2];
    char name[300];
    enum sae_status st;
    snprintf(name, sizeof name, "%.140s_%.140s", l->classes[class[0]], l->classes[class[1]]);
    SAE_GO(st, ablate_scr_tasks(tasks, n, l, class, s, err));
    if (n[0] == 0 || n[1] == 0) {
        sae_log_warn("'%s': pair %s is left out: a quadrant of class and attribute has no text",
                     l->name, name);
        goto done;
    }
    SAE_GO(st, ablate_scores_add(scores, l->name, name, s, err));
    for (size_t seed = 0; seed < s->n_seeds; seed++) {
        if (sae_stop_asked()) {
            st = sae_err_set(err, SAE_EINTR, "stopped; of this SAE nothing was written, results written before it stay");
            goto done;
        }
        SAE_GO(st, run_seed(&scores->v[scores->n - 1], seed, texts, tasks,
                            (uint64_t)class[0] * l->n_classes + class[1], s, err));
    }
done:
    for (int k = 0; k < ABLATE_TASKS; k++)
        sae_task_clear(&tasks[k]);
    return st;
}

/* --- pairs ---------------------------------------------------------------------------------- */

/* "a:b" as classes of the set; *ret_here false where it has neither. */
static enum sae_status parse_pair(uint32_t class[2], bool *ret_here, const char *pair,
                                  const struct sae_labels *l, struct sae_err *err)
{
    const char *colon = strchr(pair, ':');
    size_t n_found = 0;
    if (colon == NULL)
        return sae_err_set(err, SAE_EARG, "--pairs %s: expected CLASS:CLASS", pair);
    for (size_t c = 0; c < l->n_classes; c++) {
        const size_t len = strlen(l->classes[c]);
        const bool first = len == (size_t)(colon - pair) && memcmp(pair, l->classes[c], len) == 0;
        if (first || strcmp(colon + 1, l->classes[c]) == 0) {
            class[first ? 0 : 1] = (uint32_t)c;
            n_found++;
        }
    }
    *ret_here = n_found == 2;
    return SAE_OK;
}

enum sae_status ablate_scr(struct ablate_scores *scores, const struct ablate_texts *texts,
                           const struct ablate_settings *s, struct sae_err *err)
{
    const struct sae_labels *l = texts->labels;
    const size_t before = scores->n;
    if (l->n_attributes != 2)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' has %zu attributes, two are needed; harvest it again from data "
                           "with a second label (--attribute-column)",
                           l->name, l->n_attributes);
    for (size_t i = 0; i < s->n_pairs; i++) {
        uint32_t class[2] = {0, 0};
        bool here = false;
        SAE_TRY(parse_pair(class, &here, s->pairs[i], l, err));
        if (here)
            SAE_TRY(run_pair(scores, texts, class, s, err));
    }
    for (uint32_t c = 0; s->n_pairs == 0 && c + 1 < l->n_classes; c += 2)
        SAE_TRY(run_pair(scores, texts, (const uint32_t[2]){c, c + 1}, s, err));
    if (scores->n == before)
        return sae_err_set(err, SAE_EFORMAT,
                           "no pair of classes of '%s' can be used; name pairs of its %zu classes "
                           "with --pairs A:B",
                           l->name, l->n_classes);
    scores->n_sets++;
    return SAE_OK;
}
