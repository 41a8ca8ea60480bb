/* SPDX-License-Identifier: MIT */
/* import : which format, its reader, and what all have in common after it.
 * Contents: 1. what readers share   2. decoder norms   3. the record   4. loading */
#include "lib/sae/import.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/file/hook.h"
#include "lib/file/json.h"
#include "lib/sae/import_inner.h"

#define UNIT_TOLERANCE 1e-5 /* SAEBench's, for f32 */

/* --- 1. what readers share ---------------------------------------------------------------- */

const struct sae_tensor *sae_import_find(const struct sae_import *in, const char *name)
{
    const size_t skip = strlen(in->prefix);
    for (size_t i = 0; i < in->tensors.n; i++) {
        const char *const found = in->tensors.v[i].name;
        if (strncmp(found, in->prefix, skip) == 0 && strcmp(found + skip, name) == 0)
            return &in->tensors.v[i];
    }
    return NULL;
}

void sae_import_skip(const struct sae_import *in, const char *name)
{
    const struct sae_tensor *const t = sae_import_find(in, name);
    if (t != NULL)
        in->read[t - in->tensors.v] = true;
}

/* Finds an array that is going to be read. */
static enum sae_status find(const struct sae_tensor **ret, const struct sae_import *in,
                            const char *name, size_t rank, struct sae_err *err)
{
    char shape[SAE_TENSOR_SHAPE_BYTES];
    const struct sae_tensor *const t = sae_import_find(in, name);
    if (t == NULL)
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no array '%s%s'", in->path, in->prefix,
                           name);
    if (t->type == SAE_TENSOR_OTHER || t->rank != rank)
        return sae_err_set(err, SAE_EFORMAT, "'%s': '%s' is of shape %s%s, expected %zu dimensions",
                           in->path, name, sae_tensor_shape(t, shape),
                           t->type == SAE_TENSOR_OTHER ? " and an unknown type" : "", rank);
    in->read[t - in->tensors.v] = true;
    *ret = t;
    return SAE_OK;
}

enum sae_status sae_import_size(const struct sae_import *in, const char *name, bool latent_major,
                                size_t *ret_d, size_t *ret_m, struct sae_err *err)
{
    const struct sae_tensor *t = NULL;
    SAE_TRY(find(&t, in, name, 2, err));
    const size_t d = t->shape[latent_major ? 1 : 0], m = t->shape[latent_major ? 0 : 1];
    if (d == 0 || m == 0 || d > UINT32_MAX || m > UINT32_MAX)
        return sae_err_set(err, SAE_EFORMAT, "'%s': d = %zu and m = %zu cannot be", in->path, d, m);
    *ret_d = d;
    *ret_m = m;
    return SAE_OK;
}

static enum sae_status check_finite(const struct sae_import *in, const char *name, const float *v,
                                    size_t n, struct sae_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i]))
            return sae_err_set(err, SAE_EFORMAT,
                               "'%s': '%s' holds %f at %zu; weights must be finite numbers",
                               in->path, name, (double)v[i], i);
    return SAE_OK;
}

enum sae_status sae_import_matrix(const struct sae_import *in, const char *name, bool transposed,
                                  size_t rows, size_t cols, float *to, struct sae_err *err)
{
    const struct sae_tensor *t = NULL;
    char shape[SAE_TENSOR_SHAPE_BYTES];
    SAE_TRY(find(&t, in, name, 2, err));
    const struct sae_tensor seen = transposed ? sae_tensor_transposed(t) : *t;
    if (seen.shape[0] != rows || seen.shape[1] != cols)
        return sae_err_set(err, SAE_EFORMAT, "'%s': '%s' is of shape %s, expected [%zu, %zu]",
                           in->path, name, sae_tensor_shape(t, shape), transposed ? cols : rows,
                           transposed ? rows : cols);
    SAE_TRY(sae_tensor_read(&seen, to, err));
    return check_finite(in, name, to, rows * cols, err);
}

enum sae_status sae_import_vector(const struct sae_import *in, const char *name, size_t n,
                                  float *to, struct sae_err *err)
{
    const struct sae_tensor *t = NULL;
    SAE_TRY(find(&t, in, name, 1, err));
    if (t->n != n)
        return sae_err_set(err, SAE_EFORMAT, "'%s': '%s' has %zu numbers, expected %zu", in->path,
                           name, t->n, n);
    SAE_TRY(sae_tensor_read(t, to, err));
    return check_finite(in, name, to, n, err);
}

enum sae_status sae_import_scalar(const struct sae_import *in, const char *name, double *ret,
                                  struct sae_err *err)
{
    const struct sae_tensor *const t = sae_import_find(in, name);
    bool found = t != NULL && t->n == 1 && t->type != SAE_TENSOR_OTHER;
    if (found) {
        *ret = sae_tensor_number(t);
        sae_import_skip(in, name);
    }
    for (size_t i = 0; t == NULL && i < in->tensors.n_numbers; i++)
        if (strcmp(in->tensors.numbers[i].name, name) == 0) {
            *ret = in->tensors.numbers[i].value;
            found = true;
        }
    if (!found)
        return sae_err_set(err, SAE_EFORMAT, "'%s': '%s' is %s, expected one number", in->path,
                           name, t == NULL ? "missing" : "an array");
    return SAE_OK;
}

/* A value of the settings as it stands in the file, cut for a message. */
enum { SHOWN_BYTES = 64 };
static const char *shown(char to[SHOWN_BYTES], const json_t *value)
{
    char *const text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    (void)snprintf(to, SHOWN_BYTES, "%s", text != NULL ? text : "?");
    if (text != NULL && strlen(text) >= SHOWN_BYTES)
        memcpy(to + SHOWN_BYTES - 4, "...", 4);
    free(text);
    return to;
}

enum sae_status sae_import_flag(bool *ret, const struct sae_import *in, const char *path,
                                bool otherwise, struct sae_err *err)
{
    char text[SHOWN_BYTES];
    const json_t *const value = sae_json_at(in->cfg, path);
    const double number = json_is_number(value) ? json_number_value(value) : NAN;
    if (value == NULL || (json_is_null(value) && !otherwise))
        *ret = otherwise;
    else if (json_is_boolean(value) || number == 0 || number == 1)
        *ret = json_is_true(value) || number == 1;
    else
        return sae_err_set(err, SAE_EVERSION,
                           "'%s': the setting '%s' is %s; expected true or false", in->path, path,
                           shown(text, value));
    return SAE_OK;
}

enum sae_status sae_import_text(const char **ret, const struct sae_import *in, const char *path,
                                const char *otherwise, struct sae_err *err)
{
    char text[SHOWN_BYTES];
    const json_t *const value = sae_json_at(in->cfg, path);
    if (value != NULL && !json_is_null(value) && !json_is_string(value))
        return sae_err_set(err, SAE_EVERSION, "'%s': the setting '%s' is %s; expected a text",
                           in->path, path, shown(text, value));
    *ret = json_is_string(value) ? json_string_value(value) : otherwise;
    return SAE_OK;
}

static bool is_off(const json_t *value)
{
    const char *const text = json_string_value(value);
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_number(value) && json_number_value(value) == 0) ||
           (text != NULL && (*text == '\0' || strcmp(text, "none") == 0));
}

enum sae_status sae_import_refuse(const struct sae_import *in, const char *path, const char *why,
                                  struct sae_err *err)
{
    char text[SHOWN_BYTES];
    const json_t *const value = sae_json_at(in->cfg, path);
    if (is_off(value))
        return SAE_OK;
    return sae_err_set(err, SAE_EVERSION, "'%s': the setting '%s' is %s: %s", in->path, path,
                       shown(text, value), why);
}

enum sae_status sae_import_note_others(const struct sae_import *in, const char *const *known,
                                       struct sae_err *err)
{
    char text[SHOWN_BYTES];
    const char *key;
    json_t *value;
    json_object_foreach(in->cfg, key, value)
    {
        bool found = is_off(value);
        for (size_t i = 0; !found && known[i] != NULL; i++)
            found = strcmp(key, known[i]) == 0;
        if (!found)
            SAE_TRY(sae_import_say(in->notes, err,
                                   "its setting '%.60s' (%s) is not known to this build and not "
                                   "used; if it changes what the SAE computes, the numbers are "
                                   "wrong",
                                   key, shown(text, value)));
    }
    return SAE_OK;
}

enum sae_status sae_import_expect(const struct sae_import *in, const char *path, size_t n,
                                  const char *of, struct sae_err *err)
{
    const double said = sae_json_real(in->cfg, path, (double)n);
    if (said == (double)n)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' has %s = %zu by its arrays, but its settings say %s = %.15g; the two "
                       "do not belong together",
                       in->path, of, n, path, said);
}

/* A backup holds the SAE under a prefix; what it holds beside is the trainer's. */
static bool is_of_trainer(const struct sae_import *in, const char *name)
{
    static const char *const parts[] = {"optimizer.", "config.", "step", "norm_factor"};
    for (size_t i = 0; *in->prefix != '\0' && i < sizeof parts / sizeof *parts; i++) {
        const size_t n = strlen(parts[i]);
        if (parts[i][n - 1] == '.' ? strncmp(name, parts[i], n) == 0 : strcmp(name, parts[i]) == 0)
            return true;
    }
    return false;
}

/* An array that nobody read may change what the SAE computes, so it is refused. */
static enum sae_status check_all_read(const struct sae_import *in, struct sae_err *err)
{
    char shape[SAE_TENSOR_SHAPE_BYTES];
    for (size_t i = 0; i < in->tensors.n; i++) {
        const struct sae_tensor *const t = &in->tensors.v[i];
        if (!in->read[i] && !is_of_trainer(in, t->name))
            return sae_err_set(err, SAE_EVERSION,
                               "'%s' holds an array '%.100s' %s that this build has no formula "
                               "for (%s, %s); without it the numbers would be wrong",
                               in->path, t->name, sae_tensor_shape(t, shape), in->format,
                               sae_arch_name(in->model.arch));
    }
    return SAE_OK;
}

enum sae_status sae_import_say(json_t *list, struct sae_err *err, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    json_t *const said = json_string(text);
    if (said == NULL || json_array_append_new(list, said) != 0)
        return sae_err_set(err, SAE_ENOMEM, "out of memory describing an SAE");
    return SAE_OK;
}

/* --- 2. decoder norms --------------------------------------------------------------------- */

static void scale_row(float *row, size_t n, double by)
{
    for (size_t i = 0; i < n; i++)
        row[i] = (float)((double)row[i] * by);
}

static double norm_of(const float *row, size_t d)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++)
        sum += (double)row[i] * (double)row[i];
    return sqrt(sum);
}

/* A row of zeros says nothing and stays. */
static bool is_unit(double norm)
{
    return norm == 0 || fabs(norm - 1) <= UNIT_TOLERANCE;
}

size_t sae_import_count_norms(const struct sae_model *model)
{
    size_t n = 0;
    for (size_t i = 0; i < model->m; i++)
        n += !is_unit(norm_of(model->W_dec + i * model->d, model->d));
    return n;
}

size_t sae_import_fold_norms(struct sae_model *model, double *ret_min, double *ret_max)
{
    const size_t d = model->d;
    size_t n_changed = 0;
    double min = INFINITY, max = 0;
    for (size_t i = 0; i < model->m; i++) {
        const double norm = norm_of(model->W_dec + i * d, d);
        if (is_unit(norm))
            continue;
        n_changed++;
        min = fmin(min, norm);
        max = fmax(max, norm);
        scale_row(model->W_dec + i * d, d, 1 / norm);
        scale_row(model->W_enc + i * d, d, norm);
        for (size_t a = 0; a < SAE_WEIGHTS; a++) {
            float *const v = *sae_weight_of(model, &sae_weights[a]);
            if (v && sae_weights[a].in_units && sae_weights[a].by_latent)
                scale_row(v + i, 1, norm);
        }
    }
    *ret_min = min;
    *ret_max = max;
    return n_changed;
}

/* --- 3. the record ------------------------------------------------------------------------ */

/* {"name", "sha256"} of a file; the identity of all goes on with it. */
static enum sae_status add_file(json_t *files, const char *path, struct sae_digest *whole,
                                struct sae_err *err)
{
    char hex[SAE_DIGEST_HEX];
    SAE_TRY(sae_digest_file(path, hex, err));
    sae_digest_update(whole, hex, strlen(hex));
    json_t *const name = json_string(sae_fs_base(path));
    if (name == NULL)
        return sae_err_set(err, SAE_EARG, "the name of '%s' is not valid UTF-8; rename it", path);
    if (json_array_append_new(files, json_pack("{s:o, s:s}", "name", name, "sha256", hex)) != 0)
        return sae_err_set(err, SAE_ENOMEM, "out of memory describing '%s'", path);
    return SAE_OK;
}

static json_t *site_of(const struct sae_import *in)
{
    uint64_t layer = in->layer;
    struct sae_hook hook;
    json_t *const site = json_object();
    if (in->hook != NULL && sae_hook_parse(&hook, in->hook))
        layer = hook.layer;
    if (in->model_name != NULL)
        json_object_set_new(site, "model", json_string(in->model_name));
    if (layer != UINT64_MAX)
        json_object_set_new(site, "layer", json_integer((json_int_t)layer));
    if (in->hook != NULL)
        json_object_set_new(site, "hook", json_string(in->hook));
    json_object_set_new(site, "d", json_integer((json_int_t)in->model.d));
    if (in->context > 0)
        json_object_set_new(site, "context", json_integer((json_int_t)in->context));
    return site;
}

static enum sae_status describe(struct sae_ckpt *ckpt, const struct sae_import *in,
                                const char *cfg_path, struct sae_err *err)
{
    struct sae_digest whole;
    json_t *const files = json_array();
    sae_digest_init(&whole);
    enum sae_status st = add_file(files, in->path, &whole, err);
    if (st == SAE_OK && cfg_path != NULL)
        st = add_file(files, cfg_path, &whole, err);
    if (st == SAE_OK) {
        sae_digest_hex(&whole, ckpt->id);
        ckpt->record = json_pack("{s:{s:s, s:O, s:O*, s:O, s:O}, s:o, s:[]}", "imported", "format",
                                 in->format, "files", files, "cfg", in->cfg, "folded", in->folded,
                                 "notes", in->notes, "site", site_of(in), "inputs");
        if (ckpt->record == NULL)
            st = sae_err_set(err, SAE_ENOMEM, "out of memory describing '%s'", in->path);
    }
    json_decref(files);
    return st;
}

const json_t *sae_import_of(const struct sae_ckpt *ckpt)
{
    return ckpt->record != NULL ? json_object_get(ckpt->record, "imported") : NULL;
}

/* --- 4. loading --------------------------------------------------------------------------- */

/* A file of settings in a folder, if it is there. */
static enum sae_status read_cfg_in(struct sae_import *in, char **ret_path, const char *folder,
                                   const char *name, struct sae_err *err)
{
    char *path = NULL;
    SAE_TRY(sae_fs_join(&path, folder, name, err));
    enum sae_status st = SAE_OK;
    if (sae_fs_is_file(path))
        st = sae_json_load_python(&in->cfg, path, err);
    if (st == SAE_OK && in->cfg != NULL && !json_is_object(in->cfg))
        st = sae_err_set(err, SAE_EFORMAT, "'%s' is not a JSON object", path);
    if (st == SAE_OK && in->cfg != NULL)
        *ret_path = path;
    else
        free(path);
    return st;
}

/* The settings of the weights: beside them, or one folder up for trainer_0/checkpoints/ae_100.pt.
 * in->cfg stays NULL if there are none. */
static enum sae_status read_cfg(struct sae_import *in, char **ret_path, const char *name,
                                struct sae_err *err)
{
    char *folder = NULL, *above = NULL;
    enum sae_status st;
    SAE_GO(st, sae_fs_dir(&folder, in->path, err));
    SAE_GO(st, read_cfg_in(in, ret_path, folder, name, err));
    if (in->cfg == NULL) {
        char real[PATH_MAX];
        const char *const whole = realpath(folder, real);
        if (whole != NULL && strcmp(sae_fs_base(whole), "checkpoints") == 0) {
            SAE_GO(st, sae_fs_join(&above, folder, "..", err));
            st = read_cfg_in(in, ret_path, above, name, err);
        }
    }
done:
    free(folder);
    free(above);
    return st;
}

/* Unit decoder rows, or a note why not. */
static enum sae_status fold(struct sae_import *in, bool wanted, struct sae_err *err)
{
    struct sae_model *const model = &in->model;
    const size_t n = sae_import_count_norms(model);
    double min, max;
    if (n == 0)
        return SAE_OK;
    if (in->no_fold)
        return sae_import_say(in->notes, err,
                              "%zu decoder rows are not of unit norm and stay so: top-k by "
                              "unscaled pre-activations would choose other latents",
                              n);
    if (!wanted)
        return sae_import_say(in->notes, err, "%zu decoder rows are not of unit norm", n);
    (void)sae_import_fold_norms(model, &min, &max);
    return sae_import_say(in->folded, err,
                          "norms of %zu decoder rows (%.6g to %.6g) into the encoder", n, min, max);
}

static void tell(const struct sae_import *in)
{
    size_t i;
    json_t *text;
    char sae[SAE_ARCH_DESCRIBED];
    sae_arch_describe(sae, in->model.arch, in->model.d, in->model.m, in->model.k);
    sae_log_info("'%s': %s, %s", in->path, in->format, sae);
    json_array_foreach(in->folded, i, text)
        sae_log_info("'%s': folded %s", in->path, json_string_value(text));
    json_array_foreach(in->notes, i, text)
        sae_log_warn("'%s': %s", in->path, json_string_value(text));
}

/* Of safetensors: SAELens and sparsify have cfg.json, Gemma Scope 2 has config.json. */
static enum sae_status read_safetensors(struct sae_import *in, char **ret_cfg, struct sae_err *err)
{
    SAE_TRY(read_cfg(in, ret_cfg, "cfg.json", err));
    if (in->cfg == NULL) {
        SAE_TRY(read_cfg(in, ret_cfg, "config.json", err));
        if (in->cfg != NULL || sae_import_find(in, "w_enc") != NULL)
            return sae_import_arrays(in, err);
    }
    if (sae_import_find(in, "encoder.weight") != NULL)
        return sae_import_sparsify(in, err);
    return sae_import_saelens(in, err);
}

static enum sae_status read_one(struct sae_import *in, char **ret_cfg, struct sae_err *err)
{
    SAE_TRY(sae_tensors_open(&in->tensors, in->path, err));
    SAE_TRY(sae_mem_alloc(&in->read, in->tensors.n, sizeof *in->read, err));
    if (strcmp(in->tensors.kind, "safetensors") == 0) {
        SAE_TRY(read_safetensors(in, ret_cfg, err));
    } else if (strcmp(in->tensors.kind, "torch") == 0) {
        SAE_TRY(read_cfg(in, ret_cfg, "config.json", err));
        SAE_TRY(sae_import_is_qwen(in) ? sae_import_qwen(in, err) : sae_import_dictionary(in, err));
    } else {
        SAE_TRY(sae_import_arrays(in, err));
    }
    return check_all_read(in, err);
}

static enum sae_status load_foreign(struct sae_ckpt *ret, const char *path, bool wanted,
                                    struct sae_err *err)
{
    struct sae_import in = {.path = path,
                            .prefix = "",
                            .layer = UINT64_MAX,
                            .folded = json_array(),
                            .notes = json_array()};
    struct sae_ckpt ckpt = {.progress = 1};
    char *cfg_path = NULL;
    enum sae_status st;
    SAE_GO(st, read_one(&in, &cfg_path, err));
    SAE_GO(st, fold(&in, wanted, err));
    SAE_GO(st, sae_mem_strdup(&ckpt.path, path, err));
    SAE_GO(st, describe(&ckpt, &in, cfg_path, err));
    ckpt.heldout_metrics = json_object();
    tell(&in);
    ckpt.model = in.model;
    in.model = (struct sae_model){0};
    *ret = ckpt;
    ckpt = (struct sae_ckpt){0};
done:
    sae_ckpt_clear(&ckpt);
    sae_model_clear(&in.model);
    sae_tensors_close(&in.tensors);
    free(in.read);
    json_decref(in.cfg);
    json_decref(in.folded);
    json_decref(in.notes);
    free(cfg_path);
    return st;
}

static bool is_hdf5(const char *path)
{
    static const unsigned char magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char begin[8] = {0};
    FILE *const f = sae_fs_is_file(path) ? fopen(path, "rbe") : NULL;
    if (f == NULL)
        return false;
    const bool is = fread(begin, 1, 8, f) == 8 && memcmp(begin, magic, 8) == 0;
    fclose(f);
    return is;
}

enum sae_status sae_import_load(struct sae_ckpt *ret, const char *path, bool wanted,
                                struct sae_err *err)
{
    if (sae_str_ends(path, ".h5") || is_hdf5(path))
        return sae_ckpt_load(ret, path, err);
    return load_foreign(ret, path, wanted, err);
}
