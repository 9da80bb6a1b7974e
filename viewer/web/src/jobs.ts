// SPDX-License-Identifier: MIT
// jobs.ts - runs the jobs of the core (viewer/core/query.h): gets what they want, gives it, and frees them.
//
// Jobs take turns, so that a long one does not keep the timeline waiting.

import { ByteCache } from './bytes';
import { type Directory, Kind } from './directory';
import { type Core, OutOfMemory, type Pointer } from './core';
import type { Source } from './source';

const TILE_CACHE_BYTES = 6 << 20;
const BLOCK_CACHE_BYTES = 4 << 20;
const WANT = 64;                   // things that are fetched at a time
const TURN_MS = 8;

const WANT_TILE = 0;

export class Cancelled extends Error {}

// Urgent: what is drawn waits for it.
export interface Ticket { cancelled: boolean; urgent?: boolean }

// Lets messages that have come meanwhile be handled.
const channel = new MessageChannel();
const resting: (() => void)[] = [];
channel.port1.onmessage = () => resting.shift()?.();

export function rest(): Promise<void> {
	return new Promise((resolve) => {
		resting.push(resolve);
		channel.port2.postMessage(0);
	});
}

export class Jobs {
	private readonly tiles = new ByteCache(TILE_CACHE_BYTES);
	private readonly blocks = new ByteCache(BLOCK_CACHE_BYTES);
	private readonly want: Pointer;

	constructor(readonly core: Core, readonly source: Source, public directory: Directory) {
		this.want = core.alloc(WANT * 8);
	}

	urgent = 0;                    // jobs under way that the picture waits for

	// A pause for a job that takes long; longer while the picture needs the processor.
	private async pause(ticket: Ticket): Promise<void> {
		do await rest(); while (this.urgent && !ticket.urgent);
		if (ticket.cancelled) throw new Cancelled('superseded');
	}

	// Numbers of tiles and blocks mean others now.
	forget(directory: Directory): void {
		this.directory = directory;
		this.tiles.clear();
		this.blocks.clear();
	}

	held(): number { return this.tiles.size() + this.blocks.size(); }

	// JOB is freed; USE may look at its result.
	async run<T>(job: Pointer, ticket: Ticket, use: (result: Pointer) => T): Promise<T> {
		if (!job) throw new OutOfMemory('no memory is left');
		try {
			let since = performance.now();
			for (let n; (n = this.core.x.vzx_want(job, this.want, WANT)) > 0;) {
				await this.serve(job, this.core.u32s(this.want, n * 2), ticket);
				if (performance.now() - since > TURN_MS) {
					await this.pause(ticket);
					since = performance.now();
				}
				if (ticket.cancelled) throw new Cancelled('superseded');
			}
			const result = this.core.x.vzx_result(job);
			if (!result || this.core.number(result, 'error')) throw new OutOfMemory('no memory is left');
			return use(result);
		} finally {
			this.core.x.vzx_free_job(job);
		}
	}

	// Everything is fetched before anything is given, so that other jobs may run meanwhile.
	private async serve(job: Pointer, wants: Uint32Array, ticket: Ticket): Promise<void> {
		const tiles: number[] = [], blocks: number[] = [];
		for (let i = 0; i < wants.length; i += 2) (wants[i] === WANT_TILE ? tiles : blocks).push(wants[i + 1]);
		await this.looking(async () => {
			const [haveTiles, haveBlocks] = await Promise.all([this.getTiles(tiles), this.getBlocks(blocks)]);
			if (this.urgent && !ticket.urgent) await this.pause(ticket);
			let tile = 0, block = 0, since = performance.now();
			for (let i = 0; i < wants.length; i += 2) {
				const bytes = wants[i] === WANT_TILE ? haveTiles[tile++] : haveBlocks[block++];
				if (bytes) this.core.withBytes(bytes, (p, n) => this.core.x.vzx_give(job, p, n));
				else this.core.x.vzx_give(job, 0, 0);
				if (performance.now() - since > TURN_MS && i + 2 < wants.length) {
					await this.pause(ticket);
					since = performance.now();
				}
			}
		});
	}

	// What getTiles() and getBlocks() give is there until USE is over.
	async looking<T>(use: () => Promise<T>): Promise<T> {
		const all = [this.tiles, this.blocks, this.source];
		for (const one of all) one.enter();
		try {
			return await use();
		} finally {
			for (const one of all) one.leave();
		}
	}

	async getTiles(numbers: number[]): Promise<Uint8Array[]> {
		const found = new Map<number, Uint8Array>();
		const missing: number[] = [];
		for (const number of numbers) {
			const bytes = this.tiles.get(number);
			if (bytes) found.set(number, bytes);
			else missing.push(number);
		}
		if (missing.length) {
			const generation = this.directory;
			const fetched = await this.source.tiles(this.directory, missing);
			missing.forEach((number, i) => {
				found.set(number, fetched[i]);
				// The core keeps what NODES say by itself.
				if (this.source.remote && this.directory === generation && generation.tileKind[number] !== Kind.Nodes)
					this.tiles.set(number, fetched[i]);
			});
		}
		return numbers.map((number) => found.get(number)!);
	}

	// BLOCKS: rows of the directory.
	async getBlocks(blocks: number[]): Promise<(Uint8Array | null)[]> {
		const found = new Map<number, Uint8Array | null>();
		const missing: number[] = [];
		for (const block of blocks) {
			const bytes = this.blocks.get(block);
			if (bytes) found.set(block, bytes);
			else missing.push(block);
		}
		if (missing.length) {
			const numbers = missing.map((block) => this.directory.blockNumber[block]);
			const generation = this.directory;
			const fetched = await this.source.blocks(numbers);
			missing.forEach((block, i) => {
				const bytes = fetched[i];
				found.set(block, bytes);
				if (bytes && this.source.remote && this.directory === generation) this.blocks.set(block, bytes);
			});
		}
		return blocks.map((block) => found.get(block) ?? null);
	}
}
