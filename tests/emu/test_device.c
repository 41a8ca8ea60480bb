/* SPDX-License-Identifier: MIT */
/* test_device : see the header. */
#include "tests/emu/test_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKIPPED = 77 };

static const struct sae_ops *device;
static bool is_real;

static int open_real(const char *test)
{
    static const char *const absent[] = {"not part of this build", "no NVIDIA driver", "no device"};
    struct sae_err err = {0};
    is_real = true;
    if (sae_ops_open_device(&device, "cuda", 0, NULL, &err) == SAE_OK)
        return 0;
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        if (strstr(err.msg, absent[i])) {
            printf("no device, nothing checked: %s\n", err.msg);
            return SKIPPED;
        }
    }
    fprintf(stderr, "%s: %s\n", test, err.msg);
    return 1;
}

int test_device_open(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--backend") != 0)
            continue;
        if (strcmp(argv[i + 1], "cuda") == 0)
            return open_real(argv[0]);
        fprintf(stderr, "%s: --backend %s: expected cuda\n", argv[0], argv[i + 1]);
        return 2;
    }
    return 0;
}

const struct sae_ops *test_device(void)
{
    struct sae_err err = {0};
    if (!device && sae_cuda_open(&device, &err) != SAE_OK) {
        fprintf(stderr, "the emulated device: %s\n", err.msg);
        abort();
    }
    return device;
}

bool test_device_is_emulated(void)
{
    return !is_real;
}
