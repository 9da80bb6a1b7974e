/* SPDX-License-Identifier: MIT */
#include "attach/snapshot/native/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "attach/snapshot/native/core_priv.h"
#include "attach/util.h"

#if defined(__x86_64__)
#define HOST_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define HOST_MACHINE EM_AARCH64
#else
#error "no such CPU yet"
#endif

enum { MAX_NOTE_SEGMENTS = 16 };
#define MAX_ADDRESS (UINT64_C(1) << 56)

/* ---- bytes ---- */

int vz_core_bytes(const struct vz_core_file *file, uint64_t offset, void *buf, size_t len)
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

/* LEN bytes at RADDR, all of them in segment I. */
static int read_segment(const struct vz_core_file *file, size_t i, uint64_t raddr, char *buf,
			size_t len)
{
	const Elf64_Phdr *phdr = &file->phdrs[i];
	const struct vz_map *map = &file->maps->items[i];
	uint64_t at = raddr - phdr->p_vaddr;
	size_t dumped = 0;
	int rc = 0;

	if (at < phdr->p_filesz)
		dumped = phdr->p_filesz - at < len ? (size_t)(phdr->p_filesz - at) : len;
	if (dumped)
		rc = vz_core_bytes(file, phdr->p_offset + at, buf, dumped);
	if (rc < 0 || dumped == len)
		return rc;
	/* Left out since the process had not changed it; what could be written may be left out
	 * though it was. */
	if (map->writable || map->path[0] != '/')
		return -EFAULT;
	return vz_core_from_file(file, map, raddr + dumped, buf + dumped, len - dumped);
}

static int read_memory(const struct vz_bytes *memory, uint64_t raddr, void *buf, size_t len)
{
	const struct vz_core_file *file = (const struct vz_core_file *)memory;
	char *to = buf;

	while (len > 0) {
		const struct vz_map *map = vz_maps_find(file->maps, raddr);
		size_t step;

		if (!map)
			return -EFAULT;
		step = map->end - raddr < len ? (size_t)(map->end - raddr) : len;
		if (read_segment(file, (size_t)(map - file->maps->items), raddr, to, step) < 0)
			return -EFAULT;
		raddr += step;
		to += step;
		len -= step;
	}
	return 0;
}

/* ---- segments ---- */

static int refuse(const char *path, enum vz_exit exit, int rc, struct vz_err *err)
{
	return vz_err_set(err, exit, rc, "cannot read the core dump %s", path);
}

static int check_header(const char *path, const Elf64_Ehdr *header, struct vz_err *err)
{
	static const struct {
		const char *magic, *tool;
	} packers[] = {
		{ "\x28\xb5\x2f\xfd", "zstd -d" },
		{ "\x1f\x8b", "gunzip" },
		{ "\xfd"
		  "7zXZ",
		  "xz -d" },
		{ "\x04\x22\x4d\x18", "lz4 -d" },
	};

	for (size_t i = 0; i < sizeof(packers) / sizeof(packers[0]); i++) {
		if (memcmp(header, packers[i].magic, strlen(packers[i].magic)) != 0)
			continue;
		refuse(path, VZ_EXIT_USAGE, EINVAL, err);
		vz_err_why(err, "it is compressed");
		vz_err_try(err, "%s, then run again with what comes of it", packers[i].tool);
		return -EINVAL;
	}
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_type != ET_CORE) {
		/* The type is at the same place in files of 32 and of 64 bits. */
		refuse(path, VZ_EXIT_USAGE, EINVAL, err);
		vz_err_why(err, "it is no core dump");
		return -EINVAL;
	}
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != HOST_MACHINE || header->e_phentsize != sizeof(Elf64_Phdr)) {
		refuse(path, VZ_EXIT_UNSUPPORTED, ENOTSUP, err);
		vz_err_why(err, "it is of another kind of machine");
		return -ENOTSUP;
	}
	return 0;
}

/* All program headers; there may be more than the field in the header holds. */
static Elf64_Phdr *read_phdrs(const struct vz_core_file *file, const Elf64_Ehdr *header,
			      size_t *count)
{
	uint64_t n = header->e_phnum;
	Elf64_Phdr *phdrs;
	Elf64_Shdr first;

	if (n == PN_XNUM) {
		if (vz_core_bytes(file, header->e_shoff, &first, sizeof(first)) < 0)
			return NULL;
		n = first.sh_info;
	}
	if (n == 0 || n > VZ_CORE_MAX_SEGMENTS || n > file->size / sizeof(*phdrs))
		return NULL;
	phdrs = malloc(n * sizeof(*phdrs));
	if (phdrs && vz_core_bytes(file, header->e_phoff, phdrs, n * sizeof(*phdrs)) < 0) {
		free(phdrs);
		return NULL;
	}
	*count = n;
	return phdrs;
}

static bool good_segment(const Elf64_Phdr *phdr, uint64_t after)
{
	return phdr->p_type == PT_LOAD && phdr->p_memsz > 0 && phdr->p_vaddr >= after &&
	       phdr->p_vaddr < MAX_ADDRESS && phdr->p_memsz < MAX_ADDRESS &&
	       phdr->p_filesz <= phdr->p_memsz && phdr->p_offset < MAX_ADDRESS;
}

/* PHDRS becomes those of memory alone, by address; NOTES are copied out of it. */
static size_t sort_out(struct vz_core *core, struct vz_core_file *file, size_t count,
		       Elf64_Phdr notes[MAX_NOTE_SEGMENTS])
{
	uint64_t after = 0;
	size_t nnotes = 0;

	for (size_t i = 0; i < count; i++) {
		Elf64_Phdr phdr = file->phdrs[i];
		uint64_t end = phdr.p_offset + phdr.p_filesz;

		if (phdr.p_type == PT_NOTE && nnotes < MAX_NOTE_SEGMENTS)
			notes[nnotes++] = phdr;
		if (!good_segment(&phdr, after))
			continue;
		if (end > file->size)
			core->missing_bytes +=
				end - (phdr.p_offset > file->size ? phdr.p_offset : file->size);
		after = phdr.p_vaddr + phdr.p_memsz;
		file->phdrs[file->nphdrs++] = phdr;
	}
	return nnotes;
}

/* ---- maps ---- */

static bool is_gap(const Elf64_Phdr *before, const Elf64_Phdr *after,
		   const struct vz_core_mapping *m)
{
	return m->start < m->end && m->end < MAX_ADDRESS &&
	       (!before || before->p_vaddr + before->p_memsz <= m->start) &&
	       (!after || m->end <= after->p_vaddr);
}

/*
 * gdb's gcore leaves out segments that it takes from the file later, all of them, even from
 * the table.  What is mapped there is code or constants: whoever had written to it would
 * find it in the dump.
 */
static int fill_gaps(struct vz_core_file *file, const struct vz_core_names *names)
{
	Elf64_Phdr *all = calloc(file->nphdrs + names->count + 1, sizeof(*all));
	size_t n = 0, next = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < names->count; i++) {
		const struct vz_core_mapping *m = &names->items[i];

		while (next < file->nphdrs && file->phdrs[next].p_vaddr < m->end)
			all[n++] = file->phdrs[next++];
		if (is_gap(n ? &all[n - 1] : NULL, next < file->nphdrs ? &file->phdrs[next] : NULL,
			   m))
			all[n++] = (Elf64_Phdr){ .p_type = PT_LOAD,
						 .p_flags = PF_R | PF_X,
						 .p_vaddr = m->start,
						 .p_memsz = m->end - m->start };
	}
	while (next < file->nphdrs)
		all[n++] = file->phdrs[next++];
	free(file->phdrs);
	file->phdrs = all;
	file->nphdrs = n;
	return 0;
}

/* Is RADDR in MAP?  0 is nowhere. */
static bool holds(const struct vz_map *map, uint64_t raddr)
{
	return raddr && raddr >= map->start && raddr < map->end;
}

static void name_map(const struct vz_core_file *file, const struct vz_core_names *names,
		     size_t *next, struct vz_map *map)
{
	const struct vz_core_mapping *m;

	map->path = map->start == file->vdso ? "[vdso]" : holds(map, file->random) ? "[stack]" : "";
	while (*next < names->count && names->items[*next].end <= map->start)
		(*next)++;
	m = *next < names->count ? &names->items[*next] : NULL;
	if (!m || map->start < m->start || map->end > m->end)
		return;
	map->path = m->path;
	map->offset = m->offset + (map->start - m->start);
	/* It had one, which the dump does not tell; with device 0:0 it is no file's. */
	map->inode = 1;
}

/* The kernel writes " (deleted)" behind the path, once for each mapping. */
static void mark_deleted(struct vz_core_names *names, struct vz_map *map)
{
	static const char mark[] = " (deleted)";
	size_t len = strlen(map->path);

	if (map->inode && len >= sizeof(mark) - 1 &&
	    !strcmp(map->path + len - (sizeof(mark) - 1), mark)) {
		names->names[(size_t)(map->path - names->names) + len - (sizeof(mark) - 1)] = '\0';
		map->deleted = true;
	}
}

/* The names move into the maps. */
static int make_maps(struct vz_core *core, struct vz_core_file *file, struct vz_core_names *names)
{
	struct vz_map *items = calloc(file->nphdrs + 1, sizeof(*items));
	size_t next = 0;

	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < file->nphdrs; i++) {
		const Elf64_Phdr *phdr = &file->phdrs[i];

		items[i].start = phdr->p_vaddr;
		items[i].end = phdr->p_vaddr + phdr->p_memsz;
		items[i].readable = phdr->p_flags & PF_R;
		items[i].writable = phdr->p_flags & PF_W;
		items[i].executable = phdr->p_flags & PF_X;
		name_map(file, names, &next, &items[i]);
	}
	for (size_t i = 0; i < file->nphdrs; i++)
		mark_deleted(names, &items[i]);
	core->maps =
		(struct vz_maps){ .items = items, .count = file->nphdrs, .text = names->names };
	names->names = NULL;
	return 0;
}

static void name_program(struct vz_core *core, const struct vz_core_file *file)
{
	const struct vz_map *map = file->entry ? vz_maps_find(&core->maps, file->entry) : NULL;

	if (!map || map->path[0] != '/')
		return;
	snprintf(core->target.exe, sizeof(core->target.exe), "%s", map->path);
	core->target.exe_deleted = map->deleted;
}

/* ---- all of it ---- */

static int read_core(const char *path, struct vz_core *core, struct vz_core_file *file,
		     struct vz_err *err)
{
	Elf64_Phdr notes[MAX_NOTE_SEGMENTS];
	struct vz_core_names names = { 0 };
	Elf64_Ehdr header;
	size_t count = 0;
	int rc;

	memset(&header, 0, sizeof(header));
	vz_core_bytes(file, 0, &header, file->size < sizeof(header) ? file->size : sizeof(header));
	rc = check_header(path, &header, err);
	if (rc < 0)
		return rc;
	file->phdrs = read_phdrs(file, &header, &count);
	if (file->phdrs) {
		count = sort_out(core, file, count, notes);
		rc = vz_core_notes(core, file, notes, count, &names);
		if (rc == 0)
			rc = fill_gaps(file, &names);
		if (rc == 0)
			rc = make_maps(core, file, &names);
		vz_core_names_fini(&names);
	}
	if (rc < 0)
		return vz_err_set(err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
	if (core->nthreads == 0 || core->maps.count == 0) {
		refuse(path, VZ_EXIT_USAGE, EINVAL, err);
		vz_err_why(err, "it is cut, or damaged: it has no %s",
			   core->maps.count ? "threads" : "memory");
		return -EINVAL;
	}
	name_program(core, file);
	if (vz_core_find_files(core, file) < 0)
		return vz_err_set(err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
	return 0;
}

static int open_file(const char *path, struct vz_core_file *file, struct vz_err *err)
{
	struct stat st;

	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file->fd < 0 || fstat(file->fd, &st) < 0) {
		int rc = errno;

		refuse(path, rc == EACCES || rc == EPERM ? VZ_EXIT_PERMISSION : VZ_EXIT_USAGE, rc,
		       err);
		vz_err_why(err, "%s", strerror(rc));
		return -rc;
	}
	if (!S_ISREG(st.st_mode)) {
		refuse(path, VZ_EXIT_USAGE, EINVAL, err);
		vz_err_why(err, "it is no file");
		return -EINVAL;
	}
	file->size = (uint64_t)st.st_size;
	return 0;
}

int vz_core_open(const char *path, struct vz_core **ret, struct vz_err *err)
{
	struct vz_core *core = calloc(1, sizeof(*core));
	struct vz_core_file *file = calloc(1, sizeof(*file));
	int rc;

	if (!core || !file) {
		free(core);
		free(file);
		return vz_err_set(err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
	}
	file->memory.read = read_memory;
	file->maps = &core->maps;
	core->file = file;
	core->target.mem_fd = -1;
	core->target.pidfd = -1;
	core->target.memory = &file->memory;
	rc = open_file(path, file, err);
	if (rc == 0)
		rc = read_core(path, core, file, err);
	if (rc < 0) {
		vz_err_try(err,
			   "a dump by the kernel, gcore or coredumpctl, of this kind of machine");
		vz_core_close(core);
		return rc;
	}
	*ret = core;
	return 0;
}

void vz_core_close(struct vz_core *core)
{
	struct vz_core_file *file = core ? core->file : NULL;

	if (!core)
		return;
	for (size_t i = 0; i < file->nobjects; i++)
		vz_elffile_close(&file->objects[i].file);
	if (file->fd >= 0)
		close(file->fd);
	free(file->objects);
	free(file->phdrs);
	free(file);
	vz_maps_fini(&core->maps);
	free(core->threads);
	free(core);
}
