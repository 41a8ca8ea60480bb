/* SPDX-License-Identifier: MIT */
/* preset : the labelled sets that SAEBench's sparse probing names, as Hugging Face exports them:
 * which columns hold what, which rows are taken, and what the classes are called. */
#ifndef SAE_HARVEST_PRESET_H
#define SAE_HARVEST_PRESET_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

struct harvest_name {
    const char *key, *name; /* as the file has it, as the set calls it */
};

enum harvest_layout_kind {
    HARVEST_COLUMNS,  /* a text and a label */
    HARVEST_CODE,     /* code and language; or content, the language by the suffix of path */
    HARVEST_PARALLEL, /* two languages beside each other, one of which is taken */
};

struct harvest_preset {
    const char *name;   /* of the set */
    const char *origin; /* the data set on Hugging Face */
    const char *text, *label, *attribute;
    const char *expected; /* columns, for messages */
    enum harvest_layout_kind kind;
    const struct harvest_name *classes, *values; /* NULL keys end them */
    size_t skip_chars, least_chars; /* cut from the front; texts of no more are passed over */
    bool first; /* only the first texts of a class are read: there is no test set, and no end */
};

extern const struct harvest_preset harvest_presets[]; /* a NULL name ends them */

/* "NAME=PATH" with a preset's name (or "owner/NAME", as SAEBench has it) is that preset on PATH;
 * anything else is a path without one, NULL. *ret_path points into source.
 * Fails: SAE_EARG NAME is no preset's, and there is no file "NAME=PATH" */
SAE_MUST_CHECK enum sae_status harvest_preset_parse(const struct harvest_preset **ret,
                                                    const char **ret_path, const char *source,
                                                    struct sae_err *err);

/* Where a row has its parts. */
struct harvest_layout {
    const char *text, *label; /* columns; label NULL: every text is of `class` */
    const char *attribute;    /* NULL: there is none */
    const char *class;
};
/* false: the columns are not those of this data set. */
bool harvest_preset_layout(const struct harvest_preset *preset,
                           bool (*has)(const void *row, const char *column), const void *row,
                           struct harvest_layout *ret);

/* What the set calls this label or attribute; NULL: the row is not taken. "1", "1.0" and the name
 * itself mean the same. */
const char *harvest_preset_class(const struct harvest_preset *preset, const char *label);
const char *harvest_preset_value(const struct harvest_preset *preset, const char *attribute);
/* Bytes to cut from the front of a text; false: the text is too short to be taken. */
bool harvest_preset_cut(const struct harvest_preset *preset, const char *text, size_t len,
                        size_t *ret);

#endif /* SAE_HARVEST_PRESET_H */
