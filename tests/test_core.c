/* SPDX-License-Identifier: MIT */
/*
 * Core dumps as targets: the kernel's own, of each interpreter that is found, and damaged ones.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/pyver.h"
#include "attach/snapshot/native/core.h"
#include "attach/snapshot/native/core_priv.h"
#include "attach/snapshot/native/symbols.h"
#include "attach/unwind.h"
#include "attach/util.h"
#include "tests/subject.h"

enum { CUT_STEP = 4096, CUT_UNTIL = 64 << 10 };

/* The kernel's file name pattern decides whether a dump comes at all, and where. */
static bool dumps_come(void)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (vz_slurp("/proc/sys/kernel/core_pattern", 4096, &text, &len) < 0 || text[0] == '|' ||
	    strchr(text, '/') || strncmp(text, "core", 4) != 0)
		return false;
	return true;
}

extern const Elf64_Ehdr __ehdr_start; /* of this program, by the linker */

static const char program[] =
	"import threading, os, time\n"
	"marker = 'a string that is looked ' + 'for in the dump'\n"
	"threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
	"lock = threading.Lock(); lock.acquire()\n"
	"threading.Thread(target=lock.acquire, daemon=True).start()\n"
	"time.sleep(0.05)\n"
	"os.abort()\n";

struct dump {
	char dir[64], path[128];
	pid_t pid;
};

/* False: no dump came. */
static bool make_dump(struct dump *dump, const char *python)
{
	const struct dirent *entry;
	int status;
	DIR *dir;

	snprintf(dump->dir, sizeof(dump->dir), "/tmp/vz-core-XXXXXX");
	cr_assert_not_null(mkdtemp(dump->dir));
	dump->path[0] = '\0';
	dump->pid = fork();
	if (dump->pid == 0) {
		const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (chdir(dump->dir) < 0 || setrlimit(RLIMIT_CORE, &all) < 0 || dup2(null, 2) < 0)
			_exit(1);
		execl(python, python, "-c", program, (char *)NULL);
		_exit(1);
	}
	cr_assert_eq(waitpid(dump->pid, &status, 0), dump->pid);
	dir = opendir(dump->dir);
	while ((entry = readdir(dir))) {
		if (vz_starts_with(entry->d_name, "core"))
			snprintf(dump->path, sizeof(dump->path), "%s/%.32s", dump->dir,
				 entry->d_name);
	}
	closedir(dir);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && dump->path[0];
}

static void remove_dump(const struct dump *dump)
{
	if (dump->path[0])
		unlink(dump->path);
	rmdir(dump->dir);
}

/* TEXT somewhere in what the process could write. */
static bool has_text(const struct vz_core *core, const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < core->maps.count; i++) {
		const struct vz_map *map = &core->maps.items[i];
		size_t size = map->end - map->start;
		_cleanup_free_ char *bytes = NULL;

		if (!map->writable || size > 64 << 20)
			continue;
		bytes = malloc(size);
		if (bytes && vz_target_read(&core->target, map->start, bytes, size) == 0 &&
		    memmem(bytes, size, text, len))
			return true;
	}
	return false;
}

static void check_threads(const struct vz_core *core, const char *python)
{
	cr_expect_eq(core->nthreads, 3, "%s: %zu threads", python, core->nthreads);
	cr_expect_eq(core->threads[0].tid, core->pid, "%s", python);
	cr_expect(vz_starts_with(core->threads[0].comm, "python"), "%s: %s", python,
		  core->threads[0].comm);
	for (size_t i = 0; i < core->nthreads; i++) {
		const struct vz_cpu *cpu = &core->threads[i].cpu;
		const struct vz_map *code = vz_maps_find(&core->maps, vz_arch_pc(cpu));
		const struct vz_map *stack = vz_maps_find(&core->maps, vz_arch_sp(cpu));

		cr_expect(code && code->executable, "%s: thread %zu", python, i);
		cr_expect(stack && stack->writable, "%s: thread %zu", python, i);
		cr_expect(vz_arch_mode_ok(cpu));
	}
}

/* Names and stacks: through text that is not in the dump, but in files. */
static void check_stacks(const struct vz_core *core, const struct vz_objects *objects,
			 const char *python)
{
	struct vz_native_stack *stack = malloc(sizeof(*stack));
	struct vz_unwinder *unwinder;
	struct vz_symbols *symbols;
	struct vz_symbol symbol;

	cr_assert_eq(vz_unwinder_new(&core->target, &core->maps, objects, &unwinder), 0);
	cr_assert_eq(vz_symbols_new(&core->target, &core->maps, objects, &symbols), 0);
	for (size_t i = 0; i < core->nthreads; i++) {
		vz_unwind(unwinder, &core->threads[i].cpu, stack);
		cr_expect_gt(stack->count, 5, "%s: thread %zu: %zu frames", python, i,
			     stack->count);
		vz_symbols_find(symbols, vz_arch_pc(&core->threads[i].cpu), &symbol);
		cr_expect_not_null(strstr(symbol.object, "libc"), "%s: %s", python, symbol.object);
	}
	vz_symbols_free(symbols);
	vz_unwinder_free(unwinder);
	free(stack);
}

static void check_python(const struct vz_core *core, const char *python)
{
	static struct vz_python found;
	struct vz_objects objects;
	struct vz_err err;
	bool vdso = false;
	int rc;

	cr_assert_eq(vz_objects_read(&core->target, &core->maps, &objects, &err), 0);
	for (size_t i = 0; i < objects.count; i++)
		vdso |= !strcmp(vz_object_path(objects.items[i]), "[vdso]");
	cr_expect(vdso, "%s", python);
	cr_expect_gt(objects.count, 3, "%s", python);
	rc = vz_python_find(&core->target, &core->maps, &objects, &found, &err);
	cr_expect_eq(rc, 0, "%s: %s", python, err.why);
	cr_expect_eq(found.minor, python_minor(python), "%s: 3.%u", python, found.minor);
	check_stacks(core, &objects, python);
	vz_objects_fini(&objects);
}

/* As gdb's gcore writes them: segments that it would take from files are not in the table. */
static void forget_empty_segments(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	Elf64_Ehdr header;

	cr_assert_eq(pread(fd, &header, sizeof(header), 0), (ssize_t)sizeof(header));
	for (unsigned i = 0; i < header.e_phnum; i++) {
		off_t at = (off_t)(header.e_phoff + i * sizeof(Elf64_Phdr));
		Elf64_Phdr phdr;

		cr_assert_eq(pread(fd, &phdr, sizeof(phdr), at), (ssize_t)sizeof(phdr));
		if (phdr.p_type != PT_LOAD || phdr.p_filesz)
			continue;
		phdr.p_type = PT_NULL;
		cr_assert_eq(pwrite(fd, &phdr, sizeof(phdr), at), (ssize_t)sizeof(phdr));
	}
	close(fd);
}

Test(core, reads_dumps_of_each_interpreter, .timeout = 110)
{
	glob_t pythons;
	unsigned n = 0;

	if (!dumps_come())
		cr_skip_test("/proc/sys/kernel/core_pattern does not let dumps come here");
	find_pythons(&pythons);
	for (size_t i = 0; i < pythons.gl_pathc; i++) {
		const char *python = pythons.gl_pathv[i];
		struct vz_core *core;
		struct vz_err err;
		struct dump dump;

		if (!vz_pyver_find(python_minor(python)))
			continue;
		if (!make_dump(&dump, python)) {
			cr_log_warn("skipped: %s: no dump came", python);
			remove_dump(&dump);
			continue;
		}
		cr_assert_eq(vz_core_open(dump.path, &core, &err), 0, "%s: %s", python, err.why);
		cr_expect_eq(core->pid, dump.pid);
		cr_expect_eq(core->target.pid, 0);
		cr_expect_eq(core->signal, SIGABRT);
		cr_expect_eq(core->missing_bytes, 0);
		cr_expect(vz_starts_with(vz_basename(core->target.exe), "python"), "%s",
			  core->target.exe);
		check_threads(core, python);
		cr_expect(has_text(core, "a string that is looked for in the dump"), "%s", python);
		cr_expect_not(has_text(core, "a string that is "
					     "not in the dump"),
			      "%s", python);
		check_python(core, python);
		vz_core_close(core);
		forget_empty_segments(dump.path);
		cr_assert_eq(vz_core_open(dump.path, &core, &err), 0, "%s: %s", python, err.why);
		check_python(core, python);
		vz_core_close(core);
		remove_dump(&dump);
		n++;
	}
	globfree(&pythons);
	if (!n)
		cr_skip_test("no interpreter whose dump could be made");
}

/* ---- files that the dump relies on ---- */

static const char dies[] = "VZ_TEST_CORE_DIES";

/* A copy of this program that is run with the variable set ends with a dump. */
__attribute__((constructor)) static void die_here(void)
{
	if (getenv(dies))
		abort();
}

static bool dump_copy(struct dump *dump, char *copy, size_t size)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char command[8192];

	cr_assert_gt(n, 0);
	self[n] = '\0';
	snprintf(copy, size, "/tmp/vz-core-copy-%d", (int)getpid());
	snprintf(command, sizeof(command), "cp '%s' %s", self, copy);
	cr_assert_eq(system(command), 0);
	setenv(dies, "1", 1);
	return make_dump(dump, copy);
}

/* Code is in no dump: it comes from the file, and from no other one. */
Test(core, reads_left_out_bytes_of_the_same_file_only)
{
	uint8_t own[64], bytes[64];
	struct vz_objects objects;
	struct vz_core *core;
	struct vz_build_id id;
	struct dump dump;
	struct vz_err err;
	char copy[64];
	uint64_t place;

	if (!dumps_come() || !dump_copy(&dump, copy, sizeof(copy)))
		cr_skip_test("no dump comes here");
	memcpy(own, (const void *)(uintptr_t)dump_copy, sizeof(own));
	for (int other = 0; other < 2; other++) {
		if (other) {
			unlink(copy);
			cr_assert_eq(symlink("/proc/self/exe", copy), 0);
		}
		cr_assert_eq(vz_core_open(dump.path, &core, &err), 0, "%s", err.why);
		cr_assert_eq(vz_objects_read(&core->target, &core->maps, &objects, &err), 0);
		cr_assert_str_eq(vz_object_path(objects.items[0]), copy);
		if (vz_object_build_id(objects.items[0], &id) < 0)
			cr_skip_test("linked without a build id");
		place = (uintptr_t)dump_copy - (uintptr_t)&__ehdr_start +
			vz_object_bias(objects.items[0]);
		cr_expect_eq(vz_target_read(&core->target, place, bytes, sizeof(bytes)), 0);
		cr_expect_arr_eq(bytes, own, sizeof(own));
		vz_objects_fini(&objects);
		vz_core_close(core);
	}
	unlink(copy);
	cr_assert_eq(symlink("/bin/sh", copy), 0);
	cr_assert_eq(vz_core_open(dump.path, &core, &err), 0, "%s", err.why);
	cr_assert_eq(vz_objects_read(&core->target, &core->maps, &objects, &err), 0);
	cr_expect_eq(vz_target_read(&core->target, place, bytes, sizeof(bytes)), -EFAULT);
	vz_objects_fini(&objects);
	vz_core_close(core);
	unlink(copy);
	remove_dump(&dump);
}

/* ---- made by hand ---- */

enum {
	MEMORY = 0x10000,
	TEXT_AT = 0x20000,
	MADE_BYTES = 0x4000,
};

struct __attribute__((packed)) made { /* notes are aligned to four bytes only */
	Elf64_Ehdr header;
	Elf64_Phdr phdrs[4];
	Elf64_Nhdr status_note;
	char status_name[8];
	struct elf_prstatus status;
	Elf64_Nhdr info_note;
	char info_name[8];
	struct elf_prpsinfo info;
	Elf64_Nhdr file_note;
	char file_name[8];
	uint64_t file_head[2], file_line[3];
	char file_path[16];
	char memory[64];
};

static Elf64_Nhdr note_of(uint32_t type, size_t len)
{
	return (Elf64_Nhdr){ .n_namesz = 5, .n_descsz = (uint32_t)len, .n_type = type };
}

static struct made *new_made(void)
{
	struct made *m = calloc(1, MADE_BYTES);

	memcpy(m->header.e_ident, ELFMAG, SELFMAG);
	m->header.e_ident[EI_CLASS] = ELFCLASS64;
	m->header.e_ident[EI_DATA] = ELFDATA2LSB;
	m->header.e_type = ET_CORE;
	m->header.e_machine = EM_X86_64;
	m->header.e_phoff = offsetof(struct made, phdrs);
	m->header.e_phentsize = sizeof(Elf64_Phdr);
	m->header.e_phnum = 4;
	m->phdrs[0] = (Elf64_Phdr){ .p_type = PT_NOTE,
				    .p_offset = offsetof(struct made, status_note),
				    .p_filesz = offsetof(struct made, memory) -
						offsetof(struct made, status_note) };
	m->phdrs[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
				    .p_flags = PF_R | PF_W,
				    .p_vaddr = MEMORY,
				    .p_offset = offsetof(struct made, memory),
				    .p_filesz = 64,
				    .p_memsz = 0x2000 };
	m->phdrs[2] = (Elf64_Phdr){ .p_type = PT_LOAD,
				    .p_flags = PF_R | PF_X,
				    .p_vaddr = TEXT_AT,
				    .p_offset = offsetof(struct made, memory),
				    .p_memsz = 0x1000 };
	m->status_note = note_of(NT_PRSTATUS, sizeof(m->status));
	m->info_note = note_of(NT_PRPSINFO, sizeof(m->info));
	m->file_note = note_of(NT_FILE,
			       sizeof(m->file_head) + sizeof(m->file_line) + sizeof(m->file_path));
	memcpy(m->status_name, "CORE", 5);
	memcpy(m->info_name, "CORE", 5);
	memcpy(m->file_name, "CORE", 5);
	m->status.pr_pid = 77;
	m->status.pr_cursig = SIGSEGV;
	m->info.pr_pid = 77;
	memcpy(m->info.pr_fname, "made\x1bup", 8);
	m->file_head[0] = 1;
	m->file_head[1] = 4096;
	m->file_line[0] = TEXT_AT;
	m->file_line[1] = TEXT_AT + 0x1000;
	memcpy(m->file_path, "/x (deleted)", 13);
	memcpy(m->memory, "memory", 7);
	return m;
}

static int open_bytes(const void *bytes, size_t len, struct vz_core **ret, struct vz_err *err)
{
	int fd = memfd_create("core", MFD_CLOEXEC), rc;
	char path[64];

	cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = vz_core_open(path, ret, err);
	close(fd);
	return rc;
}

Test(core, reads_what_is_made_by_hand)
{
	struct made *m = new_made();
	struct vz_core *core;
	struct vz_err err;
	char text[64];

	cr_assert_eq(open_bytes(m, sizeof(*m), &core, &err), 0, "%s", err.why);
	cr_expect_eq(core->pid, 77);
	cr_expect_eq(core->signal, SIGSEGV);
	cr_expect_str_eq(core->target.comm, "made?up");
	cr_assert_eq(core->nthreads, 1);
	cr_expect_eq(core->threads[0].tid, 77);
	cr_assert_eq(core->maps.count, 2);
	cr_expect(core->maps.items[0].writable && !core->maps.items[0].executable);
	cr_expect(core->maps.items[1].executable && !core->maps.items[1].writable);
	cr_expect_str_eq(core->maps.items[1].path, "/x");
	cr_expect(core->maps.items[1].deleted);
	cr_expect_eq(vz_target_read_string(&core->target, MEMORY, text, sizeof(text)), 0);
	cr_expect_str_eq(text, "memory");
	cr_expect_eq(vz_target_read(&core->target, MEMORY, text, 64), 0);
	/* what is not in the dump is not zero, but unknown */
	cr_expect_eq(vz_target_read(&core->target, MEMORY + 1, text, 64), -EFAULT);
	cr_expect_eq(vz_target_read(&core->target, TEXT_AT, text, 1), -EFAULT);
	cr_expect_eq(vz_target_read(&core->target, 0, text, 1), -EFAULT);
	cr_expect_eq(vz_target_read(&core->target, UINT64_MAX - 3, text, 8), -EFAULT);
	cr_expect_eq(vz_target_write(&core->target, MEMORY, text, 1), -EPERM);
	vz_core_close(core);
	free(m);
}

Test(core, says_what_is_missing)
{
	struct made *m = new_made();
	struct vz_core *core;
	struct vz_err err;
	char text[64];

	cr_assert_eq(open_bytes(m, sizeof(*m) - 60, &core, &err), 0);
	cr_expect_eq(core->missing_bytes, 60);
	cr_expect_eq(vz_target_read(&core->target, MEMORY, text, 4), 0);
	cr_expect_eq(vz_target_read(&core->target, MEMORY, text, 5), -EFAULT);
	vz_core_close(core);
	free(m);
}

Test(core, refuses_what_is_no_core_dump)
{
	static const struct {
		const char *label;
		size_t at;
		const char *bytes;
		size_t len;
		enum vz_exit exit;
	} cases[] = {
		{ "magic", 0, "x", 1, VZ_EXIT_USAGE },
		{ "zstd", 0, "\x28\xb5\x2f\xfd", 4, VZ_EXIT_USAGE },
		{ "gzip", 0, "\x1f\x8b", 2, VZ_EXIT_USAGE },
		{ "program", offsetof(Elf64_Ehdr, e_type), "\2", 1, VZ_EXIT_USAGE },
		{ "32-bit", EI_CLASS, "\1", 1, VZ_EXIT_UNSUPPORTED },
		{ "big-endian", EI_DATA, "\2", 1, VZ_EXIT_UNSUPPORTED },
		{ "machine", offsetof(Elf64_Ehdr, e_machine), "\3", 1, VZ_EXIT_UNSUPPORTED },
		{ "no headers", offsetof(Elf64_Ehdr, e_phnum), "\0", 1, VZ_EXIT_USAGE },
		{ "headers elsewhere", offsetof(Elf64_Ehdr, e_phoff) + 6, "\1", 1, VZ_EXIT_USAGE },
		{ "no threads", offsetof(struct made, status_note.n_type), "\0", 1, VZ_EXIT_USAGE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct made *m = new_made();
		struct vz_core *core;
		struct vz_err err = { 0 };

		memcpy((char *)m + cases[i].at, cases[i].bytes, cases[i].len);
		cr_expect_lt(open_bytes(m, sizeof(*m), &core, &err), 0, "%s", cases[i].label);
		cr_expect_eq(err.exit, cases[i].exit, "%s: %s", cases[i].label, err.why);
		cr_expect_neq(err.why[0], '\0', "%s", cases[i].label);
		free(m);
	}
}

Test(core, refuses_what_is_no_file)
{
	static const char *const paths[] = { "/nowhere/core", "/tmp", "/dev/null", "" };
	struct vz_core *core;
	struct vz_err err;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		cr_expect_lt(vz_core_open(paths[i], &core, &err), 0, "%s", paths[i]);
		cr_expect_eq(err.exit, VZ_EXIT_USAGE, "%s", paths[i]);
	}
	vz_core_close(NULL);
}

/* All that is asked of a core dump. */
static void ask(const void *bytes, size_t len)
{
	static struct vz_python python;
	struct vz_objects objects;
	struct vz_core *core;
	struct vz_err err;
	char text[256];

	if (open_bytes(bytes, len, &core, &err) < 0)
		return;
	for (size_t i = 0; i < core->maps.count; i++) {
		vz_target_read(&core->target, core->maps.items[i].start, text, sizeof(text));
		vz_target_read(&core->target, core->maps.items[i].end - 8, text, sizeof(text));
	}
	if (vz_objects_read(&core->target, &core->maps, &objects, &err) == 0) {
		vz_python_find(&core->target, &core->maps, &objects, &python, &err);
		vz_objects_fini(&objects);
	}
	vz_core_close(core);
}

Test(core, survives_any_damaged_byte, .timeout = 100)
{
	static const uint8_t values[] = { 0, 0x7f, 0xff };
	struct made *m = new_made();
	uint8_t *bytes = (uint8_t *)m;

	for (size_t at = 0; at < sizeof(*m); at++) {
		uint8_t kept = bytes[at];

		for (size_t i = 0; i < sizeof(values); i++) {
			bytes[at] = values[i];
			ask(m, sizeof(*m));
		}
		bytes[at] = kept;
		ask(m, at);
	}
	free(m);
}

Test(core, survives_cut_and_damaged_dumps, .timeout = 110)
{
	uint64_t random = 88172645463325252u;
	glob_t pythons;
	struct dump dump;
	char *bytes;
	size_t len;

	find_pythons(&pythons);
	if (!dumps_come() || !pythons.gl_pathc ||
	    !make_dump(&dump, pythons.gl_pathv[pythons.gl_pathc - 1]))
		cr_skip_test("no dump of an interpreter could be made");
	cr_assert_eq(vz_slurp(dump.path, 256 << 20, &bytes, &len), 0);
	remove_dump(&dump);
	for (size_t cut = 0; cut <= CUT_UNTIL; cut += CUT_STEP)
		ask(bytes, cut);
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 8; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			bytes[random % CUT_UNTIL] = (char)(random >> 32);
		}
		ask(bytes, len / 4);
	}
	free(bytes);
	globfree(&pythons);
}

Test(core, parses_names_of_files)
{
	static const struct {
		uint64_t head[2];
		size_t len;
		int rc;
		size_t count;
	} cases[] = {
		{ { 0, 4096 }, 16, 0, 0 },      { { 1, 4096 }, 16, -EINVAL, 0 },
		{ { 1, 0 }, 64, -EINVAL, 0 },   { { UINT64_MAX, 4096 }, 64, -EINVAL, 0 },
		{ { 1, 4096 }, 8, -EINVAL, 0 }, { { 1, UINT64_MAX }, 64, -EINVAL, 0 },
		{ { 1, 4096 }, 64, 0, 1 },      { { 2, 4096 }, 64, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vz_core_names names;
		uint64_t *words = calloc(1, cases[i].len + 8);

		memcpy(words, cases[i].head, cases[i].len < 16 ? cases[i].len : 16);
		if (cases[i].len >= 64) {
			words[2] = 0x1000;
			words[3] = 0x2000;
		}
		cr_expect_eq(vz_core_names_parse((char *)words, cases[i].len, &names), cases[i].rc,
			     "%zu", i);
		cr_expect_eq(cases[i].count <= names.count || cases[i].rc < 0, true, "%zu", i);
		vz_core_names_fini(&names);
	}
}
