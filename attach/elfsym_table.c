/* SPDX-License-Identifier: MIT */
/*
 * elfsym_table.c - the dynamic symbols of one object, by name and by address.
 */
#include <errno.h>
#include <string.h>

#include "attach/elfsym_priv.h"
#include "attach/util.h"

/* Of all objects: one thread of one tool looks at one target. */
static size_t kept_bytes;

void *vz_elf_keep(struct vz_object *object, uint64_t raddr, size_t len)
{
	void *copy = len <= MAX_TABLES - kept_bytes ? vz_elf_copy(object->target, raddr, len) : NULL;

	if (copy) {
		kept_bytes += len;
		object->kept += len;
	}
	return copy;
}

void vz_elf_forget(struct vz_object *object)
{
	kept_bytes -= object->kept;
	object->kept = 0;
}

void vz_elf_check_hash(struct vz_object *object)
{
	struct gnu_hash *gnu = &object->gnu;

	if (!object->gnu_hash_raddr)
		return;
	if (vz_target_read(object->target, object->gnu_hash_raddr, gnu, sizeof(*gnu)) < 0 ||
	    gnu->nbuckets == 0 || gnu->nbuckets > MAX_SYMBOLS || gnu->symoffset > MAX_SYMBOLS ||
	    gnu->bloom_size == 0 || gnu->bloom_size > MAX_SYMBOLS ||
	    (gnu->bloom_size & (gnu->bloom_size - 1)) || gnu->bloom_shift > 31)
		object->gnu_hash_raddr = 0;
}

static uint64_t gnu_buckets_raddr(const struct vz_object *object)
{
	return object->gnu_hash_raddr + sizeof(struct gnu_hash) +
	       (uint64_t)object->gnu.bloom_size * sizeof(uint64_t);
}

/* The chain has no length: it ends with the first odd word of the last bucket's run. */
static int read_chain_end(struct vz_object *object, uint64_t chain_raddr, uint32_t last,
			  size_t *nsymbols)
{
	uint32_t step[CHAIN_STEP];

	for (size_t i = last; i < last + (size_t)MAX_CHAIN; i += CHAIN_STEP) {
		uint64_t raddr = chain_raddr + (i - object->gnu.symoffset) * sizeof(uint32_t);
		size_t room = CHAIN_STEP;

		if (!vz_elf_inside(object, raddr, sizeof(step)))
			room = vz_elf_inside(object, raddr, 4) ? (object->end - raddr) / 4 : 0;
		if (room == 0 ||
		    vz_target_read(object->target, raddr, step, room * sizeof(uint32_t)) < 0)
			return -EFAULT;
		for (size_t k = 0; k < room; k++) {
			if (step[k] & 1) {
				*nsymbols = i + k + 1;
				return 0;
			}
		}
	}
	return -EINVAL;
}

static int read_gnu_hash(struct vz_object *object)
{
	const struct gnu_hash *gnu = &object->gnu;
	uint64_t raddr = gnu_buckets_raddr(object);
	uint64_t chain_raddr = raddr + (uint64_t)gnu->nbuckets * sizeof(uint32_t);
	uint32_t last = 0;
	int rc;

	if (!vz_elf_inside(object, raddr, chain_raddr - raddr))
		return -EINVAL;
	object->buckets = vz_elf_keep(object, raddr, chain_raddr - raddr);
	if (!object->buckets)
		return -EFAULT;
	for (uint32_t i = 0; i < gnu->nbuckets; i++) {
		if (object->buckets[i] > last)
			last = object->buckets[i];
	}
	object->nsymbols = gnu->symoffset;
	if (last < gnu->symoffset) /* nothing is defined */
		return 0;
	if (last > MAX_SYMBOLS)
		return -EINVAL;
	rc = read_chain_end(object, chain_raddr, last, &object->nsymbols);
	if (rc < 0)
		return rc;
	object->chain = vz_elf_keep(object, chain_raddr,
				    (object->nsymbols - gnu->symoffset) * sizeof(uint32_t));
	return object->chain ? 0 : -EFAULT;
}

static int count_symbols(struct vz_object *object)
{
	uint32_t header[2]; /* nbucket, nchain */

	if (object->gnu_hash_raddr)
		return read_gnu_hash(object);
	if (!object->hash_raddr ||
	    vz_target_read(object->target, object->hash_raddr, header, sizeof(header)) < 0)
		return -ENOENT;
	object->nsymbols = header[1];
	return 0;
}

static int read_tables(struct vz_object *object)
{
	uint64_t bytes;
	int rc;

	if (!object->symtab_raddr || !object->strtab_raddr || object->strings_bytes == 0 ||
	    object->strings_bytes > MAX_STRINGS ||
	    !vz_elf_inside(object, object->strtab_raddr, object->strings_bytes))
		return -ENOENT;
	rc = count_symbols(object);
	if (rc < 0)
		return rc;
	bytes = object->nsymbols * sizeof(Elf64_Sym);
	if (object->nsymbols > MAX_SYMBOLS || !vz_elf_inside(object, object->symtab_raddr, bytes))
		return -EINVAL;
	object->symbols = vz_elf_keep(object, object->symtab_raddr, bytes);
	object->strings = vz_elf_keep(object, object->strtab_raddr, object->strings_bytes);
	if (!object->symbols || !object->strings)
		return -EFAULT;
	bytes = object->nsymbols * sizeof(uint16_t);
	if (object->versym_raddr && vz_elf_inside(object, object->versym_raddr, bytes))
		object->versions = vz_elf_keep(object, object->versym_raddr, bytes);
	return 0;
}

/* The tables are a cache: filling it does not change what the object is. */
static bool have_tables(const struct vz_object *object)
{
	union {
		const struct vz_object *constant;
		struct vz_object *cache;
	} either = { .constant = object };

	if (object->tables == TABLES_UNREAD)
		either.cache->tables = read_tables(either.cache) < 0 ? TABLES_BROKEN : TABLES_READ;
	return object->tables == TABLES_READ;
}

static const char *symbol_name(const struct vz_object *object, const Elf64_Sym *symbol)
{
	return symbol->st_name < object->strings_bytes ? object->strings + symbol->st_name : "";
}

static bool is_address(const Elf64_Sym *symbol)
{
	unsigned type = ELF64_ST_TYPE(symbol->st_info);

	return symbol->st_value != 0 &&
	       (type == STT_NOTYPE || type == STT_OBJECT || type == STT_FUNC);
}

static uint64_t symbol_raddr(const struct vz_object *object, const Elf64_Sym *symbol)
{
	return symbol->st_value + (symbol->st_shndx == SHN_ABS ? 0 : object->bias);
}

static bool is_default_version(const struct vz_object *object, size_t index)
{
	enum { HIDDEN = 0x8000 };

	return !object->versions || !(object->versions[index] & HIDDEN);
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t hash = 5381;

	for (; *name; name++)
		hash = hash * 33 + (unsigned char)*name;
	return hash;
}

/* False: the name is certainly not defined here.  One small read of the target. */
static bool bloom_allows(const struct vz_object *object, uint32_t hash)
{
	const struct gnu_hash *gnu = &object->gnu;
	uint64_t slot = hash / 64 & (gnu->bloom_size - 1);
	uint64_t bits = UINT64_C(1) << hash % 64 | UINT64_C(1) << (hash >> gnu->bloom_shift) % 64;
	uint64_t word;

	if (vz_target_read(object->target, object->gnu_hash_raddr + sizeof(*gnu) + slot * 8, &word,
			   sizeof(word)) < 0)
		return false;
	return (word & bits) == bits;
}

/* Index of NAME behind index AFTER with the same hash, 0 if there is none. */
static size_t next_match(const struct vz_object *object, const char *name, uint32_t hash,
			 size_t after)
{
	size_t i = after + 1;

	if (!object->gnu_hash_raddr) {
		for (; i < object->nsymbols; i++) {
			if (!strcmp(symbol_name(object, &object->symbols[i]), name))
				return i;
		}
		return 0;
	}
	if (after == 0)
		i = object->buckets[hash % object->gnu.nbuckets];
	else if (object->chain[after - object->gnu.symoffset] & 1)
		return 0;
	for (size_t end = i + MAX_CHAIN;
	     i >= object->gnu.symoffset && i < object->nsymbols && i < end; i++) {
		uint32_t link = object->chain[i - object->gnu.symoffset];

		if ((link | 1) == (hash | 1) &&
		    !strcmp(symbol_name(object, &object->symbols[i]), name))
			return i;
		if (link & 1)
			break;
	}
	return 0;
}

uint64_t vz_object_symbol(const struct vz_object *object, const char *name, uint64_t *size)
{
	uint32_t hash = gnu_hash(name);
	const Elf64_Sym *best = NULL;
	unsigned matches = 0;

	if (object->tables == TABLES_UNREAD && object->gnu_hash_raddr &&
	    !bloom_allows(object, hash))
		return 0;
	if (!have_tables(object))
		return 0;
	for (size_t i = next_match(object, name, hash, 0); i && matches < MAX_MATCHES;
	     i = next_match(object, name, hash, i), matches++) {
		const Elf64_Sym *symbol = &object->symbols[i];

		if (symbol->st_shndx == SHN_UNDEF)
			continue;
		if (!best || is_default_version(object, i))
			best = symbol;
		if (is_default_version(object, i))
			break;
	}
	if (!best || !is_address(best))
		return 0;
	if (size)
		*size = best->st_size;
	return symbol_raddr(object, best);
}

const char *vz_object_next_function(const struct vz_object *object, size_t *cursor,
				    uint64_t *raddr, uint64_t *size)
{
	if (!have_tables(object))
		return NULL;
	while (++*cursor < object->nsymbols) {
		const Elf64_Sym *symbol = &object->symbols[*cursor];
		unsigned type = ELF64_ST_TYPE(symbol->st_info);

		if (symbol->st_shndx == SHN_UNDEF || symbol->st_size == 0 ||
		    (type != STT_FUNC && type != STT_GNU_IFUNC))
			continue;
		*raddr = symbol->st_value + object->bias;
		*size = symbol->st_size;
		return symbol_name(object, symbol);
	}
	return NULL;
}

const char *vz_object_function_at(const struct vz_object *object, uint64_t raddr)
{
	uint64_t start, size;
	size_t cursor = 0;
	const char *name;

	if (!vz_elf_inside(object, raddr, 1))
		return NULL;
	while ((name = vz_object_next_function(object, &cursor, &start, &size))) {
		if (raddr >= start && raddr - start < size)
			return name;
	}
	return NULL;
}
