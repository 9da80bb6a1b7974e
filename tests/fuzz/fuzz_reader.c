/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are read, counted and exported without a crash, a leak or a hang.
 *
 * The first byte says what the others are: a file as it is; a file whose
 * checksums are made to hold first, as a fuzzer never guesses one; or the raw
 * payload of one block of events.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "viewer/args.h"
#include "viewer/describe.h"
#include "viewer/export.h"
#include "viewer/report.h"
#include "viewer/source.h"
#include "viewer/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	MODE_AS_IT_IS = 0,
	MODE_MEND = 1,
	MODE_EVENTS = 2,
	MODES = 3,
	MAX_RAW = 1 << 20, /* a block that claims more says nothing new and takes long */
};

static uint32_t block_sum(const uint8_t *p, uint32_t stored)
{
	uLong crc = crc32(0, p, offsetof(struct vz_block, crc));

	return (uint32_t)crc32(crc, p + sizeof(struct vz_block), stored);
}

static void mend_block(uint8_t *p, size_t left)
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

static void mend_ends(uint8_t *p, size_t n)
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

static void mend(uint8_t *p, size_t n)
{
	if (n < sizeof(struct vz_file_header))
		return;
	mend_ends(p, n);
	for (size_t at = sizeof(struct vz_file_header); at + sizeof(struct vz_block) <= n;
	     at += VZ_BLOCK_ALIGN)
		mend_block(p + at, n - at);
}

/* A file with one block of events, its payload DATA, whose first bytes are its header's. */
static uint8_t *wrap(const uint8_t *data, size_t size, size_t *ret)
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

/* What the page asks for, other than the index: that is fuzz_index. */
static void describe(struct vz_reader *r, struct vz_out *out)
{
	const struct vz_describe d = { .file = "fuzz" };
	struct vz_describe_place place = { 0 };
	struct vz_source source;
	struct vz_files files;
	size_t n;
	char *json;

	vz_describe_trace(r, &d, out);
	if (vz_files_init(&files, r) == 0)
		while (vz_describe_functions(r, &files, &place, out))
			;
	for (uint32_t i = 0; i < vz_reader_nextras(r); i++) {
		const struct vz_index_entry *e = vz_reader_extra(r, i);

		if (e->type == VZ_BLOCK_ARGS &&
		    vz_args_find(r, vz_reader_track_place(r, e->track), e->t1_ns, &json, &n) == 0)
			free(json);
	}
	if (vz_source_recorded(r, "/app/main.py", &source) == 0)
		free(source.text);
	vz_files_fini(&files);
}

static void use(struct vz_reader *r)
{
	const struct vz_report_options report = { .threads = true };
	const struct vz_export_options options = { .max_calls = 1000 };
	struct vz_trouble trouble;
	struct vz_out out;

	if (vz_out_open(&out, "/dev/null", &trouble) < 0)
		abort();
	vz_info(r, false, &out);
	vz_info(r, true, &out);
	vz_report(r, &report, &out);
	describe(r, &out);
	for (const struct vz_export *e = vz_exports; e->name; e++)
		if (e->write != vz_export_html) /* has an index made, of a file */
			e->write(r, &options, &out);
	vz_out_close(&out, &trouble);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vz_trouble trouble;
	struct vz_reader *r;
	uint8_t *p;
	size_t n;

	if (size < 2)
		return 0;
	if (data[0] % MODES == MODE_EVENTS) {
		p = wrap(data + 1, size - 1, &n);
		if (!p)
			return 0;
	} else {
		n = size - 1;
		p = malloc(n);
		memcpy(p, data + 1, n);
		if (data[0] % MODES == MODE_MEND)
			mend(p, n);
	}
	if (vz_reader_open_memory(p, n, &r, &trouble) == 0) {
		use(r);
		vz_reader_free(r);
	}
	free(p);
	return 0;
}
