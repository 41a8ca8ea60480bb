/* SPDX-License-Identifier: MIT */
/* h5_guard : what an HDF5 file may not do to its reader. The format can name other files (external
 * storage, external links, virtual datasets), load code (filters from plugins) and claim sizes of
 * which nothing is stored. A file of saekit does none of it, so it is refused wherever it is met.
 * Contents: 1. the library   2. files   3. links   4. datasets */
#include "lib/file/h5_inner.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"

/* Deflate reaches 1032 to one. */
enum { PACKED_MOST = 4096 };

/* --- 1. the library ----------------------------------------------------------------------- */

/* H5Pset_file_locking came in 1.10.7 and, of the other branch, in 1.12.1. */
#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && H5_VERS_MINOR == 10)
#define HAS_LOCK_SETTING 1
#else
#define HAS_LOCK_SETTING 0
#endif

static void set_up(void)
{
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* messages go through err, never straight to stderr */
    H5PLset_loading_state(0); /* a filter of a plugin is code that HDF5_PLUGIN_PATH chooses */
    if (!HAS_LOCK_SETTING)
        setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
}

void h5_set_up(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* of a thread-safe HDF5, each thread's own */
}

/* Files are opened without a lock: they appear whole and are never changed, while not every file
 * system has locks (NFS) and another program may hold one for long. */
hid_t h5_access(void)
{
    const hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
#if HAS_LOCK_SETTING
    H5Pset_file_locking(fapl, 0, 1);
#endif
    return fapl;
}

/* --- 2. files ----------------------------------------------------------------------------- */

enum sae_status h5_check_file(uint64_t *ret_bytes, const char *path, struct sae_err *err)
{
    static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char head[8];
    struct stat st;
    int fd;
    SAE_TRY(sae_fs_open(&fd, path, err));
    enum sae_status status = SAE_OK;
    bool found = false;
    if (fstat(fd, &st) != 0)
        status = sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(errno));
    /* At the start, or behind a block of the user's of 512, 1024, ... bytes. */
    for (off_t at = 0; status == SAE_OK && !found && at <= st.st_size - (off_t)sizeof head;
         at = at == 0 ? 512 : at * 2) {
        if (pread(fd, head, sizeof head, at) < 0)
            status = sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(errno));
        else
            found = memcmp(head, signature, sizeof head) == 0;
    }
    close(fd);
    if (status == SAE_OK && !found)
        status = sae_err_set(err, SAE_EFORMAT, "'%s' is not an HDF5 file", path);
    if (status == SAE_OK)
        *ret_bytes = (uint64_t)st.st_size;
    return status;
}

static herr_t find_lock(unsigned n, const H5E_error2_t *entry, void *found)
{
    (void)n;
    if (entry->desc != NULL &&
        (strstr(entry->desc, "lock file") != NULL || strstr(entry->desc, "file lock") != NULL ||
         strstr(entry->desc, "already open for write") != NULL))
        *(bool *)found = true;
    return 0;
}

/* Why HDF5 does not open a file that could be read a moment ago. */
enum sae_status h5_open_failed(const char *path, int system_says, struct sae_err *err)
{
    bool locked = false;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, find_lock, &locked);
    if (locked)
        return sae_err_set(err, SAE_EIO,
                           "'%s' is locked or open for writing in another program; wait for it, or "
                           "set HDF5_USE_FILE_LOCKING=FALSE if it is on a file system without locks",
                           path);
    if (h5_is_system_failure(system_says) || system_says == EACCES || system_says == EMFILE)
        return sae_err_set(err, SAE_EIO, "cannot read '%s': %s", path, strerror(system_says));
    return sae_err_set(err, SAE_EFORMAT, "'%s' is damaged or truncated: HDF5 cannot open it", path);
}

/* --- 3. links ----------------------------------------------------------------------------- */

static enum sae_status check_link(const struct sae_h5 *file, const char *path, struct sae_err *err)
{
    H5L_info_t info;
    errno = 0;
    if (H5Lget_info(file->id, path, &info, H5P_DEFAULT) < 0)
        return h5_fail(file, err, SAE_EFORMAT, "open", path);
    if (info.type == H5L_TYPE_HARD)
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' in '%s' is %s; saekit follows no links, so that no file reads another: "
                       "store the content itself (h5repack, or a copy by h5py)",
                       path, file->path,
                       info.type == H5L_TYPE_EXTERNAL ? "a link to another file"
                       : info.type == H5L_TYPE_SOFT   ? "a symbolic link"
                                                      : "a link of an unknown kind");
}

enum sae_status h5_check_links(const struct sae_h5 *file, const char *name, struct sae_err *err)
{
    char path[512];
    if (strlen(name) >= sizeof path)
        return sae_err_set(err, SAE_EFORMAT, "'%s': the name '%.40s...' is too long", file->path,
                           name);
    for (size_t i = 2; name[0] == '/' && name[1] != '\0' && i <= strlen(name); i++) {
        if (name[i] != '/' && name[i] != '\0')
            continue;
        memcpy(path, name, i);
        path[i] = '\0';
        SAE_TRY(check_link(file, path, err));
    }
    return SAE_OK;
}

/* --- 4. datasets -------------------------------------------------------------------------- */

static enum sae_status check_filters(const struct sae_h5 *file, const char *name, hid_t layout,
                                     struct sae_err *err)
{
    const int n = H5Pget_nfilters(layout);
    for (int i = 0; i < n; i++) {
        char label[64] = "";
        unsigned flags, config;
        size_t n_values = 0;
        const H5Z_filter_t id = H5Pget_filter2(layout, (unsigned)i, &flags, &n_values, NULL,
                                               sizeof label, label, &config);
        /* Those that are part of HDF5 and that any copy of it can undo. */
        if (id == H5Z_FILTER_DEFLATE || id == H5Z_FILTER_SHUFFLE || id == H5Z_FILTER_FLETCHER32 ||
            id == H5Z_FILTER_NBIT || id == H5Z_FILTER_SCALEOFFSET)
            continue;
        return sae_err_set(err, SAE_EFORMAT,
                           "'%s' in '%s' is packed by filter %d%s%s, which needs code outside of "
                           "HDF5; pack it with deflate: h5repack -f GZIP=4 IN OUT",
                           name, file->path, (int)id, label[0] != '\0' ? ", " : "", label);
    }
    return SAE_OK;
}

static enum sae_status check_layout(const struct sae_h5 *file, const char *name, hid_t set,
                                    struct sae_err *err)
{
    const hid_t layout = H5Dget_create_plist(set);
    if (layout < 0)
        return h5_fail(file, err, SAE_EFORMAT, "open", name);
    const H5D_layout_t kind = H5Pget_layout(layout);
    enum sae_status st = SAE_OK;
    if (kind == H5D_VIRTUAL || kind < 0)
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' in '%s' is a virtual dataset, a view of other files; saekit reads "
                         "what a file itself holds",
                         name, file->path);
    else if (H5Pget_external_count(layout) != 0)
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' in '%s' keeps its content in another file (external storage); saekit "
                         "reads what a file itself holds",
                         name, file->path);
    else
        st = check_filters(file, name, layout, err);
    H5Pclose(layout);
    return st;
}

/* Bytes of a chunk, which HDF5 allocates to read any part of it; 0 of other layouts. */
static size_t chunk_bytes(hid_t set, size_t width)
{
    hsize_t dims[H5S_MAX_RANK];
    const hid_t layout = H5Dget_create_plist(set);
    const int rank = H5Pget_layout(layout) == H5D_CHUNKED
                         ? H5Pget_chunk(layout, H5S_MAX_RANK, dims)
                         : 0;
    H5Pclose(layout);
    size_t bytes = rank > 0 ? width : 0;
    for (int i = 0; i < rank; i++)
        if (__builtin_mul_overflow(bytes, (size_t)dims[i], &bytes))
            return SIZE_MAX;
    return bytes;
}

static bool is_backed(size_t bytes, unsigned long long stored)
{
    return bytes / PACKED_MOST + (bytes % PACKED_MOST > 0) <= stored;
}

/* A few bytes of a damaged or hostile header can claim any length. What is stored bounds it, and
 * the file bounds what is stored. */
static enum sae_status check_stored(const struct sae_h5 *file, const char *name, hid_t set,
                                    struct sae_err *err)
{
    const hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    const hssize_t n = H5Sget_simple_extent_npoints(space);
    const size_t width = H5Tget_size(type);
    H5Tclose(type);
    H5Sclose(space);
    const unsigned long long stored = H5Dget_storage_size(set);
    size_t bytes;
    if (n == 0)
        return SAE_OK;
    if (n > 0 && width > 0 && stored <= file->n_bytes &&
        !__builtin_mul_overflow((size_t)n, width, &bytes) && is_backed(bytes, stored) &&
        is_backed(chunk_bytes(set, width), stored))
        return SAE_OK;
    return sae_err_set(err, SAE_EFORMAT,
                       "'%s' in '%s' claims %lld elements of %zu bytes (or chunks of more), but "
                       "%llu bytes of the file's %llu are stored for it; the file is damaged",
                       name, file->path, (long long)n, width, stored,
                       (unsigned long long)file->n_bytes);
}

static bool was_checked(const struct h5_checked *checked, const char *name)
{
    for (size_t i = 0; i < checked->n; i++)
        if (strcmp(checked->names[i], name) == 0)
            return true;
    return false;
}

/* Asking what is stored walks an index of all chunks, which reads of a few rows at random places
 * are not to pay for each time. */
static enum sae_status remember(struct h5_checked *checked, const char *name, struct sae_err *err)
{
    SAE_TRY(sae_mem_grow(&checked->names, &checked->cap, checked->n + 1, sizeof *checked->names,
                         err));
    SAE_TRY(sae_mem_strdup(&checked->names[checked->n], name, err));
    checked->n++;
    return SAE_OK;
}

void h5_checked_clear(struct h5_checked *checked)
{
    sae_fs_list_free(checked->names, checked->n);
    *checked = (struct h5_checked){0};
}

enum sae_status h5_open_set(hid_t *ret, const struct sae_h5 *file, const char *name,
                            struct sae_err *err)
{
    if (!sae_h5_has(file, name))
        return sae_err_set(err, SAE_EFORMAT, "'%s' has no dataset '%s'", file->path, name);
    const bool known = was_checked(file->checked, name);
    if (!known)
        SAE_TRY(h5_check_links(file, name, err));
    errno = 0;
    const hid_t set = H5Dopen2(file->id, name, H5P_DEFAULT);
    if (set < 0)
        return h5_fail(file, err, SAE_EFORMAT, "open", name);
    enum sae_status st = known ? SAE_OK : check_layout(file, name, set, err);
    if (st == SAE_OK && !known)
        st = check_stored(file, name, set, err);
    if (st == SAE_OK && !known)
        st = remember(file->checked, name, err);
    if (st != SAE_OK)
        H5Dclose(set);
    else
        *ret = set;
    return st;
}
