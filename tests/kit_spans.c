/* SPDX-License-Identifier: MIT */
#include "tests/kit_spans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/export/export.h"

void kit_span_add(struct kit_spans *s, struct kit_span span)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 256;
		s->p = realloc(s->p, s->cap * sizeof(*s->p));
	}
	s->p[s->n++] = span;
}

uint64_t kit_hash(const char *p, size_t n)
{
	uint64_t h = UINT64_C(14695981039346656037);

	while (n--)
		h = (h ^ (uint8_t)*p++) * UINT64_C(1099511628211);
	return h;
}

static int compare(const void *pa, const void *pb)
{
	return memcmp(pa, pb, sizeof(struct kit_span));
}

/* What the kit wrote; TRACK is its number + 1. */
void kit_spans_expect(const struct kit *kit, struct kit_spans *s)
{
	for (uint32_t i = 0; i < kit->ntracks; i++) {
		const struct kit_track *t = kit->tracks[i];

		for (size_t k = 0; k < t->n; k++)
			if (t->events[k].kind == KIT_LEAVE)
				kit_span_add(s, (struct kit_span){ i + 1, t->events[k].begin_ns,
								   t->events[k].ns,
								   t->events[k].function });
			else if (t->events[k].kind == KIT_LOST)
				s->lost += t->events[k].lost;
		for (uint32_t k = 0; k < t->depth; k++)
			kit_span_add(s, (struct kit_span){ i + 1, t->stack[k].begin_ns, kit->end_ns,
							   t->stack[k].function });
	}
	for (size_t i = 0; i < s->n; i++) {
		uint32_t id = (uint32_t)s->p[i].name;
		const struct vz_function f = { .kind = id % 3 ? VZ_DEF_PYTHON : VZ_DEF_C };
		char function[64], text[128];

		kit_function_name(id, function, sizeof(function));
		if (f.kind == VZ_DEF_C)
			snprintf(text, sizeof(text), "mod%u.%s", id % 11, function);
		else
			snprintf(text, sizeof(text), "%s (/app/mod%u.py:%u)", function, id % 11,
				 id);
		s->p[i].name = kit_hash(text, strlen(text));
	}
}

const char *kit_spans_compare(struct kit_spans *got, struct kit_spans *want)
{
	const char *wrong = NULL;

	if (got->n != want->n)
		wrong = got->n < want->n ? "spans are missing" : "spans that were not there";
	qsort(got->p, got->n, sizeof(*got->p), compare);
	qsort(want->p, want->n, sizeof(*want->p), compare);
	for (size_t i = 0; i < got->n && !wrong; i++)
		if (compare(&got->p[i], &want->p[i]) != 0)
			wrong = "a span differs";
	if (!wrong && got->lost != want->lost)
		wrong = "lost records differ";
	free(got->p);
	free(want->p);
	*got = *want = (struct kit_spans){ 0 };
	return wrong;
}

struct kit *kit_recorded(uint64_t seed)
{
	struct kit *kit = kit_new(90, seed);

	for (uint32_t i = 0; i < 4; i++)
		kit_track(kit, 100 + i, i == 3 ? 0x77 : 0);
	for (int round = 0; round < 20; round++) {
		kit_steps(kit->tracks[kit_random(kit, 4)], kit_random(kit, 1000));
		if (round % 3 == 0)
			vz_tracefile_flush(kit->tf, UINT64_MAX, 0);
	}
	kit_finish(kit);
	return kit;
}

/* The page needs a file, as its index has a place beside it. */
static void save(const uint8_t *p, size_t n, char *path)
{
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");

	if (!file || fwrite(p, 1, n, file) != n || fclose(file) != 0)
		abort();
}

char *kit_export(struct kit *kit, const char *format, uint64_t max_calls, size_t *n)
{
	char path[] = "/tmp/vz-kit-XXXXXX", index[sizeof(path) + 8];
	struct vz_trouble trouble;
	const struct vz_export_options options = {
		.max_calls = max_calls,
		.path = path,
		.name = "kit.viz",
		.trouble = &trouble,
	};
	struct vz_reader *r;
	struct vz_out out;
	size_t bytes;
	uint8_t *p = kit_bytes(kit, &bytes);
	char *text = NULL;
	FILE *memory = open_memstream(&text, n);
	int rc;

	save(p, bytes, path);
	rc = vz_reader_open(path, &r, &trouble);
	if (rc == 0 && vz_out_open_memory(&out, memory) == 0) {
		rc = vz_export_find(format)->write(r, &options, &out);
		if (vz_out_close(&out, &trouble) < 0)
			rc = -1;
		vz_reader_free(r);
	}
	snprintf(index, sizeof(index), "%s.vizi", path);
	remove(index);
	remove(path);
	fclose(memory);
	free(p);
	return rc < 0 ? NULL : text;
}
