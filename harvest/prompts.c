/* SPDX-License-Identifier: MIT */
/* prompts : vocabulary words, draws of examples, prompt texts. */
#include "harvest/prompts.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/stop.h"

enum { FEWEST_WORDS = 60 }; /* a fifth of them must still give eleven words to draw from */

static const char QUESTION[] = " has the first letter:";

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool harvest_prompts_is_word(const char *piece)
{
    piece += *piece == ' ';
    if (*piece == '\0')
        return false;
    while (is_letter(*piece))
        piece++;
    return *piece == '\0';
}

static uint8_t letter_of(const char *word)
{
    word += *word == ' ';
    return (uint8_t)(*word >= 'a' ? *word - 'a' : *word - 'A');
}

bool harvest_prompts_find(const struct sae_tok *tok, const uint32_t *ids, size_t n, uint32_t token,
                          size_t *ret_at)
{
    /* Walks back while the pieces still spell the end of the question. */
    size_t left = strlen(QUESTION);
    while (n > 0 && left > 0) {
        const char *piece = sae_tok_piece(tok, ids[n - 1]);
        const size_t len = piece != NULL ? strlen(piece) : 0;
        if (len == 0 || len > left || memcmp(QUESTION + left - len, piece, len) != 0)
            return false;
        left -= len;
        n--;
    }
    if (n == 0 || left > 0 || ids[n - 1] != token)
        return false;
    *ret_at = n - 1;
    return true;
}

/* Whether the word encodes to its own token where a prompt has it. */
static enum sae_status stands_alone(bool *ret, const struct sae_tok *tok, const char *word,
                                    uint32_t token, struct sae_err *err)
{
    struct sae_str text = {0};
    uint32_t *ids = NULL, *newline = NULL;
    size_t n = 0, n_newline = 0, at;
    enum sae_status st;
    SAE_GO(st, sae_str_printf(&text, err, "\n%s%s", word, QUESTION));
    SAE_GO(st, sae_tok_encode(tok, text.s, text.len, &ids, &n, err));
    SAE_GO(st, sae_tok_encode(tok, "\n", 1, &newline, &n_newline, err));
    *ret = harvest_prompts_find(tok, ids, n, token, &at) && at == n_newline;
done:
    free(ids);
    free(newline);
    sae_str_clear(&text);
    return st;
}

static enum sae_status collect(struct harvest_vocabulary *words, const struct sae_tok *tok,
                               bool spaced_only, struct sae_err *err)
{
    for (uint32_t id = 0; id < sae_tok_size(tok); id++) {
        const char *piece = sae_tok_piece(tok, id);
        if (piece == NULL || sae_tok_is_control(tok, id) || !harvest_prompts_is_word(piece) ||
            (spaced_only && *piece != ' '))
            continue;
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped; the word set was not written");
        bool alone = false;
        words->n_candidates++;
        SAE_TRY(stands_alone(&alone, tok, piece, id, err));
        words->n_skipped += !alone;
        if (!alone)
            continue;
        SAE_TRY(sae_mem_grow(&words->v, &words->cap, words->n + 1, sizeof *words->v, err));
        words->v[words->n++] = (struct harvest_word){piece, id, letter_of(piece)};
    }
    return SAE_OK;
}

static void shuffle(struct harvest_vocabulary *words, struct sae_rng *rng)
{
    for (size_t i = words->n; i > 1; i--) {
        const size_t j = (size_t)sae_rng_below(rng, i);
        const struct harvest_word word = words->v[i - 1];
        words->v[i - 1] = words->v[j];
        words->v[j] = word;
    }
}

enum sae_status harvest_prompts_words(struct harvest_vocabulary *ret, const struct sae_tok *tok,
                                      bool spaced_only, size_t max_words, struct sae_rng *rng,
                                      struct sae_err *err)
{
    struct harvest_vocabulary words = {0};
    enum sae_status st = collect(&words, tok, spaced_only, err);
    if (st == SAE_OK) {
        shuffle(&words, rng);
        if (max_words != 0 && words.n > max_words)
            words.n = max_words;
        words.n_train = words.n / 5 * 4 + words.n % 5 * 4 / 5; /* floor(0.8 n), exactly */
        if (words.n < FEWEST_WORDS)
            st = sae_err_set(err, SAE_EARG,
                             "%zu words of single tokens; the first-letter task "
                             "needs at least %d",
                             words.n, FEWEST_WORDS);
    }
    if (st == SAE_OK)
        *ret = words;
    else
        harvest_prompts_clear(&words);
    return st;
}

void harvest_prompts_clear(struct harvest_vocabulary *words)
{
    free(words->v);
    *words = (struct harvest_vocabulary){0};
}

static bool is_among(const size_t *examples, size_t n, size_t word)
{
    for (size_t i = 0; i < n; i++)
        if (examples[i] == word)
            return true;
    return false;
}

enum sae_status harvest_prompts_draw(size_t examples[HARVEST_EXAMPLES], size_t word, size_t first,
                                     size_t n, struct sae_rng *rng, struct sae_err *err)
{
    if (n < HARVEST_EXAMPLES + 1)
        return sae_err_set(err, SAE_EARG,
                           "%zu words to draw %d examples from; at least %d are "
                           "needed",
                           n, HARVEST_EXAMPLES, HARVEST_EXAMPLES + 1);
    for (size_t i = 0; i < HARVEST_EXAMPLES;) {
        const size_t drawn = first + (size_t)sae_rng_below(rng, n);
        /* As upstream: a draw with the word itself among the examples is thrown away whole. */
        if (drawn == word)
            i = 0;
        else if (!is_among(examples, i, drawn))
            examples[i++] = drawn;
    }
    return SAE_OK;
}

enum sae_status harvest_prompts_text(struct sae_str *to, const struct harvest_vocabulary *words,
                                     const size_t examples[HARVEST_EXAMPLES], size_t word,
                                     struct sae_err *err)
{
    for (size_t i = 0; i < HARVEST_EXAMPLES; i++) {
        const struct harvest_word *example = &words->v[examples[i]];
        SAE_TRY(
            sae_str_printf(to, err, "\n%s%s %c", example->text, QUESTION, 'A' + example->letter));
    }
    return sae_str_printf(to, err, "\n%s%s", words->v[word].text, QUESTION);
}
