// SPDX-License-Identifier: MIT
// input.ts - pointers and wheel on the tracks and the ruler: pan, zoom, pinch, measure, select.
import type { View } from '../state';

const CLICK = 4;          // pixels that a click may move
const WHEEL = 0.0022;     // zoom for a pixel of the wheel
const PINCH = 0.011;      // and of a track pad's pinch, which comes as ctrl+wheel
const LINE = 18;          // pixels of a line, where the wheel counts lines

export interface Host {
	width(): number;
	left(): number; top(): number;                 // of the canvas, in the window
	view(): View;
	move(view: View): void;                        // at once
	scroll(dy: number): void;
	hover(x: number, y: number): void;             // of the canvas; NaN: gone
	click(x: number, y: number): void;
	open(x: number, y: number): void;              // double click
	measure(from: number, to: number, y0: number, y1: number, done: boolean): void; // y NaN: all tracks
}

export function zoomed(view: View, part: number, factor: number): View {
	const span = view.to - view.from, at = view.from + span * part;
	return { from: at - span * factor * part, to: at + span * factor * (1 - part) };
}

export function panned(view: View, pixels: number, width: number): View {
	const by = (view.to - view.from) * pixels / width;
	return { from: view.from + by, to: view.to + by };
}

interface Finger { x: number; y: number }

export class Pointers {
	private fingers = new Map<number, Finger>();
	private moved = 0;
	private mode: 'none' | 'pan' | 'measure' = 'none';
	private start = { x: 0, y: 0, time: 0 };
	private few = false;            // only the tracks that were touched are measured

	constructor(private area: HTMLElement, ruler: HTMLElement, private host: Host) {
		area.addEventListener('wheel', (e) => this.wheel(e), { passive: false });
		ruler.addEventListener('wheel', (e) => this.wheel(e), { passive: false });
		for (const target of [area, ruler]) {
			target.addEventListener('pointerdown', (e) => this.down(e, target === ruler));
			target.addEventListener('pointermove', (e) => this.motion(e, target === ruler));
			target.addEventListener('pointerup', (e) => this.up(e));
			target.addEventListener('pointercancel', (e) => this.gone(e));
			target.addEventListener('pointerleave', () => { if (!this.fingers.size) host.hover(NaN, NaN); });
		}
		area.addEventListener('dblclick', (e) => { if (this.ours(e)) host.open(this.x(e), this.y(e)); });
	}

	private x(e: MouseEvent): number { return e.clientX - this.host.left(); }
	private y(e: MouseEvent): number { return e.clientY - this.host.top(); }
	private time(x: number): number { const v = this.host.view(); return v.from + (v.to - v.from) * x / this.host.width(); }

	// Not on a label or the scroll bar.
	private ours(e: MouseEvent): boolean { const x = this.x(e); return x >= 0 && x <= this.host.width(); }

	private wheel(e: WheelEvent): void {
		if (!this.ours(e)) return; // labels scroll by themselves
		e.preventDefault();
		const scale = e.deltaMode === 1 ? LINE : e.deltaMode === 2 ? 400 : 1, dx = e.deltaX * scale, dy = e.deltaY * scale,
			host = this.host;
		if (e.ctrlKey || e.metaKey) this.zoom(e, Math.exp(Math.max(-60, Math.min(60, dy)) * PINCH));
		else if (e.altKey) host.scroll(dy);
		else if (e.shiftKey || Math.abs(dx) > Math.abs(dy)) host.move(panned(host.view(), e.shiftKey && !dx ? dy : dx,
			host.width()));
		else this.zoom(e, Math.exp(Math.max(-200, Math.min(200, dy)) * WHEEL));
	}

	private zoom(e: MouseEvent, factor: number): void {
		this.host.move(zoomed(this.host.view(), this.x(e) / this.host.width(), factor));
	}

	private down(e: PointerEvent, ruler: boolean): void {
		if (e.button !== 0 || !this.ours(e)) return;
		this.fingers.set(e.pointerId, { x: this.x(e), y: this.y(e) });
		(ruler ? e.currentTarget as HTMLElement : this.area).setPointerCapture(e.pointerId);
		if (this.fingers.size > 1) { this.mode = 'pan'; this.moved = CLICK; return; }
		this.moved = 0;
		this.few = e.altKey && !ruler;
		this.mode = ruler || e.shiftKey ? 'measure' : 'pan';
		this.start = { x: this.x(e), y: this.y(e), time: this.time(this.x(e)) };
		if (e.shiftKey) e.preventDefault(); // selects text otherwise
	}

	private motion(e: PointerEvent, ruler: boolean): void {
		const finger = this.fingers.get(e.pointerId), x = this.x(e), y = this.y(e);
		if (!finger) { if (!this.fingers.size) this.host.hover(this.ours(e) ? x : NaN, ruler ? -1 : y); return; }
		const dx = x - finger.x, dy = y - finger.y;
		this.moved += Math.abs(dx) + Math.abs(dy);
		if (this.fingers.size === 2) this.pinch(e.pointerId, x, y);
		else if (this.mode === 'measure') this.measure(x, y, false);
		else if (this.moved >= CLICK) {
			this.area.classList.add('dragging');
			this.host.hover(NaN, NaN);
			this.host.move(panned(this.host.view(), -dx, this.host.width()));
			this.host.scroll(-dy);
		}
		this.fingers.set(e.pointerId, { x, y });
	}

	// Two fingers: what is under each of them stays there.
	private pinch(id: number, x: number, y: number): void {
		const other = [...this.fingers].find(([i]) => i !== id)?.[1], before = this.fingers.get(id), { host } = this;
		if (!other || !before) return;
		const t0 = this.time(other.x), t1 = this.time(before.x), w = host.width();
		host.scroll(-(y - before.y) / 2);
		if (Math.abs(x - other.x) < 12 || Math.abs(before.x - other.x) < 12) return;
		const ns = (t1 - t0) / (x - other.x), from = t0 - other.x * ns;
		if (ns > 0) host.move({ from, to: from + ns * w });
	}

	private measure(x: number, y: number, done: boolean): void {
		if (this.moved < CLICK) return;
		this.host.hover(NaN, NaN);
		const w = this.host.width(), to = this.time(Math.max(0, Math.min(w, x))), from = this.start.time;
		this.host.measure(Math.min(from, to), Math.max(from, to), this.few ? Math.min(y, this.start.y) : NaN, this.few
			? Math.max(y, this.start.y) : NaN, done);
	}

	private up(e: PointerEvent): void {
		const last = this.fingers.size === 1 && this.fingers.has(e.pointerId);
		if (last && this.mode === 'measure') this.measure(this.x(e), this.y(e), true);
		if (last && this.moved < CLICK) this.host.click(this.x(e), this.mode === 'measure' && !e.shiftKey ? -1 : this.y(e));
		this.gone(e);
	}

	private gone(e: PointerEvent): void {
		this.fingers.delete(e.pointerId);
		if (!this.fingers.size) this.area.classList.remove('dragging');
	}
}
