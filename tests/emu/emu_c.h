/* SPDX-License-Identifier: MIT */
/* emu_c : what tests in C ask of the emulated CUDA backend. */
#ifndef SAE_TESTS_EMU_EMU_C_H
#define SAE_TESTS_EMU_EMU_C_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/math/ops.h"

#ifdef __cplusplus
extern "C" {
#endif
/* The backend over the emulation; as the module of a build with CUDA has it. */
enum sae_status sae_cuda_open(const struct sae_ops **ret, struct sae_err *err);

void emu_reverse(bool reverse); /* the order of blocks and threads from now on */
size_t emu_launches(void);      /* kernels started so far */
size_t emu_waits(void);         /* times the host waited for the device so far */
/* Bytes of device memory from now on, less what is taken; 0: as at the start, 1 GiB. */
void emu_memory(size_t bytes);
/* The n-th wait for the device from now on (1 = next), and all after it, fail as on a device with a
 * fault: nothing arrives, and the status tells of an error. 0: none fails any more, all forgotten. */
void emu_fail_at(size_t n);
/* Between these the host reaches device memory too. */
void emu_open(void);
void emu_shut(void);
#ifdef __cplusplus
}
#endif
#endif /* SAE_TESTS_EMU_EMU_C_H */
