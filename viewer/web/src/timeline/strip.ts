// SPDX-License-Identifier: MIT
// strip.ts - paints rows of calls as lines of pixels, one pixel high, for the painter to stretch.
//
// This is the loop that decides how fast the page is: no object is made in it, and what is
// narrower than a pixel is one store.  Without a GPU it is sixty times faster than fillRect.
import { Entry, Leave, type Records } from '../engine';
import { firstOf, type Held } from './cache';
import type { Scene } from './scene';

const TEXT_WIDTH = 30;   // CSS pixels that a bar needs for text
const TORN_WIDTH = 5;    // and for a torn edge

export const enum Torn { None = 0, Left = 1, Right = 2 }

// Edges that were not seen.
export function tornOf(how: number): number {
	return ((how & 3) === Entry.Open ? Torn.Left : 0) | (how >> 2 >= Leave.Unseen ? Torn.Right : 0);
}

// What needs more than pixels, in device pixels of the strip: x0, x1, row, fn, torn, text.
export interface Wide { n: number; x0: Int32Array; x1: Int32Array; row: Int32Array; fn: Uint32Array; torn: Uint8Array;
	faded: Uint8Array }

const MOST = 16384;

// Rows R0 to R1 of a track begin at line LINE of the strip.
export interface Band { r0: number; r1: number; line: number; collapsed: boolean }

export class Strip {
	width = 0;
	readonly wide: Wide = { n: 0, x0: new Int32Array(MOST), x1: new Int32Array(MOST), row: new Int32Array(MOST),
		fn: new Uint32Array(MOST), torn: new Uint8Array(MOST), faded: new Uint8Array(MOST) };
	painted = 0;           // records, in this frame
	private lines = 0;
	private image: ImageData | null = null;
	private pixels = new Uint32Array(0);
	private depths = new Uint16Array(0);   // of what is painted on a line that shows all depths
	private canvas = document.createElement('canvas');
	private cx = this.canvas.getContext('2d');

	// Ready for LINES lines of WIDTH device pixels.
	begin(width: number, lines: number, ground: number): void {
		if (width !== this.width || lines > this.lines) {
			this.width = width;
			this.lines = Math.max(lines + 8, width === this.width ? this.lines : 0);
			this.image = new ImageData(Math.max(1, width), this.lines);
			this.pixels = new Uint32Array(this.image.data.buffer);
			this.canvas.width = Math.max(1, width);
			this.canvas.height = this.lines;
			this.depths = new Uint16Array(width);
		}
		this.pixels.fill(ground, 0, width * lines);
		this.wide.n = 0;
		this.painted = 0;
	}

	// All calls of a track on its band; found ones over the rest, so that none is hidden.
	track(scene: Scene, list: Held[], band: Band, ground: number): void {
		if (band.collapsed) this.depths.fill(0);
		for (const held of list) this.tile(scene, held, band, ground, scene.hits ? 0 : -1);
		if (scene.hits) for (const held of list) this.tile(scene, held, band, ground, 1);
	}

	// ONLY: 1: what is found, 0: the rest, -1: all.
	private tile(scene: Scene, held: Held, band: Band, ground: number, only: number): void {
		const { view, ratio, palette, hits } = scene, r: Records = held.records, { start, end, depth, fn } = r;
		const from = view.from, to = view.to, w = this.width, k = w / (to - from), px = this.pixels;
		const { r0, r1, line, collapsed } = band, ramp = palette.by === 'duration';
		const fills = only === 0 ? palette.faded : palette.fills;
		const least = TEXT_WIDTH * ratio, tornLeast = TORN_WIDTH * ratio;
		for (let i = firstOf(held, from); i < r.n && start[i] <= to; i++) {
			const s = start[i], e = end[i];
			if (e < from) continue;
			const d = depth[i], f = fn[i];
			if (collapsed ? false : d < r0 || d >= r1) continue;
			if (only >= 0 && (hits as Uint8Array)[f] !== only) continue;
			this.painted++;
			const a = (s - from) * k, b = (e - from) * k;
			const colour = ramp ? (only === 0 ? palette.rampFaded : palette.ramp)[log2(e - s)] : fills[f];
			const base = (line + (collapsed ? 0 : d - r0)) * w;
			let x0 = a < 0 ? 0 : a | 0, x1 = b > w ? w : b | 0;
			if (x0 >= w) continue;
			if (x1 <= x0) x1 = x0 + 1;
			if (collapsed) {
				this.flat(base, x0, x1, d + 1, colour);
				continue;
			}
			if (x1 - x0 === 1) { px[base + x0] = colour; continue; }
			// A gap between neighbours, in the colour of the lane.
			if (x1 - x0 > 3 && b < w) px[base + --x1] = ground;
			px.fill(colour, base + x0, base + x1);
			if (x1 - x0 >= tornLeast && r.count[i] === 1) this.note(x0, x1, line + d - r0, f, r.how[i], x1 - x0 >= least,
				only === 0, a >= 0, b <= w);
		}
	}

	// One line for all depths: the deepest is seen.
	private flat(base: number, x0: number, x1: number, depth: number, colour: number): void {
		const { depths, pixels } = this;
		for (let x = x0; x < x1; x++) if (depths[x] <= depth) { depths[x] = depth; pixels[base + x] = colour; }
	}

	private note(x0: number, x1: number, row: number, fn: number, how: number, text: boolean, faded: boolean, left: boolean,
			right: boolean): void {
		const w = this.wide, torn = (left ? tornOf(how) & Torn.Left : 0) | (right ? tornOf(how) & Torn.Right : 0);
		if (!text && !torn || w.n === MOST) return;
		const i = w.n++;
		w.x0[i] = x0; w.x1[i] = x1; w.row[i] = row; w.fn[i] = fn; w.torn[i] = torn | (text ? 4 : 0); w.faded[i] = faded ? 1 : 0;
	}

	end(lines: number): void {
		if (this.image && lines) this.cx?.putImageData(this.image, 0, 0, 0, 0, this.width, lines);
	}

	// LINES of it, stretched.
	draw(cx: CanvasRenderingContext2D, line: number, lines: number, y: number, width: number, height: number): void {
		cx.imageSmoothingEnabled = false;
		cx.drawImage(this.canvas, 0, line, this.width, lines, 0, y, width, height);
	}
}

function log2(ns: number): number {
	const v = ns < 4294967296 ? 31 - Math.clz32(ns + 1) : 63 - Math.clz32(ns / 4294967296);
	return v > 48 ? 48 : v;
}
