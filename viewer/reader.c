/* SPDX-License-Identifier: MIT */
#include "viewer/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "viewer/blocks.h"

enum {
	TEXT_BYTES = 1 << 16,
	FIRST = 64,
	/* A file made to annoy: small blocks unpack to 64 MiB, and tracks can come in any order. */
	TEXT_MAX = 1 << 30, /* bytes of all names; a block that goes beyond is damage */
	TRACKS_MAX = 16 << 20,
	FACTS_MAX = 1 << 20,
};
#define SHUFFLE_MAX (UINT64_C(4) << 30) /* bytes moved to put tracks in order */

/* Strings live in chunks that never move. */
struct text {
	struct text *next;
	size_t used, bytes;
	char p[];
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
	uint8_t *bad; /* for each of .events: 1 if it was found damaged */
	struct vz_function *functions;
	uint32_t nfunctions, functions_cap;
	struct vz_thread_track *tracks; /* ascending by id */
	uint32_t ntracks, tracks_cap;
	struct fact *facts;
	uint32_t nfacts, facts_cap;
	struct vz_file_end end;
	bool has_end;
	uint64_t t1_ns;
	uint64_t damaged_blocks;
	struct vz_totals totals;
	struct text *text;
	uint64_t text_bytes, shuffled;
	bool full; /* a limit was met: what does not fit is damage, not want of memory */
};

/* ---- strings ---- */

static const char *keep(struct vz_reader *r, const void *s, size_t len)
{
	struct text *t = r->text;
	char *p;

	if (!t || t->bytes - t->used < len + 1) {
		size_t bytes = len + 1 > TEXT_BYTES ? len + 1 : TEXT_BYTES;

		r->full |= r->text_bytes + bytes > TEXT_MAX;
		if (r->full)
			return NULL;
		t = malloc(sizeof(*t) + bytes);
		if (!t)
			return NULL;
		r->text_bytes += bytes;
		t->next = r->text;
		t->used = 0;
		t->bytes = bytes;
		r->text = t;
	}
	p = t->p + t->used;
	memcpy(p, s, len);
	p[len] = '\0';
	t->used += len + 1;
	return p;
}

/* Why there was no room. */
static int no_room(const struct vz_reader *r)
{
	return r->full ? -EBADMSG : -ENOMEM;
}

/* ---- what blocks other than events hold ---- */

static int add_function(struct vz_reader *r, const struct vz_file_function *f, const uint8_t *text)
{
	const char *name, *file;
	struct vz_function *slot;

	if (f->id >= VZ_MAX_FUNCTIONS)
		return 0;
	name = keep(r, text, f->name_len);
	file = keep(r, text + f->name_len, f->file_len);
	if (!name || !file)
		return no_room(r);
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

/* First track whose id is not below ID. */
static uint32_t lower_bound(const struct vz_reader *r, uint32_t id)
{
	uint32_t lo = 0, hi = r->ntracks;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (r->tracks[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The track with this id, made if it is not there; NULL without memory, or at a limit. */
static struct vz_thread_track *have_track(struct vz_reader *r, uint32_t id)
{
	uint32_t at =
		r->ntracks && r->tracks[r->ntracks - 1].id < id ? r->ntracks : lower_bound(r, id);

	if (at < r->ntracks && r->tracks[at].id == id)
		return &r->tracks[at];
	r->shuffled += (uint64_t)(r->ntracks - at) * sizeof(*r->tracks);
	r->full |= r->ntracks >= TRACKS_MAX || r->shuffled > SHUFFLE_MAX;
	if (r->full)
		return NULL;
	if (r->ntracks == r->tracks_cap) {
		uint32_t cap = r->tracks_cap ? r->tracks_cap * 2 : FIRST;
		struct vz_thread_track *bigger = realloc(r->tracks, cap * sizeof(*bigger));

		if (!bigger)
			return NULL;
		r->tracks = bigger;
		r->tracks_cap = cap;
	}
	memmove(&r->tracks[at + 1], &r->tracks[at], (r->ntracks - at) * sizeof(*r->tracks));
	r->ntracks++;
	r->tracks[at] = (struct vz_thread_track){ .id = id, .name = "" };
	return &r->tracks[at];
}

static int add_track_record(struct vz_reader *r, const struct vz_file_track *record,
			    const uint8_t *name)
{
	struct vz_thread_track *track = have_track(r, record->track);

	if (!track)
		return no_room(r);
	if (record->kind == VZ_TRACK_BEGIN) {
		track->tid = record->tid;
		track->flags = record->flags;
		track->stack_key = record->stack_key;
		track->begin_ns = record->ns;
		track->defined = true;
	} else if (record->kind == VZ_TRACK_END) {
		track->end_ns = record->ns;
	} else if (record->kind == VZ_TRACK_NAME) {
		const char *text = keep(r, name, record->name_len);

		if (!text)
			return no_room(r);
		track->name = text;
	}
	return 0;
}

static int read_tracks(struct vz_reader *r, const uint8_t *p, size_t left)
{
	struct vz_file_track record;
	int rc = 0;

	while (left >= sizeof(record) && rc == 0) {
		memcpy(&record, p, sizeof(record));
		p += sizeof(record);
		left -= sizeof(record);
		if (left < record.name_len)
			return -EBADMSG;
		rc = add_track_record(r, &record, p);
		p += record.name_len;
		left -= record.name_len;
	}
	return rc < 0 ? rc : left ? -EBADMSG : 0;
}

static int add_fact(struct vz_reader *r, const uint8_t *key, size_t key_len, const uint8_t *value,
		    size_t value_len)
{
	struct fact fact = { keep(r, key, key_len), keep(r, value, value_len) };

	r->full |= r->nfacts >= FACTS_MAX;
	if (r->full || !fact.key || !fact.value)
		return no_room(r);
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
		return read_tracks(r, raw, head.raw_bytes);
	case VZ_BLOCK_END:
		return read_end(r, &head, raw);
	default:
		return 0;
	}
}

static int note_events(struct vz_reader *r, uint32_t i)
{
	const struct vz_index_entry *entry = &r->blocks.entries[i];

	if (!have_track(r, entry->track))
		return no_room(r);
	r->events[r->nevents++] = i;
	r->totals.calls += entry->count;
	r->totals.events_bytes += entry->stored_bytes;
	if (!r->has_end && entry->t1_ns > r->t1_ns)
		r->t1_ns = entry->t1_ns;
	return 0;
}

static int read_all(struct vz_reader *r)
{
	int rc = 0;

	r->t1_ns = r->header.start_mono_ns;
	r->events = calloc(r->blocks.n + 1u, sizeof(*r->events));
	r->bad = calloc(r->blocks.n + 1u, 1);
	if (!r->events || !r->bad)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->blocks.n && rc == 0; i++) {
		const struct vz_index_entry *entry = &r->blocks.entries[i];

		rc = entry->type == VZ_BLOCK_EVENTS ? note_events(r, i) : read_block(r, entry);
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
	while (r->text) {
		struct text *next = r->text->next;

		free(r->text);
		r->text = next;
	}
	free(r->events);
	free(r->bad);
	free(r->functions);
	free(r->tracks);
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
	return r->ntracks;
}

const struct vz_thread_track *vz_reader_track(const struct vz_reader *r, uint32_t place)
{
	return &r->tracks[place];
}

uint32_t vz_reader_track_place(const struct vz_reader *r, uint32_t id)
{
	return lower_bound(r, id);
}

void vz_reader_track_title(const struct vz_thread_track *track, char *buf, size_t size)
{
	if (!track->defined)
		snprintf(buf, size, "track %" PRIu32 " (its description is lost)", track->id);
	else if (track->stack_key && track->name[0])
		snprintf(buf, size, "%s, greenlet %" PRIx64, track->name, track->stack_key);
	else if (track->stack_key)
		snprintf(buf, size, "thread %" PRIu32 ", greenlet %" PRIx64, track->tid,
			 track->stack_key);
	else if (track->name[0])
		snprintf(buf, size, "%s", track->name);
	else
		snprintf(buf, size, "thread %" PRIu32, track->tid);
}

uint32_t vz_reader_nblocks(const struct vz_reader *r)
{
	return r->nevents;
}

const struct vz_index_entry *vz_reader_block(const struct vz_reader *r, uint32_t i)
{
	return &r->blocks.entries[r->events[i]];
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
