/* SPDX-License-Identifier: MIT */
/*
 * match.h - the functions of two traces side by side, and what their differences are worth.
 *
 * Functions are the same if kind, file (module) and qualified name are; the line may
 * have moved.  Traces that differ by more than 5 % in length are compared per second.
 * A function is slower or faster only by the self time of the calls that were seen whole: if
 * their means or their geometric means (the typical call, which a few long ones do not
 * hide) differ by more than 4 standard errors of the difference (see spread.h), more than
 * 5 %, and more than the clock can tell, and the other does not say the opposite.
 * What slowed down everything (another load, another machine) is no function's fault: if
 * 16 functions or more can be judged, the median of their ratios is taken for that, and
 * a function is slower only if it is so beyond that ratio too, and by more than most
 * ratios differ from it (3 standard deviations, from the median distance).
 */
#ifndef VZ_VIEWER_MATCH_H
#define VZ_VIEWER_MATCH_H

#include "viewer/reader.h"
#include "viewer/spread.h"
#include "viewer/stats.h"

enum vz_verdict {
	VZ_SAME,
	VZ_NOISE,
	VZ_TOO_FEW, /* stays to judge by */
	VZ_SLOWER,
	VZ_FASTER,
	VZ_MORE_CALLS, /* as fast, or too close to tell */
	VZ_FEWER_CALLS,
	VZ_ONLY_A,
	VZ_ONLY_B,
	VZ_VERDICTS,
};

struct vz_match_side {
	const struct vz_function *function; /* NULL: not called in this trace */
	uint64_t calls;
	uint64_t resumes;
	uint64_t total_ns;
	uint64_t self_ns;
	uint64_t partial;         /* stays not seen whole */
	struct vz_spread spread;  /* of self times, ns */
	struct vz_spread typical; /* of their logarithms: one long call does not hide the others */
};

struct vz_match {
	struct vz_match_side side[2];
	double difference; /* of self time, B - A, in ns or ns a second */
	double doubt;      /* difference of the means that chance may make, ns */
	double ratio; /* of a call in B to one in A, by what the verdict is based on; 0: none */
	enum vz_verdict verdict;
};

struct vz_matches {
	struct vz_match *p; /* greatest difference first */
	size_t n;
	struct vz_stats stats[2];
	bool per_second;
	double scale[2];   /* times what was recorded is what is compared */
	double self_ns[2]; /* of all functions, scaled */
	double median;     /* ratio of typical calls, of functions that can be judged; 0: none */
	double relevant;   /* part by which a ratio must differ: 5 %, or how far most ratios do */
	double machine;    /* .median, or 1 if that tells nothing about the machine */
	uint64_t count[VZ_VERDICTS];
};

/** Compare B with A.  0 or -ENOMEM; finish with vz_matches_fini(). */
int vz_matches_init(struct vz_matches *m, struct vz_reader *a, struct vz_reader *b);
void vz_matches_fini(struct vz_matches *m);
/** Self time of the typical call, ns; 0 if there is none. */
double vz_match_typical(const struct vz_match_side *side);

#endif /* VZ_VIEWER_MATCH_H */
