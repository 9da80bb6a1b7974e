/* SPDX-License-Identifier: MIT */
/*
 * decode.h - reads the events of one EVENTS block back, one at a time.
 *
 * Owns the mirror of attach/encode.c: the stack of the block and its
 * move-to-front lists.  Takes the raw payload; trusts no byte of it.
 */
#ifndef VZ_VIEWER_CORE_DECODE_H
#define VZ_VIEWER_CORE_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "payload/wire.h"

/* One frame of a stack. */
struct vz_open_frame {
	uint64_t begin_ns;
	uint64_t child_ns; /* spent in frames above that ended; kept by viewer/core/steps.c */
	uint32_t symbol;   /* function << VZ_SYMBOL_SHIFT | enum vz_entry */
	uint32_t pad;
};

enum vz_event_kind {
	VZ_EVENT_ENTER,
	VZ_EVENT_LEAVE,
	VZ_EVENT_LOST,
};

struct vz_event {
	enum vz_event_kind kind;
	uint32_t symbol; /* ENTER */
	uint8_t leave;   /* LEAVE: enum vz_leave */
	uint64_t ns;
	uint64_t lost; /* LOST: records */
};

struct vz_decoder;

/** Returns NULL without memory.  Free with vz_decoder_free(). */
struct vz_decoder *vz_decoder_new(void);
void vz_decoder_free(struct vz_decoder *d);

/**
 * Begin with a block: its stack is there when this returns 0; -EBADMSG if it cannot be one.
 * RAW must stay until the last event was read.
 */
int vz_decoder_open(struct vz_decoder *d, const struct vz_block *head, const uint8_t *raw);

/** 1: RET is the next event and the stack is as it was before it; 0: no more; -EBADMSG: nonsense.
 */
int vz_decoder_next(struct vz_decoder *d, struct vz_event *ret);

/** Put the event just read on the stack, or take the frame that it left off it; -ENOMEM. */
int vz_decoder_apply(struct vz_decoder *d, const struct vz_event *event);

/** Bottom first; valid until the next call.  The caller may change begin_ns and child_ns. */
struct vz_open_frame *vz_decoder_stack(const struct vz_decoder *d, uint32_t *depth);

#endif /* VZ_VIEWER_CORE_DECODE_H */
