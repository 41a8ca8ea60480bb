/* SPDX-License-Identifier: MIT */
/* test_folder : the kinds of folder, and the checkpoints that operands of each kind name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/cli/folder.h"
#include "lib/cli/target.h"

static char dir[] = "/tmp/test_folder_XXXXXX";

static void make(const char *path)
{
    char *folder = NULL;
    assert_int_equal(sae_fs_dir(&folder, path, NULL), SAE_OK);
    assert_int_equal(sae_fs_make_dirs(folder, NULL), SAE_OK);
    assert_int_equal(sae_fs_write(path, "x", 1, NULL), SAE_OK);
    free(folder);
}

static int setup(void **state)
{
    (void)state;
    static const char *const files[] = {
        "run/ckpt_00.h5",
        "run/ckpt_100.h5",
        "run/charts/a.svg",
        "lens/sae_weights.safetensors",
        "lens/cfg.json",
        "lens/config.json",
        "acts/acts.json",
        "acts/acts_00000.h5",
        "half/acts_00000.h5",
        "model/config.json",
        "model/model.safetensors",
        "out/core/a_custom_sae_eval_results.json",
        "flat/a_eval_results.json",
        "sweep/run_a_s2/ckpt_100.h5",
        "sweep/run_a_s10/ckpt_50.h5",
        "sweep/run_a_s10/ckpt_100.h5",
        "sweep/run_b/notes.txt",
        "sweep/.hidden/ckpt_100.h5",
        "sweeps/one/run_1/ckpt_100.h5",
        "sweeps/two/run_1/ckpt_100.h5",
        "deep/a/b/run_1/ckpt_100.h5",
        "other/readme.txt",
    };
    if (mkdtemp(dir) == NULL || chdir(dir) != 0)
        return -1;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        make(files[i]);
    return sae_fs_make_dirs("empty", NULL) == SAE_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return chdir("/") == 0 ? system(command) : -1;
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum sae_folder kind;
    } known[] = {
        {"run",            SAE_FOLDER_RUN    },
        {"lens",           SAE_FOLDER_SAE    },
        {"acts",           SAE_FOLDER_STORE  },
        {"half",           SAE_FOLDER_STORE  },
        {"model",          SAE_FOLDER_MODEL  },
        {"out",            SAE_FOLDER_RESULTS},
        {"flat",           SAE_FOLDER_RESULTS},
        {"sweep",          SAE_FOLDER_RUNS   },
        {"sweeps",         SAE_FOLDER_RUNS   },
        {"deep",           SAE_FOLDER_OTHER  },
        {"other",          SAE_FOLDER_OTHER  },
        {"empty",          SAE_FOLDER_EMPTY  },
        {"nothing",        SAE_FOLDER_NONE   },
        {"run/ckpt_00.h5", SAE_FOLDER_NONE   },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        enum sae_folder kind;
        assert_int_equal(sae_folder_kind(&kind, known[i].path, NULL), SAE_OK);
        if (kind != known[i].kind)
            fail_msg("'%s' %s", known[i].path, sae_folder_says(kind));
    }
}

static void expect(const char *operand, bool all, const char *joined)
{
    char *args[] = {(char *)(uintptr_t)operand}, text[512] = "";
    char **paths = NULL;
    size_t n = 0;
    assert_int_equal(sae_target_find(&paths, &n, args, 1, all, NULL), SAE_OK);
    for (size_t i = 0; i < n; i++) {
        strcat(text, i > 0 ? " " : "");
        strcat(text, paths[i]);
    }
    assert_string_equal(text, joined);
    sae_fs_list_free(paths, n);
}

/* Of a sweep the last checkpoint of each run, seed 2 before seed 10; with all, each of them. */
static void test_operands(void **state)
{
    (void)state;
    expect("run", false, "run/ckpt_100.h5");
    expect("lens", false, "lens/sae_weights.safetensors");
    expect("sweep", false, "sweep/run_a_s2/ckpt_100.h5 sweep/run_a_s10/ckpt_100.h5");
    expect("sweep", true,
           "sweep/run_a_s2/ckpt_100.h5 sweep/run_a_s10/ckpt_50.h5 sweep/run_a_s10/ckpt_100.h5");
    expect("sweeps", false, "sweeps/one/run_1/ckpt_100.h5 sweeps/two/run_1/ckpt_100.h5");
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *path, *says;
    } known[] = {
        {"acts",  "'acts' is an activation store, not a run"},
        {"model", "'model' is a language model"             },
        {"empty", "'empty' is empty"                        },
        {"other", "'other' holds no ckpt_*.h5"             },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char *args[] = {(char *)(uintptr_t)known[i].path};
        char **paths = NULL;
        size_t n = 0;
        struct sae_err err = {0};
        assert_int_equal(sae_target_find(&paths, &n, args, 1, false, &err), SAE_EARG);
        assert_non_null(strstr(err.msg, known[i].says));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_operands),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
