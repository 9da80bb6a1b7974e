/* SPDX-License-Identifier: MIT */
/*
 * import_priv.h - what the parts of an import share.
 *
 *   import_json.c    text -> events          import_tracks.c  keys of threads, counters ... ->
 * numbers import_event.c   events -> records       import_names.c   names -> numbers, files, lines
 *   import_sort.c    records in order        import_spill.c   texts that wait on disk
 *   import_emit.c    records -> the trace    import_time.c    decimal numbers -> ns
 *
 * Times inside are ns with VZ_IMPORT_BIAS added, so that negative ones sort first.
 */
#ifndef VZ_VIEWER_IMPORT_PRIV_H
#define VZ_VIEWER_IMPORT_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "viewer/import/import.h"
#include "viewer/import/write.h"
#include "viewer/text.h"

#define VZ_IMPORT_BIAS   (UINT64_C(1) << 63)
#define VZ_IMPORT_NO_END UINT64_MAX /* it had not ended */

/* ---- times ---- */

struct vz_import_time {
	int64_t ns;
	uint32_t part; /* of a ns, in billionths */
};

/** Microseconds written in decimal, exactly; false: not a number, or beyond 290 years. */
bool vz_import_time(const char *s, size_t n, struct vz_import_time *ret);
/** Nearest ns, biased.  Order is kept: what nests still nests. */
uint64_t vz_import_round(struct vz_import_time t);
struct vz_import_time vz_import_sum(struct vz_import_time a, struct vz_import_time b);

/* ---- texts on disk ---- */

struct vz_spill;

/** In the folder of PATH, without a name.  NULL: errno says why. */
struct vz_spill *vz_spill_new(const char *path);
void vz_spill_free(struct vz_spill *s);
/** Append; returns the offset.  Errors stick: see vz_spill_error(). */
uint64_t vz_spill_put(struct vz_spill *s, const void *p, size_t n);
/** Read what was put; 0 or the error. */
int vz_spill_get(struct vz_spill *s, uint64_t offset, void *p, size_t n);
/** The bytes of a text that was put behind its length (uint32_t), and a NUL; valid until the next
 * call. */
int vz_spill_text(struct vz_spill *s, uint64_t offset, char **text, uint32_t *n);
int vz_spill_error(const struct vz_spill *s);
/** Open file without a name in the folder of PATH; negative errno. */
int vz_spill_file(const char *path);

/* ---- records ---- */

enum vz_rec_kind {
	VZ_REC_CALL = 0,
	VZ_REC_POINT = 1, /* takes no time, holds nothing */
	VZ_REC_VALUE = 2,
	VZ_REC_LOST = 3,
	VZ_REC_KIND = 3, /* mask */
	VZ_REC_ENTRY_SHIFT = 2,
	VZ_REC_LEAVE_SHIFT = 4,
	VZ_REC_HOW = 3,
	VZ_REC_FUNCTION_SHIFT = 8,
};

struct vz_rec {
	uint64_t start;
	uint64_t end;   /* VALUE: bits of the double; LOST: records */
	uint64_t seq;   /* order in the file */
	uint64_t extra; /* offset in the spill + 1, 0: nothing: uint64_t group if async, text of
			   arguments */
	uint32_t track;
	uint32_t what; /* function, how left, how entered, enum vz_rec_kind */
};
_Static_assert(sizeof(struct vz_rec) == 40, "no padding: it goes to disk");

struct vz_sort;

/** RECORDS: kept in memory; the rest goes to a file in the folder of PATH.  NULL: no memory. */
struct vz_sort *vz_sort_new(const char *path, uint32_t records);
void vz_sort_free(struct vz_sort *s);
/** Say before the first record whether callees come before callers where times do not tell. */
void vz_sort_order(struct vz_sort *s, bool (*callees_first)(void *ctx), void *ctx);
/** 0 or a negative errno. */
int vz_sort_add(struct vz_sort *s, const struct vz_rec *rec);
/** No more records. */
int vz_sort_finish(struct vz_sort *s);
/** Begin with the records of TRACK in order. */
int vz_sort_track(struct vz_sort *s, uint32_t track);
/** 1: RET is the next one; 0: no more of the track; or an error. */
int vz_sort_next(struct vz_sort *s, struct vz_rec *ret);

/* ---- names ---- */

struct vz_import_name {
	const char *text;
	uint32_t n, hash;
	bool python; /* as VizTracer writes it: without a place in a file it is of C */
	bool used;
};

struct vz_import_names {
	struct vz_import_name *p; /* number 0: what found no room */
	uint32_t n, cap;
	uint32_t *slots, nslots;
	struct vz_text text;
};

/** Number of a name, 0: there are too many.  -ENOMEM. */
int vz_import_name(struct vz_import_names *names, const char *s, size_t n, bool python,
		   uint32_t *ret);
void vz_import_names_write(const struct vz_import_names *names, struct vz_writer *w);
void vz_import_names_fini(struct vz_import_names *names);

/* Where "name (file:line)" has its parts; FILE_LEN 0: there is no place in it. */
struct vz_import_place {
	uint32_t name_len, file, file_len, line;
};
void vz_import_place(const char *s, uint32_t n, struct vz_import_place *ret);

uint32_t vz_import_hash(const void *p, size_t n);

/* ---- tracks ---- */

enum vz_import_kind {
	VZ_IMPORT_THREAD,
	VZ_IMPORT_INSTANTS, /* of a thread, a process, or of all */
	VZ_IMPORT_ASYNC,
	VZ_IMPORT_COUNTER,
};

/* What was begun and has not ended. */
struct vz_import_open {
	uint64_t start, seq, extra;
	uint32_t function;
	uint32_t next; /* asynchronous ones: number of that below, 0: none */
};

struct vz_import_track {
	const char *key;
	uint32_t key_len, hash;
	enum vz_import_kind kind;
	uint32_t process, tid;
	const char *label; /* thread id, category or counter as text */
	const char *name;  /* given by the file, or NULL */
	int64_t sort;
	uint64_t last_start, last_end; /* of calls */
	uint64_t open_end;             /* when what had not ended was last seen; 0: never */
	uint64_t records;
	struct vz_import_open *open;
	uint32_t depth, open_cap;
};

struct vz_import_process {
	const char *key;
	uint32_t key_len;
	uint32_t pid;
	const char *name;
	int64_t sort;
};

/* A text that is not closed by a NUL. */
struct vz_span {
	const char *p;
	uint32_t n;
};

struct vz_import_tracks {
	struct vz_import_track *p;
	uint32_t n, cap;
	uint32_t *slots, nslots;
	struct vz_import_process *processes;
	uint32_t nprocesses, processes_cap;
	uint32_t last_process;
	struct vz_text text;
};

/** Number of a process; -ENOMEM, -E2BIG: too many. */
int vz_import_process(struct vz_import_tracks *t, struct vz_span pid, uint32_t *ret);
/** Number of a track: LABEL and DETAIL (counters: series) tell those of a process apart. */
int vz_import_track(struct vz_import_tracks *t, enum vz_import_kind kind, struct vz_span pid,
		    struct vz_span label, struct vz_span detail, uint32_t *ret);
/** Their numbers as they should be shown; free() it.  NULL: no memory. */
uint32_t *vz_import_tracks_order(const struct vz_import_tracks *t);
void vz_import_tracks_fini(struct vz_import_tracks *t);

/* ---- events ---- */

enum {
	VZ_IMPORT_TEXT_MAX = 1 << 16, /* bytes of a name */
	VZ_IMPORT_ARGS_MAX = 1 << 20,
	VZ_IMPORT_SERIES_MAX = 64,
	VZ_IMPORT_DEPTH_MAX = 512,
};

struct vz_import_series {
	uint32_t name, name_len; /* in the text of the arguments */
	uint32_t value;
};

/* One event as it was read.  Spans point into .text, .p NULL: the member is missing. */
struct vz_import_event {
	struct vz_span phase, name, cat, pid, tid, ts, dur, id, scope;
	bool global_id;
	struct vz_span arg_name, arg_sort; /* of metadata */
	int note;                          /* see vz_import_note() */
	struct vz_import_series series[VZ_IMPORT_SERIES_MAX];
	uint32_t nseries,
		nothers; /* members of args: numbers, and those that are none or found no room */
	char *args;      /* JSON object, NUL behind; .args_len 0: none */
	uint32_t args_len, args_cap;
	uint64_t args_dropped; /* bytes of arguments that were too long */
	char *text;
	uint32_t text_len;
};

enum vz_import_left_out {
	VZ_OUT_FLOW,
	VZ_OUT_OBJECT,
	VZ_OUT_SAMPLE,
	VZ_OUT_MEMORY,
	VZ_OUT_META,
	VZ_OUT_PHASE,
	VZ_OUT_NO_TIME,
	VZ_OUT_NEGATIVE,
	VZ_OUT_END,
	VZ_OUT_VALUE,
	VZ_OUT_MANY,
	VZ_OUT_NO_EVENT,
	VZ_OUT_ARGS,
	VZ_OUT_KINDS,
};

/* ---- the whole ---- */

struct vz_import_source {
	const char *file;
	uint64_t text; /* in the spill */
};

struct vz_import_async;

struct vz_importer {
	const char *path;
	const struct vz_import_options *options;
	struct vz_trouble *trouble;
	int error; /* negative errno: stop */
	struct vz_import_event event;
	struct vz_import_names names;
	struct vz_import_tracks tracks;
	struct vz_sort *sort;
	struct vz_spill *spill;
	struct vz_import_async *async;
	uint64_t seq, min_ns, max_ns;         /* biased; min > max: none */
	uint64_t nested_before, nested_after; /* callees seen before and after their callers */
	bool callees_first;                   /* what that came to when it was needed first */
	bool saw_events;                      /* there is a list of them */
	uint64_t open;                        /* begun and not ended, of all tracks */
	uint64_t left_out[VZ_OUT_KINDS];
	uint64_t other_names;
	int64_t unix_offset; /* wall clock - time of the file, 0: unknown */
	struct vz_import_source *sources;
	uint32_t nsources, sources_cap;
	struct vz_text facts_text;
	struct {
		const char *key, *value;
	} facts[64];
	uint32_t nfacts;
	struct vz_import_summary summary;
};

/** Number of what our own exports say of a call that was not seen whole; -1: it is not that. */
int vz_import_note(const char *s, size_t n);
bool vz_import_is(struct vz_span s, const char *text);
/** Count what is not shown; true. */
bool vz_import_leave_out(struct vz_importer *im, enum vz_import_left_out why);
/** Stop, or where there is too much of something leave it out; what vz_import_take() returns. */
bool vz_import_failed(struct vz_importer *im, int rc);
bool vz_import_take_metadata(struct vz_importer *im);
/** Take .event; false: .error is set. */
bool vz_import_take(struct vz_importer *im);
/** What has begun and never ended; before the records are sorted for good. */
int vz_import_close(struct vz_importer *im);
void vz_import_async_free(struct vz_import_async *a);

/** Read all of the text through .event; .summary says where it is cut. */
int vz_import_read(struct vz_importer *im);

/** Write the trace to FD. */
int vz_import_emit(struct vz_importer *im, int fd);

#endif /* VZ_VIEWER_IMPORT_PRIV_H */
