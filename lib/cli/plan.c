/* SPDX-License-Identifier: MIT */
/* plan : see the header.
 * Contents: 1. lists   2. sums   3. for people   4. for programs   5. warnings */
#include "lib/cli/plan.h"

#include <math.h>
#include <omp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/host.h"
#include "lib/base/log.h"
#include "lib/base/stop.h"
#include "lib/base/utf8.h"
#include "lib/cli/progress.h"
#include "lib/cli/table.h"
#include "lib/file/json.h"

/* --- 1. lists ----------------------------------------------------------------------------- */

void sae_plan_init(struct sae_plan *plan, bool is_asked, const char *folder)
{
    *plan = (struct sae_plan){.is_asked = is_asked, .began = sae_stop_clock(), .folder = folder};
}

void sae_plan_hold(struct sae_plan *plan)
{
    sae_host_memory_trim();
    plan->held = sae_host_memory_held();
}

static void add_bytes(struct sae_plan_bytes *list, size_t *n, double bytes, const char *fmt,
                      va_list args)
{
    if (!(bytes > 0))
        return;
    if (*n == SAE_PLAN_LINES) {
        snprintf(list[*n - 1].name, SAE_PLAN_NAME, "others");
        list[*n - 1].bytes += bytes;
        return;
    }
    vsnprintf(list[*n].name, SAE_PLAN_NAME, fmt, args);
    list[(*n)++].bytes = bytes;
}

void sae_plan_memory(struct sae_plan *plan, double bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_bytes(plan->memory, &plan->n_memory, bytes, fmt, args);
    va_end(args);
}

void sae_plan_disk(struct sae_plan *plan, double bytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    add_bytes(plan->disk, &plan->n_disk, bytes, fmt, args);
    va_end(args);
}

void sae_plan_stage(struct sae_plan *plan, const struct sae_plan_stage *stage, const char *fmt, ...)
{
    if (plan->n_stages == SAE_PLAN_LINES) {
        struct sae_plan_stage *const last = &plan->stages[SAE_PLAN_LINES - 1];
        snprintf(last->name, sizeof last->name, "others");
        last->seconds += stage->seconds;
        last->flops += stage->flops;
        last->bytes = fmax(last->bytes, stage->bytes);
        return;
    }
    struct sae_plan_stage *const to = &plan->stages[plan->n_stages++];
    va_list args;
    *to = *stage;
    va_start(args, fmt);
    vsnprintf(to->name, sizeof to->name, fmt, args);
    va_end(args);
}

void sae_plan_repeat(struct sae_plan *plan, double times)
{
    for (size_t i = 0; i < plan->n_stages; i++) {
        plan->stages[i].n *= times;
        plan->stages[i].seconds *= times;
        plan->stages[i].flops *= times;
    }
    for (size_t i = 0; i < plan->n_disk; i++)
        plan->disk[i].bytes *= times;
}

/* --- 2. sums ------------------------------------------------------------------------------ */

static double stage_bytes(const struct sae_plan *plan)
{
    double most = 0;
    for (size_t i = 0; i < plan->n_stages; i++)
        most = fmax(most, plan->stages[i].bytes);
    return most;
}

double sae_plan_peak(const struct sae_plan *plan)
{
    double sum = plan->held + stage_bytes(plan);
    for (size_t i = 0; i < plan->n_memory; i++)
        sum += plan->memory[i].bytes;
    return sum;
}

double sae_plan_disk_bytes(const struct sae_plan *plan)
{
    double sum = 0;
    for (size_t i = 0; i < plan->n_disk; i++)
        sum += plan->disk[i].bytes;
    return sum;
}

double sae_plan_seconds(const struct sae_plan *plan)
{
    double sum = 0;
    for (size_t i = 0; i < plan->n_stages; i++)
        sum += plan->stages[i].seconds;
    return sum;
}

static double flops(const struct sae_plan *plan)
{
    double sum = 0;
    for (size_t i = 0; i < plan->n_stages; i++)
        sum += plan->stages[i].flops;
    return sum;
}

/* --- 3. for people ------------------------------------------------------------------------ */

void sae_plan_size_text(char *to, size_t size, double bytes)
{
    if (bytes < 1e9)
        snprintf(to, size, "%.3g MB", bytes / 1e6);
    else if (bytes < 1e12)
        snprintf(to, size, "%.3g GB", bytes / 1e9);
    else
        snprintf(to, size, "%.3g TB", bytes / 1e12);
}

static void print_bytes(const struct sae_plan_bytes *list, size_t n)
{
    char size[32];
    for (size_t i = 0; i < n; i++) {
        sae_plan_size_text(size, sizeof size, list[i].bytes);
        sae_utf8_print(stdout, "    %-9s %s\n", size, list[i].name);
    }
}

static void print_memory(const struct sae_plan *plan)
{
    char all[32], has[32], part[32];
    sae_plan_size_text(all, sizeof all, sae_plan_peak(plan));
    sae_plan_size_text(has, sizeof has, sae_host_memory_free() + plan->held);
    printf("  memory      %s at most; %s are free\n", all, has);
    sae_plan_size_text(part, sizeof part, plan->held);
    printf("    %-9s program and inputs, as held now\n", part);
    print_bytes(plan->memory, plan->n_memory);
    for (size_t i = 0; i < plan->n_stages; i++) {
        if (!(plan->stages[i].bytes > 0) || plan->stages[i].bytes < stage_bytes(plan))
            continue;
        sae_plan_size_text(part, sizeof part, plan->stages[i].bytes);
        sae_utf8_print(stdout, "    %-9s while this runs: %s\n", part, plan->stages[i].name);
        break;
    }
}

static void print_disk(const struct sae_plan *plan)
{
    char all[32], has[32];
    const double free_bytes = sae_fs_free_bytes(plan->folder);
    sae_plan_size_text(all, sizeof all, sae_plan_disk_bytes(plan));
    sae_plan_size_text(has, sizeof has, free_bytes);
    printf("  disk        %s", all);
    sae_utf8_print(stdout, free_bytes < 0 ? "\n" : "; %s are free at '%s'\n", has, plan->folder);
    print_bytes(plan->disk, plan->n_disk);
}

static void print_seconds(char to[40], double seconds)
{
    if (!isfinite(seconds))
        snprintf(to, 40, "unknown");
    else if (seconds < 10)
        snprintf(to, 40, "%.2g s", seconds);
    else
        sae_progress_duration(to, 40, seconds);
}

static enum sae_status print_time(const struct sae_plan *plan, struct sae_err *err)
{
    static const char *const heads[] = {"stage", "amount", "of", "time", "operations"};
    struct sae_table *table = NULL;
    char text[40], probe[40];
    print_seconds(text, sae_plan_seconds(plan));
    print_seconds(probe, sae_stop_clock() - plan->began);
    printf("  time        %s with %d thread%s, from %s of the same work on this machine as it is now\n",
           text, omp_get_max_threads(), omp_get_max_threads() == 1 ? "" : "s", probe);
    printf("  operations  %.2g (floating point)\n", flops(plan));
    SAE_TRY(sae_table_make(&table, sizeof heads / sizeof *heads, heads, err));
    for (size_t i = 0; i < plan->n_stages; i++) {
        const struct sae_plan_stage *const s = &plan->stages[i];
        print_seconds(text, s->seconds);
        sae_table_text(table, "%s", s->name);
        sae_table_text(table, "%.0f", s->n);
        sae_table_text(table, "%s", s->unit);
        sae_table_text(table, "%s", text);
        sae_table_text(table, "%.2g", s->flops);
    }
    const enum sae_status st = sae_table_print(table, stdout, 2, err);
    sae_table_free(table);
    return st;
}

/* --- 4. for programs ---------------------------------------------------------------------- */

static json_t *whole(double x)
{
    return isfinite(x) ? json_integer((json_int_t)llround(x)) : json_null();
}

static json_t *list_bytes(const struct sae_plan_bytes *list, size_t n)
{
    json_t *const all = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, json_pack("{s:s, s:o}", "name", list[i].name, "bytes",
                                             whole(list[i].bytes)));
    return all;
}

static json_t *list_stages(const struct sae_plan *plan)
{
    json_t *const all = json_array();
    for (size_t i = 0; i < plan->n_stages; i++) {
        const struct sae_plan_stage *const s = &plan->stages[i];
        json_array_append_new(all, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "name", s->name,
                                             "unit", s->unit, "n", whole(s->n), "seconds",
                                             sae_json_number(s->seconds), "flops",
                                             sae_json_number(s->flops), "memory_bytes",
                                             whole(s->bytes)));
    }
    return all;
}

static enum sae_status print_json(const struct sae_plan *plan, const struct sae_cli *cli,
                                  struct sae_err *err)
{
    const double free_bytes = sae_fs_free_bytes(plan->folder);
    json_t *const json = json_pack(
        "{s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "kind", "plan",
        "program", cli->program->name, "version", SAE_VERSION, "threads", omp_get_max_threads(),
        "memory_bytes", whole(sae_plan_peak(plan)), "memory_free_bytes",
        whole(sae_host_memory_free() + plan->held), "disk_bytes", whole(sae_plan_disk_bytes(plan)),
        "disk_free_bytes", free_bytes < 0 ? json_null() : whole(free_bytes), "seconds",
        sae_json_number(sae_plan_seconds(plan)), "flops", sae_json_number(flops(plan)),
        "probe_seconds", sae_json_number(sae_stop_clock() - plan->began), "held_bytes",
        whole(plan->held), "memory", list_bytes(plan->memory, plan->n_memory), "disk",
        list_bytes(plan->disk, plan->n_disk), "stages", list_stages(plan));
    const enum sae_status st = json ? sae_json_print(stdout, json, err)
                                    : sae_err_set(err, SAE_ENOMEM, "out of memory (plan)");
    json_decref(json);
    return st;
}

enum sae_status sae_plan_print(const struct sae_plan *plan, const struct sae_cli *cli,
                               struct sae_err *err)
{
    if (cli->json)
        return print_json(plan, cli, err);
    printf("%s would take, measured on a little of its work; nothing is written:\n",
           cli->program->name);
    print_memory(plan);
    print_disk(plan);
    return print_time(plan, err);
}

/* --- 5. warnings -------------------------------------------------------------------------- */

void sae_plan_warn(const struct sae_plan *plan)
{
    char takes[32], has[32];
    const double more = sae_plan_peak(plan) - plan->held, memory = sae_host_memory_free(),
                 bytes = sae_plan_disk_bytes(plan), disk = sae_fs_free_bytes(plan->folder);
    if (more > memory) {
        sae_plan_size_text(takes, sizeof takes, more);
        sae_plan_size_text(has, sizeof has, memory);
        sae_log_warn("this takes about %s of memory besides what is held already, but %s are free; "
                     "--plan says for what",
                     takes, has);
    }
    if (disk >= 0 && bytes > disk) {
        sae_plan_size_text(takes, sizeof takes, bytes);
        sae_plan_size_text(has, sizeof has, disk);
        sae_log_warn("this writes about %s, but %s are free at '%s'; --plan says what", takes, has,
                     plan->folder);
    }
}
