/* SPDX-License-Identifier: MIT */
/*
 * elfsym_priv.h - what an object is, for elfsym.c (headers, segments, the list of
 * objects) and elfsym_table.c (names and addresses).
 */
#ifndef VZ_ATTACH_ELFSYM_PRIV_H
#define VZ_ATTACH_ELFSYM_PRIV_H

#include <elf.h>

#include "attach/elfsym.h"

/* What a target may claim; the largest known libraries stay well below. */
enum {
	MAX_PHDRS = 128,
	MAX_DYNAMIC = 4096,      /* entries */
	MAX_NOTES = 1 << 16,     /* bytes in one segment */
	MAX_SYMBOLS = 4 << 20,   /* libtorch has a tenth of that */
	MAX_STRINGS = 128 << 20, /* bytes */
	MAX_TABLES = 256 << 20,  /* bytes of all tables of all objects together */
	MAX_CHAIN = 1 << 16,     /* symbols in one bucket */
	MAX_MATCHES = 64,        /* versions of one name */
	MAX_OBJECTS = 1 << 16,
	CHAIN_STEP = 64,
};
#define MAX_ADDRESS (UINT64_C(1) << 56)

struct gnu_hash {
	uint32_t nbuckets, symoffset, bloom_size, bloom_shift;
};

enum tables { TABLES_UNREAD, TABLES_READ, TABLES_BROKEN };

struct vz_object {
	const struct vz_target *target;
	char *path;
	char *soname;
	uint64_t bias, start, end;
	bool interp;
	Elf64_Phdr *phdrs;
	size_t nphdrs;
	/* where the tables are in the target; 0: absent */
	uint64_t symtab_raddr, strtab_raddr, versym_raddr, gnu_hash_raddr, hash_raddr;
	uint64_t strings_bytes;
	struct gnu_hash gnu;
	/* the copies, there in state TABLES_READ */
	enum tables tables;
	Elf64_Sym *symbols;
	uint16_t *versions; /* NULL: no versions */
	char *strings;      /* ends with a NUL of ours */
	uint32_t *buckets;  /* of the GNU hash, or NULL */
	uint32_t *chain;    /* chain[i] belongs to symbol gnu.symoffset + i */
	size_t nsymbols;
	size_t kept; /* bytes of the copies */
};

/* A new copy of LEN bytes of the target and a NUL; NULL if they are not there. */
void *vz_elf_copy(const struct vz_target *target, uint64_t raddr, size_t len);

/**
 * The same for a table that is kept until the object is freed, if there is room for it below
 * MAX_TABLES: a target can map thousands of images that state gigabytes.
 */
void *vz_elf_keep(struct vz_object *object, uint64_t raddr, size_t len);
/** Give back the room for what OBJECT keeps. */
void vz_elf_forget(struct vz_object *object);

/** Check the header of the GNU hash table; forget the table if it is not sane. */
void vz_elf_check_hash(struct vz_object *object);

/** Do LEN bytes from RADDR lie between the first and the last byte of OBJECT? */
static inline bool vz_elf_inside(const struct vz_object *object, uint64_t raddr, uint64_t len)
{
	return raddr >= object->start && raddr <= object->end && len <= object->end - raddr;
}

#endif /* VZ_ATTACH_ELFSYM_PRIV_H */
