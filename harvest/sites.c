/* SPDX-License-Identifier: MIT */
/* sites : hooks, taps and folders of one command. */
#include "harvest/sites.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"

static enum sae_status add(struct harvest_sites *sites, struct sae_hook hook, struct sae_err *err)
{
    char a[SAE_HOOK_NAME], b[SAE_HOOK_NAME];
    for (size_t i = 0; i < sites->n; i++)
        if (sae_hook_same(sites->v[i].hook, hook))
            return sae_err_set(err, SAE_EARG,
                               "--layer, --hook: '%s' and '%s' are one place; name it once",
                               sae_hook_name(a, sites->v[i].hook), sae_hook_name(b, hook));
    sites->v[sites->n++].hook = hook;
    return SAE_OK;
}

/* One value of --hook: a whole name, or a point at every layer. */
static enum sae_status add_named(struct harvest_sites *sites, const struct sae_u64s *layers,
                                 const char *name, bool *points, struct sae_err *err)
{
    struct sae_hook hook;
    bool whole;
    SAE_TRY(sae_hook_option(&hook, &whole, name, err));
    if (whole)
        return add(sites, hook, err);
    *points = true;
    if (layers->n == 0)
        return sae_err_set(err, SAE_EARG, "--hook %s: of which layer? give --layer L", name);
    for (size_t i = 0; i < layers->n; i++) {
        hook.layer = (size_t)layers->v[i];
        SAE_TRY(add(sites, hook, err));
    }
    return SAE_OK;
}

enum sae_status harvest_sites_choose(struct harvest_sites *ret, const struct sae_u64s *layers,
                                     const struct sae_strs *hooks, struct sae_err *err)
{
    struct harvest_sites sites = {0};
    bool points = hooks->n == 0;
    enum sae_status st;
    SAE_GO(st, sae_mem_alloc(&sites.v, (layers->n + 1) * (hooks->n + 1), sizeof *sites.v, err));
    for (size_t i = 0; i < layers->n && points; i++)
        SAE_GO(st, add(&sites, sae_resid_post((size_t)layers->v[i]), err));
    for (size_t i = 0; i < hooks->n; i++)
        SAE_GO(st, add_named(&sites, layers, hooks->v[i], &points, err));
    if (layers->n > 0 && !points) {
        st = sae_err_set(
            err, SAE_EARG,
            "--layer has no meaning with --hook %s, which names its layer; leave it out, or "
            "name the point alone",
            hooks->v[0]);
        goto done;
    }
    *ret = sites;
    return SAE_OK;
done:
    free(sites.v);
    return st;
}

enum sae_status harvest_sites_open(struct harvest_sites *sites, const char *model, const char *dir,
                                   struct sae_err *err)
{
    char name[SAE_HOOK_NAME];
    for (size_t i = 0; i < sites->n; i++) {
        struct harvest_site *const site = &sites->v[i];
        SAE_TRY(i == 0 ? harvest_tap_open(&site->tap, model, site->hook, err)
                       : harvest_tap_share(&site->tap, &sites->v->tap, site->hook, err));
        SAE_TRY(sites->n == 1 ? sae_mem_strdup(&site->dir, dir, err)
                              : sae_fs_join(&site->dir, dir, sae_hook_name(name, site->hook), err));
    }
    return SAE_OK;
}

enum sae_status harvest_sites_lock(struct harvest_sites *sites, const char *dir,
                                   struct sae_err *err)
{
    sites->made_dir = sites->n > 1 && !sae_fs_is_dir(dir);
    for (size_t i = 0; i < sites->n; i++) {
        struct harvest_site *const site = &sites->v[i];
        site->made_dir = !sae_fs_is_dir(site->dir);
        SAE_TRY(sae_fs_make_dirs(site->dir, err));
        const enum sae_status st = sae_lock_take(&site->lock, site->dir, "sae-harvest", err);
        site->tap.lock = site->lock;
        if (st != SAE_OK && st != SAE_EIO)
            return st;
    }
    return SAE_OK;
}

void harvest_sites_close(struct harvest_sites *sites, const char *dir, bool failed)
{
    for (size_t i = sites->n; i > 0; i--) { /* the first owns the model */
        struct harvest_site *const site = &sites->v[i - 1];
        harvest_tap_close(&site->tap);
        sae_lock_release(site->lock);
        if (failed && site->made_dir)
            (void)rmdir(site->dir); /* fails where something is in it, as it should */
        free(site->dir);
    }
    if (failed && sites->made_dir)
        (void)rmdir(dir);
    free(sites->v);
    *sites = (struct harvest_sites){0};
}
