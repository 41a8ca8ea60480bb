/* SPDX-License-Identifier: MIT */
/* Tests of lib/text/csv: records as spreadsheets write them, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/text/csv.h"
#include "lib/base/fs.h"

static char dir[] = "/tmp/saekit-csv-XXXXXX";
static char path[200];

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

/* Writes dir/name; `path` is then its path. */
static const char *put(const char *name, const void *data, size_t n)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(sae_fs_write(path, data, n, NULL), SAE_OK);
    return path;
}

static void csv_records(void **state)
{
    (void)state;
    static const char text[] = "text,label\r\n"
                               "plain,a\n"
                               "\"with, comma\",b\r\n"
                               "\n"
                               "\"two\nlines and a \"\"quote\"\"\",c\n"
                               ",\n"
                               "last,\"\"";
    static const char *const fields[][2] = {
        {"text",                       "label"},
        {"plain",                      "a"    },
        {"with, comma",                "b"    },
        {"two\nlines and a \"quote\"", "c"    },
        {"",                           ""     },
        {"last",                       ""     }
    };
    static const uint64_t lines[] = {1, 2, 3, 5, 7, 8};
    struct sae_bytes bytes;
    struct sae_csv csv;
    bool more;
    put("x.csv", text, sizeof text - 1);
    assert_int_equal(sae_bytes_open(&bytes, path, NULL), SAE_OK);
    sae_csv_init(&csv, &bytes, path, ',');
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(sae_csv_next(&csv, &more, NULL), SAE_OK);
        assert_true(more);
        assert_int_equal(csv.n_fields, 2);
        assert_string_equal(csv.field[0].s, fields[i][0]);
        assert_string_equal(csv.field[1].s, fields[i][1]);
        assert_int_equal(csv.line, lines[i]);
        if (i == 0) {
            assert_int_equal(sae_csv_column(&csv, "label"), 1);
            assert_int_equal(sae_csv_column(&csv, "nothing"), 2);
        }
    }
    assert_int_equal(sae_csv_next(&csv, &more, NULL), SAE_OK);
    assert_false(more);
    sae_csv_clear(&csv);
    sae_bytes_close(&bytes);
}

static void expect_bad_csv(const char *text, const char *why)
{
    struct sae_bytes bytes;
    struct sae_csv csv;
    struct sae_err err = {0};
    bool more = true;
    enum sae_status st = SAE_OK;
    put("bad.csv", text, strlen(text));
    assert_int_equal(sae_bytes_open(&bytes, path, NULL), SAE_OK);
    sae_csv_init(&csv, &bytes, path, ',');
    while (st == SAE_OK && more)
        st = sae_csv_next(&csv, &more, &err);
    assert_int_equal(st, SAE_EFORMAT);
    if (strstr(err.msg, why) == NULL)
        fail_msg("'%s' does not say '%s'", err.msg, why);
    sae_csv_clear(&csv);
    sae_bytes_close(&bytes);
}

static void bad_csv_is_refused(void **state)
{
    (void)state;
    expect_bad_csv("a,b\n1,2\n\"never, closed\n3,4\n", "line 3: the quote that opens here");
    expect_bad_csv("a,b\n\"x\"y,2\n", "line 2: 'y' after a closing quote");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_records),
        cmocka_unit_test(bad_csv_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
