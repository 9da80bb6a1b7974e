/* SPDX-License-Identifier: MIT */
/*
 * locals.c - values of local variables, as far as they can be told without running any code:
 * no repr, no str.  Bounded for a frame and for the whole snapshot; names and values that
 * look like secrets are not shown.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "attach/snapshot/rooms.h"
#include "attach/snapshot/secrets.h"
#include "attach/snapshot/waits/sight.h"

enum {
	MAX_LOCALS = 20,      /* of a frame */
	MAX_BYTES = 64 << 10, /* of all */
	MAX_CHARS = 80,       /* of a text */
	LOOK_CHARS = 4096,    /* of a text, for secrets */
	VALUE_MAX = 8 * MAX_CHARS,
};

struct budget {
	const struct vz_scene_snapshot *scene;
	size_t left;
};

/* ---- values ---- */

/* At most MAX_CHARS characters of TEXT in quotes. */
static void quote(const char *text, bool more, char *buf, size_t size)
{
	size_t chars = 0, end = 0;

	while (text[end] && chars < MAX_CHARS) {
		end++;
		while ((text[end] & 0xc0) == 0x80)
			end++;
		chars++;
	}
	snprintf(buf, size, "'%.*s'%s", (int)end, text, more || text[end] ? "..." : "");
}

static void say_text(const struct vz_py *py, uint64_t value, char *buf, size_t size)
{
	char text[LOOK_CHARS];
	int rc = vz_pyobj_text(py, value, text, sizeof(text));

	if (rc < 0)
		snprintf(buf, size, "<str at 0x%llx>", (unsigned long long)value);
	else if (vz_secret_value(text))
		snprintf(buf, size, "***");
	else
		quote(text, rc > 0, buf, size);
}

static void say_bytes(const struct vz_py *py, uint64_t value, char *buf, size_t size)
{
	int64_t len = vz_pyobj_len(py, value);
	size_t n = len > LOOK_CHARS - 1 ? LOOK_CHARS - 1 : (size_t)(len > 0 ? len : 0), at = 0;
	char text[LOOK_CHARS];

	if (len < 0 || vz_target_read(py->target, value + py->at.by_data, text, n) < 0) {
		snprintf(buf, size, "<bytes at 0x%llx>", (unsigned long long)value);
		return;
	}
	text[n] = '\0';
	for (size_t i = 0; i < n; i++) {
		if (!text[i])
			text[i] = 1; /* not an end; neither is printed as it is */
	}
	if (vz_secret_value(text)) {
		snprintf(buf, size, "***");
		return;
	}
	if (n > MAX_CHARS)
		n = MAX_CHARS;
	if (n && vz_target_read(py->target, value + py->at.by_data, text, n) < 0)
		n = 0;
	at += (size_t)snprintf(buf, size, "b'");
	for (size_t i = 0; i < n && at + 8 < size; i++) {
		unsigned char c = (unsigned char)text[i];

		at += (size_t)snprintf(buf + at, size - at,
				       isprint(c) && c != '\'' && c != '\\' ? "%c" : "\\x%02x", c);
	}
	snprintf(buf + at, size - at, "'%s", len > (int64_t)n ? "..." : "");
}

static void say_number(const struct vz_py *py, uint64_t value, char *buf, size_t size)
{
	int64_t number;

	if (vz_pyobj_int(py, value, &number) == 0)
		snprintf(buf, size, "%lld", (long long)number);
	else
		snprintf(buf, size, "<int of more than 64 bits>");
}

static void say_container(const struct vz_scene_snapshot *scene, uint64_t value, char *buf,
			  size_t size)
{
	int64_t len = vz_pyobj_len(scene->py, value);
	char type[VZ_PYNAME_MAX];

	vz_sight_type(scene, value, type, sizeof(type));
	if (len >= 0)
		snprintf(buf, size, "%s of %lld", type, (long long)len);
	else
		snprintf(buf, size, "<%s at 0x%llx>", type, (unsigned long long)value);
}

static void say(const struct vz_scene_snapshot *scene, uint64_t value, char *buf, size_t size)
{
	const struct vz_py *py = scene->py;
	char type[VZ_PYNAME_MAX];
	int64_t truth;
	double real;

	switch (vz_pyobj_kind(py, value)) {
	case VZ_PYKIND_NONE:
		snprintf(buf, size, "None");
		return;
	case VZ_PYKIND_BOOL:
		if (vz_pyobj_int(py, value, &truth) == 0) {
			snprintf(buf, size, truth ? "True" : "False");
			return;
		}
		break;
	case VZ_PYKIND_INT:
		say_number(py, value, buf, size);
		return;
	case VZ_PYKIND_FLOAT:
		if (vz_pyobj_float(py, value, &real) == 0) {
			snprintf(buf, size, "%.15g", real);
			return;
		}
		break;
	case VZ_PYKIND_STR:
		say_text(py, value, buf, size);
		return;
	case VZ_PYKIND_BYTES:
		say_bytes(py, value, buf, size);
		return;
	case VZ_PYKIND_TUPLE:
	case VZ_PYKIND_LIST:
	case VZ_PYKIND_DICT:
	case VZ_PYKIND_SET:
		say_container(scene, value, buf, size);
		return;
	default:
		break;
	}
	vz_sight_type(scene, value, type, sizeof(type));
	snprintf(buf, size, "<%s at 0x%llx>", type[0] ? type : "object", (unsigned long long)value);
}

/* ---- frames ---- */

static void keep(struct budget *b, const struct vz_pylocal *local, struct vz_snap_local *ret)
{
	struct vz_arena *arena = b->scene->snapshot->arena;
	char value[VALUE_MAX] = "***";
	size_t bytes;

	if (!vz_secret_name(local->name))
		say(b->scene, local->value, value, sizeof(value));
	bytes = strlen(local->name) + strlen(value) + 2;
	b->left = bytes > b->left ? 0 : b->left - bytes;
	*ret = (struct vz_snap_local){ .name = vz_arena_text(arena, local->name),
				       .value = vz_arena_text(arena, value) };
}

static void fill_frame(struct budget *b, const struct vz_pyframe *raw, struct vz_snap_frame *ret)
{
	struct vz_pylocal locals[MAX_LOCALS + 1];
	struct vz_snap_local *kept;
	ssize_t n = vz_pyframe_locals(b->scene->py, raw, locals, MAX_LOCALS + 1);
	size_t nkept = 0;

	kept = n > 0 ? vz_arena_alloc(b->scene->snapshot->arena, (size_t)n, sizeof(*kept)) : NULL;
	if (!kept)
		return;
	for (ssize_t i = 0; i < n; i++) {
		if (!locals[i].value)
			continue;
		if (nkept == MAX_LOCALS || !b->left) {
			ret->locals_cut = true;
			break;
		}
		keep(b, &locals[i], &kept[nkept++]);
	}
	ret->locals = kept;
	ret->nlocals = nkept;
}

static void fill_thread(struct budget *b, size_t thread)
{
	const struct vz_raw_stack *raw = &b->scene->raw[thread];

	for (size_t i = 0; i < raw->count; i++) {
		struct vz_snap_frame *frame = vz_sight_kept(b->scene, thread, i);

		if (frame && b->left)
			fill_frame(b, &raw->frames[i], frame);
		else if (frame)
			frame->locals_cut = true;
	}
}

void vz_snapshot_locals(const struct vz_scene_snapshot *scene)
{
	struct budget b = { .scene = scene, .left = MAX_BYTES };

	for (size_t i = 0; i < scene->snapshot->nthreads; i++)
		fill_thread(&b, i);
	if (!b.left)
		vz_snapshot_note(scene->snapshot,
				 "values of local variables: only the first %d KiB",
				 MAX_BYTES >> 10);
}
