/* SPDX-License-Identifier: MIT */
/*
 * query_set.h - a set of functions, and whether a summary has one of them.
 */
#ifndef VZ_VIEWER_CORE_QUERY_SET_H
#define VZ_VIEWER_CORE_QUERY_SET_H

#include "viewer/core/query_core.h"

struct vzq_set {
	uint32_t *words; /* a bit for each function */
};

int vzq_set_init(struct vzq_set *set, const struct vzq_fns *fns);
void vzq_set_fini(struct vzq_set *set);

static inline bool vzq_set_has(const struct vzq_set *set, uint32_t fn)
{
	return fn < VZ_MAX_FUNCTIONS && set->words[fn / 32] & 1u << fn % 32;
}

/**
 * 1: functions of SET are entered in what TILE, a FUNCS tile, is of; 0: not; -EBADMSG: it cannot
 * be read.  ENTRIES: how often, or NULL if that does not matter.
 */
int vzq_set_in_summary(const struct vzq_set *set, const struct vzi_tile *tile, const uint8_t *p,
		       size_t n, uint64_t *entries);

#endif /* VZ_VIEWER_CORE_QUERY_SET_H */
