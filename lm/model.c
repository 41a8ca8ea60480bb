/* SPDX-License-Identifier: MIT */
/* model : opens a folder, finds every tensor, checks its shape against the config. */
#include "lm/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lm/config.h"
#include "lm/device.h"

/* Up to this many bytes of f32 a model is converted once, when opened. */
#define COPY_MAX ((size_t)512 << 20)
enum { NAME_LEN = 160, SHAPE_LEN = 200 };

/* --- finding tensors ------------------------------------------------------------------------ */

static void show_shape(char text[SHAPE_LEN], const size_t *shape, size_t rank)
{
    size_t at = (size_t)snprintf(text, SHAPE_LEN, "[");
    for (size_t i = 0; i < rank && at < SHAPE_LEN - 24; i++)
        at += (size_t)snprintf(text + at, SHAPE_LEN - at, "%s%zu", i == 0 ? "" : ", ", shape[i]);
    (void)snprintf(text + at, SHAPE_LEN - at, "]");
}

/* The tensor `name`, of shape [rows][cols], or [rows] where cols is 0. */
static enum sae_status find(const struct sae_st_tensor **ret, const struct sae_st *st,
                            const char *name, size_t rows, size_t cols, struct sae_err *err)
{
    const struct sae_st_tensor *t = sae_st_find(st, name);
    if (t == NULL)
        return sae_err_set(err, SAE_EFORMAT, "no tensor '%s' among the %zu of the model", name,
                           sae_st_size(st));
    const size_t want[2] = {rows, cols}, rank = cols == 0 ? 1 : 2;
    if (t->rank != rank || memcmp(t->shape, want, rank * sizeof want[0]) != 0) {
        char found[SHAPE_LEN], expected[SHAPE_LEN];
        show_shape(found, t->shape, t->rank);
        show_shape(expected, want, rank);
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s' has shape %s, expected %s by the config",
                           name, found, expected);
    }
    if (t->dtype == SAE_ST_OTHER)
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s' is %s, expected F32, BF16 or F16", name,
                           t->dtype_name);
    *ret = t;
    return SAE_OK;
}

/* What finds the tensors of one model, layer by layer. */
struct finder {
    const struct sae_st *st;
    const char *prefix; /* "model." or "" */
    size_t layer;
    struct sae_err *err;
};

static enum sae_status find_in_layer(const struct finder *f, const struct sae_st_tensor **ret,
                                     const char *part, size_t rows, size_t cols)
{
    char name[NAME_LEN];
    (void)snprintf(name, sizeof name, "%slayers.%zu.%s.weight", f->prefix, f->layer, part);
    return find(ret, f->st, name, rows, cols, f->err);
}

static enum sae_status add_part(const struct finder *f, struct sae_lm_panel *panel,
                                const char *part, size_t rows, size_t cols)
{
    SAE_TRY(find_in_layer(f, &panel->parts[panel->n_parts], part, rows, cols));
    panel->n_parts++;
    panel->n_rows += rows;
    panel->n_cols = cols;
    return SAE_OK;
}

static enum sae_status find_panels(const struct finder *f, struct sae_lm_layer *layer,
                                   const struct sae_lm_config *c)
{
    const size_t hd = c->H * c->head_dim, kd = c->K * c->head_dim;
    SAE_TRY(add_part(f, &layer->qkv, "self_attn.q_proj", hd, c->D));
    SAE_TRY(add_part(f, &layer->qkv, "self_attn.k_proj", kd, c->D));
    SAE_TRY(add_part(f, &layer->qkv, "self_attn.v_proj", kd, c->D));
    SAE_TRY(add_part(f, &layer->out, "self_attn.o_proj", c->D, hd));
    SAE_TRY(add_part(f, &layer->gate_up, "mlp.gate_proj", c->F, c->D));
    SAE_TRY(add_part(f, &layer->gate_up, "mlp.up_proj", c->F, c->D));
    return add_part(f, &layer->down, "mlp.down_proj", c->D, c->F);
}

#define HEAD_NAME "lm_head.weight"

static bool are_equal(const struct sae_st_tensor *a, const struct sae_st_tensor *b, size_t rows,
                      size_t cols, float *scratch)
{
    if (a->dtype == b->dtype)
        return memcmp(a->data, b->data, a->end - a->begin) == 0;
    for (size_t r = 0; r < rows; r++) {
        sae_st_widen(scratch, a, r * cols, cols);
        sae_st_widen(scratch + cols, b, r * cols, cols);
        if (memcmp(scratch, scratch + cols, cols * sizeof *scratch) != 0)
            return false;
    }
    return true;
}

/* Logits come from the embedding, but where the folder holds a matrix of their own that differs: it
 * is used, as transformers 5 does whatever tie_word_embeddings says; 4 follows that key. */
static enum sae_status find_head(struct sae_lm *m, struct sae_err *err)
{
    const struct sae_lm_config *c = &m->config;
    m->head = m->embed;
    if (sae_st_find(m->st, HEAD_NAME) == NULL && c->own_head)
        return sae_err_set(err, SAE_EFORMAT,
                           "'tie_word_embeddings' of config.json is false, but there is no tensor "
                           "'" HEAD_NAME "'");
    if (sae_st_find(m->st, HEAD_NAME) == NULL)
        return SAE_OK;
    const struct sae_st_tensor *head = NULL;
    float *scratch = NULL;
    SAE_TRY(find(&head, m->st, HEAD_NAME, c->V, c->D, err));
    SAE_TRY(sae_mem_alloc(&scratch, 2 * c->D, sizeof *scratch, err));
    m->own_head = !are_equal(head, m->embed.parts[0], c->V, c->D, scratch);
    free(scratch);
    if (!m->own_head)
        return SAE_OK;
    m->head.parts[0] = head;
    if (!c->own_head)
        sae_log_warn("'%s': '" HEAD_NAME "' differs from the embedding and is used for logits, as "
                     "transformers 5 does; transformers 4 ignores it where tie_word_embeddings is "
                     "not false",
                     m->folder);
    return SAE_OK;
}

static const char *const norm_kinds[4] = {"input_layernorm", "post_attention_layernorm",
                                          "pre_feedforward_layernorm",
                                          "post_feedforward_layernorm"};

/* Whether find_all reads a tensor of this name. */
static bool is_read(const struct sae_lm *m, const char *prefix, const char *name)
{
    static const char *const parts[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                        "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                        "mlp.down_proj"};
    char known[NAME_LEN];
    size_t layer = 0;
    if (strcmp(name, HEAD_NAME) == 0)
        return true;
    if (strncmp(name, prefix, strlen(prefix)) != 0)
        return false;
    name += strlen(prefix);
    if (strcmp(name, "embed_tokens.weight") == 0 || strcmp(name, "norm.weight") == 0)
        return true;
    if (sscanf(name, "layers.%zu.", &layer) != 1 || layer >= m->config.L)
        return false;
    for (size_t i = 0; i < 4 + sizeof parts / sizeof parts[0]; i++) {
        (void)snprintf(known, sizeof known, "layers.%zu.%s.weight", layer,
                       i < 4 ? norm_kinds[i] : parts[i - 4]);
        if (strcmp(name, known) == 0)
            return true;
    }
    return false;
}

/* A tensor that is not read would change what the model computes: biases, norms of queries, layers
 * beyond the config's, adapters. Kept tables of rotary frequencies are recomputed by all. */
static enum sae_status check_all_known(const struct sae_lm *m, const char *prefix,
                                       struct sae_err *err)
{
    static const char frequencies[] = ".rotary_emb.inv_freq";
    const size_t n_read = 2 + m->config.L * 11 + (sae_st_find(m->st, HEAD_NAME) != NULL);
    size_t n_tables = 0;
    for (size_t i = 0; i < sae_st_size(m->st); i++)
        n_tables += sae_str_ends(sae_st_at(m->st, i)->name, frequencies);
    if (sae_st_size(m->st) - n_tables == n_read)
        return SAE_OK;
    for (size_t i = 0; i < sae_st_size(m->st); i++) {
        const char *const name = sae_st_at(m->st, i)->name;
        if (!is_read(m, prefix, name) && !sae_str_ends(name, frequencies))
            return sae_err_set(err, SAE_EFORMAT,
                               "tensor '%s' belongs to no Gemma-2 of %zu layers as config.json "
                               "describes it, and would be passed over; %zu tensors are expected, "
                               "%zu are there",
                               name, m->config.L, n_read, sae_st_size(m->st));
    }
    return SAE_OK;
}

/* Tensors of the norms: norms[4 * layer + kind], and the final one last. */
static enum sae_status find_all(struct sae_lm *m, const struct sae_st_tensor **norms,
                                struct sae_err *err)
{
    const struct sae_lm_config *c = &m->config;
    const char *prefix = sae_st_find(m->st, "model.embed_tokens.weight") != NULL ? "model." : "";
    struct finder f = {.st = m->st, .prefix = prefix, .err = err};
    char name[NAME_LEN];
    (void)snprintf(name, sizeof name, "%sembed_tokens.weight", prefix);
    SAE_TRY(find(&m->embed.parts[0], m->st, name, c->V, c->D, err));
    m->embed.n_parts = 1;
    m->embed.n_rows = c->V;
    m->embed.n_cols = c->D;
    for (size_t i = 0; i < c->L; i++) {
        f.layer = i;
        SAE_TRY(find_panels(&f, &m->layers[i], c));
        for (size_t k = 0; k < 4; k++)
            SAE_TRY(find_in_layer(&f, &norms[4 * i + k], norm_kinds[k], c->D, 0));
    }
    (void)snprintf(name, sizeof name, "%snorm.weight", prefix);
    SAE_TRY(find(&norms[4 * c->L], m->st, name, c->D, 0, err));
    SAE_TRY(find_head(m, err));
    return check_all_known(m, prefix, err);
}

/* --- converting ----------------------------------------------------------------------------- */

const float *sae_lm_panel_rows(const struct sae_lm_panel *panel, size_t first, size_t n,
                               float *scratch)
{
    if (panel->copy != NULL)
        return panel->copy + first * panel->n_cols;
    size_t top = 0, done = 0;
    for (size_t i = 0; i < panel->n_parts && done < n; i++) {
        const size_t rows = panel->parts[i]->shape[0];
        const size_t at = first + done;
        if (at < top + rows) {
            const size_t left = top + rows - at, take = left < n - done ? left : n - done;
            sae_st_widen(scratch + done * panel->n_cols, panel->parts[i],
                         (at - top) * panel->n_cols, take * panel->n_cols);
            done += take;
        }
        top += rows;
    }
    return scratch;
}

static size_t panel_size(const struct sae_lm_panel *panel)
{
    return panel->n_rows * panel->n_cols;
}

static float *copy_panel(struct sae_lm_panel *panel, float *to)
{
    panel->copy = sae_lm_panel_rows(panel, 0, panel->n_rows, to);
    return to + panel_size(panel);
}

static enum sae_status convert(struct sae_lm *m, const struct sae_st_tensor **norms,
                               size_t copy_max, struct sae_err *err)
{
    const size_t D = m->config.D, L = m->config.L;
    size_t n_panels = panel_size(&m->embed) + (m->own_head ? panel_size(&m->head) : 0);
    for (size_t i = 0; i < L; i++) {
        const struct sae_lm_layer *y = &m->layers[i];
        n_panels += panel_size(&y->qkv) + panel_size(&y->out) + panel_size(&y->gate_up) +
                    panel_size(&y->down);
    }
    const bool small = n_panels <= copy_max / sizeof(float);
    const size_t n_norms = (4 * L + 1) * D;
    SAE_TRY(sae_mem_alloc(&m->arena, n_norms + (small ? n_panels : 0), sizeof(float), err));
    for (size_t i = 0; i <= 4 * L; i++) {
        float *to = m->arena + i * D;
        sae_st_widen(to, norms[i], 0, D);
        if (i == 4 * L)
            m->norm = to;
        else
            m->layers[i / 4].norms[i % 4] = to;
    }
    if (!small)
        return SAE_OK;
    float *at = copy_panel(&m->embed, m->arena + n_norms);
    if (m->own_head)
        at = copy_panel(&m->head, at);
    else
        m->head = m->embed;
    for (size_t i = 0; i < L; i++) {
        at = copy_panel(&m->layers[i].qkv, at);
        at = copy_panel(&m->layers[i].out, at);
        at = copy_panel(&m->layers[i].gate_up, at);
        at = copy_panel(&m->layers[i].down, at);
    }
    return SAE_OK;
}

/* --- the folder ----------------------------------------------------------------------------- */

enum sae_status sae_lm_open_with(struct sae_lm **ret, const char *folder, size_t copy_max,
                                 struct sae_err *err)
{
    struct sae_lm *m = NULL;
    const struct sae_st_tensor **norms = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&m, 1, sizeof *m, err));
    SAE_GO(st, sae_mem_strdup(&m->folder, folder, err));
    SAE_GO(st, sae_lm_config_read(&m->config, folder, err));
    SAE_GO(st, sae_st_open_folder(&m->st, folder, err));
    SAE_GO(st, sae_mem_alloc(&m->layers, m->config.L, sizeof *m->layers, err));
    SAE_GO(st, sae_mem_alloc(&norms, 4 * m->config.L + 1, sizeof *norms, err));
    st = find_all(m, norms, err);
    if (st != SAE_OK) {
        (void)sae_err_prefix(err, "model folder '%s'", folder);
        goto done;
    }
    SAE_GO(st, convert(m, norms, copy_max, err));
    *ret = m;
done:
    free(norms);
    if (st != SAE_OK)
        sae_lm_close(m);
    return st;
}

enum sae_status sae_lm_open(struct sae_lm **ret, const char *folder, struct sae_err *err)
{
    return sae_lm_open_with(ret, folder, COPY_MAX, err);
}

void sae_lm_close(struct sae_lm *model)
{
    if (model == NULL)
        return;
    sae_lm_device_close(model->device); /* reads the config */
    sae_st_close(model->st);
    free(model->layers);
    free(model->arena);
    free(model->folder);
    free(model);
}

const struct sae_lm_config *sae_lm_config(const struct sae_lm *model)
{
    return &model->config;
}

void sae_lm_set_specials(struct sae_lm *model, const struct sae_tok *tok)
{
    sae_tok_set_specials(tok, &model->config);
}

/* --- identity ------------------------------------------------------------------------------- */

/* Adds "name hex\n" of one file, the form of a checksum list. */
static enum sae_status add_file(struct sae_digest *digest, const char *path, struct sae_err *err)
{
    char hex[SAE_DIGEST_HEX];
    SAE_TRY(sae_digest_file(path, hex, err));
    const char *name = sae_fs_base(path);
    sae_digest_update(digest, name, strlen(name));
    sae_digest_update(digest, " ", 1);
    sae_digest_update(digest, hex, strlen(hex));
    sae_digest_update(digest, "\n", 1);
    return SAE_OK;
}

static enum sae_status add_named(struct sae_digest *digest, const char *folder, const char *name,
                                 struct sae_err *err)
{
    char *path = NULL;
    SAE_TRY(sae_fs_join(&path, folder, name, err));
    enum sae_status st = SAE_OK;
    if (sae_fs_is_file(path)) /* a folder of weights alone has no tokenizer */
        st = add_file(digest, path, err);
    free(path);
    return st;
}

enum sae_status sae_lm_id(struct sae_lm *model, char hex[65], struct sae_err *err)
{
    if (model->id[0] == '\0') {
        struct sae_digest digest;
        sae_digest_init(&digest);
        SAE_TRY(add_named(&digest, model->folder, "config.json", err));
        SAE_TRY(add_named(&digest, model->folder, "tokenizer.model", err));
        for (size_t i = 0; i < sae_st_n_files(model->st); i++)
            SAE_TRY(add_file(&digest, sae_st_file(model->st, i), err));
        sae_digest_hex(&digest, model->id);
    }
    memcpy(hex, model->id, sizeof model->id);
    return SAE_OK;
}
