/* SPDX-License-Identifier: MIT */
/* Rows and columns of files that other programs wrote. Mode 0: a whole file, of whatever kind its
 * content says; 1: a safetensors file, whose length of the header is added here; 2: a .npy file,
 * likewise. */
#include <stdlib.h>
#include <string.h>

#include "lib/file/array.h"
#include "lib/file/npy.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_ELEMENTS = 1 << 20, BLOCK = 3 };

static const char st[] =
    "{\"x\":{\"dtype\":\"BF16\",\"shape\":[4,2],\"data_offsets\":[0,16]},"
    "\"token\":{\"dtype\":\"U32\",\"shape\":[4],\"data_offsets\":[16,32]}}";
static const char npy[] = "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 4), }\n";

void fuzz_seeds(void)
{
    static const size_t shape[2] = {2, 3};
    uint8_t seed[1 + SAE_NPY_HEAD_MAX + 24] = {0};
    const size_t n = sae_npy_head((char *)seed + 1, 2, shape);
    fuzz_seed(seed, 1 + n + 24);
    memset(seed, 0, sizeof seed);
    seed[0] = 1;
    seed[1] = sizeof st - 1;
    memcpy(seed + 2, st, sizeof st - 1);
    fuzz_seed(seed, 2 + sizeof st - 1 + 32);
    memset(seed, 0, sizeof seed);
    seed[0] = 2;
    seed[1] = sizeof npy - 1;
    memcpy(seed + 2, npy, sizeof npy - 1);
    fuzz_seed(seed, 2 + sizeof npy - 1 + 24);
    fuzz_seed_file(0, "tests/golden/sae/npz/packed.npz");
    fuzz_seed_file(0, "tests/golden/sae/dict_topk/ae.pt");
    fuzz_seed_file(0, "tests/golden/sae/lens_topk/sae_weights.safetensors");
}

/* All rows, in blocks, and a column beside them. */
static void read_all(const struct sae_arrays *file, const char *name)
{
    struct sae_err err = {0};
    struct sae_array rows = {0}, column = {0};
    if (!fuzz_ok(sae_arrays_rows(&rows, file, name, &err), &err))
        return;
    FUZZ_REQUIRE(rows.rows > 0 && rows.d > 0);
    float *const x = rows.d <= MAX_ELEMENTS ? malloc(BLOCK * rows.d * sizeof *x) : NULL;
    for (size_t first = 0; x && first < rows.rows && first < MAX_ELEMENTS / rows.d; first += BLOCK) {
        const size_t n = rows.rows - first < BLOCK ? rows.rows - first : BLOCK;
        if (!fuzz_ok(sae_array_read(&rows, first, n, x, &err), &err))
            break;
    }
    FUZZ_REQUIRE(!x || sae_array_read(&rows, rows.rows, 1, x, &err) == SAE_ERANGE);
    if (fuzz_ok(sae_arrays_column(&column, file, "token", rows.rows, &err), &err)) {
        uint32_t whole[BLOCK];
        const size_t n = rows.rows < BLOCK ? rows.rows : BLOCK;
        if (fuzz_ok(sae_array_read_whole(&column, rows.rows - n, n, 1000, whole, &err), &err))
            FUZZ_REQUIRE(whole[n - 1] <= 1000);
    }
    sae_array_clear(&column);
    sae_array_clear(&rows);
    free(x);
}

static const char *put_headed(int mode, const uint8_t *bytes, size_t n)
{
    static uint8_t file[1 << 16];
    const size_t head = n == 0 ? 0 : bytes[0], at = mode == 1 ? 8 : 10;
    n = n > sizeof file - at ? sizeof file - at : n;
    memset(file, 0, at);
    if (mode == 2)
        memcpy(file, "\x93NUMPY\x01\x00", 8);
    file[mode == 1 ? 0 : 8] = (uint8_t)head;
    if (n > 1)
        memcpy(file + at, bytes + 1, n - 1);
    return fuzz_put("x.bin", file, at + (n > 0 ? n - 1 : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct sae_arrays *file = NULL;
    struct sae_err err = {0};
    if (n < 1)
        return 0;
    const int mode = bytes[0] % 3;
    const char *const path =
        mode == 0 ? fuzz_put("x.bin", bytes + 1, n - 1) : put_headed(mode, bytes + 1, n - 1);
    if (!fuzz_ok(sae_arrays_open(&file, path, &err), &err))
        return 0;
    FUZZ_REQUIRE(sae_arrays_kind(file) != NULL);
    read_all(file, NULL);
    read_all(file, "x");
    sae_arrays_close(file);
    return 0;
}
