/* SPDX-License-Identifier: MIT */
/* sae-convert : SAEs from and to the files of other packages. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/cli/opt.h"
#include "lib/cli/target.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/sae/import.h"

static struct {
    const char *out, *export_acts, *export_latents;
    int to;
    bool fold;
} given;

static const struct sae_opt options[] = {
    {"out", 'o', SAE_OPT_PATH, &given.out, NULL, .arg = "PATH", .group = "Output",
     .help = "where to write: FILE.h5, FILE.npz, or a folder", .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"to", 0, SAE_OPT_ENUM, &given.to, "auto", convert_to_names, .group = "Output",
     .help = "format to write; auto: by the name of -o, where a folder means "
             "SAELens", .flags = SAE_OPT_MAIN},
    {"fold", 0, SAE_OPT_FLAG, &given.fold, "true", .group = "Output",
     .help = "scale decoder rows to unit norm; --no-fold keeps them as they are",
     .flags = SAE_OPT_MAIN},
    {"export-acts", 0, SAE_OPT_PATH, &given.export_acts, NULL, .arg = "STORE", .group = "Output",
     .help = "in place of an SAE write the rows of an activation store: FILE.npy (f32) or "
             "FILE.safetensors (bf16, with tokens, documents and positions)",
     .flags = SAE_OPT_MAIN},
    {"export-latents", 0, SAE_OPT_PATH, &given.export_latents, NULL, .arg = "STORE", .group = "Output",
     .help = "in place of the SAE write its latents on the rows of an activation store: "
             "FILE.safetensors (the active ones) or FILE.npy (all of them, f32)",
     .flags = SAE_OPT_MAIN},
    {0}};

/* A checkpoint: what was imported, and this invocation over it. */
static enum sae_status save_checkpoint(const struct sae_cli *cli, struct sae_ckpt *ckpt,
                                       struct sae_err *err)
{
    json_t *record = NULL;
    const char *key;
    json_t *value;
    enum sae_status st;
    SAE_TRY(convert_check_free(given.out, cli->force, err));
    SAE_GO(st, sae_opt_record(&record, cli, err));
    if (sae_import_of(ckpt) != NULL) {
        json_object_foreach(ckpt->record, key, value)
            json_object_set(record, key, value);
    } else {
        SAE_GO(st, sae_record_input(record, "checkpoint", sae_fs_base(ckpt->path), ckpt->id,
                                    ckpt->record, err));
    }
    json_t *const before = ckpt->record;
    ckpt->record = record;
    record = before;
    st = sae_ckpt_save(given.out, ckpt, cli->force, err);
done:
    json_decref(record);
    return st;
}

static enum sae_status save(const struct sae_cli *cli, struct sae_ckpt *ckpt, enum convert_to to,
                            json_t *folded, struct sae_err *err)
{
    switch (to) {
    case CONVERT_SAELENS:
        return convert_saelens(given.out, ckpt, cli->force, err);
    case CONVERT_DICTIONARY:
        return convert_dictionary(given.out, ckpt, cli->force, folded, err);
    case CONVERT_NPZ:
        return convert_npz(given.out, ckpt, cli->force, folded, err);
    default:
        return save_checkpoint(cli, ckpt, err);
    }
}

static enum sae_status answer(const struct sae_cli *cli, const struct sae_ckpt *ckpt,
                              enum convert_to to, const json_t *folded, struct sae_err *err)
{
    size_t i;
    json_t *text;
    json_array_foreach((json_t *)(uintptr_t)folded, i, text)
        sae_log_info("'%s': folded %s", given.out, json_string_value(text));
    if (!cli->json) {
        char sae[SAE_ARCH_DESCRIBED];
        sae_arch_describe(sae, ckpt->model.arch, ckpt->model.d, ckpt->model.m, ckpt->model.k);
        sae_utf8_print(stdout, "%s (%s) -> %s (%s)\n", ckpt->path, sae, given.out,
                       convert_to_names[to]);
        return SAE_OK;
    }
    const json_t *const imported = sae_import_of(ckpt);
    json_t *const made = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:O, s:O*}", "in", ckpt->path, "id", ckpt->id,
        "out", given.out, "to", convert_to_names[to], "arch", sae_arch_name(ckpt->model.arch), "d",
        (json_int_t)ckpt->model.d, "m", (json_int_t)ckpt->model.m, "k", (json_int_t)ckpt->model.k,
        "folded", folded, "imported", imported);
    if (made == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    const enum sae_status st = sae_json_print(stdout, made, err);
    json_decref(made);
    return st;
}

/* Some forms are folders: the name of one of their files would become a folder's. */
static enum sae_status check_name(const char *out, enum convert_to to, struct sae_err *err)
{
    static const char *const files[] = {".safetensors", ".pt", ".pth", ".bin", ".json"};
    if ((to != CONVERT_SAELENS && to != CONVERT_DICTIONARY) || sae_fs_is_dir(out))
        return SAE_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (sae_str_ends(out, files[i]))
            return sae_err_set(err, SAE_EARG,
                               "-o %s: the form of %s is a folder of files; name a folder, or "
                               "file.h5 for a checkpoint, or file.npz",
                               out, convert_to_names[to]);
    return SAE_OK;
}

static enum sae_status export_store(const struct sae_cli *cli, struct sae_err *err)
{
    size_t rows, d;
    if (cli->n_args > 0 || sae_opt_given(cli, "to") || sae_opt_given(cli, "fold"))
        return sae_err_set(err, SAE_EARG,
                           "--export-acts writes a store and no SAE; leave %s out",
                           cli->n_args > 0 ? cli->args[0] : "--to and --fold");
    SAE_TRY(convert_acts(given.out, given.export_acts, cli->force, &rows, &d, err));
    if (!cli->json) {
        sae_utf8_print(stdout, "%s (%zu rows of width %zu) -> %s\n", given.export_acts, rows, d,
                       given.out);
        return SAE_OK;
    }
    json_t *const made = json_pack("{s:s, s:s, s:I, s:I}", "in", given.export_acts, "out", given.out,
                                   "rows", (json_int_t)rows, "d", (json_int_t)d);
    if (made == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    const enum sae_status st = sae_json_print(stdout, made, err);
    json_decref(made);
    return st;
}

static enum sae_status answer_latents(const struct sae_cli *cli, const struct sae_ckpt *ckpt,
                                      const struct convert_latents *made, struct sae_err *err)
{
    const double l0 = (double)made->n_entries / (double)made->n_rows;
    if (!cli->json) {
        sae_utf8_print(stdout, "%s, latents of %s (%zu rows of %zu latents, %.1f active) -> %s\n",
                       given.export_latents, ckpt->path, made->n_rows, made->n_latents, l0, given.out);
        return SAE_OK;
    }
    json_t *const said =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:f}", "in", given.export_latents, "sae", ckpt->path,
                  "id", ckpt->id, "out", given.out, "rows", (json_int_t)made->n_rows, "m",
                  (json_int_t)made->n_latents, "l0", l0);
    if (said == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    const enum sae_status st = sae_json_print(stdout, said, err);
    json_decref(said);
    return st;
}

static enum sae_status export_latents(const struct sae_cli *cli, const struct sae_ckpt *ckpt,
                                      struct sae_err *err)
{
    const struct sae_ops *ops;
    struct convert_latents made;
    SAE_TRY(sae_ops_open(&ops, cli->backend, cli->threads, err));
    SAE_TRY(convert_latents(given.out, given.export_latents, ckpt, ops, cli->force, &made, err));
    return answer_latents(cli, ckpt, &made, err);
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    char **paths = NULL;
    size_t n = 0;
    struct sae_ckpt ckpt = {0};
    json_t *const folded = json_array();
    enum sae_status st;
    if (given.out == NULL)
        return sae_err_set(err, SAE_EARG, "name what to write with -o PATH");
    if (given.export_latents != NULL && (given.export_acts != NULL || sae_opt_given(cli, "to"))) {
        st = sae_err_set(err, SAE_EARG, "--export-latents writes latents and nothing else; leave %s out",
                         given.export_acts != NULL ? "--export-acts" : "--to");
        goto done;
    }
    if (given.export_acts != NULL) {
        json_decref(folded);
        return export_store(cli, err);
    }
    const enum convert_to to =
        given.to != CONVERT_AUTO ? (enum convert_to)given.to : convert_guess(given.out);
    if (given.export_latents == NULL)
        SAE_GO(st, check_name(given.out, to, err));
    SAE_GO(st, sae_target_find(&paths, &n, cli->args, cli->n_args, false, err));
    if (n != 1) {
        st = sae_err_set(err, SAE_EARG, "%zu SAEs found, expected one to convert; name it", n);
        goto done;
    }
    SAE_GO(st, sae_import_load(&ckpt, paths[0], given.fold, err));
    if (given.export_latents != NULL) {
        st = export_latents(cli, &ckpt, err);
        goto done;
    }
    SAE_GO(st, save(cli, &ckpt, to, folded, err));
    st = answer(cli, &ckpt, to, folded, err);
done:
    json_decref(folded);
    sae_ckpt_clear(&ckpt);
    sae_fs_list_free(paths, n);
    return st;
}

int main(int argc, char **argv)
{
    static const struct sae_program program = {
        .name = "sae-convert",
        .summary = "convert an SAE from and to the files of other packages",
        .usage = "sae-convert [options] SAE -o PATH",
        .examples = "# an SAE of SAELens, dictionary_learning or Gemma Scope as a checkpoint\n"
                    "sae-convert layer_12/width_16k/average_l0_82 -o gemma-scope.h5\n"
                    "# a checkpoint for SAELens, and for dictionary_learning\n"
                    "sae-convert run_2 -o run_2_saelens\n"
                    "sae-convert run_2/ckpt_50.h5 --to dictionary_learning -o run_2_dict\n"
                    "# an activation store for other programs\n"
                    "sae-convert --export-acts acts -o acts.safetensors\n"
                    "# the latents of every row of a store\n"
                    "sae-convert run_2 --export-latents acts -o latents.safetensors\n",
        .about = "Reads a checkpoint of sae-train, a folder of SAELens (cfg.json, "
                 "sae_weights.safetensors), sparsify (cfg.json, sae.safetensors), Gemma Scope 2 "
                 "(config.json, params.safetensors) or dictionary_learning (ae.pt, config.json), "
                 "or an npz with the five arrays of Gemma Scope, and writes a checkpoint, a folder "
                 "of SAELens or dictionary_learning, or an npz.\n\n"
                 "Weights are copied, with two exceptions: decoder rows are scaled to unit norm "
                 "(--no-fold keeps them), and a bias or scale that the other format cannot hold is "
                 "folded into one that it can; stderr says so. The pickle inside an ae.pt is never "
                 "run.\n\n"
                 "--export-acts writes the rows of an activation store, in its order and without "
                 "loss; sae-harvest --import makes an equal store of them. "
                 "--export-latents encodes those rows, 32 MiB of latents at a time; saekit.py reads "
                 "them.\n\n"
                 "The evaluating programs read all these formats themselves, without conversion. "
                 "Formats and foldings: docs/FORMATS.md.",
        .operands = "SAE",
        .opts = options,
        .run = run,
    };
    return sae_program_main(&program, argc, argv);
}
