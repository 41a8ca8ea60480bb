/* SPDX-License-Identifier: MIT */
/* word : the absorption test of one word, in SAEBench's versions.
 *
 *   proj_i = f_i cos_i        P = a . p        main = sum of proj over the split latents M
 *
 *   full        every f_i < 1e-8 for i in M, and the latent of largest proj has cos >= 0.025 and
 *               proj / P >= 0.4, and P >= 0
 *   fraction C  T = sum of the 3 largest proj > 0 outside M with cos >= 0.1
 *               0 if main >= P or T / P < 0.4;  1 if main <= 0;
 *               else ap / (ap + main) with ap = min(T, P - main)
 *   fraction B  S = sum of proj over all latents
 *               0 if main >= P or S <= 0;  else (S - main) / S
 *   both clipped to [0, 1]; P = 0 counts as no absorption */
#include "absorb/absorb.h"

static bool is_main(uint32_t i, const uint32_t *main, size_t n_main)
{
    for (size_t k = 0; k < n_main; k++)
        if (main[k] == i)
            return true;
    return false;
}

/* Keeps the largest values, falling. */
static void keep_top(double top[ABSORB_MAX_ABSORBERS], double x)
{
    for (size_t k = 0; k < ABSORB_MAX_ABSORBERS; k++)
        if (x > top[k]) {
            const double pushed = top[k];
            top[k] = x;
            x = pushed;
        }
}

static double clip01(double x)
{
    return x < 0.0 ? 0.0 : x > 1.0 ? 1.0 : x;
}

static double fraction_b(double main, double S, double P)
{
    return main >= P || S <= 0.0 ? 0.0 : clip01((S - main) / S);
}

static double fraction_c(double main, double T, double P)
{
    if (P == 0.0 || main >= P || T / P < ABSORB_PROJECTION_SHARE)
        return 0.0;
    if (main <= 0.0)
        return 1.0;
    const double ap = T < P - main ? T : P - main;
    return clip01(ap / (ap + main));
}

struct absorb_word absorb_word_test(const uint32_t *idx, const float *val, size_t n,
                                    const double *cos, const uint32_t *main, size_t n_main,
                                    double P)
{
    struct absorb_word word = {.absorber = UINT32_MAX};
    double top[ABSORB_MAX_ABSORBERS] = {0.0}, main_proj = 0.0, all_proj = 0.0, best = 0.0;
    bool silent = true;
    for (size_t e = 0; e < n; e++) {
        const double proj = (double)val[e] * cos[idx[e]];
        all_proj += proj;
        if (proj > best) { /* inactive latents project to 0 and never pass the share of P */
            best = proj;
            word.absorber = idx[e];
        }
        if (is_main(idx[e], main, n_main)) {
            main_proj += proj;
            word.main_sum += val[e];
            silent = silent && val[e] < ABSORB_SILENT;
        } else if (cos[idx[e]] >= ABSORB_FRACTION_COS && proj > 0.0) {
            keep_top(top, proj);
        }
    }
    double T = 0.0;
    for (size_t k = 0; k < ABSORB_MAX_ABSORBERS; k++)
        T += top[k];
    word.full = silent && word.absorber != UINT32_MAX && P > 0.0 &&
                cos[word.absorber] >= ABSORB_FULL_COS && best / P >= ABSORB_PROJECTION_SHARE;
    word.fraction_b = fraction_b(main_proj, all_proj, P);
    word.fraction_c = fraction_c(main_proj, T, P);
    return word;
}
