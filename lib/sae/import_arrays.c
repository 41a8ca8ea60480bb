/* SPDX-License-Identifier: MIT */
/* import_arrays : files of bare arrays, where names of folders tell what no file does.
 *   *.npz                              W_enc [d][m], W_dec [m][d], b_enc, b_dec, threshold [m]
 *   params.safetensors, config.json    Gemma Scope 2: the same in lower case
 *   layer3.sae.pt                      Qwen Scope: W_enc [m][d], W_dec [d][m], b_enc, b_dec
 * Contents: 1. folders   2. Qwen Scope   3. Gemma Scope and npz */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/str.h"
#include "lib/file/json.h"
#include "lib/sae/import_inner.h"

/* --- 1. folders --------------------------------------------------------------------------- */

/* The folder of the weights as "/a/b/c/", links followed: the file itself may be a link into a
 * cache whose names say nothing. New memory. */
static enum sae_status find_folder(char **ret, const struct sae_import *in, struct sae_err *err)
{
    char real[PATH_MAX], *folder = NULL;
    struct sae_str text = {0};
    SAE_TRY(sae_fs_dir(&folder, in->path, err));
    const enum sae_status st =
        sae_str_printf(&text, err, "%s/", realpath(folder, real) != NULL ? real : folder);
    free(folder);
    if (st == SAE_OK)
        *ret = text.s;
    return st;
}

/* A whole number that is followed by `after`. */
static bool number_at(const char *at, const char *after, uint64_t *ret)
{
    char digits[8] = "";
    const size_t n = strspn(at, "0123456789");
    if (n == 0 || n >= sizeof digits || strncmp(at + n, after, strlen(after)) != 0)
        return false;
    memcpy(digits, at, n);
    return sae_str_u64(digits, ret);
}

/* --- 2. Qwen Scope ------------------------------------------------------------------------ */

/* layer3.sae.pt in ".../SAE-Res-Qwen3-1.7B-Base-W32K-L0_50/": four arrays, latent-major encoder; k
 * and the layer stand in names only. */
bool sae_import_is_qwen(const struct sae_import *in)
{
    static const char *const names[] = {"W_enc", "W_dec", "b_enc", "b_dec"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (sae_import_find(in, names[i]) == NULL)
            return false;
    const struct sae_tensor *const W = sae_import_find(in, "W_enc");
    const struct sae_tensor *const b = sae_import_find(in, "b_enc");
    return in->cfg == NULL && in->tensors.n == 4 && W->rank == 2 && b->rank == 1 &&
           W->shape[0] == b->n;
}

static enum sae_status find_qwen_k(uint64_t *ret, const struct sae_import *in, size_t m,
                                   struct sae_err *err)
{
    char *folder = NULL;
    bool found = false;
    SAE_TRY(find_folder(&folder, in, err));
    for (const char *at = folder; !found && (at = strstr(at, "-L0_")) != NULL;) {
        at += strlen("-L0_");
        found = number_at(at, "/", ret) && *ret >= 1 && *ret <= m;
    }
    free(folder);
    if (found)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' has the arrays of Qwen Scope, a top-k SAE, and no file gives its k; "
                       "put it in a folder whose name ends in it, as in the release "
                       "(\"SAE-Res-Qwen3-1.7B-Base-W32K-L0_50\"; expected 1 to %zu)",
                       in->path, m);
}

enum sae_status sae_import_qwen(struct sae_import *in, struct sae_err *err)
{
    size_t d = 0, m = 0;
    uint64_t k = 0;
    const char *const base = sae_fs_base(in->path);
    in->format = "qwen_scope";
    SAE_TRY(sae_import_size(in, "W_enc", true, &d, &m, err));
    SAE_TRY(find_qwen_k(&k, in, m, err));
    SAE_TRY(sae_model_alloc(&in->model, SAE_ARCH_TOPK, d, m, (size_t)k, err));
    in->model.subtract_b_dec = false;
    in->no_fold = true;
    if (strncmp(base, "layer", strlen("layer")) == 0)
        (void)number_at(base + strlen("layer"), ".sae.pt", &in->layer);
    SAE_TRY(sae_import_matrix(in, "W_enc", false, m, d, in->model.W_enc, err));
    SAE_TRY(sae_import_matrix(in, "W_dec", true, m, d, in->model.W_dec, err));
    SAE_TRY(sae_import_vector(in, "b_enc", m, in->model.b_enc, err));
    return sae_import_vector(in, "b_dec", d, in->model.b_dec, err);
}

/* --- 3. Gemma Scope and npz --------------------------------------------------------------- */

/* An array under its usual name, or in lower case as some files have it. */
static const char *named(const struct sae_import *in, const char *usual, const char *lower)
{
    return sae_import_find(in, usual) == NULL && sae_import_find(in, lower) != NULL ? lower : usual;
}

/* Bare arrays tell the layer by folders only: ".../layer_12/width_16k/average_l0_82/params.npz". */
static uint64_t layer_of(const char *folder)
{
    uint64_t layer = UINT64_MAX;
    for (const char *at = folder; (at = strstr(at, "/layer_")) != NULL;) {
        at += strlen("/layer_");
        (void)number_at(at, "/", &layer);
    }
    return layer;
}

/* config.json of Gemma Scope 2, which has transcoders too. */
static enum sae_status read_scope(struct sae_import *in, bool cut, struct sae_err *err)
{
    const char *arch = NULL, *type = NULL, *out = NULL;
    if (in->cfg == NULL)
        return SAE_OK;
    in->format = "gemma_scope_2";
    SAE_TRY(sae_import_text(&arch, in, "architecture", "jump_relu", err));
    SAE_TRY(sae_import_text(&type, in, "type", "sae", err));
    SAE_TRY(sae_import_text(&in->model_name, in, "model_name", NULL, err));
    SAE_TRY(sae_import_text(&in->hook, in, "hf_hook_point_in", NULL, err));
    SAE_TRY(sae_import_text(&out, in, "hf_hook_point_out", in->hook, err));
    SAE_TRY(sae_import_refuse(in, "affine_connection", "this build has no formula for it", err));
    if (strcmp(type, "sae") != 0 ||
        (out != NULL && (in->hook == NULL || strcmp(out, in->hook) != 0)))
        return sae_err_set(err, SAE_EVERSION,
                           "'%s' is no autoencoder (type '%s', from '%s' to '%s'); only those are "
                           "read",
                           in->path, type, in->hook != NULL ? in->hook : "?",
                           out != NULL ? out : "?");
    if (strcmp(arch, "jump_relu") == 0 && cut)
        return SAE_OK;
    return sae_err_set(err, SAE_EVERSION, "'%s' is of architecture '%s'%s; jump_relu is known",
                       in->path, arch, cut ? "" : " without thresholds");
}

enum sae_status sae_import_arrays(struct sae_import *in, struct sae_err *err)
{
    const char *const W_enc = named(in, "W_enc", "w_enc"), *const W_dec =
                                                               named(in, "W_dec", "w_dec");
    const bool cut = sae_import_find(in, "threshold") != NULL;
    size_t d = 0, m = 0;
    char *folder = NULL;
    in->format = "npz";
    SAE_TRY(find_folder(&folder, in, err));
    in->layer = layer_of(folder);
    const bool transcodes = strstr(folder, "transcoder") != NULL;
    free(folder);
    if (transcodes)
        return sae_err_set(
            err, SAE_EVERSION,
            "'%s' is a transcoder by the name of its folder: it reconstructs what it "
            "did not read; only autoencoders are read",
            in->path);
    SAE_TRY(read_scope(in, cut, err));
    SAE_TRY(sae_import_size(in, W_enc, false, &d, &m, err));
    SAE_TRY(sae_import_expect(in, "width", m, "m", err));
    SAE_TRY(sae_model_alloc(&in->model, cut ? SAE_ARCH_JUMPRELU : SAE_ARCH_STANDARD, d, m, 0, err));
    struct sae_model *const model = &in->model;
    model->subtract_b_dec = false;
    SAE_TRY(sae_import_matrix(in, W_enc, true, m, d, model->W_enc, err));
    SAE_TRY(sae_import_matrix(in, W_dec, false, m, d, model->W_dec, err));
    SAE_TRY(sae_import_vector(in, "b_enc", m, model->b_enc, err));
    SAE_TRY(sae_import_vector(in, "b_dec", d, model->b_dec, err));
    if (cut)
        return sae_import_vector(in, "threshold", m, model->threshold, err);
    return sae_import_say(in->notes, err,
                          "it has no threshold: taken for relu(W_enc x + b_enc), b_dec not "
                          "subtracted");
}
