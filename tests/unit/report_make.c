/* SPDX-License-Identifier: MIT */
/* report_make : `report_make DIR` makes the three fabricated runs that tests/cli/report.sh reads.
 */
#include <stdio.h>

#include "tests/unit/report_runs.h"

int main(int argc, char **argv)
{
    static const struct fake_run runs[] = {
        {"run_1", "none",        42, 4, 0,    {0, 25, 50, 75, 100, -1}, 1},
        {"run_2", "progressive", 42, 4, 0.01, {0, 25, 50, 75, 100, -1}, 1},
        {"run_3", "progressive", 43, 4, 0.03, {0, 25, 50, 75, 100, -1}, 1},
    };
    struct sae_err err = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: report_make DIR\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        if (fake_run_make(argv[1], &runs[i], &err) != SAE_OK) {
            fprintf(stderr, "report_make: %s\n", err.msg);
            return 1;
        }
    return 0;
}
