/* SPDX-License-Identifier: MIT */
#include "viewer/table.h"

#include <stdio.h>
#include <string.h>

#include "viewer/export/export.h"
#include "viewer/human.h"

enum {
	NAME_BYTES = 6144,
};

void vz_put_right(struct vz_out *out, const char *text, unsigned width)
{
	for (unsigned used = vz_human_width(text); used < width; used++)
		vz_out_char(out, ' ');
	vz_out_text(out, text);
}

/* N characters behind S, or its end. */
static const char *forward(const char *s, unsigned n)
{
	for (; n > 0 && *s; n--)
		do
			s++;
		while (((unsigned char)*s & 0xc0) == 0x80);
	return s;
}

void vz_put_end(struct vz_out *out, const char *text, unsigned columns)
{
	unsigned width = vz_human_width(text);

	if (columns > 1 && width > columns) {
		text = forward(text, width - columns + 1);
		vz_out_text(out, "…");
	}
	vz_out_text(out, text);
}

void vz_put_begin(struct vz_out *out, const char *text, unsigned columns)
{
	if (!columns || vz_human_width(text) <= columns) {
		vz_out_text(out, text);
		return;
	}
	vz_out_bytes(out, text, (size_t)(forward(text, columns - 1) - text));
	vz_out_text(out, "…");
}

/* Make NAME, of NAME_BYTES, the longest form of F's name that fits, or the bare name. */
static void shorten(const struct vz_function *f, unsigned columns, char *name)
{
	const char *file = f->file;

	while (f->kind != VZ_DEF_C && (file = strchr(file, '/')) != NULL) {
		if (!*++file)
			break;
		if (strlen(file) > 4 * (size_t)columns)
			continue;
		snprintf(name, NAME_BYTES, "%s (…/%s:%u)", f->name, file, f->line);
		if (vz_human_width(name) <= columns)
			return;
	}
	file = strrchr(f->file, '/');
	file = file ? file + 1 : f->file;
	if (f->kind != VZ_DEF_C && *file) {
		snprintf(name, NAME_BYTES, "%s (%s:%u)", f->name, file, f->line);
		if (vz_human_width(name) <= columns)
			return;
		snprintf(name, NAME_BYTES, "%s", f->name);
	}
}

void vz_put_function(struct vz_out *out, const struct vz_function *f, unsigned columns)
{
	char name[NAME_BYTES];

	vz_export_name(f, name, sizeof(name));
	if (columns && vz_human_width(name) > columns)
		shorten(f, columns, name);
	vz_out_plain(name);
	vz_put_begin(out, name, columns);
}

void vz_put_colour(struct vz_out *out, bool colours, enum vz_colour colour)
{
	static const char *const codes[] = {
		[VZ_BOLD] = "\033[1m",
		[VZ_DIM] = "\033[2m",
		[VZ_RED] = "\033[31m",
		[VZ_GREEN] = "\033[32m",
	};

	if (colours)
		vz_out_text(out, codes[colour]);
}

void vz_put_plain(struct vz_out *out, bool colours)
{
	if (colours)
		vz_out_text(out, "\033[0m");
}

void vz_put_json_function(struct vz_out *out, const struct vz_function *f)
{
	vz_out_text(out, "\"name\":\"");
	vz_out_json(out, f->name);
	vz_out_format(out, "\",\"%s\":\"", f->kind == VZ_DEF_C ? "module" : "file");
	vz_out_json(out, f->file);
	vz_out_format(out, "\",\"line\":%u", f->line);
}
