/* SPDX-License-Identifier: MIT */
/* evaluate : see the header.
 * Contents: 1. finding   2. preparing   3. measuring   4. plans   5. groups   6. an invocation */
#include "lib/eval/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/cli/backend.h"
#include "lib/cli/target.h"
#include "lib/eval/output.h"
#include "lib/eval/subject.h"
#include "lib/file/json.h"
#include "lib/file/record.h"
#include "lib/sae/import.h"

/* --- 1. finding --------------------------------------------------------------------------- */

/* Takes damaged files off the list, so that they do not keep the others from their results. One SAE
 * alone is not looked at. */
static enum sae_status drop_unreadable(struct sae_evaluation *run, struct sae_err *err)
{
    struct sae_err first = {0};
    const size_t n = run->n;
    run->n = 0;
    for (size_t i = 0; i < n; i++) {
        struct sae_ckpt ckpt = {0};
        struct sae_err why = {0};
        /* what comes from elsewhere says more on loading than should be said twice */
        const bool is_tried = n > 1 && sae_str_ends(run->paths[i], ".h5");
        const enum sae_status st =
            is_tried ? sae_import_load(&ckpt, run->paths[i], true, &why) : SAE_OK;
        sae_ckpt_clear(&ckpt);
        if (st == SAE_OK) {
            run->paths[run->n++] = run->paths[i];
            continue;
        }
        if (run->n_unreadable++ == 0)
            first = why;
        if (!run->eval->all_needed)
            sae_log_warn("%s; left out", why.msg);
        free(run->paths[i]);
    }
    if (run->n_unreadable > 0 && run->eval->all_needed)
        return sae_err_set(err, first.code,
                           "%s; every result here depends on all SAEs named, so none is written: mend "
                           "it or name the others",
                           first.msg);
    return run->n == 0 && n > 0 ? sae_err_set(err, first.code, "%s", first.msg) : SAE_OK;
}

/* A file that is named twice is measured once: its result has one place. */
static void drop_repeated(struct sae_evaluation *run)
{
    const size_t n = run->n;
    run->n = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < run->n && !sae_fs_same(run->paths[at], run->paths[i]))
            at++;
        if (at == run->n) {
            run->paths[run->n++] = run->paths[i];
            continue;
        }
        sae_log_warn("'%s' is named twice; it is taken once", run->paths[i]);
        free(run->paths[i]);
    }
}

static enum sae_status find(struct sae_evaluation *run, struct sae_err *err)
{
    const struct sae_cli *const cli = run->cli;
    SAE_TRY(sae_target_find(&run->paths, &run->n, cli->args, cli->n_args, run->eval->options->all,
                            err));
    drop_repeated(run);
    SAE_TRY(drop_unreadable(run, err));
    SAE_TRY(sae_mem_alloc(&run->subjects, run->n, sizeof *run->subjects, err));
    SAE_TRY(sae_mem_alloc(&run->group, run->n, sizeof *run->group, err));
    for (size_t i = 0; i < run->n; i++)
        run->subjects[i].path = run->paths[i];
    return SAE_OK;
}

/* --- 2. preparing ------------------------------------------------------------------------- */

static enum sae_status load(struct sae_evaluation *run, struct sae_eval_subject *s,
                            struct sae_err *err)
{
    if (s->is_loaded)
        return SAE_OK;
    SAE_TRY(sae_subject_load(&s->ckpt, s->path, run->eval->options->acts, err));
    s->is_loaded = true;
    return run->eval->check ? run->eval->check(run, s, err) : SAE_OK;
}

static bool is_wanted(const struct sae_evaluation *run, size_t r)
{
    return run->eval->results[r].type && !run->unwanted[r];
}

/* Where the results of an SAE go and its unfinished work is. */
static enum sae_status name_files(const struct sae_evaluation *run, struct sae_eval_subject *s,
                                  struct sae_err *err)
{
    const struct sae_eval *const e = run->eval;
    struct sae_output o = {
        .out = e->options->out, .paths = run->paths, .n_paths = run->n, .force = run->cli->force};
    for (size_t r = 0; r < SAE_EVAL_RESULTS; r++)
        o.n_results += is_wanted(run, r) ? run->n : 0;
    if (o.out)
        SAE_TRY(sae_output_release(&s->name, &o, s->path, err));
    for (size_t r = 0; r < SAE_EVAL_RESULTS; r++)
        if (is_wanted(run, r))
            SAE_TRY(sae_output_path(&s->out[r], &o, e->results[r].folder, &s->ckpt,
                                    e->results[r].suffix, err));
    return e->partial ? sae_output_beside(&s->partial, s->out[0], e->partial, err) : SAE_OK;
}

/* Forgets everything but the results. */
static void put_away(const struct sae_evaluation *run, struct sae_eval_subject *s)
{
    if (s->own && run->eval->drop)
        run->eval->drop(s->own);
    sae_ckpt_clear(&s->ckpt);
    for (size_t r = 0; r < SAE_EVAL_RESULTS; r++) {
        free(s->out[r]);
        s->out[r] = NULL;
    }
    free(s->partial);
    free(s->name);
    s->own = s->partial = s->name = NULL;
    s->is_loaded = false;
}

/* --- 3. measuring ------------------------------------------------------------------------- */

/* What was measured is not lost where the disk refuses it: it is printed, and counted. */
static enum sae_status write_result(struct sae_evaluation *run, const char *path,
                                    const json_t *result, struct sae_err *err)
{
    struct sae_err why;
    const enum sae_status st = sae_json_save(path, result, &why);
    if (st == SAE_EIO) {
        sae_log_warn("%s; the numbers are printed", why.msg);
        run->n_unwritten++;
        return SAE_OK;
    }
    if (st != SAE_OK)
        return sae_err_set(err, st, "%s", why.msg);
    sae_log_info("wrote '%s'", path);
    return SAE_OK;
}

static enum sae_status write_results(struct sae_evaluation *run, struct sae_eval_subject *s,
                                     struct sae_result_parts parts[], json_t *record,
                                     struct sae_err *err)
{
    const size_t before = run->n_unwritten;
    for (size_t r = 0; r < SAE_EVAL_RESULTS; r++) {
        if (!parts[r].metrics)
            continue;
        parts[r].eval_type_id = run->eval->results[r].type;
        SAE_TRY(sae_output_make(&s->result[r], &parts[r], &s->ckpt, record, err));
        SAE_TRY(write_result(run, s->out[r], s->result[r], err));
    }
    if (s->partial && s->result[0] && run->n_unwritten == before)
        unlink(s->partial);
    return SAE_OK;
}

static enum sae_status print(struct sae_evaluation *run, const struct sae_eval_subject *s,
                             struct sae_err *err)
{
    const bool is_measured = s->result[0] || s->result[1];
    if (!run->eval->print || run->cli->json || !is_measured ||
        (run->eval->options->brief && run->n > 1))
        return SAE_OK;
    if (run->n_printed++ > 0)
        putchar('\n');
    return run->eval->print(run, s, err);
}

static enum sae_status measure(struct sae_evaluation *run, struct sae_eval_subject *s,
                               struct sae_err *err)
{
    struct sae_result_parts parts[SAE_EVAL_RESULTS] = {{0}};
    json_t *record = NULL;
    enum sae_status st;
    SAE_GO(st, sae_opt_record(&record, run->cli, err));
    SAE_GO(st, sae_record_input(record, "checkpoint", sae_fs_base(s->path), s->ckpt.id,
                                s->ckpt.record, err));
    SAE_GO(st, run->eval->one(run, s, parts, record, err));
    SAE_GO(st, write_results(run, s, parts, record, err));
    st = print(run, s, err);
done:
    for (size_t r = 0; r < SAE_EVAL_RESULTS; r++)
        sae_result_parts_clear(&parts[r]);
    json_decref(record);
    return st;
}

/* --- 4. plans ----------------------------------------------------------------------------- */

static enum sae_status plan_group(struct sae_evaluation *run, struct sae_err *err)
{
    const struct sae_eval *const e = run->eval;
    const bool is_asked = e->options->plan;
    struct sae_plan *plan = NULL;
    char *folder = NULL;
    enum sae_status st;
    if (!e->plan)
        return SAE_OK;
    SAE_TRY(sae_mem_alloc(&plan, 1, sizeof *plan, err));
    SAE_GO(st, e->options->out ? sae_mem_strdup(&folder, e->options->out, err)
                               : sae_target_run(&folder, run->group[0]->path, err));
    sae_plan_init(plan, is_asked, folder);
    SAE_GO(st, e->plan(run, plan, err));
    if (!is_asked) {
        sae_plan_warn(plan);
        goto done;
    }
    if (run->n > run->n_group) {
        sae_log_info("every group of SAEs is planned as the first, that of '%s'", run->group[0]->path);
        sae_plan_repeat(plan, (double)run->n / (double)run->n_group);
    }
    st = sae_plan_print(plan, run->cli, err);
done:
    free(folder);
    free(plan);
    return st;
}

/* --- 5. groups ---------------------------------------------------------------------------- */

/* Of an interrupted group. */
static void tell_partial(const struct sae_evaluation *run)
{
    const char *first = NULL;
    size_t n = 0;
    for (size_t k = 0; k < run->n_group; k++) {
        const char *const path = run->group[k]->partial;
        if (!path || !sae_fs_is_file(path))
            continue;
        first = first ? first : path;
        n++;
    }
    if (n > 0)
        sae_log_info("what is finished is kept in '%s'%s; the same command continues from there",
                     first, n > 1 ? " and beside the other SAEs" : "");
}

static enum sae_status run_group(struct sae_evaluation *run, struct sae_err *err)
{
    const struct sae_eval *const e = run->eval;
    enum sae_status st = SAE_OK;
    for (size_t k = 0; k < run->n_group; k++) {
        SAE_GO(st, load(run, run->group[k], err));
        if (!e->options->plan)
            SAE_GO(st, name_files(run, run->group[k], err));
    }
    if (e->begin)
        SAE_GO(st, e->begin(run, err));
    SAE_GO(st, plan_group(run, err));
    if (e->options->plan)
        goto done;
    if (e->share)
        SAE_GO(st, e->share(run, err));
    for (size_t k = 0; k < run->n_group; k++)
        SAE_GO(st, measure(run, run->group[k], err));
done:
    if (st == SAE_EINTR || st == SAE_EIO)
        tell_partial(run);
    if (e->end)
        e->end(run);
    for (size_t k = 0; k < run->n_group; k++)
        put_away(run, run->group[k]);
    return st;
}

/* The first SAE that is not done, with those that are measured together with it. */
static void pick_group(struct sae_evaluation *run, size_t first)
{
    struct sae_eval_subject *const head = &run->subjects[first];
    run->n_group = 0;
    for (size_t i = first; i < run->n; i++) {
        struct sae_eval_subject *const s = &run->subjects[i];
        if (s != head && (s->is_done || !run->eval->same || !run->eval->same(head, s)))
            continue;
        s->is_done = true;
        run->group[run->n_group++] = s;
    }
}

/* --- 6. an invocation --------------------------------------------------------------------- */

static enum sae_status run_all(struct sae_evaluation *run, struct sae_err *err)
{
    for (size_t i = 0; run->eval->same && i < run->n; i++)
        SAE_TRY(load(run, &run->subjects[i], err));
    for (size_t i = 0; i < run->n; i++) {
        if (run->subjects[i].is_done)
            continue;
        pick_group(run, i);
        SAE_TRY(run_group(run, err));
        if (run->eval->options->plan)
            break;
    }
    return SAE_OK;
}

static enum sae_status print_json(const struct sae_evaluation *run, struct sae_err *err)
{
    json_t *const all = json_array();
    for (size_t i = 0; i < run->n; i++)
        for (size_t r = 0; r < SAE_EVAL_RESULTS; r++)
            if (run->subjects[i].result[r])
                json_array_append(all, run->subjects[i].result[r]);
    const enum sae_status st = sae_json_print_answers(stdout, all, err);
    json_decref(all);
    return st;
}

static enum sae_status finish(struct sae_evaluation *run, struct sae_err *err)
{
    if (run->cli->json)
        SAE_TRY(print_json(run, err));
    else if (run->eval->print_all)
        SAE_TRY(run->eval->print_all(run, err));
    if (run->n_unwritten > 0)
        return sae_err_set(err, SAE_EIO,
                           "%zu results were printed, but could not be written; make room or name "
                           "another folder with -o",
                           run->n_unwritten);
    if (run->n_unreadable > 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "%zu of %zu SAEs could not be read; the results of the others are "
                           "complete",
                           run->n_unreadable, run->n_unreadable + run->n);
    return SAE_OK;
}

static void clear(struct sae_evaluation *run)
{
    for (size_t i = 0; run->subjects && i < run->n; i++) {
        put_away(run, &run->subjects[i]);
        for (size_t r = 0; r < SAE_EVAL_RESULTS; r++)
            json_decref(run->subjects[i].result[r]);
    }
    free(run->subjects);
    free(run->group);
    sae_fs_list_free(run->paths, run->n);
}

enum sae_status sae_evaluate(const struct sae_eval *eval, const struct sae_cli *cli,
                             struct sae_err *err)
{
    struct sae_evaluation run = {.eval = eval, .cli = cli};
    enum sae_status st;
    if (eval->open)
        SAE_GO(st, eval->open(&run, err));
    if (eval->matmul)
        SAE_GO(st, sae_cli_lm_backend(&run.ops, cli, eval->matmul, err));
    else
        SAE_GO(st, sae_cli_backend(&run.ops, cli, "", err));
    SAE_GO(st, find(&run, err));
    SAE_GO(st, run_all(&run, err));
    st = eval->options->plan ? SAE_OK : finish(&run, err);
done:
    if (eval->close)
        eval->close(&run);
    clear(&run);
    return st;
}
