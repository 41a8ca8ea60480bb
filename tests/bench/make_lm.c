/* SPDX-License-Identifier: MIT */
/* make_lm : a language model of gemma-2-2b's shape whose weights are noise, as a folder. What memory, disk
 * and time real size costs can be measured on it without a download; its predictions mean nothing.
 *
 *   make_lm DIR TOKENIZER.model [LAYERS]
 *
 * TOKENIZER.model is a SentencePiece model of fewer pieces (that of data/tiny-g2); pieces that no text
 * gives are appended up to the vocabulary of 256000. 5.2 GB with all 26 layers. */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { V = 256000, D = 2304, F = 9216, H = 8, K = 4, HEAD = 256, CHUNK = 1 << 20, NAME = 120 };

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "make_lm: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
    exit(1);
}

static FILE *create(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const to = fopen(path, "wb");
    if (!to)
        die(path);
    return to;
}

static void finish(FILE *to, const char *name)
{
    if (ferror(to) || fclose(to) != 0)
        die(name);
}

/* --- weights ------------------------------------------------------------------------------ */

struct tensor {
    const char *name;
    size_t rows, cols; /* cols 0: a vector */
    float scale;       /* uniform in [-scale, scale] */
};

static const struct tensor of_layer[] = {
    {"input_layernorm",            D,        0,        0.1F },
    {"self_attn.q_proj",           H * HEAD, D,        0.03F},
    {"self_attn.k_proj",           K * HEAD, D,        0.03F},
    {"self_attn.v_proj",           K * HEAD, D,        0.03F},
    {"self_attn.o_proj",           D,        H * HEAD, 0.03F},
    {"post_attention_layernorm",   D,        0,        0.1F },
    {"pre_feedforward_layernorm",  D,        0,        0.1F },
    {"mlp.gate_proj",              F,        D,        0.03F},
    {"mlp.up_proj",                F,        D,        0.03F},
    {"mlp.down_proj",              D,        F,        0.03F},
    {"post_feedforward_layernorm", D,        0,        0.1F },
};
enum { OF_LAYER = sizeof of_layer / sizeof *of_layer };
static const struct tensor embed = {"embed_tokens", V, D, 0.06F}, norm = {"norm", D, 0, 0.1F};

static size_t count(const struct tensor *t)
{
    return t->rows * (t->cols ? t->cols : 1);
}

/* Appends the tensor's entry of the header, and moves *at behind its bytes. */
static void put_entry(FILE *to, const struct tensor *t, const char *name, size_t *at)
{
    const size_t end = *at + 2 * count(t);
    fprintf(to, "%s\"model.%s.weight\":{\"dtype\":\"BF16\",\"shape\":[%zu", *at ? "," : "{", name,
            t->rows);
    if (t->cols)
        fprintf(to, ",%zu", t->cols);
    fprintf(to, "],\"data_offsets\":[%zu,%zu]}", *at, end);
    *at = end;
}

static void put_values(FILE *to, const struct tensor *t, const char *name, size_t *at)
{
    static uint16_t some[CHUNK];
    (void)name;
    uint64_t state = 0x9E3779B97F4A7C15U + *at;
    for (size_t done = 0, all = count(t); done < all;) {
        const size_t n = all - done < CHUNK ? all - done : CHUNK;
        for (size_t i = 0; i < n; i++) {
            state = state * 6364136223846793005U + 1442695040888963407U;
            const float v = ((float)(int32_t)(state >> 32) / 2147483648.0F) * t->scale;
            uint32_t bits;
            memcpy(&bits, &v, sizeof bits);
            some[i] = (uint16_t)(bits >> 16);
        }
        if (fwrite(some, sizeof *some, n, to) != n)
            die("weights");
        done += n;
    }
    *at += 2 * count(t);
}

typedef void put(FILE *to, const struct tensor *t, const char *name, size_t *at);

static void each_tensor(FILE *to, size_t layers, put *call)
{
    size_t at = 0;
    char name[NAME];
    call(to, &embed, embed.name, &at);
    for (size_t l = 0; l < layers; l++)
        for (size_t i = 0; i < OF_LAYER; i++) {
            snprintf(name, sizeof name, "layers.%zu.%s", l, of_layer[i].name);
            call(to, &of_layer[i], name, &at);
        }
    call(to, &norm, norm.name, &at);
}

static void write_weights(const char *folder, size_t layers)
{
    char *header = NULL;
    size_t n = 0;
    FILE *const text = open_memstream(&header, &n);
    if (!text)
        die("header");
    each_tensor(text, layers, put_entry);
    fputc('}', text);
    finish(text, "header");
    FILE *const to = create(folder, "model.safetensors");
    const uint64_t padded = (n + 63) / 64 * 64;
    if (fwrite(&padded, sizeof padded, 1, to) != 1) /* a little-endian machine */
        die("model.safetensors");
    fprintf(to, "%s%*s", header, (int)(padded - n), "");
    each_tensor(to, layers, put_values);
    finish(to, "model.safetensors");
    free(header);
}

/* --- tokenizer ---------------------------------------------------------------------------- */

static uint64_t read_varint(const uint8_t **at, const uint8_t *end)
{
    uint64_t v = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        const uint8_t byte = *(*at)++;
        v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return v;
    }
    die("tokenizer");
}

/* Pieces of a SentencePiece model: its fields number 1. */
static size_t count_pieces(const uint8_t *at, const uint8_t *end)
{
    size_t n = 0;
    while (at < end) {
        const uint64_t key = read_varint(&at, end);
        if ((key & 7) != 2)
            die("tokenizer");
        const uint64_t len = read_varint(&at, end);
        if (len > (uint64_t)(end - at))
            die("tokenizer");
        at += len;
        n += key >> 3 == 1;
    }
    return n;
}

/* " qaaaa", " qaaab", ...: words to look at, which no text gives. A repeated field may be continued
 * behind all others. */
static void put_piece(FILE *to, size_t i)
{
    char piece[16] = "\xe2\x96\x81q";
    const float score = -1e6F - (float)i;
    const size_t letters = 5;
    for (size_t k = letters; k-- > 0; i /= 26)
        piece[4 + k] = (char)('a' + i % 26);
    const size_t len = 4 + letters;
    fputc(1 << 3 | 2, to);
    fputc((int)(2 + len + 5), to);
    fputc(1 << 3 | 2, to);
    fputc((int)len, to);
    fwrite(piece, 1, len, to);
    fputc(2 << 3 | 5, to);
    fwrite(&score, sizeof score, 1, to);
}

static void write_tokenizer(const char *folder, const char *from)
{
    static uint8_t bytes[1 << 23];
    FILE *const in = fopen(from, "rb");
    if (!in)
        die(from);
    const size_t n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    const size_t pieces = count_pieces(bytes, bytes + n);
    FILE *const to = create(folder, "tokenizer.model");
    fwrite(bytes, 1, n, to);
    for (size_t i = pieces; i < V; i++)
        put_piece(to, i - pieces);
    finish(to, "tokenizer.model");
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: make_lm DIR TOKENIZER.model [LAYERS]\n");
        return 2;
    }
    const size_t layers = argc > 3 ? strtoul(argv[3], NULL, 10) : 26;
    if (mkdir(argv[1], 0777) != 0 && errno != EEXIST)
        die(argv[1]);
    errno = 0;
    FILE *const config = create(argv[1], "config.json");
    fprintf(config,
            "{\"model_type\": \"gemma2\", \"vocab_size\": %d, \"hidden_size\": %d,\n"
            " \"intermediate_size\": %d, \"num_hidden_layers\": %zu, \"num_attention_heads\": %d,\n"
            " \"num_key_value_heads\": %d, \"head_dim\": %d, \"query_pre_attn_scalar\": 256,\n"
            " \"attn_logit_softcapping\": 50.0, \"final_logit_softcapping\": 30.0,\n"
            " \"sliding_window\": 4096, \"rope_theta\": 10000.0, \"rms_norm_eps\": 1e-6,\n"
            " \"hidden_activation\": \"gelu_pytorch_tanh\", \"max_position_embeddings\": 8192,\n"
            " \"bos_token_id\": 2, \"eos_token_id\": 1, \"pad_token_id\": 0}\n",
            V, D, F, layers, H, K, HEAD);
    finish(config, "config.json");
    write_tokenizer(argv[1], argv[2]);
    write_weights(argv[1], layers);
    return 0;
}
