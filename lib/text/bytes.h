/* SPDX-License-Identifier: MIT */
/* bytes : the content of a file, decompressed on the way where its first bytes say gzip or zstd. */
#ifndef SAE_LIB_TEXT_BYTES_H
#define SAE_LIB_TEXT_BYTES_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* [at, end) is what can be read now; sae_bytes_fill brings more. A reader moves `at`. */
struct sae_bytes {
    const unsigned char *at, *end;
    struct sae_bytes_inner *inner; /* NULL: [at, end) in memory is all there is */
};

enum { SAE_BYTES_PEEK_MAX = 1 << 16 };

/* A UTF-8 byte order mark at the start is left out.
 * Fails: SAE_EIO not there or not readable; SAE_EFORMAT damaged compressed data; SAE_ERANGE zstd data
 * that want more memory than a file of this size may */
SAE_MUST_CHECK enum sae_status sae_bytes_open(struct sae_bytes *ret, const char *path,
                                              struct sae_err *err);
void sae_bytes_close(struct sae_bytes *bytes); /* accepts a zeroed struct */

bool sae_bytes_packed(const struct sae_bytes *bytes); /* gzip or zstd */

/* Makes [at, end) non-empty; at the end of the file it stays empty. Call when at == end.
 * Fails: SAE_EIO, SAE_EFORMAT damaged or truncated compressed data */
SAE_MUST_CHECK enum sae_status sae_bytes_fill(struct sae_bytes *bytes, struct sae_err *err);

/* Makes [at, end) at least n bytes long, or all that is left; n <= SAE_BYTES_PEEK_MAX. Nothing is
 * taken: `at` stays where it is in the content. Fails: as fill */
SAE_MUST_CHECK enum sae_status sae_bytes_peek(struct sae_bytes *bytes, size_t n,
                                              struct sae_err *err);

/* The next line without its newline ("\r\n" counts as one); *ret_more is false at the end. Of a line of
 * more than `max` bytes only the next `max` of them: *ret_whole is then false, and the following call
 * goes on with the same line. `line` is the caller's and is reused.
 * Fails: as fill; SAE_ERANGE a line of more than 1 GiB */
SAE_MUST_CHECK enum sae_status sae_bytes_line_part(struct sae_bytes *bytes, struct sae_str *line,
                                                   size_t max, bool *ret_more, bool *ret_whole,
                                                   struct sae_err *err);

/* All that is left, or its first `max` bytes, appended to `all`. Fails: likewise */
SAE_MUST_CHECK enum sae_status sae_bytes_rest(struct sae_bytes *bytes, struct sae_str *all,
                                              size_t max, struct sae_err *err);

#endif /* SAE_LIB_TEXT_BYTES_H */
