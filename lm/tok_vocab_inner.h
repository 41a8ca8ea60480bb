/* SPDX-License-Identifier: MIT */
/* tok_vocab_inner : how the tables of tok_vocab.h are looked into. */
#ifndef SAE_LM_TOK_VOCAB_INNER_H
#define SAE_LM_TOK_VOCAB_INNER_H

#include "lm/tok_vocab.h"

static inline size_t sae_tok_hash(uint32_t left, uint32_t right)
{
    const uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15U;
    return (size_t)(h ^ h >> 32);
}

/* The slot of a pair, or the free one where it would be. */
static inline struct sae_tok_pair *sae_tok_pair_at(const struct sae_tok_vocab *v, uint32_t left,
                                                   uint32_t right)
{
    size_t i = sae_tok_hash(left, right) & v->pairs_mask;
    while (v->pairs[i].left != SAE_TOK_NONE &&
           (v->pairs[i].left != left || v->pairs[i].right != right))
        i = (i + 1) & v->pairs_mask;
    return &v->pairs[i];
}

/* A letter as a number: a byte, or the bytes of a character. */
static inline uint32_t sae_tok_letter_at(const char *s, size_t n)
{
    uint32_t c = 0;
    for (size_t i = 0; i < n; i++)
        c = c << 8 | (unsigned char)s[i];
    return c;
}

static inline size_t sae_tok_letter_len(const struct sae_tok_vocab *v, const char *s, size_t n)
{
    size_t len = 1;
    while (!v->bytes && len < n && len < 4 && ((unsigned char)s[len] & 0xc0U) == 0x80)
        len++;
    return len;
}

/* The bit of two neighbouring letters in v->meet; of characters others may share it. */
static inline size_t sae_tok_meet_at(const struct sae_tok_vocab *v, uint32_t a, uint32_t b)
{
    return v->bytes ? (size_t)a << 8 | b : sae_tok_hash(a, b) & v->meet_mask;
}

#endif /* SAE_LM_TOK_VOCAB_INNER_H */
