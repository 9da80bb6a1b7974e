// SPDX-License-Identifier: MIT
// directory.ts - the directory of an index (viewer/core/format.h), and which tiles a view needs.
//
// Checks everything before use: an index may be damaged or made by somebody else.

import type { Ns, Tile } from './engine';
import { BLOCK_BYTES, HEAD_BYTES, TILE_BYTES, TRACK_BYTES, TRACK_COUNTER, TRACK_FLAGS } from './rows';

export class BadIndex extends Error {}

const VERSION = 1;
const FINE_SHIFT = 14;
export const FINE_NS = 1 << FINE_SHIFT;
export const LEVELS = 16;
export const DENSITY = 2048;
export const OVERVIEW = 1;         // flag of a directory
const HEADER_BYTES = 64;
const MAGIC = [0x89, 0x56, 0x5a, 0x49, 0x4e, 0x44, 0x58, 0x0a];
const MOST_NS = 2 ** 53;

export const enum Kind { Slices = 1, Runs = 2, Funcs = 3, Paths = 4, Nodes = 5, Gaps = 6, Samples = 7 }
const KINDS = 8;

// Tiles lie together by track, kind and level, in order of t0.
interface Group { first: number; end: number }

// Ids of tiles for the caller's cache: one number, so that they compare fast.
const GENERATION = 2 ** 50;        // of the directory; there are few
const FINE_ID = 2 ** 49;
export const WINDOW_NS = 2 ** 24;  // VZQ_WINDOW_SHIFT

export class Directory {
	readonly ntracks: number;
	readonly ntiles: number;
	readonly nblocks: number;
	readonly duration: Ns;
	readonly zero: bigint;
	readonly entries: number;
	readonly overview: boolean;
	readonly density: Uint32Array;

	readonly tileT0: Float64Array;
	readonly tileT1: Float64Array;
	readonly tileOffset: Float64Array;
	readonly tileBytes: Uint32Array;
	readonly tileCount: Uint32Array;
	readonly tileTrack: Uint32Array;
	readonly tileKind: Uint8Array;
	readonly tileLevel: Uint8Array;
	private readonly reach: Float64Array; // greatest t1 so far in its group
	private readonly groups: (Group | undefined)[] = [];
	private readonly coarsest: Uint8Array; // of each track: least level there is

	readonly blockFrom: Float64Array;
	readonly blockT0: Float64Array;
	readonly blockT1: Float64Array;
	readonly blockNumber: Uint32Array;
	readonly blockBytes: Uint32Array;
	readonly blockEntries: Uint32Array;
	readonly blockFlags: Uint32Array;
	readonly blockTrack: Uint32Array;
	readonly trackFirstBlock: Uint32Array;
	readonly trackBlocks: Uint32Array;
	readonly trackCounter: Uint8Array; // 1: it has SAMPLES, no calls

	constructor(readonly bytes: Uint8Array, readonly generation: number) {
		const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
		if (bytes.byteLength < HEAD_BYTES) throw new BadIndex('the directory is cut');
		const u = (at: number): number => view.getUint32(at, true);
		const big = (at: number): number => {
			const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
			if (value >= MOST_NS) throw new BadIndex('a number in the directory is too large');
			return value;
		};
		if (u(0) !== VERSION) throw new BadIndex(`version ${u(0)} of the index is not known here`);
		const ntracks = this.ntracks = u(4), ntiles = this.ntiles = u(8), nblocks = this.nblocks = u(12);
		this.zero = view.getBigUint64(16, true);
		this.duration = big(24);
		this.entries = big(32);
		this.overview = (u(44) & OVERVIEW) !== 0;
		const tracksAt = HEAD_BYTES, tilesAt = tracksAt + ntracks * TRACK_BYTES;
		const blocksAt = tilesAt + ntiles * TILE_BYTES, densityAt = blocksAt + nblocks * BLOCK_BYTES;
		if (densityAt + DENSITY * 4 !== bytes.byteLength) throw new BadIndex('the directory has another size than it says');
		this.density = new Uint32Array(bytes.slice(densityAt).buffer);

		this.tileT0 = new Float64Array(ntiles);
		this.tileT1 = new Float64Array(ntiles);
		this.tileOffset = new Float64Array(ntiles);
		this.tileBytes = new Uint32Array(ntiles);
		this.tileCount = new Uint32Array(ntiles);
		this.tileTrack = new Uint32Array(ntiles);
		this.tileKind = new Uint8Array(ntiles);
		this.tileLevel = new Uint8Array(ntiles);
		this.reach = new Float64Array(ntiles);
		for (let i = 0, at = tilesAt; i < ntiles; i++, at += TILE_BYTES) {
			this.tileT0[i] = big(at);
			this.tileT1[i] = big(at + 8);
			this.tileOffset[i] = big(at + 16);
			this.tileBytes[i] = u(at + 24);
			this.tileCount[i] = u(at + 28);
			this.tileTrack[i] = u(at + 32);
			this.tileKind[i] = bytes[at + 36];
			this.tileLevel[i] = bytes[at + 37];
		}
		this.coarsest = new Uint8Array(ntracks).fill(LEVELS - 1);
		this.group();

		this.blockFrom = new Float64Array(nblocks);
		this.blockT0 = new Float64Array(nblocks);
		this.blockT1 = new Float64Array(nblocks);
		this.blockNumber = new Uint32Array(nblocks);
		this.blockBytes = new Uint32Array(nblocks);
		this.blockEntries = new Uint32Array(nblocks);
		this.blockFlags = new Uint32Array(nblocks);
		this.blockTrack = new Uint32Array(nblocks);
		for (let i = 0, at = blocksAt; i < nblocks; i++, at += BLOCK_BYTES) {
			this.blockFrom[i] = big(at);
			this.blockT0[i] = big(at + 8);
			this.blockT1[i] = big(at + 16);
			this.blockNumber[i] = u(at + 24);
			this.blockBytes[i] = u(at + 28);
			this.blockEntries[i] = u(at + 32);
			this.blockFlags[i] = u(at + 36);
		}
		this.trackFirstBlock = new Uint32Array(ntracks);
		this.trackBlocks = new Uint32Array(ntracks);
		this.trackCounter = new Uint8Array(ntracks);
		for (let i = 0, at = tracksAt; i < ntracks; i++, at += TRACK_BYTES) {
			const first = u(at + 20), n = u(at + 24);
			if (first + n > nblocks) throw new BadIndex('a track has blocks that are not there');
			this.trackFirstBlock[i] = first;
			this.trackBlocks[i] = n;
			this.trackCounter[i] = u(at + TRACK_FLAGS) & TRACK_COUNTER ? 1 : 0;
			this.blockTrack.fill(i, first, first + n);
		}
	}

	private group(): void {
		let before = -1;
		for (let i = 0; i < this.ntiles; i++) {
			const track = this.tileTrack[i], kind = this.tileKind[i], level = this.tileLevel[i];
			const key = this.key(track, kind, level);
			if (track >= this.ntracks || kind >= KINDS || level >= 64 || key < before)
				throw new BadIndex('a tile is not where it belongs');
			let group = this.groups[key];
			if (!group) this.groups[key] = group = { first: i, end: i };
			else if (this.tileT0[i] < this.tileT0[i - 1]) throw new BadIndex('tiles are not in order');
			this.reach[i] = i > group.first ? Math.max(this.reach[i - 1], this.tileT1[i]) : this.tileT1[i];
			group.end = i + 1;
			before = key;
			if ((kind === Kind.Slices || kind === Kind.Runs) && level < this.coarsest[track]) this.coarsest[track] = level;
		}
	}

	private key(track: number, kind: number, level: number): number { return (track * KINDS + kind) * 64 + level; }

	// Numbers of tiles of a group that touch [from, to].
	range(track: number, kind: Kind, level: number, from: Ns, to: Ns, each: (i: number) => void): void {
		const group = this.groups[this.key(track, kind, level)];
		if (!group) return;
		let low = group.first, high = group.end;
		while (low < high) {
			const middle = (low + high) >>> 1;
			if (this.reach[middle] < from) low = middle + 1;
			else high = middle;
		}
		for (let i = low; i < group.end && this.tileT0[i] <= to; i++)
			if (this.tileT1[i] >= from) each(i);
	}

	// The level whose resolution is the greatest that is not above RESOLUTION, -1: finer than all.
	static level(resolution: number): number {
		if (resolution < FINE_NS) return -1;
		return Math.min(LEVELS - 1, Math.floor((Math.log2(resolution) - FINE_SHIFT) / 2 + 1e-9));
	}

	// What is needed to draw the tracks; a Tile is made once and then the same object.
	view(tracks: number[], from: Ns, to: Ns, resolution: number): Tile[] {
		const tiles: Tile[] = [];
		const level = Directory.level(resolution);
		for (const track of tracks) {
			if (track < 0 || track >= this.ntracks) continue;
			const l = this.overview ? Math.max(level, this.coarsest[track]) : level;
			for (let k = Math.max(l, 0); k < LEVELS; k++)
				this.range(track, Kind.Slices, k, from, to, (i) => tiles.push(this.tile(i, 'slices')));
			if (l >= 0) this.range(track, Kind.Runs, l, from, to, (i) => tiles.push(this.tile(i, 'runs')));
			else this.fine(track, from, to, tiles);
		}
		return tiles;
	}

	private readonly made = new Map<number, Tile>();

	private tile(i: number, kind: 'slices' | 'runs'): Tile {
		let tile = this.made.get(i);
		if (!tile) {
			tile = {
				id: this.generation * GENERATION + i, track: this.tileTrack[i], t0: this.tileT0[i],
				t1: this.tileT1[i], kind, level: this.tileLevel[i],
			};
			this.made.set(i, tile);
		}
		return tile;
	}

	// Calls shorter than FINE_NS come in windows of the same length, only where there are events.
	private fine(track: number, from: Ns, to: Ns, tiles: Tile[]): void {
		const first = this.trackFirstBlock[track], end = first + this.trackBlocks[track];
		let low = first, high = end;
		while (low < high) { // t1 does not run back within a track
			const middle = (low + high) >>> 1;
			if (this.blockT1[middle] < from - FINE_NS) low = middle + 1;
			else high = middle;
		}
		let next = Math.max(0, Math.floor((from - FINE_NS) / WINDOW_NS)); // a call may begin in the window before
		for (let block = low; block < end && this.blockT0[block] <= to; block++) {
			next = Math.max(next, Math.floor(this.blockT0[block] / WINDOW_NS));
			const last = Math.floor(Math.min(to, this.blockT1[block]) / WINDOW_NS);
			for (; next <= last; next++) tiles.push(this.fineTile(track, next));
		}
	}

	private fineTile(track: number, window: number): Tile {
		const key = FINE_ID + window * this.ntracks + track;
		let tile = this.made.get(key);
		if (!tile) {
			const t0 = window * WINDOW_NS;
			tile = {
				id: this.generation * GENERATION + key, track, t0, t1: t0 + WINDOW_NS + FINE_NS, kind: 'fine', level: -1,
			};
			this.made.set(key, tile);
		}
		return tile;
	}

	// What a Tile's id means; null: of another directory.
	resolve(id: number): { tile: number } | { track: number; window: number } | null {
		const key = id - this.generation * GENERATION;
		if (!(key >= 0 && key < GENERATION)) return null;
		if (key < FINE_ID) return key < this.ntiles ? { tile: key } : null;
		return { track: (key - FINE_ID) % this.ntracks, window: Math.floor((key - FINE_ID) / this.ntracks) };
	}
}

// Where the directory lies in an index file.
export function readHeader(index: Uint8Array): { offset: number; bytes: number } {
	const view = new DataView(index.buffer, index.byteOffset, index.byteLength);
	if (index.byteLength < HEADER_BYTES || MAGIC.some((byte, i) => index[i] !== byte))
		throw new BadIndex('this is no index');
	const offset = Number(view.getBigUint64(40, true)), bytes = Number(view.getBigUint64(48, true));
	if (offset < HEADER_BYTES || bytes > index.byteLength || offset > index.byteLength - bytes)
		throw new BadIndex('the index is cut');
	if (view.getUint32(60, true) !== crc32(index.subarray(0, 60)) ||
	    view.getUint32(56, true) !== crc32(index.subarray(offset, offset + bytes)))
		throw new BadIndex('a checksum of the index is wrong');
	return { offset, bytes };
}

let crcTable: Uint32Array | null = null;

export function crc32(bytes: Uint8Array): number {
	if (!crcTable) {
		crcTable = new Uint32Array(256);
		for (let i = 0; i < 256; i++) {
			let c = i;
			for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
			crcTable[i] = c;
		}
	}
	let crc = 0xffffffff;
	for (let i = 0; i < bytes.length; i++) crc = crcTable[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
	return ~crc >>> 0;
}
