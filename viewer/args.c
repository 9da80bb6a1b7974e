/* SPDX-License-Identifier: MIT */
#include "viewer/args.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void vz_args_init(struct vz_args *args, const struct vz_block *head, const uint8_t *raw)
{
	*args = (struct vz_args){
		.p = raw,
		.end = raw + head->raw_bytes,
		.entry = head->t0_ns,
		.last = head->t1_ns > head->t0_ns ? head->t1_ns : head->t0_ns,
	};
}

static bool take_varint(struct vz_args *args, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; shift < 64 && args->p < args->end; shift += 7) {
		uint8_t byte = *args->p++;

		*ret |= (uint64_t)(byte & 127) << shift;
		if (byte < 128)
			return true;
	}
	return false;
}

/* The first record counts from .t0_ns, which is its number: it says 0. */
int vz_args_next(struct vz_args *args, uint64_t *entry, const uint8_t **json, size_t *bytes)
{
	uint64_t since, n;

	if (args->p == args->end)
		return 0;
	if (!take_varint(args, &since) || !take_varint(args, &n) ||
	    since > args->last - args->entry || n > (uint64_t)(args->end - args->p))
		return -EBADMSG;
	args->entry += since;
	*entry = args->entry;
	*json = args->p;
	*bytes = (size_t)n;
	args->p += n;
	return 1;
}

static int find_in_block(struct vz_args *args, uint64_t entry, char **json, size_t *bytes)
{
	const uint8_t *p;
	uint64_t at;
	int rc;

	while ((rc = vz_args_next(args, &at, &p, bytes)) > 0) {
		if (at != entry)
			continue;
		*json = malloc(*bytes + 1);
		if (!*json)
			return -ENOMEM;
		memcpy(*json, p, *bytes);
		(*json)[*bytes] = '\0';
		return 0;
	}
	return -ENOENT;
}

int vz_args_find(struct vz_reader *r, uint32_t place, uint64_t entry, char **json, size_t *bytes)
{
	uint32_t id = vz_reader_track(r, place)->id;
	int rc = -ENOENT;

	for (uint32_t i = 0; i < vz_reader_nextras(r) && rc == -ENOENT; i++) {
		const struct vz_index_entry *e = vz_reader_extra(r, i);
		struct vz_block head;
		struct vz_args args;
		const uint8_t *raw;

		if (e->type != VZ_BLOCK_ARGS || e->track != id || entry < e->t0_ns ||
		    entry > e->t1_ns)
			continue;
		rc = vz_reader_load_extra(r, i, &head, &raw);
		if (rc == 0) {
			vz_args_init(&args, &head, raw);
			rc = find_in_block(&args, entry, json, bytes);
		}
		if (rc == -EBADMSG)
			rc = -ENOENT;
	}
	return rc;
}
