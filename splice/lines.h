/* SPDX-License-Identifier: MIT */
/* lines : lines of a file, plain, gzip or zstd. */
#ifndef SAE_SPLICE_LINES_H
#define SAE_SPLICE_LINES_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

struct splice_lines;
SAE_MUST_CHECK enum sae_status splice_lines_open(struct splice_lines **ret, const char *path,
                                                 struct sae_err *err);
void splice_lines_close(struct splice_lines *lines); /* accepts NULL */
/* The next line without its newline ("\r\n" is one); *more false at the end.
 * Fails: SAE_EIO; SAE_EFORMAT damaged compression; SAE_ERANGE above 1 GiB */
SAE_MUST_CHECK enum sae_status splice_lines_next(struct splice_lines *lines, struct sae_str *line,
                                                 bool *more, struct sae_err *err);

#endif /* SAE_SPLICE_LINES_H */
