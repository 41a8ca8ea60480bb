/* SPDX-License-Identifier: MIT */
/* import_sparsify : cfg.json and sae.safetensors of sparsify, in a folder named after the hooked
 * module ("layers.3").
 *   encoder.weight [m][d], encoder.bias [m], W_dec [m][d], b_dec [d]
 *   f = the k largest of relu(encoder.weight (x - b_dec) + encoder.bias)
 * multi_topk and normalize_decoder act in training only. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/file/hook.h"
#include "lib/file/json.h"
#include "lib/sae/import_inner.h"

static enum sae_status check_settings(const struct sae_import *in, struct sae_err *err)
{
    const char *activation = NULL;
    SAE_TRY(sae_import_text(&activation, in, "activation", "topk", err));
    if (strcmp(activation, "topk") != 0)
        return sae_err_set(err, SAE_EVERSION, "'%s' has the activation '%s'; topk is known",
                           in->path, activation);
    SAE_TRY(sae_import_refuse(
        in, "transcode", "it reconstructs what it did not read; only autoencoders are read", err));
    SAE_TRY(sae_import_refuse(in, "skip_connection", "this build has no formula for it", err));
    return sae_import_refuse(in, "signed", "it keeps negative latents, which no formula here does",
                             err);
}

static enum sae_status find_k(size_t *ret, const struct sae_import *in, size_t m,
                              struct sae_err *err)
{
    const double k = sae_json_real(in->cfg, "k", NAN);
    if (!(k >= 1 && k <= (double)m && k == floor(k)))
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s': the cfg.json beside it gives k = %g; expected 1 to %zu", in->path,
                           k, m);
    *ret = (size_t)k;
    return SAE_OK;
}

/* The folder's name, if it is a hook's. */
static enum sae_status find_hook(struct sae_import *in, struct sae_err *err)
{
    char real[PATH_MAX], *folder = NULL;
    struct sae_hook hook;
    SAE_TRY(sae_fs_dir(&folder, in->path, err));
    const char *const whole = realpath(folder, real);
    free(folder);
    const char *const base = whole != NULL ? sae_fs_base(whole) : "";
    if (strlen(base) >= sizeof in->folder || !sae_hook_parse(&hook, base))
        return SAE_OK;
    memcpy(in->folder, base, strlen(base) + 1);
    in->hook = in->folder;
    return SAE_OK;
}

enum sae_status sae_import_sparsify(struct sae_import *in, struct sae_err *err)
{
    size_t d = 0, m = 0, k = 0;
    in->format = "sparsify";
    if (in->cfg == NULL)
        return sae_err_set(err, SAE_EFORMAT,
                           "no cfg.json beside '%s'; an SAE of sparsify is cfg.json and "
                           "sae.safetensors in one folder",
                           in->path);
    SAE_TRY(check_settings(in, err));
    SAE_TRY(sae_import_size(in, "encoder.weight", true, &d, &m, err));
    SAE_TRY(sae_import_expect(in, "d_in", d, "d", err));
    if (sae_json_real(in->cfg, "num_latents", 0) > 0) /* 0: by the expansion factor */
        SAE_TRY(sae_import_expect(in, "num_latents", m, "m", err));
    SAE_TRY(find_k(&k, in, m, err));
    SAE_TRY(sae_model_alloc(&in->model, SAE_ARCH_TOPK, d, m, k, err));
    struct sae_model *const model = &in->model;
    in->no_fold = true;
    SAE_TRY(find_hook(in, err));
    SAE_TRY(sae_import_matrix(in, "encoder.weight", false, m, d, model->W_enc, err));
    SAE_TRY(sae_import_matrix(in, "W_dec", false, m, d, model->W_dec, err));
    SAE_TRY(sae_import_vector(in, "encoder.bias", m, model->b_enc, err));
    return sae_import_vector(in, "b_dec", d, model->b_dec, err);
}
