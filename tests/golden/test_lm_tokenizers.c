/* SPDX-License-Identifier: MIT */
/* Every kind of tokenizer.json against Hugging Face's `tokenizers` (tests/golden/lm_tokenizers.py):
 * equal ids of mixed text.   usage: test_lm_tokenizers FOLDER */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "lm/tok.h"

static struct sae_err g_err;
static const char *folder;
static json_t *cases;

static void open_named(void **tok, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s.json", folder, name);
    if (sae_tok_bpe.open(tok, path, &g_err) != SAE_OK)
        fail_msg("%s", g_err.msg);
}

static void check(const void *tok, const char *name, size_t which, const json_t *want)
{
    const json_t *const text = json_array_get(json_object_get(cases, "texts"), which);
    struct sae_tok_ids ids = {0};
    if (sae_tok_encode_all(&sae_tok_bpe, tok, json_string_value(text), json_string_length(text),
                           &ids, &g_err) != SAE_OK)
        fail_msg("%s", g_err.msg);
    for (size_t i = 0; i < ids.n || i < json_array_size(want); i++) {
        const long id = i < ids.n ? (long)ids.v[i] : -1,
                   other = i < json_array_size(want)
                               ? (long)json_integer_value(json_array_get(want, i))
                               : -1;
        if (id != other)
            fail_msg("%s, text %zu ('%.40s'): id %zu is %ld, expected %ld", name, which,
                     json_string_value(text), i, id, other);
    }
    free(ids.v);
}

static void test_ids(void **state)
{
    const char *name;
    json_t *all, *want;
    size_t i;
    (void)state;
    assert_true(json_object_size(json_object_get(cases, "ids")) >= 25);
    json_object_foreach(json_object_get(cases, "ids"), name, all)
    {
        void *tok = NULL;
        open_named(&tok, name);
        assert_int_equal(json_array_size(all), json_array_size(json_object_get(cases, "texts")));
        json_array_foreach(all, i, want)
        {
            check(tok, name, i, want);
        }
        sae_tok_bpe.close(tok);
    }
}

/* Appends the ids of a text that comes in parts of `step` bytes more, each looked at with what was
 * not sure of those before. Returns how much text was kept at most. */
static size_t encode_parts(const void *tok, const struct sae_str *text, size_t step,
                           struct sae_tok_ids *ids)
{
    struct sae_tok_place place = {.is_first = true};
    size_t from = 0, to = 0, most = 0;
    while (to < text->len) {
        size_t used = 0;
        to = to + step < text->len ? to + step : text->len;
        while (to < text->len && ((unsigned char)text->s[to] & 0xc0U) == 0x80)
            to++;
        most = to - from > most ? to - from : most;
        place.goes_on = to < text->len;
        if (sae_tok_bpe.encode(tok, text->s + from, to - from, &place, ids, &used, &g_err) !=
            SAE_OK)
            fail_msg("%s", g_err.msg);
        from += used;
    }
    assert_int_equal(from, text->len);
    return most;
}

/* In parts of any length a text has the ids of the whole; little of it is kept, except where a
 * step sees a text's ends. */
static void test_parts(void **state)
{
    static const char *const whole[] = {"lower", "regex", "flags", "marks"};
    const json_t *const texts = json_object_get(cases, "texts");
    struct sae_str all = {0};
    const char *name;
    json_t *ids_of;
    (void)state;
    for (size_t i = 0; i < 3 * json_array_size(texts); i++) {
        const json_t *const text = json_array_get(texts, i * 7 % json_array_size(texts));
        assert_int_equal(
            sae_str_append(&all, json_string_value(text), json_string_length(text), &g_err),
            SAE_OK);
    }
    json_object_foreach(json_object_get(cases, "ids"), name, ids_of)
    {
        void *tok = NULL;
        bool is_whole = false;
        struct sae_tok_ids want = {0};
        open_named(&tok, name);
        for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
            is_whole |= strcmp(name, whole[i]) == 0;
        assert_int_equal(sae_tok_encode_all(&sae_tok_bpe, tok, all.s, all.len, &want, &g_err),
                         SAE_OK);
        for (size_t step = 1; step < all.len; step += 1 + step / 2) {
            struct sae_tok_ids have = {0};
            const size_t most = encode_parts(tok, &all, step, &have);
            if (have.n != want.n || memcmp(have.v, want.v, want.n * sizeof *want.v) != 0)
                fail_msg("%s in parts of %zu: other ids", name, step);
            if (is_whole ? most < all.len : most > step + 1200)
                fail_msg("%s in parts of %zu: %zu bytes of %zu are kept", name, step, most,
                         all.len);
            free(have.v);
        }
        free(want.v);
        sae_tok_bpe.close(tok);
    }
    sae_str_clear(&all);
}

/* Pieces joined are the text, where no normal form and no mark in front changes it. */
static void test_pieces(void **state)
{
    static const char *const exact[] = {"gpt2", "llama3", "smollm2", "gemma"};
    const json_t *const texts = json_object_get(cases, "texts");
    (void)state;
    for (size_t k = 0; k < sizeof exact / sizeof *exact; k++) {
        void *tok = NULL;
        open_named(&tok, exact[k]);
        for (size_t i = 0; i < json_array_size(texts); i++) {
            const json_t *const text = json_array_get(texts, i);
            struct sae_tok_ids ids = {0};
            struct sae_str joined = {0};
            const bool marks = strstr(json_string_value(text), "\xe2\x96\x81") != NULL;
            assert_int_equal(sae_tok_encode_all(&sae_tok_bpe, tok, json_string_value(text),
                                                json_string_length(text), &ids, &g_err),
                             SAE_OK);
            for (size_t n = 0; n < ids.n; n++)
                assert_int_equal(sae_tok_bpe.piece(tok, ids.v[n], &joined, &g_err), SAE_OK);
            assert_true((marks && k == 3) || joined.len == json_string_length(text));
            if (joined.len > 0 && !(marks && k == 3))
                assert_memory_equal(joined.s, json_string_value(text), joined.len);
            free(ids.v);
            sae_str_clear(&joined);
        }
        sae_tok_bpe.close(tok);
    }
}

/* Opens a file with one value changed. path: keys with dots. */
static enum sae_status open_changed(void **tok, const char *name, const char *path,
                                    const char *value)
{
    char file[4096], temporary[] = "/tmp/lm-tok-XXXXXX", keys[200];
    (void)snprintf(file, sizeof file, "%s/%s.json", folder, name);
    json_t *const root = json_load_file(file, 0, NULL), *at = root;
    (void)snprintf(keys, sizeof keys, "%s", path);
    char *rest = keys, *key = strtok_r(rest, ".", &rest);
    for (char *next; (next = strtok_r(rest, ".", &rest)) != NULL; key = next)
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key)) : json_object_get(at, key);
    assert_non_null(at);
    assert_int_equal(json_object_set_new(at, key, json_loads(value, JSON_DECODE_ANY, NULL)), 0);
    const int fd = mkstemp(temporary);
    assert_true(fd >= 0 && json_dumpfd(root, fd, 0) == 0);
    const enum sae_status st = sae_tok_bpe.open(tok, temporary, &g_err);
    (void)remove(temporary);
    json_decref(root);
    return st;
}

static void refuse(const char *name, const char *path, const char *value, const char *word)
{
    void *tok = NULL;
    const enum sae_status st = open_changed(&tok, name, path, value);
    if (st != SAE_EFORMAT || !strstr(g_err.msg, word))
        fail_msg("%s %s = %s: status %d, '%s' does not say '%s'", name, path, value, (int)st,
                 g_err.msg, word);
}

static void test_refused(void **state)
{
    (void)state;
    refuse("gpt2", "model.type", "\"WordPiece\"", "WordPiece");
    refuse("gpt2", "model.vocab", "{}", "model.vocab");
    refuse("gpt2", "model.vocab", "{\"a\":-1}", "out of range");
    refuse("gpt2", "model.vocab", "{\"a\":0}", "not in 'model.vocab'");
    refuse("gpt2", "model.merges", "null", "model.merges");
    refuse("gpt2", "model.merges", "[\"a\"]", "no pair");
    refuse("gpt2", "model.merges", "[\"a zzz\"]", "not in 'model.vocab'");
    refuse("gpt2", "model.dropout", "0.1", "model.dropout");
    refuse("gpt2", "model.end_of_word_suffix", "\"</w>\"", "end_of_word_suffix");
    refuse("gpt2", "model.type", "\"Unigram\"", "Unigram");
    refuse("gpt2", "normalizer", "{\"type\":\"BertNormalizer\"}", "BertNormalizer");
    refuse("gpt2", "normalizer", "{\"type\":\"Precompiled\"}", "Precompiled");
    refuse("gpt2", "normalizer",
           "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(a)\"},\"content\":\"$1\"}",
           "content with '$'");
    refuse("gpt2", "pre_tokenizer", "{\"type\":\"BertPreTokenizer\"}", "BertPreTokenizer");
    refuse("gpt2", "pre_tokenizer", "{}", "without a type");
    refuse("gpt2", "pre_tokenizer", "{\"type\":\"Sequence\",\"pretokenizers\":5}",
           "without a list of steps");
    refuse("gpt2", "truncation", "{\"max_length\":8}", "truncation");
    refuse("llama3", "pre_tokenizer.pretokenizers.0.pattern", "{\"Regex\":\"(\"}",
           "the pattern '('");
    refuse("llama3", "pre_tokenizer.pretokenizers.0.behavior", "\"Kept\"", "Kept");
    refuse("mistral", "pre_tokenizer.prepend_scheme", "\"last\"", "last");
    refuse("mistral", "added_tokens.0.content", "\"\"", "no content");
    refuse("mistral", "added_tokens.0.id", "-1", "out of range");
    refuse("mistral", "added_tokens.0.id", "4294967295", "out of range");
    refuse("mistral", "added_tokens.0.id", "4294967296", "out of range");
    refuse("mistral", "added_tokens.0.id", "9223372036854775807", "out of range");
    refuse("mistral", "added_tokens.0.id", "\"0\"", "missing or out of range");
    refuse("unknown", "model.unk_token", "null", "no piece for what");
}

/* The piece of one text that is one piece. */
static uint32_t id_of(const void *tok, const char *text)
{
    struct sae_tok_ids ids = {0};
    assert_int_equal(sae_tok_encode_all(&sae_tok_bpe, tok, text, strlen(text), &ids, &g_err),
                     SAE_OK);
    assert_int_equal(ids.n, 1);
    const uint32_t id = ids.v[0];
    free(ids.v);
    return id;
}

/* A piece of a byte-level vocabulary that holds a space itself is never met in text: the space's
 * own piece is written with the letter that stands for it. */
static void test_raw_piece(void **state)
{
    void *tok = NULL, *changed = NULL;
    (void)state;
    open_named(&tok, "gpt2");
    assert_int_equal(open_changed(&changed, "gpt2", "model.vocab. ", "499"), SAE_OK);
    assert_int_equal(id_of(changed, " "), id_of(tok, " "));
    sae_tok_bpe.close(tok);
    sae_tok_bpe.close(changed);
}

/* N bytes of `words`, again and again, give more than N / least tokens. */
static void encode_long(const void *tok, const char *words, size_t least)
{
    enum { N = 1 << 20 };
    struct sae_tok_ids ids = {0};
    char *const text = malloc(N);
    assert_non_null(text);
    for (size_t i = 0, n = strlen(words); i < N; i++)
        text[i] = words[i % n];
    assert_int_equal(sae_tok_encode_all(&sae_tok_bpe, tok, text, N, &ids, &g_err), SAE_OK);
    assert_true(ids.n > N / least && ids.n < 2 * N + 1);
    free(ids.v);
    free(text);
}

/* Neither a word without limits nor a space before each of many words takes a square of the length:
 * the latter moved what follows each time. */
static void test_long(void **state)
{
    void *tok = NULL;
    (void)state;
    open_named(&tok, "llama2");
    encode_long(tok, "the river ", 10);
    sae_tok_bpe.close(tok);
    assert_int_equal(open_changed(&tok, "gpt2", "pre_tokenizer",
                                  "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
                                  "\"individual_digits\":true},{\"type\":\"ByteLevel\","
                                  "\"add_prefix_space\":true,\"use_regex\":true}]}"),
                     SAE_OK);
    encode_long(tok, "1234567890", 1);
    sae_tok_bpe.close(tok);
}

/* Replacements that make text grow without end, and patterns that never end, are refused. */
static void test_bombs(void **state)
{
    static const char grow[] = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"e\"},"
                               "\"content\":\"%s\"}";
    char many[1025], one[1200], all[8 * 1200] = "{\"type\":\"Sequence\",\"normalizers\":[";
    char text[64] = "";
    struct sae_tok_ids ids = {0};
    void *tok = NULL;
    (void)state;
    memset(many, 'e', sizeof many);
    many[1024] = '\0';
    (void)snprintf(one, sizeof one, grow, many);
    for (size_t i = 0; i < 4; i++)
        (void)snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i > 0 ? "," : "", one);
    (void)strcat(all, "]}");
    assert_int_equal(open_changed(&tok, "gpt2", "normalizer", all), SAE_OK);
    assert_int_equal(sae_tok_encode_all(&sae_tok_bpe, tok, "e", 1, &ids, &g_err), SAE_EFORMAT);
    assert_non_null(strstr(g_err.msg, "more than 256 MiB"));
    sae_tok_bpe.close(tok);
    memset(text, 'a', 40);
    assert_int_equal(open_changed(&tok, "llama3", "pre_tokenizer.pretokenizers.0.pattern",
                                  "{\"Regex\":\"(a+)+$\"}"),
                     SAE_OK);
    (void)strcat(text, "b");
    assert_int_equal(sae_tok_encode_all(&sae_tok_bpe, tok, text, strlen(text), &ids, &g_err),
                     SAE_EFORMAT);
    assert_non_null(strstr(g_err.msg, "match limit exceeded"));
    sae_tok_bpe.close(tok);
    free(ids.v);
}

int main(int argc, char **argv)
{
    char path[4096];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),       cmocka_unit_test(test_parts),
        cmocka_unit_test(test_pieces),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_raw_piece), cmocka_unit_test(test_long),
        cmocka_unit_test(test_bombs),
    };
    folder = argc > 1 ? argv[1] : ".";
    (void)snprintf(path, sizeof path, "%s/cases.json", folder);
    cases = json_load_file(path, JSON_ALLOW_NUL, NULL);
    if (!cases)
        return 1;
    const int failed = cmocka_run_group_tests_name("lm_tokenizers", tests, NULL, NULL);
    json_decref(cases);
    return failed;
}
