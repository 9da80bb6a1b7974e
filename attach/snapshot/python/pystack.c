/* SPDX-License-Identifier: MIT */
/*
 * pystack.c - the chains of interpreters, thread states and frames.  The target may run, and
 * its memory may be anything: every chain has a bound, and a circle ends the walk.
 */
#include "attach/snapshot/python/pystack_priv.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

enum {
	MAX_INTERPRETERS = 4096,
	MAX_THREADS = 1 << 16,
	MAX_FRAMES = 1 << 20, /* also those that are left out */
	/* Where the table of instructions of threads begins: behind its number, 3.14+. */
	TLBC_ENTRIES = 8,
	/* struct pthread of glibc on x86-64 since 2.4: a pointer to itself, the number. */
	PTHREAD_SELF = 16,
	PTHREAD_TID = 720,
	/* Who owns a frame, 3.11+. */
	OWNED_BY_GENERATOR = 1,
	OWNED_BY_INTERPRETER = 3, /* on the C stack of the evaluator; no Python code; 3.12+ */
};

/* ---- thread states ---- */

static bool has_task(pid_t pid, uint64_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%u", (int)pid, (unsigned)tid);
	return access(path, F_OK) == 0;
}

/* What the C library recorded; 0: unknown, or not glibc. */
static uint64_t pthread_number(const struct vz_py *py, uint64_t pthread)
{
	uint64_t self;
	uint32_t tid;

	if (!pthread || vz_py_word(py, pthread + PTHREAD_SELF, &self) < 0 || self != pthread ||
	    vz_py_u32(py, pthread + PTHREAD_TID, &tid) < 0 || tid > INT32_MAX)
		return 0;
	return tid;
}

static pid_t native_number(const struct vz_py *py, const struct vz_pyspan *ts, uint64_t pthread)
{
	uint64_t number = vz_pyspan_word(ts, py->at.ts_native_thread_id), other;
	pid_t pid = py->target->pid;

	if (number > INT32_MAX)
		number = 0;
	if (number && (pid == 0 || has_task(pid, number)))
		return (pid_t)number;
	/* In a child of fork the record of 3.11 is that of its parent. */
	other = pthread_number(py, pthread);
	if (other && (!number || pid == 0 || has_task(pid, other)))
		return (pid_t)other;
	return (pid_t)number;
}

static int read_thread(const struct vz_py *py, uint64_t raddr, uint64_t *ret_next,
		       struct vz_pythread *ret)
{
	const struct vz_pylayout *at = &py->at;
	const uint32_t offsets[] = { at->ts_next, at->ts_interp, at->ts_thread_id,
				     at->ts_native_thread_id };
	struct vz_pyspan ts;
	int rc = vz_pyspan_read(py, raddr, vz_pyspan_len(offsets, 4), &ts);

	if (rc < 0)
		return rc;
	*ret_next = vz_pyspan_word(&ts, at->ts_next);
	ret->raddr = raddr;
	ret->interp = vz_pyspan_word(&ts, at->ts_interp);
	ret->ident = vz_pyspan_word(&ts, at->ts_thread_id);
	ret->native_tid = native_number(py, &ts, ret->ident);
	return 0;
}

/* Those of one interpreter, behind the FOUND first ones; how many there are now. */
static ssize_t read_threads(const struct vz_py *py, uint64_t interp, struct vz_pythread *ret,
			    size_t max, size_t found)
{
	struct vz_pythread thread = { 0 };
	uint64_t raddr, id;

	if (vz_py_word(py, interp + py->at.is_id, &id) < 0 ||
	    vz_py_word(py, interp + py->at.is_threads_head, &raddr) < 0)
		return -EFAULT;
	for (; raddr; found++) {
		int rc = found < MAX_THREADS ? read_thread(py, raddr, &raddr, &thread) : -ELOOP;

		if (rc < 0)
			return rc;
		if (thread.interp != interp)
			return -EINVAL;
		thread.interp_id = (int64_t)id;
		if (found < max)
			ret[found] = thread;
	}
	return (ssize_t)found;
}

ssize_t vz_pythreads_read(const struct vz_py *py, struct vz_pythread *ret, size_t max)
{
	uint64_t interp;
	ssize_t found = 0;
	int i = 0;

	if (vz_py_word(py, py->runtime + py->at.rt_interpreters_head, &interp) < 0)
		return -EFAULT;
	for (; interp && i < MAX_INTERPRETERS; i++) {
		found = read_threads(py, interp, ret, max, (size_t)found);
		if (found < 0)
			return found;
		if (vz_py_word(py, interp + py->at.is_next, &interp) < 0)
			return -EFAULT;
	}
	return interp ? -ELOOP : found;
}

/* ---- walking ---- */

enum {
	WINDOW_BYTES = 4096,
	NCODES = 64, /* a power of two */
	STACK_NEAR = 1 << 16,
	MADE_UP_CFRAMES = 4,
	TSTATE_BYTES = 1024, /* of a PyThreadState at most, 3.10, 3.11 */
};

/* Memory that was read at once, since what is needed next lies nearby. */
struct window {
	uint64_t start;
	size_t len;
	uint8_t bytes[WINDOW_BYTES];
};

struct walker {
	const struct vz_py *py;
	uint32_t span;     /* bytes of a frame that are needed */
	bool with_cframes; /* 3.10, 3.11: CFRAME is that of the evaluator that runs the next frame
			    */
	uint64_t tstate, cframe;
	uint64_t run; /* the first frame of those that the same evaluator runs; 0: the next one */
	unsigned cframes_missing;
	struct window heap;  /* frames: what was called lies above its caller, mostly */
	struct window stack; /* what evaluators have on the C stack: below it */
	uint64_t base;       /* of the last evaluator there; 0: none yet */
	struct vz_pycode codes[NCODES];
};

/* A frame as it is in memory. */
struct raw {
	uint64_t raddr, previous, code, instr;
	uint64_t gen;  /* to 3.10: what the frame belongs to */
	int32_t lasti; /* to 3.10 */
	int32_t tlbc;  /* 3.14+, free-threaded */
	uint8_t owner; /* 3.11+ */
	bool is_entry; /* 3.11 */
};

static uint32_t frame_span(const struct vz_pylayout *at)
{
	const uint32_t objects[] = { at->fr_back, at->fr_code, at->fr_lasti, at->fr_gen };
	const uint32_t frames[] = { at->if_code,  at->if_previous, at->if_instr,
				    at->if_owner, at->if_is_entry, at->if_tlbc_index };

	return at->minor <= 10 ? vz_pyspan_len(objects, sizeof(objects) / sizeof(objects[0]))
			       : vz_pyspan_len(frames, sizeof(frames) / sizeof(frames[0]));
}

static void walker_init(const struct vz_py *py, struct walker *w)
{
	w->py = py;
	w->span = frame_span(&py->at);
	w->with_cframes = py->at.minor == 10 || py->at.minor == 11;
	w->tstate = w->cframe = w->run = 0;
	w->cframes_missing = 0;
	w->heap.len = w->stack.len = 0;
	w->base = 0;
	for (size_t i = 0; i < NCODES; i++)
		w->codes[i].raddr = 0;
}

static bool fill(struct walker *w, struct window *window, uint64_t start, uint64_t end)
{
	window->start = start;
	window->len = 0;
	if (end <= start || end - start > WINDOW_BYTES ||
	    vz_target_read(w->py->target, start, window->bytes, (size_t)(end - start)) < 0)
		return false;
	window->len = (size_t)(end - start);
	return true;
}

/* LEN bytes at RADDR, read together with those above or below, if need be of the same page only. */
static int look(struct walker *w, struct window *window, uint64_t raddr, uint32_t len, void *ret)
{
	uint64_t page = raddr & ~(uint64_t)(WINDOW_BYTES - 1), end = raddr + len;
	bool up = window == &w->stack;

	if (raddr < window->start || raddr - window->start > window->len ||
	    window->len - (raddr - window->start) < len) {
		if (!fill(w, window, up ? raddr : end - WINDOW_BYTES,
			  up ? raddr + WINDOW_BYTES : end) &&
		    !fill(w, window, up ? raddr : page, up ? page + WINDOW_BYTES : end))
			return vz_target_read(w->py->target, raddr, ret, len);
		if (window->len - (raddr - window->start) < len)
			return vz_target_read(w->py->target, raddr, ret, len);
	}
	memcpy(ret, window->bytes + (raddr - window->start), len);
	return 0;
}

static int fetch(struct walker *w, uint64_t raddr, struct vz_pyspan *ret)
{
	bool on_stack = w->base && raddr > w->base && raddr - w->base < STACK_NEAR;

	if (!w->span)
		return -ENOTSUP;
	ret->raddr = raddr;
	ret->len = w->span;
	return look(w, on_stack ? &w->stack : &w->heap, raddr, w->span, ret->bytes);
}

static int read_frame(struct walker *w, uint64_t raddr, struct raw *ret)
{
	const struct vz_pylayout *at = &w->py->at;
	struct vz_pyspan span;
	int rc = fetch(w, raddr, &span);

	if (rc < 0)
		return rc;
	memset(ret, 0, sizeof(*ret));
	ret->raddr = raddr;
	if (vz_py_object_frames(w->py)) {
		ret->previous = vz_pyspan_word(&span, at->fr_back);
		ret->code = vz_pyspan_word(&span, at->fr_code);
		ret->lasti = vz_pyspan_int(&span, at->fr_lasti);
		ret->gen = vz_pyspan_word(&span, at->fr_gen);
		return 0;
	}
	ret->previous = vz_pyspan_word(&span, at->if_previous);
	ret->code = vz_pyref(w->py, vz_pyspan_word(&span, at->if_code));
	ret->instr = vz_pyspan_word(&span, at->if_instr);
	ret->owner = (uint8_t)vz_pyspan_get(&span, at->if_owner, 1);
	ret->is_entry = vz_pyspan_get(&span, at->if_is_entry, 1) != 0;
	ret->tlbc = vz_pyspan_int(&span, at->if_tlbc_index);
	return 0;
}

static const struct vz_pycode *find_code(struct walker *w, uint64_t raddr)
{
	struct vz_pycode *code = &w->codes[(raddr >> 4 ^ raddr >> 10) & (NCODES - 1)];

	if (code->raddr == raddr && raddr)
		return code;
	if (vz_pycode_read(w->py, raddr, code) < 0) {
		code->raddr = 0;
		return NULL;
	}
	return code;
}

/* Where the instructions begin that RAW runs: each thread may have a copy of its own. */
static uint64_t bytecode_of(const struct vz_py *py, const struct vz_pycode *code,
			    const struct raw *raw)
{
	uint64_t count, ret;

	if (py->at.if_tlbc_index == VZ_NO_OFFSET || !code->tlbc)
		return code->bytecode;
	if (vz_py_word(py, code->tlbc, &count) < 0 || raw->tlbc < 0 ||
	    (uint64_t)raw->tlbc >= count ||
	    vz_py_word(py, code->tlbc + TLBC_ENTRIES + (uint64_t)raw->tlbc * 8, &ret) < 0)
		return 0;
	return ret;
}

/*
 * Byte offset of the instruction of RAW.  Where the frame only knows the unit before the next
 * instruction (3.11, 3.12), that is a part of the current one; what is not begun is then before
 * the first.  -2: it lies outside.
 */
static int32_t instruction(const struct vz_py *py, const struct vz_pycode *code,
			   const struct raw *raw)
{
	uint64_t start;
	int64_t offset;

	if (py->at.minor <= 9)
		return raw->lasti >= -1 ? raw->lasti : -2;
	if (py->at.minor == 10)
		return raw->lasti < -1 || raw->lasti > INT32_MAX / 2 ? -2
		       : raw->lasti < 0                              ? -1
								     : raw->lasti * 2;
	start = bytecode_of(py, code, raw);
	offset = (int64_t)(raw->instr - start);
	if (offset == -2 && py->at.minor <= 12)
		return -1;
	return start && offset >= 0 && offset < (int64_t)code->units * 2 ? (int32_t)offset : -2;
}

/* CPython itself shows no frame that is still being set up, nor those without Python code. */
static bool is_incomplete(const struct vz_py *py, const struct vz_pycode *code,
			  const struct raw *raw, int32_t instr)
{
	if (vz_py_object_frames(py) || raw->owner == OWNED_BY_GENERATOR)
		return false;
	return instr >= -1 && (instr == -1 ? -1 : instr / 2) < code->first_traceable;
}

static bool is_base(const struct vz_py *py, const struct raw *raw)
{
	return py->at.minor >= 12 && raw->owner >= OWNED_BY_INTERPRETER;
}

/* The last record is part of the thread state; what it calls its previous one, nobody sets in 3.10.
 */
static bool is_root(const struct walker *w, uint64_t cframe)
{
	return cframe - w->tstate < TSTATE_BYTES;
}

/* The evaluator's own record on the C stack, and step to the next one; 0: there is none. */
static uint64_t next_cframe(struct walker *w)
{
	uint64_t ret = w->cframe;

	if (is_root(w, ret)) {
		w->cframes_missing++;
		return 0;
	}
	if (ret && look(w, &w->stack, ret + w->py->at.cf_previous, 8, &w->cframe) < 0)
		w->cframe = 0;
	return ret;
}

/* The frame CALLED was the first one of an evaluator, whose own frame is BASE. */
static void set_base(const struct vz_py *py, const struct raw *base, struct vz_pyframe *called)
{
	if (called->entry)
		return;
	called->entry = true;
	if (base->owner == OWNED_BY_INTERPRETER || py->at.minor == 14)
		called->c_stack = base->raddr;
}

/*
 * 3.11: the record of the evaluator that runs the frames from RUN on.  It says so; there may be
 * others, which greenlets have made, in between.
 */
static uint64_t cframe_of(struct walker *w, uint64_t run)
{
	const struct vz_pylayout *at = &w->py->at;
	uint64_t cframe = w->cframe, current, previous;

	for (int i = 0; i < MADE_UP_CFRAMES && cframe && !is_root(w, cframe); i++) {
		if (look(w, &w->stack, cframe + at->cf_current_frame, 8, &current) < 0 ||
		    look(w, &w->stack, cframe + at->cf_previous, 8, &previous) < 0)
			return 0;
		if (current == run) {
			w->cframe = previous;
			return cframe;
		}
		cframe = previous;
	}
	return 0;
}

static void set_entry(struct walker *w, const struct raw *raw, struct vz_pyframe *frame)
{
	frame->entry = vz_py_object_frames(w->py) || raw->is_entry;
	if (!w->run)
		w->run = raw->raddr;
	if (frame->entry && w->with_cframes)
		frame->c_stack = w->py->at.minor == 10 ? next_cframe(w) : cframe_of(w, w->run);
	if (frame->entry)
		w->run = 0;
}

/* 1: RET is to be shown, 0: not, negative errno. */
static int convert(struct walker *w, const struct raw *raw, struct vz_pyframe *ret)
{
	const struct vz_pycode *code = find_code(w, raw->code);

	if (!code)
		return -EINVAL;
	memset(ret, 0, sizeof(*ret));
	ret->raddr = raw->raddr;
	ret->code = raw->code;
	ret->instr = instruction(w->py, code, raw);
	ret->generator = raw->gen || raw->owner == OWNED_BY_GENERATOR;
	set_entry(w, raw, ret);
	return !is_incomplete(w->py, code, raw, ret->instr);
}

static int first_frame(struct walker *w, uint64_t tstate, uint64_t *ret)
{
	const struct vz_pylayout *at = &w->py->at;

	w->tstate = tstate;
	if (at->minor >= 10 && at->minor <= 12 &&
	    vz_py_word(w->py, tstate + at->ts_cframe, &w->cframe) < 0)
		return -EFAULT;
	if (vz_py_object_frames(w->py))
		return vz_py_word(w->py, tstate + at->ts_frame, ret);
	if (at->minor <= 12)
		return vz_py_word(w->py, w->cframe + at->cf_current_frame, ret);
	return vz_py_word(w->py, tstate + at->ts_current_frame, ret);
}

/*
 * 3.10: where an evaluator ends there is for a moment a record less than there are frames; the
 * outermost ones belong together.  Each entry gets the address of the one before it, the first one
 * FIRST.
 */
static void shift_out(struct vz_pyframe *frames, size_t count, uint64_t first)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t own = frames[i].c_stack;

		if (!frames[i].entry)
			continue;
		frames[i].c_stack = first;
		first = own;
	}
}

/*
 * 3.10: records and frames go together one by one, or none can be relied on: a greenlet has a
 * record more at its outer end, an evaluator that begins one at the inner end.
 */
static void check_cframes(const struct walker *w, struct vz_pyframe *frames, size_t count)
{
	bool whole = is_root(w, w->cframe);

	if (w->py->at.minor != 10 || (whole && !w->cframes_missing))
		return;
	if (whole && w->cframes_missing == 1) {
		shift_out(frames, count, 0);
		return;
	}
	for (size_t i = 0; i < count; i++)
		frames[i].c_stack = 0;
}

/* How many frames; -E2BIG, and what ended the walk else. */
static ssize_t walk(struct walker *w, uint64_t raddr, struct vz_pyframe *frames, size_t max)
{
	uint64_t seen = 0;
	size_t count = 0, steps, seen_again = 1;

	for (steps = 0; raddr && steps < MAX_FRAMES; steps++) {
		struct vz_pyframe frame;
		struct raw raw;
		int rc = raddr == seen ? -ELOOP : read_frame(w, raddr, &raw);

		if (rc < 0)
			return rc;
		if (steps == seen_again) { /* any circle comes by here at last */
			seen = raddr;
			seen_again *= 2;
		}
		raddr = raw.previous;
		if (is_base(w->py, &raw)) {
			w->base = raw.raddr;
			if (count)
				set_base(w->py, &raw, &frames[count - 1]);
			continue;
		}
		rc = convert(w, &raw, &frame);
		if (rc < 0)
			return rc;
		if (rc && count == max)
			return -E2BIG;
		if (rc)
			frames[count++] = frame;
	}
	if (raddr)
		return -ELOOP;
	if (count)
		frames[count - 1].entry = true;
	check_cframes(w, frames, count);
	return (ssize_t)count;
}

/* 3.11, 3.12: the evaluator may not have said yet which frame it runs; its caller has. */
static ssize_t walk_from_caller(struct walker *w, uint64_t cframe, struct vz_pyframe *frames,
				size_t max)
{
	uint64_t raddr;

	w->run = 0;
	if (is_root(w, cframe) ||
	    vz_py_word(w->py, cframe + w->py->at.cf_previous, &w->cframe) < 0 ||
	    vz_py_word(w->py, w->cframe + w->py->at.cf_current_frame, &raddr) < 0)
		return -EFAULT;
	return walk(w, raddr, frames, max);
}

ssize_t vz_pystack_walk(const struct vz_py *py, uint64_t tstate, struct vz_pyframe *frames,
			size_t max)
{
	struct walker w;
	uint64_t raddr, cframe;
	ssize_t rc, again;

	walker_init(py, &w);
	rc = first_frame(&w, tstate, &raddr);
	if (rc < 0)
		return rc;
	cframe = w.cframe;
	rc = walk(&w, raddr, frames, max);
	if (rc >= 0 || rc == -E2BIG || py->at.minor < 11 || py->at.minor > 12)
		return rc;
	again = walk_from_caller(&w, cframe, frames, max);
	return again < 0 && again != -E2BIG ? rc : again;
}

ssize_t vz_pystack_follow(const struct vz_py *py, uint64_t raddr, struct vz_pyframe *frames,
			  size_t max)
{
	struct walker w;

	walker_init(py, &w);
	w.with_cframes = false;
	return walk(&w, raddr, frames, max);
}

int vz_pyframe_read(const struct vz_py *py, uint64_t raddr, struct vz_pyframe *ret)
{
	struct walker w;
	struct raw raw;
	int rc;

	walker_init(py, &w);
	w.with_cframes = false;
	rc = read_frame(&w, raddr, &raw);
	if (rc == 0)
		rc = convert(&w, &raw, ret);
	return rc < 0 ? rc : 0;
}
