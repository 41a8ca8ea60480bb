/* SPDX-License-Identifier: MIT */
/* log : talk for people, on stderr. The answer of a program goes to stdout and not through here.
 * A message is one line: control characters and the like in it are shown as \n, \x1b (utf8.h).
 * Library code may warn (never inform): a warning carries what a result silently depends on. */
#ifndef SAE_LIB_BASE_LOG_H
#define SAE_LIB_BASE_LOG_H

#include "lib/base/err.h"

enum sae_log_level { SAE_LOG_ERROR = 0, SAE_LOG_WARN, SAE_LOG_INFO, SAE_LOG_DEBUG };

void sae_log_setup(const char *program, enum sae_log_level level); /* once, from main */
void sae_log_error(const char *fmt, ...) SAE_PRINTF(1, 2);         /* "sae-train: message" */
void sae_log_warn(const char *fmt, ...) SAE_PRINTF(1, 2);          /* "sae-train: warning: ..." */
void sae_log_info(const char *fmt, ...) SAE_PRINTF(1, 2);
void sae_log_debug(const char *fmt, ...) SAE_PRINTF(1, 2);
enum sae_log_level sae_log_level_now(void);

/* Called before each line is written, so that a progress bar can clear itself; NULL for none. */
void sae_log_before(void (*clear)(void));

#endif /* SAE_LIB_BASE_LOG_H */
