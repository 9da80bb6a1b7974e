/* SPDX-License-Identifier: MIT */
#include "attach/image.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, MAX_IMAGE = 16 << 20 };

struct elf {
	const uint8_t *at;
	size_t len;
	const Elf64_Ehdr *header;
};

static const void *inside(const struct elf *e, uint64_t offset, uint64_t size)
{
	return offset <= e->len && size <= e->len - offset ? e->at + offset : NULL;
}

/* The same for a table of structures, which our linker aligns. */
static const void *table(const struct elf *e, uint64_t offset, uint64_t size)
{
	return offset % 8 == 0 ? inside(e, offset, size) : NULL;
}

static int load_segments(const struct elf *e, struct vz_image *im)
{
	const Elf64_Phdr *ph = table(e, e->header->e_phoff, e->header->e_phnum * sizeof(*ph));
	uint64_t end = 0, file_end = 0;

	if (!ph)
		return -ENOEXEC;
	for (unsigned i = 0; i < e->header->e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD)
			continue;
		if (ph[i].p_vaddr > MAX_IMAGE || ph[i].p_memsz > MAX_IMAGE ||
		    ph[i].p_filesz > ph[i].p_memsz || !inside(e, ph[i].p_offset, ph[i].p_filesz) ||
		    ph[i].p_vaddr < end) /* in order, as the linker writes them */
			return -ENOEXEC;
		if (ph[i].p_flags & PF_W)
			im->writable = ph[i].p_vaddr;
		end = ph[i].p_vaddr + ph[i].p_memsz;
		file_end = ph[i].p_vaddr + ph[i].p_filesz;
	}
	im->image_bytes = (end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	im->bytes_len = file_end;
	im->bytes = calloc(1, file_end ? file_end : 1);
	if (!im->bytes || !im->writable || im->writable % PAGE)
		return im->bytes ? -ENOEXEC : -ENOMEM;
	for (unsigned i = 0; i < e->header->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD)
			memcpy(im->bytes + ph[i].p_vaddr, e->at + ph[i].p_offset, ph[i].p_filesz);
	return 0;
}

static bool in_image(uint64_t at, uint64_t size, uint64_t end)
{
	return size <= end && at <= end - size;
}

static int read_relocs(const struct elf *e, const Elf64_Shdr *sh, struct vz_image *im)
{
	const Elf64_Rela *rela = table(e, sh->sh_offset, sh->sh_size);
	size_t n = sh->sh_size / sizeof(*rela);

	if (!rela)
		return -ENOEXEC;
	im->relocs = calloc(n ? n : 1, sizeof(*im->relocs));
	if (!im->relocs)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		uint64_t addend = (uint64_t)rela[i].r_addend;

		if (ELF64_R_TYPE(rela[i].r_info) != R_X86_64_RELATIVE ||
		    !in_image(rela[i].r_offset, sizeof(addend), im->bytes_len))
			return -ENOEXEC;
		memcpy(im->bytes + rela[i].r_offset, &addend, sizeof(addend));
		im->relocs[im->nrelocs++] = rela[i].r_offset;
	}
	return 0;
}

static bool symbols_fit(const struct vz_image *im)
{
	return im->boot >= im->writable &&
	       in_image(im->boot, sizeof(struct vz_boot), im->bytes_len) && im->entry &&
	       im->entry < im->writable && im->guard >= im->writable && im->guard % PAGE == 0 &&
	       in_image(im->stack, im->stack_bytes, im->image_bytes);
}

static int read_symbols(const struct elf *e, const Elf64_Shdr *all, const Elf64_Shdr *sh,
			struct vz_image *im)
{
	const Elf64_Sym *sym = table(e, sh->sh_offset, sh->sh_size);
	const Elf64_Shdr *strings = sh->sh_link < e->header->e_shnum ? &all[sh->sh_link] : NULL;
	const char *names = strings ? inside(e, strings->sh_offset, strings->sh_size) : NULL;

	if (!sym || !names || !strings->sh_size || names[strings->sh_size - 1])
		return -ENOEXEC;
	for (size_t i = 0; i < sh->sh_size / sizeof(*sym); i++) {
		const char *name;

		if (sym[i].st_name >= strings->sh_size)
			return -ENOEXEC;
		name = names + sym[i].st_name;
		if (!strcmp(name, "vz_boot") && sym[i].st_size == sizeof(struct vz_boot))
			im->boot = sym[i].st_value;
		else if (!strcmp(name, "vz_entry"))
			im->entry = sym[i].st_value;
		else if (!strcmp(name, "vz_agent_stack")) {
			im->guard = sym[i].st_value;
			im->stack = sym[i].st_value + PAGE;
			im->stack_bytes = sym[i].st_size - PAGE;
		}
	}
	return symbols_fit(im) ? 0 : -ENOEXEC;
}

static int parse(const struct elf *e, struct vz_image *im)
{
	const Elf64_Shdr *sh = table(e, e->header->e_shoff, e->header->e_shnum * sizeof(*sh));
	int rc = sh ? load_segments(e, im) : -ENOEXEC;

	for (unsigned i = 0; rc == 0 && i < e->header->e_shnum; i++) {
		if (sh[i].sh_type == SHT_RELA && !im->relocs)
			rc = read_relocs(e, &sh[i], im);
		else if (sh[i].sh_type == SHT_DYNSYM)
			rc = read_symbols(e, sh, &sh[i], im);
	}
	return rc == 0 && !im->boot ? -ENOEXEC : rc;
}

int vz_image_init(const void *elf, size_t len, struct vz_image *ret, struct vz_err *err)
{
	struct elf e = { elf, len, elf };
	int rc;

	memset(ret, 0, sizeof(*ret));
	rc = len < sizeof(Elf64_Ehdr) || memcmp(elf, ELFMAG, SELFMAG) ||
			     e.header->e_machine != EM_X86_64
		     ? -ENOEXEC
		     : parse(&e, ret);
	if (rc < 0) {
		vz_image_fini(ret);
		vz_err_set(err, VZ_EXIT_UNEXPECTED, -rc,
			   "the payload inside this program is damaged");
		vz_err_why(err, "its ELF file does not have the expected shape");
		vz_err_try(err, "install vizattach again");
	}
	return rc;
}

void vz_image_fini(struct vz_image *image)
{
	free(image->bytes);
	free(image->relocs);
	memset(image, 0, sizeof(*image));
}

void vz_image_place(const struct vz_image *image, uint64_t base, struct vz_boot *boot, uint8_t *to)
{
	uint64_t word;

	memcpy(to, image->bytes, image->bytes_len);
	for (size_t i = 0; i < image->nrelocs; i++) {
		memcpy(&word, to + image->relocs[i], sizeof(word));
		word += base;
		memcpy(to + image->relocs[i], &word, sizeof(word));
	}
	boot->magic = VZ_WIRE_MAGIC;
	boot->version = VZ_WIRE_VERSION;
	boot->size = sizeof(*boot);
	boot->image_base = base;
	boot->image_bytes = image->image_bytes;
	boot->writable_base = base + image->writable;
	boot->writable_bytes = image->image_bytes - image->writable;
	boot->guard_base = base + image->guard;
	boot->stack_base = base + image->stack;
	boot->stack_bytes = image->stack_bytes;
	boot->arena_fd = -1;
	memcpy(to + image->boot, boot, sizeof(*boot));
}
