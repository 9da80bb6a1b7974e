/* SPDX-License-Identifier: MIT */
/* The two documents that the page begins with, read by Python's json. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/blockfile.h"
#include "tests/kit_trace.h"
#include "viewer/serve/describe.h"

static struct vz_reader *open_bytes(const uint8_t *p, size_t n)
{
	struct vz_trouble trouble;
	struct vz_reader *r;

	cr_assert_eq(vz_reader_open_memory(p, n, &r, &trouble), 0, "%s", trouble.what);
	return r;
}

static char *trace_text(const struct vz_reader *r, const struct vz_describe *d)
{
	struct vz_trouble trouble;
	struct vz_out out;
	char *text = NULL;
	size_t n;
	FILE *memory = open_memstream(&text, &n);

	cr_assert_eq(vz_out_open_memory(&out, memory), 0);
	cr_assert_eq(vz_describe_trace(r, d, &out), 0);
	cr_assert_eq(vz_out_close(&out, &trouble), 0);
	fclose(memory);
	return text;
}

/* PARTS: how many it came in. */
static char *functions_text(const struct vz_reader *r, unsigned *parts)
{
	struct vz_describe_place place = { 0 };
	struct vz_trouble trouble;
	struct vz_files files;
	struct vz_out out;
	char *text = NULL;
	size_t n;
	FILE *memory = open_memstream(&text, &n);

	cr_assert_eq(vz_files_init(&files, r), 0);
	cr_assert_eq(vz_out_open_memory(&out, memory), 0);
	*parts = 1;
	while (vz_describe_functions(r, &files, &place, &out))
		++*parts;
	cr_assert_eq(vz_out_close(&out, &trouble), 0);
	fclose(memory);
	vz_files_fini(&files);
	return text;
}

/* Whether python3 finds TEXT to be JSON, without "<", of which PREDICATE is true; frees it. */
static bool json_is(char *text, const char *predicate)
{
	char name[] = "/tmp/vz-test-describe-XXXXXX", command[2048];
	int fd = mkstemp(name), status;
	FILE *f = fdopen(fd, "w");

	cr_assert_not_null(f);
	fputs(text, f);
	fclose(f);
	free(text);
	snprintf(command, sizeof(command),
		 "/usr/bin/python3 -c 'import json,sys; t=open(sys.argv[1],\"rb\").read()"
		 ".decode(\"utf-8\"); assert \"<\" not in t; d=json.loads(t); "
		 "assert %s, str(d)[:2000]' %s",
		 predicate, name);
	status = system(command);
	remove(name);
	return status == 0;
}

static uint8_t *two_threads(size_t *n)
{
	struct kit *kit = kit_new(300, 1);
	uint8_t *p;

	for (uint32_t i = 0; i < 2; i++) {
		kit_steps(kit_track(kit, i ? KIT_PID : 77, i ? 0 : 0xabc), 500);
		vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	vz_track_name(kit->tracks[1]->track, "M<ain");
	kit_lost(kit->tracks[1], 5, kit->tracks[1]->ns + 10);
	kit_finish(kit);
	p = kit_bytes(kit, n);
	kit_free(kit);
	return p;
}

Test(describe, an_import_says_what_it_left_out)
{
	const struct vz_describe d = { .file = "a.json" };
	struct kit *kit = kit_new(4, 9);
	struct vz_reader *r;
	uint8_t *p;
	size_t n;

	vz_tracefile_meta(kit->tf, "imported in part", "the file ends in the middle");
	vz_tracefile_meta(kit->tf, "not shown", "12 arrows");
	vz_tracefile_meta(kit->tf, "overlaps", "3 calls do not nest");
	kit_finish(kit);
	p = kit_bytes(kit, &n);
	kit_free(kit);
	r = open_bytes(p, n);
	cr_expect(json_is(trace_text(r, &d),
			  "[(w[\"what\"], \"why\" in w) for w in d[\"warnings\"]] == "
			  "[(\"only a part of the file could be imported\", True), "
			  "(\"not shown: 12 arrows\", True), (\"3 calls do not nest\", False)] and "
			  "d[\"warnings\"][0][\"why\"] == \"the file ends in the middle\""));
	vz_reader_free(r);
	free(p);
}

Test(describe, a_trace_without_an_index)
{
	const struct vz_describe d = { .file = "<a>.viz",
				       .has_source = true,
				       .compare = "b\".viz" };
	struct vz_reader *r;
	size_t n;
	uint8_t *p = two_threads(&n);

	r = open_bytes(p, n);
	cr_expect(json_is(trace_text(r, &d),
			  "(d[\"file\"], d[\"title\"], d[\"pid\"], d[\"hasSource\"], "
			  "d[\"compare\"], d[\"lost\"] >= 5) == "
			  "(\"<a>.viz\", \"kit\", 4242, True, \"b\\\".viz\", True)"));
	cr_expect(json_is(trace_text(r, &d), "abs(d[\"startUnixMs\"] - 1700000000123.457) < .001 "
					     "and d[\"duration\"] > 1000 and d[\"version\"]"));
	cr_expect(json_is(trace_text(r, &d),
			  "[\"comm\", \"kit\"] in d[\"facts\"] and "
			  "d[\"processes\"] == [{\"pid\": 4242, \"name\": \"kit\"}]"));
	cr_expect(json_is(
		trace_text(r, &d),
		"[(t[\"tid\"], t[\"kind\"], t[\"main\"], t[\"process\"]) "
		"for t in d[\"tracks\"]] == [(77, \"greenlet\", False, 0), "
		"(4242, \"thread\", True, 0)] and d[\"tracks\"][1][\"name\"] == \"M<ain\""));
	cr_expect(json_is(trace_text(r, &d),
			  "sum(t[\"calls\"] for t in d[\"tracks\"]) == d[\"calls\"] > 300"));
	cr_expect(json_is(trace_text(r, &d), "[\"lost\" in w[\"what\"] for w in d[\"warnings\"]] "
					     "== [True] and d[\"warnings\"][0][\"try\"]"));
	vz_reader_free(r);
	free(p);
}

Test(describe, what_the_index_knows)
{
	const struct vzi_track tracks[] = {
		{ .place = 1,
		  .begin_ns = 3,
		  .end_ns = 99,
		  .entries = 7,
		  .lost = 2,
		  .holes = 1,
		  .max_depth = 12 },
	};
	const struct vzi_directory directory = {
		.ntracks = 1,
		.zero_ns = KIT_START_NS + 1000000,
		.duration_ns = 1234,
		.entries = 7,
	};
	const struct vz_describe d = {
		.file = "a",
		.directory = &directory,
		.tracks = tracks,
		.calls = 900,
	};
	struct vz_reader *r;
	size_t n;
	uint8_t *p = two_threads(&n);

	r = open_bytes(p, n);
	cr_expect(json_is(trace_text(r, &d),
			  "[(t[\"tid\"], t[\"begin\"], t[\"end\"], t[\"calls\"], t[\"lost\"], "
			  "t[\"holes\"], t[\"depth\"]) for t in d[\"tracks\"]] == "
			  "[(4242, 3, 99, 7, 2, 1, 12)]"));
	cr_expect(json_is(trace_text(r, &d),
			  "(d[\"duration\"], d[\"calls\"], d[\"lost\"], d[\"compare\"]) == "
			  "(1234, 7, 2, None) and "
			  "abs(d[\"startUnixMs\"] - 1700000000124.457) < .001"));
	cr_expect(
		json_is(trace_text(r, &d),
			"d[\"warnings\"][0][\"what\"] == \"1 part of the trace cannot be read; "
			"shown as a gap\" and \"only 7 of 900\" in d[\"warnings\"][2][\"what\"]"));
	vz_reader_free(r);
	free(p);
}

Test(describe, damage_is_told)
{
	const struct vz_describe d = { .file = "a" };
	struct vz_block head;
	const uint8_t *raw;
	struct vz_reader *r;
	size_t n;
	uint8_t *p = two_threads(&n);

	r = open_bytes(p, n / 2);
	cr_expect(json_is(trace_text(r, &d), "\"end of the recording is missing\" in "
					     "d[\"warnings\"][0][\"what\"]"));
	vz_reader_free(r);
	r = open_bytes(p, n);
	p[vz_reader_block(r, 0)->offset + sizeof(struct vz_block) + 9] ^= 1;
	cr_assert_lt(vz_reader_load(r, 0, &head, &raw), 0);
	cr_expect(json_is(trace_text(r, &d), "\"cannot be read\" in d[\"warnings\"][0][\"what\"]"));
	vz_reader_free(r);
	free(p);
}

Test(describe, functions_come_in_parts_that_fit)
{
	struct vz_reader *r;
	unsigned parts;
	size_t n;
	uint8_t *p = two_threads(&n);
	char *text;

	r = open_bytes(p, n);
	text = functions_text(r, &parts);
	cr_expect_gt(parts, 5);
	cr_expect(json_is(text, "d[\"name\"] == [\"Klass_%d.m\\xe9tho\\\"d\\\\<%d>\" % (i % 7, i) "
				"for i in range(300)] and d[\"line\"] == list(range(300)) and "
				"d[\"kind\"] == [1 if i % 3 else 2 for i in range(300)] and "
				"[d[\"files\"][f] for f in d[\"file\"]] == [(\"/app/mod%d.py\" "
				"if i % 3 else \"mod%d\") % (i % 11) for i in range(300)] and "
				"len(d[\"files\"]) == 22"));
	vz_reader_free(r);
	free(p);
}

Test(describe, a_trace_without_anything)
{
	const struct vz_file_header header = {
		.magic = VZ_FILE_MAGIC,
		.version = VZ_FILE_VERSION,
		.size = sizeof(header),
	};
	const struct vz_describe d = { .file = "a" };
	struct vz_blockfile file;
	int fd = memfd_create("empty", MFD_CLOEXEC);
	uint8_t p[sizeof(header)];
	struct vz_reader *r;
	unsigned parts;

	vz_blockfile_init(&file, fd, &header);
	vz_blockfile_fini(&file);
	cr_assert_eq(pread(fd, p, sizeof(p), 0), (ssize_t)sizeof(p));
	r = open_bytes(p, sizeof(p));
	cr_expect(json_is(trace_text(r, &d), "d[\"tracks\"] == [] and d[\"calls\"] == 0 and "
					     "d[\"processes\"][0][\"name\"] == \"python\""));
	cr_expect(json_is(functions_text(r, &parts),
			  "d == dict(files=[], name=[], file=[], line=[], kind=[])"));
	vz_reader_free(r);
	close(fd);
}

static size_t put_track(uint8_t *p, uint8_t kind, uint32_t track, uint32_t flags, uint32_t tid)
{
	const struct vz_file_track record = {
		.track = track,
		.kind = kind,
		.tid = tid,
		.flags = flags,
	};

	memcpy(p, &record, sizeof(record));
	return sizeof(record);
}

Test(describe, kinds_of_tracks_and_processes)
{
	static const uint32_t flags[] = { 0, VZ_TRACK_ASYNC, VZ_TRACK_INSTANTS, VZ_TRACK_STATE,
					  VZ_TRACK_COUNTER };
	const struct vz_file_header header = { .pid = 9 };
	struct vz_block head = { .type = VZ_BLOCK_TRACKS };
	const struct vz_describe d = { .file = "a" };
	struct vz_blockfile file;
	int fd = memfd_create("tracks", MFD_CLOEXEC);
	uint8_t raw[1024], p[4096];
	struct vz_reader *r;
	size_t n = 0;

	for (uint32_t i = 0; i < 5; i++)
		n += put_track(raw + n, VZ_TRACK_BEGIN, i, flags[i], 9);
	n += put_track(raw + n, VZ_TRACK_PROCESS, 2, 0, 10);
	vz_blockfile_init(&file, fd, &header);
	vz_blockfile_put_raw(&file, &head, raw, n);
	vz_blockfile_fini(&file);
	n = (size_t)pread(fd, p, sizeof(p), 0);
	r = open_bytes(p, n);
	cr_expect(json_is(trace_text(r, &d),
			  "[t[\"kind\"] for t in d[\"tracks\"]] == [\"thread\", \"async\", "
			  "\"instants\", \"state\", \"counter\"] and "
			  "[t[\"main\"] for t in d[\"tracks\"]] == [True] + [False] * 4 and "
			  "[t[\"process\"] for t in d[\"tracks\"]] == [0, 0, 1, 0, 0] and "
			  "[p[\"pid\"] for p in d[\"processes\"]] == [9, 10]"));
	vz_reader_free(r);
	close(fd);
}
