/* SPDX-License-Identifier: MIT */
/* stop : a request to end sets a flag; loops finish their step, save, and return SAE_EINTR.
 * Requests are SIGINT, SIGTERM, SIGHUP (a closed terminal, unless ignored as by nohup), and what
 * batch systems send before a job's time is over: SIGUSR1, SIGUSR2, SIGXCPU. */
#ifndef SAE_LIB_BASE_STOP_H
#define SAE_LIB_BASE_STOP_H

#include <stdbool.h>

/* Once, from main. A second signal of one kind ends the program at once. SIGXFSZ and SIGPIPE are
 * ignored, so that the write itself fails and is reported. */
void sae_stop_install(void);
bool sae_stop_asked(void);
int sae_stop_exit_code(void);   /* 128 and the number of the signal: 130, 143 */
double sae_stop_clock(void);    /* monotonic seconds, for rates */

#endif /* SAE_LIB_BASE_STOP_H */
