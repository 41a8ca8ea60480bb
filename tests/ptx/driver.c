/* SPDX-License-Identifier: MIT */
/* driver : preloaded, makes a program believe that the machine has NVIDIA's driver, so that it loads
 * saecuda.so; the libraries under that are those of this folder. */
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

int access(const char *path, int mode)
{
    static int (*real)(const char *path, int mode);
    if (strcmp(path, "/dev/nvidiactl") == 0)
        return 0;
    if (!real) {
        void *const symbol = dlsym(RTLD_NEXT, "access");
        memcpy(&real, &symbol, sizeof real);
    }
    return real(path, mode);
}
