/* SPDX-License-Identifier: MIT */
/* gguf_split : a GGUF file, or the parts that llama-gguf-split makes of one:
 * NAME-00001-of-00003.gguf has the metadata, each part its share of the tensors and the keys
 * split.no (from 0), split.count and split.tensors.count. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/gguf_inner.h"

enum { PARTS_MAX = 99999, ENDING_LEN = 64 };

static json_int_t number_of(const json_t *meta, const char *key)
{
    const json_t *const value = json_object_get(meta, key);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static void name_ending(char ending[ENDING_LEN], size_t i, size_t n)
{
    (void)snprintf(ending, ENDING_LEN, "-%05zu-of-%05zu.gguf", i + 1, n);
}

/* Part i of n, whose first one is at `path`. */
static enum sae_status read_part(struct sae_st_part *ret, const char *path, size_t i, size_t n,
                                 struct sae_err *err)
{
    char ending[ENDING_LEN];
    struct sae_str own = {0};
    struct sae_st_part part = {0};
    json_t *meta = NULL;
    enum sae_status st;
    name_ending(ending, i, n);
    SAE_GO(st, sae_str_append(&own, path, strlen(path) - strlen(ending), err));
    SAE_GO(st, sae_str_append(&own, ending, strlen(ending), err));
    SAE_GO(st, sae_gguf_read(&meta, &part, own.s, err));
    if (number_of(meta, "split.no") != (json_int_t)i ||
        number_of(meta, "split.count") != (json_int_t)n)
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s': 'split.no' is %lld of %lld, expected %zu of %zu as its name has it",
                         own.s, (long long)number_of(meta, "split.no"),
                         (long long)number_of(meta, "split.count"), i, n);
    if (st == SAE_OK) {
        *ret = part;
        part = (struct sae_st_part){0};
    }
done:
    sae_st_part_free(&part);
    json_decref(meta);
    sae_str_clear(&own);
    return st;
}

static enum sae_status check_first(const json_t *meta, const char *path, json_int_t n,
                                   struct sae_err *err)
{
    char ending[ENDING_LEN];
    const json_int_t no = number_of(meta, "split.no");
    if (n < 1 || n > PARTS_MAX)
        return sae_err_set(err, SAE_EFORMAT, "'%s': 'split.count' is %lld, expected 1 to %d", path,
                           (long long)n, PARTS_MAX);
    name_ending(ending, 0, (size_t)n);
    if (n == 1 || (no == 0 && sae_str_ends(path, ending)))
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' is part %lld of %lld; give the first, whose name ends in %s, with the "
                       "others beside it",
                       path, (long long)no + 1, (long long)n, ending);
}

static enum sae_status check_tensors(const json_t *meta, const char *path,
                                     const struct sae_st_part *parts, size_t n, struct sae_err *err)
{
    const json_int_t wanted = number_of(meta, "split.tensors.count");
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += parts[i].n;
    if (n == 1 || wanted == (json_int_t)found)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s': %zu tensors in %zu parts, but 'split.tensors.count' is %lld", path,
                       found, n, (long long)wanted);
}

enum sae_status sae_gguf_open(json_t **ret_meta, struct sae_st **ret, const char *path,
                              struct sae_err *err)
{
    struct sae_st_part first = {0}, *parts = NULL;
    json_t *meta = NULL;
    size_t n = 1;
    enum sae_status st = sae_gguf_read(&meta, &first, path, err);
    SAE_GO(st, st);
    if (json_object_get(meta, "split.count")) {
        SAE_GO(st, check_first(meta, path, number_of(meta, "split.count"), err));
        n = (size_t)number_of(meta, "split.count");
    }
    SAE_GO(st, sae_mem_alloc(&parts, n, sizeof *parts, err));
    parts[0] = first;
    first = (struct sae_st_part){0};
    for (size_t i = 1; i < n; i++)
        SAE_GO(st, read_part(&parts[i], path, i, n, err));
    SAE_GO(st, check_tensors(meta, path, parts, n, err));
    st = sae_st_adopt(ret, parts, n, err);
    if (st != SAE_OK)
        (void)sae_err_prefix(err, "'%s'", path);
done:
    sae_st_part_free(&first);
    for (size_t i = 0; i < n && parts; i++)
        sae_st_part_free(&parts[i]); /* empty where they were adopted */
    free(parts);
    if (st != SAE_OK)
        json_decref(meta);
    else
        *ret_meta = meta;
    return st;
}
