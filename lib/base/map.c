/* SPDX-License-Identifier: MIT */
/* map : a whole file as read-only memory. */
#include "lib/base/map.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fs.h"

enum sae_status sae_map_open(struct sae_map *ret, const char *path, struct sae_err *err)
{
    int fd;
    SAE_TRY(sae_fs_open(&fd, path, err));
    struct stat st;
    enum sae_status status = SAE_OK;
    struct sae_map map = {0};
    if (fstat(fd, &st) != 0) {
        status = sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        status = sae_err_set(err, SAE_EFORMAT, "'%s' is not a regular file", path);
    } else if (st.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            status = sae_err_set(err, SAE_EIO, "cannot map '%s': %s", path, strerror(errno));
        else
            map = (struct sae_map){bytes, (size_t)st.st_size};
    }
    close(fd);
    if (status == SAE_OK)
        *ret = map;
    return status;
}

void sae_map_drop(const uint8_t *at, size_t n)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t from = ((uintptr_t)at + page - 1) / page * page, to = ((uintptr_t)at + n) / page * page;
    if (from < to) /* whole pages; a failure costs memory and nothing else */
        (void)madvise((void *)from, to - from, MADV_DONTNEED);
}

void sae_map_close(struct sae_map *map)
{
    if (map->bytes != NULL)
        munmap((void *)(uintptr_t)map->bytes, map->n);
    *map = (struct sae_map){0};
}
