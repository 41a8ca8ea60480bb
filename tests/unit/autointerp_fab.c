/* SPDX-License-Identifier: MIT */
/* autointerp_fab : the fabricated store and checkpoints. */
#include "tests/unit/autointerp_fab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gemma/config.h"
#include "lib/base/bf16.h"
#include "lib/base/digest.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/file/record.h"

static char words[AFAB_WORDS][32];
static uint32_t ids[AFAB_WORDS];

const char *afab_word(size_t i)
{
    return words[i];
}

/* Pieces of a blank and four or more small letters, none the beginning of another. */
static bool is_word(const char *piece, size_t n_before)
{
    const size_t n = strlen(piece);
    if (n < 5 || n >= sizeof *words || *piece != ' ')
        return false;
    if (strspn(piece + 1, "abcdefghijklmnopqrstuvwxyz") != n - 1)
        return false;
    for (size_t i = 0; i < n_before; i++)
        if (strncmp(words[i], piece, strlen(words[i])) == 0 || strncmp(words[i], piece, n) == 0)
            return false;
    return true;
}

static enum sae_status find_words(const char *model, uint32_t *ret_bos, struct sae_err *err)
{
    struct gemma_config config;
    struct gemma_tok *tok = NULL;
    size_t n = 0;
    SAE_TRY(gemma_config_read(&config, model, err));
    SAE_TRY(gemma_tok_open(&tok, model, &config, err));
    *ret_bos = config.bos;
    for (uint32_t id = 0; id < gemma_tok_size(tok) && n < AFAB_WORDS; id++) {
        const char *const piece = gemma_tok_piece(tok, id);
        if (piece == NULL || gemma_tok_is_control(tok, id) || !is_word(piece, n))
            continue;
        strcpy(words[n], piece);
        ids[n++] = id;
    }
    gemma_tok_close(tok);
    return n == AFAB_WORDS ? SAE_OK : sae_err_set(err, SAE_EFORMAT, "too few words");
}

/* Which word stands at a position. */
static size_t word_at(size_t context, size_t position, struct sae_rng *rng)
{
    const size_t filler = 5 + (size_t)sae_rng_below(rng, AFAB_WORDS - 5);
    if (context == 7 || context == 8)
        return 4;
    if (position == 20 + context % 20)
        return 0;
    if (position == 45)
        return 1;
    if (context % 2 == 0 && (position == 14 || position == 15))
        return 2;
    if (context < 7 && (position == 50 || (position == 52 && context < 3)))
        return 3;
    return filler;
}

static json_t *record_of(const char *program, const char *model)
{
    return json_pack("{s:s, s:s, s:s, s:{}, s:[], s:{s:s, s:s, s:i, s:s, s:i, s:i}, s:{s:s}}",
                     "program", program, "version", "test", "command", program, "options", "inputs",
                     "site", "model", sae_fs_base(model), "model_id", "feedbeef", "layer", 3,
                     "hook", "blocks.3.hook_resid_post", "d", AFAB_D, "context", AFAB_T, "packing",
                     "separator", "bos");
}

static enum sae_status save_store(const char *dir, const char *model, json_t **ret_record,
                                  struct sae_err *err)
{
    enum { N = AFAB_CONTEXTS * (AFAB_T - 1) };
    static uint16_t rows[N * AFAB_D], position[N];
    static uint32_t token[N], document[N];
    size_t strength[AFAB_WORDS] = {0};
    struct sae_rng rng = sae_rng_make(5, SAE_RNG_TEST);
    memset(rows, 0, sizeof rows);
    for (size_t r = 0; r < N; r++) {
        const size_t context = r / (AFAB_T - 1), at = 1 + r % (AFAB_T - 1);
        const size_t word = word_at(context, at, &rng);
        token[r] = ids[word];
        position[r] = (uint16_t)at;
        document[r] = (uint32_t)context;
        if (word < 5) /* 1, 1 + 1/128, ...: exact in bf16 */
            rows[r * AFAB_D + word] =
                sae_bf16_from_f32(1.0F + (float)(strength[word]++ % 128) / 128.0F);
    }
    const struct sae_acts_shard shard = {N, AFAB_D, rows, token, document, position};
    char hex[SAE_DIGEST_HEX], *path = NULL;
    json_t *const record = record_of("sae-harvest", model);
    enum sae_status st;
    SAE_GO(st, sae_fs_join(&path, model, "tokenizer.model", err));
    SAE_GO(st, sae_digest_file(path, hex, err));
    json_object_set_new(record, "tokenizer", json_pack("{s:s, s:i}", "sha256", hex, "bos", 2));
    SAE_GO(st, sae_record_input(record, "model", model, "feedbeef", NULL, err));
    SAE_GO(st, sae_acts_shard_write(dir, 0, &shard, record, true, err));
    SAE_GO(st, sae_acts_finish(dir, 1, record, err));
    *ret_record = json_incref(record);
done:
    json_decref(record);
    free(path);
    return st;
}

static enum sae_status save_ckpt(const char *dir, const char *name, double progress,
                                 const char *model, const json_t *store, struct sae_err *err)
{
    struct sae_ckpt ckpt = {
        .step = (uint64_t)(100 * progress), .total_steps = 100, .seed = 1, .progress = progress};
    char *path = NULL;
    enum sae_status st;
    SAE_TRY(sae_model_alloc(&ckpt.model, SAE_ARCH_STANDARD, AFAB_D, AFAB_D, 0, err));
    ckpt.model.subtract_b_dec = true;
    for (size_t i = 0; i < AFAB_D; i++) {
        ckpt.model.W_enc[i * AFAB_D + i] = (float)progress;
        ckpt.model.W_dec[i * AFAB_D + i] = 1.0F;
    }
    ckpt.record = record_of("sae-train", model);
    SAE_GO(st, sae_record_input(ckpt.record, "acts", "../acts", "0123", store, err));
    SAE_GO(st, sae_fs_join(&path, dir, name, err));
    st = sae_ckpt_save(path, &ckpt, true, err);
done:
    free(path);
    sae_ckpt_clear(&ckpt);
    return st;
}

enum sae_status afab_folder(const char *dir, const char *model, struct sae_err *err)
{
    char *acts = NULL, *run = NULL;
    json_t *record = NULL;
    uint32_t bos;
    enum sae_status st;
    SAE_GO(st, find_words(model, &bos, err));
    SAE_GO(st, sae_fs_join(&acts, dir, "acts", err));
    SAE_GO(st, sae_fs_join(&run, dir, "run_1", err));
    SAE_GO(st, sae_fs_make_dirs(acts, err));
    SAE_GO(st, sae_fs_make_dirs(run, err));
    SAE_GO(st, save_store(acts, model, &record, err));
    SAE_GO(st, save_ckpt(run, "ckpt_50.h5", 0.5, model, record, err));
    SAE_GO(st, save_ckpt(run, "ckpt_100.h5", 1.0, model, record, err));
done:
    json_decref(record);
    free(acts);
    free(run);
    return st;
}
