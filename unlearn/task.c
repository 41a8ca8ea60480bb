/* SPDX-License-Identifier: MIT */
/* task : the files of an evaluation, named one by one or laid out in a folder:
 *
 *   forget.jsonl        text with the latents to look for (also .txt, .gz, .zst)
 *   retain.jsonl        text that must not light them
 *   forget/NAME.jsonl   questions that are to be forgotten (also .csv, .parquet)
 *   retain/NAME.jsonl   questions that are to stay known, a file a subject */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fs.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "unlearn/unlearn.h"

/* --- names ---------------------------------------------------------------------------------- */

/* What a prompt says a set is about, as upstream: "biology" for wmdp-bio, else the name. */
static enum sae_status subject_of(char **ret, const char *name, struct sae_err *err)
{
    static const struct {
        const char *name, *subject;
    } known[] = {
        {"wmdp-bio", "biology"}, {"wmdp-cyber", "cyber security"}, {"wmdp-chem", "chemistry"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(name, known[i].name) == 0)
            return sae_mem_strdup(ret, known[i].subject, err);
    SAE_TRY(sae_mem_strdup(ret, name, err));
    for (char *c = *ret; *c != '\0'; c++)
        if (*c == '_')
            *c = ' ';
    return SAE_OK;
}

static enum sae_status push(struct unlearn_task *task, struct unlearn_set *set, bool forget,
                            struct sae_err *err)
{
    SAE_TRY(subject_of(&set->subject, set->name, err));
    for (size_t i = 0; i < task->n_sets; i++)
        if (strcmp(task->sets[i].name, set->name) == 0)
            return sae_err_set(err, SAE_EARG, "two sets of questions are named '%s': '%s' and '%s'",
                               set->name, task->sets[i].path, set->path);
    SAE_TRY(sae_mem_grow(&task->sets, &task->cap, task->n_sets + 1, sizeof *task->sets, err));
    set->forget = forget;
    task->sets[task->n_sets++] = *set;
    *set = (struct unlearn_set){0};
    return SAE_OK;
}

/* --- files with several subjects ------------------------------------------------------------- */

static size_t count_subjects(const struct unlearn_set *set)
{
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) {
        bool seen = set->v[i].subject == NULL;
        for (size_t j = 0; j < i && !seen; j++)
            seen = set->v[j].subject != NULL && strcmp(set->v[i].subject, set->v[j].subject) == 0;
        n += !seen;
        if (n > 1)
            break;
    }
    return n;
}

/* Moves the questions of one subject out of `all`, numbered as in a file of their own. */
static enum sae_status take_subject(struct unlearn_set *ret, struct unlearn_set *all,
                                    const char *subject, struct sae_err *err)
{
    struct unlearn_set set = {0};
    size_t cap = 0, left = 0;
    SAE_TRY(sae_mem_strdup(&set.name, subject, err));
    SAE_TRY(sae_mem_strdup(&set.path, all->path, err));
    memcpy(set.id, all->id, sizeof set.id);
    for (size_t i = 0; i < all->n; i++) {
        const struct unlearn_question q = all->v[i];
        if (q.subject == NULL || strcmp(q.subject, subject) != 0) {
            all->v[left++] = q;
            continue;
        }
        SAE_TRY(sae_mem_grow(&set.v, &cap, set.n + 1, sizeof *set.v, err));
        set.v[set.n] = q;
        set.v[set.n].row = set.n;
        set.n++;
    }
    all->n = left;
    *ret = set;
    return SAE_OK;
}

static enum sae_status add_file(struct unlearn_task *task, const char *path, bool forget,
                                const struct unlearn_settings *settings, struct sae_err *err)
{
    struct unlearn_set all = {0}, set = {0};
    enum sae_status st;
    SAE_TRY(unlearn_set_load(&all, path, err));
    if (forget || count_subjects(&all) < 2) {
        st = push(task, &all, forget, err);
        goto done;
    }
    for (size_t i = 0; i < settings->n_subjects; i++) {
        SAE_GO(st, take_subject(&set, &all, settings->subjects[i], err));
        if (set.n > 0) {
            SAE_GO(st, push(task, &set, forget, err));
            continue;
        }
        sae_log_warn("'%s' has no questions of subject '%s'; continuing without them", path,
                     settings->subjects[i]);
        unlearn_set_clear(&set);
    }
    st = SAE_OK;
done:
    unlearn_set_clear(&all);
    unlearn_set_clear(&set);
    return st;
}

/* --- the folder ------------------------------------------------------------------------------ */

/* Question files below folder/part; none where the folder is not there. */
static enum sae_status add_folder(struct unlearn_task *task, const char *folder, const char *part,
                                  const struct unlearn_settings *settings, struct sae_err *err)
{
    char *dir = NULL, **names = NULL, *path = NULL;
    size_t n = 0;
    enum sae_status st;
    SAE_GO(st, sae_fs_join(&dir, folder, part, err));
    if (!sae_fs_is_dir(dir))
        goto done;
    SAE_GO(st, sae_fs_list(&names, &n, dir, "", "", err));
    for (size_t i = 0; i < n; i++) {
        free(path);
        path = NULL;
        SAE_GO(st, sae_fs_join(&path, dir, names[i], err));
        if (names[i][0] == '.' || !sae_fs_is_file(path))
            continue;
        SAE_GO(st, add_file(task, path, strcmp(part, "forget") == 0, settings, err));
    }
done:
    free(dir);
    free(path);
    sae_fs_list_free(names, n);
    return st;
}

static enum sae_status add_questions(struct unlearn_task *task, bool forget, char *const *files,
                                     size_t n, const struct unlearn_settings *settings,
                                     struct sae_err *err)
{
    const char *const part = forget ? "forget" : "retain";
    const size_t before = task->n_sets;
    for (size_t i = 0; i < n; i++)
        SAE_TRY(add_file(task, files[i], forget, settings, err));
    if (n == 0 && settings->task != NULL)
        SAE_TRY(add_folder(task, settings->task, part, settings, err));
    if (task->n_sets > before)
        return SAE_OK;
    return sae_err_set(err, SAE_EARG,
                       settings->task == NULL
                           ? "no questions %s; name them with --%s-questions FILE, or a folder "
                             "that holds everything with --task DIR%s"
                           : "no questions %s; name them with --%s-questions FILE, or put them "
                             "into '%s'",
                       forget ? "to be forgotten" : "to stay known", part,
                       settings->task == NULL ? "" : settings->task);
}

/* The one file of the folder whose name begins with "forget." */
static enum sae_status find_text(char **ret, const char *given, const char *part,
                                 const struct unlearn_settings *settings, struct sae_err *err)
{
    char prefix[16], **names = NULL;
    size_t n = 0;
    if (given != NULL)
        return sae_mem_strdup(ret, given, err);
    if (settings->task == NULL)
        return sae_err_set(err, SAE_EARG, "no text to %s; name it with --%s FILE, or a folder "
                                          "that holds everything with --task DIR",
                           part, part);
    snprintf(prefix, sizeof prefix, "%s.", part);
    SAE_TRY(sae_fs_list(&names, &n, settings->task, prefix, "", err));
    enum sae_status st = SAE_OK;
    if (n == 1)
        st = sae_fs_join(ret, settings->task, names[0], err);
    else
        st = sae_err_set(err, SAE_EARG,
                         "'%s' has %zu files named %s.*, expected one: the text to %s; or name it "
                         "with --%s FILE",
                         settings->task, n, part, part, part);
    sae_fs_list_free(names, n);
    return st;
}

enum sae_status unlearn_task_open(struct unlearn_task *ret, const struct unlearn_settings *settings,
                                  struct sae_err *err)
{
    struct unlearn_task task = {.form = settings->form};
    enum sae_status st;
    if (settings->task != NULL && !sae_fs_is_dir(settings->task))
        return sae_err_set(err, SAE_EARG, "--task %s: no such folder", settings->task);
    SAE_GO(st, find_text(&task.forget, settings->forget, "forget", settings, err));
    SAE_GO(st, find_text(&task.retain, settings->retain, "retain", settings, err));
    SAE_GO(st, add_questions(&task, true, settings->forget_questions, settings->n_forget_questions,
                             settings, err));
    SAE_GO(st, add_questions(&task, false, settings->retain_questions,
                             settings->n_retain_questions, settings, err));
    SAE_GO(st, sae_digest_file(task.forget, task.forget_id, err));
    SAE_GO(st, sae_digest_file(task.retain, task.retain_id, err));
    SAE_GO(st, sae_mem_strdup(&task.name, task.sets[0].name, err));
    *ret = task;
    task = (struct unlearn_task){0};
done:
    unlearn_task_clear(&task);
    return st;
}

void unlearn_task_clear(struct unlearn_task *task)
{
    for (size_t i = 0; i < task->n_sets; i++)
        unlearn_set_clear(&task->sets[i]);
    free(task->sets);
    free(task->name);
    free(task->forget);
    free(task->retain);
    *task = (struct unlearn_task){0};
}
