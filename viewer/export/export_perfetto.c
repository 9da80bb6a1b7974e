/* SPDX-License-Identifier: MIT */
/*
 * Perfetto's TrackEvent protobuf.
 *
 * Each track is a packet sequence with a clock of its own that counts on from
 * packet to packet.  Its names begin anew with each of our blocks, so memory
 * holds one number for each function and each track.  The clocks are tied to the
 * trace's once, at the top, each tie a nanosecond after the one before: Perfetto
 * ignores ties that are not in order of time, and blocks of several tracks are
 * not.  Field numbers: protos/perfetto/trace in Perfetto's sources.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/callargs.h"
#include "viewer/export/export.h"
#include "viewer/intern.h"
#include "viewer/samples.h"

enum {
	/* Trace */
	TRACE_PACKET = 1,
	/* TracePacket */
	PACKET_CLOCK_SNAPSHOT = 6,
	PACKET_TIMESTAMP = 8,
	PACKET_SEQUENCE_ID = 10,
	PACKET_TRACK_EVENT = 11,
	PACKET_INTERNED_DATA = 12,
	PACKET_SEQUENCE_FLAGS = 13,
	PACKET_CLOCK_ID = 58,
	PACKET_DEFAULTS = 59,
	PACKET_TRACK_DESCRIPTOR = 60,
	/* TracePacketDefaults */
	DEFAULTS_TRACK_EVENT = 11,
	DEFAULTS_CLOCK_ID = 58,
	/* ClockSnapshot, .Clock */
	SNAPSHOT_CLOCK = 1,
	CLOCK_ID = 1,
	CLOCK_TIMESTAMP = 2,
	CLOCK_INCREMENTAL = 3,
	/* TrackDescriptor */
	TRACK_UUID = 1,
	TRACK_NAME = 2,
	TRACK_PROCESS = 3,
	TRACK_THREAD = 4,
	TRACK_PARENT = 5,
	TRACK_COUNTER = 8,
	PROCESS_PID = 1,
	PROCESS_NAME = 6,
	THREAD_PID = 1,
	THREAD_TID = 2,
	THREAD_NAME = 5,
	/* TrackEvent, TrackEventDefaults */
	EVENT_ANNOTATION = 4,
	EVENT_TYPE = 9,
	EVENT_NAME_IID = 10,
	EVENT_TRACK = 11,
	EVENT_NAME = 23,
	EVENT_DOUBLE_VALUE = 44,
	ANNOTATION_JSON = 9,
	ANNOTATION_STRING = 6,
	ANNOTATION_NAME = 10,
	ANNOTATION_UINT = 3,
	/* InternedData, EventName */
	INTERNED_EVENT_NAME = 2,
	NAME_IID = 1,
	NAME_TEXT = 2,
};

enum {
	CLOCK_BOOTTIME = 6,
	CLOCK_REALTIME = 1,
	CLOCK_OURS = 64, /* first of those that a sequence may define */
	STATE_CLEARED = 1,
	STATE_NEEDED = 2,
	SLICE_BEGIN = 1,
	SLICE_END = 2,
	INSTANT = 3,
	COUNTER = 4,
	UUID_FIRST_PROCESS = 1, /* those of tracks follow */
	MESSAGE_BYTES = 8192,   /* the longest is a name of 6 KiB */
	NAME_BYTES = 6144,
	ARGS_BYTES = 7000,
};

/* A message under construction; its length comes before it, so inner ones are built apart. */
struct message {
	size_t n;
	uint8_t p[MESSAGE_BYTES];
};

struct perfetto {
	struct vz_reader *reader;
	struct vz_out *out;
	uint64_t block;  /* counts visits of blocks */
	uint64_t *named; /* for each function: block in which its name was written last */
	uint32_t nnamed;
	uint32_t sequence;
	uint64_t *ns;     /* for each track: time of its last packet */
	uint64_t base_ns; /* of the first tie; before all events */
	const struct vz_select *select;
	struct vz_callargs *args;
	uint8_t *threads; /* by place: 1 if it is the first track of a thread */
};

static void put_varint(struct message *m, uint64_t v)
{
	if (m->n + 10 > MESSAGE_BYTES)
		return;
	for (; v >= 0x80; v >>= 7)
		m->p[m->n++] = (uint8_t)(v | 0x80);
	m->p[m->n++] = (uint8_t)v;
}

static void put_uint(struct message *m, unsigned field, uint64_t v)
{
	put_varint(m, field << 3);
	put_varint(m, v);
}

static void put_bytes(struct message *m, unsigned field, const void *p, size_t n)
{
	if (m->n + n + 20 > MESSAGE_BYTES)
		return;
	put_varint(m, field << 3 | 2);
	put_varint(m, n);
	memcpy(m->p + m->n, p, n);
	m->n += n;
}

static void put_text(struct message *m, unsigned field, const char *s)
{
	put_bytes(m, field, s, strlen(s));
}

static void put_message(struct message *m, unsigned field, const struct message *inner)
{
	put_bytes(m, field, inner->p, inner->n);
}

static void write_packet(struct perfetto *p, const struct message *m)
{
	uint8_t head[12] = { TRACE_PACKET << 3 | 2 };
	size_t n = 1, v = m->n;

	for (; v >= 0x80; v >>= 7)
		head[n++] = (uint8_t)(v | 0x80);
	head[n++] = (uint8_t)v;
	vz_out_bytes(p->out, head, n);
	vz_out_bytes(p->out, m->p, m->n);
}

/* ---- descriptors ---- */

static uint64_t uuid_of(const struct perfetto *p, uint32_t place)
{
	return (uint64_t)UUID_FIRST_PROCESS + vz_reader_nprocesses(p->reader) + place;
}

static void write_process(struct perfetto *p, uint32_t i)
{
	const struct vz_process *of = vz_reader_process(p->reader, i);
	struct message process = { 0 }, track = { 0 }, packet = { 0 };

	put_uint(&process, PROCESS_PID, of->pid);
	put_text(&process, PROCESS_NAME,
		 of->name[0] || i ? of->name : vz_export_process(p->reader));
	put_uint(&track, TRACK_UUID, UUID_FIRST_PROCESS + (uint64_t)i);
	put_message(&track, TRACK_PROCESS, &process);
	put_uint(&packet, PACKET_SEQUENCE_ID, 1);
	put_message(&packet, PACKET_TRACK_DESCRIPTOR, &track);
	write_packet(p, &packet);
}

/* Perfetto has one track of calls for each thread; what else goes by its tid is named. */
static int find_threads(struct perfetto *p)
{
	const uint32_t special = VZ_TRACK_INSTANTS | VZ_TRACK_ASYNC | VZ_TRACK_COUNTER;
	struct vz_pairs threads = { 0 };
	int rc = 0;

	for (uint32_t i = 0; i < vz_reader_ntracks(p->reader) && rc == 0; i++) {
		const struct vz_thread_track *t = vz_reader_track(p->reader, i);
		uint32_t known = threads.n, row;

		if (t->stack_key || !t->tid || t->flags & special)
			continue;
		rc = vz_pairs_row(&threads, t->process, t->tid, &row);
		p->threads[i] = threads.n > known;
	}
	vz_pairs_fini(&threads);
	return rc;
}

static void put_clock(struct message *snapshot, unsigned id, uint64_t ns, bool incremental)
{
	struct message clock = { 0 };

	put_uint(&clock, CLOCK_ID, id);
	put_uint(&clock, CLOCK_TIMESTAMP, ns);
	if (incremental)
		put_uint(&clock, CLOCK_INCREMENTAL, 1);
	put_message(snapshot, SNAPSHOT_CLOCK, &clock);
}

static void write_track(struct perfetto *p, uint32_t place)
{
	const struct vz_thread_track *t = vz_reader_track(p->reader, place);
	struct message thread = { 0 }, track = { 0 }, packet = { 0 };
	char title[1024];

	vz_reader_track_title(t, title, sizeof(title));
	put_uint(&track, TRACK_UUID, uuid_of(p, place));
	put_uint(&track, TRACK_PARENT, UUID_FIRST_PROCESS + (uint64_t)t->process);
	if (t->flags & VZ_TRACK_COUNTER)
		put_message(&track, TRACK_COUNTER, &thread);
	if (p->threads[place]) {
		put_uint(&thread, THREAD_PID, vz_reader_process(p->reader, t->process)->pid);
		put_uint(&thread, THREAD_TID, t->tid);
		put_text(&thread, THREAD_NAME, title);
		put_message(&track, TRACK_THREAD, &thread);
	} else {
		put_text(&track, TRACK_NAME, title);
	}
	put_uint(&packet, PACKET_SEQUENCE_ID, place + 1u);
	put_message(&packet, PACKET_TRACK_DESCRIPTOR, &track);
	write_packet(p, &packet);
}

/* Tie the clock of the track's sequence to the trace's. */
static void write_clock(struct perfetto *p, uint32_t place)
{
	struct message snapshot = { 0 }, packet = { 0 };

	p->ns[place] = p->base_ns + place + 1;
	put_clock(&snapshot, CLOCK_BOOTTIME, p->ns[place], false);
	put_clock(&snapshot, CLOCK_OURS, p->ns[place], true);
	put_uint(&packet, PACKET_SEQUENCE_ID, place + 1u);
	put_message(&packet, PACKET_CLOCK_SNAPSHOT, &snapshot);
	write_packet(p, &packet);
}

/* Our clock is CLOCK_MONOTONIC; as the only one in the file it may go by the expected name. */
static void write_wall_clock(struct perfetto *p)
{
	const struct vz_file_header *h = vz_reader_header(p->reader);
	struct message snapshot = { 0 }, packet = { 0 };

	put_clock(&snapshot, CLOCK_BOOTTIME, p->base_ns, false);
	if (h->start_unix_ns)
		put_clock(&snapshot, CLOCK_REALTIME,
			  h->start_unix_ns - (h->start_mono_ns - p->base_ns), false);
	put_uint(&packet, PACKET_SEQUENCE_ID, 1);
	put_message(&packet, PACKET_CLOCK_SNAPSHOT, &snapshot);
	write_packet(p, &packet);
}

/* ---- events ---- */

static int begin(void *ctx, const struct vz_visit *at)
{
	struct perfetto *p = ctx;
	struct message event = { 0 }, defaults = { 0 }, packet = { 0 };

	p->block++;
	p->sequence = at->place + 1;
	put_uint(&event, EVENT_TRACK, uuid_of(p, at->place));
	put_uint(&defaults, DEFAULTS_CLOCK_ID, CLOCK_OURS);
	put_message(&defaults, DEFAULTS_TRACK_EVENT, &event);
	put_uint(&packet, PACKET_SEQUENCE_ID, p->sequence);
	put_uint(&packet, PACKET_SEQUENCE_FLAGS, STATE_CLEARED);
	put_message(&packet, PACKET_DEFAULTS, &defaults);
	write_packet(p, &packet);
	return p->out->error;
}

static void begin_packet(struct perfetto *p, struct message *packet, uint64_t ns)
{
	uint64_t *last = &p->ns[p->sequence - 1];

	if (ns < *last)
		ns = *last;
	packet->n = 0;
	put_uint(packet, PACKET_TIMESTAMP, ns - *last);
	put_uint(packet, PACKET_SEQUENCE_ID, p->sequence);
	put_uint(packet, PACKET_SEQUENCE_FLAGS, STATE_NEEDED);
	*last = ns;
}

static int intern(struct perfetto *p, uint32_t function, struct message *packet)
{
	struct message name, interned;
	char text[NAME_BYTES];

	if (function >= p->nnamed) {
		uint32_t n = (function + 1) * 2;
		uint64_t *bigger = realloc(p->named, n * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		memset(bigger + p->nnamed, 0, (n - p->nnamed) * sizeof(*bigger));
		p->named = bigger;
		p->nnamed = n;
	}
	if (p->named[function] == p->block)
		return 0;
	p->named[function] = p->block;
	vz_export_name(vz_reader_function(p->reader, function), text, sizeof(text));
	name.n = interned.n = 0;
	put_uint(&name, NAME_IID, function + 1u);
	put_text(&name, NAME_TEXT, text);
	put_message(&interned, INTERNED_EVENT_NAME, &name);
	put_message(packet, PACKET_INTERNED_DATA, &interned);
	return 0;
}

static void annotate(struct message *event, const char *name, const char *text)
{
	struct message annotation;

	annotation.n = 0;
	put_text(&annotation, ANNOTATION_NAME, name);
	put_text(&annotation, ANNOTATION_STRING, text);
	put_message(event, EVENT_ANNOTATION, &annotation);
}

/* The arguments as one annotation of JSON; the longest are left out, and that is said. */
static void put_args(struct perfetto *p, const struct vz_visit *at, struct message *event)
{
	struct message annotation;
	const char *args;
	size_t n;

	if (at->entry >= VZ_NO_ENTRY || !vz_callargs_any(p->args))
		return;
	args = vz_callargs_get(p->args, at->place, at->entry, &n);
	if (args && n > ARGS_BYTES)
		annotate(event, "note", "its arguments are too long to be here");
	if (!args || n > ARGS_BYTES)
		return;
	annotation.n = 0;
	put_text(&annotation, ANNOTATION_NAME, "args");
	put_bytes(&annotation, ANNOTATION_JSON, args, n);
	put_message(event, EVENT_ANNOTATION, &annotation);
}

static bool is_instant(const struct perfetto *p, const struct vz_visit *at)
{
	return (vz_reader_track(p->reader, at->place)->flags & VZ_TRACK_INSTANTS) != 0;
}

static int enter(void *ctx, const struct vz_visit *at)
{
	struct perfetto *p = ctx;
	uint32_t function = at->stack[at->depth - 1].symbol >> VZ_SYMBOL_SHIFT;
	struct message packet, event;
	int rc;

	begin_packet(p, &packet, at->ns);
	rc = intern(p, function, &packet);
	if (rc < 0)
		return rc;
	event.n = 0;
	put_uint(&event, EVENT_TYPE, is_instant(p, at) ? INSTANT : SLICE_BEGIN);
	put_uint(&event, EVENT_NAME_IID, function + 1u);
	put_args(p, at, &event);
	if (packet.n + event.n + 32 > MESSAGE_BYTES) {
		/* A long name and long arguments have no room together. */
		event.n = 0;
		put_uint(&event, EVENT_TYPE, is_instant(p, at) ? INSTANT : SLICE_BEGIN);
		put_uint(&event, EVENT_NAME_IID, function + 1u);
		annotate(&event, "note", "its arguments are too long to be here");
	}
	put_message(&packet, PACKET_TRACK_EVENT, &event);
	write_packet(p, &packet);
	return p->out->error;
}

static int leave(void *ctx, const struct vz_visit *at)
{
	struct perfetto *p = ctx;
	const char *note = vz_export_note(at->stack[at->depth - 1].symbol, at->how);
	struct message packet, event;

	if (is_instant(p, at))
		return 0;
	begin_packet(p, &packet, at->ns);
	event.n = 0;
	put_uint(&event, EVENT_TYPE, SLICE_END);
	if (note)
		annotate(&event, "note", note);
	else if (at->how == VZ_LEAVE_UNWIND)
		annotate(&event, "note", "left by an exception");
	put_message(&packet, PACKET_TRACK_EVENT, &event);
	write_packet(p, &packet);
	return p->out->error;
}

static int lost(void *ctx, const struct vz_visit *at)
{
	struct perfetto *p = ctx;
	struct message packet, event, annotation;

	begin_packet(p, &packet, at->ns);
	event.n = annotation.n = 0;
	put_uint(&event, EVENT_TYPE, INSTANT);
	put_text(&event, EVENT_NAME, at->lost ? "lost" : "a part of the trace cannot be read");
	if (at->lost) {
		put_text(&annotation, ANNOTATION_NAME, "records");
		put_uint(&annotation, ANNOTATION_UINT, at->lost);
		put_message(&event, EVENT_ANNOTATION, &annotation);
	}
	put_message(&packet, PACKET_TRACK_EVENT, &event);
	write_packet(p, &packet);
	return p->out->error;
}

static int write_descriptors(struct perfetto *p)
{
	uint32_t ntracks = vz_reader_ntracks(p->reader);

	p->ns = calloc(ntracks + 1u, sizeof(*p->ns));
	p->threads = calloc(ntracks + 1u, 1);
	p->args = vz_callargs_new(p->reader);
	if (!p->ns || !p->threads || !p->args || find_threads(p) < 0)
		return -ENOMEM;
	p->base_ns = vz_reader_header(p->reader)->start_mono_ns;
	for (uint32_t i = 0; i < vz_reader_nblocks(p->reader); i++)
		if (vz_reader_block(p->reader, i)->t0_ns < p->base_ns)
			p->base_ns = vz_reader_block(p->reader, i)->t0_ns;
	p->base_ns -= p->base_ns > ntracks ? ntracks + 1u : p->base_ns;
	write_wall_clock(p);
	for (uint32_t i = 0; i < vz_reader_nprocesses(p->reader); i++)
		write_process(p, i);
	for (uint32_t i = 0; i < ntracks; i++) {
		if (!vz_select_track(p->select, p->reader, i))
			continue;
		write_track(p, i);
		write_clock(p, i);
	}
	return p->out->error;
}

/* With a timestamp of its own for each value: they come in long stretches, track by track. */
static int sample(void *ctx, uint32_t place, uint64_t ns, double value)
{
	struct perfetto *p = ctx;
	const struct vz_select *s = p->select;
	struct message packet = { .n = 0 }, event = { .n = 0 };

	if (ns < s->from_ns || (s->until_ns && ns > s->until_ns) ||
	    !vz_select_track(s, p->reader, place))
		return 0;
	put_uint(&event, EVENT_TYPE, COUNTER);
	put_uint(&event, EVENT_TRACK, uuid_of(p, place));
	put_varint(&event, EVENT_DOUBLE_VALUE << 3 | 1);
	memcpy(event.p + event.n, &value, sizeof(value));
	event.n += sizeof(value);
	put_uint(&packet, PACKET_TIMESTAMP, ns);
	put_uint(&packet, PACKET_CLOCK_ID, CLOCK_BOOTTIME);
	put_uint(&packet, PACKET_SEQUENCE_ID, place + 1u);
	put_message(&packet, PACKET_TRACK_EVENT, &event);
	write_packet(p, &packet);
	return p->out->error;
}

int vz_export_perfetto(struct vz_reader *r, const struct vz_export_options *options,
		       struct vz_out *out)
{
	static const struct vz_visitor visitor = {
		.begin = begin,
		.enter = enter,
		.leave = leave,
		.lost = lost,
	};
	const struct vz_walk_limits limits = {
		.place = VZ_ALL_TRACKS,
		.until_ns = vz_export_until(r, options->max_calls),
		.entries = true,
		.select = &options->select,
	};
	struct perfetto p = { .reader = r, .out = out, .select = &options->select };
	int rc = write_descriptors(&p);

	if (rc == 0)
		rc = vz_walk(r, &limits, &visitor, &p);
	if (rc == 0)
		rc = vz_samples_walk(r, sample, &p);
	vz_callargs_free(p.args);
	free(p.threads);
	free(p.ns);
	free(p.named);
	return rc;
}
