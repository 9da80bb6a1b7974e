/* SPDX-License-Identifier: MIT */
#include "viewer/samples.h"

#include <errno.h>
#include <string.h>

#include "viewer/loader.h"

struct samples {
	const uint8_t *p, *end, *values;
	uint64_t ns;
};

static bool take_varint(struct samples *s, uint64_t *ret)
{
	*ret = 0;
	for (unsigned shift = 0; shift < 64 && s->p < s->end; shift += 7) {
		uint8_t byte = *s->p++;

		*ret |= (uint64_t)(byte & 127) << shift;
		if (byte < 128)
			return true;
	}
	return false;
}

/* The values stand behind the times, so where they begin is counted from the end. */
static bool begin(struct samples *s, const struct vz_block *head, const uint8_t *raw)
{
	uint64_t bytes = (uint64_t)head->count * sizeof(double);

	if (bytes > head->raw_bytes)
		return false;
	s->p = raw;
	s->values = s->end = raw + head->raw_bytes - bytes;
	s->ns = head->t0_ns;
	return true;
}

static int tell_block(struct samples *s, const struct vz_block *head, uint32_t place,
		      int (*tell)(void *, uint32_t, uint64_t, double), void *ctx)
{
	int rc = 0;

	for (uint32_t i = 0; i < head->count && rc >= 0; i++) {
		uint64_t since;
		double value;

		if (!take_varint(s, &since) || since > UINT64_MAX - s->ns)
			return 0;
		s->ns += since;
		memcpy(&value, s->values + i * sizeof(value), sizeof(value));
		rc = tell(ctx, place, s->ns, value);
	}
	return rc < 0 ? rc : 0;
}

int vz_samples_walk(const struct vz_reader *r,
		    int (*tell)(void *ctx, uint32_t place, uint64_t ns, double value), void *ctx)
{
	struct vz_loader *loader = vz_loader_new(r);
	int rc = loader ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < vz_reader_nextras(r); i++) {
		const struct vz_index_entry *e = vz_reader_extra(r, i);
		uint32_t place = vz_reader_track_place(r, e->track);
		struct samples s;
		struct vz_block head;
		const uint8_t *raw;

		if (e->type != VZ_BLOCK_SAMPLES || place >= vz_reader_ntracks(r) ||
		    vz_loader_load_extra(loader, i, &head, &raw) < 0 || !begin(&s, &head, raw))
			continue;
		rc = tell_block(&s, &head, place, tell, ctx);
	}
	vz_loader_free(loader);
	return rc;
}
