// SPDX-License-Identifier: MIT
// scene.ts - what one frame shows: the view, the tracks in sight, and the tiles there are of them.
//
// Made once for each frame and then only read: by the painter, by what is under the pointer, by tests.
import type { Engine, Functions, Gap, Ns, Samples, Tile, TrackInfo } from '../engine';
import type { View } from '../state';
import type { Palette } from '../colours';
import { firstOf, type Held, type TileCache } from './cache';
import type { Placed } from './layout';

const COARSER = 4;  // levels tried in place of tiles that are not there yet
const STALE = 64;   // tiles of a track that are kept for that

export interface Scene {
	view: View;
	width: number; height: number;   // CSS pixels
	ratio: number;                   // device pixels of one
	pinnedHeight: number;
	pinned: Placed[]; rest: Placed[];
	tiles: Map<number, Held[]>;      // by track; coarse ones first
	missing: Tile[];
	gaps: (track: number) => Gap[];
	samples: (track: number) => Samples | null;
	tracks: TrackInfo[];
	functions: Functions;
	palette: Palette;
	hits: Uint8Array | null;         // by function; null: nothing is looked for
}

export const resolutionOf = (view: View, width: number, ratio: number): Ns => (view.to - view.from) / Math.max(1, width * ratio);

// Tiles of TRACKS that are there, and all that are not.  In place of these what a coarser level
// has, or else what was drawn BEFORE.
export function gather(engine: Engine, cache: TileCache, tracks: number[], view: View, resolution: Ns, before: Map<number,
		Held[]> | undefined): { tiles: Map<number, Held[]>; missing: Tile[] } {
	const tiles = new Map<number, Held[]>(), missing: Tile[] = [], lacking = new Set<number>();
	for (const t of tracks) tiles.set(t, []);
	for (const tile of engine.tiles(tracks, view.from, view.to, resolution)) {
		const held = cache.get(tile);
		if (held) tiles.get(tile.track)?.push(held);
		else { missing.push(tile); lacking.add(tile.track); }
	}
	for (let k = 1; k <= COARSER && lacking.size; k++) under(engine, cache, lacking, tiles, view, resolution * 4 ** k);
	for (const t of lacking) {
		const now = tiles.get(t) ?? [], there = new Set(now),
			old = (before?.get(t) ?? []).filter((h) => !there.has(h)).slice(-STALE);
		tiles.set(t, [...old, ...now]);
	}
	return { tiles, missing };
}

// Puts what there is of a coarser level before the rest.
function under(engine: Engine, cache: TileCache, lacking: Set<number>, tiles: Map<number, Held[]>, view: View, resolution: Ns): void {
	const found = new Map<number, Held[]>();
	for (const tile of engine.tiles([...lacking], view.from, view.to, resolution)) {
		if (tile.kind !== 'runs' || !cache.has(tile)) continue;
		const held = cache.get(tile), list = found.get(tile.track);
		if (!held) continue;
		if (list) list.push(held); else found.set(tile.track, [held]);
	}
	for (const [track, list] of found) {
		tiles.set(track, [...list, ...tiles.get(track) ?? []]);
		lacking.delete(track);
	}
}

// Row of the canvas that DEPTH of an item is in.
export const rowTop = (p: Placed, depth: number): number => p.top + p.item.rowTop + (p.item.collapsed ? 0 : depth * p.item.row);

export interface Record { held: Held; i: number; track: number }

// Calls VISIT for all records of TRACK between FROM and TO, coarse ones first.
export function eachRecord(scene: Scene, track: number, from: Ns, to: Ns, visit: (held: Held, i: number) => void): void {
	for (const held of scene.tiles.get(track) ?? []) {
		const { start, end, n } = held.records;
		for (let i = firstOf(held, from); i < n && start[i] <= to; i++) if (end[i] >= from) visit(held, i);
	}
}

export interface Target { placed: Placed; depth: number; time: Ns; record: Record | null }

// What is at this place of the canvas: of what is narrow, the nearest within two pixels.
export function targetAt(scene: Scene, x: number, y: number): Target | null {
	const placed = (y < scene.pinnedHeight ? scene.pinned : scene.rest).find((p) => y >= p.top && y < p.top + p.item.height);
	if (!placed || placed.item.kind === 'process') return null;
	const { view, width } = scene, ns = (view.to - view.from) / width, time = view.from + x * ns, track = placed.item.track;
	const info = scene.tracks[track], instants = info.kind === 'instants', slack = ns * (instants ? 6 : 2);
	const row = Math.floor((y - placed.top - placed.item.rowTop) / placed.item.row);
	const target: Target = { placed, depth: row, time, record: null };
	if (info.kind === 'counter' || row < 0 || row >= placed.item.rows) return target;
	let near = Infinity, length = -1, depth = -1;
	eachRecord(scene, track, time - slack, time + slack, (held, i) => {
		const r = held.records, d = r.depth[i];
		if (!placed.item.collapsed && !instants && d !== row) return;
		const off = Math.max(r.start[i] - time, time - r.end[i], 0), wide = r.end[i] - r.start[i];
		// The deepest of a collapsed track is what is seen; else the nearest, and of these the longest.
		if (placed.item.collapsed ? d < depth || d === depth && off > near : off > near || off === near &&
			wide < length) return;
		near = off; length = wide; depth = d;
		target.record = { held, i, track };
	});
	if (target.record) target.depth = target.record.held.records.depth[target.record.i];
	return target;
}
