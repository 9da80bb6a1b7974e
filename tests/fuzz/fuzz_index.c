/* SPDX-License-Identifier: MIT */
/*
 * Whatever a trace holds, its index is one that is believed; and any bytes are read as a
 * directory without a crash.
 *
 * The first byte says what the others are: a trace as it is; one whose checksums are made to
 * hold first; the raw payload of one block of events; a directory.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/mend.h"
#include "viewer/core/build.h"
#include "viewer/core/directory.h"
#include "viewer/index/index.h"
#include "viewer/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	MODE_AS_IT_IS = 0,
	MODE_MEND = 1,
	MODE_EVENTS = 2,
	MODE_DIRECTORY = 3,
	MODES = 4,
	MAX_TRACKS = 16, /* more say nothing new */
};

static volatile uint64_t seen; /* so that all is read */

static void must(int good)
{
	if (!good)
		abort();
}

/* Where the tiles would be. */
struct output {
	struct vz_directory *directory;
	uint64_t end;
};

static int take_tile(void *ctx, const struct vzi_tile *tile, const uint8_t *bytes)
{
	struct output *o = ctx;
	struct vzi_tile placed = *tile;

	for (uint32_t i = 0; i < tile->bytes; i++)
		seen += bytes[i];
	placed.offset = o->end;
	o->end += (tile->bytes + 7u) & ~7u;
	return vz_directory_tile(o->directory, &placed);
}

static void feed(struct vz_reader *r, struct vz_build *b, uint32_t place)
{
	struct vz_block head;
	const uint8_t *raw;

	for (uint32_t i = 0; i < vz_reader_nblocks(r); i++) {
		if (vz_reader_track_place(r, vz_reader_block(r, i)->track) != place)
			continue;
		if (vz_reader_load(r, i, &head, &raw) < 0) {
			head = (struct vz_block){ .t0_ns = vz_reader_block(r, i)->t0_ns };
			raw = NULL;
		}
		must(vz_build_block(b, i, &head, raw) == 0);
	}
	for (uint32_t i = 0; i < vz_reader_nextras(r); i++)
		if (vz_reader_extra(r, i)->type == VZ_BLOCK_SAMPLES &&
		    vz_reader_load_extra(r, i, &head, &raw) == 0)
			must(vz_build_samples(b, &head, raw) == 0);
}

static void build(struct vz_reader *r, struct output *o, uint32_t place, uint64_t zero_ns,
		  uint64_t duration_ns)
{
	const struct vz_thread_track *track = vz_reader_track(r, place);
	const struct vz_build_options options = {
		.track = place,
		.place = place,
		.zero_ns = zero_ns,
		.duration_ns = duration_ns,
		.begin_ns = track->begin_ns,
		.end_ns = track->end_ns,
		.sink = { take_tile, o },
	};
	const struct vzi_block *blocks;
	struct vz_build *b;
	uint32_t n;

	must(vz_build_new(&options, &b) == 0);
	feed(r, b, place);
	must(vz_build_end(b) == 0);
	blocks = vz_build_blocks(b, &n);
	must(vz_directory_track(o->directory, place, vz_build_track(b), blocks, n,
				vz_build_density(b)) == 0);
	vz_build_free(b);
}

static void index_trace(struct vz_reader *r)
{
	struct vzi_directory head = { 0 };
	struct output o = { vz_directory_new(vz_reader_ntracks(r)), 64 };
	struct vz_directory_view view;
	uint8_t *blob;
	size_t bytes;

	vz_index_range(r, &head.zero_ns, &head.duration_ns);
	for (uint32_t i = 0; i < vz_reader_ntracks(r); i++)
		build(r, &o, i, head.zero_ns, head.duration_ns);
	must(vz_directory_finish(o.directory, &head, &blob, &bytes) == 0);
	must(vz_directory_check(blob, bytes, o.end, &view) == 0);
	vz_directory_free(o.directory);
	free(blob);
}

static void read_directory(const uint8_t *data, size_t size)
{
	struct vz_directory_view view;
	uint8_t *p = malloc(size + 1);

	memcpy(p, data, size);
	if (vz_directory_check(p, size, 1 << 20, &view) == 0) {
		for (uint32_t i = 0; i < view.head->ntracks; i++)
			for (uint32_t k = 0; k < view.tracks[i].ntiles; k++)
				seen += view.tiles[view.tracks[i].first_tile + k].offset;
		for (uint32_t i = 0; i < view.head->nblocks; i++)
			seen += view.blocks[i].number;
		for (uint32_t i = 0; i < VZI_DENSITY; i++)
			seen += view.density[i];
	}
	free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vz_trouble trouble;
	struct vz_reader *r;
	uint8_t *p;
	size_t n;

	if (size < 2)
		return 0;
	if (data[0] % MODES == MODE_DIRECTORY) {
		read_directory(data + 1, size - 1);
		return 0;
	}
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
		if (vz_reader_ntracks(r) <= MAX_TRACKS)
			index_trace(r);
		vz_reader_free(r);
	}
	free(p);
	return 0;
}
