/* SPDX-License-Identifier: MIT */
/* st : open files and folders of shards, map them, find tensors by name. */
#include "lib/file/st.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/bf16.h"
#include "lib/base/f16.h"
#include "lib/base/fs.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/file/blocks.h"
#include "lib/file/st_inner.h"

#define HEADER_MAX ((uint64_t)100000000) /* bytes, the reference library's bound */
#define INDEX_MAX ((size_t)64 << 20)
enum { SHARDS_MAX = 10000 };
#define INDEX_NAME "model.safetensors.index.json"
#define SINGLE_NAME "model.safetensors"

struct shard {
    struct sae_map map;
    struct sae_st_tensor *tensors;
    size_t n;
};

struct sae_st {
    struct shard *shards;
    size_t n_shards;
    struct sae_st_tensor **by_name; /* sorted */
    size_t n;
    char **files;
    size_t n_files;
};

/* --- one file ------------------------------------------------------------------------------- */

static enum sae_status open_shard(struct shard *shard, const char *path, struct sae_err *err)
{
    SAE_TRY(sae_map_open(&shard->map, path, err));
    const uint8_t *bytes = shard->map.bytes;
    if (shard->map.n < 8)
        return sae_err_set(err, SAE_EFORMAT, "'%s' has %zu bytes, a safetensors file at least 8",
                           path, shard->map.n);
    uint64_t n_header = 0;
    for (size_t i = 0; i < 8; i++)
        n_header |= (uint64_t)bytes[i] << (8 * i);
    if (n_header > HEADER_MAX)
        return sae_err_set(err, SAE_EFORMAT, "'%s': header of %llu bytes, at most %llu are allowed",
                           path, (unsigned long long)n_header, (unsigned long long)HEADER_MAX);
    if (n_header > shard->map.n - 8)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': header of %llu bytes, the file has %zu after it"
                           " begins; it is cut or not a safetensors file",
                           path, (unsigned long long)n_header, shard->map.n - 8);
    const size_t at = 8 + (size_t)n_header;
    const enum sae_status st = sae_st_parse(&shard->tensors, &shard->n, (const char *)bytes + 8,
                                              (size_t)n_header, shard->map.n - at, err);
    if (st != SAE_OK) {
        (void)sae_err_prefix(err, "'%s'", path);
        return st;
    }
    for (size_t i = 0; i < shard->n; i++)
        shard->tensors[i].data = bytes + at + shard->tensors[i].begin;
    return SAE_OK;
}

static void close_shard(struct shard *shard)
{
    sae_st_tensors_free(shard->tensors, shard->n);
    sae_map_close(&shard->map);
}

/* --- names ---------------------------------------------------------------------------------- */

static int cmp_name(const void *a, const void *b)
{
    const struct sae_st_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int cmp_key(const void *key, const void *at)
{
    const struct sae_st_tensor *const *t = at;
    return strcmp(key, (*t)->name);
}

/* Gathers all shards' tensors in name order; a name in two shards is an error. */
static enum sae_status index_names(struct sae_st *st, struct sae_err *err)
{
    size_t n = 0;
    for (size_t s = 0; s < st->n_shards; s++)
        n += st->shards[s].n;
    SAE_TRY(sae_mem_alloc(&st->by_name, n, sizeof *st->by_name, err));
    for (size_t s = 0; s < st->n_shards; s++)
        for (size_t i = 0; i < st->shards[s].n; i++)
            st->by_name[st->n++] = &st->shards[s].tensors[i];
    qsort(st->by_name, n, sizeof *st->by_name, cmp_name);
    for (size_t i = 1; i < n; i++)
        if (strcmp(st->by_name[i - 1]->name, st->by_name[i]->name) == 0)
            return sae_err_set(err, SAE_EFORMAT, "tensor '%s' is %s",
                               st->by_name[i]->name,
                               st->n_shards > 1 ? "in two shards" : "given twice");
    return SAE_OK;
}

size_t sae_st_size(const struct sae_st *st)
{
    return st->n;
}

const struct sae_st_tensor *sae_st_at(const struct sae_st *st, size_t i)
{
    return i < st->n ? st->by_name[i] : NULL;
}

const struct sae_st_tensor *sae_st_find(const struct sae_st *st, const char *name)
{
    struct sae_st_tensor **hit = bsearch(name, st->by_name, st->n, sizeof *st->by_name, cmp_key);
    return hit == NULL ? NULL : *hit;
}

size_t sae_st_n_files(const struct sae_st *st)
{
    return st->n_files;
}

const char *sae_st_file(const struct sae_st *st, size_t i)
{
    return i < st->n_files ? st->files[i] : NULL;
}

/* --- files and folders ---------------------------------------------------------------------- */

static enum sae_status make_st(struct sae_st **ret, size_t n_shards, struct sae_err *err)
{
    struct sae_st *st = NULL;
    SAE_TRY(sae_mem_alloc(&st, 1, sizeof *st, err));
    enum sae_status status = sae_mem_alloc(&st->shards, n_shards, sizeof *st->shards, err);
    if (status == SAE_OK)
        status = sae_mem_alloc(&st->files, n_shards + 1, sizeof *st->files, err);
    if (status != SAE_OK)
        sae_st_close(st);
    else
        *ret = st;
    return status;
}

void sae_st_close(struct sae_st *st)
{
    if (st == NULL)
        return;
    for (size_t i = 0; i < st->n_shards; i++)
        close_shard(&st->shards[i]);
    for (size_t i = 0; i < st->n_files; i++)
        free(st->files[i]);
    free(st->files);
    free(st->shards);
    free(st->by_name);
    free(st);
}

/* Opens one more shard of st; the path is kept. */
static enum sae_status add_shard(struct sae_st *st, const char *folder, const char *name,
                                 struct sae_err *err)
{
    SAE_TRY(sae_fs_join(&st->files[st->n_files], folder, name, err));
    const char *path = st->files[st->n_files++];
    return open_shard(&st->shards[st->n_shards++], path, err);
}

enum sae_status sae_st_open(struct sae_st **ret, const char *path, struct sae_err *err)
{
    struct sae_st *st = NULL;
    SAE_TRY(make_st(&st, 1, err));
    enum sae_status status = add_shard(st, NULL, path, err);
    if (status == SAE_OK)
        status = index_names(st, err);
    if (status != SAE_OK)
        sae_st_close(st);
    else
        *ret = st;
    return status;
}

void sae_st_part_free(struct sae_st_part *part)
{
    sae_st_tensors_free(part->tensors, part->n);
    sae_map_close(&part->map);
    free(part->path);
    *part = (struct sae_st_part){0};
}

enum sae_status sae_st_adopt(struct sae_st **ret, struct sae_st_part *parts, size_t n,
                             struct sae_err *err)
{
    struct sae_st *st = NULL;
    SAE_TRY(make_st(&st, n, err));
    for (size_t i = 0; i < n; i++) {
        st->shards[st->n_shards++] = (struct shard){parts[i].map, parts[i].tensors, parts[i].n};
        st->files[st->n_files++] = parts[i].path;
        parts[i] = (struct sae_st_part){0};
    }
    const enum sae_status status = index_names(st, err);
    if (status != SAE_OK)
        sae_st_close(st);
    else
        *ret = st;
    return status;
}

/* A shard's file name comes from the index and is not trusted: a plain name in the folder. */
static bool is_plain_name(const char *name)
{
    return name != NULL && *name != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int cmp_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of weight_map, sorted; borrowed from the map. */
static enum sae_status list_shards(const char ***ret, size_t *ret_n, json_t *map,
                                   struct sae_err *err)
{
    const char **names = NULL;
    SAE_TRY(sae_mem_alloc(&names, json_object_size(map), sizeof *names, err));
    size_t n = 0, unique = 0;
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        names[n] = json_string_value(value);
        if (!is_plain_name(names[n])) {
            free(names);
            return sae_err_set(err, SAE_EFORMAT,
                               "'weight_map': the file of '%.200s' is not a plain file name", key);
        }
        n++;
    }
    qsort(names, n, sizeof *names, cmp_text);
    for (size_t i = 0; i < n; i++)
        if (unique == 0 || strcmp(names[unique - 1], names[i]) != 0)
            names[unique++] = names[i];
    *ret = names;
    *ret_n = unique;
    if (unique <= SHARDS_MAX)
        return SAE_OK;
    free(names);
    return sae_err_set(err, SAE_EFORMAT, "%zu shards, at most %d are allowed", unique, SHARDS_MAX);
}

/* Each mapped tensor must be in the very shard that the index names. */
static enum sae_status check_map(const struct sae_st *st, json_t *map, const char **names,
                                 struct sae_err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        const char *file = json_string_value(value);
        const struct sae_st_tensor *t = sae_st_find(st, key);
        bool found = false;
        for (size_t s = 0; t != NULL && s < st->n_shards && !found; s++)
            found = strcmp(names[s], file) == 0 && t >= st->shards[s].tensors &&
                    t < st->shards[s].tensors + st->shards[s].n;
        if (!found)
            return sae_err_set(err, SAE_EFORMAT, "tensor '%.200s' is not in '%.200s'%s", key, file,
                               t == NULL ? "" : " but in another shard");
    }
    return SAE_OK;
}

static enum sae_status open_shards(struct sae_st **ret, const char *folder, char *index_path,
                                   json_t *map, struct sae_err *err)
{
    const char **names = NULL;
    size_t n = 0;
    struct sae_st *st = NULL;
    enum sae_status status = list_shards(&names, &n, map, err);
    if (status != SAE_OK) {
        free(index_path);
        return status;
    }
    status = make_st(&st, n, err);
    if (status != SAE_OK) {
        free(index_path);
        goto done;
    }
    st->files[st->n_files++] = index_path;
    for (size_t i = 0; i < n; i++)
        SAE_GO(status, add_shard(st, folder, names[i], err));
    SAE_GO(status, index_names(st, err));
    SAE_GO(status, check_map(st, map, names, err));
    *ret = st;
done:
    if (status != SAE_OK)
        sae_st_close(st);
    free(names);
    return status;
}

static enum sae_status open_index(struct sae_st **ret, const char *folder, const char *path,
                                  struct sae_err *err)
{
    char *text = NULL;
    size_t len = 0;
    SAE_TRY(sae_fs_read(&text, &len, path, INDEX_MAX, err));
    json_error_t why;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    free(text);
    if (root == NULL)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is not valid JSON: line %d: %s", path, why.line,
                           why.text);
    enum sae_status st;
    char *copy = NULL;
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s': no 'weight_map' that names tensors", path);
        goto done;
    }
    SAE_GO(st, sae_mem_strdup(&copy, path, err));
    st = open_shards(ret, folder, copy, map, err); /* takes copy */
    if (st != SAE_OK)
        (void)sae_err_prefix(err, "'%s'", path);
done:
    json_decref(root);
    return st;
}

enum sae_status sae_st_open_folder(struct sae_st **ret, const char *folder, struct sae_err *err)
{
    char *index = NULL, *single = NULL, *torch = NULL, *torch_index = NULL;
    enum sae_status st;
    SAE_GO(st, sae_fs_join(&index, folder, INDEX_NAME, err));
    SAE_GO(st, sae_fs_join(&single, folder, SINGLE_NAME, err));
    SAE_GO(st, sae_fs_join(&torch, folder, "pytorch_model.bin", err));
    SAE_GO(st, sae_fs_join(&torch_index, folder, "pytorch_model.bin.index.json", err));
    /* as transformers: one file before the shards of an index */
    if (access(single, F_OK) == 0)
        st = sae_st_open(ret, single, err);
    else if (access(index, F_OK) == 0)
        st = open_index(ret, folder, index, err);
    else if (access(torch, F_OK) == 0 || access(torch_index, F_OK) == 0)
        st = sae_err_set(err, SAE_EIO,
                         "'%s' holds its weights as PyTorch files (pytorch_model*.bin), which are "
                         "not read; save the model again with safetensors: "
                         "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW)",
                         folder);
    else
        st = sae_err_set(err, SAE_EIO, "no '" SINGLE_NAME "' and no '" INDEX_NAME "' in '%s'",
                         folder);
done:
    free(index);
    free(single);
    free(torch);
    free(torch_index);
    return st;
}

/* --- values --------------------------------------------------------------------------------- */

void sae_st_widen(float *to, const struct sae_st_tensor *tensor, size_t first, size_t n)
{
    if (tensor->dtype == SAE_ST_F32) {
        memcpy(to, tensor->data + 4 * first, n * sizeof *to);
        return;
    }
    if (tensor->dtype > SAE_ST_OTHER) {
        sae_blocks_widen(sae_blocks_of(tensor->dtype), to, tensor->data, first, n);
        return;
    }
    const uint8_t *from = tensor->data + 2 * first;
    uint16_t v;
    if (tensor->dtype == SAE_ST_BF16) {
        for (size_t i = 0; i < n; i++) {
            memcpy(&v, from + 2 * i, sizeof v);
            to[i] = sae_bf16_to_f32(v);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(&v, from + 2 * i, sizeof v);
        to[i] = sae_f16_to_f32(v);
    }
}
