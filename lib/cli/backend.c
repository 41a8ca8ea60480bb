/* SPDX-License-Identifier: MIT */
/* backend : what --backend names. */
#include "lib/cli/backend.h"

#include "lib/base/log.h"

enum sae_status sae_cli_backend(const struct sae_ops **ret, const struct sae_cli *cli,
                                struct sae_err *err)
{
    struct sae_err instead;
    SAE_TRY(sae_ops_open_device(ret, cli->backend, (size_t)cli->threads, &instead, err));
    if (!(*ret)->host)
        sae_log_info("on the device");
    else if (instead.msg[0])
        sae_log_info("%s; on the cpu", instead.msg);
    return SAE_OK;
}
