/* SPDX-License-Identifier: MIT */
/* cuda_lm : the table of the language model on an NVIDIA device. Internal to lib/math/cuda. */
#ifndef SAE_LIB_MATH_CUDA_CUDA_LM_H
#define SAE_LIB_MATH_CUDA_CUDA_LM_H

#include "lib/math/lm.h"

extern "C" const struct sae_lm_ops sae_lm_cuda; /* usable once sae_gpu_open was */

#endif /* SAE_LIB_MATH_CUDA_CUDA_LM_H */
