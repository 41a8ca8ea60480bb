/* SPDX-License-Identifier: MIT */
/* tensor : the types of numbers in files of arrays, and how a shape is written. */
#include <stdio.h>

#include "lib/file/tensors.h"

static const struct {
    const char *st_name; /* as safetensors spells it */
    size_t width;
} types[] = {
    [SAE_TENSOR_F32] = {"F32", 4}, [SAE_TENSOR_F64] = {"F64", 8},   [SAE_TENSOR_F16] = {"F16", 2},
    [SAE_TENSOR_BF16] = {"BF16", 2}, [SAE_TENSOR_I64] = {"I64", 8}, [SAE_TENSOR_I32] = {"I32", 4},
    [SAE_TENSOR_I16] = {"I16", 2}, [SAE_TENSOR_I8] = {"I8", 1},     [SAE_TENSOR_U8] = {"U8", 1},
    [SAE_TENSOR_U16] = {"U16", 2}, [SAE_TENSOR_U32] = {"U32", 4},   [SAE_TENSOR_U64] = {"U64", 8},
    [SAE_TENSOR_OTHER] = {"", 0},
};

size_t sae_tensor_width(enum sae_tensor_type type)
{
    return types[type].width;
}

const char *sae_tensor_type_name(enum sae_tensor_type type)
{
    return types[type].st_name;
}

const char *sae_tensor_shape(const struct sae_tensor *tensor, char to[SAE_TENSOR_SHAPE_BYTES])
{
    size_t len = (size_t)snprintf(to, SAE_TENSOR_SHAPE_BYTES, "[");
    for (size_t i = 0; i < tensor->rank; i++)
        len += (size_t)snprintf(to + len, SAE_TENSOR_SHAPE_BYTES - len, i ? ", %zu" : "%zu",
                                tensor->shape[i]);
    (void)snprintf(to + len, SAE_TENSOR_SHAPE_BYTES - len, "]");
    return to;
}
