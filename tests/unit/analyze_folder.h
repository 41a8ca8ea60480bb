/* SPDX-License-Identifier: MIT */
/* analyze_folder : a folder with room for one checkpoint, for the tests that run a whole analysis. Included
 * once by each. */
#ifndef TESTS_UNIT_ANALYZE_FOLDER_H
#define TESTS_UNIT_ANALYZE_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "analyze/analyze.h"

static const struct analyze_settings usual = {
    .n_bins = 200, .floor = 5, .n_sample = 64, .n_top = 20, .duplicate = 0.9};
static char folder[] = "/tmp/saekit-analyze-XXXXXX";
static char path[64]; /* of the checkpoint */

static inline int open_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/ckpt_50.h5", folder);
    return 0;
}

static inline int close_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

#endif /* TESTS_UNIT_ANALYZE_FOLDER_H */
