/* SPDX-License-Identifier: MIT */
#include "viewer/callargs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/args.h"
#include "viewer/loader.h"

enum { NO_BLOCK = UINT32_MAX };

/* Where a track is. */
struct spot {
	uint32_t at, end; /* in .blocks */
	size_t offset;    /* of the record that comes next, in block .at */
	uint64_t entry;   /* of the record before it */
};

struct vz_callargs {
	const struct vz_reader *reader;
	struct vz_loader *loader;
	uint32_t *blocks; /* numbers of extras, track by track, in order of the file */
	uint32_t n;
	struct spot *spots; /* by place */
	/* The block that was decoded last. */
	uint32_t loaded;
	struct vz_block head;
	const uint8_t *raw;
};

static bool is_args(const struct vz_reader *r, uint32_t i)
{
	return vz_reader_extra(r, i)->type == VZ_BLOCK_ARGS;
}

static uint32_t place_of(const struct vz_reader *r, uint32_t i)
{
	return vz_reader_track_place(r, vz_reader_extra(r, i)->track);
}

/* Count, make room, fill: blocks of one track come to stand side by side. */
static void sort_blocks(struct vz_callargs *c)
{
	const struct vz_reader *r = c->reader;
	uint32_t ntracks = vz_reader_ntracks(r), n = vz_reader_nextras(r), sum = 0;

	for (uint32_t i = 0; i < n; i++)
		if (is_args(r, i) && place_of(r, i) < ntracks)
			c->spots[place_of(r, i)].end++;
	for (uint32_t i = 0; i < ntracks; i++) {
		uint32_t count = c->spots[i].end;

		c->spots[i].at = c->spots[i].end = sum;
		sum += count;
	}
	for (uint32_t i = 0; i < n; i++)
		if (is_args(r, i) && place_of(r, i) < ntracks)
			c->blocks[c->spots[place_of(r, i)].end++] = i;
	c->n = sum;
}

struct vz_callargs *vz_callargs_new(const struct vz_reader *r)
{
	struct vz_callargs *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->reader = r;
	c->loaded = NO_BLOCK;
	c->blocks = calloc(vz_reader_nextras(r) + 1u, sizeof(*c->blocks));
	c->spots = calloc(vz_reader_ntracks(r) + 1u, sizeof(*c->spots));
	c->loader = vz_loader_new(r);
	if (!c->blocks || !c->spots || !c->loader) {
		vz_callargs_free(c);
		return NULL;
	}
	sort_blocks(c);
	return c;
}

void vz_callargs_free(struct vz_callargs *c)
{
	if (!c)
		return;
	vz_loader_free(c->loader);
	free(c->blocks);
	free(c->spots);
	free(c);
}

bool vz_callargs_any(const struct vz_callargs *c)
{
	return c->n > 0;
}

static void next_block(struct spot *s)
{
	s->at++;
	s->offset = 0;
}

/* Continue in the block where the track is; false: it cannot be read. */
static bool open_block(struct vz_callargs *c, const struct spot *s, struct vz_args *args)
{
	uint32_t block = c->blocks[s->at];

	if (c->loaded != block) {
		c->loaded = NO_BLOCK;
		if (vz_loader_load_extra(c->loader, block, &c->head, &c->raw) < 0)
			return false;
		c->loaded = block;
	}
	vz_args_init(args, &c->head, c->raw);
	if (s->offset) {
		args->p = c->raw + s->offset;
		args->entry = s->entry;
	}
	return true;
}

/* Records up to ENTRY; what is behind stays for the next call. */
static const char *search(struct vz_callargs *c, struct spot *s, uint64_t entry, size_t *bytes)
{
	const uint8_t *json;
	struct vz_args args;
	uint64_t at;

	if (!open_block(c, s, &args)) {
		next_block(s);
		return NULL;
	}
	for (;;) {
		struct vz_args before = args;

		if (vz_args_next(&args, &at, &json, bytes) <= 0) {
			next_block(s);
			return NULL;
		}
		if (at > entry)
			args = before;
		s->offset = (size_t)(args.p - c->raw);
		s->entry = args.entry;
		if (at >= entry)
			return at == entry ? (const char *)json : NULL;
	}
}

const char *vz_callargs_get(struct vz_callargs *c, uint32_t place, uint64_t entry, size_t *bytes)
{
	struct spot *s = &c->spots[place];

	while (s->at < s->end && vz_reader_extra(c->reader, c->blocks[s->at])->t1_ns < entry)
		next_block(s);
	if (s->at == s->end || vz_reader_extra(c->reader, c->blocks[s->at])->t0_ns > entry)
		return NULL;
	return search(c, s, entry, bytes);
}
