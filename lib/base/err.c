/* SPDX-License-Identifier: MIT */
/* err : every failure passes through sae_err_set; put a breakpoint there. */
#include "lib/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum sae_status sae_err_set(struct sae_err *err, enum sae_status code, const char *fmt, ...)
{
    if (err == NULL)
        return code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    err->code = code;
    return code;
}

enum sae_status sae_err_prefix(struct sae_err *err, const char *fmt, ...)
{
    if (err == NULL)
        return SAE_EIO;
    char old[sizeof err->msg];
    memcpy(old, err->msg, sizeof old);
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    if (n >= 0 && (size_t)n < sizeof err->msg)
        snprintf(err->msg + n, sizeof err->msg - (size_t)n, ": %.900s", old);
    return err->code;
}
