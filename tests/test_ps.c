/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>

#include "attach/ps.h"
#include "tests/subject.h"

/* ---- which files ---- */

static int file_with(const void *bytes, size_t len)
{
	char path[] = "/tmp/vz-ps-XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	unlink(path);
	cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
	return fd;
}

Test(ps, programs_that_are_python)
{
	glob_t found;
	int fd = open("/bin/sh", O_RDONLY);

	cr_assert_not(vz_ps_exports_python(fd));
	close(fd);
	find_below_prefixes("bin/python3.[0-9]*[0-9]", &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct subject s;
		struct vz_err err;
		struct vz_processes all;
		bool listed = false;

		if (!subject_python(&s, found.gl_pathv[i], "ready()"))
			continue;
		cr_assert_eq(vz_ps_read(&all, &err), 0);
		for (size_t k = 0; k < all.count; k++)
			listed = listed || all.items[k].pid == s.pid;
		cr_assert(listed, "%s", found.gl_pathv[i]);
		vz_ps_free(&all);
		subject_end(&s);
	}
	globfree(&found);
}

Test(ps, files_that_are_no_programs)
{
	Elf64_Ehdr header = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64 },
			      .e_phentsize = sizeof(Elf64_Phdr),
			      .e_phnum = 2,
			      .e_phoff = sizeof(Elf64_Ehdr) };
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr load, dynamic;
		Elf64_Dyn names, size, end;
		char text[32];
	} file = {
		.header = header,
		.load = { .p_type = PT_LOAD, .p_filesz = sizeof(file) },
		.dynamic = { .p_type = PT_DYNAMIC, .p_offset = offsetof(typeof(file), names) },
		.names = { DT_STRTAB, { offsetof(typeof(file), text) } },
		.size = { DT_STRSZ, { sizeof(file.text) } },
		.text = "\0PyGILState_Ensure",
	};
	int fd = file_with(&file, sizeof(file));

	cr_assert(vz_ps_exports_python(fd));
	close(fd);
	/* Sizes and places that lie. */
	file.size.d_un.d_val = UINT64_MAX;
	fd = file_with(&file, sizeof(file));
	cr_assert_not(vz_ps_exports_python(fd));
	close(fd);
	file.size.d_un.d_val = sizeof(file.text) + 1;
	fd = file_with(&file, sizeof(file));
	cr_assert_not(vz_ps_exports_python(fd));
	close(fd);
	file.header.e_phoff = UINT64_MAX - 8;
	fd = file_with(&file, sizeof(file));
	cr_assert_not(vz_ps_exports_python(fd));
	close(fd);
	for (size_t len = 0; len < sizeof(file); len += 7) {
		fd = file_with(&file, len);
		cr_assert_not(vz_ps_exports_python(fd));
		close(fd);
	}
}

/* ---- what it prints ---- */

static struct vz_process two[2] = {
	{ .pid = 42,
	  .uid = 7,
	  .user = "me",
	  .python = "3.11.2",
	  .where = "here",
	  .command = "python3 a\033[2Jpp.py --long-option --another-one --and-more" },
	{ .pid = 43,
	  .uid = 0,
	  .user = "a-very-long-name",
	  .where = "container",
	  .command = "caf\xff",
	  .exit = VZ_EXIT_UNSAFE,
	  .why = "it is stopped",
	  .hint = "kill -CONT 43" },
};

Test(ps, a_table_that_fits)
{
	struct vz_processes all = { two, 2 };
	size_t len;
	char *text = vz_ps_text(&all, 70, false, &len);

	cr_assert_str_eq(text,
			 "           PID  USER        PYTHON    WHERE      COMMAND\n"
			 "  ok        42  me          3.11.2    here       python3 a?[2Jpp.py --\n"
			 "  no        43  a-very-lon  ?         container  caf\xff\n"
			 "              it is stopped\n");
	cr_assert_eq(len, strlen(text));
	free(text);
}

Test(ps, json)
{
	struct vz_processes all = { two + 1, 1 };
	size_t len;
	char *text = vz_ps_json(&all, &len);

	cr_assert_str_eq(text, "{\"schema\":1,\"processes\":[{\"pid\":43,\"uid\":0,"
			       "\"user\":\"a-very-long-name\",\"python\":\"\","
			       "\"where\":\"container\",\"command\":\"caf\\ufffd\","
			       "\"attachable\":false,\"exit\":7,\"why\":\"it is stopped\","
			       "\"try\":\"kill -CONT 43\"}]}\n");
	free(text);
	all.count = 0;
	text = vz_ps_json(&all, &len);
	cr_assert_str_eq(text, "{\"schema\":1,\"processes\":[]}\n");
	free(text);
}

Test(ps, the_longest_entry_is_not_cut)
{
	struct vz_process p = { .pid = 1 << 22, .exit = VZ_EXIT_UNSAFE };
	struct vz_processes all = { &p, 1 };
	size_t len;
	char *text;

	memset(p.user, 1, sizeof(p.user) - 1);
	memset(p.python, 1, sizeof(p.python) - 1);
	memset(p.command, 1, sizeof(p.command) - 1);
	memset(p.why, 1, sizeof(p.why) - 1);
	memset(p.hint, 1, sizeof(p.hint) - 1);
	text = vz_ps_json(&all, &len);
	cr_assert_str_eq(text + len - 4, "}]}\n");
	free(text);
}
