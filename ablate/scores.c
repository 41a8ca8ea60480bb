/* SPDX-License-Identifier: MIT */
/* scores : collected, and averaged as upstream does: plainly over whatever is there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ablate/ablate.h"
#include "lib/base/mem.h"
#include "lib/eval/score.h"

double ablate_scr_score(double clean, double original, double ablated)
{
    return clean - original < 0.001 ? 0 : (ablated - original) / (clean - original);
}

void ablate_tpp_score(double v[ABLATE_VALUES], const double *lost, size_t n, size_t c)
{
    double others = 0;
    for (size_t j = 0; j < n; j++)
        if (j != c)
            others += lost[j] / (double)(n - 1);
    v[0] = lost[c] - others;
    v[1] = lost[c];
    v[2] = others;
}

void ablate_scores_clear(struct ablate_scores *scores)
{
    for (size_t i = 0; i < scores->n; i++) {
        free(scores->v[i].set);
        free(scores->v[i].name);
        free(scores->v[i].v);
    }
    free(scores->v);
    *scores = (struct ablate_scores){0};
}

enum sae_status ablate_scores_add(struct ablate_scores *scores, const char *set, const char *name,
                                  const struct ablate_settings *s, struct sae_err *err)
{
    const size_t n = s->n_seeds * s->n_n * ABLATE_VALUES;
    SAE_TRY(sae_mem_grow(&scores->v, &scores->cap, scores->n + 1, sizeof *scores->v, err));
    struct ablate_entry *entry = &scores->v[scores->n++];
    SAE_TRY(sae_mem_strdup(&entry->set, set, err));
    SAE_TRY(sae_mem_strdup(&entry->name, name, err));
    SAE_TRY(sae_mem_alloc(&entry->v, n, sizeof(double), err));
    for (size_t i = 0; i < n; i++)
        entry->v[i] = NAN;
    return SAE_OK;
}

/* Mean of one seed over the entries of a set, or over all; NaN where there are none. */
static double mean_of_seed(const struct ablate_scores *scores, const char *set, size_t at)
{
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < scores->n; i++)
        if ((set == NULL || strcmp(set, scores->v[i].set) == 0) && !isnan(scores->v[i].v[at])) {
            sum += scores->v[i].v[at];
            n++;
        }
    return n > 0 ? sum / (double)n : NAN;
}

/* The same over sets, each counting once. Entries of a set are neighbours. */
static double mean_over_sets(const struct ablate_scores *scores, size_t at)
{
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < scores->n; i++) {
        if (i > 0 && strcmp(scores->v[i].set, scores->v[i - 1].set) == 0)
            continue;
        const double mean = mean_of_seed(scores, scores->v[i].set, at);
        if (!isnan(mean)) {
            sum += mean;
            n++;
        }
    }
    return n > 0 ? sum / (double)n : NAN;
}

void ablate_scores_mean(const struct ablate_scores *scores, const struct ablate_settings *s,
                        const char *set, bool by_set, size_t n, size_t value, double *mean,
                        double *se)
{
    double sum = 0, square = 0;
    size_t count = 0;
    for (size_t seed = 0; seed < s->n_seeds; seed++) {
        const size_t at = (seed * s->n_n + n) * ABLATE_VALUES + value;
        const double x =
            set == NULL && by_set ? mean_over_sets(scores, at) : mean_of_seed(scores, set, at);
        if (isnan(x))
            continue;
        sum += x;
        square += x * x;
        count++;
    }
    *mean = count > 0 ? sum / (double)count : NAN;
    const double spread = square - sum * *mean;
    *se = count > 1 ? sqrt((spread > 0 ? spread : 0) / (double)(count - 1) / (double)count) : NAN;
}
