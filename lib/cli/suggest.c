/* SPDX-License-Identifier: MIT */
/* suggest : see the header.
 * Contents: 1. likeness   2. words of other programs   3. the clause */
#include "lib/cli/suggest.h"

#include <stdio.h>
#include <string.h>

enum { NAMES_MAX = 4 }; /* a longer list is no help */

/* --- 1. likeness -------------------------------------------------------------------------- */

/* Levenshtein distance; names longer than 40 are not compared. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
    enum { MAX = 40 };
    size_t row[MAX + 1];
    if (na > MAX || nb > MAX)
        return MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            const size_t up = row[j];
            const size_t change = diagonal + (a[i - 1] != b[j - 1]);
            size_t best = up < row[j - 1] ? up + 1 : row[j - 1] + 1;
            best = change < best ? change : best;
            diagonal = up;
            row[j] = best;
        }
    }
    return row[nb];
}

static bool starts(const char *s, size_t n, const char *with, size_t n_with)
{
    return n_with > 0 && n_with <= n && memcmp(s, with, n_with) == 0;
}

/* "threshold" is a word of "base-threshold". */
static bool has_word(const char *option, const char *word, size_t len)
{
    for (const char *p = option; *p != '\0'; p += strcspn(p, "-"), p += *p == '-')
        if (strcspn(p, "-") == len && memcmp(p, word, len) == 0)
            return true;
    return false;
}

enum { LONG_ENOUGH = 4 }; /* letters of an option that say more than chance */

enum likeness { BEGINS, BEGUN_BY, HAS_WORD, LIKENESSES };

static bool is_like(enum likeness how, const char *option, const char *name, size_t len)
{
    const size_t n = strlen(option);
    switch (how) {
    case BEGINS:
        return starts(option, n, name, len);
    case BEGUN_BY: /* "batch" of "batch-size", and of "batchsize"; not "k" of "keep" */
        return starts(name, len, option, n) && len > n && (name[n] == '-' || n >= LONG_ENOUGH);
    case HAS_WORD:
        return has_word(option, name, len);
    case LIKENESSES:
        break;
    }
    return false;
}

/* --- 2. words of other programs ----------------------------------------------------------- */

/* Options of trainers and tools that people come from; the advice is given by programs that have
 * `option`. */
static const struct {
    const char *name, *option, *advice;
} known[] = {
    {"epochs",        "steps",       "--steps or --tokens; rows are read again where they run out"},
    {"num-epochs",    "steps",       "--steps or --tokens; rows are read again where they run out"},
    {"device",        "backend",     "--backend cpu or cuda; CUDA_VISIBLE_DEVICES chooses a GPU"},
    {"cuda",          "backend",     "--backend cuda"},
    {"gpu",           "backend",     "--backend cuda"},
    {"cpu",           "backend",     "--backend cpu"},
    {"learning-rate", "lr",          "--lr"},
    {"dict-size",     "m",           "--m"},
    {"d-sae",         "m",           "--m"},
    {"width",         "m",           "--m"},
    {"expansion-factor", "m",        "--m, the number of latents itself"},
    {"l0",            "k",           "--k, or --target-l0 with --arch jumprelu"},
    {"l1-coefficient", "l1",         "--l1"},
    {"warmup-steps",  "warmup",      "--warmup"},
    {"dtype",         "matmul",      "--matmul"},
    {"dataset",       "text",        "--text"},
    {"input",         "text",        "--text"},
    {"model-name",    "model",       "--model"},
    {"hook-layer",    "layer",       "--layer"},
    {"output",        "out",         "-o"},
    {"output-dir",    "out",         "-o"},
    {"overwrite",     "force",       "--force"},
    {"jobs",          "threads",     "--threads"},
    {"num-threads",   "threads",     "--threads"},
    {"silent",        "quiet",       "-q"},
    {"checkpoint",    "all",         "the checkpoint itself, without an option before it"},
    {"ckpt",          "all",         "the checkpoint itself, without an option before it"},
    {"run",           "all",         "the run's folder itself, without an option before it"},
    {"store",         "acts",        "--acts"},
    {"activations",   "acts",        "--acts"},
    {"V",             "version",     "--version"},
    {"j",             "threads",     "--threads"},
};

static bool exists(const struct sae_opt_set *set, const char *option)
{
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->rows[i].name, option) == 0)
            return true;
    return false;
}

static const char *advice_for(const struct sae_opt_set *set, const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == len && memcmp(known[i].name, name, len) == 0 &&
            exists(set, known[i].option))
            return known[i].advice;
    return NULL;
}

/* --- 3. the clause ------------------------------------------------------------------------ */

/* Lists the options that are like the name in one way. Returns how many there are. */
static size_t list_like(char *to, size_t size, enum likeness how, const struct sae_opt_set *set,
                        const char *name, size_t len)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < set->n; i++) {
        const char *const option = set->rows[i].name;
        if (!is_like(how, option, name, len))
            continue;
        if (n++ >= NAMES_MAX || at >= size)
            continue;
        const int more = snprintf(to + at, size - at, "%s'--%s'",
                                  n == 1 ? ", did you mean " : " or ", option);
        at += more > 0 ? (size_t)more : 0;
    }
    if (n > NAMES_MAX)
        *to = '\0';
    return n;
}

static void nearest(char *to, size_t size, const struct sae_opt_set *set, const char *name,
                    size_t len)
{
    const char *best_name = NULL;
    size_t best = len / 3 + 1; /* of three letters none may differ, of six one, of nine two */
    for (size_t i = 0; i < set->n; i++) {
        const size_t d = distance(name, len, set->rows[i].name, strlen(set->rows[i].name));
        if (d < best) {
            best = d;
            best_name = set->rows[i].name;
        }
    }
    if (best_name != NULL)
        snprintf(to, size, ", did you mean '--%s'", best_name);
}

void sae_suggest(char *to, size_t size, const struct sae_opt_set *set, const char *name, size_t len)
{
    *to = '\0';
    char whole[64];
    snprintf(whole, sizeof whole, "%.*s", (int)len, name);
    if (exists(set, whole)) { /* "-k" for "--k" */
        snprintf(to, size, ", did you mean '--%s'", whole);
        return;
    }
    const char *const advice = advice_for(set, name, len);
    if (advice != NULL) {
        snprintf(to, size, ", did you mean %s", advice);
        return;
    }
    for (int how = 0; how < LIKENESSES; how++)
        if (list_like(to, size, (enum likeness)how, set, name, len) > 0)
            return;
    nearest(to, size, set, name, len);
}
