/* SPDX-License-Identifier: MIT */
/*
 * kit_python.h - the payload's own sources at work inside this test, on every
 * libpython that the machine has: no injection, no agent, one process for each.
 */
#ifndef VZ_TESTS_KIT_PYTHON_H
#define VZ_TESTS_KIT_PYTHON_H

#include "attach/drain.h"
#include "payload/wire.h"

struct kit_hooked {
	unsigned minor;
	enum vz_hook hook;
	int (*run)(const char *program); /* PyRun_SimpleString: 0 if it did not raise */
	void *(*save_thread)(void);      /* PyEval_SaveThread */
	void (*restore_thread)(void *state);
	struct vz_arena arena;
	int fd;
	struct vz_tracefile *tf;
	struct vz_clock_pair first;
	struct vz_clock_map clock;
	struct vz_drain *drain;
	struct vz_drain_totals totals;
};

/**
 * Run TEST in a child for each libpython 3.MIN - 3.MAX, with the interpreter started.
 * Returns how many there were; what went wrong first is in WRONG, "" if nothing.
 */
unsigned kit_python_each(unsigned min, unsigned max, void (*test)(struct kit_hooked *k),
			 char *wrong, size_t size);

/** In the child: an arena of BYTES, and the hooks; returns what install() said. */
uint32_t kit_python_hook(struct kit_hooked *k, uint64_t bytes);
/** Take the hooks out; how many had to stay. */
unsigned kit_python_unhook(struct kit_hooked *k);
/** Read what is there. */
void kit_python_poll(struct kit_hooked *k);
/** The end: what is in the trace, of the timeline NAME or of all; free() it. */
char *kit_python_story(struct kit_hooked *k, const char *name);
/** vz_boot as attach would fill it. */
void kit_python_boot(struct kit_hooked *k, uint64_t bytes);

/** In the child: end it, saying why. */
__attribute__((noreturn, format(printf, 3, 4))) void kit_python_wrong(const char *file, int line,
								      const char *fmt, ...);
#define KIT_CHECK(condition, ...)                                                          \
	do {                                                                               \
		if (!(condition))                                                          \
			kit_python_wrong(__FILE__, __LINE__, #condition ". " __VA_ARGS__); \
	} while (0)

#endif /* VZ_TESTS_KIT_PYTHON_H */
