/* SPDX-License-Identifier: MIT */
/* gen_corpus DIR - small traces for fuzz_reader to begin with. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/kit_trace.h"

enum {
	FILES = 12,
	MODES = 2, /* as it is, checksums mended: see fuzz_reader.c */
};

static int write_seed(const char *dir, int i, int mode, const uint8_t *p, size_t n)
{
	char path[4096];
	FILE *f;
	int bad;

	snprintf(path, sizeof(path), "%s/seed-%02d-%d", dir, i, mode);
	f = fopen(path, "wb");
	if (!f) {
		perror(path);
		return 1;
	}
	bad = fputc(mode, f) == EOF || fwrite(p, 1, n, f) != n;
	return fclose(f) != 0 || bad;
}

/* Few events in each block: those stay uncompressed, where a fuzzer gets further. */
static struct kit *small(int i)
{
	struct kit *kit = kit_new(1 + (uint32_t)i, (uint64_t)i + 1);

	for (int t = 0; t < 1 + i % 3; t++)
		kit_track(kit, 10 + (uint32_t)t, t == 2);
	for (int round = 0; round < i; round++) {
		kit_steps(kit->tracks[round % (1 + i % 3)], 3 + (size_t)i % 4);
		vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	if (i % 2)
		kit_finish(kit);
	return kit;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: gen_corpus DIR\n");
		return 2;
	}
	for (int i = 0; i < FILES; i++) {
		struct kit *kit = small(i);
		size_t n;
		uint8_t *p = kit_bytes(kit, &n);

		for (int mode = 0; mode < MODES; mode++)
			if (write_seed(argv[1], i, mode, p, n))
				return 1;
		free(p);
		kit_free(kit);
	}
	return 0;
}
