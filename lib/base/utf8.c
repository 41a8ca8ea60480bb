/* SPDX-License-Identifier: MIT */
/* utf8 : see the header. The table is 3-7 of the Unicode standard. */
#include "lib/base/utf8.h"

size_t sae_utf8_step(const char *s, size_t n, bool *ok)
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

bool sae_utf8_is_valid(const char *s, size_t n)
{
    bool ok = true;
    for (size_t i = 0; i < n && ok;)
        i += sae_utf8_step(s + i, n - i, &ok);
    return ok;
}

size_t sae_utf8_cut(const char *s, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const unsigned char c = (unsigned char)s[n - back];
        const size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;
        if (c >= 0xc2 && c <= 0xf4 && len > back)
            return n - back;
        if (c < 0x80 || c >= 0xc0)
            return n;
    }
    return n;
}

enum sae_status sae_utf8_append(struct sae_str *to, const char *s, size_t n, uint64_t *n_replaced,
                                struct sae_err *err)
{
    size_t good = 0, i = 0; /* s[good, i) is well formed and not appended yet */
    while (i < n) {
        bool ok;
        const size_t step = sae_utf8_step(s + i, n - i, &ok);
        if (!ok) {
            SAE_TRY(sae_str_append(to, s + good, i - good, err));
            SAE_TRY(sae_str_append(to, "\xef\xbf\xbd", 3, err));
            good = i + step;
            ++*n_replaced;
        }
        i += step;
    }
    return sae_str_append(to, s + good, n - good, err);
}
