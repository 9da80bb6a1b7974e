/* SPDX-License-Identifier: MIT */
/* snapshot.c - small things that every room of the snapshot needs. */
#include "attach/snapshot/snapshot.h"

#include <stdarg.h>
#include <stdio.h>

enum { NOTES = sizeof(((struct vz_snapshot *)0)->notes) / sizeof(const char *) };

void vz_snapshot_note(struct vz_snapshot *s, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (s->nnotes == NOTES) {
		s->notes[NOTES - 1] = "more could not be read";
		return;
	}
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	s->notes[s->nnotes++] = vz_arena_text(s->arena, text);
}

int vz_snapshot_by_tid(const struct vz_snapshot *s, pid_t tid)
{
	for (size_t i = 0; tid && i < s->nthreads; i++) {
		if (s->threads[i].tid == tid)
			return (int)i;
	}
	return -1;
}

int vz_snapshot_by_ident(const struct vz_snapshot *s, uint64_t ident)
{
	for (size_t i = 0; ident && i < s->nthreads; i++) {
		if (s->threads[i].ident == ident)
			return (int)i;
	}
	return -1;
}

int vz_snapshot_by_tstate(const struct vz_snapshot *s, uint64_t tstate)
{
	for (size_t i = 0; tstate && i < s->nthreads; i++) {
		if (s->threads[i].tstate == tstate)
			return (int)i;
	}
	return -1;
}

const char *vz_verdict_name(enum vz_verdict_kind kind)
{
	static const char *const names[VZ_NVERDICTS] = {
		[VZ_VERDICT_UNKNOWN] = "unknown",     [VZ_VERDICT_DEADLOCK] = "deadlock",
		[VZ_VERDICT_GIL_HELD] = "gil-held",   [VZ_VERDICT_LOOP_BLOCKED] = "loop-blocked",
		[VZ_VERDICT_PEER] = "peer",           [VZ_VERDICT_ORPHANED_LOCK] = "orphaned-lock",
		[VZ_VERDICT_BUSY] = "busy",           [VZ_VERDICT_DISK] = "disk",
		[VZ_VERDICT_THROTTLED] = "throttled", [VZ_VERDICT_SWAPPED] = "swapped",
		[VZ_VERDICT_STOPPED] = "stopped",     [VZ_VERDICT_CHILD] = "child",
		[VZ_VERDICT_LOCK] = "lock",           [VZ_VERDICT_COLLECTING] = "collecting",
		[VZ_VERDICT_IDLE] = "idle",
	};

	return (unsigned)kind < VZ_NVERDICTS ? names[kind] : "unknown";
}
