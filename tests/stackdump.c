/* SPDX-License-Identifier: MIT */
/*
 * stackdump - Python's stacks of a process as they are read from outside, again for each line
 * that comes on stdin: one line of JSON each.  The process is neither stopped nor changed, so
 * its threads must sleep for the answer to be right.
 *
 * usage: stackdump PID
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/json.h"
#include "attach/snapshot/python/pystack.h"
#include "attach/util.h"
#include "tests/kit_py.h"

enum {
	MAX_THREADS = 256,
	MAX_FRAMES = 1 << 14,
	TEXT_BYTES = 1 << 26,
};

static struct vz_pythread threads[MAX_THREADS];
static struct vz_pyframe frames[MAX_FRAMES];

static void print_frame(const struct vz_py *py, const struct vz_pyframe *frame, struct vz_text *t)
{
	struct vz_pyplace place;
	int rc = vz_pyframe_place(py, frame, &place);

	vz_text_add(t, "{");
	vz_json_string(t, "function", place.name);
	vz_text_add(t, ",");
	vz_json_string(t, "file", place.file);
	vz_text_add(t, ",\"line\":%u,\"error\":%d,\"instr\":%d,\"entry\":%d,\"generator\":%d",
		    place.line, rc, frame->instr, frame->entry, frame->generator);
	vz_json_number(t, "c_stack", frame->c_stack);
	vz_text_add(t, "}");
}

static void print_thread(const struct vz_py *py, const struct vz_pythread *thread,
			 struct vz_text *t)
{
	ssize_t n = vz_pystack_walk(py, thread->raddr, frames, MAX_FRAMES);

	vz_text_add(t, "{\"tid\":%d,\"error\":%d", (int)thread->native_tid, n < 0 ? (int)n : 0);
	vz_json_number(t, "tstate", thread->raddr);
	vz_text_add(t, ",\"frames\":[");
	for (ssize_t i = 0; i < n; i++) {
		if (i)
			vz_text_add(t, ",");
		print_frame(py, &frames[i], t);
	}
	vz_text_add(t, "]}");
}

static void print_all(const struct vz_py *py, struct vz_text *t)
{
	ssize_t n = vz_pythreads_read(py, threads, MAX_THREADS);

	t->used = 0;
	vz_text_add(t, "{\"error\":%d,\"threads\":[", n < 0 ? (int)n : 0);
	for (ssize_t i = 0; i < n && i < MAX_THREADS; i++) {
		if (i)
			vz_text_add(t, ",");
		print_thread(py, &threads[i], t);
	}
	vz_text_add(t, "]}");
	puts(t->at);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	_cleanup_free_ char *bytes = malloc(TEXT_BYTES);
	struct vz_text text = { .at = bytes, .size = TEXT_BYTES };
	char line[64], why[1024];
	struct kit_py k;
	int rc;

	if (argc != 2 || !text.at) {
		fprintf(stderr, "usage: stackdump PID\n");
		return 2;
	}
	rc = kit_py_open((pid_t)strtol(argv[1], NULL, 10), &k, why, sizeof(why));
	if (rc < 0) {
		fprintf(stderr, "stackdump: %s (%s)\n", why, strerror(-rc));
		return 1;
	}
	while (fgets(line, sizeof(line), stdin))
		print_all(&k.py, &text);
	kit_py_close(&k);
	return 0;
}
