/* SPDX-License-Identifier: MIT */
/*
 * index_build.c - builds the index of a trace, in threads that share its tracks.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "viewer/cache.h"
#include "viewer/core/build.h"
#include "viewer/index/index_priv.h"
#include "viewer/loader.h"

enum {
	MAX_THREADS = 64,
	PROGRESS_STEPS = 200, /* so often at most it is told */
};

/* Blocks of one track, in order of the file. */
struct share {
	uint32_t place;
	uint32_t first, n; /* of .blocks */
	uint64_t bytes;
};

struct making {
	const struct vz_index_options *options;
	struct vz_reader *reader;
	struct vz_index_file file;
	struct share *shares; /* the longest first */
	uint32_t *blocks;     /* numbers; extra ones from number vz_reader_nblocks() on */
	uint64_t zero_ns, duration_ns, total_bytes;
	_Atomic uint32_t next; /* of .shares */
	_Atomic uint64_t end;  /* of the file */
	_Atomic uint64_t done; /* bytes of blocks */
	_Atomic int failed;    /* negative errno of the first thread that could not */
	pthread_mutex_t lock;  /* of what follows */
	struct vz_directory *directory;
	uint64_t told;
};

/* ---- writing ---- */

/* Room for so many bytes, at a multiple of 8. */
static uint64_t reserve(struct making *m, uint64_t bytes)
{
	return atomic_fetch_add_explicit(&m->end, (bytes + 7) & ~UINT64_C(7), memory_order_relaxed);
}

static int take_tile(void *ctx, const struct vzi_tile *tile, const uint8_t *bytes)
{
	struct making *m = ctx;
	struct vzi_tile placed = *tile;
	int rc;

	placed.offset = reserve(m, tile->bytes);
	rc = vz_index_file_write(&m->file, bytes, tile->bytes, placed.offset);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&m->lock);
	rc = vz_directory_tile(m->directory, &placed);
	pthread_mutex_unlock(&m->lock);
	return rc;
}

/* ---- tracks ---- */

static int tell_progress(struct making *m, uint64_t bytes)
{
	uint64_t done = atomic_fetch_add_explicit(&m->done, bytes, memory_order_relaxed) + bytes;
	uint64_t step = m->total_bytes / PROGRESS_STEPS;
	int rc = 0;

	if (!m->options->progress)
		return 0;
	pthread_mutex_lock(&m->lock);
	if (done >= m->told + step && done > m->told) {
		m->told = done;
		rc = m->options->progress(m->options->ctx, (double)done / (double)m->total_bytes);
	}
	pthread_mutex_unlock(&m->lock);
	return rc;
}

/* What the file says of a block, if its own header cannot be trusted. */
static struct vz_block head_of(const struct vz_index_entry *entry)
{
	return (struct vz_block){
		.type = (uint8_t)entry->type,
		.track = entry->track,
		.count = entry->count,
		.t0_ns = entry->t0_ns,
		.t1_ns = entry->t1_ns,
	};
}

static int feed_block(struct making *m, struct vz_loader *loader, struct vz_build *build,
		      uint32_t number)
{
	uint32_t nevents = vz_reader_nblocks(m->reader);
	bool extra = number >= nevents;
	const struct vz_index_entry *entry = extra ? vz_reader_extra(m->reader, number - nevents)
						   : vz_reader_block(m->reader, number);
	struct vz_block head;
	const uint8_t *raw;
	int rc = extra ? vz_loader_load_extra(loader, number - nevents, &head, &raw)
		       : vz_loader_load(loader, number, &head, &raw);

	if (rc < 0 && rc != -EBADMSG)
		return rc;
	if (rc < 0) {
		head = head_of(entry);
		raw = NULL;
	}
	if (extra)
		rc = raw ? vz_build_samples(build, &head, raw) : 0;
	else
		rc = vz_build_block(build, number, &head, raw);
	return rc < 0 ? rc : tell_progress(m, entry->stored_bytes);
}

static int finish_track(struct making *m, struct vz_build *build, uint32_t place)
{
	const struct vzi_block *blocks;
	uint32_t n;
	int rc = vz_build_end(build);

	if (rc < 0)
		return rc;
	blocks = vz_build_blocks(build, &n);
	pthread_mutex_lock(&m->lock);
	rc = vz_directory_track(m->directory, place, vz_build_track(build), blocks, n,
				vz_build_density(build));
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static int make_track(struct making *m, struct vz_loader *loader, const struct share *share)
{
	const struct vz_thread_track *track = vz_reader_track(m->reader, share->place);
	struct vz_build_options options = {
		.track = share->place,
		.place = share->place,
		.flags = track->flags,
		.zero_ns = m->zero_ns,
		.duration_ns = m->duration_ns,
		.begin_ns = track->begin_ns,
		.end_ns = track->end_ns,
		.sink = { take_tile, m },
	};
	struct vz_build *build;
	uint64_t t0_ns;
	int rc;

	if (!options.end_ns)
		vz_reader_range(m->reader, &t0_ns, &options.end_ns);
	rc = vz_build_new(&options, &build);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < share->n && rc == 0; i++) {
		rc = feed_block(m, loader, build, m->blocks[share->first + i]);
		if (rc == 0)
			rc = atomic_load_explicit(&m->failed, memory_order_relaxed);
	}
	if (rc == 0)
		rc = finish_track(m, build, share->place);
	vz_build_free(build);
	return rc;
}

static void *make_tracks(void *ctx)
{
	struct making *m = ctx;
	struct vz_loader *loader = vz_loader_new(m->reader);
	uint32_t ntracks = vz_reader_ntracks(m->reader);
	int rc = loader ? 0 : -ENOMEM, none = 0;

	while (rc == 0) {
		uint32_t i = atomic_fetch_add_explicit(&m->next, 1, memory_order_relaxed);

		if (i >= ntracks)
			break;
		rc = make_track(m, loader, &m->shares[i]);
	}
	if (rc < 0)
		atomic_compare_exchange_strong(&m->failed, &none, rc);
	vz_loader_free(loader);
	return NULL;
}

static uint32_t threads_for(const struct making *m)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t n = m->options->threads, ntracks = vz_reader_ntracks(m->reader);

	if (!n)
		n = processors > 0 ? (uint32_t)processors : 1;
	if (n > ntracks)
		n = ntracks;
	return n < MAX_THREADS ? n : MAX_THREADS;
}

static int make_all(struct making *m)
{
	pthread_t threads[MAX_THREADS];
	uint32_t n = threads_for(m), started = 0;

	while (started + 1 < n && pthread_create(&threads[started], NULL, make_tracks, m) == 0)
		started++;
	make_tracks(m);
	for (uint32_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	return atomic_load(&m->failed);
}

/* ---- which thread does what ---- */

static int by_bytes(const void *pa, const void *pb)
{
	const struct share *a = pa, *b = pb;

	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return (a->place > b->place) - (a->place < b->place);
}

/* The track of an extra block, if it has something for the index. */
static bool counts(const struct vz_reader *r, const struct vz_index_entry *entry, uint32_t *place)
{
	if (entry->type != VZ_BLOCK_EVENTS && entry->type != VZ_BLOCK_SAMPLES)
		return false;
	*place = vz_reader_track_place(r, entry->track);
	return *place < vz_reader_ntracks(r) && vz_reader_track(r, *place)->id == entry->track;
}

static const struct vz_index_entry *entry_of(const struct vz_reader *r, uint32_t number)
{
	uint32_t nevents = vz_reader_nblocks(r);

	return number < nevents ? vz_reader_block(r, number) : vz_reader_extra(r, number - nevents);
}

static int share_out(struct making *m)
{
	uint32_t ntracks = vz_reader_ntracks(m->reader), at = 0, place;
	uint32_t n = vz_reader_nblocks(m->reader) + vz_reader_nextras(m->reader);

	m->shares = calloc(ntracks + 1u, sizeof(*m->shares));
	m->blocks = calloc(n + 1u, sizeof(*m->blocks));
	if (!m->shares || !m->blocks)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		const struct vz_index_entry *entry = entry_of(m->reader, i);

		if (!counts(m->reader, entry, &place))
			continue;
		m->shares[place].n++;
		m->shares[place].bytes += entry->stored_bytes;
		m->total_bytes += entry->stored_bytes;
	}
	for (uint32_t i = 0; i < ntracks; i++) {
		m->shares[i].place = i;
		m->shares[i].first = at;
		at += m->shares[i].n;
		m->shares[i].n = 0;
	}
	for (uint32_t i = 0; i < n; i++)
		if (counts(m->reader, entry_of(m->reader, i), &place))
			m->blocks[m->shares[place].first + m->shares[place].n++] = i;
	qsort(m->shares, ntracks, sizeof(*m->shares), by_bytes);
	return 0;
}

/* ---- all of it ---- */

static int write_directory(struct making *m, struct vzi_header *header)
{
	const struct vzi_directory head = {
		.zero_ns = m->zero_ns,
		.duration_ns = m->duration_ns,
		.nfunctions = vz_reader_nfunctions(m->reader),
	};
	uint8_t *blob;
	size_t bytes;
	int rc = vz_directory_finish(m->directory, &head, &blob, &bytes);

	if (rc < 0)
		return rc;
	header->directory_offset = reserve(m, bytes);
	header->directory_bytes = bytes;
	header->directory_crc = (uint32_t)crc32_z(0, blob, bytes);
	rc = vz_index_file_write(&m->file, blob, bytes, header->directory_offset);
	free(blob);
	return rc;
}

static int write_header(struct making *m, struct vzi_header *header)
{
	header->magic = VZI_MAGIC;
	header->version = VZI_VERSION;
	header->bytes = sizeof(*header);
	header->crc =
		(uint32_t)crc32_z(0, (const uint8_t *)header, offsetof(struct vzi_header, crc));
	return vz_index_file_write(&m->file, header, sizeof(*header), 0);
}

static int make(struct making *m, struct vzi_header *header)
{
	int rc = share_out(m);

	vz_index_range(m->reader, &m->zero_ns, &m->duration_ns);
	m->directory = vz_directory_new(vz_reader_ntracks(m->reader));
	if (!m->directory)
		rc = -ENOMEM;
	atomic_store(&m->end, sizeof(*header));
	if (rc == 0)
		rc = make_all(m);
	if (rc == 0)
		rc = write_directory(m, header);
	if (rc == 0)
		rc = write_header(m, header);
	if (rc == 0)
		rc = vz_index_file_publish(&m->file);
	vz_directory_free(m->directory);
	free(m->shares);
	free(m->blocks);
	return rc;
}

/* ---- where ---- */

enum { PLACES = VZ_INDEX_PLACES + VZ_INDEX_SPARES };

/* What was wrong with each place, for people. */
struct reasons {
	char text[256];
	size_t n;
};

static void add_reason(struct reasons *reasons, int place, int rc)
{
	static const char *const names[PLACES] = { "beside the trace", "in the cache",
						   "in a temporary file", "in memory" };
	size_t left = sizeof(reasons->text) - reasons->n;
	int n = snprintf(reasons->text + reasons->n, left, "%s%s: %s", reasons->n ? "; " : "",
			 names[place], strerror(-rc));

	reasons->n += (size_t)n < left ? (size_t)n : left - 1;
}

/* A file to write to, at PLACE. */
static int new_file(struct making *m, const char *path, int place, mode_t mode)
{
	char name[VZ_INDEX_PATH];
	int rc;

	if (place >= VZ_INDEX_PLACES)
		return vz_index_file_lend(&m->file, m->options->spare, place - VZ_INDEX_PLACES);
	rc = vz_index_place(path, place, name);
	return rc < 0 ? rc : vz_index_file_new(&m->file, name, mode);
}

static void start_over(struct making *m)
{
	vz_index_file_fini(&m->file);
	pthread_mutex_destroy(&m->lock);
	*m = (struct making){ .options = m->options, .reader = m->reader, .file = { .fd = -1 } };
	pthread_mutex_init(&m->lock, NULL);
}

/* At one place after the other, until nothing is wrong with it: it may be full in the middle. */
static int make_anywhere(struct making *m, const char *path, mode_t mode, struct vzi_header *header,
			 struct reasons *reasons)
{
	int n = m->options->spare ? PLACES : VZ_INDEX_PLACES, rc = -ENOENT;

	for (int place = 0; place < n; place++) {
		rc = new_file(m, path, place, mode);
		if (rc == 0) {
			rc = make(m, header);
			if (rc == 0 && place >= VZ_INDEX_PLACES)
				m->options->spare->used = place - VZ_INDEX_PLACES;
			if (rc < 0 && !m->file.error)
				reasons->n = 0; /* no place would help */
			if (rc == 0 || !m->file.error)
				break;
		}
		add_reason(reasons, place, rc);
		start_over(m);
	}
	return rc;
}

static int make_at(struct making *m, const char *out, mode_t mode, struct vzi_header *header)
{
	int rc = vz_index_file_new(&m->file, out, mode);

	return rc < 0 ? rc : make(m, header);
}

static int failed(int rc, const char *path, const struct vz_index_options *options,
		  const struct reasons *reasons, struct vz_trouble *trouble)
{
	vz_trouble_set(trouble, -rc, "cannot make the index of %s", path);
	vz_trouble_why(trouble, "%s", reasons->n ? reasons->text : strerror(-rc));
	if (options->spare && reasons->n)
		vz_trouble_try(trouble, "XDG_CACHE_HOME=a folder with room, and vizview again");
	else if (reasons->n || options->out)
		vz_trouble_try(trouble, "another place: vizview index FILE -o OUT");
	return rc;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void tell_made(const struct making *m, const struct vzi_header *header, double before,
		      struct vz_index_made *made)
{
	struct vz_totals totals;

	vz_reader_totals(m->reader, &totals);
	snprintf(made->path, sizeof(made->path), "%s", m->file.path);
	made->bytes = header->directory_offset + header->directory_bytes;
	made->trace_bytes = totals.file_bytes;
	made->entries = totals.calls;
	made->seconds = seconds() - before;
}

static int build(struct making *m, const char *path, struct vzi_header *header,
		 struct reasons *reasons)
{
	uid_t owner;
	mode_t mode;
	int rc = vz_index_belong(path, header, &owner, &mode);

	if (rc == 0 && m->options->out)
		rc = make_at(m, m->options->out, mode, header);
	else if (rc == 0)
		rc = make_anywhere(m, path, mode, header, reasons);
	if (rc == 0 && vz_cache_has(m->file.path))
		vz_cache_prune(VZ_CACHE_LIMIT);
	return rc;
}

int vz_index_build(const char *path, const struct vz_index_options *options,
		   struct vz_index_made *made, struct vz_trouble *trouble)
{
	static const struct vz_index_options usual = { 0 };
	struct making m = { .options = options ? options : &usual, .file = { .fd = -1 } };
	struct vzi_header header = { 0 };
	struct reasons reasons = { 0 };
	double before = seconds();
	int rc = vz_reader_open(path, &m.reader, trouble);

	if (rc < 0)
		return rc;
	pthread_mutex_init(&m.lock, NULL);
	rc = build(&m, path, &header, &reasons);
	if (m.options->spare)
		memcpy(m.options->spare->why, reasons.text, sizeof(reasons.text));
	if (rc == 0 && made)
		tell_made(&m, &header, before, made);
	vz_index_file_fini(&m.file);
	pthread_mutex_destroy(&m.lock);
	vz_reader_free(m.reader);
	return rc < 0 ? failed(rc, path, m.options, &reasons, trouble) : 0;
}
