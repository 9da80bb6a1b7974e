/* SPDX-License-Identifier: MIT */
/*
 * libc.c - the few functions of C that the core and the compiler call.
 *
 * memcpy() and its like become single instructions of WebAssembly (bulk memory).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	return __builtin_memcpy(to, from, n);
}

void *memmove(void *to, const void *from, size_t n)
{
	return __builtin_memmove(to, from, n);
}

void *memset(void *to, int byte, size_t n)
{
	return __builtin_memset(to, byte, n);
}

int memcmp(const void *a, const void *b, size_t n)
{
	const uint8_t *p = a, *q = b;

	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p < *q ? -1 : 1;
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

_Noreturn void abort(void)
{
	__builtin_trap();
}

static void swap(uint8_t *a, uint8_t *b, size_t bytes)
{
	for (; bytes >= sizeof(uint64_t); bytes -= sizeof(uint64_t), a += 8, b += 8) {
		uint64_t x, y;

		__builtin_memcpy(&x, a, sizeof(x));
		__builtin_memcpy(&y, b, sizeof(y));
		__builtin_memcpy(a, &y, sizeof(y));
		__builtin_memcpy(b, &x, sizeof(x));
	}
	for (; bytes; bytes--, a++, b++) {
		uint8_t byte = *a;

		*a = *b;
		*b = byte;
	}
}

/* Heap sort: in place, and never slower than n log n whatever the data are. */
static void sift(uint8_t *p, size_t root, size_t n, size_t bytes,
		 int (*compare)(const void *, const void *))
{
	for (size_t child; (child = root * 2 + 1) < n; root = child) {
		if (child + 1 < n && compare(p + child * bytes, p + (child + 1) * bytes) < 0)
			child++;
		if (compare(p + root * bytes, p + child * bytes) >= 0)
			return;
		swap(p + root * bytes, p + child * bytes, bytes);
	}
}

void qsort(void *p, size_t n, size_t bytes, int (*compare)(const void *, const void *))
{
	for (size_t i = n / 2; i > 0; i--)
		sift(p, i - 1, n, bytes, compare);
	for (size_t i = n; i > 1; i--) {
		swap(p, (uint8_t *)p + (i - 1) * bytes, bytes);
		sift(p, 0, i - 1, bytes, compare);
	}
}
