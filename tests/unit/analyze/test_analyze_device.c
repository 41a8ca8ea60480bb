/* SPDX-License-Identifier: MIT */
/* Reports made on a device (the emulated one) beside the cpu's: what is counted from integers is
 * equal, what comes from products agrees within their rounding. Device memory is closed to the
 * host there, so that one address on the wrong side ends the test. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "analyze/analyze.h"
#include "lib/file/json.h"
#include "tests/emu/test_device.h"
#include "tests/unit/fixtures/analyze_folder.h"
#include "tests/unit/fixtures/make_ckpt.h"

/* Reals within 1e-5 of their size: cosines are within (d + 2) 2^-24, 2e-6 here, and sums of them no
 * worse. Integers are counts: two pairs may lie within rounding of the edge of a bin. */
static void same_json(const char *where, const json_t *a, const json_t *b)
{
    char deeper[200];
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_real(a) && json_is_real(b)) {
        const double x = json_real_value(a), y = json_real_value(b);
        if (!(fabs(x - y) <= 1e-5 * (1 + fabs(x))))
            fail_msg("%s: %.9g on the cpu, %.9g on the device", where, x, y);
        return;
    }
    if (json_is_integer(a) && json_is_integer(b)) {
        if (llabs(json_integer_value(a) - json_integer_value(b)) > 2)
            fail_msg("%s: %lld on the cpu, %lld on the device", where,
                     (long long)json_integer_value(a), (long long)json_integer_value(b));
        return;
    }
    if (json_typeof(a) != json_typeof(b) || json_object_size(a) != json_object_size(b) ||
        json_array_size(a) != json_array_size(b))
        fail_msg("%s: of another kind or size", where);
    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        snprintf(deeper, sizeof deeper, "%s.%s", where, key);
        same_json(deeper, value, json_object_get(b, key));
    }
    json_array_foreach((json_t *)(uintptr_t)a, i, value)
    {
        snprintf(deeper, sizeof deeper, "%s[%zu]", where, i);
        same_json(deeper, value, json_array_get(b, i));
    }
}

static struct sae_result_parts parts_of(const struct analyze_report *r)
{
    struct sae_result_parts parts;
    struct sae_err err = {0};
    if (analyze_result_parts(&parts, r, &usual, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    return parts;
}

static void same_reports(const struct analyze_report *a, const struct analyze_report *b)
{
    struct sae_result_parts one = parts_of(a), two = parts_of(b);
    same_json("metrics", one.metrics, two.metrics);
    same_json("unstructured", one.unstructured, two.unstructured);
    sae_result_parts_clear(&one);
    sae_result_parts_clear(&two);
    assert_int_equal(a->dec.hist.total, b->dec.hist.total);
    assert_memory_equal(a->dec.row_argmax, b->dec.row_argmax, a->dec.m * sizeof(uint32_t));
    for (size_t i = 0; i < a->ckpt->model.d; i++) /* both in double */
        if (!(fabs(a->eig[i] - b->eig[i]) <= 1e-11 * a->eig[0]))
            fail_msg("eigenvalue %zu: %.17g and %.17g", i, a->eig[i], b->eig[i]);
    assert_int_equal(a->cooc.n_met, b->cooc.n_met);
    assert_int_equal(a->cooc.run.n_pairs, b->cooc.run.n_pairs);
    assert_int_equal(a->cooc.reference.n_pairs, b->cooc.reference.n_pairs);
    for (int kind = 0; kind < SAE_OVERLAP_N; kind++) /* of integers, in the same order */
        assert_memory_equal(a->cooc.of[kind].hist.count, b->cooc.of[kind].hist.count,
                            a->cooc.of[kind].hist.n * sizeof(uint64_t));
    assert_int_equal(a->n_close, b->n_close);
    for (size_t p = 0; p < a->n_close; p++) {
        assert_int_equal(a->close[p].edge.i, b->close[p].edge.i);
        assert_int_equal(a->close[p].edge.j, b->close[p].edge.j);
    }
}

static void check_kind(const char *kind, const char *orth, size_t d)
{
    struct make_ckpt want = make_ckpt_default();
    const struct sae_ops *const device = test_device();
    struct analyze_report host = {0}, there = {0};
    struct sae_ckpt ckpt = {0};
    struct sae_err err = {0};
    want.kind = kind;
    want.orth = orth;
    want.d = d;
    if (make_ckpt_save(path, &want, &err) != SAE_OK ||
        sae_ckpt_load(&ckpt, path, &err) != SAE_OK ||
        analyze_report_make(&host, &ckpt, &sae_ops_cpu, &usual, &err) != SAE_OK ||
        analyze_report_make(&there, &ckpt, device, &usual, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    assert_true(there.has_masks);
    same_reports(&host, &there);
    analyze_report_clear(&there);
    analyze_report_clear(&host);
    sae_ckpt_clear(&ckpt);
}

static void reports_agree(void **state)
{
    (void)state;
    const size_t before = emu_launches();
    check_kind("families", "progressive", 32);
    check_kind("random", "static", 48);
    check_kind("duplicates", "none", 5); /* products that the library refuses there */
    assert_true(!test_device_is_emulated() || emu_launches() >= before + 15);
}

static enum sae_status no_eigenvalues(size_t d, double *G, double *eig, struct sae_err *err)
{
    (void)d, (void)G, (void)eig;
    return sae_err_set(err, SAE_EBACKEND, "cuSOLVER cannot be loaded: for a test");
}

/* Where the device's library of eigenvalues is not there the cpu finds them. */
static void eigenvalues_without_the_library(void **state)
{
    (void)state;
    const float U[6] = {1, 0, 0, 1, 0.6F, 0.8F}; /* Gram 1.36 .48; .48 1.64: 2, 1 */
    struct sae_err err = {0};
    double eig[2];
    struct sae_ops poor = *test_device();
    poor.eigenvalues = no_eigenvalues;
    if (analyze_spectrum_eigenvalues(&poor, 3, 2, U, eig, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    assert_true(fabs(eig[0] - 2) < 1e-7 && fabs(eig[1] - 1) < 1e-7);
    struct sae_ops broken = sae_ops_cpu; /* the cpu's own failure is one */
    broken.eigenvalues = no_eigenvalues;
    assert_int_equal(analyze_spectrum_eigenvalues(&broken, 3, 2, U, eig, &err), SAE_EBACKEND);
}

int main(int argc, char **argv)
{
    const int end = test_device_open(argc, argv);
    if (end != 0)
        return end;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_agree),
        cmocka_unit_test(eigenvalues_without_the_library),
    };
    return cmocka_run_group_tests_name("analyze_device", tests, open_folder, close_folder);
}
