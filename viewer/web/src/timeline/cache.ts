// SPDX-License-Identifier: MIT
// cache.ts - decoded tiles: which are there, which are on their way, which must go.
//
// Bounded by bytes; what was not used for longest goes first, but nothing that the last frame drew.
// Of what was asked for only the latest counts: who zooms through ten levels does not
// wait for nine of them.
import type { Engine, Ns, Records, Tile } from '../engine';

const LIMIT = 16 << 20;
const BYTES = 8 + 8 + 2 + 4 + 4 + 1;  // of a record
const BATCH = 24;                     // tiles in one request
const AT_ONCE = 2;                    // requests
const TRIES = 3;
const RETRY_MS = 1000;

export interface Held {
	tile: Tile;
	records: Records;
	longest: Ns;   // no call in it is longer
	used: number;  // frame
}

export class TileCache {
	frame = 0;
	bytes = 0;
	trouble = '';  // why some could not be had
	private held = new Map<number, Held>();
	private coming = new Set<number>();
	private failed = new Map<number, number>();
	private requests = 0;
	private urgent: Tile[] = [];
	private ahead: Tile[] = [];
	private epoch = 0;

	constructor(private engine: Engine, private arrived: () => void) {}

	get(tile: Tile): Held | undefined {
		const h = this.held.get(tile.id);
		if (h && h.used !== this.frame) {
			h.used = this.frame;
			this.held.delete(tile.id); // the end of the map: used last
			this.held.set(tile.id, h);
		}
		return h;
	}

	has(tile: Tile): boolean { return this.held.has(tile.id); }

	// What the view shows and is not there, and what may be wanted next.
	want(urgent: Tile[], ahead: Tile[]): void {
		this.urgent = urgent;
		this.ahead = ahead;
		this.go();
	}

	// Nothing that is drawn is still on its way.
	get quiet(): boolean {
		return this.open(this.urgent).length === 0 && !this.urgent.some((t) => this.coming.has(t.id));
	}

	// All is to be asked for anew.
	clear(): void {
		this.held.clear();
		this.failed.clear();
		this.coming.clear();
		this.bytes = 0;
		this.trouble = '';
		this.epoch++;
		this.urgent = this.ahead = [];
	}

	private open(tiles: Tile[]): Tile[] {
		return tiles.filter((t) => !this.held.has(t.id) && !this.coming.has(t.id) && (this.failed.get(t.id) ?? 0) < TRIES);
	}

	private go(): void {
		while (this.requests < AT_ONCE) {
			let batch = this.open(this.urgent).slice(0, BATCH);
			if (!batch.length && this.requests === 0) batch = this.open(this.ahead).slice(0, BATCH / 3);
			if (!batch.length) return;
			void this.ask(batch);
		}
	}

	private async ask(batch: Tile[]): Promise<void> {
		const epoch = this.epoch;
		this.requests++;
		for (const t of batch) this.coming.add(t.id);
		try {
			const records = await this.engine.load(batch);
			if (epoch === this.epoch) batch.forEach((tile, i) => this.keep(tile, records[i]));
		} catch (e) {
			this.trouble = e instanceof Error ? e.message : String(e);
			for (const t of batch) this.failed.set(t.id, (this.failed.get(t.id) ?? 0) + 1);
			await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
		}
		this.requests--;
		if (epoch === this.epoch) for (const t of batch) this.coming.delete(t.id);
		this.arrived();
		this.go();
	}

	private keep(tile: Tile, records: Records | undefined): void {
		if (!records) {
			this.failed.set(tile.id, TRIES);
			return;
		}
		let longest = 0;
		for (let i = 0; i < records.n; i++) longest = Math.max(longest, records.end[i] - records.start[i]);
		this.held.set(tile.id, { tile, records, longest, used: this.frame });
		this.bytes += records.n * BYTES;
		for (const [id, h] of this.held) {
			if (this.bytes <= LIMIT || h.used >= this.frame) break;
			this.held.delete(id);
			this.bytes -= h.records.n * BYTES;
		}
	}
}

// First record that may reach FROM or what is after it.
export function firstOf(h: Held, from: Ns): number {
	const { start, n } = h.records, least = from - h.longest;
	let lo = 0, hi = n;
	while (lo < hi) {
		const mid = (lo + hi) >> 1;
		if (start[mid] < least) lo = mid + 1; else hi = mid;
	}
	return lo;
}
