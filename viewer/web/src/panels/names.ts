// SPDX-License-Identifier: MIT
// names.ts - how a function and a track look in a row.
import type { Functions } from '../engine';
import { place, title } from '../units';
import { swatch } from './paint';
import { el } from './dom';
import { shortPlace } from './text';

// Colour, name and place of a function, for a row.
export function functionNodes(f: Functions, fn: number): Node[] {
	const mark = el('span', 'p-swatch');
	mark.style.background = swatch(fn);
	return [mark, el('span', { class: 'p-name', text: title(f, fn), title: title(f, fn) + '\n' + place(f, fn) }),
		el('span', { class: 'p-place', text: shortPlace(f, fn) })];
}

// By what a function is found: all words of NEEDLE in its name or file.
export function matches(f: Functions, fn: number, needle: string): boolean {
	const text = (title(f, fn) + ' ' + place(f, fn)).toLowerCase();
	return needle.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}
