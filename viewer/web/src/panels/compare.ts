// SPDX-License-Identifier: MIT
// compare.ts - what became slower from one trace to another: vizview diff --json as a table.
//
// The document comes from outside the page, so its fields are taken one by one and checked.
import type { Comparison, Functions } from '../engine';
import type { Members } from '../state';
import { base, count, duration } from '../units';
import type { Context, Panel } from './context';
import { el, empty, failed, fill, Latest } from './dom';
import { Grid, type Column } from './grid';
import { functionNodes } from './names';
import { plural, UNKNOWN } from './text';

interface Side { calls: number; mean: number; self: number; whole: number }
interface Row {
	fn: number;           // in the open trace, -1: not there
	name: string; place: string; verdict: string;
	difference: number; ratio: number | null;
	a: Side | null; b: Side | null;
}
interface Both {
	a: string; b: string; // paths
	compared: string;
	rows: Row[];
	verdicts: [string, number][];
	folded: number;
	median: number | null;
}

// Verdicts in the order of interest: sign, class, what it means, shown at first.
const VERDICTS: Record<string, [string, string, string, boolean]> = {
	'slower': ['▲', 'bad', 'A call takes longer, by more than chance explains', true],
	'faster': ['▼', 'good', 'A call takes less time, by more than chance explains', true],
	'more calls': ['+', 'bad', 'A call takes as long, but there are more', true],
	'fewer calls': ['−', 'good', 'A call takes as long, but there are fewer', true],
	'only in B': ['●', 'new', 'Called in B only', true],
	'only in A': ['○', 'new', 'Called in A only', true],
	'noise': ['≈', 'noise', 'Differs by no more than chance explains', false],
	'too few': ['?', 'noise', 'Less than 8 whole calls in one of them: no verdict', false],
};
const OTHER: [string, string, string, boolean] = ['', 'noise', '', true];
const about = (verdict: string): typeof OTHER => VERDICTS[verdict] ?? OTHER;

export class Compare implements Panel {
	readonly name = 'compare';
	readonly title = 'Compare';
	readonly ranged = false;
	readonly root = el('section');
	private both: Both | null = null;
	private of: unknown = null;
	private shown = new Set(Object.keys(VERDICTS).filter((v) => about(v)[3]));
	private grid: Grid<Row> | null = null;
	private readonly filter = el('input', {
		type: 'search', placeholder: 'Filter functions and files', 'aria-label': 'Filter functions and files',
		spellcheck: 'false', oninput: () => this.rows(),
	});
	private readonly chips = el('span', { class: 'p-chips', role: 'group', 'aria-label': 'Verdicts that are shown' });
	private readonly box = el('div', 'p-fill');
	private readonly latest = new Latest(this.root, (e) => {
		this.of = null;
		fill(this.root, failed('The comparison cannot be shown.', e, () => this.update(new Set())));
	});

	constructor(private ctx: Context) {}

	update(changed: Set<keyof Members>): void {
		const { opened, focus } = this.ctx.state.now;
		if (this.of === opened) {
			if (changed.has('focus') && this.grid?.selected?.fn !== focus) this.grid?.selectWhere((r) => r.fn === focus && focus >= 0);
			if (changed.has('theme') || changed.has('colourBy')) this.grid?.refresh();
			return;
		}
		this.of = opened;
		void this.latest.run(() => this.ctx.engine.compare(), (answer) => this.show(answer && read(answer, opened!.functions)));
	}

	copy(json: boolean): string | null {
		if (!this.grid || !this.both) return null;
		return json ? JSON.stringify(this.grid.rows, null, 1) + '\n' : this.grid.tsv();
	}

	visible(): unknown {
		return { a: this.both?.a ?? null, b: this.both?.b ?? null, verdicts: [...this.shown], rows: this.grid?.visible() ?? [],
			total: this.grid?.rows.length ?? 0 };
	}

	private show(both: Both | null): void {
		this.both = both;
		this.grid = null;
		if (!both) {
			fill(this.root, empty('There is one trace only.', 'To see what became slower, open two: ',
				el('code', { text: 'vizview BEFORE.viz AFTER.viz' }), ', or as text ', el('code', { text: 'vizview diff BEFORE.viz AFTER.viz' }), '.'));
			return;
		}
		this.grid = this.makeGrid(both);
		fill(this.chips, both.verdicts.map(([verdict, n]) => {
			const [sign, cls, why] = about(verdict);
			const chip = el('button', {
				type: 'button', class: 'p-chip ' + cls, title: why, 'aria-pressed': String(this.shown.has(verdict)), onclick: () => {
					if (!this.shown.delete(verdict)) this.shown.add(verdict);
					chip.setAttribute('aria-pressed', String(this.shown.has(verdict)));
					this.rows();
				},
			}, `${sign} ${verdict} `, el('b', { text: count(n) }));
			return chip;
		}));
		const median = both.median === null ? '' : `, the median function takes ${ratioText(both.median)} the time`;
		const folded = both.folded ? `; ${plural(both.folded, 'function')} with little time left out` : '';
		const file = (name: string): HTMLElement => el('b', { text: base(name), title: name });
		const open = base(this.ctx.opened!.trace.file);
		const mark = (name: string): string => base(name) === open && both.a !== both.b ? ' (open)' : '';
		fill(this.root, el('div', 'p-tools', el('span', null, 'A ', file(both.a), mark(both.a), ' → B ', file(both.b), mark(both.b)),
			this.filter, this.chips,
			el('span', { class: 'p-dim', text: both.compared + median + folded })),
			this.box);
		this.rows();
	}

	private rows(): void {
		const { both, grid } = this, words = this.filter.value.trim().toLowerCase().split(/\s+/);
		if (!both || !grid) return;
		const rows = both.rows.filter((r) => this.shown.has(r.verdict) || !VERDICTS[r.verdict])
			.filter((r) => words.every((w) => (r.name + ' ' + r.place).toLowerCase().includes(w)));
		if (rows.length) {
			if (grid.root.parentNode !== this.box) fill(this.box, grid.root);
			grid.show(rows, true);
		} else if (both.rows.length) {
			fill(this.box, empty('Nothing that changed for certain is among these.',
				'Switch other verdicts on above, or clear the filter.'));
		} else {
			fill(this.box, empty('Nothing differs that can be listed.', 'The times of all functions agree.'));
		}
	}

	private makeGrid(both: Both): Grid<Row> {
		const { ctx } = this, rate = both.compared === 'per second' ? '/s' : '';
		const most = Math.max(1, ...both.rows.map((r) => Math.abs(r.difference)));
		const side = (label: string, which: 'a' | 'b'): Column<Row> => ({
			label, title: `Mean self time of a call in ${which.toUpperCase()}`, width: '92px',
			value: (r) => r[which]?.whole ? r[which]!.mean : null,
			text: (r) => r[which]?.whole ? duration(r[which]!.mean) : r[which] ? UNKNOWN : '',
		});
		const calls = (which: 'a' | 'b'): Column<Row> => ({
			label: 'Calls ' + which.toUpperCase(), title: 'Entries in ' + which.toUpperCase(), width: '84px', least: 900,
			value: (r) => r[which]?.calls ?? null, text: (r) => r[which] ? count(r[which]!.calls) : '',
		});
		return new Grid<Row>({
			label: 'Functions that differ', sort: 'Difference',
			select: (r) => { if (r.fn >= 0) ctx.focus(r.fn, true); else ctx.say('This function is not in the trace that is open'); },
			open: (r) => { if (r.fn >= 0) void ctx.next(r.fn); },
			dim: (r) => about(r.verdict)[1] === 'noise', same: (x, y) => x.name === y.name && x.place === y.place,
			columns: [
				{ label: 'Verdict', title: 'Is it more than chance?', width: '108px', left: true, value: (r) => r.verdict,
					node: (r) => {
						const [sign, cls, why] = about(r.verdict);
						return [el('span', { class: 'p-verdict ' + cls, text: `${sign} ${r.verdict}`, title: why })];
					} },
				{ label: 'Function', title: 'Name, and file or module', width: 'minmax(160px, 1fr)', left: true, value: (r) => r.name,
					node: (r) => r.fn >= 0 ? functionNodes(ctx.opened!.functions, r.fn) : [el('span', 'p-swatch'),
						el('span', { class: 'p-name', text: r.name }), el('span', { class: 'p-place', text: r.place })] },
				side('A, a call', 'a'), side('B, a call', 'b'),
				{ label: 'Ratio', title: 'Typical call of B by that of A', width: '84px', value: (r) => r.ratio,
					text: (r) => r.ratio === null ? '' : ratioText(r.ratio) },
				{ label: 'Difference', title: 'Self time in B less that in A, of all calls' + (rate && ', in each second'), width: '140px',
					value: (r) => Math.abs(r.difference), bar: (r) => Math.abs(r.difference) / most,
					text: (r) => (r.difference > 0 ? '+' : '−') + duration(Math.abs(r.difference)) + rate },
				calls('a'), calls('b'),
			],
		});
	}
}

const ratioText = (ratio: number): string => (ratio >= 100 ? ratio.toFixed(0) : ratio >= 10 ? ratio.toFixed(1) : ratio.toFixed(2)) + ' ×';

type Json = Record<string, unknown>;
const object = (v: unknown): Json => typeof v === 'object' && v !== null ? v as Json : {};
const number = (v: unknown): number => typeof v === 'number' && Number.isFinite(v) ? v : 0;
const text = (v: unknown): string => typeof v === 'string' ? v : '';

// What is in ANSWER, with the functions of the open trace that it is about.
export function read(answer: Comparison, f: Functions): Both {
	const index = new Map<string, number>();
	f.name.forEach((name, fn) => index.set(name + '\0' + (f.files[f.file[fn]] ?? ''), fn));
	const side = (v: unknown): Side | null => {
		const s = object(v);
		return v === null || v === undefined ? null
			: { calls: number(s.calls), mean: number(s.mean_ns), self: number(s.self_ns), whole: number(s.whole) };
	};
	const rows = (Array.isArray(answer.functions) ? answer.functions : []).map(object).map((r): Row => {
		const name = text(r.name), where = text(r.file) || text(r.module), module = text(r.module);
		return { fn: name ? index.get(name + '\0' + where) ?? -1 : -1, name: module ? module + '.' + name : name,
			place: text(r.file) ? `${where}:${number(r.line)}` : 'C function', verdict: text(r.verdict), difference: number(r.difference_ns),
			ratio: typeof r.ratio === 'number' && r.a && r.b ? r.ratio : null, a: side(r.a), b: side(r.b) };
	});
	const counts = object(answer.verdicts), order = Object.keys(VERDICTS);
	const many = (v: string): number => Math.max(number(counts[v]), rows.filter((r) => r.verdict === v).length);
	return {
		a: text(object(answer.a).path), b: text(object(answer.b).path), compared: text(answer.compared), rows, folded: number(answer.folded),
		verdicts: order.filter(many).map((v) => [v, many(v)]),
		median: typeof answer.median_ratio === 'number' ? answer.median_ratio : null,
	};
}
