/* SPDX-License-Identifier: MIT */
/* Tests of lib/cli/table: what a cell becomes, and how columns are aligned. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cli/table.h"

static struct sae_table *table;

static void begin(size_t n, const char *const *heads)
{
    assert_int_equal(sae_table_make(&table, n, heads, NULL), SAE_OK);
}

/* Prints the table and frees it. */
static void expect(int indent, const char *want)
{
    char *text = NULL;
    size_t len = 0;
    FILE *const to = open_memstream(&text, &len);
    assert_int_equal(sae_table_print(table, to, indent, NULL), SAE_OK);
    fclose(to);
    assert_string_equal(text, want);
    free(text);
    sae_table_free(table);
}

static void numbers_right_text_left(void **state)
{
    static const char *const heads[] = {"name", "n", "share"};
    (void)state;
    begin(3, heads);
    sae_table_text(table, "a");
    sae_table_count(table, 7);
    sae_table_text(table, "%d %%", 5);
    sae_table_text(table, "bcd");
    sae_table_count(table, 1234);
    sae_table_text(table, "%s", "-1.5 +- 0.1");
    expect(2, "  name     n        share\n"
              "  ----  ----  -----------\n"
              "  a        7          5 %\n"
              "  bcd   1234  -1.5 +- 0.1\n");
}

/* One cell of text makes a column of text; the last column has no spaces after it. */
static void one_text_turns_a_column(void **state)
{
    static const char *const heads[] = {"a", "b"};
    (void)state;
    begin(2, heads);
    sae_table_real(table, 1, 1);
    sae_table_text(table, "12");
    sae_table_text(table, "none");
    sae_table_text(table, "3.4.5");
    expect(0, "a     b\n----  -----\n1.0   12\nnone  3.4.5\n");
}

static void empty_cells_are_dashes(void **state)
{
    static const char *const heads[] = {"x", "", "z"};
    (void)state;
    begin(3, heads);
    sae_table_text(table, "%s", "");
    sae_table_real(table, NAN, 3);
    sae_table_count(table, INFINITY);
    expect(1, " x  -  z\n -  -  -\n -  -  -\n");
}

static void magnitudes(void **state)
{
    static const char *const heads[] = {"x"};
    static const struct {
        double x;
        int digits;
        const char *want;
    } cases[] = {
        {0,       2, "0.00"       },
        {-0.5,    0, "-0"         },
        {0.004,   2, "4.00e-03"   },
        {0.005,   2, "0.01"       },
        {9999999, 1, "9999999.0"  },
        {1e7,     1, "1.0e+07"    },
        {-2e300,  5, "-2.000e+300"},
        {1e-300,  4, "1.000e-300" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL;
        size_t len = 0;
        begin(1, heads);
        sae_table_real(table, cases[i].x, cases[i].digits);
        FILE *const to = open_memstream(&text, &len);
        assert_int_equal(sae_table_print(table, to, 0, NULL), SAE_OK);
        fclose(to);
        text[len - 1] = '\0'; /* the last line is the cell */
        assert_string_equal(strrchr(text, '\n') + 1, cases[i].want);
        free(text);
        sae_table_free(table);
    }
}

/* Letters of two bytes take one column; what a terminal would act on is shown. */
static void widths_are_those_of_letters(void **state)
{
    static const char *const heads[] = {"k\xc3\xb6nig", "x"};
    (void)state;
    begin(2, heads);
    sae_table_text(table, "a\x1b[2Jb");
    sae_table_text(table, "c\nd");
    expect(0, "k\xc3\xb6nig      x\n---------  ----\na\\x1b[2Jb  c\\nd\n");
}

/* A table without rows is its head; an unfinished row is shown as far as it goes. */
static void short_tables(void **state)
{
    static const char *const heads[] = {"a", "b"};
    (void)state;
    begin(2, heads);
    expect(0, "a  b\n-  -\n");
    begin(2, heads);
    sae_table_text(table, "1");
    expect(0, "a  b\n-  -\n1");
    sae_table_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_right_text_left),     cmocka_unit_test(one_text_turns_a_column),
        cmocka_unit_test(empty_cells_are_dashes),      cmocka_unit_test(magnitudes),
        cmocka_unit_test(widths_are_those_of_letters), cmocka_unit_test(short_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
