/* SPDX-License-Identifier: MIT */
/*
 * show_tasks.c - who awaits whom, as a tree: below a task are those that it waits for.  Tasks
 * may lead in a circle, and a target may claim anything about them.
 */
#include <stdlib.h>
#include <string.h>

#include "attach/snapshot/show/show_priv.h"
#include "attach/util.h"

enum {
	TREE_INDENT = 4,
	LEVELS_MOST = 12, /* further ones are not indented */
	TASKS_MOST = 60,  /* printed, without --all */
	FRAMES_MOST = 6,  /* of a task */
};

/* The tree as links between indexes, -1: none. */
struct node {
	int child, next, parent;
	unsigned level;
	bool done, cyclic;
};

struct tree {
	const struct vz_snapshot *s;
	const struct vz_show *show;
	struct vz_page *page;
	struct node *nodes;
	size_t shown, left_out;
};

static void link_nodes(struct tree *tree)
{
	size_t count = tree->s->ntasks;

	for (size_t i = 0; i < count; i++)
		tree->nodes[i] = (struct node){ .child = -1, .next = -1, .parent = -1 };
	/* From behind, so that children come in their order. */
	for (size_t i = count; i-- > 0;) {
		int parent = tree->s->tasks[i].parent;

		if (parent < 0 || (size_t)parent >= count || (size_t)parent == i)
			continue;
		tree->nodes[i].parent = parent;
		tree->nodes[i].next = tree->nodes[parent].child;
		tree->nodes[parent].child = (int)i;
	}
}

/* ---- one task ---- */

static bool same_task(const struct vz_snap_task *a, const struct vz_snap_task *b)
{
	if (a->state != b->state || a->loop != b->loop || a->thread != b->thread ||
	    a->greenlet != b->greenlet || a->nframes != b->nframes ||
	    a->awaits_task != b->awaits_task || strcmp(a->coroutine, b->coroutine) ||
	    strcmp(a->awaits, b->awaits))
		return false;
	for (size_t i = 0; i < a->nframes; i++) {
		if (!vz_frame_same(&a->frames[i], &b->frames[i]))
			return false;
	}
	return true;
}

/* Does it wait for a task that it stands below? */
static bool leads_back(const struct tree *tree, size_t index)
{
	int wanted = tree->s->tasks[index].awaits_task, at = tree->nodes[index].parent;

	for (size_t i = 0; wanted >= 0 && i < tree->s->ntasks && at >= 0; i++) {
		if (at == wanted)
			return true;
		at = tree->nodes[at].parent;
	}
	return false;
}

static void show_task(struct tree *tree, size_t index, size_t count, size_t last)
{
	const struct vz_snap_task *t = &tree->s->tasks[index];
	struct vz_grow *g = &tree->page->line;
	unsigned level = tree->nodes[index].level;
	size_t indent = TREE_INDENT + 2 * (level < LEVELS_MOST ? level : LEVELS_MOST), head;
	size_t frames = tree->show->all || t->nframes < FRAMES_MOST ? t->nframes : FRAMES_MOST;

	if (count > 1)
		vz_grow_add(g, "%zu %s, ", count, t->greenlet ? "greenlets" : "tasks");
	vz_grow_safe(g, t->name[0] ? t->name : "task", VZ_NAME_COLUMNS);
	if (count > 1 && strcmp(t->name, tree->s->tasks[last].name)) {
		vz_grow_add(g, " ... ");
		vz_grow_safe(g, tree->s->tasks[last].name, VZ_NAME_COLUMNS);
	}
	head = vz_text_columns(vz_grow_text(g));
	vz_words_awaits(g, t);
	if (tree->nodes[index].cyclic || leads_back(tree, index))
		vz_grow_add(g, tree->nodes[index].cyclic ? " (in a circle)"
							 : ", which is above: a circle");
	vz_page_wrap_line(tree->page, indent, indent + 2, VZ_STYLE_NAME, head);
	vz_show_frames(tree->page, tree->show, indent + 4, t->frames, frames);
	if (frames < t->nframes) {
		vz_grow_add(g, "... %zu more frames", t->nframes - frames);
		vz_page_wrap_line(tree->page, indent + 4, indent + 4, VZ_STYLE_DIM, SIZE_MAX);
	}
}

/* ---- the walk ---- */

/* Print INDEX, and with it its next sisters that are equal to it and have no
 * children. */
static void show_equals(struct tree *tree, int index)
{
	const struct vz_snap_task *tasks = tree->s->tasks;
	struct node *nodes = tree->nodes;
	size_t count = 1;
	int last = index;

	nodes[index].done = true;
	for (int i = nodes[index].next; i >= 0 && !tree->show->all; i = nodes[i].next) {
		if (nodes[index].child >= 0 || nodes[i].done || nodes[i].child >= 0 ||
		    !same_task(&tasks[index], &tasks[i]))
			break;
		nodes[i].done = true;
		last = i;
		count++;
	}
	if (tree->shown < TASKS_MOST || tree->show->all)
		show_task(tree, (size_t)index, count, (size_t)last);
	else
		tree->left_out += count;
	tree->shown++;
}

/* The first of these sisters that was not printed; -1. */
static int not_done(const struct node *nodes, int at)
{
	while (at >= 0 && nodes[at].done)
		at = nodes[at].next;
	return at;
}

/* The next one in the order of the page, within the tree below ROOT; -1: that was the last. */
static int next_node(const struct node *nodes, int at, int root)
{
	int ret = not_done(nodes, nodes[at].child);

	while (ret < 0 && at != root) {
		ret = not_done(nodes, nodes[at].next);
		at = nodes[at].parent;
	}
	return ret;
}

static void show_tree(struct tree *tree, int root)
{
	struct node *nodes = tree->nodes;

	for (int i = root; i >= 0; i = next_node(nodes, i, root)) {
		if (i != root)
			nodes[i].level = nodes[nodes[i].parent].level + 1;
		if (!nodes[i].done)
			show_equals(tree, i);
	}
}

/* Tasks of one loop, or of none that we know; greenlets are not asked for theirs. */
struct kin {
	bool greenlets;
	int loop;
};

static bool is_kin(const struct vz_snapshot *s, size_t index, struct kin kin)
{
	const struct vz_snap_task *t = &s->tasks[index];
	int loop = t->loop >= 0 && (size_t)t->loop < s->nloops ? t->loop : -1;

	return t->greenlet == kin.greenlets && (t->greenlet || loop == kin.loop);
}

static bool has_kin(const struct vz_snapshot *s, struct kin kin)
{
	for (size_t i = 0; i < s->ntasks; i++) {
		if (is_kin(s, i, kin))
			return true;
	}
	return false;
}

/* Roots are sisters too, so that they can be folded. */
static int link_roots(struct tree *tree, struct kin kin)
{
	int first = -1, *link = &first;

	for (size_t i = 0; i < tree->s->ntasks; i++) {
		if (tree->nodes[i].parent >= 0 || !is_kin(tree->s, i, kin))
			continue;
		*link = (int)i;
		link = &tree->nodes[i].next;
	}
	*link = -1;
	return first;
}

/* What no root leads to goes in a circle, or hangs on one: begin anywhere on it. */
static void show_circle(struct tree *tree, size_t index)
{
	struct node *nodes = tree->nodes;
	int at = (int)index;

	for (size_t i = 0; i < tree->s->ntasks && nodes[at].parent >= 0; i++)
		at = nodes[at].parent;
	nodes[at].cyclic = nodes[at].parent >= 0;
	show_tree(tree, at);
}

static void show_kin(struct tree *tree, struct kin kin)
{
	for (int i = link_roots(tree, kin); i >= 0; i = tree->nodes[i].next) {
		if (!tree->nodes[i].done)
			show_tree(tree, i);
	}
	for (size_t i = 0; i < tree->s->ntasks; i++) {
		if (!tree->nodes[i].done && is_kin(tree->s, i, kin))
			show_circle(tree, i);
	}
}

/* ---- headings ---- */

static void loop_heading(struct tree *tree, size_t index)
{
	const struct vz_snap_loop *l = &tree->s->loops[index];
	struct vz_grow *g = &tree->page->line;

	vz_grow_safe(g, l->kind[0] ? l->kind : "event loop", VZ_OBJECT_COLUMNS);
	vz_grow_add(g, " of ");
	vz_words_who(g, tree->s, l->thread);
	if (l->running >= 0 && (size_t)l->running < tree->s->ntasks) {
		vz_grow_add(g, ", runs ");
		vz_grow_safe(g, tree->s->tasks[l->running].name, VZ_NAME_COLUMNS);
	} else if (l->selecting) {
		vz_grow_add(g, ", waits for events");
	}
	vz_page_wrap_line(tree->page, 2, 4, VZ_STYLE_PLAIN, 0);
}

static void show_all(struct tree *tree)
{
	const struct vz_snapshot *s = tree->s;
	struct kin kin = { false, -1 };

	for (size_t i = 0; i < s->nloops; i++) {
		loop_heading(tree, i);
		show_kin(tree, (struct kin){ false, (int)i });
	}
	if (has_kin(s, kin))
		vz_page_line(tree->page, 2, "tasks of an unknown loop", VZ_STYLE_PLAIN);
	show_kin(tree, kin);
	kin.greenlets = true;
	if (has_kin(s, kin))
		vz_page_line(tree->page, 2, "greenlets that are parked", VZ_STYLE_PLAIN);
	show_kin(tree, kin);
}

void vz_show_tasks(struct vz_page *page, const struct vz_snapshot *s, const struct vz_show *show)
{
	_cleanup_free_ struct node *nodes = calloc(s->ntasks + 1, sizeof(*nodes));
	struct tree tree = { .s = s, .show = show, .page = page, .nodes = nodes };

	if (!s->nloops && !s->ntasks)
		return;
	if (!nodes) {
		page->out.failed = true;
		return;
	}
	link_nodes(&tree);
	vz_page_empty(page);
	vz_page_wrap(page, 0, 2, "Tasks; below each those that it waits for:", VZ_STYLE_BOLD,
		     SIZE_MAX);
	show_all(&tree);
	if (tree.left_out + s->tasks_left_out) {
		vz_grow_add(&page->line, "... %zu more tasks%s", tree.left_out + s->tasks_left_out,
			    tree.left_out ? " (--all shows them)" : "");
		vz_page_wrap_line(page, TREE_INDENT, TREE_INDENT, VZ_STYLE_DIM, SIZE_MAX);
	}
}
