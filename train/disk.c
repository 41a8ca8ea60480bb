/* SPDX-License-Identifier: MIT */
/* disk : how much a run or sweep will write, and whether the disk has room for it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/cli/plan.h"
#include "train/job.h"

/* Entries of the held-out masks: heldout.c keeps at most so many, k of each row where there is a k. */
static double mask_entries(const struct settings *set)
{
    static const double MOST = 4e6, GUESS = 64;
    const double rows = set->heldout_rows < HELDOUT_MASK_ROWS ? (double)set->heldout_rows
                                                             : HELDOUT_MASK_ROWS;
    const double k = (double)(set->k > set->k_start ? set->k : set->k_start);
    const double entries = rows * (settings_has_k(set) ? k : GUESS);
    return entries < MOST ? entries : MOST;
}

double run_file_bytes(const struct settings *set, size_t d, bool full)
{
    const double m = (double)set->m, w = (double)d, points = (double)set->steps / (double)set->log_every;
    const double weights = 4 * (2 * m * w + 6 * m + w);
    const double window = set->overlap_window > 1
                              ? 3 * (double)set->overlap_window * (double)set->batch * 4 * 64
                              : 0;
    double bytes = weights + 8 * m + 8 * mask_entries(set) + 131072;
    bytes += points * (8 * SERIES_N + 12 * 3 * (double)set->pairs);
    const double start = set->freeze == FREEZE_SOFT ? 4 * m * w : 0;
    return full ? bytes + 2 * weights + window + start : bytes;
}

static double due_bytes(const struct run_plan *plan, size_t d)
{
    double n = 0;
    for (size_t i = 0; i < plan->set.checkpoints.n; i++)
        n += plan->due[i];
    return n * run_file_bytes(&plan->set, d, plan->set.full_checkpoints);
}

/* What --force removes before anything is written. */
static double removed_bytes(const struct job *job)
{
    double sum = 0;
    for (size_t i = 0; job->force && !job->begun && i < job->n; i++) {
        char **names = NULL;
        size_t n = 0;
        if (!sae_fs_is_dir(job->plans[i].dir) ||
            job_run_files(&names, &n, job->plans[i].dir, NULL) != SAE_OK)
            continue;
        for (size_t f = 0; f < n; f++) {
            char *path = NULL;
            struct stat st;
            if (sae_fs_join(&path, job->plans[i].dir, names[f], NULL) == SAE_OK &&
                stat(path, &st) == 0)
                sum += (double)st.st_size;
            free(path);
        }
        sae_fs_list_free(names, n);
    }
    return sum;
}

/* Checkpoints stay; of state.h5 each run of a group holds one, and one more is being written. */
enum sae_status job_check_disk(const struct job *job, size_t most, struct sae_err *err)
{
    const size_t d = sae_acts_d(job->acts);
    double stay = 0, state = 0;
    size_t runs = 0;
    for (size_t i = 0; i < job->n; i++) {
        if (job->plans[i].finished)
            continue;
        const double one = run_file_bytes(&job->plans[i].set, d, true);
        stay += due_bytes(&job->plans[i], d);
        state = one > state ? one : state;
        runs++;
    }
    if (runs == 0)
        return SAE_OK;
    const double on_the_way = (double)(most + 1) * state, free_bytes = sae_fs_free_bytes(job->dir);
    char keeps[32], more[32], has[32];
    sae_plan_size_text(keeps, sizeof keeps, stay);
    sae_plan_size_text(more, sizeof more, on_the_way);
    sae_plan_size_text(has, sizeof has, free_bytes > 0 ? free_bytes : 0);
    sae_log_info("'%s' will hold about %s of checkpoints, and up to %s more (state.h5) while it trains; "
                 "%s are free",
                 job->dir, keeps, more, free_bytes < 0 ? "an unknown number of bytes" : has);
    if (free_bytes < 0 || job->any_space || stay + on_the_way <= free_bytes + removed_bytes(job))
        return SAE_OK;
    return sae_err_set(err, SAE_EIO,
                       "'%s' needs about %s of checkpoints and %s on the way, but only %s are free; make "
                       "room, name fewer --checkpoints, or start all the same with --any-space",
                       job->dir, keeps, more, has);
}
