/* SPDX-License-Identifier: MIT */
#include "attach/image.h"

#include <elf.h>
#include <errno.h>
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

static int load_segments(const struct elf *e, struct vz_image *im)
{
	const Elf64_Phdr *ph = inside(e, e->header->e_phoff, e->header->e_phnum * sizeof(*ph));
	uint64_t end = 0, file_end = 0;

	if (!ph)
		return -ENOEXEC;
	for (unsigned i = 0; i < e->header->e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD)
			continue;
		if (ph[i].p_vaddr > MAX_IMAGE || ph[i].p_memsz > MAX_IMAGE ||
		    ph[i].p_filesz > ph[i].p_memsz || !inside(e, ph[i].p_offset, ph[i].p_filesz))
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

static int read_relocs(const struct elf *e, const Elf64_Shdr *sh, struct vz_image *im)
{
	const Elf64_Rela *rela = inside(e, sh->sh_offset, sh->sh_size);
	size_t n = sh->sh_size / sizeof(*rela);

	if (!rela)
		return -ENOEXEC;
	im->relocs = calloc(n ? n : 1, sizeof(*im->relocs));
	if (!im->relocs)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		uint64_t addend = (uint64_t)rela[i].r_addend;

		if (ELF64_R_TYPE(rela[i].r_info) != R_X86_64_RELATIVE ||
		    rela[i].r_offset + 8 > im->bytes_len)
			return -ENOEXEC;
		memcpy(im->bytes + rela[i].r_offset, &addend, sizeof(addend));
		im->relocs[im->nrelocs++] = rela[i].r_offset;
	}
	return 0;
}

static int read_symbols(const struct elf *e, const Elf64_Shdr *all, const Elf64_Shdr *sh,
			struct vz_image *im)
{
	const Elf64_Sym *sym = inside(e, sh->sh_offset, sh->sh_size);
	const char *names = sh->sh_link < e->header->e_shnum
				    ? inside(e, all[sh->sh_link].sh_offset, all[sh->sh_link].sh_size)
				    : NULL;

	if (!sym || !names)
		return -ENOEXEC;
	for (size_t i = 0; i < sh->sh_size / sizeof(*sym); i++) {
		const char *name = names + sym[i].st_name;

		if (sym[i].st_name >= all[sh->sh_link].sh_size)
			return -ENOEXEC;
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
	return im->boot && im->entry && im->stack ? 0 : -ENOEXEC;
}

static int parse(const struct elf *e, struct vz_image *im)
{
	const Elf64_Shdr *sh = inside(e, e->header->e_shoff, e->header->e_shnum * sizeof(*sh));
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
		vz_err_set(err, VZ_EXIT_UNEXPECTED, -rc, "the payload inside this program is damaged");
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
