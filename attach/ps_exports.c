/* SPDX-License-Identifier: MIT */
/*
 * ps_exports.c - one question to an ELF file: is the API of CPython among the names of its
 * dynamic symbols?  A program that links libpython names what it uses as well; then it runs
 * Python all the same.  The file may hold anything.
 */
#include <elf.h>
#include <string.h>

#include "attach/ps.h"
#include "attach/util.h"

enum {
	MAX_HEADERS = 256,
	MAX_DYNAMIC = 4096,
	MAX_NAMES = 64 << 20,
};

struct elf {
	int fd;
	size_t nheaders;
	Elf64_Phdr headers[MAX_HEADERS];
};

static bool read_at(int fd, void *to, size_t len, uint64_t at)
{
	return at <= INT64_MAX && pread(fd, to, len, (off_t)at) == (ssize_t)len;
}

static bool read_headers(struct elf *elf)
{
	Elf64_Ehdr header;

	if (!read_at(elf->fd, &header, sizeof(header), 0) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
	    header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_phentsize != sizeof(Elf64_Phdr) ||
	    header.e_phnum > MAX_HEADERS)
		return false;
	elf->nheaders = header.e_phnum;
	return read_at(elf->fd, elf->headers, elf->nheaders * sizeof(Elf64_Phdr), header.e_phoff);
}

/* Where in the file is what will be loaded at VADDR?  0: nowhere. */
static uint64_t file_offset(const struct elf *elf, uint64_t vaddr)
{
	for (size_t i = 0; i < elf->nheaders; i++) {
		const Elf64_Phdr *h = &elf->headers[i];

		if (h->p_type == PT_LOAD && vaddr >= h->p_vaddr && vaddr - h->p_vaddr < h->p_filesz)
			return h->p_offset + (vaddr - h->p_vaddr);
	}
	return 0;
}

/* The table of names: its place in the file and its size. */
static bool find_names(const struct elf *elf, uint64_t *at, uint64_t *len)
{
	uint64_t vaddr = 0, dynamic = 0;
	Elf64_Dyn entry;

	*len = 0;
	for (size_t i = 0; i < elf->nheaders; i++) {
		if (elf->headers[i].p_type == PT_DYNAMIC)
			dynamic = elf->headers[i].p_offset;
	}
	for (uint64_t i = 0; dynamic && i < MAX_DYNAMIC; i++) {
		if (!read_at(elf->fd, &entry, sizeof(entry), dynamic + i * sizeof(entry)) ||
		    entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag == DT_STRTAB)
			vaddr = entry.d_un.d_ptr;
		else if (entry.d_tag == DT_STRSZ)
			*len = entry.d_un.d_val;
	}
	*at = vaddr ? file_offset(elf, vaddr) : 0;
	return *at && *len && *len <= MAX_NAMES;
}

bool vz_ps_exports_python(int fd)
{
	static const char name[] = "PyGILState_Ensure";
	struct elf elf = { .fd = fd };
	uint64_t at, len;
	char *names;
	bool found;

	if (!read_headers(&elf) || !find_names(&elf, &at, &len))
		return false;
	names = malloc(len);
	if (!names)
		return false;
	found = read_at(fd, names, len, at) && memmem(names, len, name, sizeof(name));
	free(names);
	return found;
}
