/* SPDX-License-Identifier: MIT */
/* cache : see the header. */
#include "lib/file/cache.h"

#include <stdatomic.h>

#include "lib/base/log.h"
#include "lib/file/json.h"

enum sae_status sae_cache_wrote(enum sae_status st, const struct sae_err *why, struct sae_err *err)
{
    static atomic_flag warned = ATOMIC_FLAG_INIT;
    if (st == SAE_OK)
        return SAE_OK;
    if (st != SAE_EIO && st != SAE_EARG)
        return sae_err_set(err, st, "%s", why->msg);
    if (!atomic_flag_test_and_set(&warned))
        sae_log_warn("%s; the work continues, but a later run must repeat what this file would "
                     "have saved",
                     why->msg);
    return SAE_OK;
}

enum sae_status sae_cache_save(const char *path, const json_t *value, struct sae_err *err)
{
    struct sae_err why;
    if (value == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory writing '%s'", path);
    return sae_cache_wrote(sae_json_save(path, value, &why), &why, err);
}
