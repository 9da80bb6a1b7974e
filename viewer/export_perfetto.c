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

#include "viewer/export.h"

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
	UUID_PROCESS = 1,
	UUID_FIRST_TRACK = 2,
	MESSAGE_BYTES = 8192, /* the longest is a name of 6 KiB */
	NAME_BYTES = 6144,
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

static void write_process(struct perfetto *p)
{
	struct message process = { 0 }, track = { 0 }, packet = { 0 };

	put_uint(&process, PROCESS_PID, vz_reader_header(p->reader)->pid);
	put_text(&process, PROCESS_NAME, vz_export_process(p->reader));
	put_uint(&track, TRACK_UUID, UUID_PROCESS);
	put_message(&track, TRACK_PROCESS, &process);
	put_uint(&packet, PACKET_SEQUENCE_ID, 1);
	put_message(&packet, PACKET_TRACK_DESCRIPTOR, &track);
	write_packet(p, &packet);
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
	put_uint(&track, TRACK_UUID, UUID_FIRST_TRACK + (uint64_t)place);
	put_uint(&track, TRACK_PARENT, UUID_PROCESS);
	if (t->tid && !t->stack_key) {
		put_uint(&thread, THREAD_PID, vz_reader_header(p->reader)->pid);
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
	put_uint(&event, EVENT_TRACK, UUID_FIRST_TRACK + (uint64_t)at->place);
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
	put_uint(&event, EVENT_TYPE, SLICE_BEGIN);
	put_uint(&event, EVENT_NAME_IID, function + 1u);
	put_message(&packet, PACKET_TRACK_EVENT, &event);
	write_packet(p, &packet);
	return p->out->error;
}

static void annotate(struct message *event, const char *name, const char *text)
{
	struct message annotation;

	annotation.n = 0;
	put_text(&annotation, ANNOTATION_NAME, name);
	put_text(&annotation, ANNOTATION_STRING, text);
	put_message(event, EVENT_ANNOTATION, &annotation);
}

static int leave(void *ctx, const struct vz_visit *at)
{
	struct perfetto *p = ctx;
	const char *note = vz_export_note(at->stack[at->depth - 1].symbol, at->how);
	struct message packet, event;

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
	if (!p->ns)
		return -ENOMEM;
	p->base_ns = vz_reader_header(p->reader)->start_mono_ns;
	for (uint32_t i = 0; i < vz_reader_nblocks(p->reader); i++)
		if (vz_reader_block(p->reader, i)->t0_ns < p->base_ns)
			p->base_ns = vz_reader_block(p->reader, i)->t0_ns;
	p->base_ns -= p->base_ns > ntracks ? ntracks + 1u : p->base_ns;
	write_wall_clock(p);
	write_process(p);
	for (uint32_t i = 0; i < ntracks; i++) {
		write_track(p, i);
		write_clock(p, i);
	}
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
		.select = &options->select,
	};
	struct perfetto p = { .reader = r, .out = out };
	int rc = write_descriptors(&p);

	if (rc == 0)
		rc = vz_walk(r, &limits, &visitor, &p);
	free(p.ns);
	free(p.named);
	return rc;
}
