// SPDX-License-Identifier: MIT
// layout.ts - which tracks are shown where.
//
// Owns the heights.  Lengths are CSS pixels; y counts from the top of the section: pinned tracks
// stay at the top, all others scroll below them.
import type { TrackInfo } from '../engine';
import type { Members, State } from '../state';

export const ROW = 18;
const PROCESS = 28;
const PAD = 4;             // above and below the rows of a track
const LEAST = 26;          // so that its label can be read
const COUNTER = 46;
const PINNED_MOST = 0.6;   // of the height

export interface Item {
	kind: 'process' | 'track';
	track: number;         // -1: a process
	process: number;
	y: number;
	height: number;
	rows: number;          // drawn of it; 0: a process
	rowTop: number;        // of row 0, from y
	row: number;           // height of one
	collapsed: boolean;
	pinned: boolean;
}

export interface Placed { item: Item; top: number } // top: on the canvas

export interface Layout {
	pinned: Item[];
	items: Item[];
	pinnedHeight: number;  // of the pinned section, all of it
	height: number;        // of the rest
}

export const tall = (t: TrackInfo): boolean => t.kind === 'counter';
export const nested = (t: TrackInfo): boolean => t.kind !== 'counter' && t.kind !== 'instants';

function trackItem(folded: Set<number>, track: number, info: TrackInfo, pinned: boolean): Item {
	const collapsed = folded.has(track);
	const rows = collapsed || !nested(info) ? 1 : Math.max(1, info.depth);
	const row = tall(info) ? collapsed ? ROW : COUNTER : ROW;
	const height = Math.max(LEAST, rows * row + 2 * PAD);
	return { kind: 'track', track, process: info.process, y: 0, height, rows, row, collapsed, pinned,
		rowTop: Math.max(PAD, rows === 1 ? Math.round((height - row) / 2) : PAD) };
}

// What belongs to one thread stays together; the main thread comes first, then who began first.
function natural(tracks: TrackInfo[]): number[] {
	const first = new Map<string, number>(), key = (t: TrackInfo): string => t.process + '/' + t.tid;
	for (const t of tracks) first.set(key(t), Math.min(first.get(key(t)) ?? Infinity, t.main ? -1 : t.begin));
	const rank = tracks.map((t) => first.get(key(t)) ?? 0);
	return tracks.map((_, i) => i).sort((a, b) => rank[a] - rank[b] || tracks[a].tid - tracks[b].tid || a - b);
}

// Tracks in the order of the user; those he has not sorted follow.
export function ordered(now: Members): number[] {
	const tracks = now.opened?.trace.tracks ?? [], sorted = new Set(now.order.filter((t) => t < tracks.length));
	return [...sorted, ...natural(tracks).filter((t) => !sorted.has(t))];
}

export function makeLayout(state: State): Layout {
	const now = state.now, out: Layout = { pinned: [], items: [], pinnedHeight: 0, height: 0 };
	if (!now.opened) return out;
	const { tracks, processes } = now.opened.trace, shown = state.shownTracks();
	const visible = shown ? new Set(shown) : null, pinned = new Set(now.pinned), folded = new Set(now.collapsed);
	const push = (list: Item[], item: Item, y: number): number => { item.y = y; list.push(item); return y + item.height; };
	for (const t of now.pinned)
		if (t < tracks.length && (!visible || visible.has(t))) out.pinnedHeight = push(out.pinned,
			trackItem(folded, t, tracks[t], true), out.pinnedHeight);
	const byProcess = processes.map((): number[] => []);
	for (const t of ordered(now)) if (!visible || visible.has(t)) byProcess[tracks[t].process]?.push(t);
	byProcess.forEach((list, process) => {
		if (!list.length) return;
		const collapsed = now.collapsedProcesses.includes(process);
		out.height = push(out.items, { kind: 'process', track: -1, process, y: 0, height: PROCESS, rows: 0, rowTop: 0, row: 0,
			collapsed, pinned: false },
			out.height);
		if (collapsed) return;
		for (const t of list) if (!pinned.has(t)) out.height = push(out.items, trackItem(folded, t, tracks[t], false),
			out.height);
	});
	return out;
}

// Height that the pinned section takes of HEIGHT.
export function pinnedRoom(layout: Layout, height: number): number {
	return Math.min(layout.pinnedHeight, Math.floor(height * PINNED_MOST));
}

// First of ITEMS that reaches below Y.
function firstBelow(items: Item[], y: number): number {
	let lo = 0, hi = items.length;
	while (lo < hi) {
		const mid = (lo + hi) >> 1;
		if (items[mid].y + items[mid].height > y) hi = mid; else lo = mid + 1;
	}
	return lo;
}

// Items that are in sight, pinned ones apart.
export function inSight(layout: Layout, scroll: number, height: number): { pinned: Placed[]; rest: Placed[] } {
	const room = pinnedRoom(layout, height), pinned: Placed[] = [], rest: Placed[] = [];
	for (const item of layout.pinned) if (item.y < room) pinned.push({ item, top: item.y });
	for (let i = firstBelow(layout.items, scroll); i < layout.items.length; i++) {
		const item = layout.items[i], top = room + item.y - scroll;
		if (top >= height) break;
		rest.push({ item, top });
	}
	return { pinned, rest };
}

// Item at Y of the canvas.
export function itemAt(layout: Layout, scroll: number, height: number, y: number): Placed | null {
	const { pinned, rest } = inSight(layout, scroll, height), room = pinnedRoom(layout, height);
	return (y < room ? pinned : rest).find((p) => y >= p.top && y < p.top + p.item.height) ?? null;
}
