/* SPDX-License-Identifier: MIT */
/* string.h - of C, what the core needs of it in WebAssembly; see libc.c. */
#ifndef VZ_WASM_STRING_H
#define VZ_WASM_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

#endif /* VZ_WASM_STRING_H */
