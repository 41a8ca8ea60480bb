/* SPDX-License-Identifier: MIT */
/* What a chat model answered: an explanation, or numbers of sequences. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "autointerp/autointerp.h"
#include "tests/fuzz/fuzz.h"

void fuzz_seeds(void)
{
    static const char *const answers[] = {"This neuron activates on the names of rivers.",
                                          "<think>hm 3, 4</think>\n1, 5, 14",
                                          "None",
                                          "**2**, 7 and 9.",
                                          "[1, 2]",
                                          "`activates on` \"x\"",
                                          "13; 99",
                                          "1 2 3 15",
                                          "\xE2\x86\xB5 activates on \xF0\x9F\x99\x82"};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        fuzz_seed(answers[i], strlen(answers[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct sae_err err = {0};
    char why[AUTOINTERP_WHY] = "", *explanation = NULL, *const text = malloc(n + 1);
    bool ok = false, said[AUTOINTERP_SCORE];
    if (text == NULL)
        return 0;
    memcpy(text, bytes, n);
    text[n] = '\0';
    if (fuzz_ok(autointerp_read_explanation(&explanation, &ok, why, text, &err), &err)) {
        FUZZ_REQUIRE(ok == (explanation != NULL));
        FUZZ_REQUIRE(ok ? explanation[0] != '\0' : why[0] != '\0');
    }
    free(explanation);
    why[0] = '\0';
    FUZZ_REQUIRE(autointerp_read_numbers(said, why, text) || why[0] != '\0');
    free(text);
    return 0;
}
