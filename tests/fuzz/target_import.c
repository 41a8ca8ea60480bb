/* SPDX-License-Identifier: MIT */
/* SAEs of other packages. Mode 0..63: the configuration beside weights that another package wrote
 * (which: the mode); from 64 on: weights made here, whose names, shapes, types and values the input
 * chooses.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sae/import.h"
#include "tests/fuzz/fuzz.h"

static const struct {
    const char *folder, *weights, *config;
} packages[] = {
    {"lens_standard",   "sae_weights.safetensors", "cfg.json"   },
    {"lens_topk",       "sae_weights.safetensors", "cfg.json"   },
    {"lens_gated",      "sae_weights.safetensors", "cfg.json"   },
    {"lens_jumprelu",   "sae_weights.safetensors", "cfg.json"   },
    {"lens_batchtopk",  "sae_weights.safetensors", "cfg.json"   },
    {"lens_old",        "sae_weights.safetensors", "cfg.json"   },
    {"lens_layer_norm", "sae_weights.safetensors", "cfg.json"   },
    {"dict_standard",   "ae.pt",                   "config.json"},
    {"dict_topk",       "ae.pt",                   "config.json"},
    {"dict_gated",      "ae.pt",                   "config.json"},
    {"dict_jumprelu",   "ae.pt",                   "config.json"},
    {"dict_matryoshka", "ae.pt",                   "config.json"},
};
enum { N_PACKAGES = sizeof packages / sizeof *packages };

static const char *const arrays[] = {"W_enc",
                                     "W_dec",
                                     "b_enc",
                                     "b_dec",
                                     "threshold",
                                     "log_threshold",
                                     "b_gate",
                                     "b_mag",
                                     "r_mag",
                                     "scaling_factor",
                                     "finetuning_scaling_factor",
                                     "W_skip",
                                     "encoder.weight",
                                     "encoder.bias",
                                     "decoder.weight",
                                     "bias",
                                     "k",
                                     "W_zzz"};
enum { N_ARRAYS = sizeof arrays / sizeof *arrays, D = 3, M = 5 };

void fuzz_seeds(void)
{
    for (uint8_t i = 0; i < N_PACKAGES; i++) {
        char path[200];
        snprintf(path, sizeof path, "tests/golden/sae/%s/%s", packages[i].folder,
                 packages[i].config);
        fuzz_seed_file(i, path);
    }
    /* array, rows, columns, type and fill of each: Gemma Scope's five; SAELens' four */
    static const uint8_t five[] = {64, 0, 0, 3, 5, 0, 1, 5, 3, 0, 2,
                                   5,  0, 0, 3, 3, 0, 0, 4, 5, 0, 0};
    static const uint8_t four[] = {64, 1, 0, 3, 5, 4, 1, 5, 3, 4, 2, 5, 0, 4, 3, 3, 0, 4};
    fuzz_seed(five, sizeof five);
    fuzz_seed(four, sizeof four);
}

/* --- weights made here --------------------------------------------------------------------- */

static float value_of(int fill, size_t i)
{
    switch (fill) {
    case 1:
        return 0;
    case 2:
        return i == 1 ? NAN : 0.5F;
    case 3:
        return i == 2 ? INFINITY : -0.5F;
    case 4:
        return 3e38F;
    case 5:
        return 1e-42F;
    default:
        return (float)((double)(i * 37 % 11) - 5) / 8;
    }
}

static const char *make_weights(const uint8_t *bytes, size_t n)
{
    static const char *const types[] = {"F32", "BF16", "F16", "I64"};
    static const size_t width[] = {4, 2, 2, 8};
    static char file[1 << 16];
    char *const head = file + 8;
    size_t n_head = 0, at = 0;
    static uint8_t data[1 << 15];
    head[n_head++] = '{';
    for (size_t i = 0; i + 4 <= n && i < 80; i += 4) {
        const size_t rows = bytes[i + 1] % 12, cols = bytes[i + 2] % 12, type = bytes[i + 3] / 64;
        const size_t count = rows * (cols == 0 ? 1 : cols);
        if (at + count * 8 > sizeof data)
            break;
        n_head += (size_t)sprintf(head + n_head, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu",
                                  i > 0 ? "," : "", arrays[bytes[i] % N_ARRAYS], types[type], rows);
        if (cols > 0)
            n_head += (size_t)sprintf(head + n_head, ",%zu", cols);
        n_head += (size_t)sprintf(head + n_head, "],\"data_offsets\":[%zu,%zu]}", at,
                                  at + count * width[type]);
        memset(data + at, 0, count * width[type]);
        for (size_t e = 0; e < count; e++) {
            const float x = value_of(bytes[i + 3] % 8, e);
            uint32_t bits;
            memcpy(&bits, &x, 4);
            if (type == 1)
                memcpy(data + at + 2 * e, (const uint8_t *)&bits + 2, 2);
            else if (type == 0)
                memcpy(data + at + 4 * e, &bits, 4);
            else
                data[at + e * width[type]] = (uint8_t)e;
        }
        at += count * width[type];
    }
    head[n_head++] = '}';
    for (int b = 0; b < 8; b++)
        file[b] = (char)(n_head >> (8 * b));
    memcpy(head + n_head, data, at);
    return fuzz_put("made/sae_weights.safetensors", file, 8 + n_head + at);
}

static const char *folder_of(const char *name)
{
    const char *const folder = fuzz_path(name);
    mkdir(folder, 0755);
    return folder;
}

static const char *put_made(const uint8_t *bytes, size_t n)
{
    static const char *const architectures[] = {"standard", "topk",      "jumprelu",
                                                "gated",    "batchtopk", "matryoshka_batchtopk"};
    char cfg[300];
    folder_of("made");
    if (n < 1 || bytes[0] % 8 >= 6) {
        unlink(fuzz_path("made/cfg.json"));
    } else {
        const int len =
            snprintf(cfg, sizeof cfg,
                     "{\"architecture\":\"%s\",\"d_in\":%d,\"d_sae\":%d,\"k\":2,"
                     "\"dtype\":\"float32\",\"apply_b_dec_to_input\":%s}",
                     architectures[bytes[0] % 8], D, M, (bytes[0] & 8) != 0 ? "true" : "false");
        fuzz_put("made/cfg.json", cfg, (size_t)len);
    }
    return make_weights(bytes, n);
}

/* --- configurations ------------------------------------------------------------------------ */

static const char *put_config(size_t which, const uint8_t *bytes, size_t n)
{
    static bool are_there[N_PACKAGES];
    char name[200];
    if (!are_there[which]) {
        size_t n_file;
        folder_of(packages[which].folder);
        snprintf(name, sizeof name, "tests/golden/sae/%s/%s", packages[which].folder,
                 packages[which].weights);
        uint8_t *const file = fuzz_read_source(name, &n_file);
        snprintf(name, sizeof name, "%s/%s", packages[which].folder, packages[which].weights);
        fuzz_put(name, file, n_file);
        free(file);
        are_there[which] = true;
    }
    snprintf(name, sizeof name, "%s/%s", packages[which].folder, packages[which].config);
    fuzz_put(name, bytes, n);
    snprintf(name, sizeof name, "%s/%s", packages[which].folder, packages[which].weights);
    return fuzz_path(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct sae_ckpt ckpt = {0};
    struct sae_err err = {0};
    if (n < 1)
        return 0;
    const char *const path = bytes[0] < 64 ? put_config(bytes[0] % N_PACKAGES, bytes + 1, n - 1)
                                           : put_made(bytes + 1, n - 1);
    if (fuzz_ok(sae_import_load(&ckpt, path, n % 2 == 0, &err), &err)) {
        const struct sae_model *const model = &ckpt.model;
        FUZZ_REQUIRE(model->d > 0 && model->m > 0 && sae_import_of(&ckpt) != NULL);
        for (size_t i = 0; i < model->m * model->d; i++)
            FUZZ_REQUIRE(isfinite(model->W_enc[i]) && isfinite(model->W_dec[i]));
        for (size_t i = 0; model->b_enc != NULL && i < model->m; i++)
            FUZZ_REQUIRE(isfinite(model->b_enc[i]));
    }
    sae_ckpt_clear(&ckpt);
    return 0;
}
