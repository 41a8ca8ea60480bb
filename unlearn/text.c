/* SPDX-License-Identifier: MIT */
/* text : a text as rows of tokens, for densities.
 *
 * As upstream: documents of more than min_length characters, joined by EOS, cut into rows of
 * `context` tokens whose first is BOS, the last incomplete row left out; of all rows a random
 * draw. Of the text to be forgotten a random draw of documents comes first. (Upstream cuts the
 * joined text into 20 pieces before it is tokenised and overwrites each row's first token with
 * BOS; here no token is lost.) */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/base/stop.h"
#include "lib/text/docs.h"
#include "lib/text/pack.h"
#include "lm/lm.h"
#include "unlearn/unlearn.h"

/* Reservoir: after n offers, each of them is among the `cap` kept with equal chance. Returns the
 * place of the newcomer, or cap where it is not kept. */
static size_t place_of(struct sae_rng *rng, uint64_t n_before, size_t cap)
{
    if (n_before < cap)
        return (size_t)n_before;
    const uint64_t at = sae_rng_below(rng, n_before + 1);
    return at < cap ? (size_t)at : cap;
}

struct drawn {
    char **text; /* [cap] documents; NULL where all are taken */
    size_t *len;
    size_t cap, n;
    struct sae_rng rng;
};

struct rows {
    struct sae_pack pack;
    uint32_t *ids; /* [cap][T] */
    size_t cap, cap_ids;
    uint64_t n_total;
    struct sae_rng rng;
};

static enum sae_status close_row(struct rows *rows, struct sae_err *err)
{
    const size_t T = rows->pack.T, at = place_of(&rows->rng, rows->n_total, rows->cap);
    rows->n_total++;
    if (at < rows->cap) {
        SAE_TRY(sae_mem_grow(&rows->ids, &rows->cap_ids, (at + 1) * T, sizeof *rows->ids, err));
        memcpy(rows->ids + at * T, rows->pack.token, T * sizeof *rows->ids);
    }
    sae_pack_next(&rows->pack);
    return SAE_OK;
}

static enum sae_status add_document(struct rows *rows, const struct sae_tok *tok, const char *text,
                                    size_t len, struct sae_err *err)
{
    uint32_t *ids = NULL;
    size_t n = 0;
    enum sae_status st = SAE_OK;
    SAE_TRY(sae_tok_encode(tok, text, len, &ids, &n, err));
    for (size_t from = 0; from < n && st == SAE_OK;) {
        from = sae_pack_add(&rows->pack, ids, n, from, true, 0);
        if (sae_pack_is_full(&rows->pack))
            st = close_row(rows, err);
    }
    free(ids);
    if (st == SAE_OK && sae_stop_asked())
        st = sae_err_set(err, SAE_EINTR, "stopped while reading text");
    return st;
}

static size_t characters(const struct sae_str *text)
{
    size_t n = 0;
    for (size_t i = 0; i < text->len; i++)
        n += ((unsigned char)text->s[i] & 0xC0) != 0x80;
    return n;
}

static enum sae_status draw_document(struct drawn *drawn, const struct sae_str *text,
                                     uint64_t n_before, struct sae_err *err)
{
    const size_t at = place_of(&drawn->rng, n_before, drawn->cap);
    if (at == drawn->cap)
        return SAE_OK;
    char *copy = NULL;
    SAE_TRY(sae_mem_alloc(&copy, text->len + 1, 1, err));
    memcpy(copy, text->s, text->len);
    free(drawn->text[at]);
    drawn->text[at] = copy;
    drawn->len[at] = text->len;
    if (at >= drawn->n)
        drawn->n = at + 1;
    return SAE_OK;
}

static enum sae_status find_split(enum sae_docs_split *ret, const char *name, struct sae_err *err)
{
    for (int i = 0; sae_docs_split_names[i] != NULL; i++)
        if (strcmp(name, sae_docs_split_names[i]) == 0) {
            *ret = (enum sae_docs_split)i;
            return SAE_OK;
        }
    return sae_err_set(err, SAE_EARG, "--split %s is not known", name);
}

/* Every document that is long enough: to the draw, where there is one, else to the rows. */
static enum sae_status read_all(struct unlearn_text *text, struct drawn *drawn, struct rows *rows,
                                const char *path, const struct unlearn_settings *settings,
                                const struct sae_tok *tok, struct sae_err *err)
{
    struct sae_files files = {0};
    struct sae_docs docs = {0};
    enum sae_docs_split split = SAE_DOCS_SPLIT_NONE;
    enum sae_status st;
    bool more = true;
    SAE_GO(st, find_split(&split, settings->split, err));
    SAE_GO(st, sae_files_add(&files, path, err));
    SAE_GO(st, sae_files_sort_out(&files, settings->field, err));
    sae_docs_init(&docs, &files, settings->field, split);
    for (;;) {
        SAE_GO(st, sae_docs_next(&docs, &more, err));
        if (!more)
            break;
        if (characters(&docs.text) <= settings->min_length) {
            text->n_short++;
            continue;
        }
        if (drawn->cap > 0)
            SAE_GO(st, draw_document(drawn, &docs.text, text->n_documents, err));
        else
            SAE_GO(st, add_document(rows, tok, docs.text.s, docs.text.len, err));
        text->n_documents++;
    }
done:
    sae_docs_clear(&docs);
    sae_files_clear(&files);
    return st;
}

enum sae_status unlearn_text_load(struct unlearn_text *ret, const char *path, size_t n_docs,
                                  const struct unlearn_settings *settings,
                                  const struct sae_tok *tok, const struct sae_lm_config *config,
                                  struct sae_err *err)
{
    struct unlearn_text text = {.context = settings->context};
    struct drawn drawn = {.cap = n_docs, .rng = sae_rng_make(settings->seed, SAE_RNG_UNLEARN)};
    struct rows rows = {.cap = settings->dataset_size,
                        .rng = sae_rng_make(settings->seed, SAE_RNG_UNLEARN)};
    enum sae_status st;
    rows.rng.counter = (uint64_t)1 << 40; /* a part of the stream of its own */
    SAE_GO(st, sae_pack_init(&rows.pack, settings->context, config->bos, true, config->eos, err));
    SAE_GO(st, sae_mem_alloc(&drawn.text, drawn.cap, sizeof(char *), err));
    SAE_GO(st, sae_mem_alloc(&drawn.len, drawn.cap, sizeof *drawn.len, err));
    SAE_GO(st, read_all(&text, &drawn, &rows, path, settings, tok, err));
    for (size_t i = 0; i < drawn.n; i++)
        SAE_GO(st, add_document(&rows, tok, drawn.text[i], drawn.len[i], err));
    text.n = rows.n_total < rows.cap ? (size_t)rows.n_total : rows.cap;
    if (text.n == 0) {
        st = sae_err_set(err, SAE_EARG,
                         "'%s' gives no full row of %zu tokens: %zu documents of more than %zu "
                         "characters; give more text or a smaller --context",
                         path, settings->context, text.n_documents, settings->min_length);
        goto done;
    }
    text.ids = rows.ids;
    rows.ids = NULL;
    *ret = text;
done:
    for (size_t i = 0; drawn.text != NULL && i < drawn.n; i++)
        free(drawn.text[i]);
    free(drawn.text);
    free(drawn.len);
    free(rows.ids);
    sae_pack_clear(&rows.pack);
    return st;
}

void unlearn_text_clear(struct unlearn_text *text)
{
    free(text->ids);
    *text = (struct unlearn_text){0};
}
