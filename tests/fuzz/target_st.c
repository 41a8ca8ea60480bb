/* SPDX-License-Identifier: MIT */
/* safetensors. Mode 0: a whole file; 1: a header as text, whose length and data are added here (two
 * bytes say how much data); 2: an index beside the two shards it may name. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file/st.h"
#include "tests/fuzz/fuzz.h"

static const char header[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"W_enc\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]},"
    "\"s\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[32,34]}}";

static uint8_t *framed(const char *text, size_t n, size_t n_data, size_t *ret_n)
{
    uint8_t *const file = calloc(8 + n + n_data, 1);
    if (file == NULL)
        abort();
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)n >> (8 * i));
    memcpy(file + 8, text, n);
    *ret_n = 8 + n + n_data;
    return file;
}

static void put_framed(const char *name, const char *text, size_t n, size_t n_data)
{
    size_t n_file;
    uint8_t *const file = framed(text, n, n_data, &n_file);
    fuzz_put(name, file, n_file);
    free(file);
}

void fuzz_seeds(void)
{
    static const uint8_t size[3] = {1, 34, 0};
    uint8_t seed[3 + sizeof header];
    memcpy(seed, size, 3);
    memcpy(seed + 3, header, sizeof header - 1);
    fuzz_seed(seed, 3 + sizeof header - 1);
    fuzz_seed_file(0, "tests/golden/sae/lens_topk/sae_weights.safetensors");
    fuzz_seed_file(0, "tests/golden/sae/lens_bf16/sae_weights.safetensors");
    fuzz_seed_text(2, "{\"metadata\":{\"total_size\":68},\"weight_map\":"
                      "{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    fuzz_seed_text(2, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"../two.safetensors\"}}");
}

static void look_at(struct sae_st *st)
{
    for (size_t i = 0; i < sae_st_size(st); i++) {
        const struct sae_st_tensor *const t = sae_st_at(st, i);
        FUZZ_REQUIRE(sae_st_find(st, t->name) != NULL);
        FUZZ_REQUIRE(t->rank <= SAE_ST_RANK_MAX && t->begin <= t->end);
        if (t->dtype == SAE_ST_OTHER || t->n > 1 << 20)
            continue;
        float *const x = malloc((t->n + 1) * sizeof *x);
        if (x == NULL)
            return;
        sae_st_widen(x, t, 0, t->n);
        free(x);
    }
    for (size_t i = 0; i < sae_st_n_files(st); i++)
        FUZZ_REQUIRE(sae_st_file(st, i) != NULL);
}

static enum sae_status open_folder(struct sae_st **st, const uint8_t *bytes, size_t n,
                                   struct sae_err *err)
{
    static bool are_there;
    static const char one[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    static const char two[] = "{\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[0,6]}}";
    if (!are_there) {
        put_framed("one.safetensors", one, sizeof one - 1, 8);
        put_framed("two.safetensors", two, sizeof two - 1, 6);
        are_there = true;
    }
    fuzz_put("model.safetensors.index.json", bytes, n);
    return sae_st_open_folder(st, fuzz_folder(), err);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct sae_st *st = NULL;
    struct sae_err err = {0};
    enum sae_status status;
    if (n < 3)
        return 0;
    if (bytes[0] % 3 == 2) {
        status = open_folder(&st, bytes + 1, n - 1, &err);
    } else {
        if (bytes[0] % 3 == 1)
            put_framed("x.safetensors", (const char *)bytes + 3, n - 3,
                       bytes[1] | (size_t)bytes[2] << 8);
        else
            fuzz_put("x.safetensors", bytes + 1, n - 1);
        status = sae_st_open(&st, fuzz_path("x.safetensors"), &err);
    }
    if (fuzz_ok(status, &err)) {
        look_at(st);
        sae_st_close(st);
    }
    return 0;
}
