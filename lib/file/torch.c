/* SPDX-License-Identifier: MIT */
/* torch : reading and writing PyTorch's zip format.
 * Contents: 1. reading   2. writing */
#include "lib/file/torch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/pickle.h"

/* --- 1. reading --------------------------------------------------------------------------- */

size_t sae_torch_find(const struct sae_zip *zip)
{
    for (size_t i = 0; i < sae_zip_size(zip); i++)
        if (sae_str_ends(sae_zip_name(zip, i), "/data.pkl"))
            return i;
    return SIZE_MAX;
}

/* A member beside data.pkl: "archive/data.pkl" + "data/0" -> "archive/data/0". */
static enum sae_status find_beside(size_t *ret, const struct sae_zip *zip, size_t pickle,
                                   const char *folder, const char *name, struct sae_err *err)
{
    const char *const at = sae_zip_name(zip, pickle);
    struct sae_str path = {0};
    SAE_TRY(sae_str_printf(&path, err, "%.*s%s%s", (int)(strlen(at) - strlen("data.pkl")), at,
                           folder, name));
    *ret = sae_zip_find(zip, path.s);
    sae_str_clear(&path);
    return SAE_OK;
}

static enum sae_status check_order(struct sae_zip *zip, size_t pickle, struct sae_err *err)
{
    size_t i, n;
    const uint8_t *bytes;
    SAE_TRY(find_beside(&i, zip, pickle, "", "byteorder", err));
    if (i == SIZE_MAX)
        return SAE_OK;
    SAE_TRY(sae_zip_get(zip, i, &bytes, &n, err));
    if (n == 6 && memcmp(bytes, "little", n) == 0)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT, "its numbers are not in little-endian order");
}

/* Whether every element lies among the n_stored ones, and there are no more of them than stored
 * (a stride of 0 could claim any number). */
static bool lies_within(struct sae_tensor *to, const struct sae_pickle_tensor *from)
{
    uint64_t n = 1, last = from->offset;
    for (size_t i = 0; i < from->rank; i++) {
        uint64_t reach;
        if (__builtin_mul_overflow(n, from->shape[i], &n))
            return false;
        if (from->shape[i] > 0 &&
            (__builtin_mul_overflow(from->shape[i] - 1, from->stride[i], &reach) ||
             __builtin_add_overflow(last, reach, &last)))
            return false;
        to->shape[i] = (size_t)from->shape[i];
        to->stride[i] = (size_t)from->stride[i];
    }
    to->rank = from->rank;
    to->n = (size_t)n;
    return n <= from->n_stored && (n == 0 || last < from->n_stored);
}

static enum sae_status read_tensor(struct sae_tensor *to, struct sae_zip *zip, size_t pickle,
                                   const struct sae_pickle_item *from, struct sae_err *err)
{
    const struct sae_pickle_tensor *const t = &from->tensor;
    const size_t width = sae_tensor_width(t->type);
    size_t record, n_bytes;
    const uint8_t *bytes;
    uint64_t want;
    SAE_TRY(sae_mem_strdup(&to->name, from->name, err));
    SAE_TRY(find_beside(&record, zip, pickle, "data/", t->key, err));
    if (record == SIZE_MAX)
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s': its data (record '%s') is missing",
                           from->name, t->key);
    SAE_TRY(sae_zip_get(zip, record, &bytes, &n_bytes, err));
    if (__builtin_mul_overflow(t->n_stored, (uint64_t)width, &want) || want != n_bytes)
        return sae_err_set(err, SAE_EFORMAT,
                           "tensor '%s': %zu bytes of data where %llu numbers of %zu bytes are "
                           "promised",
                           from->name, n_bytes, (unsigned long long)t->n_stored, width);
    if (!lies_within(to, t))
        return sae_err_set(err, SAE_EFORMAT, "tensor '%s' reaches beyond its data", from->name);
    to->type = t->type;
    to->data = bytes + (to->n > 0 ? t->offset * width : 0);
    return SAE_OK;
}

static enum sae_status read_items(struct sae_tensors *to, struct sae_zip *zip, size_t pickle,
                                  const struct sae_pickle_item *items, size_t n,
                                  struct sae_err *err)
{
    SAE_TRY(sae_mem_alloc(&to->v, n, sizeof *to->v, err));
    SAE_TRY(sae_mem_alloc(&to->numbers, n, sizeof *to->numbers, err));
    for (size_t i = 0; i < n; i++) {
        if (items[i].is_tensor) {
            SAE_TRY(read_tensor(&to->v[to->n++], zip, pickle, &items[i], err));
            continue;
        }
        to->numbers[to->n_numbers].value = items[i].number;
        SAE_TRY(sae_mem_strdup(&to->numbers[to->n_numbers++].name, items[i].name, err));
    }
    return SAE_OK;
}

enum sae_status sae_torch_read(struct sae_tensors *to, struct sae_zip *zip, size_t pickle,
                               struct sae_err *err)
{
    const uint8_t *bytes;
    size_t n_bytes, n = 0;
    struct sae_pickle_item *items = NULL;
    SAE_TRY(check_order(zip, pickle, err));
    SAE_TRY(sae_zip_get(zip, pickle, &bytes, &n_bytes, err));
    SAE_TRY(sae_pickle_read(&items, &n, bytes, n_bytes, err));
    const enum sae_status st = read_items(to, zip, pickle, items, n, err);
    sae_pickle_free(items, n);
    return st;
}

/* --- 2. writing --------------------------------------------------------------------------- */

static enum sae_status put(struct sae_str *to, const void *bytes, size_t n, struct sae_err *err)
{
    return sae_str_append(to, bytes, n, err);
}

/* A literal, without its final zero. */
#define PUT(to, literal, err) put(to, literal, sizeof(literal) - 1, err)

static enum sae_status put_int(struct sae_str *to, uint64_t v, struct sae_err *err)
{
    unsigned char code[10] = {0x8a, 8};
    for (size_t i = 0; i < 8; i++)
        code[2 + i] = (unsigned char)(v >> (8 * i));
    if (v < 256)
        return put(to, (const unsigned char[]){'K', (unsigned char)v}, 2, err);
    return put(to, code, sizeof code, err);
}

static enum sae_status put_text(struct sae_str *to, const char *text, struct sae_err *err)
{
    const size_t n = strlen(text);
    const unsigned char code[5] = {'X', (unsigned char)n, (unsigned char)(n >> 8),
                                   (unsigned char)(n >> 16), (unsigned char)(n >> 24)};
    SAE_TRY(put(to, code, sizeof code, err));
    return put(to, text, n, err);
}

static enum sae_status put_dims(struct sae_str *to, const size_t *dims, size_t rank,
                                struct sae_err *err)
{
    SAE_TRY(PUT(to, "(", err));
    for (size_t i = 0; i < rank; i++)
        SAE_TRY(put_int(to, dims[i], err));
    return PUT(to, "t", err);
}

static size_t n_elements(const struct sae_torch_item *item)
{
    size_t n = 1;
    for (size_t i = 0; i < item->rank; i++)
        n *= item->shape[i];
    return n;
}

/* name: _rebuild_tensor_v2(storage, 0, shape, stride, False, OrderedDict()) */
static enum sae_status put_tensor(struct sae_str *to, const struct sae_torch_item *item, size_t i,
                                  struct sae_err *err)
{
    char key[24];
    const size_t stride[2] = {item->rank == 2 ? item->shape[1] : 1, 1};
    const char *const class = item->is_whole ? "ctorch\nIntStorage\n" : "ctorch\nFloatStorage\n";
    (void)snprintf(key, sizeof key, "%zu", i);
    SAE_TRY(put_text(to, item->name, err));
    SAE_TRY(PUT(to, "ctorch._utils\n_rebuild_tensor_v2\n((", err));
    SAE_TRY(put_text(to, "storage", err));
    SAE_TRY(put(to, class, strlen(class), err));
    SAE_TRY(put_text(to, key, err));
    SAE_TRY(put_text(to, "cpu", err));
    SAE_TRY(put_int(to, n_elements(item), err));
    SAE_TRY(PUT(to, "tQ", err));
    SAE_TRY(put_int(to, 0, err));
    SAE_TRY(put_dims(to, item->shape, item->rank, err));
    SAE_TRY(put_dims(to, stride, item->rank, err));
    return PUT(to, "\x89" "ccollections\nOrderedDict\n)RtR", err);
}

static enum sae_status make_pickle(struct sae_str *to, const struct sae_torch_item *items, size_t n,
                                   struct sae_err *err)
{
    SAE_TRY(PUT(to, "\x80\x02" "ccollections\nOrderedDict\n)R(", err));
    for (size_t i = 0; i < n; i++)
        SAE_TRY(put_tensor(to, &items[i], i, err));
    return PUT(to, "u.", err);
}

enum sae_status sae_torch_write(const char *path, const struct sae_torch_item *items, size_t n,
                                struct sae_err *err)
{
    enum { OTHERS = 3 };
    struct sae_str pickle = {0};
    struct sae_zip_item *members = NULL;
    char(*names)[40] = NULL;
    enum sae_status st;
    SAE_GO(st, make_pickle(&pickle, items, n, err));
    SAE_GO(st, sae_mem_alloc(&members, n + OTHERS, sizeof *members, err));
    SAE_GO(st, sae_mem_alloc(&names, n, sizeof *names, err));
    members[0] = (struct sae_zip_item){"archive/data.pkl", pickle.s, NULL, pickle.len, 0};
    members[1] = (struct sae_zip_item){"archive/byteorder", "little", NULL, 6, 0};
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(names[i], sizeof *names, "archive/data/%zu", i);
        const void *const data =
            items[i].is_whole ? (const void *)&items[i].whole : (const void *)items[i].data;
        members[2 + i] = (struct sae_zip_item){names[i], data, NULL, 4 * n_elements(&items[i]), 0};
    }
    members[2 + n] = (struct sae_zip_item){"archive/version", "3\n", NULL, 2, 0};
    st = sae_zip_write(path, members, n + OTHERS, err);
done:
    sae_str_clear(&pickle);
    free(members);
    free(names);
    return st;
}
