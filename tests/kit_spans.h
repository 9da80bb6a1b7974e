/* SPDX-License-Identifier: MIT */
/*
 * kit_spans.h - the calls of a trace as a set of spans, to compare exports with.
 *
 * An export is right if a reader written from the description of its format
 * finds the spans that the kit wrote, and no others.
 */
#ifndef VZ_TESTS_KIT_SPANS_H
#define VZ_TESTS_KIT_SPANS_H

#include "tests/kit_trace.h"

struct kit_span {
	uint64_t track; /* number + 1 */
	uint64_t begin, end;
	uint64_t name; /* kit_hash() of it */
};

struct kit_spans {
	struct kit_span *p;
	size_t n, cap;
	uint64_t lost; /* records, in all losses */
};

uint64_t kit_hash(const char *p, size_t n);
void kit_span_add(struct kit_spans *s, struct kit_span span);
/** What KIT wrote. */
void kit_spans_expect(const struct kit *kit, struct kit_spans *s);
/** NULL if both are the same, else what differs.  Sorts and empties both. */
const char *kit_spans_compare(struct kit_spans *got, struct kit_spans *want);

/** A trace with four tracks, one a greenlet's, in several blocks. */
struct kit *kit_recorded(uint64_t seed);
/** The trace of KIT in another format; free() it.  NULL: the export failed. */
char *kit_export(struct kit *kit, const char *format, uint64_t max_calls, size_t *n);

#endif /* VZ_TESTS_KIT_SPANS_H */
