/* SPDX-License-Identifier: MIT */
/* backend : see the header. */
#include "lib/cli/backend.h"

#include <stdio.h>

#include "lib/base/log.h"

/* with: what is to be said of the device besides. That a machine without a driver computes on the
 * cpu is no news; that one with a driver does is. */
static void log_backend(const struct sae_ops *ops, const struct sae_err *fallback_reason,
                        const char *what, const char *with)
{
    if (!ops->host)
        sae_log_info("%son the device%s", what, with);
    else if (fallback_reason->msg[0])
        (sae_ops_driver() ? sae_log_info : sae_log_debug)("%s; %son the cpu", fallback_reason->msg,
                                                          what);
}

enum sae_status sae_cli_backend(const struct sae_ops **ret, const struct sae_cli *cli,
                                const char *what, struct sae_err *err)
{
    struct sae_err fallback_reason;
    SAE_TRY(sae_ops_open_device(ret, cli->backend, (size_t)cli->threads, &fallback_reason, err));
    log_backend(*ret, &fallback_reason, what, "");
    return SAE_OK;
}

enum sae_status sae_cli_lm_backend(const struct sae_ops **ret, const struct sae_cli *cli, int *matmul,
                                   struct sae_err *err)
{
    const struct sae_ops *ops = NULL;
    struct sae_err fallback_reason;
    char with[40];
    SAE_TRY(sae_lm_open_ops(&ops, cli->backend, (enum sae_precision)*matmul, (size_t)cli->threads,
                            &fallback_reason, err));
    if (ops->host && !sae_opt_given(cli, "matmul"))
        *matmul = SAE_F32;
    if (ops->host && *matmul == SAE_TF32)
        return sae_err_set(err, SAE_EARG,
                           "--matmul tf32 needs --backend cuda; the cpu computes in f32 or bf16");
    snprintf(with, sizeof with, ", with factors in %s", sae_precision_names[*matmul]);
    log_backend(ops, &fallback_reason, "the language model runs ", with);
    *ret = ops;
    return SAE_OK;
}
