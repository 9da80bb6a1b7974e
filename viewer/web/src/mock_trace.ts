// SPDX-License-Identifier: MIT
// mock_trace.ts - a small trace made up from a seed, for developing the page without an engine.
//
// Owns what the trace contains; engine_mock.ts answers questions about it.
import { Entry, Leave, type Functions, type Gap, type TraceInfo, type TrackInfo, type TrackKind } from './engine';

// Calls of a track in order of start, parents first.
export interface Calls {
	start: number[]; end: number[]; depth: number[]; fn: number[]; how: number[];
	parent: number[];     // -1: none
}

export interface MockTrack { info: TrackInfo; calls: Calls; gaps: Gap[]; samples: [number, number][] }

export interface MockTrace { trace: TraceInfo; functions: Functions; tracks: MockTrack[] }

const DURATION = 12e9;
// Stretches with calls of a few hundred ns; elsewhere only what is longer than COARSE.
const HOT: [number, number][] = [[2.0e9, 2.03e9], [5.5e9, 5.52e9], [9.1e9, 9.11e9]];
const COARSE = 300e3;

const FILES = [
	'/srv/shop/app/main.py', '/srv/shop/app/views.py', '/srv/shop/app/models.py', '/srv/shop/app/cart.py',
	'/usr/lib/python3.11/json/decoder.py', '/usr/lib/python3.11/json/encoder.py', '/usr/lib/python3.11/re/__init__.py',
	'/usr/lib/python3.11/asyncio/base_events.py', '/usr/lib/python3.11/asyncio/tasks.py',
	'/usr/lib/python3.11/threading.py', '/usr/lib/python3.11/site-packages/sqlalchemy/orm/query.py',
	'/usr/lib/python3.11/site-packages/sqlalchemy/engine/base.py', '/usr/lib/python3.11/site-packages/jinja2/environment.py',
	'builtins', '_json', '<frozen importlib._bootstrap>',
];
const NAMES: [string, number, number, number][] = [ // name, file, line, kind
	['<module>', 0, 1, 1], ['main', 0, 210, 1], ['serve_forever', 0, 120, 1], ['handle_request', 0, 88, 1],
	['index', 1, 12, 1], ['checkout', 1, 61, 1], ['search_products_by_category_and_price', 1, 140, 1], ['render', 12, 1280, 1],
	['Product.from_row', 2, 33, 1], ['Cart.total', 3, 44, 1], ['Cart.add', 3, 20, 1], ['fib', 3, 90, 1],
	['JSONDecoder.decode', 4, 332, 1], ['JSONDecoder.raw_decode', 4, 343, 1], ['scan_once', 14, 0, 2],
	['JSONEncoder.encode', 5, 183, 1], ['JSONEncoder.iterencode', 5, 204, 1], ['compile', 6, 225, 1], ['_compile', 6, 272, 1],
	['BaseEventLoop.run_forever', 7, 594, 1], ['BaseEventLoop._run_once', 7, 1860, 1], ['Task.__step', 8, 246, 1],
	['Thread.run', 9, 964, 1], ['Thread._bootstrap', 9, 984, 1], ['Query.all', 10, 2670, 1], ['Query.__iter__', 10, 2840, 1],
	['Connection.execute', 11, 1370, 1], ['Connection._execute_context', 11, 1810, 1], ['len', 13, 0, 2], ['isinstance', 13, 0, 2],
	['sorted', 13, 0, 2], ['dict.get', 13, 0, 2], ['_find_and_load', 15, 1165, 1], ['fetch', 1, 200, 1], ['gather_prices', 1, 215, 1],
	['gc gen 0', -1, 0, 0], ['gc gen 1', -1, 0, 0], ['gc gen 2', -1, 0, 0], ['running', -1, 0, 0], ['waiting for the GIL', -1, 0, 0],
	['off the CPU', -1, 0, 0], ['<genexpr>', 3, 52, 1], ['<listcomp>', 2, 40, 1], ['getattr', 13, 0, 2],
];

class Random {
	constructor(private state: number) {}
	next(): number { // mulberry32
		this.state = this.state + 0x6d2b79f5 | 0;
		let t = Math.imul(this.state ^ this.state >>> 15, 1 | this.state);
		t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
		return ((t ^ t >>> 14) >>> 0) / 4294967296;
	}
	below(n: number): number { return Math.floor(this.next() * n); }
}

function none(): Calls {
	return { start: [], end: [], depth: [], fn: [], how: [], parent: [] };
}

function add(c: Calls, start: number, end: number, depth: number, fn: number, how: number, parent: number): number {
	c.start.push(Math.round(start)); c.end.push(Math.round(end)); c.depth.push(depth);
	c.fn.push(fn); c.how.push(how); c.parent.push(parent);
	return c.fn.length - 1;
}

// Each function calls a few others, some of them more often.
function callee(r: Random, fn: number): number {
	return 3 + (fn * 5 + Math.floor(Math.pow(r.next(), 2) * 3) * 7) % (NAMES.length - 15);
}

const hot = (t: number): boolean => HOT.some(([a, b]) => t >= a && t < b);

// Children of PARENT between FROM and TO, and theirs.
function fill(c: Calls, r: Random, from: number, to: number, depth: number, parent: number, deepest: number): void {
	const children = 2 + r.below(7);
	let t = from + (to - from) * r.next() * 0.03;
	for (let i = 0; i < children; i++) {
		const left = to - t, length = i === children - 1 ? left * 0.9 : left * Math.pow(r.next(), 1.6);
		const least = hot(t) ? 180 : COARSE;
		if (length < least) { t += length; continue; }
		const how = r.next() < 0.01 ? Leave.Unwind << 2 : 0;
		const fn = parent >= 0 && r.next() < 0.02 ? c.fn[parent] : callee(r, parent >= 0 ? c.fn[parent] : 0);
		const me = add(c, t, t + length, depth, fn, how, parent);
		if (depth < deepest && length > least * 2 && r.next() < 0.85) fill(c, r, t, t + length, depth + 1, me, deepest);
		t += length + left * r.next() * 0.02;
		if (t >= to - least) break;
	}
}

// Three frames that were open at the attach, and stay so, with work above them.
function thread(r: Random, begin: number, end: number, stack: number[], deepest: number, gaps: Gap[]): Calls {
	const c = none();
	let from = begin;
	for (const stop of [...gaps, { start: end, end: end, records: 0 }]) {
		let parent = -1;
		stack.forEach((fn, depth) => {
			const entry = from === 0 ? Entry.Open : from === begin ? Entry.Call : Entry.Open;
			parent = add(c, from, stop.start, depth, fn, entry | (stop.start === end ? Leave.Open : Leave.Gap) << 2, parent);
		});
		for (let t = from + 1e6; t < stop.start - 1e6;) {
			const length = Math.min(stop.start - t - 5e5, 2e6 + Math.pow(r.next(), 4) * 4e8);
			const me = add(c, t, t + length, stack.length, 3 + r.below(3), 0, parent);
			fill(c, r, t, t + length, stack.length + 1, me, deepest);
			t += length + Math.pow(r.next(), 3) * 6e7 + 2e5;
		}
		from = stop.end;
	}
	return c;
}

function tasks(r: Random): Calls {
	const c = none();
	for (let t = 0.4e9, n = 0; t < DURATION - 1e9; n++) {
		const length = 2e6 + r.next() * 6e7;
		const how = (n ? Entry.Resume : Entry.Call) | (n % 9 === 8 ? Leave.Return : Leave.Yield) << 2;
		const me = add(c, t, t + length, 0, 34, how, -1);
		add(c, t + length * 0.1, t + length * 0.7, 1, 33, Entry.Resume | Leave.Yield << 2, me);
		t += length + r.next() * 9e7;
	}
	return c;
}

function instants(r: Random): Calls {
	const c = none();
	for (let t = 0.1e9; t < DURATION; t += 2e7 + Math.pow(r.next(), 3) * 9e8) add(c, t, t, 0, 35 + (r.below(12) === 0 ? 2 : r.below(2)), 0, -1);
	return c;
}

function states(r: Random): Calls {
	const c = none();
	for (let t = 0; t < DURATION;) {
		const end = Math.min(DURATION, t + 2e6 + Math.pow(r.next(), 5) * 8e8);
		add(c, t, end, 0, 38 + r.below(3), 0, -1);
		t = end;
	}
	return c;
}

function memory(r: Random): [number, number][] {
	const out: [number, number][] = [];
	let v = 48e6;
	for (let t = 0; t < DURATION; t += 4e6 + r.next() * 8e6) {
		v = Math.max(20e6, v + (r.next() - 0.47) * 4e6 - (r.next() < 0.01 ? v * 0.4 : 0));
		out.push([Math.round(t), Math.round(v)]);
	}
	return out;
}

function track(process: number, tid: number, name: string, kind: TrackKind, calls: Calls, gaps: Gap[] = [],
	samples: [number, number][] = []): MockTrack {
	let begin = calls.start[0] ?? 0, end = 0, depth = 0;
	for (let i = 0; i < calls.end.length; i++) {
		end = Math.max(end, calls.end[i]);
		depth = Math.max(depth, calls.depth[i] + 1);
	}
	if (kind === 'counter') { begin = 0; end = DURATION; depth = 1; }
	const lost = gaps.reduce((sum, g) => sum + g.records, 0);
	return { calls, gaps, samples, info: { process, tid, name, kind, begin, end, calls: calls.fn.length, lost,
		holes: gaps.filter((g) => !g.records).length, depth, main: name === 'MainThread' } };
}

function functionTable(tracks: MockTrack[]): Functions {
	const n = NAMES.length, out: Functions = { files: FILES, name: NAMES.map((x) => x[0]), file: new Int32Array(n),
		line: new Uint32Array(n), kind: new Uint8Array(n), calls: new Float64Array(n) };
	NAMES.forEach(([, file, line, kind], i) => { out.file[i] = file; out.line[i] = line; out.kind[i] = kind; });
	for (const t of tracks) t.calls.fn.forEach((fn, i) => { if ((t.calls.how[i] & 3) === Entry.Call) out.calls[fn]++; });
	return out;
}

export function mockTrace(seed = 1): MockTrace {
	const r = new Random(seed);
	const dropped = [{ start: 3.1e9, end: 3.26e9, records: 48211 }, { start: 3.9e9, end: 3.902e9, records: 310 }];
	const tracks = [
		track(0, 4711, 'MainThread', 'thread', thread(r, 0, DURATION, [0, 1, 2], 13, dropped), dropped),
		track(0, 4712, 'pool-worker-1', 'thread', thread(r, 0, DURATION, [23, 22], 9, [{ start: 7e9, end: 7.5e9, records: 0 }]),
			[{ start: 7e9, end: 7.5e9, records: 0 }]),
		track(0, 4713, 'pool-worker-2', 'thread', thread(r, 1.5e9, 10e9, [23, 22], 8, []), []),
		track(0, 4711, 'tasks', 'async', tasks(r)),
		track(0, 4711, 'garbage collection', 'instants', instants(r)),
		track(0, 4711, 'state', 'state', states(r)),
		track(0, 4711, 'resident memory', 'counter', none(), [], memory(r)),
		track(1, 4720, 'MainThread', 'thread', thread(r, 2e9, 11e9, [0, 1], 7, [])),
		track(1, 4721, 'greenlet-1', 'greenlet', thread(r, 4e9, 6e9, [33], 5, [])),
	];
	const sum = (key: 'calls' | 'lost'): number => tracks.reduce((s, t) => s + t.info[key], 0);
	const trace: TraceInfo = { version: 'mock', file: 'shop.viz', title: 'python3 -m shop.app', pid: 4711, startUnixMs: Date.UTC(2026, 10, 22, 9, 30),
		duration: DURATION, calls: sum('calls'), lost: sum('lost'),
		facts: [['python', '3.11.2'], ['machine', 'x86_64, 2 CPUs'], ['recorded with', 'vizattach --pid 4711 --duration 12s']],
		warnings: [{ what: count(sum('lost')) + ' records were dropped while recording', why: 'the ring of MainThread was full', try: 'vizattach --ring-size 128MiB' }],
		processes: [{ pid: 4711, name: 'python3 -m shop.app' }, { pid: 4720, name: 'shop.worker' }],
		tracks: tracks.map((t) => t.info), hasSource: true, compare: 'shop-before.viz' };
	return { trace, functions: functionTable(tracks), tracks };
}

const count = (n: number): string => n.toLocaleString('en-US');
