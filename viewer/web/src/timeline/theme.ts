// SPDX-License-Identifier: MIT
// theme.ts - the colours of the stylesheet, for canvases, and hatches made of them.
import { packed } from '../colours';

export interface Inks {
	dark: boolean;
	bg: string; panel: string; line: string; text: string; dim: string; accent: string;
	lane: string; warn: string; bar: string; found: string;
	lanePixel: number;
	dropped: CanvasPattern | null;     // what the recorder had no room for
	unreadable: CanvasPattern | null;  // what is missing in the file
}

export const FONT = '11px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif';
export const FONT_BOLD = '600 ' + FONT;

// One 8 x 8 cell with lines from corner to corner; CROSS: both ways.
function hatch(cx: CanvasRenderingContext2D, ground: string, ink: string, cross: boolean, ratio: number): CanvasPattern | null {
	const side = Math.round(8 * ratio), cell = document.createElement('canvas'), c = cell.getContext('2d');
	cell.width = cell.height = side;
	if (!c) return null;
	c.fillStyle = ground;
	c.fillRect(0, 0, side, side);
	c.strokeStyle = ink;
	c.lineWidth = 1.25 * ratio;
	c.beginPath();
	for (const x of [-side, 0, side]) {
		c.moveTo(x - 2, side + 2); c.lineTo(x + side + 2, -2);
		if (cross) { c.moveTo(x - 2, -2); c.lineTo(x + side + 2, side + 2); }
	}
	c.stroke();
	const pattern = cx.createPattern(cell, 'repeat');
	pattern?.setTransform(new DOMMatrix().scale(1 / ratio));
	return pattern;
}

export function inks(cx: CanvasRenderingContext2D, dark: boolean, ratio: number): Inks {
	const style = getComputedStyle(document.documentElement);
	const v = (name: string): string => style.getPropertyValue('--' + name).trim() || '#888888';
	return { dark, bg: v('bg'), panel: v('panel'), line: v('line'), text: v('text'), dim: v('dim'), accent: v('accent'),
		lane: v('lane'),
		warn: v('warn'), bar: v('bar'), found: v('found'), lanePixel: packed(v('lane')),
		dropped: hatch(cx, v('gap-bg'), v('gap'), false, ratio), unreadable: hatch(cx, v('lost-bg'), v('lost'), true, ratio) };
}
