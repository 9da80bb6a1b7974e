/* SPDX-License-Identifier: MIT */
/* The Perfetto export, read back by the wire format of protobuf. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/kit_spans.h"

struct wire {
	const uint8_t *p, *end;
};

struct field {
	uint32_t number;
	uint64_t v; /* varint */
	struct wire inner;
};

static uint64_t wire_varint(struct wire *w)
{
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7) {
		cr_assert(w->p < w->end && shift < 64);
		v |= (uint64_t)(*w->p & 127) << shift;
		if (*w->p++ < 128)
			return v;
	}
}

static bool wire_next(struct wire *w, struct field *f)
{
	uint64_t key;

	if (w->p == w->end)
		return false;
	key = wire_varint(w);
	f->number = (uint32_t)(key >> 3);
	f->v = wire_varint(w);
	if ((key & 7) == 0)
		return true;
	cr_assert_eq(key & 7, 2, "wire type");
	cr_assert_leq(f->v, (uint64_t)(w->end - w->p));
	f->inner = (struct wire){ w->p, w->p + f->v };
	w->p += f->v;
	return true;
}

static uint64_t wire_uint(struct wire w, uint32_t number)
{
	struct field f;

	while (wire_next(&w, &f))
		if (f.number == number)
			return f.v;
	return 0;
}

static bool wire_find(struct wire w, uint32_t number, struct wire *ret)
{
	struct field f;

	while (wire_next(&w, &f)) {
		if (f.number == number) {
			*ret = f.inner;
			return true;
		}
	}
	return false;
}

struct sequence {
	uint64_t clock, track;
	uint64_t names[1024];
	struct kit_span stack[8192];
	uint32_t depth;
};

static void perfetto_event(struct sequence *s, struct wire event, struct kit_spans *out)
{
	struct wire annotation;

	switch (wire_uint(event, 9)) {
	case 1:
		cr_assert_lt(s->depth, 8192);
		s->stack[s->depth++] = (struct kit_span){ s->track - 1, s->clock, 0,
							  s->names[wire_uint(event, 10)] };
		break;
	case 2:
		cr_assert_gt(s->depth, 0);
		s->stack[--s->depth].end = s->clock;
		kit_span_add(out, s->stack[s->depth]);
		break;
	default:
		cr_assert_eq(wire_uint(event, 9), 3);
		cr_assert(wire_find(event, 4, &annotation));
		out->lost += wire_uint(annotation, 3);
	}
}

static void perfetto_packet(struct sequence *sequences, struct wire packet, struct kit_spans *out)
{
	struct sequence *s = &sequences[wire_uint(packet, 10)];
	struct wire inner, name, event;
	struct field f;

	if (wire_uint(packet, 13) == 1) { /* incremental state cleared */
		memset(s->names, 0, sizeof(s->names));
		cr_assert(wire_find(packet, 59, &inner));
		cr_assert_eq(wire_uint(inner, 58), 64);
		cr_assert(wire_find(inner, 11, &event));
		s->track = wire_uint(event, 11);
	}
	if (wire_find(packet, 6, &inner))
		while (wire_next(&inner, &f))
			if (wire_uint(f.inner, 1) == 64)
				s->clock = wire_uint(f.inner, 2);
	if (!wire_find(packet, 11, &event))
		return;
	cr_assert_eq(wire_uint(packet, 13), 2);
	s->clock += wire_uint(packet, 8);
	if (wire_find(packet, 12, &inner)) {
		cr_assert(wire_find(inner, 2, &inner));
		cr_assert(wire_find(inner, 2, &name));
		s->names[wire_uint(inner, 1)] =
			kit_hash((const char *)name.p, (size_t)(name.end - name.p));
	}
	perfetto_event(s, event, out);
}

static void read_perfetto(const uint8_t *p, size_t n, struct kit_spans *out)
{
	struct sequence *sequences = calloc(16, sizeof(*sequences));
	struct wire file = { p, p + n };
	struct field f;

	while (wire_next(&file, &f)) {
		cr_assert_eq(f.number, 1);
		perfetto_packet(sequences, f.inner, out);
	}
	for (int i = 0; i < 16; i++)
		cr_assert_eq(sequences[i].depth, 0, "slices stay open");
	free(sequences);
}

Test(export_perfetto, holds_every_span)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct kit *kit = kit_recorded(seed);
		struct kit_spans got = { 0 }, want = { 0 };
		const char *wrong;
		size_t n;
		char *p = kit_export(kit, "perfetto", 0, &n);

		read_perfetto((const uint8_t *)p, n, &got);
		kit_spans_expect(kit, &want);
		wrong = kit_spans_compare(&got, &want);
		cr_assert_null(wrong, "seed %lu: %s", (unsigned long)seed, wrong);
		free(p);
		kit_free(kit);
	}
}
