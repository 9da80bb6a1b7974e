/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "attach/elfsym_priv.h"
#include "attach/util.h"

#if defined(__x86_64__)
#define HOST_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define HOST_MACHINE EM_AARCH64
#else
#error "no such CPU yet"
#endif

void *vz_elf_copy(const struct vz_target *target, uint64_t raddr, size_t len)
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
	object->phdrs = vz_elf_copy(object->target, map->start + header.e_phoff,
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
	if (vz_elf_inside(object, value, 1))
		return value;
	return vz_elf_inside(object, value + object->bias, 1) ? value + object->bias : 0;
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
	    !vz_elf_inside(object, object->strtab_raddr, object->strings_bytes))
		return;
	if (vz_target_read_string(object->target, object->strtab_raddr + offset, name,
				  sizeof(name)) == 0)
		object->soname = strdup(name);
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
		dyn = vz_elf_copy(object->target, phdr->p_vaddr + object->bias,
				  count * sizeof(*dyn));
		for (size_t k = 0; dyn && k < count && dyn[k].d_tag != DT_NULL; k++)
			take_dynamic(object, &dyn[k], &soname);
		break;
	}
	vz_elf_check_hash(object);
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
	vz_elf_forget(object);
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

	if (!phdr || !vz_elf_inside(object, phdr->p_vaddr + object->bias, phdr->p_memsz))
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

/* ---- build id ---- */

static size_t note_padded(uint32_t len, uint64_t align)
{
	return ((size_t)len + align - 1) & ~(size_t)(align - 1);
}

int vz_build_id_parse(const void *notes, size_t len, uint64_t align, struct vz_build_id *ret)
{
	const uint8_t *at = notes;

	memset(ret, 0, sizeof(*ret));
	align = align == 8 ? 8 : 4;
	while (len >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		size_t name_len, desc_len;

		memcpy(&note, at, sizeof(note));
		at += sizeof(note);
		len -= sizeof(note);
		name_len = note_padded(note.n_namesz, align);
		desc_len = note_padded(note.n_descsz, align);
		if (name_len > len || note.n_descsz > len - name_len)
			return -ENOENT;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(at, "GNU", 4) &&
		    note.n_descsz > 0 && note.n_descsz <= sizeof(ret->bytes)) {
			ret->len = note.n_descsz;
			memcpy(ret->bytes, at + name_len, ret->len);
			return 0;
		}
		if (desc_len > len - name_len)
			return -ENOENT;
		at += name_len + desc_len;
		len -= name_len + desc_len;
	}
	return -ENOENT;
}

int vz_object_build_id(const struct vz_object *object, struct vz_build_id *ret)
{
	for (unsigned i = 0; i < MAX_PHDRS; i++) {
		const Elf64_Phdr *phdr = find_phdr(object, PT_NOTE, 0, i);
		_cleanup_free_ void *notes = NULL;

		if (!phdr)
			break;
		if (phdr->p_memsz > MAX_NOTES ||
		    !vz_elf_inside(object, phdr->p_vaddr + object->bias, phdr->p_memsz))
			continue;
		notes = vz_elf_copy(object->target, phdr->p_vaddr + object->bias, phdr->p_memsz);
		if (notes && vz_build_id_parse(notes, phdr->p_memsz, phdr->p_align, ret) == 0)
			return 0;
	}
	memset(ret, 0, sizeof(*ret));
	return -ENOENT;
}

bool vz_build_id_equal(const struct vz_build_id *a, const struct vz_build_id *b)
{
	return a->len > 0 && a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
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
		if (vz_elf_inside(objects->items[i], raddr, 1))
			return objects->items[i];
	}
	return NULL;
}
