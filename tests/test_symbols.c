/* SPDX-License-Identifier: MIT */
/*
 * Names for native code: this program itself is the target, or a copy of it that sleeps; what
 * it was copied, stripped, cut or deleted for is told at each test.
 */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach/snapshot/native/elffile.h"
#include "attach/snapshot/native/symbols.h"
#include "attach/snapshot/native/symtab.h"
#include "attach/util.h"

static const char asleep[] = "VZ_TEST_SYMBOLS_SLEEP";

/* A copy of this program that is run with the variable set just waits. */
__attribute__((constructor)) static void wait_here(void)
{
	if (!getenv(asleep))
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

__attribute__((noinline)) static int a_static_function(int n)
{
	__asm__ volatile("" : "+r"(n)::"memory");
	return n + 1;
}

struct look {
	struct vz_target target;
	struct vz_maps maps;
	struct vz_objects objects;
	struct vz_symbols *symbols;
	struct vz_err err;
};

static void look_at(struct look *look, pid_t pid)
{
	cr_assert_eq(vz_target_open(pid, &look->target, &look->err), 0);
	cr_assert_eq(vz_maps_read(pid, &look->maps, &look->err), 0);
	cr_assert_eq(vz_objects_read(&look->target, &look->maps, &look->objects, &look->err), 0);
	cr_assert_eq(vz_symbols_new(&look->target, &look->maps, &look->objects, &look->symbols), 0);
}

static void look_away(struct look *look)
{
	vz_symbols_free(look->symbols);
	vz_objects_fini(&look->objects);
	vz_maps_fini(&look->maps);
	vz_target_close(&look->target);
}

/* ---- tables ---- */

static struct vz_symtab table_of(const struct vz_sym *syms, size_t count, const char *names,
				 size_t len)
{
	struct vz_symtab table = { .names = names, .names_len = len };

	for (size_t i = 0; i < count; i++)
		cr_assert_eq(vz_symtab_add(&table, &syms[i]), 0);
	vz_symtab_sort(&table);
	return table;
}

static const char *name_at(const struct vz_symtab *table, uint64_t address)
{
	const struct vz_sym *sym = vz_symtab_find(table, address);
	static char name[64];

	name[0] = '\0';
	if (sym)
		vz_symtab_name(table, sym, name, sizeof(name));
	return name;
}

Test(symbols, respects_sizes)
{
	/* clang-format off */
	static const char names[] = "\0outer\0inner\0label\0asm\0next\0far";
	static const struct vz_sym syms[] = {
		{ 0x9000, 0,    28, 1 }, /* far: nothing behind it */
		{ 0x1000, 0x80,  1, 1 },
		{ 0x1020, 0x10,  7, 1 },
		{ 0x1040, 0,    13, 1 },
		{ 0x2000, 0,    19, 1 },
		{ 0x2040, 0x10, 23, 1 },
	};
	static const struct { uint64_t address; const char *name; } cases[] = {
		{ 0xfff, "" }, { 0x1000, "outer" }, { 0x101f, "outer" },
		{ 0x1020, "inner" }, { 0x102f, "inner" }, { 0x1030, "outer" },
		{ 0x1040, "outer" }, { 0x107f, "outer" },
		{ 0x1080, "" }, /* the label is in outer, and does not go on behind it */
		{ 0x2000, "asm" }, { 0x203f, "asm" }, { 0x2040, "next" }, { 0x204f, "next" },
		{ 0x2050, "" }, { 0x8fff, "" }, { 0x9000, "far" }, { 0x9fff, "far" }, { 0xa000, "" },
		{ UINT64_MAX, "" }, { 0, "" },
	};
	/* clang-format on */
	struct vz_symtab table =
		table_of(syms, sizeof(syms) / sizeof(syms[0]), names, sizeof(names));

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_str_eq(name_at(&table, cases[i].address), cases[i].name, "%llx",
				 (unsigned long long)cases[i].address);
	vz_symtab_fini(&table);
}

Test(symbols, prefers_the_name_that_people_know)
{
	static const char names[] = "\0__libc_read\0__read\0read";
	static const struct vz_sym syms[] = { { 0x1000, 16, 13, 0 },
					      { 0x1000, 16, 20, 0 },
					      { 0x1000, 16, 1, 0 } };
	static const unsigned binds[] = { STB_GLOBAL, STB_WEAK, STB_GLOBAL };
	struct vz_symtab table = { .names = names, .names_len = sizeof(names) };

	for (size_t i = 0; i < 3; i++) {
		struct vz_sym sym = syms[i];

		sym.rank = vz_symtab_rank(names + sym.name, binds[i]);
		cr_assert_eq(vz_symtab_add(&table, &sym), 0);
	}
	vz_symtab_sort(&table);
	cr_assert_str_eq(name_at(&table, 0x1008), "read");
	vz_symtab_fini(&table);
	cr_assert_gt(vz_symtab_rank("f", STB_GLOBAL), vz_symtab_rank("f", STB_LOCAL));
}

Test(symbols, ends_for_names_that_are_not_there)
{
	static const struct vz_sym syms[] = { { 0x1000, 16, 5, 0 } };
	struct vz_symtab table = table_of(syms, 1, "abc", 4);

	cr_assert_str_eq(name_at(&table, 0x1000), "");
	vz_symtab_fini(&table);
	cr_assert_null(vz_symtab_find(&table, 0));
}

/* ---- perf maps ---- */

static struct vz_symtab perf_of(const char *text)
{
	struct vz_symtab table;

	cr_assert_eq(vz_symtab_perf(strdup(text), strlen(text), &table), 0);
	return table;
}

Test(symbols, parses_perf_maps)
{
	struct vz_symtab table = perf_of("7f0010 20 py::work:/srv/app one.py\n"
					 "0x7f0040 0x10 LazyCompile:~a b c\n"
					 "7f0060 10 old\n"
					 "7f0060 10 new\n"
					 "7f0080 10 last without an end");

	cr_assert_eq(table.count, 5);
	cr_assert_str_eq(name_at(&table, 0x7f0010), "py::work:/srv/app one.py");
	cr_assert_str_eq(name_at(&table, 0x7f002f), "py::work:/srv/app one.py");
	cr_assert_str_eq(name_at(&table, 0x7f0030), "");
	cr_assert_str_eq(name_at(&table, 0x7f0040), "LazyCompile:~a b c");
	cr_assert_str_eq(name_at(&table, 0x7f006f), "new");
	cr_assert_str_eq(name_at(&table, 0x7f0080), "last without an end");
	vz_symtab_fini(&table);
}

Test(symbols, skips_what_is_no_perf_map)
{
	static const char *const texts[] = {
		"",
		"\n\n\n",
		"7f",
		"7f ",
		"7f 10",
		"7f 10 ",
		"7f 10 \n",
		"7f 0 nothing\n",
		"xyz 10 a\n",
		"7f xyz a\n",
		"-7f 10 a\n",
		"7f -10 a\n",
		"0x 10 a\n",
		"11111111111111111 10 too large\n",
		"7f 11111111111111111 too large\n",
		" 7f 10 a\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct vz_symtab table = perf_of(texts[i]);

		cr_expect_eq(table.count, 0, "%s", texts[i]);
		vz_symtab_fini(&table);
	}
}

Test(symbols, takes_generated_code_from_the_perf_map)
{
	char path[64];
	struct vz_symbol symbol;
	struct look look = { 0 };
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *file;

	cr_assert_neq(code, MAP_FAILED);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fprintf(file, "%llx 40 made\x1bup\n", (unsigned long long)(uintptr_t)code + 16);
	fclose(file);
	look_at(&look, getpid());
	vz_symbols_find(look.symbols, (uintptr_t)code + 20, &symbol);
	unlink(path);
	cr_assert_str_eq(symbol.name, "made?up");
	cr_assert_str_eq(symbol.object, "perf map");
	cr_assert_eq(symbol.offset, 4);
	vz_symbols_find(look.symbols, (uintptr_t)code + 16 + 0x40, &symbol);
	cr_assert_str_eq(symbol.name, "");
	look_away(&look);
}

Test(symbols, does_not_believe_a_link_in_tmp)
{
	char path[64];
	struct vz_symbol symbol;
	struct look look = { 0 };
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	cr_assert_eq(symlink("/proc/self/maps", path), 0);
	look_at(&look, getpid());
	vz_symbols_find(look.symbols, (uintptr_t)code + 20, &symbol);
	unlink(path);
	cr_assert_str_eq(symbol.name, "");
	look_away(&look);
}

/* ---- this process ---- */

Test(symbols, names_functions_that_are_not_exported)
{
	struct vz_symbol symbol;
	struct look look = { 0 };

	cr_assert_eq(a_static_function(1), 2);
	look_at(&look, getpid());
	vz_symbols_find(look.symbols, (uintptr_t)a_static_function, &symbol);
	cr_assert_str_eq(symbol.name, "a_static_function");
	cr_assert_eq(symbol.offset, 0);
	cr_assert_str_eq(symbol.object, look.target.exe);
	vz_symbols_find(look.symbols, (uintptr_t)a_static_function + 1, &symbol);
	cr_assert_str_eq(symbol.name, "a_static_function");
	cr_assert_eq(symbol.offset, 1);
	look_away(&look);
}

Test(symbols, names_functions_of_libraries_and_of_the_vdso)
{
	struct vz_symbol symbol;
	struct look look = { 0 };

	look_at(&look, getpid());
	for (size_t i = 0; i < look.objects.count; i++) {
		const struct vz_object *object = look.objects.items[i];
		bool vdso = !strcmp(vz_object_path(object), "[vdso]");
		const char *name = vdso ? "__vdso_clock_gettime" : "qsort_r";
		uint64_t raddr = vz_object_symbol(object, name, NULL);

		if (!raddr || (!vdso && strcmp(vz_object_soname(object), "libc.so.6")))
			continue;
		vz_symbols_find(look.symbols, raddr, &symbol);
		cr_expect_not_null(strstr(symbol.name, vdso ? "clock_gettime" : "qsort_r"), "%s",
				   symbol.name);
		cr_expect_null(strchr(symbol.name, '@'));
		cr_expect_str_eq(symbol.object, vz_object_path(object));
	}
	look_away(&look);
}

Test(symbols, has_no_name_for_what_is_not_there)
{
	struct vz_symbol symbol;
	struct look look = { 0 };
	uint64_t start, end;

	look_at(&look, getpid());
	vz_symbols_find(look.symbols, 0, &symbol);
	cr_assert_str_eq(symbol.name, "");
	cr_assert_str_eq(symbol.object, "");
	vz_symbols_find(look.symbols, UINT64_MAX, &symbol);
	cr_assert_str_eq(symbol.name, "");
	vz_object_range(look.objects.items[0], &start, &end);
	vz_symbols_find(look.symbols, start + 8, &symbol); /* the ELF header */
	cr_assert_str_eq(symbol.name, "");
	cr_assert_str_eq(symbol.object, look.target.exe);
	cr_assert_eq(symbol.offset, 8);
	look_away(&look);
}

Test(symbols, build_id_of_memory_is_that_of_the_file)
{
	struct vz_build_id memory, file;
	struct vz_elffile elf;
	struct look look = { 0 };

	look_at(&look, getpid());
	cr_assert_eq(vz_elffile_open("/proc/self/exe", &elf), 0);
	if (vz_elffile_build_id(&elf, &file) < 0)
		cr_skip_test("linked without a build id");
	cr_assert_eq(vz_object_build_id(look.objects.items[0], &memory), 0);
	cr_assert(vz_build_id_equal(&memory, &file));
	file.bytes[0] ^= 1;
	cr_assert_not(vz_build_id_equal(&memory, &file));
	memset(&memory, 0, sizeof(memory));
	cr_assert_not(vz_build_id_equal(&memory, &memory)); /* none is not the same as none */
	vz_elffile_close(&elf);
	look_away(&look);
}

Test(symbols, finds_build_ids_only_in_whole_notes)
{
	uint8_t notes[64] = { 4,   0,   0,   0, 8, 0, 0, 0, 3, 0, 0, 0,
			      'G', 'N', 'U', 0, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct vz_build_id id;

	cr_assert_eq(vz_build_id_parse(notes, 24, 4, &id), 0);
	cr_assert_eq(id.len, 8);
	cr_assert_eq(id.bytes[7], 8);
	for (size_t len = 0; len < 24; len++)
		cr_expect_eq(vz_build_id_parse(notes, len, 4, &id), -ENOENT, "%zu", len);
	notes[4] = 65; /* longer than any */
	cr_assert_eq(vz_build_id_parse(notes, sizeof(notes), 4, &id), -ENOENT);
	memset(notes, 0xff, 12);
	cr_assert_eq(vz_build_id_parse(notes, sizeof(notes), 8, &id), -ENOENT);
}

/* ---- copies ---- */

struct copy {
	char dir[64], exe[128];
	pid_t pid;
};

__attribute__((format(printf, 1, 2))) static int shell(const char *fmt, ...)
{
	char line[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	return system(line);
}

/* Until it is that program, and waits; false: it has ended. */
static bool until_it_waits(const struct copy *copy)
{
	while (kill(copy->pid, 0) == 0) {
		char path[64], now[4096] = "", state = '\0';
		struct vz_task task;
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/exe", (int)copy->pid);
		n = readlink(path, now, sizeof(now) - 1);
		if (vz_task_read(copy->pid, copy->pid, &task) == 0)
			state = task.state;
		if (state == 'Z')
			return false;
		if (n > 5 && !strcmp(now + n - 5, "/copy") && task.syscall == SYS_pause)
			return true;
		usleep(1000);
	}
	return false;
}

static void run_copy(struct copy *copy)
{
	copy->pid = fork();
	if (copy->pid == 0) {
		setenv(asleep, "1", 1);
		execl(copy->exe, "copy", (char *)NULL);
		_exit(127);
	}
	cr_assert(until_it_waits(copy));
}

/* COMMANDS make "copy" of "exe" in a folder of its own; the copy is then run, and sleeps. */
static void start_copy(struct copy *copy, const char *commands)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	cr_assert_gt(n, 0);
	self[n] = '\0';
	snprintf(copy->dir, sizeof(copy->dir), "/tmp/vz-symbols-XXXXXX");
	cr_assert_not_null(mkdtemp(copy->dir));
	snprintf(copy->exe, sizeof(copy->exe), "%s/copy", copy->dir);
	if (shell("command -v objcopy >/dev/null") != 0)
		cr_skip_test("no objcopy");
	cr_assert_eq(shell("cd %s && cp %s exe && %s", copy->dir, self, commands), 0);
	run_copy(copy);
}

static void end_copy_process(struct copy *copy)
{
	kill(copy->pid, SIGKILL);
	waitpid(copy->pid, NULL, 0);
}

static void end_copy(struct copy *copy)
{
	end_copy_process(copy);
	shell("rm -rf --one-file-system %s", copy->dir);
}

/* The name of wait_here() in the copy. */
static void name_in_copy(const struct copy *copy, struct vz_symbol *symbol)
{
	struct look look = { 0 }, own = { 0 };
	uint64_t place;

	look_at(&own, getpid());
	place = (uintptr_t)a_static_function - vz_object_bias(own.objects.items[0]);
	look_away(&own);
	look_at(&look, copy->pid);
	vz_symbols_find(look.symbols, place + vz_object_bias(look.objects.items[0]), symbol);
	look_away(&look);
}

static bool map_files_allowed(void)
{
	return access("/proc/1/map_files", R_OK | X_OK) == 0;
}

Test(symbols, reads_the_file_of_another_process)
{
	struct copy copy;
	struct vz_symbol symbol;

	start_copy(&copy, "mv exe copy");
	name_in_copy(&copy, &symbol);
	cr_expect_str_eq(symbol.name, "a_static_function");
	end_copy(&copy);
}

Test(symbols, reads_a_deleted_file)
{
	struct copy copy;
	struct vz_symbol symbol;

	start_copy(&copy, "mv exe copy");
	unlink(copy.exe);
	name_in_copy(&copy, &symbol);
	cr_expect_str_eq(symbol.name, map_files_allowed() ? "a_static_function" : "");
	end_copy(&copy);
}

/* Without privileges the links of mappings are not to be followed: the path is, in its root. */
Test(symbols, reads_files_as_anyone)
{
	struct vz_symbol symbol = { .name = "" };
	struct copy copy;
	int status;
	pid_t pid;

	if (geteuid() != 0)
		cr_skip_test("the other tests are of this kind then");
	start_copy(&copy, "mv exe copy && chmod 755 . copy");
	end_copy_process(&copy);
	pid = fork();
	if (pid == 0) {
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			_exit(3);
		run_copy(&copy);
		name_in_copy(&copy, &symbol);
		kill(copy.pid, SIGKILL);
		_exit(strcmp(symbol.name, "a_static_function") != 0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0, "%x", status);
	shell("rm -rf --one-file-system %s", copy.dir);
}

Test(symbols, reads_files_of_another_root)
{
	struct vz_symbol symbol = { .name = "" };
	struct copy copy;

	if (geteuid() != 0)
		cr_skip_test("only root changes roots");
	start_copy(&copy, "mv exe copy");
	end_copy_process(&copy);
	copy.pid = fork();
	if (copy.pid == 0) {
		/* The loader and the libraries are needed there too: all of it, at another place.
		 */
		char place[128];

		snprintf(place, sizeof(place), "%s/root", copy.dir);
		if (unshare(CLONE_NEWNS) < 0 || mount("", "/", "", MS_REC | MS_PRIVATE, "") < 0 ||
		    mkdir(place, 0755) < 0 || mount("/", place, "", MS_BIND | MS_REC, "") < 0 ||
		    chroot(place) < 0 || chdir("/") < 0)
			_exit(3);
		setenv(asleep, "1", 1);
		execl(copy.exe, "copy", (char *)NULL);
		_exit(127);
	}
	if (until_it_waits(&copy)) {
		name_in_copy(&copy, &symbol);
		cr_expect_str_eq(symbol.name, "a_static_function");
	} else {
		cr_log_warn("skipped: roots cannot be changed here");
	}
	end_copy(&copy);
}

/* Another program in the file's place has other functions there. */
Test(symbols, does_not_take_another_file_for_it)
{
	struct copy copy;
	struct vz_symbol symbol;

	start_copy(&copy, "mv exe copy");
	cr_assert_eq(shell("cp $(command -v objcopy) %s/new && mv %s/new %s", copy.dir, copy.dir,
			   copy.exe),
		     0);
	name_in_copy(&copy, &symbol);
	cr_expect_str_eq(symbol.name, map_files_allowed() ? "a_static_function" : "");
	end_copy(&copy);
}

static const struct {
	const char *label, *commands, *name;
} split[] = {
	{ "stripped", "objcopy --strip-all exe copy", "" },
	{ "debug link",
	  "objcopy --only-keep-debug exe x.debug && objcopy --strip-all "
	  "--add-gnu-debuglink=x.debug "
	  "exe copy",
	  "a_static_function" },
	{ "debug link below .debug",
	  "objcopy --only-keep-debug exe x.debug && objcopy --strip-all "
	  "--add-gnu-debuglink=x.debug "
	  "exe copy && mkdir .debug && mv x.debug .debug",
	  "a_static_function" },
	{ "debug link by check sum",
	  "objcopy --remove-section=.note.gnu.build-id exe y && objcopy --only-keep-debug y "
	  "x.debug && "
	  "objcopy --strip-all --add-gnu-debuglink=x.debug y copy",
	  "a_static_function" },
	{ "wrong check sum",
	  "objcopy --remove-section=.note.gnu.build-id exe y && objcopy --only-keep-debug y "
	  "x.debug && "
	  "objcopy --strip-all --add-gnu-debuglink=x.debug y copy && printf x >>x.debug",
	  "" },
	{ "debug link to nothing",
	  "objcopy --only-keep-debug exe x.debug && objcopy --strip-all "
	  "--add-gnu-debuglink=x.debug "
	  "exe copy && rm x.debug",
	  "" },
	{ "debug file of another program",
	  "objcopy --only-keep-debug exe x.debug && objcopy --strip-all "
	  "--add-gnu-debuglink=x.debug "
	  "exe copy && objcopy --only-keep-debug $VZ_BUILD_DIR/vizattach x.debug",
	  "" },
};

Test(symbols, finds_debug_files, .timeout = 120)
{
	for (size_t i = 0; i < sizeof(split) / sizeof(split[0]); i++) {
		struct copy copy;
		struct vz_symbol symbol;

		start_copy(&copy, split[i].commands);
		name_in_copy(&copy, &symbol);
		cr_expect_str_eq(symbol.name, split[i].name, "%s", split[i].label);
		end_copy(&copy);
	}
}

/* ---- damaged files ---- */

static int memory_file(const void *bytes, size_t len)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
	return fd;
}

static void ask_file(int fd)
{
	struct vz_elffile file;

	if (vz_elffile_use(fd, &file) == 0) {
		struct vz_symtab table;
		struct vz_build_id id;
		char name[256];
		uint32_t crc;

		vz_elffile_build_id(&file, &id);
		vz_elffile_debug_link(&file, name, sizeof(name), &crc);
		if (vz_elffile_symbols(&file, VZ_ELFFILE_KEEP, &table) == 0) {
			for (size_t i = 0; i < table.count; i++)
				vz_symtab_name(&table, &table.items[i], name, sizeof(name));
			vz_symtab_fini(&table);
		}
	}
	vz_elffile_close(&file);
}

Test(symbols, leaves_many_names_in_the_file)
{
	struct vz_symtab kept, left;
	struct vz_elffile file;
	char a[64], b[64];

	cr_assert_eq(vz_elffile_open("/proc/self/exe", &file), 0);
	cr_assert_eq(vz_elffile_symbols(&file, VZ_ELFFILE_KEEP, &kept), 0);
	cr_assert_eq(vz_elffile_symbols(&file, 0, &left), 0);
	vz_elffile_close(&file);
	cr_assert(left.in_file && !kept.in_file);
	cr_assert_eq(left.count, kept.count);
	for (size_t i = 0; i < left.count; i++) {
		const struct vz_sym *sym = vz_symtab_find(&left, left.items[i].start);

		vz_symtab_name(&left, &left.items[i], a, sizeof(a));
		for (size_t k = 0; k < kept.count; k++) {
			vz_symtab_name(&kept, &kept.items[k], b, sizeof(b));
			if (kept.items[k].name == left.items[i].name &&
			    kept.items[k].start == left.items[i].start)
				cr_assert_str_eq(a, b);
		}
		cr_assert(!sym || sym->start <= left.items[i].start);
	}
	vz_symtab_fini(&kept);
	vz_symtab_fini(&left);
}

Test(symbols, survives_damaged_files, .timeout = 120)
{
	char *bytes;
	size_t len;

	cr_assert_eq(vz_slurp("/proc/self/exe", 64 << 20, &bytes, &len), 0);
	for (size_t cut = 0; cut < len; cut = cut * 2 + 1)
		ask_file(memory_file(bytes, cut));
	for (size_t at = 0; at < sizeof(Elf64_Ehdr); at++) {
		char kept = bytes[at];

		for (int value = 0; value < 256; value += 51) {
			bytes[at] = (char)value;
			ask_file(memory_file(bytes, len));
		}
		bytes[at] = kept;
	}
	free(bytes);
}

Test(symbols, refuses_what_is_no_file)
{
	struct vz_elffile file;

	cr_assert_eq(vz_elffile_open("/nowhere/at/all", &file), -ENOENT);
	vz_elffile_close(&file);
	cr_assert_eq(vz_elffile_open("/dev/null", &file), -ENOEXEC);
	vz_elffile_close(&file);
	cr_assert_eq(vz_elffile_open("/tmp", &file), -ENOEXEC);
	vz_elffile_close(&file);
	vz_symbols_free(NULL);
}
