/* SPDX-License-Identifier: MIT */
/* record : what made a file, as a JSON object; see the header. */
#include "lib/file/record.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"

enum sae_status sae_record_input(json_t *record, const char *role, const char *path,
                                 const char *id, const json_t *input_record, struct sae_err *err)
{
    json_t *inputs = json_object_get(record, "inputs");
    if (inputs == NULL) {
        inputs = json_array();
        if (json_object_set_new(record, "inputs", inputs) != 0)
            return sae_err_set(err, SAE_ENOMEM, "out of memory");
    }
    json_t *name = json_string(path); /* NULL where it is not UTF-8 */
    if (name == NULL)
        return sae_err_set(err, SAE_EARG,
                           "the path of input '%s' is not valid UTF-8 and cannot be recorded; "
                           "rename it",
                           path);
    json_t *input = json_pack("{s:s, s:o, s:s}", "role", role, "path", name, "id", id);
    int failed = input == NULL;
    if (!failed && input_record != NULL)
        failed = json_object_set(input, "record", (json_t *)input_record) != 0;
    if (failed || json_array_append(inputs, input) != 0) {
        json_decref(input);
        return sae_err_set(err, SAE_ENOMEM, "out of memory (record of input '%s')", path);
    }
    json_decref(input);
    return SAE_OK;
}

enum sae_status sae_record_text(char **ret, const json_t *record, struct sae_err *err)
{
    char *text = json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (text == NULL)
        return sae_err_set(err, SAE_ENOMEM, "out of memory (record)");
    const enum sae_status st = sae_mem_strdup(ret, text, err);
    free(text);
    return st;
}

const json_t *sae_record_find_input(const json_t *record, const char *role)
{
    const json_t *inputs = json_object_get(record, "inputs");
    size_t i;
    json_t *input;
    json_array_foreach(inputs, i, input)
    {
        const char *found = json_string_value(json_object_get(input, "role"));
        if (found != NULL && strcmp(found, role) == 0)
            return input;
    }
    json_array_foreach(inputs, i, input)
    {
        const json_t *deeper = json_object_get(input, "record");
        const json_t *found = deeper == NULL ? NULL : sae_record_find_input(deeper, role);
        if (found != NULL)
            return found;
    }
    return NULL;
}
