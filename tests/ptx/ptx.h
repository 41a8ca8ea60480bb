/* SPDX-License-Identifier: MIT */
/* ptx : what the stand-ins for CUDA's libraries and the translated kernels know of each other. No
 * header of CUDA beside that of tests/emu: both have a dim3. */
#ifndef SAE_TESTS_PTX_PTX_H
#define SAE_TESTS_PTX_PTX_H

#include <cstddef>
#include <functional>

enum { PTX_PARAMS = 32 };

struct ptx_entry {
    const char *name; /* mangled, as in the module; NULL ends the list */
    void (*run)(void **args);
    size_t static_shared; /* bytes */
    unsigned n_params;
    unsigned param_bytes[PTX_PARAMS];
};
extern const struct ptx_entry ptx_entries[];

/* Runs an entry now: blocks in turn, threads as fibers; PTX_REVERSE in the environment turns both
 * orders round. */
void ptx_run(const ptx_entry *entry, unsigned grid_x, unsigned grid_y, unsigned threads,
             size_t dynamic_shared, void **args);

/* Memory of the device, dirty. */
void *ptx_alloc(size_t bytes);
void ptx_free(void *p);
size_t ptx_free_bytes(void);

/* Work of the stream: done when somebody waits for it, in order (PTX_NOW: at once). */
void ptx_post(std::function<void()> work);
size_t ptx_posted(void);
void ptx_wait(size_t n); /* until the first n posted are done */

#endif /* SAE_TESTS_PTX_PTX_H */
