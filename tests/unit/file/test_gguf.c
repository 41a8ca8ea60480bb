/* SPDX-License-Identifier: MIT */
/* GGUF: values of every type, and each rule that a file can break, refused in one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/file/gguf.h"

static struct sae_err g_err;

/* --- a file in memory ----------------------------------------------------------------------- */

static uint8_t file[4096];
static size_t n_file;
static off_t n_zeros; /* behind it */

static void number(uint64_t value, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        file[n_file++] = (uint8_t)(value >> (8 * i));
}

static void text(const char *s)
{
    number(strlen(s), 8);
    memcpy(file + n_file, s, strlen(s));
    n_file += strlen(s);
}

static void head(uint64_t version, uint64_t n_tensors, uint64_t n_keys)
{
    n_file = 0;
    memcpy(file, "GGUF", 4);
    n_file = 4;
    number(version, 4);
    number(n_tensors, 8);
    number(n_keys, 8);
}

static void key(const char *name, uint64_t type, uint64_t value, size_t n_bytes)
{
    text(name);
    number(type, 4);
    number(value, n_bytes);
}

static void tensor(const char *name, uint64_t columns, uint64_t rows, uint64_t type, uint64_t begin)
{
    text(name);
    number(2, 4);
    number(columns, 8);
    number(rows, 8);
    number(type, 4);
    number(begin, 8);
}

static void data(size_t n)
{
    while (n_file % 32 != 0)
        file[n_file++] = 0;
    for (size_t i = 0; i < n; i++)
        file[n_file++] = (uint8_t)i;
}

static enum sae_status open_file(json_t **meta, struct sae_st **st)
{
    char path[] = "/tmp/gguf-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, file, n_file) == (ssize_t)n_file &&
                ftruncate(fd, (off_t)n_file + n_zeros) == 0);
    assert_int_equal(close(fd), 0);
    const enum sae_status status = sae_gguf_open(meta, st, path, &g_err);
    (void)remove(path);
    return status;
}

static void refuse(const char *word)
{
    json_t *meta = NULL;
    struct sae_st *st = NULL;
    assert_int_equal(open_file(&meta, &st), SAE_EFORMAT);
    assert_true(meta == NULL && st == NULL);
    if (!strstr(g_err.msg, word) || strchr(g_err.msg, '\n'))
        fail_msg("'%s' does not say '%s'", g_err.msg, word);
}

/* --- tests ---------------------------------------------------------------------------------- */

static void test_values(void **state)
{
    json_t *meta = NULL;
    struct sae_st *st = NULL;
    float x[4];
    (void)state;
    head(3, 2, 13);
    key("u8", 0, 255, 1);
    key("i8", 1, 255, 1);
    key("u16", 2, 65535, 2);
    key("i16", 3, 65534, 2);
    key("u32", 4, 4294967295U, 4);
    key("i32", 5, 4294967293U, 4);
    key("f32", 6, 0x3727c5ac, 4); /* 1e-5 */
    key("flag", 7, 1, 1);
    text("text");
    number(8, 4);
    text("b\xc3\xa4r");
    text("list");
    number(9, 4);
    number(9, 4); /* of lists */
    number(2, 8);
    for (uint64_t i = 0; i < 2; i++) {
        number(4, 4);
        number(i, 8);
        for (uint64_t k = 0; k < i; k++)
            number(7, 4);
    }
    key("u64", 10, INT64_MAX, 8);
    key("i64", 11, UINT64_MAX, 8);
    key("f64", 12, 0x3ff8000000000000, 8);
    tensor("b", 1, 2, 0, 32);
    tensor("a", 2, 2, 1, 0);
    data(40);
    assert_int_equal(open_file(&meta, &st), SAE_OK);
    char *const dump = json_dumps(meta, JSON_COMPACT);
    assert_string_equal(dump, "{\"u8\":255,\"i8\":-1,\"u16\":65535,\"i16\":-2,\"u32\":4294967295,"
                              "\"i32\":-3,\"f32\":1.0000000000000001e-5,\"flag\":true,"
                              "\"text\":\"b\xc3\xa4r\",\"list\":[[],[7]],"
                              "\"u64\":9223372036854775807,\"i64\":-1,\"f64\":1.5}");
    assert_true(json_real_value(json_object_get(meta, "f32")) == 1e-5);
    const struct sae_st_tensor *const a = sae_st_find(st, "a"), *const b = sae_st_find(st, "b");
    assert_true(a && b && a->rank == 2 && b->shape[0] == 2 && b->shape[1] == 1);
    sae_st_widen(x, a, 0, 4);
    assert_true(x[0] == 0x1p-24F * 256);
    assert_int_equal(a->data[3], 3);
    assert_int_equal(b->data[0], 32);
    free(dump);
    json_decref(meta);
    sae_st_close(st);
}

static void test_heads(void **state)
{
    (void)state;
    n_file = 3;
    refuse("does not begin with GGUF");
    head(1, 0, 0);
    refuse("version 1");
    head(3U << 24, 0, 0); /* big endian */
    refuse("little endian");
    head(3, UINT64_MAX, 0);
    refuse("18446744073709551615 tensors");
    head(3, 0, 1ULL << 60);
    refuse("1152921504606846976 keys");
    head(3, 0, 0);
    n_file -= 1;
    refuse("the file has 7 more");
}

static void test_keys(void **state)
{
    (void)state;
    head(2, 0, 2);
    key("a", 4, 1, 4);
    key("a", 4, 1, 4);
    refuse("'a' is given twice");
    head(3, 0, 1);
    key("a", 13, 1, 4);
    refuse("'a' has type 13");
    head(3, 0, 1);
    key("a", 7, 2, 1);
    refuse("'a' is 2, expected 0 or 1");
    head(3, 0, 1);
    key("a", 6, 0x7f800000, 4);
    refuse("'a' is infinite");
    head(3, 0, 1);
    key("a", 10, UINT64_MAX, 8);
    refuse("'a' is 18446744073709551615");
    head(3, 0, 1);
    key("a", 8, UINT64_MAX, 8);
    refuse("'a': 18446744073709551615 bytes");
    head(3, 0, 1);
    key("a", 9, 4, 4);
    number(1ULL << 62, 8);
    refuse("'a': 4611686018427387904 elements");
    n_zeros = 1 << 25; /* the elements lie in the file, but take forty times as much memory */
    head(3, 0, 1);
    key("a", 9, 0, 4);
    number((1U << 24) + 1, 8);
    refuse("'a': 16777217 elements, 0 were read before; at most 16777216 in a file");
    n_zeros = 0;
    head(3, 0, 1);
    key("a", 9, 9, 4);
    for (int i = 0; i < 8; i++) {
        number(1, 8);
        number(9, 4);
    }
    number(0, 8);
    refuse("arrays in more than 4");
    head(3, 0, 1);
    key("a", 8, 2, 8);
    number(0x80c3, 2);
    file[n_file - 1] = 'x';
    refuse("is no UTF-8");
    head(3, 0, 1);
    number(0, 8);
    number(0, 8);
    refuse("a key has 0 bytes");
    head(3, 0, 1);
    key("general.alignment", 4, 24, 4);
    refuse("'general.alignment' is 24");
}

static void one(uint64_t columns, uint64_t rows, uint64_t type, uint64_t begin)
{
    head(3, 1, 0);
    tensor("t", columns, rows, type, begin);
    data(64);
}

static void test_tensors(void **state)
{
    (void)state;
    one(4, 4, 0, 0);
    json_t *meta = NULL;
    struct sae_st *st = NULL;
    assert_int_equal(open_file(&meta, &st), SAE_OK);
    json_decref(meta);
    sae_st_close(st);
    one(4, 4, 0, 16);
    refuse("'t' begins at 16, expected a multiple of 32");
    one(4, 4, 0, 32);
    refuse("'t' ends at byte 96 of the data, which has 64");
    one(4, 4, 10, 0);
    refuse("'t' is Q2_K (type 10)");
    one(4, 4, 99, 0);
    refuse("not known (type 99)");
    one(16, 4, 2, 0);
    refuse("rows of 16 elements, expected a multiple of 32 by Q4_0");
    one(1ULL << 40, 1ULL << 40, 0, 0);
    refuse("too large");
    one(1ULL << 40, 1ULL << 22, 0, 0);
    refuse("beyond any file");
    one(0, 4, 0, 0);
    refuse("size 0");
    one(4, 4, 0, UINT64_MAX - 31);
    refuse("beyond any file");
    head(3, 2, 0);
    tensor("t", 4, 4, 0, 0);
    tensor("t", 4, 4, 0, 64);
    data(128);
    refuse("'t' is given twice");
    head(3, 2, 0);
    tensor("t", 4, 4, 0, 0);
    tensor("s", 4, 4, 0, 32);
    data(128);
    refuse("'t' and 's' overlap");
    head(3, 1, 0);
    text("t");
    number(5, 4);
    number(0, 8);
    number(0, 8);
    number(0, 8);
    refuse("5 dimensions");
}

/* --- parts ---------------------------------------------------------------------------------- */

/* What the parts of a file claim, and which one is left out (-1: none). */
struct parts {
    const char *folder;
    int n, claimed_n, no_of_second, n_tensors, left_out;
};

static void name_part(char path[400], const struct parts *p, int i)
{
    (void)snprintf(path, 400, "%s/m-%05d-of-%05d.gguf", p->folder, i + 1, p->n);
}

static void write_parts(const struct parts *p)
{
    char path[400], name[2] = "a";
    for (int i = 0; i < p->n; i++) {
        head(3, 1, i == 0 ? 4 : 3);
        if (i == 0)
            key("u8", 0, 7, 1);
        key("split.no", 2, (uint64_t)(i == 1 ? p->no_of_second : i), 2);
        key("split.count", 2, (uint64_t)p->claimed_n, 2);
        key("split.tensors.count", 5, (uint64_t)p->n_tensors, 4);
        name[0] = (char)('a' + i);
        tensor(name, 2, 1, 0, 0);
        data(8);
        name_part(path, p, i);
        FILE *const f = fopen(path, "wb");
        assert_true(f && fwrite(file, 1, n_file, f) == n_file && fclose(f) == 0);
        if (i == p->left_out)
            assert_int_equal(remove(path), 0);
    }
}

/* Opens from part `which`; word: of the refusal, NULL: none. */
static void open_parts(const struct parts *p, int which, const char *word)
{
    char path[400];
    json_t *meta = NULL;
    struct sae_st *st = NULL;
    write_parts(p);
    name_part(path, p, which);
    const enum sae_status status = sae_gguf_open(&meta, &st, path, &g_err);
    if (word && (status == SAE_OK || !strstr(g_err.msg, word)))
        fail_msg("status %d, '%s' does not say '%s'", (int)status, g_err.msg, word);
    if (!word) {
        assert_int_equal(status, SAE_OK);
        assert_int_equal(json_integer_value(json_object_get(meta, "u8")), 7);
        assert_true(sae_st_size(st) == (size_t)p->n && sae_st_n_files(st) == (size_t)p->n);
        assert_true(sae_st_find(st, "a") && sae_st_find(st, "c"));
    }
    json_decref(meta);
    sae_st_close(st);
    for (int i = 0; i < p->n; i++) {
        name_part(path, p, i);
        (void)remove(path);
    }
}

static void test_parts(void **state)
{
    char folder[] = "/tmp/gguf-parts-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    const struct parts good = {folder, 3, 3, 1, 3, -1};
    struct parts p = good;
    open_parts(&good, 0, NULL);
    open_parts(&good, 1, "is part 2 of 3; give the first, whose name ends in -00001-of-00003.gguf");
    p.left_out = 2;
    open_parts(&p, 0, "m-00003-of-00003.gguf");
    p = good;
    p.no_of_second = 2;
    open_parts(&p, 0, "m-00002-of-00003.gguf': 'split.no' is 2 of 3, expected 1 of 3");
    p = good;
    p.n_tensors = 4;
    open_parts(&p, 0, "3 tensors in 3 parts, but 'split.tensors.count' is 4");
    p = good;
    p.claimed_n = 4;
    open_parts(&p, 0, "give the first, whose name ends in -00001-of-00004.gguf");
    p.claimed_n = 0;
    open_parts(&p, 0, "'split.count' is 0");
    (void)rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_parts),   cmocka_unit_test(test_heads),
        cmocka_unit_test(test_keys),   cmocka_unit_test(test_tensors),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
