/* SPDX-License-Identifier: MIT */
/* kernels : the sources of the CUDA backend as plain C++, all but gpu.cu and gpu_solver.cu. */
#include "lib/math/cuda/cuda.cu"
#include "lib/math/cuda/cuda_arch.cu"
#include "lib/math/cuda/cuda_compete.cu"
#include "lib/math/cuda/cuda_group.cu"
#include "lib/math/cuda/cuda_hist.cu"
#include "lib/math/cuda/cuda_ortsae.cu"
#include "lib/math/cuda/cuda_rows.cu"
#include "lib/math/cuda/cuda_select.cu"
#include "lib/math/cuda/cuda_sparse.cu"
#include "lib/math/cuda/cuda_spectrum.cu"
#include "lib/math/cuda/cuda_step.cu"
