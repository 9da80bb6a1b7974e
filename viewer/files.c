/* SPDX-License-Identifier: MIT */
#include "viewer/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/intern.h"

enum {
	FIRST_SLOTS = 256,
};

static uint32_t *slot_of(const struct vz_files *files, const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (const char *s = name; *s; s++)
		h = (h ^ (uint8_t)*s) * UINT64_C(1099511628211);
	for (uint32_t i = (uint32_t)(h ^ h >> 32);; i++) {
		uint32_t *slot = &files->slots[i & (files->nslots - 1)];

		if (!*slot || !strcmp(files->names[*slot - 1], name))
			return slot;
	}
}

/* At most half of the slots are taken. */
static int more_slots(struct vz_files *files)
{
	uint32_t bigger = files->nslots ? files->nslots * 2 : FIRST_SLOTS;
	uint32_t *slots;

	if (files->n < files->nslots / 2)
		return 0;
	slots = calloc(bigger, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(files->slots);
	files->slots = slots;
	files->nslots = bigger;
	for (uint32_t i = 0; i < files->n; i++)
		*slot_of(files, files->names[i]) = i + 1;
	return 0;
}

static int add(struct vz_files *files, const char *name)
{
	const char **names;
	bool *python;

	names = vz_grow(files->names, &files->names_cap, files->n + 1, sizeof(*names));
	if (!names)
		return -ENOMEM;
	files->names = names;
	python = vz_grow(files->python, &files->python_cap, files->n + 1, sizeof(*python));
	if (!python)
		return -ENOMEM;
	files->python = python;
	names[files->n++] = name;
	return 0;
}

static int number(struct vz_files *files, const struct vz_function *f, int32_t *ret)
{
	uint32_t *slot;
	int rc;

	*ret = VZ_NO_FILE;
	if (!f->file[0])
		return 0;
	rc = more_slots(files);
	if (rc < 0)
		return rc;
	slot = slot_of(files, f->file);
	if (!*slot) {
		rc = add(files, f->file);
		if (rc < 0)
			return rc;
		*slot = files->n;
	}
	*ret = (int32_t)(*slot - 1);
	files->python[*ret] |= f->kind == VZ_DEF_PYTHON;
	return 0;
}

int vz_files_init(struct vz_files *files, const struct vz_reader *r)
{
	int rc = 0;

	*files = (struct vz_files){ .nfunctions = vz_reader_nfunctions(r) };
	files->of = calloc(files->nfunctions + (size_t)1, sizeof(*files->of));
	if (!files->of)
		return -ENOMEM;
	for (uint32_t id = 0; id < files->nfunctions && rc == 0; id++)
		rc = number(files, vz_reader_function(r, id), &files->of[id]);
	return rc;
}

void vz_files_fini(struct vz_files *files)
{
	free(files->names);
	free(files->python);
	free(files->of);
	free(files->slots);
	*files = (struct vz_files){ 0 };
}
