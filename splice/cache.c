/* SPDX-License-Identifier: MIT */
/* cache : see the header. */
#include "splice/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/file/h5.h"

static const char kind[] = "reference";

enum sae_status splice_baseline_init(struct splice_baseline *ret, size_t n, size_t D, size_t width,
                                     bool branch, struct sae_err *err)
{
    struct splice_baseline baseline = {.D = D, .width = width};
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_mem_alloc(&baseline.x, n, width * sizeof *baseline.x, err));
    if (branch)
        SAE_GO(st, sae_mem_alloc(&baseline.beside, n, D * sizeof *baseline.beside, err));
    SAE_GO(st, sae_mem_alloc(&baseline.final, n, D * sizeof *baseline.final, err));
    SAE_GO(st, sae_mem_alloc(&baseline.ce_clean, n, sizeof *baseline.ce_clean, err));
    SAE_GO(st, sae_mem_alloc(&baseline.ce_ablated, n, sizeof *baseline.ce_ablated, err));
    SAE_GO(st, sae_mem_alloc(&baseline.kl_ablated, n, sizeof *baseline.kl_ablated, err));
    *ret = baseline;
    return SAE_OK;
done:
    splice_baseline_clear(&baseline);
    return st;
}

void splice_baseline_clear(struct splice_baseline *baseline)
{
    free(baseline->x);
    free(baseline->beside);
    free(baseline->final);
    free(baseline->ce_clean);
    free(baseline->ce_ablated);
    free(baseline->kl_ablated);
    *baseline = (struct splice_baseline){0};
}

static enum sae_status path_of(char **ret, const struct splice_baseline *baseline,
                               const struct splice_cache *cache, const uint32_t *ids,
                               struct sae_err *err)
{
    const uint64_t shape[] = {cache->hook.layer, baseline->B, baseline->T, baseline->D};
    const char *const point = sae_points[cache->hook.point].name;
    char hex[SAE_DIGEST_HEX], name[32];
    struct sae_digest digest;
    sae_digest_init(&digest);
    sae_digest_update(&digest, cache->model_id, strlen(cache->model_id));
    sae_digest_update(&digest, shape, sizeof shape);
    if (cache->hook.point != SAE_RESID_POST) /* the names of these are older than the others */
        sae_digest_update(&digest, point, strlen(point));
    sae_digest_update(&digest, ids, baseline->B * baseline->T * sizeof *ids);
    sae_digest_hex(&digest, hex);
    snprintf(name, sizeof name, "%.20s.h5", hex);
    return sae_fs_join(ret, cache->dir, name, err);
}

/* --- reading ------------------------------------------------------------------------------ */

static enum sae_status check_head(const struct sae_h5 *h5, const struct splice_baseline *baseline,
                                  const struct splice_cache *cache, const uint32_t *ids,
                                  struct sae_err *err)
{
    const size_t want[] = {baseline->B, baseline->T};
    uint64_t layer = 0;
    const bool post = cache->hook.point == SAE_RESID_POST;
    char *model = NULL, *point = NULL;
    uint32_t *found = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_h5_attr_str(h5, "/", "model_id", &model, err));
    SAE_GO(st, sae_h5_attr_u64(h5, "/", "layer", &layer, err));
    if (!post)
        SAE_GO(st, sae_h5_attr_str(h5, "/", "point", &point, err));
    SAE_GO(st, sae_h5_get(h5, "/ids", SAE_H5_U32, 2, want, NULL, &found, err));
    if (strcmp(model, cache->model_id) != 0 || layer != cache->hook.layer ||
        (!post && strcmp(point, sae_points[cache->hook.point].name) != 0) ||
        memcmp(found, ids, baseline->B * baseline->T * sizeof *ids) != 0)
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is of another model, hook or text",
                         sae_h5_path(h5));
done:
    free(model);
    free(point);
    free(found);
    return st;
}

static enum sae_status read_matrix(float *to, size_t width, const struct sae_h5 *h5,
                                   const char *name, const struct splice_baseline *baseline,
                                   struct sae_err *err)
{
    size_t dims[2];
    SAE_TRY(sae_h5_shape(h5, name, 2, dims, err));
    if (dims[0] != baseline->B * baseline->T || dims[1] != width)
        return sae_err_set(err, SAE_EFORMAT, "%s of '%s' is %zu x %zu", name, sae_h5_path(h5),
                           dims[0], dims[1]);
    return sae_h5_read_rows(h5, name, SAE_H5_F32, 0, dims[0], to, err);
}

static enum sae_status read_column(double *to, const struct sae_h5 *h5, const char *name,
                                   const struct splice_baseline *baseline, struct sae_err *err)
{
    size_t n;
    SAE_TRY(sae_h5_shape(h5, name, 1, &n, err));
    if (n != baseline->B * baseline->T)
        return sae_err_set(err, SAE_EFORMAT, "%s of '%s' has %zu rows", name, sae_h5_path(h5), n);
    return sae_h5_read_rows(h5, name, SAE_H5_F64, 0, n, to, err);
}

static enum sae_status read_all(struct splice_baseline *baseline, const char *path,
                                const struct splice_cache *cache, const uint32_t *ids,
                                struct sae_err *err)
{
    struct sae_h5 *h5 = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_h5_open(&h5, path, kind, err));
    SAE_GO(st, check_head(h5, baseline, cache, ids, err));
    SAE_GO(st, read_matrix(baseline->x, baseline->width, h5, "/x", baseline, err));
    if (baseline->beside != NULL)
        SAE_GO(st, read_matrix(baseline->beside, baseline->D, h5, "/beside", baseline, err));
    SAE_GO(st, read_matrix(baseline->final, baseline->D, h5, "/final", baseline, err));
    SAE_GO(st, read_column(baseline->ce_clean, h5, "/ce_clean", baseline, err));
    SAE_GO(st, read_column(baseline->ce_ablated, h5, "/ce_ablated", baseline, err));
    SAE_GO(st, read_column(baseline->kl_ablated, h5, "/kl_ablated", baseline, err));
done:
    sae_h5_close(h5);
    return st;
}

enum sae_status splice_cache_load(struct splice_baseline *baseline, bool *ret_found,
                                  const struct splice_cache *cache, const uint32_t *ids,
                                  struct sae_err *err)
{
    char *path = NULL;
    struct sae_err why;
    *ret_found = false;
    if (cache->dir == NULL)
        return SAE_OK;
    SAE_TRY(path_of(&path, baseline, cache, ids, err));
    if (sae_fs_is_file(path)) {
        *ret_found = read_all(baseline, path, cache, ids, &why) == SAE_OK;
        if (!*ret_found)
            sae_log_warn("%s; running the model again for this batch", why.msg);
    }
    free(path);
    return SAE_OK;
}

/* --- writing ------------------------------------------------------------------------------ */

enum sae_status splice_cache_save(const struct splice_baseline *baseline,
                                  const struct splice_cache *cache, const uint32_t *ids,
                                  struct sae_err *err)
{
    const size_t n = baseline->B * baseline->T;
    struct sae_h5 *h5 = NULL;
    char *path = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, path_of(&path, baseline, cache, ids, err));
    SAE_GO(st, sae_fs_make_dirs(cache->dir, err));
    SAE_GO(st, sae_h5_create(&h5, path, kind, true, err));
    SAE_GO(st, sae_h5_attr_put_str(h5, "/", "model_id", cache->model_id, err));
    SAE_GO(st, sae_h5_attr_put_u64(h5, "/", "layer", cache->hook.layer, err));
    if (cache->hook.point != SAE_RESID_POST)
        SAE_GO(st, sae_h5_attr_put_str(h5, "/", "point", sae_points[cache->hook.point].name, err));
    SAE_GO(st, sae_h5_put2(h5, "/ids", SAE_H5_U32, baseline->B, baseline->T, ids, err));
    SAE_GO(st, sae_h5_put2(h5, "/x", SAE_H5_F32, n, baseline->width, baseline->x, err));
    if (baseline->beside != NULL)
        SAE_GO(st, sae_h5_put2(h5, "/beside", SAE_H5_F32, n, baseline->D, baseline->beside, err));
    SAE_GO(st, sae_h5_put2(h5, "/final", SAE_H5_F32, n, baseline->D, baseline->final, err));
    SAE_GO(st, sae_h5_put1(h5, "/ce_clean", SAE_H5_F64, n, baseline->ce_clean, err));
    SAE_GO(st, sae_h5_put1(h5, "/ce_ablated", SAE_H5_F64, n, baseline->ce_ablated, err));
    SAE_GO(st, sae_h5_put1(h5, "/kl_ablated", SAE_H5_F64, n, baseline->kl_ablated, err));
    st = sae_h5_commit(&h5, "{}", err);
done:
    sae_h5_close(h5);
    free(path);
    return st;
}
