/* SPDX-License-Identifier: MIT */
/* hook : names of places in a language model. */
#include "lib/file/hook.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/str.h"
#include "lib/file/json.h"

enum { Z = SAE_PART_HEADS, OUT = SAE_PART_ATTN_OUT, IN = SAE_PART_MLP_IN, MLP = SAE_PART_MLP };

/* clang-format off */
const struct sae_point_row sae_points[SAE_N_POINTS] = {
    [SAE_RESID_PRE]  = {"resid_pre",  "hook_resid_pre",  false, false, 0,            0,        SAE_PART_ALL },
    [SAE_ATTN_Z]     = {"attn_z",     "attn.hook_z",     true,  true,  Z,            Z,        OUT | IN | MLP},
    [SAE_ATTN_OUT]   = {"attn_out",   "hook_attn_out",   false, true,  Z | OUT,      Z | OUT,  IN | MLP     },
    [SAE_RESID_MID]  = {"resid_mid",  "hook_resid_mid",  false, false, Z | OUT,      Z | OUT,  IN | MLP     },
    [SAE_MLP_IN]     = {"mlp_in",     "mlp.hook_in",     false, true,  Z | OUT | IN, IN,       MLP          },
    [SAE_MLP_OUT]    = {"mlp_out",    "hook_mlp_out",    false, true,  SAE_PART_ALL, IN | MLP, 0            },
    [SAE_RESID_POST] = {"resid_post", "hook_resid_post", false, false, SAE_PART_ALL, SAE_PART_ALL, 0        },
};

/* Other names for a point: alone, and after a layer's. TransformerLens 3 and SAELens call the input of
 * the MLP hook_mlp_in too. */
static const struct { const char *name; enum sae_point point; } aliases[] = {
    {"z",           SAE_ATTN_Z },
    {"hook_z",      SAE_ATTN_Z },
    {"hook_mlp_in", SAE_MLP_IN },
};

/* Names of other packages for a whole hook. What some families call otherwise is not here: in Gemma
 * "model.layers.3.mlp" is before a norm that belongs to mlp_out. */
static const struct { const char *before, *after; enum sae_point point; } forms[] = {
    {"resid_post_layer_", "",                                   SAE_RESID_POST},
    {"model.layers.",     "",                                   SAE_RESID_POST},
    {"model.layers.",     ".output",                            SAE_RESID_POST},
    {"layers.",           "",                                   SAE_RESID_POST},
    {"gpt_neox.layers.",  "",                                   SAE_RESID_POST},
    {"transformer.h.",    "",                                   SAE_RESID_POST},
    {"h.",                "",                                   SAE_RESID_POST},
    {"model.layers.",     ".self_attn.o_proj.input",            SAE_ATTN_Z    },
    {"model.layers.",     ".pre_feedforward_layernorm.output",  SAE_MLP_IN    },
    {"model.layers.",     ".post_feedforward_layernorm.output", SAE_MLP_OUT   },
};
/* clang-format on */

bool sae_point_parse(enum sae_point *ret, const char *name)
{
    for (size_t i = 0; i < SAE_N_POINTS; i++)
        if (strcmp(name, sae_points[i].name) == 0 || strcmp(name, sae_points[i].lens) == 0) {
            *ret = (enum sae_point)i;
            return true;
        }
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(name, aliases[i].name) == 0) {
            *ret = aliases[i].point;
            return true;
        }
    return false;
}

/* The layer's number between `before` and what is left in *rest. */
static bool take_layer(size_t *ret, const char **rest, const char *name, const char *before)
{
    const size_t skip = strlen(before);
    char digits[8] = "";
    uint64_t layer;
    if (strncmp(name, before, skip) != 0)
        return false;
    const size_t n = strspn(name + skip, "0123456789");
    if (n == 0 || n >= sizeof digits)
        return false;
    memcpy(digits, name + skip, n);
    if (!sae_str_u64(digits, &layer))
        return false;
    *ret = (size_t)layer;
    *rest = name + skip + n;
    return true;
}

bool sae_hook_parse(struct sae_hook *ret, const char *name)
{
    struct sae_hook hook;
    const char *rest;
    if (take_layer(&hook.layer, &rest, name, "blocks.") && rest[0] == '.' &&
        sae_point_parse(&hook.point, rest + 1)) {
        *ret = hook;
        return true;
    }
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (take_layer(&hook.layer, &rest, name, forms[i].before) &&
            strcmp(rest, forms[i].after) == 0) {
            hook.point = forms[i].point;
            *ret = hook;
            return true;
        }
    return false;
}

const char *sae_hook_name(char name[SAE_HOOK_NAME], struct sae_hook hook)
{
    (void)snprintf(name, SAE_HOOK_NAME, "blocks.%zu.%s", hook.layer, sae_points[hook.point].lens);
    return name;
}

enum sae_status sae_hook_option(struct sae_hook *ret, bool *ret_has_layer, const char *text,
                                struct sae_err *err)
{
    struct sae_hook hook = {0};
    const bool whole = sae_hook_parse(&hook, text);
    if (!whole && sae_str_ends(text, "ln2.hook_normalized"))
        return sae_err_set(
            err, SAE_EARG,
            "--hook %s: TransformerLens takes it before the norm's weights, which is "
            "not read here; what the MLP reads, after them, is mlp_in",
            text);
    if (!whole && !sae_point_parse(&hook.point, text))
        return sae_err_set(err, SAE_EARG,
                           "--hook %s: no hook has that name; expected " SAE_HOOK_HELP, text);
    *ret = hook;
    *ret_has_layer = whole;
    return SAE_OK;
}

/* The stream between two layers has one name. */
static struct sae_hook plain(struct sae_hook hook)
{
    return hook.point == SAE_RESID_PRE && hook.layer > 0 ? sae_resid_post(hook.layer - 1) : hook;
}

bool sae_hook_same(struct sae_hook a, struct sae_hook b)
{
    a = plain(a);
    b = plain(b);
    return a.point == b.point && a.layer == b.layer;
}

bool sae_hook_of_site(struct sae_hook *ret, const json_t *site)
{
    if (!json_is_object(site))
        return false;
    const char *const name = sae_json_str(site, "hook", NULL);
    const uint64_t layer = sae_json_u64(site, "layer", UINT64_MAX);
    struct sae_hook hook = sae_resid_post((size_t)layer);
    if (name != NULL && sae_hook_parse(ret, name))
        return true;
    if (layer == UINT64_MAX || (name != NULL && !sae_point_parse(&hook.point, name)))
        return false;
    *ret = hook;
    return true;
}
