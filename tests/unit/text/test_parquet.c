/* SPDX-License-Identifier: MIT */
/* Parquet against what pyarrow wrote and read (tests/golden/parquet.py), and files that are damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/text/docs.h"
#include "lib/text/parquet.h"

static const char *const encodings[] = {"dictionary", "plain", "delta", "front"};
static const char *const codecs[] = {"none", "snappy", "gzip", "zstd"};
static struct sae_err err;

static const char *golden(const char *name)
{
    static char path[2][1000];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/tests/golden/parquet/%s", getenv("SAE_SOURCE_ROOT"),
             name);
    return path[turn];
}

static void expect(enum sae_status st)
{
    if (st != SAE_OK)
        fail_msg("%s", err.msg);
}

static bool can_read(const char *codec)
{
#ifdef SAE_SNAPPY
    (void)codec;
    return true;
#else
    return strcmp(codec, "snappy") != 0;
#endif
}

/* --- every encoding, codec and version ------------------------------------------------------ */

static void check_file(const char *path, size_t step)
{
    struct sae_parquet *p = NULL;
    FILE *const want = fopen(golden("rows.jsonl"), "r");
    char line[8192];
    bool more;
    size_t n = 0;
    uint64_t n_replaced = 0;
    assert_non_null(want);
    expect(sae_parquet_open(&p, path, &err));
    expect(sae_parquet_select(p, SIZE_MAX, NULL, &err));
    for (; fgets(line, sizeof line, want) != NULL; n++) {
        json_t *row = NULL, *const wanted = json_loads(line, 0, NULL);
        assert_non_null(wanted);
        expect(sae_parquet_next(p, &more, &err));
        assert_true(more);
        if (n % step == step - 1) {
            expect(sae_parquet_row(p, &row, &n_replaced, &err));
            if (!json_equal(row, wanted))
                fail_msg("%s row %zu: %s", path, n, json_dumps(row, 0));
        }
        json_decref(row);
        json_decref(wanted);
    }
    expect(sae_parquet_next(p, &more, &err));
    assert_false(more);
    assert_int_equal(n, 28);
    assert_int_equal(n_replaced, 0);
    sae_parquet_close(p);
    fclose(want);
}

/* Steps: rows that are passed over change nothing in those that are read. */
static void test_all(void **state)
{
    (void)state;
    for (size_t e = 0; e < 4; e++)
        for (size_t c = 0; c < 4; c++)
            for (int version = 1; version <= 2 && can_read(codecs[c]); version++)
                for (size_t step = 1; step <= 11; step += 5) {
                    char name[100];
                    snprintf(name, sizeof name, "%s_%s_v%d.parquet", encodings[e], codecs[c], version);
                    check_file(golden(name), step);
                }
    check_file(golden("split_zstd_v2.parquet"), 1);
}

/* Whichever memory is not there, that is said, and nothing is left behind. */
static void test_memory(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        struct sae_parquet *p = NULL;
        json_t *row = NULL;
        bool more = false;
        uint64_t n_replaced = 0;
        sae_mem_fail_after(n);
        enum sae_status st = sae_parquet_open(&p, golden("front_zstd_v2.parquet"), &err);
        if (st == SAE_OK)
            st = sae_parquet_select(p, SIZE_MAX, NULL, &err);
        for (int rows = 0; st == SAE_OK && rows < 20; rows++) {
            st = sae_parquet_next(p, &more, &err);
            row = NULL;
            if (st == SAE_OK)
                st = sae_parquet_row(p, &row, &n_replaced, &err);
            json_decref(row);
        }
        sae_mem_fail_after(0);
        sae_parquet_close(p);
        if (st == SAE_OK) {
            assert_true(n > 30);
            return;
        }
        assert_int_equal(st, SAE_ENOMEM);
    }
}

/* Lists of other writers (tests/golden/parquet_lists.py). */
static void check_lists(const char *file, const char *const *want)
{
    struct sae_parquet *p = NULL;
    bool more;
    uint64_t n_replaced = 0;
    expect(sae_parquet_open(&p, golden(file), &err));
    expect(sae_parquet_select(p, SIZE_MAX, NULL, &err));
    for (; *want != NULL; want++) {
        json_t *row = NULL;
        expect(sae_parquet_next(p, &more, &err));
        assert_true(more);
        expect(sae_parquet_row(p, &row, &n_replaced, &err));
        char *const text = json_dumps(row, JSON_COMPACT);
        assert_string_equal(text, *want);
        free(text);
        json_decref(row);
    }
    expect(sae_parquet_next(p, &more, &err));
    assert_false(more);
    sae_parquet_close(p);
}

static void test_lists(void **state)
{
    static const char *const two[] = {"{\"ids\":[5,6]}", "{\"ids\":[]}", "{\"ids\":null}",
                                      "{\"ids\":[7,8,9]}", NULL};
    static const char *const bare[] = {"{\"ids\":[5,6]}", "{\"ids\":[]}", "{\"ids\":[7,8,9]}", NULL};
    (void)state;
    check_lists("list_two.parquet", two);
    check_lists("list_bare.parquet", bare);
}

/* --- columns -------------------------------------------------------------------------------- */

static void find(const char *file, const char *field, const char *column, const char *why_not)
{
    struct sae_parquet *p = NULL;
    char why[300] = "";
    expect(sae_parquet_open(&p, golden(file), &err));
    const size_t at = sae_parquet_find(p, field, why, sizeof why);
    if (column == NULL) {
        assert_int_equal(at, SIZE_MAX);
        if (strstr(why, why_not) == NULL)
            fail_msg("%s, %s: %s", file, field, why);
    } else {
        assert_int_not_equal(at, SIZE_MAX);
        expect(sae_parquet_select(p, at, NULL, &err));
        assert_string_equal(sae_parquet_selected(p), column);
    }
    sae_parquet_close(p);
}

static void test_columns(void **state)
{
    (void)state;
    const char *const all = "plain_none_v1.parquet";
    find(all, "text", "text", NULL);
    find(all, "blob", "blob", NULL);
    find(all, "input_ids", "input_ids", NULL);
    find(all, "translation.fr", "translation.fr", NULL);
    find("big.parquet", "text", "content", NULL);
    find("ids.parquet", "text", "input_ids", NULL);
    find(all, "absent", NULL, "it has no column 'absent'; its columns are: text, id, blob, n");
    find("big.parquet", "absent", NULL, "it has no column 'absent'; its columns are: content");
    find("two.parquet", "text", NULL, "no column 'text'; its columns are: title, body");
    find(all, "x", NULL, "its column 'x' holds neither strings nor lists of token ids");
    find(all, "words", NULL, "its column 'words' holds neither");
    find("reals.parquet", "text", NULL, "neither strings");
    find("decimal.parquet", "text", NULL, "neither strings");
    find("lists.parquet", "text", NULL, "neither strings");
}

static void refuse_rows(const char *path, const char *why)
{
    struct sae_parquet *p = NULL;
    bool more = true;
    uint64_t n_replaced = 0;
    enum sae_status st = sae_parquet_open(&p, path, &err);
    if (st == SAE_OK)
        st = sae_parquet_select(p, 0, "text", &err);
    while (st == SAE_OK && more) {
        json_t *row = NULL;
        st = sae_parquet_next(p, &more, &err);
        if (st == SAE_OK && more)
            st = sae_parquet_row(p, &row, &n_replaced, &err);
        json_decref(row);
    }
    sae_parquet_close(p);
    if (st == SAE_OK)
        fail_msg("'%s' is read", path);
    if (strstr(err.msg, why) == NULL)
        fail_msg("%s, expected: %s", err.msg, why);
}

static void test_refused(void **state)
{
    (void)state;
    refuse_rows(golden("brotli.parquet"), "column 'text' is compressed with brotli (codec 4)");
    refuse_rows(golden("lz4.parquet"), "column 'text' is compressed with lz4_raw (codec 7)");
    refuse_rows(golden("locked.parquet"), "is an encrypted Parquet file");
    refuse_rows(golden("locked_column.parquet"), "is an encrypted Parquet file");
    refuse_rows(golden("lists.parquet"), "column 'text' is a list of lists or of a type that is not read");
    refuse_rows(golden("decimal.parquet"), "column 'text' is a list of lists or of a type that is not read");
}

/* --- damage --------------------------------------------------------------------------------- */

static uint8_t *load(const char *name, size_t *n)
{
    FILE *const from = fopen(golden(name), "rb");
    uint8_t *const bytes = malloc(1 << 20);
    assert_non_null(from);
    *n = fread(bytes, 1, 1 << 20, from);
    fclose(from);
    return bytes;
}

static const char *put(const uint8_t *bytes, size_t n)
{
    static char path[] = "parquet_test_XXXXXX.parquet";
    static bool made;
    FILE *to;
    if (!made)
        close(mkstemps(path, 8));
    made = true;
    to = fopen(path, "wb");
    assert_non_null(to);
    assert_int_equal(fwrite(bytes, 1, n, to), n);
    fclose(to);
    return path;
}

static void test_cut(void **state)
{
    size_t n;
    uint8_t *const bytes = load("plain_zstd_v2.parquet", &n);
    (void)state;
    refuse_rows(put(bytes, 0), "is not a Parquet file");
    refuse_rows(put(bytes, 3), "is not a Parquet file");
    for (size_t keep = 4; keep < n; keep += keep < n - 20 ? 97 : 1)
        refuse_rows(put(bytes, keep), "is Parquet without its end");
    memcpy(bytes, "PARE", 4);
    refuse_rows(put(bytes, n), "is an encrypted Parquet file");
    memcpy(bytes, "PAR1", 4);
    memset(bytes + n - 8, 0xff, 4);
    refuse_rows(put(bytes, n), "it is longer than the file");
    remove(put(bytes, n));
    free(bytes);
}

/* With checksums, no byte of a page may be another. */
static void test_checksum(void **state)
{
    size_t n;
    uint8_t *const bytes = load("plain_none_v1.parquet", &n);
    (void)state;
    uint8_t *const at = memmem(bytes, n, "cat sat on", 10);
    assert_non_null(at);
    *at ^= 1;
    refuse_rows(put(bytes, n), "column 'text' is damaged: the checksum (CRC) of a page");
    remove(put(bytes, n));
    free(bytes);
}

/* Whatever is done to a file, it is read or refused. */
static void test_any_byte(void **state)
{
    (void)state;
    for (size_t e = 0; e < 4; e++) {
        char name[100];
        size_t n;
        snprintf(name, sizeof name, "%s_gzip_v%d.parquet", encodings[e], (int)(e % 2) + 1);
        uint8_t *const bytes = load(name, &n);
        for (size_t i = 4; i < n - 4; i += 29) {
            struct sae_parquet *p = NULL;
            const uint8_t before = bytes[i];
            bool more = true;
            uint64_t n_replaced = 0;
            bytes[i] = (uint8_t)(before ^ (1 << i % 8));
            enum sae_status st = sae_parquet_open(&p, put(bytes, n), &err);
            if (st == SAE_OK)
                st = sae_parquet_select(p, SIZE_MAX, NULL, &err);
            for (int rows = 0; st == SAE_OK && more && rows < 100; rows++) {
                json_t *row = NULL;
                st = sae_parquet_next(p, &more, &err);
                if (st == SAE_OK && more)
                    st = sae_parquet_row(p, &row, &n_replaced, &err);
                json_decref(row);
            }
            assert_true(st == SAE_OK || st == SAE_EFORMAT || st == SAE_ERANGE);
            sae_parquet_close(p);
            bytes[i] = before;
        }
        remove(put(bytes, n));
        free(bytes);
    }
}

/* --- documents ------------------------------------------------------------------------------ */

static void open_docs(struct sae_docs *docs, struct sae_files *files, const char *path,
                      const char *field)
{
    *files = (struct sae_files){0};
    expect(sae_files_add(files, path, &err));
    expect(sae_files_sort_out(files, field, &err));
    sae_docs_init(docs, files, field, SAE_DOCS_SPLIT_NONE);
}

static void next(struct sae_docs *docs, const char *text)
{
    bool more;
    expect(sae_docs_next(docs, &more, &err));
    assert_true(more);
    assert_int_equal(docs->text.len, strlen(text));
    assert_memory_equal(docs->text.s, text, strlen(text));
}

static void test_docs(void **state)
{
    struct sae_files files;
    struct sae_docs docs;
    bool more;
    (void)state;
    open_docs(&docs, &files, golden("front_zstd_v1.parquet"), "text");
    next(&docs, "text 0");
    next(&docs, "");
    assert_int_equal(docs.left.n, 0);
    next(&docs, ""); /* null */
    assert_int_equal(docs.left.n, 1);
    assert_non_null(strstr(docs.left.first, "row 3: field 'text' is null"));
    sae_docs_clear(&docs);
    sae_files_clear(&files);

    open_docs(&docs, &files, golden("big.parquet"), "text");
    docs.piece = 1 << 16;
    size_t len = 0;
    do {
        expect(sae_docs_next(&docs, &more, &err));
        len += docs.text.len;
    } while (docs.inside);
    assert_int_equal(len, 300003);
    next(&docs, "short");
    expect(sae_docs_next(&docs, &more, &err));
    assert_false(more);
    sae_docs_clear(&docs);
    sae_files_clear(&files);

    open_docs(&docs, &files, golden("none.parquet"), "text");
    expect(sae_docs_next(&docs, &more, &err));
    assert_false(more);
    sae_docs_clear(&docs);
    sae_files_clear(&files);

    open_docs(&docs, &files, golden("bytes.parquet"), "text");
    next(&docs, "caf\xef\xbf\xbd");
    assert_int_equal(docs.left.n_replaced, 1);
    sae_docs_clear(&docs);
    sae_files_clear(&files);
}

static void test_ids(void **state)
{
    struct sae_files files;
    struct sae_docs docs;
    bool more;
    (void)state;
    open_docs(&docs, &files, golden("ids.parquet"), "input_ids");
    docs.n_vocab = 10;
    for (size_t i = 0; i < 3; i++) {
        static const size_t n[] = {3, 2, 0};
        expect(sae_docs_next(&docs, &more, &err));
        assert_true(more && docs.has_ids && !docs.continues);
        assert_int_equal(docs.n_ids, n[i]);
        for (uint32_t k = 0; k < docs.n_ids; k++)
            assert_int_equal(docs.ids[k], 5 + 3 * i + k);
    }
    sae_docs_clear(&docs);
    sae_files_clear(&files);

    open_docs(&docs, &files, golden("ids.parquet"), "input_ids");
    docs.n_vocab = 9;
    expect(sae_docs_next(&docs, &more, &err));
    assert_int_equal(sae_docs_next(&docs, &more, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "row 2: token id 9, but the vocabulary has 9"));
    sae_docs_clear(&docs);
    sae_files_clear(&files);

    open_docs(&docs, &files, golden("ids.parquet"), "input_ids"); /* where texts are needed */
    assert_int_equal(sae_docs_next(&docs, &more, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "holds lists of token ids, and texts are needed"));
    sae_docs_clear(&docs);
    sae_files_clear(&files);

    open_docs(&docs, &files, golden("plain_none_v2.parquet"), "input_ids");
    docs.n_vocab = 1000;
    for (int i = 0; i < 28; i++)
        expect(sae_docs_next(&docs, &more, &err));
    assert_int_equal(docs.left.n, 5); /* null lists, and lists with nulls in them */
    sae_docs_clear(&docs);
    sae_files_clear(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),      cmocka_unit_test(test_columns), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut),      cmocka_unit_test(test_checksum), cmocka_unit_test(test_any_byte),
        cmocka_unit_test(test_docs),     cmocka_unit_test(test_ids),     cmocka_unit_test(test_memory),
        cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests_name("parquet", tests, NULL, NULL);
}
