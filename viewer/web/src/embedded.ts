// SPDX-License-Identifier: MIT
// embedded.ts - starts workers of the code that the page carries; see loader.ts.

import type {} from './loader';

let started: Promise<{ url: string; module: WebAssembly.Module }> | null = null;

// Compiled once for all workers.
async function code(): Promise<{ url: string; module: WebAssembly.Module }> {
	const { worker, core } = await window.vizviewCode!;
	return { url: URL.createObjectURL(new Blob([worker], { type: 'text/javascript' })), module: await WebAssembly.compile(core) };
}

export async function startWorker(name: string): Promise<{ worker: Worker; module: WebAssembly.Module }> {
	const { url, module } = await (started ??= code());
	return { worker: new Worker(url, { name }), module };
}
