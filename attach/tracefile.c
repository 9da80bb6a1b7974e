/* SPDX-License-Identifier: MIT */
#include "attach/tracefile.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>

#include "attach/encode.h"

enum {
	FIRST_WORDS = 64,
	FIRST_FRAMES = 16,
	MAX_WORDS = 2 * VZ_BLOCK_MAX_CALLS,
	WORDS_PER_PUT = 3,    /* gap, loss, its number */
	HELD_MAX = 32 << 20,  /* bytes of buffered events in all tracks together */
	HELD_KEEP = 16 << 20, /* below this a track keeps its buffer when it was written */
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
	int fd;
	int error;
	uint64_t start_ns;
	struct vz_encoder *encoder;
	struct vz_track **tracks;
	uint32_t ntracks, tracks_cap;
	struct pending meta, functions, track_records;
	struct vz_index_entry *index;
	uint32_t nindex;
	uint64_t last_index;
	uint32_t seq;
	size_t held;
	struct vz_tracefile_totals totals;
};

static void fail(struct vz_tracefile *tf, int rc)
{
	if (!tf->error)
		tf->error = rc;
}

static int grow_frames(struct vz_frame **frames, uint32_t *cap)
{
	uint32_t n = *cap ? *cap * 2 : FIRST_FRAMES;
	struct vz_frame *bigger = realloc(*frames, n * sizeof(**frames));

	if (!bigger)
		return -ENOMEM;
	*frames = bigger;
	*cap = n;
	return 0;
}

/* ---- writing ---- */

static void write_all(struct vz_tracefile *tf, struct iovec *iov, int n)
{
	while (n > 0 && !tf->error) {
		ssize_t done = writev(tf->fd, iov, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			fail(tf, -errno);
			return;
		}
		tf->totals.bytes += (uint64_t)done;
		for (; n > 0 && (size_t)done >= iov->iov_len; iov++, n--)
			done -= (ssize_t)iov->iov_len;
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
}

static uint32_t crc_of(const struct vz_block *head, const uint8_t *payload)
{
	uLong crc = crc32(0, (const Bytef *)head, offsetof(struct vz_block, crc));

	return (uint32_t)crc32(crc, payload, head->stored_bytes);
}

static void write_index(struct vz_tracefile *tf);

static void note_block(struct vz_tracefile *tf, const struct vz_block *head, uint64_t offset)
{
	if (head->type == VZ_BLOCK_INDEX)
		return;
	tf->index[tf->nindex++] = (struct vz_index_entry){
		.offset = offset,
		.track = head->track,
		.count = head->count,
		.t0_ns = head->t0_ns,
		.t1_ns = head->t1_ns,
		.type = head->type,
		.stored_bytes = head->stored_bytes,
	};
	if (tf->nindex == VZ_INDEX_MAX_ENTRIES)
		write_index(tf);
}

/* HEAD holds type, codec, lengths, count and what belongs to the type; returns the block's offset.
 */
static uint64_t write_block(struct vz_tracefile *tf, struct vz_block *head, const uint8_t *payload)
{
	static const uint8_t zeros[VZ_BLOCK_ALIGN];
	uint64_t offset = tf->totals.bytes;
	struct iovec iov[3];

	head->magic = VZ_BLOCK_MAGIC;
	head->seq = tf->seq++;
	head->crc = crc_of(head, payload);
	iov[0] = (struct iovec){ head, sizeof(*head) };
	iov[1] = (struct iovec){ (void *)(uintptr_t)payload, head->stored_bytes };
	iov[2] = (struct iovec){ (void *)(uintptr_t)zeros, -head->stored_bytes % VZ_BLOCK_ALIGN };
	write_all(tf, iov, 3);
	if (!tf->error)
		note_block(tf, head, offset);
	return offset;
}

static uint64_t write_plain(struct vz_tracefile *tf, struct vz_block *head, const uint8_t *raw,
			    size_t bytes)
{
	const uint8_t *payload;
	int rc = vz_encode_plain(tf->encoder, raw, bytes, head, &payload);

	if (rc < 0) {
		fail(tf, rc);
		return 0;
	}
	return write_block(tf, head, payload);
}

static void write_index(struct vz_tracefile *tf)
{
	struct vz_file_index first = { .previous = tf->last_index };
	size_t bytes = sizeof(first) + tf->nindex * sizeof(*tf->index);
	struct vz_block head = { .type = VZ_BLOCK_INDEX, .count = tf->nindex };
	uint8_t *raw = malloc(bytes);

	if (!raw) {
		fail(tf, -ENOMEM);
		return;
	}
	memcpy(raw, &first, sizeof(first));
	memcpy(raw + sizeof(first), tf->index, tf->nindex * sizeof(*tf->index));
	tf->last_index = write_plain(tf, &head, raw, bytes);
	tf->nindex = 0;
	free(raw);
}

/* ---- records other than events ---- */

static void write_pending(struct vz_tracefile *tf, struct pending *pending, unsigned type)
{
	struct vz_block head = { .type = (uint8_t)type, .count = pending->records };

	if (pending->bytes && !tf->error)
		write_plain(tf, &head, pending->p, pending->bytes);
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
	return tf->error;
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
	return add_record(tf, &tf->functions, parts);
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
	struct vz_frame *stack = vz_encoder_stack(t->tf->encoder, t->lowest + t->npopped);

	if (!stack)
		return -ENOMEM;
	if (t->lowest)
		memcpy(stack, t->stack, t->lowest * sizeof(*stack));
	for (uint32_t i = 0; i < t->npopped; i++)
		stack[t->lowest + i] = t->popped[t->npopped - 1 - i];
	return vz_encode_events(t->tf->encoder, t->words, t->nwords, t->first_ns, head, payload);
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
	rc = tf->error ? tf->error : encode(t, &head, &payload);
	if (rc == 0)
		write_block(tf, &head, payload);
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

void vz_track_enter(struct vz_track *t, uint32_t function, enum vz_entry how, uint64_t ns)
{
	if (function >= VZ_MAX_FUNCTIONS)
		function = 0;
	if (t->depth == t->stack_cap && grow_frames(&t->stack, &t->stack_cap) < 0) {
		fail(t->tf, -ENOMEM);
		return;
	}
	if (!put(t, function << VZ_WORD_TAG_BITS | (VZ_WORD_ENTER + how), ns))
		return;
	t->stack[t->depth++] = (struct vz_frame){
		.ns = t->last_ns,
		.symbol = function << VZ_SYMBOL_SHIFT | how,
	};
	if (how != VZ_ENTRY_OPEN)
		t->tf->totals.calls++;
	if (++t->entries == VZ_BLOCK_MAX_CALLS)
		flush_track(t);
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
		struct vz_track **bigger = realloc(tf->tracks, cap * sizeof(*bigger));

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

static void write_header(struct vz_tracefile *tf, pid_t pid, uint64_t start_unix_ns)
{
	struct vz_file_header head = {
		.magic = VZ_FILE_MAGIC,
		.version = VZ_FILE_VERSION,
		.size = sizeof(head),
		.pid = (uint32_t)pid,
		.start_mono_ns = tf->start_ns,
		.start_unix_ns = start_unix_ns,
	};
	struct iovec iov = { &head, sizeof(head) };

	head.crc = (uint32_t)crc32(0, (const Bytef *)&head, offsetof(struct vz_file_header, crc));
	write_all(tf, &iov, 1);
}

static int describe(const struct vz_tracefile *tf, struct vz_err *err)
{
	vz_err_set(err, VZ_EXIT_UNEXPECTED, -tf->error, "cannot write the trace");
	vz_err_why(err, "%s", strerror(-tf->error));
	if (tf->error == -ENOSPC || tf->error == -EDQUOT)
		vz_err_try(err, "free some space, or name another place with --output; "
				"what was written so far can be read");
	return tf->error;
}

int vz_tracefile_new(int fd, pid_t pid, uint64_t start_mono_ns, uint64_t start_unix_ns,
		     struct vz_tracefile **ret, struct vz_err *err)
{
	struct vz_tracefile *tf = calloc(1, sizeof(*tf));
	int rc = 0;

	if (!tf)
		return vz_err_set(err, VZ_EXIT_UNEXPECTED, ENOMEM, "out of memory");
	tf->fd = fd;
	tf->start_ns = start_mono_ns;
	tf->encoder = vz_encoder_new();
	tf->index = calloc(VZ_INDEX_MAX_ENTRIES, sizeof(*tf->index));
	if (!tf->encoder || !tf->index)
		fail(tf, -ENOMEM);
	else
		write_header(tf, pid, start_unix_ns);
	if (tf->error) {
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
	return tf->error;
}

void vz_tracefile_totals(const struct vz_tracefile *tf, struct vz_tracefile_totals *ret)
{
	*ret = tf->totals;
}

int vz_tracefile_error(const struct vz_tracefile *tf)
{
	return tf->error;
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
	uint8_t *raw = malloc(sizeof(end) + text);
	uint64_t offset;

	if (!raw) {
		fail(tf, -ENOMEM);
		return 0;
	}
	memcpy(raw, &end, sizeof(end));
	memcpy(raw + sizeof(end), counters, text);
	offset = write_plain(tf, &head, raw, sizeof(end) + text);
	free(raw);
	return offset;
}

int vz_tracefile_finish(struct vz_tracefile *tf, uint64_t end_ns, const char *counters,
			struct vz_err *err)
{
	struct vz_file_footer footer = { .magic = VZ_FOOTER_MAGIC };
	struct iovec iov = { &footer, sizeof(footer) };

	while (tf->ntracks)
		vz_track_end(tf->tracks[tf->ntracks - 1], end_ns);
	write_all_pending(tf);
	footer.end = write_end(tf, end_ns, counters ? counters : "");
	write_index(tf);
	footer.index = tf->last_index;
	footer.blocks = tf->seq;
	footer.crc =
		(uint32_t)crc32(0, (const Bytef *)&footer, offsetof(struct vz_file_footer, crc));
	write_all(tf, &iov, 1);
	return tf->error ? describe(tf, err) : 0;
}

void vz_tracefile_free(struct vz_tracefile *tf)
{
	if (!tf)
		return;
	while (tf->ntracks)
		track_free(tf->tracks[tf->ntracks - 1]);
	vz_encoder_free(tf->encoder);
	free(tf->meta.p);
	free(tf->functions.p);
	free(tf->track_records.p);
	free(tf->index);
	free(tf->tracks);
	free(tf);
}
