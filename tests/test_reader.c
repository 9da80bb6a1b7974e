/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/blockfile.h"
#include "tests/kit_trace.h"

static struct vz_reader *open_bytes(const uint8_t *p, size_t n)
{
	struct vz_trouble trouble;
	struct vz_reader *r;
	int rc = vz_reader_open_memory(p, n, &r, &trouble);

	cr_assert_eq(rc, 0, "%s: %s", trouble.what, trouble.why);
	return r;
}

static struct kit *small_kit(uint64_t seed)
{
	struct kit *kit = kit_new(40, seed);

	for (uint32_t i = 0; i < 3; i++)
		kit_track(kit, 100 + i, i == 2 ? 0xabc : 0);
	vz_track_name(kit->tracks[0]->track, "MainThread");
	for (int round = 0; round < 6; round++) {
		for (uint32_t i = 0; i < 3; i++)
			kit_steps(kit->tracks[i], 30);
		vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	return kit;
}

Test(reader, what_was_written_comes_back)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct kit *kit = kit_new(300, seed);
		struct vz_damage damage;
		struct vz_reader *r;
		const char *wrong;
		size_t n;
		uint8_t *p;

		for (uint32_t i = 0; i < 4; i++)
			kit_track(kit, 100 + i, 0);
		for (int round = 0; round < 40; round++)
			kit_steps(kit->tracks[kit_random(kit, 4)], kit_random(kit, 3000));
		kit_end(kit->tracks[1], kit->tracks[1]->ns + 5);
		kit_finish(kit);
		p = kit_bytes(kit, &n);
		r = open_bytes(p, n);
		wrong = kit_compare_all(kit, r);
		cr_assert_null(wrong, "seed %lu: %s", (unsigned long)seed, wrong);
		vz_reader_damage(r, &damage);
		cr_assert(!damage.cut && !damage.no_index && !damage.skipped_bytes);
		cr_assert(!damage.damaged_blocks && !damage.missing_blocks);
		vz_reader_free(r);
		kit_free(kit);
		free(p);
	}
}

Test(reader, functions_tracks_and_facts)
{
	struct kit *kit = small_kit(7);
	const struct vz_function *f;
	struct vz_reader *r;
	char name[64];
	size_t n;
	uint8_t *p;

	kit_finish(kit);
	p = kit_bytes(kit, &n);
	r = open_bytes(p, n);
	cr_assert_eq(vz_reader_header(r)->pid, KIT_PID);
	cr_assert_eq(vz_reader_header(r)->start_unix_ns, KIT_UNIX_NS);
	cr_assert_str_eq(vz_reader_fact(r, "comm"), "kit");
	cr_assert_str_eq(vz_reader_fact(r, "empty"), "");
	cr_assert_str_eq(vz_reader_fact(r, "pause_us"), "12");
	cr_assert_str_eq(vz_reader_fact(r, "odd"), "");
	cr_assert_null(vz_reader_fact(r, "nothing"));
	cr_assert_eq(vz_reader_nfunctions(r), 40);
	for (uint32_t i = 0; i < 40; i++) {
		f = vz_reader_function(r, i);
		kit_function_name(i, name, sizeof(name));
		cr_assert_str_eq(f->name, name);
		cr_assert_eq(f->line, i);
		cr_assert_eq(f->kind, i % 3 ? VZ_DEF_PYTHON : VZ_DEF_C);
	}
	cr_assert_eq(vz_reader_function(r, 12345)->kind, 0);
	cr_assert_eq(vz_reader_ntracks(r), 3);
	cr_assert_str_eq(vz_reader_track(r, 0)->name, "MainThread");
	cr_assert_eq(vz_reader_track(r, 1)->tid, 101);
	cr_assert_eq(vz_reader_track(r, 2)->stack_key, 0xabc);
	cr_assert_eq(vz_reader_end(r)->tracks, 3);
	vz_reader_free(r);
	kit_free(kit);
	free(p);
}

Test(reader, a_cut_at_any_byte_leaves_what_was_whole)
{
	struct kit *kit = small_kit(3);
	size_t n, before = 0;
	uint8_t *p, *cut;

	kit_finish(kit);
	p = kit_bytes(kit, &n);
	for (size_t len = 0; len < n; len++) {
		struct vz_trouble trouble;
		struct vz_damage damage;
		struct vz_reader *r;
		const char *wrong;
		size_t seen;

		cut = malloc(len +
			     1); /* exactly as long, so that a sanitizer sees a read behind it */
		memcpy(cut, p, len);
		if (len < sizeof(struct vz_file_header)) {
			cr_assert_lt(vz_reader_open_memory(cut, len, &r, &trouble), 0);
			free(cut);
			continue;
		}
		r = open_bytes(cut, len);
		wrong = kit_compare_part(kit, r, &seen);
		cr_assert_null(wrong, "cut at %zu: %s", len, wrong);
		cr_assert_geq(seen, before, "cut at %zu: less than before", len);
		before = seen;
		vz_reader_damage(r, &damage);
		cr_assert(damage.no_index);
		vz_reader_free(r);
		free(cut);
	}
	cr_assert_gt(before, 300);
	kit_free(kit);
	free(p);
}

Test(reader, random_damage_is_never_taken_for_data)
{
	struct kit *kit = small_kit(5);
	size_t n, seen, least = SIZE_MAX;
	uint8_t *p;

	kit_finish(kit);
	p = kit_bytes(kit, &n);
	for (int round = 0; round < 4000; round++) {
		size_t at = sizeof(struct vz_file_header) +
			    kit_random(kit, n - sizeof(struct vz_file_header));
		uint8_t old = p[at];
		struct vz_reader *r;
		const char *wrong;

		p[at] ^= (uint8_t)(1 + kit_random(kit, 255));
		r = open_bytes(p, n);
		wrong = kit_compare_part(kit, r, &seen);
		cr_assert_null(wrong, "byte %zu: %s", at, wrong);
		if (seen < least)
			least = seen;
		vz_reader_free(r);
		p[at] = old;
	}
	/* One bad byte costs at most one block. */
	cr_assert_gt(least, 400);
	kit_free(kit);
	free(p);
}

Test(reader, a_missing_block_is_reported_and_what_follows_is_kept)
{
	struct kit *kit = kit_new(30, 9);
	struct kit_track *t = kit_track(kit, 1, 0);
	const struct vz_index_entry *second;
	struct vz_damage damage;
	struct vz_reader *r;
	const char *wrong;
	size_t n, seen, at, len;
	uint8_t *p;

	for (int i = 0; i < 10; i++) {
		kit_steps(t, 500);
		vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	kit_finish(kit);
	p = kit_bytes(kit, &n);
	r = open_bytes(p, n);
	second = vz_reader_block(r, 4);
	at = second->offset;
	len = vz_reader_block(r, 5)->offset - at;
	vz_reader_free(r);
	memmove(p + at, p + at + len, n - at - len);
	r = open_bytes(p, n - len);
	wrong = kit_compare_part(kit, r, &seen);
	cr_assert_null(wrong, "%s", wrong);
	cr_assert_gt(seen, 4000);
	vz_reader_damage(r, &damage);
	cr_assert_eq(damage.missing_blocks, 1);
	cr_assert(!damage.cut);
	vz_reader_free(r);
	kit_free(kit);
	free(p);
}

Test(reader, more_blocks_than_one_index_holds)
{
	struct kit *kit = kit_new(30, 11);
	struct kit_track *t = kit_track(kit, 1, 0);
	struct vz_damage damage;
	struct vz_reader *r;
	const char *wrong;
	size_t n;
	uint8_t *p;

	for (int i = 0; i < 3 * VZ_INDEX_MAX_ENTRIES; i++) {
		kit_steps(t, 2);
		vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	kit_finish(kit);
	p = kit_bytes(kit, &n);
	r = open_bytes(p, n);
	vz_reader_damage(r, &damage);
	cr_assert(!damage.no_index);
	wrong = kit_compare_all(kit, r);
	cr_assert_null(wrong, "%s", wrong);
	vz_reader_free(r);
	/* Without the footer the same is found by walking. */
	r = open_bytes(p, n - sizeof(struct vz_file_footer));
	vz_reader_damage(r, &damage);
	cr_assert(damage.no_index && !damage.cut && !damage.missing_blocks);
	wrong = kit_compare_all(kit, r);
	cr_assert_null(wrong, "%s", wrong);
	vz_reader_free(r);
	kit_free(kit);
	free(p);
}

Test(reader, noise_is_refused_or_empty)
{
	struct kit *kit = kit_new(1, 13);
	struct vz_trouble trouble;
	struct vz_reader *r;
	uint8_t p[4096];
	uint8_t *good;
	size_t n;

	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)kit_random(kit, 256);
	cr_assert_lt(vz_reader_open_memory(p, sizeof(p), &r, &trouble), 0);
	cr_assert_str_eq(trouble.what, "this is not a trace");
	good = kit_bytes(kit, &n);
	memcpy(p, good, sizeof(struct vz_file_header));
	r = open_bytes(p, sizeof(p));
	cr_assert_eq(vz_reader_nblocks(r), 0);
	vz_reader_free(r);
	p[20] ^= 1;
	cr_assert_lt(vz_reader_open_memory(p, sizeof(p), &r, &trouble), 0);
	cr_assert_str_eq(trouble.what, "the trace is damaged");
	kit_free(kit);
	free(good);
}

Test(reader, files_that_cannot_be_traces)
{
	static const char *const paths[] = { "/nonexistent/x.viz", "/", "/dev/null" };
	struct vz_trouble trouble;
	struct vz_reader *r;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		cr_assert_lt(vz_reader_open(paths[i], &r, &trouble), 0);
		cr_assert(trouble.what[0] && trouble.why[0]);
	}
}

/* ---- files that are made to annoy -------------------------------------- */

/* A file with one block of BYTES of RAW, as often as TIMES says. */
static uint8_t *file_of(unsigned type, const void *raw, size_t bytes, int times, size_t *n)
{
	const struct vz_file_header header = { .pid = 1 };
	int fd = memfd_create("annoying", MFD_CLOEXEC);
	struct vz_blockfile file;
	uint8_t *p;

	vz_blockfile_init(&file, fd, &header);
	for (int i = 0; i < times; i++) {
		struct vz_block head = { .type = (uint8_t)type };

		vz_blockfile_put_raw(&file, &head, raw, bytes);
	}
	cr_assert_eq(file.error, 0);
	*n = file.bytes;
	p = malloc(*n);
	cr_assert_eq(pread(fd, p, *n, 0), (ssize_t)*n);
	vz_blockfile_fini(&file);
	close(fd);
	return p;
}

/* To sort them in would take hours: it is given up as damage. */
Test(reader, a_million_tracks_in_the_wrong_order, .timeout = 100)
{
	enum { TRACKS = 2000000 };
	struct vz_file_track *tracks = calloc(TRACKS, sizeof(*tracks));
	struct vz_damage damage;
	struct vz_reader *r;
	uint8_t *p;
	size_t n;

	for (uint32_t i = 0; i < TRACKS; i++)
		tracks[i] = (struct vz_file_track){ .track = TRACKS - i, .kind = VZ_TRACK_BEGIN };
	p = file_of(VZ_BLOCK_TRACKS, tracks, TRACKS * sizeof(*tracks), 1, &n);
	r = open_bytes(p, n);
	vz_reader_damage(r, &damage);
	cr_assert_eq(damage.damaged_blocks, 1);
	cr_assert_lt(vz_reader_ntracks(r), TRACKS);
	vz_reader_free(r);
	free(p);
	free(tracks);
}

/* A few bytes each in the file, a few dozen here: there is an end to it. */
Test(reader, facts_without_end)
{
	enum { BYTES = 16 << 20 };
	char *zeros = calloc(1, BYTES);
	const char *key, *value;
	struct vz_damage damage;
	struct vz_reader *r;
	uint32_t facts = 0;
	uint8_t *p;
	size_t n;

	p = file_of(VZ_BLOCK_META, zeros, BYTES, 4, &n);
	r = open_bytes(p, n);
	vz_reader_damage(r, &damage);
	cr_assert_eq(damage.damaged_blocks, 4);
	while (vz_reader_fact_at(r, facts, &key, &value))
		facts++;
	cr_assert_leq(facts, 1 << 20);
	vz_reader_free(r);
	free(p);
	free(zeros);
}

static size_t put_track(uint8_t *p, uint32_t track, uint8_t kind, uint32_t tid, const char *name)
{
	const struct vz_file_track record = {
		.track = track,
		.kind = kind,
		.name_len = (uint16_t)strlen(name),
		.tid = tid,
		.flags = kind == VZ_TRACK_BEGIN ? VZ_TRACK_COUNTER : 0,
	};

	memcpy(p, &record, sizeof(record));
	memcpy(p + sizeof(record), name, record.name_len);
	return sizeof(record) + record.name_len;
}

Test(reader, tracks_belong_to_the_process_that_they_name)
{
	static const uint32_t of[] = { 0, 1, 2, 1 };
	const struct vz_thread_track *track;
	struct vz_reader *r;
	uint8_t raw[1024], *p;
	size_t n = 0, bytes;

	for (uint32_t i = 0; i < 4; i++)
		n += put_track(raw + n, i, VZ_TRACK_BEGIN, 10 + i, "");
	n += put_track(raw + n, 1, VZ_TRACK_PROCESS, 77, "worker");
	n += put_track(raw + n, 2, VZ_TRACK_PROCESS, 88, "");
	n += put_track(raw + n, 3, VZ_TRACK_PROCESS, 77, "");
	p = file_of(VZ_BLOCK_TRACKS, raw, n, 1, &bytes);
	r = open_bytes(p, bytes);
	cr_assert_eq(vz_reader_nprocesses(r), 3);
	cr_assert_eq(vz_reader_process(r, 0)->pid, 1);
	cr_assert_eq(vz_reader_process(r, 1)->pid, 77);
	cr_assert_str_eq(vz_reader_process(r, 1)->name, "worker");
	cr_assert_eq(vz_reader_process(r, 2)->pid, 88);
	for (uint32_t i = 0; i < 4; i++) {
		track = vz_reader_track(r, i);
		cr_assert_eq(track->tid, 10 + i);
		cr_assert_eq(track->process, of[i]);
		cr_assert(track->flags & VZ_TRACK_COUNTER);
	}
	vz_reader_free(r);
	free(p);
}

Test(reader, blocks_beside_the_events_are_handed_out)
{
	static const uint8_t types[] = { VZ_BLOCK_ARGS, VZ_BLOCK_SAMPLES, VZ_BLOCK_SOURCE };

	for (size_t i = 0; i < 3; i++) {
		struct vz_block head;
		struct vz_reader *r;
		const uint8_t *raw;
		uint8_t *p;
		size_t n;

		p = file_of(types[i], "what it holds", 13, 2, &n);
		r = open_bytes(p, n);
		cr_assert_eq(vz_reader_nblocks(r), 0);
		cr_assert_eq(vz_reader_nextras(r), 2);
		cr_assert_eq(vz_reader_extra(r, 1)->type, types[i]);
		cr_assert_eq(vz_reader_load_extra(r, 1, &head, &raw), 0);
		cr_assert_eq(head.type, types[i]);
		cr_assert_eq(head.raw_bytes, 13);
		cr_assert_arr_eq(raw, "what it holds", 13);
		cr_assert_eq(vz_reader_ntracks(r), types[i] == VZ_BLOCK_SOURCE ? 0 : 1);
		vz_reader_free(r);
		free(p);
	}
}
