/* SPDX-License-Identifier: MIT */
/* show_priv.h - what the printers of a snapshot share.  Texts of the target are made harmless
 * wherever they are put on a page. */
#ifndef VZ_ATTACH_SNAPSHOT_SHOW_PRIV_H
#define VZ_ATTACH_SNAPSHOT_SHOW_PRIV_H

#include "attach/snapshot/show/page.h"
#include "attach/snapshot/show/show.h"

enum {
	VZ_NAME_COLUMNS = 48,    /* of a thread, task or lock */
	VZ_OBJECT_COLUMNS = 100, /* what is waited for */
};

/* ---- show_words.c ---- */

/** "850 us", "12 ms", "4.2 s", "42 s", "4 min", "3.5 h", "2 d" */
void vz_words_time(struct vz_grow *g, uint64_t ns);
/** "worker-a", or the kernel's name, or "thread 4245". */
void vz_words_name(struct vz_grow *g, const struct vz_snap_thread *t);
/** "worker-a (4245)" */
void vz_words_who(struct vz_grow *g, const struct vz_snapshot *s, int thread);
/** "lock_b (threading.Lock)" */
void vz_words_lock(struct vz_grow *g, const struct vz_snapshot *s, int lock);
/** "4 min", "2 s to 4 min" if they differ much; nothing for 0. */
void vz_words_since(struct vz_grow *g, uint64_t least, uint64_t most);
/** What the thread does: "asleep 4 min in recvfrom, tcp ...".  SINCE: how long it sleeps; NULL:
 * without any times, to be compared. */
void vz_words_state(struct vz_grow *g, const struct vz_snapshot *s, const struct vz_snap_thread *t,
		    const char *since);
/** "held by worker-a (4245), inferred (why)" */
void vz_words_owner(struct vz_grow *g, const struct vz_snapshot *s, const struct vz_snap_lock *l);
/** ", worker: awaits Queue.get" */
void vz_words_awaits(struct vz_grow *g, const struct vz_snap_task *t);
/** "Task-3, worker: awaits Queue.get" */
void vz_words_task(struct vz_grow *g, const struct vz_snap_task *t);
/** Is it waiting where threads wait for work, or has it nothing to do with Python? */
bool vz_words_quiet(const struct vz_snap_thread *t);

/* ---- show_frames.c ---- */

bool vz_frame_same(const struct vz_snap_frame *a, const struct vz_snap_frame *b);
/** Is it C code of CPython's own? */
bool vz_frame_of_interpreter(const struct vz_snap_frame *f);
/** Frames from the innermost, INDENT columns from the left, locals below them. */
void vz_show_frames(struct vz_page *page, const struct vz_show *show, size_t indent,
		    const struct vz_snap_frame *frames, size_t count);
/** " (in libgrpc.so)": whose native code it is that runs no Python; "" if that tells nothing. */
void vz_show_library(struct vz_grow *g, const struct vz_snap_thread *t);

/* ---- show_symbol.c ---- */

/** A symbol without what C++ and Rust put around its name, at most COLUMNS. */
void vz_show_symbol(struct vz_grow *g, const char *symbol, size_t columns);

/* ---- show_groups.c ---- */

struct vz_group {
	int first;    /* its place in the list that was given */
	size_t start; /* in .members */
	size_t count; /* of threads that do the same */
};
struct vz_groups {
	struct vz_group *groups; /* in the order of their first threads */
	size_t count;
	int *members; /* indexes of threads, group by group */
};

/** Put the COUNT threads that INDEXES names into groups of equals (each alone with SHOW->all);
 * their stacks need not be equal where STACKS is false.  -ENOMEM. */
int vz_groups_find(const struct vz_snapshot *s, const struct vz_show *show, const int *indexes,
		   size_t count, bool stacks, struct vz_groups *ret);
void vz_groups_free(struct vz_groups *groups);
/** Names and numbers of a group: "worker-a (4245)", "12 threads, pool-0_0 ... pool-0_11 (...)" */
void vz_groups_names(struct vz_grow *g, const struct vz_snapshot *s, const int *members,
		     size_t count);
void vz_show_group(struct vz_page *page, const struct vz_snapshot *s, const struct vz_show *show,
		   const int *members, size_t count, bool stack);

/* ---- show_text.c ---- */

void vz_show_verdict(struct vz_page *page, const struct vz_snapshot *s);

/* ---- show_tasks.c ---- */

void vz_show_tasks(struct vz_page *page, const struct vz_snapshot *s, const struct vz_show *show);

#endif /* VZ_ATTACH_SNAPSHOT_SHOW_PRIV_H */
