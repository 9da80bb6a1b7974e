// SPDX-License-Identifier: MIT
// embedded.ts - workers of the code that the page carries; see loader.ts.

import type {} from './loader';

export interface Started { worker: Worker; module: WebAssembly.Module }

// The worker of queries, which was started before.
export async function firstWorker(): Promise<Started> {
	const { worker, module } = window.vizviewBegun!;
	return { worker, module: await module };
}

export async function startWorker(name: string): Promise<Started> {
	const { url, module } = window.vizviewBegun!;
	return { worker: new Worker(url, { name }), module: await module };
}
