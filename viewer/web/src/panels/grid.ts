// SPDX-License-Identifier: MIT
// grid.ts - rows of values in columns that can be sorted, on a virtual list.
import { el } from './dom';
import { VirtualList } from './virtual_list';

let collate: Intl.Collator['compare'] | null = null; // far quicker than localeCompare(); takes its time to begin

export interface Column<T> {
	label: string;
	title: string;                     // what exactly it is
	value(row: T): number | string | null; // sorted and copied by this; null: unknown, always last
	text?(row: T): string;             // shown; else the value
	node?(row: T): Node[];             // shown instead of a text
	tip?(row: T): string;              // what more there is to say
	bar?(row: T): number;              // share, 0 to 1, drawn behind it
	width: string;                     // of grid-template-columns
	least?: number;                    // only where the list is at least so wide, px
	left?: boolean;                    // text, not a number
}

export interface GridOptions<T> {
	label: string;
	columns: Column<T>[];
	sort: string;                      // label of the column; largest number or first text on top
	select?(row: T): void;
	open?(row: T): void;
	key?(event: KeyboardEvent, row: T | null): boolean;
	dim?(row: T): boolean;             // stands back
	lit?(row: T): boolean;             // found
	same?(a: T, b: T): boolean;        // keeps the selected row when the rows are new
}

export class Grid<T> {
	readonly root: HTMLElement;
	rows: T[] = [];                    // as shown
	private columns: Column<T>[] = [];
	private sortBy: Column<T> | null;
	private up: boolean;
	private readonly head = el('div', { class: 'p-head', role: 'row', 'aria-rowindex': 1 });
	private readonly list: VirtualList;

	constructor(private options: GridOptions<T>) {
		this.sortBy = options.columns.find((c) => c.label === options.sort) ?? null;
		this.up = !!this.sortBy?.left;
		this.list = new VirtualList({
			label: options.label, role: 'grid', head: this.head,
			row: (i, e) => this.row(this.rows[i], e),
			select: (i) => options.select?.(this.rows[i]),
			open: (i) => options.open?.(this.rows[i]),
			key: (e, i) => options.key?.(e, i < 0 ? null : this.rows[i]) ?? false,
		});
		this.root = this.list.root;
		new ResizeObserver(() => this.fit()).observe(this.root);
		this.fit();
	}

	// Shows ROWS (which are the grid's from now on) in its order.
	show(rows: T[], top = false): void {
		const old = this.rows[this.list.selected], { same } = this.options;
		this.rows = rows;
		this.order();
		if (top) this.root.scrollTop = 0;
		this.list.show(rows.length, old && same ? rows.findIndex((r) => same(r, old)) : -1);
	}

	selectWhere(which: (row: T) => boolean): void { this.list.select(this.rows.findIndex(which), false); }

	refresh(): void { this.list.refresh(); }

	get selected(): T | null { return this.rows[this.list.selected] ?? null; }

	// Rows in sight, as what they show.
	visible(): Record<string, string>[] {
		return this.list.inSight().map((i) => Object.fromEntries(this.columns.map((c) =>
			[c.label, c.text ? c.text(this.rows[i]) : String(c.value(this.rows[i]) ?? '')])));
	}

	sorted(): { by: string; ascending: boolean } { return { by: this.sortBy?.label ?? '', ascending: this.up }; }

	sortAs(label: string, ascending: boolean): void {
		this.sortBy = this.options.columns.find((c) => c.label === label) ?? this.sortBy;
		this.up = ascending;
		this.titles();
	}

	// All rows and columns, raw values; tabs and line breaks in names become spaces.
	tsv(): string {
		const { columns } = this.options, clean = (v: unknown): string => String(v ?? '').replace(/[\t\r\n]+/g, ' ');
		return [columns.map((c) => c.label), ...this.rows.map((r) => columns.map((c) => c.value(r)))]
			.map((cells) => cells.map(clean).join('\t')).join('\n') + '\n';
	}

	// Columns for which there is room.
	private fit(): void {
		const width = this.root.clientWidth;
		const columns = this.options.columns.filter((c) => !c.least || width >= c.least);
		if (columns.length === this.columns.length) return;
		this.columns = columns;
		this.root.style.setProperty('--cols', columns.map((c) => c.width).join(' '));
		this.titles();
		this.list.refresh();
	}

	private titles(): void {
		const had = (document.activeElement as HTMLElement | null)?.closest('.p-head') === this.head;
		this.head.textContent = '';
		for (const c of this.columns) {
			const on = c === this.sortBy;
			const press = el('button', {
				type: 'button', title: c.title, text: c.label, onclick: () => this.sort(c),
			});
			this.head.append(el('div', {
				role: 'columnheader', class: (c.left ? 'left' : '') + (on ? ' on' : ''),
				'aria-sort': on ? this.up ? 'ascending' : 'descending' : 'none',
			}, press));
			if (had && on) press.focus();
		}
	}

	private sort(column: Column<T>): void {
		this.up = this.sortBy === column ? !this.up : !!column.left;
		this.sortBy = column;
		this.titles();
		this.show(this.rows, true);
	}

	private order(): void {
		const by = this.sortBy;
		if (!by) return;
		const sign = this.up ? 1 : -1;
		const keys = new Map(this.rows.map((r) => [r, by.value(r)]));
		this.rows.sort((x, y) => {
			const a = keys.get(x) ?? null, b = keys.get(y) ?? null;
			if (a === null || b === null) return Number(a === null) - Number(b === null);
			return sign * (typeof a === 'string' ? (collate ??= new Intl.Collator().compare)(a, String(b)) : a - Number(b));
		});
	}

	private row(row: T, e: HTMLElement): void {
		const { dim, lit } = this.options;
		if (dim?.(row)) e.classList.add('dim');
		if (lit?.(row)) e.classList.add('lit');
		for (const c of this.columns) e.append(cell(c, row));
	}
}

function cell<T>(c: Column<T>, row: T): HTMLElement {
	const e = el('div', { role: 'gridcell', class: (c.left ? 'left' : '') + (c.value(row) === null ? ' p-dim' : '') });
	const share = c.bar?.(row) ?? 0, tip = c.tip?.(row);
	if (tip) e.title = tip;
	if (share > 0) {
		const bar = el('i');
		bar.style.width = Math.min(100, share * 100) + '%';
		e.append(bar);
	}
	if (c.node) e.append(...c.node(row));
	else e.append(el('span', { text: c.text ? c.text(row) : String(c.value(row) ?? '') }));
	return e;
}
