/* SPDX-License-Identifier: MIT */
/*
 * reader.h - opens a .viz file and hands out what is whole in it.
 *
 * Owns the mapping, the table of blocks, the functions, the tracks and the
 * facts about the recording.  Every length is checked before it is used, and a
 * block is used only if its checksum holds.  Without an index (the recorder
 * was killed, the file was cut, the disk was full) the blocks are found by
 * walking and, where one is damaged, by searching; what could not be read is
 * counted, so that nobody takes a part for the whole.
 */
#ifndef VZ_VIEWER_READER_H
#define VZ_VIEWER_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payload/wire.h"
#include "viewer/trouble.h"

struct vz_reader;

/* Text of the file: UTF-8 as recorded, without NUL inside, NUL behind; never NULL. */
struct vz_function {
	const char *name;
	const char *file; /* of a C function: its module or type */
	uint32_t line;
	uint8_t kind; /* VZ_DEF_PYTHON, VZ_DEF_C; 0: the file does not define it */
};

struct vz_thread_track {
	uint32_t id;
	uint32_t tid;
	uint32_t flags;     /* enum vz_slot_flags, enum vz_track_flags */
	uint32_t process;   /* see vz_reader_process() */
	uint64_t stack_key; /* not 0: a greenlet's stack of thread .tid */
	uint64_t begin_ns;
	uint64_t end_ns;  /* 0: it was there to the end of the recording */
	const char *name; /* "" if it has none */
	bool defined;     /* false: only events of it were found */
};

struct vz_process {
	uint32_t pid;
	const char *name; /* "" if it has none */
};

/* What is wrong with the file. */
struct vz_damage {
	bool cut;      /* the recording was not finished: its end is missing */
	bool no_index; /* blocks were found by walking */
	uint64_t skipped_bytes;
	uint64_t damaged_blocks; /* found but unreadable, as far as was looked */
	uint64_t missing_blocks; /* known by number to have been there */
};

struct vz_totals {
	uint64_t calls; /* entries; of the index, not counted */
	uint64_t file_bytes;
	uint64_t events_bytes; /* of the file, in blocks of events */
	uint32_t blocks;
	uint32_t functions;
};

/** Map the file at PATH.  Free with vz_reader_free(). */
int vz_reader_open(const char *path, struct vz_reader **ret, struct vz_trouble *trouble);
/** The same for BYTES of memory, which stay the caller's. */
int vz_reader_open_memory(const uint8_t *p, size_t bytes, struct vz_reader **ret,
			  struct vz_trouble *trouble);
void vz_reader_free(struct vz_reader *r);

const struct vz_file_header *vz_reader_header(const struct vz_reader *r);
/** Begin and end of the recording; the end of a cut file is its last event. */
void vz_reader_range(const struct vz_reader *r, uint64_t *t0_ns, uint64_t *t1_ns);
void vz_reader_totals(const struct vz_reader *r, struct vz_totals *ret);
void vz_reader_damage(const struct vz_reader *r, struct vz_damage *ret);
/** What the recorder counted at the end; NULL if the file was cut. */
const struct vz_file_end *vz_reader_end(const struct vz_reader *r);

/** Value of KEY among the facts and the counters at the end, or NULL. */
const char *vz_reader_fact(const struct vz_reader *r, const char *key);
/** Fact or counter number I in order of the file; false: there are no more. */
bool vz_reader_fact_at(const struct vz_reader *r, uint32_t i, const char **key, const char **value);

/** Never NULL: an unknown id gives a function of kind 0 whose name says so. */
const struct vz_function *vz_reader_function(const struct vz_reader *r, uint32_t id);
/** One more than the greatest function id. */
uint32_t vz_reader_nfunctions(const struct vz_reader *r);

uint32_t vz_reader_ntracks(const struct vz_reader *r);
const struct vz_thread_track *vz_reader_track(const struct vz_reader *r, uint32_t place);
/** Place of the track with this id. */
uint32_t vz_reader_track_place(const struct vz_reader *r, uint32_t id);
/** Title of a track for people: its name, else its thread id; greenlets numbered by key. */
void vz_reader_track_title(const struct vz_thread_track *track, char *buf, size_t size);

/** Process 0 is that of the header; there is always one. */
uint32_t vz_reader_nprocesses(const struct vz_reader *r);
const struct vz_process *vz_reader_process(const struct vz_reader *r, uint32_t i);

/** Blocks of events in order of the file, which is the order of time within each track. */
uint32_t vz_reader_nblocks(const struct vz_reader *r);
const struct vz_index_entry *vz_reader_block(const struct vz_reader *r, uint32_t i);
/**
 * Decode block I: RAW is valid until the next call.  -EBADMSG: damaged, which is
 * counted once; -ENOMEM.
 */
int vz_reader_load(struct vz_reader *r, uint32_t i, struct vz_block *head, const uint8_t **raw);
/** Give back the pages that were read, for now: a program that only waits stays small. */
void vz_reader_rest(const struct vz_reader *r);
/** The events of block I made no sense although its checksum held. */
void vz_reader_distrust(struct vz_reader *r, uint32_t i);

/** Blocks of VZ_BLOCK_ARGS, VZ_BLOCK_SAMPLES and VZ_BLOCK_SOURCE, in order of the file. */
uint32_t vz_reader_nextras(const struct vz_reader *r);
const struct vz_index_entry *vz_reader_extra(const struct vz_reader *r, uint32_t i);
/** Decode one of them: RAW is valid until the next block is loaded.  -EBADMSG, -ENOMEM. */
int vz_reader_load_extra(struct vz_reader *r, uint32_t i, struct vz_block *head,
			 const uint8_t **raw);

#endif /* VZ_VIEWER_READER_H */
