/* SPDX-License-Identifier: MIT */
/* write : the files of other packages.
 * Contents: 1. shared   2. SAELens   3. dictionary_learning   4. npz */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/convert.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/json.h"
#include "lib/file/npy.h"
#include "lib/file/record.h"
#include "lib/file/st.h"
#include "lib/file/torch.h"
#include "lib/file/zip.h"
#include "lib/sae/import.h"

const char *const convert_to_names[] = {"auto", "saekit", "saelens", "dictionary_learning", "npz",
                                        NULL};

enum convert_to convert_guess(const char *out)
{
    if (sae_str_ends(out, ".h5"))
        return CONVERT_SAEKIT;
    return sae_str_ends(out, ".npz") ? CONVERT_NPZ : CONVERT_SAELENS;
}

/* --- 1. shared ---------------------------------------------------------------------------- */

static double row_dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

enum sae_status convert_bias(struct sae_model *model, bool subtract, json_t *folded,
                             struct sae_err *err)
{
    if (model->subtract_b_dec == subtract)
        return SAE_OK;
    const double sign = subtract ? 1 : -1;
    for (size_t i = 0; i < model->m; i++) {
        const double by = sign * row_dot(model->W_enc + i * model->d, model->b_dec, model->d);
        if (model->b_enc != NULL)
            model->b_enc[i] = (float)((double)model->b_enc[i] + by);
        if (model->b_gate != NULL) {
            model->b_gate[i] = (float)((double)model->b_gate[i] + by);
            model->b_mag[i] =
                (float)((double)model->b_mag[i] + exp((double)model->r_mag[i]) * by);
        }
    }
    model->subtract_b_dec = subtract;
    json_t *const said = json_string(subtract ? "W_enc b_dec into the encoder's bias, as b_dec will "
                                                "be subtracted"
                                              : "-W_enc b_dec into the encoder's bias, as b_dec "
                                                "will not be subtracted");
    return json_array_append_new(folded, said) == 0 ? SAE_OK
                                                    : sae_err_set(err, SAE_ENOMEM, "out of memory");
}

enum sae_status convert_transpose(float **ret, const float *from, size_t rows, size_t cols,
                                  struct sae_err *err)
{
    enum { SIDE = 32 };
    float *to = NULL;
    SAE_TRY(sae_mem_alloc(&to, rows * cols, sizeof *to, err));
    for (size_t r0 = 0; r0 < rows; r0 += SIDE)
        for (size_t c0 = 0; c0 < cols; c0 += SIDE)
            for (size_t r = r0; r < rows && r < r0 + SIDE; r++)
                for (size_t c = c0; c < cols && c < c0 + SIDE; c++)
                    to[c * rows + r] = from[r * cols + c];
    *ret = to;
    return SAE_OK;
}

enum sae_status convert_check_free(const char *path, bool force, struct sae_err *err)
{
    if (force || access(path, F_OK) != 0)
        return SAE_OK;
    return sae_err_set(err, SAE_EARG, "'%s' is there already; give --force to replace it", path);
}

struct convert_site convert_site_of(const struct sae_ckpt *ckpt)
{
    const json_t *site = ckpt->record != NULL ? json_object_get(ckpt->record, "site") : NULL;
    if (site == NULL && ckpt->record != NULL)
        site = sae_json_at(sae_record_find_input(ckpt->record, "acts"), "record.site");
    const struct convert_site none = {NULL, NULL, UINT64_MAX, UINT64_MAX};
    if (site == NULL)
        return none;
    return (struct convert_site){sae_json_str(site, "model", NULL), sae_json_str(site, "hook", NULL),
                                 sae_json_u64(site, "layer", UINT64_MAX),
                                 sae_json_u64(site, "context", UINT64_MAX)};
}

/* as: what the package calls it; NULL: it has none that computes the same. */
static enum sae_status check_known(const struct sae_ckpt *ckpt, const char *as, const char *package,
                                   struct sae_err *err)
{
    if (as)
        return SAE_OK;
    return sae_err_set(err, SAE_EARG, "'%s' is of architecture %s, which %s does not have",
                       ckpt->path, sae_arch_name(ckpt->model.arch), package);
}

/* Two paths in a new folder, both free to write. */
static enum sae_status make_folder(const char *out, char **ret_a, const char *a, char **ret_b,
                                   const char *b, bool force, struct sae_err *err)
{
    SAE_TRY(sae_fs_make_dirs(out, err));
    SAE_TRY(sae_fs_join(ret_a, out, a, err));
    SAE_TRY(sae_fs_join(ret_b, out, b, err));
    SAE_TRY(convert_check_free(*ret_a, force, err));
    return convert_check_free(*ret_b, force, err);
}

static json_t *count_or_null(uint64_t n)
{
    return n == UINT64_MAX ? json_null() : json_integer((json_int_t)n);
}

/* --- 2. SAELens --------------------------------------------------------------------------- */

static json_t *lens_cfg(const struct sae_ckpt *ckpt)
{
    const struct sae_model *const model = &ckpt->model;
    const struct convert_site site = convert_site_of(ckpt);
    const struct sae_arch_desc *const arch = sae_arch_desc(model->arch);
    json_t *const cfg = json_pack(
        "{s:I, s:I, s:s, s:s, s:b, s:s, s:s, s:s, s:{s:s, s:n, s:s?, s:s?, s:o, s:b, s:s}}", "d_in",
        (json_int_t)model->d, "d_sae", (json_int_t)model->m, "dtype", "float32", "device", "cpu",
        "apply_b_dec_to_input", (int)model->subtract_b_dec, "normalize_activations",
        sae_norm_name(model->norm), "reshape_activations", "none", "architecture",
        arch->lens_as, "metadata", "sae_lens_version", "6.0.0",
        "sae_lens_training_version", "model_name", site.model, "hook_name", site.hook,
        "context_size", count_or_null(site.context), "prepend_bos", 1, "saekit_id", ckpt->id);
    if (cfg != NULL && arch->by_k) {
        json_object_set_new(cfg, "k", json_integer((json_int_t)model->k));
        json_object_set_new(cfg, "rescale_acts_by_decoder_norm", json_false());
    }
    return cfg;
}

static enum sae_status lens_weights(const char *path, const struct sae_model *model,
                                    struct sae_err *err)
{
    const size_t d = model->d, m = model->m;
    float *W_enc = NULL;
    SAE_TRY(convert_transpose(&W_enc, model->W_enc, m, d, err));
    static const size_t order[] = {SAE_W_ENC,     SAE_W_DEC,  SAE_B_DEC, SAE_B_ENC,
                                   SAE_THRESHOLD, SAE_B_GATE, SAE_B_MAG, SAE_R_MAG};
    _Static_assert(sizeof order / sizeof *order == SAE_WEIGHTS, "each array has its place");
    struct sae_model from = *model;
    struct sae_st_item items[SAE_WEIGHTS];
    size_t n = 0;
    for (size_t i = 0; i < SAE_WEIGHTS; i++) {
        const struct sae_weight *const w = &sae_weights[order[i]];
        const float *const data = *sae_weight_of(&from, w);
        if (data && w->by_latent && w->by_dim)
            items[n++] = order[i] == SAE_W_ENC
                             ? (struct sae_st_item){w->name, SAE_ST_F32, 2, {d, m}, W_enc}
                             : (struct sae_st_item){w->name, SAE_ST_F32, 2, {m, d}, data};
        else if (data)
            items[n++] =
                (struct sae_st_item){w->name, SAE_ST_F32, 1, {sae_weight_size(&from, w)}, data};
    }
    const enum sae_status st = sae_st_write(path, items, n, err);
    free(W_enc);
    return st;
}

enum sae_status convert_saelens(const char *out, struct sae_ckpt *ckpt, bool force,
                                struct sae_err *err)
{
    char *weights = NULL, *cfg_path = NULL;
    json_t *cfg = NULL;
    enum sae_status st;
    SAE_TRY(check_known(ckpt, sae_arch_desc(ckpt->model.arch)->lens_as, "SAELens", err));
    SAE_GO(st, make_folder(out, &weights, "sae_weights.safetensors", &cfg_path, "cfg.json", force,
                           err));
    cfg = lens_cfg(ckpt);
    if (cfg == NULL) {
        st = sae_err_set(err, SAE_ENOMEM, "out of memory describing '%s'", ckpt->path);
        goto done;
    }
    SAE_GO(st, lens_weights(weights, &ckpt->model, err));
    st = sae_json_save(cfg_path, cfg, err);
done:
    json_decref(cfg);
    free(weights);
    free(cfg_path);
    return st;
}

/* --- 3. dictionary_learning --------------------------------------------------------------- */

static bool is_constant(const float *v, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (v[i] != v[0])
            return false;
    return true;
}

/* A threshold of its own for each latent goes where the package has one. NULL: it has no class. */
static const struct sae_dict_class *dict_class(const struct sae_model *model)
{
    const struct sae_arch_desc *const arch = sae_arch_desc(model->arch);
    const char *name = arch->dict;
    if (arch->one_threshold && !is_constant(model->threshold, model->m))
        name = sae_arch_desc(SAE_ARCH_JUMPRELU)->dict;
    else if (!model->subtract_b_dec && arch->dict_plain)
        name = arch->dict_plain;
    return name ? sae_dict_class(name) : NULL;
}

static json_t *dict_config(const struct sae_ckpt *ckpt, const char *class)
{
    const struct sae_model *const model = &ckpt->model;
    const struct convert_site site = convert_site_of(ckpt);
    json_t *const trainer = json_pack(
        "{s:s, s:I, s:I, s:o, s:s?, s:s?, s:I, s:o, s:s}", "dict_class", class, "activation_dim",
        (json_int_t)model->d, "dict_size", (json_int_t)model->m, "layer", count_or_null(site.layer),
        "lm_name", site.model, "submodule_name", site.hook, "steps", (json_int_t)ckpt->step, "seed",
        sae_json_whole(ckpt->seed), "saekit_id", ckpt->id);
    if (trainer != NULL && model->k > 0)
        json_object_set_new(trainer, "k", json_integer((json_int_t)model->k));
    return json_pack("{s:o, s:{s:I, s:o}}", "trainer", trainer, "buffer", "d_submodule",
                     (json_int_t)model->d, "ctx_len", count_or_null(site.context));
}

/* The state dict of a class of linear layers: encoder.weight [m][d], decoder.weight [d][m]. kept: the
 * threshold of a topk. */
static size_t linear_items(struct sae_torch_item items[8], const struct sae_dict_class *class,
                           const struct sae_model *model, const float *W_dec_t, const float *kept)
{
    const size_t d = model->d, m = model->m;
    size_t n = 0;
    items[n++] = (struct sae_torch_item){"encoder.weight", 2, {m, d}, model->W_enc, false, 0};
    items[n++] = (struct sae_torch_item){"decoder.weight", 2, {d, m}, W_dec_t, false, 0};
    items[n++] = (struct sae_torch_item){class->b_dec, 1, {d, 0}, model->b_dec, false, 0};
    if (model->b_gate) {
        items[n++] = (struct sae_torch_item){"gate_bias", 1, {m, 0}, model->b_gate, false, 0};
        items[n++] = (struct sae_torch_item){"mag_bias", 1, {m, 0}, model->b_mag, false, 0};
        items[n++] = (struct sae_torch_item){"r_mag", 1, {m, 0}, model->r_mag, false, 0};
        return n;
    }
    items[n++] = (struct sae_torch_item){"encoder.bias", 1, {m, 0}, model->b_enc, false, 0};
    if (sae_arch_desc(model->arch)->has_k) {
        const float *const cut = model->threshold != NULL ? model->threshold : kept;
        items[n++] = (struct sae_torch_item){"k", 0, {0, 0}, NULL, true, (int32_t)model->k};
        items[n++] = (struct sae_torch_item){"threshold", 0, {0, 0}, cut, false, 0};
    }
    return n;
}

static enum sae_status dict_weights(const char *path, const struct sae_dict_class *class,
                                    const struct sae_model *model, struct sae_err *err)
{
    const size_t d = model->d, m = model->m;
    const bool linear = class->linear;
    const float kept = model->topk_threshold > 0 ? (float)model->topk_threshold : -1; /* never set */
    struct sae_torch_item items[8];
    float *turned = NULL;
    size_t n;
    SAE_TRY(convert_transpose(&turned, linear ? model->W_dec : model->W_enc, m, d, err));
    if (!linear) {
        items[0] = (struct sae_torch_item){"W_enc", 2, {d, m}, turned, false, 0};
        items[1] = (struct sae_torch_item){"b_enc", 1, {m, 0}, model->b_enc, false, 0};
        items[2] = (struct sae_torch_item){"W_dec", 2, {m, d}, model->W_dec, false, 0};
        items[3] = (struct sae_torch_item){"b_dec", 1, {d, 0}, model->b_dec, false, 0};
        items[4] = (struct sae_torch_item){"threshold", 1, {m, 0}, model->threshold, false, 0};
        n = 5;
    } else {
        n = linear_items(items, class, model, turned, &kept);
    }
    const enum sae_status st = sae_torch_write(path, items, n, err);
    free(turned);
    return st;
}

static enum sae_status refuse_norm(const struct sae_ckpt *ckpt, const char *format,
                                   struct sae_err *err)
{
    if (ckpt->model.norm == SAE_NORM_NONE)
        return SAE_OK;
    return sae_err_set(err, SAE_EARG,
                       "'%s' normalises its input (%s), which %s cannot say; --to saelens can",
                       ckpt->path, sae_norm_name(ckpt->model.norm), format);
}

enum sae_status convert_dictionary(const char *out, struct sae_ckpt *ckpt, bool force,
                                   json_t *folded, struct sae_err *err)
{
    char *weights = NULL, *config_path = NULL;
    json_t *config = NULL;
    const struct sae_dict_class *const class = dict_class(&ckpt->model);
    enum sae_status st;
    SAE_TRY(check_known(ckpt, class ? class->name : NULL, "dictionary_learning", err));
    SAE_GO(st, refuse_norm(ckpt, "dictionary_learning", err));
    SAE_GO(st, make_folder(out, &weights, "ae.pt", &config_path, "config.json", force, err));
    SAE_GO(st, convert_bias(&ckpt->model, class->subtracts, folded, err));
    config = dict_config(ckpt, class->name);
    if (config == NULL) {
        st = sae_err_set(err, SAE_ENOMEM, "out of memory describing '%s'", ckpt->path);
        goto done;
    }
    SAE_GO(st, dict_weights(weights, class, &ckpt->model, err));
    st = sae_json_save(config_path, config, err);
done:
    json_decref(config);
    free(weights);
    free(config_path);
    return st;
}

/* --- 4. npz ------------------------------------------------------------------------------- */

enum sae_status convert_npz(const char *out, struct sae_ckpt *ckpt, bool force, json_t *folded,
                            struct sae_err *err)
{
    struct sae_model *const model = &ckpt->model;
    const size_t d = model->d, m = model->m;
    float *W_enc = NULL, *zeros = NULL;
    char heads[5][SAE_NPY_HEAD_MAX];
    struct sae_zip_item items[5];
    enum sae_status st;
    SAE_TRY(convert_check_free(out, force, err));
    SAE_TRY(refuse_norm(ckpt, "npz", err));
    if (!sae_arch_desc(model->arch)->arrays)
        return sae_err_set(err, SAE_EARG,
                           "'%s' is of architecture %s; the arrays of an npz say jumprelu, "
                           "batchtopk and standard only",
                           ckpt->path, sae_arch_name(model->arch));
    SAE_GO(st, convert_bias(model, false, folded, err));
    SAE_GO(st, convert_transpose(&W_enc, model->W_enc, m, d, err));
    SAE_GO(st, sae_mem_alloc(&zeros, m, sizeof *zeros, err)); /* relu(z) is relu(z) 1[z > 0] */
    const struct {
        const char *name;
        const float *data;
        size_t rank, shape[2];
    } arrays[5] = {{"W_dec.npy", model->W_dec, 2, {m, d}},
                   {"W_enc.npy", W_enc, 2, {d, m}},
                   {"b_dec.npy", model->b_dec, 1, {d, 0}},
                   {"b_enc.npy", model->b_enc, 1, {m, 0}},
                   {"threshold.npy", model->threshold ? model->threshold : zeros, 1, {m, 0}}};
    for (size_t i = 0; i < 5; i++) {
        const size_t n = arrays[i].shape[0] * (arrays[i].rank == 2 ? arrays[i].shape[1] : 1);
        const size_t n_head = sae_npy_head(heads[i], arrays[i].rank, arrays[i].shape);
        items[i] = (struct sae_zip_item){arrays[i].name, heads[i], arrays[i].data, n_head,
                                         n * sizeof(float)};
    }
    st = sae_zip_write(out, items, 5, err);
done:
    free(W_enc);
    free(zeros);
    return st;
}
