// SPDX-License-Identifier: MIT
// draw.ts - paints a scene: strips of calls, text, torn edges, gaps.
import type { Gap } from '../engine';
import { brief } from '../units';
import { drawCounter, drawInstants } from './special';
import { nested, ROW, type Placed } from './layout';
import { FONT, FONT_BOLD, type Inks } from './theme';
import type { Scene } from './scene';
import { Strip, Torn, type Band } from './strip';
import { Fitter } from './text';

const GAP_LEAST = 2;      // a gap is never narrower, or it would not be seen
const GAP_TEXT = 90;      // and text in it needs this
const TEXTS = 900;        // in one frame; what is narrow goes without if there are more

interface Part { placed: Placed; band: Band }

export class Painter {
	readonly strip = new Strip();
	texts = 0;               // in this frame
	private parts: Part[] = [];
	private fitter: Fitter;

	constructor(private cx: CanvasRenderingContext2D) {
		this.fitter = new Fitter(cx);
	}

	draw(scene: Scene, inks: Inks): void {
		const { cx } = this, { width, height, ratio, pinnedHeight } = scene;
		cx.setTransform(ratio, 0, 0, ratio, 0, 0);
		cx.fillStyle = inks.bg;
		cx.fillRect(0, 0, width, height);
		this.texts = 0;
		this.paint(scene, inks);
		this.section(scene, inks, scene.rest, pinnedHeight, height);
		if (pinnedHeight) {
			cx.fillStyle = inks.bg;
			cx.fillRect(0, 0, width, pinnedHeight);
			this.section(scene, inks, scene.pinned, 0, pinnedHeight);
			cx.fillStyle = inks.line;
			cx.fillRect(0, pinnedHeight - 1, width, 1);
		}
	}

	// All strips at once: one transfer to the canvas.
	private paint(scene: Scene, inks: Inks): void {
		const all = [...scene.rest, ...scene.pinned];
		let line = 0;
		this.parts = [];
		for (const placed of all) {
			const { item } = placed;
			if (item.kind === 'process' || !nested(scene.tracks[item.track])) continue;
			const top = placed.top + item.rowTop;
			const r0 = Math.max(0, Math.floor(-top / ROW)), r1 = Math.min(item.rows, Math.ceil((scene.height - top) / ROW));
			if (r1 <= r0) continue;
			this.parts.push({ placed, band: { r0, r1, line, collapsed: item.collapsed } });
			line += r1 - r0;
		}
		this.strip.begin(Math.round(scene.width * scene.ratio), line, inks.lanePixel);
		for (const { placed, band } of this.parts)
			this.strip.track(scene, scene.tiles.get(placed.item.track) ?? [], band, inks.lanePixel);
		this.strip.end(line);
	}

	private section(scene: Scene, inks: Inks, list: Placed[], top: number, bottom: number): void {
		const { cx } = this, sight = new Set(list);
		cx.save();
		cx.beginPath();
		cx.rect(0, top, scene.width, bottom - top);
		cx.clip();
		for (const p of list) this.ground(scene, inks, p);
		const parts = this.parts.filter((p) => sight.has(p.placed));
		for (const { placed, band } of parts) {
			const y = placed.top + placed.item.rowTop + band.r0 * ROW, rows = band.r1 - band.r0;
			this.strip.draw(cx, band.line, rows, y, scene.width, rows * ROW);
			cx.fillStyle = inks.bg;
			for (let r = 1; r <= rows; r++) cx.fillRect(0, y + r * ROW - 1, scene.width, 1);
		}
		this.bars(scene, inks, parts);
		for (const p of list) this.others(scene, inks, p);
		cx.restore();
	}

	private ground(scene: Scene, inks: Inks, p: Placed): void {
		const { cx } = this;
		if (p.item.kind === 'process') {
			cx.fillStyle = inks.panel;
			cx.fillRect(0, p.top, scene.width, p.item.height);
		}
		cx.fillStyle = inks.line;
		cx.fillRect(0, p.top + p.item.height - 1, scene.width, 1);
	}

	private others(scene: Scene, inks: Inks, p: Placed): void {
		if (p.item.kind === 'process') return;
		const kind = scene.tracks[p.item.track].kind;
		if (kind === 'counter') drawCounter(this.cx, scene, inks, p);
		if (kind === 'instants') drawInstants(this.cx, scene, inks, p, this.fitter);
		this.gaps(scene, inks, p);
	}

	// Text and torn edges of the bars of PARTS.
	private bars(scene: Scene, inks: Inks, parts: Part[]): void {
		const { cx, strip: { wide } } = this, { ratio, palette } = scene, tops = new Map<number, number>();
		for (const { placed, band } of parts)
			for (let r = band.r0; r < band.r1; r++) tops.set(band.line + r - band.r0,
				placed.top + placed.item.rowTop + r * ROW);
		const least = wide.n > TEXTS ? this.least(ratio) : 0;
		cx.font = FONT;
		cx.textBaseline = 'middle';
		cx.textAlign = 'left';
		for (const faded of [0, 1]) {
			cx.fillStyle = faded ? palette.inkFaded : palette.ink;
			for (let i = 0; i < wide.n; i++) {
				const y = tops.get(wide.row[i]);
				if (y === undefined || wide.faded[i] !== faded || !(wide.torn[i] & 4) ||
					wide.x1[i] - wide.x0[i] < least) continue;
				const torn = wide.torn[i] & Torn.Left ? 5 : 0, x = wide.x0[i] / ratio + 4 + torn;
				this.text(scene, wide.fn[i], x, wide.x1[i] / ratio - x - 3, y + ROW / 2);
			}
		}
		cx.fillStyle = inks.lane;
		for (let i = 0; i < wide.n; i++) {
			const y = tops.get(wide.row[i]);
			if (y === undefined) continue;
			if (wide.torn[i] & Torn.Left) tear(cx, wide.x0[i] / ratio, y, 1);
			if (wide.torn[i] & Torn.Right) tear(cx, wide.x1[i] / ratio, y, -1);
		}
	}

	// Width from which on no more than TEXTS bars have text.
	private least(ratio: number): number {
		const { wide } = this.strip, widths: number[] = [];
		for (let i = 0; i < wide.n; i++) if (wide.torn[i] & 4) widths.push(wide.x1[i] - wide.x0[i]);
		widths.sort((a, b) => b - a);
		return widths.length > TEXTS ? Math.max(widths[TEXTS], 30 * ratio) : 0;
	}

	private text(scene: Scene, fn: number, x: number, room: number, y: number): void {
		const text = this.fitter.name(scene.functions, fn, room);
		if (!text) return;
		this.cx.fillText(text, x, y);
		this.texts++;
	}

	private gaps(scene: Scene, inks: Inks, p: Placed): void {
		const { cx } = this, { view, width } = scene, k = width / (view.to - view.from);
		const list = scene.gaps(p.item.track), top = p.top + p.item.rowTop, height = p.item.rows * p.item.row - 1;
		let last = -Infinity;
		for (let i = firstGap(list, view.from); i < list.length && list[i].start <= view.to; i++) {
			const g = list[i], x0 = Math.max(-4, (g.start - view.from) * k),
				x1 = Math.min(width + 4, Math.max(x0 + GAP_LEAST, (g.end - view.from) * k));
			if (x1 <= last) continue;
			last = x1;
			cx.fillStyle = (g.records ? inks.dropped : inks.unreadable) ?? inks.warn;
			cx.fillRect(x0, top, x1 - x0, height);
			this.gapText(inks, g, (x0 + x1) / 2, top + Math.min(height, ROW * 2) / 2, x1 - x0 - 8);
		}
	}

	private gapText(inks: Inks, gap: Gap, x: number, y: number, room: number): void {
		const { cx } = this;
		if (room < GAP_TEXT) return;
		const text = gap.records ? brief(gap.records) + ' records dropped' : 'cannot be read';
		cx.font = FONT_BOLD;
		cx.textAlign = 'center';
		cx.textBaseline = 'middle';
		const w = cx.measureText(text).width + 14;
		if (w > room) return;
		cx.fillStyle = inks.bg;
		cx.fillRect(x - w / 2, y - 8, w, 16);
		cx.fillStyle = gap.records ? inks.warn : inks.dim;
		cx.fillText(text, x, y + 0.5);
		cx.textAlign = 'left';
	}
}

export function firstGap(list: Gap[], from: number): number {
	let lo = 0, hi = list.length;
	while (lo < hi) {
		const mid = (lo + hi) >> 1;
		if (list[mid].end < from) lo = mid + 1; else hi = mid;
	}
	return lo;
}

// Teeth in the colour of the lane, cut out of a bar.
function tear(cx: CanvasRenderingContext2D, x: number, y: number, side: 1 | -1): void {
	const teeth = 3, step = (ROW - 1) / teeth;
	cx.beginPath();
	cx.moveTo(x, y);
	for (let i = 0; i < teeth; i++) {
		cx.lineTo(x + side * 5, y + (i + 0.5) * step);
		cx.lineTo(x, y + (i + 1) * step);
	}
	cx.closePath();
	cx.fill();
}
