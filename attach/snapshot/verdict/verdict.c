/* SPDX-License-Identifier: MIT */
/*
 * verdict.c - the rules in the order in which they are asked, and what is said if none of
 * them speaks.  A rule states what was seen; where that is not enough it keeps quiet.
 */
#include <stdarg.h>
#include <stdio.h>

#include "attach/snapshot/rooms.h"
#include "attach/snapshot/verdict/verdict_priv.h"

enum {
	EVIDENCE_MAX = sizeof(((struct vz_verdict *)0)->evidence) / sizeof(const char *),
	THREADS_MAX = sizeof(((struct vz_verdict *)0)->threads) / sizeof(int),
};

__attribute__((format(printf, 2, 0))) static const char *format(struct vz_snapshot *s,
								const char *fmt, va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, args);
	return vz_arena_text(s->arena, text);
}

void vz_verdict_thread(struct vz_snapshot *s, int thread)
{
	struct vz_verdict *v = &s->verdict;

	for (size_t i = 0; i < v->nthreads; i++) {
		if (v->threads[i] == thread)
			return;
	}
	if (thread >= 0 && v->nthreads < THREADS_MAX)
		v->threads[v->nthreads++] = thread;
}

void vz_verdict_say(struct vz_snapshot *s, enum vz_verdict_kind kind, int thread, const char *fmt,
		    ...)
{
	va_list args;

	va_start(args, fmt);
	s->verdict.sentence = format(s, fmt, args);
	va_end(args);
	s->verdict.kind = kind;
	vz_verdict_thread(s, thread);
}

void vz_verdict_evidence(struct vz_snapshot *s, const char *fmt, ...)
{
	va_list args;

	if (s->verdict.nevidence == EVIDENCE_MAX)
		return;
	va_start(args, fmt);
	s->verdict.evidence[s->verdict.nevidence++] = format(s, fmt, args);
	va_end(args);
}

void vz_verdict_advise(struct vz_snapshot *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	s->verdict.advice = format(s, fmt, args);
	va_end(args);
}

/* What each kind of thread does, where no rule can tell what that means. */
static void say_unknown(struct vz_snapshot *s)
{
	unsigned moving = 0, waiting = 0, shown = 0;

	for (size_t i = 0; i < s->nthreads; i++) {
		if (!s->threads[i].tstate)
			continue;
		if (vz_is_still(s, (int)i))
			waiting++;
		else
			moving++;
	}
	vz_verdict_say(s, VZ_VERDICT_UNKNOWN, s->nthreads ? 0 : -1,
		       "unknown: of the threads that run Python %u moved between the looks and %u "
		       "did not; nothing seen explains a hang",
		       moving, waiting);
	for (size_t i = 0; i < s->nthreads && shown < 6; i++) {
		if (!s->threads[i].tstate || s->threads[i].idle)
			continue;
		vz_verdict_evidence(s, "%s: %s%s at %s", vz_say_thread(s, (int)i),
				    vz_say_wait(s, (int)i), vz_say_since(s, (int)i),
				    vz_say_place(s, (int)i));
		shown++;
	}
	vz_verdict_advise(s,
			  "look again with --watch 5s; record what it does with vizattach "
			  "--pid %d --duration 5s",
			  (int)s->pid);
}

void vz_verdict_find(struct vz_snapshot *s)
{
	/* What explains most comes first: a stopped process has deadlocks and busy loops, too. */
	static bool (*const rules[])(struct vz_snapshot *) = {
		vz_rule_stopped,   vz_rule_deadlock, vz_rule_orphaned,      vz_rule_collecting,
		vz_rule_gil,       vz_rule_loop,     vz_rule_greenlets,     vz_rule_disk,
		vz_rule_throttled, vz_rule_swapped,  vz_rule_task_deadlock, vz_rule_waiting,
		vz_rule_busy,      vz_rule_idle,
	};

	s->verdict = (struct vz_verdict){ .sentence = "", .advice = "" };
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (rules[i](s))
			return;
	}
	say_unknown(s);
}
