/* SPDX-License-Identifier: MIT */
/* autointerp_make DIR MODEL : the fabricated folder of autointerp_fab.h, for tests of whole
 * programs; prints the words of latents 0 to 4, one a line. */
#include <stdio.h>

#include "tests/unit/autointerp_fab.h"

int main(int argc, char **argv)
{
    struct sae_err err = {0};
    if (argc != 3 || afab_folder(argv[1], argv[2], &err) != SAE_OK) {
        fprintf(stderr, "autointerp_make: %s\n", argc == 3 ? err.msg : "usage: ... DIR MODEL");
        return 1;
    }
    for (size_t i = 0; i < 5; i++)
        printf("%s\n", afab_word(i));
    return 0;
}
