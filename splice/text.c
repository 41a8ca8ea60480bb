/* SPDX-License-Identifier: MIT */
/* text : see the header. Documents and packing are lib/text's, the same as the store's; which
 * contexts are taken - those after the store's documents, or the last ones - is decided here. */
#include "splice/text.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/text/docs.h"
#include "lib/text/files.h"

/* --- the last contexts ------------------------------------------------------------------------ */

enum sae_status splice_pack_init(struct splice_pack *ret, size_t context, size_t cap, uint32_t bos,
                                 struct sae_err *err)
{
    struct splice_pack pack = {.cap = cap};
    enum sae_status st = SAE_OK;
    /* BOS between documents, whatever the store has there: the evaluation's own rule */
    SAE_GO(st, sae_pack_init(&pack.open, context, bos, true, bos, err));
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
    sae_pack_clear(&pack->open);
    free(pack->ring);
    free(pack->first);
    free(pack->last);
    *pack = (struct splice_pack){0};
}

static void close_context(struct splice_pack *pack)
{
    const size_t T = pack->open.T, slot = pack->n_total++ % pack->cap;
    memcpy(pack->ring + slot * T, pack->open.token, T * sizeof *pack->ring);
    pack->first[slot] = pack->open.document[0];
    pack->last[slot] = pack->open.document[T - 1];
    sae_pack_next(&pack->open);
}

void splice_pack_add(struct splice_pack *pack, const uint32_t *ids, size_t n, bool begins,
                     uint32_t document, size_t stop_at)
{
    for (size_t from = 0; from < n && pack->n_total < stop_at;) {
        from = sae_pack_add(&pack->open, ids, n, from, begins, document);
        if (sae_pack_is_full(&pack->open))
            close_context(pack);
    }
}

/* --- documents ------------------------------------------------------------------------------ */

struct reader {
    const struct sae_tok *tok;
    const struct sae_files *files;
    const char *field;
    enum sae_docs_split split;
    size_t n_vocab;
};

static enum sae_status find_split(enum sae_docs_split *ret, const char *name, struct sae_err *err)
{
    for (int i = 0; sae_docs_split_names[i] != NULL; i++) {
        if (strcmp(name, sae_docs_split_names[i]) == 0) {
            *ret = (enum sae_docs_split)i;
            return SAE_OK;
        }
    }
    return sae_err_set(err, SAE_EFORMAT,
                       "the store's text was split at '%s', which is not known here; say how with "
                       "--split",
                       name);
}

/* A document, or the next piece of it. *n_of_doc: its tokens so far. */
static enum sae_status add_document(struct splice_pack *pack, const struct reader *r,
                                    const struct sae_docs *docs, struct sae_tok_rest *rest,
                                    size_t *n_of_doc, size_t stop_at, struct sae_err *err)
{
    uint32_t *made = NULL;
    size_t n = docs->n_ids;
    if (docs->n_docs > UINT32_MAX)
        return sae_err_set(err, SAE_ERANGE, "more than 2^32 documents; give fewer with --text");
    *n_of_doc = docs->continues ? *n_of_doc : 0;
    if (!docs->has_ids)
        SAE_TRY(sae_tok_encode_part(r->tok, rest, docs->text.s, docs->text.len, !docs->inside,
                                    &made, &n, err));
    splice_pack_add(pack, docs->has_ids ? docs->ids : made, n, *n_of_doc == 0,
                    (uint32_t)(docs->n_docs - 1), stop_at);
    *n_of_doc += n;
    free(made);
    return sae_stop_asked() ? sae_err_set(err, SAE_EINTR, "stopped while reading text") : SAE_OK;
}

/* Packs documents from number `skip` on until stop_at contexts are closed. */
static enum sae_status read_all(struct splice_pack *pack, const struct reader *r, uint64_t skip,
                                size_t stop_at, struct sae_err *err)
{
    struct sae_docs docs;
    struct sae_tok_rest rest = {0};
    size_t n_of_doc = 0;
    enum sae_status st = SAE_OK;
    bool more = true;
    sae_docs_init(&docs, r->files, r->field, r->split);
    docs.skip = skip;
    docs.piece = SAE_DOCS_PIECE;
    docs.n_vocab = r->n_vocab;
    while (pack->n_total < stop_at) {
        SAE_GO(st, sae_docs_next(&docs, &more, err));
        if (!more)
            break;
        SAE_GO(st, add_document(pack, r, &docs, &rest, &n_of_doc, stop_at, err));
    }
done:
    sae_docs_clear(&docs);
    sae_tok_rest_clear(&rest);
    return st;
}

/* The contexts in the ring, oldest first. */
static enum sae_status unroll(struct splice_text *ret, const struct splice_pack *pack, bool is_tail,
                              struct sae_err *err)
{
    const size_t n = pack->n_total < pack->cap ? pack->n_total : pack->cap;
    const size_t T = pack->open.T, from = pack->n_total - n;
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
                                 const struct sae_tok *tok, uint32_t bos, struct sae_err *err)
{
    struct splice_pack pack = {0};
    struct sae_files files = {0};
    struct reader r = {
        .tok = tok, .files = &files, .field = settings->field, .n_vocab = settings->n_vocab};
    enum sae_status st = SAE_OK;
    bool is_tail = false;
    SAE_GO(st, find_split(&r.split, settings->split, err));
    for (size_t i = 0; i < settings->n_files; i++)
        SAE_GO(st, sae_files_add(&files, settings->files[i], err));
    SAE_GO(st, sae_files_sort_out(&files, settings->field, err));
    SAE_GO(st, splice_pack_init(&pack, settings->context, settings->n_contexts, bos, err));
    SAE_GO(st, read_all(&pack, &r, settings->skip, settings->n_contexts, err));
    if (pack.n_total == 0 && settings->skip > 0 && settings->skip_asked) {
        st = sae_err_set(err, SAE_EARG,
                         "no context of %zu tokens is left after --skip %llu documents; pass over "
                         "fewer or give more text",
                         settings->context, (unsigned long long)settings->skip);
        goto done;
    }
    if (pack.n_total == 0 && settings->skip > 0) {
        is_tail = true;
        splice_pack_clear(&pack);
        SAE_GO(st, splice_pack_init(&pack, settings->context, settings->n_contexts, bos, err));
        SAE_GO(st, read_all(&pack, &r, 0, SIZE_MAX, err));
    }
    if (pack.n_total == 0) {
        st = sae_err_set(err, SAE_EARG,
                         "the text gives %zu tokens, less than one context of %zu; give more text "
                         "or a smaller --context",
                         pack.open.n, settings->context);
        goto done;
    }
    st = unroll(ret, &pack, is_tail, err);
done:
    splice_pack_clear(&pack);
    sae_files_clear(&files);
    return st;
}

void splice_text_clear(struct splice_text *text)
{
    free(text->ids);
    *text = (struct splice_text){0};
}
