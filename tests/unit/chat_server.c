/* SPDX-License-Identifier: MIT */
/* chat_server PORT_FILE : a chat endpoint for tests, on 127.0.0.1 at a free port, which it writes
 * to PORT_FILE. How it answers is chosen by the "model" of a request:
 *
 *   oracle        explains a latent by the strings that were marked, "|one|two|", and names the
 *                 sequences that hold any of them: right wherever activity follows the token
 *   none, all     oracle's explanation; names no sequence, every sequence
 *   some          as oracle, but answers with words where the explanation begins with SOME's token
 *                 (environment variable SOME)
 *   flaky         as oracle, but status 503 at the first sight of each request
 *   slow          as oracle, after 0.3 s; hang: never
 *   think         as oracle, after a <think> block
 *   cut           as oracle, but says that it was cut
 *   status-N      that HTTP status, with the Authorization header repeated in the message
 *   html, no-choices, empty, null, words, range, binary, huge, hangup, half, nothing, redirect
 *                 what the name says
 *   spent         content null and finish_reason length, as models that think too long
 *   refusal       content null and a refusal
 *   repeat        answers everything with the Authorization header; echo: as the text of an answer,
 *                 its dashes escaped
 * One thread a connection; ends with its parent's standard input. */
#include <arpa/inet.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 1 << 20 };

struct request {
    char *text, *body;
    char auth[512];
    const char *model, *user;
    json_t *json;
};

/* --- reading and writing --------------------------------------------------------------------- */

static int read_request(int fd, struct request *r)
{
    size_t n = 0, want = ROOM;
    r->text = calloc(1, ROOM + 1);
    while (r->text != NULL && n < want) {
        const ssize_t got = read(fd, r->text + n, ROOM - n);
        if (got <= 0)
            return 0;
        n += (size_t)got;
        char *const end = strstr(r->text, "\r\n\r\n");
        if (end == NULL)
            continue;
        const char *const length = strcasestr(r->text, "Content-Length:");
        r->body = end + 4;
        want = (size_t)(r->body - r->text) + (length ? strtoul(length + 15, NULL, 10) : 0);
    }
    if (r->body == NULL || want > ROOM)
        return 0;
    const char *const auth = strcasestr(r->text, "Authorization:");
    if (auth != NULL && auth < r->body)
        snprintf(r->auth, sizeof r->auth, "%.*s", (int)strcspn(auth, "\r\n"), auth);
    r->json = json_loads(r->body, 0, NULL);
    r->model = json_string_value(json_object_get(r->json, "model"));
    r->user = json_string_value(
        json_object_get(json_array_get(json_object_get(r->json, "messages"), 1), "content"));
    return r->model != NULL && r->user != NULL;
}

static void put(int fd, const char *data, size_t n)
{
    for (size_t done = 0; done < n;) {
        const ssize_t put = send(fd, data + done, n - done, MSG_NOSIGNAL);
        if (put <= 0)
            return;
        done += (size_t)put;
    }
}

static void reply(int fd, int status, const char *headers, const char *body, size_t n)
{
    char head[512];
    const int h = snprintf(head, sizeof head,
                           "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n"
                           "Content-Length: %zu\r\nConnection: close\r\n%s\r\n",
                           status, n, headers);
    put(fd, head, (size_t)h);
    put(fd, body, n);
}

static void answer(int fd, const char *content, const char *finish)
{
    json_t *const json =
        json_pack("{s:[{s:i, s:{s:s, s:s?}, s:s}], s:{s:i, s:i}}", "choices", "index", 0, "message",
                  "role", "assistant", "content", content, "finish_reason", finish, "usage",
                  "prompt_tokens", 100, "completion_tokens", 10);
    char *const text = json_dumps(json, 0);
    reply(fd, 200, "", text, strlen(text));
    free(text);
    json_decref(json);
}

/* --- the oracle ------------------------------------------------------------------------------ */

static int is_scoring(const struct request *r)
{
    return strncmp(r->user, "This neuron activates on", 24) == 0;
}

/* "This neuron activates on |one|two|": what stands between << and >>, each once. */
static void explain(const char *user, char *to, size_t room)
{
    size_t n = (size_t)snprintf(to, room, "This neuron activates on |");
    for (const char *p = user; (p = strstr(p, "<<")) != NULL;) {
        char one[128];
        const char *const end = strstr(p, ">>");
        if (end == NULL)
            break;
        snprintf(one, sizeof one, "|%.*s|", (int)(end - p - 2), p + 2);
        if (strstr(to, one) == NULL)
            n += (size_t)snprintf(to + n, room - n, "%s", one + 1);
        p = end;
    }
}

/* Whether a line holds any of the strings between bars. */
static int holds(const char *line, size_t len, const char *bars, const char *bars_end)
{
    for (const char *p = bars; p < bars_end;) {
        const char *const end = memchr(p + 1, '|', (size_t)(bars_end - p - 1));
        if (end == NULL)
            return 0;
        if (end > p + 1 && memmem(line, len, p + 1, (size_t)(end - p - 1)) != NULL)
            return 1;
        p = end;
    }
    return 0;
}

static void predict(const char *user, char *to, size_t room)
{
    const char *const bars = strchr(user, '|'), *line = strstr(user, "\n1. ");
    const char *const bars_end = strstr(user, ".\n");
    size_t n = 0;
    *to = '\0';
    for (int number = 1; line != NULL && bars != NULL && bars_end != NULL; number++) {
        line++;
        const size_t len = strcspn(line, "\n");
        if (holds(line, len, bars, bars_end + 1))
            n += (size_t)snprintf(to + n, room - n, "%s%d", n > 0 ? ", " : "", number);
        line = line[len] == '\n' ? line + len : NULL;
    }
    if (n == 0)
        snprintf(to, room, "None");
}

static void oracle(const struct request *r, char *to, size_t room)
{
    if (is_scoring(r))
        predict(r->user, to, room);
    else
        explain(r->user, to, room);
}

/* --- requests seen before -------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t seen[4096], n_seen;

static int is_new(const char *body)
{
    size_t hash = 5381;
    int new = 1;
    for (const char *p = body; *p != '\0'; p++)
        hash = hash * 33 + (unsigned char)*p;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < n_seen; i++)
        new &= seen[i] != hash;
    if (new &&n_seen < sizeof seen / sizeof *seen)
        seen[n_seen++] = hash;
    pthread_mutex_unlock(&lock);
    return new;
}

/* --- behaviour ------------------------------------------------------------------------------- */

/* The header as an answer's text; JSON's escapes hide the key from who looks at the bytes only. */
static void echo(int fd, const char *auth)
{
    char body[4096];
    size_t n = (size_t)snprintf(body, sizeof body, "{\"choices\": [{\"message\": {\"content\": \"");
    for (; *auth != '\0' && n + 100 < sizeof body; auth++)
        n += (size_t)snprintf(body + n, sizeof body - n, *auth == '-' ? "\\u%04x" : "%c", *auth);
    n += (size_t)snprintf(body + n, sizeof body - n, "\"}, \"finish_reason\": \"stop\"}]}");
    reply(fd, 200, "", body, n);
}

static void bad_answer(int fd, const struct request *r)
{
    static char huge[5 << 20];
    const char *const m = r->model;
    if (strcmp(m, "html") == 0) {
        reply(fd, 200, "", "<html>busy\n</html>", 18);
    } else if (strcmp(m, "no-choices") == 0) {
        reply(fd, 200, "", "{\"choices\": []}", 15);
    } else if (strcmp(m, "empty") == 0) {
        answer(fd, " \n", "stop");
    } else if (strcmp(m, "null") == 0) {
        answer(fd, NULL, "stop");
    } else if (strcmp(m, "words") == 0) {
        answer(fd, "I believe it is\nthe second one", "stop");
    } else if (strcmp(m, "range") == 0) {
        answer(fd, is_scoring(r) ? "3, 15" : "This neuron activates on things.", "stop");
    } else if (strcmp(m, "binary") == 0) {
        reply(fd, 200, "", "\xff\xfe\x00\x01\xc3 busy", 10);
    } else if (strcmp(m, "huge") == 0) {
        memset(huge, ' ', sizeof huge);
        reply(fd, 200, "", huge, sizeof huge);
    } else if (strcmp(m, "half") == 0) {
        put(fd, "HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n{\"choices\"", 50);
    } else if (strcmp(m, "nothing") == 0) {
        reply(fd, 200, "", "", 0);
    } else if (strcmp(m, "redirect") == 0) {
        reply(fd, 302, "Location: http://127.0.0.1:9/\r\n", "", 0);
    } else if (strcmp(m, "spent") == 0) {
        answer(fd, NULL, "length");
    } else if (strcmp(m, "refusal") == 0) {
        static const char no[] = "{\"choices\": [{\"message\": {\"content\": null, \"refusal\": "
                                 "\"I cannot help with that\"}, \"finish_reason\": \"stop\"}]}";
        reply(fd, 200, "", no, sizeof no - 1);
    } else if (strcmp(m, "echo") == 0) {
        echo(fd, r->auth);
    } else if (strcmp(m, "repeat") == 0) {
        reply(fd, 200, "", r->auth, strlen(r->auth));
    }
}

static void serve(int fd, const struct request *r)
{
    char text[4096], out[4400];
    const char *const m = r->model, *const some = getenv("SOME");
    oracle(r, text, sizeof text);
    if (strncmp(m, "status-", 7) == 0) {
        json_t *const json = json_pack("{s:{s:s}}", "error", "message", r->auth);
        char *const body = json_dumps(json, 0);
        reply(fd, atoi(m + 7), "", body, strlen(body));
        free(body);
        json_decref(json);
    } else if (strcmp(m, "oracle") == 0) {
        answer(fd, text, "stop");
    } else if (strcmp(m, "none") == 0) {
        answer(fd, is_scoring(r) ? "None" : text, "stop");
    } else if (strcmp(m, "all") == 0) {
        answer(fd, is_scoring(r) ? "1,2,3,4,5,6,7,8,9,10,11,12,13, and 14." : text, "stop");
    } else if (strcmp(m, "some") == 0) {
        const int odd = is_scoring(r) && some != NULL && strstr(r->user, some) == r->user + 25;
        answer(fd, odd ? "the first few" : text, "stop");
    } else if (strcmp(m, "flaky") == 0) {
        if (is_new(r->body))
            reply(fd, 503, "", "later", 5);
        else
            answer(fd, text, "stop");
    } else if (strcmp(m, "slow") == 0 || strcmp(m, "hang") == 0) {
        usleep(*m == 's' ? 300000 : 4000000);
        answer(fd, text, "stop");
    } else if (strcmp(m, "think") == 0) {
        snprintf(out, sizeof out, "<think>1, 2?\nactivates on</think>\n%s", text);
        answer(fd, out, "stop");
    } else if (strcmp(m, "cut") == 0) {
        answer(fd, text, "length");
    } else if (strcmp(m, "hangup") != 0) {
        bad_answer(fd, r);
    }
}

static void *connection(void *arg)
{
    const int fd = (int)(size_t)arg;
    struct request r = {0};
    if (read_request(fd, &r))
        serve(fd, &r);
    json_decref(r.json);
    free(r.text);
    shutdown(fd, SHUT_WR);
    close(fd);
    return NULL;
}

static void *watch_parent(void *arg)
{
    char c;
    while (read(0, &c, 1) > 0)
        ;
    exit(0);
    return arg;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    FILE *port = argc == 2 ? fopen(argv[1], "w") : NULL;
    pthread_t thread;
    if (fd < 0 || port == NULL || bind(fd, (struct sockaddr *)&address, size) != 0 ||
        listen(fd, 64) != 0 || getsockname(fd, (struct sockaddr *)&address, &size) != 0 ||
        pthread_create(&thread, NULL, watch_parent, NULL) != 0) {
        perror("chat_server");
        return 1;
    }
    fprintf(port, "%d\n", ntohs(address.sin_port));
    fclose(port);
    for (;;) {
        const int client = accept(fd, NULL, NULL);
        if (client >= 0 && pthread_create(&thread, NULL, connection, (void *)(size_t)client) == 0)
            pthread_detach(thread);
        else if (client >= 0)
            close(client);
    }
}
