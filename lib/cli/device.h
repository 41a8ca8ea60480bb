/* SPDX-License-Identifier: MIT */
/* device : the backend of a program that runs a language model: --backend and --matmul. */
#ifndef SAE_LIB_CLI_DEVICE_H
#define SAE_LIB_CLI_DEVICE_H

#include "lib/cli/opt.h"
#include "lib/math/lm.h"

/* The row of --matmul in a program's table; `to` is an int, an index of enum sae_precision. Not
 * recorded: what was computed in is gemma_model_numerics, which results name. */
extern const char *const sae_device_matmuls[];
#define SAE_DEVICE_MATMUL(to, group)                                                               \
    {                                                                                              \
        "matmul", 0, SAE_OPT_ENUM, to, "bf16", sae_device_matmuls, 0, 0, "TYPE", group,            \
            "factors of the language model's products on a device; sums are f32 always, and on "   \
            "the cpu all is", SAE_OPT_UNRECORDED                                                                    \
    }

/* Opens --backend as sae_lm_open does, and says on stderr where the language model runs if that is
 * not what everybody expects. Fails: also SAE_EARG --matmul was asked for and there is no device */
SAE_MUST_CHECK enum sae_status sae_device_open(const struct sae_ops **ret,
                                               const struct sae_cli *cli, enum sae_precision how,
                                               struct sae_err *err);

#endif /* SAE_LIB_CLI_DEVICE_H */
