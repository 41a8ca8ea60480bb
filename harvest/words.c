/* SPDX-License-Identifier: MIT */
/* words : first-letter prompts through the model. Prompts are run in batches of equal length. */
#include "harvest/words.h"

#include <string.h>

#include "harvest/origin.h"
#include "harvest/prompts.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/base/stop.h"
#include "lib/cli/progress.h"
#include "lib/file/json.h"
#include "lib/file/sets.h"

#define LOGIT_BYTES ((size_t)64 << 20) /* of the prompts whose answers are looked at together */
enum { LETTERS = 26 };

struct prompt {
    uint32_t *ids; /* BOS first */
    size_t n, at;  /* length; place of the word's token */
};

/* What comes out at one tap. */
struct out {
    float *probe, *eval; /* [n][d] */
};

struct work {
    struct harvest_tap *tap; /* the first of those below: its tokenizer and model */
    size_t n_taps;
    struct harvest_tap **taps; /* [n_taps] */
    struct out *out;           /* [n_taps] */
    const struct harvest_words_settings *set;
    struct harvest_vocabulary words;
    struct prompt *prompt;    /* [n], of one kind at a time */
    uint32_t letter[LETTERS]; /* token of " A" ... */
    bool letter_is_one[LETTERS];
    uint8_t *correct;
    uint32_t *order, *batch;
    size_t chunk;    /* prompts whose logits are formed at a time: a large head is read once for all */
    size_t *row;     /* [chunk] */
    float *logits;   /* [chunk][V] */
    struct sae_progress bar;
};

/* --- prompts ------------------------------------------------------------------------------ */

static enum sae_status find_letters(struct work *w, struct sae_err *err)
{
    for (size_t l = 0; l < LETTERS; l++) {
        const char text[2] = {' ', (char)('A' + l)};
        uint32_t *ids = NULL;
        size_t n = 0;
        SAE_TRY(sae_tok_encode(w->tap->tok, text, 2, &ids, &n, err));
        w->letter_is_one[l] = n == 1;
        w->letter[l] = n > 0 ? ids[0] : 0;
        free(ids);
        if (n != 1)
            sae_log_warn("the answer '%.2s' is %zu tokens; its words count as not answered", text,
                         n);
    }
    return SAE_OK;
}

static enum sae_status encode(struct work *w, size_t word, const char *text, size_t len,
                              struct sae_err *err)
{
    struct prompt *p = &w->prompt[word];
    uint32_t *ids = NULL;
    size_t n = 0;
    SAE_TRY(sae_tok_encode(w->tap->tok, text, len, &ids, &n, err));
    enum sae_status st;
    free(p->ids);
    p->ids = NULL;
    SAE_GO(st, sae_mem_alloc(&p->ids, n + 1, sizeof *ids, err));
    p->ids[0] = w->tap->config->bos;
    memcpy(p->ids + 1, ids, n * sizeof *ids);
    p->n = n + 1;
    if (!harvest_prompts_find(w->tap->tok, p->ids, p->n, w->words.v[word].token, &p->at))
        st = sae_err_set(err, SAE_EFORMAT,
                         "the word '%s' is not one token in its prompt, though "
                         "it is alone; this tokenizer joins across lines",
                         w->words.v[word].text);
done:
    free(ids);
    return st;
}

/* One prompt for each word of [from, n): examples from its own split, or from all words. */
static enum sae_status make_prompts(struct work *w, size_t from, bool own_split,
                                    struct sae_rng *rng, struct sae_err *err)
{
    const size_t n = w->words.n, n_train = w->words.n_train;
    struct sae_str text = {0};
    enum sae_status st = SAE_OK;
    for (size_t i = from; i < n; i++) {
        if (sae_stop_asked()) {
            st = sae_err_set(err, SAE_EINTR, "stopped; the word set was not written");
            goto done;
        }
        size_t examples[HARVEST_EXAMPLES];
        const size_t first = !own_split || i < n_train ? 0 : n_train;
        const size_t pool = !own_split ? n : i < n_train ? n_train : n - n_train;
        SAE_GO(st, harvest_prompts_draw(examples, i, first, pool, rng, err));
        text.len = 0;
        SAE_GO(st, harvest_prompts_text(&text, &w->words, examples, i, err));
        SAE_GO(st, encode(w, i, text.s, text.len, err));
    }
done:
    sae_str_clear(&text);
    return st;
}

/* --- batches ------------------------------------------------------------------------------ */

static size_t longest(const struct work *w, size_t from)
{
    size_t most = 0;
    for (size_t i = from; i < w->words.n; i++)
        most = w->prompt[i].n > most ? w->prompt[i].n : most;
    return most;
}

/* Words [from, n) by length of their prompt, else in order. */
static enum sae_status sort_by_length(struct work *w, size_t from, size_t most, struct sae_err *err)
{
    size_t *first = NULL;
    SAE_TRY(sae_mem_alloc(&first, most + 2, sizeof *first, err));
    for (size_t i = from; i < w->words.n; i++)
        first[w->prompt[i].n + 1]++;
    for (size_t l = 1; l < most + 2; l++)
        first[l] += first[l - 1];
    for (size_t i = from; i < w->words.n; i++)
        w->order[first[w->prompt[i].n]++] = (uint32_t)i;
    free(first);
    return SAE_OK;
}

static size_t largest(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

/* Whether the model goes on with the letter, after each prompt of the batch. */
static enum sae_status ask_letters(struct work *w, const uint32_t *word, size_t B, size_t T,
                                   struct sae_err *err)
{
    const size_t V = w->tap->config->V;
    for (size_t from = 0, n; from < B; from += n) {
        n = B - from < w->chunk ? B - from : w->chunk;
        for (size_t i = 0; i < n; i++)
            w->row[i] = (from + i) * T + T - 1;
        SAE_TRY(sae_lm_logits_at(w->tap->run, w->row, n, w->logits, err));
        for (size_t i = 0; i < n; i++) {
            const uint8_t letter = w->words.v[word[from + i]].letter;
            w->correct[word[from + i]] = w->letter_is_one[letter] &&
                                         largest(w->logits + i * V, V) == w->letter[letter];
        }
    }
    return SAE_OK;
}

/* The activations at the words of a batch of prompts, to each tap's probe or eval. */
static void keep_rows(const struct work *w, const uint32_t *word, size_t B, size_t T, bool probe)
{
    for (size_t k = 0; k < w->n_taps; k++) {
        const struct harvest_tap *const tap = w->taps[k];
        float *const to = probe ? w->out[k].probe : w->out[k].eval;
        for (size_t b = 0; b < B; b++)
            memcpy(to + word[b] * tap->d, tap->x + (b * T + w->prompt[word[b]].at) * tap->d,
                   tap->d * sizeof *to);
    }
}

/* The prompts of words [from, n) into each tap's probe, where they are answered too, or eval. */
static enum sae_status run_prompts(struct work *w, size_t from, bool probe, struct sae_err *err)
{
    const size_t most = longest(w, from), n = w->words.n - from;
    const size_t capacity = w->set->n_batch > most ? w->set->n_batch : most;
    SAE_TRY(harvest_tap_reserve_all(w->taps, w->n_taps, capacity, most, err));
    SAE_TRY(sort_by_length(w, from, most, err));
    free(w->batch);
    w->batch = NULL;
    SAE_TRY(sae_mem_alloc(&w->batch, capacity, sizeof *w->batch, err));
    for (size_t at = 0, B; at < n; at += B) {
        if (sae_stop_asked())
            return sae_err_set(err, SAE_EINTR, "stopped; the word set was not written");
        const uint32_t *word = w->order + at;
        const size_t T = w->prompt[word[0]].n;
        for (B = 0; at + B < n && w->prompt[word[B]].n == T && (B + 1) * T <= capacity; B++)
            memcpy(w->batch + B * T, w->prompt[word[B]].ids, T * sizeof *w->batch);
        SAE_TRY(probe ? harvest_tap_pass_all(w->taps, w->n_taps, w->batch, B, T, err)
                      : harvest_tap_rows_all(w->tap->run, w->taps, w->n_taps, w->batch, B, T, err));
        keep_rows(w, word, B, T, probe);
        if (probe)
            SAE_TRY(ask_letters(w, word, B, T, err));
        sae_progress_step(&w->bar, w->bar.done + B, NULL);
    }
    return SAE_OK;
}

/* --- the set ------------------------------------------------------------------------------ */

static size_t chunk_of(size_t V)
{
    const size_t fit = LOGIT_BYTES / (V * sizeof(float));
    return fit < 1 ? 1 : fit < 128 ? fit : 128;
}

static enum sae_status prepare(struct work *w, struct sae_rng *rng, struct sae_err *err)
{
    SAE_TRY(harvest_prompts_words(&w->words, w->tap->tok, w->set->spaced_only, w->set->max_words,
                                  rng, err));
    const size_t n = w->words.n;
    SAE_TRY(find_letters(w, err));
    SAE_TRY(sae_mem_alloc(&w->prompt, n, sizeof *w->prompt, err));
    SAE_TRY(sae_mem_alloc(&w->out, w->n_taps, sizeof *w->out, err));
    for (size_t k = 0; k < w->n_taps; k++) {
        SAE_TRY(sae_mem_alloc(&w->out[k].probe, n * w->taps[k]->d, sizeof(float), err));
        SAE_TRY(sae_mem_alloc(&w->out[k].eval, n * w->taps[k]->d, sizeof(float), err));
    }
    SAE_TRY(sae_mem_alloc(&w->correct, n, 1, err));
    SAE_TRY(sae_mem_alloc(&w->order, n, sizeof *w->order, err));
    w->chunk = chunk_of(w->tap->config->V);
    SAE_TRY(sae_mem_alloc(&w->row, w->chunk, sizeof *w->row, err));
    return sae_mem_alloc(&w->logits, w->chunk, w->tap->config->V * sizeof *w->logits, err);
}

static enum sae_status run_all(struct work *w, struct sae_err *err)
{
    struct sae_rng rng = sae_rng_make(w->set->seed, SAE_RNG_WORDS);
    SAE_TRY(prepare(w, &rng, err));
    const size_t n = w->words.n, n_train = w->words.n_train;
    sae_progress_begin(&w->bar, "words", "prompts", 0, n + (n - n_train));
    SAE_TRY(make_prompts(w, 0, true, &rng, err));
    SAE_TRY(run_prompts(w, 0, true, err));
    /* Evaluations read fresh prompts of test words only: the training words keep theirs. */
    for (size_t k = 0; k < w->n_taps; k++)
        memcpy(w->out[k].eval, w->out[k].probe, n_train * w->taps[k]->d * sizeof(float));
    SAE_TRY(make_prompts(w, n_train, false, &rng, err));
    SAE_TRY(run_prompts(w, n_train, false, err));
    sae_progress_end(&w->bar);
    return SAE_OK;
}

static void work_clear(struct work *w)
{
    for (size_t i = 0; w->prompt != NULL && i < w->words.n; i++)
        free(w->prompt[i].ids);
    free(w->prompt);
    for (size_t k = 0; w->out != NULL && k < w->n_taps; k++) {
        free(w->out[k].probe);
        free(w->out[k].eval);
    }
    free(w->out);
    free(w->correct);
    free(w->order);
    free(w->batch);
    free(w->row);
    free(w->logits);
    harvest_prompts_clear(&w->words);
}

static void add_lengths(const struct work *w, size_t from, struct harvest_words_size *to)
{
    to->n_prompts += w->words.n - from;
    for (size_t i = from; i < w->words.n; i++) {
        to->n_tokens += w->prompt[i].n;
        to->longest = w->prompt[i].n > to->longest ? w->prompt[i].n : to->longest;
    }
}

enum sae_status harvest_words_measure(struct harvest_tap *tap,
                                      const struct harvest_words_settings *settings,
                                      struct harvest_words_size *ret, struct sae_err *err)
{
    struct work w = {.tap = tap, .set = settings}; /* no taps: nothing comes out */
    struct sae_rng rng = sae_rng_make(settings->seed, SAE_RNG_WORDS);
    struct harvest_words_size size = {.chunk = chunk_of(tap->config->V)};
    enum sae_status st;
    SAE_GO(st, prepare(&w, &rng, err));
    SAE_GO(st, make_prompts(&w, 0, true, &rng, err));
    add_lengths(&w, 0, &size);
    size.n_words = w.words.n;
    SAE_GO(st, make_prompts(&w, w.words.n_train, false, &rng, err));
    add_lengths(&w, w.words.n_train, &size);
    *ret = size;
done:
    work_clear(&w);
    return st;
}

static json_t *totals_of(const struct harvest_words_totals *t, const struct work *w)
{
    size_t count[LETTERS] = {0};
    for (size_t i = 0; i < w->words.n; i++)
        count[w->words.v[i].letter]++;
    json_t *letters = json_object();
    for (size_t l = 0; l < LETTERS; l++) {
        const char name[2] = {(char)('a' + l), '\0'};
        json_object_set_new(letters, name, json_integer((json_int_t)count[l]));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "words", (json_int_t)t->n, "train",
                     (json_int_t)t->n_train, "test", (json_int_t)t->n_test, "candidates",
                     (json_int_t)t->n_candidates, "skipped", (json_int_t)t->n_skipped, "correct",
                     (json_int_t)t->n_correct, "letters", letters);
}

static enum sae_status fill_words(struct sae_words *to, const struct work *w, size_t d,
                                  struct sae_err *err)
{
    const size_t n = w->words.n;
    SAE_TRY(sae_mem_alloc(&to->words, n, sizeof *to->words, err));
    to->n = n;
    to->d = d;
    SAE_TRY(sae_mem_alloc(&to->token, n, sizeof *to->token, err));
    SAE_TRY(sae_mem_alloc(&to->letter, n, 1, err));
    SAE_TRY(sae_mem_alloc(&to->split, n, 1, err));
    for (size_t i = 0; i < n; i++) {
        SAE_TRY(sae_mem_strdup(&to->words[i], w->words.v[i].text, err));
        to->token[i] = w->words.v[i].token;
        to->letter[i] = w->words.v[i].letter;
        to->split[i] = i >= w->words.n_train;
    }
    return SAE_OK;
}

static enum sae_status save(struct work *w, size_t tap, const char *path, const json_t *record,
                            struct harvest_words_totals *totals, struct sae_err *err)
{
    struct sae_words words = {0};
    json_t *with_totals = json_copy((json_t *)record);
    enum sae_status st;
    *totals = (struct harvest_words_totals){.n = w->words.n,
                                            .n_train = w->words.n_train,
                                            .n_test = w->words.n - w->words.n_train,
                                            .n_candidates = w->words.n_candidates,
                                            .n_skipped = w->words.n_skipped};
    for (size_t i = 0; i < w->words.n; i++)
        totals->n_correct += w->correct[i];
    if (json_object_set_new(with_totals, "totals", totals_of(totals, w)) != 0) {
        st = sae_err_set(err, SAE_ENOMEM, "out of memory (record)");
        goto done;
    }
    SAE_GO(st, fill_words(&words, w, w->taps[tap]->d, err));
    words.correct = w->correct;
    words.probe = w->out[tap].probe;
    words.eval = w->out[tap].eval;
    st = sae_words_save(path, &words, with_totals, w->set->force, err);
    words.correct = NULL; /* still w's */
    words.probe = words.eval = NULL;
done:
    sae_words_clear(&words);
    json_decref(with_totals);
    return st;
}

static enum sae_status find_made(const char *path, const json_t *record, bool force,
                                 struct harvest_words_totals *ret, struct sae_err *err)
{
    if (force || !sae_fs_is_file(path))
        return SAE_OK;
    json_t *old = NULL;
    SAE_TRY(harvest_origin_read(&old, path, err));
    const enum sae_status st = harvest_origin_check(old, record, path, err);
    if (st == SAE_OK)
        *ret = (struct harvest_words_totals){
            .n = (size_t)sae_json_u64(old, "totals.words", 0),
            .n_train = (size_t)sae_json_u64(old, "totals.train", 0),
            .n_test = (size_t)sae_json_u64(old, "totals.test", 0),
            .n_candidates = (size_t)sae_json_u64(old, "totals.candidates", 0),
            .n_skipped = (size_t)sae_json_u64(old, "totals.skipped", 0),
            .n_correct = (size_t)sae_json_u64(old, "totals.correct", 0),
            .found = true,
        };
    json_decref(old);
    return st;
}

/* Which sets are not there yet; the others' totals. */
static enum sae_status find_all(struct work *w, char **paths, const struct harvest_target *targets,
                                size_t n, struct harvest_words_totals *totals, struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(&w->taps, n, sizeof(struct harvest_tap *), err));
    for (size_t i = 0; i < n; i++) {
        SAE_TRY(sae_fs_join(&paths[i], targets[i].dir, "words.h5", err));
        SAE_TRY(sae_fs_make_dirs(targets[i].dir, err));
        SAE_TRY(find_made(paths[i], targets[i].record, w->set->force, &totals[i], err));
        if (!totals[i].found)
            w->taps[w->n_taps++] = targets[i].tap;
    }
    w->tap = w->taps[0];
    return SAE_OK;
}

enum sae_status harvest_words_write(const struct harvest_target *targets, size_t n,
                                    const struct harvest_words_settings *settings,
                                    struct harvest_words_totals *ret, struct sae_err *err)
{
    struct work w = {.set = settings};
    char **paths = NULL;
    enum sae_status st;
    memset(ret, 0, n * sizeof *ret);
    SAE_GO(st, sae_mem_alloc(&paths, n, sizeof *paths, err));
    SAE_GO(st, find_all(&w, paths, targets, n, ret, err));
    if (w.n_taps > 0)
        SAE_GO(st, run_all(&w, err));
    for (size_t i = 0, k = 0; i < n; i++) {
        if (ret[i].found)
            continue;
        SAE_GO(st, harvest_tap_check_lock(targets[i].tap, err));
        SAE_GO(st, save(&w, k++, paths[i], targets[i].record, &ret[i], err));
    }
done:
    work_clear(&w);
    free(w.taps);
    for (size_t i = 0; paths != NULL && i < n; i++)
        free(paths[i]);
    free(paths);
    return st;
}
