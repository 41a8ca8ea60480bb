/* SPDX-License-Identifier: MIT */
/* pickle : a reader of the pickles that torch.save makes of state dicts, which runs nothing.
 *
 * A pickle is a program for a stack machine, and Python's own reader lets it call any function.
 * Here the machine knows only data (numbers, texts, tuples, lists, dicts) and a fixed handful of
 * names: collections.OrderedDict, torch._utils._rebuild_tensor_v2, torch._utils._rebuild_parameter
 * and torch's storage classes. Each is a rule of this file, never a call. Any other name or
 * instruction ends the reading with a message that names it. */
#ifndef SAE_LIB_FILE_PICKLE_H
#define SAE_LIB_FILE_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/file/tensors.h"

/* A tensor as the pickle describes it: which storage, where in it, of what shape. */
struct sae_pickle_tensor {
    enum sae_tensor_type type;
    char key[64];      /* name of the storage */
    uint64_t n_stored; /* its elements, as the pickle claims */
    uint64_t offset;   /* elements */
    size_t rank;
    uint64_t shape[SAE_TENSOR_RANK_MAX], stride[SAE_TENSOR_RANK_MAX];
};

/* What a dict held under text keys; inner dicts are flattened with a dot: "ae.encoder.weight".
 * Other values (lists, texts, ...) are passed over. In place of a dict one tensor: "tensor". */
struct sae_pickle_item {
    char *name;
    bool is_tensor;
    struct sae_pickle_tensor tensor;
    double number; /* where not a tensor */
};
/* Fails: SAE_EFORMAT, SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_pickle_read(struct sae_pickle_item **ret, size_t *ret_n,
                                               const uint8_t *bytes, size_t n, struct sae_err *err);
void sae_pickle_free(struct sae_pickle_item *items, size_t n);

#endif /* SAE_LIB_FILE_PICKLE_H */
