/* SPDX-License-Identifier: MIT */
/* emu : fibers, launches and guarded memory.
 * Contents: 1. fibers   2. barriers   3. launches   4. memory */
#include "tests/emu/emu.h"

#include <cstdio>
#include <map>
#include <sys/mman.h>
#include <type_traits>
#include <unistd.h>
#include <vector>

dim3 threadIdx, blockIdx, blockDim, gridDim;

[[noreturn]] static void die(const char *kernel, const char *what)
{
    fprintf(stderr, "emulation: kernel %s: %s\n", kernel, what);
    abort();
}

/* --- 1. fibers ---------------------------------------------------------------------------- */

enum { MAX_THREADS = 1024, STACK = (1 << 17) + 4096 + 64 }; /* not all in one set of the cache */

struct barrier {
    unsigned arrived, round;
};

struct fiber {
    void *sp;
    bool done;
    const barrier *at; /* the barrier it waits at, until its round is over */
    unsigned round;
};

static fiber fibers[MAX_THREADS];
static unsigned char *stacks;
static void *main_sp;
static unsigned current;
static const std::function<void()> *body;
static const char *kernel_name = "";

#if defined(__x86_64__)
/* Leaves one stack for another: saves what a call must keep, changes the stack, restores. */
extern "C" void emu_switch(void **save, void *to);
asm(R"(
    .text
    .globl emu_switch
    .type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emu_switch, .-emu_switch
)");

static void fiber_main(void)
{
    (*body)();
    fibers[current].done = true;
    void *unused;
    emu_switch(&unused, main_sp);
}

static void fiber_make(unsigned i)
{
    void **top = reinterpret_cast<void **>(stacks + (size_t)(i + 1) * STACK) - 2;
    *top = reinterpret_cast<void *>(fiber_main);
    for (int saved = 0; saved < 6; saved++)
        *--top = nullptr;
    fibers[i] = fiber{top, false, nullptr, 0};
}

static void resume(unsigned i)
{
    emu_switch(&main_sp, fibers[i].sp);
}

static void leave(void)
{
    emu_switch(&fibers[current].sp, main_sp);
}
#else
#include <ucontext.h>
static ucontext_t main_context, contexts[MAX_THREADS];

static void fiber_main(void)
{
    (*body)();
    fibers[current].done = true;
    setcontext(&main_context);
}

static void fiber_make(unsigned i)
{
    fibers[i] = fiber{nullptr, false, nullptr, 0};
    getcontext(&contexts[i]);
    contexts[i].uc_stack.ss_sp = stacks + (size_t)i * STACK;
    contexts[i].uc_stack.ss_size = STACK;
    makecontext(&contexts[i], fiber_main, 0);
}

static void resume(unsigned i)
{
    swapcontext(&main_context, &contexts[i]);
}

static void leave(void)
{
    swapcontext(&contexts[current], &main_context);
}
#endif

/* --- 2. barriers -------------------------------------------------------------------------- */

static barrier block_barrier, warp_barriers[MAX_THREADS / 32];
static unsigned char slots[MAX_THREADS][16];

static void wait_at(barrier *b, unsigned n)
{
    if (++b->arrived == n) {
        b->arrived = 0;
        b->round++;
        return;
    }
    fibers[current].at = b;
    fibers[current].round = b->round;
    leave();
    fibers[current].at = nullptr;
}

void emu_block_barrier(void)
{
    wait_at(&block_barrier, blockDim.x);
}

void emu_warp_barrier(void)
{
    wait_at(&warp_barriers[threadIdx.x / 32], 32);
}

void *emu_slot(unsigned lane)
{
    return slots[threadIdx.x / 32 * 32 + lane];
}

/* --- 3. launches -------------------------------------------------------------------------- */

static std::vector<unsigned char> dynamic_shared;
static bool reversed;
static size_t n_launches;

void emu_reverse(bool reverse)
{
    reversed = reverse;
}

size_t emu_launches(void)
{
    return n_launches;
}

unsigned char *emu_shared(void)
{
    const size_t at = reinterpret_cast<uintptr_t>(dynamic_shared.data()) % 16;
    return dynamic_shared.data() + (at ? 16 - at : 0);
}

static void run_block(void)
{
    const unsigned n = blockDim.x;
    block_barrier = barrier{0, 0};
    for (barrier &b : warp_barriers)
        b = barrier{0, 0};
    for (unsigned i = 0; i < n; i++)
        fiber_make(i);
    unsigned left = n;
    while (left > 0) {
        bool moved = false;
        for (unsigned s = 0; s < n; s++) {
            const unsigned i = reversed ? n - 1 - s : s;
            if (fibers[i].done || (fibers[i].at && fibers[i].at->round == fibers[i].round))
                continue;
            current = i;
            threadIdx = dim3(i, 0, 0);
            resume(i);
            moved = true;
            left -= fibers[i].done;
        }
        if (!moved)
            die(kernel_name, "threads wait at a barrier that others never reach");
    }
}

void emu_launch(const char *name, dim3 grid, unsigned threads, size_t shared,
                const std::function<void()> &kernel)
{
    kernel_name = name;
    if (threads == 0 || threads > MAX_THREADS || threads % 32)
        die(name, "a block must be a multiple of 32 threads, at most 1024");
    if (grid.x == 0 || grid.y == 0 || grid.x > 0x7FFFFFFF || grid.y > 65535)
        die(name, "a grid that no device takes");
    if (shared > 227 * 1024)
        die(name, "more shared memory than a multiprocessor has");
    if (!stacks) {
        void *const p = mmap(nullptr, (size_t)MAX_THREADS * STACK, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            die(name, "no memory for stacks");
        stacks = static_cast<unsigned char *>(p);
    }
    n_launches++;
    gridDim = grid;
    blockDim = dim3(threads);
    body = &kernel;
    emu_enter();
    const size_t n = (size_t)grid.x * grid.y;
    for (size_t s = 0; s < n; s++) {
        const size_t b = reversed ? n - 1 - s : s;
        blockIdx = dim3((unsigned)(b % grid.x), (unsigned)(b / grid.x), 0);
        dynamic_shared.assign(shared + 16, 0xFF); /* not a number, until it is written */
        run_block();
    }
    emu_leave();
}

/* --- 4. memory: pages that are closed to the host, arrays that end where their pages end ------ */

struct region {
    unsigned char *pages;
    size_t bytes, size; /* asked for; of the open pages */
};

static std::map<void *, region> regions;
static const size_t MEMORY = (size_t)1 << 30;
static size_t memory = MEMORY, taken;
static int open_depth;
enum { FILL = 0xA5 };

static size_t page(void)
{
    static const size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    return bytes;
}

static void protect(const region &r, int how)
{
    if (mprotect(r.pages, r.size, how) != 0)
        die("-", "mprotect failed");
}

/* Closing takes longer than a small kernel, so that it is done on every fifth occasion: what a host
 * touches in every step it touches soon while memory is closed. */
enum { CLOSED_EVERY = 5 };
static bool is_closed = true;
static unsigned occasion;

void emu_enter(void)
{
    if (open_depth++ == 0 && is_closed)
        for (const auto &r : regions)
            protect(r.second, PROT_READ | PROT_WRITE);
    is_closed = false;
}

void emu_leave(void)
{
    if (--open_depth > 0 || ++occasion % CLOSED_EVERY != 0)
        return;
    for (const auto &r : regions)
        protect(r.second, PROT_NONE);
    is_closed = true;
}

void emu_open(void)
{
    emu_enter();
}

void emu_shut(void)
{
    emu_leave();
}

void emu_memory(size_t bytes)
{
    memory = bytes ? bytes : MEMORY;
}

size_t emu_room(void)
{
    return taken < memory ? memory - taken : 0;
}

void *emu_alloc(size_t bytes)
{
    if (bytes > emu_room())
        return nullptr;
    taken += bytes;
    const size_t used = (bytes + 15) / 16 * 16, size = (used + page()) / page() * page();
    void *const p = mmap(nullptr, size + page(), PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return nullptr;
    region r = {static_cast<unsigned char *>(p), bytes, size};
    unsigned char *const data = r.pages + size - used;
    protect(r, PROT_READ | PROT_WRITE);
    memset(r.pages, FILL, size);
    memset(data, 0, bytes);
    if (is_closed)
        protect(r, PROT_NONE);
    regions[data] = r;
    return data;
}

void *emu_array_of(uintptr_t at, size_t *ret_bytes)
{
    const auto next = regions.upper_bound(reinterpret_cast<void *>(at));
    if (next == regions.begin())
        return nullptr;
    const auto found = std::prev(next);
    *ret_bytes = found->second.bytes;
    return at <= reinterpret_cast<uintptr_t>(found->first) + *ret_bytes ? found->first : nullptr;
}

void emu_check_address(const char *kernel, const void *address)
{
    size_t bytes;
    if (address && !emu_array_of(reinterpret_cast<uintptr_t>(address), &bytes))
        die(kernel, "a kernel was handed memory of the host");
}

void emu_free(void *p)
{
    if (!p)
        return;
    const auto at = regions.find(p);
    if (at == regions.end())
        die("-", "free of what was not allocated");
    const region r = at->second;
    protect(r, PROT_READ | PROT_WRITE);
    unsigned char *const data = static_cast<unsigned char *>(p);
    for (unsigned char *b = r.pages; b < r.pages + r.size; b++)
        if ((b < data || b >= data + r.bytes) && *b != FILL)
            die("-", "a kernel wrote beside an array");
    taken -= r.bytes;
    regions.erase(at);
    munmap(r.pages, r.size + page());
}
