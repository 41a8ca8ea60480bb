/* SPDX-License-Identifier: MIT */
/* leave_out : a test that this machine cannot do. cmocka's skip() writes what the test runner takes for a
 * failure. Include cmocka.h before. */
#ifndef SAE_TESTS_UNIT_LEAVE_OUT_H
#define SAE_TESTS_UNIT_LEAVE_OUT_H

#define leave_out(why)                                                                             \
    do {                                                                                           \
        print_message("# %s is left out: %s\n", __func__, why);                                    \
        return;                                                                                    \
    } while (0)

#endif /* SAE_TESTS_UNIT_LEAVE_OUT_H */
