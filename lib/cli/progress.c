/* SPDX-License-Identifier: MIT */
/* progress : see the header. */
#include "lib/cli/progress.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/stop.h"

static const double TERMINAL_SECONDS = 0.1; /* between redraws */
static const double LOG_SECONDS = 15;       /* between lines elsewhere */
static const double WORTH_SECONDS = 3;      /* a shorter pass ends without a line of its own */

static void clear_line(void)
{
    fputs("\r\033[K", stderr);
}

void sae_progress_duration(char *to, size_t n, double seconds)
{
    const long s = (long)(seconds + 0.5);
    if (s < 60)
        snprintf(to, n, "%ld s", s);
    else if (s < 3600)
        snprintf(to, n, "%ld min %02ld s", s / 60, s % 60);
    else
        snprintf(to, n, "%ld h %02ld min", s / 3600, s / 60 % 60);
}

/* Of the terminal: a line that wraps could not be drawn over. */
static size_t columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

static double rate_of(const struct sae_progress *bar, double now)
{
    const double seconds = now - bar->began;
    return seconds > 0 ? (double)(bar->done - bar->first) / seconds : 0;
}

/* Three digits, never an exponent for a large one. */
static const char *rate_text(char to[32], double rate)
{
    snprintf(to, 32, rate < 100 ? "%.3g" : "%.0f", rate);
    return to;
}

static void time_left(char *to, size_t n, const struct sae_progress *bar, double rate)
{
    if (rate > 0 && bar->total >= bar->done)
        sae_progress_duration(to, n, (double)(bar->total - bar->done) / rate);
    else
        snprintf(to, n, "?");
}

/* One line of at most `columns` characters. Where they are few, the bar goes first, then the note,
 * then the name: rate and time left are what people look for. */
void sae_progress_line(char *to, size_t size, const struct sae_progress *bar, double now,
                       const char *note, size_t columns)
{
    enum { WIDTH = 20 };
    const double rate = rate_of(bar, now);
    const double share = bar->total == 0 ? 0 : (double)bar->done / (double)bar->total;
    const int full = share > 1 ? WIDTH : (int)(share * WIDTH);
    char left[32], digits[32], figures[128], graph[64];
    time_left(left, sizeof left, bar, rate);
    const int n = snprintf(figures, sizeof figures, "%3.0f%%  %s %s/s  %s left", 100 * share,
                           rate_text(digits, rate), bar->unit, left);
    snprintf(graph, sizeof graph, "[%.*s%*s] ", full, "####################", WIDTH - full, "");
    const char *const what = bar->what;
    size_t width = columns > (size_t)n ? columns - (size_t)n : 0;
    const bool with_what = strlen(what) + 1 <= width;
    width -= with_what ? strlen(what) + 1 : 0;
    const bool with_note = note != NULL && strlen(note) + 2 <= width;
    width -= with_note ? strlen(note) + 2 : 0;
    snprintf(to, size, "%s%s%s%s%s%s", with_what ? what : "", with_what ? " " : "",
             strlen(graph) <= width ? graph : "", figures, with_note ? "  " : "",
             with_note ? note : "");
    if (columns < size)
        to[columns] = '\0';
}

static void show(struct sae_progress *bar, double now, const char *note)
{
    if (bar->terminal) {
        char line[400];
        sae_progress_line(line, sizeof line, bar, now, note, columns() - 1);
        fprintf(stderr, "\r\033[K%s", line);
        fflush(stderr);
    } else {
        const double rate = rate_of(bar, now);
        char left[32], digits[32];
        time_left(left, sizeof left, bar, rate);
        sae_log_info("%s: %3.0f%%  %llu of %llu %s  %s/s  %s left%s%s", bar->what,
                     bar->total == 0 ? 0 : 100 * (double)bar->done / (double)bar->total,
                     (unsigned long long)bar->done, (unsigned long long)bar->total, bar->unit,
                     rate_text(digits, rate), left, note == NULL ? "" : "  ", note == NULL ? "" : note);
    }
    bar->shown = now;
}

void sae_progress_begin(struct sae_progress *bar, const char *what, const char *unit,
                        uint64_t first, uint64_t total)
{
    const double now = sae_stop_clock();
    *bar = (struct sae_progress){.what = what, .unit = unit, .done = first, .total = total,
                                 .first = first, .began = now, .shown = now};
    bar->terminal = isatty(STDERR_FILENO);
    bar->quiet = sae_log_level_now() < SAE_LOG_INFO;
    if (bar->terminal && !bar->quiet)
        sae_log_before(clear_line);
}

void sae_progress_step(struct sae_progress *bar, uint64_t done, const char *note)
{
    bar->done = done;
    const double now = sae_stop_clock();
    if (!bar->quiet && now - bar->shown >= (bar->terminal ? TERMINAL_SECONDS : LOG_SECONDS))
        show(bar, now, note);
}

void sae_progress_end(struct sae_progress *bar)
{
    if (bar->quiet)
        return;
    const double now = sae_stop_clock();
    char took[32], digits[32];
    sae_progress_duration(took, sizeof took, now - bar->began);
    if (now - bar->began < WORTH_SECONDS) {
        if (bar->terminal)
            clear_line();
        sae_log_before(NULL);
        return;
    }
    sae_log_info("%s: %llu %s in %s (%s %s/s)", bar->what,
                 (unsigned long long)(bar->done - bar->first), bar->unit, took,
                 rate_text(digits, rate_of(bar, now)),
                 bar->unit);
    sae_log_before(NULL);
}
