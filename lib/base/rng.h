/* SPDX-License-Identifier: MIT */
/* rng : random numbers by counter. The i-th number of a stream is a pure function of
 * (seed, stream, i): nothing to store but the counter, equal on every machine and thread count.
 * The generator is Philox4x32-10 (Salmon et al., SC 2011). */
#ifndef SAE_LIB_BASE_RNG_H
#define SAE_LIB_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* One stream. Plain data: copy it, save it, restore it. */
struct sae_rng {
    uint64_t seed;
    uint64_t stream;
    uint64_t counter; /* 64-bit numbers drawn so far */
};

/* Streams in use; each purpose has its own, so that adding a draw to one moves no other. */
enum sae_rng_stream {
    SAE_RNG_INIT = 1,  /* weight initialisation */
    SAE_RNG_ORDER,     /* order of training data */
    SAE_RNG_PAIRS,     /* representative pairs */
    SAE_RNG_WORDS,     /* in-context examples, word splits */
    SAE_RNG_PROBE,     /* negatives and shuffles of probing tasks */
    SAE_RNG_RESAMPLE,  /* resampling of dead latents */
    SAE_RNG_ABSORB,    /* absorption probes */
    SAE_RNG_CHUNKS,    /* random partitions of latents */
    SAE_RNG_AUTOINTERP, /* latents and excerpts of automated interpretability */
    SAE_RNG_UNLEARN,   /* draws of text for unlearning */
    SAE_RNG_ABLATE,    /* probes of the ablation evaluations */
    SAE_RNG_MATCH,     /* random dictionaries that matchings are held against */
    SAE_RNG_TEST = 1000
};

struct sae_rng sae_rng_make(uint64_t seed, uint64_t stream);
uint64_t sae_rng_at(uint64_t seed, uint64_t stream, uint64_t index); /* the index-th number */
uint64_t sae_rng_u64(struct sae_rng *rng);
uint64_t sae_rng_below(struct sae_rng *rng, uint64_t n); /* uniform in [0, n), unbiased; n > 0 */
double sae_rng_uniform(struct sae_rng *rng);             /* [0, 1), 53 bits */
double sae_rng_normal(struct sae_rng *rng);              /* Box-Muller, two draws a number */
void sae_rng_shuffle_u32(struct sae_rng *rng, uint32_t *a, size_t n); /* Fisher-Yates */

#endif /* SAE_LIB_BASE_RNG_H */
