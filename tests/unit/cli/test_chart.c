/* SPDX-License-Identifier: MIT */
/* Tests of text that others wrote: shown on a terminal (lib/base/utf8), and in charts
 * (lib/cli/chart), whatever bytes it has. Charts are drawn where gnuplot is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/base/utf8.h"
#include "lib/cli/chart.h"
#include "tests/unit/leave_out.h"

static struct sae_err g_err;

static const struct {
    const char *from, *shown;
} rows[] = {
    {"",                                       ""                                           },
    {"plain text, 100 % of it",                "plain text, 100 % of it"                    },
    {"a\nb\tc\rd",                             "a\\nb\\tc\\rd"                              },
    {"\x1b]0;title\a\x1b[31m\x7f",             "\\x1b]0;title\\x07\\x1b[31m\\x7f"           },
    {"\xc2\x9b"
     "31m",                               "\\u009b31m"                                 }, /* CSI in one character */
    {"\xe2\x80\xae"
     "cod.exe",                           "\\u202ecod.exe"                             }, /* right to left */
    {"\xff\xfe \xc3 \xe2\x82 \xed\xa0\x80",    "\\xff\\xfe \\xc3 \\xe2\\x82 \\xed\\xa0\\x80"},
    {"\xef\xbf\xbf \xf4\x8f\xbf\xbe",          "\\uffff \\u10fffe"                          }, /* XML forbids the first */
    {"\xc3\xa9 \xe2\x98\x83 \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x98\x83 \xf0\x9f\x98\x80"     },
};

static void shown_text_is_harmless_and_readable(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sae_str s = {0};
        assert_int_equal(sae_utf8_shown(&s, rows[i].from, strlen(rows[i].from), &g_err), SAE_OK);
        assert_string_equal(s.s, rows[i].shown);
        sae_str_clear(&s);
    }
    for (int c = 0; c < 256; c++) {
        const char byte = (char)c;
        struct sae_str s = {0};
        assert_int_equal(sae_utf8_shown(&s, &byte, 1, &g_err), SAE_OK);
        for (const char *p = s.s; *p != '\0'; p++)
            assert_true(*p >= ' ' && *p <= '~');
        assert_int_equal(s.len, c >= ' ' && c <= '~'                  ? 1
                                : c == '\n' || c == '\t' || c == '\r' ? 2
                                                                      : 4);
        sae_str_clear(&s);
    }
}

static void printed_lines_keep_their_newlines_only(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    sae_utf8_print(to, "%s: %d\n\nlast\t", "run\x1b[2J", 7);
    fclose(to);
    assert_string_equal(text, "run\\x1b[2J: 7\n\nlast\\t");
    free(text);
}

static void chart_text_is_one_constant(void **state)
{
    (void)state;
    static const struct {
        const char *from, *text, *tic;
    } cases[] = {
        {"a",                "'a'",                                "'a'"               },
        {"it's",             "'it\xe2\x80\x99s'",                  "'it\xe2\x80\x99s'" },
        {"`id` $(id) $HOME", "'`id` $(id) $HOME'",                 "'`id` $(id) $HOME'"},
        {"a_1^2{b}@c&d~e\\", "'a\\_1\\^2\\{b\\}\\@c\\&d\\~e\\\\'",
         "'a\\_1\\^2\\{b\\}\\@c\\&d\\~e\\\\'"                                          },
        {"x\n!id",           "'x\\\\n!id'",                        "'x\\\\n!id'"       },
        {"50 %s",            "'50 %s'",                            "'50 %%s'"          },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = NULL, *tic = NULL;
        assert_int_equal(sae_chart_text(&text, cases[i].from, &g_err), SAE_OK);
        assert_int_equal(sae_chart_tic(&tic, cases[i].from, &g_err), SAE_OK);
        assert_string_equal(text, cases[i].text);
        assert_string_equal(tic, cases[i].tic);
        free(text);
        free(tic);
    }
}

/* --- charts ---------------------------------------------------------------------------------- */

static bool have_gnuplot(void)
{
    return system("command -v gnuplot >/dev/null") == 0;
}

/* A folder to work in; the caller stands there afterwards. */
static void enter(char *dir)
{
    strcpy(dir, "/tmp/test_chart.XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
}

static void leave(const char *dir)
{
    char command[64];
    assert_int_equal(chdir("/"), 0);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* A chart with the text in every place that takes one. */
static enum sae_status draw(const char *text, const char *dir, const char *name)
{
    const struct sae_chart_head head = {text, text, text, text, 0, 0};
    char *svg = (char *)"svg";
    struct sae_chart_options how = {
        .formats = {1, &svg}
    };
    struct sae_str gp = {0};
    char *key = NULL, *tic = NULL;
    assert_int_equal(sae_chart_begin(&gp, &how, &head, &g_err), SAE_OK);
    assert_int_equal(sae_chart_text(&key, text, &g_err), SAE_OK);
    assert_int_equal(sae_chart_tic(&tic, text, &g_err), SAE_OK);
    assert_int_equal(sae_str_printf(&gp, &g_err,
                                    "$d << EOD\n0 1\n1 2\nEOD\nset xtics (%s 0, 'one' 1)\n"
                                    "plot $d using 1:2 with lines ls 1 title %s\n",
                                    tic, key),
                     SAE_OK);
    free(key);
    free(tic);
    return sae_chart_end(&gp, &how, dir, name, &g_err);
}

/* Tags close in order, & begins an entity, and nothing else than legal characters is there. */
static void assert_is_xml(const char *path)
{
    char *text = NULL, open[64][32];
    size_t len, depth = 0;
    assert_int_equal(sae_fs_read(&text, &len, path, 1 << 22, &g_err), SAE_OK);
    assert_true(sae_utf8_is_valid(text, len));
    assert_null(strstr(text, "]]>"));
    for (size_t i = 0; i < len; i++)
        assert_true((unsigned char)text[i] >= ' ' || text[i] == '\n' || text[i] == '\t');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '&')
            assert_true(strcspn(p, ";") < 9 && strcspn(p, "<> ") > strcspn(p, ";"));
        if (*p != '<')
            continue;
        const bool comment = strncmp(p, "<!--", 4) == 0;
        const char *const end = comment ? strstr(p, "-->") + 2 : strchr(p, '>');
        assert_non_null(end);
        if (p[1] == '/') {
            assert_true(depth > 0);
            depth--;
            assert_int_equal(strncmp(open[depth], p + 2, strlen(open[depth])), 0);
            assert_int_equal(p[2 + strlen(open[depth])], '>');
        } else if (p[1] != '?' && p[1] != '!' && end[-1] != '/') {
            assert_true(depth < 64);
            const size_t n = strcspn(p + 1, " \n\t>");
            assert_true(n < sizeof open[0]);
            snprintf(open[depth++], sizeof open[0], "%.*s", (int)n, p + 1);
        }
        p = end;
    }
    assert_int_equal(depth, 0);
    free(text);
}

static const char *const hostile[] = {
    "`touch RAN`",
    "$(touch RAN)",
    "@x",
    "\"",
    "'",
    "''",
    "\\",
    "a\\",
    "\n!touch RAN",
    "<script>x</script>",
    "]]>",
    "&lt;&",
    "{/:Bold",
    "}",
    "EOD\nEOD",
    "#",
    "'.system('touch RAN').'",
    "\".system('touch RAN').\"",
    "%s%n%d%f",
    "\\U+2603\\101",
    "{/=999 x} _a ^b ~a{.8-} @{x} &{y}",
};

static void hostile_text_draws_and_runs_nothing(void **state)
{
    (void)state;
    char dir[32], all[256];
    if (!have_gnuplot())
        leave_out("there is no gnuplot");
    enter(dir);
    for (size_t i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = '\0';
    for (size_t i = 0; i <= sizeof hostile / sizeof *hostile; i++) {
        const char *const text = i < sizeof hostile / sizeof *hostile ? hostile[i] : all;
        assert_int_equal(draw(text, "charts", "x"), SAE_OK);
        assert_is_xml("charts/x.svg");
        assert_int_not_equal(access("RAN", F_OK), 0);
        assert_int_equal(unlink("charts/x.svg"), 0);
    }
    leave(dir);
}

/* The text itself is in the picture, mark by mark. */
static void text_stays_as_it_is(void **state)
{
    (void)state;
    char dir[32], *svg = NULL;
    size_t len;
    if (!have_gnuplot())
        leave_out("there is no gnuplot");
    enter(dir);
    assert_int_equal(draw("a_b^c{d}@e&f~g\\h i\"j`k%l", "charts", "x"), SAE_OK);
    assert_int_equal(sae_fs_read(&svg, &len, "charts/x.svg", 1 << 22, &g_err), SAE_OK);
    size_t n = 0;
    for (const char *p = svg; (p = strstr(p, "a_b^c{d}@e&amp;f~g\\h i\"j`k%l")) != NULL; p++)
        n++;
    assert_true(n >= 5); /* title, subtitle, two axes, mark; the key */
    free(svg);
    leave(dir);
}

/* Neither the folder nor the name is read as a command, or as an option. */
static void hostile_names_are_only_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "|touch RAN;", "<touch RAN", "-",   "-e", "~", "`touch RAN`", "'.system('touch RAN').'",
        "a'b\"c",      "a\nb",       "\xff"};
    char dir[32], path[128];
    if (!have_gnuplot())
        leave_out("there is no gnuplot");
    enter(dir);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(draw("x", names[i], names[i]), SAE_OK);
        snprintf(path, sizeof path, "./%s/%s.svg", names[i], names[i]);
        assert_is_xml(path);
        assert_int_equal(unlink(path), 0);
        /* the script by itself, too */
        snprintf(path, sizeof path, "./%s/%s.gp", names[i], names[i]);
        assert_int_equal(rename(path, "by_hand.gp"), 0);
        assert_int_equal(system("gnuplot -c by_hand.gp 2>err.txt"), 0);
        assert_int_not_equal(access("RAN", F_OK), 0);
    }
    leave(dir);
}

/* The user's own settings of gnuplot change nothing. */
static void gnuplot_is_run_alone(void **state)
{
    (void)state;
    char dir[32];
    if (!have_gnuplot())
        leave_out("there is no gnuplot");
    enter(dir);
    assert_int_equal(sae_fs_write(".gnuplot", "system('touch RAN')\n", 20, &g_err), SAE_OK);
    assert_int_equal(setenv("HOME", dir, 1), 0);
    assert_int_equal(setenv("GNUPLOT_DRIVER_DIR", "/nowhere", 1), 0);
    assert_int_equal(setenv("LC_ALL", "C", 1), 0);
    assert_int_equal(draw("x", "charts", "x"), SAE_OK);
    assert_is_xml("charts/x.svg");
    assert_int_not_equal(access("RAN", F_OK), 0);
    leave(dir);
}

/* The same with these formats. */
static enum sae_status draw_as(struct sae_chart_options *how, const char *name)
{
    const struct sae_chart_head head = {"t", "s", "x", "y", 0, 0};
    struct sae_str gp = {0};
    assert_int_equal(sae_chart_begin(&gp, how, &head, &g_err), SAE_OK);
    assert_int_equal(sae_str_printf(&gp, &g_err, "plot x with lines ls 1 title 'x'\n"), SAE_OK);
    return sae_chart_end(&gp, how, "charts", name, &g_err);
}

static bool begins(const char *path, const char *with)
{
    char *text = NULL;
    size_t len = 0;
    if (sae_fs_read(&text, &len, path, 1 << 22, &g_err) != SAE_OK)
        return false;
    const bool yes = len > strlen(with) && memcmp(text, with, strlen(with)) == 0;
    free(text);
    return yes;
}

/* Each format by the option, and by the ending of the file that the script is given. */
static void formats_are_those_asked_for(void **state)
{
    (void)state;
    char dir[32];
    char *names[] = {(char *)"svg", (char *)"pdf", (char *)"png"};
    struct sae_chart_options how = {
        .formats = {3, names}
    };
    if (!have_gnuplot())
        leave_out("there is no gnuplot");
    enter(dir);
    assert_int_equal(sae_chart_check(&how, &g_err), SAE_OK);
    assert_int_equal(draw_as(&how, "x"), SAE_OK);
    assert_true(begins("charts/x.svg", "<?xml"));
    assert_true(begins("charts/x.pdf", "%PDF-"));
    assert_true(begins("charts/x.png", "\x89PNG"));
    how.width = SAE_CHART_COLUMN;
    how.formats.n = 1;
    assert_int_equal(draw_as(&how, "y"), SAE_OK);
    assert_true(begins("charts/y.svg", "<?xml"));
    assert_int_not_equal(access("charts/y.pdf", F_OK), 0);
    assert_int_equal(system("gnuplot -c charts/y.gp other.pdf && gnuplot -c charts/y.gp && "
                            "gnuplot charts/y.gp"),
                     0);
    assert_true(begins("other.pdf", "%PDF-"));
    assert_true(begins("y.svg", "<?xml"));
    names[0] = (char *)"jpeg";
    assert_int_equal(sae_chart_check(&how, &g_err), SAE_EARG);
    assert_non_null(strstr(g_err.msg, "jpeg"));
    leave(dir);
}

/* A gnuplot that writes half a picture, as on a full disk, and one that fails: what was there
 * stays. */
static void half_a_picture_is_not_published(void **state)
{
    (void)state;
    static const char *const broken[] = {"#!/bin/sh\necho '<?xml ?><svg><g>'\n",
                                         "#!/bin/sh\nexit 0\n",
                                         "#!/bin/sh\necho '</svg>'; echo no such >&2; exit 3\n"};
    char dir[32], path[64], *before = strdup(getenv("PATH")), *svg = (char *)"svg";
    struct sae_chart_options how = {
        .formats = {1, &svg}
    };
    enter(dir);
    assert_int_equal(sae_fs_make_dirs("charts", &g_err), SAE_OK);
    assert_int_equal(sae_fs_write("charts/x.svg", "old", 3, &g_err), SAE_OK);
    snprintf(path, sizeof path, "%s:/usr/bin:/bin", dir);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sae_fs_write("gnuplot", broken[i], strlen(broken[i]), &g_err), SAE_OK);
        assert_int_equal(chmod("gnuplot", 0755), 0);
        assert_int_equal(setenv("PATH", path, 1), 0);
        assert_int_equal(draw_as(&how, "x"), SAE_EIO);
        assert_int_equal(setenv("PATH", before, 1), 0);
        assert_true(begins("charts/x.svg", "ol"));
        assert_int_equal(system("test $(ls charts | wc -l) = 2"), 0); /* x.gp, x.svg */
    }
    assert_non_null(strstr(g_err.msg, "no such"));
    free(before);
    leave(dir);
}

/* Without gnuplot the script is left, and the warning comes once. */
static void no_gnuplot_is_no_failure(void **state)
{
    (void)state;
    char dir[32], *before = strdup(getenv("PATH")), *svg = (char *)"svg";
    struct sae_chart_options how = {
        .formats = {1, &svg}
    };
    enter(dir);
    assert_int_equal(setenv("PATH", "/nowhere", 1), 0);
    assert_int_equal(draw_as(&how, "x"), SAE_OK);
    assert_true(how.warned);
    assert_int_equal(draw_as(&how, "y"), SAE_OK);
    assert_int_equal(setenv("PATH", before, 1), 0);
    assert_int_equal(access("charts/y.gp", F_OK), 0);
    assert_int_not_equal(access("charts/y.svg", F_OK), 0);
    free(before);
    leave(dir);
}

static void long_titles_are_broken_at_spaces(void **state)
{
    (void)state;
    struct sae_str gp = {0};
    assert_int_equal(sae_chart_lines("", 10), 0);
    assert_int_equal(sae_chart_lines("one two three", 20), 1);
    assert_int_equal(sae_chart_lines("one two three", 8), 2);
    assert_int_equal(sae_chart_lines("one-two-three", 8), 1);
    assert_int_equal(sae_chart_title(&gp, "set title", "one two three", "below", 8, &g_err),
                     SAE_OK);
    assert_string_equal(gp.s, "set title '{/:Bold one two}'.\"\\n\".'{/:Bold three}'.\"\\n\"."
                              "'{/*0.85 below}'\n");
    sae_str_clear(&gp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shown_text_is_harmless_and_readable),
        cmocka_unit_test(printed_lines_keep_their_newlines_only),
        cmocka_unit_test(chart_text_is_one_constant),
        cmocka_unit_test(hostile_text_draws_and_runs_nothing),
        cmocka_unit_test(text_stays_as_it_is),
        cmocka_unit_test(hostile_names_are_only_names),
        cmocka_unit_test(formats_are_those_asked_for),
        cmocka_unit_test(half_a_picture_is_not_published),
        cmocka_unit_test(no_gnuplot_is_no_failure),
        cmocka_unit_test(long_titles_are_broken_at_spaces),
        cmocka_unit_test(gnuplot_is_run_alone), /* the last: it changes the environment */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
