/* SPDX-License-Identifier: MIT */
/*
 * pyver.h - THE table of CPython versions: which hook, which symbols must be
 * there, where things are in its structures.  To add a version, add a row in
 * pyver.c; tests/test_pyver.c checks each row against the headers it finds.
 */
#ifndef VZ_ATTACH_PYVER_H
#define VZ_ATTACH_PYVER_H

#include "attach/elfsym.h"
#include "payload/wire.h"

struct vz_pyver {
	uint8_t minor; /* 3.minor */
	enum vz_hook hook;
	enum vz_adopt adopt;
	struct vz_py_offsets off;
	/* only for the look from outside (residue_python.c) */
	uint32_t ts_bytes, is_bytes; /* sizes of PyThreadState, PyInterpreterState */
	uint32_t is_tool_names;      /* 3.12+: monitoring_tool_names */
	uint32_t is_monitors;        /* 3.12+: monitors, a byte of tools for each event */
};

/** The row for 3.MINOR, or NULL. */
const struct vz_pyver *vz_pyver_find(unsigned minor);
/** Row by index from 0; NULL behind the last. */
const struct vz_pyver *vz_pyver_row(unsigned index);
/** "3.8-3.13", for messages. */
const char *vz_pyver_supported(void);

/* What was found in one process. */
struct vz_python {
	const struct vz_pyver *ver;
	unsigned major, minor, micro;
	char version[64];  /* first word of Py_GetVersion's text if known, else "3.x" */
	bool static_build; /* CPython is in the main program, not in a libpython */
	bool debug_build;
	bool free_threaded;
	char path[4096]; /* of the object that holds CPython, in the target's mount namespace */
	uint64_t py[VZ_NPYSYMS];
	uint64_t libc[VZ_NLIBCSYMS];
	uint64_t exit_gadget;          /* see vz_boot.exit_gadget; 0 if not found */
	uint64_t restore_rt;           /* "mov $15,%rax; syscall" in libc; 0 if not found */
	uint64_t syscall_insn;         /* "syscall; ret" in libc or the vdso; 0 if not found */
	uint64_t libc_start, libc_end; /* executable part of libc */
	uint64_t ld_start, ld_end;     /* executable part of ld.so */
	/* Executable part of libpthread, a library of its own before glibc 2.34; else 0, 0. */
	uint64_t pthread_start, pthread_end;
};

/**
 * Find CPython and libc in the target.  Exit 5 with the reason (PyPy, Python 2,
 * too old, too new, no symbols, 32-bit, musl, static without a C library that
 * can be called, free-threaded) on failure; nothing is stopped.
 * Version: Py_Version (3.11+), else the text behind Py_GetVersion's data, the
 * library name, or the executable; "unknown" is a refusal, never a guess.
 */
int vz_python_find(const struct vz_target *target, const struct vz_maps *maps,
		   const struct vz_objects *objects, struct vz_python *ret, struct vz_err *err);

/**
 * The same for one who only looks: any CPython that the layout table knows (pylayout.h), also
 * new and free-threaded ones, of a process or of a core dump (no pid).  Sets the version, the
 * build, the path, and of .py what is exported, _PyRuntime always; .ver is NULL where
 * recordings are refused; nothing of libc.  Exit 5 (no such CPython), 7 (not started yet).
 */
int vz_python_look(const struct vz_target *target, const struct vz_objects *objects,
		   struct vz_python *ret, struct vz_err *err);

#endif /* VZ_ATTACH_PYVER_H */
