// SPDX-License-Identifier: MIT
// source_embed.ts - a trace inside the HTML file itself.  See viewer/web/EMBED.md for what is where.
//
// EmbedSource lives in the worker of queries and holds the built index, the deflated events and whatever else
// the file brings.

import type { Directory } from './directory';
import { readHeader } from './directory';
import type { Extra, Pack } from './protocol';
import { ByteCache, inflate, toText, u32 } from './bytes';
import { type FileText, Source, Unreachable } from './source';

const INFLATED_BYTES = 12 << 20;   // of packs, kept

export class EmbedSource implements Source {
	readonly remote = false;
	private pieces: Uint8Array[];
	private starts: number[];
	private packs: Pack[] = [];
	private readonly packOf = new Map<number, number>();
	private readonly inflated = new ByteCache(INFLATED_BYTES);
	private readonly argsOf: Extract<Extra, { kind: 'args' }>[] = [];
	private readonly sources = new Map<number, { packed: Uint8Array; newer: boolean }>();
	private comparison: Uint8Array | null = null;

	// INDEX: the overview.
	constructor(index: Uint8Array) {
		readHeader(index);
		this.pieces = [index];
		this.starts = [0];
	}

	enter(): void { this.inflated.enter(); }
	leave(): void { this.inflated.leave(); }

	// Everything is there now.  TILES: one after the other they are what offsets count in.
	replace(tiles: Uint8Array[], packs: Pack[]): void {
		this.pieces = tiles;
		this.starts = [];
		let at = 0;
		for (const piece of tiles) {
			this.starts.push(at);
			at += piece.byteLength;
		}
		this.packs = packs;
		packs.forEach((pack, i) => pack.numbers.forEach((number) => this.packOf.set(number, i)));
	}

	add(extra: Extra): void {
		if (extra.kind === 'args') this.argsOf.push(extra);
		else if (extra.kind === 'source') this.sources.set(extra.file, { packed: extra.packed, newer: extra.newer });
		else this.comparison = extra.packed;
	}

	async tiles(directory: Directory, numbers: number[]): Promise<Uint8Array[]> {
		return numbers.map((number) => {
			const offset = directory.tileOffset[number], bytes = directory.tileBytes[number];
			let low = 0, high = this.starts.length;
			while (high - low > 1) {
				const middle = (low + high) >>> 1;
				if (this.starts[middle] <= offset) low = middle;
				else high = middle;
			}
			const at = offset - this.starts[low];
			if (at + bytes > this.pieces[low].byteLength) throw new Unreachable('a tile is not in the file');
			return this.pieces[low].subarray(at, at + bytes);
		});
	}

	async blocks(numbers: number[]): Promise<(Uint8Array | null)[]> {
		const answers: (Uint8Array | null)[] = [];
		for (const number of numbers) answers.push(await this.block(number));
		return answers;
	}

	private async block(number: number): Promise<Uint8Array | null> {
		const i = this.packOf.get(number);
		if (i === undefined) return null;
		let raw = this.inflated.get(i);
		if (!raw) {
			raw = await inflate(this.packs[i].packed);
			this.inflated.set(i, raw);
		}
		for (let at = 0; at + 8 <= raw.byteLength;) {
			const bytes = u32(raw, at + 4);
			if (u32(raw, at) === number) return bytes <= raw.byteLength - at - 8 ? raw.subarray(at + 8, at + 8 + bytes) : null;
			at += 8 + bytes;
		}
		return null;
	}

	async args(track: number, entry: number): Promise<Record<string, unknown> | null> {
		const found = this.argsOf.find((a) => a.track === track && a.first <= entry && entry <= a.last);
		if (!found) return null;
		const raw = await inflate(found.packed);
		for (let at = 0; at + 8 <= raw.byteLength;) {
			const bytes = u32(raw, at + 4);
			if (u32(raw, at) === entry)
				return JSON.parse(toText(raw.subarray(at + 8, at + 8 + bytes))) as Record<string, unknown>;
			at += 8 + bytes;
		}
		return null;
	}

	async source(file: number): Promise<FileText | null> {
		const found = this.sources.get(file);
		return found ? { text: toText(await inflate(found.packed)), newer: found.newer } : null;
	}

	async compare(): Promise<Record<string, unknown> | null> {
		return this.comparison && JSON.parse(toText(await inflate(this.comparison))) as Record<string, unknown>;
	}

	held(): number {
		let bytes = this.inflated.size();
		for (const piece of this.pieces) bytes += piece.byteLength;
		for (const pack of this.packs) bytes += pack.packed.byteLength;
		for (const args of this.argsOf) bytes += args.packed.byteLength;
		for (const { packed } of this.sources.values()) bytes += packed.byteLength;
		return bytes;
	}
}
