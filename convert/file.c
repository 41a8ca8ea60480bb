/* SPDX-License-Identifier: MIT */
/* file : a large file that is written row by row, whole or not at all. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/convert.h"
#include "lib/base/fs.h"
#include "lib/base/part.h"

enum sae_status convert_cannot_write(const char *path, struct sae_err *err)
{
    return sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path, strerror(errno));
}

enum sae_status convert_put(FILE *to, const char *path, const void *data, size_t n,
                            struct sae_err *err)
{
    return fwrite(data, 1, n, to) == n ? SAE_OK : convert_cannot_write(path, err);
}

enum sae_status convert_check_disk(const char *path, double need, const char *hint,
                                   struct sae_err *err)
{
    char *dir = NULL;
    SAE_TRY(sae_fs_dir(&dir, path, err));
    const double free_bytes = sae_fs_free_bytes(dir);
    free(dir);
    if (free_bytes < 0 || need <= free_bytes)
        return SAE_OK;
    return sae_err_set(err, SAE_EIO, "'%s' will take %.1f GB, but only %.1f GB are free%s", path,
                       need / 1e9, free_bytes / 1e9, hint);
}

enum sae_status convert_finish(FILE *f, const char *part, const char *path, bool force,
                               enum sae_status st, struct sae_err *err)
{
    if (fclose(f) != 0 && st == SAE_OK)
        st = convert_cannot_write(path, err);
    if (st == SAE_OK)
        return sae_part_publish(part, path, force, err);
    unlink(part);
    return st;
}
