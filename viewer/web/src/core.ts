// SPDX-License-Identifier: MIT
// core.ts - the core in WebAssembly as TypeScript sees it; viewer/core/wasm/exports.c is the other side.
//
// Pointers are numbers.  The memory may grow in any call, so views of it are made anew each time.

import type { Records, Samples, Slice } from './engine';

export type Pointer = number;

// What exports.c and exports_build.c export.
export interface Exports {
	memory: WebAssembly.Memory;
	vzx_layout(): Pointer;
	malloc(bytes: number): Pointer;
	free(p: Pointer): void;
	vzx_open(directory: Pointer, bytes: number): Pointer;
	vzx_close(q: Pointer): void;
	vzx_records(q: Pointer, tile: number, p: Pointer, n: number): Pointer;
	vzx_fine(q: Pointer, track: number, window: number): Pointer;
	vzx_gaps(q: Pointer, track: number): Pointer;
	vzx_samples(q: Pointer, track: number, from: number, to: number, resolution: number): Pointer;
	vzx_aggregate(q: Pointer, from: number, to: number, tracks: Pointer, n: number, tree: number): Pointer;
	vzx_butterfly(q: Pointer, from: number, to: number, tracks: Pointer, n: number, fn: number): Pointer;
	vzx_histogram(q: Pointer, from: number, to: number, tracks: Pointer, n: number, fn: number): Pointer;
	vzx_slowest(q: Pointer, from: number, to: number, tracks: Pointer, n: number, fn: number, most: number,
		least: number, below: number): Pointer;
	vzx_next(q: Pointer, fns: Pointer, n: number, from: number, direction: number, tracks: Pointer, ntracks: number): Pointer;
	vzx_marks(q: Pointer, fns: Pointer, n: number, buckets: number): Pointer;
	vzx_at(q: Pointer, track: number, time: number, depth: number): Pointer;
	vzx_relative(q: Pointer, start: number, track: number, depth: number, fn: number, which: number): Pointer;
	vzx_details(q: Pointer, start: number, track: number, depth: number, fn: number): Pointer;
	vzx_want(job: Pointer, ret: Pointer, max: number): number;
	vzx_give(job: Pointer, p: Pointer, n: number): void;
	vzx_result(job: Pointer): Pointer;
	vzx_free_job(job: Pointer): void;
	vzx_build_new(track: number, row: Pointer, zero: bigint, duration: bigint): Pointer;
	vzx_build_block(b: Pointer, block: Pointer, zero: bigint, raw: Pointer, bytes: number): number;
	vzx_build_end(b: Pointer): number;
	vzx_build_track(b: Pointer): Pointer;
	vzx_build_blocks(b: Pointer, n: Pointer): Pointer;
	vzx_build_density(b: Pointer): Pointer;
	vzx_build_free(b: Pointer): void;
	vzx_directory_new(ntracks: number): Pointer;
	vzx_directory_tile(d: Pointer, tile: Pointer): number;
	vzx_directory_track(d: Pointer, i: number, row: Pointer, blocks: Pointer, n: number, density: Pointer): number;
	vzx_directory_finish(d: Pointer, head: Pointer, ret: Pointer): number;
	vzx_directory_free(d: Pointer): void;
}

const LAYOUT = [
	'error', 'bad',
	'rows', 'rowFn', 'rowCalls', 'rowResumes', 'rowTotal', 'rowSelf',
	'rowSeen', 'rowMean', 'rowMax', 'rowP50', 'rowP99', 'rowRaised',
	'rowPartial',
	'tree', 'treeBytes',
	'treeParent', 'treeFn',
	'treeCalls', 'treeResumes',
	'treeSelf', 'treeTotal',
	'treeOther', 'treePruned',
	'busy', 'lost', 'nvalues', 'keys', 'values', 'exact',
	'nslices', 'slices', 'self', 'children', 'descendants', 'entry',
	'callees', 'calleeFn', 'calleeCalls', 'calleeTotal', 'calleeSelf',
	'records', 'samples', 'sampleT', 'sampleMin', 'sampleMax',
	'sampleLast',
] as const;
type Member = typeof LAYOUT[number];

const SLICE_BYTES = 32;            // struct vzq_slice
// struct vzt_records
const RECORDS = { n: 0, start: 4, end: 8, fn: 12, count: 16, depth: 20, how: 24 };

export class OutOfMemory extends Error {}

export class Core {
	readonly x: Exports;
	readonly at = {} as Record<Member, number>;

	constructor(module: WebAssembly.Module, onTile: (tile: Pointer, bytes: Pointer) => void = () => undefined) {
		this.x = new WebAssembly.Instance(module, { page: { tile: onTile } }).exports as unknown as Exports;
		const layout = this.u32s(this.x.vzx_layout(), LAYOUT.length);
		LAYOUT.forEach((name, i) => { this.at[name] = layout[i]; });
	}

	// ---- memory; all that is returned is copied ----

	bytes(p: Pointer, n: number): Uint8Array { return new Uint8Array(this.x.memory.buffer, p, n).slice(); }
	u32s(p: Pointer, n: number): Uint32Array { return new Uint32Array(this.x.memory.buffer, p, n).slice(); }
	doubles(p: Pointer, n: number): Float64Array { return new Float64Array(this.x.memory.buffer, p, n).slice(); }
	u32(p: Pointer): number { return new DataView(this.x.memory.buffer).getUint32(p, true); }
	double(p: Pointer): number { return new DataView(this.x.memory.buffer).getFloat64(p, true); }

	alloc(bytes: number): Pointer {
		const p = this.x.malloc(bytes) >>> 0;
		if (!p) throw new OutOfMemory('no memory is left');
		return p;
	}

	// Free with x.free().
	put(bytes: Uint8Array): Pointer {
		const p = this.alloc(bytes.byteLength || 1);
		new Uint8Array(this.x.memory.buffer).set(bytes, p);
		return p;
	}

	// With a copy of an array of numbers while USE runs.
	withU32<T>(numbers: ArrayLike<number> | null, use: (p: Pointer, n: number) => T): T {
		if (!numbers) return use(0, -1);
		const p = this.put(new Uint8Array(Uint32Array.from(numbers).buffer));
		try {
			return use(p, numbers.length);
		} finally {
			this.x.free(p);
		}
	}

	withBytes<T>(bytes: Uint8Array, use: (p: Pointer, n: number) => T): T {
		const p = this.put(bytes);
		try {
			return use(p, bytes.byteLength);
		} finally {
			this.x.free(p);
		}
	}

	// ---- members of a result ----

	number(result: Pointer, member: Member): number { return this.u32(result + this.at[member]); }
	value(result: Pointer, member: Member): number { return this.double(result + this.at[member]); }
	column(result: Pointer, member: Member, n: number): Float64Array { return this.doubles(this.number(result, member), n); }
	ids(result: Pointer, member: Member, n: number): Uint32Array { return this.u32s(this.number(result, member), n); }

	// Slice number I of a result.
	slice(result: Pointer, i: number): Slice {
		const p = this.number(result, 'slices') + i * SLICE_BYTES;
		return {
			start: this.double(p), end: this.double(p + 8), track: this.u32(p + 16), depth: this.u32(p + 20),
			fn: this.u32(p + 24), how: this.u32(p + 28),
		};
	}

	// A struct vzt_records.
	records(p: Pointer): Records {
		const n = this.u32(p + RECORDS.n), buffer = this.x.memory.buffer;
		return {
			n,
			start: this.doubles(this.u32(p + RECORDS.start), n), end: this.doubles(this.u32(p + RECORDS.end), n),
			fn: this.u32s(this.u32(p + RECORDS.fn), n), count: this.u32s(this.u32(p + RECORDS.count), n),
			depth: new Uint16Array(buffer, this.u32(p + RECORDS.depth), n).slice(),
			how: new Uint8Array(buffer, this.u32(p + RECORDS.how), n).slice(),
		};
	}

	samples(result: Pointer): Samples {
		const n = this.number(result, 'samples');
		return {
			t: this.column(result, 'sampleT', n), min: this.column(result, 'sampleMin', n),
			max: this.column(result, 'sampleMax', n), last: this.column(result, 'sampleLast', n),
		};
	}
}

export function noRecords(): Records {
	return {
		n: 0, start: new Float64Array(0), end: new Float64Array(0), depth: new Uint16Array(0), fn: new Uint32Array(0),
		count: new Uint32Array(0), how: new Uint8Array(0),
	};
}
