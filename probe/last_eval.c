/* SPDX-License-Identifier: MIT */
/* last_eval : sae-probe --protocol sae-probes as an evaluation (lib/eval/evaluate.h). */
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cli/progress.h"
#include "lib/eval/output.h"
#include "lib/eval/store.h"
#include "probe/last.h"

static void drop_sets(struct probe_last_set **sets, size_t *n)
{
    for (size_t i = 0; i < *n; i++)
        probe_last_set_clear(&(*sets)[i]);
    free(*sets);
    *sets = NULL;
    *n = 0;
}

/* What a set's activations themselves give does not change with the checkpoint. */
static void take_neurons(const struct probe_last_work *w, struct probe_last_set *set)
{
    for (size_t i = 0; i < w->n_known; i++)
        if (w->known[i].has_neurons && strcmp(w->known[i].id, set->id) == 0) {
            set->neurons = w->known[i].neurons;
            set->has_neurons = true;
        }
}

static enum sae_status select_sets(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                   struct sae_err *err)
{
    struct probe_last_work *const w = run->eval->data;
    char **paths = NULL;
    size_t n = 0;
    enum sae_status st;
    drop_sets(&w->known, &w->n_known);
    w->known = w->sets;
    w->n_known = w->n_sets;
    w->sets = NULL;
    w->n_sets = 0;
    SAE_TRY(sae_store_sets(&paths, &n, SAE_STORE_LASTS, &subject->ckpt, w->labels, w->n_labels,
                           err));
    SAE_GO(st, sae_mem_alloc(&w->sets, n, sizeof *w->sets, err));
    for (size_t i = 0; i < n; i++) {
        struct probe_last_set *const set = &w->sets[w->n_sets];
        struct sae_err why = {0};
        st = probe_last_set_open(set, paths[i], &w->settings, &why);
        if (st != SAE_OK && (!set->is_unfit || (i + 1 == n && w->n_sets == 0))) {
            sae_err_set(err, st, "%s", why.msg);
            goto done;
        }
        if (st != SAE_OK) {
            sae_log_warn("%s; left out", why.msg);
            continue;
        }
        w->n_sets++;
        SAE_GO(st, sae_store_check(&subject->ckpt, set->path, set->d, set->record, err));
        take_neurons(w, set);
    }
    st = SAE_OK;
done:
    sae_fs_list_free(paths, n);
    return st;
}

/* Probes the sets that no earlier, interrupted invocation has finished. */
static enum sae_status probe_sets(struct probe_last_work *w, const struct sae_eval_subject *subject,
                                  const struct sae_ops *ops, struct sae_err *err)
{
    size_t n_taken = 0;
    probe_last_partial_load(&n_taken, subject->partial, &subject->ckpt, w->sets, w->n_sets,
                            &w->settings);
    if (n_taken)
        sae_log_info("%zu of %zu sets were finished before, in '%s'", n_taken, w->n_sets,
                     subject->partial);
    struct sae_progress bar;
    enum sae_status st = SAE_OK;
    sae_progress_begin(&bar, "probing", "sets", n_taken, w->n_sets);
    for (size_t i = 0, n_done = n_taken; i < w->n_sets && st == SAE_OK; i++) {
        struct probe_last_set *const set = &w->sets[i];
        if (set->has_latents && set->has_neurons)
            continue;
        st = probe_last_set_run(set, &subject->ckpt, ops, &w->settings, err);
        if (st != SAE_OK && st != SAE_EINTR)
            st = sae_err_prefix(err, "'%s'", set->path);
        sae_progress_step(&bar, ++n_done, NULL);
        if (st == SAE_OK && w->n_sets > 1)
            st = probe_last_partial_save(subject->partial, &subject->ckpt, w->sets, w->n_sets,
                                         &w->settings, err);
    }
    sae_progress_end(&bar);
    return st;
}

static enum sae_status probe_one(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                 struct sae_result_parts parts[], json_t *record,
                                 struct sae_err *err)
{
    struct probe_last_work *const w = run->eval->data;
    SAE_TRY(probe_sets(w, subject, run->ops, err));
    for (size_t i = 0; i < w->n_sets; i++)
        SAE_TRY(sae_output_input(record, &subject->ckpt, "labels", w->sets[i].path, w->sets[i].id,
                                 w->sets[i].record, err));
    parts[0] = probe_last_parts(&subject->ckpt, w->sets, w->n_sets, &w->settings);
    return SAE_OK;
}

static enum sae_status print(struct sae_evaluation *run, const struct sae_eval_subject *subject,
                             struct sae_err *err)
{
    const struct probe_last_work *const w = run->eval->data;
    return probe_last_print(&subject->ckpt, w->sets, w->n_sets, &w->settings, stdout, err);
}

static void close_work(struct sae_evaluation *run)
{
    struct probe_last_work *const w = run->eval->data;
    drop_sets(&w->sets, &w->n_sets);
    drop_sets(&w->known, &w->n_known);
}

struct sae_eval probe_last_eval(struct probe_last_work *work, struct sae_eval_options *options)
{
    return (struct sae_eval){
        .results = {{"sparse_probing_sae_probes", "sparse_probing_sae_probes", "sae_probes.json"}},
        .partial = ".part.json",
        .options = options,
        .data = work,
        .check = select_sets,
        .one = probe_one,
        .print = print,
        .close = close_work,
    };
}
