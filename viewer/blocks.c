/* SPDX-License-Identifier: MIT */
#include "viewer/blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
	FIRST_ENTRIES = 64,
	/*
	 * A file made to annoy could hold a header every 8 bytes, each claiming 64 MiB to be
	 * summed.  A search reads at most so many times the size of the file.
	 */
	SEARCH_EFFORT = 8,
};

static uint64_t aligned(uint64_t bytes)
{
	return (bytes + VZ_BLOCK_ALIGN - 1) & ~(uint64_t)(VZ_BLOCK_ALIGN - 1);
}

/* The header at OFFSET if one can be there and its payload is inside the file. */
static bool read_head(const struct vz_blocks *b, uint64_t offset, struct vz_block *head)
{
	if (offset % VZ_BLOCK_ALIGN || offset > b->bytes || b->bytes - offset < sizeof(*head))
		return false;
	memcpy(head, b->file + offset, sizeof(*head));
	return head->magic == VZ_BLOCK_MAGIC && head->stored_bytes <= VZ_BLOCK_MAX_BYTES &&
	       head->raw_bytes <= VZ_BLOCK_MAX_BYTES &&
	       head->stored_bytes <= b->bytes - offset - sizeof(*head);
}

static bool sum_holds(const struct vz_blocks *b, uint64_t offset, const struct vz_block *head)
{
	uLong crc = crc32(0, b->file + offset, offsetof(struct vz_block, crc));

	return crc32(crc, b->file + offset + sizeof(*head), head->stored_bytes) == head->crc;
}

static uint64_t block_end(uint64_t offset, const struct vz_block *head)
{
	return offset + aligned(sizeof(*head) + head->stored_bytes);
}

static int add(struct vz_blocks *b, const struct vz_index_entry *entry)
{
	if (b->n == b->cap) {
		uint32_t cap = b->cap ? b->cap * 2 : FIRST_ENTRIES;
		struct vz_index_entry *bigger = realloc(b->entries, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		b->entries = bigger;
		b->cap = cap;
	}
	b->entries[b->n++] = *entry;
	return 0;
}

static int add_head(struct vz_blocks *b, uint64_t offset, const struct vz_block *head)
{
	const struct vz_index_entry entry = {
		.offset = offset,
		.track = head->track,
		.count = head->count,
		.t0_ns = head->t0_ns,
		.t1_ns = head->t1_ns,
		.type = head->type,
		.stored_bytes = head->stored_bytes,
	};

	return add(b, &entry);
}

int vz_blocks_load(struct vz_blocks *b, uint64_t offset, struct vz_block *head, const uint8_t **raw)
{
	const uint8_t *stored;
	size_t n;

	if (!read_head(b, offset, head) || !sum_holds(b, offset, head))
		return -EBADMSG;
	stored = b->file + offset + sizeof(*head);
	if (head->codec == VZ_CODEC_NONE) {
		*raw = stored;
		return head->raw_bytes == head->stored_bytes ? 0 : -EBADMSG;
	}
	if (head->codec != VZ_CODEC_ZSTD)
		return -EBADMSG;
	if (head->raw_bytes + (size_t)1 > b->raw_cap) {
		free(b->raw);
		b->raw_cap = head->raw_bytes + (size_t)1;
		b->raw = malloc(b->raw_cap);
		if (!b->raw) {
			b->raw_cap = 0;
			return -ENOMEM;
		}
	}
	n = ZSTD_decompress(b->raw, head->raw_bytes, stored, head->stored_bytes);
	*raw = b->raw;
	return !ZSTD_isError(n) && n == head->raw_bytes ? 0 : -EBADMSG;
}

static bool read_footer(const struct vz_blocks *b, uint64_t offset, struct vz_file_footer *footer)
{
	if (offset % VZ_BLOCK_ALIGN || offset > b->bytes || b->bytes - offset != sizeof(*footer))
		return false;
	memcpy(footer, b->file + offset, sizeof(*footer));
	return footer->magic == VZ_FOOTER_MAGIC &&
	       footer->crc == crc32(0, b->file + offset, offsetof(struct vz_file_footer, crc));
}

/* ---- by the index ---- */

/* Offsets of the index blocks, last first.  Each must lie before the one that names it. */
static int read_chain(struct vz_blocks *b, uint64_t last, uint64_t **ret, uint32_t *n)
{
	uint32_t cap = 0;

	*n = 0;
	for (uint64_t at = last, before = UINT64_MAX; at; (*n)++) {
		struct vz_file_index index;
		struct vz_block head;
		const uint8_t *raw;

		if (at >= before || vz_blocks_load(b, at, &head, &raw) < 0 ||
		    head.type != VZ_BLOCK_INDEX || head.raw_bytes < sizeof(index))
			return -EBADMSG;
		if (*n == cap) {
			uint64_t *bigger;

			cap = cap ? cap * 2 : FIRST_ENTRIES;
			bigger = realloc(*ret, cap * sizeof(**ret));
			if (!bigger)
				return -ENOMEM;
			*ret = bigger;
		}
		(*ret)[*n] = at;
		memcpy(&index, raw, sizeof(index));
		before = at;
		at = index.previous;
	}
	return 0;
}

/* An entry must name a header that says the same; its payload is checked when it is loaded. */
static bool entry_fits(const struct vz_blocks *b, const struct vz_index_entry *entry)
{
	struct vz_block head;

	return read_head(b, entry->offset, &head) && head.type == entry->type &&
	       head.track == entry->track && head.count == entry->count &&
	       head.t0_ns == entry->t0_ns && head.t1_ns == entry->t1_ns &&
	       head.stored_bytes == entry->stored_bytes;
}

static int read_index(struct vz_blocks *b, uint64_t offset)
{
	struct vz_index_entry entry;
	struct vz_block head;
	const uint8_t *raw;
	int rc = vz_blocks_load(b, offset, &head, &raw);

	if (rc < 0)
		return rc;
	if ((head.raw_bytes - sizeof(struct vz_file_index)) % sizeof(entry))
		return -EBADMSG;
	for (size_t at = sizeof(struct vz_file_index); at < head.raw_bytes; at += sizeof(entry)) {
		memcpy(&entry, raw + at, sizeof(entry));
		if (b->n && entry.offset <= b->entries[b->n - 1].offset)
			return -EBADMSG;
		if (!entry_fits(b, &entry))
			return -EBADMSG;
		rc = add(b, &entry);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int by_index(struct vz_blocks *b, const struct vz_file_footer *footer)
{
	uint64_t *chain = NULL;
	uint32_t n;
	int rc = read_chain(b, footer->index, &chain, &n);

	for (uint32_t i = n; i > 0 && rc == 0; i--)
		rc = read_index(b, chain[i - 1]);
	/* Every block is in the index, other than the index blocks. */
	if (rc == 0 && b->n + (uint64_t)n != footer->blocks)
		rc = -EBADMSG;
	free(chain);
	return rc;
}

/* ---- by walking ---- */

struct search {
	uint64_t effort; /* bytes that may still be summed */
	uint32_t seq;    /* number of the block expected next */
};

static bool whole_block(struct vz_blocks *b, struct search *s, uint64_t offset,
			struct vz_block *head)
{
	if (!read_head(b, offset, head) || head->stored_bytes > s->effort)
		return false;
	s->effort -= head->stored_bytes;
	return sum_holds(b, offset, head);
}

static int take(struct vz_blocks *b, struct search *s, uint64_t offset, const struct vz_block *head)
{
	if (head->seq > s->seq)
		b->missing_blocks += head->seq - s->seq;
	s->seq = head->seq + 1;
	return head->type == VZ_BLOCK_INDEX ? 0 : add_head(b, offset, head);
}

static int by_walking(struct vz_blocks *b)
{
	struct search s = { .effort = b->bytes * (uint64_t)SEARCH_EFFORT };
	uint64_t offset = sizeof(struct vz_file_header);
	struct vz_file_footer footer;
	struct vz_block head;
	int rc = 0;

	b->n = 0;
	while (offset < b->bytes && rc == 0) {
		if (whole_block(b, &s, offset, &head)) {
			rc = take(b, &s, offset, &head);
			offset = block_end(offset, &head);
		} else if (read_footer(b, offset, &footer)) {
			if (footer.blocks > s.seq)
				b->missing_blocks += footer.blocks - s.seq;
			break;
		} else {
			uint64_t rest = b->bytes - offset;

			b->skipped_bytes += rest < VZ_BLOCK_ALIGN ? rest : VZ_BLOCK_ALIGN;
			offset += VZ_BLOCK_ALIGN;
		}
	}
	return rc;
}

int vz_blocks_init(struct vz_blocks *b, const uint8_t *file, size_t bytes)
{
	struct vz_file_footer footer;
	int rc = -EBADMSG;

	*b = (struct vz_blocks){ .file = file, .bytes = bytes };
	b->has_footer = bytes >= sizeof(struct vz_file_header) + sizeof(footer) &&
			read_footer(b, bytes - sizeof(footer), &footer);
	if (b->has_footer)
		rc = by_index(b, &footer);
	b->by_index = rc == 0;
	if (rc == -EBADMSG)
		rc = by_walking(b);
	if (rc < 0)
		vz_blocks_fini(b);
	return rc;
}

void vz_blocks_fini(struct vz_blocks *b)
{
	free(b->entries);
	free(b->raw);
	b->entries = NULL;
	b->raw = NULL;
	b->n = 0;
}
