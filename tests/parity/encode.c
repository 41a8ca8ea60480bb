/* SPDX-License-Identifier: MIT */
/* Ids of documents by a tokenizer.json, for tests/parity/ids.py: each document in parts of 1 MiB,
 * as sae-harvest reads it. Prints the processor seconds of encoding.
 *   usage: encode FOLDER TEXT LENGTHS OUT
 * LENGTHS: u64, bytes of each document of TEXT. OUT: of each document u64, its ids, then they, u32.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/fs.h"
#include "lib/base/utf8.h"
#include "lm/lm.h"

enum { PART = 1 << 20 };

static void must(enum sae_status st, const struct sae_err *err)
{
    if (st == SAE_OK)
        return;
    (void)fprintf(stderr, "encode: %s\n", err->msg);
    exit(1);
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    struct sae_err err = {0};
    struct sae_lm_config config = {.V = (size_t)1 << 30};
    struct sae_tok_rest rest = {0};
    struct sae_tok *tok = NULL;
    char *text = NULL, *lengths = NULL;
    size_t n_text = 0, n_lengths = 0;
    double took = 0;
    if (argc != 5)
        return 2;
    must(sae_tok_open(&tok, argv[1], &config, &err), &err);
    must(sae_fs_read(&text, &n_text, argv[2], (size_t)1 << 33, &err), &err);
    must(sae_fs_read(&lengths, &n_lengths, argv[3], (size_t)1 << 30, &err), &err);
    FILE *const out = fopen(argv[4], "wb");
    if (!out)
        return 1;
    const uint64_t *const len = (const uint64_t *)(const void *)lengths;
    for (size_t d = 0, at = 0; d < n_lengths / 8; at += len[d++]) {
        uint64_t n_all = 0;
        const long head = ftell(out);
        (void)fwrite(&n_all, 8, 1, out);
        for (size_t from = 0, step; from < len[d]; from += step) {
            uint32_t *ids = NULL;
            size_t n = 0;
            step = len[d] - from > PART ? sae_utf8_cut(text + at + from, PART) : len[d] - from;
            const double begin = seconds();
            must(sae_tok_encode_part(tok, &rest, text + at + from, step, from + step == len[d],
                                     &ids, &n, &err),
                 &err);
            took += seconds() - begin;
            (void)fwrite(ids, sizeof *ids, n, out);
            n_all += n;
            free(ids);
        }
        (void)fseek(out, head, SEEK_SET);
        (void)fwrite(&n_all, 8, 1, out);
        (void)fseek(out, 0, SEEK_END);
    }
    if (fclose(out) != 0)
        return 1;
    (void)printf("%.3f\n", took);
    sae_tok_rest_clear(&rest);
    sae_tok_close(tok);
    free(text);
    free(lengths);
    return 0;
}
