// SPDX-License-Identifier: MIT
// virtual_list.ts - a list of any length of which only the rows in sight exist.
//
// Owns scrolling, the selected row, and the keys that move it.  Whoever uses it draws a row.
// It is a grid, treegrid or listbox for assistive technology: the list has the focus, and
// aria-activedescendant says which row is meant.
import { clamp, el } from './dom';

export interface ListOptions {
	label: string;
	role: 'grid' | 'treegrid' | 'listbox';
	row(i: number, e: HTMLElement): void;     // fills the row
	select?(i: number): void;                 // by click or key
	open?(i: number): void;                   // double click or Enter
	key?(event: KeyboardEvent, i: number): boolean; // true: done
	head?: HTMLElement;                       // stays above the rows
}

const ROW = 22;
const AHEAD = 6; // rows beyond each edge, so that scrolling does not flash
const MOST = 700000; // rows; a browser has no taller elements
let lists = 0;

export class VirtualList {
	readonly root: HTMLElement;
	selected = -1;
	private n = 0;
	private readonly body: HTMLElement;
	private readonly id = 'p-list' + lists++;
	private rows = new Map<number, HTMLElement>();

	constructor(private options: ListOptions) {
		this.body = el('div', { class: 'p-rows', role: options.role === 'listbox' ? 'presentation' : 'rowgroup' });
		this.root = el('div', {
			class: 'p-list', role: options.role, tabindex: 0, 'aria-label': options.label,
			onscroll: () => this.draw(), onkeydown: (e: KeyboardEvent) => this.onKey(e),
		}, options.head, this.body);
		this.body.addEventListener('click', (e) => this.pointed(e, (i) => this.select(i, true)));
		this.body.addEventListener('dblclick', (e) => this.pointed(e, (i) => this.options.open?.(i)));
		new ResizeObserver(() => this.draw()).observe(this.root);
	}

	// Shows N rows anew; SELECTED: the one that is selected, -1: none.
	show(n: number, selected = -1): void {
		this.n = Math.min(n, MOST);
		this.selected = selected < this.n ? selected : -1;
		this.body.style.height = this.n * ROW + 'px';
		if (this.options.role !== 'listbox') this.root.setAttribute('aria-rowcount', String(this.n + 1));
		this.refresh();
	}

	// Draws the rows in sight again.
	refresh(): void {
		this.body.textContent = '';
		this.rows.clear();
		this.draw();
	}

	// Marks row I; TELL: as if the user had done it.
	select(i: number, tell: boolean): void {
		const old = this.rows.get(this.selected);
		if (old) this.mark(old, false);
		this.selected = i;
		if (i >= 0) this.reveal(i);
		this.draw();
		const row = this.rows.get(i);
		if (row) this.mark(row, true);
		else this.root.removeAttribute('aria-activedescendant');
		if (tell && i >= 0) this.options.select?.(i);
	}

	// Indices of the rows that can be seen.
	inSight(): number[] {
		const top = this.root.scrollTop, bottom = top + this.room();
		return [...this.rows.keys()].filter((i) => (i + 1) * ROW > top && i * ROW < bottom).sort((a, b) => a - b);
	}

	private room(): number {
		return Math.max(0, this.root.clientHeight - (this.options.head?.offsetHeight ?? 0));
	}

	private reveal(i: number): void {
		const top = i * ROW, room = this.room();
		if (top < this.root.scrollTop) this.root.scrollTop = top;
		else if (top + ROW > this.root.scrollTop + room) this.root.scrollTop = top + ROW - room;
	}

	private draw(): void {
		const from = clamp(Math.floor(this.root.scrollTop / ROW) - AHEAD, 0, this.n);
		const to = clamp(Math.ceil((this.root.scrollTop + this.room()) / ROW) + AHEAD, 0, this.n);
		for (const [i, row] of this.rows) {
			if (i >= from && i < to) continue;
			row.remove();
			this.rows.delete(i);
		}
		for (let i = from; i < to; i++) if (!this.rows.has(i)) this.body.append(this.make(i));
	}

	private make(i: number): HTMLElement {
		const box = this.options.role === 'listbox';
		const row = el('div', { class: 'p-row', id: this.id + '-' + i, role: box ? 'option' : 'row' });
		if (box) row.setAttribute('aria-setsize', String(this.n));
		row.setAttribute(box ? 'aria-posinset' : 'aria-rowindex', String(i + (box ? 1 : 2)));
		row.style.top = i * ROW + 'px';
		this.options.row(i, row);
		this.mark(row, i === this.selected);
		this.rows.set(i, row);
		return row;
	}

	private mark(row: HTMLElement, on: boolean): void {
		row.classList.toggle('on', on);
		row.setAttribute('aria-selected', String(on));
		if (on) this.root.setAttribute('aria-activedescendant', row.id);
	}

	private pointed(event: MouseEvent, then: (i: number) => void): void {
		const i = Math.floor((event.clientY - this.body.getBoundingClientRect().top) / ROW);
		if (i >= 0 && i < this.n) then(i);
	}

	private onKey(event: KeyboardEvent): void {
		if (event.target !== this.root || event.ctrlKey || event.metaKey || event.altKey) return;
		if (this.options.key?.(event, this.selected) || this.move(event)) {
			event.preventDefault();
			event.stopPropagation();
		}
	}

	private move(event: KeyboardEvent): boolean {
		const page = Math.max(1, Math.floor(this.room() / ROW) - 1), at = this.selected;
		const to: Record<string, number> = {
			ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.n - 1,
		};
		if (!this.n) return false;
		if (event.key === 'Enter' && at >= 0) this.options.open?.(at);
		else if (event.key in to) this.select(clamp(to[event.key], 0, this.n - 1), true);
		else return false;
		return true;
	}
}
