// SPDX-License-Identifier: MIT
// tree.ts - the calls of the range as a tree whose rows open.
import type { Aggregate } from '../engine';
import type { Members } from '../state';
import { count, duration, percent, title } from '../units';
import { Calls } from './calls';
import type { Context, Panel } from './context';
import { button, el, empty, failed, fill, Latest } from './dom';
import { functionNodes } from './names';
import { plural } from './text';
import { VirtualList } from './virtual_list';

const INDENT = 14;
const enum Kind { Call, Small, Other }
interface Row { kind: Kind; node: number } // of Small and Other: what they are below

export class Tree implements Panel {
	readonly name = 'tree';
	readonly title = 'Call tree';
	readonly ranged = true;
	readonly root = el('section');
	private sums: Aggregate | null = null;
	private calls: Calls | null = null;
	private open = new Set<number>();
	private rows: Row[] = [];
	private readonly list: VirtualList;
	private readonly note = el('span', 'p-dim');
	private readonly box = el('div', 'p-fill');
	private readonly latest = new Latest(this.root, (e) => {
		this.sums = null;
		fill(this.box, failed('The call tree of this range cannot be shown.', e, () => this.update(new Set())));
	});

	constructor(private ctx: Context) {
		const head = el('div', { class: 'p-head', role: 'row', 'aria-rowindex': 1 }, ...[
			['Total', 'Time in it and in what it called'], ['Self', 'Time in itself'],
			['Calls', 'Entries on this path'], ['Function', 'Each below what called it'],
		].map(([text, why], i) => el('div', { role: 'columnheader', class: i === 3 ? 'left' : '', title: why },
			el('span', { text }))));
		this.list = new VirtualList({
			label: 'Call tree of the range', role: 'treegrid', head, row: (i, e) => this.row(i, e),
			select: (i) => { if (this.rows[i].kind === Kind.Call) this.ctx.focus(this.fn(this.rows[i])); },
			open: (i) => this.toggle(i), key: (e, i) => this.key(e, i),
		});
		this.list.root.style.setProperty('--cols', '148px 90px 84px minmax(240px, 1fr)');
		this.list.root.addEventListener('click', (e) => {
			const row = (e.target as Element).closest('.p-twist')?.closest('.p-row');
			if (row) this.toggle(this.list.selected);
		});
		fill(this.root, el('div', 'p-tools',
			button('Open hot path', 'Open the rows where most of the time went, from the selected one (h)', () => this.hot()),
			button('Close all', 'Close all rows', () => this.close()), this.note), this.box);
	}

	update(_changed: Set<keyof Members>): void {
		const range = this.ctx.range();
		void this.latest.run(() => this.ctx.aggregate(range, true), (sums) => {
			if (sums === this.sums && this.calls) return this.list.refresh();
			this.sums = sums;
			this.fresh(sums);
		});
	}

	copy(json: boolean): string | null {
		const calls = this.calls, f = this.ctx.opened?.functions;
		if (!calls || !f) return null;
		const rows = this.rows.filter((r) => r.kind === Kind.Call).map(({ node }) => ({
			depth: calls.depth[node] - 1, name: title(f, calls.tree.fn[node]), total_ns: calls.tree.total[node],
			self_ns: calls.tree.self[node], calls: calls.tree.calls[node],
		}));
		return json ? JSON.stringify(rows, null, 1) + '\n' : 'Total\tSelf\tCalls\tFunction\n' + rows.map((r) =>
			`${r.total_ns}\t${r.self_ns}\t${r.calls}\t${'  '.repeat(r.depth)}${r.name}\n`).join('');
	}

	visible(): unknown {
		const calls = this.calls, f = this.ctx.opened?.functions;
		if (!calls || !f) return { rows: [] };
		return { total: this.rows.length, selected: this.list.selected, rows: this.list.inSight().map((i) => {
			const r = this.rows[i], { tree, depth } = calls;
			return r.kind !== Kind.Call ? { name: this.restText(r), level: depth[r.node] + 1 }
				: { name: title(f, tree.fn[r.node]), level: depth[r.node], total: tree.total[r.node], self: tree.self[r.node],
					calls: tree.calls[r.node], expanded: this.opens(r.node) ? this.open.has(r.node) : null };
		}) };
	}

	private fn(r: Row): number { return this.calls!.tree.fn[r.node]; }

	private opens(node: number): boolean { return this.calls!.children(node).length > 0; }

	// Other sums: opens the paths that were open.
	private fresh(sums: Aggregate): void {
		const before = this.calls, was = this.open, calls = this.calls = new Calls(sums.tree!);
		const map = new Map([[0, 0]]); // nodes of before that are open, and now
		const selected = this.rows[this.list.selected]?.node ?? -1;
		let at = -1;
		this.open = new Set([0]);
		const walk = (old: number, now: number): void => {
			for (const kid of before!.children(old)) {
				const same = calls.children(now).find((k) => calls.tree.fn[k] === before!.tree.fn[kid]);
				if (same === undefined) continue;
				map.set(kid, same);
				if (kid === selected) at = same;
				if (was.has(kid)) {
					this.open.add(same);
					walk(kid, same);
				}
			}
		};
		if (before) walk(0, 0);
		else for (const node of calls.hot(0)) this.open.add(node);
		if (!(sums.tree!.total[0] > 0)) {
			fill(this.box, empty('Nothing was running in this range.', 'Zoom out, or select a range with calls.'));
			this.note.textContent = '';
			return;
		}
		this.note.textContent = `${duration(sums.tree!.total[0])} in all, ${plural(sums.tree!.n - 1, 'call path')}` +
			(sums.tree!.pruned ? `; ${count(sums.tree!.pruned)} more were too small to keep` : '');
		if (this.list.root.parentNode !== this.box) fill(this.box, this.list.root);
		this.lay(at);
	}

	// Rows of what is open; SELECTED: node.
	private lay(selected: number): void {
		const calls = this.calls!, rows: Row[] = [];
		const walk = (node: number): void => {
			for (const kid of calls.children(node)) {
				rows.push({ kind: Kind.Call, node: kid });
				if (this.open.has(kid)) walk(kid);
			}
			const rest = calls.rest(node);
			if (rest.small > calls.tree.total[0] / 2000) rows.push({ kind: Kind.Small, node });
			if (rest.other) rows.push({ kind: Kind.Other, node });
		};
		walk(0);
		this.rows = rows;
		const i = rows.findIndex((r) => r.kind === Kind.Call && r.node === selected);
		this.list.show(rows.length, i);
		if (i >= 0) this.list.select(i, false);
	}

	private toggle(i: number, on?: boolean): void {
		const r = this.rows[i];
		if (!r || r.kind !== Kind.Call || !this.opens(r.node)) return;
		if (on ?? !this.open.has(r.node)) this.open.add(r.node);
		else this.open.delete(r.node);
		this.lay(r.node);
	}

	private hot(): void {
		const calls = this.calls, r = this.rows[this.list.selected];
		if (!calls) return;
		const path = calls.hot(r?.kind === Kind.Call ? r.node : 0);
		if (path.length === 1 && this.opens(path[0])) path.push(calls.children(path[0])[0]);
		for (const node of path.slice(0, -1)) this.open.add(node);
		this.lay(path[path.length - 1]);
		this.list.root.focus();
		const last = path[path.length - 1];
		if (last) this.ctx.focus(calls.tree.fn[last]);
	}

	private close(): void {
		this.open = new Set([0]);
		if (this.calls) this.lay(-1);
	}

	private key(event: KeyboardEvent, i: number): boolean {
		const r = this.rows[i], calls = this.calls!;
		if (event.key === 'h') this.hot();
		else if (!r || r.kind !== Kind.Call) return false;
		else if (event.key === 'ArrowRight') this.right(i, r);
		else if (event.key === 'ArrowLeft') {
			if (this.open.has(r.node) && this.opens(r.node)) this.toggle(i, false);
			else if (calls.tree.parent[r.node]) this.goto(calls.tree.parent[r.node]);
		} else if (event.key === '*') {
			for (const kid of calls.children(calls.tree.parent[r.node])) if (this.opens(kid)) this.open.add(kid);
			this.lay(r.node);
		} else return false;
		return true;
	}

	private right(i: number, r: Row): void {
		if (!this.opens(r.node)) return;
		if (this.open.has(r.node)) this.list.select(i + 1, true);
		else this.toggle(i, true);
	}

	private goto(node: number): void {
		this.list.select(this.rows.findIndex((r) => r.kind === Kind.Call && r.node === node), true);
	}

	private restText(r: Row): string {
		const rest = this.calls!.rest(r.node);
		return r.kind === Kind.Small ? `${duration(rest.small)} in calls too small to show`
			: `${duration(rest.other)} in calls whose path was not kept`;
	}

	private row(i: number, e: HTMLElement): void {
		const r = this.rows[i], { tree, depth } = this.calls!, level = depth[r.node] + (r.kind === Kind.Call ? 0 : 1);
		const cell = (text: string, cls = ''): HTMLElement => el('div', { role: 'gridcell', class: cls }, el('span', { text }));
		e.setAttribute('aria-level', String(level));
		const twist = el('span', { class: 'p-twist', 'aria-hidden': 'true' });
		const name = el('div', { role: 'gridcell', class: 'left' }, twist);
		name.style.paddingLeft = Math.min(level - 1, 60) * INDENT + 'px';
		if (r.kind !== Kind.Call) {
			name.append(el('span', { class: 'p-dim', text: this.restText(r) }));
			return e.append(cell(''), cell(''), cell(''), name);
		}
		if (this.opens(r.node)) {
			const on = this.open.has(r.node);
			e.setAttribute('aria-expanded', String(on));
			twist.textContent = on ? '▾' : '▸';
		}
		const share = el('i');
		share.style.width = tree.total[r.node] / tree.total[0] * 100 + '%';
		const total = cell(duration(tree.total[r.node]));
		total.prepend(share);
		total.append(el('small', { text: percent(tree.total[r.node], tree.total[0]) }));
		name.append(...functionNodes(this.ctx.opened!.functions, this.fn(r)));
		if (this.ctx.state.now.find && this.ctx.hits.has(this.fn(r))) e.classList.add('lit');
		e.append(total, cell(duration(tree.self[r.node])), cell(count(tree.calls[r.node])), name);
	}
}
