/* SPDX-License-Identifier: MIT */
/* cache : see the header. */
#include "absorb/cache.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/file/h5.h"

static const char kind[] = "truth";

enum sae_status absorb_cache_path(char **ret, const char *words_path, const struct sae_words *words,
                                 const struct absorb_settings *s, struct sae_err *err)
{
    const uint64_t how[] = {s->seed, s->truth_epochs, s->truth_batch};
    const size_t len = strlen(words_path);
    const int stem = (int)(len > 3 && strcmp(words_path + len - 3, ".h5") == 0 ? len - 3 : len);
    char hex[SAE_DIGEST_HEX];
    struct sae_digest digest;
    struct sae_str path = {0};
    sae_digest_init(&digest);
    sae_digest_update(&digest, SAE_VERSION, strlen(SAE_VERSION));
    sae_digest_update(&digest, words->id, strlen(words->id));
    sae_digest_update(&digest, how, sizeof how);
    sae_digest_hex(&digest, hex);
    SAE_TRY(sae_str_printf(&path, err, "%.*s.truth_%.8s.h5", stem, words_path, hex));
    *ret = path.s;
    return SAE_OK;
}

static enum sae_status read_truth(struct absorb_probe *ret, const char *path, size_t d,
                                  struct sae_err *err)
{
    struct sae_h5 *h5 = NULL;
    struct absorb_probe probe = {.width = d};
    float *b = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_h5_open(&h5, path, kind, err));
    SAE_GO(st, sae_h5_get(h5, "/w", SAE_H5_F32, 2, (size_t[]){ABSORB_LETTERS, d}, NULL, &probe.w,
                          err));
    SAE_GO(st, sae_h5_get(h5, "/b", SAE_H5_F32, 1, (size_t[]){ABSORB_LETTERS}, NULL, &b, err));
    memcpy(probe.b, b, sizeof probe.b);
    *ret = probe;
    probe.w = NULL;
done:
    absorb_probe_clear(&probe);
    free(b);
    sae_h5_close(h5);
    return st;
}

enum sae_status absorb_cache_load(struct absorb_probe *ret, bool *ret_found, const char *path,
                                 const struct sae_words *words, struct sae_err *err)
{
    struct sae_err why;
    *ret_found = false;
    if (!sae_fs_is_file(path))
        return SAE_OK;
    const enum sae_status st = read_truth(ret, path, words->d, &why);
    if (st == SAE_ENOMEM)
        return sae_err_set(err, st, "%s", why.msg);
    *ret_found = st == SAE_OK;
    if (st != SAE_OK)
        sae_log_warn("%s; training the ground-truth probe again", why.msg);
    return SAE_OK;
}

enum sae_status absorb_cache_save(const char *path, const struct absorb_probe *probe,
                                 struct sae_err *err)
{
    struct sae_h5 *h5 = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_h5_create(&h5, path, kind, true, err));
    SAE_GO(st, sae_h5_put2(h5, "/w", SAE_H5_F32, ABSORB_LETTERS, probe->width, probe->w, err));
    SAE_GO(st, sae_h5_put1(h5, "/b", SAE_H5_F32, ABSORB_LETTERS, probe->b, err));
    st = sae_h5_commit(&h5, "{}", err);
done:
    sae_h5_close(h5);
    return st;
}
