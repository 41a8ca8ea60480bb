/* SPDX-License-Identifier: MIT */
/* lm : does a device compute what the reference does, operation by operation, each from the same
 * inputs; asked as it is opened for a language model. tests/ops/checklm.c is the thorough check. */
#include "lib/math/lm.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "lib/base/bf16.h"
#include "lib/base/mem.h"
#include "lib/base/rng.h"

#define OP(name)                                                                                   \
    {                                                                                              \
#name, offsetof(struct sae_lm_ops, name)                                                   \
    }
static const struct {
    const char *name;
    size_t at;
} table[] = {OP(free_bytes), OP(factors), OP(product), OP(embed), OP(add), OP(norm), OP(join),
             OP(head_norm),  OP(rope),    OP(attend),  OP(gate),  OP(cap), OP(read), OP(compare)};
enum { N_OPS = sizeof table / sizeof *table };
_Static_assert(sizeof(struct sae_lm_ops) == N_OPS * sizeof(void *),
               "an operation is not in the list of names");

const char *sae_lm_missing(const struct sae_lm_ops *lm)
{
    for (size_t i = 0; i < N_OPS; i++) {
        void *op;
        memcpy(&op, (const char *)lm + table[i].at, sizeof op);
        if (!op)
            return table[i].name;
    }
    return NULL;
}

/* --- a block in small ----------------------------------------------------------------------- */

/* A sliding window shorter than the sequences, two query heads to one of keys. */
enum { B = 2, T = 41, N = B * T, D = 64, H = 2, K = 1, HEAD = 40, F = 72, V = 88, WINDOW = 19 };
enum { W_SIZE = 2 * D, QKV = (H + 2 * K) * HEAD, WIDEST = QKV > V ? QKV : V, SIZE = N * WIDEST };
_Static_assert(2 * F <= WIDEST && 2 * HEAD <= W_SIZE, "rows of gate and up; weights of heads");

/* Arrays of one backend; factors take no more than floats. */
struct side {
    const struct sae_ops *ops;
    float *x, *a, *wide, *out, *W, *w, *angles;
    double *lse, *ce, *kl;
    uint32_t *ids;
};

/* What is compared after each operation. */
struct found {
    const char *op;
    size_t n;
    float v[SIZE];
};

static enum sae_status open_side(struct side *s, const struct sae_ops *ops, struct sae_err *err)
{
    s->ops = ops;
    SAE_TRY(ops->alloc(&s->x, N * D, sizeof(float), err));
    SAE_TRY(ops->alloc(&s->a, N * D, sizeof(float), err));
    SAE_TRY(ops->alloc(&s->wide, SIZE, sizeof(float), err));
    SAE_TRY(ops->alloc(&s->out, SIZE, sizeof(float), err));
    SAE_TRY(ops->alloc(&s->W, WIDEST * D, sizeof(float), err));
    SAE_TRY(ops->alloc(&s->w, W_SIZE, sizeof(float), err));
    SAE_TRY(ops->alloc(&s->angles, 2 * T * (HEAD / 2), sizeof(float), err));
    SAE_TRY(ops->alloc(&s->lse, N, sizeof(double), err));
    SAE_TRY(ops->alloc(&s->ce, N, sizeof(double), err));
    SAE_TRY(ops->alloc(&s->kl, N, sizeof(double), err));
    return ops->alloc(&s->ids, N, sizeof(uint32_t), err);
}

static void close_side(struct side *s)
{
    void *const all[] = {s->x,      s->a,   s->wide, s->out, s->W,  s->w,
                         s->angles, s->lse, s->ce,   s->kl,  s->ids};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        s->ops->free(all[i]);
}

/* Inputs: the same numbers on every side. */
static void fill(const struct side *s, float *to, size_t n, uint64_t stream)
{
    float host[SIZE];
    struct sae_rng rng = sae_rng_make(3, SAE_RNG_TEST + stream);
    for (size_t i = 0; i < n; i++)
        host[i] = (float)sae_rng_normal(&rng);
    s->ops->put(to, host, n * sizeof *host);
}

static void fill_all(const struct side *s)
{
    float angles[2 * T * (HEAD / 2)];
    uint32_t ids[N];
    for (size_t i = 0; i < (size_t)T * (HEAD / 2); i++) {
        angles[i] = (float)cos((double)i);
        angles[T * (HEAD / 2) + i] = (float)sin((double)i);
    }
    for (size_t i = 0; i < N; i++)
        ids[i] = (uint32_t)(i * 7 % V);
    fill(s, s->x, N * D, 0);
    fill(s, s->a, N * D, 1);
    fill(s, s->wide, SIZE, 2);
    fill(s, s->out, WIDEST * D, 3);
    fill(s, s->w, W_SIZE, 4);
    s->ops->put(s->angles, angles, sizeof angles);
    s->ops->put(s->ids, ids, sizeof ids);
}

static void take(const struct side *s, struct found *f, const char *op, const float *from, size_t n)
{
    f->op = op;
    f->n = n;
    s->ops->get(f->v, from, n * sizeof *from);
}

static void take_factors(const struct side *s, struct found *f, const char *op, const void *from,
                         size_t n, enum sae_precision how)
{
    uint16_t host[SIZE];
    if (how != SAE_BF16) {
        take(s, f, op, from, n);
        return;
    }
    f->op = op;
    f->n = n;
    s->ops->get(host, from, n * sizeof *host);
    sae_bf16_widen(f->v, host, n);
}

static void take_doubles(const struct side *s, struct found *f, const char *op, const double *from)
{
    double host[N];
    f->op = op;
    f->n = N;
    s->ops->get(host, from, sizeof host);
    for (size_t i = 0; i < N; i++)
        f->v[i] = (float)host[i];
}

enum { COMPARED = 18 };

/* Each operation from the inputs alone. */
static void run_side(const struct side *s, enum sae_precision how, struct found f[COMPARED])
{
    const struct sae_lm_ops *const lm = s->ops->lm;
    const struct sae_lm_heads heads = {B, T, H, K, HEAD, WINDOW, 0.3F, 5};
    fill_all(s);
    lm->factors(how, WIDEST * D, s->out, s->W);
    take_factors(s, f++, "factors", s->W, WIDEST * D, how);
    lm->embed(how, N, D, 8, s->ids, s->W, s->out);
    take(s, f++, "embed", s->out, N * D);
    for (int kind = SAE_LM_RMS; kind <= SAE_LM_LAYER; kind++) {
        lm->norm(how, (enum sae_lm_norm)kind, N, D, 1e-6, s->x, s->w, s->out);
        take_factors(s, f++, "norm", s->out, N * D, how);
    }
    lm->factors(how, N * D, s->a, s->out);
    lm->product(how, N, V, D, s->out, s->W, s->wide);
    take(s, f++, "product", s->wide, N * V);
    fill(s, s->wide, SIZE, 5);
    lm->join(how, SAE_LM_RMS1P, N, D, 1e-6, s->a, s->w, s->x, s->w + D, s->out);
    take(s, f++, "join", s->x, N * D);
    take_factors(s, f++, "join", s->out, N * D, how);
    for (int act = SAE_LM_GELU_TANH; act <= SAE_LM_SILU; act++) {
        lm->gate(how, (enum sae_lm_act)act, act != SAE_LM_GELU, N, F, s->wide, s->out);
        take_factors(s, f++, "gate", s->out, N * F, how);
    }
    lm->attend(how, &heads, s->wide, s->out);
    take_factors(s, f++, "attend", s->out, N * H * HEAD, how);
    lm->read(N, V, s->wide, s->ids, s->lse, s->ce);
    take_doubles(s, f++, "read", s->ce);
    fill(s, s->out, SIZE, 6);
    lm->compare(N, V, s->wide, s->lse, s->out, s->ids, s->ce, s->kl);
    take_doubles(s, f++, "compare", s->kl);
    lm->add(N, T, D, s->a, s->x);
    take(s, f++, "add", s->x, N * D);
    lm->head_norm(SAE_LM_RMS, N, H, K, HEAD, QKV, 1e-6, s->w, s->wide);
    take(s, f++, "head_norm", s->wide, N * QKV);
    lm->rope(N, T, H + K, HEAD, HEAD / 2, QKV, s->angles, s->angles + (size_t)T * (HEAD / 2),
             s->wide);
    take(s, f++, "rope", s->wide, N * QKV);
    lm->cap(N * V, 2, s->out);
    take(s, f++, "cap", s->out, N * V);
}

/* One rounding of a factor, or the sums of products of 64 tf32 numbers: a device that goes wrong
 * is further off. */
static bool close_enough(const struct found *want, const struct found *have, size_t *ret_at)
{
    float largest = 0;
    for (size_t i = 0; i < want->n; i++)
        largest = fmaxf(largest, fabsf(want->v[i]));
    for (size_t i = 0; i < want->n; i++)
        if (!(fabsf(have->v[i] - want->v[i]) <= 1e-2F * largest)) {
            *ret_at = i;
            return false;
        }
    return true;
}

enum sae_status sae_lm_agree(const struct sae_ops *ops, enum sae_precision how, struct sae_err *err)
{
    struct side sides[2] = {{.ops = &sae_ops_ref}, {.ops = ops}};
    struct found *found = NULL;
    enum sae_status st;
    if (!ops->lm || sae_lm_missing(ops->lm))
        return sae_err_set(err, SAE_EBACKEND,
                           "backend '%s' has no operation '%s' of a language model", ops->name,
                           ops->lm ? sae_lm_missing(ops->lm) : "product");
    SAE_TRY(sae_mem_alloc(&found, 2 * COMPARED, sizeof *found, err));
    for (size_t i = 0; i < 2; i++) {
        SAE_GO(st, open_side(&sides[i], sides[i].ops, err));
        run_side(&sides[i], how, found + i * COMPARED);
        SAE_GO(st, sides[i].ops->check(err));
    }
    for (size_t i = 0, at; i < COMPARED; i++)
        if (!close_enough(&found[i], &found[COMPARED + i], &at)) {
            st = sae_err_set(err, SAE_EBACKEND,
                             "'%s' computes something else than the reference (%s of a language "
                             "model gives %g instead of %g); use --backend cpu",
                             ops->name, found[i].op, (double)found[COMPARED + i].v[at],
                             (double)found[i].v[at]);
            goto done;
        }
done:
    free(found);
    for (size_t i = 0; i < 2; i++)
        close_side(&sides[i]);
    return st;
}

enum sae_status sae_lm_open_ops(const struct sae_ops **ret, const char *name,
                                enum sae_precision how, size_t n_threads,
                                struct sae_err *fallback_reason, struct sae_err *err)
{
    const bool is_auto = strcmp(name, "auto") == 0;
    const struct sae_ops *ops = NULL;
    struct sae_err why = {0};
    SAE_TRY(sae_ops_open_device(&ops, name, n_threads, fallback_reason, err));
    if (!ops->host) {
        const enum sae_status st = sae_lm_agree(ops, how, is_auto ? &why : err);
        if (st != SAE_OK && !is_auto)
            return st;
        if (st != SAE_OK) {
            ops = &sae_ops_cpu;
            if (fallback_reason)
                *fallback_reason = why;
        }
    }
    *ret = ops;
    return SAE_OK;
}
