// SPDX-License-Identifier: MIT
// histogram.ts - how long the calls of one function took, and the slowest of them.
import type { FunctionRow, Histogram as Durations, Range, Slice } from '../engine';
import type { Members } from '../state';
import { count, duration, moment, percent, place, title } from '../units';
import { merged, position, type Bar } from './buckets';
import type { Context, Panel } from './context';
import { button, clamp, el, empty, failed, fill, Latest, reason } from './dom';
import { Grid } from './grid';
import { swatch } from './paint';
import { plural, trackName } from './text';

const SLOWEST = 200;
const BAR = 7;      // px at least, with its gap

export class Histogram implements Panel {
	readonly name = 'histogram';
	readonly title = 'Durations';
	readonly ranged = true;
	readonly root = el('section');
	private of = '';
	private fn = -1;
	private range: Range | null = null;
	private data: Durations | null = null;
	private row: FunctionRow | null = null;
	private bars: Bar[] = [];
	private chosen = -1;
	private logarithmic = false;
	private readonly chart: HTMLElement;
	private readonly listTitle = el('h3');
	private readonly grid: Grid<Slice>;
	private readonly slowest = new Latest(el('div'), (e) => { this.listTitle.textContent = reason(e); });
	private readonly latest = new Latest(this.root, (e) => {
		this.data = null;
		this.of = '';
		fill(this.root, failed('The durations cannot be shown.', e, () => this.update(new Set())));
	});

	constructor(private ctx: Context) {
		this.chart = el('div', {
			class: 'p-chart', tabindex: 0, role: 'listbox', onkeydown: (e: KeyboardEvent) => this.onKey(e),
			onmouseleave: () => ctx.noTip(),
		});
		const near = (): number => Math.max(1, ((this.range?.to ?? 0) - (this.range?.from ?? 0)) / 1e5);
		this.grid = new Grid<Slice>({
			label: 'Slowest calls', sort: 'Duration', select: (s) => ctx.go(s), open: (s) => ctx.go(s),
			columns: [
				{ label: 'Duration', title: 'Longest first', width: '84px', value: (s) => s.end - s.start,
					text: (s) => duration(s.end - s.start), bar: (s) => (s.end - s.start) / (this.row?.max || s.end - s.start) },
				{ label: 'Start', title: 'Since the begin of the trace', width: '86px', value: (s) => s.start, text: (s) => moment(s.start, near()) },
				{ label: 'Thread', title: 'Where it ran', width: 'minmax(60px, 1fr)', left: true,
					value: (s) => trackName(ctx.opened!.trace, s.track) },
			],
		});
		new ResizeObserver(() => { if (this.data) this.draw(); }).observe(this.chart);
	}

	update(_changed: Set<keyof Members>): void {
		const fn = this.ctx.focused, range = this.ctx.range();
		if (fn < 0) {
			this.latest.cancel();
			this.data = null;
			this.of = '';
			return fill(this.root, empty('No function is chosen.',
				'Click one under Functions, in the flame graph or the call tree: how long its calls take is shown here.'));
		}
		const of = JSON.stringify([fn, range]);
		if (of === this.of) return;
		const ask = async (): Promise<[Durations, FunctionRow | null]> => {
			const [data, sums] = await Promise.all([this.ctx.engine.histogram(fn, range), this.ctx.aggregate(range)]);
			return [data, sums.rows.find((r) => r.fn === fn) ?? null];
		};
		void this.latest.run(ask, ([data, row]) => {
			Object.assign(this, { of, fn, range, data, row, chosen: -1 });
			this.show();
		});
	}

	copy(json: boolean): string | null {
		if (!this.data) return null;
		return json ? JSON.stringify({ function: title(this.ctx.opened!.functions, this.fn),
			buckets: this.bars.map((b) => ({ from_ns: b.from, below_ns: b.below, calls: b.count })) }, null, 1) + '\n'
			: 'From (ns)\tBelow (ns)\tCalls\n' + this.bars.filter((b) => b.count).map((b) => `${b.from}\t${b.below}\t${b.count}\n`).join('');
	}

	visible(): unknown {
		return { fn: this.data ? this.fn : -1, bars: this.bars, chosen: this.chosen, slowest: this.grid.visible(),
			instances: this.grid.rows, marks: [...this.chart.querySelectorAll('.p-mark')].map((e) => e.textContent) };
	}

	private show(): void {
		const f = this.ctx.opened!.functions, data = this.data!, n = data.count.reduce((a, b) => a + b, 0);
		const mark = el('span', 'p-swatch');
		mark.style.background = swatch(this.fn);
		const log = el('input', { type: 'checkbox', onchange: () => {
			this.logarithmic = log.checked;
			this.draw();
		} });
		log.checked = this.logarithmic;
		const r = this.row, head = el('div', 'p-tools',
			el('h2', null, mark, el('span', { text: title(f, this.fn), title: place(f, this.fn) })),
			el('span', { class: 'p-dim', text: `${plural(n, 'call')} that ended here` +
				(r?.partial ? `, ${count(r.partial)} more not seen whole` : '') }),
			el('label', { title: 'So that a few slow calls can be seen beside many quick ones' }, log, ' logarithmic counts'),
			button('Next call', 'Go to its next call in the timeline', () => void this.ctx.next(this.fn)),
			button('Callers', 'Who calls it, and what it calls', () => this.ctx.show('butterfly')));
		if (!n) {
			this.bars = [];
			return fill(this.root, head, empty('No call of it ended in this range and was seen from begin to end.',
				button('Its next call', 'Go to it in the timeline', () => void this.ctx.next(this.fn))));
		}
		const marks = r ? `: mean ${duration(r.mean)}, p50 at most ${duration(r.p50)}, p99 at most ${duration(r.p99)}, ` +
			`longest ${duration(r.max)}` : '';
		this.chart.setAttribute('aria-label', 'Durations of ' + title(f, this.fn) + marks + '. Arrows go from bar to bar, Enter goes to its calls.');
		fill(this.root, head, el('div', 'p-histogram', this.chart, el('div', 'p-slowest', this.listTitle, this.grid.root)));
		this.draw();
		this.choose(-1);
	}

	// Bars as wide as can be seen: 8, 4, 2 or 1 for each power of two.
	private draw(): void {
		const width = this.chart.clientWidth, data = this.data!;
		if (!width) return;
		const chosen = this.bars[this.chosen]?.from;
		for (let merge = 1; merge <= 8; merge *= 2) {
			this.bars = merged(data, merge);
			if (this.bars.length * BAR <= width) break;
		}
		this.chosen = chosen === undefined ? -1 : this.bars.findIndex((b) => b.from <= chosen && chosen < b.below);
		const most = Math.max(...this.bars.map((b) => b.count)), n = this.bars.length;
		const height = (c: number): number => this.logarithmic ? Math.log1p(c) / Math.log1p(most) : c / most;
		const bars = this.bars.map((b, i) => {
			const e = el('div', {
				class: 'p-bar' + (i === this.chosen ? ' on' : ''), role: 'option', id: 'p-bar-' + i, 'aria-selected': String(i === this.chosen),
				'aria-label': this.words(b).join(', '), onclick: () => this.choose(i),
				onmousemove: (ev: MouseEvent) => this.ctx.tip(ev.clientX, ev.clientY, ...this.words(b).map((text, k) => el(k ? 'div' : 'b', { text }))),
			}, b.count ? el('i') : null);
			e.style.left = i / n * 100 + '%';
			e.style.width = 100 / n + '%';
			if (b.count) (e.firstChild as HTMLElement).style.height = `max(2px, ${height(b.count) * 100}%)`;
			return e;
		});
		fill(this.chart, el('div', 'p-bars', bars, this.marks()), this.axis(),
			el('span', { class: 'p-most p-dim', 'aria-hidden': 'true', text: plural(most, 'call') }));
	}

	private words(b: Bar): string[] {
		const n = this.bars.reduce((sum, x) => sum + x.count, 0);
		return [`${duration(b.from)} to ${duration(b.below)}`, `${plural(b.count, 'call')}, ${percent(b.count, n)}`];
	}

	// Part of the axis where a duration is.
	private place(ns: number): number {
		const low = this.bars[0].from, high = this.bars[this.bars.length - 1].below;
		return clamp((position(ns) - position(low)) / (position(high) - position(low)), 0, 1);
	}

	private marks(): HTMLElement[] {
		const r = this.row;
		if (!r?.seen) return [];
		const all: [string, number, string][] = [['mean', r.mean, ''], ['p50', r.p50, 'at most '],
			['p99', r.p99, 'at most '], ['max', r.max, '']];
		const ends: number[] = [], width = this.chart.clientWidth; // of each line of labels
		return all.sort((a, b) => a[1] - b[1]).map(([name, ns, how]) => {
			const text = `${name} ${duration(ns)}`, x = this.place(ns), room = text.length * 6.6 + 10, left = x * width + room > width;
			const begin = x * width - (left ? room : 0), free = ends.findIndex((end) => end <= begin), line = free < 0 ? ends.length : free;
			const e = el('div', {
				class: 'p-mark' + (left ? ' left' : ''), 'aria-hidden': 'true', title: `${name}: ${how}${duration(ns)}`,
			}, el('span', { text }));
			ends[line] = begin + room;
			e.style.left = x * 100 + '%';
			e.style.setProperty('--line-of', String(line));
			return e;
		});
	}

	private axis(): HTMLElement {
		const low = this.bars[0].from, high = this.bars[this.bars.length - 1].below, ticks: number[] = [];
		for (let t = 1; t <= high; t *= 10) if (t >= low) ticks.push(t);
		if (ticks.length < 3) ticks.splice(0, ticks.length, low, Math.sqrt(Math.max(1, low) * high), high);
		const every = Math.max(1, Math.ceil(ticks.length * 70 / this.chart.clientWidth));
		return el('div', { class: 'p-axis', 'aria-hidden': 'true' }, ticks.filter((_, i) => i % every === 0).map((t) => {
			const e = el('span', { text: duration(+t.toPrecision(2)) }), x = this.place(t);
			e.style.left = x * 100 + '%';
			if (x > 0.93) e.classList.add('left');
			return e;
		}));
	}

	// Lists the slowest calls, of bar I only if it is one.
	private choose(i: number): void {
		const b: Bar | undefined = this.bars[i], n = this.row?.seen ?? 0;
		this.chosen = b ? i : -1;
		this.chart.querySelectorAll('.p-bar').forEach((e, k) => {
			e.classList.toggle('on', k === i);
			e.setAttribute('aria-selected', String(k === i));
		});
		if (b) this.chart.setAttribute('aria-activedescendant', 'p-bar-' + i);
		const { fn, range } = this;
		void this.slowest.run(() => b ? this.ctx.engine.slowest(fn, range!, SLOWEST, b.from, b.below)
			: this.ctx.engine.slowest(fn, range!, SLOWEST), (slices) => {
			const all = b ? b.count : n, some = slices.length < all;
			fill(this.listTitle, b ? `${duration(b.from)} to ${duration(b.below)}` : 'Slowest calls',
				el('small', { text: some ? `${count(slices.length)} of ${count(all)}` : plural(slices.length, 'call') }),
				b ? button('All', 'The slowest of all again (Escape)', () => this.choose(-1)) : null);
			this.grid.show(slices, true);
		});
	}

	private onKey(event: KeyboardEvent): void {
		const { key } = event, filled = this.bars.map((b, i) => b.count ? i : -1).filter((i) => i >= 0);
		const at = filled.indexOf(this.chosen), last = filled.length - 1;
		if (event.ctrlKey || event.metaKey || event.altKey || !filled.length) return;
		if (key === 'ArrowRight') this.choose(filled[Math.min(last, at + 1)]);
		else if (key === 'ArrowLeft') this.choose(filled[at < 0 ? last : Math.max(0, at - 1)]);
		else if (key === 'Home') this.choose(filled[0]);
		else if (key === 'End') this.choose(filled[last]);
		else if (key === 'Enter') this.grid.root.focus();
		else if (key === 'Escape' && this.chosen >= 0) this.choose(-1);
		else return;
		event.preventDefault();
		event.stopPropagation();
	}
}
