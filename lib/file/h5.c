/* SPDX-License-Identifier: MIT */
/* h5 : HDF5 with saekit's law - whole or absent, no timestamps, checksums, an id over the content.
 * Contents: 1. the library and its failures   2. open and close
 * Datasets are in h5_data.c, attributes and groups in h5_attr.c, what is refused in h5_guard.c. */
#include "lib/file/h5_inner.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/part.h"

enum { FORMAT_VERSION = 1 };

/* --- 1. the library and its failures ------------------------------------------------------ */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

void sae_h5_lock(void)
{
    pthread_mutex_lock(&turn);
}

void sae_h5_unlock(void)
{
    pthread_mutex_unlock(&turn);
}

/* Every file is closed here, so nothing is left for HDF5 1.10 to do at exit; and what it does there
 * crashes where a write failed on a full disk. The call counts only before any other. */
__attribute__((constructor)) static void forgo_cleanup_at_exit(void)
{
    H5dont_atexit();
}

const char *sae_h5_library(void)
{
    static char text[32];
    unsigned major = 0, minor = 0, release = 0;
    if (text[0] == '\0') {
        H5get_libversion(&major, &minor, &release);
        snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    }
    return text;
}

/* --- 2. open and close -------------------------------------------------------------------- */

static enum sae_status file_new(struct sae_h5 **ret, const char *path, struct sae_err *err)
{
    h5_set_up();
    struct sae_h5 *file = NULL;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&file, 1, sizeof *file, err));
    file->id = H5I_INVALID_HID;
    SAE_GO(st, sae_mem_alloc(&file->checked, 1, sizeof *file->checked, err));
    SAE_GO(st, sae_mem_strdup(&file->path, path, err));
    *ret = file;
    file = NULL;
done:
    sae_h5_close(file);
    return st;
}

void sae_h5_close(struct sae_h5 *file)
{
    if (file == NULL)
        return;
    if (file->id >= 0)
        H5Fclose(file->id);
    if (file->part != NULL)
        unlink(file->part);
    if (file->checked != NULL)
        h5_checked_clear(file->checked);
    free(file->checked);
    free(file->path);
    free(file->part);
    free(file->kind);
    free(file->record);
    free(file);
}

/* Equal runs give equal bytes: no access times, and names kept in a fixed (creation) order. */
static hid_t open_for_writing(const char *part)
{
    const hid_t fcpl = H5Pcreate(H5P_FILE_CREATE);
    const hid_t fapl = h5_access();
    const bool is_set = fcpl >= 0 && fapl >= 0 && H5Pset_obj_track_times(fcpl, 0) >= 0 &&
                        H5Pset_libver_bounds(fapl, H5F_LIBVER_V18, H5F_LIBVER_LATEST) >= 0;
    const hid_t id = is_set ? H5Fcreate(part, H5F_ACC_EXCL, fcpl, fapl) : H5I_INVALID_HID;
    H5Pclose(fapl);
    H5Pclose(fcpl);
    return id;
}

static enum sae_status put_head(struct sae_h5 *file, const char *kind, struct sae_err *err)
{
    sae_digest_init(&file->digest);
    sae_digest_update(&file->digest, kind, strlen(kind) + 1);
    SAE_TRY(sae_h5_attr_put_str(file, "/", "kind", kind, err));
    return sae_h5_attr_put_u64(file, "/", "format_version", FORMAT_VERSION, err);
}

enum sae_status sae_h5_begin_id(struct sae_h5 **ret, const char *kind, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    SAE_TRY(file_new(&file, kind, err));
    file->is_id_only = true;
    const enum sae_status st = put_head(file, kind, err);
    if (st == SAE_OK)
        *ret = file;
    else
        sae_h5_close(file);
    return st;
}

enum sae_status sae_h5_end_id(struct sae_h5 **file, const char *record, char id[SAE_DIGEST_HEX],
                              struct sae_err *err)
{
    char *const lines[1] = {(char *)record};
    const enum sae_status st = sae_h5_put_strings(*file, "/record", 1, lines, err);
    if (st == SAE_OK)
        sae_digest_hex(&(*file)->digest, id);
    sae_h5_close(*file);
    *file = NULL;
    return st;
}

enum sae_status sae_h5_create(struct sae_h5 **ret, const char *path, const char *kind, bool force,
                              struct sae_err *err)
{
    if (!force && access(path, F_OK) == 0)
        return sae_err_set(err, SAE_EARG, "'%s' exists already; give --force to replace it", path);
    struct sae_h5 *file = NULL;
    char *part = NULL;
    enum sae_status st;
    SAE_TRY(file_new(&file, path, err));
    file->replace = force;
    SAE_GO(st, sae_mem_strdup(&file->kind, kind, err));
    SAE_GO(st, sae_part_name(&part, path, err));
    errno = 0;
    file->id = open_for_writing(part);
    if (file->id < 0) {
        st = sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path,
                         errno != 0 ? strerror(errno) : "HDF5 cannot create it");
        goto done;
    }
    file->part = part;
    part = NULL;
    SAE_GO(st, put_head(file, kind, err));
    *ret = file;
    file = NULL;
done:
    free(part);
    sae_h5_close(file);
    return st;
}

enum sae_status sae_h5_commit(struct sae_h5 **file_ref, const char *record, struct sae_err *err)
{
    struct sae_h5 *file = *file_ref;
    *file_ref = NULL;
    enum sae_status st;
    char *const lines[1] = {(char *)record};
    SAE_GO(st, sae_h5_put_strings(file, "/record", 1, lines, err));
    char hex[SAE_DIGEST_HEX];
    sae_digest_hex(&file->digest, hex);
    SAE_GO(st, sae_h5_attr_put_str(file, "/", "id", hex, err));
    errno = 0;
    const herr_t flushed = H5Fflush(file->id, H5F_SCOPE_GLOBAL);
    const int why = errno;
    const herr_t closed = H5Fclose(file->id);
    file->id = H5I_INVALID_HID;
    if (flushed < 0 || closed < 0) {
        st = sae_err_set(err, SAE_EIO, "cannot write '%s': %s", file->path,
                         why != 0 ? strerror(why) : "HDF5 could not finish the file");
        goto done;
    }
    SAE_GO(st, sae_part_publish(file->part, file->path, file->replace, err));
    free(file->part);
    file->part = NULL;
done:
    sae_h5_close(file);
    return st;
}

static enum sae_status check_head(struct sae_h5 *file, const char *kind, struct sae_err *err)
{
    uint64_t version;
    char *id = NULL;
    if (H5Aexists(file->id, "kind") <= 0 || H5Aexists(file->id, "format_version") <= 0 ||
        H5Aexists(file->id, "id") <= 0)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is an HDF5 file, but not one of saekit's",
                           file->path);
    SAE_TRY(sae_h5_attr_str(file, "/", "kind", &file->kind, err));
    SAE_TRY(sae_h5_attr_u64(file, "/", "format_version", &version, err));
    if (version > FORMAT_VERSION)
        return sae_err_set(err, SAE_EVERSION,
                           "'%s' has format version %llu, this build reads up to %d; use a newer "
                           "saekit",
                           file->path, (unsigned long long)version, FORMAT_VERSION);
    if (kind != NULL && strcmp(kind, file->kind) != 0)
        return sae_err_set(err, SAE_EFORMAT, "'%s' is of kind '%s', expected '%s'", file->path,
                           file->kind, kind);
    SAE_TRY(sae_h5_attr_str(file, "/", "id", &id, err));
    snprintf(file->hex, sizeof file->hex, "%s", id);
    free(id);
    return SAE_OK;
}

enum sae_status sae_h5_open_foreign(struct sae_h5 **ret, const char *path, struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    enum sae_status st;
    SAE_TRY(file_new(&file, path, err));
    SAE_GO(st, h5_check_file(&file->n_bytes, path, err));
    const hid_t fapl = h5_access();
    errno = 0;
    file->id = H5Fopen(path, H5F_ACC_RDONLY, fapl);
    const int why = errno;
    H5Pclose(fapl);
    if (file->id < 0) {
        st = h5_open_failed(path, why, err);
        goto done;
    }
    *ret = file;
    file = NULL;
done:
    sae_h5_close(file);
    return st;
}

enum sae_status sae_h5_open(struct sae_h5 **ret, const char *path, const char *kind,
                            struct sae_err *err)
{
    struct sae_h5 *file = NULL;
    char **lines = NULL;
    size_t n = 0;
    enum sae_status st;
    SAE_TRY(sae_h5_open_foreign(&file, path, err));
    SAE_GO(st, check_head(file, kind, err));
    SAE_GO(st, sae_h5_get_strings(file, "/record", &n, &lines, err));
    if (n != 1) {
        st = sae_err_set(err, SAE_EFORMAT, "'%s' has %zu records, expected 1", path, n);
        goto done;
    }
    file->record = lines[0];
    lines[0] = NULL;
    *ret = file;
    file = NULL;
done:
    sae_h5_strings_free(lines, n);
    sae_h5_close(file);
    return st;
}

const char *sae_h5_path(const struct sae_h5 *file)
{
    return file->path;
}

const char *sae_h5_id(const struct sae_h5 *file)
{
    return file->hex;
}

const char *sae_h5_record(const struct sae_h5 *file)
{
    return file->record;
}
