/* SPDX-License-Identifier: MIT */
#include "viewer/import/write_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>

void vz_writer_fail(struct vz_writer *w, int rc)
{
	if (!w->error)
		w->error = rc;
}

/* ---- blocks ---- */

static void write_all(struct vz_writer *w, struct iovec *iov, int n)
{
	while (n > 0 && !w->error) {
		ssize_t done = writev(w->fd, iov, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			vz_writer_fail(w, -errno);
			return;
		}
		w->bytes += (uint64_t)done;
		for (; n > 0 && (size_t)done >= iov->iov_len; iov++, n--)
			done -= (ssize_t)iov->iov_len;
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
}

static struct iovec part(const void *p, size_t n)
{
	return (struct iovec){ (void *)(uintptr_t)p, n };
}

static void write_index(struct vz_writer *w);

static void note_block(struct vz_writer *w, const struct vz_block *head, uint64_t offset)
{
	w->index[w->nindex++] = (struct vz_index_entry){
		.offset = offset,
		.track = head->track,
		.count = head->count,
		.t0_ns = head->t0_ns,
		.t1_ns = head->t1_ns,
		.type = head->type,
		.stored_bytes = head->stored_bytes,
	};
	if (w->nindex == VZ_INDEX_MAX_ENTRIES)
		write_index(w);
}

/* Append a block; HEAD holds all but what concerns the file. */
uint64_t vz_writer_put_block(struct vz_writer *w, struct vz_block *head, const uint8_t *payload)
{
	static const uint8_t zeros[VZ_BLOCK_ALIGN];
	uint64_t offset = w->bytes;
	struct iovec iov[3];
	uLong crc;

	head->magic = VZ_BLOCK_MAGIC;
	head->seq = w->seq++;
	crc = crc32(0, (const Bytef *)head, offsetof(struct vz_block, crc));
	head->crc = (uint32_t)crc32(crc, payload, head->stored_bytes);
	iov[0] = part(head, sizeof(*head));
	iov[1] = part(payload, head->stored_bytes);
	iov[2] = part(zeros, -head->stored_bytes % VZ_BLOCK_ALIGN);
	write_all(w, iov, 3);
	if (!w->error && head->type != VZ_BLOCK_INDEX)
		note_block(w, head, offset);
	return offset;
}

static uint64_t put_raw(struct vz_writer *w, struct vz_block *head, const uint8_t *raw,
			size_t bytes)
{
	const uint8_t *payload = NULL;
	int rc = w->error;

	if (rc == 0 && bytes > VZ_BLOCK_MAX_BYTES)
		rc = -EFBIG;
	if (rc == 0)
		rc = vz_pack_plain(w->pack, raw, bytes, head, &payload);
	if (rc < 0) {
		vz_writer_fail(w, rc);
		return 0;
	}
	return vz_writer_put_block(w, head, payload);
}

static void write_index(struct vz_writer *w)
{
	struct vz_file_index first = { .previous = w->last_index };
	size_t entries = w->nindex * sizeof(*w->index);
	struct vz_block head = { .type = VZ_BLOCK_INDEX, .count = w->nindex };
	uint8_t *raw = malloc(sizeof(first) + entries);

	if (!raw) {
		vz_writer_fail(w, -ENOMEM);
		return;
	}
	memcpy(raw, &first, sizeof(first));
	memcpy(raw + sizeof(first), w->index, entries);
	w->last_index = put_raw(w, &head, raw, sizeof(first) + entries);
	w->nindex = 0;
	free(raw);
}

/* ---- records other than events ---- */

static void flush_bytes(struct vz_writer *w, struct bytes *b, unsigned type)
{
	struct vz_block head = { .type = (uint8_t)type, .count = b->records };

	if (b->n)
		put_raw(w, &head, b->p, b->n);
	b->n = 0;
	b->records = 0;
}

void vz_writer_flush_records(struct vz_writer *w)
{
	flush_bytes(w, &w->facts, VZ_BLOCK_META);
	flush_bytes(w, &w->functions, VZ_BLOCK_FUNCTIONS);
	flush_bytes(w, &w->track_records, VZ_BLOCK_TRACKS);
}

static void append(struct vz_writer *w, struct bytes *b, const void *p, size_t n)
{
	if (b->n + n > b->cap) {
		size_t cap = (b->n + n) * 2;
		uint8_t *bigger = realloc(b->p, cap);

		if (!bigger) {
			vz_writer_fail(w, -ENOMEM);
			return;
		}
		b->p = bigger;
		b->cap = cap;
	}
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void end_record(struct vz_writer *w, struct bytes *b)
{
	b->records++;
	if (b->n > BLOCK_BYTES)
		vz_writer_flush_records(w);
}

void vz_writer_fact(struct vz_writer *w, const char *key, const char *value)
{
	append(w, &w->facts, key, strlen(key) + 1);
	append(w, &w->facts, value, strlen(value) + 1);
	end_record(w, &w->facts);
}

static uint16_t name_length(const char *name)
{
	size_t n = strlen(name);

	return (uint16_t)(n < NAME_MAX_BYTES ? n : NAME_MAX_BYTES);
}

void vz_writer_function(struct vz_writer *w, const struct vz_file_function *f, const char *name,
			const char *file)
{
	struct vz_file_function record = *f;

	record.name_len = name_length(name);
	record.file_len = name_length(file);
	append(w, &w->functions, &record, sizeof(record));
	append(w, &w->functions, name, record.name_len);
	append(w, &w->functions, file, record.file_len);
	w->nfunctions++;
	end_record(w, &w->functions);
}

void vz_writer_block(struct vz_writer *w, struct vz_block *head, const uint8_t *raw, size_t bytes)
{
	put_raw(w, head, raw, bytes);
}

static void put_track(struct vz_writer *w, struct vz_file_track *record, const char *name)
{
	record->name_len = name_length(name);
	append(w, &w->track_records, record, sizeof(*record));
	append(w, &w->track_records, name, record->name_len);
	end_record(w, &w->track_records);
}

/* ---- arguments and samples ---- */

static void flush_args(struct vz_writer_track *t)
{
	struct vz_block head = {
		.type = VZ_BLOCK_ARGS,
		.track = t->id,
		.count = t->args.records,
		.t0_ns = t->args_first,
		.t1_ns = t->args_last,
	};

	if (t->args.n)
		put_raw(t->w, &head, t->args.p, t->args.n);
	t->args.n = 0;
	t->args.records = 0;
}

void vz_writer_args(struct vz_writer_track *t, const void *json, size_t bytes)
{
	uint64_t number = t->entries - 1;
	uint8_t head[2 * VARINT_MAX], *p;

	if (!t->entries || t->w->error)
		return;
	if (t->args.n && t->args.n + bytes > BLOCK_BYTES)
		flush_args(t);
	if (!t->args.records)
		t->args_first = t->args_last = number;
	p = vz_pack_varint(head, number - t->args_last);
	p = vz_pack_varint(p, bytes);
	append(t->w, &t->args, head, (size_t)(p - head));
	append(t->w, &t->args, json, bytes);
	t->args.records++;
	t->args_last = number;
}

static void flush_samples(struct vz_writer_track *t)
{
	struct vz_block head = {
		.type = VZ_BLOCK_SAMPLES,
		.track = t->id,
		.count = t->nsamples,
	};
	size_t n = t->nsamples;
	uint8_t *raw, *p;
	uint64_t ns;

	if (!n)
		return;
	raw = malloc(n * (VARINT_MAX + sizeof(double)));
	if (!raw) {
		vz_writer_fail(t->w, -ENOMEM);
		return;
	}
	p = raw;
	ns = head.t0_ns = t->samples[0].ns;
	head.t1_ns = t->samples[n - 1].ns;
	for (size_t i = 0; i < n; i++) {
		p = vz_pack_varint(p, t->samples[i].ns - ns);
		ns = t->samples[i].ns;
	}
	for (size_t i = 0; i < n; i++, p += sizeof(double))
		memcpy(p, &t->samples[i].value, sizeof(double));
	vz_writer_flush_records(t->w);
	put_raw(t->w, &head, raw, (size_t)(p - raw));
	free(raw);
	t->nsamples = 0;
}

void vz_writer_sample(struct vz_writer_track *t, double value, uint64_t ns)
{
	if (!t->samples)
		t->samples = reallocarray(NULL, MAX_SAMPLES, sizeof(*t->samples));
	if (!t->samples) {
		vz_writer_fail(t->w, -ENOMEM);
		return;
	}
	if (t->nsamples == MAX_SAMPLES)
		flush_samples(t);
	t->samples[t->nsamples++] = (struct sample){ ns, value };
	t->ns = ns;
}

uint64_t vz_writer_entries(const struct vz_writer_track *t)
{
	return t->entries;
}

/* ---- tracks ---- */

struct vz_writer_track *vz_writer_track(struct vz_writer *w, const struct vz_file_track *record,
					const char *name)
{
	struct vz_writer_track *t = calloc(1, sizeof(*t));
	struct vz_file_track begin = *record, named;

	if (!t) {
		vz_writer_fail(w, -ENOMEM);
		return NULL;
	}
	t->w = w;
	t->ns = record->ns;
	t->id = begin.track = w->ntracks++;
	t->next = w->tracks;
	if (t->next)
		t->next->previous = t;
	w->tracks = t;
	begin.kind = VZ_TRACK_BEGIN;
	put_track(w, &begin, "");
	named = begin;
	named.kind = VZ_TRACK_NAME;
	if (name[0])
		put_track(w, &named, name);
	return t;
}

void vz_writer_process(struct vz_writer_track *t, uint32_t pid, const char *name)
{
	struct vz_file_track record = {
		.track = t->id,
		.kind = VZ_TRACK_PROCESS,
		.tid = pid,
		.ns = t->ns,
	};

	put_track(t->w, &record, name);
}

static void track_free(struct vz_writer_track *t)
{
	struct vz_writer *w = t->w;

	if (t->previous)
		t->previous->next = t->next;
	else
		w->tracks = t->next;
	if (t->next)
		t->next->previous = t->previous;
	vz_writer_free_events(t);
	free(t->stack);
	free(t->base);
	free(t->args.p);
	free(t->samples);
	free(t);
}

void vz_writer_end_track(struct vz_writer_track *t, uint64_t ns)
{
	struct vz_file_track record = { .track = t->id, .kind = VZ_TRACK_END, .ns = ns };

	vz_writer_flush_events(t);
	flush_args(t);
	flush_samples(t);
	if (ns)
		put_track(t->w, &record, "");
	track_free(t);
}

/* ---- the file ---- */

struct vz_writer *vz_writer_new(int fd, const struct vz_file_header *header)
{
	struct vz_writer *w = calloc(1, sizeof(*w));
	struct vz_file_header h = *header;
	struct iovec iov = part(&h, sizeof(h));

	if (!w)
		return NULL;
	w->fd = fd;
	w->start_ns = h.start_mono_ns;
	w->pack = vz_pack_new();
	w->index = calloc(VZ_INDEX_MAX_ENTRIES, sizeof(*w->index));
	if (!w->pack || !w->index) {
		vz_writer_free(w);
		return NULL;
	}
	h.magic = VZ_FILE_MAGIC;
	h.version = VZ_FILE_VERSION;
	h.size = sizeof(h);
	h.crc = (uint32_t)crc32(0, (const Bytef *)&h, offsetof(struct vz_file_header, crc));
	write_all(w, &iov, 1);
	return w;
}

void vz_writer_free(struct vz_writer *w)
{
	if (!w)
		return;
	while (w->tracks)
		track_free(w->tracks);
	vz_pack_free(w->pack);
	free(w->index);
	free(w->facts.p);
	free(w->functions.p);
	free(w->track_records.p);
	free(w);
}

uint64_t vz_writer_calls(const struct vz_writer *w)
{
	return w->calls;
}

uint64_t vz_writer_bytes(const struct vz_writer *w)
{
	return w->bytes;
}

int vz_writer_error(const struct vz_writer *w)
{
	return w->error;
}

static uint64_t write_end(struct vz_writer *w, uint64_t end_ns, const char *counters)
{
	const struct vz_file_end end = { w->calls, w->lost, w->ntracks, w->nfunctions };
	struct vz_block head = {
		.type = VZ_BLOCK_END,
		.count = 1,
		.t0_ns = w->start_ns,
		.t1_ns = end_ns,
	};
	struct bytes raw = { 0 };
	uint64_t offset;

	append(w, &raw, &end, sizeof(end));
	append(w, &raw, counters, strlen(counters));
	offset = put_raw(w, &head, raw.p, raw.n);
	free(raw.p);
	return offset;
}

int vz_writer_finish(struct vz_writer *w, uint64_t end_ns, const char *counters)
{
	struct vz_file_footer footer = { .magic = VZ_FOOTER_MAGIC };
	struct iovec iov = part(&footer, sizeof(footer));

	vz_writer_flush_records(w);
	footer.end = write_end(w, end_ns, counters);
	write_index(w);
	footer.index = w->last_index;
	footer.blocks = w->seq;
	footer.crc =
		(uint32_t)crc32(0, (const Bytef *)&footer, offsetof(struct vz_file_footer, crc));
	write_all(w, &iov, 1);
	return w->error;
}
