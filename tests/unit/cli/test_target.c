/* SPDX-License-Identifier: MIT */
/* Tests of lib/cli/target: what is found where nothing is named, names of runs, and files that are
 * not there. Operands of each kind of folder: test_folder.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/cli/target.h"

static char dir[] = "/tmp/test_target_XXXXXX";

static int setup(void **state)
{
    static const char *const files[] = {"here/run_10/ckpt_100.h5", "here/run_9/ckpt_50.h5",
                                        "here/run_9/ckpt_100.h5",  "here/run_9/ckpt_00.h5",
                                        "here/other/ckpt_100.h5",  "bare/x"};
    (void)state;
    if (mkdtemp(dir) == NULL || chdir(dir) != 0)
        return -1;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *folder = NULL;
        if (sae_fs_dir(&folder, files[i], NULL) != SAE_OK ||
            sae_fs_make_dirs(folder, NULL) != SAE_OK ||
            sae_fs_write(files[i], "x", 1, NULL) != SAE_OK)
            return -1;
        free(folder);
    }
    return 0;
}

static int teardown(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return chdir("/") == 0 ? system(command) : -1;
}

/* From a folder below dir; want: the paths, a space between. */
static void finds(const char *from, bool all, const char *want)
{
    char **paths = NULL, text[400] = "";
    size_t n = 0;
    assert_int_equal(chdir(dir) | chdir(from), 0);
    assert_int_equal(sae_target_find(&paths, &n, NULL, 0, all, NULL), SAE_OK);
    for (size_t i = 0; i < n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i > 0 ? " " : "",
                 paths[i]);
    assert_string_equal(text, want);
    sae_fs_list_free(paths, n);
}

static void nothing_named(void **state)
{
    (void)state;
    finds("here/run_9", false, "ckpt_100.h5");
    finds("here/run_9", true, "ckpt_00.h5 ckpt_50.h5 ckpt_100.h5");
    finds("here", false, "run_9/ckpt_100.h5 run_10/ckpt_100.h5"); /* no folder but run_* */
    finds("here", true, "run_9/ckpt_00.h5 run_9/ckpt_50.h5 run_9/ckpt_100.h5 run_10/ckpt_100.h5");
    char **paths = NULL;
    size_t n = 0;
    struct sae_err err = {0};
    assert_int_equal(chdir(dir) | chdir("bare"), 0);
    assert_int_equal(sae_target_find(&paths, &n, NULL, 0, false, &err), SAE_EARG);
    assert_non_null(strstr(err.msg, "no checkpoint given"));
    assert_null(paths);
}

static void refuses(const char *name, const char *says)
{
    char **paths = NULL, *args[] = {(char *)(uintptr_t) "run_10", (char *)(uintptr_t)name};
    size_t n = 0;
    struct sae_err err = {0};
    assert_int_equal(chdir(dir) | chdir("here"), 0);
    assert_int_equal(sae_target_find(&paths, &n, args, 2, false, &err), SAE_EIO);
    if (strstr(err.msg, says) == NULL)
        fail_msg("'%s' does not say '%s'", err.msg, says);
    assert_null(paths);
}

static void not_there(void **state)
{
    (void)state;
    refuses("run_9/ckpt_75.h5", "'run_9' holds ckpt_00.h5, ckpt_50.h5, ckpt_100.h5");
    refuses("run_9/notes.txt", "no such file or folder");
    refuses("nowhere/ckpt_75.h5", "no such file or folder");
    refuses("", "no such file or folder");
}

static void expect_name(const char *path, size_t more, const char *want)
{
    char *name = NULL;
    assert_int_equal(sae_target_run_name(&name, path, more, NULL), SAE_OK);
    assert_string_equal(name, want);
    free(name);
}

static void names_of_runs(void **state)
{
    char *run = NULL;
    (void)state;
    assert_int_equal(chdir(dir) | chdir("here/run_9"), 0);
    expect_name("ckpt_50.h5", 0, "run_9"); /* the folder's real name */
    expect_name("../run_10/ckpt_100.h5", 0, "run_10");
    expect_name("../run_10/ckpt_100.h5", 1, "here_run_10");
    assert_int_equal(sae_target_run(&run, "a/run_2/ckpt_50.h5", NULL), SAE_OK);
    assert_string_equal(run, "a/run_2");
    free(run);
    assert_int_equal(sae_target_run(&run, "ckpt_50.h5", NULL), SAE_OK);
    assert_string_equal(run, ".");
    free(run);
}

static void only_ones(void **state)
{
    (void)state;
    assert_true(sae_target_is_only("ae.pt") && sae_target_is_only("params.npz"));
    assert_false(sae_target_is_only("ckpt_50.h5") || sae_target_is_only("ae.pt2") ||
                 sae_target_is_only(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_named), cmocka_unit_test(not_there),
                                       cmocka_unit_test(names_of_runs),
                                       cmocka_unit_test(only_ones)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
