/* SPDX-License-Identifier: MIT */
/* utf8 : see the header. The table is 3-7 of the Unicode standard. */
#include "lib/base/utf8.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

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

/* The code point of a well-formed sequence of len bytes. */
static unsigned code_point(const char *s, size_t len)
{
    static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned c = (unsigned char)s[0] & first[len];
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)s[i] & 0x3f);
    return c;
}

/* Characters that a terminal acts on, that XML forbids, or that hide the order of what is read. */
static bool is_hidden(unsigned c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) ||         /* C0, DEL, C1 */
           c == 0x061c || (c >= 0x200b && c <= 0x200f) || /* widthless; direction marks */
           (c >= 0x2028 && c <= 0x202e) ||                /* line breaks; direction */
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || /* isolates; byte order mark */
           (c >= 0xfff9 && c <= 0xfffb) || (c & 0xfffe) == 0xfffe ||       /* noncharacters */
           (c >= 0xfdd0 && c <= 0xfdef) || (c >= 0xe0000 && c <= 0xe0fff); /* tags */
}

static enum sae_status put_hidden(struct sae_str *to, unsigned c, struct sae_err *err)
{
    const char *const escape = c == '\n' ? "\\n" : c == '\t' ? "\\t" : c == '\r' ? "\\r" : NULL;
    if (escape != NULL)
        return sae_str_append(to, escape, 2, err);
    return sae_str_printf(to, err, c < 0x80 ? "\\x%02x" : "\\u%04x", c);
}

enum sae_status sae_utf8_shown(struct sae_str *to, const char *s, size_t n, struct sae_err *err)
{
    SAE_TRY(sae_str_append(to, "", 0, err)); /* to->s is text even where s is empty */
    for (size_t i = 0; i < n;) {
        bool ok;
        const size_t len = sae_utf8_step(s + i, n - i, &ok);
        const unsigned c = ok ? code_point(s + i, len) : 0;
        for (size_t b = i; !ok && b < i + len; b++)
            SAE_TRY(sae_str_printf(to, err, "\\x%02x", (unsigned)(unsigned char)s[b]));
        if (ok)
            SAE_TRY(is_hidden(c) ? put_hidden(to, c, err) : sae_str_append(to, s + i, len, err));
        i += len;
    }
    return SAE_OK;
}

void sae_utf8_put(FILE *to, const char *text, size_t n)
{
    struct sae_str line = {0};
    for (size_t at = 0; at < n;) {
        const char *const end = memchr(text + at, '\n', n - at);
        const size_t len = end != NULL ? (size_t)(end - text) - at : n - at;
        line.len = 0;
        if (sae_utf8_shown(&line, text + at, len, NULL) == SAE_OK)
            fputs(line.s, to);
        else
            fputs("(a line is lost: out of memory)", to);
        if (end != NULL)
            fputc('\n', to);
        at += len + (end != NULL);
    }
    sae_str_clear(&line);
}

void sae_utf8_print(FILE *to, const char *fmt, ...)
{
    struct sae_str text = {0};
    va_list args;
    va_start(args, fmt);
    if (sae_str_vprintf(&text, NULL, fmt, args) == SAE_OK)
        sae_utf8_put(to, text.s, text.len);
    va_end(args);
    sae_str_clear(&text);
}
