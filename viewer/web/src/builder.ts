// SPDX-License-Identifier: MIT
// builder.ts - builds the index of some tracks of an HTML file, in a worker of its own.
//
// Blocks of a track must be built in order; they come in elements of about 1 MB, which are inflated one by one.
// Tracks follow one another, so only one is under way at a time.

import { Core, OutOfMemory, type Pointer } from './core';
import { Directory } from './directory';
import type { Built, BuildInit, BuiltTrack, Feed, FromBuild, Pack } from './protocol';
import { fromBase64, inflate, u32 } from './bytes';
import { BLOCK_BYTES, DENSITY_BYTES, rowsOf, TILE_BYTES, TILE_OFFSET, TILE_SIZE, TRACK_BYTES } from './rows';

const PIECE_BYTES = 4 << 20;       // of tiles, kept together
const ALIGN = 8;                   // of a tile

// Tiles of all tracks as they are made.
class Tiles {
	readonly pieces: Uint8Array[] = [];
	private piece = new Uint8Array(PIECE_BYTES);
	private used = 0;
	private before = 0;            // bytes in pieces
	private rows = new Uint8Array(TILE_BYTES * 256);
	private nrows = 0;

	add(memory: ArrayBuffer, tile: Pointer, bytes: Pointer): void {
		const n = new DataView(memory).getUint32(tile + TILE_SIZE, true);
		if (this.used + n + ALIGN > this.piece.byteLength) this.flush(n + ALIGN);
		if ((this.nrows + 1) * TILE_BYTES > this.rows.byteLength) {
			const larger = new Uint8Array(this.rows.byteLength * 2);
			larger.set(this.rows);
			this.rows = larger;
		}
		const at = this.nrows++ * TILE_BYTES;
		this.rows.set(new Uint8Array(memory, tile, TILE_BYTES), at);
		new DataView(this.rows.buffer).setBigUint64(at + TILE_OFFSET, BigInt(this.before + this.used), true);
		this.piece.set(new Uint8Array(memory, bytes, n), this.used);
		this.used += (n + ALIGN - 1) & -ALIGN;
	}

	flush(room: number): void {
		if (this.used) this.pieces.push(this.piece.slice(0, this.used));
		this.before += this.used;
		this.used = 0;
		if (room > this.piece.byteLength) this.piece = new Uint8Array(room);
	}

	takeRows(): Uint8Array {
		const rows = this.rows.slice(0, this.nrows * TILE_BYTES);
		this.nrows = 0;
		return rows;
	}
}

export class Builder {
	private readonly core: Core;
	private readonly directory: Directory;
	private readonly tiles = new Tiles();
	private readonly tracks: BuiltTrack[] = [];
	private readonly packs: Pack[] = [];
	private readonly left: Set<number>;
	private track = -1;
	private build: Pointer = 0;
	private nextBlock = 0;         // row of the directory
	private entries = 0;
	private damaged = 0;
	private raw: Pointer = 0;      // room in the core
	private rawBytes = 0;
	private queue: Promise<void> = Promise.resolve();
	private inflating: Promise<unknown> = Promise.resolve();

	constructor(init: BuildInit, private readonly say: (message: FromBuild, transfer?: ArrayBufferLike[]) => void) {
		this.core = new Core(init.module, (tile, bytes) => this.tiles.add(this.core.x.memory.buffer, tile, bytes));
		this.directory = new Directory(init.directory, 1);
		this.left = new Set(init.tracks.filter((track) => !this.isCounter(track)));
	}

	private isCounter(track: number): boolean { return this.directory.trackCounter[track] !== 0; }

	private then(what: () => Promise<void>): void {
		this.queue = this.queue.then(what);
		this.queue.catch((error: Error) => this.say({ from: 'failure', id: -1, message: error.message, kind: 'other' }));
	}

	// Elements are inflated one ahead of the one that is built.
	feed(feed: Feed): void {
		const packed = this.decode(feed);
		const begin = this.inflating.then(() => packed && inflate(packed).catch(() => null));
		const before = this.queue;
		this.inflating = Promise.all([begin, before]);
		this.then(async () => this.element(feed, packed, await begin));
	}

	private decode(feed: Feed): Uint8Array | null {
		try {
			return fromBase64(feed.text);
		} catch {
			return null;
		} finally {
			feed.text = '';
		}
	}

	private element(feed: Feed, packed: Uint8Array | null, raw: Uint8Array | null): void {
		if (feed.track !== this.track) this.begin(feed.track);
		if (!packed || !raw) {
			this.damaged += feed.blocks;
			return;
		}
		const numbers: number[] = [];
		for (let at = 0; at + 8 <= raw.byteLength;) {
			const number = u32(raw, at), bytes = u32(raw, at + 4);
			if (bytes > raw.byteLength - at - 8) {
				this.damaged++;
				break;
			}
			if (this.block(number, raw.subarray(at + 8, at + 8 + bytes))) numbers.push(number);
			at += 8 + bytes;
		}
		this.packs.push({ packed, raw: raw.byteLength, numbers: Uint32Array.from(numbers) });
		this.say({ from: 'progress', entries: this.entries });
	}

	private begin(track: number): void {
		if (this.track >= 0) this.end();
		if (!this.left.delete(track)) throw new OutOfMemory(`track ${track} comes twice in the file`);
		const core = this.core, rows = rowsOf(this.directory.bytes);
		const row = this.directory.bytes.subarray(rows.tracks + track * TRACK_BYTES, rows.tracks + (track + 1) * TRACK_BYTES);
		this.build = core.withBytes(row, (p) =>
			core.x.vzx_build_new(track, p, this.directory.zero, BigInt(this.directory.duration)));
		if (!this.build) throw new OutOfMemory('no memory is left');
		this.track = track;
		this.nextBlock = this.directory.trackFirstBlock[track];
	}

	// Blocks of the track that the file does not hold are holes.
	private block(number: number, raw: Uint8Array): boolean {
		const end = this.directory.trackFirstBlock[this.track] + this.directory.trackBlocks[this.track];
		let row = this.nextBlock;
		while (row < end && this.directory.blockNumber[row] !== number) row++;
		if (row === end) {
			this.damaged++;
			return false;
		}
		while (this.nextBlock < row) this.give(this.nextBlock++, null);
		this.give(this.nextBlock++, raw);
		return true;
	}

	private give(row: number, raw: Uint8Array | null): void {
		const core = this.core, rows = rowsOf(this.directory.bytes);
		if (raw && raw.byteLength > this.rawBytes) {
			if (this.raw) core.x.free(this.raw);
			this.raw = core.alloc(raw.byteLength);
			this.rawBytes = raw.byteLength;
		}
		if (raw) new Uint8Array(core.x.memory.buffer).set(raw, this.raw);
		const at = rows.blocks + row * BLOCK_BYTES;
		const rc = core.withBytes(this.directory.bytes.subarray(at, at + BLOCK_BYTES), (p) =>
			core.x.vzx_build_block(this.build, p, this.directory.zero, raw ? this.raw : 0,
				raw ? raw.byteLength : this.directory.blockBytes[row]));
		if (rc < 0) throw new OutOfMemory('no memory is left');
		this.entries += this.directory.blockEntries[row];
	}

	private end(): void {
		const core = this.core, track = this.track, b = this.build;
		const end = this.directory.trackFirstBlock[track] + this.directory.trackBlocks[track];
		while (this.nextBlock < end) this.give(this.nextBlock++, null);
		if (core.x.vzx_build_end(b) < 0) throw new OutOfMemory('no memory is left');
		const n = core.alloc(4);
		const blocks = core.x.vzx_build_blocks(b, n), nblocks = core.u32(n);
		core.x.free(n);
		this.tracks.push({
			track, row: core.bytes(core.x.vzx_build_track(b), TRACK_BYTES), tiles: this.tiles.takeRows(),
			blocks: core.bytes(blocks, nblocks * BLOCK_BYTES), density: core.bytes(core.x.vzx_build_density(b), DENSITY_BYTES),
		});
		core.x.vzx_build_free(b);
		this.track = -1;
	}

	finish(): void {
		this.then(async () => {
			if (this.track >= 0) this.end();
			for (const track of [...this.left]) { // nothing of them can be read, or there is nothing
				this.begin(track);
				this.end();
			}
			this.tiles.flush(0);
			const built: Built = {
				from: 'built', tracks: this.tracks, bytes: this.tiles.pieces, packs: this.packs, damaged: this.damaged,
			};
			this.say(built, [...built.bytes.map((b) => b.buffer), ...built.packs.map((p) => p.packed.buffer)]);
		});
	}
}
