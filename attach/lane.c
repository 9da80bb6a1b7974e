/* SPDX-License-Identifier: MIT */
#include "attach/lane.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/drain.h"

enum {
	MAX_STACKS = 4096,         /* of one lane */
	MAX_ALL_STACKS = 1 << 16,  /* of all lanes; each has one in any case */
	MAX_NAMES = 16,            /* a lane is renamed so often, then no more */
	NAME_MAX_BYTES = 256,
	SNAPSHOT_MAX = 1 << 20,
	SNAPSHOT_FIRST = 64,
	SNAPSHOT_KEEP = 1 << 12,   /* more room is given back after use */
	SNAPSHOTS_MAX = 16 << 20,  /* words of all lanes */
	LOOKS_EACH = 64,           /* frames that a record may make us look at, on average; */
	LOOKS_MAX = VZ_TRACK_MAX_DEPTH, /* saved up by records that needed fewer */
};

struct stack {
	uint64_t key;
	struct vz_track *track;
	uint64_t used; /* when it last ran: the longest idle one makes room */
};

struct vz_lane {
	struct vz_lanes *shared;
	pid_t tid;
	unsigned flags;
	char name[NAME_MAX_BYTES];
	struct stack *stacks; /* [0] is the thread's own */
	unsigned nstacks, room, current;
	uint64_t switches;
	uint64_t lost_written;
	/* a stack snapshot that is being received */
	uint32_t *snapshot;
	uint32_t snapshot_len, snapshot_want, snapshot_room;
	unsigned snapshot_why;
	unsigned names; /* how often it was named */
	uint32_t looks; /* see LOOKS_EACH */
};

static void name_stack(const struct vz_lane *lane, unsigned i)
{
	char name[NAME_MAX_BYTES + 32];

	if (!lane->name[0])
		return;
	if (i == 0)
		snprintf(name, sizeof(name), "%s", lane->name);
	else
		snprintf(name, sizeof(name), "%s / greenlet %u", lane->name, i);
	vz_track_name(lane->stacks[i].track, name);
}

static int add_stack(struct vz_lane *lane, uint64_t key, uint64_t ns)
{
	if (lane->nstacks == lane->room) {
		unsigned room = lane->room ? 2 * lane->room : 1;
		struct stack *grown = realloc(lane->stacks, room * sizeof(*grown));

		if (!grown)
			return -1;
		lane->stacks = grown;
		lane->room = room;
	}
	lane->stacks[lane->nstacks] = (struct stack){
		.key = key,
		.track = vz_track_new(lane->shared->tf, lane->tid, lane->nstacks ? key : 0,
				      lane->flags, ns),
	};
	if (!lane->stacks[lane->nstacks].track)
		return -1;
	lane->shared->nstacks++;
	name_stack(lane, lane->nstacks++);
	return 0;
}

struct vz_lane *vz_lane_new(struct vz_lanes *shared, pid_t tid, unsigned flags, uint64_t ns)
{
	struct vz_lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return NULL;
	lane->shared = shared;
	lane->tid = tid;
	lane->flags = flags;
	lane->looks = LOOKS_MAX;
	if (add_stack(lane, 0, ns) < 0) {
		free(lane->stacks);
		free(lane);
		return NULL;
	}
	return lane;
}

void vz_lane_name(struct vz_lane *lane, const char *name, size_t len)
{
	if (len >= sizeof(lane->name))
		len = sizeof(lane->name) - 1;
	/* Every stack is told: one record of the target would cost thousands of ours. */
	if (++lane->names > MAX_NAMES)
		return;
	memcpy(lane->name, name, len);
	lane->name[len] = '\0';
	for (unsigned i = 0; i < lane->nstacks; i++)
		name_stack(lane, i);
}

static struct vz_track *track(const struct vz_lane *lane)
{
	return lane->stacks[lane->current].track;
}

/* ---- pairing ----------------------------------------------------------- */

static void leave(struct vz_lane *lane, uint32_t id, enum vz_leave how, uint64_t ns)
{
	struct vz_track *t = track(lane);
	uint32_t depth = vz_track_depth(t), up = 0;
	uint32_t end = depth < lane->looks ? depth : lane->looks;

	while (up < end && vz_track_function(t, up) != id)
		up++;
	if (up == end) {
		lane->looks -= end; /* frames that are popped are paid by their entries */
		lane->shared->totals->orphan_exits++;
		return;
	}
	lane->shared->totals->unseen_exits += up;
	while (up--)
		vz_track_leave(t, VZ_LEAVE_UNSEEN, ns);
	vz_track_leave(t, how, ns);
}

static int is_c(const struct vz_lane *lane, uint32_t id)
{
	return lane->shared->is_c[id / 8] >> (id % 8) & 1;
}

/*
 * How much of our stack, from the bottom, agrees with the snapshot.  C functions
 * are in ours only; they are kept where the Python frames around them agree.
 */
static void agree(struct vz_lane *lane, uint32_t *mine, uint32_t *theirs)
{
	struct vz_track *t = track(lane);
	uint32_t depth = vz_track_depth(t), i = 0, j = 0;
	uint32_t end = depth < lane->looks ? depth : lane->looks;

	*mine = *theirs = 0;
	while (i < end && j < lane->snapshot_len) {
		uint32_t id = vz_track_function(t, depth - 1 - i);

		if (id == lane->snapshot[j]) {
			*mine = ++i;
			*theirs = ++j;
		} else if (is_c(lane, id)) {
			i++;
		} else {
			break;
		}
	}
	lane->looks -= i;
}

static void free_snapshot(struct vz_lane *lane)
{
	lane->shared->snapshots_words -= lane->snapshot_room;
	free(lane->snapshot);
	lane->snapshot = NULL;
	lane->snapshot_room = 0;
}

static int apply_snapshot(struct vz_lane *lane, uint64_t ns)
{
	struct vz_track *t = track(lane);
	uint32_t mine, theirs;
	int rc = 0;

	agree(lane, &mine, &theirs);
	while (vz_track_depth(t) > mine) {
		vz_track_leave(t, VZ_LEAVE_UNSEEN, ns);
		lane->shared->totals->unseen_exits++;
	}
	for (; theirs < lane->snapshot_len && rc == 0; theirs++) {
		rc = vz_track_enter(t, lane->snapshot[theirs], VZ_ENTRY_OPEN, ns);
		lane->shared->totals->open_frames += lane->snapshot_why != VZ_STACK_AFTER_LOSS;
	}
	lane->snapshot_want = 0;
	if (lane->snapshot_room > SNAPSHOT_KEEP)
		free_snapshot(lane);
	return rc;
}

static int begin_snapshot(struct vz_lane *lane, unsigned why, uint64_t depth, uint64_t ns)
{
	lane->snapshot_len = 0;
	lane->snapshot_want = depth > SNAPSHOT_MAX ? SNAPSHOT_MAX : (uint32_t)depth;
	lane->snapshot_why = why;
	return !depth && why == VZ_STACK_AFTER_LOSS ? apply_snapshot(lane, ns) : 0;
}

/* By what has come, not by what was announced. */
static int grow_snapshot(struct vz_lane *lane)
{
	uint32_t room = lane->snapshot_room ? lane->snapshot_room * 2 : SNAPSHOT_FIRST;
	uint32_t *bigger;

	if (lane->shared->snapshots_words + room - lane->snapshot_room > SNAPSHOTS_MAX)
		return -E2BIG;
	bigger = realloc(lane->snapshot, room * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	lane->shared->snapshots_words += room - lane->snapshot_room;
	lane->snapshot = bigger;
	lane->snapshot_room = room;
	return 0;
}

static int add_to_snapshot(struct vz_lane *lane, uint32_t id, uint64_t ns)
{
	if (!lane->snapshot_want)
		return 0;
	if (lane->snapshot_len == lane->snapshot_room && grow_snapshot(lane) < 0)
		return apply_snapshot(lane, ns); /* as if the rest had been lost */
	lane->snapshot[lane->snapshot_len++] = id;
	return lane->snapshot_len == lane->snapshot_want ? apply_snapshot(lane, ns) : 0;
}

/* ---- stacks ------------------------------------------------------------ */

/* The stack that has been idle for longest gives its place to KEY. */
static void replace_stack(struct vz_lane *lane, uint64_t key, uint64_t ns)
{
	struct vz_track *fresh = vz_track_new(lane->shared->tf, lane->tid, key, lane->flags, ns);
	unsigned oldest = 1;

	if (!fresh)
		return;
	for (unsigned i = 2; i < lane->nstacks; i++)
		if (lane->stacks[i].used < lane->stacks[oldest].used)
			oldest = i;
	vz_track_end(lane->stacks[oldest].track, ns);
	lane->stacks[oldest].key = key;
	lane->stacks[oldest].track = fresh;
	name_stack(lane, oldest);
	lane->current = oldest;
}

static void switch_stack(struct vz_lane *lane, uint64_t key, uint64_t ns)
{
	lane->stacks[lane->current].used = ++lane->switches;
	for (unsigned i = 0; i < lane->nstacks; i++) {
		if (lane->stacks[i].key == key) {
			lane->current = i;
			return;
		}
	}
	if (lane->nstacks == MAX_STACKS ||
	    (lane->nstacks > 1 && lane->shared->nstacks >= MAX_ALL_STACKS)) {
		replace_stack(lane, key, ns);
	} else if (add_stack(lane, key, ns) == 0) {
		lane->current = lane->nstacks - 1;
	} else {
		return;
	}
	lane->shared->totals->stacks++;
}

static void lost(struct vz_lane *lane, uint64_t n, uint64_t ns)
{
	vz_track_lost(track(lane), n, ns);
	lane->lost_written += n;
}

int vz_lane_event(struct vz_lane *lane, unsigned kind, uint32_t id, uint64_t extra, uint64_t ns)
{
	static const enum vz_entry entry[] = { [VZ_EV_CALL] = VZ_ENTRY_CALL,
					       [VZ_EV_RESUME] = VZ_ENTRY_RESUME,
					       [VZ_EV_THROW] = VZ_ENTRY_THROW,
					       [VZ_EV_C_CALL] = VZ_ENTRY_CALL };
	static const enum vz_leave exits[] = { [VZ_EV_RETURN] = VZ_LEAVE_RETURN,
					       [VZ_EV_YIELD] = VZ_LEAVE_YIELD,
					       [VZ_EV_UNWIND] = VZ_LEAVE_UNWIND,
					       [VZ_EV_C_RETURN] = VZ_LEAVE_RETURN,
					       [VZ_EV_C_RAISE] = VZ_LEAVE_UNWIND };

	int rc = 0;

	if (lane->looks < LOOKS_MAX - LOOKS_EACH)
		lane->looks += LOOKS_EACH;
	if (lane->snapshot_want && kind != VZ_EV_OPEN)
		rc = apply_snapshot(lane, ns); /* it was cut by a loss: what came is true */
	if (rc < 0)
		return rc;
	switch (kind) {
	case VZ_EV_CALL:
	case VZ_EV_RESUME:
	case VZ_EV_THROW:
	case VZ_EV_C_CALL:
		rc = vz_track_enter(track(lane), id, entry[kind], ns);
		lane->shared->totals->events++;
		break;
	case VZ_EV_RETURN:
	case VZ_EV_YIELD:
	case VZ_EV_UNWIND:
	case VZ_EV_C_RETURN:
	case VZ_EV_C_RAISE:
		leave(lane, id, exits[kind], ns);
		lane->shared->totals->events++;
		break;
	case VZ_EV_STACK:
		rc = begin_snapshot(lane, id, extra, ns);
		break;
	case VZ_EV_OPEN:
		rc = add_to_snapshot(lane, id, ns);
		break;
	case VZ_EV_SWITCH:
		if (id == VZ_SWITCH_FROM)
			lane->stacks[lane->current].key = extra;
		else
			switch_stack(lane, extra, ns);
		break;
	case VZ_EV_LOST:
		lost(lane, extra, ns);
		break;
	default:
		break;
	}
	return rc;
}

void vz_lane_end(struct vz_lane *lane, uint64_t ns, uint64_t lost_in_all)
{
	if (!lane)
		return;
	if (lane->snapshot_want)
		apply_snapshot(lane, ns);
	if (lost_in_all > lane->lost_written)
		lost(lane, lost_in_all - lane->lost_written, ns);
	for (unsigned i = 0; i < lane->nstacks; i++)
		vz_track_end(lane->stacks[i].track, ns);
	lane->shared->nstacks -= lane->nstacks;
	free_snapshot(lane);
	free(lane->stacks);
	free(lane);
}
