// SPDX-License-Identifier: MIT
// loader.ts - the only script that stands in the page as text: unpacks the others and starts them.
//
// The page allows two scripts by their hashes, this one and main.ts; see scripts/page.

import { fromBase64, inflate, toText } from './bytes';

// What main.ts finds.
export interface Code { worker: string; core: Uint8Array }
declare global {
	interface Window { vizviewCode?: Promise<Code> }
}

function take(id: string): Uint8Array {
	const element = document.getElementById(id)!;
	const bytes = fromBase64(element.textContent ?? '');
	element.remove();
	return bytes;
}

function add(name: 'style' | 'script', text: string): void {
	const element = document.createElement(name);
	element.textContent = text;
	document.head.append(element);
}

async function load(): Promise<void> {
	const core = inflate(take('vz-core'));
	const [style, main, worker] = toText(await inflate(take('vz-app'))).split('\0');
	window.vizviewCode = core.then((bytes) => ({ worker, core: bytes }));
	add('style', style);
	add('script', main);
}

load().catch((error) => {
	document.getElementById('boot')!.textContent = `This browser cannot show the trace (${error}). ` +
		'Try Firefox 115, Chromium 103, Safari 16.4, or anything newer.';
});
