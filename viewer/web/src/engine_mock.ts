// SPDX-License-Identifier: MIT
// engine_mock.ts - an Engine over a made-up trace in memory, for developing the page.
//
// Every question is answered by going through all calls, so it is also what to compare with.
// Not part of the page that is shipped.
import { Entry, Leave, type Aggregate, type CallTree, type Comparison, type Engine, type FunctionRow, type Gap, type Histogram, type Ns,
	type Opened, type Progress, type Range, type Records, type Samples, type Slice, type SliceDetails, type SliceRef, type SourceText,
	type Tile } from './engine';
import { mockTrace, type Calls, type MockTrace } from './mock_trace';

const FINE = 1 << 14; // see core/format.h
const LEVELS = 16;
const RECORDS = 4096;
const DENSITY = 2048;

interface Stored extends Tile { records: Records }

const levelOf = (resolution: Ns): number => Math.max(0, Math.min(LEVELS - 1, Math.floor(Math.log2(Math.max(resolution, 1) / FINE) / 2)));
const stayed = (how: number): boolean => (how >> 2) <= Leave.Unwind;

function records(n: number): Records {
	return { n, start: new Float64Array(n), end: new Float64Array(n), depth: new Uint16Array(n), fn: new Uint32Array(n),
		count: new Uint32Array(n), how: new Uint8Array(n) };
}

interface Run { start: Ns; end: Ns; depth: number; fn: number; longest: Ns; count: number; how: number }

function runsOf(c: Calls, resolution: Ns): Run[] {
	const open: (Run | undefined)[] = [], out: Run[] = [];
	for (let i = 0; i < c.fn.length; i++) {
		const length = c.end[i] - c.start[i], d = c.depth[i], last = open[d];
		if (length >= resolution) continue;
		if (last && c.start[i] - last.end < resolution && c.end[i] - last.start <= 4 * resolution) {
			last.end = c.end[i];
			last.count++;
			if (length > last.longest) { last.longest = length; last.fn = c.fn[i]; }
		} else out.push(open[d] = { start: c.start[i], end: c.end[i], depth: d, fn: c.fn[i], longest: length, count: 1, how: 0 });
	}
	return out;
}

function whole(c: Calls, least: Ns, below: Ns): Run[] {
	const out: Run[] = [];
	for (let i = 0; i < c.fn.length; i++) {
		const length = c.end[i] - c.start[i], kept = stayed(c.how[i]) ? length : Math.max(length, FINE);
		if (kept >= least && kept < below)
			out.push({ start: c.start[i], end: c.end[i], depth: c.depth[i], fn: c.fn[i], longest: length, count: 1, how: c.how[i] });
	}
	return out;
}

class Tree {
	private parent = [0]; private fn = [0]; private calls = [0]; private self = [0]; private total = [0];
	private index = new Map<string, number>();
	child(up: number, fn: number): number {
		const key = up + '/' + fn;
		let node = this.index.get(key);
		if (node === undefined) {
			node = this.fn.length;
			this.index.set(key, node);
			this.parent.push(up); this.fn.push(fn); this.calls.push(0); this.self.push(0); this.total.push(0);
		}
		return node;
	}
	add(node: number, calls: number, self: number, total: number): void {
		this.calls[node] += calls; this.self[node] += self; this.total[node] += total;
	}
	done(): CallTree {
		const n = this.fn.length;
		for (let i = 1; i < n; i++) if (this.parent[i] === 0) this.total[0] += this.total[i];
		return { n, parent: Uint32Array.from(this.parent), fn: Uint32Array.from(this.fn), calls: Float64Array.from(this.calls),
			self: Float64Array.from(this.self), total: Float64Array.from(this.total), other: new Float64Array(n), pruned: 0 };
	}
}

function bucket(ns: number): number {
	if (ns < 8) return ns;
	const log2 = Math.floor(Math.log2(ns));
	return (log2 - 2) * 8 + (Math.floor(ns / 2 ** (log2 - 3)) & 7);
}
const bucketNs = (b: number): number => b < 8 ? b : (8 | (b & 7)) * 2 ** (Math.floor(b / 8) - 1);

function quantile(sorted: number[], q: number): number {
	return sorted.length ? bucketNs(bucket(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]) + 1) : 0;
}

export class MockEngine implements Engine {
	private mock: MockTrace;
	private store: Stored[][];   // by track
	private serial = 0;

	// DELAY: ms that answers take.
	constructor(private delay = 12, seed = 1) {
		this.mock = mockTrace(seed);
		this.store = this.mock.tracks.map((_, track) => this.build(track));
	}

	private build(track: number): Stored[] {
		const c = this.mock.tracks[track].calls, out: Stored[] = [];
		const cut = (list: Run[], kind: Tile['kind'], level: number): void => {
			for (let i = 0; i < list.length; i += RECORDS) out.push(this.pack(list.slice(i, i + RECORDS), track, kind, level));
		};
		for (let k = 0; k < LEVELS; k++) {
			cut(whole(c, FINE * 4 ** k, k === LEVELS - 1 ? Infinity : FINE * 4 ** (k + 1)), 'slices', k);
			cut(runsOf(c, FINE * 4 ** k), 'runs', k);
		}
		cut(whole(c, 0, FINE), 'fine', 0);
		return out;
	}

	private pack(list: Run[], track: number, kind: Tile['kind'], level: number): Stored {
		const r = records(list.length);
		let t1 = 0;
		list.forEach((x, i) => {
			r.start[i] = x.start; r.end[i] = x.end; r.depth[i] = x.depth; r.fn[i] = x.fn; r.count[i] = x.count; r.how[i] = x.how;
			t1 = Math.max(t1, x.end);
		});
		return { id: this.serial++, track, t0: list[0].start, t1, kind, level, records: r };
	}

	private later<T>(value: () => T, factor = 1): Promise<T> {
		return new Promise((resolve, reject) => setTimeout(() => {
			try { resolve(value()); } catch (e) { reject(e); }
		}, this.delay * factor));
	}

	async open(onProgress: (p: Progress) => void): Promise<Opened> {
		for (let done = 0; done < 1 && this.delay > 20; done += 0.1) {
			onProgress({ what: 'building the index', done, complete: false });
			await this.later(() => 0);
		}
		const density = new Uint32Array(DENSITY), width = this.mock.trace.duration / DENSITY;
		for (const t of this.mock.tracks) for (const s of t.calls.start) density[Math.min(DENSITY - 1, Math.floor(s / width))]++;
		onProgress({ what: 'building the index', done: 1, complete: true });
		return { trace: this.mock.trace, functions: this.mock.functions, density, levels: LEVELS, complete: true };
	}

	tiles(tracks: number[], from: Ns, to: Ns, resolution: Ns): Tile[] {
		const fine = resolution < FINE, level = levelOf(resolution), out: Tile[] = [];
		for (const t of tracks) for (const tile of this.store[t]) {
			if (tile.t0 > to || tile.t1 < from) continue;
			if (tile.kind === 'slices' ? tile.level >= level : tile.kind === 'runs' ? !fine && tile.level === level : fine) out.push(tile);
		}
		return out;
	}

	load(tiles: Tile[]): Promise<Records[]> {
		return this.later(() => tiles.map((t) => {
			const r = (t as Stored).records;
			return { n: r.n, start: r.start.slice(), end: r.end.slice(), depth: r.depth.slice(), fn: r.fn.slice(), count: r.count.slice(), how: r.how.slice() };
		}));
	}

	gaps(track: number): Promise<Gap[]> { return this.later(() => this.mock.tracks[track].gaps); }

	samples(track: number, from: Ns, to: Ns, resolution: Ns): Promise<Samples> {
		return this.later(() => {
			const out: number[][] = [[], [], [], []];
			let part = -1;
			this.mock.tracks[track].samples.forEach(([t, v], i, all) => {
				if ((all[i + 1]?.[0] ?? Infinity) < from || t > to) return;
				const here = Math.floor(t / Math.max(1, resolution)), n = out[0].length - 1;
				if (here === part) {
					out[1][n] = Math.min(out[1][n], v); out[2][n] = Math.max(out[2][n], v); out[3][n] = v;
				} else { out[0].push(t); out[1].push(v); out[2].push(v); out[3].push(v); part = here; }
			});
			const [t, min, max, last] = out.map((x) => Float64Array.from(x));
			return { t, min, max, last };
		});
	}

	private slice(track: number, i: number): Slice {
		const c = this.mock.tracks[track].calls;
		return { track, depth: c.depth[i], start: c.start[i], end: c.end[i], fn: c.fn[i], how: c.how[i] };
	}

	private find(s: SliceRef): number {
		const c = this.mock.tracks[s.track]?.calls;
		return c ? c.start.findIndex((t, i) => t === s.start && c.depth[i] === s.depth && c.fn[i] === s.fn) : -1;
	}

	at(track: number, time: Ns, depth: number): Promise<Slice | null> {
		return this.later(() => {
			const c = this.mock.tracks[track].calls;
			const i = c.start.findIndex((s, k) => c.depth[k] === depth && s <= time && (time < c.end[k] || s === time));
			return i < 0 ? null : this.slice(track, i);
		});
	}

	details(ref: SliceRef): Promise<SliceDetails | null> {
		return this.later(() => {
			const i = this.find(ref);
			if (i < 0) return null;
			const c = this.mock.tracks[ref.track].calls, stack: Slice[] = [], callees = new Map<number, { fn: number; calls: number; total: Ns; self: Ns }>();
			for (let k = i; k >= 0; k = c.parent[k]) stack.unshift(this.slice(ref.track, k));
			let below = 0, children = 0, descendants = 0;
			for (let k = i + 1; k < c.fn.length && c.start[k] <= c.end[i] && c.depth[k] > c.depth[i]; k++) {
				descendants++;
				if (c.parent[k] !== i) continue;
				const length = c.end[k] - c.start[k], row = callees.get(c.fn[k]) ?? { fn: c.fn[k], calls: 0, total: 0, self: 0 };
				row.calls++; row.total += length; row.self += length; below += length; children++;
				callees.set(row.fn, row);
			}
			const args = ref.depth % 3 ? null : { args: { self: '<Cart 17>', limit: '20' }, returned: '[…]' };
			return { ...this.slice(ref.track, i), self: c.end[i] - c.start[i] - below, children, descendants, stack, callees: [...callees.values()], args };
		});
	}

	next(fns: number[], from: Ns, direction: 1 | -1, tracks: number[] | null): Promise<Slice | null> {
		return this.later(() => {
			let best: Slice | null = null;
			this.mock.tracks.forEach(({ calls: c }, t) => {
				if (tracks && !tracks.includes(t)) return;
				for (let i = 0; i < c.fn.length; i++) {
					if (!fns.includes(c.fn[i]) || (direction > 0 ? c.start[i] <= from : c.start[i] >= from)) continue;
					if (!best || (direction > 0 ? c.start[i] < best.start : c.start[i] > best.start)) best = this.slice(t, i);
				}
			});
			return best;
		});
	}

	relative(ref: SliceRef, which: 'parent' | 'child' | 'before' | 'after'): Promise<Slice | null> {
		return this.later(() => {
			const i = this.find(ref), c = this.mock.tracks[ref.track]?.calls;
			if (i < 0) return null;
			if (which === 'parent') return c.parent[i] < 0 ? null : this.slice(ref.track, c.parent[i]);
			const family = c.fn.map((_, k) => k).filter((k) => c.parent[k] === (which === 'child' ? i : c.parent[i]));
			const k = which === 'child' ? family[0] : family[family.indexOf(i) + (which === 'after' ? 1 : -1)];
			return k === undefined ? null : this.slice(ref.track, k);
		});
	}

	marks(fns: number[], buckets: number): Promise<Float64Array> {
		return this.later(() => {
			const out = new Float64Array(buckets), wanted = new Set(fns), width = this.mock.trace.duration / buckets;
			for (const { calls: c } of this.mock.tracks)
				c.fn.forEach((fn, i) => { if (wanted.has(fn)) out[Math.min(buckets - 1, Math.floor(c.start[i] / width))]++; });
			return out;
		});
	}

	// Goes through the calls that are at least in part in the range.
	private each(range: Range, visit: (c: Calls, i: number, inside: Ns, self: Ns, track: number) => void): void {
		this.mock.tracks.forEach(({ calls: c }, t) => {
			if (range.tracks && !range.tracks.includes(t)) return;
			const inside = c.start.map((s, i) => Math.max(0, Math.min(c.end[i], range.to) - Math.max(s, range.from)));
			const self = inside.slice();
			c.parent.forEach((p, i) => { if (p >= 0) self[p] -= inside[i]; });
			for (let i = 0; i < c.fn.length; i++)
				if (c.start[i] < range.to && c.end[i] >= range.from) visit(c, i, inside[i], self[i], t);
		});
	}

	aggregate(range: Range, _tree: boolean): Promise<Aggregate> {
		return this.later(() => {
			const rows = new Map<number, FunctionRow>(), times = new Map<number, number[]>(), tree = new Tree();
			let busy = 0, nodes: number[] = [], last = -1;
			this.each(range, (c, i, inside, self, track) => {
				if (track !== last) { nodes = []; last = track; }
				const fn = c.fn[i], entry = c.how[i] & 3, entered = c.start[i] >= range.from && entry !== Entry.Open;
				const row = rows.get(fn) ?? { fn, calls: 0, resumes: 0, total: 0, self: 0, seen: 0, mean: 0, max: 0, p50: 0, p99: 0, raised: 0, partial: 0 };
				rows.set(fn, row);
				if (entered) row[entry === Entry.Call ? 'calls' : 'resumes']++;
				row.self += self;
				if (!this.recursive(c, i)) row.total += inside;
				if (c.end[i] >= range.from && c.end[i] < range.to) {
					if (stayed(c.how[i]) && entry !== Entry.Open) times.set(fn, [...times.get(fn) ?? [], c.end[i] - c.start[i]]);
					else row.partial++;
					if (c.how[i] >> 2 === Leave.Unwind) row.raised++;
				}
				if (c.depth[i] === 0) busy += inside;
				const node = tree.child(c.parent[i] < 0 ? 0 : nodes[c.parent[i]] ?? 0, fn);
				nodes[i] = node;
				tree.add(node, entered && entry === Entry.Call ? 1 : 0, self, inside);
			});
			for (const [fn, list] of times) {
				const row = rows.get(fn) as FunctionRow;
				list.sort((a, b) => a - b);
				row.seen = list.length; row.max = list[list.length - 1]; row.mean = list.reduce((s, x) => s + x, 0) / list.length;
				row.p50 = quantile(list, 0.5); row.p99 = quantile(list, 0.99);
			}
			return { range, rows: [...rows.values()], tree: tree.done(), busy, lost: 0, unread: 0, ms: this.delay };
		});
	}

	private recursive(c: Calls, i: number): boolean {
		for (let p = c.parent[i]; p >= 0; p = c.parent[p]) if (c.fn[p] === c.fn[i]) return true;
		return false;
	}

	butterfly(fn: number, range: Range): Promise<{ callers: CallTree; callees: CallTree }> {
		return this.later(() => {
			const up = new Tree(), down = new Tree();
			this.each(range, (c, i, inside, self) => {
				const entered = c.start[i] >= range.from ? 1 : 0;
				if (c.fn[i] === fn && !this.recursive(c, i))
					for (let p = i, node = 0; p >= 0; p = c.parent[p]) up.add(node = up.child(node, c.fn[p]), entered, p === i ? self : 0, inside);
				const path: number[] = [];
				let top = -1;
				for (let p = i; p >= 0; p = c.parent[p]) { path.unshift(c.fn[p]); if (c.fn[p] === fn) top = path.length; }
				if (top < 0) return;
				let node = 0;
				for (const f of path.slice(path.length - top)) node = down.child(node, f);
				down.add(node, entered, self, inside);
			});
			return { callers: up.done(), callees: down.done() };
		});
	}

	private ended(fn: number, range: Range): Slice[] {
		const out: Slice[] = [];
		this.each(range, (c, i, _inside, _self, track) => {
			if (c.fn[i] === fn && c.end[i] >= range.from && c.end[i] < range.to && stayed(c.how[i])) out.push(this.slice(track, i));
		});
		return out;
	}

	histogram(fn: number, range: Range): Promise<Histogram> {
		return this.later(() => {
			const counts = new Map<number, number>();
			for (const s of this.ended(fn, range)) counts.set(bucket(s.end - s.start), (counts.get(bucket(s.end - s.start)) ?? 0) + 1);
			const sorted = [...counts].sort((a, b) => a[0] - b[0]);
			return { fn, bucket: Float64Array.from(sorted, (x) => bucketNs(x[0])), count: Float64Array.from(sorted, (x) => x[1]) };
		});
	}

	slowest(fn: number, range: Range, n: number, least = 0, below = Infinity): Promise<Slice[]> {
		return this.later(() => this.ended(fn, range).filter((s) => s.end - s.start >= least && s.end - s.start < below)
			.sort((a, b) => b.end - b.start - (a.end - a.start)).slice(0, n));
	}

	source(fn: number): Promise<SourceText | null> {
		const f = this.mock.functions;
		if (f.file[fn] < 0 || f.kind[fn] !== 1) return this.later(() => null);
		const first = Math.max(1, f.line[fn] - 10), lines = Array.from({ length: 40 }, (_, i) =>
			first + i === f.line[fn] ? `def ${f.name[fn]}(self, limit=20):` : `    total += self.price(item) * ${first + i}  # ${'.'.repeat(i % 17)}`);
		return this.later(() => ({ file: f.files[f.file[fn]], first, lines, newer: false }));
	}

	compare(): Promise<Comparison | null> {
		return this.later(() => {
			const f = this.mock.functions;
			const side = (calls: number, ns: number): unknown => ({ line: 10, calls, resumes: 0, total_ns: calls * ns * 1.3, self_ns: calls * ns,
				partial: 0, whole: calls, mean_ns: ns, error_ns: ns * 0.02, typical_ns: ns * 0.9 });
			const verdicts = ['slower', 'faster', 'noise', 'more calls', 'only in A', 'only in B', 'too few'];
			const functions = f.name.slice(3, 24).map((name, i) => {
				const verdict = verdicts[i % verdicts.length], calls = 40 * (i + 1), ns = 2e5 / (i + 1);
				const ratio = verdict === 'slower' ? 1.4 : verdict === 'faster' ? 0.7 : 1.01, more = verdict === 'more calls' ? 3 : 1;
				return { name, file: f.files[Math.max(0, f.file[i + 3])], line: f.line[i + 3], verdict, ratio, doubt_ns: ns * 0.1,
					difference_ns: Math.round(calls * ns * (ratio * more - 1)),
					a: verdict === 'only in B' ? null : side(calls, ns), b: verdict === 'only in A' ? null : side(calls * more, ns * ratio) };
			});
			const trace = (path: string): unknown => ({ path, process: 'python3 -m shop.app', pid: 4711, duration_ns: this.mock.trace.duration,
				calls: this.mock.trace.calls, resumes: 0, lost: 0, complete: true, damaged: false });
			return { schema: 1, compared: 'as recorded', min_percent: 1, a: trace('shop-before.viz'), b: trace('shop.viz'), median_ratio: 1.01,
				relevant: 0.05, verdicts: { slower: 3, faster: 3, noise: 3, 'more calls': 3 }, folded: 12, functions };
		});
	}
}
