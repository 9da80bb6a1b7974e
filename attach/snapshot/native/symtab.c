/* SPDX-License-Identifier: MIT */
#include "attach/snapshot/native/symtab.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	MAX_NESTED = 64, /* symbols that are looked at for one address */
	MAX_UNDERSCORES = 7,
};

int vz_symtab_add(struct vz_symtab *table, const struct vz_sym *sym)
{
	if (table->count >= VZ_SYMTAB_MAX)
		return -EFBIG;
	if (table->count == table->room) {
		size_t room = table->room ? table->room * 2 : 256;
		struct vz_sym *items = realloc(table->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		table->items = items;
		table->room = room;
	}
	table->items[table->count++] = *sym;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct vz_sym *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

void vz_symtab_sort(struct vz_symtab *table)
{
	if (table->count)
		qsort(table->items, table->count, sizeof(*table->items), by_place);
}

/* How many begin at ADDRESS or before. */
static size_t count_until(const struct vz_symtab *table, uint64_t address)
{
	size_t low = 0, high = table->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (table->items[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct vz_sym *vz_symtab_find(const struct vz_symtab *table, uint64_t address)
{
	size_t n = count_until(table, address);
	const struct vz_sym *unsized = NULL;

	/* A label without a size in the middle of a function is not a function. */
	for (size_t i = n; i > 0 && n - i < MAX_NESTED; i--) {
		const struct vz_sym *sym = &table->items[i - 1];

		if (address - sym->start < sym->size)
			return sym;
		if (unsized && unsized->start - sym->start < sym->size)
			unsized = NULL; /* a label of this one, which ends before ADDRESS */
		if (sym->size == 0 && !unsized && sym->start == table->items[n - 1].start)
			unsized = sym;
	}
	if (unsized && address - unsized->start < VZ_SYMTAB_UNSIZED_MAX)
		return unsized;
	return NULL;
}

void vz_symtab_name(const struct vz_symtab *table, const struct vz_sym *sym, char *ret, size_t size)
{
	ssize_t n = 0;

	ret[0] = '\0';
	if (sym->name >= table->names_len)
		return;
	if (!table->in_file) {
		snprintf(ret, size, "%s", table->names + sym->name);
		return;
	}
	if (size > table->names_len - sym->name)
		size = table->names_len - sym->name;
	n = pread(table->fd, ret, size, (off_t)(table->at + sym->name));
	ret[n > 0 ? n - 1 : 0] = '\0';
}

void vz_symtab_fini(struct vz_symtab *table)
{
	if (table->in_file)
		close(table->fd);
	free(table->items);
	free(table->owned);
	memset(table, 0, sizeof(*table));
}

/* read, __read and __libc_read are one function: the first is what the source calls. */
uint32_t vz_symtab_rank(const char *name, unsigned bind)
{
	size_t underscores = strspn(name, "_");
	uint32_t rank = underscores < MAX_UNDERSCORES ? MAX_UNDERSCORES - (uint32_t)underscores : 0;

	rank = rank << 2 | (bind == STB_GLOBAL ? 3 : bind == STB_WEAK ? 2 : 1);
	return rank;
}

/* ---- perf map ---- */

static bool hex(const char **text, uint64_t *ret)
{
	const char *p = *text;
	uint64_t value = 0;

	/* Some writers put 0x before their numbers. */
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
		p += 2;
	for (const char *from = p;; p++) {
		unsigned c = (unsigned char)*p, digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			digit = (c | 32) - 'a' + 10;
		else if (p == from)
			return false;
		else
			break;
		if (value >> 60)
			return false;
		value = value << 4 | digit;
	}
	*text = p;
	*ret = value;
	return true;
}

/* LINE ends with a NUL, and lies in the names of TABLE. */
static int add_line(struct vz_symtab *table, const char *line, uint32_t number)
{
	struct vz_sym sym = { .rank = number };

	if (!hex(&line, &sym.start) || *line++ != ' ' || !hex(&line, &sym.size) || *line++ != ' ' ||
	    !*line || sym.size == 0)
		return 0;
	sym.name = (uint32_t)(line - table->names);
	return vz_symtab_add(table, &sym);
}

int vz_symtab_perf(char *text, size_t len, struct vz_symtab *ret)
{
	char *line = text, *behind = text + len;
	int rc = 0;

	*ret = (struct vz_symtab){ .owned = text, .names = text, .names_len = len + 1 };
	for (uint32_t number = 0; line < behind && rc == 0; number++) {
		char *end = memchr(line, '\n', (size_t)(behind - line));

		if (end)
			*end = '\0';
		rc = add_line(ret, line, number);
		line = end ? end + 1 : behind;
	}
	if (rc < 0 && rc != -EFBIG) {
		vz_symtab_fini(ret);
		return rc;
	}
	vz_symtab_sort(ret);
	return 0;
}
