// SPDX-License-Identifier: MIT
// overlay.ts - what changes with the pointer, above the tracks: outlines, the range, the cursor.
import type { Members, View } from '../state';
import type { SliceRef } from '../engine';
import { ROW, type Placed } from './layout';
import { rowTop, type Scene, type Target } from './scene';
import type { Inks } from './theme';

export function drawOverlay(cx: CanvasRenderingContext2D, scene: Scene, inks: Inks, now: Members, hover: Target | null,
		pointer: number | null): void {
	const { width, height, ratio } = scene;
	cx.setTransform(ratio, 0, 0, ratio, 0, 0);
	cx.clearRect(0, 0, width, height);
	if (now.selection.kind === 'range') shade(cx, scene, inks, now.selection);
	if (pointer !== null) {
		cx.fillStyle = inks.text;
		cx.globalAlpha = 0.25;
		cx.fillRect(Math.round(pointer), 0, 1, height);
		cx.globalAlpha = 1;
	}
	if (hover?.record) {
		const { held, i, track } = hover.record, r = held.records;
		if (scene.tracks[track].kind !== 'instants')
			outline(cx, scene, hover.placed, { track, depth: r.depth[i], start: r.start[i], fn: r.fn[i] }, r.end[i],
				inks.text, 1);
	}
	if (now.selection.kind === 'slice') {
		const s = now.selection.slice;
		for (const p of [...scene.rest, ...scene.pinned]) if (p.item.track === s.track) outline(cx, scene, p, s, s.end,
			inks.accent, 2);
	}
}

function shade(cx: CanvasRenderingContext2D, scene: Scene, inks: Inks, range: View & { tracks: number[] | null }): void {
	const { view, width, height } = scene, k = width / (view.to - view.from);
	const x0 = (range.from - view.from) * k, x1 = (range.to - view.from) * k;
	const dim = (a: number, b: number, y: number, h: number): void => { if (b > a) cx.fillRect(a, y, b - a, h); };
	cx.fillStyle = inks.bg;
	cx.globalAlpha = 0.5;
	dim(0, Math.min(width, x0), 0, height);
	dim(Math.max(0, x1), width, 0, height);
	if (range.tracks) {
		const wanted = new Set(range.tracks);
		for (const p of [...scene.rest, ...scene.pinned])
			if (p.item.kind === 'track' && !wanted.has(p.item.track)) dim(Math.max(0, x0), Math.min(width, x1), p.top,
				p.item.height);
	}
	cx.globalAlpha = 1;
	cx.fillStyle = inks.accent;
	for (const x of [x0, x1]) if (x >= -1 && x <= width) cx.fillRect(Math.round(x) - (x === x1 ? 1 : 0), 0, 1, height);
}

function outline(cx: CanvasRenderingContext2D, scene: Scene, p: Placed, s: SliceRef, end: number, colour: string, thick: number): void {
	const { view, width, pinnedHeight, height } = scene, k = width / (view.to - view.from);
	const a = (s.start - view.from) * k, b = (end - view.from) * k;
	if (b < -4 || a > width + 4) return;
	const x0 = Math.max(-4, a), x1 = Math.min(width + 4, Math.max(b, x0 + 3)), y = rowTop(p, s.depth);
	cx.save();
	cx.beginPath();
	if (p.item.pinned) cx.rect(0, 0, width, pinnedHeight); else cx.rect(0, pinnedHeight, width, height - pinnedHeight);
	cx.clip();
	cx.strokeStyle = colour;
	cx.lineWidth = thick;
	if (scene.tracks[s.track].kind === 'instants') {
		cx.beginPath();
		cx.arc(a, p.top + p.item.height / 2, 9, 0, 7);
		cx.stroke();
	} else cx.strokeRect(Math.round(x0) + thick / 2, y + thick / 2 - 0.5, Math.max(2, Math.round(x1) - Math.round(x0) - thick),
		ROW - thick);
	cx.restore();
}
