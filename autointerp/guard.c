/* SPDX-License-Identifier: MIT */
/* guard : see the header. Addresses are parsed by libcurl, which also connects to them, so that
 * both see one host. */
#include "autointerp/guard.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct parts {
    char scheme[16], host[256];
};

static bool take(CURLU *url, CURLUPart part, char *to, size_t capacity)
{
    char *text = NULL;
    if (curl_url_get(url, part, &text, 0) != CURLUE_OK)
        return false;
    const bool fits = strlen(text) < capacity;
    if (fits)
        memcpy(to, text, strlen(text) + 1);
    curl_free(text);
    return fits;
}

static bool split(struct parts *ret, const char *base)
{
    CURLU *const url = curl_url();
    const bool good = url != NULL && curl_url_set(url, CURLUPART_URL, base, 0) == CURLUE_OK &&
                      take(url, CURLUPART_SCHEME, ret->scheme, sizeof ret->scheme) &&
                      take(url, CURLUPART_HOST, ret->host, sizeof ret->host);
    curl_url_cleanup(url);
    return good;
}

bool sae_guard_is_address(const char *base)
{
    struct parts parts;
    return split(&parts, base) && strchr(base, '\\') == NULL;
}

bool sae_guard_is_local(const char *base)
{
    struct parts parts;
    unsigned char v4[4], v6[16];
    static const unsigned char loopback6[16] = {[15] = 1};
    if (!split(&parts, base))
        return false;
    const size_t n = strlen(parts.host);
    if (parts.host[0] == '[' && parts.host[n - 1] == ']') {
        parts.host[n - 1] = '\0';
        return inet_pton(AF_INET6, parts.host + 1, v6) == 1 && memcmp(v6, loopback6, 16) == 0;
    }
    return strcasecmp(parts.host, "localhost") == 0 ||
           (inet_pton(AF_INET, parts.host, v4) == 1 && v4[0] == 127);
}

bool sae_guard_is_openai(const char *base)
{
    struct parts parts;
    return split(&parts, base) && strcasecmp(parts.scheme, "https") == 0 &&
           strcasecmp(parts.host, "api.openai.com") == 0;
}

void sae_guard_hide(char *text, size_t len, const char *key)
{
    enum { SHORTEST = 8 };
    const size_t n = key != NULL ? strlen(key) : 0;
    for (size_t i = 0; n >= SHORTEST && i + n <= len;) {
        if (memcmp(text + i, key, n) != 0) {
            i++;
            continue;
        }
        memset(text + i, '*', n);
        i += n;
    }
}
