// SPDX-License-Identifier: MIT
// dom.ts - elements and icons.  Text of a trace only ever becomes text, never markup.

export function make<K extends keyof HTMLElementTagNameMap>(tag: K, cls = '', text?: string): HTMLElementTagNameMap[K] {
	const e = document.createElement(tag);
	if (cls) e.className = cls;
	if (text !== undefined) e.textContent = text;
	return e;
}

export function attributes<T extends Element>(e: T, values: Record<string, string>): T {
	for (const [name, value] of Object.entries(values)) e.setAttribute(name, value);
	return e;
}

// Paths in a square of 16.
const ICONS = {
	down: 'M4 6l4 4 4-4', right: 'M6 4l4 4-4 4', up: 'M4 10l4-4 4 4', more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
		close: 'M4 4l8 8M12 4l-8 8',
	pin: 'M6 2.5h4M6.7 2.5v4L4.5 9v1h7V9L9.3 6.5v-4M8 10v4', whole: 'M2 4v8M14 4v8M4.5 8h7M6.5 6l-2 2 2 2M9.5 6l2 2-2 2',
	theme: 'M8 2.2a5.8 5.8 0 1 0 0 11.6zM8 2.2a5.8 5.8 0 0 1 0 11.6', help: 'M6 6.2a2 2 0 1 1 3 1.7c-.7.4-1 .8-1 1.6M8 12.2v.01',
	find: 'M7 2.8a4.2 4.2 0 1 0 0 8.4 4.2 4.2 0 0 0 0-8.4M10.2 10.2l3.3 3.3',
		back: 'M6.5 4L3 7.5 6.5 11M3.5 7.5H10a3 3 0 0 1 0 6H8',
	panel: 'M2.5 3h11v10h-11zM2.5 9h11', filter: 'M2.5 4h11M4.5 8h7M6.5 12h3',
} as const;
export type Icon = keyof typeof ICONS;

const SVG = 'http://www.w3.org/2000/svg';

export function icon(name: Icon): SVGSVGElement {
	const svg = attributes(document.createElementNS(SVG, 'svg'), { viewBox: '0 0 16 16', class: 'icon', 'aria-hidden': 'true' });
	svg.append(attributes(document.createElementNS(SVG, 'path'), { d: ICONS[name] }));
	return svg;
}

// LABEL is what it is called by a screen reader and its tip.
export function iconButton(name: Icon, label: string, press: (e: MouseEvent) => void, cls = ''): HTMLButtonElement {
	const b = attributes(make('button', ('icon-button ' + cls).trim()), { type: 'button', 'aria-label': label, title: label });
	b.append(icon(name));
	b.addEventListener('click', press);
	return b;
}

// Same size in device pixels as on the screen; true: it was changed, and is empty.
export function fitCanvas(canvas: HTMLCanvasElement, width: number, height: number, ratio: number): boolean {
	const w = Math.max(1, Math.round(width * ratio)), h = Math.max(1, Math.round(height * ratio));
	if (canvas.width === w && canvas.height === h) return false;
	canvas.width = w;
	canvas.height = h;
	canvas.style.width = width + 'px';
	canvas.style.height = height + 'px';
	return true;
}

export const editing = (target: EventTarget | null): boolean =>
	target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));

// As roundRect(), which Firefox ESR does not have.
export function rounded(cx: CanvasRenderingContext2D, x: number, y: number, w: number, h: number, r: number): void {
	cx.beginPath();
	cx.moveTo(x + r, y);
	cx.arcTo(x + w, y, x + w, y + h, r);
	cx.arcTo(x + w, y + h, x, y + h, r);
	cx.arcTo(x, y + h, x, y, r);
	cx.arcTo(x, y, x + w, y, r);
	cx.closePath();
}
