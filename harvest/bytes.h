/* SPDX-License-Identifier: MIT */
/* bytes : the content of a file, decompressed on the way where its first bytes say gzip or zstd. */
#ifndef SAE_HARVEST_BYTES_H
#define SAE_HARVEST_BYTES_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* [at, end) is what can be read now; harvest_bytes_fill brings more. A reader moves `at`. */
struct harvest_bytes {
    const unsigned char *at, *end;
    struct harvest_bytes_inner *inner;
};

/* A UTF-8 byte order mark at the start is left out.
 * Fails: SAE_EIO not there or not readable; SAE_EFORMAT damaged compressed data */
SAE_MUST_CHECK enum sae_status harvest_bytes_open(struct harvest_bytes *ret, const char *path,
                                                  struct sae_err *err);
void harvest_bytes_close(struct harvest_bytes *bytes); /* accepts a zeroed struct */

/* Makes [at, end) non-empty; at the end of the file it stays empty. Call when at == end.
 * Fails: SAE_EIO, SAE_EFORMAT damaged or truncated compressed data */
SAE_MUST_CHECK enum sae_status harvest_bytes_fill(struct harvest_bytes *bytes, struct sae_err *err);

/* The next line without its newline ("\r\n" counts as one); *ret_more is false at the end.
 * `line` is the caller's and is reused. Fails: as fill; SAE_ERANGE a line of more than 1 GiB */
SAE_MUST_CHECK enum sae_status harvest_bytes_line(struct harvest_bytes *bytes, struct sae_str *line,
                                                  bool *ret_more, struct sae_err *err);

/* All that is left, appended to `all`. Fails: likewise */
SAE_MUST_CHECK enum sae_status harvest_bytes_rest(struct harvest_bytes *bytes, struct sae_str *all,
                                                  struct sae_err *err);

#endif /* SAE_HARVEST_BYTES_H */
