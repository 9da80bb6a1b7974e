/* SPDX-License-Identifier: MIT */
#include "viewer/tracks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TRACKS_MAX = 16 << 20,
	PROCESSES_MAX = 1 << 20,
};
#define SHUFFLE_MAX (UINT64_C(4) << 30) /* a file made to annoy has its tracks in any order */

static int have_process(struct vz_tracks *t, uint32_t pid, uint32_t *row)
{
	struct vz_process *bigger;
	int rc = vz_pairs_row(&t->pids, pid, 0, row);

	if (rc < 0)
		return rc;
	if (*row >= PROCESSES_MAX)
		return -EBADMSG;
	bigger = vz_grow(t->processes, &t->processes_cap, *row + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	t->processes = bigger;
	if (*row == t->nprocesses)
		bigger[t->nprocesses++] = (struct vz_process){ .pid = pid, .name = "" };
	return 0;
}

int vz_tracks_init(struct vz_tracks *t, uint32_t pid)
{
	uint32_t row;

	return have_process(t, pid, &row);
}

void vz_tracks_fini(struct vz_tracks *t)
{
	free(t->p);
	free(t->processes);
	vz_pairs_fini(&t->pids);
}

uint32_t vz_tracks_place(const struct vz_tracks *t, uint32_t id)
{
	uint32_t lo = 0, hi = t->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (t->p[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int vz_tracks_have(struct vz_tracks *t, uint32_t id, struct vz_thread_track **ret)
{
	uint32_t at = t->n && t->p[t->n - 1].id < id ? t->n : vz_tracks_place(t, id);

	if (at == t->n || t->p[at].id != id) {
		struct vz_thread_track *bigger;

		t->shuffled += (uint64_t)(t->n - at) * sizeof(*t->p);
		if (t->n >= TRACKS_MAX || t->shuffled > SHUFFLE_MAX)
			return -EBADMSG;
		bigger = vz_grow(t->p, &t->cap, t->n + 1, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		t->p = bigger;
		memmove(&t->p[at + 1], &t->p[at], (t->n - at) * sizeof(*t->p));
		t->n++;
		t->p[at] = (struct vz_thread_track){ .id = id, .name = "" };
	}
	*ret = &t->p[at];
	return 0;
}

static int set_process(struct vz_tracks *t, struct vz_thread_track *track, uint32_t pid,
		       const char *name)
{
	int rc = have_process(t, pid, &track->process);

	if (rc < 0)
		track->process = 0;
	else if (name[0])
		t->processes[track->process].name = name;
	return rc;
}

static int add_record(struct vz_tracks *t, struct vz_text *text, const struct vz_file_track *record,
		      const uint8_t *name)
{
	struct vz_thread_track *track;
	const char *kept = "";
	int rc = vz_tracks_have(t, record->track, &track);

	if (rc < 0)
		return rc;
	if (record->kind == VZ_TRACK_NAME || record->kind == VZ_TRACK_PROCESS)
		kept = vz_text_keep(text, name, record->name_len);
	if (!kept)
		return vz_text_no_room(text);
	switch (record->kind) {
	case VZ_TRACK_BEGIN:
		track->tid = record->tid;
		track->flags = record->flags;
		track->stack_key = record->stack_key;
		track->begin_ns = record->ns;
		track->defined = true;
		return 0;
	case VZ_TRACK_END:
		track->end_ns = record->ns;
		return 0;
	case VZ_TRACK_NAME:
		track->name = kept;
		return 0;
	case VZ_TRACK_PROCESS:
		return set_process(t, track, record->tid, kept);
	default:
		return 0;
	}
}

int vz_tracks_read(struct vz_tracks *t, struct vz_text *text, const uint8_t *p, size_t left)
{
	struct vz_file_track record;
	int rc = 0;

	while (left >= sizeof(record) && rc == 0) {
		memcpy(&record, p, sizeof(record));
		p += sizeof(record);
		left -= sizeof(record);
		if (left < record.name_len)
			return -EBADMSG;
		rc = add_record(t, text, &record, p);
		p += record.name_len;
		left -= record.name_len;
	}
	return rc < 0 ? rc : left ? -EBADMSG : 0;
}

void vz_reader_track_title(const struct vz_thread_track *track, char *buf, size_t size)
{
	if (!track->defined)
		snprintf(buf, size, "track %" PRIu32 " (its description is lost)", track->id);
	else if (track->stack_key && track->name[0])
		snprintf(buf, size, "%s, greenlet %" PRIx64, track->name, track->stack_key);
	else if (track->stack_key)
		snprintf(buf, size, "thread %" PRIu32 ", greenlet %" PRIx64, track->tid,
			 track->stack_key);
	else if (track->name[0])
		snprintf(buf, size, "%s", track->name);
	else
		snprintf(buf, size, "thread %" PRIu32, track->tid);
}
