/* SPDX-License-Identifier: MIT */
/* metric : the numbers that evaluations leave in their results, a row each: where it stands, how it
 * prints, what it means. To add one is to add its row; sae-report shows it from then on. The rows
 * of sae-analyze lie in metric_separation.h, where sae-analyze itself takes them from. */
#ifndef SAE_FILE_METRIC_H
#define SAE_FILE_METRIC_H

#include <stdbool.h>
#include <stddef.h>

/* Where a number comes from, in the order of the notes. */
enum sae_source {
    SAE_SOURCE_HELDOUT, /* the checkpoint itself */
    SAE_SOURCE_ANALYZE,
    SAE_SOURCE_PROBE,
    SAE_SOURCE_SAE_PROBES,
    SAE_SOURCE_ABSORB,
    SAE_SOURCE_CORE,
    SAE_SOURCE_UNLEARN,
    SAE_SOURCE_AUTOINTERP,
    SAE_SOURCE_SCR,
    SAE_SOURCE_TPP,
    SAE_SOURCE_MATCH,
    SAE_SOURCE_N
};

struct sae_metric {
    enum sae_source source;
    const char *path[3];   /* dotted, in the result; the first that holds a number wins */
    const char *se;        /* path of its standard error; NULL: path[0] and "_se_total" or "_se" */
    const char *published; /* path in the published results that come with saekit; NULL: as path[0],
                            * "": it is not there */
    int digits;
    int better;   /* +1 higher, -1 lower, 0 neither */
    bool pairwise; /* of a run: a mean over its pairs with the other seeds, so that seeds share pairs */
    bool percent; /* a share that sae-analyze prints as 100 times */

    /* sae-report */
    const char *id;     /* key in --json and --csv, NULL: not shown */
    const char *head;   /* of its column in the table of its evaluation */
    bool extra;         /* not in that table */
    const char *column; /* head of a column among those of other evaluations: in the differences and
                         * the grid of a sweep; NULL: not there */
    const char *name;  /* of its row in "Side by side", where it needs no table around it; NULL: not
                        * there */
    const char *panel; /* title of its panel in the chart of its evaluation; NULL: none */
    const char *axis;  /* label of that panel's axis */
    bool log_axis;
    const char *level;   /* id of the metric whose value is drawn there as a line */
    const char *meaning; /* after "Higher is better: " */
    const char *version; /* of the formula; NULL where there is only one */

    /* sae-analyze */
    const char *row;  /* of its tables; NULL: only in the result */
    const char *says; /* beside it, in a few words */
    const char
        *beside;   /* key in the same part of the result of what it is without learning; or "0" */
    bool compared; /* in the table of several checkpoints side by side */
    const char *brief; /* head of its column where each checkpoint is a row; NULL: not there */
};

/* The rows that have an id, one after the other: the first after NULL, and NULL after the last. */
const struct sae_metric *sae_metric_next(const struct sae_metric *metric);
#define SAE_EACH_METRIC(m)                                                                         \
    for (const struct sae_metric *m = sae_metric_next(NULL); m != NULL; m = sae_metric_next(m))
const struct sae_metric *sae_metric_by(const char *id); /* NULL if none */

#endif /* SAE_FILE_METRIC_H */
