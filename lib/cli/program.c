/* SPDX-License-Identifier: MIT */
/* program : the life of a program - parse, talk, run, close stdout, exit code. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/stop.h"
#include "lib/cli/opt.h"
#include "lib/cli/parse.h"
#include "lib/math/ops.h"

/* --- address space ------------------------------------------------------------------------ */

/* OpenBLAS maps twice 128 MiB while it is loaded, before main, and where it is refused it tries
 * again for ever. So the first code of the program asks for as much and gives it back. It runs
 * before any library is initialised: system calls and no more. */
#define BLAS_BUFFER ((size_t)128 << 20)

__attribute__((no_sanitize("address", "undefined", "thread"))) static void ask_for_space(void)
{
    static const char why[] =
        "no room for the numeric library: the limit of address space (ulimit -v) is too small; "
        "programs of saekit need 1 GB, better none\n";
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    const size_t bytes = 2 * BLAS_BUFFER + BLAS_BUFFER / 8; /* an eighth: the start of the others */
    void *const p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) {
        munmap(p, bytes);
        return;
    }
    if (write(STDERR_FILENO, why, sizeof why - 1) < 0)
        _exit(2);
    _exit(1);
}

__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(void) =
    ask_for_space;

static int exit_code(enum sae_status st)
{
    switch (st) {
    case SAE_OK:
        return 0;
    case SAE_EARG:
        return 2;
    case SAE_EINTR:
        return sae_stop_exit_code();
    default:
        return 1;
    }
}

/* Whether output was lost because whoever read it has gone: `| head`. */
static bool is_unread(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return (fflush(stdout) != 0 || ferror(stdout) != 0) && poll(&out, 1, 0) == 1 &&
           (out.revents & POLLERR) != 0;
}

/* A full disk behind stdout is not a success; a failure told already is not told again. */
static int close_stdout(int code)
{
    const int failed = ferror(stdout) != 0;
    if ((fclose(stdout) == 0 && !failed) || code != 0)
        return code;
    sae_log_error("cannot write to standard output: %s", strerror(errno));
    return 1;
}

static enum sae_status answer_questions(const struct sae_opt_set *set, bool *ret_done,
                                        struct sae_err *err)
{
    *ret_done = true;
    if (set->help != NULL) {
        static const char *const known[] = {"main", "all", "man", "bash"};
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strcmp(set->help, known[i]) == 0) {
                sae_help_print(set, set->help);
                return SAE_OK;
            }
        return sae_err_set(err, SAE_EARG, "--help=%s: expected all, man or bash", set->help);
    }
    if (set->version)
        sae_help_version(set->program);
    else if (set->print_config)
        sae_help_config(set);
    else
        *ret_done = false;
    return SAE_OK;
}

int sae_program_main(const struct sae_program *program, int argc, char **argv)
{
    sae_ops_set_environment(argv);
    struct sae_err err = {0};
    struct sae_cli cli = {0};
    struct sae_opt_set *set = calloc(1, sizeof *set);
    bool done = false;
    sae_log_setup(program->name, SAE_LOG_INFO);
    if (set == NULL) {
        sae_log_error("out of memory");
        return 1;
    }
    enum sae_status st = sae_opt_set_init(set, &cli, program, &err);
    if (st == SAE_OK)
        st = sae_opt_set_parse(set, &cli, argc, argv, &err);
    sae_log_setup(program->name, cli.quiet     ? SAE_LOG_WARN
                                 : cli.verbose ? SAE_LOG_DEBUG
                                               : SAE_LOG_INFO);
    if (st == SAE_OK)
        st = answer_questions(set, &done, &err);
    if (st == SAE_OK && !done) {
        sae_stop_install();
        st = program->run(&cli, &err);
    }
    /* As if SIGPIPE had ended us, without a message, but not before the work was done. */
    const bool unread = is_unread();
    if (st != SAE_OK && !(unread && st == SAE_EIO))
        sae_log_error("%s", err.msg[0] != '\0' ? err.msg : "failed without a message");
    sae_opt_set_clear(set);
    free(set);
    free(cli.args);
    return close_stdout(unread && (st == SAE_OK || st == SAE_EIO) ? 128 + SIGPIPE : exit_code(st));
}
