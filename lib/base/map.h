/* SPDX-License-Identifier: MIT */
/* map : a whole file as read-only memory. */
#ifndef SAE_LIB_BASE_MAP_H
#define SAE_LIB_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

struct sae_map {
    const uint8_t *bytes; /* NULL where the file is empty */
    size_t n;
};

/* Maps a regular file. Fails: SAE_EIO; SAE_EFORMAT it is a folder, a pipe, a device */
SAE_MUST_CHECK enum sae_status sae_map_open(struct sae_map *ret, const char *path,
                                            struct sae_err *err);
/* Gives back the memory of what was read and will not be read soon: [at, at + n) of a map, which stays
 * readable. For files larger than memory. */
void sae_map_drop(const uint8_t *at, size_t n);
void sae_map_close(struct sae_map *map); /* accepts zeroed */

#endif /* SAE_LIB_BASE_MAP_H */
