/* SPDX-License-Identifier: MIT */
#include "attach/elfsym.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "attach/util.h"

#if defined(__x86_64__)
#define HOST_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define HOST_MACHINE EM_AARCH64
#else
#error "no such CPU yet"
#endif

/* What a target may claim; the largest known libraries stay well below. */
enum {
	MAX_PHDRS = 128,
	MAX_DYNAMIC = 4096,      /* entries */
	MAX_SYMBOLS = 4 << 20,   /* libtorch has a tenth of that */
	MAX_STRINGS = 512 << 20, /* bytes */
	MAX_CHAIN = 1 << 16,     /* symbols in one bucket */
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
};

/* A new copy of LEN bytes of the target, NULL if they are not there. */
static void *copy_out(const struct vz_target *target, uint64_t raddr, size_t len)
{
	char *buf = malloc(len + 1);

	if (buf && vz_target_read(target, raddr, buf, len) < 0) {
		free(buf);
		return NULL;
	}
	if (buf)
		buf[len] = '\0';
	return buf;
}

static bool inside(const struct vz_object *object, uint64_t raddr, uint64_t len)
{
	return raddr >= object->start && raddr <= object->end && len <= object->end - raddr;
}

/* ---- headers ---- */

static int check_header(const Elf64_Ehdr *header)
{
	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != HOST_MACHINE)
		return -ENOTSUP;
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return -ENOEXEC;
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
	    header->e_phnum > MAX_PHDRS)
		return -ENOEXEC;
	return 0;
}

static bool sane_segment(const Elf64_Phdr *phdr)
{
	return phdr->p_vaddr < MAX_ADDRESS && phdr->p_memsz < MAX_ADDRESS;
}

/* Bias and range; the first PT_LOAD is the one that maps the ELF header. */
static int lay_out(struct vz_object *object, const struct vz_map *map)
{
	bool first = true;

	for (size_t i = 0; i < object->nphdrs; i++) {
		const Elf64_Phdr *phdr = &object->phdrs[i];
		uint64_t end;

		if (!sane_segment(phdr))
			return -ENOEXEC;
		object->interp |= phdr->p_type == PT_INTERP;
		if (phdr->p_type != PT_LOAD)
			continue;
		if (first) {
			if (phdr->p_offset > phdr->p_vaddr)
				return -ENOEXEC;
			/* Wraps for an object linked at an address above its place: intended. */
			object->bias = map->start - (phdr->p_vaddr - phdr->p_offset);
			object->start = map->start;
			first = false;
		}
		end = phdr->p_vaddr + phdr->p_memsz + object->bias;
		if (end < object->start || end > MAX_ADDRESS)
			return -ENOEXEC;
		if (end > object->end)
			object->end = end;
	}
	return first ? -ENOEXEC : 0;
}

/*
 * A file that is mapped only to be read, or the data page of a tiny library, starts with an ELF
 * header too; but its code is not where the header says.
 */
static bool is_loaded(const struct vz_object *object, const struct vz_maps *maps)
{
	uint64_t start, end;
	bool any = false;

	for (unsigned i = 0; vz_object_text(object, i, &start, &end) == 0; i++) {
		const struct vz_map *map = vz_maps_find(maps, start);

		if (!map || !map->executable)
			return false;
		any = true;
	}
	return any;
}

static int read_headers(struct vz_object *object, const struct vz_maps *maps,
			const struct vz_map *map)
{
	Elf64_Ehdr header;
	int rc = vz_target_read(object->target, map->start, &header, sizeof(header));

	if (rc < 0)
		return rc;
	rc = check_header(&header);
	if (rc < 0)
		return rc;
	if (header.e_phoff > map->end - map->start ||
	    header.e_phnum * sizeof(Elf64_Phdr) > map->end - map->start - header.e_phoff)
		return -ENOEXEC;
	object->nphdrs = header.e_phnum;
	object->phdrs = copy_out(object->target, map->start + header.e_phoff,
				 object->nphdrs * sizeof(Elf64_Phdr));
	if (!object->phdrs)
		return -EFAULT;
	rc = lay_out(object, map);
	if (rc < 0)
		return rc;
	return is_loaded(object, maps) ? 0 : -ENOEXEC;
}

/* ---- .dynamic ---- */

/*
 * glibc adds the bias to these pointers in place, the vdso and musl leave them as
 * linked: take whichever reading lies inside the object.
 */
static uint64_t dynamic_pointer(const struct vz_object *object, uint64_t value)
{
	if (inside(object, value, 1))
		return value;
	return inside(object, value + object->bias, 1) ? value + object->bias : 0;
}

static void take_dynamic(struct vz_object *object, const Elf64_Dyn *dyn, uint64_t *soname)
{
	uint64_t value = dyn->d_un.d_val;

	switch (dyn->d_tag) {
	case DT_SYMTAB:
		object->symtab_raddr = dynamic_pointer(object, value);
		break;
	case DT_STRTAB:
		object->strtab_raddr = dynamic_pointer(object, value);
		break;
	case DT_STRSZ:
		object->strings_bytes = value;
		break;
	case DT_VERSYM:
		object->versym_raddr = dynamic_pointer(object, value);
		break;
	case DT_GNU_HASH:
		object->gnu_hash_raddr = dynamic_pointer(object, value);
		break;
	case DT_HASH:
		object->hash_raddr = dynamic_pointer(object, value);
		break;
	case DT_SONAME:
		*soname = value;
		break;
	default:
		break;
	}
}

static void read_soname(struct vz_object *object, uint64_t offset)
{
	char name[256];

	if (offset >= object->strings_bytes ||
	    !inside(object, object->strtab_raddr, object->strings_bytes))
		return;
	if (vz_target_read_string(object->target, object->strtab_raddr + offset, name,
				  sizeof(name)) == 0)
		object->soname = strdup(name);
}

static void check_gnu_hash(struct vz_object *object)
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

/* An object without usable tables is still one: it has a place and a path. */
static void read_dynamic(struct vz_object *object)
{
	uint64_t soname = UINT64_MAX;

	for (size_t i = 0; i < object->nphdrs; i++) {
		const Elf64_Phdr *phdr = &object->phdrs[i];
		size_t count = phdr->p_memsz / sizeof(Elf64_Dyn);
		_cleanup_free_ Elf64_Dyn *dyn = NULL;

		if (phdr->p_type != PT_DYNAMIC)
			continue;
		if (count > MAX_DYNAMIC)
			count = MAX_DYNAMIC;
		dyn = copy_out(object->target, phdr->p_vaddr + object->bias, count * sizeof(*dyn));
		for (size_t k = 0; dyn && k < count && dyn[k].d_tag != DT_NULL; k++)
			take_dynamic(object, &dyn[k], &soname);
		break;
	}
	check_gnu_hash(object);
	if (soname != UINT64_MAX)
		read_soname(object, soname);
}

int vz_object_read(const struct vz_target *target, const struct vz_maps *maps,
		   const struct vz_map *map, struct vz_object **ret)
{
	struct vz_object *object = calloc(1, sizeof(*object));
	int rc;

	if (!object)
		return -ENOMEM;
	object->target = target;
	object->path = strdup(map->path);
	rc = object->path ? read_headers(object, maps, map) : -ENOMEM;
	if (rc < 0) {
		vz_object_free(object);
		return rc;
	}
	read_dynamic(object);
	*ret = object;
	return 0;
}

void vz_object_free(struct vz_object *object)
{
	if (!object)
		return;
	free(object->path);
	free(object->soname);
	free(object->phdrs);
	free(object->symbols);
	free(object->versions);
	free(object->strings);
	free(object->buckets);
	free(object->chain);
	free(object);
}

/* ---- symbol tables ---- */

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

		if (!inside(object, raddr, sizeof(step)))
			room = inside(object, raddr, 4) ? (object->end - raddr) / 4 : 0;
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

	if (!inside(object, raddr, chain_raddr - raddr))
		return -EINVAL;
	object->buckets = copy_out(object->target, raddr, chain_raddr - raddr);
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
	object->chain = copy_out(object->target, chain_raddr,
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
	    !inside(object, object->strtab_raddr, object->strings_bytes))
		return -ENOENT;
	rc = count_symbols(object);
	if (rc < 0)
		return rc;
	bytes = object->nsymbols * sizeof(Elf64_Sym);
	if (object->nsymbols > MAX_SYMBOLS || !inside(object, object->symtab_raddr, bytes))
		return -EINVAL;
	object->symbols = copy_out(object->target, object->symtab_raddr, bytes);
	object->strings = copy_out(object->target, object->strtab_raddr, object->strings_bytes);
	if (!object->symbols || !object->strings)
		return -EFAULT;
	bytes = object->nsymbols * sizeof(uint16_t);
	if (object->versym_raddr && inside(object, object->versym_raddr, bytes))
		object->versions = copy_out(object->target, object->versym_raddr, bytes);
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

	return symbol->st_shndx != SHN_UNDEF && symbol->st_value != 0 &&
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
	for (; i >= object->gnu.symoffset && i < object->nsymbols; i++) {
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

	if (object->tables == TABLES_UNREAD && object->gnu_hash_raddr &&
	    !bloom_allows(object, hash))
		return 0;
	if (!have_tables(object))
		return 0;
	for (size_t i = next_match(object, name, hash, 0); i;
	     i = next_match(object, name, hash, i)) {
		const Elf64_Sym *symbol = &object->symbols[i];

		if (!is_address(symbol))
			continue;
		if (!best || is_default_version(object, i))
			best = symbol;
		if (is_default_version(object, i))
			break;
	}
	if (!best)
		return 0;
	if (size)
		*size = best->st_size;
	return symbol_raddr(object, best);
}

const char *vz_object_function_at(const struct vz_object *object, uint64_t raddr)
{
	if (!inside(object, raddr, 1) || !have_tables(object))
		return NULL;
	for (size_t i = 1; i < object->nsymbols; i++) {
		const Elf64_Sym *symbol = &object->symbols[i];
		unsigned type = ELF64_ST_TYPE(symbol->st_info);
		uint64_t start = symbol->st_value + object->bias;

		if (symbol->st_shndx != SHN_UNDEF && symbol->st_size > 0 &&
		    (type == STT_FUNC || type == STT_GNU_IFUNC) && raddr >= start &&
		    raddr - start < symbol->st_size)
			return symbol_name(object, symbol);
	}
	return NULL;
}

/* ---- what it is ---- */

uint64_t vz_object_bias(const struct vz_object *object)
{
	return object->bias;
}

const char *vz_object_path(const struct vz_object *object)
{
	return object->path;
}

const char *vz_object_soname(const struct vz_object *object)
{
	return object->soname ? object->soname : "";
}

bool vz_object_has_interp(const struct vz_object *object)
{
	return object->interp;
}

void vz_object_range(const struct vz_object *object, uint64_t *start, uint64_t *end)
{
	*start = object->start;
	*end = object->end;
}

/* The INDEXth program header of TYPE with all of FLAGS, or NULL. */
static const Elf64_Phdr *find_phdr(const struct vz_object *object, uint32_t type, uint32_t flags,
				   unsigned index)
{
	for (size_t i = 0; i < object->nphdrs; i++) {
		const Elf64_Phdr *phdr = &object->phdrs[i];

		if (phdr->p_type == type && (phdr->p_flags & flags) == flags && index-- == 0)
			return phdr;
	}
	return NULL;
}

int vz_object_eh_frame_hdr(const struct vz_object *object, uint64_t *raddr, uint64_t *size)
{
	const Elf64_Phdr *phdr = find_phdr(object, PT_GNU_EH_FRAME, 0, 0);

	if (!phdr || !inside(object, phdr->p_vaddr + object->bias, phdr->p_memsz))
		return -ENOENT;
	*raddr = phdr->p_vaddr + object->bias;
	*size = phdr->p_memsz;
	return 0;
}

int vz_object_text(const struct vz_object *object, unsigned index, uint64_t *start, uint64_t *end)
{
	const Elf64_Phdr *phdr = find_phdr(object, PT_LOAD, PF_X, index);

	if (!phdr)
		return -ENOENT;
	*start = phdr->p_vaddr + object->bias;
	*end = *start + phdr->p_memsz;
	return 0;
}

/* ---- all of them ---- */

static bool may_be_object(const struct vz_map *map)
{
	if (!strcmp(map->path, "[vdso]"))
		return true;
	return map->offset == 0 && map->inode != 0 && map->path[0] == '/';
}

static int add_object(struct vz_objects *objects, struct vz_object *object)
{
	struct vz_object **items = objects->items;

	if (objects->count % 64 == 0) {
		items = realloc(items, (objects->count + 64) * sizeof(struct vz_object *));
		if (!items)
			return -ENOMEM;
		objects->items = items;
	}
	items[objects->count++] = object;
	return 0;
}

static void main_program_first(struct vz_objects *objects, const char *exe)
{
	for (size_t i = 0; i < objects->count; i++) {
		struct vz_object *object = objects->items[i];

		if (strcmp(object->path, exe) != 0)
			continue;
		memmove(objects->items + 1, objects->items, i * sizeof(struct vz_object *));
		objects->items[0] = object;
		return;
	}
}

int vz_objects_read(const struct vz_target *target, const struct vz_maps *maps,
		    struct vz_objects *ret, struct vz_err *err)
{
	uint64_t end = 0;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < maps->count && ret->count < MAX_OBJECTS; i++) {
		const struct vz_map *map = &maps->items[i];
		struct vz_object *object;

		/* A tiny library maps its first page twice: only the first is the header. */
		if (map->start < end || !may_be_object(map) ||
		    vz_object_read(target, maps, map, &object) < 0)
			continue;
		if (add_object(ret, object) < 0) {
			vz_object_free(object);
			vz_objects_fini(ret);
			return vz_err_set(err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
		}
		end = object->end;
	}
	main_program_first(ret, target->exe);
	return 0;
}

void vz_objects_fini(struct vz_objects *objects)
{
	for (size_t i = 0; i < objects->count; i++)
		vz_object_free(objects->items[i]);
	free(objects->items);
	memset(objects, 0, sizeof(*objects));
}

const struct vz_object *vz_objects_find(const struct vz_objects *objects, uint64_t raddr)
{
	for (size_t i = 0; i < objects->count; i++) {
		if (inside(objects->items[i], raddr, 1))
			return objects->items[i];
	}
	return NULL;
}
