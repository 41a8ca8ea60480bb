/* SPDX-License-Identifier: MIT */
/* make_ckpt : fabricates a checkpoint whose geometry and overlaps are known, without training.
 *
 *   make_ckpt OUT.h5 [key=value ...]
 *     d=32 m=128 k=8 tokens=1024 step=500 total_steps=1000 seed=1 arch=topk cosine=0.4
 *     orth=none|static|progressive       recorded as the run's option (with the defaults of
 *                                        sae-train beside it)
 *     kind=families     latents in families of four; members share a direction (their cosine is
 *                       `cosine`) and fire together; families are of falling frequency, the last
 *                       eighth of them never fires
 *          random       random unit rows; every token takes k latents at random
 *          orthogonal   row i is axis i (m <= d); masks as random
 *          duplicates   as random, but row 1 equals row 0 and latent 1 fires where 0 does
 *          nomasks      as families, without /heldout
 *          nan          as random, but one decoder weight is NaN
 *
 * W_enc = W_dec, b_enc = 0, b_dec = 0. There are a short time series and 12 representative pairs
 * at 20 logged steps, unless kind is nomasks. */
#include "tests/unit/make_ckpt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/base/str.h"

enum { FAMILY = 4, N_PAIRS = 12, N_LOGGED = 20 };

struct make_ckpt make_ckpt_default(void)
{
    return (struct make_ckpt){.kind = "families",
                              .arch = "topk",
                              .orth = "none",
                              .d = 32,
                              .m = 128,
                              .k = 8,
                              .tokens = 1024,
                              .step = 500,
                              .total_steps = 1000,
                              .seed = 1,
                              .cosine = 0.4};
}

/* --- weights ------------------------------------------------------------------------------ */

static void unit_normal(struct sae_rng *rng, size_t d, double *v)
{
    double sum = 0;
    for (size_t j = 0; j < d; j++) {
        v[j] = sae_rng_normal(rng);
        sum += v[j] * v[j];
    }
    for (size_t j = 0; j < d; j++)
        v[j] /= sqrt(sum);
}

/* Rows of a family: sqrt(c) times the family's direction and sqrt(1 - c) of an own one, which is
 * made orthogonal to the family's. Cosines of members are then c on average. */
static enum sae_status fill_rows(struct sae_model *model, const struct make_ckpt *want,
                                 struct sae_err *err)
{
    struct sae_rng rng = sae_rng_make(want->seed, SAE_RNG_TEST);
    const bool families = strcmp(want->kind, "families") == 0 || strcmp(want->kind, "nomasks") == 0;
    const size_t d = want->d;
    double *shared, *own;
    SAE_TRY(sae_mem_alloc(&shared, 2 * d, sizeof *shared, err));
    own = shared + d;
    for (size_t i = 0; i < want->m; i++) {
        if (i % FAMILY == 0)
            unit_normal(&rng, d, shared);
        unit_normal(&rng, d, own);
        double dot = 0, norm = 0;
        for (size_t j = 0; j < d; j++)
            dot += own[j] * shared[j];
        for (size_t j = 0; families && j < d; j++)
            own[j] -= dot * shared[j];
        for (size_t j = 0; j < d; j++)
            norm += own[j] * own[j];
        for (size_t j = 0; j < d; j++) {
            const double mine = own[j] / sqrt(norm);
            model->W_dec[i * d + j] =
                (float)(families ? sqrt(want->cosine) * shared[j] + sqrt(1 - want->cosine) * mine
                                 : mine);
        }
    }
    free(shared);
    if (strcmp(want->kind, "orthogonal") == 0)
        for (size_t e = 0; e < want->m * d; e++)
            model->W_dec[e] = e / d == e % d ? 1 : 0;
    if (strcmp(want->kind, "duplicates") == 0)
        memcpy(model->W_dec + d, model->W_dec, d * sizeof(float));
    memcpy(model->W_enc, model->W_dec, want->m * d * sizeof(float));
    if (strcmp(want->kind, "nan") == 0)
        model->W_dec[d + 1] = NAN;
    return SAE_OK;
}

/* --- masks -------------------------------------------------------------------------------- */

/* A family, more often the lower its number; the last eighth is never drawn. */
static size_t draw_family(struct sae_rng *rng, size_t n_families)
{
    const double u = sae_rng_uniform(rng);
    const size_t alive = n_families - n_families / 8;
    const size_t at = (size_t)((double)alive * u * u * u);
    return at < alive ? at : alive - 1;
}

static void draw_token(struct sae_rng *rng, const struct make_ckpt *want, bool *on)
{
    const bool families = strcmp(want->kind, "families") == 0;
    memset(on, 0, want->m * sizeof *on);
    for (size_t n = 0, tries = 0; n < want->k && tries < 50 * want->k; tries++) {
        const size_t family = draw_family(rng, want->m / FAMILY);
        /* two members of the family, or one latent of any kind */
        for (int member = 0; member < (families ? 2 : 1) && n < want->k; member++) {
            const size_t i = families ? family * FAMILY + (size_t)sae_rng_below(rng, FAMILY)
                                      : (size_t)sae_rng_below(rng, want->m);
            n += !on[i];
            on[i] = true;
        }
    }
    if (strcmp(want->kind, "duplicates") == 0)
        on[1] = on[0];
}

static enum sae_status fill_masks(struct sae_masks *masks, const struct make_ckpt *want,
                                  struct sae_err *err)
{
    struct sae_rng rng = sae_rng_make(want->seed, SAE_RNG_TEST + 1);
    const size_t cap = want->tokens * (want->k + 1);
    bool *on;
    SAE_TRY(sae_mem_alloc(&masks->start, want->tokens + 1, sizeof *masks->start, err));
    SAE_TRY(sae_mem_alloc(&masks->idx, cap, sizeof *masks->idx, err));
    SAE_TRY(sae_mem_alloc(&masks->val, cap, sizeof *masks->val, err));
    SAE_TRY(sae_mem_alloc(&on, want->m, sizeof *on, err));
    masks->n_rows = want->tokens;
    uint64_t n = 0;
    for (size_t t = 0; t < want->tokens; t++) {
        draw_token(&rng, want, on);
        for (size_t i = 0; i < want->m; i++)
            if (on[i]) {
                masks->idx[n] = (uint32_t)i;
                masks->val[n++] = 1 + (float)sae_rng_uniform(&rng);
            }
        masks->start[t + 1] = n;
    }
    free(on);
    return SAE_OK;
}

/* --- series and pairs --------------------------------------------------------------------- */

static enum sae_status fill_series(struct sae_series *series, const struct make_ckpt *want,
                                   struct sae_err *err)
{
    static const char *const names[] = {"step", "loss", "tau"};
    SAE_TRY(sae_mem_alloc(&series->names, 3, sizeof *series->names, err));
    SAE_TRY(sae_mem_alloc(&series->values, 3, sizeof *series->values, err));
    series->n_points = N_LOGGED;
    for (size_t c = 0; c < 3; c++, series->n_columns++) {
        SAE_TRY(sae_mem_strdup(&series->names[c], names[c], err));
        const enum sae_status status =
            sae_mem_alloc(&series->values[c], N_LOGGED, sizeof(double), err);
        if (status != SAE_OK) {
            free(series->names[c]);
            return status;
        }
        for (size_t l = 0; l < N_LOGGED; l++) {
            const double at = (double)want->step * (double)l / (N_LOGGED - 1);
            series->values[c][l] = c == 0   ? at
                                   : c == 1 ? 50 * exp(-at / 200) + 10
                                            : 0.1 * (1 - at / (double)want->total_steps);
        }
    }
    return SAE_OK;
}

static enum sae_status fill_pairs(struct sae_ckpt *ckpt, const struct make_ckpt *want,
                                  struct sae_err *err)
{
    const size_t cells = N_PAIRS * N_LOGGED;
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.i, N_PAIRS, sizeof(uint32_t), err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.j, N_PAIRS, sizeof(uint32_t), err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.kind, N_PAIRS, sizeof(uint8_t), err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.c, cells, sizeof(float), err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.nhat, cells, sizeof(float), err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.cos, cells, sizeof(float), err));
    SAE_TRY(sae_mem_alloc(&ckpt->pairs.step, N_LOGGED, sizeof(double), err));
    ckpt->pairs.n = N_PAIRS;
    ckpt->pairs.n_logged = N_LOGGED;
    for (size_t p = 0; p < N_PAIRS; p++) {
        ckpt->pairs.i[p] = (uint32_t)(p % want->m);
        ckpt->pairs.j[p] = (uint32_t)((p + 1) % want->m);
        ckpt->pairs.kind[p] = (uint8_t)(p / (N_PAIRS / 3));
    }
    for (size_t l = 0; l < N_LOGGED; l++) {
        const double at = (double)l / (N_LOGGED - 1);
        ckpt->pairs.step[l] = at * (double)want->step;
        for (size_t p = 0; p < N_PAIRS; p++) {
            const double kind = ckpt->pairs.kind[p], share = 1 - 0.5 * kind;
            ckpt->pairs.c[l * N_PAIRS + p] = (float)(share * (1 - 0.6 * at));
            ckpt->pairs.nhat[l * N_PAIRS + p] = (float)(0.6 * share * (1 - 0.2 * at));
            ckpt->pairs.cos[l * N_PAIRS + p] =
                (float)(0.5 * share * exp(-2 * at) - 0.02 * (double)(p % 4));
        }
    }
    return SAE_OK;
}

/* --- the whole ---------------------------------------------------------------------------- */

static json_t *make_record(const struct make_ckpt *want)
{
    const bool progressive = strcmp(want->orth, "progressive") == 0;
    return json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}, "
                     "s:[]}",
                     "program", "make_ckpt", "version", "0", "command", "make_ckpt", "options",
                     "arch", want->arch, "orth", want->orth, "lambda2-max", "0.5", "gamma",
                     progressive ? "2" : "0", "base-threshold", "0.2", "threshold-schedule", "down",
                     "threshold-floor", "0.001", "overlap", "overlap", "competition", "linear",
                     "min-count", "2", "orth-normalizer", "sum", "inputs");
}

static enum sae_status fill(struct sae_ckpt *ckpt, const struct make_ckpt *want,
                            struct sae_err *err)
{
    enum sae_arch arch;
    if (!sae_arch_parse(want->arch, &arch))
        return sae_err_set(err, SAE_EARG, "no architecture '%s'", want->arch);
    SAE_TRY(sae_model_alloc(&ckpt->model, arch, want->d, want->m, want->k, err));
    SAE_TRY(fill_rows(&ckpt->model, want, err));
    ckpt->step = want->step;
    ckpt->total_steps = want->total_steps;
    ckpt->seed = want->seed;
    ckpt->progress = (double)want->step / (double)want->total_steps;
    ckpt->record = make_record(want);
    ckpt->heldout_metrics = json_pack("{s:f, s:f, s:f}", "loss", 12.5, "explained_variance", 0.8,
                                      "l0", (double)want->k);
    if (ckpt->record == NULL || ckpt->heldout_metrics == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    if (strcmp(want->kind, "nomasks") == 0)
        return SAE_OK;
    SAE_TRY(fill_masks(&ckpt->heldout, want, err));
    SAE_TRY(fill_series(&ckpt->series, want, err));
    return fill_pairs(ckpt, want, err);
}

enum sae_status make_ckpt_fill(struct sae_ckpt *ret, const struct make_ckpt *want,
                               struct sae_err *err)
{
    struct sae_ckpt ckpt = {0};
    const enum sae_status status = fill(&ckpt, want, err);
    if (status == SAE_OK)
        *ret = ckpt;
    else
        sae_ckpt_clear(&ckpt);
    return status;
}

enum sae_status make_ckpt_save(const char *path, const struct make_ckpt *want, struct sae_err *err)
{
    struct sae_ckpt ckpt;
    SAE_TRY(make_ckpt_fill(&ckpt, want, err));
    const enum sae_status status = sae_ckpt_save(path, &ckpt, true, err);
    sae_ckpt_clear(&ckpt);
    return status;
}

#ifdef MAKE_CKPT_MAIN
static bool set_count(const char *arg, const char *key, uint64_t *to)
{
    const size_t n = strlen(key);
    return strncmp(arg, key, n) == 0 && arg[n] == '=' && sae_str_u64(arg + n + 1, to);
}

static bool set_text(const char *arg, const char *key, const char **to)
{
    const size_t n = strlen(key);
    if (strncmp(arg, key, n) != 0 || arg[n] != '=')
        return false;
    *to = arg + n + 1;
    return true;
}

int main(int argc, char **argv)
{
    struct make_ckpt want = make_ckpt_default();
    struct sae_err err = {0};
    for (int a = 2; a < argc; a++) {
        const char *cosine = NULL;
        const bool known =
            set_count(argv[a], "d", &want.d) || set_count(argv[a], "m", &want.m) ||
            set_count(argv[a], "k", &want.k) || set_count(argv[a], "tokens", &want.tokens) ||
            set_count(argv[a], "step", &want.step) ||
            set_count(argv[a], "total_steps", &want.total_steps) ||
            set_count(argv[a], "seed", &want.seed) || set_text(argv[a], "kind", &want.kind) ||
            set_text(argv[a], "arch", &want.arch) || set_text(argv[a], "orth", &want.orth) ||
            (set_text(argv[a], "cosine", &cosine) && sae_str_real(cosine, &want.cosine));
        if (!known) {
            fprintf(stderr, "make_ckpt: '%s' is not a setting\n", argv[a]);
            return 2;
        }
    }
    if (argc < 2) {
        fputs("usage: make_ckpt OUT.h5 [key=value ...]\n", stderr);
        return 2;
    }
    if (make_ckpt_save(argv[1], &want, &err) != SAE_OK) {
        fprintf(stderr, "make_ckpt: %s\n", err.msg);
        return 1;
    }
    return 0;
}
#endif
