/* SPDX-License-Identifier: MIT */
/* Tests of lib/file/h5: round trips, equal bytes, and every way a file can be wrong. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>
#include <hdf5.h>

#include "lib/base/bf16.h"
#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/file/h5_inner.h"

static char dir[] = "/tmp/saekit-h5-XXXXXX";
static char path[64], other[64];

static int setup(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/a.h5", dir);
    snprintf(other, sizeof other, "%s/b.h5", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

enum { ROWS = 3000, COLS = 40 };

/* A file with one of everything. */
static void write_sample(const char *to, float first)
{
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    float *x = calloc(ROWS * COLS, sizeof *x);
    uint16_t b[ROWS];
    char *const words[] = {(char *)" cat", (char *)"d\xc3\xb6g", (char *)""};
    for (size_t i = 0; i < ROWS * COLS; i++)
        x[i] = (float)i * 0.5F;
    x[0] = first;
    for (size_t i = 0; i < ROWS; i++)
        b[i] = sae_bf16_from_f32((float)i);
    assert_int_equal(sae_h5_create(&f, to, "test", true, &err), SAE_OK);
    assert_int_equal(sae_h5_put2(f, "/deep/group/x", SAE_H5_F32, ROWS, COLS, x, &err), SAE_OK);
    assert_int_equal(sae_h5_put1(f, "/b", SAE_H5_BF16, ROWS, b, &err), SAE_OK);
    assert_int_equal(sae_h5_put1(f, "/empty", SAE_H5_U32, 0, NULL, &err), SAE_OK);
    assert_int_equal(sae_h5_put_strings(f, "/words", 3, words, &err), SAE_OK);
    assert_int_equal(sae_h5_attr_put_u64(f, "/", "step", 7, &err), SAE_OK);
    assert_int_equal(sae_h5_attr_put_f64(f, "/deep", "loss", 2.5, &err), SAE_OK);
    assert_int_equal(sae_h5_attr_put_str(f, "/new", "name", "value", &err), SAE_OK);
    assert_int_equal(sae_h5_commit(&f, "{\"a\":1}", &err), SAE_OK);
    assert_null(f);
    free(x);
}

static void round_trip(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    write_sample(path, 0.0F);
    assert_int_equal(sae_h5_open(&f, path, "test", &err), SAE_OK);
    assert_string_equal(sae_h5_record(f), "{\"a\":1}");
    float *x = NULL;
    size_t got[2];
    const size_t want[2] = {0, COLS};
    assert_int_equal(sae_h5_get(f, "/deep/group/x", SAE_H5_F32, 2, want, got, &x, &err), SAE_OK);
    assert_int_equal(got[0], ROWS);
    assert_true(x[ROWS * COLS - 1] == (ROWS * COLS - 1) * 0.5F);
    free(x);
    float rows[2 * COLS];
    assert_int_equal(sae_h5_read_rows(f, "/deep/group/x", SAE_H5_F32, 10, 2, rows, &err), SAE_OK);
    assert_true(rows[0] == 10 * COLS * 0.5F && rows[COLS] == 11 * COLS * 0.5F);
    float *wide = NULL; /* HDF5 itself widens our bf16 type, as it does for other readers */
    assert_int_equal(sae_h5_get(f, "/b", SAE_H5_F32, 1, NULL, NULL, &wide, &err), SAE_OK);
    assert_true(wide[100] == 100.0F && wide[2999] == 2992.0F); /* 2999 rounded to 8 bits */
    free(wide);
    char **words;
    size_t n;
    assert_int_equal(sae_h5_get_strings(f, "/words", &n, &words, &err), SAE_OK);
    assert_int_equal(n, 3);
    assert_string_equal(words[0], " cat");
    assert_string_equal(words[1], "d\xc3\xb6g");
    assert_string_equal(words[2], "");
    sae_h5_strings_free(words, n);
    uint64_t step;
    double loss;
    char *name = NULL;
    assert_int_equal(sae_h5_attr_u64(f, "/", "step", &step, &err), SAE_OK);
    assert_int_equal(sae_h5_attr_f64(f, "/deep", "loss", &loss, &err), SAE_OK);
    assert_int_equal(sae_h5_attr_str(f, "/new", "name", &name, &err), SAE_OK);
    assert_true(step == 7 && loss == 2.5 && strcmp(name, "value") == 0);
    free(name);
    assert_int_equal(sae_h5_names(f, "/deep", &n, &words, &err), SAE_OK);
    assert_true(n == 1 && strcmp(words[0], "group") == 0);
    sae_h5_strings_free(words, n);
    assert_true(sae_h5_has(f, "/deep/group/x") && !sae_h5_has(f, "/deep/no/x"));
    sae_h5_close(f);
}

static void equal_content_gives_equal_bytes_and_id(void **state)
{
    (void)state;
    char a[SAE_DIGEST_HEX], b[SAE_DIGEST_HEX];
    write_sample(path, 0.0F);
    sleep(1); /* a timestamp inside the file would show */
    write_sample(other, 0.0F);
    assert_int_equal(sae_digest_file(path, a, NULL), SAE_OK);
    assert_int_equal(sae_digest_file(other, b, NULL), SAE_OK);
    assert_string_equal(a, b);
    struct sae_h5 *f = NULL;
    char id[65];
    assert_int_equal(sae_h5_open(&f, path, NULL, NULL), SAE_OK);
    snprintf(id, sizeof id, "%s", sae_h5_id(f));
    sae_h5_close(f);
    write_sample(other, 1.0F);
    assert_int_equal(sae_h5_open(&f, other, NULL, NULL), SAE_OK);
    assert_string_not_equal(id, sae_h5_id(f));
    sae_h5_close(f);
}

static void wrong_files_are_refused(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    assert_int_equal(sae_h5_open(&f, "/nowhere.h5", NULL, &err), SAE_EIO);
    assert_int_equal(sae_h5_open(&f, dir, NULL, &err), SAE_EFORMAT);
    assert_int_equal(sae_fs_write(other, "not hdf5", 8, &err), SAE_OK);
    assert_int_equal(sae_h5_open(&f, other, NULL, &err), SAE_EFORMAT);
    write_sample(path, 0.0F);
    assert_int_equal(sae_h5_open(&f, path, "checkpoint", &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "of kind 'test', expected 'checkpoint'"));
    assert_int_equal(sae_h5_create(&f, path, "test", false, &err), SAE_EARG);
    assert_int_equal(sae_h5_create(&f, "/nowhere/x.h5", "test", false, &err), SAE_EIO);
    assert_null(f);
}

static void truncation_and_damage_are_noticed(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    char *bytes = NULL;
    size_t len;
    write_sample(path, 0.0F);
    assert_int_equal(sae_fs_read(&bytes, &len, path, 1 << 24, &err), SAE_OK);
    assert_int_equal(sae_fs_write(other, bytes, len / 2, &err), SAE_OK);
    assert_int_equal(sae_h5_open(&f, other, NULL, &err), SAE_EFORMAT);
    /* One flipped bit in the rows of x: 1.0 is 0x3f800000, found by its neighbours 0.5 and 1.5. */
    const float pattern[3] = {0.5F, 1.0F, 1.5F};
    char *at = memmem(bytes, len, pattern, sizeof pattern);
    assert_non_null(at);
    at[4] ^= 1;
    assert_int_equal(sae_fs_write(other, bytes, len, &err), SAE_OK);
    assert_int_equal(sae_h5_open(&f, other, NULL, &err), SAE_OK);
    float *x = NULL;
    assert_int_equal(sae_h5_get(f, "/deep/group/x", SAE_H5_F32, 2, NULL, NULL, &x, &err),
                     SAE_EFORMAT);
    assert_null(x);
    sae_h5_close(f);
    free(bytes);
}

static void shapes_and_types_are_checked(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    float *x = NULL;
    char *s = NULL;
    uint64_t u;
    write_sample(path, 0.0F);
    assert_int_equal(sae_h5_open(&f, path, NULL, &err), SAE_OK);
    const size_t want[2] = {0, COLS + 1};
    assert_int_equal(sae_h5_get(f, "/deep/group/x", SAE_H5_F32, 2, want, NULL, &x, &err),
                     SAE_EFORMAT);
    assert_int_equal(sae_h5_get(f, "/deep/group/x", SAE_H5_F32, 1, NULL, NULL, &x, &err),
                     SAE_EFORMAT);
    assert_int_equal(sae_h5_get(f, "/words", SAE_H5_F32, 1, NULL, NULL, &x, &err), SAE_EFORMAT);
    assert_int_equal(sae_h5_get(f, "/none", SAE_H5_F32, 1, NULL, NULL, &x, &err), SAE_EFORMAT);
    float row[COLS];
    assert_int_equal(sae_h5_read_rows(f, "/deep/group/x", SAE_H5_F32, ROWS, 1, row, &err),
                     SAE_ERANGE);
    assert_int_equal(sae_h5_attr_str(f, "/", "step", &s, &err), SAE_EFORMAT);
    assert_int_equal(sae_h5_attr_u64(f, "/", "kind", &u, &err), SAE_EFORMAT);
    assert_int_equal(sae_h5_attr_u64(f, "/", "none", &u, &err), SAE_EFORMAT);
    sae_h5_close(f);
}

/* A header that claims a length of which nothing is stored must not cost that much memory. */
static void claimed_lengths_are_not_believed(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    float *x = NULL;
    char **words = NULL;
    size_t n;
    write_sample(path, 0.0F);
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    const hsize_t claimed = (hsize_t)1 << 33, chunk = 1024;
    const hid_t space = H5Screate_simple(1, &claimed, NULL);
    const hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    const hid_t text = H5Tcopy(H5T_C_S1);
    H5Pset_chunk(layout, 1, &chunk);
    H5Dclose(H5Dcreate2(file, "/claim", H5T_IEEE_F32LE, space, H5P_DEFAULT, layout, H5P_DEFAULT));
    H5Dclose(H5Dcreate2(file, "/names", text, space, H5P_DEFAULT, layout, H5P_DEFAULT));
    H5Tclose(text);
    H5Pclose(layout);
    H5Sclose(space);
    assert_true(H5Fclose(file) >= 0);
    assert_int_equal(sae_h5_open(&f, path, NULL, &err), SAE_OK);
    assert_int_equal(sae_h5_get(f, "/claim", SAE_H5_F32, 1, NULL, NULL, &x, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "claims 8589934592 elements"));
    assert_int_equal(sae_h5_get_strings(f, "/names", &n, &words, &err), SAE_EFORMAT);
    sae_h5_close(f);
}

/* Enough members for HDF5 to keep them by hash. */
static void names_come_sorted(void **state)
{
    (void)state;
    enum { N = 60 };
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    char name[40], **names = NULL;
    size_t n = 0;
    const double x = 1;
    assert_int_equal(sae_h5_create(&f, path, "test", true, &err), SAE_OK);
    for (size_t i = 0; i < N; i++) {
        snprintf(name, sizeof name, "/group/member_%02zu", i * 37 % N);
        assert_int_equal(sae_h5_put1(f, name, SAE_H5_F64, 1, &x, &err), SAE_OK);
    }
    assert_int_equal(sae_h5_commit(&f, "{}", &err), SAE_OK);
    assert_int_equal(sae_h5_open(&f, path, NULL, &err), SAE_OK);
    assert_int_equal(sae_h5_names(f, "/group", &n, &names, &err), SAE_OK);
    assert_int_equal(n, N);
    for (size_t i = 0; i < N; i++) {
        snprintf(name, sizeof name, "member_%02zu", i);
        assert_string_equal(names[i], name);
    }
    sae_h5_strings_free(names, n);
    sae_h5_close(f);
}

static size_t n_parts(void)
{
    char **names = NULL, *folder = NULL;
    size_t n = 0;
    assert_int_equal(sae_fs_dir(&folder, other, NULL), SAE_OK);
    assert_int_equal(sae_fs_list(&names, &n, folder, sae_fs_base(other), ".part", NULL), SAE_OK);
    sae_fs_list_free(names, n);
    free(folder);
    return n;
}

/* What another process published meanwhile stays, unless it may be replaced. */
static void a_commit_replaces_no_other_file(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *a = NULL, *b = NULL;
    unlink(other);
    assert_int_equal(sae_h5_create(&a, other, "first", false, &err), SAE_OK);
    assert_int_equal(sae_h5_create(&b, other, "second", false, &err), SAE_OK);
    assert_int_equal(sae_h5_commit(&a, "{}", &err), SAE_OK);
    assert_int_equal(sae_h5_commit(&b, "{}", &err), SAE_EARG);
    assert_int_equal(n_parts(), 0);
    assert_int_equal(sae_h5_open(&a, other, "first", &err), SAE_OK);
    sae_h5_close(a);
}

static void an_uncommitted_file_leaves_nothing(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    unlink(other);
    assert_int_equal(sae_h5_create(&f, other, "test", false, &err), SAE_OK);
    assert_int_equal(n_parts(), 1);
    sae_h5_close(f);
    assert_int_equal(n_parts(), 0);
    assert_false(sae_fs_is_file(other));
}

/* --- files of strangers -------------------------------------------------------------------- */

/* Opens the sample with HDF5 itself, to put into it what saekit never writes. */
static hid_t open_sample(void)
{
    write_sample(path, 0.0F);
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    return file;
}

static void add_set(hid_t file, const char *name, hid_t layout, hsize_t n)
{
    const hid_t space = H5Screate_simple(1, &n, NULL);
    const hid_t set =
        H5Dcreate2(file, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    assert_true(set >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

static void refused(const char *name, const char *why)
{
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    float *x = NULL, row[4];
    size_t n;
    assert_int_equal(sae_h5_open(&f, path, NULL, &err), SAE_OK);
    assert_true(sae_h5_has(f, name)); /* never taken for absent */
    assert_int_equal(sae_h5_get(f, name, SAE_H5_F32, 1, NULL, NULL, &x, &err), SAE_EFORMAT);
    if (strstr(err.msg, why) == NULL)
        fail_msg("'%s' lacks '%s'", err.msg, why);
    assert_int_equal(sae_h5_shape(f, name, 1, &n, &err), SAE_EFORMAT);
    assert_int_equal(sae_h5_read_rows(f, name, SAE_H5_F32, 0, 1, row, &err), SAE_EFORMAT);
    sae_h5_close(f);
}

static void no_file_makes_another_be_read(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    char **names = NULL;
    size_t n;
    write_sample(other, 0.0F);
    hid_t file = open_sample();
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(layout, other, 0, 64);
    add_set(file, "/external", layout, 16);
    H5Pclose(layout);
    layout = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t length = ROWS;
    const hid_t space = H5Screate_simple(1, &length, NULL);
    H5Pset_virtual(layout, space, other, "/b", space);
    H5Sclose(space);
    add_set(file, "/virtual", layout, ROWS);
    H5Pclose(layout);
    H5Lcreate_external(other, "/b", file, "/elsewhere", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_external(other, "/deep", file, "/folder", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/elsewhere", file, "/soft", H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Fclose(file) >= 0);
    refused("/external", "external storage");
    refused("/virtual", "virtual");
    refused("/elsewhere", "link to another file");
    refused("/folder/group/x", "link to another file");
    refused("/soft", "symbolic link");
    double loss;
    assert_int_equal(sae_h5_open(&f, path, NULL, &err), SAE_OK);
    assert_int_equal(sae_h5_names(f, "/folder", &n, &names, &err), SAE_EFORMAT);
    assert_int_equal(sae_h5_attr_f64(f, "/folder", "loss", &loss, &err), SAE_EFORMAT);
    sae_h5_close(f);
}

/* A filter that any plugin may undo is code of whoever sets HDF5_PLUGIN_PATH. */
static size_t pass_on(unsigned flags, size_t n_values, const unsigned *values, size_t n_bytes,
                      size_t *size, void **buffer)
{
    (void)flags, (void)n_values, (void)values, (void)size, (void)buffer;
    return n_bytes;
}

static void unknown_filters_and_lengths_are_refused(void **state)
{
    (void)state;
    const H5Z_class2_t filter = {H5Z_CLASS_T_VERS, 300, 1, 1, "lzx", NULL, NULL, pass_on};
    assert_true(H5Zregister(&filter) >= 0);
    hid_t file = open_sample();
    hid_t layout = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 16;
    H5Pset_chunk(layout, 1, &chunk);
    H5Pset_filter(layout, 300, 0, 0, NULL);
    add_set(file, "/packed", layout, 16);
    H5Pclose(layout);
    /* Never written: HDF5 would give zeros. */
    add_set(file, "/unwritten", H5P_DEFAULT, 16);
    /* Sixteen numbers in a chunk of a gigabyte, of which HDF5 would ask the memory. */
    layout = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t huge = (hsize_t)1 << 28, most = H5S_UNLIMITED, few = 16;
    const hid_t space = H5Screate_simple(1, &few, &most);
    H5Pset_chunk(layout, 1, &huge);
    H5Pset_deflate(layout, 9);
    const hid_t set =
        H5Dcreate2(file, "/huge", H5T_IEEE_F32LE, space, H5P_DEFAULT, layout, H5P_DEFAULT);
    const unsigned char nothing[8] = {0x78, 0x9c, 3, 0, 0, 0, 0, 1};
    const hsize_t start = 0;
    assert_true(H5Dwrite_chunk(set, H5P_DEFAULT, 0, &start, sizeof nothing, nothing) >= 0);
    H5Dclose(set);
    H5Sclose(space);
    H5Pclose(layout);
    assert_true(H5Fclose(file) >= 0);
    H5Zunregister(300);
    refused("/packed", "filter 300, lzx");
    refused("/unwritten", "claims 16 elements");
    refused("/huge", "claims 16 elements");
    unsigned state_of_plugins = 1;
    assert_true(H5PLget_loading_state(&state_of_plugins) >= 0);
    assert_int_equal(state_of_plugins, 0);
}

/* Numbers of other types are read where they are whole and fit, else refused. */
static void numbers_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        int64_t whole;
        double real;
        bool fits;
    } cases[] = {
        {7,         7,     true },
        {-1,        -1,    false},
        {1LL << 40, 1e300, false},
        {255,       0.5,   false},
        {255,       NAN,   false}
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sae_err err = {0};
        struct sae_h5 *f = NULL;
        uint8_t *v = NULL, one = 0;
        const size_t n = 1;
        snprintf(path, sizeof path, "%s/unfit_%zu.h5", dir, i);
        assert_int_equal(sae_h5_create(&f, path, "test", true, &err), SAE_OK);
        assert_int_equal(sae_h5_put1(f, "/whole", SAE_H5_I64, 1, &cases[i].whole, &err), SAE_OK);
        assert_int_equal(sae_h5_put1(f, "/real", SAE_H5_F64, 1, &cases[i].real, &err), SAE_OK);
        assert_int_equal(sae_h5_commit(&f, "{}", &err), SAE_OK);
        assert_int_equal(sae_h5_open(&f, path, "test", &err), SAE_OK);
        const enum sae_status want = cases[i].fits ? SAE_OK : SAE_EFORMAT;
        const enum sae_status whole = cases[i].whole == 255 ? SAE_OK : want;
        assert_int_equal(sae_h5_get(f, "/whole", SAE_H5_U8, 1, &n, NULL, &v, &err), whole);
        if (whole == SAE_OK)
            assert_int_equal(*v, cases[i].whole);
        free(v);
        assert_int_equal(sae_h5_read_rows(f, "/real", SAE_H5_U8, 0, 1, &one, &err), want);
        assert_true(want == SAE_OK || strstr(err.msg, "whole numbers of 8 bits") != NULL);
        sae_h5_close(f);
    }
}

static void a_negative_attribute_is_refused(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    uint64_t got = 9;
    snprintf(path, sizeof path, "%s/negative.h5", dir);
    assert_int_equal(sae_h5_create(&f, path, "test", true, &err), SAE_OK);
    assert_int_equal(sae_h5_commit(&f, "{}", &err), SAE_OK);
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), scalar = H5Screate(H5S_SCALAR);
    for (int value = -1; value <= 1; value += 2) {
        const hid_t attr = H5Acreate2(file, value < 0 ? "minus" : "plus", H5T_NATIVE_INT, scalar,
                                      H5P_DEFAULT, H5P_DEFAULT);
        assert_true(H5Awrite(attr, H5T_NATIVE_INT, &value) >= 0);
        H5Aclose(attr);
    }
    H5Sclose(scalar);
    H5Fclose(file);
    assert_int_equal(sae_h5_open(&f, path, "test", &err), SAE_OK);
    assert_int_equal(sae_h5_attr_u64(f, "/", "minus", &got, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "is -1"));
    assert_int_equal(got, 9);
    assert_int_equal(sae_h5_attr_u64(f, "/", "plus", &got, &err), SAE_OK);
    assert_int_equal(got, 1);
    sae_h5_close(f);
}

/* h5py writes text with a variable length, as attribute and as dataset. */
static void text_of_variable_length_is_read(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    char *text = NULL, **words = NULL;
    size_t n;
    hid_t file = open_sample();
    const hid_t type = H5Tcopy(H5T_C_S1), scalar = H5Screate(H5S_SCALAR);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    const char *const kind = "test", *const two[2] = {"caf\xc3\xa9", "long enough for a heap"};
    assert_true(H5Adelete(file, "kind") >= 0);
    const hid_t attr = H5Acreate2(file, "kind", type, scalar, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attr, type, &kind) >= 0);
    H5Aclose(attr);
    const hsize_t length = 2;
    const hid_t space = H5Screate_simple(1, &length, NULL);
    const hid_t set = H5Dcreate2(file, "/py", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, two) >= 0);
    H5Dclose(set);
    H5Sclose(space);
    H5Sclose(scalar);
    H5Tclose(type);
    assert_true(H5Fclose(file) >= 0);
    assert_int_equal(sae_h5_open(&f, path, "test", &err), SAE_OK);
    assert_int_equal(sae_h5_attr_str(f, "/", "kind", &text, &err), SAE_OK);
    assert_string_equal(text, "test");
    free(text);
    assert_int_equal(sae_h5_get_strings(f, "/py", &n, &words, &err), SAE_OK);
    assert_int_equal(n, 2);
    assert_string_equal(words[0], two[0]);
    assert_string_equal(words[1], two[1]);
    sae_h5_strings_free(words, n);
    sae_h5_close(f);
}

/* Another program may hold a lock, and not every file system has them: whole files need none. */
static void a_lock_hinders_no_reader(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    write_sample(path, 0.0F);
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    const pid_t child = fork(); /* locks are of processes that HDF5 does not share */
    if (child == 0)
        _exit(flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : 1);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(sae_h5_open(&f, path, "test", &err), SAE_OK);
    sae_h5_close(f);
    close(fd);
}

static void what_is_no_file_of_ours_is_named(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_h5 *f = NULL;
    char pipe_path[80];
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe", dir);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(sae_h5_open(&f, pipe_path, NULL, &err), SAE_EFORMAT);
    assert_int_equal(sae_fs_write(other, pointer, sizeof pointer - 1, &err), SAE_OK);
    assert_int_equal(sae_h5_open(&f, other, NULL, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "git lfs pull"));
}

static void a_reason_of_several_lines_is_one(void **state)
{
    (void)state;
    struct sae_err err = {0};
    const struct sae_h5 f = {.path = (char[]){"a.h5"}};
    H5Eclear2(H5E_DEFAULT);
    H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_IO, H5E_READERROR,
             "file read failed: time = Mon\n, offset = 7\n");
    errno = 0;
    assert_int_equal(h5_fail(&f, &err, SAE_EFORMAT, "read", "/rows"), SAE_EFORMAT);
    assert_string_equal(err.msg, "cannot read '/rows' in 'a.h5': file read failed: time = Mon, "
                                 "offset = 7");
    H5Eclear2(H5E_DEFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(equal_content_gives_equal_bytes_and_id),
        cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(truncation_and_damage_are_noticed),
        cmocka_unit_test(shapes_and_types_are_checked),
        cmocka_unit_test(claimed_lengths_are_not_believed),
        cmocka_unit_test(names_come_sorted),
        cmocka_unit_test(a_commit_replaces_no_other_file),
        cmocka_unit_test(an_uncommitted_file_leaves_nothing),
        cmocka_unit_test(no_file_makes_another_be_read),
        cmocka_unit_test(unknown_filters_and_lengths_are_refused),
        cmocka_unit_test(text_of_variable_length_is_read),
        cmocka_unit_test(a_lock_hinders_no_reader),
        cmocka_unit_test(what_is_no_file_of_ours_is_named),
        cmocka_unit_test(numbers_that_do_not_fit_are_refused),
        cmocka_unit_test(a_reason_of_several_lines_is_one),
        cmocka_unit_test(a_negative_attribute_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
