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
    if (sae_tok_bpe.encode(tok, json_string_value(text), json_string_length(text), &ids, &g_err) !=
        SAE_OK)
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
    assert_true(json_object_size(json_object_get(cases, "ids")) >= 11);
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
            assert_int_equal(sae_tok_bpe.encode(tok, json_string_value(text),
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

/* A file with one value changed is refused by name. path: keys with dots. */
static void refuse(const char *name, const char *path, const char *value, const char *word)
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
    void *tok = NULL;
    const enum sae_status st = sae_tok_bpe.open(&tok, temporary, &g_err);
    (void)remove(temporary);
    json_decref(root);
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
    refuse("gpt2", "normalizer", "{\"type\":\"Lowercase\"}", "Lowercase");
    refuse("gpt2", "normalizer",
           "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"b\"}",
           "Replace by a pattern");
    refuse("gpt2", "pre_tokenizer", "{\"type\":\"BertPreTokenizer\"}", "BertPreTokenizer");
    refuse("gpt2", "pre_tokenizer", "{}", "without a type");
    refuse("gpt2", "truncation", "{\"max_length\":8}", "truncation");
    refuse("llama3", "pre_tokenizer.pretokenizers.0.pattern", "{\"Regex\":\"(\"}",
           "the pattern '('");
    refuse("llama3", "pre_tokenizer.pretokenizers.0.behavior", "\"Removed\"", "Removed");
    refuse("llama3", "pre_tokenizer.pretokenizers.0.invert", "true", "inverted");
    refuse("mistral", "pre_tokenizer.prepend_scheme", "\"last\"", "last");
    refuse("mistral", "added_tokens.0.lstrip", "true", "lstrip");
    refuse("mistral", "added_tokens.0.content", "\"\"", "no content");
    refuse("unknown", "model.unk_token", "null", "no piece for what");
}

/* A word without limits takes no square of its length. */
static void test_long(void **state)
{
    enum { N = 1 << 20 };
    (void)state;
    char *const text = malloc(N);
    assert_non_null(text);
    for (size_t i = 0; i < N; i++)
        text[i] = "the river "[i % 10];
    void *tok = NULL;
    struct sae_tok_ids ids = {0};
    open_named(&tok, "llama2");
    assert_int_equal(sae_tok_bpe.encode(tok, text, N, &ids, &g_err), SAE_OK);
    assert_true(ids.n > N / 10 && ids.n < N);
    sae_tok_bpe.close(tok);
    free(ids.v);
    free(text);
}

int main(int argc, char **argv)
{
    char path[4096];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long),
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
