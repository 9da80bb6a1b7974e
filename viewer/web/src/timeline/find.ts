// SPDX-License-Identifier: MIT
// find.ts - find as you type: which functions match, how often they were called.
import type { Functions } from '../engine';
import { brief, count, place, title } from '../units';

export class Finder {
	private texts: string[] = [];
	private of: Functions | null = null;

	// Functions with all words of TEXT in their name or file.
	search(functions: Functions, text: string): number[] {
		const words = text.toLowerCase().split(/\s+/).filter(Boolean), out: number[] = [];
		if (!words.length) return out;
		if (this.of !== functions) {
			this.of = functions;
			this.texts = functions.name.map((_, i) => (title(functions, i) + ' ' + place(functions, i)).toLowerCase());
		}
		this.texts.forEach((t, i) => { if (words.every((w) => t.includes(w))) out.push(i); });
		return out;
	}
}

// "3 functions, 1.2k calls"; LONG: in full.
export function told(functions: Functions, hits: number[], long = false): string {
	if (!hits.length) return 'nothing';
	const n = hits.reduce((sum, fn) => sum + (functions.calls[fn] ?? 0), 0);
	const some = hits.length === 1 ? '1 function' : count(hits.length) + ' functions';
	return n ? some + ', ' + (long ? count(n) : brief(n)) + (n === 1 ? ' call' : ' calls') : some;
}
