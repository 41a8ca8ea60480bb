/* SPDX-License-Identifier: MIT */
/* import_saelens : cfg.json and sae_weights.safetensors. Settings moved over the years; the rules
 * of SAELens 6 for older files are followed.
 *   W_enc [d][m], W_dec [m][d], b_enc [m], b_dec [d]; jumprelu: threshold [m]; gated: b_gate,
 * b_mag, r_mag [m] and no b_enc; training checkpoints of batchtopk: topk_threshold, one number
 * Contents: 1. settings   2. arrays   3. what is folded */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/json.h"
#include "lib/sae/import_inner.h"

/* --- 1. settings -------------------------------------------------------------------------- */

/* The path of a setting: on top, or in "metadata", under its name of today or of older files. */
static const char *place_of(const struct sae_import *in, const char *const paths[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *const value = sae_json_at(in->cfg, paths[i]);
        if (value != NULL && !json_is_null(value))
            return paths[i];
    }
    return paths[0];
}
#define PLACE_OF(in, ...)                                                                          \
    place_of(in, (const char *const[]){__VA_ARGS__},                                               \
             sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

/* The activation function of older files; top-k is an architecture of its own today. */
static enum sae_status find_function(const char **arch, const struct sae_import *in,
                                     struct sae_err *err)
{
    const char *function = NULL;
    SAE_TRY(sae_import_text(&function, in,
                            PLACE_OF(in, "activation_fn", "activation_fn_str",
                                     "metadata.activation_fn", "metadata.activation_fn_str"),
                            "relu", err));
    if (strcmp(function, "relu") == 0)
        return SAE_OK;
    if (strcmp(function, "topk") != 0)
        return sae_err_set(err, SAE_EVERSION,
                           "'%s' has the activation function '%s'; relu and topk are known",
                           in->path, function);
    if (strcmp(*arch, "standard") == 0)
        *arch = "topk";
    if (strcmp(*arch, "topk") == 0)
        return SAE_OK;
    return sae_err_set(err, SAE_EVERSION,
                       "'%s' has the activation function 'topk' with the architecture '%s', which "
                       "this build has no formula for",
                       in->path, *arch);
}

static enum sae_status find_arch(enum sae_arch *ret, const struct sae_import *in,
                                 struct sae_err *err)
{
    const char *arch = NULL;
    SAE_TRY(sae_import_text(&arch, in, PLACE_OF(in, "architecture", "metadata.architecture"),
                            "standard", err));
    SAE_TRY(find_function(&arch, in, err));
    if (strstr(arch, "transcoder") != NULL)
        return sae_err_set(err, SAE_EVERSION,
                           "'%s' is a %s: it reconstructs what it did not read, and its numbers "
                           "cannot stand beside those of autoencoders; only those are read",
                           in->path, arch);
    struct sae_str known = {0};
    enum sae_status st = SAE_OK;
    for (size_t a = 0; st == SAE_OK && a < sae_arch_count(); a++)
        for (const char *const *name = sae_arch_desc((enum sae_arch)a)->lens; *name; name++) {
            if (strcmp(*name, arch) == 0) {
                *ret = (enum sae_arch)a;
                sae_str_clear(&known);
                return SAE_OK;
            }
            st = sae_str_printf(&known, err, "%s%s", known.s ? ", " : "", *name);
        }
    if (st == SAE_OK)
        st = sae_err_set(err, SAE_EVERSION, "'%s' is of architecture '%s'; known are %s", in->path,
                         arch, known.s);
    sae_str_clear(&known);
    return st;
}

/* Settings of version 6, whose files hold nothing else: those that are read here, and those of
 * training. Older files hold everything that a whole run was given. */
static enum sae_status note_others(const struct sae_import *in, struct sae_err *err)
{
    static const char *const known[] = {
        "architecture", "activation_fn", "activation_fn_str", "activation_fn_kwargs", "d_in",
        "d_out", "d_sae", "k", "apply_b_dec_to_input", "normalize_activations",
        "reshape_activations", "rescale_acts_by_decoder_norm", "finetuning_scaling_factor",
        "metadata", "dtype", "device", "model_name", "hook_name", "hook_point", "context_size",
        /* of training */
        "aux_loss_coefficient", "decoder_init_norm", "jumprelu_bandwidth",
        "jumprelu_init_threshold", "jumprelu_sparsity_loss_mode", "jumprelu_ste_to_input",
        "jumprelu_tanh_scale", "l0_coefficient", "l0_warm_up_steps", "l1_coefficient",
        "l1_warm_up_steps", "lp_norm", "matryoshka_widths", "mse_loss_fn", "noise_scale",
        "pre_act_loss_coefficient", "target_l0", "topk_threshold_lr", "use_matryoshka_aux_loss",
        "use_sparse_activations", NULL};
    return json_is_object(json_object_get(in->cfg, "metadata"))
               ? sae_import_note_others(in, known, err)
               : SAE_OK;
}

/* Settings that would change what the SAE computes, and that no formula here has. */
static enum sae_status check_unused(const struct sae_import *in, struct sae_err *err)
{
    const char *key, *reshape = NULL;
    json_t *value;
    static const char other_place[] = "it reconstructs another place than it reads; only "
                                      "autoencoders are read";
    SAE_TRY(sae_import_refuse(in, "is_transcoder", other_place, err));
    SAE_TRY(sae_import_refuse(in, "hook_name_out", other_place, err));
    SAE_TRY(sae_import_refuse(in, "metadata.hook_name_out", other_place, err));
    const json_t *const more = json_object_get(in->cfg, "activation_fn_kwargs");
    if (!json_is_object(more))
        SAE_TRY(sae_import_refuse(in, "activation_fn_kwargs", "expected an object", err));
    json_object_foreach(json_object_get(in->cfg, "activation_fn_kwargs"), key, value)
    {
        char path[128];
        (void)snprintf(path, sizeof path, "activation_fn_kwargs.%.80s", key);
        if (strcmp(key, "k") != 0)
            SAE_TRY(sae_import_refuse(in, path, "this build has no formula for it", err));
    }
    SAE_TRY(sae_import_text(&reshape, in, "reshape_activations", "none", err));
    if (strcmp(reshape, "none") != 0 && strcmp(reshape, "hook_z") != 0)
        return sae_err_set(err, SAE_EVERSION,
                           "'%s' reshapes activations by '%s'; none and hook_z are known", in->path,
                           reshape);
    return SAE_OK;
}

/* k of top-k; some configurations of batchtopk hold a real number. */
static enum sae_status find_k(size_t *ret, const struct sae_import *in, enum sae_arch arch,
                              size_t m, struct sae_err *err)
{
    const struct sae_arch_desc *const desc = sae_arch_desc(arch);
    *ret = 0;
    if (!desc->has_k)
        return SAE_OK;
    double k = sae_json_real(in->cfg, "k", NAN);
    if (isnan(k))
        k = sae_json_real(in->cfg, "activation_fn_kwargs.k", NAN);
    if (!desc->by_k && !(k >= 1 && k <= (double)m))
        return SAE_OK; /* its threshold decides, k only describes */
    if (!(k >= 1 && k <= (double)m) || (desc->by_k && k != floor(k)))
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
    const char *name = NULL;
    if (json_is_boolean(value)) /* of older files */
        name = json_is_true(value) ? "expected_average_only_in" : "none";
    else
        SAE_TRY(sae_import_text(&name, in, "normalize_activations", "none", err));
    *ret_scalar = strcmp(name, "expected_average_only_in") == 0;
    in->model.norm = SAE_NORM_NONE;
    if (*ret_scalar || sae_norm_parse(name, &in->model.norm))
        return SAE_OK;
    return sae_err_set(err, SAE_EVERSION,
                       "'%s' normalises activations by '%s'; none, expected_average_only_in, "
                       "constant_norm_rescale and layer_norm are known",
                       in->path, name);
}

static enum sae_status check_sizes(const struct sae_import *in, size_t d, size_t m,
                                   struct sae_err *err)
{
    SAE_TRY(sae_import_expect(in, "d_in", d, "d", err));
    SAE_TRY(sae_import_expect(in, "d_out", d, "d", err));
    return sae_import_expect(in, "d_sae", m, "m", err);
}

/* --- 2. arrays ---------------------------------------------------------------------------- */

/* Thresholds: one a latent, or its logarithm, or, in training checkpoints of batchtopk, one for all
 * latents. */
static enum sae_status read_threshold(struct sae_import *in, struct sae_err *err)
{
    struct sae_model *const model = &in->model;
    double one;
    if (!sae_arch_desc(model->arch)->one_threshold && !sae_import_find(in, "threshold") &&
        sae_import_find(in, "log_threshold")) {
        SAE_TRY(sae_import_vector(in, "log_threshold", model->m, model->threshold, err));
        for (size_t i = 0; i < model->m; i++)
            model->threshold[i] = expf(model->threshold[i]);
        return SAE_OK;
    }
    if (sae_import_find(in, "topk_threshold") == NULL)
        return sae_import_vector(in, "threshold", model->m, model->threshold, err);
    SAE_TRY(sae_import_scalar(in, "topk_threshold", &one, err));
    if (!isfinite(one))
        return sae_err_set(err, SAE_EFORMAT, "'%s': 'topk_threshold' is %f", in->path, one);
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
    if (model->b_enc)
        return sae_import_vector(in, "b_enc", m, model->b_enc, err);
    SAE_TRY(sae_import_vector(in, "b_gate", m, model->b_gate, err));
    SAE_TRY(sae_import_vector(in, "b_mag", m, model->b_mag, err));
    return sae_import_vector(in, "r_mag", m, model->r_mag, err);
}

/* --- 3. what is folded -------------------------------------------------------------------- */

static enum sae_status is_rescaled(bool *ret, const struct sae_import *in, struct sae_err *err)
{
    return sae_import_flag(ret, in, "rescale_acts_by_decoder_norm", false, err);
}

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
    bool rescaled;
    SAE_GO(st, is_rescaled(&rescaled, in, err));
    if (sae_arch_desc(model->arch)->one_threshold && rescaled)
        for (size_t i = 0; i < model->m; i++)
            model->threshold[i] = (float)((double)model->threshold[i] / s);
    st = sae_import_say(in->folded, err, "activation scale %.9g into the weights", s);
done:
    json_decref(json);
    free(folder);
    free(path);
    return st;
}

/* Multiplies decoder row i by s[i]; says so unless all are ones, which is a leftover. */
static enum sae_status scale_decoder(struct sae_import *in, const char *name, const float *s,
                                     bool wanted, struct sae_err *err)
{
    struct sae_model *const model = &in->model;
    double min = INFINITY, max = -INFINITY;
    bool rescaled;
    for (size_t i = 0; i < model->m; i++) {
        min = fmin(min, (double)s[i]);
        max = fmax(max, (double)s[i]);
    }
    if (fabs(min - 1) <= 1e-5 && fabs(max - 1) <= 1e-5)
        return SAE_OK;
    if (!wanted)
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' holds a '%s' other than ones, but the cfg.json beside it has no "
                           "finetuning_scaling_factor: true",
                           in->path, name);
    SAE_TRY(is_rescaled(&rescaled, in, err));
    if (rescaled)
        return sae_err_set(err, SAE_EVERSION,
                           "'%s' has rescale_acts_by_decoder_norm and a '%s' together, which this "
                           "build has no formula for",
                           in->path, name);
    for (size_t i = 0; i < model->m; i++)
        for (size_t j = 0; j < model->d; j++)
            model->W_dec[i * model->d + j] *= s[i];
    return sae_import_say(in->folded, err, "%s (%.6g to %.6g) into the decoder", name, min, max);
}

/* One factor [m] multiplies f before the decoder. It has two names: that of the files of versions 2
 * and 3, and that of the module's own parameter. */
static enum sae_status fold_finetuning(struct sae_import *in, struct sae_err *err)
{
    const char *const older = "scaling_factor", *const own = "finetuning_scaling_factor";
    const bool has_own = sae_import_find(in, own) != NULL;
    const char *const name = has_own ? own : older;
    float *s = NULL;
    bool wanted;
    SAE_TRY(sae_import_flag(&wanted, in, "finetuning_scaling_factor", false, err));
    if (sae_import_find(in, name) == NULL)
        return wanted ? sae_err_set(err, SAE_EFORMAT,
                                    "'%s': the cfg.json beside it says finetuning_scaling_factor: "
                                    "true, but there is no such array",
                                    in->path)
                      : SAE_OK;
    SAE_TRY(sae_mem_alloc(&s, in->model.m, sizeof *s, err));
    enum sae_status st = sae_import_vector(in, name, in->model.m, s, err);
    if (st == SAE_OK)
        st = scale_decoder(in, name, s, wanted, err);
    free(s);
    return st;
}

/* Top-k by z_i |d_i| is top-k of the SAE with the norms folded in. */
static enum sae_status fold_rescaled(struct sae_import *in, struct sae_err *err)
{
    struct sae_model *const model = &in->model;
    double min, max;
    bool rescaled;
    SAE_TRY(is_rescaled(&rescaled, in, err));
    if (rescaled && !sae_arch_desc(model->arch)->has_k)
        return sae_err_set(err, SAE_EVERSION,
                           "'%s' has rescale_acts_by_decoder_norm with the architecture '%s', "
                           "which this build has no formula for",
                           in->path, sae_arch_name(model->arch));
    if (sae_arch_desc(model->arch)->by_k)
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

static enum sae_status find_site(struct sae_import *in, struct sae_err *err)
{
    SAE_TRY(sae_import_text(&in->model_name, in, PLACE_OF(in, "model_name", "metadata.model_name"),
                            NULL, err));
    SAE_TRY(sae_import_text(
        &in->hook, in,
        PLACE_OF(in, "hook_name", "metadata.hook_name", "hook_point", "metadata.hook_point"), NULL,
        err));
    in->context =
        sae_json_u64(in->cfg, "metadata.context_size", sae_json_u64(in->cfg, "context_size", 0));
    return SAE_OK;
}

enum sae_status sae_import_saelens(struct sae_import *in, struct sae_err *err)
{
    enum sae_arch arch = SAE_ARCH_STANDARD;
    size_t d, m, k;
    bool scalar;
    if (in->cfg == NULL)
        return sae_err_set(err, SAE_EFORMAT,
                           "no cfg.json beside '%s'; an SAE of SAELens is cfg.json and "
                           "sae_weights.safetensors in one folder",
                           in->path);
    in->format = "saelens";
    SAE_TRY(find_arch(&arch, in, err));
    SAE_TRY(check_unused(in, err));
    SAE_TRY(note_others(in, err));
    SAE_TRY(sae_import_size(in, "W_enc", false, &d, &m, err));
    SAE_TRY(check_sizes(in, d, m, err));
    SAE_TRY(find_k(&k, in, arch, m, err));
    SAE_TRY(sae_model_alloc(&in->model, arch, d, m, k, err));
    SAE_TRY(find_norm(in, &scalar, err));
    SAE_TRY(sae_import_flag(&in->model.subtract_b_dec, in, "apply_b_dec_to_input", true, err));
    SAE_TRY(find_site(in, err));
    SAE_TRY(read_arrays(in, err));
    SAE_TRY(fold_finetuning(in, err));
    if (scalar)
        SAE_TRY(fold_scalar(in, err));
    return fold_rescaled(in, err);
}
