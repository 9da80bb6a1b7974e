/* SPDX-License-Identifier: MIT */
#include "viewer/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "viewer/write.h"

enum {
	PATH_BYTES = 4096,
};

struct copy {
	struct vz_reader *reader;
	const struct vz_walk_limits *limits;
	struct vz_writer *writer;
	struct vz_writer_track **tracks; /* by place */
	uint32_t ntracks;
};

/* ---- events ---- */

static int enter(void *ctx, const struct vz_visit *at)
{
	struct copy *c = ctx;
	uint32_t symbol = at->stack[at->depth - 1].symbol;

	vz_writer_enter(c->tracks[at->place], symbol >> VZ_SYMBOL_SHIFT,
			(enum vz_entry)(symbol & ((1u << VZ_SYMBOL_SHIFT) - 1)), at->ns);
	return vz_writer_error(c->writer);
}

/* What had not ended has no end in the part, too. */
static int leave(void *ctx, const struct vz_visit *at)
{
	struct copy *c = ctx;
	unsigned how = at->how == VZ_LEFT_GAP ? VZ_LEAVE_UNSEEN : at->how;

	if (how != VZ_LEFT_OPEN)
		vz_writer_leave(c->tracks[at->place], (enum vz_leave)how, at->ns);
	return vz_writer_error(c->writer);
}

static int lost(void *ctx, const struct vz_visit *at)
{
	struct copy *c = ctx;

	vz_writer_lost(c->tracks[at->place], at->lost, at->ns);
	return vz_writer_error(c->writer);
}

/* ---- all else ---- */

static void copy_facts(struct copy *c)
{
	const char *key, *value;

	for (uint32_t i = 0; vz_reader_fact_at(c->reader, i, &key, &value); i++)
		vz_writer_fact(c->writer, key, value);
	for (uint32_t id = 0; id < vz_reader_nfunctions(c->reader); id++) {
		const struct vz_function *f = vz_reader_function(c->reader, id);
		const struct vz_file_function record = {
			.id = id,
			.line = f->line,
			.kind = f->kind,
		};

		if (f->kind)
			vz_writer_function(c->writer, &record, f->name, f->file);
	}
}

static int begin_tracks(struct copy *c)
{
	c->ntracks = vz_reader_ntracks(c->reader);
	c->tracks = calloc(c->ntracks + (size_t)1, sizeof(struct vz_writer_track *));
	if (!c->tracks)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->ntracks; i++) {
		const struct vz_thread_track *t = vz_reader_track(c->reader, i);
		const struct vz_process *p = vz_reader_process(c->reader, t->process);
		struct vz_file_track record = {
			.tid = t->tid,
			.flags = t->flags,
			.stack_key = t->stack_key,
			.ns = t->begin_ns,
		};

		c->tracks[i] = vz_writer_track(c->writer, &record, t->name);
		if (!c->tracks[i])
			return -ENOMEM;
		if (t->process)
			vz_writer_process(c->tracks[i], p->pid, p->name);
	}
	return 0;
}

static bool is_wanted(const struct copy *c, const struct vz_index_entry *e)
{
	struct vz_damage damage;

	if (e->type == VZ_BLOCK_SOURCE)
		return true;
	if (c->limits->place != VZ_ALL_TRACKS &&
	    vz_reader_track_place(c->reader, e->track) != c->limits->place)
		return false;
	if (e->type == VZ_BLOCK_SAMPLES)
		return !c->limits->until_ns || e->t0_ns <= c->limits->until_ns;
	/* They belong to calls by number: without a call that is there, to others. */
	vz_reader_damage(c->reader, &damage);
	return !damage.damaged_blocks && !damage.missing_blocks;
}

static int copy_extras(struct copy *c)
{
	int rc = 0;

	for (uint32_t i = 0; i < vz_reader_nextras(c->reader) && rc == 0; i++) {
		const struct vz_index_entry *e = vz_reader_extra(c->reader, i);
		struct vz_block head;
		const uint8_t *raw;

		if (!is_wanted(c, e))
			continue;
		rc = vz_reader_load_extra(c->reader, i, &head, &raw);
		if (rc == 0) {
			struct vz_block copy = {
				.type = head.type,
				.track = vz_reader_track_place(c->reader, head.track),
				.count = head.count,
				.t0_ns = head.t0_ns,
				.t1_ns = head.t1_ns,
			};

			vz_writer_block(c->writer, &copy, raw, head.raw_bytes);
			rc = vz_writer_error(c->writer);
		}
		if (rc == -EBADMSG)
			rc = 0;
	}
	return rc;
}

static void end_tracks(struct copy *c, uint64_t end_ns)
{
	for (uint32_t i = 0; i < c->ntracks && c->tracks && c->tracks[i]; i++) {
		uint64_t ns = vz_reader_track(c->reader, i)->end_ns;

		vz_writer_end_track(c->tracks[i], ns && ns < end_ns ? ns : end_ns);
	}
}

static int write_part(struct copy *c)
{
	static const struct vz_visitor visitor = { .enter = enter, .leave = leave, .lost = lost };
	uint64_t t0_ns, t1_ns;
	int rc = begin_tracks(c);

	vz_reader_range(c->reader, &t0_ns, &t1_ns);
	if (c->limits->until_ns && c->limits->until_ns < t1_ns)
		t1_ns = c->limits->until_ns;
	copy_facts(c);
	if (rc == 0)
		rc = vz_walk(c->reader, c->limits, &visitor, c);
	if (rc == 0)
		rc = copy_extras(c);
	end_tracks(c, t1_ns);
	return rc < 0 ? rc : vz_writer_finish(c->writer, t1_ns, "");
}

static int copy_to(struct vz_reader *r, const struct vz_walk_limits *limits, int fd)
{
	struct copy c = {
		.reader = r,
		.limits = limits,
		.writer = vz_writer_new(fd, vz_reader_header(r)),
	};
	int rc = c.writer ? write_part(&c) : -ENOMEM;

	vz_writer_free(c.writer);
	free(c.tracks);
	return rc;
}

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

	if (fd < 0)
		return -errno;
	rc = copy_to(r, limits, fd);
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
