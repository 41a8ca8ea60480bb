/* SPDX-License-Identifier: MIT */
/* lock : one writer for a folder (a run, a store). Advisory: writers take it, readers never look.
 *
 * Each writer puts a file of its own into the folder, ".writer.HOST.PID.N.lock", that says who it
 * is, and then looks for those of others. Whoever finds the file of a living process gives up; of
 * two that come at once the one whose name sorts first stays. No file is ever shared, renamed over
 * or removed while its owner lives, so no step can be overtaken, and it works wherever a file can
 * be created (no flock, no hard links needed).
 *
 * Alive or not: on the owner's machine its process is looked up (number and start time). From
 * another machine it counts as alive while its file was touched within SAE_LOCK_SILENCE seconds; a
 * thread of the owner touches it every SAE_LOCK_BEAT. The file of a dead writer is removed by the
 * next one, with a warning that names it. A writer that was suspended for longer than that and then
 * wakes finds out with sae_lock_check that the folder was taken over. */
#ifndef SAE_LIB_BASE_LOCK_H
#define SAE_LIB_BASE_LOCK_H

#include "lib/base/err.h"

enum { SAE_LOCK_BEAT = 20, SAE_LOCK_SILENCE = 300 };

struct sae_lock;

/* Takes the folder, which must exist, for this process, and removes what dead writers left in it
 * (their locks and temporary files).
 *   program  what the others are told: "sae-train"
 * Fails: SAE_EARG another process writes there; SAE_EIO the folder cannot be written; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_lock_take(struct sae_lock **ret, const char *dir,
                                             const char *program, struct sae_err *err);

/* Whether the folder is still ours; call it before something is published there.
 * Fails: SAE_EIO another process took it over while this one gave no sign of life */
SAE_MUST_CHECK enum sae_status sae_lock_check(const struct sae_lock *lock, struct sae_err *err);

/* Gives the folder back. Accepts NULL. What is still held is given back when the process exits. */
void sae_lock_release(struct sae_lock *lock);

#endif /* SAE_LIB_BASE_LOCK_H */
