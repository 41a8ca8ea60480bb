/* SPDX-License-Identifier: MIT */
/* log : the one mutable global of the library, the sink of messages. */
#include "lib/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/utf8.h"

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

/* Messages quote names and file content, which must not reach a terminal as commands. */
static void say_shown(const char *fmt, va_list args)
{
    struct sae_str shown = {0}, text = {0};
    if (sae_str_vprintf(&text, NULL, fmt, args) == SAE_OK &&
        sae_utf8_shown(&shown, text.s, text.len, NULL) == SAE_OK)
        fputs(shown.s, stderr);
    else
        fputs("(a message is lost: out of memory)", stderr);
    sae_str_clear(&shown);
    sae_str_clear(&text);
}

static void say(enum sae_log_level level, const char *kind, const char *fmt, va_list args)
{
    if (level > sink.level)
        return;
    if (sink.clear != NULL)
        sink.clear();
    fflush(stdout);
    fprintf(stderr, "%s: %s", sink.program, kind);
    say_shown(fmt, args);
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
