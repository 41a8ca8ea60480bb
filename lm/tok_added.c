/* SPDX-License-Identifier: MIT */
/* tok_added : see the header.
 *
 * Contents:  1. reading   2. finding */
#include "lm/tok_added.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

struct sae_tok_added_one {
    uint32_t id;
    char *text;
    size_t len;
    bool normalised, single, left, right;
    size_t next; /* of the same first byte; SIZE_MAX: none */
};

/* --- 1. reading ----------------------------------------------------------------------------- */

/* Content and id of one, and its piece. */
static enum sae_status name_one(struct sae_tok_added_one *a, const json_t *value, const char *text,
                                struct sae_tok_vocab *vocab, struct sae_err *err)
{
    const json_t *const number = json_object_get(value, "id");
    const json_int_t id = json_is_integer(number) ? json_integer_value(number) : -1;
    if (id < 0 || id >= (json_int_t)vocab->n)
        return sae_err_set(err, SAE_EFORMAT,
                           "'id' of added token '%.60s' is missing or out of range", text);
    a->id = (uint32_t)id;
    a->normalised = json_is_true(json_object_get(value, "normalized"));
    a->single = json_is_true(json_object_get(value, "single_word"));
    a->left = json_is_true(json_object_get(value, "lstrip"));
    a->right = json_is_true(json_object_get(value, "rstrip"));
    if (sae_tok_vocab_find(vocab, text, strlen(text)) != a->id)
        SAE_TRY(sae_tok_vocab_set(vocab, id, text, err));
    vocab->control[id] = json_is_true(json_object_get(value, "special"));
    return SAE_OK;
}

/* The text that is looked for. */
static enum sae_status spell_one(struct sae_tok_added_one *a, const char *text,
                                 const struct sae_tok_steps *steps, struct sae_err *err)
{
    struct sae_str form = {0};
    enum sae_status st = sae_str_append(&form, text, strlen(text), err);
    if (st == SAE_OK && a->normalised)
        st = sae_tok_steps_normalise(steps, &form, false, err);
    a->text = form.s; /* freed as such from here on */
    a->len = form.len;
    if (st == SAE_OK && a->len == 0)
        st = sae_err_set(err, SAE_EFORMAT, "added token '%.60s' is normalised to nothing", text);
    return st;
}

enum sae_status sae_tok_added_read(struct sae_tok_added *added, const json_t *list,
                                   const struct sae_tok_steps *steps, struct sae_tok_vocab *vocab,
                                   struct sae_err *err)
{
    size_t i;
    json_t *value;
    memset(added->first, 0xff, sizeof added->first);
    added->in_parts = true;
    SAE_TRY(sae_mem_alloc(&added->v, json_array_size(list), sizeof *added->v, err));
    json_array_foreach(list, i, value)
    {
        struct sae_tok_added_one *const a = &added->v[i];
        const char *const text = json_string_value(json_object_get(value, "content"));
        if (!text || !*text)
            return sae_err_set(err, SAE_EFORMAT, "added token %zu has no content", i);
        SAE_TRY(name_one(a, value, text, vocab, err));
        added->n++;
        SAE_TRY(spell_one(a, text, steps, err));
        size_t *const first = &added->first[a->normalised][(unsigned char)a->text[0]],
                      *const most = &added->most[a->normalised];
        a->next = *first;
        *first = i;
        *most = a->len > *most ? a->len : *most;
        added->in_parts &= !a->single; /* it looks at what is before it */
    }
    return SAE_OK;
}

void sae_tok_added_close(struct sae_tok_added *added)
{
    for (size_t i = 0; i < added->n; i++)
        free(added->v[i].text);
    free(added->v);
}

/* --- 2. finding ----------------------------------------------------------------------------- */

static const struct sae_tok_added_one *longest_at(const struct sae_tok_added *added,
                                                  bool normalised, const char *s, size_t n)
{
    const struct sae_tok_added_one *best = NULL;
    for (size_t i = added->first[normalised][(unsigned char)*s]; i != SIZE_MAX;
         i = added->v[i].next) {
        const struct sae_tok_added_one *const a = &added->v[i];
        if (a->len <= n && (!best || a->len > best->len) && memcmp(a->text, s, a->len) == 0)
            best = a;
    }
    return best;
}

static size_t before(const char *s, size_t at)
{
    do
        at--;
    while (at > 0 && ((unsigned char)s[at] & 0xc0U) == 0x80);
    return at;
}

static bool is_single(const struct sae_tok_finding *f, size_t from, size_t to)
{
    const size_t last = from > 0 ? before(f->s, from) : 0;
    return (from == 0 || sae_tok_letter(f->s + last, from - last) == 0) &&
           (to == f->n || sae_tok_letter(f->s + to, f->n - to) == 0);
}

static size_t take_left(const struct sae_tok_finding *f, size_t from)
{
    while (from > f->done) {
        const size_t last = before(f->s, from);
        if (last < f->done || sae_tok_space(f->s + last, from - last) == 0)
            break;
        from = last;
    }
    return from;
}

static size_t take_right(const struct sae_tok_finding *f, size_t to)
{
    for (size_t len; (len = sae_tok_space(f->s + to, f->n - to)) > 0;)
        to += len;
    return to;
}

bool sae_tok_added_next(const struct sae_tok_added *added, struct sae_tok_finding *f, size_t *from,
                        uint32_t *id)
{
    const size_t *const first = added->first[f->normalised];
    const size_t most = added->most[f->normalised], stop = !f->goes_on   ? f->n
                                                           : f->n > most ? f->n - most
                                                                         : 0;
    while (f->at < stop) {
        const struct sae_tok_added_one *const a =
            first[(unsigned char)f->s[f->at]] == SIZE_MAX
                ? NULL
                : longest_at(added, f->normalised, f->s + f->at, f->n - f->at);
        if (!a) {
            f->at++;
            continue;
        }
        const size_t begin = f->at, end = begin + a->len;
        if (a->single && !is_single(f, begin, end)) {
            f->at = end;
            continue;
        }
        const size_t to = a->right ? take_right(f, end) : end;
        if (a->right && f->goes_on && to == f->n)
            break; /* more spaces may follow */
        *from = a->left ? take_left(f, begin) : begin;
        *from = *from > f->done ? *from : f->done;
        *id = a->id;
        f->at = end;
        f->done = to;
        return true;
    }
    f->sure = f->at;
    return false;
}
