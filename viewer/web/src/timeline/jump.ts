// SPDX-License-Identifier: MIT
// jump.ts - going somewhere: to the selection, the whole, the next call, the parent; and back.
import type { Engine, Slice } from '../engine';
import type { State, View } from '../state';

const PAD = 0.08;       // of what is zoomed to, at both sides
const SEEN = 4;         // pixels that a call must be wide not to be zoomed to
const SHARE = 0.05;     // of the view that it then takes
export const LEAST = 100; // ns in view

export function full(state: State): View { return { from: 0, to: Math.max(LEAST, state.now.opened?.trace.duration ?? 1) }; }

// Within the trace, and not too narrow.
export function clamp(state: State, view: View): View {
	const all = full(state), span = Math.max(LEAST, Math.min(view.to - view.from, all.to)), mid = (view.from + view.to) / 2;
	const from = Math.max(0, Math.min(all.to - span, mid - span / 2));
	return { from, to: from + span };
}

export class Jump {
	// WATCH promises: the page is not idle until they are kept.  SAY: for people who do not see.
	constructor(private engine: Engine, private state: State, private width: () => number,
		private watch: <T>(p: Promise<T>) => Promise<T>, private say: (text: string) => void) {}

	to(view: View): void { this.state.look({ view: clamp(this.state, view) }); }

	whole(): void { this.to(full(this.state)); }

	around(from: number, to: number): void {
		const pad = (to - from) * PAD || LEAST;
		this.to({ from: from - pad, to: to + pad });
	}

	// To what is selected, or to all; pressed again, back.
	fit(): void {
		const s = this.state.now.selection, before = this.state.now.view;
		const wanted = s.kind === 'slice' ? this.padded(s.slice.start, s.slice.end) : s.kind === 'range'
			? this.padded(s.from, s.to) : full(this.state);
		if (this.same(before, wanted) && this.before) { this.to(this.before); return; }
		this.before = before;
		this.to(wanted);
	}
	private before: View | null = null;

	private padded(from: number, to: number): View {
		const pad = (to - from) * PAD || LEAST;
		return clamp(this.state, { from: from - pad, to: to + pad });
	}

	private same(a: View, b: View): boolean {
		const slack = (b.to - b.from) / 1000;
		return Math.abs(a.from - b.from) < slack && Math.abs(a.to - b.to) < slack;
	}

	// Selects it, and moves as little as it takes to see it.
	show(slice: Slice): void {
		const { view } = this.state.now, span = view.to - view.from, length = slice.end - slice.start,
			selection = { kind: 'slice' as const, slice };
		const tiny = length / span * this.width() < SEEN, inside = slice.start >= view.from && slice.end <= view.to;
		const covers = slice.start <= view.from && slice.end >= view.to;
		if (inside && !tiny || covers) return this.state.look({ selection });
		const wide = tiny ? Math.max(length / SHARE, LEAST * 10) : length > span * 0.9 ? length * (1 + 2 * PAD) : span,
			mid = (slice.start + slice.end) / 2;
		const next = Math.min(wide, Math.max(span, length * (1 + 2 * PAD)));
		this.state.look({ view: clamp(this.state, { from: mid - next / 2, to: mid + next / 2 }), selection });
	}

	// The range that is selected, else what is seen, with its ends moved by parts of the view.
	range(begin = 0, end = 0): void {
		const { selection: s, view } = this.state.now, all = full(this.state), by = view.to - view.from,
			had = s.kind === 'range' ? s : { ...view, tracks: this.state.shownTracks() };
		const from = Math.max(all.from, Math.min(all.to - 1, Math.round(had.from + begin * by))),
			to = Math.max(from + 1, Math.min(all.to, Math.round(had.to + end * by)));
		this.state.set({ selection: { kind: 'range', from, to, tracks: had.tracks } });
	}

	// Next or previous call of FNS; without: of the selected function, or of what is found.
	async next(direction: 1 | -1, fns?: number[]): Promise<void> {
		const { selection, hits, find, view, focus } = this.state.now, slice = selection.kind === 'slice' ? selection.slice
			: null;
		const wanted = fns ?? (slice ? [slice.fn] : find && hits.length ? hits : focus >= 0 ? [focus] : []);
		if (!wanted.length) return this.say('Select a call, or find a function, to go to its next call');
		const from = slice ? slice.start : direction > 0 ? view.from - 1 : view.to;
		const found = await this.ask(this.engine.next(wanted, from, direction, this.state.shownTracks()));
		if (found === undefined) return;
		if (found) this.show(found);
		else this.say(direction > 0 ? 'No further call' : 'No earlier call');
	}

	async relative(which: 'parent' | 'child' | 'before' | 'after'): Promise<boolean> {
		const s = this.state.now.selection;
		if (s.kind !== 'slice') return false;
		const found = await this.ask(this.engine.relative(s.slice, which));
		if (found === undefined) return true;
		if (found) this.show(found);
		else this.say({ parent: 'Nothing called it', child: 'It calls nothing', before: 'Nothing before it',
			after: 'Nothing after it' }[which]);
		return true;
	}

	// Undefined: it went wrong, and that was said.
	private async ask<T>(answer: Promise<T>): Promise<T | undefined> {
		try {
			return await this.watch(answer);
		} catch (e) {
			this.say(e instanceof Error ? e.message : String(e));
			return undefined;
		}
	}

	back(): void {
		if (!this.state.back()) this.say('Nothing to go back to');
	}
}
