/* SPDX-License-Identifier: MIT */
/* verdict_priv.h - shared by verdict*.c: facts that rules ask for, and words for them. */
#ifndef VZ_ATTACH_SNAPSHOT_VERDICT_PRIV_H
#define VZ_ATTACH_SNAPSHOT_VERDICT_PRIV_H

#include "attach/json.h"
#include "attach/snapshot/snapshot.h"

/* A sentence or a line of evidence being written. */
struct vz_words {
	struct vz_text text;
	char room[1024];
};
void vz_words_begin(struct vz_words *w);

/** "MainThread (4242)" */
const char *vz_say_thread(const struct vz_snapshot *s, int thread);
/** "fetch (client.py:12)": the innermost frame of the program's own code, else of any; "". */
const char *vz_say_place(const struct vz_snapshot *s, int thread);
/** The same of the frames that it stood in at every look. */
const char *vz_say_common_place(const struct vz_snapshot *s, int thread);
/** "4.2 s", "3 min", "2 h" */
const char *vz_say_time(const struct vz_snapshot *s, uint64_t ns);
/** " for 3 min", or "" if it is not known. */
const char *vz_say_since(const struct vz_snapshot *s, int thread);
/** "threading.Lock self.lock", "import lock of module 'a'" */
const char *vz_say_lock(const struct vz_snapshot *s, int lock);
/** "recvfrom, tcp 127.0.0.1:5 -> 127.0.0.1:6", "clock_nanosleep" */
const char *vz_say_wait(const struct vz_snapshot *s, int thread);
/** The native function that Python code called and that has not returned: "hold (libhold.so)"; "".
 */
const char *vz_say_native(const struct vz_snapshot *s, int thread);

/* Did not run from the first look to the last; of a core dump: was in a system call. */
bool vz_is_still(const struct vz_snapshot *s, int thread);
/* Used most of the CPU time there was between the looks. */
bool vz_is_running(const struct vz_snapshot *s, int thread);
/* ... and stood in the same frames at every look; at most SLACK inner ones came and went. */
bool vz_is_same_frames(const struct vz_snapshot *s, int thread, unsigned slack);
/* Something native is on top of its Python frames. */
bool vz_is_in_native(const struct vz_snapshot *s, int thread);
/** What it waits for: the thread it depends on, -1: none that is known. */
int vz_waits_for(const struct vz_snapshot *s, int thread);
/** The end of that chain from THREAD on; a circle ends anywhere on it. */
int vz_root_of(const struct vz_snapshot *s, int thread);
/** "waits for X, which Y holds" for one link of the chain. */
const char *vz_say_link(const struct vz_snapshot *s, int thread);

/** Set the verdict; the first thread is what it is about. */
void vz_verdict_say(struct vz_snapshot *s, enum vz_verdict_kind kind, int thread, const char *fmt,
		    ...) __attribute__((format(printf, 4, 5)));
void vz_verdict_evidence(struct vz_snapshot *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void vz_verdict_advise(struct vz_snapshot *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void vz_verdict_thread(struct vz_snapshot *s, int thread);

/* Rules: true if they spoke. */
bool vz_rule_stopped(struct vz_snapshot *s);
bool vz_rule_deadlock(struct vz_snapshot *s);
bool vz_rule_task_deadlock(struct vz_snapshot *s);
bool vz_rule_orphaned(struct vz_snapshot *s);
bool vz_rule_disk(struct vz_snapshot *s);
bool vz_rule_throttled(struct vz_snapshot *s);
bool vz_rule_swapped(struct vz_snapshot *s);
bool vz_rule_collecting(struct vz_snapshot *s);
bool vz_rule_gil(struct vz_snapshot *s);
bool vz_rule_loop(struct vz_snapshot *s);
bool vz_rule_greenlets(struct vz_snapshot *s);
bool vz_rule_busy(struct vz_snapshot *s);
bool vz_rule_waiting(struct vz_snapshot *s);
bool vz_rule_idle(struct vz_snapshot *s);

#endif /* VZ_ATTACH_SNAPSHOT_VERDICT_PRIV_H */
