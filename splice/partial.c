/* SPDX-License-Identifier: MIT */
/* partial : see the header. */
#include "splice/partial.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/file/h5.h"

static const char kind[] = "core part";

void splice_partial_key(char key[SAE_DIGEST_HEX], const char *ckpt_id, const char *model_id,
                        struct sae_hook hook, const struct splice_text *text, size_t batch)
{
    const uint64_t shape[] = {hook.layer, hook.point, text->n, text->context, batch};
    struct sae_digest digest;
    sae_digest_init(&digest);
    sae_digest_update(&digest, SAE_VERSION, strlen(SAE_VERSION));
    sae_digest_update(&digest, ckpt_id, strlen(ckpt_id));
    sae_digest_update(&digest, model_id, strlen(model_id));
    sae_digest_update(&digest, shape, sizeof shape);
    sae_digest_update(&digest, text->ids, text->n * text->context * sizeof *text->ids);
    sae_digest_hex(&digest, key);
}

/* The sums in a fixed order; what a batch in progress holds is not among them. */
enum { N_SUMS = 15 };
static void list_sums(double *list[N_SUMS], struct splice_sums *a)
{
    struct splice_stats *s = &a->stats;
    double *const all[N_SUMS] = {&a->ce,           &a->kl,   &s->l2_in,      &s->l2_out,
                                 &s->ratio,        &s->l0,   &s->l1,         &s->cos,
                                 &s->legacy,       &s->mse,  &s->error,      &s->square,
                                 &s->batch_square, &s->bias, &s->batch_error};
    memcpy(list, all, sizeof all);
}

enum sae_status splice_partial_save(const char *path, const char *key,
                                    const struct splice_sums *sums, struct sae_err *err)
{
    struct splice_sums copy = *sums; /* list_sums wants something it may write to */
    const struct splice_stats *stats = &sums->stats;
    const uint64_t counts[] = {sums->n_done, stats->n, stats->n_batches};
    double *at[N_SUMS], values[N_SUMS];
    struct sae_h5 *h5 = NULL;
    enum sae_status st = SAE_OK;
    list_sums(at, &copy);
    for (size_t i = 0; i < N_SUMS; i++)
        values[i] = *at[i];
    SAE_GO(st, sae_h5_create(&h5, path, kind, true, err));
    SAE_GO(st, sae_h5_attr_put_str(h5, "/", "key", key, err));
    SAE_GO(st, sae_h5_put1(h5, "/counts", SAE_H5_U64, 3, counts, err));
    SAE_GO(st, sae_h5_put1(h5, "/sums", SAE_H5_F64, N_SUMS, values, err));
    SAE_GO(st, sae_h5_put1(h5, "/sum", SAE_H5_F64, stats->d, stats->sum, err));
    SAE_GO(st, sae_h5_put1(h5, "/active", SAE_H5_U64, stats->m, stats->active, err));
    SAE_GO(st, sae_h5_put1(h5, "/contexts", SAE_H5_U64, stats->m, stats->contexts, err));
    SAE_GO(st, sae_h5_put1(h5, "/last", SAE_H5_U64, stats->m, stats->last, err));
    st = sae_h5_commit(&h5, "{}", err);
done:
    sae_h5_close(h5);
    return st;
}

/* Everything is read before anything is taken over: a damaged file costs its work and no more. */
static enum sae_status read_partial(struct splice_sums *sums, const struct sae_h5 *h5,
                                    const char *key, struct sae_err *err)
{
    struct splice_stats *stats = &sums->stats;
    const size_t d = stats->d, m = stats->m;
    struct splice_stats read = {0};
    uint64_t *counts = NULL;
    double *values = NULL, *at[N_SUMS];
    char *found = NULL;
    enum sae_status st = SAE_OK;
    SAE_GO(st, sae_h5_attr_str(h5, "/", "key", &found, err));
    if (strcmp(found, key) != 0) {
        st = sae_err_set(err, SAE_EARG, "another pass");
        goto done;
    }
    SAE_GO(st, sae_h5_get(h5, "/counts", SAE_H5_U64, 1, (size_t[]){3}, NULL, &counts, err));
    SAE_GO(st, sae_h5_get(h5, "/sums", SAE_H5_F64, 1, (size_t[]){N_SUMS}, NULL, &values, err));
    SAE_GO(st, sae_h5_get(h5, "/sum", SAE_H5_F64, 1, &d, NULL, &read.sum, err));
    SAE_GO(st, sae_h5_get(h5, "/active", SAE_H5_U64, 1, &m, NULL, &read.active, err));
    SAE_GO(st, sae_h5_get(h5, "/contexts", SAE_H5_U64, 1, &m, NULL, &read.contexts, err));
    SAE_GO(st, sae_h5_get(h5, "/last", SAE_H5_U64, 1, &m, NULL, &read.last, err));
    memcpy(stats->sum, read.sum, d * sizeof *read.sum);
    memcpy(stats->active, read.active, m * sizeof *read.active);
    memcpy(stats->contexts, read.contexts, m * sizeof *read.contexts);
    memcpy(stats->last, read.last, m * sizeof *read.last);
    sums->n_done = counts[0];
    stats->n = counts[1];
    stats->n_batches = counts[2];
    list_sums(at, sums);
    for (size_t i = 0; i < N_SUMS; i++)
        *at[i] = values[i];
done:
    splice_stats_clear(&read);
    free(counts);
    free(values);
    free(found);
    return st;
}

enum sae_status splice_partial_load(struct splice_sums *sums, const char *path, const char *key,
                                    struct sae_err *err)
{
    struct sae_h5 *h5 = NULL;
    struct sae_err why;
    if (!sae_fs_is_file(path))
        return SAE_OK;
    enum sae_status st = sae_h5_open(&h5, path, kind, &why);
    if (st == SAE_OK)
        st = read_partial(sums, h5, key, &why);
    sae_h5_close(h5);
    if (st == SAE_ENOMEM)
        return sae_err_set(err, SAE_ENOMEM, "%s", why.msg);
    if (st != SAE_OK && st != SAE_EARG)
        sae_log_warn("%s; starting this checkpoint's pass again", why.msg);
    return SAE_OK;
}
