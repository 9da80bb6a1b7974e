// SPDX-License-Identifier: MIT
// protocol.ts - what the page and its workers say to each other.
//
// One worker answers queries (Query); for an HTML file two others build the index (Build).
// Bytes are transferred, not copied.

import type { Ns, Range, SliceRef, Functions, Tile } from './engine';

export type SourceInit =
	| { kind: 'http'; base: string }
	| { kind: 'embed'; index: Uint8Array }; // the overview, an index file

export interface QueryInit {
	to: 'init';
	role: 'query';
	module: WebAssembly.Module;
	source: SourceInit;
	directory: Uint8Array;
	nfunctions: number;
}

// The whole index of an HTML file, after it was built; the answer is its directory.
export interface Replace {
	to: 'replace';
	id: number;
	overview: Uint8Array;         // an index file; what cannot be built is taken from it
	parts: Built[];
}

// Data of an element of class vz-events, still deflated.
export interface Pack { packed: Uint8Array; raw: number; numbers: Uint32Array }

export interface Operations {
	load: { tiles: Tile[] };
	gaps: { track: number };
	samples: { track: number; from: Ns; to: Ns; resolution: number };
	at: { track: number; time: Ns; depth: number };
	details: { slice: SliceRef };
	next: { fns: number[]; from: Ns; direction: 1 | -1; tracks: number[] | null };
	relative: { slice: SliceRef; which: 'parent' | 'child' | 'before' | 'after' };
	marks: { fns: number[]; buckets: number };
	calls: Record<string, never>;
	aggregate: { range: Range; tree: boolean };
	butterfly: { fn: number; range: Range };
	histogram: { fn: number; range: Range };
	slowest: { fn: number; range: Range; n: number; least: Ns; below: Ns };
	source: { file: number };
	compare: Record<string, never>;
	stats: Record<string, never>;
}

export type Call = { [K in keyof Operations]: { to: 'call'; id: number; what: K; with: Operations[K] } }[keyof Operations];

// Elements of an HTML file that a query may need; bytes are deflated.
export type Extra =
	| { to: 'extra'; kind: 'args'; track: number; first: number; last: number; packed: Uint8Array }
	| { to: 'extra'; kind: 'source'; file: number; newer: boolean; packed: Uint8Array }
	| { to: 'extra'; kind: 'compare'; packed: Uint8Array };

export type ToQuery = QueryInit | Replace | Extra | Call | { to: 'cancel'; id: number };

export type FromQuery =
	| { from: 'answer'; id: number; value: unknown }
	| Failure;

export type FailureKind = 'cancelled' | 'unreachable' | 'other';
export interface Failure { from: 'failure'; id: number; message: string; kind: FailureKind }

export interface BuildInit {
	to: 'init';
	role: 'build';
	module: WebAssembly.Module;
	directory: Uint8Array;
	nfunctions: number;
	tracks: number[];
}

// The text of an element of class vz-events; they come in order of time for each track.
export interface Feed { to: 'feed'; track: number; blocks: number; bytes: number; text: string }

export type ToBuild = BuildInit | Feed | { to: 'finish' };

// Rows as in viewer/core/format.h; offsets of tiles count within Built.bytes.
export interface BuiltTrack {
	track: number;
	row: Uint8Array;              // struct vzi_track
	tiles: Uint8Array;            // struct vzi_tile[]
	blocks: Uint8Array;           // struct vzi_block[]
	density: Uint8Array;
}

// What a worker built.
export interface Built {
	from: 'built';
	tracks: BuiltTrack[];
	bytes: Uint8Array[];
	packs: Pack[];
	damaged: number;                  // blocks
}

export type FromBuild =
	| { from: 'progress'; entries: number }
	| Built
	| Failure;                        // id: -1

export interface FunctionsJson {
	files: string[]; name: string[]; file: number[]; line: number[]; kind: number[];
}

export function functionsOf(json: FunctionsJson): Functions {
	const n = json.name.length;
	return {
		files: json.files, name: json.name, file: Int32Array.from(json.file), line: Uint32Array.from(json.line),
		kind: Uint8Array.from(json.kind), calls: new Float64Array(n),
	};
}
