/* SPDX-License-Identifier: MIT */
/* parquet_meta : the footer of a Parquet file.
 *
 * Contents:  1. the schema   2. leaves   3. row groups   4. the footer */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/text/parquet_inner.h"
#include "lib/text/thrift.h"

enum { MAX_DEPTH = 32, MAX_LEAVES = 1 << 16 };
enum { REQUIRED, OPTIONAL, REPEATED };

static enum sae_status damaged(const char *path, const char *what, struct sae_err *err)
{
    return sae_err_set(err, SAE_EFORMAT, "'%s': the footer of this Parquet file is damaged: %s", path,
                       what);
}

/* --- 1. the schema ------------------------------------------------------------------------- */

/* What stands in converted_type, or in the newer logicalType. */
struct note {
    bool text, list, decimal, is_unsigned;
};

/* An element of the schema: a leaf, or a group of the n_children elements that follow. */
struct element {
    const char *name;
    size_t n_name;
    int64_t type, repetition, n_children; /* type -1: a group */
    struct note note;
};

static void note_converted(struct note *note, int64_t converted)
{
    enum { UTF8 = 0, LIST = 3, ENUM = 4, DECIMAL = 5, UINT_8 = 11, UINT_64 = 14, JSON = 19 };
    note->text |= converted == UTF8 || converted == ENUM || converted == JSON;
    note->list |= converted == LIST;
    note->decimal |= converted == DECIMAL;
    note->is_unsigned |= converted >= UINT_8 && converted <= UINT_64;
}

/* A union: the one field that is there says which type it is. */
static void note_logical(struct note *note, struct sae_thrift *t, int type)
{
    enum { STRING = 1, LIST = 3, ENUM = 4, DECIMAL = 5, INTEGER = 10, JSON = 12, IS_SIGNED = 2 };
    struct sae_thrift_field one = {0};
    if (type != SAE_THRIFT_STRUCT) {
        t->bad = true;
        return;
    }
    while (sae_thrift_next(t, &one)) {
        note->text |= one.id == STRING || one.id == ENUM || one.id == JSON;
        note->list |= one.id == LIST;
        note->decimal |= one.id == DECIMAL;
        if (one.id != INTEGER || one.type != SAE_THRIFT_STRUCT) {
            sae_thrift_skip(t, one.type);
            continue;
        }
        struct sae_thrift_field field = {0};
        while (sae_thrift_next(t, &field))
            if (field.id == IS_SIGNED)
                note->is_unsigned = sae_thrift_int(t, field.type) == 0;
            else
                sae_thrift_skip(t, field.type);
    }
}

static bool read_element(struct element *ret, struct sae_thrift *t)
{
    struct element e = {.name = "", .type = -1};
    struct sae_thrift_field field = {0};
    while (sae_thrift_next(t, &field)) {
        switch (field.id) {
        case 1:
            e.type = sae_thrift_int(t, field.type);
            break;
        case 3:
            e.repetition = sae_thrift_int(t, field.type);
            break;
        case 4:
            e.name = sae_thrift_binary(t, field.type, &e.n_name);
            break;
        case 5:
            e.n_children = sae_thrift_int(t, field.type);
            break;
        case 6:
            note_converted(&e.note, sae_thrift_int(t, field.type));
            break;
        case 10:
            note_logical(&e.note, t, field.type);
            break;
        default:
            sae_thrift_skip(t, field.type);
        }
    }
    if (e.n_children > 0)
        e.type = -1;
    *ret = e;
    return !t->bad && e.n_children >= 0 && e.type >= -1 && e.type <= PQ_FIXED && e.repetition >= 0 &&
           e.repetition <= REPEATED;
}

/* --- 2. leaves ----------------------------------------------------------------------------- */

static enum pq_kind kind_of(const struct element *e)
{
    static const enum pq_kind kinds[] = {[PQ_BOOLEAN] = PQ_TRUTH, [PQ_INT32] = PQ_WHOLE,
                                         [PQ_INT64] = PQ_WHOLE,   [PQ_INT96] = PQ_OTHER,
                                         [PQ_FLOAT] = PQ_REAL,    [PQ_DOUBLE] = PQ_REAL,
                                         [PQ_BYTES] = PQ_BINARY,  [PQ_FIXED] = PQ_OTHER};
    if (e->note.decimal)
        return PQ_OTHER;
    return e->type == PQ_BYTES && e->note.text ? PQ_TEXT : kinds[e->type];
}

/* A group on the way to a leaf, and how many of its elements follow. */
struct level {
    struct element e;
    int64_t left;
    bool hidden; /* it makes a list, and gives no name */
};

/* The name of `e` below the levels [1, depth). */
static enum sae_status name_leaf(struct pq_leaf *ret, const struct level *level, size_t depth,
                                 const struct element *e, bool hidden, struct sae_err *err)
{
    struct sae_str name = {0};
    uint64_t n_replaced = 0;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_str_append(&name, "", 0, err));
    for (size_t i = 1; i <= depth; i++) {
        const struct element *const part = i < depth ? &level[i].e : e;
        if (i < depth ? level[i].hidden : hidden)
            continue;
        if (name.len > 0) {
            ret->n_group = ret->n_group > 0 ? ret->n_group : name.len;
            SAE_GO(st, sae_str_append(&name, ".", 1, err));
        }
        SAE_GO(st, sae_utf8_append(&name, part->name, part->n_name, &n_replaced, err));
    }
    for (size_t i = 0; i < name.len; i++)
        name.s[i] = name.s[i] == '\0' ? ' ' : name.s[i];
    ret->name = name.s;
    return SAE_OK;
done:
    sae_str_clear(&name);
    return st;
}

/* Whether `e`, below `parent`, is one of the two names that a list has beside its own: of the repeated
 * group, and of that group's only member. */
static bool is_hidden(const struct level *parent, const struct element *e)
{
    return (parent->e.note.list && e->repetition == REPEATED) ||
           (parent->hidden && parent->e.repetition == REPEATED && parent->e.n_children == 1);
}

static enum sae_status add_leaf(struct pq_meta *meta, const struct level *level, size_t depth,
                                const struct element *e, bool hidden, struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&meta->leaf, &meta->cap_leaves, meta->n_leaves + 1, sizeof *meta->leaf, err));
    struct pq_leaf leaf = {
        .type = (int)e->type, .kind = kind_of(e), .is_unsigned = e->note.is_unsigned};
    for (size_t i = 1; i <= depth; i++) {
        const int64_t repetition = i < depth ? level[i].e.repetition : e->repetition;
        leaf.max_def += repetition != REQUIRED;
        leaf.max_rep += repetition == REPEATED;
        if (repetition == REPEATED)
            leaf.list_def = leaf.max_def;
    }
    SAE_TRY(name_leaf(&leaf, level, depth, e, hidden, err));
    meta->leaf[meta->n_leaves++] = leaf;
    return SAE_OK;
}

/* Elements come depth first; the first is the root. */
static enum sae_status read_schema(struct pq_meta *meta, struct sae_thrift *t, size_t n,
                                   const char *path, struct sae_err *err)
{
    struct level level[MAX_DEPTH];
    size_t depth = 0;
    for (size_t i = 0; i < n; i++) {
        struct element e;
        if (!read_element(&e, t) || (i > 0 && depth == 0))
            return damaged(path, "its schema cannot be", err);
        const bool hidden = depth > 0 && is_hidden(&level[depth - 1], &e);
        if (depth > 0)
            level[depth - 1].left--;
        if (e.type >= 0 && i > 0) {
            if (meta->n_leaves == MAX_LEAVES)
                return damaged(path, "more than 65536 columns", err);
            SAE_TRY(add_leaf(meta, level, depth, &e, hidden, err));
        } else if (depth == MAX_DEPTH) {
            return sae_err_set(err, SAE_EFORMAT, "'%s': its columns are nested more than %d deep", path,
                               MAX_DEPTH);
        } else {
            level[depth++] = (struct level){e, e.n_children, hidden};
        }
        while (depth > 0 && level[depth - 1].left == 0)
            depth--;
    }
    return depth == 0 && n > 0 ? SAE_OK : damaged(path, "its schema ends too early", err);
}

/* --- 3. row groups ------------------------------------------------------------------------- */

struct chunk_head {
    int64_t type, codec, n_values, n_bytes, data, dictionary;
    bool any;
};

static void read_chunk_meta(struct chunk_head *ret, struct sae_thrift *t)
{
    struct sae_thrift_field field = {0};
    ret->any = true;
    while (sae_thrift_next(t, &field)) {
        int64_t *const to = field.id == 1    ? &ret->type
                            : field.id == 4  ? &ret->codec
                            : field.id == 5  ? &ret->n_values
                            : field.id == 7  ? &ret->n_bytes
                            : field.id == 9  ? &ret->data
                            : field.id == 11 ? &ret->dictionary
                                             : NULL;
        if (to != NULL)
            *to = sae_thrift_int(t, field.type);
        else
            sae_thrift_skip(t, field.type);
    }
}

/* False: damaged. What is encrypted or elsewhere only matters where it is asked for. */
static bool read_chunk(struct pq_chunk *ret, struct sae_thrift *t, const struct pq_leaf *leaf,
                       uint64_t n_file)
{
    struct chunk_head head = {.type = -1};
    struct sae_thrift_field field = {0};
    while (sae_thrift_next(t, &field)) {
        ret->elsewhere |= field.id == 1;
        ret->encrypted |= field.id == 8 || field.id == 9;
        if (field.id == 3 && field.type == SAE_THRIFT_STRUCT)
            read_chunk_meta(&head, t);
        else
            sae_thrift_skip(t, field.type);
    }
    if (t->bad || (!head.any && !ret->encrypted))
        return false;
    if (ret->encrypted || ret->elsewhere)
        return true;
    const int64_t from =
        head.dictionary > 0 && head.dictionary < head.data ? head.dictionary : head.data;
    if (head.type != leaf->type || head.n_values < 0)
        return false;
    if (head.n_values == 0) /* it has no place either */
        return true;
    if (head.n_bytes < 0 || from < 4 || (uint64_t)from > n_file ||
        (uint64_t)head.n_bytes > n_file - (uint64_t)from)
        return false;
    ret->at = (uint64_t)from;
    ret->n_bytes = (uint64_t)head.n_bytes;
    ret->n_values = (uint64_t)head.n_values;
    ret->codec = head.codec >= 0 && head.codec < INT32_MAX ? (int32_t)head.codec : INT32_MAX;
    return true;
}

/* n_file: bytes before the footer. */
static enum sae_status read_group(struct pq_meta *meta, struct sae_thrift *t, const char *path,
                                  uint64_t n_file, struct sae_err *err)
{
    struct sae_thrift_field field = {0};
    const size_t first = meta->n_groups * meta->n_leaves;
    int64_t n_rows = -1;
    size_t n = 0;
    int type;
    SAE_TRY(sae_mem_grow(&meta->chunk, &meta->cap_chunks, first + meta->n_leaves, sizeof *meta->chunk,
                         err));
    SAE_TRY(sae_mem_grow(&meta->group_rows, &meta->cap_groups, meta->n_groups + 1,
                         sizeof *meta->group_rows, err));
    while (sae_thrift_next(t, &field)) {
        if (field.id == 3) {
            n_rows = sae_thrift_int(t, field.type);
        } else if (field.id == 1 && n == 0) {
            n = sae_thrift_list(t, &field, &type);
            for (size_t i = 0; i < n && n == meta->n_leaves; i++)
                if (type != SAE_THRIFT_STRUCT ||
                    !read_chunk(&meta->chunk[first + i], t, &meta->leaf[i], n_file))
                    return damaged(path, "what it says of a column cannot be", err);
            if (n != meta->n_leaves)
                break;
        } else {
            sae_thrift_skip(t, field.type);
        }
    }
    if (t->bad || n != meta->n_leaves || n_rows < 0)
        return damaged(path, "a row group has not the columns of the schema", err);
    meta->group_rows[meta->n_groups++] = (uint64_t)n_rows;
    return SAE_OK;
}

/* --- 4. the footer ------------------------------------------------------------------------- */

static enum sae_status encrypted(const char *path, struct sae_err *err)
{
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' is an encrypted Parquet file, which is not read; write it without "
                       "encryption",
                       path);
}

/* The bytes of the footer. */
static enum sae_status find_footer(struct sae_thrift *ret, const struct sae_map *map, const char *path,
                                   struct sae_err *err)
{
    if (map->n < 4 || memcmp(map->bytes, "PAR", 3) != 0)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is not a Parquet file", path);
    if (memcmp(map->bytes, "PARE", 4) == 0)
        return encrypted(path, err);
    const uint8_t *const end = map->bytes + map->n;
    if (map->n < 12 || memcmp(end - 4, "PAR1", 4) != 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' is Parquet without its end: its last 4 bytes are not PAR1; it is cut, "
                           "or still being written: fetch it again",
                           path);
    const uint64_t n = pq_u32(end - 8);
    if (n > map->n - 12)
        return damaged(path, "it is longer than the file", err);
    *ret = (struct sae_thrift){.at = end - 8 - n, .end = end - 8};
    return SAE_OK;
}

static enum sae_status read_footer(struct pq_meta *meta, struct sae_thrift *t, uint64_t n_file,
                                   const char *path, struct sae_err *err)
{
    struct sae_thrift_field field = {0};
    uint64_t n_rows = 0, sum = 0;
    int type;
    while (sae_thrift_next(t, &field)) {
        if (field.id == 2 && meta->n_leaves == 0) {
            const size_t n = sae_thrift_list(t, &field, &type);
            SAE_TRY(read_schema(meta, t, type == SAE_THRIFT_STRUCT ? n : 0, path, err));
        } else if (field.id == 3) {
            n_rows = (uint64_t)sae_thrift_int(t, field.type);
        } else if (field.id == 4 && meta->n_groups == 0) {
            const size_t n = sae_thrift_list(t, &field, &type);
            if (meta->n_leaves == 0)
                return damaged(path, "row groups come before the schema", err);
            for (size_t i = 0; i < n; i++)
                SAE_TRY(read_group(meta, t, path, n_file, err));
        } else if (field.id == 8) {
            return encrypted(path, err);
        } else {
            sae_thrift_skip(t, field.type);
        }
    }
    for (size_t i = 0; i < meta->n_groups; i++)
        if (__builtin_add_overflow(sum, meta->group_rows[i], &sum))
            return damaged(path, "it says of more than 2^64 rows", err);
    if (t->bad || meta->n_leaves == 0)
        return damaged(path, "it is no Thrift struct of a file", err);
    return sum == n_rows ? SAE_OK : damaged(path, "its row groups have not as many rows as the file", err);
}

enum sae_status pq_meta_read(struct pq_meta *ret, const struct sae_map *map, const char *path,
                             struct sae_err *err)
{
    struct pq_meta meta = {0};
    struct sae_thrift t = {0};
    enum sae_status st = find_footer(&t, map, path, err);
    if (st == SAE_OK)
        st = read_footer(&meta, &t, (uint64_t)(t.at - map->bytes), path, err);
    if (st == SAE_OK)
        *ret = meta;
    else
        pq_meta_clear(&meta);
    return st;
}

void pq_meta_clear(struct pq_meta *meta)
{
    for (size_t i = 0; i < meta->n_leaves; i++)
        free(meta->leaf[i].name);
    free(meta->leaf);
    free(meta->group_rows);
    free(meta->chunk);
    *meta = (struct pq_meta){0};
}
