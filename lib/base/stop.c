/* SPDX-License-Identifier: MIT */
/* stop : the flag that SIGINT, SIGTERM and the signals of batch systems set. */
#include "lib/base/stop.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

/* Of a signal that whoever started us wants ignored (nohup), nothing changes. */
static bool is_ignored(int number)
{
    struct sigaction old;
    return sigaction(number, NULL, &old) == 0 && old.sa_handler == SIG_IGN;
}

void sae_stop_install(void)
{
    static const int asks[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU};
    /* SA_RESETHAND: a second signal of the same kind ends the program the usual way. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++)
        /* A shell without job control starts background jobs with SIGINT ignored: whoever sends
         * it to such a job by number means it. */
        if (asks[i] == SIGINT || !is_ignored(asks[i]))
            sigaction(asks[i], &action, NULL);
    /* Writing then fails with a reason that is told: EFBIG at `ulimit -f`, EPIPE where whoever read
     * our output is gone, which is no reason to lose what is being computed. */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
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
