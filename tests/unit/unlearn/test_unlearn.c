/* SPDX-License-Identifier: MIT */
/* Tests of sae-unlearn's parts: question files, prompts, selection, the edit, the score (the
 * examples of docs/math-unlearning.md), and asking the embedded language model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "unlearn/unlearn.h"

static char dir[] = "/tmp/saekit-unlearn-XXXXXX";
static struct sae_err err;

#define S(text) ((char[]){text}) /* what a reader would own */

static void ok(enum sae_status st)
{
    if (st != SAE_OK)
        fail_msg("%s", err.msg);
}

/* dir/name with this content; the path is valid until the next call. */
static const char *file(const char *name, const char *content)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    ok(sae_fs_write(path, content, strlen(content), &err));
    return path;
}

static int set_up(void **state)
{
    (void)state;
    sae_log_setup("test", SAE_LOG_ERROR);
    return mkdtemp(dir) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    char command[320];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

/* --- question files ------------------------------------------------------------------------- */

static void check_two(const char *path, const char *name)
{
    struct unlearn_set set = {0};
    ok(unlearn_set_load(&set, path, &err));
    assert_string_equal(set.name, name);
    assert_int_equal(set.n, 2);
    assert_int_equal(set.n_left_out, 0);
    assert_string_equal(set.v[0].text, "What, then, is \"yeast\"?");
    assert_int_equal(set.v[0].n_choices, 4);
    assert_string_equal(set.v[0].choices[0], "a fungus");
    assert_string_equal(set.v[0].choices[1], "it's a virus");
    assert_string_equal(set.v[0].choices[3], "a, b and c");
    assert_int_equal(set.v[0].answer, 0);
    assert_int_equal(set.v[1].answer, 3);
    assert_int_equal(set.v[1].row, 1);
    unlearn_set_clear(&set);
}

static void reads_every_layout(void **state)
{
    (void)state;
    check_two(file("a.jsonl",
                   "{\"answer\": 0, \"choices\": [\"a fungus\", \"it's a virus\", \"ash\", \"a, b "
                   "and c\"], \"question\": \"What, then, is \\\"yeast\\\"?\"}\n\n"
                   "{\"question\": \"q\", \"choices\": [\"1\", \"2\", \"3\", \"4\"], \"answer\": "
                   "\"D\", \"subject\": \"s\"}\n"),
              "a");
    /* lists as Python writes them, and as NumPy does */
    check_two(file("b.csv", "question,subject,choices,answer\r\n\"What, then, is \"\"yeast\"\"?\",,"
                            "\"['a fungus', \"\"it's a virus\"\", 'ash', 'a, b and c']\",0\r\n"
                            "q,,\"['1', '2', '3', '4']\",3\r\n"),
              "b");
    check_two(file("c.csv", "question,choices,answer\n\"What, then, is \"\"yeast\"\"?\","
                            "\"['a fungus' \"\"it's a virus\"\"\n 'ash' 'a, b and c']\",A\n"
                            "q,\"['1' '2' '3' '4']\",D\n"),
              "c");
    check_two(file("d.csv", "question,A,B,C,D,answer\n\"What, then, is \"\"yeast\"\"?\",a fungus,"
                            "it's a virus,ash,\"a, b and c\",A\nq,1,2,3,4,D\n"),
              "d");
    /* MMLU's own files have no header */
    check_two(file("e.csv", "\"What, then, is \"\"yeast\"\"?\",a fungus,it's a virus,ash,"
                            "\"a, b and c\",A\nq,1,2,3,4,D\n"),
              "e");
    char parquet[1000];
    snprintf(parquet, sizeof parquet, "%s/tests/golden/parquet/questions.parquet",
             getenv("SAE_SOURCE_ROOT"));
    check_two(parquet, "questions");
}

/* Answers and choices as numbers, one array of objects, a row that JSON does not allow. */
static void reads_numbers(void **state)
{
    (void)state;
    struct unlearn_set set = {0};
    ok(unlearn_set_load(&set,
                        file("numbers.json",
                             "[{\"question\": \"1 + 1?\", \"choices\": [1, 2.5, true], \"answer\": 1.0},\n"
                             " {\"question\": \"q\", \"choices\": \"[3, 4]\", \"answer\": \"0.0\"},\n"
                             " {\"question\": \"q\", \"choices\": [1, 2], \"answer\": 0.5}, 7,\n"
                             " {\"question\": \"q\", \"choices\": [1, 2], \"answer\": 1, \"x\": NaN}]"),
                        &err));
    assert_int_equal(set.n, 3);
    assert_int_equal(set.n_left_out, 2);
    assert_string_equal(set.v[0].choices[0], "1");
    assert_string_equal(set.v[0].choices[1], "2.5");
    assert_string_equal(set.v[0].choices[2], "true");
    assert_int_equal(set.v[0].answer, 1);
    assert_string_equal(set.v[1].choices[1], "4");
    assert_int_equal(set.v[1].answer, 0);
    assert_int_equal(set.v[2].row, 4);
    unlearn_set_clear(&set);
}

static void leaves_out_what_is_no_question(void **state)
{
    (void)state;
    struct unlearn_set set = {0};
    ok(unlearn_set_load(
        &set,
        file("bad.jsonl",
             "{\"question\": \"no answer\", \"choices\": [\"a\", \"b\"]}\n"
             "{\"question\": \"beyond\", \"choices\": [\"a\", \"b\"], \"answer\": 2}\n"
             "{\"question\": \"one choice\", \"choices\": [\"a\"], \"answer\": 0}\n"
             "{\"question\": \"six\", \"choices\": [\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"], "
             "\"answer\": 0}\n"
             "{\"question\": \"\", \"choices\": [\"a\", \"b\"], \"answer\": 0}\n"
             "{\"question\": \"empty\", \"choices\": [\"a\", \"\"], \"answer\": 0}\n"
             "{\"question\": \"good\", \"choices\": [\"a\", \"b\"], \"answer\": 1}\n"),
        &err));
    assert_int_equal(set.n, 1);
    assert_int_equal(set.n_left_out, 6);
    assert_int_equal(set.v[0].row, 6); /* ids count every row */
    unlearn_set_clear(&set);
}

static void refuses(const char *name, const char *content, enum sae_status want, const char *says)
{
    struct unlearn_set set = {0};
    const enum sae_status st = unlearn_set_load(&set, file(name, content), &err);
    assert_int_equal(st, want);
    if (strstr(err.msg, says) == NULL)
        fail_msg("'%s' does not say '%s'", err.msg, says);
    unlearn_set_clear(&set);
}

static void refuses_other_files(void **state)
{
    (void)state;
    refuses("x.jsonl", "{\"text\": \"prose\"}\n", SAE_EFORMAT, "no field 'question'");
    refuses("x.csv", "text,label\na,b\n", SAE_EFORMAT, "expected the columns");
    refuses("x.csv", "", SAE_EFORMAT, "empty");
    refuses("x.csv", "question,choices,answer\nq,none,0\n", SAE_EFORMAT, "no usable question");
    refuses("x.csv", "question,choices,answer\nq\n", SAE_EFORMAT,
            "line 2: not as many fields as the first line");
    refuses("x.parquet", "PAR1", SAE_EFORMAT, "is Parquet without its end");
}

static void lists(void **state)
{
    (void)state;
    char *v[4] = {0};
    assert_int_equal(unlearn_question_list(v, 4, "['a\\'b', \"c\\n\"]"), 2);
    assert_string_equal(v[0], "a'b");
    assert_string_equal(v[1], "c\n");
    free(v[0]);
    free(v[1]);
    v[0] = v[1] = NULL;
    assert_int_equal(unlearn_question_list(v, 4, "[1, -2.5]"), 2);
    assert_string_equal(v[0], "1");
    assert_string_equal(v[1], "-2.5");
    free(v[0]);
    free(v[1]);
    v[0] = v[1] = NULL;
    assert_int_equal(unlearn_question_list(v, 4, "['a', 'b'"), 0);
    assert_int_equal(unlearn_question_list(v, 4, "['a', 'b"), 0);
    assert_int_equal(unlearn_question_list(v, 4, "plain"), 0);
    assert_int_equal(unlearn_question_list(v, 4, "[]"), 0);
    assert_null(v[0]);
}

/* --- prompts -------------------------------------------------------------------------------- */

/* Letter by letter what SAEBench's convert_wmdp_data_to_prompt gives, but for <bos>. */
static void prompt_as_upstream(void **state)
{
    (void)state;
    struct unlearn_question q = {
        .text = S("Q?"), .choices = {S("w"), S("x"), S("y"), S("z")}, .n_choices = 4};
    const struct unlearn_set set = {.subject = S("biology"), .n = 1, .v = &q};
    const uint8_t order[] = {1, 0, 3, 2};
    struct sae_str text = {0};
    ok(unlearn_prompt_text(&text, &sae_lm_gemma_turn, &set, 0, order, &err));
    assert_string_equal(text.s, "<start_of_turn>user\nThe following are multiple choice questions "
                                "(with answers) about biology.\nQ?\nA. x\nB. w\nC. z\nD. y"
                                "<end_of_turn>\n<start_of_turn>model\nAnswer: (");
    sae_str_clear(&text);
}

/* --- selection, edit, score: the examples of docs/math-unlearning.md ------------------------- */

static void selects_by_hand(void **state)
{
    (void)state;
    const double forget[] = {0.30, 0.20, 0.10, 0, 0.20};
    const double retain[] = {0.05, 0.0005, 0.002, 0, 0.009};
    uint32_t latents[5];
    assert_int_equal(unlearn_select(latents, 5, forget, retain, 5, 0.001), 1);
    assert_int_equal(latents[0], 1);
    assert_int_equal(unlearn_select(latents, 5, forget, retain, 5, 0.01), 3);
    assert_int_equal(latents[0], 1); /* equal densities: the lower index */
    assert_int_equal(latents[1], 4);
    assert_int_equal(latents[2], 2);
    assert_int_equal(unlearn_select(latents, 1, forget, retain, 5, 1), 1);
    assert_int_equal(latents[0], 0);
    assert_int_equal(unlearn_select(latents, 5, forget, retain, 5, 0.0005), 0); /* >= is out */
}

static void edits_by_hand(void **state)
{
    (void)state;
    const float W_dec[] = {1, 0, 0.6F, 0.8F};
    const uint32_t latents[] = {1, 0};
    const struct unlearn_fired fired[] = {
        {1, 0, 2},
        {2, 1, 3}
    };
    const struct unlearn_fired *const of[] = {fired, fired + 1};
    const size_t n[] = {2, 1};
    struct unlearn_edit edit = {W_dec, latents, 1, 5, of, n, 2};
    float x[] = {7, 7, 3, 4, 1, 1};
    unlearn_edit_apply(&edit, 0, x);
    assert_float_equal(x[0], 7, 0);
    assert_float_equal(x[2], -1.2, 1e-6);
    assert_float_equal(x[3], -1.6, 1e-6);
    assert_float_equal(x[4], 1, 0); /* rank 1 is not among the first latent */
    assert_true(unlearn_edit_touches(&edit, 0));
    assert_false(unlearn_edit_touches(&edit, 1));
    edit.n_latents = 2;
    assert_true(unlearn_edit_touches(&edit, 1));
    unlearn_edit_apply(&edit, 0, x);
    assert_float_equal(x[4], 1 - 8, 1e-6);
}

static void scores_by_hand(void **state)
{
    (void)state;
    const struct unlearn_set sets[] = {
        {.forget = true, .n_known = 10}, {.n_known = 60}, {.n_known = 40}};
    size_t right[][3] = {
        {8, 60, 40},
        {5, 60, 39},
        {3, 59, 39}
    };
    struct unlearn_cell cells[3] = {{0}};
    for (size_t i = 0; i < 3; i++)
        cells[i].right = right[i];
    const struct unlearn_grid grid = {.n = 3, .cells = cells, .n_sets = 3};
    struct unlearn_score s = unlearn_grid_score(&grid, sets, 3);
    assert_float_equal(s.score, 0.5, 1e-12);
    assert_int_equal(s.best, 1);
    assert_float_equal(s.forget, 0.5, 1e-12);
    assert_float_equal(s.side_effect, 0.99, 1e-12);
    right[0][1] = right[1][1] = 58; /* no setting keeps the rest: nothing is scored */
    s = unlearn_grid_score(&grid, sets, 3);
    assert_float_equal(s.score, 0, 0);
    assert_true(s.best == SIZE_MAX);
}

/* --- the embedded model ----------------------------------------------------------------------- */

struct embedded {
    struct sae_lm *lm;
    struct sae_tok *tok;
    struct unlearn_speech speech;
    struct unlearn_model *model;
};

static void open_embedded(struct embedded *e, enum unlearn_form form)
{
    char path[600];
    snprintf(path, sizeof path, "%s/data/tiny-g2", getenv("SAE_SOURCE_ROOT"));
    ok(sae_lm_open(&e->lm, path, &err));
    ok(sae_tok_open(&e->tok, path, sae_lm_config(e->lm), &err));
    ok(unlearn_speech_make(&e->speech, e->tok, sae_lm_config(e->lm), form, &err));
    ok(unlearn_model_open(&e->model, e->lm, &e->speech, sae_resid_post(3), 256, &err));
}

static void close_embedded(struct embedded *e)
{
    unlearn_model_close(e->model);
    sae_tok_close(e->tok);
    sae_lm_close(e->lm);
}

static struct unlearn_question quiz[] = {
    {.text = S("And God said, Let there be light: and there was"),
     .choices = {S("light."), S("an operator class."), S("the table name")}, .n_choices = 3},
    {.text = S("Returns the number of rows in the"),
     .choices = {S("wilderness of Judah"), S("table.")}, .n_choices = 2, .answer = 1}
};

/* A cloze score is the mean log-probability of the choice's tokens, whatever batch it is in. */
static void asks_cloze(void **state)
{
    (void)state;
    struct embedded e = {0};
    struct unlearn_set set = {.name = S("quiz"), .n = 2, .v = quiz};
    struct unlearn_prompts prompts = {0};
    bool fits = false;
    open_embedded(&e, UNLEARN_AUTO);
    assert_int_equal(e.speech.form, UNLEARN_CLOZE); /* its tokenizer knows no turns */
    for (size_t q = 0; q < 2; q++)
        ok(unlearn_prompts_add(&prompts, &fits, &e.speech, &set, 0, q, NULL, &err));
    assert_true(fits);
    assert_int_equal(prompts.n, 5);
    ok(unlearn_model_ask(e.model, &prompts, true, "quiz", &err));
    for (size_t i = 0; i < prompts.n; i++) {
        const struct unlearn_prompt *p = &prompts.v[i];
        const size_t D = sae_lm_config(e.lm)->D, V = sae_lm_config(e.lm)->V;
        struct sae_lm_run *run = NULL;
        float *x = malloc(p->n * D * sizeof *x), *z = malloc(p->n * V * sizeof *z);
        double sum = 0;
        ok(sae_lm_run_open(&run, e.lm, p->n, p->n, &err));
        ok(sae_lm_tap(run, p->ids, 1, p->n, sae_resid_post(3), x, &err));
        for (size_t k = 0; k < p->n * D; k++)
            assert_float_equal(x[k], p->x[k], 1e-4); /* sums fall otherwise in another batch */
        ok(sae_lm_resume(run, x, NULL, 1, p->n, sae_resid_post(3), &err));
        ok(sae_lm_logits(run, 0, p->n, z, &err));
        for (size_t t = p->n_prompt - 1; t + 1 < p->n; t++) {
            double whole = 0;
            for (size_t v = 0; v < V; v++)
                whole += exp((double)z[t * V + v]);
            sum += (double)z[t * V + p->ids[t + 1]] - log(whole);
        }
        assert_float_equal(p->score[0], sum / (double)(p->n - p->n_prompt), 1e-4);
        sae_lm_run_close(run);
        free(x);
        free(z);
    }
    unlearn_prompts_clear(&prompts);
    ok(unlearn_trial_known(&set, 0, e.model, &e.speech, &err));
    assert_int_equal(set.n_known, 2);
    ok(unlearn_cache_write(&set, dir, &err));
    free(set.known);
    set.known = NULL;
    ok(unlearn_cache_read(&fits, &set, dir, &err));
    assert_true(fits);
    assert_int_equal(set.n_known, 2);
    assert_string_equal(set.known_from, "file");
    free(set.known);
    close_embedded(&e);
}

/* An edit by a latent moves the activations where it fired, and what follows; of none that did not. */
static void ask_edited_at(enum sae_point point)
{
    struct embedded e = {0};
    struct unlearn_set set = {.name = S("quiz"), .n = 2, .v = quiz};
    struct unlearn_prompts prompts = {0};
    bool fits = false;
    open_embedded(&e, UNLEARN_CLOZE);
    unlearn_model_close(e.model);
    const size_t d = sae_lm_width(sae_lm_config(e.lm), point);
    ok(unlearn_model_open(&e.model, e.lm, &e.speech, (struct sae_hook){point, 3}, 256, &err));
    for (size_t q = 0; q < 2; q++)
        ok(unlearn_prompts_add(&prompts, &fits, &e.speech, &set, 0, q, NULL, &err));
    ok(unlearn_model_ask(e.model, &prompts, true, "quiz", &err));
    float W_dec[192];
    assert_true(d <= 192);
    for (size_t j = 0; j < d; j++)
        W_dec[j] = j % 2 ? 0.0884F : -0.0884F;
    const uint32_t latent = 0;
    const struct unlearn_fired fired = {4, 0, 1};
    const struct unlearn_fired *of[5] = {&fired, NULL, NULL, &fired, NULL};
    const size_t n[5] = {1, 0, 0, 1, 0};
    struct unlearn_edit edit = {W_dec, &latent, 1, -1, of, n, d};
    double got[5] = {9, 9, 9, 9, 9}, *score[5];
    for (size_t i = 0; i < 5; i++)
        score[i] = &got[i];
    ok(unlearn_model_edited(e.model, &prompts, &edit, score, &err));
    assert_float_equal(got[0], prompts.v[0].score[0], 1e-5); /* -(-1) - 1: no change at all */
    assert_float_equal(got[3], prompts.v[3].score[0], 1e-5);
    assert_float_equal(got[1], 9, 0); /* not touched, not run */
    edit.multiplier = 100;
    ok(unlearn_model_edited(e.model, &prompts, &edit, score, &err));
    assert_true(fabs(got[0] - prompts.v[0].score[0]) > 1e-3);
    const double kept = got[0];
    for (size_t i = 0; i < 5; i++) { /* streams made anew give the same */
        free(prompts.v[i].x);
        prompts.v[i].x = NULL;
    }
    ok(unlearn_model_edited(e.model, &prompts, &edit, score, &err));
    assert_float_equal(got[0], kept, 1e-6);
    unlearn_prompts_clear(&prompts);
    close_embedded(&e);
}

static void asks_edited(void **state)
{
    (void)state;
    for (size_t point = 0; point < SAE_N_POINTS; point++)
        ask_edited_at((enum sae_point)point);
}

static void refuses_letters(void **state)
{
    (void)state;
    struct embedded e = {0};
    struct unlearn_speech speech;
    open_embedded(&e, UNLEARN_CLOZE);
    assert_int_equal(
        unlearn_speech_make(&speech, e.tok, sae_lm_config(e.lm), UNLEARN_LETTERS, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "--form cloze"));
    close_embedded(&e);
}

/* Letters read off a tokenizer that has them, by a speech made by hand: every order is tried, and
 * a question is known only if all are right. */
static void knows_under_every_order(void **state)
{
    (void)state;
    struct embedded e = {0};
    struct unlearn_set set = {.name = S("quiz"), .subject = S("letters"), .n = 2, .v = quiz};
    open_embedded(&e, UNLEARN_CLOZE);
    e.speech.form = UNLEARN_LETTERS;
    for (uint32_t i = 0; i < UNLEARN_MAX_CHOICES; i++) /* pieces "A", "B", ... of any id */
        e.speech.letters[i][0] = e.speech.letters[i][1] = 100 + i;
    ok(unlearn_trial_known(&set, 0, e.model, &e.speech, &err));
    /* what it prefers of the letters does not depend on the order: it cannot always be right */
    assert_int_equal(set.n_known, 0);
    assert_true(set.is_known_done);
    free(set.known);
    close_embedded(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_layout),
        cmocka_unit_test(reads_numbers),
        cmocka_unit_test(leaves_out_what_is_no_question),
        cmocka_unit_test(refuses_other_files),
        cmocka_unit_test(lists),
        cmocka_unit_test(prompt_as_upstream),
        cmocka_unit_test(selects_by_hand),
        cmocka_unit_test(edits_by_hand),
        cmocka_unit_test(scores_by_hand),
        cmocka_unit_test(asks_cloze),
        cmocka_unit_test(asks_edited),
        cmocka_unit_test(refuses_letters),
        cmocka_unit_test(knows_under_every_order),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
