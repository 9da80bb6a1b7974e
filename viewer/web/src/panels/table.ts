// SPDX-License-Identifier: MIT
// table.ts - functions of the range as rows of numbers.
import type { Aggregate, FunctionRow } from '../engine';
import type { Members } from '../state';
import { count, duration, percent, title } from '../units';
import type { Context, Panel } from './context';
import { el, empty, failed, fill, Latest } from './dom';
import { Grid, type Column } from './grid';
import { functionNodes, matches } from './names';
import { plural } from './text';

const BOUND = 'known to 12.5 %: the upper bound of its bucket';

export class Table implements Panel {
	readonly name = 'table';
	readonly title = 'Functions';
	readonly ranged = true;
	readonly root = el('section');
	private sums: Aggregate | null = null;
	private raised = false;
	private grid: Grid<FunctionRow>;
	private readonly note = el('span', 'p-dim');
	private readonly filter = el('input', {
		type: 'search', placeholder: 'Filter functions and files', 'aria-label': 'Filter functions and files',
		spellcheck: 'false', oninput: () => this.show(),
	});
	private readonly latest = new Latest(this.root, (e) => this.trouble(e));
	private readonly box = el('div', 'p-fill');

	constructor(private ctx: Context) {
		this.grid = this.makeGrid();
		fill(this.root, el('div', 'p-tools', this.filter, this.note), this.box);
		this.filter.addEventListener('keydown', (e) => {
			if (e.key === 'Escape' && this.filter.value) {
				this.filter.value = '';
				this.show();
				e.stopPropagation();
			} else if (e.key === 'ArrowDown' || e.key === 'Enter') this.grid.root.focus();
		});
	}

	update(changed: Set<keyof Members>): void {
		const range = this.ctx.range(), { focus } = this.ctx.state.now;
		if (this.sums && changed.size && [...changed].every((c) => c === 'focus' || c === 'hits' || c === 'theme')) {
			if (this.grid.selected?.fn !== focus) this.grid.selectWhere((r) => r.fn === focus);
			this.grid.refresh();
			return;
		}
		void this.latest.run(() => this.ctx.aggregate(range), (sums) => {
			if (sums === this.sums) return;
			this.sums = sums;
			this.show();
			if (!this.grid.selected) this.grid.selectWhere((r) => r.fn === this.ctx.state.now.focus);
		});
	}

	copy(json: boolean): string | null {
		if (!this.sums) return null;
		const f = this.ctx.opened!.functions;
		return json ? JSON.stringify(this.grid.rows.map((r) => ({ name: title(f, r.fn), ...r })), null, 1) + '\n'
			: this.grid.tsv();
	}

	visible(): unknown {
		return { rows: this.grid.visible(), total: this.grid.rows.length, sort: this.grid.sorted(),
			filter: this.filter.value, selected: this.grid.selected?.fn ?? -1 };
	}

	private trouble(error: unknown): void {
		this.sums = null;
		this.note.textContent = '';
		fill(this.box, failed('The functions of this range cannot be shown.', error, () => this.update(new Set())));
	}

	private show(): void {
		const sums = this.sums;
		if (!sums) return;
		if (!this.raised && sums.rows.some((r) => r.raised)) {
			const { by, ascending } = this.grid.sorted();
			this.raised = true; // from now on: columns that come and go are a nuisance
			this.grid = this.makeGrid();
			this.grid.sortAs(by, ascending);
		}
		const f = this.ctx.opened!.functions, needle = this.filter.value.trim();
		const rows = needle ? sums.rows.filter((r) => matches(f, r.fn, needle)) : [...sums.rows];
		this.note.textContent = needle ? `${count(rows.length)} of ${plural(sums.rows.length, 'function')}`
			: `${plural(sums.rows.length, 'function')}, ${duration(sums.busy)} in calls` +
			(sums.lost ? `, ${plural(sums.lost, 'record')} dropped: the numbers are too low` : '') +
			(sums.unread ? `, ${plural(sums.unread, 'part')} could not be read: the numbers are too low` : '');
		if (!sums.rows.length) {
			fill(this.box, empty('Nothing was called in this range.', 'Zoom out, or select a range with calls.'));
		} else if (!rows.length) {
			fill(this.box, empty(`No function or file has “${needle}” in its name.`, 'Escape clears the filter.'));
		} else {
			if (this.grid.root.parentNode !== this.box) fill(this.box, this.grid.root);
			this.grid.show(rows);
		}
	}

	private makeGrid(): Grid<FunctionRow> {
		const { ctx } = this;
		return new Grid<FunctionRow>({
			label: 'Functions of the range', columns: this.columns(), sort: 'Self',
			select: (r) => ctx.focus(r.fn, true), open: (r) => void ctx.next(r.fn),
			key: (e, r) => {
				if (r && e.key === 'Enter' && e.shiftKey) void ctx.next(r.fn, -1);
				else return false;
				return true;
			},
			lit: (r) => !!ctx.state.now.find && ctx.hits.has(r.fn) && r.fn !== ctx.state.now.focus,
			same: (a, b) => a.fn === b.fn,
		});
	}

	private columns(): Column<FunctionRow>[] {
		const ctx = this.ctx, busy = (): number => this.sums?.busy || 1;
		const ns = (label: string, of: string, value: (r: FunctionRow) => number, least?: number): Column<FunctionRow> => ({
			label, title: of, least, width: '84px', value: (r) => r.seen ? value(r) : null,
			text: (r) => r.seen ? duration(value(r)) : 'unknown',
		});
		const time = (label: 'Self' | 'Total', of: string, value: (r: FunctionRow) => number): Column<FunctionRow> => ({
			label, title: of, width: '136px', value, text: (r) => duration(value(r)), bar: (r) => value(r) / busy(),
			node: (r) => [el('span', { text: duration(value(r)) }), el('small', { text: percent(value(r), busy()) })],
		});
		return [
			{ label: 'Function', title: 'Qualified name, and where it is written', width: 'minmax(160px, 1fr)', left: true,
				value: (r) => title(ctx.opened!.functions, r.fn), node: (r) => functionNodes(ctx.opened!.functions, r.fn) },
			{ label: 'Calls', title: 'Entries in the range; goings on of generators and coroutines not counted', width: '88px',
				value: (r) => r.calls, text: (r) => count(r.calls), tip: (r) => [plural(r.calls, 'call'), `${count(r.resumes)} resumed`,
					`${count(r.raised)} left by an exception`, `${count(r.seen)} seen whole`, `${count(r.partial)} not seen whole`].join('\n') },
			{ label: 'Resumes', title: 'Goings on of generators and coroutines', width: '80px', least: 1380,
				value: (r) => r.resumes, text: (r) => r.resumes ? count(r.resumes) : '' },
			time('Total', 'Time in it and in what it called, within the range; recursion counted once', (r) => r.total),
			time('Self', 'Time in itself, within the range', (r) => r.self),
			ns('Mean', 'Mean duration of the stays that ended in the range and were seen whole', (r) => r.mean, 560),
			ns('p50', 'Half of the stays took at most so long; ' + BOUND, (r) => r.p50, 1080),
			ns('p99', '99 % of the stays took at most so long; ' + BOUND, (r) => r.p99, 860),
			ns('Max', 'Longest stay that ended in the range and was seen whole', (r) => r.max, 660),
			...this.raised ? [{ label: 'Raised', title: 'Stays that an exception ended', width: '72px', least: 1280,
				value: (r: FunctionRow) => r.raised, text: (r: FunctionRow) => r.raised ? count(r.raised) : '' }] : [],
		];
	}
}
