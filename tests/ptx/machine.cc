/* SPDX-License-Identifier: MIT */
/* machine : kernels and memory over tests/emu, and the stream; see the headers. */
#include "tests/ptx/machine.h"

#include <cstdio>
#include <deque>

size_t ptx_shared_bytes;
uintptr_t ptx_known_from = 1, ptx_known_end = 1;

void ptx_die(const char *kernel, const char *what, uint64_t at, unsigned bytes)
{
    fprintf(stderr, "ptx: kernel %s: %s: %#llx, %u bytes\n", kernel, what, (unsigned long long)at,
            bytes);
    abort();
}

bool ptx_find_array(uintptr_t at)
{
    size_t bytes;
    const void *const array = emu_array_of(at, &bytes);
    if (!array)
        return false;
    ptx_known_from = reinterpret_cast<uintptr_t>(array);
    ptx_known_end = ptx_known_from + bytes;
    return at < ptx_known_end;
}

void ptx_run(const ptx_entry *entry, unsigned grid_x, unsigned grid_y, unsigned threads,
             size_t dynamic_shared, void **args)
{
    static const bool reversed = getenv("PTX_REVERSE") != nullptr;
    emu_reverse(reversed);
    ptx_shared_bytes = entry->static_shared + dynamic_shared;
    emu_launch(entry->name, dim3(grid_x, grid_y), threads, ptx_shared_bytes,
               [=] { entry->run(args); });
}

/* Open to the host from the first array on: opening and closing takes longer than most kernels, and
 * the tests of the emulation see to it. */
void *ptx_alloc(size_t bytes)
{
    static bool is_open;
    if (!is_open)
        emu_enter();
    is_open = true;
    void *const p = emu_alloc(bytes);
    if (p)
        memset(p, 0xC3, bytes);
    return p;
}

void ptx_free(void *p)
{
    ptx_known_from = ptx_known_end = 1;
    emu_free(p);
}

size_t ptx_free_bytes(void)
{
    return emu_room();
}

static std::deque<std::function<void()>> waiting;
static size_t n_posted, n_done;

void ptx_wait(size_t n)
{
    while (n_done < n && !waiting.empty()) {
        const std::function<void()> work = waiting.front();
        waiting.pop_front();
        n_done++;
        work();
    }
}

void ptx_post(std::function<void()> work)
{
    enum { LONGEST = 20000 }; /* a real stream makes the host wait too */
    static const bool now = getenv("PTX_NOW") != nullptr;
    waiting.push_back(work);
    n_posted++;
    if (now || waiting.size() > LONGEST)
        ptx_wait(n_posted);
}

size_t ptx_posted(void)
{
    return n_posted;
}
