/* SPDX-License-Identifier: MIT */
/* eval_fab : fabricated word sets, labelled sets and autoencoders. */
#include "tests/unit/eval_fab.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/bf16.h"
#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"
#include "lib/file/record.h"

json_t *fab_record(const char *program, const char *model_id, int layer, size_t d)
{
    return json_pack("{s:s, s:s, s:s, s:{}, s:[], s:{s:s, s:s, s:i, s:s, s:I, s:i}}", "program",
                     program, "version", "test", "command", program, "options", "inputs", "site",
                     "model", "fab", "model_id", model_id, "layer", layer, "hook",
                     "blocks.3.hook_resid_post", "d", (json_int_t)d, "context", 64);
}

/* --- words -------------------------------------------------------------------------------- */

enum sae_status fab_words(struct sae_words *ret, struct sae_err *err)
{
    const size_t n = 26 * FAB_PER_LETTER;
    struct sae_rng rng = sae_rng_make(7, SAE_RNG_TEST);
    struct sae_words w = {.n = n, .d = FAB_D};
    SAE_TRY(sae_mem_alloc(&w.words, n, sizeof *w.words, err));
    SAE_TRY(sae_mem_alloc(&w.token, n, sizeof *w.token, err));
    SAE_TRY(sae_mem_alloc(&w.letter, n, 1, err));
    SAE_TRY(sae_mem_alloc(&w.split, n, 1, err));
    SAE_TRY(sae_mem_alloc(&w.correct, n, 1, err));
    SAE_TRY(sae_mem_alloc(&w.probe, n * FAB_D, sizeof *w.probe, err));
    SAE_TRY(sae_mem_alloc(&w.eval, n * FAB_D, sizeof *w.eval, err));
    for (size_t i = 0; i < n; i++) {
        const size_t letter = i / FAB_PER_LETTER, j = i % FAB_PER_LETTER;
        char text[16];
        snprintf(text, sizeof text, " %c%c%c", 'a' + (int)letter, 'a' + (int)(j / 26 % 26),
                 'a' + (int)(j % 26));
        SAE_TRY(sae_mem_strdup(&w.words[i], text, err));
        w.token[i] = (uint32_t)i;
        w.letter[i] = (uint8_t)letter;
        w.split[i] = j >= 160;
        w.correct[i] = 1;
        for (size_t k = 0; k < FAB_D; k++) {
            w.probe[i * FAB_D + k] = (float)(0.05 * sae_rng_normal(&rng));
            w.eval[i * FAB_D + k] = (float)(0.05 * sae_rng_normal(&rng));
        }
        w.probe[i * FAB_D + letter] += 3.0F;
        w.eval[i * FAB_D + letter] += 3.0F;
        if (j % 40 < FAB_TAGS) {
            w.probe[i * FAB_D + 26 + j % 40] += 3.0F;
            w.eval[i * FAB_D + 26 + j % 40] += 3.0F;
        }
    }
    *ret = w;
    return SAE_OK;
}

/* --- the autoencoder ---------------------------------------------------------------------- */

enum sae_status fab_ckpt(struct sae_ckpt *ret, bool absorbing, const char *acts_path,
                         struct sae_err *err)
{
    struct sae_ckpt ckpt = {.step = 100, .total_steps = 100, .seed = 1, .progress = 1.0};
    SAE_TRY(sae_model_alloc(&ckpt.model, SAE_ARCH_STANDARD, FAB_D, FAB_M, 0, err));
    ckpt.model.subtract_b_dec = true;
    float *const enc = ckpt.model.W_enc, *const dec = ckpt.model.W_dec;
    for (size_t c = 0; c < 26; c++) {
        enc[c * FAB_D + c] = 2.0F;
        dec[c * FAB_D + c] = 1.0F;
        ckpt.model.b_enc[c] = -2.0F;
        for (size_t t = 0; t < FAB_TAGS; t++) {
            const size_t a = 26 + c * FAB_TAGS + t;
            dec[a * FAB_D + c] = dec[a * FAB_D + 26 + t] = (float)sqrt(0.5);
            ckpt.model.b_enc[a] = -8.0F; /* f = 2 relu(x_c + x_t - 4) */
            if (absorbing) {
                enc[a * FAB_D + c] = enc[a * FAB_D + 26 + t] = 2.0F;
                enc[c * FAB_D + 26 + t] = -6.0F;
            }
        }
    }
    ckpt.record = fab_record("sae-train", "feedbeef", 3, FAB_D);
    json_t *const acts = fab_record("sae-harvest", "feedbeef", 3, FAB_D);
    const enum sae_status st = sae_record_input(ckpt.record, "acts", acts_path, "0123", acts, err);
    json_decref(acts);
    *ret = ckpt;
    return st;
}

/* --- labelled sets ------------------------------------------------------------------------ */

enum sae_status fab_labels(struct sae_labels *ret, uint16_t **ret_rows, size_t n_classes,
                           size_t n_per, size_t flipped, struct sae_err *err)
{
    enum { TOKENS = 3 };
    struct sae_rng rng = sae_rng_make(8, SAE_RNG_TEST);
    const size_t n = n_classes * n_per;
    struct sae_labels l = {.n_texts = n, .n_rows = n * TOKENS, .d = FAB_D, .n_classes = n_classes};
    uint16_t *rows = NULL;
    SAE_TRY(sae_mem_alloc(&l.start, n + 1, sizeof *l.start, err));
    SAE_TRY(sae_mem_alloc(&l.label, n, sizeof *l.label, err));
    SAE_TRY(sae_mem_alloc(&l.split, n, 1, err));
    SAE_TRY(sae_mem_alloc(&l.classes, n_classes, sizeof *l.classes, err));
    SAE_TRY(sae_mem_alloc(&rows, l.n_rows * FAB_D, sizeof *rows, err));
    for (size_t c = 0; c < n_classes; c++) {
        const char name[] = {'c', 'l', 'a', 's', 's', '_', (char)('a' + (int)c), 0};
        SAE_TRY(sae_mem_strdup(&l.classes[c], name, err));
    }
    for (size_t t = 0; t < n; t++) {
        const size_t c = t % n_classes, j = t / n_classes;
        const size_t stands = j % 10 < flipped ? (c + 1) % n_classes : c;
        l.label[t] = (uint32_t)c;
        l.split[t] = j * 5 >= n_per * 4;
        l.start[t + 1] = (t + 1) * TOKENS;
        for (size_t r = t * TOKENS; r < (t + 1) * TOKENS; r++)
            for (size_t k = 0; k < FAB_D; k++)
                rows[r * FAB_D + k] = sae_bf16_from_f32((float)(0.05 * sae_rng_normal(&rng)) +
                                                        (k == stands ? 3.0F : 0.0F));
    }
    *ret = l;
    *ret_rows = rows;
    return SAE_OK;
}

void fab_labels_clear(struct sae_labels *labels, uint16_t *rows)
{
    free(labels->start);
    free(labels->label);
    free(labels->split);
    for (size_t c = 0; c < labels->n_classes; c++)
        free(labels->classes[c]);
    free(labels->classes);
    free(rows);
}

/* --- files -------------------------------------------------------------------------------- */

static enum sae_status save_labels(const char *dir, const char *name, size_t n_classes,
                                   size_t n_per, size_t flipped, struct sae_err *err)
{
    struct sae_labels labels;
    uint16_t *rows = NULL;
    char *path = NULL;
    json_t *const record = fab_record("sae-harvest", "feedbeef", 3, FAB_D);
    SAE_TRY(fab_labels(&labels, &rows, n_classes, n_per, flipped, err));
    SAE_TRY(sae_fs_join(&path, dir, name, err));
    const enum sae_status st = sae_labels_save(path, &labels, rows, record, true, err);
    json_decref(record);
    fab_labels_clear(&labels, rows);
    free(path);
    return st;
}

static enum sae_status save_ckpt(const char *dir, const char *name, bool absorbing,
                                 struct sae_err *err)
{
    struct sae_ckpt ckpt;
    char *path = NULL;
    SAE_TRY(fab_ckpt(&ckpt, absorbing, "../acts", err));
    SAE_TRY(sae_fs_join(&path, dir, name, err));
    if (!absorbing) {
        ckpt.step = 50;
        ckpt.progress = 0.5;
    }
    const enum sae_status st = sae_ckpt_save(path, &ckpt, true, err);
    sae_ckpt_clear(&ckpt);
    free(path);
    return st;
}

static enum sae_status save_words(const char *dir, struct sae_err *err)
{
    struct sae_words words = {0};
    char *path = NULL;
    json_t *const record = fab_record("sae-harvest", "feedbeef", 3, FAB_D);
    SAE_TRY(fab_words(&words, err));
    SAE_TRY(sae_fs_join(&path, dir, "words.h5", err));
    const enum sae_status st = sae_words_save(path, &words, record, true, err);
    json_decref(record);
    sae_words_clear(&words);
    free(path);
    return st;
}

enum sae_status fab_folder(const char *dir, struct sae_err *err)
{
    char *acts = NULL, *run = NULL;
    enum sae_status st;
    SAE_GO(st, sae_fs_join(&acts, dir, "acts", err));
    SAE_GO(st, sae_fs_join(&run, dir, "run_1", err));
    SAE_GO(st, sae_fs_make_dirs(acts, err));
    SAE_GO(st, sae_fs_make_dirs(run, err));
    SAE_GO(st, save_words(acts, err));
    SAE_GO(st, save_labels(acts, "labels_topic.h5", 4, 50, 0, err));
    SAE_GO(st, save_labels(acts, "labels_mood.h5", 2, 100, 2, err));
    SAE_GO(st, save_ckpt(run, "ckpt_50.h5", false, err));
    SAE_GO(st, save_ckpt(run, "ckpt_100.h5", true, err));
done:
    free(acts);
    free(run);
    return st;
}
