/* SPDX-License-Identifier: MIT */
/* backend : what --backend names, for a program that can use a device; of one that runs a language model
 * also --matmul. */
#ifndef SAE_LIB_CLI_BACKEND_H
#define SAE_LIB_CLI_BACKEND_H

#include "lib/cli/opt.h"
#include "lib/math/lm.h"

/* As sae_ops_open_device. Prints on stderr that a device was taken, or why not; on a machine
 * without a driver the reason is printed under --verbose only. what: "training " or the like,
 * before "on the device". Fails: SAE_EBACKEND, SAE_EARG */
SAE_MUST_CHECK enum sae_status sae_cli_backend(const struct sae_ops **ret,
                                               const struct sae_cli *cli, const char *what,
                                               struct sae_err *err);

/* The row of --matmul in a program's table; `to` is an int, an index of enum sae_precision. Not
 * recorded: what was computed in is sae_lm_numerics, which results name. */
#define SAE_CLI_LM_MATMUL(to, group)                                                               \
    {                                                                                              \
        "matmul", 0, SAE_OPT_ENUM, to, "bf16", sae_precision_names, 0, 0, "TYPE", group,           \
            "operand type of the language model's matrix products; accumulation is f32. "          \
            "The default is that of a GPU; on the CPU it is f32, and tf32 is refused",             \
            SAE_OPT_UNRECORDED                                                                     \
    }

/* Likewise by sae_lm_open_ops. *matmul, of that row, becomes f32 on the CPU unless it was given.
 * Fails: also SAE_EARG --matmul tf32 was given and there is no device */
SAE_MUST_CHECK enum sae_status sae_cli_lm_backend(const struct sae_ops **ret,
                                                  const struct sae_cli *cli, int *matmul,
                                                  struct sae_err *err);

#endif /* SAE_LIB_CLI_BACKEND_H */
