/* SPDX-License-Identifier: MIT */
/* safetensors: what is written is read back, and each rule of the format is broken once. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "tests/unit/fixtures/lm_fixture.h"

enum { PATH_LEN = 500, FILE_LEN = 70000 };

static struct sae_err g_err;

static const char *in(const char *folder, const char *name)
{
    static char path[PATH_LEN];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* Writes size, header and n_data bytes counting up. */
static void put_raw(const char *path, unsigned long long size, const char *header, size_t len,
                    size_t n_data)
{
    static unsigned char bytes[FILE_LEN];
    assert_true(8 + len + n_data <= sizeof bytes);
    for (size_t i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(size >> (8 * i));
    memcpy(bytes + 8, header, len);
    for (size_t i = 0; i < n_data; i++)
        bytes[8 + len + i] = (unsigned char)i;
    assert_int_equal(sae_fs_write(path, (const char *)bytes, 8 + len + n_data, &g_err), SAE_OK);
}

static enum sae_status try_header(const char *header, size_t len, size_t n_data)
{
    char *folder = fix_folder();
    const char *path = in(folder, "model.safetensors");
    put_raw(path, len, header, len, n_data);
    struct sae_st *st = NULL;
    g_err.msg[0] = '\0';
    const enum sae_status status = sae_st_open(&st, path, &g_err);
    assert_true((status == SAE_OK) == (st != NULL));
    sae_st_close(st);
    fix_remove(folder);
    return status;
}

static void accept(const char *header, size_t n_data)
{
    if (try_header(header, strlen(header), n_data) != SAE_OK)
        fail_msg("%s: %s", header, g_err.msg);
}

static void refuse_n(const char *header, size_t len, size_t n_data, const char *word)
{
    if (try_header(header, len, n_data) != SAE_EFORMAT)
        fail_msg("not refused: %s", header);
    if (strstr(g_err.msg, word) == NULL)
        fail_msg("'%s' does not say '%s'", g_err.msg, word);
}

static void refuse(const char *header, size_t n_data, const char *word)
{
    refuse_n(header, strlen(header), n_data, word);
}

#define ENTRY(dtype, shape, offsets)                                                               \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{\"a\":" ENTRY(dtype, shape, offsets) "}"

static void test_legal(void **state)
{
    (void)state;
    accept("{}", 0);
    accept("{}   \n ", 0);
    accept("{\"__metadata__\":{\"format\":\"pt\"}}", 0);
    accept(ONE("F32", "[2,3]", "[0,24]"), 24);
    accept(ONE("F32", "[]", "[0,4]"), 4);                /* rank 0 */
    accept(ONE("F32", "[0,7]", "[0,0]"), 0);             /* no elements */
    accept(ONE("F4", "[2]", "[0,1]"), 1);                /* two of four bits */
    accept(ONE("I64", "[1,1,1,1,1,1,1,1]", "[0,8]"), 8); /* rank 8 */
    accept("{\"b\":" ENTRY("U8", "[3]", "[1,4]") ",\"a\":" ENTRY("U8", "[1]", "[0,1]") "}", 4);
    accept("{\"\\ud83d\\ude00e-1.5\":" ENTRY("U8", "[1]", "[0,1]") "}", 1); /* signs in names */
}

static void test_tiling(void **state)
{
    (void)state;
    refuse(ONE("F32", "[2]", "[0,8]"), 9, "9 bytes of data");
    refuse(ONE("F32", "[2]", "[0,8]"), 7, "7 bytes of data");
    refuse(ONE("F32", "[2]", "[4,12]"), 12, "hole");
    refuse("{\"a\":" ENTRY("U8", "[2]", "[0,2]") ",\"b\":" ENTRY("U8", "[2]", "[3,5]") "}", 5,
           "hole");
    refuse("{\"a\":" ENTRY("U8", "[2]", "[0,2]") ",\"b\":" ENTRY("U8", "[2]", "[1,3]") "}", 3,
           "overlap");
    refuse("{\"a\":" ENTRY("U8", "[2]", "[0,2]") ",\"b\":" ENTRY("U8", "[2]", "[0,2]") "}", 2,
           "overlap");
    refuse(ONE("F32", "[2]", "[8,0]"), 8, "before it begins");
    refuse(ONE("F32", "[2]", "[0,4]"), 4, "expected 8");
    refuse(ONE("BF16", "[2]", "[0,8]"), 8, "expected 4");
    refuse(ONE("F4", "[3]", "[0,2]"), 2, "whole bytes");
}

static void test_numbers(void **state)
{
    (void)state;
    refuse(ONE("F32", "[-1]", "[0,4]"), 4, "whole numbers");
    refuse(ONE("F32", "[-0]", "[0,0]"), 0, "whole numbers");
    refuse(ONE("F32", "[1.0]", "[0,4]"), 4, "whole numbers");
    refuse(ONE("F32", "[1e0]", "[0,4]"), 4, "whole numbers");
    refuse(ONE("F32", "[1E0]", "[0,4]"), 4, "whole numbers");
    refuse(ONE("F32", "[+1]", "[0,4]"), 4, "whole numbers");
    refuse(ONE("F32", "[01]", "[0,4]"), 4, "JSON");
    refuse(ONE("F32", "[\"1\"]", "[0,4]"), 4, "whole number");
    refuse(ONE("F32", "[null]", "[0,4]"), 4, "whole number");
    refuse(ONE("F32", "[281474976710657]", "[0,4]"), 4, "2^48");
    refuse(ONE("F32", "[99999999999999999999]", "[0,4]"), 4, "JSON");
    refuse(ONE("F32", "[1]", "[0,281474976710657]"), 4, "2^48");
    refuse(ONE("F32", "[281474976710656,281474976710656]", "[0,4]"), 4, "overflows");
    refuse(ONE("F64", "[281474976710656,65535]", "[0,4]"), 4, "whole bytes"); /* times 64 bits */
}

static void test_entries(void **state)
{
    (void)state;
    refuse(ONE("F33", "[1]", "[0,4]"), 4, "unknown dtype 'F33'");
    refuse(ONE("f32", "[1]", "[0,4]"), 4, "unknown dtype");
    refuse("{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "'dtype'");
    refuse(ONE("F32", "1", "[0,4]"), 4, "'shape'");
    refuse(ONE("F32", "[1]", "4"), 4, "pair");
    refuse(ONE("F32", "[1]", "[0,4,4]"), 4, "pair");
    refuse(ONE("F32", "[1]", "[4]"), 4, "pair");
    refuse(ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "9 dimensions");
    refuse("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no 'dtype'");
    refuse("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "no 'shape'");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "no 'data_offsets'");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":0}}", 4,
           "keys other");
    refuse("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
           "JSON");
    refuse("{\"a\":[]}", 0, "not an object");
    refuse("{\"a\":" ENTRY("U8", "[1]", "[0,1]") ",\"a\":" ENTRY("U8", "[1]", "[1,2]") "}", 2,
           "JSON");
    refuse("{\"\":" ENTRY("U8", "[1]", "[0,1]") "}", 1, "name");
    refuse("{\"a\\u0000b\":" ENTRY("U8", "[1]", "[0,1]") "}", 1, "JSON");
    refuse("{\"__metadata__\":{\"format\":1}}", 0, "__metadata__");
    refuse("{\"__metadata__\":[]}", 0, "__metadata__");
    char header[1200];
    memset(header, 'n', sizeof header);
    memcpy(header, "{\"", 2);
    (void)snprintf(header + 2 + 1025, 100, "\":%s}", ENTRY("U8", "[1]", "[0,1]"));
    refuse(header, 1, "1025 bytes");
    memmove(header + 2 + 1024, header + 2 + 1025, strlen(header + 2 + 1025) + 1);
    accept(header, 1);
}

static void test_text(void **state)
{
    (void)state;
    refuse("", 0, "'{'");
    refuse(" {}", 0, "'{'");
    refuse("[]", 0, "'{'");
    refuse("{", 0, "JSON");
    refuse("{}x", 0, "JSON");
    refuse("{}{}", 0, "JSON");
    refuse_n("{}\0", 3, 0, "JSON");
    refuse("{\"a\":\"\xff\"}", 0, "JSON");        /* not UTF-8 */
    refuse("{\"\xed\xa0\x80\":\"\"}", 0, "JSON"); /* surrogate in UTF-8 */
    refuse("{\"\\ud800\":\"\"}", 0, "JSON");      /* half a pair */
    refuse("{\"a\\x\":\"\"}", 0, "JSON");         /* no such escape */
    refuse("{\"a\nb\":\"\"}", 0, "JSON");         /* raw control character */
    refuse("{\"a\":[[[[1]]]]}", 0, "deeper");
    refuse("{\"a\":NaN}", 0, "JSON");
    refuse("{\"a\":true}", 0, "whole numbers");
    char deep[60001];
    memset(deep, '[', sizeof deep - 1);
    memcpy(deep, "{\"a\":", 5);
    deep[sizeof deep - 1] = '\0';
    refuse(deep, 0, "deeper");
    /* Brackets inside strings do not nest. */
    accept("{\"__metadata__\":{\"{[{[{[{[\":\"\\\"{[{[{[{[\"}}", 0);
}

static void refuse_size(unsigned long long size, const char *word)
{
    char *folder = fix_folder();
    const char *path = in(folder, "model.safetensors");
    put_raw(path, size, "{}", 2, 0);
    struct sae_st *st = NULL;
    assert_int_equal(sae_st_open(&st, path, &g_err), SAE_EFORMAT);
    if (strstr(g_err.msg, word) == NULL)
        fail_msg("'%s' does not say '%s'", g_err.msg, word);
    fix_remove(folder);
}

static void test_file(void **state)
{
    (void)state;
    refuse_size(3, "cut");
    refuse_size(100000000, "cut");
    refuse_size(100000001, "at most");
    refuse_size(0xffffffffffffffffU, "at most");
    refuse_size(0, "'{'");
    char *folder = fix_folder();
    struct sae_st *st = NULL;
    fix_write_text(folder, "short", "1234567");
    assert_int_equal(sae_st_open(&st, in(folder, "short"), &g_err), SAE_EFORMAT);
    fix_write_text(folder, "empty", "");
    assert_int_equal(sae_st_open(&st, in(folder, "empty"), &g_err), SAE_EFORMAT);
    assert_int_equal(sae_st_open(&st, in(folder, "absent"), &g_err), SAE_EIO);
    assert_int_equal(sae_st_open(&st, folder, &g_err), SAE_EFORMAT);
    assert_non_null(strstr(g_err.msg, "regular"));
    assert_int_equal(mkfifo(in(folder, "pipe"), 0600), 0);
    assert_int_equal(sae_st_open(&st, in(folder, "pipe"), &g_err), SAE_EFORMAT);
    assert_int_equal(sae_st_open_folder(&st, folder, &g_err), SAE_EIO);
    assert_null(st);
    fix_remove(folder);
}

/* Each byte of a good file's head flipped, and each cut: never more than a refusal. */
static void test_damage(void **state)
{
    (void)state;
    static const char good[] = "{\"a\":" ENTRY("BF16", "[2,2]", "[4,12]") ",\"b\":" ENTRY(
        "F32", "[1]", "[0,4]") ",\"__metadata__\":{\"k\":\"v\"}}";
    accept(good, 12);
    char bad[sizeof good];
    for (size_t i = 0; i < sizeof good - 1; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            memcpy(bad, good, sizeof good);
            bad[i] = (char)(bad[i] ^ (1 << bit));
            (void)try_header(bad, sizeof good - 1, 12);
        }
    for (size_t n = 0; n < sizeof good - 1; n++)
        assert_int_equal(try_header(good, n, 12), SAE_EFORMAT);
}

/* --- shards --------------------------------------------------------------------------------- */

static void refuse_index(const char *index, enum sae_status expected, const char *word)
{
    char *folder = fix_folder();
    const float one = 1, two[2] = {1, 2};
    const struct sae_st_item a = {"a", SAE_ST_F32, 1, {1}, &one};
    const struct sae_st_item b[2] = {
        {"b", SAE_ST_F32, 1, {2}, two},
        a
    };
    assert_int_equal(sae_st_write(in(folder, "one"), &a, 1, &g_err), SAE_OK);
    assert_int_equal(sae_st_write(in(folder, "two"), b, 1, &g_err), SAE_OK);
    assert_int_equal(sae_st_write(in(folder, "both"), b, 2, &g_err), SAE_OK);
    fix_write_text(folder, "model.safetensors.index.json", index);
    struct sae_st *st = NULL;
    g_err.msg[0] = '\0';
    const enum sae_status found = sae_st_open_folder(&st, folder, &g_err);
    sae_st_close(st);
    if (found != expected || strstr(g_err.msg, word) == NULL)
        fail_msg("%s: status %d, '%s' instead of '%s'", index, (int)found, g_err.msg, word);
    fix_remove(folder);
}

static void test_index(void **state)
{
    (void)state;
#define MAP(text) "{\"metadata\":{\"total_size\":12},\"weight_map\":{" text "}}"
    refuse_index(MAP("\"a\":\"one\",\"b\":\"two\""), SAE_OK, "");
    refuse_index(MAP("\"b\":\"both\""), SAE_OK, ""); /* further tensors in a shard are fine */
    refuse_index(MAP("\"a\":\"one\",\"b\":\"both\""), SAE_EFORMAT, "in two shards");
    refuse_index(MAP("\"a\":\"two\",\"b\":\"two\""), SAE_EFORMAT, "not in 'two'");
    refuse_index(MAP("\"b\":\"one\",\"a\":\"two\""), SAE_EFORMAT, "in another shard");
    refuse_index(MAP("\"a\":\"gone\""), SAE_EIO, "gone");
    refuse_index(MAP("\"a\":\"../one\""), SAE_EFORMAT, "plain file name");
    refuse_index(MAP("\"a\":\"/etc/passwd\""), SAE_EFORMAT, "plain file name");
    refuse_index(MAP("\"a\":\"..\""), SAE_EFORMAT, "plain file name");
    refuse_index(MAP("\"a\":\".\""), SAE_EFORMAT, "plain file name");
    refuse_index(MAP("\"a\":\"\""), SAE_EFORMAT, "plain file name");
    refuse_index(MAP("\"a\":\"one\\u0000\""), SAE_EFORMAT, "JSON");
    refuse_index(MAP("\"a\":1"), SAE_EFORMAT, "plain file name");
    refuse_index(MAP("\"a\":\"one\",\"a\":\"one\""), SAE_EFORMAT, "JSON");
    refuse_index(MAP(""), SAE_EFORMAT, "weight_map");
    refuse_index("{}", SAE_EFORMAT, "weight_map");
    refuse_index("[]", SAE_EFORMAT, "weight_map");
    refuse_index("{", SAE_EFORMAT, "JSON");
}

/* As transformers: one file before the shards of an index; PyTorch's files are named as such. */
static void test_which_files(void **state)
{
    (void)state;
    char *folder = fix_folder();
    const float one = 1;
    const struct sae_st_item a = {"a", SAE_ST_F32, 1, {1}, &one}, b = {"b", SAE_ST_F32, 1, {1}, &one};
    struct sae_st *st = NULL;
    fix_write_text(folder, "pytorch_model.bin", "");
    assert_int_equal(sae_st_open_folder(&st, folder, &g_err), SAE_EIO);
    assert_non_null(strstr(g_err.msg, "PyTorch files"));
    assert_int_equal(sae_st_write(in(folder, "shard"), &a, 1, &g_err), SAE_OK);
    fix_write_text(folder, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"shard\"}}");
    assert_int_equal(sae_st_open_folder(&st, folder, &g_err), SAE_OK);
    assert_non_null(sae_st_find(st, "a"));
    sae_st_close(st);
    assert_int_equal(sae_st_write(in(folder, "model.safetensors"), &b, 1, &g_err), SAE_OK);
    assert_int_equal(sae_st_open_folder(&st, folder, &g_err), SAE_OK);
    assert_null(sae_st_find(st, "a"));
    assert_non_null(sae_st_find(st, "b"));
    sae_st_close(st);
    fix_remove(folder);
}

/* --- values and the writer ------------------------------------------------------------------ */

static void test_f16(void **state)
{
    (void)state;
    char *folder = fix_folder();
    static const struct {
        unsigned short bits;
        float value;
    } known[] = {
        {0x0000, 0               },
        {0x8000, -0.0F           },
        {0x3c00, 1               },
        {0xc000, -2              },
        {0x7bff, 65504           },
        {0x0400, 0x1p-14F        },
        {0x0001, 0x1p-24F        },
        {0x83ff, -1023 * 0x1p-24F},
        {0x3555, 0x1.554p-2F     },
        {0x7c00, INFINITY        },
        {0xfc00, -INFINITY       }
    };
    enum { N = sizeof known / sizeof known[0] };
    char header[200];
    (void)snprintf(header, sizeof header, ONE("F16", "[%d]", "[0,%d]"), N, 2 * N);
    const size_t len = strlen(header); /* 8 + len is odd: values are not aligned */
    unsigned char bytes[300] = {(unsigned char)len};
    memcpy(bytes + 8, header, len);
    for (size_t i = 0; i < N; i++) {
        bytes[8 + len + 2 * i] = (unsigned char)known[i].bits;
        bytes[8 + len + 2 * i + 1] = (unsigned char)(known[i].bits >> 8);
    }
    assert_int_equal(sae_fs_write(in(folder, "f"), (const char *)bytes, 8 + len + 2 * N, &g_err),
                     SAE_OK);
    struct sae_st *st = NULL;
    assert_int_equal(sae_st_open(&st, in(folder, "f"), &g_err), SAE_OK);
    float found[N];
    sae_st_widen(found, sae_st_find(st, "a"), 0, N);
    for (size_t i = 0; i < N; i++)
        assert_memory_equal(&found[i], &known[i].value, sizeof found[i]);
    sae_st_widen(found, sae_st_find(st, "a"), 3, 2);
    assert_true(found[0] == -2 && found[1] == 65504);
    sae_st_close(st);
    fix_remove(folder);
}

static void test_writer(void **state)
{
    (void)state;
    char *folder = fix_folder();
    const float data[6] = {1, -2, 3.14159274F, 0, 1e30F, -1e-30F};
    const struct sae_st_item items[3] = {
        {"z\"\\\xc3\xa9", SAE_ST_BF16, 2, {2, 3}, data    },
        {"y",             SAE_ST_F32,  1, {6},    data    },
        {"scalar",        SAE_ST_F32,  0, {0},    data + 2},
    };
    assert_int_equal(sae_st_write(in(folder, "f"), items, 3, &g_err), SAE_OK);
    struct sae_st *st = NULL;
    assert_int_equal(sae_st_open(&st, in(folder, "f"), &g_err), SAE_OK);
    assert_int_equal(sae_st_size(st), 3);
    assert_string_equal(sae_st_at(st, 0)->name, "scalar");
    assert_null(sae_st_at(st, 3));
    assert_null(sae_st_find(st, "absent"));
    assert_int_equal(sae_st_n_files(st), 1);
    float found[6];
    const struct sae_st_tensor *y = sae_st_find(st, "y");
    assert_int_equal((uintptr_t)y->data % 4, 0); /* data start on a multiple of 64 */
    sae_st_widen(found, y, 0, 6);
    assert_memory_equal(found, data, sizeof data);
    const struct sae_st_tensor *z = sae_st_find(st, items[0].name);
    assert_non_null(z);
    assert_int_equal(z->rank, 2);
    assert_int_equal(z->shape[1], 3);
    sae_st_widen(found, z, 0, 6);
    assert_true(found[0] == 1 && found[1] == -2 && found[2] == 3.140625F);
    assert_true(sae_st_find(st, "scalar")->n == 1);
    sae_st_close(st);
    const struct sae_st_item twice[2] = {items[1], items[1]};
    assert_int_equal(sae_st_write(in(folder, "g"), twice, 2, &g_err), SAE_EARG);
    const struct sae_st_item half = {"h", SAE_ST_F16, 1, {6}, data};
    assert_int_equal(sae_st_write(in(folder, "g"), &half, 1, &g_err), SAE_EARG);
    assert_int_equal(sae_st_write_folder(folder, twice, 2, 2, &g_err), SAE_EARG);
    assert_int_equal(sae_st_write("/nowhere/at/all", items, 3, &g_err), SAE_EIO);
    assert_false(sae_fs_is_file(in(folder, "g")));
    fix_remove(folder);
}

/* Equal input, equal bytes. */
static void test_writer_repeats(void **state)
{
    (void)state;
    char *folder = fix_folder();
    const struct fix_form form = {.dtype = SAE_ST_BF16};
    struct sae_st_item *items = fix_items(&form);
    char *a = NULL, *b = NULL;
    size_t n = 0, m = 0;
    assert_int_equal(sae_st_write(in(folder, "a"), items, FIX_N, &g_err), SAE_OK);
    assert_int_equal(sae_st_write(in(folder, "b"), items, FIX_N, &g_err), SAE_OK);
    assert_int_equal(sae_fs_read(&a, &n, in(folder, "a"), 1 << 20, &g_err), SAE_OK);
    assert_int_equal(sae_fs_read(&b, &m, in(folder, "b"), 1 << 20, &g_err), SAE_OK);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
    fix_items_free(items);
    fix_remove(folder);
}

/* Each allocation fails once: an error, nothing leaked (seen under a sanitizer). */
static void test_no_memory(void **state)
{
    (void)state;
    char *folder = fix_folder();
    const struct fix_form form = {.dtype = SAE_ST_F32, .n_shards = 3};
    fix_write(folder, &form);
    struct sae_st *st = NULL;
    enum sae_status status = SAE_ENOMEM;
    size_t n = 0;
    while (status != SAE_OK) {
        sae_mem_fail_after(++n);
        status = sae_st_open_folder(&st, folder, &g_err);
        assert_true(status == SAE_OK || status == SAE_ENOMEM);
        assert_true(n < 1000);
    }
    sae_mem_fail_after(0);
    assert_true(n > FIX_N);
    sae_st_close(st);
    fix_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_legal),
        cmocka_unit_test(test_tiling),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_index), cmocka_unit_test(test_which_files),
        cmocka_unit_test(test_f16),
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_writer_repeats),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("sae_st", tests, NULL, NULL);
}
