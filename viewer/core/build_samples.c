/* SPDX-License-Identifier: MIT */
/*
 * build_samples.c - SAMPLES of a counter.
 *
 * Level 0 has each sample; a record of level k stands for 4^k that follow one another: the
 * time of the first, the least, the greatest, and the last value.  There is a level
 * above one that has more than FEW records.  What is not a number is left out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/build_priv.h"

enum {
	FEW = 256,
	FIRST = 64,
	FANOUT = 4,
};

void vz_samples_fini(struct vz_samples *s)
{
	for (int i = 0; i < VZI_LEVELS; i++)
		free(s->levels[i].records);
	*s = (struct vz_samples){ 0 };
}

static uint8_t *put_values(uint8_t *p, const struct vz_sample_level *l, size_t member)
{
	for (uint32_t i = 0; i < l->n; i++) {
		memcpy(p, (const uint8_t *)&l->records[i] + member, sizeof(double));
		p += sizeof(double);
	}
	return p;
}

static int write_level(struct vz_tile_writer *w, struct vz_sample_level *l, unsigned level)
{
	const size_t members[] = { offsetof(struct vz_sample, min), offsetof(struct vz_sample, max),
				   offsetof(struct vz_sample, last) };
	struct vzi_tile tile = { .kind = VZI_SAMPLES, .level = (uint8_t)level, .count = l->n };
	uint32_t lengths[VZI_SAMPLE_COLUMNS];
	uint8_t *p;
	int rc;

	if (!l->n)
		return 0;
	rc = vz_bytes_room(&w->bytes,
			   sizeof(lengths) + l->n * (VZ_VARINT_MAX + sizeof(struct vz_sample)));
	if (rc < 0)
		return rc;
	tile.t0_ns = l->records[0].start;
	tile.t1_ns = l->records[l->n - 1].end;
	p = w->bytes.p + sizeof(lengths);
	for (uint32_t i = 0; i < l->n; i++)
		p = vz_put_varint(p, l->records[i].start - l->records[i ? i - 1 : 0].start);
	lengths[0] = (uint32_t)(p - w->bytes.p - sizeof(lengths));
	for (int i = 0; i < 3; i++) {
		p = put_values(p, l, members[i]);
		lengths[1 + i] = l->n * (uint32_t)sizeof(double);
	}
	memcpy(w->bytes.p, lengths, sizeof(lengths));
	w->bytes.n = (size_t)(p - w->bytes.p);
	l->n = 0;
	return vz_tile_send(w, &tile);
}

static int add_record(struct vz_samples *s, struct vz_tile_writer *w, unsigned level,
		      const struct vz_sample *sample);

/* The record of LEVEL under way is complete. */
static int complete(struct vz_samples *s, struct vz_tile_writer *w, unsigned level)
{
	const struct vz_sample sample = s->levels[level].now;

	s->levels[level].parts = 0;
	return add_record(s, w, level, &sample);
}

static void join(struct vz_sample *to, const struct vz_sample *sample)
{
	to->end = sample->end;
	to->min = sample->min < to->min ? sample->min : to->min;
	to->max = sample->max > to->max ? sample->max : to->max;
	to->last = sample->last;
}

static int add_record(struct vz_samples *s, struct vz_tile_writer *w, unsigned level,
		      const struct vz_sample *sample)
{
	struct vz_sample_level *l = &s->levels[level], *up = l + 1;
	int rc = 0;

	if (l->n == l->cap) {
		uint32_t cap = l->cap ? l->cap * 4 : FIRST;
		struct vz_sample *bigger = realloc(l->records, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		l->records = bigger;
		l->cap = cap;
	}
	l->records[l->n++] = *sample;
	l->all++;
	if (l->n == VZI_TILE_RECORDS)
		rc = write_level(w, l, level);
	if (level + 1 == VZI_LEVELS || rc < 0)
		return rc;
	if (up->parts++)
		join(&up->now, sample);
	else
		up->now = *sample;
	return up->parts == FANOUT ? complete(s, w, level + 1) : 0;
}

static bool get_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t byte = *(*p)++;

		*ret |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

int vz_build_samples(struct vz_build *b, const struct vz_block *head, const uint8_t *raw)
{
	size_t values = head->count * sizeof(double);
	const uint8_t *end, *value;
	uint64_t ns = head->t0_ns, delta;
	int rc = 0;

	if (values > head->raw_bytes)
		return 0;
	value = end = raw + head->raw_bytes - values;
	for (uint32_t i = 0; i < head->count && rc == 0; i++, value += sizeof(double)) {
		struct vz_sample sample;

		if (!get_varint(&raw, end, &delta) || delta > UINT64_MAX - ns)
			break;
		ns += delta;
		sample.start = sample.end = vz_build_time(b, ns);
		memcpy(&sample.last, value, sizeof(sample.last));
		sample.min = sample.max = sample.last;
		/* Time never runs back. */
		if (sample.last != sample.last || sample.start < b->samples.now)
			continue;
		b->samples.now = sample.start;
		rc = add_record(&b->samples, &b->writer, 0, &sample);
	}
	if (b->samples.now > b->track.end_ns)
		b->track.end_ns = b->samples.now;
	return rc;
}

int vz_samples_end(struct vz_samples *s, struct vz_tile_writer *w)
{
	int rc = write_level(w, &s->levels[0], 0);

	for (unsigned level = 1; level < VZI_LEVELS && s->levels[level - 1].all > FEW && rc == 0;
	     level++) {
		if (s->levels[level].parts)
			rc = complete(s, w, level);
		if (rc == 0)
			rc = write_level(w, &s->levels[level], level);
	}
	return rc;
}
