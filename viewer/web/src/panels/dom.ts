// SPDX-License-Identifier: MIT
// dom.ts - elements in one expression, and what must not happen to them twice.
//
// Text from a trace only ever becomes text (textContent), never markup.
import { Superseded } from '../engine';

type Child = Node | string | null | false | undefined;
type Props = Record<string, unknown>;

// Members of PROPS: class, text, on<event> (functions), anything else is an attribute;
// true is an attribute without a value, false, null and undefined are none.
export function el<K extends keyof HTMLElementTagNameMap>(
	tag: K, props?: Props | string | null, ...children: (Child | Child[])[]): HTMLElementTagNameMap[K] {
	const e = document.createElement(tag);
	if (typeof props === 'string') e.className = props;
	else if (props) apply(e, props);
	add(e, children);
	return e;
}

function apply(e: HTMLElement, props: Props): void {
	for (const [name, value] of Object.entries(props)) {
		if (value === undefined || value === null || value === false) continue;
		if (name === 'class') e.className = String(value);
		else if (name === 'text') e.textContent = String(value);
		else if (typeof value === 'function') e.addEventListener(name.slice(2), value as EventListener);
		else e.setAttribute(name, value === true ? '' : String(value));
	}
}

export function add(e: Element, children: (Child | Child[])[]): void {
	for (const child of children.flat()) if (child || child === '') e.append(child);
}

export function fill(e: Element, ...children: (Child | Child[])[]): void {
	e.textContent = '';
	add(e, children);
}

export function button(label: string, title: string, onclick: () => void, cls = ''): HTMLButtonElement {
	const named = title && /^\W*$/.test(label); // a sign alone is no name
	return el('button', {
		type: 'button', class: 'p-button ' + cls, text: label, title: title || null,
		'aria-label': named ? title : null, onclick,
	});
}

// What a panel shows when there is nothing to show: what it is for and what to do.
export function empty(what: string, ...todo: (Child | Child[])[]): HTMLElement {
	return el('div', 'p-empty', el('p', { text: what }), todo.length ? el('p', 'p-dim', ...todo) : null);
}

// The same where something went wrong that may have passed, as a server that was away.
export function failed(what: string, error: unknown, again: () => void): HTMLElement {
	return empty(what, reason(error) + ' ', button('Try again', '', again));
}

// How much is under way: answers that are waited for, pictures that are not drawn yet.
export const underWay = { n: 0 };

// Runs the newest of several requests; answers of older ones are dropped.  After 150 ms
// ROOT gets the class p-busy, so that quick answers do not flicker.
export class Latest {
	private turn = 0;
	private timer = 0;

	constructor(private root: HTMLElement, private fail: (error: unknown) => void) {}

	async run<T>(ask: () => Promise<T>, done: (answer: T) => void): Promise<void> {
		const turn = ++this.turn;
		if (!this.timer) {
			this.timer = window.setTimeout(() => this.root.classList.add('p-busy'), 150);
			underWay.n++;
		}
		try {
			const answer = await ask();
			if (turn !== this.turn) return;
			this.stop();
			done(answer);
		} catch (error) {
			if (turn !== this.turn) return;
			this.stop();
			if (!superseded(error)) this.fail(error);
		}
	}

	// Forgets what is under way.
	cancel(): void {
		this.turn++;
		this.stop();
	}

	private stop(): void {
		if (this.timer) underWay.n--;
		clearTimeout(this.timer);
		this.timer = 0;
		this.root.classList.remove('p-busy');
	}
}

// An error may have crossed from a worker, where its class is lost.
function superseded(error: unknown): boolean {
	return error instanceof Superseded || (error as { name?: string } | null)?.name === 'Superseded';
}

export function reason(error: unknown): string {
	return error instanceof Error ? error.message : String(error);
}

// Writes TEXT to the clipboard, also where the page is a file and has no clipboard API.
export async function copyText(text: string): Promise<boolean> {
	try {
		await navigator.clipboard.writeText(text);
		return true;
	} catch {
		const area = el('textarea', { class: 'p-offscreen', 'aria-hidden': 'true', readonly: true });
		const before = document.activeElement as HTMLElement | null;
		area.value = text;
		document.body.append(area);
		area.select();
		const copied = document.execCommand('copy');
		area.remove();
		before?.focus?.({ preventScroll: true });
		return copied;
	}
}

// localStorage, which a page of a file may not have.
export function remember(key: string, value: string): void {
	try { localStorage.setItem('vizattach.' + key, value); } catch { /* then it is asked again */ }
}

export function remembered(key: string): string | null {
	try { return localStorage.getItem('vizattach.' + key); } catch { return null; }
}

// Value of a custom property of the theme that is on.
export function themed(name: string, otherwise: string): string {
	return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || otherwise;
}

export function clamp(x: number, least: number, most: number): number {
	return Math.max(least, Math.min(most, x));
}
