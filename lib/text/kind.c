/* SPDX-License-Identifier: MIT */
/* kind : see the header.
 *
 * Contents:  1. files that are no text   2. encodings   3. JSON   4. tables   5. Parquet   6. all together */
#include "lib/text/kind.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/text/csv.h"
#include "lib/text/json_rows.h"
#include "lib/text/parquet.h"

/* The first bytes of a file. */
struct window {
    const char *s;
    size_t n;
    bool whole; /* the file ends here */
    const char *path, *field;
};

bool sae_kind_named(const char *path, const char *suffix)
{
    size_t len = strlen(path);
    const size_t n = strlen(suffix);
    if (len > 3 && strcasecmp(path + len - 3, ".gz") == 0)
        len -= 3;
    else if (len > 4 && strcasecmp(path + len - 4, ".zst") == 0)
        len -= 4;
    return len >= n && strncasecmp(path + len - n, suffix, n) == 0;
}

bool sae_kind_has_rows(enum sae_kind kind)
{
    return kind == SAE_KIND_JSON_LINES || kind == SAE_KIND_JSON_ARRAY || kind == SAE_KIND_CSV ||
           kind == SAE_KIND_TSV || kind == SAE_KIND_PARQUET;
}

/* --- 1. files that are no text ------------------------------------------------------------ */

static const char leave_it[] = "leave it out", unpack[] = "unpack it",
                  utf16[] = "convert it: iconv -f UTF-16 -t UTF-8",
                  arrow[] = "write it as JSON lines: "
                            "datasets.Dataset.from_file(...).to_json(...)";

/* How a file of a kind begins, and what to do with it. phrase: the name in a sentence. */
static const struct mark {
    const char *name, *phrase;
    size_t at, n;
    const char *bytes, *advice;
} marks[] = {
    {"PDF", "a PDF", 0, 5, "%PDF-", "extract its text: pdftotext"},
    {"PostScript", "PostScript", 0, 4, "%!PS", leave_it},
    {"PNG", "a PNG image", 0, 8, "\x89PNG\r\n\x1a\n", leave_it},
    {"JPEG", "a JPEG image", 0, 3, "\xff\xd8\xff", leave_it},
    {"GIF", "a GIF image", 0, 4, "GIF8", leave_it},
    {"TIFF", "a TIFF image", 0, 4, "II*\0", leave_it},
    {"TIFF", "a TIFF image", 0, 4, "MM\0*", leave_it},
    {"ZIP (docx, xlsx, epub, npz)", "a ZIP archive (docx, xlsx, epub, npz)", 0, 4, "PK\x03\x04",
     "unpack it, or save it as text"},
    {"bzip2", "bzip2", 0, 3, "BZh", "unpack it: bunzip2"},
    {"xz", "xz", 0, 6, "\xfd" "7zXZ\0", "unpack it: unxz"},
    {"7z", "a 7z archive", 0, 6, "7z\xbc\xaf\x27\x1c", unpack},
    {"gzip inside gzip", "gzip inside gzip", 0, 3, "\x1f\x8b\x08", leave_it},
    {"tar", "a tar archive", 257, 5, "ustar", unpack},
    {"encrypted Parquet", "an encrypted Parquet file", 0, 4, "PARE", "write it without encryption"},
    {"Arrow", "Arrow", 0, 6, "ARROW1", arrow},
    {"Arrow", "Arrow", 0, 4, "\xff\xff\xff\xff", arrow},
    {"HDF5", "HDF5", 0, 8, "\x89HDF\r\n\x1a\n", leave_it},
    {"SQLite", "an SQLite database", 0, 15, "SQLite format 3", leave_it},
    {"RTF", "RTF", 0, 5, "{\\rtf", leave_it},
    {"Microsoft Office", "a Microsoft Office file", 0, 8, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
     leave_it},
    {"ELF", "an ELF program", 0, 4, "\x7f" "ELF", leave_it},
    {"Git LFS pointer", "a Git LFS pointer", 0, 24, "version https://git-lfs.",
     "the file itself has not been fetched: git lfs pull"},
    {"UTF-16", "UTF-16", 0, 2, "\xff\xfe", utf16},
    {"UTF-16", "UTF-16", 0, 2, "\xfe\xff", utf16},
};

static bool set_other(struct sae_kind_found *ret, const char *name, const char *phrase,
                      const char *advice)
{
    ret->kind = SAE_KIND_OTHER;
    ret->name = name;
    ret->usable = false;
    snprintf(ret->why, sizeof ret->why, "it is %s, not text; %s", phrase, advice);
    return true;
}

static bool find_mark(struct sae_kind_found *ret, const struct window *w)
{
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const struct mark *m = &marks[i];
        if (w->n >= m->at + m->n && memcmp(w->s + m->at, m->bytes, m->n) == 0)
            return set_other(ret, m->name, m->phrase, m->advice);
    }
    return false;
}

static size_t skip_space(const struct window *w, size_t at)
{
    while (at < w->n && memchr(" \t\r\n", w->s[at], 4) != NULL)
        at++;
    return at;
}

static bool find_markup(struct sae_kind_found *ret, const struct window *w)
{
    static const struct {
        const char *begin, *name;
    } kinds[] = {
        {"<?xml", "XML"},
        {"<svg", "SVG"},
        {"<!DOCTYPE html", "HTML"},
        {"<!DOCTYPE svg", "SVG"},
        {"<!DOCTYPE", "XML"},
        {"<html", "HTML"},
        {"<head", "HTML"},
    };
    const size_t at = skip_space(w, 0);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (w->n - at >= strlen(kinds[i].begin) &&
            strncasecmp(w->s + at, kinds[i].begin, strlen(kinds[i].begin)) == 0) {
            *ret = (struct sae_kind_found){SAE_KIND_MARKUP, kinds[i].name, true, ""};
            return true;
        }
    return false;
}

/* --- 2. encodings ------------------------------------------------------------------------- */

/* NUL bytes: UTF-16 without its mark where they are every other byte, else no text. */
static bool find_binary(struct sae_kind_found *ret, const struct window *w)
{
    const char *const first = memchr(w->s, 0, w->n);
    if (first == NULL)
        return false;
    size_t even = 0, odd = 0;
    for (size_t i = 0; i < w->n; i++) {
        even += w->s[i] == 0 && i % 2 == 0;
        odd += w->s[i] == 0 && i % 2 == 1;
    }
    if (w->n >= 8 && (even > w->n / 4) != (odd > w->n / 4))
        return set_other(ret, "UTF-16", "UTF-16", utf16);
    set_other(ret, "binary", "binary", leave_it);
    snprintf(ret->why, sizeof ret->why, "it is not text: NUL at byte %zu; leave it out",
             (size_t)(first - w->s));
    return true;
}

/* More than a tenth of it is not UTF-8: an alphabet or script of another encoding. Less is replaced
 * and counted by those who read it. */
static bool find_encoding(struct sae_kind_found *ret, const struct window *w)
{
    size_t n_bad = 0;
    const size_t n = w->whole ? w->n : sae_utf8_cut(w->s, w->n);
    for (size_t i = 0; i < n;) {
        bool ok;
        const size_t step = sae_utf8_step(w->s + i, n - i, &ok);
        n_bad += ok ? 0 : step;
        i += step;
    }
    if (n_bad <= n / 10)
        return false;
    set_other(ret, "not UTF-8", "", "");
    snprintf(ret->why, sizeof ret->why,
             "it is not UTF-8: %zu of its first %zu bytes belong to another encoding, perhaps "
             "Windows-1251 or KOI8-R (Cyrillic), GBK, Shift_JIS or EUC-KR; convert it: iconv -f "
             "WINDOWS-1251 -t UTF-8",
             n_bad, n);
    return true;
}

/* --- 3. JSON ------------------------------------------------------------------------------ */

/* After the string that begins at `at`; 0 where none does or its end is not in sight. */
static size_t skip_string(const struct window *w, size_t at)
{
    if (at >= w->n || w->s[at] != '"')
        return 0;
    for (at++; at < w->n && w->s[at] != '"'; at++) {
        if (w->s[at] == '\n')
            return 0;
        at += w->s[at] == '\\';
    }
    return at < w->n ? at + 1 : 0;
}

/* Does `{ "key" :` begin at `at`? */
static bool begins_object(const struct window *w, size_t at)
{
    if (at >= w->n || w->s[at] != '{')
        return false;
    const size_t key = skip_space(w, at + 1), end = skip_string(w, key);
    if (end == 0)
        return false;
    const size_t colon = skip_space(w, end);
    return colon < w->n && w->s[colon] == ':';
}

/* End of the line that begins at `at`; *whole: all of it is in sight. */
static size_t line_end(const struct window *w, size_t at, bool *whole)
{
    const char *newline = memchr(w->s + at, '\n', w->n - at);
    *whole = newline != NULL || w->whole;
    return newline != NULL ? (size_t)(newline - w->s) : w->n;
}

/* The line as JSON; NULL where it is none. */
static enum sae_status parse_line(json_t **ret, const struct window *w, size_t at, size_t end,
                                  struct sae_err *err)
{
    char why[100];
    uint64_t n_replaced = 0;
    return sae_json_tolerant(ret, w->s + at, end - at, &n_replaced, why, sizeof why, err);
}

/* The first of the first lines that is an object, where there is one: the first row may be a bad
 * one. *ret NULL: none is. */
static enum sae_status find_row(json_t **ret, const struct window *w, struct sae_err *err)
{
    bool whole = true;
    *ret = NULL;
    for (size_t at = skip_space(w, 0), i = 0; at < w->n && whole && i < 20; i++) {
        const size_t end = line_end(w, at, &whole);
        if (whole && w->s[at] == '{')
            SAE_TRY(parse_line(ret, w, at, end, err));
        if (json_is_object(*ret))
            return SAE_OK;
        json_decref(*ret);
        *ret = NULL;
        at = skip_space(w, end);
    }
    return SAE_OK;
}

/* Whether most of the first lines, at least two, are objects: what stands before them (a comment, the
 * log of a download) is a bad row. */
static enum sae_status mostly_rows(bool *ret, const struct window *w, struct sae_err *err)
{
    size_t n = 0, n_objects = 0;
    bool whole = true;
    for (size_t at = skip_space(w, 0); at < w->n && whole && n < 20; n++) {
        const size_t end = line_end(w, at, &whole);
        json_t *row = NULL;
        if (whole && w->s[at] == '{')
            SAE_TRY(parse_line(&row, w, at, end, err));
        n_objects += json_is_object(row);
        json_decref(row);
        at = skip_space(w, end);
    }
    *ret = n_objects >= 2 && n_objects > n / 2;
    return SAE_OK;
}

static void check_field(struct sae_kind_found *ret, const struct window *w, const json_t *row)
{
    char keys[150];
    ret->usable = w->field == NULL || row == NULL || json_object_get(row, w->field) != NULL;
    if (ret->usable)
        return;
    sae_json_keys(keys, sizeof keys, row);
    snprintf(ret->why, sizeof ret->why, "line 1 has no field '%.60s'; it has: %s; see --field",
             w->field, keys[0] != '\0' ? keys : "none");
}

/* Objects over several lines, arrays of numbers, Python's notation: never a corpus. */
static bool other_json(struct sae_kind_found *ret, const struct window *w, size_t at)
{
    bool whole;
    if (begins_object(w, at))
        return set_other(ret, "a JSON object", "a JSON object",
                         "one object a line is read (jq -c . FILE), or an array of objects");
    if (w->n - at > 2 && w->s[at] == '{' && w->s[at + 1] == '\'' &&
        memmem(w->s + at, line_end(w, at, &whole) - at, "':", 2) != NULL)
        return set_other(ret, "Python's notation", "Python's notation",
                         "write it as JSON lines (json.dumps)");
    const size_t first = w->s[at] == '[' ? skip_string(w, skip_space(w, at + 1)) : 0;
    const size_t comma = first == 0 ? 0 : skip_space(w, first);
    if (comma != 0 && comma < w->n && w->s[comma] == ',' &&
        skip_string(w, skip_space(w, comma + 1)) != 0)
        return set_other(ret, "a JSON array of strings", "a JSON array of strings",
                         "one object a line is read, {\"text\": \"...\"}");
    return false;
}

static enum sae_status find_json(struct sae_kind_found *ret, bool *found, const struct window *w,
                                 struct sae_err *err)
{
    const size_t at = skip_space(w, 0);
    bool whole, rows = false;
    json_t *row = NULL;
    *found = false;
    if (at == w->n)
        return SAE_OK;
    if (w->s[at] != '{' && w->s[at] != '[') {
        SAE_TRY(mostly_rows(&rows, w, err));
        if (!rows)
            return SAE_OK;
    }
    if (w->s[at] == '[' && begins_object(w, skip_space(w, at + 1))) {
        *ret = (struct sae_kind_found){SAE_KIND_JSON_ARRAY, "JSON array", true, ""};
        *found = true;
        return SAE_OK;
    }
    SAE_TRY(find_row(&row, w, err));
    /* a first row of more than is in sight */
    (void)line_end(w, at, &whole);
    *found = row != NULL || (!whole && begins_object(w, at));
    if (*found) {
        *ret = (struct sae_kind_found){SAE_KIND_JSON_LINES, "JSON lines", true, ""};
        check_field(ret, w, row);
    } else {
        *found = other_json(ret, w, at);
    }
    json_decref(row);
    return SAE_OK;
}

/* --- 4. tables ---------------------------------------------------------------------------- */

static bool has_tabs(const struct window *w)
{
    bool whole;
    const size_t end = line_end(w, 0, &whole);
    size_t tabs = 0, commas = 0;
    for (size_t i = 0; i < end; i++) {
        tabs += w->s[i] == '\t';
        commas += w->s[i] == ',';
    }
    return tabs > commas;
}

/* Reads the header and, where it can be seen, the record after it. *ret_same: they have the same
 * number of fields, at least two. */
static enum sae_status read_header(struct sae_csv *csv, const struct window *w, bool *ret_column,
                                   bool *ret_same, char *names, size_t n_names,
                                   struct sae_err *err)
{
    bool more;
    *ret_column = *ret_same = false;
    enum sae_status st = sae_csv_next(csv, &more, err);
    if (st == SAE_OK && more) {
        const size_t n = csv->n_fields;
        *ret_column = w->field == NULL || sae_csv_column(csv, w->field) < n;
        sae_csv_names(names, n_names, csv);
        st = sae_csv_next(csv, &more, err);
        *ret_same = st == SAE_OK && more && csv->n_fields == n && n >= 2;
    }
    /* A record that is cut by the window is no fault of the file. */
    return st == SAE_EFORMAT || st == SAE_ERANGE ? SAE_OK : st;
}

static enum sae_status find_table(struct sae_kind_found *ret, bool *found, const struct window *w,
                                  struct sae_err *err)
{
    const bool named = sae_kind_named(w->path, ".csv") || sae_kind_named(w->path, ".tsv");
    const bool tabs = sae_kind_named(w->path, ".tsv") || has_tabs(w);
    struct sae_bytes view = {.at = (const unsigned char *)w->s,
                             .end = (const unsigned char *)w->s + w->n};
    struct sae_csv csv;
    bool column, same;
    char names[150] = "";
    sae_csv_init(&csv, &view, w->path, tabs ? '\t' : ',');
    const enum sae_status st = read_header(&csv, w, &column, &same, names, sizeof names, err);
    sae_csv_clear(&csv);
    *found = st == SAE_OK && (named || (column && same && w->field != NULL) ||
                              (w->field == NULL && tabs && same));
    if (!*found)
        return st;
    *ret = (struct sae_kind_found){tabs ? SAE_KIND_TSV : SAE_KIND_CSV, tabs ? "TSV" : "CSV",
                                   column, ""};
    if (!column)
        snprintf(ret->why, sizeof ret->why,
                 "it is a table without a column '%.60s'; its header names: %s; see --field",
                 w->field, names);
    return SAE_OK;
}

/* --- 5. Parquet --------------------------------------------------------------------------- */

static enum sae_status find_parquet(struct sae_kind_found *ret, bool *found, const struct window *w,
                                    bool packed, struct sae_err *err)
{
    struct sae_parquet *parquet = NULL;
    *found = w->n >= 4 && memcmp(w->s, "PAR1", 4) == 0;
    if (!*found)
        return SAE_OK;
    if (packed) {
        set_other(ret, "compressed Parquet", "a compressed Parquet file", unpack);
        return SAE_OK;
    }
    SAE_TRY(sae_parquet_open(&parquet, w->path, err));
    *ret = (struct sae_kind_found){SAE_KIND_PARQUET, "Parquet", true, ""};
    ret->usable = w->field == NULL ||
                  sae_parquet_find(parquet, w->field, ret->why, sizeof ret->why) != SIZE_MAX;
    sae_parquet_close(parquet);
    return SAE_OK;
}

/* --- 6. all together ---------------------------------------------------------------------- */

enum sae_status sae_kind_find(struct sae_kind_found *ret, struct sae_bytes *bytes, const char *path,
                              const char *field, struct sae_err *err)
{
    struct sae_kind_found found = {SAE_KIND_PLAIN, "plain text", true, ""};
    bool is_known = false;
    SAE_TRY(sae_bytes_peek(bytes, SAE_BYTES_PEEK_MAX, err));
    const struct window w = {.s = (const char *)bytes->at,
                             .n = (size_t)(bytes->end - bytes->at),
                             .whole = bytes->end - bytes->at < SAE_BYTES_PEEK_MAX,
                             .path = path,
                             .field = field};
    SAE_TRY(find_parquet(&found, &is_known, &w, sae_bytes_packed(bytes), err));
    if (w.n > 0 && !is_known)
        is_known = find_mark(&found, &w) || find_binary(&found, &w) ||
                   find_encoding(&found, &w) || find_markup(&found, &w);
    if (w.n > 0 && !is_known)
        SAE_TRY(find_json(&found, &is_known, &w, err));
    if (w.n > 0 && !is_known)
        SAE_TRY(find_table(&found, &is_known, &w, err));
    *ret = found;
    return SAE_OK;
}
