/* SPDX-License-Identifier: MIT */
/* A GGUF file. Mode 0: its tensors and, as a model's, its config; 1: its tokenizer and a text. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/file/gguf.h"
#include "lm/config.h"
#include "lm/tok.h"
#include "tests/fuzz/fuzz.h"

void fuzz_seeds(void)
{
    static const char *const names[] = {"blocks",   "tok_gpt2", "tok_llama3", "spm",
                                        "gpt_neox", "llama_3",  "gemma2",     "qwen2_yarn"};
    char path[80];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "tests/golden/lm_gguf/%s.gguf", names[i]);
        fuzz_seed_file(i >= 1 && i <= 3, path);
    }
}

static void read_tensors(const char *path)
{
    struct sae_err err = {0};
    struct sae_st *st = NULL;
    json_t *meta = NULL;
    if (!fuzz_ok(sae_gguf_open(&meta, &st, path, &err), &err))
        return;
    FUZZ_REQUIRE(json_is_object(meta));
    for (size_t i = 0; i < sae_st_size(st); i++) {
        const struct sae_st_tensor *const t = sae_st_at(st, i);
        FUZZ_REQUIRE(sae_st_find(st, t->name) != NULL && t->dtype != SAE_ST_OTHER && t->n > 0);
        if (t->n > 1 << 20)
            continue;
        float *const x = malloc(t->n * sizeof *x);
        if (x)
            sae_st_widen(x, t, 0, t->n);
        free(x);
    }
    json_decref(meta);
    sae_st_close(st);
}

static void read_tokenizer(const char *path)
{
    static const char text[] = "<s>the river, 42 \xC3\x9C"
                               "ber \xF0\x9F\x99\x82\n\n  x";
    struct sae_err err = {0};
    struct sae_tok_ids ids = {0};
    struct sae_str piece = {0};
    void *tok = NULL;
    if (!fuzz_ok(sae_tok_gguf.open(&tok, path, &err), &err))
        return;
    const size_t size = sae_tok_gguf.size(tok);
    for (uint32_t id = 0; id < size && id < 300; id++)
        (void)sae_tok_gguf.piece(tok, id, &piece, &err);
    if (sae_tok_encode_all(&sae_tok_gguf, tok, text, sizeof text - 1, &ids, &err) == SAE_OK)
        for (size_t i = 0; i < ids.n; i++)
            FUZZ_REQUIRE(ids.v[i] < size);
    free(ids.v);
    sae_str_clear(&piece);
    sae_tok_gguf.close(tok);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct sae_err err = {0};
    struct sae_lm_config config = {0};
    if (n < 1)
        return 0;
    const char *const path = fuzz_put("x.gguf", bytes + 1, n - 1);
    if (bytes[0] % 2 == 1) {
        read_tokenizer(path);
        return 0;
    }
    read_tensors(path);
    if (!fuzz_ok(sae_lm_config_read(&config, path, &err), &err))
        return 0;
    FUZZ_REQUIRE(config.V > 0 && config.D > 0 && config.L > 0 && config.L <= SAE_LM_LAYERS_MAX);
    FUZZ_REQUIRE(config.K > 0 && config.H % config.K == 0 && config.head_dim > 0);
    FUZZ_REQUIRE(config.bos < config.V && config.rotary <= config.head_dim);
    FUZZ_REQUIRE(config.norm_eps > 0 && config.score_scale > 0 && config.names != NULL);
    return 0;
}
