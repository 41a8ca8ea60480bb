/* SPDX-License-Identifier: MIT */
/* Pickles of state dicts, without the archive around them; and numpy's arrays (mode 1). */
#include <stdlib.h>
#include <string.h>

#include "lib/file/npy.h"
#include "lib/file/pickle.h"
#include "lib/file/torch.h"
#include "tests/fuzz/fuzz.h"

void fuzz_seeds(void)
{
    static const size_t shape[2] = {2, 3};
    static const char *const files[] = {"dict_standard/ae.pt", "dict_topk/ae.pt", "dict_new/ae.pt",
                                        "evil/system.pt", "evil/list.pt"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128] = "tests/golden/sae/";
        struct sae_zip *zip;
        struct sae_err err;
        const uint8_t *pickle;
        size_t n, n_file;
        uint8_t *const file = fuzz_read_source(strcat(path, files[i]), &n_file);
        if (sae_zip_open(&zip, fuzz_put("seed.pt", file, n_file), &err) != SAE_OK)
            abort();
        if (sae_torch_find(zip) != SIZE_MAX &&
            sae_zip_get(zip, sae_torch_find(zip), &pickle, &n, &err) == SAE_OK) {
            uint8_t *const seed = calloc(n + 1, 1);
            if (seed == NULL)
                abort();
            memcpy(seed + 1, pickle, n);
            fuzz_seed(seed, n + 1);
            free(seed);
        }
        sae_zip_close(zip);
        free(file);
    }
    uint8_t array[1 + SAE_NPY_HEAD_MAX + 24] = {1};
    fuzz_seed(array, 1 + sae_npy_head((char *)array + 1, 2, shape) + 24);
    static const char whole[] = "\x93NUMPY\x01\x00\x36\x00{'descr': '<i8', 'fortran_order': True, "
                                "'shape': (2,), }\n0123456789abcdef";
    uint8_t other[1 + sizeof whole];
    other[0] = 1;
    memcpy(other + 1, whole, sizeof whole - 1);
    fuzz_seed(other, sizeof whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct sae_err err = {0};
    if (n < 1)
        return 0;
    if (bytes[0] % 2 == 1) {
        struct sae_tensor array = {0};
        if (fuzz_ok(sae_npy_parse(&array, bytes + 1, n - 1, &err), &err) && array.n < 1 << 20) {
            float *const x = malloc((array.n + 1) * sizeof *x);
            if (x != NULL)
                (void)fuzz_ok(sae_tensor_read(&array, x, &err), &err);
            free(x);
        }
        return 0;
    }
    struct sae_pickle_item *items = NULL;
    size_t n_items = 0;
    if (fuzz_ok(sae_pickle_read(&items, &n_items, bytes + 1, n - 1, &err), &err)) {
        for (size_t i = 0; i < n_items; i++)
            FUZZ_REQUIRE(items[i].name != NULL &&
                         (!items[i].is_tensor || items[i].tensor.rank <= SAE_TENSOR_RANK_MAX));
        sae_pickle_free(items, n_items);
    }
    return 0;
}
