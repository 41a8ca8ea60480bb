/* SPDX-License-Identifier: MIT */
/* autointerp : contexts out of rows, the excerpts of the worked example in
 * docs/math-autointerp.md, prompts, answers, marks, and what an interrupted run keeps. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "autointerp/guard.h"
#include "lib/base/fs.h"
#include "lib/base/rng.h"
#include "lib/file/json.h"
#include "lm/config.h"
#include "tests/unit/fixtures/autointerp_fab.h"

enum { T = 64, CONTEXTS = 40 };
static uint32_t no_tokens[CONTEXTS * T];
static const struct autointerp_corpus corpus = {.T = T, .n_contexts = CONTEXTS, .token = no_tokens};
static struct sae_err err;
static char dir[] = "/tmp/test_autointerp_XXXXXX", model[4096];

/* --- contexts -------------------------------------------------------------------------------- */

static void write_store(const char *to, size_t n, const uint16_t *position)
{
    uint16_t rows[64] = {0};
    uint32_t token[64], document[64] = {0};
    for (uint32_t r = 0; r < n; r++)
        token[r] = 100 + r;
    const struct sae_acts_shard shard = {n, 1, rows, token, document, position};
    json_t *const record = json_pack("{s:s}", "program", "test");
    assert_int_equal(sae_fs_make_dirs(to, &err), SAE_OK);
    assert_int_equal(sae_acts_shard_write(to, 0, &shard, record, true, &err), SAE_OK);
    assert_int_equal(sae_acts_finish(to, 1, record, &err), SAE_OK);
    json_decref(record);
}

/* Two contexts of 22: the first whole, with a separator at 3; the second ends at 5. */
static void test_corpus(void **state)
{
    (void)state;
    struct autointerp_corpus c;
    struct sae_acts *acts = NULL;
    uint16_t position[25];
    char path[64];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/small", dir);
    for (uint16_t p = 1; p < 22; p++)
        if (p != 3)
            position[n++] = p;
    for (uint16_t p = 1; p < 6; p++)
        position[n++] = p;
    write_store(path, n, position);
    assert_int_equal(sae_acts_open(&acts, path, &err), SAE_OK);
    assert_int_equal(autointerp_corpus_read(&c, acts, 22, 0, 2, 1, &err), SAE_OK);
    assert_int_equal(c.n_contexts, 1);
    assert_int_equal(c.n_rows, 20);
    assert_int_equal(c.token[0], 2);
    assert_int_equal(c.token[1], 100);
    assert_int_equal(c.token[3], 1);
    assert_int_equal(c.token[4], 102);
    assert_int_equal(c.at[2], 4);
    autointerp_corpus_clear(&c);
    assert_int_equal(autointerp_corpus_read(&c, acts, 22, 10, 2, 1, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "no whole context"));
    assert_int_equal(autointerp_corpus_read(&c, acts, 20, 0, 2, 1, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "--context"));
    assert_int_equal(autointerp_corpus_read(&c, acts, 21, 0, 2, 1, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "position 21"));
    sae_acts_close(acts);
}

/* --- excerpts -------------------------------------------------------------------------------- */

/* The worked example: 12 places of strength, 7 weaker ones, and some that do not count. */
static size_t example(struct autointerp_entry e[32])
{
    size_t n = 0;
    for (uint32_t c = 0; c < 12; c++) {
        e[n++] = (struct autointerp_entry){c * T + 30, 20.0F - (float)c};
        if (c == 0)
            e[n++] = (struct autointerp_entry){c * T + 35, 18.5F};
        if (c == 1)
            e[n++] = (struct autointerp_entry){c * T + 41, 10.5F};
    }
    for (uint32_t c = 12; c < 18; c++) {
        if (c == 12)
            e[n++] = (struct autointerp_entry){c * T + 6, 0.1F};
        e[n++] = (struct autointerp_entry){c * T + 15, (float)(c - 11)};
    }
    e[n++] = (struct autointerp_entry){18 * T + 5, 7.0F};
    return n;
}

static bool same_window(const struct autointerp_window *a, const struct autointerp_window *b)
{
    return a->first == b->first && a->random == b->random && a->fires == b->fires &&
           memcmp(a->value, b->value, sizeof a->value) == 0 &&
           memcmp(a->active, b->active, sizeof a->active) == 0;
}

static bool same_pick(const struct autointerp_pick *a, const struct autointerp_pick *b)
{
    bool same = a->latent == b->latent && a->threshold == b->threshold;
    for (size_t i = 0; i < AUTOINTERP_EXPLAIN; i++)
        same &= same_window(&a->explain[i], &b->explain[i]);
    for (size_t i = 0; i < AUTOINTERP_SCORE; i++)
        same &= same_window(&a->score[i], &b->score[i]);
    return same;
}

static uint32_t centre(const struct autointerp_window *w)
{
    return w->first + AUTOINTERP_BUFFER;
}

static void test_pick_example(void **state)
{
    (void)state;
    struct autointerp_entry entry[32];
    struct autointerp_latent latent = {.index = 3, .entry = entry};
    struct autointerp_pick pick, other;
    bool usable = false;
    size_t n_random = 0, n_found = 0;
    latent.n = example(entry);
    assert_int_equal(autointerp_pick_make(&pick, &usable, &latent, &corpus, 42, &err), SAE_OK);
    assert_true(usable);
    assert_int_equal(pick.n_active, 22);
    assert_true(fabs(pick.threshold - 0.2) < 1e-9);
    /* each of the 19 places stands in one of the two prompts */
    for (uint32_t c = 0; c < 18; c++)
        for (size_t i = 0; i < AUTOINTERP_EXPLAIN + AUTOINTERP_SCORE; i++) {
            const struct autointerp_window *const w =
                i < AUTOINTERP_EXPLAIN ? &pick.explain[i] : &pick.score[i - AUTOINTERP_EXPLAIN];
            n_found += !w->random && centre(w) == c * T + (c < 12 ? 30 : 15);
            n_found += !w->random && c == 1 && centre(w) == T + 41;
        }
    assert_int_equal(n_found, 19);
    for (size_t i = 0; i < AUTOINTERP_EXPLAIN; i++) {
        assert_true(pick.explain[i].fires && !pick.explain[i].random);
        assert_true(i == 0 || pick.explain[i].max <= pick.explain[i - 1].max);
    }
    for (size_t i = 0; i < AUTOINTERP_SCORE; i++)
        n_random += pick.score[i].random;
    assert_int_equal(n_random, AUTOINTERP_RANDOM);
    /* the window at 30 of context 0 holds 20 and 18.5; that at 15 of context 12 holds 1 and an
     * 0.1 that is not above 0.2 */
    for (size_t i = 0; i < AUTOINTERP_EXPLAIN; i++) {
        const struct autointerp_window *const w = &pick.explain[i];
        if (centre(w) == 30) {
            assert_true(w->max == 20.0F && w->value[15] == 18.5F && w->active[15]);
        } else if (centre(w) == 12 * T + 15) {
            assert_true(w->max == 1.0F && w->active[10]);
            assert_true(w->value[1] == 0.1F && !w->active[1]);
        }
    }
    assert_int_equal(autointerp_pick_make(&other, &usable, &latent, &corpus, 42, &err), SAE_OK);
    assert_true(same_pick(&pick, &other));
    assert_int_equal(autointerp_pick_make(&other, &usable, &latent, &corpus, 43, &err), SAE_OK);
    assert_false(same_pick(&pick, &other));
    /* without one of the weak places, and without one of the strong ones */
    latent.n -= 2;
    assert_int_equal(autointerp_pick_make(&other, &usable, &latent, &corpus, 42, &err), SAE_OK);
    assert_false(usable);
    latent.n = 12;
    assert_int_equal(autointerp_pick_make(&other, &usable, &latent, &corpus, 42, &err), SAE_OK);
    assert_false(usable);
    latent.n = 0;
    assert_int_equal(autointerp_pick_make(&other, &usable, &latent, &corpus, 42, &err), SAE_OK);
    assert_false(usable);
}

/* 7 of 8 weak places, one of them three times as strong: it is left out once in 57657600 / 5040
 * = 11440 draws, each of the others about once in 7. */
static void test_pick_weights(void **state)
{
    (void)state;
    struct autointerp_entry entry[20];
    struct autointerp_latent latent = {.index = 1, .n = 20, .entry = entry};
    size_t missing[8] = {0};
    for (uint32_t i = 0; i < 20; i++)
        entry[i] = (struct autointerp_entry){i * T + 30, i < 12 ? 9.0F : i == 15 ? 3.0F : 1.0F};
    for (uint64_t seed = 0; seed < 700; seed++) {
        struct autointerp_pick pick;
        bool usable, there[8] = {false};
        assert_int_equal(autointerp_pick_make(&pick, &usable, &latent, &corpus, seed, &err),
                         SAE_OK);
        assert_true(usable);
        for (size_t i = 0; i < AUTOINTERP_EXPLAIN + AUTOINTERP_SCORE; i++) {
            const struct autointerp_window *const w =
                i < AUTOINTERP_EXPLAIN ? &pick.explain[i] : &pick.score[i - AUTOINTERP_EXPLAIN];
            if (!w->random && w->first / T >= 12)
                there[w->first / T - 12] = true;
        }
        for (size_t i = 0; i < 8; i++)
            missing[i] += !there[i];
    }
    for (size_t i = 0; i < 8; i++) /* 100 expected, deviation 9.3 */
        assert_true(i == 3 ? missing[i] <= 2 : missing[i] > 60 && missing[i] < 140);
}

/* --- prompts --------------------------------------------------------------------------------- */

/* Ids of pieces of the embedded model; 0 where there is none. */
static uint32_t find_piece(const struct sae_tok *tok, const char *piece)
{
    for (uint32_t id = 0; id < sae_tok_size(tok); id++) {
        const char *const p = sae_tok_piece(tok, id);
        if (p != NULL && strcmp(p, piece) == 0)
            return id;
    }
    return 0;
}

static void test_prompts(void **state)
{
    (void)state;
    struct sae_lm_config config;
    struct sae_tok *tok = NULL;
    uint32_t token[T];
    const struct autointerp_corpus c = {.T = T, .n_contexts = 1, .token = token};
    struct autointerp_window w = {0};
    struct autointerp_pick pick = {.latent = 9};
    struct autointerp_prompt prompt = {0};
    char *text = NULL;
    assert_int_equal(sae_lm_config_read(&config, model, &err), SAE_OK);
    assert_int_equal(sae_tok_open(&tok, model, &config, &err), SAE_OK);
    for (size_t i = 0; i < T; i++)
        token[i] = find_piece(tok, " the");
    token[0] = config.bos;
    token[3] = find_piece(tok, "\n");
    token[5] = find_piece(tok, "\xc3"); /* half a character */
    assert_true(token[1] && token[3] && token[5]);
    w.active[1] = w.active[2] = w.active[20] = true;
    assert_int_equal(autointerp_window_text(&text, &w, &c, tok, true, &err), SAE_OK);
    assert_string_equal(text, "<bos><< the the>>\u21b5 the the the the the the the the the the the "
                              "the the the the<< the>>");
    free(text);
    assert_int_equal(autointerp_window_text(&text, &w, &c, tok, false, &err), SAE_OK);
    assert_null(strstr(text, "<<"));
    free(text);
    for (size_t i = 0; i < AUTOINTERP_EXPLAIN; i++)
        pick.explain[i] = w;
    for (size_t i = 0; i < AUTOINTERP_SCORE; i++)
        pick.score[i] = w;
    assert_int_equal(autointerp_prompt_explain(&prompt, &pick, &c, tok, &err), SAE_OK);
    assert_non_null(strstr(prompt.system, "<< and >>"));
    assert_non_null(strstr(prompt.system, "20 words"));
    assert_non_null(strstr(prompt.user, "\n15. <bos><< the the>>"));
    assert_null(strstr(prompt.user, "\n16. "));
    autointerp_prompt_clear(&prompt);
    assert_int_equal(autointerp_prompt_score(&prompt, &pick, &c, tok, "articles", 42, &err),
                     SAE_OK);
    assert_non_null(strstr(prompt.system, "14 excerpts"));
    assert_non_null(strstr(prompt.system, "None"));
    assert_non_null(strstr(prompt.user, "activates on articles."));
    assert_non_null(strstr(prompt.user, "\n14. <bos> the the"));
    assert_null(strstr(prompt.user, "\n15. "));
    autointerp_prompt_clear(&prompt);
    token[7] = UINT32_MAX;
    assert_int_equal(autointerp_window_text(&text, &w, &c, tok, true, &err), SAE_EFORMAT);
    sae_tok_close(tok);
}

/* --- answers --------------------------------------------------------------------------------- */

static void test_explanations(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"This neuron activates on names of rivers.",                "names of rivers"},
        {"\"This neuron activates on the word 'such'.\"\n",          "the word 'such'"},
        {"names of rivers",                                          "names of rivers"},
        {"It activates on a, and also activates on b",               "b"              },
        {"<think>it activates on x</think>\n activates on commas. ", "commas"         },
        {"This neuron activates on",                                 NULL             },
        {" . ",                                                      NULL             },
        {"<think>so</think>",                                        NULL             },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL, why[AUTOINTERP_WHY];
        bool ok = false;
        assert_int_equal(autointerp_read_explanation(&text, &ok, why, cases[i][0], &err), SAE_OK);
        assert_int_equal(ok, cases[i][1] != NULL);
        if (ok)
            assert_string_equal(text, cases[i][1]);
        free(text);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        bool ok;
        unsigned said; /* bit i - 1 for number i */
    } cases[] = {
        {"2, 5, 14",                        true,  1U << 1 | 1U << 4 | 1U << 13},
        {"None",                            true,  0                           },
        {" none.\n",                        true,  0                           },
        {"1,2 and 3.",                      true,  7                           },
        {"1, 2, and 3",                     true,  7                           },
        {"[1, 2]",                          true,  3                           },
        {"7",                               true,  1U << 6                     },
        {"3, 3, 3",                         true,  4                           },
        {"<think>1, 2</think>\n\n4",        true,  8                           },
        {"\"4\"",                           true,  8                           },
        {"0, 3",                            false, 0                           },
        {"3, 15",                           false, 0                           },
        {"99999999999999999999999",         false, 0                           },
        {"-3",                              false, 0                           },
        {"1.5",                             false, 0                           },
        {"1st",                             false, 0                           },
        {"1-3",                             false, 0                           },
        {"Sequences 1 and 2",               false, 0                           },
        {"None of them, or 3",              false, 0                           },
        {"and",                             false, 0                           },
        {",",                               false, 0                           },
        {"",                                false, 0                           },
        {"I cannot help with that request", false, 0                           },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool said[AUTOINTERP_SCORE];
        char why[AUTOINTERP_WHY] = "";
        assert_int_equal(autointerp_read_numbers(said, why, cases[i].answer), cases[i].ok);
        if (!cases[i].ok)
            assert_true(strlen(why) > 0);
        for (unsigned n = 0; n < AUTOINTERP_SCORE && cases[i].ok; n++)
            assert_int_equal(said[n], (cases[i].said >> n) & 1U);
    }
    /* a long answer is shown in part, cut between characters */
    char why[AUTOINTERP_WHY], longer[400];
    bool said[AUTOINTERP_SCORE];
    for (size_t i = 0; i + 2 < sizeof longer; i += 2)
        memcpy(longer + i, "\u00e4", 3);
    assert_false(autointerp_read_numbers(said, why, longer));
    assert_non_null(strstr(why, "\u00e4...'"));
    json_t *const text = json_string(why);
    assert_non_null(text);
    json_decref(text);
}

/* Four excerpts fire, and so does one of the ten random ones. Named: two of the four, that random
 * one and another. SAEBench: 2 + (10 - 2) = 10 of 14 right; looked up: 2 + 1 + (9 - 1) = 11. */
static void test_marks(void **state)
{
    (void)state;
    struct autointerp_pick pick = {0};
    bool said[AUTOINTERP_SCORE] = {false};
    for (size_t i = 0; i < AUTOINTERP_SCORE; i++) {
        pick.score[i].random = i >= 4;
        pick.score[i].fires = i < 5;
    }
    said[0] = said[1] = said[4] = said[9] = true;
    const struct autointerp_mark some = autointerp_mark_of(said, &pick);
    assert_true(fabs(some.score - 10.0 / 14) < 1e-12);
    assert_true(fabs(some.checked - 11.0 / 14) < 1e-12);
    assert_true(fabs(some.hits - 0.5) < 1e-12);
    assert_true(fabs(some.passes - 0.8) < 1e-12);
    memset(said, 0, sizeof said);
    assert_true(fabs(autointerp_mark_of(said, &pick).score - 10.0 / 14) < 1e-12);
}

/* --- latents of a store, and what an interrupted run keeps ------------------------------------ */

struct fixture {
    struct sae_ckpt ckpt;
    struct sae_acts *acts;
    struct autointerp_corpus corpus;
    const struct sae_ops *ops;
};

static void open_fixture(struct fixture *f)
{
    char path[128];
    *f = (struct fixture){0};
    snprintf(path, sizeof path, "%s/run_1/ckpt_100.h5", dir);
    assert_int_equal(sae_ckpt_load(&f->ckpt, path, &err), SAE_OK);
    snprintf(path, sizeof path, "%s/acts", dir);
    assert_int_equal(sae_acts_open(&f->acts, path, &err), SAE_OK);
    assert_int_equal(autointerp_corpus_read(&f->corpus, f->acts, AFAB_T, 0, 2, 2, &err), SAE_OK);
    assert_int_equal(sae_ops_open(&f->ops, "auto", 1, &err), SAE_OK);
}

static void close_fixture(struct fixture *f)
{
    autointerp_corpus_clear(&f->corpus);
    sae_acts_close(f->acts);
    sae_ckpt_clear(&f->ckpt);
}

static void test_choose(void **state)
{
    (void)state;
    struct fixture f;
    struct autointerp_pick *all = NULL, *one = NULL;
    struct autointerp_census census;
    size_t n = 0;
    open_fixture(&f);
    assert_int_equal(autointerp_choose(&all, &n, &census, 100, 15, 42, &f.corpus, f.acts,
                                       &f.ckpt.model, f.ops, 100, &err),
                     SAE_OK);
    assert_int_equal(n, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(all[i].latent, i);
        assert_int_equal(all[i].n_active, 78);
    }
    assert_int_equal(census.n_looked_at, 8);
    assert_int_equal(census.n_rare, 4);
    assert_int_equal(census.n_clustered, 1);
    assert_int_equal(autointerp_choose(&one, &n, &census, 1, 15, 42, &f.corpus, f.acts,
                                       &f.ckpt.model, f.ops, 4096, &err),
                     SAE_OK);
    assert_int_equal(n, 1);
    assert_true(same_pick(one, &all[one->latent])); /* whatever else was drawn */
    free(all);
    free(one);
    assert_int_equal(autointerp_choose(&one, &n, &census, 3, 1000, 42, &f.corpus, f.acts,
                                       &f.ckpt.model, f.ops, 4096, &err),
                     SAE_OK);
    assert_int_equal(n, 0);
    assert_int_equal(census.n_rare, 8);
    free(one);
    close_fixture(&f);
}

static void load(struct autointerp_job *job, const char *path, size_t expected)
{
    size_t n = 99;
    autointerp_answers_free(job->answers, job->n);
    job->answers = calloc(job->n, sizeof *job->answers);
    assert_int_equal(autointerp_partial_load(&n, path, job, &err), SAE_OK);
    assert_int_equal(n, expected);
}

static void test_part(void **state)
{
    (void)state;
    struct fixture f;
    struct autointerp_settings s = {
        .n_latents = 3, .seed = 42, .min_active = 15, .llm = "a", .api_base = "http://x/v1"};
    char path[128], id[65];
    struct sae_result_parts parts;
    open_fixture(&f);
    struct autointerp_job job = {
        .ckpt = &f.ckpt, .settings = &s, .corpus = &f.corpus, .acts_id = "77"};
    assert_int_equal(autointerp_choose(&job.picks, &job.n, &job.census, 3, 15, 42, &f.corpus,
                                       f.acts, &f.ckpt.model, f.ops, 4096, &err),
                     SAE_OK);
    job.answers = calloc(job.n, sizeof *job.answers);
    snprintf(path, sizeof path, "%s/part.json", dir);
    load(&job, path, 0); /* not there */
    assert_int_equal(autointerp_result_parts(&parts, &job, &err), SAE_EFORMAT);
    job.answers[1].done = job.answers[1].said[4] = job.answers[1].said[13] = true;
    job.answers[1].explanation = strdup("such");
    job.answers[1].mark = autointerp_mark_of(job.answers[1].said, &job.picks[1]);
    const double score = job.answers[1].mark.score;
    assert_int_equal(autointerp_partial_save(path, &job, &err), SAE_OK);
    load(&job, path, 1);
    assert_true(job.answers[1].done && !job.answers[0].done);
    assert_true(job.answers[1].said[4] && job.answers[1].said[13] && !job.answers[1].said[0]);
    assert_string_equal(job.answers[1].explanation, "such");
    assert_true(job.answers[1].mark.score == score);
    /* other settings, another checkpoint, other excerpts, damage: nothing is taken over */
    s.llm = "b";
    load(&job, path, 0);
    s.llm = "a";
    s.body = "{}";
    load(&job, path, 0);
    s.body = NULL;
    memcpy(id, f.ckpt.id, sizeof id);
    f.ckpt.id[0] = f.ckpt.id[0] == 'a' ? 'b' : 'a';
    load(&job, path, 0);
    memcpy(f.ckpt.id, id, sizeof id);
    load(&job, path, 1);
    for (size_t i = 0; i < AUTOINTERP_SCORE; i++)
        job.picks[1].score[i].fires ^= true;
    load(&job, path, 0);
    assert_int_equal(sae_fs_write(path, "{\"eval_config\": 1", 17, &err), SAE_OK);
    load(&job, path, 0);
    autointerp_answers_free(job.answers, job.n);
    free(job.picks);
    close_fixture(&f);
}

/* --- addresses and settings ------------------------------------------------------------------ */

static void test_chat_settings(void **state)
{
    (void)state;
    static const struct {
        const char *base, *key, *body, *part;
    } bad[] = {
        {"api.openai.com/v1",       NULL,        NULL,                   "http://"    },
        {"ftp://host/v1",           NULL,        NULL,                   "http://"    },
        {"https:///v1",             NULL,        NULL,                   "host"       },
        {"https://me:pass@host/v1", NULL,        NULL,                   "environment"},
        {"https://host/v1?key=abc", NULL,        NULL,                   "environment"},
        {"https://host/v 1",        NULL,        NULL,                   "blank"      },
        {"https://host/v1",         "a\r\nX: b", NULL,                   "key"        },
        {"https://host/v1",         NULL,        "{\"a\"",               "--body"     },
        {"https://host/v1",         NULL,        "[1]",                  "--body"     },
        {"https://host/v1",         NULL,        "{\"model\": \"x\"}",   "--llm"      },
        {"https://host/v1",         NULL,        "{\"messages\": null}", "messages"   },
    };
    struct sae_chat *chat = NULL;
    struct sae_chat_reply reply;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct sae_chat_settings set = {.base = bad[i].base,
                                              .llm = "m",
                                              .key = bad[i].key,
                                              .body = bad[i].body,
                                              .parallel = 1,
                                              .timeout = 1};
        assert_int_equal(sae_chat_open(&chat, &set, &err), SAE_EARG);
        assert_non_null(strstr(err.msg, bad[i].part));
        assert_null(strstr(err.msg, "me:pass"));
        assert_null(strstr(err.msg, "abc"));
    }
    const struct sae_chat_settings set = {.base = "http://127.0.0.1:9/v1/",
                                          .llm = "m",
                                          .body = "{\"max_tokens\": null}",
                                          .parallel = 2,
                                          .timeout = 1};
    assert_int_equal(sae_chat_open(&chat, &set, &err), SAE_OK);
    assert_int_equal(sae_chat_wait(chat, &reply, &err), SAE_EARG);
    assert_int_equal(sae_chat_ask(chat, 7, "s", "u", 30, &err), SAE_OK);
    sae_chat_close(chat); /* with a request queued */
}

static void test_guard(void **state)
{
    (void)state;
    static const char *const local[] = {"http://localhost/v1", "http://LOCALHOST:8000", "https://127.0.0.1",
                                        "http://127.3.2.1:80/v1", "http://[::1]:8000/v1"};
    static const char *const other[] = {
        "http://localhost.other.tld/v1", "http://127.0.0.1.other.tld", "http://127.other.tld/v1",
        "http://localhostage/v1",        "http://[::2]/v1",            "http://126.0.0.1/v1",
        "http://a.localhost.tld",        "http://api.openai.com/v1",   "no address"};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        assert_true(sae_guard_is_local(local[i]));
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        assert_false(sae_guard_is_local(other[i]));
    assert_true(sae_guard_is_openai("https://api.openai.com/v1"));
    assert_true(sae_guard_is_openai("https://API.openai.com:443/v1/"));
    assert_false(sae_guard_is_openai("http://api.openai.com/v1"));
    assert_false(sae_guard_is_openai("https://api.openai.com.other.tld/v1"));
    char text[] = "a sk-12345678 b sk-1234567 sk-12345678sk-12345678";
    sae_guard_hide(text, strlen(text), "sk-12345678");
    assert_string_equal(text, "a *********** b sk-1234567 **********************");
    char plain[] = "EMPTY";
    sae_guard_hide(plain, strlen(plain), "EMPTY");
    assert_string_equal(plain, "EMPTY");
    sae_guard_hide(plain, strlen(plain), NULL);
}

static int make_folder(void **state)
{
    (void)state;
    const char *const root = getenv("SAE_SOURCE_ROOT");
    snprintf(model, sizeof model, "%s/data/tiny-g2", root != NULL ? root : ".");
    if (mkdtemp(dir) == NULL)
        return -1;
    if (afab_folder(dir, model, &err) != SAE_OK)
        fprintf(stderr, "%s\n", err.msg);
    return err.msg[0] != '\0';
}

static int remove_folder(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),       cmocka_unit_test(test_pick_example),
        cmocka_unit_test(test_pick_weights), cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_explanations), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_marks),        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_part),         cmocka_unit_test(test_chat_settings), cmocka_unit_test(test_guard),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
