// SPDX-License-Identifier: MIT
// tracks.ts - what can be done with tracks: collapse, pin, hide, sort.  Changes State only.
import type { State } from '../state';
import { nested, ordered } from './layout';

const without = (list: number[], x: number): number[] => list.filter((y) => y !== x);
const toggled = (list: number[], x: number): number[] => list.includes(x) ? without(list, x) : [...list, x];

export class Tracks {
	constructor(private state: State) {}

	name(track: number): string { return this.state.now.opened?.trace.tracks[track]?.name ?? ''; }

	collapse(track: number): void {
		this.state.set({ collapsed: toggled(this.state.now.collapsed, track) });
	}

	collapseProcess(process: number): void {
		this.state.set({ collapsedProcesses: toggled(this.state.now.collapsedProcesses, process) });
	}

	collapseAll(collapsed: boolean): void {
		const tracks = this.state.now.opened?.trace.tracks ?? [];
		this.state.set({ collapsed: collapsed ? tracks.map((_, i) => i).filter((i) => nested(tracks[i])) : [],
			collapsedProcesses: [] });
	}

	pin(track: number): void { this.state.set({ pinned: toggled(this.state.now.pinned, track) }); }

	hide(track: number): void { this.state.set({ hidden: [...without(this.state.now.hidden, track), track],
		pinned: without(this.state.now.pinned, track) }); }

	hideOthers(track: number): void {
		const n = this.state.now.opened?.trace.tracks.length ?? 0;
		this.state.set({ hidden: Array.from({ length: n }, (_, i) => i).filter((i) => i !== track), pinned: [] });
	}

	showAll(): void { this.state.set({ hidden: [], trackFilter: '' }); }

	// Tracks in sight of the same process (or of the pinned ones), in order.
	private family(track: number): number[] {
		const { pinned, opened } = this.state.now, shown = this.state.shownTracks();
		if (!opened) return [];
		if (pinned.includes(track)) return pinned;
		const process = opened.trace.tracks[track].process;
		return ordered(this.state.now).filter((t) => opened.trace.tracks[t].process === process && !pinned.includes(t) &&
			(!shown || shown.includes(t)));
	}

	step(track: number, direction: 1 | -1): void {
		const family = this.family(track), to = family[family.indexOf(track) + direction];
		if (to !== undefined) this.place(track, to, direction > 0);
	}

	canStep(track: number, direction: 1 | -1): boolean {
		const family = this.family(track);
		return family[family.indexOf(track) + direction] !== undefined;
	}

	canPlace(track: number, at: number): boolean { return this.family(track).includes(at); }

	// Puts TRACK before or after AT.
	place(track: number, at: number, after: boolean): void {
		if (track === at || !this.canPlace(track, at)) return;
		const pinned = this.state.now.pinned.includes(track);
		const list = without(pinned ? this.state.now.pinned : ordered(this.state.now), track);
		list.splice(list.indexOf(at) + (after ? 1 : 0), 0, track);
		this.state.set(pinned ? { pinned: list } : { order: list });
	}

	// Only this track is counted in what the panels show.
	only(track: number): void {
		const { selection, view } = this.state.now, range = selection.kind === 'range' ? selection : view;
		this.state.look({ selection: { kind: 'range', from: Math.round(range.from), to: Math.round(range.to),
			tracks: [track] } });
	}
}
