/* SPDX-License-Identifier: MIT */
/*
 * elffile.h - ELF files on disk: their build id, their symbols, the file that their debug
 * information went to.  Read with pread and checked, never mapped: a file may be cut while we
 * look.  The file is untrusted.
 */
#ifndef VZ_ATTACH_SNAPSHOT_ELFFILE_H
#define VZ_ATTACH_SNAPSHOT_ELFFILE_H

#include <elf.h>
#include <sys/types.h>

#include "attach/elfsym.h"
#include "attach/snapshot/native/symtab.h"

struct vz_elffile {
	int fd;
	uint64_t size;
	dev_t dev;
	ino_t ino;
	Elf64_Ehdr header;
	Elf64_Phdr *phdrs;
	size_t nphdrs;
	Elf64_Shdr *sections;
	size_t nsections;
};

/** -errno; -ENOEXEC: no ELF of this machine.  Close with vz_elffile_close(), also after a failure.
 */
int vz_elffile_open(const char *path, struct vz_elffile *ret);
/** The same with a file that is open; takes FD over. */
int vz_elffile_use(int fd, struct vz_elffile *ret);
void vz_elffile_close(struct vz_elffile *file);

/** Exactly LEN bytes; 0 or -EFAULT. */
int vz_elffile_read(const struct vz_elffile *file, uint64_t offset, void *buf, size_t len);
/** -ENOENT: it has none. */
int vz_elffile_build_id(const struct vz_elffile *file, struct vz_build_id *ret);
enum {
	VZ_ELFFILE_KEEP = 8 << 20
}; /* libpython's names are half a megabyte, libtorch's a hundred */
/**
 * Functions of .symtab, with addresses as linked, sorted.  Names of more than KEEP bytes stay in
 * the file.  -ENOENT: it has none.
 */
int vz_elffile_symbols(const struct vz_elffile *file, size_t keep, struct vz_symtab *ret);
/** What .gnu_debuglink says; a name with a slash is none.  -ENOENT. */
int vz_elffile_debug_link(const struct vz_elffile *file, char *name, size_t size, uint32_t *crc);
/** The check sum that a debug link holds, of the whole file; -EFBIG: larger than MAX. */
int vz_elffile_crc(const struct vz_elffile *file, uint64_t max, uint32_t *ret);

#endif /* VZ_ATTACH_SNAPSHOT_ELFFILE_H */
