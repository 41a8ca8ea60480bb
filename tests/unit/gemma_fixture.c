/* SPDX-License-Identifier: MIT */
/* gemma_fixture : see the header. */
#include "tests/unit/gemma_fixture.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"

const uint32_t fix_tokens[FIX_B * FIX_T] = {2, 8, 18, 42, 16, 4,  6,  22, 52, 32, 26, 34,
                                            2, 4, 20, 46, 18, 64, 56, 58, 6,  28, 60, 38};

const char fix_config[] =
    "{\"model_type\": \"gemma2\", \"vocab_size\": 67, \"hidden_size\": 32,"
    " \"intermediate_size\": 48, \"num_hidden_layers\": 4, \"num_attention_heads\": 4,"
    " \"num_key_value_heads\": 2, \"head_dim\": 16, \"query_pre_attn_scalar\": 24,"
    " \"attn_logit_softcapping\": 2.0, \"final_logit_softcapping\": 3.0, \"sliding_window\": 5,"
    " \"rope_theta\": 10000.0, \"rms_norm_eps\": 1e-6, \"max_position_embeddings\": 64,"
    " \"hidden_activation\": \"gelu_pytorch_tanh\", \"bos_token_id\": 2, \"eos_token_id\": [1, 5],"
    " \"pad_token_id\": 0}";

static uint64_t splitmix64(uint64_t x)
{
    x += 0x9E3779B97F4A7C15U;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27) * 0x94D049BB133111EBU;
    return x ^ x >> 31;
}

static struct part {
    const char *name;
    size_t rows, cols;
    float scale;
} const parts[] = {
    {"input_layernorm",            32, 0,  0.5F },
    {"self_attn.q_proj",           64, 32, 0.25F},
    {"self_attn.k_proj",           32, 32, 0.25F},
    {"self_attn.v_proj",           32, 32, 0.25F},
    {"self_attn.o_proj",           32, 64, 0.25F},
    {"post_attention_layernorm",   32, 0,  0.5F },
    {"pre_feedforward_layernorm",  32, 0,  0.5F },
    {"mlp.gate_proj",              48, 32, 0.25F},
    {"mlp.up_proj",                48, 32, 0.25F},
    {"mlp.down_proj",              32, 48, 0.25F},
    {"post_feedforward_layernorm", 32, 0,  0.5F },
};
enum { N_PARTS = sizeof parts / sizeof parts[0], NAME_LEN = 100 };

static void fill(struct sae_st_item *item, const struct fix_form *form, size_t t,
                 const char *name, const struct part *part)
{
    char *full = malloc(NAME_LEN);
    assert_non_null(full);
    (void)snprintf(full, NAME_LEN, "%s%s.weight", form->no_prefix ? "" : "model.", name);
    const size_t n = part->rows * (part->cols == 0 ? 1 : part->cols);
    float *data = malloc(n * sizeof *data);
    assert_non_null(data);
    for (size_t i = 0; i < n; i++) {
        const uint64_t u = splitmix64(((uint64_t)t << 32) + i) >> 40;
        data[i] = ((float)u / 8388608.0F - 1.0F) * part->scale;
    }
    *item = (struct sae_st_item){
        .name = full,
        .dtype = form->dtype,
        .rank = part->cols == 0 ? 1 : 2,
        .shape = {part->rows, part->cols},
        .data = data
    };
}

struct sae_st_item *fix_items(const struct fix_form *form)
{
    static const struct part embed = {"embed_tokens", FIX_V, FIX_D, 0.25F};
    static const struct part norm = {"norm", FIX_D, 0, 0.5F};
    struct sae_st_item *items = calloc(FIX_N, sizeof *items);
    assert_non_null(items);
    size_t t = 0;
    fill(&items[t], form, t, embed.name, &embed);
    t++;
    for (size_t layer = 0; layer < FIX_L; layer++)
        for (size_t p = 0; p < N_PARTS; p++, t++) {
            char name[NAME_LEN / 2];
            (void)snprintf(name, sizeof name, "layers.%zu.%s", layer, parts[p].name);
            fill(&items[t], form, t, name, &parts[p]);
        }
    fill(&items[t], form, t, norm.name, &norm);
    assert_int_equal(t, FIX_N - 1);
    return items;
}

void fix_items_free(struct sae_st_item *items)
{
    for (size_t i = 0; i < FIX_N; i++) {
        free((void *)(uintptr_t)items[i].name);
        free((void *)(uintptr_t)items[i].data);
    }
    free(items);
}

char *fix_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    char *name = malloc(300);
    assert_non_null(name);
    (void)snprintf(name, 300, "%s/gemma-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(name));
    return name;
}

void fix_remove(char *folder)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[700];
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        (void)unlink(path);
    }
    (void)closedir(dir);
    assert_int_equal(rmdir(folder), 0);
    free(folder);
}

void fix_write_text(const char *folder, const char *name, const char *text)
{
    char path[700];
    struct sae_err err;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(sae_fs_write(path, text, strlen(text), &err), SAE_OK);
}

void fix_write(const char *folder, const struct fix_form *form)
{
    struct sae_err err = {0};
    struct sae_st_item all[FIX_N + 1], *items = fix_items(form);
    float head[FIX_V * FIX_D];
    for (size_t i = 0; i < FIX_V * FIX_D; i++)
        head[i] = form->head * items[0].data[i];
    memcpy(all, items, FIX_N * sizeof *all);
    all[FIX_N] = items[0];
    all[FIX_N].name = "lm_head.weight";
    all[FIX_N].data = head;
    fix_write_text(folder, "config.json", form->config == NULL ? fix_config : form->config);
    if (sae_st_write_folder(folder, all, FIX_N + (form->head != 0),
                            form->n_shards, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    fix_items_free(items);
}
