/* SPDX-License-Identifier: MIT */
/*
 * pystack.c - the chains of interpreters, thread states and frames.  The target may run, and
 * its memory may be anything: every chain has a bound, and a circle ends the walk.
 */
#include "attach/snapshot/pystack_priv.h"

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
	/* Instructions, 3.8-3.10; 3.11, 3.12. */
	OP_YIELD_FROM = 72,
	OP_RESUME_QUICK = 150, /* 3.11 */
	OP_RESUME = 151,
	OP_INSTRUMENTED_RESUME = 240, /* 3.12 */
	RESUME_AFTER_YIELD_FROM = 2,
	/* Suspended, in PyFrameObject 3.10, generators 3.11, 3.12. */
	STATE_SUSPENDED = -1,
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
	NCODES = 64,         /* a power of two */
	TSTATE_BYTES = 1024, /* of a PyThreadState at most, 3.10, 3.11 */
};

struct walker {
	const struct vz_py *py;
	uint32_t span;     /* bytes of a frame that are needed */
	bool with_cframes; /* 3.10, 3.11: CFRAME is that of the evaluator that runs the next frame
			    */
	uint64_t tstate, cframe;
	/* Frames lie one behind the other, called above caller, from 3.11 on. */
	uint64_t window;
	size_t window_len;
	uint8_t bytes[WINDOW_BYTES];
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

static bool object_frames(const struct vz_py *py)
{
	return py->at.minor <= 10;
}

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
	w->tstate = w->cframe = 0;
	w->window_len = 0;
	for (size_t i = 0; i < NCODES; i++)
		w->codes[i].raddr = 0;
}

/* Fetch a frame together with its callers, which are most likely below it. */
static int fetch(struct walker *w, uint64_t raddr, struct vz_pyspan *ret)
{
	if (!w->span)
		return -ENOTSUP;
	if (raddr < w->window || raddr - w->window > w->window_len ||
	    w->window_len - (raddr - w->window) < w->span) {
		uint64_t start = raddr + w->span - WINDOW_BYTES;

		if (object_frames(w->py) || raddr < WINDOW_BYTES ||
		    vz_target_read(w->py->target, start, w->bytes, WINDOW_BYTES) < 0) {
			w->window_len = 0;
			return vz_pyspan_read(w->py, raddr, w->span, ret);
		}
		w->window = start;
		w->window_len = WINDOW_BYTES;
	}
	ret->raddr = raddr;
	ret->len = w->span;
	memcpy(ret->bytes, w->bytes + (raddr - w->window), w->span);
	return 0;
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
	if (object_frames(w->py)) {
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
	if (object_frames(py) || raw->owner == OWNED_BY_GENERATOR)
		return false;
	return instr >= -1 && (instr == -1 ? -1 : instr / 2) < code->first_traceable;
}

static bool is_base(const struct vz_py *py, const struct raw *raw)
{
	return py->at.minor >= 12 && raw->owner >= OWNED_BY_INTERPRETER;
}

/* 0: not found; the evaluator's own record on the C stack, and step to that of the next one. */
static uint64_t next_cframe(struct walker *w)
{
	uint64_t ret = w->cframe;

	if (ret && vz_py_word(w->py, ret + w->py->at.cf_previous, &w->cframe) < 0)
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

static void set_entry(struct walker *w, const struct raw *raw, struct vz_pyframe *frame)
{
	frame->entry = object_frames(w->py) || raw->is_entry;
	if (frame->entry && w->with_cframes)
		frame->c_stack = next_cframe(w);
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
	if (at->ts_cframe != VZ_NO_OFFSET && at->minor <= 12 &&
	    vz_py_word(w->py, tstate + at->ts_cframe, &w->cframe) < 0)
		return -EFAULT;
	if (object_frames(w->py))
		return vz_py_word(w->py, tstate + at->ts_frame, ret);
	if (at->minor <= 12)
		return vz_py_word(w->py, w->cframe + at->cf_current_frame, ret);
	return vz_py_word(w->py, tstate + at->ts_current_frame, ret);
}

/*
 * Records and frames go together one by one, but for the last record, which is part of the
 * thread state: if they do not, none of them can be relied on.  What the last record calls its
 * previous one is set by nobody in 3.10.
 */
static void check_cframes(const struct walker *w, struct vz_pyframe *frames, size_t count)
{
	if (!w->with_cframes || w->cframe - w->tstate < TSTATE_BYTES)
		return;
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

ssize_t vz_pystack_walk(const struct vz_py *py, uint64_t tstate, struct vz_pyframe *frames,
			size_t max)
{
	struct walker w;
	uint64_t raddr;
	int rc;

	walker_init(py, &w);
	rc = first_frame(&w, tstate, &raddr);
	return rc < 0 ? rc : walk(&w, raddr, frames, max);
}

/* ---- generators and coroutines ---- */

/* States of a generator, 3.11+: the numbers changed. */
static bool state_ended(const struct vz_py *py, int8_t state)
{
	return py->at.minor >= 15 ? state < 0 || state > 4 : state > 0;
}

/* Suspended where it waits for another one; before 3.13 the instruction tells that. */
static bool state_waits(const struct vz_py *py, int8_t state)
{
	if (py->at.minor >= 15)
		return state == 2 || state == 3;
	return state == STATE_SUSPENDED;
}

static int generator_state(const struct vz_py *py, uint64_t gen, int8_t *ret)
{
	uint8_t state;
	int rc = vz_py_u8(py, gen + py->at.ge_frame_state, &state);

	*ret = (int8_t)state;
	return rc;
}

static int generator_frame(const struct vz_py *py, uint64_t gen, uint64_t *ret)
{
	int8_t state;
	int rc;

	if (object_frames(py)) {
		rc = vz_py_word(py, gen + py->at.ge_frame, ret);
		return rc < 0 ? rc : *ret ? 0 : -ENOENT;
	}
	rc = generator_state(py, gen, &state);
	if (rc < 0)
		return rc;
	*ret = gen + py->at.ge_iframe;
	return state_ended(py, state) ? -ENOENT : 0;
}

int vz_pygen_frame(const struct vz_py *py, uint64_t gen, struct vz_pyframe *ret)
{
	struct walker w;
	struct raw raw;
	uint64_t raddr;
	int rc = generator_frame(py, gen, &raddr);

	if (rc < 0)
		return rc;
	walker_init(py, &w);
	rc = read_frame(&w, raddr, &raw);
	if (rc < 0)
		return rc;
	rc = convert(&w, &raw, ret);
	ret->generator = true;
	ret->entry = false;
	return rc < 0 ? rc : 0;
}

/* Is the instruction behind the current one of the FRAME so that it waits for another? */
static bool code_waits(const struct vz_py *py, const struct vz_pyframe *frame)
{
	struct vz_pycode code;
	uint64_t start, len;
	uint8_t next[2];

	if (frame->instr < 0 || vz_pycode_read(py, frame->code, &code) < 0)
		return false;
	start = code.bytecode;
	if (object_frames(py) && vz_pybytes(py, code.bytecode, &start, &len) < 0)
		return false;
	if (vz_target_read(py->target, start + (uint64_t)frame->instr + 2, next, 2) < 0)
		return false;
	if (object_frames(py))
		return next[0] == OP_YIELD_FROM;
	return (next[0] == OP_RESUME ||
		next[0] == (py->at.minor == 11 ? OP_RESUME_QUICK : OP_INSTRUMENTED_RESUME)) &&
	       next[1] >= RESUME_AFTER_YIELD_FROM;
}

/* Where the slot is that holds what a suspended object frame waits for. */
static int object_frame_top(const struct vz_py *py, uint64_t frame, uint64_t *ret)
{
	const struct vz_pylayout *at = &py->at;
	uint32_t depth;
	uint8_t state;
	int rc;

	if (at->minor <= 9) {
		rc = vz_py_word(py, frame + at->fr_stacktop, ret);
		if (rc == 0 && !*ret)
			return -ENOENT;
		*ret -= 8;
		return rc;
	}
	if (vz_py_u8(py, frame + at->fr_state, &state) < 0 ||
	    vz_py_u32(py, frame + at->fr_stackdepth, &depth) < 0)
		return -EFAULT;
	if ((int8_t)state != STATE_SUSPENDED || depth == 0 || depth > INT16_MAX)
		return -ENOENT;
	rc = vz_py_word(py, frame + at->fr_valuestack, ret);
	*ret += (uint64_t)(depth - 1) * 8;
	return rc;
}

static int frame_top(const struct vz_py *py, uint64_t frame, uint64_t *ret)
{
	const struct vz_pylayout *at = &py->at;
	uint32_t height;
	int rc;

	if (at->if_stackpointer != VZ_NO_OFFSET) {
		rc = vz_py_word(py, frame + at->if_stackpointer, ret);
		/* 3.15 keeps an index above what is waited for. */
		*ret -= at->minor >= 15 ? 16 : 8;
		return rc == 0 && *ret < frame ? -ENOENT : rc;
	}
	rc = vz_py_u32(py, frame + at->if_stacktop, &height);
	if (rc == 0 && (height == 0 || height > INT16_MAX))
		return -ENOENT;
	*ret = frame + at->if_localsplus + (uint64_t)(height - 1) * 8;
	return rc;
}

int vz_pygen_awaits(const struct vz_py *py, uint64_t gen, uint64_t *ret)
{
	struct vz_pyframe frame;
	uint64_t slot, value;
	int8_t state;
	int rc = vz_pygen_frame(py, gen, &frame);

	if (rc < 0)
		return rc;
	if (!object_frames(py)) {
		rc = generator_state(py, gen, &state);
		if (rc < 0)
			return rc;
		if (!state_waits(py, state))
			return -ENOENT;
	}
	if (py->at.minor <= 12 && !code_waits(py, &frame))
		return -ENOENT;
	rc = object_frames(py) ? object_frame_top(py, frame.raddr, &slot)
			       : frame_top(py, frame.raddr, &slot);
	if (rc < 0)
		return rc;
	rc = vz_py_word(py, slot, &value);
	if (rc < 0)
		return rc;
	*ret = vz_pyref(py, value);
	return *ret ? 0 : -ENOENT;
}
