/* SPDX-License-Identifier: MIT */
/* shards : a store being written, shard by shard. Those that an earlier pass with an equal record left
 * whole are taken over; what lies there of another pass goes (--force) when the first shard is ready. */
#ifndef SAE_HARVEST_SHARDS_H
#define SAE_HARVEST_SHARDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/lock.h"
#include "lib/file/acts.h"

struct harvest_shards {
    const char *dir;
    size_t d, cap;               /* width; rows of a whole shard */
    const struct sae_lock *lock; /* of the folder; NULL: none is held */
    json_t *record;              /* that of the first shard if one is taken over */
    bool replaces;               /* --force */
    bool other_text;             /* shards follow that were made before the text was changed */
    bool renews;                 /* shards follow one that is missing or damaged: they are made again */
    size_t n_shards;
    uint64_t n_stored; /* rows of the shards that were taken over */
    /* the one being filled: its n, and its arrays, which are the four below */
    struct sae_acts_shard shard;
    uint16_t *rows, *position;  /* [cap][d], [cap] */
    uint32_t *token, *document; /* [cap] */
    double sum_norm, sum_square, max_norm; /* of the rows in shards */
};

/* min(65536, 128 MiB / (2 d)) */
size_t harvest_shards_rows(size_t d);

/* Allocates; dir, lock, record and replaces are set by the caller. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status harvest_shards_init(struct harvest_shards *s, size_t d, size_t cap,
                                                   struct sae_err *err);
void harvest_shards_clear(struct harvest_shards *s); /* accepts zeroed; record too */

/* A complete store with this record: *ret is the caller's to close. NULL: there is none.
 * Fails: SAE_EARG one with another record; as sae_acts_open */
SAE_MUST_CHECK enum sae_status harvest_shards_find_complete(struct sae_acts **ret,
                                                            const struct harvest_shards *s,
                                                            struct sae_err *err);
/* Takes over whole shards of an earlier pass, up to the first that is not there or cannot be read
 * (or, with other_text, is of another text). Those after it are made again. Fails: SAE_EARG one with another record; SAE_EFORMAT; SAE_EIO */
SAE_MUST_CHECK enum sae_status harvest_shards_adopt(struct harvest_shards *s, struct sae_err *err);

/* Writes the shard being filled, if it has rows, and empties it. */
SAE_MUST_CHECK enum sae_status harvest_shards_write(struct harvest_shards *s, struct sae_err *err);
/* Writes acts.json. Its record gets "totals": rows, shards, those of `more` (may be NULL), norms. */
SAE_MUST_CHECK enum sae_status harvest_shards_finish(struct harvest_shards *s, uint64_t n_rows,
                                                     const json_t *more, struct sae_err *err);

/* Call it before something is published. Fails: SAE_EIO the folder was taken over */
SAE_MUST_CHECK enum sae_status harvest_shards_check_lock(const struct harvest_shards *s,
                                                         struct sae_err *err);
void harvest_shards_add_norms(struct harvest_shards *s, const uint16_t *rows, size_t n);
SAE_MUST_CHECK enum sae_status harvest_shards_path(char **ret, const char *dir, size_t index,
                                                   struct sae_err *err);
SAE_MUST_CHECK enum sae_status harvest_shards_remove_file(const char *path, struct sae_err *err);

#endif /* SAE_HARVEST_SHARDS_H */
