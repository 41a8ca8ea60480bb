/* SPDX-License-Identifier: MIT */
/* chart : one look for every chart, drawn by gnuplot. */
#include "lib/cli/chart.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

extern char **environ;

/* Okabe and Ito's palette, told apart in all common colour-vision deficiencies; dash types differ
 * too, so that a grey print still tells the lines apart. */
static const char style[] =
    "set terminal svg size 860,520 dynamic enhanced font 'Helvetica,14' background '#ffffff'\n"
    "set encoding utf8\n"
    "set border 3 lc rgb '#444444'\n"
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

enum sae_status sae_chart_quote(char **ret, const char *text, struct sae_err *err)
{
    struct sae_str s = {0};
    enum sae_status st = sae_str_append(&s, "", 0, err);
    for (const char *p = text; st == SAE_OK && *p != '\0'; p++) {
        if (strchr("_^{}@&", *p) != NULL)
            st = sae_str_append(&s, "\\\\", 2, err); /* \\_ inside double quotes */
        else if (*p == '"' || *p == '\\')
            st = sae_str_append(&s, "\\", 1, err);
        if (st == SAE_OK)
            st = sae_str_append(&s, *p == '\n' ? " " : p, 1, err);
    }
    if (st != SAE_OK)
        sae_str_clear(&s);
    else
        *ret = s.s;
    return st;
}

static enum sae_status set_text(struct sae_str *gp, const char *command, const char *text,
                                const char *after, struct sae_err *err)
{
    char *quoted = NULL;
    SAE_TRY(sae_chart_quote(&quoted, text, err));
    const enum sae_status st = sae_str_printf(gp, err, "%s \"%s\"%s\n", command, quoted, after);
    free(quoted);
    return st;
}

enum sae_status sae_chart_begin(struct sae_str *gp, const char *title, const char *subtitle,
                                const char *xlabel, const char *ylabel, struct sae_err *err)
{
    SAE_TRY(sae_str_append(gp, style, sizeof style - 1, err));
    char *head = NULL, *below = NULL;
    enum sae_status st;
    SAE_GO(st, sae_chart_quote(&head, title, err));
    SAE_GO(st, sae_chart_quote(&below, subtitle == NULL ? "" : subtitle, err));
    SAE_GO(st, sae_str_printf(gp, err, "set title \"{/:Bold %s}%s%s%s\"\n", head,
                              subtitle == NULL ? "" : "\\n{/*0.85 ", below,
                              subtitle == NULL ? "" : "}"));
    SAE_GO(st, set_text(gp, "set xlabel", xlabel, "", err));
    SAE_GO(st, set_text(gp, "set ylabel", ylabel, "", err));
done:
    free(head);
    free(below);
    return st;
}

/* Runs gnuplot on a script file. Returns its exit status, or -1 where it cannot be started. */
static int run_gnuplot(const char *script, const char *output)
{
    char *const argv[] = {(char *)"gnuplot", (char *)"-c", (char *)script, (char *)output, NULL};
    pid_t child;
    if (posix_spawnp(&child, "gnuplot", NULL, NULL, argv, environ) != 0)
        return -1;
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    if (!WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status) == 127 ? -1 : WEXITSTATUS(status);
}

static enum sae_status draw(const char *gp_path, const char *svg, const char *part,
                            struct sae_err *err)
{
    const int code = run_gnuplot(gp_path, part);
    if (code < 0) {
        unlink(part);
        sae_log_warn("'%s' not drawn: gnuplot is not there; install gnuplot-nox and run "
                     "'gnuplot -c %s %s'", svg, gp_path, svg);
        return SAE_OK;
    }
    if (code != 0 || !sae_fs_is_file(part)) {
        unlink(part);
        return sae_err_set(err, SAE_EIO, "gnuplot failed on '%s' with status %d", gp_path, code);
    }
    return sae_fs_publish(part, svg, err);
}

enum sae_status sae_chart_end(struct sae_str *gp, const char *dir, const char *name,
                              struct sae_err *err)
{
    struct sae_str gp_path = {0}, svg = {0}, part = {0}, whole = {0};
    enum sae_status st;
    SAE_GO(st, sae_fs_make_dirs(dir, err));
    SAE_GO(st, sae_str_printf(&gp_path, err, "%s/%s.gp", dir, name));
    SAE_GO(st, sae_str_printf(&svg, err, "%s/%s.svg", dir, name));
    SAE_GO(st, sae_str_printf(&part, err, "%s.part", svg.s));
    /* gnuplot writes beside the final name; the rename makes the chart whole or absent. */
    SAE_GO(st, sae_str_printf(&whole, err,
                              "if (!exists('ARG1')) ARG1 = '%s.svg'\nset output ARG1\n%s\n"
                              "set output\n", name, gp->s));
    SAE_GO(st, sae_fs_write(gp_path.s, whole.s, whole.len, err));
    SAE_GO(st, draw(gp_path.s, svg.s, part.s, err));
done:
    sae_str_clear(&gp_path);
    sae_str_clear(&svg);
    sae_str_clear(&part);
    sae_str_clear(&whole);
    sae_str_clear(gp);
    return st;
}
