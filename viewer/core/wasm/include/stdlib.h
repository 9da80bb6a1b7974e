/* SPDX-License-Identifier: MIT */
/* stdlib.h - of C, what the core needs of it in WebAssembly; see libc.c and heap.c. */
#ifndef VZ_WASM_STDLIB_H
#define VZ_WASM_STDLIB_H

#include <stddef.h>

void *malloc(size_t bytes);
void *calloc(size_t n, size_t bytes);
void *realloc(void *p, size_t bytes);
void free(void *p);
void qsort(void *p, size_t n, size_t bytes, int (*compare)(const void *, const void *));
_Noreturn void abort(void);

#endif /* VZ_WASM_STDLIB_H */
