/* SPDX-License-Identifier: MIT */
/* text : documents from files, packed as SAEBench's stream packs them: a context starts with BOS,
 * a document that begins inside a context gets BOS before it, one that overflows goes on in the
 * next context, a context counts only when full. */
#include "splice/text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/base/str.h"
#include "splice/lines.h"

/* --- packing -------------------------------------------------------------------------------- */

enum sae_status splice_pack_init(struct splice_pack *ret, size_t context, size_t cap, uint32_t bos,
                                 struct sae_err *err)
{
    struct splice_pack pack = {.context = context, .cap = cap, .bos = bos};
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_mem_alloc(&pack.open, context, sizeof *pack.open, err));
    SAE_GO(st, sae_mem_alloc(&pack.ring, cap, context * sizeof *pack.ring, err));
    SAE_GO(st, sae_mem_alloc(&pack.first, cap, sizeof *pack.first, err));
    SAE_GO(st, sae_mem_alloc(&pack.last, cap, sizeof *pack.last, err));
    *ret = pack;
    return SAE_OK;
done:
    splice_pack_clear(&pack);
    return st;
}

void splice_pack_clear(struct splice_pack *pack)
{
    free(pack->open);
    free(pack->ring);
    free(pack->first);
    free(pack->last);
    *pack = (struct splice_pack){0};
}

static void push(struct splice_pack *pack, uint32_t id, uint64_t document)
{
    if (pack->n_in == 0)
        pack->open_first = document;
    pack->open[pack->n_in++] = id;
    if (pack->n_in < pack->context)
        return;
    const size_t slot = pack->n_total++ % pack->cap;
    memcpy(pack->ring + slot * pack->context, pack->open, pack->context * sizeof *pack->open);
    pack->first[slot] = pack->open_first;
    pack->last[slot] = document;
    pack->n_in = 0;
}

void splice_pack_add(struct splice_pack *pack, const uint32_t *ids, size_t n, uint64_t document,
                     size_t stop_at)
{
    for (size_t i = 0; i < n && pack->n_total < stop_at; i++) {
        if ((pack->n_in == 0 || i == 0) && ids[i] != pack->bos)
            push(pack, pack->bos, document);
        /* a BOS that filled the context: the token opens the next one, after its own BOS */
        if (pack->n_in == 0 && ids[i] != pack->bos && pack->n_total < stop_at)
            push(pack, pack->bos, document);
        if (pack->n_total < stop_at)
            push(pack, ids[i], document);
    }
}

/* --- documents ------------------------------------------------------------------------------ */

struct reader {
    const struct splice_text_settings *set;
    const struct gemma_tok *tok;
    struct splice_pack *pack;
    struct sae_str line, text;
    uint64_t document, skip;
    size_t stop_at;
};

static bool ends_before(const char *path, size_t len, const char *suffix)
{
    const size_t n = strlen(suffix);
    return len >= n && memcmp(path + len - n, suffix, n) == 0;
}

static bool is_json(const char *path)
{
    size_t len = strlen(path);
    if (ends_before(path, len, ".gz"))
        len -= 3;
    else if (ends_before(path, len, ".zst"))
        len -= 4;
    return ends_before(path, len, ".jsonl") || ends_before(path, len, ".ndjson");
}

static enum sae_status take(struct reader *r, const char *text, size_t len, struct sae_err *err)
{
    const uint64_t number = r->document++;
    if (number < r->skip || r->pack->n_total >= r->stop_at)
        return SAE_OK;
    uint32_t *ids = NULL;
    size_t n = 0;
    SAE_TRY(gemma_tok_encode(r->tok, text, len, &ids, &n, err));
    splice_pack_add(r->pack, ids, n, number, r->stop_at);
    free(ids);
    return sae_stop_asked() ? sae_err_set(err, SAE_EINTR, "stopped while reading text") : SAE_OK;
}

static enum sae_status take_json(struct reader *r, const char *path, uint64_t number,
                                 struct sae_err *err)
{
    json_error_t why;
    if (strspn(r->line.s, " \t") == r->line.len)
        return SAE_OK;
    if (r->document < r->skip) { /* already known to be well formed: the store was made from it */
        r->document++;
        return SAE_OK;
    }
    json_t *object = json_loadb(r->line.s, r->line.len, JSON_ALLOW_NUL, &why);
    if (object == NULL)
        return sae_err_set(err, SAE_EFORMAT, "'%s' line %" PRIu64 " is not valid JSON: %s", path,
                           number, why.text);
    const json_t *value = json_object_get(object, r->set->field);
    enum sae_status st;
    if (json_is_string(value))
        st = take(r, json_string_value(value), json_string_length(value), err);
    else
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' line %" PRIu64 " has no text in field '%s'; name another with "
                         "--field",
                         path, number, r->set->field);
    json_decref(object);
    return st;
}

/* Ends the document that lines of plain text were gathered into. */
static enum sae_status end_plain(struct reader *r, struct sae_err *err)
{
    if (r->text.len == 0)
        return SAE_OK;
    const enum sae_status st = take(r, r->text.s, r->text.len, err);
    r->text.len = 0;
    return st;
}

static enum sae_status take_plain(struct reader *r, struct sae_err *err)
{
    const bool blank = strspn(r->line.s, " \t\f\v") == r->line.len;
    const bool whole = strcmp(r->set->split, "none") == 0;
    if (blank && !whole)
        return end_plain(r, err);
    if (r->text.len > 0 && !whole)
        SAE_TRY(sae_str_append(&r->text, "\n", 1, err));
    SAE_TRY(sae_str_append(&r->text, r->line.s, r->line.len, err));
    if (whole)
        return sae_str_append(&r->text, "\n", 1, err);
    return strcmp(r->set->split, "line") == 0 ? end_plain(r, err) : SAE_OK;
}

static enum sae_status read_file(struct reader *r, const char *path, struct sae_err *err)
{
    struct splice_lines *lines = NULL;
    enum sae_status st = SAE_OK;
    bool more = true;
    const bool json = is_json(path);
    SAE_TRY(splice_lines_open(&lines, path, err));
    for (uint64_t number = 1; r->pack->n_total < r->stop_at; number++) {
        SAE_GO(st, splice_lines_next(lines, &r->line, &more, err));
        if (!more)
            break;
        SAE_GO(st, json ? take_json(r, path, number, err) : take_plain(r, err));
    }
    if (!json)
        st = end_plain(r, err);
done:
    splice_lines_close(lines);
    return st;
}

static enum sae_status read_all(struct splice_pack *pack,
                                const struct splice_text_settings *settings,
                                const struct gemma_tok *tok, uint64_t skip, size_t stop_at,
                                struct sae_err *err)
{
    struct reader r = {.set = settings, .tok = tok, .pack = pack, .skip = skip, .stop_at = stop_at};
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < settings->n_files && pack->n_total < stop_at; i++)
        SAE_GO(st, read_file(&r, settings->files[i], err));
done:
    sae_str_clear(&r.line);
    sae_str_clear(&r.text);
    return st;
}

/* The contexts in the ring, oldest first. */
static enum sae_status unroll(struct splice_text *ret, const struct splice_pack *pack, bool is_tail,
                              struct sae_err *err)
{
    const size_t n = pack->n_total < pack->cap ? pack->n_total : pack->cap;
    const size_t T = pack->context, from = pack->n_total - n;
    struct splice_text text = {.n = n, .context = T, .is_tail = is_tail};
    SAE_TRY(sae_mem_alloc(&text.ids, n, T * sizeof *text.ids, err));
    for (size_t i = 0; i < n; i++)
        memcpy(text.ids + i * T, pack->ring + (from + i) % pack->cap * T, T * sizeof *text.ids);
    text.first_document = pack->first[from % pack->cap];
    text.last_document = pack->last[(from + n - 1) % pack->cap];
    *ret = text;
    return SAE_OK;
}

enum sae_status splice_text_load(struct splice_text *ret,
                                 const struct splice_text_settings *settings,
                                 const struct gemma_tok *tok, uint32_t bos, struct sae_err *err)
{
    struct splice_pack pack = {0};
    enum sae_status st = SAE_OK;
    bool is_tail = false;
    SAE_GO(st, splice_pack_init(&pack, settings->context, settings->n_contexts, bos, err));
    SAE_GO(st, read_all(&pack, settings, tok, settings->skip, settings->n_contexts, err));
    if (pack.n_total == 0 && settings->skip > 0) {
        is_tail = true;
        splice_pack_clear(&pack);
        SAE_GO(st, splice_pack_init(&pack, settings->context, settings->n_contexts, bos, err));
        SAE_GO(st, read_all(&pack, settings, tok, 0, SIZE_MAX, err));
    }
    if (pack.n_total == 0) {
        st = sae_err_set(err, SAE_EARG,
                         "the text gives %zu tokens, less than one context of %zu; give more text "
                         "or a smaller --context",
                         pack.n_in, settings->context);
        goto done;
    }
    st = unroll(ret, &pack, is_tail, err);
done:
    splice_pack_clear(&pack);
    return st;
}

void splice_text_clear(struct splice_text *text)
{
    free(text->ids);
    *text = (struct splice_text){0};
}
