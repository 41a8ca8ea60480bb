/* SPDX-License-Identifier: MIT */
/* task : balanced one-vs-rest tasks out of a labelled set.
 *
 * For a class with P texts in a split, a task takes n = min(asked / 2, P, texts of all other
 * classes) positives and as many negatives. Negatives come evenly from the other classes: each
 * owes ceil(n / others); what a class with fewer texts cannot give is spread over the rest. Then
 * n of those are kept by a last draw.
 *
 * Contents:  1. the plan   2. draws   3. a task */
#include "lib/eval/task.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"

/* --- 1. the plan -------------------------------------------------------------------------- */

static size_t count_of(const struct sae_task_plan *plan, size_t class, size_t split)
{
    return plan->first[class * 2 + split + 1] - plan->first[class * 2 + split];
}

/* Sorts texts by (class, split), in file order within. */
static enum sae_status sort_texts(struct sae_task_plan *plan, const struct sae_labels *labels,
                                  struct sae_err *err)
{
    const size_t n_cells = labels->n_classes * 2;
    size_t *at = NULL;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&plan->text, labels->n_texts, sizeof *plan->text, err));
    SAE_GO(st, sae_mem_alloc(&plan->first, n_cells + 1, sizeof *plan->first, err));
    SAE_GO(st, sae_mem_alloc(&at, n_cells, sizeof *at, err));
    for (size_t t = 0; t < labels->n_texts; t++)
        plan->first[labels->label[t] * 2 + labels->split[t] + 1]++;
    for (size_t c = 0; c < n_cells; c++) {
        plan->first[c + 1] += plan->first[c];
        at[c] = plan->first[c];
    }
    for (size_t t = 0; t < labels->n_texts; t++)
        plan->text[at[labels->label[t] * 2 + labels->split[t]]++] = (uint32_t)t;
done:
    free(at);
    return st;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum sae_status sae_task_plan_make(struct sae_task_plan *ret, const struct sae_labels *labels,
                                size_t train_size, size_t test_size, struct sae_err *err)
{
    struct sae_task_plan plan = {0};
    size_t total[2] = {0, 0};
    enum sae_status st;
    SAE_GO(st, sort_texts(&plan, labels, err));
    SAE_GO(st, sae_mem_alloc(&plan.classes, labels->n_classes, sizeof *plan.classes, err));
    for (size_t c = 0; c < labels->n_classes; c++) {
        if (count_of(&plan, c, 0) == 0 || count_of(&plan, c, 1) == 0) {
            plan.n_left_out++;
            continue;
        }
        plan.classes[plan.n_classes++].index = (uint32_t)c;
        for (size_t s = 0; s < 2; s++)
            total[s] += count_of(&plan, c, s);
    }
    if (plan.n_classes < 2) {
        st = sae_err_set(err, SAE_EFORMAT,
                         "cannot probe '%s': %zu of its %zu classes %s texts both to train and "
                         "to test on; a task sets one class against the others, so at least two "
                         "are needed",
                         labels->name ? labels->name : "set", plan.n_classes, labels->n_classes,
                         plan.n_classes == 1 ? "has" : "have");
        goto done;
    }
    const size_t asked[2] = {train_size / 2, test_size / 2};
    for (size_t i = 0; i < plan.n_classes; i++)
        for (size_t s = 0; s < 2; s++) {
            const size_t own = count_of(&plan, plan.classes[i].index, s);
            plan.classes[i].n_side[s] = least(least(asked[s], own), total[s] - own);
        }
    *ret = plan;
    return SAE_OK;
done:
    sae_task_plan_clear(&plan);
    return st;
}

void sae_task_plan_clear(struct sae_task_plan *plan)
{
    free(plan->classes);
    free(plan->text);
    free(plan->first);
    *plan = (struct sae_task_plan){0};
}

/* --- 2. draws ----------------------------------------------------------------------------- */

/* Moves n of a[0..total), drawn without replacement, to its front. */
static void draw(struct sae_rng *rng, uint32_t *a, size_t total, size_t n)
{
    for (size_t i = 0; i < n && i + 1 < total; i++) {
        const size_t j = i + (size_t)sae_rng_below(rng, total - i);
        const uint32_t t = a[i];
        a[i] = a[j];
        a[j] = t;
    }
}

/* How many negatives each other class gives: ceil(n / others) each, shortfalls spread evenly. */
static void share_out(size_t *quota, const struct sae_task_plan *plan, size_t c, size_t split,
                      size_t n)
{
    size_t given = 0;
    for (size_t i = 0; i < plan->n_classes; i++)
        quota[i] = 0;
    for (bool more = true; given < n && more;) {
        size_t open = 0;
        for (size_t i = 0; i < plan->n_classes; i++)
            open += i != c && quota[i] < count_of(plan, plan->classes[i].index, split);
        more = open > 0;
        const size_t each = more ? (n - given + open - 1) / open : 0;
        for (size_t i = 0; i < plan->n_classes && more; i++) {
            const size_t has = count_of(plan, plan->classes[i].index, split);
            const size_t take = i == c ? 0 : least(each, has - quota[i]);
            quota[i] += take;
            given += take;
        }
    }
}

/* --- 3. a task ---------------------------------------------------------------------------- */

struct scratch {
    size_t *quota;
    uint32_t *pool;     /* texts of one class */
    uint32_t *negative; /* drawn from all other classes */
};

static void fill_split(const struct sae_task *task, const struct sae_task_plan *plan, size_t c,
                       size_t split, uint64_t seed, const struct scratch *s)
{
    const struct sae_task_class *const class = &plan->classes[c];
    const size_t n = class->n_side[split];
    uint32_t *const rows = task->rows + (split ? task->n_train : 0);
    /* every (class, split) has its own range of the stream, so that tasks are independent */
    struct sae_rng rng = sae_rng_make(seed, SAE_RNG_PROBE);
    rng.counter = ((uint64_t) class->index * 2 + split) << 32;

    const size_t own = count_of(plan, class->index, split);
    memcpy(s->pool, plan->text + plan->first[class->index * 2 + split], own * sizeof *s->pool);
    if (own > n)
        draw(&rng, s->pool, own, n);
    memcpy(rows, s->pool, n * sizeof *rows);

    share_out(s->quota, plan, c, split, n);
    size_t n_negative = 0;
    for (size_t i = 0; i < plan->n_classes; i++) {
        const size_t cell = (size_t)plan->classes[i].index * 2 + split;
        if (s->quota[i] == 0)
            continue;
        const size_t has = plan->first[cell + 1] - plan->first[cell];
        memcpy(s->pool, plan->text + plan->first[cell], has * sizeof *s->pool);
        draw(&rng, s->pool, has, s->quota[i]);
        memcpy(s->negative + n_negative, s->pool, s->quota[i] * sizeof *s->pool);
        n_negative += s->quota[i];
    }
    draw(&rng, s->negative, n_negative, n);
    memcpy(rows + n, s->negative, n * sizeof *rows);
    memset(task->label + (rows - task->rows), 1, n);
}

enum sae_status sae_task_make(struct sae_task *ret, const struct sae_task_plan *plan, size_t c,
                                uint64_t seed, struct sae_err *err)
{
    const struct sae_task_class *const class = &plan->classes[c];
    struct sae_task task = {.n_train = 2 * class->n_side[0], .n_test = 2 * class->n_side[1]};
    struct scratch s = {0};
    size_t n_texts = 0;
    for (size_t i = 0; i < plan->n_classes; i++)
        n_texts +=
            count_of(plan, plan->classes[i].index, 0) + count_of(plan, plan->classes[i].index, 1);
    const size_t n = task.n_train + task.n_test;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&task.rows, n, sizeof *task.rows, err));
    SAE_GO(st, sae_mem_alloc(&task.label, n, sizeof *task.label, err));
    SAE_GO(st, sae_mem_alloc(&s.quota, plan->n_classes, sizeof *s.quota, err));
    SAE_GO(st, sae_mem_alloc(&s.pool, n_texts, sizeof *s.pool, err));
    SAE_GO(st, sae_mem_alloc(&s.negative, n_texts, sizeof *s.negative, err));
    fill_split(&task, plan, c, 0, seed, &s);
    fill_split(&task, plan, c, 1, seed, &s);
    *ret = task;
    task = (struct sae_task){0};
done:
    free(s.quota);
    free(s.pool);
    free(s.negative);
    sae_task_clear(&task);
    return st;
}

void sae_task_clear(struct sae_task *task)
{
    free(task->rows);
    free(task->label);
    *task = (struct sae_task){0};
}
