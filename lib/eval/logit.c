/* SPDX-License-Identifier: MIT */
/* logit : liblinear's trust-region Newton solver (L2R_LR) under scikit-learn's objective.
 *
 * liblinear penalises its bias like any weight, and this release has no switch against it. With a
 * constant feature of value B the bias is b = B w_b and its penalty b^2 / (2 B^2): B = 1000 makes
 * it 5e-7 b^2, far below the solver's own tolerance. Dense columns are centred first, which an
 * unpenalised intercept absorbs exactly (b = b' - w.mean) and which keeps the problem well
 * conditioned where a column's mean is large against its spread.
 *
 * Contents:  1. the problem   2. solving   3. dense and sparse entry */
#include "lib/eval/logit.h"

#include <linear.h>
#include <math.h>
#include <stdlib.h>

#include "lib/base/mem.h"

#define BIAS_FEATURE 1000.0

/* --- 1. the problem ----------------------------------------------------------------------- */

struct task {
    struct problem prob;
    struct feature_node *nodes;
    size_t n_positive;
};

static void task_clear(struct task *task)
{
    free(task->nodes);
    free(task->prob.x);
    free(task->prob.y);
}

static enum sae_status task_init(struct task *task, size_t n, size_t width, size_t n_entries,
                                 const uint8_t *label, struct sae_err *err)
{
    *task = (struct task){0};
    for (size_t i = 0; i < n; i++)
        task->n_positive += label[i] != 0;
    if (width == 0)
        return sae_err_set(err, SAE_EARG, "cannot fit a probe without features");
    if (task->n_positive == 0 || task->n_positive == n)
        return sae_err_set(err, SAE_EARG,
                           "cannot fit a probe: all %zu examples have the same label; "
                           "both are needed",
                           n);
    if (n > INT32_MAX || width >= INT32_MAX)
        return sae_err_set(err, SAE_ERANGE, "cannot fit a probe of %zu examples and %zu features",
                           n, width);
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&task->nodes, n_entries + 2 * n, sizeof *task->nodes, err));
    SAE_GO(st, sae_mem_alloc(&task->prob.x, n, sizeof *task->prob.x, err));
    SAE_GO(st, sae_mem_alloc(&task->prob.y, n, sizeof *task->prob.y, err));
    task->prob.l = (int)n;
    task->prob.n = (int)width + 1;
    task->prob.bias = BIAS_FEATURE;
    for (size_t i = 0; i < n; i++)
        task->prob.y[i] = label[i] ? 1.0 : -1.0;
done:
    if (st != SAE_OK)
        task_clear(task);
    return st;
}

/* Ends a row with the bias feature and liblinear's end mark; returns the next free node. */
static struct feature_node *end_row(const struct task *task, struct feature_node *node)
{
    *node++ = (struct feature_node){task->prob.n, BIAS_FEATURE};
    *node++ = (struct feature_node){-1, 0.0};
    return node;
}

/* --- 2. solving --------------------------------------------------------------------------- */

static void say_nothing(const char *text)
{
    (void)text;
}

static enum sae_status solve(double *w, double *b, const struct task *task,
                             const struct sae_logit_settings *settings, struct sae_err *err)
{
    const double n = (double)task->prob.l, n_positive = (double)task->n_positive;
    int weight_label[2] = {1, -1};
    double weight[2] = {n / (2.0 * n_positive), n / (2.0 * (n - n_positive))};
    struct parameter param = {.solver_type = L2R_LR, .C = settings->C, .eps = settings->eps};
    if (settings->balanced) {
        param.nr_weight = 2;
        param.weight_label = weight_label;
        param.weight = weight;
    }
    set_print_string_function(say_nothing);
    const char *const complaint = check_parameter(&task->prob, &param);
    if (complaint)
        return sae_err_set(err, SAE_EBACKEND, "liblinear refuses the probe: %s", complaint);
    struct model *model = train(&task->prob, &param);
    if (!model)
        return sae_err_set(err, SAE_ENOMEM, "out of memory fitting a probe");
    /* liblinear's weights speak for the label it met first */
    const double sign = model->label[0] == 1 ? 1.0 : -1.0;
    const size_t width = (size_t)task->prob.n - 1;
    bool finite = true;
    for (size_t j = 0; j < width; j++) {
        w[j] = sign * model->w[j];
        finite = finite && isfinite(w[j]);
    }
    *b = sign * model->w[width] * BIAS_FEATURE;
    free_and_destroy_model(&model);
    if (!finite || !isfinite(*b))
        return sae_err_set(err, SAE_EBACKEND, "liblinear gave a probe that is not finite");
    return SAE_OK;
}

/* --- 3. dense and sparse entry ------------------------------------------------------------ */

static void column_means(double *mean, const float *x, size_t stride, size_t n, size_t width)
{
    for (size_t j = 0; j < width; j++)
        mean[j] = 0.0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < width; j++)
            mean[j] += x[i * stride + j];
    for (size_t j = 0; j < width; j++)
        mean[j] /= (double)n;
}

enum sae_status sae_logit_dense(double *w, double *b, const float *x, size_t stride, size_t n,
                                size_t width, const uint8_t *label,
                                const struct sae_logit_settings *settings, struct sae_err *err)
{
    struct task task;
    double *mean = NULL;
    SAE_TRY(task_init(&task, n, width, n * width, label, err));
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&mean, width, sizeof *mean, err));
    column_means(mean, x, stride, n, width);
    for (size_t j = 0; j < width; j++)
        if (!isfinite(mean[j])) {
            st = sae_err_set(err, SAE_ERANGE, "feature %zu of a probe holds NaN or infinity", j);
            goto done;
        }
    struct feature_node *node = task.nodes;
    for (size_t i = 0; i < n; i++) {
        task.prob.x[i] = node;
        for (size_t j = 0; j < width; j++)
            *node++ = (struct feature_node){(int)j + 1, x[i * stride + j] - mean[j]};
        node = end_row(&task, node);
    }
    SAE_GO(st, solve(w, b, &task, settings, err));
    for (size_t j = 0; j < width; j++)
        *b -= w[j] * mean[j];
done:
    free(mean);
    task_clear(&task);
    return st;
}

enum sae_status sae_logit_sparse(double *w, double *b, const struct sae_csr *x,
                                 const uint32_t *rows, size_t n, size_t width, const uint8_t *label,
                                 const struct sae_logit_settings *settings, struct sae_err *err)
{
    size_t n_entries = 0;
    for (size_t i = 0; i < n; i++)
        n_entries += x->start[rows[i] + 1] - x->start[rows[i]];
    struct task task;
    SAE_TRY(task_init(&task, n, width, n_entries, label, err));
    enum sae_status st = SAE_OK;
    struct feature_node *node = task.nodes;
    for (size_t i = 0; i < n; i++) {
        task.prob.x[i] = node;
        for (size_t e = x->start[rows[i]]; e < x->start[rows[i] + 1]; e++) {
            if (!isfinite(x->val[e])) {
                st = sae_err_set(err, SAE_ERANGE, "feature %u of row %u holds NaN or infinity",
                                 x->idx[e], rows[i]);
                goto done;
            }
            *node++ = (struct feature_node){(int)x->idx[e] + 1, x->val[e]};
        }
        node = end_row(&task, node);
    }
    SAE_GO(st, solve(w, b, &task, settings, err));
done:
    task_clear(&task);
    return st;
}
