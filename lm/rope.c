/* SPDX-License-Identifier: MIT */
/* rope : frequencies as transformers computes them (modeling_rope_utils), in f32 where it does.
 *
 * Contents:  1. reading   2. frequencies   3. tables */
#include "lm/rope.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_LEN = 80 };

/* --- 1. reading ----------------------------------------------------------------------------- */

static const char *const scaling_names[] = {"default", "linear", "llama3", "yarn"};
enum { N_SCALINGS = sizeof scaling_names / sizeof *scaling_names };

/* rope_type, or type in older files. */
static enum sae_status read_type(struct sae_lm_rope *rope, struct sae_lm_keys *keys,
                                 unsigned scalings)
{
    const json_t *type = sae_lm_key(keys, "rope_type"), *const old = sae_lm_key(keys, "type");
    const char *const key = type || !old ? "rope_type" : "type";
    char expected[2 * NAME_LEN] = "\"default\"";
    type = type ? type : old;
    if (!type)
        return SAE_OK;
    scalings |= 1U << SAE_LM_UNSCALED;
    for (size_t i = 0; i < N_SCALINGS && json_is_string(type); i++)
        if (scalings >> i & 1U && strcmp(json_string_value(type), scaling_names[i]) == 0) {
            rope->scaling = (enum sae_lm_scaling)i;
            return SAE_OK;
        }
    for (size_t i = 1; i < N_SCALINGS; i++)
        if (scalings >> i & 1U)
            (void)snprintf(expected + strlen(expected), sizeof expected - strlen(expected),
                           ", \"%s\"", scaling_names[i]);
    (void)snprintf(expected + strlen(expected), sizeof expected - strlen(expected),
                   ": positions scaled in another way are not computed");
    return sae_lm_key_wrong(keys, key, type, expected);
}

static enum sae_status read_yarn(struct sae_lm_rope *rope, struct sae_lm_keys *keys)
{
    SAE_TRY(sae_lm_key_positive_or(keys, &rope->high, "beta_fast", 1e6, 32));
    SAE_TRY(sae_lm_key_positive_or(keys, &rope->low, "beta_slow", 1e6, 1));
    SAE_TRY(sae_lm_key_must(keys, "truncate", true, "as YaRN was published"));
    const double usual = rope->factor <= 1 ? 1 : 0.1 * log(rope->factor) + 1;
    return sae_lm_key_positive_or(keys, &rope->gain, "attention_factor", 1e6, usual);
}

static enum sae_status read_scaling(struct sae_lm_rope *rope, struct sae_lm_keys *keys)
{
    if (rope->scaling == SAE_LM_UNSCALED)
        return SAE_OK;
    SAE_TRY(sae_lm_key_positive(keys, &rope->factor, "factor", 1e6));
    if (rope->scaling == SAE_LM_LINEAR)
        return SAE_OK;
    SAE_TRY(sae_lm_key_positive(keys, &rope->original, "original_max_position_embeddings", 1e9));
    if (rope->scaling == SAE_LM_YARN)
        return read_yarn(rope, keys);
    SAE_TRY(sae_lm_key_positive(keys, &rope->low, "low_freq_factor", 1e6));
    SAE_TRY(sae_lm_key_positive(keys, &rope->high, "high_freq_factor", 1e6));
    if (rope->high <= rope->low)
        return sae_lm_key_wrong(keys, "high_freq_factor",
                                json_object_get(keys->root, "high_freq_factor"),
                                "more than low_freq_factor");
    return SAE_OK;
}

/* Everything that is left in the object would change the frequencies. */
static enum sae_status check_read(const struct sae_lm_keys *keys)
{
    const char *key;
    json_t *value;
    json_object_foreach(keys->unread, key, value)
    {
        if (json_is_object(value))
            return sae_lm_key_wrong(keys, key, value,
                                    "one base for all layers; rotary positions of their own for "
                                    "each kind of layer are not computed here");
        if (!json_is_null(value))
            return sae_lm_key_wrong(keys, key, value,
                                    "no such key beside this rope_type: positions scaled by it "
                                    "are not computed");
    }
    return SAE_OK;
}

enum sae_status sae_lm_rope_parse(struct sae_lm_rope *rope, double *share, const json_t *object,
                                  const char *name, unsigned scalings, struct sae_err *err)
{
    struct sae_lm_keys keys = {0};
    char path[NAME_LEN];
    enum sae_status st;
    (void)snprintf(path, sizeof path, "%.60s.", name);
    SAE_TRY(sae_lm_keys_open(&keys, object, path, err));
    SAE_GO(st, read_type(rope, &keys, scalings));
    SAE_GO(st, sae_lm_key_positive_or(&keys, &rope->theta, "rope_theta", 1e12, rope->theta));
    SAE_GO(st, sae_lm_key_positive_or(&keys, share, "partial_rotary_factor", 1, *share));
    SAE_GO(st, read_scaling(rope, &keys));
    st = check_read(&keys);
done:
    sae_lm_keys_close(&keys);
    return st;
}

static enum sae_status set_rotary(struct sae_lm_config *c, double share,
                                  const struct sae_lm_rope_rules *rules, struct sae_err *err)
{
    if (rules->share == 0 && share != 1)
        return sae_err_set(err, SAE_EFORMAT,
                           "'partial_rotary_factor' is %g, expected 1, partly rotated heads are "
                           "not computed in this family",
                           share);
    c->rotary = (size_t)((double)c->head_dim * share);
    if (c->rotary == 0 || c->rotary % 2 != 0)
        return sae_err_set(err, SAE_EFORMAT,
                           "%zu of the %zu elements of a head are rotated, expected an even number",
                           c->rotary, c->head_dim);
    return SAE_OK;
}

/* rope_theta and the share stand at the top, or in rope_parameters in newer files. */
enum sae_status sae_lm_rope_read(struct sae_lm_config *c, struct sae_lm_keys *keys,
                                 const struct sae_lm_rope_rules *rules)
{
    static const char *const names[] = {"rope_scaling", "rope_parameters"};
    struct sae_lm_rope rope = {.gain = 1};
    double top = 0, share = rules->share > 0 ? rules->share : 1;
    const json_t *const at_top = sae_lm_key(keys, rules->theta_key);
    if (at_top)
        SAE_TRY(sae_lm_key_positive(keys, &top, rules->theta_key, 1e12));
    if (rules->share_key)
        SAE_TRY(sae_lm_key_positive_or(keys, &share, rules->share_key, 1, share));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *const object = sae_lm_key(keys, names[i]);
        if (object && !json_is_object(object))
            return sae_lm_key_wrong(keys, names[i], object, "an object");
        if (object)
            SAE_TRY(sae_lm_rope_parse(&rope, &share, object, names[i], rules->scalings, keys->err));
    }
    if (at_top && rope.theta > 0 && rope.theta != top)
        return sae_lm_key_wrong(keys, rules->theta_key, at_top,
                                "what rope_parameters says: versions of transformers differ in "
                                "which they follow");
    if (rope.theta == 0)
        rope.theta = at_top ? top : rules->theta;
    if (rope.theta == 0)
        return sae_lm_key_wrong(keys, rules->theta_key, NULL, "a number above 0, at most 1e+12");
    c->rope[0] = c->rope[1] = rope;
    return set_rotary(c, share, rules, keys->err);
}

/* --- 2. frequencies ------------------------------------------------------------------------- */

/* Wavelengths between original / high and original / low go over smoothly from none to all of the
 * factor (Llama 3.1). */
static float scale_llama3(const struct sae_lm_rope *r, float frequency)
{
    const float wave = (float)(2 * M_PI) / frequency, factor = (float)r->factor,
                low = (float)r->low, high = (float)r->high, original = (float)r->original;
    if ((double)wave < r->original / r->high)
        return frequency;
    if ((double)wave > r->original / r->low)
        return frequency / factor;
    const float smooth = (original / wave - low) / (high - low);
    return (1 - smooth) * frequency / factor + smooth * frequency;
}

/* The element that turns so often within the original context (YaRN, arXiv 2309.00071). */
static double turning(const struct sae_lm_rope *r, size_t rotary, double turns)
{
    return (double)rotary * log(r->original / (turns * 2 * M_PI)) / (2 * log(r->theta));
}

static float scale_yarn(const struct sae_lm_rope *r, size_t rotary, size_t k, float power)
{
    const double low = fmax(floor(turning(r, rotary, r->high)), 0);
    double high = fmin(ceil(turning(r, rotary, r->low)), (double)rotary - 1);
    if (low == high)
        high += 0.001;
    const float ramp = ((float)k - (float)low) / (float)(high - low);
    const float keep = 1 - fminf(fmaxf(ramp, 0), 1);
    return 1 / ((float)r->factor * power) * (1 - keep) + 1 / power * keep;
}

static float frequency_of(const struct sae_lm_rope *r, size_t rotary, size_t k)
{
    const float power = (float)pow(r->theta, (double)((float)(2 * k) / (float)rotary));
    const float frequency = 1.0F / power;
    switch (r->scaling) {
    case SAE_LM_LINEAR:
        return frequency / (float)r->factor;
    case SAE_LM_LLAMA3:
        return scale_llama3(r, frequency);
    case SAE_LM_YARN:
        return scale_yarn(r, rotary, k, power);
    case SAE_LM_DIVIDED:
        return frequency / r->divisors[k];
    case SAE_LM_UNSCALED:
        break;
    }
    return frequency;
}

/* --- 3. tables ------------------------------------------------------------------------------ */

/* Angles as the reference forms them: position times frequency, both and the product in f32. */
void sae_lm_rope_fill(const struct sae_lm_rope *rope, size_t rotary, size_t T, float *cosines,
                      float *sines)
{
    const size_t half = rotary / 2;
    for (size_t k = 0; k < half; k++) {
        const float frequency = frequency_of(rope, rotary, k);
        for (size_t t = 0; t < T; t++) {
            const float angle = (float)t * frequency;
            cosines[t * half + k] = (float)(cos((double)angle) * rope->gain);
            sines[t * half + k] = (float)(sin((double)angle) * rope->gain);
        }
    }
}
