/* SPDX-License-Identifier: MIT */
/* guard : where a key may go, and how it is kept out of texts. */
#ifndef SAE_AUTOINTERP_GUARD_H
#define SAE_AUTOINTERP_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the host of an address is this machine: localhost, 127.0.0.0/8 or [::1], compared as a
 * whole ("localhost.other.tld" is another machine). False if the address cannot be parsed. */
bool sae_guard_is_local(const char *base);
/* Whether an address is OpenAI's own, by https, whatever its path and port. */
bool sae_guard_is_openai(const char *base);
/* Whether an address can be parsed, and as the host that a person sees in it. */
bool sae_guard_is_address(const char *base);

/* Overwrites every occurrence of the key in text [len] by stars of the same length. A key of fewer
 * than 8 characters is no secret ("EMPTY", as local servers want one) and stays. key may be
 * NULL. */
void sae_guard_hide(char *text, size_t len, const char *key);

#endif /* SAE_AUTOINTERP_GUARD_H */
