/* SPDX-License-Identifier: MIT */
/* result : what the result of an SAE's matchings is made of. */
#include <math.h>

#include "lib/file/json.h"
#include "match/match.h"

/* Numbers of latents are kept to 2^-14: as many digits as their size is worth. */
static json_t *per_latent(const float *values, size_t n)
{
    json_t *const list = json_array();
    if (!values)
        return json_decref(list), json_null();
    for (size_t j = 0; j < n; j++)
        json_array_append_new(list, json_real(ldexp(round(ldexp((double)values[j], 14)), -14)));
    return list;
}

static json_t *metrics_of(const struct match_scores *s)
{
    static const struct {
        const char *mean, *share[2], *random;
    } keys[MATCH_KINDS] = {
        {"mcc_decoder", {"share_decoder_07", "share_decoder_09"}, "random_mcc_decoder"},
        {"mcc_encoder", {"share_encoder_07", "share_encoder_09"}, "random_mcc_encoder"},
        {"mean_firing", {"share_firing_07", "share_firing_09"}, NULL}};
    json_t *const all = json_pack("{s:I}", "others", (json_int_t)s->n_others);
    for (int k = 0; k < MATCH_KINDS; k++) {
        json_object_set_new(all, keys[k].mean, sae_json_number(s->mean[k]));
        for (int level = 0; level < 2; level++)
            json_object_set_new(all, keys[k].share[level], sae_json_number(s->share[k][level]));
        if (keys[k].random)
            json_object_set_new(all, keys[k].random, sae_json_number(s->random[k]));
    }
    json_object_set_new(all, "mcc_decoder_alive", sae_json_number(s->alive));
    json_object_set_new(all, "share_agree", sae_json_number(s->agree));
    json_object_set_new(all, "mean_fixed", sae_json_number(s->final_mean));
    json_object_set_new(all, "share_fixed_09", sae_json_number(s->final_share));
    json_object_set_new(all, "gap", sae_json_number(s->gap));
    return json_pack("{s:o}", "match", all);
}

json_t *match_result_other(const char *name, const struct sae_ckpt *other,
                           const struct match_pair *pair)
{
    json_t *const one = json_pack("{s:s, s:s, s:I}", "other", name, "id", other->id, "m",
                                  (json_int_t)other->model.m);
    char key[48];
    for (int k = 0; one && k < MATCH_KINDS; k++) {
        snprintf(key, sizeof key, "mean_%s", match_kind_names[k]);
        json_object_set_new(one, key, sae_json_number(pair->of[k].mean));
        snprintf(key, sizeof key, "gap_%s", match_kind_names[k]);
        json_object_set_new(one, key,
                            sae_json_number(pair->of[k].partner ? pair->of[k].gap : NAN));
        for (int level = 0; level < 2; level++) {
            snprintf(key, sizeof key, "share_%s_0%d", match_kind_names[k], level ? 9 : 7);
            json_object_set_new(one, key, sae_json_number(pair->share[k][level]));
        }
    }
    if (one)
        json_object_set_new(one, "share_agree", sae_json_number(pair->agree));
    return one;
}

static json_t *versions_of(void)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "mcc_decoder",
                     "PW-MCC (arXiv 2505.20254): mean |cos| of the best one-to-one matching of decoder "
                     "rows, mean over the others",
                     "random_mcc_decoder",
                     "two random dictionaries with the covariance of the first two SAEs' unit rows",
                     "share_agree", "latents with one partner by decoder and by encoder",
                     "mean_firing",
                     "Jaccard of the held-out tokens they fire on, of its own best matching",
                     "share_fixed_09", "cosine of W_dec_j to that of the run's last checkpoint >= 0.9");
}

enum sae_status match_result_parts(struct sae_result_parts *ret, const struct match_scores *s,
                                   const struct match_settings *settings, json_t *others,
                                   struct sae_err *err)
{
    json_t *const latents = json_object();
    char key[48];
    for (int k = 0; k < MATCH_KINDS; k++) {
        snprintf(key, sizeof key, "stability_%s", match_kind_names[k]);
        json_object_set_new(latents, key, per_latent(s->stability[k], s->m));
    }
    json_object_set_new(latents, "final_cosine", per_latent(s->final_cos, s->m));
    *ret = (struct sae_result_parts){
        .config = json_pack("{s:b, s:b, s:b, s:I}", "signed", settings->is_signed, "across",
                            settings->across, "random", settings->with_random, "seed",
                            (json_int_t)settings->seed),
        .metrics = metrics_of(s),
        .details = json_incref(others),
        .unstructured = json_pack("{s:o}", "latents", latents),
        .versions = versions_of()};
    return ret->config && ret->metrics && ret->unstructured && ret->versions
               ? SAE_OK
               : sae_err_set(err, SAE_ENOMEM, "out of memory");
}
