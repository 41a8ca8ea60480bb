/* SPDX-License-Identifier: MIT */
/* Tests of lib/base/host, part and lock: what several processes do in one folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/host.h"
#include "lib/base/lock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/part.h"
#include "tests/unit/leave_out.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    sae_log_setup("test", SAE_LOG_ERROR);
    snprintf(dir, sizeof dir, "/tmp/saekit-test-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static const char *in_dir(const char *name)
{
    static char path[4][800];
    static size_t turn;
    char *to = path[turn++ % 4];
    snprintf(to, sizeof path[0], "%s/%s", dir, name);
    return to;
}

static size_t count(const char *prefix, const char *suffix)
{
    char **names = NULL;
    size_t n = 0;
    assert_int_equal(sae_fs_list(&names, &n, dir, prefix, suffix, NULL), SAE_OK);
    sae_fs_list_free(names, n);
    return n;
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void set_age(const char *path, time_t seconds)
{
    const struct timespec t[2] = {{time(NULL) - seconds, 0}, {time(NULL) - seconds, 0}};
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

/* A number that was a process of this machine and is none any more. */
static pid_t dead_process(void)
{
    const pid_t child = fork();
    if (child == 0)
        _exit(0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return child;
}

/* --- processes ---------------------------------------------------------------------------- */

static void a_process_is_known_by_number_and_start(void **state)
{
    (void)state;
    assert_true(sae_host_alive(getpid(), 0));
    assert_false(sae_host_alive(dead_process(), 0));
    assert_false(sae_host_alive(-1, 0));
    assert_false(sae_host_alive(INT64_MAX, 0));
    const pid_t zombie = fork();
    if (zombie == 0)
        _exit(0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
    assert_false(sae_host_alive(zombie, 0));
    assert_int_equal(waitpid(zombie, NULL, 0), zombie);
    if (access("/proc/self/stat", R_OK) != 0)
        leave_out("what is left is read in /proc");
    const uint64_t started = sae_host_started(getpid());
    assert_true(started > 0);
    assert_true(sae_host_alive(getpid(), started));
    assert_false(sae_host_alive(getpid(), started + 1)); /* another process had the number */
}

/* --- temporary files ---------------------------------------------------------------------- */

static void a_temporary_file_is_nobody_elses(void **state)
{
    (void)state;
    struct sae_err err = {0};
    FILE *a = NULL, *b = NULL;
    char *name_a = NULL, *name_b = NULL;
    assert_int_equal(sae_part_open(&a, &name_a, in_dir("x"), &err), SAE_OK);
    assert_int_equal(sae_part_open(&b, &name_b, in_dir("x"), &err), SAE_OK);
    assert_string_not_equal(name_a, name_b);
    assert_true(strncmp(name_a, in_dir("x."), strlen(in_dir("x."))) == 0);
    assert_string_equal(name_a + strlen(name_a) - 5, ".part");
    fputs("a", a);
    fputs("b", b);
    fclose(a);
    fclose(b);
    /* Both appear whole; who may not replace does not. */
    assert_int_equal(sae_part_publish(name_a, in_dir("x"), true, &err), SAE_OK);
    assert_int_equal(sae_part_publish(name_b, in_dir("x"), false, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "another process"));
    char *text = NULL;
    size_t len;
    assert_int_equal(sae_fs_read(&text, &len, in_dir("x"), 10, &err), SAE_OK);
    assert_string_equal(text, "a");
    free(text);
    assert_int_equal(count("", ".part"), 0);
    free(name_a);
    free(name_b);
    unlink(in_dir("x"));
    assert_int_equal(sae_fs_write("/dev/null", "a", 1, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "device"));
}

/* The name a process will use can be guessed. What is planted there is neither followed nor waited
 * for, and a link under the final name is replaced, not written through. */
static void planted_links_and_pipes_are_not_opened(void **state)
{
    (void)state;
    struct sae_err err = {0};
    char *next = NULL, *text = NULL;
    size_t len;
    write_text(in_dir("precious"), "precious");
    assert_int_equal(symlink(in_dir("precious"), in_dir("final")), 0);
    assert_int_equal(sae_part_name(&next, in_dir("final"), &err), SAE_OK);
    unsigned long n;
    char *dot = strrchr(next, '.');
    *dot = '\0';
    char *number = strrchr(next, '.') + 1;
    n = strtoul(number, NULL, 10);
    *number = '\0';
    for (unsigned long i = 1; i <= 6; i++) {
        char planted[300];
        snprintf(planted, sizeof planted, "%s%lu.part", next, n + i);
        if (i % 2 == 0)
            assert_int_equal(symlink(in_dir("precious"), planted), 0);
        else
            assert_int_equal(mkfifo(planted, 0600), 0);
    }
    free(next);
    assert_int_equal(sae_fs_write(in_dir("final"), "new", 3, &err), SAE_OK);
    assert_int_equal(sae_fs_read(&text, &len, in_dir("precious"), 10, &err), SAE_OK);
    assert_string_equal(text, "precious");
    free(text);
    assert_int_equal(sae_fs_read(&text, &len, in_dir("final"), 10, &err), SAE_OK);
    assert_string_equal(text, "new");
    free(text);
}

static void only_what_nobody_will_finish_is_swept(void **state)
{
    (void)state;
    char names[6][120];
    const char *other = "elsewhere-0123abcd";
    snprintf(names[0], sizeof names[0], "a.json.%s.%d.0.part", sae_host_token(), (int)dead_process());
    snprintf(names[1], sizeof names[1], "b.json.%s.1.7.part", other);               /* old */
    snprintf(names[2], sizeof names[2], "a.json.%s.%d.0.part", sae_host_token(), (int)getppid());
    snprintf(names[3], sizeof names[3], "b.json.%s.1.8.part", other);               /* fresh */
    snprintf(names[4], sizeof names[4], "model.safetensors.part");                  /* not ours */
    snprintf(names[5], sizeof names[5], "film.2024.1.2.part");
    for (size_t i = 0; i < 6; i++)
        write_text(in_dir(names[i]), "");
    set_age(in_dir(names[1]), 2 * 24 * 60 * 60);
    set_age(in_dir(names[4]), 2 * 24 * 60 * 60);
    set_age(in_dir(names[5]), 2 * 24 * 60 * 60);
    assert_int_equal(sae_part_sweep(dir), 2);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(sae_fs_is_file(in_dir(names[i])), i >= 2);
}

/* --- reading what is no file -------------------------------------------------------------- */

static void pipes_and_pointers_are_refused(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_map map;
    char *text = NULL, hex[SAE_DIGEST_HEX];
    size_t len;
    assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
    assert_int_equal(sae_fs_read(&text, &len, in_dir("pipe"), 10, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "not a regular file"));
    assert_int_equal(sae_digest_file(in_dir("pipe"), hex, &err), SAE_EFORMAT);
    assert_int_equal(sae_map_open(&map, in_dir("pipe"), &err), SAE_EFORMAT);
    assert_int_equal(sae_fs_read(&text, &len, "/dev/zero", 10, &err), SAE_EFORMAT);
    assert_int_equal(sae_fs_read(&text, &len, dir, 10, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "folder"));
    write_text(in_dir("pointer"), "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n");
    assert_int_equal(sae_fs_read(&text, &len, in_dir("pointer"), 1000, &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "git lfs pull"));
    assert_int_equal(sae_map_open(&map, in_dir("pointer"), &err), SAE_EFORMAT);
    assert_non_null(strstr(err.msg, "git lfs pull"));
}

/* A pipe that the shell hands over by number is meant to be read. */
static void a_pipe_handed_over_is_read(void **state)
{
    (void)state;
    struct sae_err err = {0};
    char *text = NULL;
    size_t len;
    int ends[2];
    char name[40];
    if (access("/dev/fd", R_OK) != 0)
        leave_out("there is no /dev/fd");
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "hello", 5), 5);
    close(ends[1]);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    assert_int_equal(sae_fs_read(&text, &len, name, 10, &err), SAE_OK);
    assert_string_equal(text, "hello");
    free(text);
    close(ends[0]);
}

/* --- one writer --------------------------------------------------------------------------- */

static void a_second_writer_is_told_who_the_first_is(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_lock *lock = NULL, *again = NULL;
    assert_int_equal(sae_lock_take(&lock, dir, "sae-first", &err), SAE_OK);
    assert_int_equal(sae_lock_check(lock, &err), SAE_OK);
    const pid_t child = fork();
    if (child == 0) {
        char number[30];
        snprintf(number, sizeof number, "process %d on this machine", (int)getppid());
        const bool good = sae_lock_take(&again, dir, "sae-second", &err) == SAE_EARG &&
                          strstr(err.msg, "sae-first") != NULL && strstr(err.msg, number) != NULL &&
                          strstr(err.msg, "since 20") != NULL;
        if (!good)
            fprintf(stderr, "'%s'\n", err.msg);
        _exit(good ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count(".writer.", ".lock"), 1);
    sae_lock_release(lock);
    assert_int_equal(count(".writer.", ".lock"), 0);
    assert_int_equal(sae_lock_take(&again, dir, "sae-third", &err), SAE_OK);
    sae_lock_release(again);
    assert_int_equal(sae_lock_take(&again, "/nowhere", "sae-third", &err), SAE_EIO);
}

static void leave_a_dead_lock(void)
{
    const pid_t child = fork();
    if (child == 0) {
        struct sae_lock *lock = NULL;
        _exit(sae_lock_take(&lock, dir, "sae-dead", NULL) != SAE_OK);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count(".writer.", ".lock"), 1);
}

static void an_exit_gives_it_back(void **state)
{
    (void)state;
    const pid_t child = fork();
    if (child == 0) {
        struct sae_lock *lock = NULL;
        exit(sae_lock_take(&lock, dir, "sae-exit", NULL) != SAE_OK);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count(".writer.", ".lock"), 0);
}

/* Of processes that come at once to a folder of a dead writer, never two are in it, and one is. */
static void never_two_at_once(void **state)
{
    (void)state;
    enum { ROUNDS = 20, CHILDREN = 5 };
    atomic_int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    atomic_int *const inside = &shared[0], *const go = &shared[1];
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child[CHILDREN];
        int had = 0;
        atomic_store(go, 0);
        leave_a_dead_lock();
        for (int i = 0; i < CHILDREN; i++) {
            child[i] = fork();
            if (child[i] != 0)
                continue;
            struct sae_lock *lock = NULL;
            while (atomic_load(go) == 0)
                ;
            if (sae_lock_take(&lock, dir, "sae-child", NULL) != SAE_OK)
                _exit(1);
            const int others = atomic_fetch_add(inside, 1);
            usleep(500);
            atomic_fetch_sub(inside, 1);
            sae_lock_release(lock);
            _exit(others == 0 ? 0 : 2);
        }
        atomic_store(go, 1);
        for (int i = 0; i < CHILDREN; i++) {
            int status;
            assert_int_equal(waitpid(child[i], &status, 0), child[i]);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
            had += WEXITSTATUS(status) == 0;
        }
        assert_true(had >= 1);
        assert_int_equal(count(".writer.", ".lock"), 0);
    }
    munmap(shared, 4096);
}

static void another_machine_is_judged_by_its_silence(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_lock *lock = NULL;
    const char *path = in_dir(".writer.elsewhere-0123abcd.77.0.lock");
    const char *text = "program sae-harvest\nhost elsewhere-0123abcd\npid 77\nstarted 5\n"
                       "since 2026-01-02T03:04:05Z\n";
    write_text(path, text);
    set_age(path, 60);
    assert_int_equal(sae_lock_take(&lock, dir, "sae-train", &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "sae-harvest (process 77 on elsewhere-0123abcd, since "
                                    "2026-01-02T03:04:05Z)"));
    assert_non_null(strstr(err.msg, "try again"));
    set_age(path, SAE_LOCK_SILENCE + 60);
    assert_int_equal(sae_lock_take(&lock, dir, "sae-train", &err), SAE_OK);
    assert_false(sae_fs_is_file(path));
    /* And the one that was taken over finds out. */
    unlink(in_dir("nothing"));
    char **names = NULL;
    size_t n = 0;
    assert_int_equal(sae_fs_list(&names, &n, dir, ".writer.", ".lock", &err), SAE_OK);
    assert_int_equal(n, 1);
    unlink(in_dir(names[0]));
    sae_fs_list_free(names, n);
    assert_int_equal(sae_lock_check(lock, &err), SAE_EIO);
    sae_lock_release(lock);
}

static void what_is_no_lock_is_passed_over(void **state)
{
    (void)state;
    struct sae_err err = {0};
    struct sae_lock *lock = NULL;
    write_text(in_dir("target"), "target");
    assert_int_equal(symlink(in_dir("target"), in_dir(".writer.a-0123abcd.1.0.lock")), 0);
    assert_int_equal(mkfifo(in_dir(".writer.a-0123abcd.2.0.lock"), 0600), 0);
    assert_int_equal(mkdir(in_dir(".writer.a-0123abcd.3.0.lock"), 0700), 0);
    assert_int_equal(sae_lock_take(&lock, dir, "sae-train", &err), SAE_OK);
    sae_lock_release(lock);
    assert_true(sae_fs_is_file(in_dir("target")));
    /* Nonsense counts by its age, as the file of another machine does. */
    write_text(in_dir(".writer.a-0123abcd.4.0.lock"), "\xff\xfe");
    assert_int_equal(sae_lock_take(&lock, dir, "sae-train", &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "unknown"));
    set_age(in_dir(".writer.a-0123abcd.4.0.lock"), SAE_LOCK_SILENCE + 60);
    assert_int_equal(sae_lock_take(&lock, dir, "sae-train", &err), SAE_OK);
    sae_lock_release(lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_is_known_by_number_and_start),
        cmocka_unit_test_setup_teardown(a_temporary_file_is_nobody_elses, setup, teardown),
        cmocka_unit_test_setup_teardown(planted_links_and_pipes_are_not_opened, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_nobody_will_finish_is_swept, setup, teardown),
        cmocka_unit_test_setup_teardown(pipes_and_pointers_are_refused, setup, teardown),
        cmocka_unit_test(a_pipe_handed_over_is_read),
        cmocka_unit_test_setup_teardown(a_second_writer_is_told_who_the_first_is, setup, teardown),
        cmocka_unit_test_setup_teardown(an_exit_gives_it_back, setup, teardown),
        cmocka_unit_test_setup_teardown(never_two_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(another_machine_is_judged_by_its_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_lock_is_passed_over, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
