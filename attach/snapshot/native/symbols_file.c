/* SPDX-License-Identifier: MIT */
/*
 * symbols_file.c - which file on disk is the one that is mapped, and where its symbols went.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "attach/snapshot/native/elffile.h"
#include "attach/snapshot/native/symbols_priv.h"
#include "attach/util.h"

enum {
	LINKED_MAX_BYTES = 64 << 20,
	PERF_MAX_BYTES = 64 << 20,
	PATH_BYTES = 4096 + 512,
};

/* ---- what may be opened ---- */

void vz_sources_fini(struct vz_sources *sources)
{
	free(sources->mounts);
	free(sources->own);
	free(sources->text);
	free(sources->own_text);
}

/*
 * A dead file server may be what the target hangs on: who opens a file there hangs too.  The
 * names that memory has must do then.  PATH is one of the target, or with OWN one of ours.
 */
static bool may_open(struct vz_sources *s, bool own, const char *path)
{
	if (!s->read) {
		s->read = true;
		if (s->target->pid)
			s->text = vz_mounts_read(s->target->pid, &s->mounts, &s->nmounts);
		s->own_text = vz_mounts_read(0, &s->own, &s->nown);
	}
	if (own || !s->target->pid)
		return !vz_mount_is_remote(vz_mount_of(s->own, s->nown, path));
	return !vz_mount_is_remote(vz_mount_of(s->mounts, s->nmounts, path));
}

/* ---- the file that is mapped ---- */

/* Is FILE what OBJECT was loaded from? */
static bool is_mapped(const struct vz_elffile *file, const struct vz_build_id *id,
		      const struct vz_map *map)
{
	struct vz_build_id other;

	if (id->len)
		return vz_elffile_build_id(file, &other) == 0 && vz_build_id_equal(id, &other);
	return map->inode && map->inode == file->ino && map->dev_major == major(file->dev) &&
	       map->dev_minor == minor(file->dev);
}

static bool take(const char *path, const struct vz_build_id *id, const struct vz_map *map,
		 struct vz_elffile *ret)
{
	if (vz_elffile_open(path, ret) == 0 && is_mapped(ret, id, map))
		return true;
	vz_elffile_close(ret);
	return false;
}

/* "" for our own root, which is that of a core dump too. */
static void root_of(const struct vz_target *target, char *ret, size_t size)
{
	ret[0] = '\0';
	if (target->pid)
		snprintf(ret, size, "/proc/%d/root", (int)target->pid);
}

/* The link of the mapping works for deleted files too, but asks for privileges. */
static bool open_mapped(struct vz_sources *s, const struct vz_map *map,
			const struct vz_build_id *id, struct vz_elffile *ret)
{
	const struct vz_target *target = s->target;
	char path[PATH_BYTES], root[64];

	if (!may_open(s, false, map->path))
		return false;
	if (target->pid) {
		snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", (int)target->pid,
			 (unsigned long long)map->start, (unsigned long long)map->end);
		if (take(path, id, map, ret))
			return true;
	}
	if (map->deleted || map->path[0] != '/')
		return false;
	root_of(target, root, sizeof(root));
	snprintf(path, sizeof(path), "%s%s", root, map->path);
	if (take(path, id, map, ret))
		return true;
	/* Of a target that has changed its root alone the kernel tells paths of ours. */
	return target->pid && may_open(s, true, map->path) && take(map->path, id, map, ret);
}

/* ---- debug files ---- */

/* A root to look in: the target's, or ours. */
struct root {
	struct vz_sources *sources;
	bool own;
	char path[64];
};

/* PATH is below ROOT. */
static bool symbols_of(const struct root *root, const char *path, const struct vz_build_id *id,
		       const uint32_t *crc, struct vz_symtab *ret)
{
	char whole[PATH_BYTES + sizeof(root->path)];
	struct vz_elffile file;
	struct vz_build_id other;
	uint32_t sum;
	bool good = false;

	if (!may_open(root->sources, root->own, path))
		return false;
	snprintf(whole, sizeof(whole), "%s%s", root->path, path);
	if (vz_elffile_open(whole, &file) == 0) {
		if (id->len && vz_elffile_build_id(&file, &other) == 0)
			good = vz_build_id_equal(id, &other);
		else if (crc)
			good = vz_elffile_crc(&file, LINKED_MAX_BYTES, &sum) == 0 && sum == *crc;
		good = good && vz_elffile_symbols(&file, VZ_ELFFILE_KEEP, ret) == 0;
	}
	vz_elffile_close(&file);
	return good;
}

static bool by_build_id(const struct root *root, const struct vz_build_id *id,
			struct vz_symtab *ret)
{
	char hex[2 * sizeof(id->bytes) + 1], path[PATH_BYTES];

	if (id->len < 2)
		return false;
	for (size_t i = 0; i < id->len; i++)
		snprintf(hex + 2 * i, 3, "%02x", id->bytes[i]);
	snprintf(path, sizeof(path), "/usr/lib/debug/.build-id/%.2s/%s.debug", hex, hex + 2);
	return symbols_of(root, path, id, NULL, ret);
}

struct debug_link {
	char name[256];
	uint32_t crc;
};

static bool by_link(const struct root *root, const char *object, const struct debug_link *link,
		    const struct vz_build_id *id, struct vz_symtab *ret)
{
	static const char *const forms[][2] = { { "", "" },
						{ "", ".debug/" },
						{ "/usr/lib/debug", "" } };
	int dir = (int)(vz_basename(object) - object);
	char path[PATH_BYTES];

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		int n = snprintf(path, sizeof(path), "%s%.*s%s%s", forms[i][0], dir, object,
				 forms[i][1], link->name);

		if (n > 0 && (size_t)n < sizeof(path) &&
		    symbols_of(root, path, id, &link->crc, ret))
			return true;
	}
	return false;
}

static bool from_debug_file(struct vz_sources *s, const char *object, const struct debug_link *link,
			    const struct vz_build_id *id, struct vz_symtab *ret)
{
	struct root roots[2] = { { .sources = s }, { .sources = s, .own = true } };
	int n = s->target->pid ? 2 : 1;

	root_of(s->target, roots[0].path, sizeof(roots[0].path));
	for (int i = 0; i < n; i++) {
		if (by_build_id(&roots[i], id, ret))
			return true;
	}
	for (int i = 0; i < n; i++) {
		if (link->name[0] && by_link(&roots[i], object, link, id, ret))
			return true;
	}
	return false;
}

int vz_symbols_from_files(struct vz_sources *sources, const struct vz_object *object,
			  struct vz_symtab *ret)
{
	struct debug_link link = { .name = "" };
	const struct vz_map *map;
	struct vz_build_id id;
	struct vz_elffile file;
	uint64_t start, end;
	bool found = false;

	vz_object_range(object, &start, &end);
	map = vz_maps_find(sources->maps, start);
	if (!map || map->path[0] != '/')
		return -ENOENT;
	vz_object_build_id(object, &id);
	if (open_mapped(sources, map, &id, &file)) {
		found = vz_elffile_symbols(&file, VZ_ELFFILE_KEEP, ret) == 0;
		if (!found &&
		    vz_elffile_debug_link(&file, link.name, sizeof(link.name), &link.crc) < 0)
			link.name[0] = '\0';
		vz_elffile_close(&file);
	}
	if (!found)
		found = from_debug_file(sources, vz_object_path(object), &link, &id, ret);
	return found ? 0 : -ENOENT;
}

/* ---- perf map ---- */

/* /tmp is everyone's: only what the target itself, or root, has written is believed. */
static int open_perf(const struct vz_target *target, size_t *len)
{
	struct vz_status status;
	struct stat st;
	char path[128];
	int fd;

	if (!target->pid || vz_status_read(target->pid, 0, &status) < 0)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/%d/root/tmp/perf-%d.map", (int)target->pid,
		 (int)(status.ns_pid ? status.ns_pid : target->pid));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (st.st_uid != status.euid && st.st_uid != 0)) {
		close(fd);
		return -EPERM;
	}
	*len = st.st_size < PERF_MAX_BYTES ? (size_t)st.st_size : PERF_MAX_BYTES;
	return fd;
}

int vz_symbols_from_perf(const struct vz_target *target, struct vz_symtab *ret)
{
	size_t len = 0, used = 0;
	_cleanup_close_ int fd = open_perf(target, &len);
	char *text = fd >= 0 ? malloc(len + 1) : NULL;

	memset(ret, 0, sizeof(*ret));
	if (!text)
		return fd < 0 ? fd : -ENOMEM;
	while (used < len) {
		ssize_t n = pread(fd, text + used, len - used, (off_t)used);

		if (n <= 0)
			break;
		used += (size_t)n;
	}
	text[used] = '\0';
	return vz_symtab_perf(text, used, ret);
}
