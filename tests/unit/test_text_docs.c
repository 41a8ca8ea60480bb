/* SPDX-License-Identifier: MIT */
/* Tests of lib/text/{bytes,docs,files}: text as it comes, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "lib/base/fs.h"
#include "lib/text/docs.h"

static char dir[] = "/tmp/saekit-text-XXXXXX";
static char path[200];

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

/* Writes dir/name; `path` is then its path. */
static const char *put(const char *name, const void *data, size_t n)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(sae_fs_write(path, data, n, NULL), SAE_OK);
    return path;
}

static size_t gzip(unsigned char *to, size_t room, const char *text, size_t n)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)text;
    z.avail_in = (unsigned)n;
    z.next_out = to;
    z.avail_out = (unsigned)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    const size_t made = z.total_out;
    deflateEnd(&z);
    return made;
}

static void expect_lines(const char *const *lines, size_t n)
{
    struct sae_bytes bytes;
    struct sae_str line = {0};
    bool more;
    assert_int_equal(sae_bytes_open(&bytes, path, NULL), SAE_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(sae_bytes_line(&bytes, &line, &more, NULL), SAE_OK);
        assert_true(more);
        assert_string_equal(line.s, lines[i]);
    }
    assert_int_equal(sae_bytes_line(&bytes, &line, &more, NULL), SAE_OK);
    assert_false(more);
    sae_str_clear(&line);
    sae_bytes_close(&bytes);
}

static const char *const three_lines[] = {"one", "", "tw\xc3\xb6"};

static void plain_lines(void **state)
{
    (void)state;
    put("a.txt", "one\r\n\ntw\xc3\xb6", 10); /* no newline at the end */
    expect_lines(three_lines, 3);
    put("bom.txt", "\xef\xbb\xbfone\n\ntw\xc3\xb6\n", 13);
    expect_lines(three_lines, 3);
    put("both.txt", "\xef\xbb\xbfone\r\n\ntw\xc3\xb6", 13);
    expect_lines(three_lines, 3);
    put("empty.txt", "", 0);
    expect_lines(NULL, 0);
}

static void missing_file(void **state)
{
    (void)state;
    struct sae_bytes bytes;
    struct sae_err err = {0};
    snprintf(path, sizeof path, "%s/missing", dir);
    assert_int_equal(sae_bytes_open(&bytes, path, &err), SAE_EIO);
    assert_non_null(strstr(err.msg, path));
}

static void packed_lines(void **state)
{
    (void)state;
    unsigned char packed[1000];
    /* Told by content, not by name; two members, two frames, as cat makes them. */
    size_t n = gzip(packed, sizeof packed, "one\n\nt", 6);
    n += gzip(packed + n, sizeof packed - n, "w\xc3\xb6\n", 4);
    put("gzip.txt", packed, n);
    expect_lines(three_lines, 3);
    size_t m = ZSTD_compress(packed, sizeof packed, "one\n\nt", 6, 3);
    m += ZSTD_compress(packed + m, sizeof packed - m, "w\xc3\xb6\n", 4, 3);
    put("zstd.bin", packed, m);
    expect_lines(three_lines, 3);
}

static void expect_damage(const unsigned char *data, size_t n, const char *why)
{
    struct sae_bytes bytes;
    struct sae_str all = {0};
    struct sae_err err = {0};
    put("damaged", data, n);
    enum sae_status st = sae_bytes_open(&bytes, path, &err);
    if (st == SAE_OK) {
        st = sae_bytes_rest(&bytes, &all, &err);
        sae_bytes_close(&bytes);
    }
    sae_str_clear(&all);
    assert_int_equal(st, SAE_EFORMAT);
    if (strstr(err.msg, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.msg, why);
}

/* Longer than the buffers, so that input and output run out at different times. */
static void large_and_damaged(void **state)
{
    (void)state;
    const size_t n = 600000, room = 800000;
    char *text = malloc(n);
    unsigned char *packed = malloc(room);
    uint32_t x = 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = i < n / 2 ? "abcdefghijklmnopqrstuvwxyz012345"[x >> 27] : 'z';
    }
    for (int kind = 0; kind < 2; kind++) {
        const size_t made =
            kind == 0 ? gzip(packed, room, text, n) : ZSTD_compress(packed, room, text, n, 3);
        put("large", packed, made);
        struct sae_bytes bytes;
        struct sae_str all = {0};
        assert_int_equal(sae_bytes_open(&bytes, path, NULL), SAE_OK);
        assert_int_equal(sae_bytes_rest(&bytes, &all, NULL), SAE_OK);
        assert_int_equal(all.len, n);
        assert_memory_equal(all.s, text, n);
        sae_bytes_close(&bytes);
        sae_str_clear(&all);
        expect_damage(packed, made / 2, "ends too early");
        if (kind == 0) {
            packed[made / 2] ^= 0x55;
            packed[made / 2 + 1] ^= 0x55;
            expect_damage(packed, made, "damaged");
        }
    }
    free(text);
    free(packed);
}

/* --- documents ---------------------------------------------------------------------------- */

static void expect_docs(enum sae_docs_split split, const char *const *texts, size_t n)
{
    struct sae_files files = {0};
    struct sae_docs docs;
    struct sae_err err = {0};
    bool more;
    assert_int_equal(sae_files_add(&files, path, NULL), SAE_OK);
    sae_docs_init(&docs, &files, "text", split);
    for (size_t i = 0; i < n; i++) {
        if (sae_docs_next(&docs, &more, &err) != SAE_OK)
            fail_msg("%s", err.msg);
        assert_true(more);
        assert_int_equal(docs.n_docs, i + 1);
        assert_string_equal(docs.text.s, texts[i]);
    }
    assert_int_equal(sae_docs_next(&docs, &more, NULL), SAE_OK);
    assert_false(more);
    sae_docs_clear(&docs);
    sae_files_clear(&files);
}

static void plain_documents(void **state)
{
    (void)state;
    static const char text[] = "\n\nfirst line\nsecond\n \t\n\nthird\n";
    const char *const whole[] = {text}, *const paragraphs[] = {"first line\nsecond", "third"},
                      *const lines[] = {"first line", "second", "third"};
    put("docs.txt", text, sizeof text - 1);
    expect_docs(SAE_DOCS_SPLIT_NONE, whole, 1);
    expect_docs(SAE_DOCS_SPLIT_BLANK, paragraphs, 2);
    expect_docs(SAE_DOCS_SPLIT_LINE, lines, 3);
    const char *const empty[] = {""};
    put("docs.txt", "", 0);
    expect_docs(SAE_DOCS_SPLIT_NONE, empty, 1);
    expect_docs(SAE_DOCS_SPLIT_BLANK, NULL, 0);
}

static void json_documents(void **state)
{
    (void)state;
    static const char text[] = "{\"text\": \"a\\nb\", \"id\": 1}\n\n{\"id\": 2, \"text\": \"\"}\n"
                               "{\"text\": \"sch\\u00f6n \\ud83d\\ude00\"}";
    const char *const docs[] = {"a\nb", "", "sch\xc3\xb6n \xf0\x9f\x98\x80"};
    put("docs.jsonl", text, sizeof text - 1);
    expect_docs(SAE_DOCS_SPLIT_BLANK, docs, 3); /* a split is of plain text only */
    unsigned char packed[500];
    put("docs.jsonl.zst", packed, ZSTD_compress(packed, sizeof packed, text, sizeof text - 1, 3));
    expect_docs(SAE_DOCS_SPLIT_NONE, docs, 3);
}

/* Documents passed over count; what is wrong with their lines is not looked at. */
static void passed_over_documents(void **state)
{
    (void)state;
    static const char text[] =
        "{\"text\": \"a\"}\n\n{broken\n{\"text\": \"c\"}\n{\"text\": \"d\"}\n";
    struct sae_files files = {0};
    struct sae_docs docs;
    bool more;
    put("first.txt", "w\n", 2);
    assert_int_equal(sae_files_add(&files, path, NULL), SAE_OK);
    put("skip.jsonl", text, sizeof text - 1);
    assert_int_equal(sae_files_add(&files, path, NULL), SAE_OK);
    sae_docs_init(&docs, &files, "text", SAE_DOCS_SPLIT_NONE);
    docs.skip = 3;
    assert_int_equal(sae_docs_next(&docs, &more, NULL), SAE_OK);
    assert_true(more);
    assert_string_equal(docs.text.s, "c");
    assert_int_equal(docs.n_docs, 4);
    assert_int_equal(sae_docs_next(&docs, &more, NULL), SAE_OK);
    assert_string_equal(docs.text.s, "d");
    assert_int_equal(sae_docs_next(&docs, &more, NULL), SAE_OK);
    assert_false(more);
    sae_docs_clear(&docs);
    sae_docs_init(&docs, &files, "text", SAE_DOCS_SPLIT_NONE);
    docs.skip = 9; /* more than there are */
    assert_int_equal(sae_docs_next(&docs, &more, NULL), SAE_OK);
    assert_false(more);
    assert_int_equal(docs.n_docs, 5);
    sae_docs_clear(&docs);
    sae_files_clear(&files);
}

static void expect_refusal(const char *name, const char *text, size_t n, const char *why)
{
    struct sae_files files = {0};
    struct sae_docs docs;
    struct sae_err err = {0};
    bool more = true;
    enum sae_status st = SAE_OK;
    put(name, text, n);
    assert_int_equal(sae_files_add(&files, path, NULL), SAE_OK);
    sae_docs_init(&docs, &files, "text", SAE_DOCS_SPLIT_NONE);
    while (st == SAE_OK && more)
        st = sae_docs_next(&docs, &more, &err);
    assert_int_equal(st, SAE_EFORMAT);
    if (strstr(err.msg, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.msg, why);
    sae_docs_clear(&docs);
    sae_files_clear(&files);
}

static void bad_documents_are_refused(void **state)
{
    (void)state;
    static const char missing[] = "{\"text\": \"a\"}\n{\"title\": \"b\", \"url\": \"c\"}\n";
    expect_refusal("x.jsonl", missing, sizeof missing - 1,
                   "line 2 has no field 'text'; it has: title, url");
    static const char broken[] = "{\"text\": \"a\"}\n\n{\"text\": \"b}\n";
    expect_refusal("x.jsonl", broken, sizeof broken - 1, "line 3 is not valid JSON");
    expect_refusal("x.jsonl", "[1]\n", 4, "line 1 is not a JSON object");
    expect_refusal("x.jsonl", "{\"text\": 5}\n", 12, "field 'text' is not a string");
    expect_refusal("x.jsonl", "{\"text\": \"\xff\"}\n", 13, "line 1 is not valid JSON");
    expect_refusal("x.png", "\x89PNG\0\0", 6, "not text: NUL at byte 4");
}

static void folders_are_sorted(void **state)
{
    (void)state;
    char sub[200];
    snprintf(sub, sizeof sub, "%s/tree/b", dir);
    assert_int_equal(sae_fs_make_dirs(sub, NULL), SAE_OK);
    put("tree/c.txt", "c", 1);
    put("tree/b/z.txt", "zz", 2);
    put("tree/a10.txt", "a", 1);
    put("tree/a9.txt", "a", 1);
    put("tree/.hidden", "h", 1);
    snprintf(sub, sizeof sub, "%s/tree", dir);
    struct sae_files files = {0};
    assert_int_equal(sae_files_add(&files, sub, NULL), SAE_OK);
    const char *const names[] = {"a10.txt", "a9.txt", "b/z.txt", "c.txt"};
    assert_int_equal(files.n, 4);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(files.v[i].path + strlen(sub) + 1, names[i]);
    assert_int_equal(files.v[2].n_bytes, 2);
    assert_int_equal(sae_files_hash(&files, NULL), SAE_OK);
    /* sha256 of "c" */
    assert_string_equal(files.v[3].sha256,
                        "2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6");
    sae_files_clear(&files);
    snprintf(sub, sizeof sub, "%s/void", dir);
    assert_int_equal(mkdir(sub, 0777), 0);
    struct sae_err err;
    assert_int_equal(sae_files_add(&files, sub, &err), SAE_EIO);
    assert_non_null(strstr(err.msg, "holds no files"));
    assert_int_equal(sae_files_add(&files, "/nowhere/at/all", &err), SAE_EIO);
    sae_files_clear(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines),        cmocka_unit_test(packed_lines),
        cmocka_unit_test(missing_file),       cmocka_unit_test(passed_over_documents),
        cmocka_unit_test(large_and_damaged),  cmocka_unit_test(plain_documents),
        cmocka_unit_test(json_documents),     cmocka_unit_test(bad_documents_are_refused),
        cmocka_unit_test(folders_are_sorted),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
