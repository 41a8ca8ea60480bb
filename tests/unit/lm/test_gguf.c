/* SPDX-License-Identifier: MIT */
/* A GGUF file with one text changed for another of its length: refused in one line that names it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lm/lm.h"
#include "lm/tok.h"

static struct sae_err g_err;

/* The golden file `name` with the first `from` after `after` replaced; new name. */
static char *spoil(const char *name, const char *after, const char *from, const char *to)
{
    const char *const root = getenv("SAE_SOURCE_ROOT");
    char path[4096], *bytes = NULL, *const copy = strdup("/tmp/lm-gguf-XXXXXX");
    size_t n = 0;
    assert_int_equal(strlen(from), strlen(to));
    (void)snprintf(path, sizeof path, "%s/tests/golden/lm_gguf/%s", root ? root : ".", name);
    assert_int_equal(sae_fs_read(&bytes, &n, path, 1 << 20, &g_err), SAE_OK);
    char *at = memmem(bytes, n, after, strlen(after));
    at = at ? memmem(at, n - (size_t)(at - bytes), from, strlen(from)) : NULL;
    if (!at)
        fail_msg("no '%s' in %s", from, name);
    memcpy(at, to, strlen(to));
    const int fd = mkstemp(copy);
    assert_true(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && close(fd) == 0);
    free(bytes);
    return copy;
}

static void check(enum sae_status st, char *path, const char *word)
{
    (void)remove(path);
    free(path);
    if (st != SAE_EFORMAT || !strstr(g_err.msg, word) || strchr(g_err.msg, '\n'))
        fail_msg("status %d: '%s' does not say '%s'", (int)st, g_err.msg, word);
}

static void refuse(const char *name, const char *after, const char *from, const char *to,
                   const char *word)
{
    struct sae_lm *model = NULL;
    char *const path = spoil(name, after, from, to);
    const enum sae_status st = sae_lm_open(&model, path, &g_err);
    assert_null(model);
    check(st, path, word);
}

static void test_models(void **state)
{
    (void)state;
    refuse("qwen3.gguf", "general.architecture", "qwen3", "qwen9",
           "'general.architecture' is \"qwen9\", expected one of gemma2, gemma3, llama, qwen2, ");
    refuse("llama_2.gguf", "llama.attention", "attention.value_length", "attention.value_lengxx",
           "'llama.attention.value_lengxx' is 8, expected no such key");
    refuse("qwen3.gguf", "qwen3.", "block_count", "block_coant", "'qwen3.block_coant' is 3, expected no such key");
    refuse("gemma2.gguf", "gemma2.", "attn_logit_softcapping", "attn_logit_softcxpping",
           "gemma2.attn_logit_softcxpping' is 2.0, expected no such key");
    refuse("qwen2_yarn.gguf", "rope.scaling.type", "yarn", "long",
           "'qwen2.rope.scaling.type' is \"long\", expected");
    refuse("llama_3.gguf", "", "blk.2.attn_q.weight", "blk.2.attn_x.weight",
           "no tensor 'blk.2.attn_q.weight'");
    refuse("llama_3.gguf", "", "rope_freqs.weight", "rope_frecs.weight",
           "tensor 'rope_frecs.weight' belongs to no Llama");
    refuse("llama_2.gguf", "", "token_embd.weight", "token_embx.weight",
           "no tensor 'token_embd.weight'");
}

static void refuse_tokens(const char *name, const char *after, const char *from, const char *to,
                          const char *word)
{
    void *tok = NULL;
    char *const path = spoil(name, after, from, to);
    const enum sae_status st = sae_tok_gguf.open(&tok, path, &g_err);
    assert_null(tok);
    check(st, path, word);
}

static void test_tokenizers(void **state)
{
    (void)state;
    refuse_tokens("tok_gpt2.gguf", "ggml.model", "gpt2", "gptx",
                  "'tokenizer.ggml.model' is gptx, expected gpt2 or llama");
    refuse_tokens("tok_gpt2.gguf", "ggml.pre", "gpt-2", "gpt-x",
                  "'tokenizer.ggml.pre' is gpt-x, expected gpt-2, llama-bpe, smollm or qwen2");
    refuse_tokens("tok_gpt2.gguf", "", "ggml.merges", "ggml.mergex", "'tokenizer.ggml.merges'");
    refuse_tokens("tok_gpt2.gguf", "", "ggml.token_type", "ggml.token_tyxx", "and 0 in");
    refuse_tokens("spm.gguf", "", "ggml.scores", "ggml.scorex", "0 elements in");
    refuse_tokens("spm.gguf", "", "<0x0A>", "<0x0B>", "'<0x0B>' is given twice");
}

static size_t put(uint8_t *to, uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
    return n_bytes;
}

static size_t put_text(uint8_t *to, const char *text, size_t n)
{
    memcpy(to + put(to, n, 8), text, n);
    return 8 + n;
}

/* A key whose value is an array of one element of `type`. */
static size_t put_list(uint8_t *to, const char *key, uint64_t type)
{
    size_t n = put_text(to, key, strlen(key));
    n += put(to + n, 9, 4);
    n += put(to + n, type, 4);
    return n + put(to + n, 1, 8);
}

/* Every cut of a piece is looked for: one of a megabyte would take hours. */
static void test_long_piece(void **state)
{
    static uint8_t file[4096];
    static char piece[513];
    char *const path = strdup("/tmp/lm-gguf-XXXXXX");
    void *tok = NULL;
    (void)state;
    memset(piece, 'x', sizeof piece);
    memcpy(file, "GGUF", 4);
    size_t n = 4;
    n += put(file + n, 3, 4);
    n += put(file + n, 0, 8);
    n += put(file + n, 4, 8);
    n += put_text(file + n, "tokenizer.ggml.model", strlen("tokenizer.ggml.model"));
    n += put(file + n, 8, 4);
    n += put_text(file + n, "llama", strlen("llama"));
    n += put_list(file + n, "tokenizer.ggml.tokens", 8);
    n += put_text(file + n, piece, sizeof piece);
    n += put_list(file + n, "tokenizer.ggml.token_type", 5);
    n += put(file + n, 1, 4);
    n += put_list(file + n, "tokenizer.ggml.scores", 6);
    n += put(file + n, 0, 4);
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, file, n) == (ssize_t)n && close(fd) == 0);
    const enum sae_status st = sae_tok_gguf.open(&tok, path, &g_err);
    assert_null(tok);
    check(st, path, "has 513 bytes, at most 512");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_models),
                                       cmocka_unit_test(test_tokenizers),
                                       cmocka_unit_test(test_long_piece)};
    return cmocka_run_group_tests_name("lm_gguf_refusals", tests, NULL, NULL);
}
