/* SPDX-License-Identifier: MIT */
/* mend.h - makes the checksums of a trace hold, as a fuzzer never guesses one. */
#ifndef VZ_TESTS_FUZZ_MEND_H
#define VZ_TESTS_FUZZ_MEND_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "payload/wire.h"

enum {
	MAX_RAW = 1 << 20, /* a block that claims more says nothing new and takes long */
};

static inline uint32_t block_sum(const uint8_t *p, uint32_t stored)
{
	uLong crc = crc32(0, p, offsetof(struct vz_block, crc));

	return (uint32_t)crc32(crc, p + sizeof(struct vz_block), stored);
}

static inline void mend_block(uint8_t *p, size_t left)
{
	struct vz_block head;

	memcpy(&head, p, sizeof(head));
	if (head.magic != VZ_BLOCK_MAGIC || head.stored_bytes > left - sizeof(head))
		return;
	if (head.codec == VZ_CODEC_NONE)
		head.raw_bytes = head.stored_bytes;
	if (head.raw_bytes > MAX_RAW)
		head.raw_bytes = MAX_RAW;
	memcpy(p, &head, sizeof(head));
	head.crc = block_sum(p, head.stored_bytes);
	memcpy(p, &head, sizeof(head));
}

static inline void mend_ends(uint8_t *p, size_t n)
{
	struct vz_file_header head = { 0 };
	struct vz_file_footer footer;

	memcpy(&head, p, sizeof(head));
	head.magic = VZ_FILE_MAGIC;
	head.version = VZ_FILE_VERSION;
	head.size = sizeof(head);
	head.crc = (uint32_t)crc32(0, (const Bytef *)&head, offsetof(struct vz_file_header, crc));
	memcpy(p, &head, sizeof(head));
	if (n < sizeof(head) + sizeof(footer))
		return;
	p += n - sizeof(footer);
	memcpy(&footer, p, sizeof(footer));
	footer.crc =
		(uint32_t)crc32(0, (const Bytef *)&footer, offsetof(struct vz_file_footer, crc));
	memcpy(p, &footer, sizeof(footer));
}

static inline void mend(uint8_t *p, size_t n)
{
	if (n < sizeof(struct vz_file_header))
		return;
	mend_ends(p, n);
	for (size_t at = sizeof(struct vz_file_header); at + sizeof(struct vz_block) <= n;
	     at += VZ_BLOCK_ALIGN)
		mend_block(p + at, n - at);
}

/* A file with one block of events, its payload DATA, whose first bytes are its header's. */
static inline uint8_t *wrap(const uint8_t *data, size_t size, size_t *ret)
{
	struct vz_block head = { .magic = VZ_BLOCK_MAGIC, .type = VZ_BLOCK_EVENTS };
	uint8_t *p;

	if (size < 4)
		return NULL;
	head.count = data[0];
	head.t0_ns = data[1];
	head.t1_ns = data[2] * 256u + data[3];
	head.stored_bytes = head.raw_bytes = (uint32_t)(size - 4);
	*ret = sizeof(struct vz_file_header) + sizeof(head) + size - 4;
	p = calloc(1, *ret);
	memcpy(p + sizeof(struct vz_file_header), &head, sizeof(head));
	memcpy(p + sizeof(struct vz_file_header) + sizeof(head), data + 4, size - 4);
	mend(p, *ret);
	return p;
}

#endif /* VZ_TESTS_FUZZ_MEND_H */
