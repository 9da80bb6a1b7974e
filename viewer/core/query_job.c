/* SPDX-License-Identifier: MIT */
#include "viewer/core/query_core.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void *vzq_job_new(struct vzq *q, size_t size)
{
	struct vzq_job *job = calloc(1, size);

	if (job) {
		job->q = q;
		job->result.self_ns = job->result.children = job->result.descendants = -1;
		job->result.entry = -1;
	}
	return job;
}

int vzq_job_plan(struct vzq_job *job, const struct vzq_item *item)
{
	if (job->nitems == job->items_cap) {
		uint32_t cap = job->items_cap ? job->items_cap * 2 : 64;
		struct vzq_item *bigger = realloc(job->items, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		job->items = bigger;
		job->items_cap = cap;
	}
	job->items[job->nitems++] = *item;
	return 0;
}

int vzq_job_plan_group(struct vzq_job *job, struct vzq_group group, uint32_t tag, uint32_t arg)
{
	struct vzq_item item = { .kind = VZQ_WANT_TILE, .tag = tag, .arg = arg };
	int rc = 0;

	for (uint32_t i = 0; i < group.n && rc == 0; i++) {
		item.id = group.first + i;
		rc = vzq_job_plan(job, &item);
	}
	return rc;
}

static void end_with(struct vzq_job *job, int error)
{
	job->result.error = error;
	job->done = true;
}

/* Plan until there is something to get. */
static void plan_more(struct vzq_job *job)
{
	int rc;

	job->nitems = job->given = job->asked = 0;
	rc = job->next(job);
	if (rc < 0 || !job->nitems)
		end_with(job, rc < 0 ? rc : 0);
}

uint32_t vzq_job_want(struct vzq_job *job, struct vzq_want *ret, uint32_t max)
{
	uint32_t n;

	if (!job->done && job->given == job->nitems)
		plan_more(job);
	if (job->done)
		return 0;
	n = job->nitems - job->given;
	if (n > max)
		n = max;
	for (uint32_t i = 0; i < n; i++)
		ret[i] = (struct vzq_want){ job->items[job->given + i].kind,
					    job->items[job->given + i].id };
	job->asked = job->given + n;
	return n;
}

static bool as_long_as_said(const struct vzq *q, const struct vzq_item *item, size_t n)
{
	return n == (item->kind == VZQ_WANT_TILE ? q->tiles[item->id].bytes
						 : q->blocks[item->id].raw_bytes);
}

void vzq_job_give(struct vzq_job *job, const uint8_t *p, size_t n)
{
	struct vzq_item item;
	int rc;

	if (job->done || job->given >= job->asked)
		return;
	item = job->items[job->given++]; /* taking it may plan more, and move them */
	if (p && !as_long_as_said(job->q, &item, n))
		p = NULL;
	rc = job->take(job, &item, p, p ? n : 0);
	if (rc == -EBADMSG)
		job->result.bad++;
	else if (rc < 0)
		end_with(job, rc);
}

const struct vzq_result *vzq_job_result(const struct vzq_job *job)
{
	return job->done ? &job->result : NULL;
}

static void free_tree(struct vzq_tree *t)
{
	free(t->calls); /* all columns are in one allocation */
}

void vzq_job_free(struct vzq_job *job)
{
	struct vzq_result *r;

	if (!job)
		return;
	if (job->fini)
		job->fini(job);
	r = &job->result;
	free(r->rows.calls);
	free_tree(&r->tree[0]);
	free_tree(&r->tree[1]);
	free(r->keys);
	free(r->values);
	free(r->slices);
	free(r->callees.calls);
	vzt_records_fini(&r->records);
	vzt_samples_fini(&r->samples);
	free(job->items);
	free(job);
}
