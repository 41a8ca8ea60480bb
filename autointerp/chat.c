/* SPDX-License-Identifier: MIT */
/* chat : requests through libcurl's multi interface.
 *
 * Contents:  1. settings   2. opening   3. what came back   4. sending   5. waiting */
#include "autointerp/chat.h"

#include <ctype.h>
#include <curl/curl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autointerp/guard.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/file/json.h"

enum { MAX_ANSWER = 4 << 20, FAILURES_ON_END = 20 };
#define FIRST_PAUSE 0.5 /* seconds before the second try, doubled with each */
#define LONGEST_PAUSE 30.0

enum verdict { GOOD, AGAIN, BAD, HOPELESS };

/* One request. */
struct ask {
    size_t tag;
    char *body;
    uint64_t tries;
    double not_before; /* monotonic seconds */
    CURL *curl;        /* while it is under way */
    struct sae_str got;
    struct ask *next;
};

struct sae_chat {
    CURLM *multi;
    struct curl_slist *headers;
    char *url, *key, *llm;
    json_t *body; /* NULL or an object */
    size_t parallel, n_running, n_failed_on_end;
    uint64_t retries;
    double timeout;
    struct ask *first; /* all that are not done, in order of asking */
};

/* --- 1. settings ----------------------------------------------------------------------------- */

/* An address ends in files (records, results), so it must not carry a secret. */
static enum sae_status check_base(const char *base, struct sae_err *err)
{
    const char *const rest = strstr(base, "://");
    if (rest == NULL ||
        (strncasecmp(base, "http://", 7) != 0 && strncasecmp(base, "https://", 8) != 0))
        return sae_err_set(err, SAE_EARG, "--api-base: expected http://... or https://...");
    const size_t host = strcspn(rest + 3, "/");
    if (host == 0 || memchr(rest + 3, '@', host) != NULL || strpbrk(base, "?#") != NULL)
        return sae_err_set(err, SAE_EARG,
                           "--api-base: expected an address of the form https://host/v1, without "
                           "user, password or query; a key is read from the environment");
    for (const char *p = base; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p > '~')
            return sae_err_set(err, SAE_EARG,
                               "--api-base: a blank or odd character in the address");
    if (!sae_guard_is_address(base))
        return sae_err_set(err, SAE_EARG, "--api-base: '%s' is no address that libcurl takes", base);
    return SAE_OK;
}

static enum sae_status check_key(const struct sae_chat_settings *set, struct sae_err *err)
{
    for (const char *p = set->key; p != NULL && *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p > '~')
            return sae_err_set(err, SAE_EARG,
                               "the key in the environment holds a blank, a newline or a character "
                               "outside ASCII; no key does");
    if (set->key != NULL && strncasecmp(set->base, "http://", 7) == 0 && !sae_guard_is_local(set->base))
        sae_log_warn("the key travels unencrypted: '%s' is plain http", set->base);
    return SAE_OK;
}

/* --- 2. opening ------------------------------------------------------------------------------ */

static enum sae_status add_header(struct sae_chat *chat, const char *line, struct sae_err *err)
{
    struct curl_slist *const longer = curl_slist_append(chat->headers, line);
    if (longer == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    chat->headers = longer;
    return SAE_OK;
}

static enum sae_status make_headers(struct sae_chat *chat, struct sae_err *err)
{
    SAE_TRY(add_header(chat, "Content-Type: application/json", err));
    SAE_TRY(add_header(chat, "Expect:", err)); /* no 100-continue */
    if (chat->key == NULL)
        return SAE_OK;
    struct sae_str line = {0};
    enum sae_status st = sae_str_printf(&line, err, "Authorization: Bearer %s", chat->key);
    if (st == SAE_OK)
        st = add_header(chat, line.s, err);
    sae_str_clear(&line);
    return st;
}

static enum sae_status make_url(struct sae_chat *chat, const char *base, struct sae_err *err)
{
    struct sae_str url = {0};
    size_t n = strlen(base);
    while (n > 0 && base[n - 1] == '/')
        n--;
    SAE_TRY(sae_str_printf(&url, err, "%.*s/chat/completions", (int)n, base));
    chat->url = url.s;
    return SAE_OK;
}

static enum sae_status take_body(struct sae_chat *chat, const char *body, struct sae_err *err)
{
    if (body == NULL)
        return SAE_OK;
    struct sae_err ignored;
    if (sae_json_parse(&chat->body, body, "--body", &ignored) != SAE_OK ||
        !json_is_object(chat->body))
        return sae_err_set(err, SAE_EARG,
                           "--body: expected a JSON object such as '{\"temperature\": 0}'");
    static const char *const ours[] = {"messages", "model", "stream", "n"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (json_object_get(chat->body, ours[i]) != NULL)
            return sae_err_set(err, SAE_EARG, "--body: '%s' cannot be set there%s", ours[i],
                               i == 1 ? "; use --llm" : "");
    return SAE_OK;
}

enum sae_status sae_chat_open(struct sae_chat **ret, const struct sae_chat_settings *settings,
                              struct sae_err *err)
{
    struct sae_chat *chat = NULL;
    enum sae_status st;
    SAE_TRY(check_base(settings->base, err));
    SAE_TRY(check_key(settings, err));
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return sae_err_set(err, SAE_EBACKEND, "libcurl cannot be used");
    SAE_TRY(sae_mem_alloc(&chat, 1, sizeof *chat, err));
    chat->parallel = settings->parallel;
    chat->retries = settings->retries;
    chat->timeout = settings->timeout;
    chat->multi = curl_multi_init();
    if (chat->multi == NULL) {
        st = sae_err_set(err, SAE_EBACKEND, "libcurl cannot be used");
        goto done;
    }
    SAE_GO(st, sae_mem_strdup(&chat->llm, settings->llm, err));
    if (settings->key != NULL)
        SAE_GO(st, sae_mem_strdup(&chat->key, settings->key, err));
    SAE_GO(st, make_url(chat, settings->base, err));
    SAE_GO(st, take_body(chat, settings->body, err));
    SAE_GO(st, make_headers(chat, err));
    *ret = chat;
    chat = NULL;
done:
    sae_chat_close(chat);
    return st;
}

static void ask_free(struct sae_chat *chat, struct ask *ask)
{
    if (ask->curl != NULL) {
        curl_multi_remove_handle(chat->multi, ask->curl);
        curl_easy_cleanup(ask->curl);
    }
    sae_str_clear(&ask->got);
    free(ask->body);
    free(ask);
}

void sae_chat_close(struct sae_chat *chat)
{
    if (chat == NULL)
        return;
    while (chat->first != NULL) {
        struct ask *const ask = chat->first;
        chat->first = ask->next;
        ask_free(chat, ask);
    }
    curl_multi_cleanup(chat->multi);
    curl_slist_free_all(chat->headers);
    json_decref(chat->body);
    free(chat->url);
    free(chat->llm);
    if (chat->key != NULL)
        memset(chat->key, 0, strlen(chat->key));
    free(chat->key);
    free(chat);
}

/* --- 3. what came back ----------------------------------------------------------------------- */

/* Some of a text that the endpoint sent, on one line, valid UTF-8 whatever came. */
static void quote(char *to, size_t capacity, const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 8 < capacity;) {
        bool ok = false;
        const size_t step = sae_utf8_step(text + i, len - i, &ok);
        if (ok && (unsigned char)text[i] >= 0x20 && text[i] != 0x7f) {
            memcpy(to + n, text + i, step);
            n += step;
        } else {
            to[n++] = ok ? ' ' : '?';
        }
        i += step;
    }
    to[n] = '\0';
}

/* A reply as JSON without the key that an endpoint may repeat: hidden as it came, and once more in
 * what stands behind the escapes of JSON. NULL if the reply is no JSON. */
static json_t *read_reply(const struct sae_chat *chat, struct ask *ask)
{
    sae_guard_hide(ask->got.s, ask->got.len, chat->key);
    json_t *const json = ask->got.s != NULL ? json_loads(ask->got.s, 0, NULL) : NULL;
    char *const plain = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (plain == NULL)
        return NULL;
    sae_guard_hide(plain, strlen(plain), chat->key);
    json_t *const clean = json_loads(plain, 0, NULL);
    free(plain);
    return clean;
}

/* The endpoint's own words about a failure: error.message, else the start of what it sent. */
static void complaint(char to[200], const struct ask *ask, const json_t *json)
{
    const char *said = sae_json_str(json, "error.message", NULL);
    if (said == NULL)
        said = sae_json_str(json, "error", NULL);
    if (said != NULL)
        quote(to, 200, said, strlen(said));
    else
        quote(to, 200, ask->got.s, ask->got.len);
}

static enum verdict judge_status(const struct sae_chat *chat, struct ask *ask, long status,
                                 struct sae_chat_reply *reply)
{
    char said[200];
    json_t *const json = read_reply(chat, ask);
    complaint(said, ask, json);
    json_decref(json);
    const bool keyless = (status == 401 || status == 403) && chat->key == NULL;
    snprintf(reply->why, sizeof reply->why, "HTTP status %ld%s%s%s", status,
             said[0] != '\0' ? ": " : "", said,
             keyless ? "; no key was sent (--key-env NAME sends the one in that variable)" : "");
    if (status == 401 || status == 403 || status == 404 || status == 405)
        return HOPELESS;
    return status == 408 || status == 425 || status == 429 || status >= 500 ? AGAIN : BAD;
}

/* Why a reply with a choice has no text, and whether to ask again: a model that thought until its
 * tokens were gone would do so again, and be paid again. */
static enum verdict no_text(const json_t *message, struct sae_chat_reply *reply)
{
    const char *const refusal = sae_json_str(message, "refusal", NULL);
    char said[200];
    if (reply->cut) {
        snprintf(reply->why, sizeof reply->why,
                 "the model spent its tokens before it answered (finish_reason length): give it "
                 "room, --body '{\"max_tokens\": ...}'");
        return BAD;
    }
    if (refusal != NULL) {
        quote(said, sizeof said, refusal, strlen(refusal));
        snprintf(reply->why, sizeof reply->why, "the model refused: '%s'", said);
        return BAD;
    }
    snprintf(reply->why, sizeof reply->why, "%s",
             json_is_string(json_object_get(message, "content"))
                 ? "the answer is empty"
                 : "the answer has no message: its content is no text");
    return AGAIN;
}

/* The answer out of a reply of status 200. */
static enum verdict judge_answer(const struct sae_chat *chat, struct ask *ask,
                                 struct sae_chat_reply *reply)
{
    json_t *const json = read_reply(chat, ask);
    json_t *const choice = json_array_get(json_object_get(json, "choices"), 0);
    json_t *const message = json_object_get(choice, "message");
    const char *text = sae_json_str(message, "content", "");
    char said[200] = "";
    enum verdict verdict = AGAIN;
    reply->cut = strcmp(sae_json_str(choice, "finish_reason", ""), "length") == 0;
    reply->tokens_in = sae_json_u64(json, "usage.prompt_tokens", 0);
    reply->tokens_out = sae_json_u64(json, "usage.completion_tokens", 0);
    complaint(said, ask, json);
    while (isspace((unsigned char)*text))
        text++;
    if (json == NULL)
        snprintf(reply->why, sizeof reply->why, "the answer is not JSON: '%s'", said);
    else if (choice == NULL)
        snprintf(reply->why, sizeof reply->why, "the answer has no choices: '%s'", said);
    else if (*text == '\0')
        verdict = no_text(message, reply);
    else if ((reply->content = strdup(text)) != NULL)
        verdict = GOOD;
    json_decref(json);
    return verdict;
}

static enum verdict judge_transfer(const struct sae_chat *chat, CURLcode code,
                                   struct sae_chat_reply *reply)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        snprintf(reply->why, sizeof reply->why, "no answer within %g s", chat->timeout);
        return AGAIN;
    case CURLE_WRITE_ERROR:
        snprintf(reply->why, sizeof reply->why, "an answer of more than %d bytes", MAX_ANSWER);
        return BAD;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        snprintf(reply->why, sizeof reply->why, "%s", curl_easy_strerror(code));
        return HOPELESS;
    default:
        snprintf(reply->why, sizeof reply->why, "%s", curl_easy_strerror(code));
        return AGAIN;
    }
}

/* --- 4. sending ------------------------------------------------------------------------------ */

static size_t on_data(char *data, size_t size, size_t n, void *to)
{
    struct ask *const ask = to;
    struct sae_err ignored;
    if (ask->got.len + size * n > MAX_ANSWER ||
        sae_str_append(&ask->got, data, size * n, &ignored) != SAE_OK)
        return 0;
    return size * n;
}

static enum sae_status make_body(const struct sae_chat *chat, char **ret, const char *system,
                                 const char *user, size_t max_tokens, struct sae_err *err)
{
    json_t *const body = json_pack("{s:s, s:[{s:s, s:s}, {s:s, s:s}], s:I}", "model", chat->llm,
                                   "messages", "role", "system", "content", system, "role", "user",
                                   "content", user, "max_tokens", (json_int_t)max_tokens);
    const char *key;
    json_t *value;
    json_object_foreach(chat->body, key, value)
    {
        if (json_is_null(value))
            json_object_del(body, key);
        else
            json_object_set(body, key, value);
    }
    *ret = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return *ret != NULL ? SAE_OK : sae_err_set(err, SAE_ENOMEM, "cannot make a request");
}

size_t sae_chat_parallel(const struct sae_chat *chat)
{
    return chat->parallel;
}

enum sae_status sae_chat_ask(struct sae_chat *chat, size_t tag, const char *system,
                             const char *user, size_t max_tokens, struct sae_err *err)
{
    struct ask *ask = NULL, **last = &chat->first;
    SAE_TRY(sae_mem_alloc(&ask, 1, sizeof *ask, err));
    ask->tag = tag;
    const enum sae_status st = make_body(chat, &ask->body, system, user, max_tokens, err);
    if (st != SAE_OK) {
        ask_free(chat, ask);
        return st;
    }
    while (*last != NULL)
        last = &(*last)->next;
    *last = ask;
    return SAE_OK;
}

static enum sae_status start(struct sae_chat *chat, struct ask *ask, struct sae_err *err)
{
    CURL *const curl = curl_easy_init();
    if (curl == NULL)
        return sae_err_set(err, SAE_EBACKEND, "libcurl cannot make a request");
    sae_str_clear(&ask->got);
    CURLcode bad = CURLE_OK;
    bad |= curl_easy_setopt(curl, CURLOPT_URL, chat->url);
    bad |= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    bad |= curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    bad |= curl_easy_setopt(curl, CURLOPT_HTTPHEADER, chat->headers);
    bad |= curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(ask->body));
    bad |= curl_easy_setopt(curl, CURLOPT_POSTFIELDS, ask->body);
    bad |= curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ceil(chat->timeout * 1000));
    bad |= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    bad |= curl_easy_setopt(curl, CURLOPT_WRITEDATA, ask);
    bad |= curl_easy_setopt(curl, CURLOPT_PRIVATE, ask);
    if (bad != CURLE_OK || curl_multi_add_handle(chat->multi, curl) != CURLM_OK) {
        curl_easy_cleanup(curl);
        return sae_err_set(err, SAE_EBACKEND, "libcurl refuses a request");
    }
    ask->curl = curl;
    ask->tries++;
    chat->n_running++;
    return SAE_OK;
}

/* Starts what may start; *ret_wait: seconds until the next one may, at most as it was. */
static enum sae_status start_some(struct sae_chat *chat, double *ret_wait, struct sae_err *err)
{
    const double now = sae_stop_clock();
    for (struct ask *ask = chat->first; ask != NULL && chat->n_running < chat->parallel;
         ask = ask->next) {
        if (ask->curl != NULL)
            continue;
        if (ask->not_before <= now)
            SAE_TRY(start(chat, ask, err));
        else if (ask->not_before - now < *ret_wait)
            *ret_wait = ask->not_before - now;
    }
    return SAE_OK;
}

/* --- 5. waiting ------------------------------------------------------------------------------ */

static void unlink_ask(struct sae_chat *chat, struct ask *ask)
{
    struct ask **at = &chat->first;
    while (*at != ask)
        at = &(*at)->next;
    *at = ask->next;
}

/* Puts a request aside for another try: after the pause that the endpoint asks for, or a growing
 * one. */
static void put_off(struct ask *ask, curl_off_t retry_after, const char *why)
{
    double pause = FIRST_PAUSE * ldexp(1.0, (int)(ask->tries < 10 ? ask->tries - 1 : 9));
    if (retry_after > 0)
        pause = (double)retry_after;
    if (pause > LONGEST_PAUSE)
        pause = LONGEST_PAUSE;
    ask->not_before = sae_stop_clock() + pause;
    sae_log_debug("asked again in %.1f s: %s", pause, why);
}

/* A transfer that ended: *ret_done with a reply, or put aside for another try. */
static enum sae_status settle(struct sae_chat *chat, struct ask *ask, CURLcode code,
                              struct sae_chat_reply *ret, bool *ret_done, struct sae_err *err)
{
    struct sae_chat_reply reply = {.tag = ask->tag};
    long status = 0;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(ask->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(ask->curl, CURLINFO_RETRY_AFTER, &retry_after);
    curl_multi_remove_handle(chat->multi, ask->curl);
    curl_easy_cleanup(ask->curl);
    ask->curl = NULL;
    chat->n_running--;
    enum verdict verdict = code != CURLE_OK ? judge_transfer(chat, code, &reply)
                           : status == 200  ? judge_answer(chat, ask, &reply)
                                            : judge_status(chat, ask, status, &reply);
    const bool may_pass = verdict == AGAIN || (verdict == HOPELESS && code != CURLE_OK);
    if (may_pass && ask->tries <= chat->retries) {
        put_off(ask, retry_after, reply.why);
        return SAE_OK;
    }
    chat->n_failed_on_end = verdict == GOOD ? 0 : chat->n_failed_on_end + 1;
    if (verdict == HOPELESS)
        return sae_err_set(err, SAE_EIO, "'%s' with --llm %s: %s", chat->url, chat->llm, reply.why);
    if (chat->n_failed_on_end >= FAILURES_ON_END)
        return sae_err_set(err, SAE_EIO, "'%s': %d requests in a row failed, the last with: %s",
                           chat->url, FAILURES_ON_END, reply.why);
    unlink_ask(chat, ask);
    ask_free(chat, ask);
    *ret = reply;
    *ret_done = true;
    return SAE_OK;
}

enum sae_status sae_chat_wait(struct sae_chat *chat, struct sae_chat_reply *ret,
                              struct sae_err *err)
{
    while (chat->first != NULL) {
        double wait = 0.2; /* how often a signal is looked for */
        int running = 0, left = 0;
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped while asking '%s'", chat->url);
        SAE_TRY(start_some(chat, &wait, err));
        if (curl_multi_perform(chat->multi, &running) != CURLM_OK)
            return sae_err_set(err, SAE_EBACKEND, "libcurl failed");
        const CURLMsg *const message = curl_multi_info_read(chat->multi, &left);
        if (message != NULL && message->msg == CURLMSG_DONE) {
            struct ask *ask = NULL;
            bool done = false;
            const CURLcode code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&ask);
            SAE_TRY(settle(chat, ask, code, ret, &done, err));
            if (done)
                return SAE_OK;
            continue;
        }
        if (curl_multi_poll(chat->multi, NULL, 0, (int)(wait * 1000) + 1, NULL) != CURLM_OK)
            return sae_err_set(err, SAE_EBACKEND, "libcurl failed");
    }
    return sae_err_set(err, SAE_EARG, "nothing was asked");
}
