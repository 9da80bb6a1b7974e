// SPDX-License-Identifier: MIT
// engine_worker.ts - the Engine that the page uses: asks a worker, plans tiles by itself.

import {
	type Aggregate, type CallTree, type Comparison, type Engine, type Functions, type Gap, type Histogram, type Ns, type Opened,
	type Progress, type Range, type Records, type Samples, type Slice, type SliceDetails, type SliceRef, type SourceText,
	type Tile, type TraceInfo, Superseded,
} from './engine';
import { BadIndex, Directory, LEVELS } from './directory';
import { functionsOf, type Call, type Failure, type FromQuery, type Operations, type ToQuery } from './protocol';
import { firstWorker } from './embedded';
import { isEmbedded, openEmbed, unpackEmbed } from './open_embed';
import { type Documents, openHttp } from './source_http';
import { type FileText, Unreachable } from './source';

interface Waiting { resolve: (value: never) => void; reject: (error: Error) => void }

// A newer call of one of these takes the place of one that is still under way.
type Exclusive = 'aggregate' | 'marks';

export interface EngineStats { tileRequests: number; calls: number; pending: number }

export class WorkerEngine implements Engine {
	private worker!: Worker;
	private directory!: Directory;
	private functions!: Functions;
	private readonly waiting = new Map<number, Waiting>();
	private readonly exclusive = new Map<Exclusive, number>();
	private lastId = 0;
	readonly stats: EngineStats = { tileRequests: 0, calls: 0, pending: 0 };
	private troubled: Error | null = null;
	// Called when the worker or its source fails, and with null when the next answer comes all the same.
	onTrouble: (error: Error | null) => void = () => undefined;

	async open(onProgress: (p: Progress) => void, picture: Promise<void>): Promise<Opened> {
		const base = location.href.replace(/[?#].*$/, '').replace(/[^/]*$/, '');
		const embedded = isEmbedded();
		const [{ worker, module }, documents] = await Promise.all([
			firstWorker(), embedded ? openEmbed() : openHttp(base, onProgress, window.vizviewBegun!.documents)]);
		const index = (documents as Documents & { index?: Uint8Array }).index;
		this.listen(worker);
		this.directory = new Directory(documents.directory, 1);
		this.functions = functionsOf(documents.functions);
		check(documents.trace, this.directory, this.functions);
		this.send({
			to: 'init', role: 'query', module, directory: documents.directory, nfunctions: this.functions.name.length,
			source: index ? { kind: 'embed', index } : { kind: 'http', base },
		});
		if (index) this.unpack(documents.trace, index, onProgress).catch((error: Error) => this.onTrouble(error));
		else picture.then(() => this.count(onProgress)).catch(() => undefined); // whatever is wrong, a query of the user will say it
		return {
			trace: documents.trace, functions: this.functions, density: this.directory.density, levels: LEVELS,
			complete: !index,
		};
	}

	// The rest of an HTML file.
	private async unpack(trace: TraceInfo, index: Uint8Array, onProgress: (p: Progress) => void): Promise<void> {
		const whole = await unpackEmbed(this.directory, this.functions, (extra) => this.send(extra, [extra.packed.buffer]), onProgress);
		if (!whole.whole) trace.warnings.push({
			what: 'This file was cut: its end is missing.', why: 'It was not downloaded or written to its end.',
			try: 'Get it again; until then only its first part is shown.',
		});
		if (whole.damaged) trace.warnings.push({
			what: whole.damaged === 1 ? 'A part of this file is damaged.' : `${whole.damaged} parts of this file are damaged.`, why: 'Their bytes make no sense.',
			try: 'They are shown as unreadable; the rest is right.',
		});
		const id = ++this.lastId;
		const transfer = whole.parts.flatMap((part) => [
			...part.bytes.map((b) => b.buffer), ...part.packs.map((pack) => pack.packed.buffer)]);
		const bytes = await new Promise<Uint8Array>((resolve, reject) => {
			this.waiting.set(id, { resolve, reject });
			this.send({ to: 'replace', id, overview: index, parts: whole.parts }, transfer);
		});
		this.directory = new Directory(bytes, 2);
		onProgress({ what: 'complete', done: 1, complete: true });
		await this.count(onProgress);
	}

	// Calls of each function, which come a little later.
	private async count(onProgress: (p: Progress) => void): Promise<void> {
		this.functions.calls.set((await this.call('calls', {})) as Float64Array);
		onProgress({ what: 'complete', done: 1, complete: true });
	}

	private listen(worker: Worker): void {
		this.worker = worker;
		worker.onmessage = ({ data }: MessageEvent<FromQuery>) => {
			const waiting = this.waiting.get(data.id);
			this.waiting.delete(data.id);
			this.stats.pending = this.waiting.size;
			if (!waiting) return;
			if (data.from === 'answer') {
				waiting.resolve(data.value as never);
				if (this.troubled) this.onTrouble(this.troubled = null);
			} else waiting.reject(this.failed(data));
		};
		worker.onerror = (event) => {
			const error = new Unreachable(event.message || 'the worker has ended');
			for (const waiting of this.waiting.values()) waiting.reject(error);
			this.waiting.clear();
			this.onTrouble(error);
		};
	}

	private failed({ kind, message }: Failure): Error {
		if (kind === 'cancelled') return new Superseded(message);
		if (kind === 'other') return new Error(message);
		this.onTrouble(this.troubled = new Unreachable(message));
		return this.troubled;
	}

	private send(message: ToQuery, transfer: ArrayBufferLike[] = []): void {
		this.worker.postMessage(message, transfer as ArrayBuffer[]);
	}

	private call<K extends keyof Operations>(what: K, args: Operations[K]): Promise<unknown> {
		const id = ++this.lastId;
		this.stats.calls++;
		if (what === 'aggregate' || what === 'marks') this.supersede(what, id);
		return new Promise((resolve, reject) => {
			this.waiting.set(id, { resolve, reject });
			this.stats.pending = this.waiting.size;
			this.send({ to: 'call', id, what, with: args } as unknown as Call);
		});
	}

	private supersede(what: Exclusive, id: number): void {
		const older = this.exclusive.get(what);
		const waiting = older === undefined ? undefined : this.waiting.get(older);
		if (older !== undefined && waiting) {
			this.waiting.delete(older);
			waiting.reject(new Superseded('superseded'));
			this.send({ to: 'cancel', id: older });
		}
		this.exclusive.set(what, id);
	}

	tiles(tracks: number[], from: Ns, to: Ns, resolution: number): Tile[] {
		return this.directory.view(tracks, from, to, resolution);
	}

	load(tiles: Tile[]): Promise<Records[]> {
		this.stats.tileRequests += tiles.length;
		return this.call('load', { tiles }) as Promise<Records[]>;
	}

	gaps(track: number): Promise<Gap[]> { return this.call('gaps', { track }) as Promise<Gap[]>; }

	samples(track: number, from: Ns, to: Ns, resolution: number): Promise<Samples> {
		return this.call('samples', { track, from, to, resolution }) as Promise<Samples>;
	}

	at(track: number, time: Ns, depth: number): Promise<Slice | null> {
		return this.call('at', { track, time, depth }) as Promise<Slice | null>;
	}

	details(slice: SliceRef): Promise<SliceDetails | null> {
		return this.call('details', { slice }) as Promise<SliceDetails | null>;
	}

	next(fns: number[], from: Ns, direction: 1 | -1, tracks: number[] | null): Promise<Slice | null> {
		return this.call('next', { fns, from, direction, tracks }) as Promise<Slice | null>;
	}

	relative(slice: SliceRef, which: 'parent' | 'child' | 'before' | 'after'): Promise<Slice | null> {
		return this.call('relative', { slice, which }) as Promise<Slice | null>;
	}

	marks(fns: number[], buckets: number): Promise<Float64Array> {
		return this.call('marks', { fns, buckets }) as Promise<Float64Array>;
	}

	aggregate(range: Range, tree: boolean): Promise<Aggregate> {
		return this.call('aggregate', { range, tree }) as Promise<Aggregate>;
	}

	butterfly(fn: number, range: Range): Promise<{ callers: CallTree; callees: CallTree }> {
		return this.call('butterfly', { fn, range }) as Promise<{ callers: CallTree; callees: CallTree }>;
	}

	histogram(fn: number, range: Range): Promise<Histogram> {
		return this.call('histogram', { fn, range }) as Promise<Histogram>;
	}

	slowest(fn: number, range: Range, n: number, least = 0, below = Infinity): Promise<Slice[]> {
		return this.call('slowest', { fn, range, n, least, below }) as Promise<Slice[]>;
	}

	async source(fn: number): Promise<SourceText | null> {
		const file = this.functions.file[fn];
		if (file === undefined || file < 0) return null;
		const found = await this.call('source', { file }) as FileText | null;
		return found && { file: this.functions.files[file], first: 1, lines: found.text.split(/\r\n|\r|\n/), newer: found.newer };
	}

	compare(): Promise<Comparison | null> { return this.call('compare', {}) as Promise<Comparison | null>; }

	// Bytes that the worker holds, for tests.
	workerStats(): Promise<unknown> { return this.call('stats', {}); }
}

// The documents must be of one trace.
function check(trace: TraceInfo, directory: Directory, functions: Functions): void {
	if (!Array.isArray(trace.tracks) || trace.tracks.length !== directory.ntracks)
		throw new BadIndex('the index has other tracks than the trace');
	const n = functions.name.length;
	if (functions.file.length !== n || functions.line.length !== n || functions.kind.length !== n)
		throw new BadIndex('the table of functions is damaged');
}
