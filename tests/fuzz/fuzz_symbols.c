/* SPDX-License-Identifier: MIT */
/*
 * Whatever a file of symbols, a perf map or a table of /proc/net says: it is read without a
 * crash, names are within what was read, and every symbol that is found holds what was asked
 * for.
 *
 * The first byte says which it is.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attach/snapshot/native/elffile.h"
#include "attach/snapshot/native/symtab.h"
#include "attach/snapshot/proc/procstate_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_BYTES = 64 << 20 };

static void check(bool good)
{
	if (!good)
		abort();
}

static void ask(const struct vz_symtab *table)
{
	char name[256];

	for (size_t i = 0; i < table->count; i++) {
		const struct vz_sym *sym = &table->items[i], *found;

		check(i == 0 || sym[-1].start <= sym->start);
		vz_symtab_name(table, sym, name, sizeof(name));
		check(strlen(name) < sizeof(name));
		found = vz_symtab_find(table, sym->start);
		check(!found || found->start <= sym->start);
		found = vz_symtab_find(table, sym->start + sym->size);
		check(!found || found->start <= sym->start + sym->size);
	}
	vz_symtab_find(table, 0);
	vz_symtab_find(table, UINT64_MAX);
}

static void read_elf(const uint8_t *data, size_t size)
{
	int fd = memfd_create("file", MFD_CLOEXEC);
	struct vz_elffile file;
	struct vz_build_id id;
	char name[256];
	uint32_t crc;

	check(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	if (vz_elffile_use(fd, &file) == 0) {
		struct vz_symtab table;

		if (vz_elffile_build_id(&file, &id) == 0)
			check(id.len > 0 && id.len <= sizeof(id.bytes));
		if (vz_elffile_debug_link(&file, name, sizeof(name), &crc) == 0)
			check(name[0] && !strchr(name, '/'));
		vz_elffile_crc(&file, 1 << 20, &crc);
		if (vz_elffile_symbols(&file, size % 2 ? 0 : size, &table) == 0) {
			ask(&table);
			vz_symtab_fini(&table);
		}
	}
	vz_elffile_close(&file);
}

static void read_perf(char *text, size_t len)
{
	struct vz_symtab table;

	if (vz_symtab_perf(text, len, &table) == 0) {
		ask(&table);
		vz_symtab_fini(&table);
	}
}

static void read_sockets(const char *text)
{
	struct vz_arena *arena = vz_arena_new(ARENA_BYTES);
	char end[80];

	for (int kind = 0; kind < VZ_NSOCKS; kind++) {
		struct vz_socks socks;

		vz_socks_parse(arena, text, (enum vz_sock_kind)kind, &socks);
		for (size_t i = 0; i < socks.count; i++) {
			if (kind == VZ_SOCK_UNIX)
				check(strlen(socks.items[i].path) < 256);
			else
				vz_sock_endpoint(&socks.items[i], i % 2, end, sizeof(end));
			check(vz_sock_state(&socks.items[i]) != NULL);
		}
	}
	vz_arena_free(arena);
}

static void read_rest(char *text, size_t len)
{
	struct vz_mount mounts[64];
	char address[256];
	bool dns;
	size_t n;

	vz_sockaddr_text(text, len, address, sizeof(address), &dns);
	vz_lock_holder(text, 7);
	n = vz_mounts_parse(text, mounts, 64);
	for (size_t i = 0; i < n; i++)
		vz_mount_is_remote(&mounts[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size < 1)
		return 0;
	text = malloc(size); /* exact: its end is watched */
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 4) {
	case 0:
		read_elf(data + 1, size - 1);
		break;
	case 1:
		read_perf(text, size - 1);
		return 0; /* it took the text over */
	case 2:
		read_sockets(text);
		break;
	default:
		read_rest(text, size - 1);
		break;
	}
	free(text);
	return 0;
}
