/* SPDX-License-Identifier: MIT */
/* describe : a config in a few lines. */
#include "harvest/describe.h"

#include <jansson.h>
#include <stdio.h>

#include "lib/base/utf8.h"
#include "lib/file/json.h"
#include "lm/family.h"

static size_t count_sliding(const struct sae_lm_config *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->L; i++)
        n += c->sliding[i];
    return n;
}

static void print_lines(const struct sae_lm_config *c)
{
    const size_t sliding = count_sliding(c);
    sae_utf8_print(stdout, "language model %s: %s\n", c->name, c->family->model_type);
    printf("  layers      %zu, 0 to %zu; the middle one is %zu\n", c->L, c->L - 1,
           harvest_middle_layer(c));
    printf("  width       %zu; %zu neurons in an MLP\n", c->D, c->F);
    printf("  heads       %zu of width %zu; %zu of keys and values\n", c->H, c->head_dim, c->K);
    if (sliding > 0)
        printf("  window      %zu tokens, in %zu layers\n", c->window, sliding);
    printf("  vocabulary  %zu tokens\n", c->V);
    printf("  context     %zu tokens at most\n", c->max_context);
}

enum sae_status harvest_describe(const char *folder, bool as_json, struct sae_err *err)
{
    struct sae_lm_config c;
    SAE_TRY(sae_lm_config_read(&c, folder, err));
    if (!as_json) {
        print_lines(&c);
        return SAE_OK;
    }
    json_t *const model = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name", c.name, "family",
        c.family->model_type, "layers", (json_int_t)c.L, "middle_layer",
        (json_int_t)harvest_middle_layer(&c), "width", (json_int_t)c.D, "mlp_width",
        (json_int_t)c.F, "heads", (json_int_t)c.H, "key_heads", (json_int_t)c.K, "head_width",
        (json_int_t)c.head_dim, "sliding_layers", (json_int_t)count_sliding(&c), "vocabulary",
        (json_int_t)c.V, "max_context", (json_int_t)c.max_context);
    if (model == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory");
    const enum sae_status st = sae_json_print(stdout, model, err);
    json_decref(model);
    return st;
}
