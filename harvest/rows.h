/* SPDX-License-Identifier: MIT */
/* rows : the rows of one file of a labelled set. */
#ifndef SAE_HARVEST_ROWS_H
#define SAE_HARVEST_ROWS_H

#include "harvest/dataset.h"
#include "harvest/preset.h"
#include "lib/base/err.h"

struct harvest_rows {
    struct harvest_dataset *set; /* to which the texts are added */
    const struct harvest_columns *columns;
    const struct harvest_preset *preset; /* NULL: the columns are those of `columns` */
    const char *path;                    /* CSV, TSV, JSON lines, a JSON array, Parquet */
    const char *split;                   /* of the whole file; NULL: what its column says */
    char strange[64];                    /* first label that is no class of the preset */
};

/* Fails: as harvest_dataset_load */
SAE_MUST_CHECK enum sae_status harvest_rows_read(struct harvest_rows *rows, struct sae_err *err);

#endif /* SAE_HARVEST_ROWS_H */
