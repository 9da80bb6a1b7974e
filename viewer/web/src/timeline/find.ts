// SPDX-License-Identifier: MIT
// find.ts - find as you type: which functions match, how often they were called.
import type { Functions } from '../engine';
import { brief, count, place, title } from '../units';

let texts: string[] = [];   // of the functions of the last search
let textsOf: Functions | null = null;

// Functions with all words of TEXT in their name or file.
export function search(functions: Functions, text: string): number[] {
	const words = text.toLowerCase().split(/\s+/).filter(Boolean), out: number[] = [];
	if (!words.length) return out;
	if (textsOf !== functions) {
		textsOf = functions;
		texts = functions.name.map((_, i) => (title(functions, i) + ' ' + place(functions, i)).toLowerCase());
	}
	texts.forEach((t, i) => { if (words.every((w) => t.includes(w))) out.push(i); });
	return out;
}

// "3 functions, 1.2k calls"; LONG: in full.
export function told(functions: Functions, hits: number[], long = false): string {
	if (!hits.length) return 'nothing';
	const n = hits.reduce((sum, fn) => sum + (functions.calls[fn] ?? 0), 0);
	const some = hits.length === 1 ? '1 function' : count(hits.length) + ' functions';
	return n ? some + ', ' + (long ? count(n) : brief(n)) + (n === 1 ? ' call' : ' calls') : some;
}
