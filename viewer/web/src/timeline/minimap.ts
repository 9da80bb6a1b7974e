// SPDX-License-Identifier: MIT
// minimap.ts - the whole trace at the top: how much happens when, what is found, and the part in view.
//
// The part in view is moved and resized by dragging it; beside it, a drag marks another one and a
// click goes there.
import type { State, View } from '../state';
import { moment } from '../units';
import { fitCanvas, rounded } from './dom';
import type { Inks } from './theme';

const EDGE = 6;        // CSS pixels within which an edge is taken
const NARROW = 4;      // the view is never drawn narrower
const MARKS = 9;       // height of the lane of what is found

export interface Mover { move(view: View): void; jump(view: View): void; full(): View; least: number }

type Grip = 'move' | 'left' | 'right' | 'new';

export class Minimap {
	marks: Float64Array | null = null;  // calls found, in equal parts of the trace
	private cx: CanvasRenderingContext2D | null;
	private width = 0;
	private height = 0;
	private drag: { grip: Grip; x: number; view: View; moved: boolean } | null = null;

	constructor(readonly canvas: HTMLCanvasElement, private state: State, private mover: Mover) {
		this.cx = canvas.getContext('2d');
		canvas.addEventListener('pointerdown', (e) => this.down(e));
		canvas.addEventListener('pointermove', (e) => this.moved(e));
		canvas.addEventListener('pointerup', (e) => this.up(e));
		canvas.addEventListener('pointercancel', () => { this.drag = null; });
		canvas.addEventListener('keydown', (e) => this.key(e));
	}

	private key(e: KeyboardEvent): void {
		const { from, to } = this.state.now.view, span = to - from,
			by = { ArrowLeft: -0.1, ArrowRight: 0.1, PageUp: 0.9, PageDown: -0.9 }[e.key];
		const zoom = { ArrowUp: 0.8, ArrowDown: 1.25 }[e.key];
		if (by) this.mover.move({ from: from + span * by, to: to + span * by });
		else if (zoom) this.mover.move({ from: from + span * (1 - zoom) / 2, to: to - span * (1 - zoom) / 2 });
		else return;
		e.preventDefault();
	}

	private time(x: number): number { return x / this.width * this.state.now.opened!.trace.duration; }
	private x(time: number): number { return time / this.state.now.opened!.trace.duration * this.width; }

	private window(view: View): [number, number] {
		const x0 = this.x(view.from), x1 = this.x(view.to), more = Math.max(0, NARROW - (x1 - x0)) / 2;
		return [x0 - more, x1 + more];
	}

	private gripAt(x: number): Grip {
		const view = this.state.now.view, [x0, x1] = this.window(view), full = this.mover.full();
		if (Math.abs(x - x0) <= EDGE && x < (x0 + x1) / 2) return 'left';
		if (Math.abs(x - x1) <= EDGE) return 'right';
		if (x > x0 && x < x1 && view.to - view.from < (full.to - full.from) * 0.999) return 'move';
		return 'new';
	}

	private down(e: PointerEvent): void {
		if (e.button !== 0 || !this.state.now.opened) return;
		const x = e.offsetX;
		this.drag = { grip: this.gripAt(x), x, view: this.state.now.view, moved: false };
		this.canvas.setPointerCapture(e.pointerId);
	}

	private moved(e: PointerEvent): void {
		if (!this.state.now.opened) return;
		const x = e.offsetX, d = this.drag;
		if (!d) {
			this.canvas.style.cursor = { left: 'ew-resize', right: 'ew-resize', move: 'grab',
				new: 'crosshair' }[this.gripAt(x)];
			return;
		}
		if (!d.moved && Math.abs(x - d.x) < 3) return;
		d.moved = true;
		const by = this.time(x) - this.time(d.x), { from, to } = d.view, least = this.mover.least;
		if (d.grip === 'move') this.mover.move({ from: from + by, to: to + by });
		else if (d.grip === 'left') this.mover.move({ from: Math.min(from + by, to - least), to });
		else if (d.grip === 'right') this.mover.move({ from, to: Math.max(to + by, from + least) });
		else this.mover.move({ from: this.time(Math.min(x, d.x)), to: this.time(Math.max(x, d.x)) });
	}

	private up(e: PointerEvent): void {
		const d = this.drag, { from, to } = this.state.now.view;
		this.drag = null;
		if (!d || d.moved || d.grip !== 'new') return;
		const at = this.time(e.offsetX), half = (to - from) / 2;
		this.mover.jump({ from: at - half, to: at + half });
	}

	size(width: number, height: number, ratio: number): void {
		this.width = width;
		this.height = height;
		fitCanvas(this.canvas, width, height, ratio);
	}

	draw(inks: Inks, ratio: number, view: View): void {
		const { cx, width, height } = this, { opened, selection } = this.state.now;
		if (!cx || !opened || !width) return;
		cx.setTransform(ratio, 0, 0, ratio, 0, 0);
		cx.fillStyle = inks.panel;
		cx.fillRect(0, 0, width, height);
		this.density(inks, opened.density);
		if (selection.kind === 'range') {
			cx.fillStyle = inks.accent;
			cx.globalAlpha = 0.18;
			cx.fillRect(this.x(selection.from), 0, Math.max(1, this.x(selection.to) - this.x(selection.from)), height);
			cx.globalAlpha = 1;
		}
		this.found(inks);
		if (selection.kind === 'slice') {
			cx.fillStyle = inks.accent;
			cx.fillRect(Math.round(this.x(selection.slice.start)), 0,
				Math.max(2, this.x(selection.slice.end) - this.x(selection.slice.start)), 2);
		}
		this.frame(inks, view);
	}

	private density(inks: Inks, density: Uint32Array): void {
		const { cx, width, height } = this, n = density.length, room = height - MARKS - 3;
		if (!cx || !n) return;
		let most = 1;
		const columns = new Float64Array(Math.ceil(width));
		for (let i = 0; i < columns.length; i++) {
			const a = Math.floor(i / width * n), b = Math.max(a + 1, Math.floor((i + 1) / width * n));
			for (let j = a; j < b && j < n; j++) columns[i] = Math.max(columns[i], density[j]);
			most = Math.max(most, columns[i]);
		}
		cx.fillStyle = inks.dim;
		cx.globalAlpha = 0.5;
		cx.beginPath();
		cx.moveTo(0, height);
		// The cube root, so that what is a thousand times less busy is still seen.
		columns.forEach((c, i) => { const y = height - room * Math.cbrt(c / most); cx.lineTo(i, y); cx.lineTo(i + 1, y); });
		cx.lineTo(width, height);
		cx.fill();
		cx.globalAlpha = 1;
	}

	private found(inks: Inks): void {
		const { cx, marks } = this;
		if (!cx || !marks) return;
		cx.fillStyle = inks.found;
		const ticks = this.ticks(), most = ticks.reduce((x, m) => Math.max(x, m.calls), 1);
		for (const m of ticks) {
			cx.globalAlpha = 0.4 + 0.6 * Math.log1p(m.calls) / Math.log1p(most);
			cx.fillRect(m.x, 1, Math.max(2, m.width), MARKS - 2);
		}
		cx.globalAlpha = 1;
	}

	// What of MARKS is drawn: x and calls.
	ticks(): { x: number; width: number; calls: number }[] {
		const { marks, width } = this, out: { x: number; width: number; calls: number }[] = [];
		marks?.forEach((calls, i) =>
			{ if (calls) out.push({ x: Math.floor(i / marks.length * width), width: width / marks.length, calls }); });
		return out;
	}

	private frame(inks: Inks, view: View): void {
		const { cx, width, height } = this, [x0, x1] = this.window(view);
		if (!cx) return;
		cx.fillStyle = inks.bg;
		cx.globalAlpha = 0.62;
		cx.fillRect(0, 0, x0, height);
		cx.fillRect(x1, 0, width - x1, height);
		cx.globalAlpha = 1;
		cx.strokeStyle = inks.accent;
		cx.lineWidth = 1;
		const left = Math.max(0.5, Math.round(x0) + 0.5), right = Math.min(width - 0.5, Math.round(x1) - 0.5);
		cx.strokeRect(left, 0.5, Math.max(1, right - left), height - 1);
		cx.fillStyle = inks.accent;
		for (const x of [left, right]) {
			rounded(cx, Math.max(0, Math.min(width - 4, x - 2)), height / 2 - 8, 4, 16, 2);
			cx.fill();
		}
		this.canvas.setAttribute('aria-valuetext',
			`${moment(view.from, view.to - view.from)} to ${moment(view.to, view.to - view.from)}`);
	}
}
