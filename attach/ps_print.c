/* SPDX-License-Identifier: MIT */
/* ps_print.c - the list for people, and for programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach/json.h"
#include "attach/ps.h"

enum {
	PER_PROCESS = 12 << 10, /* a command line of bytes that JSON writes as six, and colours */
	FIXED = 4096,
	BEFORE_COMMAND = 49, /* columns */
	WHY_INDENT = 14,
	NARROWEST = 60,
};

static bool text_init(const struct vz_processes *processes, struct vz_text *t)
{
	t->used = 0;
	t->size = processes->count * PER_PROCESS + FIXED;
	t->at = malloc(t->size);
	if (t->at)
		t->at[0] = '\0';
	return t->at != NULL;
}

/* At most ROOM columns of VALUE (0: all), without anything that could steer the terminal. */
static void add_cut(struct vz_text *t, const char *value, unsigned room)
{
	unsigned columns = 0;
	const char *c;

	for (c = value; *c && (!room || columns < room); c++)
		columns += ((unsigned char)*c & 0xc0) != 0x80;
	/* All bytes of the last character. */
	while (((unsigned char)*c & 0xc0) == 0x80)
		c++;
	for (; value < c; value++)
		vz_text_add(t, "%c", (unsigned char)*value < ' ' || *value == 0x7f ? '?' : *value);
}

static void add_process(struct vz_text *t, const struct vz_process *p, unsigned width, bool colour)
{
	const char *mark = p->exit ? "no" : "ok";
	const char *start = !colour ? "" : p->exit ? "\033[1;31m" : "\033[32m";

	vz_text_add(t, "  %s%s%s  %8d  %-10.10s  %-8.8s  %-9s  ", start, mark,
		    colour ? "\033[0m" : "", (int)p->pid, p->user, p->python[0] ? p->python : "?",
		    p->where);
	add_cut(t, p->command, width ? width - BEFORE_COMMAND : 0);
	vz_text_add(t, "\n");
	if (!p->exit)
		return;
	vz_text_add(t, "%*s", WHY_INDENT, "");
	add_cut(t, p->why, width ? width - WHY_INDENT : 0);
	vz_text_add(t, "\n");
}

char *vz_ps_text(const struct vz_processes *processes, unsigned width, bool colour, size_t *len)
{
	struct vz_text t;

	if (!text_init(processes, &t))
		return NULL;
	if (width && width < NARROWEST)
		width = NARROWEST;
	if (processes->count)
		vz_text_add(&t, "           PID  USER        PYTHON    WHERE      COMMAND\n");
	for (size_t i = 0; i < processes->count; i++)
		add_process(&t, &processes->items[i], width, colour);
	*len = t.used;
	return t.at;
}

static void json_process(struct vz_text *t, const struct vz_process *p)
{
	vz_text_add(t, "{\"pid\":%d", (int)p->pid);
	vz_json_number(t, "uid", p->uid);
	vz_text_add(t, ",");
	vz_json_string(t, "user", p->user);
	vz_text_add(t, ",");
	vz_json_string(t, "python", p->python);
	vz_text_add(t, ",");
	vz_json_string(t, "where", p->where);
	vz_text_add(t, ",");
	vz_json_string(t, "command", p->command);
	vz_text_add(t, ",\"attachable\":%s", p->exit ? "false" : "true");
	vz_json_number(t, "exit", (uint64_t)p->exit);
	if (p->exit) {
		vz_text_add(t, ",");
		vz_json_string(t, "why", p->why);
		vz_text_add(t, ",");
		vz_json_string(t, "try", p->hint);
	}
	vz_text_add(t, "}");
}

char *vz_ps_json(const struct vz_processes *processes, size_t *len)
{
	struct vz_text t;

	if (!text_init(processes, &t))
		return NULL;
	vz_text_add(&t, "{\"schema\":1,\"processes\":[");
	for (size_t i = 0; i < processes->count; i++) {
		vz_text_add(&t, "%s", i ? "," : "");
		json_process(&t, &processes->items[i]);
	}
	vz_text_add(&t, "]}\n");
	*len = t.used;
	return t.at;
}
