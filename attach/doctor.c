/* SPDX-License-Identifier: MIT */
/* doctor.c - the findings as a list and as JSON. */
#include "attach/doctor.h"

#include <stdio.h>
#include <string.h>

#include "attach/json.h"

enum {
	WIDTH = 80,
	INDENT = 26, /* where the texts begin */
};

/* How a verdict looks in the list. */
static const struct {
	const char *mark, *colour;
} marks[] = {
	[VZ_FOUND_OK] = { "ok", "\033[32m" },         [VZ_FOUND_NOTE] = { "note", "\033[36m" },
	[VZ_FOUND_WARN] = { "warn", "\033[33m" },     [VZ_FOUND_UNKNOWN] = { "?", "\033[33m" },
	[VZ_FOUND_REFUSE] = { "FAIL", "\033[1;31m" },
};

enum vz_exit vz_examination_exit(const struct vz_examination *e)
{
	const struct vz_finding *f = vz_findings_refusal(&e->findings);

	return f ? f->err.exit : VZ_EXIT_OK;
}

/* TEXT in lines that fit, all but the first one indented; AT: where the first one begins. */
static void add_wrapped(struct vz_text *t, const char *text, size_t at)
{
	while (*text) {
		size_t len = strcspn(text, " ");

		if (at > INDENT && at + 1 + len > WIDTH) {
			vz_text_add(t, "\n%*s", INDENT, "");
			at = INDENT;
		} else if (at > INDENT) {
			vz_text_add(t, " ");
			at++;
		}
		vz_text_add(t, "%.*s", (int)len, text);
		at += len;
		text += len + strspn(text + len, " ");
	}
	vz_text_add(t, "\n");
}

/* Names of programs are in the texts: nothing in them may steer the terminal. */
static void add_clean(struct vz_text *t, const char *text)
{
	char clean[sizeof(((struct vz_err *)NULL)->why)];
	size_t n = 0;

	for (; text[n] && n < sizeof(clean) - 1; n++) {
		clean[n] = text[n];
		if ((unsigned char)text[n] < ' ' || text[n] == 0x7f)
			clean[n] = '?';
	}
	clean[n] = '\0';
	add_wrapped(t, clean, INDENT);
}

static void add_finding(struct vz_text *t, const struct vz_finding *f, bool colour)
{
	bool refused = f->verdict == VZ_FOUND_REFUSE;

	vz_text_add(t, "  %s%-4s%s  %-16s  ", colour ? marks[f->verdict].colour : "",
		    marks[f->verdict].mark, colour ? "\033[0m" : "", f->name);
	add_clean(t, !refused ? f->text : f->err.why[0] ? f->err.why : f->err.what);
	if (refused && f->err.hint[0]) {
		vz_text_add(t, "%*s", INDENT - 5, "");
		vz_text_add(t, "try: ");
		add_clean(t, f->err.hint);
	}
}

static void add_head(struct vz_text *t, const struct vz_examination *e)
{
	if (e->pid == 0)
		vz_text_add(t, "vizattach: this machine and this user\n\n");
	else if (!e->comm[0])
		vz_text_add(t, "vizattach: process %d\n\n", (int)e->pid);
	else
		vz_text_add(t, "vizattach: process %d (%s)%s%s\n\n", (int)e->pid, e->comm,
			    e->python[0] ? ", CPython " : "", e->python);
}

static void add_conclusion(struct vz_text *t, const struct vz_examination *e, bool colour)
{
	enum vz_exit exit = vz_examination_exit(e);
	const char *start = !colour ? ""
			    : exit  ? marks[VZ_FOUND_REFUSE].colour
				    : marks[VZ_FOUND_OK].colour;
	const char *end = colour ? "\033[0m" : "";

	if (e->pid == 0 && exit == VZ_EXIT_OK)
		vz_text_add(t,
			    "\n%sNothing is in the way here.%s  Next: vizattach ps, then vizattach "
			    "doctor --pid PID\n",
			    start, end);
	else if (exit == VZ_EXIT_OK)
		vz_text_add(t, "\n%sIt can be recorded:%s vizattach --pid %d\n", start, end,
			    (int)e->pid);
	else
		vz_text_add(t, "\n%s%s%s (exit status %d)\n", start,
			    e->pid ? "It cannot be recorded" : "Nothing can be recorded like this",
			    end, (int)exit);
}

size_t vz_examination_text(const struct vz_examination *e, bool colour, char *buf, size_t size)
{
	struct vz_text t = { buf, 0, size };

	buf[0] = '\0';
	add_head(&t, e);
	for (unsigned i = 0; i < e->findings.count; i++)
		add_finding(&t, &e->findings.items[i], colour);
	add_conclusion(&t, e, colour);
	return t.used;
}

static void json_finding(struct vz_text *t, const struct vz_finding *f)
{
	vz_text_add(t, "{");
	vz_json_string(t, "name", f->name);
	vz_text_add(t, ",");
	vz_json_string(t, "verdict", vz_found_name(f->verdict));
	vz_text_add(t, ",");
	if (f->verdict == VZ_FOUND_REFUSE) {
		vz_json_string(t, "text", f->err.why[0] ? f->err.why : f->err.what);
		vz_json_number(t, "exit", (uint64_t)f->err.exit);
		vz_text_add(t, ",");
		vz_json_string(t, "try", f->err.hint);
	} else {
		vz_json_string(t, "text", f->text);
	}
	vz_text_add(t, "}");
}

size_t vz_examination_json(const struct vz_examination *e, char *buf, size_t size)
{
	struct vz_text t = { buf, 0, size };
	enum vz_exit exit = vz_examination_exit(e);

	buf[0] = '\0';
	vz_text_add(&t, "{\"schema\":1,\"pid\":");
	if (e->pid)
		vz_text_add(&t, "%d,", (int)e->pid);
	else
		vz_text_add(&t, "null,");
	vz_json_string(&t, "comm", e->comm);
	vz_text_add(&t, ",");
	vz_json_string(&t, "python", e->python);
	vz_text_add(&t, ",\"attachable\":%s,\"exit\":%d,\"checks\":[", exit ? "false" : "true",
		    (int)exit);
	for (unsigned i = 0; i < e->findings.count; i++) {
		vz_text_add(&t, "%s", i ? "," : "");
		json_finding(&t, &e->findings.items[i]);
	}
	vz_text_add(&t, "]}\n");
	return t.used;
}
