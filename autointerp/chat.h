/* SPDX-License-Identifier: MIT */
/* chat : requests to an OpenAI-compatible chat endpoint, several at a time, on one thread.
 * Refusals that may pass (no connection, 408, 425, 429, 5xx, no sensible answer, too slow) are
 * asked again after a growing pause. The key is sent as a header and shown nowhere: where an endpoint
 * repeats it, in an answer or a complaint, stars take its place. */
#ifndef SAE_AUTOINTERP_CHAT_H
#define SAE_AUTOINTERP_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct sae_chat_settings {
    const char *base; /* "https://api.openai.com/v1"; "/chat/completions" is added */
    const char *llm;  /* the model asked for */
    const char *key;  /* NULL where the endpoint needs none */
    const char *body; /* JSON object laid over each request, null takes a key out; or NULL */
    size_t parallel;  /* requests at a time */
    uint64_t retries; /* further tries of a request */
    double timeout;   /* seconds for one try */
};

struct sae_chat;
/* Fails: SAE_EARG the address, key or body cannot be used; SAE_EBACKEND, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status
sae_chat_open(struct sae_chat **ret, const struct sae_chat_settings *settings, struct sae_err *err);
void sae_chat_close(struct sae_chat *chat); /* accepts NULL; drops what is under way */

size_t sae_chat_parallel(const struct sae_chat *chat);

/* Queues a request. tag comes back with its reply. */
SAE_MUST_CHECK enum sae_status sae_chat_ask(struct sae_chat *chat, size_t tag, const char *system,
                                            const char *user, size_t max_tokens,
                                            struct sae_err *err);

struct sae_chat_reply {
    size_t tag;
    char *content;                  /* the answer, owned; NULL where it failed */
    bool cut;                       /* the endpoint says that it stopped at its longest length */
    char why[400];                  /* of a failure */
    uint64_t tokens_in, tokens_out; /* as the endpoint counts them, 0 where it does not say */
};
/* Waits for the next request to end, well or badly (then SAE_OK with content NULL).
 * Fails: SAE_EIO no request can succeed: no connection, 401, 403, 404, or many failures on end;
 *        SAE_EINTR; SAE_EARG nothing is queued */
SAE_MUST_CHECK enum sae_status sae_chat_wait(struct sae_chat *chat, struct sae_chat_reply *ret,
                                             struct sae_err *err);

#endif /* SAE_AUTOINTERP_CHAT_H */
