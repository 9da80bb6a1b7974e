// SPDX-License-Identifier: MIT
// text.ts - how much of a name fits into a bar, without asking the canvas for each.
import type { Functions } from '../engine';
import { title } from '../units';

const LONGEST = 200;     // characters of a name that are ever drawn
const LEAST = 2;         // and those that are worth it, before the ellipsis

export class Fitter {
	private functions: Functions | null = null;
	private names: (string | undefined)[] = [];
	private widths = new Float32Array(0);   // of names; 0: not known
	private letters = new Map<string, number>();

	// CX has the font of the text.
	constructor(private cx: CanvasRenderingContext2D) {}

	// Width of one letter; without kerning, which this font hardly has.
	private letter(c: string): number {
		let w = this.letters.get(c);
		if (w === undefined) this.letters.set(c, w = this.cx.measureText(c).width);
		return w;
	}

	private width(text: string): number {
		let sum = 0;
		for (const c of text) sum += this.letter(c);
		return sum;
	}

	// The name of FN, or as much of it as ROOM (CSS pixels) has; of a method first without its class.
	name(functions: Functions, fn: number, room: number): string {
		if (this.functions !== functions) {
			this.functions = functions;
			this.names = [];
			this.widths = new Float32Array(functions.name.length);
		}
		const name = this.names[fn] ??= title(functions, fn).slice(0, LONGEST);
		const width = this.widths[fn] ||= this.width(name);
		if (width <= room) return name;
		const dot = name.lastIndexOf('.', name.length - 2);
		return this.text(dot > 0 ? name.slice(dot + 1) : name, room);
	}

	// As much of TEXT as there is room for; '': too little.
	text(text: string, room: number): string {
		const dots = this.letter('…');
		let sum = 0, fits = 0, at = 0;
		for (const c of text) {
			sum += this.letter(c);
			at += c.length;
			if (sum + dots <= room) fits = at;
			if (sum > room) return fits < LEAST ? '' : text.slice(0, fits) + '…';
		}
		return text;
	}
}
