/* SPDX-License-Identifier: MIT */
/* left : see the header. */
#include "lib/text/left.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/log.h"

static const char *unit_of(const struct sae_left *left)
{
    return left->unit != NULL ? left->unit : "line";
}

void sae_left_add(struct sae_left *left, const char *path, uint64_t line, const char *fmt, ...)
{
    if (left->n++ > 0)
        return;
    char why[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    snprintf(left->first, sizeof left->first, "'%.80s' %s %" PRIu64 ": %s", path, unit_of(left), line,
             why);
    sae_log_warn("'%s' %s %" PRIu64 ": %s; rows like this are left out and counted", path,
                 unit_of(left), line, why);
}

void sae_left_replaced(struct sae_left *left, const char *path, uint64_t line, uint64_t n)
{
    if (n > 0 && left->n_replaced == 0) {
        char where[40] = "";
        if (line > 0)
            snprintf(where, sizeof where, " %s %" PRIu64, unit_of(left), line);
        sae_log_warn("'%s'%s: not everything is UTF-8; what is not becomes U+FFFD and is counted",
                     path, where);
    }
    left->n_replaced += n;
}
