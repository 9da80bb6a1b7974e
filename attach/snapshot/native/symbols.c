/* SPDX-License-Identifier: MIT */
#include "attach/snapshot/native/symbols.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attach/elfsym_priv.h"
#include "attach/snapshot/native/symbols_priv.h"
#include "attach/util.h"

/* Of all tables together: a target can map thousands of files that state gigabytes. */
enum { MAX_KEPT_BYTES = 384 << 20 };

struct names {
	bool read;
	struct vz_symtab table; /* addresses as linked; of memory: as loaded */
	bool loaded;
};

struct vz_symbols {
	struct vz_sources sources;
	const struct vz_objects *objects;
	struct names *names; /* as many as objects */
	struct names perf;
	size_t kept;
};

int vz_symbols_new(const struct vz_target *target, const struct vz_maps *maps,
		   const struct vz_objects *objects, struct vz_symbols **ret)
{
	struct vz_symbols *symbols = calloc(1, sizeof(*symbols));

	if (!symbols)
		return -ENOMEM;
	symbols->sources.target = target;
	symbols->sources.maps = maps;
	symbols->objects = objects;
	symbols->names = calloc(objects->count + 1, sizeof(*symbols->names));
	if (!symbols->names) {
		free(symbols);
		return -ENOMEM;
	}
	*ret = symbols;
	return 0;
}

void vz_symbols_free(struct vz_symbols *symbols)
{
	if (!symbols)
		return;
	for (size_t i = 0; i < symbols->objects->count; i++)
		vz_symtab_fini(&symbols->names[i].table);
	vz_symtab_fini(&symbols->perf.table);
	vz_sources_fini(&symbols->sources);
	free(symbols->names);
	free(symbols);
}

static void charge(struct vz_symbols *symbols, const struct vz_symtab *table)
{
	symbols->kept += table->room * sizeof(*table->items);
	if (table->owned)
		symbols->kept += table->names_len;
}

/*
 * The exported functions, as the target has them in its memory: the same as .dynsym of the
 * file, which is always loaded, so the file need not be asked.
 */
static void from_memory(const struct vz_object *object, struct vz_symtab *table)
{
	uint64_t start, size;
	size_t cursor = 0;
	const char *name;

	while ((name = vz_object_next_function(object, &cursor, &start, &size))) {
		const Elf64_Sym *symbol = &object->symbols[cursor];
		struct vz_sym sym = {
			.start = start,
			.size = size,
			.name = symbol->st_name,
			.rank = vz_symtab_rank(name, ELF64_ST_BIND(symbol->st_info)),
		};

		if (*name && vz_symtab_add(table, &sym) < 0)
			break;
	}
	table->names = object->strings;
	table->names_len = object->strings ? object->strings_bytes : 0;
	vz_symtab_sort(table);
}

static void read_names(struct vz_symbols *symbols, const struct vz_object *object,
		       struct names *names)
{
	names->read = true;
	if (symbols->kept >= MAX_KEPT_BYTES)
		return;
	if (vz_symbols_from_files(&symbols->sources, object, &names->table) < 0) {
		from_memory(object, &names->table);
		names->loaded = true;
	}
	charge(symbols, &names->table);
}

static void say(const struct vz_symtab *table, const struct vz_sym *sym, struct vz_symbol *ret)
{
	char *version;

	vz_symtab_name(table, sym, ret->name, sizeof(ret->name));
	/* .symtab writes versions behind a name: pthread_cond_wait@@GLIBC_2.3.2 */
	version = strchr(ret->name, '@');
	if (version && version != ret->name)
		*version = '\0';
	vz_plain(ret->name);
}

static void in_object(struct vz_symbols *symbols, const struct vz_object *object,
		      struct names *names, uint64_t pc, struct vz_symbol *ret)
{
	const struct vz_sym *sym;
	uint64_t start, end;

	if (!names->read)
		read_names(symbols, object, names);
	vz_object_range(object, &start, &end);
	snprintf(ret->object, sizeof(ret->object), "%s", vz_object_path(object));
	vz_plain(ret->object);
	ret->offset = pc - start;
	if (!names->loaded)
		pc -= vz_object_bias(object);
	sym = vz_symtab_find(&names->table, pc);
	if (!sym)
		return;
	say(&names->table, sym, ret);
	ret->offset = pc - sym->start;
}

/* Code that is of no ELF object: made at run time, mostly. */
static void in_perf_map(struct vz_symbols *symbols, uint64_t pc, struct vz_symbol *ret)
{
	const struct vz_map *map = vz_maps_find(symbols->sources.maps, pc);
	struct names *perf = &symbols->perf;
	const struct vz_sym *sym;

	if (!map)
		return;
	snprintf(ret->object, sizeof(ret->object), "%s", map->path);
	vz_plain(ret->object);
	ret->offset = pc - map->start;
	if (!perf->read)
		vz_symbols_from_perf(symbols->sources.target, &perf->table);
	perf->read = true;
	sym = vz_symtab_find(&perf->table, pc);
	if (!sym)
		return;
	say(&perf->table, sym, ret);
	snprintf(ret->object, sizeof(ret->object), "perf map");
	ret->offset = pc - sym->start;
}

void vz_symbols_find(struct vz_symbols *symbols, uint64_t pc, struct vz_symbol *ret)
{
	const struct vz_objects *objects = symbols->objects;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < objects->count; i++) {
		if (vz_elf_inside(objects->items[i], pc, 1)) {
			in_object(symbols, objects->items[i], &symbols->names[i], pc, ret);
			return;
		}
	}
	in_perf_map(symbols, pc, ret);
}
