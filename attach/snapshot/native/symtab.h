/* SPDX-License-Identifier: MIT */
/*
 * symtab.h - names by address: one sorted table, whatever it was read from.  Sizes are
 * respected: what lies behind a symbol has no name, not that of its neighbour.
 */
#ifndef VZ_ATTACH_SNAPSHOT_SYMTAB_H
#define VZ_ATTACH_SNAPSHOT_SYMTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	VZ_SYMTAB_MAX = 4 << 20,        /* symbols; libtorch has a tenth of that */
	VZ_SYMTAB_UNSIZED_MAX = 1 << 12 /* bytes that a symbol without a size may stand for */
};

struct vz_sym {
	uint64_t start, size; /* size 0: up to the next one, if that is near */
	uint32_t name;        /* offset in the names */
	uint32_t rank;        /* of several at one place the highest is taken */
};

struct vz_symtab {
	struct vz_sym *items;
	size_t count, room;
	const char *names; /* each ends with a NUL */
	size_t names_len;  /* with the last NUL */
	char *owned;       /* .names if they are to be freed, else NULL */
	/* Names that are too many to keep stay in their file; .names is NULL then. */
	bool in_file;
	int fd;      /* owned */
	uint64_t at; /* offset of the names */
};

/** -ENOMEM, -EFBIG: no room for more. */
int vz_symtab_add(struct vz_symtab *table, const struct vz_sym *sym);
/** Call once behind the last addition. */
void vz_symtab_sort(struct vz_symtab *table);
/** The symbol that ADDRESS belongs to, or NULL. */
const struct vz_sym *vz_symtab_find(const struct vz_symtab *table, uint64_t address);
/** Its name, cut at SIZE - 1; "" if it is not there. */
void vz_symtab_name(const struct vz_symtab *table, const struct vz_sym *sym, char *ret,
		    size_t size);
void vz_symtab_fini(struct vz_symtab *table);

/** How well a name of an ELF symbol with binding BIND suits people, for .rank. */
uint32_t vz_symtab_rank(const char *name, unsigned bind);

/**
 * Parse the text of a perf map, LEN bytes and a NUL: "START SIZE name", numbers in hexadecimal.
 * Bad lines are skipped; the later of two lines for one place counts.  Takes TEXT over.
 */
int vz_symtab_perf(char *text, size_t len, struct vz_symtab *ret);

#endif /* VZ_ATTACH_SNAPSHOT_SYMTAB_H */
