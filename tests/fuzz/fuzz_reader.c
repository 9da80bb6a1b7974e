/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are read, counted and exported without a crash, a leak or a hang.
 *
 * The first byte says what the others are: a file as it is; a file whose
 * checksums are made to hold first, as a fuzzer never guesses one; or the raw
 * payload of one block of events.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/mend.h"
#include "viewer/args.h"
#include "viewer/export/export.h"
#include "viewer/report.h"
#include "viewer/serve/describe.h"
#include "viewer/source.h"
#include "viewer/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	MODE_AS_IT_IS = 0,
	MODE_MEND = 1,
	MODE_EVENTS = 2,
	MODES = 3,
};

/* What the page asks for, other than the index: that is fuzz_index. */
static void describe(struct vz_reader *r, struct vz_out *out)
{
	const struct vz_describe d = { .file = "fuzz" };
	struct vz_describe_place place = { 0 };
	struct vz_source source;
	struct vz_files files;
	size_t n;
	char *json;

	vz_describe_trace(r, &d, out);
	if (vz_files_init(&files, r) == 0)
		while (vz_describe_functions(r, &files, &place, out))
			;
	for (uint32_t i = 0; i < vz_reader_nextras(r); i++) {
		const struct vz_index_entry *e = vz_reader_extra(r, i);

		if (e->type == VZ_BLOCK_ARGS &&
		    vz_args_find(r, vz_reader_track_place(r, e->track), e->t1_ns, &json, &n) == 0)
			free(json);
	}
	if (vz_source_recorded(r, "/app/main.py", &source) == 0)
		free(source.text);
	vz_files_fini(&files);
}

static void use(struct vz_reader *r)
{
	const struct vz_report_options report = { .threads = true };
	const struct vz_export_options options = { .max_calls = 1000 };
	struct vz_trouble trouble;
	struct vz_out out;

	if (vz_out_open(&out, "/dev/null", &trouble) < 0)
		abort();
	vz_info(r, false, &out);
	vz_info(r, true, &out);
	vz_report(r, &report, &out);
	describe(r, &out);
	for (const struct vz_export *e = vz_exports; e->name; e++)
		if (e->write != vz_export_html) /* has an index made, of a file */
			e->write(r, &options, &out);
	vz_out_close(&out, &trouble);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vz_trouble trouble;
	struct vz_reader *r;
	uint8_t *p;
	size_t n;

	if (size < 2)
		return 0;
	if (data[0] % MODES == MODE_EVENTS) {
		p = wrap(data + 1, size - 1, &n);
		if (!p)
			return 0;
	} else {
		n = size - 1;
		p = malloc(n);
		memcpy(p, data + 1, n);
		if (data[0] % MODES == MODE_MEND)
			mend(p, n);
	}
	if (vz_reader_open_memory(p, n, &r, &trouble) == 0) {
		use(r);
		vz_reader_free(r);
	}
	free(p);
	return 0;
}
