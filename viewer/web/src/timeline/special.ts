// SPDX-License-Identifier: MIT
// special.ts - tracks that are not rows of calls: counters as stepped areas, instants as diamonds.
import { css } from '../colours';
import type { Ns, Samples } from '../engine';
import type { View } from '../state';
import { brief } from '../units';
import type { Placed } from './layout';
import { eachRecord, type Scene } from './scene';
import type { Fitter } from './text';
import { FONT, type Inks } from './theme';

const DIAMOND = 5;      // half of it
const NEAR = 3;         // pixels; nearer ones are one

// Sample that holds at TIME; -1: before the first.
export function sampleAt(s: Samples, time: Ns): number {
	let lo = 0, hi = s.t.length;
	while (lo < hi) {
		const mid = (lo + hi) >> 1;
		if (s.t[mid] <= time) lo = mid + 1; else hi = mid;
	}
	return lo - 1;
}

// Least and greatest of what is in view, widened to 0 if that is near.
export function bounds(s: Samples, view: View): [number, number] {
	let min = Infinity, max = -Infinity;
	for (let i = Math.max(0, sampleAt(s, view.from)); i < s.t.length && s.t[i] <= view.to; i++) {
		min = Math.min(min, s.min[i]);
		max = Math.max(max, s.max[i]);
	}
	if (min > max) return [0, 1];
	if (min > 0 && min < max * 0.75) min = 0;
	if (max < 0 && max > min * 0.75) max = 0;
	return min === max ? [Math.min(0, min), Math.max(0, max) || 1] : [min, max];
}

export function drawCounter(cx: CanvasRenderingContext2D, scene: Scene, inks: Inks, p: Placed): void {
	const s = scene.samples(p.item.track), { view, width } = scene;
	if (!s || !s.t.length) return;
	const top = p.top + p.item.rowTop + 1, height = p.item.row - 2, k = width / (view.to - view.from);
	const [min, max] = bounds(s, view), y = (v: number): number => top + height * (1 - (v - min) / (max - min));
	const x = (t: number): number => Math.max(-2, Math.min(width + 2, (t - view.from) * k));
	const first = Math.max(0, sampleAt(s, view.from)), end = Math.min(scene.tracks[p.item.track].end, view.to);
	const area = (values: Float64Array): void => {
		cx.beginPath();
		cx.moveTo(x(s.t[first]), y(min));
		for (let i = first; i < s.t.length && s.t[i] <= view.to; i++) {
			cx.lineTo(x(s.t[i]), y(values[i]));
			cx.lineTo(x(i + 1 < s.t.length ? s.t[i + 1] : end), y(values[i]));
		}
		cx.lineTo(x(Math.max(end, s.t[first])), y(min));
		cx.closePath();
		cx.fill();
	};
	cx.fillStyle = inks.bar;
	cx.globalAlpha = 0.5;
	area(s.max);
	cx.globalAlpha = 1;
	area(s.min);
	cx.strokeStyle = inks.accent;
	cx.lineWidth = 1;
	cx.beginPath();
	for (let i = first; i < s.t.length && s.t[i] <= view.to; i++) {
		const next = x(i + 1 < s.t.length ? s.t[i + 1] : end), v = Math.round(y(s.last[i])) + 0.5;
		if (i === first) cx.moveTo(x(s.t[i]), v); else cx.lineTo(x(s.t[i]), v);
		cx.lineTo(next, v);
	}
	cx.stroke();
	if (p.item.collapsed) return;
	scale(cx, inks, brief(max), 4, top + 6);
	scale(cx, inks, brief(min), 4, top + height - 6);
}

function scale(cx: CanvasRenderingContext2D, inks: Inks, text: string, x: number, y: number): void {
	cx.font = FONT;
	cx.textBaseline = 'middle';
	cx.textAlign = 'left';
	const w = cx.measureText(text).width;
	cx.globalAlpha = 0.75;
	cx.fillStyle = inks.bg;
	cx.fillRect(x - 2, y - 6, w + 4, 12);
	cx.globalAlpha = 1;
	cx.fillStyle = inks.dim;
	cx.fillText(text, x, y + 0.5);
}

// Diamonds with their names where there is room to the next one.
export function drawInstants(cx: CanvasRenderingContext2D, scene: Scene, inks: Inks, p: Placed, fitter: Fitter): void {
	const { view, width, palette, hits } = scene, k = width / (view.to - view.from), y = p.top + p.item.height / 2;
	const marks: { x: number; fn: number; count: number }[] = [];
	eachRecord(scene, p.item.track, view.from - 8 / k, view.to + 8 / k, (held, i) => {
		const r = held.records;
		marks.push({ x: (r.start[i] - view.from) * k, fn: r.fn[i], count: r.count[i] });
	});
	marks.sort((a, b) => a.x - b.x);
	let last = -Infinity;
	marks.forEach((m, i) => {
		if (m.x - last < NEAR) return;
		last = m.x;
		const found = !hits || hits[m.fn] === 1;
		cx.fillStyle = css(found ? palette.fills[m.fn] : palette.faded[m.fn]);
		cx.strokeStyle = found ? inks.text : inks.dim;
		cx.globalAlpha = found ? 1 : 0.5;
		diamond(cx, m.x, y);
		cx.globalAlpha = 1;
		const room = (marks[i + 1]?.x ?? width + 200) - m.x - 2 * DIAMOND - 8;
		if (room < 40 || m.count > 1) return;
		cx.font = FONT;
		cx.textBaseline = 'middle';
		cx.fillStyle = found ? inks.text : inks.dim;
		cx.fillText(fitter.name(scene.functions, m.fn, room), m.x + DIAMOND + 4, y + 0.5);
	});
}

function diamond(cx: CanvasRenderingContext2D, x: number, y: number): void {
	cx.beginPath();
	cx.moveTo(x, y - DIAMOND - 1);
	cx.lineTo(x + DIAMOND, y);
	cx.lineTo(x, y + DIAMOND + 1);
	cx.lineTo(x - DIAMOND, y);
	cx.closePath();
	cx.fill();
	cx.lineWidth = 0.75;
	cx.stroke();
}
