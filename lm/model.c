/* SPDX-License-Identifier: MIT */
/* model : opens a folder, finds every tensor, checks its shape against the config. */
#include "lm/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lm/config.h"
#include "lm/device.h"
#include "lm/gguf.h"

/* Up to this many bytes of f32 a model is converted once, when opened. */
#define COPY_MAX ((size_t)512 << 20)
enum { NAME_LEN = 160, SHAPE_LEN = 200, PANEL_COLUMNS = 64 };

/* --- finding tensors ------------------------------------------------------------------------ */

static void show_shape(char text[SHAPE_LEN], const size_t *shape, size_t rank)
{
    size_t at = (size_t)snprintf(text, SHAPE_LEN, "[");
    for (size_t i = 0; i < rank && at < SHAPE_LEN - 24; i++)
        at += (size_t)snprintf(text + at, SHAPE_LEN - at, "%s%zu", i == 0 ? "" : ", ", shape[i]);
    (void)snprintf(text + at, SHAPE_LEN - at, "]");
}

/* One array of f32 for the arena; parts of one array follow each other, the first has the slot. */
struct vector {
    const float **slot; /* or NULL */
    const struct sae_st_tensor *tensor;
    const struct sae_lm_panel *laid_out; /* a bias in the order of this panel's rows; or NULL */
};

/* What finds the tensors of one model. */
struct finder {
    struct sae_lm *m;
    const char *prefix;
    size_t layer;
    bool *used; /* [tensors of the model] */
    struct vector *vectors;
    size_t n_vectors;
    struct sae_err *err;
};
enum { LAYER_VECTORS = 4 * 2 + 2 + 7, MODEL_VECTORS = 3 };

/* The tensor `name`, of shape [rows][cols], or [rows] where cols is 0. */
static enum sae_status find(struct finder *f, const struct sae_st_tensor **ret, const char *name,
                            size_t rows, size_t cols)
{
    const struct sae_st *const st = f->m->st;
    const struct sae_st_tensor *t = sae_st_find(st, name);
    if (t == NULL)
        return sae_err_set(f->err, SAE_EFORMAT, "no tensor '%s' among the %zu of the model", name,
                           sae_st_size(st));
    const size_t want[2] = {rows, cols}, rank = cols == 0 ? 1 : 2;
    if (t->rank != rank || memcmp(t->shape, want, rank * sizeof want[0]) != 0) {
        char found[SHAPE_LEN], expected[SHAPE_LEN];
        show_shape(found, t->shape, t->rank);
        show_shape(expected, want, rank);
        return sae_err_set(f->err, SAE_EFORMAT,
                           "tensor '%s' has shape %s, expected %s by the config", name, found,
                           expected);
    }
    if (t->dtype == SAE_ST_OTHER)
        return sae_err_set(f->err, SAE_EFORMAT, "tensor '%s' is %s, expected F32, BF16 or F16",
                           name, t->dtype_name);
    for (size_t i = 0; i < sae_st_size(st); i++)
        f->used[i] = f->used[i] || sae_st_at(st, i) == t;
    *ret = t;
    return SAE_OK;
}

/* "PREFIX[layers.3.]PART.END" */
static void full_name(const struct finder *f, char name[NAME_LEN], const char *part,
                      const char *end)
{
    char layer[NAME_LEN / 2] = "";
    if (f->layer != SIZE_MAX)
        (void)snprintf(layer, sizeof layer, f->m->config.names->layer, f->layer);
    (void)snprintf(name, NAME_LEN, "%s%s%s.%s", f->prefix, layer, part, end);
}

static enum sae_status add_vector(struct finder *f, const float **slot, const char *part,
                                  const char *end, size_t size, const struct sae_lm_panel *laid_out)
{
    char name[NAME_LEN];
    struct vector *v = &f->vectors[f->n_vectors++];
    full_name(f, name, part, end);
    v->slot = slot;
    v->laid_out = laid_out;
    return find(f, &v->tensor, name, size, 0);
}

static enum sae_status add_norm(struct finder *f, const float **slot, const char *part)
{
    const struct sae_lm_config *c = &f->m->config;
    SAE_TRY(add_vector(f, slot, part, "weight", c->D, NULL));
    return c->norm == SAE_LM_LAYER ? add_vector(f, NULL, part, "bias", c->D, NULL) : SAE_OK;
}

/* Whether rows of a part lie as the panel's layout says: v is not rotated, its rows never paired.
 */
static bool is_laid_out(const struct sae_lm_panel *panel, size_t part)
{
    return panel->layout == SAE_LM_BY_HEAD || (panel->layout == SAE_LM_PAIRED && part < 2);
}

static enum sae_status add_part(struct finder *f, struct sae_lm_panel *panel, const char *part,
                                size_t rows, size_t cols, bool bias)
{
    char name[NAME_LEN];
    const bool turned = panel->layout == SAE_LM_TRANSPOSED;
    full_name(f, name, part, "weight");
    SAE_TRY(
        find(f, &panel->parts[panel->n_parts], name, turned ? cols : rows, turned ? rows : cols));
    if (bias)
        SAE_TRY(add_vector(f, panel->n_parts == 0 ? &panel->bias : NULL, part, "bias", rows,
                           is_laid_out(panel, panel->n_parts) ? panel : NULL));
    panel->n_parts++;
    panel->n_rows += rows;
    panel->n_cols = cols;
    return SAE_OK;
}

static enum sae_status find_attention(struct finder *f, struct sae_lm_layer *layer)
{
    const struct sae_lm_config *c = &f->m->config;
    const struct sae_lm_names *names = c->names;
    const size_t rows[3] = {c->H * c->head_dim, c->K * c->head_dim, c->K * c->head_dim};
    const bool fused = names->qkv[1] == NULL;
    layer->qkv.layout = names->qkv_layout;
    layer->qkv.head_dim = c->head_dim;
    for (size_t i = 0; i < (fused ? 1 : 3); i++)
        SAE_TRY(add_part(f, &layer->qkv, names->qkv[i],
                         fused ? rows[0] + rows[1] + rows[2] : rows[i], c->D, c->qkv_bias));
    if (c->head_norms) {
        SAE_TRY(
            add_vector(f, &layer->head_norms, names->head_norms[0], "weight", c->head_dim, NULL));
        SAE_TRY(add_vector(f, NULL, names->head_norms[1], "weight", c->head_dim, NULL));
    }
    layer->out.layout = names->layout;
    return add_part(f, &layer->out, names->out, c->D, rows[0], c->out_bias);
}

static enum sae_status find_layer(struct finder *f, struct sae_lm_layer *layer)
{
    const struct sae_lm_config *c = &f->m->config;
    const struct sae_lm_names *names = c->names;
    SAE_TRY(find_attention(f, layer));
    layer->gate_up.layout = layer->down.layout = names->layout;
    if (c->gated)
        SAE_TRY(add_part(f, &layer->gate_up, names->gate, c->F, c->D, c->mlp_bias));
    SAE_TRY(add_part(f, &layer->gate_up, names->up, c->F, c->D, c->mlp_bias));
    SAE_TRY(add_part(f, &layer->down, names->down, c->D, c->F, c->mlp_bias));
    for (size_t k = 0; k < 4; k++)
        if (k % 2 == 0 || c->post_norms) /* those after a branch */
            SAE_TRY(add_norm(f, &layer->norms[k], names->norms[k]));
    return SAE_OK;
}

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
static enum sae_status find_head(struct finder *f)
{
    struct sae_lm *const m = f->m;
    const struct sae_lm_config *c = &m->config;
    const char *const *heads = c->names->heads;
    char name[NAME_LEN] = "";
    m->head = m->embed;
    for (size_t i = 0; i < 2 && heads[i] != NULL; i++) {
        (void)snprintf(name, sizeof name, "%s.weight", heads[i]);
        if (sae_st_find(m->st, name) != NULL)
            break;
    }
    if (sae_st_find(m->st, name) == NULL && c->own_head)
        return sae_err_set(f->err, SAE_EFORMAT,
                           "'tie_word_embeddings' of config.json is false or, in this family, "
                           "absent, but there is no tensor '%s.weight'",
                           heads[0]);
    if (sae_st_find(m->st, name) == NULL)
        return SAE_OK;
    const struct sae_st_tensor *head = NULL;
    float *scratch = NULL;
    SAE_TRY(find(f, &head, name, c->V, c->D));
    SAE_TRY(sae_mem_alloc(&scratch, 2 * c->D, sizeof *scratch, f->err));
    m->own_head = !are_equal(head, m->embed.parts[0], c->V, c->D, scratch);
    free(scratch);
    if (!m->own_head)
        return SAE_OK;
    m->head.parts[0] = head;
    if (!c->own_head)
        sae_log_warn("'%s': '%s' differs from the embedding and is used for logits, as "
                     "transformers 5 does; transformers 4 ignores it where tie_word_embeddings is "
                     "not false",
                     m->folder, name);
    return SAE_OK;
}

static bool is_ignored(const struct sae_lm_names *names, const char *name)
{
    for (size_t i = 0; i < sizeof names->ignored_ends / sizeof *names->ignored_ends; i++)
        if (names->ignored_ends[i] != NULL && sae_str_ends(name, names->ignored_ends[i]))
            return true;
    for (size_t i = 0; i < sizeof names->ignored_starts / sizeof *names->ignored_starts; i++)
        if (names->ignored_starts[i] != NULL &&
            strncmp(name, names->ignored_starts[i], strlen(names->ignored_starts[i])) == 0)
            return true;
    return false;
}

/* A tensor that is not read would change what the model computes: biases, norms of queries, layers
 * beyond the config's, adapters. Kept tables of rotary frequencies are recomputed by all. */
static enum sae_status check_all_known(const struct finder *f)
{
    const struct sae_lm *const m = f->m;
    size_t n_used = 0;
    for (size_t i = 0; i < sae_st_size(m->st); i++)
        n_used += f->used[i];
    for (size_t i = 0; i < sae_st_size(m->st); i++) {
        const char *const name = sae_st_at(m->st, i)->name;
        if (!f->used[i] && !is_ignored(m->config.names, name))
            return sae_err_set(f->err, SAE_EFORMAT,
                               "tensor '%s' belongs to no %s of %zu layers as config.json "
                               "describes it, and would be passed over; %zu tensors are expected, "
                               "%zu are there",
                               name, m->config.family->title, m->config.L, n_used,
                               sae_st_size(m->st));
    }
    return SAE_OK;
}

/* The prefix with which there is an embedding; of none the first, for the message. */
static const char *find_prefix(const struct sae_lm *m)
{
    const struct sae_lm_names *names = m->config.names;
    char name[NAME_LEN];
    for (size_t i = 0; i < sizeof names->prefixes / sizeof *names->prefixes; i++) {
        if (names->prefixes[i] == NULL)
            break;
        (void)snprintf(name, sizeof name, "%s%s.weight", names->prefixes[i], names->embed);
        if (sae_st_find(m->st, name) != NULL)
            return names->prefixes[i];
    }
    return names->prefixes[0];
}

static enum sae_status find_all(struct finder *f)
{
    struct sae_lm *const m = f->m;
    const struct sae_lm_config *c = &m->config;
    const struct sae_lm_names *names = c->names;
    char name[NAME_LEN];
    f->layer = SIZE_MAX;
    SAE_TRY(add_part(f, &m->embed, names->embed, c->V, c->D, false));
    if (c->learned_positions) {
        struct vector *v = &f->vectors[f->n_vectors++];
        v->slot = &m->positions;
        full_name(f, name, names->positions, "weight");
        SAE_TRY(find(f, &v->tensor, name, c->max_context, c->D));
    }
    SAE_TRY(find_head(f));
    for (f->layer = 0; f->layer < c->L; f->layer++)
        SAE_TRY(find_layer(f, &m->layers[f->layer]));
    f->layer = SIZE_MAX;
    SAE_TRY(add_norm(f, &m->norm, names->norm));
    return check_all_known(f);
}

/* --- converting ----------------------------------------------------------------------------- */

/* Where row i of a part lies. Head by head: q, k and v of each head follow each other. Paired: the
 * two rows that rotate together do. */
static size_t row_in_file(const struct sae_lm_panel *panel, size_t i)
{
    const size_t d = panel->head_dim, width = panel->n_rows / 3; /* of q, of k, of v */
    if (panel->layout == SAE_LM_PAIRED)
        return i / d * d + i % (d / 2) * 2 + i % d / (d / 2);
    return i % width / d * 3 * d + i / width * d + i % d;
}

/* Columns [at, at + n) of a tensor [n_cols][rows] as rows, some at a time. */
static void widen_columns(float *to, const struct sae_lm_panel *panel,
                          const struct sae_st_tensor *t, size_t at, size_t n)
{
    float some[PANEL_COLUMNS];
    for (size_t i = 0; i < n; i += PANEL_COLUMNS) {
        const size_t m = n - i < PANEL_COLUMNS ? n - i : PANEL_COLUMNS;
        for (size_t c = 0; c < panel->n_cols; c++) {
            sae_st_widen(some, t, c * t->shape[1] + at + i, m);
            for (size_t k = 0; k < m; k++)
                to[(i + k) * panel->n_cols + c] = some[k];
        }
    }
}

/* Rows [at, at + n) of one part. */
static void widen_rows(float *to, const struct sae_lm_panel *panel, size_t part, size_t at,
                       size_t n)
{
    const struct sae_st_tensor *const t = panel->parts[part];
    const size_t cols = panel->n_cols;
    if (panel->layout == SAE_LM_TRANSPOSED)
        widen_columns(to, panel, t, at, n);
    else if (!is_laid_out(panel, part))
        sae_st_widen(to, t, at * cols, n * cols);
    else
        for (size_t i = 0; i < n; i++)
            sae_st_widen(to + i * cols, t, row_in_file(panel, at + i) * cols, cols);
}

const float *sae_lm_panel_rows(const struct sae_lm_panel *panel, size_t first, size_t n,
                               float *scratch)
{
    if (panel->copy != NULL)
        return panel->copy + first * panel->n_cols;
    size_t top = 0, done = 0;
    for (size_t i = 0; i < panel->n_parts && done < n; i++) {
        const bool turned = panel->layout == SAE_LM_TRANSPOSED;
        const size_t rows = panel->parts[i]->shape[turned ? 1 : 0];
        const size_t at = first + done;
        if (at < top + rows) {
            const size_t left = top + rows - at, take = left < n - done ? left : n - done;
            widen_rows(scratch + done * panel->n_cols, panel, i, at - top, take);
            done += take;
        }
        top += rows;
    }
    return scratch;
}

void sae_lm_panel_drop(const struct sae_lm_panel *panel, size_t first, size_t n)
{
    size_t top = 0;
    for (size_t i = 0; i < panel->n_parts; i++) {
        const struct sae_st_tensor *const t = panel->parts[i];
        const bool is_scattered = panel->layout == SAE_LM_TRANSPOSED || is_laid_out(panel, i);
        const size_t rows = t->shape[panel->layout == SAE_LM_TRANSPOSED ? 1 : 0],
                     bytes = (t->end - t->begin) / rows;
        const size_t from = first > top ? first - top : 0,
                     to = first + n > top ? first + n - top : 0;
        if (is_scattered && n == panel->n_rows)
            sae_map_drop(t->data, t->end - t->begin);
        else if (!is_scattered && from < rows && to > from)
            sae_map_drop(t->data + from * bytes, ((to < rows ? to : rows) - from) * bytes);
        top += rows;
    }
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

static float *copy_vector(const struct vector *v, float *to)
{
    if (v->slot != NULL)
        *v->slot = to;
    if (v->laid_out == NULL)
        sae_st_widen(to, v->tensor, 0, v->tensor->n);
    else
        for (size_t i = 0; i < v->tensor->n; i++)
            sae_st_widen(to + i, v->tensor, row_in_file(v->laid_out, i), 1);
    return to + v->tensor->n;
}

static enum sae_status convert(const struct finder *f, size_t copy_max)
{
    struct sae_lm *const m = f->m;
    const size_t L = m->config.L;
    size_t n_panels = panel_size(&m->embed) + (m->own_head ? panel_size(&m->head) : 0);
    size_t n_vectors = 0;
    for (size_t i = 0; i < L; i++) {
        const struct sae_lm_layer *y = &m->layers[i];
        n_panels += panel_size(&y->qkv) + panel_size(&y->out) + panel_size(&y->gate_up) +
                    panel_size(&y->down);
    }
    for (size_t i = 0; i < f->n_vectors; i++)
        n_vectors += f->vectors[i].tensor->n;
    const bool small = n_panels <= copy_max / sizeof(float);
    SAE_TRY(sae_mem_alloc(&m->arena, n_vectors + (small ? n_panels : 0), sizeof(float), f->err));
    float *at = m->arena;
    for (size_t i = 0; i < f->n_vectors; i++)
        at = copy_vector(&f->vectors[i], at);
    if (!small)
        return SAE_OK;
    at = copy_panel(&m->embed, at);
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

/* The config and the tensors. */
static enum sae_status open_files(struct sae_lm *m, const char *folder, struct sae_err *err)
{
    if (sae_lm_is_gguf(folder))
        return sae_lm_gguf_config(&m->config, &m->st, folder, err);
    SAE_TRY(sae_lm_config_read(&m->config, folder, err));
    return sae_st_open_folder(&m->st, folder, err);
}

enum sae_status sae_lm_open_with(struct sae_lm **ret, const char *folder, size_t copy_max,
                                 struct sae_err *err)
{
    struct sae_lm *m = NULL;
    struct finder f = {.err = err};
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&m, 1, sizeof *m, err));
    SAE_GO(st, sae_mem_strdup(&m->folder, folder, err));
    SAE_GO(st, open_files(m, folder, err));
    SAE_GO(st, sae_mem_alloc(&m->layers, m->config.L, sizeof *m->layers, err));
    SAE_GO(st, sae_mem_alloc(&f.used, sae_st_size(m->st), sizeof *f.used, err));
    SAE_GO(st, sae_mem_alloc(&f.vectors, m->config.L * LAYER_VECTORS + MODEL_VECTORS,
                             sizeof *f.vectors, err));
    f.m = m;
    f.prefix = find_prefix(m);
    st = find_all(&f);
    if (st != SAE_OK) {
        (void)sae_err_prefix(err, "model %s'%s'", sae_lm_is_gguf(folder) ? "" : "folder ", folder);
        goto done;
    }
    SAE_GO(st, convert(&f, copy_max));
    *ret = m;
done:
    free(f.used);
    free(f.vectors);
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
static enum sae_status add_file(struct sae_digest *digest, const char *path,
                                char hex[SAE_DIGEST_HEX], struct sae_err *err)
{
    SAE_TRY(sae_digest_file(path, hex, err));
    const char *name = sae_fs_base(path);
    sae_digest_update(digest, name, strlen(name));
    sae_digest_update(digest, " ", 1);
    sae_digest_update(digest, hex, strlen(hex));
    sae_digest_update(digest, "\n", 1);
    return SAE_OK;
}

/* *found: whether there is such a file; a folder of weights alone has no tokenizer. */
static enum sae_status add_named(struct sae_digest *digest, const char *folder, const char *name,
                                 bool *found, struct sae_err *err)
{
    char *path = NULL, hex[SAE_DIGEST_HEX];
    SAE_TRY(sae_fs_join(&path, folder, name, err));
    enum sae_status st = SAE_OK;
    *found = sae_fs_is_file(path);
    if (*found)
        st = add_file(digest, path, hex, err);
    free(path);
    return st;
}

enum sae_status sae_lm_id(struct sae_lm *model, char hex[65], struct sae_err *err)
{
    if (model->id[0] == '\0') {
        struct sae_digest digest;
        bool found;
        sae_digest_init(&digest);
        SAE_TRY(add_named(&digest, model->folder, "config.json", &found, err));
        SAE_TRY(add_named(&digest, model->folder, "tokenizer.model", &found, err));
        if (!found || !model->config.family->is_sentencepiece)
            SAE_TRY(add_named(&digest, model->folder, "tokenizer.json", &found, err));
        for (size_t i = 0; i < sae_st_n_files(model->st); i++) {
            char hex_of[SAE_DIGEST_HEX];
            SAE_TRY(add_file(&digest, sae_st_file(model->st, i), hex_of, err));
            if (i == 0)
                memcpy(model->first_hex, hex_of, sizeof model->first_hex);
        }
        sae_digest_hex(&digest, model->id);
    }
    memcpy(hex, model->id, sizeof model->id);
    return SAE_OK;
}

enum sae_status sae_lm_digest(struct sae_lm *model, const char *path, char hex[65],
                              struct sae_err *err)
{
    if (model->first_hex[0] == '\0' || strcmp(path, sae_st_file(model->st, 0)) != 0)
        return sae_digest_file(path, hex, err);
    memcpy(hex, model->first_hex, sizeof model->first_hex);
    return SAE_OK;
}
