/* SPDX-License-Identifier: MIT */
/* thrift : see the header. Specification: thrift-compact-protocol.md of Apache Thrift. */
#include "lib/text/thrift.h"

enum { MAX_DEPTH = 32 };

static void fail(struct sae_thrift *t)
{
    t->bad = true;
    t->at = t->end;
}

static uint8_t take_byte(struct sae_thrift *t)
{
    if (t->at == t->end) {
        fail(t);
        return 0;
    }
    return *t->at++;
}

uint64_t sae_thrift_varint(struct sae_thrift *t)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = take_byte(t);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return t->bad ? 0 : value;
    }
    fail(t);
    return 0;
}

int64_t sae_thrift_zigzag(struct sae_thrift *t)
{
    const uint64_t value = sae_thrift_varint(t);
    return (int64_t)((value >> 1) ^ (0 - (value & 1)));
}

bool sae_thrift_next(struct sae_thrift *t, struct sae_thrift_field *field)
{
    const uint8_t head = take_byte(t);
    if (t->bad || head == 0)
        return false;
    field->type = head & 15;
    const int64_t id = head >> 4 ? field->id + (head >> 4) : sae_thrift_zigzag(t);
    if (field->type == 0 || field->type > SAE_THRIFT_STRUCT || id < 0 || id > INT16_MAX)
        fail(t);
    field->id = (int)id;
    return !t->bad;
}

static size_t check_count(struct sae_thrift *t, uint64_t n)
{
    if (n > (uint64_t)(t->end - t->at)) /* an element has a byte at least */
        fail(t);
    return t->bad ? 0 : (size_t)n;
}

static size_t list_head(struct sae_thrift *t, int *type)
{
    const uint8_t head = take_byte(t);
    *type = head & 15;
    const uint64_t n = head >> 4 < 15 ? head >> 4 : sae_thrift_varint(t);
    return check_count(t, n);
}

size_t sae_thrift_list(struct sae_thrift *t, const struct sae_thrift_field *field, int *type)
{
    *type = 0;
    if (field->type == SAE_THRIFT_LIST)
        return list_head(t, type);
    fail(t);
    return 0;
}

int64_t sae_thrift_int(struct sae_thrift *t, int type)
{
    if (type == SAE_THRIFT_TRUE || type == SAE_THRIFT_FALSE)
        return type == SAE_THRIFT_TRUE;
    if (type == SAE_THRIFT_I16 || type == SAE_THRIFT_I32 || type == SAE_THRIFT_I64)
        return sae_thrift_zigzag(t);
    if (type == SAE_THRIFT_BYTE)
        return (int8_t)take_byte(t);
    fail(t);
    return 0;
}

const char *sae_thrift_binary(struct sae_thrift *t, int type, size_t *ret_n)
{
    const uint64_t n = type == SAE_THRIFT_BINARY ? sae_thrift_varint(t) : UINT64_MAX;
    *ret_n = check_count(t, n);
    const char *const bytes = (const char *)t->at;
    t->at += *ret_n;
    return bytes;
}

static void skip_value(struct sae_thrift *t, int type, bool element, int depth);

static void skip_elements(struct sae_thrift *t, size_t n, int type, int depth)
{
    for (size_t i = 0; i < n && !t->bad; i++)
        skip_value(t, type, true, depth);
}

static void skip_map(struct sae_thrift *t, int depth)
{
    const size_t n = check_count(t, sae_thrift_varint(t));
    const uint8_t types = n > 0 ? take_byte(t) : 0;
    for (size_t i = 0; i < n && !t->bad; i++) {
        skip_value(t, types >> 4, true, depth);
        skip_value(t, types & 15, true, depth);
    }
}

static void skip_struct(struct sae_thrift *t, int depth)
{
    struct sae_thrift_field field = {0};
    while (sae_thrift_next(t, &field))
        skip_value(t, field.type, false, depth);
}

/* element: of a list or a map, where a truth takes a byte. */
static void skip_value(struct sae_thrift *t, int type, bool element, int depth)
{
    size_t n;
    int inner;
    if (depth > MAX_DEPTH) {
        fail(t);
        return;
    }
    switch (type) {
    case SAE_THRIFT_TRUE:
    case SAE_THRIFT_FALSE:
        if (element)
            (void)take_byte(t);
        return;
    case SAE_THRIFT_BYTE:
        (void)take_byte(t);
        return;
    case SAE_THRIFT_I16:
    case SAE_THRIFT_I32:
    case SAE_THRIFT_I64:
        (void)sae_thrift_varint(t);
        return;
    case SAE_THRIFT_DOUBLE:
        t->at += check_count(t, 8);
        return;
    case SAE_THRIFT_BINARY:
        (void)sae_thrift_binary(t, type, &n);
        return;
    case SAE_THRIFT_LIST:
    case SAE_THRIFT_SET:
        n = list_head(t, &inner);
        skip_elements(t, n, inner, depth + 1);
        return;
    case SAE_THRIFT_MAP:
        skip_map(t, depth + 1);
        return;
    case SAE_THRIFT_STRUCT:
        skip_struct(t, depth + 1);
        return;
    default:
        fail(t);
    }
}

void sae_thrift_skip(struct sae_thrift *t, int type)
{
    skip_value(t, type, false, 0);
}
