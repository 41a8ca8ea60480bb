/* SPDX-License-Identifier: MIT */
/* made_lm : see the header. */
#include "tests/bench/made_lm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/file/st.h"
#include "tests/bench/bench.h"

enum { PARTS = 11, NAME_LEN = 80 };

const struct made_lm_widths made_lm_gemma_2_2b = {256000, 2304, 9216, 8, 4, 256, 4096, 8192},
                            made_lm_narrow = {512, 64, 128, 4, 2, 16, 8, 64};

static char made[4096]; /* the folder */

static void remove_made(void)
{
    static const char *const files[] = {"config.json", "model.safetensors"};
    char path[sizeof made + 32];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", made, files[i]);
        unlink(path);
    }
    rmdir(made);
}

static void write_config(const struct made_lm_widths *w, size_t L)
{
    char text[1024], path[sizeof made + 32];
    struct sae_err err = {0};
    snprintf(text, sizeof text,
             "{\"model_type\": \"gemma2\", \"vocab_size\": %zu, \"hidden_size\": %zu,"
             " \"intermediate_size\": %zu, \"num_hidden_layers\": %zu,"
             " \"num_attention_heads\": %zu, \"num_key_value_heads\": %zu, \"head_dim\": %zu,"
             " \"query_pre_attn_scalar\": %zu, \"attn_logit_softcapping\": 50.0,"
             " \"final_logit_softcapping\": 30.0, \"sliding_window\": %zu,"
             " \"rope_theta\": 10000.0, \"rms_norm_eps\": 1e-6,"
             " \"max_position_embeddings\": %zu, \"hidden_activation\": \"gelu_pytorch_tanh\","
             " \"bos_token_id\": 2, \"eos_token_id\": 1, \"pad_token_id\": 0}",
             w->V, w->D, w->F, L, w->H, w->K, w->d, w->d, w->window, w->context);
    snprintf(path, sizeof path, "%s/config.json", made);
    need(sae_fs_write(path, text, strlen(text), &err), &err);
}

/* Uniform, of the deviation that models start with: 0.02. */
static void fill(float *to, size_t n)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++)
        to[i] = 0.07F * ((float)(sae_rng_at(7, SAE_RNG_TEST, i) >> 40) / (float)(1 << 24) - 0.5F);
}

/* All tensors read the same numbers, each from one element further on. */
static void write_weights(const struct made_lm_widths *w, size_t L)
{
    const size_t D = w->D, F = w->F, q = w->H * w->d, kv = w->K * w->d, n = L * PARTS + 2;
    const struct {
        const char *name;
        size_t rows, cols;
    } parts[PARTS] = {
        {"input_layernorm",            D,  0},
        {"self_attn.q_proj",           q,  D},
        {"self_attn.k_proj",           kv, D},
        {"self_attn.v_proj",           kv, D},
        {"self_attn.o_proj",           D,  q},
        {"post_attention_layernorm",   D,  0},
        {"pre_feedforward_layernorm",  D,  0},
        {"mlp.gate_proj",              F,  D},
        {"mlp.up_proj",                F,  D},
        {"mlp.down_proj",              D,  F},
        {"post_feedforward_layernorm", D,  0},
    };
    const size_t largest = (w->V > F ? w->V : F) * D;
    struct sae_err err = {0};
    struct sae_st_item *items = NULL;
    char *names = NULL;
    float *numbers = NULL;
    need(sae_mem_alloc(&items, n, sizeof *items, &err), &err);
    need(sae_mem_alloc(&names, n, NAME_LEN, &err), &err);
    need(sae_mem_alloc(&numbers, largest + n, sizeof *numbers, &err), &err);
    fill(numbers, largest + n);
    for (size_t t = 0; t < n; t++) {
        char *const name = names + t * NAME_LEN;
        const size_t part = t % PARTS;
        if (t < L * PARTS)
            snprintf(name, NAME_LEN, "model.layers.%zu.%s.weight", t / PARTS, parts[part].name);
        else
            snprintf(name, NAME_LEN, "model.%s.weight", t == L * PARTS ? "embed_tokens" : "norm");
        const size_t rows = t < L * PARTS ? parts[part].rows : t == L * PARTS ? w->V : D;
        const size_t cols = t < L * PARTS ? parts[part].cols : t == L * PARTS ? D : 0;
        items[t] = (struct sae_st_item){
            .name = name,
            .dtype = SAE_ST_BF16,
            .rank = cols > 0 ? 2 : 1,
            .shape = {rows, cols},
            .data = numbers + t
        };
    }
    need(sae_st_write_folder(made, items, n, 1, &err), &err);
    free(items);
    free(names);
    free(numbers);
}

const char *made_lm(const struct made_lm_widths *w, size_t L)
{
    const char *const tmp = getenv("TMPDIR");
    const double since = now();
    snprintf(made, sizeof made, "%s/bench_lm_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(made)) {
        fprintf(stderr, "no folder '%s' can be made\n", made);
        exit(1);
    }
    atexit(remove_made);
    write_config(w, L);
    write_weights(w, L);
    fprintf(stderr, "made_lm: wrote %zu layers in %.1f s\n", L, now() - since);
    return made;
}
