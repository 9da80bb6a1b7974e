/* SPDX-License-Identifier: MIT */
/* Names of events: a number for each, and what of it is a function, a file, a line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/import/import_priv.h"

enum {
	FIRST = 256,
	LINE_DIGITS = 9,
};

uint32_t vz_import_hash(const void *p, size_t n)
{
	const uint64_t prime = UINT64_C(0x9e3779b97f4a7c15);
	const uint8_t *s = p;
	uint64_t h = n * prime, v;

	for (; n >= sizeof(v); s += sizeof(v), n -= sizeof(v)) {
		memcpy(&v, s, sizeof(v));
		h = (h ^ v) * prime;
		h ^= h >> 32;
	}
	v = 0;
	memcpy(&v, s, n);
	h = (h ^ v) * prime;
	return (uint32_t)(h ^ h >> 29 ^ h >> 32);
}

/* Twice the slots, at most half of them taken. */
static int more_slots(struct vz_import_names *names)
{
	uint32_t bigger = names->nslots ? names->nslots * 2 : FIRST * 2;
	uint32_t *slots;

	if (names->n < names->nslots / 2)
		return 0;
	slots = calloc(bigger, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(names->slots);
	names->slots = slots;
	names->nslots = bigger;
	for (uint32_t i = 1; i < names->n; i++) {
		uint32_t at = names->p[i].hash;

		while (slots[at & (bigger - 1)])
			at++;
		slots[at & (bigger - 1)] = i;
	}
	return 0;
}

static int add(struct vz_import_names *names, const struct vz_import_name *name, uint32_t *ret)
{
	struct vz_import_name *bigger;

	if (names->n == names->cap) {
		uint32_t cap = names->cap ? names->cap * 2 : FIRST;

		bigger = reallocarray(names->p, cap, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		names->p = bigger;
		names->cap = cap;
	}
	names->p[names->n] = *name;
	names->p[names->n].text = vz_text_keep(&names->text, name->text, name->n);
	if (!names->p[names->n].text) {
		*ret = 0;
		return names->text.full ? 0 : -ENOMEM;
	}
	*ret = names->n++;
	return 1;
}

int vz_import_name(struct vz_import_names *names, const char *s, size_t n, bool python,
		   uint32_t *ret)
{
	const struct vz_import_name want = {
		.text = s,
		.n = (uint32_t)n,
		.hash = vz_import_hash(s, n) + python,
		.python = python,
	};
	uint32_t at = want.hash;
	int rc;

	if (!names->n) {
		rc = add(names, &(struct vz_import_name){ .text = "" }, ret); /* number 0 */
		if (rc < 0)
			return rc;
	}
	if (more_slots(names) < 0)
		return -ENOMEM;
	for (;; at++) {
		uint32_t i = names->slots[at & (names->nslots - 1)];
		const struct vz_import_name *other = &names->p[i];

		if (!i)
			break;
		if (other->hash == want.hash && other->n == n && other->python == python &&
		    !memcmp(other->text, s, n)) {
			*ret = i;
			return 0;
		}
	}
	*ret = 0;
	if (names->n >= VZ_MAX_FUNCTIONS || names->text.full)
		return 0;
	rc = add(names, &want, ret);
	if (rc == 1)
		names->slots[at & (names->nslots - 1)] = *ret;
	return rc < 0 ? rc : 0;
}

void vz_import_names_fini(struct vz_import_names *names)
{
	free(names->p);
	free(names->slots);
	vz_text_fini(&names->text);
}

/* ---- what a name says ---- */

/* "file:line)" at the end of S: where the colon is, and the line; 0: nowhere. */
static uint32_t find_colon(const char *s, uint32_t n, uint32_t *line)
{
	uint32_t i = n - 1, digits = 0, scale = 1;

	*line = 0;
	if (n < 5 || s[i] != ')')
		return 0;
	while (i > 0 && s[i - 1] >= '0' && s[i - 1] <= '9' && digits < LINE_DIGITS) {
		*line += (uint32_t)(s[--i] - '0') * scale;
		scale *= 10;
		digits++;
	}
	return digits && i > 1 && s[i - 1] == ':' ? i - 1 : 0;
}

static bool balanced(const char *s, const char *end)
{
	int level = 0;

	for (; s < end && level >= 0; s++)
		level += (*s == '(') - (*s == ')');
	return level == 0;
}

/* The first " (" from which on the rest can be a file: neither names nor files hold it often. */
void vz_import_place(const char *s, uint32_t n, struct vz_import_place *ret)
{
	uint32_t line, colon = n ? find_colon(s, n, &line) : 0;

	*ret = (struct vz_import_place){ .name_len = n };
	for (uint32_t i = 1; i + 2 < colon; i++) {
		if (s[i] != ' ' || s[i + 1] != '(' || !balanced(s + i + 2, s + colon))
			continue;
		ret->name_len = i;
		ret->file = i + 2;
		ret->file_len = colon - ret->file;
		ret->line = line;
		return;
	}
}

/* Where the module of "module.name" ends; 0: it has none. */
static uint32_t module_end(const char *s, uint32_t n)
{
	uint32_t dot = n;

	while (dot > 0 && s[dot - 1] != '.')
		dot--;
	return dot > 1 && dot < n ? dot - 1 : 0;
}

static void cut(char *to, const char *s, uint32_t n)
{
	memcpy(to, s, n);
	to[n] = '\0';
}

static void write_name(const struct vz_import_name *name, uint32_t id, struct vz_writer *w,
		       char *text, char *file)
{
	struct vz_file_function f = { .id = id, .kind = VZ_DEF_PYTHON };
	struct vz_import_place place;
	uint32_t dot;

	vz_import_place(name->text, name->n, &place);
	f.line = place.line;
	cut(text, name->text, place.name_len);
	cut(file, name->text + place.file, place.file_len);
	if (name->python && !place.file_len) {
		f.kind = VZ_DEF_C;
		dot = module_end(name->text, name->n);
		if (dot) {
			cut(file, name->text, dot);
			cut(text, name->text + dot + 1, name->n - dot - 1);
		}
	}
	vz_writer_function(w, &f, text, file);
}

void vz_import_names_write(const struct vz_import_names *names, struct vz_writer *w)
{
	char *text = malloc(VZ_IMPORT_TEXT_MAX + 1), *file = malloc(VZ_IMPORT_TEXT_MAX + 1);
	const struct vz_file_function other = { .id = 0, .kind = VZ_DEF_PYTHON };

	if (text && file) {
		vz_writer_function(w, &other, "(one of too many names)", "");
		for (uint32_t i = 1; i < names->n; i++)
			write_name(&names->p[i], i, w, text, file);
	}
	free(text);
	free(file);
}
