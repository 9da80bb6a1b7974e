// SPDX-License-Identifier: MIT
// state.ts - what the page shows, in one place; timeline and panels meet only here.
//
// Change it with set() or look(); whoever is on() is told which members changed, once per frame.
// All of it that a person would want to share is in the address (hash), see link.ts.
import { type Ns, type Opened, type Slice, type Range } from './engine';

export interface View { from: Ns; to: Ns } // what the timeline shows; scroll is the timeline's own

export type Selection =
	| { kind: 'none' }
	| { kind: 'slice'; slice: Slice }
	| { kind: 'range'; from: Ns; to: Ns; tracks: number[] | null };

export type ColourBy = 'module' | 'file' | 'duration';
export type Theme = 'auto' | 'light' | 'dark';
export type PanelName = 'details' | 'table' | 'flame' | 'tree' | 'butterfly' | 'histogram' | 'compare';

export interface Members {
	opened: Opened | null;
	view: View;
	selection: Selection;
	find: string;             // find as you type; the functions it matches:
	hits: number[];
	focus: number;            // function that butterfly and histogram are of, -1: none
	colourBy: ColourBy;
	theme: Theme;
	panel: PanelName;
	panelOpen: boolean;
	pinned: number[];         // tracks, in order
	order: number[];          // tracks as the user sorted them; empty: as they come
	hidden: number[];         // tracks
	collapsed: number[];      // tracks drawn as one row
	collapsedProcesses: number[];
	trackFilter: string;      // only tracks with this in their name
}

type Key = keyof Members;
type Listener = (changed: Set<Key>) => void;

const initial: Members = {
	opened: null, view: { from: 0, to: 1 }, selection: { kind: 'none' }, find: '', hits: [], focus: -1,
	colourBy: 'module', theme: 'auto', panel: 'table', panelOpen: true, pinned: [], order: [], hidden: [],
	collapsed: [], collapsedProcesses: [], trackFilter: '',
};

const HISTORY = 100;

export class State {
	readonly now: Members = { ...initial };
	private listeners: Listener[] = [];
	private changed = new Set<Key>();
	private past: { view: View; selection: Selection }[] = [];

	on(listener: Listener): void { this.listeners.push(listener); }

	set(patch: Partial<Members>): void {
		for (const key of Object.keys(patch) as Key[]) {
			if (this.now[key] === patch[key]) continue;
			(this.now as unknown as Record<string, unknown>)[key] = patch[key];
			if (!this.changed.size) requestAnimationFrame(() => this.tell());
			this.changed.add(key);
		}
	}

	// Jump somewhere else in a way that back() undoes.
	look(patch: { view?: View; selection?: Selection }): void {
		this.past.push({ view: this.now.view, selection: this.now.selection });
		if (this.past.length > HISTORY) this.past.shift();
		this.set(patch);
	}

	back(): boolean {
		const last = this.past.pop();
		if (last) this.set(last);
		return last !== undefined;
	}

	// Range that aggregations are of: what is selected, else what is seen.
	range(): Range {
		const s = this.now.selection;
		if (s.kind === 'range') return { from: s.from, to: s.to, tracks: s.tracks };
		// The view moves by parts of a ns; a range is whole.
		return { from: Math.max(0, Math.floor(this.now.view.from)), to: Math.ceil(this.now.view.to), tracks: this.shownTracks() };
	}

	// Tracks that are not hidden or filtered away; null: all.
	shownTracks(): number[] | null {
		const { opened, hidden, trackFilter } = this.now;
		if (!opened || (!hidden.length && !trackFilter)) return null;
		const text = trackFilter.toLowerCase(), away = new Set(hidden);
		return opened.trace.tracks.map((_, i) => i).filter((i) =>
			!away.has(i) && opened.trace.tracks[i].name.toLowerCase().includes(text));
	}

	private tell(): void {
		const changed = this.changed;
		this.changed = new Set();
		for (const listener of this.listeners) listener(changed);
	}
}
