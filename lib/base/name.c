/* SPDX-License-Identifier: MIT */
/* name : see the header. */
#include "lib/base/name.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"

enum { PARTS_MAX = 8, HASH_LEN = 40 };

/* Parts of a path, from its end; they are cut out of `text`. */
struct parts {
    char text[PATH_MAX];
    const char *v[PARTS_MAX];
    size_t n;
};

static void split(struct parts *to, const char *path)
{
    char real[PATH_MAX];
    const char *const whole = realpath(path, real) != NULL ? real : path;
    const size_t len = strlen(whole) < PATH_MAX ? strlen(whole) : PATH_MAX - 1;
    memcpy(to->text, whole, len);
    to->text[len] = '\0';
    to->n = 0;
    for (size_t end = len; end > 0 && to->n < PARTS_MAX;) {
        if (to->text[end - 1] == '/') {
            to->text[--end] = '\0';
            continue;
        }
        while (end > 0 && to->text[end - 1] != '/')
            end--;
        to->v[to->n++] = to->text + end;
    }
}

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* Names that many folders have, one for each layer, width or step of one work. */
static bool says_nothing(const char *name)
{
    static const char *const numbered[] = {"layer_", "layers.",     "blocks.", "h.",
                                           "width_", "average_l0_", "l0_",     "trainer_"};
    static const char *const common[] = {"canonical", "checkpoints", "resid_post", "resid_pre",
                                         "attn_out",  "mlp_out",     "transcoder", "snapshots"};
    for (size_t i = 0; i < sizeof numbered / sizeof *numbered; i++) {
        const char digit = begins(name, numbered[i]) ? name[strlen(numbered[i])] : '\0';
        if (digit >= '0' && digit <= '9')
            return true;
    }
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        if (strcmp(name, common[i]) == 0)
            return true;
    return false;
}

/* Whether parts i, i + 1, i + 2 are HASH, "snapshots", "models--OWNER--NAME". */
static bool is_snapshot(const struct parts *parts, size_t i)
{
    return i + 2 < parts->n && strlen(parts->v[i]) == HASH_LEN &&
           strspn(parts->v[i], "0123456789abcdef") == HASH_LEN &&
           strcmp(parts->v[i + 1], "snapshots") == 0 && begins(parts->v[i + 2], "models--");
}

/* "models--google--gemma-2-2b" -> "gemma-2-2b" */
static const char *repository(const char *part)
{
    const char *const owner = part + strlen("models--"), *const name = strstr(owner, "--");
    return name != NULL && name[2] != '\0' ? name + 2 : owner;
}

static enum sae_status put_before(struct sae_str *name, const char *part, struct sae_err *err)
{
    struct sae_str longer = {0};
    SAE_TRY(sae_str_printf(&longer, err, "%s%s%s", part, name->len > 0 ? "_" : "",
                           name->len > 0 ? name->s : ""));
    sae_str_clear(name);
    *name = longer;
    return SAE_OK;
}

enum sae_status sae_name_folder(char **ret, const char *path, size_t more, struct sae_err *err)
{
    struct parts *parts = NULL;
    struct sae_str name = {0};
    bool goes_on = true;
    enum sae_status st;
    SAE_TRY(sae_mem_alloc(&parts, 1, sizeof *parts, err));
    split(parts, path);
    for (size_t i = 0; i < parts->n && goes_on; i++) {
        const bool snapshot = is_snapshot(parts, i);
        SAE_GO(st, put_before(&name, snapshot ? repository(parts->v[i + 2]) : parts->v[i], err));
        goes_on = !snapshot && says_nothing(parts->v[i]);
        if (!goes_on && more > 0) {
            more--;
            goes_on = true;
        }
        i += snapshot ? 2 : 0;
    }
    if (name.len == 0)
        SAE_GO(st, put_before(&name, "root", err));
    *ret = name.s;
    name = (struct sae_str){0};
    st = SAE_OK;
done:
    sae_str_clear(&name);
    free(parts);
    return st;
}
