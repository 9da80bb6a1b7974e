/* SPDX-License-Identifier: MIT */
/*
 * residue_python.c - CPython's interpreters and the ids of sys.monitoring, read from outside
 * while they run: a list counts only if a second walk confirms it, and what does not hold
 * still in time is unknown.
 */
#include <string.h>
#include <time.h>

#include "attach/residue_priv.h"
#include "attach/util.h"

enum {
	TRIES = 20,
	MAX_INTERPRETERS = 256,
	TOOLS = 8,
	MONITORED_EVENTS = 15,
	/* how far from where the table says the names of tools are looked for */
	WINDOW_WORDS = 512,
	/* PyASCIIObject of CPython 3.12 and later */
	OBJECT_TYPE = 8,
	TEXT_LENGTH = 16,
	TEXT_BYTES = 40,
};

static const char our_name[] = "vizattach";

#define PATIENCE_NS (UINT64_C(5) * 1000000000u)

struct view {
	const struct vz_target *target;
	const struct vz_python *python;
};

static int read_word(const struct view *v, uint64_t raddr, uint64_t *ret)
{
	return vz_target_read(v->target, raddr, ret, sizeof(*ret));
}

static void pause_a_little(void)
{
	static const struct timespec moment = { .tv_nsec = 500 * 1000 };

	nanosleep(&moment, NULL);
}

/* ---- interpreters ---- */

struct interp {
	struct vz_interp_seen seen;
	int tool; /* ours, once seen; -1 */
	bool window_read;
	uint64_t window[2 * WINDOW_WORDS + TOOLS]; /* around the names of the tools */
};

struct vz_pystate {
	struct interp interps[MAX_INTERPRETERS];
	size_t count;
	bool known;
	bool witnessed;
	bool single_threaded; /* as libc sees it; false: unknown */
	int shift;            /* words from where the table has the names to where they are */
};

static int list_interps_once(const struct view *v, struct vz_pystate *ret)
{
	const struct vz_py_offsets *off = &v->python->ver->off;
	uint64_t interp, runtime = v->python->py[VZ_SYM__PyRuntime];

	ret->count = 0;
	if (read_word(v, runtime + off->rt_interpreters_head, &interp) < 0)
		return -1;
	for (; interp; ret->count++) {
		struct interp *in = &ret->interps[ret->count];

		if (ret->count == MAX_INTERPRETERS)
			return -1;
		in->seen.raddr = interp;
		in->tool = -1;
		if (read_word(v, interp + off->is_id, &in->seen.id) < 0 ||
		    read_word(v, interp + off->is_next, &interp) < 0)
			return -1;
	}
	return 0;
}

static bool same_interps(const struct vz_pystate *a, const struct vz_pystate *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (memcmp(&a->interps[i].seen, &b->interps[i].seen, sizeof(a->interps[i].seen)) !=
		    0)
			return false;
	}
	return true;
}

static void read_windows(const struct view *v, struct vz_pystate *state)
{
	uint32_t names = v->python->ver->is_tool_names;

	for (size_t i = 0; i < state->count && names != VZ_NO_OFFSET; i++) {
		struct interp *in = &state->interps[i];

		in->window_read =
			vz_target_read(v->target, in->seen.raddr + names - 8 * WINDOW_WORDS,
				       in->window, sizeof(in->window)) == 0;
	}
}

/* Two walks that agree. */
static struct vz_pystate *take(const struct view *v)
{
	struct vz_pystate *first = calloc(2, sizeof(*first)), *second = first + 1;

	for (int i = 0; first && i < TRIES && !first->known; i++) {
		if (i)
			pause_a_little();
		first->known = list_interps_once(v, first) == 0 &&
			       list_interps_once(v, second) == 0 && same_interps(first, second);
	}
	if (first && first->known)
		read_windows(v, first);
	return first;
}

/* glibc 2.32 and later: without a second thread ever, its malloc and stdio take no locks. */
static bool single_threaded(const struct view *v, const struct vz_objects *objects)
{
	const struct vz_object *libc = vz_objects_find(objects, v->python->libc_start);
	uint64_t raddr = libc ? vz_object_symbol(libc, "__libc_single_threaded", NULL) : 0;
	char flag = 0;

	return raddr && vz_target_read(v->target, raddr, &flag, 1) == 0 && flag == 1;
}

struct vz_pystate *vz_pystate_take(const struct vz_target *target, const struct vz_objects *objects,
				   const struct vz_python *python)
{
	struct view v = { target, python };
	struct vz_pystate *state = take(&v);

	if (state)
		state->single_threaded = single_threaded(&v, objects);
	return state;
}

void vz_pystate_free(struct vz_pystate *state)
{
	free(state);
}

/* The same one at another time; -1: it was not there. */
static int find_interp(const struct vz_pystate *state, const struct interp *like)
{
	for (size_t i = 0; i < state->count; i++) {
		if (!memcmp(&state->interps[i].seen, &like->seen, sizeof(like->seen)))
			return (int)i;
	}
	return -1;
}

/* ---- monitoring ids ---- */

static bool is_text(const struct view *v, uint64_t object)
{
	uint64_t type;

	return read_word(v, object + OBJECT_TYPE, &type) == 0 &&
	       type == v->python->py[VZ_SYM_PyUnicode_Type];
}

static bool is_our_name(const struct view *v, uint64_t object)
{
	char text[sizeof(our_name)];
	uint64_t length;

	return object && is_text(v, object) && read_word(v, object + TEXT_LENGTH, &length) == 0 &&
	       length == sizeof(our_name) - 1 &&
	       vz_target_read(v->target, object + TEXT_BYTES, text, sizeof(text)) == 0 &&
	       !memcmp(text, our_name, sizeof(text));
}

/* Where in the window our name is, -1: nowhere. */
static int find_our_name(const struct view *v, const struct interp *in, int from, int to)
{
	for (int i = from; i < to; i++) {
		if (in->window_read && is_our_name(v, in->window[i]))
			return i;
	}
	return -1;
}

/*
 * Another build may have them elsewhere, but not far.  TOOL is the target's word: SHIFT
 * is only set to what lies in the window.
 */
static bool find_shift(const struct view *v, const struct vz_pystate *now, unsigned tool,
		       int *shift)
{
	*shift = 0;
	for (size_t i = 0; i < now->count; i++) {
		int at = find_our_name(v, &now->interps[i], WINDOW_WORDS, WINDOW_WORDS + TOOLS);

		if (at >= 0)
			return true;
		at = find_our_name(v, &now->interps[i], 0, 2 * WINDOW_WORDS);
		if (tool < TOOLS && at >= (int)tool) {
			*shift = at - (int)tool - WINDOW_WORDS;
			return true;
		}
	}
	return false;
}

void vz_pystate_witness(struct vz_pystate *before, const struct vz_target *target,
			const struct vz_python *python, unsigned tool)
{
	struct view v = { target, python };
	struct vz_pystate *now;

	if (!before || python->ver->is_tool_names == VZ_NO_OFFSET)
		return;
	now = take(&v);
	before->witnessed = now && now->known && find_shift(&v, now, tool, &before->shift);
	for (size_t i = 0; before->witnessed && i < now->count; i++) {
		int first = WINDOW_WORDS + before->shift;
		int at = find_our_name(&v, &now->interps[i], first, first + TOOLS);
		int in = find_interp(before, &now->interps[i]);

		if (in >= 0 && at >= 0)
			before->interps[in].tool = at - first;
	}
	vz_pystate_free(now);
}

/* Do these eight words look like names, even if we never saw our own among them? */
static bool plausible(const struct view *v, const uint64_t *names)
{
	for (int i = 0; i < TOOLS; i++) {
		if (names[i] && !is_text(v, names[i]))
			return false;
	}
	return true;
}

/* Do some events still reach TOOL?  -1: cannot be told. */
static int events_on(const struct view *v, const struct interp *in, int shift, int tool)
{
	uint8_t tools[MONITORED_EVENTS];
	uint64_t raddr =
		in->seen.raddr + v->python->ver->is_monitors + (uint64_t)(8 * (int64_t)shift);
	int on = 0;

	if (vz_target_read(v->target, raddr, tools, sizeof(tools)) < 0)
		return -1;
	for (int i = 0; i < MONITORED_EVENTS; i++)
		on |= tools[i] >> tool & 1;
	return on;
}

static bool compare_tools(const struct view *v, const struct interp *was, const struct interp *now,
			  const struct vz_pystate *before, struct vz_residue *ret)
{
	const uint64_t *names = now->window + WINDOW_WORDS + before->shift;
	int ours = was ? was->tool : -1, on = 0;

	if (!now->window_read || (!before->witnessed && !plausible(v, names)))
		return false;
	if (ours >= 0 && !names[ours])
		on = events_on(v, now, before->shift, ours);
	if (on < 0)
		return false;
	for (int i = 0; i < TOOLS; i++) {
		if (is_our_name(v, names[i])) {
			ret->ours[VZ_RESIDUE_TOOL_IDS]++;
			vz_residue_say(ret, "id %d of sys.monitoring is still ours", i);
		} else if (was && was->window_read &&
			   was->window[WINDOW_WORDS + before->shift + i] != names[i]) {
			ret->other[VZ_RESIDUE_TOOL_IDS]++;
		}
	}
	if (on > 0) {
		ret->ours[VZ_RESIDUE_TOOL_IDS]++;
		vz_residue_say(ret, "events of id %d of sys.monitoring are still on", ours);
	}
	return true;
}

static void compare_all_tools(const struct view *v, const struct vz_pystate *before,
			      const struct vz_pystate *now, struct vz_residue *ret)
{
	bool looked = before->known && now->known;

	for (size_t i = 0; looked && i < now->count; i++) {
		int was = find_interp(before, &now->interps[i]);

		looked = compare_tools(v, was < 0 ? NULL : &before->interps[was], &now->interps[i],
				       before, ret);
	}
	ret->looked[VZ_RESIDUE_TOOL_IDS] = looked;
}

/* ---- both ---- */

static int compare_once(const struct view *v, const struct vz_pystate *before,
			const struct vz_hook_search *search, struct vz_residue *ret)
{
	struct vz_interp_seen seen[MAX_INTERPRETERS];
	struct vz_pystate *now = take(v);
	int rc = -1;

	for (size_t i = 0; now && now->known && i < now->count; i++)
		seen[i] = now->interps[i].seen;
	if (now && now->known && !ret->looked[VZ_RESIDUE_HOOKS])
		vz_residue_hooks(search, seen, now->count, ret);
	if (now && before && !ret->no_tool_ids && !ret->looked[VZ_RESIDUE_TOOL_IDS])
		compare_all_tools(v, before, now, ret);
	if (ret->looked[VZ_RESIDUE_HOOKS] && (ret->no_tool_ids || ret->looked[VZ_RESIDUE_TOOL_IDS]))
		rc = 0;
	vz_pystate_free(now);
	return rc;
}

void vz_pystate_compare(const struct vz_pystate *before, const struct vz_target *target,
			const struct vz_objects *objects, const struct vz_python *python,
			const struct vz_deed *deed, struct vz_residue *ret)
{
	struct view v = { target, python };
	struct vz_hook_search search = { target,      objects,      python,
					 deed->image, deed->mapped, vz_now_ns() + PATIENCE_NS };

	if (before && before->single_threaded && !single_threaded(&v, objects)) {
		ret->possible[VZ_RESIDUE_THREADS]++;
		vz_residue_say(ret, "libc takes its locks now, as in any program that ever had a "
				    "second thread");
	}
	ret->no_tool_ids = python->ver->is_tool_names == VZ_NO_OFFSET;
	for (int i = 0; i < TRIES && vz_now_ns() < search.deadline_ns && vz_target_alive(target);
	     i++) {
		if (compare_once(&v, before, &search, ret) == 0)
			return;
		pause_a_little();
	}
	if (!ret->looked[VZ_RESIDUE_HOOKS])
		vz_residue_say(ret, "whether a hook is left could not be told: CPython's lists "
				    "did not hold still");
	if (!ret->no_tool_ids && !ret->looked[VZ_RESIDUE_TOOL_IDS])
		vz_residue_say(ret, "the ids of sys.monitoring could not be read");
}
