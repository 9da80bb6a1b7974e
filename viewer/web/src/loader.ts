// SPDX-License-Identifier: MIT
// loader.ts - begins what takes time before main.ts: the worker, the core, the first questions to a server.
//
// In a file of its own it is the only script that stands in the page as text, and unpacks the others; what a server
// sends is unpacked (viewer/serve/plain_page.h), and main.ts stands behind it.  The page allows these two by their hashes.

import { fromBase64, inflate, toText } from './bytes';
import { FIRST } from './first';

// What main.ts finds.  Everything that takes time is begun before main.ts is unpacked.
export interface Begun {
	worker: Worker;                     // of queries
	url: string;                        // for more of them
	module: Promise<WebAssembly.Module>;
	documents: Promise<Response>[];     // of a server: FIRST of source_http.ts; none in an HTML file
}
declare global {
	interface Window { vizviewBegun?: Begun }
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

function begin(code: string, module: Promise<WebAssembly.Module>, documents: Promise<Response>[]): void {
	const url = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
	window.vizviewBegun = { worker: new Worker(url, { name: 'queries' }), url, module, documents };
	for (const one of [module, ...documents]) one.catch(() => undefined); // said by who awaits it
}

async function load(): Promise<void> {
	const documents = document.getElementById('vz-trace') ? [] : FIRST.map((name) => fetch(name));
	const plain = document.getElementById('vz-worker');
	if (plain) {
		begin(plain.textContent ?? '', WebAssembly.compileStreaming(fetch('core.wasm')), documents);
		return;
	}
	const module = inflate(take('vz-core')).then((bytes) => WebAssembly.compile(bytes));
	const [style, main, code] = toText(await inflate(take('vz-app'))).split('\0');
	begin(code, module, documents);
	add('style', style);
	add('script', main);
}

load().catch((error) => {
	document.getElementById('boot')!.textContent = `This browser cannot show the trace (${error}). ` +
		'Try Firefox 115, Chromium 103, Safari 16.4, or anything newer.';
});
