/* SPDX-License-Identifier: MIT */
/* Tests of lib/base: each function, and each failure its header names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/bf16.h"
#include "lib/base/digest.h"
#include "lib/base/err.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/mt.h"
#include "lib/base/name.h"
#include "lib/base/rng.h"
#include "lib/base/str.h"

static void err_keeps_code_and_message(void **state)
{
    (void)state;
    struct sae_err err = {0};
    assert_int_equal(sae_err_set(&err, SAE_EIO, "cannot open '%s'", "x"), SAE_EIO);
    assert_string_equal(err.msg, "cannot open 'x'");
    assert_int_equal(sae_err_prefix(&err, "line %d", 3), SAE_EIO);
    assert_string_equal(err.msg, "line 3: cannot open 'x'");
    assert_int_equal(sae_err_set(NULL, SAE_EARG, "nobody listens"), SAE_EARG);
}

static void mem_is_zeroed_aligned_and_bounded(void **state)
{
    (void)state;
    struct sae_err err = {0};
    unsigned char *p = NULL;
    assert_int_equal(sae_mem_alloc(&p, 100, 1, &err), SAE_OK);
    assert_int_equal((uintptr_t)p % 64, 0);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    free(p);
    p = NULL;
    assert_int_equal(sae_mem_alloc(&p, SIZE_MAX / 2, 8, &err), SAE_ENOMEM);
    assert_null(p);
    sae_mem_fail_after(2);
    assert_int_equal(sae_mem_alloc(&p, 1, 1, &err), SAE_OK);
    free(p);
    p = NULL;
    assert_int_equal(sae_mem_alloc(&p, 1, 1, &err), SAE_ENOMEM);
    assert_int_equal(sae_mem_alloc(&p, 1, 1, &err), SAE_OK);
    free(p);
}

static void mem_grow_keeps_content(void **state)
{
    (void)state;
    uint32_t *a = NULL;
    size_t cap = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(sae_mem_grow(&a, &cap, i + 1, sizeof *a, NULL), SAE_OK);
        a[i] = i;
    }
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(a[i], i);
    free(a);
}

static void numbers_are_strict(void **state)
{
    (void)state;
    uint64_t u;
    double d;
    assert_true(sae_str_u64("18446744073709551615", &u) && u == UINT64_MAX);
    const char *const bad[] = {"", " 1", "1 ", "-1", "+1", "1x", "18446744073709551616", "0x10"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sae_str_u64(bad[i], &u));
    assert_true(sae_str_count("5M", &u) && u == 5000000);
    assert_true(sae_str_count("1.5K", &u) && u == 1500);
    assert_true(sae_str_count("2g", &u) && u == 2000000000);
    assert_true(sae_str_count("1e6", &u) && u == 1000000);
    assert_true(sae_str_count("2.5E+3", &u) && u == 2500);
    assert_false(sae_str_count("1e-3", &u));
    assert_false(sae_str_count("1.5e0", &u));
    assert_false(sae_str_count("1e", &u));
    assert_false(sae_str_count("1e16", &u)); /* above 2^53 */
    assert_false(sae_str_count("0x10", &u));
    assert_false(sae_str_count("1.0005K", &u));
    assert_false(sae_str_count("M", &u));
    assert_false(sae_str_count("1e3K", &u));
    assert_true(sae_str_real("-2.5e-3", &d) && d == -2.5e-3);
    assert_false(sae_str_real("nan", &d));
    assert_false(sae_str_real("inf", &d));
    assert_false(sae_str_real("1.5 ", &d));
}

static void a_shell_reads_a_path_back(void **state)
{
    (void)state;
    assert_string_equal(sae_str_shell("runs/a_1.5+b").s, "runs/a_1.5+b");
    assert_string_equal(sae_str_shell("my runs/a").s, "'my runs/a'");
    assert_string_equal(sae_str_shell("it's $HOME").s, "'it'\\''s $HOME'");
    assert_string_equal(sae_str_shell("").s, "''");
}

/* Known answer of Philox4x32-10 with counter 0 and key 0 (Random123's kat_vectors):
 * 6627e8d5 e169c58d bc57ac4c 9b00dbd8. */
static void rng_gives_the_published_answer(void **state)
{
    (void)state;
    assert_true(sae_rng_at(0, 0, 0) == 0xe169c58d6627e8d5ULL);
    assert_true(sae_rng_at(0, 0, 1) == 0x9b00dbd8bc57ac4cULL);
}

static void rng_is_a_function_of_its_counter(void **state)
{
    (void)state;
    struct sae_rng a = sae_rng_make(42, SAE_RNG_TEST), b;
    for (int i = 0; i < 10; i++)
        (void)sae_rng_u64(&a);
    b = a;
    assert_true(sae_rng_u64(&a) == sae_rng_at(42, SAE_RNG_TEST, 10));
    assert_true(sae_rng_u64(&b) == sae_rng_at(42, SAE_RNG_TEST, 10));
    assert_true(sae_rng_at(42, 1, 0) != sae_rng_at(42, 2, 0));
    assert_true(sae_rng_at(42, 1, 0) != sae_rng_at(43, 1, 0));
}

static void rng_moments_are_right(void **state)
{
    (void)state;
    struct sae_rng rng = sae_rng_make(7, SAE_RNG_TEST);
    enum { N = 100000 };
    double sum = 0, squares = 0, uniform = 0;
    size_t counts[7] = {0};
    for (size_t i = 0; i < N; i++) {
        const double x = sae_rng_normal(&rng);
        sum += x;
        squares += x * x;
        uniform += sae_rng_uniform(&rng);
        counts[sae_rng_below(&rng, 7)]++;
    }
    /* five standard errors: sqrt(1/N), sqrt(2/N), sqrt(1/12/N), sqrt(N 6/49) */
    assert_true(sum / N < 0.016 && sum / N > -0.016);
    assert_true(squares / N < 1.0224 && squares / N > 0.9776);
    assert_true(uniform / N < 0.5046 && uniform / N > 0.4954);
    for (size_t i = 0; i < 7; i++)
        assert_true(counts[i] > N / 7 - 554 && counts[i] < N / 7 + 554);
}

static void shuffle_is_a_permutation(void **state)
{
    (void)state;
    struct sae_rng rng = sae_rng_make(1, SAE_RNG_TEST);
    uint32_t a[100];
    bool seen[100] = {false};
    size_t fixed = 0;
    for (uint32_t i = 0; i < 100; i++)
        a[i] = i;
    sae_rng_shuffle_u32(&rng, a, 100);
    for (uint32_t i = 0; i < 100; i++) {
        assert_false(seen[a[i]]);
        seen[a[i]] = true;
        fixed += a[i] == i;
    }
    assert_true(fixed < 10);
}

/* FIPS 180-2, appendix B.1: SHA-256 of "abc". */
/* RandomState(0).randint(0, 2**32), RandomState(42).permutation(10), then .permutation(7) (of which
 * .choice(7, 3, replace=False) are the first) and .randint(1, 2**31 - 1), by numpy 2.4. */
static void mt_draws_as_numpy_does(void **state)
{
    (void)state;
    static const uint32_t want[] = {8, 1, 5, 0, 7, 2, 9, 4, 3, 6}, chosen[] = {4, 1, 0};
    uint32_t a[10], b[7];
    struct sae_mt mt = sae_mt_make(0);
    assert_true(sae_mt_u32(&mt) == 2357136044U && sae_mt_u32(&mt) == 2546248239U &&
                sae_mt_u32(&mt) == 3071714933U);
    mt = sae_mt_make(42);
    for (uint32_t i = 0; i < 10; i++)
        a[i] = i;
    sae_mt_shuffle_u32(&mt, a, 10);
    assert_memory_equal(a, want, sizeof want);
    for (uint32_t i = 0; i < 7; i++)
        b[i] = i;
    sae_mt_shuffle_u32(&mt, b, 7);
    assert_memory_equal(b, chosen, sizeof chosen);
    assert_true(1 + sae_mt_upto(&mt, 2147483645U) == 613608296U);
    assert_true(sae_mt_upto(&mt, 0) == 0);
}

static void digest_gives_the_published_answer(void **state)
{
    (void)state;
    struct sae_digest digest;
    char hex[SAE_DIGEST_HEX];
    sae_digest_init(&digest);
    sae_digest_update(&digest, "abc", 3);
    sae_digest_hex(&digest, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(sae_bf16_from_f32(1.0F), 0x3f80);
    assert_int_equal(sae_bf16_from_f32(1.00390625F), 0x3f80);   /* 1 + 2^-8: tie, to even */
    assert_int_equal(sae_bf16_from_f32(1.01171875F), 0x3f82);   /* 1 + 3*2^-8: tie, to even */
    assert_int_equal(sae_bf16_from_f32(1.00390637F), 0x3f81);   /* just above the tie */
    assert_int_equal(sae_bf16_from_f32(-0.0F), 0x8000);
    const float nan = sae_bf16_to_f32(sae_bf16_from_f32(__builtin_nanf("")));
    assert_true(nan != nan);
    assert_true(sae_bf16_to_f32(0x3f81) == 1.0078125F);
}

static void paths_are_joined_and_compared(void **state)
{
    (void)state;
    char *p = NULL;
    assert_int_equal(sae_fs_join(&p, "a/", "b", NULL), SAE_OK);
    assert_string_equal(p, "a/b");
    free(p);
    assert_int_equal(sae_fs_join(&p, "a", "/b", NULL), SAE_OK);
    assert_string_equal(p, "/b");
    free(p);
    assert_int_equal(sae_fs_dir(&p, "x.h5", NULL), SAE_OK);
    assert_string_equal(p, ".");
    free(p);
    assert_string_equal(sae_fs_base("a/b/c.h5"), "c.h5");
    assert_true(sae_fs_natural_cmp("ckpt_50.h5", "ckpt_100.h5") < 0);
    assert_true(sae_fs_natural_cmp("ckpt_00.h5", "ckpt_25.h5") < 0);
    assert_true(sae_fs_natural_cmp("run_10", "run_9") > 0);
    assert_int_equal(sae_fs_natural_cmp("a1", "a1"), 0);
    assert_true(sae_fs_natural_cmp("run_lam0.003_s1", "run_lam0.1_s1") < 0);
    assert_true(sae_fs_natural_cmp("run_lam0.15_s1", "run_lam0.1_s1") > 0);
    assert_true(sae_fs_natural_cmp("run_lam0.1_s10", "run_lam0.1_s9") > 0);
    assert_true(sae_fs_natural_cmp("lam10.5", "lam9.75") > 0);
    assert_true(sae_fs_natural_cmp("run_1.h5", "run_01.h5") == 0);
    assert_true(sae_fs_natural_cmp("v.10", "v.9") > 0); /* no number before the point */
}

/* Only what names the same file is cut: a link's ".." is elsewhere. */
static void paths_are_shortened(void **state)
{
    (void)state;
    char dir[] = "/tmp/saekit-test-XXXXXX", path[100], want[100];
    struct sae_err err = {0};
    static const struct {
        const char *path, *want;
    } cases[] = {
        {"run/../acts", "acts"},      {"run/in/../../acts", "acts"}, {"run/../../acts", "../acts"},
        {"link/../acts", "link/../acts"}, {"no/../acts", "no/../acts"}, {"../acts", "../acts"},
        {"run/..", "run/.."},         {"./../acts", "../acts"},
        {"./", "./"},                 {"./acts", "acts"},            {".//acts", ".//acts"},
    };
    char here[1000];
    assert_non_null(getcwd(here, sizeof here));
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(sae_fs_make_dirs("run/in", &err), SAE_OK);
    assert_int_equal(symlink("run/in", "link"), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(path, sizeof path, "%s", cases[i].path);
        sae_fs_shorten(path);
        assert_string_equal(path, cases[i].want);
    }
    snprintf(path, sizeof path, "%s/run/../acts", dir);
    snprintf(want, sizeof want, "%s/acts", dir);
    sae_fs_shorten(path);
    assert_string_equal(path, want);
    assert_int_equal(unlink("link") | rmdir("run/in") | rmdir("run"), 0);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void files_are_whole_or_absent(void **state)
{
    (void)state;
    char dir[] = "/tmp/saekit-test-XXXXXX";
    struct sae_err err = {0};
    char *path = NULL, *deep = NULL, *text = NULL, *relative = NULL;
    size_t len;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(sae_fs_join(&deep, dir, "a/b/c", NULL), SAE_OK);
    assert_int_equal(sae_fs_make_dirs(deep, &err), SAE_OK);
    assert_true(sae_fs_is_dir(deep));
    assert_int_equal(sae_fs_join(&path, deep, "f.txt", NULL), SAE_OK);
    assert_int_equal(sae_fs_write(path, "hello", 5, &err), SAE_OK);
    assert_int_equal(sae_fs_read(&text, &len, path, 100, &err), SAE_OK);
    assert_string_equal(text, "hello");
    free(text);
    assert_int_equal(sae_fs_read(&text, &len, path, 4, &err), SAE_ERANGE);
    assert_int_equal(sae_fs_read(&text, &len, "/nowhere/x", 4, &err), SAE_EIO);
    assert_int_equal(sae_fs_write("/nowhere/x", "a", 1, &err), SAE_EIO);
    assert_int_equal(sae_fs_make_dirs(path, &err), SAE_EIO); /* a file is in the way */
    assert_non_null(strstr(err.msg, "a file of that name is there"));
    /* the reason is that of mkdir, and not that of the look at what is there */
    char loop[60], below[70];
    snprintf(loop, sizeof loop, "%s/loop", dir);
    snprintf(below, sizeof below, "%s/x", loop);
    assert_int_equal(symlink("nowhere", loop), 0);
    assert_int_equal(sae_fs_make_dirs(below, &err), SAE_EIO);
    assert_non_null(strstr(err.msg, "a file of that name is there"));
    assert_int_equal(sae_fs_relative(&relative, deep, dir, &err), SAE_OK);
    assert_string_equal(relative, "../../..");
    free(relative);
    assert_int_equal(sae_fs_relative(&relative, dir, path, &err), SAE_OK);
    assert_string_equal(relative, "a/b/c/f.txt");
    free(relative);
    char command[200];
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
    free(path);
    free(deep);
}

static void folders_are_named_by_what_tells_them_apart(void **state)
{
    (void)state;
    static const char hash[] = "0123456789abcdef0123456789abcdef01234567";
    static const struct {
        const char *path;
        size_t more;
        const char *name;
    } cases[] = {
        {"/a/b/run_2", 0, "run_2"},
        {"/a/b/run_2/", 1, "b_run_2"},
        {"/a/b/run_2", 9, "a_b_run_2"},
        {"/", 0, "root"},
        {"/w/my_saes/blocks.3.hook_resid_post", 0, "my_saes_blocks.3.hook_resid_post"},
        {"/w/scope/layer_12/width_16k/average_l0_82", 0, "scope_layer_12_width_16k_average_l0_82"},
        {"/w/scope/layer_12/width_16k/canonical", 1, "w_scope_layer_12_width_16k_canonical"},
        {"/w/layer_cake", 0, "layer_cake"},
        {"/w/x/trainer_0/checkpoints", 0, "x_trainer_0_checkpoints"},
        {"/h/models--google--gemma-2-2b/snapshots/%s", 0, "gemma-2-2b"},
        {"/h/models--google--gemma-2-2b/snapshots/%s", 1, "h_gemma-2-2b"},
        {"/h/models--gpt2/snapshots/%s/layer_3", 0, "gpt2_layer_3"},
        {"/h/other/snapshots/%s", 0, "0123456789abcdef0123456789abcdef01234567"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sae_err err = {0};
        char path[200], *name = NULL;
        const char *const at = strstr(cases[i].path, "%s");
        snprintf(path, sizeof path, "%.*s%s%s", at ? (int)(at - cases[i].path) : 200, cases[i].path,
                 at ? hash : "", at ? at + 2 : "");
        assert_int_equal(sae_name_folder(&name, path, cases[i].more, &err), SAE_OK);
        assert_string_equal(name, cases[i].name);
        free(name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_keeps_code_and_message),
        cmocka_unit_test(mem_is_zeroed_aligned_and_bounded),
        cmocka_unit_test(mem_grow_keeps_content),
        cmocka_unit_test(numbers_are_strict),
        cmocka_unit_test(a_shell_reads_a_path_back),
        cmocka_unit_test(rng_gives_the_published_answer),
        cmocka_unit_test(rng_is_a_function_of_its_counter),
        cmocka_unit_test(rng_moments_are_right),
        cmocka_unit_test(shuffle_is_a_permutation),
        cmocka_unit_test(mt_draws_as_numpy_does),
        cmocka_unit_test(digest_gives_the_published_answer),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(paths_are_joined_and_compared),
        cmocka_unit_test(paths_are_shortened),
        cmocka_unit_test(files_are_whole_or_absent),
        cmocka_unit_test(folders_are_named_by_what_tells_them_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
