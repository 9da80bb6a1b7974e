/* SPDX-License-Identifier: MIT */
#include "attach/blockfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>

void vz_blockfile_fail(struct vz_blockfile *b, int rc)
{
	if (!b->error)
		b->error = rc;
}

static void write_all(struct vz_blockfile *b, struct iovec *iov, int n)
{
	while (n > 0 && !b->error) {
		ssize_t done = writev(b->fd, iov, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			vz_blockfile_fail(b, -errno);
			return;
		}
		b->bytes += (uint64_t)done;
		for (; n > 0 && (size_t)done >= iov->iov_len; iov++, n--)
			done -= (ssize_t)iov->iov_len;
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
}

void vz_blockfile_init(struct vz_blockfile *b, int fd, const struct vz_file_header *header)
{
	struct vz_file_header h = *header;
	struct iovec iov = { &h, sizeof(h) };

	*b = (struct vz_blockfile){ .fd = fd };
	b->encoder = vz_encoder_new();
	b->index = calloc(VZ_INDEX_MAX_ENTRIES, sizeof(*b->index));
	if (!b->encoder || !b->index)
		vz_blockfile_fail(b, -ENOMEM);
	h.magic = VZ_FILE_MAGIC;
	h.version = VZ_FILE_VERSION;
	h.size = sizeof(h);
	h.crc = (uint32_t)crc32(0, (const Bytef *)&h, offsetof(struct vz_file_header, crc));
	write_all(b, &iov, 1);
}

void vz_blockfile_fini(struct vz_blockfile *b)
{
	vz_encoder_free(b->encoder);
	free(b->index);
	*b = (struct vz_blockfile){ .fd = -1 };
}

static uint32_t crc_of(const struct vz_block *head, const uint8_t *payload)
{
	uLong crc = crc32(0, (const Bytef *)head, offsetof(struct vz_block, crc));

	return (uint32_t)crc32(crc, payload, head->stored_bytes);
}

static void write_index(struct vz_blockfile *b)
{
	struct vz_file_index first = { .previous = b->last_index };
	size_t bytes = sizeof(first) + b->nindex * sizeof(*b->index);
	struct vz_block head = { .type = VZ_BLOCK_INDEX, .count = b->nindex };
	uint8_t *raw = malloc(bytes);

	if (!raw) {
		vz_blockfile_fail(b, -ENOMEM);
		return;
	}
	memcpy(raw, &first, sizeof(first));
	memcpy(raw + sizeof(first), b->index, b->nindex * sizeof(*b->index));
	b->last_index = vz_blockfile_put_raw(b, &head, raw, bytes);
	b->nindex = 0;
	free(raw);
}

static void note_block(struct vz_blockfile *b, const struct vz_block *head, uint64_t offset)
{
	if (head->type == VZ_BLOCK_INDEX)
		return;
	b->index[b->nindex++] = (struct vz_index_entry){
		.offset = offset,
		.track = head->track,
		.count = head->count,
		.t0_ns = head->t0_ns,
		.t1_ns = head->t1_ns,
		.type = head->type,
		.stored_bytes = head->stored_bytes,
	};
	if (b->nindex == VZ_INDEX_MAX_ENTRIES)
		write_index(b);
}

uint64_t vz_blockfile_put(struct vz_blockfile *b, struct vz_block *head, const uint8_t *payload)
{
	static const uint8_t zeros[VZ_BLOCK_ALIGN];
	uint64_t offset = b->bytes;
	struct iovec iov[3];

	if (b->error)
		return 0;
	head->magic = VZ_BLOCK_MAGIC;
	head->seq = b->seq++;
	head->crc = crc_of(head, payload);
	iov[0] = (struct iovec){ head, sizeof(*head) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)payload, head->stored_bytes };
	iov[2] = (struct iovec){ (void *)(uintptr_t)zeros, -head->stored_bytes % VZ_BLOCK_ALIGN };
	write_all(b, iov, 3);
	if (!b->error)
		note_block(b, head, offset);
	return offset;
}

uint64_t vz_blockfile_put_raw(struct vz_blockfile *b, struct vz_block *head, const uint8_t *raw,
			      size_t bytes)
{
	const uint8_t *payload = NULL;
	int rc = b->error ? b->error : vz_encode_plain(b->encoder, raw, bytes, head, &payload);

	if (rc != 0) {
		vz_blockfile_fail(b, rc);
		return 0;
	}
	return vz_blockfile_put(b, head, payload);
}

void vz_blockfile_end(struct vz_blockfile *b, uint64_t end)
{
	struct vz_file_footer footer = { .magic = VZ_FOOTER_MAGIC, .end = end };
	struct iovec iov = { &footer, sizeof(footer) };

	write_index(b);
	footer.index = b->last_index;
	footer.blocks = b->seq;
	footer.crc =
		(uint32_t)crc32(0, (const Bytef *)&footer, offsetof(struct vz_file_footer, crc));
	write_all(b, &iov, 1);
}
