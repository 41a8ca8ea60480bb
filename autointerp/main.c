/* SPDX-License-Identifier: MIT */
/* sae-autointerp : can a language model say what a latent stands for?
 *
 * Contents:  1. options   2. the endpoint   3. store, text and tokenizer   4. a checkpoint
 *            5. the program */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "autointerp/autointerp.h"
#include "autointerp/guard.h"
#include "gemma/config.h"
#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/cli/backend.h"
#include "lib/cli/opt.h"
#include "lib/cli/target.h"
#include "lib/eval/store.h"
#include "lib/eval/subjects.h"
#include "lib/file/json.h"
#include "lib/file/record.h"

/* --- 1. options ------------------------------------------------------------------------------ */

static struct {
    const char *llm, *api_base, *key_env, *body, *model;
    struct sae_subject_options subject;
    uint64_t latents, seed, tokens, min_active, parallel, retries, batch;
    double timeout;
    bool all, dry_run, transcript;
} given;

#define OPENAI "https://api.openai.com/v1"

/* clang-format off */
static const struct sae_opt options[] = {
    {"llm", 0, SAE_OPT_STR, &given.llm, "gpt-4o-mini", .arg = "NAME", .group = "Endpoint",
     .help = "model that explains and predicts, as the endpoint names it", .flags = SAE_OPT_MAIN},
    {"api-base", 0, SAE_OPT_STR, &given.api_base, OPENAI, .arg = "URL", .group = "Endpoint",
     .help = "OpenAI-compatible endpoint, without /chat/completions", .flags = SAE_OPT_MAIN},
    {"key-env", 0, SAE_OPT_STR, &given.key_env, "OPENAI_API_KEY", .arg = "NAME",
     .group = "Endpoint",
     .help = "environment variable that holds the key; its default is sent to OpenAI only, so name "
             "it with any other --api-base that needs a key",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"body", 0, SAE_OPT_STR, &given.body, NULL, .arg = "JSON", .group = "Endpoint",
     .help = "laid over each request; null takes a key out: '{\"temperature\": 0}'",
     .flags = SAE_OPT_MAIN},
    {"parallel", 0, SAE_OPT_U64, &given.parallel, "8", .min = 1, .max = 256, .arg = "N",
     .group = "Endpoint", .help = "requests at a time", .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"retries", 0, SAE_OPT_U64, &given.retries, "5", .min = 0, .max = 100, .arg = "N",
     .group = "Endpoint", .help = "further tries of a request, with growing pauses",
     .flags = SAE_OPT_UNRECORDED},
    {"timeout", 0, SAE_OPT_REAL, &given.timeout, "60", .min = 0.1, .max = 86400, .arg = "SECONDS",
     .group = "Endpoint", .help = "longest wait for one answer", .flags = SAE_OPT_UNRECORDED},
    {"latents", 0, SAE_OPT_COUNT, &given.latents, "100", .min = 1, .max = 1e9, .arg = "N",
     .group = "What is asked", .help = "latents drawn among the live ones; SAEBench's published numbers use 1000",
     .flags = SAE_OPT_MAIN},
    {"seed", 0, SAE_OPT_U64, &given.seed, "42", .min = 0, .max = 4294967295.0, .arg = "N",
     .group = "What is asked", .help = "of the draw of latents and excerpts", .flags = SAE_OPT_MAIN},
    {"dry-run", 0, SAE_OPT_FLAG, &given.dry_run, "false", .group = "What is asked",
     .help = "print the prompts and what they would cost, send nothing",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"transcript", 0, SAE_OPT_FLAG, &given.transcript, "false", .group = "What is asked",
     .help = "also write prompts and answers to ckpt_<n>.autointerp.txt",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"min-active", 0, SAE_OPT_U64, &given.min_active, "15", .min = 0, .max = 1e9, .arg = "N",
     .group = "What is asked", .help = "a latent is live where it fires on more tokens than this"},
    {"all", 0, SAE_OPT_FLAG, &given.all, "false", .group = "Input",
     .help = "every checkpoint of a run, not only its last", .flags = SAE_OPT_MAIN},
    {"tokens", 0, SAE_OPT_COUNT, &given.tokens, "2M", .min = 0, .max = 4e9, .arg = "N",
     .group = "Input", .help = "rows of the store looked through, the first ones; 0 for all",
     .flags = SAE_OPT_MAIN},
    SAE_SUBJECT_ROWS(given.subject),
    {"model", 0, SAE_OPT_PATH, &given.model, NULL, .arg = "DIR", .group = "Input",
     .help = "folder with the tokenizer; default: the language model of the store"},
    {"batch", 0, SAE_OPT_COUNT, &given.batch, "4096", .min = 1, .max = 1e7, .arg = "N",
     .group = "Input", .help = "tokens encoded at a time"},
    {0}};
/* clang-format on */

/* --- 2. the endpoint ------------------------------------------------------------------------- */

static enum sae_status open_chat(struct sae_chat **ret, const struct sae_cli *cli,
                                 struct sae_err *err)
{
    const char *key = getenv(given.key_env);
    if (key != NULL && *key == '\0')
        key = NULL;
    /* A key goes where its owner sends it: OpenAI's own to OpenAI, any to an address beside which
     * its variable was named. */
    const bool named = sae_opt_given(cli, "key-env"), openai = sae_guard_is_openai(given.api_base);
    if (key != NULL && !named && !openai) {
        sae_log_info("the key in %s is not sent to '%s'; give --key-env %s to send it",
                     given.key_env, given.api_base, given.key_env);
        key = NULL;
    }
    if (key == NULL && !given.dry_run && named)
        return sae_err_set(err, SAE_EARG,
                           "--key-env: the environment has no variable of that name "
                           "with a key in it");
    if (key == NULL && !given.dry_run && openai)
        return sae_err_set(err, SAE_EARG,
                           "no key in OPENAI_API_KEY for " OPENAI "; set it, or name another "
                           "variable with --key-env or another endpoint with --api-base URL "
                           "(--dry-run needs neither)");
    const struct sae_chat_settings settings = {.base = given.api_base,
                                               .llm = given.llm,
                                               .key = given.dry_run ? NULL : key,
                                               .body = given.body,
                                               .parallel = given.parallel,
                                               .retries = given.retries,
                                               .timeout = given.timeout};
    return sae_chat_open(ret, &settings, err);
}

/* --- 3. store, text and tokenizer ------------------------------------------------------------ */

struct source {
    struct sae_acts *acts;
    struct gemma_tok *tok;
    struct autointerp_corpus corpus;
};

static void source_clear(struct source *source)
{
    sae_acts_close(source->acts);
    gemma_tok_close(source->tok);
    autointerp_corpus_clear(&source->corpus);
    *source = (struct source){0};
}

static enum sae_status open_store(struct sae_acts **ret, const struct sae_ckpt *ckpt,
                                  struct sae_err *err)
{
    char *folder = NULL;
    enum sae_status st;
    if (given.subject.acts != NULL)
        SAE_GO(st, sae_mem_strdup(&folder, given.subject.acts, err));
    else
        SAE_GO(st, sae_store_recorded(&folder, ckpt, err));
    if (folder == NULL) { /* an SAE from elsewhere */
        st = sae_err_set(err, SAE_EARG,
                         "'%s' does not say which activation store it was trained on; name one of "
                         "its model and layer with --acts DIR",
                         ckpt->path);
        goto done;
    }
    st = sae_acts_open(ret, folder, err);
    if (st != SAE_OK && given.subject.acts == NULL && !sae_fs_is_dir(folder))
        st = sae_err_set(err, st,
                         "the activation store of '%s' is not at '%s' any more; put it back, or "
                         "name one with --acts DIR",
                         ckpt->path, folder);
    if (st != SAE_OK)
        goto done;
    st = sae_store_check(ckpt, folder, sae_acts_d(*ret), sae_acts_record(*ret), err);
done:
    free(folder);
    return st;
}

/* The tokens of a store mean something to its own tokenizer only. */
static enum sae_status check_tokenizer(const char *model, const json_t *record, struct sae_err *err)
{
    const char *const recorded = sae_json_str(record, "tokenizer.sha256", NULL);
    char *path = NULL, hex[SAE_DIGEST_HEX];
    if (recorded == NULL)
        return SAE_OK;
    SAE_TRY(sae_fs_join(&path, model, "tokenizer.model", err));
    enum sae_status st = sae_digest_file(path, hex, err);
    if (st == SAE_OK && strcmp(hex, recorded) != 0)
        st = sae_err_set(err, SAE_EARG,
                         "'%s' is not the tokenizer that the store was made with; name the "
                         "language model's folder with --model DIR",
                         path);
    free(path);
    return st;
}

static enum sae_status open_source(struct source *ret, const struct sae_ckpt *ckpt,
                                   struct sae_err *err)
{
    struct source source = {0};
    struct gemma_config config;
    char *model = NULL;
    enum sae_status st;
    SAE_GO(st, open_store(&source.acts, ckpt, err));
    const json_t *const record = sae_acts_record(source.acts);
    const char *const dir = sae_acts_dir(source.acts);
    SAE_GO(st, sae_store_model(&model, ckpt, given.model, err));
    SAE_GO(st, gemma_config_read(&config, model, err));
    SAE_GO(st, check_tokenizer(model, record, err));
    SAE_GO(st, gemma_tok_open(&source.tok, model, &config, err));
    gemma_tok_tell(source.tok, &config);
    const uint64_t T = sae_json_u64(record, "site.context", 0);
    const bool eos = strcmp(sae_json_str(record, "packing.separator", "bos"), "eos") == 0;
    if (T == 0) {
        st = sae_err_set(err, SAE_EFORMAT,
                         "'%s' does not say how long its contexts are; harvest it again", dir);
        goto done;
    }
    SAE_GO(st, autointerp_corpus_read(&source.corpus, source.acts, T, given.tokens, config.bos,
                                      eos ? config.eos : config.bos, err));
    *ret = source;
    source = (struct source){0};
done:
    source_clear(&source);
    free(model);
    return st;
}

/* --- 4. a checkpoint ------------------------------------------------------------------------- */

static enum sae_status choose(struct autointerp_job *job, const struct source *source,
                              const struct sae_ops *ops, struct sae_err *err)
{
    const struct autointerp_settings *const s = job->settings;
    struct autointerp_census *const census = &job->census;
    SAE_TRY(autointerp_choose(&job->picks, &job->n, census, s->n_latents, s->min_active, s->seed,
                              &source->corpus, source->acts, &job->ckpt->model, ops, s->batch,
                              err));
    if (job->n == 0)
        return sae_err_set(err, SAE_EARG,
                           "'%s': of %zu latents %zu fire on no more than %" PRIu64 " of %zu "
                           "tokens and %zu in too few places for %d excerpts; none is left to ask "
                           "about",
                           job->ckpt->path, census->n_looked_at, census->n_rare, s->min_active,
                           source->corpus.n_rows, census->n_clustered,
                           AUTOINTERP_TOP + AUTOINTERP_WEIGHTED);
    if (job->n < s->n_latents)
        sae_log_warn("'%s': only %zu latents can be asked about: of %zu %zu are too rare, %zu fire "
                     "in too few places",
                     job->ckpt->path, job->n, census->n_looked_at, census->n_rare,
                     census->n_clustered);
    return sae_mem_alloc(&job->outcomes, job->n, sizeof *job->outcomes, err);
}

/* What was answered before: in a part file, or in the result of the same question. */
static enum sae_status take_over(struct autointerp_job *job, const char *part, const char *out,
                                 bool force, struct sae_err *err)
{
    size_t n_part = 0, n_out = 0;
    if (force)
        return SAE_OK;
    SAE_TRY(autointerp_part_load(&n_part, part, job, err));
    SAE_TRY(autointerp_part_load(&n_out, out, job, err));
    if (n_part + n_out > 0)
        sae_log_info("%zu of %zu latents were answered before, in '%s'; --force asks again",
                     n_part + n_out, job->n, n_part > 0 ? part : out);
    return SAE_OK;
}

static enum sae_status say_cost(const struct autointerp_job *job, struct autointerp_cost *cost,
                                struct sae_err *err)
{
    SAE_TRY(autointerp_cost_of(cost, job, err));
    if (cost->n_requests > 0)
        sae_log_info("%s: %zu requests to %s at '%s', about %.1f K tokens in and at most %.1f K "
                     "out",
                     job->ckpt->path, cost->n_requests, given.llm, given.api_base,
                     cost->tokens_in / 1000, cost->tokens_out / 1000);
    return SAE_OK;
}

static enum sae_status print_prompts(const struct autointerp_job *job, struct sae_err *err)
{
    for (size_t i = 0; i < job->n; i++) {
        struct autointerp_prompt explain = {0}, score = {0};
        enum sae_status st =
            autointerp_prompt_explain(&explain, &job->picks[i], job->corpus, job->tok, err);
        if (st == SAE_OK)
            st = autointerp_prompt_score(&score, &job->picks[i], job->corpus, job->tok,
                                         "(the explanation)", job->settings->seed, err);
        if (st == SAE_OK)
            sae_utf8_print(stdout,
                           "=== latent %u\n--- explain: system\n%s\n--- explain: user\n%s\n"
                           "--- score: system\n%s\n--- score: user\n%s\n\n",
                           job->picks[i].latent, explain.system, explain.user, score.system,
                           score.user);
        autointerp_prompt_clear(&explain);
        autointerp_prompt_clear(&score);
        SAE_TRY(st);
    }
    return SAE_OK;
}

/* "run_2/ckpt_50.autointerp.json" + ".txt" -> "run_2/ckpt_50.autointerp.txt" */
static enum sae_status beside(char **ret, const char *out, const char *suffix, struct sae_err *err)
{
    struct sae_str s = {0};
    const int n = (int)strlen(out) - (sae_str_ends(out, ".json") ? 5 : 0);
    SAE_TRY(sae_str_printf(&s, err, "%.*s%s", n, out, suffix));
    *ret = s.s;
    return SAE_OK;
}

static enum sae_status write_transcript(const struct autointerp_job *job, const char *out,
                                        struct sae_err *err)
{
    struct sae_str text = {0};
    char *path = NULL;
    enum sae_status st;
    SAE_GO(st, beside(&path, out, ".txt", err));
    for (size_t i = 0; i < job->n; i++) {
        const struct autointerp_outcome *const o = &job->outcomes[i];
        SAE_GO(st, sae_str_printf(&text, err, "=== latent %u\n%s", job->picks[i].latent,
                                  o->log != NULL ? o->log : ""));
        if (o->done)
            SAE_GO(st, sae_str_printf(&text, err, "--- score %.4f\n\n", o->mark.score));
        else
            SAE_GO(st, sae_str_printf(&text, err, "--- failed: %s\n\n", o->why));
    }
    SAE_GO(st, sae_fs_write(path, text.s, text.len, err));
    sae_log_info("wrote '%s'", path);
done:
    sae_str_clear(&text);
    free(path);
    return st;
}

static enum sae_status make_result(json_t **ret, const struct sae_cli *cli,
                                   const struct autointerp_job *job, struct sae_acts *acts,
                                   struct sae_err *err)
{
    json_t *record = NULL;
    char *run = NULL, *seen = NULL;
    enum sae_status st;
    SAE_GO(st, sae_opt_record(&record, cli, err));
    SAE_GO(st, sae_target_run(&run, job->ckpt->path, err));
    SAE_GO(st, sae_record_input(record, "checkpoint", sae_fs_base(job->ckpt->path), job->ckpt->id,
                                job->ckpt->record, err));
    SAE_GO(st, sae_fs_relative(&seen, run, sae_acts_dir(acts), err));
    SAE_GO(st,
           sae_record_input(record, "acts", seen, sae_acts_id(acts), sae_acts_record(acts), err));
    st = autointerp_result_make(ret, job, record, err);
done:
    free(run);
    free(seen);
    json_decref(record);
    return st;
}

/* Asks what is open and writes the result. *ret: the result. */
static enum sae_status ask_and_write(json_t **ret, const struct sae_cli *cli,
                                     struct sae_subjects *saes,
                                     struct autointerp_job *job, struct sae_chat *chat,
                                     struct sae_acts *acts, const char *part, const char *out,
                                     struct sae_err *err)
{
    json_t *result = NULL;
    size_t n_failed = 0, n_done = 0;
    /* written before anything is paid for: a folder that takes no file is found out now */
    SAE_TRY(autointerp_part_save(part, job, err));
    enum sae_status st = autointerp_ask(job, chat, part, err);
    for (size_t i = 0; i < job->n; i++)
        n_done += job->outcomes[i].done;
    if (n_done == 0)
        unlink(part);
    else if (st != SAE_OK)
        sae_log_info("finished latents are kept in '%s'; the same command goes on from there",
                     part);
    SAE_TRY(st);
    if (given.transcript)
        SAE_TRY(write_transcript(job, out, err));
    SAE_TRY(make_result(&result, cli, job, acts, err));
    SAE_GO(st, sae_subjects_write(saes, out, result, part, err)); /* it holds all the part does */
    for (size_t i = 0; i < job->n; i++)
        n_failed += !job->outcomes[i].done;
    if (n_failed > 0)
        sae_log_warn("'%s': %zu of %zu latents failed and are not in the mean; the same command "
                     "asks for them again",
                     job->ckpt->path, n_failed, job->n);
    if (!cli->json)
        SAE_GO(st, autointerp_table_print(job, stdout, err));
    *ret = json_incref(result);
done:
    json_decref(result);
    return st;
}

/* One checkpoint from file to result. *ret: the result, NULL of a dry run. */
static enum sae_status run_checkpoint(json_t **ret, const struct sae_cli *cli,
                                      struct sae_subjects *saes, const char *path,
                                      const struct autointerp_settings *settings,
                                      struct sae_chat *chat, const struct sae_ops *ops,
                                      struct sae_err *err)
{
    struct sae_ckpt ckpt = {0};
    struct source source = {0};
    struct autointerp_job job = {.ckpt = &ckpt, .settings = settings};
    struct autointerp_cost cost;
    char *part = NULL, *out = NULL;
    SAE_TRY(sae_subject_load(&ckpt, path, given.subject.acts, err));
    enum sae_status st;
    SAE_GO(st, open_source(&source, &ckpt, err));
    job.corpus = &source.corpus;
    job.tok = source.tok;
    job.acts_id = sae_acts_id(source.acts);
    SAE_GO(st, sae_subject_out(&out, &given.subject, "autointerp", &ckpt, "autointerp.json", err));
    SAE_GO(st, beside(&part, out, ".part.json", err));
    SAE_GO(st, choose(&job, &source, ops, err));
    SAE_GO(st, take_over(&job, part, out, cli->force, err));
    SAE_GO(st, say_cost(&job, &cost, err));
    if (given.dry_run)
        SAE_GO(st, print_prompts(&job, err));
    else
        SAE_GO(st, ask_and_write(ret, cli, saes, &job, chat, source.acts, part, out, err));
done:
    autointerp_outcomes_free(job.outcomes, job.n);
    free(job.picks);
    free(part);
    free(out);
    source_clear(&source);
    sae_ckpt_clear(&ckpt);
    return st;
}

/* --- 5. the program -------------------------------------------------------------------------- */

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    const struct autointerp_settings settings = {.n_latents = given.latents,
                                                 .limit = given.tokens,
                                                 .batch = given.batch,
                                                 .seed = given.seed,
                                                 .min_active = given.min_active,
                                                 .llm = given.llm,
                                                 .api_base = given.api_base,
                                                 .body = given.body};
    const struct sae_ops *ops = NULL;
    struct sae_chat *chat = NULL;
    struct sae_subjects saes = {0};
    enum sae_status st;
    if (given.dry_run && cli->json) {
        st = sae_err_set(err, SAE_EARG, "--dry-run prints prompts; it has no JSON");
        goto done;
    }
    SAE_GO(st, sae_cli_backend(&ops, cli, "", err));
    SAE_GO(st, open_chat(&chat, cli, err));
    SAE_GO(st, sae_subjects_find(&saes, &given.subject, cli, given.all, err));
    for (size_t i = 0; i < saes.n; i++) {
        json_t *result = NULL;
        SAE_GO(st, run_checkpoint(&result, cli, &saes, saes.paths[i], &settings, chat, ops, err));
        if (result != NULL)
            json_array_append_new(saes.answers, result);
        if (!cli->json && i + 1 < saes.n)
            putchar('\n');
    }
    st = sae_subjects_end(&saes, cli, err);
done:
    sae_chat_close(chat);
    sae_subjects_clear(&saes);
    return st;
}

int main(int argc, char **argv)
{
    static const struct sae_program program = {
        .name = "sae-autointerp",
        .summary = "can a language model say what latents stand for, and predict them from that?",
        .usage = "sae-autointerp [--llm NAME] [--api-base URL] [RUN|CHECKPOINT ...]",
        .examples = "# what would be asked, of one latent; sends nothing\n"
                    "sae-autointerp --dry-run --latents 1 run_2\n"
                    "# the last checkpoint of a run, by gpt-4o-mini; the key is in OPENAI_API_KEY\n"
                    "sae-autointerp run_2\n"
                    "# a model served on this machine, answers as repeatable as it can make them\n"
                    "sae-autointerp --api-base http://localhost:8000/v1 --llm qwen3 \\\n"
                    "    --body '{\"temperature\": 0}' run_2\n"
                    "# a model that thinks first needs room for it\n"
                    "sae-autointerp --llm o4-mini \\\n"
                    "    --body '{\"max_tokens\": null, \"max_completion_tokens\": 2000}' run_2\n",
        .about =
            "SAEBench's autointerp. For each of a number of live latents, a language model behind "
            "an OpenAI-compatible chat endpoint sees 15 excerpts of the store's text in which the "
            "latent fires, the active tokens marked, and explains it in a sentence. It then sees "
            "14 unmarked excerpts, 4 of which hold activity, and says from the explanation alone "
            "which. The score of a latent is the share of the 14 it says rightly; an answer of "
            "None scores 10/14 = 0.714.\n\n"
            "Text leaves this machine: excerpts of the store's text go to the endpoint. The "
            "number of requests is told before the first is sent, and --dry-run prints them all. "
            "The key is read from the environment and is neither printed nor stored; OPENAI_API_KEY "
            "goes to OpenAI only, unless --key-env names it.\n\n"
            "Requests that fail in a way that may pass are asked again. A latent whose answer "
            "cannot be had or read counts as failed: it is named, is not in the mean, and the "
            "same command asks for it again. An interrupted run keeps finished latents in "
            "ckpt_<n>.autointerp.part.json and goes on from there.\n\n"
            "The result is written beside the checkpoint as ckpt_<n>.autointerp.json (-o names "
            "another place) in SAEBench's shape. SAEs of other packages are taken too, with a "
            "store of their model and layer named by --acts. Formulas and versions: docs/math-autointerp.md.",
        .operands = "RUN|CHECKPOINT ...",
        .opts = options,
        .run = run,
    };
    return sae_program_main(&program, argc, argv);
}
