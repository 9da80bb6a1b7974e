// SPDX-License-Identifier: MIT
// loader.ts - the only script that stands in the page as text: unpacks the others and starts them.
//
// The page allows two scripts by their hashes, this one and main.ts; see scripts/page.

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

async function load(): Promise<void> {
	const documents = document.getElementById('vz-trace') ? [] : FIRST.map((name) => fetch(name));
	for (const answer of documents) answer.catch(() => undefined); // said by who awaits it
	const module = inflate(take('vz-core')).then((bytes) => WebAssembly.compile(bytes));
	module.catch(() => undefined);
	const [style, main, code] = toText(await inflate(take('vz-app'))).split('\0');
	const url = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
	window.vizviewBegun = { worker: new Worker(url, { name: 'queries' }), url, module, documents };
	add('style', style);
	add('script', main);
}

load().catch((error) => {
	document.getElementById('boot')!.textContent = `This browser cannot show the trace (${error}). ` +
		'Try Firefox 115, Chromium 103, Safari 16.4, or anything newer.';
});
