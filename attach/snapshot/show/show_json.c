/* SPDX-License-Identifier: MIT */
/*
 * show_json.c - a snapshot for programs: docs/snapshot-schema.md.  Every key is always there;
 * what is unknown is null.
 */
#include <stdio.h>
#include <time.h>

#include "attach/snapshot/show/grow.h"
#include "attach/snapshot/show/show.h"

enum { SCHEMA = 1 };

/* Larger ones are changed by readers that know doubles only. */
#define LARGEST_INTEGER (UINT64_C(1) << 53)

/* ---- values ---- */

static void comma(struct vz_grow *g)
{
	char last = g->used ? g->at[g->used - 1] : '{';

	if (last != '{' && last != '[')
		vz_grow_bytes(g, ",", 1);
}

static void key(struct vz_grow *g, const char *name)
{
	comma(g);
	vz_grow_add(g, "\"%s\":", name);
}

static void open_object(struct vz_grow *g)
{
	comma(g);
	vz_grow_bytes(g, "{", 1);
}

static void text(struct vz_grow *g, const char *name, const char *value)
{
	key(g, name);
	if (value && value[0])
		vz_grow_json(g, value);
	else
		vz_grow_add(g, "null");
}

static void number(struct vz_grow *g, const char *name, uint64_t value)
{
	const char *quote = value < LARGEST_INTEGER ? "" : "\"";

	key(g, name);
	vz_grow_add(g, "%s%llu%s", quote, (unsigned long long)value, quote);
}

static void null(struct vz_grow *g, const char *name)
{
	key(g, name);
	vz_grow_add(g, "null");
}

static void number_if(struct vz_grow *g, const char *name, bool known, uint64_t value)
{
	if (known)
		number(g, name, value);
	else
		null(g, name);
}

static void address(struct vz_grow *g, const char *name, uint64_t value)
{
	if (!value)
		return null(g, name);
	key(g, name);
	vz_grow_add(g, "\"0x%llx\"", (unsigned long long)value);
}

static void truth(struct vz_grow *g, const char *name, bool value)
{
	key(g, name);
	vz_grow_add(g, value ? "true" : "false");
}

static void state(struct vz_grow *g, const char *name, char value)
{
	const char word[2] = { value, '\0' };

	text(g, name, word);
}

/* The thread at INDEX by its number. */
static void thread_number(struct vz_grow *g, const char *name, const struct vz_snapshot *s,
			  int index)
{
	bool known = index >= 0 && (size_t)index < s->nthreads;

	number_if(g, name, known, known ? (uint64_t)s->threads[index].tid : 0);
}

static void index_below(struct vz_grow *g, const char *name, int index, size_t count)
{
	number_if(g, name, index >= 0 && (size_t)index < count, (uint64_t)index);
}

static void texts(struct vz_grow *g, const char *name, const char *const *values, size_t count)
{
	key(g, name);
	vz_grow_bytes(g, "[", 1);
	for (size_t i = 0; i < count; i++) {
		comma(g);
		vz_grow_json(g, values[i] ? values[i] : "");
	}
	vz_grow_bytes(g, "]", 1);
}

static const char *word(const char *const *words, size_t count, unsigned value)
{
	return value < count ? words[value] : "unknown";
}
#define WORD(words, value) word(words, sizeof(words) / sizeof(*(words)), (unsigned)(value))

/* ---- frames ---- */

static void locals(struct vz_grow *g, const struct vz_snap_frame *f)
{
	key(g, "locals");
	vz_grow_bytes(g, "[", 1);
	for (size_t i = 0; i < f->nlocals; i++) {
		open_object(g);
		key(g, "name");
		vz_grow_json(g, f->locals[i].name);
		key(g, "value");
		vz_grow_json(g, f->locals[i].value);
		vz_grow_bytes(g, "}", 1);
	}
	vz_grow_bytes(g, "]", 1);
	truth(g, "locals_cut", f->locals_cut);
}

static void frame(struct vz_grow *g, const struct vz_snap_frame *f)
{
	static const char *const kinds[] = { "python", "native", "signal" };
	bool python = f->kind == VZ_FRAME_PYTHON;

	open_object(g);
	text(g, "kind", WORD(kinds, f->kind));
	text(g, "function", f->function);
	text(g, "file", python ? f->file : NULL);
	number_if(g, "line", f->line != 0, f->line);
	text(g, "object", python ? NULL : f->file);
	number_if(g, "offset", !python, f->offset);
	address(g, "raddr", f->raddr);
	truth(g, "interpreter", f->interpreter);
	locals(g, f);
	vz_grow_bytes(g, "}", 1);
}

static void frames(struct vz_grow *g, const struct vz_snap_frame *all, size_t count)
{
	key(g, "frames");
	vz_grow_bytes(g, "[", 1);
	for (size_t i = 0; i < count; i++)
		frame(g, &all[i]);
	vz_grow_bytes(g, "]", 1);
}

/* ---- threads ---- */

static void wait_for(struct vz_grow *g, const struct vz_wait *w)
{
	static const char *const kinds[] = {
		"none", "futex", "file",  "pipe",   "socket", "tty",
		"poll", "sleep", "child", "signal", "flock",  "other"
	};
	static const char *const directions[] = { NULL, "in", "out", "connect", "accept" };

	key(g, "wait");
	vz_grow_bytes(g, "{", 1);
	text(g, "kind", WORD(kinds, w->kind));
	number_if(g, "nr", w->nr >= 0, (uint64_t)w->nr);
	text(g, "call", w->call);
	text(g, "direction", WORD(directions, w->direction));
	number_if(g, "fd", w->fd >= 0 && w->nr >= 0, (uint64_t)w->fd);
	text(g, "object", w->object);
	text(g, "peer", w->peer);
	number_if(g, "peer_pid", w->peer_pid > 0, (uint64_t)w->peer_pid);
	text(g, "socket_state", w->socket_state);
	truth(g, "dns", w->dns);
	address(g, "futex", w->futex);
	number_if(g, "timeout_ns", w->timeout_ns >= 0 && w->nr >= 0, (uint64_t)w->timeout_ns);
	truth(g, "for_ever", w->timeout_ns == -1 && w->nr >= 0);
	text(g, "kernel", w->kernel);
	truth(g, "remote_fs", w->remote_fs);
	vz_grow_bytes(g, "}", 1);
}

static void look(struct vz_grow *g, const struct vz_look *l, uint64_t first_ns)
{
	open_object(g);
	number(g, "at_ns", l->at_ns - first_ns);
	state(g, "state", l->state);
	number(g, "cpu_ns", l->cpu_ns);
	number(g, "switches", l->switches);
	number(g, "majflt", l->majflt);
	address(g, "pc", l->pc);
	address(g, "py_frame", l->py_frame);
	address(g, "py_code", l->py_code);
	number_if(g, "py_instr", l->py_frame != 0 && l->py_instr >= 0, (uint64_t)l->py_instr);
	truth(g, "holds_gil", l->holds_gil);
	vz_grow_bytes(g, "}", 1);
}

static void looks(struct vz_grow *g, const struct vz_snap_thread *t)
{
	key(g, "looks");
	vz_grow_bytes(g, "[", 1);
	for (size_t i = 0; i < t->nlooks && i < VZ_LOOKS; i++)
		look(g, &t->looks[i], t->looks[0].at_ns);
	vz_grow_bytes(g, "]", 1);
}

/* One letter of the kernel is no word for people who write scripts. */
static const char *state_word(const struct vz_snap_thread *t)
{
	char last = t->nlooks && t->nlooks <= VZ_LOOKS ? t->looks[t->nlooks - 1].state : 0;

	switch (last) {
	case 'R':
		return "running";
	case 'S':
	case 'I':
		return "sleeping";
	case 'D':
		return "uninterruptible";
	case 'T':
		return "stopped";
	case 't':
		return "traced";
	case 'Z':
	case 'X':
		return "ended";
	default:
		return NULL;
	}
}

static void thread_who(struct vz_grow *g, const struct vz_snap_thread *t)
{
	number(g, "tid", (uint64_t)t->tid);
	number_if(g, "ns_tid", t->ns_tid > 0, (uint64_t)t->ns_tid);
	text(g, "name", t->name);
	text(g, "comm", t->comm);
	address(g, "ident", t->ident);
	address(g, "tstate", t->tstate);
	number_if(g, "interpreter", t->interp_id >= 0, (uint64_t)t->interp_id);
	truth(g, "main", t->main);
	if (t->daemon_known)
		truth(g, "daemon", t->daemon);
	else
		null(g, "daemon");
}

static void thread_state(struct vz_grow *g, const struct vz_snap_thread *t)
{
	text(g, "state", state_word(t));
	truth(g, "holds_gil", t->holds_gil);
	truth(g, "waits_gil", t->waits_gil);
	truth(g, "collecting", t->collecting);
	truth(g, "idle", t->idle);
	text(g, "idle_why", t->idle_why);
	number_if(g, "asleep_ns", t->asleep_ns != 0, t->asleep_ns);
	number(g, "cpu_ns", t->cpu_ns);
}

static void thread(struct vz_grow *g, const struct vz_snapshot *s, const struct vz_snap_thread *t)
{
	static const char *const copied[] = { "not", "asleep", "stopped", "moving", "core" };

	open_object(g);
	thread_who(g, t);
	thread_state(g, t);
	text(g, "copied", WORD(copied, t->copied));
	number(g, "stopped_ns", t->stopped_ns);
	truth(g, "native_whole", t->native_whole);
	truth(g, "order_known", t->order_known);
	text(g, "stack_note", t->stack_note);
	wait_for(g, &t->wait);
	looks(g, t);
	index_below(g, "lock", t->lock, s->nlocks);
	thread_number(g, "joins", s, t->joins);
	frames(g, t->frames, t->nframes);
	vz_grow_bytes(g, "}", 1);
}

/* ---- what threads share ---- */

static void lock(struct vz_grow *g, const struct vz_snapshot *s, const struct vz_snap_lock *l)
{
	static const char *const owned[] = { "unknown",  "none", "recorded",
					     "inferred", "gone", "orphaned" };

	open_object(g);
	address(g, "raddr", l->raddr);
	text(g, "kind", l->kind);
	text(g, "name", l->name);
	text(g, "owned", WORD(owned, l->owned));
	thread_number(g, "owner", s, l->owner);
	text(g, "note", l->note);
	truth(g, "private_to_process", l->private_to_process);
	vz_grow_bytes(g, "}", 1);
}

static void loop(struct vz_grow *g, const struct vz_snapshot *s, const struct vz_snap_loop *l)
{
	open_object(g);
	address(g, "raddr", l->raddr);
	text(g, "kind", l->kind);
	thread_number(g, "thread", s, l->thread);
	index_below(g, "running", l->running, s->ntasks);
	truth(g, "selecting", l->selecting);
	vz_grow_bytes(g, "}", 1);
}

static void task(struct vz_grow *g, const struct vz_snapshot *s, const struct vz_snap_task *t)
{
	static const char *const states[] = { "running", "waiting", "ready", "done", "unknown" };

	open_object(g);
	truth(g, "greenlet", t->greenlet);
	address(g, "raddr", t->raddr);
	text(g, "name", t->name);
	text(g, "coroutine", t->coroutine);
	text(g, "state", WORD(states, t->state));
	thread_number(g, "thread", s, t->thread);
	index_below(g, "loop", t->loop, s->nloops);
	text(g, "awaits", t->awaits);
	index_below(g, "awaits_task", t->awaits_task, s->ntasks);
	truth(g, "awaits_inferred", t->awaits_inferred);
	index_below(g, "parent", t->parent, s->ntasks);
	frames(g, t->frames, t->nframes);
	vz_grow_bytes(g, "}", 1);
}

/* ---- the process ---- */

static void gil(struct vz_grow *g, const struct vz_snapshot *s)
{
	const struct vz_snap_process *p = &s->process;

	key(g, "gil");
	if (!p->gil_known) {
		vz_grow_add(g, "null");
		return;
	}
	vz_grow_bytes(g, "{", 1);
	truth(g, "locked", p->gil_locked);
	thread_number(g, "holder", s, p->gil_holder);
	number_if(g, "held_ns", p->gil_held_ns != 0, p->gil_held_ns);
	vz_grow_bytes(g, "}", 1);
}

static void process(struct vz_grow *g, const struct vz_snapshot *s)
{
	const struct vz_snap_process *p = &s->process;

	key(g, "process");
	vz_grow_bytes(g, "{", 1);
	state(g, "state", p->state);
	truth(g, "stopped", p->stopped);
	number_if(g, "tracer", p->tracer > 0, (uint64_t)p->tracer);
	truth(g, "forked", p->forked);
	number_if(g, "parent", p->parent > 0, (uint64_t)p->parent);
	number(g, "rss_bytes", p->rss_bytes);
	number(g, "swap_bytes", p->swap_bytes);
	number_if(g, "throttled_ns", p->throttle_known, p->throttled_ns);
	number_if(g, "throttled_periods", p->throttle_known, p->throttled_periods);
	number_if(g, "periods", p->throttle_known, p->periods);
	truth(g, "frozen", p->frozen);
	key(g, "memory_pressure");
	if (p->memory_pressure >= 0 && p->memory_pressure <= 100)
		vz_grow_add(g, "%.2f", p->memory_pressure);
	else
		vz_grow_add(g, "null");
	number(g, "children_zombie", p->children_zombie);
	gil(g, s);
	vz_grow_bytes(g, "}", 1);
}

static void verdict(struct vz_grow *g, const struct vz_snapshot *s)
{
	const struct vz_verdict *v = &s->verdict;

	key(g, "verdict");
	vz_grow_bytes(g, "{", 1);
	text(g, "kind", vz_verdict_name(v->kind));
	text(g, "sentence", v->sentence);
	text(g, "advice", v->advice);
	texts(g, "evidence", v->evidence, v->nevidence);
	key(g, "threads");
	vz_grow_bytes(g, "[", 1);
	for (size_t i = 0; i < v->nthreads; i++) {
		if (v->threads[i] < 0 || (size_t)v->threads[i] >= s->nthreads)
			continue;
		comma(g);
		vz_grow_add(g, "%d", (int)s->threads[v->threads[i]].tid);
	}
	vz_grow_add(g, "]}");
}

static void head(struct vz_grow *g, const struct vz_snapshot *s)
{
	time_t seconds = (time_t)(s->unix_ns / 1000000000u);
	char when[32] = "";
	struct tm utc;

	if (s->unix_ns && gmtime_r(&seconds, &utc))
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
	number(g, "schema", SCHEMA);
	text(g, "version", VZ_VERSION);
	number_if(g, "pid", s->pid > 0, (uint64_t)s->pid);
	text(g, "comm", s->comm);
	text(g, "exe", s->exe);
	text(g, "python", s->python);
	truth(g, "free_threaded", s->free_threaded);
	truth(g, "debug_build", s->debug_build);
	truth(g, "from_core", s->from_core);
	text(g, "source", s->source);
	truth(g, "no_stop", s->no_stop);
	text(g, "time", when);
	number_if(g, "unix_ns", s->unix_ns != 0, s->unix_ns);
	number(g, "took_ns", s->took_ns);
}

char *vz_snapshot_json(const struct vz_snapshot *s, size_t *len)
{
	struct vz_grow g = { 0 };

	vz_grow_bytes(&g, "{", 1);
	head(&g, s);
	verdict(&g, s);
	process(&g, s);
	key(&g, "threads");
	vz_grow_bytes(&g, "[", 1);
	for (size_t i = 0; i < s->nthreads; i++)
		thread(&g, s, &s->threads[i]);
	vz_grow_bytes(&g, "]", 1);
	number(&g, "threads_left_out", s->threads_left_out);
	key(&g, "locks");
	vz_grow_bytes(&g, "[", 1);
	for (size_t i = 0; i < s->nlocks; i++)
		lock(&g, s, &s->locks[i]);
	vz_grow_bytes(&g, "]", 1);
	key(&g, "loops");
	vz_grow_bytes(&g, "[", 1);
	for (size_t i = 0; i < s->nloops; i++)
		loop(&g, s, &s->loops[i]);
	vz_grow_bytes(&g, "]", 1);
	key(&g, "tasks");
	vz_grow_bytes(&g, "[", 1);
	for (size_t i = 0; i < s->ntasks; i++)
		task(&g, s, &s->tasks[i]);
	vz_grow_bytes(&g, "]", 1);
	number(&g, "tasks_left_out", s->tasks_left_out);
	texts(&g, "notes", s->notes, s->nnotes);
	vz_grow_add(&g, "}\n");
	return vz_grow_take(&g, len);
}
