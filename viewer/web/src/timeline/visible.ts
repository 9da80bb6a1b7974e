// SPDX-License-Identifier: MIT
// visible.ts - what the last frame shows, in numbers: the test interface of the timeline.
//
// x and y are pixels of the window, so that a test can point at what it reads here.
import { title } from '../units';
import { nested } from './layout';
import { eachRecord, rowTop, type Scene } from './scene';
import { Torn, tornOf } from './strip';
import { bounds } from './special';
import type { Minimap } from './minimap';

export interface Visible {
	view: { from: number; to: number };
	area: { x: number; y: number; width: number; height: number };
	tracks: { track: number; name: string; kind: string; x: number; y: number; width: number; height: number; collapsed: boolean;
		pinned: boolean }[];
	processes: { process: number; y: number; collapsed: boolean }[];
	slices: VisibleSlice[];
	gaps: { track: number; start: number; end: number; records: number; x: number; y: number; width: number; height: number }[];
	counters: { track: number; min: number; max: number; points: number; y: number; height: number }[];
	minimap: { x: number; y: number; width: number; height: number; from: number; to: number;
		marks: { x: number; width: number; calls: number }[] };
	selection: unknown;
	missing: number;        // tiles that are still on their way
	painted: number;        // records
	texts: number;
	bytes: number;          // of decoded tiles
}

export interface VisibleSlice {
	track: number; depth: number; fn: number; name: string; start: number; end: number; count: number; how: number;
	x: number; x0: number; x1: number; y: number; width: number; height: number;
	kind: 'slice' | 'run' | 'instant'; hit: boolean; tornLeft: boolean; tornRight: boolean;
}

type Area = Visible['area'];

function slices(scene: Scene, area: Area, out: VisibleSlice[]): void {
	const { view, width } = scene, k = width / (view.to - view.from);
	for (const p of [...scene.pinned, ...scene.rest]) {
		if (p.item.kind === 'process' || scene.tracks[p.item.track].kind === 'counter') continue;
		const instants = scene.tracks[p.item.track].kind === 'instants';
		const low = p.item.pinned ? 0 : scene.pinnedHeight, high = p.item.pinned ? scene.pinnedHeight : scene.height;
		eachRecord(scene, p.item.track, view.from, view.to, (held, i) => {
			const r = held.records, fn = r.fn[i], y = instants ? p.top + p.item.height / 2 - 9 : rowTop(p, r.depth[i]),
				torn = r.count[i] > 1 ? 0 : tornOf(r.how[i]);
			if (y + p.item.row <= low || y >= high) return;
			const x0 = area.x + Math.max(0, (r.start[i] - view.from) * k),
				x1 = area.x + Math.min(width, (r.end[i] - view.from) * k);
			out.push({ track: p.item.track, depth: r.depth[i], fn, name: title(scene.functions, fn), start: r.start[i],
				end: r.end[i], count: r.count[i], how: r.how[i],
				x: x0, x0, x1, y: area.y + y, width: x1 - x0, height: p.item.row, kind: instants ? 'instant'
					: held.tile.kind === 'runs' ? 'run' : 'slice',
				hit: !scene.hits || scene.hits[fn] === 1, tornLeft: (torn & Torn.Left) !== 0 && r.start[i] >= view.from,
					tornRight: (torn & Torn.Right) !== 0 && r.end[i] <= view.to });
		});
	}
}

function others(scene: Scene, area: Area, out: Visible): void {
	const { view, width } = scene, k = width / (view.to - view.from);
	for (const p of [...scene.pinned, ...scene.rest]) {
		const { item } = p, y = area.y + p.top;
		if (item.kind === 'process') { out.processes.push({ process: item.process, y, collapsed: item.collapsed }); continue; }
		const t = scene.tracks[item.track];
		out.tracks.push({ track: item.track, name: t.name, kind: t.kind, x: area.x, y, width, height: item.height,
			collapsed: item.collapsed, pinned: item.pinned });
		for (const g of scene.gaps(item.track)) {
			if (g.end < view.from || g.start > view.to) continue;
			const x = area.x + Math.max(0, (g.start - view.from) * k);
			out.gaps.push({ track: item.track, ...g, x, y: y + item.rowTop,
				width: Math.max(2, area.x + Math.min(width, (g.end - view.from) * k) - x),
				height: item.rows * item.row });
		}
		const s = nested(t) || t.kind !== 'counter' ? null : scene.samples(item.track);
		if (!s) continue;
		const [min, max] = bounds(s, view);
		let points = 0;
		for (const time of s.t) if (time >= view.from && time <= view.to) points++;
		out.counters.push({ track: item.track, min, max, points, y: y + item.rowTop, height: item.row });
	}
}

export function describe(scene: Scene, canvas: HTMLElement, minimap: Minimap, selection: unknown): Visible {
	const box = canvas.getBoundingClientRect(), small = minimap.canvas.getBoundingClientRect();
	const area = { x: box.left, y: box.top, width: box.width, height: box.height };
	const out: Visible = { view: { ...scene.view }, area, tracks: [], processes: [], slices: [], gaps: [], counters: [], selection,
		missing: scene.missing.length,
		minimap: { x: small.left, y: small.top, width: small.width, height: small.height, from: scene.view.from,
			to: scene.view.to,
			marks: minimap.ticks().map((m) => ({ ...m, x: m.x + small.left })) }, painted: 0, texts: 0, bytes: 0 };
	slices(scene, area, out.slices);
	others(scene, area, out);
	return out;
}

