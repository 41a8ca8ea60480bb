/* SPDX-License-Identifier: MIT */
/* pickle : the stack machine. Values live in one growing array and are named by their index, so
 * nothing is freed before the end; every instruction makes at most one value and moves at most
 * what was pushed before, so work and memory are bounded by the pickle's length.
 * Contents: 1. values   2. stack and memo   3. names and their rules   4. instructions
 *           5. the answer */
#include "lib/file/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"

/* --- 1. values ---------------------------------------------------------------------------- */

enum kind {
    NONE,
    BOOL,
    INT,
    REAL,
    TEXT,
    SEQUENCE, /* tuple or list */
    DICT,     /* keys and values in turn */
    NAME,     /* a known name */
    STORAGE,
    TENSOR,
    MARK
};

struct value {
    enum kind kind;
    int64_t whole; /* INT, BOOL; NAME: its number */
    double real;
    const char *text; /* in the pickle */
    size_t len;       /* bytes of text; entries of items */
    size_t cap;
    uint32_t *items;  /* SEQUENCE, DICT */
    struct sae_pickle_tensor *tensor; /* STORAGE, TENSOR */
};

enum { PICKLE_MAX = 4 << 20, STACK_MAX = 1 << 20, MEMO_MAX = 1 << 20, DEPTH_MAX = 3 };

struct machine {
    const uint8_t *at, *end;
    struct value *values;
    size_t n, cap;
    uint32_t *stack;
    size_t top, cap_stack;
    uint32_t *memo; /* index + 1; 0 where nothing is kept */
    size_t n_memo, cap_memo;
    struct sae_err *err;
};

static enum sae_status bad(struct machine *m, const char *what)
{
    return sae_err_set(m->err, SAE_EFORMAT, "the pickle is damaged: %s", what);
}

static enum sae_status make(struct machine *m, enum kind kind, struct value **ret)
{
    SAE_TRY(sae_mem_grow(&m->values, &m->cap, m->n + 1, sizeof *m->values, m->err));
    *ret = &m->values[m->n++];
    **ret = (struct value){.kind = kind};
    return SAE_OK;
}

/* Adds entries to a sequence or dict. */
static enum sae_status extend(struct machine *m, struct value *to, const uint32_t *from, size_t n)
{
    SAE_TRY(sae_mem_grow(&to->items, &to->cap, to->len + n, sizeof *to->items, m->err));
    for (size_t i = 0; i < n; i++)
        to->items[to->len + i] = from[i];
    to->len += n;
    return SAE_OK;
}

/* --- 2. stack and memo -------------------------------------------------------------------- */

static enum sae_status push(struct machine *m, uint32_t index)
{
    if (m->top == STACK_MAX)
        return bad(m, "its stack grows without end");
    SAE_TRY(sae_mem_grow(&m->stack, &m->cap_stack, m->top + 1, sizeof *m->stack, m->err));
    m->stack[m->top++] = index;
    return SAE_OK;
}

/* A new value on top of the stack; *ret is good until the next one is made. */
static enum sae_status push_new(struct machine *m, enum kind kind, struct value **ret)
{
    SAE_TRY(make(m, kind, ret));
    return push(m, (uint32_t)(m->n - 1));
}

static enum sae_status pop(struct machine *m, struct value **ret)
{
    if (m->top == 0)
        return bad(m, "it takes from an empty stack");
    *ret = &m->values[m->stack[--m->top]];
    return (*ret)->kind == MARK ? bad(m, "it takes a mark for a value") : SAE_OK;
}

static enum sae_status peek(struct machine *m, struct value **ret)
{
    SAE_TRY(pop(m, ret));
    m->top++;
    return SAE_OK;
}

/* Entries above the last mark: *ret_first ... top; the mark is below them. */
static enum sae_status find_mark(struct machine *m, size_t *ret_first)
{
    for (size_t i = m->top; i-- > 0;)
        if (m->values[m->stack[i]].kind == MARK) {
            *ret_first = i + 1;
            return SAE_OK;
        }
    return bad(m, "a mark is missing");
}

static enum sae_status remember(struct machine *m, size_t slot)
{
    struct value *value;
    SAE_TRY(peek(m, &value));
    if (slot >= MEMO_MAX)
        return bad(m, "it remembers too much");
    SAE_TRY(sae_mem_grow(&m->memo, &m->cap_memo, slot + 1, sizeof *m->memo, m->err));
    if (slot >= m->n_memo)
        m->n_memo = slot + 1;
    m->memo[slot] = m->stack[m->top - 1] + 1;
    return SAE_OK;
}

static enum sae_status recall(struct machine *m, size_t slot)
{
    if (slot >= m->n_memo || m->memo[slot] == 0)
        return bad(m, "it refers to a value that it has not kept");
    return push(m, m->memo[slot] - 1);
}

/* The n topmost entries become a tuple. */
static enum sae_status tuple(struct machine *m, size_t n)
{
    struct value *made;
    if (m->top < n)
        return bad(m, "a tuple lacks members");
    for (size_t i = 0; i < n; i++)
        if (m->values[m->stack[m->top - 1 - i]].kind == MARK)
            return bad(m, "a tuple reaches over a mark");
    SAE_TRY(make(m, SEQUENCE, &made));
    m->top -= n;
    if (n > 0) /* an empty stack has no address to count from */
        SAE_TRY(extend(m, made, m->stack + m->top, n));
    return push(m, (uint32_t)(m->n - 1));
}

/* --- 3. names and their rules ------------------------------------------------------------- */

enum name { ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, STORAGE_CLASS };

static const struct known {
    const char *module, *name;
    enum name rule;
    enum sae_tensor_type type;
} known[] = {
    {"collections", "OrderedDict", ORDERED_DICT, 0},
    {"torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR, 0},
    {"torch._utils", "_rebuild_parameter", REBUILD_PARAMETER, 0},
    {"torch", "FloatStorage", STORAGE_CLASS, SAE_TENSOR_F32},
    {"torch", "DoubleStorage", STORAGE_CLASS, SAE_TENSOR_F64},
    {"torch", "HalfStorage", STORAGE_CLASS, SAE_TENSOR_F16},
    {"torch", "BFloat16Storage", STORAGE_CLASS, SAE_TENSOR_BF16},
    {"torch", "LongStorage", STORAGE_CLASS, SAE_TENSOR_I64},
    {"torch", "IntStorage", STORAGE_CLASS, SAE_TENSOR_I32},
    {"torch", "ShortStorage", STORAGE_CLASS, SAE_TENSOR_I16},
    {"torch", "CharStorage", STORAGE_CLASS, SAE_TENSOR_I8},
    {"torch", "ByteStorage", STORAGE_CLASS, SAE_TENSOR_U8},
    {"torch", "BoolStorage", STORAGE_CLASS, SAE_TENSOR_U8},
};

static bool is_text(const struct value *value, const char *text)
{
    return value->kind == TEXT && value->len == strlen(text) &&
           memcmp(value->text, text, value->len) == 0;
}

/* Up to 60 bytes for a message, other than plain letters as '?'. */
static const char *shown(char to[64], const char *text, size_t len)
{
    const size_t n = len < 60 ? len : 60;
    for (size_t i = 0; i < n; i++)
        to[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    to[n] = '\0';
    return to;
}

static enum sae_status push_name(struct machine *m, const char *module, size_t n_module,
                                 const char *name, size_t n_name)
{
    struct value *made;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].module) != n_module || strlen(known[i].name) != n_name ||
            memcmp(known[i].module, module, n_module) != 0 ||
            memcmp(known[i].name, name, n_name) != 0)
            continue;
        SAE_TRY(push_new(m, NAME, &made));
        made->whole = (int64_t)i;
        return SAE_OK;
    }
    char a[64], b[64];
    return sae_err_set(m->err, SAE_EFORMAT,
                       "the pickle names '%s.%s', which a state dict of tensors does not need; "
                       "refused, nothing was run",
                       shown(a, module, n_module), shown(b, name, n_name));
}

static const struct value *item(const struct machine *m, const struct value *of, size_t i)
{
    return &m->values[of->items[i]];
}

/* ("storage", class, key, device, elements) */
static enum sae_status storage(struct machine *m)
{
    struct value *id = NULL, *made = NULL;
    SAE_TRY(pop(m, &id));
    if (id->kind != SEQUENCE || id->len != 5 || !is_text(item(m, id, 0), "storage"))
        return bad(m, "a persistent id that is not a storage");
    const struct value class = *item(m, id, 1), key = *item(m, id, 2), count = *item(m, id, 4);
    if (class.kind != NAME || known[class.whole].rule != STORAGE_CLASS || key.kind != TEXT ||
        key.len == 0 || key.len >= sizeof made->tensor->key || count.kind != INT || count.whole < 0)
        return bad(m, "a storage that is not described as one");
    SAE_TRY(push_new(m, STORAGE, &made));
    SAE_TRY(sae_mem_alloc(&made->tensor, 1, sizeof *made->tensor, m->err));
    made->tensor->type = known[class.whole].type;
    made->tensor->n_stored = (uint64_t)count.whole;
    memcpy(made->tensor->key, key.text, key.len);
    return SAE_OK;
}

static bool read_dims(const struct machine *m, const struct value *from, uint64_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct value *const v = item(m, from, i);
        if (v->kind != INT || v->whole < 0)
            return false;
        to[i] = (uint64_t)v->whole;
    }
    return true;
}

/* (storage, offset, shape, stride, ...) */
static enum sae_status rebuild_tensor(struct machine *m, const struct value *args)
{
    if (args->len < 4)
        return bad(m, "a tensor lacks arguments");
    const struct value from = *item(m, args, 0), offset = *item(m, args, 1);
    const struct value shape = *item(m, args, 2), stride = *item(m, args, 3);
    if (from.kind != STORAGE || offset.kind != INT || offset.whole < 0 || shape.kind != SEQUENCE ||
        stride.kind != SEQUENCE || shape.len != stride.len || shape.len > SAE_TENSOR_RANK_MAX)
        return bad(m, "a tensor that is not described as one");
    struct sae_pickle_tensor tensor = *from.tensor;
    tensor.offset = (uint64_t)offset.whole;
    tensor.rank = shape.len;
    if (!read_dims(m, &shape, tensor.shape, shape.len) ||
        !read_dims(m, &stride, tensor.stride, shape.len))
        return bad(m, "a tensor's shape is not of whole numbers");
    struct value *made;
    SAE_TRY(push_new(m, TENSOR, &made));
    SAE_TRY(sae_mem_alloc(&made->tensor, 1, sizeof *made->tensor, m->err));
    *made->tensor = tensor;
    return SAE_OK;
}

/* name(arguments), by the name's rule */
static enum sae_status reduce(struct machine *m)
{
    struct value *args = NULL, *name = NULL, *made = NULL;
    SAE_TRY(pop(m, &args));
    SAE_TRY(pop(m, &name));
    if (name->kind != NAME || args->kind != SEQUENCE)
        return bad(m, "it calls what is not a name");
    switch (known[name->whole].rule) {
    case ORDERED_DICT:
        return args->len == 0 ? push_new(m, DICT, &made) : bad(m, "a dict made of something");
    case REBUILD_TENSOR:
        return rebuild_tensor(m, args);
    case REBUILD_PARAMETER: /* (tensor, requires_grad, hooks): the tensor */
        if (args->len < 1 || item(m, args, 0)->kind != TENSOR)
            return bad(m, "a parameter that holds no tensor");
        return push(m, args->items[0]);
    case STORAGE_CLASS:
        break;
    }
    return bad(m, "it makes a storage by itself");
}

/* --- 4. instructions ---------------------------------------------------------------------- */

static enum sae_status take(struct machine *m, size_t n, const uint8_t **ret)
{
    if ((size_t)(m->end - m->at) < n)
        return bad(m, "it is cut short");
    *ret = m->at;
    m->at += n;
    return SAE_OK;
}

static enum sae_status take_u(struct machine *m, size_t n, uint64_t *ret)
{
    const uint8_t *p = NULL;
    SAE_TRY(take(m, n, &p));
    *ret = 0;
    for (size_t i = 0; i < n; i++)
        *ret |= (uint64_t)p[i] << (8 * i);
    return SAE_OK;
}

/* A whole number of n <= 8 bytes, with a sign where is_signed. */
static enum sae_status push_int(struct machine *m, size_t n, bool is_signed)
{
    uint64_t u;
    struct value *made;
    SAE_TRY(take_u(m, n, &u));
    if (is_signed && n > 0 && n < 8 && (u >> (8 * n - 1) & 1U))
        u |= UINT64_MAX << (8 * n);
    SAE_TRY(push_new(m, INT, &made));
    memcpy(&made->whole, &u, sizeof u);
    return SAE_OK;
}

/* LONG1: a length, then that many bytes */
static enum sae_status push_long(struct machine *m)
{
    uint64_t n;
    SAE_TRY(take_u(m, 1, &n));
    return n > 8 ? bad(m, "a number of more than 64 bits") : push_int(m, (size_t)n, true);
}

static enum sae_status push_real(struct machine *m)
{
    const uint8_t *p = NULL;
    struct value *made;
    SAE_TRY(take(m, 8, &p));
    uint64_t u = 0;
    for (size_t i = 0; i < 8; i++)
        u = u << 8 | p[i];
    SAE_TRY(push_new(m, REAL, &made));
    memcpy(&made->real, &u, sizeof u);
    return SAE_OK;
}

/* A text whose length stands before it in n bytes. */
static enum sae_status push_text(struct machine *m, size_t n)
{
    uint64_t len;
    const uint8_t *p = NULL;
    struct value *made;
    SAE_TRY(take_u(m, n, &len));
    if (len > (uint64_t)(m->end - m->at))
        return bad(m, "it is cut short");
    SAE_TRY(take(m, (size_t)len, &p));
    SAE_TRY(push_new(m, TEXT, &made));
    made->text = (const char *)p;
    made->len = (size_t)len;
    return SAE_OK;
}

static enum sae_status take_line(struct machine *m, const char **ret, size_t *ret_len)
{
    const uint8_t *const nl = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (nl == NULL)
        return bad(m, "it is cut short");
    *ret = (const char *)m->at;
    *ret_len = (size_t)(nl - m->at);
    m->at = nl + 1;
    return SAE_OK;
}

static enum sae_status global(struct machine *m)
{
    const char *module = NULL, *name = NULL;
    size_t n_module = 0, n_name = 0;
    SAE_TRY(take_line(m, &module, &n_module));
    SAE_TRY(take_line(m, &name, &n_name));
    return push_name(m, module, n_module, name, n_name);
}

static enum sae_status stack_global(struct machine *m)
{
    struct value *name = NULL, *module = NULL;
    SAE_TRY(pop(m, &name));
    SAE_TRY(pop(m, &module));
    if (name->kind != TEXT || module->kind != TEXT)
        return bad(m, "a name that is not text");
    return push_name(m, module->text, module->len, name->text, name->len);
}

/* Adds what stands above the mark (or the `n` topmost where there is none) to the value below. */
static enum sae_status add(struct machine *m, enum kind kind, bool to_mark, size_t n)
{
    size_t first = m->top - n;
    if (to_mark)
        SAE_TRY(find_mark(m, &first));
    else if (m->top < n)
        return bad(m, "it takes from an empty stack");
    n = m->top - first;
    const uint32_t *const from = m->stack + first;
    for (size_t i = 0; i < n; i++)
        if (m->values[from[i]].kind == MARK)
            return bad(m, "it takes a mark for a value");
    m->top = to_mark ? first - 1 : first;
    struct value *to = NULL;
    SAE_TRY(peek(m, &to));
    if (to->kind != kind || (kind == DICT && n % 2 != 0))
        return bad(m, kind == DICT ? "keys and values that are not of a dict"
                                   : "members that are not of a list");
    return extend(m, to, from, n);
}

/* The attributes of an object: those of a dict (torch's _metadata) say nothing of tensors. */
static enum sae_status build(struct machine *m)
{
    struct value *state = NULL, *object = NULL;
    SAE_TRY(pop(m, &state));
    SAE_TRY(peek(m, &object));
    return object->kind == DICT && state->kind == DICT ? SAE_OK
                                                       : bad(m, "attributes of what has none");
}

static enum sae_status unknown(struct machine *m, uint8_t code)
{
    return sae_err_set(m->err, SAE_EFORMAT,
                       "the pickle holds instruction 0x%02x, which a state dict of tensors has no "
                       "need of; refused, nothing was run",
                       code);
}

/* Runs one instruction of fixed meaning. */
static enum sae_status step(struct machine *m, uint8_t code)
{
    struct value *made;
    uint64_t u;
    size_t first = 0;
    switch (code) {
    case 0x80: /* protocol */
        return take_u(m, 1, &u);
    case 0x95: /* frame */
        return take_u(m, 8, &u);
    case 'N':
        return push_new(m, NONE, &made);
    case 0x88: /* true, false */
    case 0x89:
        SAE_TRY(push_new(m, BOOL, &made));
        made->whole = code == 0x88;
        return SAE_OK;
    case 'J':
        return push_int(m, 4, true);
    case 'K':
        return push_int(m, 1, false);
    case 'M':
        return push_int(m, 2, false);
    case 0x8a:
        return push_long(m);
    case 'G':
        return push_real(m);
    case 'X':
        return push_text(m, 4);
    case 0x8c:
        return push_text(m, 1);
    case 0x8d:
        return push_text(m, 8);
    case '(':
        return push_new(m, MARK, &made);
    case ')':
        return tuple(m, 0);
    case 0x85: /* tuples of 1, 2, 3 */
    case 0x86:
    case 0x87:
        return tuple(m, code - 0x84U);
    case 't':
        SAE_TRY(find_mark(m, &first));
        SAE_TRY(tuple(m, m->top - first));
        m->stack[first - 1] = m->stack[m->top - 1]; /* in place of the mark */
        m->top = first;
        return SAE_OK;
    case ']':
        return push_new(m, SEQUENCE, &made);
    case '}':
        return push_new(m, DICT, &made);
    case 'a':
        return add(m, SEQUENCE, false, 1);
    case 'e':
        return add(m, SEQUENCE, true, 0);
    case 's':
        return add(m, DICT, false, 2);
    case 'u':
        return add(m, DICT, true, 0);
    case 'c':
        return global(m);
    case 0x93:
        return stack_global(m);
    case 'R':
        return reduce(m);
    case 'b':
        return build(m);
    case 'Q':
        return storage(m);
    case 'q':
        SAE_TRY(take_u(m, 1, &u));
        return remember(m, (size_t)u);
    case 'r':
        SAE_TRY(take_u(m, 4, &u));
        return remember(m, (size_t)u);
    case 0x94:
        return remember(m, m->n_memo);
    case 'h':
        SAE_TRY(take_u(m, 1, &u));
        return recall(m, (size_t)u);
    case 'j':
        SAE_TRY(take_u(m, 4, &u));
        return recall(m, (size_t)u);
    default:
        return unknown(m, code);
    }
}

/* --- 5. the answer ------------------------------------------------------------------------ */

struct answer {
    struct sae_pickle_item *v;
    size_t n, cap, n_visited;
};
#define VISITED_MAX 100000 /* a dict may stand in a pickle once and in its answer many times */

static enum sae_status add_item(struct machine *m, struct answer *to, const char *prefix,
                                const struct value *key, const struct value *value)
{
    struct sae_str name = {0};
    enum sae_status st;
    if (memchr(key->text, 0, key->len) != NULL)
        return bad(m, "a key holds a zero byte");
    SAE_GO(st, sae_mem_grow(&to->v, &to->cap, to->n + 1, sizeof *to->v, m->err));
    SAE_GO(st, sae_str_printf(&name, m->err, "%s%.*s", prefix, (int)key->len, key->text));
    struct sae_pickle_item made = {.is_tensor = value->kind == TENSOR};
    if (made.is_tensor)
        made.tensor = *value->tensor;
    else
        made.number = value->kind == REAL ? value->real : (double)value->whole;
    SAE_GO(st, sae_mem_strdup(&made.name, name.s, m->err));
    to->v[to->n++] = made;
done:
    sae_str_clear(&name);
    return st;
}

static enum sae_status gather(struct machine *m, struct answer *to, const char *prefix,
                              const struct value *dict, int depth)
{
    for (size_t i = 0; i + 1 < dict->len; i += 2) {
        const struct value *const key = item(m, dict, i), *const value = item(m, dict, i + 1);
        if (++to->n_visited > VISITED_MAX)
            return bad(m, "more than 100000 entries");
        if (key->kind != TEXT || key->len > 256)
            continue;
        if (value->kind == TENSOR || value->kind == INT || value->kind == REAL) {
            SAE_TRY(add_item(m, to, prefix, key, value));
        } else if (value->kind == DICT && depth < DEPTH_MAX) {
            struct sae_str inner = {0};
            enum sae_status st =
                sae_str_printf(&inner, m->err, "%s%.*s.", prefix, (int)key->len, key->text);
            if (st == SAE_OK)
                st = gather(m, to, inner.s, value, depth + 1);
            sae_str_clear(&inner);
            SAE_TRY(st);
        }
    }
    return SAE_OK;
}

static enum sae_status run(struct machine *m, struct answer *to)
{
    struct value *root = NULL;
    for (;;) {
        const uint8_t *code = NULL;
        SAE_TRY(take(m, 1, &code));
        if (*code == '.')
            break;
        SAE_TRY(step(m, *code));
    }
    SAE_TRY(pop(m, &root));
    if (root->kind == TENSOR)
        return add_item(m, to, "", &(const struct value){.kind = TEXT, .text = "tensor", .len = 6},
                        root);
    if (root->kind != DICT)
        return sae_err_set(m->err, SAE_EFORMAT,
                           "the pickle holds no dict of tensors; save the state dict, not the "
                           "module");
    return gather(m, to, "", root, 0);
}

enum sae_status sae_pickle_read(struct sae_pickle_item **ret, size_t *ret_n, const uint8_t *bytes,
                                size_t n, struct sae_err *err)
{
    struct machine m = {.at = bytes, .end = bytes + n, .err = err};
    struct answer to = {0};
    const enum sae_status st =
        n > PICKLE_MAX ? bad(&m, "it is too long, not counting its tensors") : run(&m, &to);
    for (size_t i = 0; i < m.n; i++) {
        free(m.values[i].items);
        free(m.values[i].tensor);
    }
    free(m.values);
    free(m.stack);
    free(m.memo);
    if (st != SAE_OK) {
        sae_pickle_free(to.v, to.n);
        return st;
    }
    *ret = to.v;
    *ret_n = to.n;
    return SAE_OK;
}

void sae_pickle_free(struct sae_pickle_item *items, size_t n)
{
    for (size_t i = 0; items != NULL && i < n; i++)
        free(items[i].name);
    free(items);
}
