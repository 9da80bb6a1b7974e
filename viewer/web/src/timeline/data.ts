// SPDX-License-Identifier: MIT
// data.ts - gaps, counters and marks of what is found: asked for once, kept until something changes.
import { Superseded, type Engine, type Gap, type Ns, type Samples } from '../engine';
import type { View } from '../state';

const NO_GAPS: Gap[] = [];
const MORE = 1;          // of the view, that is asked for at each side

interface Series { from: Ns; to: Ns; resolution: Ns; samples: Samples | null; coming: string }

export class Data {
	waiting = 0;           // answers that are under way
	private gapsOf = new Map<number, Gap[]>();
	private series = new Map<number, Series>();
	private epoch = 0;

	constructor(private engine: Engine, private arrived: () => void) {}

	clear(): void {
		this.gapsOf.clear();
		this.series.clear();
		this.epoch++;
	}

	async watch<T>(promise: Promise<T>): Promise<T> {
		this.waiting++;
		try { return await promise; } finally { this.waiting--; this.arrived(); }
	}

	gaps(track: number): Gap[] {
		const there = this.gapsOf.get(track), epoch = this.epoch;
		if (there) return there;
		this.gapsOf.set(track, NO_GAPS);
		this.watch(this.engine.gaps(track)).then((list) => { if (epoch === this.epoch) this.gapsOf.set(track, list); },
			() => undefined);
		return NO_GAPS;
	}

	// Those there are; better ones are asked for if the view or the scale is another one.
	samples(track: number, view: View, resolution: Ns, end: Ns): Samples | null {
		const scale = 2 ** Math.floor(Math.log2(Math.max(1, resolution))), s = this.series.get(track),
			span = view.to - view.from;
		if (s && s.samples && s.resolution === scale && s.from <= view.from && s.to >= Math.min(view.to, end)) return s.samples;
		const from = Math.max(0, Math.floor(view.from - span * MORE)),
			to = Math.ceil(Math.min(Math.max(end, view.to), view.to + span * MORE));
		const key = [from, to, scale].join(), entry: Series = s ?? { from: 0, to: -1, resolution: 0, samples: null,
			coming: '' }, epoch = this.epoch;
		this.series.set(track, entry);
		if (entry.coming) return entry.samples;
		entry.coming = key;
		this.watch(this.engine.samples(track, from, to, scale)).then((samples) => {
			entry.coming = '';
			if (epoch === this.epoch) Object.assign(entry, { from, to, resolution: scale, samples });
		}, () => { Object.assign(entry, { from, to, resolution: scale, coming: '' }); });
		return entry.samples;
	}

	// Null: another question took its place.
	async marks(fns: number[], buckets: number): Promise<Float64Array | null> {
		try {
			return await this.watch(this.engine.marks(fns, buckets));
		} catch (e) {
			if (e instanceof Superseded) return null;
			throw e;
		}
	}
}
