/* SPDX-License-Identifier: MIT */
/* arch : the architectures.
 *
 *   z = W_enc (x - b_dec) + b_enc      (b_dec only where the model subtracts it)
 *   gated: u = W_enc (x - b_dec)
 * x is the activation, or what the model's norm makes of it. Equations: docs/MATH.md.
 *
 * Contents: 1. arrays   2. activations   3. the rows   4. asking them */
#include "lib/sae/arch.h"

#include <stdio.h>
#include <string.h>

#include "lib/sae/coder_inner.h"

/* --- 1. arrays ---------------------------------------------------------------------------- */

#define AT(field) offsetof(struct sae_model, field)

const struct sae_weight sae_weights[SAE_WEIGHTS] = {
    [SAE_W_ENC] = {"W_enc", true, true, false, AT(W_enc)},
    [SAE_W_DEC] = {"W_dec", true, true, false, AT(W_dec)},
    [SAE_B_ENC] = {"b_enc", true, false, true, AT(b_enc)},
    [SAE_B_DEC] = {"b_dec", false, true, true, AT(b_dec)},
    [SAE_THRESHOLD] = {"threshold", true, false, true, AT(threshold)},
    [SAE_B_GATE] = {"b_gate", true, false, true, AT(b_gate)},
    [SAE_B_MAG] = {"b_mag", true, false, true, AT(b_mag)},
    [SAE_R_MAG] = {"r_mag", true, false, false, AT(r_mag)}};

const struct sae_weight *sae_weight_find(const char *name)
{
    for (size_t i = 0; i < SAE_WEIGHTS; i++)
        if (strcmp(name, sae_weights[i].name) == 0)
            return &sae_weights[i];
    return NULL;
}

float **sae_weight_of(struct sae_model *model, const struct sae_weight *weight)
{
    return (float **)(void *)((char *)model + weight->at);
}

size_t sae_weight_size(const struct sae_model *model, const struct sae_weight *weight)
{
    return (weight->by_latent ? model->m : 1) * (weight->by_dim ? model->d : 1);
}

/* --- 2. activations ----------------------------------------------------------------------- */

static enum sae_status keep_k(struct sae_coder *c, size_t n, struct sae_err *err)
{
    const size_t m = c->model->m, k = c->model->k < m ? c->model->k : m;
    (void)err;
    c->ops->topk(n, m, k, c->pre, c->w.b_enc, &c->part);
    return SAE_OK;
}

static enum sae_status keep_above(struct sae_coder *c, size_t n, struct sae_err *err)
{
    return sae_coder_keep(c, n, c->pre, c->w.b_enc, c->w.threshold, err);
}

static enum sae_status keep_gated(struct sae_coder *c, size_t n, struct sae_err *err)
{
    float *const f = c->dense, *const gate = c->dense + c->chunk * c->model->m;
    c->ops->gate(n, c->model->m, c->pre, c->w.b_gate, c->w.r_mag, c->w.b_mag, f, gate, c->sums);
    return sae_coder_keep(c, n, f, c->zero, NULL, err);
}

/* --- 3. the rows -------------------------------------------------------------------------- */

#define BIT(weight) (1U << (weight))
#define MATRICES (BIT(SAE_W_ENC) | BIT(SAE_W_DEC) | BIT(SAE_B_DEC))

static const struct sae_arch_desc rows[] = {
    [SAE_ARCH_STANDARD] = {.name = "standard",
                           .formula = "relu(z)",
                           .weights = MATRICES | BIT(SAE_B_ENC),
                           .subtracts = true,
                           .activate = keep_above,
                           .lens = {"standard"},
                           .lens_as = "standard",
                           .dict = "AutoEncoder",
                           .dict_plain = "AutoEncoderNew",
                           .arrays = true},
    [SAE_ARCH_TOPK] = {.name = "topk",
                       .formula = "the k largest of relu(z)",
                       .weights = MATRICES | BIT(SAE_B_ENC),
                       .subtracts = true,
                       .has_k = true,
                       .by_k = true,
                       .activate = keep_k,
                       .lens = {"topk"},
                       .lens_as = "topk",
                       .dict = "AutoEncoderTopK"},
    [SAE_ARCH_BATCHTOPK] = {.name = "batchtopk",
                            .formula = "relu(z) where z > threshold",
                            .weights = MATRICES | BIT(SAE_B_ENC) | BIT(SAE_THRESHOLD),
                            .subtracts = true,
                            .has_k = true,
                            .one_threshold = true,
                            .activate = keep_above,
                            .lens = {"batchtopk", "matryoshka_batchtopk"},
                            .lens_as = "jumprelu", /* as its author exports it */
                            .dict = "BatchTopKSAE",
                            .arrays = true},
    [SAE_ARCH_JUMPRELU] = {.name = "jumprelu",
                           .formula = "relu(z) where z > threshold; b_dec is not subtracted",
                           .weights = MATRICES | BIT(SAE_B_ENC) | BIT(SAE_THRESHOLD),
                           .activate = keep_above,
                           .lens = {"jumprelu"},
                           .lens_as = "jumprelu",
                           .dict = "JumpReluAutoEncoder",
                           .arrays = true},
    [SAE_ARCH_GATED] = {.name = "gated",
                        .formula = "relu(exp(r_mag) u + b_mag) where u + b_gate > 0",
                        .weights = MATRICES | BIT(SAE_B_GATE) | BIT(SAE_B_MAG) | BIT(SAE_R_MAG),
                        .subtracts = true,
                        .n_dense = 2,
                        .activate = keep_gated,
                        .lens = {"gated"},
                        .lens_as = "gated",
                        .dict = "GatedAutoEncoder"},
    /* latents are ordered groups, inner first */
    [SAE_ARCH_MATRYOSHKA] = {.name = "matryoshka",
                             .formula = "relu(z) where z > threshold",
                             .weights = MATRICES | BIT(SAE_B_ENC) | BIT(SAE_THRESHOLD),
                             .subtracts = true,
                             .has_k = true,
                             .one_threshold = true,
                             .activate = keep_above,
                             .lens_as = "jumprelu",
                             .dict = "BatchTopKSAE",
                             .arrays = true},
};

/* --- 4. asking them ----------------------------------------------------------------------- */

size_t sae_arch_count(void)
{
    return sizeof rows / sizeof *rows;
}

const struct sae_arch_desc *sae_arch_desc(enum sae_arch arch)
{
    return &rows[arch];
}

const char *sae_arch_name(enum sae_arch arch)
{
    return (size_t)arch < sae_arch_count() ? rows[arch].name : "unknown";
}

void sae_arch_describe(char to[SAE_ARCH_DESCRIBED], enum sae_arch arch, size_t d, size_t m,
                       size_t k)
{
    const int n =
        snprintf(to, SAE_ARCH_DESCRIBED, "%s, d %zu, m %zu", sae_arch_name(arch), d, m);
    if (k > 0)
        snprintf(to + n, SAE_ARCH_DESCRIBED - (size_t)n, ", k %zu", k);
}

bool sae_arch_parse(const char *name, enum sae_arch *ret)
{
    for (size_t a = 0; a < sae_arch_count(); a++) {
        if (strcmp(name, rows[a].name) == 0) {
            *ret = (enum sae_arch)a;
            return true;
        }
    }
    return false;
}
