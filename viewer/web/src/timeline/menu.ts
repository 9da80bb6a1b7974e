// SPDX-License-Identifier: MIT
// menu.ts - a menu at a place of the page, for mouse and keyboard.
import { attributes, make } from './dom';

export interface Entry { text: string; keys?: string; run: () => void; disabled?: boolean; line?: boolean } // line: one above it

let close: (() => void) | null = null;

export function closeMenu(): boolean {
	const was = close !== null;
	close?.();
	return was;
}

export function openMenu(entries: Entry[], x: number, y: number, label: string): void {
	closeMenu();
	const back = document.activeElement,
		box = attributes(make('div', 'menu'), { role: 'menu', 'aria-label': label, tabindex: '-1' });
	const items = entries.map((entry) => {
		const b = attributes(make('button', entry.line ? 'line' : ''), { type: 'button', role: 'menuitem', tabindex: '-1' });
		b.append(make('span', '', entry.text), make('kbd', '', entry.keys ?? ''));
		b.disabled = entry.disabled ?? false;
		b.addEventListener('click', () => { closeMenu(); entry.run(); });
		return b;
	});
	box.append(...items);
	document.body.append(box);
	const w = box.offsetWidth, h = box.offsetHeight;
	box.style.left = Math.max(4, Math.min(x, innerWidth - w - 4)) + 'px';
	box.style.top = Math.max(4, Math.min(y, innerHeight - h - 4)) + 'px';
	const outside = (e: PointerEvent): void => { if (!box.contains(e.target as Node)) closeMenu(); };
	addEventListener('pointerdown', outside, true);
	box.addEventListener('keydown', (e) => key(e, items));
	close = (): void => {
		close = null;
		removeEventListener('pointerdown', outside, true);
		box.remove();
		if (back instanceof HTMLElement && back.isConnected) back.focus({ preventScroll: true });
	};
	(items.find((b) => !b.disabled) ?? box).focus();
}

function key(e: KeyboardEvent, items: HTMLButtonElement[]): void {
	const usable = items.filter((b) => !b.disabled), at = usable.indexOf(document.activeElement as HTMLButtonElement),
		n = usable.length;
	const go = (i: number): void => usable[(i + n) % n]?.focus();
	if (e.key === 'ArrowDown') go(at + 1);
	else if (e.key === 'ArrowUp') go(at - 1);
	else if (e.key === 'Home') go(0);
	else if (e.key === 'End') go(n - 1);
	else if (e.key === 'Escape' || e.key === 'Tab') closeMenu();
	else if (e.key !== 'Enter' && e.key !== ' ') { e.stopPropagation(); return; }
	else { e.stopPropagation(); return; }
	e.preventDefault();
	e.stopPropagation();
}
