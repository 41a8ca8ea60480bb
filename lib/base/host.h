/* SPDX-License-Identifier: MIT */
/* host : which machine this is, what memory it has, and whether another process on it is alive. */
#ifndef SAE_LIB_BASE_HOST_H
#define SAE_LIB_BASE_HOST_H

#include <stdbool.h>
#include <stdint.h>

enum { SAE_HOST_MAX = 40 }; /* bytes of a token, with the NUL */

/* "node3-1a2b3c4d": the host's name, letters, digits, '-' and '_' only, cut to 24 bytes, and a hash
 * of the boot and of the process namespace. Two processes with equal tokens see the same table of
 * processes, so that each can tell whether the other is alive; containers of one name cannot, and
 * have other tokens. Static text. */
const char *sae_host_token(void);

/* When a process of this machine started, in the kernel's clock ticks since boot; 0 where it does
 * not run (a zombie does not) or /proc does not say. */
uint64_t sae_host_started(int64_t pid);

/* Whether process `pid` of this machine runs. `started` guards against a number that was given to
 * another process since; 0: any process of that number. */
bool sae_host_alive(int64_t pid, uint64_t started);

/* Bytes of memory that this process may still take, of the machine and of its control group (4e9 where
 * the system does not tell); that it holds now; that it has held at most (0 where the system does not
 * tell). */
double sae_host_memory_free(void);
double sae_host_memory_held(void);
double sae_host_memory_peak(void);
/* Gives freed memory back to the system, so that what is held is what is in use. */
void sae_host_memory_trim(void);

/* Path of the running program, "" where neither /proc nor the one who started it tells. to: PATH_MAX
 * bytes. */
void sae_host_program(char *to);

#endif /* SAE_LIB_BASE_HOST_H */
