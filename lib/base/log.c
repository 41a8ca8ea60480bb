/* SPDX-License-Identifier: MIT */
/* log : the one mutable global of the library, the sink of messages. */
#include "lib/base/log.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
    const char *program;
    enum sae_log_level level;
    void (*clear)(void);
} sink = {"saekit", SAE_LOG_INFO, NULL};

void sae_log_setup(const char *program, enum sae_log_level level)
{
    sink.program = program;
    sink.level = level;
}

enum sae_log_level sae_log_level_now(void)
{
    return sink.level;
}

void sae_log_before(void (*clear)(void))
{
    sink.clear = clear;
}

static void say(enum sae_log_level level, const char *kind, const char *fmt, va_list args)
{
    if (level > sink.level)
        return;
    if (sink.clear != NULL)
        sink.clear();
    fflush(stdout);
    fprintf(stderr, "%s: %s", sink.program, kind);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

#define SAY(level, kind)                                                                           \
    va_list args;                                                                                  \
    va_start(args, fmt);                                                                           \
    say(level, kind, fmt, args);                                                                   \
    va_end(args)

void sae_log_error(const char *fmt, ...)
{
    SAY(SAE_LOG_ERROR, "");
}

void sae_log_warn(const char *fmt, ...)
{
    SAY(SAE_LOG_WARN, "warning: ");
}

void sae_log_info(const char *fmt, ...)
{
    SAY(SAE_LOG_INFO, "");
}

void sae_log_debug(const char *fmt, ...)
{
    SAY(SAE_LOG_DEBUG, "");
}
