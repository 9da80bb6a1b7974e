// SPDX-License-Identifier: MIT
// details.ts - all that is known of the selected call, or how long the selected range is.
import type { Slice, SliceDetails } from '../engine';
import type { Members } from '../state';
import { count, duration, exact, moment, percent, place, title } from '../units';
import type { Context, Panel } from './context';
import { button, el, empty, failed, fill, Latest } from './dom';
import { Grid } from './grid';
import { functionNodes } from './names';
import { swatch } from './paint';
import { Source } from './source';
import { beginSeen, detailsJson, detailsText, endSeen, entryText, leaveText, plural, stay, trackName, tracksText,
	UNKNOWN, values, wallClock } from './text';

type Callee = SliceDetails['callees'][number];
const LONG = 2000; // characters of a value; the rest is there when copied

export class Details implements Panel {
	readonly name = 'details';
	readonly title = 'Details';
	readonly ranged = false;
	readonly root = el('section');
	private shown: SliceDetails | null = null;
	private slice: Slice | null = null;
	private readonly source: Source;
	private readonly grid: Grid<Callee>;
	private readonly latest = new Latest(this.root, (e) => {
		this.shown = this.slice = null;
		fill(this.root, failed('The details of this call cannot be shown.', e, () => this.update(new Set())));
	});

	constructor(private ctx: Context) {
		this.source = new Source(ctx);
		const f = () => ctx.opened!.functions;
		const length = (): number => this.shown ? Math.max(1, this.shown.end - this.shown.start) : 1;
		this.grid = new Grid<Callee>({
			label: 'Calls of the selected call, by function', sort: 'Total',
			select: (c) => ctx.focus(c.fn), open: (c) => void ctx.next(c.fn),
			columns: [
				{ label: 'Called', title: 'Functions that it called itself', width: 'minmax(120px, 1fr)', left: true,
					value: (c) => title(f(), c.fn), node: (c) => functionNodes(f(), c.fn) },
				{ label: 'Calls', title: 'How often', width: '54px', value: (c) => c.calls, text: (c) => count(c.calls) },
				{ label: 'Total', title: 'Time in these calls', width: '120px', value: (c) => c.total,
					text: (c) => duration(c.total), bar: (c) => c.total / length(),
					node: (c) => [el('span', { text: duration(c.total) }), el('small', { text: percent(c.total, length()) })] },
				{ label: 'Self', title: 'Time in these functions themselves', width: '76px', least: 440,
					value: (c) => c.self, text: (c) => duration(c.self) },
			],
		});
	}

	update(_changed: Set<keyof Members>): void {
		const { selection } = this.ctx.state.now;
		if (selection.kind !== 'slice') {
			this.latest.cancel();
			this.shown = this.slice = null;
			return selection.kind === 'range' ? this.range(selection.from, selection.to, selection.tracks) : this.nothing();
		}
		const { slice } = selection;
		if (this.slice && same(this.slice, slice)) return;
		this.slice = slice;
		void this.latest.run(() => this.ctx.engine.details(slice), (d) => {
			this.shown = d;
			if (d) this.call(d);
			else fill(this.root, empty('This call is no longer found in the trace.', 'Click it again in the timeline.'));
		});
	}

	copy(json: boolean): string | null {
		const opened = this.ctx.opened;
		if (!this.shown || !opened) return null;
		return json ? detailsJson(opened, this.shown) : detailsText(opened, this.shown);
	}

	visible(): unknown {
		const d = this.shown;
		if (!d) return { text: this.root.textContent };
		const facts = [...this.root.querySelectorAll('.p-facts > dl > div')].map((e) =>
			[e.querySelector('dt')!.textContent, e.querySelector('dd')!.textContent]);
		return {
			slice: { track: d.track, depth: d.depth, start: d.start, end: d.end, fn: d.fn },
			heading: this.root.querySelector('h2')?.textContent, facts: Object.fromEntries(facts),
			stack: [...this.root.querySelectorAll('.p-stack .p-name')].map((e) => e.textContent),
			callees: this.grid.visible(), source: this.source.visible(),
		};
	}

	private nothing(): void {
		fill(this.root, empty('Nothing is selected.',
			'Click a call in the timeline, or shift-drag there to select a range.'));
	}

	private range(from: number, to: number, tracks: number[] | null): void {
		const { ctx } = this, { trace } = ctx.opened!;
		const facts: [string, string, string?][] = [
			['Length', duration(to - from), exact(to - from)], ['From', moment(from, 1), wallClock(trace, from)],
			['To', moment(to, 1), wallClock(trace, to)], ['Tracks', tracksText(ctx.opened!, tracks)],
			['Of the trace', percent(to - from, trace.duration)],
		];
		fill(this.root, el('div', 'p-details', el('div', 'p-facts', el('h2', { text: 'Selected range' }), list(facts),
			el('p', 'p-actions', button('Functions in it', 'What ran in this range', () => ctx.show('table')),
				button('Flame graph of it', 'Where its time went', () => ctx.show('flame')),
				button('Zoom to it', 'Show it in the whole timeline (f)', () => ctx.state.look({ view: { from, to } }))))));
	}

	private call(d: SliceDetails): void {
		const f = this.ctx.opened!.functions;
		const callees = el('div', 'p-callees', el('h3', { text: 'What it called' }));
		if (d.callees.length) callees.append(this.grid.root);
		else callees.append(el('p', { class: 'p-dim', text: d.children === null ? 'What it called is unknown.'
			: d.children ? 'Its calls are not listed by function.' : 'Nothing that was recorded.' }));
		fill(this.root, el('div', 'p-details', this.facts(d), el('div', 'p-around', this.stack(d), callees), this.source.root));
		this.grid.show([...d.callees], true);
		this.source.show(d.fn, title(f, d.fn));
		this.root.scrollTop = 0;
	}

	private facts(d: SliceDetails): HTMLElement {
		const { ctx } = this, opened = ctx.opened!, f = opened.functions, length = d.end - d.start;
		const up = d.stack.length > 1 ? d.stack[d.stack.length - 2] : null;
		const share = up && endSeen(up) && beginSeen(up) ? `  (${percent(length, up.end - up.start)} of its caller)` : '';
		const known = (n: number | null): string => n === null ? UNKNOWN : count(n);
		const facts: [string, string, string?][] = [
			['Where', place(f, d.fn) || UNKNOWN],
			['Thread', trackName(opened.trace, d.track)],
			['Start', moment(d.start, 1), `${exact(d.start)} after the begin of the trace`],
			['Clock', wallClock(opened.trace, d.start)],
			['Duration', stay(d) + share, exact(length)],
			['Self', d.self === null ? UNKNOWN : `${duration(d.self)}  (${percent(d.self, length)})`],
			['Calls', d.children === 0 ? 'none' : `${known(d.children)} direct, ${known(d.descendants)} in all`],
			['How', `${entryText(d.how)}; ${leaveText(d.how)}`],
		];
		const name = el('h2', null, el('span', 'p-swatch'), el('span', { text: title(f, d.fn) }));
		(name.firstChild as HTMLElement).style.background = swatch(d.fn);
		return el('div', 'p-facts', name, list(facts), this.values(d), el('p', 'p-actions',
			button('Copy', 'Copy as text (c)', () => void ctx.copy(this.copy(false)!, 'the call as text')),
			button('Copy JSON', 'Copy as JSON (shift c)', () => void ctx.copy(this.copy(true)!, 'the call as JSON')),
			button('Previous', 'Call of this function before this one', () => void ctx.next(d.fn, -1)),
			button('Next', 'Call of this function after this one', () => void ctx.next(d.fn)),
			button('Durations', 'How long its calls take', () => this.about('histogram', d.fn)),
			button('Callers', 'Who calls it, and what it calls', () => this.about('butterfly', d.fn))));
	}

	private about(panel: 'histogram' | 'butterfly', fn: number): void {
		this.ctx.focus(fn);
		this.ctx.show(panel);
	}

	// Arguments, return value, exception: as recorded.
	private values(d: SliceDetails): HTMLElement | null {
		const all = values(d.args);
		if (!all.length) return null;
		return el('div', null, el('h3', { text: 'Values' }), el('dl', 'p-values', all.map(([name, text]) => {
			const cut = text.length > LONG;
			return el('div', null, el('dt', { text: name }), el('dd', null,
				el('code', { text: cut ? text.slice(0, LONG) + '…' : text }),
				cut ? el('span', { class: 'p-dim', text: ` ${count(text.length)} characters; copy to see all` }) : null));
		})));
	}

	private stack(d: SliceDetails): HTMLElement {
		const f = this.ctx.opened!.functions, frames = [...d.stack].reverse(), length = d.end - d.start;
		const items = frames.map((s, i) => {
			const whole = Math.max(1, s.end - s.start), here = i === 0;
			const share = here ? '' : `this call is ${percent(length, whole)} of it`;
			const bar = el('i');
			bar.style.width = Math.min(100, length / whole * 100) + '%';
			return el('li', null, el('button', {
				type: 'button', class: here ? 'on' : '', 'aria-current': here ? 'true' : null,
				title: [place(f, s.fn), share, here ? '' : 'Click to go there'].filter(Boolean).join('\n'),
				onclick: () => this.ctx.go(s),
			}, el('span', 'p-stackname', ...functionNodes(f, s.fn)), el('span', 'p-num', bar, el('span', { text: stay(s) }))));
		});
		return el('div', 'p-stack', el('h3', { text: `Stack, ${plural(frames.length, 'frame')}` },
			el('small', { text: 'called by what is below' })), el('ol', { 'aria-label': 'Stack, innermost first' }, items));
	}
}

function list(facts: [string, string, string?][]): HTMLElement {
	return el('dl', null, facts.map(([name, value, why]) =>
		el('div', { title: why || null }, el('dt', { text: name }), el('dd', { class: value === UNKNOWN ? 'p-dim' : '', text: value }))));
}

function same(a: Slice, b: Slice): boolean {
	return a.track === b.track && a.depth === b.depth && a.start === b.start && a.fn === b.fn;
}
