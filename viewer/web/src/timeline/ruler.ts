// SPDX-License-Identifier: MIT
// ruler.ts - the scale of time above the tracks, with the range that is selected and the pointer.
import type { View } from '../state';
import { duration, moment } from '../units';
import { rounded } from './dom';
import { FONT, FONT_BOLD, type Inks } from './theme';

const APART = 116;   // CSS pixels between marks, at least

// 1, 2 or 5 times a power of ten, so that marks are at least APART.
export function stepOf(span: number, width: number): number {
	const rough = span / Math.max(1, width / APART), ten = 10 ** Math.floor(Math.log10(rough));
	return Math.max(1, ten * (rough <= ten ? 1 : rough <= 2 * ten ? 2 : rough <= 5 * ten ? 5 : 10));
}

export interface RulerState { view: View; width: number; height: number; range: View | null; pointer: number | null } // pointer: x

export function drawRuler(cx: CanvasRenderingContext2D, inks: Inks, ratio: number, s: RulerState): void {
	const { view, width, height } = s, span = view.to - view.from, k = width / span, step = stepOf(span, width);
	cx.setTransform(ratio, 0, 0, ratio, 0, 0);
	cx.fillStyle = inks.bg;
	cx.fillRect(0, 0, width, height);
	if (s.range) drawRange(cx, inks, s, s.range, k);
	cx.font = FONT;
	cx.textBaseline = 'middle';
	cx.textAlign = 'left';
	for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
		const x = Math.round((t - view.from) * k);
		cx.fillStyle = inks.line;
		cx.fillRect(x, 0, 1, height);
		cx.fillStyle = inks.dim;
		cx.fillText(t === 0 ? '0' : moment(t, step, view.to), x + 5, height / 2 + 0.5);
	}
	cx.fillStyle = inks.line;
	cx.fillRect(0, height - 1, width, 1);
	if (s.range) rangeText(cx, inks, s, s.range, k);
	if (s.pointer !== null) badge(cx, inks, s, s.pointer, moment(view.from + s.pointer / k, span / width, view.to));
}

function drawRange(cx: CanvasRenderingContext2D, inks: Inks, s: RulerState, range: View, k: number): void {
	const x0 = Math.max(0, (range.from - s.view.from) * k), x1 = Math.min(s.width, (range.to - s.view.from) * k);
	if (x1 <= x0) return;
	cx.fillStyle = inks.bar;
	cx.fillRect(x0, 0, x1 - x0, s.height);
}

function rangeText(cx: CanvasRenderingContext2D, inks: Inks, s: RulerState, range: View, k: number): void {
	const x0 = Math.max(0, (range.from - s.view.from) * k), x1 = Math.min(s.width, (range.to - s.view.from) * k);
	if (x1 < 0 || x0 > s.width) return;
	const text = duration(Math.round(range.to - range.from));
	cx.font = FONT_BOLD;
	const w = cx.measureText(text).width + 16, x = Math.max(0, Math.min(s.width - w, (x0 + x1 - w) / 2));
	cx.fillStyle = inks.accent;
	rounded(cx, x, 3, w, s.height - 7, 4);
	cx.fill();
	cx.fillStyle = inks.bg;
	cx.fillText(text, x + 8, s.height / 2);
}

function badge(cx: CanvasRenderingContext2D, inks: Inks, s: RulerState, x: number, text: string): void {
	cx.font = FONT;
	const w = cx.measureText(text).width + 12, left = Math.max(0, Math.min(s.width - w, x - w / 2));
	cx.fillStyle = inks.text;
	rounded(cx, left, 4, w, s.height - 8, 4);
	cx.fill();
	cx.fillStyle = inks.bg;
	cx.fillText(text, left + 6, s.height / 2 + 0.5);
}
