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
#include "autointerp/plan.h"
#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/utf8.h"
#include "lib/cli/opt.h"
#include "lib/eval/evaluate.h"
#include "lib/eval/output.h"
#include "lib/eval/store.h"
#include "lib/file/json.h"
#include "lm/config.h"

/* --- 1. options ------------------------------------------------------------------------------ */

static struct {
    const char *llm, *api_base, *key_env, *body, *model;
    struct sae_eval_options eval;
    uint64_t latents, seed, tokens, min_active, parallel, retries, batch;
    double timeout;
    bool dry_run, transcript;
} given;

#define OPENAI "https://api.openai.com/v1"

/* clang-format off */
static const struct sae_opt options[] = {
    {"llm", 0, SAE_OPT_STR, &given.llm, "gpt-4o-mini", .arg = "NAME", .group = "Endpoint",
     .help = "model that explains and predicts, by the endpoint's name for it", .flags = SAE_OPT_MAIN},
    {"api-base", 0, SAE_OPT_STR, &given.api_base, OPENAI, .arg = "URL", .group = "Endpoint",
     .help = "OpenAI-compatible endpoint, without /chat/completions", .flags = SAE_OPT_MAIN},
    {"key-env", 0, SAE_OPT_STR, &given.key_env, "OPENAI_API_KEY", .arg = "NAME",
     .group = "Endpoint",
     .help = "environment variable that holds the key. The default one is sent to OpenAI only: "
             "another --api-base that needs a key needs --key-env",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"body", 0, SAE_OPT_STR, &given.body, NULL, .arg = "JSON", .group = "Endpoint",
     .help = "JSON merged into each request, e.g. '{\"temperature\": 0}'; a null value removes the "
             "key",
     .flags = SAE_OPT_MAIN},
    {"parallel", 0, SAE_OPT_U64, &given.parallel, "8", .min = 1, .max = 256, .arg = "N",
     .group = "Endpoint", .help = "requests at a time", .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"retries", 0, SAE_OPT_U64, &given.retries, "5", .min = 0, .max = 100, .arg = "N",
     .group = "Endpoint", .help = "times a failed request is sent again, with growing pauses",
     .flags = SAE_OPT_UNRECORDED},
    {"timeout", 0, SAE_OPT_REAL, &given.timeout, "60", .min = 0.1, .max = 86400, .arg = "SECONDS",
     .group = "Endpoint", .help = "longest wait for an answer, in seconds", .flags = SAE_OPT_UNRECORDED},
    {"latents", 0, SAE_OPT_COUNT, &given.latents, "100", .min = 1, .max = 1e9, .arg = "N",
     .group = "What is asked", .help = "live latents to explain, drawn at random; SAEBench's "
                                       "published numbers use 1000",
     .flags = SAE_OPT_MAIN},
    {"seed", 0, SAE_OPT_U64, &given.seed, "42", .min = 0, .max = 4294967295.0, .arg = "N",
     .group = "What is asked", .help = "random seed for the draws of latents and "
                                       "excerpts", .flags = SAE_OPT_MAIN},
    {"dry-run", 0, SAE_OPT_FLAG, &given.dry_run, "false", .group = "What is asked",
     .help = "print the prompts and what they would cost; send nothing",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"transcript", 0, SAE_OPT_FLAG, &given.transcript, "false", .group = "What is asked",
     .help = "also write the prompts and answers to ckpt_<n>.autointerp.txt",
     .flags = SAE_OPT_MAIN | SAE_OPT_UNRECORDED},
    {"min-active", 0, SAE_OPT_COUNT, &given.min_active, "15", .min = 0, .max = 1e9, .arg = "N",
     .group = "What is asked", .help = "a latent is live if it fires on more tokens than this"},
    SAE_EVAL_ALL(given.eval, "Input", 0),
    {"tokens", 0, SAE_OPT_COUNT, &given.tokens, "2M", .min = 0, .max = 4e9, .arg = "N",
     .group = "Input", .help = "number of leading store rows to scan; 0: all",
     .flags = SAE_OPT_MAIN},
    SAE_EVAL_ROWS(given.eval),
    SAE_EVAL_PLAN(given.eval),
    {"model", 0, SAE_OPT_PATH, &given.model, NULL, .arg = "DIR", .group = "Input",
     .help = "folder or GGUF file with the tokenizer; default: that of the store's "
             "language model"},
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
    struct sae_tok *tok;
    struct autointerp_corpus corpus;
};

static void source_clear(struct source *source)
{
    sae_acts_close(source->acts);
    sae_tok_close(source->tok);
    autointerp_corpus_clear(&source->corpus);
    *source = (struct source){0};
}

/* The tokens of a store mean something to its own tokenizer only. */
static enum sae_status check_tokenizer(const char *model, const struct sae_lm_config *config,
                                       const json_t *record, struct sae_err *err)
{
    const char *const recorded = sae_json_str(record, "tokenizer.sha256", NULL);
    char *path = NULL, hex[SAE_DIGEST_HEX];
    if (recorded == NULL)
        return SAE_OK;
    SAE_TRY(sae_tok_find(&path, model, config, err));
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
    struct sae_lm_config config;
    char *model = NULL;
    enum sae_status st;
    if (sae_store_imported(ckpt))
        return sae_err_set(err, SAE_EARG,
                           "'%s' was trained on an imported store, which lacks the texts that "
                           "sae-autointerp shows; make a store of texts with the language model "
                           "that the activations came from (sae-harvest --model DIR --layer L "
                           "--text FILE -o OTHER) and name it with --acts OTHER",
                           ckpt->path);
    SAE_GO(st, sae_store_open(&source.acts, ckpt, err));
    const json_t *const record = sae_acts_record(source.acts);
    const char *const dir = sae_acts_dir(source.acts);
    SAE_GO(st, sae_store_model(&model, ckpt, given.model, err));
    SAE_GO(st, sae_lm_config_read(&config, model, err));
    SAE_GO(st, check_tokenizer(model, &config, record, err));
    SAE_GO(st, sae_tok_open(&source.tok, model, &config, err));
    sae_tok_set_specials(source.tok, &config);
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
    return sae_mem_alloc(&job->answers, job->n, sizeof *job->answers, err);
}

/* What was answered before: in unfinished work, or in the result of the same question. */
static enum sae_status take_over(struct autointerp_job *job, const struct sae_eval_subject *subject,
                                 struct sae_err *err)
{
    size_t n_partial = 0, n_out = 0;
    SAE_TRY(autointerp_partial_load(&n_partial, subject->partial, job, err));
    SAE_TRY(autointerp_partial_load(&n_out, subject->out[0], job, err));
    if (n_partial + n_out > 0)
        sae_log_info("%zu of %zu latents were answered before, in '%s'; --force asks again",
                     n_partial + n_out, job->n, n_partial > 0 ? subject->partial : subject->out[0]);
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

static enum sae_status write_transcript(const struct autointerp_job *job, const char *out,
                                        struct sae_err *err)
{
    struct sae_str text = {0};
    char *path = NULL;
    enum sae_status st;
    SAE_GO(st, sae_output_beside(&path, out, ".txt", err));
    for (size_t i = 0; i < job->n; i++) {
        const struct autointerp_answer *const o = &job->answers[i];
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

static size_t count_done(const struct autointerp_job *job)
{
    size_t n = 0;
    for (size_t i = 0; i < job->n; i++)
        n += job->answers[i].done;
    return n;
}

static enum sae_status ask(struct autointerp_job *job, struct sae_chat *chat, const char *partial,
                           struct sae_err *err)
{
    /* written before anything is paid for: a folder that takes no file is found out now */
    SAE_TRY(autointerp_partial_save(partial, job, err));
    const enum sae_status st = autointerp_ask(job, chat, partial, err);
    if (count_done(job) == 0)
        unlink(partial);
    return st;
}

/* --- 5. the program -------------------------------------------------------------------------- */

struct work {
    struct autointerp_settings settings;
    struct sae_chat *chat;
    struct source source; /* of the checkpoint at hand */
    struct autointerp_job job;
};

static enum sae_status open_work(struct sae_evaluation *run, struct sae_err *err)
{
    struct work *const w = run->eval->data;
    if (given.dry_run && run->cli->json)
        return sae_err_set(err, SAE_EARG, "--dry-run prints prompts; it has no JSON");
    return given.eval.plan ? SAE_OK : open_chat(&w->chat, run->cli, err);
}

static enum sae_status find_source(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                   struct sae_err *err)
{
    struct work *const w = run->eval->data;
    SAE_TRY(open_source(&w->source, &subject->ckpt, err));
    w->job = (struct autointerp_job){.ckpt = &subject->ckpt,
                                     .settings = &w->settings,
                                     .corpus = &w->source.corpus,
                                     .tok = w->source.tok,
                                     .acts_id = sae_acts_id(w->source.acts)};
    return SAE_OK;
}

static enum sae_status plan_one(struct sae_evaluation *run, struct sae_plan *plan,
                                struct sae_err *err)
{
    const struct work *const w = run->eval->data;
    return autointerp_plan(plan, &run->group[0]->ckpt.model, run->ops, &w->source.corpus,
                           &w->settings, err);
}

/* Asks what is open. A dry run prints it, and has no result. */
static enum sae_status autointerp_one(struct sae_evaluation *run, struct sae_eval_subject *subject,
                                      struct sae_result_parts parts[], json_t *record,
                                      struct sae_err *err)
{
    struct work *const w = run->eval->data;
    struct autointerp_job *const job = &w->job;
    struct sae_acts *const acts = w->source.acts;
    struct autointerp_cost cost;
    SAE_TRY(choose(job, &w->source, run->ops, err));
    if (!run->cli->force)
        SAE_TRY(take_over(job, subject, err));
    SAE_TRY(say_cost(job, &cost, err));
    if (given.dry_run)
        return print_prompts(job, err);
    SAE_TRY(ask(job, w->chat, subject->partial, err));
    if (given.transcript)
        SAE_TRY(write_transcript(job, subject->out[0], err));
    SAE_TRY(sae_output_input(record, &subject->ckpt, "acts", sae_acts_dir(acts), sae_acts_id(acts),
                             sae_acts_record(acts), err));
    SAE_TRY(autointerp_result_parts(&parts[0], job, err));
    const size_t n_failed = job->n - count_done(job);
    if (n_failed > 0)
        sae_log_warn("'%s': %zu of %zu latents failed and are not in the mean; the same command "
                     "asks for them again",
                     subject->path, n_failed, job->n);
    return SAE_OK;
}

static enum sae_status print(struct sae_evaluation *run, const struct sae_eval_subject *subject,
                             struct sae_err *err)
{
    (void)subject;
    return autointerp_table_print(&((struct work *)run->eval->data)->job, stdout, err);
}

static void end_checkpoint(struct sae_evaluation *run)
{
    struct work *const w = run->eval->data;
    autointerp_answers_free(w->job.answers, w->job.n);
    free(w->job.picks);
    w->job = (struct autointerp_job){0};
    source_clear(&w->source);
}

static void close_work(struct sae_evaluation *run)
{
    sae_chat_close(((struct work *)run->eval->data)->chat);
}

static enum sae_status run(const struct sae_cli *cli, struct sae_err *err)
{
    struct work work = {.settings = {.n_latents = given.latents,
                                     .limit = given.tokens,
                                     .batch = given.batch,
                                     .seed = given.seed,
                                     .min_active = given.min_active,
                                     .llm = given.llm,
                                     .api_base = given.api_base,
                                     .body = given.body}};
    const struct sae_eval eval = {
        .results = {{"autointerp", "autointerp", "autointerp.json"}},
        .partial = ".part.json",
        .options = &given.eval,
        .data = &work,
        .open = open_work,
        .check = find_source,
        .plan = plan_one,
        .one = autointerp_one,
        .print = print,
        .end = end_checkpoint,
        .close = close_work,
    };
    return sae_evaluate(&eval, cli, err);
}

int main(int argc, char **argv)
{
    static const struct sae_program program = {
        .name = "sae-autointerp",
        .summary = "let a language model explain latents and predict them from its explanations",
        .usage = "sae-autointerp [--llm NAME] [--api-base URL] [RUN|CHECKPOINT ...]",
        .examples = "# what would be asked about one latent; sends nothing\n"
                    "sae-autointerp --dry-run --latents 1 run_2\n"
                    "# the last checkpoint of a run, by gpt-4o-mini; the key is in OPENAI_API_KEY\n"
                    "sae-autointerp run_2\n"
                    "# a model served on this machine, with answers as repeatable as it can make "
                    "them\n"
                    "sae-autointerp --api-base http://localhost:8000/v1 --llm qwen3 \\\n"
                    "    --body '{\"temperature\": 0}' run_2\n"
                    "# a model that thinks first needs more tokens\n"
                    "sae-autointerp --llm o4-mini \\\n"
                    "    --body '{\"max_tokens\": null, \"max_completion_tokens\": 2000}' run_2\n",
        .about =
            "sae-autointerp is SAEBench's autointerp. For each of a number of live latents, a "
            "language model behind an OpenAI-compatible chat endpoint sees 15 excerpts of the "
            "store's text in which the latent fires, with the active tokens marked, and explains "
            "the latent in a sentence. Then it sees 14 unmarked excerpts, on 4 of which the latent "
            "fires, and says from the explanation alone which they are. The score of a latent is "
            "the share of the 14 that it judges correctly; the answer None scores 10/14 = "
            "0.714.\n\n"
            "Text leaves this machine: excerpts of the store's text go to the endpoint. The number "
            "of requests is printed before the first is sent, and --dry-run prints them all. The "
            "key is read from the environment and is neither printed nor stored; OPENAI_API_KEY "
            "goes to OpenAI only, unless --key-env names it.\n\n"
            "Requests that fail for a passing reason are sent again. A latent without a readable "
            "answer counts as failed: it is named, is left out of the mean, and the same command "
            "asks for it again. An interrupted run keeps finished latents in "
            "ckpt_<n>.autointerp.part.json and continues from there.\n\n"
            "The result is written beside the checkpoint as ckpt_<n>.autointerp.json (-o names "
            "another place) in SAEBench's shape. SAEs of other packages are accepted too, with a "
            "store of their model and layer in --acts. Formulas and versions: "
            "docs/math-autointerp.md.",
        .operands = "RUN|CHECKPOINT ...",
        .opts = options,
        .run = run,
    };
    return sae_program_main(&program, argc, argv);
}
