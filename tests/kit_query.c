/* SPDX-License-Identifier: MIT */
#include "tests/kit_query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/core/directory.h"
#include "viewer/index/index.h"

enum {
	MAX_WANT = 64,
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "kit_query: %s\n", what);
	abort();
}

/* ---- a random trace ---- */

static uint64_t later(struct kit_track *t, unsigned flags, unsigned most)
{
	uint64_t shift = kit_random(t->kit, most);

	if (flags & KIT_TIES && kit_random(t->kit, 3) == 0)
		return t->ns;
	return t->ns + 1 + kit_random(t->kit, UINT64_C(1) << shift);
}

/* Callees depend on the caller, mostly, so that paths repeat. */
static uint32_t callee(const struct kit_track *t)
{
	uint64_t base = t->depth ? t->stack[t->depth - 1].function * 7u : 3;
	uint64_t spread = kit_random(t->kit, 10) ? 3 : t->kit->nfunctions;

	return (uint32_t)((base + kit_random(t->kit, spread)) % t->kit->nfunctions);
}

static void step(struct kit_track *t, unsigned flags)
{
	struct kit *kit = t->kit;
	uint64_t dice = kit_random(kit, 1000);
	unsigned most = dice < 5 ? 40 : dice < 60 ? 26 : 12;

	if (dice == 100)
		kit_lost(t, 1 + kit_random(kit, 1000), later(t, flags, most));
	else if (t->depth && kit_random(kit, 100) < (t->depth > 12 ? 60 : 48))
		kit_leave(t,
			  kit_random(kit, 20) ? VZ_LEAVE_RETURN : (enum vz_leave)kit_random(kit, 4),
			  later(t, flags, most));
	else
		kit_enter(t, callee(t),
			  kit_random(kit, 20) ? VZ_ENTRY_CALL : (enum vz_entry)kit_random(kit, 4),
			  later(t, flags, most));
}

static void recurse(struct kit_track *t, uint32_t function, uint32_t depth)
{
	for (uint32_t i = 0; i < depth; i++)
		kit_enter(t, function, VZ_ENTRY_CALL, later(t, 0, 10));
	for (uint32_t i = 0; i < depth; i++)
		kit_leave(t, VZ_LEAVE_RETURN, later(t, 0, 14));
}

/* Break some blocks of events; they stay in the table of blocks, or go with its end. */
static void damage(struct kit_query *k, unsigned flags)
{
	struct vz_trouble trouble;
	struct vz_reader *r;

	must(vz_reader_open_memory(k->bytes, k->nbytes, &r, &trouble) == 0, "no trace");
	for (uint32_t i = 0; i < vz_reader_nblocks(r); i++) {
		bool head = flags & KIT_CUT && i & 1;

		if (kit_random(k->kit, 4) == 0)
			k->bytes[vz_reader_block(r, i)->offset +
				 (head ? 0 : sizeof(struct vz_block) + 1)] ^= 0x40;
	}
	vz_reader_free(r);
	if (flags & KIT_CUT)
		k->nbytes -= sizeof(struct vz_file_footer) / 2;
}

static struct kit *make_trace(const struct kit_story_options *o)
{
	struct kit *kit = kit_new(29, o->seed);

	for (uint32_t i = 0; i < o->ntracks; i++)
		kit_track(kit, 1 + i, 0);
	for (size_t n = 0; n < o->steps; n++) {
		for (uint32_t i = 0; i < o->ntracks; i++)
			step(kit->tracks[i], o->flags);
		if (n % (o->flags & KIT_MANY_BLOCKS ? 17 : 301) == 0)
			vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
		if (n == o->steps / 2 && n > 200)
			recurse(kit->tracks[0], 3, 300);
	}
	if (o->ntracks > 1)
		kit_end(kit->tracks[1], kit->tracks[1]->ns + 5);
	kit_finish(kit);
	return kit;
}

/* ---- opening ---- */

static void open_reader(struct kit_query *k)
{
	struct vz_trouble trouble;

	must(vz_reader_open_memory(k->bytes, k->nbytes, &k->reader, &trouble) == 0, "no trace");
	kit_index_build(k->reader, &k->index);
	k->duration = k->index.duration_ns;
	k->nfunctions = k->kit->nfunctions;
	k->calls = calloc(k->index.ntracks + 1u, sizeof(*k->calls));
	must(k->calls != NULL, "no memory");
	for (uint32_t i = 0; i < k->index.ntracks; i++)
		kit_calls_init(&k->calls[i], k->reader, i, k->index.zero_ns);
}

/* Offsets of the tiles are their numbers in the kit's index, so that they are found again. */
static void make_directory(struct kit_query *k)
{
	struct vz_directory *d = vz_directory_new(k->index.ntracks);
	const struct vzi_directory head = {
		.zero_ns = k->index.zero_ns,
		.duration_ns = k->duration,
		.nfunctions = vz_reader_nfunctions(k->reader),
	};

	must(d != NULL, "no memory");
	for (uint32_t i = 0; i < k->index.ntiles; i++) {
		struct vzi_tile tile = k->index.tiles[i].row;

		tile.offset = i * UINT64_C(8);
		must(vz_directory_tile(d, &tile) == 0, "vz_directory_tile");
	}
	for (uint32_t i = 0; i < k->index.ntracks; i++)
		must(vz_directory_track(d, i, &k->index.tracks[i], k->index.blocks[i],
					k->index.tracks[i].nblocks, k->index.density) == 0,
		     "vz_directory_track");
	must(vz_directory_finish(d, &head, &k->directory, &k->directory_bytes) == 0,
	     "vz_directory_finish");
	vz_directory_free(d);
}

static void load_blocks(struct kit_query *k)
{
	uint32_t n = vzq_directory(k->q)->nblocks;

	k->raw = calloc(n + 1u, sizeof(*k->raw));
	must(k->raw != NULL, "no memory");
	for (uint32_t i = 0; i < n; i++) {
		struct vz_block head;
		const uint8_t *raw;

		if (vz_reader_load(k->reader, vzq_block(k->q, i)->number, &head, &raw) < 0)
			continue;
		k->raw[i].n = head.raw_bytes;
		k->raw[i].p = malloc(head.raw_bytes + 1u);
		must(k->raw[i].p != NULL, "no memory");
		memcpy(k->raw[i].p, raw, head.raw_bytes);
	}
}

static void open_all(struct kit_query *k)
{
	open_reader(k);
	make_directory(k);
	must(vzq_open(k->directory, k->directory_bytes, &k->q) == 0, "vzq_open");
	load_blocks(k);
}

void kit_query_open(struct kit_query *k, struct kit *kit)
{
	*k = (struct kit_query){ .kit = kit };
	k->bytes = kit_bytes(kit, &k->nbytes);
	open_all(k);
}

void kit_query_random(struct kit_query *k, const struct kit_story_options *options)
{
	*k = (struct kit_query){ .kit = make_trace(options) };
	k->bytes = kit_bytes(k->kit, &k->nbytes);
	if (options->flags & (KIT_DAMAGED | KIT_CUT))
		damage(k, options->flags);
	open_all(k);
}

void kit_query_fini(struct kit_query *k)
{
	for (uint32_t i = 0; i < vzq_directory(k->q)->nblocks; i++)
		free(k->raw[i].p);
	for (uint32_t i = 0; i < k->index.ntracks; i++)
		kit_calls_fini(&k->calls[i]);
	free(k->raw);
	free(k->calls);
	vzq_free(k->q);
	free(k->directory);
	kit_index_fini(&k->index);
	vz_reader_free(k->reader);
	free(k->bytes);
	kit_free(k->kit);
}

/* ---- the host ---- */

static void give(struct kit_query *k, struct vzq_job *job, const struct vzq_want *want)
{
	struct kit_raw given;
	uint8_t *copy;

	if (want->kind == VZQ_WANT_TILE) {
		const struct kit_tile *tile = &k->index.tiles[vzq_tile(k->q, want->id)->offset / 8];

		given = (struct kit_raw){ tile->bytes, tile->row.bytes };
		k->tiles++;
	} else {
		given = k->raw[want->id];
		k->blocks++;
	}
	/* In a place of its own, so that reading beyond it is noticed. */
	copy = malloc(given.n ? given.n : 1);
	must(copy != NULL, "no memory");
	if (given.p && given.n)
		memcpy(copy, given.p, given.n);
	given.p = given.p ? copy : NULL;
	if (k->spoil)
		k->spoil(k, want, &given);
	vzq_job_give(job, given.p, given.n);
	free(copy);
}

const struct vzq_result *kit_query_run(struct kit_query *k, struct vzq_job *job, uint32_t max)
{
	struct vzq_want want[MAX_WANT];
	uint32_t n;

	must(job != NULL, "no memory");
	while ((n = vzq_job_want(job, want, max < MAX_WANT ? max : MAX_WANT)) > 0) {
		k->rounds++;
		for (uint32_t i = 0; i < n; i++)
			give(k, job, &want[i]);
	}
	must(vzq_job_result(job) != NULL, "a job without a result");
	return vzq_job_result(job);
}
