/* SPDX-License-Identifier: MIT */
/* Texts: documents, labelled rows, questions. The mode says what reads them and how the file is
 * called (% 8), and whether the content is compressed here (8: gzip; 16: zstd) or as it is. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "harvest/dataset.h"
#include "lib/text/docs.h"
#include "tests/fuzz/fuzz.h"
#include "unlearn/question.h"

enum { DOCS_LINES, DOCS_PLAIN, LABELS_CSV, LABELS_LINES, PRESET_CSV, ASKED_CSV, ASKED_LINES, LIST };
static const char *const names[] = {"a.jsonl", "b.txt", "c.csv",   "d.jsonl",
                                    "e.csv",   "f.csv", "g.jsonl", ""};

void fuzz_seeds(void)
{
    static const char lines[] = "{\"text\": \"one \\u00e9 \\ud83d\\ude42\", \"n\": 1}\n\n"
                                "{\"text\": \"two\"}\r\n{\"text\": \"\"}\n{\"n\":2,\"text\":\"3\"}";
    for (uint8_t packed = 0; packed < 24; packed = (uint8_t)(packed + 8)) {
        fuzz_seed_text((uint8_t)(DOCS_LINES + packed), lines);
        fuzz_seed_text((uint8_t)(DOCS_PLAIN + packed), "First.\n\nSecond\nline.\n\n\nThird.");
    }
    fuzz_seed_text(DOCS_LINES, "{\"text\":\"\\ud83d\",\"n\":-17000000000000000000}\n"
                               "{\"text\":null,\"x\":NaN}\n[1]\n{\"text\":\"caf\xe9\",\"y\":1e999}");
    fuzz_seed_text(DOCS_LINES, "[\n{\"text\": \"]}\\\"\", \"v\": [1, {}]}, 7,{\"text\":\"b\"}]\n");
    fuzz_seed_text(DOCS_PLAIN, "id,text\n1,\"a\nb\"\n2,c\n3\n");
    fuzz_seed_text(DOCS_PLAIN, "id\ttext\n1\ta, b\n2\t\"c\"\n");
    fuzz_seed_text(LABELS_CSV, "text,label,split\n\"a, b\",x,train\nc,y,test\n\"q\"\"r\",x,test\n");
    fuzz_seed_text(LABELS_LINES, "{\"text\":\"a\",\"label\":\"x\"}\n{\"text\":\"b\",\"label\":1}\n"
                                 "{\"text\":\"c\",\"label\":true,\"attribute\":\"m\"}\n");
    fuzz_seed_text(PRESET_CSV, "text,label\nnews one of sports,0\nnews two of the world,3\n");
    fuzz_seed_text(ASKED_CSV, "question,A,B,C,D,answer\nWhat?,one,two,three,four,B\n");
    fuzz_seed_text(ASKED_CSV, "question,choices,answer\nWhat?,\"['a' \"\"b\"\"\\n 'c']\",1\n");
    fuzz_seed_text(ASKED_LINES, "{\"question\":\"Why?\",\"choices\":[\"a\",\"b\"],\"answer\":1,"
                                "\"subject\":\"biology\"}\n");
    fuzz_seed_text(LIST, "['a', \"b\", 'c\\'d']");
}

/* --- documents ----------------------------------------------------------------------------- */

/* What the documents are must not depend on how many were passed over before. */
static void read_docs(const char *path, enum sae_docs_split split, uint64_t skip)
{
    struct sae_files files = {0};
    struct sae_docs docs, later;
    struct sae_err err = {0};
    bool more = true;
    if (!fuzz_ok(sae_files_add(&files, path, &err), &err))
        goto done;
    sae_docs_init(&docs, &files, "text", split);
    for (int n = 0; n < 1000; n++) {
        if (!fuzz_ok(sae_docs_next(&docs, &more, &err), &err) || !more)
            break;
        FUZZ_REQUIRE(docs.text.len == 0 || docs.text.s[docs.text.len] == '\0');
        if (docs.n_docs != skip + 1)
            continue;
        sae_docs_init(&later, &files, "text", split);
        later.skip = skip;
        FUZZ_REQUIRE(sae_docs_next(&later, &more, &err) == SAE_OK && more);
        FUZZ_REQUIRE(later.text.len == docs.text.len);
        FUZZ_REQUIRE(docs.text.len == 0 || memcmp(later.text.s, docs.text.s, docs.text.len) == 0);
        sae_docs_clear(&later);
    }
    sae_docs_clear(&docs);
done:
    sae_files_clear(&files);
}

/* Pieces, joined, are the documents. */
static void read_pieces(const char *path, enum sae_docs_split split, size_t piece)
{
    struct sae_files files = {0};
    struct sae_docs docs, parts;
    struct sae_str joined = {0};
    struct sae_err err = {0};
    bool more = true, more_parts = false;
    if (!fuzz_ok(sae_files_add(&files, path, &err), &err))
        goto done;
    sae_docs_init(&docs, &files, "text", split);
    sae_docs_init(&parts, &files, "text", split);
    parts.piece = piece;
    if (fuzz_ok(sae_docs_next(&parts, &more_parts, &err), &err))
        for (int n = 0; more_parts && n < 1000; n++) {
            FUZZ_REQUIRE(!parts.continues);
            FUZZ_REQUIRE(sae_docs_next(&docs, &more, &err) == SAE_OK && more);
            joined.len = 0;
            do {
                if (sae_str_append(&joined, parts.text.s, parts.text.len, &err) != SAE_OK)
                    abort();
                more_parts = fuzz_ok(sae_docs_next(&parts, &more_parts, &err), &err) && more_parts;
            } while (more_parts && parts.continues);
            FUZZ_REQUIRE(joined.len == docs.text.len);
            FUZZ_REQUIRE(memcmp(joined.s, docs.text.s, joined.len) == 0);
        }
    sae_docs_clear(&docs);
    sae_docs_clear(&parts);
    sae_str_clear(&joined);
done:
    sae_files_clear(&files);
}

static void read_labels(const char *source)
{
    static const struct harvest_columns columns = {"text", "label", "split", "attribute", 0};
    static const struct harvest_draw draw = {4, 4, 1, 1};
    struct harvest_dataset set = {0};
    struct sae_err err = {0};
    if (fuzz_ok(harvest_dataset_load(&set, source, &columns, &err), &err)) {
        for (size_t i = 0; i < set.n; i++)
            FUZZ_REQUIRE(set.v[i].class < set.n_classes);
        (void)fuzz_ok(harvest_dataset_draw(&set, &draw, &err), &err);
        harvest_dataset_clear(&set);
    }
}

static void read_questions(const char *path)
{
    struct unlearn_set set = {0};
    struct sae_err err = {0};
    if (!fuzz_ok(unlearn_set_load(&set, path, &err), &err))
        return;
    FUZZ_REQUIRE(set.n > 0);
    for (size_t i = 0; i < set.n; i++)
        FUZZ_REQUIRE(set.v[i].answer < set.v[i].n_choices && set.v[i].text != NULL);
    unlearn_set_clear(&set);
}

static void read_list(const uint8_t *bytes, size_t n)
{
    char *choices[UNLEARN_MAX_CHOICES + 1] = {0}, *const text = malloc(n + 1);
    if (text == NULL)
        return;
    memcpy(text, bytes, n);
    text[n] = '\0';
    unlearn_question_list(choices, UNLEARN_MAX_CHOICES + 1, text);
    for (size_t i = 0; i < UNLEARN_MAX_CHOICES + 1; i++)
        free(choices[i]);
    free(text);
}

/* --- compression --------------------------------------------------------------------------- */

static size_t gzip(uint8_t *to, size_t room, const uint8_t *bytes, size_t n)
{
    z_stream z = {0};
    if (deflateInit2(&z, 1, Z_DEFLATED, 31, 1, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    z.next_in = (uint8_t *)(uintptr_t)bytes;
    z.avail_in = (unsigned)n;
    z.next_out = to;
    z.avail_out = (unsigned)room;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    deflateEnd(&z);
    return z.total_out;
}

static const char *put(uint8_t mode, const uint8_t *bytes, size_t n)
{
    const size_t room = n + n / 8 + 1024;
    uint8_t *const packed = malloc(room);
    const char *path;
    if (packed == NULL)
        abort();
    if ((mode & 8) != 0)
        path = fuzz_put(names[mode % 8], packed, gzip(packed, room, bytes, n));
    else if ((mode & 16) != 0)
        path = fuzz_put(names[mode % 8], packed, ZSTD_compress(packed, room, bytes, n, 1));
    else
        path = fuzz_put(names[mode % 8], bytes, n);
    free(packed);
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static char source[300] = "ag_news=";
    if (n < 1)
        return 0;
    const uint8_t mode = bytes[0];
    const int what = mode % 8;
    if (what == LIST) {
        read_list(bytes + 1, n - 1);
        return 0;
    }
    const char *const path = put(mode, bytes + 1, n - 1);
    if (what == DOCS_LINES || what == DOCS_PLAIN)
        read_docs(path, (enum sae_docs_split)(mode / 32 % 3), (mode / 96) + 1);
    if (what == DOCS_LINES || what == DOCS_PLAIN)
        read_pieces(path, (enum sae_docs_split)(mode / 32 % 3), (size_t)(mode / 96) * 9 + 4);
    else if (what == LABELS_CSV || what == LABELS_LINES)
        read_labels(path);
    else if (what == PRESET_CSV)
        read_labels(strcpy(source + 8, path) - 8);
    else
        read_questions(path);
    return 0;
}
