// SPDX-License-Identifier: MIT
// queries.ts - answers each operation of the page (protocol.ts) with jobs of the core.

import type { Aggregate, CallTree, FunctionRow, Gap, Histogram, Range, Records, Slice, SliceDetails, Tile } from './engine';
import { BadIndex, Directory } from './directory';
import { Core, noRecords, type Pointer } from './core';
import { Jobs, rest, type Ticket } from './jobs';
import type { Built, Call, Operations, Replace } from './protocol';
import type { Source } from './source';
import { EmbedSource } from './source_embed';
import { assemble } from './assemble';

const RELATIONS = { parent: 0, child: 1, before: 2, after: 3 };
const TREE = 0, CALLERS = 0, CALLEES = 1;
const DECODE_TURN = 16;            // tiles decoded before others have a turn

type Answer = { value: unknown; transfer: ArrayBufferLike[] };

const plain = (value: unknown): Answer => ({ value, transfer: [] });

export class Queries {
	private readonly jobs: Jobs;
	private q: Pointer;
	private generation = 1;

	constructor(private readonly core: Core, private readonly source: Source, directory: Uint8Array,
		private readonly nfunctions: number) {
		this.jobs = new Jobs(core, source, new Directory(directory, this.generation));
		this.q = this.openCore(directory);
	}

	private openCore(directory: Uint8Array): Pointer {
		const q = this.core.withBytes(directory, (p, n) => this.core.x.vzx_open(p, n));
		if (!q) throw new BadIndex('the directory of the index makes no sense');
		return q;
	}

	// The whole index of an HTML file takes the place of the overview.  Jobs of the old one must be over.
	replace(built: Replace): Uint8Array {
		const { directory, tiles } = assemble(this.core, this.jobs.directory, built.overview, built.parts);
		this.whole = null;
		this.core.x.vzx_close(this.q);
		this.q = this.openCore(directory);
		this.jobs.forget(new Directory(directory, ++this.generation));
		(this.source as EmbedSource).replace(tiles, built.parts.flatMap((part: Built) => part.packs));
		return directory;
	}

	async answer(call: Call, ticket: Ticket): Promise<Answer> {
		switch (call.what) {
		case 'load':
			ticket.urgent = true;
			this.jobs.urgent++;
			try {
				return await this.load(call.with.tiles, ticket);
			} finally {
				this.jobs.urgent--;
			}
		case 'gaps': return plain(await this.gaps(call.with.track, ticket));
		case 'samples': return this.samples(call.with, ticket);
		case 'at': return plain(await this.first(
			this.core.x.vzx_at(this.q, call.with.track, call.with.time, call.with.depth), ticket));
		case 'details': return plain(await this.details(call.with, ticket));
		case 'next': return plain(await this.next(call.with, ticket));
		case 'relative': {
			const { slice: s, which } = call.with;
			return plain(await this.first(
				this.core.x.vzx_relative(this.q, s.start, s.track, s.depth, s.fn, RELATIONS[which]), ticket));
		}
		case 'marks': return this.marks(call.with, ticket);
		case 'calls': return this.calls();
		case 'aggregate': return this.aggregate(call.with, ticket);
		case 'butterfly': return plain(await this.butterfly(call.with, ticket));
		case 'histogram': return plain(await this.histogram(call.with, ticket));
		case 'slowest': return plain(await this.slowest(call.with, ticket));
		case 'source': return plain(await this.source.source(call.with.file));
		case 'compare': return plain(await this.source.compare());
		case 'stats': return plain({
			core: this.core.x.memory.buffer.byteLength, cache: this.jobs.held(), source: this.source.held(),
		});
		}
	}

	// ---- what is drawn ----

	private async load(tiles: Tile[], ticket: Ticket): Promise<Answer> {
		const answer: Records[] = new Array<Records>(tiles.length);
		const plans = tiles.map((tile) => this.jobs.directory.resolve(tile.id));
		const numbers = [...new Set(plans.flatMap((plan) => plan && 'tile' in plan ? [plan.tile] : []))];
		await this.jobs.looking(async () => {
			const bytes = new Map((await this.jobs.getTiles(numbers)).map((b, i) => [numbers[i], b]));
			for (let i = 0; i < tiles.length; i++) {
				const plan = plans[i];
				if (plan && 'tile' in plan) answer[i] = this.decode(plan.tile, bytes.get(plan.tile)!);
				else if (plan) answer[i] = await this.jobs.run(this.core.x.vzx_fine(this.q, plan.track, plan.window), ticket,
					(result) => this.core.records(result + this.core.at.records));
				else answer[i] = noRecords();
				if (i % DECODE_TURN === DECODE_TURN - 1) await rest();
			}
		});
		return {
			value: answer,
			transfer: answer.flatMap((r) => [r.start.buffer, r.end.buffer, r.depth.buffer, r.fn.buffer, r.count.buffer, r.how.buffer]),
		};
	}

	// What makes no sense is empty: the rest of the picture is right.
	private decode(tile: number, bytes: Uint8Array): Records {
		const p = this.core.withBytes(bytes, (at, n) => this.core.x.vzx_records(this.q, tile, at, n));
		return p ? this.core.records(p) : noRecords();
	}

	private gaps(track: number, ticket: Ticket): Promise<Gap[]> {
		return this.jobs.run(this.core.x.vzx_gaps(this.q, track), ticket, (result) => {
			const r = this.core.records(result + this.core.at.records);
			return Array.from({ length: r.n }, (_, i) => ({ start: r.start[i], end: r.end[i], records: r.count[i] }));
		});
	}

	private async samples(w: Operations['samples'], ticket: Ticket): Promise<Answer> {
		const value = await this.jobs.run(this.core.x.vzx_samples(this.q, w.track, w.from, w.to, w.resolution), ticket,
			(result) => this.core.samples(result));
		return { value, transfer: [value.t.buffer, value.min.buffer, value.max.buffer, value.last.buffer] };
	}

	// ---- single calls ----

	private first(job: Pointer, ticket: Ticket): Promise<Slice | null> {
		return this.jobs.run(job, ticket, (result) => this.core.number(result, 'nslices') ? this.core.slice(result, 0) : null);
	}

	private slices(result: Pointer): Slice[] {
		return Array.from({ length: this.core.number(result, 'nslices') }, (_, i) => this.core.slice(result, i));
	}

	private async details({ slice: s }: Operations['details'], ticket: Ticket): Promise<SliceDetails | null> {
		const core = this.core;
		const known = (value: number): number | null => value < 0 ? null : value;
		const found = await this.jobs.run(core.x.vzx_details(this.q, s.start, s.track, s.depth, s.fn), ticket, (result) => {
			const stack = this.slices(result);
			if (!stack.length) return null;
			const n = core.number(result, 'callees');
			const fn = core.ids(result, 'calleeFn', n), calls = core.column(result, 'calleeCalls', n);
			const total = core.column(result, 'calleeTotal', n), self = core.column(result, 'calleeSelf', n);
			return {
				...stack[stack.length - 1], self: known(core.value(result, 'self')),
				children: known(core.value(result, 'children')), descendants: known(core.value(result, 'descendants')),
				stack, callees: Array.from(fn, (f, i) => ({ fn: f, calls: calls[i], total: total[i], self: self[i] })),
				args: null as Record<string, unknown> | null, entry: known(core.value(result, 'entry')),
			};
		});
		if (!found) return null;
		const { entry, ...details } = found;
		if (entry !== null) details.args = await this.source.args(s.track, entry).catch(() => null);
		return details;
	}

	private next(w: Operations['next'], ticket: Ticket): Promise<Slice | null> {
		const x = this.core.x;
		return this.first(this.core.withU32(w.fns, (fns, n) => this.core.withU32(w.tracks, (tracks, ntracks) =>
			x.vzx_next(this.q, fns, n, w.from, w.direction, tracks, ntracks))), ticket);
	}

	// ---- sums ----

	private async marks(w: Operations['marks'], ticket: Ticket): Promise<Answer> {
		const job = this.core.withU32(w.fns, (p, n) => this.core.x.vzx_marks(this.q, p, n, w.buckets));
		const value = await this.jobs.run(job, ticket, (result) =>
			this.core.column(result, 'values', this.core.number(result, 'nvalues')));
		return { value, transfer: [value.buffer] };
	}

	private rangeJob(range: Range, make: (from: number, to: number, tracks: Pointer, n: number) => Pointer): Pointer {
		return this.core.withU32(range.tracks, (tracks, n) => make(range.from, range.to, tracks, n));
	}

	// The sums of the whole trace, which are asked for twice when it is opened.
	private whole: Promise<Aggregate> | null = null;

	private everything(): Promise<Aggregate> {
		if (!this.whole) {
			const range = { from: 0, to: this.jobs.directory.duration, tracks: null };
			const sum = this.whole = this.sum({ range, tree: false }, { cancelled: false });
			sum.catch(() => { if (this.whole === sum) this.whole = null; });
		}
		return this.whole;
	}

	private async calls(): Promise<Answer> {
		const value = new Float64Array(this.nfunctions);
		for (const row of (await this.everything()).rows) if (row.fn < value.length) value[row.fn] = row.calls;
		return { value, transfer: [value.buffer] };
	}

	private async aggregate(what: Operations['aggregate'], ticket: Ticket): Promise<Answer> {
		const { range, tree } = what;
		const began = performance.now(), all = range.from <= 0 && range.to >= this.jobs.directory.duration && !range.tracks;
		const sum = await (all && !tree ? this.everything() : this.sum(what, ticket));
		const columns = sum.tree ? [sum.tree.parent, sum.tree.fn, sum.tree.calls, sum.tree.self, sum.tree.total, sum.tree.other] : [];
		return { value: { ...sum, range, ms: performance.now() - began }, transfer: columns.map((c) => c.buffer) };
	}

	private sum({ range, tree }: Operations['aggregate'], ticket: Ticket): Promise<Aggregate> {
		const core = this.core;
		const job = this.rangeJob(range, (from, to, tracks, n) => core.x.vzx_aggregate(this.q, from, to, tracks, n, +tree));
		return this.jobs.run(job, ticket, (result) => ({
			range, rows: this.rows(result), tree: tree ? this.tree(result, TREE) : null, busy: core.value(result, 'busy'),
			lost: core.value(result, 'lost'), unread: core.number(result, 'bad'), ms: 0,
		}));
	}

	private rows(result: Pointer): FunctionRow[] {
		const core = this.core, n = core.number(result, 'rows');
		const fn = core.ids(result, 'rowFn', n);
		const calls = core.column(result, 'rowCalls', n), resumes = core.column(result, 'rowResumes', n);
		const total = core.column(result, 'rowTotal', n), self = core.column(result, 'rowSelf', n);
		const seen = core.column(result, 'rowSeen', n), mean = core.column(result, 'rowMean', n);
		const max = core.column(result, 'rowMax', n), p50 = core.column(result, 'rowP50', n);
		const p99 = core.column(result, 'rowP99', n), raised = core.column(result, 'rowRaised', n);
		const partial = core.column(result, 'rowPartial', n);
		return Array.from(fn, (f, i) => ({
			fn: f, calls: calls[i], resumes: resumes[i], total: total[i], self: self[i], seen: seen[i], mean: mean[i],
			max: max[i], p50: p50[i], p99: p99[i], raised: raised[i], partial: partial[i],
		}));
	}

	private tree(result: Pointer, which: number): CallTree {
		const core = this.core, at = core.at, p = result + at.tree + which * at.treeBytes, n = core.u32(p);
		const column = (member: number): Float64Array => core.doubles(core.u32(p + member), n);
		return {
			n, parent: core.u32s(core.u32(p + at.treeParent), n), fn: core.u32s(core.u32(p + at.treeFn), n),
			calls: column(at.treeCalls), self: column(at.treeSelf), total: column(at.treeTotal),
			other: column(at.treeOther), pruned: core.double(p + at.treePruned),
		};
	}

	private butterfly({ fn, range }: Operations['butterfly'], ticket: Ticket): Promise<{ callers: CallTree; callees: CallTree }> {
		const job = this.rangeJob(range, (from, to, tracks, n) => this.core.x.vzx_butterfly(this.q, from, to, tracks, n, fn));
		return this.jobs.run(job, ticket, (result) => ({
			callers: this.tree(result, CALLERS), callees: this.tree(result, CALLEES),
		}));
	}

	private histogram({ fn, range }: Operations['histogram'], ticket: Ticket): Promise<Histogram> {
		const job = this.rangeJob(range, (from, to, tracks, n) => this.core.x.vzx_histogram(this.q, from, to, tracks, n, fn));
		return this.jobs.run(job, ticket, (result) => {
			const n = this.core.number(result, 'nvalues');
			return { fn, bucket: this.core.column(result, 'keys', n), count: this.core.column(result, 'values', n) };
		});
	}

	private slowest(w: Operations['slowest'], ticket: Ticket): Promise<Slice[]> {
		const job = this.rangeJob(w.range, (from, to, tracks, n) =>
			this.core.x.vzx_slowest(this.q, from, to, tracks, n, w.fn, w.n, w.least, w.below));
		return this.jobs.run(job, ticket, (result) => this.slices(result));
	}
}
