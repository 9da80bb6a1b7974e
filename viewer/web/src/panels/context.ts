// SPDX-License-Identifier: MIT
// context.ts - what all panels share: the range they are of, going to a call, tips, messages.
//
// Rules: the range is state.range() unless the user holds one.  When a panel itself moves the
// timeline (the next call of a function, a slow one), the range stays as it was until the user
// moves, so that what was clicked does not vanish under the pointer.
import type { Aggregate, Engine, Opened, Range, Slice } from '../engine';
import type { Members, PanelName, State, View } from '../state';
import { title } from '../units';
import { clamp, copyText, el } from './dom';

export interface Panel {
	readonly name: PanelName;
	readonly title: string;               // of its tab
	readonly ranged: boolean;             // what it shows is of the range
	readonly root: HTMLElement;
	update(changed: Set<keyof Members>): void; // is shown, and may show something else
	copy(json: boolean): string | null;   // null: nothing to copy
	visible(): unknown;                   // for tests: what is shown
}

export class Context {
	hits = new Set<number>();             // state.hits
	held: Range | null = null;
	leading = false;                      // the selection was changed by a panel
	private jumped: { view: View; range: Range } | null = null;
	private sums: { key: string; opened: Opened; answer: Promise<Aggregate>; tree: boolean } | null = null;
	private readonly tipBox = el('div', { class: 'p-tip', role: 'tooltip', hidden: true });
	private readonly message = el('div', { class: 'p-message', role: 'status', 'aria-live': 'polite' });
	private messageTimer = 0;

	constructor(readonly engine: Engine, readonly state: State) {
		document.body.append(this.tipBox, this.message);
	}

	get opened(): Opened | null { return this.state.now.opened; }

	// The function that callers and durations are of: the one in focus, else the selected call's.
	get focused(): number {
		const { focus, selection } = this.state.now;
		return focus < 0 && selection.kind === 'slice' ? selection.slice.fn : focus;
	}

	range(): Range {
		if (this.held) return this.held;
		const { view, selection } = this.state.now;
		if (this.jumped && selection.kind === 'slice' && near(view, this.jumped.view)) return this.jumped.range;
		this.jumped = null;
		return running(this.opened, this.state.range());
	}

	// Of the range; asked for once, however many panels show it.  TREE: with that.
	aggregate(range: Range, tree = false): Promise<Aggregate> {
		const opened = this.opened!, key = JSON.stringify(range);
		if (this.sums?.key !== key || this.sums.opened !== opened || tree && !this.sums.tree) {
			const answer = this.engine.aggregate(range, tree);
			const sums = this.sums = { key, opened, answer, tree };
			answer.catch(() => { if (this.sums === sums) this.sums = null; });
		}
		return this.sums.answer;
	}

	// Makes FN the function that everything is about; FIND: also in the timeline.
	focus(fn: number, find = false): void {
		this.state.set(find ? { focus: fn, find: title(this.opened!.functions, fn), hits: [fn] } : { focus: fn });
	}

	show(panel: PanelName): void { this.state.set({ panel, panelOpen: true }); }

	// Selects SLICE and shows it in the timeline; moves that as little as needed.
	go(slice: Slice): void {
		const { view } = this.state.now, span = view.to - view.from, length = slice.end - slice.start;
		const range = this.range();
		let wide = span;
		if (length > span) wide = length * 1.25;
		else if (length < span / 500) wide = clamp(length * 20, Math.min(2000, span), span);
		const seen = wide === span && slice.start >= view.from && slice.end <= view.to;
		const all = Math.max(wide, this.opened!.trace.duration);
		const from = Math.round(clamp((slice.start + slice.end) / 2 - wide / 2, 0, all - wide));
		const to = seen ? view : { from, to: from + Math.round(wide) };
		this.jumped = { view: to, range };
		this.leading = true; // until the state has told everybody
		this.state.look({ view: to, selection: { kind: 'slice', slice } });
		requestAnimationFrame(() => { this.leading = false; });
	}

	// Goes to the call of FN after (1) or before (-1) the selected one, or the first in the range.
	async next(fn: number, direction: 1 | -1 = 1): Promise<void> {
		const { selection } = this.state.now, range = this.range();
		const at = selection.kind === 'slice' && selection.slice.fn === fn ? selection.slice.start : range.from - 1;
		try {
			let slice = await this.engine.next([fn], at, direction, range.tracks);
			if (!slice && direction > 0) slice = await this.engine.next([fn], -1, 1, range.tracks);
			if (slice) this.go(slice);
			else this.say('No call of it ' + (direction > 0 ? 'in these tracks' : 'before this one'));
		} catch (error) {
			this.say(String(error));
		}
	}

	async copy(text: string, what: string): Promise<void> {
		const copied = await copyText(text.replace(/\u202f/g, ' '));
		this.say(copied ? 'Copied: ' + what : 'The browser does not let this page copy');
	}

	// Short message that goes away; read aloud by screen readers.
	say(text: string): void {
		this.message.textContent = text;
		this.message.classList.add('on');
		clearTimeout(this.messageTimer);
		this.messageTimer = window.setTimeout(() => this.message.classList.remove('on'), 2500);
	}

	tip(x: number, y: number, ...content: (Node | string)[]): void {
		const box = this.tipBox;
		box.replaceChildren(...content);
		box.hidden = false;
		const w = box.offsetWidth, h = box.offsetHeight;
		box.style.left = clamp(x + 14, 4, Math.max(4, innerWidth - w - 4)) + 'px';
		box.style.top = (y + 18 + h > innerHeight ? Math.max(4, y - h - 10) : y + 18) + 'px';
	}

	noTip(): void { this.tipBox.hidden = true; }
}

// States of a thread and instants are tracks of their own; as functions beside those
// that ran at the same time they would only confuse, unless they are what was selected.
function running(opened: Opened | null, range: Range): Range {
	const { tracks } = opened?.trace ?? { tracks: [] }, all = range.tracks ?? tracks.map((_, i) => i);
	const some = all.filter((t) => !['state', 'instants', 'counter'].includes(tracks[t]?.kind));
	return some.length === all.length || !some.length ? range : { ...range, tracks: some };
}

// The timeline may have rounded or limited what it was told.
function near(a: View, b: View): boolean {
	const slack = (b.to - b.from) / 100;
	return Math.abs(a.from - b.from) <= slack && Math.abs(a.to - b.to) <= slack;
}
