/* SPDX-License-Identifier: MIT */
/* sites : the hooks that one command harvests, each with its tap and its folder. A single one
 * writes into the output folder itself; of several each has a folder of its hook's name in it. */
#ifndef SAE_HARVEST_SITES_H
#define SAE_HARVEST_SITES_H

#include <stdbool.h>
#include <stddef.h>

#include "harvest/tap.h"
#include "lib/base/err.h"
#include "lib/base/lock.h"
#include "lib/cli/opt.h"

struct harvest_site {
    struct sae_hook hook;
    struct harvest_tap tap; /* of the first: it owns the model */
    char *dir;
    struct sae_lock *lock; /* of the folder; NULL where it cannot be written */
    bool made_dir;         /* it was not there before; an empty one does not stay after an error */
};
struct harvest_sites {
    size_t n;
    struct harvest_site *v;
    bool made_dir; /* likewise, of the folder of several */
};

/* Those of --layer and --hook: every point named at every layer, and the whole names. Without
 * --hook resid_post. Fails: SAE_EARG a name of no hook, one place twice, a point without a layer or
 * a layer without a point */
SAE_MUST_CHECK enum sae_status harvest_sites_choose(struct harvest_sites *ret,
                                                    const struct sae_u64s *layers,
                                                    const struct sae_strs *hooks,
                                                    struct sae_err *err);
/* Opens the taps, and names the folders. Fails: as harvest_tap_open */
SAE_MUST_CHECK enum sae_status harvest_sites_open(struct harvest_sites *sites, const char *model,
                                                  const char *dir, struct sae_err *err);
/* Makes and locks the folders: one harvest at a time writes into one. One that cannot be written
 * may hold all that is asked for, complete; whoever writes finds out. Fails: as sae_lock_take */
SAE_MUST_CHECK enum sae_status harvest_sites_lock(struct harvest_sites *sites, const char *dir,
                                                  struct sae_err *err);
/* Unlocks and frees; failed: folders that this command made go again if nothing is in them.
 * Accepts zeroed. */
void harvest_sites_close(struct harvest_sites *sites, const char *dir, bool failed);

#endif /* SAE_HARVEST_SITES_H */
