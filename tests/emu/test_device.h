/* SPDX-License-Identifier: MIT */
/* test_device : the device that a test of the CUDA backend runs on: the emulated one, or with
 * `--backend cuda` on its command line the one of this machine, through saecuda.so. */
#ifndef SAE_TESTS_EMU_TEST_DEVICE_H
#define SAE_TESTS_EMU_TEST_DEVICE_H

#include <stdbool.h>

#include "tests/emu/emu_c.h"

/* Opens it. Returns 0, or the status with which the test ends at once: 77 (skipped) where the
 * machine has no device, 1 where it cannot be used, 2 for another backend's name. */
int test_device_open(int argc, char **argv);

/* The device that was opened; the emulated one where test_device_open was not called. */
const struct sae_ops *test_device(void);

/* Whether what emu_c.h offers (orders, counts, little memory, failures) has an effect. */
bool test_device_is_emulated(void);

#endif /* SAE_TESTS_EMU_TEST_DEVICE_H */
