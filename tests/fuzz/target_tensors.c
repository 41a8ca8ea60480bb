/* SPDX-License-Identifier: MIT */
/* Files of named arrays. Mode 0: a whole file, of whatever kind its content says; 1: the pickle of
 * a PyTorch file, whose archive and storages are added here; 2: two arrays of numpy in an archive,
 * each with its length before it. */
#include <stdlib.h>
#include <string.h>

#include "lib/file/npy.h"
#include "lib/file/pickle.h"
#include "lib/file/tensors.h"
#include "lib/file/torch.h"
#include "lib/file/zip.h"
#include "tests/fuzz/fuzz.h"

enum { MAX_ELEMENTS = 1 << 20 };

static void look_at(const struct sae_tensors *file)
{
    char shape[SAE_TENSOR_SHAPE_BYTES];
    for (size_t i = 0; i < file->n; i++) {
        const struct sae_tensor *const t = &file->v[i];
        FUZZ_REQUIRE(sae_tensors_find(file, t->name) != NULL);
        FUZZ_REQUIRE(sae_tensor_shape(t, shape)[0] == '[');
        if (t->n > MAX_ELEMENTS)
            continue;
        float *const x = malloc((t->n + 1) * sizeof *x);
        if (x == NULL)
            return;
        struct sae_err err = {0};
        (void)fuzz_ok(sae_tensor_read(t, x, &err), &err);
        if (t->n == 1 && t->type != SAE_TENSOR_OTHER)
            (void)sae_tensor_number(t);
        if (t->rank == 2) {
            const struct sae_tensor turned = sae_tensor_transposed(t);
            (void)fuzz_ok(sae_tensor_read(&turned, x, &err), &err);
        }
        free(x);
    }
}

/* The pickle of a file that torch.save wrote. */
static void seed_pickle(const char *path)
{
    size_t n_file, n;
    uint8_t *const file = fuzz_read_source(path, &n_file);
    const uint8_t *pickle;
    struct sae_zip *zip;
    struct sae_err err;
    if (sae_zip_open(&zip, fuzz_put("seed.pt", file, n_file), &err) != SAE_OK) {
        free(file); /* evil/bare.pt is no archive */
        return;
    }
    if (sae_torch_find(zip) != SIZE_MAX &&
        sae_zip_get(zip, sae_torch_find(zip), &pickle, &n, &err) == SAE_OK) {
        uint8_t *const seed = malloc(n + 1);
        if (seed == NULL)
            abort();
        seed[0] = 1;
        memcpy(seed + 1, pickle, n);
        fuzz_seed(seed, n + 1);
        free(seed);
    }
    sae_zip_close(zip);
    free(file);
}

void fuzz_seeds(void)
{
    static const char *const torch[] = {
        "dict_standard/ae.pt", "dict_topk/ae.pt", "dict_gated/ae.pt", "dict_matryoshka/ae.pt",
        "evil/list.pt",        "evil/module.pt",  "evil/system.pt",   "evil/bare.pt"};
    char path[128];
    for (size_t i = 0; i < sizeof torch / sizeof *torch; i++) {
        strcpy(path, "tests/golden/sae/");
        strcat(path, torch[i]);
        seed_pickle(path);
        fuzz_seed_file(0, path);
    }
    fuzz_seed_file(0, "tests/golden/sae/npz/packed.npz");
    fuzz_seed_file(0, "tests/golden/sae/npz/params.npz");
    fuzz_seed_file(0, "tests/golden/sae/lens_topk/sae_weights.safetensors");
    static const size_t shape[2] = {2, 3};
    uint8_t seed[2 + SAE_NPY_HEAD_MAX + 24] = {2};
    const size_t n = sae_npy_head((char *)seed + 2, 2, shape);
    seed[1] = (uint8_t)(n / 4);
    fuzz_seed(seed, 2 + n + 24);
}

static const char *put_torch(const uint8_t *pickle, size_t n)
{
    static uint8_t storage[512];
    const struct fuzz_member members[] = {
        {"archive/data.pkl",  pickle,   n             },
        {"archive/byteorder", "little", 6             },
        {"archive/data/0",    storage,  sizeof storage},
        {"archive/data/1",    storage,  64            },
        {"archive/data/2",    storage,  40            },
        {"archive/data/3",    storage,  24            },
        {"archive/version",   "3\n",    2             }
    };
    size_t n_zip;
    uint8_t *const zip = fuzz_zip(members, sizeof members / sizeof *members, &n_zip);
    const char *const path = fuzz_put("x.pt", zip, n_zip);
    free(zip);
    return path;
}

static const char *put_arrays(const uint8_t *bytes, size_t n)
{
    const size_t n_first = n == 0 ? 0 : (size_t)bytes[0] * 4 + 24;
    const size_t cut = n == 0 ? 0 : n - 1 < n_first ? n - 1 : n_first;
    const struct fuzz_member members[] = {
        {"W_enc.npy", bytes + (n > 0),       cut              },
        {"b.npy",     bytes + (n > 0) + cut, n - (n > 0) - cut}
    };
    size_t n_zip;
    uint8_t *const zip = fuzz_zip(members, 2, &n_zip);
    const char *const path = fuzz_put("x.npz", zip, n_zip);
    free(zip);
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct sae_tensors file = {0};
    struct sae_err err = {0};
    const char *path;
    if (n < 1)
        return 0;
    if (bytes[0] % 3 == 1)
        path = put_torch(bytes + 1, n - 1);
    else if (bytes[0] % 3 == 2)
        path = put_arrays(bytes + 1, n - 1);
    else
        path = fuzz_put("x.bin", bytes + 1, n - 1);
    if (fuzz_ok(sae_tensors_open(&file, path, &err), &err))
        look_at(&file);
    sae_tensors_close(&file);
    return 0;
}
