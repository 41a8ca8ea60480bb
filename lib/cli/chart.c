/* SPDX-License-Identifier: MIT */
/* chart : one look for every chart, drawn by gnuplot.
 *
 * Contents:  1. text   2. style   3. gnuplot   4. files */
#include "lib/cli/chart.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/part.h"
#include "lib/base/utf8.h"

/* --- 1. text ------------------------------------------------------------------------------- */

enum kind {
    TEXT,  /* enhanced text */
    TIC,   /* enhanced text, and a format */
    PLAIN, /* a file name */
};

/* Within single quotes gnuplot expands nothing. It has no safe way to write the quote itself: it
 * misreads '' at the start of a constant and twice in a row, so U+2019 stands for it. What is left
 * are the marks of enhanced text, which a backslash makes plain. */
static enum sae_status put_text(struct sae_str *to, const char *text, enum kind kind,
                                struct sae_err *err)
{
    struct sae_str shown = {0};
    enum sae_status st;
    SAE_GO(st, sae_utf8_shown(&shown, text, strlen(text), err));
    for (const char *p = shown.s; *p != '\0'; p++) {
        if (*p == '\'') {
            SAE_GO(st, sae_str_append(to, "\xe2\x80\x99", 3, err));
            continue;
        }
        if (*p == '>' && p >= shown.s + 2 && p[-1] == ']' && p[-2] == ']')
            SAE_GO(st, sae_str_append(to, " ", 1, err)); /* gnuplot's SVG would have "]]>" */
        if (kind != PLAIN && strchr("\\^_{}@&~", *p) != NULL)
            SAE_GO(st, sae_str_append(to, "\\", 1, err));
        else if (*p == '%' && kind == TIC)
            SAE_GO(st, sae_str_append(to, p, 1, err));
        SAE_GO(st, sae_str_append(to, p, 1, err));
    }
done:
    sae_str_clear(&shown);
    return st;
}

static enum sae_status constant(char **ret, const char *text, enum kind kind, struct sae_err *err)
{
    struct sae_str s = {0};
    enum sae_status st;
    SAE_GO(st, sae_str_append(&s, "'", 1, err));
    SAE_GO(st, put_text(&s, text, kind, err));
    SAE_GO(st, sae_str_append(&s, "'", 1, err));
    *ret = s.s;
    return SAE_OK;
done:
    sae_str_clear(&s);
    return st;
}

enum sae_status sae_chart_text(char **ret, const char *text, struct sae_err *err)
{
    return constant(ret, text, TEXT, err);
}

enum sae_status sae_chart_tic(char **ret, const char *text, struct sae_err *err)
{
    return constant(ret, text, TIC, err);
}

/* Length of the next line of a text that is broken at spaces into lines of about `columns`. */
static size_t line_length(const char *text, size_t columns)
{
    size_t seen = 0, end = 0; /* characters; the last place to break at */
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] == ' ')
            end = i;
        seen += ((unsigned char)text[i] & 0xc0) != 0x80;
        if (seen > columns && end > 0)
            return end;
    }
    return strlen(text);
}

size_t sae_chart_lines(const char *text, size_t columns)
{
    size_t n = 0;
    for (size_t len; *text != '\0'; text += len + (text[len] == ' ')) {
        len = line_length(text, columns);
        n++;
    }
    return n;
}

static enum sae_status put_lines(struct sae_str *gp, const char *mark, const char *text,
                                 size_t columns, bool fresh, struct sae_err *err)
{
    for (size_t len; *text != '\0'; text += len + (text[len] == ' ')) {
        struct sae_str line = {0};
        len = line_length(text, columns);
        enum sae_status st = sae_str_append(&line, text, len, err);
        if (st == SAE_OK)
            st = sae_str_printf(gp, err, "%s'{%s ", fresh ? " " : ".\"\\n\".", mark);
        if (st == SAE_OK)
            st = put_text(gp, line.s, TEXT, err);
        sae_str_clear(&line);
        SAE_TRY(st);
        SAE_TRY(sae_str_append(gp, "}'", 2, err));
        fresh = false;
    }
    return SAE_OK;
}

enum sae_status sae_chart_title(struct sae_str *gp, const char *command, const char *title,
                                const char *subtitle, size_t columns, struct sae_err *err)
{
    SAE_TRY(sae_str_printf(gp, err, "%s", command));
    SAE_TRY(put_lines(gp, "/:Bold", title, columns, true, err));
    if (subtitle != NULL)
        SAE_TRY(put_lines(gp, "/*0.85", subtitle, columns * 6 / 5, *title == '\0', err));
    if (*title == '\0' && (subtitle == NULL || *subtitle == '\0'))
        SAE_TRY(sae_str_printf(gp, err, " ''"));
    return sae_str_printf(gp, err, "\n");
}

static enum sae_status set_text(struct sae_str *gp, const char *command, const char *text,
                                struct sae_err *err)
{
    SAE_TRY(sae_str_printf(gp, err, "%s '", command));
    SAE_TRY(put_text(gp, text, TEXT, err));
    return sae_str_printf(gp, err, "'\n");
}

/* --- 2. style ------------------------------------------------------------------------------ */

/* Okabe and Ito's palette, told apart in all common colour-vision deficiencies; dash types differ
 * too, so that a grey print still tells the lines apart. */
static const char style[] = "set border 3 lc rgb '#444444'\n"
                            "set tics nomirror tc rgb '#222222'\n"
                            "set grid lc rgb '#dddddd' lw 1 lt 1\n"
                            "set key top right noautotitle samplen 2.5 spacing 1.15 opaque\n"
                            "set style line 1 lc rgb '#0072b2' lw 2.2 dt 1 pt 7 ps 0.8\n"
                            "set style line 2 lc rgb '#d55e00' lw 2.2 dt 2 pt 5 ps 0.8\n"
                            "set style line 3 lc rgb '#009e73' lw 2.2 dt 4 pt 9 ps 0.9\n"
                            "set style line 4 lc rgb '#cc79a7' lw 2.2 dt 5 pt 13 ps 0.9\n"
                            "set style line 5 lc rgb '#e69f00' lw 2.2 dt 3 pt 11 ps 0.9\n"
                            "set style line 6 lc rgb '#56b4e9' lw 2.2 dt 1 pt 6 ps 0.8\n"
                            "set style line 7 lc rgb '#000000' lw 1.8 dt 2 pt 4 ps 0.8\n"
                            "set style line 8 lc rgb '#888888' lw 1.8 dt 3 pt 8 ps 0.8\n";

/* A terminal by the ending of the file's name, or by ARG2 where the picture goes to stdout. Sizes
 * are pixels of SVG; PDF has 132 of them an inch, PNG doubles them. */
static const char terminal[] =
    "set encoding utf8\n"
    "kind = ARG1 eq '-' ? ARG2 : ARG1[strlen(ARG1)-3:strlen(ARG1)]\n"
    "if (kind eq '.pdf') {\n"
    "  set terminal pdfcairo enhanced size width/132.0,height/132.0 "
    "font sprintf('Helvetica,%g',letters*72/132.0) fontscale 0.7 linewidth 1.3 dashlength 0.6 "
    "pointscale 0.7 "
    "background '#ffffff'\n"
    "} else { if (kind eq '.png') {\n"
    "  set terminal pngcairo enhanced size 2*width,2*height "
    "font sprintf('Helvetica,%g',letters*0.75) fontscale 2 linewidth 2 pointscale 3 "
    "background '#ffffff'\n"
    "} else {\n"
    "  set terminal svg enhanced size width,height dynamic "
    "font sprintf('Helvetica,%g',letters) background '#ffffff'\n"
    "} }\n";

const char *const sae_chart_widths[] = {"page", "column", NULL};

size_t sae_chart_pixels(const struct sae_chart_options *how)
{
    return how->width == SAE_CHART_COLUMN ? 436 : 860;
}

size_t sae_chart_columns(const struct sae_chart_options *how, size_t width)
{
    const double letter = how->width == SAE_CHART_COLUMN ? 7.3 : 7.9;
    return (size_t)((double)(width > 0 ? width : sae_chart_pixels(how)) / letter);
}

enum sae_status sae_chart_begin(struct sae_str *gp, const struct sae_chart_options *how,
                                const struct sae_chart_head *head, struct sae_err *err)
{
    const bool column = how->width == SAE_CHART_COLUMN;
    SAE_TRY(sae_str_printf(gp, err, "width = %zu; height = %zu; letters = %d\n",
                           head->width > 0 ? head->width : sae_chart_pixels(how),
                           head->height > 0 ? head->height
                           : column         ? (size_t)380
                                            : (size_t)520,
                           column ? 13 : 14));
    SAE_TRY(sae_str_append(gp, terminal, sizeof terminal - 1, err));
    SAE_TRY(sae_str_append(gp, style, sizeof style - 1, err));
    if (head->title != NULL)
        SAE_TRY(sae_chart_title(gp, "set title", head->title, head->subtitle,
                                sae_chart_columns(how, head->width), err));
    if (head->xlabel != NULL)
        SAE_TRY(set_text(gp, "set xlabel", head->xlabel, err));
    if (head->ylabel != NULL)
        SAE_TRY(set_text(gp, "set ylabel", head->ylabel, err));
    return SAE_OK;
}

/* --- 3. gnuplot ---------------------------------------------------------------------------- */

/* Environment of gnuplot: nothing that changes its settings, and a UTF-8 locale, without which it
 * cannot convert its own signs. */
static void fill_environment(char *env[], size_t cap)
{
    static const char *const kept[] = {"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME",
                                       "LD_LIBRARY_PATH"};
    static char locale[] = "LC_ALL=C.UTF-8";
    size_t n = 0;
    env[n++] = locale;
    for (char **e = environ; *e != NULL; e++)
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
            const size_t len = strlen(kept[i]);
            if (strncmp(*e, kept[i], len) == 0 && (*e)[len] == '=' && n + 1 < cap)
                env[n++] = *e;
        }
    env[n] = NULL;
}

/* The picture goes to stdout and never by name, so that no name is taken for a command; complaints
 * go to `said`; no other file stays open in gnuplot. */
static int set_up(posix_spawn_file_actions_t *files, posix_spawnattr_t *how, int picture, int said)
{
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    int bad = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
    bad |= posix_spawn_file_actions_adddup2(files, picture, 1);
    bad |= posix_spawn_file_actions_adddup2(files, said, 2);
#if defined __GLIBC__ && __GLIBC_PREREQ(2, 34)
    bad |= posix_spawn_file_actions_addclosefrom_np(files, 3);
#endif
    bad |= posix_spawnattr_setsigdefault(how, &all);
    bad |= posix_spawnattr_setsigmask(how, &none);
    bad |= posix_spawnattr_setflags(how, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    return bad;
}

static pid_t start(const char *script, const char *ending, int picture, int said)
{
    char *env[16];
    char *const argv[] = {(char *)"gnuplot", (char *)"-d",   (char *)"-c", (char *)script,
                          (char *)"-",       (char *)ending, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    pid_t child = -1;
    fill_environment(env, sizeof env / sizeof *env);
    if (posix_spawn_file_actions_init(&files) != 0)
        return -1;
    if (posix_spawnattr_init(&how) == 0) {
        if (set_up(&files, &how, picture, said) != 0 ||
            posix_spawnp(&child, "gnuplot", &files, &how, argv, env) != 0)
            child = -1;
        posix_spawnattr_destroy(&how);
    }
    posix_spawn_file_actions_destroy(&files);
    return child;
}

/* Runs gnuplot on a script, its picture to an open file. Returns its exit status, or -1 where it
 * cannot be started. said: what it printed on stderr. */
static int run_gnuplot(const char *script, const char *ending, int picture, struct sae_str *said)
{
    int ends[2], status;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    const pid_t child = start(script, ending, picture, ends[1]);
    close(ends[1]);
    char buf[512];
    for (ssize_t n; child > 0 && (n = read(ends[0], buf, sizeof buf)) != 0;)
        if (n > 0 && said->len < 4096 && sae_str_append(said, buf, (size_t)n, NULL) != SAE_OK)
            said->len = 0;
        else if (n < 0 && errno != EINTR)
            break;
    close(ends[0]);
    if (child < 0)
        return -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    if (!WIFEXITED(status))
        return 128;
    return WEXITSTATUS(status) == 127 ? -1 : WEXITSTATUS(status);
}

/* --- 4. files ------------------------------------------------------------------------------ */

/* The formats, and the bytes that a whole file of each ends with. */
static const struct format {
    const char *name, *ending, *last;
    size_t n_last;
} formats[] = {
    {"svg", ".svg", "</svg>",               6},
    {"pdf", ".pdf", "%%EOF",                5},
    {"png", ".png", "IEND\xae\x42\x60\x82", 8},
};

static const struct format *format_of(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

enum sae_status sae_chart_check(const struct sae_chart_options *how, struct sae_err *err)
{
    for (size_t i = 0; i < how->formats.n; i++)
        if (format_of(how->formats.v[i]) == NULL)
            return sae_err_set(err, SAE_EARG,
                               "--format %s: expected svg, pdf or png, or several "
                               "of them as svg,pdf",
                               how->formats.v[i]);
    return SAE_OK;
}

/* gnuplot does not notice a full disk: a picture is whole where its last bytes say so. */
static bool is_whole(int picture, const struct format *format)
{
    char tail[64];
    const off_t size = lseek(picture, 0, SEEK_END);
    const size_t want = size < (off_t)sizeof tail ? (size_t)size : sizeof tail;
    if (size <= 0 || pread(picture, tail, want, size - (off_t)want) != (ssize_t)want)
        return false;
    return memmem(tail, want, format->last, format->n_last) != NULL;
}

static const char *last_line(struct sae_str *said)
{
    while (said->len > 0 && strchr(" \n\r\t", said->s[said->len - 1]) != NULL)
        said->s[--said->len] = '\0';
    if (said->len == 0)
        return "";
    const char *const line = strrchr(said->s, '\n');
    return line != NULL ? line + 1 : said->s;
}

/* *ret_drawn false and SAE_OK: gnuplot is not there. */
static enum sae_status draw_open(const char *script, const char *path, const struct format *format,
                                 int picture, bool *ret_drawn, struct sae_err *err)
{
    struct sae_str said = {0};
    enum sae_status st = SAE_OK;
    const int code = run_gnuplot(script, format->ending, picture, &said);
    *ret_drawn = code == 0;
    if (code > 0)
        st = sae_err_set(err, SAE_EIO, "gnuplot failed on '%s' with status %d: %s", script, code,
                         last_line(&said));
    else if (code == 0 && !is_whole(picture, format))
        st = sae_err_set(err, SAE_EIO, "gnuplot did not write all of '%s': is the disk full? %s",
                         path, last_line(&said));
    sae_str_clear(&said);
    return st;
}

static enum sae_status draw(const char *script, const char *path, const struct format *format,
                            bool *ret_drawn, struct sae_err *err)
{
    FILE *file = NULL;
    char *part = NULL;
    SAE_TRY(sae_part_open(&file, &part, path, err));
    enum sae_status st = draw_open(script, path, format, fileno(file), ret_drawn, err);
    fclose(file); /* gnuplot wrote, and is_whole has looked */
    if (st == SAE_OK && *ret_drawn)
        st = sae_part_publish(part, path, true, err);
    else
        unlink(part);
    free(part);
    return st;
}

static enum sae_status draw_formats(struct sae_chart_options *how, const char *script,
                                    const char *dir, const char *name, struct sae_err *err)
{
    for (size_t i = 0; i < how->formats.n; i++) {
        const struct format *const format = format_of(how->formats.v[i]);
        struct sae_str path = {0};
        bool drawn = false;
        enum sae_status st = sae_str_printf(&path, err, "%s/%s%s", dir, name, format->ending);
        if (st == SAE_OK)
            st = draw(script, path.s, format, &drawn, err);
        if (st == SAE_OK && !drawn && !how->warned) {
            sae_log_warn("'%s' not drawn: gnuplot is not there; install gnuplot-nox and give it "
                         "the script: gnuplot -c '%s'",
                         path.s, script);
            how->warned = true;
        }
        sae_str_clear(&path);
        SAE_TRY(st);
    }
    return SAE_OK;
}

/* gnuplot -c name.gp writes name.svg, gnuplot -c name.gp FILE another file; '-' is stdout. */
static enum sae_status write_script(const char *path, const char *name, const struct sae_str *gp,
                                    struct sae_err *err)
{
    struct sae_str whole = {0};
    char *file = NULL;
    enum sae_status st;
    SAE_GO(st, constant(&file, name, PLAIN, err));
    SAE_GO(st, sae_str_printf(&whole, err,
                              "if (!exists('ARG1')) ARG1 = ''; ARG2 = ''\n"
                              "if (ARG1 eq '') ARG1 = './'.%s.'.svg'\n"
                              "if (ARG1 ne '-') set output ARG1\n"
                              "%s\nset output\n",
                              file, gp->s));
    st = sae_fs_write(path, whole.s, whole.len, err);
done:
    free(file);
    sae_str_clear(&whole);
    return st;
}

enum sae_status sae_chart_end(struct sae_str *gp, struct sae_chart_options *how, const char *dir,
                              const char *name, struct sae_err *err)
{
    struct sae_str script = {0};
    const char *const here = dir[0] == '/' ? "" : "./"; /* '<x' and '-' would be read as commands */
    enum sae_status st;
    SAE_GO(st, sae_fs_make_dirs(dir, err));
    SAE_GO(st, sae_str_printf(&script, err, "%s%s/%s.gp", here, dir, name));
    SAE_GO(st, write_script(script.s, name, gp, err));
    SAE_GO(st, draw_formats(how, script.s, dir, name, err));
done:
    sae_str_clear(&script);
    sae_str_clear(gp);
    return st;
}
