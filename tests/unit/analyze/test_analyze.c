/* SPDX-License-Identifier: MIT */
/* Whole reports of fabricated checkpoints, their result JSON, and what is refused. */
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
#include "lib/base/fs.h"
#include "lib/file/h5.h"
#include "lib/file/json.h"
#include "tests/unit/fixtures/analyze_folder.h"
#include "lib/eval/output.h"
#include "tests/unit/fixtures/make_ckpt.h"

#define assert_near(a, b, tol)                                                                     \
    do {                                                                                           \
        if (!(fabs((double)(a) - (double)(b)) <= (tol)))                                           \
            fail_msg("%s is %.9g, expected %.9g", #a, (double)(a), (double)(b));                   \
    } while (0)

static void save(const struct make_ckpt *want)
{
    struct sae_err err = {0};
    if (make_ckpt_save(path, want, &err) != SAE_OK)
        fail_msg("%s", err.msg);
}

static struct sae_ckpt loaded; /* that of the last report */

static enum sae_status make(struct analyze_report *ret, const struct analyze_settings *settings,
                            struct sae_err *err)
{
    sae_ckpt_clear(&loaded);
    const enum sae_status st = sae_ckpt_load(&loaded, path, err);
    return st == SAE_OK ? analyze_report_make(ret, &loaded, &sae_ops_cpu, settings, err) : st;
}

static void refuse(const struct analyze_settings *settings, enum sae_status status,
                   const char *says)
{
    struct analyze_report report;
    struct sae_err err = {0};
    assert_int_equal(make(&report, settings, &err), status);
    if (strstr(err.msg, says) == NULL)
        fail_msg("message '%s' lacks '%s'", err.msg, says);
}

static void families_are_seen(void **state)
{
    (void)state;
    struct make_ckpt want = make_ckpt_default();
    struct analyze_report r;
    want.d = 256;
    want.cosine = 0.6;
    save(&want);
    assert_int_equal(make(&r, &usual, NULL), SAE_OK);
    assert_string_equal(r.name, "ckpt_50");
    assert_near(r.max_dec.mean, 0.65, 0.05); /* the closest of three at 0.6 and some noise */
    assert_near(r.max_enc.mean, r.max_dec.mean, 1e-6);
    assert_near(r.enc_dec.mean, 1, 1e-6);
    assert_int_equal(r.dec.hist.total, 128 * 127 / 2);
    assert_int_equal(r.dec_folded.n, 200);
    assert_int_equal(r.n_duplicates, 0);
    assert_near(r.graph.clustering[1], 1, 0.02); /* families are cliques */
    assert_int_equal(r.usage.n_dead, 128 / 8);
    assert_near(r.usage.l0, 8, 1e-9);
    assert_true(r.cooc.corr_abs > 0.05);
    assert_int_equal(r.sample.n, 64);
    assert_int_equal(r.cooc.run.n_pairs, r.cooc.reference.n_pairs);
    analyze_report_clear(&r);
}

static void orthogonal_rows_are_separate(void **state)
{
    (void)state;
    struct make_ckpt want = make_ckpt_default();
    struct analyze_report r;
    want.kind = "orthogonal";
    want.d = want.m = 32;
    save(&want);
    assert_int_equal(make(&r, &usual, NULL), SAE_OK);
    assert_near(r.moments.coherence, 0, 0);
    assert_near(r.moments.std, 0, 1e-9);
    assert_near(r.ranks.effective, 32, 1e-6);
    assert_near(r.ranks.frame_potential, 32, 1e-6);
    assert_near(r.cooc.run.loss, 0, 0);
    assert_true(r.cooc.run.n_pairs > 0);
    analyze_report_clear(&r);
}

static void duplicates_are_listed(void **state)
{
    (void)state;
    struct make_ckpt want = make_ckpt_default();
    struct analyze_report r;
    want.kind = "duplicates";
    save(&want);
    assert_int_equal(make(&r, &usual, NULL), SAE_OK);
    assert_int_equal(r.n_duplicates, 1);
    assert_int_equal(r.n_close, 20);
    assert_int_equal(r.close[0].edge.i, 0);
    assert_int_equal(r.close[0].edge.j, 1);
    assert_near(r.close[0].edge.cos, 1, 1e-6);
    assert_int_equal(r.close[0].n_ij, r.close[0].n_i);
    assert_int_equal(r.close[0].n_ij, r.usage.n[1]);
    analyze_report_clear(&r);
}

static json_t *result_with(const struct analyze_report *r, const struct analyze_settings *settings)
{
    struct sae_result_parts parts = {0};
    json_t *const record = json_object();
    json_t *result = NULL;
    assert_int_equal(analyze_result_parts(&parts, r, settings, NULL), SAE_OK);
    parts.eval_type_id = "analyze";
    assert_int_equal(sae_output_make(&result, &parts, r->ckpt, record, NULL), SAE_OK);
    sae_result_parts_clear(&parts);
    json_decref(record);
    return result;
}

static json_t *result_of(const char *orth)
{
    struct make_ckpt want = make_ckpt_default();
    struct analyze_report r;
    json_t *result;
    want.orth = orth;
    save(&want);
    assert_int_equal(make(&r, &usual, NULL), SAE_OK);
    result = result_with(&r, &usual);
    analyze_report_clear(&r);
    return result;
}

static void result_has_all_categories(void **state)
{
    (void)state;
    json_t *result = result_of("progressive");
    assert_string_equal(sae_json_str(result, "eval_type_id", ""), "analyze");
    static const char *const numbers[] = {"separation.average_max_decoder_cosine_sim",
                                          "separation.welch_bound",
                                          "spectrum.effective_rank",
                                          "spectrum.random_effective_rank",
                                          "overlap.jaccard_mean",
                                          "overlap.share_never",
                                          "competition.orth_loss_weighted",
                                          "competition.reference_orth_loss",
                                          "usage.dead_latents",
                                          "usage.l0"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!isfinite(sae_json_real(sae_json_at(result, "eval_result_metrics"), numbers[i], NAN)))
            fail_msg("no number at %s", numbers[i]);
    assert_near(sae_json_real(result, "eval_result_metrics.competition.tau", 0), 0.1, 1e-12);
    const json_t *counts = sae_json_at(result, "eval_result_unstructured.cosine_histogram.counts");
    assert_int_equal(json_array_size(counts), 200);
    json_int_t total = 0;
    for (size_t i = 0; i < 200; i++)
        total += json_integer_value(json_array_get(counts, i));
    assert_int_equal(total, 128 * 127 / 2);
    assert_int_equal(json_array_size(sae_json_at(result, "eval_result_unstructured.eigenvalues")),
                     32);
    assert_int_equal(json_array_size(sae_json_at(result, "eval_result_details")), 20);
    json_decref(result);
}

static void equal_runs_give_equal_results(void **state)
{
    (void)state;
    json_t *first = result_of("none");
    sae_ops_threads(2);
    json_t *second = result_of("none");
    sae_ops_threads(1);
    json_t *third = result_of("none");
    assert_true(json_equal(first, second));
    assert_true(json_equal(first, third));
    json_t *other = result_of("static");
    assert_false(json_equal(first, other));
    json_decref(first);
    json_decref(second);
    json_decref(third);
    json_decref(other);
}

static void files_that_are_refused(void **state)
{
    (void)state;
    struct make_ckpt want = make_ckpt_default();
    unlink(path);
    refuse(&usual, SAE_EIO, "ckpt_50.h5");
    want.kind = "nan";
    save(&want);
    refuse(&usual, SAE_EFORMAT, "W_dec");
    want.kind = "nomasks";
    save(&want);
    refuse(&usual, SAE_EFORMAT, "--weights-only");
    want = make_ckpt_default();
    want.m = 1;
    want.k = 1;
    want.kind = "random";
    save(&want);
    refuse(&usual, SAE_ERANGE, "1 latent");
    /* half a file, and a file with a byte changed in its weights */
    want.m = 128;
    save(&want);
    char *bytes;
    size_t n;
    assert_int_equal(sae_fs_read(&bytes, &n, path, 1U << 30, NULL), SAE_OK);
    assert_int_equal(sae_fs_write(path, bytes, n / 2, NULL), SAE_OK);
    refuse(&usual, SAE_EFORMAT, "ckpt_50.h5");
    struct sae_ckpt whole;
    assert_int_equal(make_ckpt_fill(&whole, &want, NULL), SAE_OK);
    char *weights = memmem(bytes, n, whole.model.W_dec, 64);
    assert_non_null(weights);
    weights[9] = (char)(weights[9] ^ 0x40);
    sae_ckpt_clear(&whole);
    assert_int_equal(sae_fs_write(path, bytes, n, NULL), SAE_OK);
    refuse(&usual, SAE_EFORMAT, "ckpt_50.h5");
    free(bytes);
    assert_int_equal(sae_fs_write(path, "not HDF5 at all", 15, NULL), SAE_OK);
    refuse(&usual, SAE_EFORMAT, "ckpt_50.h5");
    struct sae_h5 *file;
    assert_int_equal(sae_h5_create(&file, path, "words", true, NULL), SAE_OK);
    assert_int_equal(sae_h5_commit(&file, "{}", NULL), SAE_OK);
    refuse(&usual, SAE_EFORMAT, "words");
}

static void weights_alone_are_enough(void **state)
{
    (void)state;
    struct make_ckpt want = make_ckpt_default();
    struct analyze_settings only = usual;
    struct analyze_report r;
    json_t *result;
    want.kind = "nomasks";
    only.weights_only = true;
    save(&want);
    assert_int_equal(make(&r, &only, NULL), SAE_OK);
    assert_false(r.has_masks);
    result = result_with(&r, &only);
    assert_null(sae_json_at(result, "eval_result_metrics.overlap"));
    assert_non_null(sae_json_at(result, "eval_result_metrics.spectrum"));
    analyze_report_clear(&r);
    json_decref(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_are_seen),
        cmocka_unit_test(orthogonal_rows_are_separate),
        cmocka_unit_test(duplicates_are_listed),
        cmocka_unit_test(result_has_all_categories),
        cmocka_unit_test(equal_runs_give_equal_results),
        cmocka_unit_test(files_that_are_refused),
        cmocka_unit_test(weights_alone_are_enough),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
