/* SPDX-License-Identifier: MIT */
/*
 * core_notes.c - threads, names of mapped files, and the rest that a core dump says about its
 * process.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/procfs.h>

#include "attach/snapshot/native/core_priv.h"
#include "attach/util.h"

enum { MAX_NOTES_EACH = 1 << 18, AUXV_MAX = 1024, FNAME_BYTES = 16 };

_Static_assert(sizeof(((struct elf_prstatus *)0)->pr_reg) == sizeof(((struct vz_cpu *)0)->regs),
	       "registers of a dump are those of ptrace");

/* ---- NT_FILE ---- */

void vz_core_names_fini(struct vz_core_names *names)
{
	free(names->items);
	free(names->names);
	memset(names, 0, sizeof(*names));
}

/* Two words: how many, size of a page; three for each: start, end, offset in pages; the names. */
int vz_core_names_parse(char *bytes, size_t len, struct vz_core_names *ret)
{
	uint64_t head[2], line[3];
	size_t at;

	*ret = (struct vz_core_names){ .names = bytes };
	if (len < sizeof(head))
		return -EINVAL;
	memcpy(head, bytes, sizeof(head));
	if (head[0] > VZ_CORE_MAX_SEGMENTS || head[0] > (len - sizeof(head)) / sizeof(line) ||
	    head[1] == 0 || head[1] > 1 << 30)
		return -EINVAL;
	ret->items = calloc(head[0] + 1, sizeof(*ret->items));
	if (!ret->items)
		return -ENOMEM;
	at = sizeof(head) + head[0] * sizeof(line);
	for (size_t i = 0; i < head[0] && at < len; i++) {
		struct vz_core_mapping *m = &ret->items[ret->count];

		memcpy(line, bytes + sizeof(head) + i * sizeof(line), sizeof(line));
		*m = (struct vz_core_mapping){ line[0], line[1], line[2] * head[1], bytes + at };
		at += strlen(bytes + at) + 1;
		/* The kernel lists by address. */
		if (m->start < m->end && (ret->count == 0 || m->start >= m[-1].end))
			ret->count++;
	}
	return 0;
}

/* ---- one note ---- */

struct walk {
	struct vz_core *core;
	struct vz_core_file *file;
	struct vz_core_names *names;
	size_t room; /* threads; in the first round: how many there are */
	bool counting;
};

static void take_status(struct walk *w, uint64_t offset, uint64_t len)
{
	struct vz_core_thread *thread;
	struct elf_prstatus status;

	if (len < sizeof(status))
		return;
	if (w->counting) {
		w->room += w->room < VZ_CORE_MAX_THREADS;
		return;
	}
	if (w->core->nthreads == w->room ||
	    vz_core_bytes(w->file, offset, &status, sizeof(status)) < 0 || status.pr_pid <= 0)
		return;
	thread = &w->core->threads[w->core->nthreads++];
	thread->tid = status.pr_pid;
	memcpy(thread->cpu.regs, &status.pr_reg, sizeof(thread->cpu.regs));
	thread->cpu.sigmask = status.pr_sighold;
	if (w->core->nthreads == 1 && !w->core->signal)
		w->core->signal = status.pr_cursig;
}

static void take_process(struct walk *w, uint64_t offset, uint64_t len)
{
	struct elf_prpsinfo info;

	if (len < sizeof(info) || vz_core_bytes(w->file, offset, &info, sizeof(info)) < 0)
		return;
	w->core->pid = info.pr_pid > 0 ? info.pr_pid : 0;
	snprintf(w->core->target.comm, sizeof(w->core->target.comm), "%.*s", FNAME_BYTES,
		 info.pr_fname);
	vz_plain(w->core->target.comm);
}

static void take_signal(struct walk *w, uint64_t offset, uint64_t len)
{
	int signal;

	if (len >= sizeof(signal) && vz_core_bytes(w->file, offset, &signal, sizeof(signal)) == 0 &&
	    signal > 0 && signal <= 64)
		w->core->signal = signal;
}

static void take_auxv(struct walk *w, uint64_t offset, uint64_t len)
{
	Elf64_auxv_t item;

	for (size_t i = 0; i < AUXV_MAX && (i + 1) * sizeof(item) <= len; i++) {
		if (vz_core_bytes(w->file, offset + i * sizeof(item), &item, sizeof(item)) < 0 ||
		    item.a_type == AT_NULL)
			return;
		if (item.a_type == AT_SYSINFO_EHDR)
			w->file->vdso = item.a_un.a_val;
		else if (item.a_type == AT_ENTRY)
			w->file->entry = item.a_un.a_val;
		else if (item.a_type == AT_RANDOM)
			w->file->random = item.a_un.a_val;
	}
}

static int take_names(struct walk *w, uint64_t offset, uint64_t len)
{
	char *bytes;

	if (w->names->names || len > VZ_CORE_MAX_NAMES || len > w->file->size)
		return 0;
	bytes = malloc(len + 1);
	if (!bytes)
		return -ENOMEM;
	if (vz_core_bytes(w->file, offset, bytes, len) < 0) {
		free(bytes);
		return 0;
	}
	bytes[len] = '\0';
	if (vz_core_names_parse(bytes, len, w->names) < 0)
		vz_core_names_fini(w->names); /* a dump without names is still one */
	return 0;
}

static int take_note(struct walk *w, uint32_t type, uint64_t offset, uint64_t len)
{
	if (type == NT_PRSTATUS)
		take_status(w, offset, len);
	if (w->counting)
		return 0;
	switch (type) {
	case NT_PRPSINFO:
		take_process(w, offset, len);
		break;
	case NT_SIGINFO:
		take_signal(w, offset, len);
		break;
	case NT_AUXV:
		take_auxv(w, offset, len);
		break;
	case NT_FILE:
		return take_names(w, offset, len);
	default:
		break;
	}
	return 0;
}

static uint64_t padded(uint32_t len)
{
	return ((uint64_t)len + 3) & ~(uint64_t)3;
}

static int walk_segment(struct walk *w, const Elf64_Phdr *segment)
{
	uint64_t at = segment->p_offset, left = segment->p_filesz;

	/* CPU state of many threads is much: the file is walked, not copied. */
	for (size_t i = 0; i < MAX_NOTES_EACH && left >= sizeof(Elf64_Nhdr); i++) {
		Elf64_Nhdr note;
		char name[8] = "";
		uint64_t skip;
		int rc;

		if (vz_core_bytes(w->file, at, &note, sizeof(note)) < 0)
			return 0;
		at += sizeof(note);
		left -= sizeof(note);
		skip = padded(note.n_namesz);
		if (skip > left || note.n_descsz > left - skip)
			return 0;
		if (note.n_namesz == 5 && vz_core_bytes(w->file, at, name, 5) == 0 &&
		    !memcmp(name, "CORE", 5)) {
			rc = take_note(w, note.n_type, at + skip, note.n_descsz);
			if (rc < 0)
				return rc;
		}
		skip += padded(note.n_descsz);
		if (skip > left)
			return 0;
		at += skip;
		left -= skip;
	}
	return 0;
}

int vz_core_notes(struct vz_core *core, struct vz_core_file *file, const Elf64_Phdr *notes,
		  size_t count, struct vz_core_names *ret)
{
	struct walk w = { .core = core, .file = file, .names = ret, .counting = true };
	int rc = 0;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < count; i++)
		walk_segment(&w, &notes[i]);
	w.counting = false;
	core->threads = calloc(w.room ? w.room : 1, sizeof(*core->threads));
	if (!core->threads)
		return -ENOMEM;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = walk_segment(&w, &notes[i]);
	for (size_t i = 0; i < core->nthreads; i++) {
		if (core->threads[i].tid == core->pid)
			snprintf(core->threads[i].comm, sizeof(core->threads[i].comm), "%s",
				 core->target.comm);
	}
	return rc;
}
