/* SPDX-License-Identifier: MIT */
#include "viewer/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHUNK_BYTES = 1 << 16,
	TEXT_MAX = 1 << 30, /* bytes of all names; a block that goes beyond is damage */
};

struct vz_text_chunk {
	struct vz_text_chunk *next;
	size_t used, bytes;
	char p[];
};

const char *vz_text_keep(struct vz_text *text, const void *s, size_t len)
{
	struct vz_text_chunk *t = text->chunks;
	char *p;

	if (!t || t->bytes - t->used < len + 1) {
		size_t bytes = len + 1 > CHUNK_BYTES ? len + 1 : CHUNK_BYTES;

		text->full |= text->bytes + bytes > TEXT_MAX;
		if (text->full)
			return NULL;
		t = malloc(sizeof(*t) + bytes);
		if (!t)
			return NULL;
		text->bytes += bytes;
		t->next = text->chunks;
		t->used = 0;
		t->bytes = bytes;
		text->chunks = t;
	}
	p = t->p + t->used;
	memcpy(p, s, len);
	p[len] = '\0';
	t->used += len + 1;
	return p;
}

int vz_text_no_room(const struct vz_text *text)
{
	return text->full ? -EBADMSG : -ENOMEM;
}

void vz_text_fini(struct vz_text *text)
{
	while (text->chunks) {
		struct vz_text_chunk *next = text->chunks->next;

		free(text->chunks);
		text->chunks = next;
	}
}
