/* SPDX-License-Identifier: MIT */
#include "attach/snapshot/native/elffile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "attach/util.h"

#if defined(__x86_64__)
#define HOST_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define HOST_MACHINE EM_AARCH64
#else
#error "no such CPU yet"
#endif

enum {
	MAX_FILE_PHDRS = 128,
	MAX_SECTIONS = 1 << 16,
	MAX_SECTION_NAMES = 1 << 20,
	MAX_NOTE_BYTES = 1 << 16,
	STEP_SYMBOLS = 4096,
	STEP_BYTES = 1 << 16,
	LINK_NAME_MAX = 255,
};

int vz_elffile_read(const struct vz_elffile *file, uint64_t offset, void *buf, size_t len)
{
	char *to = buf;

	if (offset > file->size || len > file->size - offset)
		return -EFAULT;
	while (len > 0) {
		ssize_t n = pread(file->fd, to, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EFAULT;
		to += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* A new copy and a NUL; NULL if it is not there. */
static void *copy(const struct vz_elffile *file, uint64_t offset, uint64_t len, uint64_t max)
{
	char *buf = len <= max && len <= file->size ? malloc(len + 1) : NULL;

	if (buf && vz_elffile_read(file, offset, buf, len) < 0) {
		free(buf);
		return NULL;
	}
	if (buf)
		buf[len] = '\0';
	return buf;
}

static int check_header(const Elf64_Ehdr *header)
{
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
	    header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != HOST_MACHINE ||
	    (header->e_type != ET_EXEC && header->e_type != ET_DYN))
		return -ENOEXEC;
	return 0;
}

/* A file without sections, or without segments, is still one. */
static void read_tables(struct vz_elffile *file)
{
	const Elf64_Ehdr *header = &file->header;
	uint64_t count = header->e_shnum;
	Elf64_Shdr first;

	if (header->e_phentsize == sizeof(Elf64_Phdr) && header->e_phnum <= MAX_FILE_PHDRS) {
		file->phdrs = copy(file, header->e_phoff, header->e_phnum * sizeof(Elf64_Phdr),
				   UINT64_MAX);
		file->nphdrs = file->phdrs ? header->e_phnum : 0;
	}
	if (header->e_shoff == 0 || header->e_shentsize != sizeof(Elf64_Shdr) ||
	    vz_elffile_read(file, header->e_shoff, &first, sizeof(first)) < 0)
		return;
	if (count == 0) /* more than fit there */
		count = first.sh_size;
	if (count > MAX_SECTIONS)
		return;
	file->sections = copy(file, header->e_shoff, count * sizeof(Elf64_Shdr), UINT64_MAX);
	file->nsections = file->sections ? count : 0;
}

int vz_elffile_use(int fd, struct vz_elffile *ret)
{
	struct stat st;
	int rc;

	memset(ret, 0, sizeof(*ret));
	ret->fd = fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOEXEC;
	ret->size = (uint64_t)st.st_size;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	rc = vz_elffile_read(ret, 0, &ret->header, sizeof(ret->header));
	if (rc == 0)
		rc = check_header(&ret->header);
	if (rc < 0)
		return -ENOEXEC;
	read_tables(ret);
	return 0;
}

int vz_elffile_open(const char *path, struct vz_elffile *ret)
{
	/* A FIFO or a terminal in its place must not make us wait. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	memset(ret, 0, sizeof(*ret));
	ret->fd = -1;
	return fd < 0 ? -errno : vz_elffile_use(fd, ret);
}

void vz_elffile_close(struct vz_elffile *file)
{
	if (file->fd >= 0)
		close(file->fd);
	free(file->phdrs);
	free(file->sections);
	memset(file, 0, sizeof(*file));
	file->fd = -1;
}

/* ---- build id ---- */

static bool notes_say(const struct vz_elffile *file, uint64_t offset, uint64_t len, uint64_t align,
		      struct vz_build_id *ret)
{
	_cleanup_free_ void *notes = copy(file, offset, len, MAX_NOTE_BYTES);

	return notes && vz_build_id_parse(notes, len, align, ret) == 0;
}

int vz_elffile_build_id(const struct vz_elffile *file, struct vz_build_id *ret)
{
	memset(ret, 0, sizeof(*ret));
	/* Sections first: in a file of debug information the segments are those of another file. */
	for (size_t i = 0; i < file->nsections; i++) {
		const Elf64_Shdr *s = &file->sections[i];

		if (s->sh_type == SHT_NOTE &&
		    notes_say(file, s->sh_offset, s->sh_size, s->sh_addralign, ret))
			return 0;
	}
	for (size_t i = 0; i < file->nphdrs; i++) {
		const Elf64_Phdr *p = &file->phdrs[i];

		if (p->p_type == PT_NOTE &&
		    notes_say(file, p->p_offset, p->p_filesz, p->p_align, ret))
			return 0;
	}
	return -ENOENT;
}

/* ---- symbols ---- */

static bool is_code(const struct vz_elffile *file, const Elf64_Sym *sym)
{
	unsigned type = ELF64_ST_TYPE(sym->st_info);

	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return false;
	return sym->st_shndx != SHN_UNDEF && sym->st_shndx < file->nsections &&
	       (file->sections[sym->st_shndx].sh_flags & SHF_EXECINSTR);
}

static int add_symbol(const struct vz_elffile *file, const Elf64_Sym *from, struct vz_symtab *table)
{
	const char *name = "?"; /* not worth a look into the file: rank by binding alone */

	if (from->st_name == 0 || from->st_name >= table->names_len || !is_code(file, from))
		return 0;
	if (!table->in_file)
		name = table->names + from->st_name;
	/* $x and such mark code and data on some machines; .L are labels. */
	if (!*name || *name == '$' || (name[0] == '.' && name[1] == 'L'))
		return 0;
	return vz_symtab_add(table,
			     &(struct vz_sym){
				     .start = from->st_value,
				     .size = from->st_size,
				     .name = from->st_name,
				     .rank = vz_symtab_rank(name, ELF64_ST_BIND(from->st_info)),
			     });
}

static int add_symbols(const struct vz_elffile *file, const Elf64_Shdr *section,
		       struct vz_symtab *table)
{
	uint64_t count = section->sh_size / sizeof(Elf64_Sym);
	_cleanup_free_ Elf64_Sym *step = malloc(STEP_SYMBOLS * sizeof(*step));

	if (!step)
		return -ENOMEM;
	for (uint64_t i = 0; i < count; i += STEP_SYMBOLS) {
		size_t n = count - i < STEP_SYMBOLS ? (size_t)(count - i) : STEP_SYMBOLS;
		int rc = vz_elffile_read(file, section->sh_offset + i * sizeof(*step), step,
					 n * sizeof(*step));

		for (size_t k = 0; rc == 0 && k < n; k++)
			rc = add_symbol(file, &step[k], table);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int take_names(const struct vz_elffile *file, const Elf64_Shdr *strings, size_t keep,
		      struct vz_symtab *ret)
{
	if (strings->sh_type != SHT_STRTAB || strings->sh_offset > file->size ||
	    strings->sh_size > file->size - strings->sh_offset)
		return -ENOENT;
	if (strings->sh_size > keep) {
		ret->fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
		if (ret->fd < 0)
			return -errno;
		ret->in_file = true;
		ret->at = strings->sh_offset;
		ret->names_len = strings->sh_size;
		return 0;
	}
	ret->owned = copy(file, strings->sh_offset, strings->sh_size, keep);
	ret->names = ret->owned;
	ret->names_len = strings->sh_size + 1;
	return ret->owned ? 0 : -ENOENT;
}

static int read_symbols(const struct vz_elffile *file, const Elf64_Shdr *section, size_t keep,
			struct vz_symtab *ret)
{
	int rc;

	if (section->sh_entsize != sizeof(Elf64_Sym) || section->sh_offset > file->size ||
	    section->sh_size > file->size || section->sh_link >= file->nsections)
		return -ENOENT;
	rc = take_names(file, &file->sections[section->sh_link], keep, ret);
	if (rc == 0)
		rc = add_symbols(file, section, ret);
	vz_symtab_sort(ret);
	return rc;
}

int vz_elffile_symbols(const struct vz_elffile *file, size_t keep, struct vz_symtab *ret)
{
	int rc = -ENOENT;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < file->nsections; i++) {
		if (file->sections[i].sh_type == SHT_SYMTAB) {
			rc = read_symbols(file, &file->sections[i], keep, ret);
			break;
		}
	}
	if (rc < 0 || ret->count == 0) {
		vz_symtab_fini(ret);
		return rc < 0 ? rc : -ENOENT;
	}
	return 0;
}

/* ---- debug link ---- */

static const Elf64_Shdr *find_section(const struct vz_elffile *file, const char *name)
{
	unsigned index = file->header.e_shstrndx;
	_cleanup_free_ char *names = NULL;
	uint64_t len;

	if (index == SHN_XINDEX && file->nsections)
		index = file->sections[0].sh_link;
	if (index >= file->nsections)
		return NULL;
	len = file->sections[index].sh_size;
	names = copy(file, file->sections[index].sh_offset, len, MAX_SECTION_NAMES);
	for (size_t i = 0; names && i < file->nsections; i++) {
		if (file->sections[i].sh_name < len &&
		    !strcmp(names + file->sections[i].sh_name, name))
			return &file->sections[i];
	}
	return NULL;
}

int vz_elffile_debug_link(const struct vz_elffile *file, char *name, size_t size, uint32_t *crc)
{
	const Elf64_Shdr *section = find_section(file, ".gnu_debuglink");
	_cleanup_free_ char *bytes = NULL;
	size_t len;

	if (!section || section->sh_type == SHT_NOBITS)
		return -ENOENT;
	bytes = copy(file, section->sh_offset, section->sh_size, LINK_NAME_MAX + 9);
	if (!bytes)
		return -ENOENT;
	/* The name, a NUL, up to three of padding, the check sum. */
	len = strlen(bytes);
	if (len == 0 || len >= size || strchr(bytes, '/') || !strcmp(bytes, ".") ||
	    !strcmp(bytes, "..") || ((len + 4) & ~(size_t)3) + 4 > section->sh_size)
		return -ENOENT;
	memcpy(name, bytes, len + 1);
	memcpy(crc, bytes + ((len + 4) & ~(size_t)3), sizeof(*crc));
	return 0;
}

int vz_elffile_crc(const struct vz_elffile *file, uint64_t max, uint32_t *ret)
{
	_cleanup_free_ unsigned char *step = malloc(STEP_BYTES);
	uLong crc = crc32(0, Z_NULL, 0);

	if (!step)
		return -ENOMEM;
	if (file->size > max)
		return -EFBIG;
	for (uint64_t at = 0; at < file->size; at += STEP_BYTES) {
		size_t n = file->size - at < STEP_BYTES ? (size_t)(file->size - at) : STEP_BYTES;

		if (vz_elffile_read(file, at, step, n) < 0)
			return -EFAULT;
		crc = crc32(crc, step, (uInt)n);
	}
	*ret = (uint32_t)crc;
	return 0;
}
