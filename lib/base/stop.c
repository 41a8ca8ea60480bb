/* SPDX-License-Identifier: MIT */
/* stop : the flag that SIGINT and SIGTERM set. */
#include "lib/base/stop.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

void sae_stop_install(void)
{
    /* SA_RESETHAND: a second signal of the same kind ends the program the usual way. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool sae_stop_asked(void)
{
    return caught != 0;
}

int sae_stop_exit_code(void)
{
    return 128 + (caught == 0 ? SIGINT : caught);
}

double sae_stop_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
