/* SPDX-License-Identifier: MIT */
/* backend : what --backend names, for a program that can use a device. */
#ifndef SAE_LIB_CLI_BACKEND_H
#define SAE_LIB_CLI_BACKEND_H

#include "lib/cli/opt.h"
#include "lib/math/ops.h"

/* As sae_ops_open_device; tells on stderr when it is a device, and why it is none where a device was
 * looked for. Fails: SAE_EBACKEND, SAE_EARG */
SAE_MUST_CHECK enum sae_status sae_cli_backend(const struct sae_ops **ret,
                                               const struct sae_cli *cli, struct sae_err *err);

#endif /* SAE_LIB_CLI_BACKEND_H */
