/* SPDX-License-Identifier: MIT */
/* tok_merge : the ids of one word.
 *
 * Contents:  1. long runs   2. short runs   3. symbols of a word   4. the word */
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lm/tok_vocab_inner.h"

enum { SHORT = 48 }; /* symbols of a run up to which looking at every pair is faster than a heap */

struct sae_tok_symbol {
    uint32_t id;
    uint32_t rank, result; /* of its pair with the next one; short runs */
    size_t before, after;  /* neighbours, SIZE_MAX: none; long runs */
};

struct sae_tok_waiting {
    uint32_t rank, result, left, right;
    size_t at;
};

void sae_tok_merging_clear(struct sae_tok_merging *m)
{
    free(m->symbols);
    free(m->heap);
    *m = (struct sae_tok_merging){0};
}

/* --- 1. long runs --------------------------------------------------------------------------- */

static bool comes_first(const struct sae_tok_waiting *a, const struct sae_tok_waiting *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static enum sae_status push(const struct sae_tok_vocab *v, struct sae_tok_merging *m, size_t at,
                            struct sae_err *err)
{
    const size_t after = m->symbols[at].after;
    if (after == SIZE_MAX)
        return SAE_OK;
    const struct sae_tok_pair *const pair =
        sae_tok_pair_at(v, m->symbols[at].id, m->symbols[after].id);
    if (pair->left == SAE_TOK_NONE)
        return SAE_OK;
    const struct sae_tok_waiting it = {pair->rank, pair->result, pair->left, pair->right, at};
    SAE_TRY(sae_mem_grow(&m->heap, &m->cap_heap, m->n_heap + 1, sizeof *m->heap, err));
    size_t i = m->n_heap++;
    for (; i > 0 && comes_first(&it, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = it;
    return SAE_OK;
}

static struct sae_tok_waiting pop(struct sae_tok_merging *m)
{
    const struct sae_tok_waiting top = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < m->n_heap; i = k) {
        if (k + 1 < m->n_heap && comes_first(&m->heap[k + 1], &m->heap[k]))
            k++;
        if (!comes_first(&m->heap[k], &last))
            break;
        m->heap[i] = m->heap[k];
    }
    m->heap[i] = last;
    return top;
}

/* Pairs wait in a heap: n log n. */
static enum sae_status merge_long(const struct sae_tok_vocab *v, struct sae_tok_merging *m,
                                  struct sae_err *err)
{
    m->n_heap = 0;
    for (size_t i = 0; i < m->n; i++) {
        m->symbols[i].before = i > 0 ? i - 1 : SIZE_MAX;
        m->symbols[i].after = i + 1 < m->n ? i + 1 : SIZE_MAX;
    }
    for (size_t i = 0; i < m->n; i++)
        SAE_TRY(push(v, m, i, err));
    while (m->n_heap > 0) {
        const struct sae_tok_waiting it = pop(m);
        struct sae_tok_symbol *const left = &m->symbols[it.at];
        if (left->id != it.left || left->after == SIZE_MAX ||
            m->symbols[left->after].id != it.right)
            continue; /* one of them has been merged meanwhile */
        struct sae_tok_symbol *const right = &m->symbols[left->after];
        left->id = it.result;
        right->id = SAE_TOK_NONE;
        left->after = right->after;
        if (right->after != SIZE_MAX)
            m->symbols[right->after].before = it.at;
        SAE_TRY(push(v, m, it.at, err));
        if (left->before != SIZE_MAX)
            SAE_TRY(push(v, m, left->before, err));
    }
    size_t n = 0;
    for (size_t i = 0; i < m->n; i = m->symbols[i].after)
        m->symbols[n++].id = m->symbols[i].id;
    m->n = n;
    return SAE_OK;
}

/* --- 2. short runs -------------------------------------------------------------------------- */

static void rank_pair(const struct sae_tok_vocab *v, struct sae_tok_merging *m, size_t at)
{
    struct sae_tok_symbol *const s = &m->symbols[at];
    s->rank = SAE_TOK_NONE;
    if (at + 1 == m->n)
        return;
    const struct sae_tok_pair *const pair = sae_tok_pair_at(v, s->id, m->symbols[at + 1].id);
    if (pair->left == SAE_TOK_NONE)
        return;
    s->rank = pair->rank;
    s->result = pair->result;
}

static void merge_short(const struct sae_tok_vocab *v, struct sae_tok_merging *m)
{
    for (size_t i = 0; i < m->n; i++)
        rank_pair(v, m, i);
    for (;;) {
        uint32_t least = SAE_TOK_NONE;
        size_t at = 0;
        for (size_t i = 0; i + 1 < m->n; i++)
            if (m->symbols[i].rank < least) {
                least = m->symbols[i].rank;
                at = i;
            }
        if (least == SAE_TOK_NONE)
            return;
        m->symbols[at].id = m->symbols[at].result;
        m->n--;
        memmove(&m->symbols[at + 1], &m->symbols[at + 2], (m->n - at - 1) * sizeof *m->symbols);
        rank_pair(v, m, at);
        if (at > 0)
            rank_pair(v, m, at - 1);
    }
}

/* --- 3. symbols of a word ------------------------------------------------------------------- */

static enum sae_status add_symbol(struct sae_tok_merging *m, uint32_t id, struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&m->symbols, &m->cap, m->n + 1, sizeof *m->symbols, err));
    m->symbols[m->n++].id = id;
    return SAE_OK;
}

/* A letter, its bytes, or the unknown piece, of which neighbours may become one. */
static enum sae_status add_letter(const struct sae_tok_vocab *v, struct sae_tok_merging *m,
                                  const char *s, size_t n, bool *was_unk, struct sae_err *err)
{
    const uint32_t id = v->bytes ? v->byte[(unsigned char)*s] : sae_tok_vocab_find(v, s, n);
    const bool unk = *was_unk;
    *was_unk = false;
    if (id != SAE_TOK_NONE)
        return add_symbol(m, id, err);
    if (v->bytes)
        return SAE_OK; /* left out, as there: SmolLM2 has no piece for some control characters */
    if (v->fallback) {
        for (size_t i = 0; i < n; i++)
            SAE_TRY(add_symbol(m, v->byte[(unsigned char)s[i]], err));
        return SAE_OK;
    }
    *was_unk = true;
    return unk && v->fuse_unk ? SAE_OK : add_symbol(m, v->unk, err);
}

static enum sae_status end_run(const struct sae_tok_vocab *v, struct sae_tok_merging *m,
                               struct sae_tok_ids *ids, struct sae_err *err)
{
    if (m->n > SHORT)
        SAE_TRY(merge_long(v, m, err));
    else if (m->n > 1)
        merge_short(v, m);
    SAE_TRY(sae_mem_grow(&ids->v, &ids->cap, ids->n + m->n, sizeof *ids->v, err));
    for (size_t i = 0; i < m->n; i++)
        ids->v[ids->n++] = m->symbols[i].id;
    m->n = 0;
    return SAE_OK;
}

/* --- 4. the word ---------------------------------------------------------------------------- */

/* Whether no merge joins what ends with letter a and what begins with letter b. Bytes without a
 * piece are left out, and then others meet. */
static bool apart(const struct sae_tok_vocab *v, uint32_t a, uint32_t b, bool was_unk)
{
    const size_t at = sae_tok_meet_at(v, a, b);
    return !v->meets_all && !was_unk && !(v->meet[at / 64] >> (at % 64) & 1U) &&
           (!v->bytes || (v->byte[a] != SAE_TOK_NONE && v->byte[b] != SAE_TOK_NONE));
}

bool sae_tok_splits(const struct sae_tok_vocab *v, const char *word, size_t n, size_t at)
{
    size_t before = at - 1;
    while (!v->bytes && before > 0 && ((unsigned char)word[before] & 0xc0U) == 0x80)
        before--;
    const size_t len = sae_tok_letter_len(v, word + at, n - at);
    const bool unk = !v->bytes && !v->fallback &&
                     sae_tok_vocab_find(v, word + before, at - before) == SAE_TOK_NONE;
    return !v->whole_first && (v->bytes || ((unsigned char)word[at] & 0xc0U) != 0x80) &&
           apart(v, sae_tok_letter_at(word + before, at - before),
                 sae_tok_letter_at(word + at, len), unk);
}

enum sae_status sae_tok_merge(const struct sae_tok_vocab *v, struct sae_tok_merging *m,
                              const char *word, size_t n, struct sae_tok_ids *ids,
                              struct sae_err *err)
{
    const uint32_t whole =
        v->whole_first && n <= v->most ? sae_tok_vocab_find(v, word, n) : SAE_TOK_NONE;
    bool was_unk = false;
    uint32_t last = 0;
    m->n = 0;
    if (whole != SAE_TOK_NONE) {
        SAE_TRY(add_symbol(m, whole, err));
        return end_run(v, m, ids, err);
    }
    for (size_t i = 0, len; i < n; i += len) {
        len = sae_tok_letter_len(v, word + i, n - i);
        const uint32_t letter = sae_tok_letter_at(word + i, len);
        if (m->n > 0 && apart(v, last, letter, was_unk))
            SAE_TRY(end_run(v, m, ids, err));
        SAE_TRY(add_letter(v, m, word + i, len, &was_unk, err));
        last = letter;
    }
    return end_run(v, m, ids, err);
}
