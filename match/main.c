/* SPDX-License-Identifier: MIT */
/* sae-match : do runs that differ in their seed learn the same features, and when are those fixed? */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cli/table.h"
#include "lib/cli/target.h"
#include "lib/eval/evaluate.h"
#include "lib/eval/output.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "match/match.h"

static struct {
    struct sae_eval_options eval;
    bool is_signed, across, with_random;
    uint64_t seed;
} given;

/* clang-format off */
static const struct sae_opt options[] = {
    {"across", 0, SAE_OPT_FLAG, &given.across, "false", .group = "Matching",
     .help = "match all SAEs of equal width with each other; default: those alone that differ in "
             "their seed",
     .flags = SAE_OPT_MAIN},
    {"signed", 0, SAE_OPT_FLAG, &given.is_signed, "false", .group = "Matching",
     .help = "match by the cosine itself; default: by its absolute value, as PW-MCC is defined",
     .flags = SAE_OPT_MAIN},
    {"random", 0, SAE_OPT_FLAG, &given.with_random, "true", .group = "Matching",
     .help = "also match random dictionaries with the spectra of the first two SAEs: what chance "
             "gives",
     .flags = SAE_OPT_MAIN},
    {"seed", 0, SAE_OPT_U64, &given.seed, "42", .arg = "N", .group = "Matching",
     .help = "random seed of those dictionaries"},
    SAE_EVAL_ALL(given.eval, "Input", 0),
    SAE_EVAL_ROWS(given.eval),
    {0}};
/* clang-format on */

/* --- 1. the group in work ------------------------------------------------------------------- */

struct work {
    struct match_settings settings;
    size_t n;
    struct match_scores *scores; /* [n] */
    json_t **others;             /* [n] what result_other says */
};

static enum sae_status open_work(struct sae_evaluation *run, struct sae_err *err)
{
    struct work *const w = run->eval->data;
    (void)err;
    w->settings = (struct match_settings){.is_signed = given.is_signed,
                                          .across = given.across,
                                          .with_random = given.with_random,
                                          .seed = given.seed,
                                          .shared = {0.7, 0.9}};
    return SAE_OK;
}

static void end_group(struct sae_evaluation *run)
{
    struct work *const w = run->eval->data;
    for (size_t i = 0; w->scores && i < w->n; i++)
        match_scores_clear(&w->scores[i]);
    for (size_t i = 0; w->others && i < w->n; i++)
        json_decref(w->others[i]);
    free(w->scores);
    free(w->others);
    w->scores = NULL;
    w->others = NULL;
}

/* Options but the seed, and how a run was made; those of another store differ. */
static bool same_but_seed(const struct sae_ckpt *a, const struct sae_ckpt *b)
{
    static const char *const out[] = {"seed", "acts", "backend", "memory", "save-every", "save-minutes"};
    json_t *const x = json_copy(json_object_get(a->record, "options")),
                 *const y = json_copy(json_object_get(b->record, "options"));
    for (size_t i = 0; i < sizeof out / sizeof *out; i++) {
        json_object_del(x, out[i]);
        json_object_del(y, out[i]);
    }
    const char *const s = sae_json_str(sae_record_find_input(a->record, "acts"), "id", "");
    const char *const t = sae_json_str(sae_record_find_input(b->record, "acts"), "id", "");
    const bool ret = x && y && json_equal(x, y) && strcmp(s, t) == 0 && a->seed != b->seed;
    json_decref(x);
    json_decref(y);
    return ret;
}

static bool same(const struct sae_eval_subject *a, const struct sae_eval_subject *b)
{
    const struct sae_ckpt *const x = &a->ckpt, *const y = &b->ckpt;
    if (x->model.d != y->model.d || fabs(x->progress - y->progress) > 1e-9 ||
        strcmp(x->id, y->id) == 0)
        return false;
    return given.across || (x->model.m == y->model.m && same_but_seed(x, y));
}

/* --- 2. matching ---------------------------------------------------------------------------- */

/* {name, ...} of b in the list of an SAE that it was matched with: "run_2/ckpt_50.h5". */
static enum sae_status add_other(json_t *list, const struct sae_ckpt *b,
                                 const struct match_pair *pair, struct sae_err *err)
{
    char *run = NULL, name[512];
    SAE_TRY(sae_target_run_name(&run, b->path, 0, err));
    snprintf(name, sizeof name, "%s/%s", run, sae_fs_base(b->path));
    free(run);
    return json_array_append_new(list, match_result_other(name, b, pair)) == 0
               ? SAE_OK
               : sae_err_set(err, SAE_ENOMEM, "out of memory");
}

static enum sae_status add_pair(struct sae_evaluation *run, size_t i, size_t j, struct sae_err *err)
{
    struct work *const w = run->eval->data;
    const struct sae_ckpt *const a = &run->group[i]->ckpt, *const b = &run->group[j]->ckpt;
    struct match_pair pair = {0}, turned = {0};
    enum sae_status st;
    sae_log_info("matching '%s' with '%s'", a->path, b->path);
    SAE_GO(st, match_pair_make(&pair, a, b, run->ops, &w->settings, err));
    SAE_GO(st, match_pair_turn(&turned, &pair, err));
    SAE_GO(st, match_scores_add(&w->scores[i], &pair, &a->heldout, err));
    SAE_GO(st, match_scores_add(&w->scores[j], &turned, &b->heldout, err));
    SAE_GO(st, add_other(w->others[i], b, &pair, err));
    SAE_GO(st, add_other(w->others[j], a, &turned, err));
done:
    match_pair_clear(&pair);
    match_pair_clear(&turned);
    return st;
}

/* Random rows with the spectrum of a matrix of an SAE. */
static enum sae_status random_like(float **ret, const struct sae_ckpt *c, int kind, uint64_t stream,
                                   const struct sae_ops *ops, struct sae_err *err)
{
    const size_t m = c->model.m, d = c->model.d;
    SAE_TRY(sae_mem_alloc(ret, m * d, sizeof **ret, err));
    match_unit_rows(*ret, m, d, kind == MATCH_DECODER ? c->model.W_dec : c->model.W_enc);
    return match_random_rows(*ret, m, d, *ret, given.seed, stream, ops, err);
}

/* What two random dictionaries like the first two of the group come to; for each of them the same. */
static enum sae_status match_random(struct sae_evaluation *run, struct sae_err *err)
{
    struct work *const w = run->eval->data;
    const struct sae_ckpt *const a = &run->group[0]->ckpt, *const b = &run->group[1]->ckpt;
    for (int kind = MATCH_DECODER; kind <= MATCH_ENCODER; kind++) {
        struct sae_matching by_chance = {0};
        float *A = NULL, *B = NULL;
        enum sae_status st;
        SAE_GO(st, random_like(&A, a, kind, 2 * (uint64_t)kind, run->ops, err));
        SAE_GO(st, random_like(&B, b, kind, 2 * (uint64_t)kind + 1, run->ops, err));
        SAE_GO(st, sae_match_rows(&by_chance, run->ops, a->model.m, b->model.m, a->model.d, A, B,
                                  w->settings.is_signed, err));
        for (size_t i = 0; i < w->n; i++)
            w->scores[i].random[kind] = by_chance.mean;
    done:
        sae_matching_clear(&by_chance);
        free(A);
        free(B);
        SAE_TRY(st);
    }
    return SAE_OK;
}

static enum sae_status begin(struct sae_evaluation *run, struct sae_err *err)
{
    struct work *const w = run->eval->data;
    w->n = run->n_group;
    SAE_TRY(sae_mem_alloc(&w->scores, w->n, sizeof *w->scores, err));
    SAE_TRY(sae_mem_alloc(&w->others, w->n, sizeof *w->others, err));
    for (size_t i = 0; i < w->n; i++) {
        match_scores_open(&w->scores[i], run->group[i]->ckpt.model.m);
        w->others[i] = json_array();
    }
    for (size_t i = 0; i < w->n; i++)
        for (size_t j = i + 1; j < w->n; j++)
            SAE_TRY(add_pair(run, i, j, err));
    if (given.with_random && w->n > 1)
        SAE_TRY(match_random(run, err));
    if (w->n == 1)
        sae_log_info("'%s' has no %s among the SAEs named: it is held against its own last "
                     "checkpoint alone",
                     run->group[0]->path,
                     given.across ? "other SAE of its activations' width, equally far trained,"
                                  : "other seed");
    for (size_t i = 0; i < w->n; i++)
        match_scores_finish(&w->scores[i]);
    return SAE_OK;
}

/* Against the last checkpoint of the run, where there is one of this shape. */
static enum sae_status match_final(struct match_scores *scores, const struct sae_ckpt *now,
                                   struct sae_err *err)
{
    char *dir = NULL, **paths = NULL;
    size_t n = 0;
    struct sae_ckpt last = {0};
    struct sae_err why = {0};
    enum sae_status st;
    if (now->total_steps == 0) /* from elsewhere */
        return SAE_OK;
    SAE_GO(st, sae_target_run(&dir, now->path, err));
    char *const args[1] = {dir};
    if (sae_target_find(&paths, &n, args, 1, false, &why) != SAE_OK || n != 1)
        goto done;
    if (sae_ckpt_load(&last, paths[0], &why) != SAE_OK) {
        sae_log_warn("%s; when features are fixed is not measured", why.msg);
        goto done;
    }
    if (last.model.m == now->model.m && last.model.d == now->model.d && last.step >= now->step &&
        last.progress >= 1)
        st = match_scores_final(scores, &now->model, &last.model, err);
done:
    sae_ckpt_clear(&last);
    sae_fs_list_free(paths, n);
    free(dir);
    return st;
}

static enum sae_status match_one(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                 struct sae_result_parts parts[], json_t *record,
                                 struct sae_err *err)
{
    struct work *const w = run->eval->data;
    size_t at = 0;
    while (run->group[at] != subject)
        at++;
    SAE_TRY(match_final(&w->scores[at], &subject->ckpt, err));
    for (size_t i = 0; i < run->n_group; i++)
        if (i != at)
            SAE_TRY(sae_output_input(record, &subject->ckpt, "other", run->group[i]->path,
                                     run->group[i]->ckpt.id, NULL, err));
    return match_result_parts(&parts[0], &w->scores[at], &w->settings, w->others[at], err);
}

/* --- 3. the table --------------------------------------------------------------------------- */

static double metric(const json_t *result, const char *name)
{
    char path[80];
    snprintf(path, sizeof path, "eval_result_metrics.match.%s", name);
    return sae_json_real(result, path, NAN);
}

static enum sae_status print_all(struct sae_evaluation *run, struct sae_err *err)
{
    static const struct {
        const char *head, *name;
    } columns[] = {{"MCC", "mcc_decoder"},           {"by chance", "random_mcc_decoder"},
                   {"of alive", "mcc_decoder_alive"}, {">= 0.7", "share_decoder_07"},
                   {">= 0.9", "share_decoder_09"},   {"encoder", "mcc_encoder"},
                   {"agree", "share_agree"},         {"Jaccard", "mean_firing"},
                   {"fixed", "share_fixed_09"}};
    enum { N = sizeof columns / sizeof *columns };
    const char *heads[N + 2] = {"SAE", "others"};
    struct sae_table *table = NULL;
    for (size_t c = 0; c < N; c++)
        heads[c + 2] = columns[c].head;
    SAE_TRY(sae_table_make(&table, N + 2, heads, err));
    for (size_t i = 0; i < run->n; i++) {
        const json_t *const result = run->subjects[i].result[0];
        sae_table_text(table, "%s", run->subjects[i].path);
        sae_table_count(table, metric(result, "others"));
        for (size_t c = 0; c < N; c++)
            sae_table_real(table, metric(result, columns[c].name), 4);
    }
    const enum sae_status st = sae_table_print(table, stdout, 0, err);
    sae_table_free(table);
    if (st == SAE_OK)
        puts("\nMCC: mean cosine of matched decoder rows, over the others; >=: share of them; agree: same "
             "partner by\nencoder; fixed: rows within cosine 0.9 of the run's last. docs/math-matching.md");
    return st;
}

/* --- 4. the program ------------------------------------------------------------------------- */

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct work work = {0};
    const struct sae_eval eval = {
        .results = {{"match", "match", "match.json"}},
        .options = &given.eval,
        .data = &work,
        .open = open_work,
        .same = same,
        .all_needed = true,
        .begin = begin,
        .one = match_one,
        .end = end_group,
        .print_all = print_all,
    };
    return sae_evaluate(&eval, cli, err);
}

static const struct sae_program program = {
    .name = "sae-match",
    .summary = "match the features of SAEs: the same over seeds? when are they fixed?",
    .usage = "sae-match [options] [CHECKPOINT|RUN|FOLDER ...]",
    .operands = "CHECKPOINT|RUN|FOLDER ...",
    .examples = "# the runs of a sweep over seeds, setting by setting\n"
                "sae-match sweep\n"
                "# at every checkpoint: when do seeds agree, when are features fixed?\n"
                "sae-match --all sweep\n"
                "# any two SAEs of equal width\n"
                "sae-match --across run_1 gemma_scope/params.npz\n",
    .about =
        "sae-match finds the best one-to-one matching of the latents of two SAEs by the cosine of "
        "their decoder rows, of their encoder rows, and by the tokens that they fire on. The "
        "matching is exact, with a proof over all pairs. SAEs are matched that differ in their seed "
        "alone and are equally far trained; --across matches all.\n\n"
        "It writes CHECKPOINT.match.json beside each SAE, with the stability of each latent, and "
        "prints a row for each. Firing is compared where both checkpoints hold masks of the same "
        "held-out tokens. Every checkpoint is also held against the last of its own run, latent by "
        "latent.",
    .opts = options,
    .run = run,
};

int main(int argc, char **argv)
{
    return sae_program_main(&program, argc, argv);
}
