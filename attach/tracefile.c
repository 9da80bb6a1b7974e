/* SPDX-License-Identifier: MIT */
#include "attach/tracefile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "attach/blockfile.h"
#include "attach/encode.h"
#include "attach/sources.h"

enum {
	FIRST_WORDS = 64,
	FIRST_FRAMES = 16,
	MAX_WORDS = 2 * VZ_BLOCK_MAX_CALLS,
	WORDS_PER_PUT = 3,    /* gap, loss, its number */
	HELD_MAX = 16 << 20,  /* bytes of buffered events in all tracks together */
	HELD_KEEP = 8 << 20, /* below this a track keeps its buffer when it was written */
	PENDING_MAX = 1 << 20,
	NAME_MAX_BYTES = UINT16_MAX,
};

/* Records that wait for a block. */
struct pending {
	uint8_t *p;
	size_t bytes, cap;
	uint32_t records;
};

struct vz_track {
	struct vz_tracefile *tf;
	uint64_t *words; /* see attach/encode.h */
	uint32_t nwords, words_cap;
	uint32_t entries;
	uint64_t first_ns, last_ns;
	struct vz_frame *stack;
	uint32_t depth, stack_cap;
	/*
	 * The stack on which the buffered events began: stack[0 .. lowest), then .popped
	 * backwards.  Keeping only what was popped makes a flush cheap at any depth.
	 */
	struct vz_frame *popped;
	uint32_t npopped, popped_cap;
	uint32_t lowest;
	uint32_t id;
	uint32_t place; /* in tf->tracks */
};

struct vz_tracefile {
	struct vz_blockfile file;
	uint64_t start_ns;
	struct vz_track **tracks;
	uint32_t ntracks, tracks_cap;
	struct pending meta, functions, track_records;
	size_t held;   /* bytes of buffered events in all tracks */
	size_t frames; /* room for frames in the stacks of all tracks */
	struct vz_tracefile_totals totals;
	struct vz_sources *sources; /* or NULL */
};

static void fail(struct vz_tracefile *tf, int rc)
{
	vz_blockfile_fail(&tf->file, rc);
}

static int grow_frames(struct vz_frame **frames, uint32_t *cap)
{
	uint32_t n = *cap ? *cap * 2 : FIRST_FRAMES;
	struct vz_frame *bigger = reallocarray(*frames, n, sizeof(**frames));

	if (!bigger)
		return -ENOMEM;
	*frames = bigger;
	*cap = n;
	return 0;
}

/* ---- records other than events ---- */

static void write_pending(struct vz_tracefile *tf, struct pending *pending, unsigned type)
{
	struct vz_block head = { .type = (uint8_t)type, .count = pending->records };

	if (pending->bytes)
		vz_blockfile_put_raw(&tf->file, &head, pending->p, pending->bytes);
	pending->bytes = 0;
	pending->records = 0;
}

static void write_all_pending(struct vz_tracefile *tf)
{
	write_pending(tf, &tf->meta, VZ_BLOCK_META);
	write_pending(tf, &tf->functions, VZ_BLOCK_FUNCTIONS);
	write_pending(tf, &tf->track_records, VZ_BLOCK_TRACKS);
}

/* Append one record of up to three parts. */
static int add_record(struct vz_tracefile *tf, struct pending *pending, const struct iovec parts[3])
{
	size_t bytes = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len;

	if (pending->bytes + bytes > PENDING_MAX)
		write_all_pending(tf);
	if (pending->bytes + bytes > pending->cap) {
		size_t cap = (pending->bytes + bytes) * 2;
		uint8_t *bigger = realloc(pending->p, cap);

		if (!bigger) {
			fail(tf, -ENOMEM);
			return -ENOMEM;
		}
		pending->p = bigger;
		pending->cap = cap;
	}
	for (int i = 0; i < 3; i++) {
		if (parts[i].iov_len)
			memcpy(pending->p + pending->bytes, parts[i].iov_base, parts[i].iov_len);
		pending->bytes += parts[i].iov_len;
	}
	pending->records++;
	return tf->file.error;
}

static struct iovec part(const void *p, size_t bytes)
{
	return (struct iovec){ (void *)(uintptr_t)p, bytes };
}

int vz_tracefile_meta(struct vz_tracefile *tf, const char *key, const char *value)
{
	struct iovec parts[3] = { part(key, strlen(key) + 1), part(value, strlen(value) + 1) };

	return add_record(tf, &tf->meta, parts);
}

/* NOLINTNEXTLINE(readability-function-size): one argument for each field of the record */
int vz_tracefile_function(struct vz_tracefile *tf, uint32_t id, unsigned kind, const char *name,
			  size_t name_len, const char *file, size_t file_len, uint32_t line)
{
	struct vz_file_function f = {
		.id = id,
		.line = line,
		.name_len = (uint16_t)(name_len < NAME_MAX_BYTES ? name_len : NAME_MAX_BYTES),
		.file_len = (uint16_t)(file_len < NAME_MAX_BYTES ? file_len : NAME_MAX_BYTES),
		.kind = (uint8_t)kind,
	};
	struct iovec parts[3] = { part(&f, sizeof(f)), part(name, f.name_len),
				  part(file, f.file_len) };

	if (id >= VZ_MAX_FUNCTIONS)
		return -EINVAL;
	tf->totals.functions++;
	if (tf->sources && kind == VZ_DEF_PYTHON)
		vz_sources_add(tf->sources, file, f.file_len);
	return add_record(tf, &tf->functions, parts);
}

void vz_tracefile_note_sources(struct vz_tracefile *tf, struct vz_sources *sources)
{
	tf->sources = sources;
}

void vz_tracefile_source(struct vz_tracefile *tf, const uint8_t *raw, size_t bytes)
{
	struct vz_block head = { .type = VZ_BLOCK_SOURCE, .count = 1 };

	vz_blockfile_put_raw(&tf->file, &head, raw, bytes);
}

static void track_record(struct vz_tracefile *tf, const struct vz_file_track *record,
			 const char *name)
{
	struct iovec parts[3] = { part(record, sizeof(*record)), part(name, record->name_len) };

	add_record(tf, &tf->track_records, parts);
}

/* ---- events ---- */

static void free_words(struct vz_track *t)
{
	t->tf->held -= t->words_cap * sizeof(*t->words);
	free(t->words);
	t->words = NULL;
	t->words_cap = 0;
}

static int encode(struct vz_track *t, struct vz_block *head, const uint8_t **payload)
{
	struct vz_frame *stack = vz_encoder_stack(t->tf->file.encoder, t->lowest + t->npopped);

	if (!stack)
		return -ENOMEM;
	if (t->lowest)
		memcpy(stack, t->stack, t->lowest * sizeof(*stack));
	for (uint32_t i = 0; i < t->npopped; i++)
		stack[t->lowest + i] = t->popped[t->npopped - 1 - i];
	return vz_encode_events(t->tf->file.encoder, t->words, t->nwords, t->first_ns, head,
				payload);
}

static void flush_track(struct vz_track *t)
{
	struct vz_tracefile *tf = t->tf;
	struct vz_block head = {
		.type = VZ_BLOCK_EVENTS,
		.track = t->id,
		.t0_ns = t->first_ns,
		.t1_ns = t->last_ns,
	};
	const uint8_t *payload;
	int rc;

	if (!t->nwords)
		return;
	write_all_pending(tf);
	rc = tf->file.error ? tf->file.error : encode(t, &head, &payload);
	if (rc == 0)
		vz_blockfile_put(&tf->file, &head, payload);
	else
		fail(tf, rc);
	t->nwords = 0;
	t->entries = 0;
	if (tf->held > HELD_KEEP)
		free_words(t);
}

static void flush_largest(struct vz_tracefile *tf)
{
	struct vz_track *largest = NULL;

	for (uint32_t i = 0; i < tf->ntracks; i++)
		if (!largest || tf->tracks[i]->words_cap > largest->words_cap)
			largest = tf->tracks[i];
	if (largest) {
		flush_track(largest);
		if (largest->words)
			free_words(largest);
	}
}

/* Room for one more put; false: the event cannot be kept, and .error says why. */
static bool make_room(struct vz_track *t)
{
	struct vz_tracefile *tf = t->tf;
	uint32_t cap;
	uint64_t *bigger;

	if (t->nwords + WORDS_PER_PUT > MAX_WORDS)
		flush_track(t);
	if (t->words_cap < MAX_WORDS && tf->held > HELD_MAX)
		flush_largest(tf);
	if (t->nwords + WORDS_PER_PUT <= t->words_cap)
		return true;
	cap = t->words_cap ? t->words_cap * 2 : FIRST_WORDS;
	bigger = realloc(t->words, cap * sizeof(*bigger));
	if (!bigger) {
		fail(tf, -ENOMEM);
		return false;
	}
	tf->held += (cap - t->words_cap) * sizeof(*bigger);
	t->words = bigger;
	t->words_cap = cap;
	return true;
}

/* One word for what happened, after the time since the word before; false: not kept. */
static inline bool put(struct vz_track *t, uint32_t what, uint64_t ns)
{
	uint64_t delta;

	if (t->nwords + WORDS_PER_PUT > t->words_cap && !make_room(t))
		return false;
	if (ns < t->last_ns)
		ns = t->last_ns;
	if (!t->nwords) {
		t->first_ns = ns;
		t->last_ns = ns;
		t->lowest = t->depth;
		t->npopped = 0;
	}
	delta = ns - t->last_ns;
	if (delta >> VZ_WORD_NS_SHIFT) {
		t->words[t->nwords++] =
			(delta & ~(uint64_t)UINT32_MAX) << VZ_WORD_TAG_BITS | VZ_WORD_GAP;
		delta &= UINT32_MAX;
	}
	t->words[t->nwords++] = delta << VZ_WORD_NS_SHIFT | what;
	t->last_ns = ns;
	return true;
}

/* What was popped is never more than the stack once held: its room needs no bound of its own. */
static int grow_stack(struct vz_track *t)
{
	uint32_t before = t->stack_cap, more = before ? before : FIRST_FRAMES;

	if (before >= VZ_TRACK_MAX_DEPTH || t->tf->frames + more > VZ_TRACK_MAX_FRAMES)
		return -E2BIG;
	if (grow_frames(&t->stack, &t->stack_cap) < 0) {
		fail(t->tf, -ENOMEM);
		return -ENOMEM;
	}
	t->tf->frames += more;
	return 0;
}

int vz_track_enter(struct vz_track *t, uint32_t function, enum vz_entry how, uint64_t ns)
{
	int rc = t->depth == t->stack_cap ? grow_stack(t) : 0;

	if (rc < 0)
		return rc == -E2BIG ? rc : 0;
	if (function >= VZ_MAX_FUNCTIONS)
		function = 0;
	if (!put(t, function << VZ_WORD_TAG_BITS | (VZ_WORD_ENTER + how), ns))
		return 0;
	t->stack[t->depth++] = (struct vz_frame){
		.ns = t->last_ns,
		.symbol = function << VZ_SYMBOL_SHIFT | how,
	};
	if (how != VZ_ENTRY_OPEN)
		t->tf->totals.calls++;
	if (++t->entries == VZ_BLOCK_MAX_CALLS)
		flush_track(t);
	return 0;
}

static void keep_popped(struct vz_track *t)
{
	if (t->npopped == t->popped_cap && grow_frames(&t->popped, &t->popped_cap) < 0) {
		fail(t->tf, -ENOMEM);
		return;
	}
	t->popped[t->npopped++] = t->stack[t->depth];
	t->lowest = t->depth;
}

void vz_track_leave(struct vz_track *t, enum vz_leave how, uint64_t ns)
{
	if (!t->depth || !put(t, VZ_WORD_LEAVE + how, ns))
		return;
	if (--t->depth < t->lowest)
		keep_popped(t);
}

void vz_track_lost(struct vz_track *t, uint64_t n, uint64_t ns)
{
	t->tf->totals.lost += n;
	if (put(t, VZ_WORD_LOST, ns))
		t->words[t->nwords++] = n;
}

uint32_t vz_track_depth(const struct vz_track *t)
{
	return t->depth;
}

uint32_t vz_track_function(const struct vz_track *t, uint32_t i)
{
	return i < t->depth ? t->stack[t->depth - 1 - i].symbol >> VZ_SYMBOL_SHIFT : 0;
}

/* ---- tracks ---- */

static int add_track(struct vz_tracefile *tf, struct vz_track *t)
{
	if (tf->ntracks == tf->tracks_cap) {
		uint32_t cap = tf->tracks_cap ? tf->tracks_cap * 2 : FIRST_FRAMES;
		struct vz_track **bigger = reallocarray(tf->tracks, cap, sizeof(struct vz_track *));

		if (!bigger)
			return -ENOMEM;
		tf->tracks = bigger;
		tf->tracks_cap = cap;
	}
	t->place = tf->ntracks;
	tf->tracks[tf->ntracks++] = t;
	return 0;
}

struct vz_track *vz_track_new(struct vz_tracefile *tf, pid_t tid, uint64_t stack_key,
			      unsigned flags, uint64_t ns)
{
	struct vz_track *t = calloc(1, sizeof(*t));
	struct vz_file_track record = {
		.kind = VZ_TRACK_BEGIN,
		.tid = (uint32_t)tid,
		.flags = flags,
		.stack_key = stack_key,
		.ns = ns,
	};

	if (!t || add_track(tf, t) < 0) {
		free(t);
		fail(tf, -ENOMEM);
		return NULL;
	}
	t->tf = tf;
	t->last_ns = ns;
	t->id = (uint32_t)tf->totals.tracks++;
	record.track = t->id;
	track_record(tf, &record, "");
	return t;
}

void vz_track_name(struct vz_track *t, const char *name)
{
	size_t len = strlen(name);
	struct vz_file_track record = {
		.track = t->id,
		.kind = VZ_TRACK_NAME,
		.name_len = (uint16_t)(len < NAME_MAX_BYTES ? len : NAME_MAX_BYTES),
		.ns = t->last_ns,
	};

	track_record(t->tf, &record, name);
}

static void track_free(struct vz_track *t)
{
	struct vz_tracefile *tf = t->tf;

	tf->tracks[t->place] = tf->tracks[--tf->ntracks];
	tf->tracks[t->place]->place = t->place;
	tf->frames -= t->stack_cap;
	free_words(t);
	free(t->stack);
	free(t->popped);
	free(t);
}

void vz_track_end(struct vz_track *t, uint64_t ns)
{
	struct vz_file_track record = { .track = t->id, .kind = VZ_TRACK_END };

	record.ns = ns > t->last_ns ? ns : t->last_ns;
	flush_track(t);
	track_record(t->tf, &record, "");
	track_free(t);
}

/* ---- the file ---- */

static int describe(const struct vz_tracefile *tf, struct vz_err *err)
{
	vz_err_set(err, VZ_EXIT_UNEXPECTED, -tf->file.error, "cannot write the trace");
	vz_err_why(err, "%s", strerror(-tf->file.error));
	if (tf->file.error == -ENOSPC || tf->file.error == -EDQUOT)
		vz_err_try(err, "free some space, or name another place with --output; "
				"what was written so far can be read");
	return tf->file.error;
}

int vz_tracefile_new(int fd, pid_t pid, uint64_t start_mono_ns, uint64_t start_unix_ns,
		     struct vz_tracefile **ret, struct vz_err *err)
{
	const struct vz_file_header header = {
		.pid = (uint32_t)pid,
		.start_mono_ns = start_mono_ns,
		.start_unix_ns = start_unix_ns,
	};
	struct vz_tracefile *tf = calloc(1, sizeof(*tf));
	int rc;

	if (!tf)
		return vz_err_set(err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
	tf->start_ns = start_mono_ns;
	vz_blockfile_init(&tf->file, fd, &header);
	if (tf->file.error) {
		rc = describe(tf, err);
		vz_tracefile_free(tf);
		return rc;
	}
	*ret = tf;
	return 0;
}

int vz_tracefile_flush(struct vz_tracefile *tf, uint64_t now_ns, uint64_t max_age_ns)
{
	for (uint32_t i = 0; i < tf->ntracks; i++) {
		struct vz_track *t = tf->tracks[i];

		if (t->nwords && now_ns >= t->first_ns && now_ns - t->first_ns >= max_age_ns)
			flush_track(t);
	}
	write_all_pending(tf);
	return tf->file.error;
}

void vz_tracefile_totals(const struct vz_tracefile *tf, struct vz_tracefile_totals *ret)
{
	*ret = tf->totals;
	ret->bytes = tf->file.bytes;
}

int vz_tracefile_error(const struct vz_tracefile *tf)
{
	return tf->file.error;
}

static uint64_t write_end(struct vz_tracefile *tf, uint64_t end_ns, const char *counters)
{
	struct vz_file_end end = {
		.calls = tf->totals.calls,
		.lost = tf->totals.lost,
		.tracks = (uint32_t)tf->totals.tracks,
		.functions = (uint32_t)tf->totals.functions,
	};
	struct vz_block head = {
		.type = VZ_BLOCK_END,
		.count = 1,
		.t0_ns = tf->start_ns,
		.t1_ns = end_ns,
	};
	size_t text = strlen(counters);
	uint8_t *raw = malloc(sizeof(end) + text + 1);
	uint64_t offset;

	if (!raw) {
		fail(tf, -ENOMEM);
		return 0;
	}
	memcpy(raw, &end, sizeof(end));
	memcpy(raw + sizeof(end), counters, text + 1);
	offset = vz_blockfile_put_raw(&tf->file, &head, raw, sizeof(end) + text);
	free(raw);
	return offset;
}

int vz_tracefile_finish(struct vz_tracefile *tf, uint64_t end_ns, const char *counters,
			struct vz_err *err)
{
	while (tf->ntracks)
		vz_track_end(tf->tracks[tf->ntracks - 1], end_ns);
	write_all_pending(tf);
	vz_blockfile_end(&tf->file, write_end(tf, end_ns, counters ? counters : ""));
	return tf->file.error ? describe(tf, err) : 0;
}

void vz_tracefile_free(struct vz_tracefile *tf)
{
	if (!tf)
		return;
	while (tf->ntracks)
		track_free(tf->tracks[tf->ntracks - 1]);
	vz_blockfile_fini(&tf->file);
	free(tf->meta.p);
	free(tf->functions.p);
	free(tf->track_records.p);
	free(tf->tracks);
	free(tf);
}
