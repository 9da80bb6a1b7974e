/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are imported, or refused in words; what is written is a whole trace that
 * holds as many calls as were read.
 *
 * The first byte says how many records are sorted in memory, so that the temporary file
 * and the merge are reached by small inputs, too.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/import/import.h"
#include "viewer/reader.h"
#include "viewer/walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *ctx, const struct vz_visit *at)
{
	uint64_t *calls = ctx;

	*calls +=
		(at->stack[at->depth - 1].symbol & ((1u << VZ_SYMBOL_SHIFT) - 1)) != VZ_ENTRY_OPEN;
	return 0;
}

static void check(const char *viz, const struct vz_import_summary *s)
{
	static const struct vz_visitor visitor = { .enter = count };
	struct vz_trouble trouble;
	struct vz_damage damage;
	struct vz_reader *r;
	uint64_t calls = 0;

	if (vz_reader_open(viz, &r, &trouble) < 0 || vz_walk(r, NULL, &visitor, &calls) < 0)
		abort();
	vz_reader_damage(r, &damage);
	if (damage.cut || damage.no_index || damage.damaged_blocks || damage.missing_blocks ||
	    damage.skipped_bytes || calls != s->calls)
		abort();
	vz_reader_free(r);
}

static void write_input(const char *path, const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vz_import_options options = { .sort_records = size ? 1u + data[0] : 0 };
	struct vz_import_summary summary;
	struct vz_trouble trouble = { "", "", "" };
	char json[64], viz[64];

	if (!size)
		return 0;
	snprintf(json, sizeof(json), "/dev/shm/fuzz-import-%d.json", (int)getpid());
	snprintf(viz, sizeof(viz), "/dev/shm/fuzz-import-%d.viz", (int)getpid());
	write_input(json, data + 1, size - 1);
	vz_import_wanted(json);
	if (vz_import(json, viz, &options, &summary, &trouble) == 0)
		check(viz, &summary);
	else if (!trouble.what[0] || !trouble.why[0])
		abort();
	unlink(json);
	unlink(viz);
	return 0;
}
