/* SPDX-License-Identifier: MIT */
/* arch : the table of rows. */
#include "train/arch/arch.h"

#define ROW(ID, row, name) [TRAIN_##ID] = &train_arch_##row,
#define NAME(ID, row, name) [TRAIN_##ID] = name,

const struct train_arch *const train_archs[TRAIN_ARCH_N] = {TRAIN_ARCHS(ROW)};
const char *const train_arch_names[TRAIN_ARCH_N + 1] = {TRAIN_ARCHS(NAME)};
