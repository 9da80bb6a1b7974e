/* SPDX-License-Identifier: MIT */
#include "viewer/index/index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "viewer/cache.h"
#include "viewer/index/index_priv.h"

#define MAX_NS ((UINT64_C(1) << 53) - 1)

struct vz_index {
	int held; /* keeps it in the cache; -1: it is not there */
	uint8_t *map;
	size_t bytes;
	struct vzi_header header;
	struct vz_directory_view view;
};

void vz_index_range(const struct vz_reader *r, uint64_t *zero_ns, uint64_t *duration_ns)
{
	uint64_t end;

	vz_reader_range(r, zero_ns, &end);
	for (uint32_t i = 0; i < vz_reader_nblocks(r); i++) {
		const struct vz_index_entry *entry = vz_reader_block(r, i);

		if (entry->t0_ns < *zero_ns)
			*zero_ns = entry->t0_ns;
		if (entry->t1_ns > end)
			end = entry->t1_ns;
	}
	for (uint32_t i = 0; i < vz_reader_nextras(r); i++) {
		const struct vz_index_entry *entry = vz_reader_extra(r, i);

		if (entry->type == VZ_BLOCK_SAMPLES && entry->t1_ns > end)
			end = entry->t1_ns;
	}
	for (uint32_t i = 0; i < vz_reader_ntracks(r); i++)
		if (vz_reader_track(r, i)->end_ns > end)
			end = vz_reader_track(r, i)->end_ns;
	*duration_ns = end - *zero_ns < MAX_NS ? end - *zero_ns : MAX_NS;
}

/* ---- opening ---- */

static bool good_header(const struct vzi_header *h, uint64_t bytes)
{
	return h->magic == VZI_MAGIC && h->version == VZI_VERSION && h->bytes == sizeof(*h) &&
	       h->crc == crc32_z(0, (const uint8_t *)h, offsetof(struct vzi_header, crc)) &&
	       h->directory_offset % 8 == 0 && h->directory_offset >= sizeof(*h) &&
	       h->directory_offset <= bytes && h->directory_bytes == bytes - h->directory_offset;
}

static bool same_trace(const struct vzi_header *a, const struct vzi_header *b)
{
	return a->trace_bytes == b->trace_bytes && a->trace_mtime_ns == b->trace_mtime_ns &&
	       a->trace_check == b->trace_check;
}

/* The mapping is good for what R says. */
static int check(struct vz_index *index, const struct vzi_header *trace, const struct vz_reader *r)
{
	const uint8_t *directory;
	int rc;

	if (index->bytes < sizeof(index->header))
		return -ENOENT;
	memcpy(&index->header, index->map, sizeof(index->header));
	if (!good_header(&index->header, index->bytes) || !same_trace(&index->header, trace))
		return -ENOENT;
	directory = index->map + index->header.directory_offset;
	if (crc32_z(0, directory, index->header.directory_bytes) != index->header.directory_crc)
		return -ENOENT;
	rc = vz_directory_check(directory, index->header.directory_bytes,
				index->header.directory_offset, &index->view);
	if (rc < 0 || index->view.head->ntracks != vz_reader_ntracks(r))
		return -ENOENT;
	for (uint32_t i = 0; i < index->view.head->nblocks; i++)
		if (index->view.blocks[i].number >= vz_reader_nblocks(r))
			return -ENOENT;
	return 0;
}

static int map(int fd, uid_t owner, struct vz_index *index)
{
	struct stat st;
	void *p = MAP_FAILED;

	/* What somebody else put there may hold anything. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    (st.st_uid == owner || st.st_uid == geteuid() || st.st_uid == 0))
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -ENOENT;
	index->map = p;
	index->bytes = (size_t)st.st_size;
	return 0;
}

/* The trace that an index must belong to. */
struct owned {
	struct vzi_header header;
	uid_t owner;
};

static int open_fd(int fd, const struct owned *trace, const struct vz_reader *r,
		   struct vz_index **ret)
{
	struct vz_index *index = calloc(1, sizeof(*index));
	int rc;

	if (!index)
		return -ENOMEM;
	index->held = -1;
	rc = map(fd, trace->owner, index);
	if (rc == 0)
		rc = check(index, &trace->header, r);
	if (rc < 0)
		vz_index_free(index);
	else
		*ret = index;
	return rc;
}

static int open_at(const char *path, const struct owned *trace, const struct vz_reader *r,
		   struct vz_index **ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), rc;
	bool cached;

	if (fd < 0)
		return -ENOENT;
	cached = vz_cache_has(path);
	rc = cached && vz_cache_hold(fd) < 0 ? -ENOENT : open_fd(fd, trace, r, ret);
	if (rc == 0 && cached)
		(*ret)->held = fd;
	else
		close(fd);
	return rc;
}

static int get_trace(const char *path, const struct vz_reader *r, struct owned *trace)
{
	struct vz_totals totals;
	mode_t mode;
	int rc;

	*trace = (struct owned){ 0 };
	rc = vz_index_belong(path, &trace->header, &trace->owner, &mode);
	vz_reader_totals(r, &totals);
	return rc < 0 || trace->header.trace_bytes != totals.file_bytes ? -ENOENT : 0;
}

int vz_index_open(const char *path, const char *index, const struct vz_reader *r,
		  struct vz_index **ret)
{
	char place[VZ_INDEX_PATH];
	struct owned trace;
	int rc = get_trace(path, r, &trace);

	if (rc < 0)
		return rc;
	if (index)
		return open_at(index, &trace, r, ret);
	rc = -ENOENT;
	for (int i = 0; i < VZ_INDEX_PLACES && rc == -ENOENT; i++)
		if (vz_index_place(path, i, place) == 0)
			rc = open_at(place, &trace, r, ret);
	return rc;
}

int vz_index_open_made(const char *path, const struct vz_index_spare *spare,
		       const struct vz_reader *r, struct vz_index **ret)
{
	struct owned trace;
	int rc;

	if (spare->used < 0)
		return vz_index_open(path, NULL, r, ret);
	rc = get_trace(path, r, &trace);
	return rc < 0 ? rc : open_fd(spare->fds[spare->used], &trace, r, ret);
}

void vz_index_free(struct vz_index *index)
{
	if (!index)
		return;
	if (index->map)
		munmap(index->map, index->bytes);
	if (index->held >= 0)
		close(index->held);
	free(index);
}

/* ---- using ---- */

const struct vz_directory_view *vz_index_view(const struct vz_index *index)
{
	return &index->view;
}

const void *vz_index_directory(const struct vz_index *index, size_t *bytes)
{
	*bytes = index->header.directory_bytes;
	return index->map + index->header.directory_offset;
}

const uint8_t *vz_index_tile(const struct vz_index *index, uint32_t i, size_t *bytes)
{
	if (i >= index->view.head->ntiles)
		return NULL;
	*bytes = index->view.tiles[i].bytes;
	return index->map + index->view.tiles[i].offset;
}

void vz_index_rest(const struct vz_index *index)
{
	madvise(index->map, index->bytes, MADV_DONTNEED);
}
