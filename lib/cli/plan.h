/* SPDX-License-Identifier: MIT */
/* plan : what a command will take - memory, disk, time, operations - told before the work. A program
 * lists in a plan what it will hold, write and do; --plan prints the list and ends, any other run
 * compares it with what the machine has free and warns.
 *
 * Memory: what the process holds when the plan is made (programs open their inputs first), what it will
 * hold besides to the end, and the most that one stage holds while it runs.
 * Time: of each stage, from a probe: a little of the same work, done and thrown away. */
#ifndef SAE_LIB_CLI_PLAN_H
#define SAE_LIB_CLI_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/cli/opt.h"

/* The row of --plan; to_: bool. main: SAE_OPT_MAIN, or 0. */
#define SAE_PLAN_ROW(to_, main)                                                                    \
    {                                                                                              \
        "plan", 0, SAE_OPT_FLAG, (to_), "false", .group = "Output",                                \
        .help = "print what the command would take (memory, disk, time, operations), measured on " \
                "a little of its work, write nothing, and stop",                                   \
        .flags = (main) | SAE_OPT_UNRECORDED                                                       \
    }

#define SAE_PLAN_H5_BYTES 2.3e6 /* that the HDF5 library holds while a file is written; measured */

enum { SAE_PLAN_LINES = 24, SAE_PLAN_NAME = 112 };

/* Something that is held or written. */
struct sae_plan_bytes {
    char name[SAE_PLAN_NAME];
    double bytes;
};

/* Work. */
struct sae_plan_stage {
    char name[SAE_PLAN_NAME];
    const char *unit; /* "tokens" */
    double n;         /* of them */
    double seconds;   /* NaN: not known */
    double flops;     /* floating-point operations of products and sums */
    double bytes;     /* memory that it holds while it runs */
};

struct sae_plan {
    bool is_asked; /* --plan: probes are run, for seconds; else only bytes are wanted */
    double began;
    double held; /* bytes; 0: not measured yet */
    const char *folder; /* whose disk takes the files; borrowed */
    size_t n_memory, n_disk, n_stages;
    struct sae_plan_bytes memory[SAE_PLAN_LINES], disk[SAE_PLAN_LINES];
    struct sae_plan_stage stages[SAE_PLAN_LINES];
};

void sae_plan_init(struct sae_plan *plan, bool is_asked, const char *folder);
/* What is held now, of which probes have been freed; call it after them and before the first of the
 * others. Without it the plan is of memory beside what is held. */
void sae_plan_hold(struct sae_plan *plan);
/* Lines beyond SAE_PLAN_LINES join the last. */
void sae_plan_memory(struct sae_plan *plan, double bytes, const char *fmt, ...) SAE_PRINTF(3, 4);
void sae_plan_disk(struct sae_plan *plan, double bytes, const char *fmt, ...) SAE_PRINTF(3, 4);
/* stage: its name is fmt's. */
void sae_plan_stage(struct sae_plan *plan, const struct sae_plan_stage *stage, const char *fmt, ...)
    SAE_PRINTF(3, 4);
/* As many times over: seconds, operations, files; memory is that of one. */
void sae_plan_repeat(struct sae_plan *plan, double times);

double sae_plan_peak(const struct sae_plan *plan);      /* bytes of memory, at most */
double sae_plan_disk_bytes(const struct sae_plan *plan);
double sae_plan_seconds(const struct sae_plan *plan);   /* NaN where a stage's is not known */

/* Lines for people, or as JSON (docs/FORMATS.md), to stdout. */
SAE_MUST_CHECK enum sae_status sae_plan_print(const struct sae_plan *plan, const struct sae_cli *cli,
                                              struct sae_err *err);
/* Warns where the machine has less free than the plan takes. */
void sae_plan_warn(const struct sae_plan *plan);

/* "840 MB", "1.52 GB", "2 TB". */
void sae_plan_size_text(char *to, size_t size, double bytes);

#endif /* SAE_LIB_CLI_PLAN_H */
