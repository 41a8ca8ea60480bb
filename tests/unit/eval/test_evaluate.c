/* SPDX-License-Identifier: MIT */
/* evaluate : what all evaluations share, on a made-up one whose result is the number of latents. Each
 * invocation is a process of its own, as a person starts it: its files, output, messages, status. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fs.h"
#include "lib/base/stop.h"
#include "lib/base/str.h"
#include "lib/eval/evaluate.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "tests/unit/fixtures/make_ckpt.h"

/* --- the evaluation ------------------------------------------------------------------------- */

static struct {
    struct sae_eval_options eval;
    bool grouped, two, sets; /* SAEs of one width together; a second result; a store is needed */
    uint64_t stop;           /* SAEs after which it is interrupted; 0: never */
} given;

static const struct sae_opt options[] = {
    SAE_EVAL_ALL(given.eval, "Input", 0),
    SAE_EVAL_ROWS(given.eval),
    {"grouped", 0, SAE_OPT_FLAG, &given.grouped, "false", .group = "Input", .help = "by width"},
    {"two", 0, SAE_OPT_FLAG, &given.two, "false", .group = "Output", .help = "two results"},
    {"sets", 0, SAE_OPT_FLAG, &given.sets, "false", .group = "Input", .help = "needs a store"},
    {"brief", 0, SAE_OPT_FLAG, &given.eval.brief, "false", .group = "Output", .help = "no tables"},
    {"stop", 0, SAE_OPT_U64, &given.stop, "0", .max = 9, .group = "Input", .help = "interrupts"},
    {0}};

static size_t n_measured;

static enum sae_status open_it(struct sae_evaluation *run, struct sae_err *err)
{
    (void)err;
    run->unwanted[1] = !given.two;
    return SAE_OK;
}

static enum sae_status check(struct sae_evaluation *run, struct sae_eval_subject *subject,
                             struct sae_err *err)
{
    char *folder = NULL;
    (void)run;
    assert_null(subject->out[0]); /* refused before anything is made */
    subject->own = malloc(sizeof(size_t));
    *(size_t *)subject->own = subject->ckpt.model.d;
    if (!given.sets)
        return SAE_OK;
    SAE_TRY(sae_store_find(&folder, &subject->ckpt, "--labels", err));
    free(folder);
    return SAE_OK;
}

static bool same(const struct sae_eval_subject *a, const struct sae_eval_subject *b)
{
    return *(const size_t *)a->own == *(const size_t *)b->own;
}

static enum sae_status begin(struct sae_evaluation *run, struct sae_err *err)
{
    (void)err;
    fputs("begin", stdout);
    for (size_t k = 0; k < run->n_group; k++)
        printf(" %s", run->group[k]->path);
    putchar('\n');
    return SAE_OK;
}

/* An interrupted SAE leaves a file, and says that it goes on where it finds one. */
static enum sae_status one(struct sae_evaluation *run, struct sae_eval_subject *subject,
                           struct sae_result_parts parts[], json_t *record, struct sae_err *err)
{
    (void)record;
    if (given.stop > 0 && n_measured++ + 1 == given.stop) {
        SAE_TRY(sae_fs_write(subject->partial, "half", 4, err));
        return sae_err_set(err, SAE_EINTR, "stopped");
    }
    if (sae_fs_is_file(subject->partial))
        printf("goes on from %s\n", subject->partial);
    for (size_t r = 0; r < SAE_EVAL_RESULTS; r++)
        if (!run->unwanted[r])
            parts[r] = (struct sae_result_parts){
                .config = json_object(),
                .metrics = json_pack("{s:{s:I}}", "size", "latents",
                                     (json_int_t)subject->ckpt.model.m),
                .details = json_array(),
                .versions = json_object()};
    return SAE_OK;
}

static enum sae_status print(struct sae_evaluation *run, const struct sae_eval_subject *subject,
                             struct sae_err *err)
{
    (void)run;
    (void)err;
    printf("%s: %zu latents\n", subject->path, subject->ckpt.model.m);
    return SAE_OK;
}

static void end(struct sae_evaluation *run)
{
    printf("end %zu\n", run->n_group);
}

static enum sae_status print_all(struct sae_evaluation *run, struct sae_err *err)
{
    (void)err;
    for (size_t i = 0; i < run->n; i++)
        assert_string_equal(sae_json_str(run->subjects[i].result[0], "eval_type_id", ""), "count");
    printf("%zu SAEs\n", run->n);
    return SAE_OK;
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct sae_eval eval = {.results = {{"count", "counts", "count.json"},
                                        {"count2", "counts2", "count2.json"}},
                            .partial = ".part.json",
                            .options = &given.eval,
                            .open = open_it,
                            .check = check,
                            .one = one,
                            .print = print,
                            .print_all = print_all,
                            .drop = free};
    if (given.grouped) {
        eval.same = same;
        eval.begin = begin;
        eval.end = end;
    }
    return sae_evaluate(&eval, cli, err);
}

static const struct sae_program program = {.name = "sae-count",
                                           .summary = "counts latents",
                                           .usage = "sae-count [SAE ...]",
                                           .examples = "sae-count\n",
                                           .about = "Counts.",
                                           .operands = "SAE ...",
                                           .opts = options,
                                           .run = run};

/* --- running it ----------------------------------------------------------------------------- */

static char *folder, *out, *said; /* of the last invocation: standard output, messages */

static void take(char **ret, const char *path)
{
    size_t len;
    free(*ret);
    *ret = NULL;
    assert_int_equal(sae_fs_read(ret, &len, path, 1 << 20, NULL), SAE_OK);
}

/* Arguments separated by blanks; returns the status. limit: bytes of a file, 0 for any. */
static int limited(rlim_t limit, const char *args)
{
    char words[512], *argv[32] = {(char *)"sae-count"};
    int argc = 1, status = 0;
    snprintf(words, sizeof words, "%s", args);
    for (char *word = strtok(words, " "); word && argc < 31; word = strtok(NULL, " "))
        argv[argc++] = word;
    fflush(NULL);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit bytes = {limit, limit};
        if (!freopen("out.txt", "w", stdout) || !freopen("err.txt", "w", stderr))
            _exit(99);
        signal(SIGXFSZ, SIG_IGN);
        if (limit > 0)
            setrlimit(RLIMIT_FSIZE, &bytes);
        setenv("SAE_NO_RESTART", "1", 1); /* it is this test */
        const int code = sae_program_main(&program, argc, argv);
        fflush(stderr);
        _exit(code);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    take(&out, "out.txt");
    take(&said, "err.txt");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void expect(int status, const char *args)
{
    const int got = limited(0, args);
    if (got != status)
        fail_msg("sae-count %s: status %d, expected %d: %s", args, got, status, said);
}

static void says(const char *part)
{
    if (!strstr(said, part))
        fail_msg("says '%s', not '%s'", said, part);
}

static bool is_there(const char *path)
{
    return sae_fs_is_file(path);
}

static void save(const char *path, size_t d, size_t m)
{
    struct make_ckpt want = make_ckpt_default();
    struct sae_err err;
    want.d = d;
    want.m = m;
    if (make_ckpt_save(path, &want, &err) != SAE_OK)
        fail_msg("%s", err.msg);
}

/* run_1: two checkpoints; run_2: one of another width. */
static int setup(void **state)
{
    static char path[] = "/tmp/sae_evaluate_XXXXXX";
    (void)state;
    memcpy(path + sizeof path - 7, "XXXXXX", 6);
    folder = mkdtemp(path);
    assert_non_null(folder);
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(sae_fs_make_dirs("run_1", NULL), SAE_OK);
    assert_int_equal(sae_fs_make_dirs("run_2", NULL), SAE_OK);
    save("run_1/ckpt_50.h5", 16, 48);
    save("run_1/ckpt_100.h5", 16, 64);
    save("run_2/ckpt_100.h5", 8, 32);
    return 0;
}

static int teardown(void **state)
{
    struct sae_str command = {0};
    (void)state;
    free(out);
    free(said);
    out = said = NULL;
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(sae_str_printf(&command, NULL, "rm -rf '%s'", folder), SAE_OK);
    assert_int_equal(system(command.s), 0);
    sae_str_clear(&command);
    return 0;
}

static json_t *result_at(const char *path)
{
    json_t *result = NULL;
    assert_int_equal(sae_json_load(&result, path, NULL), SAE_OK);
    return result;
}

/* --- tests ---------------------------------------------------------------------------------- */

static void one_sae_gives_file_and_table(void **state)
{
    (void)state;
    expect(0, "run_1");
    assert_string_equal(out, "run_1/ckpt_100.h5: 64 latents\n1 SAEs\n");
    says("wrote 'run_1/ckpt_100.count.json'");
    assert_false(is_there("run_1/ckpt_50.count.json"));
    json_t *const result = result_at("run_1/ckpt_100.count.json");
    assert_string_equal(sae_json_str(result, "eval_type_id", ""), "count");
    assert_int_equal(sae_json_u64(result, "eval_result_metrics.size.latents", 0), 64);
    assert_int_equal(sae_json_u64(result, "sae_cfg_dict.d_sae", 0), 64);
    assert_string_equal(sae_json_str(result, "saekit.checkpoint.path", ""), "run_1/ckpt_100.h5");
    assert_string_equal(sae_json_str(result, "saekit.record.program", ""), "sae-count");
    const json_t *const inputs = sae_json_at(result, "saekit.record.inputs");
    assert_int_equal(json_array_size(inputs), 1);
    assert_string_equal(sae_json_str(json_array_get(inputs, 0), "path", ""), "ckpt_100.h5");
    json_decref(result);
}

static void several_in_the_order_they_were_named(void **state)
{
    (void)state;
    expect(0, "--all run_2 run_1");
    assert_string_equal(out, "run_2/ckpt_100.h5: 32 latents\n\nrun_1/ckpt_50.h5: 48 latents\n\n"
                             "run_1/ckpt_100.h5: 64 latents\n3 SAEs\n");
    expect(0, "--brief --all run_1"); /* of several: what is said of all */
    assert_string_equal(out, "2 SAEs\n");
    expect(0, "--brief run_1");
    assert_string_equal(out, "run_1/ckpt_100.h5: 64 latents\n1 SAEs\n");
    expect(1, "nothing");
    says("cannot find 'nothing'");
}

static void groups_are_measured_together(void **state)
{
    (void)state;
    expect(0, "--grouped run_1/ckpt_50.h5 run_2 run_1");
    assert_string_equal(out, "begin run_1/ckpt_50.h5 run_1/ckpt_100.h5\n"
                             "run_1/ckpt_50.h5: 48 latents\n\nrun_1/ckpt_100.h5: 64 latents\n"
                             "end 2\nbegin run_2/ckpt_100.h5\n\nrun_2/ckpt_100.h5: 32 latents\n"
                             "end 1\n3 SAEs\n");
    /* their results stand in the order they were named */
    expect(0, "-q --json --grouped run_1/ckpt_50.h5 run_2 run_1");
    const char *const array = strchr(out, '[');
    json_t *const all = json_loads(array, JSON_DISABLE_EOF_CHECK, NULL);
    assert_int_equal(json_array_size(all), 3);
    assert_int_equal(
        sae_json_u64(json_array_get(all, 1), "eval_result_metrics.size.latents", 0), 32);
    json_decref(all);
}

static void json_is_the_file(void **state)
{
    char *file = NULL;
    size_t len;
    (void)state;
    expect(0, "-q --json run_1");
    assert_string_equal(said, "");
    assert_int_equal(sae_fs_read(&file, &len, "run_1/ckpt_100.count.json", 1 << 20, NULL), SAE_OK);
    assert_string_equal(out, file);
    free(file);
}

static void one_named_twice_is_taken_once(void **state)
{
    (void)state;
    expect(0, "-q --json run_1 run_2 ./run_1/ckpt_100.h5");
    says("ckpt_100.h5' is named twice; it is taken once");
    assert_null(strstr(strstr(said, "is named twice") + 1, "is named twice"));
    const char *const first = strstr(out, "eval_type_id");
    assert_non_null(strstr(first + 1, "eval_type_id"));
    assert_null(strstr(strstr(first + 1, "eval_type_id") + 1, "eval_type_id"));
}

static void a_damaged_one_is_left_out_and_counted(void **state)
{
    (void)state;
    assert_int_equal(truncate("run_1/ckpt_50.h5", 3000), 0);
    expect(1, "--all run_1 run_2");
    says("ckpt_50.h5");
    says("; left out");
    says("1 of 3 SAEs could not be read; the results of the others are complete");
    assert_true(is_there("run_1/ckpt_100.count.json") && is_there("run_2/ckpt_100.count.json"));
    expect(1, "run_1/ckpt_50.h5"); /* alone: its own message */
    assert_null(strstr(said, "left out"));
    assert_int_equal(truncate("run_1/ckpt_100.h5", 3000), 0);
    expect(1, "--all run_1"); /* none is left */
    assert_false(is_there("run_1/ckpt_50.count.json"));
}

static void results_go_where_out_says(void **state)
{
    (void)state;
    expect(0, "-o one.json run_1");
    assert_true(is_there("one.json") && !is_there("run_1/ckpt_100.count.json"));
    expect(2, "-o one.json --all run_1");
    says("2 results and one file 'one.json'");
    expect(2, "-o one.json --two run_1");
    says("2 results and one file");
    expect(0, "-o out --two --all run_1");
    assert_true(is_there("out/counts/run_1_ckpt_50_custom_sae_eval_results.json"));
    assert_true(is_there("out/counts2/run_1_ckpt_100_custom_sae_eval_results.json"));
    /* the name is taken by another SAE: refused, unless --force */
    save("run_1/ckpt_100.h5", 16, 80);
    expect(2, "-o out run_1");
    says("is the result of another SAE");
    expect(0, "-o out --force run_1");
    json_t *const result = result_at("out/counts/run_1_ckpt_100_custom_sae_eval_results.json");
    assert_int_equal(sae_json_u64(result, "eval_result_metrics.size.latents", 0), 80);
    json_decref(result);
}

static void two_results_of_one(void **state)
{
    (void)state;
    expect(0, "--two --json -q run_1");
    json_t *const both = json_loads(out, 0, NULL);
    assert_int_equal(json_array_size(both), 2);
    assert_string_equal(sae_json_str(json_array_get(both, 1), "eval_type_id", ""), "count2");
    json_decref(both);
    assert_true(is_there("run_1/ckpt_100.count.json") && is_there("run_1/ckpt_100.count2.json"));
}

static void interrupted_and_taken_up(void **state)
{
    (void)state;
    expect(130, "--stop 2 --all run_1");
    assert_true(is_there("run_1/ckpt_50.count.json")); /* the first is complete */
    assert_false(is_there("run_1/ckpt_100.count.json"));
    says("what is finished is kept in 'run_1/ckpt_100.count.part.json'; the same command continues from there");
    expect(0, "run_1");
    assert_non_null(strstr(out, "goes on from run_1/ckpt_100.count.part.json"));
    assert_true(is_there("run_1/ckpt_100.count.json"));
    assert_false(is_there("run_1/ckpt_100.count.part.json"));
}

/* Found out before the work where that can be known; else the numbers are printed. */
static void a_result_that_cannot_be_written(void **state)
{
    (void)state;
    assert_int_equal(sae_fs_write("file", "", 0, NULL), SAE_OK);
    expect(1, "-o file/x.json run_1");
    says("cannot write 'file/x.json'");
    says("results can be put elsewhere with -o FOLDER");
    assert_string_equal(out, "");
    assert_int_equal(limited(900, "-q --all run_1"), 1);
    assert_non_null(strstr(out, "run_1/ckpt_50.h5: 48 latents"));
    assert_non_null(strstr(out, "run_1/ckpt_100.h5: 64 latents"));
    says("the numbers are printed");
    says("2 results were printed, but could not be written");
    assert_false(is_there("run_1/ckpt_100.count.json"));
}

/* One answer to "where is the store?": not recorded, gone, given. */
static void the_store(void **state)
{
    (void)state;
    expect(1, "--sets -o out run_1");
    says("'run_1/ckpt_100.h5' does not say which activation store it was trained on; name one with "
         "--acts DIR, or the sets with --labels FILE");
    assert_false(sae_fs_is_dir("out")); /* a refusal leaves nothing behind */
    expect(1, "--acts nowhere run_1");
    says("nowhere");
    assert_int_equal(sae_fs_make_dirs("sets", NULL), SAE_OK);
    assert_int_equal(sae_fs_write("sets/words.h5", "", 0, NULL), SAE_OK);
    expect(0, "--sets --acts sets run_1");
    json_t *const result = result_at("run_1/ckpt_100.count.json");
    const json_t *const of_sae = json_array_get(sae_json_at(result, "saekit.record.inputs"), 0);
    const json_t *const acts = json_array_get(sae_json_at(of_sae, "record.inputs"), 0);
    assert_string_equal(sae_json_str(acts, "path", ""), "../sets");
    json_decref(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_sae_gives_file_and_table, setup, teardown),
        cmocka_unit_test_setup_teardown(several_in_the_order_they_were_named, setup, teardown),
        cmocka_unit_test_setup_teardown(groups_are_measured_together, setup, teardown),
        cmocka_unit_test_setup_teardown(json_is_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(one_named_twice_is_taken_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_one_is_left_out_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(results_go_where_out_says, setup, teardown),
        cmocka_unit_test_setup_teardown(two_results_of_one, setup, teardown),
        cmocka_unit_test_setup_teardown(interrupted_and_taken_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_result_that_cannot_be_written, setup, teardown),
        cmocka_unit_test_setup_teardown(the_store, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
