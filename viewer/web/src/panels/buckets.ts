// SPDX-License-Identifier: MIT
// buckets.ts - durations in buckets of one eighth of a power of two, see vzi_bucket() in core/format.h.
import type { Histogram } from '../engine';

export interface Bar { from: number; below: number; count: number } // ns, ns, calls

const EXACT = 8; // durations below have a bucket each

// All bars between the first and the last that are not empty, each of MERGE buckets.
export function merged(data: Histogram, merge: number): Bar[] {
	const bars: Bar[] = [], n = data.bucket.length;
	if (!n) return bars;
	const bar = (i: number): number => Math.floor(position(data.bucket[i]) / merge), first = bar(0), last = bar(n - 1);
	for (let i = first; i <= last; i++) bars.push({ from: least(i * merge), below: least((i + 1) * merge), count: 0 });
	for (let i = 0; i < n; i++) bars[bar(i) - first].count += data.count[i];
	return bars;
}

// Where a duration is among the buckets, see vzi_bucket(); the whole part is its bucket.
export function position(ns: number): number {
	if (ns < EXACT) return ns;
	const log2 = Math.floor(Math.log2(ns));
	return (log2 - 3) * 8 + ns / 2 ** (log2 - 3);
}

// Least duration of bucket I.
export function least(i: number): number {
	return i < EXACT ? i : (8 + i % 8) * 2 ** (Math.floor(i / 8) - 1);
}
