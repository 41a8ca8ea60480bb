/* SPDX-License-Identifier: MIT */
/* question : reading multiple-choice questions.
 *
 * Contents:  1. one question   2. lists as text   3. JSON   4. CSV   5. a file */
#include "unlearn/question.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/text/bytes.h"
#include "lib/text/csv.h"
#include "lib/text/json_rows.h"
#include "lib/text/kind.h"

const char *const unlearn_form_names[] = {"auto", "letters", "cloze", NULL};

/* --- 1. one question ---------------------------------------------------------------------- */

struct reader {
    struct unlearn_set *set;
    const char *path;
    struct sae_left left; /* rows that are no objects */
    size_t n_rows;
    const char *unit; /* of `line`: "line", or "row" of Parquet */
    uint64_t first_bad; /* line of the first row left out */
    char why[160];
};

static void question_clear(struct unlearn_question *q)
{
    free(q->text);
    for (size_t i = 0; i < UNLEARN_MAX_CHOICES; i++)
        free(q->choices[i]);
    free(q->subject);
    *q = (struct unlearn_question){0};
}

static size_t whole_number(double number)
{
    return number >= 0 && number < 1e6 && number == floor(number) ? (size_t)number : SIZE_MAX;
}

/* "2", "2.0", "C" or "c"; SIZE_MAX where it is none of them. */
static size_t parse_answer(const char *text)
{
    double number;
    while (*text == ' ')
        text++;
    if (sae_str_real(text, &number))
        return whole_number(number);
    if (isalpha((unsigned char)text[0]) && text[1 + strspn(text + 1, " .)")] == '\0')
        return (size_t)(toupper((unsigned char)text[0]) - 'A');
    return SIZE_MAX;
}

static void drop_row(struct reader *r, uint64_t line, const char *why)
{
    if (r->set->n_left_out++ > 0)
        return;
    r->first_bad = line;
    snprintf(r->why, sizeof r->why, "%s", why);
}

/* Takes over `q` as the file's next row, or leaves it out and says why. */
static enum sae_status add(struct reader *r, struct unlearn_question *q, uint64_t line,
                           size_t n_given, struct sae_err *err)
{
    const char *why = NULL;
    if (q->text == NULL || q->text[strspn(q->text, " \t\n")] == '\0')
        why = "no text";
    else if (n_given < 2 || n_given > UNLEARN_MAX_CHOICES)
        why = "other than 2 to 5 choices";
    else if (q->answer >= n_given)
        why = "no right answer";
    for (size_t i = 0; why == NULL && i < n_given; i++)
        if (q->choices[i] == NULL || q->choices[i][0] == '\0')
            why = "an empty choice";
    q->row = r->n_rows++;
    q->n_choices = n_given;
    if (why != NULL) {
        drop_row(r, line, why);
        question_clear(q);
        return SAE_OK;
    }
    SAE_TRY(sae_mem_grow(&r->set->v, &r->set->cap, r->set->n + 1, sizeof *r->set->v, err));
    r->set->v[r->set->n++] = *q;
    *q = (struct unlearn_question){0};
    return SAE_OK;
}

/* --- 2. lists as text --------------------------------------------------------------------- */

/* A quoted string at *at, in new memory; NULL where it does not end. */
static char *quoted(const char **at)
{
    const char quote = *(*at)++;
    char *made = malloc(strlen(*at) + 1);
    size_t n = 0;
    while (made != NULL && **at != '\0' && **at != quote) {
        char c = *(*at)++;
        if (c == '\\' && **at != '\0') {
            c = *(*at)++;
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
        }
        made[n++] = c;
    }
    if (made == NULL || **at != quote) {
        free(made);
        return NULL;
    }
    (*at)++;
    made[n] = '\0';
    return made;
}

/* A number at *at, as it is written, in new memory; NULL if there is no number. */
static char *bare(const char **at)
{
    const size_t n = strspn(*at, "+-.0123456789eE");
    char *made = n == 0 ? NULL : malloc(n + 1);
    if (made == NULL)
        return NULL;
    memcpy(made, *at, n);
    made[n] = '\0';
    *at += n;
    return made;
}

size_t unlearn_question_list(char **choices, size_t cap, const char *text)
{
    size_t n = 0;
    const char *at = text + strspn(text, " \t\r\n");
    if (*at++ != '[')
        return 0;
    while (n < cap) {
        at += strspn(at, " \t\r\n,");
        choices[n] = *at == '"' || *at == '\'' ? quoted(&at) : bare(&at);
        if (choices[n] == NULL)
            break;
        n++;
    }
    if (n < cap && *at != ']') {
        for (size_t i = 0; i < n; i++) {
            free(choices[i]);
            choices[i] = NULL;
        }
        return 0;
    }
    return n;
}

/* Moves a list into the question; returns its length, which may be too long. */
static size_t take_list(struct unlearn_question *q, const char *text)
{
    char *all[UNLEARN_MAX_CHOICES + 1] = {0};
    const size_t n = unlearn_question_list(all, UNLEARN_MAX_CHOICES + 1, text);
    for (size_t i = 0; i < n && i < UNLEARN_MAX_CHOICES; i++)
        q->choices[i] = all[i];
    free(all[UNLEARN_MAX_CHOICES]);
    return n;
}

/* --- 3. JSON ------------------------------------------------------------------------------ */

/* Text, or a number or truth as JSON writes it: choices are often numbers. */
static enum sae_status dup_field(char **ret, const json_t *value, struct sae_err *err)
{
    if (json_is_string(value))
        return sae_mem_strdup(ret, json_string_value(value), err);
    if (!json_is_number(value) && !json_is_boolean(value))
        return SAE_OK;
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    const enum sae_status st = text == NULL ? sae_err_set(err, SAE_ENOMEM, "out of memory")
                                            : sae_mem_strdup(ret, text, err);
    free(text);
    return st;
}

/* 2, 2.0, "2", "C"; SIZE_MAX where it is none of them. */
static size_t answer_of(const json_t *answer)
{
    if (json_is_string(answer))
        return parse_answer(json_string_value(answer));
    return json_is_number(answer) ? whole_number(json_number_value(answer)) : SIZE_MAX;
}

static enum sae_status add_object(struct reader *r, const json_t *object, uint64_t line,
                                  struct sae_err *err)
{
    static const char *const need[] = {"question", "choices"};
    struct unlearn_question q = {.answer = SIZE_MAX};
    const json_t *choices = json_object_get(object, "choices");
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < 2; i++)
        if (json_object_get(object, need[i]) == NULL)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s' %s %" PRIu64 " has no field '%s'; expected question, "
                               "choices and answer",
                               r->path, r->unit, line, need[i]);
    size_t n = json_array_size(choices);
    SAE_GO(st, dup_field(&q.text, json_object_get(object, "question"), err));
    SAE_GO(st, dup_field(&q.subject, json_object_get(object, "subject"), err));
    for (size_t i = 0; i < n && i < UNLEARN_MAX_CHOICES; i++)
        SAE_GO(st, dup_field(&q.choices[i], json_array_get(choices, i), err));
    if (json_is_string(choices))
        n = take_list(&q, json_string_value(choices));
    q.answer = answer_of(json_object_get(object, "answer"));
    st = add(r, &q, line, n, err);
done:
    question_clear(&q);
    return st;
}

static enum sae_status read_json(struct reader *r, struct sae_bytes *bytes, enum sae_kind kind,
                                 struct sae_err *err)
{
    struct sae_json_rows json = {0};
    bool more = true;
    enum sae_status st;
    if (kind == SAE_KIND_PARQUET)
        SAE_TRY(sae_json_rows_parquet(&json, r->path, NULL, &r->left, err));
    else
        sae_json_rows_init(&json, bytes, r->path, kind == SAE_KIND_JSON_ARRAY, &r->left);
    r->unit = r->left.unit != NULL ? r->left.unit : "line";
    for (;;) {
        json_t *object = NULL;
        SAE_GO(st, sae_json_rows_next(&json, &more, err));
        if (!more)
            break;
        SAE_GO(st, sae_json_rows_object(&json, &object, err));
        if (object == NULL) {
            drop_row(r, json.line, "no JSON object");
            r->n_rows++;
            continue;
        }
        st = add_object(r, object, json.line, err);
        json_decref(object);
        if (st != SAE_OK)
            goto done;
    }
done:
    sae_json_rows_clear(&json);
    return st;
}

/* --- 4. CSV ------------------------------------------------------------------------------- */

/* Where things stand in a record; SIZE_MAX = nowhere. */
struct columns {
    size_t question, choices, answer, subject;
    size_t letter[UNLEARN_MAX_CHOICES];
    size_t n_letters;
};

static size_t column(const struct sae_csv *csv, const char *name)
{
    const size_t at = sae_csv_column(csv, name);
    return at < csv->n_fields ? at : SIZE_MAX;
}

/* A header, or, where the first record is a question already (MMLU's own files), its six fields.
 * *ret_is_data: the record is to be read as well. */
static enum sae_status find_columns(struct columns *ret, bool *ret_is_data,
                                    const struct sae_csv *csv, struct sae_err *err)
{
    static const char *const names[] = {"A", "B", "C", "D", "E"};
    struct columns c = {.question = column(csv, "question"),
                        .choices = column(csv, "choices"),
                        .answer = column(csv, "answer"),
                        .subject = column(csv, "subject")};
    while (c.n_letters < UNLEARN_MAX_CHOICES &&
           (c.letter[c.n_letters] = column(csv, names[c.n_letters])) != SIZE_MAX)
        c.n_letters++;
    *ret_is_data = false;
    if (c.question == SIZE_MAX && csv->n_fields == 6 && strlen(csv->field[5].s) == 1 &&
        strchr("ABCD", csv->field[5].s[0]) != NULL) {
        c = (struct columns){.choices = SIZE_MAX, .answer = 5, .subject = SIZE_MAX,
                             .letter = {1, 2, 3, 4}, .n_letters = 4};
        *ret_is_data = true;
    } else if (c.question == SIZE_MAX || c.answer == SIZE_MAX ||
               (c.choices == SIZE_MAX && c.n_letters < 2)) {
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' is no file of questions: expected the columns question, choices "
                           "and answer, or question, A, B, C, D and answer; the first of its %zu "
                           "fields is '%.40s'",
                           csv->path, csv->n_fields, csv->field[0].s);
    }
    *ret = c;
    return SAE_OK;
}

static enum sae_status add_record(struct reader *r, const struct sae_csv *csv,
                                  const struct columns *c, struct sae_err *err)
{
    struct unlearn_question q = {0};
    size_t n = 0;
    enum sae_status st;
    SAE_GO(st, sae_mem_strdup(&q.text, csv->field[c->question].s, err));
    if (c->subject != SIZE_MAX)
        SAE_GO(st, sae_mem_strdup(&q.subject, csv->field[c->subject].s, err));
    if (c->choices != SIZE_MAX)
        n = take_list(&q, csv->field[c->choices].s);
    for (; c->choices == SIZE_MAX && n < c->n_letters; n++)
        SAE_GO(st, sae_mem_strdup(&q.choices[n], csv->field[c->letter[n]].s, err));
    q.answer = parse_answer(csv->field[c->answer].s);
    st = add(r, &q, csv->line, n, err);
done:
    question_clear(&q);
    return st;
}

static enum sae_status read_csv(struct reader *r, struct sae_bytes *bytes, bool tabs,
                                struct sae_err *err)
{
    struct sae_csv csv;
    struct columns columns;
    bool more, is_data;
    enum sae_status st;
    sae_csv_init(&csv, bytes, r->path, tabs ? '\t' : ',');
    SAE_GO(st, sae_csv_next(&csv, &more, err));
    if (!more) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is empty; expected questions", r->path);
        goto done;
    }
    SAE_GO(st, find_columns(&columns, &is_data, &csv, err));
    const size_t n_fields = csv.n_fields;
    if (is_data)
        SAE_GO(st, add_record(r, &csv, &columns, err));
    for (;;) {
        SAE_GO(st, sae_csv_next(&csv, &more, err));
        if (!more)
            break;
        if (csv.n_fields != n_fields) {
            drop_row(r, csv.line, "not as many fields as the first line");
            r->n_rows++;
            continue;
        }
        SAE_GO(st, add_record(r, &csv, &columns, err));
    }
done:
    sae_csv_clear(&csv);
    return st;
}

/* --- 5. a file ---------------------------------------------------------------------------- */

/* "wmdp-bio" of dir/wmdp-bio.jsonl.gz. */
static enum sae_status name_of(char **ret, const char *path, struct sae_err *err)
{
    static const char *const suffixes[] = {".gz",    ".zst",    ".csv",  ".tsv",
                                           ".jsonl", ".ndjson", ".json", ".parquet"};
    SAE_TRY(sae_mem_strdup(ret, sae_fs_base(path), err));
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (sae_str_ends(*ret, suffixes[i]) && strlen(*ret) > strlen(suffixes[i]))
            (*ret)[strlen(*ret) - strlen(suffixes[i])] = '\0';
    return SAE_OK;
}

static enum sae_status read_rows(struct reader *r, struct sae_bytes *bytes, struct sae_err *err)
{
    struct sae_kind_found found;
    SAE_TRY(sae_kind_find(&found, bytes, r->path, NULL, err));
    if (!found.usable)
        return sae_err_set(err, SAE_EFORMAT, "cannot use '%s': %s", r->path, found.why);
    if (found.kind == SAE_KIND_JSON_LINES || found.kind == SAE_KIND_JSON_ARRAY ||
        found.kind == SAE_KIND_PARQUET)
        return read_json(r, bytes, found.kind, err);
    return read_csv(r, bytes, found.kind == SAE_KIND_TSV, err);
}

enum sae_status unlearn_set_load(struct unlearn_set *ret, const char *path, struct sae_err *err)
{
    struct unlearn_set set = {0};
    struct reader r = {.set = &set, .path = path, .unit = "line"};
    struct sae_bytes bytes = {0};
    enum sae_status st;
    SAE_GO(st, name_of(&set.name, path, err));
    SAE_GO(st, sae_mem_strdup(&set.path, path, err));
    SAE_GO(st, sae_digest_file(path, set.id, err));
    SAE_GO(st, sae_bytes_open(&bytes, path, err));
    SAE_GO(st, read_rows(&r, &bytes, err));
    if (r.n_rows == 0) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is empty; expected questions", path);
        goto done;
    }
    if (set.n == 0) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' has no usable question in %zu rows (%s %" PRIu64
                                           ": %s)",
                         path, r.n_rows, r.unit, r.first_bad, r.why);
        goto done;
    }
    if (set.n_left_out > 0)
        sae_log_warn("'%s': %zu of %zu rows are no usable question and left out (the first, %s "
                     "%" PRIu64 ": %s)",
                     path, set.n_left_out, r.n_rows, r.unit, r.first_bad, r.why);
    *ret = set;
    set = (struct unlearn_set){0};
done:
    sae_bytes_close(&bytes);
    unlearn_set_clear(&set);
    return st;
}

void unlearn_set_clear(struct unlearn_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        question_clear(&set->v[i]);
    free(set->v);
    free(set->name);
    free(set->subject);
    free(set->path);
    free(set->known);
    *set = (struct unlearn_set){0};
}
