/* SPDX-License-Identifier: MIT */
/*
 * receipt.h - the last words of a recording, for people and for programs.
 */
#ifndef VZ_ATTACH_RECEIPT_H
#define VZ_ATTACH_RECEIPT_H

#include <stddef.h>

#include "attach/session.h"

/** Text for stderr; returns its length, at most SIZE - 1. */
size_t vz_receipt_text(const struct vz_report *report, char *buf, size_t size);
/**
 * One JSON object on one line; EXIT and ERR as the program will end.
 *
 * Schema 2.  Since 1: "long_wait"; "borrowed_syscall", -1 for none; "residue", what was compared,
 * each key "ok", "left", "unknown" or (memory) "grew", (monitoring_ids, before CPython 3.12)
 * "none"; "memory", the target's in bytes before and after, named_bytes being what "left" has a
 * name for; "restored" is true only if all of "residue" was compared and nothing of ours is left.
 */
size_t vz_receipt_json(const struct vz_report *report, enum vz_exit exit, const struct vz_err *err,
		       char *buf, size_t size);

#endif /* VZ_ATTACH_RECEIPT_H */
