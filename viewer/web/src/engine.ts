// SPDX-License-Identifier: MIT
// engine.ts - what the page may ask about a trace, and the shapes of the answers.
//
// The only contract between what computes (a worker with the C core) and what shows
// (timeline/, panels/).  Neither imports anything of the other.  The same interface is
// implemented by engine_worker.ts (a server or an HTML file behind it) and, for
// development, by engine_mock.ts.
//
// Times are ns since the begin of the trace: whole numbers below 2^53, exact in a double.
// "track" is the number of a track in TraceInfo.tracks; "fn" an index into Functions.
// Every call may be superseded: a newer call of aggregate(), marks() rejects
// an older one that is still under way with Superseded.

export type Ns = number;

export interface Warning { what: string; why?: string; try?: string }

export type TrackKind = 'thread' | 'greenlet' | 'async' | 'instants' | 'state' | 'counter';

export interface TrackInfo {
	process: number;     // index into TraceInfo.processes
	tid: number;
	name: string;        // title for people
	kind: TrackKind;
	begin: Ns; end: Ns;  // when it was there
	calls: number; lost: number; holes: number;
	depth: number;       // rows, greatest depth
	main: boolean;
}

export interface TraceInfo {
	version: string;     // of vizview
	file: string;
	title: string;       // of the process
	pid: number;
	startUnixMs: number; // wall clock at 0
	duration: Ns;
	calls: number; lost: number;
	facts: [string, string][];
	warnings: Warning[];
	processes: { pid: number; name: string }[];
	tracks: TrackInfo[];
	hasSource: boolean;
	compare: string | null; // name of the other file
}

// Columns, by id.
export interface Functions {
	files: string[];
	name: string[];
	file: Int32Array;    // index into files, -1: none
	line: Uint32Array;
	kind: Uint8Array;    // 1 Python, 2 C, 0 not defined by the trace
	calls: Float64Array; // in the whole trace; all 0 until Opened.complete
}

export interface Opened {
	trace: TraceInfo;
	functions: Functions;
	density: Uint32Array; // entries in each of density.length equal parts of the trace
	levels: number;
	complete: boolean;    // false: coarse picture only (an HTML file still unpacking); see onProgress
}

export interface Progress {
	what: string;         // 'building the index', 'unpacking' ...
	done: number;         // 0 to 1; 1: complete, ask again what you show
	complete: boolean;
}

// ---- timeline ----

// Records of one tile in order of start.  Arrays belong to the caller.
export interface Records {
	n: number;
	start: Float64Array;
	end: Float64Array;
	depth: Uint16Array;
	fn: Uint32Array;
	count: Uint32Array;   // calls in it; 1 and exact: a call, else a run of short ones
	how: Uint8Array;      // Entry | Leave << 2; of a run 0
}

export const enum Entry { Call = 0, Resume = 1, Throw = 2, Open = 3 }
export const enum Leave { Return = 0, Yield = 1, Unwind = 2, Unseen = 3, Gap = 4, Open = 5 }

export interface Tile {
	id: number;           // key for the caller's cache; never given to another tile
	track: number;
	t0: Ns; t1: Ns;       // first start, last end
	kind: 'slices' | 'runs' | 'fine';
	level: number;        // slices: class; runs: level
}

export interface Gap { start: Ns; end: Ns; records: number } // 0: unreadable, else dropped

export interface Samples { t: Float64Array; min: Float64Array; max: Float64Array; last: Float64Array }

// ---- queries ----

export interface Range { from: Ns; to: Ns; tracks: number[] | null } // null: all

export interface SliceRef { track: number; depth: number; start: Ns; fn: number }

export interface Slice extends SliceRef {
	end: Ns;
	how: number;          // Entry | Leave << 2
}

export interface SliceDetails extends Slice {
	self: Ns | null;              // null: unknown
	children: number | null;      // direct calls
	descendants: number | null;
	stack: Slice[];               // bottom to top, itself included
	callees: { fn: number; calls: number; total: Ns; self: Ns }[];
	args: Record<string, unknown> | null; // arguments, return value, exception, as recorded
}

export interface FunctionRow {
	fn: number;
	calls: number;        // entries in the range
	resumes: number;
	total: Ns; self: Ns;  // within the range; recursion counted once
	seen: number;         // stays seen whole that ended in the range; these have:
	mean: Ns; max: Ns;
	p50: Ns; p99: Ns;     // upper bound, 12.5 % wide
	raised: number; partial: number;
}

// Call tree of the range, merged over its tracks; parents before children, node 0 is the root.
export interface CallTree {
	n: number;
	parent: Uint32Array;
	fn: Uint32Array;      // of node 0: not used
	calls: Float64Array;
	self: Float64Array;
	total: Float64Array;
	other: Float64Array;  // ns in calls whose path is not known
	pruned: number;       // nodes left out because they are too small to see
}

export interface Aggregate {
	range: Range;
	rows: FunctionRow[];
	tree: CallTree | null; // if it was asked for
	busy: Ns;             // with a frame on the stack, summed over tracks
	lost: number;         // records dropped in the range
	unread: number;       // parts of index or trace that could not be read: the sums lack them
	ms: number;           // what it took
}

export interface Histogram {
	fn: number;
	bucket: Float64Array; // least duration of each bucket that is not empty, ns
	count: Float64Array;
}

// first: number of lines[0]; newer: the file was changed after the recording, so lines may be others.
export interface SourceText { file: string; first: number; lines: string[]; newer: boolean }

// What vizview diff --json says, see docs/vizview-json.md.
export type Comparison = Record<string, unknown>;

export class Superseded extends Error {}

export interface Engine {
	// PICTURE: what is not needed for the first picture is done after it.
	open(onProgress: (p: Progress) => void, picture: Promise<void>): Promise<Opened>;

	// Tiles that a view of the tracks at RESOLUTION ns for a pixel needs, at once and without waiting.
	tiles(tracks: number[], from: Ns, to: Ns, resolution: number): Tile[];
	// Decoded; order as asked for.  May be asked for ahead of time.
	load(tiles: Tile[]): Promise<Records[]>;
	gaps(track: number): Promise<Gap[]>;
	samples(track: number, from: Ns, to: Ns, resolution: number): Promise<Samples>;

	// The call on TRACK at this time and depth, or null.
	at(track: number, time: Ns, depth: number): Promise<Slice | null>;
	details(slice: SliceRef): Promise<SliceDetails | null>;
	// Next (direction 1) or previous (-1) call of one of FNS that begins after or before FROM.
	next(fns: number[], from: Ns, direction: 1 | -1, tracks: number[] | null): Promise<Slice | null>;
	// Parent, first child, sibling before and after.
	relative(slice: SliceRef, which: 'parent' | 'child' | 'before' | 'after'): Promise<Slice | null>;
	// Calls of FNS in each of BUCKETS equal parts of the trace; may be coarse where a trace is huge.
	marks(fns: number[], buckets: number): Promise<Float64Array>;

	aggregate(range: Range, tree: boolean): Promise<Aggregate>; // the tree needs much more of the index
	// Who calls FN (up) and whom it calls (down), within the range: trees rooted at fn.
	butterfly(fn: number, range: Range): Promise<{ callers: CallTree; callees: CallTree }>;
	histogram(fn: number, range: Range): Promise<Histogram>;
	// Slowest calls of FN that end in the range, longest first; with bounds: only durations in [least, below).
	slowest(fn: number, range: Range, n: number, least?: Ns, below?: Ns): Promise<Slice[]>;

	source(fn: number): Promise<SourceText | null>;
	compare(): Promise<Comparison | null>;
}
