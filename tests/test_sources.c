/* SPDX-License-Identifier: MIT */
/* Source text in a trace: which files get in, and which do not although the target names them. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/sources.h"
#include "attach/tracefile.h"
#include "viewer/reader.h"

enum { OTHER_USER = 54321 };

static char dir[] = "/tmp/vizattach-source-XXXXXX";

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void make(const char *name, const char *text, size_t n, mode_t mode)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fchmod(fd, mode), 0);
	cr_assert_eq(write(fd, text, n), (ssize_t)n);
	close(fd);
}

static void setup(void)
{
	static char large[VZ_SOURCES_FILE_BYTES + 1];

	memset(large, '#', sizeof(large));
	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chmod(dir, 0755), 0);
	make("good.py", "pass\n", 5, 0644);
	make("secret", "root:x\n", 7, 0600);
	make("binary", "a\0b", 3, 0644);
	make("large.py", large, sizeof(large), 0644);
	make("limit.py", large, VZ_SOURCES_FILE_BYTES, 0644);
	cr_assert_eq(mkfifo(path_of("fifo"), 0644), 0);
	cr_assert_eq(symlink("good.py", path_of("link.py")), 0);
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	cr_assert_eq(system(command), 0);
}

static uint64_t varint(const uint8_t **p)
{
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7) {
		v |= (uint64_t)(**p & 0x7f) << shift;
		if (!(*(*p)++ & 0x80))
			return v;
	}
}

/* Is NAME in the trace at FD?  With which text: its first five bytes. */
static bool is_in(int fd, const char *name, char text[8])
{
	struct vz_trouble trouble;
	struct vz_reader *r;
	char path[64];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	cr_assert_eq(vz_reader_open(path, &r, &trouble), 0);
	for (uint32_t i = 0; i < vz_reader_nextras(r); i++) {
		struct vz_block head;
		const uint8_t *p;
		uint64_t n;

		cr_assert_eq(vz_reader_load_extra(r, i, &head, &p), 0);
		n = varint(&p);
		if (n != strlen(name) || memcmp(p, name, n) != 0)
			continue;
		p += n;
		n = varint(&p);
		snprintf(text, 8, "%.*s", n < 5 ? (int)n : 5, (const char *)p);
		found = true;
	}
	vz_reader_free(r);
	return found;
}

static void name_all(struct vz_sources *s)
{
	static const char *const names[] = { "good.py",  "good.py", "secret",  "binary", "large.py",
					     "limit.py", "fifo",    "link.py", "absent", "." };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		vz_sources_add(s, path_of(names[i]), strlen(path_of(names[i])));
	vz_sources_add(s, "<string>", 8);
	vz_sources_add(s, "", 0);
}

static int write_trace(const struct vz_sources *s, uid_t uid, struct vz_sources_done *done)
{
	int proc_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = memfd_create("trace", MFD_CLOEXEC);
	struct vz_tracefile *tf;
	struct vz_err err;

	cr_assert(proc_fd >= 0 && fd >= 0);
	cr_assert_eq(vz_tracefile_new(fd, 1, 1, 1, &tf, &err), 0);
	vz_sources_write(s, proc_fd, uid, uid, tf, done);
	cr_assert_eq(vz_tracefile_finish(tf, 2, "", &err), 0);
	vz_tracefile_free(tf);
	close(proc_fd);
	return fd;
}

Test(sources, only_what_the_user_of_the_target_can_read, .init = setup, .fini = teardown)
{
	struct vz_sources *s = vz_sources_new();
	struct vz_sources_done done;
	char text[8] = "";
	int fd;

	name_all(s);
	fd = write_trace(s, OTHER_USER, &done);
	cr_expect(done.files == 3 && done.left_out == 6, "%u, %u", done.files, done.left_out);
	cr_expect(is_in(fd, path_of("good.py"), text) && !strcmp(text, "pass\n"), "%s", text);
	cr_expect(is_in(fd, path_of("link.py"), text) && !strcmp(text, "pass\n"), "%s", text);
	cr_expect(is_in(fd, path_of("limit.py"), text));
	cr_expect_not(is_in(fd, path_of("secret"), text));
	cr_expect_not(is_in(fd, path_of("large.py"), text));
	close(fd);
	fd = write_trace(s, getuid(), &done);
	cr_expect(is_in(fd, path_of("secret"), text));
	close(fd);
	vz_sources_free(s);
}
