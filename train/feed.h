/* SPDX-License-Identifier: MIT */
/* feed : what runs in one order of the activations share - batches and held-out rows, both in
 * training units (raw / norm). */
#ifndef SAE_TRAIN_FEED_H
#define SAE_TRAIN_FEED_H

#include "lib/base/err.h"
#include "lib/file/acts.h"
#include "lib/math/ops.h"
#include "train/settings.h"

struct feed {
    struct sae_acts *acts; /* borrowed */
    struct sae_acts_stream *stream;
    struct sae_acts_prefetch *prefetch; /* opened by feed_begin */
    struct rows *rows;    /* where the backend is a device: what it holds (rows.h) */
    double reserve_bytes; /* before feed_begin: device memory that the runs need besides */
    size_t n, d, n_held, n_train; /* n: rows of a batch */
    double norm;                  /* 0: feed_begin has not run */
    uint64_t step;                /* whose batch x holds; UINT64_MAX: none */
    const float *x; /* [n][d] in memory of the backend; borrowed */
    float *held;    /* [n_held][d] the last rows of the store */
};

/* Whether two runs can share a feed. */
bool feed_same(const struct settings *a, const struct settings *b);

SAE_MUST_CHECK enum sae_status feed_open(struct feed *ret, struct sae_acts *acts,
                                         const struct settings *set, struct sae_err *err);
void feed_close(struct feed *feed); /* accepts zeroed */
/* Fixes the norm (the given one, or if that is 0 the one that `set` asks for), reads the held-out
 * rows, and starts to prefetch. From here on every use of HDF5 holds sae_h5_lock.
 * Fails: SAE_ERANGE nothing but zeros; SAE_EFORMAT a row holds NaN or infinity */
SAE_MUST_CHECK enum sae_status feed_begin(struct feed *feed, const struct settings *set,
                                          const struct sae_ops *ops, double norm,
                                          struct sae_err *err);
/* feed->x becomes the batch of a step (0 is the first). */
SAE_MUST_CHECK enum sae_status feed_batch(struct feed *feed, uint64_t step, struct sae_err *err);
/* The present batch for the host, [n][d]. New memory. */
SAE_MUST_CHECK enum sae_status feed_host(float **ret, const struct feed *feed, struct sae_err *err);

#endif /* SAE_TRAIN_FEED_H */
