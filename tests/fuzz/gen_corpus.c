/* SPDX-License-Identifier: MIT */
/* gen_corpus DIR - what each fuzzer begins with, in DIR/FUZZER: small, and valid, so that it gets
 * far. */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "attach/pyver.h"
#include "attach/snapshot/python/pylayout.h"
#include "attach/util.h"
#include "tests/kit_query.h"
#include "tests/kit_trace.h"
#include "viewer/core/directory.h"

static const char *folder;

static void must(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

/* The first bytes are those of the fuzzer's own header. */
static void write_seed(const char *fuzzer, int i, const void *head, size_t head_len, const void *p,
		       size_t n)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, fuzzer);
	must(mkdir(path, 0755) == 0 || errno == EEXIST, path);
	snprintf(path, sizeof(path), "%s/%s/seed-%02d", folder, fuzzer, i);
	f = fopen(path, "wb");
	must(f != NULL, path);
	must(fwrite(head, 1, head_len, f) == head_len && fwrite(p, 1, n, f) == n, path);
	must(fclose(f) == 0, path);
}

/* ---- traces ---- */

enum {
	FILES = 12,
	MODES = 2, /* as it is, checksums mended: see fuzz_reader.c */
};

/* Few events in each block: those stay uncompressed, where a fuzzer gets further. */
static struct kit *small_trace(int i)
{
	struct kit *kit = kit_new(1 + (uint32_t)i, (uint64_t)i + 1);

	for (int t = 0; t < 1 + i % 3; t++)
		kit_track(kit, 10 + (uint32_t)t, t == 2);
	for (int round = 0; round < i; round++) {
		kit_steps(kit->tracks[round % (1 + i % 3)], 3 + (size_t)i % 4);
		vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	if (i % 2)
		kit_finish(kit);
	return kit;
}

static void traces(void)
{
	for (int i = 0; i < FILES; i++) {
		struct kit *kit = small_trace(i);
		size_t n;
		uint8_t *p = kit_bytes(kit, &n);

		for (int mode = 0; mode < MODES; mode++) {
			uint8_t head = (uint8_t)mode;

			write_seed("fuzz_reader", i * MODES + mode, &head, 1, p, n);
			write_seed("fuzz_index", i * MODES + mode, &head, 1, p, n);
		}
		free(p);
		kit_free(kit);
	}
}

/* ---- arenas ---- */

/* See fuzz_drain.c. */
struct step {
	uint8_t op, where;
	uint16_t at;
	uint32_t value;
};

static void arenas(void)
{
	enum { POLL, CONTROL, SLOT, CHUNK, WORD, DEF, OPEN, EVENT, FOLLOW };
	static const struct step calls[] = {
		{ OPEN, 1, 1, 0 },           { EVENT, 1, 1 | 1 << 4, 1 },
		{ EVENT, 1, 1 | 2 << 4, 2 }, { EVENT, 1, 4 | 2 << 4, 3 },
		{ POLL, 0, 0, 0 },           { EVENT, 1, 4 | 1 << 4, 4 },
		{ SLOT, 1, 0, 2 },           { POLL, 0, 0, 0 },
	};
	static const struct step stacks[] = {
		{ OPEN, 2, 2, 0 },   { EVENT, 2, 11 | 2 << 4, 1 }, /* a snapshot of as many frames
								      as its next word says */
		{ WORD, 2, 1, 2 },   { EVENT, 2, 10 | 3 << 4, 0 }, { EVENT, 2, 10 | 4 << 4, 0 },
		{ EVENT, 2, 12, 5 }, { EVENT, 2, 13, 7 },          { EVENT, 2, 13, 9 },
		{ POLL, 0, 0, 0 },
	};
	static const struct step circle[] = {
		{ OPEN, 1, 1, 8 },   { EVENT, 1, 1 | 1 << 4, 1 }, { POLL, 0, 0, 0 },
		{ FOLLOW, 1, 1, 0 }, { POLL, 0, 0, 0 },           { CONTROL, 0, 8, 77 },
		{ POLL, 0, 0, 0 },
	};

	for (uint8_t mode = 0; mode < 2; mode++) { /* still, and while it is read */
		write_seed("fuzz_drain", mode * 3, &mode, 1, calls, sizeof(calls));
		write_seed("fuzz_drain", mode * 3 + 1, &mode, 1, stacks, sizeof(stacks));
		write_seed("fuzz_drain", mode * 3 + 2, &mode, 1, circle, sizeof(circle));
	}
}

/* ---- images ---- */

static const char *const py_names[] = {
#define NAME(symbol) #symbol,
	VZ_PY_SYMBOLS(NAME)
#undef NAME
		"Py_GetVersion",
	"Py_Version",
	"Py_NewRef",
};

static const char *const libc_names[] = {
#define NAME(symbol) #symbol,
	VZ_LIBC_SYMBOLS(NAME)
#undef NAME
		"gnu_get_libc_version",
};

enum {
	NAMES_AT = 0x1000, /* strings */
	DATA_AT = 0x1c00,
	IMAGE_BYTES = 0x2400,
	VERSION_AT = IMAGE_BYTES - 8,
	PROGRAM = 0x10000, /* see fuzz_elf.c */
	MAX_NAMES = 100,
	VDSO_BYTES = 8192, /* at least so much of it is mapped */
};

struct image {
	Elf64_Ehdr header;
	Elf64_Phdr phdrs[4];
	Elf64_Dyn dynamic[7];
	uint32_t gnu[4];
	uint64_t bloom;
	uint32_t bucket, chain[MAX_NAMES];
	uint32_t hash[2];
	uint32_t pad;
	Elf64_Sym symbols[MAX_NAMES + 1];
};
_Static_assert(sizeof(struct image) < NAMES_AT, "the tables run into the strings");

static uint32_t gnu_hash(const char *name)
{
	uint32_t hash = 5381;

	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	return hash;
}

static void add_headers(struct image *im, bool program, size_t nsymbols, size_t soname, bool gnu)
{
	memcpy(im->header.e_ident, ELFMAG, SELFMAG);
	im->header.e_ident[EI_CLASS] = ELFCLASS64;
	im->header.e_ident[EI_DATA] = ELFDATA2LSB;
	im->header.e_type = ET_DYN;
	im->header.e_machine = EM_X86_64;
	im->header.e_phoff = offsetof(struct image, phdrs);
	im->header.e_phentsize = sizeof(Elf64_Phdr);
	im->header.e_phnum = 3 + program;
	im->phdrs[0] =
		(Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_memsz = IMAGE_BYTES };
	im->phdrs[1] = (Elf64_Phdr){ .p_type = PT_DYNAMIC,
				     .p_vaddr = offsetof(struct image, dynamic),
				     .p_memsz = sizeof(im->dynamic) };
	im->phdrs[2] = (Elf64_Phdr){ .p_type = PT_GNU_EH_FRAME, .p_vaddr = DATA_AT, .p_memsz = 64 };
	im->phdrs[3] = (Elf64_Phdr){ .p_type = PT_INTERP };
	im->dynamic[0] = (Elf64_Dyn){ DT_SYMTAB, { offsetof(struct image, symbols) } };
	im->dynamic[1] = (Elf64_Dyn){ DT_STRTAB, { NAMES_AT } };
	im->dynamic[2] = (Elf64_Dyn){ DT_STRSZ, { DATA_AT - NAMES_AT } };
	im->dynamic[3] = (Elf64_Dyn){ DT_SONAME, { soname } };
	im->dynamic[4] = gnu ? (Elf64_Dyn){ DT_GNU_HASH, { offsetof(struct image, gnu) } }
			     : (Elf64_Dyn){ DT_HASH, { offsetof(struct image, hash) } };
	im->gnu[0] = im->gnu[1] = im->gnu[2] = 1; /* one bucket, first symbol, one bloom word */
	im->bloom = UINT64_MAX;
	im->bucket = 1;
	im->chain[nsymbols - 1] |= 1;
	im->hash[1] = (uint32_t)nsymbols + 1;
}

/* An image that exports NAMES; its data is pointers to itself.  free() it. */
static uint8_t *make_image(const char *const *names, size_t n, const char *soname, bool gnu)
{
	uint8_t *bytes = calloc(1, IMAGE_BYTES);
	struct image *im = (struct image *)bytes;
	const uint64_t data = PROGRAM + DATA_AT, version = 0x030b04f0;
	size_t used = 1;

	must(bytes != NULL && n <= MAX_NAMES, "image");
	for (size_t i = 0; i < n; i++) {
		im->symbols[i + 1] = (Elf64_Sym){
			.st_name = (Elf64_Word)used,
			.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
			.st_shndx = 1,
			.st_value = !strcmp(names[i], "Py_Version") ? VERSION_AT : DATA_AT,
			.st_size = 16,
		};
		im->chain[i] = gnu_hash(names[i]) & ~1u;
		strcpy((char *)bytes + NAMES_AT + used, names[i]);
		used += strlen(names[i]) + 1;
		must(NAMES_AT + used + 64 < DATA_AT, "strings");
	}
	strcpy((char *)bytes + NAMES_AT + used, soname);
	add_headers(im, names == py_names, n, used, gnu);
	for (size_t at = DATA_AT; at < VERSION_AT; at += 8)
		memcpy(bytes + at, &data, 8);
	memcpy(bytes + VERSION_AT, &version, 8);
	return bytes;
}

/* The vdso has unwind tables; on the stack is nothing but places in its code. */
static void stacks(const uint8_t *vdso)
{
	const Elf64_Ehdr *header = (const Elf64_Ehdr *)vdso;
	enum { STACK_BYTES = 512 };
	uint8_t bytes[VDSO_BYTES + STACK_BYTES];

	memcpy(bytes, vdso, VDSO_BYTES);
	for (int i = 0; i < 4; i++) {
		uint64_t pc = header->e_entry + 16 * (uint64_t)i, back = PROGRAM + pc;
		uint8_t head[4] = { pc & 255, pc >> 8 & 255, VDSO_BYTES & 255, VDSO_BYTES >> 8 };

		for (size_t at = 0; at < STACK_BYTES; at += 8)
			memcpy(bytes + VDSO_BYTES + at, &back, 8);
		write_seed("fuzz_unwind", i, head, sizeof(head), bytes, sizeof(bytes));
	}
}

static void images(void)
{
	const uint8_t *vdso = (const uint8_t *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);

	for (int gnu = 0; gnu < 2; gnu++) {
		uint8_t head[2] = { IMAGE_BYTES & 255, IMAGE_BYTES >> 8 }, *both;
		uint8_t *python = make_image(py_names, sizeof(py_names) / sizeof(*py_names),
					     "libpython3.11.so.1.0", gnu);
		uint8_t *libc = make_image(libc_names, sizeof(libc_names) / sizeof(*libc_names),
					   "libc.so.6", gnu);

		both = malloc(2 * (size_t)IMAGE_BYTES);
		must(both != NULL, "image");
		memcpy(both, python, IMAGE_BYTES);
		memcpy(both + IMAGE_BYTES, libc, IMAGE_BYTES);
		write_seed("fuzz_elf", gnu, head, sizeof(head), both, 2 * (size_t)IMAGE_BYTES);
		free(both);
		free(python);
		free(libc);
	}
	if (vdso) {
		write_seed("fuzz_elf", 2, "\xff\xff", 2, vdso, VDSO_BYTES);
		stacks(vdso);
	}
}

/* ---- structures of CPython: everything points to the begin of the memory ---- */

static void structures(void)
{
	enum { MEMORY = 0x100, WORDS = 512 };
	uint64_t words[WORDS];

	for (unsigned row = 0; vz_pyver_row(row); row++) {
		for (unsigned kind = 0; kind < 3; kind++) {
			uint8_t head[3] = { (uint8_t)row, 0, 0 };

			for (unsigned i = 0; i < WORDS; i++)
				words[i] = kind == 0   ? MEMORY
					   : kind == 1 ? MEMORY + 8 * (i % 64)
						       : (i % 3 ? MEMORY : 0);
			write_seed("fuzz_python", (int)(row * 3 + kind), head, 3, words,
				   sizeof(words));
		}
	}
}

/* ---- threads and frames; see fuzz_pystack.c ---- */

static void put_word(uint8_t *memory, size_t at, uint32_t offset, uint64_t word)
{
	if (offset != VZ_NO_OFFSET && at + offset + 8 <= 4096)
		memcpy(memory + at + offset, &word, 8);
}

/* A thread at the beginning, two frames and a code object. */
static void frames(void)
{
	enum { MEMORY = 0x100, FIRST = 0x400, SECOND = 0x600, CODE = 0x800, TABLE = 0xc00 };
	const struct vz_pylayout *row;

	for (unsigned i = 0; (row = vz_pylayout_row(i)) != NULL; i++) {
		const uint8_t head[4] = { (uint8_t)i };
		uint8_t memory[4096] = { 0 };

		put_word(memory, 0, row->ts_frame, MEMORY + FIRST);
		put_word(memory, 0, row->ts_cframe, MEMORY + 0x300);
		put_word(memory, 0x300, row->cf_current_frame, MEMORY + FIRST);
		put_word(memory, 0, row->ts_current_frame, MEMORY + FIRST);
		for (size_t at = FIRST; at <= SECOND; at += SECOND - FIRST) {
			put_word(memory, at, row->fr_code, MEMORY + CODE);
			put_word(memory, at, row->if_code, MEMORY + CODE);
			put_word(memory, at, row->if_instr, MEMORY + CODE + row->co_code_adaptive);
		}
		put_word(memory, FIRST, row->fr_back, MEMORY + SECOND);
		put_word(memory, FIRST, row->if_previous, MEMORY + SECOND);
		put_word(memory, CODE, row->ob_size, 8);
		put_word(memory, CODE, row->ob_type, MEMORY + TABLE);
		for (uint32_t offset = 16; offset < 160; offset += 8)
			put_word(memory, CODE, offset, MEMORY + TABLE);
		put_word(memory, CODE, row->co_stacksize, 4);
		put_word(memory, CODE, row->co_nlocalsplus, 4);
		put_word(memory, CODE, row->co_nlocals, 4);
		put_word(memory, TABLE, row->ob_size, 64);
		put_word(memory, TABLE, row->ob_type, MEMORY + TABLE);
		write_seed("fuzz_pystack", (int)i, head, sizeof(head), memory, sizeof(memory));
	}
}

/* ---- objects; see fuzz_pyobj.c ---- */

enum { OBJECT = 0, VALUE = 0x100, KEYS = 0x180, ENTRIES = 0x200, TYPE = 0x300, TEXT = 0x4c0 };

/* A type that is its own type, and of all kinds at once if FLAGS say so. */
static void put_type(uint8_t *memory, const struct vz_pylayout *at, uint64_t flags)
{
	enum { MEMORY = 0x100 };

	put_word(memory, TYPE, at->ob_type, MEMORY + TYPE);
	put_word(memory, TYPE, at->tp_name, MEMORY + TEXT);
	put_word(memory, TYPE, at->tp_flags, flags);
	put_word(memory, TYPE, at->tp_basicsize, VALUE);
	put_word(memory, TYPE, at->tp_dictoffset, 64);
	put_word(memory, TYPE, at->tp_dict, MEMORY + OBJECT);
	put_word(memory, TYPE, at->ht_cached_keys, MEMORY + KEYS);
	memcpy(memory + TEXT, "weakref", 8);
}

/* Keys "left": a str, which is the value, too. */
static void put_keys(uint8_t *memory, const struct vz_pylayout *at)
{
	enum { MEMORY = 0x100 };

	put_word(memory, KEYS, at->dk_nentries, 1);
	put_word(memory, KEYS, at->dk_size, 8);
	if (at->dk_log2_size != VZ_NO_OFFSET) {
		memory[KEYS + at->dk_log2_size] = 3;
		memory[KEYS + at->dk_log2_index_bytes] = 3;
		memory[KEYS + at->dk_kind] = 1;
	}
	for (uint32_t i = 0; i < 3; i++)
		put_word(memory, KEYS, at->dk_indices + 8 + 8 * i, MEMORY + VALUE);
	put_word(memory, VALUE, at->ob_type, MEMORY + TYPE);
	put_word(memory, VALUE, at->us_length, 4);
	put_word(memory, VALUE, at->us_state, UINT64_C(0x19) << at->us_kind_shift);
	memcpy(memory + VALUE + at->us_ascii, "left", 4);
}

/* Kinds of objects, as tp_flags tell them: none, int, list, tuple, str, dict, type, managed. */
static void objects(void)
{
	enum { MEMORY = 0x100 };
	static const uint8_t bits[] = { 0, 24, 25, 26, 28, 29, 31, 4 };
	const struct vz_pylayout *row;

	for (unsigned i = 0; (row = vz_pylayout_row(i)) != NULL; i++) {
		for (unsigned kind = 0; kind < sizeof(bits); kind++) {
			const uint8_t head[5] = { (uint8_t)i, 0, 0, 0, VALUE / 8 };
			uint8_t memory[TEXT + 8] = { 0 };

			put_type(memory, row,
				 UINT64_C(1) << bits[kind] | UINT64_C(1) << 12 | UINT64_C(1) << 28 |
					 UINT64_C(1) << 29 | UINT64_C(1) << 31);
			put_keys(memory, row);
			put_word(memory, OBJECT, row->di_keys, MEMORY + KEYS);
			put_word(memory, OBJECT, row->li_items, MEMORY + VALUE);
			put_word(memory, OBJECT, 64, MEMORY + OBJECT);
			put_word(memory, OBJECT, row->ob_size, 2);
			put_word(memory, OBJECT, row->ob_type, MEMORY + TYPE);
			write_seed("fuzz_pyobj", (int)(i * sizeof(bits) + kind), head, sizeof(head),
				   memory, sizeof(memory));
		}
	}
}

/* ---- files of /proc, of this very process ---- */

static void texts(void)
{
	static const char *const names[] = { "maps", "status", "syscall", "stat" };

	for (int i = 0; i < 4; i++) {
		_cleanup_free_ char *text = NULL;
		uint8_t head = (uint8_t)i;
		size_t len;

		if (vz_slurp_proc(getpid(), 0, names[i], 1 << 20, &text, &len) == 0)
			write_seed("fuzz_maps", i, &head, 1, text, len < 4096 ? len : 4096);
	}
	write_seed("fuzz_maps", 4, "\2", 1, "7 0x0 0x7f 0x1 0xffffffff 0x2 0x3 0x7ffd 0x7f1", 46);
}

/* ---- files of symbols, and the like ---- */

struct symbol_file {
	Elf64_Ehdr header;
	Elf64_Shdr sections[6]; /* none, text, symbols, strings, link, names of sections */
	Elf64_Sym symbols[3];
	char strings[16];
	char link[16];
	char names[32];
};

static Elf64_Shdr section(unsigned type, size_t offset, size_t size)
{
	return (Elf64_Shdr){ .sh_type = type, .sh_offset = offset, .sh_size = size };
}

static void symbol_files(void)
{
	struct symbol_file f = { .strings = "\0first\0second",
				 .link = "x.debug",
				 .names = "\0.gnu_debuglink" };

	memcpy(f.header.e_ident, ELFMAG, SELFMAG);
	f.header.e_ident[EI_CLASS] = ELFCLASS64;
	f.header.e_ident[EI_DATA] = ELFDATA2LSB;
	f.header.e_type = ET_DYN;
	f.header.e_machine = EM_X86_64;
	f.header.e_shoff = offsetof(struct symbol_file, sections);
	f.header.e_shentsize = sizeof(Elf64_Shdr);
	f.header.e_shnum = 6;
	f.header.e_shstrndx = 5;
	f.sections[1] = section(SHT_PROGBITS, 0, 0);
	f.sections[1].sh_flags = SHF_EXECINSTR;
	f.sections[2] =
		section(SHT_SYMTAB, offsetof(struct symbol_file, symbols), sizeof(f.symbols));
	f.sections[2].sh_entsize = sizeof(Elf64_Sym);
	f.sections[2].sh_link = 3;
	f.sections[3] =
		section(SHT_STRTAB, offsetof(struct symbol_file, strings), sizeof(f.strings));
	f.sections[4] = section(SHT_PROGBITS, offsetof(struct symbol_file, link), sizeof(f.link));
	f.sections[4].sh_name = 1;
	f.sections[5] = section(SHT_STRTAB, offsetof(struct symbol_file, names), sizeof(f.names));
	for (unsigned i = 1; i < 3; i++)
		f.symbols[i] = (Elf64_Sym){ .st_name = i == 1 ? 1 : 7,
					    .st_value = 0x1000 * i,
					    .st_size = 64,
					    .st_shndx = 1,
					    .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC) };
	write_seed("fuzz_symbols", 0, "", 1, &f, sizeof(f));
}

static void symbol_texts(void)
{
	static const char *const all[] = {
		"\1"
		"7f0010 20 py::work\n7f0040 10 other\n",
		"\2"
		"   0: 0100007F:9CBC 0100007F:1538 01 00000010:00000020 00:00000000 00000000  1000"
		"        0 12345 1 0\n",
		"\2"
		"0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/a.sock\n",
		"\3"
		"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 0:5 / /a\\040b rw - nfs4 s:/x rw\n",
		"\3"
		"2: POSIX  ADVISORY  WRITE 200 08:01:78 0 EOF\n2: -> POSIX ADVISORY WRITE 7 0 "
		"EOF\n",
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		write_seed("fuzz_symbols", 1 + (int)i, all[i], 1, all[i] + 1, strlen(all[i] + 1));
}

/* ---- core dumps ---- */

struct __attribute__((packed)) dump {
	Elf64_Ehdr header;
	Elf64_Phdr phdrs[2];
	Elf64_Nhdr status_note;
	char status_name[8];
	struct elf_prstatus status;
	Elf64_Nhdr file_note;
	char file_name[8];
	uint64_t files[5];
	char path[8];
	char memory[64];
};

static void dumps(void)
{
	struct dump d = { .status_name = "CORE",
			  .file_name = "CORE",
			  .path = "/x",
			  .files = { 1, 4096, 0x10000, 0x11000, 0 } };

	memcpy(d.header.e_ident, ELFMAG, SELFMAG);
	d.header.e_ident[EI_CLASS] = ELFCLASS64;
	d.header.e_ident[EI_DATA] = ELFDATA2LSB;
	d.header.e_type = ET_CORE;
	d.header.e_machine = EM_X86_64;
	d.header.e_phoff = offsetof(struct dump, phdrs);
	d.header.e_phentsize = sizeof(Elf64_Phdr);
	d.header.e_phnum = 2;
	d.phdrs[0] = (Elf64_Phdr){ .p_type = PT_NOTE,
				   .p_offset = offsetof(struct dump, status_note),
				   .p_filesz = offsetof(struct dump, memory) -
					       offsetof(struct dump, status_note) };
	d.phdrs[1] = (Elf64_Phdr){ .p_type = PT_LOAD,
				   .p_flags = PF_R | PF_X,
				   .p_vaddr = 0x10000,
				   .p_offset = offsetof(struct dump, memory),
				   .p_filesz = 64,
				   .p_memsz = 4096 };
	d.status_note = (Elf64_Nhdr){ 5, sizeof(d.status), NT_PRSTATUS };
	d.file_note = (Elf64_Nhdr){ 5, sizeof(d.files) + sizeof(d.path), NT_FILE };
	d.status.pr_pid = 7;
	write_seed("fuzz_core", 0, "", 0, &d, sizeof(d));
}

/* ---- indexes with their tiles and blocks, see fuzz_query.c ---- */

struct parts {
	uint8_t *p;
	size_t n;
};

static size_t add_part(struct parts *rest, const void *p, size_t n)
{
	size_t at = (rest->n + 7) & ~(size_t)7;

	rest->p = realloc(rest->p, at + n + 1);
	must(rest->p != NULL, "no memory");
	memset(rest->p + rest->n, 0, at - rest->n);
	if (n)
		memcpy(rest->p + at, p, n);
	rest->n = at + n;
	return at;
}

/* Tiles and blocks are where their rows say. */
static void write_query(int i, struct kit_query *k)
{
	struct parts all = { NULL, 0 }, rest = { NULL, 0 };
	struct vz_directory_view view;
	uint32_t bytes = (uint32_t)k->directory_bytes;
	struct vzi_tile *tiles;
	struct vzi_block *blocks;

	must(vz_directory_check(k->directory, bytes, UINT64_MAX, &view) == 0, "directory");
	tiles = (void *)(k->directory + ((const uint8_t *)view.tiles - k->directory));
	blocks = (void *)(k->directory + ((const uint8_t *)view.blocks - k->directory));
	for (uint32_t t = 0; t < view.head->ntiles; t++) {
		const struct kit_tile *tile = &k->index.tiles[tiles[t].offset / 8];

		tiles[t].offset = add_part(&rest, tile->bytes, tile->row.bytes);
	}
	for (uint32_t b = 0; b < view.head->nblocks; b++)
		blocks[b].number = (uint32_t)add_part(&rest, k->raw[b].p, k->raw[b].n);
	add_part(&all, k->directory, bytes);
	all.p = realloc(all.p, all.n + rest.n + 1);
	must(all.p != NULL, "no memory");
	if (rest.n)
		memcpy(all.p + all.n, rest.p, rest.n);
	write_seed("fuzz_query", i, &bytes, sizeof(bytes), all.p, all.n + rest.n);
	free(all.p);
	free(rest.p);
}

static void queries(void)
{
	/* clang-format off */
	static const struct kit_story_options stories[] = {
		/* seed, tracks, steps, flags */
		{ 1, 1, 30,  0 },
		{ 2, 2, 60,  KIT_MANY_BLOCKS },
		{ 3, 1, 400, KIT_MANY_BLOCKS | KIT_TIES },
		{ 4, 2, 200, KIT_MANY_BLOCKS | KIT_DAMAGED },
		{ 5, 1, 200, KIT_MANY_BLOCKS | KIT_CUT },
	};
	/* clang-format on */

	for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
		struct kit_query k;

		kit_query_random(&k, &stories[i]);
		write_query((int)i, &k);
		kit_query_fini(&k);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: gen_corpus DIR\n");
		return 2;
	}
	folder = argv[1];
	must(mkdir(folder, 0755) == 0 || errno == EEXIST, folder);
	traces();
	queries();
	arenas();
	images();
	structures();
	frames();
	objects();
	texts();
	symbol_files();
	symbol_texts();
	dumps();
	return 0;
}
