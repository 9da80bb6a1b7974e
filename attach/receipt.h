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
/** One JSON object on one line, schema 1; EXIT and ERR as the program will end. */
size_t vz_receipt_json(const struct vz_report *report, enum vz_exit exit, const struct vz_err *err,
		       char *buf, size_t size);

#endif /* VZ_ATTACH_RECEIPT_H */
