/* SPDX-License-Identifier: MIT */
/* driver : runs a fuzz target without an engine, so that the targets work with every compiler.
 *
 *   target FILE ...                       gives each file to the target once
 *   target [-n RUNS] [-t SECONDS] [-s SEED] [-d DICTIONARY] [-o FOLDER] [-i FOLDER]
 *
 * The second form gives every seed to the target, and those of -i, then RUNS mutations of them (a
 * pure function of SEED), or fewer where SECONDS of processor time are over. An input that ends the
 * process, or takes more than 20 such seconds, is left in the folder of -o (default: this one) as
 * crash_<target>_<hash>. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/rng.h"
#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX = 1 << 18, MAX_SEEDS = 4096, MAX_WORDS = 512, WORD_BYTES = 64, HANG_SECONDS = 20 };

static struct input {
    uint8_t *bytes;
    size_t n;
} seeds[MAX_SEEDS];
static size_t n_seeds;

static struct word {
    uint8_t bytes[WORD_BYTES];
    size_t n;
} words[MAX_WORDS];
static size_t n_words;

static uint8_t now[INPUT_MAX];
static size_t n_now;
static const char *target, *out = ".";

/* --- findings ------------------------------------------------------------------------------ */

static void keep_input(void)
{
    char path[512];
    uint64_t hash = 14695981039346656037ULL;
    for (size_t i = 0; i < n_now; i++)
        hash = (hash ^ now[i]) * 1099511628211ULL;
    snprintf(path, sizeof path, "%s/crash_%s_%016llx", out, target, (unsigned long long)hash);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, now, n_now) != (ssize_t)n_now)
        return;
    close(fd);
    fprintf(stderr, "%s: the input is in %s\n", target, path);
}

static void on_signal(int number)
{
    if (number == SIGPROF)
        fprintf(stderr, "%s: no end within %d seconds\n", target, HANG_SECONDS);
    keep_input();
    signal(number == SIGPROF ? SIGABRT : number, SIG_DFL);
    raise(number == SIGPROF ? SIGABRT : number);
}

/* On a stack of its own: the usual one may be what ran out. */
static void catch_signal(int number)
{
    sigaction(number, &(struct sigaction){.sa_handler = on_signal, .sa_flags = SA_ONSTACK}, NULL);
}

/* Of a sanitized build. */
extern void __sanitizer_set_death_callback(void (*call)(void)) __attribute__((weak));

static void catch_ends(void)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    static char stack[1 << 16];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    catch_signal(SIGPROF);
    if (__sanitizer_set_death_callback != NULL) {
        __sanitizer_set_death_callback(keep_input);
        catch_signal(SIGABRT);
        return;
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        catch_signal(numbers[i]);
}

/* --- seeds and words ----------------------------------------------------------------------- */

static void add_seed(const void *bytes, size_t n)
{
    if (n_seeds == MAX_SEEDS || n > INPUT_MAX)
        return;
    uint8_t *const copy = malloc(n + 1);
    if (copy == NULL)
        exit(99);
    memcpy(copy, bytes, n);
    seeds[n_seeds++] = (struct input){copy, n};
}

static bool add_file(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *const file = fopen(path, "rb");
    if (file == NULL)
        return false;
    add_seed(bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
    return true;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void add_folder(const char *folder)
{
    struct dirent **names;
    const int n = scandir(folder, &names, NULL, by_name);
    for (int i = 0; i < n; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            add_file(path);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

/* Lines of a dictionary: name="text", with \xNN for any byte. */
static void read_words(const char *path)
{
    char line[512];
    FILE *const file = fopen(path, "r");
    while (file != NULL && n_words < MAX_WORDS && fgets(line, sizeof line, file) != NULL) {
        const char *p = strchr(line, '"');
        if (line[0] == '#' || p == NULL)
            continue;
        struct word *const w = &words[n_words];
        for (p++; *p != '\0' && *p != '"' && w->n < WORD_BYTES; p++) {
            unsigned byte = (unsigned char)*p;
            if (*p == '\\' && p[1] == 'x' && sscanf(p + 2, "%2x", &byte) == 1)
                p += 3;
            else if (*p == '\\' && p[1] != '\0')
                byte = (unsigned char)*++p;
            w->bytes[w->n++] = (uint8_t)byte;
        }
        n_words += w->n > 0;
    }
    if (file != NULL)
        fclose(file);
}

/* --- mutation ------------------------------------------------------------------------------ */

static struct sae_rng rng;

static size_t below(size_t n)
{
    return n == 0 ? 0 : (size_t)sae_rng_below(&rng, n);
}

/* Puts n bytes in place of n_old at `at`, as far as there is room. */
static void put_in_place(size_t at, size_t n_old, const uint8_t *bytes, size_t n)
{
    if (n_now - n_old + n > INPUT_MAX)
        return;
    memmove(now + at + n, now + at + n_old, n_now - at - n_old);
    memcpy(now + at, bytes, n);
    n_now = n_now - n_old + n;
}

static void put_interesting(size_t at)
{
    static const uint64_t numbers[] = {
        0,       1,          2,          0x7F,       0x80,       0xFF,      0x7FFF,     0xFFFF,
        0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, UINT64_MAX, INT64_MAX, 1ULL << 32, 1ULL << 40};
    const uint64_t number = numbers[below(sizeof numbers / sizeof *numbers)];
    const size_t width = (size_t)1 << below(4);
    for (size_t i = 0; i < width && at + i < n_now; i++)
        now[at + i] = (uint8_t)(number >> (8 * i));
}

static void copy_piece(const struct input *from)
{
    static uint8_t piece[256];
    const size_t start = below(from->n), left = from->n - start;
    const size_t n = 1 + below(left < sizeof piece ? left : sizeof piece);
    if (left == 0 || n > left)
        return;
    memcpy(piece, from->bytes + start, n);
    const size_t at = below(n_now + 1);
    put_in_place(at, below(2) && at + n <= n_now ? n : 0, piece, n);
}

static void mutate_once(void)
{
    const size_t at = below(n_now);
    const uint8_t byte = (uint8_t)below(256);
    switch (n_now == 0 ? 3 : below(9)) {
    case 0:
        now[at] ^= (uint8_t)(1U << below(8));
        break;
    case 1:
        now[at] = byte;
        break;
    case 2:
        put_in_place(at, 1 + below(n_now - at < 16 ? n_now - at : 16), &byte, 0);
        break;
    case 3:
        put_in_place(at, 0, &byte, 1);
        break;
    case 4:
        put_interesting(at);
        break;
    case 5:
        now[at] = (uint8_t)(now[at] + below(33) - 16);
        break;
    case 6:
        copy_piece(&seeds[below(n_seeds)]);
        break;
    case 7:
        copy_piece(&(struct input){now, n_now});
        break;
    default:
        if (n_words > 0) {
            const struct word *const w = &words[below(n_words)];
            put_in_place(at, below(2) && at + w->n <= n_now ? w->n : 0, w->bytes, w->n);
        }
    }
}

static void load(const struct input *seed)
{
    memcpy(now, seed->bytes, seed->n);
    n_now = seed->n;
}

/* --- runs ---------------------------------------------------------------------------------- */

/* The target gets memory of exactly n bytes, so that the sanitizer sees a read past the end. */
static void run_now(void)
{
    uint8_t *const exact = malloc(n_now > 0 ? n_now : 1);
    if (exact == NULL)
        exit(99);
    memcpy(exact, now, n_now);
    LLVMFuzzerTestOneInput(exact, n_now);
    free(exact);
}

/* Of the processor, so that a machine that others use is no slower. */
static double clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void watch(int seconds)
{
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = seconds}, NULL);
}

static void run_all(uint64_t n_runs, double seconds, uint64_t seed)
{
    const double began = clock_now();
    uint64_t done = 0;
    rng = sae_rng_make(seed, SAE_RNG_TEST);
    for (size_t i = 0; i < n_seeds; i++, done++) {
        watch(HANG_SECONDS);
        load(&seeds[i]);
        run_now();
    }
    for (uint64_t r = 0; r < n_runs && n_seeds > 0; r++, done++) {
        if (r % 16 == 0) {
            watch(HANG_SECONDS);
            if (clock_now() - began > seconds)
                break;
        }
        load(&seeds[below(n_seeds)]);
        for (size_t k = 1 + below((size_t)1 << below(5)); k > 0; k--)
            mutate_once();
        run_now();
    }
    watch(0);
    printf("%s: %llu runs from %zu seeds in %.1f s of the processor\n", target,
           (unsigned long long)done, n_seeds, clock_now() - began);
}

int main(int argc, char **argv)
{
    uint64_t n_runs = UINT64_MAX, seed = 1;
    double seconds = 10;
    int option;
    target = strrchr(argv[0], '/') != NULL ? strrchr(argv[0], '/') + 1 : argv[0];
    LLVMFuzzerInitialize(&argc, &argv);
    fuzz_take_seed = add_seed;
    catch_ends();
    while ((option = getopt(argc, argv, "n:t:s:d:o:i:")) != -1)
        switch (option) {
        case 'n':
            n_runs = strtoull(optarg, NULL, 10);
            break;
        case 't':
            seconds = strtod(optarg, NULL);
            break;
        case 's':
            seed = strtoull(optarg, NULL, 10);
            break;
        case 'd':
            read_words(optarg);
            break;
        case 'o':
            out = optarg;
            break;
        case 'i':
            add_folder(optarg);
            break;
        default:
            fprintf(stderr,
                    "usage: %s [-n RUNS] [-t SECONDS] [-s SEED] [-d DICTIONARY] "
                    "[-o FOLDER] [-i FOLDER] | FILE ...\n",
                    target);
            return 2;
        }
    if (optind < argc)
        for (int i = optind; i < argc; i++)
            if (!add_file(argv[i])) {
                fprintf(stderr, "%s: cannot read '%s'\n", target, argv[i]);
                return 2;
            }
    if (optind < argc)
        n_runs = 0;
    else
        fuzz_seeds();
    run_all(n_runs, seconds, seed);
    for (size_t i = 0; i < n_seeds; i++)
        free(seeds[i].bytes);
    return 0;
}
