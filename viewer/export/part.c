/* SPDX-License-Identifier: MIT */
#include "viewer/export/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/export/slice.h"

enum {
	PATH_BYTES = 4096,
};

/* ---- the files ---- */

struct place {
	char folder[PATH_BYTES];
	char trace[PATH_BYTES + 16], index[PATH_BYTES + 16];
};

static int make_place(struct place *p)
{
	const char *folder = getenv("TMPDIR");

	snprintf(p->folder, sizeof(p->folder), "%s/vizview-XXXXXX",
		 folder && *folder ? folder : "/tmp");
	if (!mkdtemp(p->folder))
		return -errno;
	snprintf(p->trace, sizeof(p->trace), "%s/part.viz", p->folder);
	snprintf(p->index, sizeof(p->index), "%s/part.vizi", p->folder);
	return 0;
}

static void remove_place(const struct place *p)
{
	unlink(p->trace);
	unlink(p->index);
	rmdir(p->folder);
}

static int explain(int rc, struct vz_trouble *trouble)
{
	vz_trouble_set(trouble, -rc, "cannot take a part of the trace");
	vz_trouble_why(trouble, "%s", strerror(-rc));
	vz_trouble_try(trouble, "TMPDIR=a folder with more room");
	return rc;
}

static int save(struct vz_reader *r, const struct vz_walk_limits *limits, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc;
	uint64_t bytes;

	if (fd < 0)
		return -errno;
	rc = vz_slice(r, limits->select, limits->until_ns, fd, &bytes);
	close(fd);
	return rc;
}

int vz_part_open(struct vz_reader *r, const struct vz_walk_limits *limits,
		 const struct vz_index_options *options, struct vz_part *ret,
		 struct vz_trouble *trouble)
{
	struct vz_index_options beside = *options;
	struct place place;
	int rc = make_place(&place);

	*ret = (struct vz_part){ 0 };
	if (rc < 0)
		return explain(rc, trouble);
	beside.out = place.index;
	rc = save(r, limits, place.trace);
	if (rc < 0)
		explain(rc, trouble);
	else
		rc = vz_reader_open(place.trace, &ret->reader, trouble);
	if (rc == 0)
		rc = vz_index_build(place.trace, &beside, NULL, trouble);
	if (rc == 0) {
		rc = vz_index_open(place.trace, place.index, ret->reader, &ret->index);
		if (rc < 0)
			explain(rc, trouble);
	}
	remove_place(&place);
	if (rc < 0)
		vz_part_close(ret);
	return rc;
}

void vz_part_close(struct vz_part *part)
{
	vz_index_free(part->index);
	vz_reader_free(part->reader);
	*part = (struct vz_part){ 0 };
}
