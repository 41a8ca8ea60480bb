/* SPDX-License-Identifier: MIT */
/* peer : a program at the other end of two pipes. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/peer.h"

enum { ARGS_MAX = 16 };

static void become(const char *python, const char *script, const char *const *args, const int in[2],
                   const int out[2])
{
    const char *argv[ARGS_MAX + 3] = {python, script};
    for (size_t i = 0; i < ARGS_MAX && args[i]; i++)
        argv[i + 2] = args[i];
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    close(in[1]);
    close(out[0]);
    execvp(python, (char *const *)argv);
    _exit(127);
}

bool peer_open(struct peer *p, const char *python, const char *script, const char *const *args)
{
    int in[2], out[2];
    char line[200];
    *p = (struct peer){0};
    if (pipe(in) != 0 || pipe(out) != 0)
        return false;
    signal(SIGPIPE, SIG_IGN);
    fflush(stdout);
    p->pid = fork();
    if (p->pid == 0)
        become(python, script, args, in, out);
    close(in[0]);
    close(out[1]);
    p->to = fdopen(in[1], "w");
    p->from = fdopen(out[0], "r");
    if (p->pid > 0 && p->from && fgets(line, sizeof line, p->from) &&
        sscanf(line, "ready %99[^\n]", p->name) == 1)
        return true;
    fprintf(stderr, "no peer: '%s %s' did not start; its columns stay empty (--python names a "
                    "Python with torch and dictionary-learning)\n",
            python, script);
    peer_close(p);
    return false;
}

bool peer_run(struct peer *p, double *wall, double *cpu, double *value)
{
    char line[200];
    if (p->pid <= 0)
        return false;
    fprintf(p->to, "go\n");
    fflush(p->to);
    if (fgets(line, sizeof line, p->from) && sscanf(line, "%lf %lf %lf", wall, cpu, value) == 3)
        return true;
    fprintf(stderr, "the peer ended early\n");
    peer_close(p);
    return false;
}

void peer_close(struct peer *p)
{
    if (p->to)
        fclose(p->to);
    if (p->from)
        fclose(p->from);
    if (p->pid > 0)
        waitpid(p->pid, NULL, 0);
    *p = (struct peer){0};
}
