/* SPDX-License-Identifier: MIT */
#include "viewer/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/out.h"

enum {
	FIRST_CAP = 64,
	MAX_CAP = 1 << 30,
	MAX_PAIRS = 1 << 25, /* a small file can unpack to any number */
};

void *vz_grow(void *p, uint32_t *cap, uint32_t n, size_t size)
{
	uint32_t bigger = *cap ? *cap : FIRST_CAP;

	if (n <= *cap)
		return p;
	while (bigger < n && bigger < MAX_CAP)
		bigger *= 2;
	if (bigger < n)
		return NULL;
	p = reallocarray(p, bigger, size);
	if (!p)
		return NULL;
	memset((char *)p + *cap * size, 0, (bigger - *cap) * size);
	*cap = bigger;
	return p;
}

/* Twice the slots, at most half of them taken; who calls puts its rows in again. */
static int more_slots(uint32_t **slots, uint32_t *nslots, uint32_t n)
{
	uint32_t bigger = *nslots ? *nslots * 2 : FIRST_CAP;
	uint32_t *p;

	if (n < *nslots / 2)
		return 0;
	p = calloc(bigger, sizeof(*p));
	if (!p)
		return -ENOMEM;
	free(*slots);
	*slots = p;
	*nslots = bigger;
	return 1;
}

/* ---- names ---- */

static uint64_t hash_text(uint64_t h, const char *s)
{
	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
	return h * 31;
}

static uint32_t hash_name(const struct vz_name *name)
{
	uint64_t h = hash_text(hash_text(name->line + 1u, name->text), name->file);

	return (uint32_t)(h ^ h >> 32);
}

/* Slot of NAME, or the free one where it belongs. */
static uint32_t *slot_of_name(const struct vz_names *names, const struct vz_name *name)
{
	uint32_t i = hash_name(name);

	for (;; i++) {
		uint32_t *slot = &names->slots[i & (names->nslots - 1)];
		const struct vz_name *other = *slot ? &names->p[*slot - 1] : NULL;

		if (!other || (other->line == name->line && !strcmp(other->text, name->text) &&
			       !strcmp(other->file, name->file)))
			return slot;
	}
}

static int make_room(struct vz_names *names)
{
	struct vz_name *bigger = vz_grow(names->p, &names->cap, names->n + 1, sizeof(*bigger));
	int rc;

	if (!bigger)
		return -ENOMEM;
	names->p = bigger;
	rc = more_slots(&names->slots, &names->nslots, names->n + 1);
	for (uint32_t i = 0; rc > 0 && i < names->n; i++)
		*slot_of_name(names, &names->p[i]) = i + 1;
	return rc < 0 ? rc : 0;
}

/* Takes what NAME points at. */
static int intern(struct vz_names *names, struct vz_name *name, uint32_t *row)
{
	uint32_t *slot;
	int rc = name->file && name->text ? make_room(names) : -ENOMEM;

	if (rc == 0) {
		vz_out_plain(name->file);
		vz_out_plain(name->text);
		slot = slot_of_name(names, name);
		if (!*slot) {
			names->p[names->n++] = *name;
			*slot = *row = names->n;
			--*row;
			return 0;
		}
		*row = *slot - 1;
	}
	free(name->file);
	free(name->text);
	return rc;
}

int vz_names_text(struct vz_names *names, const char *text, uint32_t *row)
{
	struct vz_name name = { .file = strdup(""), .text = strdup(text) };

	return intern(names, &name, row);
}

int vz_names_function(struct vz_names *names, const struct vz_reader *r, uint32_t id, uint32_t *row)
{
	struct vz_name name = { 0 };
	uint32_t *bigger;
	int rc;

	if (id < names->nrows && names->rows[id]) {
		*row = names->rows[id] - 1;
		return 0;
	}
	bigger = vz_grow(names->rows, &names->nrows, id + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	names->rows = bigger;
	if (names->make(vz_reader_function(r, id), &name) < 0) {
		free(name.file);
		free(name.text);
		return -ENOMEM;
	}
	rc = intern(names, &name, row);
	if (rc == 0)
		names->rows[id] = *row + 1;
	return rc;
}

void vz_names_fini(struct vz_names *names)
{
	for (uint32_t i = 0; i < names->n; i++) {
		free(names->p[i].file);
		free(names->p[i].text);
	}
	free(names->p);
	free(names->rows);
	free(names->slots);
	*names = (struct vz_names){ 0 };
}

/* ---- pairs ---- */

static uint32_t *slot_of_pair(const struct vz_pairs *pairs, uint32_t a, uint32_t b)
{
	uint64_t h = ((uint64_t)a << 32 | b) * UINT64_C(0x9e3779b97f4a7c15);

	for (uint32_t i = (uint32_t)(h >> 32);; i++) {
		uint32_t *slot = &pairs->slots[i & (pairs->nslots - 1)];

		if (!*slot || (pairs->p[*slot - 1].a == a && pairs->p[*slot - 1].b == b))
			return slot;
	}
}

static int add_pair(struct vz_pairs *pairs, uint32_t a, uint32_t b)
{
	struct vz_pair *bigger;
	int rc;

	if (pairs->n >= MAX_PAIRS)
		return -ENOMEM;
	bigger = vz_grow(pairs->p, &pairs->cap, pairs->n + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	pairs->p = bigger;
	rc = more_slots(&pairs->slots, &pairs->nslots, pairs->n + 1);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; rc > 0 && i < pairs->n; i++)
		*slot_of_pair(pairs, pairs->p[i].a, pairs->p[i].b) = i + 1;
	pairs->p[pairs->n++] = (struct vz_pair){ a, b };
	*slot_of_pair(pairs, a, b) = pairs->n;
	return 0;
}

int vz_pairs_row(struct vz_pairs *pairs, uint32_t a, uint32_t b, uint32_t *row)
{
	uint32_t slot = pairs->nslots ? *slot_of_pair(pairs, a, b) : 0;

	*row = slot ? slot - 1 : pairs->n;
	return slot ? 0 : add_pair(pairs, a, b);
}

void vz_pairs_fini(struct vz_pairs *pairs)
{
	free(pairs->p);
	free(pairs->slots);
	*pairs = (struct vz_pairs){ 0 };
}
