// SPDX-License-Identifier: MIT
// help.ts - dialogs: keys, what is wrong with the trace, what it is.
//
// <dialog> keeps the focus inside, closes by Escape, and gives the focus back.
import type { Opened, Warning } from '../engine';
import { count, duration } from '../units';
import { button, el, fill } from './dom';
import { plural, wallClock } from './text';

const KEYS: [string, [string, string][]][] = [
	['Timeline', [
		['w s', 'zoom in, out (also the wheel)'], ['a d', 'move left, right (also drag)'], ['f', 'zoom to the selection; again: back'],
		['0', 'the whole trace'], ['Shift drag', 'select and measure a range'], ['Alt Shift drag', 'of these threads only'],
		['PgUp PgDn', 'scroll the threads'], ['Backspace', 'back to where you were'],
	]],
	['Selected call', [
		['↑ ↓', 'its caller, its first call'], ['← →', 'the call before, after'], ['n p', 'next, previous call of the function'],
		['c', 'copy what the panel shows as text'], ['Shift c', 'copy it as JSON'], ['Escape', 'select nothing'],
	]],
	['Find', [
		['/', 'find functions and files'], ['Enter', 'next call that is found'],
		['Shift Enter', 'the one before'], ['Escape', 'find nothing'],
	]],
	['Tables and trees', [
		['↑ ↓ Home End', 'go from row to row'], ['Enter', 'next call of the function in the timeline'],
		['Shift Enter', 'call before'], ['← →', 'close, open a row of the tree'], ['*', 'open all beside it'], ['h', 'open the hot path'],
	]],
	['Flame graphs', [
		['Enter', 'zoom in (also a click)'], ['Escape', 'zoom back'],
		['Shift Enter', 'next call; of callers: put into the middle (or double click)'], ['↑ ↓ ← →', 'caller, calls, neighbours'], ['Home', 'all'],
	]],
	['Panels', [['Tab', 'next control'], ['← →', 'other panel, on the tabs'], ['?', 'this help']]],
];

type Part = 'keys' | 'warnings' | 'about';
const TITLES: Record<Part, string> = { keys: 'Keys', warnings: 'Warnings', about: 'About this trace' };

export class Help {
	private readonly dialog = el('dialog', { class: 'p-dialog', 'aria-labelledby': 'p-dialog-title' });
	private readonly title = el('h2', { id: 'p-dialog-title' });
	private readonly body = el('div', 'p-dialog-body');

	constructor(private opened: () => Opened | null) {
		const close = button('✕', 'Close (Escape)', () => this.dialog.close());
		this.dialog.append(el('header', null, this.title,
			...(Object.keys(TITLES) as Part[]).map((part) => button(TITLES[part], '', () => this.open(part), part)), close), this.body);
		this.dialog.addEventListener('click', (e) => { if (e.target === this.dialog) this.dialog.close(); });
		this.dialog.addEventListener('keydown', (e) => {
			e.stopPropagation(); // no key of the page works behind it
			if (e.key === '?') this.dialog.close();
		});
		document.body.append(this.dialog);
	}

	open(part: Part): void {
		const opened = this.opened();
		this.title.textContent = TITLES[part];
		for (const e of this.dialog.querySelectorAll('header button[class]'))
			if (!e.classList.contains('p-close')) e.toggleAttribute('aria-current', e.classList.contains(part));
		fill(this.body, part === 'keys' ? keys() : !opened ? el('p', { text: 'The trace is not open yet.' })
			: part === 'about' ? facts(opened) : warnings(opened.trace.warnings));
		if (!this.dialog.open) this.dialog.showModal();
		this.body.scrollTop = 0;
	}

	get shown(): string | null { return this.dialog.open ? this.title.textContent : null; }
}

function keys(): HTMLElement {
	const row = ([key, what]: [string, string]): HTMLElement => el('div', null,
		el('dt', null, key.split(' ').flatMap((k, i) => [i ? ' ' : '', el('kbd', { text: k })])), el('dd', { text: what }));
	return el('div', 'p-keys', KEYS.map(([group, list]) =>
		el('section', null, el('h3', { text: group }), el('dl', null, list.map(row)))));
}

function warnings(list: Warning[]): HTMLElement {
	if (!list.length) return el('p', { text: 'Nothing is wrong with this trace: it is complete, and nothing was dropped.' });
	return el('div', null, list.map((w) => el('section', 'p-warning', el('h3', { text: w.what }),
		w.why ? el('p', null, el('b', { text: 'Why  ' }), w.why) : null, w.try ? el('p', null, el('b', { text: 'Try  ' }), w.try) : null)));
}

function facts({ trace }: Opened): HTMLElement {
	const rows: [string, string][] = [
		['File', trace.file], ['Process', `${trace.title} (${trace.pid})`], ['Recorded', wallClock(trace, 0)],
		['Length', duration(trace.duration)], ['Calls', count(trace.calls)], ['Dropped', trace.lost ? plural(trace.lost, 'record') : 'nothing'], ['Tracks', count(trace.tracks.length)],
		...trace.compare ? [['Compared with', trace.compare] as [string, string]] : [],
		...trace.facts, ['Viewer', 'vizview ' + trace.version],
	];
	return el('dl', 'p-about', rows.map(([name, value]) => el('div', null, el('dt', { text: name }), el('dd', { text: value }))));
}
