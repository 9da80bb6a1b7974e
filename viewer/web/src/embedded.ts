// SPDX-License-Identifier: MIT
// embedded.ts - the code that the page carries for its workers; scripts/page puts it there.

import { fromBase64, inflate, toText } from './bytes';

declare const VZ_WORKER: string;   // base64 of deflated JavaScript
declare const VZ_CORE: string;     // base64 of deflated WebAssembly

let code: Promise<{ url: string; module: WebAssembly.Module }> | null = null;

// Compiled once for all workers.
function loadCode(): Promise<{ url: string; module: WebAssembly.Module }> {
	code ??= Promise.all([inflate(fromBase64(VZ_WORKER)), inflate(fromBase64(VZ_CORE)).then((bytes) => WebAssembly.compile(bytes))])
		.then(([script, module]) => ({
			url: URL.createObjectURL(new Blob([toText(script)], { type: 'text/javascript' })), module,
		}));
	return code;
}

export async function startWorker(name: string): Promise<{ worker: Worker; module: WebAssembly.Module }> {
	const { url, module } = await loadCode();
	return { worker: new Worker(url, { name }), module };
}
