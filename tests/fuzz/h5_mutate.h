/* SPDX-License-Identifier: MIT */
/* h5_mutate : changes to the structure of an HDF5 file, chosen by bytes. */
#ifndef SAE_TESTS_FUZZ_H5_MUTATE_H
#define SAE_TESTS_FUZZ_H5_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* The names of all objects of a file, sorted; NULL-terminated, for the whole process. */
char **h5_mutate_names(const char *path);

/* Takes four bytes at a time: what is done, to which object, and two numbers that say how (see
 * h5_mutate.c); a text of the input may become a string of the file. */
void h5_mutate(const char *path, char *const *names, const uint8_t *how, size_t n_how);

#endif /* SAE_TESTS_FUZZ_H5_MUTATE_H */
