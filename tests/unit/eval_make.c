/* SPDX-License-Identifier: MIT */
/* eval_make DIR : the fabricated folder of eval_fab.h, for tests of whole programs. */
#include <stdio.h>

#include "tests/unit/eval_fab.h"

int main(int argc, char **argv)
{
    struct sae_err err = {0};
    if (argc != 2 || fab_folder(argv[1], &err) != SAE_OK) {
        fprintf(stderr, "eval_make: %s\n", argc == 2 ? err.msg : "usage: eval_make DIR");
        return 1;
    }
    return 0;
}
