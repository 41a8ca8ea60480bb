/* SPDX-License-Identifier: MIT */
/* The tokenizer on a model made here, byte by byte, and on the shipped one where it is present. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lm/config.h"
#include "lm/family.h"
#include "lm/lm.h"
#include "lm/spm.h"
#include "tests/unit/fixtures/lm_fixture.h"
#include "tests/unit/leave_out.h"

static struct sae_err g_err;

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != SAE_OK)                                                                      \
            fail_msg("%s", g_err.msg);                                                             \
    } while (0)

/* --- a SentencePiece model, as protobuf ----------------------------------------------------- */

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, BYTE = 6 };

static void put(struct sae_str *s, const void *data, size_t n)
{
    assert_int_equal(sae_str_append(s, data, n, &g_err), SAE_OK);
}

static void put_varint(struct sae_str *s, size_t v)
{
    for (; v >= 128; v >>= 7) {
        const char c = (char)(v | 128U);
        put(s, &c, 1);
    }
    const char c = (char)v;
    put(s, &c, 1);
}

static void put_number(struct sae_str *s, size_t field, size_t v)
{
    put_varint(s, field << 3);
    put_varint(s, v);
}

static void put_bytes(struct sae_str *s, size_t field, const char *text, size_t n)
{
    put_varint(s, field << 3 | 2);
    put_varint(s, n);
    put(s, text, n);
}

struct maker {
    struct sae_str bytes;
    size_t n;
};

static void add_piece(struct maker *m, const char *piece, float score, size_t type)
{
    struct sae_str one = {0};
    put_bytes(&one, 1, piece, strlen(piece));
    put_varint(&one, 2 << 3 | 5);
    put(&one, &score, sizeof score); /* little-endian, as this machine's */
    put_number(&one, 3, type);
    put_bytes(&m->bytes, 1, one.s, one.len);
    sae_str_clear(&one);
    m->n++;
}

struct kind {
    bool prefix, trim, mixed_newline, no_bytes, mixed_space;
};

#define SPACE "\xe2\x96\x81"
static const char *const merges[] = {"th", "he",      "the", SPACE "t", SPACE "the",
                                     "an", SPACE "a", "aa",  SPACE "h"};
enum { N_MERGES = sizeof merges / sizeof merges[0] };

/* 0..3 specials, 4 two spaces, 5 two newlines, 6..261 bytes, then characters, then merges. */
static size_t write_model(const char *folder, const struct kind *kind)
{
    struct maker m = {0};
    add_piece(&m, "<pad>", 0, CONTROL);
    add_piece(&m, "<eos>", 0, CONTROL);
    add_piece(&m, "<bos>", 0, CONTROL);
    add_piece(&m, "<unk>", 0, UNKNOWN);
    add_piece(&m, SPACE SPACE, 0, USER);
    add_piece(&m, "\n\n", 0, USER);
    for (unsigned i = 0; i < 256 && !kind->no_bytes; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "<0x%02X>", i);
        add_piece(&m, name, 0, BYTE);
    }
    for (size_t i = 0; i < N_MERGES; i++)
        add_piece(&m, merges[i], -(float)i, NORMAL);
    add_piece(&m, SPACE, -100, NORMAL);
    for (char c = 'a'; c <= 'z'; c++) {
        const char letter[2] = {c, '\0'};
        add_piece(&m, letter, -100 - (float)c, NORMAL);
    }
    if (kind->mixed_newline)
        add_piece(&m, "a\n", -0.5F, USER);
    if (kind->mixed_space)
        add_piece(&m, "a" SPACE, -0.5F, USER);
    struct sae_str spec = {0};
    put_number(&spec, 3, 2); /* BPE */
    put_number(&spec, 4, m.n);
    put_number(&spec, 35, !kind->no_bytes);
    static const size_t ids[4] = {3, 2, 1, 0}; /* unk bos eos pad */
    static const char *const names[4] = {"<unk>", "<bos>", "<eos>", "<pad>"};
    for (size_t i = 0; i < 4; i++) {
        put_number(&spec, 40 + i, ids[i]);
        put_bytes(&spec, 45 + i, names[i], 5);
    }
    put_bytes(&m.bytes, 2, spec.s, spec.len);
    sae_str_clear(&spec);
    put_bytes(&spec, 1, "identity", 8);
    put_number(&spec, 3, kind->prefix);
    put_number(&spec, 4, kind->trim);
    put_number(&spec, 5, 1);
    put_bytes(&m.bytes, 3, spec.s, spec.len);
    sae_str_clear(&spec);
    char path[400];
    (void)snprintf(path, sizeof path, "%s/tokenizer.model", folder);
    assert_int_equal(sae_fs_write(path, m.bytes.s, m.bytes.len, &g_err), SAE_OK);
    sae_str_clear(&m.bytes);
    return m.n;
}

static const struct sae_lm_config small = {.V = 400, .bos = 2, .eos = 1, .pad = 0};

static struct sae_tok *open_kind(const struct kind *kind)
{
    char *folder = fix_folder();
    const size_t n = write_model(folder, kind);
    struct sae_tok *tok = NULL;
    if (sae_tok_open(&tok, folder, &small, &g_err) != SAE_OK)
        fail_msg("%s", g_err.msg);
    assert_int_equal(sae_tok_size(tok), n);
    fix_remove(folder);
    return tok;
}

/* Encodes, and joins the pieces with '|' between them. */
static void expect(const struct sae_tok *tok, const char *text, size_t len, const char *pieces)
{
    uint32_t *ids = NULL;
    size_t n = 0;
    struct sae_str joined = {0};
    assert_int_equal(sae_tok_encode(tok, text, len, &ids, &n, &g_err), SAE_OK);
    put(&joined, "", 0);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            put(&joined, "|", 1);
        const char *piece = sae_tok_piece(tok, ids[i]);
        put(&joined, piece, strlen(piece));
    }
    assert_string_equal(joined.s == NULL ? "" : joined.s, pieces);
    sae_str_clear(&joined);
    free(ids);
}

static void test_pieces(void **state)
{
    (void)state;
    struct sae_tok *tok = open_kind(&(struct kind){0});
    assert_string_equal(sae_tok_piece(tok, 0), "<pad>");
    assert_string_equal(sae_tok_piece(tok, 3), "<unk>");
    assert_string_equal(sae_tok_piece(tok, 4), "  ");
    assert_string_equal(sae_tok_piece(tok, 6 + 10), "\n");
    assert_string_equal(sae_tok_piece(tok, 6 + 0xe9), "\xe9");
    assert_string_equal(sae_tok_piece(tok, 6), ""); /* the byte NUL */
    assert_string_equal(sae_tok_piece(tok, 262 + 4), " the");
    assert_null(sae_tok_piece(tok, (uint32_t)sae_tok_size(tok)));
    assert_null(sae_tok_piece(tok, UINT32_MAX));
    assert_true(sae_tok_is_control(tok, 2) && sae_tok_is_control(tok, 3));
    assert_false(sae_tok_is_control(tok, 4) || sae_tok_is_control(tok, 10));
    assert_false(sae_tok_is_control(tok, UINT32_MAX));
    sae_tok_close(tok);
    sae_tok_close(NULL);
}

static void test_encode(void **state)
{
    (void)state;
    struct sae_tok *tok = open_kind(&(struct kind){0});
    expect(tok, "", 0, "");
    expect(tok, "the the", 7, "the| the");
    expect(tok, "a  the", 6, "a|  |the"); /* two spaces are frozen */
    expect(tok, " hat\nan", 7, " h|a|t|\n|an");
    expect(tok, "<bos>", 5, "<|b|o|s|>"); /* text is never a special id */
    expect(tok, "a\0b", 3, "a||b");
    expect(tok, "\xc3\xa9", 2, "\xc3|\xa9");
    sae_tok_close(tok);
}

/* Unicode's own example of maximal subparts, chapter 3, and what else is ill-formed. */
static void test_utf8(void **state)
{
    (void)state;
#define BAD "\xef\xbf\xbd"
    static const struct {
        const char *from, *to;
    } rows[] = {
        {"a\xf1\x80\x80\xe1\x80\xc2z",           "a" BAD BAD BAD "z"                   },
        {"\x80",                                 BAD                                   },
        {"\xc0\xaf",                             BAD BAD                               }, /* overlong */
        {"\xe0\x80\xaf",                         BAD BAD BAD                           }, /* overlong */
        {"\xed\xa0\x80",                         BAD BAD BAD                           }, /* surrogate */
        {"\xf4\x90\x80\x80",                     BAD BAD BAD BAD                       }, /* above U+10FFFF */
        {"\xf0\x90\x8d",                         BAD                                   }, /* cut */
        {"\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9", "\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9"},
        {"\xff\xfe",                             BAD BAD                               },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sae_str found = {0};
        uint64_t n_replaced = 0, marks = 0;
        assert_int_equal(
            sae_utf8_append(&found, rows[i].from, strlen(rows[i].from), &n_replaced, &g_err),
            SAE_OK);
        assert_string_equal(found.s, rows[i].to);
        for (const char *at = rows[i].to; (at = strstr(at, BAD)) != NULL; at += strlen(BAD))
            marks++;
        assert_int_equal(n_replaced, marks);
        assert_int_equal(sae_utf8_is_valid(rows[i].from, strlen(rows[i].from)),
                         strcmp(rows[i].from, rows[i].to) == 0);
        sae_str_clear(&found);
    }
    assert_int_equal(sae_utf8_cut("ab", 2), 2);
    assert_int_equal(sae_utf8_cut("ab\xc3", 3), 2);
    assert_int_equal(sae_utf8_cut("ab\xc3\xa9", 4), 4);
    assert_int_equal(sae_utf8_cut("ab\xf0\x9f\x98", 5), 2);
    assert_int_equal(sae_utf8_cut("ab\x80\x80\x80\x80", 6), 6); /* begins no code point */
    struct sae_tok *tok = open_kind(&(struct kind){0});
    expect(tok, "a\xe2\x82z", 4, "a|\xef|\xbf|\xbd|z");
    sae_tok_close(tok);
}

/* --- chunks --------------------------------------------------------------------------------- */

/* The ids of the whole text in one call of the library, against ours. */
static void compare_whole(const struct sae_tok *tok, const char *model_path, const char *text,
                          size_t len)
{
    char *bytes = NULL, why[200];
    size_t n_bytes = 0, n_whole = 0, cap = 0, n = 0;
    int *whole = NULL;
    uint32_t *ids = NULL;
    assert_int_equal(sae_fs_read(&bytes, &n_bytes, model_path, 1 << 24, &g_err), SAE_OK);
    struct sae_spm *spm = sae_spm_load(bytes, n_bytes, why, sizeof why);
    assert_non_null(spm);
    assert_true(sae_spm_encode(spm, text, len, &whole, &n_whole, &cap));
    assert_int_equal(sae_tok_encode(tok, text, len, &ids, &n, &g_err), SAE_OK);
    assert_int_equal(n, n_whole);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids[i], whole[i]);
    sae_spm_close(spm);
    free(bytes);
    free(whole);
    free(ids);
}

/* Random text of words, runs of spaces and newlines, and other code points. */
static char *random_text(const struct sae_tok *tok, size_t *len)
{
    struct sae_rng rng = sae_rng_make(7, SAE_RNG_TEST);
    struct sae_str s = {0};
    while (s.len < 400000) {
        static const char *const seams[] = {"\n",  "\n\n",     "\n\n\n",       " ",
                                            "  ",  "   ",      "\t",           " \n",
                                            "\n ", "\xc3\xa9", "\xe2\x82\xac", "\r\n"};
        const uint32_t id = (uint32_t)sae_rng_below(&rng, sae_tok_size(tok));
        const char *piece = sae_tok_piece(tok, id);
        if (sae_utf8_is_valid(piece, strlen(piece)))
            put(&s, piece, strlen(piece));
        if (sae_rng_below(&rng, 3) == 0) {
            const char *seam = seams[sae_rng_below(&rng, sizeof seams / sizeof seams[0])];
            put(&s, seam, strlen(seam));
        }
    }
    *len = s.len;
    return s.s;
}

/* The first tokens alone are the first of all. */
static void compare_first(const struct sae_tok *tok, const char *text, size_t len)
{
    uint32_t *all = NULL, *ids = NULL;
    size_t n_all = 0, n = 0;
    bool is_all = true;
    assert_int_equal(sae_tok_encode(tok, text, len, &all, &n_all, &g_err), SAE_OK);
    assert_int_equal(sae_tok_encode_first(tok, text, len, 100, &ids, &n, &is_all, &g_err), SAE_OK);
    assert_int_equal(n, 100);
    assert_false(is_all);
    assert_memory_equal(ids, all, n * sizeof *ids);
    free(ids);
    assert_int_equal(sae_tok_encode_first(tok, text, len, n_all, &ids, &n, &is_all, &g_err),
                     SAE_OK);
    assert_int_equal(n, n_all);
    assert_true(is_all);
    free(ids);
    free(all);
}

static void test_chunks(void **state)
{
    (void)state;
    for (int mixed = 0; mixed < 3; mixed++) {
        char *folder = fix_folder(), path[400];
        (void)write_model(folder,
                          &(struct kind){.mixed_newline = mixed == 1, .mixed_space = mixed == 2});
        (void)snprintf(path, sizeof path, "%s/tokenizer.model", folder);
        struct sae_tok *tok = NULL;
        assert_int_equal(sae_tok_open(&tok, folder, &small, &g_err), SAE_OK);
        size_t len = 0;
        char *text = random_text(tok, &len);
        compare_whole(tok, path, text, len);
        struct sae_str longer = {0}; /* a line above the usual chunk, then the text */
        for (size_t i = 0; i < 20000; i++)
            put(&longer, "aath a" + i % 5, 1);
        put(&longer, text, len);
        compare_whole(tok, path, longer.s, longer.len);
        sae_str_clear(&longer);
        for (size_t i = 0; i < len; i++) /* one line */
            text[i] = text[i] == '\n' ? 'h' : text[i];
        compare_whole(tok, path, text, len);
        compare_first(tok, text, len);
        free(text);
        sae_tok_close(tok);
        fix_remove(folder);
    }
}

/* A line above the largest chunk is cut at spaces: every byte still comes back, in order. */
static void test_endless_line(void **state)
{
    (void)state;
    enum { LEN = 2500000 };
    struct sae_tok *tok = open_kind(&(struct kind){0});
    char *text = malloc(LEN);
    assert_non_null(text);
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < LEN; i++)
            text[i] = round == 0 ? (i % 7 == 0 ? ' ' : "the"[i % 3]) : "\xa9\xc3"[i % 2];
        text[0] = text[LEN - 1] = 'x'; /* so that round 1 is x, two-byte points, x */
        uint32_t *ids = NULL;
        size_t n = 0, at = 0;
        assert_true(sae_utf8_is_valid(text, LEN));
        assert_int_equal(sae_tok_encode(tok, text, LEN, &ids, &n, &g_err), SAE_OK);
        for (size_t i = 0; i < n; i++) {
            const char *piece = sae_tok_piece(tok, ids[i]);
            assert_memory_equal(text + at, piece, strlen(piece));
            at += strlen(piece);
        }
        assert_int_equal(at, LEN);
        free(ids);
    }
    free(text);
    sae_tok_close(tok);
}

/* --- refusals ------------------------------------------------------------------------------- */

static void refuse(const struct kind *kind, const struct sae_lm_config *config, const char *word)
{
    char *folder = fix_folder();
    (void)write_model(folder, kind);
    struct sae_tok *tok = NULL;
    g_err.msg[0] = '\0';
    assert_int_equal(sae_tok_open(&tok, folder, config, &g_err), SAE_EFORMAT);
    if (strstr(g_err.msg, word) == NULL)
        fail_msg("'%s' does not say '%s'", g_err.msg, word);
    assert_null(tok);
    fix_remove(folder);
}

static void test_refusals(void **state)
{
    (void)state;
    const struct kind plain = {0};
    refuse(&(struct kind){.prefix = true}, &small, "prefix");
    refuse(&(struct kind){.trim = true}, &small, "whitespace");
    refuse(&(struct kind){.no_bytes = true}, &small, "come back");
    struct sae_lm_config c = small;
    c.V = 200;
    refuse(&plain, &c, "'vocab_size' of config.json is 200");
    c = small;
    c.bos = 5;
    refuse(&plain, &c, "bos id 2, but config.json says 5");
    c = small; /* of eos and pad the tokenizer's word counts */
    c.eos = c.pad = 7;
    struct sae_tok *other = open_kind(&plain);
    sae_tok_set_specials(other, &c);
    assert_true(c.eos == 1 && c.pad == 0);
    sae_tok_close(other);
    char *folder = fix_folder();
    struct sae_tok *tok = NULL;
    assert_int_equal(sae_tok_open(&tok, folder, &small, &g_err), SAE_EIO);
    assert_non_null(strstr(g_err.msg, "has neither tokenizer.model nor tokenizer.json"));
    fix_write_text(folder, "tokenizer.json", "{}");
    assert_int_equal(sae_tok_open(&tok, folder, &small, &g_err), SAE_EFORMAT);
    assert_non_null(strstr(g_err.msg, "tokenizer.json': 'model.type' is nothing, expected BPE"));
    fix_write_text(folder, "tokenizer.model", "not a model");
    assert_int_equal(sae_tok_open(&tok, folder, &small, &g_err), SAE_EFORMAT);
    fix_write_text(folder, "tokenizer.model", "");
    assert_int_equal(sae_tok_open(&tok, folder, &small, &g_err), SAE_EFORMAT);
    assert_null(tok);
    fix_remove(folder);
}

/* A text of 300 KB in parts of 70 KB has the ids of the whole, twice in a row, whether a part ends
 * in a word, in spaces or in broken bytes. */
static void check_parts(const struct sae_tok *tok)
{
    enum { N = 300000, PART = 70001 };
    static const char words[] = " The river <|endoftext|>is   42 wide,\xff\xc3\xa9\n\n and x";
    char *const text = malloc(N);
    uint32_t *want = NULL, *ids = NULL;
    size_t n_want = 0, n = 0;
    struct sae_tok_rest rest = {0};
    assert_non_null(text);
    for (size_t i = 0; i < N; i++)
        text[i] = words[i % (sizeof words - 1)];
    OK(sae_tok_encode(tok, text, N, &want, &n_want, &g_err));
    for (int twice = 0; twice < 2; twice++) {
        size_t at = 0;
        for (size_t from = 0, step; from < N; from += step) {
            step = N - from > PART ? sae_utf8_cut(text + from, PART) : N - from;
            OK(sae_tok_encode_part(tok, &rest, text + from, step, from + step == N, &ids, &n,
                                   &g_err));
            assert_true(n <= n_want - at && rest.text.len < 100);
            if (n > 0)
                assert_memory_equal(ids, want + at, n * sizeof *ids);
            at += n;
            free(ids);
        }
        assert_int_equal(at, n_want);
    }
    sae_tok_rest_clear(&rest);
    free(want);
    free(text);
}

/* tokenizer.json where there is no tokenizer.model, and of a family whose own is not plain, before
 * it. */
static void test_json(void **state)
{
    (void)state;
    static const char text[] = " The river is 42 wide,\xff and\n\tthe bridge too. ";
    const char *root = getenv("SAE_SOURCE_ROOT");
    char *folder = fix_folder(), path[400], *json = NULL;
    size_t n = 0;
    struct sae_tok *tok = NULL;
    struct sae_lm_config c = {.V = 500, .bos = 0, .eos = 3, .pad = 4};
    (void)snprintf(path, sizeof path, "%s/tests/golden/lm_tok/gpt2.json", root ? root : ".");
    OK(sae_fs_read(&json, &n, path, 1 << 20, &g_err));
    fix_write_text(folder, "tokenizer.json", json);
    OK(sae_tok_open(&tok, folder, &c, &g_err));
    sae_tok_set_specials(tok, &c);
    assert_true(c.eos == 3 && c.pad == 4); /* not known there */
    assert_true(sae_tok_is_control(tok, 0) && !sae_tok_is_control(tok, 5));
    assert_string_equal(sae_tok_piece(tok, 0), "<|endoftext|>");
    check_parts(tok);
    uint32_t *ids = NULL;
    struct sae_str joined = {0};
    OK(sae_tok_encode(tok, text, strlen(text), &ids, &n, &g_err));
    for (size_t i = 0; i < n; i++)
        OK(sae_str_append(&joined, sae_tok_piece(tok, ids[i]), strlen(sae_tok_piece(tok, ids[i])),
                          &g_err));
    assert_string_equal(joined.s, " The river is 42 wide,\xef\xbf\xbd and\n\tthe bridge too. ");
    sae_tok_close(tok);
    tok = NULL;
    c.V = 20;
    assert_int_equal(sae_tok_open(&tok, folder, &c, &g_err), SAE_EFORMAT);
    assert_non_null(strstr(g_err.msg, "'vocab_size' of config.json is 20"));
    c.V = 500;
    c.family = sae_lm_family_find("llama");
    fix_write_text(folder, "tokenizer.model", "not a model");
    OK(sae_tok_open(&tok, folder, &c, &g_err));
    sae_tok_close(tok);
    tok = NULL;
    c.family = sae_lm_family_find("gemma3_text");
    assert_int_equal(sae_tok_open(&tok, folder, &c, &g_err), SAE_EFORMAT);
    free(ids);
    free(json);
    sae_str_clear(&joined);
    fix_remove(folder);
}

/* Flipped bytes: opened or refused, never more. */
static void test_damage(void **state)
{
    (void)state;
    char *folder = fix_folder(), path[400], *good = NULL;
    size_t n = 0;
    (void)write_model(folder, &(struct kind){0});
    (void)snprintf(path, sizeof path, "%s/tokenizer.model", folder);
    assert_int_equal(sae_fs_read(&good, &n, path, 1 << 20, &g_err), SAE_OK);
    for (size_t i = 0; i < n; i += 1 + n / 150) {
        good[i] = (char)(good[i] ^ 0x15);
        assert_int_equal(sae_fs_write(path, good, n, &g_err), SAE_OK);
        struct sae_tok *tok = NULL;
        (void)!sae_tok_open(&tok, folder, &small, &g_err);
        sae_tok_close(tok);
        good[i] = (char)(good[i] ^ 0x15);
    }
    free(good);
    fix_remove(folder);
}

/* --- the shipped model ---------------------------------------------------------------------- */

static void test_shipped(void **state)
{
    (void)state;
    const char *root = getenv("SAE_SOURCE_ROOT");
    char folder[400], path[450], licences[450];
    (void)snprintf(folder, sizeof folder, "%s/data/tiny-g2", root == NULL ? "." : root);
    (void)snprintf(path, sizeof path, "%s/tokenizer.model", folder);
    (void)snprintf(licences, sizeof licences, "%s/LICENSES.md", folder);
    if (!sae_fs_is_file(path))
        leave_out("data/tiny-g2 is not there");
    struct sae_lm_config config;
    struct sae_tok *tok = NULL;
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(sae_lm_config_read(&config, folder, &g_err), SAE_OK);
    if (sae_tok_open(&tok, folder, &config, &g_err) != SAE_OK)
        fail_msg("%s", g_err.msg);
    assert_int_equal(sae_tok_size(tok), config.V);
    expect(tok, " has the first letter: A", 24, " has| the| first| letter|:| A");
    expect(tok, "<bos> 12", 8, "<|b|os|>| |1|2");
    assert_int_equal(sae_fs_read(&text, &len, licences, 1 << 24, &g_err), SAE_OK);
    compare_whole(tok, path, text, len);
    free(text);
    text = random_text(tok, &len);
    compare_whole(tok, path, text, len);
    free(text);
    sae_tok_close(tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),       cmocka_unit_test(test_encode),
        cmocka_unit_test(test_utf8),         cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_endless_line), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_damage),       cmocka_unit_test(test_shipped),
        cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests_name("sae_tok", tests, NULL, NULL);
}
