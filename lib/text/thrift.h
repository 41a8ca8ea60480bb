/* SPDX-License-Identifier: MIT */
/* thrift : the compact protocol of Apache Thrift, in which Parquet writes its footer and the heads of its
 * pages. A reader over bytes in memory that never leaves them: after the first thing that cannot be,
 * `bad` is true, every number is 0 and every struct and list is at its end. */
#ifndef SAE_LIB_TEXT_THRIFT_H
#define SAE_LIB_TEXT_THRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sae_thrift_type {
    SAE_THRIFT_TRUE = 1,
    SAE_THRIFT_FALSE = 2,
    SAE_THRIFT_BYTE = 3,
    SAE_THRIFT_I16 = 4,
    SAE_THRIFT_I32 = 5,
    SAE_THRIFT_I64 = 6,
    SAE_THRIFT_DOUBLE = 7,
    SAE_THRIFT_BINARY = 8,
    SAE_THRIFT_LIST = 9,
    SAE_THRIFT_SET = 10,
    SAE_THRIFT_MAP = 11,
    SAE_THRIFT_STRUCT = 12
};

struct sae_thrift {
    const uint8_t *at, *end;
    bool bad;
};

/* One struct being read, born {0}; the next field is `id` of `type`. */
struct sae_thrift_field {
    int id, type;
};

/* Goes to the next field, whose value must then be read or skipped. False: the struct has ended. */
bool sae_thrift_next(struct sae_thrift *t, struct sae_thrift_field *field);
/* Elements of a list, whose type is `type`; more than bytes are left is bad. */
size_t sae_thrift_list(struct sae_thrift *t, const struct sae_thrift_field *field, int *type);
uint64_t sae_thrift_varint(struct sae_thrift *t);
int64_t sae_thrift_zigzag(struct sae_thrift *t);
/* A whole number or a truth; another type is bad. */
int64_t sae_thrift_int(struct sae_thrift *t, int type);
/* Bytes, which stay where they are. */
const char *sae_thrift_binary(struct sae_thrift *t, int type, size_t *ret_n);
void sae_thrift_skip(struct sae_thrift *t, int type);

#endif /* SAE_LIB_TEXT_THRIFT_H */
