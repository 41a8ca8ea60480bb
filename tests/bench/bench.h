/* SPDX-License-Identifier: MIT */
/* bench : what the programs of this folder share. */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <stddef.h>

#include "lib/base/err.h"

/* Ends the program with the message where st is a failure. */
void need(enum sae_status st, const struct sae_err *err);
double now(void); /* seconds of a clock that only grows */
/* n rows of d in new memory: each one of 64 shared directions and noise, so that masks meet. */
float *grouped_rows(size_t n, size_t d);

#endif /* TESTS_BENCH_BENCH_H */
