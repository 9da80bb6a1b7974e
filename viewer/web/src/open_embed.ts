// SPDX-License-Identifier: MIT
// open_embed.ts - takes the data out of an exported HTML file while the browser is still reading it.
//
// What the first picture needs stands before the script; the events come after it.  Each element is taken as soon
// as it is whole and removed, so that its text is not kept.  Some workers build the index, each of some tracks.

import type { Functions, Progress } from './engine';
import type { Directory } from './directory';
import type { Built, Extra, FromBuild, ToBuild } from './protocol';
import { fromBase64, toText, unpack } from './bytes';
import { startWorker } from './embedded';
import { readHeader } from './directory';
import type { Documents } from './source_http';
import { Unreachable } from './source';

export const EMBED_VERSION = 1;
const LEAST_BUILDERS = 2, MOST_BUILDERS = 4;
const SMALL = 200_000;             // entries that one worker builds as fast as two

function textOf(id: string): string {
	const element = document.getElementById(id);
	if (!element) throw new Unreachable(`the file has no part ${id}`);
	const text = element.textContent ?? '';
	element.remove();
	return text;
}

export const isEmbedded = (): boolean => document.getElementById('vz-trace') !== null;
export const embedVersion = (): number => Number(document.getElementById('vz-trace')?.dataset.embed);

export async function openEmbed(): Promise<Documents & { index: Uint8Array }> {
	const [trace, functions, index] = await Promise.all(['vz-trace', 'vz-functions', 'vz-overview']
		.map((id) => unpack(textOf(id))));
	const { offset, bytes } = readHeader(index);
	return {
		trace: JSON.parse(toText(trace)) as Documents['trace'],
		functions: JSON.parse(toText(functions)) as Documents['functions'],
		directory: index.slice(offset, offset + bytes), index,
	};
}

// Gives each data element as it is complete; resolves at the end of the document: whether the file is whole.
function eachElement(take: (element: HTMLElement) => void): Promise<boolean> {
	let whole = false;
	const sweep = (): void => {
		const loading = document.readyState === 'loading';
		for (const element of document.querySelectorAll<HTMLElement>('script[type="text/plain"]')) {
			if (loading && !element.nextSibling) continue; // the parser is still in it
			if (element.id === 'vz-end') whole = true;
			else take(element);
			element.remove();
		}
	};
	return new Promise((resolve) => {
		const observer = new MutationObserver(sweep);
		const finish = (): void => {
			observer.disconnect();
			sweep();
			resolve(whole);
		};
		sweep();
		if (document.readyState !== 'loading') return finish();
		observer.observe(document.documentElement, { childList: true, subtree: true });
		document.addEventListener('DOMContentLoaded', finish);
	});
}

// Largest first, each to the builder that has least.
function share(directory: Directory, n: number): number[] {
	const weight = new Float64Array(directory.ntracks);
	for (let i = 0; i < directory.nblocks; i++) weight[directory.blockTrack[i]] += directory.blockEntries[i];
	const load = new Array<number>(n).fill(0), owner = new Array<number>(directory.ntracks);
	for (const track of [...weight.keys()].sort((a, b) => weight[b] - weight[a])) {
		const least = load.indexOf(Math.min(...load));
		owner[track] = least;
		load[least] += weight[track];
	}
	return owner;
}

interface Builder { worker: Worker; built: Promise<Built>; entries: number }

async function startBuilder(name: string, directory: Directory, nfunctions: number, tracks: number[],
	onProgress: () => void): Promise<Builder> {
	const { worker, module } = await startWorker(name);
	const builder: Builder = { worker, entries: 0, built: null as unknown as Promise<Built> };
	builder.built = new Promise((resolve, reject) => {
		worker.onmessage = ({ data }: MessageEvent<FromBuild>) => {
			if (data.from === 'built') resolve(data);
			else if (data.from === 'failure') reject(new Unreachable(data.message));
			else {
				builder.entries = data.entries;
				onProgress();
			}
		};
		worker.onerror = (event) => reject(new Unreachable(event.message));
	});
	builder.built.catch(() => undefined); // reported where it is awaited
	send(worker, { to: 'init', role: 'build', module, directory: directory.bytes, nfunctions, tracks });
	return builder;
}

function send(worker: Worker, message: ToBuild): void { worker.postMessage(message); }

const number = (element: HTMLElement, name: string): number => Number(element.dataset[name]);

function extraOf(element: HTMLElement): Extra | null {
	const packed = (): Uint8Array => fromBase64(element.textContent ?? '');
	if (element.className === 'vz-args')
		return { to: 'extra', kind: 'args', track: number(element, 'track'), first: number(element, 'first'), last: number(element, 'last'), packed: packed() };
	if (element.className === 'vz-source') return { to: 'extra', kind: 'source', file: number(element, 'file'),
		newer: number(element, 'newer') === 1, packed: packed() };
	if (element.id === 'vz-compare') return { to: 'extra', kind: 'compare', packed: packed() };
	return null;
}

export interface Unpacked { parts: Built[]; whole: boolean; damaged: number }

// Builds the index; what comes of it is for the worker of queries.
export async function unpackEmbed(directory: Directory, functions: Functions, onExtra: (extra: Extra) => void,
	onProgress: (p: Progress) => void): Promise<Unpacked> {
	const cores = Math.max(LEAST_BUILDERS, Math.min(MOST_BUILDERS, navigator.hardwareConcurrency || 0));
	const n = directory.entries > SMALL ? cores : 1;
	const owner = share(directory, n);
	const waiting: HTMLElement[] = [];
	let builders: Builder[] = [];
	const feed = (element: HTMLElement): void => {
		const track = number(element, 'track');
		if (!(track < directory.ntracks)) return;
		send(builders[owner[track]].worker, {
			to: 'feed', track, blocks: number(element, 'blocks'), bytes: number(element, 'bytes'), text: element.textContent ?? '',
		});
	};
	const end = eachElement((element) => {
		if (element.className === 'vz-events') builders.length ? feed(element) : waiting.push(element);
		else {
			const extra = extraOf(element);
			if (extra) onExtra(extra);
		}
	});
	const tell = (): void => {
		const done = builders.reduce((sum, b) => sum + b.entries, 0) / Math.max(1, directory.entries);
		onProgress({ what: 'unpacking', done: Math.min(0.999, done), complete: false });
	};
	const tracksOf = (i: number): number[] => owner.map((_, track) => track).filter((track) => owner[track] === i);
	builders = await Promise.all(Array.from({ length: n }, (_, i) =>
		startBuilder(`build ${i}`, directory, functions.name.length, tracksOf(i), tell)));
	waiting.splice(0).forEach(feed);
	const whole = await end;
	for (const { worker } of builders) send(worker, { to: 'finish' });
	const parts = await Promise.all(builders.map((b) => b.built));
	for (const { worker } of builders) worker.terminate();
	return { parts, whole, damaged: parts.reduce((sum, part) => sum + part.damaged, 0) };
}
