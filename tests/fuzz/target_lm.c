/* SPDX-License-Identifier: MIT */
/* A language model's config.json; tokenizer.model (mode 1) and tokenizer.json (mode 2) with a text
 * to encode. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lm/config.h"
#include "lm/spm.h"
#include "lm/tok.h"
#include "tests/fuzz/fuzz.h"

void fuzz_seeds(void)
{
    static const char *const families[] = {"gemma3", "gpt2", "gpt_neox", "llama_3", "qwen2_yarn"};
    static const char *const tokenizers[] = {"gpt2", "llama3", "neox", "mistral", "unknown"};
    char name[80];
    fuzz_seed_file(0, "data/tiny-g2/config.json");
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        (void)snprintf(name, sizeof name, "tests/golden/lm/%s/config.json", families[i]);
        fuzz_seed_file(0, name);
        (void)snprintf(name, sizeof name, "tests/golden/lm_tok/%s.json", tokenizers[i]);
        fuzz_seed_file(2, name);
    }
    /* The head of a tokenizer: whole ones are too long to mutate well. */
    size_t n;
    uint8_t *const tokenizer = fuzz_read_source("data/tiny-g2/tokenizer.model", &n);
    uint8_t *const seed = malloc(n + 1);
    if (seed == NULL)
        abort();
    seed[0] = 1;
    memcpy(seed + 1, tokenizer, n);
    fuzz_seed(seed, n + 1);
    fuzz_seed(seed, n < 2000 ? n : 2000);
    free(seed);
    free(tokenizer);
    fuzz_seed_text(0,
                   "{\"architectures\":[\"Gemma2ForCausalLM\"],\"model_type\":\"gemma2\","
                   "\"vocab_size\":256000,\"hidden_size\":2304,\"intermediate_size\":9216,"
                   "\"num_hidden_layers\":26,\"num_attention_heads\":8,"
                   "\"num_key_value_heads\":4,\"head_dim\":256,\"sliding_window\":4096,"
                   "\"max_position_embeddings\":8192,\"bos_token_id\":2,\"eos_token_id\":[1,107],"
                   "\"pad_token_id\":0,\"rms_norm_eps\":1e-06,\"rope_theta\":10000.0,"
                   "\"query_pre_attn_scalar\":256,\"attn_logit_softcapping\":50.0,"
                   "\"final_logit_softcapping\":30.0,\"hidden_activation\":"
                   "\"gelu_pytorch_tanh\",\"tie_word_embeddings\":true}");
}

static void read_tokenizer(const uint8_t *bytes, size_t n)
{
    static const char text[] = "the river, 42 \xC3\x9C"
                               "ber \xF0\x9F\x99\x82\n\n  x";
    char why[200];
    size_t n_ids = 0, cap = 0;
    int *ids = NULL;
    struct sae_spm *const spm = sae_spm_load((const char *)bytes, n, why, sizeof why);
    if (spm == NULL) {
        FUZZ_REQUIRE(why[0] != '\0');
        return;
    }
    const int size = sae_spm_size(spm);
    for (int id = 0; id < size && id < 300; id++) {
        size_t len;
        FUZZ_REQUIRE(sae_spm_piece(spm, id, &len) != NULL);
        (void)sae_spm_is_control(spm, id);
    }
    if (sae_spm_encode(spm, text, sizeof text - 1, &ids, &n_ids, &cap))
        for (size_t i = 0; i < n_ids; i++)
            FUZZ_REQUIRE(ids[i] >= 0 && ids[i] < size);
    free(ids);
    sae_spm_close(spm);
}

static void read_json(const uint8_t *bytes, size_t n)
{
    static const char text[] = "<s>the river, 42 \xC3\x9C"
                               "ber \xF0\x9F\x99\x82\n\n  x";
    char path[400];
    struct sae_err err = {0};
    struct sae_tok_ids ids = {0};
    struct sae_str piece = {0};
    void *tok = NULL;
    fuzz_put("tokenizer.json", bytes, n);
    (void)snprintf(path, sizeof path, "%s/tokenizer.json", fuzz_folder());
    if (!fuzz_ok(sae_tok_bpe.open(&tok, path, &err), &err))
        return;
    const size_t size = sae_tok_bpe.size(tok);
    for (uint32_t id = 0; id < size && id < 300; id++)
        (void)sae_tok_bpe.piece(tok, id, &piece, &err);
    if (sae_tok_encode_all(&sae_tok_bpe, tok, text, sizeof text - 1, &ids, &err) == SAE_OK)
        for (size_t i = 0; i < ids.n; i++)
            FUZZ_REQUIRE(ids.v[i] < size);
    free(ids.v);
    sae_str_clear(&piece);
    sae_tok_bpe.close(tok);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct sae_err err = {0};
    struct sae_lm_config config = {0};
    if (n < 1)
        return 0;
    if (bytes[0] % 3 > 0) {
        (bytes[0] % 3 == 1 ? read_tokenizer : read_json)(bytes + 1, n - 1);
        return 0;
    }
    fuzz_put("config.json", bytes + 1, n - 1);
    if (!fuzz_ok(sae_lm_config_read(&config, fuzz_folder(), &err), &err))
        return 0;
    FUZZ_REQUIRE(config.V > 0 && config.D > 0 && config.F > 0 && config.L > 0 && config.L <= 256);
    FUZZ_REQUIRE(config.K > 0 && config.H % config.K == 0 && config.head_dim > 0);
    FUZZ_REQUIRE(config.bos < config.V && config.max_context > 0 && config.window > 0);
    FUZZ_REQUIRE(config.norm_eps > 0 && config.score_scale > 0 && config.embed_scale > 0);
    FUZZ_REQUIRE(config.rotary <= config.head_dim && config.rotary % 2 == 0);
    FUZZ_REQUIRE(config.rotary == 0 || (config.rope[0].theta > 0 && config.rope[1].theta > 0));
    FUZZ_REQUIRE(config.learned_positions == (config.rotary == 0));
    FUZZ_REQUIRE(config.eos < config.V || config.eos == 1);
    return 0;
}
