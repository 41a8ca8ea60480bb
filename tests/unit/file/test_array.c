/* SPDX-License-Identifier: MIT */
/* Tests of lib/file/array: rows and columns of every kind of file, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/file/array.h"
#include "lib/file/h5.h"
#include "lib/file/st.h"
#include "lib/file/torch.h"

enum { ROWS = 5, D = 3, MAX_FILE = 2000 };

static char dir[] = "/tmp/saekit-array-XXXXXX";
static float x[ROWS * D]; /* 0, 0.5, 1, ...: exact in every type */

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS * D; i++)
        x[i] = 0.5F * (float)i;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static const char *in_dir(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* A .npy whose header says so. */
static const char *put_npy(const char *name, const char *descr, const char *order, const char *shape,
                           const void *data, size_t n)
{
    char file[MAX_FILE] = "\x93NUMPY\x01";
    const int len = snprintf(file + 10, sizeof file - 10,
                             "{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n", descr, order,
                             shape);
    file[8] = (char)len;
    memcpy(file + 10 + len, data, n);
    struct sae_err err;
    assert_int_equal(sae_fs_write(in_dir(name), file, 10 + (size_t)len + n, &err), SAE_OK);
    return in_dir(name);
}

static const char *put_st(const char *name)
{
    struct sae_err err;
    const struct sae_st_item items[] = {
        {"x", SAE_ST_BF16, 2, {ROWS, D}, x},
        {"y", SAE_ST_F32,  2, {D, ROWS}, x},
        {"z", SAE_ST_F32,  1, {ROWS},    x},
    };
    assert_int_equal(sae_st_write(in_dir(name), items, 3, &err), SAE_OK);
    return in_dir(name);
}

/* The rows are those of x, all at once and one by one. */
static void holds_x(const char *path, const char *name, const char *kind, const char *type)
{
    struct sae_err err = {0};
    struct sae_arrays *file = NULL;
    struct sae_array rows = {0};
    float got[ROWS * D];
    assert_int_equal(sae_arrays_open(&file, path, &err), SAE_OK);
    assert_string_equal(sae_arrays_kind(file), kind);
    if (sae_arrays_rows(&rows, file, name, &err) != SAE_OK)
        fail_msg("%s", err.msg);
    assert_string_equal(rows.type, type);
    assert_int_equal(rows.rows, ROWS);
    assert_int_equal(rows.d, D);
    assert_int_equal(sae_array_read(&rows, 0, ROWS, got, &err), SAE_OK);
    assert_memory_equal(got, x, sizeof x);
    for (size_t i = 0; i < ROWS; i++) {
        assert_int_equal(sae_array_read(&rows, i, 1, got, &err), SAE_OK);
        assert_memory_equal(got, x + i * D, D * sizeof *x);
    }
    assert_int_equal(sae_array_read(&rows, ROWS - 1, 2, got, &err), SAE_ERANGE);
    sae_array_clear(&rows);
    sae_arrays_close(file);
}

static void refused(const char *path, const char *name, const char *why)
{
    struct sae_err err = {0};
    struct sae_arrays *file = NULL;
    struct sae_array rows = {0};
    enum sae_status st = sae_arrays_open(&file, path, &err);
    if (st == SAE_OK)
        st = sae_arrays_rows(&rows, file, name, &err);
    assert_int_equal(st, SAE_EFORMAT);
    assert_null(rows.in);
    if (!strstr(err.msg, why) || !strstr(err.msg, path))
        fail_msg("'%s' lacks '%s' or the file", err.msg, why);
    sae_arrays_close(file);
}

static void test_npy(void **state)
{
    (void)state;
    double f64[ROWS * D];
    uint16_t f16[ROWS * D];
    for (size_t i = 0; i < ROWS * D; i++) {
        f64[i] = (double)x[i];
        const int e = i == 0 ? 0 : ilogbf(x[i]);
        f16[i] = i == 0 ? 0 : (uint16_t)((e + 15) << 10 | (int)((x[i] / exp2f((float)e) - 1) * 1024));
    }
    holds_x(put_npy("4", "'<f4'", "False", "(5, 3)", x, sizeof x), NULL, "numpy", "F32");
    holds_x(put_npy("8", "'<f8'", "False", "(5, 3)", f64, sizeof f64), NULL, "numpy", "F64");
    holds_x(put_npy("2", "'<f2'", "False", "(5, 3)", f16, sizeof f16), NULL, "numpy", "F16");
    refused(in_dir("4"), "x", "has no name");
    refused(put_npy("f", "'<f4'", "True", "(5, 3)", x, sizeof x), NULL, "not stored row by row");
    refused(put_npy("o", "'|O'", "False", "(5, 3)", x, sizeof x), NULL, "Python objects");
    refused(put_npy("b", "'>f4'", "False", "(5, 3)", x, sizeof x), NULL, "'>f4'");
    refused(put_npy("i", "'<i4'", "False", "(5, 3)", x, sizeof x), NULL, "I32");
    refused(put_npy("1", "'<f4'", "False", "(15,)", x, sizeof x), NULL, "has shape [15]");
    refused(put_npy("3", "'<f4'", "False", "(1, 5, 3)", x, sizeof x), NULL, "has shape [1, 5, 3]");
    refused(put_npy("0", "'<f4'", "False", "(0, 3)", x, 0), NULL, "it is empty");
    refused(put_npy("h", "'<f4'", "False", "(1099511627776, 16777216)", x, 4), NULL, "overflows");
    refused(put_npy("c", "'<f4'", "False", "(5, 3)", x, sizeof x - 1), NULL, "59 bytes of data");
}

/* What f32 cannot hold becomes infinite, so that whoever rounds it notices. */
static void test_range(void **state)
{
    (void)state;
    const double wide[3] = {1e39, -1e300, 1};
    struct sae_err err = {0};
    struct sae_arrays *file = NULL;
    struct sae_array rows = {0};
    float got[3];
    const char *const path = put_npy("w", "'<f8'", "False", "(1, 3)", wide, sizeof wide);
    assert_int_equal(sae_arrays_open(&file, path, &err), SAE_OK);
    assert_int_equal(sae_arrays_rows(&rows, file, NULL, &err), SAE_OK);
    assert_int_equal(sae_array_read(&rows, 0, 1, got, &err), SAE_OK);
    assert_true(isinf(got[0]) && isinf(got[1]) && got[2] == 1);
    sae_array_clear(&rows);
    sae_arrays_close(file);
}

static void test_named(void **state)
{
    (void)state;
    struct sae_err err;
    const char *path = put_st("a.safetensors");
    holds_x(path, "x", "safetensors", "BF16");
    refused(path, NULL, "more than one array of floats");
    refused(path, "z", "has shape [5]");
    refused(path, "q", "it holds: x [5, 3] BF16, y [3, 5] F32, z [5] F32");
    path = in_dir("a.pt");
    const struct sae_torch_item item = {.name = "acts", .rank = 2, .shape = {ROWS, D}, .data = x};
    assert_int_equal(sae_torch_write(path, &item, 1, &err), SAE_OK);
    holds_x(path, NULL, "torch", "F32");
    holds_x(path, "acts", "torch", "F32");
    refused(path, "x", "it holds: acts");
}

static void put_h5(const char *path)
{
    struct sae_err err = {0};
    struct sae_h5 *file = NULL;
    const int32_t token[ROWS] = {7, 0, -1, 3, 4};
    uint16_t narrow[ROWS * D];
    sae_bf16_narrow(narrow, x, ROWS * D);
    assert_int_equal(sae_h5_create(&file, path, "test", true, &err), SAE_OK);
    assert_int_equal(sae_h5_put2(file, "/x", SAE_H5_F32, ROWS, D, x, &err), SAE_OK);
    assert_int_equal(sae_h5_put2(file, "/deep/x", SAE_H5_BF16, ROWS, D, narrow, &err), SAE_OK);
    assert_int_equal(sae_h5_put1(file, "/token", SAE_H5_I32, ROWS, token, &err), SAE_OK);
    assert_int_equal(sae_h5_commit(&file, "{}", &err), SAE_OK);
}

static void test_h5(void **state)
{
    (void)state;
    const char *const path = in_dir("a.h5");
    struct sae_err err = {0};
    struct sae_arrays *file = NULL;
    struct sae_array column = {0};
    uint32_t got[ROWS];
    put_h5(path);
    holds_x(path, NULL, "HDF5", "F32");
    holds_x(path, "x", "HDF5", "F32"); /* the root is meant */
    holds_x(path, "deep/x", "HDF5", "BF16");
    refused(path, "token", "has 1 axes, expected 2");
    refused(path, "deep", "cannot open '/deep'");
    refused(path, "none", "has no dataset '/none'");
    assert_int_equal(sae_arrays_open(&file, path, &err), SAE_OK);
    assert_int_equal(sae_arrays_column(&column, file, "token", ROWS + 1, &err), SAE_EFORMAT);
    assert_int_equal(sae_arrays_column(&column, file, "token", ROWS, &err), SAE_OK);
    assert_int_equal(sae_array_read_whole(&column, 0, 2, UINT32_MAX, got, &err), SAE_OK);
    assert_int_equal(got[0], 7);
    assert_int_equal(sae_array_read_whole(&column, 0, 2, 6, got, &err), SAE_EFORMAT);
    assert_int_equal(sae_array_read_whole(&column, 2, 1, UINT32_MAX, got, &err), SAE_EFORMAT);
    sae_array_clear(&column);
    sae_arrays_close(file);
}

/* z is 0, 0.5, 1, ...: the second is no whole number. */
static void test_column(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_arrays *file = NULL;
    struct sae_array column = {0};
    uint32_t got[ROWS];
    assert_int_equal(sae_arrays_open(&file, put_st("c.safetensors"), &err), SAE_OK);
    assert_int_equal(sae_arrays_column(&column, file, "x", ROWS, &err), SAE_EFORMAT);
    assert_int_equal(sae_arrays_column(&column, file, "z", ROWS, &err), SAE_OK);
    assert_int_equal(sae_array_read_whole(&column, 2, 1, 9, got, &err), SAE_OK);
    assert_int_equal(got[0], 1);
    assert_int_equal(sae_array_read_whole(&column, 0, 2, 9, got, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "holds 0.5 at row 1"));
    sae_array_clear(&column);
    sae_arrays_close(file);
}

static void test_kinds(void **state)
{
    (void)state;
    struct sae_err err;
    assert_int_equal(sae_fs_write(in_dir("t"), "plain text", 10, &err), SAE_OK);
    refused(in_dir("t"), NULL, "of no known kind; expected .npy");
    assert_int_equal(sae_fs_write(in_dir("e"), "", 0, &err), SAE_OK);
    refused(in_dir("e"), NULL, "is empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_npy),   cmocka_unit_test(test_range),  cmocka_unit_test(test_named),
        cmocka_unit_test(test_h5),    cmocka_unit_test(test_column), cmocka_unit_test(test_kinds),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
