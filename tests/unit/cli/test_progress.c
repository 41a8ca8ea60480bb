/* SPDX-License-Identifier: MIT */
/* Tests of lib/cli/progress: the line of a terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cli/progress.h"

static void a_narrow_terminal_keeps_the_figures(void **state)
{
    (void)state;
    const struct sae_progress bar = {
        .what = "training", .unit = "steps", .done = 250, .total = 1000, .began = 10};
    char text[200];
    static const struct {
        size_t columns;
        const char *line;
    } cases[] = {
        {79, "training [#####               ]  25%  10 steps/s  1 min 15 s left  loss 1.5"},
        {60, "training  25%  10 steps/s  1 min 15 s left  loss 1.5"                       },
        {45, "training  25%  10 steps/s  1 min 15 s left"                                 },
        {39, " 25%  10 steps/s  1 min 15 s left"                                          },
        {10, " 25%  10 s"                                                                 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sae_progress_line(text, sizeof text, &bar, 35, "loss 1.5", cases[i].columns);
        assert_string_equal(text, cases[i].line);
    }
}

static void rates_are_short(void **state)
{
    (void)state;
    static const struct {
        uint64_t done;
        const char *rate;
    } cases[] = {
        {1234567, " 123457 tokens/s"},
        {1234,    " 123 tokens/s"   },
        {123,     " 12.3 tokens/s"  },
        {1,       " 0.1 tokens/s"   }
    };
    char text[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct sae_progress bar = {
            .what = "train", .unit = "tokens", .done = cases[i].done, .total = 9999999};
        sae_progress_line(text, sizeof text, &bar, 10, NULL, 79);
        if (strstr(text, cases[i].rate) == NULL)
            fail_msg("'%s' does not contain '%s'", text, cases[i].rate);
    }
}

/* Time left as a person says it; of what has not moved nothing is known. */
static void times_left(void **state)
{
    static const struct {
        uint64_t first, done, total;
        const char *line;
    } cases[] = {
        {0,  10, 20,   "work [##########          ]  50%  1 tokens/s  10 s left"      },
        {0,  10, 7210, "work [                    ]   0%  1 tokens/s  2 h 00 min left"},
        {0,  10, 100,  "work [##                  ]  10%  1 tokens/s  1 min 30 s left"},
        {0,  0,  100,  "work [                    ]   0%  0 tokens/s  ? left"         },
        {0,  20, 20,   "work [####################] 100%  2 tokens/s  0 s left"       },
        {0,  30, 20,   "work [####################] 150%  3 tokens/s  ? left"         },
        {0,  10, 0,    "work [                    ]   0%  1 tokens/s  ? left"         },
 /* a resumed pass: the rate is that of this process */
        {80, 90, 100,  "work [##################  ]  90%  1 tokens/s  10 s left"      },
    };
    char text[200];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct sae_progress bar = {.what = "work",
                                         .unit = "tokens",
                                         .first = cases[i].first,
                                         .done = cases[i].done,
                                         .total = cases[i].total};
        sae_progress_line(text, sizeof text, &bar, 10, NULL, 79);
        assert_string_equal(text, cases[i].line);
    }
}

/* The text never passes the buffer, nor the terminal. */
static void lines_are_cut(void **state)
{
    const struct sae_progress bar = {.what = "a name that is longer than the terminal is wide",
                                     .unit = "tokens",
                                     .done = 5,
                                     .total = 10};
    char text[200];
    (void)state;
    for (size_t columns = 0; columns < 120; columns++)
        for (size_t size = 1; size < 120; size += 7) {
            memset(text, '!', sizeof text);
            sae_progress_line(text, size, &bar, 10, "a note", columns);
            assert_true(strlen(text) < size && strlen(text) <= columns);
            assert_int_equal(text[size], '!');
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_narrow_terminal_keeps_the_figures),
        cmocka_unit_test(rates_are_short),
        cmocka_unit_test(times_left),
        cmocka_unit_test(lines_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
