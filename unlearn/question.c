/* SPDX-License-Identifier: MIT */
/* question : reading multiple-choice questions.
 *
 * Contents:  1. one question   2. lists as text   3. JSON lines   4. CSV   5. a file */
#include "unlearn/question.h"

#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/text/bytes.h"
#include "lib/text/csv.h"
#include "lib/text/docs.h"

const char *const unlearn_form_names[] = {"auto", "letters", "cloze", NULL};

/* --- 1. one question ---------------------------------------------------------------------- */

struct reader {
    struct unlearn_set *set;
    const char *path;
    size_t n_rows;
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

/* "2", "C" or "c"; SIZE_MAX where it is neither. */
static size_t parse_answer(const char *text)
{
    uint64_t number;
    while (*text == ' ')
        text++;
    if (sae_str_u64(text, &number))
        return (size_t)number;
    if (isalpha((unsigned char)text[0]) && text[1 + strspn(text + 1, " .)")] == '\0')
        return (size_t)(toupper((unsigned char)text[0]) - 'A');
    return SIZE_MAX;
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
        if (r->set->n_left_out++ == 0) {
            r->first_bad = line;
            snprintf(r->why, sizeof r->why, "%s", why);
        }
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

size_t unlearn_question_list(char **choices, size_t cap, const char *text)
{
    size_t n = 0;
    const char *at = text + strspn(text, " \t\r\n");
    if (*at++ != '[')
        return 0;
    while (n < cap) {
        at += strspn(at, " \t\r\n,");
        if (*at != '"' && *at != '\'')
            break;
        choices[n] = quoted(&at);
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

/* --- 3. JSON lines ------------------------------------------------------------------------ */

static enum sae_status dup_field(char **ret, const json_t *value, struct sae_err *err)
{
    if (!json_is_string(value))
        return SAE_OK;
    return sae_mem_strdup(ret, json_string_value(value), err);
}

static enum sae_status add_object(struct reader *r, const json_t *object, uint64_t line,
                                  struct sae_err *err)
{
    static const char *const need[] = {"question", "choices"};
    struct unlearn_question q = {.answer = SIZE_MAX};
    const json_t *choices = json_object_get(object, "choices");
    const json_t *answer = json_object_get(object, "answer");
    enum sae_status st = SAE_OK;
    for (size_t i = 0; i < 2; i++)
        if (json_object_get(object, need[i]) == NULL)
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s' line %" PRIu64 " has no field '%s'; expected question, "
                               "choices and answer",
                               r->path, line, need[i]);
    size_t n = json_array_size(choices);
    SAE_GO(st, dup_field(&q.text, json_object_get(object, "question"), err));
    SAE_GO(st, dup_field(&q.subject, json_object_get(object, "subject"), err));
    for (size_t i = 0; i < n && i < UNLEARN_MAX_CHOICES; i++)
        SAE_GO(st, dup_field(&q.choices[i], json_array_get(choices, i), err));
    if (json_is_string(choices))
        n = take_list(&q, json_string_value(choices));
    if (json_is_integer(answer) && json_integer_value(answer) >= 0)
        q.answer = (size_t)json_integer_value(answer);
    else if (json_is_string(answer))
        q.answer = parse_answer(json_string_value(answer));
    st = add(r, &q, line, n, err);
done:
    question_clear(&q);
    return st;
}

static enum sae_status read_json(struct reader *r, struct sae_bytes *bytes, struct sae_err *err)
{
    struct sae_str line = {0};
    uint64_t number = 0;
    bool more = true;
    enum sae_status st;
    for (;;) {
        json_t *object = NULL;
        SAE_GO(st, sae_docs_line(bytes, &line, &number, &more, err));
        if (!more)
            break;
        SAE_GO(st, sae_docs_object(&object, &line, r->path, number, err));
        st = add_object(r, object, number, err);
        json_decref(object);
        if (st != SAE_OK)
            goto done;
    }
done:
    sae_str_clear(&line);
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

static enum sae_status read_csv(struct reader *r, struct sae_bytes *bytes, struct sae_err *err)
{
    struct sae_csv csv;
    struct columns columns;
    bool more, is_data;
    enum sae_status st;
    sae_csv_init(&csv, bytes, r->path);
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
            st = sae_err_set(err, SAE_EFORMAT, "'%s' line %" PRIu64 " has %zu fields, expected %zu",
                             r->path, csv.line, csv.n_fields, n_fields);
            goto done;
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
    static const char *const suffixes[] = {".gz", ".zst", ".csv", ".jsonl", ".ndjson", ".json"};
    SAE_TRY(sae_mem_strdup(ret, sae_fs_base(path), err));
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (sae_str_ends(*ret, suffixes[i]) && strlen(*ret) > strlen(suffixes[i]))
            (*ret)[strlen(*ret) - strlen(suffixes[i])] = '\0';
    return SAE_OK;
}

enum sae_status unlearn_set_load(struct unlearn_set *ret, const char *path, struct sae_err *err)
{
    struct unlearn_set set = {0};
    struct reader r = {.set = &set, .path = path};
    struct sae_bytes bytes = {0};
    enum sae_status st;
    if (sae_str_ends(path, ".parquet"))
        return sae_err_set(err, SAE_EARG,
                           "'%s' is parquet, which is not read; write it as JSON lines "
                           "(pandas.read_parquet(...).to_json(..., orient='records', lines=True))",
                           path);
    SAE_GO(st, name_of(&set.name, path, err));
    SAE_GO(st, sae_mem_strdup(&set.path, path, err));
    SAE_GO(st, sae_digest_file(path, set.id, err));
    SAE_GO(st, sae_bytes_open(&bytes, path, err));
    st = sae_docs_is_json(path) ? read_json(&r, &bytes, err) : read_csv(&r, &bytes, err);
    if (st != SAE_OK)
        goto done;
    if (r.n_rows == 0) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is empty; expected questions", path);
        goto done;
    }
    if (set.n == 0) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' has no usable question in %zu rows (line %" PRIu64
                                           ": %s)",
                         path, r.n_rows, r.first_bad, r.why);
        goto done;
    }
    if (set.n_left_out > 0)
        sae_log_warn("'%s': %zu of %zu rows are no usable question and left out (the first, line "
                     "%" PRIu64 ": %s)",
                     path, set.n_left_out, r.n_rows, r.first_bad, r.why);
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
