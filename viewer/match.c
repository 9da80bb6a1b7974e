/* SPDX-License-Identifier: MIT */
#include "viewer/match.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "viewer/walk.h"

enum {
	ENOUGH = 8, /* stays in each trace */
	MANY = 16,  /* functions whose median tells about the machine */
};

static const double likely_length = 1.05;    /* lengths that differ by less are taken as one */
static const double errors = 4;              /* one in thousands of functions by chance */
static const double relevant = 0.05;         /* two runs of one program differ by that */
static const double deviations = 3 * 1.4826; /* three standard deviations by the median one */
static const double clock_ns = 10;

struct both {
	struct vz_spread plain, logarithm;
};

/* Ids of functions may be large and far between. */
struct sample {
	uint32_t *index; /* by id: place in .spreads + 1, or 0 */
	uint32_t nindex;
	struct both *both;
	uint32_t n, cap;
};

/* A function of one trace. */
struct half {
	const struct vz_function *function;
	const struct vz_function_stats *stats;
	const struct both *both; /* NULL: no stay was seen whole */
	int side;
};

static int have_index(struct sample *sample, uint32_t function)
{
	uint32_t n = sample->nindex ? sample->nindex : 64;
	uint32_t *bigger;

	if (function < sample->nindex)
		return 0;
	while (n <= function)
		n *= 2;
	bigger = realloc(sample->index, n * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	memset(bigger + sample->nindex, 0, (n - sample->nindex) * sizeof(*bigger));
	sample->index = bigger;
	sample->nindex = n;
	return 0;
}

static int new_spread(struct sample *sample, uint32_t function)
{
	struct both *bigger = sample->both;

	if (sample->n == sample->cap) {
		sample->cap = sample->cap ? sample->cap * 2 : 64;
		bigger = realloc(bigger, sample->cap * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		sample->both = bigger;
	}
	bigger[sample->n] = (struct both){ 0 };
	sample->index[function] = ++sample->n;
	return 0;
}

static int note_stay(void *ctx, uint32_t function, uint64_t self_ns)
{
	struct sample *sample = ctx;
	struct both *both;
	int rc = have_index(sample, function);

	if (rc == 0 && !sample->index[function])
		rc = new_spread(sample, function);
	if (rc < 0)
		return rc;
	both = &sample->both[sample->index[function] - 1];
	vz_spread_add(&both->plain, (double)self_ns);
	vz_spread_add(&both->logarithm, log((double)self_ns + 1));
	return 0;
}

static const struct both *both_of(const struct sample *sample, uint32_t function)
{
	uint32_t i = function < sample->nindex ? sample->index[function] : 0;

	return i ? &sample->both[i - 1] : NULL;
}

static int by_name(const void *pa, const void *pb)
{
	const struct half *a = pa, *b = pb;
	int order =
		(a->function->kind > b->function->kind) - (a->function->kind < b->function->kind);

	if (!order)
		order = strcmp(a->function->name, b->function->name);
	if (!order)
		order = strcmp(a->function->file, b->function->file);
	return order ? order : a->side - b->side;
}

static bool same_name(const struct half *a, const struct half *b)
{
	return a->function->kind == b->function->kind &&
	       !strcmp(a->function->name, b->function->name) &&
	       !strcmp(a->function->file, b->function->file);
}

/* Two functions of one trace may have the same name; they become one. */
static void put_half(struct vz_match *m, const struct half *h)
{
	struct vz_match_side *side = &m->side[h->side];

	side->function = h->function;
	side->calls += h->stats->calls;
	side->resumes += h->stats->resumes;
	side->total_ns += h->stats->total_ns;
	side->self_ns += h->stats->self_ns;
	side->partial += h->stats->open + h->stats->unseen;
	if (h->both) {
		vz_spread_merge(&side->spread, &h->both->plain);
		vz_spread_merge(&side->typical, &h->both->logarithm);
	}
}

double vz_match_typical(const struct vz_match_side *side)
{
	return side->typical.n ? expm1(side->typical.mean) : 0;
}

static bool can_be_judged(const struct vz_match *m)
{
	return m->side[0].spread.n >= ENOUGH && m->side[1].spread.n >= ENOUGH;
}

static double log_ratio(const struct vz_match *m)
{
	return m->side[1].typical.mean - m->side[0].typical.mean;
}

static uint64_t entries(const struct vz_match_side *side)
{
	return side->calls + side->resumes;
}

static enum vz_verdict of_calls(const struct vz_matches *all, const struct vz_match *m)
{
	double a = (double)entries(&m->side[0]), b = (double)entries(&m->side[1]);
	double sa = all->scale[0], sb = all->scale[1], more = b * sb - a * sa;
	double doubt =
		fmax(errors * sqrt(a * sa * sa + b * sb * sb), relevant * fmax(a * sa, b * sb));

	if (fabs(more) <= doubt)
		return VZ_NOISE;
	return more > 0 ? VZ_MORE_CALLS : VZ_FEWER_CALLS;
}

static bool is_same(const struct vz_match *m)
{
	const struct vz_match_side *a = &m->side[0], *b = &m->side[1];

	return m->difference == 0 && a->calls == b->calls && a->resumes == b->resumes &&
	       a->total_ns == b->total_ns && a->spread.n == b->spread.n &&
	       a->spread.mean == b->spread.mean;
}

/* 1: B is greater than A times any factor from LEAST to MOST, by more than DOUBT; -1: less. */
static int beyond(double a, double b, double least, double most, double doubt)
{
	return b - a * most > doubt ? 1 : a * least - b > doubt ? -1 : 0;
}

static double doubt_of(const struct vz_spread *a, const struct vz_spread *b, double stretch)
{
	return errors * hypot(vz_spread_error(a) * stretch, vz_spread_error(b));
}

static int by_means(const struct vz_matches *all, struct vz_match *m)
{
	const struct vz_spread *a = &m->side[0].spread, *b = &m->side[1].spread;
	double most = fmax(all->machine, 1), least = fmin(all->machine, 1);

	m->doubt =
		fmax(doubt_of(a, b, most), fmax(all->relevant * fmax(a->mean, b->mean), clock_ns));
	m->ratio = a->mean > 0 ? b->mean / a->mean : 0;
	return beyond(a->mean, b->mean, least, most, m->doubt);
}

static int by_typical(const struct vz_matches *all, const struct vz_match *m)
{
	const struct vz_spread *a = &m->side[0].typical, *b = &m->side[1].typical;
	double machine = log(all->machine), doubt = fmax(doubt_of(a, b, 1), log1p(all->relevant));
	double ns = vz_match_typical(&m->side[1]) - vz_match_typical(&m->side[0]);

	if (fabs(ns) <= clock_ns)
		return 0;
	/* Of logarithms: what is a factor is a sum here. */
	return beyond(1, log_ratio(m) + 1, 1 + fmin(machine, 0), 1 + fmax(machine, 0), doubt);
}

/* Beyond what chance, and what slowed down or sped up everything, make plausible. */
static enum vz_verdict judge(const struct vz_matches *all, struct vz_match *m)
{
	int means = 0, typical = 0;

	if (!m->side[1].function)
		return VZ_ONLY_A;
	if (!m->side[0].function)
		return VZ_ONLY_B;
	if (m->side[0].spread.n && m->side[1].spread.n) {
		means = by_means(all, m);
		typical = by_typical(all, m);
	}
	if (is_same(m))
		return VZ_SAME;
	if (!can_be_judged(m))
		return VZ_TOO_FEW;
	if (typical == -means)
		return of_calls(all, m);
	if (typical)
		m->ratio = exp(log_ratio(m));
	return typical + means > 0 ? VZ_SLOWER : VZ_FASTER;
}

static void finish_match(struct vz_matches *all, struct vz_match *m)
{
	double a = (double)m->side[0].self_ns * all->scale[0];
	double b = (double)m->side[1].self_ns * all->scale[1];

	all->self_ns[0] += a;
	all->self_ns[1] += b;
	m->difference = b - a;
	m->verdict = judge(all, m);
	all->count[m->verdict]++;
}

static int by_difference(const void *pa, const void *pb)
{
	const struct vz_match *a = pa, *b = pb;
	double da = fabs(a->difference), db = fabs(b->difference);
	const struct vz_function *fa = a->side[!a->side[0].function].function;
	const struct vz_function *fb = b->side[!b->side[0].function].function;
	int order;

	if (da != db)
		return da > db ? -1 : 1;
	order = strcmp(fa->name, fb->name);
	return order ? order : strcmp(fa->file, fb->file);
}

static int by_value(const void *pa, const void *pb)
{
	double a = *(const double *)pa, b = *(const double *)pb;

	return (a > b) - (a < b);
}

/* What the ratios of most functions have in common, and how far they are apart. */
static void learn_machine(struct vz_matches *all, double *logarithms, size_t n)
{
	double middle;

	qsort(logarithms, n, sizeof(*logarithms), by_value);
	middle = n ? logarithms[n / 2] : 0;
	all->median = n ? exp(middle) : 0;
	all->machine = 1;
	all->relevant = relevant;
	if (n < MANY)
		return;
	for (size_t i = 0; i < n; i++)
		logarithms[i] = fabs(logarithms[i] - middle);
	qsort(logarithms, n, sizeof(*logarithms), by_value);
	all->machine = all->median;
	all->relevant = fmax(relevant, expm1(deviations * logarithms[n / 2]));
}

static int find_median(struct vz_matches *all)
{
	double *logarithms = malloc((all->n + 1) * sizeof(*logarithms));
	size_t n = 0;

	if (!logarithms)
		return -ENOMEM;
	for (size_t i = 0; i < all->n; i++)
		if (can_be_judged(&all->p[i]))
			logarithms[n++] = log_ratio(&all->p[i]);
	learn_machine(all, logarithms, n);
	free(logarithms);
	return 0;
}

static void set_scale(struct vz_matches *all, struct vz_reader *const readers[2])
{
	double length[2];
	uint64_t t0_ns, t1_ns;

	for (int i = 0; i < 2; i++) {
		vz_reader_range(readers[i], &t0_ns, &t1_ns);
		length[i] = fmax((double)(t1_ns - t0_ns), 1);
	}
	all->per_second = fmax(length[0], length[1]) > likely_length * fmin(length[0], length[1]);
	for (int i = 0; i < 2; i++)
		all->scale[i] = all->per_second ? 1e9 / length[i] : 1;
}

static int pair_up(struct vz_matches *all, struct half *halves, size_t n)
{
	all->p = calloc(n + 1, sizeof(*all->p));
	if (!all->p)
		return -ENOMEM;
	qsort(halves, n, sizeof(*halves), by_name);
	for (size_t i = 0; i < n; i++) {
		if (i && !same_name(&halves[i - 1], &halves[i]))
			all->n++;
		put_half(&all->p[all->n], &halves[i]);
	}
	all->n += n > 0;
	if (find_median(all) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < all->n; i++)
		finish_match(all, &all->p[i]);
	qsort(all->p, all->n, sizeof(*all->p), by_difference);
	return 0;
}

static int match(struct vz_matches *all, struct vz_reader *const readers[2],
		 const struct sample samples[2])
{
	size_t n = 0, room = (size_t)all->stats[0].nfunctions + all->stats[1].nfunctions;
	struct half *halves = malloc((room + 1) * sizeof(*halves));
	int rc;

	if (!halves)
		return -ENOMEM;
	for (int side = 0; side < 2; side++) {
		for (uint32_t i = 0; i < all->stats[side].nfunctions; i++) {
			const struct vz_function_stats *f = &all->stats[side].functions[i];

			halves[n++] = (struct half){
				.function = vz_reader_function(readers[side], f->function),
				.stats = f,
				.both = both_of(&samples[side], f->function),
				.side = side,
			};
		}
	}
	rc = pair_up(all, halves, n);
	free(halves);
	return rc;
}

int vz_matches_init(struct vz_matches *m, struct vz_reader *a, struct vz_reader *b)
{
	struct vz_reader *const readers[2] = { a, b };
	struct sample samples[2] = { 0 };
	int rc = 0;

	*m = (struct vz_matches){ 0 };
	for (int i = 0; i < 2 && rc == 0; i++) {
		const struct vz_stats_hook hook = { note_stay, &samples[i] };

		rc = vz_stats_init_hooked(&m->stats[i], readers[i], VZ_ALL_TRACKS, &hook);
	}
	set_scale(m, readers);
	if (rc == 0)
		rc = match(m, readers, samples);
	for (int i = 0; i < 2; i++) {
		free(samples[i].both);
		free(samples[i].index);
	}
	if (rc < 0)
		vz_matches_fini(m);
	return rc;
}

void vz_matches_fini(struct vz_matches *m)
{
	vz_stats_fini(&m->stats[0]);
	vz_stats_fini(&m->stats[1]);
	free(m->p);
	*m = (struct vz_matches){ 0 };
}
