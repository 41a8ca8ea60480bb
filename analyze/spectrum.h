/* SPDX-License-Identifier: MIT */
/* spectrum : eigenvalues of the d x d Gram matrix of the decoder's unit rows, and the ranks
 * read from them. Formulas: docs/MATH.md, "Separation metrics". */
#ifndef SAE_ANALYZE_SPECTRUM_H
#define SAE_ANALYZE_SPECTRUM_H

#include <stddef.h>

#include "lib/base/err.h"
#include "lib/math/ops.h"

/* Eigenvalues of U^T U, descending, in double (equal runs give equal bits).
 * U: host f32 [m][d]; eig: the caller's [d]. Tiny negative values are set to 0. Where a device has
 * no library for them the cpu finds them, with a warning.
 * Fails: SAE_ENOMEM, SAE_EBACKEND they are not found */
SAE_MUST_CHECK enum sae_status analyze_spectrum_eigenvalues(const struct sae_ops *ops, size_t m,
                                                            size_t d, const float *U, double *eig,
                                                            struct sae_err *err);

struct analyze_ranks {
    double frame_potential; /* sum l^2 = sum over all i, j of cos_ij^2 */
    double effective;       /* exp of the entropy of s / sum s, s = sqrt(l) */
    double participation;   /* (sum l)^2 / sum l^2 */
    double stable;          /* sum l / max l */
    double largest, smallest;
    double off_diagonal; /* sqrt(||U U^T - I||_F^2), from the frame potential */
};
/* eig descending, m the number of unit rows. */
void analyze_spectrum_ranks(struct analyze_ranks *ret, const double *eig, size_t d, size_t m);

#endif /* SAE_ANALYZE_SPECTRUM_H */
