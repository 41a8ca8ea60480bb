/* SPDX-License-Identifier: MIT */
/* Ids and logits of the beginning of a text by a language model, for tests/parity/real.py.
 *   usage: predict MODEL TEXT T OUT
 * OUT: u32 T ids, BOS first; u32 V; f32 [T][V] logits. */
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fs.h"
#include "lib/base/mem.h"
#include "lm/lm.h"

static void must(enum sae_status st, const struct sae_err *err)
{
    if (st == SAE_OK)
        return;
    (void)fprintf(stderr, "predict: %s\n", err->msg);
    exit(1);
}

int main(int argc, char **argv)
{
    struct sae_err err = {0};
    struct sae_lm *lm = NULL;
    struct sae_lm_run *run = NULL;
    struct sae_tok *tok = NULL;
    char *text = NULL;
    uint32_t *ids = NULL, *all = NULL;
    float *x = NULL, *logits = NULL;
    size_t n_text = 0, n = 0;
    if (argc != 5)
        return 2;
    const size_t T = strtoul(argv[3], NULL, 10);
    must(sae_lm_open(&lm, argv[1], &err), &err);
    const struct sae_lm_config *const c = sae_lm_config(lm);
    must(sae_tok_open(&tok, argv[1], c, &err), &err);
    must(sae_fs_read(&text, &n_text, argv[2], (size_t)1 << 30, &err), &err);
    must(sae_tok_encode(tok, text, n_text, &ids, &n, &err), &err);
    if (T < 2 || n + 1 < T)
        return 2;
    must(sae_mem_alloc(&all, T, sizeof *all, &err), &err);
    must(sae_mem_alloc(&x, T * c->D, sizeof *x, &err), &err);
    must(sae_mem_alloc(&logits, c->V, sizeof *logits, &err), &err);
    all[0] = c->bos;
    for (size_t i = 1; i < T; i++)
        all[i] = ids[i - 1];
    must(sae_lm_run_open(&run, lm, T, T, &err), &err);
    must(sae_lm_tap(run, all, 1, T, sae_resid_post(c->L - 1), x, &err), &err);
    must(sae_lm_resume(run, x, NULL, 1, T, sae_resid_post(c->L - 1), &err), &err);
    FILE *const out = fopen(argv[4], "wb");
    const uint32_t V = (uint32_t)c->V;
    if (!out)
        return 1;
    (void)fwrite(all, sizeof *all, T, out);
    (void)fwrite(&V, sizeof V, 1, out);
    for (size_t i = 0; i < T; i++) {
        must(sae_lm_logits(run, i, 1, logits, &err), &err);
        (void)fwrite(logits, sizeof *logits, V, out);
    }
    if (fclose(out) != 0)
        return 1;
    sae_lm_run_close(run);
    sae_tok_close(tok);
    sae_lm_close(lm);
    free(text);
    free(ids);
    free(all);
    free(x);
    free(logits);
    return 0;
}
