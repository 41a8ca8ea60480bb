/* SPDX-License-Identifier: MIT */
/* progress : a bar with rate and time left on a terminal, a line now and then elsewhere. stderr. */
#ifndef SAE_LIB_CLI_PROGRESS_H
#define SAE_LIB_CLI_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

struct sae_progress {
    const char *what, *unit;
    uint64_t done, total, first; /* first: where this process began (a resumed pass) */
    double began, shown;
    int terminal, quiet;
};

/* unit: "tokens", "steps", "texts". Quiet where the log level is below info. */
void sae_progress_begin(struct sae_progress *bar, const char *what, const char *unit,
                        uint64_t first, uint64_t total);
/* note (may be NULL) is shown after the time left: "loss 12.3  l0 32". Cheap to call often. */
void sae_progress_step(struct sae_progress *bar, uint64_t done, const char *note);
/* Ends the bar with one line: "harvest: 300000 tokens in 41 s (7317 tokens/s)"; a pass of less than
 * three seconds ends without. */
void sae_progress_end(struct sae_progress *bar);

/* "41 s", "3 min 05 s", "2 h 10 min". */
void sae_progress_duration(char *to, size_t size, double seconds);

/* The line of a terminal of that many columns, without line end; for tests. `to` holds `size`. */
void sae_progress_line(char *to, size_t size, const struct sae_progress *bar, double now,
                       const char *note, size_t columns);

#endif /* SAE_LIB_CLI_PROGRESS_H */
