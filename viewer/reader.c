/* SPDX-License-Identifier: MIT */
#include "viewer/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "viewer/blocks.h"
#include "viewer/intern.h"
#include "viewer/loader.h"
#include "viewer/text.h"
#include "viewer/tracks.h"

enum {
	FIRST = 64,
	FACTS_MAX = 1 << 20, /* a file made to annoy: small blocks unpack to 64 MiB */
};

struct fact {
	const char *key, *value;
};

struct vz_reader {
	void *map;
	size_t map_bytes;
	struct vz_file_header header;
	struct vz_blocks blocks;
	uint32_t *events; /* entries of .blocks that are EVENTS */
	uint32_t nevents;
	uint32_t *extras; /* ... that are ARGS, SAMPLES, SOURCE */
	uint32_t nextras, extras_cap;
	uint8_t *bad; /* for each of .events: 1 if it was found damaged */
	struct vz_function *functions;
	uint32_t nfunctions, functions_cap;
	struct vz_tracks tracks;
	struct fact *facts;
	uint32_t nfacts, facts_cap;
	struct vz_file_end end;
	bool has_end;
	uint64_t t1_ns;
	uint64_t damaged_blocks;
	struct vz_totals totals;
	struct vz_text text;
};

/* ---- what blocks other than events hold ---- */

static int add_function(struct vz_reader *r, const struct vz_file_function *f, const uint8_t *text)
{
	const char *name, *file;
	struct vz_function *slot;

	if (f->id >= VZ_MAX_FUNCTIONS)
		return 0;
	name = vz_text_keep(&r->text, text, f->name_len);
	file = vz_text_keep(&r->text, text + f->name_len, f->file_len);
	if (!name || !file)
		return vz_text_no_room(&r->text);
	if (f->id >= r->functions_cap) {
		uint32_t cap = r->functions_cap ? r->functions_cap : FIRST;
		struct vz_function *bigger;

		while (cap <= f->id)
			cap *= 2;
		bigger = realloc(r->functions, cap * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		memset(bigger + r->functions_cap, 0, (cap - r->functions_cap) * sizeof(*bigger));
		r->functions = bigger;
		r->functions_cap = cap;
	}
	if (f->id >= r->nfunctions)
		r->nfunctions = f->id + 1;
	slot = &r->functions[f->id];
	slot->name = name;
	slot->file = file;
	slot->line = f->line;
	slot->kind = f->kind;
	r->totals.functions++;
	return 0;
}

static int read_functions(struct vz_reader *r, const uint8_t *p, size_t left)
{
	struct vz_file_function f;
	int rc = 0;

	while (left >= sizeof(f) && rc == 0) {
		memcpy(&f, p, sizeof(f));
		p += sizeof(f);
		left -= sizeof(f);
		if (left < (size_t)f.name_len + f.file_len)
			return -EBADMSG;
		rc = add_function(r, &f, p);
		p += f.name_len + f.file_len;
		left -= (size_t)f.name_len + f.file_len;
	}
	return rc < 0 ? rc : left ? -EBADMSG : 0;
}

static int add_fact(struct vz_reader *r, const uint8_t *key, size_t key_len, const uint8_t *value,
		    size_t value_len)
{
	struct fact fact = { vz_text_keep(&r->text, key, key_len),
			     vz_text_keep(&r->text, value, value_len) };

	r->text.full |= r->nfacts >= FACTS_MAX;
	if (r->text.full || !fact.key || !fact.value)
		return vz_text_no_room(&r->text);
	if (r->nfacts == r->facts_cap) {
		uint32_t cap = r->facts_cap ? r->facts_cap * 2 : FIRST;
		struct fact *bigger = realloc(r->facts, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		r->facts = bigger;
		r->facts_cap = cap;
	}
	r->facts[r->nfacts++] = fact;
	return 0;
}

/* key BETWEEN value BEHIND, repeated. */
static int read_facts(struct vz_reader *r, const uint8_t *p, size_t left, char between, char behind)
{
	int rc = 0;

	while (left && rc == 0) {
		const uint8_t *last = p + left;
		const uint8_t *middle = memchr(p, between, left);
		const uint8_t *end = NULL;

		if (middle)
			end = memchr(middle + 1, behind, (size_t)(last - middle - 1));
		if (!end)
			return -EBADMSG;
		rc = add_fact(r, p, (size_t)(middle - p), middle + 1, (size_t)(end - middle - 1));
		left -= (size_t)(end + 1 - p);
		p = end + 1;
	}
	return rc;
}

static int read_end(struct vz_reader *r, const struct vz_block *head, const uint8_t *p)
{
	if (head->raw_bytes < sizeof(r->end))
		return -EBADMSG;
	memcpy(&r->end, p, sizeof(r->end));
	r->has_end = true;
	r->t1_ns = head->t1_ns;
	return read_facts(r, p + sizeof(r->end), head->raw_bytes - sizeof(r->end), '=', '\n');
}

static int read_block(struct vz_reader *r, const struct vz_index_entry *entry)
{
	struct vz_block head;
	const uint8_t *raw;
	int rc = vz_blocks_load(&r->blocks, entry->offset, &head, &raw);

	if (rc < 0)
		return rc;
	switch (head.type) {
	case VZ_BLOCK_META:
		return read_facts(r, raw, head.raw_bytes, '\0', '\0');
	case VZ_BLOCK_FUNCTIONS:
		return read_functions(r, raw, head.raw_bytes);
	case VZ_BLOCK_TRACKS:
		return vz_tracks_read(&r->tracks, &r->text, raw, head.raw_bytes);
	case VZ_BLOCK_END:
		return read_end(r, &head, raw);
	default:
		return 0;
	}
}

static int note_events(struct vz_reader *r, uint32_t i)
{
	const struct vz_index_entry *entry = &r->blocks.entries[i];
	struct vz_thread_track *track;
	int rc = vz_tracks_have(&r->tracks, entry->track, &track);

	if (rc < 0)
		return rc;
	r->events[r->nevents++] = i;
	r->totals.calls += entry->count;
	r->totals.events_bytes += entry->stored_bytes;
	if (!r->has_end && entry->t1_ns > r->t1_ns)
		r->t1_ns = entry->t1_ns;
	return 0;
}

/* The track need not have events: a counter has none. */
static int note_extra(struct vz_reader *r, uint32_t i)
{
	const struct vz_index_entry *entry = &r->blocks.entries[i];
	struct vz_thread_track *track;
	uint32_t *bigger;
	int rc = entry->type == VZ_BLOCK_SOURCE ? 0
						: vz_tracks_have(&r->tracks, entry->track, &track);

	if (rc < 0)
		return rc;
	bigger = vz_grow(r->extras, &r->extras_cap, r->nextras + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	r->extras = bigger;
	r->extras[r->nextras++] = i;
	if (entry->type == VZ_BLOCK_SAMPLES && !r->has_end && entry->t1_ns > r->t1_ns)
		r->t1_ns = entry->t1_ns;
	return 0;
}

static int take_block(struct vz_reader *r, uint32_t i)
{
	switch (r->blocks.entries[i].type) {
	case VZ_BLOCK_EVENTS:
		return note_events(r, i);
	case VZ_BLOCK_ARGS:
	case VZ_BLOCK_SAMPLES:
	case VZ_BLOCK_SOURCE:
		return note_extra(r, i);
	default:
		return read_block(r, &r->blocks.entries[i]);
	}
}

static int read_all(struct vz_reader *r)
{
	int rc = vz_tracks_init(&r->tracks, r->header.pid);

	r->t1_ns = r->header.start_mono_ns;
	r->events = calloc(r->blocks.n + 1u, sizeof(*r->events));
	r->bad = calloc(r->blocks.n + 1u, 1);
	if (!r->events || !r->bad)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->blocks.n && rc == 0; i++) {
		rc = take_block(r, i);
		if (rc == -EBADMSG) {
			r->damaged_blocks++;
			rc = 0;
		}
	}
	return rc;
}

/* ---- opening ---- */

static int check_header(const struct vz_file_header *h, struct vz_trouble *trouble)
{
	int rc;

	if (h->magic != VZ_FILE_MAGIC) {
		rc = vz_trouble_set(trouble, EINVAL, "this is not a trace");
		vz_trouble_why(trouble, "it does not begin like a .viz file");
		return rc;
	}
	if (h->crc != crc32(0, (const Bytef *)h, offsetof(struct vz_file_header, crc))) {
		rc = vz_trouble_set(trouble, EBADMSG, "the trace is damaged");
		vz_trouble_why(trouble, "the checksum of its header does not hold");
		return rc;
	}
	if (h->version != VZ_FILE_VERSION || h->size != sizeof(*h)) {
		rc = vz_trouble_set(trouble, EPROTO, "cannot read this trace");
		vz_trouble_why(trouble, "it has format version %u; this program knows %d",
			       h->version, VZ_FILE_VERSION);
		vz_trouble_try(trouble, "the vizview that came with the vizattach that wrote it");
		return rc;
	}
	return 0;
}

int vz_reader_open_memory(const uint8_t *p, size_t bytes, struct vz_reader **ret,
			  struct vz_trouble *trouble)
{
	struct vz_reader *r;
	int rc;

	if (!p || bytes < sizeof(r->header)) {
		rc = vz_trouble_set(trouble, EINVAL, "this is not a trace");
		vz_trouble_why(trouble, "%zu bytes are less than the header of one", bytes);
		return rc;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return vz_trouble_set(trouble, ENOMEM, "out of memory");
	memcpy(&r->header, p, sizeof(r->header));
	rc = check_header(&r->header, trouble);
	if (rc == 0) {
		rc = vz_blocks_init(&r->blocks, p, bytes);
		if (rc == 0)
			rc = read_all(r);
		if (rc < 0)
			vz_trouble_set(trouble, -rc, "out of memory");
	}
	if (rc < 0) {
		vz_reader_free(r);
		return rc;
	}
	r->totals.file_bytes = bytes;
	r->totals.blocks = r->blocks.n;
	*ret = r;
	return 0;
}

static int map_file(const char *path, void **map, size_t *bytes, struct vz_trouble *trouble)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		goto bad;
	*bytes = (size_t)st.st_size;
	*map = NULL;
	if (!S_ISREG(st.st_mode))
		errno = S_ISDIR(st.st_mode) ? EISDIR : ESPIPE;
	else if (!*bytes)
		errno = ENODATA;
	else
		*map = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (!*map || *map == MAP_FAILED)
		goto bad;
	close(fd);
	return 0;
bad:
	rc = errno ? errno : EIO;
	if (fd >= 0)
		close(fd);
	vz_trouble_set(trouble, rc, "cannot read %s", path);
	vz_trouble_why(trouble, "%s", rc == ENODATA ? "it is empty" : strerror(rc));
	return -rc;
}

int vz_reader_open(const char *path, struct vz_reader **ret, struct vz_trouble *trouble)
{
	size_t bytes = 0;
	void *map = NULL;
	int rc = map_file(path, &map, &bytes, trouble);

	if (rc != 0)
		return rc;
	rc = vz_reader_open_memory(map, bytes, ret, trouble);
	if (rc < 0) {
		munmap(map, bytes);
		return rc;
	}
	(*ret)->map = map;
	(*ret)->map_bytes = bytes;
	return 0;
}

void vz_reader_free(struct vz_reader *r)
{
	if (!r)
		return;
	vz_blocks_fini(&r->blocks);
	vz_text_fini(&r->text);
	vz_tracks_fini(&r->tracks);
	free(r->events);
	free(r->extras);
	free(r->bad);
	free(r->functions);
	free(r->facts);
	if (r->map)
		munmap(r->map, r->map_bytes);
	free(r);
}

/* ---- answers ---- */

const struct vz_file_header *vz_reader_header(const struct vz_reader *r)
{
	return &r->header;
}

void vz_reader_range(const struct vz_reader *r, uint64_t *t0_ns, uint64_t *t1_ns)
{
	*t0_ns = r->header.start_mono_ns;
	*t1_ns = r->t1_ns > *t0_ns ? r->t1_ns : *t0_ns;
}

void vz_reader_totals(const struct vz_reader *r, struct vz_totals *ret)
{
	*ret = r->totals;
}

void vz_reader_damage(const struct vz_reader *r, struct vz_damage *ret)
{
	*ret = (struct vz_damage){
		.cut = !r->has_end,
		.no_index = !r->blocks.by_index,
		.skipped_bytes = r->blocks.skipped_bytes,
		.damaged_blocks = r->damaged_blocks,
		.missing_blocks = r->blocks.missing_blocks,
	};
}

const struct vz_file_end *vz_reader_end(const struct vz_reader *r)
{
	return r->has_end ? &r->end : NULL;
}

bool vz_reader_fact_at(const struct vz_reader *r, uint32_t i, const char **key, const char **value)
{
	if (i >= r->nfacts)
		return false;
	*key = r->facts[i].key;
	*value = r->facts[i].value;
	return true;
}

const char *vz_reader_fact(const struct vz_reader *r, const char *key)
{
	for (uint32_t i = r->nfacts; i > 0; i--)
		if (!strcmp(r->facts[i - 1].key, key))
			return r->facts[i - 1].value;
	return NULL;
}

const struct vz_function *vz_reader_function(const struct vz_reader *r, uint32_t id)
{
	static const struct vz_function unknown = { .name = "(unknown function)", .file = "" };

	return id < r->nfunctions && r->functions[id].kind ? &r->functions[id] : &unknown;
}

uint32_t vz_reader_nfunctions(const struct vz_reader *r)
{
	return r->nfunctions;
}

uint32_t vz_reader_ntracks(const struct vz_reader *r)
{
	return r->tracks.n;
}

const struct vz_thread_track *vz_reader_track(const struct vz_reader *r, uint32_t place)
{
	return &r->tracks.p[place];
}

uint32_t vz_reader_track_place(const struct vz_reader *r, uint32_t id)
{
	return vz_tracks_place(&r->tracks, id);
}

uint32_t vz_reader_nblocks(const struct vz_reader *r)
{
	return r->nevents;
}

const struct vz_index_entry *vz_reader_block(const struct vz_reader *r, uint32_t i)
{
	return &r->blocks.entries[r->events[i]];
}

void vz_reader_rest(const struct vz_reader *r)
{
	if (r->map)
		madvise(r->map, r->map_bytes, MADV_DONTNEED);
}

uint32_t vz_reader_nextras(const struct vz_reader *r)
{
	return r->nextras;
}

const struct vz_index_entry *vz_reader_extra(const struct vz_reader *r, uint32_t i)
{
	return &r->blocks.entries[r->extras[i]];
}

int vz_reader_load_extra(struct vz_reader *r, uint32_t i, struct vz_block *head,
			 const uint8_t **raw)
{
	return vz_blocks_load(&r->blocks, vz_reader_extra(r, i)->offset, head, raw);
}

uint32_t vz_reader_nprocesses(const struct vz_reader *r)
{
	return r->tracks.nprocesses;
}

const struct vz_process *vz_reader_process(const struct vz_reader *r, uint32_t i)
{
	return &r->tracks.processes[i];
}

void vz_reader_distrust(struct vz_reader *r, uint32_t i)
{
	if (!r->bad[i])
		r->damaged_blocks++;
	r->bad[i] = 1;
}

int vz_reader_load(struct vz_reader *r, uint32_t i, struct vz_block *head, const uint8_t **raw)
{
	int rc = vz_blocks_load(&r->blocks, vz_reader_block(r, i)->offset, head, raw);

	if (rc == -EBADMSG)
		vz_reader_distrust(r, i);
	return rc;
}

/* ---- beside it ---- */

struct vz_loader {
	const struct vz_reader *reader;
	struct vz_blocks blocks; /* the reader's, but for the buffer */
};

struct vz_loader *vz_loader_new(const struct vz_reader *r)
{
	struct vz_loader *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->reader = r;
	l->blocks = r->blocks;
	l->blocks.raw = NULL;
	l->blocks.raw_cap = 0;
	return l;
}

void vz_loader_free(struct vz_loader *l)
{
	if (l)
		free(l->blocks.raw);
	free(l);
}

int vz_loader_load(struct vz_loader *l, uint32_t i, struct vz_block *head, const uint8_t **raw)
{
	return vz_blocks_load(&l->blocks, vz_reader_block(l->reader, i)->offset, head, raw);
}

int vz_loader_load_extra(struct vz_loader *l, uint32_t i, struct vz_block *head,
			 const uint8_t **raw)
{
	return vz_blocks_load(&l->blocks, vz_reader_extra(l->reader, i)->offset, head, raw);
}
