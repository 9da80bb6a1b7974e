/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/elfsym_priv.h"

struct self {
	struct vz_target target;
	struct vz_maps maps;
	struct vz_objects objects;
	struct vz_err err;
};

static void look(struct self *self)
{
	cr_assert_eq(vz_target_open(getpid(), &self->target, &self->err), 0);
	cr_assert_eq(vz_maps_read(getpid(), &self->maps, &self->err), 0);
	cr_assert_eq(vz_objects_read(&self->target, &self->maps, &self->objects, &self->err), 0);
}

static void look_away(struct self *self)
{
	vz_objects_fini(&self->objects);
	vz_maps_fini(&self->maps);
	vz_target_close(&self->target);
}

static const struct vz_object *by_soname(const struct self *self, const char *soname)
{
	for (size_t i = 0; i < self->objects.count; i++) {
		if (!strcmp(vz_object_soname(self->objects.items[i]), soname))
			return self->objects.items[i];
	}
	return NULL;
}

Test(elfsym, finds_what_dlsym_finds)
{
	static const char *const names[] = {
		"pthread_create", "munmap",      "clock_gettime",
		"environ",        "getenv",      "pthread_attr_init",
		"qsort",          "stdout",      "__libc_start_main",
		"fopen",          "posix_spawn", "pthread_attr_setstack"
	};
	struct self self;
	const struct vz_object *libc;

	look(&self);
	libc = by_soname(&self, "libc.so.6");
	if (!libc)
		cr_skip_test("not linked with glibc");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		/* Of the library itself: a copy relocation or a sanitizer may take its place. */
		void *handle = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
		uint64_t expected = (uintptr_t)dlsym(handle, names[i]);

		cr_assert_neq(expected, 0, "%s", names[i]);
		cr_assert_eq(vz_object_symbol(libc, names[i], NULL), expected, "%s", names[i]);
	}
	cr_assert_eq(vz_object_symbol(libc, "no_such_function_anywhere", NULL), 0);
	cr_assert_eq(vz_object_symbol(libc, "", NULL), 0);
	look_away(&self);
}

Test(elfsym, refuses_ifuncs_and_imports)
{
	struct self self;
	const struct vz_object *libc;

	look(&self);
	libc = by_soname(&self, "libc.so.6");
	if (!libc)
		cr_skip_test("not linked with glibc");
	/* memcpy is chosen at run time; the criterion functions are only imported here */
	cr_assert_eq(vz_object_symbol(libc, "memcpy", NULL), 0);
	cr_assert_eq(vz_object_symbol(self.objects.items[0], "criterion_initialize", NULL), 0);
	look_away(&self);
}

Test(elfsym, names_functions_within_their_size)
{
	struct self self;
	const struct vz_object *libc;
	uint64_t size = 0, raddr;

	look(&self);
	libc = by_soname(&self, "libc.so.6");
	if (!libc)
		cr_skip_test("not linked with glibc");
	raddr = vz_object_symbol(libc, "qsort_r", &size);
	cr_assert_neq(raddr, 0);
	cr_assert_gt(size, 0);
	cr_assert_str_eq(vz_object_function_at(libc, raddr), "qsort_r");
	cr_assert_str_eq(vz_object_function_at(libc, raddr + size - 1), "qsort_r");
	if (vz_object_function_at(libc, raddr + size))
		cr_assert_str_neq(vz_object_function_at(libc, raddr + size), "qsort_r");
	cr_assert_null(vz_object_function_at(libc, 0));
	look_away(&self);
}

Test(elfsym, knows_the_program_first_and_everything_by_address)
{
	struct self self;
	uint64_t start, end, raddr, size;
	const struct vz_object *object;

	look(&self);
	cr_assert_str_eq(vz_object_path(self.objects.items[0]), self.target.exe);
	cr_assert(vz_object_has_interp(self.objects.items[0]));
	object = vz_objects_find(&self.objects, (uintptr_t)look);
	cr_assert_eq(object, self.objects.items[0]);
	vz_object_range(object, &start, &end);
	cr_assert(start <= (uintptr_t)look && (uintptr_t)look < end);
	cr_assert_eq(vz_object_text(object, 0, &start, &end), 0);
	cr_assert(start <= (uintptr_t)look && (uintptr_t)look < end);
	cr_assert_eq(vz_object_text(object, 100, &start, &end), -ENOENT);
	cr_assert_eq(vz_object_eh_frame_hdr(object, &raddr, &size), 0);
	cr_assert_gt(size, 0);
	cr_assert_null(vz_objects_find(&self.objects, 0));
	for (size_t i = 0; i < self.objects.count; i++) {
		vz_object_range(self.objects.items[i], &start, &end);
		cr_assert_lt(start, end);
		cr_assert_eq(vz_objects_find(&self.objects, start), self.objects.items[i], "%s",
			     vz_object_path(self.objects.items[i]));
	}
	look_away(&self);
}

/* ---- what a hostile target may show ---- */

enum { IMAGE_BYTES = 16 * 4096 };

/* A small loaded object at a place of its own; the tests then damage it. */
struct image {
	Elf64_Ehdr header;
	Elf64_Phdr phdrs[3];
	Elf64_Dyn dynamic[8];
	uint32_t gnu_hash[4];
	uint64_t bloom[1];
	uint32_t buckets[1];
	uint32_t chain[2];
	Elf64_Sym symbols[3];
	char strings[32];
};

static uint32_t hash_of(const char *name)
{
	uint32_t hash = 5381;

	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	return hash;
}

static void fill_headers(struct image *image)
{
	memcpy(image->header.e_ident, ELFMAG, SELFMAG);
	image->header.e_ident[EI_CLASS] = ELFCLASS64;
	image->header.e_ident[EI_DATA] = ELFDATA2LSB;
	image->header.e_type = ET_DYN;
#if defined(__x86_64__)
	image->header.e_machine = EM_X86_64;
#else
	image->header.e_machine = EM_AARCH64;
#endif
	image->header.e_phoff = offsetof(struct image, phdrs);
	image->header.e_phentsize = sizeof(Elf64_Phdr);
	image->header.e_phnum = 3;
	image->phdrs[0] =
		(Elf64_Phdr){ .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_memsz = IMAGE_BYTES };
	image->phdrs[1] = (Elf64_Phdr){ .p_type = PT_DYNAMIC,
					.p_vaddr = offsetof(struct image, dynamic),
					.p_memsz = sizeof(image->dynamic) };
	image->phdrs[2] = (Elf64_Phdr){ .p_type = PT_GNU_STACK };
}

static void fill_symbols(struct image *image)
{
	static const Elf64_Dyn dynamic[] = {
		{ DT_SYMTAB, { offsetof(struct image, symbols) } },
		{ DT_STRTAB, { offsetof(struct image, strings) } },
		{ DT_STRSZ, { 32 } },
		{ DT_GNU_HASH, { offsetof(struct image, gnu_hash) } },
		{ DT_SONAME, { 11 } },
		{ DT_NULL, { 0 } },
	};

	memcpy(image->dynamic, dynamic, sizeof(dynamic));
	memcpy(image->strings, "\0first\0two\0\0libx.so", 20);
	memcpy(image->strings + 11, "libx.so", 8);
	image->gnu_hash[0] = 1; /* buckets */
	image->gnu_hash[1] = 1; /* first symbol */
	image->gnu_hash[2] = 1; /* bloom words */
	image->bloom[0] = UINT64_MAX;
	image->buckets[0] = 1;
	image->chain[0] = hash_of("first") & ~1U;
	image->chain[1] = hash_of("two") | 1U;
	image->symbols[1] = (Elf64_Sym){ .st_name = 1,
					 .st_value = 0x2000,
					 .st_size = 16,
					 .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
					 .st_shndx = 1 };
	image->symbols[2] = (Elf64_Sym){ .st_name = 7,
					 .st_value = 0x3000,
					 .st_size = 16,
					 .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
					 .st_shndx = 1 };
}

static struct image *new_image(void)
{
	struct image *image =
		mmap(NULL, IMAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(image, MAP_FAILED);
	fill_headers(image);
	fill_symbols(image);
	return image;
}

/* Read IMAGE as if it were mapped from a file, executable. */
static int read_image(struct image *image, struct vz_object **ret)
{
	static struct vz_target target;
	static struct vz_map map;
	static char path[] = "/lib/libx.so";
	struct vz_maps maps = { .items = &map, .count = 1 };

	target = (struct vz_target){ .pid = getpid(), .pidfd = -1, .mem_fd = -1 };
	map = (struct vz_map){ .start = (uintptr_t)image,
			       .end = (uintptr_t)image + IMAGE_BYTES,
			       .inode = 1,
			       .readable = true,
			       .executable = true,
			       .path = path };
	return vz_object_read(&target, &maps, &map, ret);
}

Test(elfsym, reads_an_object_with_unrelocated_pointers)
{
	struct image *image = new_image();
	struct vz_object *object;

	cr_assert_eq(read_image(image, &object), 0);
	cr_assert_eq(vz_object_bias(object), (uintptr_t)image);
	cr_assert_str_eq(vz_object_soname(object), "libx.so");
	cr_assert_eq(vz_object_symbol(object, "first", NULL), (uintptr_t)image + 0x2000);
	cr_assert_eq(vz_object_symbol(object, "two", NULL), (uintptr_t)image + 0x3000);
	cr_assert_eq(vz_object_symbol(object, "three", NULL), 0);
	cr_assert_str_eq(vz_object_function_at(object, (uintptr_t)image + 0x200f), "first");
	cr_assert_null(vz_object_function_at(object, (uintptr_t)image + 0x2010));
	vz_object_free(object);
}

Test(elfsym, reads_an_object_with_relocated_pointers)
{
	struct image *image = new_image();
	struct vz_object *object;

	image->dynamic[0].d_un.d_ptr += (uintptr_t)image;
	image->dynamic[1].d_un.d_ptr += (uintptr_t)image;
	image->dynamic[3].d_un.d_ptr += (uintptr_t)image;
	cr_assert_eq(read_image(image, &object), 0);
	cr_assert_eq(vz_object_symbol(object, "two", NULL), (uintptr_t)image + 0x3000);
	vz_object_free(object);
}

Test(elfsym, refuses_what_is_no_object)
{
	static const struct {
		const char *label;
		size_t offset;
		unsigned char value;
		int rc;
	} cases[] = {
		{ "magic", 0, 'x', -ENOEXEC },
		{ "32-bit", EI_CLASS, ELFCLASS32, -ENOTSUP },
		{ "big-endian", EI_DATA, ELFDATA2MSB, -ENOTSUP },
		{ "machine", offsetof(Elf64_Ehdr, e_machine), EM_386, -ENOTSUP },
		{ "core file", offsetof(Elf64_Ehdr, e_type), ET_CORE, -ENOEXEC },
		{ "header size", offsetof(Elf64_Ehdr, e_phentsize), 1, -ENOEXEC },
		{ "no headers", offsetof(Elf64_Ehdr, e_phnum), 0, -ENOEXEC },
		{ "too many headers", offsetof(Elf64_Ehdr, e_phnum) + 1, 255, -ENOEXEC },
		{ "headers elsewhere", offsetof(Elf64_Ehdr, e_phoff) + 7, 255, -ENOEXEC },
		{ "no load segment", offsetof(struct image, phdrs), PT_NOTE, -ENOEXEC },
		{ "huge segment", offsetof(struct image, phdrs) + offsetof(Elf64_Phdr, p_memsz) + 7,
		  255, -ENOEXEC },
		{ "no code", offsetof(struct image, phdrs) + offsetof(Elf64_Phdr, p_flags), PF_R,
		  -ENOEXEC },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct image *image = new_image();
		struct vz_object *object;

		((unsigned char *)image)[cases[i].offset] = cases[i].value;
		cr_assert_eq(read_image(image, &object), cases[i].rc, "%s", cases[i].label);
		munmap(image, IMAGE_BYTES);
	}
}

Test(elfsym, survives_any_single_damaged_byte)
{
	struct image *image = new_image(), *good = new_image();

	for (size_t at = 0; at < sizeof(*image); at++) {
		static const unsigned char values[] = { 0, 1, 0x7f, 0xff };

		for (size_t i = 0; i < sizeof(values); i++) {
			struct vz_object *object;

			memcpy(image, good, sizeof(*image));
			((unsigned char *)image)[at] = values[i];
			if (read_image(image, &object) < 0)
				continue;
			vz_object_symbol(object, "first", NULL);
			vz_object_symbol(object, "three", NULL);
			vz_object_function_at(object, (uintptr_t)image + 0x2000);
			vz_object_free(object);
		}
	}
}

/* However many images state however much: what is kept of all of them together is bounded. */
Test(elfsym, keeps_a_bounded_amount)
{
	enum { BYTES = 100 << 20, OBJECTS = 4 };
	struct vz_target target = { .pid = getpid(), .pidfd = -1, .mem_fd = -1 };
	struct vz_object objects[OBJECTS] = { 0 };
	void *copies[OBJECTS],
		*zeros = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int kept = 0;

	cr_assert_neq(zeros, MAP_FAILED);
	for (int i = 0; i < OBJECTS; i++) {
		objects[i].target = &target;
		copies[i] = vz_elf_keep(&objects[i], (uintptr_t)zeros, BYTES);
		kept += copies[i] != NULL;
	}
	cr_assert_eq(kept, MAX_TABLES / BYTES);
	for (int i = 0; i < OBJECTS; i++) {
		free(copies[i]);
		vz_elf_forget(&objects[i]);
	}
	copies[0] = vz_elf_keep(&objects[0], (uintptr_t)zeros, BYTES);
	cr_assert_not_null(copies[0]);
	free(copies[0]);
	vz_elf_forget(&objects[0]);
	munmap(zeros, BYTES);
}

Test(elfsym, frees_nothing)
{
	struct vz_objects objects = { 0 };

	vz_object_free(NULL);
	vz_objects_fini(&objects);
}
