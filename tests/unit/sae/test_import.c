/* SPDX-License-Identifier: MIT */
/* import : SAEs of SAELens, dictionary_learning and npz, written by those packages themselves
 * (tests/golden/sae_formats.py), give the packages' own numbers; damaged and hostile files give one
 * line and no more. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/rng.h"
#include "lib/file/json.h"
#include "lib/file/npy.h"
#include "lib/file/pickle.h"
#include "lib/file/tensors.h"
#include "lib/file/torch.h"
#include "lib/file/zip.h"
#include "lib/sae/import.h"

static struct sae_err err;
static char dir[64];

/* --- fixtures ----------------------------------------------------------------------------- */

static const char *golden(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/tests/golden/sae/%s", getenv("SAE_SOURCE_ROOT"), name);
    return path;
}

static const char *scratch(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static double at(const json_t *answer, const char *key, size_t i)
{
    return json_number_value(json_array_get(json_object_get(answer, key), i));
}

/* --- values ------------------------------------------------------------------------------- */

enum { D = 6, M = 10, N = 4 };

/* Every number within rounding of f32 sums: |got - want| <= 1e-5 (1 + |want|). */
static void check_values(const struct sae_model *model, const json_t *answer)
{
    struct sae_coder *coder = NULL;
    const struct sae_csr *f = NULL;
    float x[N * D], xhat[N * D], dense[N * M] = {0};
    for (size_t i = 0; i < N * D; i++)
        x[i] = (float)at(answer, "x", i);
    assert_int_equal(sae_coder_open(&coder, model, &sae_ops_cpu, N, &err), SAE_OK);
    assert_int_equal(sae_coder_encode(coder, x, N, &f, &err), SAE_OK);
    assert_int_equal(sae_coder_decode(coder, f, xhat, &err), SAE_OK);
    for (size_t t = 0; t < N; t++)
        for (size_t e = f->start[t]; e < f->start[t + 1]; e++)
            dense[t * M + f->idx[e]] = f->val[e];
    for (size_t i = 0; i < N * M; i++)
        assert_true(fabs((double)dense[i] - at(answer, "f", i)) <=
                    1e-5 * (1 + fabs(at(answer, "f", i))));
    for (size_t i = 0; i < N * D; i++)
        assert_true(fabs((double)xhat[i] - at(answer, "xhat", i)) <=
                    1e-5 * (1 + fabs(at(answer, "xhat", i))));
    sae_coder_close(coder);
}

/* Every SAE of one file of answers. */
static size_t check_answers(const char *answers)
{
    json_t *golden_json = NULL;
    size_t i;
    json_t *answer;
    assert_int_equal(sae_json_load(&golden_json, golden(answers), &err), SAE_OK);
    json_array_foreach(json_object_get(golden_json, "saes"), i, answer)
    {
        struct sae_ckpt ckpt;
        const char *const path = sae_json_str(answer, "path", "");
        print_message("# %s\n", path);
        assert_int_equal(sae_import_load(&ckpt, golden(path), true, &err), SAE_OK);
        assert_int_equal(ckpt.model.d, D);
        assert_int_equal(ckpt.model.m, M);
        assert_string_equal(sae_arch_name(ckpt.model.arch), sae_json_str(answer, "arch", ""));
        check_values(&ckpt.model, answer);
        const size_t n_folded = json_array_size(sae_json_at(ckpt.record, "imported.folded"));
        assert_int_equal(n_folded > 0, json_is_true(json_object_get(answer, "folded")));
        if (json_is_true(json_object_get(answer, "folded")))
            assert_int_equal(sae_import_count_norms(&ckpt.model), 0);
        sae_ckpt_clear(&ckpt);
    }
    json_decref(golden_json);
    return i;
}

static void test_values(void **state)
{
    (void)state;
    assert_int_equal(check_answers("answers.json"), 23);
    assert_int_equal(check_answers("more/answers.json"), 8);
}

/* A checkpoint made of an import, read back, is the same model to the bit. */
static void test_through_checkpoint(void **state)
{
    (void)state;
    static const char *const names[] = {"lens_standard_raw/sae_weights.safetensors",
                                        "lens_layer_norm/sae_weights.safetensors",
                                        "lens_constant_norm/sae_weights.safetensors",
                                        "dict_new/ae.pt", "dict_gated/ae.pt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct sae_ckpt a, b;
        assert_int_equal(sae_import_load(&a, golden(names[i]), true, &err), SAE_OK);
        assert_int_equal(sae_ckpt_save(scratch("a.h5"), &a, true, &err), SAE_OK);
        assert_int_equal(sae_import_load(&b, scratch("a.h5"), true, &err), SAE_OK);
        assert_int_equal(a.model.norm, b.model.norm);
        assert_int_equal(a.model.subtract_b_dec, b.model.subtract_b_dec);
        assert_memory_equal(a.model.W_enc, b.model.W_enc, sizeof(float) * M * D);
        assert_memory_equal(a.model.W_dec, b.model.W_dec, sizeof(float) * M * D);
        assert_true(json_equal(a.record, b.record));
        sae_ckpt_clear(&a);
        sae_ckpt_clear(&b);
    }
}

static void test_record(void **state)
{
    (void)state;
    struct sae_ckpt ckpt;
    assert_int_equal(
        sae_import_load(&ckpt, golden("lens_old_topk/sae_weights.safetensors"), true, &err),
        SAE_OK);
    assert_string_equal(sae_json_str(ckpt.record, "imported.format", ""), "saelens");
    assert_string_equal(sae_json_str(ckpt.record, "site.model", ""), "tiny-g2");
    assert_int_equal(sae_json_u64(ckpt.record, "site.layer", 99), 4);
    assert_int_equal(sae_json_u64(ckpt.record, "site.d", 0), D);
    assert_int_equal(json_array_size(sae_json_at(ckpt.record, "imported.files")), 2);
    assert_int_equal(strlen(ckpt.id), 64);
    assert_int_equal(ckpt.model.k, 3);
    assert_true(sae_import_of(&ckpt) != NULL);
    sae_ckpt_clear(&ckpt);
}

/* By hand: row (3, 4) has norm 5; its encoder row, bias and threshold are multiplied by it. */
static void test_fold(void **state)
{
    (void)state;
    struct sae_model model;
    double min, max;
    assert_int_equal(sae_model_alloc(&model, SAE_ARCH_JUMPRELU, 2, 2, 0, &err), SAE_OK);
    model.W_dec[0] = 3;
    model.W_dec[1] = 4;
    model.W_dec[2] = 1; /* unit already */
    model.W_enc[0] = 2;
    model.b_enc[0] = 0.5F;
    model.threshold[0] = 0.25F;
    model.threshold[1] = 0.75F;
    assert_int_equal(sae_import_count_norms(&model), 1);
    assert_int_equal(sae_import_fold_norms(&model, &min, &max), 1);
    assert_true(min == 5 && max == 5);
    assert_true(fabsf(model.W_dec[0] - 0.6F) < 1e-7F && fabsf(model.W_dec[1] - 0.8F) < 1e-7F);
    assert_true(model.W_enc[0] == 10 && model.b_enc[0] == 2.5F);
    assert_true(model.threshold[0] == 1.25F && model.threshold[1] == 0.75F);
    sae_model_clear(&model);
}

/* --- refusals ----------------------------------------------------------------------------- */

static void refuse(const char *path, enum sae_status code, const char *says)
{
    struct sae_ckpt ckpt;
    struct sae_err why = {0};
    assert_int_equal(sae_import_load(&ckpt, path, true, &why), code);
    if (strstr(why.msg, says) == NULL)
        fail_msg("'%s' does not say '%s'", why.msg, says);
    assert_null(strchr(why.msg, '\n'));
}

static void test_hostile(void **state)
{
    (void)state;
    refuse(golden("evil/system.pt"), SAE_EFORMAT, "names 'posix.system'");
    assert_int_not_equal(access("saekit-was-here", F_OK), 0);
    refuse(golden("evil/module.pt"), SAE_EFORMAT, "nothing was run");
    refuse(golden("evil/list.pt"), SAE_EFORMAT, "no dict of tensors");
    refuse(golden("evil/bare.pt"), SAE_EFORMAT, "bare pickle");
    refuse(golden("answers.json"), SAE_EFORMAT, "no known kind");
    refuse(golden("nowhere.npz"), SAE_EIO, "cannot open");
}

/* Files with arrays or settings that no formula here has. */
static void test_refused(void **state)
{
    (void)state;
    json_t *golden_json = NULL;
    size_t i;
    json_t *one;
    assert_int_equal(sae_json_load(&golden_json, golden("more/answers.json"), &err), SAE_OK);
    json_array_foreach(json_object_get(golden_json, "refused"), i, one)
    {
        print_message("# %s\n", sae_json_str(one, "path", ""));
        refuse(golden(sae_json_str(one, "path", "")), SAE_EVERSION, sae_json_str(one, "says", "?"));
    }
    assert_int_equal(i, 9);
    json_decref(golden_json);
}

/* Without waiting for the disk, which a thousand files would feel. */
static void put_file(const char *path, const void *bytes, size_t n)
{
    FILE *const f = fopen(path, "wb");
    assert_true(f != NULL && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

static void copy(const char *from, const char *to, size_t keep)
{
    char *bytes;
    size_t n;
    assert_int_equal(sae_fs_read(&bytes, &n, from, 1 << 20, &err), SAE_OK);
    put_file(to, bytes, keep < n ? keep : n);
    free(bytes);
}

/* An SAE of SAELens with another cfg.json. */
static void with_cfg(const char *cfg, enum sae_status code, const char *says)
{
    copy(golden("lens_standard/sae_weights.safetensors"), scratch("sae_weights.safetensors"),
         SIZE_MAX);
    assert_int_equal(sae_fs_write(scratch("cfg.json"), cfg, strlen(cfg), &err), SAE_OK);
    refuse(scratch("sae_weights.safetensors"), code, says);
}

static void test_settings(void **state)
{
    (void)state;
    with_cfg("{\"d_in\": 7}", SAE_EFORMAT, "has d = 6 by its arrays, but its settings say d_in = 7");
    with_cfg("{\"architecture\": \"temporal\"}", SAE_EVERSION, "architecture 'temporal'");
    with_cfg("{\"architecture\": \"topk\"}", SAE_EFORMAT, "gives k = nan");
    with_cfg("{\"architecture\": \"topk\", \"k\": 11}", SAE_EFORMAT, "expected 1 to 10");
    with_cfg("{\"architecture\": \"jumprelu\"}", SAE_EFORMAT, "no array 'threshold'");
    with_cfg("{\"architecture\": \"gated\"}", SAE_EFORMAT, "no array 'b_gate'");
    with_cfg("{\"activation_fn_str\": \"tanh-relu\"}", SAE_EVERSION, "'tanh-relu'");
    with_cfg("{\"normalize_activations\": \"covariance_whitening\"}", SAE_EVERSION, "whitening");
    with_cfg("{\"normalize_activations\": 1}", SAE_EVERSION, "'normalize_activations' is 1");
    with_cfg("{\"architecture\": 3}", SAE_EVERSION, "'architecture' is 3; expected a text");
    with_cfg("{\"activation_fn_str\": [\"relu\"]}", SAE_EVERSION, "expected a text");
    with_cfg("{\"architecture\": \"gated\", \"activation_fn_str\": \"topk\"}", SAE_EVERSION,
             "'topk' with the architecture 'gated'");
    with_cfg("{\"activation_fn_kwargs\": {\"tanh\": 1}}", SAE_EVERSION, "activation_fn_kwargs.tanh");
    with_cfg("{\"activation_fn_kwargs\": [3]}", SAE_EVERSION, "'activation_fn_kwargs' is [3]");
    with_cfg("{\"apply_b_dec_to_input\": \"false\"}", SAE_EVERSION,
             "'apply_b_dec_to_input' is \"false\"; expected true or false");
    with_cfg("{\"apply_b_dec_to_input\": 0.5}", SAE_EVERSION, "expected true or false");
    with_cfg("{\"apply_b_dec_to_input\": null}", SAE_EVERSION, "expected true or false");
    with_cfg("{\"rescale_acts_by_decoder_norm\": \"no\"}", SAE_EVERSION, "expected true or false");
    with_cfg("{\"rescale_acts_by_decoder_norm\": true}", SAE_EVERSION, "architecture 'standard'");
    with_cfg("{\"finetuning_scaling_factor\": true}", SAE_EFORMAT, "there is no such array");
    with_cfg("{\"reshape_activations\": \"conv\"}", SAE_EVERSION, "'conv'");
    with_cfg("{\"metadata\": {\"hook_name_out\": \"blocks.3.hook_mlp_out\"}}", SAE_EVERSION,
             "another place");
    with_cfg("{\"d_out\": 12}", SAE_EFORMAT, "d_out = 12");
    with_cfg("{\"d_sae\": 10.5}", SAE_EFORMAT, "d_sae = 10.5");
    with_cfg("[]", SAE_EFORMAT, "not a JSON object");
    with_cfg("{", SAE_EFORMAT, "cfg.json");
    unlink(scratch("cfg.json"));
    refuse(scratch("sae_weights.safetensors"), SAE_EFORMAT, "no cfg.json beside");
    copy(golden("dict_batchtopk/ae.pt"), scratch("ae.pt"), SIZE_MAX);
    refuse(scratch("ae.pt"), SAE_EFORMAT, "no config.json");
    copy(golden("more/SAE-Res-Tiny-W1K-L0_3/layer3.sae.pt"), scratch("ae.pt"), SIZE_MAX);
    refuse(scratch("ae.pt"), SAE_EFORMAT, "no file gives its k");
}

/* A setting of tomorrow is told; those of training, and what is switched off, are not. */
static void test_unknown_setting(void **state)
{
    (void)state;
    static const char cfg[] = "{\"metadata\": {}, \"l1_coefficient\": 5, \"new_norm\": \"rms\", "
                              "\"other\": null, \"third\": false}";
    struct sae_ckpt ckpt;
    copy(golden("lens_standard/sae_weights.safetensors"), scratch("sae_weights.safetensors"),
         SIZE_MAX);
    put_file(scratch("cfg.json"), cfg, strlen(cfg));
    assert_int_equal(sae_import_load(&ckpt, scratch("sae_weights.safetensors"), true, &err),
                     SAE_OK);
    const json_t *const notes = sae_json_at(ckpt.record, "imported.notes");
    assert_int_equal(json_array_size(notes), 1);
    assert_non_null(strstr(json_string_value(json_array_get(notes, 0)), "'new_norm' (\"rms\")"));
    sae_ckpt_clear(&ckpt);
}

/* Settings that nobody reads may hold what Python writes and JSON lacks. 0 is false. */
static void test_tolerant(void **state)
{
    (void)state;
    static const char cfg[] = "{\"seed\": 18446744073709551615, \"lr\": NaN, \"x\": [Infinity, "
                              "-Infinity, -1e999], \"note\": \"NaN \\\"-Infinity\", \"big\": "
                              "-99999999999999999999, \"apply_b_dec_to_input\": 0}";
    struct sae_ckpt ckpt;
    copy(golden("lens_standard/sae_weights.safetensors"), scratch("sae_weights.safetensors"),
         SIZE_MAX);
    put_file(scratch("cfg.json"), cfg, strlen(cfg));
    assert_int_equal(sae_import_load(&ckpt, scratch("sae_weights.safetensors"), true, &err),
                     SAE_OK);
    assert_false(ckpt.model.subtract_b_dec);
    const json_t *const kept = sae_json_at(ckpt.record, "imported.cfg");
    assert_true(sae_json_real(kept, "seed", 0) == 18446744073709551615.0);
    assert_true(sae_json_real(kept, "big", 0) == -99999999999999999999.0);
    assert_true(json_is_null(sae_json_at(kept, "lr")));
    assert_string_equal(sae_json_str(kept, "note", ""), "NaN \"-Infinity");
    sae_ckpt_clear(&ckpt);
    with_cfg("{\"a\": NaNs}", SAE_EFORMAT, "not valid JSON");
    with_cfg("{\"a\": \"", SAE_EFORMAT, "not valid JSON");
}

/* AutoEncoderTopK chooses by k; its threshold may be infinite and is not kept then. */
static void test_infinite(void **state)
{
    (void)state;
    struct sae_ckpt ckpt;
    assert_int_equal(sae_import_load(&ckpt, golden("more/topk_infinite/ae.pt"), true, &err), SAE_OK);
    assert_true(ckpt.model.arch == SAE_ARCH_TOPK && ckpt.model.topk_threshold == 0);
    sae_ckpt_clear(&ckpt);
}

/* The file of a cache is a link to a name of no meaning; the layer is told by the folders it lies in. */
static void test_links(void **state)
{
    (void)state;
    struct sae_ckpt ckpt;
    char target[600];
    copy(golden("npz/params.npz"), scratch("blob"), SIZE_MAX);
    snprintf(target, sizeof target, "%s", scratch("blob"));
    assert_int_equal(mkdir(scratch("layer_7"), 0755), 0);
    assert_int_equal(symlink(target, scratch("layer_7/params.npz")), 0);
    assert_int_equal(sae_import_load(&ckpt, scratch("layer_7/params.npz"), true, &err), SAE_OK);
    assert_int_equal(sae_json_u64(ckpt.record, "site.layer", 99), 7);
    sae_ckpt_clear(&ckpt);
    unlink(scratch("layer_7/params.npz"));
    rmdir(scratch("layer_7"));
    unlink(scratch("blob"));
}

/* trainer_0/checkpoints/ae_100.pt has its config.json one folder up; other folders do not look there. */
static void test_config_above(void **state)
{
    (void)state;
    struct sae_ckpt ckpt;
    char path[600];
    assert_int_equal(mkdir(scratch("checkpoints"), 0755), 0);
    copy(golden("dict_batchtopk/config.json"), scratch("config.json"), SIZE_MAX);
    copy(golden("dict_batchtopk/ae.pt"), scratch("checkpoints/ae_100.pt"), SIZE_MAX);
    assert_int_equal(sae_import_load(&ckpt, scratch("checkpoints/ae_100.pt"), true, &err), SAE_OK);
    assert_int_equal(ckpt.model.arch, SAE_ARCH_BATCHTOPK);
    assert_int_equal(json_array_size(sae_json_at(ckpt.record, "imported.files")), 2);
    sae_ckpt_clear(&ckpt);
    snprintf(path, sizeof path, "%s", scratch("other"));
    assert_int_equal(rename(scratch("checkpoints"), path), 0);
    refuse(scratch("other/ae_100.pt"), SAE_EFORMAT, "no config.json");
    unlink(scratch("other/ae_100.pt"));
    rmdir(path);
    unlink(scratch("config.json"));
}

static void test_cut(void **state)
{
    (void)state;
    static const char *const names[] = {"npz/params.npz", "npz/packed.npz", "dict_topk/ae.pt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t keep = 0; keep < 900; keep += 13) {
            struct sae_tensors t;
            copy(golden(names[i]), scratch("cut"), keep);
            assert_int_not_equal(sae_tensors_open(&t, scratch("cut"), &err), SAE_OK);
        }
}

/* One array in an archive made here: what its header claims. */
static void with_array(const char *head, size_t n_data, const char *says)
{
    unsigned char bytes[256] = "\x93NUMPY\x01";
    static const float data[64];
    struct sae_tensors t;
    bytes[8] = (unsigned char)strlen(head);
    memcpy(bytes + 10, head, strlen(head));
    const struct sae_zip_item item = {"W_enc.npy", bytes, data, 10 + strlen(head), n_data};
    assert_int_equal(sae_zip_write(scratch("one.npz"), &item, 1, &err), SAE_OK);
    assert_int_equal(sae_tensors_open(&t, scratch("one.npz"), &err), SAE_EFORMAT);
    if (strstr(err.msg, says) == NULL)
        fail_msg("'%s' does not say '%s'", err.msg, says);
}

static void test_arrays(void **state)
{
    (void)state;
    with_array("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 4), }\n", 60,
               "60 bytes of data do not make a shape of [4, 4]");
    with_array("{'descr': '<f4', 'fortran_order': False, "
               "'shape': (4294967296, 4294967296, 2), }\n",
               64, "overflows");
    with_array("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }\n", 8, "type '|O'");
    with_array("{'descr': '<f4', 'fortran_order': False, 'shape': (4), }\n", 16, "not one that");
    with_array("{'descr': '<f4', 'shape': (4,), }\n", 16, "not one that");
    with_array("__import__('os').system('true')", 16, "not one that");
}

/* A member that claims far more than its bytes can hold is not believed. */
static void test_bomb(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    struct sae_tensors t;
    assert_int_equal(sae_fs_read(&bytes, &n, golden("npz/packed.npz"), 1 << 20, &err), SAE_OK);
    for (size_t i = 0; i + 46 < n; i++)
        if (memcmp(bytes + i, "PK\x01\x02", 4) == 0)
            memcpy(bytes + i + 24, "\xff\xff\xff\x7f", 4); /* 2 GB of some 200 bytes */
    assert_int_equal(sae_fs_write(scratch("bomb.npz"), bytes, n, &err), SAE_OK);
    assert_int_equal(sae_tensors_open(&t, scratch("bomb.npz"), &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "claims 2147483647 bytes"));
    free(bytes);
}

/* Members over the same bytes: each is honest by itself, but all of them could claim any amount of
 * memory. The largest member takes the place of all. */
static void test_overlap(void **state)
{
    (void)state;
    char *bytes;
    size_t n, large = 0;
    uint32_t most = 0;
    struct sae_tensors t;
    assert_int_equal(sae_fs_read(&bytes, &n, golden("npz/params.npz"), 1 << 20, &err), SAE_OK);
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = 0; i + 46 < n; i++) {
            uint32_t stored;
            if (memcmp(bytes + i, "PK\x01\x02", 4) != 0)
                continue;
            memcpy(&stored, bytes + i + 20, sizeof stored);
            if (pass == 0 && stored > most) {
                most = stored;
                large = i;
            } else if (pass == 1 && i != large) {
                memcpy(bytes + i + 16, bytes + large + 16, 12); /* checksum, both lengths */
                memcpy(bytes + i + 42, bytes + large + 42, 4);  /* place */
            }
        }
    assert_true(5 * (size_t)most > n);
    assert_int_equal(sae_fs_write(scratch("bomb.npz"), bytes, n, &err), SAE_OK);
    assert_int_equal(sae_tensors_open(&t, scratch("bomb.npz"), &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "they overlap"));
    free(bytes);
}

/* --- mutation ----------------------------------------------------------------------------- */

/* A copy of exactly n bytes with a few of them changed, so that a sanitizer sees any overrun. */
static unsigned char *mutate(const unsigned char *from, size_t n, uint64_t round)
{
    unsigned char *const to = malloc(n + !n);
    memcpy(to, from, n);
    struct sae_rng rng = sae_rng_make(round, SAE_RNG_TEST);
    const uint64_t changes = 1 + sae_rng_u64(&rng) % 4;
    for (uint64_t c = 0; c < changes && n > 0; c++) {
        const size_t where = sae_rng_u64(&rng) % n;
        const uint64_t how = sae_rng_u64(&rng) % 4;
        to[where] = how == 0   ? (unsigned char)sae_rng_u64(&rng)
                    : how == 1 ? 0xff
                    : how == 2 ? to[sae_rng_u64(&rng) % n]
                               : (unsigned char)(to[where] ^ 1U << sae_rng_u64(&rng) % 8);
    }
    return to;
}

/* Every number of whatever could be opened is read. */
static void read_all(const struct sae_tensors *t)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->v[i].n > 1 << 20)
            continue;
        float *const to = malloc(sizeof(float) * (t->v[i].n + 1));
        (void)!sae_tensor_read(&t->v[i], to, NULL);
        free(to);
    }
}

static void fuzz_file(const char *name, uint64_t rounds)
{
    char *bytes;
    size_t n, n_good = 0;
    assert_int_equal(sae_fs_read(&bytes, &n, golden(name), 1 << 20, &err), SAE_OK);
    for (uint64_t r = 0; r < rounds; r++) {
        struct sae_tensors t;
        unsigned char *const bad = mutate((unsigned char *)bytes, n, r);
        put_file(scratch("fuzz"), bad, n);
        free(bad);
        if (sae_tensors_open(&t, scratch("fuzz"), &err) != SAE_OK)
            continue;
        read_all(&t);
        sae_tensors_close(&t);
        n_good++;
    }
    print_message("# %s: %llu of %llu mutants still open\n", name, (unsigned long long)n_good,
                  (unsigned long long)rounds);
    free(bytes);
}

/* Past the archive's checksums: one member is mutated and the archive written anew. */
static void fuzz_member(const char *name, const char *member, uint64_t rounds)
{
    struct sae_zip *zip = NULL;
    struct sae_zip_item items[16] = {{0}};
    size_t n_good = 0, hit = SIZE_MAX;
    assert_int_equal(sae_zip_open(&zip, golden(name), &err), SAE_OK);
    const size_t n = sae_zip_size(zip);
    assert_true(n <= 16);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *data;
        assert_int_equal(sae_zip_get(zip, i, &data, &items[i].n_head, &err), SAE_OK);
        items[i].name = sae_zip_name(zip, i);
        items[i].head = data;
        if (strstr(items[i].name, member) != NULL)
            hit = i;
    }
    assert_true(hit < n);
    const void *const original = items[hit].head;
    for (uint64_t r = 0; r < rounds; r++) {
        struct sae_tensors t;
        unsigned char *const bad = mutate(original, items[hit].n_head, r);
        items[hit].head = bad;
        struct sae_pickle_item *parts = NULL;
        size_t n_parts = 0;
        if (strstr(member, "pkl") != NULL &&
            sae_pickle_read(&parts, &n_parts, bad, items[hit].n_head, &err) == SAE_OK)
            sae_pickle_free(parts, n_parts);
        if (r % 16 == 0) {
            assert_int_equal(sae_zip_write(scratch("fuzz"), items, n, &err), SAE_OK);
            if (sae_tensors_open(&t, scratch("fuzz"), &err) == SAE_OK) {
                read_all(&t);
                sae_tensors_close(&t);
                n_good++;
            }
        }
        free(bad);
    }
    print_message("# %s %s: %llu of %llu mutants still open\n", name, member,
                  (unsigned long long)n_good, (unsigned long long)(rounds / 16));
    sae_zip_close(zip);
}

/* A whole SAE: its settings are mutated, and in every third round its weights too. */
static void fuzz_folder(const char *folder, const char *weights, const char *cfg, uint64_t rounds)
{
    char name[300], *bytes[2];
    size_t n[2], n_good = 0;
    const char *const names[2] = {weights, cfg};
    for (size_t f = 0; f < 2; f++) {
        snprintf(name, sizeof name, "%s/%s", folder, names[f]);
        assert_int_equal(sae_fs_read(&bytes[f], &n[f], golden(name), 1 << 20, &err), SAE_OK);
        put_file(scratch(names[f]), bytes[f], n[f]);
    }
    for (uint64_t r = 0; r < rounds; r++) {
        struct sae_ckpt ckpt;
        for (size_t f = r % 3 == 0 ? 0 : 1; f < 2; f++) {
            unsigned char *const bad = mutate((unsigned char *)bytes[f], n[f], 2 * r + f);
            put_file(scratch(names[f]), bad, n[f]);
            free(bad);
        }
        if (sae_import_load(&ckpt, scratch(weights), true, &err) == SAE_OK) {
            sae_ckpt_clear(&ckpt);
            n_good++;
        }
    }
    print_message("# %s: %llu of %llu mutants still load\n", folder, (unsigned long long)n_good,
                  (unsigned long long)rounds);
    for (size_t f = 0; f < 2; f++) {
        unlink(scratch(names[f]));
        free(bytes[f]);
    }
}

static void test_mutants(void **state)
{
    (void)state;
    fuzz_file("lens_jumprelu/sae_weights.safetensors", 600);
    fuzz_file("npz/params.npz", 600);
    fuzz_file("npz/packed.npz", 400);
    fuzz_file("dict_gated/ae.pt", 600);
    fuzz_file("more/topk_infinite/ae.pt", 200);
    fuzz_folder("more/lens_factor_own", "sae_weights.safetensors", "cfg.json", 250);
    fuzz_folder("more/sparsify/layers.3", "sae.safetensors", "cfg.json", 150);
    fuzz_folder("more/scope/layer_3", "params.safetensors", "config.json", 150);
    fuzz_folder("dict_batchtopk", "ae.pt", "config.json", 150);
    fuzz_member("dict_gated/ae.pt", "data.pkl", 4000);
    fuzz_member("dict_backup/ae.pt", "data.pkl", 2000);
    fuzz_member("evil/system.pt", "data.pkl", 2000);
    fuzz_member("npz/params.npz", "W_dec", 1600);
    assert_int_not_equal(access("saekit-was-here", F_OK), 0);
}

static int set_up(void **state)
{
    (void)state;
    sae_log_setup("test_import", SAE_LOG_ERROR);
    strcpy(dir, "/tmp/saekit-import-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const left[] = {"a.h5", "ae.pt", "cut",     "sae_weights.safetensors",
                                       "fuzz", "cfg.json", "one.npz", "bomb.npz"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        unlink(scratch(left[i]));
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),   cmocka_unit_test(test_through_checkpoint),
        cmocka_unit_test(test_record),   cmocka_unit_test(test_fold),
        cmocka_unit_test(test_hostile),  cmocka_unit_test(test_settings),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_tolerant),
        cmocka_unit_test(test_unknown_setting),
        cmocka_unit_test(test_infinite), cmocka_unit_test(test_config_above),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_cut),      cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_bomb),     cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_mutants),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
