// SPDX-License-Identifier: MIT
// source_http.ts - a trace behind the server of vizview; all addresses are below the page's.

import type { Progress, TraceInfo } from './engine';
import type { Directory } from './directory';
import type { FunctionsJson } from './protocol';
import { u32 } from './bytes';
import { FIRST } from './first';
import { type FileText, Source, Unreachable } from './source';

const POLL_MS = 200;
const BATCH_BYTES = 1 << 20;       // of an answer
const FIRST_ROOM = (1 << 20) + 1;  // for one
const ROOMS = 4;                   // kept
const BATCH_BLOCKS = 2;
const UNREADABLE = 0xffffffff;

async function answer(promise: Promise<Response>): Promise<Response> {
	try {
		return await promise;
	} catch {
		throw new Unreachable('nothing listens at its address any more'); // a browser says only "Failed to fetch"
	}
}

const ask = (url: string, body?: Uint32Array): Promise<Response> =>
	answer(fetch(url, body ? { method: 'POST', body } : undefined));

async function must(response: Response): Promise<Response> {
	if (!response.ok) throw new Unreachable(`the server answers ${response.status}: ${await response.text()}`);
	return response;
}

export interface Documents { trace: TraceInfo; functions: FunctionsJson; directory: Uint8Array }

const isReady = (response: Response): boolean => response.status !== 503;

// Asks again until the index is there.
async function wait(base: string, onProgress: (p: Progress) => void): Promise<void> {
	for (;;) {
		const progress = await (await must(await ask(base + 'progress'))).json() as Progress;
		if (progress.complete) return;
		onProgress({ what: String(progress.what), done: Math.min(Number(progress.done) || 0, 0.999), complete: false });
		await new Promise((resolve) => setTimeout(resolve, POLL_MS));
	}
}

// All at once; again if the index, which trace.json tells of, had to be built first.
// FIRST: answers that were asked for already.
export async function openHttp(base: string, onProgress: (p: Progress) => void, first: Promise<Response>[] = []): Promise<Documents> {
	for (let begun = first; ; begun = []) {
		const [trace, functions, index] = await Promise.all(FIRST.map((name, i) => answer(begun[i] ?? fetch(base + name))));
		if (![trace, functions, index].every(isReady)) {
			await wait(base, onProgress);
			continue;
		}
		return {
			trace: await (await must(trace)).json() as TraceInfo,
			functions: await (await must(functions)).json() as FunctionsJson,
			directory: new Uint8Array(await (await must(index)).arrayBuffer()),
		};
	}
}

// Newer than the declarations of the compiler.
interface ByteReader { read(into: Uint8Array): Promise<{ value?: Uint8Array; done: boolean }> }

function byteReader(response: Response): ByteReader | null {
	try {
		return (response.body as unknown as { getReader(how: { mode: 'byob' }): ByteReader }).getReader({ mode: 'byob' });
	} catch {
		return null;
	}
}

// Where answers are read into, again and again: garbage of this size is collected late.
const rooms: ArrayBufferLike[] = [];

// What USE makes of the body of an answer; it must copy what it keeps.
async function withBody<T>(url: string, numbers: number[], use: (all: Uint8Array) => T): Promise<T> {
	const response = await must(await ask(url, Uint32Array.from(numbers))), reader = byteReader(response);
	if (!reader) return use(new Uint8Array(await response.arrayBuffer()));
	let room = rooms.pop() ?? new ArrayBuffer(FIRST_ROOM), at = 0;
	for (let done = false; !done;) {
		if (at === room.byteLength) {
			const larger = new Uint8Array(at * 2);
			larger.set(new Uint8Array(room));
			room = larger.buffer;
		}
		const part = await reader.read(new Uint8Array(room, at)).catch(() => { throw new Unreachable('an answer of the server was cut'); });
		room = part.value!.buffer; // the same memory
		at += part.value!.byteLength;
		done = part.done;
	}
	const made = use(new Uint8Array(room, 0, at));
	if (rooms.length < ROOMS) rooms.push(room);
	return made;
}

export class HttpSource implements Source {
	readonly remote = true;

	constructor(private readonly base: string) {}

	enter(): void { return; }
	leave(): void { return; }

	async tiles(directory: Directory, numbers: number[]): Promise<Uint8Array[]> {
		const batches: number[][] = [];
		let bytes = Infinity;
		for (const number of numbers) {
			if (bytes + directory.tileBytes[number] > BATCH_BYTES) {
				batches.push([]);
				bytes = 0;
			}
			batches[batches.length - 1].push(number);
			bytes += directory.tileBytes[number];
		}
		return (await Promise.all(batches.map((batch) => this.batch(directory, batch)))).flat();
	}

	private async batch(directory: Directory, numbers: number[]): Promise<Uint8Array[]> {
		return withBody(this.base + 'tiles', numbers, (all) => {
			let at = 0;
			const parts = numbers.map((number) => all.slice(at, at += directory.tileBytes[number]));
			if (at !== all.byteLength) throw new Unreachable('the server sent another number of bytes than the index says');
			return parts;
		});
	}

	async blocks(numbers: number[]): Promise<(Uint8Array | null)[]> {
		const answers: Promise<(Uint8Array | null)[]>[] = [];
		for (let i = 0; i < numbers.length; i += BATCH_BLOCKS) answers.push(this.someBlocks(numbers.slice(i, i + BATCH_BLOCKS)));
		return (await Promise.all(answers)).flat();
	}

	private async someBlocks(numbers: number[]): Promise<(Uint8Array | null)[]> {
		return withBody(this.base + 'events', numbers, (all) => {
			let at = 0;
			return numbers.map(() => {
				if (at + 4 > all.byteLength) throw new Unreachable('an answer of the server was cut');
				const bytes = u32(all, at);
				at += 4;
				if (bytes === UNREADABLE) return null;
				if (bytes > all.byteLength - at) throw new Unreachable('an answer of the server was cut');
				return all.slice(at, at += bytes);
			});
		});
	}

	private async maybe(path: string): Promise<Response | null> {
		const response = await ask(this.base + path);
		return response.status === 404 || response.status === 204 ? null : must(response);
	}

	async args(track: number, entry: number): Promise<Record<string, unknown> | null> {
		const response = await this.maybe(`args?track=${track}&entry=${entry}`);
		return response && await response.json() as Record<string, unknown> | null;
	}

	async source(file: number): Promise<FileText | null> {
		const response = await this.maybe(`source?file=${file}`);
		return response && { text: await response.text(), newer: response.headers.get('X-Newer') === '1' };
	}

	async compare(): Promise<Record<string, unknown> | null> {
		const response = await this.maybe('compare.json');
		return response && await response.json() as Record<string, unknown> | null;
	}

	held(): number { return 0; }
}
