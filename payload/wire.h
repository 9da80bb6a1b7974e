/* SPDX-License-Identifier: MIT */
/*
 * wire.h - the contract between vizattach, the injected payload and the viewer.
 *
 * This is the only file that attach/, payload/ and viewer/ share.  It holds
 * layouts and constants, no functions, and includes no project header.
 *
 * Rules for every struct below
 *   - fixed-width types only; no pointer, size_t, long, enum or bool fields;
 *   - little-endian, naturally aligned, no implicit padding;
 *   - each size is pinned by a _Static_assert: if one fires, you changed the
 *     format, so bump VZ_WIRE_VERSION (arena) or VZ_FILE_VERSION (file).
 *
 * Part 1: the arena, shared memory between the payload and vizattach.
 * Part 2: the boot block, written once by vizattach into the payload image.
 * Part 3: the trace file.
 */
#ifndef VZ_PAYLOAD_WIRE_H
#define VZ_PAYLOAD_WIRE_H

#include <stdint.h>

#define VZ_WIRE_MAGIC   UINT32_C(0x57525a56) /* "VZRW" in memory */
#define VZ_WIRE_VERSION 1

/* ---- Part 1: the arena ------------------------------------------------- */

/*
 *   offset 0         struct vz_control, one page
 *   slots_offset     struct vz_slot[nslots], one for each traced thread; slot 0 is the dictionary
 *   returns_offset   uint32_t[nreturns], queue of chunks that the drain gives back
 *   chunks_offset    struct vz_chunk[nchunks]
 *
 * All memory for events comes from one pool of chunks.  A thread owns the
 * chunk that it fills; when it is full the thread takes another one from the
 * pool, stores its index in .next of the old one, and goes on.  The drain
 * follows that chain and gives drained chunks back through the returns queue.
 * All producers hold the GIL, so the pool has one taker at a time.
 * An empty pool means: drop the record and count it in vz_slot.lost.
 */
enum {
	VZ_CHUNK_BYTES = 16384,
	VZ_CHUNK_WORDS = (VZ_CHUNK_BYTES - 64) / 8,
	VZ_MAX_SLOTS = 4096,
	VZ_DICT_SLOT = 0,
};

struct vz_chunk {
	uint64_t head; /* words published; payload stores with release */
	uint32_t next; /* index + 1 of the chunk that follows, 0: none yet; release */
	uint32_t slot;
	uint64_t seq; /* counts chunks of this slot from 0 */
	uint64_t pad[5];
	uint64_t words[VZ_CHUNK_WORDS];
};
_Static_assert(sizeof(struct vz_chunk) == VZ_CHUNK_BYTES, "wire format changed");

/*
 * A slot is one traced thread, from its first event to its last.
 *
 *   FREE --payload--> OPEN --payload--> CLOSED --drain--> FREE
 */
enum vz_slot_state {
	VZ_SLOT_FREE = 0,
	VZ_SLOT_OPEN = 1,
	VZ_SLOT_CLOSED = 2,
};

enum vz_slot_flags {
	VZ_SLOT_AT_ATTACH = 1,    /* the thread was there before us */
	VZ_SLOT_ADOPTED_LATE = 2, /* it may have run Python before we saw it */
};

struct vz_slot {
	uint32_t state;       /* enum vz_slot_state */
	uint32_t tid;         /* kernel thread id in the target's pid namespace, 0: unknown */
	uint32_t first_chunk; /* index + 1, 0: none */
	uint32_t flags;       /* enum vz_slot_flags */
	uint64_t lost;        /* records dropped so far; payload writes, relaxed */
	uint64_t generation;  /* how often this slot was opened */
	uint64_t start_ticks;
	uint64_t interp; /* number of the interpreter that it was first seen in */
	uint64_t pad[2];
};
_Static_assert(sizeof(struct vz_slot) == 64, "wire format changed");

/*
 * Life of the agent.  Only the named side makes the transition.
 *
 *   LOADING --agent--> READY --attach (maps the arena, command GO)--> agent: WAIT_GIL
 *   WAIT_GIL --agent--> RUNNING --attach (command STOP), or lease over, or tool dead--> agent:
 *   LEAVING --agent--> GONE (hooks out, nothing of ours is called any more)
 *   any --agent--> FAILED (control.error says why; it leaves by itself)
 */
enum vz_state {
	VZ_STATE_LOADING = 0,
	VZ_STATE_READY = 1,
	VZ_STATE_WAIT_GIL = 2,
	VZ_STATE_RUNNING = 3,
	VZ_STATE_LEAVING = 4,
	VZ_STATE_GONE = 5,
	VZ_STATE_FAILED = 6,
};

enum vz_command {
	VZ_COMMAND_NONE = 0,
	VZ_COMMAND_GO = 1,
	VZ_COMMAND_STOP = 2,
};

/* Why the agent failed or left, in vz_control.error. */
enum vz_agent_error {
	VZ_AGENT_OK = 0,
	VZ_AGENT_NO_MEMORY = 1,    /* ftruncate or mmap refused */
	VZ_AGENT_NO_THREAD = 2,    /* pthread_create refused */
	VZ_AGENT_FINALIZING = 3,   /* the interpreter is shutting down */
	VZ_AGENT_PROFILER = 4,     /* another profile function is installed */
	VZ_AGENT_NO_TOOL_ID = 5,   /* every sys.monitoring tool id is taken */
	VZ_AGENT_LAYOUT = 6,       /* structures are not where the table says */
	VZ_AGENT_PYTHON_ERROR = 7, /* a CPython call failed; error_text says which */
	VZ_AGENT_TOOL_DEAD = 8,    /* the tool died; left by itself */
	VZ_AGENT_LEASE = 9,        /* the tool was silent for too long; left by itself */
	VZ_AGENT_EVAL_FRAME = 10,  /* another frame evaluator is installed */
	VZ_AGENT_CANCELLED = 11,   /* told to stop before it got the GIL */
	VZ_AGENT_NO_MEMFD = 12,    /* memfd_create refused; create_result says why */
	VZ_AGENT_NO_REAPER = 13,   /* no thread, or no way, to unmap everything: the tool must */
	VZ_AGENT_VETO = 14,        /* an audit hook of the program forbids it */
};

struct vz_control {
	uint32_t magic;
	uint16_t version;
	uint16_t size;
	uint32_t state;     /* enum vz_state; agent writes */
	uint32_t command;   /* enum vz_command; attach writes; also a futex word */
	uint32_t tool_lock; /* attach's thread id; the kernel sets bit 30 when that thread dies */
	uint32_t lease;     /* attach counts up at least once a second */
	uint32_t error;     /* enum vz_agent_error */
	uint32_t agent_tid;
	uint32_t returns_head; /* attach: entries written, free running */
	uint32_t returns_tail; /* payload: entries taken, free running */
	uint32_t nslots_used;  /* payload: slots ever opened, dictionary included */
	uint32_t threads_at_attach;
	uint32_t threads_adopted; /* during the window */
	uint32_t threads_late;    /* ... of these, seen only after they had run */
	uint32_t threads_refused; /* no slot was free */
	uint32_t threads_missed;  /* came and went before they were found */
	uint32_t pad0;
	uint32_t interps_hooked;
	uint32_t interps_skipped; /* own GIL: not recorded */
	uint32_t tool_id;         /* sys.monitoring id in use, or ~0 */
	uint32_t functions;       /* ids given out */
	uint32_t functions_lost;  /* definitions that did not fit */
	uint64_t gil_wait_ns;
	uint64_t install_ns;   /* GIL held to walk stacks and install */
	uint64_t remove_ns;    /* GIL held to take the hooks out */
	uint64_t open_frames;  /* found on stacks at the attach */
	uint64_t lost_no_slot; /* records of threads that had no slot */
	uint64_t left_hooks;   /* hooks of ours that could not be taken out */
	char error_text[120];
};
_Static_assert(sizeof(struct vz_control) == 256, "wire format changed");

/*
 * Events, one 64-bit word each:
 *
 *   63               24 23         4 3    0
 *   [ ticks, low 40 bit | id, 20 bit | kind ]
 *
 * ticks: time-stamp counter or ns (vz_boot.clock).  The drain sees each word
 * within a fraction of the 2^40 ticks after which they wrap.
 * id: of the function, as defined by a vz_def in the dictionary before the
 * event was published.  0: unknown (table full; counted).
 */
enum {
	VZ_EV_KIND_BITS = 4,
	VZ_EV_ID_BITS = 20,
	VZ_EV_TICK_SHIFT = 24,
	VZ_EV_TICK_BITS = 40,
	VZ_MAX_FUNCTIONS = 1 << 20,
};

enum vz_ev_kind {
	VZ_EV_NONE = 0,     /* never written: a reader that finds it stops trusting the chunk */
	VZ_EV_CALL = 1,     /* a Python function was entered */
	VZ_EV_RESUME = 2,   /* a generator or coroutine was entered again */
	VZ_EV_THROW = 3,    /* ... by an exception thrown into it */
	VZ_EV_RETURN = 4,   /* left by return */
	VZ_EV_YIELD = 5,    /* left by yield or await */
	VZ_EV_UNWIND = 6,   /* left by an exception */
	VZ_EV_C_CALL = 7,   /* a C function was entered */
	VZ_EV_C_RETURN = 8, /* left */
	VZ_EV_C_RAISE = 9,  /* left by an exception */
	VZ_EV_OPEN = 10,    /* one frame of a stack snapshot, see VZ_EV_STACK */
	VZ_EV_STACK =
		11, /* id: why (enum vz_stack_why); a word with the depth, then as many OPEN */
	VZ_EV_SWITCH =
		12,      /* id: enum vz_switch; a word with the key of a Python stack (greenlet) */
	VZ_EV_LOST = 13, /* a word with the number of records dropped since the last record */
};

enum vz_switch {
	VZ_SWITCH_TO = 0,   /* the stack that runs from now on */
	VZ_SWITCH_FROM = 1, /* the stack of all events so far; once, before the first TO */
};

enum vz_stack_why {
	VZ_STACK_AT_ATTACH = 1,
	VZ_STACK_AFTER_LOSS = 2,
	VZ_STACK_FIRST_SEEN = 3, /* a greenlet's, at the first switch to it */
};

/*
 * Dictionary records, in the chunks of slot 0: this header, then the strings,
 * UTF-8 without NUL, then padding to 8 bytes.  A record never crosses chunks.
 */
enum vz_def_kind {
	VZ_DEF_PYTHON = 1, /* name: qualified name (3.11+) or name; file; line */
	VZ_DEF_C = 2,      /* name: method or function; file: type or module */
	VZ_DEF_THREAD = 3, /* id: slot; line: low 32 bits of generation; name: the thread's name */
};

struct vz_def {
	uint32_t id;
	uint16_t words; /* whole record, in 8-byte words */
	uint8_t kind;   /* enum vz_def_kind */
	uint8_t flags;  /* 1: a string was cut */
	uint32_t line;
	uint16_t name_len;
	uint16_t file_len;
};
_Static_assert(sizeof(struct vz_def) == 16, "wire format changed");

enum {
	VZ_DEF_NAME_MAX = 1024,
	VZ_DEF_FILE_MAX = 4096,
};

/* ---- Part 2: the boot block -------------------------------------------- */

/*
 * Every CPython function and object that the payload may use.  attach finds
 * each in the target's own image (attach/pyver.c says which version needs
 * which) and writes the address; 0 means absent.
 */
/* clang-format off */
#define VZ_PY_SYMBOLS(X) \
	X(PyGILState_Ensure) X(PyGILState_Release) X(Py_IsInitialized) \
	X(PyInterpreterState_Head) X(PyInterpreterState_Next) X(PyInterpreterState_ThreadHead) \
	X(PyThreadState_Next) X(PyThreadState_New) X(PyThreadState_Clear) X(PyThreadState_Delete) \
	X(PyThreadState_Swap) X(PyThreadState_GetDict) X(_PyThreadState_UncheckedGet) \
	X(PyThreadState_GetUnchecked) X(PyThreadState_Get) \
	X(PyErr_Fetch) X(PyErr_Restore) X(PyErr_Occurred) X(PyErr_Clear) \
	X(PyUnicode_GetLength) X(PyUnicode_ReadChar) X(PyUnicode_InternFromString) \
	X(PySys_GetObject) X(PyObject_GetAttrString) X(PyObject_GenericGetAttr) \
	X(PyObject_CallObject) X(PyTuple_New) X(PyTuple_SetItem) \
	X(PyLong_FromLong) X(PyLong_AsLong) X(PyLong_FromVoidPtr) X(PyLong_FromUnsignedLong) \
	X(PyDict_GetItemWithError) X(PyDict_SetItemString) X(PyDict_DelItemString) \
	X(PyDict_GetItemString) X(_PyType_Lookup) X(Py_AddPendingCall) \
	X(_PyEval_SetProfile) X(_PyEval_EvalFrameDefault) \
	X(_PyInterpreterState_GetEvalFrameFunc) X(_PyInterpreterState_SetEvalFrameFunc) \
	X(_Py_IsFinalizing) X(Py_IsFinalizing) X(_Py_Dealloc) \
	X(PyCode_Type) X(PyCFunction_Type) X(PyCMethod_Type) X(PyMethodDescr_Type) \
	X(PyFunction_Type) X(PyMethod_Type) X(PyModule_Type) X(PyType_Type) X(PyUnicode_Type) \
	X(_Py_NoneStruct) X(_PyRuntime) \
	X(PyList_Type) X(PyList_Size) X(PyList_GetItem) X(PyList_SetSlice) X(PyDict_New) X(PyObject_Call) \
	X(PyCapsule_New) X(PyCapsule_GetPointer) X(PyCapsule_SetDestructor) X(PyCFunction_NewEx) \
	X(PyDict_DelItem) X(PyDict_Type)
/* clang-format on */

enum vz_py_symbol {
#define VZ_PY_ENUM(name) VZ_SYM_##name,
	VZ_PY_SYMBOLS(VZ_PY_ENUM)
#undef VZ_PY_ENUM
		VZ_NPYSYMS
};

#define VZ_LIBC_SYMBOLS(X)             \
	X(pthread_create)              \
	X(pthread_attr_init)           \
	X(pthread_attr_setstack)       \
	X(pthread_attr_setdetachstate) \
	X(pthread_attr_destroy)        \
	X(munmap)                      \
	X(clock_gettime)

enum vz_libc_symbol {
#define VZ_LIBC_ENUM(name) VZ_LIBC_##name,
	VZ_LIBC_SYMBOLS(VZ_LIBC_ENUM)
#undef VZ_LIBC_ENUM
		VZ_NLIBCSYMS
};

/*
 * Where things are in CPython's structures, in bytes; VZ_NO_OFFSET if this
 * version does not have it.  ts: PyThreadState, is: PyInterpreterState,
 * fr: PyFrameObject, if: _PyInterpreterFrame, co: PyCodeObject, rt: _PyRuntime.
 */
#define VZ_NO_OFFSET UINT32_MAX
/* clang-format off */
#define VZ_PY_OFFSETS(X) \
	X(ts_interp) X(ts_id) X(ts_thread_id) X(ts_native_thread_id) X(ts_dict) \
	X(ts_frame)           /* 3.8-3.10: PyFrameObject *frame */ \
	X(ts_cframe)          /* 3.10-3.12 */ \
	X(ts_current_frame)   /* 3.13 */ \
	X(cf_current_frame)   /* 3.11-3.12: in the _PyCFrame */ \
	X(ts_use_tracing)     /* 3.8-3.9 */ \
	X(ts_c_profilefunc) X(ts_c_profileobj) X(ts_c_tracefunc) \
	X(ts_datastack_chunk) /* 3.11+ */ \
	X(dc_previous)        /* _PyStackChunk.previous, 3.11+ */ \
	X(fr_back) X(fr_code) /* 3.8-3.10 */ \
	X(fr_frame)           /* 3.11+: _PyInterpreterFrame *f_frame */ \
	X(if_code)            /* 3.11-3.12 f_code, 3.13 f_executable */ \
	X(if_previous) X(if_owner) \
	X(co_name) X(co_filename) X(co_qualname) X(co_firstlineno) X(co_flags) \
	X(is_eval_frame) X(is_next_unique_id) X(is_id) \
	X(is_gil)             /* 3.12+: pointer to struct _gil_runtime_state */ \
	X(is_finalizing)      /* 3.12+: PyThreadState *_finalizing */ \
	X(rt_interpreters_next_id) X(rt_finalizing) \
	X(rt_gil)             /* 3.8-3.11: struct _gil_runtime_state inside _PyRuntime */ \
	X(gil_last_holder) X(gil_locked) X(gil_switch_number) \
	X(rt_interpreters_main) X(rt_main_thread) \
	X(rt_interpreters_head) X(is_next) X(is_threads_head) X(ts_next) \
	X(ts_tracing)         /* 3.8-3.11 */ \
	X(cf_use_tracing)     /* 3.10-3.11, in the _PyCFrame */ \
	X(is_before_forkers) X(is_after_forkers_parent) /* 3.12+ */
/* clang-format on */

struct vz_py_offsets {
#define VZ_PY_FIELD(name) uint32_t name;
	VZ_PY_OFFSETS(VZ_PY_FIELD)
#undef VZ_PY_FIELD
};

/* How the payload hooks calls; chosen by attach/pyver.c. */
enum vz_hook {
	VZ_HOOK_PROFILE = 1,    /* C profile function in each thread state */
	VZ_HOOK_MONITORING = 2, /* sys.monitoring */
};

enum vz_clock {
	VZ_CLOCK_TSC = 0,
	VZ_CLOCK_MONOTONIC_NS = 1,
};

/* How new threads are found where the hook does not reach them by itself. */
enum vz_adopt {
	VZ_ADOPT_AUTOMATIC = 0, /* the hook is per interpreter (3.12+) */
	VZ_ADOPT_EVAL_FRAME =
		1, /* a frame evaluator that adopts and jumps to the default one (3.8-3.11) */
};

/*
 * Written by attach into the image before it runs, at the payload symbol
 * vz_boot.  The part from .status on is written by the agent and read by
 * attach until the arena is mapped.
 */
struct vz_boot {
	uint32_t magic;
	uint16_t version;
	uint16_t size;
	uint64_t nonce;
	uint64_t image_base;  /* where the payload image starts in the target */
	uint64_t image_bytes; /* all of it, stack included */
	uint64_t writable_base;
	uint64_t writable_bytes;
	uint64_t stack_base; /* agent stack, above its guard page */
	uint64_t stack_bytes;
	uint64_t guard_base;  /* page to make inaccessible below the stack, 0: none */
	uint64_t exit_gadget; /* "syscall; jmp -> exit(0)" in the target's libc with edx = SYS_exit,
				 0: none */
	uint64_t py[VZ_NPYSYMS];
	uint64_t libc[VZ_NLIBCSYMS];
	struct vz_py_offsets off;
	uint32_t py_minor; /* 3.minor */
	uint32_t hook;     /* enum vz_hook */
	uint32_t adopt;    /* enum vz_adopt */
	uint32_t clock;    /* enum vz_clock */
	uint32_t c_calls;  /* record C functions */
	uint32_t nslots;
	uint32_t nchunks;
	uint32_t nreturns; /* power of two, more than nchunks */
	uint64_t slots_offset;
	uint64_t returns_offset;
	uint64_t chunks_offset;
	uint64_t arena_bytes;
	uint64_t gil_timeout_ns; /* give up waiting for the GIL: leave as soon as it is ours */
	uint64_t lease_ns;       /* leave when .lease has not moved for so long */
	uint64_t heartbeat_ns;   /* before command GO: when .heartbeat has not; 0: never */
	uint64_t heartbeat;      /* attach counts up until it gives the command */
	/* written by the payload */
	uint32_t status;  /* enum vz_state, LOADING until the arena is there */
	uint32_t error;   /* enum vz_agent_error */
	int32_t arena_fd; /* in the target, open until command GO; -1 */
	uint32_t agent_tid;
	uint32_t home_tid;   /* the borrowed thread */
	uint32_t home_done;  /* 1: it is on its last instructions home */
	uint64_t home_ticks; /* time-stamp counter at that moment */
	uint64_t entry_ticks;
	int64_t create_result; /* what pthread_create returned, or memfd_create's error */
	uint64_t arena_raddr;
	uint64_t private_raddr; /* per-thread state of the payload, wiped on fork */
	uint64_t private_bytes;
};

/* ---- Part 3: the trace file --------------------------------------------- */

/*
 *   struct vz_file_header
 *   blocks: struct vz_block, payload, zeros up to a multiple of 8
 *   struct vz_file_footer                        only in a file that was finished
 *
 * Blocks are appended and never rewritten, so a file that was cut is good up
 * to its last whole block: without a footer the reader walks the blocks, and
 * where one is damaged it searches for the next VZ_BLOCK_MAGIC at a multiple
 * of 8.  vz_block.seq counts all blocks from 0: a hole is a missing block.
 *
 * Times are nanoseconds of one monotonic clock.  "varint" is LEB128, at most
 * ten bytes, low groups first.
 */
#define VZ_FILE_MAGIC   UINT64_C(0x0a1a0a0d5a495689) /* "\x89VIZ\r\n\x1a\n": text mode breaks it */
#define VZ_FOOTER_MAGIC UINT64_C(0x0a444e455a495689) /* "\x89VIZEND\n" */
#define VZ_BLOCK_MAGIC  UINT32_C(0x4b425a56)         /* "VZBK" */
#define VZ_FILE_VERSION 1

struct vz_file_header {
	uint64_t magic;
	uint16_t version;
	uint16_t size;
	uint32_t pid;
	uint64_t start_mono_ns;
	uint64_t start_unix_ns; /* wall clock at start_mono_ns */
	uint64_t pad[3];
	uint32_t flags;
	uint32_t crc; /* crc32 of all bytes before */
};
_Static_assert(sizeof(struct vz_file_header) == 64, "file format changed");

enum vz_block_type {
	VZ_BLOCK_META = 1,      /* key NUL value NUL, repeated */
	VZ_BLOCK_FUNCTIONS = 2, /* struct vz_file_function with its strings, repeated */
	VZ_BLOCK_TRACKS = 3,    /* struct vz_file_track with its name, repeated */
	VZ_BLOCK_EVENTS = 4,    /* see below */
	VZ_BLOCK_END = 5,       /* struct vz_file_end, then counters: key=value LF, repeated */
	VZ_BLOCK_INDEX = 6,     /* struct vz_file_index, then struct vz_index_entry[count] */
	VZ_BLOCK_ARGS = 7,      /* varint number of the entry in its track (since the one before),
				 * varint bytes, JSON object; t0_ns, t1_ns: first and last number */
	VZ_BLOCK_SAMPLES = 8,   /* of a counter: count varints ns (since before, first: t0_ns), then
				 * count doubles */
	VZ_BLOCK_SOURCE = 9,    /* varint bytes, name of a file; varint bytes, its text; repeated */
};

enum vz_block_codec {
	VZ_CODEC_NONE = 0,
	VZ_CODEC_ZSTD = 1,
};

enum {
	VZ_BLOCK_ALIGN = 8,
	VZ_BLOCK_MAX_BYTES = 1 << 26, /* stored or raw; a longer one is damage */
	VZ_BLOCK_MAX_CALLS = 1 << 16,
	VZ_INDEX_MAX_ENTRIES = 1 << 12,
};

struct vz_block {
	uint32_t magic;
	uint8_t type;  /* enum vz_block_type; readers skip types that they do not know */
	uint8_t codec; /* enum vz_block_codec */
	uint16_t pad;
	uint32_t stored_bytes; /* payload in the file, without the zeros behind it */
	uint32_t raw_bytes;    /* payload when decoded */
	uint32_t track;        /* EVENTS: which */
	uint32_t count;        /* EVENTS: entries; else: records */
	uint64_t t0_ns;        /* EVENTS: first event.  END: start */
	uint64_t t1_ns;        /* EVENTS: last event.  END: end */
	uint32_t seq;
	uint32_t crc; /* crc32 of the header before this field, then of the stored payload */
};
_Static_assert(sizeof(struct vz_block) == 48, "file format changed");

struct vz_file_function {
	uint32_t id;
	uint32_t line;
	uint16_t name_len;
	uint16_t file_len;
	uint8_t kind; /* VZ_DEF_PYTHON or VZ_DEF_C */
	uint8_t pad[3];
	/* name, file: UTF-8 without NUL */
};
_Static_assert(sizeof(struct vz_file_function) == 16, "file format changed");

enum vz_track_record {
	VZ_TRACK_BEGIN = 1,
	VZ_TRACK_NAME = 2, /* the last one counts */
	VZ_TRACK_END = 3,
	VZ_TRACK_PROCESS = 4, /* .tid and name of the process of a track, if not the header's */
};

/* In vz_file_track.flags, beside enum vz_slot_flags.  None: calls of a thread or greenlet. */
enum vz_track_flags {
	VZ_TRACK_ASYNC = 1 << 8,    /* what a task did, wherever it ran */
	VZ_TRACK_INSTANTS = 1 << 9, /* points in time: calls that take none */
	VZ_TRACK_STATE = 1 << 10,   /* which one of some states held */
	VZ_TRACK_COUNTER = 1 << 11, /* SAMPLES, no EVENTS */
};

struct vz_file_track {
	uint32_t track; /* counts from 0 */
	uint8_t kind;   /* enum vz_track_record */
	uint8_t pad;
	uint16_t name_len;
	uint32_t tid;
	uint32_t flags;     /* enum vz_slot_flags */
	uint64_t stack_key; /* 0: the thread's own stack; else a greenlet's */
	uint64_t ns;
	/* name: UTF-8 without NUL */
};
_Static_assert(sizeof(struct vz_file_track) == 32, "file format changed");

struct vz_file_end {
	uint64_t calls; /* entries other than OPEN */
	uint64_t lost;
	uint32_t tracks;
	uint32_t functions;
};
_Static_assert(sizeof(struct vz_file_end) == 24, "file format changed");

/*
 * Index blocks form a chain from the footer backwards; each names the blocks
 * between the one before it and itself.
 */
struct vz_file_index {
	uint64_t previous; /* offset of the index block before, 0: none */
};

struct vz_index_entry {
	uint64_t offset;
	uint32_t track;
	uint32_t count;
	uint64_t t0_ns;
	uint64_t t1_ns;
	uint32_t type; /* enum vz_block_type */
	uint32_t stored_bytes;
};
_Static_assert(sizeof(struct vz_index_entry) == 40, "file format changed");

struct vz_file_footer {
	uint64_t magic;
	uint64_t index; /* offset of the last index block */
	uint64_t end;   /* offset of the end block */
	uint32_t blocks;
	uint32_t crc; /* crc32 of all bytes before */
};
_Static_assert(sizeof(struct vz_file_footer) == 32, "file format changed");

/* How a frame was entered and left. */
enum vz_entry {
	VZ_ENTRY_CALL = 0,
	VZ_ENTRY_RESUME = 1, /* a generator or coroutine was entered again */
	VZ_ENTRY_THROW = 2,  /* ... by an exception thrown into it */
	VZ_ENTRY_OPEN = 3,   /* found on the stack at the attach or after a loss: began before */
};

enum vz_leave {
	VZ_LEAVE_RETURN = 0,
	VZ_LEAVE_YIELD = 1,
	VZ_LEAVE_UNWIND = 2,
	VZ_LEAVE_UNSEEN = 3, /* gone; when and how was not seen, the time is an upper bound */
};

/*
 * An EVENTS block holds consecutive events of one track and decodes alone.
 * Its raw payload is VZ_EVENTS_FIELDS varints, then the columns.
 */
enum vz_events_field {
	VZ_EVENTS_ENTRIES = 0,
	VZ_EVENTS_LEAVES = 1,
	VZ_EVENTS_DEPTH = 2,   /* frames on the stack before the first event */
	VZ_EVENTS_COLUMNS = 3, /* from here: bytes of each column, in order of vz_events_column */
};

/*
 * "Symbol": function id << VZ_SYMBOL_SHIFT | how it was entered.
 *
 * RANKS: callees of one function repeat, so each function (and the empty
 * stack) has a move-to-front list of the symbols entered from it, at most
 * VZ_MTF_MAX, empty at the start of the block.  One byte for each entry: the
 * rank in the list of the function below, or VZ_RANK_NEW: not in the list, its
 * symbol is the next in NEW; it goes to the front and the last may fall out.
 *
 * LEAVES: each function is expected to be left as the last time in this block,
 * at first by RETURN; only where this is wrong a varint stands here:
 * leaves guessed right since the last wrong one << VZ_LEAVE_SHIFT | how.
 */
enum vz_events_column {
	VZ_COLUMN_STACK = 0, /* bottom to top: varint symbol */
	VZ_COLUMN_BEGIN =
		1, /* bottom to top: varint ns since the frame below began; first: before t0 */
	VZ_COLUMN_POPS = 2, /* for each entry: varint leaves since the entry before */
	VZ_COLUMN_RANKS = 3,
	VZ_COLUMN_NEW = 4, /* varint symbol */
	VZ_COLUMN_TIMES =
		5, /* each event: varint ns since the event or loss before it (first: t0) */
	VZ_COLUMN_LEAVES = 6,
	VZ_COLUMN_LOSSES =
		7, /* varint triples: events since the loss before, records lost, ns as above */
	VZ_NCOLUMNS = 8,
	VZ_EVENTS_FIELDS = VZ_EVENTS_COLUMNS + VZ_NCOLUMNS,
};

enum {
	VZ_SYMBOL_SHIFT = 2,
	VZ_LEAVE_SHIFT = 2,
	VZ_MTF_MAX = 64,
	VZ_RANK_NEW = 255,
};

#endif /* VZ_PAYLOAD_WIRE_H */
