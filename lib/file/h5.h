/* SPDX-License-Identifier: MIT */
/* h5 : HDF5 files as saekit writes and reads them. Only h5*.c know hdf5.h.
 *
 * Law: a file appears whole or not at all (temporary file, fsync, rename); no timestamps inside, so
 * equal runs give equal bytes; every array of more than 64 bytes is chunked with a fletcher32
 * checksum, so damage is noticed on reading (scalars, /record among them, have none). Each file has the root attributes
 *   kind            "activations", "labels", "last", "words", "checkpoint"
 *   format_version  1
 *   id              SHA-256 over kind, dataset names, contents and /record in writing order
 * and the scalar string dataset /record, JSON, which says what made it (record.h). */
#ifndef SAE_LIB_FILE_H5_H
#define SAE_LIB_FILE_H5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/digest.h"
#include "lib/base/err.h"

struct sae_h5; /* one open file; one thread at a time */

/* HDF5 keeps state beyond its files and is not safe from two threads, even on two files. A program
 * with a second thread that reads holds this lock around every use of HDF5. */
void sae_h5_lock(void);
void sae_h5_unlock(void);

/* Version of the HDF5 library in use, "1.10.8", for records; static text. */
const char *sae_h5_library(void);

enum sae_h5_type {
    SAE_H5_F32,
    SAE_H5_F64,
    SAE_H5_BF16, /* an HDF5 float type of 16 bits; in memory uint16_t bit patterns */
    SAE_H5_U8,
    SAE_H5_U16,
    SAE_H5_U32,
    SAE_H5_U64,
    SAE_H5_I32,
    SAE_H5_I64
};

/* Begins a new file under a temporary name (lib/base/part.h).
 * Fails: SAE_EIO  folder missing or not writable
 *        SAE_EARG path exists and force is false */
SAE_MUST_CHECK enum sae_status sae_h5_create(struct sae_h5 **ret, const char *path,
                                             const char *kind, bool force, struct sae_err *err);

/* Writes /record and the id, closes, syncs and renames. On failure the temporary file is
 * removed. Without `force` a file that came to `path` since sae_h5_create stays, and this fails.
 * Frees *file in either case and sets it to NULL. */
SAE_MUST_CHECK enum sae_status sae_h5_commit(struct sae_h5 **file, const char *record,
                                             struct sae_err *err);

/* The id alone: what is put between the two goes into it and is not written. The same puts in the
 * same order as of a file that was written give its id, if the content is the same.
 * sae_h5_end_id frees *file in either case. */
SAE_MUST_CHECK enum sae_status sae_h5_begin_id(struct sae_h5 **ret, const char *kind,
                                               struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_h5_end_id(struct sae_h5 **file, const char *record,
                                             char id[SAE_DIGEST_HEX], struct sae_err *err);

/* Opens for reading. kind NULL accepts any saekit file.
 * Takes no lock. What would read another file or load code is refused where it is met: external
 * storage, links of any kind, virtual datasets, filters beyond those of HDF5 itself, and lengths of
 * which nothing is stored.
 * Fails: SAE_EIO not there, not readable; SAE_EFORMAT not HDF5, truncated, or another kind;
 *        SAE_EVERSION */
SAE_MUST_CHECK enum sae_status sae_h5_open(struct sae_h5 **ret, const char *path, const char *kind,
                                           struct sae_err *err);

/* Opens an HDF5 file of any program, which has neither record nor id. Fails: as sae_h5_open */
SAE_MUST_CHECK enum sae_status sae_h5_open_foreign(struct sae_h5 **ret, const char *path,
                                                   struct sae_err *err);

/* Closes; an uncommitted new file is removed. Accepts NULL. */
void sae_h5_close(struct sae_h5 *file);

const char *sae_h5_path(const struct sae_h5 *file);
const char *sae_h5_id(const struct sae_h5 *file);     /* of a file opened for reading */
const char *sae_h5_record(const struct sae_h5 *file); /* JSON text, likewise */

/* --- writing ------------------------------------------------------------------------------ */

/* Makes intermediate groups. name is a full path: "/optimizer/m_enc". */
SAE_MUST_CHECK enum sae_status sae_h5_put(struct sae_h5 *file, const char *name,
                                          enum sae_h5_type type, size_t rank, const size_t *dims,
                                          const void *data, struct sae_err *err);
/* One-dimensional shorthand. */
SAE_MUST_CHECK enum sae_status sae_h5_put1(struct sae_h5 *file, const char *name,
                                           enum sae_h5_type type, size_t n, const void *data,
                                           struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_h5_put2(struct sae_h5 *file, const char *name,
                                           enum sae_h5_type type, size_t rows, size_t cols,
                                           const void *data, struct sae_err *err);

/* n strings as a fixed-length UTF-8 dataset. */
SAE_MUST_CHECK enum sae_status sae_h5_put_strings(struct sae_h5 *file, const char *name, size_t n,
                                                  char *const *strings, struct sae_err *err);

/* Attributes of an object ("/" for the root). */
SAE_MUST_CHECK enum sae_status sae_h5_attr_put_str(struct sae_h5 *file, const char *object,
                                                   const char *name, const char *value,
                                                   struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_h5_attr_put_u64(struct sae_h5 *file, const char *object,
                                                   const char *name, uint64_t value,
                                                   struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_h5_attr_put_f64(struct sae_h5 *file, const char *object,
                                                   const char *name, double value,
                                                   struct sae_err *err);

/* --- reading ------------------------------------------------------------------------------ */

bool sae_h5_has(const struct sae_h5 *file, const char *name);

/* dims gets `rank` numbers. Fails: SAE_EFORMAT missing or of another rank */
SAE_MUST_CHECK enum sae_status sae_h5_shape(const struct sae_h5 *file, const char *name,
                                            size_t rank, size_t *dims, struct sae_err *err);

/* "F32", "BF16", ... of a dataset of floats; NULL where it holds something else or is not there. */
const char *sae_h5_float_name(const struct sae_h5 *file, const char *name);

/* Reads a whole dataset into new memory (*ret, a T ** with T fitting `type`; free()).
 * want[i] != 0 is the length expected on axis i; got (may be NULL) receives the lengths.
 * Values are converted by HDF5 where the file holds another numeric type.
 * Fails: SAE_EFORMAT missing, wrong rank or length, damaged (checksum); SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_h5_get(const struct sae_h5 *file, const char *name,
                                          enum sae_h5_type type, size_t rank, const size_t *want,
                                          size_t *got, void *ret, struct sae_err *err);

/* Rows [first, first + n) of a rank 1 or 2 dataset into the caller's memory. */
SAE_MUST_CHECK enum sae_status sae_h5_read_rows(const struct sae_h5 *file, const char *name,
                                                enum sae_h5_type type, size_t first, size_t n,
                                                void *to, struct sae_err *err);

/* Free with sae_h5_strings_free. */
SAE_MUST_CHECK enum sae_status sae_h5_get_strings(const struct sae_h5 *file, const char *name,
                                                  size_t *ret_n, char ***ret, struct sae_err *err);
void sae_h5_strings_free(char **strings, size_t n);

bool sae_h5_attr_has(const struct sae_h5 *file, const char *object, const char *name);

/* *ret in new memory; text of fixed or, as h5py writes it, of variable length.
 * Fails: SAE_EFORMAT missing or of another type; SAE_EIO */
SAE_MUST_CHECK enum sae_status sae_h5_attr_str(const struct sae_h5 *file, const char *object,
                                               const char *name, char **ret, struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_h5_attr_u64(const struct sae_h5 *file, const char *object,
                                               const char *name, uint64_t *ret,
                                               struct sae_err *err);
SAE_MUST_CHECK enum sae_status sae_h5_attr_f64(const struct sae_h5 *file, const char *object,
                                               const char *name, double *ret, struct sae_err *err);

/* Names of the members of a group, sorted. Free with sae_h5_strings_free. */
SAE_MUST_CHECK enum sae_status sae_h5_names(const struct sae_h5 *file, const char *group,
                                            size_t *ret_n, char ***ret, struct sae_err *err);

#endif /* SAE_LIB_FILE_H5_H */
