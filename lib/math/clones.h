/* SPDX-License-Identifier: MIT */
/* clones : one function built for three levels of x86-64, chosen when the program starts, so that
 * a build for any machine runs fast on this one. For functions that hold a hot loop and no OpenMP
 * region: the outlined body of a region is not cloned. Not under the thread sanitizer, which
 * instruments the resolver that runs before it. */
#ifndef SAE_LIB_MATH_CLONES_H
#define SAE_LIB_MATH_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_THREAD__)
#define SAE_CLONES                                                                                 \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), noinline))
#else
#define SAE_CLONES
#endif

#endif /* SAE_LIB_MATH_CLONES_H */
