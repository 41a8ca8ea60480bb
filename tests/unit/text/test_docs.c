/* SPDX-License-Identifier: MIT */
/* Tests of lib/text/{bytes,kind,json_rows,docs,files}: text as it comes, what is left out and what is
 * refused. */
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
    bool more, whole;
    assert_int_equal(sae_bytes_open(&bytes, path, NULL), SAE_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(sae_bytes_line_part(&bytes, &line, SIZE_MAX, &more, &whole, NULL), SAE_OK);
        assert_true(more);
        assert_string_equal(line.s, lines[i]);
    }
    assert_int_equal(sae_bytes_line_part(&bytes, &line, SIZE_MAX, &more, &whole, NULL), SAE_OK);
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

/* Zeros behind the last member, as tapes leave them; other bytes there are damage. */
static void expect_damage(const unsigned char *data, size_t n, const char *why);
static void padded_gzip(void **state)
{
    (void)state;
    unsigned char packed[200000];
    const size_t n = gzip(packed, 1000, "one\n\ntw\xc3\xb6", 9);
    memset(packed + n, 0, sizeof packed - n);
    put("padded.gz", packed, sizeof packed); /* more than one block of input */
    expect_lines(three_lines, 3);
    packed[sizeof packed - 1] = 'x';
    expect_damage(packed, sizeof packed, "gzip data are damaged");
}

/* 14 bytes that ask for a window of 1.75 GiB. */
static void zstd_window_is_bounded(void **state)
{
    (void)state;
    static const unsigned char frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa6, 0x19,
                                          0x00, 0x00, 'a',  'b',  'c'};
    struct sae_bytes bytes = {0};
    struct sae_err err;
    put("wide.zst", frame, sizeof frame);
    assert_int_equal(sae_bytes_open(&bytes, path, &err), SAE_ERANGE);
    assert_non_null(strstr(err.msg, "more than 128 MiB"));
}

/* What is peeked at is read all the same. */
static void peeking_takes_nothing(void **state)
{
    (void)state;
    enum { N = 300000 };
    char *const text = malloc(N);
    unsigned char *const packed = malloc(N);
    for (size_t i = 0; i < N; i++)
        text[i] = (char)('a' + i * 7 % 23 + i / 30000 % 3);
    for (int kind = 0; kind < 2; kind++) {
        if (kind == 0)
            put("peek", text, N);
        else
            put("peek", packed, gzip(packed, N, text, N));
        struct sae_bytes bytes;
        struct sae_str all = {0};
        assert_int_equal(sae_bytes_open(&bytes, path, NULL), SAE_OK);
        assert_int_equal(sae_bytes_peek(&bytes, SAE_BYTES_PEEK_MAX, NULL), SAE_OK);
        assert_true(bytes.end - bytes.at >= SAE_BYTES_PEEK_MAX);
        assert_memory_equal(bytes.at, text, SAE_BYTES_PEEK_MAX);
        assert_int_equal(sae_bytes_rest(&bytes, &all, 1000, NULL), SAE_OK);
        assert_int_equal(sae_bytes_peek(&bytes, SAE_BYTES_PEEK_MAX, NULL), SAE_OK);
        assert_memory_equal(bytes.at, text + 1000, SAE_BYTES_PEEK_MAX);
        assert_int_equal(sae_bytes_rest(&bytes, &all, SIZE_MAX, NULL), SAE_OK);
        assert_int_equal(all.len, N);
        assert_memory_equal(all.s, text, N);
        sae_str_clear(&all);
        sae_bytes_close(&bytes);
    }
    free(text);
    free(packed);
}

static void expect_damage(const unsigned char *data, size_t n, const char *why)
{
    struct sae_bytes bytes;
    struct sae_str all = {0};
    struct sae_err err = {0};
    put("damaged", data, n);
    enum sae_status st = sae_bytes_open(&bytes, path, &err);
    if (st == SAE_OK) {
        st = sae_bytes_rest(&bytes, &all, SIZE_MAX, &err);
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
        assert_int_equal(sae_bytes_rest(&bytes, &all, SIZE_MAX, NULL), SAE_OK);
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
    assert_int_equal(docs.left.n, 0);
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

/* Rows that cannot be used are documents without text, and counted; so are bytes. */
static void bad_rows_are_left_out(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "{\"text\": \"first\"}",
        "{\"text\": \"hash\", \"id\": 17000000000000000000}", /* beyond 63 bits */
        "{\"text\": \"score\", \"score\": NaN, \"low\": -Infinity, \"big\": 1e999}",
        "{\"text\": \"half \\ud83d\"}",
        "{\"text\": \"other half \\uDE00 and \\ud83d\\ude00\"}",
        "{\"text\": \"caf\351 noir\"}",
        "{\"text\": null}",
        "{\"text\": 5}",
        "{\"title\": \"b\", \"url\": \"c\"}",
        "{\"text\": \"not closed}",
        "[1]",
        "{\"text\": \"NaN, 17000000000000000000 and \\\"NaN\\\" stay\", \"a\": nan}",
    };
    const char *const texts[] = {"first",
                                 "hash",
                                 "score",
                                 "half \xef\xbf\xbd",
                                 "other half \xef\xbf\xbd and \xf0\x9f\x98\x80",
                                 "caf\xef\xbf\xbd noir",
                                 "",
                                 "",
                                 "",
                                 "",
                                 "",
                                 "NaN, 17000000000000000000 and \"NaN\" stay"};
    enum { N = sizeof rows / sizeof *rows };
    struct sae_str file = {0};
    struct sae_files files = {0};
    struct sae_docs docs;
    bool more;
    for (size_t i = 0; i < N; i++)
        assert_int_equal(sae_str_printf(&file, NULL, "%s\n", rows[i]), SAE_OK);
    put("rows", file.s, file.len);
    expect_docs(SAE_DOCS_SPLIT_NONE, texts, N);
    assert_int_equal(sae_files_add(&files, path, NULL), SAE_OK);
    sae_docs_init(&docs, &files, "text", SAE_DOCS_SPLIT_NONE);
    do
        assert_int_equal(sae_docs_next(&docs, &more, NULL), SAE_OK);
    while (more);
    assert_int_equal(docs.n_docs, N);
    assert_int_equal(docs.left.n, 5);
    assert_int_equal(docs.left.n_replaced, 3);
    assert_non_null(strstr(docs.left.first, "line 7: field 'text' is null, not text"));
    sae_docs_clear(&docs);
    sae_files_clear(&files);
    sae_str_clear(&file);
}

static void arrays_and_tables(void **state)
{
    (void)state;
    static const char array[] = "[\n  {\"text\": \"a, ]}\\\"\", \"v\": [1, {\"x\": 2}]},\n"
                                "  {\"text\": \"b\"}, 7,\n  {\n   \"text\": \"c\"\n  }\n]\n";
    const char *const docs[] = {"a, ]}\"", "b", "", "c"};
    put("array.json", array, sizeof array - 1);
    expect_docs(SAE_DOCS_SPLIT_LINE, docs, 4);
    static const char csv[] = "id,text,url\r\n1,\"a, b\nc\",x\r\n2,d\r\n3,\"e\",y\n";
    const char *const records[] = {"a, b\nc", "", "e"};
    put("table", csv, sizeof csv - 1);
    expect_docs(SAE_DOCS_SPLIT_LINE, records, 3);
    static const char tsv[] = "text\tid\nf, g\t1\n\"h\"\t2\n";
    const char *const tabs[] = {"f, g", "h"};
    put("table.tsv", tsv, sizeof tsv - 1);
    expect_docs(SAE_DOCS_SPLIT_NONE, tabs, 2);
}

/* Long documents come in pieces, whose joint is the document; short ones are not touched. */
static void documents_come_in_pieces(void **state)
{
    (void)state;
    enum { N = 5000 };
    static const char words[] = "some words and \xc3\xb6, \xe2\x82\xac \n\n  then";
    char *const text = malloc(3 * N);
    struct sae_str json = {0};
    for (size_t i = 0; i < N; i++)
        text[i] = words[i % (sizeof words - 1)];
    memset(text + N, 'x', N); /* nowhere to cut */
    memcpy(text + N - 40, "0123456789012345678901234567890123456789", 40);
    assert_int_equal(sae_str_printf(&json, NULL, "{\"text\": \""), SAE_OK);
    for (size_t i = 0; i < 2 * N; i++)
        assert_int_equal(sae_str_append(&json, text[i] == '\n' ? "\\n" : text + i,
                                        text[i] == '\n' ? 2 : 1, NULL),
                         SAE_OK);
    assert_int_equal(sae_str_printf(&json, NULL, "\"}\n{\"text\": \"end\"}"), SAE_OK);
    for (int kind = 0; kind < 2; kind++) {
        struct sae_files files = {0};
        struct sae_docs docs;
        struct sae_str all = {0};
        bool more;
        size_t pieces = 0;
        if (kind == 0)
            put("long.txt", text, 2 * N);
        else
            put("long.jsonl", json.s, json.len);
        assert_int_equal(sae_files_add(&files, path, NULL), SAE_OK);
        sae_docs_init(&docs, &files, "text", SAE_DOCS_SPLIT_NONE);
        docs.piece = 500;
        for (;; pieces++) {
            assert_int_equal(sae_docs_next(&docs, &more, NULL), SAE_OK);
            if (!more || docs.n_docs > 1)
                break;
            assert_int_equal(docs.continues, pieces > 0);
            assert_true(docs.text.len <= 500);
            if (pieces > 0 && pieces < 10)
                assert_true(docs.text.s[0] == ' ' || docs.text.s[0] == '\n');
            assert_int_equal(sae_str_append(&all, docs.text.s, docs.text.len, NULL), SAE_OK);
        }
        assert_int_equal(all.len, 2 * N);
        assert_memory_equal(all.s, text, 2 * N);
        assert_int_equal(docs.left.n_replaced, 0);
        assert_int_equal(more, kind == 1);
        if (kind == 1)
            assert_string_equal(docs.text.s, "end");
        sae_str_clear(&all);
        sae_docs_clear(&docs);
        sae_files_clear(&files);
    }
    free(text);
    sae_str_clear(&json);
}

/* Paragraphs, lines and the blanks between them, of every length around that of a piece. */
static void paragraphs_come_in_pieces(void **state)
{
    (void)state;
    static const int blanks[] = {0, 3, 9, 10, 25};
    char text[200];
    for (int split = SAE_DOCS_SPLIT_BLANK; split <= SAE_DOCS_SPLIT_LINE; split++)
        for (size_t i = 0; i < (size_t)30 * 5; i++) {
            const size_t n = 1 + i % 30;
            const int len = snprintf(text, sizeof text, "%.*s\n%*s\nsecond\n", (int)n,
                                     "a bb ccc dddd eeeee ffffff ggggggg hhhhhhhh iiiiiiiii jjjjjj",
                                     blanks[i / 30], "");
            struct sae_files files = {0};
            struct sae_docs docs;
            struct sae_str all[2] = {{0}, {0}};
            bool more;
            put("lines.txt", text, (size_t)len);
            assert_int_equal(sae_files_add(&files, path, NULL), SAE_OK);
            sae_docs_init(&docs, &files, "text", (enum sae_docs_split)split);
            docs.piece = 10;
            for (;;) {
                assert_int_equal(sae_docs_next(&docs, &more, NULL), SAE_OK);
                if (!more)
                    break;
                assert_true(docs.text.len <= 10);
                assert_true(docs.n_docs <= 2);
                assert_int_equal(sae_str_append(&all[docs.n_docs - 1], docs.text.s, docs.text.len,
                                                NULL),
                                 SAE_OK);
            }
            assert_int_equal(docs.n_docs, 2);
            assert_int_equal(all[0].len, n);
            assert_memory_equal(all[0].s, text, n);
            assert_string_equal(all[1].s, "second");
            sae_str_clear(&all[0]);
            sae_str_clear(&all[1]);
            sae_docs_clear(&docs);
            sae_files_clear(&files);
        }
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

static void expect_text_refusal(const char *name, const char *text, const char *why)
{
    expect_refusal(name, text, strlen(text), why);
}

static void bad_documents_are_refused(void **state)
{
    (void)state;
    static const char missing[] = "{\"title\": \"b\", \"url\": \"c\"}\n{\"text\": \"a\"}\n";
    expect_refusal("x.jsonl", missing, sizeof missing - 1,
                   "line 1 has no field 'text'; it has: title, url; see --field");
    expect_text_refusal("x.jsonl", "{\"text\": 5}\n", "no row of the text can be used; the first: ");
    expect_refusal("x.png", "\x89PNG\r\n\x1a\n\0\0", 10, "it is a PNG image, not text");
    expect_refusal("x", "ab\0c", 4, "it is not text: NUL at byte 2");
    expect_text_refusal("x.json", "[{\"text\": \"a\"}, {\"te", "ends inside its JSON array");
    expect_text_refusal("x.json", "[{\"text\": \"a\"}]\n[]", "line 2: text follows the end");
    expect_text_refusal("x.csv", "title,url\na,b\n",
                   "without a column 'text'; its header names: title, url");
}

/* What a file is, by content. */
static void kinds_are_told_by_content(void **state)
{
    (void)state;
    static const char object[] = "{\n  \"text\": \"a\"\n}\n";
    const struct {
        const char *name, *text, *kind;
        bool usable;
    } rows[] = {
        {"c4.json.x", "{\"text\": \"a\"}\n", "JSON lines", true},
        {"a", "\n{\"text\": \"a\"}", "JSON lines", true},
        {"a", "{\"text\": \"a\n{\"text\": \"b\"}\n", "JSON lines", true}, /* a bad first row */
        {"a.jsonl", "no JSON at all\n", "plain text", true},
        {"a", "# of May\n{\"text\": \"a\"}\n{\"text\": \"b\"}\n", "JSON lines", true},
        {"a.md", "Rows:\n{\"text\": \"a\"}\nand more\n{\"x\": 1}\n", "plain text", true},
        {"a.md", "One row:\n{\"text\": \"a\"}\n", "plain text", true},
        {"a", "[\n {\"text\": 1}\n]", "JSON array", true},
        {"a.txt", "[1] A footnote.\n", "plain text", true},
        {"a.txt", "{chapter}\nOnce\n", "plain text", true},
        {"a", object, "a JSON object", false},
        {"a", "{'text': 'a'}\n{'text': 'b'}\n", "Python's notation", false},
        {"a", "[\"one\", \"two\"]", "a JSON array of strings", false},
        {"a", "text,label\na,b\n", "CSV", true},
        {"a.txt", "Well, he said\nno, she said\n", "plain text", true},
        {"a.CSV", "Well, he said\nno, she said\n", "CSV", false},
        {"a.csv.gz", "text\na\n", "CSV", true},
        {"a", "id\ttext\n1\ta, b\n", "TSV", true},
        {"a", "%PDF-1.4\n", "PDF", false},
        {"a.txt", "version https://git-lfs.github.com/spec/v1\noid", "Git LFS pointer", false},
        {"a", "\xff\xfe" "a\0b\0", "UTF-16", false},
        {"a", "\xd0\xf3\xf1\xf1\xea\xe8\xe9 \xf2\xe5\xea\xf1\xf2", "not UTF-8", false},
        {"a", "un caf\xe9 noir, s'il vous pla\xeet", "plain text", true},
        {"a", "<!doctype html>\n<p>", "HTML", true},
        {"a", "  <svg width=\"1\"/>", "SVG", true},
        {"a", "PARE....", "encrypted Parquet", false},
        {"a", "", "plain text", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sae_bytes bytes;
        struct sae_kind_found found;
        size_t n = strlen(rows[i].text);
        if (strcmp(rows[i].kind, "UTF-16") == 0)
            n = 6;
        put(rows[i].name, rows[i].text, n);
        assert_int_equal(sae_bytes_open(&bytes, path, NULL), SAE_OK);
        assert_int_equal(sae_kind_find(&found, &bytes, path, "text", NULL), SAE_OK);
        if (strcmp(found.name, rows[i].kind) != 0 || found.usable != rows[i].usable)
            fail_msg("row %zu: %s (%s)", i, found.name, found.why);
        assert_int_equal(found.usable, found.why[0] == '\0');
        sae_bytes_close(&bytes);
    }
    /* a first row that is longer than what is looked at */
    char *const row = malloc(200000);
    const int len = snprintf(row, 200000, "{\"text\": \"%0*d\"}\n", 150000, 7);
    struct sae_bytes bytes;
    struct sae_kind_found found;
    put("long", row, (size_t)len);
    assert_int_equal(sae_bytes_open(&bytes, path, NULL), SAE_OK);
    assert_int_equal(sae_kind_find(&found, &bytes, path, "text", NULL), SAE_OK);
    assert_string_equal(found.name, "JSON lines");
    sae_bytes_close(&bytes);
    free(row);
}

/* In a folder what is no text is left out and counted; a file that was named is refused. */
static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

static void folders_are_sorted_out(void **state)
{
    (void)state;
    char sub[200];
    struct sae_files files = {0};
    struct sae_str said = {0};
    struct sae_err err;
    snprintf(sub, sizeof sub, "%s/mixed", dir);
    assert_int_equal(sae_fs_make_dirs(sub, NULL), SAE_OK);
    put_text("mixed/a.txt", "plain");
    put_text("mixed/b.pdf", "%PDF-1.4");
    put_text("mixed/c.json", "{\"text\": \"a\"}");
    put_text("mixed/d.csv", "x,y\n1,2\n");
    put_text("mixed/e.html", "<html>");
    put_text("mixed/README.md", "# about");
    put_text("mixed/README_first.txt", "a text");
    put_text("mixed/f.pdf", "%PDF-1.4");
    assert_int_equal(sae_files_add(&files, sub, NULL), SAE_OK);
    assert_int_equal(sae_files_sort_out(&files, "text", NULL), SAE_OK);
    assert_int_equal(files.n, 3);
    assert_int_equal(sae_files_say(&files, &said, NULL), SAE_OK);
    assert_string_equal(said.s, "8 files: 2 plain text, 1 JSON lines; 5 left out (1 documentation, "
                                "2 PDF, 1 CSV, 1 HTML)");
    sae_str_clear(&said);
    sae_files_clear(&files);
    files.glob = "*.html"; /* asked for: taken */
    assert_int_equal(sae_files_add(&files, sub, NULL), SAE_OK);
    assert_int_equal(sae_files_sort_out(&files, "text", NULL), SAE_OK);
    assert_int_equal(files.n, 1);
    sae_files_clear(&files);
    files.glob = "*.pdf";
    assert_int_equal(sae_files_add(&files, sub, NULL), SAE_OK);
    assert_int_equal(sae_files_sort_out(&files, "text", &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "b.pdf': it is a PDF, not text"));
    sae_files_clear(&files);
    files.glob = "*.xml";
    assert_int_equal(sae_files_add(&files, sub, &err), SAE_EIO);
    assert_non_null(strstr(err.msg, "no file that matches '*.xml'"));
    sae_files_clear(&files);
    snprintf(sub, sizeof sub, "%s/pdfs", dir);
    assert_int_equal(sae_fs_make_dirs(sub, NULL), SAE_OK);
    put_text("pdfs/b.pdf", "%PDF-1.4");
    assert_int_equal(sae_files_add(&files, sub, NULL), SAE_OK);
    assert_int_equal(sae_files_sort_out(&files, "text", &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "none of 1 files can be used; "));
    sae_files_clear(&files);
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
    assert_int_equal(sae_files_hash(&files, NULL, NULL, NULL), SAE_OK);
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
        cmocka_unit_test(folders_are_sorted), cmocka_unit_test(padded_gzip),
        cmocka_unit_test(zstd_window_is_bounded), cmocka_unit_test(peeking_takes_nothing),
        cmocka_unit_test(bad_rows_are_left_out), cmocka_unit_test(arrays_and_tables),
        cmocka_unit_test(documents_come_in_pieces), cmocka_unit_test(paragraphs_come_in_pieces),
        cmocka_unit_test(kinds_are_told_by_content), cmocka_unit_test(folders_are_sorted_out),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
