/* SPDX-License-Identifier: MIT */
/* sae-train : one run, or a grid of them - settings in, checkpoints and time series out. */
#include "lib/base/log.h"
#include "lib/cli/backend.h"
#include "lib/cli/opt.h"
#include "lib/cli/progress.h"
#include "lib/file/acts.h"
#include "train/job.h"
#include "train/options.h"

static void verified_shards(void *bar, uint64_t done)
{
    sae_progress_step(bar, done, NULL);
}

static enum sae_status verify_store(const struct job *job, struct sae_err *err)
{
    struct sae_progress bar;
    if (job->acts == NULL) /* nothing is left to train */
        return SAE_OK;
    sae_progress_begin(&bar, "verify", "shards", 0, sae_acts_n_shards(job->acts));
    const enum sae_status st = sae_acts_verify(job->acts, 0, verified_shards, &bar, err);
    sae_progress_end(&bar);
    return st;
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct options_given *const given = &options_given;
    const struct asked asked = {.cli = cli,
                                .set = &given->set,
                                .acts = given->acts,
                                .out = given->out,
                                .resume = given->resume,
                                .memory = given->memory,
                                .go_on = given->go_on,
                                .any_space = given->any_space};
    struct job job = {0};
    enum sae_status st;
    if (given->list_arch)
        return options_list_arch(cli->json, err);
    if (given->plan && (given->go_on || given->resume))
        return sae_err_set(err, SAE_EARG, "--plan is for a new run; leave out %s",
                           given->resume ? "--resume" : "--continue");
    SAE_GO(st, sae_cli_backend(&job.ops, cli, "training ", err));
    SAE_GO(st, given->go_on    ? job_continue(&job, &asked, err)
               : given->resume ? job_resume(&job, &asked, err)
                               : job_start(&job, &asked, err));
    SAE_GO(st, job.ops->precision((enum sae_precision)given->matmul, err));
    if (given->plan) {
        st = job_plan_print(&job, cli, err);
        goto done;
    }
    if (given->verify)
        SAE_GO(st, verify_store(&job, err));
    st = job_train(&job, err);
    if (st == SAE_OK)
        st = job_print(&job, cli->json, err);
    else if (job.sweep && st == SAE_ERANGE && job_print(&job, cli->json, NULL) != SAE_OK)
        sae_log_warn("the runs that did not fail cannot be shown either");
done:
    job_clear(&job);
    return st;
}

static const struct sae_program program = {
    .name = "sae-train",
    .summary = "train sparse autoencoders on an activation store",
    .usage = "sae-train --acts DIR [options] -o RUN",
    .examples = "# TopK baseline\n"
                "sae-train --acts acts --arch topk --k 32 -o run_1\n"
                "# progressive orthogonality\n"
                "sae-train --acts acts --arch topk --k 32 --orth progressive --lambda2-max 0.1 -o "
                "run_2\n"
                "# continue after an interruption, to the same bytes\n"
                "sae-train --resume run_2\n"
                "# a grid of runs in one pass over the activations: sweep/run_lam0.1_tau0.1 ...\n"
                "sae-train --acts acts --orth progressive --lambda2-max 0.1,0.5,1.0 \\\n"
                "    --base-threshold 0.1,0.3,0.5 -o sweep\n",
    .about =
        "sae-train writes ckpt_00.h5 ... ckpt_100.h5 into the run folder. Each holds weights, the "
        "time series so far, and metrics and masks of held-out rows. The steps follow the 2025 "
        "dictionary_learning trainers and, for standard-2024, the loss of its 2024 trainer; "
        "--list-arch prints the architectures, their defaults and options.\n"
        "state.h5 holds what else an exact resume needs. It is saved at each checkpoint, every "
        "--save-minutes, and when a signal makes the program finish its step and stop; it is "
        "removed when the run is finished. --resume RUN needs no other option and ends with the "
        "bytes of an unbroken run, on the same machine and build. Checkpoints that are missing or "
        "damaged are made again, to the same bytes, from the nearest state before them or from the "
        "start. Options given with --resume must agree with the record; --save-every, "
        "--save-minutes and --memory may be given again with other values, and --threads, --quiet, "
        "--verbose and --json are not recorded: none of them changes a file. --continue is for "
        "scripts and takes the whole command line again: it starts the run, continues it, or does "
        "nothing if it is finished, and it refuses other options than those the run was started "
        "with. Only one process at a time writes to a run.\n\n"
        "An option given as a list makes a sweep: one run for each combination, in its own folder "
        "below -o, with the same files as if it had been trained alone. Runs that read the "
        "activations in the same order (equal --seed, --batch, --heldout-rows, --normalize) are "
        "trained side by side on each batch, as many at a time as --memory allows. If an "
        "option that decides about others is a list (--arch, --orth, --sparsity ...), a run ignores the options that have no meaning for it, "
        "and runs that become equal are trained once. A run that fails does not stop the others; "
        "the exit status is then 1. --resume takes the folder of the sweep.",
    .opts = options_rows,
    .run = run};

int main(int argc, char **argv)
{
    options_unset(&options_given.set);
    return sae_program_main(&program, argc, argv);
}
