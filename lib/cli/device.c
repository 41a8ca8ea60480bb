/* SPDX-License-Identifier: MIT */
/* device : see the header. */
#include "lib/cli/device.h"

#include "lib/base/log.h"

const char *const sae_device_matmuls[] = {"f32", "tf32", "bf16", NULL};

enum sae_status sae_device_open(const struct sae_ops **ret, const struct sae_cli *cli,
                                enum sae_precision how, struct sae_err *err)
{
    const struct sae_ops *ops = NULL;
    struct sae_err instead;
    SAE_TRY(sae_lm_open(&ops, cli->backend, how, (size_t)cli->threads, &instead, err));
    if (ops->host && how != SAE_F32 && sae_opt_given(cli, "matmul"))
        return sae_err_set(err, SAE_EARG, "--matmul %s needs --backend cuda; the cpu computes in f32",
                           sae_device_matmuls[how]);
    if (!ops->host)
        sae_log_info("the language model runs on the device, with factors in %s",
                     sae_device_matmuls[how]);
    else if (instead.msg[0])
        sae_log_info("%s; the language model runs on the cpu", instead.msg);
    *ret = ops;
    return SAE_OK;
}
