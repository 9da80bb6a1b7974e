/* SPDX-License-Identifier: MIT */
/* Which files are read because a trace names them, and what a trace carries itself. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attach/blockfile.h"
#include "tests/kit_trace.h"
#include "viewer/args.h"
#include "viewer/source.h"

static char folder[] = "/tmp/vz-source-test-XXXXXX";

static void setup(void)
{
	cr_assert_not_null(mkdtemp(folder));
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
}

static const char *path_of(const char *name)
{
	static char path[4096];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void put(const char *name, const char *text, size_t n)
{
	FILE *file = fopen(path_of(name), "wb");

	cr_assert_not_null(file);
	cr_assert_eq(fwrite(text, 1, n, file), n);
	fclose(file);
}

/* What the trace says of the program's directory; NULL: nothing, as before that was noted. */
static const char *cwd;

/* A trace with one function, of KIND, in FILE. */
static struct vz_reader *trace_naming(const char *file, unsigned kind, uint8_t **bytes)
{
	struct kit *kit = kit_new(0, 1);
	struct vz_trouble trouble;
	struct vz_reader *r;
	size_t n;

	vz_tracefile_function(kit->tf, 0, kind, "f", 1, file, strlen(file), 1);
	if (cwd)
		vz_tracefile_meta(kit->tf, "cwd", cwd);
	kit_finish(kit);
	*bytes = kit_bytes(kit, &n);
	kit_free(kit);
	cr_assert_eq(vz_reader_open_memory(*bytes, n, &r, &trouble), 0);
	return r;
}

/* Result of reading FILE; TEXT gets what was read. */
static int read_file(const char *file, unsigned kind, char *text, size_t size, bool *newer)
{
	struct vz_source source;
	struct vz_files files;
	uint8_t *bytes;
	struct vz_reader *r = trace_naming(file, kind, &bytes);
	int rc;

	cr_assert_eq(vz_files_init(&files, r), 0);
	rc = vz_source_read(r, &files, 0, &source);
	if (rc == 0) {
		snprintf(text, size, "%.*s", (int)source.bytes, source.text);
		*newer = source.newer;
		cr_expect(!source.recorded);
		free(source.text);
	}
	vz_files_fini(&files);
	vz_reader_free(r);
	free(bytes);
	return rc;
}

static int status_of(const char *file, unsigned kind)
{
	char text[256];
	bool newer;

	return read_file(file, kind, text, sizeof(text), &newer);
}

Test(source, a_python_file_is_read, .init = setup, .fini = teardown)
{
	struct timespec old[2] = { { .tv_sec = 1600000000 }, { .tv_sec = 1600000000 } };
	char text[256];
	bool newer = false;

	put("a.py", "print(1)\n", 9);
	cr_assert_eq(read_file(path_of("a.py"), VZ_DEF_PYTHON, text, sizeof(text), &newer), 0);
	cr_expect_str_eq(text, "print(1)\n");
	cr_expect(newer, "it was written just now, the recording is of 2023");
	cr_assert_eq(utimensat(AT_FDCWD, path_of("a.py"), old, 0), 0);
	cr_assert_eq(read_file(path_of("a.py"), VZ_DEF_PYTHON, text, sizeof(text), &newer), 0);
	cr_expect(!newer);
	put("script", "#!/usr/bin/env python3\n", 23);
	cr_expect_eq(status_of(path_of("script"), VZ_DEF_PYTHON), 0);
}

/* Whoever made the trace chose the names. */
Test(source, nothing_else_is_read, .init = setup, .fini = teardown)
{
	char *large = calloc(1, VZ_SOURCE_MAX_BYTES + 1), link[4096];

	put("id_rsa", "PRIVATE KEY", 11);
	put("large.py", large, VZ_SOURCE_MAX_BYTES + 1);
	put("empty.py", "", 0);
	put("a.py", "x", 1);
	free(large);
	snprintf(link, sizeof(link), "%s", path_of("link.py"));
	cr_assert_eq(symlink(path_of("id_rsa"), link), 0);
	cr_assert_eq(mkfifo(path_of("fifo.py"), 0600), 0);
	cr_assert_eq(mkdir(path_of("folder.py"), 0700), 0);
	cr_expect_eq(status_of(path_of("id_rsa"), VZ_DEF_PYTHON), -ENOENT);
	cr_expect_eq(status_of(path_of("large.py"), VZ_DEF_PYTHON), -ENOENT);
	cr_expect_eq(status_of(path_of("empty.py"), VZ_DEF_PYTHON), -ENOENT);
	cr_expect_eq(status_of(path_of("link.py"), VZ_DEF_PYTHON), -ENOENT);
	cr_expect_eq(status_of(path_of("fifo.py"), VZ_DEF_PYTHON), -ENOENT);
	cr_expect_eq(status_of(path_of("folder.py"), VZ_DEF_PYTHON), -ENOENT);
	cr_expect_eq(status_of(path_of("gone.py"), VZ_DEF_PYTHON), -ENOENT);
	cr_expect_eq(status_of(path_of("a.py"), VZ_DEF_C), -ENOENT);
	cr_expect_eq(status_of("a.py", VZ_DEF_PYTHON), -ENOENT);
	cr_expect_eq(status_of("<string>", VZ_DEF_PYTHON), -ENOENT);
	cr_expect_eq(status_of("/dev/zero", VZ_DEF_PYTHON), -ENOENT);
	cr_expect_eq(status_of("/proc/self/environ", VZ_DEF_PYTHON), -ENOENT);
}

static int status_in(const char *directory, const char *file)
{
	int rc;

	cwd = directory;
	rc = status_of(file, VZ_DEF_PYTHON);
	cwd = NULL;
	return rc;
}

Test(source, a_relative_name_is_below_the_directory_of_the_program, .init = setup, .fini = teardown)
{
	char text[256] = "", sub[4096];
	bool newer = false;

	snprintf(sub, sizeof(sub), "%s", path_of("sub"));
	cr_assert_eq(mkdir(sub, 0700), 0);
	put("a.py", "outer\n", 6);
	put("sub/b.py", "inner\n", 6);
	put("script", "#!/usr/bin/env python3\n", 23);
	cwd = folder;
	cr_assert_eq(read_file("a.py", VZ_DEF_PYTHON, text, sizeof(text), &newer), 0);
	cr_expect_str_eq(text, "outer\n");
	cr_expect(newer, "it was written just now, the recording is of 2023");
	cr_assert_eq(read_file("sub/b.py", VZ_DEF_PYTHON, text, sizeof(text), &newer), 0);
	cr_expect_str_eq(text, "inner\n");
	cr_expect_eq(status_in(folder, "./a.py"), 0);
	cr_expect_eq(status_in(folder, "script"), 0);
	cr_expect_eq(status_in(folder, path_of("a.py")), 0);
	cr_expect_eq(status_in("/nowhere", path_of("a.py")), 0, "it needs no directory");
	cr_expect_eq(status_in("/", path_of("a.py") + 1), 0);
	/* As an absolute name may. */
	cr_expect_eq(status_in(sub, "../a.py"), 0);
	cr_expect_eq(status_in(sub, "a.py"), -ENOENT);
}

Test(source, a_directory_gives_no_more_than_a_name, .init = setup, .fini = teardown)
{
	char link[4096], longest[5000], number[16];

	memset(longest, '/', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	put("a.py", "x", 1);
	put("<string>", "#!/usr/bin/env python3\n", 23);
	put("id_rsa", "PRIVATE KEY", 11);
	put("empty.py", "", 0);
	snprintf(link, sizeof(link), "%s", path_of("link.py"));
	cr_assert_eq(symlink("a.py", link), 0);
	cr_assert_eq(mkfifo(path_of("fifo.py"), 0600), 0);
	cr_assert_eq(chdir(folder), 0, "where relative directories would lead");
	cr_assert_eq(status_in(folder, "a.py"), 0);
	cr_expect_eq(status_of("a.py", VZ_DEF_PYTHON), -ENOENT);
	cr_expect_eq(status_in("", "a.py"), -ENOENT);
	cr_expect_eq(status_in(".", "a.py"), -ENOENT);
	cr_expect_eq(status_in(folder + 1, "a.py"), -ENOENT);
	cr_expect_eq(status_in(longest, path_of("a.py") + 1), -ENOENT);
	cr_expect_eq(status_in("(unreachable)/", "a.py"), -ENOENT);
	cr_expect_eq(status_in(folder, "<string>"), -ENOENT);
	cr_expect_eq(status_in(folder, "id_rsa"), -ENOENT);
	cr_expect_eq(status_in(folder, "empty.py"), -ENOENT);
	cr_expect_eq(status_in(folder, "link.py"), -ENOENT);
	cr_expect_eq(status_in(folder, "fifo.py"), -ENOENT);
	cr_expect_eq(status_in(folder, "."), -ENOENT);
	cr_expect_eq(status_in(path_of("a.py"), "."), -ENOENT);
	cr_expect_eq(status_in("/proc/self", "environ"), -ENOENT);
	snprintf(number, sizeof(number), "%d", open(path_of("a.py"), O_RDONLY));
	cr_expect_eq(status_in("/proc/self/fd", number), -ENOENT);
}

/* ---- blocks beside the events ---- */

static uint8_t *file_with(struct vz_block *head, const void *raw, size_t n, size_t *bytes)
{
	const struct vz_file_header header = { .pid = 1 };
	int fd = memfd_create("blocks", MFD_CLOEXEC);
	struct vz_blockfile file;
	uint8_t *p;

	vz_blockfile_init(&file, fd, &header);
	vz_blockfile_put_raw(&file, head, raw, n);
	*bytes = file.bytes;
	p = malloc(*bytes);
	cr_assert_eq(pread(fd, p, *bytes, 0), (ssize_t)*bytes);
	vz_blockfile_fini(&file);
	close(fd);
	return p;
}

static struct vz_reader *open_bytes(const uint8_t *p, size_t n)
{
	struct vz_trouble trouble;
	struct vz_reader *r;

	cr_assert_eq(vz_reader_open_memory(p, n, &r, &trouble), 0);
	return r;
}

Test(source, what_the_trace_carries_is_taken_first)
{
	static const char raw[] = "\x01"
				  "a"
				  "\x02"
				  "AA"
				  "\x02"
				  "bb"
				  "\x00"
				  "\x01"
				  "c"
				  "\x03"
				  "CCC";
	struct vz_block head = { .type = VZ_BLOCK_SOURCE };
	struct vz_source source;
	struct vz_reader *r;
	size_t n;
	uint8_t *p = file_with(&head, raw, sizeof(raw) - 1, &n);

	r = open_bytes(p, n);
	cr_assert_eq(vz_source_recorded(r, "c", &source), 0);
	cr_expect(source.recorded && !source.newer);
	cr_expect_eq(source.bytes, 3);
	cr_expect_arr_eq(source.text, "CCC", 3);
	free(source.text);
	cr_assert_eq(vz_source_recorded(r, "bb", &source), 0);
	cr_expect_eq(source.bytes, 0);
	free(source.text);
	cr_expect_eq(vz_source_recorded(r, "b", &source), -ENOENT);
	vz_reader_free(r);
	free(p);
	/* Lengths that lie end the search. */
	for (size_t cut = 1; cut < sizeof(raw) - 1; cut++) {
		p = file_with(&head, raw, cut, &n);
		r = open_bytes(p, n);
		cr_expect_eq(vz_source_recorded(r, "c", &source), -ENOENT);
		vz_reader_free(r);
		free(p);
	}
}

struct args_case {
	uint64_t entry;
	const char *json; /* NULL: none */
};

Test(source, arguments_are_found_by_number_of_the_call)
{
	static const char raw[] = "\x00\x02{}"
				  "\x02\x07{\"a\":1}"
				  "\x83\x01\x03[2]";
	static const struct args_case cases[] = {
		{ 0, NULL },         { 9, NULL },   { 10, "{}" },   { 11, NULL },
		{ 12, "{\"a\":1}" }, { 142, NULL }, { 143, "[2]" }, { 144, NULL },
	};
	struct vz_block head = {
		.type = VZ_BLOCK_ARGS, .track = 7, .count = 3, .t0_ns = 10, .t1_ns = 143
	};
	struct vz_reader *r;
	size_t n, bytes;
	uint8_t *p = file_with(&head, raw, sizeof(raw) - 1, &n);
	char *json;

	r = open_bytes(p, n);
	cr_assert_eq(vz_reader_ntracks(r), 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = vz_args_find(r, 0, cases[i].entry, &json, &bytes);

		cr_assert_eq(rc, cases[i].json ? 0 : -ENOENT, "entry %lu",
			     (unsigned long)cases[i].entry);
		if (rc == 0) {
			cr_expect_str_eq(json, cases[i].json);
			cr_expect_eq(bytes, strlen(json));
			free(json);
		}
	}
	vz_reader_free(r);
	free(p);
}

Test(source, arguments_that_lie_are_left_out)
{
	static const struct {
		const char *raw;
		size_t bytes;
	} cases[] = {
		{ "\x00\x7f{}", 4 },     /* longer than the block */
		{ "\x85\x01\x02{}", 5 }, /* beyond the last number */
		{ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02{}", 14 }, /* no number at all */
		{ "\x00", 1 },
	};
	struct vz_block head = { .type = VZ_BLOCK_ARGS, .t0_ns = 10, .t1_ns = 100 };

	for (size_t i = 0; i < 4; i++) {
		size_t n, bytes;
		uint8_t *p = file_with(&head, cases[i].raw, cases[i].bytes, &n);
		struct vz_reader *r = open_bytes(p, n);
		char *json;

		for (uint64_t entry = 8; entry < 102; entry++)
			cr_expect_eq(vz_args_find(r, 0, entry, &json, &bytes), -ENOENT);
		vz_reader_free(r);
		free(p);
	}
}
