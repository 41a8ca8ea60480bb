/* SPDX-License-Identifier: MIT */
/* Zip archives: every member is asked for. */
#include <stdlib.h>
#include <string.h>

#include "lib/file/zip.h"
#include "tests/fuzz/fuzz.h"

void fuzz_seeds(void)
{
    static const struct fuzz_member members[] = {
        {"a",   "hello", 5},
        {"b/c", "",      0}
    };
    size_t n;
    uint8_t *zip = fuzz_zip(members, 2, &n);
    fuzz_seed(zip, n);
    free(zip);
    static const char *const files[] = {"tests/golden/sae/npz/packed.npz",
                                        "tests/golden/sae/npz/params.npz",
                                        "tests/golden/sae/dict_topk/ae.pt"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        zip = fuzz_read_source(files[i], &n);
        fuzz_seed(zip, n);
        free(zip);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct sae_zip *zip = NULL;
    struct sae_err err = {0};
    if (!fuzz_ok(sae_zip_open(&zip, fuzz_put("x.zip", bytes, n), &err), &err))
        return 0;
    for (size_t i = 0; i < sae_zip_size(zip) && i < 64; i++) {
        const uint8_t *member = NULL;
        size_t n_member = 0;
        volatile uint8_t sum = 0;
        FUZZ_REQUIRE(sae_zip_find(zip, sae_zip_name(zip, i)) != SIZE_MAX);
        if (fuzz_ok(sae_zip_get(zip, i, &member, &n_member, &err), &err))
            for (size_t b = 0; b < n_member; b++)
                sum = (uint8_t)(sum + member[b]);
    }
    sae_zip_close(zip);
    return 0;
}
