/* SPDX-License-Identifier: MIT */
/*
 * image.h - the payload's ELF file as a memory image for a given address.
 *
 * We load it ourselves: one mapping, relative relocations, no dlopen in the
 * target.  So neither the target's loader nor its malloc is involved, no file or
 * memfd is needed, and unloading is one munmap.
 */
#ifndef VZ_ATTACH_IMAGE_H
#define VZ_ATTACH_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "attach/err.h"
#include "payload/wire.h"

struct vz_image {
	uint8_t *bytes;     /* initialised part, linked for address 0 */
	size_t bytes_len;   /* what must be written */
	size_t image_bytes; /* what must be mapped: zeroes follow */
	size_t writable;    /* offset of the first writable page */
	size_t boot;        /* offsets of the symbols */
	size_t entry;
	size_t stack, stack_bytes, guard;
	size_t *relocs; /* offsets of words to which the base is added */
	size_t nrelocs;
};

/** Parse the ELF file; free with vz_image_fini().  -ENOEXEC if it is not what we build. */
int vz_image_init(const void *elf, size_t len, struct vz_image *ret, struct vz_err *err);
void vz_image_fini(struct vz_image *image);
/** Fill TO (bytes_len) with the image for BASE and the boot block; .image_* of BOOT are set here.
 */
void vz_image_place(const struct vz_image *image, uint64_t base, struct vz_boot *boot, uint8_t *to);

#endif /* VZ_ATTACH_IMAGE_H */
