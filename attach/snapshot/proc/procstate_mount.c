/* SPDX-License-Identifier: MIT */
/*
 * procstate_mount.c - which file system a file is on.  Asked of mountinfo, never of the file:
 * who asks a dead server for the type of its file system hangs like the target.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/proc/procstate_priv.h"
#include "attach/util.h"

enum { MOUNTS_MAX_BYTES = 4 << 20, MOUNTS_MAX = 1 << 14 };

/* mountinfo writes blanks and such as \040. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + text[3] - '0');
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

/* "36 35 98:0 /root /point options optional - type source options" */
static bool parse_line(char *line, struct vz_mount *ret)
{
	char *tail = strstr(line, " - "), *save = NULL, *word[5];

	if (!tail)
		return false;
	*tail = '\0';
	tail += 3;
	for (int i = 0; i < 5; i++) {
		word[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!word[i])
			return false;
	}
	tail[strcspn(tail, " ")] = '\0';
	unescape(word[4]);
	ret->id = (int)strtol(word[0], NULL, 10);
	ret->point = word[4];
	ret->type = tail;
	return true;
}

size_t vz_mounts_parse(char *text, struct vz_mount *ret, size_t room)
{
	size_t count = 0;

	while (*text && count < room) {
		char *end = strchr(text, '\n');

		if (end)
			*end = '\0';
		count += parse_line(text, &ret[count]);
		if (!end)
			break;
		text = end + 1;
	}
	return count;
}

char *vz_mounts_read(pid_t pid, struct vz_mount **ret, size_t *count)
{
	char *text = NULL;
	size_t len, lines = 1;
	int rc = pid ? vz_slurp_proc(pid, 0, "mountinfo", MOUNTS_MAX_BYTES, &text, &len)
		     : vz_slurp("/proc/self/mountinfo", MOUNTS_MAX_BYTES, &text, &len);

	*ret = NULL;
	*count = 0;
	if (rc < 0)
		return NULL;
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	if (lines > MOUNTS_MAX)
		lines = MOUNTS_MAX;
	*ret = calloc(lines, sizeof(**ret));
	if (*ret)
		*count = vz_mounts_parse(text, *ret, lines);
	return text;
}

/* A copy that lives as long as the snapshot. */
static void read_mounts(struct vz_snapshot *s, struct vz_proc *proc)
{
	_cleanup_free_ struct vz_mount *mounts = NULL;
	_cleanup_free_ char *text = NULL;
	size_t count;

	proc->mounts_read = true;
	if (!vz_proc_pid(s))
		return;
	text = vz_mounts_read(vz_proc_pid(s), &mounts, &count);
	proc->mounts = vz_arena_alloc(s->arena, count + 1, sizeof(*proc->mounts));
	if (!text || !proc->mounts)
		return;
	for (size_t i = 0; i < count; i++) {
		proc->mounts[i].id = mounts[i].id;
		proc->mounts[i].point = vz_arena_text(s->arena, mounts[i].point);
		proc->mounts[i].type = vz_arena_text(s->arena, mounts[i].type);
	}
	proc->nmounts = count;
}

static struct vz_proc *with_mounts(struct vz_snapshot *s)
{
	struct vz_proc *proc = vz_proc_of(s);

	if (proc && !proc->mounts_read)
		read_mounts(s, proc);
	return proc;
}

const struct vz_mount *vz_mount_by_id(struct vz_snapshot *s, int id)
{
	const struct vz_proc *proc = with_mounts(s);

	for (size_t i = 0; proc && i < proc->nmounts; i++) {
		if (proc->mounts[i].id == id)
			return &proc->mounts[i];
	}
	return NULL;
}

static bool is_below(const char *path, const char *point)
{
	size_t len = strlen(point);

	return !strcmp(point, "/") ||
	       (!strncmp(path, point, len) && (path[len] == '/' || path[len] == '\0'));
}

const struct vz_mount *vz_mount_of(const struct vz_mount *mounts, size_t count, const char *path)
{
	const struct vz_mount *best = NULL;

	/* Of two on one point the later one is on top. */
	for (size_t i = 0; path[0] == '/' && i < count; i++) {
		if (is_below(path, mounts[i].point) &&
		    (!best || strlen(mounts[i].point) >= strlen(best->point)))
			best = &mounts[i];
	}
	return best;
}

const struct vz_mount *vz_mount_by_path(struct vz_snapshot *s, const char *path)
{
	const struct vz_proc *proc = with_mounts(s);

	return proc ? vz_mount_of(proc->mounts, proc->nmounts, path) : NULL;
}

bool vz_mount_is_remote(const struct vz_mount *mount)
{
	static const char *const types[] = { "nfs",  "nfs4",   "cifs",   "smb3",    "smbfs",
					     "9p",   "ceph",   "afs",    "coda",    "lustre",
					     "gfs2", "ocfs2",  "beegfs", "pvfs2",   "orangefs",
					     "gpfs", "autofs", "vboxsf", "virtiofs" };

	if (!mount)
		return false;
	/* The storage of containers without privileges: as local as any. */
	if (!strcmp(mount->type, "fuse.fuse-overlayfs"))
		return false;
	if (!strcmp(mount->type, "fuse") || vz_starts_with(mount->type, "fuse."))
		return true;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (!strcmp(mount->type, types[i]))
			return true;
	}
	return false;
}
