/* SPDX-License-Identifier: MIT */
/* checkops : every operation x shape x fill, a backend against ref: within the stated bound, no
 * byte written outside the outputs, equal bits in two runs and on 1, 2 and 3 threads.
 *
 *   checkops [FILTER]                   cpu, and the kernels of cuda on the emulated device
 *   checkops --backend cuda [FILTER]    the device of this machine, through saecuda.so; without one
 *                                       it says so and ends with 77
 *   checkops --backend cuda --light [FILTER]   what tests/ptx runs: small shapes, two fills,
 *                                       no eigenvalues
 *
 * FILTER chooses tests by name, with * and ?. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "checkops.h"
#include "tests/emu/test_device.h"

static const struct shape shapes[] = {
    {1,   1,    1,   1   },
    {1,   7,    3,   7   }, /* all kept */
    {2,   64,   64,  1   },
    {3,   65,   17,  5   },
    {5,   129,  100, 9   },
    {33,  517,  75,  19  },
    {17,  1100, 130, 40  }, /* more than one tile, a tail */
    {64,  300,  257, 3   },
    {2,   9000, 5,   4300}, /* more candidates than a row has scratch for */
    {30, SHAPE_CROWDED, 420, 200}, /* so many active that most pairs compete: dense products */
    {600, SHAPE_LARGE,  450, 33 }, /* rows that do not fit the cache: packed slices, three tiles */
};

enum { GUARD = 64, MAX_TESTS = 96, N_SHAPES = sizeof shapes / sizeof *shapes };
#define GUARD_BYTE 0xA5

/* In the memory of ops, each between two guards. */
static void outs_make(struct outs *o, const struct op_case *c, const struct fix *f,
                      const struct sae_ops *ops)
{
    *o = (struct outs){0};
    c->sizes(f, o->bytes);
    for (int i = 0; i < OUTS; i++) {
        const size_t bytes = o->bytes[i] + 2 * GUARD;
        unsigned char *const pattern = grab(bytes, 1), *const base = take(ops, bytes, 1);
        memset(pattern, GUARD_BYTE, bytes);
        ops->put(base, pattern, bytes);
        free(pattern);
        o->a[i] = base + GUARD;
    }
}

static unsigned char *base_of(const struct outs *o, int i)
{
    return (unsigned char *)o->a[i] - GUARD;
}

static void outs_clear(struct outs *o, const struct sae_ops *ops)
{
    for (int i = 0; i < OUTS; i++)
        ops->free(base_of(o, i));
}

static void check_guards(const struct outs *o, const struct fix *f)
{
    unsigned char want[GUARD];
    memset(want, GUARD_BYTE, sizeof want);
    for (int i = 0; i < OUTS; i++) {
        check_bits("memory before an output", f, GUARD, want, base_of(o, i));
        check_bits("memory behind an output", f, GUARD, want,
                   (unsigned char *)o->a[i] + o->bytes[i]);
    }
}

/* One run; its outputs on the host. */
static void run_once(struct outs *ret, const struct op_case *c, const struct fix *f,
                     const struct sae_ops *ops)
{
    struct outs there;
    struct fix placed = *f;
    if (!ops->host)
        fix_place(&placed, f, ops);
    outs_make(&there, c, f, ops);
    c->run(ops, &placed, there.a);
    settle(ops);
    *ret = there;
    if (!ops->host) {
        for (int i = 0; i < OUTS; i++)
            ret->a[i] =
                (unsigned char *)fetch(ops, base_of(&there, i), there.bytes[i] + 2 * GUARD) + GUARD;
        outs_clear(&there, ops);
        fix_clear(&placed, ops);
    }
    check_guards(ret, f);
}

/* The emulated CUDA backend has one thread, but can turn round the order of its threads. */
static void set_order(const struct sae_ops *ops, size_t i)
{
    static const size_t threads[] = {1, 1, 2, 3};
    if (ops->host)
        sae_ops_threads(threads[i]);
    else
        emu_reverse(i == 1);
}

static void check_one(const struct op_case *c, const struct fix *f, const struct sae_ops *ops)
{
    const size_t runs = ops->host ? 4 : 2;
    struct outs ref, first, again;
    run_once(&ref, c, f, &sae_ops_ref);
    set_order(ops, 0);
    run_once(&first, c, f, ops);
    c->check(f, ref.a, first.a);
    for (size_t i = 1; i < runs; i++) {
        set_order(ops, i);
        run_once(&again, c, f, ops);
        for (int k = 0; k < OUTS; k++)
            check_bits(i > 1 ? "another thread count" : "the second run", f, first.bytes[k],
                       first.a[k], again.a[k]);
        outs_clear(&again, &sae_ops_ref);
    }
    outs_clear(&ref, &sae_ops_ref);
    outs_clear(&first, &sae_ops_ref);
}

/* Inputs are made once and shared by all operations. */
static struct fix made[N_SHAPES][N_FILLS];

static const struct fix *fix_of(size_t shape, int fill)
{
    struct fix *const f = &made[shape][fill];
    if (!f->x)
        fix_make(f, &shapes[shape], (enum fill)fill);
    return f;
}

static int clear_all(void **state)
{
    (void)state;
    for (size_t s = 0; s < N_SHAPES; s++)
        for (int fill = 0; fill < N_FILLS; fill++)
            fix_clear(&made[s][fill], &sae_ops_ref);
    return 0;
}

static void check_case(void **state)
{
    const struct op_case *const c = *state;
    for (size_t s = 0; s < N_SHAPES; s++) {
        if (c->m_max > 0 && shapes[s].m > c->m_max)
            continue;
        for (int fill = 0; fill < N_FILLS; fill++) {
            check_one(c, fix_of(s, fill), &sae_ops_cpu);
        }
    }
}

/* Emulations are slow: shapes of much work are left to the device. */
static bool is_light(const struct op_case *c, const struct shape *shape, int fill)
{
    const size_t work = shape->n * shape->m;
    const bool wide = shape->m > 600 && !strstr(c->name, "top") && !strstr(c->name, "thresh");
    return !wide && work <= 20000 && (work < 5000 || fill == FILL_NORMAL || fill == FILL_NAN);
}

static void check_case_cuda(void **state)
{
    const struct op_case *const c = *state;
    const struct sae_ops *ops = NULL;
    struct sae_err err = {0};
    if (sae_cuda_open(&ops, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    for (size_t s = 0; s < N_SHAPES; s++) {
        if (c->m_max > 0 && shapes[s].m > c->m_max)
            continue;
        for (int fill = 0; fill < N_FILLS; fill++) {
            if (!is_light(c, &shapes[s], fill))
                continue;
            if (fill != FILL_NORMAL) /* opening and closing memory around each kernel costs */
                emu_open();
            check_one(c, fix_of(s, fill), ops);
            if (fill != FILL_NORMAL)
                emu_shut();
        }
    }
}

/* A real device, or one that is believed to be. */
static const struct sae_ops *device;
static bool light_only;

static void check_case_device(void **state)
{
    const struct op_case *const c = *state;
    for (size_t s = 0; s < N_SHAPES; s++)
        for (int fill = 0; fill < N_FILLS; fill++)
            if ((c->m_max == 0 || shapes[s].m <= c->m_max) &&
                (!light_only || (is_light(c, &shapes[s], fill) &&
                                 (fill == FILL_NORMAL || fill == FILL_NAN))))
                check_one(c, fix_of(s, fill), device);
}

static void forget_adam(size_t n, const struct sae_adam *h, float *W, const float *G, float *M,
                        float *V)
{
    (void)n, (void)h, (void)W, (void)G, (void)M, (void)V;
}

/* What a device is asked as it is opened. */
static void check_agree(void **state)
{
    (void)state;
    const struct sae_ops *ops = NULL;
    struct sae_err err = {0};
    if (sae_ops_agree(&sae_ops_cpu, &err) != SAE_OK || sae_cuda_open(&ops, &err) != SAE_OK ||
        sae_ops_agree(ops, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    assert_null(sae_ops_missing(&sae_ops_ref));
    assert_null(sae_ops_missing(&sae_ops_cpu));
    assert_null(sae_ops_missing(ops));
    struct sae_ops broken = sae_ops_cpu;
    broken.topk_idle = NULL;
    assert_string_equal(sae_ops_missing(&broken), "topk_idle");
    broken = sae_ops_cpu;
    broken.name = "broken";
    broken.adam = forget_adam;
    assert_int_equal(sae_ops_agree(&broken, &err), SAE_EBACKEND);
    assert_non_null(strstr(err.msg, "'broken' computes something else than the reference (adam"));
}

static char names[MAX_TESTS][80];

static const struct op_case *const all_cases[] = {cases_select, cases_sparse,   cases_dense,
                                                  cases_orth,   cases_spectrum, cases_step,  cases_arch};

/* Every case as a test of `check`. */
static size_t add_cases(struct CMUnitTest *tests, size_t n, const char *backend,
                        void (*check)(void **state))
{
    for (size_t set = 0; set < sizeof all_cases / sizeof *all_cases; set++) {
        for (const struct op_case *c = all_cases[set]; c->name; c++, n++) {
            snprintf(names[n], sizeof names[n], "%s: %s", backend, c->name);
            tests[n] = (struct CMUnitTest){.name = names[n],
                                           .test_func = check,
                                           .initial_state = (void *)(uintptr_t)c};
        }
    }
    return n;
}

int main(int argc, char **argv)
{
    const bool on_device = argc > 2 && strcmp(argv[1], "--backend") == 0;
    light_only = on_device && argc > 3 && strcmp(argv[3], "--light") == 0;
    const int options = on_device ? 2 + light_only : 0;
    const char *const filter = argc > options + 1 ? argv[options + 1] : NULL;
    struct CMUnitTest tests[MAX_TESTS];
    size_t n = 0;
    if (filter)
        cmocka_set_test_filter(filter);
    if (light_only) /* cuSOLVER does not load beside a stand-in for cuBLASLt */
        cmocka_set_skip_filter("*eigenvalues*");
    if (on_device) {
        const int end = test_device_open(argc, argv);
        if (end != 0)
            return end;
        device = test_device();
        n = add_cases(tests, n, "device", check_case_device);
    } else {
        n = add_cases(tests, n, "cpu", check_case);
        n = add_cases(tests, n, "cuda", check_case_cuda);
        tests[n++] = (struct CMUnitTest)cmocka_unit_test(check_agree);
    }
    return _cmocka_run_group_tests("ops", tests, n, NULL, clear_all);
}
