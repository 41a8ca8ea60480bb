/* SPDX-License-Identifier: MIT */
/* utf8 : validation and repair; the table is Unicode's 3-7. */
#include "gemma/utf8.h"

#include <string.h>

#include "lib/base/mem.h"

size_t gemma_utf8_step(const char *s, size_t n, bool *ok)
{
    const unsigned char *u = (const unsigned char *)s;
    const unsigned char c = u[0];
    unsigned char lo = 0x80, hi = 0xbf; /* of the second byte */
    size_t len;
    *ok = c < 0x80;
    if (c < 0x80 || c < 0xc2 || c > 0xf4)
        return 1;
    if (c < 0xe0) {
        len = 2;
    } else if (c < 0xf0) {
        len = 3;
        lo = c == 0xe0 ? 0xa0 : 0x80; /* no overlong form */
        hi = c == 0xed ? 0x9f : 0xbf; /* no surrogate */
    } else {
        len = 4;
        lo = c == 0xf0 ? 0x90 : 0x80;
        hi = c == 0xf4 ? 0x8f : 0xbf; /* not above U+10FFFF */
    }
    size_t i = 1;
    while (i < len && i < n && u[i] >= lo && u[i] <= hi) {
        lo = 0x80;
        hi = 0xbf;
        i++;
    }
    *ok = i == len;
    return i;
}

bool gemma_utf8_is_valid(const char *s, size_t n)
{
    bool ok = true;
    for (size_t i = 0; i < n && ok;)
        i += gemma_utf8_step(s + i, n - i, &ok);
    return ok;
}

enum sae_status gemma_utf8_repair(char **ret, size_t *ret_n, const char *s, size_t n,
                                  struct sae_err *err)
{
    static const char mark[3] = {'\xef', '\xbf', '\xbd'};
    char *to = NULL;
    SAE_TRY(sae_mem_alloc(&to, n, 3, err)); /* a bad byte becomes three */
    size_t at = 0;
    for (size_t i = 0; i < n;) {
        bool ok;
        const size_t step = gemma_utf8_step(s + i, n - i, &ok);
        const size_t len = ok ? step : sizeof mark;
        memcpy(to + at, ok ? s + i : mark, len);
        at += len;
        i += step;
    }
    *ret = to;
    *ret_n = at;
    return SAE_OK;
}
