/* SPDX-License-Identifier: MIT */
/* kernels_lm : those of the language model, which have names in common with the others. */
#include "lib/math/cuda/cuda_lm.cu"
