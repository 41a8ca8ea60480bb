/* SPDX-License-Identifier: MIT */
/* import_saelens : cfg.json and sae_weights.safetensors. Settings moved over the years; the rules
 * of SAELens 6 for older files are followed.
 *   W_enc [d][m], W_dec [m][d], b_enc [m], b_dec [d]; jumprelu: threshold [m]; gated: b_gate, b_mag,
 *   r_mag [m] and no b_enc; training checkpoints of batchtopk: topk_threshold, one number
 * Contents: 1. settings   2. arrays   3. what is folded */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/file/json.h"
#include "lib/sae/import_inner.h"

/* --- 1. settings -------------------------------------------------------------------------- */

/* A text under its name of today or of older files, on top or in "metadata". */
static const char *text(const struct sae_import *in, const char *key, const char *older)
{
    const char *const names[] = {key, older};
    for (size_t i = 0; i < 2; i++) {
        if (names[i] == NULL)
            continue;
        const char *found = json_string_value(json_object_get(in->cfg, names[i]));
        if (found == NULL)
            found = json_string_value(
                json_object_get(json_object_get(in->cfg, "metadata"), names[i]));
        if (found != NULL)
            return found;
    }
    return NULL;
}

static bool flag(const struct sae_import *in, const char *key, bool otherwise)
{
    const json_t *const found = json_object_get(in->cfg, key);
    return json_is_boolean(found) ? json_is_true(found) : otherwise;
}

static enum sae_status find_arch(enum sae_arch *ret, const struct sae_import *in,
                                 struct sae_err *err)
{
    const char *arch = text(in, "architecture", NULL);
    const char *const function = text(in, "activation_fn", "activation_fn_str");
    if (arch == NULL)
        arch = "standard";
    if (function != NULL && strcmp(function, "topk") == 0 && strcmp(arch, "standard") == 0)
        arch = "topk";
    else if (function != NULL && strcmp(function, "topk") != 0 && strcmp(function, "relu") != 0)
        return sae_err_set(err, SAE_EVERSION,
                           "'%s' has the activation function '%s'; relu and topk are known",
                           in->path, function);
    if (strcmp(arch, "matryoshka_batchtopk") == 0)
        arch = "batchtopk";
    if (!sae_arch_parse(arch, ret))
        return sae_err_set(err, SAE_EVERSION,
                           "'%s' is of architecture '%s'; standard, topk, batchtopk, "
                           "matryoshka_batchtopk, jumprelu and gated are known",
                           in->path, arch);
    return SAE_OK;
}

/* k of top-k; some configurations of batchtopk hold a real number. */
static enum sae_status find_k(size_t *ret, const struct sae_import *in, enum sae_arch arch,
                              size_t m, struct sae_err *err)
{
    *ret = 0;
    if (arch != SAE_ARCH_TOPK && arch != SAE_ARCH_BATCHTOPK)
        return SAE_OK;
    double k = sae_json_real(in->cfg, "k", NAN);
    if (isnan(k))
        k = sae_json_real(in->cfg, "activation_fn_kwargs.k", NAN);
    if (arch == SAE_ARCH_BATCHTOPK && !(k >= 1 && k <= (double)m))
        return SAE_OK; /* its threshold decides, k only describes */
    if (!(k >= 1 && k <= (double)m) || (arch == SAE_ARCH_TOPK && k != floor(k)))
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': the cfg.json beside it gives k = %g; expected 1 to %zu", in->path,
                           k, m);
    *ret = (size_t)k;
    return SAE_OK;
}

/* What of normalize_activations happens at every encode; the scalar kind is folded below. */
static enum sae_status find_norm(struct sae_import *in, bool *ret_scalar, struct sae_err *err)
{
    const json_t *const value = json_object_get(in->cfg, "normalize_activations");
    const char *name = json_is_true(value) ? "expected_average_only_in" : json_string_value(value);
    *ret_scalar = name != NULL && strcmp(name, "expected_average_only_in") == 0;
    in->model.norm = SAE_NORM_NONE;
    if (name == NULL || *ret_scalar || sae_norm_parse(name, &in->model.norm))
        return SAE_OK;
    return sae_err_set(err, SAE_EVERSION,
                       "'%s' normalises activations by '%s'; none, expected_average_only_in, "
                       "constant_norm_rescale and layer_norm are known",
                       in->path, name);
}

static enum sae_status check_sizes(const struct sae_import *in, size_t d, size_t m,
                                   struct sae_err *err)
{
    const uint64_t want_d = sae_json_u64(in->cfg, "d_in", d);
    const uint64_t want_m = sae_json_u64(in->cfg, "d_sae", m);
    if (want_d == d && want_m == m)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' holds %zu latents of width %zu, but the cfg.json beside it says %llu "
                       "of %llu",
                       in->path, m, d, (unsigned long long)want_m, (unsigned long long)want_d);
}

/* --- 2. arrays ---------------------------------------------------------------------------- */

/* The threshold of batchtopk: training checkpoints hold one for all latents. */
static enum sae_status read_threshold(struct sae_import *in, struct sae_err *err)
{
    struct sae_model *const model = &in->model;
    double one;
    if (sae_import_find(in, "topk_threshold") == NULL)
        return sae_import_vector(in, "threshold", model->m, model->threshold, err);
    SAE_TRY(sae_import_scalar(in, "topk_threshold", &one, err));
    for (size_t i = 0; i < model->m; i++)
        model->threshold[i] = (float)one;
    return SAE_OK;
}

static enum sae_status read_arrays(struct sae_import *in, struct sae_err *err)
{
    struct sae_model *const model = &in->model;
    const size_t d = model->d, m = model->m;
    SAE_TRY(sae_import_matrix(in, "W_enc", true, m, d, model->W_enc, err));
    SAE_TRY(sae_import_matrix(in, "W_dec", false, m, d, model->W_dec, err));
    SAE_TRY(sae_import_vector(in, "b_dec", d, model->b_dec, err));
    if (model->threshold != NULL)
        SAE_TRY(read_threshold(in, err));
    if (model->arch != SAE_ARCH_GATED)
        return sae_import_vector(in, "b_enc", m, model->b_enc, err);
    SAE_TRY(sae_import_vector(in, "b_gate", m, model->b_gate, err));
    SAE_TRY(sae_import_vector(in, "b_mag", m, model->b_mag, err));
    return sae_import_vector(in, "r_mag", m, model->r_mag, err);
}

/* --- 3. what is folded -------------------------------------------------------------------- */

/* Activations were multiplied by s before training: W_enc s, W_dec / s, b_dec / s. s is kept in
 * activation_scaler.json, or was folded before the SAE was saved, or has been lost. */
static enum sae_status fold_scalar(struct sae_import *in, struct sae_err *err)
{
    struct sae_model *const model = &in->model;
    char *folder = NULL, *path = NULL;
    json_t *json = NULL;
    enum sae_status st;
    SAE_GO(st, sae_fs_dir(&folder, in->path, err));
    SAE_GO(st, sae_fs_join(&path, folder, "activation_scaler.json", err));
    if (!sae_fs_is_file(path)) {
        st = sae_import_say(in->notes, err,
                            "normalize_activations is expected_average_only_in, but no factor is "
                            "kept (activation_scaler.json); activations go in unscaled, as "
                            "SAELens's own encode does");
        goto done;
    }
    SAE_GO(st, sae_json_load(&json, path, err));
    const double s = sae_json_real(json, "scaling_factor", NAN);
    if (!isfinite(s) || s <= 0) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s': scaling_factor is not a positive number", path);
        goto done;
    }
    for (size_t i = 0; i < model->m * model->d; i++) {
        model->W_enc[i] = (float)((double)model->W_enc[i] * s);
        model->W_dec[i] = (float)((double)model->W_dec[i] / s);
    }
    for (size_t i = 0; i < model->d; i++)
        model->b_dec[i] = (float)((double)model->b_dec[i] / s);
    /* the threshold of scaled pre-activations is in units of the decoder's norm */
    if (model->arch == SAE_ARCH_BATCHTOPK && flag(in, "rescale_acts_by_decoder_norm", false))
        for (size_t i = 0; i < model->m; i++)
            model->threshold[i] = (float)((double)model->threshold[i] / s);
    st = sae_import_say(in->folded, err, "activation scale %.9g into the weights", s);
done:
    json_decref(json);
    free(folder);
    free(path);
    return st;
}

/* scaling_factor [m] multiplies f before the decoder: W_dec_i s_i. All ones: a leftover. */
static enum sae_status fold_finetuning(struct sae_import *in, struct sae_err *err)
{
    const struct sae_tensor *const t = sae_import_find(in, "scaling_factor");
    if (t == NULL || t->type == SAE_TENSOR_OTHER)
        return SAE_OK;
    double min = INFINITY, max = -INFINITY;
    struct sae_tensor one = *t;
    if (t->rank != 1 || t->n != in->model.m)
        return sae_err_set(err, SAE_EFORMAT, "'%s': scaling_factor does not hold %zu numbers",
                           in->path, in->model.m);
    float *s = calloc(t->n, sizeof *s);
    if (s == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    enum sae_status st = sae_import_vector(in, "scaling_factor", one.n, s, err);
    for (size_t i = 0; st == SAE_OK && i < one.n; i++) {
        min = fmin(min, (double)s[i]);
        max = fmax(max, (double)s[i]);
    }
    const bool ones = fabs(min - 1) <= 1e-5 && fabs(max - 1) <= 1e-5;
    if (st == SAE_OK && !ones && !flag(in, "finetuning_scaling_factor", false))
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' holds a scaling_factor other than ones, but the cfg.json beside it "
                         "has no finetuning_scaling_factor: true",
                         in->path);
    for (size_t i = 0; st == SAE_OK && !ones && i < in->model.m; i++)
        for (size_t j = 0; j < in->model.d; j++)
            in->model.W_dec[i * in->model.d + j] *= s[i];
    free(s);
    if (st == SAE_OK && !ones)
        st = sae_import_say(in->folded, err, "scaling_factor (%.6g to %.6g) into the decoder", min,
                            max);
    return st;
}

/* Top-k by z_i |d_i| is top-k of the SAE with the norms folded in. */
static enum sae_status fold_rescaled(struct sae_import *in, struct sae_err *err)
{
    struct sae_model *const model = &in->model;
    double min, max;
    const bool rescaled = flag(in, "rescale_acts_by_decoder_norm", false);
    if (model->arch == SAE_ARCH_TOPK)
        in->no_fold = !rescaled;
    if (!rescaled)
        return SAE_OK;
    /* batchtopk's threshold is in those units already: shield it from the folding */
    float *const threshold = model->threshold;
    model->threshold = NULL;
    const size_t n = sae_import_fold_norms(model, &min, &max);
    model->threshold = threshold;
    return n == 0 ? SAE_OK
                  : sae_import_say(in->folded, err,
                                   "norms of %zu decoder rows (%.6g to %.6g) into the encoder "
                                   "(rescale_acts_by_decoder_norm)",
                                   n, min, max);
}

enum sae_status sae_import_saelens(struct sae_import *in, struct sae_err *err)
{
    enum sae_arch arch;
    size_t d, m, k;
    bool scalar;
    if (in->cfg == NULL)
        return sae_err_set(err, SAE_EFORMAT,
                           "no cfg.json beside '%s'; an SAE of SAELens is cfg.json and "
                           "sae_weights.safetensors in one folder",
                           in->path);
    SAE_TRY(find_arch(&arch, in, err));
    SAE_TRY(sae_import_size(in, "W_enc", false, &d, &m, err));
    SAE_TRY(check_sizes(in, d, m, err));
    SAE_TRY(find_k(&k, in, arch, m, err));
    SAE_TRY(sae_model_alloc(&in->model, arch, d, m, k, err));
    SAE_TRY(find_norm(in, &scalar, err));
    in->format = "saelens";
    in->model.subtract_b_dec = flag(in, "apply_b_dec_to_input", true);
    in->model_name = text(in, "model_name", NULL);
    in->hook = text(in, "hook_name", "hook_point");
    in->context = sae_json_u64(in->cfg, "metadata.context_size",
                               sae_json_u64(in->cfg, "context_size", 0));
    SAE_TRY(read_arrays(in, err));
    SAE_TRY(fold_finetuning(in, err));
    if (scalar)
        SAE_TRY(fold_scalar(in, err));
    return fold_rescaled(in, err);
}
