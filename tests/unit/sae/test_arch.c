/* SPDX-License-Identifier: MIT */
/* test_arch : every row of the table of architectures is whole, and what follows from it agrees:
 * arrays, checkpoints, names in other packages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/sae/ckpt.h"
#include "lib/sae/import.h"

enum { D = 3, M = 5, K = 2 };

static const struct sae_arch_desc *row(size_t a)
{
    return sae_arch_desc((enum sae_arch)a);
}

static bool has(const struct sae_arch_desc *arch, size_t weight)
{
    return arch->weights >> weight & 1;
}

static void test_rows(void **state)
{
    (void)state;
    assert_true(sae_arch_count() > SAE_ARCH_MATRYOSHKA);
    for (size_t a = 0; a < sae_arch_count(); a++) {
        const struct sae_arch_desc *const arch = row(a);
        enum sae_arch back = SAE_ARCH_STANDARD;
        assert_non_null(arch->name);
        assert_non_null(arch->formula);
        assert_true(arch->activate != NULL);
        assert_true(sae_arch_parse(arch->name, &back));
        assert_int_equal(back, a); /* so no two have one name */
        assert_true(has(arch, SAE_W_ENC) && has(arch, SAE_W_DEC) && has(arch, SAE_B_DEC));
        assert_true(has(arch, SAE_B_ENC) != has(arch, SAE_B_GATE));
        assert_true(arch->has_k || !arch->by_k);
        assert_true(has(arch, SAE_THRESHOLD) || !arch->one_threshold);
        assert_int_equal(arch->weights >> SAE_WEIGHTS, 0);
    }
    enum sae_arch none = SAE_ARCH_GATED;
    assert_false(sae_arch_parse("TopK", &none));
    assert_int_equal(none, SAE_ARCH_GATED);
    assert_string_equal(sae_arch_name((enum sae_arch)sae_arch_count()), "unknown");
}

/* A name of SAELens that is written is also read, as an architecture with the same arrays; a class of
 * dictionary_learning is known to the reader. */
static void test_elsewhere(void **state)
{
    (void)state;
    for (size_t a = 0; a < sae_arch_count(); a++) {
        const struct sae_arch_desc *const arch = row(a);
        const char *const classes[] = {arch->dict, arch->dict_plain};
        size_t n_read = 0;
        for (size_t b = 0; b < sae_arch_count(); b++)
            for (const char *const *name = row(b)->lens; *name; name++)
                if (arch->lens_as && strcmp(*name, arch->lens_as) == 0) {
                    assert_int_equal(row(b)->weights, arch->weights);
                    n_read++;
                }
        assert_int_equal(n_read, arch->lens_as != NULL);
        for (size_t i = 0; i < 2; i++) {
            const struct sae_dict_class *const class = classes[i] ? sae_dict_class(classes[i]) : NULL;
            assert_true(!classes[i] || class);
            assert_true(!class || row(class->arch)->weights == arch->weights);
            assert_true(!class || i == 0 || !class->subtracts);
        }
        assert_true(!arch->arrays || (has(arch, SAE_B_ENC) && !arch->by_k));
    }
    assert_null(sae_dict_class("AutoEncoderOfNobody"));
}

/* Numbers that differ by array and place. */
static void fill(struct sae_model *model)
{
    for (size_t w = 0; w < SAE_WEIGHTS; w++) {
        float *const v = *sae_weight_of(model, &sae_weights[w]);
        for (size_t i = 0; v && i < sae_weight_size(model, &sae_weights[w]); i++)
            v[i] = (float)(w + 1) + (float)i / 32;
    }
}

static void save_and_load(size_t a, const char *path)
{
    struct sae_ckpt ckpt = {.record = json_object(), .heldout_metrics = json_object()}, back = {0};
    struct sae_err err = {0};
    assert_int_equal(sae_model_alloc(&ckpt.model, (enum sae_arch)a, D, M, row(a)->has_k ? K : 0, &err),
                     SAE_OK);
    assert_int_equal(ckpt.model.subtract_b_dec, row(a)->subtracts);
    fill(&ckpt.model);
    if (sae_ckpt_save(path, &ckpt, true, &err) != SAE_OK ||
        sae_ckpt_load(&back, path, &err) != SAE_OK)
        fail_msg("%s: %s", row(a)->name, err.msg);
    assert_int_equal(back.model.arch, a);
    assert_int_equal(back.model.k, ckpt.model.k);
    for (size_t w = 0; w < SAE_WEIGHTS; w++) {
        const float *const was = *sae_weight_of(&ckpt.model, &sae_weights[w]);
        const float *const is = *sae_weight_of(&back.model, &sae_weights[w]);
        assert_int_equal(was != NULL, has(row(a), w));
        assert_int_equal(is != NULL, has(row(a), w));
        if (was)
            assert_memory_equal(was, is, sae_weight_size(&ckpt.model, &sae_weights[w]) * sizeof *was);
    }
    sae_ckpt_clear(&ckpt);
    sae_ckpt_clear(&back);
}

static void test_checkpoints(void **state)
{
    (void)state;
    char path[] = "/tmp/saekit-test-arch-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    for (size_t a = 0; a < sae_arch_count(); a++)
        save_and_load(a, path);
    unlink(path);
}

/* Rows of the decoder brought to unit norm leave what decode makes of encode as it is, but for top-k,
 * whose choice may change. */
static void test_units(void **state)
{
    (void)state;
    const float x[D] = {30, 20, 40};
    for (size_t a = 0; a < sae_arch_count(); a++) {
        struct sae_model model;
        float before[D], after[D];
        double least, most;
        if (row(a)->by_k)
            continue;
        assert_int_equal(sae_model_alloc(&model, (enum sae_arch)a, D, M, 0, NULL), SAE_OK);
        fill(&model);
        for (int turn = 0; turn < 2; turn++) {
            struct sae_coder *coder = NULL;
            const struct sae_csr *f = NULL;
            assert_int_equal(sae_coder_open(&coder, &model, &sae_ops_cpu, 1, NULL), SAE_OK);
            assert_int_equal(sae_coder_encode(coder, x, 1, &f, NULL), SAE_OK);
            assert_true(f->start[1] > 0);
            assert_int_equal(sae_coder_decode(coder, f, turn ? after : before, NULL), SAE_OK);
            sae_coder_close(coder);
            if (turn == 0)
                assert_int_equal(sae_import_fold_norms(&model, &least, &most), M);
        }
        for (size_t i = 0; i < D; i++)
            assert_float_equal(before[i], after[i], 1e-4F * (before[i] < 0 ? -before[i] : before[i]));
        sae_model_clear(&model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_checkpoints),
        cmocka_unit_test(test_units),
    };
    return cmocka_run_group_tests_name("arch", tests, NULL, NULL);
}
