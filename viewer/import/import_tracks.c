/* SPDX-License-Identifier: MIT */
/* Processes and tracks: numbers for what the file calls them, and the order in which they are
 * shown. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/import/import_priv.h"

enum {
	FIRST = 64,
	TRACKS_MAX = 1 << 18,
	KEY_BYTES = 1024,
	MADE_UP_ID = 1 << 30, /* of what the file does not call by a number that fits */
};

/* Where texts cannot all be kept, the hash of the rest stands for it. */
static uint32_t add_to_key(char *key, uint32_t at, struct vz_span s)
{
	uint32_t n = s.n < KEY_BYTES / 4 - 16 ? s.n : KEY_BYTES / 4 - 16;

	if (n)
		memcpy(key + at, s.p, n);
	at += n;
	if (n < s.n) {
		uint32_t hash = vz_import_hash(s.p, s.n);

		memcpy(key + at, &hash, sizeof(hash));
		at += sizeof(hash);
	}
	key[at++] = '\0';
	return at;
}

/* The number that the text is, or one that no thread has. */
static uint32_t id_of(struct vz_span s, uint32_t made_up)
{
	uint64_t v = 0;

	for (uint32_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9' || i > 9)
			return MADE_UP_ID + made_up;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	return s.n && v <= UINT32_MAX ? (uint32_t)v : MADE_UP_ID + made_up;
}

int vz_import_process(struct vz_import_tracks *t, struct vz_span pid, uint32_t *ret)
{
	struct vz_import_process *bigger;
	uint32_t i = t->last_process;

	pid.p = pid.n ? pid.p : "";
	if (i < t->nprocesses && t->processes[i].key_len == pid.n &&
	    !memcmp(t->processes[i].key, pid.p, pid.n)) {
		*ret = i;
		return 0;
	}
	for (i = 0; i < t->nprocesses; i++)
		if (t->processes[i].key_len == pid.n && !memcmp(t->processes[i].key, pid.p, pid.n))
			break;
	if (i == TRACKS_MAX / FIRST)
		return -E2BIG;
	if (i == t->processes_cap) {
		uint32_t cap = i ? i * 2 : FIRST;

		bigger = reallocarray(t->processes, cap, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		t->processes = bigger;
		t->processes_cap = cap;
	}
	if (i == t->nprocesses) {
		const char *key = vz_text_keep(&t->text, pid.p, pid.n);

		if (!key)
			return -ENOMEM;
		t->processes[t->nprocesses++] = (struct vz_import_process){
			.key = key,
			.key_len = pid.n,
			.pid = pid.n ? id_of(pid, i) : 0,
		};
	}
	*ret = t->last_process = i;
	return 0;
}

static int more_slots(struct vz_import_tracks *t)
{
	uint32_t bigger = t->nslots ? t->nslots * 2 : FIRST;
	uint32_t *slots;

	if (t->n < t->nslots / 2)
		return 0;
	slots = calloc(bigger, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(t->slots);
	t->slots = slots;
	t->nslots = bigger;
	for (uint32_t i = 0; i < t->n; i++) {
		uint32_t at = t->p[i].hash;

		while (slots[at & (bigger - 1)])
			at++;
		slots[at & (bigger - 1)] = i + 1;
	}
	return 0;
}

static int shown(struct vz_span s, uint32_t most)
{
	return (int)(s.n < most ? s.n : most);
}

static const char *make_label(struct vz_import_tracks *t, enum vz_import_kind kind,
			      struct vz_span label, struct vz_span detail)
{
	char text[KEY_BYTES];

	if (kind == VZ_IMPORT_COUNTER && detail.n)
		snprintf(text, sizeof(text), "%.*s: %.*s", shown(label, KEY_BYTES / 2),
			 label.n ? label.p : "", shown(detail, KEY_BYTES / 4), detail.p);
	else
		snprintf(text, sizeof(text), "%.*s", shown(label, KEY_BYTES / 2),
			 label.n ? label.p : "");
	return vz_text_keep(&t->text, text, strlen(text));
}

static int add(struct vz_import_tracks *t, const struct vz_import_track *track)
{
	if (t->n >= TRACKS_MAX || t->text.full)
		return -E2BIG;
	if (t->n == t->cap) {
		uint32_t cap = t->cap ? t->cap * 2 : FIRST;
		struct vz_import_track *bigger = reallocarray(t->p, cap, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		t->p = bigger;
		t->cap = cap;
	}
	t->p[t->n] = *track;
	t->p[t->n].key = vz_text_keep(&t->text, track->key, track->key_len);
	return t->p[t->n].key ? 0 : -ENOMEM;
}

/* NOLINTNEXTLINE(readability-function-size): what tells a track apart */
int vz_import_track(struct vz_import_tracks *t, enum vz_import_kind kind, struct vz_span pid,
		    struct vz_span label, struct vz_span detail, uint32_t *ret)
{
	char key[KEY_BYTES];
	struct vz_import_track track = { .key = key, .kind = kind };
	uint32_t at;
	int rc;

	key[track.key_len++] = (char)kind;
	track.key_len = add_to_key(key, track.key_len, pid);
	track.key_len = add_to_key(key, track.key_len, label);
	track.key_len = add_to_key(key, track.key_len, detail);
	track.hash = vz_import_hash(key, track.key_len);
	if (more_slots(t) < 0)
		return -ENOMEM;
	for (at = track.hash; t->slots[at & (t->nslots - 1)]; at++) {
		uint32_t i = t->slots[at & (t->nslots - 1)] - 1;

		if (t->p[i].hash == track.hash && t->p[i].key_len == track.key_len &&
		    !memcmp(t->p[i].key, key, track.key_len)) {
			*ret = i;
			return 0;
		}
	}
	rc = vz_import_process(t, pid, &track.process);
	if (rc < 0)
		return rc;
	track.tid = kind == VZ_IMPORT_COUNTER || kind == VZ_IMPORT_ASYNC ? 0 : id_of(label, t->n);
	track.label = make_label(t, kind, label, detail);
	rc = track.label ? add(t, &track) : -ENOMEM;
	if (rc < 0)
		return rc;
	t->slots[at & (t->nslots - 1)] = ++t->n;
	*ret = t->n - 1;
	return 0;
}

/* Processes as they are sorted, or came; in each threads, what is asynchronous, points, counters.
 */
static int compare(const void *a, const void *b, void *ctx)
{
	static const int rank[] = { 0, 2, 1, 3 };
	const struct vz_import_tracks *t = ctx;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const struct vz_import_track *x = &t->p[i], *y = &t->p[j];
	const struct vz_import_process *p = &t->processes[x->process],
				       *q = &t->processes[y->process];

	if (x->process != y->process && p->sort != q->sort)
		return p->sort < q->sort ? -1 : 1;
	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	if (x->kind != y->kind)
		return rank[x->kind] - rank[y->kind];
	if (x->sort != y->sort)
		return x->sort < y->sort ? -1 : 1;
	return i < j ? -1 : i > j;
}

uint32_t *vz_import_tracks_order(const struct vz_import_tracks *t)
{
	uint32_t *order = calloc(t->n + 1u, sizeof(*order));

	for (uint32_t i = 0; order && i < t->n; i++)
		order[i] = i;
	if (order && t->n)
		qsort_r(order, t->n, sizeof(*order), compare,
			(struct vz_import_tracks *)(uintptr_t)t);
	return order;
}

void vz_import_tracks_fini(struct vz_import_tracks *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		free(t->p[i].open);
	free(t->p);
	free(t->slots);
	free(t->processes);
	vz_text_fini(&t->text);
}
