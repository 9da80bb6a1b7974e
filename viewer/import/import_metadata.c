/* SPDX-License-Identifier: MIT */
/* Events that name and order threads and processes (phase M). */
#include <stdlib.h>
#include <string.h>

#include "viewer/import/import_priv.h"

static int64_t number_of(struct vz_span s)
{
	char text[32];
	uint32_t n = s.n < sizeof(text) - 1 ? s.n : (uint32_t)sizeof(text) - 1;

	memcpy(text, s.p, n);
	text[n] = '\0';
	return strtoll(text, NULL, 10);
}

static bool take_process_data(struct vz_importer *im)
{
	const struct vz_import_event *e = &im->event;
	struct vz_import_process *p;
	uint32_t process;
	int rc = vz_import_process(&im->tracks, e->pid, &process);

	if (rc < 0)
		return vz_import_failed(im, rc);
	p = &im->tracks.processes[process];
	if (vz_import_is(e->name, "process_sort_index") && e->arg_sort.p)
		p->sort = number_of(e->arg_sort);
	if (vz_import_is(e->name, "process_name") && e->arg_name.n)
		p->name = vz_text_keep(&im->tracks.text, e->arg_name.p, e->arg_name.n);
	return true;
}

static bool take_thread_data(struct vz_importer *im)
{
	const struct vz_import_event *e = &im->event;
	struct vz_import_track *t;
	uint32_t track;
	int rc = vz_import_track(&im->tracks, VZ_IMPORT_THREAD, e->pid, e->tid,
				 (struct vz_span){ 0 }, &track);

	if (rc < 0)
		return vz_import_failed(im, rc);
	t = &im->tracks.p[track];
	if (vz_import_is(e->name, "thread_sort_index") && e->arg_sort.p)
		t->sort = number_of(e->arg_sort);
	if (vz_import_is(e->name, "thread_name") && e->arg_name.n)
		t->name = vz_text_keep(&im->tracks.text, e->arg_name.p, e->arg_name.n);
	return true;
}

bool vz_import_take_metadata(struct vz_importer *im)
{
	struct vz_span name = im->event.name;

	if (vz_import_is(name, "process_name") || vz_import_is(name, "process_sort_index"))
		return take_process_data(im);
	if (vz_import_is(name, "thread_name") || vz_import_is(name, "thread_sort_index"))
		return take_thread_data(im);
	return vz_import_leave_out(im, VZ_OUT_META);
}
