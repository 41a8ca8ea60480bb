/* SPDX-License-Identifier: MIT */
/* Tests of harvest/{store,labels,prompts,words} with the embedded language model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harvest/labels.h"
#include "harvest/lasts.h"
#include "harvest/origin.h"
#include "harvest/prompts.h"
#include "harvest/store.h"
#include "harvest/tap.h"
#include "harvest/words.h"
#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/file/acts.h"
#include "lib/file/json.h"
#include "lib/file/lasts.h"
#include "lib/file/sets.h"

enum { LAYER = 3, CONTEXT = 16, SHARD = 100, TOKENS = 450 };

static char dir[] = "/tmp/saekit-harvest-XXXXXX";
static struct harvest_tap tap;
static struct sae_files files;

static char *in_dir(const char *name)
{
    char *path = NULL;
    assert_int_equal(sae_fs_join(&path, dir, name, NULL), SAE_OK);
    return path;
}

static int setup(void **state)
{
    (void)state;
    sae_log_setup("test", SAE_LOG_ERROR);
    struct sae_str folder = {0}, text = {0};
    struct sae_err err = {0};
    if (mkdtemp(dir) == NULL ||
        sae_str_printf(&folder, NULL, "%s/data/tiny-g2", getenv("SAE_SOURCE_ROOT")) != SAE_OK)
        return -1;
    if (harvest_tap_open(&tap, folder.s, sae_resid_post(LAYER), &err) != SAE_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    sae_str_clear(&folder);
    for (int i = 0; i < 60; i++)
        if (sae_str_printf(&text, NULL, "{\"text\": \"%.*s of the river, number %d.\"}\n", i % 40,
                           "and the people went down to the bank of it", i) != SAE_OK)
            return -1;
    char *path = in_dir("text.jsonl");
    const enum sae_status st = sae_fs_write(path, text.s, text.len, &err);
    sae_str_clear(&text);
    if (st != SAE_OK || sae_files_add(&files, path, &err) != SAE_OK ||
        sae_files_hash(&files, NULL, NULL, &err) != SAE_OK)
        return -1;
    free(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sae_files_clear(&files);
    harvest_tap_close(&tap);
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void expect_ok(enum sae_status st, const struct sae_err *err)
{
    if (st != SAE_OK)
        fail_msg("%s", err->msg);
}

static enum sae_status reserve(size_t n_max, size_t T_max, struct sae_err *err)
{
    struct harvest_tap *const one = &tap;
    return harvest_tap_reserve_all(&one, 1, n_max, T_max, err);
}

static enum sae_status run_rows(const uint32_t *ids, size_t B, size_t T, struct sae_err *err)
{
    struct harvest_tap *const one = &tap;
    return harvest_tap_rows_all(tap.run, &one, 1, ids, B, T, err);
}

/* --- the store ---------------------------------------------------------------------------- */

static json_t *record_of(const struct harvest_tap *of, const char *store, size_t tokens)
{
    static const char *const no_options[] = {NULL};
    json_t *invocation = json_pack("{s:s, s:{}, s:[]}", "program", "test", "options", "inputs");
    json_t *record = NULL;
    struct sae_err err = {0};
    expect_ok(sae_fs_make_dirs(store, &err), &err);
    expect_ok(harvest_origin_make(&record, invocation, no_options, of, CONTEXT, store, &err),
              &err);
    expect_ok(harvest_origin_files(record, "text", &files, &err), &err);
    json_object_set_new(record, "tokens", json_integer((json_int_t)tokens));
    json_decref(invocation);
    return record;
}

static json_t *record_for(const char *store, size_t tokens)
{
    return record_of(&tap, store, tokens);
}

static enum sae_status write_store(const char *store, size_t tokens, bool force,
                                   struct harvest_store_totals *totals, struct sae_err *err)
{
    json_t *record = record_for(store, tokens);
    struct harvest_store one = {.tap = &tap, .dir = store, .shard_rows = SHARD, .record = record};
    const struct harvest_store_settings set = {.files = &files,
                                               .field = "text",
                                               .context = CONTEXT,
                                               .batch = 4,
                                               .n_tokens = tokens,
                                               .force = force};
    const enum sae_status st = harvest_store_write(&one, 1, &set, err);
    *totals = one.totals;
    json_decref(record);
    return st;
}

static void expect_same_file(const char *a_dir, const char *b_dir, const char *name)
{
    char *a = NULL, *b = NULL, *a_path = NULL, *b_path = NULL;
    size_t n_a, n_b;
    assert_int_equal(sae_fs_join(&a_path, a_dir, name, NULL), SAE_OK);
    assert_int_equal(sae_fs_join(&b_path, b_dir, name, NULL), SAE_OK);
    assert_int_equal(sae_fs_read(&a, &n_a, a_path, 1 << 24, NULL), SAE_OK);
    assert_int_equal(sae_fs_read(&b, &n_b, b_path, 1 << 24, NULL), SAE_OK);
    if (n_a != n_b || memcmp(a, b, n_a) != 0)
        fail_msg("'%s' and '%s' differ", a_path, b_path);
    free(a);
    free(b);
    free(a_path);
    free(b_path);
}

static void rows_are_the_models(void **state)
{
    (void)state;
    struct harvest_store_totals totals;
    struct sae_err err = {0};
    char *store = in_dir("whole");
    expect_ok(write_store(store, TOKENS, false, &totals, &err), &err);
    assert_int_equal(totals.n_rows, TOKENS);
    assert_int_equal(totals.n_shards, 5);
    assert_false(totals.found);
    struct sae_acts *acts = NULL;
    expect_ok(sae_acts_open(&acts, store, &err), &err);
    uint32_t token[TOKENS], document[TOKENS];
    uint16_t position[TOKENS];
    float *x = malloc(sizeof *x * TOKENS * tap.d);
    expect_ok(sae_acts_read_tokens(acts, 0, TOKENS, token, document, position, &err), &err);
    expect_ok(sae_acts_read(acts, 0, TOKENS, x, &err), &err);
    /* The first document fills position 1 ... of the first context. */
    uint32_t *ids = NULL;
    size_t n = 0, contexts = 1;
    static const char first[] = " of the river, number 0.";
    expect_ok(sae_tok_encode(tap.tok, first, sizeof first - 1, &ids, &n, &err), &err);
    for (size_t i = 0; i < n && i < CONTEXT - 1; i++) {
        assert_int_equal(token[i], ids[i]);
        assert_int_equal(document[i], 0);
        assert_int_equal(position[i], i + 1);
    }
    for (size_t i = 0; i < TOKENS; i++) {
        assert_false(harvest_tap_is_special(&tap, token[i]));
        assert_in_range(position[i], 1, CONTEXT - 1);
        contexts += i > 0 && position[i] <= position[i - 1];
    }
    assert_in_range(totals.n_contexts, contexts, contexts + 3);
    /* A context alone gives the rows it gave in its batch of four, up to the bf16 of the store. */
    uint32_t context[CONTEXT];
    size_t n_kept = 0;
    for (size_t t = 0; t < CONTEXT; t++)
        context[t] = tap.config->bos; /* also where a position is missing: a join */
    while (n_kept < TOKENS && (n_kept == 0 || position[n_kept] > position[n_kept - 1])) {
        context[position[n_kept]] = token[n_kept];
        n_kept++;
    }
    expect_ok(reserve(CONTEXT, CONTEXT, &err), &err);
    expect_ok(run_rows(context, 1, CONTEXT, &err), &err);
    for (size_t i = 0; i < n_kept; i++)
        for (size_t j = 0; j < tap.d; j++) {
            const float want = tap.x[position[i] * tap.d + j], got = x[i * tap.d + j];
            assert_true(fabsf(want - got) <= 0.0041F * fabsf(want) + 1e-4F);
        }
    free(ids);
    free(x);
    sae_acts_close(acts);
    free(store);
}

static void an_interrupted_pass_continues(void **state)
{
    (void)state;
    struct harvest_store_totals whole, totals;
    struct sae_err err = {0};
    static const char *const names[] = {"acts_00000.h5", "acts_00001.h5", "acts_00002.h5",
                                        "acts_00003.h5", "acts_00004.h5", "acts.json"};
    char *a = in_dir("unbroken"), *b = in_dir("broken");
    expect_ok(write_store(a, TOKENS, false, &whole, &err), &err);
    for (size_t kept = 0; kept <= 5; kept++) {
        /* As if the program had been killed after `kept` shards. */
        expect_ok(write_store(b, TOKENS, true, &totals, &err), &err);
        for (size_t i = kept; i < 6; i++) {
            char *path = NULL;
            assert_int_equal(sae_fs_join(&path, b, names[i], NULL), SAE_OK);
            assert_int_equal(unlink(path), 0);
            free(path);
        }
        expect_ok(write_store(b, TOKENS, false, &totals, &err), &err);
        assert_false(totals.found);
        assert_int_equal(totals.n_rows, whole.n_rows);
        assert_true(totals.mean_norm == whole.mean_norm && totals.max_norm == whole.max_norm);
        for (size_t i = 0; i < 6; i++)
            expect_same_file(a, b, names[i]);
    }
    /* Complete: the answer comes from the store. */
    expect_ok(write_store(b, TOKENS, false, &totals, &err), &err);
    assert_true(totals.found);
    assert_int_equal(totals.n_documents, whole.n_documents);
    free(a);
    free(b);
}

static void another_store_is_refused(void **state)
{
    (void)state;
    struct harvest_store_totals totals;
    struct sae_err err = {0};
    char *store = in_dir("taken");
    expect_ok(write_store(store, 200, false, &totals, &err), &err);
    assert_int_equal(write_store(store, 300, false, &totals, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "tokens is 200 there, 300 here"));
    expect_ok(write_store(store, 300, true, &totals, &err), &err);
    assert_int_equal(totals.n_rows, 300);
    /* Another layer in the folder, whatever is asked of it. */
    const struct harvest_origin_renewed nothing = {0};
    expect_ok(harvest_origin_folder(store, &tap, &nothing, &err), &err);
    tap.hook.layer = LAYER - 1;
    assert_int_equal(harvest_origin_folder(store, &tap, &nothing, &err), SAE_EARG);
    const struct harvest_origin_renewed anew = {.store = true};
    assert_int_equal(harvest_origin_folder(store, &tap, &anew, NULL), SAE_OK);
    tap.hook.layer = LAYER;
    free(store);
}

/* --- several stores in one pass --- */

enum { N_SITES = 4 };
static const struct sae_hook sites[N_SITES] = {
    {SAE_RESID_POST, LAYER}, {SAE_ATTN_Z, 1}, {SAE_MLP_OUT, LAYER}, {SAE_RESID_PRE, 0}};

/* Sites [first, first + n) into folders NAME_K. */
static void write_sites(const char *name, size_t first, size_t n, bool shared)
{
    struct harvest_tap taps[N_SITES];
    struct harvest_store stores[N_SITES];
    const struct harvest_store_settings set = {
        .files = &files, .field = "text", .context = CONTEXT, .batch = 4, .n_tokens = TOKENS};
    struct sae_err err = {0};
    for (size_t i = 0; i < n; i++) {
        char folder[40];
        snprintf(folder, sizeof folder, "%s_%zu", name, first + i);
        if (shared)
            expect_ok(harvest_tap_share(&taps[i], &tap, sites[first + i], &err), &err);
        else
            expect_ok(harvest_tap_open(&taps[i], tap.folder, sites[first + i], &err), &err);
        char *const store = in_dir(folder);
        stores[i] = (struct harvest_store){.tap = &taps[i],
                                           .dir = store,
                                           .shard_rows = SHARD,
                                           .record = record_of(&taps[i], store, TOKENS)};
    }
    expect_ok(harvest_store_write(stores, n, &set, &err), &err);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(stores[i].totals.n_rows, TOKENS);
        json_decref((json_t *)(uintptr_t)stores[i].record);
        free((char *)(uintptr_t)stores[i].dir);
        harvest_tap_close(&taps[i]);
    }
}

static void expect_same_sites(void)
{
    static const char *const names[] = {"acts.json",     "acts_00000.h5", "acts_00001.h5",
                                        "acts_00002.h5", "acts_00003.h5", "acts_00004.h5"};
    for (size_t i = 0; i < N_SITES; i++) {
        char a[40], b[40];
        snprintf(a, sizeof a, "alone_%zu", i);
        snprintf(b, sizeof b, "both_%zu", i);
        char *const alone = in_dir(a), *const both = in_dir(b);
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            expect_same_file(alone, both, names[k]);
        free(alone);
        free(both);
    }
}

static void remove_from(size_t site, const char *name)
{
    char path[80];
    snprintf(path, sizeof path, "both_%zu/%s", site, name);
    char *const whole = in_dir(path);
    assert_int_equal(remove(whole), 0);
    free(whole);
}

/* Each store of a pass has the bytes that it has alone; also after an end that left one store without
 * a shard, one with two, one whole but for its index and one complete. */
static void together_as_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SITES; i++)
        write_sites("alone", i, 1, false);
    write_sites("both", 0, N_SITES, true);
    expect_same_sites();
    for (size_t k = 0; k < 5; k++) {
        char name[20];
        snprintf(name, sizeof name, "acts_%05zu.h5", k);
        remove_from(0, name);
        if (k >= 2)
            remove_from(1, name);
    }
    for (size_t i = 0; i < 3; i++)
        remove_from(i, "acts.json");
    write_sites("both", 0, N_SITES, true);
    expect_same_sites();
}

static void short_text_is_refused(void **state)
{
    (void)state;
    struct sae_files one = {0};
    struct sae_err err = {0};
    char *path = in_dir("short.txt"), *store = in_dir("short");
    assert_int_equal(sae_fs_write(path, "one two", 7, NULL), SAE_OK);
    assert_int_equal(sae_files_add(&one, path, NULL), SAE_OK);
    const struct harvest_store_settings set = {
        .files = &one, .field = "text", .context = CONTEXT, .batch = 4};
    json_t *record = json_object();
    struct harvest_store to = {.tap = &tap, .dir = store, .shard_rows = SHARD, .record = record};
    assert_int_equal(harvest_store_write(&to, 1, &set, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "less than one context of 16"));
    json_decref(record);
    sae_files_clear(&one);
    free(path);
    free(store);
}

/* --- labelled sets ------------------------------------------------------------------------ */

static const char *const pets[] = {"The cat sat on the mat.", "A dog barked at the tree."};

static void pooled_is_the_mean_of_rows(void **state)
{
    (void)state;
    struct sae_str csv = {0};
    assert_int_equal(sae_str_printf(&csv, NULL, "text,label\n"), SAE_OK);
    for (int i = 0; i < 20; i++) /* texts of many lengths, so that some are padded */
        assert_int_equal(
            sae_str_printf(&csv, NULL, "%s%.*s,%s\n", pets[i % 2], i * 4,
                           " And then it went away over the hills to the north and was "
                           "never seen again by anyone who lived there.",
                           i % 2 ? "dog" : "cat"),
            SAE_OK);
    char *source = in_dir("pets.csv"), *path = in_dir("labels_pets.h5");
    assert_int_equal(sae_fs_write(source, csv.s, csv.len, NULL), SAE_OK);
    sae_str_clear(&csv);
    const struct harvest_labels_settings set = {
        .columns = {"text", "label", "split", "attribute"},
        .draw = { 100,   100,       5,       1},
        .context = 24,
        .batch = 3
    };
    struct harvest_labels_totals totals;
    struct sae_err err = {0};
    json_t *record = json_object();
    const struct harvest_target target = {&tap, dir, record};
    expect_ok(harvest_labels_write(&target, 1, source, &set, &totals, &err), &err);
    assert_string_equal(totals.name, "pets");
    assert_int_equal(totals.n_train, 16);
    assert_int_equal(totals.n_test, 4);
    assert_true(totals.n_truncated > 0 && totals.n_truncated < 20);

    struct sae_labels labels;
    expect_ok(sae_labels_open(&labels, path, &err), &err);
    assert_int_equal(labels.n_texts, 20);
    assert_string_equal(labels.classes[0], "cat");
    /* Text 1, alone and unpadded: BOS, then its tokens. */
    uint32_t *ids = NULL, with_bos[24];
    size_t n = 0;
    char text[100];
    snprintf(text, sizeof text, "%s%.4s", pets[1], " And");
    expect_ok(sae_tok_encode(tap.tok, text, strlen(text), &ids, &n, &err), &err);
    assert_true(n < 24);
    assert_int_equal(labels.start[2] - labels.start[1], n);
    with_bos[0] = tap.config->bos;
    memcpy(with_bos + 1, ids, n * sizeof *ids);
    expect_ok(reserve(24, 24, &err), &err);
    expect_ok(run_rows(with_bos, 1, n + 1, &err), &err);
    for (size_t j = 0; j < tap.d; j++) {
        double sum = 0, scale = 0;
        for (size_t t = 1; t <= n; t++) {
            sum += tap.x[t * tap.d + j];
            scale = fmax(scale, fabs(tap.x[t * tap.d + j]));
        }
        assert_true(fabs(sum / (double)n - labels.pooled[tap.d + j]) < 0.005 * scale + 1e-4);
    }
    /* No text has more rows than the context leaves beside BOS. */
    for (size_t t = 0; t < labels.n_texts; t++)
        assert_in_range(labels.start[t + 1] - labels.start[t], 1, 23);
    free(ids);
    sae_labels_close(&labels);
    json_decref(record);
    free(source);
    free(path);
}

/* --- last tokens -------------------------------------------------------------------------- */

/* The activation at the last token, of a text that fits and of one that loses its beginning. */
static void check_last(const struct sae_lasts *lasts, size_t t, const char *text, size_t context)
{
    struct sae_err err = {0};
    uint32_t *ids = NULL, with_bos[24];
    size_t n = 0;
    expect_ok(sae_tok_encode(tap.tok, text, strlen(text), &ids, &n, &err), &err);
    const size_t kept = n < context - 1 ? n : context - 1;
    assert_true(context <= 24);
    with_bos[0] = tap.config->bos;
    memcpy(with_bos + 1, ids + (n - kept), kept * sizeof *ids);
    free(ids);
    expect_ok(reserve(context, context, &err), &err);
    expect_ok(run_rows(with_bos, 1, kept + 1, &err), &err);
    for (size_t j = 0; j < tap.d; j++) {
        const float want = tap.x[kept * tap.d + j];
        assert_true(fabsf(lasts->x[t * tap.d + j] - want) < 1e-4F * (1.0F + fabsf(want)));
    }
}

static void last_token_is_kept(void **state)
{
    (void)state;
    enum { LAST_CONTEXT = 12 };
    static const char *const texts[] = {
        "The cat sat on the mat.", "A dog barked, and \"barked\" again.",
        "Once there was a cat that went away over the hills to the north and came back.",
        "There was a dog in the middle of the night that nobody had heard of before."};
    struct sae_str csv = {0};
    struct sae_err err = {0};
    /* in pandas' own form: quotes doubled, an index that nobody asked for */
    assert_int_equal(sae_str_printf(&csv, NULL,
                                    ",prompt,prompt_len,target\n0,%s,7,True\n1,\"A dog barked, and "
                                    "\"\"barked\"\" again.\",9,False\n2,%s,17,True\n3,%s,16,False\n",
                                    texts[0], texts[2], texts[3]),
                     SAE_OK);
    char *folder = in_dir("cleaned"), *out = in_dir("lasts");
    char path[300];
    assert_int_equal(sae_fs_make_dirs(folder, NULL), SAE_OK);
    snprintf(path, sizeof path, "%s/9_pets and others.csv", folder);
    assert_int_equal(sae_fs_write(path, csv.s, csv.len, NULL), SAE_OK);
    snprintf(path, sizeof path, "%s/8_many.csv", folder);
    static const char many[] = "prompt,target\na b,1\nb c,2\nc d,3\n";
    assert_int_equal(sae_fs_write(path, many, strlen(many), NULL), SAE_OK);
    snprintf(path, sizeof path, "%s/7_one.csv", folder);
    static const char one[] = "prompt,target\na b,1\nb c,1\n";
    assert_int_equal(sae_fs_write(path, one, strlen(one), NULL), SAE_OK);
    char *named[] = {folder};
    json_t *invocation = json_object(), *answer = json_object();
    const struct sae_strs sources = {1, named};
    const struct harvest_lasts_settings set = {.dir = out, .sources = &sources,
                                               .invocation = invocation, .context = LAST_CONTEXT,
                                               .batch = 2, .answer = answer};
    expect_ok(harvest_lasts_write(&tap, &set, &err), &err);
    const json_t *const made = json_object_get(answer, "sae_probes");
    assert_int_equal(json_array_size(made), 1); /* one class and three are passed over */
    assert_in_range(sae_json_u64(json_array_get(made, 0), "truncated", 0), 2, 3);
    struct sae_lasts lasts;
    snprintf(path, sizeof path, "%s/last_9_pets and others.h5", out);
    expect_ok(sae_lasts_load(&lasts, path, &err), &err);
    assert_string_equal(lasts.name, "9_pets and others");
    assert_string_equal(lasts.classes[1], "True");
    assert_string_equal(sae_json_str(lasts.record, "pooling.token", ""), "last");
    for (size_t t = 0; t < 4; t++) {
        assert_int_equal(lasts.label[t], t % 2 == 0);
        check_last(&lasts, t, texts[t], LAST_CONTEXT);
    }
    sae_lasts_clear(&lasts);
    /* by name, a file must have two classes */
    snprintf(path, sizeof path, "%s/8_many.csv", folder);
    named[0] = path;
    assert_int_equal(harvest_lasts_write(&tap, &set, &err), SAE_EFORMAT);
    snprintf(path, sizeof path, "%s/7_one.csv", folder);
    assert_int_equal(harvest_lasts_write(&tap, &set, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "has 1 class;"));
    sae_str_clear(&csv);
    json_decref(invocation);
    json_decref(answer);
    free(folder);
    free(out);
}

/* --- words -------------------------------------------------------------------------------- */

static void words_are_letters(void **state)
{
    (void)state;
    assert_true(harvest_prompts_is_word("cat"));
    assert_true(harvest_prompts_is_word(" Cat"));
    assert_true(harvest_prompts_is_word("a"));
    assert_false(harvest_prompts_is_word("  cat")); /* one space at most */
    assert_false(harvest_prompts_is_word(" "));
    assert_false(harvest_prompts_is_word(""));
    assert_false(harvest_prompts_is_word("cat's"));
    assert_false(harvest_prompts_is_word("caf\xc3\xa9"));
    assert_false(harvest_prompts_is_word("a b"));
}

static void examples_are_drawn_without_the_word(void **state)
{
    (void)state;
    struct sae_rng rng = sae_rng_make(1, SAE_RNG_WORDS);
    size_t examples[HARVEST_EXAMPLES];
    for (size_t word = 100; word < 111; word++) {
        /* Eleven words: the draw is all the others, in some order. */
        expect_ok(harvest_prompts_draw(examples, word, 100, 11, &rng, NULL), NULL);
        bool seen[11] = {0};
        for (size_t i = 0; i < HARVEST_EXAMPLES; i++) {
            assert_in_range(examples[i], 100, 110);
            assert_int_not_equal(examples[i], word);
            assert_false(seen[examples[i] - 100]);
            seen[examples[i] - 100] = true;
        }
    }
    struct sae_err err;
    assert_int_equal(harvest_prompts_draw(examples, 0, 0, 10, &rng, &err), SAE_EARG);
}

static void prompts_read_as_they_should(void **state)
{
    (void)state;
    struct harvest_word list[11];
    struct harvest_vocabulary words = {.n = 11, .v = list};
    const size_t examples[HARVEST_EXAMPLES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    for (size_t i = 0; i < 11; i++)
        list[i] = (struct harvest_word){i == 0   ? " cat"
                                        : i == 1 ? " dog"
                                                 : "Eel",
                                        0,
                                        (uint8_t)(i == 0   ? 2
                                                  : i == 1 ? 3
                                                           : 4)};
    struct sae_str text = {0};
    expect_ok(harvest_prompts_text(&text, &words, examples, 0, NULL), NULL);
    static const char begin[] = "\n dog has the first letter: D\nEel has the first letter: E\nEel ";
    static const char end[] = " E\n cat has the first letter:";
    assert_memory_equal(text.s, begin, sizeof begin - 1);
    assert_string_equal(text.s + text.len - (sizeof end - 1), end);
    sae_str_clear(&text);
}

static void vocabulary_stands_alone(void **state)
{
    (void)state;
    struct sae_rng rng = sae_rng_make(1, SAE_RNG_WORDS);
    struct harvest_vocabulary words;
    struct sae_err err = {0};
    expect_ok(harvest_prompts_words(&words, tap.tok, false, 203, &rng, &err), &err);
    assert_int_equal(words.n, 203);
    assert_int_equal(words.n_train, 162); /* floor(0.8 * 203) */
    assert_true(words.n_candidates > 1000 && words.n_skipped < words.n_candidates);
    for (size_t i = 0; i < words.n; i++) {
        uint32_t *ids = NULL;
        size_t n = 0, at = 0;
        char line[300];
        snprintf(line, sizeof line, "\n%s has the first letter:", words.v[i].text);
        expect_ok(sae_tok_encode(tap.tok, line, strlen(line), &ids, &n, &err), &err);
        assert_true(harvest_prompts_find(tap.tok, ids, n, words.v[i].token, &at));
        assert_string_equal(sae_tok_piece(tap.tok, ids[at]), words.v[i].text);
        assert_false(harvest_prompts_find(tap.tok, ids, n - 1, words.v[i].token, &at));
        const char *letter = words.v[i].text + (words.v[i].text[0] == ' ');
        assert_int_equal((*letter | 32) - 'a', words.v[i].letter);
        free(ids);
    }
    harvest_prompts_clear(&words);
    assert_int_equal(harvest_prompts_words(&words, tap.tok, true, 50, &rng, &err), SAE_EARG);
}

static void word_sets_are_made(void **state)
{
    (void)state;
    const struct harvest_words_settings set = {
        .seed = 7, .max_words = 80, .spaced_only = true, .n_batch = 512};
    struct harvest_words_totals totals;
    struct sae_err err = {0};
    json_t *record = json_object();
    const struct harvest_target target = {&tap, dir, record};
    expect_ok(harvest_words_write(&target, 1, &set, &totals, &err), &err);
    assert_int_equal(totals.n_train, 64);
    assert_int_equal(totals.n_test, 16);
    char *path = in_dir("words.h5");
    struct sae_words words;
    expect_ok(sae_words_load(&words, path, &err), &err);
    assert_int_equal(words.n, 80);
    size_t n_test = 0;
    for (size_t i = 0; i < words.n; i++) {
        const bool same = memcmp(words.probe + i * words.d, words.eval + i * words.d,
                                 words.d * sizeof(float)) == 0;
        assert_int_equal(words.words[i][0], ' ');
        assert_true(same == (words.split[i] == 0)); /* fresh prompts for test words only */
        n_test += words.split[i];
    }
    assert_int_equal(n_test, 16);
    sae_words_clear(&words);
    /* Again: found; with another record: refused. */
    expect_ok(harvest_words_write(&target, 1, &set, &totals, &err), &err);
    assert_true(totals.found);
    json_object_set_new(record, "other", json_true());
    assert_int_equal(harvest_words_write(&target, 1, &set, &totals, &err), SAE_EARG);
    json_decref(record);
    free(path);
}

/* Labelled sets and word sets of several taps at once have the bytes that each has alone; so have those
 * that are made beside one that is there. */
static void write_sets(const char *name, size_t first, size_t n, const char *source)
{
    static const struct harvest_labels_settings labels = {
        .columns = {"text", "label", "split", "attribute"},
        .draw = {100, 100, 5, 1},
        .context = 24,
        .batch = 3,
    };
    static const struct harvest_words_settings words = {.seed = 7, .max_words = 70, .n_batch = 512};
    struct harvest_tap taps[N_SITES];
    struct harvest_target targets[N_SITES];
    struct harvest_labels_totals of_labels[N_SITES];
    struct harvest_words_totals of_words[N_SITES];
    struct sae_err err = {0};
    json_t *const record = json_object();
    for (size_t i = 0; i < n; i++) {
        char folder[40];
        snprintf(folder, sizeof folder, "%s_%zu", name, first + i);
        expect_ok(harvest_tap_share(&taps[i], &tap, sites[first + i], &err), &err);
        targets[i] = (struct harvest_target){&taps[i], in_dir(folder), record};
    }
    expect_ok(harvest_labels_write(targets, n, source, &labels, of_labels, &err), &err);
    expect_ok(harvest_words_write(targets, n, &words, of_words, &err), &err);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(of_labels[i].n_train, 16);
        assert_int_equal(of_words[i].n, 70);
        free((char *)(uintptr_t)targets[i].dir);
        harvest_tap_close(&taps[i]);
    }
    json_decref(record);
}

static void sets_together_as_alone(void **state)
{
    (void)state;
    char *const source = in_dir("pets.csv"); /* of the test above */
    for (size_t i = 0; i < N_SITES; i++)
        write_sets("set", i, 1, source);
    write_sets("sets", 1, 1, source); /* this one is there already */
    write_sets("sets", 0, N_SITES, source);
    for (size_t i = 0; i < N_SITES; i++) {
        char a[40], b[40];
        snprintf(a, sizeof a, "set_%zu", i);
        snprintf(b, sizeof b, "sets_%zu", i);
        char *const alone = in_dir(a), *const both = in_dir(b);
        expect_same_file(alone, both, "labels_pets.h5");
        expect_same_file(alone, both, "words.h5");
        free(alone);
        free(both);
    }
    free(source);
}

static void no_such_layer(void **state)
{
    (void)state;
    struct harvest_tap other;
    struct sae_err err = {0};
    assert_int_equal(harvest_tap_open(&other, tap.folder, sae_resid_post(99), &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "layer 99"));
    assert_int_equal(reserve(1 << 20, 1 << 20, &err), SAE_EARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_the_models),
        cmocka_unit_test(an_interrupted_pass_continues),
        cmocka_unit_test(another_store_is_refused),
        cmocka_unit_test(together_as_alone),
        cmocka_unit_test(short_text_is_refused),
        cmocka_unit_test(pooled_is_the_mean_of_rows),
        cmocka_unit_test(last_token_is_kept),
        cmocka_unit_test(words_are_letters),
        cmocka_unit_test(examples_are_drawn_without_the_word),
        cmocka_unit_test(prompts_read_as_they_should),
        cmocka_unit_test(vocabulary_stands_alone),
        cmocka_unit_test(word_sets_are_made),
        cmocka_unit_test(sets_together_as_alone),
        cmocka_unit_test(no_such_layer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
