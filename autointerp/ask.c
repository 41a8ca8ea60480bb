/* SPDX-License-Identifier: MIT */
/* ask : each latent through its two requests - explain, then score - several latents at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autointerp/autointerp.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/stop.h"
#include "lib/base/str.h"
#include "lib/cli/progress.h"
#include "lib/file/cache.h"

/* A pass over the latents. A request's tag is its latent's place, twice, plus 1 for scoring. */
struct pass {
    struct autointerp_job *job;
    struct sae_chat *chat;
    const char *partial;
    size_t next, n_under_way, n_ended;
    uint64_t tokens_in, tokens_out;
    double saved, saving; /* when the unfinished work was last written, how long that took */
    bool unsaved;
    struct sae_progress bar;
};

static enum sae_status log_prompt(char **log, const char *title,
                                  const struct autointerp_prompt *prompt, struct sae_err *err)
{
    struct sae_str text = {0};
    const enum sae_status st =
        sae_str_printf(&text, err, "%s--- %s: system\n%s\n--- %s: user\n%s\n",
                       *log != NULL ? *log : "", title, prompt->system, title, prompt->user);
    if (st != SAE_OK) {
        sae_str_clear(&text);
        return st;
    }
    free(*log);
    *log = text.s;
    return SAE_OK;
}

static enum sae_status log_answer(char **log, const char *title, const char *answer,
                                  struct sae_err *err)
{
    struct sae_str text = {0};
    const enum sae_status st = sae_str_printf(&text, err, "%s--- %s: answer\n%s\n",
                                              *log != NULL ? *log : "", title, answer);
    if (st != SAE_OK) {
        sae_str_clear(&text);
        return st;
    }
    free(*log);
    *log = text.s;
    return SAE_OK;
}

static void say_why(struct autointerp_answer *o, const char *stage, const char *why)
{
    o->failed = true;
    snprintf(o->why, sizeof o->why, "%s: %.360s", stage, why);
}

/* --- the two requests ------------------------------------------------------------------------ */

static enum sae_status ask_explain(struct pass *p, size_t i, struct sae_err *err)
{
    const struct autointerp_job *const job = p->job;
    struct autointerp_prompt prompt = {0};
    SAE_TRY(autointerp_prompt_explain(&prompt, &job->picks[i], job->corpus, job->tok, err));
    enum sae_status st = log_prompt(&job->answers[i].log, "explain", &prompt, err);
    if (st == SAE_OK)
        st = sae_chat_ask(p->chat, 2 * i, prompt.system, prompt.user, AUTOINTERP_EXPLAIN_TOKENS,
                          err);
    autointerp_prompt_clear(&prompt);
    return st;
}

static enum sae_status ask_score(struct pass *p, size_t i, struct sae_err *err)
{
    const struct autointerp_job *const job = p->job;
    struct autointerp_prompt prompt = {0};
    SAE_TRY(autointerp_prompt_score(&prompt, &job->picks[i], job->corpus, job->tok,
                                    job->answers[i].explanation, job->settings->seed, err));
    enum sae_status st = log_prompt(&job->answers[i].log, "score", &prompt, err);
    if (st == SAE_OK)
        st = sae_chat_ask(p->chat, 2 * i + 1, prompt.system, prompt.user, AUTOINTERP_SCORE_TOKENS,
                          err);
    autointerp_prompt_clear(&prompt);
    return st;
}

/* *ret_goes_on: whether the latent has another request. */
static enum sae_status take_explanation(struct pass *p, size_t i, const char *answer,
                                        bool *ret_goes_on, struct sae_err *err)
{
    struct autointerp_answer *const o = &p->job->answers[i];
    char why[AUTOINTERP_WHY];
    SAE_TRY(log_answer(&o->log, "explain", answer, err));
    free(o->explanation);
    o->explanation = NULL;
    SAE_TRY(autointerp_read_explanation(&o->explanation, ret_goes_on, why, answer, err));
    if (*ret_goes_on)
        return ask_score(p, i, err);
    say_why(o, "explaining", why);
    return SAE_OK;
}

static enum sae_status take_numbers(struct pass *p, size_t i, const struct sae_chat_reply *reply,
                                    struct sae_err *err)
{
    struct autointerp_answer *const o = &p->job->answers[i];
    char why[AUTOINTERP_WHY];
    SAE_TRY(log_answer(&o->log, "score", reply->content, err));
    if (!autointerp_read_numbers(o->said, why, reply->content)) {
        say_why(o, "scoring", why);
    } else if (reply->cut) {
        say_why(o, "scoring", "the answer was cut at its longest length");
    } else {
        o->mark = autointerp_mark_of(o->said, &p->job->picks[i]);
        o->done = true;
        p->unsaved = true;
    }
    return SAE_OK;
}

/* --- the pass -------------------------------------------------------------------------------- */

/* Writing the file again for each latent would cost more and more: it may take a twentieth of the
 * time. */
static enum sae_status save(struct pass *p, bool now, struct sae_err *err)
{
    const double began = sae_stop_clock();
    if (!p->unsaved || (!now && began - p->saved < 20 * p->saving))
        return SAE_OK;
    struct sae_err why;
    SAE_TRY(sae_cache_wrote(autointerp_partial_save(p->partial, p->job, &why), &why, err));
    p->saved = sae_stop_clock();
    p->saving = p->saved - began;
    p->unsaved = false;
    return SAE_OK;
}

static enum sae_status start_some(struct pass *p, struct sae_err *err)
{
    for (; p->next < p->job->n && p->n_under_way < sae_chat_parallel(p->chat); p->next++) {
        if (p->job->answers[p->next].done)
            continue;
        SAE_TRY(ask_explain(p, p->next, err));
        p->n_under_way++;
    }
    return SAE_OK;
}

static enum sae_status take_reply(struct pass *p, const struct sae_chat_reply *reply,
                                  struct sae_err *err)
{
    const size_t i = reply->tag / 2;
    const bool scoring = reply->tag % 2 != 0;
    struct autointerp_answer *const o = &p->job->answers[i];
    bool goes_on = false;
    p->tokens_in += reply->tokens_in;
    p->tokens_out += reply->tokens_out;
    if (reply->content == NULL)
        say_why(o, scoring ? "scoring" : "explaining", reply->why);
    else if (scoring)
        SAE_TRY(take_numbers(p, i, reply, err));
    else
        SAE_TRY(take_explanation(p, i, reply->content, &goes_on, err));
    if (goes_on)
        return SAE_OK;
    p->n_under_way--;
    p->n_ended++;
    if (o->failed)
        sae_log_warn("latent %u failed: %s", p->job->picks[i].latent, o->why);
    sae_progress_step(&p->bar, p->n_ended, NULL);
    return save(p, false, err);
}

static enum sae_status run_pass(struct pass *p, struct sae_err *err)
{
    for (;;) {
        struct sae_chat_reply reply = {0};
        SAE_TRY(start_some(p, err));
        if (p->n_under_way == 0)
            return SAE_OK;
        SAE_TRY(sae_chat_wait(p->chat, &reply, err));
        const enum sae_status st = take_reply(p, &reply, err);
        free(reply.content);
        SAE_TRY(st);
    }
}

enum sae_status autointerp_ask(struct autointerp_job *job, struct sae_chat *chat, const char *partial,
                               struct sae_err *err)
{
    struct pass p = {.job = job, .chat = chat, .partial = partial};
    for (size_t i = 0; i < job->n; i++)
        p.n_ended += job->answers[i].done;
    sae_progress_begin(&p.bar, "asking", "latents", p.n_ended, job->n);
    enum sae_status st = run_pass(&p, err);
    sae_progress_end(&p.bar);
    struct sae_err ignored;
    const enum sae_status saved = save(&p, true, st == SAE_OK ? err : &ignored);
    if (p.tokens_in > 0)
        sae_log_info("the endpoint counted %llu tokens in, %llu out",
                     (unsigned long long)p.tokens_in, (unsigned long long)p.tokens_out);
    return st != SAE_OK ? st : saved;
}

enum sae_status autointerp_cost_of(struct autointerp_cost *ret, const struct autointerp_job *job,
                                   struct sae_err *err)
{
    struct autointerp_cost cost = {0};
    for (size_t i = 0; i < job->n; i++) {
        struct autointerp_prompt explain = {0}, score = {0};
        if (job->answers[i].done)
            continue;
        enum sae_status st =
            autointerp_prompt_explain(&explain, &job->picks[i], job->corpus, job->tok, err);
        if (st == SAE_OK) /* an explanation of 20 words stands where it will */
            st = autointerp_prompt_score(
                &score, &job->picks[i], job->corpus, job->tok,
                "words that belong to one topic, as they stand in texts of one certain kind, and "
                "some that stand beside them",
                job->settings->seed, err);
        if (st == SAE_OK)
            cost.tokens_in += (double)(strlen(explain.system) + strlen(explain.user) +
                                       strlen(score.system) + strlen(score.user)) /
                              4;
        autointerp_prompt_clear(&explain);
        autointerp_prompt_clear(&score);
        SAE_TRY(st);
        cost.n_latents++;
        cost.n_requests += 2;
        cost.tokens_out += AUTOINTERP_EXPLAIN_TOKENS + AUTOINTERP_SCORE_TOKENS;
    }
    *ret = cost;
    return SAE_OK;
}
