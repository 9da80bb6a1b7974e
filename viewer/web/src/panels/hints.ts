// SPDX-License-Identifier: MIT
// hints.ts - three short hints for who is here for the first time, one after the other.
//
// They stand in a line of their own below the tabs, cover nothing, and never come back.
import { button, el, fill, remember, remembered } from './dom';

const HINTS: [string, string][] = [
	['Move', 'Scroll or press W and S to zoom, drag or press A and D to move.'],
	['Select', 'Click a call for its details; drag with Shift for a range: all panels are of what you select.'],
	['Find', 'Press / to find a function, N to go to its next call, ? for all keys.'],
];
const KEY = 'hints';

export function hints(): HTMLElement | null {
	let at = Number(remembered(KEY) ?? 0);
	if (!(at >= 0 && at < HINTS.length)) return null;
	const root = el('div', { class: 'p-hint', role: 'note', 'aria-label': 'Hint' });
	const to = (next: number): void => {
		remember(KEY, String(at = next));
		if (at >= HINTS.length) root.remove();
		else show();
	};
	const show = (): void => {
		const [what, text] = HINTS[at], last = at === HINTS.length - 1;
		fill(root, el('b', { text: what }), el('span', { text }), el('small', { text: `${at + 1} of ${HINTS.length}` }),
			last ? null : button('Next', 'Next hint', () => to(at + 1)), button(last ? 'Got it' : '✕', 'No more hints', () => to(HINTS.length)));
	};
	show();
	return root;
}
