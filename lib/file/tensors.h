/* SPDX-License-Identifier: MIT */
/* tensors : named arrays of numbers from a file of one of three kinds, recognised by content:
 * safetensors, numpy's npz, and PyTorch's zip format (torch.save of a state dict). The pickle in
 * the last is interpreted by rules that run nothing (pickle.h). Data stays in the mapped file until
 * it is read. */
#ifndef SAE_LIB_FILE_TENSORS_H
#define SAE_LIB_FILE_TENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

enum { SAE_TENSOR_RANK_MAX = 8 };

enum sae_tensor_type {
    SAE_TENSOR_F32,
    SAE_TENSOR_F64,
    SAE_TENSOR_F16,
    SAE_TENSOR_BF16,
    SAE_TENSOR_I64,
    SAE_TENSOR_I32,
    SAE_TENSOR_I16,
    SAE_TENSOR_I8,
    SAE_TENSOR_U8,
    SAE_TENSOR_U16,
    SAE_TENSOR_U32,
    SAE_TENSOR_U64,
    SAE_TENSOR_OTHER /* cannot be read as numbers */
};
size_t sae_tensor_width(enum sae_tensor_type type); /* bytes; 0 for OTHER */
/* As safetensors spells it, "BF16"; "" for OTHER. */
const char *sae_tensor_type_name(enum sae_tensor_type type);

struct sae_tensor {
    char *name;
    enum sae_tensor_type type;
    size_t rank; /* 0 = one element */
    size_t shape[SAE_TENSOR_RANK_MAX], stride[SAE_TENSOR_RANK_MAX]; /* stride in elements */
    size_t n;                                                       /* elements */
    const uint8_t *data; /* not aligned; checked to hold every element */
};

struct sae_st;
struct sae_zip;
struct sae_tensors {
    const char *kind; /* "safetensors", "npz", "torch" */
    size_t n;
    struct sae_tensor *v;
    /* torch only: whole numbers and reals that stood beside the tensors ("norm_factor") */
    size_t n_numbers;
    struct sae_tensor_number {
        char *name;
        double value;
    } *numbers;
    struct sae_st *st; /* one of these holds the data */
    struct sae_zip *zip;
};

/* Fails: SAE_EIO; SAE_EFORMAT damaged, of no known kind, or a pickle that asks for more than
 * tensors; SAE_ENOMEM */
SAE_MUST_CHECK enum sae_status sae_tensors_open(struct sae_tensors *ret, const char *path,
                                                struct sae_err *err);
void sae_tensors_close(struct sae_tensors *tensors); /* accepts zeroed */

/* By name; NULL where there is none. */
const struct sae_tensor *sae_tensors_find(const struct sae_tensors *tensors, const char *name);

/* All elements as f32, last dimension fastest. Fails: SAE_EFORMAT type OTHER */
SAE_MUST_CHECK enum sae_status sae_tensor_read(const struct sae_tensor *tensor, float *to,
                                               struct sae_err *err);
/* The element that lies at p, of any type but OTHER, as a double. */
double sae_tensor_element(enum sae_tensor_type type, const uint8_t *p);
/* One element as a double; that of a tensor of one element. */
double sae_tensor_number(const struct sae_tensor *tensor);
/* The same tensor of rank 2 seen the other way round; borrows all. */
struct sae_tensor sae_tensor_transposed(const struct sae_tensor *tensor);
/* "[64, 16]" for messages. */
enum { SAE_TENSOR_SHAPE_BYTES = 192 };
const char *sae_tensor_shape(const struct sae_tensor *tensor, char to[SAE_TENSOR_SHAPE_BYTES]);

#endif /* SAE_LIB_FILE_TENSORS_H */
