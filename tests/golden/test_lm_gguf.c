/* SPDX-License-Identifier: MIT */
/* GGUF files written with gguf-py (tests/golden/lm_gguf.py): blocks as gguf-py has them, streams
 * and logits equal to those of the same weights in a folder, ids of every tokenizer. usage:
 * test_lm_gguf GOLDEN */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "lib/base/fs.h"
#include "lib/file/gguf.h"
#include "lm/model.h"
#include "lm/tok.h"

static struct sae_err g_err;
static const char *folder;

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != SAE_OK)                                                                      \
            fail_msg("%s", g_err.msg);                                                             \
    } while (0)

enum { PATH_LEN = 4096, B = 2, T = 19 };

static void name_path(char path[PATH_LEN], const char *part, const char *name)
{
    (void)snprintf(path, PATH_LEN, "%s/%s%s", folder, part, name);
}

/* --- blocks --------------------------------------------------------------------------------- */

static void test_blocks(void **state)
{
    char path[PATH_LEN];
    struct sae_st *st = NULL, *want = NULL;
    json_t *meta = NULL;
    (void)state;
    name_path(path, "lm_gguf/", "blocks.gguf");
    OK(sae_gguf_open(&meta, &st, path, &g_err));
    name_path(path, "lm_gguf/", "blocks.safetensors");
    OK(sae_st_open(&want, path, &g_err));
    assert_int_equal(sae_st_size(st), 8);
    for (size_t i = 0; i < sae_st_size(st); i++) {
        const struct sae_st_tensor *const t = sae_st_at(st, i), *const w =
                                                                    sae_st_find(want, t->name);
        float *const x = malloc(t->n * sizeof *x), *const y = malloc(t->n * sizeof *y);
        assert_true(w && x && y && t->n == w->n && t->n == 3 * 512);
        assert_string_equal(t->dtype_name, t->name);
        sae_st_widen(y, w, 0, t->n);
        for (size_t first = 0; first < t->n; first += 137)
            for (size_t n = 1; n <= t->n - first; n += 211) {
                sae_st_widen(x, t, first, n);
                assert_memory_equal(x, y + first, n * sizeof *x);
            }
        free(x);
        free(y);
    }
    json_decref(meta);
    sae_st_close(st);
    sae_st_close(want);
}

/* --- models --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    double bound; /* of the largest element; 0: every bit */
} models[] = {
    {"llama_2",         0   },
    {"llama_3",         2e-6}, /* its divisors are rounded to f32 */
    {"llama_bias",      0   },
    {"gemma2",          0   },
    {"gemma3_text",     0   },
    {"qwen2_yarn",      0   },
    {"qwen3",           0   },
    {"gpt2",            0   },
    {"gpt_neox",        0   },
    {"gpt_neox_serial", 0   },
};

/* The folder, or a copy whose scores are scaled by the width of a head, as the format has it. */
static void open_folder(struct sae_lm **model, const char *name, size_t copy_max)
{
    char path[PATH_LEN], file[PATH_LEN + 40], temporary[] = "/tmp/lm-gguf-XXXXXX";
    size_t n = 0;
    char *text = NULL, *full = NULL;
    (void)snprintf(path, sizeof path, "%s/lm/%s", folder, name);
    (void)snprintf(file, sizeof file, "%s/config.json", path);
    OK(sae_fs_read(&text, &n, file, 1 << 20, &g_err));
    char *const at = strstr(text, "\"query_pre_attn_scalar\": 20");
    if (!at) {
        OK(sae_lm_open_with(model, path, copy_max, &g_err));
        free(text);
        return;
    }
    memcpy(at + strlen("\"query_pre_attn_scalar\": "), "12", 2);
    assert_non_null(mkdtemp(temporary));
    (void)snprintf(file, sizeof file, "%s/model.safetensors", path);
    full = realpath(file, NULL);
    (void)snprintf(file, sizeof file, "%s/config.json", temporary);
    OK(sae_fs_write(file, text, n, &g_err));
    (void)snprintf(path, sizeof path, "%s/model.safetensors", temporary);
    assert_int_equal(symlink(full, path), 0);
    OK(sae_lm_open_with(model, temporary, copy_max, &g_err));
    (void)remove(path);
    (void)remove(file);
    (void)remove(temporary);
    free(full);
    free(text);
}

static void compute(const struct sae_lm *model, size_t layer, float *x, float *z)
{
    uint32_t ids[B * T];
    struct sae_lm_run *run = NULL;
    for (size_t i = 0; i < B * T; i++)
        ids[i] = i % T == 0 ? 2 : (uint32_t)(3 + i * 7 % 50);
    OK(sae_lm_run_open(&run, model, B * T, T, &g_err));
    OK(sae_lm_tap(run, ids, B, T, sae_resid_post(layer), x, &g_err));
    OK(sae_lm_resume(run, x, NULL, B, T, sae_resid_post(layer), &g_err));
    OK(sae_lm_logits(run, 0, B * T, z, &g_err));
    sae_lm_run_close(run);
}

static double apart(const float *have, const float *want, size_t n)
{
    double most = 0, miss = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)want[i]));
        miss = fmax(miss, fabs((double)want[i] - (double)have[i]));
    }
    assert_true(most > 0 && isfinite(miss));
    return miss / most;
}

static void check_model(const char *name, double bound, size_t copy_max)
{
    struct sae_lm *have = NULL, *want = NULL;
    char path[PATH_LEN], file[100];
    (void)snprintf(file, sizeof file, "%s.gguf", name);
    name_path(path, "lm_gguf/", file);
    OK(sae_lm_open_with(&have, path, copy_max, &g_err));
    open_folder(&want, name, copy_max);
    const struct sae_lm_config *const c = sae_lm_config(have), *const d = sae_lm_config(want);
    assert_string_equal(c->name, name);
    assert_true(c->V == d->V && c->L == d->L && c->bos == d->bos && c->eos == d->eos);
    const size_t n_x = B * T * c->D, n_z = B * T * c->V;
    float *const x = malloc(n_x * sizeof *x), *const y = malloc(n_x * sizeof *y),
                 *const z = malloc(n_z * sizeof *z), *const w = malloc(n_z * sizeof *w);
    assert_true(x && y && z && w);
    double worst = 0;
    for (size_t layer = 0; layer < c->L; layer++) {
        compute(have, layer, x, z);
        compute(want, layer, y, w);
        worst = fmax(worst, fmax(apart(x, y, n_x), apart(z, w, n_z)));
    }
    print_message("# %-16s %.2g\n", name, worst);
    assert_true(worst <= bound);
    free(x);
    free(y);
    free(z);
    free(w);
    sae_lm_close(have);
    sae_lm_close(want);
}

static void test_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        check_model(models[i].name, models[i].bound, SIZE_MAX);
        check_model(models[i].name, models[i].bound, 0);
    }
}

/* Every architecture has a model above. */
static void test_complete(void **state)
{
    char list[400], *rest = list, *arch;
    (void)state;
    sae_lm_family_list_gguf(list, sizeof list);
    while ((arch = strtok_r(rest, ", ", &rest)) != NULL) {
        bool found = false;
        for (size_t i = 0; i < sizeof models / sizeof *models && !found; i++) {
            struct sae_lm_config c;
            char path[PATH_LEN], file[100];
            (void)snprintf(file, sizeof file, "%s.gguf", models[i].name);
            name_path(path, "lm_gguf/", file);
            OK(sae_lm_config_read(&c, path, &g_err));
            found = strcmp(c.family->gguf->arch, arch) == 0;
        }
        if (!found)
            fail_msg("no golden model of '%s'", arch);
    }
}

/* --- tokenizers ----------------------------------------------------------------------------- */

static void open_tok(void **tok, const struct sae_tok_kind *kind, const char *name)
{
    char path[PATH_LEN];
    name_path(path, "lm_gguf/", name);
    OK(kind->open(tok, path, &g_err));
}

static json_t *load_cases(void)
{
    char path[PATH_LEN];
    name_path(path, "lm_tok/", "cases.json");
    json_t *const cases = json_load_file(path, JSON_ALLOW_NUL, NULL);
    assert_non_null(cases);
    return cases;
}

static void test_ids(void **state)
{
    static const char *const names[] = {"gpt2", "llama3", "smollm2", "qwen2"};
    json_t *const cases = load_cases();
    const json_t *const texts = json_object_get(cases, "texts");
    (void)state;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const json_t *const all = json_object_get(json_object_get(cases, "ids"), names[k]);
        void *tok = NULL;
        char file[100];
        (void)snprintf(file, sizeof file, "tok_%s.gguf", names[k]);
        open_tok(&tok, &sae_tok_gguf, file);
        assert_true(json_array_size(texts) > 10 && json_array_size(all) == json_array_size(texts));
        for (size_t i = 0; i < json_array_size(texts); i++) {
            const json_t *const text = json_array_get(texts, i), *const want =
                                                                     json_array_get(all, i);
            struct sae_tok_ids ids = {0};
            OK(sae_tok_encode_all(&sae_tok_gguf, tok, json_string_value(text), json_string_length(text), &ids,
                                   &g_err));
            if (ids.n != json_array_size(want))
                fail_msg("%s, text %zu: %zu ids, expected %zu", names[k], i, ids.n,
                         json_array_size(want));
            for (size_t n = 0; n < ids.n; n++)
                assert_int_equal(ids.v[n], json_integer_value(json_array_get(want, n)));
            free(ids.v);
        }
        sae_tok_gguf.close(tok);
    }
    json_decref(cases);
}

static void same_ids(const void *have, const void *want, const char *text, size_t n)
{
    struct sae_tok_ids a = {0}, b = {0};
    OK(sae_tok_encode_all(&sae_tok_gguf, have, text, n, &a, &g_err));
    OK(sae_tok_encode_all(&sae_tok_spm, want, text, n, &b, &g_err));
    for (size_t i = 0; i < a.n || i < b.n; i++)
        if (i >= a.n || i >= b.n || a.v[i] != b.v[i])
            fail_msg("'%.40s': id %zu differs from SentencePiece's", text, i);
    free(a.v);
    free(b.v);
}

/* Merges by scores against SentencePiece itself. */
static void test_scores(void **state)
{
    static const char letters[] = "aaaeeiioottnnsshhrrdlucmfwygpbvk   ..\n,'1Q";
    json_t *const cases = load_cases();
    const json_t *const texts = json_object_get(cases, "texts");
    void *have = NULL, *want = NULL;
    uint32_t random = 1;
    (void)state;
    open_tok(&have, &sae_tok_gguf, "spm.gguf");
    open_tok(&want, &sae_tok_spm, "spm.model");
    assert_int_equal(sae_tok_gguf.size(have), sae_tok_spm.size(want));
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *const text = json_array_get(texts, i);
        if (!strstr(json_string_value(text), "<unk>")) /* a token where `tokenizers` reads */
            same_ids(have, want, json_string_value(text), json_string_length(text));
    }
    for (size_t i = 0; i < 400; i++) {
        char text[100];
        for (size_t k = 0; k < sizeof text; k++)
            text[k] = letters[(random = random * 1664525U + 1013904223U) % 65536U % 40U];
        same_ids(have, want, text, sizeof text);
    }
    for (uint32_t id = 0; id < sae_tok_spm.size(want); id++) {
        struct sae_str a = {0}, b = {0};
        OK(sae_tok_gguf.piece(have, id, &a, &g_err));
        OK(sae_tok_spm.piece(want, id, &b, &g_err));
        assert_true(a.len == b.len && memcmp(a.s, b.s, a.len) == 0);
        assert_int_equal(sae_tok_gguf.is_control(have, id), sae_tok_spm.is_control(want, id));
        sae_str_clear(&a);
        sae_str_clear(&b);
    }
    sae_tok_gguf.close(have);
    sae_tok_spm.close(want);
    json_decref(cases);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks),   cmocka_unit_test(test_models),
        cmocka_unit_test(test_complete), cmocka_unit_test(test_ids),
        cmocka_unit_test(test_scores),
    };
    folder = argc > 1 ? argv[1] : ".";
    return cmocka_run_group_tests_name("lm_gguf", tests, NULL, NULL);
}
