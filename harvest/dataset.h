/* SPDX-License-Identifier: MIT */
/* dataset : labelled texts from CSV (with a header), JSON lines, JSON arrays or Parquet, a file or a folder of
 * them, and the draw of those that are harvested. Knows no language model. */
#ifndef SAE_HARVEST_DATASET_H
#define SAE_HARVEST_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/text/left.h"

struct harvest_columns {
    const char *text, *label;
    const char *split, *attribute; /* used where the file has them; NULL: never */
    const char *name; /* of the set; NULL: by the file's name */
    size_t first; /* texts of a class read of a data set without end (preset.h); 0: all */
    bool one_class; /* a file of one class is taken too */
    bool need_split, need_attribute; /* asked for by name: a file without one is refused */
};

enum { HARVEST_UNSPLIT = 2 };
enum { HARVEST_MAX_PRESET = 8 }; /* classes of a preset */

struct harvest_text {
    char *text;
    size_t len;
    char *label;
    char *attribute;    /* a second label; NULL where the file has none */
    uint32_t class;     /* index into classes */
    uint32_t value;     /* index into attributes */
    uint8_t split;  /* 0 train, 1 test, HARVEST_UNSPLIT */
};

/* Texts found and taken, by class. */
struct harvest_class {
    char *name;
    size_t n_found, n_train, n_test;
};

struct harvest_dataset {
    char *name; /* "section" of dir/section.csv.gz */
    size_t n, cap;
    struct harvest_text *v; /* in file order */
    size_t n_classes;
    struct harvest_class *classes; /* sorted by name, numbers by value */
    size_t n_attributes;           /* 0: the file has none */
    char **attributes;             /* sorted likewise */
    bool split_given;
    bool balanced;  /* a class is to have equally many texts of each attribute */
    size_t n_rows;  /* read, with those that are left out */
    size_t n_taken[HARVEST_MAX_PRESET]; /* texts of each class of a preset (preset.h) */
    size_t n_empty; /* texts left out because there was nothing in them */
    struct sae_left left; /* rows left out because they could not be used */
};

/* "section" of "dir/section.csv.gz", "ag_news" of "ag_news=FILE" (preset.h); new memory.
 * Fails: SAE_EARG a name unfit for a file name, an unknown preset */
SAE_MUST_CHECK enum sae_status harvest_dataset_name(char **ret, const char *source,
                                                    struct sae_err *err);

/* source: a path, or PRESET=PATH, whose columns are then the preset's. Of a folder every file is
 * read; where some are named train* and some test*, they give the split, and those named dev* or
 * valid* are left out.
 * Rows without a text or a label, of another length than the header, or that are no JSON, are left
 * out and counted.
 * Fails: SAE_EIO; SAE_EFORMAT a column missing, a label that is not UTF-8, a split that is neither
 * train nor test (with the line number); more than half of the rows are left out; fewer than two
 * classes */
SAE_MUST_CHECK enum sae_status harvest_dataset_load(struct harvest_dataset *ret,
                                                    const char *source,
                                                    const struct harvest_columns *columns,
                                                    struct sae_err *err);
void harvest_dataset_clear(struct harvest_dataset *set);

struct harvest_draw {
    size_t max_train, max_test; /* of a class; where there are attributes, of each with a class */
    size_t min_texts;           /* of a class */
    uint64_t seed;
};

/* Leaves in set->v the texts drawn, in file order, each with split 0 or 1, and in set->classes
 * the classes kept. A class of fewer than min_texts (or, where the file gives the split, fewer
 * than 4/5 of that in train or 1/5 in test) is left out with a warning that names it.
 * Without a given split a fifth of each class becomes the test set. A balanced set has equally many
 * texts of each attribute in a class, together within the limits.
 * Fails: SAE_EFORMAT fewer than two classes are left */
SAE_MUST_CHECK enum sae_status harvest_dataset_draw(struct harvest_dataset *set,
                                                    const struct harvest_draw *draw,
                                                    struct sae_err *err);

#endif /* SAE_HARVEST_DATASET_H */
