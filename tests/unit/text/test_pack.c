/* SPDX-License-Identifier: MIT */
/* Tests of lib/text/pack: the packing rule, worked out by hand. BOS = 2, EOS = 1, T = 5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/text/pack.h"

enum { T = 5, BOS = 2, EOS = 1 };

/* Documents end with 0; an empty list ends them all. Gives the full contexts, then what is left. */
static size_t pack_all(const uint32_t docs[][8], bool separated, uint32_t separator,
                       uint32_t context[][T], uint32_t number[][T], size_t *ret_left)
{
    struct sae_pack pack;
    assert_int_equal(sae_pack_init(&pack, T, BOS, separated, separator, NULL), SAE_OK);
    size_t n_contexts = 0;
    for (uint32_t doc = 0; docs[doc][0] != 0; doc++) {
        size_t n = 0;
        while (docs[doc][n] != 0)
            n++;
        for (size_t from = 0; from < n;) {
            from = sae_pack_add(&pack, docs[doc], n, from, true, doc);
            if (!sae_pack_is_full(&pack))
                continue;
            memcpy(context[n_contexts], pack.token, sizeof context[0]);
            memcpy(number[n_contexts], pack.document, sizeof number[0]);
            n_contexts++;
            sae_pack_next(&pack);
        }
    }
    memcpy(context[n_contexts], pack.token, pack.n * sizeof pack.token[0]);
    *ret_left = pack.n;
    sae_pack_clear(&pack);
    return n_contexts;
}

static void check(const uint32_t docs[][8], bool separated, uint32_t separator,
                  const uint32_t expected[][T], size_t n_expected, size_t left)
{
    uint32_t context[8][T] = {{0}}, number[8][T] = {{0}};
    size_t got_left;
    assert_int_equal(pack_all(docs, separated, separator, context, number, &got_left), n_expected);
    assert_int_equal(got_left, left);
    assert_memory_equal(context, expected, n_expected * sizeof expected[0]);
    assert_memory_equal(context[n_expected], expected[n_expected], left * sizeof(uint32_t));
}

static const uint32_t three[][8] = {
    {10,  11, 0},
    {20,  21, 22, 23, 0},
    {30,  31, 0},
    {0}
};

static void documents_run_on(void **state)
{
    (void)state;
    /* The second document overflows; its separator-free rest follows the next context's BOS. The
     * third one's separator takes the last place of a context, so it begins the next one, after
     * one BOS and not two. */
    const uint32_t expected[][T] = {
        {BOS, 10, 11,    BOS, 20},
        {BOS, 21,   22,      23, BOS},
        {BOS, 30,31}
    };
    check(three, true, BOS, expected, 2, 3);
}

static void other_separators(void **state)
{
    (void)state;
    const uint32_t eos[][T] = {
        {BOS, 10, 11,    EOS, 20},
        {BOS, 21,   22,      23, EOS},
        {BOS, 30,31}
    };
    check(three, true, EOS, eos, 2, 3);
    const uint32_t none[][T] = {
        {BOS, 10, 11, 20, 21},
        {BOS, 22, 23, 30, 31},
        {0}
    };
    check(three, false, 0, none, 2, 0);
}

static void no_doubled_bos(void **state)
{
    (void)state;
    const uint32_t docs[][8] = {
        {BOS, 40, 0},
        {BOS,  50, 51, BOS, 52, 0},
        {60, 0},
        {0}
    };
    /* At the start, at a join, and where a document goes on with a BOS of its own. */
    const uint32_t expected[][T] = {
        {BOS, 40, BOS, 50,   51},
        {BOS,   52,   BOS,  60}
    };
    check(docs, true, BOS, expected, 1, 4);
}

static void document_numbers(void **state)
{
    (void)state;
    uint32_t context[8][T], number[8][T];
    size_t left;
    assert_int_equal(pack_all(three, true, BOS, context, number, &left), 2);
    const uint32_t expected[2][T] = {
        {0, 0, 0, 1, 1},
        {1, 1, 1, 1, 2}
    };
    assert_memory_equal(number, expected, sizeof expected);
}

static void empty_document_leaves_no_trace(void **state)
{
    (void)state;
    struct sae_pack pack;
    const uint32_t ids[1] = {9};
    assert_int_equal(sae_pack_init(&pack, T, BOS, true, BOS, NULL), SAE_OK);
    assert_int_equal(sae_pack_add(&pack, ids, 1, 0, true, 0), 1);
    assert_int_equal(sae_pack_add(&pack, ids, 0, 0, true, 1), 0);
    assert_int_equal(pack.n, 2);
    sae_pack_clear(&pack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_run_on),
        cmocka_unit_test(other_separators),
        cmocka_unit_test(no_doubled_bos),
        cmocka_unit_test(document_numbers),
        cmocka_unit_test(empty_document_leaves_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
