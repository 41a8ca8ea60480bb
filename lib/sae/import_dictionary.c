/* SPDX-License-Identifier: MIT */
/* import_dictionary : dictionary_learning's ae.pt and config.json.
 *
 *   class                    arrays
 *   AutoEncoder              encoder.weight [m][d], encoder.bias, decoder.weight [d][m], bias [d]
 *   AutoEncoderNew           the same, decoder.bias for bias; b_dec is not subtracted
 *   AutoEncoderTopK          encoder.*, decoder.weight, b_dec, k; threshold, which may be missing
 *   BatchTopKSAE             and threshold, one number
 *   GatedAutoEncoder         encoder.weight, decoder.weight, decoder_bias, r_mag, gate_bias,
 * mag_bias JumpReluAutoEncoder      W_enc [d][m], W_dec [m][d], b_enc, b_dec, threshold [m]
 *   MatryoshkaBatchTopKSAE   W_enc, W_dec, b_enc, b_dec, threshold, k, group_sizes
 * Contents: 1. classes   2. backups   3. the reader */
#include <math.h>
#include <string.h>

#include "lib/file/json.h"
#include "lib/sae/import_inner.h"

/* --- 1. classes --------------------------------------------------------------------------- */

/* Those without marks are told by config.json alone. W_enc alone is no mark of JumpReluAutoEncoder. */
static const struct sae_dict_class classes[] = {
    {"GatedAutoEncoder", SAE_ARCH_GATED, true, true, "decoder_bias", {"gate_bias"}},
    {"MatryoshkaBatchTopKSAE", SAE_ARCH_BATCHTOPK, true, false, "b_dec", {"group_sizes"}},
    {"JumpReluAutoEncoder", SAE_ARCH_JUMPRELU, false, false, "b_dec", {"W_enc", "threshold"}},
    {"AutoEncoder", SAE_ARCH_STANDARD, true, true, "bias", {"bias"}},
    {"AutoEncoderNew", SAE_ARCH_STANDARD, false, true, "decoder.bias", {"decoder.bias"}},
    {"AutoEncoderTopK", SAE_ARCH_TOPK, true, true, "b_dec", {NULL}},
    {"BatchTopKSAE", SAE_ARCH_BATCHTOPK, true, true, "b_dec", {NULL}},
};

const struct sae_dict_class *sae_dict_class(const char *name)
{
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strcmp(name, classes[i].name) == 0)
            return &classes[i];
    return NULL;
}

static bool has_marks(const struct sae_import *in, const struct sae_dict_class *class)
{
    return class->marks[0] && sae_import_find(in, class->marks[0]) &&
           (!class->marks[1] || sae_import_find(in, class->marks[1]));
}

static enum sae_status find_class(const struct sae_dict_class **ret, const struct sae_import *in,
                                  struct sae_err *err)
{
    const char *name = NULL;
    SAE_TRY(sae_import_text(&name, in, "trainer.dict_class", NULL, err));
    *ret = name ? sae_dict_class(name) : NULL;
    for (size_t i = 0; !name && !*ret && i < sizeof classes / sizeof *classes; i++)
        if (has_marks(in, &classes[i]))
            *ret = &classes[i];
    if (*ret)
        return SAE_OK;
    if (name != NULL)
        return sae_err_set(err, SAE_EVERSION,
                           "'%s' is of dict_class '%s', which this build does not know", in->path,
                           name);
    return sae_err_set(err, SAE_EFORMAT,
                       "no config.json with a trainer.dict_class beside '%s', and its arrays alone "
                       "do not say what it is (k of a top-k SAE, for example)",
                       in->path);
}

/* --- 2. backups --------------------------------------------------------------------------- */

/* An interrupted run leaves {step, ae: {...}, optimizer, config, norm_factor}: the SAE of scaled
 * activations. Biases and thresholds times norm_factor make it one of raw activations. */
static enum sae_status unscale(struct sae_import *in, struct sae_err *err)
{
    struct sae_model *const model = &in->model;
    double by = 1;
    if (*in->prefix == '\0')
        return SAE_OK;
    SAE_TRY(sae_import_scalar(in, "norm_factor", &by, err));
    for (size_t a = 0; a < SAE_WEIGHTS; a++) {
        float *const v = *sae_weight_of(model, &sae_weights[a]);
        const size_t n = v && sae_weights[a].in_units ? sae_weight_size(model, &sae_weights[a]) : 0;
        for (size_t i = 0; i < n; i++)
            v[i] = (float)((double)v[i] * by);
    }
    model->topk_threshold *= by;
    return sae_import_say(in->folded, err,
                          "norm_factor %.9g of an unfinished run into biases and thresholds", by);
}

/* --- 3. the reader ------------------------------------------------------------------------ */

static enum sae_status find_k(size_t *ret, const struct sae_import *in, enum sae_arch arch,
                              size_t m, struct sae_err *err)
{
    double k = sae_json_real(in->cfg, "trainer.k", NAN);
    *ret = 0;
    if (!sae_arch_desc(arch)->has_k)
        return SAE_OK;
    if (sae_import_find(in, "k") != NULL)
        SAE_TRY(sae_import_scalar(in, "k", &k, err));
    if (!(k >= 1 && k <= (double)m && k == floor(k)))
        return sae_err_set(err, SAE_EFORMAT, "'%s': k is %g; expected 1 to %zu", in->path, k, m);
    *ret = (size_t)k;
    return SAE_OK;
}

/* One threshold for all latents. */
static enum sae_status read_threshold(struct sae_import *in, struct sae_err *err)
{
    struct sae_model *const model = &in->model;
    double one;
    SAE_TRY(sae_import_scalar(in, "threshold", &one, err));
    if (!isfinite(one))
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': its threshold is %f; latents are active above it, so it must be "
                           "a finite number",
                           in->path, one);
    for (size_t i = 0; i < model->m; i++)
        model->threshold[i] = one < 0 ? 0 : (float)one;
    return one >= 0 ? SAE_OK
                    : sae_import_say(in->notes, err,
                                     "its threshold was never set (%g): every latent above 0 is "
                                     "active",
                                     one);
}

/* Of AutoEncoderTopK, whose encode uses it where it is asked to (use_threshold). One row of a batch
 * without positive activation makes it infinite for good. */
static enum sae_status read_topk_threshold(struct sae_import *in, struct sae_err *err)
{
    double one = -1;
    if (!sae_arch_desc(in->model.arch)->by_k || !sae_import_find(in, "threshold"))
        return SAE_OK;
    SAE_TRY(sae_import_scalar(in, "threshold", &one, err));
    if (one > 0 && isfinite(one))
        in->model.topk_threshold = one;
    return SAE_OK;
}

static enum sae_status read_arrays(struct sae_import *in, const struct sae_dict_class *class,
                                   struct sae_err *err)
{
    struct sae_model *const model = &in->model;
    const size_t d = model->d, m = model->m;
    const bool linear = class->linear;
    SAE_TRY(sae_import_matrix(in, linear ? "encoder.weight" : "W_enc", !linear, m, d, model->W_enc,
                              err));
    SAE_TRY(sae_import_matrix(in, linear ? "decoder.weight" : "W_dec", linear, m, d, model->W_dec,
                              err));
    SAE_TRY(sae_import_vector(in, class->b_dec, d, model->b_dec, err));
    if (model->b_gate) {
        SAE_TRY(sae_import_vector(in, "gate_bias", m, model->b_gate, err));
        SAE_TRY(sae_import_vector(in, "mag_bias", m, model->b_mag, err));
        return sae_import_vector(in, "r_mag", m, model->r_mag, err);
    }
    SAE_TRY(sae_import_vector(in, linear ? "encoder.bias" : "b_enc", m, model->b_enc, err));
    if (!model->threshold)
        return read_topk_threshold(in, err);
    return sae_arch_desc(model->arch)->one_threshold
               ? read_threshold(in, err)
               : sae_import_vector(in, "threshold", m, model->threshold, err);
}

enum sae_status sae_import_dictionary(struct sae_import *in, struct sae_err *err)
{
    const struct sae_dict_class *class = NULL;
    size_t d = 0, m = 0, k = 0;
    if (sae_tensors_find(&in->tensors, "ae.encoder.weight") != NULL ||
        sae_tensors_find(&in->tensors, "ae.W_enc") != NULL)
        in->prefix = "ae.";
    in->format = "dictionary_learning";
    SAE_TRY(find_class(&class, in, err));
    SAE_TRY(sae_import_size(in, class->linear ? "encoder.weight" : "W_enc", class->linear, &d, &m,
                            err));
    SAE_TRY(sae_import_expect(in, "trainer.activation_dim", d, "d", err));
    SAE_TRY(sae_import_expect(in, "trainer.dict_size", m, "m", err));
    SAE_TRY(find_k(&k, in, class->arch, m, err));
    SAE_TRY(sae_model_alloc(&in->model, class->arch, d, m, k, err));
    in->model.subtract_b_dec = class->subtracts;
    in->no_fold = sae_arch_desc(class->arch)->by_k;
    SAE_TRY(sae_import_text(&in->model_name, in, "trainer.lm_name", NULL, err));
    SAE_TRY(sae_import_text(&in->hook, in, "trainer.submodule_name", NULL, err));
    in->layer = sae_json_u64(in->cfg, "trainer.layer", UINT64_MAX);
    in->context = sae_json_u64(in->cfg, "buffer.ctx_len", 0);
    sae_import_skip(in, "group_sizes"); /* of training; encode uses all groups */
    SAE_TRY(read_arrays(in, class, err));
    return unscale(in, err);
}
