/* SPDX-License-Identifier: MIT */
/* stop : SIGINT and SIGTERM set a flag; loops finish their step, save, and return SAE_EINTR. */
#ifndef SAE_LIB_BASE_STOP_H
#define SAE_LIB_BASE_STOP_H

#include <stdbool.h>

void sae_stop_install(void);    /* once, from main; a second signal ends the program at once */
bool sae_stop_asked(void);
int sae_stop_exit_code(void);   /* 130 or 143 */
double sae_stop_clock(void);    /* monotonic seconds, for rates */

#endif /* SAE_LIB_BASE_STOP_H */
