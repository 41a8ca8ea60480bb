/* SPDX-License-Identifier: MIT */
/* peer : the other side of a comparison, a Python program that is told when to run and answers with
 * its times, so that both sides can take turns within one minute. */
#ifndef SAE_TESTS_BENCH_PEER_H
#define SAE_TESTS_BENCH_PEER_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct peer {
    pid_t pid; /* 0: none */
    FILE *to, *from;
    char name[100]; /* "PyTorch 2.15.0" */
};

/* Starts `python script args...` (NULL-terminated). False, and one line on stderr, where it does not
 * come up: then there is no comparison. */
bool peer_open(struct peer *p, const char *python, const char *script, const char *const *args);
/* One run. False where the peer has gone. `value`: whatever the two sides must agree on. */
bool peer_run(struct peer *p, double *wall, double *cpu, double *value);
void peer_close(struct peer *p);

#endif /* SAE_TESTS_BENCH_PEER_H */
