/* SPDX-License-Identifier: MIT */
/* str : growing strings and strict numbers.
 * Contents: 1. growing string   2. numbers   3. comparisons   4. shell */
#include "lib/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"

/* --- 1. growing string -------------------------------------------------------------------- */

enum sae_status sae_str_append(struct sae_str *str, const char *text, size_t len,
                               struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&str->s, &str->cap, str->len + len + 1, 1, err));
    memcpy(str->s + str->len, text, len);
    str->len += len;
    str->s[str->len] = '\0';
    return SAE_OK;
}

enum sae_status sae_str_vprintf(struct sae_str *str, struct sae_err *err, const char *fmt,
                                va_list args)
{
    va_list again;
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, fmt, args);
    enum sae_status st = SAE_OK;
    if (n < 0)
        st = sae_err_set(err, SAE_EFORMAT, "text cannot be formatted with '%s'", fmt);
    else
        st = sae_mem_grow(&str->s, &str->cap, str->len + (size_t)n + 1, 1, err);
    if (st == SAE_OK) {
        vsnprintf(str->s + str->len, (size_t)n + 1, fmt, again);
        str->len += (size_t)n;
    }
    va_end(again);
    return st;
}

enum sae_status sae_str_printf(struct sae_str *str, struct sae_err *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const enum sae_status st = sae_str_vprintf(str, err, fmt, args);
    va_end(args);
    return st;
}

void sae_str_clear(struct sae_str *str)
{
    free(str->s);
    *str = (struct sae_str){0};
}

/* --- 2. numbers --------------------------------------------------------------------------- */

bool sae_str_u64(const char *s, uint64_t *ret)
{
    if (s == NULL || !isdigit((unsigned char)*s))
        return false;
    char *end;
    errno = 0;
    const unsigned long long v = strtoull(s, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret = v;
    return true;
}

bool sae_str_real(const char *s, double *ret)
{
    if (s == NULL || *s == '\0' || isspace((unsigned char)*s))
        return false;
    char *end;
    errno = 0;
    const double v = strtod(s, &end);
    if (*end != '\0' || !isfinite(v))
        return false;
    *ret = v;
    return true;
}

bool sae_str_count(const char *s, uint64_t *ret)
{
    if (sae_str_u64(s, ret))
        return true;
    const size_t len = s == NULL ? 0 : strlen(s);
    if (len < 2 || len > 30 || !isdigit((unsigned char)*s))
        return false;
    const char unit = (char)toupper((unsigned char)s[len - 1]);
    const double factor = unit == 'K' ? 1e3 : unit == 'M' ? 1e6 : unit == 'G' ? 1e9 : 1;
    const size_t n = len - (factor > 1), n_plain = strspn(s, "0123456789.");
    const size_t n_power = n_plain == n ? 0 : strcspn(s + n_plain + 1, "0123456789");
    char head[32];
    memcpy(head, s, n);
    head[n] = '\0';
    double v;
    /* "5", "1.5", and, without a suffix, "1e6" and "1e+6" */
    if (n_plain != n && (factor > 1 || tolower((unsigned char)s[n_plain]) != 'e' ||
                         n_power > (s[n_plain + 1] == '+')))
        return false;
    if (!sae_str_real(head, &v))
        return false;
    v = v * factor;
    /* 1.5K is a whole number, 1.0005K is not; 2^53 bounds what a double counts exactly. */
    if (v > 9007199254740992.0 || fabs(v - nearbyint(v)) > 1e-6)
        return false;
    *ret = (uint64_t)llround(v);
    return true;
}

/* --- 3. comparisons ----------------------------------------------------------------------- */

bool sae_str_ends(const char *s, const char *suffix)
{
    const size_t n = strlen(s), k = strlen(suffix);
    return n >= k && memcmp(s + n - k, suffix, k) == 0;
}

/* --- 4. shell ----------------------------------------------------------------------------- */

enum sae_status sae_str_word(struct sae_str *str, const char *word, struct sae_err *err)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "-_./,:=+@%";
    if (*word != '\0' && word[strspn(word, safe)] == '\0')
        return sae_str_printf(str, err, " %s", word);
    SAE_TRY(sae_str_append(str, " '", 2, err));
    for (const char *p = word; *p != '\0'; p++)
        SAE_TRY(*p == '\'' ? sae_str_append(str, "'\\''", 4, err)
                           : sae_str_append(str, p, 1, err));
    return sae_str_append(str, "'", 1, err);
}

struct sae_shell sae_str_shell(const char *path)
{
    struct sae_shell ret = {""};
    struct sae_str word = {0};
    if (sae_str_word(&word, path, NULL) == SAE_OK)
        snprintf(ret.s, sizeof ret.s, "%s", word.s + 1);
    sae_str_clear(&word);
    return ret;
}
