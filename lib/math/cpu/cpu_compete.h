/* SPDX-License-Identifier: MIT */
/* cpu_compete : which pairs compete, and how much, from masks. Internal to lib/math/cpu. */
#ifndef SAE_LIB_MATH_CPU_CPU_COMPETE_H
#define SAE_LIB_MATH_CPU_CPU_COMPETE_H

#include "lib/math/ops.h"
#include "lib/math/partners.h"

/* What is known of each latent alone. */
struct sae_cpu_singles {
    size_t m;
    const struct sae_overlap_masks *masks;
    const struct sae_compete_rule *rule;
    double *n; /* [m] */
    double B;
    float *part; /* [m] a latent's part of the count to exceed; infinite: never competes */
};

/* masks and rule must outlive it. Fails: SAE_ENOMEM; close in any case */
SAE_MUST_CHECK enum sae_status sae_cpu_singles_open(struct sae_cpu_singles *ret, size_t m,
                                                    const struct sae_overlap_masks *masks,
                                                    const struct sae_compete_rule *rule);
void sae_cpu_singles_close(struct sae_cpu_singles *s);

/* Competing pairs by their lower end i: entries [start[i], start[i+1]), idx ascending, > i. */
struct sae_cpu_pairs {
    size_t *start; /* [m+1] */
    uint32_t *idx; /* [n] the upper end */
    float *c;      /* [n] > 0 */
};

/* *ret_n: how many pairs compete. Where that is more than `most` they are only counted, and ret is
 * empty. Threads over latents; the result is in fixed order. Fails: SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_cpu_pairs_list(const struct sae_cpu_singles *s, size_t most,
                                                  struct sae_cpu_pairs *ret, size_t *ret_n);
void sae_cpu_pairs_clear(struct sae_cpu_pairs *pairs);

/* Coefficients a latent at a time, without lists: what one thread needs. */
struct sae_cpu_counter {
    struct sae_partners count;
    unsigned char *mark; /* [m / PARTNERS_BLOCK + 1] blocks in which a count passes */
};

/* Fails: SAE_ENOMEM; clear in any case */
SAE_MUST_CHECK enum sae_status sae_cpu_counter_init(struct sae_cpu_counter *ret,
                                                    const struct sae_cpu_singles *s);
void sae_cpu_counter_clear(struct sae_cpu_counter *counter);
/* c[j] = c_ij for i < j < m, 0 where a pair does not compete. */
void sae_cpu_counter_row(const struct sae_cpu_singles *s, size_t i,
                         struct sae_cpu_counter *counter, float *c);

#endif /* SAE_LIB_MATH_CPU_CPU_COMPETE_H */
