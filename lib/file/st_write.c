/* SPDX-License-Identifier: MIT */
/* st_write : safetensors files and folders of shards, as other readers like them. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/part.h"
#include "lib/base/str.h"
#include "lib/file/st.h"

enum { ALIGN = 64, BLOCK = 4096, PATH_LEN = 64 };

static size_t width(const struct sae_st_item *item)
{
    return item->dtype == SAE_ST_F32 ? 4 : 2;
}

static size_t n_elements(const struct sae_st_item *item)
{
    size_t n = 1;
    for (size_t i = 0; i < item->rank; i++)
        n *= item->shape[i];
    return n;
}

/* Wider types first, so that each tensor is aligned to its own width. */
static int cmp_item(const void *a, const void *b)
{
    const struct sae_st_item *const *x = a, *const *y = b;
    if (width(*x) != width(*y))
        return width(*x) > width(*y) ? -1 : 1;
    return strcmp((*x)->name, (*y)->name);
}

static enum sae_status order_items(const struct sae_st_item ***ret,
                                   const struct sae_st_item *items, size_t n, struct sae_err *err)
{
    const struct sae_st_item **order = NULL;
    SAE_TRY(sae_mem_alloc(&order, n, sizeof *order, err));
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < n && st == SAE_OK; i++) {
        order[i] = &items[i];
        if (items[i].dtype != SAE_ST_F32 && items[i].dtype != SAE_ST_BF16)
            st = sae_err_set(err, SAE_EARG, "tensor '%s': only F32 and BF16 are written",
                             items[i].name);
        else if (items[i].rank > SAE_ST_RANK_MAX)
            st = sae_err_set(err, SAE_EARG, "tensor '%s': %zu dimensions", items[i].name,
                             items[i].rank);
    }
    if (st != SAE_OK) {
        free(order);
        return st;
    }
    qsort(order, n, sizeof *order, cmp_item);
    *ret = order;
    return SAE_OK;
}

/* {"dtype":...,"shape":[...],"data_offsets":[begin,end]} added to root. */
static int add_entry(json_t *root, const struct sae_st_item *item, size_t begin, size_t end)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < item->rank; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)item->shape[i])) != 0) {
            json_decref(shape);
            return -1;
        }
    json_t *entry =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", item->dtype == SAE_ST_F32 ? "F32" : "BF16",
                  "shape", shape, "data_offsets", (json_int_t)begin, (json_int_t)end);
    return entry == NULL ? -1 : json_object_set_new(root, item->name, entry);
}

static enum sae_status make_header(char **ret, const struct sae_st_item **order, size_t n,
                                   struct sae_err *err)
{
    json_t *root = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    size_t at = 0;
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < n && st == SAE_OK; i++) {
        const size_t end = at + n_elements(order[i]) * width(order[i]);
        if (json_object_get(root, order[i]->name) != NULL)
            st = sae_err_set(err, SAE_EARG, "two tensors are named '%s'", order[i]->name);
        else if (add_entry(root, order[i], at, end) != 0)
            st = sae_err_set(err, SAE_EARG, "tensor name is not UTF-8, or out of memory");
        at = end;
    }
    if (st == SAE_OK && (*ret = json_dumps(root, JSON_COMPACT)) == NULL)
        st = sae_err_set(err, SAE_ENOMEM, "out of memory writing a header");
    json_decref(root);
    return st;
}

static int write_data(FILE *f, const struct sae_st_item *item)
{
    const size_t n = n_elements(item);
    if (item->dtype == SAE_ST_F32)
        return fwrite(item->data, sizeof *item->data, n, f) == n ? 0 : -1;
    uint16_t block[BLOCK];
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t m = n - i < BLOCK ? n - i : BLOCK;
        sae_bf16_narrow(block, item->data + i, m);
        if (fwrite(block, sizeof *block, m, f) != m)
            return -1;
    }
    return 0;
}

static int write_all(FILE *f, const char *header, const struct sae_st_item **order, size_t n)
{
    const size_t len = strlen(header);
    const size_t padded = (8 + len + ALIGN - 1) / ALIGN * ALIGN - 8;
    uint8_t size[8];
    for (size_t i = 0; i < 8; i++)
        size[i] = (uint8_t)((uint64_t)padded >> (8 * i));
    if (fwrite(size, 1, 8, f) != 8 || fwrite(header, 1, len, f) != len)
        return -1;
    for (size_t i = len; i < padded; i++)
        if (fputc(' ', f) == EOF)
            return -1;
    for (size_t i = 0; i < n; i++)
        if (write_data(f, order[i]) != 0)
            return -1;
    return 0;
}

static enum sae_status write_file(const char *path, const char *header,
                                  const struct sae_st_item **order, size_t n, struct sae_err *err)
{
    FILE *f = NULL;
    char *part = NULL;
    SAE_TRY(sae_part_open(&f, &part, path, err));
    const int failed = write_all(f, header, order, n);
    enum sae_status st = SAE_OK;
    if (fclose(f) != 0 || failed != 0) {
        st = sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path, strerror(errno));
        unlink(part);
    } else {
        st = sae_part_publish(part, path, true, err);
    }
    free(part);
    return st;
}

enum sae_status sae_st_write(const char *path, const struct sae_st_item *items, size_t n,
                               struct sae_err *err)
{
    const struct sae_st_item **order = NULL;
    char *header = NULL;
    enum sae_status st = order_items(&order, items, n, err);
    if (st != SAE_OK)
        return st;
    SAE_GO(st, make_header(&header, order, n, err));
    st = write_file(path, header, order, n, err);
done:
    free(header);
    free(order);
    return st;
}

/* --- folders -------------------------------------------------------------------------------- */

static enum sae_status write_shard(json_t *map, const char *folder,
                                   const struct sae_st_item *items, size_t n, size_t shard,
                                   size_t n_shards, struct sae_err *err)
{
    char name[PATH_LEN];
    (void)snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, n_shards);
    char *path = NULL;
    SAE_TRY(sae_fs_join(&path, folder, name, err));
    enum sae_status st = sae_st_write(path, items, n, err);
    for (size_t i = 0; i < n && st == SAE_OK; i++) {
        if (json_object_get(map, items[i].name) != NULL)
            st = sae_err_set(err, SAE_EARG, "two tensors are named '%s'", items[i].name);
        else if (json_object_set_new(map, items[i].name, json_string(name)) != 0)
            st = sae_err_set(err, SAE_ENOMEM, "out of memory writing an index");
    }
    free(path);
    return st;
}

static enum sae_status write_index(json_t *map, const char *folder, size_t n_bytes,
                                   struct sae_err *err)
{
    char *path = NULL;
    SAE_TRY(sae_fs_join(&path, folder, "model.safetensors.index.json", err));
    json_t *root = json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)n_bytes,
                             "weight_map", map);
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS);
    const enum sae_status st = text == NULL
                                   ? sae_err_set(err, SAE_ENOMEM, "out of memory writing an index")
                                   : sae_fs_write(path, text, strlen(text), err);
    free(text);
    json_decref(root);
    free(path);
    return st;
}

enum sae_status sae_st_write_folder(const char *folder, const struct sae_st_item *items,
                                      size_t n, size_t n_shards, struct sae_err *err)
{
    SAE_TRY(sae_fs_make_dirs(folder, err));
    if (n_shards <= 1) {
        char *path = NULL;
        SAE_TRY(sae_fs_join(&path, folder, "model.safetensors", err));
        const enum sae_status st = sae_st_write(path, items, n, err);
        free(path);
        return st;
    }
    json_t *map = json_object();
    enum sae_status st = SAE_OK;
    size_t n_bytes = 0;
    for (size_t i = 0; i < n; i++)
        n_bytes += n_elements(&items[i]) * width(&items[i]);
    for (size_t s = 0; s < n_shards && st == SAE_OK; s++) {
        const size_t first = n * s / n_shards, end = n * (s + 1) / n_shards;
        st = write_shard(map, folder, items + first, end - first, s, n_shards, err);
    }
    if (st == SAE_OK)
        st = write_index(map, folder, n_bytes, err);
    json_decref(map);
    return st;
}
