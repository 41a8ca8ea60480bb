/* SPDX-License-Identifier: MIT */
/* parse : what the language model answered, and how right it was. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "autointerp/autointerp.h"
#include "lib/base/mem.h"

/* Models that think aloud put it before their answer. */
static const char *after_thinking(const char *answer)
{
    static const char end[] = "</think>";
    const char *at = answer;
    for (const char *p = answer; (p = strstr(p, end)) != NULL;)
        at = p += strlen(end);
    return at;
}

static bool is_trim(char c)
{
    return isspace((unsigned char)c) || c == '"' || c == '.' || c == '`' || c == '*';
}

/* [*from, *from + *n) without blanks, quotes and full stops around it. */
static void trim(const char **from, size_t *n)
{
    while (*n > 0 && is_trim((*from)[*n - 1]))
        --*n;
    while (*n > 0 && is_trim(**from)) {
        ++*from;
        --*n;
    }
}

/* Says what came instead, in one line and not more of it than helps. */
static bool refuse(char why[AUTOINTERP_WHY], const char *problem, const char *answer)
{
    char shown[64];
    size_t n = 0;
    for (; answer[n] != '\0' && n + 1 < sizeof shown; n++)
        shown[n] = (unsigned char)answer[n] < 0x20 ? ' ' : answer[n];
    if (answer[n] != '\0')
        while (n > 0 && ((unsigned char)answer[n] & 0xC0U) == 0x80U)
            n--; /* not inside a character */
    shown[n] = '\0';
    snprintf(why, AUTOINTERP_WHY, "%s: '%s%s'", problem, shown, answer[n] != '\0' ? "..." : "");
    return false;
}

enum sae_status autointerp_read_explanation(char **ret, bool *ret_ok, char why[AUTOINTERP_WHY],
                                            const char *answer, struct sae_err *err)
{
    static const char lead[] = "activates on";
    const char *from = after_thinking(answer);
    char *text = NULL;
    for (const char *p = from; (p = strstr(p, lead)) != NULL;)
        from = p += strlen(lead);
    size_t n = strlen(from);
    trim(&from, &n);
    *ret_ok = n > 0;
    if (n == 0) {
        refuse(why, "no explanation in the answer", answer);
        return SAE_OK;
    }
    SAE_TRY(sae_mem_alloc(&text, n + 1, 1, err));
    memcpy(text, from, n);
    *ret = text;
    return SAE_OK;
}

bool autointerp_read_numbers(bool said[AUTOINTERP_SCORE], char why[AUTOINTERP_WHY],
                             const char *answer)
{
    const char *p = after_thinking(answer);
    size_t n = strlen(p), found = 0;
    memset(said, 0, AUTOINTERP_SCORE * sizeof *said);
    trim(&p, &n);
    if (n == 4 && strncasecmp(p, "none", 4) == 0)
        return true;
    const char *const end = p + n;
    while (p < end) {
        if (isspace((unsigned char)*p) || strchr(",;[]()", *p) != NULL) {
            p++;
        } else if (found > 0 && end - p >= 3 && strncasecmp(p, "and", 3) == 0) {
            p += 3;
        } else if (isdigit((unsigned char)*p)) {
            unsigned number = 0;
            for (; p < end && isdigit((unsigned char)*p); p++)
                number = number > 1000 ? number : 10 * number + (unsigned)(*p - '0');
            if (number < 1 || number > AUTOINTERP_SCORE)
                return refuse(why, "a number outside 1 to 14 in the answer", answer);
            if (p < end && !isspace((unsigned char)*p) && strchr(",;])", *p) == NULL)
                return refuse(why, "not numbers", answer);
            said[number - 1] = true;
            found++;
        } else {
            return refuse(why, "not numbers", answer);
        }
    }
    return found > 0 || refuse(why, "not numbers", answer);
}

/* --- marks ----------------------------------------------------------------------------------- */

struct autointerp_mark autointerp_mark_of(const bool said[AUTOINTERP_SCORE],
                                          const struct autointerp_pick *pick)
{
    size_t right = 0, right_checked = 0, hits = 0, passes = 0;
    for (size_t i = 0; i < AUTOINTERP_SCORE; i++) {
        const struct autointerp_window *const w = &pick->score[i];
        right += said[i] == (w->fires && !w->random);
        right_checked += said[i] == w->fires;
        hits += !w->random && said[i];
        passes += w->random && !said[i];
    }
    return (struct autointerp_mark){
        (double)right / AUTOINTERP_SCORE, (double)right_checked / AUTOINTERP_SCORE,
        (double)hits / (AUTOINTERP_SCORE - AUTOINTERP_RANDOM), (double)passes / AUTOINTERP_RANDOM};
}

void autointerp_answers_free(struct autointerp_answer *answers, size_t n)
{
    for (size_t i = 0; answers && i < n; i++) {
        free(answers[i].explanation);
        free(answers[i].log);
    }
    free(answers);
}
