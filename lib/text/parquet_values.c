/* SPDX-License-Identifier: MIT */
/* parquet_values : numbers as Parquet packs them, one after the other; memory is only read inside of
 * [at, end). Encodings.md of Apache Parquet. */
#include <string.h>

#include "lib/text/parquet_inner.h"

static bool take_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        const uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

/* `width` bits of bytes[0, n), from bit `bit` on, the lowest first; what is behind the end is 0. */
static uint64_t take_bits(const uint8_t *bytes, size_t n, uint64_t bit, int width)
{
    uint64_t low = 0;
    const uint64_t at = bit / 8;
    const int shift = (int)(bit % 8);
    if (width == 0 || at >= n)
        return 0;
    if (n - at >= 8)
        low = pq_u64(bytes + at);
    else
        for (size_t i = 0; i < n - at; i++)
            low |= (uint64_t)bytes[at + i] << (8 * i);
    low >>= shift;
    if (shift + width > 64 && n - at > 8)
        low |= (uint64_t)bytes[at + 8] << (64 - shift);
    return width == 64 ? low : low & (((uint64_t)1 << width) - 1);
}

/* --- runs ---------------------------------------------------------------------------------- */

void pq_runs_init(struct pq_runs *runs, const uint8_t *at, const uint8_t *end, int width)
{
    *runs = (struct pq_runs){.at = at, .end = end, .width = width};
}

/* A packed run may be cut behind its last number that counts. */
static bool begin_run(struct pq_runs *r)
{
    uint64_t head;
    if (!take_varint(&r->at, r->end, &head))
        return false;
    const size_t have = (size_t)(r->end - r->at);
    r->packed = head & 1;
    if (r->packed) {
        const uint64_t groups = head >> 1, width = (uint64_t)r->width;
        const bool cut = width > 0 && groups > have / width;
        const uint64_t n_bytes = cut ? have : groups * width;
        r->bits = r->at;
        r->bit = 0;
        r->at += n_bytes;
        r->left = cut ? n_bytes * 8 / width : groups > UINT64_MAX / 8 ? UINT64_MAX : groups * 8;
        return true;
    }
    const size_t n_bytes = ((size_t)r->width + 7) / 8;
    if (n_bytes > have)
        return false;
    r->value = 0;
    for (size_t i = 0; i < n_bytes; i++)
        r->value |= (uint32_t)r->at[i] << (8 * i);
    r->at += n_bytes;
    r->left = head >> 1;
    return true;
}

bool pq_runs_next(struct pq_runs *r, uint32_t *ret)
{
    *ret = 0;
    if (r->width == 0) /* there is but one number; some writers leave the runs out */
        return true;
    while (r->left == 0)
        if (!begin_run(r))
            return false;
    r->left--;
    *ret = r->value;
    if (r->packed) {
        *ret = (uint32_t)take_bits(r->bits, (size_t)(r->at - r->bits), r->bit, r->width);
        r->bit += (uint64_t)r->width;
    }
    return true;
}

/* --- deltas -------------------------------------------------------------------------------- */

static int64_t of_zigzag(uint64_t value)
{
    return (int64_t)((value >> 1) ^ (0 - (value & 1)));
}

bool pq_delta_init(struct pq_delta *delta, const uint8_t *at, const uint8_t *end)
{
    enum { MOST = 1 << 24 };
    uint64_t block, n_mini, n, first = 0;
    *delta = (struct pq_delta){0};
    if (!take_varint(&at, end, &block) || !take_varint(&at, end, &n_mini) ||
        !take_varint(&at, end, &n) || !take_varint(&at, end, &first))
        return false;
    if (n_mini == 0 || block == 0 || block > MOST || block % n_mini != 0 || block / n_mini % 8 != 0)
        return false;
    *delta = (struct pq_delta){.at = at,
                               .end = end,
                               .left = n,
                               .per_mini = block / n_mini,
                               .n_mini = n_mini,
                               .mini = n_mini,
                               .value = (uint64_t)of_zigzag(first),
                               .first = true};
    return true;
}

/* The next miniblock, and before the first of a block the block's head. */
static bool begin_mini(struct pq_delta *d)
{
    uint64_t least;
    if (d->mini == d->n_mini) {
        if (!take_varint(&d->at, d->end, &least) || d->n_mini > (uint64_t)(d->end - d->at))
            return false;
        d->least = (uint64_t)of_zigzag(least);
        d->widths = d->at;
        d->at += d->n_mini;
        d->mini = 0;
    }
    d->width = d->widths[d->mini++];
    const uint64_t n_bytes = (uint64_t)d->width * (d->per_mini / 8);
    if (d->width > 64 || n_bytes > (uint64_t)(d->end - d->at))
        return false;
    d->bits = d->at;
    d->bit = 0;
    d->at += n_bytes;
    d->in_mini = d->per_mini;
    return true;
}

bool pq_delta_next(struct pq_delta *d, int64_t *ret)
{
    if (d->left == 0)
        return false;
    d->left--;
    if (!d->first) {
        if (d->in_mini == 0 && !begin_mini(d))
            return false;
        d->value += d->least + take_bits(d->bits, (size_t)(d->at - d->bits), d->bit, d->width);
        d->bit += (uint64_t)d->width;
        d->in_mini--;
    }
    d->first = false;
    *ret = (int64_t)d->value;
    return true;
}

const uint8_t *pq_delta_end(const struct pq_delta *delta)
{
    struct pq_delta d = *delta;
    for (uint64_t left = d.left > 0 ? d.left - 1 : 0; left > 0;) {
        if (!begin_mini(&d))
            return NULL;
        left -= left < d.per_mini ? left : d.per_mini;
    }
    return d.at;
}
