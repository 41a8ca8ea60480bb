/* SPDX-License-Identifier: MIT */
/* zip_write : archives of stored members. The padding that brings data to a multiple of 64 bytes
 * hides in an extra field of the local header, as in PyTorch's own files. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/base/mem.h"
#include "lib/base/part.h"
#include "lib/file/zip.h"

enum { ALIGN = 64, VERSION = 20, DATE = 0x21 /* 1980-01-01, the first there is */ };
#define PAD_ID 0x4246U /* "FB" */
#define BYTES_MAX ((uint64_t)UINT32_MAX - 1)

struct place {
    uint32_t crc, n_bytes, local;
    uint16_t n_pad;
};

static uint32_t checksum(const struct sae_zip_item *item)
{
    const uLong crc = crc32_z(crc32_z(0, NULL, 0), item->head, item->n_head);
    return (uint32_t)(item->n_data > 0 ? crc32_z(crc, item->data, item->n_data) : crc);
}

static enum sae_status lay_out(struct place **ret, const struct sae_zip_item *items, size_t n,
                               uint64_t *ret_end, struct sae_err *err)
{
    struct place *places = NULL;
    uint64_t at = 0;
    SAE_TRY(sae_mem_alloc(&places, n, sizeof *places, err));
    for (size_t i = 0; i < n; i++) {
        const uint64_t n_bytes = (uint64_t)items[i].n_head + items[i].n_data;
        const uint64_t bare = at + 30 + strlen(items[i].name) + 4;
        const uint64_t data = (bare + ALIGN - 1) / ALIGN * ALIGN;
        if (n_bytes > BYTES_MAX || data + n_bytes > BYTES_MAX) {
            free(places);
            return sae_err_set(err, SAE_EARG,
                               "'%s' of %llu bytes does not fit: archives of more than 4 GB are "
                               "not written; safetensors holds any size",
                               items[i].name, (unsigned long long)n_bytes);
        }
        places[i] = (struct place){.crc = checksum(&items[i]),
                                   .n_bytes = (uint32_t)n_bytes,
                                   .local = (uint32_t)at,
                                   .n_pad = (uint16_t)(4 + data - bare)};
        at = data + n_bytes;
    }
    *ret = places;
    *ret_end = at;
    return SAE_OK;
}

static void put(FILE *f, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++, v >>= 8)
        fputc((int)(v & 255U), f);
}

/* What local and central headers share: flags to length of the name. */
static void put_common(FILE *f, const struct sae_zip_item *item, const struct place *place)
{
    put(f, VERSION, 2);
    put(f, 0, 2); /* flags */
    put(f, 0, 2); /* stored */
    put(f, 0, 2); /* time */
    put(f, DATE, 2);
    put(f, place->crc, 4);
    put(f, place->n_bytes, 4);
    put(f, place->n_bytes, 4);
    put(f, strlen(item->name), 2);
}

static void put_member(FILE *f, const struct sae_zip_item *item, const struct place *place)
{
    put(f, 0x04034b50, 4);
    put_common(f, item, place);
    put(f, place->n_pad, 2);
    fputs(item->name, f);
    put(f, PAD_ID, 2);
    put(f, place->n_pad - 4U, 2);
    for (unsigned i = 4; i < place->n_pad; i++)
        fputc('Z', f);
    if (item->n_head > 0)
        fwrite(item->head, 1, item->n_head, f);
    if (item->n_data > 0)
        fwrite(item->data, 1, item->n_data, f);
}

static void put_entry(FILE *f, const struct sae_zip_item *item, const struct place *place)
{
    put(f, 0x02014b50, 4);
    put(f, VERSION, 2);
    put_common(f, item, place);
    put(f, 0, 2 + 2 + 2 + 2 + 4); /* extra, comment, disk, attributes */
    put(f, place->local, 4);
    fputs(item->name, f);
}

static bool write_all(FILE *f, const struct sae_zip_item *items, const struct place *places,
                      size_t n, uint64_t end)
{
    uint64_t n_directory = 0;
    for (size_t i = 0; i < n; i++)
        put_member(f, &items[i], &places[i]);
    for (size_t i = 0; i < n; i++) {
        put_entry(f, &items[i], &places[i]);
        n_directory += 46 + strlen(items[i].name);
    }
    put(f, 0x06054b50, 4);
    put(f, 0, 4); /* disks */
    put(f, n, 2);
    put(f, n, 2);
    put(f, n_directory, 4);
    put(f, end, 4);
    put(f, 0, 2); /* comment */
    return ferror(f) == 0;
}

enum sae_status sae_zip_write(const char *path, const struct sae_zip_item *items, size_t n,
                              struct sae_err *err)
{
    struct place *places = NULL;
    char *part = NULL;
    uint64_t end = 0;
    FILE *f = NULL;
    enum sae_status st;
    SAE_GO(st, lay_out(&places, items, n, &end, err));
    SAE_GO(st, sae_part_open(&f, &part, path, err));
    const bool good = write_all(f, items, places, n, end);
    if (fclose(f) != 0 || !good) {
        st = sae_err_set(err, SAE_EIO, "cannot write '%s': %s", path, strerror(errno));
        unlink(part);
        goto done;
    }
    st = sae_part_publish(part, path, true, err);
done:
    free(part);
    free(places);
    return st;
}
