// SPDX-License-Identifier: MIT
// flame_view.ts - a flame graph: one box for each call path, as wide as its time, largest left.
//
// Owns its canvas, what of the tree it shows (a window of time, so that zooming moves smoothly),
// and the selected box.  A box narrower than a pixel or two is never drawn: it and all after it
// become one grey box that says how many there are; so does time that the tree does not explain.
import { duration, percent, place, title } from '../units';
import type { Calls } from './calls';
import type { Context } from './context';
import { clamp, el, fill, themed, underWay } from './dom';
import { ink, swatch } from './paint';
import { plural } from './text';

export interface FlameOptions {
	label: string;
	root: string;                       // what node 0 is
	fn?: number;                        // and of which function
	up: boolean;                        // the root is at the bottom
	heading?: string;                   // with it, all that is said stands in one line above
	hint: string;                       // what a click does
	pick?(node: number): void;
	open(fn: number): void;             // double click, or Shift Enter
}

const ROW = 20, NARROW = 1.5, TEXT = 26, EASE_MS = 140;

const enum Kind { Call, More, Other }
interface Box { kind: Kind; x: number; w: number; y: number; node: number; n: number; ns: number }

export class FlameView {
	readonly root: HTMLElement;
	zoomed = 0;
	selected = -1;
	private calls: Calls | null = null;
	private at = new Float64Array(0);      // where each node begins
	private from = 0;
	private to = 1;
	private past: number[] = [];
	private boxes: Box[] = [];
	private hover: Box | null = null;
	private frame = 0;
	private turn = 0;                      // of zooming
	private readonly canvas = el('canvas', { 'aria-hidden': 'true' });
	private readonly spacer = el('div');
	private readonly scroller: HTMLElement;
	private readonly crumbs = el('nav', { class: 'p-crumbs', 'aria-label': 'Zoomed to' });
	private readonly status = el('div', { class: 'p-status', role: 'status' });
	private readonly pen = this.canvas.getContext('2d')!;

	constructor(private ctx: Context, private options: FlameOptions) {
		this.scroller = el('div', {
			class: 'p-flame', tabindex: 0, role: 'application', 'aria-roledescription': 'flame graph',
			'aria-label': options.label + '. Arrows go to callers, calls and neighbours, Enter zooms, Escape goes back.',
			onscroll: () => this.draw(), onkeydown: (e: KeyboardEvent) => this.onKey(e),
			onmousemove: (e: MouseEvent) => this.onMove(e), onmouseleave: () => this.leave(),
			onclick: (e: MouseEvent) => this.onClick(e), ondblclick: (e: MouseEvent) => this.onDouble(e),
		}, this.canvas, this.spacer);
		this.root = el('div', 'p-flamebox', ...options.heading
			? [el('h3', null, options.heading, this.crumbs, this.status), this.scroller] : [this.crumbs, this.scroller, this.status]);
		new ResizeObserver(() => this.resize()).observe(this.scroller);
	}

	// Shows other calls; keeps the zoom if its path is still there.
	show(calls: Calls): void {
		const keep = this.calls && this.zoomed ? find(calls, this.calls, this.zoomed) : 0;
		const selected = this.calls && this.selected > 0 ? find(calls, this.calls, this.selected) : 0;
		this.calls = calls;
		this.at = places(calls);
		this.past = [];
		this.hover = null;
		this.selected = selected || -1;
		this.zoomed = keep;
		this.turn++;
		[this.from, this.to] = this.window(keep);
		this.describe();
		this.breadcrumbs();
		this.resize();
	}

	draw(): void {
		if (this.frame) return;
		underWay.n++;
		this.frame = requestAnimationFrame(() => {
			this.frame = 0;
			underWay.n--;
			this.paint();
		});
	}

	zoom(node: number, remember = true): void {
		if (node === this.zoomed) return;
		this.leave();
		if (remember) this.past.push(this.zoomed);
		this.zoomed = node;
		this.breadcrumbs();
		this.glide(...this.window(node));
	}

	// One zoom back; false: there is none.
	back(): boolean {
		if (!this.zoomed) return false;
		this.zoom(this.past.pop() ?? 0, false);
		return true;
	}

	visible(): unknown {
		const f = this.ctx.opened?.functions, zero = this.canvas.getBoundingClientRect();
		return {
			zoomed: this.zoomed, selected: this.selected,
			boxes: [...this.boxes].sort((a, b) => a.y - b.y || a.x - b.x).map((b) => ({
				kind: ['call', 'more', 'other'][b.kind], name: !f ? '' : b.kind === Kind.Call ? this.nameOf(b.node) : this.more(b),
				fn: b.kind === Kind.Call ? this.fnOf(b.node) : -1, ns: b.ns,
				x: zero.left + b.x, y: zero.top + b.y, width: b.w, height: ROW,
			})),
		};
	}

	private window(node: number): [number, number] {
		const { total } = this.calls!.tree;
		return [this.at[node], this.at[node] + Math.max(total[node], 1)];
	}

	private glide(from: number, to: number): void {
		const { from: a, to: b } = this, begin = performance.now(), turn = ++this.turn;
		const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
		const step = (now: number): void => {
			if (turn !== this.turn) { // zoomed elsewhere since
				underWay.n--;
				return;
			}
			const t = still ? 1 : clamp((now - begin) / EASE_MS, 0, 1), s = 1 - (1 - t) ** 3;
			this.from = a + (from - a) * s;
			this.to = b + (to - b) * s;
			this.paint();
			if (t < 1) requestAnimationFrame(step);
			else underWay.n--;
		};
		underWay.n++;
		step(begin);
	}

	private resize(): void {
		const width = this.scroller.clientWidth, height = this.scroller.clientHeight, ratio = devicePixelRatio || 1;
		if (!width || !height || !this.calls) return;
		this.canvas.width = Math.round(width * ratio);
		this.canvas.height = Math.round(height * ratio);
		this.canvas.style.width = width + 'px';
		this.canvas.style.height = height + 'px';
		const rows = (this.calls.deepest + 2) * ROW;
		this.spacer.style.height = Math.max(0, rows - height) + 'px';
		if (this.options.up) this.scroller.scrollTop = rows; // the root is at the bottom
		this.paint();
	}

	// Boxes of what is in the window; from the root down, siblings from left to right.
	private layout(width: number): void {
		const calls = this.calls!, { total } = calls.tree, k = width / (this.to - this.from), boxes: Box[] = [];
		const put = (kind: Kind, node: number, depth: number, at: number, ns: number, n: number): void => {
			const x0 = Math.max(0, (at - this.from) * k), x1 = Math.min(width, (at + ns - this.from) * k);
			if (x1 > 0 && x0 < width && x1 - x0 > 0.25) boxes.push({ kind, node, n, ns, x: x0, w: x1 - x0, y: this.top(depth) });
		};
		const todo = [0];
		while (todo.length) {
			const node = todo.pop()!, depth = calls.depth[node], kids = calls.children(node);
			put(Kind.Call, node, depth, this.at[node], total[node], 0);
			let at = this.at[node], i = 0;
			for (; i < kids.length && total[kids[i]] * k >= NARROW; at += total[kids[i++]]) {
				if (at < this.to && at + total[kids[i]] > this.from) todo.push(kids[i]);
			}
			const rest = calls.rest(node), begin = at, left = kids.length - i;
			for (; i < kids.length; i++) at += total[kids[i]];
			at += rest.small;
			put(Kind.More, node, depth + 1, begin, at - begin, rest.small ? -1 - left : left);
			put(Kind.Other, node, depth + 1, at, rest.other, 0);
		}
		this.boxes = boxes.filter((b) => b.y + ROW > 0 && b.y < this.scroller.clientHeight);
	}

	private top(depth: number): number {
		const rows = (this.calls!.deepest + 2) * ROW, height = Math.max(rows, this.scroller.clientHeight);
		return (this.options.up ? height - (depth + 1) * ROW : depth * ROW) - this.scroller.scrollTop;
	}

	private paint(): void {
		const { pen, scroller } = this, width = scroller.clientWidth, ratio = devicePixelRatio || 1;
		if (!this.calls || !width) return;
		this.layout(width);
		const find = this.ctx.state.now.find !== '' && this.ctx.hits.size > 0;
		const grey = themed('--line', '#ccc'), dim = themed('--dim', '#777'), back = themed('--bg', '#fff');
		const text = themed('--text', '#111'), top = themed('--bar', '#cdf'), above = new Set(this.calls.path(this.zoomed).slice(0, -1));
		const { total, calls: count } = this.calls.tree;
		pen.setTransform(ratio, 0, 0, ratio, 0, 0);
		pen.clearRect(0, 0, width, scroller.clientHeight);
		pen.font = '12px system-ui, "DejaVu Sans", sans-serif';
		pen.textBaseline = 'middle';
		for (const b of this.boxes) {
			const fn = this.fnOf(b.node), call = b.kind === Kind.Call && fn >= 0;
			const far = above.has(b.node) && b.kind === Kind.Call || find && call && !this.ctx.hits.has(fn);
			pen.globalAlpha = far ? 0.4 : 1;
			const each = total[b.node] / Math.max(1, count[b.node]); // for colours by duration
			pen.fillStyle = call ? swatch(fn, each) : b.kind === Kind.Call ? top : grey;
			pen.fillRect(b.x, b.y, Math.max(0.6, b.w - (b.w > 3 ? 1 : 0)), ROW - 1);
			if (b.w > TEXT) {
				pen.globalAlpha = far ? 0.75 : 1;
				pen.fillStyle = far ? text : call ? ink() : b.kind === Kind.Call ? text : dim;
				pen.fillText(this.fit(b.kind === Kind.Call ? this.nameOf(b.node) : this.more(b), b.w - 9), b.x + 4, b.y + ROW / 2);
			}
		}
		pen.globalAlpha = 1;
		this.outlines(text, back);
	}

	private outlines(text: string, back: string): void {
		for (const b of this.boxes) {
			const chosen = b.kind === Kind.Call && b.node === this.selected;
			if (!chosen && b !== this.hover && !this.sameAsHover(b)) continue;
			this.pen.strokeStyle = text;
			this.pen.lineWidth = chosen ? 2 : 1;
			this.pen.strokeRect(b.x + 1, b.y + 1, Math.max(1, b.w - 3), ROW - 3);
			if (!chosen || b.w < 8) continue;
			this.pen.strokeStyle = back;
			this.pen.lineWidth = 1;
			this.pen.strokeRect(b.x + 2.5, b.y + 2.5, Math.max(1, b.w - 6), ROW - 6);
		}
	}

	private sameAsHover(b: Box): boolean {
		return !!this.hover && b.kind === this.hover.kind && b.node === this.hover.node;
	}

	private fit(text: string, width: number): string {
		const all = this.pen.measureText(text).width;
		if (all <= width) return text;
		const n = Math.floor(text.length * (width - 10) / all);
		return n > 1 ? text.slice(0, n) + '…' : '';
	}

	private fnOf(node: number): number { return node ? this.calls!.tree.fn[node] : this.options.fn ?? -1; }

	private nameOf(node: number): string {
		return node ? title(this.ctx.opened!.functions, this.calls!.tree.fn[node]) : this.options.root;
	}

	private more(b: Box): string {
		if (b.kind === Kind.Other) return 'path not kept';
		return b.n === -1 ? 'too small to show' : b.n < 0 ? `more than ${-1 - b.n} more` : `${b.n} more`;
	}

	// ---- selecting ----

	private describe(): void {
		const box = this.selected >= 0 ? this.lines(this.selected) : [];
		fill(this.status, box.length ? box.join('  ·  ')
			: el('span', { class: 'p-dim', text: this.options.hint }));
		this.status.title = box.join('\n');
	}

	private lines(node: number): string[] {
		const calls = this.calls!, { tree } = calls, f = this.ctx.opened!.functions;
		const all = tree.total[0], up = calls.tree.parent[node];
		return [
			this.nameOf(node), this.fnOf(node) >= 0 ? place(f, this.fnOf(node)) : '',
			`${duration(tree.total[node])}, ${percent(tree.total[node], all)}` +
				(node && up ? ` (${percent(tree.total[node], tree.total[up])} of its caller)` : ''),
			'self ' + duration(tree.self[node]), this.fnOf(node) >= 0 ? plural(tree.calls[node], 'call') : '',
		].filter(Boolean);
	}

	private pick(node: number): void {
		this.selected = node;
		this.describe();
		this.reveal(node);
		this.draw();
		this.options.pick?.(node);
	}

	private reveal(node: number): void {
		const y = this.top(this.calls!.depth[node]), height = this.scroller.clientHeight;
		if (y < 0) this.scroller.scrollTop += y;
		else if (y + ROW > height) this.scroller.scrollTop += y + ROW - height;
	}

	private hit(event: MouseEvent): Box | null {
		const zero = this.canvas.getBoundingClientRect(), x = event.clientX - zero.left, y = event.clientY - zero.top;
		return this.boxes.find((b) => y >= b.y && y < b.y + ROW && x >= b.x && x < b.x + Math.max(b.w, 2)) ?? null;
	}

	private onMove(event: MouseEvent): void {
		this.hover = this.hit(event);
		this.scroller.style.cursor = this.hover?.kind === Kind.Call ? 'pointer' : '';
		this.draw();
		if (!this.hover) return this.ctx.noTip();
		const [first, ...lines] = this.hover.kind === Kind.Call ? this.lines(this.hover.node) : this.explain(this.hover);
		this.ctx.tip(event.clientX, event.clientY, el('b', { text: first }), ...lines.map((text) => el('div', { text })));
	}

	private explain(b: Box): string[] {
		const share = `${duration(b.ns)}, ${percent(b.ns, this.calls!.tree.total[0])}`;
		if (b.kind === Kind.Other) return ['Path not kept', share, 'Called from here, but on more paths than the index keeps.'];
		const left = this.calls!.tree.pruned;
		return ['Calls too small to show', share, b.n < 0 ? `Left out of the tree: ${plural(left, 'path')} in all.`
			: `${plural(b.n, 'function')} called from here.`, 'Zoom into the caller to see them larger.'];
	}

	private leave(): void {
		this.hover = null;
		this.ctx.noTip();
		this.draw();
	}

	private onClick(event: MouseEvent): void {
		const b = this.hit(event);
		if (!b) return;
		this.pick(b.node);
		this.zoom(b.node);
	}

	private onDouble(event: MouseEvent): void {
		const b = this.hit(event);
		if (b?.kind === Kind.Call) this.openNode(b.node);
	}

	private openNode(node: number): void {
		const fn = this.fnOf(node);
		if (fn >= 0) this.options.open(fn);
	}

	private onKey(event: KeyboardEvent): void {
		if (!this.calls || event.ctrlKey || event.metaKey || event.altKey) return;
		if (event.shiftKey && event.key === 'Enter') this.openNode(Math.max(0, this.selected));
		else if (!this.step(event.key)) return;
		this.leave();
		event.preventDefault();
		event.stopPropagation();
	}

	private step(key: string): boolean {
		const calls = this.calls!, at = Math.max(0, this.selected), deeper = this.options.up ? 'ArrowUp' : 'ArrowDown';
		const across = calls.children(calls.tree.parent[at]), i = across.indexOf(at);
		if (key === 'Escape') return this.back();
		if (key === 'Enter') this.zoom(at);
		else if (key === 'Home') this.zoom(0);
		else if (this.selected < 0 && key.startsWith('Arrow')) this.pick(this.zoomed);
		else if (key === deeper) this.pick(calls.children(at)[0] ?? at);
		else if (key === 'ArrowUp' || key === 'ArrowDown') this.pick(at ? calls.tree.parent[at] : 0);
		else if (key === 'ArrowLeft') this.pick(at ? across[Math.max(0, i - 1)] : at);
		else if (key === 'ArrowRight') this.pick(at ? across[Math.min(across.length - 1, i + 1)] : at);
		else return false;
		return true;
	}

	private breadcrumbs(): void {
		if (!this.zoomed) return fill(this.crumbs, el('b', { text: 'All' }));
		const path = this.calls!.path(this.zoomed), shown = path.length > 7 ? [0, ...path.slice(-5)] : path;
		fill(this.crumbs, shown.flatMap((node, i) => {
			const last = node === this.zoomed, gap = i === 1 && shown.length < path.length ? ' › …' : '';
			const name = i ? this.nameOf(node) : 'All';
			return [i ? el('span', { class: 'p-dim', text: gap + ' › ' }) : null,
				last ? el('b', { text: name }) : el('button', {
					type: 'button', class: 'p-link', text: name, onclick: () => this.zoom(node),
				})];
		}));
	}
}

// Where each node begins if siblings stand side by side.
function places(calls: Calls): Float64Array {
	const { n, total } = calls.tree, at = new Float64Array(n);
	for (let i = 0; i < n; i++) {
		let x = at[i];
		for (const kid of calls.children(i)) {
			at[kid] = x;
			x += total[kid];
		}
	}
	return at;
}

// The node of NOW that has the path of NODE in BEFORE, 0: none.
function find(now: Calls, before: Calls, node: number): number {
	let at = 0;
	for (const step of before.path(node).slice(1)) {
		const kid = now.children(at).find((k) => now.tree.fn[k] === before.tree.fn[step]);
		if (kid === undefined) return 0;
		at = kid;
	}
	return at;
}
